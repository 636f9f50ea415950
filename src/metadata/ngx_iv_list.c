/*
 * Lists of images.  One document more than wanted is asked for: whether there
 * is another page is known without a count.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_list_query.h"


static ngx_uint_t ngx_iv_list_try(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t hint);
static ngx_uint_t ngx_iv_list_read(ngx_iv_mongo_ctx_t *ctx,
    mongoc_cursor_t *cursor, ngx_uint_t limit);
static void ngx_iv_list_total(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t seen,
    ngx_uint_t hint);


/*
 * The index that is hinted at may still be in the making, on a large collection
 * for minutes: until then the server finds its own way.
 */

void
ngx_iv_mongo_list(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_uint_t            seen, hint;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    call->lists->found.total = -1;
    hint = 1;

    seen = ngx_iv_list_try(ctx, hint);

    if (call->code == NGX_IV_INTERNAL && seen == 0) {
        call->code = NGX_OK;
        call->message[0] = '\0';
        hint = 0;

        seen = ngx_iv_list_try(ctx, hint);
    }

    if (call->code == NGX_OK && call->lists->list.want_total) {
        ngx_iv_list_total(ctx, seen, hint);
    }
}


static ngx_uint_t
ngx_iv_list_try(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t hint)
{
    bson_t               *filter, *opts;
    ngx_uint_t            seen;
    ngx_iv_list_t        *list;
    mongoc_cursor_t      *cursor;

    list = &ctx->call->lists->list;

    filter = ngx_iv_list_filter(list, 1);

    if (filter == NULL) {
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return 0;
    }

    opts = ngx_iv_list_options(list, ngx_iv_mongo_max(ctx), hint);
    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    seen = ngx_iv_list_read(ctx, cursor, list->limit);

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return seen;
}


/* the server should give up before the socket does */

ngx_msec_t
ngx_iv_mongo_max(ngx_iv_mongo_ctx_t *ctx)
{
    return ngx_max(ctx->timeout - ctx->timeout / 8, 1);
}


/* documents that came, at most limit + 1, the last of which only tells that
 * there are more */

static ngx_uint_t
ngx_iv_list_read(ngx_iv_mongo_ctx_t *ctx, mongoc_cursor_t *cursor,
    ngx_uint_t limit)
{
    ngx_int_t             rc;
    ngx_uint_t            seen;
    const char           *field;
    bson_error_t          error;
    const bson_t         *doc;
    ngx_iv_found_t       *found;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    found = &call->lists->found;
    seen = 0;

    found->documents = ngx_palloc(call->pool,
                                  (limit + 1) * sizeof(ngx_iv_document_t));
    if (found->documents == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return 0;
    }

    while (mongoc_cursor_next(cursor, &doc)) {

        if (seen++ == limit) {
            found->more = 1;
            break;
        }

        rc = ngx_iv_document_parse(call->pool, doc,
                                   &found->documents[found->ndocuments],
                                   &field);
        if (rc == NGX_ERROR) {
            ngx_iv_mongo_internal(ctx, "no memory for a list");
            return seen;
        }

        if (rc == NGX_DECLINED) {

            /* said in the log; the others are shown all the same */

            ngx_iv_mongo_invalid(ctx, doc, field);
            call->code = NGX_OK;
            found->strange++;
            continue;
        }

        found->ndocuments++;
    }

    if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
    }

    return seen;
}


/* a page that is the last tells it itself */

static void
ngx_iv_list_total(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t seen, ngx_uint_t with)
{
    bson_t           *filter, *options, *opts, hint, reply;
    int64_t           n;
    bson_iter_t       it;
    const uint8_t    *data;
    uint32_t          len;
    bson_error_t      error;
    ngx_iv_list_t    *list;
    ngx_iv_found_t   *found;

    list = &ctx->call->lists->list;
    found = &ctx->call->lists->found;

    if (!found->more && !list->has_after && (seen || list->skip == 0)) {
        found->total = (int64_t) (list->skip + seen);
        return;
    }

    filter = ngx_iv_list_filter(list, 0);

    if (filter == NULL) {
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return;
    }

    options = ngx_iv_list_options(list, 0, with);
    opts = BCON_NEW("maxTimeMS",
                    BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    if (bson_iter_init_find(&it, options, "hint")) {
        bson_iter_document(&it, &len, &data);

        if (bson_init_static(&hint, data, len)) {
            (void) bson_append_document(opts, "hint", -1, &hint);
        }
    }

    n = mongoc_collection_count_documents(ctx->collection, filter, opts, NULL,
                                          &reply, &error);

    if (n < 0) {
        ngx_iv_mongo_failed(ctx, &error, &reply);

    } else {
        found->total = n;
    }

    bson_destroy(&reply);
    bson_destroy(opts);
    bson_destroy(options);
    bson_destroy(filter);
}


void
ngx_iv_mongo_get_many(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t            filter;
    ngx_iv_bulk_t    *bulk;
    mongoc_cursor_t  *cursor;

    bulk = &ctx->call->lists->bulk;

    bson_init(&filter);
    ngx_iv_list_append_ids(&filter, bulk->ids, bulk->nids);

    cursor = mongoc_collection_find_with_opts(ctx->collection, &filter, NULL,
                                              NULL);

    (void) ngx_iv_list_read(ctx, cursor, bulk->nids);

    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
}
