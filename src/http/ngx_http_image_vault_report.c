/*
 * GET admin/sweep?report=objects, report=uploads: what a storage holds and no
 * document knows of.  Nothing is changed.
 *
 * Objects are listed first and documents asked for then: a document comes
 * before its object, so that an upload under way has one by the time it is
 * looked for.  It goes after its object, too: what looks like a stray may have
 * been deleted in between, and is listed once more before it is told of.
 */

#include "http/ngx_http_image_vault_report.h"
#include "formats/ngx_iv_args.h"


#define NGX_HTTP_IMAGE_VAULT_REPORT_LIMIT  100      /* by default */


static ngx_int_t ngx_http_image_vault_report_kind(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_name(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_prefix(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_age(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_limit(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_cursor(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_report_storage(
    ngx_http_image_vault_report_t *rep);
static void ngx_http_image_vault_report_stored(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_http_image_vault_report_list(
    ngx_http_image_vault_report_t *rep, ngx_http_image_vault_report_pt next);
static ngx_int_t ngx_http_image_vault_report_listed(
    ngx_http_image_vault_report_t *rep, ngx_iv_storage_op_t *op);
static ngx_int_t ngx_http_image_vault_report_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_uint_t ngx_http_image_vault_report_known(
    ngx_http_image_vault_report_t *rep, const ngx_iv_metadata_op_t *op,
    const ngx_iv_s3_listed_t *item);
static ngx_uint_t ngx_http_image_vault_report_stray(
    ngx_http_image_vault_report_t *rep, ngx_uint_t i);
static ngx_int_t ngx_http_image_vault_report_again(
    ngx_http_image_vault_report_t *rep, ngx_iv_storage_op_t *op);
static ngx_int_t ngx_http_image_vault_report_objects(
    ngx_http_image_vault_report_t *rep);
static ngx_int_t ngx_http_image_vault_report_uploads(
    ngx_http_image_vault_report_t *rep);


static const char  *ngx_http_image_vault_report_names[] = {
    "objects", "uploads", "missing", NULL
};


static const ngx_http_image_vault_arg_t  ngx_http_image_vault_report_args[] = {

    { ngx_string("report"), ngx_http_image_vault_report_kind,
      "must be objects, uploads or missing", 0 },

    { ngx_string("storage"), ngx_http_image_vault_report_name,
      "must be the name of a storage of this node", 0 },

    { ngx_string("prefix"), ngx_http_image_vault_report_prefix,
      "must be the beginning of a key, at most 1024 bytes", 0 },

    { ngx_string("age"), ngx_http_image_vault_report_age,
      "must be a time, such as 15m", 0 },

    { ngx_string("limit"), ngx_http_image_vault_report_limit,
      "must be a number from 1 on", 0 },

    { ngx_string("cursor"), ngx_http_image_vault_report_cursor,
      "is not one of this report", 0 },

    { ngx_null_string, NULL, NULL, 0 }
};


ngx_int_t
ngx_http_image_vault_report(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_http_image_vault_report_t  *rep;

    static const ngx_str_t  storage = ngx_string("storage");

    rep = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_report_t));
    if (rep == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rep->request = r;
    rep->ctx = ctx;
    rep->kind = NGX_HTTP_IMAGE_VAULT_REPORT_NONE;
    rep->limit = NGX_HTTP_IMAGE_VAULT_REPORT_LIMIT;

    /* they are compared and searched, which a null pointer must not be */
    ngx_str_set(&rep->prefix, "");
    ngx_str_set(&rep->cursor, "");

    rc = ngx_http_image_vault_args(r, ngx_http_image_vault_report_args, rep);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_NONE) {
        return NGX_DECLINED;
    }

    if (ngx_http_image_vault_report_storage(rep) != NGX_OK) {
        return ngx_http_image_vault_bad_member(r, &storage,
                                "must be the name of a storage of this node");
    }

    if (rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_MISSING) {
        return ngx_http_image_vault_report_missing(rep);
    }

    return ngx_http_image_vault_report_list(rep,
                                           ngx_http_image_vault_report_listed);
}


static ngx_int_t
ngx_http_image_vault_report_kind(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    ngx_int_t  n;

    n = ngx_iv_args_word(value, ngx_http_image_vault_report_names);

    if (n == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    rep->kind = (ngx_http_image_vault_report_e) n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_report_name(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    rep->name = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_report_prefix(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    if (!ngx_iv_args_text(value, NGX_IV_S3_KEY_MAX)) {
        return NGX_DECLINED;
    }

    rep->prefix = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_report_age(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    ngx_int_t  sec;

    sec = ngx_parse_time((ngx_str_t *) value, 1);

    if (sec == NGX_ERROR) {
        return NGX_DECLINED;
    }

    rep->age = (int64_t) sec * 1000;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_report_limit(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    return ngx_iv_args_limit(value, NGX_IV_STORAGE_LIST, &rep->limit);
}


static ngx_int_t
ngx_http_image_vault_report_cursor(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_report_t *rep = data;

    return ngx_http_image_vault_set_after(&rep->cursor, value);
}


static ngx_int_t
ngx_http_image_vault_report_storage(ngx_http_image_vault_report_t *rep)
{
    ngx_uint_t                        i;
    ngx_http_image_vault_worker_t    *w;
    ngx_http_image_vault_loc_conf_t  *lcf;

    w = ngx_http_image_vault_worker;

    if (rep->name.len) {
        i = ngx_http_image_vault_storage_find(w->conf, &rep->name);

    } else {
        lcf = ngx_http_get_module_loc_conf(rep->request,
                                           ngx_http_image_vault_module);
        i = lcf->storage;
    }

    if (i >= w->conf->storages.nelts) {
        return NGX_DECLINED;
    }

    rep->storage = w->storages[i];
    rep->name = rep->storage->conf->name;

    return NGX_OK;
}


ngx_iv_storage_op_t *
ngx_http_image_vault_report_op(ngx_http_image_vault_report_t *rep)
{
    ngx_http_request_t   *r;
    ngx_iv_storage_op_t  *op;

    r = rep->request;

    op = ngx_iv_storage_op_create(rep->storage, r->pool, r->connection->log);
    if (op == NULL) {
        return NULL;
    }

    op->data = rep;
    op->handler = ngx_http_image_vault_report_stored;

    r->main->count++;

    return op;
}


static void
ngx_http_image_vault_report_stored(ngx_iv_storage_op_t *op)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_report_t  *rep;

    rep = op->data;
    r = rep->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_finalize_request(r, rep->next(rep, op));

    ngx_http_run_posted_requests(c);
}


/* a cursor is the last key; of uploads, behind a NUL, the last upload, too */

static ngx_int_t
ngx_http_image_vault_report_list(ngx_http_image_vault_report_t *rep,
    ngx_http_image_vault_report_pt next)
{
    u_char               *nul;
    ngx_iv_storage_op_t  *op;

    op = ngx_http_image_vault_report_op(rep);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rep->next = next;

    op->limit = rep->limit;
    op->prefix = rep->prefix;
    op->after = rep->cursor;

    if (rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_OBJECTS) {
        ngx_iv_storage_list(op);
        return NGX_DONE;
    }

    nul = ngx_strlchr(op->after.data, op->after.data + op->after.len, '\0');

    if (nul) {
        op->after_upload.data = nul + 1;
        op->after_upload.len = op->after.data + op->after.len - (nul + 1);
        op->after.len = nul - op->after.data;
    }

    ngx_iv_storage_uploads(op);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_report_listed(ngx_http_image_vault_report_t *rep,
    ngx_iv_storage_op_t *op)
{
    ngx_uint_t             i;
    ngx_iv_metadata_op_t  *ask;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    rep->list = op->list;
    rep->checked = rep->list.nitems;

    rep->keys = ngx_palloc(rep->request->pool,
                           (rep->list.nitems + 1) * sizeof(ngx_str_t));
    rep->known = ngx_pcalloc(rep->request->pool, rep->list.nitems + 1);

    if (rep->keys == NULL || rep->known == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < rep->list.nitems; i++) {
        rep->keys[i] = rep->list.items[i].key;
    }

    ask = ngx_http_image_vault_ask(rep->request, rep->ctx,
                                   ngx_http_image_vault_report_told, rep);
    if (ask == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_report_keys(ask, &rep->name, rep->keys, rep->list.nitems);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_report_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_report_t *rep = data;

    ngx_uint_t  i, strays;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    strays = 0;

    for (i = 0; i < rep->list.nitems; i++) {
        rep->known[i] = (u_char) ngx_http_image_vault_report_known(rep, op,
                                                      &rep->list.items[i]);
        strays += ngx_http_image_vault_report_stray(rep, i);
    }

    if (rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_UPLOADS) {
        return ngx_http_image_vault_report_uploads(rep);
    }

    if (strays == 0) {
        return ngx_http_image_vault_report_objects(rep);
    }

    return ngx_http_image_vault_report_list(rep,
                                            ngx_http_image_vault_report_again);
}


static ngx_uint_t
ngx_http_image_vault_report_known(ngx_http_image_vault_report_t *rep,
    const ngx_iv_metadata_op_t *op, const ngx_iv_s3_listed_t *item)
{
    ngx_uint_t                    i;
    const ngx_iv_metadata_ref_t  *ref;

    for (i = 0; i < op->nrefs; i++) {
        ref = &op->refs[i];

        if (rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_OBJECTS
            && ref->staging_key.len
            && ngx_iv_equal(&ref->staging_key, &item->key))
        {
            return 1;
        }

        if (!ngx_iv_equal(&ref->key, &item->key)) {
            continue;
        }

        /* an image may have other uploads than that which made it */

        if (item->upload_id.len == 0
            || ngx_iv_equal(&ref->upload_id, &item->upload_id))
        {
            return 1;
        }
    }

    return 0;
}


/* old enough, and without a document */

static ngx_uint_t
ngx_http_image_vault_report_stray(ngx_http_image_vault_report_t *rep,
    ngx_uint_t i)
{
    if (rep->known[i] && rep->kind == NGX_HTTP_IMAGE_VAULT_REPORT_OBJECTS) {
        return 0;
    }

    return rep->list.items[i].at <= ngx_iv_now() - rep->age;
}


/* both pages are in the order of their keys */

static ngx_int_t
ngx_http_image_vault_report_again(ngx_http_image_vault_report_t *rep,
    ngx_iv_storage_op_t *op)
{
    ngx_uint_t   i, k;
    ngx_str_t   *key;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    k = 0;

    for (i = 0; i < rep->list.nitems; i++) {
        key = &rep->list.items[i].key;

        while (k < op->list.nitems
               && ngx_memn2cmp(op->list.items[k].key.data, key->data,
                               op->list.items[k].key.len, key->len)
                  < 0)
        {
            k++;
        }

        if (k == op->list.nitems
            || !ngx_iv_equal(&op->list.items[k].key, key))
        {
            rep->known[i] = 1;
        }
    }

    return ngx_http_image_vault_report_objects(rep);
}


static ngx_int_t
ngx_http_image_vault_report_objects(ngx_http_image_vault_report_t *rep)
{
    ngx_str_t            *cursor;
    ngx_uint_t            i;
    ngx_iv_json_t         j;
    ngx_iv_s3_listed_t   *item;

    cursor = NULL;

    ngx_iv_json_init(&j, rep->request->pool, 1024);

    ngx_http_image_vault_report_head(rep, &j);
    ngx_iv_json_array(&j, "objects");

    for (i = 0; i < rep->list.nitems; i++) {
        item = &rep->list.items[i];

        if (!ngx_http_image_vault_report_stray(rep, i)) {
            continue;
        }

        ngx_iv_json_object(&j, NULL);
        ngx_iv_json_str(&j, "key", &item->key);
        ngx_iv_json_int(&j, "size", ngx_max(item->size, 0));
        ngx_iv_json_date_or_null(&j, "lastModified", item->at);
        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_array_end(&j);

    if (rep->list.more && rep->list.nitems) {
        cursor = &rep->list.items[rep->list.nitems - 1].key;
    }

    return ngx_http_image_vault_report_send(rep, &j, cursor);
}


static ngx_int_t
ngx_http_image_vault_report_uploads(ngx_http_image_vault_report_t *rep)
{
    u_char              *p;
    ngx_str_t            cursor, *key, *upload;
    ngx_uint_t           i;
    ngx_iv_json_t        j;
    ngx_iv_s3_listed_t  *item;

    ngx_iv_json_init(&j, rep->request->pool, 1024);

    ngx_http_image_vault_report_head(rep, &j);
    ngx_iv_json_array(&j, "uploads");

    for (i = 0; i < rep->list.nitems; i++) {
        item = &rep->list.items[i];

        if (!ngx_http_image_vault_report_stray(rep, i)) {
            continue;
        }

        ngx_iv_json_object(&j, NULL);
        ngx_iv_json_str(&j, "key", &item->key);

        if (item->upload_id.len) {
            ngx_iv_json_str(&j, "uploadId", &item->upload_id);

        } else {
            ngx_iv_json_null(&j, "uploadId");
        }

        ngx_iv_json_date_or_null(&j, "initiated", item->at);
        ngx_iv_json_bool(&j, "documented", rep->known[i]);
        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_array_end(&j);

    if (!rep->list.more) {
        return ngx_http_image_vault_report_send(rep, &j, NULL);
    }

    key = &rep->list.next_key;
    upload = &rep->list.next_upload;

    if (key->len == 0 && rep->list.nitems) {
        key = &rep->list.items[rep->list.nitems - 1].key;
        upload = &rep->list.items[rep->list.nitems - 1].upload_id;
    }

    p = ngx_pnalloc(rep->request->pool, key->len + 1 + upload->len);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cursor.data = p;
    p = ngx_cpymem(p, key->data, key->len);

    if (upload->len) {
        *p++ = '\0';
        p = ngx_cpymem(p, upload->data, upload->len);
    }

    cursor.len = p - cursor.data;

    return ngx_http_image_vault_report_send(rep, &j,
                                            cursor.len ? &cursor : NULL);
}


ngx_int_t
ngx_http_image_vault_report_fail(ngx_http_image_vault_report_t *rep,
    ngx_int_t code)
{
    ngx_str_t  detail;

    detail.data = (u_char *) ngx_http_image_vault_report_names[rep->kind];
    detail.len = ngx_strlen(detail.data);

    ngx_http_image_vault_audit(rep->request, rep->ctx, "admin-report", NULL,
                               NULL, code, &detail);

    return ngx_http_image_vault_error(rep->request, code, NULL);
}


void
ngx_http_image_vault_report_head(ngx_http_image_vault_report_t *rep,
    ngx_iv_json_t *j)
{
    ngx_iv_json_object(j, NULL);
    ngx_iv_json_bool(j, "success", 1);
    ngx_iv_json_cstr(j, "report",
                     ngx_http_image_vault_report_names[rep->kind]);
    ngx_iv_json_str(j, "storage", &rep->name);
    ngx_iv_json_int(j, "checked", (int64_t) rep->checked);
}


ngx_int_t
ngx_http_image_vault_report_send(ngx_http_image_vault_report_t *rep,
    ngx_iv_json_t *j, const ngx_str_t *cursor)
{
    ngx_str_t            detail, json;
    ngx_http_request_t  *r;

    r = rep->request;

    if (ngx_http_image_vault_json_next(r, j, cursor) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_json_object_end(j);

    if (ngx_iv_json_done(j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    detail.data = (u_char *) ngx_http_image_vault_report_names[rep->kind];
    detail.len = ngx_strlen(detail.data);

    ngx_http_image_vault_audit(r, rep->ctx, "admin-report", NULL, NULL, NGX_OK,
                               &detail);

    rep->ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
