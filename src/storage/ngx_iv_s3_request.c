#include "storage/ngx_iv_s3_request.h"
#include "base/ngx_iv_str.h"
#include "base/ngx_iv_version.h"


/* of our own: Host, User-Agent, Content-Length, Content-Type,
 * Content-Disposition, x-amz-date, x-amz-content-sha256, x-amz-security-token,
 * Authorization, Expect; of a copy also x-amz-copy-source, its if-match,
 * x-amz-metadata-directive */
#define NGX_IV_S3_HEADERS  13

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


static ngx_int_t ngx_iv_s3_request_payload(ngx_pool_t *pool,
    const ngx_iv_s3_request_t *rq, ngx_iv_s3_headers_t *h, ngx_str_t *payload);
static ngx_uint_t ngx_iv_s3_request_query(const ngx_iv_s3_request_t *rq,
    ngx_iv_pair_t *query, u_char *number);
static ngx_int_t ngx_iv_s3_request_piece(ngx_pool_t *pool,
    const ngx_iv_s3_request_t *rq, ngx_iv_s3_headers_t *h);
static ngx_int_t ngx_iv_s3_request_copy(ngx_pool_t *pool,
    const ngx_iv_s3_request_t *rq, ngx_iv_s3_headers_t *h);
static ngx_int_t ngx_iv_s3_request_quote(ngx_pool_t *pool,
    const ngx_str_t *etag, ngx_str_t *out);
static void ngx_iv_s3_request_signed_by(ngx_iv_sigv4_request_t *sig,
    const ngx_iv_storage_conf_t *conf, ngx_iv_sigv4_cache_t *cache,
    ngx_str_t *scheme);
static time_t ngx_iv_s3_request_end(const ngx_iv_storage_conf_t *conf,
    time_t expires);
static ngx_int_t ngx_iv_s3_request_length(ngx_pool_t *pool, off_t size,
    ngx_iv_s3_headers_t *h);
static void ngx_iv_s3_request_lines(const ngx_iv_s3_request_t *rq,
    ngx_iv_s3_headers_t *h);
static ngx_uint_t ngx_iv_s3_request_of_part(const ngx_str_t *name);
static ngx_int_t ngx_iv_s3_request_path(ngx_pool_t *pool,
    const ngx_iv_storage_conf_t *conf, const ngx_str_t *key, ngx_str_t *path);
static void ngx_iv_s3_request_add(ngx_iv_s3_headers_t *h, const char *name,
    const ngx_str_t *value, ngx_uint_t sign);
static ngx_uint_t ngx_iv_s3_request_has(const ngx_iv_s3_headers_t *h,
    const ngx_str_t *name);
static ngx_int_t ngx_iv_s3_request_write(ngx_pool_t *pool,
    const ngx_str_t *method, const ngx_str_t *target,
    const ngx_iv_s3_headers_t *h, ngx_str_t *head);


/* says what the object is to be */
#define ngx_iv_s3_request_describes(rq)                                       \
    ((rq)->method == NGX_IV_S3_PUT || (rq)->method == NGX_IV_S3_CREATE        \
     || (rq)->method == NGX_IV_S3_COPY)


static const struct {
    ngx_str_t    name;
    const char  *action;
} ngx_iv_s3_methods[] = {
    { ngx_string("PUT"), "PUT" },
    { ngx_string("HEAD"), "HEAD" },
    { ngx_string("DELETE"), "DELETE" },
    { ngx_string("POST"), "beginning of a multipart upload" },
    { ngx_string("PUT"), "PUT of a part" },
    { ngx_string("POST"), "completion of a multipart upload" },
    { ngx_string("DELETE"), "abort of a multipart upload" },
    { ngx_string("GET"), "GET" },
    { ngx_string("PUT"), "copy" },
    { ngx_string("GET"), "list of objects" },
    { ngx_string("GET"), "list of multipart uploads" }
};


