/*
 * The verdict on an image is the same whole and in pieces of the fuzzer's
 * choice.
 *
 * sources: src/formats/ngx_iv_image.c src/formats/ngx_iv_png.c
 *     src/formats/ngx_iv_jpeg.c src/formats/ngx_iv_jpeg_declared.c
 *     src/formats/ngx_iv_jpeg_tail.c src/formats/ngx_iv_gif.c
 *     src/formats/ngx_iv_webp.c src/formats/ngx_iv_avif.c
 * libs: -lz
 */

#include "formats/ngx_iv_image.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* puts right the CRCs of a PNG's chunks: the fuzzer would never guess them */

static void
mend(u_char *p, size_t n)
{
    size_t    i;
    uint32_t  len, crc;

    for (i = 8; i + 12 <= n; i += len + 12) {
        len = (uint32_t) p[i] << 24 | p[i + 1] << 16 | p[i + 2] << 8
              | p[i + 3];

        if (len > n - i - 12) {
            break;
        }

        crc = (uint32_t) crc32(0, p + i + 4, len + 4);
        p[i + 8 + len] = (u_char) (crc >> 24);
        p[i + 9 + len] = (u_char) (crc >> 16);
        p[i + 10 + len] = (u_char) (crc >> 8);
        p[i + 11 + len] = (u_char) crc;
    }
}


/* the first 4 bytes: seed of the splits; the rest: the image */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char                *copy, *all;
    size_t                 i, k;
    uint32_t               seed;
    ngx_iv_image_t         a, b;
    ngx_iv_image_limits_t  limits;

    if (n < 4) {
        return 0;
    }

    memcpy(&seed, p, 4);
    p += 4;
    n -= 4;

    all = malloc(n + 1);
    memcpy(all, p, n);
    p = all;

    if (seed & 2) {
        mend(all, n);
    }

    limits.types = NGX_IV_IMAGE_ALL;
    limits.max_pixels = (seed & 1) ? 100000000 : UINT64_MAX;

    ngx_iv_image_init(&a, &limits);
    (void) ngx_iv_image_feed(&a, p, n);
    (void) ngx_iv_image_finish(&a);

    ngx_iv_image_init(&b, &limits);

    for (i = 0; i < n; i += k) {
        seed = seed * 1664525 + 1013904223;
        k = (seed >> 16) % ((seed & 0x80000000) ? 5 : 70) + 1;
        k = ngx_min(k, n - i);

        copy = malloc(k);
        memcpy(copy, p + i, k);
        (void) ngx_iv_image_feed(&b, copy, k);
        free(copy);
    }

    (void) ngx_iv_image_finish(&b);

    if (a.verdict != b.verdict || a.why != b.why || a.format != b.format
        || a.width != b.width || a.height != b.height
        || a.frames != b.frames || a.known != b.known || a.whole != b.whole)
    {
        abort();
    }

    if (a.verdict == NGX_OK
        && (!a.whole || !a.known || a.width == 0 || a.height == 0))
    {
        abort();
    }

    free(all);

    return 0;
}
