/*
 * Changes of images that are ready: PATCH, bulk, moderation.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_list_query.h"


static ngx_int_t ngx_iv_change_one(ngx_iv_mongo_ctx_t *ctx, bson_t *filter,
    bson_t *update);
static ngx_int_t ngx_iv_change_parse(ngx_iv_mongo_ctx_t *ctx,
    const bson_iter_t *it);
static void ngx_iv_change_bulk_codes(ngx_iv_mongo_ctx_t *ctx);
static ngx_uint_t ngx_iv_change_owned(const ngx_iv_document_t *doc,
    const ngx_str_t *owner);


void
ngx_iv_mongo_patch(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_iv_patch_t       *patch;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    patch = &call->lists->patch;

    rc = ngx_iv_change_one(ctx, ngx_iv_change_patch_filter(patch),
                           ngx_iv_change_patch_update(patch));

    if (rc != NGX_DECLINED) {
        return;
    }

    call->code = NGX_IV_NOT_FOUND;

    if (patch->if_match == 0) {
        return;
    }

    /* whatever its updatedAt is: is there such an image? */

    patch->if_match = 0;
    rc = ngx_iv_mongo_exists(ctx, ngx_iv_change_patch_filter(patch));

    if (rc == NGX_OK) {
        call->code = NGX_IV_PRECONDITION_FAILED;
    }
}


void
ngx_iv_mongo_moderate(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t         rc;
    ngx_iv_lists_t   *lists;

    lists = ctx->call->lists;

    rc = ngx_iv_change_one(ctx, ngx_iv_change_moderate_filter(ctx->call->id),
                 ngx_iv_change_moderate_update(lists->block ? &lists->reason
                                                            : NULL));

    if (rc == NGX_DECLINED) {
        ctx->call->code = NGX_IV_NOT_FOUND;
    }
}


/* NGX_OK; NGX_DECLINED: none matched; NGX_ERROR: the call has failed.  Frees
 * filter and update */

static ngx_int_t
ngx_iv_change_one(ngx_iv_mongo_ctx_t *ctx, bson_t *filter, bson_t *update)
{
    bool                            ok;
    bson_t                          reply;
    ngx_int_t                       rc;
    bson_iter_t                     it;
    bson_error_t                    error;
    mongoc_find_and_modify_opts_t  *opts;

    if (filter == NULL || update == NULL) {
        bson_destroy(filter);
        bson_destroy(update);
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return NGX_ERROR;
    }

    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {
        rc = BSON_ITER_HOLDS_DOCUMENT(&it) ? ngx_iv_change_parse(ctx, &it)
                                           : NGX_DECLINED;
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


static ngx_int_t
ngx_iv_change_parse(ngx_iv_mongo_ctx_t *ctx, const bson_iter_t *it)
{
    bson_t          doc;
    uint32_t        len;
    ngx_int_t       rc;
    const char     *field;
    const uint8_t  *data;

    bson_iter_document(it, &len, &data);

    if (!bson_init_static(&doc, data, len)) {
        ngx_iv_mongo_internal(ctx, "the server's answer has no document");
        return NGX_ERROR;
    }

    rc = ngx_iv_document_parse(ctx->call->pool, &doc, &ctx->call->document,
                               &field);

    if (rc == NGX_OK) {
        ctx->call->count = 1;
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        ngx_iv_mongo_invalid(ctx, &doc, field);

    } else {
        ngx_iv_mongo_internal(ctx, "no memory for a document");
    }

    return NGX_ERROR;
}


/* the primary's newest state, which the update looked at as well */

ngx_int_t
ngx_iv_mongo_exists(ngx_iv_mongo_ctx_t *ctx, bson_t *filter)
{
    bson_t           *opts;
    ngx_int_t         rc;
    bson_error_t      error;
    const bson_t     *doc;
    mongoc_cursor_t  *cursor;

    if (filter == NULL) {
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return NGX_ERROR;
    }

    opts = BCON_NEW("limit", BCON_INT64(1),
                    "readConcern", "{", "level", BCON_UTF8("local"), "}",
                    "projection", "{", "_id", BCON_INT32(1), "}");

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &doc)) {
        rc = NGX_OK;

    } else if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
        ctx->call->unknown = 0;
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return rc;
}


/*
 * All ids by one update: a majority has to acknowledge it only once.  What
 * became of each of them is read from the documents afterwards.
 */

void
ngx_iv_mongo_bulk(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *filter, *update, reply;
    int64_t               n;
    bson_error_t          error;
    ngx_iv_bulk_t        *bulk;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    bulk = &call->lists->bulk;

    filter = ngx_iv_change_bulk_filter(bulk);
    update = ngx_iv_change_bulk_update(bulk);

    if (filter == NULL || update == NULL) {
        bson_destroy(filter);
        bson_destroy(update);
        call->code = NGX_IV_BAD_PARAMETER;
        return;
    }

    ok = mongoc_collection_update_many(ctx->collection, filter, update, NULL,
                                       &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "modifiedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    if (n == NGX_ERROR) {

        /* update_many is never repeated by the driver, and some of it may
         * stand whatever the error is */

        call->unknown = 1;
        return;
    }

    call->count = n;

    ngx_iv_mongo_get_many(ctx);

    if (call->code == NGX_OK) {
        ngx_iv_change_bulk_codes(ctx);

    } else {
        call->unknown = 1;
    }
}


static void
ngx_iv_change_bulk_codes(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_uint_t          i, k;
    ngx_iv_bulk_t      *bulk;
    ngx_iv_found_t     *found;
    ngx_iv_document_t  *doc;

    bulk = &ctx->call->lists->bulk;
    found = &ctx->call->lists->found;

    found->codes = ngx_palloc(ctx->call->pool,
                              (bulk->nids + 1) * sizeof(ngx_int_t));
    if (found->codes == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return;
    }

    found->ncodes = bulk->nids;

    for (i = 0; i < bulk->nids; i++) {
        found->codes[i] = NGX_IV_NOT_FOUND;

        for (k = 0; k < found->ndocuments; k++) {
            doc = &found->documents[k];

            if (ngx_memcmp(doc->id, bulk->ids[i], NGX_IV_ID_LEN) == 0
                && doc->status == NGX_IV_STATUS_READY
                && doc->deleted_at == 0
                && ngx_iv_change_owned(doc, &bulk->owner))
            {
                found->codes[i] = ngx_iv_change_bulk_judge(bulk, doc);
                break;
            }
        }
    }
}


/* an ObjectId's digits in either case, as the filter took them */

static ngx_uint_t
ngx_iv_change_owned(const ngx_iv_document_t *doc, const ngx_str_t *owner)
{
    u_char   a[NGX_IV_ID_LEN], b[NGX_IV_ID_LEN];

    if (owner->len == 0) {
        return 1;
    }

    if (doc->owner.len != owner->len) {
        return 0;
    }

    if (owner->len == 2 * NGX_IV_ID_LEN
        && ngx_iv_unhex(a, owner->data, NGX_IV_ID_LEN) == NGX_OK
        && ngx_iv_unhex(b, doc->owner.data, NGX_IV_ID_LEN) == NGX_OK)
    {
        return ngx_memcmp(a, b, NGX_IV_ID_LEN) == 0;
    }

    return ngx_memcmp(doc->owner.data, owner->data, owner->len) == 0;
}
