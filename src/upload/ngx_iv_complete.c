#include "upload/ngx_iv_complete_state.h"


#define NGX_IV_COMPLETE_POOL  1024


static u_char *ngx_iv_complete_log(ngx_log_t *log, u_char *buf, size_t len);
static void ngx_iv_complete_destroy(ngx_iv_complete_t *c);
static void ngx_iv_complete_step(ngx_event_t *ev);
static void ngx_iv_complete_advance(ngx_iv_complete_t *c);
static void ngx_iv_complete_count(ngx_iv_complete_t *c);
static void ngx_iv_complete_written(ngx_iv_metadata_op_t *op);
static void ngx_iv_complete_stored(ngx_iv_storage_op_t *op);

static void ngx_iv_complete_beat(ngx_event_t *ev);
static void ngx_iv_complete_touched(ngx_iv_metadata_op_t *op);
static void ngx_iv_complete_beaten(ngx_iv_complete_t *c);
static void ngx_iv_complete_quiet(ngx_iv_complete_t *c);


ngx_iv_complete_t *
ngx_iv_complete_create(const ngx_iv_complete_params_t *params, ngx_log_t *log)
{
    ngx_pool_t               *pool;
    ngx_iv_complete_t        *c;
    ngx_iv_complete_state_t  *st;

    pool = ngx_create_pool(4096, log);
    if (pool == NULL) {
        return NULL;
    }

    c = ngx_pcalloc(pool, sizeof(ngx_iv_complete_t));
    st = ngx_pcalloc(pool, sizeof(ngx_iv_complete_state_t));

    if (c == NULL || st == NULL) {
        goto failed;
    }

    c->pool = pool;
    c->state = st;
    c->params = *params;
    c->storage_time = NGX_TIMER_INFINITE;
    c->metadata_time = NGX_TIMER_INFINITE;

    c->log = ngx_palloc(pool, sizeof(ngx_log_t));
    if (c->log == NULL) {
        goto failed;
    }

    /* the request's handler and data end with the request */

    *c->log = *log;
    c->log->handler = ngx_iv_complete_log;
    c->log->data = c;
    c->log->action = NULL;

    pool->log = c->log;

    if (params->owner.len) {
        c->params.owner.data = ngx_pstrdup(pool, &c->params.owner);
        if (c->params.owner.data == NULL) {
            goto failed;
        }
    }

    st->caller = 1;

    st->event.handler = ngx_iv_complete_step;
    st->event.data = c;
    st->event.log = c->log;

    st->beat.handler = ngx_iv_complete_beat;
    st->beat.data = c;
    st->beat.log = c->log;

    ngx_iv_zone_add(params->zone, NGX_IV_COUNT_UPLOADS, 1);

    ngx_iv_complete_post(c);

    return c;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static u_char *
ngx_iv_complete_log(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char              id[2 * NGX_IV_ID_LEN];
    ngx_iv_complete_t  *c;

    c = log->data;

    (void) ngx_iv_hex(id, c->params.id, NGX_IV_ID_LEN);

    return ngx_snprintf(buf, len,
                        " while completing image, id: %*s, owner: \"%V\"",
                        sizeof(id), id, &c->params.owner);
}


void
ngx_iv_complete_abandon(ngx_iv_complete_t *c)
{
    ngx_iv_complete_free(c);
}


void
ngx_iv_complete_free(ngx_iv_complete_t *c)
{
    c->state->caller = 0;
    c->state->answered = 1;

    ngx_iv_complete_post(c);
}


static void
ngx_iv_complete_destroy(ngx_iv_complete_t *c)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    ngx_iv_complete_quiet(c);

    if (st->event.posted) {
        ngx_delete_posted_event(&st->event);
    }

    /* cancels what is still under way */

    if (st->pool) {
        ngx_destroy_pool(st->pool);
    }

    if (st->job) {
        ngx_iv_job_release(st->job);
    }

    ngx_destroy_pool(c->pool);
}


void
ngx_iv_complete_post(ngx_iv_complete_t *c)
{
    ngx_event_t  *ev;

    ev = &c->state->event;

    ngx_post_event(ev, &ngx_posted_events);
}


