/*
 * A thread pool that takes one job at a time and does it when the test says
 * so.  In place of src/base/ngx_iv_thread.c.
 */

#ifndef IV_JOB_H
#define IV_JOB_H

#include "iv_test.h"
#include "iv_events.h"
#include "base/ngx_iv_thread.h"

#include <stdlib.h>


static ngx_iv_job_t  *job;              /* the last one posted */
static int            job_posted;       /* it waits, or runs */
static int            job_refused;      /* set: the queue is full */
static int            job_posts;        /* how many were taken */


ngx_iv_job_t *
ngx_iv_job_create(size_t ctx_size, ngx_log_t *log)
{
    ngx_iv_job_t  *j;

    j = calloc(1, sizeof(ngx_iv_job_t));
    j->ctx = calloc(1, ctx_size);

    return j;
}


static void
job_free(ngx_iv_job_t *j)
{
    j->destroy(j->ctx);
    free(j->ctx);
    free(j);
}


ngx_int_t
ngx_iv_job_post(ngx_iv_job_t *j, ngx_iv_queue_t *queue)
{
    if (job_refused) {
        return NGX_BUSY;
    }

    OK(!job_posted);
    job = j;
    job_posted = 1;
    job_posts++;

    return NGX_OK;
}


void
ngx_iv_job_release(ngx_iv_job_t *j)
{
    if (job_posted && job == j) {
        j->released = 1;
        return;
    }

    job_free(j);
}


/* does the job, if there is one, and what follows from it */

static void
thread(void)
{
    if (!job_posted) {
        return;
    }

    job->run(job->ctx, NULL);
    job_posted = 0;

    if (job->released) {
        job_free(job);

    } else {
        job->done(job);
    }

    turn();
}


#endif
