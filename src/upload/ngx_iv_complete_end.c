/*
 * The way back, and what follows the answer.  What can't be had is left to the
 * sweep; it must not believe that something was done that was not.
 */

#include "upload/ngx_iv_complete_state.h"


static void ngx_iv_complete_fail(ngx_iv_complete_t *c);
static void ngx_iv_complete_delete(ngx_iv_complete_t *c, const ngx_str_t *key,
    ngx_iv_complete_phase_e next);
static void ngx_iv_complete_begin(ngx_iv_complete_t *c);


void
ngx_iv_complete_end(ngx_iv_complete_t *c)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    switch (st->phase) {

    case NGX_IV_COMPLETE_FAIL:
        ngx_iv_complete_fail(c);
        return;

    case NGX_IV_COMPLETE_DELETE:
        ngx_iv_complete_delete(c, &c->document->key, NGX_IV_COMPLETE_UNSTAGE);
        return;

    case NGX_IV_COMPLETE_UNSTAGE:
        ngx_iv_complete_delete(c, &c->document->staging_key,
                               st->failed ? NGX_IV_COMPLETE_NOTE
                                          : NGX_IV_COMPLETE_OVER);
        return;

    default:
        break;
    }

    if (!st->begun) {
        ngx_iv_complete_begin(c);
        return;
    }

    switch (st->phase) {

    case NGX_IV_COMPLETE_SETTLE:
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_UNSTAGE);
        return;

    case NGX_IV_COMPLETE_RELEASE:
        st->undone &= (st->op->code == NGX_OK);
        ngx_iv_complete_next(c, st->copied ? NGX_IV_COMPLETE_DELETE
                                           : NGX_IV_COMPLETE_UNSTAGE);
        return;

    default: /* NGX_IV_COMPLETE_UNCLAIM, NGX_IV_COMPLETE_NOTE */
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_OVER);
    }
}


static void
ngx_iv_complete_begin(ngx_iv_complete_t *c)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if ((st->phase == NGX_IV_COMPLETE_NOTE && !st->undone)
        || ((st->phase == NGX_IV_COMPLETE_SETTLE
             || st->phase == NGX_IV_COMPLETE_RELEASE)
            && c->params.quota.mode == NGX_IV_QUOTA_OFF))
    {
        ngx_iv_complete_next(c,
            (st->phase == NGX_IV_COMPLETE_NOTE) ? NGX_IV_COMPLETE_OVER
            : (st->phase == NGX_IV_COMPLETE_RELEASE && st->copied)
              ? NGX_IV_COMPLETE_DELETE : NGX_IV_COMPLETE_UNSTAGE);
        return;
    }

    op = ngx_iv_complete_write(c);
    if (op == NULL) {
        return;
    }

    switch (st->phase) {

    case NGX_IV_COMPLETE_UNCLAIM:
        ngx_iv_metadata_direct_unclaim(op, c->params.id);
        return;

    case NGX_IV_COMPLETE_SETTLE:
        ngx_iv_metadata_quota_settle(op, &c->document->owner, c->params.id);
        return;

    case NGX_IV_COMPLETE_RELEASE:
        ngx_iv_metadata_quota_release(op, &c->document->owner, c->params.id);
        return;

    default: /* NGX_IV_COMPLETE_NOTE */
        ngx_iv_metadata_object_deleted(op, c->params.id);
    }
}


static void
ngx_iv_complete_fail(ngx_iv_complete_t *c)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_write(c);

        if (op) {
            ngx_iv_metadata_fail(op, c->params.id,
                                 c->why ? c->why
                                 : (char *) ngx_iv_code(c->code)->word.data);
        }

        return;
    }

    /* not before a majority knows that the image will not be ready */

    if (st->op->code != NGX_OK && st->op->code != NGX_IV_NOT_FOUND) {
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_OVER);
        return;
    }

    st->undone = (st->op->code == NGX_OK);

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_RELEASE);
}


static void
ngx_iv_complete_delete(ngx_iv_complete_t *c, const ngx_str_t *key,
    ngx_iv_complete_phase_e next)
{
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_object(c, key);

        if (op) {
            ngx_iv_storage_delete(op);
        }

        return;
    }

    st->undone &= (st->storage_op->code == NGX_OK);

    ngx_iv_complete_next(c, next);
}