static void
ngx_iv_complete_step(ngx_event_t *ev)
{
    ngx_iv_complete_t        *c;
    ngx_iv_complete_state_t  *st;

    c = ev->data;
    st = c->state;

    if (st->touched) {
        ngx_iv_complete_beaten(c);
    }

    while (st->phase != NGX_IV_COMPLETE_OVER && (!st->begun || st->ended)) {
        ngx_iv_complete_advance(c);
    }

    if (st->phase == NGX_IV_COMPLETE_OVER && !st->caller) {
        ngx_iv_complete_count(c);
        ngx_iv_complete_destroy(c);
        return;
    }

    /* the last thing of a step: the callee may do anything */

    if (!st->answered && st->phase >= NGX_IV_COMPLETE_SETTLE) {
        st->answered = 1;
        c->params.done(c->params.data);
    }
}


static void
ngx_iv_complete_advance(ngx_iv_complete_t *c)
{
    switch (c->state->phase) {

    case NGX_IV_COMPLETE_CLAIM:
        ngx_iv_complete_claim(c);
        break;

    case NGX_IV_COMPLETE_RESERVE:
        ngx_iv_complete_reserve(c);
        break;

    case NGX_IV_COMPLETE_HEAD:
        ngx_iv_complete_head(c);
        break;

    case NGX_IV_COMPLETE_READ:
        ngx_iv_complete_read(c);
        break;

    case NGX_IV_COMPLETE_CHECK:
        ngx_iv_complete_check(c);
        break;

    case NGX_IV_COMPLETE_COPY:
        ngx_iv_complete_copy(c);
        break;

    case NGX_IV_COMPLETE_VERIFY:
        ngx_iv_complete_verify(c);
        break;

    case NGX_IV_COMPLETE_READY:
        ngx_iv_complete_ready(c);
        break;

    default:
        ngx_iv_complete_end(c);
    }
}


void
ngx_iv_complete_next(ngx_iv_complete_t *c, ngx_iv_complete_phase_e phase)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    st->phase = phase;
    st->begun = 0;
    st->ended = 0;
    st->op = NULL;
    st->storage_op = NULL;

    /* cancels an operation that the phase did not wait for */

    if (st->pool) {
        ngx_destroy_pool(st->pool);
        st->pool = NULL;
    }

    if (phase >= NGX_IV_COMPLETE_READY) {
        ngx_iv_complete_quiet(c);
    }
}


void
ngx_iv_complete_refuse(ngx_iv_complete_t *c, ngx_iv_complete_phase_e phase,
    ngx_int_t code, const char *why)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    c->code = code;
    c->why = why;

    if (!st->caller) {
        /* nobody else will tell */
        ngx_log_error(NGX_LOG_INFO, c->log, 0, "upload not completed, %V: %s",
                      &ngx_iv_code(code)->word, why ? why : "no detail");
    }

    st->failed = (phase == NGX_IV_COMPLETE_FAIL);

    ngx_iv_complete_next(c, phase);
}


static void
ngx_iv_complete_count(ngx_iv_complete_t *c)
{
    ngx_iv_zone_t  *zone;

    zone = c->params.zone;

    if (c->code == NGX_OK) {

        if (!c->again) {
            ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOADS_CREATED, 1);
            ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOAD_BYTES,
                            (ngx_uint_t) c->document->size);

        } else {
            ngx_iv_zone_add(zone, NGX_IV_COUNT_UPLOADS_REPEATED, 1);
        }

        return;
    }

    ngx_iv_zone_add(zone, ngx_iv_code(c->code)->status < 500
                          ? NGX_IV_COUNT_UPLOADS_REFUSED
                          : NGX_IV_COUNT_UPLOADS_FAILED, 1);
}


/* the document of a claim stays */

ngx_iv_metadata_op_t *
ngx_iv_complete_write(ngx_iv_complete_t *c)
{
    ngx_pool_t               *pool;
    ngx_iv_complete_state_t  *st;

    st = c->state;

    pool = c->pool;

    if (st->phase != NGX_IV_COMPLETE_CLAIM) {
        st->pool = ngx_create_pool(NGX_IV_COMPLETE_POOL, c->log);
        pool = st->pool;
    }

    if (pool) {
        st->op = ngx_iv_metadata_op_create(c->params.metadata, pool, c->log);
    }

    if (st->op == NULL) {
        ngx_iv_complete_stuck(c);
        return NULL;
    }

    st->op->data = c;
    st->op->handler = ngx_iv_complete_written;
    st->begun = 1;

    return st->op;
}


