/*
 * MD5 and SHA-256, on demand SHA-512, of a stream, side by side: in one pass
 * where the processor has instructions for SHA, else by EVP of OpenSSL 1.1.1
 * and 3.
 * Thread-safe between objects; one object belongs to one thread at a time.
 */

#ifndef NGX_IV_HASH_H
#define NGX_IV_HASH_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "formats/ngx_iv_hash_pair.h"

#define NGX_IV_MD5_LEN     16
#define NGX_IV_SHA256_LEN  32
#define NGX_IV_SHA512_LEN  64


typedef struct {
    ngx_iv_hash_pair_t  pair;
    void           *md5;            /* EVP_MD_CTX; NULL: pair is in use */
    void           *sha256;
    void           *sha512;         /* NULL: not asked for */
} ngx_iv_hash_t;


/* NGX_OK or NGX_ERROR; on NGX_ERROR nothing has to be freed */
ngx_int_t ngx_iv_hash_init(ngx_iv_hash_t *h);
/* SHA-512 as well: costs CPU, so only if somebody asks; after init, before the
 * first update.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_hash_want_sha512(ngx_iv_hash_t *h);
ngx_int_t ngx_iv_hash_update(ngx_iv_hash_t *h, const u_char *p, size_t n);
ngx_int_t ngx_iv_hash_final(ngx_iv_hash_t *h, u_char md5[NGX_IV_MD5_LEN],
    u_char sha256[NGX_IV_SHA256_LEN]);
/* NGX_ERROR also if it was not wanted */
ngx_int_t ngx_iv_hash_final_sha512(ngx_iv_hash_t *h,
    u_char sha512[NGX_IV_SHA512_LEN]);
/* the MD5 of what was hashed so far; the stream goes on.
 * NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_hash_md5_so_far(const ngx_iv_hash_t *h,
    u_char md5[NGX_IV_MD5_LEN]);
/* a second MD5, of what comes from now on (the next call begins another).
 * NGX_OK, or NGX_DECLINED: it can't be had for little more than the others, use
 * EVP */
ngx_int_t ngx_iv_hash_part(ngx_iv_hash_t *h);
/* what it is so far; after an ngx_iv_hash_part() that was NGX_OK */
void ngx_iv_hash_part_so_far(const ngx_iv_hash_t *h,
    u_char md5[NGX_IV_MD5_LEN]);
/* at any time, also twice */
void ngx_iv_hash_free(ngx_iv_hash_t *h);

/* one call for small things */
ngx_int_t ngx_iv_sha256(const u_char *p, size_t n,
    u_char out[NGX_IV_SHA256_LEN]);
ngx_int_t ngx_iv_hmac_sha256(const u_char *key, size_t keylen,
    const u_char *p, size_t n, u_char out[NGX_IV_SHA256_LEN]);


#endif
