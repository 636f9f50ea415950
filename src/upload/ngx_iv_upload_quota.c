/*
 * The owner's quota: reserved before bytes leave, settled when the image is
 * ready, given back when it failed.  Every update is filtered by the upload's
 * own entry; what can't be had is left to the sweep.
 */

#include "upload/ngx_iv_upload_state.h"


static ngx_int_t ngx_iv_upload_quota_reserved(ngx_iv_upload_t *u);


ngx_int_t
ngx_iv_upload_quota(ngx_iv_upload_t *u, off_t n)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (u->params.quota.mode == NGX_IV_QUOTA_OFF) {
        return NGX_OK;
    }

    if (ngx_iv_upload_left(u) != NGX_OK) {
        return NGX_AGAIN;
    }

    if (st->reserve.op && ngx_iv_upload_quota_reserved(u) != NGX_OK) {
        return NGX_AGAIN;
    }

    if (n <= st->reserved) {
        return NGX_OK;
    }

    op = ngx_iv_upload_write(u, &st->reserve, u->pool);
    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return NGX_AGAIN;
    }

    st->reserving = n;

    ngx_iv_metadata_quota_reserve(op, &u->params.owner, u->document.id,
                                  (int64_t) st->reserved, (int64_t) n,
                                  &u->params.quota);
    return NGX_AGAIN;
}


static ngx_int_t
ngx_iv_upload_quota_reserved(ngx_iv_upload_t *u)
{
    ngx_int_t               code;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    op = st->reserve.op;

    if (!st->reserve.done) {
        return NGX_AGAIN;
    }

    code = op->code;

    if (code == NGX_OK) {
        st->reserved = st->reserving;
        st->default_expiry = op->default_expiry;
        st->reserve.op = NULL;

        return NGX_OK;
    }

    if (code == NGX_IV_QUOTA_EXCEEDED) {
        u->quota_used = op->used;
        u->quota_limit = op->limit;
        u->quota_needed = (int64_t) st->reserving;

        ngx_iv_upload_refuse(u, code, "the owner's quota is used up");

    } else if (code == NGX_IV_FORBIDDEN) {
        ngx_iv_upload_refuse(u, code, "the owner has no document");

    } else {
        ngx_iv_upload_refuse(u, code, "the quota could not be reserved");
    }

    return NGX_AGAIN;
}


ngx_int_t
ngx_iv_upload_quota_undo(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->reserve.op && !st->reserve.done) {
        /* it would come after its own release */
        return NGX_AGAIN;
    }

    if (st->reserved == 0
        && (st->reserve.op == NULL
            || (st->reserve.op->code != NGX_OK && !st->reserve.op->unknown)))
    {
        return NGX_OK;
    }

    if (st->release.op == NULL) {

        op = ngx_iv_upload_write(u, &st->release, u->pool);
        if (op == NULL) {
            return NGX_DECLINED;
        }

        ngx_iv_metadata_quota_release(op, &u->params.owner, u->document.id);

        return NGX_AGAIN;
    }

    if (!st->release.done) {
        return NGX_AGAIN;
    }

    return (st->release.op->code == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


/* after the answer: what is left undone here the sweep does */

void
ngx_iv_upload_settle(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->reserved == 0) {
        st->phase = NGX_IV_UPLOAD_OVER;
        return;
    }

    if (st->settle.op == NULL) {

        op = ngx_iv_upload_write(u, &st->settle, u->pool);
        if (op == NULL) {
            st->phase = NGX_IV_UPLOAD_OVER;
            return;
        }

        ngx_iv_metadata_quota_settle(op, &u->params.owner, u->document.id);

        return;
    }

    if (st->settle.done) {
        st->phase = NGX_IV_UPLOAD_OVER;
    }
}
