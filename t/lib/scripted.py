#!/usr/bin/env python3
"""A small S3 server that misbehaves as it is told to.

It keeps objects in memory, checks AWS Signature Version 4 on its own (header
and presigned form) and plays the faults a real server won't make on demand.

What it does is chosen by the bucket's name up to its first dot, so that
"early-403.b" is another bucket with the same fault; if that is no behaviour,
by the first segment of the key.  Everything else is a well-behaved bucket.

  503-then-200       the first PUT fails with this status (any 4xx, 5xx),
  503-x2-then-200    or the first two; each bucket counts on its own
  503                always this status (any 3xx, 4xx, 5xx), after the body
  503-after-N        always this status, with Retry-After: N
  500-every-N        every Nth PUT of the bucket fails with this status
  error-CODE         always this S3 error, e.g. error-NoSuchBucket
  skew, skew-back    its clock is 10 minutes ahead, behind, and it bears no more
                     than 2: else RequestTimeTooSkewed with its time
  301-region         PermanentRedirect with the right region and endpoint
  early-403          403 right after the head, then close with bytes unread
  early-403-N        the same after N bytes of the body
  reset-after-N      reset after N bytes of the body
  reset-once-after-N reset the first PUT of the bucket only
  close-after-N      close in order after N bytes
  truncate-after-N   reset after N bytes and keep them as an object
  reset-answer       reset instead of the answer, nothing is kept
  lost-answer        the object is kept, but the answer is a reset
  silent             never answers
  stall-N            reads N bytes and then no more
  no-100             never sends 100, else well
  drip               the answer comes byte by byte, 10 ms apart
  slow-N             the answer comes N ms late
  stale              closes a connection when its second request comes
  close              Connection: close
  chunked            the answer is chunked, with a body
  until-close        an answer with a body without length
  big-body           400 with a body of 1 MiB
  garbage            what comes is not HTTP
  endless-head       a header line that never ends
  wrong-etag, no-etag, sse-kms
  complete-200-error a completion answers 200, white space, and then an
                     InternalError
  complete-200-error-once  only the first completion of the bucket
  complete-lost-answer     the object is made, but the answer is a reset
  complete-wrong-etag      a completion answers with another ETag
  complete-reset-once      the first completion is a reset and does nothing
  begin-lost-answer-N  the first N multipart uploads of the bucket are begun,
                     but the answer is a reset; begin-silent: there is none
  no-uploads         does not list multipart uploads: NotImplemented
  r2                 as Cloudflare R2: parts equal but the last, 411 without
                     Content-Length, 501 for STREAMING-..., no 100, one
                     checksum at most, ETag as MD5

  GET  /__objects    what it holds: {"bucket/key": {size, md5, sha256, ...}}
  GET  /__uploads    open multipart uploads: {id: {bucket, key, parts}}
  GET  /__log        what it saw: [{method, path, headers, received, ...}]
  POST /__reset      forget all
  GET  /__begin/BUCKET/KEY         begins a multipart upload
  POST /__set/BUCKET/BEHAVIOUR     from now on, whatever the bucket's name
"""

import argparse
import datetime
import hashlib
import hmac
import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

STATUS = {
    "AccessDenied": 403, "AccessControlListNotSupported": 400,
    "BadDigest": 400, "EntityTooLarge": 400, "ExpiredToken": 400,
    "IncompleteBody": 400, "InternalError": 500, "InvalidAccessKeyId": 403,
    "InvalidArgument": 400, "InvalidBucketName": 400, "InvalidPart": 400,
    "MissingContentLength": 411, "NoSuchBucket": 404, "NoSuchKey": 404,
    "NotImplemented": 501, "PermanentRedirect": 301,
    "PreconditionFailed": 412, "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400, "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403, "SlowDown": 503, "TemporaryRedirect": 307,
    "AuthorizationHeaderMalformed": 400, "InvalidToken": 400,
    "EntityTooSmall": 400, "InvalidPartOrder": 400, "NoSuchUpload": 404,
    "MalformedXML": 400, "XAmzContentSHA256Mismatch": 400,
    "MethodNotAllowed": 405,
}

