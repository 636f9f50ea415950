/*
 * A body that is longer than one part: an S3 multipart upload.  Its id is noted
 * in the document before the first part is sent, so that the sweep can abort
 * it; parts go one after the other while the next one fills; the last one stays
 * until all checks have passed, and only then it is completed.
 */

#include "upload/ngx_iv_upload_state.h"


static ngx_int_t ngx_iv_upload_parts_begin(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_parts_create(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_parts_note(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_part_next(ngx_iv_upload_t *u, off_t *end);
static void ngx_iv_upload_part_send(ngx_iv_upload_t *u, off_t end);
static ngx_int_t ngx_iv_upload_part_sent(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_part_source(ngx_iv_storage_op_t *op,
    off_t offset, u_char **p, size_t *n);
static void ngx_iv_upload_parts_complete(ngx_iv_upload_t *u);
static void ngx_iv_upload_parts_handler(ngx_iv_storage_op_t *op);


ngx_uint_t
ngx_iv_upload_needs_parts(ngx_iv_upload_t *u)
{
    off_t                   part;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (!st->held || st->put) {
        return 0;
    }

    if (st->multi.create) {
        return 1;
    }

    part = ring->sums.part_size;

    return ring->filled > part
           || (ring->filled == part && st->pressed && !ngx_iv_upload_ended(u));
}


/* this part of a step */

void
ngx_iv_upload_parts(ngx_iv_upload_t *u)
{
    off_t                   end;
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;

    if (ngx_iv_upload_parts_begin(u) != NGX_OK) {
        return;
    }

    if (multi->complete) {
        ngx_iv_upload_parts_complete(u);
        return;
    }

    if (multi->part && ngx_iv_upload_part_sent(u) != NGX_OK) {
        return;
    }

    if (ngx_iv_upload_part_next(u, &end) != NGX_OK) {
        return;
    }

    if (end == multi->sent) {
        ngx_iv_upload_parts_complete(u);
        return;
    }

    if (ngx_iv_upload_quota(u, end) == NGX_OK) {
        ngx_iv_upload_part_send(u, end);
    }
}


/* quota for the first part, then the multipart upload, then its note */

static ngx_int_t
ngx_iv_upload_parts_begin(ngx_iv_upload_t *u)
{
    ngx_int_t               rc;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->multi.create == NULL) {

        rc = ngx_iv_upload_quota(u, st->ring->sums.part_size);

        return (rc == NGX_OK) ? ngx_iv_upload_parts_create(u) : rc;
    }

    if (!st->multi.create_done) {
        return NGX_AGAIN;
    }

    return ngx_iv_upload_parts_note(u);
}


static ngx_int_t
ngx_iv_upload_parts_create(ngx_iv_upload_t *u)
{
    ngx_iv_storage_op_t    *op;

    op = ngx_iv_upload_object(u, u->pool);
    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return NGX_AGAIN;
    }

    op->handler = ngx_iv_upload_parts_handler;

    u->state->multi.create = op;

    ngx_iv_storage_multi_create(op);

    return NGX_AGAIN;
}


static ngx_int_t
ngx_iv_upload_parts_note(ngx_iv_upload_t *u)
{
    ngx_int_t               code;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;

    if (multi->create->code != NGX_OK) {
        ngx_iv_upload_refuse(u, multi->create->code,
                             "the storage began no multipart upload");
        return NGX_AGAIN;
    }

    if (multi->note.op == NULL) {

        op = ngx_iv_upload_write(u, &multi->note, u->pool);
        if (op == NULL) {
            ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
            return NGX_AGAIN;
        }

        ngx_iv_metadata_multipart(op, u->document.id,
                                  &multi->create->upload_id);
        return NGX_AGAIN;
    }

    if (!multi->note.done) {
        return NGX_AGAIN;
    }

    code = multi->note.op->code;

    if (code == NGX_OK) {
        return NGX_OK;
    }

    if (code == NGX_IV_CONFLICT || code == NGX_IV_NOT_FOUND) {
        ngx_iv_upload_swept(u);
        return NGX_AGAIN;
    }

    ngx_iv_upload_refuse(u, code, "the multipart upload could not be noted");

    return NGX_AGAIN;
}


/* NGX_OK: the next part ends at *end, or there is none; NGX_AGAIN: not yet */

static ngx_int_t
ngx_iv_upload_part_next(ngx_iv_upload_t *u, off_t *end)
{
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    *end = st->multi.sent + ring->sums.part_size;

    if (*end < ring->filled) {
        return NGX_OK;
    }

    if (ngx_iv_upload_ended(u)) {

        /* the last one: what has begun to be an image is to be a whole one */

        *end = ring->size;

        return st->cleared ? NGX_OK : NGX_AGAIN;
    }

    return (*end == ring->filled && st->pressed) ? NGX_OK : NGX_AGAIN;
}


static void
ngx_iv_upload_part_send(ngx_iv_upload_t *u, off_t end)
{
    ngx_iv_storage_op_t    *op;
    ngx_iv_upload_state_t  *st;
    ngx_iv_upload_multi_t  *multi;

    st = u->state;
    multi = &st->multi;

    /* there may be thousands of them */

    multi->pool = ngx_create_pool(1024, u->log);
    if (multi->pool == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    op = ngx_iv_storage_op_create(u->params.storage, multi->pool, u->log);
    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    op->key = u->document.key;
    op->upload_id = multi->create->upload_id;
    op->part = multi->parts.nelts + 1;
    op->size = end - multi->sent;
    op->keep = &st->ring->ref;
    op->source = ngx_iv_upload_part_source;
    op->progress = ngx_iv_upload_hold_progress;
    op->handler = ngx_iv_upload_parts_handler;
    op->data = u;

    multi->part = op;
    multi->part_done = 0;
    st->seen = 0;

    ngx_iv_storage_multi_part(op);
}


/* NGX_OK: it is the storage's; NGX_AGAIN */

static ngx_int_t
ngx_iv_upload_part_sent(ngx_iv_upload_t *u)
{
    ngx_iv_storage_op_t    *op;
    ngx_iv_storage_part_t  *part;
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;
    op = multi->part;

    if (!multi->part_done) {
        return NGX_AGAIN;
    }

    u->storage_time += op->time;

    if (op->code != NGX_OK) {
        ngx_iv_upload_refuse(u, op->code, "the storage failed");
        return NGX_AGAIN;
    }

    part = ngx_array_push(&multi->parts);

    if (part == NULL
        || (part->etag.data = ngx_pstrdup(u->pool, &op->etag)) == NULL)
    {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return NGX_AGAIN;
    }

    part->etag.len = op->etag.len;
    part->opaque = op->etag_opaque;

    multi->sent += op->size;

    ngx_destroy_pool(multi->pool);

    multi->pool = NULL;
    multi->part = NULL;

    ngx_iv_upload_hold_trim(u, multi->sent);

    return NGX_OK;
}


/* a part begins only when all its bytes are there */

static ngx_int_t
ngx_iv_upload_part_source(ngx_iv_storage_op_t *op, off_t offset, u_char **p,
    size_t *n)
{
    off_t             begin;
    ngx_iv_upload_t  *u;

    u = op->data;
    begin = u->state->multi.sent;

    return ngx_iv_ring_read(u->state->ring, begin + offset, begin + op->size,
                            p, n);
}


static void
ngx_iv_upload_parts_complete(ngx_iv_upload_t *u)
{
    ngx_uint_t              i;
    u_char                  md5[NGX_IV_MD5_LEN];
    ngx_iv_storage_op_t    *op;
    ngx_iv_upload_sums_t   *sums;
    ngx_iv_storage_part_t  *parts;
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;
    sums = &u->state->ring->sums;
    op = multi->complete;

    if (op && !multi->complete_done) {
        return;
    }

    if (sums->n != multi->parts.nelts
        || ngx_iv_upload_sums_all(sums, md5) != NGX_OK)
    {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "the parts have no sum");
        return;
    }

    if (op) {
        u->storage_time += op->time;
        ngx_iv_upload_stored(u, op, md5, sums->n);
        return;
    }

    parts = multi->parts.elts;

    for (i = 0; i < sums->n; i++) {
        ngx_memcpy(parts[i].md5, sums->md5[i], NGX_IV_MD5_LEN);
    }

    op = ngx_iv_storage_op_create(u->params.storage, u->pool, u->log);
    if (op == NULL) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    op->key = u->document.key;
    op->upload_id = multi->create->upload_id;
    op->parts = parts;
    op->nparts = sums->n;
    op->handler = ngx_iv_upload_parts_handler;
    op->data = u;

    multi->complete = op;

    ngx_iv_storage_multi_complete(op);
}


static void
ngx_iv_upload_parts_handler(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_multi_t  *multi;

    u = op->data;
    multi = &u->state->multi;

    if (op == multi->create) {
        multi->create_done = 1;
        u->storage_time += op->time;

    } else if (op == multi->part) {
        multi->part_done = 1;

    } else if (op == multi->complete) {
        multi->complete_done = 1;

    } else if (op == multi->abort) {
        multi->abort_done = 1;
    }

    ngx_iv_upload_post(u);
}


/* a create is let be: without its answer nobody could abort what it began */

void
ngx_iv_upload_parts_cancel(ngx_iv_upload_t *u)
{
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;

    if (multi->complete && !multi->complete_done) {
        ngx_iv_storage_cancel(multi->complete);
    }

    if (multi->part && !multi->part_done) {
        ngx_iv_storage_cancel(multi->part);
    }

    if (multi->pool) {
        ngx_destroy_pool(multi->pool);
        multi->pool = NULL;
        multi->part = NULL;
    }
}


ngx_int_t
ngx_iv_upload_parts_abort(ngx_iv_upload_t *u)
{
    ngx_iv_storage_op_t    *op;
    ngx_iv_upload_multi_t  *multi;

    multi = &u->state->multi;

    if (multi->create == NULL) {
        return NGX_OK;
    }

    if (!multi->create_done) {
        return NGX_AGAIN;
    }

    if (multi->create->code != NGX_OK
        || (multi->complete_done && multi->complete->code == NGX_OK))
    {
        return NGX_OK;
    }

    if (multi->abort == NULL) {

        op = ngx_iv_storage_op_create(u->params.storage, u->pool, u->log);
        if (op == NULL) {
            return NGX_DECLINED;
        }

        op->key = u->document.key;
        op->upload_id = multi->create->upload_id;
        op->handler = ngx_iv_upload_parts_handler;
        op->data = u;

        multi->abort = op;

        ngx_iv_storage_multi_abort(op);

        return NGX_AGAIN;
    }

    if (!multi->abort_done) {
        return NGX_AGAIN;
    }

    return (multi->abort->code == NGX_OK) ? NGX_OK : NGX_DECLINED;
}
