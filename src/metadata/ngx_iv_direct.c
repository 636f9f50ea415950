/*
 * Tickets for direct uploads: images that are `uploading` because a client was
 * given a URL for them.  `direct` says under which key the client's object
 * arrives, and until when the ticket can be completed.
 *
 * A ticket is claimed by whoever completes it.  There is one claim at a time,
 * and none is taken over: what a second one would copy need not be what the
 * first one has checked, as the staged object may have been replaced meanwhile.
 * A claim whose heartbeats end is the end of the ticket, too (the sweep's);
 * nothing but a failure that has not touched the image's own key gives it back.
 * One that may have been made, but was not acknowledged, is known by its name.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"


static ngx_int_t ngx_iv_direct_open(ngx_iv_mongo_ctx_t *ctx,
    const bson_value_t *deadline, int64_t *n);
static ngx_int_t ngx_iv_direct_create(ngx_iv_mongo_ctx_t *ctx,
    bson_value_t *deadline);
static bson_t *ngx_iv_direct_update(const ngx_iv_mongo_call_t *call);
static void ngx_iv_direct_back_out(ngx_iv_mongo_ctx_t *ctx);
static bson_t *ngx_iv_direct_filter(const ngx_iv_mongo_call_t *call,
    ngx_uint_t claim);
static void ngx_iv_direct_unclaimed(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_direct_take_back(ngx_iv_mongo_ctx_t *ctx,
    const bson_oid_t *claim);
static void ngx_iv_direct_parse(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc);


/*
 * So many may be open, and no more: each that was inserted looks back once, and
 * those with too many before them back out.  The server's clock orders them, so
 * that side by side no two take the same place; within one and the same
 * millisecond the ids decide, and one more may slip through.
 */

void
ngx_iv_mongo_direct_insert(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               n;
    bson_value_t          deadline;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    if (ngx_iv_direct_open(ctx, NULL, &n) != NGX_OK) {
        return;
    }

    if (n >= (int64_t) call->limit) {
        call->code = NGX_IV_RATE_LIMITED;
        return;
    }

    if (ngx_iv_direct_create(ctx, &deadline) != NGX_OK) {
        return;
    }

    if (ngx_iv_direct_open(ctx, &deadline, &n) != NGX_OK) {
        /* it is there all the same */
        call->unknown = 1;

    } else if (n >= (int64_t) call->limit) {
        ngx_iv_direct_back_out(ctx);

    } else {
        call->count = 1;
    }

    bson_value_destroy(&deadline);
}


/* the owner's open tickets, up to the limit; deadline: those before this one.
 * NGX_OK or NGX_ERROR */

