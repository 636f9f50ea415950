"""One HTTP/1.1 request on a connection of its own, byte for byte as the load
wants it: slow, chunked, cut in mid-body.  Never follows, never repeats."""

import json
import select
import socket
import time

# What a request may take after its last progress.  The parts of it are the
# timeouts of cluster.py: a metadata operation ends after 5 x timeout + 10 s, a
# storage's tries after (2 x connect + send + read) x 3.
PATIENCE = 90


class Answer:
    """status 0: the connection ended (`error` says how) without an answer."""

    def __init__(self):
        self.status = 0
        self.headers = {}
        self.body = b""
        self.error = ""
        self.seconds = 0.0

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def code(self):
        e = self.json.get("error") if isinstance(self.json, dict) else None
        return e.get("code", "") if isinstance(e, dict) else ""


def request(port, method, path, headers=None, body=b"", chunked=False,
            pieces=1, pause=0.0, cut=None, host="127.0.0.1"):
    """`pieces`, `pause`: the body in so many writes, so many seconds apart;
    `cut`: so many bytes of it, and then the client is gone."""
    a = Answer()
    began = time.monotonic()
    try:
        s = socket.create_connection((host, port), timeout=10)
    except OSError as e:
        a.error = "refused: %s" % e
        return a

    try:
        s.settimeout(PATIENCE)
        head = head_of(method, path, headers or {}, body, chunked)
        if send(s, head, body, chunked, pieces, pause, cut):
            receive(s, a, method)
        else:
            a.error = "cut"
    except socket.timeout:
        a.error = "hang"
    except OSError as e:
        a.error = "closed: %s" % e
    finally:
        s.close()
    a.seconds = time.monotonic() - began
    return a


def head_of(method, path, headers, body, chunked):
    lines = ["%s %s HTTP/1.1" % (method, path), "Connection: close"]
    if not any(n.lower() == "host" for n in headers):
        lines.append("Host: chaos")
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif body or method in ("POST", "PUT", "PATCH"):
        if not any(n.lower() == "content-length" for n in headers):
            lines.append("Content-Length: %d" % len(body))
    lines += ["%s: %s" % i for i in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def send(s, head, body, chunked, pieces, pause, cut):
    """False: cut.  What the peer answers early ends the sending."""
    s.sendall(head)
    end = len(body) if cut is None else cut
    step = max(1, -(-len(body) // pieces))
    for at in range(0, end, step):
        if select.select([s], [], [], pause if at else 0)[0]:
            return True
        piece = body[at:min(at + step, end)]
        if chunked:
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        try:
            s.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            return True                 # there may be an answer to read
    if cut is not None:
        return False
    if chunked:
        try:
            s.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass
    return True


def receive(s, a, method):
    f = s.makefile("rb")
    line = f.readline(65536)
    if not line.startswith(b"HTTP/1."):
        a.error = "closed: no answer"
        return
    status = int(line.split()[1])
    while True:
        line = f.readline(65536)
        if not line.strip():
            break
        name, _, value = line.decode("latin-1").partition(":")
        a.headers[name.strip().lower()] = value.strip()
    if not line:
        a.error = "closed: half a head"
        return
    if method != "HEAD" and status not in (204, 304):
        a.body = body_of(f, a)
    if not a.error:
        a.status = status


def body_of(f, a):
    if "chunked" in a.headers.get("transfer-encoding", ""):
        out = b""
        while True:
            line = f.readline(100).strip()
            if not line:
                a.error = "closed: half a body"
                return out
            n = int(line, 16)
            out += f.read(n)
            f.readline(100)
            if n == 0:
                return out
    length = a.headers.get("content-length")
    if length is None:
        return f.read()
    out = f.read(int(length))
    if len(out) < int(length):
        a.error = "closed: half a body"
    return out
