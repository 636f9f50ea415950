#!/usr/bin/env python3
"""Makes the images of t/data and examples/photo.jpg (Pillow and numpy).

Run once, the results are kept: t/data/make.py
"""

import os
import struct
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, '..', '..', 'examples')

PNG = b'\x89PNG\r\n\x1a\n'


def path(name):
    return os.path.join(HERE, name)


def gradient(w, h):
    y, x = np.mgrid[0:h, 0:w]
    rgb = np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1),
                    (x * 7 + y * 13) % 256], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8), 'RGB')


def chunk(kind, data=b''):
    return (struct.pack('>I', len(data)) + kind + data
            + struct.pack('>I', zlib.crc32(kind + data)))


def interlaced(w, h):
    """Adam7, 8-bit gray, written by hand: Pillow can't."""
    pix = [[(x * 5 + y * 3) % 256 for x in range(w)] for y in range(h)]
    raw = b''
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8),
                           (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                           (0, 1, 1, 2)):
        for y in range(y0, h, dy):
            row = bytes(pix[y][x] for x in range(x0, w, dx))
            if row:
                raw += b'\0' + row
    return (PNG
            + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 0, 0, 0, 1))
            + chunk(b'IDAT', zlib.compress(raw)) + chunk(b'IEND'))


def pngs():
    im = gradient(40, 30)
    im.save(path('rgb.png'))
    im.convert('L').save(path('gray.png'))
    im.convert('1').save(path('bilevel.png'))
    im.convert('P', palette=Image.ADAPTIVE, colors=16).save(
        path('palette.png'), bits=4)
    rgba = im.copy()
    rgba.putalpha(im.convert('L'))
    rgba.save(path('rgba.png'))

    deep = np.arange(20 * 16, dtype=np.uint16).reshape(16, 20) * 200
    Image.fromarray(deep).save(path('gray16.png'))

    with open(path('interlaced.png'), 'wb') as f:
        f.write(interlaced(19, 17))

    frames = [Image.new('RGB', (24, 16), (60 * i, 200 - 40 * i, 90))
              for i in range(4)]
    frames[0].save(path('animated.png'), save_all=True,
                   append_images=frames[1:], duration=100)


def jpegs():
    im = gradient(64, 48)
    exif = Image.Exif()
    exif[0x010f] = 'Example Camera Works'
    exif[0x0112] = 6

    im.save(path('baseline.jpg'), quality=80)
    im.save(path('progressive.jpg'), quality=80, progressive=True)
    im.save(path('exif.jpg'), quality=80, exif=exif, comment=b'a comment')
    im.save(path('restart.jpg'), quality=80, restart_marker_blocks=2,
            exif=exif)
    im.convert('L').save(path('gray.jpg'), quality=80)
    im.convert('CMYK').save(path('cmyk.jpg'), quality=80)
    im.save(path('sub444.jpg'), quality=95, subsampling=0)


def frames(n, w, h):
    return [Image.new('RGB', (w, h), (60 * i, 200 - 40 * i, 90))
            for i in range(n)]


def gifs():
    gradient(24, 16).convert('P', palette=Image.ADAPTIVE, colors=8).save(
        path('still.gif'), comment=b'a comment')
    f = frames(3, 20, 10)
    f[0].save(path('animated.gif'), save_all=True, append_images=f[1:],
              duration=100, loop=0)


def webps():
    im = gradient(33, 21)
    im.save(path('lossy.webp'), quality=40)
    im.save(path('lossless.webp'), lossless=True)
    rgba = im.copy()
    rgba.putalpha(im.convert('L'))
    exif = Image.Exif()
    exif[0x010f] = 'Example Camera Works'
    rgba.save(path('alpha.webp'), quality=40, exif=exif)
    f = frames(3, 20, 10)
    f[0].save(path('animated.webp'), save_all=True, append_images=f[1:],
              duration=100)


def avifs():
    im = gradient(33, 21)
    im.save(path('still.avif'), quality=40)
    rgba = im.copy()
    rgba.putalpha(im.convert('L'))
    rgba.save(path('alpha.avif'), quality=40)
    f = frames(3, 20, 10)
    f[0].save(path('animated.avif'), save_all=True, append_images=f[1:],
              duration=100)


def container(*items):
    """An XMP packet with a Container, as phones write it."""
    lis = ''.join('<rdf:li rdf:parseType="Resource"><Container:Item '
                  'Item:Mime="%s" Item:Semantic="%s" %s/></rdf:li>' % i
                  for i in items)
    return ('http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description xmlns:Container='
            '"http://ns.google.com/photos/1.0/container/" xmlns:Item='
            '"http://ns.google.com/photos/1.0/container/item/">'
            '<Container:Directory><rdf:Seq>' + lis + '</rdf:Seq>'
            '</Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>'
            ).encode()


def with_segment(jpeg, marker, data):
    return (jpeg[:2] + struct.pack('>BBH', 0xff, marker, len(data) + 2)
            + data + jpeg[2:])


