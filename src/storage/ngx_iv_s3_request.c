#include "storage/ngx_iv_s3_request.h"
#include "base/ngx_iv_version.h"


/* of our own: Host, User-Agent, Content-Length, Content-Type,
 * Content-Disposition, x-amz-date, x-amz-content-sha256, x-amz-security-token,
 * Authorization, Expect */
#define NGX_IV_S3_HEADERS  10

/* hex of SHA-256 of nothing */
#define NGX_IV_S3_EMPTY                                                       \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


/* a head in the making */
typedef struct {
    ngx_iv_pair_t  *sent;
    ngx_uint_t      nsent;
    ngx_iv_pair_t  *sign;           /* those to be signed */
    ngx_uint_t      nsign;
} ngx_iv_s3_headers_t;


static ngx_int_t ngx_iv_s3_request_put(ngx_pool_t *pool,
    const ngx_iv_s3_request_t *rq, ngx_iv_s3_headers_t *h);
static ngx_int_t ngx_iv_s3_request_path(ngx_pool_t *pool,
    const ngx_iv_storage_conf_t *conf, const ngx_str_t *key, ngx_str_t *path);
static void ngx_iv_s3_request_add(ngx_iv_s3_headers_t *h, const char *name,
    const ngx_str_t *value, ngx_uint_t sign);
static ngx_uint_t ngx_iv_s3_request_has(const ngx_iv_s3_headers_t *h,
    const ngx_str_t *name);
static ngx_int_t ngx_iv_s3_request_write(ngx_pool_t *pool,
    const ngx_str_t *method, const ngx_str_t *target,
    const ngx_iv_s3_headers_t *h, ngx_str_t *head);


static const ngx_str_t  ngx_iv_s3_methods[] = {
    ngx_string("PUT"),
    ngx_string("HEAD"),
    ngx_string("DELETE")
};


const ngx_str_t *
ngx_iv_s3_method(ngx_iv_s3_method_e method)
{
    return &ngx_iv_s3_methods[method];
}


