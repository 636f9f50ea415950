/*
 * GET usage: how much an owner has stored, and may.
 */

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_lists.h"


static ngx_int_t ngx_http_image_vault_usage_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);


static const ngx_http_image_vault_arg_t  ngx_http_image_vault_usage_args[] = {

    { ngx_string("userId"), ngx_http_image_vault_set_user,
      "must be a user's id", 0 },

    { ngx_null_string, NULL, NULL, 0 }
};


ngx_int_t
ngx_http_image_vault_usage(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                         rc;
    ngx_str_t                         user;
    ngx_iv_metadata_op_t             *op;
    ngx_http_image_vault_loc_conf_t  *lcf;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_str_null(&user);

    rc = ngx_http_image_vault_args(r, ngx_http_image_vault_usage_args, &user);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_image_vault_for_user(r, ctx, &user);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_usage_told,
                                  NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_iv_metadata_usage(op, &user, &lcf->quota);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_usage_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_str_t      json;
    ngx_iv_json_t  j;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ngx_iv_json_init(&j, r->pool, 128);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    ngx_iv_json_object(&j, "storageQuota");
    ngx_iv_json_int(&j, "used", op->used);

    if (op->limit == NGX_IV_QUOTA_NONE) {
        ngx_iv_json_null(&j, "limit");

    } else {
        ngx_iv_json_int(&j, "limit", op->limit);
    }

    ngx_iv_json_object_end(&j);

    ngx_iv_json_int(&j, "images", (int64_t) op->count);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "usage";
    ngx_http_image_vault_count(NGX_IV_COUNT_READS, 1);

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
