"""Whole PNGs of any size and content, and forms that carry them."""

import struct
import zlib


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))


def png(rng, size):
    """The walker checks framing and CRCs: any bytes serve as pixels.  No two
    are alike, so that no mixed up image goes unseen."""
    out = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))
    rest = max(size, 120) - len(out) - 12
    while rest:
        n = min(rest - 12, 65536)
        left = rest - 12 - n
        if 0 < left < 13:
            n -= 13
        out += chunk(b"IDAT", rng.randbytes(n))
        rest -= n + 12
    return out + chunk(b"IEND", b"")


BOUNDARY = "chaos-chaos-chaos"


def form(files, fields):
    """`files`: [(name, bytes)]; `fields` come behind them."""
    out = []
    for name, data in files:
        out.append((
            '--%s\r\nContent-Disposition: form-data; name="file"; '
            'filename="%s"\r\nContent-Type: image/png\r\n\r\n'
            % (BOUNDARY, name)).encode() + data + b"\r\n")
    for name, value in fields:
        out.append((
            '--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (BOUNDARY, name, value)).encode())
    out.append(("--%s--\r\n" % BOUNDARY).encode())
    return b"".join(out)
