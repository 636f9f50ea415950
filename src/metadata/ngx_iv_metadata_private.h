/*
 * What the files of operations share; they run in the event loop.
 *
 * ngx_iv_metadata.c          images, the sweep's; how an operation runs
 * ngx_iv_metadata_account.c  quota and repeated requests
 */

#ifndef NGX_IV_METADATA_PRIVATE_H
#define NGX_IV_METADATA_PRIVATE_H

#include "metadata/ngx_iv_metadata.h"
#include "metadata/ngx_iv_mongo.h"


/* what is to be called for, in the job's pool; NULL: refused already */
ngx_iv_mongo_call_t *ngx_iv_metadata_begin(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind);
void ngx_iv_metadata_post(ngx_iv_metadata_op_t *op);
/* instead of post */
void ngx_iv_metadata_refuse(ngx_iv_metadata_op_t *op, ngx_int_t code);
void ngx_iv_metadata_list(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit);

/* a copy.  NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_metadata_outcomes(ngx_pool_t *pool, ngx_iv_outcome_t **dst,
    ngx_uint_t *ndst, const ngx_iv_outcome_t *src, ngx_uint_t n);


#endif
