/*
 * The sweep's lease: one document, changed in one step by the server's clock.
 * It also holds what the last pass has done, so that every node can tell, and
 * that somebody asks for another one.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_metadata_sweep.h"


static bson_t *ngx_iv_lease_update(const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_lease_take(const ngx_iv_mongo_call_t *call,
    const bson_t *mine);
static bson_t *ngx_iv_lease_fresh(const ngx_iv_mongo_call_t *call,
    const bson_t *take, const bson_t *mine);
static void ngx_iv_lease_set(bson_t *set, const bson_t *take,
    const bson_t *mine, char *holder);
static bson_t *ngx_iv_lease_pass(const ngx_iv_mongo_call_t *call,
    char *holder);
static ngx_int_t ngx_iv_lease_document(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *reply);
static ngx_int_t ngx_iv_lease_str(ngx_pool_t *pool, const bson_t *doc,
    const char *path, ngx_str_t *out);
static int64_t ngx_iv_lease_number(const bson_t *doc, const char *path);


void
ngx_iv_mongo_lease(ngx_iv_mongo_ctx_t *ctx)
{
    bool                             ok;
    bson_t                           filter, *update, reply;
    bson_error_t                     error;
    ngx_iv_mongo_call_t             *call;
    mongoc_find_and_modify_opts_t   *opts;

    call = ctx->call;

    bson_init(&filter);
    (void) bson_append_utf8(&filter, "_id", -1, "sweep", -1);

    update = ngx_iv_lease_update(call);
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_UPSERT
                                          |MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, &filter,
                                                     opts, &reply, &error);

    if (!ok) {

        /* a duplicate: another node made the lease in the same moment */

        if (error.code != MONGOC_ERROR_DUPLICATE_KEY) {
            ngx_iv_mongo_failed(ctx, &error, &reply);
        }

    } else if (ngx_iv_lease_document(ctx, &reply) == NGX_OK
               && call->sweep->holder.len == call->holder.len
               && ngx_memcmp(call->sweep->holder.data, call->holder.data,
                             call->holder.len)
                  == 0)
    {
        call->count = 1;
        call->fence = call->sweep->fence;
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(&filter);
}


/* not sure of a majority: not held.  NGX_OK or NGX_DECLINED */

