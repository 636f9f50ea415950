/*
 * POST {id}/complete: what a client has sent by its ticket becomes an image.
 *
 * The work is ngx_iv_complete.h's.  When the client goes away in between, it
 * goes on without it, and a repetition is answered with the image.
 */

#include "http/ngx_http_image_vault_intake.h"
#include "upload/ngx_iv_complete.h"


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_image_vault_ctx_t    *ctx;
    ngx_iv_complete_t             *complete;    /* NULL: it is over */
    ngx_http_image_vault_trail_t   trail;
} ngx_http_image_vault_complete_t;


static ngx_int_t ngx_http_image_vault_complete_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_may_complete(
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_complete_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_complete_start(
    ngx_http_image_vault_complete_t *cm);
static void ngx_http_image_vault_complete_gone(void *data);
static ngx_iv_storage_t *ngx_http_image_vault_complete_storage(void *data,
    const ngx_str_t *name);
static void ngx_http_image_vault_complete_done(void *data);
static ngx_int_t ngx_http_image_vault_complete_answer(
    ngx_http_image_vault_complete_t *cm);
static const ngx_str_t *ngx_http_image_vault_complete_message(
    const ngx_iv_complete_t *c);
static ngx_int_t ngx_http_image_vault_complete_send(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);


ngx_int_t
ngx_http_image_vault_complete(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_image_vault_lookup(r, ctx,
                                       ngx_http_image_vault_complete_found);
}


static ngx_int_t
ngx_http_image_vault_complete_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t          rc;
    ngx_iv_storage_t  *storage;

    rc = ngx_http_image_vault_may_complete(ctx);

    if (rc != NGX_OK) {
        ngx_http_image_vault_audit(r, ctx, "complete", ctx->id,
                                   &ctx->document->owner, rc, NULL);

        return ngx_http_image_vault_refuse_state(r, ctx, rc);
    }

    /* the answer to who completed it may have been lost */

    if (ctx->document->status == NGX_IV_STATUS_READY) {
        return ngx_http_image_vault_complete_send(r, ctx);
    }

    storage = ngx_http_image_vault_complete_storage(NULL,
                                                    &ctx->document->storage);

    if (storage && ngx_iv_storage_wait(storage)) {
        return ngx_http_image_vault_error(r, NGX_IV_STORAGE_UNAVAILABLE,
                                          "its breaker is open");
    }

    return ngx_http_image_vault_complete_begin(r, ctx);
}


/* checks 4 to 7; that it is not there yet is why one asks */

static ngx_int_t
ngx_http_image_vault_may_complete(ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                 rc;
    const ngx_iv_document_t  *doc;

    doc = ctx->document;

    rc = ngx_http_image_vault_state(ctx, doc);

    if (rc == NGX_OK || rc == NGX_IV_NOT_READY) {

        if (!ngx_http_image_vault_owns(ctx, doc)) {
            return NGX_IV_FORBIDDEN;
        }

        if (doc->status == NGX_IV_STATUS_READY
            || doc->status == NGX_IV_STATUS_UPLOADING)
        {
            return NGX_OK;
        }
    }

    return rc;
}


