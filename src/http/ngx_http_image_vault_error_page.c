/*
 * image_vault_error: an error of nginx's own, or of another module, as our
 * JSON.
 */

#include "module/ngx_http_image_vault_module.h"


typedef struct {
    ngx_uint_t      status;
    ngx_int_t       code;
    ngx_str_t       message;        /* empty: the code's own */
} ngx_http_image_vault_status_t;


static const ngx_http_image_vault_status_t *ngx_http_image_vault_status(
    ngx_uint_t status);
static void ngx_http_image_vault_clear_headers(ngx_http_request_t *r);
static ngx_uint_t ngx_http_image_vault_has_header(ngx_http_request_t *r,
    const char *name);
static ngx_uint_t ngx_http_image_vault_is_error_page(ngx_conf_t *cf,
    const ngx_str_t *name);


/* the codes' messages speak of images; here nobody knows what it was about */

static const ngx_http_image_vault_status_t  ngx_http_image_vault_errors[] =
{
    { 401, NGX_IV_UNAUTHENTICATED, ngx_null_string },
    { 403, NGX_IV_FORBIDDEN, ngx_null_string },
    { 404, NGX_IV_NOT_FOUND, ngx_null_string },
    { 405, NGX_IV_METHOD_NOT_ALLOWED, ngx_null_string },
    { 408, NGX_IV_TIMEOUT, ngx_null_string },
    { 409, NGX_IV_CONFLICT, ngx_null_string },
    { 410, NGX_IV_GONE, ngx_string("what was here is gone") },
    { 411, NGX_IV_LENGTH_MISMATCH,
      ngx_string("a Content-Length is required") },
    { 412, NGX_IV_PRECONDITION_FAILED,
      ngx_string("a precondition does not hold") },
    { 413, NGX_IV_TOO_LARGE,
      ngx_string("the body is larger than allowed") },
    { 415, NGX_IV_UNSUPPORTED_TYPE, ngx_null_string },
    { 416, NGX_IV_BAD_PARAMETER,
      ngx_string("the range can not be satisfied") },
    { 429, NGX_IV_RATE_LIMITED, ngx_null_string },
    { 451, NGX_IV_BLOCKED,
      ngx_string("this is not available for legal reasons") },
    { 503, NGX_IV_OVERLOADED, ngx_null_string },
    { 0, 0, ngx_null_string }
};


static const ngx_http_image_vault_status_t  ngx_http_image_vault_any_4xx =
    { 400, NGX_IV_BAD_PARAMETER, ngx_string("the request is not valid") };

static const ngx_http_image_vault_status_t  ngx_http_image_vault_any_other =
    { 500, NGX_IV_INTERNAL, ngx_null_string };


/*
 * An error is shown before the access phase: nginx goes through it once more
 * in the location of an error page, and what was denied would be denied again.
 */

ngx_int_t
ngx_http_image_vault_error_early(ngx_http_request_t *r)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_ERROR
        || (r->err_status == 0 && !r->error_page))
    {
        return NGX_DECLINED;
    }

    ngx_http_finalize_request(r, ngx_http_image_vault_error_page(r));

    return NGX_DONE;
}


ngx_int_t
ngx_http_image_vault_error_page(ngx_http_request_t *r)
{
    ngx_int_t                             rc;
    ngx_str_t                             json;
    ngx_uint_t                            status;
    const ngx_iv_code_t                  *ce;
    ngx_http_image_vault_ctx_t           *ctx;
    const ngx_http_image_vault_status_t  *st;

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status = r->err_status;

    if (status == 0) {

        /* asked for directly, or by an "=" that the configuration kept */

        if (r->error_page) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "image_vault: the error's status is lost, an "
                          "error_page with \"=\" has a variable target");
            status = NGX_HTTP_INTERNAL_SERVER_ERROR;

        } else {
            status = NGX_HTTP_NOT_FOUND;
        }
    }

    st = ngx_http_image_vault_status(status);
    ce = ngx_iv_code(st->code);

    ctx->code = st->code;
    ctx->result = (const char *) ce->word.data;

    if (r->header_sent) {
        return NGX_ERROR;
    }

    ngx_http_image_vault_clear_headers(r);

    /* a client that waits for 100 may never send its body */

    if (r->headers_in.expect) {
        r->keepalive = 0;
    }

    rc = ngx_http_image_vault_drop_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ce->retry_after && !ngx_http_image_vault_has_header(r, "Retry-After")
        && ngx_http_image_vault_retry_after(r, ce->retry_after) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_image_vault_error_json(r, &ce->word,
                                        st->message.len ? &st->message
                                                        : &ce->message,
                                        &json)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_send_json(r, status, &json);
}


