/*
 * May this request's owner have this image now?  What a redirect and
 * image_vault_access ask: checks 3 to 6 of the order of checks.
 */

#include "http/ngx_http_image_vault_api.h"


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_image_vault_ctx_t     *ctx;
    ngx_http_image_vault_found_pt   found;
} ngx_http_image_vault_find_t;


static void ngx_http_image_vault_find_told(ngx_iv_metadata_op_t *op);
static ngx_int_t ngx_http_image_vault_find_judge(
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_document_t *doc);


ngx_int_t
ngx_http_image_vault_find(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_found_pt found)
{
    ngx_iv_metadata_op_t         *op;
    ngx_http_image_vault_find_t  *find;

    ctx->document = NULL;
    ctx->refusal = NULL;

    find = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_find_t));
    if (find == NULL) {
        return NGX_ERROR;
    }

    find->request = r;
    find->ctx = ctx;
    find->found = found;

    op = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata,
                                   r->pool, r->connection->log);
    if (op == NULL) {
        return NGX_ERROR;
    }

    op->data = find;
    op->handler = ngx_http_image_vault_find_told;

    ngx_iv_metadata_get(op, ctx->id);

    return NGX_AGAIN;
}


static void
ngx_http_image_vault_find_told(ngx_iv_metadata_op_t *op)
{
    ngx_int_t                     code;
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_find_t  *find;

    find = op->data;
    ctx = find->ctx;
    r = find->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (ctx->metadata_time == NGX_TIMER_INFINITE) {
        ctx->metadata_time = op->time;

    } else {
        ctx->metadata_time += op->time;
    }

    code = op->code;

    if (code == NGX_OK) {
        code = ngx_http_image_vault_find_judge(ctx, op->document);
    }

    find->found(r, ctx, code);

    ngx_http_run_posted_requests(c);
}


/* the order is the interface's: who may not read learns nothing else */

static ngx_int_t
ngx_http_image_vault_find_judge(ngx_http_image_vault_ctx_t *ctx,
    ngx_iv_document_t *doc)
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

    ctx->document = doc;

    return ngx_http_image_vault_state(ctx, doc);
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
