/*
 * The URL of an image for one request: its public one, or a signed one that
 * stays the same for a window of time, so that caches keep what they have.
 */

#include "module/ngx_http_image_vault_module.h"
#include "formats/ngx_iv_name.h"


typedef struct {
    time_t       signing;
    time_t       expires;
    time_t       rest;
} ngx_http_image_vault_times_t;


static ngx_iv_storage_t *ngx_http_image_vault_storage_of(
    ngx_http_request_t *r, const ngx_iv_document_t *doc);
static ngx_int_t ngx_http_image_vault_make_url(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t download, ngx_uint_t head,
    ngx_uint_t absolute, ngx_http_image_vault_times_t *t, ngx_str_t *url);
static void ngx_http_image_vault_window(const ngx_iv_document_t *doc,
    const ngx_http_image_vault_loc_conf_t *lcf,
    ngx_http_image_vault_times_t *t);
static void ngx_http_image_vault_cap(const ngx_iv_document_t *doc,
    const ngx_iv_storage_conf_t *conf, ngx_http_image_vault_times_t *t);
static ngx_int_t ngx_http_image_vault_absolute(ngx_http_request_t *r,
    ngx_str_t *url);


ngx_int_t
ngx_http_image_vault_url(ngx_http_request_t *r, const ngx_iv_document_t *doc,
    ngx_uint_t download, ngx_uint_t head, ngx_uint_t absolute, ngx_str_t *url,
    time_t *expires, time_t *window_rest)
{
    ngx_int_t                         rc;
    ngx_http_image_vault_times_t      t;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_http_image_vault_window(doc, lcf, &t);

    rc = ngx_http_image_vault_make_url(r, doc, download, head, absolute, &t,
                                       url);

    *expires = t.expires;
    *window_rest = t.rest;

    return rc;
}


ngx_int_t
ngx_http_image_vault_url_now(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t download, time_t life,
    ngx_str_t *url, time_t *expires)
{
    ngx_int_t                     rc;
    ngx_http_image_vault_times_t  t;

    t.signing = ngx_time();
    t.expires = t.signing + life;
    t.rest = 0;

    rc = ngx_http_image_vault_make_url(r, doc, download, 0, 1, &t, url);

    *expires = t.expires;

    return rc;
}


/* as the client's own request would name neither host nor storage, and a proxy
 * has no use for a public name */

ngx_int_t
ngx_http_image_vault_url_inside(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t head, ngx_str_t *url,
    time_t *expires, time_t *window_rest)
{
    u_char                           *p, *q, *path;
    ngx_iv_storage_t                 *st;
    ngx_iv_storage_url_t              su;
    ngx_http_image_vault_times_t      t;
    ngx_http_image_vault_loc_conf_t  *lcf;

    st = ngx_http_image_vault_storage_of(r, doc);
    if (st == NULL) {
        return NGX_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_http_image_vault_window(doc, lcf, &t);
    ngx_http_image_vault_cap(doc, st->conf, &t);

    ngx_memzero(&su, sizeof(ngx_iv_storage_url_t));

    su.key = doc->key;
    su.head = head ? 1 : 0;
    su.signing = t.signing;
    su.expires = t.expires;

    if (ngx_iv_storage_signed_url(st, r->pool, &su, url) != NGX_OK) {
        return NGX_ERROR;
    }

    *expires = t.expires;
    *window_rest = t.rest;

    if (url->len == 0 || url->data[0] != '/') {
        return NGX_OK;
    }

    /* nginx's own paths have no escapes */

    p = ngx_strlchr(url->data, url->data + url->len, '?');

    if (p != NULL) {
        path = url->data;
        q = path;

        ngx_unescape_uri(&q, &path, p - url->data, 0);

        url->len -= p - q;
        ngx_memmove(q, p, url->data + url->len - q);
    }

    return NGX_OK;
}


static ngx_iv_storage_t *
ngx_http_image_vault_storage_of(ngx_http_request_t *r,
    const ngx_iv_document_t *doc)
{
    ngx_int_t                       i;
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;

    i = ngx_http_image_vault_storage_find(w->conf, &doc->storage);

    if (i == NGX_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "image_vault: the storage \"%V\" of an image "
                      "is not configured", &doc->storage);
        return NULL;
    }

    return w->storages[i];
}


