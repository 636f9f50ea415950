/*
 * Lists, changes and users: the event loop's side.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_lists.h"


static ngx_iv_mongo_call_t *ngx_iv_metadata_lists(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind);
static void ngx_iv_metadata_lists_post(ngx_iv_metadata_op_t *op,
    ngx_int_t rc);
static ngx_int_t ngx_iv_metadata_copy_list(ngx_pool_t *pool,
    ngx_iv_list_t *dst, const ngx_iv_list_t *src);
static ngx_int_t ngx_iv_metadata_copy_patch(ngx_pool_t *pool,
    ngx_iv_patch_t *dst, const ngx_iv_patch_t *src);
static ngx_int_t ngx_iv_metadata_copy_bulk(ngx_pool_t *pool,
    ngx_iv_bulk_t *dst, const ngx_iv_bulk_t *src);
static ngx_int_t ngx_iv_metadata_copy_ids(ngx_pool_t *pool,
    ngx_iv_bulk_t *dst, u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n);
static ngx_int_t ngx_iv_metadata_found_documents(ngx_pool_t *pool,
    ngx_iv_found_t *dst, const ngx_iv_found_t *src);
static ngx_int_t ngx_iv_metadata_found_users(ngx_pool_t *pool,
    ngx_iv_found_t *dst, const ngx_iv_found_t *src);
static ngx_int_t ngx_iv_metadata_found_stats(ngx_pool_t *pool,
    ngx_iv_found_t *dst, const ngx_iv_found_t *src);


void
ngx_iv_metadata_images(ngx_iv_metadata_op_t *op, const ngx_iv_list_t *list)
{
    ngx_iv_list_t        *copy;
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_LIST);
    if (call == NULL) {
        return;
    }

    copy = &call->lists->list;

    ngx_iv_metadata_lists_post(op, ngx_iv_metadata_copy_list(call->pool, copy,
                                                             list));
}


void
ngx_iv_metadata_get_many(ngx_iv_metadata_op_t *op,
    u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_GET_MANY);
    if (call == NULL) {
        return;
    }

    ngx_iv_metadata_lists_post(op,
                  ngx_iv_metadata_copy_ids(call->pool, &call->lists->bulk, ids,
                                           n));
}


void
ngx_iv_metadata_patch(ngx_iv_metadata_op_t *op, const ngx_iv_patch_t *patch)
{
    ngx_iv_patch_t       *copy;
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_PATCH);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, patch->id, NGX_IV_ID_LEN);
    copy = &call->lists->patch;

    ngx_iv_metadata_lists_post(op,
                               ngx_iv_metadata_copy_patch(call->pool, copy,
                                                          patch));
}


void
ngx_iv_metadata_bulk(ngx_iv_metadata_op_t *op, const ngx_iv_bulk_t *bulk)
{
    ngx_iv_bulk_t        *copy;
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_BULK);
    if (call == NULL) {
        return;
    }

    copy = &call->lists->bulk;

    ngx_iv_metadata_lists_post(op, ngx_iv_metadata_copy_bulk(call->pool, copy,
                                                             bulk));
}


void
ngx_iv_metadata_moderate(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *reason)
{
    ngx_int_t             rc;
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_MODERATE);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);
    rc = NGX_OK;

    if (reason) {
        call->lists->block = 1;
        rc = ngx_iv_copy_str(call->pool, &call->lists->reason,
                             reason);
    }

    ngx_iv_metadata_lists_post(op, rc);
}


void
ngx_iv_metadata_usage(ngx_iv_metadata_op_t *op, const ngx_str_t *owner,
    const ngx_iv_quota_t *quota)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_USAGE);
    if (call == NULL) {
        return;
    }

    call->quota = *quota;

    ngx_iv_metadata_lists_post(op, ngx_iv_copy_str(call->pool,
                                                   &call->owner,
                                                   owner));
}


void
ngx_iv_metadata_stats(ngx_iv_metadata_op_t *op)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_STATS);
    if (call == NULL) {
        return;
    }

    call->lists->now = ngx_iv_now();

    ngx_iv_metadata_lists_post(op, NGX_OK);
}


void
ngx_iv_metadata_users(ngx_iv_metadata_op_t *op, const ngx_str_t *after,
    ngx_uint_t limit)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_USERS_LIST);
    if (call == NULL) {
        return;
    }

    call->limit = limit;

    ngx_iv_metadata_lists_post(op,
                               ngx_iv_copy_str(call->pool,
                                               &call->lists->user.id,
                                               after));
}


void
ngx_iv_metadata_user(ngx_iv_metadata_op_t *op, const ngx_str_t *id)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_USER_GET);
    if (call == NULL) {
        return;
    }

    ngx_iv_metadata_lists_post(op,
                               ngx_iv_copy_str(call->pool,
                                               &call->lists->user.id,
                                               id));
}


void
ngx_iv_metadata_user_patch(ngx_iv_metadata_op_t *op,
    const ngx_iv_user_patch_t *patch)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_lists(op, NGX_IV_MONGO_USER_PATCH);
    if (call == NULL) {
        return;
    }

    call->lists->user = *patch;

    ngx_iv_metadata_lists_post(op,
                               ngx_iv_copy_str(call->pool,
                                               &call->lists->user.id,
                                               &patch->id));
}


/* NULL: the operation is refused already */

