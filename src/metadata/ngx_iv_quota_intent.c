/*
 * What deletes note in an owner's document, so that the image's size is given
 * back exactly once, whatever is killed, repeated or run side by side.
 *
 * A delete is three steps:
 *
 *   note   pending.<image>: {release, intent, at}; a number that its upload has
 *          left there is replaced, so that a late settlement finds none; a note
 *          that is there already is shared
 *   mark   the image becomes `error`, with deletion.id = intent
 *   give   used -= release and the note goes, filtered by the intent
 *
 * Only the note whose name the image bears is ever carried out.  Any other, of
 * a delete that came second, is just dropped.  A note whose image is still
 * there after a while was left by a crash, or its delete hangs: before the
 * sweep drops it, the image is told (deletion.cancelled), and the mark's filter
 * finds that, however late it comes.  Otherwise such a mark would find its note
 * gone, and nothing would be given back.  A delete that must not be, since the
 * image has changed, takes its note back in the same way.
 *
 * An owner whose document has no `used` is not counted, and nothing is noted:
 * when it is made, it is the sum of the images that are there then.  What that
 * leaves open: a delete that runs in the very moment of an owner's first
 * reservation may be in the sum or not; and an image that was uploaded where
 * quota is off, to an owner who has a `used` already, was never added and is
 * taken off.  `used` does not fall below 0, and where an operator unsets it, it
 * is summed up anew.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"


static bson_t *ngx_iv_intent_update(const char *name, int64_t n,
    const bson_oid_t *intent);
static ngx_int_t ngx_iv_intent_noted(ngx_iv_mongo_ctx_t *ctx,
    const bson_iter_t *value, const char *name, bson_oid_t *intent);
static ngx_int_t ngx_iv_intent_marked(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const u_char *id, bson_oid_t *intent,
    ngx_uint_t *deletable);
static int64_t ngx_iv_intent_drop_others(ngx_iv_mongo_ctx_t *ctx,
    const bson_value_t *owner, const u_char *id, const bson_oid_t *intent);
static int64_t ngx_iv_intent_tell(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const u_char *id, const bson_oid_t *intent);


ngx_int_t
ngx_iv_mongo_intent_note(ngx_iv_mongo_ctx_t *ctx, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], int64_t n, bson_oid_t *intent)
{
    bool                            ok;
    char                            name[NGX_IV_QUOTA_NAME];
    bson_t                         *filter, *update, *fields, reply;
    ngx_int_t                       rc;
    bson_iter_t                     it;
    bson_error_t                    error;
    mongoc_collection_t            *users;
    mongoc_find_and_modify_opts_t  *opts;

    ngx_iv_mongo_quota_name(name, id);
    bson_oid_init(intent, NULL);

    filter = bson_new();
    (void) bson_append_value(filter, "_id", -1, owner);
    BCON_APPEND(filter,
                "storageQuota.used", "{", "$type", BCON_UTF8("number"), "}");

    update = ngx_iv_intent_update(name, n, intent);
    fields = BCON_NEW(name + 1, BCON_INT32(1));
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_fields(opts, fields);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    users = mongoc_client_get_collection(ctx->client, ctx->database,
                                         NGX_IV_MONGO_USERS);

    ok = mongoc_collection_find_and_modify_with_opts(users, filter, opts,
                                                     &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {
        rc = ngx_iv_intent_noted(ctx, &it, name + 1, intent);
    }

    mongoc_collection_destroy(users);
    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(fields);
    bson_destroy(update);
    bson_destroy(filter);

    return rc;
}


/* what an upload has reserved is what was counted, whatever the size is */

static bson_t *
ngx_iv_intent_update(const char *name, int64_t n, const bson_oid_t *intent)
{
    return BCON_NEW("0", "{", "$set", "{", name + 1, "{", "$cond", "[",
                        "{", "$eq", "[",
                            "{", "$type", BCON_UTF8(name), "}",
                            BCON_UTF8("object"),
                        "]", "}",
                        "{", "$mergeObjects", "[",
                            BCON_UTF8(name),
                            "{", "at", BCON_UTF8("$$NOW"), "}",
                        "]", "}",
                        "{",
                            "release", "{", "$cond", "[",
                                "{", "$isNumber", BCON_UTF8(name), "}",
                                BCON_UTF8(name),
                                BCON_INT64(n),
                            "]", "}",
                            "intent", BCON_OID(intent),
                            "at", BCON_UTF8("$$NOW"),
                        "}",
                    "]", "}", "}", "}");
}