def jpegs_with_more():
    f = [gradient(16, 16), gradient(8, 8)]
    f[0].save(path('mpf.jpg'), format='MPO', save_all=True,
              append_images=f[1:])

    with open(path('gray.jpg'), 'rb') as fh:
        gray = fh.read()
    video = struct.pack('>I', 16) + b'ftypmp42' + b'\0\0\0\0' + bytes(
        range(256))

    with open(path('motion.jpg'), 'wb') as out:
        out.write(with_segment(gray, 0xe1, container(
            ('image/jpeg', 'Primary', 'Item:Length="0" Item:Padding="8"'),
            ('image/jpeg', 'GainMap', 'Item:Length="%d"' % len(gray)),
            ('video/mp4', 'MotionPhoto', 'Item:Length="%d"' % len(video))))
            + b'padding.' + gray + video)

    blocks = b''
    for kind, name, data in ((0x0a01, b'Image_UTC_Data', b'1700000000000'),
                             (0x0a30, b'MotionPhoto_Data', video)):
        blocks += struct.pack('<HHI', 0, kind, len(name)) + name + data
    # distances count back from the directory
    sizes = [len(blocks), 8 + 16 + len(video)]
    entries = b''.join(struct.pack('<HHII', 0, kind, sizes[i], size)
                       for i, (kind, size) in enumerate(
                           ((0x0a01, 8 + 14 + 13), (0x0a30, sizes[1]))))
    seft = b'SEFH' + struct.pack('<II', 107, 2) + entries
    with open(path('samsung.jpg'), 'wb') as out:
        out.write(gray + blocks + seft + struct.pack('<I', len(seft))
                  + b'SEFT')


def noise(rng, w, octaves, roughness=0.5):
    """One-dimensional fractal noise in -1..1."""
    x = np.linspace(0, 1, w)
    out, amp = np.zeros(w), 1.0
    for o in range(octaves):
        n = 2 ** (o + 1) + 1
        pts = rng.uniform(-1, 1, n)
        t = x * (n - 1)
        i = np.minimum(t.astype(int), n - 2)
        f = t - i
        f = f * f * (3 - 2 * f)
        out += amp * (pts[i] * (1 - f) + pts[i + 1] * f)
        amp *= roughness
    return out / 2


def photo(w=1600, h=1067):
    """Ridges in the haze of an evening, above a lake."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    shore = int(h * 0.70)

    # the sky, and a sun low in it
    t = np.clip(y / shore, 0, 1)[..., None]
    top = np.array([38, 62, 120], np.float32)
    mid = np.array([214, 130, 120], np.float32)
    low = np.array([255, 206, 140], np.float32)
    img = np.where(t < 0.55, top + (mid - top) * (t / 0.55),
                   mid + (low - mid) * ((t - 0.55) / 0.45))
    sx, sy = w * 0.64, h * 0.47
    d = np.hypot(x - sx, y - sy)
    img += (np.exp(-(d / 260) ** 1.2) * 110)[..., None] * np.array(
        [1.0, 0.85, 0.55], np.float32)
    disc = np.clip((46 - d) / 2, 0, 1)[..., None]
    img = img * (1 - disc) + np.array([255, 244, 214], np.float32) * disc

    # stripes of cloud
    for k in range(9):
        cy = h * (0.10 + 0.045 * k) + 18 * noise(rng, w, 6)
        thick = 5 + 13 * np.abs(noise(rng, w, 7))
        a = np.exp(-((y - cy) / thick) ** 2) * (
            0.10 + 0.25 * np.clip(noise(rng, w, 5) + 0.3, 0, 1))
        img += a[..., None] * (np.array([255, 190, 170], np.float32) - img)

    # five ridges, each nearer one darker
    far = np.array([196, 128, 128], np.float32)
    near = np.array([26, 28, 52], np.float32)
    for k in range(5):
        f = k / 4
        crest = (h * (0.47 + 0.05 * k)
                 - h * (0.13 - 0.015 * k) * noise(rng, w, 9, 0.48)
                 - 3 * noise(rng, w, 11, 0.9) * f)
        a = np.clip((y - crest) / 1.5, 0, 1)[..., None]
        haze = np.clip((y - crest) / 260, 0, 1)[..., None]
        color = far + (near - far) * f ** 0.8
        color = color + (low - color) * haze * (0.45 * (1 - f))
        img = img * (1 - a) + color * a

    # the lake: what is above it, upside down, rippled and darker
    rows = np.arange(h - shore)
    src = np.clip(shore - 1 - (rows * 1.45).astype(int), 0, h - 1)
    ripple = (3 + rows[:, None] * 0.035) * np.sin(
        rows[:, None] * 0.55 + 3 * noise(rng, w, 6)[None, :]
        + 0.9 * np.sin(x[0][None, :] / 37 + rows[:, None] * 0.21))
    yy = np.clip(src[:, None] + ripple.astype(int), 0, shore - 1)
    water = img[yy, x[:h - shore].astype(int)]
    glint = np.clip(np.sin(rows[:, None] * 0.9 + x[0][None, :] / 9
                           + 5 * noise(rng, w, 8)[None, :]) - 0.86, 0, 1)
    path_of_sun = np.exp(-((x[0][None, :] - sx) / (60 + rows[:, None])) ** 2)
    water = water * 0.72 + np.array([10, 16, 34], np.float32)
    water += (glint * path_of_sun * 650)[..., None] * np.array(
        [1.0, 0.8, 0.5], np.float32)
    img[shore:] = water

    # a vignette, and grain as film has it
    v = 1 - 0.28 * (np.hypot((x - w / 2) / w, (y - h / 2) / h) / 0.7) ** 3
    img = img * v[..., None] + rng.normal(0, 2.2, (h, w, 1))

    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x010e] = 'An evening that a program painted'
    im = Image.fromarray(np.clip(img, 0, 255).astype(np.uint8), 'RGB')
    im.save(os.path.join(EXAMPLES, 'photo.jpg'), quality=82, optimize=True,
            exif=exif)


if __name__ == '__main__':
    pngs()
    jpegs()
    gifs()
    webps()
    avifs()
    jpegs_with_more()
    photo()
