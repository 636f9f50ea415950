#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_document.h"


/* what the driver may take with all its own timeouts, and a queue in front */
#define NGX_IV_METADATA_LATE(timeout)  (5 * (timeout) + 10000)


static void ngx_iv_metadata_cancel(void *data);
static void ngx_iv_metadata_refused(ngx_event_t *ev);
static void ngx_iv_metadata_late(ngx_event_t *ev);
static ngx_int_t ngx_iv_metadata_result(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call);
static ngx_int_t ngx_iv_metadata_result_refs(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call);
static void ngx_iv_metadata_with_document(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const ngx_iv_document_t *doc);
static void ngx_iv_metadata_release_lease(ngx_iv_metadata_t *md);


ngx_iv_metadata_t *
ngx_iv_metadata_create(ngx_cycle_t *cycle, const ngx_iv_metadata_conf_t *conf,
    ngx_iv_zone_t *zone, ngx_iv_flights_t *flights, ngx_iv_queue_t *read,
    ngx_iv_queue_t *write)
{
    const char         *error;
    ngx_iv_metadata_t  *md;

    md = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_metadata_t));
    if (md == NULL) {
        return NULL;
    }

    md->mongo = ngx_iv_mongo_create(conf, cycle->log, &error);
    if (md->mongo == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "metadata store could not be set up: %s", error);
        return NULL;
    }

    md->zone = zone;
    md->cache = ngx_iv_zone_cache(zone);
    md->flights = flights;
    ngx_iv_breaker_join_database(&md->breaker, ngx_iv_zone_breakers(zone));
    md->read = read;
    md->write = write;
    md->log = cycle->log;
    md->quota = conf->quota;
    md->pause = NGX_IV_METADATA_RETRY_MIN;
    md->late = NGX_IV_METADATA_LATE(conf->timeout);

    ngx_iv_metadata_gather_init(&md->gets, md, ngx_iv_metadata_get_together);
    ngx_iv_metadata_gather_init(&md->writes, md,
                                ngx_iv_metadata_write_together);

    md->indexes.handler = ngx_iv_metadata_indexes;
    md->indexes.data = md;
    md->indexes.log = cycle->log;
    md->indexes.cancelable = 1;

    if (ngx_worker == 0) {
        ngx_add_timer(&md->indexes, 1);
    }

    return md;
}


void
ngx_iv_metadata_destroy(ngx_iv_metadata_t *md)
{
    if (md->indexes.timer_set) {
        ngx_del_timer(&md->indexes);
    }

    ngx_iv_metadata_gather_stop(&md->gets);
    ngx_iv_metadata_gather_stop(&md->writes);

    ngx_iv_audit_exit(md);

    /* a worker that is told to go at once leaves the results of calls behind;
     * the calls themselves are over, nginx has ended its threads before */

    if (md->active == 0) {
        ngx_iv_metadata_release_lease(md);
    }

    ngx_iv_mongo_destroy(md->mongo);
    md->mongo = NULL;
}


/* the one call outside of a thread: the worker has nothing else to do */

static void
ngx_iv_metadata_release_lease(ngx_iv_metadata_t *md)
{
    ngx_iv_mongo_call_t  call;

    ngx_memzero(&call, sizeof(ngx_iv_mongo_call_t));

    if (md->holder.len == 0 || !ngx_iv_metadata_may_call(md, &call)) {
        return;
    }

    call.mongo = md->mongo;
    call.kind = NGX_IV_MONGO_LEASE_RELEASE;
    call.holder = md->holder;

    ngx_iv_mongo_run(&call);
    ngx_iv_metadata_log_failure(&call, md->log);
    ngx_iv_metadata_give_up(md, &call);
}


ngx_uint_t
ngx_iv_metadata_has_quota(ngx_iv_metadata_t *md)
{
    return md->quota;
}


ngx_iv_metadata_op_t *
ngx_iv_metadata_op_create(ngx_iv_metadata_t *md, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_pool_cleanup_t       *cln;
    ngx_iv_metadata_op_t     *op;
    ngx_iv_metadata_state_t  *st;

    op = ngx_pcalloc(pool, sizeof(ngx_iv_metadata_op_t));
    st = ngx_pcalloc(pool, sizeof(ngx_iv_metadata_state_t));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (op == NULL || st == NULL || cln == NULL) {
        return NULL;
    }

    st->refused.handler = ngx_iv_metadata_refused;
    st->refused.data = op;
    st->refused.log = log;

    st->late.handler = ngx_iv_metadata_late;
    st->late.data = op;
    st->late.log = log;

    op->pool = pool;
    op->log = log;
    op->metadata = md;
    op->state = st;

    st->op = op;

    cln->handler = ngx_iv_metadata_cancel;
    cln->data = st;

    return op;
}