void
ngx_iv_complete_stuck(ngx_iv_complete_t *c)
{
    ngx_iv_complete_phase_e  phase;

    phase = c->state->phase;

    if (phase > NGX_IV_COMPLETE_READY) {
        ngx_iv_complete_next(c, NGX_IV_COMPLETE_OVER);
        return;
    }

    ngx_iv_complete_refuse(c, (phase > NGX_IV_COMPLETE_CLAIM
                               && phase <= NGX_IV_COMPLETE_COPY)
                              ? NGX_IV_COMPLETE_UNCLAIM
                              : NGX_IV_COMPLETE_OVER,
                           NGX_IV_INTERNAL, "no memory");
}


static void
ngx_iv_complete_written(ngx_iv_metadata_op_t *op)
{
    ngx_iv_complete_t  *c;

    c = op->data;

    if (c->metadata_time == NGX_TIMER_INFINITE) {
        c->metadata_time = 0;
    }

    c->metadata_time += op->time;
    c->state->ended = 1;

    ngx_iv_complete_post(c);
}


ngx_iv_storage_op_t *
ngx_iv_complete_object(ngx_iv_complete_t *c, const ngx_str_t *key)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    st->pool = ngx_create_pool(NGX_IV_COMPLETE_POOL, c->log);

    if (st->pool) {
        st->storage_op = ngx_iv_storage_op_create(st->storage, st->pool,
                                                  c->log);
    }

    if (st->storage_op == NULL) {
        ngx_iv_complete_stuck(c);
        return NULL;
    }

    st->storage_op->key = *key;
    st->storage_op->data = c;
    st->storage_op->handler = ngx_iv_complete_stored;
    st->begun = 1;

    return st->storage_op;
}


static void
ngx_iv_complete_stored(ngx_iv_storage_op_t *op)
{
    ngx_iv_complete_t  *c;

    c = op->data;

    if (c->storage_time == NGX_TIMER_INFINITE) {
        c->storage_time = 0;
    }

    c->storage_time += op->time;
    c->state->ended = 1;

    ngx_iv_complete_post(c);
}


static void
ngx_iv_complete_beat(ngx_event_t *ev)
{
    ngx_iv_complete_t        *c;
    ngx_iv_complete_state_t  *st;

    c = ev->data;
    st = c->state;

    ngx_add_timer(ev, c->params.heartbeat);

    if (st->beat_pool) {
        /* the last one has not come back */
        return;
    }

    st->beat_pool = ngx_create_pool(NGX_IV_COMPLETE_POOL, c->log);
    if (st->beat_pool == NULL) {
        return;
    }

    st->touch = ngx_iv_metadata_op_create(c->params.metadata, st->beat_pool,
                                          c->log);
    if (st->touch == NULL) {
        ngx_destroy_pool(st->beat_pool);
        st->beat_pool = NULL;
        return;
    }

    st->touch->data = c;
    st->touch->handler = ngx_iv_complete_touched;

    ngx_iv_metadata_touch(st->touch, c->params.id);
}


static void
ngx_iv_complete_touched(ngx_iv_metadata_op_t *op)
{
    ngx_iv_complete_t  *c;

    c = op->data;

    c->state->touched = 1;

    ngx_iv_complete_post(c);
}


static void
ngx_iv_complete_beaten(ngx_iv_complete_t *c)
{
    ngx_int_t                 code;
    ngx_iv_complete_state_t  *st;

    st = c->state;
    code = st->touch->code;

    ngx_destroy_pool(st->beat_pool);

    st->beat_pool = NULL;
    st->touch = NULL;
    st->touched = 0;

    if (st->phase < NGX_IV_COMPLETE_READY
        && (code == NGX_IV_CONFLICT || code == NGX_IV_NOT_FOUND))
    {
        /* deleted or swept */

        ngx_iv_complete_refuse(c, NGX_IV_COMPLETE_FAIL, NGX_IV_NOT_FOUND,
                               "the document is not uploading any more");
    }
}


static void
ngx_iv_complete_quiet(ngx_iv_complete_t *c)
{
    ngx_iv_complete_state_t  *st;

    st = c->state;

    if (st->beat.timer_set) {
        ngx_del_timer(&st->beat);
    }

    if (st->beat_pool) {
        ngx_destroy_pool(st->beat_pool);
        st->beat_pool = NULL;
        st->touch = NULL;
    }

    st->touched = 0;
}
