/*
 * image_vault_access: the check alone, in front of whatever answers in its
 * location.
 *
 * It runs in the precontent phase: after all access modules, so that the owner
 * is known, and untouched by "satisfy"; and, as this module is loaded after
 * nginx's own, before try_files and mirror.  A decision holds for one pass
 * through the phases: an internal redirect decides anew.
 */

#include "http/ngx_http_image_vault_api.h"


static ngx_int_t ngx_http_image_vault_access_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);
static ngx_int_t ngx_http_image_vault_access_method(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_access_wait(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static void ngx_http_image_vault_access_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static ngx_int_t ngx_http_image_vault_access_end(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static ngx_int_t ngx_http_image_vault_access_answered(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_uint_t ngx_http_image_vault_access_as_parent(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_uint_t ngx_http_image_vault_is_clone(ngx_http_request_t *r);
static ngx_int_t ngx_http_image_vault_access_caching(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static void ngx_http_image_vault_forget_caching(ngx_http_request_t *r);
static ngx_uint_t ngx_http_image_vault_says(const ngx_str_t *value,
    const char *word);


ngx_int_t
ngx_http_image_vault_access(ngx_http_request_t *r)
{
    ngx_int_t                         code;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_ACCESS) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* a write event of the connection runs the phases, too */

    if (ctx->access == NGX_HTTP_IMAGE_VAULT_ACCESS_WAITS) {
        return NGX_AGAIN;
    }

    if (ctx->access == NGX_HTTP_IMAGE_VAULT_ACCESS_TOLD && ctx->access_here) {
        code = ctx->access_code;

    } else {
        code = ngx_http_image_vault_access_begin(r, ctx, lcf);
    }

    switch (code) {

    case NGX_AGAIN:
    case NGX_DONE:
        return code;

    default:
        return ngx_http_image_vault_access_end(r, ctx, code);
    }
}


/* as ngx_http_image_vault_find(); NGX_DONE: it is answered */

static ngx_int_t
ngx_http_image_vault_access_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf)
{
    ngx_int_t  rc;

    /* what was known in another location, or before the access phase */

    ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_NONE;
    ctx->access_here = 1;
    ctx->owner_known = 0;
    ctx->id_known = 0;
    ctx->document = NULL;
    ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_NONE;
    ngx_str_null(&ctx->url);

    if (ngx_http_image_vault_worker == NULL) {
        return ngx_http_image_vault_access_answered(r,
                    ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                               "the worker is not ready"));
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_image_vault_access_method(r, ctx);
    }

    ctx->retrieves = 1;

    rc = ngx_http_image_vault_identity(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_access_answered(r,
                    ngx_http_image_vault_error(r, rc,
                                               "the owner is not valid"));
    }

    if (ngx_http_image_vault_asked_id(r, ctx, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!ctx->id_known) {
        return ngx_http_image_vault_access_answered(r,
                    ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND,
                                               "not an id"));
    }

    if (ngx_http_image_vault_access_as_parent(r, ctx)) {
        return NGX_OK;
    }

    rc = ngx_http_image_vault_find(r, ctx, ngx_http_image_vault_access_found);

    return (rc == NGX_AGAIN) ? ngx_http_image_vault_access_wait(r, ctx) : rc;
}


static ngx_int_t
ngx_http_image_vault_access_method(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_may_change(r, ctx);

    if (rc == NGX_DECLINED) {
        rc = ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    return ngx_http_image_vault_access_answered(r, rc);
}


/*
 * The count of the phases is the one that is held.  A client that goes away
 * meanwhile takes the request along, and with its pool the look-up.
 */

static ngx_int_t
ngx_http_image_vault_access_wait(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_event_t  *rev;

    ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_WAITS;

    if (r != r->main) {
        return NGX_AGAIN;
    }

    r->read_event_handler = ngx_http_test_reading;

    rev = r->connection->read;

    if (rev->ready) {
        ngx_post_event(rev, &ngx_posted_events);

    } else if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_NONE;
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


static void
ngx_http_image_vault_access_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    /* what could not wait was answered */

    if (ctx->access != NGX_HTTP_IMAGE_VAULT_ACCESS_WAITS) {
        return;
    }

    ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_TOLD;
    ctx->access_code = code;

    if (r == r->main) {
        r->read_event_handler = ngx_http_block_reading;
    }

    ngx_http_core_run_phases(r);
}


/* as a phase handler */

static ngx_int_t
ngx_http_image_vault_access_end(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    if (code == NGX_OK) {
        ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED;
        ctx->result = "access";
        ngx_http_image_vault_count_retrieval(ctx,
                                             NGX_IV_COUNT_RETRIEVALS_ACCESS);

        return NGX_DECLINED;
    }

    ctx->access = NGX_HTTP_IMAGE_VAULT_ACCESS_NONE;

    return ngx_http_image_vault_access_answered(r,
                           ngx_http_image_vault_find_refused(r, ctx, code));
}


static ngx_int_t
ngx_http_image_vault_access_answered(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* what this very owner was granted a moment ago, for this very image */

static ngx_uint_t
ngx_http_image_vault_access_as_parent(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_http_request_t          *p;
    ngx_http_image_vault_ctx_t  *theirs;

    for (p = r->parent; p; p = p->parent) {

        theirs = ngx_http_image_vault_find_ctx(p);

        if (theirs
            && theirs->access == NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED
            && theirs->admin == ctx->admin
            && ngx_iv_equal(&theirs->owner, &ctx->owner)
            && ngx_memcmp(theirs->id, ctx->id, NGX_IV_ID_LEN) == 0)
        {
            ctx->document = theirs->document;
            return 1;
        }
    }

    return 0;
}


/* slices and background updates of a cache begin at the content phase of the
 * request that they are made for */

static ngx_uint_t
ngx_http_image_vault_is_clone(ngx_http_request_t *r)
{
    return r->parent
           && r->loc_conf == r->parent->loc_conf
           && r->uri.data == r->parent->uri.data
           && r->args.data == r->parent->args.data;
}


ngx_http_image_vault_ctx_t *
ngx_http_image_vault_shown_ctx(ngx_http_request_t *r)
{
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_loc_conf_t  *lcf;

    for ( ;; ) {

        ctx = ngx_http_image_vault_find_ctx(r);

        if (ctx || r->parent == NULL) {
            return ctx;
        }

        /* in a location of ours another image may be asked for */

        lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

        if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_NONE
            && !ngx_http_image_vault_is_clone(r))
        {
            return NULL;
        }

        r = r->parent;
    }
}


ngx_int_t
ngx_http_image_vault_access_url(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    time_t  expires, rest;

    /* the slices of a long answer may outlive it */

    if (ctx->url.len && ngx_time() < ctx->url_until) {
        return NGX_OK;
    }

    if (ngx_http_image_vault_url_inside(r, ctx->document, 0, &ctx->url,
                                        &expires, &rest)
        != NGX_OK)
    {
        ngx_str_null(&ctx->url);
        return NGX_ERROR;
    }

    ctx->url_until = ngx_min(ngx_time() + rest, expires);

    return NGX_OK;
}


/*
 * The second lock: what comes from before the precontent phase ("return"), or
 * from where the gate was not passed, does not leave.  204 tells a client
 * nothing, but to auth_request it is a yes.
 */

ngx_int_t
ngx_http_image_vault_access_headers(ngx_http_request_t *r)
{
    ngx_uint_t                   status;
    ngx_http_request_t          *p;
    ngx_http_image_vault_ctx_t  *ctx;

    status = r->headers_out.status;

    if ((status == NGX_HTTP_NO_CONTENT && r == r->main)
        || (status >= NGX_HTTP_SPECIAL_RESPONSE
            && status != NGX_HTTP_NOT_MODIFIED))
    {
        return NGX_OK;
    }

    ctx = ngx_http_image_vault_find_ctx(r);

    for (p = r; ctx == NULL && ngx_http_image_vault_is_clone(p); /* void */ ) {
        p = p->parent;
        ctx = ngx_http_image_vault_find_ctx(p);
    }

    if (ctx == NULL || ctx->access != NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED
        || !ctx->access_here)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "image_vault: an answer that passed no check "
                      "was withheld");
        return NGX_HTTP_FORBIDDEN;
    }

    return (r == r->main) ? ngx_http_image_vault_access_caching(r, ctx)
                          : NGX_OK;
}


/*
 * What the storage says holds, unless it lets anybody keep what not everybody
 * may see.  Our header is none of r->headers_out's own: "expires" adds to it.
 */

static ngx_int_t
ngx_http_image_vault_access_caching(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    time_t                           rest;
    ngx_uint_t                       said, private, shared;
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   it;

    said = 0;
    private = 0;
    shared = 0;

    for (h = ngx_http_image_vault_first_header(&it, &r->headers_out.headers,
                                               "Cache-Control");
         h;
         h = ngx_http_image_vault_next_header(&it))
    {
        said = 1;
        private |= ngx_http_image_vault_says(&h->value, "private")
                   | ngx_http_image_vault_says(&h->value, "no-store");
        shared |= ngx_http_image_vault_says(&h->value, "public")
                  | ngx_http_image_vault_says(&h->value, "s-maxage");
    }

    if (ctx->document->is_public ? said : (private && !shared)) {
        return NGX_OK;
    }

    ngx_http_image_vault_forget_caching(r);

    rest = 0;

    if (ngx_http_image_vault_access_url(r, ctx) == NGX_OK) {
        rest = ngx_max(ctx->url_until - ngx_time(), 0);
    }

    return ngx_http_image_vault_cacheable(r, ctx->document, 0, rest);
}


static void
ngx_http_image_vault_forget_caching(ngx_http_request_t *r)
{
    ngx_http_image_vault_drop_header(&r->headers_out.headers, "Cache-Control");
    ngx_http_image_vault_drop_header(&r->headers_out.headers, "Expires");

    ngx_iv_forget_headers(r->headers_out.cache_control);
    r->headers_out.expires = NULL;
}


/* private="name" is about one header only */

static ngx_uint_t
ngx_http_image_vault_says(const ngx_str_t *value, const char *word)
{
    size_t   len;
    u_char  *p, *last;

    len = ngx_strlen(word);
    last = value->data + value->len;

    p = ngx_strlcasestrn(value->data, last, (u_char *) word, len - 1);

    return p && (p + len == last || p[len] != '='
                 || ngx_strcmp(word, "s-maxage") == 0);
}
