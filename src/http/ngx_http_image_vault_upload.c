/*
 * POST and PUT of an image as the body of a request.
 */

#include "module/ngx_http_image_vault_module.h"
#include "formats/ngx_iv_name.h"


typedef struct {
    ngx_str_t       owner;
    ngx_str_t       name;           /* cleaned */
    off_t           size;

    /* why it is refused */
    const char     *detail;
    ngx_str_t       message;        /* empty: the code's own */
} ngx_http_image_vault_ask_t;


typedef ngx_int_t (*ngx_http_image_vault_check_pt)(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);


static ngx_int_t ngx_http_image_vault_check_owner(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_site(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_length(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_type(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_later(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_check_name(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_not_yet(ngx_http_request_t *r,
    ngx_http_image_vault_ask_t *ask, const char *what);
static ngx_int_t ngx_http_image_vault_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask);
static ngx_int_t ngx_http_image_vault_upload_key(void *data, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key);
static void ngx_http_image_vault_upload_more(void *data);
static void ngx_http_image_vault_upload_done(void *data);
static ngx_int_t ngx_http_image_vault_quota_message(ngx_pool_t *pool,
    ngx_iv_upload_t *u, ngx_str_t *message);
static void ngx_http_image_vault_upload_cleanup(void *data);
static ngx_iv_document_t *ngx_http_image_vault_keep_document(ngx_pool_t *pool,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_http_image_vault_created(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_href(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_str_t *href);
static ngx_int_t ngx_http_image_vault_created_json(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_str_t *href, time_t expires,
    ngx_str_t *json);


/* all that is checked before a byte of the body is read, in this order */

static const ngx_http_image_vault_check_pt  ngx_http_image_vault_checks[] = {
    ngx_http_image_vault_check_owner,
    ngx_http_image_vault_check_site,
    ngx_http_image_vault_check_length,
    ngx_http_image_vault_check_type,
    ngx_http_image_vault_check_later,
    ngx_http_image_vault_check_user,
    ngx_http_image_vault_check_name,
    NULL
};


ngx_int_t
ngx_http_image_vault_upload(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_uint_t                   i;
    ngx_http_image_vault_ctx_t  *ctx;
    ngx_http_image_vault_ask_t   ask;

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&ask, sizeof(ngx_http_image_vault_ask_t));

    for (i = 0; ngx_http_image_vault_checks[i]; i++) {

        rc = ngx_http_image_vault_checks[i](r, ctx, &ask);

        if (rc == NGX_ERROR) {
            rc = NGX_IV_INTERNAL;
        }

        if (rc != NGX_OK) {
            /* what gets further is counted by the upload itself */

            ngx_http_image_vault_count(NGX_IV_COUNT_UPLOADS, 1);
            ngx_http_image_vault_count(rc == NGX_IV_INTERNAL
                                       ? NGX_IV_COUNT_UPLOADS_FAILED
                                       : NGX_IV_COUNT_UPLOADS_REFUSED, 1);

            return ngx_http_image_vault_refuse(r, rc, ask.detail,
                                               ask.message.len ? &ask.message
                                                               : NULL);
        }
    }

    return ngx_http_image_vault_begin(r, ctx, &ask);
}


static ngx_int_t
ngx_http_image_vault_check_owner(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_identity(r, ctx);

    if (rc != NGX_OK) {
        ask->detail = "the owner is not valid";
        return rc;
    }

    if (ctx->owner.len == 0) {
        ask->detail = "no owner";
        return NGX_IV_UNAUTHENTICATED;
    }

    ask->owner = ctx->owner;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_check_site(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    if (r != r->main) {
        ask->detail = "an upload by a subrequest";
        return NGX_IV_FORBIDDEN;
    }

    if (ngx_http_image_vault_same_site(r) != NGX_OK) {
        ask->detail = "a request from another site";
        return NGX_IV_FORBIDDEN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_check_length(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    off_t                             size;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    size = r->headers_in.content_length_n;

    if (size < 0 || r->headers_in.chunked) {
        ask->detail = "no content-length";
        ngx_str_set(&ask->message, "a Content-Length is required");
        return NGX_IV_LENGTH_MISMATCH;
    }

    if (size == 0) {
        ask->detail = "an empty body";
        ngx_str_set(&ask->message, "the body is empty");
        return NGX_IV_LENGTH_MISMATCH;
    }

    if (size > lcf->max_size) {
        ask->detail = "content-length above image_vault_max_size";
        return NGX_IV_TOO_LARGE;
    }

    ask->size = size;

    return NGX_OK;
}


/* the header only says that the body is the image; what it is, its bytes say */

static ngx_int_t
ngx_http_image_vault_check_type(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    size_t      len;
    ngx_str_t  *type;

    if (r->headers_in.content_type == NULL) {
        return NGX_OK;
    }

    type = &r->headers_in.content_type->value;

    for (len = 0; len < type->len; len++) {
        if (type->data[len] == ';' || type->data[len] == ' '
            || type->data[len] == '\t')
        {
            break;
        }
    }

    if (len == 0) {
        return NGX_OK;
    }

    if (len > sizeof("image/") - 1
        && ngx_strncasecmp(type->data, (u_char *) "image/",
                           sizeof("image/") - 1)
           == 0)
    {
        return NGX_OK;
    }

    if (len == sizeof("application/octet-stream") - 1
        && ngx_strncasecmp(type->data, (u_char *) "application/octet-stream",
                           len)
           == 0)
    {
        return NGX_OK;
    }

    ask->detail = "the content-type is neither image/* "
                  "nor application/octet-stream";
    ngx_str_set(&ask->message, "the Content-Type must be image/* "
                               "or application/octet-stream");

    return NGX_IV_UNSUPPORTED_TYPE;
}


/* a promise that can't be kept is refused, not passed over in silence */

static ngx_int_t
ngx_http_image_vault_check_later(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    ngx_str_t    value;
    const char **name;

    static const char  *headers[] = {
        "Content-Digest", "Repr-Digest", "Content-MD5", "Idempotency-Key",
        "Content-Range", NULL
    };

    static const char  *args[] = {
        "tags", "tags[]", "tags%5B%5D", "isPublic", "expiresAt",
        "sharedWith", "sharedWith[]", "sharedWith%5B%5D", NULL
    };

    for (name = headers; *name; name++) {
        if (ngx_http_image_vault_header_in(r, *name, NULL) != NULL) {
            return ngx_http_image_vault_not_yet(r, ask, *name);
        }
    }

    for (name = args; *name; name++) {
        if (ngx_http_arg(r, (u_char *) *name, ngx_strlen(*name), &value)
            == NGX_OK
            && value.len)
        {
            return ngx_http_image_vault_not_yet(r, ask, *name);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_not_yet(ngx_http_request_t *r,
    ngx_http_image_vault_ask_t *ask, const char *what)
{
    u_char  *p;
    size_t   len;

    len = ngx_strlen(what) + sizeof(" is not supported yet") - 1;

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *ngx_sprintf(p, "%s is not supported yet", what) = '\0';

    ask->detail = (const char *) p;
    ask->message.data = p;
    ask->message.len = len;

    return NGX_IV_BAD_PARAMETER;
}


/* userId: for whom it is stored; only an admin may name another */

static ngx_int_t
ngx_http_image_vault_check_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    ngx_int_t  rc;
    ngx_str_t  arg, user;

    if (ngx_http_arg(r, (u_char *) "userId", sizeof("userId") - 1, &arg)
        != NGX_OK
        || arg.len == 0)
    {
        return NGX_OK;
    }

    rc = ngx_iv_name_unescape(r->pool, &arg, &user);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK || !ngx_iv_owner_valid(&user)) {
        ask->detail = "userId is not valid";
        ngx_str_set(&ask->message, "userId is not valid");
        return NGX_IV_BAD_PARAMETER;
    }

    ngx_http_image_vault_fold_owner(&user);

    if (user.len == ctx->owner.len
        && ngx_memcmp(user.data, ctx->owner.data, user.len) == 0)
    {
        return NGX_OK;
    }

    if (!ctx->admin) {
        ask->detail = "userId of another owner";
        ngx_str_set(&ask->message, "userId must be the owner's own");
        return NGX_IV_FORBIDDEN;
    }

    ask->owner = user;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_check_name(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    ngx_int_t  rc;
    ngx_str_t  arg, raw, *disposition;

    ngx_str_null(&raw);

    if (ngx_http_arg(r, (u_char *) "filename", sizeof("filename") - 1, &arg)
        == NGX_OK
        && arg.len)
    {
        rc = ngx_iv_name_unescape(r->pool, &arg, &raw);

        if (rc == NGX_DECLINED) {
            ask->detail = "filename is not valid";
            ngx_str_set(&ask->message, "filename is not valid");
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

    return ngx_iv_name_clean(r->pool, &raw, &ask->name);
}


static ngx_int_t
ngx_http_image_vault_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_ask_t *ask)
{
    ngx_int_t                         rc;
    ngx_str_t                         from;
    ngx_pool_cleanup_t               *cln;
    ngx_iv_upload_params_t            p;
    ngx_http_image_vault_worker_t    *w;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);
    w = ngx_http_image_vault_worker;

    if (lcf->uploaded_from == NULL) {
        from = r->connection->addr_text;

    } else if (ngx_http_complex_value(r, lcf->uploaded_from, &from)
               != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&p, sizeof(ngx_iv_upload_params_t));

    p.metadata = w->metadata;
    p.storage = w->storages[lcf->storage];
    p.hash = &w->hash;
    p.zone = w->conf->zone;
    p.limits.types = lcf->types;
    p.limits.max_pixels = lcf->max_pixels;
    p.size = ask->size;
    p.quota = lcf->quota;
    p.heartbeat = w->conf->sweep.stale / 3;
    p.owner = ask->owner;
    p.original_name = ask->name;
    p.uploaded_from = from;
    p.is_public = p.storage->conf->public_only ? 1 : 0;
    p.key = ngx_http_image_vault_upload_key;
    p.more = ngx_http_image_vault_upload_more;
    p.done = ngx_http_image_vault_upload_done;
    p.data = r;

    ctx->upload = ngx_iv_upload_create(&p, r->connection->log);
    if (ctx->upload == NULL) {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL, "no memory");
    }

    cln->handler = ngx_http_image_vault_upload_cleanup;
    cln->data = ctx;

    rc = ngx_http_image_vault_body_start(r, ctx);

    if (rc == NGX_DONE) {
        return NGX_DONE;
    }

    ngx_http_image_vault_upload_cleanup(ctx);

    if (rc != NGX_HTTP_BAD_REQUEST) {
        return rc;
    }

    if (ngx_http_image_vault_body_gone(r)) {
        ctx->result = "aborted";
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    return ngx_http_image_vault_error(r, NGX_IV_LENGTH_MISMATCH, NULL);
}


/* whoever ends the request first: what was begun is undone without it */

static void
ngx_http_image_vault_upload_cleanup(void *data)
{
    ngx_http_image_vault_ctx_t *ctx = data;

    if (ctx->upload != NULL) {
        ngx_iv_upload_abandon(ctx->upload);
        ctx->upload = NULL;
    }
}


static ngx_int_t
ngx_http_image_vault_upload_key(void *data, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key)
{
    ngx_http_request_t *r = data;

    return ngx_http_image_vault_key(r, pool, filename, key);
}


static void
ngx_http_image_vault_upload_more(void *data)
{
    ngx_http_request_t *r = data;

    ngx_connection_t            *c;
    ngx_http_image_vault_ctx_t  *ctx;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_image_vault_find_ctx(r);

    ngx_http_image_vault_body_more(r, ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_image_vault_upload_done(void *data)
{
    ngx_http_request_t *r = data;

    ngx_int_t                    rc, code;
    ngx_str_t                    quota, *message;
    const char                  *why;
    ngx_connection_t            *c;
    ngx_http_image_vault_ctx_t  *ctx;

    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_image_vault_find_ctx(r);

    ngx_http_image_vault_body_stop(r, ctx);

    code = ctx->upload->code;
    why = ctx->upload->why;
    message = NULL;

    if (code == NGX_IV_QUOTA_EXCEEDED
        && ngx_http_image_vault_quota_message(r->pool, ctx->upload, &quota)
           == NGX_OK)
    {
        message = &quota;
        why = (const char *) quota.data;
    }

    ctx->storage_time = ctx->upload->storage_time;
    ctx->metadata_time = ctx->upload->metadata_time;

    if (ctx->upload->document.key.len) {
        ctx->document = ngx_http_image_vault_keep_document(r->pool,
                                                    &ctx->upload->document);
    }

    /* its buffers go before a client is lingered for */
    ngx_iv_upload_free(ctx->upload);
    ctx->upload = NULL;

    if (code == NGX_OK && ctx->document == NULL) {
        code = NGX_IV_INTERNAL;
        why = "no memory";
    }

    if (code == NGX_OK) {
        rc = ngx_http_image_vault_created(r, ctx);

    } else {
        rc = ngx_http_image_vault_refuse(r, code, why, message);
    }

    ngx_http_finalize_request(r, rc);

    ngx_http_run_posted_requests(c);
}


/* what the owner has, may have and would need; ends with a NUL */

static ngx_int_t
ngx_http_image_vault_quota_message(ngx_pool_t *pool, ngx_iv_upload_t *u,
    ngx_str_t *message)
{
    u_char  *p;

    p = ngx_pnalloc(pool, sizeof("the storage quota is used up: used , "
                                 "limit , needed  bytes")
                          + 3 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    message->data = p;

    p = ngx_sprintf(p, "the storage quota is used up: used %L, limit %L, "
                    "needed %L bytes", u->quota_used, u->quota_limit,
                    u->quota_needed);

    message->len = p - message->data;
    *p = '\0';

    return NGX_OK;
}


/* for the answer and the access log, which come after the upload is freed */

static ngx_iv_document_t *
ngx_http_image_vault_keep_document(ngx_pool_t *pool,
    const ngx_iv_document_t *doc)
{
    ngx_str_t          *s[6];
    ngx_uint_t          i;
    ngx_iv_document_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_iv_document_t));
    if (copy == NULL) {
        return NULL;
    }

    *copy = *doc;

    s[0] = &copy->owner;
    s[1] = &copy->original_name;
    s[2] = &copy->filename;
    s[3] = &copy->content_type;
    s[4] = &copy->key;
    s[5] = &copy->storage;

    for (i = 0; i < 6; i++) {
        if (s[i]->len == 0) {
            ngx_str_null(s[i]);
            continue;
        }

        s[i]->data = ngx_pstrdup(pool, s[i]);
        if (s[i]->data == NULL) {
            return NULL;
        }
    }

    ngx_str_null(&copy->uploaded_from);
    ngx_str_null(&copy->etag);
    ngx_str_null(&copy->blocked_reason);
    ngx_str_null(&copy->error);
    copy->tags = NULL;
    copy->ntags = 0;
    copy->shared_with = NULL;
    copy->nshared = 0;

    return copy;
}


static ngx_int_t
ngx_http_image_vault_created(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    u_char     *p;
    time_t      expires, rest;
    ngx_str_t   href, json;

    p = ngx_pnalloc(r->pool, 2 * NGX_IV_ID_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(ctx->id, ctx->document->id, NGX_IV_ID_LEN);
    ctx->id_text.data = p;
    ctx->id_text.len = ngx_iv_hex(p, ctx->id, NGX_IV_ID_LEN) - p;
    ctx->id_known = 1;

    if (ngx_http_image_vault_url(r, ctx->document, 0, 0, 1, &ctx->url,
                                 &expires, &rest)
        != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no url could be made");
    }

    if (ngx_http_image_vault_href(r, ctx->document, &href) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (href.len
        && ngx_http_image_vault_add_header(r, "Location", &href) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_image_vault_created_json(r, ctx, &href, expires, &json)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->code = NGX_OK;
    ctx->result = "created";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_CREATED, &json);
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


static ngx_int_t
ngx_http_image_vault_created_json(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_str_t *href, time_t expires,
    ngx_str_t *json)
{
    ngx_str_t                 id;
    ngx_iv_json_t             j;
    const ngx_iv_document_t  *doc;

    doc = ctx->document;

    ngx_http_image_vault_request_id(r, &id);

    ngx_iv_json_init(&j, r->pool, 1024 + 2 * ctx->url.len);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    ngx_iv_json_array(&j, "images");
    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_str(&j, "id", &ctx->id_text);
    ngx_iv_json_str(&j, "originalName", &doc->original_name);
    ngx_iv_json_str(&j, "url", &ctx->url);

    if (expires) {
        ngx_iv_json_date(&j, "urlExpiresAt", (int64_t) expires * 1000);

    } else {
        ngx_iv_json_null(&j, "urlExpiresAt");
    }

    if (href->len) {
        ngx_iv_json_str(&j, "href", href);

    } else {
        ngx_iv_json_null(&j, "href");
    }

    ngx_iv_json_int(&j, "size", doc->size);
    ngx_iv_json_str(&j, "contentType", &doc->content_type);
    ngx_http_image_vault_dimensions_json(&j, doc);
    ngx_http_image_vault_checksums_json(&j, doc);

    if (doc->expires_at) {
        ngx_iv_json_date(&j, "expiresAt", doc->expires_at);

    } else {
        ngx_iv_json_null(&j, "expiresAt");
    }

    ngx_iv_json_object_end(&j);
    ngx_iv_json_array_end(&j);

    ngx_iv_json_str(&j, "url", &ctx->url);
    ngx_iv_json_str(&j, "requestId", &id);
    ngx_iv_json_object_end(&j);

    return ngx_iv_json_done(&j, json);
}
