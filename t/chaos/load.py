"""The clients: several owners, each with several clients on both nodes."""

import base64
import hashlib
import json
import random
import threading
import time
import urllib.parse

import cluster
import images
import wire

OWNERS = ("alice", "bob", "carol", "6920d2b07a3f4e5d6c7b8a90")
HOLD = 5 * 1024 * 1024          # what a client keeps before it deletes

KINDS = {
    "raw": 22, "chunked": 12, "form": 10, "idempotent": 8, "digest": 5,
    "direct": 8, "large": 2, "vanish": 9, "slow": 4, "expire": 3,
    "get": 18, "view": 12, "follow": 10, "part": 10, "patch": 12, "delete": 8, "bulk": 4,
    "list": 3, "usage": 2, "presign": 3, "moderate": 3, "withdraw": 6,
}


class Client(threading.Thread):
    def __init__(self, number, seed, nodes, ledger, stop):
        super().__init__(name="client-%d" % number, daemon=True)
        self.number = number
        self.rng = random.Random("%s/client/%d" % (seed, number))
        self.owner = OWNERS[number % len(OWNERS)]
        self.nodes, self.ledger, self.stop = nodes, ledger, stop
        self.serial = 0
        self.mine = []
        self.later = []                 # (when, node, image): other nodes'
                                        # look after a withdrawal

    # -- what all kinds use

    def run(self):
        kinds, weights = zip(*KINDS.items())
        while not self.stop.is_set():
            kind = self.rng.choices(kinds, weights)[0]
            try:
                getattr(self, "do_" + kind)()
                self.look_again()
                self.make_room()
            except Exception as e:      # a broken client hides losses
                self.ledger.violation("%s: the client itself failed: %r"
                                      % (kind, e))
            time.sleep(self.rng.uniform(0, 0.06))

    def node(self):
        return self.rng.choice(self.nodes)

    def ask(self, kind, method, path, body=b"", node=None, owner=None,
            headers=None, root="/api/", **how):
        node = node or self.node()
        head = {"X-Owner": owner or self.owner}
        head.update(headers or {})
        a = wire.request(node.port, method, root + path, head, body, **how)
        self.ledger.answer(kind, a, "%s %s %s" % (node.name, method, path))
        if not a.status:
            time.sleep(0.1)
        return a

    def ask_json(self, kind, method, path, what, **how):
        headers = dict(how.pop("headers", {}))
        headers["Content-Type"] = "application/json"
        return self.ask(kind, method, path, json.dumps(what).encode(),
                        headers=headers, **how)

    def image(self, low=200, high=60_000):
        self.serial += 1
        name = "c%d-%d.png" % (self.number, self.serial)
        if low == 200 and self.rng.random() < 0.1:
            high = 400_000
        data = images.png(self.rng, self.rng.randint(low, high))
        self.ledger.sends(name, data)
        return name, data

    def stored(self, a, key=None):
        """Notes what an answer promises."""
        new = []
        if a.status in (200, 201, 207):
            for entry in a.json.get("images", []):
                image = self.ledger.acknowledged(self.owner, entry, key)
                if image:
                    new.append(image)
        self.mine += new
        return new

    def pick(self):
        """One of mine that stands without doubt."""
        sure = [i for i in self.mine if not i.delete_sent
                and i.blocked == [False]]
        return self.rng.choice(sure) if sure else None

    def stands(self, kind, image, a):
        """An image that was acknowledged is never absent."""
        if a.status in (404, 409, 410) and not image.delete_sent:
            self.ledger.violation("%s of %s, which was acknowledged: %d %s"
                                  % (kind, image.id, a.status, a.code))

    def make_room(self):
        held = sum(i.size for i in self.mine if not i.delete_sent)
        while held > HOLD and not self.stop.is_set():
            image = self.pick()
            if image is None:
                return
            held -= image.size
            self.remove(image)

    # -- uploads

    def upload(self, kind, name, data, headers=None, query="", **how):
        head = {"Content-Type": "image/png"}
        head.update(headers or {})
        return self.ask(kind, self.rng.choice(("POST", "PUT")),
                        "upload?filename=%s%s" % (name, query), data,
                        headers=head, **how)

    def do_raw(self):
        self.stored(self.upload("raw", *self.image()))

    def do_chunked(self):
        self.stored(self.upload("chunked", *self.image(), chunked=True,
                                pieces=self.rng.randint(1, 5)))

    def do_large(self):
        self.stored(self.upload(
            "large", *self.image(5_300_000, 11_000_000), chunked=True,
            pieces=40, pause=0.01))

    def do_digest(self):
        name, data = self.image()
        sums = {"Content-MD5": hashlib.md5(data), "Content-Digest":
                hashlib.sha256(data), "Repr-Digest": hashlib.sha512(data)}
        header = self.rng.choice(list(sums))
        text = base64.b64encode(sums[header].digest()).decode()
        if header != "Content-MD5":
            text = "sha-%s=:%s:" % (
                "256" if header == "Content-Digest" else "512", text)
        wrong = self.rng.random() < 0.2
        if wrong:
            data = images.png(self.rng, len(data))
        a = self.upload("digest", name, data, {header: text})
        if wrong and a.status in (200, 201):
            self.ledger.violation("a wrong %s was accepted" % header)
        self.stored(a)

    def do_slow(self):
        self.stored(self.upload(
            "slow", *self.image(), pieces=self.rng.randint(3, 8), pause=0.7,
            chunked=self.rng.random() < 0.5))

    def do_expire(self):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
            time.time() + self.rng.randint(2, 6)))
        for image in self.stored(self.upload(
                "expire", *self.image(), query="&expiresAt=" + at)):
            image.delete_sent = image.delete_acked = True

    def form(self):
        files = [self.image() for _ in range(self.rng.randint(1, 4))]
        tags = ["a", "b"] if self.rng.random() < 0.5 else []
        fields = [("tags", "a, b")] if tags else []     # behind the files
        return images.form(files, fields), {
            "Content-Type": "multipart/form-data; boundary="
                            + images.BOUNDARY}, tags

    def do_form(self):
        body, headers, tags = self.form()
        for image in self.stored(self.ask(
                "form", "POST", "upload", body, headers=headers,
                pieces=self.rng.randint(1, 6),
                pause=self.rng.choice((0, 0, 0.1)),
                chunked=self.rng.random() < 0.3)):
            image.tags = [tags]

    def do_vanish(self):
        """Gone in mid-body, or before the answer."""
        chunked = self.rng.random() < 0.5
        if self.rng.random() < 0.4:
            body, headers, _ = self.form()
            path = "upload"
        else:
            name, body = self.image(200, 600_000)
            path, headers = "upload?filename=" + name, {
                "Content-Type": "image/png"}
        cut = self.rng.choice((0, 1, len(body) // 3, len(body) - 1,
                               self.rng.randrange(len(body)), len(body)))
        self.ask("vanish", "POST", path, body, headers=headers, cut=cut,
                 chunked=chunked, pieces=3, pause=self.rng.choice((0, 0.2)))

    def do_idempotent(self):
        key = "k%d-%d" % (self.number, self.serial)
        chunked = self.rng.random() < 0.3
        tags = []
        if self.rng.random() < 0.3:
            body, headers, tags = self.form()
            path = "upload"
        else:
            name, body = self.image()
            path, headers = "upload?filename=" + name, {
                "Content-Type": "image/png"}
        headers["Idempotency-Key"] = key
        again = self.rng.random() < 0.5
        for _ in range(6):
            cut = self.rng.randrange(len(body)) \
                if self.rng.random() < 0.15 else None
            a = self.ask("idempotent", "POST", path, body, headers=headers,
                         chunked=chunked, cut=cut)
            for image in self.stored(a, key):
                image.tags = [tags]
            if a.status and a.status < 500 and a.status not in (409, 429):
                if not again or a.status >= 400:
                    return
                again = False
            if self.stop.is_set():
                return
            time.sleep(self.rng.uniform(0.1, 1.0))

    def do_direct(self):
        name, data = self.image()
        a = self.ask_json("ticket", "POST", "direct-upload", {
            "originalName": name, "contentType": "image/png",
            "size": len(data)})
        if a.status != 201 or self.rng.random() < 0.1:
            return
        t = a.json
        url = urllib.parse.urlsplit(t["url"])
        cut = self.rng.randrange(len(data)) \
            if self.rng.random() < 0.15 else None
        for _ in range(3):
            put = wire.request(
                url.port, "PUT", url.path + "?" + url.query,
                dict(t["headers"], Host=url.netloc), data, cut=cut)
            if put.status in (200, 412) or self.stop.is_set():
                break
            cut = None
            time.sleep(0.5)
        if self.rng.random() < 0.1:
            return
        for _ in range(4):
            a = self.ask("complete", "POST", t["id"] + "/complete")
            self.stored(a)
            if 0 < a.status < 500 and a.status != 409:
                return
            if self.stop.is_set():
                return
            time.sleep(self.rng.uniform(0.2, 1.0))

    # -- reads

    def do_get(self):
        image = self.pick()
        if image is None:
            return
        a = self.ask("get", "GET", image.id,
                     headers={"Accept": "application/json"})
        self.stands("get", image, a)
        if a.status == 200:
            m = a.json["image"]["metadata"]
            if m["checksums"]["sha256"] != image.sha256 \
                    or m["size"] != image.size:
                self.ledger.violation("%s: other sums than acknowledged"
                                      % image.id)

    def do_view(self):
        image = self.pick()
        if image is not None:
            a = self.ask("view", self.rng.choice(("GET", "HEAD")),
                         image.id + "/view")
            self.stands("view", image, a)

    def do_follow(self):
        """The bytes behind a redirect are those that were sent."""
        image = self.pick()
        if image is None:
            return
        a = self.ask("view", "GET", image.id + "/view")
        self.stands("view", image, a)
        if a.status != 302:
            return
        url = urllib.parse.urlsplit(a.headers["location"])
        o = wire.request(url.port, "GET", url.path + "?" + url.query,
                         {"Host": url.netloc})
        self.ledger.answer("object", o)
        if o.status == 200:
            if hashlib.sha256(o.body).hexdigest() != image.sha256:
                self.ledger.violation("%s: other bytes than acknowledged"
                                      % image.id)
            with self.ledger.lock:
                self.ledger.read_whole += 1
        elif o.status == 404:
            self.ledger.violation("%s: its object is not there" % image.id)

    def do_part(self):
        """The same through nginx, which looks first who may see it."""
        image = self.pick()
        if image is None:
            return
        a = self.ask("part", "GET", image.id, root="/part/")
        if a.code or a.status == 410:
            self.stands("part", image, a)
        if a.status == 404 and not a.code:
            self.ledger.violation("%s: its object is not there" % image.id)
        if a.status == 200:
            if hashlib.sha256(a.body).hexdigest() != image.sha256:
                self.ledger.violation("%s: other bytes than acknowledged"
                                      % image.id)
            with self.ledger.lock:
                self.ledger.read_whole += 1

    def do_list(self):
        self.ask("list", "GET", "user?limit=%d%s" % (
            self.rng.randint(1, 100), self.rng.choice(("", "&cursor=",
                                                       "&urls=1"))))

    def do_usage(self):
        a = self.ask("usage", "GET", "usage")
        if a.status == 200 and a.json["storageQuota"]["used"] \
                > cluster.QUOTA:
            self.ledger.violation("%s: more used than the limit: %s"
                                  % (self.owner, a.body))

    def do_presign(self):
        image = self.pick()
        if image is not None:
            self.stands("presign", image, self.ask_json(
                "presign", "POST", "presigned-url", {"imageId": image.id}))

    # -- changes

    def do_patch(self):
        image = self.pick()
        if image is not None:
            self.serial += 1
            self.patch(image, tags=["v%d" % self.serial])

    def patch(self, image, node=None, **members):
        a = self.ask_json("patch", "PATCH", image.id, members, node=node)
        self.stands("patch", image, a)
        for name, value in members.items():
            may = image.tags if name == "tags" else image.public
            if a.status == 200:
                may[:] = [value]
            elif not a.status or a.status >= 500:
                may.append(value)       # it may have been applied
        return a

    def remove(self, image, node=None):
        a = self.ask("delete", *self.rng.choice((
            ("DELETE", image.id), ("POST", image.id + "/delete"))), node=node)
        if a.status == 404 and not image.delete_sent:
            self.stands("delete", image, a)
        image.delete_sent = True
        if a.status == 200:
            image.delete_acked = True
        return a

    def do_delete(self):
        image = self.pick()
        if image is not None:
            node = self.node()
            era = node.era
            if self.remove(image, node).status == 200:
                self.must_not_redirect(image, node, era, self.owner)

    def do_withdraw(self):
        """Public, seen by a stranger, private again: no redirect any more."""
        image = self.pick()
        node = self.node()
        if image is None \
                or self.patch(image, node, isPublic=True).status != 200:
            return
        for n in self.nodes:
            self.ask("stranger", "GET", image.id + "/view", node=n,
                     owner="mallory")
        era = node.era
        if self.patch(image, node, isPublic=False).status == 200:
            self.must_not_redirect(image, node, era, "mallory")
            self.later.append((time.monotonic() + cluster.CACHE_VALID + 1,
                               image))

    def must_not_redirect(self, image, node, era, who):
        a = self.ask("stranger", "GET", image.id + "/view", node=node,
                     owner=who)
        if a.status == 302 and era == node.era and era % 2 == 0:
            self.ledger.violation("%s: a redirect by node %s after access was "
                                  "withdrawn there" % (image.id, node.name))
        a = self.ask("stranger", "GET", image.id, node=node, owner=who,
                     root="/part/")
        if a.status == 200 and era == node.era and era % 2 == 0:
            self.ledger.violation("%s: shown by node %s after access was "
                                  "withdrawn there" % (image.id, node.name))

    def look_again(self):
        now = time.monotonic()
        due = [i for when, i in self.later if when <= now]
        self.later = [l for l in self.later if l[0] > now]
        for image in due:
            if image.public != [False]:
                continue
            for node in self.nodes:
                a = self.ask("stranger", "GET", image.id + "/view",
                             node=node, owner="mallory")
                if a.status == 302:
                    self.ledger.violation(
                        "%s: a redirect by node %s longer than cache_valid "
                        "after access was withdrawn" % (image.id, node.name))

    def do_bulk(self):
        some = [i for i in {self.pick() for _ in range(4)} if i]
        if not some:
            return
        action = self.rng.choice(("delete", "publish", "unpublish", "sign"))
        if action == "delete":
            for image in some:
                image.delete_sent = True
        a = self.ask_json("bulk", "POST", "bulk", {
            "action": action, "ids": [i.id for i in some]})
        done = {}
        if a.status == 200:
            done = {r["id"]: r["success"] for r in a.json["results"]}
        for image in some:
            ok = done.get(image.id)
            if action == "delete":
                image.delete_acked = bool(ok)
            elif action != "sign" and ok:
                image.public[:] = [action == "publish"]
            elif action != "sign":
                image.public.append(action == "publish")

    def do_moderate(self):
        image = self.pick()
        if image is None:
            return
        for action in ("block", "unblock"):
            what = {"action": action}
            if action == "block":
                what["reason"] = "chaos"
            for _ in range(5):
                a = self.ask_json(
                    "moderate", "POST",
                    "admin/images/%s/moderate" % image.id, what,
                    headers={"X-Admin": "1"})
                if a.status == 200:
                    image.blocked[:] = [action == "block"]
                    break
                image.blocked.append(action == "block")
                if self.stop.is_set():
                    return
                time.sleep(0.5)
            if action == "block" and image.blocked == [True] \
                    and self.ask("get", "GET", image.id, headers={
                        "Accept": "application/json"}).status == 200:
                self.ledger.violation("%s: shown though blocked" % image.id)
