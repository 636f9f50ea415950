/*
 * The arguments of an endpoint's query, by a table of those it knows; cursors
 * that need no more than the place where a page ended.
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_args.h"


static ngx_int_t ngx_http_image_vault_arg(ngx_http_request_t *r,
    const ngx_http_image_vault_arg_t *arg, const ngx_str_t *value,
    uint64_t *seen, ngx_uint_t n, void *data);
static const ngx_http_image_vault_arg_t *ngx_http_image_vault_find_arg(
    const ngx_http_image_vault_arg_t *args, const ngx_str_t *name);


/* others are passed over: an application may have its own */

ngx_int_t
ngx_http_image_vault_args(ngx_http_request_t *r,
    const ngx_http_image_vault_arg_t *args, void *data)
{
    uint64_t                           seen;
    ngx_int_t                          rc;
    ngx_str_t                          rest, name, value;
    const ngx_http_image_vault_arg_t  *arg;

    rest = r->args;
    seen = 0;

    for ( ;; ) {

        rc = ngx_iv_args_next(r->pool, &rest, &name, &value);

        if (rc == NGX_DONE) {
            return NGX_DECLINED;
        }

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        arg = ngx_http_image_vault_find_arg(args, &name);

        if (arg == NULL) {
            continue;
        }

        if (rc == NGX_DECLINED) {
            return ngx_http_image_vault_bad_member(r, &arg->name,
                                                   "is escaped badly");
        }

        rc = ngx_http_image_vault_arg(r, arg, &value, &seen, arg - args, data);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_http_image_vault_arg(ngx_http_request_t *r,
    const ngx_http_image_vault_arg_t *arg, const ngx_str_t *value,
    uint64_t *seen, ngx_uint_t n, void *data)
{
    ngx_int_t  rc;

    if (value->len == 0 && !(arg->flags & NGX_HTTP_IMAGE_VAULT_ARG_EMPTY)) {
        return NGX_DECLINED;
    }

    if ((*seen & (uint64_t) 1 << n)
        && !(arg->flags & NGX_HTTP_IMAGE_VAULT_ARG_MANY))
    {
        return ngx_http_image_vault_bad_member(r, &arg->name,
                                               "is given twice");
    }

    *seen |= (uint64_t) 1 << n;

    rc = arg->set(data, value);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_bad_member(r, &arg->name, arg->what);
    }

    return NGX_DECLINED;
}


static const ngx_http_image_vault_arg_t *
ngx_http_image_vault_find_arg(const ngx_http_image_vault_arg_t *args,
    const ngx_str_t *name)
{
    const ngx_http_image_vault_arg_t  *arg;

    for (arg = args; arg->name.len; arg++) {
        if (arg->name.len == name->len
            && ngx_memcmp(arg->name.data, name->data, name->len) == 0)
        {
            return arg;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_image_vault_set_user(void *user, const ngx_str_t *value)
{
    ngx_str_t *u = user;

    if (!ngx_iv_owner_valid(value)) {
        return NGX_DECLINED;
    }

    *u = *value;
    ngx_http_image_vault_fold_owner(u);

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_set_after(ngx_str_t *after, const ngx_str_t *value)
{
    ngx_str_t  src;

    src = *value;
    after->data = src.data;

    if (ngx_decode_base64url(after, &src) != NGX_OK || after->len == 0) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_json_next(ngx_http_request_t *r, ngx_iv_json_t *j,
    const ngx_str_t *after)
{
    ngx_str_t  next, src;

    if (after == NULL || after->len == 0) {
        ngx_iv_json_null(j, "next");
        return NGX_OK;
    }

    src = *after;

    next.data = ngx_pnalloc(r->pool, ngx_base64_encoded_length(src.len));
    if (next.data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64url(&next, &src);
    ngx_iv_json_str(j, "next", &next);

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_for_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *user)
{
    static const ngx_str_t  message =
        ngx_string("userId must be the owner's own");

    if (user->len == 0) {
        *user = ctx->owner;
        return NGX_DECLINED;
    }

    if (ctx->admin || ngx_iv_equal(user, &ctx->owner)) {
        return NGX_DECLINED;
    }

    return ngx_http_image_vault_refuse(r, NGX_IV_FORBIDDEN,
                                       "userId of another owner", &message);
}
