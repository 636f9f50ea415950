/*
 * The paths below the prefix of image_vault_api: which methods they know, which
 * function answers, and what is checked before it is called.
 */

#include "http/ngx_http_image_vault_api.h"

#define NGX_HTTP_IMAGE_VAULT_READ    (NGX_HTTP_GET|NGX_HTTP_HEAD)

/* what is checked first */
#define NGX_HTTP_IMAGE_VAULT_ID      0x01   /* "*" is an image's id */
#define NGX_HTTP_IMAGE_VAULT_ANYONE  0x02   /* also without an owner */
#define NGX_HTTP_IMAGE_VAULT_ADMIN   0x04
#define NGX_HTTP_IMAGE_VAULT_JSON    0x08   /* the body's media type */
#define NGX_HTTP_IMAGE_VAULT_OWN     0x10   /* it makes all checks itself */


typedef struct {
    ngx_str_t                     path;     /* "*": any one segment */
    ngx_uint_t                    methods;
    ngx_uint_t                    flags;
    ngx_http_image_vault_next_pt  answer;
} ngx_http_image_vault_route_t;


static ngx_int_t ngx_http_image_vault_route_upload(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_route_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_route_view(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_route_download(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static const ngx_http_image_vault_route_t *ngx_http_image_vault_route(
    ngx_http_request_t *r, ngx_http_image_vault_loc_conf_t *lcf,
    ngx_str_t *part);
static ngx_int_t ngx_http_image_vault_route_call(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx,
    const ngx_http_image_vault_route_t *route, ngx_str_t *part);
static ngx_uint_t ngx_http_image_vault_route_is(const ngx_str_t *path,
    const u_char *p, const u_char *last, ngx_str_t *part);


/* the first path that fits holds; its rows stand together */

static const ngx_http_image_vault_route_t  ngx_http_image_vault_routes[] = {

    { ngx_string("upload"), NGX_HTTP_POST|NGX_HTTP_PUT,
      NGX_HTTP_IMAGE_VAULT_OWN,
      ngx_http_image_vault_route_upload },

    { ngx_string("admin/stats"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_stats },

    { ngx_string("admin/images"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_admin_images },

    { ngx_string("admin/images/*/moderate"), NGX_HTTP_POST,
      NGX_HTTP_IMAGE_VAULT_ADMIN|NGX_HTTP_IMAGE_VAULT_JSON
      |NGX_HTTP_IMAGE_VAULT_ID,
      ngx_http_image_vault_moderate },

    { ngx_string("admin/users"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_users },

    { ngx_string("admin/users/*"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_user },

    { ngx_string("admin/users/*"), NGX_HTTP_PATCH,
      NGX_HTTP_IMAGE_VAULT_ADMIN|NGX_HTTP_IMAGE_VAULT_JSON,
      ngx_http_image_vault_user_patch },

    { ngx_string("admin/sweep"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_sweep_show },

    { ngx_string("admin/sweep"), NGX_HTTP_POST,
      NGX_HTTP_IMAGE_VAULT_ADMIN,
      ngx_http_image_vault_sweep_now },

    { ngx_string("user"), NGX_HTTP_IMAGE_VAULT_READ, 0,
      ngx_http_image_vault_list_own },

    { ngx_string("usage"), NGX_HTTP_IMAGE_VAULT_READ, 0,
      ngx_http_image_vault_usage },

    { ngx_string("presigned-url"), NGX_HTTP_POST, NGX_HTTP_IMAGE_VAULT_JSON,
      ngx_http_image_vault_presign },

    { ngx_string("direct-upload"), NGX_HTTP_POST, NGX_HTTP_IMAGE_VAULT_JSON,
      ngx_http_image_vault_direct },

    { ngx_string("*/view"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ID|NGX_HTTP_IMAGE_VAULT_ANYONE,
      ngx_http_image_vault_route_view },

    { ngx_string("*/download"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ID|NGX_HTTP_IMAGE_VAULT_ANYONE,
      ngx_http_image_vault_route_download },

    { ngx_string("bulk"), NGX_HTTP_POST, NGX_HTTP_IMAGE_VAULT_JSON,
      ngx_http_image_vault_bulk },

    { ngx_string("*/delete"), NGX_HTTP_POST, NGX_HTTP_IMAGE_VAULT_ID,
      ngx_http_image_vault_delete },

    { ngx_string("*/complete"), NGX_HTTP_POST, NGX_HTTP_IMAGE_VAULT_ID,
      ngx_http_image_vault_complete },

    { ngx_string("*"), NGX_HTTP_IMAGE_VAULT_READ,
      NGX_HTTP_IMAGE_VAULT_ID|NGX_HTTP_IMAGE_VAULT_ANYONE,
      ngx_http_image_vault_route_show },

    { ngx_string("*"), NGX_HTTP_PATCH,
      NGX_HTTP_IMAGE_VAULT_ID|NGX_HTTP_IMAGE_VAULT_JSON,
      ngx_http_image_vault_patch },

    { ngx_string("*"), NGX_HTTP_DELETE, NGX_HTTP_IMAGE_VAULT_ID,
      ngx_http_image_vault_delete },

    { ngx_null_string, 0, 0, NULL }
};


/* in the order of the headers Allow and Access-Control-Allow-Methods */

static const struct {
    ngx_uint_t   method;
    ngx_str_t    name;
} ngx_http_image_vault_method_names[] = {
    { NGX_HTTP_GET, ngx_string("GET") },
    { NGX_HTTP_HEAD, ngx_string("HEAD") },
    { NGX_HTTP_POST, ngx_string("POST") },
    { NGX_HTTP_PUT, ngx_string("PUT") },
    { NGX_HTTP_PATCH, ngx_string("PATCH") },
    { NGX_HTTP_DELETE, ngx_string("DELETE") },
    { 0, ngx_null_string }
};


ngx_int_t
ngx_http_image_vault_api(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    ngx_int_t                            rc;
    ngx_str_t                            part, methods;
    const ngx_http_image_vault_route_t  *route, *row;

    route = ngx_http_image_vault_route(r, lcf, &part);

    if (route == NULL) {

        /* only an image's own GET goes on without an owner */

        rc = ngx_http_image_vault_may_change(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, "no such path");
    }

    for (row = route; ngx_iv_equal(&row->path, &route->path); row++) {
        if (r->method & row->methods) {
            return ngx_http_image_vault_route_call(r, ctx, row, &part);
        }
    }

    /* a method that nobody knows is refused as one that changes things */

    rc = ngx_http_image_vault_may_change(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (route->flags & NGX_HTTP_IMAGE_VAULT_ID) {

        rc = ngx_http_image_vault_set_id(r, ctx, &part);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND,
                                              "not an id");
        }
    }

    if (ngx_http_image_vault_methods(r, lcf, &methods) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_not_allowed(r, (char *) methods.data);
}


/* in the order that the interface promises */

static ngx_int_t
ngx_http_image_vault_route_call(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx,
    const ngx_http_image_vault_route_t *route, ngx_str_t *part)
{
    ngx_int_t  rc;

    if (route->flags & NGX_HTTP_IMAGE_VAULT_OWN) {
        return route->answer(r, ctx);
    }

    if (!(route->flags & NGX_HTTP_IMAGE_VAULT_ANYONE)) {

        rc = ngx_http_image_vault_may_change(r, ctx);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if ((route->flags & NGX_HTTP_IMAGE_VAULT_ADMIN) && !ctx->admin) {
        return ngx_http_image_vault_error(r, NGX_IV_FORBIDDEN,
                                          "for admins only");
    }

    if ((route->flags & NGX_HTTP_IMAGE_VAULT_JSON)
        && !ngx_http_image_vault_is_json(r))
    {
        return ngx_http_image_vault_error(r, NGX_IV_UNSUPPORTED_TYPE,
                                          "the content-type is not "
                                          "application/json");
    }

    if (route->flags & NGX_HTTP_IMAGE_VAULT_ID) {

        rc = ngx_http_image_vault_set_id(r, ctx, part);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        /* an image's own GET answers what is no id as it does an absent one */

        if (rc != NGX_OK
            && !(route->flags & NGX_HTTP_IMAGE_VAULT_ANYONE))
        {
            return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND,
                                              "not an id");
        }

    } else {
        ctx->target = *part;
    }

    return route->answer(r, ctx);
}


ngx_int_t
ngx_http_image_vault_set_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_str_t *id)
{
    u_char  *p;

    if (ngx_iv_parse_id(id, ctx->id) != NGX_OK) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, 2 * NGX_IV_ID_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->id_text.data = p;
    ctx->id_text.len = ngx_iv_hex(p, ctx->id, NGX_IV_ID_LEN) - p;
    ctx->id_known = 1;

    return NGX_OK;
}


ngx_int_t
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

    if (r->method & NGX_HTTP_IMAGE_VAULT_READ) {
        return NGX_DECLINED;
    }

    /* as a mirror or a script makes one, with the method of its main request */

    if (r != r->main) {
        return ngx_http_image_vault_error(r, NGX_IV_FORBIDDEN,
                                          "a change by a subrequest");
    }

    if (ngx_http_image_vault_same_site(r) != NGX_OK) {
        return ngx_http_image_vault_error(r, NGX_IV_FORBIDDEN,
                                          "a request from another site");
    }

    /* nginx would call a change that was made a failed precondition */

    r->disable_not_modified = 1;

    return NGX_DECLINED;
}


/* a location "/api" is also found for "/apis" */

static const ngx_http_image_vault_route_t *
ngx_http_image_vault_route(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *part)
{
    u_char                              *p, *last;
    const ngx_http_image_vault_route_t  *route;

    if (r->uri.len < lcf->prefix.len + 2
        || ngx_memcmp(r->uri.data, lcf->prefix.data, lcf->prefix.len) != 0
        || r->uri.data[lcf->prefix.len] != '/')
    {
        return NULL;
    }

    p = r->uri.data + lcf->prefix.len + 1;
    last = r->uri.data + r->uri.len;

    for (route = ngx_http_image_vault_routes; route->path.len; route++) {

        if (ngx_http_image_vault_route_is(&route->path, p, last, part)) {
            return route;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_image_vault_route_is(const ngx_str_t *path, const u_char *p,
    const u_char *last, ngx_str_t *part)
{
    const u_char  *q, *end;

    ngx_str_null(part);

    q = path->data;
    end = q + path->len;

    while (q < end) {

        if (*q == '*') {
            if (p == last || *p == '/') {
                return 0;
            }

            part->data = (u_char *) p;

            while (p < last && *p != '/') {
                p++;
            }

            part->len = p - part->data;

            q++;
            continue;
        }

        if (p == last || *p++ != *q++) {
            return 0;
        }
    }

    return p == last;
}


ngx_int_t
ngx_http_image_vault_methods(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *methods)
{
    u_char                              *p;
    ngx_str_t                            part;
    ngx_uint_t                           i, mask;
    const ngx_http_image_vault_route_t  *route, *row;

    mask = NGX_HTTP_IMAGE_VAULT_READ;

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_UPLOAD) {
        mask = NGX_HTTP_POST|NGX_HTTP_PUT;

    } else if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_API) {

        route = ngx_http_image_vault_route(r, lcf, &part);

        if (route == NULL) {
            /* a page then gets to see our 404 */
            mask = NGX_HTTP_IMAGE_VAULT_READ|NGX_HTTP_POST|NGX_HTTP_PUT
                   |NGX_HTTP_PATCH|NGX_HTTP_DELETE;
        }

        for (row = route;
             row && ngx_iv_equal(&row->path, &route->path);
             row++)
        {
            mask = (row == route) ? row->methods : mask | row->methods;
        }
    }

    p = ngx_pnalloc(r->pool, sizeof("GET, HEAD, POST, PUT, PATCH, DELETE"));
    if (p == NULL) {
        return NGX_ERROR;
    }

    methods->data = p;

    for (i = 0; ngx_http_image_vault_method_names[i].method; i++) {

        if (mask & ngx_http_image_vault_method_names[i].method) {

            if (p != methods->data) {
                *p++ = ',';
                *p++ = ' ';
            }

            p = ngx_cpymem(p, ngx_http_image_vault_method_names[i].name.data,
                           ngx_http_image_vault_method_names[i].name.len);
        }
    }

    methods->len = p - methods->data;
    *p = '\0';

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_route_upload(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_upload(r);
}


static ngx_int_t
ngx_http_image_vault_route_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_image(r, NGX_HTTP_IMAGE_VAULT_SHOW);
}


static ngx_int_t
ngx_http_image_vault_route_view(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_image(r, NGX_HTTP_IMAGE_VAULT_VIEW);
}


static ngx_int_t
ngx_http_image_vault_route_download(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_image(r, NGX_HTTP_IMAGE_VAULT_DOWNLOAD);
}