CODES = {
    301: "PermanentRedirect", 307: "TemporaryRedirect", 400: "InvalidArgument",
    403: "AccessDenied", 404: "NoSuchKey", 405: "MethodNotAllowed",
    411: "MissingContentLength", 412: "PreconditionFailed", 429: "SlowDown",
    500: "InternalError", 501: "NotImplemented", 503: "SlowDown",
}

BEHAVIOURS = re.compile(
    r"^(?:[45]\d\d(?:-x\d+)?-then-200|[345]\d\d|[45]\d\d-(?:after|every)-\d+"
    r"|error-\w+|skew(?:-back)?|301-region"
    r"|early-403(?:-\d+)?|reset-(?:once-)?after-\d+|close-after-\d+"
    r"|truncate-after-\d+|reset-answer|lost-answer|silent|stall-\d+|no-100"
    r"|drip|slow-\d+|stale|close|chunked|until-close|big-body|garbage"
    r"|endless-head|wrong-etag|no-etag|sse-kms|r2|complete-200-error(?:-once)?"
    r"|complete-lost-answer|complete-reset-once|complete-wrong-etag"
    r"|begin-lost-answer-\d+|begin-silent|no-uploads)$")


# of the clock, in seconds
OFFSETS = {"skew": 600, "skew-back": -600}


class Gone(Exception):
    """The connection is over."""


class Refused(Exception):
    """The request gets an S3 error."""

    def __init__(self, code, message="", status=None, extra="", after=None):
        Exception.__init__(self, code)
        self.after = after
        self.code = code
        self.message = message or code
        self.status = status or STATUS.get(code, 400)
        self.extra = extra


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.objects = {}
            self.uploads = {}
            self.log = []
            self.counts = {}
            self.behaviours = {}

    def count(self, name):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            return self.counts[name]


# ---------------------------------------------------------------- signatures

def encode(data, slash=True):
    """Percent-encoding as SigV4 wants it; data is bytes."""
    keep = (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
            b"0123456789-._~" + (b"/" if slash else b""))
    return "".join(chr(b) if b in keep else "%%%02X" % b for b in data)


def decode(text):
    return urllib.parse.unquote_to_bytes(text)