ngx_int_t
ngx_iv_s3_request_head(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_str_t *head)
{
    ngx_str_t               agent, expect;
    ngx_uint_t              n;
    ngx_iv_s3_headers_t     h;
    ngx_iv_sigv4_signed_t   out;
    ngx_iv_sigv4_request_t  sig;

    n = NGX_IV_S3_HEADERS + (rq->conf->headers ? rq->conf->headers->nelts : 0);

    ngx_memzero(&h, sizeof(ngx_iv_s3_headers_t));

    h.sent = ngx_palloc(pool, n * sizeof(ngx_iv_pair_t));
    h.sign = ngx_palloc(pool, n * sizeof(ngx_iv_pair_t));
    if (h.sent == NULL || h.sign == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(&sig, sizeof(ngx_iv_sigv4_request_t));

    sig.credentials = &rq->conf->credentials;
    sig.cache = rq->cache;
    sig.region = rq->conf->region;
    ngx_str_set(&sig.service, "s3");
    sig.now = rq->now;
    sig.method = *ngx_iv_s3_method(rq->method);
    sig.host = rq->conf->endpoint.host_header;
    ngx_str_set(&sig.payload, NGX_IV_S3_EMPTY);

    if (ngx_iv_s3_request_path(pool, rq->conf, &rq->op->key, &sig.path)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&agent, "nginx-image-vault/" NGX_IV_VERSION);

    ngx_iv_s3_request_add(&h, "Host", &sig.host, 0);
    ngx_iv_s3_request_add(&h, "User-Agent", &agent, 0);

    if (rq->method == NGX_IV_S3_PUT) {

        if (rq->op->sha256.len) {
            sig.payload = rq->op->sha256;

        } else if (rq->op->size) {
            ngx_str_set(&sig.payload, "UNSIGNED-PAYLOAD");
        }

        if (ngx_iv_s3_request_put(pool, rq, &h) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    sig.headers = h.sign;
    sig.nheaders = h.nsign;

    if (ngx_iv_sigv4_sign(pool, &sig, &out) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_iv_s3_request_add(&h, "x-amz-date", &out.date, 0);
    ngx_iv_s3_request_add(&h, "x-amz-content-sha256", &out.payload, 0);

    if (out.token.len) {
        ngx_iv_s3_request_add(&h, "x-amz-security-token", &out.token, 0);
    }

    ngx_iv_s3_request_add(&h, "Authorization", &out.authorization, 0);

    if (rq->expect) {
        ngx_str_set(&expect, "100-continue");
        ngx_iv_s3_request_add(&h, "Expect", &expect, 0);
    }

    return ngx_iv_s3_request_write(pool, &sig.method, &out.target, &h, head);
}


ngx_int_t
ngx_iv_s3_request_url(ngx_pool_t *pool, const ngx_iv_storage_conf_t *conf,
    ngx_iv_sigv4_cache_t *cache, const ngx_iv_storage_url_t *url,
    ngx_str_t *out)
{
    time_t                  expires;
    ngx_str_t               scheme;
    ngx_iv_pair_t           query;
    ngx_iv_sigv4_request_t  sig;

    ngx_memzero(&sig, sizeof(ngx_iv_sigv4_request_t));

    sig.credentials = &conf->credentials;
    sig.cache = cache;
    sig.region = conf->region;
    ngx_str_set(&sig.service, "s3");
    sig.now = url->signing;
    sig.host = conf->endpoint.host_header;

    /* each method needs a signature of its own */

    if (url->head) {
        ngx_str_set(&sig.method, "HEAD");

    } else {
        ngx_str_set(&sig.method, "GET");
    }

    if (ngx_iv_s3_request_path(pool, conf, &url->key, &sig.path) != NGX_OK) {
        return NGX_ERROR;
    }

    if (url->disposition.len) {
        ngx_str_set(&query.name, "response-content-disposition");
        query.value = url->disposition;

        sig.query = &query;
        sig.nquery = 1;
    }

    if (conf->endpoint.ssl) {
        ngx_str_set(&scheme, "https");

    } else {
        ngx_str_set(&scheme, "http");
    }

    /* a URL dies with the token that signed it */

    expires = url->expires;

    if (conf->credentials.token.len && conf->credentials.expires) {
        expires = ngx_min(expires, conf->credentials.expires);
    }

    return ngx_iv_sigv4_presign(pool, &sig, &scheme, expires - url->signing,
                                out);
}


static ngx_int_t
ngx_iv_s3_request_put(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_iv_s3_headers_t *h)
{
    u_char                     *p;
    ngx_str_t                   length;
    ngx_uint_t                  i, sign;
    ngx_iv_pair_t              *header;
    const ngx_iv_storage_op_t  *op;

    op = rq->op;

    p = ngx_pnalloc(pool, NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    length.data = p;
    length.len = ngx_sprintf(p, "%O", op->size) - p;

    ngx_iv_s3_request_add(h, "Content-Length", &length, 1);

    if (op->content_type.len) {
        ngx_iv_s3_request_add(h, "Content-Type", &op->content_type, 1);
    }

    if (op->disposition.len) {
        ngx_iv_s3_request_add(h, "Content-Disposition", &op->disposition, 0);
    }

    if (rq->conf->headers == NULL) {
        return NGX_OK;
    }

    header = rq->conf->headers->elts;

    for (i = 0; i < rq->conf->headers->nelts; i++) {

        /* what this object says of itself goes first */

        if (ngx_iv_s3_request_has(h, &header[i].name)) {
            continue;
        }

        sign = header[i].name.len > 6
               && ngx_strncasecmp(header[i].name.data, (u_char *) "x-amz-", 6)
                  == 0;

        h->sent[h->nsent++] = header[i];

        if (sign) {
            h->sign[h->nsign++] = header[i];
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_request_path(ngx_pool_t *pool, const ngx_iv_storage_conf_t *conf,
    const ngx_str_t *key, ngx_str_t *path)
{
    u_char  *p;

    p = ngx_pnalloc(pool, conf->bucket.len + key->len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    path->data = p;

    if (!conf->virtual_host) {
        *p++ = '/';
        p = ngx_cpymem(p, conf->bucket.data, conf->bucket.len);
    }

    *p++ = '/';
    p = ngx_cpymem(p, key->data, key->len);

    path->len = p - path->data;

    return NGX_OK;
}


static void
ngx_iv_s3_request_add(ngx_iv_s3_headers_t *h, const char *name,
    const ngx_str_t *value, ngx_uint_t sign)
{
    ngx_iv_pair_t  *pair;

    pair = &h->sent[h->nsent++];

    pair->name.data = (u_char *) name;
    pair->name.len = ngx_strlen(name);
    pair->value = *value;

    if (sign) {
        h->sign[h->nsign++] = *pair;
    }
}


static ngx_uint_t
ngx_iv_s3_request_has(const ngx_iv_s3_headers_t *h, const ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < h->nsent; i++) {
        if (h->sent[i].name.len == name->len
            && ngx_strncasecmp(h->sent[i].name.data, name->data, name->len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_iv_s3_request_write(ngx_pool_t *pool, const ngx_str_t *method,
    const ngx_str_t *target, const ngx_iv_s3_headers_t *h, ngx_str_t *head)
{
    u_char      *p;
    size_t       size, k;
    ngx_str_t   *value;
    ngx_uint_t   i;

    size = method->len + target->len + sizeof("  HTTP/1.1" CRLF CRLF) - 1;

    for (i = 0; i < h->nsent; i++) {
        value = &h->sent[i].value;

        for (k = 0; k < value->len; k++) {
            if (value->data[k] < 0x20 || value->data[k] == 0x7f) {
                return NGX_DECLINED;
            }
        }

        size += h->sent[i].name.len + value->len + sizeof(": " CRLF) - 1;
    }

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    head->data = p;

    p = ngx_cpymem(p, method->data, method->len);
    *p++ = ' ';
    p = ngx_cpymem(p, target->data, target->len);
    p = ngx_cpymem(p, " HTTP/1.1" CRLF, sizeof(" HTTP/1.1" CRLF) - 1);

    for (i = 0; i < h->nsent; i++) {
        p = ngx_cpymem(p, h->sent[i].name.data, h->sent[i].name.len);
        *p++ = ':';
        *p++ = ' ';
        p = ngx_cpymem(p, h->sent[i].value.data, h->sent[i].value.len);
        *p++ = CR;
        *p++ = LF;
    }

    *p++ = CR;
    *p++ = LF;

    head->len = p - head->data;

    return NGX_OK;
}
