/*
 * What every endpoint answers with: JSON, errors, headers.
 */

#include "module/ngx_http_image_vault_module.h"


static ngx_iv_breaker_t *ngx_http_image_vault_breaker(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static void ngx_http_image_vault_log_error(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_iv_code_t *ce,
    ngx_iv_breaker_t *b, const char *detail);
static void ngx_http_image_vault_count_error(ngx_http_image_vault_ctx_t *ctx,
    ngx_int_t code, ngx_uint_t status);


static const ngx_str_t  ngx_http_image_vault_no_store =
    ngx_string("no-store");


void
ngx_http_image_vault_count(ngx_iv_count_e what, ngx_uint_t n)
{
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;

    if (w != NULL && w->conf->zone != NULL) {
        ngx_iv_zone_add(w->conf->zone, what, n);
    }
}


void
ngx_http_image_vault_count_retrieval(ngx_http_image_vault_ctx_t *ctx,
    ngx_iv_count_e what)
{
    ngx_http_image_vault_count(what + ctx->cache, 1);
}


ngx_int_t
ngx_http_image_vault_add_header(ngx_http_request_t *r, const char *name,
    const ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->lowcase_key = NULL;
    ngx_iv_header_alone(h);
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;

    return NGX_OK;
}


void
ngx_http_image_vault_request_id(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *vv;

    static ngx_str_t  name = ngx_string("request_id");

    key = ngx_hash_key(name.data, name.len);

    vv = ngx_http_get_variable(r, &name, key);

    if (vv == NULL || vv->not_found) {
        ngx_str_null(id);
        return;
    }

    id->len = vv->len;
    id->data = vv->data;
}


ngx_int_t
ngx_http_image_vault_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *json)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    if (ngx_http_image_vault_add_header(r, "Cache-Control",
                                        &ngx_http_image_vault_no_store)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = json->data;
    b->last = json->data + json->len;
    b->memory = json->len ? 1 : 0;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = status;
    r->headers_out.content_length_n = json->len;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_image_vault_error(ngx_http_request_t *r, ngx_int_t code,
    const char *detail)
{
    return ngx_http_image_vault_refuse(r, code, detail, NULL);
}


ngx_int_t
ngx_http_image_vault_refuse(ngx_http_request_t *r, ngx_int_t code,
    const char *detail, const ngx_str_t *message)
{
    ngx_int_t             rc;
    ngx_str_t             json;
    const ngx_iv_code_t  *ce;

    rc = ngx_http_image_vault_begin_error(r, code, detail);

    if (rc != NGX_OK) {
        return rc;
    }

    ce = ngx_iv_code(code);

    if (ngx_http_image_vault_error_json(r, &ce->word,
                                        message ? message : &ce->message,
                                        &json)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_send_json(r, ce->status, &json);
}


ngx_int_t
ngx_http_image_vault_begin_error(ngx_http_request_t *r, ngx_int_t code,
    const char *detail)
{
    ngx_int_t                    rc;
    ngx_msec_t                   wait;
    ngx_iv_breaker_t            *b;
    const ngx_iv_code_t         *ce;
    ngx_http_image_vault_ctx_t  *ctx;

    ce = ngx_iv_code(code);

    ctx = ngx_http_image_vault_ctx(r);
    b = ngx_http_image_vault_breaker(r, ctx, code);

    ngx_http_image_vault_log_error(r, ctx, ce, b, detail);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_image_vault_count_error(ctx, code, ce->status);

    ctx->code = code;
    ctx->result = (const char *) ce->word.data;

    if (r->header_sent) {
        return NGX_ERROR;
    }

    rc = ngx_http_image_vault_drop_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    wait = b ? ngx_iv_breaker_wait(b, ngx_iv_now()) : 0;

    if (ce->retry_after
        && ngx_http_image_vault_retry_after(r, ngx_max(ce->retry_after,
                                                       (wait + 999) / 1000))
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_OK;
}


/* of what is not available; NULL: not known, or something else is wrong */

static ngx_iv_breaker_t *
ngx_http_image_vault_breaker(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    ngx_uint_t                        i;
    ngx_int_t                         n;
    ngx_http_image_vault_worker_t    *w;
    ngx_http_image_vault_loc_conf_t  *lcf;

    w = ngx_http_image_vault_worker;

    if (w == NULL) {
        return NULL;
    }

    if (code == NGX_IV_METADATA_UNAVAILABLE) {
        return ngx_iv_metadata_breaker(w->metadata);
    }

    if (code != NGX_IV_STORAGE_UNAVAILABLE) {
        return NULL;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);
    i = lcf->storage;

    if (ctx && ctx->document) {
        n = ngx_http_image_vault_storage_find(w->conf,
                                              &ctx->document->storage);
        i = (n == NGX_ERROR) ? NGX_CONF_UNSET_UINT : (ngx_uint_t) n;
    }

    return i < w->conf->storages.nelts ? &w->storages[i]->breaker : NULL;
}


static void
ngx_http_image_vault_count_error(ngx_http_image_vault_ctx_t *ctx,
    ngx_int_t code, ngx_uint_t status)
{
    switch (code) {

    case NGX_IV_UNAUTHENTICATED:
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED_UNKNOWN, 1);
        break;

    case NGX_IV_FORBIDDEN:
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED_FORBIDDEN, 1);
        break;

    case NGX_IV_BLOCKED:
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED_BLOCKED, 1);
        break;

    default:
        break;
    }

    if (!ctx->retrieves) {
        return;
    }

    if (code == NGX_IV_NOT_FOUND) {
        ngx_http_image_vault_count_retrieval(ctx,
                                             NGX_IV_COUNT_RETRIEVALS_MISSED);

    } else if (status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_http_image_vault_count_retrieval(ctx,
                                             NGX_IV_COUNT_RETRIEVALS_REFUSED);

    } else {
        ngx_http_image_vault_count_retrieval(ctx,
                                             NGX_IV_COUNT_RETRIEVALS_FAILED);
    }
}


