/*
 * Cross-origin requests: which origins are listed, preflights, and the headers
 * that let a page read an answer.
 */

#include "module/ngx_http_image_vault_module.h"


static const ngx_str_t *ngx_http_image_vault_cors_allow(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors);
static ngx_uint_t ngx_http_image_vault_cors_lists(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors, const ngx_str_t *text);
#if (NGX_PCRE)
static ngx_uint_t ngx_http_image_vault_cors_regex(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors, ngx_iv_origin_t *origin);
#endif
static ngx_int_t ngx_http_image_vault_preflight_answer(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);
static ngx_http_image_vault_cors_t *ngx_http_image_vault_cors_of(
    ngx_http_request_t *r, ngx_http_image_vault_loc_conf_t *lcf);
static void ngx_http_image_vault_cors_clear(ngx_http_request_t *r);


static const ngx_str_t  ngx_http_image_vault_cors_any = ngx_string("*");
static const ngx_str_t  ngx_http_image_vault_cors_true = ngx_string("true");
static const ngx_str_t  ngx_http_image_vault_cors_vary = ngx_string("Origin");

static const ngx_str_t  ngx_http_image_vault_cors_expose =
    ngx_string("ETag, Location, Retry-After");
static const ngx_str_t  ngx_http_image_vault_preflight_vary =
    ngx_string("Access-Control-Request-Method, "
               "Access-Control-Request-Headers");


/*
 * "*" lists nobody here: it lets any page read what is public, but a browser
 * sends a form of any site with the user's cookies, whatever is allowed
 */

ngx_uint_t
ngx_http_image_vault_cors_listed(ngx_http_request_t *r,
    const ngx_str_t *origin)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    return lcf->cors != NULL
           && ngx_http_image_vault_cors_lists(r, lcf->cors, origin);
}


static ngx_uint_t
ngx_http_image_vault_cors_lists(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors, const ngx_str_t *text)
{
    ngx_uint_t                i;
    ngx_iv_origin_t           origin;
    ngx_iv_origin_pattern_t  *patterns;

    if (ngx_iv_origin_parse(&origin, text) != NGX_OK) {
        return 0;
    }

    patterns = cors->patterns.elts;

    for (i = 0; i < cors->patterns.nelts; i++) {
        if (ngx_iv_origin_match(&patterns[i], &origin)) {
            return 1;
        }
    }

#if (NGX_PCRE)
    return ngx_http_image_vault_cors_regex(r, cors, &origin);
#else
    return 0;
#endif
}


#if (NGX_PCRE)

static ngx_uint_t
ngx_http_image_vault_cors_regex(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors, ngx_iv_origin_t *origin)
{
    ngx_int_t      n;
    ngx_str_t      text;
    ngx_uint_t     i;
    ngx_regex_t  **regexes;

    text.len = origin->len;
    text.data = origin->text;
    regexes = cors->regexes.elts;

    for (i = 0; i < cors->regexes.nelts; i++) {

        n = ngx_regex_exec(regexes[i], &text, NULL, 0);

        if (n >= 0) {
            return 1;
        }

        if (n != NGX_REGEX_NO_MATCHED) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "image_vault: matching an origin by a regular "
                          "expression failed: %i", n);
        }
    }

    return 0;
}

#endif


/* the value of Access-Control-Allow-Origin; NULL: none */

static const ngx_str_t *
ngx_http_image_vault_cors_allow(ngx_http_request_t *r,
    const ngx_http_image_vault_cors_t *cors)
{
    ngx_str_t   *origin;
    ngx_uint_t   n;

    if (cors->any) {
        return &ngx_http_image_vault_cors_any;
    }

    origin = ngx_http_image_vault_header_in(r, "origin", &n);

    if (origin == NULL || n > 1
        || !ngx_http_image_vault_cors_lists(r, cors, origin))
    {
        return NULL;
    }

    return origin;
}


/*
 * In the preaccess phase: the location is known, and nobody has asked for a
 * password yet, which a preflight never carries.
 */

