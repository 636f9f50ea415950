/*
 * May this request's owner have this image now?  What a redirect and
 * image_vault_access ask: checks 3 to 6 of the order of checks.
 *
 * The zone's entry answers if it may; else the store is asked, once for all who
 * ask for that image in this worker (ngx_iv_flight.h), and while another worker
 * asks, this one waits for what it keeps.
 */

#include "http/ngx_http_image_vault_api.h"


/* ms: another worker's look-up is looked after so often */
#define NGX_HTTP_IMAGE_VAULT_FIND_PAUSE  2
/* look-ups during which the image was changed */
#define NGX_HTTP_IMAGE_VAULT_FIND_TRIES  8


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_image_vault_ctx_t     *ctx;
    ngx_http_image_vault_loc_conf_t  *lcf;
    ngx_http_image_vault_worker_t  *worker;
    ngx_http_image_vault_found_pt   found;

    ngx_iv_metadata_op_t           *op;
    ngx_iv_ask_t                    ask;
    ngx_iv_cache_token_t            token;
    ngx_event_t                     event;  /* posted, or the timer */
    ngx_msec_t                      end;    /* of the wait for others */
    ngx_uint_t                      tries;
    ngx_int_t                       code;   /* once it is told */

    unsigned                        cached:1;
    unsigned                        asks:1; /* holds the token */
    unsigned                        told:1;
} ngx_http_image_vault_find_t;


static ngx_http_image_vault_find_t *ngx_http_image_vault_find_create(
    ngx_http_request_t *r, ngx_http_image_vault_ctx_t *ctx,
    ngx_http_image_vault_found_pt found);
static void ngx_http_image_vault_find_gone(void *data);
static void ngx_http_image_vault_find_ask(ngx_http_image_vault_find_t *find);
static void ngx_http_image_vault_find_told(ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_find_settle(
    ngx_http_image_vault_find_t *find, ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_find_heard(ngx_iv_ask_t *ask, ngx_int_t rc,
    const void *result);
static void ngx_http_image_vault_find_event(ngx_event_t *ev);
static ngx_int_t ngx_http_image_vault_find_judge(
    ngx_http_image_vault_ctx_t *ctx, const ngx_iv_document_t *doc);
static void ngx_http_image_vault_find_end(ngx_http_image_vault_find_t *find,
    ngx_int_t code);


ngx_int_t
ngx_http_image_vault_find(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_found_pt found)
{
    ngx_int_t                         rc;
    ngx_http_image_vault_find_t      *find;
    ngx_http_image_vault_loc_conf_t  *lcf;

    ctx->document = NULL;
    ctx->refusal = NULL;
    ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_NONE;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->cache_valid) {
        rc = ngx_http_image_vault_cached(r, ctx, lcf);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    find = ngx_http_image_vault_find_create(r, ctx, found);
    if (find == NULL) {
        return NGX_ERROR;
    }

    find->lcf = lcf;

    if (lcf->cache_valid == 0) {
        ngx_iv_metadata_get(find->op, ctx->id);
        return NGX_AGAIN;
    }

    find->cached = 1;

    if (ngx_iv_flight_join(&find->worker->flights, ctx->id, &find->ask)
        == NGX_OK)
    {
        ngx_http_image_vault_find_ask(find);
    }

    return NGX_AGAIN;
}


static ngx_http_image_vault_find_t *
ngx_http_image_vault_find_create(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_found_pt found)
{
    ngx_pool_cleanup_t           *cln;
    ngx_http_image_vault_find_t  *find;

    find = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_find_t));
    if (find == NULL) {
        return NULL;
    }

    find->request = r;
    find->ctx = ctx;
    find->worker = ngx_http_image_vault_worker;
    find->found = found;

    find->ask.handler = ngx_http_image_vault_find_heard;
    find->ask.data = find;

    find->event.handler = ngx_http_image_vault_find_event;
    find->event.data = find;
    find->event.log = r->connection->log;

    find->op = ngx_iv_metadata_op_create(find->worker->metadata, r->pool,
                                         r->connection->log);
    if (find->op == NULL) {
        return NULL;
    }

    find->op->data = find;
    find->op->handler = ngx_http_image_vault_find_told;

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_image_vault_find_gone;
    cln->data = find;

    return find;
}


