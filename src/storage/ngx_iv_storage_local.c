/*
 * A local folder as a storage: operations, in the event loop.  What threads do
 * for them is in ngx_iv_storage_local_work.c.
 *
 * Deleting a key removes its temporary file as well: what a killed process left
 * goes with the sweep.
 */

#include "storage/ngx_iv_storage_local.h"
#include "storage/ngx_iv_local_link.h"

/* ms for one piece, or for syncing all of a file: a disk that takes longer
 * hangs (as network file systems may for ever) */
#define NGX_IV_LOCAL_LATE       120000


/* an operation's own part, in its pool */
typedef struct {
    ngx_iv_storage_op_t  *op;
    ngx_iv_job_t   *job;
    ngx_event_t     event;          /* posted: it goes on */
    ngx_event_t     late;           /* timer: the thread hangs */
    unsigned        busy:1;         /* the thread has it */
    unsigned        over:1;
} ngx_iv_local_op_t;


static void ngx_iv_local_put(ngx_iv_storage_op_t *op);
static void ngx_iv_local_wake(ngx_iv_storage_op_t *op);
static void ngx_iv_local_head(ngx_iv_storage_op_t *op);
static void ngx_iv_local_delete(ngx_iv_storage_op_t *op);
static void ngx_iv_local_list(ngx_iv_storage_op_t *op);
static void ngx_iv_local_uploads(ngx_iv_storage_op_t *op);
static void ngx_iv_local_start_list(ngx_iv_storage_op_t *op,
    ngx_uint_t temps);
static ngx_int_t ngx_iv_local_listed(ngx_iv_storage_op_t *op,
    const ngx_iv_local_work_t *w);
static void ngx_iv_local_cancel(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_local_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const void *url, ngx_str_t *out);

static void ngx_iv_local_start(ngx_iv_storage_op_t *op,
    ngx_iv_local_task_e task);
static ngx_int_t ngx_iv_local_prepare(ngx_iv_local_op_t *lo,
    ngx_iv_local_task_e task);
static void ngx_iv_local_end(ngx_iv_local_op_t *lo, ngx_int_t code);
static void ngx_iv_local_event(ngx_event_t *ev);
static void ngx_iv_local_late(ngx_event_t *ev);
static void ngx_iv_local_next(ngx_iv_local_op_t *lo);
static void ngx_iv_local_post(ngx_iv_local_op_t *lo);
static void ngx_iv_local_leave(ngx_iv_local_op_t *lo);
static void ngx_iv_local_abort(ngx_iv_job_t *job);
static void ngx_iv_local_done(ngx_iv_job_t *job);
static void ngx_iv_local_destroy(void *ctx);
static ngx_int_t ngx_iv_local_judge(ngx_iv_storage_op_t *op,
    ngx_iv_local_work_t *w);


ngx_int_t
ngx_iv_storage_local_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st)
{
    st->put = ngx_iv_local_put;
    st->wake = ngx_iv_local_wake;
    st->head = ngx_iv_local_head;
    st->del = ngx_iv_local_delete;
    st->list = ngx_iv_local_list;
    st->uploads = ngx_iv_local_uploads;
    st->cancel = ngx_iv_local_cancel;
    st->url = ngx_iv_local_url;

    return NGX_OK;
}


static void
ngx_iv_local_put(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_start(op, NGX_IV_LOCAL_WRITE);
}


static void
ngx_iv_local_head(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_start(op, NGX_IV_LOCAL_HEAD);
}


static void
ngx_iv_local_delete(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_start(op, NGX_IV_LOCAL_DELETE);
}


static void
ngx_iv_local_list(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_start_list(op, 0);
}


static void
ngx_iv_local_uploads(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_start_list(op, 1);
}


/* it has no key; "list" stands for one, and is not looked at */

static void
ngx_iv_local_start_list(ngx_iv_storage_op_t *op, ngx_uint_t temps)
{
    ngx_pool_t           *pool;
    ngx_iv_local_op_t    *lo;
    ngx_iv_local_work_t  *w;

    ngx_str_set(&op->key, "list");

    ngx_iv_local_start(op, NGX_IV_LOCAL_LIST);

    lo = op->state;

    if (lo == NULL) {
        return;
    }

    pool = lo->job->pool;
    w = lo->job->ctx;

    w->pool = pool;
    w->limit = op->limit;
    w->temps = temps;

    if (ngx_iv_copy_str(pool, &w->prefix, &op->prefix) != NGX_OK
        || ngx_iv_copy_str(pool, &w->after, &op->after) != NGX_OK)
    {
        ngx_iv_local_leave(lo);
        op->state = NULL;

        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
    }
}


