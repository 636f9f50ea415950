/*
 * Requests that may be repeated (Idempotency-Key): a document says that one is
 * running, and later what became of it.
 *
 * Who began it is noted by the token of the process's pool of connections, so
 * that a process that was thought dead changes nothing of its successor's.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"


#define NGX_IV_RECORD_TRIES     4
/* a document has at most 16 MB; far above what any form may bring */
#define NGX_IV_RECORD_OUTCOMES  10000


static bson_t *ngx_iv_record_filter(ngx_iv_mongo_ctx_t *ctx,
    ngx_uint_t mine);
static ngx_int_t ngx_iv_record_take(ngx_iv_mongo_ctx_t *ctx);
static bson_t *ngx_iv_record_begin(ngx_iv_mongo_ctx_t *ctx);
static ngx_int_t ngx_iv_record_got(ngx_iv_mongo_ctx_t *ctx, bson_iter_t *it);
static ngx_uint_t ngx_iv_record_binary(const bson_t *doc, const char *name,
    const u_char *p, size_t n);
static ngx_int_t ngx_iv_record_read(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *doc);
static ngx_int_t ngx_iv_record_outcome(ngx_iv_mongo_ctx_t *ctx,
    bson_iter_t *entry, ngx_iv_outcome_t *out);
static ngx_int_t ngx_iv_record_string(ngx_pool_t *pool, bson_iter_t *it,
    ngx_str_t *out);
static ngx_int_t ngx_iv_record_code(const ngx_str_t *word);
static bson_t *ngx_iv_record_end(const ngx_iv_mongo_call_t *call);
static bool ngx_iv_record_append(bson_t *b, const char *name,
    const ngx_str_t *s);
static int64_t ngx_iv_record_update(ngx_iv_mongo_ctx_t *ctx, bson_t *update);


void
ngx_iv_mongo_request_begin(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_RECORD_TRIES; i++) {

        rc = ngx_iv_record_take(ctx);

        if (rc != NGX_AGAIN) {
            return;
        }
    }

    ctx->call->code = NGX_IV_CONFLICT;
}


/* owner NUL key; NULL: they cannot be written */

static bson_t *
ngx_iv_record_filter(ngx_iv_mongo_ctx_t *ctx, ngx_uint_t mine)
{
    bool                  ok;
    char                 *id;
    size_t                len;
    bson_t               *filter;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    len = call->owner.len + 1 + call->key.len;

    id = ngx_pnalloc(call->pool, len);

    if (id == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a key");
        return NULL;
    }

    ngx_memcpy(id, call->owner.data, call->owner.len);
    id[call->owner.len] = '\0';
    ngx_memcpy(id + call->owner.len + 1, call->key.data, call->key.len);

    /* no zero byte in either: the first one ends the owner */

    if (call->owner.len == 0 || call->key.len == 0
        || !bson_utf8_validate((char *) call->owner.data, call->owner.len,
                               false)
        || !bson_utf8_validate((char *) call->key.data, call->key.len, false))
    {
        call->code = NGX_IV_BAD_PARAMETER;
        return NULL;
    }

    filter = bson_new();

    ok = bson_append_utf8(filter, "_id", -1, id, (int) len);

    if (ok && mine) {
        ok = bson_append_binary(filter, "by", -1, BSON_SUBTYPE_BINARY,
                                ctx->token, NGX_IV_MONGO_TOKEN);
    }

    if (!ok) {
        bson_destroy(filter);
        ngx_iv_mongo_internal(ctx, "the key cannot be written as BSON");
        return NULL;
    }

    return filter;
}


/*
 * One step: a key that is free, or whose holder gave no sign of life, becomes
 * ours, which the nonce shows; another's document stays and is what we get.
 * NGX_OK: the call has its result; NGX_AGAIN: another made the document in the
 * same moment; NGX_ERROR
 */

