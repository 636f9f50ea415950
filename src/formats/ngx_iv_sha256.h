/*
 * SHA-256 and HMAC-SHA-256 of short texts, many times a second.  A key's state
 * is kept, so that an HMAC costs no more than its text.
 */

#ifndef NGX_IV_SHA256_H
#define NGX_IV_SHA256_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "formats/ngx_iv_hash.h"

#include <openssl/sha.h>


/* as good as the key itself: to be wiped.  May be copied. */
typedef struct {
    SHA256_CTX      inner;
    SHA256_CTX      outer;
} ngx_iv_hmac_t;


/* all of them: NGX_OK or NGX_ERROR (OpenSSL) */
ngx_int_t ngx_iv_sha256_short(const u_char *p, size_t n,
    u_char out[NGX_IV_SHA256_LEN]);
ngx_int_t ngx_iv_hmac_init(ngx_iv_hmac_t *h, const u_char *key, size_t n);
/* any number of times */
ngx_int_t ngx_iv_hmac(const ngx_iv_hmac_t *h, const u_char *p, size_t n,
    u_char out[NGX_IV_SHA256_LEN]);


#endif
