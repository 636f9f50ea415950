/*
 * The form parser alone, a core, data in the cache as nginx's buffers are:
 * prints GB/s for kinds of content.  Floor: 2 GB/s (exit status 1 below).
 *
 *   cc -O2 -Isrc -I<nginx>/src/core ... bench/form.c src/formats/ngx_iv_form.c
 *       src/formats/ngx_iv_form_part.c src/formats/ngx_iv_name.c
 *       src/base/ngx_iv_str.c t/unit/ngx_stub.c -lcrypto
 * (bench/form.sh does it)
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "formats/ngx_iv_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER  65536
#define TOTAL   (2048ull * 1024 * 1024)
#define FLOOR   2.0

#define BOUNDARY  "----WebKitFormBoundary7MA4YWxkTrZu0gW"


static double
now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);

    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


/* one part, the same buffer again and again */

static double
measure(const u_char *buf, uint64_t total)
{
    double                start;
    uint64_t              n, data;
    ngx_int_t             rc;
    ngx_str_t             type;
    const u_char         *p;
    static ngx_iv_form_t  f;

    static u_char  head[] =
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"f\"; "
        "filename=\"x.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n";
    static u_char  tail[] = "\r\n--" BOUNDARY "--\r\n";

    ngx_str_set(&type, "multipart/form-data; boundary=" BOUNDARY);

    if (ngx_iv_form_init(&f, &type) != NGX_OK) {
        exit(2);
    }

    p = head;
    rc = ngx_iv_form_feed(&f, &p, head + sizeof(head) - 1);

    if (rc != NGX_IV_FORM_PART) {
        exit(2);
    }

    data = 0;
    start = now();

    for (n = 0; n < total; n += BUFFER) {

        p = buf;

        while ((rc = ngx_iv_form_feed(&f, &p, buf + BUFFER))
               == NGX_IV_FORM_DATA)
        {
            data += f.data.len;
        }

        if (rc != NGX_AGAIN) {
            exit(2);
        }
    }

    start = now() - start;
    p = tail;

    while ((rc = ngx_iv_form_feed(&f, &p, tail + sizeof(tail) - 1)) < 0
           && rc != NGX_DONE)
    {
        data += (rc == NGX_IV_FORM_DATA) ? f.data.len : 0;
    }

    if (ngx_iv_form_finish(&f) != NGX_OK || data != n) {
        exit(2);
    }

    return (double) n / start / 1e9;
}


int
main(void)
{
    int       low;
    char      want[64];
    size_t    i, k;
    double    speed;
    u_char   *buf;
    uint64_t  x;

    static const struct {
        const char  *name;
        const char  *fill;              /* NULL: random bytes */
        uint64_t     total;
    } kinds[] = {
        { "random bytes (an image)", NULL, TOTAL },
        { "zeros", "", TOTAL },
        { "text, lines of 64", "the quick brown fox jumps over the lazy dog "
                               "and comes again 1\r\n", TOTAL },
        { "CR only", "\r", TOTAL },
        { "CR LF only", "\r\n", TOTAL },
        { "boundaries without end", "\r\n------WebKitFormBoundary7MA4YWxkTrZu",
          TOTAL / 4 },
        { "CR and the last byte", "\rW", TOTAL / 4 },
    };

    buf = malloc(BUFFER);
    if (buf == NULL) {
        return 2;
    }

    low = 0;
    x = 88172645463325252ull;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {

        for (k = 0; k < BUFFER; k++) {

            if (kinds[i].fill) {
                buf[k] = (u_char) kinds[i].fill[
                             kinds[i].fill[0]
                             ? k % strlen(kinds[i].fill) : 0];
                continue;
            }

            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            buf[k] = (u_char) (x >> 32);
        }

        (void) measure(buf, kinds[i].total / 16);
        speed = measure(buf, kinds[i].total);

        /* the last two come from whoever means harm: no floor */

        snprintf(want, sizeof(want), "%s", i < 5 && speed < FLOOR
                                           ? "  below 2 GB/s" : "");
        low |= want[0] != '\0';

        printf("%-28s %6.2f GB/s%s\n", kinds[i].name, speed, want);
    }

    free(buf);

    return low;
}
