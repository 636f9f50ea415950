#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_query.h"


/* ms before the first repetition */
#define NGX_IV_MONGO_PAUSE  50


static ngx_int_t ngx_iv_mongo_find_one(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_document_t *doc);
static void ngx_iv_mongo_ready_once(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_undecided(ngx_iv_mongo_ctx_t *ctx);
static int64_t ngx_iv_mongo_update(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *opts);
static ngx_uint_t ngx_iv_mongo_index_conflict(ngx_iv_mongo_ctx_t *ctx,
    const bson_error_t *error);


void
ngx_iv_mongo_ping(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t                command, reply;
    bson_error_t          error;
    mongoc_read_prefs_t  *prefs;

    prefs = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);

    bson_init(&command);
    BSON_APPEND_INT32(&command, "ping", 1);

    ok = mongoc_client_command_simple(ctx->client, ctx->database, &command,
                                      prefs, &reply, &error);
    if (!ok) {
        ngx_iv_mongo_failed(ctx, &error, &reply);
    }

    bson_destroy(&reply);
    bson_destroy(&command);
    mongoc_read_prefs_destroy(prefs);
}


void
ngx_iv_mongo_get(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_iv_mongo_find_one(ctx, &ctx->call->document);

    if (rc == NGX_DECLINED) {
        ctx->call->code = NGX_IV_NOT_FOUND;
    }
}


/* NGX_OK, NGX_DECLINED: none; NGX_ERROR: the call has failed */

static ngx_int_t
ngx_iv_mongo_find_one(ngx_iv_mongo_ctx_t *ctx, ngx_iv_document_t *doc)
{
    bson_t           *filter, *opts;
    ngx_int_t         rc;
    const char       *field;
    bson_oid_t        oid;
    bson_error_t      error;
    const bson_t     *found;
    mongoc_cursor_t  *cursor;

    bson_oid_init_from_data(&oid, ctx->call->id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    opts = BCON_NEW("limit", BCON_INT64(1));

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &found)) {
        rc = ngx_iv_document_parse(ctx->call->pool, found, doc, &field);

        if (rc == NGX_DECLINED) {
            ngx_iv_mongo_invalid(ctx, found, field);
            rc = NGX_ERROR;

        } else if (rc == NGX_ERROR) {
            ngx_iv_mongo_internal(ctx, "no memory for a document");
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return rc;
}


/*
 * An update with upsert: a repeated insert changes nothing, and the server's
 * clock sets updatedAt.
 */

void
ngx_iv_mongo_insert(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t  *opts;

    opts = BCON_NEW("upsert", BCON_BOOL(true));

    if (ngx_iv_mongo_update(ctx, opts) != NGX_ERROR) {
        ctx->call->count = 1;

    } else {
        ctx->call->unknown |= ctx->call->unsure;
    }

    bson_destroy(opts);
}


void
ngx_iv_mongo_change(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t  n;

    n = ngx_iv_mongo_update(ctx, NULL);

    if (n == 0) {
        ctx->call->code = NGX_IV_CONFLICT;

    } else if (n > 0) {
        ctx->call->count = 1;
    }
}


/*
 * An election should not cost an upload, whose bytes are all there: within the
 * timeout the change is asked for again.  A repeated one finds the document
 * ready already.
 */

void
ngx_iv_mongo_ready(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               end;
    ngx_msec_t            pause;
    ngx_uint_t            unknown;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    end = bson_get_monotonic_time() + (int64_t) ctx->timeout * 1000;
    pause = NGX_IV_MONGO_PAUSE;
    unknown = call->unsure;

    for ( ;; ) {
        ngx_iv_mongo_ready_once(ctx);

        if (call->code != NGX_IV_METADATA_UNAVAILABLE) {
            return;
        }

        /* an earlier try may have been applied, whatever this one says */

        unknown |= call->unknown;
        call->unknown = unknown;

        if (bson_get_monotonic_time() + (int64_t) pause * 1000 >= end) {
            return;
        }

        ngx_msleep(pause);
        pause *= 2;

        call->code = NGX_OK;
        call->unknown = 0;
        call->down = 0;
        call->count = 0;
        call->message[0] = '\0';
    }
}


static void
ngx_iv_mongo_ready_once(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               n;
    ngx_int_t             rc;
    ngx_iv_document_t     doc;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    n = ngx_iv_mongo_update(ctx, NULL);

    if (n != 0) {
        call->count = (n > 0);
        return;
    }

    rc = ngx_iv_mongo_find_one(ctx, &doc);

    if (rc == NGX_DECLINED) {
        call->code = NGX_IV_NOT_FOUND;
        return;
    }

    if (rc == NGX_ERROR) {
        call->unknown = 1;
        return;
    }

    if (doc.status == NGX_IV_STATUS_UPLOADING) {
        ngx_iv_mongo_undecided(ctx);
        return;
    }

    if (doc.status != NGX_IV_STATUS_READY
        || doc.size != call->document.size
        || !doc.has_checksums
        || ngx_memcmp(doc.sha256, call->document.sha256, NGX_IV_SHA256_LEN)
           != 0)
    {
        call->code = NGX_IV_CONFLICT;
    }
}


void
ngx_iv_mongo_fail(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               n;
    ngx_int_t             rc;
    ngx_iv_document_t     doc;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    n = ngx_iv_mongo_update(ctx, NULL);

    if (n != 0) {
        call->count = (n > 0);
        return;
    }

    rc = ngx_iv_mongo_find_one(ctx, &doc);

    if (rc == NGX_DECLINED) {
        call->code = NGX_IV_NOT_FOUND;

    } else if (rc == NGX_ERROR) {
        call->unknown = 1;

    } else if (doc.status == NGX_IV_STATUS_UPLOADING) {
        ngx_iv_mongo_undecided(ctx);

    } else if (doc.status != NGX_IV_STATUS_ERROR) {
        call->code = NGX_IV_CONFLICT;
    }
}


/*
 * The primary's newest state is another than the one a majority has: an
 * earlier change is on its way and may still be rolled back.
 */

static void
ngx_iv_mongo_undecided(ngx_iv_mongo_ctx_t *ctx)
{
    ctx->call->code = NGX_IV_METADATA_UNAVAILABLE;
    ctx->call->unknown = 1;

    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN,
                        "an earlier change has not reached a majority yet%Z");
}


