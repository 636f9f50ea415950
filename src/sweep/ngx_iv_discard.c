#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "sweep/ngx_iv_discard.h"


#define NGX_IV_DISCARD_SIDE     8           /* of a worker, side by side */
#define NGX_IV_DISCARD_WAITING  1000


struct ngx_iv_discard_s {
    ngx_iv_metadata_t      *metadata;
    ngx_iv_storage_t      **storages;
    ngx_uint_t              nstorages;
    ngx_log_t              *log;

    ngx_queue_t             waiting;        /* ngx_iv_discard_job_t */
    ngx_uint_t              nwaiting;
    ngx_uint_t              active;
};


/* in a pool of its own */
typedef struct {
    ngx_queue_t             queue;
    ngx_iv_discard_t       *discard;
    ngx_pool_t             *pool;
    ngx_iv_storage_t       *storage;
    ngx_iv_metadata_ref_t   ref;
    unsigned                staged:1;       /* of its two objects the second */
} ngx_iv_discard_job_t;


static ngx_iv_storage_t *ngx_iv_discard_storage(ngx_iv_discard_t *discard,
    const ngx_str_t *name);
static ngx_iv_discard_job_t *ngx_iv_discard_job(ngx_iv_discard_t *discard,
    const ngx_iv_metadata_ref_t *ref);
static void ngx_iv_discard_go_on(ngx_iv_discard_t *discard);
static void ngx_iv_discard_start(ngx_iv_discard_job_t *job);
static void ngx_iv_discard_aborted(ngx_iv_storage_op_t *op);
static void ngx_iv_discard_delete(ngx_iv_discard_job_t *job);
static void ngx_iv_discard_deleted(ngx_iv_storage_op_t *op);
static void ngx_iv_discard_release(ngx_iv_discard_job_t *job);
static void ngx_iv_discard_released(ngx_iv_metadata_op_t *op);
static void ngx_iv_discard_note(ngx_iv_discard_job_t *job);
static void ngx_iv_discard_noted(ngx_iv_metadata_op_t *op);
static void ngx_iv_discard_end(ngx_iv_discard_job_t *job);
static void ngx_iv_discard_leave(ngx_iv_discard_job_t *job, ngx_int_t code);


ngx_iv_discard_t *
ngx_iv_discard_create(ngx_cycle_t *cycle, ngx_iv_metadata_t *md,
    ngx_iv_storage_t **storages, ngx_uint_t nstorages)
{
    ngx_iv_discard_t  *discard;

    discard = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_discard_t));
    if (discard == NULL) {
        return NULL;
    }

    discard->metadata = md;
    discard->storages = storages;
    discard->nstorages = nstorages;
    discard->log = cycle->log;

    ngx_queue_init(&discard->waiting);

    return discard;
}


void
ngx_iv_discard(ngx_iv_discard_t *discard, const ngx_iv_metadata_ref_t *ref)
{
    ngx_iv_discard_job_t  *job;

    if (discard->nwaiting >= NGX_IV_DISCARD_WAITING) {
        ngx_log_error(NGX_LOG_WARN, discard->log, 0,
                      "too many deletes wait, an object is left to the sweep");
        return;
    }

    job = ngx_iv_discard_job(discard, ref);
    if (job == NULL) {
        return;
    }

    ngx_queue_insert_tail(&discard->waiting, &job->queue);
    discard->nwaiting++;

    ngx_iv_discard_go_on(discard);
}


static ngx_iv_storage_t *
ngx_iv_discard_storage(ngx_iv_discard_t *discard, const ngx_str_t *name)
{
    ngx_uint_t        i;
    const ngx_str_t  *own;

    for (i = 0; i < discard->nstorages; i++) {
        own = &discard->storages[i]->conf->name;

        if (own->len == name->len
            && ngx_memcmp(own->data, name->data, name->len) == 0)
        {
            return discard->storages[i];
        }
    }

    return NULL;
}


/* NULL: it is the sweep's */