static ngx_int_t
ngx_iv_direct_open(ngx_iv_mongo_ctx_t *ctx, const bson_value_t *deadline,
    int64_t *n)
{
    bson_t               *opts, filter;
    bson_oid_t            oid;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    bson_oid_init_from_data(&oid, call->document.id);
    bson_init(&filter);

    if (ngx_iv_document_append_owner(&filter, "userId", &call->document.owner)
        != NGX_OK)
    {
        bson_destroy(&filter);
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    BCON_APPEND(&filter,
                "status", BCON_UTF8("uploading"),
                "direct.stagingKey", "{", "$type", BCON_UTF8("string"), "}",
                "_id", "{", "$ne", BCON_OID(&oid), "}");

    if (deadline) {
        BCON_APPEND(&filter,
                    "$or", "[",
                        "{", "direct.deadline", "{",
                            "$lt",
                            BCON_DATE_TIME(deadline->value.v_datetime),
                        "}", "}",
                        "{", "direct.deadline",
                            BCON_DATE_TIME(deadline->value.v_datetime),
                            "_id", "{", "$lt", BCON_OID(&oid), "}",
                        "}",
                    "]");
    }

    opts = BCON_NEW("limit", BCON_INT64((int64_t) call->limit));

    *n = mongoc_collection_count_documents(ctx->collection, &filter, opts,
                                           NULL, NULL, &error);
    bson_destroy(opts);
    bson_destroy(&filter);

    if (*n < 0) {
        ngx_iv_mongo_failed(ctx, &error, NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_OK and *deadline, a date, to be destroyed; or NGX_ERROR */

static ngx_int_t
ngx_iv_direct_create(ngx_iv_mongo_ctx_t *ctx, bson_value_t *deadline)
{
    bool                            ok;
    bson_t                         *filter, *update, reply;
    ngx_int_t                       rc;
    bson_oid_t                      oid;
    bson_iter_t                     it, doc, value;
    bson_error_t                    error;
    mongoc_find_and_modify_opts_t  *opts;

    update = ngx_iv_direct_update(ctx->call);

    if (update == NULL) {
        ngx_iv_mongo_internal(ctx, "the document cannot be written as BSON");
        return NGX_ERROR;
    }

    bson_oid_init_from_data(&oid, ctx->call->document.id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_UPSERT
                                          |MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {

        if (BSON_ITER_HOLDS_DOCUMENT(&it)
            && bson_iter_recurse(&it, &doc)
            && bson_iter_find_descendant(&doc, "direct.deadline", &value)
            && BSON_ITER_HOLDS_DATE_TIME(&value))
        {
            bson_value_copy(bson_iter_value(&value), deadline);

        } else {
            ngx_iv_mongo_internal(ctx, "the server's answer has no ticket");
            rc = NGX_ERROR;
        }
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


/* the deadline is by the server's clock; what is there already stays, so that a
 * repetition changes nothing.  NULL: it cannot be written */

static bson_t *
ngx_iv_direct_update(const ngx_iv_mongo_call_t *call)
{
    bson_t           *update, doc, key;
    const ngx_str_t  *staging;

    staging = &call->document.staging_key;
    update = NULL;

    bson_init(&doc);
    bson_init(&key);

    if (staging->len
        && staging->len <= NGX_MAX_INT32_VALUE
        && bson_utf8_validate((char *) staging->data, staging->len, false)
        && bson_append_utf8(&key, "$literal", -1, (char *) staging->data,
                            (int) staging->len)
        && ngx_iv_document_append(&doc, &call->document) == NGX_OK)
    {
        update = BCON_NEW("0", "{", "$replaceWith", "{", "$mergeObjects", "[",
                              "{", "$literal", BCON_DOCUMENT(&doc), "}",
                              "{",
                                  "updatedAt", BCON_UTF8("$$NOW"),
                                  "direct", "{",
                                      "stagingKey", BCON_DOCUMENT(&key),
                                      "deadline", "{", "$add", "[",
                                          BCON_UTF8("$$NOW"),
                                          BCON_INT64((int64_t) call->ttl),
                                      "]", "}",
                                  "}",
                              "}",
                              BCON_UTF8("$$ROOT"),
                          "]", "}", "}");
    }

    bson_destroy(&key);
    bson_destroy(&doc);

    return update;
}


/* nobody knows of it yet, nothing was sent: it goes at once */

static void
ngx_iv_direct_back_out(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *filter, reply;
    bson_oid_t            oid;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    bson_oid_init_from_data(&oid, call->document.id);

    filter = BCON_NEW("_id", BCON_OID(&oid),
                      "status", BCON_UTF8("uploading"),
                      "direct.claimed", "{", "$exists", BCON_BOOL(false),
                      "}");

    ok = mongoc_collection_delete_one(ctx->collection, filter, NULL, &reply,
                                      &error);

    if (ngx_iv_mongo_updated(ctx, ok, &reply, &error, "deletedCount")
        != NGX_ERROR)
    {
        call->code = NGX_IV_RATE_LIMITED;
    }

    bson_destroy(&reply);
    bson_destroy(filter);
}


void
ngx_iv_mongo_direct_claim(ngx_iv_mongo_ctx_t *ctx)
{
    bool                            ok;
    bson_t                         *filter, *update, reply, doc;
    uint32_t                        len;
    ngx_int_t                       rc;
    bson_oid_t                      claim;
    bson_iter_t                     it;
    bson_error_t                    error;
    const uint8_t                  *data;
    mongoc_find_and_modify_opts_t  *opts;

    bson_oid_init(&claim, NULL);

    filter = ngx_iv_direct_filter(ctx->call, 1);

    if (filter == NULL) {
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return;
    }

    update = BCON_NEW("$currentDate", "{",
                          "direct.claimed", BCON_BOOL(true),
                          "updatedAt", BCON_BOOL(true),
                      "}",
                      "$set", "{", "direct.claim", BCON_OID(&claim), "}");
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {

        if (BSON_ITER_HOLDS_DOCUMENT(&it)) {
            bson_iter_document(&it, &len, &data);

            if (bson_init_static(&doc, data, len)) {
                ngx_iv_direct_parse(ctx, &doc);
                ctx->call->count = 1;
            }

        } else {
            ngx_iv_direct_unclaimed(ctx);
        }

    } else if (ctx->call->unknown && !ctx->call->down) {
        ngx_iv_direct_take_back(ctx, &claim);
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
}


static bson_t *
ngx_iv_direct_filter(const ngx_iv_mongo_call_t *call, ngx_uint_t claim)
{
    bson_t      *filter;
    bson_oid_t   oid;

    bson_oid_init_from_data(&oid, call->id);

    filter = BCON_NEW("_id", BCON_OID(&oid));

    if (call->owner.len
        && ngx_iv_document_append_owner(filter, "userId", &call->owner)
           != NGX_OK)
    {
        bson_destroy(filter);
        return NULL;
    }

    if (claim) {
        BCON_APPEND(filter,
                    "status", BCON_UTF8("uploading"),
                    "direct.stagingKey", "{",
                        "$type", BCON_UTF8("string"),
                    "}",
                    "direct.claimed", "{", "$exists", BCON_BOOL(false), "}",
                    "$expr", "{", "$lt", "[",
                        BCON_UTF8("$$NOW"), BCON_UTF8("$direct.deadline"),
                    "]", "}");
    }

    return filter;
}


/* the call has failed, and nobody works by this claim: whoever comes again
 * should not be refused by it.  What this says does not matter */

static void
ngx_iv_direct_take_back(ngx_iv_mongo_ctx_t *ctx, const bson_oid_t *claim)
{
    bson_t       *filter, *update;
    bson_oid_t    oid;

    bson_oid_init_from_data(&oid, ctx->call->id);

    filter = BCON_NEW("_id", BCON_OID(&oid),
                      "status", BCON_UTF8("uploading"),
                      "direct.claim", BCON_OID(claim));

    update = BCON_NEW("$unset", "{",
                          "direct.claimed", BCON_UTF8(""),
                          "direct.claim", BCON_UTF8(""),
                      "}");

    (void) mongoc_collection_update_one(ctx->collection, filter, update, NULL,
                                        NULL, NULL);

    bson_destroy(update);
    bson_destroy(filter);
}


/* why it could not be claimed */

static void
ngx_iv_direct_unclaimed(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t               *filter, *opts;
    bson_iter_t           top, it;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    filter = ngx_iv_direct_filter(call, 0);
    opts = BCON_NEW("limit", BCON_INT64(1));

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    if (mongoc_cursor_next(cursor, &found)) {
        ngx_iv_direct_parse(ctx, found);

        if (call->code != NGX_OK) {
            /* said already */

        } else if (call->document.status == NGX_IV_STATUS_ERROR
                   || call->document.deleted_at)
        {
            call->code = NGX_IV_NOT_FOUND;

        } else if (call->document.status == NGX_IV_STATUS_UPLOADING) {

            /* another completes it, or it comes by another way */

            call->code = (call->document.staging_key.len == 0
                          || (bson_iter_init(&top, found)
                              && bson_iter_find_descendant(&top,
                                                           "direct.claimed",
                                                           &it)))
                         ? NGX_IV_NOT_READY : NGX_IV_GONE;
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);

    } else {
        call->code = NGX_IV_NOT_FOUND;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);
}


static void
ngx_iv_direct_parse(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc)
{
    ngx_int_t    rc;
    const char  *field;

    rc = ngx_iv_document_parse(ctx->call->pool, doc, &ctx->call->document,
                               &field);

    if (rc == NGX_DECLINED) {
        ngx_iv_mongo_invalid(ctx, doc, field);

    } else if (rc == NGX_ERROR) {
        ngx_iv_mongo_internal(ctx, "no memory for a document");
    }
}