static const ngx_http_image_vault_status_t *
ngx_http_image_vault_status(ngx_uint_t status)
{
    const ngx_http_image_vault_status_t  *st;

    for (st = ngx_http_image_vault_errors; st->status; st++) {
        if (st->status == status) {
            return st;
        }
    }

    if (status >= NGX_HTTP_BAD_REQUEST
        && status < NGX_HTTP_INTERNAL_SERVER_ERROR)
    {
        return &ngx_http_image_vault_any_4xx;
    }

    return &ngx_http_image_vault_any_other;
}


/* what told of a body that is not sent; all else (WWW-Authenticate) stays */

static void
ngx_http_image_vault_clear_headers(ngx_http_request_t *r)
{
    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    if (r->headers_out.content_encoding) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = NULL;
    }
}


static ngx_uint_t
ngx_http_image_vault_has_header(ngx_http_request_t *r, const char *name)
{
    ngx_http_image_vault_headers_t  it;

    return ngx_http_image_vault_first_header(&it, &r->headers_out.headers,
                                             name)
           != NULL;
}


/*
 * "error_page 401 = @json" asks the location for the status, and forgets the
 * error's before the location is entered.  Where the location is one of ours,
 * its answer is the error's status: as if there were no "=".  The pages may be
 * shared with other levels and servers, so this level gets a copy.
 */

ngx_int_t
ngx_http_image_vault_error_pages(ngx_conf_t *cf)
{
    ngx_uint_t                 i, n;
    ngx_array_t               *copy;
    ngx_http_err_page_t       *page;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->error_pages == NULL) {
        return NGX_OK;
    }

    copy = NULL;
    page = clcf->error_pages->elts;
    n = clcf->error_pages->nelts;

    for (i = 0; i < n; i++) {

        if (page[i].overwrite != 0 || page[i].value.lengths != NULL
            || !ngx_http_image_vault_is_error_page(cf, &page[i].value.value))
        {
            continue;
        }

        if (copy == NULL) {
            copy = ngx_array_create(cf->pool, n, sizeof(ngx_http_err_page_t));

            if (copy == NULL || ngx_array_push_n(copy, n) == NULL) {
                return NGX_ERROR;
            }

            ngx_memcpy(copy->elts, page, n * sizeof(ngx_http_err_page_t));

            clcf->error_pages = copy;
            page = copy->elts;
        }

        switch (page[i].status) {

        case NGX_HTTP_TO_HTTPS:
        case NGX_HTTPS_CERT_ERROR:
        case NGX_HTTPS_NO_CERT:
        case NGX_HTTP_REQUEST_HEADER_TOO_LARGE:
            page[i].overwrite = NGX_HTTP_BAD_REQUEST;
            break;

        default:
            page[i].overwrite = -1;
        }
    }

    return NGX_OK;
}


/* name: "@json" or "/json"; one of the locations right in the server */

static ngx_uint_t
ngx_http_image_vault_is_error_page(ngx_conf_t *cf, const ngx_str_t *name)
{
    ngx_queue_t                      *q, *locations;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_core_srv_conf_t         *cscf;
    ngx_http_location_queue_t        *lq;
    ngx_http_image_vault_loc_conf_t  *lcf;

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    clcf = cscf->ctx->loc_conf[ngx_http_core_module.ctx_index];
    locations = clcf->locations;

    if (locations == NULL) {
        return 0;
    }

    for (q = ngx_queue_head(locations);
         q != ngx_queue_sentinel(locations);
         q = ngx_queue_next(q))
    {
        lq = (ngx_http_location_queue_t *) q;

        clcf = lq->exact ? lq->exact : lq->inclusive;

#if (NGX_PCRE)
        if (clcf->regex) {
            continue;
        }
#endif

        if (clcf->noname || clcf->name.len != name->len
            || ngx_strncmp(clcf->name.data, name->data, name->len) != 0)
        {
            continue;
        }

        lcf = clcf->loc_conf[ngx_http_image_vault_module.ctx_index];

        if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_ERROR) {
            return 1;
        }
    }

    return 0;
}
