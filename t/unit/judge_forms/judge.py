#!/usr/bin/env python3
"""Compares our verdicts on tricky forms with busboy's and Go's.

usage: judge.py [--write] CASES-FOLDER -- OURS... -- BUSBOY... -- GO...

Each case's three verdicts are "ok" (whole, with the parts that we see),
"other" (whole, with other parts) and "refused".  They must be those of
t/data/form-verdicts.txt, where each difference is explained.  --write puts the
measured ones there and keeps the explanations.
"""

import os
import subprocess
import sys

TABLE = os.path.join(os.path.dirname(__file__), "../../data/form-verdicts.txt")
TYPE = "multipart/form-data; boundary=AaB03x"
CD = b'Content-Disposition: form-data; name="a"\r\n'


def form(*parts, end=b"\r\n--AaB03x--\r\n", before=b""):
    return before + b"--AaB03x\r\n" + b"\r\n--AaB03x\r\n".join(parts) + end


def named(rest, extra=b""):
    return form(b"Content-Disposition: form-data; " + rest + b"\r\n" + extra
                + b"\r\nhello")


def cases():
    f = CD + b"\r\n"
    yield "plain", form(f + b"1", f + b"2")
    yield "binary", form(CD[:-2] + b"; filename=x\r\nContent-Type: image/png\r\n\r\n"
                         + bytes(range(256)) * 3)
    yield "no-parts", b"--AaB03x--\r\n"
    yield "empty", b""
    yield "empty-body", form(f)
    yield "no-body", form(CD, f + b"2")
    yield "no-last-crlf", form(f + b"1", end=b"\r\n--AaB03x--")
    yield "preamble", form(f + b"1", before=b"text\r\n\r\n")
    yield "preamble-crlf", form(f + b"1", before=b"\r\n")
    yield "preamble-lf", form(f + b"1", before=b"text\n")
    yield "preamble-alike", form(f + b"1", before=b"--AaB03xy\r\n")
    yield "preamble-boundary-in-line", form(f + b"1", f + b"2",
                                            before=b"text ")
    yield "epilogue", form(f + b"1") + b"text\r\n--AaB03x\r\nmore"
    yield "epilogue-text-in-line", form(f + b"1", end=b"\r\n--AaB03x--text")
    yield "padding", (b"--AaB03x \t\r\n" + f + b"1\r\n--AaB03x  \r\n" + f
                      + b"2\r\n--AaB03x-- \t\r\n")
    yield "padding-text", b"--AaB03x\r\n" + f + b"1\r\n--AaB03x x\r\n" + f
    yield "cut-data", form(f + b"1", end=b"")
    yield "cut-boundary", form(f + b"1", end=b"\r\n--AaB03x")
    yield "cut-hyphen", form(f + b"1", end=b"\r\n--AaB03x-")
    yield "cut-header", b"--AaB03x\r\nContent-Dis"
    yield "not-closed", form(f + b"1", end=b"\r\n--AaB03x\r\n")
    yield "close-cr", form(f + b"1", end=b"\r\n--AaB03x--\r")
    yield "close-lf", form(f + b"1", end=b"\r\n--AaB03x--\n")
    yield "lf-all", form(f + b"1", f + b"2").replace(b"\r\n", b"\n")
    yield "lf-header", form(CD.replace(b"\r", b"") + b"\r\n1")
    yield "lf-behind-boundary", b"--AaB03x\n" + f + b"1\r\n--AaB03x--\r\n"
    yield "lf-before-boundary", form(f + b"1\n--AaB03x\r\n" + f + b"2")
    yield "cr-header", form(CD[:-2] + b"\rX: y\r\n\r\n1")
    yield "alike-short", form(f + b"\r\n--AaB03\r\n--AaB03")
    yield "alike-no-crlf", form(f + b"x--AaB03x--AaB03x--\r\n")
    yield "alike-longer", form(f + b"1\r\n--AaB03xy\r\n2")
    yield "alike-hyphen", form(f + b"1\r\n--AaB03x-y\r\n2")
    yield "alike-cr", form(f + b"\r\r\n\r\r\n--\r\r\n")
    yield "alike-first", form(f + b"--AaB03xy")
    yield "name-token", named(b"name=a")
    yield "name-empty", named(b'name=""')
    yield "name-none", named(b"filename=x")
    yield "name-twice", named(b"name=a; name=b")
    yield "name-open", named(b'name="a')
    yield "name-utf8", named('name="é"'.encode())
    yield "name-backslash", named(b'name="a\\"b"')
    yield "name-percent", named(b'name="a%22b%0D%0A"')
    yield "filename", named(b'name="a"; filename="x.png"')
    yield "filename-empty", named(b'name="a"; filename=""')
    yield "filename-percent", named(b'name="a"; filename="x%22y%25.png"')
    yield "filename-path", named(b'name="a"; filename="C:\\p\\a.jpg"')
    yield "filename-last-backslash", named(b'name="a"; filename="x\\"')
    yield "filename-star", named(b"name=\"a\"; filename=\"x\"; "
                                 b"filename*=UTF-8''%e2%82%ac.png")
    yield "filename-star-latin1", named(
        b"name=\"a\"; filename*=iso-8859-1''%E9.png")
    yield "filename-star-bad", named(
        b"name=\"a\"; filename=\"x\"; filename*=UTF-8''%ff")
    yield "filename-twice", named(b'name="a"; filename="x"; filename="y"')
    yield "folded", form(b'Content-Disposition: form-data;\r\n name="a"'
                         b"\r\n\r\n1")
    yield "semicolon-end", named(b'name="a";')
    yield "disposition-none", form(b"Content-Type: text/plain\r\n\r\n1",
                                   f + b"2")
    yield "disposition-none-at-all", form(b"\r\n1", f + b"2")
    yield "disposition-other", form(
        b'Content-Disposition: attachment; name="a"\r\n\r\n1', f + b"2")
    yield "disposition-twice", form(CD + CD.replace(b"a", b"b") + b"\r\n1")
    yield "header-no-colon", form(CD + b"nonsense\r\n\r\n1")
    yield "header-blank-colon", form(CD + b"X : y\r\n\r\n1")
    yield "header-control", form(CD + b"X: \x01\r\n\r\n1")
    yield "octet-stream", named(
        b'name="a"', b"Content-Type: application/octet-stream\r\n")
    yield "image-no-filename", named(b'name="a"',
                                     b"Content-Type: image/png\r\n")
    yield "encoding-base64", named(
        b'name="a"', b"Content-Transfer-Encoding: base64\r\n")
    yield "encoding-quoted", named(
        b'name="a"', b"Content-Transfer-Encoding: quoted-printable\r\n")
    yield "encoding-8bit", named(
        b'name="a"', b"Content-Transfer-Encoding: 8bit\r\n")
    yield "nested", named(
        b'name="a"', b"Content-Type: multipart/mixed; boundary=B\r\n")
    yield "header-33-lines", form(CD + b"X: y\r\n" * 32 + b"\r\n1")
    yield "header-9k", form(CD + b"X: " + b"y" * 9000 + b"\r\n\r\n1")


