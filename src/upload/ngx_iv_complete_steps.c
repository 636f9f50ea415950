/*
 * The way from a ticket to an image, but for the pieces in between
 * (ngx_iv_complete_check.c).
 */

#include "upload/ngx_iv_complete_state.h"
#include "formats/ngx_iv_name.h"


/* more is no expiry */
#define NGX_IV_COMPLETE_MAX_DAYS  36500


static void ngx_iv_complete_claimed(ngx_iv_complete_t *c);
static void ngx_iv_complete_copied(ngx_iv_complete_t *c);
static ngx_int_t ngx_iv_complete_etag(ngx_iv_complete_t *c, ngx_str_t *etag);


void
ngx_iv_complete_claim(ngx_iv_complete_t *c)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_write(c);

        if (op) {
            ngx_iv_metadata_direct_claim(op, c->params.id, &c->params.owner);
        }

        return;
    }

    /* what is unknown is the sweep's: another may have the claim */

    if (st->op->code != NGX_OK) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_OVER, st->op->code,
                               "the ticket could not be claimed");
        return;
    }

    c->document = st->op->document;

    if (c->document->status != NGX_IV_STATUS_UPLOADING) {
        c->again = 1;
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_OVER);
        return;
    }

    if (c->params.heartbeat) {
        ngx_add_timer(&st->beat, c->params.heartbeat);
    }

    ngx_iv_complete_claimed(c);
}


static void
ngx_iv_complete_claimed(ngx_iv_complete_t *c)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    /* whoever knows the storages is gone */

    if (!st->caller) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, NGX_IV_TIMEOUT,
                               "the client went away");
        return;
    }

    st->storage = c->params.storage(c->params.data, &c->document->storage);

    if (st->storage == NULL || !ngx_iv_storage_is_direct(st->storage)) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "storage \"%V\" is not configured here, or takes no "
                      "direct uploads", &c->document->storage);

        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM,
                               NGX_IV_STORAGE_UNAVAILABLE,
                               "the storage is not configured");
        return;
    }

    if (ngx_iv_complete_check_create(c) != NGX_OK) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, NGX_IV_INTERNAL,
                               "no memory");
        return;
    }

    ngx_iv_complete_next(c, (c->params.quota.mode == NGX_IV_QUOTA_OFF)
                            ? NGX_IV_COMPLETE_HEAD : NGX_IV_COMPLETE_RESERVE);
}


/* a repetition of the ticket's own: it finds its entry, and tells of expiry */

void
ngx_iv_complete_reserve(ngx_iv_complete_t *c)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_write(c);

        if (op) {
            ngx_iv_metadata_quota_reserve(op, &c->document->owner,
                                          c->params.id, 0, c->document->size,
                                          &c->params.quota);
        }

        return;
    }

    if (st->op->code != NGX_OK) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, st->op->code,
                               "the quota could not be reserved");
        return;
    }

    st->default_expiry = st->op->default_expiry;

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_HEAD);
}


void
ngx_iv_complete_head(ngx_iv_complete_t *c)
{
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_object(c, &c->document->staging_key);

        if (op) {
            ngx_iv_storage_head(op);
        }

        return;
    }

    op = st->storage_op;

    if (op->code == NGX_IV_NOT_FOUND) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, NGX_IV_NOT_READY,
                               "nothing was sent yet");
        return;
    }

    if (op->code != NGX_OK || op->found_size < 0) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM,
                               op->code ? op->code
                                        : NGX_IV_STORAGE_UNAVAILABLE,
                               "the storage does not tell of the object");
        return;
    }

    if (op->found_size != (off_t) c->document->size || op->found_size == 0) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL,
                               NGX_IV_LENGTH_MISMATCH,
                               "the object has not the declared size");
        return;
    }

    /* by it all else is known to be of the same object */

    if (op->etag.len == 0) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM,
                               NGX_IV_STORAGE_UNAVAILABLE,
                               "the storage gives no ETag");
        return;
    }

    if (ngx_iv_complete_etag(c, &st->etag) != NGX_OK) {
        ngx_iv_complete_stuck(c);
        return;
    }

    st->opaque = op->etag_opaque;

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_READ);
}