/*
 * The job is left to run out without its operation: what it learns about the
 * server is of use to all the same.
 */

static void
ngx_iv_metadata_cancel(void *data)
{
    ngx_iv_metadata_state_t  *st = data;

    if (st->refused.posted) {
        ngx_delete_posted_event(&st->refused);
    }

    if (st->late.timer_set) {
        ngx_del_timer(&st->late);
    }

    if (st->queued) {
        ngx_iv_metadata_get_leave(st);
    }

    if (st->job) {
        st->job->data = NULL;
        st->job = NULL;
    }
}


ngx_int_t
ngx_iv_metadata_reset(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind)
{
    ngx_iv_metadata_state_t  *st;

    st = op->state;

    if (st->busy) {
        ngx_log_error(NGX_LOG_ALERT, op->log, 0,
                      "metadata %s begun while another call is under way",
                      ngx_iv_mongo_name(kind));
        return NGX_ERROR;
    }

    st->busy = 1;
    st->start = ngx_current_msec;

    op->code = NGX_OK;
    op->unknown = 0;
    op->document = NULL;
    op->refs = NULL;
    op->nrefs = 0;
    op->count = 0;
    op->used = 0;
    op->limit = 0;
    op->default_expiry = 0;
    op->found = NULL;
    op->sweep = NULL;
    op->outcomes = NULL;
    op->noutcomes = 0;
    op->status = 0;

    return NGX_OK;
}


/* NULL: the operation is refused already */

ngx_iv_mongo_call_t *
ngx_iv_metadata_begin(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind)
{
    ngx_iv_metadata_t        *md;
    ngx_iv_metadata_work_t   *work;
    ngx_iv_metadata_state_t  *st;

    md = op->metadata;
    st = op->state;

    if (ngx_iv_metadata_reset(op, kind) != NGX_OK) {
        return NULL;
    }

    ngx_iv_zone_add(md->zone, NGX_IV_COUNT_METADATA_REQUESTS, 1);

    st->job = ngx_iv_job_create(sizeof(ngx_iv_metadata_work_t), md->log);
    if (st->job == NULL) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return NULL;
    }

    work = st->job->ctx;

    if (!ngx_iv_metadata_may_call(md, &work->call)) {

        if (md->refused++ == 0) {
            ngx_log_error(NGX_LOG_INFO, op->log, 0,
                          "metadata %s refused, the metadata store is not "
                          "available", ngx_iv_mongo_name(kind));
        }

        ngx_iv_metadata_refuse(op, NGX_IV_METADATA_UNAVAILABLE);
        return NULL;
    }

    st->job->run = ngx_iv_metadata_run;
    st->job->done = ngx_iv_metadata_done;
    st->job->data = op;

    work->metadata = md;
    work->call.mongo = md->mongo;
    work->call.pool = st->job->pool;
    work->call.kind = kind;

    return &work->call;
}


void
ngx_iv_metadata_post(ngx_iv_metadata_op_t *op)
{
    ngx_int_t                 rc;
    ngx_iv_queue_t           *queue;
    ngx_iv_metadata_t        *md;
    ngx_iv_metadata_work_t   *work;
    ngx_iv_metadata_state_t  *st;

    st = op->state;
    md = op->metadata;
    work = st->job->ctx;

    queue = (work->call.kind < NGX_IV_MONGO_INSERT) ? md->read : md->write;

    if (work->call.kind == NGX_IV_MONGO_INSERT
        || work->call.kind == NGX_IV_MONGO_READY)
    {
        rc = ngx_iv_metadata_write(md, st->job);

    } else {
        rc = ngx_iv_job_post(st->job, queue);
    }

    if (rc == NGX_OK) {
        md->active++;
        ngx_add_timer(&st->late, md->late);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, op->log, 0,
                  "metadata %s refused, its queue is full: %ui calls wait",
                  ngx_iv_mongo_name(work->call.kind), queue->active);

    ngx_iv_zone_add(md->zone, NGX_IV_COUNT_OVERLOADED, 1);
    ngx_iv_metadata_refuse(op, NGX_IV_OVERLOADED);
}


/* the handler is never called from within the starting call */

void
ngx_iv_metadata_refuse(ngx_iv_metadata_op_t *op, ngx_int_t code)
{
    ngx_iv_metadata_work_t   *work;
    ngx_iv_metadata_state_t  *st;

    st = op->state;

    if (st->job) {
        work = st->job->ctx;

        ngx_iv_metadata_give_up(op->metadata, &work->call);
        ngx_iv_job_release(st->job);
        st->job = NULL;
    }

    op->code = code;

    ngx_post_event(&st->refused, &ngx_posted_events);
}


