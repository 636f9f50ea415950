#include "sweep/ngx_iv_sweep_private.h"
#include "metadata/ngx_iv_metadata_lists.h"


static ngx_int_t ngx_iv_sweep_holder(ngx_iv_sweep_t *sweep,
    ngx_cycle_t *cycle);
static void ngx_iv_sweep_timer(ngx_event_t *ev);
static void ngx_iv_sweep_next(ngx_event_t *ev);
static void ngx_iv_sweep_go_on(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_lease(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_leased(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_batch(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_stale_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_expired_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_audit(ngx_iv_sweep_t *sweep,
    ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_listed(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_quota_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_fill(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_end(ngx_iv_sweep_t *sweep);
static void ngx_iv_sweep_drop_batch(ngx_iv_sweep_t *sweep);
static ngx_uint_t ngx_iv_sweep_quits(void);


ngx_int_t
ngx_iv_sweep_start(ngx_cycle_t *cycle, const ngx_iv_sweep_conf_t *conf,
    ngx_iv_metadata_t *md, ngx_iv_storage_t **storages, ngx_uint_t nstorages,
    ngx_iv_zone_t *zone)
{
    ngx_uint_t       i;
    ngx_iv_sweep_t  *sweep;

    if (conf->interval == 0) {
        return NGX_OK;
    }

    sweep = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_sweep_t));
    if (sweep == NULL) {
        return NGX_ERROR;
    }

    sweep->storages = ngx_pcalloc(cycle->pool,
                                  nstorages * sizeof(ngx_iv_sweep_storage_t));
    if (sweep->storages == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < nstorages; i++) {
        sweep->storages[i].storage = storages[i];
    }

    if (ngx_array_init(&sweep->unknown, cycle->pool, 4, sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sweep->conf = *conf;
    sweep->metadata = md;
    sweep->nstorages = nstorages;
    sweep->zone = zone;
    sweep->log = cycle->log;
    sweep->ttl = ngx_max(3 * conf->interval, NGX_IV_SWEEP_LEASE_MIN);

    if (ngx_iv_sweep_holder(sweep, cycle) != NGX_OK) {
        return NGX_ERROR;
    }

    sweep->timer.handler = ngx_iv_sweep_timer;
    sweep->timer.data = sweep;
    sweep->timer.log = cycle->log;
    sweep->timer.cancelable = 1;

    sweep->next.handler = ngx_iv_sweep_next;
    sweep->next.data = sweep;
    sweep->next.log = cycle->log;

    /* soon: what a kill left behind need not lie about for an interval */

    ngx_add_timer(&sweep->timer,
                  1 + (ngx_msec_t) ngx_random()
                      % ngx_min(conf->interval, 1000));

    return NGX_OK;
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
    ngx_uint_t       i;
    ngx_iv_sweep_t  *sweep;

    sweep = ev->data;

    sweep->step = NGX_IV_SWEEP_STALE;
    sweep->stale = 0;
    sweep->expired = 0;
    sweep->deleted = 0;
    sweep->removed = 0;
    sweep->held = 0;
    sweep->full = 0;
    sweep->paged = 0;

    for (i = 0; i < sweep->nstorages; i++) {
        sweep->storages[i].failures = 0;
    }

    ngx_iv_sweep_lease(sweep);
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

static void
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
        ngx_iv_sweep_lease(sweep);
        return;
    }

    if (sweep->done < sweep->nrefs) {
        ngx_iv_sweep_fill(sweep);
        return;
    }

    ngx_iv_sweep_batch(sweep);
}


static void
ngx_iv_sweep_lease(ngx_iv_sweep_t *sweep)
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

    ngx_iv_metadata_lease(sweep->op, &sweep->holder, sweep->ttl);
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

    case NGX_IV_SWEEP_QUOTA:
        sweep->op->handler = ngx_iv_sweep_quota_done;
        ngx_iv_metadata_sweep_quota(sweep->op, sweep->conf.stale,
                                    NGX_IV_SWEEP_BATCH);
        break;

    case NGX_IV_SWEEP_STAGING:
        ngx_iv_metadata_sweep_staging(sweep->op, after, sweep->conf.stale,
                                      NGX_IV_SWEEP_BATCH);
        break;

    default: /* NGX_IV_SWEEP_SECOND */
        ngx_iv_metadata_sweep_second(sweep->op, after, sweep->conf.stale,
                                     NGX_IV_SWEEP_BATCH);
        break;
    }
}


static void
ngx_iv_sweep_stale_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (op->code != NGX_OK) {
        sweep->step = NGX_IV_SWEEP_END;

    } else {
        sweep->stale += op->count;
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

    if (op->code != NGX_OK) {
        sweep->step = NGX_IV_SWEEP_END;

    } else {
        sweep->expired += op->count;

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

    if (op->code != NGX_OK) {
        sweep->step = NGX_IV_SWEEP_END;
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


/* once in a pass: it chooses owners by chance */

static void
ngx_iv_sweep_quota_done(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t  *sweep;

    sweep = op->data;

    if (op->count) {
        ngx_log_error(NGX_LOG_INFO, sweep->log, 0,
                      "sweep: %ui quota entries dropped", op->count);
    }

    sweep->step = NGX_IV_SWEEP_END;

    ngx_post_event(&sweep->next, &ngx_posted_events);
}


static void
ngx_iv_sweep_fill(ngx_iv_sweep_t *sweep)
{
    while (sweep->active < NGX_IV_SWEEP_SIDE
           && sweep->done < sweep->nrefs
           && !ngx_iv_sweep_quits()
           && ngx_current_msec - sweep->leased <= sweep->ttl / 3)
    {
        if (ngx_iv_sweep_item(sweep, &sweep->refs[sweep->done++]) == NGX_OK) {
            sweep->active++;
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
    ngx_msec_t  jitter;

    ngx_iv_sweep_drop_batch(sweep);

    if (sweep->held) {
        ngx_iv_zone_add(sweep->zone, NGX_IV_COUNT_SWEEPS, 1);
    }

    if (sweep->stale || sweep->expired || sweep->deleted || sweep->removed) {
        ngx_log_error(NGX_LOG_NOTICE, sweep->log, 0,
                      "sweep: %ui broken uploads ended, %ui images expired, "
                      "%ui objects deleted, %ui documents removed",
                      sweep->stale, sweep->expired, sweep->deleted,
                      sweep->removed);
    }

    if (ngx_iv_sweep_quits()) {
        return;
    }

    /* nodes that were started together should not ask together */

    jitter = sweep->conf.interval / 4;

    ngx_add_timer(&sweep->timer, sweep->conf.interval - jitter / 2
                                 + (ngx_msec_t) ngx_random() % (jitter + 1));
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
