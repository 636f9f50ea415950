"""Uploads and redirects beside services in Go and in Node that do the same
work, and beside plain nginx, which does none of it.

All have as many processors as there are: nginx a worker for each, Go its
default, Node a process for each.  They share them with MongoDB, the S3 server
and the clients, so that the CPU time that each spends tells more than bytes a
second do.
"""

import hashlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import urllib.parse

import bson
import pymongo

import forms
import lists
import redirects
import rig

DATABASE = "iv_bench"
OWNER = "alice"
WORKERS = os.cpu_count()
RAW, FORM = "/api/upload?filename=x.jpg", "/api/upload"
IDS = 10_000
# of an upload by size: bytes a second and CPU time, as ratios to Go
UPLOADS = {100_000: (1.1, 1.0), 1_000_000: (1.05, 1.0),
           10_000_000: (0.95, 1.1)}
# what an answer and a document hold beside what differs each time
SAME = ("Cache-Control", "Content-Type", "X-Content-Type-Options",
        "Referrer-Policy", "Vary")


def go():
    return rig.Peer("Go", [os.environ["BENCH_GO"], "{port}", DATABASE])


def node(folder):
    return rig.node(folder, "images.mjs", WORKERS, DATABASE)


def nginx_settings(**more):
    # as in examples/nginx.conf; the services write no log either
    return dict(server="access_log off;", workers=WORKERS, read=8, write=8,
                owner="$http_x_owner", zone="64m", **more)


