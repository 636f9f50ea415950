"""Many connections at once, for t/940-overload.t.

Commands are lines of JSON on stdin, each is answered by a line of JSON:

  limit                     how many descriptors this process may have
  uploads, idle, partial    opens connections and keeps them
  status                    what became of them
  send                      the rest of a request on one that is kept
  close                     closes what is open
  burst                     sends requests at once, waits for the answers
  redirects                 times requests on connections that are kept alive

What is open goes on between commands: uploads send their bytes each second.
"""

import errno
import json
import os
import random
import re
import resource
import select
import signal
import socket
import sys
import time
import zlib

BOUNDARY = "many-at-once"


def png(size):
    """A whole PNG of exactly so many bytes."""
    def chunk(kind, data):
        return (len(data).to_bytes(4, "big") + kind + data
                + zlib.crc32(kind + data).to_bytes(4, "big"))

    head = (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", (64).to_bytes(4, "big") + (48).to_bytes(4, "big")
                    + b"\x08\x02\x00\x00\x00"))
    noise = random.Random(size).randbytes(size - len(head) - 24)
    return head + chunk(b"IDAT", noise) + chunk(b"IEND", b"")


def form(image):
    return (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; "
            "filename=\"x.png\"\r\nContent-Type: image/png\r\n\r\n").encode() \
        + image + f"\r\n--{BOUNDARY}--\r\n".encode()


class Connection:
    def __init__(self, sock, out=b"", burst=0, rate=0):
        self.sock = sock
        self.out = memoryview(out)
        self.sent = 0
        self.allowed = burst if rate else len(out)
        self.rate = rate
        self.got = b""
        self.done = False
        self.began = time.monotonic()
        self.took = None


class Answer:
    """The head and body of the first answer in some bytes, once it is whole."""

    def __init__(self, data):
        head, sep, self.body = data.partition(b"\r\n\r\n")
        self.whole = False
        if not sep:
            return
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {k.lower(): v.strip() for k, _, v in
                        (line.partition(":") for line in lines[1:])}
        if self.status == 100:
            other = Answer(self.body)
            self.__dict__ = other.__dict__
            return
        length = int(self.headers.get("content-length", 0))
        self.whole = len(self.body) >= length
        self.body = self.body[:length]


