/*
 * Quota: what an owner's document says of the bytes in use.
 *
 * `used` counts what is stored and what is on its way; `pending.<image>` says
 * how much of it an upload holds (a number), or a delete is about to give back
 * (a document: ngx_iv_quota_intent.c).  Every change is one update filtered by
 * that entry, so that a repetition finds it changed already, and whatever is
 * killed leaves an entry by which the sweep can tell what to do.
 *
 * A document that has no `used` gets the sum of the owner's ready images, by an
 * update that does nothing if another was quicker.  That is exact: no image
 * becomes ready under quota without a reservation, thus not before `used` is
 * there.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"


#define NGX_IV_QUOTA_TRIES  8


/* what the document says */
typedef struct {
    ngx_uint_t   has_used;
    int64_t      used;
    ngx_uint_t   has_limit;
    int64_t      limit;
    ngx_uint_t   has_pending;
    int64_t      pending;           /* of this image, 0: none */
    int64_t      expiry;
} ngx_iv_quota_state_t;


static ngx_int_t ngx_iv_quota_try(ngx_iv_mongo_ctx_t *ctx);
static ngx_int_t ngx_iv_quota_judge(ngx_iv_mongo_ctx_t *ctx);
static bson_t *ngx_iv_quota_filter(const ngx_iv_mongo_call_t *call,
    const char *pending);
static ngx_int_t ngx_iv_quota_find(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_quota_state_t *state);
static void ngx_iv_quota_parse(ngx_iv_mongo_call_t *call, const bson_t *b,
    ngx_iv_quota_state_t *state);
static ngx_uint_t ngx_iv_quota_number(const bson_t *b, const char *path,
    int64_t *n);
static ngx_int_t ngx_iv_quota_complete(ngx_iv_mongo_ctx_t *ctx,
    const ngx_iv_quota_state_t *state);
static int64_t ngx_iv_quota_drop_own(ngx_iv_mongo_ctx_t *ctx,
    ngx_uint_t give);


void
ngx_iv_mongo_quota_reserve(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_QUOTA_TRIES; i++) {

        rc = ngx_iv_quota_try(ctx);

        if (rc == NGX_DECLINED) {
            rc = ngx_iv_quota_judge(ctx);
        }

        if (rc != NGX_AGAIN) {
            return;
        }
    }

    ctx->call->code = NGX_IV_METADATA_UNAVAILABLE;

    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN,
                        "the owner's document keeps changing%Z");
}


/* NGX_OK; NGX_DECLINED: the filter did not match; NGX_ERROR: failed */

