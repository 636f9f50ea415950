/*
 * Images are deleted, or expire: they become `error` with deletedAt, and what
 * they took of the owner's quota is given back (ngx_iv_quota_intent.c).  The
 * object is the caller's or the sweep's to delete.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_query.h"


#define NGX_IV_DELETE_TRIES  8
/* ms before the second try; an image that is being changed settles soon */
#define NGX_IV_DELETE_PAUSE  10


/* one image on its way out */
typedef struct {
    const u_char           *id;
    const char             *why;
    ngx_uint_t              expired;    /* only if it still is */
    int64_t                 version;    /* updatedAt; 0: whatever it is */
    ngx_iv_metadata_ref_t  *ref;        /* to be filled */

    ngx_iv_document_t       document;
    bson_t                 *user;       /* {_id}, once it is known */
    bson_value_t            owner;      /* that _id */
    ngx_uint_t              noted;      /* in the owner's document */
    bson_oid_t              intent;
    ngx_uint_t              marked;     /* a delete was carried out, by … */
    ngx_uint_t              cancelled;  /* the sweep has taken the note back */
    bson_oid_t              mark;       /* … that note */
    ngx_uint_t              missed;     /* a mark that matched nothing */
    ngx_uint_t              invalid;    /* it cannot be understood */
} ngx_iv_delete_t;


