/*
 * POST bulk: one action on up to 100 images, with an outcome for each.
 */

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_direct.h"

/* deletes of one request side by side */
#define NGX_HTTP_IMAGE_VAULT_BULK_SIDE  8


typedef struct ngx_http_image_vault_bulk_s  ngx_http_image_vault_bulk_t;

/* one of the request's ids */
typedef struct {
    ngx_http_image_vault_bulk_t  *bulk;
    ngx_str_t               text;       /* as the client wrote it */
    u_char                  id[NGX_IV_ID_LEN];
    ngx_uint_t              same;       /* the first entry with this id */
    ngx_iv_document_t      *document;   /* NULL: nothing that may be read */
    ngx_int_t               code;
    ngx_str_t               url;
    time_t                  expires;
    unsigned                valid:1;
    unsigned                asked:1;    /* the store was asked to change it */
    unsigned                told:1;     /* its outcome is in the trail */
} ngx_http_image_vault_bulk_item_t;


typedef struct {
    const char     *name;
    const char     *trail;
    ngx_iv_bulk_e   action;             /* of those that are one update */
    unsigned        tags:1;             /* it needs them */
    unsigned        users:1;
    unsigned        sign:1;
    unsigned        del:1;
    unsigned        hides:1;
} ngx_http_image_vault_bulk_action_t;


struct ngx_http_image_vault_bulk_s {
    ngx_http_request_t     *request;
    ngx_http_image_vault_ctx_t  *ctx;
    const ngx_http_image_vault_bulk_action_t  *action;
    ngx_iv_fields_t         fields;
    ngx_http_image_vault_bulk_item_t  *items;
    ngx_uint_t              nitems;
    u_char                (*ids)[NGX_IV_ID_LEN];
    ngx_uint_t             *places;     /* of ids: which items they are */
    ngx_uint_t              nids;
    ngx_uint_t              next;       /* deletes: begun up to here */
    ngx_uint_t              active;
    ngx_http_image_vault_trail_t  trail;
};


