/*
 * PATCH and DELETE of an image.
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_date.h"
#include "formats/ngx_iv_fields.h"
#include "formats/ngx_iv_name.h"
#include "metadata/ngx_iv_metadata_direct.h"


/* what is to be changed; the body's order is of no meaning */
typedef struct {
    ngx_http_request_t             *request;
    ngx_http_image_vault_ctx_t     *ctx;
    ngx_iv_patch_t                  patch;
    ngx_iv_fields_t                 fields;
    ngx_http_image_vault_trail_t    trail;
    /* of a bad member */
    const char                     *what;
} ngx_http_image_vault_change_t;


typedef struct {
    const char   *name;
    ngx_int_t   (*set)(ngx_http_image_vault_change_t *ch,
                       const ngx_iv_json_node_t *node);
} ngx_http_image_vault_member_t;


static ngx_int_t ngx_http_image_vault_patch_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_patch_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_may_patch(
    ngx_http_image_vault_ctx_t *ctx, ngx_uint_t prolongs);
static ngx_int_t ngx_http_image_vault_patch_refuse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
static ngx_int_t ngx_http_image_vault_patch_members(
    ngx_http_image_vault_change_t *ch);
static ngx_int_t ngx_http_image_vault_patch_name(
    ngx_http_image_vault_change_t *ch, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_patch_tags(
    ngx_http_image_vault_change_t *ch, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_patch_shared(
    ngx_http_image_vault_change_t *ch, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_patch_public(
    ngx_http_image_vault_change_t *ch, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_patch_expires(
    ngx_http_image_vault_change_t *ch, const ngx_iv_json_node_t *node);
static ngx_int_t ngx_http_image_vault_patch_public_only(
    ngx_http_image_vault_change_t *ch);
static ngx_int_t ngx_http_image_vault_patch_begin(
    ngx_http_image_vault_change_t *ch);
static ngx_int_t ngx_http_image_vault_patch_done(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_delete_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_delete_done(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_uint_t ngx_http_image_vault_if_match(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, int64_t *version);
static ngx_uint_t ngx_http_image_vault_names_version(const ngx_str_t *list,
    int64_t version);


static const ngx_http_image_vault_member_t  ngx_http_image_vault_members[] = {
    { "originalName", ngx_http_image_vault_patch_name },
    { "tags", ngx_http_image_vault_patch_tags },
    { "isPublic", ngx_http_image_vault_patch_public },
    { "sharedWith", ngx_http_image_vault_patch_shared },
    { "expiresAt", ngx_http_image_vault_patch_expires },
    { NULL, NULL }
};


ngx_int_t
ngx_http_image_vault_patch(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_lookup(r, ctx,
                                       ngx_http_image_vault_patch_found);
}


/*
 * What needs no body is checked before it is read.  Whether an expired image
 * may be changed, only the body tells.
 */

static ngx_int_t
ngx_http_image_vault_patch_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_may_patch(ctx, 0);

    if (rc != NGX_OK && rc != NGX_IV_GONE) {
        return ngx_http_image_vault_patch_refuse(r, ctx, rc);
    }

    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_patch_body);
}


static ngx_int_t
ngx_http_image_vault_patch_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_http_image_vault_change_t  *ch;

    rc = ngx_http_image_vault_may_patch(ctx,
                          ngx_iv_json_get(ctx->json, "expiresAt") != NULL);

    if (rc != NGX_OK) {
        return ngx_http_image_vault_patch_refuse(r, ctx, rc);
    }

    ch = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_change_t));
    if (ch == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ch->request = r;
    ch->ctx = ctx;

    ngx_iv_fields_init(&ch->fields, r->pool);

    rc = ngx_http_image_vault_patch_members(ch);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!ngx_http_image_vault_if_match(r, ctx->document, &ch->patch.if_match))
    {
        return ngx_http_image_vault_patch_refuse(r, ctx,
                                                 NGX_IV_PRECONDITION_FAILED);
    }

    return ngx_http_image_vault_patch_begin(ch);
}


/* checks 4 to 7; prolongs: the end of its life is among what changes */

static ngx_int_t
ngx_http_image_vault_may_patch(ngx_http_image_vault_ctx_t *ctx,
    ngx_uint_t prolongs)
{
    ngx_int_t                 rc;
    const ngx_iv_document_t  *doc;

    doc = ctx->document;

    rc = ngx_http_image_vault_state(ctx, doc);

    if (rc == NGX_IV_GONE && prolongs
        && !ngx_http_image_vault_is_missing(doc))
    {
        rc = (doc->status == NGX_IV_STATUS_READY) ? NGX_OK : NGX_IV_NOT_READY;
    }

    if (rc == NGX_OK && !ngx_http_image_vault_owns(ctx, doc)) {
        rc = NGX_IV_FORBIDDEN;
    }

    return rc;
}


static ngx_int_t
ngx_http_image_vault_patch_refuse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code)
{
    ngx_http_image_vault_audit(r, ctx, "patch", ctx->id,
                               &ctx->document->owner, code, NULL);

    return ngx_http_image_vault_refuse_state(r, ctx, code);
}


/* NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_patch_members(ngx_http_image_vault_change_t *ch)
{
    ngx_int_t                             rc;
    ngx_iv_json_node_t                   *node;
    const ngx_http_image_vault_member_t  *member;

    for (node = ch->ctx->json->first; node; node = node->next) {

        ch->what = "is not known";
        rc = NGX_IV_BAD_PARAMETER;

        for (member = ngx_http_image_vault_members; member->name; member++) {

            if (node->key.len == ngx_strlen(member->name)
                && ngx_memcmp(node->key.data, member->name, node->key.len)
                   == 0)
            {
                rc = member->set(ch, node);
                break;
            }
        }

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_http_image_vault_bad_member(ch->request, &node->key,
                                                   ch->what);
        }
    }

    if (ch->patch.has_is_public && !ch->patch.is_public
        && ngx_http_image_vault_must_be_public(ch->ctx->document))
    {
        return ngx_http_image_vault_patch_public_only(ch);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_patch_name(ngx_http_image_vault_change_t *ch,
    const ngx_iv_json_node_t *node)
{
    ch->what = "must be a string that is not empty";

    if (node->type != NGX_IV_JSON_STRING || node->str.len == 0) {
        return NGX_IV_BAD_PARAMETER;
    }

    ch->patch.has_original_name = 1;

    return ngx_iv_name_clean(ch->request->pool, &node->str,
                             &ch->patch.original_name);
}


static ngx_int_t
ngx_http_image_vault_patch_tags(ngx_http_image_vault_change_t *ch,
    const ngx_iv_json_node_t *node)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_strings(&ch->fields, "tags[]", node, &ch->what);

    ch->patch.has_tags = 1;
    ch->patch.tags = ch->fields.tags;
    ch->patch.ntags = ch->fields.ntags;

    return rc;
}


static ngx_int_t
ngx_http_image_vault_patch_shared(ngx_http_image_vault_change_t *ch,
    const ngx_iv_json_node_t *node)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_strings(&ch->fields, "sharedWith[]", node,
                                      &ch->what);

    ch->patch.has_shared_with = 1;
    ch->patch.shared_with = ch->fields.shared_with;
    ch->patch.nshared = ch->fields.nshared;

    return rc;
}


static ngx_int_t
ngx_http_image_vault_patch_public(ngx_http_image_vault_change_t *ch,
    const ngx_iv_json_node_t *node)
{
    ch->what = "must be true or false";

    if (node->type != NGX_IV_JSON_BOOL) {
        return NGX_IV_BAD_PARAMETER;
    }

    ch->patch.has_is_public = 1;
    ch->patch.is_public = node->num ? 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_patch_expires(ngx_http_image_vault_change_t *ch,
    const ngx_iv_json_node_t *node)
{
    ch->patch.has_expires_at = 1;

    return ngx_http_image_vault_expiry(node, &ch->patch.expires_at,
                                       &ch->what);
}


ngx_int_t
ngx_http_image_vault_expiry(const ngx_iv_json_node_t *node, int64_t *msec,
    const char **what)
{
    *msec = 0;

    if (node->type == NGX_IV_JSON_NULL) {
        return NGX_OK;
    }

    *what = "must be a date with a time zone, or null";

    if (node->type != NGX_IV_JSON_STRING
        || ngx_iv_date_parse_any(&node->str, msec) != NGX_OK)
    {
        return NGX_IV_BAD_PARAMETER;
    }

    *what = "must be in the future";

    return (*msec > ngx_iv_now()) ? NGX_OK : NGX_IV_BAD_PARAMETER;
}


static ngx_int_t
ngx_http_image_vault_patch_public_only(ngx_http_image_vault_change_t *ch)
{
    ngx_http_image_vault_ctx_t  *ctx;

    static const ngx_str_t  message = ngx_string("every image is public here");

    ctx = ch->ctx;

    ngx_http_image_vault_audit(ch->request, ctx, "patch", ctx->id,
                               &ctx->document->owner, NGX_IV_CONFLICT, NULL);

    return ngx_http_image_vault_refuse(ch->request, NGX_IV_CONFLICT,
                            "isPublic is false in a storage with public_only",
                                       &message);
}


static ngx_int_t
ngx_http_image_vault_patch_begin(ngx_http_image_vault_change_t *ch)
{
    ngx_iv_patch_t              *patch;
    ngx_http_request_t          *r;
    ngx_iv_metadata_op_t        *op;
    ngx_http_image_vault_ctx_t  *ctx;

    r = ch->request;
    ctx = ch->ctx;
    patch = &ch->patch;

    /* the tag of the answer is none to be compared with the request's */

    r->disable_not_modified = 1;

    if (ctx->json->n == 0) {
        return ngx_http_image_vault_show(r, ctx);
    }

    /* what could not be shown afterwards is not changed */

    if (ngx_http_image_vault_storage_find(ngx_http_image_vault_worker->conf,
                                          &ctx->document->storage)
        == NGX_ERROR)
    {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                  "the image's storage is not configured");
    }

    ngx_memcpy(patch->id, ctx->id, NGX_IV_ID_LEN);

    if (!ctx->admin) {
        patch->owner = ctx->owner;
    }

    (void) ngx_http_image_vault_trail_begin(r, ctx, "patch", &ch->trail);

    ch->trail.entry.owner = ctx->document->owner;

    if (ngx_http_image_vault_trail_guard(r, &ch->trail, ctx->id) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_patch_done, ch);
    if (op == NULL) {
        ngx_http_image_vault_trail_end(&ch->trail, r->connection->log, ctx->id,
                                       &ngx_iv_code(NGX_IV_INTERNAL)->word);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_patch(op, patch);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_patch_done(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_change_t *ch = data;

    ngx_int_t  rc;

    ngx_http_image_vault_trail_end(&ch->trail, r->connection->log, ctx->id,
                                   (op->code == NGX_OK)
                                   ? NULL : &ngx_iv_code(op->code)->word);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ctx->document = op->document;

    rc = ngx_http_image_vault_show(r, ctx);

    if (ctx->code == NGX_OK) {
        ctx->result = "changed";
    }

    return rc;
}


ngx_int_t
ngx_http_image_vault_delete(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_image_vault_lookup(r, ctx,
                                       ngx_http_image_vault_delete_found);
}


/* whose it is, need not care for what state it is in */

static ngx_int_t
ngx_http_image_vault_delete_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    int64_t                        version;
    ngx_int_t                      rc;
    ngx_iv_metadata_op_t          *op;
    ngx_http_image_vault_trail_t  *trail;

    static const ngx_str_t  anybody = ngx_null_string;

    trail = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_trail_t));
    if (trail == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (void) ngx_http_image_vault_trail_begin(r, ctx, "delete", trail);

    trail->entry.owner = ctx->document->owner;

    rc = NGX_OK;
    version = 0;

    if (!ngx_http_image_vault_owns(ctx, ctx->document)) {
        rc = ngx_http_image_vault_state(ctx, ctx->document);

        if (rc == NGX_OK) {
            rc = NGX_IV_FORBIDDEN;
        }

    } else if (!ngx_http_image_vault_if_match(r, ctx->document, &version)) {
        rc = NGX_IV_PRECONDITION_FAILED;
    }

    if (rc != NGX_OK) {
        ngx_http_image_vault_trail_end(trail, r->connection->log, ctx->id,
                                       &ngx_iv_code(rc)->word);

        return ngx_http_image_vault_refuse_state(r, ctx, rc);
    }

    if (ngx_http_image_vault_trail_guard(r, trail, ctx->id) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_delete_done,
                                  trail);
    if (op == NULL) {
        ngx_http_image_vault_trail_end(trail, r->connection->log, ctx->id,
                                       &ngx_iv_code(NGX_IV_INTERNAL)->word);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_delete(op, ctx->id, ctx->admin ? &anybody : &ctx->owner,
                           version, "deleted");

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_delete_done(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_trail_t *trail = data;

    ngx_str_t      json;
    ngx_iv_json_t  j;

    ngx_http_image_vault_trail_end(trail, r->connection->log, ctx->id,
                                   (op->code == NGX_OK)
                                   ? NULL : &ngx_iv_code(op->code)->word);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    if (op->nrefs) {
        ngx_iv_discard(ngx_http_image_vault_worker->discard, &op->refs[0]);
    }

    ngx_iv_json_init(&j, r->pool, 128);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_cstr(&j, "message", "the image was deleted");
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "deleted";
    r->disable_not_modified = 1;

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


ngx_int_t
ngx_http_image_vault_strings(ngx_iv_fields_t *fields, const char *field,
    const ngx_iv_json_node_t *node, const char **what)
{
    ngx_int_t                  rc;
    ngx_str_t                  name;
    const ngx_iv_json_node_t  *item;

    *what = "must be an array of strings";

    if (node->type == NGX_IV_JSON_NULL) {
        return NGX_OK;
    }

    if (node->type != NGX_IV_JSON_ARRAY) {
        return NGX_IV_BAD_PARAMETER;
    }

    name.data = (u_char *) field;
    name.len = ngx_strlen(field);

    for (item = node->first; item; item = item->next) {

        if (item->type != NGX_IV_JSON_STRING) {
            return NGX_IV_BAD_PARAMETER;
        }

        rc = ngx_iv_fields_add(fields, &name, &item->str);

        if (rc == NGX_IV_BAD_PARAMETER) {
            *what = "has a value that is too long, not valid, or too many of "
                    "them";
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_image_vault_must_be_public(const ngx_iv_document_t *doc)
{
    ngx_int_t                       i;
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;

    i = ngx_http_image_vault_storage_find(w->conf, &doc->storage);

    return i != NGX_ERROR && w->storages[i]->conf->public_only;
}


/* 1: the request may go on, version: what the image must still be then, 0: it
 * may be anything.  nginx takes one line of If-Match only */

static ngx_uint_t
ngx_http_image_vault_if_match(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, int64_t *version)
{
    ngx_str_t  *list;

    *version = 0;

    if (r->headers_in.if_match == NULL) {
        return 1;
    }

    list = &r->headers_in.if_match->value;

    if (list->len == 1 && list->data[0] == '*') {
        return 1;
    }

    *version = doc->updated_at;

    return ngx_http_image_vault_names_version(list, doc->updated_at);
}


/*
 * Our tags begin with the version in hex (see ngx_http_image_vault_show()); the
 * other half changes with the URL, which no change of the image depends on.
 * RFC 9110, 13.1.1, lets no weak tag match, since its bytes may differ; ours
 * are weak only where nginx has compressed them, and tell the same version.
 */

static ngx_uint_t
ngx_http_image_vault_names_version(const ngx_str_t *list, int64_t version)
{
    u_char      *p, *last, *end, text[NGX_INT64_LEN + 2];
    size_t       len;
    ngx_uint_t   found;

    found = 0;
    len = ngx_sprintf(text, "%xL-", version) - text;

    p = list->data;
    last = p + list->len;

    while (p < last) {

        if (*p == ' ' || *p == '\t' || *p == ',') {
            p++;
            continue;
        }

        if (last - p > 2 && p[0] == 'W' && p[1] == '/') {
            p += 2;
        }

        if (*p++ != '"') {
            return found;
        }

        end = ngx_strlchr(p, last, '"');

        if (end == NULL) {
            return found;
        }

        if ((size_t) (end - p) > len && ngx_memcmp(p, text, len) == 0) {
            found = 1;
        }

        p = end + 1;
    }

    return found;
}
