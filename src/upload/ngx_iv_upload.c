#include "upload/ngx_iv_upload_state.h"


static void ngx_iv_upload_count(ngx_iv_upload_t *u);
static u_char *ngx_iv_upload_log(ngx_log_t *log, u_char *buf, size_t len);
static ngx_int_t ngx_iv_upload_copy(ngx_iv_upload_t *u,
    const ngx_iv_upload_params_t *params, ngx_log_t *log);
static ngx_int_t ngx_iv_upload_strdup(ngx_pool_t *pool, ngx_str_t *s);
static ngx_int_t ngx_iv_upload_body(ngx_iv_upload_t *u);
static void ngx_iv_upload_destroy(ngx_iv_upload_t *u);

static void ngx_iv_upload_step(ngx_event_t *ev);
static void ngx_iv_upload_advance(ngx_iv_upload_t *u);
static void ngx_iv_upload_report(ngx_iv_upload_t *u);
static size_t ngx_iv_upload_free_room(ngx_iv_upload_t *u, u_char **p);

static void ngx_iv_upload_written(ngx_iv_metadata_op_t *op);


ngx_iv_upload_t *
ngx_iv_upload_create(const ngx_iv_upload_params_t *params, ngx_log_t *log)
{
    ngx_pool_t             *pool;
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NULL;
    }

    u = ngx_pcalloc(pool, sizeof(ngx_iv_upload_t));
    st = ngx_pcalloc(pool, sizeof(ngx_iv_upload_state_t));

    if (u == NULL || st == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    u->pool = pool;
    u->state = st;
    u->storage_time = NGX_TIMER_INFINITE;
    u->metadata_time = NGX_TIMER_INFINITE;

    if (ngx_iv_upload_copy(u, params, log) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    if (ngx_iv_upload_body(u) != NGX_OK) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    pool->log = u->log;

    st->caller = 1;

    st->event.handler = ngx_iv_upload_step;
    st->event.data = u;
    st->event.log = u->log;

    st->beat.handler = ngx_iv_upload_beat;
    st->beat.data = u;
    st->beat.log = u->log;

    st->patience.handler = ngx_iv_upload_patience;
    st->patience.data = u;
    st->patience.log = u->log;

    ngx_iv_zone_add(u->params.zone, NGX_IV_COUNT_UPLOADS, 1);

    if (params->size == 0) {
        ngx_iv_upload_post(u);
    }

    return u;
}


/* where the bytes will lie */

static ngx_int_t
ngx_iv_upload_body(ngx_iv_upload_t *u)
{
    off_t                    size;
    ngx_iv_ring_t           *ring;
    ngx_iv_upload_state_t   *st;
    const ngx_iv_digests_t  *digests;

    st = u->state;
    digests = u->params.digests;

    st->unknown = (u->params.size == -1);
    size = st->unknown ? NGX_IV_RING_UNKNOWN : u->params.size;

    /* one byte more than that is still a number */

    u->params.max_size = ngx_min(u->params.max_size, NGX_IV_RING_UNKNOWN - 1);

    ring = ngx_iv_ring_create(size, NGX_IV_UPLOAD_RING, &u->params.limits,
                              u->log);
    if (ring == NULL) {
        return NGX_ERROR;
    }

    st->ring = ring;

    if (digests
        && digests->has_sha512
        && ngx_iv_hash_want_sha512(&ring->hash) != NGX_OK)
    {
        goto failed;
    }

    if (st->unknown
        && ngx_iv_storage_needs_parts(u->params.storage)
        && ngx_iv_upload_hold(u) != NGX_OK)
    {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_iv_ref_drop(&ring->ref);

    return NGX_ERROR;
}


static ngx_int_t
ngx_iv_upload_copy(ngx_iv_upload_t *u, const ngx_iv_upload_params_t *params,
    ngx_log_t *log)
{
    ngx_iv_digests_t  *digests;

    u->params = *params;

    if (params->fields && ngx_iv_upload_fields(u, params->fields) != NGX_OK) {
        return NGX_ERROR;
    }

    u->params.fields = NULL;

    if (params->digests) {
        digests = ngx_palloc(u->pool, sizeof(ngx_iv_digests_t));
        if (digests == NULL) {
            return NGX_ERROR;
        }

        *digests = *params->digests;
        u->params.digests = digests;
    }

    if (ngx_iv_upload_strdup(u->pool, &u->params.owner) != NGX_OK
        || ngx_iv_upload_strdup(u->pool, &u->params.original_name) != NGX_OK
        || ngx_iv_upload_strdup(u->pool, &u->params.uploaded_from) != NGX_OK)
    {
        return NGX_ERROR;
    }

    u->log = ngx_palloc(u->pool, sizeof(ngx_log_t));
    if (u->log == NULL) {
        return NGX_ERROR;
    }

    /* the request's handler and data end with the request */

    *u->log = *log;
    u->log->handler = ngx_iv_upload_log;
    u->log->data = u;
    u->log->action = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_upload_strdup(ngx_pool_t *pool, ngx_str_t *s)
{
    if (s->len == 0) {
        ngx_str_null(s);
        return NGX_OK;
    }

    s->data = ngx_pstrdup(pool, s);

    return s->data ? NGX_OK : NGX_ERROR;
}


static u_char *
ngx_iv_upload_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char           *p, id[2 * NGX_IV_ID_LEN];
    ngx_iv_upload_t  *u;

    u = log->data;

    p = ngx_snprintf(buf, len, " while uploading image");

    len -= (size_t) (p - buf);
    buf = p;

    if (u->document.filename.len) {
        (void) ngx_iv_hex(id, u->document.id, NGX_IV_ID_LEN);

        p = ngx_snprintf(buf, len, ", id: %*s", sizeof(id), id);

        len -= (size_t) (p - buf);
        buf = p;
    }

    return ngx_snprintf(buf, len, ", owner: \"%V\", storage: \"%V\"",
                        &u->params.owner, &u->params.storage->conf->name);
}


static void
ngx_iv_upload_destroy(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    ngx_iv_upload_quiet(u);

    if (st->patience.timer_set) {
        ngx_del_timer(&st->patience);
    }

    if (st->event.posted) {
        ngx_delete_posted_event(&st->event);
    }

    if (st->job) {
        ngx_iv_job_release(st->job);
    }

    if (st->multi.pool) {
        ngx_destroy_pool(st->multi.pool);
    }

    ngx_iv_room_release(&st->share);
    ngx_iv_ref_drop(&st->ring->ref);

    /* cancels what is still under way */

    ngx_destroy_pool(u->pool);
}


size_t
ngx_iv_upload_room(ngx_iv_upload_t *u, u_char **p)
{
    size_t                  n;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    n = ngx_iv_upload_free_room(u, p);

    if (n == 0
        && st->held
        && st->phase <= NGX_IV_UPLOAD_STREAM
        && !st->fault
        && !ngx_iv_upload_ended(u))
    {
        ngx_iv_upload_hold_more(u);

        n = ngx_iv_upload_free_room(u, p);
    }

    st->wanted = (n == 0);

    return n;
}


static size_t
ngx_iv_upload_free_room(ngx_iv_upload_t *u, u_char **p)
{
    off_t                   sent, rest;
    size_t                  n;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    *p = NULL;

    if (st->phase > NGX_IV_UPLOAD_STREAM || st->fault) {
        return 0;
    }

    if (st->held) {
        sent = st->multi.sent;

    } else {
        sent = st->put ? st->put->sent : 0;
    }

    if (ngx_iv_ring_room(st->ring, sent, p, &n, u->log) != NGX_OK) {
        st->fault = NGX_IV_OVERLOADED;
        st->fault_why = "no memory for the upload";
        ngx_iv_upload_post(u);
        return 0;
    }

    /* one too many must be seen to be refused */

    if (st->unknown && !ngx_iv_upload_ended(u)) {
        rest = u->params.max_size + 1 - st->ring->filled;

        if ((off_t) n > rest) {
            n = (size_t) rest;
        }
    }

    return n;
}


void
ngx_iv_upload_filled(ngx_iv_upload_t *u, size_t n)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->phase > NGX_IV_UPLOAD_STREAM) {
        return;
    }

    st->ring->filled += (off_t) n;
    st->pressed = 0;

    ngx_iv_room_progress(&st->share, n);

    if (st->unknown && st->ring->filled > u->params.max_size) {
        ngx_iv_upload_fail(u, NGX_IV_TOO_LARGE, "larger than is allowed");
        return;
    }

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_end(ngx_iv_upload_t *u)
{
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    if (st->phase > NGX_IV_UPLOAD_STREAM || ngx_iv_upload_ended(u)) {
        return;
    }

    ring->size = ring->filled;
    st->wanted = 0;

    if (st->held) {
        ngx_iv_upload_hold_trim(u, st->multi.sent);
    }

    if (ring->size == 0) {
        ngx_iv_upload_fail(u, NGX_IV_LENGTH_MISMATCH, "the file is empty");
        return;
    }

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_fail(ngx_iv_upload_t *u, ngx_int_t code, const char *why)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    /* once the commit has begun it is too late */

    if (st->phase <= NGX_IV_UPLOAD_HELD && !st->committed && st->fault == 0) {
        st->fault = code;
        st->fault_why = why;
    }

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_abandon(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    st->caller = 0;
    st->answered = 1;

    /* before the key is made there is nothing to go on with: it is the caller
     * who makes it */

    if ((st->ring->filled < st->ring->size
         || st->phase == NGX_IV_UPLOAD_SNIFF
         || (u->params.hold
             && !st->committed
             && st->phase <= NGX_IV_UPLOAD_HELD))
        && st->fault == 0)
    {
        st->fault = NGX_IV_LENGTH_MISMATCH;
        st->fault_why = "the client went away";
    }

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_free(ngx_iv_upload_t *u)
{
    u->state->caller = 0;
    u->state->answered = 1;

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_post(ngx_iv_upload_t *u)
{
    ngx_event_t  *ev;

    ev = &u->state->event;

    ngx_post_event(ev, &ngx_posted_events);
}


static void
ngx_iv_upload_step(ngx_event_t *ev)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;

    u = ev->data;
    st = u->state;

    ngx_iv_upload_advance(u);

    ngx_iv_upload_hold_end(u);

    if (!st->counted
        && (st->phase == NGX_IV_UPLOAD_OVER
            || st->phase == NGX_IV_UPLOAD_SETTLE))
    {
        ngx_iv_upload_count(u);
    }

    /* what a thread still reads is not given back to the room */

    if (st->phase == NGX_IV_UPLOAD_OVER
        && !st->caller
        && !(st->held && st->checking))
    {
        ngx_iv_upload_destroy(u);
        return;
    }

    ngx_iv_upload_report(u);
}


static void
ngx_iv_upload_advance(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->touch.done) {
        ngx_iv_upload_beaten(u);
    }

    if (st->fault && st->phase <= NGX_IV_UPLOAD_HELD) {
        ngx_iv_upload_refuse(u, st->fault, st->fault_why);
    }

    /* each goes on as far as it can */

    if (st->phase == NGX_IV_UPLOAD_SNIFF) {
        ngx_iv_upload_sniff(u);
    }

    if (st->phase == NGX_IV_UPLOAD_STREAM) {
        ngx_iv_upload_stream(u);
    }

    if (st->phase == NGX_IV_UPLOAD_HELD) {
        ngx_iv_upload_held(u);
    }

    if (st->phase == NGX_IV_UPLOAD_COMMIT) {
        ngx_iv_upload_ready(u);
    }

    if (st->phase == NGX_IV_UPLOAD_SETTLE) {
        ngx_iv_upload_settle(u);
    }

    if (st->phase == NGX_IV_UPLOAD_UNDO) {
        ngx_iv_upload_undo(u);
    }
}


/* tells the caller; the last thing of a step, since the callee may do anything
 * short of freeing memory, which the next step does */

static void
ngx_iv_upload_report(ngx_iv_upload_t *u)
{
    off_t                   left;
    u_char                 *p;
    size_t                  n, rest;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (!st->caller || st->answered) {
        return;
    }

    if (st->phase == NGX_IV_UPLOAD_OVER
        || st->phase == NGX_IV_UPLOAD_SETTLE
        || (st->phase == NGX_IV_UPLOAD_UNDO && st->enough))
    {
        st->answered = 1;
        u->params.done(u->params.data);
        return;
    }

    if (st->phase == NGX_IV_UPLOAD_HELD && !st->told) {
        st->told = 1;
        u->params.stored(u->params.data);
        return;
    }

    if (!st->wanted) {
        return;
    }

    /* a little room is not worth a read, unless it is all that is missing */

    n = ngx_iv_upload_free_room(u, &p);
    left = st->ring->size - st->ring->filled;

    if (st->unknown && !ngx_iv_upload_ended(u)) {
        /* … or the byte too many, which there may not be more room for */
        left = u->params.max_size + 1 - st->ring->filled;
    }

    rest = (size_t) ngx_min(left, NGX_IV_UPLOAD_BUFFER / 4);

    if (n == 0) {
        return;
    }

    if (!st->held && n < rest && p + n != st->ring->mem + st->ring->cap) {
        return;
    }

    st->wanted = 0;
    u->params.more(u->params.data);
}


void
ngx_iv_upload_refuse(ngx_iv_upload_t *u, ngx_int_t code, const char *why)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    u->code = code;
    u->why = why;

    if (!st->caller) {
        /* nobody else will tell */
        ngx_log_error(NGX_LOG_INFO, u->log, 0, "upload undone, %V: %s",
                      &ngx_iv_code(code)->word, why ? why : "no detail");
    }

    st->phase = NGX_IV_UPLOAD_UNDO;

    ngx_iv_upload_quiet(u);

    if (st->put && !st->put_done) {
        ngx_iv_storage_cancel(st->put);
        u->storage_time = st->put->time;
    }

    ngx_iv_upload_parts_cancel(u);
}


static void
ngx_iv_upload_count(ngx_iv_upload_t *u)
{
    ngx_uint_t              status;
    ngx_iv_zone_t          *zone;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    zone = u->params.zone;

    st->counted = 1;

    if (u->code == NGX_OK) {
        ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOADS_CREATED, 1);
        ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOAD_BYTES,
                        (ngx_uint_t) u->document.size);
        return;
    }

    status = ngx_iv_code(u->code)->status;

    if (status < 500
        && u->code != NGX_IV_LENGTH_MISMATCH && u->code != NGX_IV_TIMEOUT)
    {
        ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOADS_REFUSED, 1);

    } else {
        ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOADS_FAILED, 1);
    }
}


ngx_iv_metadata_op_t *
ngx_iv_upload_write(ngx_iv_upload_t *u, ngx_iv_upload_write_t *w,
    ngx_pool_t *pool)
{
    w->done = 0;

    w->op = ngx_iv_metadata_op_create(u->params.metadata, pool, u->log);
    if (w->op == NULL) {
        return NULL;
    }

    w->upload = u;
    w->op->data = w;
    w->op->handler = ngx_iv_upload_written;

    return w->op;
}


static void
ngx_iv_upload_written(ngx_iv_metadata_op_t *op)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;
    ngx_iv_upload_write_t  *w;

    w = op->data;
    u = w->upload;
    st = u->state;

    w->done = 1;

    if (w != &st->touch) {

        if (u->metadata_time == NGX_TIMER_INFINITE) {
            u->metadata_time = 0;
        }

        u->metadata_time += op->time;
    }

    if (w == &st->insert
        && op->code == NGX_OK
        && st->phase == NGX_IV_UPLOAD_STREAM
        && u->params.heartbeat)
    {
        ngx_add_timer(&st->beat, u->params.heartbeat);
    }

    ngx_iv_upload_post(u);
}
