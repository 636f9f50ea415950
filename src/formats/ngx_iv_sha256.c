/*
 * OpenSSL's low-level functions, which are deprecated in OpenSSL 3, and on
 * purpose: EVP looks its algorithm up and allocates at every call, which for a
 * few hundred bytes takes longer than to hash them, and HMAC's key can be kept
 * as a state only here.  They take the processor's own instructions as EVP
 * does.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "formats/ngx_iv_sha256.h"
#include "base/ngx_iv_str.h"


#define NGX_IV_HMAC_IPAD  0x36
#define NGX_IV_HMAC_OPAD  0x5c


ngx_int_t
ngx_iv_sha256_short(const u_char *p, size_t n, u_char out[NGX_IV_SHA256_LEN])
{
    SHA256_CTX  ctx;

    if (SHA256_Init(&ctx) != 1
        || SHA256_Update(&ctx, p, n) != 1
        || SHA256_Final(out, &ctx) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* RFC 2104 */

ngx_int_t
ngx_iv_hmac_init(ngx_iv_hmac_t *h, const u_char *key, size_t n)
{
    u_char      pad[SHA256_CBLOCK];
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_memzero(pad, sizeof(pad));

    if (n > sizeof(pad)) {

        if (ngx_iv_sha256_short(key, n, pad) != NGX_OK) {
            return NGX_ERROR;
        }

    } else if (n) {
        ngx_memcpy(pad, key, n);
    }

    for (i = 0; i < sizeof(pad); i++) {
        pad[i] ^= NGX_IV_HMAC_IPAD;
    }

    rc = (SHA256_Init(&h->inner) == 1
          && SHA256_Update(&h->inner, pad, sizeof(pad)) == 1)
         ? NGX_OK : NGX_ERROR;

    for (i = 0; i < sizeof(pad); i++) {
        pad[i] ^= NGX_IV_HMAC_IPAD ^ NGX_IV_HMAC_OPAD;
    }

    if (SHA256_Init(&h->outer) != 1
        || SHA256_Update(&h->outer, pad, sizeof(pad)) != 1)
    {
        rc = NGX_ERROR;
    }

    ngx_iv_wipe(pad, sizeof(pad));

    return rc;
}


ngx_int_t
ngx_iv_hmac(const ngx_iv_hmac_t *h, const u_char *p, size_t n,
    u_char out[NGX_IV_SHA256_LEN])
{
    u_char      sum[NGX_IV_SHA256_LEN];
    SHA256_CTX  ctx;

    ctx = h->inner;

    if (SHA256_Update(&ctx, p, n) != 1 || SHA256_Final(sum, &ctx) != 1) {
        return NGX_ERROR;
    }

    ctx = h->outer;

    if (SHA256_Update(&ctx, sum, sizeof(sum)) != 1
        || SHA256_Final(out, &ctx) != 1)
    {
        return NGX_ERROR;
    }

    /* what is left tells about the key */

    ngx_iv_wipe(&ctx, sizeof(SHA256_CTX));

    return NGX_OK;
}
