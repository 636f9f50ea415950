/*
 * SigV4 by AWS's own vectors, which util/fetch-aws-vectors has put into
 * aws4_testsuite below the cache: $IV_CACHE (util/test sets it), else
 * $IMAGE_VAULT_CACHE, else ~/.cache/image_vault.
 *
 * sources: src/aws/ngx_iv_sigv4.c src/base/ngx_iv_str.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c
 * sources: src/formats/ngx_iv_date.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "aws/ngx_iv_sigv4.h"
#include "base/ngx_iv_str.h"
#include "formats/ngx_iv_hash.h"

#include <dirent.h>
#include <stdlib.h>


#define VECTORS_MIN  28             /* of 34 */
#define PAIRS        16


/* 2015-08-30T12:36:00Z */
#define VECTORS_TIME  1440938160


static const struct {
    const char  *name;
    const char  *why;
} skipped[] = {
    /* S3 takes keys as they are: "a//b" and "a/../b" are objects */
    { "get-relative", "S3 does not normalise paths" },
    { "get-relative-relative", "S3 does not normalise paths" },
    { "get-slash", "S3 does not normalise paths" },
    { "get-slash-dot-slash", "S3 does not normalise paths" },
    { "get-slash-pointless-dot", "S3 does not normalise paths" },
    { "get-slashes", "S3 does not normalise paths" }
};


static ngx_uint_t  judged;
static ngx_uint_t  left_out;

