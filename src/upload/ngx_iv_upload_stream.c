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
    ngx_uint_t      last;
    ngx_int_t       rc;
} ngx_iv_upload_check_t;


static void ngx_iv_upload_check(ngx_iv_upload_t *u);
static void ngx_iv_upload_checked(ngx_iv_upload_t *u, off_t to,
    ngx_uint_t last, ngx_int_t rc);
static ngx_int_t ngx_iv_upload_check_post(ngx_iv_upload_t *u);
static void ngx_iv_upload_check_run(void *ctx, ngx_log_t *log);
static void ngx_iv_upload_check_done(ngx_iv_job_t *job);
static void ngx_iv_upload_check_destroy(void *ctx);

static void ngx_iv_upload_single(ngx_iv_upload_t *u);
static ngx_uint_t ngx_iv_upload_may_put(ngx_iv_upload_t *u);
static void ngx_iv_upload_put(ngx_iv_upload_t *u);
static ngx_int_t ngx_iv_upload_payload(ngx_iv_upload_t *u,
    ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_upload_source(ngx_iv_storage_op_t *op, off_t offset,
    u_char **p, size_t *n);
static off_t ngx_iv_upload_limit(ngx_iv_upload_t *u);
static void ngx_iv_upload_put_end(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_upload_etag(ngx_iv_upload_t *u,
    ngx_iv_storage_op_t *op, const u_char md5[NGX_IV_MD5_LEN], ngx_uint_t n);


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

    if (st->phase != NGX_IV_UPLOAD_STREAM || !st->insert.done) {
        return;
    }

    /* all of it is reserved as soon as it is known how much that is */

    if (!st->cleared
        && ngx_iv_upload_ended(u)
        && ngx_iv_upload_quota(u, st->ring->size) == NGX_OK)
    {
        st->cleared = st->passed;
    }

    if (st->phase != NGX_IV_UPLOAD_STREAM) {
        return;
    }

    if (ngx_iv_upload_needs_parts(u)) {
        ngx_iv_upload_parts(u);

    } else {
        ngx_iv_upload_single(u);
    }
}


/* the whole of it in one PUT */

static void
ngx_iv_upload_single(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->put == NULL) {

        if (ngx_iv_upload_may_put(u)) {
            ngx_iv_upload_put(u);
        }

        return;
    }

    if (!st->put_done) {

        if (st->starved
            && (st->cleared || st->put->sent < ngx_iv_upload_limit(u)))
        {
            st->starved = 0;
            ngx_iv_storage_wake(st->put);
        }

        return;
    }

    u->storage_time = st->put->time;

    if (st->put->code != NGX_OK && ngx_iv_upload_again(u) == NGX_OK) {
        return;
    }

    if (st->put->code == NGX_OK && !st->cleared) {
        ngx_log_error(NGX_LOG_ERR, u->log, 0,
                      "the storage took the object before it was sent whole");
        ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                             "the storage answered too early");
        return;
    }

    ngx_iv_upload_stored(u, st->put, st->ring->md5, 0);
}


void
ngx_iv_upload_stored(ngx_iv_upload_t *u, ngx_iv_storage_op_t *op,
    const u_char md5[NGX_IV_MD5_LEN], ngx_uint_t n)
{
    if (op->code != NGX_OK) {
        ngx_iv_upload_refuse(u, op->code, "the storage failed");
        return;
    }

    if (ngx_iv_upload_etag(u, op, md5, n) != NGX_OK) {
        ngx_iv_upload_refuse(u, NGX_IV_STORAGE_UNAVAILABLE,
                             "the storage's ETag is not the MD5");
        return;
    }

    u->state->phase = NGX_IV_UPLOAD_HELD;
}


/* hashing and walking: in a thread, but for little bodies */

