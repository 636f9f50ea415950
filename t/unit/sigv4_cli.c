/*
 * Signs what it reads, for t/unit/judge_sigv4.py.  Not a test by itself.
 *
 * A request is a line of fields set apart by tabs, each in hex, an absent list
 * empty:
 *     form (sign or presign), key id, secret, token, region, unix time, method,
 *     scheme, host, path, payload, expires, then name and value pairs: "q",
 *     name, value or "h", name, value
 * The answer is one line: the target or URL, a tab, the authorization.
 *
 * sources: src/aws/ngx_iv_sigv4.c src/base/ngx_iv_str.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c
 * sources: src/formats/ngx_iv_date.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/ngx_iv_sigv4.h"
#include "base/ngx_iv_str.h"


#define FIELDS  12
#define PAIRS   32


static ngx_uint_t
split(ngx_pool_t *pool, char *line, ngx_str_t *fields, ngx_uint_t max)
{
    char        *end;
    ngx_uint_t   n;

    for (n = 0; n < max; n++) {
        end = line + strcspn(line, "\t\n");

        fields[n].len = (end - line) / 2;
        fields[n].data = ngx_pnalloc(pool, fields[n].len + 1);

        if (fields[n].data == NULL
            || ngx_iv_unhex(fields[n].data, (u_char *) line, fields[n].len)
               != NGX_OK)
        {
            fprintf(stderr, "bad field %u\n", (unsigned) n);
            exit(1);
        }

        fields[n].data[fields[n].len] = '\0';

        if (*end != '\t') {
            return n + 1;
        }

        line = end + 1;
    }

    return n;
}


static void
answer(ngx_pool_t *pool, char *line, ngx_iv_sigv4_cache_t *cache)
{
    ngx_str_t                f[FIELDS + 3 * PAIRS], url;
    ngx_uint_t               i, n;
    ngx_iv_pair_t            query[PAIRS], headers[PAIRS], *pair;
    ngx_iv_credentials_t     credentials;
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    n = split(pool, line, f, FIELDS + 3 * PAIRS);

    if (n < FIELDS) {
        fprintf(stderr, "too few fields\n");
        exit(1);
    }

    ngx_memzero(&credentials, sizeof(credentials));
    credentials.key_id = f[1];
    credentials.secret = f[2];
    credentials.token = f[3];

    ngx_memzero(&rq, sizeof(rq));
    rq.credentials = &credentials;
    rq.cache = cache;
    rq.region = f[4];
    ngx_str_set(&rq.service, "s3");
    rq.now = (time_t) atoll((char *) f[5].data);
    rq.method = f[6];
    rq.host = f[8];
    rq.path = f[9];
    rq.payload = f[10];
    rq.query = query;
    rq.headers = headers;

    for (i = FIELDS; i + 2 < n; i += 3) {
        pair = f[i].data[0] == 'q' ? &query[rq.nquery++]
                                   : &headers[rq.nheaders++];
        pair->name = f[i + 1];
        pair->value = f[i + 2];
    }

    if (strcmp((char *) f[0].data, "presign") == 0) {
        if (ngx_iv_sigv4_presign(pool, &rq, &f[7],
                                 (time_t) atoll((char *) f[11].data), &url)
            != NGX_OK)
        {
            exit(1);
        }

        printf("%.*s\t\n", (int) url.len, url.data);

    } else {
        if (ngx_iv_sigv4_sign(pool, &rq, &out) != NGX_OK) {
            exit(1);
        }

        printf("%.*s\t%.*s\n", (int) out.target.len, out.target.data,
               (int) out.authorization.len, out.authorization.data);
    }

    fflush(stdout);
}


int
main(void)
{
    ngx_pool_t            *pool;

    static char            line[262144];
    static ngx_log_t       log;
    static ngx_iv_sigv4_cache_t  cache;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        pool = ngx_create_pool(4096, &log);
        if (pool == NULL) {
            return 1;
        }

        answer(pool, line, &cache);

        ngx_destroy_pool(pool);
    }

    return 0;
}
