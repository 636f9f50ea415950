"""What has to hold when all is healed: section by section, each loss named."""

import concurrent.futures
import hashlib
import os
import re
import signal
import time

import boto3
import botocore.config

import cluster
import wire

GRAVE = re.compile(r"\[(?:alert|crit|emerg)\]|AddressSanitizer|runtime error|"
                   r"core dumped")
SENT = re.compile(r"worker process \d+ exited on signal 9$")

FDS = 24                        # connections that libmongoc's pool may add
MEMORY = 24 * 1024 * 1024       # pools and arenas that malloc keeps


class Verify:
    def __init__(self, c, ledger, base):
        self.cluster, self.ledger, self.base = c, ledger, base
        self.db = c.mongo.db
        self.s3 = boto3.client(
            "s3", endpoint_url="http://127.0.0.1:%d" % c.storage.port,
            region_name=cluster.REGION,
            aws_access_key_id=cluster.ACCESS,
            aws_secret_access_key=cluster.SECRET,
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, max_pool_connections=8,
                retries={"max_attempts": 3}))
        self.notes = []

    def bad(self, text, *values):
        self.ledger.violation(text % values if values else text)

    def in_the_end(self, wrong, node, seconds=60):
        """What may still be under way, by chance, is looked at again."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = list(wrong(node))
            except OSError as e:        # of a process that has just ended
                found = [repr(e)]
            if not found or time.monotonic() > end:
                break
            time.sleep(0.5)
        for text in found:
            self.bad("%s", text)

    def checks(self):
        return [
            ("the sweep has brought all to its end", self.settled),
            ("every acknowledged image is whole and ready",
             self.acknowledged),
            ("no acknowledged delete can still be read", self.deleted),
            ("no object without a document, nor the other way round",
             self.in_step),
            ("no open multipart upload", self.multipart),
            ("used is the sum of the sizes", self.quota),
            ("the zone's gauges are back", self.gauges),
            ("fds, threads and memory of the workers are back",
             self.resources),
            ("every node ends by itself", self.ends),
            ("nothing grave in the logs", self.logs),
        ]

    # -- the sweep

    def left(self):
        images, users = self.db.images, self.db.users
        return {
            "not ready": list(images.find({"status": {"$ne": "ready"}})),
            "with a ticket": list(images.find({"direct": {"$exists": 1}})),
            "with a multipart upload": list(
                images.find({"$or": [{"s3UploadId": {"$exists": 1}},
                                     {"s3UploadsAt": {"$exists": 1}}]})),
            "with an entry of the quota": [
                u for u in users.find({}) if u.get("storageQuota", {})
                .get("pending")],
        }

    def settled(self):
        """Tickets end first, then come two deletes, `stale` apart."""
        began = time.monotonic()
        end = began + cluster.URL_EXPIRY + 4 * cluster.STALE + 180
        while time.monotonic() < end:
            left = self.left()
            if not any(left.values()):
                self.notes.append("settled %.1f s after all was healed"
                                  % (time.monotonic() - began))
                # a PUT that lands after the last delete would be seen then
                time.sleep(2)
                return
            time.sleep(0.5)
        for what, docs in left.items():
            for d in docs[:5]:
                self.bad("left over, %s: %s", what, d)
            if len(docs) > 5:
                self.bad("left over, %s: %d in all", what, len(docs))

    # -- documents and objects

    def load(self):
        self.docs = {str(d["_id"]): d for d in self.db.images.find({})}
        self.objects = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(
                Bucket=cluster.BUCKET):
            for o in page.get("Contents", []):
                self.objects[o["Key"]] = o["Size"]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            self.sums = dict(zip(self.objects, pool.map(
                self.sum_of, list(self.objects))))

    def sum_of(self, key):
        body = self.s3.get_object(Bucket=cluster.BUCKET, Key=key)["Body"]
        data = body.read()
        return (hashlib.sha256(data).hexdigest(),
                hashlib.md5(data).hexdigest(), len(data))

    def acknowledged(self):
        self.load()
        kept = 0
        for i in list(self.ledger.images.values()):
            d = self.docs.get(i.id)
            if i.delete_sent:
                continue                # gone or not: both are right
            if d is None or d["status"] != "ready":
                self.bad("%s (%s of %s) was acknowledged and is %s", i.id,
                         i.name, i.owner, d["status"] if d else "gone")
                continue
            kept += 1
            if d["metadata"].get("tags", []) not in i.tags:
                self.bad("%s: tags %s, acknowledged or sent later: %s",
                         i.id, d["metadata"].get("tags"), i.tags)
            if d["access"]["isPublic"] not in i.public:
                self.bad("%s: isPublic %s, acknowledged or sent later: %s",
                         i.id, d["access"]["isPublic"], i.public)
            if ("blocked" in d) not in i.blocked:
                self.bad("%s: blocked %s, acknowledged or sent later: %s",
                         i.id, d.get("blocked"), i.blocked)
            self.served(i)
        self.notes.append("%d images acknowledged, %d of them still wanted"
                          % (len(self.ledger.images), kept))
        for id, d in self.docs.items():
            self.whole(id, d)

    def whole(self, id, d):
        """Ready is whole, acknowledged or not."""
        if d["status"] != "ready":
            return
        says = (d["checksums"]["sha256"], d["checksums"]["md5"], d["size"])
        sent = self.ledger.sent.get(d["originalName"])
        if says != sent:
            self.bad("%s: the document's sums are not of what was sent as %s",
                     id, d["originalName"])
        if self.sums.get(d["r2Key"]) != says:
            self.bad("%s: its object %s is %s", id, d["r2Key"],
                     "another" if d["r2Key"] in self.sums else "not there")

    def served(self, i):
        a = wire.request(self.cluster.nodes[0].port, "GET",
                         "/api/%s/view" % i.id, {"X-Owner": i.owner})
        if a.status != 302 and i.blocked == [False]:
            self.bad("%s: its owner gets %d %s", i.id, a.status,
                     a.code or a.error)

    def deleted(self):
        """cache_valid has long passed on either node."""
        gone = [i for i in self.ledger.images.values() if i.delete_acked]
        self.notes.append("%d deletes and expiries acknowledged" % len(gone))
        for i in gone:
            if i.id in self.docs:
                self.bad("%s was deleted and is %s", i.id,
                         self.docs[i.id]["status"])
        for i in gone[-200:]:
            for node in self.cluster.nodes:
                a = wire.request(node.port, "GET", "/api/%s/view" % i.id,
                                 {"X-Owner": i.owner})
                if a.status != 404:
                    self.bad("%s was deleted, %s answers %d %s", i.id,
                             node.name, a.status, a.error)

    def in_step(self):
        keys = {d["r2Key"] for d in self.docs.values()}
        for key in self.objects:
            if key not in keys:
                self.bad("%s: an object without a document", key)
        for id, d in self.docs.items():
            if d["status"] == "ready" and d["r2Key"] not in self.objects:
                self.bad("%s: ready without its object", id)
        self.notes.append("%d objects, %d documents"
                          % (len(self.objects), len(self.docs)))

    def multipart(self):
        """Also of those whose beginning was never answered, or whose worker
        was killed before it had noted the answer."""
        left = self.s3.list_multipart_uploads(
            Bucket=cluster.BUCKET).get("Uploads", [])
        self.notes.append("%d multipart uploads that only the storage knew "
                          "of were aborted" % sum(
                              "upload that nobody knew of" in line
                              for n in self.cluster.nodes
                              for line in n.errors()))
        for u in left:
            self.bad("open multipart upload %s of %s since %s",
                     u["UploadId"], u["Key"], u["Initiated"])

    def quota(self):
        sums = {}
        for d in self.docs.values():
            sums[d["userId"]] = sums.get(d["userId"], 0) + d["size"]
        for u in self.db.users.find({}):
            q = u["storageQuota"]
            if q["used"] != sums.get(u["_id"], 0):
                self.bad("%s: used %d, the sum of the sizes is %d", u["_id"],
                         q["used"], sums.get(u["_id"], 0))
            if q.get("pending"):
                self.bad("%s: pending %s", u["_id"], q["pending"])

    # -- nginx

    def gauges(self):
        for n in self.cluster.nodes:
            self.in_the_end(self.busy, n)

    @staticmethod
    def busy(n):
        names = ["image_vault_" + name for name in (
            "uploads_in_flight", "storage_operations_in_flight",
            "queue_length", "database_breaker_open")]
        for key, value in metrics(n).items():
            if key.partition("{")[0] in names and value:
                yield "%s: %s is %d" % (n.name, key, value)

    def resources(self):
        # connections kept alive end first
        time.sleep(2)
        for n in self.cluster.nodes:
            self.in_the_end(self.too_much, n)
            now = resources(n)
            self.notes.append("%s: %s; at first %s" % (
                n.name, told(now), told(self.base[n.name])))
            half = [p for w in now for p in w["close_wait"]]
            if half:
                self.notes.append("%s: half closed, by port: %s (MongoDB has "
                                  "%s)" % (n.name, half, self.mongo_ports()))

    def mongo_ports(self):
        return sorted(m.port for m in self.cluster.mongo.members)

    def too_much(self, n):
        now, base = resources(n), self.base[n.name]
        if len(now) != 2:
            yield "%s: %d workers" % (n.name, len(now))
        count = len(n.processes())
        if count != 3:
            yield "%s: %d processes, not a master and two workers" % (
                n.name, count)
        for kind, slack in (("fds", FDS), ("threads", 4), ("memory", MEMORY)):
            if kind == "memory" and os.environ.get("ASAN_OPTIONS"):
                continue
            most = max(b[kind] for b in base)
            for w in now:
                if w[kind] > most + slack:
                    yield "%s: a worker has %d %s, at first %d" % (
                        n.name, w[kind], kind, most)
        # libmongoc notices when it next takes one of its pool
        mongo = self.mongo_ports()
        for w in now:
            if [p for p in w["close_wait"] if p not in mongo]:
                yield "%s: connections that their peer has closed, by port: " \
                      "%s" % (n.name, w["close_wait"])

    def ends(self):
        for n in self.cluster.nodes:
            if not n.stop(signal.SIGQUIT, 60):
                self.bad("%s did not end", n.name)
            for pid in n.processes():
                self.bad("%s: process %d is left", n.name, pid)

    def logs(self):
        for n in self.cluster.nodes:
            for line in grave(n.errors()):
                self.bad("%s: %s", n.name, line)
            for name in os.listdir(n.dir):
                if name.startswith("core"):
                    self.bad("%s: %s", n.name, name)


def grave(lines):
    """nginx before 1.26 counts the connections of a worker that was going
    gracefully when TERM came, as if it had lost them: its own affair."""
    going, ended = set(), set()
    for line in lines:
        m = re.search(r" (\d+)#\d+: (.*)", line)
        pid, text = (m[1], m[2]) if m else ("", line)
        if text == "gracefully shutting down":
            going.add(pid)
        elif text.startswith("signal 15 (SIGTERM) received"):
            ended |= going
        if not GRAVE.search(line) or SENT.search(line):
            continue
        if pid in ended and (text == "aborting" or re.match(
                r"\*\d+ open socket #\d+ left in connection \d+$", text)):
            continue
        yield line


def metrics(node):
    a = wire.request(node.port, "GET", "/metrics")
    out = {}
    for line in a.body.decode().split("\n"):
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            out[name] = float(value)
    return out


def resources(node):
    """Of each worker: descriptors, threads, anonymous memory."""
    out = []
    for pid in node.workers():
        with open("/proc/%d/status" % pid) as f:
            status = f.read()
        fds = os.listdir("/proc/%d/fd" % pid)
        out.append({
            "fds": len(fds),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "memory": 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1]),
            "close_wait": close_wait(pid, fds),
        })
    return out


def close_wait(pid, fds):
    """Whose ends have closed, but not we: their ports."""
    inodes = set()
    for fd in fds:
        try:
            m = re.match(r"socket:\[(\d+)\]",
                         os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        except OSError:
            continue
        if m:
            inodes.add(m[1])
    with open("/proc/%d/net/tcp" % pid) as f:
        rows = [line.split() for line in f]
    return [int(r[2].split(":")[1], 16) for r in rows
            if r[3] == "08" and r[9] in inodes]


def told(workers):
    return ", ".join("%d fds %d threads %.1f MiB" % (
        w["fds"], w["threads"], w["memory"] / 1048576) for w in workers)
