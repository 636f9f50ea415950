/*
 * A local folder as a storage.
 *
 * Files are written in threads, under ".<name>.tmp" beside their final name,
 * and renamed when they are whole and on disk; names are fresh for every
 * upload, and none is ever overwritten.  Folders are entered one by one from
 * the root without following links, so that no key and no link leads out of
 * it.
 *
 * Deleting a key removes its temporary file as well: what a killed process left
 * goes with the sweep.
 */

#include "storage/ngx_iv_storage.h"
#include "storage/ngx_iv_local_link.h"
#include <sys/syscall.h>

#define NGX_IV_LOCAL_FILE_MODE  0640
#define NGX_IV_LOCAL_DIR_MODE   0750

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  1
#endif


typedef enum {
    NGX_IV_LOCAL_WRITE = 0,
    NGX_IV_LOCAL_ABORT,             /* of a put: nothing of it stays */
    NGX_IV_LOCAL_HEAD,
    NGX_IV_LOCAL_DELETE
} ngx_iv_local_task_e;


/* what a thread works on; in the job's pool, so it may outlive the operation */
typedef struct {
    ngx_iv_local_task_e  task;

    char           *root;
    char           *path;           /* the key, segments ended by NULs */
    size_t          len;
    char           *name;           /* the last segment, in path */
    char           *temp;
    int             dir;            /* the name's folder */
    int             fd;             /* the temporary file */

    u_char         *p;              /* the piece to be written */
    size_t          n;
    off_t           offset;
    off_t           size;

    /* results */
    ngx_err_t       err;
    const char     *failed;         /* the call that failed */
    off_t           found;
    unsigned        bad_root:1;     /* it was the root that failed */
    unsigned        renamed:1;      /* the final name is ours */

    /* the event loop's */
    ngx_iv_storage_op_t  *op;       /* NULL: cancelled or over */
    ngx_iv_queue_t *queue;
    ngx_iv_ref_t   *keep;           /* held while the thread reads p */
} ngx_iv_local_work_t;


/* an operation's own part, in its pool */
typedef struct {
    ngx_iv_storage_op_t  *op;
    ngx_iv_job_t   *job;
    ngx_event_t     event;          /* posted: it goes on */
    unsigned        busy:1;         /* the thread has it */
    unsigned        over:1;
} ngx_iv_local_op_t;


static void ngx_iv_local_put(ngx_iv_storage_op_t *op);
static void ngx_iv_local_wake(ngx_iv_storage_op_t *op);
static void ngx_iv_local_head(ngx_iv_storage_op_t *op);
static void ngx_iv_local_delete(ngx_iv_storage_op_t *op);
static void ngx_iv_local_cancel(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_local_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const void *url, ngx_str_t *out);

static void ngx_iv_local_start(ngx_iv_storage_op_t *op,
    ngx_iv_local_task_e task);
static ngx_int_t ngx_iv_local_prepare(ngx_iv_local_op_t *lo,
    ngx_iv_local_task_e task);
static void ngx_iv_local_end(ngx_iv_local_op_t *lo, ngx_int_t code);
static void ngx_iv_local_event(ngx_event_t *ev);
static void ngx_iv_local_next(ngx_iv_local_op_t *lo);
static void ngx_iv_local_post(ngx_iv_local_op_t *lo);
static void ngx_iv_local_leave(ngx_iv_local_op_t *lo);
static void ngx_iv_local_abort(ngx_iv_job_t *job);
static void ngx_iv_local_done(ngx_iv_job_t *job);
static void ngx_iv_local_destroy(void *ctx);
static ngx_int_t ngx_iv_local_judge(ngx_iv_storage_op_t *op,
    ngx_iv_local_work_t *w);