static void
ngx_iv_upload_check(ngx_iv_upload_t *u)
{
    off_t                   left;
    ngx_uint_t              last;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (st->checking || st->passed) {
        return;
    }

    left = ring->filled - ring->checked;

    if (ring->filled < ring->size
        && ((!st->held && ring->size <= (off_t) ring->cap)
            || left < NGX_IV_UPLOAD_BUFFER))
    {
        return;
    }

    last = (ring->filled == ring->size);

    /* of a length that came late, what is left may be little */

    if ((st->unknown ? left : ring->size) > NGX_IV_UPLOAD_INLINE) {

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

    ngx_iv_upload_checked(u, ring->filled, last,
                          ngx_iv_ring_check(ring, ring->filled, last));
}


static void
ngx_iv_upload_checked(ngx_iv_upload_t *u, off_t to, ngx_uint_t last,
    ngx_int_t rc)
{
    const char             *why;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    why = ring->image.why;

    if (rc == NGX_OK) {
        ring->checked = to;

        if (!last) {
            return;
        }

        why = "a declared digest is not that of the body";
        rc = ngx_iv_upload_digests(u);
    }

    if (rc == NGX_OK) {
        st->passed = 1;
        return;
    }

    if (st->phase == NGX_IV_UPLOAD_STREAM) {
        ngx_iv_upload_refuse(u, rc, why);
    }
}


ngx_int_t
ngx_iv_upload_digests(ngx_iv_upload_t *u)
{
    ngx_iv_ring_t  *ring;

    ring = u->state->ring;

    if (u->params.digests == NULL) {
        return NGX_OK;
    }

    return ngx_iv_digest_check(u->params.digests, ring->md5, ring->sha256,
                               ring->hash.sha512 ? ring->sha512 : NULL);
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
    check->last = (st->ring->filled == st->ring->size);

    return ngx_iv_job_post(job, u->params.hash);
}


static void
ngx_iv_upload_check_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_upload_check_t  *check = ctx;

    check->rc = ngx_iv_ring_check(check->ring, check->to, check->last);
}


static void
ngx_iv_upload_check_done(ngx_iv_job_t *job)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_check_t  *check;

    u = job->data;
    check = job->ctx;

    u->state->checking = 0;

    ngx_iv_upload_checked(u, check->to, check->last, check->rc);

    ngx_iv_upload_post(u);
}


static void
ngx_iv_upload_check_destroy(void *ctx)
{
    ngx_iv_upload_check_t  *check = ctx;

    ngx_iv_ref_drop(&check->ring->ref);
}


/* what fits into the ring is sent when it is known to be good */

static ngx_uint_t
ngx_iv_upload_may_put(ngx_iv_upload_t *u)
{
    off_t                   n;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (st->cleared) {
        return 1;
    }

    if (st->held || ring->size <= (off_t) ring->cap) {
        return 0;
    }

    n = ring->size;

    if (!ngx_iv_upload_ended(u)) {

        /* it may still end within the ring.  More of the quota than what is
         * held now is reserved at the end, before the last bytes leave */

        if (ring->filled < (off_t) ring->cap) {
            return 0;
        }

        n = ring->filled;
    }

    return ngx_iv_upload_quota(u, n) == NGX_OK;
}


static void
ngx_iv_upload_put(ngx_iv_upload_t *u)
{
    ngx_iv_storage_op_t    *op;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    op = ngx_iv_upload_object(u, u->pool);

    if (op == NULL || ngx_iv_upload_payload(u, op) != NGX_OK) {
        ngx_iv_upload_refuse(u, NGX_IV_INTERNAL, "no memory");
        return;
    }

    op->size = ngx_iv_upload_ended(u) ? st->ring->size : -1;
    op->keep = &st->ring->ref;
    op->source = ngx_iv_upload_source;
    op->progress = ngx_iv_upload_hold_progress;
    op->handler = ngx_iv_upload_put_end;
    op->rekey = 1;

    if (st->before) {
        op->tries = st->before->tries;
        op->retries = st->before->retries;
        op->wait = st->before->wait;
    }

    st->put = op;

    ngx_iv_storage_put(op);
}