static ngx_iv_discard_job_t *
ngx_iv_discard_job(ngx_iv_discard_t *discard, const ngx_iv_metadata_ref_t *ref)
{
    ngx_pool_t            *pool;
    ngx_iv_storage_t      *storage;
    ngx_iv_discard_job_t  *job;

    storage = ngx_iv_discard_storage(discard, &ref->storage);

    if (storage == NULL || ref->key.len == 0) {
        return NULL;
    }

    pool = ngx_create_pool(1024, discard->log);
    if (pool == NULL) {
        return NULL;
    }

    job = ngx_pcalloc(pool, sizeof(ngx_iv_discard_job_t));
    if (job == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    job->discard = discard;
    job->pool = pool;
    job->storage = storage;

    ngx_memcpy(job->ref.id, ref->id, NGX_IV_ID_LEN);

    if (ngx_iv_copy_str(pool, &job->ref.key, &ref->key) != NGX_OK
        || ngx_iv_copy_str(pool, &job->ref.owner, &ref->owner) != NGX_OK
        || ngx_iv_copy_str(pool, &job->ref.upload_id, &ref->upload_id)
           != NGX_OK
        || ngx_iv_copy_str(pool, &job->ref.staging_key, &ref->staging_key)
           != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    return job;
}


/* a worker that quits begins nothing more */

static void
ngx_iv_discard_go_on(ngx_iv_discard_t *discard)
{
    ngx_queue_t           *q;
    ngx_uint_t             quits;
    ngx_iv_discard_job_t  *job;

    quits = ngx_exiting || ngx_quit || ngx_terminate;

    while (!ngx_queue_empty(&discard->waiting)
           && (quits || discard->active < NGX_IV_DISCARD_SIDE))
    {
        q = ngx_queue_head(&discard->waiting);
        job = ngx_queue_data(q, ngx_iv_discard_job_t, queue);

        ngx_queue_remove(q);
        discard->nwaiting--;

        if (quits) {
            ngx_destroy_pool(job->pool);
            continue;
        }

        discard->active++;

        ngx_iv_discard_start(job);
    }
}


/* the upload first: completed late, it would make the object again */

static void
ngx_iv_discard_start(ngx_iv_discard_job_t *job)
{
    ngx_iv_storage_op_t  *op;

    if (ngx_iv_storage_wait(job->storage)) {
        ngx_iv_discard_leave(job, NGX_IV_STORAGE_UNAVAILABLE);
        return;
    }

    if (job->ref.upload_id.len == 0
        || !ngx_iv_storage_needs_parts(job->storage))
    {
        ngx_iv_discard_delete(job);
        return;
    }

    op = ngx_iv_storage_op_create(job->storage, job->pool, job->discard->log);

    if (op == NULL) {
        ngx_iv_discard_leave(job, NGX_IV_INTERNAL);
        return;
    }

    op->key = job->ref.key;
    op->upload_id = job->ref.upload_id;
    op->data = job;
    op->handler = ngx_iv_discard_aborted;

    ngx_iv_storage_multi_abort(op);
}


static void
ngx_iv_discard_aborted(ngx_iv_storage_op_t *op)
{
    ngx_iv_discard_t      *discard;
    ngx_iv_discard_job_t  *job;

    job = op->data;

    discard = job->discard;

    if (op->code != NGX_OK) {
        ngx_iv_discard_leave(job, op->code);

    } else {
        ngx_iv_discard_delete(job);
    }

    ngx_iv_discard_go_on(discard);
}


static void
ngx_iv_discard_delete(ngx_iv_discard_job_t *job)
{
    ngx_iv_storage_op_t  *op;

    op = ngx_iv_storage_op_create(job->storage, job->pool, job->discard->log);

    if (op == NULL) {
        ngx_iv_discard_leave(job, NGX_IV_INTERNAL);
        return;
    }

    op->key = job->staged ? job->ref.staging_key : job->ref.key;
    op->data = job;
    op->handler = ngx_iv_discard_deleted;

    ngx_iv_storage_delete(op);
}


static void
ngx_iv_discard_deleted(ngx_iv_storage_op_t *op)
{
    ngx_iv_discard_t      *discard;
    ngx_iv_discard_job_t  *job;

    job = op->data;
    discard = job->discard;

    if (op->code != NGX_OK) {
        ngx_iv_discard_leave(job, op->code);

    } else if (job->ref.staging_key.len && !job->staged) {
        /* what a client has sent for it, or may still send */
        job->staged = 1;
        ngx_iv_discard_delete(job);

    } else {
        ngx_iv_discard_release(job);
    }

    ngx_iv_discard_go_on(discard);
}


/* nobody but the sweep would give back what a ticket has reserved */

static void
ngx_iv_discard_release(ngx_iv_discard_job_t *job)
{
    ngx_iv_metadata_op_t  *op;

    if (!job->staged || job->ref.owner.len == 0
        || !ngx_iv_metadata_has_quota(job->discard->metadata))
    {
        ngx_iv_discard_note(job);
        return;
    }

    op = ngx_iv_metadata_op_create(job->discard->metadata, job->pool,
                                   job->discard->log);
    if (op == NULL) {
        ngx_iv_discard_leave(job, NGX_IV_INTERNAL);
        return;
    }

    op->data = job;
    op->handler = ngx_iv_discard_released;

    ngx_iv_metadata_quota_release(op, &job->ref.owner, job->ref.id);
}


static void
ngx_iv_discard_released(ngx_iv_metadata_op_t *op)
{
    ngx_iv_discard_t      *discard;
    ngx_iv_discard_job_t  *job;

    job = op->data;
    discard = job->discard;

    if (op->code != NGX_OK) {
        ngx_iv_discard_leave(job, op->code);

    } else {
        ngx_iv_discard_note(job);
    }

    ngx_iv_discard_go_on(discard);
}


static void
ngx_iv_discard_note(ngx_iv_discard_job_t *job)
{
    ngx_iv_metadata_op_t  *op;

    op = ngx_iv_metadata_op_create(job->discard->metadata, job->pool,
                                   job->discard->log);
    if (op == NULL) {
        /* the sweep finds it deleted */
        ngx_iv_discard_end(job);
        return;
    }

    op->data = job;
    op->handler = ngx_iv_discard_noted;

    ngx_iv_metadata_object_deleted(op, job->ref.id);
}


static void
ngx_iv_discard_noted(ngx_iv_metadata_op_t *op)
{
    ngx_iv_discard_t      *discard;
    ngx_iv_discard_job_t  *job;

    job = op->data;
    discard = job->discard;

    ngx_iv_discard_end(job);
    ngx_iv_discard_go_on(discard);
}


static void
ngx_iv_discard_end(ngx_iv_discard_job_t *job)
{
    job->discard->active--;

    ngx_destroy_pool(job->pool);
}


static void
ngx_iv_discard_leave(ngx_iv_discard_job_t *job, ngx_int_t code)
{
    ngx_log_error(NGX_LOG_INFO, job->discard->log, 0,
                  "the object of a deleted image is left to the sweep: %V",
                  &ngx_iv_code(code)->word);

    ngx_iv_discard_end(job);
}
