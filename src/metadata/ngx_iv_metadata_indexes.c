#include "metadata/ngx_iv_metadata_private.h"


static void ngx_iv_metadata_indexes_done(ngx_iv_job_t *job);
static void ngx_iv_metadata_indexes_again(ngx_iv_metadata_t *md);


/*
 * Building an index may take longer than a call: the socket's timeout then
 * says nothing about the server, thus the breaker is left alone.  The server
 * goes on building, and a later try finds the index.
 */

void
ngx_iv_metadata_indexes(ngx_event_t *ev)
{
    ngx_iv_job_t            *job;
    ngx_iv_metadata_t       *md;
    ngx_iv_metadata_work_t  *work;

    md = ev->data;

    job = ngx_iv_job_create(sizeof(ngx_iv_metadata_work_t), md->log);
    if (job == NULL) {
        ngx_iv_metadata_indexes_again(md);
        return;
    }

    job->run = ngx_iv_metadata_run;
    job->done = ngx_iv_metadata_indexes_done;

    work = job->ctx;

    work->metadata = md;
    work->call.mongo = md->mongo;
    work->call.pool = job->pool;
    work->call.kind = NGX_IV_MONGO_INDEXES;

    if (ngx_iv_job_post(job, md->write) != NGX_OK) {
        ngx_iv_job_release(job);
        ngx_iv_metadata_indexes_again(md);
        return;
    }

    md->active++;
}


static void
ngx_iv_metadata_indexes_done(ngx_iv_job_t *job)
{
    ngx_int_t                code;
    ngx_iv_metadata_t       *md;
    ngx_iv_metadata_work_t  *work;

    work = job->ctx;
    md = work->metadata;
    code = work->call.code;

    md->active--;

    ngx_iv_metadata_log_failure(&work->call, md->log);
    ngx_iv_job_release(job);

    if (code != NGX_OK) {
        ngx_iv_metadata_indexes_again(md);
    }
}


static void
ngx_iv_metadata_indexes_again(ngx_iv_metadata_t *md)
{
    if (ngx_exiting || ngx_terminate || ngx_quit) {
        return;
    }

    ngx_add_timer(&md->indexes, md->pause);

    md->pause = ngx_min(md->pause * 2, NGX_IV_METADATA_RETRY_MAX);
}
