#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_direct.h"
#include "sweep/ngx_iv_sweep.h"


#define NGX_IV_SWEEP_BATCH      100
#define NGX_IV_SWEEP_SIDE       4           /* deletes side by side */
#define NGX_IV_SWEEP_FAILURES   16          /* in a row: leave the storage */
#define NGX_IV_SWEEP_LEASE_MIN  10000
#define NGX_IV_SWEEP_UNKNOWN    32          /* names to be told of */


typedef enum {
    NGX_IV_SWEEP_STALE = 0,
    NGX_IV_SWEEP_EXPIRED,
    NGX_IV_SWEEP_FIRST,
    NGX_IV_SWEEP_SECOND,
    NGX_IV_SWEEP_QUOTA,
    NGX_IV_SWEEP_END
} ngx_iv_sweep_step_e;


typedef struct {
    ngx_iv_storage_t       *storage;
    ngx_uint_t              failures;       /* in a row, in this pass */
} ngx_iv_sweep_storage_t;


typedef struct {
    ngx_iv_sweep_conf_t     conf;
    ngx_iv_metadata_t      *metadata;
    ngx_iv_sweep_storage_t *storages;
    ngx_uint_t              nstorages;
    ngx_iv_zone_t          *zone;
    ngx_log_t              *log;

    ngx_event_t             timer;
    ngx_str_t               holder;
    ngx_msec_t              ttl;
    ngx_array_t             unknown;        /* ngx_str_t, told of already */

    /* one pass */
    ngx_iv_sweep_step_e     step;
    ngx_pool_t             *pool;           /* of the present batch */
    ngx_event_t             next;           /* out of callbacks: go on */
    ngx_iv_metadata_op_t   *op;
    ngx_msec_t              leased;
    ngx_uint_t              stale;
    ngx_uint_t              expired;
    ngx_uint_t              deleted;
    ngx_uint_t              removed;

    /* one batch */
    ngx_iv_metadata_ref_t  *refs;
    ngx_uint_t              nrefs;
    ngx_uint_t              done;           /* begun */
    ngx_uint_t              active;
    ngx_iv_metadata_ref_t   after;          /* the last batch's end */
    unsigned                full:1;         /* there may be more */
    unsigned                held:1;
} ngx_iv_sweep_t;


