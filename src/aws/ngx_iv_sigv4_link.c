/*
 * URLs that anybody may open: the query holds all that is signed besides the
 * method and the host.  Every redirect makes one, so it is written in one go,
 * without an allocation but for its own.
 */

#include "aws/ngx_iv_sigv4_private.h"
#include "base/ngx_iv_str.h"
#include "formats/ngx_iv_date.h"


/* with a token's length to spare */
#define NGX_IV_SIGV4_LINK   8192
#define NGX_IV_SIGV4_SCOPE  512

/* more than all that is always the same takes */
#define NGX_IV_SIGV4_FIXED  512

#define ngx_iv_sigv4_put(p, text)                                             \
    ngx_cpymem(p, text, sizeof(text) - 1)


static ngx_uint_t ngx_iv_sigv4_link_able(const ngx_iv_sigv4_request_t *rq);
static u_char *ngx_iv_sigv4_link_query(u_char *p,
    const ngx_iv_sigv4_request_t *rq, const ngx_str_t *scope,
    const u_char *date, time_t expires);
static ngx_int_t ngx_iv_sigv4_link_sign(ngx_pool_t *pool,
    const ngx_iv_sigv4_request_t *rq, const ngx_str_t *scope,
    const u_char *date, const ngx_str_t *canonical,
    u_char sum[NGX_IV_SHA256_LEN]);
static u_char *ngx_iv_sigv4_put_str(u_char *p, const ngx_str_t *s);