TYPES = (
    ("type-quoted", 'multipart/form-data; boundary="AaB03x"'),
    ("type-case", "Multipart/Form-Data; BOUNDARY=AaB03x"),
    ("type-charset", "multipart/form-data; charset=utf-8; boundary=AaB03x"),
    ("type-twice", "multipart/form-data; boundary=AaB03x; boundary=AaB03x"),
    ("type-none", "multipart/form-data"),
    ("type-empty", "multipart/form-data; boundary="),
    ("type-open", 'multipart/form-data; boundary="AaB03x'),
    ("type-two-values", "multipart/form-data; boundary=AaB03x, x/y"),
)


def lay_out(folder):
    names = []
    everything = [(n, TYPE, b) for n, b in cases()]
    plain = form(CD + b"\r\n1")
    everything += [(n, t, plain) for n, t in TYPES]
    long = "x" * 71
    everything.append(("type-71", TYPE.replace("AaB03x", long),
                       plain.replace(b"AaB03x", long.encode())))
    odd = "a:b=c/d?e"
    everything.append(("type-odd", TYPE.replace("AaB03x", odd),
                       plain.replace(b"AaB03x", odd.encode())))
    for name, typ, body in everything:
        base = os.path.join(folder, name)
        with open(base + ".type", "w", encoding="ascii") as f:
            f.write(typ)
        with open(base + ".body", "wb") as f:
            f.write(body)
        names.append(name)
    return names


def ask(command, folder, names):
    out = subprocess.run(command + [os.path.join(folder, n) for n in names],
                         stdout=subprocess.PIPE, check=True, timeout=300,
                         text=True).stdout
    answers = {}
    for line in out.splitlines():
        name, rest = line.split(" ", 1)
        answers[name] = rest
    return answers


def word(answer, ours):
    if answer.endswith("refused"):
        return "refused"
    return "ok" if answer == ours or ours.endswith("refused") else "other"


def read_table():
    rows = {}
    if os.path.exists(TABLE):
        with open(TABLE, encoding="utf-8") as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    cells = line.split(None, 4) + [""]
                    rows[cells[0]] = (tuple(cells[1:4]), cells[4].strip())
    return rows


def main():
    args = sys.argv[1:]
    write = args[:1] == ["--write"]
    args = args[write:]
    folder, rest = args[0], args[2:]
    cut = [i for i, a in enumerate(rest) if a == "--"]
    commands = rest[:cut[0]], rest[cut[0] + 1:cut[1]], rest[cut[1] + 1:]

    names = lay_out(folder)
    ours, busboy, go = (ask(c, folder, names) for c in commands)
    table = read_table()
    lines, failed = [], 0

    for name in names:
        mine = ours[name]
        got = (word(mine, mine), word(busboy[name], mine),
               word(go[name], mine))
        want, why = table.get(name, (None, ""))
        lines.append(("%-26s %-8s %-8s %-8s %s" % ((name,) + got + (why,)))
                     .rstrip())
        if write:
            continue
        if got != want or (len(set(got)) > 1 and not why):
            failed += 1
            print("%s: %s, the table has %s %s" % (name, got, want, why))
            print("    ours   %s\n    busboy %s\n    go     %s"
                  % (mine, busboy[name], go[name]))

    if write:
        with open(TABLE, encoding="utf-8") as f:
            head = [line.rstrip() for line in f if line.startswith("#")]
        with open(TABLE, "w", encoding="utf-8") as f:
            f.write("\n".join(head + lines) + "\n")
        return 0

    for name in set(table) - set(names):
        failed += 1
        print("%s: in the table, but no case" % name)

    print("%d passed, %d failed" % (len(names) - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
