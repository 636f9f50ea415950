/*
 * The sweep's lease, and what it tells: what it has done, kept in the document
 * of the lease, so that every node can say it, and what it is about to do.
 *
 * Operations of ngx_iv_metadata.h; the same rules hold.  A lease is kept in the
 * middle of a pass by ngx_iv_metadata_lease().
 */

#ifndef NGX_IV_METADATA_SWEEP_H
#define NGX_IV_METADATA_SWEEP_H

#include "metadata/ngx_iv_metadata.h"

#define NGX_IV_SWEEP_COUNT  10000       /* counted at most, of a kind */


typedef enum {
    NGX_IV_DUE_STALE = 0,           /* broken uploads to be ended */
    NGX_IV_DUE_EXPIRED,
    NGX_IV_DUE_FIRST,               /* objects to be deleted */
    NGX_IV_DUE_SECOND,              /* … once more, with their documents */
    NGX_IV_DUE_STAGING,
    NGX_IV_DUE_UPLOADS,             /* ready ones with S3 uploads left open */
    NGX_IV_DUE_REQUESTS,            /* Idempotency-Keys of dead requests */
    NGX_IV_DUE_LAST
} ngx_iv_due_e;

typedef struct {
    ngx_uint_t      n;              /* NGX_IV_SWEEP_COUNT: or more */
    int64_t         oldest;         /* since when it is due or was touched, ms;
                                       0: none */
} ngx_iv_due_t;


/* a pass, by the server's clock */
typedef struct {
    int64_t         started_at;     /* 0: there was none */
    int64_t         ended_at;
    ngx_str_t       holder;
    int64_t         fence;
    ngx_uint_t      complete;       /* 0: it broke off */
    ngx_uint_t      stale;          /* broken uploads that became `error` */
    ngx_uint_t      expired;
    ngx_uint_t      deleted;        /* objects, first delete */
    ngx_uint_t      removed;        /* documents, after the second one */
    ngx_uint_t      staged;         /* staged objects of completed tickets */
    ngx_uint_t      uploads;        /* S3 uploads nobody knew of, aborted */
    ngx_uint_t      requests;       /* Idempotency-Keys that were freed */
    ngx_uint_t      entries;        /* of quotas, dropped */
    ngx_uint_t      left;           /* images that nothing could be done for */
    ngx_uint_t      errors;         /* calls that failed */
    ngx_uint_t      pauses;         /* because of load */
} ngx_iv_sweep_pass_t;


/* op->sweep */
typedef struct ngx_iv_sweep_state_s {
    int64_t         now;            /* the server's; 0: not known */
    ngx_str_t       holder;         /* empty: nobody has the lease */
    int64_t         fence;
    int64_t         renewed_at;
    int64_t         started_at;     /* of the holder's present or last pass */
    int64_t         requested_at;   /* a further pass; 0: nobody waits */
    ngx_uint_t      idle;           /* the holder is between two passes */
    ngx_iv_sweep_pass_t  last;
    ngx_iv_due_t    due[NGX_IV_DUE_LAST];
} ngx_iv_sweep_state_t;


/* the lease for a pass that begins: as ngx_iv_metadata_lease() */
void ngx_iv_metadata_sweep_begin(ngx_iv_metadata_op_t *op,
    const ngx_str_t *holder, ngx_msec_t ttl);
/*
 * The same for one that somebody asks for: it is also taken from a holder that
 * is between two passes.  count 1 and op->sweep without requested_at: it is
 * ours, begin; else a pass is under way, perhaps our own, and its end is going
 * to tell of the request.
 */
void ngx_iv_metadata_sweep_ask(ngx_iv_metadata_op_t *op,
    const ngx_str_t *holder, ngx_msec_t ttl);
/* what was done, if the lease is still ours: count.  release: it is free now,
 * else idle.  op->sweep with requested_at: another pass is asked for */
void ngx_iv_metadata_sweep_end(ngx_iv_metadata_op_t *op,
    const ngx_iv_sweep_pass_t *pass, ngx_uint_t release);
/* op->sweep with all that is in it */
void ngx_iv_metadata_sweep_look(ngx_iv_metadata_op_t *op, ngx_msec_t stale);
/* records of repeated requests whose request is dead are removed; at most
 * `limit`; count */
void ngx_iv_metadata_sweep_requests(ngx_iv_metadata_op_t *op,
    ngx_msec_t stale, ngx_uint_t limit);


#endif
