#!/bin/sh
# bench/walkers.sh [FILE…]: what the image walkers cost beside the hashes, by
# bench/walkers.c; without files, of examples/photo.jpg and of images that
# Pillow makes of it in each format, 2 to 8 MB.
# Environment: NGX_SRC (configured nginx tree), CC; TEST_PYTHON: a Python with
# Pillow.

set -eu
cd "$(dirname "$0")/.."
. util/cbuild.sh

NGX=$(nginx_headers) || exit 1

build_programs build/bench "${CC:-cc}" "-O2" t/unit/ngx_stub.c \
    bench/walkers.c || exit 1

if [ $# -eq 0 ]; then
    out=build/bench/images
    mkdir -p "$out"

    if [ ! -s "$out/photo.avif" ]; then
        "${TEST_PYTHON:-python3}" - "$out" << 'END'
import sys
from PIL import Image
im = Image.open('examples/photo.jpg')
big = im.resize((im.width * 2, im.height * 2))
noisy = Image.blend(big, Image.effect_noise(big.size, 60).convert('RGB'), 0.2)
out = sys.argv[1] + '/photo.'
noisy.save(out + 'jpg', quality=92)
noisy.save(sys.argv[1] + '/progressive.jpg', quality=92, progressive=True)
im.save(out + 'png')
noisy.convert('P').save(out + 'gif')
noisy.save(out + 'webp', quality=92, method=0)
noisy.save(out + 'avif', quality=90, speed=10)
END
    fi

    set -- examples/photo.jpg "$out"/*.jpg "$out"/*.png "$out"/*.gif \
        "$out"/*.webp "$out"/*.avif
fi

exec build/bench/walkers "$@"
