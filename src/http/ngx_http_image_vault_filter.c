/*
 * Header filter of our locations: what every answer carries, nginx's own
 * errors included, and the headers of a file that was asked for by a link.
 */

#include "module/ngx_http_image_vault_module.h"
#include "formats/ngx_iv_image.h"


typedef struct {
    const char     *name;
    ngx_str_t       value;
} ngx_http_image_vault_header_t;


static ngx_int_t ngx_http_image_vault_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_image_vault_file_headers(ngx_http_request_t *r);
static ngx_uint_t ngx_http_image_vault_header_out(ngx_http_request_t *r,
    const char *name, const ngx_str_t *value);


static const ngx_http_image_vault_header_t  ngx_http_image_vault_headers[] = {
    { "X-Content-Type-Options", ngx_string("nosniff") },
    { "Referrer-Policy", ngx_string("no-referrer") },
    { "Vary", ngx_string("Accept, Origin") },
    { NULL, ngx_null_string }
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_image_vault_filter_init(ngx_conf_t *cf)
{
    static ngx_str_t  request_id = ngx_string("request_id");

    /*
     * An indexed variable keeps its value: the answer then names the very
     * $request_id that the access log shows.
     */

    if (ngx_http_get_variable_index(cf, &request_id) == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_image_vault_header_filter;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                             rc;
    ngx_http_image_vault_loc_conf_t      *lcf;
    const ngx_http_image_vault_header_t  *h;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_NONE) {

        /* it may be the page of an error in a location of ours */

        if (r->error_page && r == r->main
            && ngx_http_image_vault_cors_filter(r, lcf) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_http_next_header_filter(r);
    }

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_FILES) {

        rc = ngx_http_image_vault_file_headers(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_ACCESS) {

        rc = ngx_http_image_vault_access_headers(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    for (h = ngx_http_image_vault_headers; h->name; h++) {

        if (ngx_http_image_vault_header_out(r, h->name, &h->value)) {
            continue;
        }

        if (ngx_http_image_vault_add_header(r, h->name, &h->value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_image_vault_cors_filter(r, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/*
 * The gate decides; this is the second lock: whatever brought other contents
 * here (try_files, an index), they don't leave without a link of their own.
 */

static ngx_int_t
ngx_http_image_vault_file_headers(ngx_http_request_t *r)
{
    u_char                      *p;
    time_t                       rest;
    ngx_str_t                    value;
    ngx_uint_t                   format;
    ngx_http_image_vault_ctx_t  *ctx;

    if (r->headers_out.status != NGX_HTTP_OK
        && r->headers_out.status != NGX_HTTP_PARTIAL_CONTENT
        && r->headers_out.status != NGX_HTTP_NOT_MODIFIED)
    {
        return NGX_OK;
    }

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ctx->link_uri.len == 0 || ctx->link_uri.len != r->uri.len
        || ngx_memcmp(ctx->link_uri.data, r->uri.data, r->uri.len) != 0)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "image_vault: a file without a valid link "
                      "was withheld");
        return NGX_HTTP_FORBIDDEN;
    }

    if (r->headers_out.status != NGX_HTTP_NOT_MODIFIED) {

        format = ngx_iv_image_by_name(&r->uri);

        if (format) {
            r->headers_out.content_type = *ngx_iv_image_mime(format);

        } else {
            ngx_str_set(&r->headers_out.content_type,
                        "application/octet-stream");
        }

        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->headers_out.content_type_lowcase = NULL;

        if (ctx->link_disposition.len
            && ngx_http_image_vault_add_header(r, "Content-Disposition",
                                               &ctx->link_disposition)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    rest = ngx_max(ctx->link_expires - ngx_time(), 0);

    p = ngx_pnalloc(r->pool, sizeof("private, max-age=") + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "private, max-age=%T", rest) - p;

    return ngx_http_image_vault_add_header(r, "Cache-Control", &value);
}


/* is the very header there already, as after an internal redirect? */

static ngx_uint_t
ngx_http_image_vault_header_out(ngx_http_request_t *r, const char *name,
    const ngx_str_t *value)
{
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   it;

    for (h = ngx_http_image_vault_first_header(&it, &r->headers_out.headers,
                                               name);
         h;
         h = ngx_http_image_vault_next_header(&it))
    {
        if (ngx_iv_equal(&h->value, value)) {
            return 1;
        }
    }

    return 0;
}
