#include "upload/ngx_iv_upload_sums.h"

#include <openssl/evp.h>


static ngx_int_t ngx_iv_upload_sums_begin(ngx_iv_upload_sums_t *s,
    ngx_iv_hash_t *whole);
static ngx_int_t ngx_iv_upload_sums_end(ngx_iv_upload_sums_t *s,
    const ngx_iv_hash_t *whole);


ngx_int_t
ngx_iv_upload_sums_init(ngx_iv_upload_sums_t *s, off_t part_size,
    ngx_uint_t max, ngx_log_t *log)
{
    ngx_memzero(s, sizeof(ngx_iv_upload_sums_t));

    s->md5 = ngx_alloc(max * NGX_IV_MD5_LEN, log);
    if (s->md5 == NULL) {
        return NGX_ERROR;
    }

    s->ctx = EVP_MD_CTX_new();
    if (s->ctx == NULL) {
        ngx_iv_upload_sums_free(s);
        return NGX_ERROR;
    }

    s->part_size = part_size;
    s->max = max;

    return NGX_OK;
}


ngx_int_t
ngx_iv_upload_sums_update(ngx_iv_upload_sums_t *s, ngx_iv_hash_t *whole,
    off_t offset, const u_char *p, size_t n)
{
    off_t  end;

    if (s->part_size == 0) {
        return NGX_OK;
    }

    end = offset + (off_t) n;

    if (end < s->part_size) {
        return NGX_OK;
    }

    if (offset < s->part_size) {

        if (s->n == s->max
            || ngx_iv_hash_md5_so_far(whole, s->md5[s->n]) != NGX_OK)
        {
            return NGX_ERROR;
        }

        s->n++;

        return ngx_iv_upload_sums_begin(s, whole);
    }

    if (!s->beside && EVP_DigestUpdate(s->ctx, p, n) != 1) {
        return NGX_ERROR;
    }

    if (end % s->part_size) {
        return NGX_OK;
    }

    if (ngx_iv_upload_sums_end(s, whole) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_upload_sums_begin(s, whole);
}


/* a later part, if there comes one */

static ngx_int_t
ngx_iv_upload_sums_begin(ngx_iv_upload_sums_t *s, ngx_iv_hash_t *whole)
{
    s->beside = (ngx_iv_hash_part(whole) == NGX_OK);

    if (s->beside) {
        return NGX_OK;
    }

    return (EVP_DigestInit_ex(s->ctx, EVP_md5(), NULL) == 1) ? NGX_OK
                                                             : NGX_ERROR;
}


static ngx_int_t
ngx_iv_upload_sums_end(ngx_iv_upload_sums_t *s, const ngx_iv_hash_t *whole)
{
    if (s->n == s->max) {
        return NGX_ERROR;
    }

    if (s->beside) {
        ngx_iv_hash_part_so_far(whole, s->md5[s->n]);

    } else if (EVP_DigestFinal_ex(s->ctx, s->md5[s->n], NULL) != 1) {
        return NGX_ERROR;
    }

    s->n++;

    return NGX_OK;
}


ngx_int_t
ngx_iv_upload_sums_final(ngx_iv_upload_sums_t *s, const ngx_iv_hash_t *whole,
    off_t size)
{
    if (s->part_size == 0
        || size <= s->part_size
        || size % s->part_size == 0)
    {
        return NGX_OK;
    }

    return ngx_iv_upload_sums_end(s, whole);
}


ngx_int_t
ngx_iv_upload_sums_all(const ngx_iv_upload_sums_t *s,
    u_char md5[NGX_IV_MD5_LEN])
{
    if (s->n == 0
        || EVP_Digest(s->md5, s->n * NGX_IV_MD5_LEN, md5, NULL, EVP_md5(),
                      NULL)
           != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_iv_upload_sums_free(ngx_iv_upload_sums_t *s)
{
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;

    if (s->md5) {
        ngx_free(s->md5);
        s->md5 = NULL;
    }
}
