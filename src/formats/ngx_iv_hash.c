/*
 * MD5 and SHA-256, by ngx_iv_hash_pair.c or by OpenSSL's EVP, and SHA-512 by
 * EVP: the low-level calls are deprecated in OpenSSL 3.
 */

#include "formats/ngx_iv_hash.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


static ngx_int_t ngx_iv_hash_one(void **ctx, const EVP_MD *md);


ngx_int_t
ngx_iv_hash_init(ngx_iv_hash_t *h)
{
    h->md5 = NULL;
    h->sha256 = NULL;
    h->sha512 = NULL;

#if (NGX_IV_HASH_PAIR)

    if (ngx_iv_hash_pair_able()) {
        ngx_iv_hash_pair_init(&h->pair);
        return NGX_OK;
    }

#endif

    if (ngx_iv_hash_one(&h->md5, EVP_md5()) != NGX_OK
        || ngx_iv_hash_one(&h->sha256, EVP_sha256()) != NGX_OK)
    {
        ngx_iv_hash_free(h);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_hash_want_sha512(ngx_iv_hash_t *h)
{
    if (h->sha512 != NULL) {
        return NGX_OK;
    }

    if (ngx_iv_hash_one(&h->sha512, EVP_sha512()) != NGX_OK) {
        EVP_MD_CTX_free(h->sha512);
        h->sha512 = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_hash_one(void **ctx, const EVP_MD *md)
{
    *ctx = EVP_MD_CTX_new();

    if (*ctx == NULL || EVP_DigestInit_ex(*ctx, md, NULL) != 1) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_hash_update(ngx_iv_hash_t *h, const u_char *p, size_t n)
{
    if (n == 0) {
        return NGX_OK;
    }

    if (h->sha512 != NULL && EVP_DigestUpdate(h->sha512, p, n) != 1) {
        return NGX_ERROR;
    }

#if (NGX_IV_HASH_PAIR)

    if (h->md5 == NULL) {
        ngx_iv_hash_pair_update(&h->pair, p, n);
        return NGX_OK;
    }

#endif

    if (EVP_DigestUpdate(h->md5, p, n) != 1
        || EVP_DigestUpdate(h->sha256, p, n) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_hash_final(ngx_iv_hash_t *h, u_char md5[NGX_IV_MD5_LEN],
    u_char sha256[NGX_IV_SHA256_LEN])
{
#if (NGX_IV_HASH_PAIR)

    if (h->md5 == NULL) {
        ngx_iv_hash_pair_final(&h->pair, md5, sha256);
        return NGX_OK;
    }

#endif

    if (EVP_DigestFinal_ex(h->md5, md5, NULL) != 1
        || EVP_DigestFinal_ex(h->sha256, sha256, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_hash_md5_so_far(const ngx_iv_hash_t *h, u_char md5[NGX_IV_MD5_LEN])
{
    ngx_int_t    rc;
    EVP_MD_CTX  *ctx;

#if (NGX_IV_HASH_PAIR)

    u_char              sha256[NGX_IV_SHA256_LEN];
    ngx_iv_hash_pair_t  pair;

    if (h->md5 == NULL) {
        pair = h->pair;
        ngx_iv_hash_pair_final(&pair, md5, sha256);
        return NGX_OK;
    }

#endif

    ctx = EVP_MD_CTX_new();
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    rc = (EVP_MD_CTX_copy_ex(ctx, h->md5) == 1
          && EVP_DigestFinal_ex(ctx, md5, NULL) == 1) ? NGX_OK : NGX_ERROR;

    EVP_MD_CTX_free(ctx);

    return rc;
}


ngx_int_t
ngx_iv_hash_part(ngx_iv_hash_t *h)
{
#if (NGX_IV_HASH_PAIR)

    if (h->md5 == NULL) {
        return ngx_iv_hash_pair_part(&h->pair);
    }

#endif

    return NGX_DECLINED;
}


void
ngx_iv_hash_part_so_far(const ngx_iv_hash_t *h, u_char md5[NGX_IV_MD5_LEN])
{
#if (NGX_IV_HASH_PAIR)

    ngx_iv_hash_pair_part_so_far(&h->pair, md5);

#endif
}


ngx_int_t
ngx_iv_hash_final_sha512(ngx_iv_hash_t *h, u_char sha512[NGX_IV_SHA512_LEN])
{
    if (h->sha512 == NULL || EVP_DigestFinal_ex(h->sha512, sha512, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_iv_hash_free(ngx_iv_hash_t *h)
{
    EVP_MD_CTX_free(h->md5);
    EVP_MD_CTX_free(h->sha256);
    EVP_MD_CTX_free(h->sha512);

    h->md5 = NULL;
    h->sha256 = NULL;
    h->sha512 = NULL;
}


ngx_int_t
ngx_iv_sha256(const u_char *p, size_t n, u_char out[NGX_IV_SHA256_LEN])
{
    /* a NULL pointer of no length is none of EVP's business */

    if (EVP_Digest(n ? (const void *) p : "", n, out, NULL, EVP_sha256(), NULL)
        != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_hmac_sha256(const u_char *key, size_t keylen, const u_char *p, size_t n,
    u_char out[NGX_IV_SHA256_LEN])
{
    unsigned int  len;

    if (keylen > NGX_MAX_INT32_VALUE) {
        return NGX_ERROR;
    }

    len = NGX_IV_SHA256_LEN;

    /* HMAC() takes a NULL key for "the last one" */

    if (HMAC(EVP_sha256(), keylen ? (const void *) key : "", (int) keylen,
             n ? p : (const u_char *) "", n, out, &len)
        == NULL)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