/* one document of a batch */
typedef struct {
    ngx_iv_sweep_t         *sweep;
    ngx_iv_sweep_storage_t *storage;
    ngx_iv_metadata_ref_t  *ref;
    ngx_iv_storage_op_t    *storage_op;
    ngx_iv_metadata_op_t   *op;
} ngx_iv_sweep_item_t;


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
static void ngx_iv_sweep_listed(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_quota_done(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_fill(ngx_iv_sweep_t *sweep);
static ngx_int_t ngx_iv_sweep_item(ngx_iv_sweep_t *sweep,
    ngx_iv_metadata_ref_t *ref);
static void ngx_iv_sweep_aborted(ngx_iv_storage_op_t *op);
static void ngx_iv_sweep_delete(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_object_deleted(ngx_iv_storage_op_t *op);
static void ngx_iv_sweep_released(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_note(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_noted(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_item_done(ngx_iv_sweep_t *sweep);
static ngx_iv_sweep_storage_t *ngx_iv_sweep_storage(ngx_iv_sweep_t *sweep,
    const ngx_str_t *name);
static void ngx_iv_sweep_unknown(ngx_iv_sweep_t *sweep,
    const ngx_str_t *name);
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
    sweep->after.deleted_at = 0;

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

    after = sweep->after.deleted_at ? &sweep->after : NULL;

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

        if (op->count == 0) {
            sweep->step = NGX_IV_SWEEP_FIRST;
        }
    }

    ngx_post_event(&sweep->next, &ngx_posted_events);
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

    if (op->nrefs == NGX_IV_SWEEP_BATCH) {
        sweep->after = op->refs[op->nrefs - 1];
        ngx_str_null(&sweep->after.key);
        ngx_str_null(&sweep->after.storage);
        ngx_str_null(&sweep->after.owner);
        ngx_str_null(&sweep->after.upload_id);

    } else {
        sweep->after.deleted_at = 0;
    }

    sweep->full = (op->nrefs == NGX_IV_SWEEP_BATCH);

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


/* NGX_DECLINED: not in this pass */

static ngx_int_t
ngx_iv_sweep_item(ngx_iv_sweep_t *sweep, ngx_iv_metadata_ref_t *ref)
{
    ngx_iv_sweep_item_t     *item;
    ngx_iv_sweep_storage_t  *storage;

    storage = ngx_iv_sweep_storage(sweep, &ref->storage);

    if (storage == NULL) {
        ngx_iv_sweep_unknown(sweep, &ref->storage);
        return NGX_DECLINED;
    }

    if (storage->failures >= NGX_IV_SWEEP_FAILURES) {
        return NGX_DECLINED;
    }

    item = ngx_palloc(sweep->pool, sizeof(ngx_iv_sweep_item_t));
    if (item == NULL) {
        return NGX_DECLINED;
    }

    item->sweep = sweep;
    item->storage = storage;
    item->ref = ref;
    item->op = ngx_iv_metadata_op_create(sweep->metadata, sweep->pool,
                                         sweep->log);
    item->storage_op = ngx_iv_storage_op_create(storage->storage, sweep->pool,
                                                sweep->log);

    if (item->op == NULL || item->storage_op == NULL) {
        return NGX_DECLINED;
    }

    item->op->data = item;

    item->storage_op->key = ref->key;
    item->storage_op->data = item;

    /* the upload first: completed late, it would make the object again */

    if (ref->upload_id.len
        && ngx_iv_storage_needs_parts(storage->storage))
    {
        item->storage_op->upload_id = ref->upload_id;
        item->storage_op->handler = ngx_iv_sweep_aborted;

        ngx_iv_storage_multi_abort(item->storage_op);

        return NGX_OK;
    }

    ngx_iv_sweep_delete(item);

    return NGX_OK;
}


static void
ngx_iv_sweep_aborted(ngx_iv_storage_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    if (op->code != NGX_OK) {
        item->storage->failures++;
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    ngx_iv_sweep_delete(item);
}


static void
ngx_iv_sweep_delete(ngx_iv_sweep_item_t *item)
{
    item->storage_op->handler = ngx_iv_sweep_object_deleted;

    ngx_iv_storage_delete(item->storage_op);
}


static void
ngx_iv_sweep_object_deleted(ngx_iv_storage_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    if (op->code != NGX_OK) {
        item->storage->failures++;
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    item->storage->failures = 0;

    if (item->ref->owner.len == 0
        || !ngx_iv_metadata_has_quota(item->sweep->metadata))
    {
        ngx_iv_sweep_note(item);
        return;
    }

    /* before the document goes, and with it the knowledge of the entry */

    item->op->handler = ngx_iv_sweep_released;

    ngx_iv_metadata_quota_release(item->op, &item->ref->owner,
                                  item->ref->id);
}


static void
ngx_iv_sweep_released(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    if (op->code != NGX_OK) {
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    ngx_iv_sweep_note(item);
}


static void
ngx_iv_sweep_note(ngx_iv_sweep_item_t *item)
{
    item->op->handler = ngx_iv_sweep_noted;

    if (item->sweep->step == NGX_IV_SWEEP_FIRST) {
        ngx_iv_metadata_object_deleted(item->op, item->ref->id);

    } else {
        ngx_iv_metadata_remove(item->op, item->ref->id);
    }
}


static void
ngx_iv_sweep_noted(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t       *sweep;
    ngx_iv_sweep_item_t  *item;

    item = op->data;
    sweep = item->sweep;

    if (op->code == NGX_OK) {

        if (sweep->step == NGX_IV_SWEEP_FIRST) {
            sweep->deleted++;

        } else {
            sweep->removed++;
            ngx_iv_zone_add(sweep->zone, NGX_IV_COUNT_SWEEP_DELETED, 1);
        }
    }

    ngx_iv_sweep_item_done(sweep);
}


static void
ngx_iv_sweep_item_done(ngx_iv_sweep_t *sweep)
{
    sweep->active--;
    ngx_iv_sweep_fill(sweep);
}


static ngx_iv_sweep_storage_t *
ngx_iv_sweep_storage(ngx_iv_sweep_t *sweep, const ngx_str_t *name)
{
    ngx_uint_t        i;
    const ngx_str_t  *have;

    for (i = 0; i < sweep->nstorages; i++) {
        have = &sweep->storages[i].storage->conf->name;

        if (have->len == name->len
            && ngx_memcmp(have->data, name->data, name->len) == 0)
        {
            return &sweep->storages[i];
        }
    }

    return NULL;
}


/* once for each name; names come from documents: not without end */

static void
ngx_iv_sweep_unknown(ngx_iv_sweep_t *sweep, const ngx_str_t *name)
{
    ngx_str_t   *told;
    ngx_uint_t   i;

    told = sweep->unknown.elts;

    for (i = 0; i < sweep->unknown.nelts; i++) {
        if (told[i].len == name->len
            && ngx_memcmp(told[i].data, name->data, name->len) == 0)
        {
            return;
        }
    }

    if (sweep->unknown.nelts == NGX_IV_SWEEP_UNKNOWN || name->len > 256) {
        return;
    }

    told = ngx_array_push(&sweep->unknown);
    if (told == NULL) {
        return;
    }

    told->len = name->len;
    told->data = ngx_pstrdup(sweep->unknown.pool, (ngx_str_t *) name);

    if (told->data == NULL) {
        sweep->unknown.nelts--;
        return;
    }

    ngx_log_error(NGX_LOG_WARN, sweep->log, 0,
                  "sweep leaves images of storage \"%V\", which is not "
                  "configured here", name);
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
