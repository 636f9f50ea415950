#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_document.h"


static ngx_iv_mongo_call_t *ngx_iv_metadata_quota(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const ngx_str_t *owner, const u_char *id);
static ngx_iv_mongo_call_t *ngx_iv_metadata_request(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const ngx_str_t *owner, const ngx_str_t *key);


void
ngx_iv_metadata_multipart(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *upload_id)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_MULTIPART);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);

    if (ngx_iv_copy_str(call->pool, &call->upload_id, upload_id)
        != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_quota_reserve(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN], int64_t already,
    int64_t n, const ngx_iv_quota_t *quota)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_quota(op, NGX_IV_MONGO_QUOTA_RESERVE, owner, id);
    if (call == NULL) {
        return;
    }

    call->already = already;
    call->size = n;
    call->quota = *quota;

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_quota_settle(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN])
{
    if (ngx_iv_metadata_quota(op, NGX_IV_MONGO_QUOTA_SETTLE, owner, id)) {
        ngx_iv_metadata_post(op);
    }
}


void
ngx_iv_metadata_quota_release(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN])
{
    if (ngx_iv_metadata_quota(op, NGX_IV_MONGO_QUOTA_RELEASE, owner, id)) {
        ngx_iv_metadata_post(op);
    }
}


void
ngx_iv_metadata_sweep_stale(ngx_iv_metadata_op_t *op, ngx_msec_t stale,
    ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_STALE, NULL, stale, limit);
}


void
ngx_iv_metadata_sweep_quota(ngx_iv_metadata_op_t *op, ngx_msec_t stale,
    ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_QUOTA_SWEEP, NULL, stale, limit);
}


static ngx_iv_mongo_call_t *
ngx_iv_metadata_quota(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const ngx_str_t *owner, const u_char *id)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return NULL;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);

    if (ngx_iv_copy_str(call->pool, &call->owner, owner) != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return NULL;
    }

    return call;
}


void
ngx_iv_metadata_request_begin(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key,
    const u_char fingerprint[NGX_IV_SHA256_LEN], ngx_msec_t stale,
    u_char nonce[NGX_IV_REQUEST_NONCE])
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_request(op, NGX_IV_MONGO_REQUEST_BEGIN, owner, key);
    if (call == NULL) {
        return;
    }

    if (ngx_iv_random(nonce, NGX_IV_REQUEST_NONCE) != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_memcpy(call->fingerprint, fingerprint, NGX_IV_SHA256_LEN);
    ngx_memcpy(call->nonce, nonce, NGX_IV_REQUEST_NONCE);
    call->ttl = stale;

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_request_alive(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key)
{
    if (ngx_iv_metadata_request(op, NGX_IV_MONGO_REQUEST_ALIVE, owner, key)) {
        ngx_iv_metadata_post(op);
    }
}


void
ngx_iv_metadata_request_end(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key, ngx_uint_t status,
    const ngx_iv_outcome_t *outcomes, ngx_uint_t n)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_request(op, NGX_IV_MONGO_REQUEST_END, owner, key);
    if (call == NULL) {
        return;
    }

    call->status = status;

    if (ngx_iv_metadata_outcomes(call->pool, &call->outcomes,
                                 &call->noutcomes, outcomes, n)
        != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_request_free(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key,
    const u_char nonce[NGX_IV_REQUEST_NONCE])
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_request(op, NGX_IV_MONGO_REQUEST_FREE, owner, key);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->nonce, nonce, NGX_IV_REQUEST_NONCE);

    ngx_iv_metadata_post(op);
}


static ngx_iv_mongo_call_t *
ngx_iv_metadata_request(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const ngx_str_t *owner, const ngx_str_t *key)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return NULL;
    }

    if (ngx_iv_copy_str(call->pool, &call->owner, owner) != NGX_OK
        || ngx_iv_copy_str(call->pool, &call->key, key) != NGX_OK)
    {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return NULL;
    }

    return call;
}


ngx_int_t
ngx_iv_metadata_outcomes(ngx_pool_t *pool, ngx_iv_outcome_t **dst,
    ngx_uint_t *ndst, const ngx_iv_outcome_t *src, ngx_uint_t n)
{
    ngx_uint_t         i;
    ngx_iv_outcome_t  *list;

    *dst = NULL;
    *ndst = 0;

    if (n == 0) {
        return NGX_OK;
    }

    list = ngx_palloc(pool, n * sizeof(ngx_iv_outcome_t));
    if (list == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        list[i] = src[i];

        if (ngx_iv_copy_str(pool, &list[i].name, &src[i].name)
            != NGX_OK
            || ngx_iv_copy_str(pool, &list[i].message,
                               &src[i].message)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    *dst = list;
    *ndst = n;

    return NGX_OK;
}
