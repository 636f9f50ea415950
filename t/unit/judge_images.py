#!/usr/bin/env python3
"""Compares the image walkers' verdicts with t/data/corpora.txt and Pillow's.

    judge_images.py WALK_CLI CORPORA [--print]

A line of corpora.txt: file, verdict, width x height x frames, and, where
Pillow thinks otherwise, the reason; between tabs.  Pillow decodes up to ten
frames of each image; a reason is demanded where only one of the two takes a
file, and where dimensions differ.  Frames are compared for GIF, WebP and AVIF:
Pillow counts the images behind a JPEG, and an APNG's still image, as frames.
"""

import os
import resource
import subprocess
import sys
import warnings

from PIL import Image

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                    '..', 'data', 'corpora.txt')
FORMATS = {'JPEG': 'jpg', 'MPO': 'jpg', 'PNG': 'png', 'GIF': 'gif',
           'WEBP': 'webp', 'AVIF': 'avif'}
NAMES = ('.jpg', '.jpeg', '.png', '.apng', '.gif', '.webp', '.avif', '.avifs',
         '.mpo')
PIXELS = 20000000       # more are not decoded here
MEMORY = 2 << 30        # the suites hold bombs

warnings.simplefilter('ignore')
Image.MAX_IMAGE_PIXELS = None


def is_ours(path):
    with open(path, 'rb') as f:
        head = f.read(12)
    return (head.startswith((b'\xff\xd8\xff', b'\x89PNG', b'GIF8'))
            or head[8:12] == b'WEBP' or head[4:8] == b'ftyp'
            or path.endswith(NAMES))


def collect(top):
    names = []
    for folder, _, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            if is_ours(path):
                names.append(os.path.relpath(path, top))
    return sorted(names)


def walk(cli, top, names):
    out = subprocess.run([os.path.abspath(cli)], cwd=top, check=True,
                         input=''.join(n + '\n' for n in names),
                         stdout=subprocess.PIPE, text=True).stdout
    return [line.split('\t') for line in out.splitlines()]


def pillow(path):
    """Format, width x height and frames, or None; raises no error."""
    try:
        with Image.open(path, formats=['JPEG', 'PNG', 'GIF', 'WEBP',
                                       'AVIF']) as im:
            size = im.size
            if size[0] * size[1] > PIXELS:
                return None
            frames = getattr(im, 'n_frames', 1)
            for i in range(min(frames, 10)):
                im.seek(i)
                im.load()
            return FORMATS[im.format], '%dx%d' % size, frames
    except Exception:
        # whatever a decoder says of a broken file
        return None


def differs(path, verdict, form, dims):
    theirs = pillow(path)
    if theirs is None or verdict != 'ok':
        return (theirs is None) != (verdict != 'ok')
    size, frames = dims.rsplit('x', 1)
    if (form, size) != theirs[:2]:
        return True
    return form in ('gif', 'webp', 'avif') and int(frames) != theirs[2]


def main():
    cli, top = sys.argv[1:3]
    found = walk(cli, top, collect(top))

    if sys.argv[3:] == ['--print']:
        for name, verdict, _, dims, why in found:
            print('\t'.join((name, verdict, dims)))
        return 0

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    want = {}
    with open(LIST, encoding='utf-8') as f:
        for line in f:
            if not line.startswith('#'):
                name, verdict, dims, *reason = line.rstrip('\n').split('\t')
                want[name] = (verdict, dims, reason)

    bad = []
    for name, verdict, form, dims, why in found:
        if name not in want:
            # another Go may carry more images
            if not name.startswith('go/'):
                bad.append('%s: not in the list' % name)
            continue
        listed = want.pop(name)
        if listed[:2] != (verdict, dims):
            bad.append('%s: %s %s (%s), the list says %s %s'
                       % (name, verdict, dims, why, *listed[:2]))
        elif differs(os.path.join(top, name), verdict, form, dims):
            if not listed[2]:
                bad.append('%s: %s %s (%s), Pillow thinks otherwise'
                           % (name, verdict, dims, why))
        elif listed[2]:
            bad.append('%s: a reason, but Pillow agrees' % name)

    bad += ['%s: is not there' % name for name in want]
    for line in bad:
        print(line)
    print('%d passed, %d failed' % (len(found) - len(bad), len(bad)))

    return 1 if bad or not found else 0


if __name__ == '__main__':
    sys.exit(main())
