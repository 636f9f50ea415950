/*
 * Routing: from a location and the rest of the path to an endpoint.
 */

#include "module/ngx_http_image_vault_module.h"


static ngx_int_t ngx_http_image_vault_may_change(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_to_upload(ngx_http_request_t *r);
static ngx_int_t ngx_http_image_vault_to_image(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *id,
    ngx_http_image_vault_show_e how);
static ngx_int_t ngx_http_image_vault_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);
static ngx_int_t ngx_http_image_vault_api(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);
static ngx_uint_t ngx_http_image_vault_is(const ngx_str_t *s,
    const char *word);


ngx_int_t
ngx_http_image_vault_handler(ngx_http_request_t *r)
{
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_loc_conf_t  *lcf;

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_image_vault_worker == NULL) {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "the worker is not ready");
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    /* what a rewrite saw before the access phase does not count */
    ctx->owner_known = 0;
    ctx->id_known = 0;

    switch (lcf->endpoint) {

    case NGX_HTTP_IMAGE_VAULT_UPLOAD:
        return ngx_http_image_vault_to_upload(r);

    case NGX_HTTP_IMAGE_VAULT_REDIRECT:
        return ngx_http_image_vault_redirect(r, ctx, lcf);

    case NGX_HTTP_IMAGE_VAULT_API:
        return ngx_http_image_vault_api(r, ctx, lcf);

    case NGX_HTTP_IMAGE_VAULT_ERROR:
        return ngx_http_image_vault_error_page(r);

    default:
        return NGX_DECLINED;
    }
}


static ngx_int_t
ngx_http_image_vault_to_upload(ngx_http_request_t *r)
{
    if (!(r->method & (NGX_HTTP_POST|NGX_HTTP_PUT))) {
        return ngx_http_image_vault_not_allowed(r, "POST, PUT");
    }

    return ngx_http_image_vault_upload(r);
}


/* what comes before all else; an upload makes these checks by itself */

static ngx_int_t
ngx_http_image_vault_may_change(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_identity(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_error(r, rc, "the owner is not valid");
    }

    if (ctx->owner.len == 0) {
        return ngx_http_image_vault_error(r, NGX_IV_UNAUTHENTICATED,
                                          "no owner");
    }

    if (ngx_http_image_vault_same_site(r) != NGX_OK) {
        return ngx_http_image_vault_error(r, NGX_IV_FORBIDDEN,
                                          "a request from another site");
    }

    return NGX_DECLINED;
}


/* what is no id is answered as an id that does not exist */

static ngx_int_t
ngx_http_image_vault_to_image(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *id,
    ngx_http_image_vault_show_e how)
{
    u_char  *p;

    if (ngx_iv_parse_id(id, ctx->id) == NGX_OK) {

        p = ngx_pnalloc(r->pool, 2 * NGX_IV_ID_LEN);
        if (p == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->id_text.data = p;
        ctx->id_text.len = ngx_iv_hex(p, ctx->id, NGX_IV_ID_LEN) - p;
        ctx->id_known = 1;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        if (!ctx->id_known) {
            return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, NULL);
        }

        return ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    return ngx_http_image_vault_image(r, how);
}


static ngx_int_t
ngx_http_image_vault_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    size_t                       i;
    ngx_int_t                    rc;
    ngx_str_t                    id, value;
    ngx_http_image_vault_show_e  how;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        rc = ngx_http_image_vault_may_change(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        return ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    if (lcf->id != NULL) {
        if (ngx_http_complex_value(r, lcf->id, &id) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else {
        for (i = r->uri.len; i > 0 && r->uri.data[i - 1] != '/'; i--) {
            /* void */
        }

        id.data = r->uri.data + i;
        id.len = r->uri.len - i;
    }

    how = NGX_HTTP_IMAGE_VAULT_VIEW;

    if (ngx_http_arg(r, (u_char *) "download", sizeof("download") - 1, &value)
        == NGX_OK
        && value.len && !(value.len == 1 && value.data[0] == '0'))
    {
        how = NGX_HTTP_IMAGE_VAULT_DOWNLOAD;
    }

    return ngx_http_image_vault_to_image(r, ctx, &id, how);
}


static ngx_int_t
ngx_http_image_vault_api(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    u_char     *p, *last, *slash;
    ngx_int_t   rc;
    ngx_str_t   first, second;

    /* a location "/api" is also found for "/apis" */

    if (r->uri.len < lcf->prefix.len + 2
        || ngx_memcmp(r->uri.data, lcf->prefix.data, lcf->prefix.len) != 0
        || r->uri.data[lcf->prefix.len] != '/')
    {
        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, NULL);
    }

    p = r->uri.data + lcf->prefix.len + 1;
    last = r->uri.data + r->uri.len;
    slash = ngx_strlchr(p, last, '/');

    first.data = p;
    first.len = (slash ? slash : last) - p;

    if (slash == NULL && ngx_http_image_vault_is(&first, "upload")) {
        return ngx_http_image_vault_to_upload(r);
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        rc = ngx_http_image_vault_may_change(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (slash == NULL) {
        return ngx_http_image_vault_to_image(r, ctx, &first,
                                             NGX_HTTP_IMAGE_VAULT_SHOW);
    }

    second.data = slash + 1;
    second.len = last - second.data;

    if (ngx_http_image_vault_is(&second, "view")) {
        return ngx_http_image_vault_to_image(r, ctx, &first,
                                             NGX_HTTP_IMAGE_VAULT_VIEW);
    }

    if (ngx_http_image_vault_is(&second, "download")) {
        return ngx_http_image_vault_to_image(r, ctx, &first,
                                             NGX_HTTP_IMAGE_VAULT_DOWNLOAD);
    }

    return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, NULL);
}


static ngx_uint_t
ngx_http_image_vault_is(const ngx_str_t *s, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    return s->len == len && ngx_strncmp(s->data, word, len) == 0;
}