static ngx_int_t
ngx_iv_intent_noted(ngx_iv_mongo_ctx_t *ctx, const bson_iter_t *value,
    const char *name, bson_oid_t *intent)
{
    char          path[NGX_IV_QUOTA_NAME + sizeof(".intent")];
    bson_t        doc;
    uint32_t      len;
    bson_iter_t   top, it;
    const uint8_t *data;

    if (!BSON_ITER_HOLDS_DOCUMENT(value)) {
        return NGX_DECLINED;
    }

    bson_iter_document(value, &len, &data);

    (void) ngx_snprintf((u_char *) path, sizeof(path), "%s.intent%Z", name);

    if (!bson_init_static(&doc, data, len)
        || !bson_iter_init(&top, &doc)
        || !bson_iter_find_descendant(&top, path, &it)
        || !BSON_ITER_HOLDS_OID(&it))
    {
        ngx_iv_mongo_internal(ctx, "the note of a delete cannot be "
                                   "understood");
        return NGX_ERROR;
    }

    bson_oid_copy(bson_iter_oid(&it), intent);

    return NGX_OK;
}


int64_t
ngx_iv_mongo_intent_drop(ngx_iv_mongo_ctx_t *ctx, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], const bson_oid_t *intent, ngx_uint_t give)
{
    char                  name[NGX_IV_QUOTA_NAME];
    char                  path[NGX_IV_QUOTA_NAME + sizeof(".release")];
    bson_t               *filter;
    int64_t               n;
    mongoc_collection_t  *users;

    ngx_iv_mongo_quota_name(name, id);

    (void) ngx_snprintf((u_char *) path, sizeof(path), "%s.intent%Z",
                        name + 1);

    filter = bson_new();
    (void) bson_append_value(filter, "_id", -1, owner);
    (void) bson_append_oid(filter, path, -1, intent);

    (void) ngx_snprintf((u_char *) path, sizeof(path), "%s.release%Z", name);

    users = mongoc_client_get_collection(ctx->client, ctx->database,
                                         NGX_IV_MONGO_USERS);

    n = ngx_iv_mongo_quota_take(ctx, users, filter, name, give ? path : NULL);

    mongoc_collection_destroy(users);
    bson_destroy(filter);

    return n;
}


/* intent: NULL: all of them */

static int64_t
ngx_iv_intent_drop_others(ngx_iv_mongo_ctx_t *ctx, const bson_value_t *owner,
    const u_char *id, const bson_oid_t *intent)
{
    char                  name[NGX_IV_QUOTA_NAME];
    char                  path[NGX_IV_QUOTA_NAME + sizeof(".intent")];
    bson_t               *filter, sub;
    int64_t               n;
    mongoc_collection_t  *users;

    ngx_iv_mongo_quota_name(name, id);

    (void) ngx_snprintf((u_char *) path, sizeof(path), "%s.intent%Z",
                        name + 1);

    filter = bson_new();
    (void) bson_append_value(filter, "_id", -1, owner);
    (void) bson_append_document_begin(filter, path, -1, &sub);
    (void) bson_append_utf8(&sub, "$type", -1, "objectId", -1);

    if (intent) {
        (void) bson_append_oid(&sub, "$ne", -1, intent);
    }

    (void) bson_append_document_end(filter, &sub);

    users = mongoc_client_get_collection(ctx->client, ctx->database,
                                         NGX_IV_MONGO_USERS);

    n = ngx_iv_mongo_quota_take(ctx, users, filter, name, NULL);

    mongoc_collection_destroy(users);
    bson_destroy(filter);

    return n;
}


int64_t
ngx_iv_mongo_intent_release(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                owner;
    int64_t               n, others;
    ngx_int_t             rc;
    bson_oid_t            intent;
    ngx_uint_t            deletable;
    bson_iter_t           it;
    mongoc_collection_t  *images;

    images = mongoc_client_get_collection(ctx->client, ctx->database,
                                          NGX_IV_MONGO_IMAGES);

    rc = ngx_iv_intent_marked(ctx, images, ctx->call->id, &intent, &deletable);

    mongoc_collection_destroy(images);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (deletable) {
        return 0;
    }

    bson_init(&owner);

    (void) ngx_iv_document_append_owner(&owner, "_id", &ctx->call->owner);

    n = 0;

    if (bson_iter_init_find(&it, &owner, "_id")) {

        if (rc == NGX_OK) {
            n = ngx_iv_mongo_intent_drop(ctx, bson_iter_value(&it),
                                         ctx->call->id, &intent, 1);
        }

        if (n == 0) {
            others = ngx_iv_intent_drop_others(ctx, bson_iter_value(&it),
                                               ctx->call->id,
                                               rc == NGX_OK ? &intent : NULL);

            n = (others == NGX_ERROR) ? NGX_ERROR : 0;
        }
    }

    bson_destroy(&owner);

    return n;
}


