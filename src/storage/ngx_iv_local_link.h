/*
 * Signed links of local storages and the rules for their keys: pure.
 *
 * A link is `url/<encoded key>?expires=<unix time>[&download=<encoded
 * Content-Disposition>]&signature=<hex>`, where the signature is
 * HMAC-SHA256(secret, "v1\n" key "\n" expires "\n" disposition).
 */

#ifndef NGX_IV_LOCAL_LINK_H
#define NGX_IV_LOCAL_LINK_H

#include "storage/ngx_iv_storage.h"

#define NGX_IV_LOCAL_KEY_MAX  1024


/* 1 if the key may name a file below the root: no empty, "." or ".." segment,
 * no control bytes, no slash at either end */
ngx_uint_t ngx_iv_local_key_valid(const ngx_str_t *key);

/* NGX_OK or NGX_ERROR (no memory, a bad key, no secret) */
ngx_int_t ngx_iv_local_link(const ngx_iv_storage_conf_t *conf,
    ngx_pool_t *pool, const ngx_iv_storage_url_t *url, ngx_str_t *out);


#endif
