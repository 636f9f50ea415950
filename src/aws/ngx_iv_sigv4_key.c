/*
 * Signing keys: derived once a day, kept as the states of their HMAC.
 */

#include "aws/ngx_iv_sigv4_private.h"
#include "base/ngx_iv_str.h"


static ngx_uint_t ngx_iv_sigv4_key_is(const ngx_iv_sigv4_key_t *k,
    const ngx_str_t *scope, const ngx_str_t *secret);
static ngx_int_t ngx_iv_sigv4_derive(ngx_pool_t *pool,
    const ngx_iv_sigv4_request_t *rq, const ngx_str_t *scope,
    ngx_iv_hmac_t *hmac);


void
ngx_iv_sigv4_cache_wipe(ngx_iv_sigv4_cache_t *cache)
{
    ngx_iv_wipe(cache, sizeof(ngx_iv_sigv4_cache_t));
}


ngx_int_t
ngx_iv_sigv4_hmac(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scope, const ngx_str_t *text,
    u_char sum[NGX_IV_SHA256_LEN])
{
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_iv_hmac_t          hmac;
    const ngx_str_t       *secret;
    ngx_iv_sigv4_key_t    *k;
    ngx_iv_sigv4_cache_t  *cache;

    cache = rq->cache;
    secret = &rq->credentials->secret;

    if (cache) {
        for (i = 0; i < NGX_IV_SIGV4_CACHED; i++) {
            k = &cache->keys[i];

            if (ngx_iv_sigv4_key_is(k, scope, secret)) {
                return ngx_iv_hmac(&k->hmac, text->data, text->len, sum);
            }
        }
    }

    rc = ngx_iv_sigv4_derive(pool, rq, scope, &hmac);

    if (rc == NGX_OK) {
        rc = ngx_iv_hmac(&hmac, text->data, text->len, sum);
    }

    if (rc == NGX_OK && cache
        && secret->len <= NGX_IV_SIGV4_ID
        && scope->len <= NGX_IV_SIGV4_ID - secret->len)
    {
        k = &cache->keys[cache->next++ % NGX_IV_SIGV4_CACHED];

        k->scope = scope->len;
        k->secret = secret->len;
        k->hmac = hmac;

        ngx_memcpy(k->id, scope->data, scope->len);

        if (secret->len) {
            ngx_memcpy(k->id + scope->len, secret->data, secret->len);
        }
    }

    ngx_iv_wipe(&hmac, sizeof(ngx_iv_hmac_t));

    return rc;
}


/* a scope is never empty, so an empty place is none of ours */

static ngx_uint_t
ngx_iv_sigv4_key_is(const ngx_iv_sigv4_key_t *k, const ngx_str_t *scope,
    const ngx_str_t *secret)
{
    return k->scope == scope->len
           && k->secret == secret->len
           && ngx_memcmp(k->id, scope->data, scope->len) == 0
           && ngx_iv_equal_ct(k->id + scope->len, secret->data, secret->len);
}


static ngx_int_t
ngx_iv_sigv4_derive(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scope, ngx_iv_hmac_t *hmac)
{
    u_char      *p, key[NGX_IV_SHA256_LEN];
    size_t       size;
    ngx_int_t    rc;
    ngx_str_t    parts[4];
    ngx_uint_t   i;

    size = sizeof("AWS4") - 1 + rq->credentials->secret.len;

    p = ngx_pnalloc(pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, "AWS4", 4);

    if (size > 4) {
        ngx_memcpy(p + 4, rq->credentials->secret.data, size - 4);
    }

    rc = ngx_iv_hmac_init(hmac, p, size);

    ngx_iv_wipe(p, size);

    parts[0].data = scope->data + rq->credentials->key_id.len + 1;
    parts[0].len = NGX_IV_SIGV4_DAY;
    parts[1] = rq->region;
    parts[2] = rq->service;
    ngx_str_set(&parts[3], NGX_IV_SIGV4_TERMINATOR);

    for (i = 0; i < 4 && rc == NGX_OK; i++) {
        rc = ngx_iv_hmac(hmac, parts[i].data, parts[i].len, key);

        if (rc == NGX_OK) {
            rc = ngx_iv_hmac_init(hmac, key, sizeof(key));
        }
    }

    ngx_iv_wipe(key, sizeof(key));

    return rc;
}
