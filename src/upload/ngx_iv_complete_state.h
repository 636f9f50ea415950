/*
 * A completion's own state, shared by
 *
 *   ngx_iv_complete.c        its life, how a phase is run, heartbeats
 *   ngx_iv_complete_steps.c  the way there
 *   ngx_iv_complete_check.c  pieces, in a thread
 *   ngx_iv_complete_end.c    what follows the answer, the way back
 *
 * One phase is under way at a time, with one operation on the metadata store or
 * the storage, in a pool of the phase's own.  Handlers note that it ended and
 * post the step, in which everything is decided.
 */

#ifndef NGX_IV_COMPLETE_STATE_H
#define NGX_IV_COMPLETE_STATE_H

#include "upload/ngx_iv_complete.h"
#include "formats/ngx_iv_hash.h"


typedef enum {
    NGX_IV_COMPLETE_CLAIM = 0,
    NGX_IV_COMPLETE_RESERVE,
    NGX_IV_COMPLETE_HEAD,
    NGX_IV_COMPLETE_READ,
    NGX_IV_COMPLETE_CHECK,
    NGX_IV_COMPLETE_COPY,
    NGX_IV_COMPLETE_VERIFY,         /* where an ETag says nothing */
    NGX_IV_COMPLETE_READY,

    /* the way back */
    NGX_IV_COMPLETE_UNCLAIM,
    NGX_IV_COMPLETE_FAIL,

    /* from here on: behind the answer */
    NGX_IV_COMPLETE_SETTLE,
    NGX_IV_COMPLETE_RELEASE,
    NGX_IV_COMPLETE_DELETE,         /* the image's own key */
    NGX_IV_COMPLETE_UNSTAGE,
    NGX_IV_COMPLETE_NOTE,           /* that both are deleted */
    NGX_IV_COMPLETE_OVER
} ngx_iv_complete_phase_e;


/* a job's */
typedef struct {
    u_char         *buf;            /* NGX_IV_COMPLETE_PIECE bytes */
    size_t          n;
    unsigned        last:1;
    unsigned        hashing:1;      /* hash is to be freed */
    ngx_int_t       rc;
    ngx_iv_hash_t   hash;
    ngx_iv_image_t  image;
    u_char          md5[NGX_IV_MD5_LEN];
    u_char          sha256[NGX_IV_SHA256_LEN];
} ngx_iv_complete_check_t;


typedef struct ngx_iv_complete_state_s {
    ngx_iv_complete_phase_e  phase;
    ngx_iv_storage_t       *storage;
    ngx_iv_job_t           *job;    /* its ctx: the check */

    ngx_event_t     event;          /* posted: the step */
    ngx_event_t     beat;           /* timer: heartbeat */
    ngx_pool_t     *beat_pool;
    ngx_iv_metadata_op_t   *touch;

    /* the phase's */
    ngx_pool_t     *pool;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_storage_op_t    *storage_op;

    off_t           offset;         /* read so far */
    ngx_str_t       etag;           /* of the staged object; in the pool */
    int64_t         default_expiry; /* days; 0: none */

    unsigned        caller:1;       /* there is somebody to call back */
    unsigned        answered:1;
    unsigned        begun:1;        /* the phase's operation … */
    unsigned        ended:1;        /* … and its end */
    unsigned        checking:1;     /* a thread has the check */
    unsigned        touched:1;      /* a heartbeat came back */
    unsigned        opaque:1;       /* the staged object's ETag is no MD5 */
    unsigned        copied:1;       /* there may be an object under the key */
    unsigned        failed:1;       /* on the way back */
    unsigned        undone:1;       /* … without a fault */
    unsigned        slow:1;         /* hashing in place was told */
} ngx_iv_complete_state_t;


void ngx_iv_complete_post(ngx_iv_complete_t *c);
void ngx_iv_complete_next(ngx_iv_complete_t *c,
    ngx_iv_complete_phase_e phase);
/* code and why; phase: NGX_IV_COMPLETE_UNCLAIM or _FAIL */
void ngx_iv_complete_refuse(ngx_iv_complete_t *c,
    ngx_iv_complete_phase_e phase, ngx_int_t code, const char *why);

/* the phase's operation, begun with these; NULL: no memory, refused already */
ngx_iv_metadata_op_t *ngx_iv_complete_write(ngx_iv_complete_t *c);
ngx_iv_storage_op_t *ngx_iv_complete_object(ngx_iv_complete_t *c,
    const ngx_str_t *key);

/* no memory; what was begun is left to the sweep */
void ngx_iv_complete_stuck(ngx_iv_complete_t *c);

/* _steps.c */
void ngx_iv_complete_claim(ngx_iv_complete_t *c);
void ngx_iv_complete_reserve(ngx_iv_complete_t *c);
void ngx_iv_complete_head(ngx_iv_complete_t *c);
void ngx_iv_complete_copy(ngx_iv_complete_t *c);
void ngx_iv_complete_verify(ngx_iv_complete_t *c);
void ngx_iv_complete_ready(ngx_iv_complete_t *c);

/* _check.c: NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_complete_check_create(ngx_iv_complete_t *c);
void ngx_iv_complete_read(ngx_iv_complete_t *c);
void ngx_iv_complete_check(ngx_iv_complete_t *c);

/* _end.c: a step in one of the later phases */
void ngx_iv_complete_end(ngx_iv_complete_t *c);


#endif