static ngx_int_t
ngx_iv_record_take(ngx_iv_mongo_ctx_t *ctx)
{
    bool                            ok;
    bson_t                         *filter, *update, reply;
    ngx_int_t                       rc;
    bson_iter_t                     it;
    bson_error_t                    error;
    mongoc_find_and_modify_opts_t  *opts;

    filter = ngx_iv_record_filter(ctx, 0);
    if (filter == NULL) {
        return NGX_ERROR;
    }

    update = ngx_iv_record_begin(ctx);
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_UPSERT
                                          |MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    if (!ok && error.code == MONGOC_ERROR_DUPLICATE_KEY) {
        rc = NGX_AGAIN;

    } else {
        rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);
    }

    if (rc == NGX_OK) {
        rc = ngx_iv_record_got(ctx, &it);
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


static bson_t *
ngx_iv_record_begin(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                     *take, *mine, *update;
    const ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    take = BCON_NEW("$or", "[",
                        "{", "$eq", "[",
                            "{", "$type", BCON_UTF8("$status"), "}",
                            BCON_UTF8("missing"),
                        "]", "}",
                        "{", "$and", "[",
                            "{", "$eq", "[",
                                BCON_UTF8("$status"), BCON_INT32(0),
                            "]", "}",
                            "{", "$lt", "[",
                                BCON_UTF8("$updatedAt"),
                                "{", "$subtract", "[",
                                    BCON_UTF8("$$NOW"),
                                    BCON_INT64((int64_t) call->ttl),
                                "]", "}",
                            "]", "}",
                        "]", "}",
                    "]");

    mine = BCON_NEW("_id", BCON_UTF8("$_id"),
                    "status", BCON_INT32(0),
                    "fingerprint", BCON_BIN(BSON_SUBTYPE_BINARY,
                                            call->fingerprint,
                                            NGX_IV_SHA256_LEN),
                    "by", BCON_BIN(BSON_SUBTYPE_BINARY, ctx->token,
                                   NGX_IV_MONGO_TOKEN),
                    "nonce", BCON_BIN(BSON_SUBTYPE_BINARY, call->nonce,
                                      NGX_IV_REQUEST_NONCE),
                    "updatedAt", BCON_UTF8("$$NOW"));

    update = BCON_NEW("0", "{", "$replaceWith", "{", "$cond", "[",
                          BCON_DOCUMENT(take),
                          BCON_DOCUMENT(mine),
                          BCON_UTF8("$$ROOT"),
                      "]", "}", "}");

    bson_destroy(mine);
    bson_destroy(take);

    return update;
}


/* ours, if it has our nonce */

static ngx_int_t
ngx_iv_record_got(ngx_iv_mongo_ctx_t *ctx, bson_iter_t *it)
{
    bson_t          doc;
    uint32_t        len;
    const uint8_t  *data;

    if (BSON_ITER_HOLDS_DOCUMENT(it)) {
        bson_iter_document(it, &len, &data);

        if (bson_init_static(&doc, data, len)) {

            if (ngx_iv_record_binary(&doc, "nonce", ctx->call->nonce,
                                     NGX_IV_REQUEST_NONCE))
            {
                return NGX_OK;
            }

            return ngx_iv_record_read(ctx, &doc);
        }
    }

    ngx_iv_mongo_internal(ctx, "the server's answer has no document");

    return NGX_ERROR;
}


/* 1: the field has exactly these bytes */

static ngx_uint_t
ngx_iv_record_binary(const bson_t *doc, const char *name, const u_char *p,
    size_t n)
{
    uint32_t         len;
    bson_iter_t      it;
    const uint8_t   *data;
    bson_subtype_t   subtype;

    if (!bson_iter_init_find(&it, doc, name) || !BSON_ITER_HOLDS_BINARY(&it)) {
        return 0;
    }

    bson_iter_binary(&it, &subtype, &len, &data);

    return len == n && ngx_memcmp(data, p, n) == 0;
}


static ngx_int_t
ngx_iv_record_read(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc)
{
    bson_iter_t           it, list;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    if (!ngx_iv_record_binary(doc, "fingerprint", call->fingerprint,
                              NGX_IV_SHA256_LEN)
        || !bson_iter_init_find(&it, doc, "status")
        || !BSON_ITER_HOLDS_INT(&it)
        || bson_iter_as_int64(&it) == 0)
    {
        call->code = NGX_IV_CONFLICT;
        return NGX_OK;
    }

    call->status = (ngx_uint_t) bson_iter_as_int64(&it);

    if (!bson_iter_init_find(&it, doc, "outcomes")
        || !BSON_ITER_HOLDS_ARRAY(&it)
        || !bson_iter_recurse(&it, &list))
    {
        return NGX_OK;
    }

    while (bson_iter_next(&list)) {
        call->noutcomes++;
    }

    if (call->noutcomes == 0) {
        return NGX_OK;
    }

    if (call->noutcomes <= NGX_IV_RECORD_OUTCOMES) {
        call->outcomes = ngx_pcalloc(call->pool, call->noutcomes
                                                 * sizeof(ngx_iv_outcome_t));
    }

    if (call->outcomes == NULL) {
        call->noutcomes = 0;
        ngx_iv_mongo_internal(ctx, "no memory for a list of outcomes");
        return NGX_ERROR;
    }

    call->noutcomes = 0;
    (void) bson_iter_recurse(&it, &list);

    while (bson_iter_next(&list)) {
        if (ngx_iv_record_outcome(ctx, &list,
                                  &call->outcomes[call->noutcomes++])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_record_outcome(ngx_iv_mongo_ctx_t *ctx, bson_iter_t *entry,
    ngx_iv_outcome_t *out)
{
    ngx_int_t    rc;
    ngx_str_t    word;
    const char  *key;
    bson_iter_t  it;

    if (!BSON_ITER_HOLDS_DOCUMENT(entry) || !bson_iter_recurse(entry, &it)) {
        ngx_iv_mongo_internal(ctx, "an outcome cannot be understood");
        return NGX_ERROR;
    }

    rc = NGX_OK;
    ngx_str_null(&word);

    while (rc == NGX_OK && bson_iter_next(&it)) {
        key = bson_iter_key(&it);

        if (ngx_strcmp(key, "id") == 0 && BSON_ITER_HOLDS_OID(&it)) {
            ngx_memcpy(out->id, bson_iter_oid(&it)->bytes, NGX_IV_ID_LEN);

        } else if (ngx_strcmp(key, "name") == 0) {
            rc = ngx_iv_record_string(ctx->call->pool, &it, &out->name);

        } else if (ngx_strcmp(key, "message") == 0) {
            rc = ngx_iv_record_string(ctx->call->pool, &it, &out->message);

        } else if (ngx_strcmp(key, "code") == 0) {
            rc = ngx_iv_record_string(ctx->call->pool, &it, &word);
        }
    }

    if (rc != NGX_OK) {
        ngx_iv_mongo_internal(ctx, "no memory for an outcome");
        return NGX_ERROR;
    }

    out->code = word.len ? ngx_iv_record_code(&word) : NGX_OK;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_record_string(ngx_pool_t *pool, bson_iter_t *it, ngx_str_t *out)
{
    uint32_t   len;
    ngx_str_t  s;

    if (!BSON_ITER_HOLDS_UTF8(it)) {
        return NGX_OK;
    }

    s.data = (u_char *) bson_iter_utf8(it, &len);
    s.len = len;

    return ngx_iv_copy_str(pool, out, &s);
}


/* words are stable, numbers are not */

static ngx_int_t
ngx_iv_record_code(const ngx_str_t *word)
{
    ngx_int_t         code;
    const ngx_str_t  *known;

    for (code = 1; code < NGX_IV_CODE_LAST; code++) {
        known = &ngx_iv_code(code)->word;

        if (known->len == word->len
            && ngx_memcmp(known->data, word->data, word->len) == 0)
        {
            return code;
        }
    }

    return NGX_IV_INTERNAL;
}


void
ngx_iv_mongo_request_alive(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t  *update;

    update = BCON_NEW("$currentDate", "{", "updatedAt", BCON_BOOL(true), "}");

    (void) ngx_iv_record_update(ctx, update);

    bson_destroy(update);
}


void
ngx_iv_mongo_request_end(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t  *update;

    update = ngx_iv_record_end(ctx->call);

    if (update == NULL) {
        ngx_iv_mongo_internal(ctx, "the outcomes cannot be written as BSON");
        return;
    }

    (void) ngx_iv_record_update(ctx, update);

    bson_destroy(update);
}


static int64_t
ngx_iv_record_update(ngx_iv_mongo_ctx_t *ctx, bson_t *update)
{
    bool           ok;
    bson_t        *filter, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_record_filter(ctx, 1);
    if (filter == NULL) {
        return NGX_ERROR;
    }

    ok = mongoc_collection_update_one(ctx->collection, filter, update, NULL,
                                      &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    if (n == 0) {
        ctx->call->code = NGX_IV_CONFLICT;

    } else if (n > 0) {
        ctx->call->count = 1;
    }

    bson_destroy(&reply);
    bson_destroy(filter);

    return n;
}


static bson_t *
ngx_iv_record_end(const ngx_iv_mongo_call_t *call)
{
    bool                     ok;
    char                     buf[16];
    bson_t                  *update, set, list, sub;
    bson_oid_t               oid;
    const char              *index;
    ngx_uint_t               i;
    const ngx_iv_outcome_t  *outcome;

    update = BCON_NEW("$currentDate", "{", "updatedAt", BCON_BOOL(true), "}");

    (void) bson_append_document_begin(update, "$set", -1, &set);
    (void) bson_append_int32(&set, "status", -1, (int32_t) call->status);
    (void) ngx_iv_bson_array_begin(&set, "outcomes", -1, &list);

    ok = (call->noutcomes <= NGX_IV_RECORD_OUTCOMES);

    for (i = 0; ok && i < call->noutcomes; i++) {
        outcome = &call->outcomes[i];

        bson_oid_init_from_data(&oid, outcome->id);
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

        (void) bson_append_document_begin(&list, index, -1, &sub);

        ok = ngx_iv_record_append(&sub, "name", &outcome->name);

        if (outcome->code == NGX_OK) {
            ok = ok && bson_append_oid(&sub, "id", -1, &oid);

        } else {
            ok = ok
                 && ngx_iv_record_append(&sub, "code",
                                         &ngx_iv_code(outcome->code)->word)
                 && ngx_iv_record_append(&sub, "message", &outcome->message);
        }

        (void) bson_append_document_end(&list, &sub);
    }

    (void) bson_append_array_end(&set, &list);
    (void) bson_append_document_end(update, &set);

    if (!ok) {
        bson_destroy(update);
        return NULL;
    }

    return update;
}


static bool
ngx_iv_record_append(bson_t *b, const char *name, const ngx_str_t *s)
{
    if (s->len == 0) {
        return bson_append_utf8(b, name, -1, "", 0);
    }

    return s->len <= NGX_MAX_INT32_VALUE
           && bson_utf8_validate((char *) s->data, s->len, true)
           && bson_append_utf8(b, name, -1, (char *) s->data, (int) s->len);
}


/* the key may be used again; one that is another's by now stays, also if that
 * is of this process */

void
ngx_iv_mongo_request_free(ngx_iv_mongo_ctx_t *ctx)
{
    bool           ok;
    bson_t        *filter, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_record_filter(ctx, 1);
    if (filter == NULL) {
        return;
    }

    BCON_APPEND(filter,
                "status", BCON_INT32(0),
                "nonce", BCON_BIN(BSON_SUBTYPE_BINARY, ctx->call->nonce,
                                  NGX_IV_REQUEST_NONCE));

    ok = mongoc_collection_delete_one(ctx->collection, filter, NULL, &reply,
                                      &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "deletedCount");

    if (n > 0) {
        ctx->call->count = 1;
    }

    bson_destroy(&reply);
    bson_destroy(filter);
}
