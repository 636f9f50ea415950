/*
 * A place for each hash.  What comes for the first time leaves only its hash
 * there, so that a walk through many images neither costs copies nor drives out
 * what is hot.
 */

#include "storage/ngx_iv_s3_urls.h"
#include "base/ngx_iv_str.h"


typedef struct {
    time_t          signing;
    time_t          expires;
    uint16_t        key;            /* lengths; url: 0: the place is empty */
    uint16_t        disposition;
    uint16_t        url;
    uint16_t        head;
    u_char          data[NGX_IV_S3_URL - 2 * sizeof(time_t)
                         - 4 * sizeof(uint16_t)];
} ngx_iv_s3_urls_place_t;


static ngx_uint_t ngx_iv_s3_urls_is(const ngx_iv_s3_urls_place_t *place,
    const ngx_iv_storage_url_t *url);


ngx_int_t
ngx_iv_s3_urls_get(ngx_iv_s3_urls_t *urls, ngx_pool_t *pool,
    const ngx_iv_storage_url_t *url, uint32_t *hash, ngx_str_t *out)
{
    ngx_iv_s3_urls_place_t  *place;

    *hash = ngx_murmur_hash2(url->key.data, url->key.len)
            ^ (uint32_t) url->signing ^ (url->head ? 0x55555555 : 0)
            ^ (uint32_t) url->disposition.len << 16;

    if (urls->places == NULL) {
        return NGX_DECLINED;
    }

    place = (ngx_iv_s3_urls_place_t *) urls->places + *hash % NGX_IV_S3_URLS;

    if (!ngx_iv_s3_urls_is(place, url)) {
        return NGX_DECLINED;
    }

    out->len = place->url;

    out->data = ngx_pnalloc(pool, out->len);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(out->data, place->data + place->key + place->disposition,
               out->len);

    return NGX_OK;
}


static ngx_uint_t
ngx_iv_s3_urls_is(const ngx_iv_s3_urls_place_t *place,
    const ngx_iv_storage_url_t *url)
{
    return place->url
           && place->signing == url->signing
           && place->expires == url->expires
           && place->head == url->head
           && place->key == url->key.len
           && place->disposition == url->disposition.len
           && ngx_memcmp(place->data, url->key.data, url->key.len) == 0
           && (url->disposition.len == 0
               || ngx_memcmp(place->data + place->key, url->disposition.data,
                             url->disposition.len)
                  == 0);
}


void
ngx_iv_s3_urls_keep(ngx_iv_s3_urls_t *urls, ngx_log_t *log,
    const ngx_iv_storage_url_t *url, uint32_t hash, const ngx_str_t *text)
{
    u_char                  *p;
    size_t                   size;
    ngx_uint_t               i;
    ngx_iv_s3_urls_place_t  *place;

    i = hash % NGX_IV_S3_URLS;

    if (urls->last[i] != hash) {
        urls->last[i] = hash;
        return;
    }

    size = url->key.len + url->disposition.len + text->len;

    if (size > sizeof(place->data) || url->key.len == 0) {
        return;
    }

    if (urls->places == NULL) {
        urls->places = ngx_calloc(NGX_IV_S3_URLS
                                  * sizeof(ngx_iv_s3_urls_place_t), log);
        if (urls->places == NULL) {
            return;
        }
    }

    place = (ngx_iv_s3_urls_place_t *) urls->places + i;

    place->signing = url->signing;
    place->expires = url->expires;
    place->head = url->head;
    place->key = (uint16_t) url->key.len;
    place->disposition = (uint16_t) url->disposition.len;
    place->url = (uint16_t) text->len;

    p = ngx_cpymem(place->data, url->key.data, url->key.len);

    if (url->disposition.len) {
        p = ngx_cpymem(p, url->disposition.data, url->disposition.len);
    }

    ngx_memcpy(p, text->data, text->len);
}


void
ngx_iv_s3_urls_free(ngx_iv_s3_urls_t *urls)
{
    if (urls->places) {
        ngx_iv_wipe(urls->places,
                    NGX_IV_S3_URLS * sizeof(ngx_iv_s3_urls_place_t));
        ngx_free(urls->places);
        urls->places = NULL;
    }
}