ngx_int_t
ngx_iv_sigv4_link(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scheme, time_t expires, ngx_str_t *url)
{
    u_char     *p, *path, *query, *last;
    u_char      date[NGX_IV_DATE_AMZ_LEN], sum[NGX_IV_SHA256_LEN];
    u_char      scope_data[NGX_IV_SIGV4_SCOPE], text[NGX_IV_SIGV4_LINK];
    ngx_str_t   scope, canonical;

    if (!ngx_iv_sigv4_link_able(rq)) {
        return NGX_DECLINED;
    }

    (void) ngx_iv_date_amz(date, rq->now);

    p = ngx_iv_sigv4_put_str(scope_data, &rq->credentials->key_id);
    *p++ = '/';
    p = ngx_cpymem(p, date, NGX_IV_SIGV4_DAY);
    *p++ = '/';
    p = ngx_iv_sigv4_put_str(p, &rq->region);
    *p++ = '/';
    p = ngx_iv_sigv4_put_str(p, &rq->service);
    p = ngx_iv_sigv4_put(p, "/" NGX_IV_SIGV4_TERMINATOR);

    scope.data = scope_data;
    scope.len = p - scope_data;

    /* the canonical request, of which the URL is a part */

    p = ngx_iv_sigv4_put_str(text, &rq->method);
    *p++ = LF;

    path = p;
    p += ngx_iv_uri_encode(p, &rq->path, 1);

    if (p == path) {
        *p++ = '/';
    }

    query = p;
    *p++ = LF;
    last = p = ngx_iv_sigv4_link_query(p, rq, &scope, date, expires);

    p = ngx_iv_sigv4_put(p, "\nhost:");
    p = ngx_iv_sigv4_put_str(p, &rq->host);
    p = ngx_iv_sigv4_put(p, "\n\nhost\n" NGX_IV_SIGV4_UNSIGNED);

    canonical.data = text;
    canonical.len = p - text;

    if (ngx_iv_sigv4_link_sign(pool, rq, &scope, date, &canonical, sum)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    url->len = scheme->len + sizeof("://") - 1 + rq->host.len + (last - path)
               + sizeof("&X-Amz-Signature=") - 1 + NGX_IV_SIGV4_HEX;

    url->data = ngx_pnalloc(pool, url->len);
    if (url->data == NULL) {
        return NGX_ERROR;
    }

    *query = '?';

    p = ngx_iv_sigv4_put_str(url->data, scheme);
    p = ngx_iv_sigv4_put(p, "://");
    p = ngx_iv_sigv4_put_str(p, &rq->host);
    p = ngx_cpymem(p, path, last - path);
    p = ngx_iv_sigv4_put(p, "&X-Amz-Signature=");
    (void) ngx_iv_hex(p, sum, NGX_IV_SHA256_LEN);

    return NGX_OK;
}


/* does it fit, is it in order as it is written, is the host as it is sent? */

static ngx_uint_t
ngx_iv_sigv4_link_able(const ngx_iv_sigv4_request_t *rq)
{
    u_char                       ch;
    size_t                       i, scope;
    const ngx_iv_credentials_t  *c;

    c = rq->credentials;

    if (rq->nheaders || rq->nquery > 1) {
        return 0;
    }

    scope = c->key_id.len + rq->region.len + rq->service.len;

    if (scope > NGX_IV_SIGV4_SCOPE - NGX_IV_DATE_AMZ_LEN
                - sizeof("////" NGX_IV_SIGV4_TERMINATOR)
        || rq->method.len > NGX_IV_SIGV4_FIXED / 8)
    {
        return 0;
    }

    i = NGX_IV_SIGV4_FIXED + rq->host.len
        + 3 * (scope + rq->path.len + c->token.len);

    if (rq->nquery) {
        i += 3 * (rq->query[0].name.len + rq->query[0].value.len);

        /* behind X-Amz-*, and not to be encoded at its beginning */

        ch = rq->query[0].name.len ? rq->query[0].name.data[0] : 0;

        if (ch < 'a' || ch > 'z') {
            return 0;
        }
    }

    if (i > NGX_IV_SIGV4_LINK) {
        return 0;
    }

    for (i = 0; i < rq->host.len; i++) {
        if (rq->host.data[i] <= ' ') {
            return 0;
        }
    }

    return 1;
}


static u_char *
ngx_iv_sigv4_link_query(u_char *p, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scope, const u_char *date, time_t expires)
{
    u_char                *n, number[sizeof("604800") - 1];
    const ngx_iv_pair_t   *more;
    const ngx_str_t       *token;

    p = ngx_iv_sigv4_put(p, "X-Amz-Algorithm=" NGX_IV_SIGV4_ALGORITHM
                         "&X-Amz-Credential=");
    p += ngx_iv_uri_encode(p, scope, 0);

    p = ngx_iv_sigv4_put(p, "&X-Amz-Date=");
    p = ngx_cpymem(p, date, NGX_IV_DATE_AMZ_LEN);

    n = number + sizeof(number);

    do {
        *--n = (u_char) ('0' + expires % 10);
        expires /= 10;
    } while (expires);

    p = ngx_iv_sigv4_put(p, "&X-Amz-Expires=");
    p = ngx_cpymem(p, n, number + sizeof(number) - n);

    token = &rq->credentials->token;

    if (token->len) {
        p = ngx_iv_sigv4_put(p, "&X-Amz-Security-Token=");
        p += ngx_iv_uri_encode(p, token, 0);
    }

    p = ngx_iv_sigv4_put(p, "&X-Amz-SignedHeaders=host");

    if (rq->nquery) {
        more = &rq->query[0];

        *p++ = '&';
        p += ngx_iv_uri_encode(p, &more->name, 0);
        *p++ = '=';
        p += ngx_iv_uri_encode(p, &more->value, 0);
    }

    return p;
}


static ngx_int_t
ngx_iv_sigv4_link_sign(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scope, const u_char *date, const ngx_str_t *canonical,
    u_char sum[NGX_IV_SHA256_LEN])
{
    size_t      id;
    u_char     *p;
    u_char      text[NGX_IV_SIGV4_FIXED + NGX_IV_SIGV4_SCOPE];
    ngx_str_t   to_sign;

    if (ngx_iv_sha256_short(canonical->data, canonical->len, sum) != NGX_OK) {
        return NGX_ERROR;
    }

    /* the scope without the key id and its slash */

    id = rq->credentials->key_id.len + 1;

    p = ngx_iv_sigv4_put(text, NGX_IV_SIGV4_ALGORITHM "\n");
    p = ngx_cpymem(p, date, NGX_IV_DATE_AMZ_LEN);
    *p++ = LF;
    p = ngx_cpymem(p, scope->data + id, scope->len - id);
    *p++ = LF;
    p = ngx_iv_hex(p, sum, NGX_IV_SHA256_LEN);

    to_sign.data = text;
    to_sign.len = p - text;

    return ngx_iv_sigv4_hmac(pool, rq, scope, &to_sign, sum);
}


/* an empty string may have no data */

static u_char *
ngx_iv_sigv4_put_str(u_char *p, const ngx_str_t *s)
{
    return s->len ? ngx_cpymem(p, s->data, s->len) : p;
}
