#!/bin/sh
# bench/presign.sh: builds and runs bench/presign.c, signed URLs measured alone.
# Environment: NGX_SRC (configured nginx tree), CC.

set -eu
cd "$(dirname "$0")/.."
. util/cbuild.sh

NGX=$(nginx_headers) || exit 1

build_programs build/bench "${CC:-cc}" "-O2" t/unit/ngx_stub.c \
    bench/presign.c || exit 1

exec build/bench/presign