def query_pairs(query):
    pairs = []
    for part in query.split("&") if query else []:
        name, _, value = part.partition("=")
        pairs.append((decode(name), decode(value)))
    return pairs


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Verifier:
    def __init__(self, keys, region):
        self.keys = keys
        self.region = region

    def verify(self, req):
        """'header', 'presigned' or 'none'; raises Refused."""
        if not self.keys:
            return "none"
        query = dict(query_pairs(req.query))
        auth = req.header("authorization")
        if b"X-Amz-Signature" in query:
            if auth:
                raise Refused("InvalidArgument", "two ways to authenticate")
            self.presigned(req, query)
            return "presigned"
        if not auth:
            raise Refused("AccessDenied", "no signature")
        self.by_header(req, auth)
        return "header"

    def by_header(self, req, auth):
        m = re.match(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?"
                     r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$",
                     auth)
        if not m:
            raise Refused("AuthorizationHeaderMalformed")
        payload = req.header("x-amz-content-sha256")
        if not payload:
            raise Refused("InvalidArgument", "no x-amz-content-sha256")
        date = req.header("x-amz-date") or ""
        self.check(req, m.group(1), m.group(2), m.group(3), date, payload,
                   query_pairs(req.query), None)

    def presigned(self, req, query):
        def arg(name):
            return query.get(name.encode(), b"").decode("latin-1")

        if arg("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
            raise Refused("InvalidArgument", "algorithm")
        expires = arg("X-Amz-Expires")
        if not expires.isdigit() or not 1 <= int(expires) <= 604800:
            raise Refused("AuthorizationQueryParametersError", "expires")
        pairs = [p for p in query_pairs(req.query)
                 if p[0] != b"X-Amz-Signature"]
        payload = req.header("x-amz-content-sha256") or "UNSIGNED-PAYLOAD"
        self.check(req, arg("X-Amz-Credential"), arg("X-Amz-SignedHeaders"),
                   arg("X-Amz-Signature"), arg("X-Amz-Date"), payload, pairs,
                   int(expires))

    def check(self, req, credential, signed, signature, date, payload, pairs,
              expires):
        scope = credential.split("/")
        if len(scope) != 5 or scope[3:] != ["s3", "aws4_request"]:
            raise Refused("AuthorizationHeaderMalformed", "scope")
        access, day, region = scope[:3]
        if access not in self.keys:
            raise Refused("InvalidAccessKeyId")
        if self.region and region != self.region:
            raise Refused("AuthorizationHeaderMalformed", "the region '%s' is "
                          "wrong; expecting '%s'" % (region, self.region),
                          extra="<Region>%s</Region>" % self.region)
        secret, token = self.keys[access]
        self.check_time(date, day, expires)
        if token:
            sent = (req.header("x-amz-security-token") or dict(pairs).get(
                b"X-Amz-Security-Token", b"").decode("latin-1"))
            if sent != token:
                raise Refused("InvalidToken")

        names = signed.split(";")
        if names != sorted(names) or "host" not in names:
            raise Refused("SignatureDoesNotMatch", "signed headers")
        for name in req.headers:
            if name.startswith("x-amz-") and name not in names \
                    and not (expires and name == "x-amz-content-sha256"):
                raise Refused("AccessDenied", "%s is not signed" % name)
        lines = "".join("%s:%s\n" % (n, " ".join((req.header(n) or "").split()))
                        for n in names)
        query = "&".join("%s=%s" % p for p in sorted(
            (encode(n, False), encode(v, False)) for n, v in pairs))
        canonical = "\n".join([req.method, encode(decode(req.path)), query,
                               lines, signed, payload])
        text = "\n".join(["AWS4-HMAC-SHA256", date, "/".join(scope[1:]),
                          hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + secret).encode()
        for part in scope[1:]:
            key = mac(key, part)
        good = mac(key, text).hex()
        if not hmac.compare_digest(good, signature):
            raise Refused("SignatureDoesNotMatch", "canonical request: %r"
                          % canonical)

    @staticmethod
    def check_time(date, day, expires):
        try:
            then = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ")
        except ValueError:
            raise Refused("AccessDenied", "x-amz-date")
        if not date.startswith(day):
            raise Refused("SignatureDoesNotMatch", "date and scope differ")
        age = (utc_now() - then).total_seconds()
        if expires is None:
            if abs(age) > 900:
                raise Refused("RequestTimeTooSkewed", extra=server_time())
        elif age < -900:
            raise Refused("AccessDenied", "Request is not valid yet")
        elif age > expires:
            raise Refused("AccessDenied", "Request has expired")


def utc_now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)


def server_time(offset=0):
    now = utc_now() + datetime.timedelta(seconds=offset)
    return "<ServerTime>%s</ServerTime>" % now.strftime("%Y-%m-%dT%H:%M:%SZ")


# ---------------------------------------------------------------- connection

class Request:
    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            raise Gone()
        self.method, target, self.version = words
        self.path, _, self.query = target.partition("?")
        self.headers = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.setdefault(name.lower(), value.strip())
        parts = self.path.lstrip("/").split("/", 1)
        self.bucket = decode(parts[0]).decode("latin-1")
        self.key = decode(parts[1] if len(parts) > 1 else "").decode("latin-1")

    def header(self, name):
        return self.headers.get(name)


class Connection(threading.Thread):
    def __init__(self, server, sock, number):
        threading.Thread.__init__(self, daemon=True)
        self.server = server
        self.store = server.store
        self.sock = sock
        self.number = number
        self.rest = b""
        self.served = 0

    # bytes in and out

    def recv(self, n=65536):
        if self.rest:
            data, self.rest = self.rest[:n], self.rest[n:]
            return data
        data = self.sock.recv(n)
        if not data:
            raise Gone()
        return data

    def read_head(self):
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.recv()
            if len(data) > 65536:
                raise Gone()
        head, self.rest = data.split(b"\r\n\r\n", 1)
        return head

    def read_body(self, limit=None):
        """Reads the body, or so much of it; True when it is complete."""
        while self.left and (limit is None or len(self.body) < limit):
            want = min(self.left, 65536)
            if limit is not None:
                want = min(want, limit - len(self.body))
            data = self.recv(want)
            self.body += data
            self.left -= len(data)
            self.entry["received"] = len(self.body)
        self.entry["complete"] = self.left == 0
        return self.left == 0

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        raise Gone()

    def answer(self, status, body=b"", headers=(), how="", length=None):
        self.entry["status"] = status
        head = ["HTTP/1.1 %d Scripted" % status, "Server: scripted",
                "x-amz-request-id: %08X" % (self.number * 1000 + self.served),
                "Date: %s" % (utc_now() + datetime.timedelta(
                    seconds=OFFSETS.get(self.name, 0))).strftime(
                        "%a, %d %b %Y %H:%M:%S GMT")]
        head += ["%s: %s" % h for h in headers]
        if self.close:
            head.append("Connection: close")
        if how == "chunked":
            head.append("Transfer-Encoding: chunked")
            half = len(body) // 2
            body = b"".join(b"%x;x=y\r\n%s\r\n" % (len(p), p) for p in
                            (body[:half], body[half:]) if p) \
                + b"0\r\nx-trailer: yes\r\n\r\n"
        elif how != "until-close" and status not in (204, 304):
            head.append("Content-Length: %d" %
                        (len(body) if length is None else length))
        data = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        if self.req.method != "HEAD":
            data += body
        if how == "drip":
            for i in range(len(data)):
                self.sock.sendall(data[i:i + 1])
                time.sleep(0.01)
        else:
            self.sock.sendall(data)
        if how == "until-close":
            raise Gone()

    def refuse(self, e, how=""):
        body = ('<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s'
                "</Code><Message>%s</Message>%s<Resource>%s</Resource>"
                "<RequestId>scripted</RequestId></Error>" %
                (e.code, e.message.replace("&", "&amp;").replace("<", "&lt;"),
                 e.extra, self.req.path.replace("&", "&amp;"))).encode()
        headers = [("Content-Type", "application/xml")]
        if e.status in (301, 307):
            headers += [("x-amz-bucket-region", "eu-central-1"),
                        ("Location", "http://elsewhere.invalid/")]
        if e.code == "SlowDown" or e.after is not None:
            headers.append(("Retry-After", e.after or 1))
        self.answer(e.status, body, headers, how)

    # requests

    def run(self):
        try:
            self.sock.settimeout(120)
            if self.server.tls:
                self.sock = self.server.tls.wrap_socket(self.sock,
                                                        server_side=True)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                if not self.serve():
                    break
        except (Gone, OSError, ssl.SSLError):
            pass
        finally:
            try:
                self.sock.close()
            except OSError:
                pass

    def serve(self):
        head = self.read_head()
        self.req = req = Request(head)
        if req.path.startswith("/__"):
            return self.control()
        self.served += 1
        self.close = (req.header("connection") or "").lower() == "close"
        self.body = bytearray()
        length = req.header("content-length")
        self.left = int(length) if length and length.isdigit() else 0
        self.entry = {
            "method": req.method, "path": req.path, "bucket": req.bucket,
            "key": req.key, "connection": self.number, "request": self.served,
            "query": re.sub(r"(X-Amz-Signature=)\w+", r"\1...", req.query),
            "headers": {n: v for n, v in req.headers.items()
                        if n != "authorization"},
            "received": 0, "complete": self.left == 0, "status": 0,
            "sent_100": False, "signature": None, "time": time.time(),
            "tls": self.server.tls is not None,
            "tls_reused": bool(getattr(self.sock, "session_reused", False)),
        }
        with self.store.lock:
            self.store.log.append(self.entry)
        with self.store.lock:
            name = self.store.behaviours.get(req.bucket,
                                             req.bucket.split(".")[0])
        if not BEHAVIOURS.match(name):
            name = req.key.split("/")[0]
            if not BEHAVIOURS.match(name):
                name = "well"
        self.name = name
        try:
            self.entry["signature"] = self.server.verifier.verify(req)
            self.play(name)
        except Refused as e:
            if self.left:
                if req.header("expect"):
                    self.close = True
                else:
                    self.read_body()
            self.refuse(e)
        return not self.close

    def go_on(self):
        if (self.req.header("expect") or "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.entry["sent_100"] = True

    def play(self, name):
        """One behaviour.  Faults meant for uploads don't touch others."""
        put = self.req.method in ("PUT", "POST")
        m = re.match(r"(\d{3})(?:-x(\d+))?-then-200$", name)
        if m and put and self.store.count(self.req.bucket) <= int(m[2] or 1):
            raise Refused(CODES.get(int(m[1]), "InternalError"),
                          status=int(m[1]))
        if name.isdigit():
            raise Refused(CODES.get(int(name), "InternalError"),
                          status=int(name))
        m = re.match(r"(\d{3})-after-(\d+)$", name)
        if m:
            raise Refused("ServiceUnavailable", status=int(m[1]),
                          after=int(m[2]))
        m = re.match(r"(\d{3})-every-(\d+)$", name)
        if m and put and self.store.count(self.req.bucket) % int(m[2]) == 0:
            raise Refused("InternalError", status=int(m[1]))
        if name.startswith("error-"):
            raise Refused(name[6:])
        if name in OFFSETS:
            self.check_clock(OFFSETS[name])
        if name == "301-region":
            raise Refused("PermanentRedirect", extra="<Endpoint>s3.eu-central-"
                          "1.amazonaws.com</Endpoint><Region>eu-central-1"
                          "</Region>")
        if name == "stale" and self.served > 1:
            raise Gone()
        if name == "close":
            self.close = True
        query = dict(query_pairs(self.req.query))
        if self.req.method == "POST":
            self.read_body()
            self.check_body()
            if b"uploads" in query:
                self.create_upload(name)
            else:
                self.complete(name, self.upload(query))
        elif put:
            self.play_put(name)
        elif self.req.method == "DELETE" and b"uploadId" in query:
            self.upload(query)
            with self.store.lock:
                del self.store.uploads[query[b"uploadId"].decode()]
            self.answer(204)
        elif self.req.method == "GET" and b"uploads" in query:
            self.list_uploads(name, query)
        elif self.req.method in ("GET", "HEAD"):
            self.get(name)
        elif self.req.method == "DELETE":
            with self.store.lock:
                self.store.objects.pop((self.req.bucket, self.req.key), None)
            self.answer(204)
        else:
            raise Refused("MethodNotAllowed")

    def check_clock(self, offset):
        query = dict(query_pairs(self.req.query))
        date = query.get(b"X-Amz-Date")
        then = datetime.datetime.strptime(
            date.decode() if date else self.req.header("x-amz-date"),
            "%Y%m%dT%H%M%SZ")
        age = (utc_now() - then).total_seconds() + offset
        if date and age < -120:
            raise Refused("AccessDenied", "Request is not valid yet")
        if not date and abs(age) > 120:
            raise Refused("RequestTimeTooSkewed", extra=server_time(offset))

    def play_put(self, name):
        m = re.match(r"early-403(?:-(\d+))?$", name)
        if m:
            if m[1]:
                self.go_on()
                self.read_body(int(m[1]))
            self.close = True
            self.refuse(Refused("AccessDenied"))
            raise Gone()
        m = re.match(r"(reset|reset-once|close|truncate)-after-(\d+)$", name)
        if m and (m[1] != "reset-once"
                  or self.store.count(self.req.bucket) == 1):
            self.go_on()
            self.read_body(int(m[2]))
            if m[1] == "truncate":
                self.keep()
            if m[1] == "close":
                raise Gone()
            self.reset()
        m = re.match(r"stall-(\d+)$", name)
        if m:
            self.go_on()
            self.read_body(int(m[1]))
            time.sleep(60)
            raise Gone()
        if name == "r2":
            self.check_r2()
        elif name != "no-100":
            self.go_on()
        if self.req.header("content-length") is None:
            self.close = True
            raise Refused("MissingContentLength")
        self.read_body()
        if name == "silent":
            time.sleep(60)
            raise Gone()
        if name == "reset-answer":
            self.reset()
        self.check_body()
        query = dict(query_pairs(self.req.query))
        if b"partNumber" in query:
            self.keep_part(query)
        else:
            self.keep()
        if name == "lost-answer":
            self.reset()
        self.answer_put(name)

    def answer_put(self, name):
        etag = '"%s"' % hashlib.md5(bytes(self.body)).hexdigest()
        headers = [("ETag", etag)]
        if name == "wrong-etag":
            headers = [("ETag", '"%s"' % ("0" * 32))]
        elif name == "no-etag":
            headers = []
        elif name == "sse-kms":
            headers = [("ETag", '"%s"' % hashlib.md5(etag.encode())
                        .hexdigest()),
                       ("x-amz-server-side-encryption", "aws:kms")]
        if name.startswith("slow-"):
            time.sleep(int(name[5:]) / 1000)
        if name == "garbage":
            self.sock.sendall(b"+OK this is not HTTP\r\n\r\n")
            raise Gone()
        if name == "endless-head":
            self.sock.sendall(b"HTTP/1.1 200 OK\r\nx-long: ")
            for _ in range(1024):
                self.sock.sendall(b"x" * 1024)
            raise Gone()
        if name == "big-body":
            self.answer(400, b"x" * 1048576, headers)
        elif name in ("chunked", "until-close"):
            self.answer(200, b"<Result>some bytes of a body</Result>", headers,
                        name)
        else:
            self.answer(200, b"", headers, name)

    def check_r2(self):
        sha = self.req.header("x-amz-content-sha256") or ""
        sums = [h for h in self.req.headers
                if h == "content-md5" or (h.startswith("x-amz-checksum-")
                                          and h != "x-amz-checksum-algorithm")]
        if sha.startswith("STREAMING-"):
            self.close = True
            raise Refused("NotImplemented", "STREAMING-... not implemented")
        if self.req.header("content-length") is None:
            self.close = True
            raise Refused("MissingContentLength")
        for h in ("x-amz-acl", "x-amz-tagging", "x-amz-checksum-algorithm"):
            if h in self.req.headers and h != "x-amz-acl":
                raise Refused("NotImplemented", "Header '%s' not implemented"
                              % h)
        if len(sums) > 1:
            raise Refused("InvalidArgument", "more than one checksum")

    def check_body(self):
        sha = self.req.header("x-amz-content-sha256") or ""
        if re.match(r"[0-9a-f]{64}$", sha) \
                and hashlib.sha256(bytes(self.body)).hexdigest() != sha:
            raise Refused("XAmzContentSHA256Mismatch")
        if self.req.header("if-none-match") == "*":
            with self.store.lock:
                if (self.req.bucket, self.req.key) in self.store.objects:
                    raise Refused("PreconditionFailed")

    def kept_headers(self):
        return {n: v for n, v in self.req.headers.items()
                if n in ("content-type", "content-disposition",
                         "cache-control") or n.startswith("x-amz-meta-")}

    def keep(self):
        headers = self.kept_headers()
        with self.store.lock:
            self.store.objects[(self.req.bucket, self.req.key)] = {
                "body": bytes(self.body), "headers": headers,
                "complete": self.left == 0}

    # multipart uploads

    def create_upload(self, name):
        with self.store.lock:
            upload = "%032x/+=" % (len(self.store.log) * 7919 + self.number)
            self.store.uploads[upload] = {
                "bucket": self.req.bucket, "key": self.req.key, "parts": {},
                "headers": self.kept_headers()}
        m = re.match(r"begin-lost-answer-(\d+)$", name)
        if m and self.store.count(self.req.bucket) <= int(m[1]):
            self.reset()
        if name == "begin-silent":
            time.sleep(60)
            raise Gone()
        self.answer(200, ('<?xml version="1.0" encoding="UTF-8"?>\n'
                          "<InitiateMultipartUploadResult><UploadId>%s"
                          "</UploadId></InitiateMultipartUploadResult>"
                          % upload).encode())

    def list_uploads(self, name, query):
        if name == "no-uploads":
            raise Refused("NotImplemented")
        text = {k.decode(): v.decode() for k, v in query.items()}
        after = (text.get("key-marker", ""), text.get("upload-id-marker", ""))
        limit = int(text.get("max-uploads", 1000))
        with self.store.lock:
            found = sorted((u["key"], k) for k, u in self.store.uploads.items()
                           if u["bucket"] == self.req.bucket
                           and u["key"].startswith(text.get("prefix", "")))
        found = [f for f in found if f > after]
        page, more = found[:limit], len(found) > limit
        items = "".join("<Upload><Key>%s</Key><UploadId>%s</UploadId></Upload>"
                        % f for f in page)
        if more:
            items += ("<NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>"
                      "%s</NextUploadIdMarker>" % page[-1])
        self.answer(200, ("<ListMultipartUploadsResult>%s<IsTruncated>%s"
                          "</IsTruncated></ListMultipartUploadsResult>" % (
                              items, str(more).lower())).encode())

    def upload(self, query):
        upload = query.get(b"uploadId", b"").decode("latin-1")
        with self.store.lock:
            found = self.store.uploads.get(upload)
        if not found or found["key"] != self.req.key \
                or found["bucket"] != self.req.bucket:
            raise Refused("NoSuchUpload")
        return found

    def keep_part(self, query):
        number = query[b"partNumber"].decode()
        if not number.isdigit() or not 1 <= int(number) <= 10000:
            raise Refused("InvalidArgument", "partNumber")
        if any(h.startswith("x-amz-checksum-") for h in self.req.headers):
            raise Refused("NotImplemented", "a checksum of a part")
        upload = self.upload(query)
        with self.store.lock:
            upload["parts"][int(number)] = bytes(self.body)

    def complete(self, name, upload):
        if name == "complete-reset-once" \
                and self.store.count(self.req.bucket) == 1:
            self.reset()
        if name == "complete-200-error" or (
                name == "complete-200-error-once"
                and self.store.count(self.req.bucket) == 1):
            self.answer(200, b"  \n  \n<?xml version=\"1.0\"?>\n<Error><Code>"
                        b"InternalError</Code><Message>We encountered an "
                        b"internal error.</Message></Error>", (), "chunked")
            return
        asked = [(int(n), e) for n, e in re.findall(
            r"<Part><PartNumber>(\d+)</PartNumber><ETag>(?:&quot;|\")?(\w+)"
            r"(?:&quot;|\")?</ETag></Part>", self.body.decode("latin-1"))]
        if not asked:
            raise Refused("MalformedXML")
        if [n for n, _ in asked] != sorted(set(n for n, _ in asked)):
            raise Refused("InvalidPartOrder")
        parts = []
        for n, etag in asked:
            part = upload["parts"].get(n)
            good = part is not None and hashlib.md5(part).hexdigest()
            if name == "sse-kms" and good:
                good = hashlib.md5(('"%s"' % good).encode()).hexdigest()
            if good != etag:
                raise Refused("InvalidPart", "part %d" % n)
            parts.append(part)
        if any(len(p) < 5 << 20 for p in parts[:-1]):
            raise Refused("EntityTooSmall")
        if name == "r2" and (len(set(map(len, parts[:-1]))) > 1
                             or len(parts[-1]) > len(parts[0])):
            raise Refused("InvalidPart", "All non-trailing parts must have "
                          "the same length.")
        etag = "%s-%d" % (hashlib.md5(b"".join(
            hashlib.md5(p).digest() for p in parts)).hexdigest(), len(parts))
        with self.store.lock:
            self.store.objects[(self.req.bucket, self.req.key)] = {
                "body": b"".join(parts), "headers": upload["headers"],
                "complete": True, "etag": etag}
            for upload_id, one in list(self.store.uploads.items()):
                if one is upload:
                    del self.store.uploads[upload_id]
        if name == "complete-lost-answer":
            self.reset()
        headers = []
        if name in ("complete-wrong-etag", "sse-kms"):
            etag = "%s-%d" % ("0" * 32, len(parts))
        if name == "sse-kms":
            headers = [("x-amz-server-side-encryption", "aws:kms")]
        self.answer(200, ('\n\n<?xml version="1.0" encoding="UTF-8"?>\n'
                          "<CompleteMultipartUploadResult><ETag>&quot;%s&quot;"
                          "</ETag></CompleteMultipartUploadResult>"
                          % etag).encode(), headers, "chunked")

    def get(self, name):
        with self.store.lock:
            obj = self.store.objects.get((self.req.bucket, self.req.key))
        if obj is None:
            raise Refused("NoSuchKey")
        headers = dict(obj["headers"])
        for n, v in query_pairs(self.req.query):
            if n.startswith(b"response-"):
                headers[n[9:].decode("latin-1")] = v.decode("latin-1")
        body = obj["body"]
        headers["ETag"] = '"%s"' % (obj.get("etag")
                                    or hashlib.md5(body).hexdigest())
        status = 200
        m = re.match(r"bytes=(\d+)-(\d*)$", self.req.header("range") or "")
        if m and int(m[1]) < len(body):
            last = min(int(m[2] or len(body)), len(body) - 1)
            headers["Content-Range"] = "bytes %s-%d/%d" % (m[1], last,
                                                           len(body))
            body = body[int(m[1]):last + 1]
            status = 206
        self.answer(status, body, headers.items(),
                    name if name in ("drip", "chunked", "until-close") else "")

    def control(self):
        store = self.store
        with store.lock:
            if self.req.path == "/__objects":
                out = {"%s/%s" % k: {
                    "size": len(o["body"]), "complete": o["complete"],
                    "md5": hashlib.md5(o["body"]).hexdigest(),
                    "sha256": hashlib.sha256(o["body"]).hexdigest(),
                    "headers": o["headers"]} for k, o in store.objects.items()}
            elif self.req.path == "/__uploads":
                out = {k: {"bucket": u["bucket"], "key": u["key"], "parts": {
                    str(n): len(p) for n, p in u["parts"].items()}}
                    for k, u in store.uploads.items()}
            elif self.req.path == "/__log":
                out = list(store.log)
            elif self.req.path.startswith("/__set/"):
                bucket, behaviour = self.req.path.split("/")[2:]
                store.behaviours[bucket] = behaviour
                out = {}
            elif self.req.path.startswith("/__begin/"):
                bucket, key = self.req.path.split("/", 3)[2:]
                store.uploads["%032x/+=" % len(store.uploads)] = {
                    "bucket": bucket, "key": key, "parts": {}, "headers": []}
                out = {}
            else:
                out = {}
            body = json.dumps(out, indent=1).encode()
        if self.req.path == "/__reset":
            store.reset()
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
                          b"\r\nConnection: close\r\nContent-Length: %d"
                          b"\r\n\r\n" % len(body) + body)
        return False


class Server:
    def __init__(self, args):
        self.store = Store()
        keys = {}
        for key in args.key:
            access, _, rest = key.partition(":")
            secret, _, token = rest.partition(":")
            keys[access] = (secret, token)
        self.verifier = Verifier(keys, args.region)
        self.tls = None
        if args.cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(args.cert, args.cert_key or args.cert)
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((args.host, args.port))
        self.sock.listen(512)

    def serve(self):
        number = 0
        while True:
            sock, _ = self.sock.accept()
            number += 1
            Connection(self, sock, number).start()


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("port", type=int, help="0: any free one")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--key", action="append", default=[],
                   help="ACCESS:SECRET[:TOKEN]; without any, no signature is "
                   "asked for")
    p.add_argument("--region", default="", help="empty: any")
    p.add_argument("--cert", help="PEM: serve TLS")
    p.add_argument("--cert-key", help="PEM: its key, if not in --cert")
    server = Server(p.parse_args())
    print("listening on port %d" % server.sock.getsockname()[1], flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
