/*
 * Signed URLs of one storage and worker that are asked for again and again: a
 * copy is cheaper than a signature.  Pure but for its memory: 1 MiB at most,
 * taken when a URL comes for the second time.
 *
 * Within a storage a URL follows from what it is asked by, and all of that is
 * kept and compared: its credentials change with a new configuration only,
 * which has workers and tables of its own.
 */

#ifndef NGX_IV_S3_URLS_H
#define NGX_IV_S3_URLS_H

#include "storage/ngx_iv_storage.h"

#define NGX_IV_S3_URLS  1024            /* places */
#define NGX_IV_S3_URL   1024            /* bytes of each; longer ones are not
                                           kept */

typedef struct {
    uint32_t        last[NGX_IV_S3_URLS];   /* whose turn a place saw last */
    u_char         *places;                 /* NULL: none yet */
} ngx_iv_s3_urls_t;


/* *hash is for …_keep().  NGX_OK and a copy in pool; NGX_DECLINED: not there;
 * NGX_ERROR: memory */
ngx_int_t ngx_iv_s3_urls_get(ngx_iv_s3_urls_t *urls, ngx_pool_t *pool,
    const ngx_iv_storage_url_t *url, uint32_t *hash, ngx_str_t *out);
/* what was signed instead; without memory it is not kept */
void ngx_iv_s3_urls_keep(ngx_iv_s3_urls_t *urls, ngx_log_t *log,
    const ngx_iv_storage_url_t *url, uint32_t hash, const ngx_str_t *text);
/* wiped, as whoever has a URL may open it */
void ngx_iv_s3_urls_free(ngx_iv_s3_urls_t *urls);


#endif
