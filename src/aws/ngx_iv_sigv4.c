/*
 * AWS Signature Version 4 for S3, see the header.
 */

#include "aws/ngx_iv_sigv4_private.h"
#include "base/ngx_iv_str.h"
#include "formats/ngx_iv_date.h"


/* host, x-amz-content-sha256, x-amz-date, x-amz-security-token */
#define NGX_IV_SIGV4_HEADERS  4

/* X-Amz-Algorithm, -Credential, -Date, -Expires, -Security-Token,
 * -SignedHeaders */
#define NGX_IV_SIGV4_ARGS     6


/* one signature in the making; the strings are in pool */
typedef struct {
    ngx_pool_t              *pool;
    ngx_iv_sigv4_request_t  *rq;
    ngx_str_t                payload;
    ngx_str_t                date;
    ngx_str_t                scope;
    ngx_str_t                path;          /* encoded */
    ngx_str_t                query;         /* encoded and sorted */
    ngx_str_t                headers;       /* canonical */
    ngx_str_t                names;         /* "host;x-amz-date" */
    ngx_str_t                canonical;
    ngx_str_t                string_to_sign;
    ngx_str_t                signature;     /* hex */
    u_char                   date_data[NGX_IV_DATE_AMZ_LEN];
    u_char                   signature_data[NGX_IV_SIGV4_HEX];
} ngx_iv_sigv4_t;


static ngx_int_t ngx_iv_sigv4_init(ngx_iv_sigv4_t *s, ngx_pool_t *pool,
    ngx_iv_sigv4_request_t *rq);
static ngx_int_t ngx_iv_sigv4_headers(ngx_iv_sigv4_t *s, ngx_uint_t own);
static ngx_int_t ngx_iv_sigv4_query(ngx_iv_sigv4_t *s,
    const ngx_iv_pair_t *more, ngx_uint_t nmore);
static ngx_int_t ngx_iv_sigv4_finish(ngx_iv_sigv4_t *s);
static ngx_int_t ngx_iv_sigv4_join(ngx_pool_t *pool, ngx_str_t *out,
    const ngx_str_t *parts, ngx_uint_t n);
static ngx_int_t ngx_iv_sigv4_encode(ngx_pool_t *pool, ngx_str_t *out,
    const ngx_str_t *in, ngx_uint_t keep_slash);
static ngx_int_t ngx_iv_sigv4_lower(ngx_pool_t *pool, ngx_str_t *out,
    const ngx_str_t *in);
static ngx_int_t ngx_iv_sigv4_fold(ngx_pool_t *pool, ngx_str_t *out,
    const ngx_str_t *in);
static ngx_int_t ngx_iv_sigv4_compare(const ngx_str_t *a, const ngx_str_t *b);
static void ngx_iv_sigv4_sort(ngx_iv_pair_t *pairs, ngx_uint_t n,
    ngx_uint_t by_value);


static const ngx_str_t  ngx_iv_sigv4_s3 = ngx_string("s3");
static const ngx_str_t  ngx_iv_sigv4_algorithm =
    ngx_string(NGX_IV_SIGV4_ALGORITHM);
static const ngx_str_t  ngx_iv_sigv4_unsigned =
    ngx_string(NGX_IV_SIGV4_UNSIGNED);
static const ngx_str_t  ngx_iv_sigv4_terminator =
    ngx_string(NGX_IV_SIGV4_TERMINATOR);
static const ngx_str_t  ngx_iv_sigv4_slash = ngx_string("/");
static const ngx_str_t  ngx_iv_sigv4_lf = ngx_string("\n");


