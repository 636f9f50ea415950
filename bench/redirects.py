"""Redirects a second beside `return 302` with the same headers in the same
nginx, and what a cache that is too small costs beside none."""

import http.client
import os
import statistics

import bson
import pymongo

import lists
import paced
import rig

DATABASE = lists.DATABASE
FIRST = 1
MANY = 100_000
SOME = 10_000
LARGE = "128m"
# holds a few thousand images
SMALL = "1m"
HOLD = "0123456789abcdef" * 6
# no connection is to be made anew while times are taken
KEEP = "keepalive_requests 1000000000;"


def seed():
    """Images of the owner of all requests, as the module writes them."""
    images = pymongo.MongoClient(os.environ["TEST_MONGODB_URI"])[DATABASE][
        "images"]
    images.drop()
    documents = []
    for i in range(MANY):
        d = lists.document(i, "alice", HOLD[i % 16:] + HOLD[:i % 16])
        d["_id"] = bson.ObjectId(f"{FIRST + i:024x}")
        name = f"{i:08x}-0000-4000-8000-{i:012x}.jpg"
        d.update(filename=name, r2Key=f"images/{name}")
        d["access"]["isPublic"] = False
        documents.append(d)
    images.insert_many(documents, ordered=False)


def headers(nginx, path=f"/api/{FIRST:024x}/view", owner="alice"):
    """Of the redirect that `return 302` is to look like."""
    c = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=10)
    c.request("GET", path, headers={"X-Owner": owner})
    answer = c.getresponse()
    if answer.status != 302:
        raise SystemExit(f"a redirect was answered with {answer.status}")
    return [(k, v) for k, v in answer.getheaders()
            if k not in ("Server", "Date", "Connection", "Content-Length",
                         "Content-Type")]


def like(found):
    """nginx's own redirect with such headers."""
    lines = [f'add_header {k} "{v}" always;' for k, v in found
             if k != "Location"]
    return "\n".join([*lines, f'return 302 "{dict(found)["Location"]}";'])


class Turns:
    """Two kinds of requests, in turn."""

    def __init__(self, nginx, seconds):
        self.nginx = nginx
        self.seconds = seconds
        self.found = {}

    def run(self, name, *args, path="/"):
        before = self.nginx.cpu()
        r = rig.wrk(self.nginx.url(path), "get.lua", *map(str, args),
                    seconds=self.seconds)
        self.found.setdefault(name, []).append(
            (r["requests"] / r["seconds"], r["p99"],
             (self.nginx.cpu() - before) / r["requests"] * 1e6))

    def rate(self, name):
        return statistics.median(x[0] for x in self.found[name])

    def print(self, what, one, two, goals=("", "")):
        print(f"{what}:")
        for name in (one, two):
            rates, late, cpu = zip(*self.found[name])
            print(f"  {name}: requests/s {rig.spread(rates, 0)}, p99 ms "
                  f"{rig.spread(late, 2)}, CPU us each "
                  f"{rig.spread(cpu, 1)}")
        pairs = list(zip(self.found[one], self.found[two]))
        shares = [[a[i] / b[i] for a, b in pairs] for i in range(3)]
        print(f"  {one} / {two}: requests/s {rig.spread(shares[0], 2)}"
              f"{goals[0]}, p99 {rig.spread(shares[1], 2)}{goals[1]}, CPU "
              f"{rig.spread(shares[2], 2)}", flush=True)


def cached(nginx, plain, rounds, seconds, realtime):
    def ids(how, path, count, after=""):
        return (how, path, FIRST, count, after)

    def warm():
        Turns(nginx, max(seconds, 5)).run(
            "warm", *ids("all", "/api/", SOME, "/view"))

    warm()
    hot, some = Turns(nginx, seconds), Turns(nginx, seconds)
    one = f"{FIRST:024x}"
    for i in range(rounds):
        kinds = [
            lambda: hot.run("redirect", path=f"/api/{one}/view"),
            lambda: hot.run("return 302", path=f"/302/{one}/view"),
            lambda: some.run("redirect", *ids("any", "/api/", SOME, "/view")),
            lambda: some.run("return 302",
                             *ids("any", "/302/", SOME, "/view"))]
        # whoever goes first meets another state of the machine
        for run in (kinds, kinds[::-1])[i % 2]:
            run()
    hot.print("one image, 16 at a time", "redirect", "return 302",
              (" (goal >= 0.9)", ""))
    some.print(f"{SOME} images uniformly", "redirect", "return 302",
               (" (goal >= 0.85)", ""))
    paced.run(nginx, plain, [
        ("one image", (FIRST, 1), hot.rate("return 302"), warm),
        (f"{SOME} images uniformly", (FIRST, SOME), some.rate("return 302"),
         warm)],
        rounds, max(2, seconds / 2), realtime)


def too_small(nginx, rounds, seconds):
    turns = Turns(nginx, seconds)
    for i in range(rounds):
        for path, name in sorted((("/api/", "zone too small"),
                                  ("/uncached/", "no cache")),
                                 reverse=i % 2):
            turns.run(name, "any", path, FIRST, MANY, "/view")
    turns.print(f"{MANY} images uniformly, a zone of {SMALL}",
                "zone too small", "no cache", (" (goal >= 0.9)", ""))


def run(alone, rounds, seconds, realtime):
    seed()
    found = []
    alone(lambda nginx, folder: found.extend(headers(nginx)), zone=LARGE)
    # all others have a path of the same length
    same = {"like": like(found), "server": KEEP}
    alone(lambda nginx, folder: alone(
        lambda plain, folder: cached(nginx, plain, rounds, seconds,
                                     realtime),
        module=False, **same), zone=LARGE, **same)
    alone(lambda nginx, folder: too_small(nginx, rounds, seconds), zone=SMALL)