def turns(names, i):
    """Everybody's turn comes first, second and so on: who follows whom may
    matter as well."""
    names = list(names)
    at = i % len(names)
    order = names[at:] + names[:at]
    return order if (i // len(names)) % 2 == 0 else order[::-1]


def verdict(value, goal, least):
    met = value >= goal if least else value <= goal
    return f"goal {'>=' if least else '<='} {goal}: " \
           f"{'met' if met else 'MISSED'}"


def ask(service, method, path, who=OWNER, body=None, kind=None):
    client = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    headers = {"X-Owner": who} if who else {}
    if kind:
        headers["Content-Type"] = kind
    client.request(method, path, body, headers)
    answer = client.getresponse()
    text = answer.read()
    client.close()
    return answer, text


def shape(value):
    """The members of an answer and their types."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value]
    return type(value).__name__


def known(answer):
    # fastify names the charset of JSON
    return answer.status, {x: (answer.getheader(x) or "").split(";")[0]
                           for x in SAME}


def uploaded(service, storage, images, data, path, kind, body):
    """What an upload left behind, without what differs each time."""
    answer, text = ask(service, "PUT", path, body=body, kind=kind)
    parsed = json.loads(text)
    if answer.status != 201:
        sys.exit(f"an upload was refused: {text}")
    one = parsed["images"][0]
    doc = images.find_one({"_id": bson.ObjectId(one["id"])})
    stored = storage.s3.get_object(Bucket=storage.bucket, Key=doc["r2Key"])
    whole = stored["Body"].read() == data
    sums = (hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest())
    right = whole and doc["status"] == "ready" and sums == (
        one["checksums"]["md5"], one["checksums"]["sha256"]) == (
        doc["checksums"]["md5"], doc["checksums"]["sha256"])
    if not right or one["href"] != answer.getheader("Location"):
        sys.exit(f"an upload is not what was sent: {text} {doc}")
    return one["id"], (known(answer), shape(parsed),
                       {k: one[k] for k in ("originalName", "size",
                                            "contentType", "dimensions")},
                       sorted(doc), doc["userId"], doc["access"], doc["size"],
                       stored["ContentType"], stored["ContentDisposition"])


def redirected(service, ident, data):
    answer, text = ask(service, "GET", f"/api/{ident}/view")
    where = urllib.parse.urlsplit(answer.getheader("Location"))
    client = http.client.HTTPConnection(where.netloc, timeout=60)
    client.request("GET", f"{where.path}?{where.query}")
    if answer.status != 302 or client.getresponse().read() != data:
        sys.exit(f"a redirect does not lead to the image: {answer.headers}")
    head = known(answer)
    # a URL is kept as long as it stays the same, which differs
    head[1]["Cache-Control"] = head[1]["Cache-Control"].split("=")[0]
    query = urllib.parse.parse_qs(where.query)
    return head, text, query["X-Amz-Expires"], query["X-Amz-SignedHeaders"]


def same(services, storage):
    """Nothing is measured before all do the same."""
    images = pymongo.MongoClient(
        os.environ["TEST_MONGODB_URI"])[DATABASE].images
    small, large = rig.jpeg(100_000), rig.jpeg(10_000_000)
    found = {}
    for name, s in services.items():
        seen = found[name] = []
        for data in (small, large):
            for path, kind, body in (
                    (RAW, "image/jpeg", data),
                    (FORM, forms.FORM_TYPE, forms.form([data], "jpeg"))):
                ident, left = uploaded(s, storage, images, data, path, kind,
                                       body)
                seen += [left, redirected(s, ident, data)]
        path = f"/api/{ident}/view"
        for answer, text in (
                ask(s, "GET", path, who="bob"), ask(s, "GET", path, who=None),
                ask(s, "GET", f"/api/{24 * 'f'}/view"),
                ask(s, "PUT", RAW, who=None, body=small, kind="image/jpeg"),
                ask(s, "PUT", RAW, body=b"x" * 5000, kind="image/jpeg")):
            parsed = json.loads(text)
            seen.append((known(answer), shape(parsed),
                         parsed["error"]["code"]))
    storage.clean()
    first = next(iter(found))
    for name, seen in found.items():
        for one, other in zip(found[first], seen):
            if one != other:
                sys.exit(f"{first} and {name} differ:\n{one}\n{other}")
    print(f"the same answers, objects and documents from "
          f"{', '.join(found)}", flush=True)


def put(tool, service, targets, name, seconds):
    """One run of uploads: MB and CPU seconds a GB, median ms."""
    service.settle()
    before = service.cpu()
    out = subprocess.run(
        [tool, "127.0.0.1", str(service.port), "16", str(seconds),
         name, f"X-Owner: {OWNER}", "Content-Type: image/jpeg", "--",
         *targets], capture_output=True, text=True, check=True).stdout
    service.settle()
    spent = service.cpu() - before
    r = rig.results(out)[0]
    if r["failed"] or not r["requests"]:
        print(f"  ! {r['failed']:g} uploads failed")
    total = r["requests"] * os.path.getsize(name)
    return total / r["seconds"] / 1e6, spent / (total / rig.GB), r["p50"]


def uploads(tool, services, storage, folder, size, rounds, seconds):
    name = forms.write(folder, f"{size}.jpeg", rig.jpeg(size))
    plain = [storage.target(f"bench/{i}", "image/jpeg") for i in range(64)]
    runs = {**{x: (s, [RAW]) for x, s in services.items()},
            "plain nginx": (services["module"], plain)}
    figures = {x: [] for x in runs}
    # JavaScript is compiled while it runs, and heaps find their size
    for service, targets in runs.values():
        put(tool, service, targets, name, min(seconds, 3))
        storage.clean()
    for i in range(rounds):
        for x in turns(runs, i):
            figures[x].append(put(tool, *runs[x], name, seconds))
            storage.clean()
    print(f"uploads of {size / 1e6:g} MB, 16 at a time:")
    for x, f in figures.items():
        rates, costs, p50 = zip(*f)
        print(f"  {x}: MB/s {rig.spread(rates, 0)}, CPU s/GB "
              f"{rig.spread(costs, 2)}, median ms {rig.spread(p50, 1)}")
    module = figures["module"]
    for x, f in figures.items():
        if x == "module":
            continue
        rate, cost = ([m[i] / o[i] for m, o in zip(module, f)]
                      for i in (0, 1))
        goals = ["", ""]
        if x == "go":
            goals = [f" ({verdict(statistics.median(r), g, least)})"
                     for r, g, least in zip((rate, cost), UPLOADS[size],
                                            (True, False))]
        print(f"  module / {x}: MB/s {rig.spread(rate, 2)}{goals[0]}, CPU "
              f"s/GB {rig.spread(cost, 2)}{goals[1]}", flush=True)


def memory(starts, storage, folder, rounds):
    """What 64 uploads of 10 MB at a time take; every run has a fresh
    service."""
    count, size = 64, 10_000_000
    name = forms.write(folder, "memory.jpeg", rig.jpeg(size))
    owner = ["-H", f"X-Owner: {OWNER}"]
    commands = {
        "raw": lambda s: [*owner, "-H", "Content-Type: image/jpeg", "-T",
                          name, s.url(RAW)],
        "forms": lambda s: [*owner, "-H", "Expect:", "-F",
                            f"file=@{name};type=image/jpeg", s.url(FORM)]}
    growth = {kind: {x: [] for x in starts} for kind in commands}
    created = {kind: {x: 0 for x in starts} for kind in commands}
    for i in range(rounds):
        for kind, command in commands.items():
            for x in turns(starts, i):
                service = starts[x]()
                try:
                    # connections and pools are made at the first one
                    rig.peak(service, storage, [command(service)])
                    base = service.memory()
                    most, _, n = rig.peak(service, storage,
                                          count * [command(service)])
                finally:
                    service.stop()
                growth[kind][x].append((most - base) / 1e6)
                created[kind][x] += n
    print(f"{count} uploads of {size / 1e6:g} MB at a time, memory above idle "
          f"in MB:")
    for kind, of in growth.items():
        median = {x: statistics.median(g) for x, g in of.items()}
        goal = verdict(median["module"], 20, False) if kind == "raw" else \
            verdict(median["module"], round(median["go"]), False)
        print(f"  {kind}: "
              + ", ".join(f"{x} {rig.spread(g, 0)}" for x, g in of.items())
              + f"   {goal}   (created: "
              + ", ".join(f"{x} {n}" for x, n in created[kind].items())
              + f" of {rounds * count})", flush=True)


def raw_answer(service, path):
    """The bytes of an answer's head and body as they come."""
    with socket.create_connection(("127.0.0.1", service.port), 10) as s:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Owner: {OWNER}\r\n"
                  "Connection: close\r\n\r\n".encode())
        data = b""
        while more := s.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def documents():
    """Images to be asked for; a redirect needs no object."""
    images = pymongo.MongoClient(
        os.environ["TEST_MONGODB_URI"])[DATABASE].images
    docs = [lists.document(i, OWNER, os.urandom(48).hex())
            for i in range(IDS)]
    images.insert_many(docs)
    return [str(x["_id"]) for x in docs]