static ngx_int_t
ngx_iv_quota_try(ngx_iv_mongo_ctx_t *ctx)
{
    bool                            ok;
    char                            name[NGX_IV_QUOTA_NAME];
    bson_t                         *filter, *update, *fields, reply, doc;
    uint32_t                        len;
    ngx_int_t                       rc;
    bson_iter_t                     it;
    const uint8_t                  *data;
    bson_error_t                    error;
    ngx_iv_mongo_call_t            *call;
    ngx_iv_quota_state_t            state;
    mongoc_find_and_modify_opts_t  *opts;

    call = ctx->call;

    ngx_iv_mongo_quota_name(name, call->id);

    filter = ngx_iv_quota_filter(call, name + 1);
    if (filter == NULL) {
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    update = BCON_NEW("$inc", "{",
                          "storageQuota.used",
                          BCON_INT64(call->size - call->already),
                      "}",
                      "$set", "{", name + 1, BCON_INT64(call->size), "}");

    fields = BCON_NEW("storageQuota.used", BCON_INT32(1),
                      "storageQuota.limit", BCON_INT32(1),
                      "preferences", BCON_INT32(1));

    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_fields(opts, fields);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {

        if (BSON_ITER_HOLDS_DOCUMENT(&it)) {
            bson_iter_document(&it, &len, &data);

            if (bson_init_static(&doc, data, len)) {
                ngx_iv_quota_parse(call, &doc, &state);
            }

        } else {
            rc = NGX_DECLINED;
        }
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(fields);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


/* the guard: `used` is a number, the entry is as the caller knows it, and there
 * is room, if more is wanted */

static bson_t *
ngx_iv_quota_filter(const ngx_iv_mongo_call_t *call, const char *pending)
{
    bson_t   *filter;
    int64_t   limit;

    filter = bson_new();

    if (ngx_iv_document_append_owner(filter, "_id", &call->owner) != NGX_OK) {
        bson_destroy(filter);
        return NULL;
    }

    BCON_APPEND(filter,
                "storageQuota.used", "{", "$type", BCON_UTF8("number"), "}");

    if (call->already) {
        BCON_APPEND(filter, pending, BCON_INT64(call->already));

    } else {
        BCON_APPEND(filter, pending, "{", "$exists", BCON_BOOL(false), "}");
    }

    if (call->size <= call->already) {
        return filter;
    }

    limit = (call->quota.mode == NGX_IV_QUOTA_SIZE) ? call->quota.limit
                                                    : NGX_IV_QUOTA_NONE;

    BCON_APPEND(filter,
                "$expr", "{", "$lte", "[",
                    "{", "$add", "[",
                        BCON_UTF8("$storageQuota.used"),
                        BCON_INT64(call->size - call->already),
                    "]", "}",
                    "{", "$cond", "[",
                        "{", "$isNumber", BCON_UTF8("$storageQuota.limit"),
                        "}",
                        BCON_UTF8("$storageQuota.limit"),
                        BCON_INT64(limit),
                    "]", "}",
                "]", "}");

    return filter;
}


/* why the filter did not match.  NGX_AGAIN: it may now; NGX_OK: the call has
 * its result; NGX_ERROR: it has failed */

static ngx_int_t
ngx_iv_quota_judge(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_mongo_call_t   *call;
    ngx_iv_quota_state_t   state;

    call = ctx->call;

    rc = ngx_iv_quota_find(ctx, &state);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {

        if (call->quota.mode != NGX_IV_QUOTA_SIZE) {
            call->code = NGX_IV_FORBIDDEN;
            return NGX_OK;
        }

        return ngx_iv_mongo_quota_create(ctx);
    }

    if (!state.has_used) {
        return ngx_iv_quota_complete(ctx, &state);
    }

    /* a repetition: it was granted; an update that changes nothing waits until
     * a majority has it */

    if (state.has_pending && state.pending == call->size
        && call->already != call->size)
    {
        call->already = call->size;
        return NGX_AGAIN;
    }

    if (state.has_pending ? state.pending != call->already
                          : call->already != 0)
    {
        call->code = NGX_IV_CONFLICT;
        return NGX_OK;
    }

    if (call->size > call->already
        && state.used > call->quota_limit - (call->size - call->already))
    {
        call->code = NGX_IV_QUOTA_EXCEEDED;
        return NGX_OK;
    }

    return NGX_AGAIN;
}


/* the primary's newest state, which the update looked at as well.  NGX_OK;
 * NGX_DECLINED: there is no document; NGX_ERROR */

static ngx_int_t
ngx_iv_quota_find(ngx_iv_mongo_ctx_t *ctx, ngx_iv_quota_state_t *state)
{
    bson_t            filter, *opts;
    ngx_int_t         rc;
    bson_error_t      error;
    const bson_t     *found;
    mongoc_cursor_t  *cursor;

    bson_init(&filter);

    if (ngx_iv_document_append_owner(&filter, "_id", &ctx->call->owner)
        != NGX_OK)
    {
        bson_destroy(&filter);
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    opts = BCON_NEW("limit", BCON_INT64(1),
                    "readConcern", "{", "level", BCON_UTF8("local"), "}",
                    "projection", "{",
                        "storageQuota", BCON_INT32(1),
                        "preferences", BCON_INT32(1),
                    "}");

    cursor = mongoc_collection_find_with_opts(ctx->collection, &filter, opts,
                                              NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &found)) {
        ngx_iv_quota_parse(ctx->call, found, state);
        rc = NGX_OK;

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(&filter);

    return rc;
}


static void
ngx_iv_quota_parse(ngx_iv_mongo_call_t *call, const bson_t *b,
    ngx_iv_quota_state_t *state)
{
    char         name[NGX_IV_QUOTA_NAME];
    bson_iter_t  it, value;

    ngx_memzero(state, sizeof(ngx_iv_quota_state_t));

    ngx_iv_mongo_quota_name(name, call->id);

    state->has_used = ngx_iv_quota_number(b, "storageQuota.used",
                                          &state->used);
    state->has_limit = ngx_iv_quota_number(b, "storageQuota.limit",
                                           &state->limit);
    state->has_pending = ngx_iv_quota_number(b, name + 1, &state->pending);

    if (bson_iter_init(&it, b)
        && bson_iter_find_descendant(&it, "preferences.autoDelete", &value)
        && BSON_ITER_HOLDS_BOOL(&value) && bson_iter_bool(&value)
        && ngx_iv_quota_number(b, "preferences.defaultExpiry",
                               &state->expiry)
        && state->expiry > 0)
    {
        call->default_expiry = ngx_min(state->expiry, 36500);

    } else {
        call->default_expiry = 0;
    }

    call->used = state->used;

    if (state->has_limit) {
        call->quota_limit = state->limit;

    } else if (call->quota.mode == NGX_IV_QUOTA_SIZE) {
        call->quota_limit = call->quota.limit;

    } else {
        call->quota_limit = NGX_IV_QUOTA_NONE;
    }
}


/* shells and applications write doubles as well */

static ngx_uint_t
ngx_iv_quota_number(const bson_t *b, const char *path, int64_t *n)
{
    double       d;
    bson_iter_t  it, value;

    if (!bson_iter_init(&it, b)
        || !bson_iter_find_descendant(&it, path, &value))
    {
        return 0;
    }

    if (BSON_ITER_HOLDS_DOUBLE(&value)) {
        d = bson_iter_double(&value);

        if (!(d > -9e18 && d < 9e18)) {
            return 0;
        }

        *n = (int64_t) d;
        return 1;
    }

    if (!BSON_ITER_HOLDS_INT(&value)) {
        return 0;
    }

    *n = bson_iter_as_int64(&value);

    return 1;
}


/* an owner without a document.  NGX_AGAIN: there is one now; NGX_ERROR */

ngx_int_t
ngx_iv_mongo_quota_create(ngx_iv_mongo_ctx_t *ctx)
{
    bool                   ok;
    bson_t                 filter, *update, *opts, reply;
    int64_t                sum;
    ngx_int_t              rc;
    bson_error_t           error;
    ngx_iv_quota_state_t   state;

    if (ngx_iv_mongo_quota_sum(ctx, &sum) != NGX_OK) {
        return NGX_ERROR;
    }

    bson_init(&filter);
    (void) ngx_iv_document_append_owner(&filter, "_id", &ctx->call->owner);

    update = BCON_NEW("$setOnInsert", "{",
                          "storageQuota", "{",
                              "used", BCON_INT64(sum),
                              "limit", BCON_INT64(ctx->call->quota.limit),
                          "}",
                      "}");
    opts = BCON_NEW("upsert", BCON_BOOL(true));

    ok = mongoc_collection_update_one(ctx->collection, &filter, update, opts,
                                      &reply, &error);

    rc = NGX_AGAIN;

    if (ok) {
        if (ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount")
            == NGX_ERROR)
        {
            rc = NGX_ERROR;
        }

    } else if (error.code == MONGOC_ERROR_DUPLICATE_KEY || error.code == 121) {

        /* another was quicker, or an index or a rule of the application's
         * does not bear a document that has little more than an id */

        rc = ngx_iv_quota_find(ctx, &state);

        if (rc == NGX_DECLINED) {
            ngx_iv_mongo_failed(ctx, &error, &reply);

            (void) ngx_snprintf(ctx->call->message,
                                NGX_IV_MONGO_MESSAGE_LEN - 1,
                                "a document could not be created in \"users\", "
                                "an index or rule of the application forbids "
                                "it: use \"image_vault_quota documents\": "
                                "%s%Z", error.message);
            ctx->call->message[NGX_IV_MONGO_MESSAGE_LEN - 1] = '\0';
            rc = NGX_ERROR;

        } else if (rc == NGX_OK) {
            rc = NGX_AGAIN;
        }

    } else {
        ngx_iv_mongo_failed(ctx, &error, &reply);
        rc = NGX_ERROR;
    }

    bson_destroy(&reply);
    bson_destroy(opts);
    bson_destroy(update);
    bson_destroy(&filter);

    return rc;
}


ngx_int_t
ngx_iv_mongo_quota_complete(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_iv_quota_state_t  state;

    ngx_memzero(&state, sizeof(ngx_iv_quota_state_t));
    state.has_limit = 1;

    return ngx_iv_quota_complete(ctx, &state);
}


/* a document without `used`.  NGX_AGAIN, NGX_ERROR */

static ngx_int_t
ngx_iv_quota_complete(ngx_iv_mongo_ctx_t *ctx,
    const ngx_iv_quota_state_t *state)
{
    bool           ok;
    bson_t         filter, *update, set, reply;
    int64_t        sum;
    ngx_int_t      rc;
    bson_error_t   error;

    if (ngx_iv_mongo_quota_sum(ctx, &sum) != NGX_OK) {
        return NGX_ERROR;
    }

    bson_init(&filter);
    (void) ngx_iv_document_append_owner(&filter, "_id", &ctx->call->owner);
    BCON_APPEND(&filter,
                "storageQuota.used", "{",
                    "$not", "{", "$type", BCON_UTF8("number"), "}",
                "}");

    update = bson_new();
    (void) bson_append_document_begin(update, "$set", -1, &set);
    (void) bson_append_int64(&set, "storageQuota.used", -1, sum);

    if (!state->has_limit && ctx->call->quota.mode == NGX_IV_QUOTA_SIZE) {
        (void) bson_append_int64(&set, "storageQuota.limit", -1,
                                 ctx->call->quota.limit);
    }

    (void) bson_append_document_end(update, &set);

    ok = mongoc_collection_update_one(ctx->collection, &filter, update, NULL,
                                      &reply, &error);

    rc = (ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount")
          == NGX_ERROR) ? NGX_ERROR : NGX_AGAIN;

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(&filter);

    return rc;
}


ngx_int_t
ngx_iv_mongo_quota_sum(ngx_iv_mongo_ctx_t *ctx, int64_t *sum)
{
    bson_t                match, *pipeline;
    ngx_int_t             rc;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    mongoc_collection_t  *images;

    *sum = 0;

    bson_init(&match);

    if (ngx_iv_document_append_owner(&match, "userId", &ctx->call->owner)
        != NGX_OK)
    {
        bson_destroy(&match);
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    BCON_APPEND(&match, "status", "{", "$in", "[",
                            BCON_UTF8("ready"), BCON_UTF8("processing"),
                        "]", "}");

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$match", BCON_DOCUMENT(&match), "}",
                            "{", "$group", "{",
                                "_id", BCON_NULL,
                                "sum", "{", "$sum", BCON_UTF8("$size"), "}",
                            "}", "}",
                        "]");

    images = mongoc_client_get_collection(ctx->client, ctx->database,
                                          NGX_IV_MONGO_IMAGES);

    cursor = mongoc_collection_aggregate(images, MONGOC_QUERY_NONE, pipeline,
                                         NULL, NULL);
    rc = NGX_OK;

    if (mongoc_cursor_next(cursor, &found)) {
        (void) ngx_iv_quota_number(found, "sum", sum);

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(images);
    bson_destroy(pipeline);
    bson_destroy(&match);

    return rc;
}


void
ngx_iv_mongo_quota_name(char *buf, const u_char *id)
{
    u_char  *p;

    p = ngx_cpymem(buf, NGX_IV_QUOTA_ENTRY, sizeof(NGX_IV_QUOTA_ENTRY) - 1);
    p = ngx_iv_hex(p, id, NGX_IV_ID_LEN);
    *p = '\0';
}


void
ngx_iv_mongo_quota_settle(ngx_iv_mongo_ctx_t *ctx)
{
    if (ngx_iv_quota_drop_own(ctx, 0) > 0) {
        ctx->call->count = 1;
    }
}


/*
 * The image has failed or was deleted.  What its upload holds is given back; or
 * else what its delete has noted, if it is the delete that was carried out.
 */

void
ngx_iv_mongo_quota_release(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t  n;

    n = ngx_iv_quota_drop_own(ctx, 1);

    if (n == 0) {
        n = ngx_iv_mongo_intent_release(ctx);
    }

    if (n > 0) {
        ctx->call->count = 1;
    }
}


static int64_t
ngx_iv_quota_drop_own(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t give)
{
    bson_t        owner;
    int64_t       n;
    bson_iter_t   it;

    bson_init(&owner);

    if (ngx_iv_document_append_owner(&owner, "_id", &ctx->call->owner)
        != NGX_OK
        || !bson_iter_init_find(&it, &owner, "_id"))
    {
        bson_destroy(&owner);
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    n = ngx_iv_mongo_quota_drop(ctx, ctx->collection, bson_iter_value(&it),
                                ctx->call->id, give);
    bson_destroy(&owner);

    return n;
}


int64_t
ngx_iv_mongo_quota_drop(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *users,
    const bson_value_t *owner, const u_char id[NGX_IV_ID_LEN],
    ngx_uint_t give)
{
    char      name[NGX_IV_QUOTA_NAME];
    bson_t   *filter;
    int64_t   n;

    ngx_iv_mongo_quota_name(name, id);

    filter = bson_new();
    (void) bson_append_value(filter, "_id", -1, owner);
    BCON_APPEND(filter, name + 1, "{", "$type", BCON_UTF8("number"), "}");

    n = ngx_iv_mongo_quota_take(ctx, users, filter, name, give ? name : NULL);

    bson_destroy(filter);

    return n;
}


/*
 * An empty `pending` is removed: the sparse index shall hold only owners with
 * something under way.
 */

int64_t
ngx_iv_mongo_quota_take(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *users,
    const bson_t *filter, const char *entry, const char *amount)
{
    bool           ok;
    bson_t        *update, empty, used, reply;
    int64_t        n;
    bson_error_t   error;

    bson_init(&empty);
    bson_init(&used);

    if (amount) {

        /* where `used` was taken away it stays away: it is counted anew */

        BCON_APPEND(&used, "storageQuota.used", "{", "$cond", "[",
                               "{", "$isNumber",
                                   BCON_UTF8("$storageQuota.used"), "}",
                               "{", "$max", "[",
                                   BCON_INT64(0),
                                   "{", "$subtract", "[",
                                       BCON_UTF8("$storageQuota.used"),
                                       BCON_UTF8(amount),
                                   "]", "}",
                               "]", "}",
                               BCON_UTF8("$storageQuota.used"),
                           "]", "}");
    } else {
        BCON_APPEND(&used,
                    "storageQuota.used", BCON_UTF8("$storageQuota.used"));
    }

    update = BCON_NEW("0", "{", "$set", BCON_DOCUMENT(&used), "}",
                      "1", "{", "$unset", BCON_UTF8(entry + 1), "}",
                      "2", "{", "$set", "{",
                          "storageQuota.pending", "{", "$cond", "[",
                              "{", "$eq", "[",
                                  BCON_UTF8("$storageQuota.pending"),
                                  "{", "$literal", BCON_DOCUMENT(&empty), "}",
                              "]", "}",
                              BCON_UTF8("$$REMOVE"),
                              BCON_UTF8("$storageQuota.pending"),
                          "]", "}",
                      "}", "}");

    ok = mongoc_collection_update_one(users, filter, update, NULL, &reply,
                                      &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(&used);
    bson_destroy(&empty);

    return n;
}