static void
ngx_iv_metadata_refused(ngx_event_t *ev)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_metadata_state_t  *st;

    op = ev->data;
    st = op->state;

    st->busy = 0;
    op->time = 0;
    op->handler(op);
}


/*
 * The thread pool is shared with work that may hang, and the driver's timeouts
 * can be set to none.  The job is left to run out.
 */

static void
ngx_iv_metadata_late(ngx_event_t *ev)
{
    ngx_iv_metadata_op_t     *op;
    ngx_iv_metadata_work_t   *work;
    ngx_iv_metadata_state_t  *st;

    op = ev->data;
    st = op->state;
    work = st->job->ctx;

    ngx_log_error(NGX_LOG_ERR, op->log, 0,
                  "metadata %s failed: its thread did not come back in %M ms",
                  ngx_iv_mongo_name(work->call.kind), op->metadata->late);

    ngx_iv_zone_add(op->metadata->zone, NGX_IV_COUNT_METADATA_ERRORS, 1);

    op->code = NGX_IV_METADATA_UNAVAILABLE;
    op->unknown = (work->call.kind >= NGX_IV_MONGO_INSERT);
    op->time = ngx_current_msec - st->start;

    ngx_iv_zone_time(op->metadata->zone,
                     (work->call.kind < NGX_IV_MONGO_INSERT)
                     ? NGX_IV_TIME_METADATA_READ : NGX_IV_TIME_METADATA_WRITE,
                     op->time);

    st->job->data = NULL;
    st->job = NULL;
    st->busy = 0;

    op->handler(op);
}


void
ngx_iv_metadata_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_metadata_work_t  *work = ctx;

    if (ngx_iv_metadata_skip(work)) {
        return;
    }

    ngx_iv_mongo_run(&work->call);
    ngx_iv_metadata_drop(work->metadata, &work->call);
}


/*
 * What was queued before the breaker opened would take a timeout each, one
 * after the other: the last of a long queue would wait for minutes.
 */

ngx_uint_t
ngx_iv_metadata_skip(ngx_iv_metadata_work_t *work)
{
    if (work->call.trial
        || ngx_iv_breaker_state(&work->metadata->breaker)
           == NGX_IV_BREAKER_CLOSED)
    {
        return 0;
    }

    work->call.code = NGX_IV_METADATA_UNAVAILABLE;
    work->call.skipped = 1;

    return 1;
}


void
ngx_iv_metadata_done(ngx_iv_job_t *job)
{
    ngx_iv_metadata_t        *md;
    ngx_iv_metadata_op_t     *op;
    ngx_iv_metadata_work_t   *work;
    ngx_iv_metadata_state_t  *st;

    op = job->data;
    work = job->ctx;
    md = work->metadata;

    md->active--;

    ngx_iv_metadata_forget(md, &work->call);
    ngx_iv_metadata_learn(md, &work->call, op ? op->log : md->log);

    if (op == NULL) {
        ngx_iv_job_release(job);
        return;
    }

    st = op->state;
    st->job = NULL;
    st->busy = 0;

    if (st->late.timer_set) {
        ngx_del_timer(&st->late);
    }

    op->time = ngx_current_msec - st->start;

    ngx_iv_zone_time(md->zone, (work->call.kind < NGX_IV_MONGO_INSERT)
                               ? NGX_IV_TIME_METADATA_READ
                               : NGX_IV_TIME_METADATA_WRITE, op->time);

    if (work->call.code == NGX_IV_QUOTA_EXCEEDED) {
        ngx_iv_zone_add(md->zone, NGX_IV_COUNT_QUOTA_REFUSED, 1);
    }

    op->code = work->call.code;
    op->unknown = work->call.unknown;
    op->count = work->call.count;
    op->fence = work->call.fence;
    op->used = work->call.used;
    op->limit = work->call.quota_limit;
    op->default_expiry = work->call.default_expiry;
    op->status = work->call.status;

    if (op->code == NGX_OK
        && ngx_iv_metadata_result(op, &work->call) != NGX_OK)
    {
        op->code = NGX_IV_INTERNAL;
    }

    ngx_iv_job_release(job);

    op->handler(op);
}