static ngx_iv_credentials_t  credentials = {
    ngx_string("AKIDEXAMPLE"),
    ngx_string("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ngx_null_string,
    0
};


static ngx_int_t
slurp(ngx_pool_t *pool, const char *dir, const char *name, const char *ext,
    ngx_str_t *out)
{
    char    path[2048];
    FILE   *f;
    size_t  n;

    (void) snprintf(path, sizeof(path), "%s/%s.%s", dir, name, ext);

    f = fopen(path, "rb");
    if (f == NULL) {
        return NGX_DECLINED;
    }

    out->data = ngx_palloc(pool, 65536);
    if (out->data == NULL) {
        exit(1);
    }

    n = fread(out->data, 1, 65536, f);
    fclose(f);

    while (n && out->data[n - 1] == LF) {
        n--;
    }

    out->len = n;

    return NGX_OK;
}


/* %XX of a request line are what they stand for */

static void
decode(ngx_str_t *s)
{
    u_char  *d, *p, *last;

    d = s->data;
    last = s->data + s->len;

    for (p = s->data; p < last; p++) {
        if (*p == '%' && last - p > 2
            && ngx_iv_unhex(d, p + 1, 1) == NGX_OK)
        {
            d++;
            p += 2;
            continue;
        }

        *d++ = *p;
    }

    s->len = d - s->data;
}


/* "GET /path?query HTTP/1.1" */

static void
request_line(ngx_iv_sigv4_request_t *rq, u_char *p, u_char *last)
{
    u_char         *q, *eq;
    ngx_iv_pair_t  *pair;

    rq->method.data = p;
    while (p < last && *p != ' ') { p++; }
    rq->method.len = p++ - rq->method.data;

    /* the path may hold spaces */
    last -= sizeof(" HTTP/1.1") - 1;

    rq->path.data = p;
    while (p < last && *p != '?') { p++; }
    rq->path.len = p - rq->path.data;
    decode(&rq->path);

    while (p < last) {
        p++;
        pair = &rq->query[rq->nquery++];

        for (q = p; q < last && *q != '&'; q++) { /* void */ }
        for (eq = p; eq < q && *eq != '='; eq++) { /* void */ }

        pair->name.data = p;
        pair->name.len = eq - p;
        pair->value.data = eq < q ? eq + 1 : q;
        pair->value.len = q - pair->value.data;
        decode(&pair->name);
        decode(&pair->value);

        p = q;
    }
}


/* a line that begins with white space goes on with the one before */

static void
header_line(ngx_iv_sigv4_request_t *rq, u_char *p, u_char *last)
{
    u_char     *colon;
    ngx_str_t   name, value;

    if (*p == ' ' || *p == '\t') {
        rq->headers[rq->nheaders - 1].value.len =
            last - rq->headers[rq->nheaders - 1].value.data;
        return;
    }

    colon = ngx_strlchr(p, last, ':');
    if (colon == NULL) {
        return;
    }

    name.data = p;
    name.len = colon - p;
    value.data = colon + 1;
    value.len = last - value.data;

#define IS(what)                                                              \
    (name.len == sizeof(what) - 1                                             \
     && ngx_strncasecmp(name.data, (u_char *) what, name.len) == 0)

    if (IS("host")) {
        rq->host = value;

    } else if (IS("x-amz-security-token")) {
        credentials.token = value;

    } else if (!IS("x-amz-date")) {
        rq->headers[rq->nheaders].name = name;
        rq->headers[rq->nheaders++].value = value;
    }
}


static void
parse(ngx_iv_sigv4_request_t *rq, ngx_str_t *text)
{
    u_char      *p, *line, *last;
    ngx_uint_t   n;

    static u_char  hex[2 * NGX_IV_SHA256_LEN];
    u_char         sum[NGX_IV_SHA256_LEN];

    p = text->data;
    last = p + text->len;

    for (n = 0; p < last; n++) {
        line = p;
        while (p < last && *p != LF) { p++; }

        if (p == line) {
            /* the body */
            p++;
            break;
        }

        if (n == 0) {
            request_line(rq, line, p);

        } else {
            header_line(rq, line, p);
        }

        p++;
    }

    p = ngx_min(p, last);

    EQ_INT(ngx_iv_sha256(p, last - p, sum), NGX_OK);
    ngx_iv_hex(hex, sum, sizeof(sum));
    rq->payload.data = hex;
    rq->payload.len = sizeof(hex);
}


static void
vector(const char *dir, const char *name)
{
    ngx_str_t                text, canonical, to_sign, authorization;
    ngx_uint_t               i;
    ngx_pool_t              *pool;
    ngx_iv_pair_t            query[PAIRS], headers[PAIRS];
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    static ngx_log_t         log;

    for (i = 0; i < sizeof(skipped) / sizeof(skipped[0]); i++) {
        if (strcmp(name, skipped[i].name) == 0) {
            printf("%s: skipped: %s\n", name, skipped[i].why);
            left_out++;
            return;
        }
    }

    pool = ngx_create_pool(4096, &log);

    if (slurp(pool, dir, name, "req", &text) != NGX_OK) {
        ngx_destroy_pool(pool);
        return;
    }

    OK(slurp(pool, dir, name, "creq", &canonical) == NGX_OK);
    OK(slurp(pool, dir, name, "sts", &to_sign) == NGX_OK);
    OK(slurp(pool, dir, name, "authz", &authorization) == NGX_OK);

    ngx_memzero(&rq, sizeof(rq));
    ngx_str_null(&credentials.token);

    if (strcmp(name, "get-vanilla-with-session-token") == 0) {
        /* it comes from the credentials, not from the request */
        ngx_str_set(&credentials.token, "6e86291e8372ff2a2260956d9b8aae1d763f"
                                        "bf315fa00fa31553b73ebf194267");
    }

    rq.credentials = &credentials;
    ngx_str_set(&rq.region, "us-east-1");
    ngx_str_set(&rq.service, "service");
    rq.now = VECTORS_TIME;
    rq.query = query;
    rq.headers = headers;

    parse(&rq, &text);

    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);

#define SAME(got, want)                                                       \
    iv_check_mem((got).data, (got).len, (want).data, (want).len, name,        \
                 __LINE__, #want)

    SAME(out.canonical, canonical);
    SAME(out.string_to_sign, to_sign);
    SAME(out.authorization, authorization);

    judged++;

    ngx_destroy_pool(pool);
}


static void
walk(const char *dir, const char *name)
{
    DIR            *d;
    char            path[2048];
    struct dirent  *entry;

    d = opendir(dir);
    if (d == NULL) {
        return;
    }

    if (name) {
        vector(dir, name);
    }

    while ((entry = readdir(d)) != NULL) {

        if (entry->d_name[0] == '.') {
            continue;
        }

        (void) snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        walk(path, entry->d_name);
    }

    closedir(d);
}


static void
test_vectors(void)
{
    char         dir[1024];
    const char  *cache, *home;

    cache = getenv("IV_CACHE");
    home = getenv("HOME");

    if (cache == NULL || *cache == '\0') {
        cache = getenv("IMAGE_VAULT_CACHE");
    }

    if (cache && *cache) {
        (void) snprintf(dir, sizeof(dir), "%s/aws4_testsuite", cache);

    } else {
        (void) snprintf(dir, sizeof(dir), "%s/.cache/image_vault/"
                        "aws4_testsuite", home ? home : "");
    }

    walk(dir, NULL);

    printf("%u vectors judged, %u skipped\n", (unsigned) judged,
           (unsigned) left_out);

    if (judged < VECTORS_MIN) {
        fprintf(stderr, "too few vectors in %s: run util/fetch-aws-vectors\n",
                dir);
    }

    OK(judged >= VECTORS_MIN);
}


int
main(void)
{
    RUN(test_vectors);

    return iv_test_done();
}
