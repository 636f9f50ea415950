/*
 * What the report compares storages with: which keys have documents, which
 * documents there are; the mark of those whose object is gone.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_lists.h"
#include "metadata/ngx_iv_metadata_report.h"


#define NGX_IV_REPORT_INDEX  "r2Key_1"


static void ngx_iv_report_keys(ngx_iv_mongo_ctx_t *ctx, const char *by,
    const char *hint);
static void ngx_iv_report_ask(ngx_iv_mongo_ctx_t *ctx, const char *by,
    const char *hint);
static bson_t *ngx_iv_report_filter(const ngx_iv_mongo_call_t *call,
    const char *by);
static void ngx_iv_report_read(ngx_iv_mongo_ctx_t *ctx, const bson_t *filter,
    const bson_t *opts, ngx_uint_t max);
static ngx_int_t ngx_iv_report_ref(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    ngx_iv_metadata_ref_t *ref);
static ngx_uint_t ngx_iv_report_index(ngx_iv_mongo_ctx_t *ctx);


/* an image's own keys by an index that is made when it is asked for first;
 * staging keys are few, and have one */

void
ngx_iv_mongo_report_keys(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    call->refs = ngx_pcalloc(call->pool, 2 * (call->lists->nkeys + 1)
                                         * sizeof(ngx_iv_metadata_ref_t));
    if (call->refs == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return;
    }

    if (call->lists->nkeys == 0 || !ngx_iv_report_index(ctx)) {
        return;
    }

    ngx_iv_report_keys(ctx, "r2Key", NGX_IV_REPORT_INDEX);

    if (call->code == NGX_OK) {
        ngx_iv_report_keys(ctx, "direct.stagingKey", "direct.deadline_1");
    }
}


/*
 * To make what is there already is a look at the catalogue.  The server goes on
 * with a long build when the call is given up; that is no sign that it is out
 * of reach.
 */

static ngx_uint_t
ngx_iv_report_index(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t               *command;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    command = BCON_NEW("createIndexes", BCON_UTF8(NGX_IV_MONGO_IMAGES),
                       "indexes", "[", "{",
                           "key", "{", "r2Key", BCON_INT32(1), "}",
                           "name", BCON_UTF8(NGX_IV_REPORT_INDEX),
                       "}", "]");

    if (ngx_iv_mongo_index(ctx, command)) {
        return 1;
    }

    call->down = 0;

    return 0;
}


/* the application's own index may have another name: the server finds it */

static void
ngx_iv_report_keys(ngx_iv_mongo_ctx_t *ctx, const char *by, const char *hint)
{
    ngx_uint_t            nrefs;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    nrefs = call->nrefs;

    ngx_iv_report_ask(ctx, by, hint);

    if (call->code == NGX_IV_INTERNAL && call->nrefs == nrefs) {
        call->code = NGX_OK;
        call->message[0] = '\0';

        ngx_iv_report_ask(ctx, by, NULL);
    }
}


/* hint: NULL: none */

static void
ngx_iv_report_ask(ngx_iv_mongo_ctx_t *ctx, const char *by, const char *hint)
{
    bson_t      *filter, *opts;
    ngx_uint_t   max;

    max = ctx->call->lists->nkeys;

    filter = ngx_iv_report_filter(ctx->call, by);
    opts = BCON_NEW("limit", BCON_INT64((int64_t) max),
                    "maxTimeMS",
                    BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)),
                    "projection", "{",
                        "r2Key", BCON_INT32(1),
                        "storage", BCON_INT32(1),
                        "status", BCON_INT32(1),
                        "s3UploadId", BCON_INT32(1),
                        "direct", BCON_INT32(1),
                    "}");

    if (hint) {
        BCON_APPEND(opts, "hint", BCON_UTF8(hint));
    }

    ngx_iv_report_read(ctx, filter, opts, max);

    bson_destroy(opts);
    bson_destroy(filter);
}


static bson_t *
ngx_iv_report_filter(const ngx_iv_mongo_call_t *call, const char *by)
{
    char              buf[16];
    bson_t           *filter, sub, in;
    ngx_uint_t        i;
    const char       *index;
    const ngx_str_t  *key;

    filter = bson_new();

    (void) bson_append_utf8(filter, "storage", -1,
                            (char *) call->lists->storage.data,
                            (int) call->lists->storage.len);

    if (ngx_strcmp(by, "r2Key") != 0) {
        BCON_APPEND(filter, "direct.deadline", "{",
                                "$type", BCON_UTF8("date"),
                            "}");
    }

    (void) bson_append_document_begin(filter, by, -1, &sub);
    (void) ngx_iv_bson_array_begin(&sub, "$in", -1, &in);

    for (i = 0; i < call->lists->nkeys; i++) {
        key = &call->lists->keys[i];

        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

        /* what is no UTF-8 cannot be a document's */

        if (bson_utf8_validate((char *) key->data, key->len, false)) {
            (void) bson_append_utf8(&in, index, -1, (char *) key->data,
                                    (int) key->len);

        } else {
            (void) bson_append_null(&in, index, -1);
        }
    }

    (void) bson_append_array_end(&sub, &in);
    (void) bson_append_document_end(filter, &sub);

    return filter;
}


