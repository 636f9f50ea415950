/*
 * From a location to its endpoint; the paths of an API are in …_routes.c.
 */

#include "http/ngx_http_image_vault_api.h"


static ngx_int_t ngx_http_image_vault_to_upload(ngx_http_request_t *r);
static ngx_int_t ngx_http_image_vault_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);


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

    case NGX_HTTP_IMAGE_VAULT_HEALTH:
        return ngx_http_image_vault_health(r);

    case NGX_HTTP_IMAGE_VAULT_METRICS:
        return ngx_http_image_vault_metrics(r);

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


static ngx_int_t
ngx_http_image_vault_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    ngx_int_t                    rc;
    ngx_str_t                    value;
    ngx_http_image_vault_show_e  how;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        rc = ngx_http_image_vault_may_change(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        return ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    how = NGX_HTTP_IMAGE_VAULT_VIEW;

    if (ngx_http_arg(r, (u_char *) "download", sizeof("download") - 1, &value)
        == NGX_OK
        && value.len && !(value.len == 1 && value.data[0] == '0'))
    {
        how = NGX_HTTP_IMAGE_VAULT_DOWNLOAD;
    }

    if (ngx_http_image_vault_asked_id(r, ctx, lcf) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_image(r, how);
}


ngx_int_t
ngx_http_image_vault_asked_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    size_t     i;
    ngx_str_t  id;

    if (lcf->id != NULL) {
        if (ngx_http_complex_value(r, lcf->id, &id) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        for (i = r->uri.len; i > 0 && r->uri.data[i - 1] != '/'; i--) {
            /* void */
        }

        id.data = r->uri.data + i;
        id.len = r->uri.len - i;
    }

    return (ngx_http_image_vault_set_id(r, ctx, &id) == NGX_ERROR)
           ? NGX_ERROR : NGX_OK;
}
