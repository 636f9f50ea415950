/*
 * GET admin/sweep?report=missing: ready images whose object is gone.  They get
 * a mark by which retrieval answers 410; one whose object is back loses it.
 * Nothing else is changed.
 */

#include "http/ngx_http_image_vault_report.h"


#define NGX_HTTP_IMAGE_VAULT_REPORT_SIDE  8         /* HEADs side by side */


typedef enum {
    NGX_HTTP_IMAGE_VAULT_OBJECT_UNKNOWN = 0,
    NGX_HTTP_IMAGE_VAULT_OBJECT_THERE,
    NGX_HTTP_IMAGE_VAULT_OBJECT_GONE
} ngx_http_image_vault_object_e;

typedef struct {
    ngx_http_image_vault_report_t  *rep;
    ngx_uint_t                      n;
} ngx_http_image_vault_head_t;


static ngx_int_t ngx_http_image_vault_missing_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_missing_heads(
    ngx_http_image_vault_report_t *rep);
static ngx_uint_t ngx_http_image_vault_missing_wanted(
    ngx_http_image_vault_report_t *rep, const ngx_iv_metadata_ref_t *ref);
static void ngx_http_image_vault_missing_headed(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_http_image_vault_missing_judge(
    ngx_http_image_vault_report_t *rep);
static ngx_int_t ngx_http_image_vault_missing_listed(
    ngx_http_image_vault_report_t *rep, ngx_iv_storage_op_t *op);
static ngx_int_t ngx_http_image_vault_missing_known(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_missing_marks(
    ngx_http_image_vault_report_t *rep);
static ngx_int_t ngx_http_image_vault_missing_marked(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_missing_send(
    ngx_http_image_vault_report_t *rep);


ngx_int_t
ngx_http_image_vault_report_missing(ngx_http_image_vault_report_t *rep)
{
    u_char                 after[NGX_IV_ID_LEN];
    ngx_iv_metadata_op_t  *op;

    static const ngx_str_t  cursor = ngx_string("cursor");

    rep->limit = ngx_min(rep->limit, NGX_IV_LIST_MAX);

    ngx_memzero(after, NGX_IV_ID_LEN);

    if (rep->cursor.len) {

        if (rep->cursor.len != NGX_IV_ID_LEN) {
            return ngx_http_image_vault_bad_member(rep->request, &cursor,
                                                 "is not one of this report");
        }

        ngx_memcpy(after, rep->cursor.data, NGX_IV_ID_LEN);
    }

    op = ngx_http_image_vault_ask(rep->request, rep->ctx,
                                  ngx_http_image_vault_missing_found, rep);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_report_documents(op, after, rep->limit);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_missing_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_report_t *rep = data;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    rep->refs = op->refs;
    rep->nrefs = op->nrefs;
    rep->more = (op->count == rep->limit);
    rep->known = ngx_pcalloc(r->pool, rep->nrefs + 1);

    if (rep->known == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_missing_heads(rep);
}


/* as many as may run; NGX_DONE while there are any */

static ngx_int_t
ngx_http_image_vault_missing_heads(ngx_http_image_vault_report_t *rep)
{
    ngx_uint_t                    n;
    ngx_http_request_t           *r;
    ngx_iv_storage_op_t          *op;
    ngx_http_image_vault_head_t  *head;

    r = rep->request;

    while (rep->failed == NGX_OK
           && rep->active < NGX_HTTP_IMAGE_VAULT_REPORT_SIDE
           && rep->begun < rep->nrefs)
    {
        n = rep->begun++;

        if (!ngx_http_image_vault_missing_wanted(rep, &rep->refs[n])) {
            continue;
        }

        head = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_head_t));
        op = ngx_http_image_vault_report_op(rep);

        if (head == NULL || op == NULL) {

            if (op) {
                r->main->count--;
            }

            rep->failed = NGX_IV_INTERNAL;
            break;
        }

        head->rep = rep;
        head->n = n;

        op->key = rep->refs[n].key;
        op->data = head;
        op->handler = ngx_http_image_vault_missing_headed;

        rep->active++;
        rep->checked++;

        ngx_iv_storage_head(op);
    }

    if (rep->active) {
        return NGX_DONE;
    }

    return ngx_http_image_vault_missing_judge(rep);
}


static ngx_uint_t
ngx_http_image_vault_missing_wanted(ngx_http_image_vault_report_t *rep,
    const ngx_iv_metadata_ref_t *ref)
{
    return ref->ready && ref->key.len
           && ngx_iv_equal(&ref->storage, &rep->name)
           && ref->key.len >= rep->prefix.len
           && ngx_strncmp(ref->key.data, rep->prefix.data, rep->prefix.len)
              == 0;
}


static void
ngx_http_image_vault_missing_headed(ngx_iv_storage_op_t *op)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_head_t    *head;
    ngx_http_image_vault_report_t  *rep;

    head = op->data;
    rep = head->rep;
    r = rep->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    rep->active--;

    if (op->code == NGX_OK) {
        rep->known[head->n] = NGX_HTTP_IMAGE_VAULT_OBJECT_THERE;

    } else if (op->code == NGX_IV_NOT_FOUND) {
        rep->known[head->n] = NGX_HTTP_IMAGE_VAULT_OBJECT_GONE;

    } else {
        rep->failed = op->code;
    }

    ngx_http_finalize_request(r, ngx_http_image_vault_missing_heads(rep));

    ngx_http_run_posted_requests(c);
}


/*
 * A HEAD is also 404 if there is no such bucket, or another one, and if a disk
 * is not mounted: before anything is marked, the storage must show that it has
 * an image at all, on this page or among its first objects.
 */

static ngx_int_t
ngx_http_image_vault_missing_judge(ngx_http_image_vault_report_t *rep)
{
    ngx_uint_t            i, there, gone;
    ngx_iv_storage_op_t  *op;

    if (rep->failed != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, rep->failed);
    }

    rep->begun = 0;
    there = 0;
    gone = 0;

    for (i = 0; i < rep->nrefs; i++) {
        there += (rep->known[i] == NGX_HTTP_IMAGE_VAULT_OBJECT_THERE);
        gone += (rep->known[i] == NGX_HTTP_IMAGE_VAULT_OBJECT_GONE);
    }

    if (there || gone == 0) {
        return ngx_http_image_vault_missing_marks(rep);
    }

    op = ngx_http_image_vault_report_op(rep);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rep->next = ngx_http_image_vault_missing_listed;
    op->limit = NGX_IV_STORAGE_LIST;

    ngx_iv_storage_list(op);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_missing_listed(ngx_http_image_vault_report_t *rep,
    ngx_iv_storage_op_t *op)
{
    ngx_uint_t             i;
    ngx_iv_metadata_op_t  *ask;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    if (op->list.nitems == 0) {
        rep->empty = 1;
        return ngx_http_image_vault_missing_marks(rep);
    }

    rep->keys = ngx_palloc(rep->request->pool,
                           op->list.nitems * sizeof(ngx_str_t));
    if (rep->keys == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < op->list.nitems; i++) {
        rep->keys[i] = op->list.items[i].key;
    }

    ask = ngx_http_image_vault_ask(rep->request, rep->ctx,
                                   ngx_http_image_vault_missing_known, rep);
    if (ask == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_report_keys(ask, &rep->name, rep->keys, op->list.nitems);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_missing_known(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_report_t *rep = data;

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    rep->empty = (op->nrefs == 0);

    return ngx_http_image_vault_missing_marks(rep);
}


/* one after the other */

static ngx_int_t
ngx_http_image_vault_missing_marks(ngx_http_image_vault_report_t *rep)
{
    ngx_uint_t              n, gone;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_metadata_ref_t  *ref;

    while (rep->begun < rep->nrefs) {
        n = rep->begun;
        ref = &rep->refs[n];
        gone = (rep->known[n] == NGX_HTTP_IMAGE_VAULT_OBJECT_GONE);

        if (rep->known[n] == NGX_HTTP_IMAGE_VAULT_OBJECT_UNKNOWN
            || ref->missing == gone
            || (gone && rep->empty))
        {
            rep->begun++;
            continue;
        }

        op = ngx_http_image_vault_ask(rep->request, rep->ctx,
                                      ngx_http_image_vault_missing_marked,
                                      rep);
        if (op == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_iv_metadata_report_mark(op, ref->id, gone);

        return NGX_DONE;
    }

    return ngx_http_image_vault_missing_send(rep);
}


static ngx_int_t
ngx_http_image_vault_missing_marked(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_report_t *rep = data;

    ngx_iv_metadata_ref_t  *ref;

    ref = &rep->refs[rep->begun];

    ngx_http_image_vault_audit(r, ctx, ref->missing ? "admin-unmark"
                                                    : "admin-mark",
                               ref->id, &ref->owner, op->code, NULL);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_report_fail(rep, op->code);
    }

    if (op->count == 0) {

        /* deleted meanwhile */

        rep->known[rep->begun] = NGX_HTTP_IMAGE_VAULT_OBJECT_UNKNOWN;

    } else if (ref->missing) {
        ref->missing = 0;
        rep->restored++;

    } else {
        ref->missing = 1;
    }

    rep->begun++;

    return ngx_http_image_vault_missing_marks(rep);
}


static ngx_int_t
ngx_http_image_vault_missing_send(ngx_http_image_vault_report_t *rep)
{
    ngx_str_t               cursor;
    ngx_uint_t              i;
    ngx_iv_json_t           j;
    ngx_iv_metadata_ref_t  *ref;

    ngx_iv_json_init(&j, rep->request->pool, 1024);

    ngx_http_image_vault_report_head(rep, &j);
    ngx_iv_json_int(&j, "restored", (int64_t) rep->restored);
    ngx_iv_json_bool(&j, "emptyStorage", rep->empty);
    ngx_iv_json_array(&j, "images");

    for (i = 0; i < rep->nrefs; i++) {

        if (rep->known[i] != NGX_HTTP_IMAGE_VAULT_OBJECT_GONE) {
            continue;
        }

        ref = &rep->refs[i];

        ngx_iv_json_object(&j, NULL);
        ngx_iv_json_hex(&j, "id", ref->id, NGX_IV_ID_LEN);
        ngx_iv_json_str(&j, "userId", &ref->owner);
        ngx_iv_json_str(&j, "key", &ref->key);
        ngx_iv_json_bool(&j, "marked", ref->missing);
        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_array_end(&j);

    if (!rep->more) {
        return ngx_http_image_vault_report_send(rep, &j, NULL);
    }

    cursor.data = rep->refs[rep->nrefs - 1].id;
    cursor.len = NGX_IV_ID_LEN;

    return ngx_http_image_vault_report_send(rep, &j, &cursor);
}
