/*
 * The way back: the PUT is cut, a multipart upload aborted, the document
 * becomes error, and only when a majority has acknowledged that, the quota is
 * given back and the object deleted.  What can't be had is left to the sweep.
 */

#include "upload/ngx_iv_upload_state.h"


static ngx_int_t ngx_iv_upload_undo_document(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_undo_object(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_undo_note(ngx_iv_upload_t *u);
static void ngx_iv_upload_deleted(ngx_iv_storage_op_t *op);


void
ngx_iv_upload_undo(ngx_iv_upload_t *u)
{
    ngx_int_t               abort, release, object;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->insert.op && !st->insert.done) {
        /* nothing can be said of the document yet */
        return;
    }

    abort = ngx_iv_upload_parts_abort(u);

    switch (ngx_iv_upload_undo_document(u)) {

    case NGX_AGAIN:
        return;

    case NGX_OK:
        break;

    default:
        /* the sweep decides */

        st->enough = 1;

        if (abort != NGX_AGAIN) {
            st->phase = NGX_IV_UPLOAD_OVER;
        }

        return;
    }

    release = ngx_iv_upload_quota_undo(u);

    /* what is aborted can't become an object behind its deletion */

    object = (abort == NGX_AGAIN) ? NGX_AGAIN : ngx_iv_upload_undo_object(u);

    if (release == NGX_AGAIN || object == NGX_AGAIN) {

        if (!st->patience.timer_set && !st->enough) {
            ngx_add_timer(&st->patience, NGX_IV_UPLOAD_PATIENCE);
        }

        return;
    }

    /* the client need not wait for the rest */

    st->enough = 1;

    if (st->patience.timer_set) {
        ngx_del_timer(&st->patience);
    }

    /* of what could not be done the sweep must not believe that it was */

    if (abort == NGX_OK && release == NGX_OK && object == NGX_OK
        && ngx_iv_upload_undo_note(u) == NGX_AGAIN)
    {
        return;
    }

    st->phase = NGX_IV_UPLOAD_OVER;
}


/* NGX_OK: the object may be deleted; NGX_DECLINED: it may not; NGX_AGAIN */

static ngx_int_t
ngx_iv_upload_undo_document(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->insert.op == NULL || st->insert.op->code != NGX_OK || st->unsure) {
        return NGX_DECLINED;
    }

    if (st->fail.op == NULL) {

        op = ngx_iv_upload_write(u, &st->fail, u->pool);
        if (op == NULL) {
            st->unsure = 1;
            return NGX_DECLINED;
        }

        ngx_iv_metadata_fail(op, u->document.id,
                             u->why ? u->why
                                    : (char *) ngx_iv_code(u->code)->word.data);
        return NGX_AGAIN;
    }

    if (!st->fail.done) {
        return NGX_AGAIN;
    }

    if (st->fail.op->code == NGX_OK) {
        return NGX_OK;
    }

    /*
     * The sweep removed the document: only this upload could have made it
     * ready, and that it did not is sure by now, so the object is nobody's.
     */

    if (st->fail.op->code == NGX_IV_NOT_FOUND) {
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* NGX_OK: deleted; NGX_DECLINED: it is not, or there is none; NGX_AGAIN */

static ngx_int_t
ngx_iv_upload_undo_object(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    /* a complete that broke off may have made the object */

    if (st->put == NULL
        && (st->multi.create == NULL || st->multi.create->code != NGX_OK))
    {
        return NGX_DECLINED;
    }

    if (st->del == NULL) {

        st->del = ngx_iv_storage_op_create(u->params.storage, u->pool, u->log);
        if (st->del == NULL) {
            return NGX_DECLINED;
        }

        st->del->key = u->document.key;
        st->del->data = u;
        st->del->handler = ngx_iv_upload_deleted;

        ngx_iv_storage_delete(st->del);

        return NGX_AGAIN;
    }

    if (!st->del_done) {
        return NGX_AGAIN;
    }

    return (st->del->code == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


/* the first delete is told to the sweep; NGX_OK or NGX_AGAIN */

static ngx_int_t
ngx_iv_upload_undo_note(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->fail.op->code != NGX_OK) {
        /* there is no document any more */
        return NGX_OK;
    }

    if (st->noted.op == NULL) {

        op = ngx_iv_upload_write(u, &st->noted, u->pool);
        if (op == NULL) {
            return NGX_OK;
        }

        ngx_iv_metadata_object_deleted(op, u->document.id);

        return NGX_AGAIN;
    }

    return st->noted.done ? NGX_OK : NGX_AGAIN;
}


static void
ngx_iv_upload_deleted(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;

    u = op->data;
    st = u->state;

    st->del_done = 1;

    ngx_iv_upload_post(u);
}


/* the client need not wait any longer */

void
ngx_iv_upload_patience(ngx_event_t *ev)
{
    ngx_iv_upload_t  *u;

    u = ev->data;

    u->state->enough = 1;

    ngx_iv_upload_post(u);
}
