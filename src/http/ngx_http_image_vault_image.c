/*
 * GET and HEAD of an image: one look-up, the order of checks, then JSON or a
 * redirect to where the storage gives it out.
 */

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_report.h"


static ngx_int_t ngx_http_image_vault_show_next(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_view(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static void ngx_http_image_vault_view_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static ngx_int_t ngx_http_image_vault_view_next(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static ngx_uint_t ngx_http_image_vault_wants_image(ngx_http_request_t *r);
static ngx_uint_t ngx_http_image_vault_names_image(const ngx_str_t *accept);
static ngx_int_t ngx_http_image_vault_set_etag(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, time_t expires);
static ngx_int_t ngx_http_image_vault_send_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);


ngx_int_t
ngx_http_image_vault_image(ngx_http_request_t *r,
    ngx_http_image_vault_show_e how)
{
    ngx_int_t                    rc;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->retrieves = 1;
    ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_NONE;

    rc = ngx_http_image_vault_identity(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_error(r, rc, "the owner is not valid");
    }

    if (!ctx->id_known) {
        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND, "not an id");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (how == NGX_HTTP_IMAGE_VAULT_SHOW
        && !ngx_http_image_vault_wants_image(r))
    {
        return ngx_http_image_vault_lookup(r, ctx,
                                           ngx_http_image_vault_show_next);
    }

    ctx->download = (how == NGX_HTTP_IMAGE_VAULT_DOWNLOAD);

    return ngx_http_image_vault_view(r, ctx);
}


static ngx_int_t
ngx_http_image_vault_show_next(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_state(ctx, ctx->document);

    if (rc != NGX_OK) {
        return ngx_http_image_vault_refuse_state(r, ctx, rc);
    }

    return ngx_http_image_vault_show(r, ctx);
}


static ngx_int_t
ngx_http_image_vault_view(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_find(r, ctx, ngx_http_image_vault_view_found);

    if (rc == NGX_AGAIN) {
        r->main->count++;
        return NGX_DONE;
    }

    return ngx_http_image_vault_view_next(r, ctx, rc);
}


static void
ngx_http_image_vault_view_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    ngx_http_finalize_request(r, ngx_http_image_vault_view_next(r, ctx, code));
}


static ngx_int_t
ngx_http_image_vault_view_next(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    if (code != NGX_OK) {
        return ngx_http_image_vault_find_refused(r, ctx, code);
    }

    return ngx_http_image_vault_send_redirect(r, ctx);
}


ngx_int_t
ngx_http_image_vault_refuse_state(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    ngx_str_t  *reason;

    reason = &ctx->document->blocked_reason;

    return ngx_http_image_vault_refuse(r, code, NULL,
                                       (code == NGX_IV_BLOCKED && reason->len)
                                       ? reason : NULL);
}


ngx_uint_t
ngx_http_image_vault_may_read(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc)
{
    ngx_str_t   *owner;
    ngx_uint_t   i;

    if (ctx->admin || doc->is_public) {
        return 1;
    }

    owner = &ctx->owner;

    if (owner->len == 0) {
        return 0;
    }

    if (ngx_iv_equal(&doc->owner, owner)) {
        return 1;
    }

    for (i = 0; i < doc->nshared; i++) {
        if (ngx_iv_equal(&doc->shared_with[i], owner)) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_image_vault_owns(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc)
{
    return ctx->admin
           || (ctx->owner.len && ngx_iv_equal(&ctx->owner, &doc->owner));
}


ngx_int_t
ngx_http_image_vault_state(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc)
{
    if (doc->blocked_at && !ctx->admin) {
        return NGX_IV_BLOCKED;
    }

    if (doc->expires_at && doc->expires_at <= ngx_iv_now()) {
        return NGX_IV_GONE;
    }

    if (doc->status != NGX_IV_STATUS_READY) {
        return NGX_IV_NOT_READY;
    }

    if (ngx_http_image_vault_is_missing(doc)) {
        return NGX_IV_GONE;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_image_vault_is_missing(const ngx_iv_document_t *doc)
{
    static const ngx_str_t  missing = ngx_string(NGX_IV_OBJECT_MISSING);

    return ngx_iv_equal(&doc->error, &missing);
}


/* Accept may come in several lines */

static ngx_uint_t
ngx_http_image_vault_wants_image(ngx_http_request_t *r)
{
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   it;

    for (h = ngx_http_image_vault_first_header(&it, &r->headers_in.headers,
                                               "Accept");
         h;
         h = ngx_http_image_vault_next_header(&it))
    {
        if (ngx_http_image_vault_names_image(&h->value)) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_image_vault_names_image(const ngx_str_t *accept)
{
    size_t   len;
    u_char  *p, *last, *end;

    p = accept->data;
    last = p + accept->len;

    while (p < last) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        for (end = p; end < last && *end != ',' && *end != ';'; end++) {
            /* void */
        }

        len = end - p;

        while (len && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
            len--;
        }

        if (len > sizeof("image/") - 1
            && ngx_strncasecmp(p, (u_char *) "image/", sizeof("image/") - 1)
               == 0)
        {
            return 1;
        }

        if (len == sizeof("text/html") - 1
            && ngx_strncasecmp(p, (u_char *) "text/html", len) == 0)
        {
            return 1;
        }

        /* parameters are of no interest */

        for (p = end; p < last && *p != ','; p++) { /* void */ }
    }

    return 0;
}


ngx_int_t
ngx_http_image_vault_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    time_t                    expires, rest;
    ngx_str_t                 json;
    ngx_iv_json_t             j;
    const ngx_iv_document_t  *doc;

    doc = ctx->document;

    if (ngx_http_image_vault_url(r, doc, 0, 0, 1, &ctx->url, &expires, &rest)
        != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    ngx_iv_json_init(&j, r->pool, 1024 + ctx->url.len);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    ngx_iv_json_object(&j, "image");
    ngx_iv_json_hex(&j, "id", doc->id, NGX_IV_ID_LEN);
    ngx_iv_json_str(&j, "url", &ctx->url);

    ngx_iv_json_date_or_null(&j, "urlExpiresAt", (int64_t) expires * 1000);

    ngx_http_image_vault_metadata_json(&j, "metadata", doc);
    ngx_iv_json_object_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK
        || ngx_http_image_vault_set_etag(r, doc, expires) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "document";
    ngx_http_image_vault_count(NGX_IV_COUNT_READS, 1);
    ngx_http_image_vault_count(NGX_IV_COUNT_RETRIEVALS_DOCUMENT, 1);

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


/*
 * The first half changes with the document, the second with the URL, so that
 * who holds the answer never learns that an ended URL is still good.
 */

static ngx_int_t
ngx_http_image_vault_set_etag(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, time_t expires)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    p = ngx_pnalloc(r->pool, sizeof("\"-\"") + 2 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->lowcase_key = NULL;
    ngx_iv_header_alone(h);
    ngx_str_set(&h->key, "ETag");

    h->value.data = p;
    h->value.len = ngx_sprintf(p, "\"%xL-%xL\"", (int64_t) doc->updated_at,
                               (int64_t) expires)
                   - p;

    r->headers_out.etag = h;

    return NGX_OK;
}


/*
 * Location is a plain header: nginx would make a path absolute with its own
 * idea of host and port, which is wrong behind a proxy.
 */

static ngx_int_t
ngx_http_image_vault_send_redirect(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    time_t     expires, rest;
    ngx_str_t  variant;

    static const ngx_str_t  no_variants =
        ngx_string("variants are not supported yet");

    if (ngx_http_arg(r, (u_char *) "variant", sizeof("variant") - 1, &variant)
        == NGX_OK
        && variant.len)
    {
        return ngx_http_image_vault_refuse(r, NGX_IV_BAD_PARAMETER, "variant",
                                           &no_variants);
    }

    if (ngx_http_image_vault_url(r, ctx->document, ctx->download,
                                 r->method == NGX_HTTP_HEAD, 0, &ctx->url,
                                 &expires, &rest)
        != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    if (ngx_http_image_vault_add_header(r, "Location", &ctx->url) != NGX_OK
        || ngx_http_image_vault_cacheable(r, ctx->document, expires, rest)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "redirect";
    ngx_http_image_vault_count_retrieval(ctx, NGX_IV_COUNT_REDIRECTS);

    r->headers_out.status = NGX_HTTP_MOVED_TEMPORARILY;
    r->headers_out.content_length_n = 0;
    r->header_only = 1;

    return ngx_http_send_header(r);
}


ngx_int_t
ngx_http_image_vault_cacheable(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, time_t expires, time_t rest)
{
    time_t     now, end;
    u_char    *p;
    ngx_str_t  value;

    now = ngx_time();
    end = expires;

    if (end == 0 && doc->expires_at) {
        /* a public URL does not end by itself */
        end = (time_t) (doc->expires_at / 1000);
    }

    if (end && end - now - 1 < rest) {
        rest = ngx_max(end - now - 1, 0);
    }

    p = ngx_pnalloc(r->pool, sizeof("private, max-age=") + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%s, max-age=%T",
                            doc->is_public ? "public" : "private", rest)
                - p;

    return ngx_http_image_vault_add_header(r, "Cache-Control", &value);
}
