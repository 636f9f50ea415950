/*
 * A response is read alike whole and in pieces of the fuzzer's choice.
 *
 * sources: src/formats/ngx_iv_http_response.c
 */

#include "formats/ngx_iv_http_response.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    uint64_t  sum;
    size_t    body;
    size_t    headers;
} seen_t;


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
add(seen_t *s, const u_char *p, size_t n)
{
    while (n--) {
        s->sum = (s->sum ^ *p++) * 1099511628211u;
    }
}


static ngx_int_t
on_header(ngx_iv_response_t *rp, const ngx_str_t *name, const ngx_str_t *value)
{
    seen_t  *s = rp->data;

    if (name->len == 0 || name->len + value->len > NGX_IV_RESPONSE_LINE
        || memchr(value->data, '\r', value->len)
        || memchr(value->data, '\0', value->len))
    {
        abort();
    }

    add(s, name->data, name->len);
    add(s, (u_char *) ":", 1);
    add(s, value->data, value->len);
    s->headers++;

    return NGX_OK;
}


static ngx_int_t
on_body(ngx_iv_response_t *rp, const u_char *p, size_t n)
{
    seen_t  *s = rp->data;

    if (n == 0 || !rp->headers_done) {
        abort();
    }

    add(s, p, n);
    s->body += n;

    return NGX_OK;
}


static void
start(ngx_iv_response_t *rp, seen_t *s, uint32_t seed)
{
    memset(s, 0, sizeof(seen_t));
    ngx_iv_response_init(rp);
    rp->data = s;
    rp->header = on_header;
    rp->body = on_body;
    rp->head = seed & 1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    seen_t                    sa, sb;
    u_char                   *copy;
    size_t                    i, k, ta;
    uint32_t                  seed;
    ngx_int_t                 ra, rb;
    const u_char             *q;
    static ngx_iv_response_t  a, b;

    if (n < 4) {
        return 0;
    }

    memcpy(&seed, p, 4);
    p += 4;
    n -= 4;

    start(&a, &sa, seed);
    q = p;
    ra = ngx_iv_response_feed(&a, &q, p + n);
    ta = q - p;

    start(&b, &sb, seed);
    rb = NGX_AGAIN;

    for (i = 0; i < n && rb == NGX_AGAIN; /* void */) {
        seed = seed * 1664525 + 1013904223;
        k = (seed >> 16) % ((seed & 0x80000000) ? 5 : 70) + 1;
        k = ngx_min(k, n - i);

        copy = malloc(k);
        memcpy(copy, p + i, k);
        q = copy;
        rb = ngx_iv_response_feed(&b, &q, copy + k);

        if (rb == NGX_AGAIN && q != copy + k) {
            abort();
        }

        i += q - copy;
        free(copy);
    }

    if (ra != rb || a.status != b.status || a.continued != b.continued
        || a.content_length != b.content_length
        || a.keepalive != b.keepalive
        || memcmp(&sa, &sb, sizeof(seen_t)) != 0
        || (ra == NGX_DONE && ta != i))
    {
        abort();
    }

    if (ngx_iv_response_eof(&a) != ngx_iv_response_eof(&b)) {
        abort();
    }

    return 0;
}
