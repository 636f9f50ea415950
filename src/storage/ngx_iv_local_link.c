#include "storage/ngx_iv_local_link.h"
#include "base/ngx_iv_str.h"
#include "formats/ngx_iv_name.h"
#include "formats/ngx_iv_sha256.h"

#define NGX_IV_LINK_SIGNATURE  (2 * NGX_IV_SHA256_LEN)
#define NGX_IV_LINK_DIGITS     12


typedef struct {
    ngx_str_t   expires;
    ngx_str_t   download;
    ngx_str_t   signature;
} ngx_iv_local_args_t;


static ngx_int_t ngx_iv_local_sign(const ngx_iv_storage_conf_t *conf,
    ngx_pool_t *pool, const ngx_str_t *key, const ngx_str_t *expires,
    const ngx_str_t *disposition, u_char mac[NGX_IV_SHA256_LEN]);
static ngx_int_t ngx_iv_local_parse_args(const ngx_str_t *args,
    ngx_iv_local_args_t *a);
static ngx_int_t ngx_iv_local_parse_expires(const ngx_str_t *s, time_t *t);
static ngx_uint_t ngx_iv_local_printable(const ngx_str_t *s);


ngx_uint_t
ngx_iv_local_key_valid(const ngx_str_t *key)
{
    u_char  *p, *last, *segment;
    size_t   n;

    if (key->len == 0 || key->len > NGX_IV_LOCAL_KEY_MAX) {
        return 0;
    }

    segment = key->data;
    last = key->data + key->len;

    for (p = key->data; p <= last; p++) {

        if (p < last && *p != '/') {

            if (*p < 0x20 || *p == 0x7f) {
                return 0;
            }

            continue;
        }

        n = (size_t) (p - segment);

        if (n == 0
            || (n == 1 && segment[0] == '.')
            || (n == 2 && segment[0] == '.' && segment[1] == '.'))
        {
            return 0;
        }

        segment = p + 1;
    }

    return 1;
}


