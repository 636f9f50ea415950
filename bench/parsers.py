"""The form parser, the image walkers and signed URLs, each alone on a core: no
server."""

import os
import re
import statistics
import subprocess
import sys

import rig

# of the time that MD5 and SHA-256 take
SHARES = {".jpg": 5, ".png": 40}
SPEED = 2
PRESIGN = 2000


def output(script):
    out = subprocess.run(["sh", os.path.join(rig.HERE, script)],
                         capture_output=True, text=True)
    # a driver exits with 1 if it is too slow
    if not out.stdout or out.returncode not in (0, 1):
        sys.exit(f"bench/{script} failed: {out.stderr}")
    return out.stdout


def gather(script, line, rounds):
    """{what: figures of all rounds} of the lines that a script prints."""
    found = {}
    for _ in range(rounds):
        for name, *values in re.findall(line, output(script), re.M):
            found.setdefault(name.strip(), []).append(
                [float(v) for v in values])
    if not found:
        sys.exit(f"bench/{script} printed no figures")
    return found


def form(rounds):
    found = gather("form.sh", r"^(.+?) +([\d.]+) GB/s", rounds)
    print(f"form parser, GB/s of one core, goal >= {SPEED}:")
    for name, values in found.items():
        speeds = [v[0] for v in values]
        low = ("   below the goal" if statistics.median(speeds) < SPEED else "")
        print(f"  {name}: {rig.spread(speeds, 1)}{low}", flush=True)


def walkers(rounds):
    found = gather("walkers.sh",
                   r"^(\S+) +\d+ +(\d+) +(\d+) +([\d.]+)%$", rounds)
    print("image walkers, % of the time of MD5 + SHA-256 in one pass:")
    for name, values in found.items():
        goal = SHARES.get(os.path.splitext(name)[1])
        hashed, walked, share = zip(*values)
        print(f"  {os.path.basename(name)}: {rig.spread(share, 1)}"
              f"{f'   goal <= {goal}' if goal else ''}   MB/s: hashes "
              f"{statistics.median(hashed):.0f}, "
              f"walker {statistics.median(walked):.0f}", flush=True)


def presign(rounds):
    found = gather("presign.sh", r"^(.+?) +(\d+) ns", rounds)
    print(f"signed URLs, ns of one core, goal <= {PRESIGN}:")
    for name, values in found.items():
        print(f"  {name}: {rig.spread([v[0] for v in values], 0)}", flush=True)


def run(rounds):
    form(rounds)
    walkers(rounds)
    presign(rounds)