/* documents matched, NGX_ERROR: the call has failed */

static int64_t
ngx_iv_mongo_update(ngx_iv_mongo_ctx_t *ctx, const bson_t *opts)
{
    bool           ok;
    bson_t        *filter, *update, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_query_filter(ctx->call);
    update = ngx_iv_query_update(ctx->call);

    if (update == NULL) {
        ngx_iv_mongo_internal(ctx, "the document cannot be written as BSON");
        bson_destroy(filter);
        return NGX_ERROR;
    }

    ok = mongoc_collection_update_one(ctx->collection, filter, update, opts,
                                      &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return n;
}


/* the number in `field` of the reply, NGX_ERROR: the call has failed */

int64_t
ngx_iv_mongo_updated(ngx_iv_mongo_ctx_t *ctx, bool ok, const bson_t *reply,
    const bson_error_t *error, const char *field)
{
    bson_iter_t   it, el;
    bson_error_t  concern;

    if (!ok) {
        ngx_iv_mongo_failed(ctx, error, reply);
        return NGX_ERROR;
    }

    if (bson_iter_init_find(&it, reply, "writeConcernErrors")
        && BSON_ITER_HOLDS_ARRAY(&it)
        && bson_iter_recurse(&it, &el)
        && bson_iter_next(&el))
    {
        bson_set_error(&concern, MONGOC_ERROR_WRITE_CONCERN, 64, "%s",
                       "the change did not reach a majority in time");
        ngx_iv_mongo_failed(ctx, &concern, NULL);
        return NGX_ERROR;
    }

    if (!bson_iter_init_find(&it, reply, field)) {
        ngx_iv_mongo_internal(ctx, "the server's answer has no count");
        return NGX_ERROR;
    }

    return bson_iter_as_int64(&it);
}


ngx_int_t
ngx_iv_mongo_modified(ngx_iv_mongo_ctx_t *ctx, bool ok, const bson_t *reply,
    const bson_error_t *error, bson_iter_t *it)
{
    bson_error_t  concern;

    if (!ok) {
        ngx_iv_mongo_failed(ctx, error, reply);
        return NGX_ERROR;
    }

    if (bson_iter_init_find(it, reply, "writeConcernError")) {
        bson_set_error(&concern, MONGOC_ERROR_WRITE_CONCERN, 64, "%s",
                       "the change did not reach a majority in time");
        ngx_iv_mongo_failed(ctx, &concern, NULL);
        return NGX_ERROR;
    }

    if (!bson_iter_init_find(it, reply, "value")) {
        ngx_iv_mongo_internal(ctx, "the server's answer has no document");
        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_iv_mongo_remove(ngx_iv_mongo_ctx_t *ctx)
{
    bool           ok;
    bson_t        *filter, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_query_filter(ctx->call);

    ok = mongoc_collection_delete_one(ctx->collection, filter, NULL, &reply,
                                      &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "deletedCount");

    if (n == 0) {
        ctx->call->code = NGX_IV_CONFLICT;

    } else if (n > 0) {
        ctx->call->count = 1;
    }

    bson_destroy(&reply);
    bson_destroy(filter);
}


void
ngx_iv_mongo_refs(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t               *filter, *opts;
    ngx_int_t             rc;
    const char           *field;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    call->refs = ngx_pcalloc(call->pool,
                             call->limit * sizeof(ngx_iv_metadata_ref_t));
    if (call->refs == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return;
    }

    filter = ngx_iv_query_filter(call);
    opts = ngx_iv_query_list(call);

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    while (call->nrefs < call->limit && mongoc_cursor_next(cursor, &found)) {

        rc = ngx_iv_document_parse_ref(call->pool, found,
                                       &call->refs[call->nrefs], &field);
        if (rc == NGX_ERROR) {
            ngx_iv_mongo_internal(ctx, "no memory for a list");
            break;
        }

        if (rc == NGX_OK) {
            call->nrefs++;
        }
    }

    if (call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &found))
    {
        ngx_iv_mongo_failed(ctx, &error, found);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);
}


/* updates know no limit: first the ids, then the same condition once more */

void
ngx_iv_mongo_sweep_stale(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *filter, *update, reply;
    int64_t               n;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    ngx_iv_mongo_refs(ctx);

    if (call->code != NGX_OK || call->nrefs == 0) {
        return;
    }

    filter = ngx_iv_query_filter(call);
    ngx_iv_query_among(filter, call);
    update = ngx_iv_query_update(call);

    ok = mongoc_collection_update_many(ctx->collection, filter, update, NULL,
                                       &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "modifiedCount");

    if (n > 0) {
        call->count = n;
    }

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
}


/* one by one: a conflict over one index must not cost the others */

void
ngx_iv_mongo_indexes(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t      *command;
    ngx_uint_t   i;

    for (i = 0; ; i++) {

        command = ngx_iv_query_index(NGX_IV_MONGO_IMAGES, i);
        if (command == NULL) {
            break;
        }

        if (!ngx_iv_mongo_index(ctx, command)) {
            return;
        }
    }

    /* a day: what an Idempotency-Key is good for */

    command = BCON_NEW("createIndexes", BCON_UTF8(NGX_IV_MONGO_REQUESTS),
                       "indexes", "[", "{",
                           "key", "{", "updatedAt", BCON_INT32(1), "}",
                           "name", BCON_UTF8("updatedAt_1"),
                           "expireAfterSeconds", BCON_INT32(86400),
                       "}", "]");

    if (!ngx_iv_mongo_index(ctx, command)) {
        return;
    }

    if (ctx->audit && !ngx_iv_mongo_audit_indexes(ctx)) {
        return;
    }

    if (!ctx->quota) {
        return;
    }

    /* only owners with uploads under way have the field */

    command = BCON_NEW("createIndexes", BCON_UTF8(NGX_IV_MONGO_USERS),
                       "indexes", "[", "{",
                           "key", "{",
                               "storageQuota.pending", BCON_INT32(1),
                           "}",
                           "name", BCON_UTF8("storageQuota.pending_1"),
                           "sparse", BCON_BOOL(true),
                       "}", "]");

    (void) ngx_iv_mongo_index(ctx, command);
}


ngx_uint_t
ngx_iv_mongo_index(ngx_iv_mongo_ctx_t *ctx, bson_t *command)
{
    bool          ok;
    bson_t        reply;
    bson_error_t  error;

    ok = mongoc_client_write_command_with_opts(ctx->client, ctx->database,
                                               command, NULL, &reply, &error);
    bson_destroy(command);

    if (!ok && !ngx_iv_mongo_index_conflict(ctx, &error)) {
        ngx_iv_mongo_failed(ctx, &error, &reply);
        bson_destroy(&reply);
        return 0;
    }

    bson_destroy(&reply);

    return 1;
}


/* 1: there is such an index already; said in the call unless it does as well */

static ngx_uint_t
ngx_iv_mongo_index_conflict(ngx_iv_mongo_ctx_t *ctx, const bson_error_t *error)
{
    if (error->domain != MONGOC_ERROR_SERVER
        || (error->code != 85 && error->code != 86))
    {
        return 0;
    }

    if (ngx_strstr(error->message, "different name") == NULL) {
        (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN - 1,
                            "%s (drop that index of \"images\" in a quiet hour "
                            "and reload: it is made anew)%Z", error->message);
        ctx->call->message[NGX_IV_MONGO_MESSAGE_LEN - 1] = '\0';
    }

    return 1;
}
