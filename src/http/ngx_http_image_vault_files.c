/*
 * image_vault_files: the gate in front of nginx's static module.  A file of a
 * local storage is given out to who shows a signed link, and to no one else;
 * a subrequest or an internal redirect is checked by its own arguments.
 */

#include "module/ngx_http_image_vault_module.h"


static ngx_int_t ngx_http_image_vault_file_key(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *key);


static const ngx_str_t  ngx_http_image_vault_link_ended =
    ngx_string("the link has expired");


ngx_int_t
ngx_http_image_vault_files(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_str_t                          key;
    ngx_http_image_vault_ctx_t        *ctx;
    ngx_http_image_vault_loc_conf_t   *lcf;
    ngx_http_image_vault_main_conf_t  *mcf;
    ngx_iv_storage_conf_t            **storages;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_FILES) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_str_null(&ctx->link_uri);

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        ngx_http_finalize_request(r,
                            ngx_http_image_vault_not_allowed(r, "GET, HEAD"));
        return NGX_DONE;
    }

    mcf = ngx_http_get_module_main_conf(r, ngx_http_image_vault_module);
    storages = mcf->storages.elts;

    rc = ngx_http_image_vault_file_key(r, lcf, &key);

    if (rc == NGX_OK) {
        rc = ngx_iv_storage_local_check(storages[lcf->storage], r->pool, &key,
                                        &r->args, ngx_time(),
                                        &ctx->link_disposition,
                                        &ctx->link_expires);
    }

    if (rc == NGX_OK) {
        ctx->link_uri = r->uri;
        return NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_image_vault_count(NGX_IV_COUNT_DENIED_LINK, 1);

    if (rc == NGX_IV_GONE) {
        rc = ngx_http_image_vault_refuse(r, rc, "the link has expired",
                                         &ngx_http_image_vault_link_ended);
    } else {
        rc = ngx_http_image_vault_error(r, rc, "the link is not valid");
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* what follows the location's prefix */

static ngx_int_t
ngx_http_image_vault_file_key(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *key)
{
    size_t  n;

    n = lcf->prefix.len;

    if (r->uri.len < n + 2
        || ngx_memcmp(r->uri.data, lcf->prefix.data, n) != 0
        || r->uri.data[n] != '/')
    {
        return NGX_IV_FORBIDDEN;
    }

    key->data = r->uri.data + n + 1;
    key->len = r->uri.len - n - 1;

    return NGX_OK;
}
