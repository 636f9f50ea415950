/*
 * A signed URL of a storage, alone on a core: ns each, as a redirect makes it.
 * Goal: 2000 ns (exit status 1 above).  "days" takes another day at each of
 * four turns, "again" the table of a storage's URLs, with all of them in it.
 *
 * sources: src/storage/ngx_iv_s3_urls.c
 * sources: src/storage/ngx_iv_s3_request.c src/aws/ngx_iv_sigv4.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c src/base/ngx_iv_str.c
 * sources: src/formats/ngx_iv_date.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "storage/ngx_iv_s3_request.h"
#include "storage/ngx_iv_s3_urls.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TURNS  200000
#define GOAL   2000


static double
now(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);

    return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}


static double
measure(const ngx_iv_storage_conf_t *conf, ngx_uint_t download,
    ngx_uint_t days, ngx_uint_t again)
{
    u_char                       *digits;
    double                        start;
    uint32_t                      hash;
    ngx_str_t                     out;
    ngx_uint_t                    i;
    ngx_pool_t                   *pool;
    ngx_iv_storage_url_t          url;

    static u_char                 key[] =
        "images/user-1/2026/11/0b0c6e4e-9a2f-4f0e-8a39-000000000000.jpg";
    static ngx_log_t              log;
    static ngx_iv_s3_urls_t       urls;
    static ngx_iv_sigv4_cache_t   cache;

    ngx_memzero(&url, sizeof(url));

    url.key.data = key;
    url.key.len = sizeof(key) - 1;
    digits = key + sizeof(key) - 1 - (sizeof("000000000000.jpg") - 1);

    if (download) {
        ngx_str_set(&url.disposition, "attachment; filename=\"photo.jpg\"");
    }

    start = now();

    for (i = 0; i < TURNS; i++) {
        pool = ngx_create_pool(4096, &log);

        if (pool == NULL) {
            exit(2);
        }

        digits[0] = (u_char) ('0' + i % 10);
        digits[1] = (u_char) ('0' + i / 10 % 10);

        url.signing = 1795219200 + i % 100 + (days ? i % 4 * 86400 : 0);
        url.expires = url.signing + 3900;

        if (again
            && ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out) == NGX_OK)
        {
            ngx_destroy_pool(pool);
            continue;
        }

        if (ngx_iv_s3_request_url(pool, conf, &cache, &url, &out) != NGX_OK) {
            exit(2);
        }

        if (again) {
            ngx_iv_s3_urls_keep(&urls, &log, &url, hash, &out);
        }

        ngx_destroy_pool(pool);
    }

    return (now() - start) / TURNS;
}


int
main(void)
{
    int                    high;
    double                 ns;
    ngx_uint_t             i;
    ngx_iv_storage_conf_t  conf;

    static u_char          token[900];
    static const struct {
        const char  *name;
        ngx_uint_t   download, days, token, again;
    } kinds[] = {
        { "image", 0, 0, 0, 0 },
        { "download", 1, 0, 0, 0 },
        { "days", 0, 1, 0, 0 },
        { "token of 900 bytes", 0, 0, 1, 0 },
        { "again", 0, 0, 0, 1 },
    };

    high = 0;
    memset(token, 'A', sizeof(token));

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        ngx_memzero(&conf, sizeof(conf));

        ngx_str_set(&conf.region, "us-east-1");
        ngx_str_set(&conf.bucket, "pictures");
        ngx_str_set(&conf.endpoint.host_header, "127.0.0.1:9000");
        ngx_str_set(&conf.credentials.key_id, "AKIAIOSFODNN7EXAMPLE");
        ngx_str_set(&conf.credentials.secret,
                    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");

        if (kinds[i].token) {
            conf.credentials.token.data = token;
            conf.credentials.token.len = sizeof(token);
        }

        (void) measure(&conf, kinds[i].download, kinds[i].days,
                       kinds[i].again);
        ns = measure(&conf, kinds[i].download, kinds[i].days, kinds[i].again);

        high |= ns > GOAL;

        printf("%-28s %6.0f ns%s\n", kinds[i].name, ns,
               ns > GOAL ? "  above 2000 ns" : "");
    }

    return high;
}
