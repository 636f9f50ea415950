/*
 * What the image walkers cost beside the hashes (MD5 and SHA-256), on one core:
 *
 *     bench/walkers [file...]        (bench/walkers.sh builds and runs it)
 *
 * Of each file: bytes a second of the hashes, of the walker, and the walker's
 * share of the hashes' time.  Both are given 16 KiB at a time, as uploads are.
 *
 * sources: src/formats/ngx_iv_image.c src/formats/ngx_iv_png.c
 *     src/formats/ngx_iv_jpeg.c src/formats/ngx_iv_jpeg_declared.c
 *     src/formats/ngx_iv_jpeg_tail.c src/formats/ngx_iv_gif.c
 *     src/formats/ngx_iv_webp.c src/formats/ngx_iv_avif.c
 *     src/formats/ngx_iv_hash.c src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto -lz
 */

#include "formats/ngx_iv_hash.h"
#include "formats/ngx_iv_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>


#define STEP     16384
#define SECONDS  0.5


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static int
hash(const u_char *p, size_t n)
{
    size_t         i, k;
    u_char         md5[16], sha256[32];
    ngx_iv_hash_t  h;

    if (ngx_iv_hash_init(&h) != NGX_OK) {
        return -1;
    }

    for (i = 0; i < n; i += k) {
        k = ngx_min(STEP, n - i);
        (void) ngx_iv_hash_update(&h, p + i, k);
    }

    (void) ngx_iv_hash_final(&h, md5, sha256);
    ngx_iv_hash_free(&h);

    return 0;
}


static int
walk(const u_char *p, size_t n)
{
    size_t                 i, k;
    ngx_iv_image_t         w;
    ngx_iv_image_limits_t  limits = { NGX_IV_IMAGE_ALL, UINT64_MAX };

    ngx_iv_image_init(&w, &limits);

    for (i = 0; i < n; i += k) {
        k = ngx_min(STEP, n - i);
        (void) ngx_iv_image_feed(&w, p + i, k);
    }

    if (ngx_iv_image_finish(&w) != NGX_OK) {
        fprintf(stderr, "refused: %s\n", w.why);
        return -1;
    }

    return 0;
}


/* seconds a run takes, or 0 */

static double
measure(int (*what)(const u_char *p, size_t n), const u_char *p, size_t n)
{
    double    begin, end;
    unsigned  runs;

    begin = now();
    runs = 0;

    do {
        if (what(p, n) != 0) {
            return 0;
        }

        runs++;
        end = now();

    } while (end - begin < SECONDS);

    return (end - begin) / runs;
}


int
main(int argc, char **argv)
{
    int      i;
    FILE    *f;
    long     n;
    double   h, w;
    u_char  *p;

    printf("%-32s %10s %9s %9s %7s\n", "file", "bytes", "hash MB/s",
           "walk MB/s", "share");

    for (i = 1; i < argc; i++) {

        f = fopen(argv[i], "rb");

        if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) <= 0) {
            perror(argv[i]);
            return 1;
        }

        rewind(f);
        p = malloc((size_t) n);

        if (p == NULL || fread(p, 1, (size_t) n, f) != (size_t) n) {
            perror(argv[i]);
            return 1;
        }

        fclose(f);

        h = measure(hash, p, (size_t) n);
        w = measure(walk, p, (size_t) n);
        free(p);

        if (h == 0 || w == 0) {
            return 1;
        }

        printf("%-32s %10ld %9.0f %9.0f %6.1f%%\n", argv[i], n,
               (double) n / h / 1e6, (double) n / w / 1e6, 100 * w / h);
    }

    return 0;
}