static ngx_int_t
ngx_http_image_vault_complete_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_image_vault_complete_t  *cm;

    cm = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_complete_t));
    cln = ngx_pool_cleanup_add(r->pool, 0);

    if (cm == NULL || cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cm->request = r;
    cm->ctx = ctx;

    cln->handler = ngx_http_image_vault_complete_gone;
    cln->data = cm;

    (void) ngx_http_image_vault_trail_begin(r, ctx, "complete", &cm->trail);

    cm->trail.entry.owner = ctx->document->owner;

    if (ngx_http_image_vault_trail_guard(r, &cm->trail, ctx->id) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_image_vault_complete_start(cm) != NGX_OK) {
        ngx_http_image_vault_trail_end(&cm->trail, r->connection->log, ctx->id,
                                       &ngx_iv_code(NGX_IV_INTERNAL)->word);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_complete_start(ngx_http_image_vault_complete_t *cm)
{
    ngx_iv_complete_params_t          p;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_worker_t    *w;
    ngx_http_image_vault_loc_conf_t  *lcf;

    ctx = cm->ctx;
    w = ngx_http_image_vault_worker;
    lcf = ngx_http_get_module_loc_conf(cm->request,
                                       ngx_http_image_vault_module);

    ngx_memzero(&p, sizeof(ngx_iv_complete_params_t));

    p.metadata = w->metadata;
    p.hash = &w->hash;
    p.zone = w->conf->zone;
    p.limits.types = lcf->types
                     & ngx_iv_image_by_mime(&ctx->document->content_type);
    p.limits.max_pixels = lcf->max_pixels;
    p.quota = lcf->quota;
    p.heartbeat = w->conf->sweep.stale / 3;
    p.storage = ngx_http_image_vault_complete_storage;
    p.done = ngx_http_image_vault_complete_done;
    p.data = cm;

    ngx_memcpy(p.id, ctx->id, NGX_IV_ID_LEN);

    if (!ctx->admin) {
        p.owner = ctx->owner;
    }

    cm->complete = ngx_iv_complete_create(&p, cm->request->connection->log);

    return cm->complete ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_image_vault_complete_gone(void *data)
{
    ngx_http_image_vault_complete_t *cm = data;

    if (cm->complete) {
        ngx_iv_complete_abandon(cm->complete);
        cm->complete = NULL;
    }
}


static ngx_iv_storage_t *
ngx_http_image_vault_complete_storage(void *data, const ngx_str_t *name)
{
    ngx_int_t                       i;
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;

    i = ngx_http_image_vault_storage_find(w->conf, name);

    return (i == NGX_ERROR) ? NULL : w->storages[i];
}


static void
ngx_http_image_vault_complete_done(void *data)
{
    ngx_http_image_vault_complete_t *cm = data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = cm->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    rc = ngx_http_image_vault_complete_answer(cm);

    /* what the answer holds is the request's */

    ngx_iv_complete_free(cm->complete);
    cm->complete = NULL;

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_image_vault_complete_answer(ngx_http_image_vault_complete_t *cm)
{
    ngx_str_t                    why;
    ngx_iv_complete_t           *c;
    ngx_http_request_t          *r;
    ngx_http_image_vault_ctx_t  *ctx;

    r = cm->request;
    ctx = cm->ctx;
    c = cm->complete;

    ctx->storage_time = c->storage_time;

    if (c->metadata_time != NGX_TIMER_INFINITE) {
        ctx->metadata_time += c->metadata_time;
    }

    if (c->again) {
        /* another's completion has its own entry */
        cm->trail.open = 0;

    } else {
        why.data = (u_char *) c->why;
        why.len = (c->code != NGX_OK && c->why) ? ngx_strlen(c->why) : 0;

        cm->trail.entry.detail = why;

        ngx_http_image_vault_trail_end(&cm->trail, r->connection->log, ctx->id,
                                       (c->code == NGX_OK)
                                       ? NULL : &ngx_iv_code(c->code)->word);
    }

    if (c->code != NGX_OK) {
        return ngx_http_image_vault_refuse(r, c->code, c->why,
                                     ngx_http_image_vault_complete_message(c));
    }

    ctx->document = ngx_http_image_vault_keep_document(r->pool, c->document);

    if (ctx->document == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_complete_send(r, ctx);
}


/* where the code's own would mislead; NULL: it does not */

static const ngx_str_t *
ngx_http_image_vault_complete_message(const ngx_iv_complete_t *c)
{
    static const ngx_str_t  nothing = ngx_string("nothing was uploaded yet");
    static const ngx_str_t  taken =
        ngx_string("it is being completed, or is no direct upload");
    static const ngx_str_t  late =
        ngx_string("the time to complete the upload is over");
    static const ngx_str_t  changed =
        ngx_string("what was uploaded changed in between");
    static const ngx_str_t  length =
        ngx_string("what was uploaded has not the declared size");
    static const ngx_str_t  type =
        ngx_string("what was uploaded is not of the declared type");

    switch (c->code) {

    case NGX_IV_NOT_READY:
        return c->document ? &nothing : &taken;

    case NGX_IV_GONE:
        return &late;

    case NGX_IV_CONFLICT:
        return &changed;

    case NGX_IV_LENGTH_MISMATCH:
        return &length;

    case NGX_IV_UNSUPPORTED_TYPE:
        return &type;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_http_image_vault_complete_send(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                 rc;
    ngx_str_t                 id, href, json;
    ngx_iv_json_t             j;
    const ngx_iv_document_t  *doc;

    doc = ctx->document;

    ngx_http_image_vault_request_id(r, &id);

    ngx_iv_json_init(&j, r->pool, 2048);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    ngx_iv_json_array(&j, "images");
    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_hex(&j, "id", doc->id, NGX_IV_ID_LEN);
    ngx_iv_json_str(&j, "originalName", &doc->original_name);

    if (ngx_http_image_vault_stored_members(r, &j, doc, &ctx->url, &href)
        != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    ngx_iv_json_object_end(&j);
    ngx_iv_json_array_end(&j);

    ngx_iv_json_str(&j, "url", &ctx->url);
    ngx_iv_json_str(&j, "requestId", &id);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK
        || ngx_http_image_vault_add_header(r, "Location", &href) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->code = NGX_OK;
    ctx->result = "created";

    /* the answer has no tag to be compared with the request's */
    r->disable_not_modified = 1;

    rc = ngx_http_image_vault_drop_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
