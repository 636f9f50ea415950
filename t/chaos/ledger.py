"""What was sent, what was answered, what was promised."""

import collections
import hashlib
import threading
import time


class Image:
    """What a client knows of one image.  Only the client that sent it changes
    it, so that the order of what was acknowledged is known."""

    def __init__(self, id, owner, name, data_sha, data_md5, size):
        self.id = id
        self.owner = owner
        self.name = name
        self.sha256 = data_sha
        self.md5 = data_md5
        self.size = size
        self.tags = [[]]            # that may stand now: acknowledged, later
        self.public = [False]
        self.blocked = [False]
        self.delete_sent = False
        self.delete_acked = False


class Ledger:
    def __init__(self):
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.images = {}                        # id: Image
        self.sent = {}                          # original name: (sha, md5, n)
        self.keys = {}                          # idempotency key: {names: id}
        self.answers = collections.Counter()    # (kind, status or error, code)
        self.faults = collections.Counter()
        self.requests = 0
        self.slowest = (0.0, "")
        self.violations = []
        self.read_whole = 0
        self.trace = None                       # a file: every request

    def violation(self, text):
        with self.lock:
            self.violations.append(text)
        print("VIOLATION: " + text, flush=True)

    def fault(self, name):
        with self.lock:
            self.faults[name] += 1

    def answer(self, kind, a, path=""):
        with self.lock:
            self.requests += 1
            if self.trace:
                self.trace.write("%.3f %.3f %s %s %s %s\n" % (
                    time.time(), a.seconds, kind, path,
                    a.status or a.error, a.code))
            what = a.status or a.error.split(":")[0]
            self.answers[(kind, what, a.code)] += 1
            if a.seconds > self.slowest[0]:
                self.slowest = (a.seconds, "%s, %s" % (kind, what))
        if a.error == "hang":
            self.violation("%s: no answer and no end of the connection after "
                           "%d s" % (kind, a.seconds))
        # a part's may be the storage's own
        if a.status == 500 and (a.code or kind not in ("object", "part")):
            self.violation("%s: 500 %s, request %s" % (
                kind, a.code, a.json.get("requestId")))

    def sends(self, name, data):
        with self.lock:
            self.sent[name] = (hashlib.sha256(data).hexdigest(),
                               hashlib.md5(data).hexdigest(), len(data))

    def acknowledged(self, owner, entry, key=None):
        """An image of a 200, 201 or 207.  Image, or None if it was known."""
        name = entry.get("originalName")
        with self.lock:
            want = self.sent.get(name)
            known = self.images.get(entry["id"])
            other = self.keys.setdefault((key, name), entry["id"]) \
                if key else entry["id"]
        if other != entry["id"]:
            self.violation("key %s stored %s twice: %s and %s"
                           % (key, name, other, entry["id"]))
        if want is None:
            self.violation("%s: nobody sent %s" % (entry["id"], name))
            return None
        got = (entry["checksums"]["sha256"], entry["checksums"]["md5"],
               entry["size"])
        if got != want:
            self.violation("%s: the answer's sums are not of what was sent"
                           % entry["id"])
        if known:
            return None
        image = Image(entry["id"], owner, name, *want)
        with self.lock:
            self.images[image.id] = image
        return image