ngx_int_t
ngx_http_image_vault_preflight(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_NONE
        || lcf->endpoint == NGX_HTTP_IMAGE_VAULT_ERROR
        || r != r->main
        || ngx_http_image_vault_header_in(r, "origin", NULL) == NULL)
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* an error page may stand in another location */

    ctx->cors = lcf->cors;
    ctx->cors_known = 1;

    if (r->method != NGX_HTTP_OPTIONS
        || ngx_http_image_vault_header_in(r, "access-control-request-method",
                                          NULL)
           == NULL)
    {
        return NGX_DECLINED;
    }

    if (lcf->cors == NULL
        || ngx_http_image_vault_cors_allow(r, lcf->cors) == NULL)
    {
        rc = ngx_http_image_vault_error(r, NGX_IV_FORBIDDEN,
                                        "a preflight of another site");
    } else {
        rc = ngx_http_image_vault_preflight_answer(r, ctx, lcf);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_preflight_answer(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   methods, headers, age;

    rc = ngx_http_image_vault_drop_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    age.data = p;
    age.len = ngx_sprintf(p, "%T", lcf->cors_max_age) - p;

    if (ngx_http_image_vault_methods(r, lcf, &methods) != NGX_OK
        || ngx_iv_cors_headers(r->pool,
                               ngx_http_image_vault_header_in(r,
                                    "access-control-request-headers", NULL),
                               &headers)
           != NGX_OK
        || ngx_http_image_vault_add_header(r, "Access-Control-Allow-Methods",
                                           &methods)
           != NGX_OK
        || ngx_http_image_vault_add_header(r, "Access-Control-Allow-Headers",
                                           &headers)
           != NGX_OK
        || ngx_http_image_vault_add_header(r, "Access-Control-Max-Age", &age)
           != NGX_OK
        || ngx_http_image_vault_add_header(r, "Vary",
                                        &ngx_http_image_vault_preflight_vary)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "preflight";
    r->headers_out.status = NGX_HTTP_NO_CONTENT;

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_image_vault_cors_filter(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf)
{
    const ngx_str_t              *allow;
    ngx_http_image_vault_cors_t  *cors;

    cors = ngx_http_image_vault_cors_of(r, lcf);

    if (cors == NULL) {
        return NGX_OK;
    }

    ngx_http_image_vault_cors_clear(r);

    /* other locations' answers don't have it yet */

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_NONE
        && ngx_http_image_vault_add_header(r, "Vary",
                                           &ngx_http_image_vault_cors_vary)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    allow = ngx_http_image_vault_cors_allow(r, cors);

    if (allow == NULL) {
        return NGX_OK;
    }

    if (ngx_http_image_vault_add_header(r, "Access-Control-Allow-Origin",
                                        allow)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (cors->credentials
        && ngx_http_image_vault_add_header(r,
                                        "Access-Control-Allow-Credentials",
                                        &ngx_http_image_vault_cors_true)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->method == NGX_HTTP_OPTIONS) {
        return NGX_OK;
    }

    return ngx_http_image_vault_add_header(r, "Access-Control-Expose-Headers",
                                           &ngx_http_image_vault_cors_expose);
}


/* an error is answered as the location that it happened in would */

static ngx_http_image_vault_cors_t *
ngx_http_image_vault_cors_of(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf)
{
    ngx_http_image_vault_ctx_t  *ctx;

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_ERROR
        || (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_NONE && r->error_page))
    {
        ctx = ngx_http_image_vault_find_ctx(r);

        if (ctx != NULL && ctx->cors_known) {
            return ctx->cors;
        }
    }

    return (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_NONE) ? NULL : lcf->cors;
}


/* what an upstream said: a browser takes two of them for none */

static void
ngx_http_image_vault_cors_clear(ngx_http_request_t *r)
{
    ngx_list_t  *list;

    list = &r->headers_out.headers;

    ngx_http_image_vault_drop_header(list, "Access-Control-Allow-Origin");
    ngx_http_image_vault_drop_header(list, "Access-Control-Allow-Credentials");
    ngx_http_image_vault_drop_header(list, "Access-Control-Expose-Headers");
}
