/*
 * The thread hop: work that blocks runs in an nginx thread pool, its
 * completion in the event loop.  The only place that posts thread tasks.
 *
 * A job is its own small heap (a pool of its own), so that it may outlive
 * whoever asked for it.  run() is called in a thread and may touch the job's
 * memory only; done() in the event loop, once for each post, unless the job was
 * released before.  A worker that quits waits for jobs under way.
 */

#ifndef NGX_IV_THREAD_H
#define NGX_IV_THREAD_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_thread_pool.h>


/* one per thread pool and use (read, write, hash) in a worker */
typedef struct {
    ngx_thread_pool_t  *pool;
    ngx_uint_t          max;        /* jobs queued or running at most; 0: any */
    ngx_uint_t          active;     /* now */
    ngx_atomic_t       *gauge;      /* the same, for all to see; or NULL */
} ngx_iv_queue_t;


typedef struct ngx_iv_job_s  ngx_iv_job_t;

struct ngx_iv_job_s {
    ngx_pool_t     *pool;           /* the job's own; run() may allocate here */
    void           *ctx;            /* zeroed, of the size asked for */

    void          (*run)(void *ctx, ngx_log_t *log);
    void          (*done)(ngx_iv_job_t *job);
    void           *data;           /* the owner's; not touched by run() */
    void          (*destroy)(void *ctx);  /* optional: before the pool goes */

    /* private */
    ngx_iv_queue_t *queue;
    void           *task;
    unsigned        busy:1;
    unsigned        released:1;
};


/* NULL: no memory */
ngx_iv_job_t *ngx_iv_job_create(size_t ctx_size, ngx_log_t *log);

/*
 * NGX_OK: done() will be called; NGX_BUSY: the queue is at its cap, nothing
 * was posted; NGX_ERROR: nginx's own queue is full or memory lacks.
 * A job may be posted again after done() was called (or in it).
 */
ngx_int_t ngx_iv_job_post(ngx_iv_job_t *job, ngx_iv_queue_t *queue);

/*
 * Gives the job up: at once if it is idle (also inside its own done()), else
 * when its thread is through; done() is not called any more.
 */
void ngx_iv_job_release(ngx_iv_job_t *job);


#endif
