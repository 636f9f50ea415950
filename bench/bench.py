#!/usr/bin/env python3
"""What uploads and redirects cost, as ratios within one run.

The module and a plain `proxy_pass` (proxy_request_buffering off) send the same
bytes to the same S3 server, in turn, several rounds.  A worker's CPU time is
read from /proc, until it is idle again, and the bytes it took from its access
log, so that uploads which the load generator breaks off at its end count as
far as they went.  MD5 and SHA-256 are timed by `openssl speed` in every round.
Files in forms are compared with the same files as bodies of their own
(forms.py), redirects with `return 302` (redirects.py; paced.py at a fixed
rate), parsers measured alone (parsers.py), lists beside a Node service
(lists.py), uploads and redirects beside services in Go and Node (peers.py).

Needs what `util/setup-test` sets up; `util/bench` starts the servers and sets
TEST_MONGODB_URI, TEST_S3_* as for the tests.  TEST_MODULE names another build
of the module.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time

import pymongo

import forms
import lists
import parsers
import peers
import redirects
from rig import (BUFFERS, IMAGES, MIB, Nginx, Storage, cost, hash_cost, jpeg,
                 peak, spread, wrk)


def uploads(nginx, storage, folder, kind, size, rounds, seconds):
    data = IMAGES[kind](size)
    name = os.path.join(folder, f"{size}.{kind}")
    with open(name, "wb") as f:
        f.write(data)
    targets = os.path.join(folder, "targets")
    with open(targets, "w") as f:
        for i in range(64):
            f.write(storage.target(f"bench/{i}", f"image/{kind}") + "\n")
    runs = {"module": ("/api/upload?filename=x", []), "plain": ("/", [targets])}
    costs = {x: [] for x in runs}
    speeds = {x: [] for x in runs}
    hashes, ratios = [], []
    for i in range(rounds):
        # whoever goes first meets another state of the disk: take turns
        for x in sorted(runs, reverse=i % 2):
            path, more = runs[x]
            c, s = cost(nginx, storage, path, name, f"image/{kind}", more,
                        seconds)
            costs[x].append(c)
            speeds[x].append(s)
        hashes.append(hash_cost())
        ratios.append(costs["module"][-1] / (costs["plain"][-1] + hashes[-1]))
    rates = [m / p for m, p in zip(speeds["module"], speeds["plain"])]
    print(f"{kind} of {size / 1e6:g} MB, 16 at a time, CPU s/GB of the worker: "
          f"module {spread(costs['module'])}, "
          f"proxy_pass {spread(costs['plain'])}, "
          f"MD5 + SHA-256 {spread(hashes)}")
    print(f"  module / (proxy_pass + hashes): {spread(ratios)}   goal <= 1.15"
          f"   MB/s: {spread(speeds['module'])}, / proxy_pass {spread(rates)}",
          flush=True)


def memory(nginx, storage, folder, count, size):
    name = forms.write(folder, "large.jpeg", jpeg(size))
    base = nginx.memory()
    most, _, created = peak(nginx, storage, count * [
        ["-H", "Content-Type: image/jpeg", "-T", name,
         nginx.url("/api/upload?filename=x")]])
    growth = most - base
    print(f"{count} uploads of {size / 1e6:g} MB at a time: the worker grew by "
          f"{growth / 1024:.0f} KiB, {growth / 1024 / count:.0f} KiB each   "
          f"goal <= 256   ({created} of {count} created)", flush=True)


def memory_forms(nginx, storage, folder, count, size):
    name = forms.write(folder, "form.jpeg", jpeg(size))
    base = nginx.memory()
    # the second time tells whether the heap grows on
    first, again = [peak(nginx, storage, count * [
        ["-H", "Expect:", "-F", f"file=@{name};type=image/jpeg",
         nginx.url("/api/upload")]]) for _ in range(2)]
    growth = first[0] - base
    print(f"{count} forms with a file of {size / 1e6:g} MB at a time: the "
          f"worker grew by {growth / MIB:.0f} MiB, "
          f"{growth / 1024 / count:.0f} KiB each, by "
          f"{(again[0] - base) / MIB:.0f} MiB when it was repeated; "
          f"{(again[1] - base) / MIB:.0f} MiB stay with it")
    print(f"  goal <= {BUFFERS + count / 4:.0f} MiB: image_vault_buffers "
          f"({BUFFERS} MiB) and 256 KiB each   ({first[2]} and {again[2]} of "
          f"{count} created)", flush=True)


def redirect_times(nginx, storage, folder, rounds, seconds):
    name = os.path.join(folder, "redirect.jpeg")
    with open(name, "wb") as f:
        f.write(jpeg(100_000))
    big = os.path.join(folder, "big.jpeg")
    with open(big, "wb") as f:
        f.write(jpeg(100_000_000))
    out = subprocess.run(
        ["curl", "-sS", "-H", "Content-Type: image/jpeg", "-T", name,
         nginx.url("/api/upload?filename=x")], capture_output=True, text=True)
    ident = re.search(r'"id":"([0-9a-f]{24})"', out.stdout)[1]
    view = nginx.url(f"/api/{ident}/view")

    def measure(url):
        return wrk(url, "get.lua", connections=1, seconds=seconds)["p50"]

    idle, plain, busy, busy_plain = [], [], [], []
    loads = []
    for _ in range(rounds):
        idle.append(measure(view))
        plain.append(measure(nginx.url("/302")))
        nginx.settle()
        nginx.taken()
        began = time.monotonic()
        stop = threading.Event()

        def load():
            while not stop.is_set():
                subprocess.run(
                    ["curl", "-sS", "-o", "/dev/null", "-H",
                     "Content-Type: image/jpeg", "-T", big,
                     nginx.url("/api/upload?filename=x")], check=False)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for t in threads:
            t.start()
        time.sleep(1)
        busy.append(measure(view))
        busy_plain.append(measure(nginx.url("/302")))
        stop.set()
        for t in threads:
            t.join()
        lasted = time.monotonic() - began
        nginx.settle()
        loads.append(nginx.taken() / lasted / 1e6)
    storage.clean()
    print(f"redirect, median ms: idle {spread(idle)}, return 302 "
          f"{spread(plain)}; while 4 uploads of 100 MB run, at "
          f"{statistics.median(loads):.0f} MB/s: {spread(busy)}, "
          f"return 302 {spread(busy_plain)}   goal < 1", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--seconds", type=int, default=8)
    p.add_argument("--only", choices=("uploads", "forms", "redirects",
                                      "memory", "parsers", "lists", "peers"))
    p.add_argument("--documents", type=int, default=1_000_000,
                   help="of the lists")
    p.add_argument("--owners", type=int, default=10_000)
    p.add_argument("--realtime", action="store_true",
                   help="latencies at a fixed rate with real-time priority, on "
                   "a machine that does other work (root)")
    a = p.parse_args()

    storage = Storage()
    with open("/proc/cpuinfo") as f:
        sha = "with" if re.search(r"\b(sha_ni|sha2)\b", f.read()) else "without"
    print(f"{os.cpu_count()} processors {sha} SHA instructions, load average "
          f"before {os.getloadavg()[0]:.2f}", flush=True)

    def uploads_all(nginx, folder):
        for size in (1_000_000, 10_000_000):
            for kind in IMAGES:
                uploads(nginx, storage, folder, kind, size, a.rounds, a.seconds)

    parts = {
        "uploads": [uploads_all],
        "forms": [lambda nginx, folder: forms.run(
            nginx, storage, folder, a.rounds, a.seconds)],
        "redirects": [lambda nginx, folder: redirect_times(
            nginx, storage, folder, a.rounds, a.seconds)],
        "memory": [
            lambda nginx, folder: memory(
                nginx, storage, folder, 64, 200_000_000),
            lambda nginx, folder: memory_forms(
                nginx, storage, folder, 64, 10_000_000)],
    }
    for name, runs in parts.items():
        if a.only in (None, name):
            for part in runs:
                alone(part)
    if a.only in (None, "redirects"):
        redirects.run(alone, a.rounds, a.seconds, a.realtime)
    if a.only in (None, "parsers"):
        parsers.run(a.rounds)
    if a.only in (None, "lists"):
        lists.run(alone, a.documents, a.owners, a.rounds, a.seconds)
    if a.only in (None, "peers"):
        peers.run(alone, storage, a.rounds, a.seconds)
    pymongo.MongoClient(os.environ["TEST_MONGODB_URI"]).drop_database(
        "iv_bench")


def alone(part, **settings):
    """A part has an nginx of its own: none inherits another one's heap."""
    with tempfile.TemporaryDirectory(prefix="iv-bench-") as folder:
        nginx = Nginx(folder, **settings)
        nginx.start()
        try:
            part(nginx, folder)
        finally:
            nginx.stop()
            with open(os.path.join(folder, "logs/error.log")) as f:
                lines = [x for x in f if re.search(r"\[(error|crit|alert)", x)]
            if lines:
                print(f"{len(lines)} lines of error or worse in nginx's log",
                      *lines[:5], sep="\n  ")


if __name__ == "__main__":
    main()
