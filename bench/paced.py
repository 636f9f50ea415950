"""Latencies of redirects beside `return 302` at equal rates far below what
one worker can do, so that no queue decides (pace.c).

Two kinds of `return 302` take part: one in the same nginx, and one in an nginx
that hasn't loaded the module, where nothing of the module can be in the way.
What these two differ by is the noise of the machine."""

import contextlib
import os
import statistics
import subprocess
import sys

import rig

MODULE, SAME, PLAIN = "redirect", "return 302", "return 302 without the module"
FIGURES = {"p50": "p50", "p99": "p99", "p999": "p99.9",
           "typical": "p99 of the median turn"}
GOAL = 1.5
SHARES = (2, 5)


class Priority:
    """Real-time priority: nginx on one processor, pace on another one."""

    def __init__(self, pids):
        self.pids = pids
        self.processors = sorted(os.sched_getaffinity(0))
        if len(self.processors) < 2:
            sys.exit("--realtime needs two processors")

    @staticmethod
    def raised(pid, processor):
        os.sched_setaffinity(pid, {processor})
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))

    def child(self):
        self.raised(0, self.processors[1])

    def __enter__(self):
        try:
            for pid in self.pids:
                # its other threads stay as they are
                self.raised(pid, self.processors[0])
        except PermissionError:
            sys.exit("--realtime needs the right to do that")
        return self

    def __exit__(self, *_):
        for pid in self.pids:
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            os.sched_setaffinity(pid, self.processors)


def ask(tool, rate, seconds, ids, targets, priority):
    """One round: figures of each target."""
    command = [tool, f"{rate:.0f}", str(seconds), *map(str, ids), *targets]
    with priority or contextlib.nullcontext():
        out = subprocess.run(
            command, capture_output=True, text=True, check=False,
            preexec_fn=priority.child if priority else None)
    found = rig.results(out.stdout)
    if len(found) != len(targets):
        sys.exit(f"pace failed: {out.stdout}{out.stderr}")
    return found


def us(rounds, figure):
    return rig.spread([1e3 * r[figure] for r in rounds], 0)


def show(found):
    for x, rounds in found.items():
        total = {k: sum(r[k] for r in rounds)
                 for k in ("turns", "left", "waited", "failed")}
        print(f"  {x}: "
              + ", ".join(f"{FIGURES[k]} {us(rounds, k)}" for k in FIGURES)
              + f"; sent late (p99) {us(rounds, 'late')}; "
              f"{total['left']:.0f} of {total['turns']:.0f} turns count, no "
              f"connection was left for {total['waited']:.0f}, "
              f"{total['failed']:.0f} failed")
    for one, other in ((MODULE, SAME), (MODULE, PLAIN), (SAME, PLAIN)):
        ratios = {k: [a[k] / b[k] for a, b in zip(found[one], found[other])]
                  for k in FIGURES}
        goal = ""
        if one == MODULE:
            median = statistics.median(ratios["p99"])
            goal = f" (goal <= {GOAL}: {'met' if median <= GOAL else 'missed'})"
        print(f"  {one} / {other}: " + ", ".join(
            f"{FIGURES[k]} {rig.spread(r, 2)}{goal if k == 'p99' else ''}"
            for k, r in ratios.items()), flush=True)


def run(nginx, plain, kinds, rounds, seconds, realtime):
    """A kind: what it is, first id and count, what `return 302` can do, and
    what is to be done before."""
    tool = rig.tool("pace")
    targets = {MODULE: nginx.url("/api/?/view"), SAME: nginx.url("/302/?/view"),
               PLAIN: plain.url("/302/?/view")}
    priority = Priority(nginx.pids + plain.pids) if realtime else None
    for what, ids, most, before in kinds:
        before()
        for share in SHARES:
            rate = most / share
            rows, skipped = [], 0
            for _ in range(rounds):
                row = ask(tool, rate, seconds, ids, targets.values(), priority)
                if all(r["left"] for r in row):
                    rows.append(row)
                else:
                    skipped += 1
            print(f"{what}, 1/{share} of what return 302 does: {rate:.0f} a "
                  f"second, load average {os.getloadavg()[0]:.1f}"
                  f"{', real-time priority' if realtime else ''}, us:")
            if skipped:
                print(f"  ! the machine was too busy in {skipped} of {rounds} "
                      "rounds")
            if rows:
                show(dict(zip(targets, zip(*rows))))
