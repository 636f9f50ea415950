"""Lists of an owner's images: how many a second beside a Node service that
answers the same from the same MongoDB, and what a page far down costs.

MongoDB, both services and the load generator share the machine, so that the
CPU time each spends on a request tells more than requests a second do.
"""

import concurrent.futures
import datetime
import json
import os
import random
import re
import socket
import statistics
import sys
import time
import urllib.request

import bson
import pymongo

import rig

DATABASE = "iv_bench"
FIRST = "/api/user?cursor=&limit=20"
# pages before the one that is asked for
DEPTHS = (0, 10, 100, 1000, 5000)
# of the owner who has many images; all others have the same number
MANY = 20 * DEPTHS[-1] + 100
BATCH = 2000
# of each page in a round; nginx closes a connection after 1000 requests
REPEATS = 100
# what the module makes at start: it finds them ready
INDEXES = [pymongo.IndexModel(keys, sparse=sparse) for keys, sparse in (
    ({"userId": 1, "status": 1, "metadata.uploadedAt": -1, "_id": -1}, False),
    ({"userId": 1, "status": 1, "size": 1, "_id": 1}, False),
    ({"userId": 1, "status": 1, "originalName": 1, "_id": 1}, False),
    ({"userId": 1, "status": 1, "metadata.tags": 1, "metadata.uploadedAt": -1,
      "_id": -1}, False),
    ({"status": 1, "updatedAt": 1}, False),
    ({"access.expiresAt": 1}, True),
    ({"deletedAt": 1}, True),
    ({"direct.deadline": 1}, True))]


def owner(n):
    return f"owner-{n:05d}"


def document(i, who, noise):
    """An image as the module writes it, taken from a camera."""
    name = f"{noise[:8]}-{noise[8:12]}-4{noise[12:15]}-8{noise[15:18]}-" \
           f"{noise[18:30]}.jpg"
    uploaded = datetime.datetime(2026, 1, 1) + datetime.timedelta(
        milliseconds=1000 * i + int(noise[:2], 16))
    return {
        "_id": bson.ObjectId(), "userId": who,
        "originalName": f"IMG_{i % 10000:04d}.JPG", "filename": name,
        "contentType": "image/jpeg", "size": bson.Int64(3000000 + i % 999983),
        "dimensions": {"width": bson.Int64(4032), "height": bson.Int64(3024)},
        "checksums": {"md5": noise[:32], "sha256": noise[32:]},
        "etag": noise[:32],
        "metadata": {"uploadedAt": uploaded, "uploadedFrom": "203.0.113.7",
                     "tags": ["holiday", f"tag-{i % 50}"]},
        "access": {"isPublic": i % 10 == 0, "sharedWith": []},
        "status": "ready", "variants": [],
        "r2Key": f"images/{name}", "storage": "s3", "updatedAt": uploaded,
    }


def load(images, documents, owners):
    """Documents of all owners in the order in which they would have come."""
    began = time.monotonic()
    many = min(MANY, documents // 2)
    whose = many * [0] + [1 + i % (owners - 1)
                          for i in range(documents - many)]
    random.Random(1).shuffle(whose)

    def send(at):
        part = whose[at:at + BATCH]
        noise = os.urandom(48 * len(part)).hex()
        images.insert_many(
            [document(at + i, owner(n), noise[96 * i:96 * (i + 1)])
             for i, n in enumerate(part)], ordered=False)

    images.drop()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(send, range(0, documents, BATCH)))
    loaded = time.monotonic() - began
    images.create_indexes(INDEXES)
    images.database.client.admin.command("fsync")
    # all of it is looked at once: what is measured comes from memory
    list(images.aggregate([{"$group": {"_id": None,
                                       "size": {"$sum": "$size"}}}]))
    size = images.database.command("collStats", "images")
    print(f"{documents} documents of {owners} owners, {many} of one of them: "
          f"loaded in {loaded:.0f} s, with indexes in "
          f"{time.monotonic() - began:.0f} s; {size['size'] / 1e6:.0f} MB, "
          f"indexes {size['totalIndexSize'] / 1e6:.0f} MB", flush=True)
    return many


def ask(service, path, who):
    request = urllib.request.Request(service.url(path),
                                     headers={"X-Owner": who})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def following(cursor, limit=20):
    return f"/api/user?cursor={cursor}&limit={limit}"


def same(services, owners):
    """Nothing is measured before both give the same answers."""
    for n in [0] + random.sample(range(1, owners), 5):
        pages = []
        for service in services:
            page = ask(service, FIRST, owner(n))
            images = page["images"]
            page = ask(service, following(page["pagination"].pop("next")),
                       owner(n))
            more = page["pagination"].pop("next") is not None
            pages.append((images, page, more))
        if pages[0] != pages[1] or len(pages[0][0]) != 20:
            sys.exit(f"the answers for {owner(n)} differ:\n"
                     f"{json.dumps(pages[0])}\n{json.dumps(pages[1])}")


def mongod(client):
    """The server's process, if it runs on this machine."""
    pid = client.admin.command("serverStatus")["pid"]
    try:
        with open(f"/proc/{pid}/comm") as f:
            return pid if f.read().strip() == "mongod" else None
    except OSError:
        return None


