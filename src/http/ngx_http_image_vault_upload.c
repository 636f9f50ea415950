/*
 * POST and PUT of images: what is checked before a byte of the body is read,
 * and the start.
 */

#include "http/ngx_http_image_vault_intake.h"
#include "formats/ngx_iv_name.h"


typedef ngx_int_t (*ngx_http_image_vault_check_pt)(
    ngx_http_image_vault_intake_t *it);


static ngx_int_t ngx_http_image_vault_check_owner(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_site(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_type(
    ngx_http_image_vault_intake_t *it);
static ngx_uint_t ngx_http_image_vault_image_type(const ngx_str_t *type);
static ngx_int_t ngx_http_image_vault_check_length(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_range(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_digests(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_add_digest(
    ngx_http_image_vault_intake_t *it, ngx_table_elt_t *h);
static ngx_int_t ngx_http_image_vault_check_query(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_name(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_from(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_check_storage(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_say(ngx_http_image_vault_intake_t *it,
    const char *why);
static ngx_int_t ngx_http_image_vault_start_hash(
    ngx_http_image_vault_intake_t *it);


/* all that is checked before a byte of the body is read, in this order */

static const ngx_http_image_vault_check_pt  ngx_http_image_vault_checks[] = {
    ngx_http_image_vault_check_owner,
    ngx_http_image_vault_check_site,
    ngx_http_image_vault_check_type,
    ngx_http_image_vault_check_length,
    ngx_http_image_vault_check_range,
    ngx_http_image_vault_check_digests,
    ngx_http_image_vault_check_query,
    ngx_http_image_vault_check_name,
    ngx_http_image_vault_check_from,
    ngx_http_image_vault_check_key,
    ngx_http_image_vault_check_storage,
    NULL
};


ngx_int_t
ngx_http_image_vault_upload(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_http_image_vault_ctx_t     *ctx;
    ngx_http_image_vault_intake_t  *it;

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    it = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_intake_t));
    if (it == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    it->request = r;
    it->ctx = ctx;

    ctx->uploads = 1;

    ngx_iv_fields_init(&it->fields, r->pool);

    for (i = 0; ngx_http_image_vault_checks[i]; i++) {

        rc = ngx_http_image_vault_checks[i](it);

        if (rc == NGX_ERROR) {
            rc = NGX_IV_INTERNAL;
        }

        if (rc != NGX_OK) {
            /* what gets further is counted by the images themselves */

            ngx_http_image_vault_count(NGX_IV_COUNT_UPLOADS, 1);
            ngx_http_image_vault_count(rc == NGX_IV_INTERNAL
                                       || rc == NGX_IV_STORAGE_UNAVAILABLE
                                       ? NGX_IV_COUNT_UPLOADS_FAILED
                                       : NGX_IV_COUNT_UPLOADS_REFUSED, 1);

            return ngx_http_image_vault_refuse(r, rc, it->why,
                                               it->message.len ? &it->message
                                                               : NULL);
        }
    }

    if (ngx_http_image_vault_intake_init(it) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->intake = it;
    ctx->sink = &it->sink;

    if (it->key.len) {
        return ngx_http_image_vault_request_begin(it);
    }

    return ngx_http_image_vault_upload_start(it);
}


ngx_int_t
ngx_http_image_vault_upload_start(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = it->request;

    if (it->form) {
        rc = ngx_http_image_vault_start_hash(it);

    } else {
        rc = ngx_http_image_vault_file_begin(it, &it->name, it->size,
                                             &it->digests)
             ? NGX_OK : NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_http_image_vault_intake_abandon(it);
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL, "no memory");
    }

    rc = ngx_http_image_vault_body_start(r, it->ctx);

    if (rc == NGX_DONE) {
        return NGX_DONE;
    }

    ngx_http_image_vault_intake_abandon(it);

    if (rc != NGX_HTTP_BAD_REQUEST) {
        return rc;
    }

    if (ngx_http_image_vault_body_gone(r)) {
        it->ctx->result = "aborted";
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    return ngx_http_image_vault_error(r, NGX_IV_LENGTH_MISMATCH, NULL);
}


/* a declared sum of a form is one of all its bytes */

static ngx_int_t
ngx_http_image_vault_start_hash(ngx_http_image_vault_intake_t *it)
{
    if (!it->digests.has_md5 && !it->digests.has_sha256
        && !it->digests.has_sha512)
    {
        return NGX_OK;
    }

    it->hash = ngx_pcalloc(it->request->pool, sizeof(ngx_iv_hash_t));
    if (it->hash == NULL) {
        return NGX_ERROR;
    }

    if (ngx_iv_hash_init(it->hash) != NGX_OK) {
        it->hash = NULL;
        return NGX_ERROR;
    }

    if (it->digests.has_sha512) {
        return ngx_iv_hash_want_sha512(it->hash);
    }

    return NGX_OK;
}


/* a reason for the log that the client may have as well */

static void
ngx_http_image_vault_say(ngx_http_image_vault_intake_t *it, const char *why)
{
    it->why = why;
    it->message.data = (u_char *) why;
    it->message.len = ngx_strlen(why);
}


static ngx_int_t
ngx_http_image_vault_check_owner(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_identity(it->request, it->ctx);

    if (rc != NGX_OK) {
        it->why = "the owner is not valid";
        return rc;
    }

    if (it->ctx->owner.len == 0) {
        it->why = "no owner";
        return NGX_IV_UNAUTHENTICATED;
    }

    it->owner = it->ctx->owner;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_check_site(ngx_http_image_vault_intake_t *it)
{
    ngx_http_request_t  *r;

    r = it->request;

    if (r != r->main) {
        it->why = "an upload by a subrequest";
        return NGX_IV_FORBIDDEN;
    }

    if (ngx_http_image_vault_same_site(r) != NGX_OK) {
        it->why = "a request from another site";
        return NGX_IV_FORBIDDEN;
    }

    return NGX_OK;
}


/*
 * The header only says whether the body is a form or the image; what the image
 * is, its bytes say.
 */

static ngx_int_t
ngx_http_image_vault_check_type(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t            rc;
    ngx_str_t           *type;
    ngx_iv_form_t       *form;
    ngx_http_request_t  *r;

    r = it->request;

    if (r->headers_in.content_type == NULL) {
        return NGX_OK;
    }

    type = &r->headers_in.content_type->value;

    if (ngx_http_image_vault_image_type(type)) {
        return NGX_OK;
    }

    form = ngx_palloc(r->pool, sizeof(ngx_iv_form_t));
    if (form == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_iv_form_init(form, type);

    if (rc == NGX_DECLINED) {
        ngx_http_image_vault_say(it, "the Content-Type must be image/*, "
                                 "application/octet-stream or "
                                 "multipart/form-data");
        return NGX_IV_UNSUPPORTED_TYPE;
    }

    if (rc != NGX_OK) {
        ngx_http_image_vault_say(it, form->why ? form->why
                                               : "no valid boundary");
        return rc;
    }

    it->form = form;

    if (ngx_array_init(&it->value, r->pool, 64, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_image_vault_image_type(const ngx_str_t *type)
{
    size_t  len;

    for (len = 0; len < type->len; len++) {
        if (type->data[len] == ';' || type->data[len] == ' '
            || type->data[len] == '\t')
        {
            break;
        }
    }

    if (len == 0) {
        return 1;
    }

    if (len > sizeof("image/") - 1
        && ngx_strncasecmp(type->data, (u_char *) "image/",
                           sizeof("image/") - 1)
           == 0)
    {
        return 1;
    }

    return len == sizeof("application/octet-stream") - 1
           && ngx_strncasecmp(type->data,
                              (u_char *) "application/octet-stream", len)
              == 0;
}


static ngx_int_t
ngx_http_image_vault_check_length(ngx_http_image_vault_intake_t *it)
{
    off_t                             size, max;
    ngx_http_request_t               *r;
    ngx_http_image_vault_loc_conf_t  *lcf;

    r = it->request;
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (ngx_http_image_vault_body_taken(r)) {
        it->why = "the body was read in part by another handler";
        return NGX_IV_INTERNAL;
    }

    size = r->headers_in.content_length_n;

    /*
     * nginx notes "chunked" for a body without a length over HTTP/2 and 3 as
     * well; of one that was read already it knows the length
     */

    if (r->headers_in.chunked
        && (r->request_body == NULL || r->reading_body || size < 0))
    {
        it->size = -1;
        return NGX_OK;
    }

    if (size <= 0) {
        ngx_http_image_vault_say(it, "the body is empty");
        return NGX_IV_LENGTH_MISMATCH;
    }

    max = it->form ? ngx_http_image_vault_form_max(lcf) : lcf->max_size;

    if (size > max) {
        it->why = it->form ? "content-length above image_vault_max_files "
                             "times image_vault_max_size"
                           : "content-length above image_vault_max_size";
        return NGX_IV_TOO_LARGE;
    }

    it->size = size;

    return NGX_OK;
}


/* RFC 9110, 14.5: a part of an image must not be taken for all of it */

static ngx_int_t
ngx_http_image_vault_check_range(ngx_http_image_vault_intake_t *it)
{
    if (ngx_http_image_vault_header_in(it->request, "content-range", NULL)
        == NULL)
    {
        return NGX_OK;
    }

    ngx_http_image_vault_say(it, "Content-Range is not supported");

    return NGX_IV_BAD_PARAMETER;
}


static ngx_int_t
ngx_http_image_vault_check_digests(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t                        rc;
    ngx_list_t                      *list;
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   all;

    list = &it->request->headers_in.headers;

    for (h = ngx_http_image_vault_first_header(&all, list, NULL);
         h;
         h = ngx_http_image_vault_next_header(&all))
    {
        rc = ngx_http_image_vault_add_digest(it, h);

        if (rc == NGX_OK) {
            continue;
        }

        if (rc != NGX_ERROR) {
            ngx_http_image_vault_say(it, rc == NGX_IV_DIGEST_MISMATCH
                                     ? "the declared digests contradict each "
                                       "other"
                                     : "the declared digest is not valid");
        }

        return rc;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_add_digest(ngx_http_image_vault_intake_t *it,
    ngx_table_elt_t *h)
{
    ngx_str_t  *key;

    static const ngx_str_t  content = ngx_string("content-digest");
    static const ngx_str_t  repr = ngx_string("repr-digest");
    static const ngx_str_t  md5 = ngx_string("content-md5");

    key = &h->key;

    if ((key->len == content.len
         && ngx_strncasecmp(key->data, content.data, content.len) == 0)
        || (key->len == repr.len
            && ngx_strncasecmp(key->data, repr.data, repr.len) == 0))
    {
        return ngx_iv_digest_parse(&it->digests, &h->value);
    }

    if (key->len == md5.len
        && ngx_strncasecmp(key->data, md5.data, md5.len) == 0)
    {
        return ngx_iv_digest_parse_md5(&it->digests, &h->value);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_check_query(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t  rc;

    rc = ngx_iv_fields_query(&it->fields, &it->request->args);

    if (rc == NGX_OK) {
        rc = ngx_iv_fields_finish(&it->fields, ngx_iv_now());
    }

    if (rc != NGX_OK) {
        if (rc != NGX_ERROR) {
            ngx_http_image_vault_say(it, it->fields.why);
        }

        return rc;
    }

    rc = ngx_http_image_vault_check_user(it);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_image_vault_check_fields(it);
}


static ngx_int_t
ngx_http_image_vault_check_name(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t            rc;
    ngx_str_t            arg, raw, *disposition;
    ngx_http_request_t  *r;

    if (it->form) {
        /* its files have their own */
        return NGX_OK;
    }

    r = it->request;

    ngx_str_null(&raw);

    if (ngx_http_arg(r, (u_char *) "filename", sizeof("filename") - 1, &arg)
        == NGX_OK
        && arg.len)
    {
        rc = ngx_iv_name_unescape(r->pool, &arg, &raw);

        if (rc == NGX_DECLINED) {
            ngx_http_image_vault_say(it, "filename is not valid");
            return NGX_IV_BAD_PARAMETER;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        disposition = ngx_http_image_vault_header_in(r, "content-disposition",
                                                     NULL);

        if (disposition != NULL
            && ngx_iv_name_from_disposition(r->pool, disposition, &raw)
               == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return ngx_iv_name_clean(r->pool, &raw, &it->name);
}


static ngx_int_t
ngx_http_image_vault_check_from(ngx_http_image_vault_intake_t *it)
{
    return ngx_http_image_vault_from(it->request, &it->from);
}


/* a body that can't be stored is not worth reading, nor a document */

static ngx_int_t
ngx_http_image_vault_check_storage(ngx_http_image_vault_intake_t *it)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(it->request,
                                       ngx_http_image_vault_module);

    if (ngx_iv_storage_wait(
            ngx_http_image_vault_worker->storages[lcf->storage]))
    {
        it->why = "its breaker is open";
        return NGX_IV_STORAGE_UNAVAILABLE;
    }

    return NGX_OK;
}
