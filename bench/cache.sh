#!/bin/sh
# bench/cache.sh: builds and runs bench/cache.c, the ownership cache measured
# alone.  Environment: NGX_SRC (configured nginx tree), CC.

set -eu
cd "$(dirname "$0")/.."
. util/cbuild.sh

NGX=$(nginx_headers) || exit 1

mkdir -p build/bench

incs="-Isrc -I$NGX/objs"
for d in core event event/modules os/unix; do
    incs="$incs -I$NGX/src/$d"
done

# shellcheck disable=SC2086
${CC:-cc} -O2 -W -Wall -Wextra -Wno-unused-parameter -Werror $incs \
    -o build/bench/cache bench/cache.c src/shm/ngx_iv_cache.c \
    src/shm/ngx_iv_cache_shard.c src/shm/ngx_iv_cache_entry.c \
    src/base/ngx_iv_str.c t/unit/ngx_stub.c -lcrypto

exec build/bench/cache
