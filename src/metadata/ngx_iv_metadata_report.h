/*
 * What the report of admin/sweep compares storages with.  Operations of
 * ngx_iv_metadata.h; the same rules hold.
 */

#ifndef NGX_IV_METADATA_REPORT_H
#define NGX_IV_METADATA_REPORT_H

#include "metadata/ngx_iv_metadata.h"

/* `error` of a ready image whose object is gone */
#define NGX_IV_OBJECT_MISSING  "object_missing"


/*
 * The documents of a storage that have one of n keys, or one as their staging
 * key: refs, each with key, staging_key, upload_id.  The first call makes an
 * index on r2Key; while the server builds it, it is _METADATA_UNAVAILABLE.
 */
void ngx_iv_metadata_report_keys(ngx_iv_metadata_op_t *op,
    const ngx_str_t *storage, const ngx_str_t *keys, ngx_uint_t n);
/* the next documents by id: refs, count; `ready` and `missing` of each.  Those
 * of other writers have no storage */
void ngx_iv_metadata_report_documents(ngx_iv_metadata_op_t *op,
    const u_char after[NGX_IV_ID_LEN], ngx_uint_t limit);
/* sets the mark of an image that is ready, or clears it; count */
void ngx_iv_metadata_report_mark(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], ngx_uint_t missing);


#endif
