/*
 * The sweep's look at quota entries that were left behind: of an image that is
 * ready the entry goes and `used` stays; of one that has failed, or is not
 * there although its id is old, what it held is given back.  Each step is
 * filtered by the entry, so it may run anywhere, at any time, and again.
 */

#include "metadata/ngx_iv_mongo_driver.h"


/* entries of one owner that are looked at in one pass */
#define NGX_IV_QUOTA_ENTRIES  256


typedef enum {
    NGX_IV_QUOTA_KEEP = 0,
    NGX_IV_QUOTA_DROP,
    NGX_IV_QUOTA_GIVE
} ngx_iv_quota_action_e;


static void ngx_iv_quota_owner(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const bson_t *user);
static ngx_int_t ngx_iv_quota_action(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const u_char *id,
    ngx_iv_quota_action_e *action);
static ngx_uint_t ngx_iv_quota_old(const ngx_iv_mongo_call_t *call,
    const u_char *id);


/* owners by chance: live uploads of many must not hide what lies behind them */

void
ngx_iv_mongo_quota_sweep(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                empty, *pipeline;
    bson_error_t          error;
    const bson_t         *user;
    mongoc_cursor_t      *cursor;
    mongoc_collection_t  *images;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    bson_init(&empty);

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$match", "{",
                                "storageQuota.pending", "{",
                                    "$gt", BCON_DOCUMENT(&empty),
                                "}",
                            "}", "}",
                            "{", "$project", "{",
                                "storageQuota.pending", BCON_INT32(1),
                            "}", "}",
                            "{", "$sample", "{",
                                "size", BCON_INT64((int64_t) call->limit),
                            "}", "}",
                        "]");

    images = mongoc_client_get_collection(ctx->client, ctx->database,
                                          NGX_IV_MONGO_IMAGES);

    cursor = mongoc_collection_aggregate(ctx->collection, MONGOC_QUERY_NONE,
                                         pipeline, NULL, NULL);

    while (call->code == NGX_OK && mongoc_cursor_next(cursor, &user)) {
        ngx_iv_quota_owner(ctx, images, user);
    }

    if (call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &user))
    {
        ngx_iv_mongo_failed(ctx, &error, user);
    }

    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(images);
    bson_destroy(pipeline);
    bson_destroy(&empty);
}


static void
ngx_iv_quota_owner(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *images,
    const bson_t *user)
{
    u_char                  id[NGX_IV_ID_LEN];
    int64_t                 n;
    ngx_str_t               name;
    ngx_uint_t              i;
    bson_iter_t             it, owner, pending, entry;
    ngx_iv_quota_action_e   action;

    if (!bson_iter_init_find(&owner, user, "_id")
        || !bson_iter_init(&it, user)
        || !bson_iter_find_descendant(&it, "storageQuota.pending", &pending)
        || !BSON_ITER_HOLDS_DOCUMENT(&pending)
        || !bson_iter_recurse(&pending, &entry))
    {
        return;
    }

    for (i = 0; i < NGX_IV_QUOTA_ENTRIES && bson_iter_next(&entry); i++) {

        name.data = (u_char *) bson_iter_key(&entry);
        name.len = ngx_strlen(name.data);

        if (ngx_iv_parse_id(&name, id) != NGX_OK) {
            continue;
        }

        if (BSON_ITER_HOLDS_DOCUMENT(&entry)) {

            n = ngx_iv_mongo_intent_sweep(ctx, images, bson_iter_value(&owner),
                                          id, &entry);
            if (n == NGX_ERROR) {
                return;
            }

            ctx->call->count += (ngx_uint_t) n;
            continue;
        }

        if (ngx_iv_quota_action(ctx, images, id, &action) != NGX_OK) {
            return;
        }

        if (action == NGX_IV_QUOTA_KEEP) {
            continue;
        }

        n = ngx_iv_mongo_quota_drop(ctx, ctx->collection,
                                    bson_iter_value(&owner), id,
                                    action == NGX_IV_QUOTA_GIVE);
        if (n == NGX_ERROR) {
            return;
        }

        ctx->call->count += (ngx_uint_t) n;
    }
}


/* NGX_OK or NGX_ERROR: the call has failed */

static ngx_int_t
ngx_iv_quota_action(ngx_iv_mongo_ctx_t *ctx, mongoc_collection_t *images,
    const u_char *id, ngx_iv_quota_action_e *action)
{
    bson_t           *filter, *opts;
    ngx_int_t         rc;
    bson_oid_t        oid;
    const char       *status;
    bson_iter_t       it;
    bson_error_t      error;
    const bson_t     *found;
    mongoc_cursor_t  *cursor;

    bson_oid_init_from_data(&oid, id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    opts = BCON_NEW("limit", BCON_INT64(1),
                    "projection", "{", "status", BCON_INT32(1), "}");

    cursor = mongoc_collection_find_with_opts(images, filter, opts, NULL);

    *action = NGX_IV_QUOTA_KEEP;
    rc = NGX_OK;

    if (mongoc_cursor_next(cursor, &found)) {

        if (bson_iter_init_find(&it, found, "status")
            && BSON_ITER_HOLDS_UTF8(&it))
        {
            status = bson_iter_utf8(&it, NULL);

            if (ngx_strcmp(status, "ready") == 0
                || ngx_strcmp(status, "processing") == 0)
            {
                *action = NGX_IV_QUOTA_DROP;

            } else if (ngx_strcmp(status, "error") == 0) {
                *action = NGX_IV_QUOTA_GIVE;
            }
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;

    } else if (ngx_iv_quota_old(ctx->call, id)) {
        *action = NGX_IV_QUOTA_GIVE;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return rc;
}


/* an ObjectId begins with the second it was made in */

static ngx_uint_t
ngx_iv_quota_old(const ngx_iv_mongo_call_t *call, const u_char *id)
{
    time_t  made;

    made = (time_t) (((uint32_t) id[0] << 24) | ((uint32_t) id[1] << 16)
                     | ((uint32_t) id[2] << 8) | id[3]);

    return time(NULL) - made > (time_t) (call->ttl / 1000);
}