static ngx_int_t ngx_http_image_vault_bulk_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_bulk_members(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_int_t ngx_http_image_vault_bulk_action(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_int_t ngx_http_image_vault_bulk_values(
    ngx_http_image_vault_bulk_t *bulk, const char *name, const char *field,
    ngx_uint_t needed, ngx_uint_t *n);
static ngx_int_t ngx_http_image_vault_bulk_ids(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_uint_t ngx_http_image_vault_bulk_first(
    ngx_http_image_vault_bulk_t *bulk, ngx_uint_t n);
static ngx_int_t ngx_http_image_vault_bulk_bad(
    ngx_http_image_vault_bulk_t *bulk, const char *name, const char *what);
static ngx_int_t ngx_http_image_vault_bulk_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_bulk_judge(
    ngx_http_image_vault_bulk_t *bulk,
    ngx_http_image_vault_bulk_item_t *item);
static ngx_int_t ngx_http_image_vault_bulk_sign(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_int_t ngx_http_image_vault_bulk_guard(
    ngx_http_image_vault_bulk_t *bulk);
static void ngx_http_image_vault_bulk_gone(void *data);
static void ngx_http_image_vault_bulk_audit(
    ngx_http_image_vault_bulk_item_t *item, ngx_log_t *log,
    const ngx_str_t *outcome);
static ngx_int_t ngx_http_image_vault_bulk_update(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_int_t ngx_http_image_vault_bulk_updated(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_bulk_delete(
    ngx_http_image_vault_bulk_t *bulk);
static ngx_int_t ngx_http_image_vault_bulk_delete_one(
    ngx_http_image_vault_bulk_item_t *item);
static ngx_int_t ngx_http_image_vault_bulk_deleted(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_bulk_answer(
    ngx_http_image_vault_bulk_t *bulk);


static const ngx_http_image_vault_bulk_action_t
    ngx_http_image_vault_bulk_actions[] =
{
    { "delete", "bulk-delete", 0, 0, 0, 0, 1, 0 },
    { "tag", "bulk-tag", NGX_IV_BULK_TAG, 1, 0, 0, 0, 0 },
    { "untag", "bulk-untag", NGX_IV_BULK_UNTAG, 1, 0, 0, 0, 0 },
    { "share", "bulk-share", NGX_IV_BULK_SHARE, 0, 1, 0, 0, 0 },
    { "unshare", "bulk-unshare", NGX_IV_BULK_UNSHARE, 0, 1, 0, 0, 0 },
    { "publish", "bulk-publish", NGX_IV_BULK_PUBLISH, 0, 0, 0, 0, 0 },
    { "unpublish", "bulk-unpublish", NGX_IV_BULK_UNPUBLISH, 0, 0, 0, 0, 1 },
    { "sign", NULL, 0, 0, 0, 1, 0, 0 },
    { NULL, NULL, 0, 0, 0, 0, 0, 0 }
};


ngx_int_t
ngx_http_image_vault_bulk(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_bulk_body);
}


static ngx_int_t
ngx_http_image_vault_bulk_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_iv_metadata_op_t         *op;
    ngx_http_image_vault_bulk_t  *bulk;

    bulk = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_bulk_t));
    if (bulk == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bulk->request = r;
    bulk->ctx = ctx;

    ngx_iv_fields_init(&bulk->fields, r->pool);

    rc = ngx_http_image_vault_bulk_members(bulk);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (bulk->nids == 0) {
        return ngx_http_image_vault_bulk_answer(bulk);
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_bulk_found,
                                  bulk);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_get_many(op, bulk->ids, bulk->nids);

    return NGX_DONE;
}


/* NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_bulk_members(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_int_t            rc;
    ngx_iv_json_node_t  *node;

    static const char  *known[] = { "action", "ids", "tags", "users", NULL };

    node = ngx_http_image_vault_unknown_member(bulk->ctx, known);

    if (node) {
        return ngx_http_image_vault_bad_member(bulk->request, &node->key,
                                               "is not known");
    }

    rc = ngx_http_image_vault_bulk_action(bulk);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_image_vault_bulk_ids(bulk);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_image_vault_bulk_values(bulk, "tags", "tags[]",
                                          bulk->action->tags,
                                          &bulk->fields.ntags);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_image_vault_bulk_values(bulk, "users", "sharedWith[]",
                                            bulk->action->users,
                                            &bulk->fields.nshared);
}


static ngx_int_t
ngx_http_image_vault_bulk_action(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_iv_json_node_t                        *node;
    const ngx_http_image_vault_bulk_action_t  *action;

    node = ngx_iv_json_get(bulk->ctx->json, "action");

    if (node && node->type == NGX_IV_JSON_STRING) {

        for (action = ngx_http_image_vault_bulk_actions; action->name;
             action++)
        {
            if (node->str.len == ngx_strlen(action->name)
                && ngx_memcmp(node->str.data, action->name, node->str.len)
                   == 0)
            {
                bulk->action = action;
                return NGX_DECLINED;
            }
        }
    }

    return ngx_http_image_vault_bulk_bad(bulk, "action",
                           "must be delete, tag, untag, share, unshare, "
                           "publish, unpublish or sign");
}


/* n: of those that are in bulk->fields */

static ngx_int_t
ngx_http_image_vault_bulk_values(ngx_http_image_vault_bulk_t *bulk,
    const char *name, const char *field, ngx_uint_t needed, ngx_uint_t *n)
{
    ngx_int_t            rc;
    const char          *what;
    ngx_iv_json_node_t  *node;

    node = ngx_iv_json_get(bulk->ctx->json, name);

    if (node && node->type != NGX_IV_JSON_NULL) {

        if (!needed) {
            return ngx_http_image_vault_bulk_bad(bulk, name,
                                             "has no meaning for this action");
        }

        rc = ngx_http_image_vault_strings(&bulk->fields, field, node, &what);

        if (rc == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        if (rc != NGX_OK) {
            return ngx_http_image_vault_bulk_bad(bulk, name, what);
        }
    }

    if (needed && *n == 0) {
        return ngx_http_image_vault_bulk_bad(bulk, name,
                                             "must have at least one value");
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_bulk_ids(ngx_http_image_vault_bulk_t *bulk)
{
    size_t                             size;
    ngx_uint_t                         i;
    ngx_iv_json_node_t                *node, *id;
    ngx_http_image_vault_bulk_item_t  *item;

    node = ngx_iv_json_get(bulk->ctx->json, "ids");

    if (node == NULL || node->type != NGX_IV_JSON_ARRAY) {
        return ngx_http_image_vault_bulk_bad(bulk, "ids",
                                             "must be an array of strings");
    }

    if (node->n > NGX_IV_LIST_MAX) {
        return ngx_http_image_vault_bulk_bad(bulk, "ids",
                                             "has more than 100 values");
    }

    size = sizeof(ngx_http_image_vault_bulk_item_t) + NGX_IV_ID_LEN
           + sizeof(ngx_uint_t);

    bulk->items = ngx_pcalloc(bulk->request->pool, (node->n + 1) * size);
    if (bulk->items == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bulk->places = (ngx_uint_t *) &bulk->items[node->n];
    bulk->ids = (u_char (*)[NGX_IV_ID_LEN]) &bulk->places[node->n];

    for (id = node->first, i = 0; id; id = id->next, i++) {

        if (id->type != NGX_IV_JSON_STRING) {
            return ngx_http_image_vault_bulk_bad(bulk, "ids",
                                                "must be an array of strings");
        }

        item = &bulk->items[i];

        item->bulk = bulk;
        item->text = id->str;
        item->code = NGX_IV_NOT_FOUND;
        item->same = i;

        if (ngx_iv_parse_id(&id->str, item->id) != NGX_OK) {
            continue;
        }

        item->valid = 1;
        item->same = ngx_http_image_vault_bulk_first(bulk, i);

        if (item->same == i) {
            ngx_memcpy(bulk->ids[bulk->nids++], item->id, NGX_IV_ID_LEN);
        }
    }

    bulk->nitems = node->n;

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_http_image_vault_bulk_first(ngx_http_image_vault_bulk_t *bulk,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (bulk->items[i].valid
            && ngx_memcmp(bulk->items[i].id, bulk->items[n].id, NGX_IV_ID_LEN)
               == 0)
        {
            return i;
        }
    }

    return n;
}


static ngx_int_t
ngx_http_image_vault_bulk_bad(ngx_http_image_vault_bulk_t *bulk,
    const char *name, const char *what)
{
    ngx_str_t  text;

    text.data = (u_char *) name;
    text.len = ngx_strlen(name);

    return ngx_http_image_vault_bad_member(bulk->request, &text, what);
}


static ngx_int_t
ngx_http_image_vault_bulk_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_bulk_t *bulk = data;

    ngx_uint_t                         i, k;
    ngx_iv_document_t                 *doc;
    ngx_http_image_vault_bulk_item_t  *item;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    for (i = 0; i < bulk->nitems; i++) {
        item = &bulk->items[i];

        if (!item->valid || item->same != i) {
            continue;
        }

        for (k = 0; k < op->found->ndocuments; k++) {
            doc = &op->found->documents[k];

            if (ngx_memcmp(doc->id, item->id, NGX_IV_ID_LEN) == 0) {
                item->document = doc;
                item->code = ngx_http_image_vault_bulk_judge(bulk, item);
                break;
            }
        }
    }

    if (bulk->action->sign) {
        return ngx_http_image_vault_bulk_sign(bulk);
    }

    if (ngx_http_image_vault_bulk_guard(bulk) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (bulk->action->del) {
        return ngx_http_image_vault_bulk_delete(bulk);
    }

    return ngx_http_image_vault_bulk_update(bulk);
}


/* the order of checks, for one of them */

static ngx_int_t
ngx_http_image_vault_bulk_judge(ngx_http_image_vault_bulk_t *bulk,
    ngx_http_image_vault_bulk_item_t *item)
{
    ngx_int_t           rc;
    ngx_uint_t          owns;
    ngx_iv_document_t  *doc;

    doc = item->document;

    if (!ngx_http_image_vault_may_read(bulk->ctx, doc)
        || doc->status == NGX_IV_STATUS_ERROR || doc->deleted_at)
    {
        item->document = NULL;
        return NGX_IV_NOT_FOUND;
    }

    owns = ngx_http_image_vault_owns(bulk->ctx, doc);

    if (owns && bulk->action->del) {
        return NGX_OK;
    }

    rc = ngx_http_image_vault_state(bulk->ctx, doc);

    if (rc != NGX_OK || bulk->action->sign) {
        return rc;
    }

    if (!owns) {
        return NGX_IV_FORBIDDEN;
    }

    if (bulk->action->hides && ngx_http_image_vault_must_be_public(doc)) {
        return NGX_IV_CONFLICT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_bulk_sign(ngx_http_image_vault_bulk_t *bulk)
{
    time_t                             rest;
    ngx_uint_t                         i;
    ngx_http_image_vault_bulk_item_t  *item;

    for (i = 0; i < bulk->nitems; i++) {
        item = &bulk->items[i];

        if (item->code == NGX_OK
            && ngx_http_image_vault_url(bulk->request, item->document, 0, 0, 1,
                                        &item->url, &item->expires, &rest)
               != NGX_OK)
        {
            item->code = NGX_IV_INTERNAL;
        }
    }

    return ngx_http_image_vault_bulk_answer(bulk);
}


/* what is refused is told to the trail now; what is asked for must be, also if
 * the request goes before it knows */

static ngx_int_t
ngx_http_image_vault_bulk_guard(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_uint_t                         i;
    ngx_pool_cleanup_t                *cln;
    ngx_http_image_vault_bulk_item_t  *item;

    if (ngx_http_image_vault_trail_begin(bulk->request, bulk->ctx,
                                         bulk->action->trail, &bulk->trail)
        != NGX_OK)
    {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(bulk->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_image_vault_bulk_gone;
    cln->data = bulk;

    for (i = 0; i < bulk->nitems; i++) {
        item = &bulk->items[i];

        if (item->document && item->code != NGX_OK) {
            ngx_http_image_vault_bulk_audit(item,
                                            bulk->request->connection->log,
                                            &ngx_iv_code(item->code)->word);
        }
    }

    return NGX_OK;
}


static void
ngx_http_image_vault_bulk_gone(void *data)
{
    ngx_http_image_vault_bulk_t *bulk = data;

    ngx_uint_t                         i;
    ngx_http_image_vault_bulk_item_t  *item;

    static const ngx_str_t  unknown = ngx_string("unknown");

    for (i = 0; i < bulk->nitems; i++) {
        item = &bulk->items[i];

        if (item->asked && !item->told) {
            ngx_http_image_vault_bulk_audit(item, ngx_cycle->log, &unknown);
        }
    }
}


static void
ngx_http_image_vault_bulk_audit(ngx_http_image_vault_bulk_item_t *item,
    ngx_log_t *log, const ngx_str_t *outcome)
{
    ngx_http_image_vault_trail_t  *trail;

    trail = &item->bulk->trail;

    item->told = 1;
    trail->entry.owner = item->document->owner;

    ngx_http_image_vault_trail_end(trail, log, item->id, outcome);
}


static ngx_int_t
ngx_http_image_vault_bulk_update(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_uint_t             i;
    ngx_iv_bulk_t          what;
    ngx_iv_metadata_op_t  *op;

    bulk->nids = 0;

    for (i = 0; i < bulk->nitems; i++) {
        if (bulk->items[i].code == NGX_OK) {
            bulk->places[bulk->nids] = i;
            ngx_memcpy(bulk->ids[bulk->nids++], bulk->items[i].id,
                       NGX_IV_ID_LEN);
        }
    }

    if (bulk->nids == 0) {
        return ngx_http_image_vault_bulk_answer(bulk);
    }

    op = ngx_http_image_vault_ask(bulk->request, bulk->ctx,
                                  ngx_http_image_vault_bulk_updated, bulk);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < bulk->nids; i++) {
        bulk->items[bulk->places[i]].asked = 1;
    }

    ngx_memzero(&what, sizeof(ngx_iv_bulk_t));

    what.action = bulk->action->action;
    what.ids = bulk->ids;
    what.nids = bulk->nids;

    if (!bulk->ctx->admin) {
        what.owner = bulk->ctx->owner;
    }

    if (bulk->action->tags) {
        what.values = bulk->fields.tags;
        what.nvalues = bulk->fields.ntags;
    }

    if (bulk->action->users) {
        what.values = bulk->fields.shared_with;
        what.nvalues = bulk->fields.nshared;
    }

    ngx_iv_metadata_bulk(op, &what);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_bulk_updated(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_bulk_t *bulk = data;

    ngx_uint_t                         i;
    ngx_http_image_vault_bulk_item_t  *item;

    for (i = 0; i < bulk->nids; i++) {
        item = &bulk->items[bulk->places[i]];

        item->code = (op->code == NGX_OK) ? op->found->codes[i] : op->code;

        ngx_http_image_vault_bulk_audit(item, r->connection->log,
                                        item->code
                                        ? &ngx_iv_code(item->code)->word
                                        : NULL);
    }

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    return ngx_http_image_vault_bulk_answer(bulk);
}


/* begins as many as there is room for; the last one that ends answers */

static ngx_int_t
ngx_http_image_vault_bulk_delete(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_http_image_vault_bulk_item_t  *item;

    while (bulk->next < bulk->nitems
           && bulk->active < NGX_HTTP_IMAGE_VAULT_BULK_SIDE)
    {
        item = &bulk->items[bulk->next++];

        if (item->code != NGX_OK) {
            continue;
        }

        if (ngx_http_image_vault_bulk_delete_one(item) == NGX_OK) {
            bulk->active++;
            continue;
        }

        item->code = NGX_IV_INTERNAL;
    }

    if (bulk->active) {
        return NGX_DONE;
    }

    return ngx_http_image_vault_bulk_answer(bulk);
}


static ngx_int_t
ngx_http_image_vault_bulk_delete_one(ngx_http_image_vault_bulk_item_t *item)
{
    ngx_iv_metadata_op_t        *op;
    ngx_http_image_vault_ctx_t  *ctx;

    static const ngx_str_t  anybody = ngx_null_string;

    ctx = item->bulk->ctx;

    op = ngx_http_image_vault_ask(item->bulk->request, ctx,
                                  ngx_http_image_vault_bulk_deleted, item);
    if (op == NULL) {
        return NGX_ERROR;
    }

    item->asked = 1;

    ngx_iv_metadata_delete(op, item->id, ctx->admin ? &anybody : &ctx->owner,
                           0, "deleted");

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_bulk_deleted(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_bulk_item_t *item = data;

    item->code = op->code;

    if (op->code == NGX_OK && op->nrefs) {
        ngx_iv_discard(ngx_http_image_vault_worker->discard, &op->refs[0]);
    }

    ngx_http_image_vault_bulk_audit(item, r->connection->log,
                                    item->code ? &ngx_iv_code(item->code)->word
                                               : NULL);

    item->bulk->active--;

    return ngx_http_image_vault_bulk_delete(item->bulk);
}


static ngx_int_t
ngx_http_image_vault_bulk_answer(ngx_http_image_vault_bulk_t *bulk)
{
    ngx_str_t                          json;
    ngx_uint_t                         i;
    ngx_iv_json_t                      j;
    ngx_http_request_t                *r;
    ngx_http_image_vault_bulk_item_t  *item;

    r = bulk->request;

    ngx_iv_json_init(&j, r->pool, 64 + 64 * bulk->nitems);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_array(&j, "results");

    for (i = 0; i < bulk->nitems; i++) {
        item = &bulk->items[bulk->items[i].same];

        ngx_iv_json_object(&j, NULL);
        ngx_iv_json_str(&j, "id", &bulk->items[i].text);
        ngx_iv_json_bool(&j, "success", item->code == NGX_OK);

        if (item->code != NGX_OK) {
            ngx_iv_json_str(&j, "code", &ngx_iv_code(item->code)->word);

        } else if (bulk->action->sign) {
            ngx_iv_json_str(&j, "url", &item->url);

            ngx_iv_json_date_or_null(&j, "urlExpiresAt",
                                     (int64_t) item->expires * 1000);
        }

        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_array_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bulk->ctx->result = "bulk";
    r->disable_not_modified = 1;

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
