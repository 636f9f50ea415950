/*
 * What the report compares storages with: the event loop's side.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_metadata_report.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_lists.h"


void
ngx_iv_metadata_report_keys(ngx_iv_metadata_op_t *op,
    const ngx_str_t *storage, const ngx_str_t *keys, ngx_uint_t n)
{
    ngx_uint_t            i;
    ngx_iv_lists_t       *lists;
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_REPORT_KEYS);
    if (call == NULL) {
        return;
    }

    lists = ngx_pcalloc(call->pool, sizeof(ngx_iv_lists_t));
    if (lists == NULL) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    call->lists = lists;

    lists->keys = ngx_palloc(call->pool, (n + 1) * sizeof(ngx_str_t));

    if (lists->keys == NULL
        || ngx_iv_copy_str(call->pool, &lists->storage, storage)
           != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    for (i = 0; i < n; i++) {
        if (ngx_iv_copy_str(call->pool, &lists->keys[i], &keys[i])
            != NGX_OK)
        {
            ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
            return;
        }
    }

    lists->nkeys = n;

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_report_documents(ngx_iv_metadata_op_t *op,
    const u_char after[NGX_IV_ID_LEN], ngx_uint_t limit)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_REPORT_DOCUMENTS);
    if (call == NULL) {
        return;
    }

    call->limit = limit;
    ngx_memcpy(call->after_id, after, NGX_IV_ID_LEN);

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_report_mark(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], ngx_uint_t missing)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, missing ? NGX_IV_MONGO_REPORT_MARK
                                             : NGX_IV_MONGO_REPORT_CLEAR);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);

    ngx_iv_metadata_post(op);
}
