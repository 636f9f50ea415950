/*
 * POST presigned-url: a URL of an image, signed now, for as long as the client
 * wants it, within what the location allows.
 *
 * Who may not read the image is told so before anything else that is wrong:
 * only what the look-up needs is judged earlier.
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_args.h"


typedef struct {
    time_t       life;
    ngx_uint_t   download;
} ngx_http_image_vault_presign_t;


static ngx_int_t ngx_http_image_vault_presign_read(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_presign_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *user);
static ngx_int_t ngx_http_image_vault_presign_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_presign_members(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_presign_t *p);
static ngx_int_t ngx_http_image_vault_presign_life(ngx_http_request_t *r,
    const ngx_iv_json_node_t *node, time_t *life);
static ngx_int_t ngx_http_image_vault_presign_send(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_presign_t *p);


ngx_int_t
ngx_http_image_vault_presign(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_presign_read);
}


static ngx_int_t
ngx_http_image_vault_presign_read(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_str_t            user;
    ngx_iv_json_node_t  *node;

    static const ngx_str_t  name = ngx_string("imageId");

    rc = ngx_http_image_vault_presign_user(r, ctx, &user);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    node = ngx_iv_json_get(ctx->json, "imageId");

    if (node == NULL) {
        return ngx_http_image_vault_bad_member(r, &name, "is missing");
    }

    rc = NGX_DECLINED;

    if (node->type == NGX_IV_JSON_STRING) {
        rc = ngx_http_image_vault_set_id(r, ctx, &node->str);
    }

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_bad_member(r, &name,
                                               "must be a string of 24 "
                                               "hex digits");
    }

    return ngx_http_image_vault_lookup(r, ctx,
                                       ngx_http_image_vault_presign_found);
}


/* NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_presign_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *user)
{
    ngx_iv_json_node_t  *node;

    static const ngx_str_t  name = ngx_string("userId");

    ngx_str_null(user);

    node = ngx_iv_json_get(ctx->json, "userId");

    if (node
        && (node->type != NGX_IV_JSON_STRING
            || ngx_http_image_vault_set_user(user, &node->str) != NGX_OK))
    {
        return ngx_http_image_vault_bad_member(r, &name,
                                               "must be a user's id");
    }

    return ngx_http_image_vault_for_user(r, ctx, user);
}


static ngx_int_t
ngx_http_image_vault_presign_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                         rc;
    ngx_str_t                         user;
    ngx_http_image_vault_ctx_t        as;
    ngx_http_image_vault_presign_t    p;
    ngx_http_image_vault_loc_conf_t  *lcf;

    rc = ngx_http_image_vault_presign_user(r, ctx, &user);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!ngx_iv_equal(&user, &ctx->owner)) {
        /* an admin gets for another what the other would get */

        as = *ctx;
        as.owner = user;
        as.admin = 0;

        if (!ngx_http_image_vault_may_read(&as, ctx->document)) {
            ngx_http_image_vault_count(NGX_IV_COUNT_DENIED, 1);
            return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND,
                                              "not allowed to that user");
        }

        rc = ngx_http_image_vault_state(&as, ctx->document);

    } else {
        rc = ngx_http_image_vault_state(ctx, ctx->document);
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_refuse_state(r, ctx, rc);
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    p.life = lcf->url_expiry;
    p.download = 0;

    rc = ngx_http_image_vault_presign_members(r, ctx, &p);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_image_vault_presign_send(r, ctx, &p);
}


/* p has what holds if nothing is said.  NGX_DECLINED: go on; else it is
 * answered */

static ngx_int_t
ngx_http_image_vault_presign_members(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_presign_t *p)
{
    ngx_int_t            rc;
    ngx_iv_json_node_t  *node;

    static const char  *known[] = {
        "imageId", "expiresIn", "purpose", "userId", NULL
    };
    static const char *const  purposes[] = { "view", "download", NULL };

    node = ngx_http_image_vault_unknown_member(ctx, known);

    if (node) {
        return ngx_http_image_vault_bad_member(r, &node->key, "is not known");
    }

    node = ngx_iv_json_get(ctx->json, "purpose");

    if (node) {
        rc = NGX_DECLINED;

        if (node->type == NGX_IV_JSON_STRING) {
            rc = ngx_iv_args_word(&node->str, purposes);
        }

        if (rc < 0) {
            return ngx_http_image_vault_bad_member(r, &node->key,
                                                   "must be view or download");
        }

        p->download = (ngx_uint_t) rc;
    }

    node = ngx_iv_json_get(ctx->json, "expiresIn");

    if (node) {
        return ngx_http_image_vault_presign_life(r, node, &p->life);
    }

    return NGX_DECLINED;
}


/* *life: the longest; the one that is asked for */

static ngx_int_t
ngx_http_image_vault_presign_life(ngx_http_request_t *r,
    const ngx_iv_json_node_t *node, time_t *life)
{
    u_char  what[sizeof("must be a whole number of seconds from 1 to ")
                 + NGX_TIME_T_LEN];

    if (node->type == NGX_IV_JSON_NUMBER && node->integer
        && node->num >= 1 && node->num <= *life)
    {
        *life = (time_t) node->num;
        return NGX_DECLINED;
    }

    ngx_sprintf(what, "must be a whole number of seconds from 1 to %T%Z",
                *life);

    return ngx_http_image_vault_bad_member(r, &node->key, (char *) what);
}


static ngx_int_t
ngx_http_image_vault_presign_send(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_presign_t *p)
{
    time_t         expires;
    ngx_str_t      json;
    ngx_iv_json_t  j;

    if (ngx_http_image_vault_url_now(r, ctx->document, p->download, p->life,
                                     &ctx->url, &expires)
        != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    ngx_iv_json_init(&j, r->pool, 128 + ctx->url.len);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_str(&j, "url", &ctx->url);

    ngx_iv_json_date_or_null(&j, "expiresAt", (int64_t) expires * 1000);

    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "signed";
    ngx_http_image_vault_count(NGX_IV_COUNT_READS, 1);

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