const ngx_str_t *
ngx_iv_s3_method(ngx_iv_s3_method_e method)
{
    return &ngx_iv_s3_methods[method].name;
}


const char *
ngx_iv_s3_action(ngx_iv_s3_method_e method)
{
    return ngx_iv_s3_methods[method].action;
}


ngx_int_t
ngx_iv_s3_request_head(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_str_t *head)
{
    u_char                  number[NGX_INT_T_LEN];
    ngx_str_t               agent, expect;
    ngx_uint_t              n;
    ngx_iv_pair_t           query[NGX_IV_S3_QUERY];
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

    if (ngx_iv_s3_request_payload(pool, rq, &h, &sig.payload) != NGX_OK) {
        return NGX_ERROR;
    }

    sig.query = query;
    sig.nquery = ngx_iv_s3_request_query(rq, query, number);
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
    ngx_str_t               scheme;
    ngx_iv_pair_t           query;
    ngx_iv_sigv4_request_t  sig;

    ngx_iv_s3_request_signed_by(&sig, conf, cache, &scheme);

    sig.now = url->signing;

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

    return ngx_iv_sigv4_presign(pool, &sig, &scheme,
                                ngx_iv_s3_request_end(conf, url->expires)
                                - url->signing,
                                out);
}


/*
 * The length is signed as well, so that no more can be sent than was reserved;
 * nothing of the storage's own header lines: they come with the copy.
 */

ngx_int_t
ngx_iv_s3_request_ticket(ngx_pool_t *pool, const ngx_iv_storage_conf_t *conf,
    ngx_iv_sigv4_cache_t *cache, ngx_iv_storage_ticket_t *ticket)
{
    u_char                 *p;
    size_t                  i;
    ngx_str_t               scheme;
    ngx_iv_sigv4_request_t  sig;

    for (i = 0; i < ticket->content_type.len; i++) {
        if (ticket->content_type.data[i] <= 0x20
            || ticket->content_type.data[i] >= 0x7f)
        {
            return NGX_DECLINED;
        }
    }

    ngx_iv_s3_request_signed_by(&sig, conf, cache, &scheme);

    sig.now = ticket->signing;
    ngx_str_set(&sig.method, "PUT");

    p = ngx_pnalloc(pool, NGX_OFF_T_LEN);

    if (p == NULL
        || ngx_iv_s3_request_path(pool, conf, &ticket->key, &sig.path)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&ticket->headers[0].name, "Content-Type");
    ticket->headers[0].value = ticket->content_type;

    ngx_str_set(&ticket->headers[1].name, "Content-Length");
    ticket->headers[1].value.data = p;
    ticket->headers[1].value.len = ngx_sprintf(p, "%O", ticket->size) - p;

    ngx_str_set(&ticket->headers[2].name, "If-None-Match");
    ngx_str_set(&ticket->headers[2].value, "*");

    sig.headers = ticket->headers;
    sig.nheaders = 3;

    return ngx_iv_sigv4_presign(pool, &sig, &scheme,
                                ngx_iv_s3_request_end(conf, ticket->expires)
                                - ticket->signing,
                                &ticket->url);
}


static void
ngx_iv_s3_request_signed_by(ngx_iv_sigv4_request_t *sig,
    const ngx_iv_storage_conf_t *conf, ngx_iv_sigv4_cache_t *cache,
    ngx_str_t *scheme)
{
    ngx_memzero(sig, sizeof(ngx_iv_sigv4_request_t));

    sig->credentials = &conf->credentials;
    sig->cache = cache;
    sig->region = conf->region;
    ngx_str_set(&sig->service, "s3");
    sig->host = conf->endpoint.host_header;

    if (conf->endpoint.ssl) {
        ngx_str_set(scheme, "https");

    } else {
        ngx_str_set(scheme, "http");
    }
}


/* a URL dies with the token that signed it */

