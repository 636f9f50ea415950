/*
 * The thread hop: jobs in nginx's thread pools.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_thread.h"


/* how often a worker that quits looks again whether its threads are through */
#define NGX_IV_JOB_GUARD  60000


static void ngx_iv_job_active(ngx_iv_queue_t *queue, ngx_uint_t active);
static void ngx_iv_job_run(void *data, ngx_log_t *log);
static void ngx_iv_job_event(ngx_event_t *ev);
static void ngx_iv_job_destroy(ngx_iv_job_t *job);


ngx_iv_job_t *
ngx_iv_job_create(size_t ctx_size, ngx_log_t *log)
{
    ngx_pool_t         *pool;
    ngx_iv_job_t       *job;
    ngx_thread_task_t  *task;

    /* a job may outlive the log of whoever asked for it */

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        ngx_log_error(NGX_LOG_WARN, log, 0, "no memory for a thread job");
        return NULL;
    }

    job = ngx_pcalloc(pool, sizeof(ngx_iv_job_t));
    if (job == NULL) {
        goto failed;
    }

    job->pool = pool;

    job->ctx = ngx_pcalloc(pool, ngx_max(ctx_size, 1));
    if (job->ctx == NULL) {
        goto failed;
    }

    task = ngx_thread_task_alloc(pool, 0);
    if (task == NULL) {
        goto failed;
    }

    task->ctx = job;
    task->handler = ngx_iv_job_run;

    job->task = task;

    return job;

failed:

    ngx_log_error(NGX_LOG_WARN, log, 0, "no memory for a thread job");

    ngx_destroy_pool(pool);

    return NULL;
}


ngx_int_t
ngx_iv_job_post(ngx_iv_job_t *job, ngx_iv_queue_t *queue)
{
    ngx_thread_task_t  *task;

    if (job->busy || job->released) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "thread job is already under way");
        return NGX_ERROR;
    }

    if (queue->pool == NULL) {
        return NGX_ERROR;
    }

    if (queue->max && queue->active >= queue->max) {
        return NGX_BUSY;
    }

    task = job->task;

    ngx_memzero(&task->event, sizeof(ngx_event_t));

    task->event.data = job;
    task->event.handler = ngx_iv_job_event;
    task->event.log = ngx_cycle->log;

    /* without a timer a quitting worker would not wait for the thread */

    ngx_add_timer(&task->event, NGX_IV_JOB_GUARD);

    if (ngx_thread_task_post(queue->pool, task) != NGX_OK) {
        ngx_del_timer(&task->event);
        return NGX_ERROR;
    }

    job->queue = queue;
    job->busy = 1;

    ngx_iv_job_active(queue, queue->active + 1);

    return NGX_OK;
}


static void
ngx_iv_job_active(ngx_iv_queue_t *queue, ngx_uint_t active)
{
    queue->active = active;

    if (queue->gauge) {
        *queue->gauge = active;
    }
}


void
ngx_iv_job_release(ngx_iv_job_t *job)
{
    if (job->busy) {
        job->released = 1;
        return;
    }

    ngx_iv_job_destroy(job);
}


static void
ngx_iv_job_run(void *data, ngx_log_t *log)
{
    ngx_iv_job_t *job = data;

    job->run(job->ctx, log);
}


static void
ngx_iv_job_event(ngx_event_t *ev)
{
    ngx_iv_job_t  *job;

    job = ev->data;

    if (ev->timedout) {
        ev->timedout = 0;
        ngx_add_timer(ev, NGX_IV_JOB_GUARD);
        return;
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    job->busy = 0;
    ngx_iv_job_active(job->queue, job->queue->active - 1);

    if (job->released) {
        ngx_iv_job_destroy(job);
        return;
    }

    /* the job may be gone afterwards */

    job->done(job);
}


static void
ngx_iv_job_destroy(ngx_iv_job_t *job)
{
    if (job->destroy) {
        job->destroy(job->ctx);
    }

    ngx_destroy_pool(job->pool);
}