def rates(nginx, folder, client, owners, processes, rounds, seconds):
    """The module and Node in turn, each with so many processes."""
    node = rig.node(folder, "list.mjs", processes, DATABASE)
    services = {"module": nginx, "node": node}
    server = mongod(client)
    figures = {x: {"rate": [], "cpu": [], "mongod": [], "p50": [], "p99": []}
               for x in services}
    try:
        same(list(services.values()), owners)
        # JavaScript is compiled while it runs
        for x in services.values():
            rig.wrk(x.url(FIRST), "list.lua", "1", str(owners - 1),
                    connections=32, seconds=3)
        for i in range(rounds):
            for x in sorted(services, reverse=i % 2):
                s = services[x]
                before = s.cpu(), rig.cpu_of(server) if server else 0
                r = rig.wrk(s.url(FIRST), "list.lua", "1", str(owners - 1),
                            connections=32, seconds=seconds)
                after = s.cpu(), rig.cpu_of(server) if server else 0
                f = figures[x]
                f["rate"].append(r["requests"] / r["seconds"])
                f["p50"].append(r["p50"])
                f["p99"].append(r["p99"])
                f["cpu"].append(1e6 * (after[0] - before[0]) / r["requests"])
                f["mongod"].append(
                    1e6 * (after[1] - before[1]) / r["requests"])
    finally:
        node.stop()
    print(f"lists of 20, first page of {owners - 1} owners, 32 at a time, "
          f"{processes} process{'es' if processes > 1 else ''} each:")
    for x, f in figures.items():
        print(f"  {x}: {rig.spread(f['rate'], 0)} a second, median ms "
              f"{rig.spread(f['p50'], 1)}, p99 {rig.spread(f['p99'], 1)}; CPU "
              f"µs a request: {rig.spread(f['cpu'], 0)}, mongod "
              f"{rig.spread(f['mongod'], 0)}")
    module, other = figures["module"], figures["node"]
    ratio = [m / n for m, n in zip(module["rate"], other["rate"])]
    print(f"  module / node: {rig.spread(ratio, 2)} times the requests a "
          f"second   goal >= 3   CPU time, node / module: "
          f"{rig.spread(shares(figures, 'cpu'), 1)}, with mongod's "
          f"{rig.spread(shares(figures, 'cpu', 'mongod'), 1)}", flush=True)


def shares(figures, *kinds):
    """Node's CPU time through the module's, round by round."""
    module, other = [
        [sum(x) for x in zip(*(figures[who][kind] for kind in kinds))]
        for who in ("module", "node")]
    return [n / m for m, n in zip(module, other)]


def depths(nginx, many, rounds):
    """One owner's pages, further and further down."""
    paths, cursor, seen = {}, "", 0
    for depth in DEPTHS:
        if 20 * (depth + 1) > many:
            continue
        while seen < 20 * depth:
            page = ask(nginx, following(cursor, min(100, 20 * depth - seen)),
                       owner(0))
            seen += len(page["images"])
            cursor = page["pagination"]["next"]
        paths[depth] = following(cursor)
    requests = {depth: (f"GET {path} HTTP/1.1\r\nHost: bench\r\n"
                        f"X-Owner: {owner(0)}\r\n\r\n").encode()
                for depth, path in paths.items()}
    medians = {depth: [] for depth in requests}
    for _ in range(rounds):
        for depth, values in in_turn(nginx, requests).items():
            medians[depth].append(statistics.median(values))
    print(f"lists of 20 of an owner with {many} images, median ms on one "
          f"connection:")
    for depth, values in medians.items():
        ratio = [v / first for v, first in zip(values, medians[0])]
        print(f"  after {depth} pages: {rig.spread(values)}, / first page "
              f"{rig.spread(ratio, 2)}{'   goal <= 1.3' if depth else ''}",
              flush=True)


def in_turn(nginx, requests):
    """One page of each, again and again: what goes on beside meets all."""
    times = {depth: [] for depth in requests}
    with socket.create_connection(("127.0.0.1", nginx.port), 30) as client:
        for i in range(REPEATS):
            for depth in sorted(requests, reverse=i % 2):
                times[depth].append(answer_time(client, requests[depth]))
    return times


def answer_time(client, request):
    """Milliseconds until the whole answer is there."""
    began = time.monotonic()
    client.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(client)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        sys.exit(f"a page was refused: {data[:200]}")
    left = int(re.search(rb"Content-Length: (\d+)", head)[1]) - len(body)
    while left > 0:
        left -= len(receive(client))
    return 1000 * (time.monotonic() - began)


def receive(client):
    data = client.recv(65536)
    if not data:
        sys.exit("nginx closed the connection")
    return data


def run(alone, documents, owners, rounds, seconds):
    client = pymongo.MongoClient(os.environ["TEST_MONGODB_URI"])
    many = load(client[DATABASE].images, documents, owners)
    # as in examples/nginx.conf
    settings = {"owner": "$http_x_owner", "read": 8}
    alone(lambda nginx, folder: depths(nginx, many, rounds),
          **settings)
    for processes in sorted({1, os.cpu_count()}):
        alone(lambda nginx, folder, n=processes: rates(
            nginx, folder, client, owners, n, rounds, seconds),
            workers=processes, **settings)
    client[DATABASE].images.drop()