ngx_int_t
ngx_http_image_vault_retry_after(ngx_http_request_t *r, ngx_uint_t seconds)
{
    u_char     *p;
    ngx_str_t   value;

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%ui", seconds) - p;

    return ngx_http_image_vault_add_header(r, "Retry-After", &value);
}


ngx_int_t
ngx_http_image_vault_not_allowed(ngx_http_request_t *r, const char *allow)
{
    ngx_str_t  value;

    value.data = (u_char *) allow;
    value.len = ngx_strlen(allow);

    if (ngx_http_image_vault_add_header(r, "Allow", &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_error(r, NGX_IV_METHOD_NOT_ALLOWED, NULL);
}


void
ngx_http_image_vault_finalize_error(ngx_http_request_t *r, ngx_int_t code,
    const char *detail)
{
    ngx_http_finalize_request(r,
                              ngx_http_image_vault_error(r, code, detail));
}


/*
 * A body that was not asked for is drained, so that a client that sends it
 * whole first still reads the answer; one that is being read makes nginx
 * linger.  A client that waits for 100 gets the answer instead of it.
 */

ngx_int_t
ngx_http_image_vault_drop_body(ngx_http_request_t *r)
{
    if (r != r->main) {
        return NGX_OK;
    }

#if (NGX_HTTP_V2)
    if (r->stream) {
        return (ngx_http_image_vault_linger(r) == NGX_OK)
               ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
#endif

    if (r->reading_body) {
        r->keepalive = 0;
        return NGX_OK;
    }

    if (r->headers_in.expect != NULL && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }

    return ngx_http_discard_request_body(r);
}


static void
ngx_http_image_vault_log_error(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_iv_code_t *ce,
    ngx_iv_breaker_t *b, const char *detail)
{
    ngx_uint_t   level;
    const char  *what;

    if (ce->status < NGX_HTTP_INTERNAL_SERVER_ERROR
        || (b && ngx_iv_breaker_state(b) != NGX_IV_BREAKER_CLOSED))
    {
        /* that a breaker is open was said when it opened */
        level = NGX_LOG_INFO;

    } else if (ce == ngx_iv_code(NGX_IV_OVERLOADED)) {
        level = NGX_LOG_WARN;

    } else {
        level = NGX_LOG_ERR;
    }

    what = (ctx && ctx->uploads) ? "upload" : "request";

    ngx_log_error(level, r->connection->log, 0,
                  "image_vault: %s refused: %V%s%s", what, &ce->word,
                  detail ? ", " : "", detail ? detail : "");
}


ngx_int_t
ngx_http_image_vault_error_json(ngx_http_request_t *r, const ngx_str_t *word,
    const ngx_str_t *message, ngx_str_t *json)
{
    ngx_str_t      id;
    ngx_iv_json_t  j;

    ngx_http_image_vault_request_id(r, &id);

    ngx_iv_json_init(&j, r->pool, 256);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 0);

    ngx_iv_json_object(&j, "error");
    ngx_iv_json_str(&j, "code", word);
    ngx_iv_json_str(&j, "message", message);
    ngx_iv_json_object_end(&j);

    ngx_iv_json_array(&j, "errors");
    ngx_iv_json_str(&j, NULL, message);
    ngx_iv_json_array_end(&j);

    ngx_iv_json_array(&j, "images");
    ngx_iv_json_array_end(&j);

    ngx_iv_json_str(&j, "requestId", &id);
    ngx_iv_json_object_end(&j);

    return ngx_iv_json_done(&j, json);
}