/* the request is: whoever waits for it asks instead */

static void
ngx_http_image_vault_find_gone(void *data)
{
    ngx_http_image_vault_find_t  *find = data;

    if (find->event.timer_set) {
        ngx_del_timer(&find->event);
    }

    if (find->event.posted) {
        ngx_delete_posted_event(&find->event);
    }

    if (find->asks) {
        find->asks = 0;
        ngx_iv_cache_abandon(find->worker->cache, &find->token);
    }

    ngx_iv_flight_leave(&find->worker->flights, &find->ask);
}


/* by who leads; after the wait it asks beside the other worker */

static void
ngx_http_image_vault_find_ask(ngx_http_image_vault_find_t *find)
{
    ngx_int_t  rc;

    rc = ngx_iv_cache_begin(find->worker->cache, find->ctx->id, ngx_iv_now(),
                            NGX_HTTP_IMAGE_VAULT_FIND_WAIT, &find->token);

    if (rc == NGX_AGAIN) {

        if (find->end == 0) {
            find->end = ngx_current_msec + NGX_HTTP_IMAGE_VAULT_FIND_WAIT;
        }

        if ((ngx_msec_int_t) (find->end - ngx_current_msec) > 0) {
            ngx_add_timer(&find->event, NGX_HTTP_IMAGE_VAULT_FIND_PAUSE);
            return;
        }
    }

    find->asks = 1;

    ngx_iv_metadata_get(find->op, find->ctx->id);
}


static void
ngx_http_image_vault_find_told(ngx_iv_metadata_op_t *op)
{
    ngx_http_request_t           *r;
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_find_t  *find;

    find = op->data;
    ctx = find->ctx;
    r = find->request;

    ngx_http_set_log_request(r->connection->log, r);

    if (ctx->metadata_time == NGX_TIMER_INFINITE) {
        ctx->metadata_time = op->time;

    } else {
        ctx->metadata_time += op->time;
    }

    find->asks = 0;

    if (find->cached
        && ngx_http_image_vault_keep(find->worker->cache, &find->token, op)
           == NGX_DECLINED)
    {
        if (++find->tries < NGX_HTTP_IMAGE_VAULT_FIND_TRIES) {
            ngx_http_image_vault_find_ask(find);
            return;
        }

        /* who waits has tries of its own */

        ngx_iv_flight_leave(&find->worker->flights, &find->ask);

        ctx->refusal = "the image keeps changing";
        ngx_http_image_vault_find_end(find, NGX_IV_METADATA_UNAVAILABLE);
        return;
    }

    ngx_http_image_vault_find_settle(find, op);
}


static void
ngx_http_image_vault_find_settle(ngx_http_image_vault_find_t *find,
    ngx_iv_metadata_op_t *op)
{
    ngx_int_t  code;

    code = op->code;

    if (find->cached) {
        ngx_iv_flight_done(&find->worker->flights, &find->ask, code,
                           op->document);
    }

    if (code == NGX_OK) {
        code = ngx_http_image_vault_find_judge(find->ctx, op->document);

        if (code != NGX_IV_NOT_FOUND) {
            find->ctx->document = op->document;
        }
    }

    ngx_http_image_vault_find_end(find, code);
}


/* what is on its way changes soon and is not kept, nor is what has lost its
 * object: an entry knows of no mark */

