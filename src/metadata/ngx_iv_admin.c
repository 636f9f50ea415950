/*
 * What owners and admins see of users and sums.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_list_query.h"


#define NGX_IV_ADMIN_TRIES  4


static ngx_int_t ngx_iv_admin_count(ngx_iv_mongo_ctx_t *ctx);
static ngx_int_t ngx_iv_admin_filter(ngx_iv_mongo_ctx_t *ctx,
    const ngx_str_t *id, bson_t *filter);
static ngx_int_t ngx_iv_admin_find(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *filter, ngx_uint_t limit);
static bson_t *ngx_iv_admin_fields(void);
static ngx_int_t ngx_iv_admin_add(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc);
static ngx_int_t ngx_iv_admin_id(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    ngx_str_t *id, ngx_uint_t mark);
static int64_t ngx_iv_admin_number(const bson_t *doc, const char *path,
    int64_t absent);
static ngx_int_t ngx_iv_admin_after(const ngx_str_t *after, bson_t *filter);
static ngx_int_t ngx_iv_admin_patch(ngx_iv_mongo_ctx_t *ctx);
static bson_t *ngx_iv_admin_update(const ngx_iv_user_patch_t *patch);


/* the document's numbers, or what there would be in one */

void
ngx_iv_mongo_usage(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                filter;
    ngx_int_t             rc;
    ngx_iv_user_t        *user;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    call->quota_limit = NGX_IV_QUOTA_NONE;

    if (ngx_iv_admin_count(ctx) != NGX_OK
        || call->quota.mode == NGX_IV_QUOTA_OFF)
    {
        return;
    }

    bson_init(&filter);
    rc = ngx_iv_admin_filter(ctx, &call->owner, &filter);

    if (rc == NGX_OK) {
        rc = ngx_iv_admin_find(ctx, &filter, 1);
    }

    bson_destroy(&filter);

    if (rc != NGX_OK) {
        return;
    }

    if (call->quota.mode == NGX_IV_QUOTA_SIZE) {
        call->quota_limit = call->quota.limit;
    }

    if (call->lists->found.nusers == 0) {

        /* only owners with a document may upload */

        if (call->quota.mode == NGX_IV_QUOTA_DOCUMENTS) {
            call->quota_limit = 0;
        }

        return;
    }

    user = call->lists->found.users;

    if (user->used != -1) {
        call->used = user->used;
    }

    if (user->limit != NGX_IV_QUOTA_NONE) {
        call->quota_limit = user->limit;
    }
}


/* used, count.  An index has all of it */

