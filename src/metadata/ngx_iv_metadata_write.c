/*
 * The writes of uploads, inserts and changes to ready, together
 * (ngx_iv_metadata_gather.c).
 *
 * Each write has its job.  That of the first one takes the others along, which
 * are not posted themselves; all of them run out, whoever goes away meanwhile.
 */

#include "metadata/ngx_iv_metadata_private.h"


static ngx_int_t ngx_iv_metadata_write_post(ngx_iv_metadata_t *md,
    ngx_iv_metadata_work_t *work);
static void ngx_iv_metadata_write_refuse(ngx_iv_metadata_t *md,
    ngx_iv_metadata_work_t *work);
static void ngx_iv_metadata_write_run(void *ctx, ngx_log_t *log);
static void ngx_iv_metadata_write_done(ngx_iv_job_t *job);
static void ngx_iv_metadata_write_settle(ngx_iv_metadata_t *md,
    ngx_iv_metadata_work_t *work);
static ngx_iv_metadata_work_t *ngx_iv_metadata_write_next(
    ngx_queue_t *queue);


ngx_int_t
ngx_iv_metadata_write(ngx_iv_metadata_t *md, ngx_iv_job_t *job)
{
    ngx_iv_metadata_work_t  *work;

    work = job->ctx;

    work->job = job;
    ngx_queue_init(&work->others);

    if (md->writes.nwaiting == 0 && ngx_iv_metadata_gather_free(&md->writes)) {
        return ngx_iv_metadata_write_post(md, work);
    }

    if (md->write->max
        && md->write->active + md->writes.nwaiting >= md->write->max)
    {
        return NGX_BUSY;
    }

    ngx_queue_insert_tail(&md->writes.waiting, &work->queue);
    md->writes.nwaiting++;

    ngx_iv_metadata_gather_wait(&md->writes);

    return NGX_OK;
}


static ngx_int_t
ngx_iv_metadata_write_post(ngx_iv_metadata_t *md, ngx_iv_metadata_work_t *work)
{
    ngx_int_t  rc;

    work->job->run = ngx_iv_metadata_write_run;
    work->job->done = ngx_iv_metadata_write_done;

    rc = ngx_iv_job_post(work->job, md->write);

    if (rc == NGX_OK) {
        md->writes.active++;
    }

    return rc;
}


void
ngx_iv_metadata_write_together(ngx_iv_metadata_t *md)
{
    ngx_uint_t               n;
    ngx_iv_metadata_work_t  *first, *work;

    first = ngx_iv_metadata_write_next(&md->writes.waiting);
    md->writes.nwaiting--;

    for (n = 1; n < NGX_IV_MONGO_MANY && md->writes.nwaiting; n++) {
        work = ngx_iv_metadata_write_next(&md->writes.waiting);
        md->writes.nwaiting--;

        ngx_queue_insert_tail(&first->others, &work->queue);
    }

    if (ngx_iv_metadata_write_post(md, first) == NGX_OK) {
        return;
    }

    while (!ngx_queue_empty(&first->others)) {
        ngx_iv_metadata_write_refuse(md,
                                  ngx_iv_metadata_write_next(&first->others));
    }

    ngx_iv_metadata_write_refuse(md, first);
}


/* the thread pool has no place for it */

static void
ngx_iv_metadata_write_refuse(ngx_iv_metadata_t *md,
    ngx_iv_metadata_work_t *work)
{
    ngx_log_error(NGX_LOG_WARN, md->log, 0,
                  "metadata %s refused, its queue is full: %ui calls wait",
                  ngx_iv_mongo_name(work->call.kind), md->write->active);

    ngx_iv_zone_add(md->zone, NGX_IV_COUNT_OVERLOADED, 1);

    work->call.code = NGX_IV_OVERLOADED;

    ngx_iv_metadata_done(work->job);
}


/* in a thread */

static void
ngx_iv_metadata_write_run(void *ctx, ngx_log_t *log)
{
    ngx_uint_t               i, n;
    ngx_queue_t             *q;
    ngx_iv_mongo_call_t     *calls[NGX_IV_MONGO_MANY];
    ngx_iv_metadata_work_t  *first = ctx, *work;

    n = 0;

    if (!ngx_iv_metadata_skip(first)) {
        calls[n++] = &first->call;
    }

    for (q = ngx_queue_head(&first->others);
         q != ngx_queue_sentinel(&first->others);
         q = ngx_queue_next(q))
    {
        work = ngx_queue_data(q, ngx_iv_metadata_work_t, queue);

        if (!ngx_iv_metadata_skip(work)) {
            calls[n++] = &work->call;
        }
    }

    if (n == 1) {
        ngx_iv_mongo_run(calls[0]);

    } else if (n) {
        ngx_iv_mongo_run_many(calls, n);
    }

    for (i = 0; i < n; i++) {
        ngx_iv_metadata_drop(first->metadata, calls[i]);
    }
}


static void
ngx_iv_metadata_write_done(ngx_iv_job_t *job)
{
    ngx_queue_t              others;
    ngx_iv_metadata_t       *md;
    ngx_iv_metadata_work_t  *first;

    first = job->ctx;
    md = first->metadata;

    md->writes.active--;

    /* who is told may do anything, and the first one's job ends with that */

    ngx_queue_init(&others);

    if (!ngx_queue_empty(&first->others)) {
        ngx_queue_add(&others, &first->others);
        ngx_queue_init(&first->others);
    }

    ngx_iv_metadata_write_settle(md, first);

    while (!ngx_queue_empty(&others)) {
        ngx_iv_metadata_write_settle(md,
                                     ngx_iv_metadata_write_next(&others));
    }

    ngx_iv_metadata_gather_more(&md->writes);
}


static void
ngx_iv_metadata_write_settle(ngx_iv_metadata_t *md,
    ngx_iv_metadata_work_t *work)
{
    if (work->call.alone) {
        work->call.alone = 0;

        work->job->run = ngx_iv_metadata_run;
        work->job->done = ngx_iv_metadata_done;

        if (ngx_iv_job_post(work->job, md->write) == NGX_OK) {
            return;
        }

        if (work->call.code == NGX_OK) {
            work->call.code = NGX_IV_OVERLOADED;
            work->call.unknown = 1;
        }
    }

    ngx_iv_metadata_done(work->job);
}


static ngx_iv_metadata_work_t *
ngx_iv_metadata_write_next(ngx_queue_t *queue)
{
    ngx_queue_t  *q;

    q = ngx_queue_head(queue);
    ngx_queue_remove(q);

    return ngx_queue_data(q, ngx_iv_metadata_work_t, queue);
}
