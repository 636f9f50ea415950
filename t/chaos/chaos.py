#!/usr/bin/env python3
"""Breaks things while images are uploaded, read, changed and deleted, and
looks what is left.  Run by util/chaos; docs/RELIABILITY.md tells of it.

    chaos.py [--seconds N] [--seed N] [--members N] [--clients N] [--tap]
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

import pymongo.errors

import cluster
import faults
import ledger as ledgers
import load
import verify


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--seconds", type=float, default=600)
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--members", type=int, default=3)
    p.add_argument("--clients", type=int, default=12)
    p.add_argument("--tap", action="store_true")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--without", default="",
                   help="Nginx, Database or Storage: no faults of these")
    return p.parse_args()


def clients(a, c, book, name):
    stop = threading.Event()
    crowd = [load.Client(i, "%s/%s" % (a.seed, name), c.nodes, book, stop)
             for i in range(a.clients)]
    for client in crowd:
        client.serial = 1_000_000 if name == "warm" else 0
        client.start()
    return crowd, stop


def join(threads, stop, book, seconds):
    stop.set()
    end = time.monotonic() + seconds
    for t in threads:
        t.join(max(0, end - time.monotonic()))
        if t.is_alive():
            book.violation("%s did not come back" % t.name)


def warm_up(a, c, book):
    """What a worker holds when it has done everything once."""
    crowd, stop = clients(a, c, book, "warm")
    time.sleep(4)
    join(crowd, stop, book, wire_patience())
    time.sleep(6.5)
    return {n.name: verify.resources(n) for n in c.nodes}


def wire_patience():
    return load.wire.PATIENCE + 30


def watch(c, book, seconds):
    """Meanwhile nobody's `used` may pass the limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1)
        try:
            for u in c.mongo.db.users.find(
                    {"storageQuota.used": {"$gt": cluster.QUOTA}}):
                book.violation("%s: more used than the limit: %s"
                               % (u["_id"], u["storageQuota"]["used"]))
        except pymongo.errors.PyMongoError:
            pass                        # it is down: that is the point


def break_things(a, c, book):
    crowd, stop = clients(a, c, book, "load")
    over = threading.Event()
    hands = [h(a.seed, c, book, over)
             for h in (faults.Nginx, faults.Database, faults.Storage)
             if h.__name__ not in a.without.split(",")]
    for h in hands:
        h.start()
    watch(c, book, a.seconds)
    join(hands, over, book, 90)
    # a moment of work after the last fault: all must be as before
    time.sleep(3)
    join(crowd, stop, book, wire_patience())


def report(a, book, notes, seconds):
    print("\nseed %d, %d s, %d members, %d clients" % (
        a.seed, seconds, a.members, a.clients))
    print("%d requests, %d objects read back whole; slowest %.1f s (%s)" % (
        book.requests, book.read_whole, *book.slowest))
    print("\nfaults: %d" % sum(book.faults.values()))
    for name, n in sorted(book.faults.items()):
        print("  %5d  %s" % (n, name))
    print("\nanswers")
    for (kind, status, code), n in sorted(book.answers.items(), key=str):
        print("  %6d  %-11s %s %s" % (n, kind, status, code))
    print()
    for line in notes:
        print(line)
    print("%d violations" % len(book.violations))
    for line in book.violations[:50]:
        print("  " + line)


class Checks:
    def __init__(self, tap, book):
        self.tap, self.book, self.n, self.failed = tap, book, 0, 0
        self.out = sys.stdout

    def run(self, name, f):
        before = len(self.book.violations)
        try:
            f()
        except Exception as e:
            self.book.violation("%s: %r" % (name, e))
        bad = self.book.violations[before:]
        self.tell(name, bad)

    def tell(self, name, bad):
        self.n += 1
        self.failed += bool(bad)
        line = "%s %d - %s" % ("not ok" if bad else "ok", self.n, name)
        print(line, flush=True)
        if self.tap and self.out is not sys.stdout:
            print(line, file=self.out, flush=True)
            for b in bad[:20]:
                print("#   " + b[:300], file=self.out, flush=True)


def run(a, folder, checks, book):
    c = cluster.Cluster(folder, a.members)
    began = time.monotonic()
    try:
        c.start()
        base = warm_up(a, c, book)
        book.began = began = time.monotonic()
        break_things(a, c, book)
        v = verify.Verify(c, book, base)
        checks.tell("every request is answered as promised while things break",
                    list(book.violations))
        for name, f in v.checks():
            checks.run(name, f)
        report(a, book, v.notes, time.monotonic() - began)
    finally:
        c.stop()


def ended(*_):
    sys.exit(143)               # through all that has to be stopped


def main():
    a = arguments()
    signal.signal(signal.SIGTERM, ended)
    folder = os.environ.get("CHAOS_DIR") or tempfile.mkdtemp(
        prefix="iv-chaos-")
    folder = os.path.realpath(folder)
    os.makedirs(folder, exist_ok=True)
    book = ledgers.Ledger()
    book.trace = open(folder + "/requests.log", "w", encoding="utf-8")
    checks = Checks(a.tap, book)
    if a.tap:                   # the plan and the checks there, all else here
        sys.stdout = open(folder + "/report.log", "w", encoding="utf-8")
    print("chaos: seed %d, logs in %s" % (a.seed, folder), flush=True)
    try:
        run(a, folder, checks, book)
    except Exception as e:
        checks.tell("the suite itself runs", ["%r" % e])
        if not a.tap:
            raise
    sys.stdout.flush()

    if a.tap:
        checks.out.write("1..%d\n" % checks.n)
    failed = checks.failed or book.violations
    if failed:
        print("again: CHAOS_SEED=%d CHAOS_SECONDS=%d CHAOS_MEMBERS=%d "
              "make chaos; logs are in %s" % (
                  a.seed, a.seconds, a.members, folder), file=sys.stderr)
    elif not a.keep:
        shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
