/*
 * Several inserts and changes to ready as one unordered `update`.  What it does
 * not settle is made once more, alone, by the function of its kind: both kinds
 * can be repeated.  That is why it is none of the driver's retryable writes, of
 * each of which the server keeps a record.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_query.h"


/* those whose statements are in the command */
typedef struct {
    ngx_iv_mongo_call_t  *calls[NGX_IV_MONGO_MANY];
    ngx_uint_t            n;
} ngx_iv_many_t;


static bson_t *ngx_iv_many_command(ngx_iv_many_t *many,
    ngx_iv_mongo_call_t **calls, ngx_uint_t n);
static ngx_int_t ngx_iv_many_statement(bson_t *list, ngx_uint_t i,
    ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_many_options(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_many_failed(ngx_iv_mongo_ctx_t *ctx, ngx_iv_many_t *many,
    const bson_error_t *error, const bson_t *reply);
static void ngx_iv_many_done(ngx_iv_many_t *many, const bson_t *reply);
static ngx_uint_t ngx_iv_many_refused(ngx_iv_many_t *many,
    const bson_t *reply);


void
ngx_iv_mongo_run_many(ngx_iv_mongo_call_t **calls, ngx_uint_t n)
{
    bool                 ok;
    bson_t              *command, *opts, reply;
    ngx_int_t            rc;
    ngx_uint_t           i;
    bson_error_t         error;
    ngx_iv_many_t        many;
    ngx_iv_mongo_ctx_t   ctx;

    rc = ngx_iv_mongo_begin(&ctx, calls[0]);

    for (i = 1; i < n; i++) {
        calls[i]->code = calls[0]->code;
        calls[i]->down = calls[0]->down;
        calls[i]->unknown = 0;
        calls[i]->count = 0;
        ngx_memcpy(calls[i]->message, calls[0]->message,
                   NGX_IV_MONGO_MESSAGE_LEN);
    }

    if (rc != NGX_OK) {
        return;
    }

    command = ngx_iv_many_command(&many, calls, n);
    opts = ngx_iv_many_options(&ctx);

    ok = mongoc_client_command_with_opts(ctx.client, ctx.database, command,
                                         NULL, opts, &reply, &error);

    if (bson_has_field(&reply, "writeConcernError")) {
        /* for the driver, too, the command has failed then */
        bson_set_error(&error, MONGOC_ERROR_WRITE_CONCERN, 64, "%s",
                       "the change did not reach a majority in time");
        ok = false;
    }

    if (ok) {
        ngx_iv_many_done(&many, &reply);

    } else {
        ngx_iv_many_failed(&ctx, &many, &error, &reply);
    }

    bson_destroy(&reply);
    bson_destroy(opts);
    bson_destroy(command);

    ctx.call = calls[0];
    ngx_iv_mongo_end(&ctx);
}


static bson_t *
ngx_iv_many_command(ngx_iv_many_t *many, ngx_iv_mongo_call_t **calls,
    ngx_uint_t n)
{
    bson_t      *command, list;
    ngx_uint_t   i;

    many->n = 0;

    command = BCON_NEW("update", BCON_UTF8(NGX_IV_MONGO_IMAGES),
                       "ordered", BCON_BOOL(false));

    (void) ngx_iv_bson_array_begin(command, "updates", -1, &list);

    for (i = 0; i < n; i++) {

        if (ngx_iv_many_statement(&list, many->n, calls[i]) != NGX_OK) {
            calls[i]->alone = 1;
            continue;
        }

        many->calls[many->n++] = calls[i];
    }

    (void) bson_append_array_end(command, &list);

    return command;
}


static ngx_int_t
ngx_iv_many_statement(bson_t *list, ngx_uint_t i, ngx_iv_mongo_call_t *call)
{
    char         buf[16];
    bson_t      *filter, *update, one;
    const char  *index;

    update = ngx_iv_query_update(call);
    if (update == NULL) {
        return NGX_ERROR;
    }

    filter = ngx_iv_query_filter(call);

    (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

    (void) bson_append_document_begin(list, index, -1, &one);
    (void) bson_append_document(&one, "q", -1, filter);
    (void) bson_append_document(&one, "u", -1, update);

    if (call->kind == NGX_IV_MONGO_INSERT) {
        (void) bson_append_bool(&one, "upsert", -1, true);
    }

    (void) bson_append_document_end(list, &one);

    bson_destroy(filter);
    bson_destroy(update);

    return NGX_OK;
}


static bson_t *
ngx_iv_many_options(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t                  *opts;
    mongoc_write_concern_t  *concern;

    opts = bson_new();

    concern = mongoc_write_concern_copy(
                      mongoc_collection_get_write_concern(ctx->collection));

    (void) mongoc_write_concern_append(concern, opts);
    mongoc_write_concern_destroy(concern);

    return opts;
}


/*
 * The command as a whole, or its acknowledgement.  A change to ready is asked
 * for again whatever happened, as long as its own time allows; an insert unless
 * there is no server or no majority.
 */

static void
ngx_iv_many_failed(ngx_iv_mongo_ctx_t *ctx, ngx_iv_many_t *many,
    const bson_error_t *error, const bson_t *reply)
{
    ngx_uint_t            i;
    ngx_iv_mongo_call_t  *call;

    for (i = 0; i < many->n; i++) {
        call = many->calls[i];

        ctx->call = call;
        ngx_iv_mongo_failed(ctx, error, reply);

        call->alone = (call->kind == NGX_IV_MONGO_READY
                       || (error->domain != MONGOC_ERROR_SERVER_SELECTION
                           && error->domain != MONGOC_ERROR_WRITE_CONCERN));
        call->unsure = call->unknown;
    }
}


static void
ngx_iv_many_done(ngx_iv_many_t *many, const bson_t *reply)
{
    ngx_uint_t   i, refused;
    bson_iter_t  it;

    refused = ngx_iv_many_refused(many, reply);

    /* each statement is for one document: all others were found, or made */

    if (bson_iter_init_find(&it, reply, "n")
        && bson_iter_as_int64(&it) == (int64_t) (many->n - refused))
    {
        for (i = 0; i < many->n; i++) {
            many->calls[i]->count = !many->calls[i]->alone;
        }

        return;
    }

    /* which of them is not told */

    for (i = 0; i < many->n; i++) {
        many->calls[i]->alone = 1;
    }
}


static ngx_uint_t
ngx_iv_many_refused(ngx_iv_many_t *many, const bson_t *reply)
{
    int64_t       i;
    ngx_uint_t    n;
    bson_iter_t   it, el, field;

    n = 0;

    if (!bson_iter_init_find(&it, reply, "writeErrors")
        || !BSON_ITER_HOLDS_ARRAY(&it)
        || !bson_iter_recurse(&it, &el))
    {
        return 0;
    }

    while (bson_iter_next(&el)) {

        if (!BSON_ITER_HOLDS_DOCUMENT(&el)
            || !bson_iter_recurse(&el, &field)
            || !bson_iter_find(&field, "index"))
        {
            continue;
        }

        i = bson_iter_as_int64(&field);

        if (i >= 0 && i < (int64_t) many->n && !many->calls[i]->alone) {
            many->calls[i]->alone = 1;
            n++;
        }
    }

    return n;
}