void
ngx_iv_complete_copy(ngx_iv_complete_t *c)
{
    ngx_int_t                 code;
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (st->begun) {
        code = st->storage_op->code;

        if (code == NGX_OK) {
            ngx_iv_complete_copied(c);
            return;
        }

        if (code == NGX_IV_NOT_FOUND || code == NGX_IV_PRECONDITION_FAILED) {
            st->copied = 0;
            ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM,
                                   NGX_IV_CONFLICT,
                                   "the staged object was changed");
            return;
        }

        if (code == NGX_IV_OVERLOADED) {
            st->copied = 0;
            ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, code,
                                   "the storage is busy");
            return;
        }

        /* it may have been done all the same */

        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL, code,
                               "the object could not be copied");
        return;
    }

    op = ngx_iv_complete_object(c, &c->document->key);
    if (op == NULL) {
        return;
    }

    if (ngx_iv_name_disposition(st->pool, "inline",
                                &c->document->original_name,
                                &op->disposition)
        != NGX_OK)
    {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, NGX_IV_INTERNAL,
                               "no memory");
        return;
    }

    op->content_type = c->document->content_type;
    op->source_key = c->document->staging_key;
    op->if_match = st->etag;

    st->copied = 1;

    ngx_iv_storage_copy(op);
}


static void
ngx_iv_complete_copied(ngx_iv_complete_t *c)
{
    u_char                    hex[2 * NGX_IV_MD5_LEN];
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    op = st->storage_op;

    if (ngx_iv_complete_etag(c, &c->document->etag) != NGX_OK) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL, NGX_IV_INTERNAL,
                               "no memory");
        return;
    }

    if (op->etag_opaque) {
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_VERIFY);
        return;
    }

    (void) ngx_iv_hex(hex, c->document->md5, NGX_IV_MD5_LEN);

    if (c->document->etag.len != sizeof(hex)
        || ngx_strncasecmp(c->document->etag.data, hex, sizeof(hex)) != 0)
    {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "the copy's ETag \"%V\" is not the MD5 of what was "
                      "read, %*s", &c->document->etag, sizeof(hex), hex);

        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL,
                               NGX_IV_STORAGE_UNAVAILABLE,
                               "the ETag is not the MD5");
        return;
    }

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_READY);
}


/* the storage encrypts with a key of its own: at least the size is known */

void
ngx_iv_complete_verify(ngx_iv_complete_t *c)
{
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (!st->begun) {

        op = ngx_iv_complete_object(c, &c->document->key);

        if (op) {
            ngx_iv_storage_head(op);
        }

        return;
    }

    op = st->storage_op;

    if (op->code != NGX_OK || op->found_size != (off_t) c->document->size) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL,
                               (op->code == NGX_OK
                                || op->code == NGX_IV_NOT_FOUND)
                               ? NGX_IV_STORAGE_UNAVAILABLE : op->code,
                               "the copy is not what was read");
        return;
    }

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_READY);
}


void
ngx_iv_complete_ready(ngx_iv_complete_t *c)
{
    ngx_iv_document_t        *doc;
    ngx_iv_metadata_op_t     *op;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    doc = c->document;

    if (!st->begun) {

        if (doc->expires_at == 0
            && st->default_expiry > 0
            && st->default_expiry <= NGX_IV_COMPLETE_MAX_DAYS)
        {
            doc->expires_at = doc->uploaded_at
                              + st->default_expiry * 24 * 3600 * 1000;
        }

        op = ngx_iv_complete_write(c);

        if (op) {
            ngx_iv_metadata_ready(op, doc);
        }

        return;
    }

    op = st->op;

    if (op->code == NGX_OK) {
        doc->status = NGX_IV_STATUS_READY;
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_SETTLE);
        return;
    }

    /* it may be ready: then nothing may be taken back */

    if (op->unknown) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_OVER, op->code,
                               "the document may not be ready");
        return;
    }

    ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL,
                           (op->code == NGX_IV_CONFLICT) ? NGX_IV_NOT_FOUND
                                                         : op->code,
                           "the document could not be made ready");
}


/* of the phase's operation; NGX_OK or NGX_ERROR (memory) */

static ngx_int_t
ngx_iv_complete_etag(ngx_iv_complete_t *c, ngx_str_t *etag)
{
    ngx_str_t  *from;

    from = &c->state->storage_op->etag;

    ngx_str_null(etag);

    if (from->len == 0) {
        return NGX_OK;
    }

    etag->data = ngx_pstrdup(c->pool, from);
    if (etag->data == NULL) {
        return NGX_ERROR;
    }

    etag->len = from->len;

    return NGX_OK;
}
