/*
 * What the sweep is about to do, counted by the very filters that it works
 * with; records of requests that are dead.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_metadata_sweep.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_query.h"


#define NGX_IV_LOOK_PART  4         /* of the timeout, for one kind */


static ngx_int_t ngx_iv_look_state(ngx_iv_mongo_ctx_t *ctx);
static ngx_int_t ngx_iv_look_due(ngx_iv_mongo_ctx_t *ctx, ngx_iv_due_e due);
static ngx_int_t ngx_iv_look_count(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *collection, const bson_t *filter, const char *by,
    ngx_iv_due_t *due);
static bson_t *ngx_iv_look_dead(const ngx_iv_mongo_call_t *call);


void
ngx_iv_mongo_sweep_look(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_uint_t  i;

    if (ngx_iv_look_state(ctx) != NGX_OK) {
        return;
    }

    for (i = 0; i < NGX_IV_DUE_LAST; i++) {
        if (ngx_iv_look_due(ctx, i) != NGX_OK) {
            return;
        }
    }
}


/* with the server's time beside it, which ages are told by */

static ngx_int_t
ngx_iv_look_state(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t           *pipeline, *opts;
    ngx_int_t         rc;
    bson_error_t      error;
    const bson_t     *doc;
    mongoc_cursor_t  *cursor;

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$match", "{",
                                "_id", BCON_UTF8("sweep"),
                            "}", "}",
                            "{", "$set", "{", "now", BCON_UTF8("$$NOW"), "}",
                            "}",
                        "]");

    opts = BCON_NEW("maxTimeMS", BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    cursor = mongoc_collection_aggregate(ctx->collection, MONGOC_QUERY_NONE,
                                         pipeline, opts, NULL);
    rc = NGX_OK;

    if (mongoc_cursor_next(cursor, &doc)) {
        rc = ngx_iv_mongo_sweep_parse(ctx, doc);

        if (rc != NGX_OK) {
            ngx_iv_mongo_internal(ctx, "no memory for the state of the sweep");
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(pipeline);

    return rc;
}


static ngx_int_t
ngx_iv_look_due(ngx_iv_mongo_ctx_t *ctx, ngx_iv_due_e due)
{
    bson_t               *filter;
    ngx_int_t             rc;
    const char           *by;
    mongoc_collection_t  *collection;
    ngx_iv_mongo_call_t   as;

    static const ngx_iv_mongo_kind_e  kinds[] = {
        NGX_IV_MONGO_SWEEP_STALE,
        NGX_IV_MONGO_SWEEP_EXPIRED,
        NGX_IV_MONGO_SWEEP_FIRST,
        NGX_IV_MONGO_SWEEP_SECOND,
        NGX_IV_MONGO_SWEEP_STAGING,
        NGX_IV_MONGO_SWEEP_UPLOADS
    };

    ngx_memzero(&as, sizeof(ngx_iv_mongo_call_t));

    as.ttl = ctx->call->ttl;

    if (due == NGX_IV_DUE_REQUESTS) {
        filter = ngx_iv_look_dead(&as);
        by = "updatedAt";

        collection = mongoc_client_get_collection(ctx->client, ctx->database,
                                                  NGX_IV_MONGO_REQUESTS);

    } else {
        as.kind = kinds[due];
        filter = ngx_iv_query_filter(&as);
        by = ngx_iv_query_order(&as);

        collection = mongoc_client_get_collection(ctx->client, ctx->database,
                                                  NGX_IV_MONGO_IMAGES);
    }

    rc = ngx_iv_look_count(ctx, collection, filter, by,
                           &ctx->call->sweep->due[due]);

    mongoc_collection_destroy(collection);
    bson_destroy(filter);

    return rc;
}


/* sorted as the index has them: it ends with the last that is counted */

static ngx_int_t
ngx_iv_look_count(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *collection,
    const bson_t *filter, const char *by, ngx_iv_due_t *due)
{
    char              path[64];
    bson_t           *pipeline, *opts;
    ngx_int_t         rc;
    bson_iter_t       it;
    bson_error_t      error;
    const bson_t     *doc;
    mongoc_cursor_t  *cursor;

    (void) ngx_snprintf((u_char *) path, sizeof(path), "$%s%Z", by);

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$match", BCON_DOCUMENT(filter), "}",
                            "{", "$sort", "{", by, BCON_INT32(1), "}", "}",
                            "{", "$limit", BCON_INT64(NGX_IV_SWEEP_COUNT), "}",
                            "{", "$group", "{",
                                "_id", BCON_NULL,
                                "n", "{", "$sum", BCON_INT64(1), "}",
                                "oldest", "{", "$min", BCON_UTF8(path), "}",
                            "}", "}",
                        "]");

    opts = BCON_NEW("maxTimeMS",
                    BCON_INT64((int64_t) ngx_max(ngx_iv_mongo_max(ctx)
                                                 / NGX_IV_LOOK_PART, 1)));

    cursor = mongoc_collection_aggregate(collection, MONGOC_QUERY_NONE,
                                         pipeline, opts, NULL);
    rc = NGX_OK;

    if (mongoc_cursor_next(cursor, &doc)) {

        if (bson_iter_init_find(&it, doc, "n")) {
            due->n = (ngx_uint_t) bson_iter_as_int64(&it);
        }

        if (bson_iter_init_find(&it, doc, "oldest")
            && BSON_ITER_HOLDS_DATE_TIME(&it))
        {
            due->oldest = bson_iter_date_time(&it);
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(pipeline);

    return rc;
}


/* what a repetition would take over, see ngx_iv_request_record.c */

static bson_t *
ngx_iv_look_dead(const ngx_iv_mongo_call_t *call)
{
    return BCON_NEW("status", BCON_INT32(0),
                    "updatedAt", "{", "$type", BCON_UTF8("date"), "}",
                    "$expr", "{", "$lt", "[",
                        BCON_UTF8("$updatedAt"),
                        "{", "$subtract", "[",
                            BCON_UTF8("$$NOW"),
                            BCON_INT64((int64_t) call->ttl),
                        "]", "}",
                    "]", "}");
}


/* deletes know no limit: first the ids, then the same condition once more */

void
ngx_iv_mongo_sweep_requests(ngx_iv_mongo_ctx_t *ctx)
{
    char                  buf[16];
    bool                  ok;
    bson_t               *filter, *among, *opts, reply, sub, in;
    int64_t               n;
    uint32_t              i;
    const char           *index;
    bson_iter_t           it;
    bson_error_t          error;
    const bson_t         *doc;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    i = 0;

    filter = ngx_iv_look_dead(call);
    opts = BCON_NEW("limit", BCON_INT64((int64_t) call->limit),
                    "sort", "{", "updatedAt", BCON_INT32(1), "}",
                    "projection", "{", "_id", BCON_INT32(1), "}",
                    "maxTimeMS",
                    BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    among = ngx_iv_look_dead(call);
    (void) bson_append_document_begin(among, "_id", -1, &sub);
    (void) ngx_iv_bson_array_begin(&sub, "$in", -1, &in);

    while (mongoc_cursor_next(cursor, &doc)) {

        if (bson_iter_init_find(&it, doc, "_id")) {
            (void) bson_uint32_to_string(i++, &index, buf, sizeof(buf));
            (void) bson_append_value(&in, index, -1, bson_iter_value(&it));
        }
    }

    (void) bson_append_array_end(&sub, &in);
    (void) bson_append_document_end(among, &sub);

    if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
        i = 0;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);

    if (i) {
        ok = mongoc_collection_delete_many(ctx->collection, among, NULL,
                                           &reply, &error);

        n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "deletedCount");

        if (n > 0) {
            call->count = (ngx_uint_t) n;
        }

        bson_destroy(&reply);
    }

    bson_destroy(among);
    bson_destroy(filter);
}
