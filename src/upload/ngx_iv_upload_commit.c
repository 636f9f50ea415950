/*
 * From the stored object to the image: the caller's word, if it is to be waited
 * for, then the document becomes ready; and the heartbeats until then.
 */

#include "upload/ngx_iv_upload_state.h"

/* more is no expiry */
#define NGX_IV_UPLOAD_MAX_DAYS  36500


static void ngx_iv_upload_describe_result(ngx_iv_upload_t *u);


void
ngx_iv_upload_commit(ngx_iv_upload_t *u, const ngx_iv_fields_t *fields)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->phase > NGX_IV_UPLOAD_HELD || st->fault || st->committed) {
        return;
    }

    if (fields && ngx_iv_upload_fields(u, fields) != NGX_OK) {
        ngx_iv_upload_fail(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    st->committed = 1;

    ngx_iv_upload_post(u);
}


ngx_int_t
ngx_iv_upload_fields(ngx_iv_upload_t *u, const ngx_iv_fields_t *fields)
{
    ngx_iv_fields_t     f;
    ngx_iv_document_t  *doc;

    if (ngx_iv_fields_copy(u->pool, &f, fields) != NGX_OK) {
        return NGX_ERROR;
    }

    doc = &u->document;

    doc->tags = f.tags;
    doc->ntags = f.ntags;
    doc->shared_with = f.shared_with;
    doc->nshared = f.nshared;
    doc->expires_at = f.expires_at;
    doc->is_public = u->params.is_public || f.is_public;

    return NGX_OK;
}


void
ngx_iv_upload_held(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (u->params.hold && !st->committed) {
        return;
    }

    ngx_iv_upload_quiet(u);

    st->phase = NGX_IV_UPLOAD_COMMIT;
}


/* what is known only now */

static void
ngx_iv_upload_describe_result(ngx_iv_upload_t *u)
{
    ngx_iv_ring_t          *ring;
    ngx_iv_document_t      *doc;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;
    doc = &u->document;

    doc->size = (int64_t) ring->size;
    doc->width = ring->image.width;
    doc->height = ring->image.height;
    doc->etag = st->put ? st->put->etag : st->multi.complete->etag;
    doc->has_checksums = 1;

    /* each try may have begun one, and a lost one may still do */

    doc->multipart = st->multi.create && st->multi.create->tries > 1;

    ngx_memcpy(doc->md5, ring->md5, NGX_IV_MD5_LEN);
    ngx_memcpy(doc->sha256, ring->sha256, NGX_IV_SHA256_LEN);

    if (doc->expires_at == 0
        && st->default_expiry > 0
        && st->default_expiry <= NGX_IV_UPLOAD_MAX_DAYS)
    {
        doc->expires_at = doc->uploaded_at
                          + st->default_expiry * 24 * 3600 * 1000;
    }
}


void
ngx_iv_upload_ready(ngx_iv_upload_t *u)
{
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->ready.op == NULL) {

        op = ngx_iv_upload_write(u, &st->ready, u->pool);
        if (op == NULL) {
            ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
            return;
        }

        ngx_iv_upload_describe_result(u);

        ngx_iv_metadata_ready(op, &u->document);
        return;
    }

    if (!st->ready.done) {
        return;
    }

    op = st->ready.op;

    if (op->code == NGX_OK) {
        u->document.status = NGX_IV_STATUS_READY;
        st->phase = NGX_IV_UPLOAD_SETTLE;
        return;
    }

    if (op->code == NGX_IV_CONFLICT || op->code == NGX_IV_NOT_FOUND) {
        ngx_iv_upload_swept(u);
        return;
    }

    /* it may be ready: then nothing may be taken back */

    st->unsure = op->unknown;

    ngx_iv_upload_refuse(u, op->code, "the document could not be made ready");
}


void
ngx_iv_upload_swept(ngx_iv_upload_t *u)
{
    ngx_log_error(NGX_LOG_ERR, u->log, 0,
                  "the document was swept while its image was uploaded");

    ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                         "swept while uploading");
}


void
ngx_iv_upload_beat(ngx_event_t *ev)
{
    ngx_iv_upload_t        *u;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    u = ev->data;
    st = u->state;

    ngx_add_timer(ev, u->params.heartbeat);

    if (st->touch_pool) {
        /* the last one has not come back */
        return;
    }

    /* an upload may take hours: each beat frees what it used */

    st->touch_pool = ngx_create_pool(1024, u->log);
    if (st->touch_pool == NULL) {
        return;
    }

    op = ngx_iv_upload_write(u, &st->touch, st->touch_pool);
    if (op == NULL) {
        ngx_destroy_pool(st->touch_pool);
        st->touch_pool = NULL;
        return;
    }

    ngx_iv_metadata_touch(op, u->document.id);
}


void
ngx_iv_upload_beaten(ngx_iv_upload_t *u)
{
    ngx_int_t               code;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    code = st->touch.op->code;

    ngx_destroy_pool(st->touch_pool);

    st->touch_pool = NULL;
    st->touch.op = NULL;
    st->touch.done = 0;

    if (st->phase <= NGX_IV_UPLOAD_HELD
        && (code == NGX_IV_CONFLICT || code == NGX_IV_NOT_FOUND))
    {
        ngx_iv_upload_swept(u);
    }
}


void
ngx_iv_upload_quiet(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->beat.timer_set) {
        ngx_del_timer(&st->beat);
    }

    if (st->touch_pool) {
        ngx_destroy_pool(st->touch_pool);
        st->touch_pool = NULL;
    }

    st->touch.op = NULL;
    st->touch.done = 0;
}