/* whose delete was carried out.  NGX_OK; NGX_DECLINED: nobody's, or there is no
 * image; NGX_ERROR */

static ngx_int_t
ngx_iv_intent_marked(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *images,
    const u_char *id, bson_oid_t *intent, ngx_uint_t *deletable)
{
    bson_t           *filter, *opts;
    ngx_int_t         rc;
    bson_oid_t        oid;
    bson_iter_t       top, it;
    bson_error_t      error;
    const bson_t     *found;
    mongoc_cursor_t  *cursor;

    *deletable = 0;

    bson_oid_init_from_data(&oid, id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    opts = BCON_NEW("limit", BCON_INT64(1),
                    "projection", "{",
                        "status", BCON_INT32(1),
                        "deletedAt", BCON_INT32(1),
                        "deletion", BCON_INT32(1),
                    "}");

    cursor = mongoc_collection_find_with_opts(images, filter, opts, NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &found)) {

        if (bson_iter_init(&top, found)
            && bson_iter_find_descendant(&top, "deletion.id", &it)
            && BSON_ITER_HOLDS_OID(&it))
        {
            bson_oid_copy(bson_iter_oid(&it), intent);
            rc = NGX_OK;

        } else {
            *deletable = !(bson_iter_init_find(&it, found, "status")
                           && BSON_ITER_HOLDS_UTF8(&it)
                           && ngx_strcmp(bson_iter_utf8(&it, NULL), "error")
                              == 0)
                         && !(bson_iter_init_find(&it, found, "deletedAt")
                              && BSON_ITER_HOLDS_DATE_TIME(&it));
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


int64_t
ngx_iv_mongo_intent_sweep(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], const bson_iter_t *entry)
{
    int64_t      at;
    ngx_int_t    rc;
    bson_oid_t   intent, marked;
    ngx_uint_t   deletable;
    bson_iter_t  it, field;

    if (!bson_iter_recurse(entry, &it)
        || !bson_iter_find_descendant(&it, "intent", &field)
        || !BSON_ITER_HOLDS_OID(&field))
    {
        return 0;
    }

    bson_oid_copy(bson_iter_oid(&field), &intent);

    rc = ngx_iv_intent_marked(ctx, images, id, &marked, &deletable);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (!deletable) {
        return ngx_iv_mongo_intent_drop(ctx, owner, id, &intent,
                                        rc == NGX_OK
                                        && bson_oid_equal(&intent, &marked));
    }

    at = 0;

    if (bson_iter_recurse(entry, &it)
        && bson_iter_find_descendant(&it, "at", &field)
        && BSON_ITER_HOLDS_DATE_TIME(&field))
    {
        at = bson_iter_date_time(&field);
    }

    /* whose clock it is does not matter: dropped too early, a delete begins
     * anew */

    if (at + (int64_t) ctx->call->ttl > (int64_t) time(NULL) * 1000) {
        return 0;
    }

    return ngx_iv_mongo_intent_cancel(ctx, images, owner, id, &intent);
}


int64_t
ngx_iv_mongo_intent_cancel(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], const bson_oid_t *intent)
{
    int64_t  n;

    n = ngx_iv_intent_tell(ctx, images, id, intent);

    if (n <= 0) {
        return n;
    }

    return ngx_iv_mongo_intent_drop(ctx, owner, id, intent, 0);
}


static int64_t
ngx_iv_intent_tell(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *images,
    const u_char *id, const bson_oid_t *intent)
{
    bool           ok;
    bson_t        *filter, *update, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_mongo_deletable(id);
    update = BCON_NEW("$addToSet", "{",
                          "deletion.cancelled", BCON_OID(intent),
                      "}");

    ok = mongoc_collection_update_one(images, filter, update, NULL, &reply,
                                      &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return n;
}
