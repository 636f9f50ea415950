/*
 * The way of the bytes: checked by a thread and sent by the storage side by
 * side, the last buffer only when all of them are good.
 */

#include "upload/ngx_iv_upload_state.h"
#include "formats/ngx_iv_name.h"


/* a check of the ring in a thread */
typedef struct {
    ngx_iv_ring_t  *ring;           /* held until destroy() */
    off_t           to;
    ngx_int_t       rc;
} ngx_iv_upload_check_t;


static void ngx_iv_upload_check(ngx_iv_upload_t *u);
static void ngx_iv_upload_checked(ngx_iv_upload_t *u, off_t to, ngx_int_t rc);
static ngx_int_t ngx_iv_upload_check_post(ngx_iv_upload_t *u);
static void ngx_iv_upload_check_run(void *ctx, ngx_log_t *log);
static void ngx_iv_upload_check_done(ngx_iv_job_t *job);
static void ngx_iv_upload_check_destroy(void *ctx);

static void ngx_iv_upload_put(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_source(ngx_iv_storage_op_t *op, off_t offset,
    u_char **p, size_t *n);
static off_t ngx_iv_upload_limit(ngx_iv_upload_t *u);
static void ngx_iv_upload_progress(ngx_iv_storage_op_t *op);
static void ngx_iv_upload_stored(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_upload_etag(ngx_iv_upload_t *u);


void
ngx_iv_upload_stream(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->insert.done && st->insert.op->code != NGX_OK) {
        ngx_iv_upload_refuse(u, st->insert.op->code,
                             "the document could not be inserted");
        return;
    }

    ngx_iv_upload_check(u);

    if (st->phase != NGX_IV_UPLOAD_STREAM) {
        return;
    }

    if (st->put == NULL) {

        /* what fits into the ring is sent when it is known to be good */

        if (st->insert.done
            && (st->passed || st->ring->size > (off_t) st->ring->cap))
        {
            ngx_iv_upload_put(u);
        }

        return;
    }

    if (!st->put_done) {

        if (st->starved && st->put->sent < ngx_iv_upload_limit(u)) {
            st->starved = 0;
            ngx_iv_storage_wake(st->put);
        }

        return;
    }

    u->storage_time = st->put->time;

    if (st->put->code != NGX_OK) {

        if (ngx_iv_upload_again(u) == NGX_OK) {
            return;
        }

        ngx_iv_upload_refuse(u, st->put->code, "the storage failed");
        return;
    }

    if (!st->passed) {
        ngx_log_error(NGX_LOG_ERR, u->log, 0,
                      "the storage took the object before it was sent whole");
        ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                             "the storage answered too early");
        return;
    }

    if (ngx_iv_upload_etag(u) != NGX_OK) {
        ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                             "the storage's ETag is not the MD5");
        return;
    }

    ngx_iv_upload_quiet(u);

    st->phase = NGX_IV_UPLOAD_COMMIT;
}


/* hashing and walking: in a thread, but for little bodies */

static void
ngx_iv_upload_check(ngx_iv_upload_t *u)
{
    off_t                   left;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (st->checking || st->passed) {
        return;
    }

    left = ring->filled - ring->checked;

    if (ring->filled < ring->size
        && (ring->size <= (off_t) ring->cap || left < NGX_IV_UPLOAD_BUFFER))
    {
        return;
    }

    if (ring->size > NGX_IV_UPLOAD_INLINE) {

        if (ngx_iv_upload_check_post(u) == NGX_OK) {
            st->checking = 1;
            return;
        }

        /* late is better than never */

        if (!st->slow) {
            st->slow = 1;
            ngx_iv_zone_add(u->params.zone, NGX_IV_COUNT_OVERLOADED, 1);
            ngx_log_error(NGX_LOG_WARN, u->log, 0,
                          "the queue of hashing work is full, "
                          "hashing in the event loop");
        }
    }

    ngx_iv_upload_checked(u, ring->filled,
                          ngx_iv_ring_check(ring, ring->filled));
}


static void
ngx_iv_upload_checked(ngx_iv_upload_t *u, off_t to, ngx_int_t rc)
{
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (rc == NGX_OK) {
        ring->checked = to;
        st->passed = (to == ring->size);
        return;
    }

    if (st->phase == NGX_IV_UPLOAD_STREAM) {
        ngx_iv_upload_refuse(u, rc, ring->image.why);
    }
}