static ngx_iv_mongo_call_t *
ngx_iv_metadata_lists(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return NULL;
    }

    call->lists = ngx_pcalloc(call->pool, sizeof(ngx_iv_lists_t));
    if (call->lists == NULL) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return NULL;
    }

    return call;
}


static void
ngx_iv_metadata_lists_post(ngx_iv_metadata_op_t *op, ngx_int_t rc)
{
    if (rc != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


static ngx_int_t
ngx_iv_metadata_copy_list(ngx_pool_t *pool, ngx_iv_list_t *dst,
    const ngx_iv_list_t *src)
{
    *dst = *src;

    dst->limit = ngx_max(ngx_min(src->limit, NGX_IV_LIST_MAX), 1);

    if (ngx_iv_copy_str(pool, &dst->owner, &src->owner) != NGX_OK
        || ngx_iv_copy_str(pool, &dst->type, &src->type) != NGX_OK
        || ngx_iv_copy_str(pool, &dst->q, &src->q) != NGX_OK
        || ngx_iv_copy_str(pool, &dst->after.name, &src->after.name)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_iv_copy_strs(pool, &dst->tags, src->tags, src->ntags);
}


static ngx_int_t
ngx_iv_metadata_copy_patch(ngx_pool_t *pool, ngx_iv_patch_t *dst,
    const ngx_iv_patch_t *src)
{
    *dst = *src;

    if (ngx_iv_copy_str(pool, &dst->owner, &src->owner) != NGX_OK
        || ngx_iv_copy_str(pool, &dst->original_name,
                           &src->original_name)
           != NGX_OK
        || ngx_iv_copy_strs(pool, &dst->tags, src->tags, src->ntags)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_iv_copy_strs(pool, &dst->shared_with, src->shared_with,
                            src->nshared);
}


/* a value that comes twice is meant once */

static ngx_int_t
ngx_iv_metadata_copy_bulk(ngx_pool_t *pool, ngx_iv_bulk_t *dst,
    const ngx_iv_bulk_t *src)
{
    ngx_uint_t   i, k;

    *dst = *src;

    if (ngx_iv_copy_str(pool, &dst->owner, &src->owner) != NGX_OK
        || ngx_iv_metadata_copy_ids(pool, dst, src->ids, src->nids) != NGX_OK
        || ngx_iv_copy_strs(pool, &dst->values, src->values, src->nvalues)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    dst->nvalues = 0;

    for (i = 0; i < src->nvalues; i++) {

        for (k = 0; k < dst->nvalues; k++) {
            if (dst->values[k].len == dst->values[i].len
                && ngx_memcmp(dst->values[k].data, dst->values[i].data,
                              dst->values[i].len)
                   == 0)
            {
                break;
            }
        }

        if (k == dst->nvalues) {
            dst->values[dst->nvalues++] = dst->values[i];
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_copy_ids(ngx_pool_t *pool, ngx_iv_bulk_t *dst,
    u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n)
{
    n = ngx_min(n, NGX_IV_LIST_MAX);

    dst->nids = n;
    dst->ids = ngx_palloc(pool, (n + 1) * NGX_IV_ID_LEN);

    if (dst->ids == NULL) {
        return NGX_ERROR;
    }

    if (n) {
        ngx_memcpy(dst->ids, ids, n * NGX_IV_ID_LEN);
    }

    return NGX_OK;
}


/* what a call found, for its operation */

ngx_int_t
ngx_iv_metadata_found(ngx_iv_metadata_op_t *op, ngx_iv_mongo_call_t *call)
{
    ngx_iv_found_t  *found, *src;

    src = &call->lists->found;

    if (call->kind == NGX_IV_MONGO_PATCH
        || call->kind == NGX_IV_MONGO_MODERATE)
    {
        op->document = ngx_palloc(op->pool, sizeof(ngx_iv_document_t));
        if (op->document == NULL) {
            return NGX_ERROR;
        }

        return ngx_iv_document_copy(op->pool, op->document, &call->document);
    }

    found = ngx_pcalloc(op->pool, sizeof(ngx_iv_found_t));
    if (found == NULL) {
        return NGX_ERROR;
    }

    found->more = src->more;
    found->strange = src->strange;
    found->total = src->total;

    if (ngx_iv_metadata_found_documents(op->pool, found, src) != NGX_OK
        || ngx_iv_metadata_found_users(op->pool, found, src) != NGX_OK
        || ngx_iv_metadata_found_stats(op->pool, found, src) != NGX_OK)
    {
        return NGX_ERROR;
    }

    op->found = found;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_found_documents(ngx_pool_t *pool, ngx_iv_found_t *dst,
    const ngx_iv_found_t *src)
{
    ngx_uint_t   i;

    if (src->ndocuments) {
        dst->documents = ngx_palloc(pool, src->ndocuments
                                          * sizeof(ngx_iv_document_t));
        if (dst->documents == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < src->ndocuments; i++) {
            if (ngx_iv_document_copy(pool, &dst->documents[i],
                                     &src->documents[i])
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        dst->ndocuments = src->ndocuments;
    }

    if (src->ncodes) {
        dst->codes = ngx_palloc(pool, src->ncodes * sizeof(ngx_int_t));
        if (dst->codes == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(dst->codes, src->codes, src->ncodes * sizeof(ngx_int_t));
        dst->ncodes = src->ncodes;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_found_users(ngx_pool_t *pool, ngx_iv_found_t *dst,
    const ngx_iv_found_t *src)
{
    ngx_uint_t   i;

    if (ngx_iv_copy_str(pool, &dst->next, &src->next) != NGX_OK) {
        return NGX_ERROR;
    }

    if (src->nusers == 0) {
        return NGX_OK;
    }

    dst->users = ngx_palloc(pool, src->nusers * sizeof(ngx_iv_user_t));
    if (dst->users == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < src->nusers; i++) {
        dst->users[i] = src->users[i];

        if (ngx_iv_copy_str(pool, &dst->users[i].id,
                            &src->users[i].id)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    dst->nusers = src->nusers;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_found_stats(ngx_pool_t *pool, ngx_iv_found_t *dst,
    const ngx_iv_found_t *src)
{
    ngx_uint_t   i;

    if (src->stats == NULL) {
        return NGX_OK;
    }

    dst->stats = ngx_palloc(pool, sizeof(ngx_iv_stats_t));
    if (dst->stats == NULL) {
        return NGX_ERROR;
    }

    *dst->stats = *src->stats;

    for (i = 0; i < src->stats->ntypes; i++) {
        if (ngx_iv_copy_str(pool, &dst->stats->types[i].name,
                            &src->stats->types[i].name)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
