/*
 * MD5 of each part of a multipart upload, beside the sums of the whole body:
 * the storage's ETag of the object is md5(md5s)-N.  The first part's comes from
 * the whole body's MD5 as it stood at the part's end, so that a body that ends
 * within one part costs nothing more; those of later parts are made in the
 * whole body's one pass, or where there is none by EVP.
 */

#ifndef NGX_IV_UPLOAD_SUMS_H
#define NGX_IV_UPLOAD_SUMS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "formats/ngx_iv_hash.h"


typedef struct {
    off_t           part_size;      /* 0: no parts, nothing is summed */
    ngx_uint_t      n;              /* parts that are whole */
    ngx_uint_t      max;
    u_char        (*md5)[NGX_IV_MD5_LEN];

    /* private */
    void           *ctx;            /* EVP_MD_CTX of a later part */
    unsigned        beside:1;       /* `whole` has the later part's MD5 */
} ngx_iv_upload_sums_t;


/* NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_upload_sums_init(ngx_iv_upload_sums_t *s, off_t part_size,
    ngx_uint_t max, ngx_log_t *log);

/* the bytes from `offset` on, not over the end of a part; `whole` has them
 * already.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_upload_sums_update(ngx_iv_upload_sums_t *s,
    ngx_iv_hash_t *whole, off_t offset, const u_char *p, size_t n);

/* the body ends at size; before the whole body's sums are made.  NGX_OK or
 * NGX_ERROR */
ngx_int_t ngx_iv_upload_sums_final(ngx_iv_upload_sums_t *s,
    const ngx_iv_hash_t *whole, off_t size);

/* md5(md5s).  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_upload_sums_all(const ngx_iv_upload_sums_t *s,
    u_char md5[NGX_IV_MD5_LEN]);

/* at any time, also twice */
void ngx_iv_upload_sums_free(ngx_iv_upload_sums_t *s);


#endif