static ngx_int_t
ngx_iv_upload_check_post(ngx_iv_upload_t *u)
{
    ngx_iv_job_t           *job;
    ngx_iv_upload_check_t  *check;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    job = st->job;

    if (job == NULL) {
        job = ngx_iv_job_create(sizeof(ngx_iv_upload_check_t), u->log);
        if (job == NULL) {
            return NGX_ERROR;
        }

        check = job->ctx;
        check->ring = st->ring;
        ngx_iv_ref_take(&check->ring->ref);

        job->run = ngx_iv_upload_check_run;
        job->done = ngx_iv_upload_check_done;
        job->destroy = ngx_iv_upload_check_destroy;
        job->data = u;

        st->job = job;
    }

    check = job->ctx;
    check->to = st->ring->filled;

    return ngx_iv_job_post(job, u->params.hash);
}


static void
ngx_iv_upload_check_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_upload_check_t  *check = ctx;

    check->rc = ngx_iv_ring_check(check->ring, check->to);
}


static void
ngx_iv_upload_check_done(ngx_iv_job_t *job)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_check_t  *check;

    u = job->data;
    check = job->ctx;

    u->state->checking = 0;

    ngx_iv_upload_checked(u, check->to, check->rc);

    ngx_iv_upload_post(u);
}


static void
ngx_iv_upload_check_destroy(void *ctx)
{
    ngx_iv_upload_check_t  *check = ctx;

    ngx_iv_ref_drop(&check->ring->ref);
}


static void
ngx_iv_upload_put(ngx_iv_upload_t *u)
{
    u_char                 *p;
    ngx_iv_storage_op_t    *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    op = ngx_iv_storage_op_create(u->params.storage, u->pool, u->log);

    if (op == NULL
        || ngx_iv_name_disposition(u->pool, "inline",
                                   &u->document.original_name,
                                   &op->disposition)
           != NGX_OK)
    {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    if (st->passed) {

        /* all of it is known: the signature covers the very bytes */

        p = ngx_pnalloc(u->pool, 2 * NGX_IV_SHA256_LEN);
        if (p == NULL) {
            ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
            return;
        }

        (void) ngx_iv_hex(p, st->ring->sha256, NGX_IV_SHA256_LEN);

        op->sha256.data = p;
        op->sha256.len = 2 * NGX_IV_SHA256_LEN;
    }

    op->key = u->document.key;
    op->size = u->params.size;
    op->content_type = u->document.content_type;
    op->keep = &st->ring->ref;
    op->source = ngx_iv_upload_source;
    op->progress = ngx_iv_upload_progress;
    op->handler = ngx_iv_upload_stored;
    op->data = u;
    op->rekey = 1;

    if (st->before) {
        op->tries = st->before->tries;
        op->retries = st->before->retries;
        op->wait = st->before->wait;
    }

    st->put = op;

    ngx_iv_storage_put(op);
}


/* what may leave: the last buffer stays until all has been checked */

static off_t
ngx_iv_upload_limit(ngx_iv_upload_t *u)
{
    ngx_iv_ring_t  *ring;

    ring = u->state->ring;

    if (u->state->passed) {
        return ring->size;
    }

    return ngx_min(ring->filled, ring->size - NGX_IV_UPLOAD_BUFFER);
}


static ngx_int_t
ngx_iv_upload_source(ngx_iv_storage_op_t *op, off_t offset, u_char **p,
    size_t *n)
{
    ngx_int_t         rc;
    ngx_iv_upload_t  *u;

    u = op->data;

    rc = ngx_iv_ring_read(u->state->ring, offset, ngx_iv_upload_limit(u), p, n);

    u->state->starved = (rc == NGX_AGAIN);

    return rc;
}


static void
ngx_iv_upload_progress(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_post(op->data);
}


static void
ngx_iv_upload_stored(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_t  *u;

    u = op->data;

    u->state->put_done = 1;

    ngx_iv_upload_post(u);
}


/* the storage's own word for what it has */

static ngx_int_t
ngx_iv_upload_etag(ngx_iv_upload_t *u)
{
    u_char                *p, hex[2 * NGX_IV_MD5_LEN];
    ngx_iv_storage_op_t   *put;
    static ngx_uint_t      told;

    put = u->state->put;

    if (u->params.storage->conf->type == NGX_IV_STORAGE_LOCAL) {
        return NGX_OK;
    }

    if (put->etag_opaque) {

        if (!told) {
            told = 1;
            ngx_log_error(NGX_LOG_WARN, u->log, 0,
                          "the storage encrypts with a key of its own, so its "
                          "ETag is not the MD5 and tells nothing of what "
                          "arrived");
        }

        return NGX_OK;
    }

    p = ngx_iv_hex(hex, u->state->ring->md5, NGX_IV_MD5_LEN);

    if (put->etag.len == (size_t) (p - hex)
        && ngx_strncasecmp(put->etag.data, hex, put->etag.len) == 0)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, u->log, 0,
                  "the storage's ETag \"%V\" is not the MD5 of what was "
                  "sent, %*s", &put->etag, (size_t) (p - hex), hex);

    return NGX_ERROR;
}