ngx_iv_storage_op_t *
ngx_iv_upload_object(ngx_iv_upload_t *u, ngx_pool_t *pool)
{
    ngx_iv_storage_op_t  *op;

    op = ngx_iv_storage_op_create(u->params.storage, pool, u->log);

    if (op == NULL
        || ngx_iv_name_disposition(pool, "inline", &u->document.original_name,
                                   &op->disposition)
           != NGX_OK)
    {
        return NULL;
    }

    op->key = u->document.key;
    op->content_type = u->document.content_type;
    op->data = u;

    return op;
}


/* what the signature says of the bytes */

static ngx_int_t
ngx_iv_upload_payload(ngx_iv_upload_t *u, ngx_iv_storage_op_t *op)
{
    u_char                  *p;
    const u_char            *sum;
    const ngx_iv_digests_t  *digests;

    digests = u->params.digests;

    if (u->state->passed) {

        /* all of it is known: the signature covers the very bytes */

        sum = u->state->ring->sha256;

    } else if (digests && digests->has_sha256 && ngx_iv_upload_ended(u)) {

        /* as the client declared them: the storage checks it as well */

        sum = digests->sha256;

    } else {
        return NGX_OK;
    }

    p = ngx_pnalloc(u->pool, 2 * NGX_IV_SHA256_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_iv_hex(p, sum, NGX_IV_SHA256_LEN);

    op->sha256.data = p;
    op->sha256.len = 2 * NGX_IV_SHA256_LEN;

    return NGX_OK;
}


/* what may leave: the last buffer stays until all has been checked */

static off_t
ngx_iv_upload_limit(ngx_iv_upload_t *u)
{
    ngx_iv_ring_t  *ring;

    ring = u->state->ring;

    if (u->state->cleared) {
        return ring->size;
    }

    if (!ngx_iv_upload_ended(u)) {
        /* these may be the last */
        return ring->filled - NGX_IV_UPLOAD_BUFFER;
    }

    return ngx_min(ring->filled, ring->size - NGX_IV_UPLOAD_BUFFER);
}


static ngx_int_t
ngx_iv_upload_source(ngx_iv_storage_op_t *op, off_t offset, u_char **p,
    size_t *n)
{
    ngx_int_t               rc;
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;

    u = op->data;
    st = u->state;

    if (op->size == -1 && st->cleared && offset == st->ring->size) {
        st->starved = 0;
        return NGX_DONE;
    }

    rc = ngx_iv_ring_read(st->ring, offset, ngx_iv_upload_limit(u), p, n);

    st->starved = (rc == NGX_AGAIN);

    return rc;
}


static void
ngx_iv_upload_put_end(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_t  *u;

    u = op->data;

    u->state->put_done = 1;

    ngx_iv_upload_post(u);
}


/* the storage's own word for what it has */

static ngx_int_t
ngx_iv_upload_etag(ngx_iv_upload_t *u, ngx_iv_storage_op_t *op,
    const u_char md5[NGX_IV_MD5_LEN], ngx_uint_t n)
{
    u_char             *p, sum[2 * NGX_IV_MD5_LEN + 1 + NGX_INT_T_LEN];
    static ngx_uint_t   told;

    if (u->params.storage->conf->type == NGX_IV_STORAGE_LOCAL) {
        return NGX_OK;
    }

    if (op->etag_opaque) {

        if (!told) {
            told = 1;
            ngx_log_error(NGX_LOG_WARN, u->log, 0,
                          "the storage encrypts with a key of its own, so its "
                          "ETag is not the MD5 and tells nothing of what "
                          "arrived");
        }

        return NGX_OK;
    }

    p = ngx_iv_hex(sum, md5, NGX_IV_MD5_LEN);

    if (n) {
        p = ngx_sprintf(p, "-%ui", n);
    }

    if (op->etag.len == (size_t) (p - sum)
        && ngx_strncasecmp(op->etag.data, sum, op->etag.len) == 0)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, u->log, 0,
                  "the storage's ETag \"%V\" is not the MD5 of what was "
                  "sent, %*s", &op->etag, (size_t) (p - sum), sum);

    return NGX_ERROR;
}
