/*
 * The first step of an upload: what the first bytes say, and the document that
 * comes before all others.
 */

#include "upload/ngx_iv_upload_state.h"


static ngx_int_t ngx_iv_upload_describe(ngx_iv_upload_t *u);


void
ngx_iv_upload_sniff(ngx_iv_upload_t *u)
{
    ngx_int_t               rc;
    ngx_iv_ring_t          *ring;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    rc = ngx_iv_ring_sniff(ring);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_OK
        && ring->size <= NGX_IV_UPLOAD_INLINE
        && ring->filled == ring->size)
    {
        /* a small one that is here: a refusal costs no database */

        rc = ngx_iv_ring_check(ring, ring->size, 1);
        if (rc == NGX_OK) {
            ring->checked = ring->size;
            st->passed = 1;
        }
    }

    if (rc != NGX_OK) {
        ngx_iv_upload_refuse(u, rc, ring->image.why);
        return;
    }

    if (st->passed && ngx_iv_upload_digests(u) != NGX_OK) {
        ngx_iv_upload_refuse(u, NGX_IV_DIGEST_MISMATCH,
                             "a declared digest is not that of the body");
        return;
    }

    /* no document for what can't be stored */

    if (ngx_iv_storage_wait(u->params.storage)) {
        ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                             "the storage is not available");
        return;
    }

    if (ngx_iv_upload_describe(u) != NGX_OK) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory or no key");
        return;
    }

    op = ngx_iv_upload_write(u, &st->insert, u->pool);
    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    st->phase = NGX_IV_UPLOAD_STREAM;

    ngx_iv_metadata_insert(op, &u->document);
}


/* the document as it is known before the bytes are */

static ngx_int_t
ngx_iv_upload_describe(ngx_iv_upload_t *u)
{
    u_char             *p;
    ngx_time_t         *tp;
    ngx_iv_image_t     *image;
    const ngx_str_t    *ext;
    ngx_iv_document_t  *doc;

    doc = &u->document;
    image = &u->state->ring->image;
    ext = ngx_iv_image_ext(image->format);
    tp = ngx_timeofday();

    p = ngx_pnalloc(u->pool, NGX_IV_UUID_LEN + 1 + ext->len);

    if (p == NULL
        || ngx_iv_uuid(p) != NGX_OK
        || ngx_iv_object_id(doc->id, tp->sec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p[NGX_IV_UUID_LEN] = '.';
    ngx_memcpy(p + NGX_IV_UUID_LEN + 1, ext->data, ext->len);

    doc->filename.data = p;
    doc->filename.len = NGX_IV_UUID_LEN + 1 + ext->len;

    doc->owner = u->params.owner;
    doc->original_name = u->params.original_name;
    doc->uploaded_from = u->params.uploaded_from;
    doc->is_public = doc->is_public || u->params.is_public;
    doc->content_type = *ngx_iv_image_mime(image->format);
    doc->size = ngx_iv_upload_ended(u) ? (int64_t) u->state->ring->size : 0;
    doc->width = image->width;
    doc->height = image->height;
    doc->uploaded_at = (int64_t) tp->sec * 1000 + (int64_t) tp->msec;
    doc->storage = u->params.storage->conf->name;
    doc->status = NGX_IV_STATUS_UPLOADING;

    /* whatever then becomes of the answer to its beginning */

    doc->multipart = u->state->held;

    return u->params.key(u->params.data, u->pool, &doc->filename, &doc->key);
}
