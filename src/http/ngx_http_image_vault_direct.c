/*
 * POST direct-upload: a ticket, by which a client sends an image to the storage
 * itself.
 *
 *   members  what the image is to be, judged as those of an upload
 *   insert   its document, uploading; an owner has only so many of them
 *   reserve  the quota
 *   undo     of what could not be had to its end; the sweep does the rest
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_fields.h"
#include "formats/ngx_iv_name.h"
#include "metadata/ngx_iv_metadata_direct.h"

#define NGX_HTTP_IMAGE_VAULT_TICKETS   10       /* open ones of an owner */
#define NGX_HTTP_IMAGE_VAULT_TICKET    900      /* s; the URL's life at most */
/* s, at most: who began to send in the URL's last second can still complete */
#define NGX_HTTP_IMAGE_VAULT_GRACE     60
/* what one PUT, and one copy, may have on S3: 5 GiB */
#define NGX_HTTP_IMAGE_VAULT_ONE_PUT   5368709120LL
#define NGX_HTTP_IMAGE_VAULT_LONGEST   1024     /* a key, bytes */


typedef struct {
    ngx_http_request_t                *request;
    ngx_http_image_vault_ctx_t        *ctx;
    ngx_http_image_vault_loc_conf_t   *lcf;
    ngx_iv_storage_t                  *storage;

    ngx_iv_fields_t                    fields;
    ngx_str_t                          user;
    ngx_str_t                          name;        /* cleaned */
    ngx_str_t                          type;
    int64_t                            size;
    const char                        *what;        /* of a bad member */

    ngx_iv_document_t                 *document;
    ngx_iv_storage_ticket_t            ticket;
    ngx_http_image_vault_trail_t       trail;

    ngx_int_t                          code;        /* of what is undone */
    const ngx_str_t                   *message;
    unsigned                           reserved:1;  /* perhaps */
} ngx_http_image_vault_direct_t;


typedef struct {
    ngx_str_t     name;
    ngx_int_t   (*set)(ngx_http_image_vault_direct_t *d,
                       const ngx_iv_json_node_t *node);
    ngx_uint_t    required;
} ngx_http_image_vault_direct_member_t;