ngx_int_t
ngx_iv_sigv4_sign(ngx_pool_t *pool, ngx_iv_sigv4_request_t *rq,
    ngx_iv_sigv4_signed_t *out)
{
    ngx_str_t        parts[8];
    ngx_iv_sigv4_t   s;

    ngx_memzero(out, sizeof(ngx_iv_sigv4_signed_t));

    if (ngx_iv_sigv4_init(&s, pool, rq) != NGX_OK) {
        return NGX_ERROR;
    }

    s.payload = rq->payload;

    if (ngx_iv_sigv4_headers(&s, 1) != NGX_OK
        || ngx_iv_sigv4_query(&s, NULL, 0) != NGX_OK
        || ngx_iv_sigv4_finish(&s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    parts[0] = ngx_iv_sigv4_algorithm;
    ngx_str_set(&parts[1], " Credential=");
    parts[2] = s.scope;
    ngx_str_set(&parts[3], ", SignedHeaders=");
    parts[4] = s.names;
    ngx_str_set(&parts[5], ", Signature=");
    parts[6] = s.signature;

    if (ngx_iv_sigv4_join(pool, &out->authorization, parts, 7) != NGX_OK) {
        return NGX_ERROR;
    }

    parts[0] = s.path;
    ngx_str_set(&parts[1], "?");
    parts[2] = s.query;

    if (ngx_iv_sigv4_join(pool, &out->target, parts, s.query.len ? 3 : 1)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_iv_sigv4_join(pool, &out->date, &s.date, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    out->payload = s.payload;
    out->token = rq->credentials->token;
    out->canonical = s.canonical;
    out->string_to_sign = s.string_to_sign;

    return NGX_OK;
}


ngx_int_t
ngx_iv_sigv4_presign(ngx_pool_t *pool, ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scheme, time_t expires, ngx_str_t *url)
{
    u_char          *p, number[sizeof("604800") - 1];
    ngx_int_t        rc;
    ngx_str_t        parts[8];
    ngx_uint_t       n;
    ngx_iv_pair_t    args[NGX_IV_SIGV4_ARGS];
    ngx_iv_sigv4_t   s;

    expires = ngx_min(ngx_max(expires, 1), NGX_IV_SIGV4_MAX_EXPIRES);

    rc = ngx_iv_sigv4_link(pool, rq, scheme, expires, url);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_iv_sigv4_init(&s, pool, rq) != NGX_OK) {
        return NGX_ERROR;
    }

    s.payload = ngx_iv_sigv4_unsigned;

    if (ngx_iv_sigv4_headers(&s, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    p = number + sizeof(number);

    do {
        *--p = (u_char) ('0' + expires % 10);
        expires /= 10;
    } while (expires);

    n = 0;

    ngx_str_set(&args[n].name, "X-Amz-Algorithm");
    args[n++].value = ngx_iv_sigv4_algorithm;

    ngx_str_set(&args[n].name, "X-Amz-Credential");
    args[n++].value = s.scope;

    ngx_str_set(&args[n].name, "X-Amz-Date");
    args[n++].value = s.date;

    ngx_str_set(&args[n].name, "X-Amz-Expires");
    args[n].value.data = p;
    args[n++].value.len = number + sizeof(number) - p;

    if (rq->credentials->token.len) {
        ngx_str_set(&args[n].name, "X-Amz-Security-Token");
        args[n++].value = rq->credentials->token;
    }

    ngx_str_set(&args[n].name, "X-Amz-SignedHeaders");
    args[n++].value = s.names;

    if (ngx_iv_sigv4_query(&s, args, n) != NGX_OK
        || ngx_iv_sigv4_finish(&s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    parts[0] = *scheme;
    ngx_str_set(&parts[1], "://");
    parts[2] = rq->host;
    parts[3] = s.path;
    ngx_str_set(&parts[4], "?");
    parts[5] = s.query;
    ngx_str_set(&parts[6], "&X-Amz-Signature=");
    parts[7] = s.signature;

    return ngx_iv_sigv4_join(pool, url, parts, 8);
}


size_t
ngx_iv_uri_encode(u_char *dst, const ngx_str_t *src, ngx_uint_t keep_slash)
{
    u_char               c, *p;
    size_t               i, n;

    static const u_char  hex[] = "0123456789ABCDEF";

    /* letters, digits, "-", ".", "_", "~"; then the slash as well */

    static const uint32_t  plain[2][8] = {
        { 0, 0x03ff6000, 0x87fffffe, 0x47fffffe, 0, 0, 0, 0 },
        { 0, 0x03ffe000, 0x87fffffe, 0x47fffffe, 0, 0, 0, 0 }
    };

    const uint32_t      *stays = plain[keep_slash ? 1 : 0];

    if (dst == NULL) {
        n = src->len;

        for (i = 0; i < src->len; i++) {
            c = src->data[i];

            if (!(stays[c >> 5] & (1u << (c & 0x1f)))) {
                n += 2;
            }
        }

        return n;
    }

    p = dst;

    for (i = 0; i < src->len; i++) {
        c = src->data[i];

        if (stays[c >> 5] & (1u << (c & 0x1f))) {
            *p++ = c;
            continue;
        }

        *p++ = '%';
        *p++ = hex[c >> 4];
        *p++ = hex[c & 0x0f];
    }

    return p - dst;
}


static ngx_int_t
ngx_iv_sigv4_init(ngx_iv_sigv4_t *s, ngx_pool_t *pool,
    ngx_iv_sigv4_request_t *rq)
{
    ngx_str_t  parts[9];

    ngx_memzero(s, sizeof(ngx_iv_sigv4_t));

    s->pool = pool;
    s->rq = rq;

    (void) ngx_iv_date_amz(s->date_data, rq->now);
    s->date.data = s->date_data;
    s->date.len = NGX_IV_DATE_AMZ_LEN;

    /* with the key id in front, as Credential has it */

    parts[0] = rq->credentials->key_id;
    parts[1] = ngx_iv_sigv4_slash;
    parts[2].data = s->date_data;
    parts[2].len = NGX_IV_SIGV4_DAY;
    parts[3] = ngx_iv_sigv4_slash;
    parts[4] = rq->region;
    parts[5] = ngx_iv_sigv4_slash;
    parts[6] = rq->service;
    parts[7] = ngx_iv_sigv4_slash;
    parts[8] = ngx_iv_sigv4_terminator;

    if (ngx_iv_sigv4_join(pool, &s->scope, parts, 9) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rq->path.len == 0) {
        s->path = ngx_iv_sigv4_slash;
        return NGX_OK;
    }

    return ngx_iv_sigv4_encode(pool, &s->path, &rq->path, 1);
}


/*
 * The canonical headers and the list of their names.  `own`: with the header
 * form's x-amz-* of the signer.  x-amz-content-sha256 is a header of S3 only.
 */

static ngx_int_t
ngx_iv_sigv4_headers(ngx_iv_sigv4_t *s, ngx_uint_t own)
{
    u_char                  *p, *q;
    size_t                   size;
    ngx_uint_t               i, n;
    ngx_iv_pair_t           *h;
    ngx_iv_sigv4_request_t  *rq;

    rq = s->rq;

    h = ngx_palloc(s->pool, (rq->nheaders + NGX_IV_SIGV4_HEADERS)
                            * sizeof(ngx_iv_pair_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    ngx_str_set(&h[n].name, "host");
    h[n++].value = rq->host;

    if (own) {
        ngx_str_set(&h[n].name, "x-amz-date");
        h[n++].value = s->date;

        if (rq->service.len == ngx_iv_sigv4_s3.len
            && ngx_memcmp(rq->service.data, ngx_iv_sigv4_s3.data,
                          ngx_iv_sigv4_s3.len) == 0)
        {
            ngx_str_set(&h[n].name, "x-amz-content-sha256");
            h[n++].value = s->payload;
        }

        if (rq->credentials->token.len) {
            ngx_str_set(&h[n].name, "x-amz-security-token");
            h[n++].value = rq->credentials->token;
        }
    }

    for (i = 0; i < rq->nheaders; i++) {
        h[n++] = rq->headers[i];
    }

    size = 0;

    for (i = 0; i < n; i++) {
        if (ngx_iv_sigv4_lower(s->pool, &h[i].name, &h[i].name) != NGX_OK
            || ngx_iv_sigv4_fold(s->pool, &h[i].value, &h[i].value) != NGX_OK)
        {
            return NGX_ERROR;
        }

        size += h[i].name.len + h[i].value.len + 2;
    }

    /* by name; values of one name stay in their order */
    ngx_iv_sigv4_sort(h, n, 0);

    p = ngx_pnalloc(s->pool, size);
    q = ngx_pnalloc(s->pool, size);
    if (p == NULL || q == NULL) {
        return NGX_ERROR;
    }

    s->headers.data = p;
    s->names.data = q;

    for (i = 0; i < n; i++) {

        if (i && ngx_iv_sigv4_compare(&h[i].name, &h[i - 1].name) == 0) {
            p[-1] = ',';

        } else {
            if (i) {
                *q++ = ';';
            }

            q = ngx_cpymem(q, h[i].name.data, h[i].name.len);
            p = ngx_cpymem(p, h[i].name.data, h[i].name.len);
            *p++ = ':';
        }

        p = ngx_cpymem(p, h[i].value.data, h[i].value.len);
        *p++ = LF;
    }

    s->headers.len = p - s->headers.data;
    s->names.len = q - s->names.data;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sigv4_query(ngx_iv_sigv4_t *s, const ngx_iv_pair_t *more,
    ngx_uint_t nmore)
{
    u_char                  *p;
    size_t                   size;
    ngx_uint_t               i, n;
    ngx_iv_pair_t           *a;
    const ngx_iv_pair_t     *from;
    ngx_iv_sigv4_request_t  *rq;

    rq = s->rq;
    n = rq->nquery + nmore;

    if (n == 0) {
        return NGX_OK;
    }

    a = ngx_palloc(s->pool, n * sizeof(ngx_iv_pair_t));
    if (a == NULL) {
        return NGX_ERROR;
    }

    size = 0;

    for (i = 0; i < n; i++) {
        from = (i < rq->nquery) ? &rq->query[i] : &more[i - rq->nquery];

        if (ngx_iv_sigv4_encode(s->pool, &a[i].name, &from->name, 0)
                != NGX_OK
            || ngx_iv_sigv4_encode(s->pool, &a[i].value, &from->value, 0)
                != NGX_OK)
        {
            return NGX_ERROR;
        }

        size += a[i].name.len + a[i].value.len + 2;
    }

    ngx_iv_sigv4_sort(a, n, 1);

    p = ngx_pnalloc(s->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    s->query.data = p;

    for (i = 0; i < n; i++) {
        if (i) {
            *p++ = '&';
        }

        p = ngx_cpymem(p, a[i].name.data, a[i].name.len);
        *p++ = '=';
        p = ngx_cpymem(p, a[i].value.data, a[i].value.len);
    }

    s->query.len = p - s->query.data;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sigv4_finish(ngx_iv_sigv4_t *s)
{
    u_char      sum[NGX_IV_SHA256_LEN], hex[NGX_IV_SIGV4_HEX];
    ngx_str_t   parts[11];

    parts[0] = s->rq->method;
    parts[1] = ngx_iv_sigv4_lf;
    parts[2] = s->path;
    parts[3] = ngx_iv_sigv4_lf;
    parts[4] = s->query;
    parts[5] = ngx_iv_sigv4_lf;
    parts[6] = s->headers;
    parts[7] = ngx_iv_sigv4_lf;
    parts[8] = s->names;
    parts[9] = ngx_iv_sigv4_lf;
    parts[10] = s->payload;

    if (ngx_iv_sigv4_join(s->pool, &s->canonical, parts, 11) != NGX_OK
        || ngx_iv_sha256_short(s->canonical.data, s->canonical.len, sum)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_iv_hex(hex, sum, NGX_IV_SHA256_LEN);

    parts[0] = ngx_iv_sigv4_algorithm;
    parts[1] = ngx_iv_sigv4_lf;
    parts[2] = s->date;
    parts[3] = ngx_iv_sigv4_lf;
    /* without the key id and its slash */
    parts[4].data = s->scope.data + s->rq->credentials->key_id.len + 1;
    parts[4].len = s->scope.len - s->rq->credentials->key_id.len - 1;
    parts[5] = ngx_iv_sigv4_lf;
    parts[6].data = hex;
    parts[6].len = NGX_IV_SIGV4_HEX;

    if (ngx_iv_sigv4_join(s->pool, &s->string_to_sign, parts, 7) != NGX_OK
        || ngx_iv_sigv4_hmac(s->pool, s->rq, &s->scope, &s->string_to_sign,
                             sum)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) ngx_iv_hex(s->signature_data, sum, NGX_IV_SHA256_LEN);

    s->signature.data = s->signature_data;
    s->signature.len = NGX_IV_SIGV4_HEX;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sigv4_join(ngx_pool_t *pool, ngx_str_t *out, const ngx_str_t *parts,
    ngx_uint_t n)
{
    u_char      *p;
    size_t       size;
    ngx_uint_t   i;

    size = 0;

    for (i = 0; i < n; i++) {
        size += parts[i].len;
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    out->len = size;

    for (i = 0; i < n; i++) {
        if (parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sigv4_encode(ngx_pool_t *pool, ngx_str_t *out, const ngx_str_t *in,
    ngx_uint_t keep_slash)
{
    size_t  size;

    size = ngx_iv_uri_encode(NULL, in, keep_slash);

    out->data = ngx_pnalloc(pool, size);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    out->len = ngx_iv_uri_encode(out->data, in, keep_slash);

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sigv4_lower(ngx_pool_t *pool, ngx_str_t *out, const ngx_str_t *in)
{
    u_char  *p;
    size_t   i;

    p = ngx_pnalloc(pool, in->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < in->len; i++) {
        p[i] = ngx_tolower(in->data[i]);
    }

    out->len = in->len;
    out->data = p;

    return NGX_OK;
}


/* without white space at the ends, runs of it become one space */

static ngx_int_t
ngx_iv_sigv4_fold(ngx_pool_t *pool, ngx_str_t *out, const ngx_str_t *in)
{
    u_char      *p, c;
    size_t       i, n;
    ngx_uint_t   space;

    p = ngx_pnalloc(pool, in->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    n = 0;
    space = 0;

    for (i = 0; i < in->len; i++) {
        c = in->data[i];

        if (c == ' ' || c == '\t' || c == CR || c == LF) {
            space = 1;
            continue;
        }

        if (space && n) {
            p[n++] = ' ';
        }

        space = 0;
        p[n++] = c;
    }

    out->len = n;
    out->data = p;

    return NGX_OK;
}


/* by bytes, the shorter one first */

static ngx_int_t
ngx_iv_sigv4_compare(const ngx_str_t *a, const ngx_str_t *b)
{
    ngx_int_t  rc;

    rc = 0;

    if (a->len && b->len) {
        rc = ngx_memcmp(a->data, b->data, ngx_min(a->len, b->len));
    }

    if (rc == 0 && a->len != b->len) {
        return a->len < b->len ? -1 : 1;
    }

    return rc;
}


/* stable; there are few of them */

static void
ngx_iv_sigv4_sort(ngx_iv_pair_t *pairs, ngx_uint_t n, ngx_uint_t by_value)
{
    ngx_int_t      rc;
    ngx_uint_t     i, k;
    ngx_iv_pair_t  pair;

    for (i = 1; i < n; i++) {
        pair = pairs[i];

        for (k = i; k > 0; k--) {
            rc = ngx_iv_sigv4_compare(&pairs[k - 1].name, &pair.name);

            if (rc == 0 && by_value) {
                rc = ngx_iv_sigv4_compare(&pairs[k - 1].value, &pair.value);
            }

            if (rc <= 0) {
                break;
            }

            pairs[k] = pairs[k - 1];
        }

        pairs[k] = pair;
    }
}
