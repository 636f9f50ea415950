#include "sweep/ngx_iv_sweep_private.h"
#include "metadata/ngx_iv_metadata_lists.h"


static ngx_int_t ngx_iv_sweep_holder(ngx_iv_sweep_t *sweep,
    ngx_cycle_t *cycle);
static void ngx_iv_sweep_timer(ngx_event_t *ev);
static void ngx_iv_sweep_next(ngx_event_t *ev);
static void ngx_iv_sweep_begin(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_lease(ngx_iv_sweep_t *sweep, ngx_uint_t begin);
static void ngx_iv_sweep_leased(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_batch(ngx_iv_sweep_t *sweep);
static ngx_uint_t ngx_iv_sweep_answered(ngx_iv_sweep_t *sweep,
    ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_stale_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_expired_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_audit(ngx_iv_sweep_t *sweep,
    ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_listed(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_quota_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_requests_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_fill(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_end(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_told(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_over(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_drop_batch(ngx_iv_sweep_t *sweep);
static ngx_uint_t ngx_iv_sweep_quits(void);


ngx_iv_sweep_t *
ngx_iv_sweep_create(ngx_cycle_t *cycle, const ngx_iv_sweep_conf_t *conf,
    ngx_iv_metadata_t *md, ngx_iv_storage_t **storages, ngx_uint_t nstorages,
    ngx_iv_zone_t *zone, ngx_uint_t regular)
{
    ngx_uint_t       i;
    ngx_iv_sweep_t  *sweep;

    sweep = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_sweep_t));
    if (sweep == NULL) {
        return NULL;
    }

    sweep->storages = ngx_pcalloc(cycle->pool, (nstorages + 1)
                                           * sizeof(ngx_iv_sweep_storage_t));
    if (sweep->storages == NULL) {
        return NULL;
    }

    for (i = 0; i < nstorages; i++) {
        sweep->storages[i].storage = storages[i];
    }

    if (ngx_array_init(&sweep->unknown, cycle->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NULL;
    }

    sweep->conf = *conf;
    sweep->metadata = md;
    sweep->nstorages = nstorages;
    sweep->zone = zone;
    sweep->log = cycle->log;
    sweep->ttl = ngx_max(3 * conf->interval, NGX_IV_SWEEP_LEASE_MIN);
    sweep->regular = regular;

    if (ngx_iv_sweep_holder(sweep, cycle) != NGX_OK) {
        return NULL;
    }

    sweep->timer.handler = ngx_iv_sweep_timer;
    sweep->timer.data = sweep;
    sweep->timer.log = cycle->log;
    sweep->timer.cancelable = 1;

    sweep->next.handler = ngx_iv_sweep_next;
    sweep->next.data = sweep;
    sweep->next.log = cycle->log;

    sweep->rest.handler = ngx_iv_sweep_next;
    sweep->rest.data = sweep;
    sweep->rest.log = cycle->log;
    sweep->rest.cancelable = 1;

    /* soon: what a kill left behind need not lie about for an interval */

    if (regular) {
        ngx_add_timer(&sweep->timer,
                      1 + (ngx_msec_t) ngx_random()
                          % ngx_min(conf->interval, 1000));
    }

    return sweep;
}


static ngx_int_t
ngx_iv_sweep_holder(ngx_iv_sweep_t *sweep, ngx_cycle_t *cycle)
{
    u_char  *p;
    u_char   random[8];

    if (ngx_iv_random(random, sizeof(random)) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cycle->pool, cycle->hostname.len + NGX_INT64_LEN
                                 + 2 * sizeof(random) + 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    sweep->holder.data = p;

    p = ngx_sprintf(p, "%V:%P:", &cycle->hostname, ngx_pid);
    p = ngx_iv_hex(p, random, sizeof(random));

    sweep->holder.len = p - sweep->holder.data;

    return NGX_OK;
}


static void
ngx_iv_sweep_timer(ngx_event_t *ev)
{
    ngx_iv_sweep_t  *sweep;

    sweep = ev->data;

    if (sweep->busy) {
        return;
    }

    ngx_iv_sweep_begin(sweep);
    ngx_iv_sweep_lease(sweep, 1);
}


/* from the first step on; the lease is not held yet */

static void
ngx_iv_sweep_begin(ngx_iv_sweep_t *sweep)
{
    ngx_uint_t  i;

    ngx_memzero(&sweep->pass, sizeof(ngx_iv_sweep_pass_t));

    sweep->step = NGX_IV_SWEEP_STALE;
    sweep->busy = 1;
    sweep->again = 0;
    sweep->broken = 0;
    sweep->held = 0;
    sweep->full = 0;
    sweep->paged = 0;
    sweep->pause = 0;
    sweep->latency = 0;
    sweep->rested = 0;
    sweep->strained = 0;

    for (i = 0; i < sweep->nstorages; i++) {
        sweep->storages[i].failures = 0;
        sweep->storages[i].secretive = 0;
    }
}


void
ngx_iv_sweep_ask(ngx_iv_sweep_t *sweep, ngx_iv_metadata_op_t *op)
{
    ngx_iv_metadata_sweep_ask(op, &sweep->holder, sweep->ttl);
}


/*
 * The lease counts from now on, though it was renewed earlier: an ask is one
 * call, and no lease is kept for longer than a third of its life.
 */

ngx_uint_t
ngx_iv_sweep_asked(ngx_iv_sweep_t *sweep, const ngx_iv_metadata_op_t *op)
{
    if (op->code != NGX_OK || op->count == 0 || op->sweep->requested_at) {
        return 0;
    }

    if (sweep->busy) {

        /* its end, or a beginning that has lost nothing by this */

        sweep->again = 1;
        return 1;
    }

    if (sweep->timer.timer_set) {
        ngx_del_timer(&sweep->timer);
    }

    ngx_iv_sweep_begin(sweep);

    sweep->held = 1;
    sweep->pass.fence = op->fence;
    sweep->leased = ngx_current_msec - ngx_min(op->time, sweep->ttl / 4);

    ngx_post_event(&sweep->next, &ngx_posted_events);

    return 1;
}


int64_t
ngx_iv_sweep_until(const ngx_iv_sweep_conf_t *conf,
    const ngx_iv_sweep_state_t *state)
{
    return state->renewed_at
           + (int64_t) ngx_max(3 * conf->interval, NGX_IV_SWEEP_LEASE_MIN);
}


static void
ngx_iv_sweep_next(ngx_event_t *ev)
{
    ngx_iv_sweep_go_on(ev->data);
}


/*
 * Between batches, and within one when the lease grows old: no operation of
 * the batch is under way here, thus its pool may go.
 */

void
ngx_iv_sweep_go_on(ngx_iv_sweep_t *sweep)
{
    if (sweep->step == NGX_IV_SWEEP_QUOTA
        && !ngx_iv_metadata_has_quota(sweep->metadata))
    {
        sweep->step = NGX_IV_SWEEP_END;
    }

    if (!sweep->held
        || sweep->step == NGX_IV_SWEEP_END
        || ngx_iv_sweep_quits())
    {
        ngx_iv_sweep_end(sweep);
        return;
    }

    if (ngx_current_msec - sweep->leased > sweep->ttl / 3) {
        ngx_iv_sweep_lease(sweep, 0);
        return;
    }

    if (ngx_iv_sweep_rests(sweep)) {
        return;
    }

    if (sweep->done < sweep->nrefs) {
        ngx_iv_sweep_fill(sweep);
        return;
    }

    ngx_iv_sweep_batch(sweep);
}


static void
ngx_iv_sweep_lease(ngx_iv_sweep_t *sweep, ngx_uint_t begin)
{
    if (sweep->pool == NULL) {
        sweep->pool = ngx_create_pool(4096, sweep->log);
        if (sweep->pool == NULL) {
            ngx_iv_sweep_end(sweep);
            return;
        }
    }

    sweep->op = ngx_iv_metadata_op_create(sweep->metadata, sweep->pool,
                                          sweep->log);
    if (sweep->op == NULL) {
        ngx_iv_sweep_end(sweep);
        return;
    }

    sweep->op->data = sweep;
    sweep->op->handler = ngx_iv_sweep_leased;

    /* counted from before the call: the server's renewal comes later */

    sweep->leased = ngx_current_msec;

    if (begin) {
        ngx_iv_metadata_sweep_begin(sweep->op, &sweep->holder, sweep->ttl);

    } else {
        ngx_iv_metadata_lease(sweep->op, &sweep->holder, sweep->ttl);
    }
}


static void
ngx_iv_sweep_leased(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (sweep->held && op->code == NGX_OK && op->count == 0) {
        ngx_log_error(NGX_LOG_WARN, sweep->log, 0,
                      "sweep stops, another node took its lease");
    }

    sweep->held = (op->code == NGX_OK && op->count == 1);
    sweep->pass.fence = op->fence;
    sweep->latency = op->time;

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


static void
ngx_iv_sweep_batch(ngx_iv_sweep_t *sweep)
{
    ngx_iv_metadata_ref_t  *after;

    ngx_iv_sweep_drop_batch(sweep);

    sweep->pool = ngx_create_pool(4096, sweep->log);
    if (sweep->pool == NULL) {
        ngx_iv_sweep_end(sweep);
        return;
    }

    sweep->op = ngx_iv_metadata_op_create(sweep->metadata, sweep->pool,
                                          sweep->log);
    if (sweep->op == NULL) {
        ngx_iv_sweep_end(sweep);
        return;
    }

    sweep->op->data = sweep;
    sweep->op->handler = ngx_iv_sweep_listed;

    sweep->rested = 0;

    after = sweep->paged ? &sweep->after : NULL;

    switch (sweep->step) {

    case NGX_IV_SWEEP_STALE:
        sweep->op->handler = ngx_iv_sweep_stale_done;
        ngx_iv_metadata_sweep_stale(sweep->op, sweep->conf.stale,
                                    NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_EXPIRED:
        sweep->op->handler = ngx_iv_sweep_expired_done;
        ngx_iv_metadata_sweep_expired(sweep->op, NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_FIRST:
        ngx_iv_metadata_sweep_first(sweep->op, after, NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_REQUESTS:
        sweep->op->handler = ngx_iv_sweep_requests_done;
        ngx_iv_metadata_sweep_requests(sweep->op, sweep->conf.stale,
                                       NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_QUOTA:
        sweep->op->handler = ngx_iv_sweep_quota_done;
        ngx_iv_metadata_sweep_quota(sweep->op, sweep->conf.stale,
                                    NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_STAGING:
        ngx_iv_metadata_sweep_staging(sweep->op, after, sweep->conf.stale,
                                      NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_UPLOADS:
        ngx_iv_metadata_sweep_uploads(sweep->op, after, sweep->conf.stale,
                                      NGX_IV_SWEEP_BATCH);
        break;

    default: /* NGX_IV_SWEEP_SECOND */
        ngx_iv_metadata_sweep_second(sweep->op, after, sweep->conf.stale,
                                     NGX_IV_SWEEP_BATCH);
        break;
    }
}


/* 1: go on; 0: the store has failed, and with it the pass */

static ngx_uint_t
ngx_iv_sweep_answered(ngx_iv_sweep_t *sweep, ngx_iv_metadata_op_t *op)
{
    sweep->latency = op->time;

    if (op->code == NGX_OK) {
        return 1;
    }

    sweep->step = NGX_IV_SWEEP_END;
    sweep->broken = 1;

    return 0;
}


static void
ngx_iv_sweep_stale_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (ngx_iv_sweep_answered(sweep, op)) {
        sweep->pass.stale += op->count;
        ngx_iv_zone_add(sweep->zone, NGX_IV_COUNT_SWEPT, op->count);

        if (op->count < NGX_IV_SWEEP_BATCH) {
            sweep->step = NGX_IV_SWEEP_EXPIRED;
        }
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


/* a call does as many as it has time for */

static void
ngx_iv_sweep_expired_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (ngx_iv_sweep_answered(sweep, op)) {
        sweep->pass.expired += op->count;

        if (sweep->conf.audit) {
            ngx_iv_sweep_audit(sweep, op);
        }

        if (op->count == 0) {
            sweep->step = NGX_IV_SWEEP_FIRST;
        }
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


/* nobody asked for it but who once set the date */

static void
ngx_iv_sweep_audit(ngx_iv_sweep_t *sweep, ngx_iv_metadata_op_t *op)
{
    ngx_uint_t      i;
    ngx_iv_audit_t  entry;

    ngx_memzero(&entry, sizeof(ngx_iv_audit_t));

    ngx_str_set(&entry.action, "expire");
    ngx_str_set(&entry.outcome, "ok");
    entry.has_image = 1;

    for (i = 0; i < op->nrefs; i++) {
        entry.owner = op->refs[i].owner;
        ngx_memcpy(entry.image, op->refs[i].id, NGX_IV_ID_LEN);

        ngx_iv_audit_write(sweep->metadata, &entry);
    }
}


static void
ngx_iv_sweep_listed(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (!ngx_iv_sweep_answered(sweep, op)) {
        ngx_post_event(&sweep->next, &ngx_posted_events);
        return;
    }

    sweep->refs = op->refs;
    sweep->nrefs = op->nrefs;
    sweep->done = 0;

    sweep->full = (op->nrefs == NGX_IV_SWEEP_BATCH);
    sweep->paged = sweep->full;

    if (sweep->full) {
        sweep->after = op->refs[op->nrefs - 1];
        ngx_str_null(&sweep->after.key);
        ngx_str_null(&sweep->after.storage);
        ngx_str_null(&sweep->after.owner);
        ngx_str_null(&sweep->after.upload_id);
        ngx_str_null(&sweep->after.staging_key);
    }

    ngx_iv_sweep_fill(sweep);
}


static void
ngx_iv_sweep_requests_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (ngx_iv_sweep_answered(sweep, op)) {
        sweep->pass.requests += op->count;

        if (op->count < NGX_IV_SWEEP_BATCH) {
            sweep->step = NGX_IV_SWEEP_QUOTA;
        }
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


/* once in a pass: it chooses owners by chance */

static void
ngx_iv_sweep_quota_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    sweep->pass.entries = op->count;
    sweep->step = NGX_IV_SWEEP_END;

    if (op->code != NGX_OK) {
        sweep->broken = 1;
    }

    if (op->count) {
        ngx_log_error(NGX_LOG_INFO, sweep->log, 0,
                      "sweep: %ui quota entries dropped", op->count);
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


/* under load one after the other, each behind a pause */

static void
ngx_iv_sweep_fill(ngx_iv_sweep_t *sweep)
{
    ngx_uint_t  loaded;

    loaded = ngx_iv_sweep_loaded(sweep);

    while (sweep->active < (loaded ? 1 : NGX_IV_SWEEP_SIDE)
           && sweep->done < sweep->nrefs
           && (!loaded || sweep->rested)
           && !ngx_iv_sweep_quits()
           && ngx_current_msec - sweep->leased <= sweep->ttl / 3)
    {
        if (ngx_iv_sweep_item(sweep, &sweep->refs[sweep->done++]) == NGX_OK) {
            sweep->active++;
            sweep->rested = 0;

        } else {
            sweep->pass.left++;
        }
    }

    if (sweep->active) {
        return;
    }

    if (sweep->done == sweep->nrefs && !sweep->full) {
        sweep->step++;
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


void
ngx_iv_sweep_item_done(ngx_iv_sweep_t *sweep)
{
    sweep->active--;
    ngx_iv_sweep_fill(sweep);
}


static void
ngx_iv_sweep_end(ngx_iv_sweep_t *sweep)
{
    ngx_iv_sweep_pass_t  *pass;

    ngx_iv_sweep_drop_batch(sweep);

    pass = &sweep->pass;

    if (pass->stale || pass->expired || pass->deleted || pass->removed) {
        ngx_log_error(NGX_LOG_NOTICE, sweep->log, 0,
                      "sweep: %ui broken uploads ended, %ui images expired, "
                      "%ui objects deleted, %ui documents removed",
                      pass->stale, pass->expired, pass->deleted,
                      pass->removed);
    }

    if (sweep->held) {
        ngx_iv_zone_add(sweep->zone, NGX_IV_COUNT_SWEEPS, 1);
    }

    if (!sweep->held || ngx_iv_sweep_quits()) {
        ngx_iv_sweep_over(sweep);
        return;
    }

    pass->holder = sweep->holder;
    pass->complete = !sweep->broken && sweep->step == NGX_IV_SWEEP_END;

    if (sweep->broken) {
        pass->errors++;
    }

    sweep->pool = ngx_create_pool(1024, sweep->log);
    if (sweep->pool == NULL) {
        ngx_iv_sweep_over(sweep);
        return;
    }

    sweep->op = ngx_iv_metadata_op_create(sweep->metadata, sweep->pool,
                                          sweep->log);
    if (sweep->op == NULL) {
        ngx_iv_sweep_over(sweep);
        return;
    }

    sweep->op->data = sweep;
    sweep->op->handler = ngx_iv_sweep_told;

    /* who has no passes of its own keeps no lease between them */

    ngx_iv_metadata_sweep_end(sweep->op, pass, !sweep->regular);
}


static void
ngx_iv_sweep_told(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (op->code == NGX_OK && op->count && op->sweep->requested_at) {
        sweep->again = 1;
    }

    ngx_iv_sweep_over(sweep);
}


static void
ngx_iv_sweep_over(ngx_iv_sweep_t *sweep)
{
    ngx_msec_t  delay, jitter;

    ngx_iv_sweep_drop_batch(sweep);

    sweep->busy = 0;
    sweep->held = 0;

    if (ngx_iv_sweep_quits()) {
        return;
    }

    if (sweep->again) {
        ngx_add_timer(&sweep->timer, 1);
        return;
    }

    if (!sweep->regular) {
        return;
    }

    /* nodes that were started together should not ask together */

    jitter = sweep->conf.interval / 4;
    delay = sweep->conf.interval - jitter / 2
            + (ngx_msec_t) ngx_random() % (jitter + 1);

    ngx_add_timer(&sweep->timer, delay);
}


static void
ngx_iv_sweep_drop_batch(ngx_iv_sweep_t *sweep)
{
    if (sweep->pool) {
        ngx_destroy_pool(sweep->pool);
        sweep->pool = NULL;
    }

    sweep->op = NULL;
    sweep->refs = NULL;
    sweep->nrefs = 0;
    sweep->done = 0;
    sweep->active = 0;
}


static ngx_uint_t
ngx_iv_sweep_quits(void)
{
    return ngx_exiting || ngx_quit || ngx_terminate;
}