def ratio(figures, one, other, goal, kind="rate"):
    at = ("rate", "p50", "p99").index(kind)
    r = [a[at] / b[at] for a, b in zip(figures[one], figures[other])]
    what = f"   {verdict(statistics.median(r), goal, True)}" if goal else ""
    print(f"  {one} / {other}: {rig.spread(r, 2)}{what}", flush=True)


def views(starts, folder, idents, alone, rounds, seconds):
    ids = os.path.join(folder, "ids")
    with open(ids, "w") as f:
        f.write("".join(x + "\n" for x in idents))
    hot = f"/api/{idents[0]}/view"
    found = []
    alone(lambda nginx, _: found.extend(redirects.headers(nginx, hot, OWNER)),
          **nginx_settings())

    def among(nginx):
        services = {x: start() for x, start in starts.items()
                    if x != "module"}
        api = "/api/"
        runs = {"uncached, 10,000 ids": (nginx, hot, ["/uncached/", ids]),
                "hot, one id": (nginx, hot, []),
                "cached, 10,000 ids": (nginx, hot, [api, ids]),
                **{x: (s, hot, [api, ids]) for x, s in services.items()},
                "return 302": (nginx, hot.replace(api, "/302/"), [])}
        try:
            compare(runs, rounds, seconds)
        finally:
            for s in services.values():
                s.stop()

    alone(lambda nginx, _: among(nginx),
          **nginx_settings(like=redirects.like(found)))


def compare(runs, rounds, seconds):
    for x in ("hot, one id", "return 302"):
        service, path, _ = runs[x]
        head, body = raw_answer(service, path)
        print(f"{x}: a head of {len(head)} bytes, a body of {len(body)}")
    figures = {x: [] for x in runs}
    for i in range(-1, rounds):
        for x in turns(runs, max(i, 0)):
            service, path, ids = runs[x]
            service.settle()
            before = service.cpu()
            r = rig.wrk(service.url(path), "view.lua", OWNER, *ids,
                        connections=32, seconds=seconds)
            spent = service.cpu() - before
            # the first one fills caches and compiles
            if i >= 0:
                figures[x].append((r["requests"] / r["seconds"], r["p50"],
                                   r["p99"], 1e6 * spent / r["requests"]))
    print("redirects, 32 at a time:")
    for x, f in figures.items():
        rate, p50, p99, cpu = zip(*f)
        print(f"  {x}: {rig.spread(rate, 0)} a second, median ms "
              f"{rig.spread(p50, 2)}, p99 {rig.spread(p99, 2)}, CPU µs a "
              f"request {rig.spread(cpu, 1)}")
    ratio(figures, "uncached, 10,000 ids", "go", 2)
    ratio(figures, "hot, one id", "go", 15)
    ratio(figures, "uncached, 10,000 ids", "node", None)
    ratio(figures, "hot, one id", "return 302", None)
    ratio(figures, "cached, 10,000 ids", "return 302", None)


def measure(alone, storage, folder, rounds, seconds):
    def module():
        nginx = rig.Nginx(tempfile.mkdtemp(dir=folder), **nginx_settings())
        nginx.start()
        return nginx

    tool = rig.tool("load")
    starts = {"module": module, "go": go, "node": lambda: node(folder)}
    services = {}
    try:
        for x, start in starts.items():
            services[x] = start()
        same(services, storage)
        for size in UPLOADS:
            uploads(tool, services, storage, folder, size, rounds, seconds)
    finally:
        for s in services.values():
            s.stop()
    memory(starts, storage, folder, rounds)
    views(starts, folder, documents(), alone, rounds, seconds)


def run(alone, storage, rounds, seconds):
    with tempfile.TemporaryDirectory(prefix="iv-bench-") as folder:
        measure(alone, storage, folder, rounds, seconds)
