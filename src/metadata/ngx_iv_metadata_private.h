/*
 * What the files of the metadata store's event loop side share.
 *
 * ngx_iv_metadata.c          images, the sweep's; how an operation runs
 * ngx_iv_metadata_gather.c   when calls wait for each other, to go together
 * ngx_iv_metadata_get.c      look-ups, together
 * ngx_iv_metadata_write.c    an upload's writes, together
 * ngx_iv_metadata_learn.c    what calls tell of the server, the breaker
 * ngx_iv_metadata_account.c  quota and repeated requests
 * ngx_iv_metadata_list.c     lists, changes, users
 * ngx_iv_metadata_indexes.c  the making of indexes
 * ngx_iv_metadata_cache.c    what writes drop of the ownership cache
 * ngx_iv_metadata_sweep.c    the sweep's lease, what it tells
 * ngx_iv_audit.c             the queue of the audit trail
 */

#ifndef NGX_IV_METADATA_PRIVATE_H
#define NGX_IV_METADATA_PRIVATE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "base/ngx_iv_clock.h"
#include "metadata/ngx_iv_metadata.h"
#include "metadata/ngx_iv_mongo.h"

#define NGX_IV_METADATA_RETRY_MIN  1000
#define NGX_IV_METADATA_RETRY_MAX  30000


typedef struct ngx_iv_audit_queue_s  ngx_iv_audit_queue_t;

/* calls of one kind that go together under load */
typedef struct {
    ngx_iv_metadata_t    *metadata;
    ngx_queue_t           waiting;
    ngx_uint_t            nwaiting;
    ngx_uint_t            active;       /* on their way; together counts as 1 */
    ngx_event_t           patience;
    /* some of those that wait, the first at least, go on, or are refused */
    void                (*together)(ngx_iv_metadata_t *md);
} ngx_iv_metadata_gather_t;


struct ngx_iv_metadata_s {
    ngx_iv_mongo_t       *mongo;
    ngx_iv_zone_t        *zone;
    ngx_iv_cache_t       *cache;
    ngx_iv_flights_t     *flights;
    ngx_iv_breaker_t      breaker;
    ngx_iv_queue_t       *read;
    ngx_iv_queue_t       *write;
    ngx_log_t            *log;
    ngx_uint_t            active;       /* jobs under way */
    ngx_uint_t            quota;

    ngx_event_t           indexes;      /* to make them, or make them again */
    ngx_msec_t            pause;
    ngx_msec_t            late;         /* operations don't wait longer */
    ngx_uint_t            refused;      /* since the breaker opened */
    ngx_iv_audit_queue_t *audit;        /* NULL: no entry came yet */

    ngx_iv_metadata_gather_t  gets;     /* ngx_iv_metadata_state_t */
    ngx_uint_t            asking;       /* those, and those on their way */
    ngx_iv_metadata_gather_t  writes;   /* ngx_iv_metadata_work_t */

    ngx_str_t             holder;       /* of the lease, empty: not held */
    u_char                holder_buf[256];
};


/* what an operation has for itself, in its pool */
typedef struct {
    ngx_iv_job_t         *job;          /* under way, else NULL */
    ngx_event_t           refused;
    ngx_event_t           late;         /* timer: the thread hangs */
    ngx_msec_t            start;
    ngx_iv_metadata_op_t *op;
    ngx_queue_t           queue;        /* a look-up: where it waits, … */
    ngx_uint_t           *queued;       /* … and how many do; NULL: nowhere */
    u_char                id[NGX_IV_ID_LEN];
    unsigned              busy:1;
    unsigned              alone:1;      /* not with others */
} ngx_iv_metadata_state_t;


/* what the job of an operation works on; outlives the operation */
typedef struct {
    ngx_iv_mongo_call_t   call;
    ngx_iv_metadata_t    *metadata;
    ngx_iv_job_t         *job;          /* a write that goes with others */
    ngx_queue_t           queue;        /* … where it waits */
    ngx_queue_t           others;       /* … whom its job takes along */
} ngx_iv_metadata_work_t;


