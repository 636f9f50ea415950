/*
 * The answer of an upload request: what was stored, what was not, and why.
 */

#include "http/ngx_http_image_vault_intake.h"

#define NGX_HTTP_IMAGE_VAULT_MULTI_STATUS  207


static ngx_uint_t ngx_http_image_vault_stored(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_count_refused(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_audit_results(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_send_results(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_send_stored(
    ngx_http_image_vault_intake_t *it, ngx_uint_t stored);
static ngx_int_t ngx_http_image_vault_first_stored(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_stored_json(
    ngx_http_image_vault_intake_t *it, ngx_iv_json_t *j, ngx_str_t *location);
static ngx_int_t ngx_http_image_vault_image_json(ngx_iv_json_t *j,
    ngx_http_image_vault_file_t *file, ngx_str_t *location);
static void ngx_http_image_vault_gone_json(ngx_iv_json_t *j);
static ngx_int_t ngx_http_image_vault_href(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_str_t *href);
static ngx_int_t ngx_http_image_vault_send_failed(
    ngx_http_image_vault_intake_t *it, ngx_http_image_vault_file_t *first);
static void ngx_http_image_vault_failures_json(
    ngx_http_image_vault_intake_t *it, ngx_iv_json_t *j);
static ngx_int_t ngx_http_image_vault_errors_json(
    ngx_http_image_vault_intake_t *it, ngx_iv_json_t *j);


ngx_uint_t
ngx_http_image_vault_results_status(ngx_http_image_vault_intake_t *it)
{
    ngx_http_image_vault_file_t  *first;

    if (it->code) {
        return ngx_iv_code(it->code)->status;
    }

    first = ngx_http_image_vault_first_failure(it);

    if (first == NULL && it->nfiles) {
        return NGX_HTTP_CREATED;
    }

    if (ngx_http_image_vault_stored(it)) {
        return NGX_HTTP_IMAGE_VAULT_MULTI_STATUS;
    }

    return ngx_iv_code(first ? first->code : NGX_IV_INTERNAL)->status;
}


ngx_http_image_vault_file_t *
ngx_http_image_vault_first_failure(ngx_http_image_vault_intake_t *it)
{
    ngx_http_image_vault_file_t  *file;

    for (file = it->files; file; file = file->next) {
        if (file->code != NGX_OK) {
            return file;
        }
    }

    return NULL;
}


const ngx_str_t *
ngx_http_image_vault_file_message(const ngx_http_image_vault_file_t *file)
{
    return file->message.len ? &file->message
                             : &ngx_iv_code(file->code)->message;
}


static ngx_uint_t
ngx_http_image_vault_stored(ngx_http_image_vault_intake_t *it)
{
    ngx_uint_t                    n;
    ngx_http_image_vault_file_t  *file;

    n = 0;

    for (file = it->files; file; file = file->next) {
        if (file->code == NGX_OK) {
            n++;
        }
    }

    return n;
}


void
ngx_http_image_vault_intake_answer(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    static const ngx_str_t  yes = ngx_string("true");

    r = it->request;

    /* nothing calls back any more, nothing is held */
    ngx_http_image_vault_intake_abandon(it);

    ngx_http_image_vault_count_refused(it);
    ngx_http_image_vault_audit_results(it);

    if (it->replayed
        && ngx_http_image_vault_add_header(r, "Idempotent-Replayed", &yes)
           != NGX_OK)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;

    } else {
        rc = ngx_http_image_vault_send_results(it);
    }

    ngx_http_finalize_request(r, rc);
}


/* an image that has begun counts itself */

static void
ngx_http_image_vault_count_refused(ngx_http_image_vault_intake_t *it)
{
    ngx_uint_t  status;

    if (it->code == NGX_OK || it->nfiles || it->replayed) {
        return;
    }

    status = ngx_iv_code(it->code)->status;

    ngx_http_image_vault_count(NGX_IV_COUNT_UPLOADS, 1);
    ngx_http_image_vault_count((status < NGX_HTTP_INTERNAL_SERVER_ERROR)
                               ? NGX_IV_COUNT_UPLOADS_REFUSED
                               : NGX_IV_COUNT_UPLOADS_FAILED, 1);
}


/* a repetition changes nothing */

static void
ngx_http_image_vault_audit_results(ngx_http_image_vault_intake_t *it)
{
    ngx_log_t                    *log;
    ngx_int_t                     code;
    ngx_http_image_vault_file_t  *file;

    if (it->replayed) {
        return;
    }

    log = it->request->connection->log;
    it->trail.entry.owner = it->owner;

    if (it->nfiles == 0 && it->code) {
        ngx_http_image_vault_trail_end(&it->trail, log, NULL,
                                       &ngx_iv_code(it->code)->word);
    }

    for (file = it->files; file; file = file->next) {
        code = file->code ? file->code : it->code;

        ngx_http_image_vault_trail_end(&it->trail, log,
                                       file->document ? file->id : NULL,
                                       code ? &ngx_iv_code(code)->word : NULL);
    }
}


static ngx_int_t
ngx_http_image_vault_send_results(ngx_http_image_vault_intake_t *it)
{
    ngx_uint_t                    stored;
    ngx_http_image_vault_file_t  *first;

    if (it->code) {
        return ngx_http_image_vault_refuse(it->request, it->code, it->why,
                                           it->message.len ? &it->message
                                                           : NULL);
    }

    stored = ngx_http_image_vault_stored(it);

    if (stored) {
        return ngx_http_image_vault_send_stored(it, stored);
    }

    first = ngx_http_image_vault_first_failure(it);

    if (first == NULL) {
        return ngx_http_image_vault_error(it->request, NGX_IV_INTERNAL,
                                          "an upload without an image");
    }

    if (it->form == NULL) {
        return ngx_http_image_vault_refuse(it->request, first->code, it->why,
                                           first->message.len ? &first->message
                                                              : NULL);
    }

    return ngx_http_image_vault_send_failed(it, first);
}


static ngx_int_t
ngx_http_image_vault_send_stored(ngx_http_image_vault_intake_t *it,
    ngx_uint_t stored)
{
    ngx_int_t            rc;
    ngx_str_t            id, json, location;
    ngx_uint_t           status;
    ngx_iv_json_t        j;
    ngx_http_request_t  *r;

    r = it->request;

    if (ngx_http_image_vault_first_stored(it) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_image_vault_request_id(r, &id);

    ngx_iv_json_init(&j, r->pool, 256 + 1024 * it->nfiles);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    if (ngx_http_image_vault_stored_json(it, &j, &location) != NGX_OK) {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    if (stored < it->nfiles) {
        if (ngx_http_image_vault_errors_json(it, &j) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_image_vault_failures_json(it, &j);
    }

    if (stored == 1) {
        if (it->ctx->url.len) {
            ngx_iv_json_str(&j, "url", &it->ctx->url);

        } else {
            ngx_iv_json_null(&j, "url");
        }
    }

    ngx_iv_json_str(&j, "requestId", &id);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status = ngx_http_image_vault_results_status(it);

    if (status == NGX_HTTP_CREATED && location.len
        && ngx_http_image_vault_add_header(r, "Location", &location) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    it->ctx->code = NGX_OK;
    it->ctx->result = "created";

    /* a repetition is answered without its body */

    if (!it->whole) {
        rc = ngx_http_image_vault_drop_body(r);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_http_image_vault_send_json(r, status, &json);
}


/* what the variables tell of */

static ngx_int_t
ngx_http_image_vault_first_stored(ngx_http_image_vault_intake_t *it)
{
    u_char                       *p;
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_file_t  *file;

    ctx = it->ctx;

    for (file = it->files; file->code != NGX_OK; file = file->next) {
        /* void */
    }

    p = ngx_pnalloc(it->request->pool, 2 * NGX_IV_ID_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ctx->id, file->id, NGX_IV_ID_LEN);
    ctx->id_text.data = p;
    ctx->id_text.len = ngx_iv_hex(p, ctx->id, NGX_IV_ID_LEN) - p;
    ctx->id_known = 1;

    ctx->document = file->document;
    ngx_str_null(&ctx->url);

    return NGX_OK;
}


/* location: under which path the first is found again; empty: not known */

static ngx_int_t
ngx_http_image_vault_stored_json(ngx_http_image_vault_intake_t *it,
    ngx_iv_json_t *j, ngx_str_t *location)
{
    ngx_http_image_vault_file_t  *file;

    ngx_str_null(location);

    ngx_iv_json_array(j, "images");

    for (file = it->files; file; file = file->next) {

        if (file->code != NGX_OK) {
            continue;
        }

        if (ngx_http_image_vault_image_json(j, file, location) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_iv_json_array_end(j);

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_image_json(ngx_iv_json_t *j,
    ngx_http_image_vault_file_t *file, ngx_str_t *location)
{
    ngx_str_t                    url, href;
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = file->intake->ctx;

    ngx_iv_json_object(j, NULL);
    ngx_iv_json_hex(j, "id", file->id, NGX_IV_ID_LEN);
    ngx_iv_json_str(j, "originalName", &file->name);

    if (file->document == NULL) {
        ngx_http_image_vault_gone_json(j);
        ngx_iv_json_object_end(j);
        return NGX_OK;
    }

    if (ngx_http_image_vault_stored_members(file->intake->request, j,
                                            file->document, &url, &href)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (file->document == ctx->document) {
        ctx->url = url;
        *location = href;
    }

    ngx_iv_json_object_end(j);

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_stored_members(ngx_http_request_t *r, ngx_iv_json_t *j,
    const ngx_iv_document_t *doc, ngx_str_t *url, ngx_str_t *href)
{
    time_t  expires, rest;

    if (ngx_http_image_vault_url(r, doc, 0, 0, 1, url, &expires, &rest)
        != NGX_OK
        || ngx_http_image_vault_href(r, doc, href) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_iv_json_str(j, "url", url);

    ngx_iv_json_date_or_null(j, "urlExpiresAt", (int64_t) expires * 1000);

    if (href->len) {
        ngx_iv_json_str(j, "href", href);

    } else {
        ngx_iv_json_null(j, "href");
    }

    ngx_iv_json_int(j, "size", doc->size);
    ngx_iv_json_str(j, "contentType", &doc->content_type);
    ngx_http_image_vault_dimensions_json(j, doc);
    ngx_http_image_vault_checksums_json(j, doc);

    ngx_iv_json_date_or_null(j, "expiresAt", doc->expires_at);

    return NGX_OK;
}


/* it was stored when the request came first, and has been deleted since */

static void
ngx_http_image_vault_gone_json(ngx_iv_json_t *j)
{
    ngx_iv_json_null(j, "url");
    ngx_iv_json_null(j, "urlExpiresAt");
    ngx_iv_json_null(j, "href");
    ngx_iv_json_null(j, "size");
    ngx_iv_json_null(j, "contentType");
    ngx_iv_json_null(j, "dimensions");
    ngx_iv_json_null(j, "checksums");
    ngx_iv_json_null(j, "expiresAt");
}


/* only an API knows under which path an image is found again */

static ngx_int_t
ngx_http_image_vault_href(ngx_http_request_t *r, const ngx_iv_document_t *doc,
    ngx_str_t *href)
{
    u_char                           *p;
    size_t                            len;
    uintptr_t                         escape;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_str_null(href);

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_API) {
        return NGX_OK;
    }

    escape = 2 * ngx_escape_uri(NULL, lcf->prefix.data, lcf->prefix.len,
                                NGX_ESCAPE_URI);
    len = lcf->prefix.len + escape + 1 + 2 * NGX_IV_ID_LEN;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    href->data = p;
    href->len = len;

    p = (u_char *) ngx_escape_uri(p, lcf->prefix.data, lcf->prefix.len,
                                  NGX_ESCAPE_URI);
    *p++ = '/';
    (void) ngx_iv_hex(p, doc->id, NGX_IV_ID_LEN);

    return NGX_OK;
}


/* no image of a form was stored: the first failure gives the status */

static ngx_int_t
ngx_http_image_vault_send_failed(ngx_http_image_vault_intake_t *it,
    ngx_http_image_vault_file_t *first)
{
    ngx_int_t             rc;
    ngx_str_t             id, json;
    ngx_iv_json_t         j;
    ngx_http_request_t   *r;
    const ngx_iv_code_t  *ce;

    r = it->request;

    rc = ngx_http_image_vault_begin_error(r, first->code,
                                          "no file of the form was stored");

    if (rc != NGX_OK) {
        return rc;
    }

    ce = ngx_iv_code(first->code);

    ngx_http_image_vault_request_id(r, &id);

    ngx_iv_json_init(&j, r->pool, 256 + 512 * it->nfiles);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 0);

    ngx_iv_json_object(&j, "error");
    ngx_iv_json_str(&j, "code", &ce->word);
    ngx_iv_json_str(&j, "message", ngx_http_image_vault_file_message(first));
    ngx_iv_json_object_end(&j);

    if (ngx_http_image_vault_errors_json(it, &j) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_json_array(&j, "images");
    ngx_iv_json_array_end(&j);

    ngx_http_image_vault_failures_json(it, &j);

    ngx_iv_json_str(&j, "requestId", &id);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_send_json(r, ce->status, &json);
}


static void
ngx_http_image_vault_failures_json(ngx_http_image_vault_intake_t *it,
    ngx_iv_json_t *j)
{
    ngx_http_image_vault_file_t  *file;

    ngx_iv_json_array(j, "failures");

    for (file = it->files; file; file = file->next) {

        if (file->code == NGX_OK) {
            continue;
        }

        ngx_iv_json_object(j, NULL);
        ngx_iv_json_int(j, "index", file->index);
        ngx_iv_json_str(j, "originalName", &file->name);
        ngx_iv_json_str(j, "code", &ngx_iv_code(file->code)->word);
        ngx_iv_json_str(j, "message",
                        ngx_http_image_vault_file_message(file));
        ngx_iv_json_object_end(j);
    }

    ngx_iv_json_array_end(j);
}


/* "name: why", for people */

static ngx_int_t
ngx_http_image_vault_errors_json(ngx_http_image_vault_intake_t *it,
    ngx_iv_json_t *j)
{
    ngx_str_t                     text;
    const ngx_str_t              *message;
    ngx_http_image_vault_file_t  *file;

    ngx_iv_json_array(j, "errors");

    for (file = it->files; file; file = file->next) {

        if (file->code == NGX_OK) {
            continue;
        }

        message = ngx_http_image_vault_file_message(file);

        text.len = file->name.len + 2 + message->len;
        text.data = ngx_pnalloc(it->request->pool, text.len);

        if (text.data == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(text.data, "%V: %V", &file->name, message);

        ngx_iv_json_str(j, NULL, &text);
    }

    ngx_iv_json_array_end(j);

    return NGX_OK;
}