/* out of the job's pool */

static ngx_int_t
ngx_iv_local_listed(ngx_iv_storage_op_t *op, const ngx_iv_local_work_t *w)
{
    ngx_uint_t  i;

    op->list = w->list;

    op->list.items = ngx_palloc(op->pool, (w->list.nitems + 1)
                                          * sizeof(ngx_iv_s3_listed_t));
    if (op->list.items == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < w->list.nitems; i++) {
        op->list.items[i] = w->list.items[i];

        if (ngx_iv_copy_str(op->pool, &op->list.items[i].key,
                            &w->list.items[i].key)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_iv_copy_str(op->pool, &op->list.next_key,
                           &w->list.next_key);
}


static ngx_int_t
ngx_iv_local_url(ngx_iv_storage_t *st, ngx_pool_t *pool, const void *url,
    ngx_str_t *out)
{
    return ngx_iv_local_link(st->conf, pool, url, out);
}


static void
ngx_iv_local_start(ngx_iv_storage_op_t *op, ngx_iv_local_task_e task)
{
    ngx_iv_local_op_t  *lo;

    if (!ngx_iv_local_key_valid(&op->key)) {
        ngx_log_error(NGX_LOG_ERR, op->log, 0,
                      "the key \"%V\" cannot name a file", &op->key);

        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
        return;
    }

    lo = ngx_pcalloc(op->pool, sizeof(ngx_iv_local_op_t));

    if (lo == NULL) {
        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
        return;
    }

    lo->op = op;
    lo->event.handler = ngx_iv_local_event;
    lo->event.data = lo;
    lo->event.log = op->log;
    lo->late.handler = ngx_iv_local_late;
    lo->late.data = lo;
    lo->late.log = op->log;

    if (ngx_iv_local_prepare(lo, task) != NGX_OK) {
        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
        return;
    }

    op->state = lo;
    op->tries = 1;

    ngx_post_event(&lo->event, &ngx_posted_events);
}


static ngx_int_t
ngx_iv_local_prepare(ngx_iv_local_op_t *lo, ngx_iv_local_task_e task)
{
    char                 *p, *last;
    size_t                n;
    ngx_iv_job_t         *job;
    ngx_iv_local_work_t  *w;
    ngx_iv_storage_op_t  *op;

    op = lo->op;

    /* the job may outlive the operation and its log */

    job = ngx_iv_job_create(sizeof(ngx_iv_local_work_t), ngx_cycle->log);
    if (job == NULL) {
        return NGX_ERROR;
    }

    w = job->ctx;
    w->dir = -1;
    w->fd = -1;

    job->run = ngx_iv_local_run;
    job->done = ngx_iv_local_done;
    job->destroy = ngx_iv_local_destroy;
    job->data = lo;

    w->root = ngx_pnalloc(job->pool, op->storage->conf->root.len + 1);
    w->path = ngx_pnalloc(job->pool, op->key.len + 1);
    w->temp = ngx_pnalloc(job->pool, op->key.len + sizeof("..tmp"));

    if (w->root == NULL || w->path == NULL || w->temp == NULL) {
        ngx_iv_job_release(job);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn((u_char *) w->root, op->storage->conf->root.data,
                       op->storage->conf->root.len + 1);

    w->len = op->key.len;
    w->name = w->path;
    last = w->path + w->len;

    ngx_memcpy(w->path, op->key.data, op->key.len);
    *last = '\0';

    for (p = w->path; p < last; p++) {
        if (*p == '/') {
            *p = '\0';
            w->name = p + 1;
        }
    }

    n = (size_t) (last - w->name);

    p = w->temp;
    *p++ = '.';
    p = (char *) ngx_cpymem(p, w->name, n);
    ngx_memcpy(p, ".tmp", sizeof(".tmp"));

    w->task = task;
    w->size = op->size;
    w->queue = op->storage->env->files;
    w->op = op;
    lo->job = job;

    return NGX_OK;
}


static void
ngx_iv_local_event(ngx_event_t *ev)
{
    ngx_iv_local_op_t    *lo;
    ngx_iv_local_work_t  *w;

    lo = ev->data;

    if (lo->over || lo->busy) {
        return;
    }

    w = lo->job->ctx;

    if (w->task == NGX_IV_LOCAL_WRITE) {
        ngx_iv_local_next(lo);

    } else {
        ngx_iv_local_post(lo);
    }
}


/* the thread goes on alone, and what it wrote is removed when it is back */

static void
ngx_iv_local_late(ngx_event_t *ev)
{
    ngx_iv_local_op_t    *lo;
    ngx_iv_storage_op_t  *op;

    lo = ev->data;
    op = lo->op;

    ngx_log_error(NGX_LOG_ERR, op->log, NGX_ETIMEDOUT,
                  "file work failed for \"%V\" below \"%V\": the disk or the "
                  "thread pool hangs", &op->key, &op->storage->conf->root);

    ngx_iv_local_end(lo, NGX_IV_STORAGE_UNAVAILABLE);
}


/* the next piece of a put */

static void
ngx_iv_local_next(ngx_iv_local_op_t *lo)
{
    ngx_int_t             rc;
    ngx_iv_local_work_t  *w;
    ngx_iv_storage_op_t  *op;

    op = lo->op;
    w = lo->job->ctx;

    rc = op->source(op, op->sent, &w->p, &w->n);

    if (rc == NGX_AGAIN || lo->over) {
        return;
    }

    if (rc == NGX_DONE && op->size == -1) {

        /* nothing is left to be written: the thread makes the file final */

        w->p = NULL;
        w->n = 0;
        w->size = op->sent;

    } else if (rc != NGX_OK) {
        ngx_iv_local_end(lo, NGX_IV_INTERNAL);
        return;
    }

    w->offset = op->sent;

    if (op->keep) {
        w->keep = op->keep;
        ngx_iv_ref_take(w->keep);
    }

    op->touched = 1;

    ngx_iv_local_post(lo);
}


static void
ngx_iv_local_post(ngx_iv_local_op_t *lo)
{
    ngx_iv_local_work_t  *w;

    if (ngx_iv_job_post(lo->job, lo->op->storage->env->files) == NGX_OK) {
        lo->busy = 1;
        ngx_add_timer(&lo->late, NGX_IV_LOCAL_LATE);
        return;
    }

    w = lo->job->ctx;

    if (w->keep) {
        ngx_iv_ref_drop(w->keep);
        w->keep = NULL;
    }

    ngx_log_error(NGX_LOG_WARN, lo->op->log, 0,
                  "the queue of file work is full");

    ngx_iv_local_end(lo, NGX_IV_OVERLOADED);
}


static void
ngx_iv_local_wake(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_op_t  *lo;

    lo = op->state;

    if (lo && !lo->over && !lo->busy) {
        ngx_post_event(&lo->event, &ngx_posted_events);
    }
}


/* hands the job over or gives it up; the operation may start no other */

static void
ngx_iv_local_leave(ngx_iv_local_op_t *lo)
{
    ngx_iv_job_t         *job;
    ngx_iv_local_work_t  *w;

    if (lo->event.posted) {
        ngx_delete_posted_event(&lo->event);
    }

    if (lo->late.timer_set) {
        ngx_del_timer(&lo->late);
    }

    lo->over = 1;

    job = lo->job;
    lo->job = NULL;

    if (job == NULL) {
        return;
    }

    w = job->ctx;
    w->op = NULL;
    job->data = NULL;

    if (w->task != NGX_IV_LOCAL_WRITE) {
        ngx_iv_job_release(job);
        return;
    }

    /* an unfinished put: its done() goes on to remove what it wrote */

    if (!lo->busy) {
        ngx_iv_local_abort(job);
    }
}


static void
ngx_iv_local_cancel(ngx_iv_storage_op_t *op)
{
    ngx_iv_local_op_t  *lo;

    lo = op->state;

    if (lo && !lo->over) {
        ngx_iv_local_leave(lo);
        op->state = NULL;
    }
}


static void
ngx_iv_local_end(ngx_iv_local_op_t *lo, ngx_int_t code)
{
    ngx_iv_job_t         *job;
    ngx_iv_storage_op_t  *op;

    op = lo->op;

    op->code = code;

    if (code == NGX_OK && lo->job) {
        /* nothing is left to be undone */
        job = lo->job;
        lo->job = NULL;
        ngx_iv_job_release(job);
    }

    ngx_iv_local_leave(lo);

    op->state = NULL;

    op->handler(op);
}


/* removes what an unfinished put left, and then the job */

static void
ngx_iv_local_abort(ngx_iv_job_t *job)
{
    ngx_iv_local_work_t  *w;

    w = job->ctx;

    if (w->fd == -1 && !w->renamed) {
        ngx_iv_job_release(job);
        return;
    }

    w->task = NGX_IV_LOCAL_ABORT;

    if (ngx_iv_job_post(job, w->queue) != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "the queue of file work is full, \"%s\" is left to "
                      "the sweep", w->renamed ? w->name : w->temp);

        ngx_iv_job_release(job);
    }
}


static void
ngx_iv_local_done(ngx_iv_job_t *job)
{
    ngx_iv_local_op_t    *lo;
    ngx_iv_local_work_t  *w;
    ngx_iv_storage_op_t  *op;

    w = job->ctx;

    if (w->keep) {
        ngx_iv_ref_drop(w->keep);
        w->keep = NULL;
    }

    op = w->op;

    if (op == NULL) {

        if (w->task == NGX_IV_LOCAL_ABORT) {
            ngx_iv_job_release(job);

        } else {
            ngx_iv_local_abort(job);
        }

        return;
    }

    lo = job->data;
    lo->busy = 0;

    if (lo->late.timer_set) {
        ngx_del_timer(&lo->late);
    }

    if (w->err) {
        ngx_iv_local_end(lo, ngx_iv_local_judge(op, w));
        return;
    }

    if (w->task == NGX_IV_LOCAL_WRITE) {
        op->sent += (off_t) w->n;

        if (w->size == -1 || op->sent < w->size) {

            /* the callback may cancel, which takes the event back */

            ngx_post_event(&lo->event, &ngx_posted_events);

            if (op->progress) {
                op->progress(op);
            }

            return;
        }
    }

    if (w->task == NGX_IV_LOCAL_HEAD) {
        op->found_size = w->found;
    }

    if (w->task == NGX_IV_LOCAL_LIST && ngx_iv_local_listed(op, w) != NGX_OK) {
        ngx_iv_local_end(lo, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_local_end(lo, NGX_OK);
}


/* before the job's pool goes; closing does not wait for the disk */

static void
ngx_iv_local_destroy(void *ctx)
{
    ngx_iv_local_work_t  *w = ctx;

    if (w->keep) {
        ngx_iv_ref_drop(w->keep);
        w->keep = NULL;
    }

    if (w->fd != -1) {
        (void) close(w->fd);
        w->fd = -1;
    }

    if (w->dir != -1) {
        (void) close(w->dir);
        w->dir = -1;
    }
}


static ngx_int_t
ngx_iv_local_judge(ngx_iv_storage_op_t *op, ngx_iv_local_work_t *w)
{
    ngx_int_t    code;
    const char  *hint;

    if (w->task == NGX_IV_LOCAL_HEAD && w->err == ENOENT && !w->bad_root) {
        return NGX_IV_NOT_FOUND;
    }

    switch (w->err) {

    case ENOSPC:
    case EDQUOT:
        code = NGX_IV_STORAGE_UNAVAILABLE;
        hint = "free space there or raise the disk quota";
        break;

    case EACCES:
    case EPERM:
        code = NGX_IV_STORAGE_DENIED;
        hint = "give the user of nginx's workers the right to write there";
        break;

    case EROFS:
        code = NGX_IV_STORAGE_DENIED;
        hint = "the file system is mounted read-only";
        break;

    case ELOOP:
    case ENOTDIR:
        code = NGX_IV_STORAGE_DENIED;
        hint = "a folder of the key is a link or a file, links are "
               "not followed";
        break;

    case ENOENT:
        code = NGX_IV_STORAGE_DENIED;
        hint = "create the folder of the storage's \"root\", or mount it";
        break;

    case EEXIST:
        code = NGX_IV_INTERNAL;
        hint = "the name is taken, and nothing is overwritten";
        break;

    case ENAMETOOLONG:
        code = NGX_IV_STORAGE_DENIED;
        hint = "make the names in \"image_vault_key\" shorter";
        break;

    case EMFILE:
    case ENFILE:
        code = NGX_IV_OVERLOADED;
        hint = "raise worker_rlimit_nofile";
        break;

    default:
        code = NGX_IV_STORAGE_UNAVAILABLE;
        hint = "the disk or its file system has a fault";
    }

    ngx_log_error(NGX_LOG_ERR, op->log, w->err,
                  "%s failed for \"%V\" below \"%V\": %s",
                  w->failed, &op->key, &op->storage->conf->root, hint);

    return code;
}
