#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_metadata_direct.h"
#include "metadata/ngx_iv_document.h"


static void ngx_iv_metadata_direct(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const u_char *id, const ngx_str_t *owner);


void
ngx_iv_metadata_direct_insert(ngx_iv_metadata_op_t *op,
    const ngx_iv_document_t *doc, ngx_msec_t life, ngx_uint_t max_open)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_DIRECT_INSERT);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, doc->id, NGX_IV_ID_LEN);
    call->ttl = life;
    call->limit = max_open;

    if (ngx_iv_document_copy(call->pool, &call->document, doc) != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_direct_claim(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner)
{
    ngx_iv_metadata_direct(op, NGX_IV_MONGO_DIRECT_CLAIM, id, owner);
}


void
ngx_iv_metadata_direct_unclaim(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_direct(op, NGX_IV_MONGO_DIRECT_UNCLAIM, id, NULL);
}


void
ngx_iv_metadata_sweep_staging(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_STAGING, after, stale, limit);
}


void
ngx_iv_metadata_staging_deleted(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_direct(op, NGX_IV_MONGO_STAGING_DELETED, id, NULL);
}


static void
ngx_iv_metadata_direct(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const u_char *id, const ngx_str_t *owner)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);

    if (owner
        && ngx_iv_copy_str(call->pool, &call->owner, owner) != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}