static void ngx_iv_local_run(void *ctx, ngx_log_t *log);
static ngx_int_t ngx_iv_local_run_write(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_commit(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_head(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_remove(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_enter(ngx_iv_local_work_t *w, ngx_uint_t create);
static int ngx_iv_local_make_folder(int dir, const char *name);
static ngx_int_t ngx_iv_local_rename(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_failed(ngx_iv_local_work_t *w, const char *what);


ngx_int_t
ngx_iv_storage_local_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st)
{
    st->put = ngx_iv_local_put;
    st->wake = ngx_iv_local_wake;
    st->head = ngx_iv_local_head;
    st->del = ngx_iv_local_delete;
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

    if (rc == NGX_AGAIN) {
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


/* from here on: in a thread */

static void
ngx_iv_local_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_local_work_t  *w = ctx;

    w->err = 0;
    w->failed = NULL;

    switch (w->task) {

    case NGX_IV_LOCAL_WRITE:
        if (ngx_iv_local_run_write(w) == NGX_OK
            && w->offset + (off_t) w->n == w->size)
        {
            (void) ngx_iv_local_run_commit(w);
        }
        break;

    case NGX_IV_LOCAL_ABORT:
        if (w->dir != -1) {
            (void) unlinkat(w->dir, w->temp, 0);

            if (w->renamed) {
                (void) unlinkat(w->dir, w->name, 0);
            }
        }
        break;

    case NGX_IV_LOCAL_HEAD:
        (void) ngx_iv_local_run_head(w);
        break;

    case NGX_IV_LOCAL_DELETE:
        (void) ngx_iv_local_run_remove(w);
        break;
    }
}


static ngx_int_t
ngx_iv_local_failed(ngx_iv_local_work_t *w, const char *what)
{
    w->err = ngx_errno;
    w->failed = what;

    return NGX_ERROR;
}


static ngx_int_t
ngx_iv_local_run_write(ngx_iv_local_work_t *w)
{
    size_t   done;
    ssize_t  n;

    if (w->fd == -1) {

        if (ngx_iv_local_enter(w, 1) != NGX_OK) {
            return NGX_ERROR;
        }

        w->fd = openat(w->dir, w->temp,
                       O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                       NGX_IV_LOCAL_FILE_MODE);
        if (w->fd == -1) {
            return ngx_iv_local_failed(w, "creating a file");
        }
    }

    for (done = 0; done < w->n; done += (size_t) n) {

        n = pwrite(w->fd, w->p + done, w->n - done, w->offset + (off_t) done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n == 0) {
            ngx_set_errno(ENOSPC);
            n = -1;
        }

        if (n == -1) {
            return ngx_iv_local_failed(w, "writing");
        }
    }

    return NGX_OK;
}


/* whole and on disk before it gets its name; then the name, too */

static ngx_int_t
ngx_iv_local_run_commit(ngx_iv_local_work_t *w)
{
    int  fd;

    if (fsync(w->fd) == -1) {
        return ngx_iv_local_failed(w, "syncing a file");
    }

    if (ngx_iv_local_rename(w) != NGX_OK) {
        return NGX_ERROR;
    }

    w->renamed = 1;

    fd = w->fd;
    w->fd = -1;

    /* some network file systems tell of a failed write only here */

    if (close(fd) == -1) {
        return ngx_iv_local_failed(w, "closing a file");
    }

    if (fsync(w->dir) == -1) {
        return ngx_iv_local_failed(w, "syncing a folder");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_rename(ngx_iv_local_work_t *w)
{
#ifdef SYS_renameat2

    if (syscall(SYS_renameat2, w->dir, w->temp, w->dir, w->name,
                RENAME_NOREPLACE)
        == 0)
    {
        return NGX_OK;
    }

    if (ngx_errno != ENOSYS && ngx_errno != EINVAL) {
        return ngx_iv_local_failed(w, "renaming a file");
    }

#endif

    /* also atomic, and refuses a name that is taken */

    if (linkat(w->dir, w->temp, w->dir, w->name, 0) == -1) {
        return ngx_iv_local_failed(w, "renaming a file");
    }

    if (unlinkat(w->dir, w->temp, 0) == -1) {
        w->renamed = 1;
        return ngx_iv_local_failed(w, "removing a temporary name");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_run_head(ngx_iv_local_work_t *w)
{
    struct stat  sb;

    if (ngx_iv_local_enter(w, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fstatat(w->dir, w->name, &sb, AT_SYMLINK_NOFOLLOW) == -1) {
        return ngx_iv_local_failed(w, "looking up a file");
    }

    if (!S_ISREG(sb.st_mode)) {
        ngx_set_errno(ENOENT);
        return ngx_iv_local_failed(w, "looking up a file");
    }

    w->found = sb.st_size;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_run_remove(ngx_iv_local_work_t *w)
{
    ngx_uint_t  removed;

    if (ngx_iv_local_enter(w, 0) != NGX_OK) {

        if (w->err == ENOENT && !w->bad_root) {
            /* where there is no folder, there is no file */
            w->err = 0;
            return NGX_OK;
        }

        return NGX_ERROR;
    }

    removed = 0;

    if (unlinkat(w->dir, w->name, 0) == 0) {
        removed = 1;

    } else if (ngx_errno != ENOENT) {
        return ngx_iv_local_failed(w, "deleting a file");
    }

    if (unlinkat(w->dir, w->temp, 0) == 0) {
        removed = 1;

    } else if (ngx_errno != ENOENT && ngx_errno != ENAMETOOLONG) {
        return ngx_iv_local_failed(w, "deleting a temporary file");
    }

    if (removed && fsync(w->dir) == -1) {
        return ngx_iv_local_failed(w, "syncing a folder");
    }

    return NGX_OK;
}


/* opens the folder of the key's last segment */

static ngx_int_t
ngx_iv_local_enter(ngx_iv_local_work_t *w, ngx_uint_t create)
{
    int    dir, next;
    char  *p;

    dir = open(w->root, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        w->bad_root = 1;
        return ngx_iv_local_failed(w, "opening the root");
    }

    for (p = w->path; p < w->name; p += ngx_strlen(p) + 1) {

        next = openat(dir, p, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (next == -1 && ngx_errno == ENOENT && create) {
            next = ngx_iv_local_make_folder(dir, p);
        }

        if (next == -1) {
            (void) ngx_iv_local_failed(w, "opening a folder");
            (void) close(dir);
            return NGX_ERROR;
        }

        (void) close(dir);
        dir = next;
    }

    w->dir = dir;

    return NGX_OK;
}


static int
ngx_iv_local_make_folder(int dir, const char *name)
{
    /* another upload may have made it meanwhile */

    if (mkdirat(dir, name, NGX_IV_LOCAL_DIR_MODE) == -1) {

        if (ngx_errno != EEXIST) {
            return -1;
        }

    } else if (fsync(dir) == -1) {
        return -1;
    }

    return openat(dir, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
}