static time_t
ngx_iv_s3_request_end(const ngx_iv_storage_conf_t *conf, time_t expires)
{
    if (conf->credentials.token.len && conf->credentials.expires) {
        return ngx_min(expires, conf->credentials.expires);
    }

    return expires;
}


/* what is said of the body and of the object */

static ngx_int_t
ngx_iv_s3_request_payload(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_iv_s3_headers_t *h, ngx_str_t *payload)
{
    off_t                       size;
    u_char                     *p, sum[NGX_IV_SHA256_LEN];
    ngx_str_t                   xml;
    const ngx_iv_storage_op_t  *op;

    op = rq->op;

    switch (rq->method) {

    case NGX_IV_S3_PUT:
    case NGX_IV_S3_PART:
        size = op->size;

        if (op->sha256.len) {
            *payload = op->sha256;

        } else if (size) {
            ngx_str_set(payload, "UNSIGNED-PAYLOAD");
        }

        break;

    case NGX_IV_S3_CREATE:
        size = 0;
        break;

    case NGX_IV_S3_COPY:
        size = 0;

        if (ngx_iv_s3_request_copy(pool, rq, h) != NGX_OK) {
            return NGX_ERROR;
        }

        break;

    case NGX_IV_S3_GET:
        return ngx_iv_s3_request_piece(pool, rq, h);

    case NGX_IV_S3_COMPLETE:
        size = (off_t) rq->body->len;

        p = ngx_pnalloc(pool, 2 * NGX_IV_SHA256_LEN);
        if (p == NULL
            || ngx_iv_sha256(rq->body->data, rq->body->len, sum) != NGX_OK)
        {
            return NGX_ERROR;
        }

        payload->data = p;
        payload->len = ngx_iv_hex(p, sum, NGX_IV_SHA256_LEN) - p;

        ngx_str_set(&xml, "application/xml");
        ngx_iv_s3_request_add(h, "Content-Type", &xml, 1);
        break;

    default: /* HEAD, DELETE, ABORT, LIST, UPLOADS */
        return NGX_OK;
    }

    if (ngx_iv_s3_request_length(pool, size, h) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_iv_s3_request_describes(rq)) {

        if (op->content_type.len) {
            ngx_iv_s3_request_add(h, "Content-Type", &op->content_type, 1);
        }

        if (op->disposition.len) {
            ngx_iv_s3_request_add(h, "Content-Disposition", &op->disposition,
                                  0);
        }
    }

    ngx_iv_s3_request_lines(rq, h);

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_request_piece(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_iv_s3_headers_t *h)
{
    u_char                     *p;
    ngx_str_t                   value;
    const ngx_iv_storage_op_t  *op;

    op = rq->op;

    p = ngx_pnalloc(pool, sizeof("bytes=-") - 1 + 2 * NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "bytes=%O-%O", op->offset,
                            op->offset + (off_t) op->length - 1)
                - p;

    ngx_iv_s3_request_add(h, "Range", &value, 0);

    if (op->if_match.len) {

        if (ngx_iv_s3_request_quote(pool, &op->if_match, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_iv_s3_request_add(h, "If-Match", &value, 0);
    }

    /* a customer's key, who pays */

    ngx_iv_s3_request_lines(rq, h);

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_request_copy(ngx_pool_t *pool, const ngx_iv_s3_request_t *rq,
    ngx_iv_s3_headers_t *h)
{
    u_char                     *p;
    ngx_str_t                   value;
    const ngx_str_t            *bucket;
    const ngx_iv_storage_op_t  *op;

    op = rq->op;
    bucket = &rq->conf->bucket;

    p = ngx_pnalloc(pool, bucket->len + 2
                          + ngx_iv_uri_encode(NULL, &op->source_key, 1));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    *p++ = '/';
    p = ngx_cpymem(p, bucket->data, bucket->len);
    *p++ = '/';
    p += ngx_iv_uri_encode(p, &op->source_key, 1);

    value.len = p - value.data;

    ngx_iv_s3_request_add(h, "x-amz-copy-source", &value, 1);

    if (op->if_match.len) {

        if (ngx_iv_s3_request_quote(pool, &op->if_match, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_iv_s3_request_add(h, "x-amz-copy-source-if-match", &value, 1);
    }

    /* what the client has said of its object is not taken over */

    ngx_str_set(&value, "REPLACE");
    ngx_iv_s3_request_add(h, "x-amz-metadata-directive", &value, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_request_quote(ngx_pool_t *pool, const ngx_str_t *etag,
    ngx_str_t *out)
{
    u_char  *p;

    p = ngx_pnalloc(pool, etag->len + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;
    out->len = etag->len + 2;

    *p++ = '"';
    p = ngx_cpymem(p, etag->data, etag->len);
    *p = '"';

    return NGX_OK;
}


/* number: NGX_INT_T_LEN bytes that live as long as the query */

static ngx_uint_t
ngx_iv_s3_request_query(const ngx_iv_s3_request_t *rq, ngx_iv_pair_t *query,
    u_char *number)
{
    ngx_uint_t  n;

    n = 0;

    switch (rq->method) {

    case NGX_IV_S3_CREATE:
        ngx_str_set(&query[0].name, "uploads");
        ngx_str_null(&query[0].value);
        return 1;

    case NGX_IV_S3_PART:
        ngx_str_set(&query[0].name, "partNumber");
        query[0].value.data = number;
        query[0].value.len = ngx_sprintf(number, "%ui", rq->op->part)
                             - number;
        n = 1;

        /* fall through */

    case NGX_IV_S3_COMPLETE:
    case NGX_IV_S3_ABORT:
        ngx_str_set(&query[n].name, "uploadId");
        query[n].value = rq->op->upload_id;
        return n + 1;

    case NGX_IV_S3_LIST:
    case NGX_IV_S3_UPLOADS:
        return ngx_iv_s3_request_page(rq, query, number);

    default:
        return 0;
    }
}


static ngx_int_t
ngx_iv_s3_request_length(ngx_pool_t *pool, off_t size, ngx_iv_s3_headers_t *h)
{
    u_char     *p;
    ngx_str_t   length;

    p = ngx_pnalloc(pool, NGX_OFF_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    length.data = p;
    length.len = ngx_sprintf(p, "%O", size) - p;

    ngx_iv_s3_request_add(h, "Content-Length", &length, 1);

    return NGX_OK;
}


/* the header lines of the storage block */

static void
ngx_iv_s3_request_lines(const ngx_iv_s3_request_t *rq, ngx_iv_s3_headers_t *h)
{
    ngx_uint_t      i, sign;
    ngx_iv_pair_t  *header;

    if (rq->conf->headers == NULL) {
        return;
    }

    header = rq->conf->headers->elts;

    for (i = 0; i < rq->conf->headers->nelts; i++) {

        /* what this object says of itself goes first */

        if (ngx_iv_s3_request_has(h, &header[i].name)) {
            continue;
        }

        if (!ngx_iv_s3_request_describes(rq)
            && !ngx_iv_s3_request_of_part(&header[i].name))
        {
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
}


/*
 * Most of what is said of an object is said when its upload begins; a key of
 * the customer's is asked for with each part, and so is who pays.
 */

static ngx_uint_t
ngx_iv_s3_request_of_part(const ngx_str_t *name)
{
    ngx_uint_t  i;

    static const ngx_str_t  prefixes[] = {
        ngx_string("x-amz-server-side-encryption-customer-"),
        ngx_string("x-amz-request-payer"),
        ngx_string("x-amz-expected-bucket-owner")
    };

    for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (name->len >= prefixes[i].len
            && ngx_strncasecmp(name->data, prefixes[i].data, prefixes[i].len)
               == 0)
        {
            return 1;
        }
    }

    return 0;
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

    if (key->len) {
        p = ngx_cpymem(p, key->data, key->len);
    }

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
