/*
 * A PUT that failed with its body on the way.  Some storages keep the part they
 * have and let it appear at any later time, also over a good object of the same
 * key.  So the body goes out again as another object, with a document of its
 * own; the first document becomes error, and the sweep deletes its object,
 * twice.
 */

#include "upload/ngx_iv_upload_state.h"


static ngx_int_t ngx_iv_upload_rename(ngx_iv_upload_t *u);


ngx_int_t
ngx_iv_upload_again(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (!st->put->again) {
        return NGX_DECLINED;
    }

    op = ngx_iv_upload_write(u, &st->left, u->pool);
    if (op == NULL) {
        return NGX_DECLINED;
    }

    /* nobody waits for this one: what it can't do, the sweep does */

    ngx_iv_metadata_fail(op, u->document.id, "sent again under another key");

    ngx_iv_upload_quiet(u);

    /* its quota goes back before the next one asks for it */

    ngx_memcpy(st->left_id, u->document.id, NGX_IV_ID_LEN);

    st->leaving = (st->reserved != 0);
    st->reserved = 0;
    st->reserve.op = NULL;
    st->let_go.op = NULL;
    st->cleared = 0;

    st->before = st->put;
    st->put = NULL;
    st->put_done = 0;
    st->starved = 0;

    st->insert.op = NULL;
    st->insert.done = 0;

    op = NULL;

    if (ngx_iv_upload_rename(u) == NGX_OK) {
        op = ngx_iv_upload_write(u, &st->insert, u->pool);
    }

    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory or no key");
        return NGX_OK;
    }

    ngx_iv_metadata_insert(op, &u->document);

    return NGX_OK;
}


ngx_int_t
ngx_iv_upload_left(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (!st->leaving) {
        return NGX_OK;
    }

    if (!st->left.done) {
        return NGX_AGAIN;
    }

    /* only of a document that is error for certain; else the sweep does it */

    if (st->let_go.op == NULL && st->left.op->code == NGX_OK) {

        op = ngx_iv_upload_write(u, &st->let_go, u->pool);

        if (op != NULL) {
            ngx_iv_metadata_quota_release(op, &u->params.owner, st->left_id);
            return NGX_AGAIN;
        }
    }

    if (st->let_go.op && !st->let_go.done) {
        return NGX_AGAIN;
    }

    st->leaving = 0;

    return NGX_OK;
}


/*
 * Another id, another name.  The key ends with the name, and the caller, who
 * made what is before it, may be gone.
 */

static ngx_int_t
ngx_iv_upload_rename(ngx_iv_upload_t *u)
{
    size_t              prefix;
    u_char             *p;
    ngx_iv_document_t  *doc;

    doc = &u->document;

    if (doc->key.len < doc->filename.len) {
        return NGX_ERROR;
    }

    prefix = doc->key.len - doc->filename.len;

    if (ngx_memcmp(doc->key.data + prefix, doc->filename.data,
                   doc->filename.len)
        != 0)
    {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(u->pool, doc->key.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, doc->key.data, doc->key.len);

    if (ngx_iv_uuid(p + prefix) != NGX_OK
        || ngx_iv_object_id(doc->id, ngx_time()) != NGX_OK)
    {
        return NGX_ERROR;
    }

    doc->key.data = p;
    doc->filename.data = p + prefix;

    return NGX_OK;
}