static ngx_int_t ngx_http_image_vault_direct_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_direct_members(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_name(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_type(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_size(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_tags(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_shared(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_public(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_expires(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_user(
    ngx_http_image_vault_direct_t *d, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_direct_judge(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_document(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_ticket(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_insert(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_inserted(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_direct_reserved(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_direct_undo(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_failed(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_direct_released(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_direct_refuse(
    ngx_http_image_vault_direct_t *d);
static ngx_int_t ngx_http_image_vault_direct_send(
    ngx_http_image_vault_direct_t *d);


static const ngx_http_image_vault_direct_member_t
    ngx_http_image_vault_direct_table[] =
{
    { ngx_string("originalName"), ngx_http_image_vault_direct_name, 1 },
    { ngx_string("contentType"), ngx_http_image_vault_direct_type, 1 },
    { ngx_string("size"), ngx_http_image_vault_direct_size, 1 },
    { ngx_string("tags"), ngx_http_image_vault_direct_tags, 0 },
    { ngx_string("sharedWith"), ngx_http_image_vault_direct_shared, 0 },
    { ngx_string("isPublic"), ngx_http_image_vault_direct_public, 0 },
    { ngx_string("expiresAt"), ngx_http_image_vault_direct_expires, 0 },
    { ngx_string("userId"), ngx_http_image_vault_direct_user, 0 },
    { ngx_null_string, NULL, 0 }
};


ngx_int_t
ngx_http_image_vault_direct(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    static const ngx_str_t  message =
        ngx_string("the storage takes no direct uploads");

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (!ngx_iv_storage_is_direct(
            ngx_http_image_vault_worker->storages[lcf->storage]))
    {
        return ngx_http_image_vault_refuse(r, NGX_IV_BAD_PARAMETER,
                                           "a direct upload to a local storage",
                                           &message);
    }

    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_direct_body);
}


static ngx_int_t
ngx_http_image_vault_direct_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_http_image_vault_direct_t  *d;

    d = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_direct_t));
    if (d == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    d->request = r;
    d->ctx = ctx;
    d->lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);
    d->storage = ngx_http_image_vault_worker->storages[d->lcf->storage];

    ngx_iv_fields_init(&d->fields, r->pool);

    rc = ngx_http_image_vault_direct_members(d);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_image_vault_for_user(r, ctx, &d->user);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_image_vault_direct_judge(d);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_image_vault_direct_document(d) != NGX_OK
        || ngx_http_image_vault_direct_ticket(d) != NGX_OK)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no ticket could be made");
    }

    return ngx_http_image_vault_direct_insert(d);
}


/* NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_direct_members(ngx_http_image_vault_direct_t *d)
{
    ngx_int_t                                    rc;
    ngx_iv_json_node_t                          *node;
    const ngx_http_image_vault_direct_member_t  *m;

    for (node = d->ctx->json->first; node; node = node->next) {

        d->what = "is not known";
        rc = NGX_IV_BAD_PARAMETER;

        for (m = ngx_http_image_vault_direct_table; m->set; m++) {

            if (node->key.len == m->name.len
                && ngx_memcmp(node->key.data, m->name.data, m->name.len) == 0)
            {
                rc = m->set(d, node);
                break;
            }
        }

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_http_image_vault_bad_member(d->request, &node->key,
                                                   d->what);
        }
    }

    for (m = ngx_http_image_vault_direct_table; m->set; m++) {

        if (m->required
            && ngx_iv_json_get(d->ctx->json, (char *) m->name.data) == NULL)
        {
            return ngx_http_image_vault_bad_member(d->request, &m->name,
                                                   "is missing");
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_direct_name(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    d->what = "must be a string that is not empty";

    if (node->type != NGX_IV_JSON_STRING || node->str.len == 0) {
        return NGX_IV_BAD_PARAMETER;
    }

    return ngx_iv_name_clean(d->request->pool, &node->str, &d->name);
}


static ngx_int_t
ngx_http_image_vault_direct_type(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    d->what = "must be a string that is not empty";

    if (node->type != NGX_IV_JSON_STRING || node->str.len == 0) {
        return NGX_IV_BAD_PARAMETER;
    }

    d->type = node->str;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_direct_size(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    d->what = "must be a whole number of bytes, at least 1";

    if (node->type != NGX_IV_JSON_NUMBER || !node->integer || node->num < 1) {
        return NGX_IV_BAD_PARAMETER;
    }

    d->size = node->num;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_direct_tags(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    return ngx_http_image_vault_strings(&d->fields, "tags[]", node, &d->what);
}


static ngx_int_t
ngx_http_image_vault_direct_shared(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    return ngx_http_image_vault_strings(&d->fields, "sharedWith[]", node,
                                        &d->what);
}


static ngx_int_t
ngx_http_image_vault_direct_public(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    d->what = "must be true or false";

    if (node->type != NGX_IV_JSON_BOOL) {
        return NGX_IV_BAD_PARAMETER;
    }

    d->fields.has_public = 1;
    d->fields.is_public = node->num ? 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_direct_expires(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    return ngx_http_image_vault_expiry(node, &d->fields.expires_at, &d->what);
}


static ngx_int_t
ngx_http_image_vault_direct_user(ngx_http_image_vault_direct_t *d,
    const ngx_iv_json_node_t *node)
{
    d->what = "must be a user's id";

    if (node->type != NGX_IV_JSON_STRING
        || ngx_http_image_vault_set_user(&d->user, &node->str) != NGX_OK)
    {
        return NGX_IV_BAD_PARAMETER;
    }

    return NGX_OK;
}


/* what is well formed, but not taken here.  NGX_DECLINED: go on; else it is
 * answered */

static ngx_int_t
ngx_http_image_vault_direct_judge(ngx_http_image_vault_direct_t *d)
{
    static const ngx_str_t  type =
        ngx_string("contentType is none of the types that are accepted");
    static const ngx_str_t  open = ngx_string("every image is public here");

    if (!(ngx_iv_image_by_mime(&d->type) & d->lcf->types)) {
        return ngx_http_image_vault_refuse(d->request, NGX_IV_UNSUPPORTED_TYPE,
                                           "contentType is not accepted",
                                           &type);
    }

    if (d->size > (int64_t) d->lcf->max_size) {
        return ngx_http_image_vault_error(d->request, NGX_IV_TOO_LARGE,
                                          "size above image_vault_max_size");
    }

    if (d->size > NGX_HTTP_IMAGE_VAULT_ONE_PUT) {
        return ngx_http_image_vault_error(d->request, NGX_IV_TOO_LARGE,
                                          "size above what one PUT may have");
    }

    if (d->storage->conf->public_only
        && d->fields.has_public && !d->fields.is_public)
    {
        return ngx_http_image_vault_refuse(d->request, NGX_IV_CONFLICT,
                            "isPublic is false in a storage with public_only",
                                           &open);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_direct_document(ngx_http_image_vault_direct_t *d)
{
    u_char              *p;
    ngx_uint_t           format;
    ngx_time_t          *tp;
    const ngx_str_t     *ext;
    ngx_iv_document_t   *doc;
    ngx_http_request_t  *r;

    r = d->request;
    format = ngx_iv_image_by_mime(&d->type);
    ext = ngx_iv_image_ext(format);
    tp = ngx_timeofday();

    doc = ngx_pcalloc(r->pool, sizeof(ngx_iv_document_t));
    p = ngx_pnalloc(r->pool, NGX_IV_UUID_LEN + 1 + ext->len);

    if (doc == NULL || p == NULL
        || ngx_iv_uuid(p) != NGX_OK
        || ngx_iv_object_id(doc->id, tp->sec) != NGX_OK
        || ngx_http_image_vault_from(r, &doc->uploaded_from) != NGX_OK)
    {
        return NGX_ERROR;
    }

    doc->filename.data = p;
    doc->filename.len = NGX_IV_UUID_LEN + 1 + ext->len;

    p[NGX_IV_UUID_LEN] = '.';
    ngx_memcpy(p + NGX_IV_UUID_LEN + 1, ext->data, ext->len);

    doc->owner = d->user;
    doc->original_name = d->name;
    doc->content_type = *ngx_iv_image_mime(format);
    doc->size = d->size;
    doc->uploaded_at = (int64_t) tp->sec * 1000 + (int64_t) tp->msec;
    doc->tags = d->fields.tags;
    doc->ntags = d->fields.ntags;
    doc->shared_with = d->fields.shared_with;
    doc->nshared = d->fields.nshared;
    doc->is_public = d->fields.is_public || d->storage->conf->public_only;
    doc->expires_at = d->fields.expires_at;
    doc->storage = d->storage->conf->name;
    doc->status = NGX_IV_STATUS_UPLOADING;

    d->document = doc;

    return ngx_http_image_vault_key(r, r->pool, &doc->filename, &doc->key);
}


/* never the image's own key: who can write to it is not to be trusted */

static ngx_int_t
ngx_http_image_vault_direct_ticket(ngx_http_image_vault_direct_t *d)
{
    size_t                         n;
    u_char                        *p;
    ngx_str_t                     *key;
    ngx_iv_storage_ticket_t       *t;
    const ngx_iv_storage_conf_t   *conf;

    conf = d->storage->conf;
    t = &d->ticket;

    key = &d->document->key;
    n = key->len - d->document->filename.len;

    if (n + sizeof("incoming/") - 1 + NGX_IV_UUID_LEN
        > NGX_HTTP_IMAGE_VAULT_LONGEST)
    {
        ngx_log_error(NGX_LOG_ERR, d->request->connection->log, 0,
                      "\"image_vault_key\" gave a key too long for a direct "
                      "upload");
        return NGX_ERROR;
    }

    p = ngx_pnalloc(d->request->pool,
                    n + sizeof("incoming/") - 1 + NGX_IV_UUID_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    t->key.data = p;
    t->key.len = n + sizeof("incoming/") - 1 + NGX_IV_UUID_LEN;

    p = ngx_cpymem(p, key->data, n);
    p = ngx_cpymem(p, "incoming/", sizeof("incoming/") - 1);

    if (ngx_iv_uuid(p) != NGX_OK) {
        return NGX_ERROR;
    }

    d->document->staging_key = t->key;

    t->content_type = d->document->content_type;
    t->size = (off_t) d->size;
    t->signing = ngx_time();
    t->expires = t->signing + ngx_min(d->lcf->url_expiry,
                                      NGX_HTTP_IMAGE_VAULT_TICKET);

    if (conf->credentials.token.len && conf->credentials.expires
        && conf->credentials.expires < t->expires)
    {
        t->expires = ngx_max(conf->credentials.expires, t->signing + 1);
    }

    return ngx_iv_storage_ticket(d->storage, d->request->pool, t);
}


static ngx_int_t
ngx_http_image_vault_direct_insert(ngx_http_image_vault_direct_t *d)
{
    time_t                       life;
    u_char                      *p;
    ngx_http_request_t          *r;
    ngx_iv_metadata_op_t        *op;
    ngx_http_image_vault_ctx_t  *ctx;

    r = d->request;
    ctx = d->ctx;

    p = ngx_pnalloc(r->pool, 2 * NGX_IV_ID_LEN);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(ctx->id, d->document->id, NGX_IV_ID_LEN);
    ctx->id_text.data = p;
    ctx->id_text.len = ngx_iv_hex(p, ctx->id, NGX_IV_ID_LEN) - p;
    ctx->id_known = 1;
    ctx->document = d->document;

    (void) ngx_http_image_vault_trail_begin(r, ctx, "direct-upload",
                                            &d->trail);

    d->trail.entry.owner = d->document->owner;

    if (ngx_http_image_vault_trail_guard(r, &d->trail, ctx->id) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_direct_inserted,
                                  d);
    if (op == NULL) {
        d->code = NGX_IV_INTERNAL;
        return ngx_http_image_vault_direct_refuse(d);
    }

    life = d->ticket.expires - d->ticket.signing;
    life += ngx_min(life, NGX_HTTP_IMAGE_VAULT_GRACE);

    ngx_iv_metadata_direct_insert(op, d->document, (ngx_msec_t) life * 1000,
                                  NGX_HTTP_IMAGE_VAULT_TICKETS);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_direct_inserted(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_direct_t *d = data;

    static const ngx_str_t  too_many =
        ngx_string("10 direct uploads are open: complete or delete one first");

    if (op->code != NGX_OK) {
        d->code = op->code;

        if (op->code == NGX_IV_RATE_LIMITED) {
            d->code = NGX_IV_CONFLICT;
            d->message = &too_many;
        }

        return op->unknown ? ngx_http_image_vault_direct_undo(d)
                           : ngx_http_image_vault_direct_refuse(d);
    }

    if (d->lcf->quota.mode == NGX_IV_QUOTA_OFF) {
        return ngx_http_image_vault_direct_send(d);
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_direct_reserved,
                                  d);
    if (op == NULL) {
        d->code = NGX_IV_INTERNAL;
        return ngx_http_image_vault_direct_undo(d);
    }

    ngx_iv_metadata_quota_reserve(op, &d->document->owner, d->document->id, 0,
                                  d->size, &d->lcf->quota);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_direct_reserved(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_direct_t *d = data;

    u_char     *p;
    ngx_str_t  *message;

    if (op->code == NGX_OK) {
        return ngx_http_image_vault_direct_send(d);
    }

    d->code = op->code;
    d->reserved = op->unknown;

    if (op->code == NGX_IV_QUOTA_EXCEEDED) {

        message = ngx_palloc(r->pool, sizeof(ngx_str_t));
        p = ngx_pnalloc(r->pool,
                        sizeof("the storage quota is used up: used , limit , "
                               "needed  bytes")
                        + 3 * NGX_INT64_LEN);

        if (message && p) {
            message->data = p;

            /* it goes to the log as well, which wants the NUL */

            p = ngx_sprintf(p, "the storage quota is used up: used %L, "
                            "limit %L, needed %L bytes", op->used, op->limit,
                            d->size);

            message->len = p - message->data;
            *p = '\0';
            d->message = message;
        }
    }

    return ngx_http_image_vault_direct_undo(d);
}


/*
 * Nobody knows of the ticket, but it takes one of the owner's places until its
 * deadline: better at once.  The quota follows only where a majority knows that
 * the image will not be.
 */

static ngx_int_t
ngx_http_image_vault_direct_undo(ngx_http_image_vault_direct_t *d)
{
    ngx_iv_metadata_op_t  *op;

    op = ngx_http_image_vault_ask(d->request, d->ctx,
                                  ngx_http_image_vault_direct_failed, d);
    if (op == NULL) {
        return ngx_http_image_vault_direct_refuse(d);
    }

    ngx_iv_metadata_fail(op, d->document->id,
                         (char *) ngx_iv_code(d->code)->word.data);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_direct_failed(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_direct_t *d = data;

    if (op->code != NGX_OK || !d->reserved) {
        return ngx_http_image_vault_direct_refuse(d);
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_direct_released,
                                  d);
    if (op == NULL) {
        return ngx_http_image_vault_direct_refuse(d);
    }

    ngx_iv_metadata_quota_release(op, &d->document->owner, d->document->id);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_direct_released(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_direct_t *d = data;

    return ngx_http_image_vault_direct_refuse(d);
}


static ngx_int_t
ngx_http_image_vault_direct_refuse(ngx_http_image_vault_direct_t *d)
{
    ngx_http_image_vault_trail_end(&d->trail, d->request->connection->log,
                                   d->document->id,
                                   &ngx_iv_code(d->code)->word);

    return ngx_http_image_vault_refuse(d->request, d->code,
                                       d->message ? (char *) d->message->data
                                                  : NULL,
                                       d->message);
}


static ngx_int_t
ngx_http_image_vault_direct_send(ngx_http_image_vault_direct_t *d)
{
    ngx_str_t                 json;
    ngx_uint_t                i;
    ngx_iv_json_t             j;
    ngx_iv_storage_ticket_t  *t;

    t = &d->ticket;

    ngx_http_image_vault_trail_end(&d->trail, d->request->connection->log,
                                   d->document->id, NULL);

    ngx_iv_json_init(&j, d->request->pool, 512 + t->url.len);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_hex(&j, "id", d->document->id, NGX_IV_ID_LEN);
    ngx_iv_json_str(&j, "url", &t->url);
    ngx_iv_json_cstr(&j, "method", "PUT");

    ngx_iv_json_object(&j, "headers");

    for (i = 0; i < sizeof(t->headers) / sizeof(t->headers[0]); i++) {
        ngx_iv_json_str(&j, (char *) t->headers[i].name.data,
                        &t->headers[i].value);
    }

    ngx_iv_json_object_end(&j);

    ngx_iv_json_date(&j, "expiresAt", (int64_t) t->expires * 1000);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    d->ctx->result = "ticket";

    return ngx_http_image_vault_send_json(d->request, NGX_HTTP_CREATED, &json);
}
