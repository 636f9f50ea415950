/*
 * Entries of the audit trail.  Their ids were made when they were queued, so
 * that a batch may be written again: what is there already counts as written.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_lists.h"


static bson_t *ngx_iv_audit_bson(const ngx_iv_audit_item_t *item);
static void ngx_iv_audit_append(bson_t *b, const char *name,
    const ngx_str_t *s);
static void ngx_iv_audit_result(ngx_iv_mongo_ctx_t *ctx, const bson_t *reply,
    const bson_error_t *error);


void
ngx_iv_mongo_audit(ngx_iv_mongo_ctx_t *ctx)
{
    bool                   ok;
    bson_t               **docs, *opts, reply;
    ngx_uint_t             i, n;
    bson_error_t           error;
    ngx_iv_audit_item_t   *items;

    items = ctx->call->lists->items;
    n = ctx->call->lists->nitems;

    docs = bson_malloc(n * sizeof(bson_t *));

    for (i = 0; i < n; i++) {
        docs[i] = ngx_iv_audit_bson(&items[i]);
    }

    opts = BCON_NEW("ordered", BCON_BOOL(false));

    ok = mongoc_collection_insert_many(ctx->collection,
                                       (const bson_t **) docs, n, opts,
                                       &reply, &error);
    if (!ok) {
        ngx_iv_audit_result(ctx, &reply, &error);
    }

    bson_destroy(&reply);
    bson_destroy(opts);

    for (i = 0; i < n; i++) {
        bson_destroy(docs[i]);
    }

    bson_free(docs);
}


static bson_t *
ngx_iv_audit_bson(const ngx_iv_audit_item_t *item)
{
    bson_t                *b;
    bson_oid_t             oid;
    const ngx_iv_audit_t  *entry;

    entry = &item->entry;

    bson_oid_init_from_data(&oid, item->id);

    b = BCON_NEW("_id", BCON_OID(&oid), "at", BCON_DATE_TIME(item->at));

    if (entry->who.len == 0
        || ngx_iv_document_append_owner(b, "who", &entry->who) != NGX_OK)
    {
        (void) bson_append_null(b, "who", -1);
    }

    (void) bson_append_bool(b, "admin", -1, entry->admin ? true : false);
    ngx_iv_audit_append(b, "action", &entry->action);

    if (entry->has_image) {
        bson_oid_init_from_data(&oid, entry->image);
        (void) bson_append_oid(b, "image", -1, &oid);
    }

    if (entry->owner.len) {
        (void) ngx_iv_document_append_owner(b, "owner", &entry->owner);
    }

    ngx_iv_audit_append(b, "from", &entry->from);
    ngx_iv_audit_append(b, "outcome", &entry->outcome);
    ngx_iv_audit_append(b, "requestId", &entry->request_id);
    ngx_iv_audit_append(b, "detail", &entry->detail);

    return b;
}


/* what is no UTF-8 is written all the same, as far as it is ASCII */

static void
ngx_iv_audit_append(bson_t *b, const char *name, const ngx_str_t *s)
{
    char    *p;
    size_t   i;

    if (s->len == 0) {
        return;
    }

    if (bson_utf8_validate((char *) s->data, s->len, false)) {
        (void) bson_append_utf8(b, name, -1, (char *) s->data, (int) s->len);
        return;
    }

    p = bson_malloc(s->len);

    for (i = 0; i < s->len; i++) {
        p[i] = (s->data[i] >= 0x80 || s->data[i] == '\0')
               ? '?' : (char) s->data[i];
    }

    (void) bson_append_utf8(b, name, -1, p, (int) s->len);
    bson_free(p);
}


/* the server judges entry by entry, or not at all */

static void
ngx_iv_audit_result(ngx_iv_mongo_ctx_t *ctx, const bson_t *reply,
    const bson_error_t *error)
{
    int64_t       code;
    ngx_uint_t    judged;
    bson_iter_t   it, el, field;

    judged = 0;

    if (bson_iter_init_find(&it, reply, "writeErrors")
        && BSON_ITER_HOLDS_ARRAY(&it)
        && bson_iter_recurse(&it, &el))
    {
        while (bson_iter_next(&el)) {
            judged = 1;
            code = 0;

            if (BSON_ITER_HOLDS_DOCUMENT(&el)
                && bson_iter_recurse(&el, &field)
                && bson_iter_find(&field, "code"))
            {
                code = bson_iter_as_int64(&field);
            }

            if (code != MONGOC_ERROR_DUPLICATE_KEY) {
                ctx->call->lists->lost++;
            }
        }
    }

    /* the first of them is the error as a whole, unless there was more */

    if (judged
        && error->domain == MONGOC_ERROR_SERVER
        && !mongoc_error_has_label(reply, "RetryableWriteError"))
    {
        if (ctx->call->lists->lost) {
            (void) ngx_snprintf(ctx->call->message,
                                NGX_IV_MONGO_MESSAGE_LEN - 1, "%s%Z",
                                error->message);
            ctx->call->message[NGX_IV_MONGO_MESSAGE_LEN - 1] = '\0';
        }

        if (!(bson_iter_init_find(&it, reply, "writeConcernErrors")
              && BSON_ITER_HOLDS_ARRAY(&it)
              && bson_iter_recurse(&it, &el)
              && bson_iter_next(&el)))
        {
            return;
        }
    }

    ctx->call->lists->lost = 0;
    ngx_iv_mongo_failed(ctx, error, reply);
}


ngx_uint_t
ngx_iv_mongo_audit_indexes(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t  *command;

    command = BCON_NEW("createIndexes", BCON_UTF8(NGX_IV_MONGO_TRAIL),
                       "indexes", "[",
                           "{",
                               "key", "{", "at", BCON_INT32(-1), "}",
                               "name", BCON_UTF8("at_-1"),
                           "}", "{",
                               "key", "{",
                                   "image", BCON_INT32(1),
                                   "at", BCON_INT32(-1),
                               "}",
                               "name", BCON_UTF8("image_1_at_-1"),
                           "}",
                       "]");

    return ngx_iv_mongo_index(ctx, command);
}