static ngx_int_t
ngx_iv_metadata_result(ngx_iv_metadata_op_t *op, ngx_iv_mongo_call_t *call)
{
    if (call->kind == NGX_IV_MONGO_GET
        || call->kind == NGX_IV_MONGO_DIRECT_CLAIM)
    {
        op->document = ngx_palloc(op->pool, sizeof(ngx_iv_document_t));
        if (op->document == NULL) {
            return NGX_ERROR;
        }

        return ngx_iv_document_copy(op->pool, op->document, &call->document);
    }

    if (call->sweep) {
        return ngx_iv_metadata_sweep_state(op, call);
    }

    if (call->lists && call->kind != NGX_IV_MONGO_REPORT_KEYS) {
        return ngx_iv_metadata_found(op, call);
    }

    if (call->nrefs) {
        return ngx_iv_metadata_result_refs(op, call);
    }

    if (call->kind == NGX_IV_MONGO_REQUEST_BEGIN) {
        return ngx_iv_metadata_outcomes(op->pool, &op->outcomes,
                                        &op->noutcomes, call->outcomes,
                                        call->noutcomes);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_result_refs(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call)
{
    ngx_uint_t              i;
    ngx_iv_metadata_ref_t  *ref;

    op->refs = ngx_palloc(op->pool,
                          call->nrefs * sizeof(ngx_iv_metadata_ref_t));
    if (op->refs == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < call->nrefs; i++) {
        ref = &op->refs[i];
        *ref = call->refs[i];

        if (ngx_iv_copy_str(op->pool, &ref->key, &call->refs[i].key)
            != NGX_OK
            || ngx_iv_copy_str(op->pool, &ref->storage,
                               &call->refs[i].storage)
               != NGX_OK
            || ngx_iv_copy_str(op->pool, &ref->owner,
                               &call->refs[i].owner)
               != NGX_OK
            || ngx_iv_copy_str(op->pool, &ref->upload_id,
                               &call->refs[i].upload_id)
               != NGX_OK
            || ngx_iv_copy_str(op->pool, &ref->staging_key,
                               &call->refs[i].staging_key)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    op->nrefs = call->nrefs;

    return NGX_OK;
}


void
ngx_iv_metadata_by_id(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const u_char *id)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);
    ngx_iv_metadata_post(op);
}


static void
ngx_iv_metadata_with_document(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const ngx_iv_document_t *doc)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, doc->id, NGX_IV_ID_LEN);

    if (ngx_iv_document_copy(call->pool, &call->document, doc) != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_insert(ngx_iv_metadata_op_t *op, const ngx_iv_document_t *doc)
{
    ngx_iv_metadata_with_document(op, NGX_IV_MONGO_INSERT, doc);
}


void
ngx_iv_metadata_touch(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_by_id(op, NGX_IV_MONGO_TOUCH, id);
}


void
ngx_iv_metadata_ready(ngx_iv_metadata_op_t *op, const ngx_iv_document_t *doc)
{
    ngx_iv_metadata_with_document(op, NGX_IV_MONGO_READY, doc);
}


void
ngx_iv_metadata_fail(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const char *why)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_FAIL);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);
    (void) ngx_cpystrn(call->why, (u_char *) why, NGX_IV_MONGO_WHY_LEN);

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_sweep_first(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_FIRST, after, 0, limit);
}


void
ngx_iv_metadata_sweep_second(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_SECOND, after, stale, limit);
}


void
ngx_iv_metadata_sweep_uploads(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_UPLOADS, after, stale, limit);
}


void
ngx_iv_metadata_uploads_ended(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_by_id(op, NGX_IV_MONGO_UPLOADS_ENDED, id);
}


void
ngx_iv_metadata_list(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, kind);
    if (call == NULL) {
        return;
    }

    call->ttl = stale;
    call->limit = limit;

    if (kind == NGX_IV_MONGO_SWEEP_STALE) {
        (void) ngx_cpystrn(call->why, (u_char *) "the upload broke off",
                           NGX_IV_MONGO_WHY_LEN);
    }

    if (after) {
        ngx_memcpy(call->after_id, after->id, NGX_IV_ID_LEN);

        if (kind == NGX_IV_MONGO_SWEEP_STAGING) {
            call->after = after->direct_deadline;

        } else if (kind == NGX_IV_MONGO_SWEEP_UPLOADS) {
            call->after = after->uploads_at;

        } else {
            call->after = after->deleted_at;
        }
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_object_deleted(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_by_id(op, NGX_IV_MONGO_OBJECT_DELETED, id);
}


void
ngx_iv_metadata_remove(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_by_id(op, NGX_IV_MONGO_REMOVE, id);
}


void
ngx_iv_metadata_ping(ngx_iv_metadata_op_t *op)
{
    if (ngx_iv_metadata_begin(op, NGX_IV_MONGO_PING)) {
        ngx_iv_metadata_post(op);
    }
}
