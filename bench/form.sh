#!/bin/sh
# bench/form.sh: builds and runs bench/form.c, the form parser measured alone.
# Environment: NGX_SRC (configured nginx tree), CC.

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
    -o build/bench/form bench/form.c src/formats/ngx_iv_form.c \
    src/formats/ngx_iv_form_part.c src/formats/ngx_iv_name.c \
    src/base/ngx_iv_str.c t/unit/ngx_stub.c -lcrypto

exec build/bench/form