/* a job's run(): ctx is an ngx_iv_metadata_work_t */
void ngx_iv_metadata_run(void *ctx, ngx_log_t *log);
/* may a call be made now?  1, and call->trial is set: it has to be learned from
 * or given up; 0: no */
ngx_uint_t ngx_iv_metadata_may_call(ngx_iv_metadata_t *md,
    ngx_iv_mongo_call_t *call);
/* it is not made after all */
void ngx_iv_metadata_give_up(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call);
/* what any call tells about the server, also in the log */
void ngx_iv_metadata_learn(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call,
    ngx_log_t *log);
void ngx_iv_metadata_log_failure(ngx_iv_mongo_call_t *call, ngx_log_t *log);

/* with each call that was made: the images that it may have changed are dropped
 * from the cache (in its thread), and nobody joins a look-up of them that began
 * before (event loop, before anybody is told) */
void ngx_iv_metadata_drop(ngx_iv_metadata_t *md,
    const ngx_iv_mongo_call_t *call);
void ngx_iv_metadata_forget(ngx_iv_metadata_t *md,
    const ngx_iv_mongo_call_t *call);

/* a timer's handler, its data is the store */
void ngx_iv_metadata_indexes(ngx_event_t *ev);

/* it is busy from now on, without results.  NGX_OK; NGX_ERROR: it was, alert */
ngx_int_t ngx_iv_metadata_reset(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind);
void ngx_iv_metadata_by_id(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind, const u_char *id);
/* a look-up leaves the queue it waits in: its asker goes away */
void ngx_iv_metadata_get_leave(ngx_iv_metadata_state_t *st);
void ngx_iv_metadata_get_together(ngx_iv_metadata_t *md);

void ngx_iv_metadata_gather_init(ngx_iv_metadata_gather_t *gather,
    ngx_iv_metadata_t *md, void (*together)(ngx_iv_metadata_t *md));
void ngx_iv_metadata_gather_stop(ngx_iv_metadata_gather_t *gather);
/* 1: a call need not wait for those on their way */
ngx_uint_t ngx_iv_metadata_gather_free(const ngx_iv_metadata_gather_t *gather);
/* who waits goes on, as far as that holds, and waits for so long at most */
void ngx_iv_metadata_gather_more(ngx_iv_metadata_gather_t *gather);
void ngx_iv_metadata_gather_wait(ngx_iv_metadata_gather_t *gather);

/* what is to be called for, in the job's pool; NULL: refused already */
ngx_iv_mongo_call_t *ngx_iv_metadata_begin(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_kind_e kind);
void ngx_iv_metadata_post(ngx_iv_metadata_op_t *op);
/* when its job is through: tells the operation */
void ngx_iv_metadata_done(ngx_iv_job_t *job);
/* a job with an insert or a change to ready: at once, or soon with others.
 * NGX_OK, or as ngx_iv_job_post() */
ngx_int_t ngx_iv_metadata_write(ngx_iv_metadata_t *md, ngx_iv_job_t *job);
void ngx_iv_metadata_write_together(ngx_iv_metadata_t *md);
/* 1: not worth the way to the server any more; said in the call */
ngx_uint_t ngx_iv_metadata_skip(ngx_iv_metadata_work_t *work);
/* instead of post */
void ngx_iv_metadata_refuse(ngx_iv_metadata_op_t *op, ngx_int_t code);
void ngx_iv_metadata_list(ngx_iv_metadata_op_t *op, ngx_iv_mongo_kind_e kind,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit);

/* a copy.  NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_metadata_outcomes(ngx_pool_t *pool, ngx_iv_outcome_t **dst,
    ngx_uint_t *ndst, const ngx_iv_outcome_t *src, ngx_uint_t n);

/* what a call for a list or a change found: op->found or op->document.  NGX_OK
 * or NGX_ERROR (memory) */
ngx_int_t ngx_iv_metadata_found(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call);
/* op->sweep.  NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_metadata_sweep_state(ngx_iv_metadata_op_t *op,
    ngx_iv_mongo_call_t *call);
/* writes what waits, once, in place; what cannot be written is lost */
void ngx_iv_audit_exit(ngx_iv_metadata_t *md);


#endif