static ngx_int_t
ngx_iv_lease_document(ngx_iv_mongo_ctx_t *ctx, const bson_t *reply)
{
    bson_t          doc;
    uint32_t        len;
    bson_iter_t     it;
    const uint8_t  *data;

    if (bson_iter_init_find(&it, reply, "writeConcernError")) {
        return NGX_DECLINED;
    }

    if (!bson_iter_init_find(&it, reply, "value")
        || !BSON_ITER_HOLDS_DOCUMENT(&it))
    {
        return NGX_DECLINED;
    }

    bson_iter_document(&it, &len, &data);

    if (!bson_init_static(&doc, data, len)) {
        return NGX_DECLINED;
    }

    if (ngx_iv_mongo_sweep_parse(ctx, &doc) != NGX_OK) {
        ngx_iv_mongo_internal(ctx, "no memory for the state of the sweep");
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/*
 * Whoever holds the lease keeps it, a free or expired one is taken with the
 * next number, another's stays as it is, unless its holder rests and somebody
 * asks for a pass.
 */

static bson_t *
ngx_iv_lease_update(const ngx_iv_mongo_call_t *call)
{
    char    *holder;
    bson_t  *mine, *take, *fresh, *update, stage, set;

    /* bson_strndup() would read the byte behind the string as well */

    holder = bson_malloc(call->holder.len + 1);
    ngx_memcpy(holder, call->holder.data, call->holder.len);
    holder[call->holder.len] = '\0';

    mine = BCON_NEW("$eq", "[",
                        BCON_UTF8("$holder"),
                        "{", "$literal", BCON_UTF8(holder), "}",
                    "]");

    take = ngx_iv_lease_take(call, mine);
    fresh = ngx_iv_lease_fresh(call, take, mine);

    update = bson_new();

    (void) bson_append_document_begin(update, "0", -1, &stage);
    (void) bson_append_document_begin(&stage, "$set", -1, &set);

    ngx_iv_lease_set(&set, take, mine, holder);

    if (call->begin || call->ask) {
        BCON_APPEND(&set,
                    "startedAt", "{", "$cond", "[",
                        BCON_DOCUMENT(fresh),
                        BCON_UTF8("$$NOW"),
                        BCON_UTF8("$startedAt"),
                    "]", "}",
                    "requestedAt", "{", "$cond", "[",
                        BCON_DOCUMENT(fresh),
                        BCON_UTF8("$$REMOVE"),
                        BCON_UTF8(call->ask ? "$$NOW" : "$requestedAt"),
                    "]", "}");
    }

    (void) bson_append_document_end(&stage, &set);
    (void) bson_append_document_end(update, &stage);

    bson_destroy(fresh);
    bson_destroy(take);
    bson_destroy(mine);
    bson_free(holder);

    return update;
}


static bson_t *
ngx_iv_lease_take(const ngx_iv_mongo_call_t *call, const bson_t *mine)
{
    bson_t  *rests, *take;

    rests = BCON_NEW("$and", "[",
                         BCON_BOOL(call->ask),
                         "{", "$eq", "[",
                             BCON_UTF8("$idle"), BCON_BOOL(true),
                         "]", "}",
                     "]");

    /* a date that lacks is less than any */

    take = BCON_NEW("$or", "[",
                        BCON_DOCUMENT(mine),
                        BCON_DOCUMENT(rests),
                        "{", "$lt", "[",
                            BCON_UTF8("$renewedAt"),
                            "{", "$subtract", "[",
                                BCON_UTF8("$$NOW"),
                                BCON_INT64((int64_t) call->ttl),
                            "]", "}",
                        "]", "}",
                    "]");

    bson_destroy(rests);

    return take;
}


/* a pass begins now: it is not one of ours that is under way */

static bson_t *
ngx_iv_lease_fresh(const ngx_iv_mongo_call_t *call, const bson_t *take,
    const bson_t *mine)
{
    return BCON_NEW("$and", "[",
                        BCON_DOCUMENT(take),
                        "{", "$not", "[",
                            "{", "$and", "[",
                                BCON_BOOL(call->ask),
                                BCON_DOCUMENT(mine),
                                "{", "$ne", "[",
                                    BCON_UTF8("$idle"), BCON_BOOL(true),
                                "]", "}",
                            "]", "}",
                        "]", "}",
                    "]");
}


static void
ngx_iv_lease_set(bson_t *set, const bson_t *take, const bson_t *mine,
    char *holder)
{
    BCON_APPEND(set,
                "holder", "{", "$cond", "[",
                    BCON_DOCUMENT(take),
                    "{", "$literal", BCON_UTF8(holder), "}",
                    BCON_UTF8("$holder"),
                "]", "}",
                "renewedAt", "{", "$cond", "[",
                    BCON_DOCUMENT(take),
                    BCON_UTF8("$$NOW"),
                    BCON_UTF8("$renewedAt"),
                "]", "}",
                "idle", "{", "$cond", "[",
                    BCON_DOCUMENT(take),
                    BCON_UTF8("$$REMOVE"),
                    BCON_UTF8("$idle"),
                "]", "}",
                "fence", "{", "$cond", "[",
                    BCON_DOCUMENT(take),
                    "{", "$add", "[",
                        "{", "$ifNull", "[",
                            BCON_UTF8("$fence"), BCON_INT64(0),
                        "]", "}",
                        "{", "$cond", "[",
                            BCON_DOCUMENT(mine), BCON_INT64(0), BCON_INT64(1),
                        "]", "}",
                    "]", "}",
                    BCON_UTF8("$fence"),
                "]", "}");
}


/* only what is still ours: its number is part of the filter */

void
ngx_iv_mongo_sweep_end(ngx_iv_mongo_ctx_t *ctx)
{
    bool                             ok;
    char                            *holder;
    bson_t                          *filter, *update;
    bson_t                           reply;
    bson_error_t                     error;
    ngx_iv_mongo_call_t             *call;
    mongoc_find_and_modify_opts_t   *opts;

    call = ctx->call;

    holder = bson_malloc(call->holder.len + 1);
    ngx_memcpy(holder, call->holder.data, call->holder.len);
    holder[call->holder.len] = '\0';

    filter = BCON_NEW("_id", BCON_UTF8("sweep"),
                      "holder", BCON_UTF8(holder),
                      "fence", BCON_INT64(call->sweep->last.fence));

    update = ngx_iv_lease_pass(call, holder);
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    if (!ok) {
        ngx_iv_mongo_failed(ctx, &error, &reply);

    } else if (ngx_iv_lease_document(ctx, &reply) == NGX_OK) {
        call->count = 1;
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
    bson_free(holder);
}


static bson_t *
ngx_iv_lease_pass(const ngx_iv_mongo_call_t *call, char *holder)
{
    bson_t                     *pass, *update;
    const ngx_iv_sweep_pass_t  *p;

    p = &call->sweep->last;

    pass = BCON_NEW("startedAt", BCON_UTF8("$startedAt"),
                    "endedAt", BCON_UTF8("$$NOW"),
                    "holder", "{", "$literal", BCON_UTF8(holder), "}",
                    "fence", BCON_INT64(p->fence),
                    "complete", "{", "$literal",
                        BCON_BOOL(p->complete), "}",
                    "stale", BCON_INT64((int64_t) p->stale),
                    "expired", BCON_INT64((int64_t) p->expired),
                    "deleted", BCON_INT64((int64_t) p->deleted),
                    "removed", BCON_INT64((int64_t) p->removed),
                    "staged", BCON_INT64((int64_t) p->staged),
                    "uploads", BCON_INT64((int64_t) p->uploads),
                    "requests", BCON_INT64((int64_t) p->requests),
                    "entries", BCON_INT64((int64_t) p->entries),
                    "left", BCON_INT64((int64_t) p->left),
                    "errors", BCON_INT64((int64_t) p->errors),
                    "pauses", BCON_INT64((int64_t) p->pauses));

    update = BCON_NEW("0", "{", "$set", "{",
                          "lastPass", BCON_DOCUMENT(pass),
                          "idle", "{", "$literal", BCON_BOOL(true), "}",
                          "holder", BCON_UTF8(call->release ? "$$REMOVE"
                                                            : "$holder"),
                          "renewedAt", BCON_UTF8(call->release ? "$$REMOVE"
                                                               : "$$NOW"),
                      "}", "}");

    bson_destroy(pass);

    return update;
}


ngx_int_t
ngx_iv_mongo_sweep_parse(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc)
{
    ngx_pool_t            *pool;
    bson_iter_t            it;
    ngx_iv_sweep_pass_t   *last;
    ngx_iv_sweep_state_t  *state;

    pool = ctx->call->pool;
    state = ctx->call->sweep;
    last = &state->last;

    ngx_memzero(state, sizeof(ngx_iv_sweep_state_t));

    state->now = ngx_iv_lease_number(doc, "now");
    state->fence = ngx_iv_lease_number(doc, "fence");
    state->renewed_at = ngx_iv_lease_number(doc, "renewedAt");
    state->started_at = ngx_iv_lease_number(doc, "startedAt");
    state->requested_at = ngx_iv_lease_number(doc, "requestedAt");
    state->idle = bson_iter_init_find(&it, doc, "idle")
                  && bson_iter_as_bool(&it);

    last->started_at = ngx_iv_lease_number(doc, "lastPass.startedAt");
    last->ended_at = ngx_iv_lease_number(doc, "lastPass.endedAt");
    last->fence = ngx_iv_lease_number(doc, "lastPass.fence");
    last->complete = (ngx_uint_t) ngx_iv_lease_number(doc,
                                                      "lastPass.complete");
    last->stale = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.stale");
    last->expired = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.expired");
    last->deleted = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.deleted");
    last->removed = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.removed");
    last->staged = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.staged");
    last->uploads = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.uploads");
    last->requests = (ngx_uint_t) ngx_iv_lease_number(doc,
                                                      "lastPass.requests");
    last->entries = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.entries");
    last->left = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.left");
    last->errors = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.errors");
    last->pauses = (ngx_uint_t) ngx_iv_lease_number(doc, "lastPass.pauses");

    if (ngx_iv_lease_str(pool, doc, "holder", &state->holder) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_lease_str(pool, doc, "lastPass.holder", &last->holder);
}


static ngx_int_t
ngx_iv_lease_str(ngx_pool_t *pool, const bson_t *doc, const char *path,
    ngx_str_t *out)
{
    uint32_t      len;
    const char   *p;
    bson_iter_t   it, value;

    if (!bson_iter_init(&it, doc)
        || !bson_iter_find_descendant(&it, path, &value)
        || !BSON_ITER_HOLDS_UTF8(&value))
    {
        return NGX_OK;
    }

    p = bson_iter_utf8(&value, &len);

    out->data = ngx_pnalloc(pool, len + 1);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(out->data, p, len);
    out->len = len;

    return NGX_OK;
}


/* of dates in ms, of numbers, of what is true: 0 is none */

static int64_t
ngx_iv_lease_number(const bson_t *doc, const char *path)
{
    bson_iter_t  it, value;

    if (!bson_iter_init(&it, doc)
        || !bson_iter_find_descendant(&it, path, &value))
    {
        return 0;
    }

    if (BSON_ITER_HOLDS_DATE_TIME(&value)) {
        return bson_iter_date_time(&value);
    }

    return ngx_max(bson_iter_as_int64(&value), 0);
}
