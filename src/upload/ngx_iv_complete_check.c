/*
 * The staged object, piece by piece: read into one buffer, then hashed and
 * walked in a thread.
 */

#include "upload/ngx_iv_complete_state.h"


static void ngx_iv_complete_check_run(void *ctx, ngx_log_t *log);
static void ngx_iv_complete_check_done(ngx_iv_job_t *job);
static void ngx_iv_complete_check_destroy(void *ctx);
static ngx_int_t ngx_iv_complete_check_piece(ngx_iv_complete_check_t *check);
static void ngx_iv_complete_checked(ngx_iv_complete_t *c);
static ngx_uint_t ngx_iv_complete_is_md5(const ngx_str_t *etag,
    const u_char md5[NGX_IV_MD5_LEN]);


ngx_int_t
ngx_iv_complete_check_create(ngx_iv_complete_t *c)
{
    ngx_iv_job_t             *job;
    ngx_iv_complete_check_t  *check;

    job = ngx_iv_job_create(sizeof(ngx_iv_complete_check_t), c->log);
    if (job == NULL) {
        return NGX_ERROR;
    }

    job->run = ngx_iv_complete_check_run;
    job->done = ngx_iv_complete_check_done;
    job->destroy = ngx_iv_complete_check_destroy;
    job->data = c;

    c->state->job = job;

    check = job->ctx;

    check->buf = ngx_alloc(NGX_IV_COMPLETE_PIECE, c->log);

    if (check->buf == NULL || ngx_iv_hash_init(&check->hash) != NGX_OK) {
        return NGX_ERROR;
    }

    check->hashing = 1;

    ngx_iv_image_init(&check->image, &c->params.limits);

    return NGX_OK;
}


static void
ngx_iv_complete_check_destroy(void *ctx)
{
    ngx_iv_complete_check_t  *check = ctx;

    if (check->buf) {
        ngx_free(check->buf);
    }

    if (check->hashing) {
        ngx_iv_hash_free(&check->hash);
    }
}


void
ngx_iv_complete_read(ngx_iv_complete_t *c)
{
    off_t                     rest;
    ngx_int_t                 code;
    ngx_iv_storage_op_t      *op;
    ngx_iv_complete_check_t  *check;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    check = st->job->ctx;

    if (!st->begun) {

        op = ngx_iv_complete_object(c, &c->document->staging_key);
        if (op == NULL) {
            return;
        }

        rest = (off_t) c->document->size - st->offset;

        op->offset = st->offset;
        op->length = (size_t) ngx_min(rest, NGX_IV_COMPLETE_PIECE);
        op->buf = check->buf;
        op->if_match = st->etag;

        ngx_iv_storage_get(op);
        return;
    }

    code = st->storage_op->code;

    if (code == NGX_OK) {
        check->n = st->storage_op->length;
        st->offset += (off_t) check->n;
        check->last = (st->offset == (off_t) c->document->size);

        ngx_iv_complete_next(c, NGX_IV_COMPLETE_CHECK);
        return;
    }

    if (code == NGX_IV_NOT_FOUND || code == NGX_IV_PRECONDITION_FAILED) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, NGX_IV_CONFLICT,
                               "the staged object was changed");
        return;
    }

    ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM, code,
                           "the staged object could not be read");
}


void
ngx_iv_complete_check(ngx_iv_complete_t *c)
{
    ngx_iv_complete_check_t  *check;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    check = st->job->ctx;

    if (!st->begun) {
        st->begun = 1;

        if (ngx_iv_job_post(st->job, c->params.hash) == NGX_OK) {
            st->checking = 1;
            return;
        }

        /* late is better than never */

        if (!st->slow) {
            st->slow = 1;
            ngx_iv_zone_add(c->params.zone, NGX_IV_COUNT_OVERLOADED, 1);
            ngx_log_error(NGX_LOG_WARN, c->log, 0,
                          "the queue of hashing work is full, "
                          "hashing in the event loop");
        }

        check->rc = ngx_iv_complete_check_piece(check);
    }

    if (check->rc != NGX_OK) {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL, check->rc,
                               check->image.why);
        return;
    }

    if (!check->last) {
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_READ);
        return;
    }

    ngx_iv_complete_checked(c);
}


static void
ngx_iv_complete_check_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_complete_check_t  *check = ctx;

    check->rc = ngx_iv_complete_check_piece(check);
}


static void
ngx_iv_complete_check_done(ngx_iv_job_t *job)
{
    ngx_iv_complete_t        *c;
    ngx_iv_complete_state_t  *st;

    c = job->data;
    st = c->state;

    st->checking = 0;

    if (st->phase == NGX_IV_COMPLETE_CHECK) {
        st->ended = 1;
    }

    ngx_iv_complete_post(c);
}


static ngx_int_t
ngx_iv_complete_check_piece(ngx_iv_complete_check_t *check)
{
    ngx_int_t  rc;

    if (ngx_iv_hash_update(&check->hash, check->buf, check->n) != NGX_OK) {
        return NGX_IV_INTERNAL;
    }

    rc = ngx_iv_image_feed(&check->image, check->buf, check->n);

    if (rc != NGX_OK || !check->last) {
        return rc;
    }

    rc = ngx_iv_image_finish(&check->image);
    if (rc != NGX_OK) {
        return rc;
    }

    return (ngx_iv_hash_final(&check->hash, check->md5, check->sha256)
            == NGX_OK) ? NGX_OK : NGX_IV_INTERNAL;
}


/* all of it is good in itself; is it also what was announced? */

static void
ngx_iv_complete_checked(ngx_iv_complete_t *c)
{
    const ngx_str_t          *mime;
    ngx_iv_complete_check_t  *check;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    check = st->job->ctx;

    mime = ngx_iv_image_mime(check->image.format);

    if (mime->len != c->document->content_type.len
        || ngx_memcmp(mime->data, c->document->content_type.data, mime->len)
           != 0)
    {
        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL,
                               NGX_IV_UNSUPPORTED_TYPE,
                               "the image is of another type than declared");
        return;
    }

    if (!st->opaque && !ngx_iv_complete_is_md5(&st->etag, check->md5)) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "the staged object's ETag \"%V\" is not the MD5 of what "
                      "was read", &st->etag);

        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_UNCLAIM,
                               NGX_IV_STORAGE_UNAVAILABLE,
                               "the ETag is not the MD5");
        return;
    }

    ngx_memcpy(c->document->md5, check->md5, NGX_IV_MD5_LEN);
    ngx_memcpy(c->document->sha256, check->sha256, NGX_IV_SHA256_LEN);

    c->document->has_checksums = 1;
    c->document->width = check->image.width;
    c->document->height = check->image.height;

    ngx_iv_complete_next(c, NGX_IV_COMPLETE_COPY);
}


static ngx_uint_t
ngx_iv_complete_is_md5(const ngx_str_t *etag,
    const u_char md5[NGX_IV_MD5_LEN])
{
    u_char  hex[2 * NGX_IV_MD5_LEN];

    (void) ngx_iv_hex(hex, md5, NGX_IV_MD5_LEN);

    return etag->len == sizeof(hex)
           && ngx_strncasecmp(etag->data, hex, sizeof(hex)) == 0;
}