static ngx_int_t ngx_iv_delete_image(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static ngx_int_t ngx_iv_delete_try(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static ngx_int_t ngx_iv_delete_find(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static ngx_int_t ngx_iv_delete_read(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del, const bson_t *found);
static ngx_int_t ngx_iv_delete_owner(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static void ngx_iv_delete_marks(ngx_iv_delete_t *del, const bson_t *found);
static ngx_int_t ngx_iv_delete_note(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static ngx_int_t ngx_iv_delete_changed(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static int64_t ngx_iv_delete_mark(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_delete_t *del);
static void ngx_iv_delete_give(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del);


void
ngx_iv_mongo_delete(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t             rc;
    ngx_iv_delete_t       del;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    call->refs = ngx_pcalloc(call->pool, sizeof(ngx_iv_metadata_ref_t));
    if (call->refs == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a delete");
        return;
    }

    ngx_memzero(&del, sizeof(ngx_iv_delete_t));

    del.id = call->id;
    del.why = (char *) call->why;
    del.version = call->version;
    del.ref = call->refs;

    rc = ngx_iv_delete_image(ctx, &del);

    if (rc == NGX_OK) {
        call->count = 1;
        call->nrefs = 1;

    } else if (rc == NGX_DECLINED) {
        call->code = NGX_IV_NOT_FOUND;
    }
}


/*
 * The list is no promise: each image is looked at once more by the filter that
 * changes it, as its owner may have given it more time meanwhile.  refs: those
 * that were deleted.
 */

void
ngx_iv_mongo_sweep_expired(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               end;
    ngx_int_t             rc;
    ngx_uint_t            i, n;
    ngx_iv_delete_t       del;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    ngx_iv_mongo_refs(ctx);

    end = bson_get_monotonic_time() + (int64_t) ctx->timeout * 1000;
    n = 0;

    for (i = 0; i < call->nrefs && call->code == NGX_OK; i++) {

        /* what is left comes with the next call */

        if (bson_get_monotonic_time() >= end) {
            break;
        }

        ngx_memzero(&del, sizeof(ngx_iv_delete_t));

        ngx_memcpy(call->id, call->refs[i].id, NGX_IV_ID_LEN);

        del.id = call->id;
        del.why = "expired";
        del.expired = 1;
        del.ref = &call->refs[n];

        rc = ngx_iv_delete_image(ctx, &del);

        if (rc == NGX_OK) {
            n++;

        } else if (del.invalid) {

            /* told in the log; the others do not wait for it */

            call->code = NGX_OK;
        }
    }

    call->nrefs = n;
    call->count = n;

    if (call->code == NGX_OK) {
        ngx_memzero(call->id, NGX_IV_ID_LEN);
    }
}


/* NGX_OK; NGX_DECLINED: there is no such image; NGX_ERROR: the call has
 * failed */

static ngx_int_t
ngx_iv_delete_image(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_AGAIN;

    for (i = 0; i < NGX_IV_DELETE_TRIES && rc == NGX_AGAIN; i++) {

        if (i) {
            ngx_msleep(NGX_IV_DELETE_PAUSE * i);
        }

        rc = ngx_iv_delete_try(ctx, del);
    }

    if (del->user) {
        bson_destroy(del->user);
        bson_value_destroy(&del->owner);
    }

    if (rc == NGX_AGAIN) {
        ctx->call->code = NGX_IV_METADATA_UNAVAILABLE;
        (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN,
                            "the image keeps changing%Z");
        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_iv_delete_try(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    int64_t     n;
    ngx_int_t   rc;
    ngx_uint_t  give;

    rc = ngx_iv_delete_find(ctx, del);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* another's delete was quicker, which may have shared the note; or the
     * sweep has taken the note back */

    if (del->noted && (rc == NGX_DECLINED || del->cancelled)) {

        give = del->marked && bson_oid_equal(&del->mark, &del->intent);

        n = ngx_iv_mongo_intent_drop(ctx, &del->owner, del->id, &del->intent,
                                     give);
        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        del->noted = 0;
    }

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    if (del->missed && del->version
        && del->version != del->document.updated_at)
    {
        return ngx_iv_delete_changed(ctx, del);
    }

    if (ngx_iv_delete_note(ctx, del) != NGX_OK) {
        return NGX_ERROR;
    }

    n = ngx_iv_delete_mark(ctx, del);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* what has got more time meanwhile, or another has deleted, is not looked
     * at again; the note is left to the sweep */

    if (n == 0) {
        del->missed = 1;
        return del->expired ? NGX_DECLINED : NGX_AGAIN;
    }

    ngx_iv_delete_give(ctx, del);

    return NGX_OK;
}


/* NGX_OK; NGX_DECLINED: none, or it is deleted already; NGX_ERROR */

static ngx_int_t
ngx_iv_delete_find(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    bson_t               *opts, filter;
    ngx_int_t             rc;
    bson_oid_t            oid;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    del->marked = 0;
    del->cancelled = 0;

    bson_oid_init_from_data(&oid, del->id);

    bson_init(&filter);
    (void) bson_append_oid(&filter, "_id", -1, &oid);

    if (call->owner.len
        && ngx_iv_document_append_owner(&filter, "userId", &call->owner)
           != NGX_OK)
    {
        bson_destroy(&filter);
        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    opts = BCON_NEW("limit", BCON_INT64(1));

    cursor = mongoc_collection_find_with_opts(ctx->collection, &filter, opts,
                                              NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &found)) {
        rc = ngx_iv_delete_read(ctx, del, found);

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(&filter);

    return rc;
}


static ngx_int_t
ngx_iv_delete_read(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del,
    const bson_t *found)
{
    ngx_int_t    rc;
    const char  *field;

    rc = ngx_iv_document_parse_ref(ctx->call->pool, found, del->ref, &field);

    if (rc == NGX_OK) {
        rc = ngx_iv_document_parse(ctx->call->pool, found, &del->document,
                                   &field);
    }

    if (rc == NGX_DECLINED) {
        ngx_iv_mongo_invalid(ctx, found, field);
        del->invalid = 1;
        return NGX_ERROR;
    }

    if (rc == NGX_ERROR) {
        ngx_iv_mongo_internal(ctx, "no memory for a document");
        return NGX_ERROR;
    }

    if (del->user == NULL && ngx_iv_delete_owner(ctx, del) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_iv_delete_marks(del, found);

    if (del->document.status == NGX_IV_STATUS_ERROR
        || del->document.deleted_at)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_delete_owner(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    bson_iter_t   it;

    del->user = bson_new();

    if (ngx_iv_document_append_owner(del->user, "_id", &del->document.owner)
        != NGX_OK
        || !bson_iter_init_find(&it, del->user, "_id"))
    {
        bson_destroy(del->user);
        del->user = NULL;

        ngx_iv_mongo_internal(ctx, "the owner cannot be written as BSON");
        return NGX_ERROR;
    }

    bson_value_copy(bson_iter_value(&it), &del->owner);

    return NGX_OK;
}


static void
ngx_iv_delete_marks(ngx_iv_delete_t *del, const bson_t *found)
{
    bson_iter_t   top, it, el;

    if (bson_iter_init(&top, found)
        && bson_iter_find_descendant(&top, "deletion.id", &it)
        && BSON_ITER_HOLDS_OID(&it))
    {
        bson_oid_copy(bson_iter_oid(&it), &del->mark);
        del->marked = 1;
    }

    if (!del->noted
        || !bson_iter_init(&top, found)
        || !bson_iter_find_descendant(&top, "deletion.cancelled", &it)
        || !BSON_ITER_HOLDS_ARRAY(&it)
        || !bson_iter_recurse(&it, &el))
    {
        return;
    }

    while (bson_iter_next(&el)) {
        if (BSON_ITER_HOLDS_OID(&el)
            && bson_oid_equal(bson_iter_oid(&el), &del->intent))
        {
            del->cancelled = 1;
        }
    }
}


/* what is on its way is held by its upload, which gives it back itself */

static ngx_int_t
ngx_iv_delete_note(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    ngx_int_t   rc;

    del->noted = 0;

    if (!ctx->quota || del->document.status == NGX_IV_STATUS_UPLOADING) {
        return NGX_OK;
    }

    rc = ngx_iv_mongo_intent_note(ctx, &del->owner, del->id,
                                  del->document.size, &del->intent);

    del->noted = (rc == NGX_OK);

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/*
 * It is another version by now, and stays.  Another delete may share the note
 * and must learn that it is gone.  The answer is known: what fails here is told
 * in the log, and the sweep does it.
 */

static ngx_int_t
ngx_iv_delete_changed(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    if (del->noted) {
        (void) ngx_iv_mongo_intent_cancel(ctx, ctx->collection, &del->owner,
                                          del->id, &del->intent);
    }

    ctx->call->code = NGX_IV_PRECONDITION_FAILED;
    ctx->call->unknown = 0;

    return NGX_ERROR;
}


bson_t *
ngx_iv_mongo_deletable(const u_char id[NGX_IV_ID_LEN])
{
    bson_oid_t   oid;

    bson_oid_init_from_data(&oid, id);

    /* a mark that is there, but says no */

    return BCON_NEW("_id", BCON_OID(&oid),
                    "status", "{", "$nin", "[",
                        BCON_UTF8("uploading"), BCON_UTF8("error"),
                    "]", "}",
                    "deletedAt", "{", "$in", "[",
                        BCON_NULL, BCON_BOOL(false),
                    "]", "}",
                    "deletion.id", "{", "$exists", BCON_BOOL(false), "}");
}


/* documents matched, or NGX_ERROR */

static int64_t
ngx_iv_delete_mark(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    bool           ok;
    bson_t        *filter, *update, set, reply;
    int64_t        n;
    bson_oid_t     oid;
    bson_error_t   error;

    bson_oid_init_from_data(&oid, del->id);

    if (del->document.status == NGX_IV_STATUS_UPLOADING) {
        filter = BCON_NEW("_id", BCON_OID(&oid),
                          "status", BCON_UTF8("uploading"));

    } else {
        filter = ngx_iv_mongo_deletable(del->id);
    }

    if (del->expired) {
        BCON_APPEND(filter,
                    "access.expiresAt", "{", "$type", BCON_UTF8("date"), "}",
                    "$expr", "{", "$lte", "[",
                        BCON_UTF8("$access.expiresAt"), BCON_UTF8("$$NOW"),
                    "]", "}");
    }

    if (del->version) {
        (void) bson_append_date_time(filter, "updatedAt", -1, del->version);
    }

    update = BCON_NEW("$currentDate", "{",
                          "deletedAt", BCON_BOOL(true),
                          "updatedAt", BCON_BOOL(true),
                      "}");

    (void) bson_append_document_begin(update, "$set", -1, &set);
    (void) bson_append_utf8(&set, "status", -1, "error", -1);
    (void) bson_append_utf8(&set, "error", -1, del->why, -1);

    if (del->noted) {
        BCON_APPEND(filter, "deletion.cancelled", "{",
                                "$ne", BCON_OID(&del->intent),
                            "}");
        (void) bson_append_oid(&set, "deletion.id", -1, &del->intent);
    }

    (void) bson_append_document_end(update, &set);

    ok = mongoc_collection_update_one(ctx->collection, filter, update, NULL,
                                      &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return n;
}


/* the image is gone: that this fails is told in the log, and the sweep does
 * it */

static void
ngx_iv_delete_give(ngx_iv_mongo_ctx_t *ctx, ngx_iv_delete_t *del)
{
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    if (del->noted
        && ngx_iv_mongo_intent_drop(ctx, &del->owner, del->id, &del->intent,
                                    1)
           == NGX_ERROR)
    {
        call->code = NGX_OK;
        call->unknown = 0;
    }
}
