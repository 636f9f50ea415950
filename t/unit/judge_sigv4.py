#!/usr/bin/env python3
"""Compares our SigV4 with botocore's.

usage: judge_sigv4.py PROGRAM       (t/unit/sigv4_cli.c, built)

Odd keys, expiries, tokens, ports, path and virtual-host style, both forms.
Needs botocore (util/requirements-test.txt); util/judge-sigv4 runs it.
"""

import datetime
import itertools
import subprocess
import sys
from unittest import mock
from urllib.parse import parse_qsl, quote, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEYS = [
    "photo.png",
    "images/0b0c6e4e-9a2f-4f0e-8a39-0d8f0f4d6f11.jpg",
    "with space.png",
    " leading and trailing ",
    "plus+plus.png",
    "percent%20sign%.png",
    "100%25",
    "tilde~tilde",
    "unicode-\u00e9\u4e16\u754c\U0001f600.png",
    "decomposed-e\u0301.png",
    "a//b",
    "/leading",
    "trailing/",
    "a/./b",
    "a/../b",
    "..",
    ".",
    "star*.png",
    "quote'quote\"",
    "(paren)",
    "a&b=c?d#e",
    "a:b;c,d@e$f!g",
    "back\\slash",
    "[brackets]{braces}|pipe^caret`tick<lt>gt",
    "control\x01\x1f\x7f",
    "a" * 900,
    "%",
    "+",
    "=",
]

HOSTS = [
    ("https", "s3.us-east-1.amazonaws.com", True),
    ("https", "bucket.s3.eu-west-1.amazonaws.com", False),
    ("http", "127.0.0.1:9000", True),
    ("https", "[::1]:9443", True),
    ("https", "0123456789abcdef.r2.cloudflarestorage.com", True),
    ("http", "bucket.minio.example:8080", False),
]

TOKENS = [None, "short", "FwoGZXIvYXdzE//////////wEaDN+/=" + "x" * 700]

TIMES = [
    datetime.datetime(2013, 5, 24, 0, 0, 0),
    datetime.datetime(2026, 2, 28, 23, 59, 59),
    datetime.datetime(2028, 2, 29, 12, 34, 56),
]

EXPIRES = [1, 60, 3600, 604800]

DISPOSITION = "attachment; filename=\"a b.png\"; filename*=UTF-8''%C3%A9%20+.png"

ACCESS = "AKIDEXAMPLE"
SECRET = "wJalr/XUtnFEMI+K7MDENG=bPxRfiCYEXAMPLEKEY"


class Cli:
    def __init__(self, program):
        self.p = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, fields):
        line = b"\t".join(f.encode().hex().encode() for f in fields)
        self.p.stdin.write(line + b"\n")
        self.p.stdin.flush()
        answer = self.p.stdout.readline()
        if not answer.endswith(b"\n"):
            sys.exit("judge_sigv4: the program died")
        return answer.decode("ascii")[:-1].split("\t")

    def close(self):
        self.p.stdin.close()
        if self.p.wait() != 0:
            sys.exit("judge_sigv4: the program failed")


def at(now):
    """botocore's clock stands still"""
    stack = mock.MagicMock(wraps=datetime.datetime)
    stack.utcnow.return_value = now
    stack.now.return_value = now.replace(tzinfo=datetime.timezone.utc)
    patches = [mock.patch("botocore.auth.datetime.datetime", stack)]
    if hasattr(botocore.auth, "get_current_datetime"):
        patches.append(mock.patch("botocore.auth.get_current_datetime",
                                  return_value=now))
    return patches


def run(now, fn):
    patches = at(now)
    for p in patches:
        p.start()
    try:
        fn()
    finally:
        for p in reversed(patches):
            p.stop()


def path_of(key, path_style):
    return ("/bucket/" if path_style else "/") + key


def fields(form, token, region, now, method, scheme, host, path, payload,
           expires):
    seconds = int(now.replace(tzinfo=datetime.timezone.utc).timestamp())
    return [form, ACCESS, SECRET, token or "", region, str(seconds), method,
            scheme, host, path, payload, str(expires)]


def presigned(cli, key, place, token, now, expires, method, disposition):
    scheme, host, path_style = place
    path = path_of(key, path_style)
    region = "auto" if "r2" in host else "eu-west-1"

    url = f"{scheme}://{host}{quote(path, safe='/-._~')}"
    if disposition:
        url += "?response-content-disposition=" + quote(disposition, safe="")

    request = AWSRequest(method=method, url=url)
    auth = botocore.auth.S3SigV4QueryAuth(
        Credentials(ACCESS, SECRET, token), "s3", region, expires=expires)
    run(now, lambda: auth.add_auth(request))

    ask = fields("presign", token, region, now, method, scheme, host, path,
                 "", expires)
    if disposition:
        ask += ["q", "response-content-disposition", disposition]
    got = cli.ask(ask)[0]

    want_url, got_url = urlsplit(request.url), urlsplit(got)
    return (
        (want_url.scheme, want_url.netloc, want_url.path,
         sorted(parse_qsl(want_url.query, keep_blank_values=True))),
        (got_url.scheme, got_url.netloc, got_url.path,
         sorted(parse_qsl(got_url.query, keep_blank_values=True))))


def signed(cli, key, place, token, now, method, payload, headers):
    scheme, host, path_style = place
    path = path_of(key, path_style)
    region = "auto" if "r2" in host else "eu-west-1"

    request = AWSRequest(
        method=method, url=f"{scheme}://{host}{quote(path, safe='/-._~')}")
    for name, value in headers:
        request.headers[name] = value

    auth = botocore.auth.S3SigV4Auth(
        Credentials(ACCESS, SECRET, token), "s3", region)
    auth.payload = lambda request: payload
    run(now, lambda: auth.add_auth(request))

    ask = fields("sign", token, region, now, method, scheme, host, path,
                 payload, 0)
    for name, value in headers:
        ask += ["h", name, value]
    target, authorization = cli.ask(ask)

    want = urlsplit(request.url).path
    return ((want, request.headers["Authorization"]),
            (target, authorization))


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: judge_sigv4.py PROGRAM")

    cli = Cli(sys.argv[1])
    passed = failed = 0

    def check(what, pair):
        nonlocal passed, failed
        want, got = pair
        if want == got:
            passed += 1
            return
        failed += 1
        if failed <= 10:
            print(f"{what}:\n    want {want}\n    got  {got}",
                  file=sys.stderr)

    turn = itertools.count()

    for key, place, token in itertools.product(KEYS, HOSTS, TOKENS):
        n = next(turn)
        now = TIMES[n % len(TIMES)]

        check(("presign", key, place, token), presigned(
            cli, key, place, token, now, EXPIRES[n % len(EXPIRES)],
            ("GET", "HEAD")[n % 2], ("", DISPOSITION)[n // 2 % 2]))

        payload = ("UNSIGNED-PAYLOAD", "0" * 64)[n % 2]
        headers = [
            ("Content-Type", "image/png"),
            ("Content-Length", str(n)),
            ("x-amz-meta-odd", "  a   b \t c  "),
            ("x-amz-server-side-encryption", "AES256"),
            ("X-Amz-Acl", "public-read"),
        ][:n % 6]

        check(("sign", key, place, token), signed(
            cli, key, place, token, now, ("PUT", "DELETE", "HEAD")[n % 3],
            payload, headers))

    cli.close()

    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


main()