static ngx_int_t
ngx_iv_admin_count(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                match, *pipeline, *opts;
    ngx_int_t             rc;
    bson_error_t          error;
    const bson_t         *doc;
    mongoc_cursor_t      *cursor;
    mongoc_collection_t  *images;

    bson_init(&match);

    if (ngx_iv_document_append_owner(&match, "userId", &ctx->call->owner)
        != NGX_OK)
    {
        bson_destroy(&match);
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return NGX_ERROR;
    }

    BCON_APPEND(&match, "status", "{", "$in", "[",
                            BCON_UTF8("ready"), BCON_UTF8("processing"),
                        "]", "}");

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$match", BCON_DOCUMENT(&match), "}",
                            "{", "$group", "{",
                                "_id", BCON_NULL,
                                "used", "{", "$sum", BCON_UTF8("$size"), "}",
                                "images", "{", "$sum", "{", "$cond", "[",
                                    "{", "$eq", "[", BCON_UTF8("$status"),
                                        BCON_UTF8("ready"), "]", "}",
                                    BCON_INT32(1), BCON_INT32(0),
                                "]", "}", "}",
                            "}", "}",
                        "]");

    opts = BCON_NEW("maxTimeMS", BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    images = mongoc_client_get_collection(ctx->client, ctx->database,
                                          NGX_IV_MONGO_IMAGES);

    cursor = mongoc_collection_aggregate(images, MONGOC_QUERY_NONE, pipeline,
                                         opts, NULL);
    rc = NGX_OK;
    ctx->call->used = 0;

    if (mongoc_cursor_next(cursor, &doc)) {
        ctx->call->used = ngx_iv_admin_number(doc, "used", 0);
        ctx->call->count = (ngx_uint_t) ngx_iv_admin_number(doc, "images", 0);

    } else if (mongoc_cursor_error_document(cursor, &error, &doc)) {
        ngx_iv_mongo_failed(ctx, &error, doc);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(images);
    bson_destroy(opts);
    bson_destroy(pipeline);
    bson_destroy(&match);

    return rc;
}


static ngx_int_t
ngx_iv_admin_filter(ngx_iv_mongo_ctx_t *ctx, const ngx_str_t *id,
    bson_t *filter)
{
    if (ngx_iv_document_append_owner(filter, "_id", id) != NGX_OK) {
        ctx->call->code = NGX_IV_BAD_PARAMETER;
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* found->users, more, next.  NGX_OK; NGX_ERROR: the call has failed */

static ngx_int_t
ngx_iv_admin_find(ngx_iv_mongo_ctx_t *ctx, const bson_t *filter,
    ngx_uint_t limit)
{
    bson_t               *opts, *fields;
    ngx_uint_t            seen;
    bson_error_t          error;
    const bson_t         *doc;
    ngx_iv_found_t       *found;
    mongoc_cursor_t      *cursor;
    mongoc_collection_t  *users;

    found = &ctx->call->lists->found;

    found->users = ngx_pcalloc(ctx->call->pool,
                               limit * sizeof(ngx_iv_user_t));
    if (found->users == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return NGX_ERROR;
    }

    fields = ngx_iv_admin_fields();
    opts = BCON_NEW("limit", BCON_INT64((int64_t) limit + 1),
                    "sort", "{", "_id", BCON_INT32(1), "}",
                    "projection", BCON_DOCUMENT(fields),
                    "maxTimeMS",
                    BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    users = mongoc_client_get_collection(ctx->client, ctx->database,
                                         NGX_IV_MONGO_USERS);

    cursor = mongoc_collection_find_with_opts(users, filter, opts, NULL);

    seen = 0;

    while (ctx->call->code == NGX_OK && mongoc_cursor_next(cursor, &doc)) {

        if (seen++ == limit) {
            found->more = 1;
            break;
        }

        if (ngx_iv_admin_add(ctx, doc) != NGX_OK) {
            ngx_iv_mongo_internal(ctx, "no memory for a list");
        }
    }

    if (ctx->call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &doc))
    {
        ngx_iv_mongo_failed(ctx, &error, doc);
    }

    if (!found->more) {
        ngx_str_null(&found->next);
    }

    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(users);
    bson_destroy(opts);
    bson_destroy(fields);

    return ctx->call->code == NGX_OK ? NGX_OK : NGX_ERROR;
}


/* nothing else of the application's documents is looked at */

static bson_t *
ngx_iv_admin_fields(void)
{
    return BCON_NEW("storageQuota.used", BCON_INT32(1),
                    "storageQuota.limit", BCON_INT32(1),
                    "preferences.autoDelete", BCON_INT32(1),
                    "preferences.defaultExpiry", BCON_INT32(1));
}


/* NGX_OK, also for ids that are no owners: those are left out; NGX_ERROR */

static ngx_int_t
ngx_iv_admin_add(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc)
{
    ngx_int_t        rc;
    bson_iter_t      it, value;
    ngx_iv_user_t   *user;
    ngx_iv_found_t  *found;

    found = &ctx->call->lists->found;
    user = &found->users[found->nusers];

    if (ngx_iv_admin_id(ctx, doc, &found->next, 1) == NGX_ERROR) {
        return NGX_ERROR;
    }

    rc = ngx_iv_admin_id(ctx, doc, &user->id, 0);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    if (!ngx_iv_owner_valid(&user->id)) {
        return NGX_OK;
    }

    user->used = ngx_iv_admin_number(doc, "storageQuota.used", -1);
    user->limit = ngx_iv_admin_number(doc, "storageQuota.limit",
                                      NGX_IV_QUOTA_NONE);
    user->default_expiry = ngx_iv_admin_number(doc,
                                               "preferences.defaultExpiry", 0);
    user->auto_delete = bson_iter_init(&it, doc)
                        && bson_iter_find_descendant(&it,
                                                     "preferences.autoDelete",
                                                     &value)
                        && BSON_ITER_HOLDS_BOOL(&value)
                        && bson_iter_bool(&value);

    found->nusers++;

    return NGX_OK;
}


/* mark: with its type before it, as ngx_iv_admin_after() takes it.  NGX_OK;
 * NGX_DECLINED: neither a string nor an ObjectId; NGX_ERROR: memory */

static ngx_int_t
ngx_iv_admin_id(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc, ngx_str_t *id,
    ngx_uint_t mark)
{
    u_char       *p, hex[2 * NGX_IV_ID_LEN];
    uint32_t      len;
    ngx_str_t     src;
    bson_iter_t   it;

    if (!bson_iter_init_find(&it, doc, "_id")) {
        return NGX_DECLINED;
    }

    if (BSON_ITER_HOLDS_OID(&it)) {
        (void) ngx_iv_hex(hex, bson_iter_oid(&it)->bytes, NGX_IV_ID_LEN);
        src.len = sizeof(hex);
        src.data = hex;

    } else if (BSON_ITER_HOLDS_UTF8(&it)) {
        src.data = (u_char *) bson_iter_utf8(&it, &len);
        src.len = len;

    } else {
        return NGX_DECLINED;
    }

    id->data = ngx_pnalloc(ctx->call->pool, src.len + 1);
    if (id->data == NULL) {
        return NGX_ERROR;
    }

    p = id->data;

    if (mark) {
        *p++ = BSON_ITER_HOLDS_OID(&it) ? 'o' : 's';
    }

    if (src.len) {
        p = ngx_cpymem(p, src.data, src.len);
    }

    id->len = p - id->data;

    return NGX_OK;
}


/* shells and applications write doubles as well */

static int64_t
ngx_iv_admin_number(const bson_t *doc, const char *path, int64_t absent)
{
    double        d;
    bson_iter_t   it, value;

    if (!bson_iter_init(&it, doc)
        || !bson_iter_find_descendant(&it, path, &value))
    {
        return absent;
    }

    if (BSON_ITER_HOLDS_INT(&value)) {
        return bson_iter_as_int64(&value);
    }

    if (!BSON_ITER_HOLDS_DOUBLE(&value)) {
        return absent;
    }

    d = bson_iter_double(&value);

    return (d > -9e18 && d < 9e18) ? (int64_t) d : absent;
}


void
ngx_iv_mongo_users(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t   filter;

    bson_init(&filter);

    if (ngx_iv_admin_after(&ctx->call->lists->user.id, &filter) != NGX_OK) {
        ctx->call->code = NGX_IV_BAD_PARAMETER;

    } else {
        (void) ngx_iv_admin_find(ctx, &filter, ctx->call->limit);
    }

    bson_destroy(&filter);
}


/* strings come before ObjectIds, and a comparison keeps to its type */

static ngx_int_t
ngx_iv_admin_after(const ngx_str_t *after, bson_t *filter)
{
    bson_t       id;
    ngx_int_t    rc;
    ngx_str_t    value;
    bson_oid_t   oid;

    if (after->len == 0) {
        BCON_APPEND(filter, "_id", "{", "$type", "[",
                                BCON_UTF8("string"), BCON_UTF8("objectId"),
                            "]", "}");
        return NGX_OK;
    }

    value.data = after->data + 1;
    value.len = after->len - 1;

    if (after->data[0] == 'o') {

        if (value.len != 2 * NGX_IV_ID_LEN
            || ngx_iv_unhex(oid.bytes, value.data, NGX_IV_ID_LEN) != NGX_OK)
        {
            return NGX_DECLINED;
        }

        BCON_APPEND(filter, "_id", "{", "$gt", BCON_OID(&oid), "}");

        return NGX_OK;
    }

    if (after->data[0] != 's') {
        return NGX_DECLINED;
    }

    bson_init(&id);
    rc = ngx_iv_list_append_str(&id, "$gt", &value);

    BCON_APPEND(filter, "$or", "[",
                            "{", "_id", BCON_DOCUMENT(&id), "}",
                            "{", "_id", "{",
                                "$type", BCON_UTF8("objectId"),
                            "}", "}",
                        "]");

    bson_destroy(&id);

    return rc;
}


void
ngx_iv_mongo_user(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t      filter;
    ngx_int_t   rc;

    bson_init(&filter);

    rc = ngx_iv_admin_filter(ctx, &ctx->call->lists->user.id, &filter);

    if (rc == NGX_OK) {
        rc = ngx_iv_admin_find(ctx, &filter, 1);
    }

    bson_destroy(&filter);

    if (rc == NGX_OK && ctx->call->lists->found.nusers == 0) {
        ctx->call->code = NGX_IV_NOT_FOUND;
    }
}


void
ngx_iv_mongo_user_patch(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_iv_mongo_call_t  *call;
    ngx_iv_user_patch_t  *patch;

    call = ctx->call;
    patch = &call->lists->user;

    call->owner = patch->id;
    call->quota.mode = NGX_IV_QUOTA_SIZE;
    call->quota.limit = patch->limit;

    for (i = 0; i < NGX_IV_ADMIN_TRIES; i++) {

        rc = ngx_iv_admin_patch(ctx);

        if (rc == NGX_DECLINED) {

            if (!patch->has_limit || patch->limit == NGX_IV_QUOTA_NONE) {
                call->code = NGX_IV_NOT_FOUND;
                return;
            }

            rc = ngx_iv_mongo_quota_create(ctx);

        } else if (rc == NGX_OK && patch->has_limit
                   && patch->limit != NGX_IV_QUOTA_NONE
                   && call->lists->found.users[0].used == -1)
        {
            rc = ngx_iv_mongo_quota_complete(ctx);
        }

        if (rc != NGX_AGAIN) {
            return;
        }
    }

    call->code = NGX_IV_METADATA_UNAVAILABLE;

    (void) ngx_snprintf(call->message, NGX_IV_MONGO_MESSAGE_LEN,
                        "the user's document keeps changing%Z");
}


/* NGX_OK; NGX_DECLINED: there is none; NGX_ERROR: the call has failed */

static ngx_int_t
ngx_iv_admin_patch(ngx_iv_mongo_ctx_t *ctx)
{
    bool                            ok;
    bson_t                          filter, *update, *fields, reply, doc;
    uint32_t                        len;
    ngx_int_t                       rc;
    bson_iter_t                     it;
    const uint8_t                  *data;
    bson_error_t                    error;
    ngx_iv_found_t                 *found;
    ngx_iv_user_patch_t            *patch;
    mongoc_find_and_modify_opts_t  *opts;

    patch = &ctx->call->lists->user;
    found = &ctx->call->lists->found;

    found->nusers = 0;
    found->users = ngx_pcalloc(ctx->call->pool, sizeof(ngx_iv_user_t));
    if (found->users == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return NGX_ERROR;
    }

    bson_init(&filter);

    if (ngx_iv_admin_filter(ctx, &patch->id, &filter) != NGX_OK) {
        bson_destroy(&filter);
        return NGX_ERROR;
    }

    update = ngx_iv_admin_update(patch);
    fields = ngx_iv_admin_fields();
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_fields(opts, fields);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, &filter,
                                                     opts, &reply, &error);

    rc = ngx_iv_mongo_modified(ctx, ok, &reply, &error, &it);

    if (rc == NGX_OK) {
        rc = NGX_DECLINED;

        if (BSON_ITER_HOLDS_DOCUMENT(&it)) {
            bson_iter_document(&it, &len, &data);

            rc = (bson_init_static(&doc, data, len)
                  && ngx_iv_admin_add(ctx, &doc) == NGX_OK
                  && found->nusers == 1) ? NGX_OK : NGX_ERROR;

            ngx_str_null(&found->next);

            if (rc == NGX_ERROR) {
                ngx_iv_mongo_internal(ctx, "the user's document cannot be "
                                      "understood");
            }
        }
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(fields);
    bson_destroy(update);
    bson_destroy(&filter);

    return rc;
}


static bson_t *
ngx_iv_admin_update(const ngx_iv_user_patch_t *patch)
{
    bson_t  *update, set, unset;

    bson_init(&set);
    bson_init(&unset);

    if (patch->has_limit && patch->limit != NGX_IV_QUOTA_NONE) {
        (void) bson_append_int64(&set, "storageQuota.limit", -1,
                                 patch->limit);

    } else if (patch->has_limit) {
        (void) bson_append_utf8(&unset, "storageQuota.limit", -1, "", 0);
    }

    if (patch->has_auto_delete) {
        (void) bson_append_bool(&set, "preferences.autoDelete", -1,
                                patch->auto_delete ? true : false);
    }

    if (patch->has_default_expiry && patch->default_expiry) {
        (void) bson_append_int64(&set, "preferences.defaultExpiry", -1,
                                 patch->default_expiry);

    } else if (patch->has_default_expiry) {
        (void) bson_append_utf8(&unset, "preferences.defaultExpiry", -1, "",
                                0);
    }

    /* never empty altogether: that would replace the document */

    update = bson_new();

    if (!bson_empty(&set) || bson_empty(&unset)) {
        (void) bson_append_document(update, "$set", -1, &set);
    }

    if (!bson_empty(&unset)) {
        (void) bson_append_document(update, "$unset", -1, &unset);
    }

    bson_destroy(&unset);
    bson_destroy(&set);

    return update;
}