ngx_int_t
ngx_iv_local_link(const ngx_iv_storage_conf_t *conf, ngx_pool_t *pool,
    const ngx_iv_storage_url_t *url, ngx_str_t *out)
{
    size_t      len;
    u_char     *p, mac[NGX_IV_SHA256_LEN];
    u_char      digits[NGX_TIME_T_LEN];
    ngx_str_t   expires;

    if (url->expires <= 0 || !ngx_iv_local_key_valid(&url->key)) {
        return NGX_ERROR;
    }

    expires.data = digits;
    expires.len = (size_t) (ngx_snprintf(digits, sizeof(digits), "%T",
                                         url->expires)
                            - digits);

    if (ngx_iv_local_sign(conf, pool, &url->key, &expires, &url->disposition,
                          mac)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    len = conf->url.len + 1 + ngx_iv_uri_encode(NULL, &url->key, 1)
          + sizeof("?expires=&download=&signature=") - 1 + expires.len
          + ngx_iv_uri_encode(NULL, &url->disposition, 0)
          + NGX_IV_LINK_SIGNATURE;

    out->data = ngx_pnalloc(pool, len);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(out->data, conf->url.data, conf->url.len);
    *p++ = '/';
    p += ngx_iv_uri_encode(p, &url->key, 1);

    p = ngx_cpymem(p, "?expires=", sizeof("?expires=") - 1);
    p = ngx_cpymem(p, expires.data, expires.len);

    if (url->disposition.len) {
        p = ngx_cpymem(p, "&download=", sizeof("&download=") - 1);
        p += ngx_iv_uri_encode(p, &url->disposition, 0);
    }

    p = ngx_cpymem(p, "&signature=", sizeof("&signature=") - 1);
    p = ngx_iv_hex(p, mac, NGX_IV_SHA256_LEN);

    out->len = (size_t) (p - out->data);

    return NGX_OK;
}


ngx_int_t
ngx_iv_storage_local_check(const ngx_iv_storage_conf_t *conf,
    ngx_pool_t *pool, const ngx_str_t *key, const ngx_str_t *args, time_t now,
    ngx_str_t *disposition, time_t *expires)
{
    u_char               mac[NGX_IV_SHA256_LEN], given[NGX_IV_SHA256_LEN];
    ngx_int_t            rc;
    ngx_iv_local_args_t  a;

    ngx_str_null(disposition);
    *expires = 0;

    if (conf->secret.len == 0
        || !ngx_iv_local_key_valid(key)
        || ngx_iv_local_parse_args(args, &a) != NGX_OK
        || ngx_iv_local_parse_expires(&a.expires, expires) != NGX_OK
        || a.signature.len != NGX_IV_LINK_SIGNATURE
        || ngx_iv_unhex(given, a.signature.data, NGX_IV_SHA256_LEN) != NGX_OK)
    {
        return NGX_IV_FORBIDDEN;
    }

    if (a.download.len) {
        rc = ngx_iv_name_unescape(pool, &a.download, disposition);
        if (rc != NGX_OK) {
            ngx_str_null(disposition);
            return (rc == NGX_DECLINED) ? NGX_IV_FORBIDDEN : NGX_ERROR;
        }
    }

    rc = ngx_iv_local_sign(conf, pool, key, &a.expires, disposition, mac);

    if (rc == NGX_OK
        && (!ngx_iv_equal_ct(mac, given, NGX_IV_SHA256_LEN)
            || !ngx_iv_local_printable(disposition)))
    {
        rc = NGX_IV_FORBIDDEN;
    }

    /* only who has a good link learns that it has expired */

    if (rc == NGX_OK && *expires <= now) {
        rc = NGX_IV_GONE;
    }

    ngx_iv_wipe(mac, sizeof(mac));

    if (rc != NGX_OK) {
        ngx_str_null(disposition);
    }

    return rc;
}


static ngx_int_t
ngx_iv_local_sign(const ngx_iv_storage_conf_t *conf, ngx_pool_t *pool,
    const ngx_str_t *key, const ngx_str_t *expires,
    const ngx_str_t *disposition, u_char mac[NGX_IV_SHA256_LEN])
{
    u_char         *p;
    ngx_int_t       rc;
    ngx_str_t       text;
    ngx_iv_hmac_t   hmac;

    if (conf->secret.len == 0 || expires->data == NULL) {
        return NGX_ERROR;
    }

    /* no part before the last can hold a line feed: the text is unambiguous */

    text.len = sizeof("v1\n\n\n") - 1 + key->len + expires->len
               + disposition->len;

    text.data = ngx_pnalloc(pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(text.data, "v1\n", sizeof("v1\n") - 1);
    p = ngx_cpymem(p, key->data, key->len);
    *p++ = '\n';
    p = ngx_cpymem(p, expires->data, expires->len);
    *p++ = '\n';

    if (disposition->len) {
        ngx_memcpy(p, disposition->data, disposition->len);
    }

    rc = ngx_iv_hmac_init(&hmac, conf->secret.data, conf->secret.len);

    if (rc == NGX_OK) {
        rc = ngx_iv_hmac(&hmac, text.data, text.len, mac);
    }

    ngx_iv_wipe(&hmac, sizeof(ngx_iv_hmac_t));

    return rc;
}


/* exactly our own arguments, each at most once */

static ngx_int_t
ngx_iv_local_parse_args(const ngx_str_t *args, ngx_iv_local_args_t *a)
{
    size_t      n;
    u_char     *p, *last, *end, *eq;
    ngx_str_t  *value;

    ngx_memzero(a, sizeof(ngx_iv_local_args_t));

    if (args->len == 0) {
        return NGX_DECLINED;
    }

    p = args->data;
    last = args->data + args->len;

    while (p < last) {

        end = ngx_strlchr(p, last, '&');
        if (end == NULL) {
            end = last;

        } else if (end + 1 == last) {
            return NGX_DECLINED;
        }

        eq = ngx_strlchr(p, end, '=');
        if (eq == NULL || eq + 1 == end) {
            return NGX_DECLINED;
        }

        n = (size_t) (eq - p);

        if (n == 7 && ngx_memcmp(p, "expires", 7) == 0) {
            value = &a->expires;

        } else if (n == 8 && ngx_memcmp(p, "download", 8) == 0) {
            value = &a->download;

        } else if (n == 9 && ngx_memcmp(p, "signature", 9) == 0) {
            value = &a->signature;

        } else {
            return NGX_DECLINED;
        }

        if (value->data) {
            return NGX_DECLINED;
        }

        value->data = eq + 1;
        value->len = (size_t) (end - (eq + 1));

        p = end + 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_parse_expires(const ngx_str_t *s, time_t *t)
{
    size_t  i;

    if (s->len == 0 || s->len > NGX_IV_LINK_DIGITS || s->data[0] == '0') {
        return NGX_DECLINED;
    }

    *t = 0;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < '0' || s->data[i] > '9') {
            return NGX_DECLINED;
        }

        *t = *t * 10 + (s->data[i] - '0');
    }

    return NGX_OK;
}


/* it becomes a response header */

static ngx_uint_t
ngx_iv_local_printable(const ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] > 0x7e) {
            return 0;
        }
    }

    return 1;
}