static ngx_int_t
ngx_http_image_vault_make_url(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t download, ngx_uint_t head,
    ngx_uint_t absolute, ngx_http_image_vault_times_t *t, ngx_str_t *url)
{
    ngx_iv_storage_t      *st;
    ngx_iv_storage_url_t   su;

    st = ngx_http_image_vault_storage_of(r, doc);
    if (st == NULL) {
        return NGX_ERROR;
    }

    if (doc->is_public && st->conf->public_only && st->conf->public_url.len) {
        t->expires = 0;
        return ngx_iv_storage_public_url(st, r->pool, &doc->key, url);
    }

    ngx_http_image_vault_cap(doc, st->conf, t);

    ngx_memzero(&su, sizeof(ngx_iv_storage_url_t));

    su.key = doc->key;
    su.head = head ? 1 : 0;
    su.signing = t->signing;
    su.expires = t->expires;

    if (download
        && ngx_iv_name_disposition(r->pool, "attachment", &doc->original_name,
                                   &su.disposition)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_iv_storage_signed_url(st, r->pool, &su, url) != NGX_OK) {
        return NGX_ERROR;
    }

    if (absolute && url->len && url->data[0] == '/') {
        return ngx_http_image_vault_absolute(r, url);
    }

    return NGX_OK;
}


/*
 * The signing time is rounded down to the image's own window: the offset keeps
 * the URLs of all images from changing in the same second.
 */

static void
ngx_http_image_vault_window(const ngx_iv_document_t *doc,
    const ngx_http_image_vault_loc_conf_t *lcf,
    ngx_http_image_vault_times_t *t)
{
    time_t  now, window, offset;

    now = ngx_time();
    window = lcf->url_window;

    if (window > 0) {
        offset = ngx_murmur_hash2((u_char *) doc->id, NGX_IV_ID_LEN)
                 % (uint32_t) window;

        t->signing = (now - offset) / window * window + offset;
        t->rest = t->signing + window - now;

    } else {
        window = 0;
        t->signing = now;
        t->rest = 0;
    }

    t->expires = t->signing + lcf->url_expiry + window;
}


/* a URL ends with the credentials' token and with the image */

static void
ngx_http_image_vault_cap(const ngx_iv_document_t *doc,
    const ngx_iv_storage_conf_t *conf, ngx_http_image_vault_times_t *t)
{
    time_t  end;

    end = t->expires;

    if (conf->type == NGX_IV_STORAGE_S3 && conf->credentials.token.len
        && conf->credentials.expires && conf->credentials.expires < end)
    {
        end = conf->credentials.expires;
    }

    if (doc->expires_at && (time_t) (doc->expires_at / 1000) < end) {
        end = (time_t) (doc->expires_at / 1000);
    }

    if (end <= t->signing) {
        /* in the second of its expiry */
        end = t->signing + 1;
    }

    t->expires = end;
}


static ngx_int_t
ngx_http_image_vault_absolute(ngx_http_request_t *r, ngx_str_t *url)
{
    u_char     *p;
    ngx_str_t   scheme, host, out;

    ngx_http_image_vault_scheme(r, &scheme);
    ngx_http_image_vault_host(r, &host);

    if (host.len == 0) {
        /* HTTP/1.0 without Host */
        return NGX_OK;
    }

    out.len = scheme.len + sizeof("://") - 1 + host.len + url->len;

    out.data = ngx_pnalloc(r->pool, out.len);
    if (out.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(out.data, scheme.data, scheme.len);
    p = ngx_cpymem(p, "://", sizeof("://") - 1);
    p = ngx_cpymem(p, host.data, host.len);
    ngx_memcpy(p, url->data, url->len);

    *url = out;

    return NGX_OK;
}