class Many:
    def __init__(self):
        self.epoll = select.epoll()
        self.open = {}
        self.ended = {}         # what became of those that are gone
        self.last = time.monotonic()
        self.from_ = 0
        self.image = {}

    def connect(self, a):
        """Not from one address, which has too few ports for this."""
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.from_ += 1
        sock.bind((f"127.0.3.{1 + self.from_ // 2000 % 200}", 0))
        sock.settimeout(10)
        sock.connect(("127.0.0.1", a["port"]))
        sock.setblocking(False)
        return sock

    def keep(self, c):
        self.open[c.sock.fileno()] = c
        self.epoll.register(c.sock.fileno(), select.EPOLLIN)

    def drop(self, c, what):
        self.epoll.unregister(c.sock.fileno())
        del self.open[c.sock.fileno()]
        c.sock.close()
        self.ended[what] = self.ended.get(what, 0) + 1

    def body(self, kind, size):
        if (kind, size) not in self.image:
            image = png(size)
            self.image[kind, size] = form(image) if kind == "form" else image
        return self.image[kind, size]

    def request(self, a):
        body = self.body(a["kind"], a["size"])
        kind = (f"multipart/form-data; boundary={BOUNDARY}"
                if a["kind"] == "form" else "image/png")
        return (f"POST {a['path']} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}"
                f"\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body

    # ---- commands

    def limit(self, a):
        return {"descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}

    def uploads(self, a):
        out = self.request(a)
        head = len(out) - len(self.body(a["kind"], a["size"]))
        for i in range(a["count"]):
            c = Connection(self.connect(a), out, head + a["burst"], a["rate"])
            self.keep(c)
            self.send_on(c)
            if i % 50 == 0:
                self.turn(0)
        return {"open": len(self.open)}

    def idle(self, a):
        """Half of them have asked for something, half said nothing yet."""
        n = refused = 0
        for i in range(a["count"]):
            try:
                c = Connection(self.connect(a), a["ask"].encode()
                               if i % 2 else b"")
            except OSError:
                refused += 1
                continue
            n += 1
            self.keep(c)
            self.send_on(c)
            if i % 50 == 0:
                self.turn(0)
        return {"open": n, "refused": refused}

    def partial(self, a):
        """Connections with half a request, until they are closed on us."""
        first = None
        for i in range(a["count"]):
            c = Connection(self.connect(a), a["begin"].encode())
            self.keep(c)
            self.send_on(c)
            first = first if first is not None else c.sock.fileno()
            self.turn(0.002)
        end = time.monotonic() + 30
        while len(self.open) >= a["below"] and time.monotonic() < end:
            self.turn(0.1)
        self.turn(0.5)
        return {"first": first, "open": len(self.open), "ended": self.ended}

    def send(self, a):
        c = self.open[a["first"]]
        c.out = memoryview(self.request(a)[a["skip"]:])
        c.sent, c.allowed = 0, len(c.out)
        c.got = b""
        self.send_on(c)
        return self.answer_of(c, a.get("seconds", 30))

    def answer_of(self, c, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn(0.05, c)
            answer = Answer(c.got)
            if answer.whole:
                return {"status": answer.status, "headers": answer.headers,
                        "body": answer.body.decode("latin-1")}
            if c.done:
                break
        return {"status": 0, "headers": {}, "body": ""}

    def status(self, a):
        return {"open": len(self.open), "ended": self.ended,
                "sent": sum(c.sent for c in self.open.values())}

    def close(self, a):
        for c in list(self.open.values()):
            self.drop(c, "closed by us")
        ended, self.ended = self.ended, {}
        return {"ended": ended}

    def burst(self, a):
        """All of them at once, each on its own connection, or one after the
        other on some that are kept alive; answers by status and code.  Who is
        named in "held" sees none of them before all were sent."""
        todo = list(enumerate(a["requests"] * a.get("repeat", 1)))
        todo.reverse()
        width = a.get("connections", len(todo))
        kept = {}
        poll = select.epoll()
        results = []

        def begin():
            i, text = todo.pop()
            c = Connection(self.connect(a), text.encode("latin-1"))
            c.number = i
            kept[c.sock.fileno()] = c
            poll.register(c.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

        def over(c, answer):
            poll.unregister(c.sock.fileno())
            del kept[c.sock.fileno()]
            c.sock.close()
            results.append((c.number, time.monotonic() - c.began, answer))

        if "held" in a:
            while todo:
                begin()
            for pid in a["held"]:
                os.kill(pid, signal.SIGSTOP)
            for c in kept.values():
                self.send_on(c)
            for pid in a["held"]:
                os.kill(pid, signal.SIGCONT)
            for c in kept.values():
                c.began = time.monotonic()

        end = time.monotonic() + a.get("seconds", 60)
        while (todo or kept) and time.monotonic() < end:
            while todo and len(kept) < width:
                begin()
            for fd, events in poll.poll(0.1):
                c = kept[fd]
                self.step(c, events)
                if c.sent == len(c.out):
                    poll.modify(fd, select.EPOLLIN)
                answer = Answer(c.got)
                if answer.whole and "connections" in a and todo \
                        and answer.headers.get("connection") != "close":
                    results.append((c.number, time.monotonic() - c.began,
                                    answer))
                    c.number, text = todo.pop()
                    c.out, c.sent = memoryview(text.encode("latin-1")), 0
                    c.allowed, c.got = len(c.out), b""
                    c.began = time.monotonic()
                    self.send_on(c)
                elif answer.whole or c.done:
                    over(c, answer)
        for c in list(kept.values()):
            over(c, Answer(b""))
        return self.counted(a, results)

    def counted(self, a, results):
        count, wrong, missing = {}, [], []
        slowest = {}
        for number, took, answer in results:
            if not answer.whole:
                word = "none"
            else:
                m = re.search(rb'"code":"([a-z_]+)"', answer.body)
                word = str(answer.status) + (" " + m[1].decode() if m else "")
                if answer.status in (429, 503) \
                        and "retry-after" not in answer.headers:
                    missing.append(number)
                want = a.get("want")
                if want and want[number] not in (
                        answer.headers.get("location", "")
                        + " " + str(answer.status)):
                    wrong.append(number)
            count[word] = count.get(word, 0) + 1
            slowest[word] = max(slowest.get(word, 0), round(took, 3))
        return {"count": count, "slowest": slowest, "wrong": wrong[:20],
                "without_retry_after": len(missing)}

    def redirects(self, a):
        """Milliseconds from a request to its whole answer."""
        socks = [socket.create_connection(("127.0.0.1", a["port"]))
                 for _ in range(a["connections"])]
        for s in socks:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.settimeout(20)
        took, bad = [], {}
        for i in range(a["count"]):
            s = socks[i % len(socks)]
            path = a["paths"][i % len(a["paths"])]
            began = time.monotonic()
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            data = b""
            while True:
                more = s.recv(65536)
                data += more
                answer = Answer(data)
                if answer.whole or not more:
                    break
            took.append(1000 * (time.monotonic() - began))
            if not answer.whole or answer.status != 302:
                word = str(answer.status) if answer.whole else "none"
                bad[word] = bad.get(word, 0) + 1
            time.sleep(a.get("pause", 0.002))
        for s in socks:
            s.close()
        took.sort()
        return {"p50": round(took[len(took) // 2], 2),
                "p99": round(took[len(took) * 99 // 100], 2),
                "max": round(took[-1], 2), "bad": bad}

    # ---- what is open goes on

    def send_on(self, c):
        try:
            while c.sent < min(c.allowed, len(c.out)):
                n = c.sock.send(c.out[c.sent:min(c.allowed, len(c.out))])
                c.sent += n
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EWOULDBLOCK):
                c.done = True

    def step(self, c, events):
        if events & select.EPOLLOUT:
            self.send_on(c)
        if events & ~select.EPOLLOUT:
            try:
                data = c.sock.recv(65536)
                c.got += data
                c.done = c.done or not data
            except BlockingIOError:
                pass
            except OSError:
                c.done = True

    def turn(self, seconds, watched=None):
        for fd, events in self.epoll.poll(seconds):
            c = self.open.get(fd)
            if c is None:
                continue
            self.step(c, events)
            if c is watched:
                continue
            answer = Answer(c.got) if c.got else None
            if c.rate and answer and answer.whole:
                self.drop(c, str(answer.status))
            elif c.done:
                self.drop(c, str(answer.status) if answer and answer.whole
                          else "closed")
        now = time.monotonic()
        n = int(now - self.last)
        if n >= 1:
            self.last += n
            for c in list(self.open.values()):
                if c.rate:
                    c.allowed += n * c.rate
                    self.send_on(c)

    def run(self):
        left = b""
        stdin = sys.stdin.fileno()
        self.epoll.register(stdin, select.EPOLLIN)
        while True:
            self.turn(0.1)
            ready, _, _ = select.select([stdin], [], [], 0)
            if not ready:
                continue
            more = os.read(stdin, 1 << 20)
            if not more:
                return
            left += more
            while b"\n" in left:
                line, left = left.split(b"\n", 1)
                a = json.loads(line)
                try:
                    answer = getattr(self, a["do"])(a)
                except Exception as e:
                    answer = {"error": f"{type(e).__name__}: {e}"}
                print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Many().run()
