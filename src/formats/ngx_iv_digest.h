/*
 * Declared sums of a body or of a form's part: Content-Digest, Repr-Digest
 * (RFC 9530: a structured field, RFC 8941/9651, a dictionary of byte sequences)
 * and Content-MD5 (RFC 1864).  sha-256 and sha-512 are understood; other
 * algorithms are passed over, malformed values refused.
 */

#ifndef NGX_IV_DIGEST_H
#define NGX_IV_DIGEST_H

#include "base/ngx_iv_code.h"
#include "formats/ngx_iv_hash.h"


typedef struct {
    unsigned        has_md5:1;
    unsigned        has_sha256:1;
    unsigned        has_sha512:1;
    u_char          md5[NGX_IV_MD5_LEN];
    u_char          sha256[NGX_IV_SHA256_LEN];
    u_char          sha512[NGX_IV_SHA512_LEN];
} ngx_iv_digests_t;


/*
 * The value of a Content-Digest or Repr-Digest, or of a Content-MD5, added to
 * *d, which begins zeroed and may get any number of them.  An empty value says
 * nothing.
 * NGX_OK; NGX_IV_BAD_PARAMETER: malformed, or of a wrong length;
 * NGX_IV_DIGEST_MISMATCH: another sum of the same kind was declared before.
 * *d is changed by NGX_OK only.
 */
ngx_int_t ngx_iv_digest_parse(ngx_iv_digests_t *d, const ngx_str_t *value);
ngx_int_t ngx_iv_digest_parse_md5(ngx_iv_digests_t *d, const ngx_str_t *value);

/*
 * NGX_OK if every declared sum is the computed one, else
 * NGX_IV_DIGEST_MISMATCH.  sha512 may be NULL if none is declared.
 */
ngx_int_t ngx_iv_digest_check(const ngx_iv_digests_t *d, const u_char *md5,
    const u_char *sha256, const u_char *sha512);


#endif