ngx_int_t
ngx_http_image_vault_keep(ngx_iv_cache_t *cache,
    const ngx_iv_cache_token_t *token, const ngx_iv_metadata_op_t *op)
{
    ngx_int_t             rc;
    ngx_iv_document_t    *doc;
    ngx_iv_cache_entry_t  entry;

    doc = op->document;

    if (op->code == NGX_IV_NOT_FOUND
        || (op->code == NGX_OK
            && (doc->status == NGX_IV_STATUS_ERROR || doc->deleted_at)))
    {
        return ngx_iv_cache_fill(cache, token, NULL);
    }

    if (op->code == NGX_OK && doc->status == NGX_IV_STATUS_READY
        && !ngx_http_image_vault_is_missing(doc))
    {
        ngx_http_image_vault_document_entry(doc, &entry);
        return ngx_iv_cache_fill(cache, token, &entry);
    }

    rc = NGX_DONE;

    if (op->code == NGX_OK && !ngx_iv_cache_current(cache, token)) {
        rc = NGX_DECLINED;
    }

    ngx_iv_cache_abandon(cache, token);

    return rc;
}


/*
 * By the leader: what the store said, NGX_DONE: it is in the cache, NGX_AGAIN:
 * lead.  Requests go on from the event loop, as the end of one may be that of
 * others of its connection, the leader's among them.
 */

static void
ngx_http_image_vault_find_heard(ngx_iv_ask_t *ask, ngx_int_t rc,
    const void *result)
{
    ngx_iv_cache_entry_t          entry;
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_find_t  *find;

    find = ask->data;
    ctx = find->ctx;

    if (rc != NGX_DONE && rc != NGX_AGAIN) {
        find->told = 1;
        find->code = (rc == NGX_OK)
                     ? ngx_http_image_vault_find_judge(ctx, result) : rc;

        if (rc == NGX_OK && find->code != NGX_IV_NOT_FOUND) {
            ngx_http_image_vault_document_entry(result, &entry);

            ctx->document = ngx_http_image_vault_entry_document(
                                     find->request->pool, ctx->id, &entry);

            if (ctx->document == NULL) {
                find->code = NGX_ERROR;
            }
        }
    }

    ngx_post_event(&find->event, &ngx_posted_events);
}


static void
ngx_http_image_vault_find_event(ngx_event_t *ev)
{
    ngx_int_t                     rc;
    ngx_uint_t                    state;
    ngx_http_request_t           *r;
    ngx_http_image_vault_find_t  *find;

    find = ev->data;
    r = find->request;

    ngx_http_set_log_request(r->connection->log, r);

    ev->timedout = 0;

    if (find->told) {
        ngx_http_image_vault_find_end(find, find->code);
        return;
    }

    /* how it began is what is told of it */

    state = find->ctx->cache;
    rc = ngx_http_image_vault_cached(r, find->ctx, find->lcf);
    find->ctx->cache = state;

    if (rc != NGX_DECLINED) {
        ngx_iv_flight_done(&find->worker->flights, &find->ask, NGX_DONE, NULL);
        ngx_http_image_vault_find_end(find, rc);
        return;
    }

    if (find->ask.leads
        || ngx_iv_flight_join(&find->worker->flights, find->ctx->id,
                              &find->ask)
           == NGX_OK)
    {
        ngx_http_image_vault_find_ask(find);
    }
}


/* the order is the interface's: who may not read learns nothing else */

static ngx_int_t
ngx_http_image_vault_find_judge(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc)
{
    if (!ngx_http_image_vault_may_read(ctx, doc)) {
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED, 1);
        ctx->refusal = "not allowed";
        return NGX_IV_NOT_FOUND;
    }

    if (doc->status == NGX_IV_STATUS_ERROR || doc->deleted_at) {
        ctx->refusal = "deleted";
        return NGX_IV_NOT_FOUND;
    }

    return ngx_http_image_vault_state(ctx, doc);
}


static void
ngx_http_image_vault_find_end(ngx_http_image_vault_find_t *find,
    ngx_int_t code)
{
    ngx_connection_t  *c;

    c = find->request->connection;

    find->found(find->request, find->ctx, code);

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_image_vault_find_refused(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    if (code == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->document) {
        return ngx_http_image_vault_refuse_state(r, ctx, code);
    }

    return ngx_http_image_vault_error(r, code, ctx->refusal);
}
