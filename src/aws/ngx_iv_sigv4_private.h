/*
 * What the signer's files share.
 */

#ifndef NGX_IV_SIGV4_PRIVATE_H
#define NGX_IV_SIGV4_PRIVATE_H

#include "aws/ngx_iv_sigv4.h"

#define NGX_IV_SIGV4_HEX   (2 * NGX_IV_SHA256_LEN)
#define NGX_IV_SIGV4_DAY   8        /* of "20261121T030405Z" */

#define NGX_IV_SIGV4_ALGORITHM   "AWS4-HMAC-SHA256"
#define NGX_IV_SIGV4_UNSIGNED    "UNSIGNED-PAYLOAD"
#define NGX_IV_SIGV4_TERMINATOR  "aws4_request"


/*
 * The HMAC of `text` by the signing key of rq's credentials and of the scope,
 * "key id/day/region/service/aws4_request".  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_iv_sigv4_hmac(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scope, const ngx_str_t *text,
    u_char sum[NGX_IV_SHA256_LEN]);

/*
 * The same as ngx_iv_sigv4_presign(), at once, where nothing but the host is to
 * be signed; `expires` is in its range.  NGX_OK, NGX_ERROR; NGX_DECLINED: rq is
 * not that simple.
 */
ngx_int_t ngx_iv_sigv4_link(ngx_pool_t *pool, const ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scheme, time_t expires, ngx_str_t *url);


#endif
