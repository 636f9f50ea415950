/*
 * The sweep's lease and what it tells: the event loop's side.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_metadata_sweep.h"
#include "metadata/ngx_iv_document.h"


static ngx_iv_mongo_call_t *ngx_iv_metadata_lease_call(
    ngx_iv_metadata_op_t *op, const ngx_str_t *holder, ngx_msec_t ttl);


void
ngx_iv_metadata_lease(ngx_iv_metadata_op_t *op, const ngx_str_t *holder,
    ngx_msec_t ttl)
{
    if (ngx_iv_metadata_lease_call(op, holder, ttl)) {
        ngx_iv_metadata_post(op);
    }
}


void
ngx_iv_metadata_sweep_begin(ngx_iv_metadata_op_t *op, const ngx_str_t *holder,
    ngx_msec_t ttl)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lease_call(op, holder, ttl);
    if (call == NULL) {
        return;
    }

    call->begin = 1;

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_sweep_ask(ngx_iv_metadata_op_t *op, const ngx_str_t *holder,
    ngx_msec_t ttl)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lease_call(op, holder, ttl);
    if (call == NULL) {
        return;
    }

    call->ask = 1;

    ngx_iv_metadata_post(op);
}


/* NULL: the operation is refused already */

static ngx_iv_mongo_call_t *
ngx_iv_metadata_lease_call(ngx_iv_metadata_op_t *op, const ngx_str_t *holder,
    ngx_msec_t ttl)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_LEASE);
    if (call == NULL) {
        return NULL;
    }

    call->ttl = ttl;
    call->sweep = ngx_pcalloc(call->pool, sizeof(ngx_iv_sweep_state_t));

    if (call->sweep == NULL
        || ngx_iv_copy_str(call->pool, &call->holder, holder)
           != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return NULL;
    }

    return call;
}


void
ngx_iv_metadata_sweep_end(ngx_iv_metadata_op_t *op,
    const ngx_iv_sweep_pass_t *pass, ngx_uint_t release)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_SWEEP_END);
    if (call == NULL) {
        return;
    }

    call->release = release ? 1 : 0;
    call->sweep = ngx_pcalloc(call->pool, sizeof(ngx_iv_sweep_state_t));

    if (call->sweep == NULL
        || ngx_iv_copy_str(call->pool, &call->holder, &pass->holder)
           != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    call->sweep->last = *pass;
    ngx_str_null(&call->sweep->last.holder);

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_sweep_look(ngx_iv_metadata_op_t *op, ngx_msec_t stale)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_SWEEP_LOOK);
    if (call == NULL) {
        return;
    }

    call->ttl = stale;
    call->sweep = ngx_pcalloc(call->pool, sizeof(ngx_iv_sweep_state_t));

    if (call->sweep == NULL) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_sweep_requests(ngx_iv_metadata_op_t *op, ngx_msec_t stale,
    ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_REQUESTS, NULL, stale, limit);
}


ngx_int_t
ngx_iv_metadata_sweep_state(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call)
{
    op->sweep = ngx_palloc(op->pool, sizeof(ngx_iv_sweep_state_t));
    if (op->sweep == NULL) {
        return NGX_ERROR;
    }

    *op->sweep = *call->sweep;

    if (ngx_iv_copy_str(op->pool, &op->sweep->holder,
                        &call->sweep->holder)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_iv_copy_str(op->pool, &op->sweep->last.holder,
                           &call->sweep->last.holder);
}
