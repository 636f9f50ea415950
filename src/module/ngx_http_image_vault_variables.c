/*
 * $image_vault_…: what the access log, proxy_pass and templates can read of a
 * request.  They say what is known so far; nothing is looked up for them.
 */

#include "module/ngx_http_image_vault_conf.h"


static ngx_int_t ngx_http_image_vault_variable_str(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_url(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_document(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_size(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_sha256(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_image_vault_variable_cache(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_image_vault_variable_set(ngx_http_variable_value_t *v,
    u_char *data, size_t len);


static ngx_http_variable_t  ngx_http_image_vault_vars[] = {

    { ngx_string("image_vault_id"), NULL,
      ngx_http_image_vault_variable_str,
      offsetof(ngx_http_image_vault_ctx_t, id_text),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_owner"), NULL,
      ngx_http_image_vault_variable_str,
      offsetof(ngx_http_image_vault_ctx_t, owner),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_key"), NULL,
      ngx_http_image_vault_variable_document,
      offsetof(ngx_iv_document_t, key),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_filename"), NULL,
      ngx_http_image_vault_variable_str,
      offsetof(ngx_http_image_vault_ctx_t, filename),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_url"), NULL,
      ngx_http_image_vault_variable_url, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_head_url"), NULL,
      ngx_http_image_vault_variable_url, 1,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_content_type"), NULL,
      ngx_http_image_vault_variable_document,
      offsetof(ngx_iv_document_t, content_type),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_size"), NULL,
      ngx_http_image_vault_variable_size, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_sha256"), NULL,
      ngx_http_image_vault_variable_sha256, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_result"), NULL,
      ngx_http_image_vault_variable_result, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_cache"), NULL,
      ngx_http_image_vault_variable_cache, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_db_time"), NULL,
      ngx_http_image_vault_variable_time,
      offsetof(ngx_http_image_vault_ctx_t, metadata_time),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("image_vault_storage_time"), NULL,
      ngx_http_image_vault_variable_time,
      offsetof(ngx_http_image_vault_ctx_t, storage_time),
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_image_vault_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_image_vault_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_str(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   *s;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = (ngx_str_t *) ((char *) ctx + data);
    ngx_http_image_vault_variable_set(v, s->data, s->len);

    return NGX_OK;
}


/* the URL that was given out, or, behind image_vault_access, one that nobody
 * has asked for yet; head: the latter, for HEAD */

static ngx_int_t
ngx_http_image_vault_variable_url(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t head)
{
    time_t                       expires, rest;
    ngx_str_t                    url;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL
        || (head && ctx->access != NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED))
    {
        v->not_found = 1;
        return NGX_OK;
    }

    if (ctx->access != NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED) {
        ngx_http_image_vault_variable_set(v, ctx->url.data, ctx->url.len);
        return NGX_OK;
    }

    if (head) {
        if (ngx_http_image_vault_url_inside(r, ctx->document, 1, &url,
                                            &expires, &rest)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {
        if (ngx_http_image_vault_access_url(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }

        url = ctx->url;
    }

    ngx_http_image_vault_variable_set(v, url.data, url.len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_document(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                   *s;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL || ctx->document == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = (ngx_str_t *) ((char *) ctx->document + data);
    ngx_http_image_vault_variable_set(v, s->data, s->len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_size(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                      *p;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL || ctx->document == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_image_vault_variable_set(v, p,
                           ngx_sprintf(p, "%L", ctx->document->size) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_sha256(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                      *p;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL || ctx->document == NULL
        || !ctx->document->has_checksums)
    {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 2 * NGX_IV_SHA256_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_iv_hex(p, ctx->document->sha256, NGX_IV_SHA256_LEN);
    ngx_http_image_vault_variable_set(v, p, 2 * NGX_IV_SHA256_LEN);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_result(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL || ctx->result == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_image_vault_variable_set(v, (u_char *) ctx->result,
                                      ngx_strlen(ctx->result));

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_time(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                      *p;
    ngx_msec_t                   ms;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ms = *(ngx_msec_t *) ((char *) ctx + data);

    if (ms == NGX_TIMER_INFINITE) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN + 4);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_http_image_vault_variable_set(v, p,
             ngx_sprintf(p, "%T.%03M", (time_t) ms / 1000, ms % 1000) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_variable_cache(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_image_vault_ctx_t  *ctx;

    static const ngx_str_t  states[] = {
        ngx_null_string,
        ngx_string("MISS"),
        ngx_string("HIT"),
        ngx_string("EXPIRED"),
        ngx_string("NEGATIVE")
    };

    ctx = ngx_http_image_vault_shown_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_image_vault_variable_set(v, states[ctx->cache].data,
                                      states[ctx->cache].len);

    return NGX_OK;
}


/* an empty value counts as none: the access log shows "-" */

static void
ngx_http_image_vault_variable_set(ngx_http_variable_value_t *v, u_char *data,
    size_t len)
{
    if (len == 0) {
        v->not_found = 1;
        return;
    }

    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = data;
}
