/*
 * An endpoint asks the metadata store and goes on when it is told.
 */

#include "http/ngx_http_image_vault_api.h"


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_image_vault_ctx_t    *ctx;
    ngx_http_image_vault_told_pt   told;
    void                          *data;
} ngx_http_image_vault_ask_t;


typedef struct {
    ngx_http_image_vault_next_pt   next;
} ngx_http_image_vault_lookup_t;


static void ngx_http_image_vault_told(ngx_iv_metadata_op_t *op);
static ngx_int_t ngx_http_image_vault_looked_up(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);


ngx_iv_metadata_op_t *
ngx_http_image_vault_ask(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_told_pt told,
    void *data)
{
    ngx_iv_metadata_op_t        *op;
    ngx_http_image_vault_ask_t  *ask;

    ask = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_ask_t));
    if (ask == NULL) {
        return NULL;
    }

    ask->request = r;
    ask->ctx = ctx;
    ask->told = told;
    ask->data = data;

    op = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata,
                                   r->pool, r->connection->log);
    if (op == NULL) {
        return NULL;
    }

    op->data = ask;
    op->handler = ngx_http_image_vault_told;

    r->main->count++;

    return op;
}


static void
ngx_http_image_vault_told(ngx_iv_metadata_op_t *op)
{
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_image_vault_ask_t  *ask;

    ask = op->data;
    r = ask->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    /* of several questions the sum: they follow each other */

    if (ask->ctx->metadata_time == NGX_TIMER_INFINITE) {
        ask->ctx->metadata_time = op->time;

    } else {
        ask->ctx->metadata_time += op->time;
    }

    ngx_http_finalize_request(r, ask->told(r, ask->ctx, op, ask->data));

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_image_vault_lookup(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_next_pt next)
{
    ngx_iv_metadata_op_t           *op;
    ngx_http_image_vault_lookup_t  *lk;

    lk = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_lookup_t));
    if (lk == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lk->next = next;

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_looked_up, lk);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_get(op, ctx->id);

    return NGX_DONE;
}


/* who may not read learns nothing else */

static ngx_int_t
ngx_http_image_vault_looked_up(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_lookup_t *lk = data;

    ngx_iv_document_t  *doc;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    doc = op->document;

    if (!ngx_http_image_vault_may_read(ctx, doc)) {
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED, 1);
        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, "not allowed");
    }

    if (doc->status == NGX_IV_STATUS_ERROR || doc->deleted_at) {
        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, "deleted");
    }

    ctx->document = doc;

    return lk->next(r, ctx);
}