static void
ngx_iv_report_read(ngx_iv_mongo_ctx_t *ctx, const bson_t *filter,
    const bson_t *opts, ngx_uint_t max)
{
    ngx_uint_t            n;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    for (n = 0; n < max && mongoc_cursor_next(cursor, &found); n++) {

        if (ngx_iv_report_ref(ctx, found, &call->refs[call->nrefs])
            == NGX_ERROR)
        {
            ngx_iv_mongo_internal(ctx, "no memory for a list");
            break;
        }

        call->nrefs++;
    }

    if (call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &found))
    {
        ngx_iv_mongo_failed(ctx, &error, found);
    }

    mongoc_cursor_destroy(cursor);
}


/* one that is not ours has its id only */

static ngx_int_t
ngx_iv_report_ref(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    ngx_iv_metadata_ref_t *ref)
{
    ngx_int_t     rc;
    const char   *field;
    bson_iter_t   it;

    ngx_memzero(ref, sizeof(ngx_iv_metadata_ref_t));

    rc = ngx_iv_document_parse_ref(ctx->call->pool, doc, ref, &field);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_str_null(&ref->key);
        ngx_str_null(&ref->storage);
    }

    ref->ready = bson_iter_init_find(&it, doc, "status")
                 && BSON_ITER_HOLDS_UTF8(&it)
                 && ngx_strcmp(bson_iter_utf8(&it, NULL), "ready") == 0
                 && !bson_iter_init_find(&it, doc, "deletedAt");

    ref->missing = bson_iter_init_find(&it, doc, "error")
                   && BSON_ITER_HOLDS_UTF8(&it)
                   && ngx_strcmp(bson_iter_utf8(&it, NULL),
                                 NGX_IV_OBJECT_MISSING)
                      == 0;

    return NGX_OK;
}


/* by their ids, whatever they are: no page looks at more than it shows */

void
ngx_iv_mongo_report_documents(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t               *filter, *opts;
    bson_oid_t            oid;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    call->refs = ngx_pcalloc(call->pool, (call->limit + 1)
                                         * sizeof(ngx_iv_metadata_ref_t));
    if (call->refs == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return;
    }

    bson_oid_init_from_data(&oid, call->after_id);

    filter = BCON_NEW("_id", "{", "$gt", BCON_OID(&oid), "}");
    opts = BCON_NEW("limit", BCON_INT64((int64_t) call->limit),
                    "sort", "{", "_id", BCON_INT32(1), "}",
                    "maxTimeMS",
                    BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)),
                    "projection", "{",
                        "r2Key", BCON_INT32(1),
                        "storage", BCON_INT32(1),
                        "status", BCON_INT32(1),
                        "userId", BCON_INT32(1),
                        "deletedAt", BCON_INT32(1),
                        "error", BCON_INT32(1),
                    "}");

    ngx_iv_report_read(ctx, filter, opts, call->limit);

    call->count = call->nrefs;

    bson_destroy(opts);
    bson_destroy(filter);
}


/* only what is ready, or is marked, as it was when it was looked at; updatedAt
 * stays: nothing else of the image has changed */

void
ngx_iv_mongo_report_mark(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *filter, *update, reply;
    int64_t               n;
    bson_oid_t            oid;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    bson_oid_init_from_data(&oid, call->id);

    filter = BCON_NEW("_id", BCON_OID(&oid),
                      "status", BCON_UTF8("ready"),
                      "deletedAt", "{", "$exists", BCON_BOOL(false), "}");

    if (call->kind == NGX_IV_MONGO_REPORT_MARK) {
        update = BCON_NEW("$set", "{",
                              "error", BCON_UTF8(NGX_IV_OBJECT_MISSING),
                          "}");

    } else {
        BCON_APPEND(filter, "error", BCON_UTF8(NGX_IV_OBJECT_MISSING));
        update = BCON_NEW("$unset", "{", "error", BCON_UTF8(""), "}");
    }

    ok = mongoc_collection_update_one(ctx->collection, filter, update, NULL,
                                      &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    if (n > 0) {
        call->count = 1;
    }

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
}
