/*
 * An upload's own state, shared by ngx_iv_upload.c (its life and its steps),
 * ngx_iv_upload_stream.c (the bytes) and ngx_iv_upload_undo.c (the way back).
 * Everything is decided in one place, ngx_iv_upload_step(), which runs from a
 * posted event: functions of the caller and handlers of operations note what
 * happened and post it.
 */

#ifndef NGX_IV_UPLOAD_STATE_H
#define NGX_IV_UPLOAD_STATE_H

#include "upload/ngx_iv_upload.h"
#include "upload/ngx_iv_upload_check.h"

#define NGX_IV_UPLOAD_RING  (NGX_IV_UPLOAD_BUFFERS * NGX_IV_UPLOAD_BUFFER)

/* the answer waits so long for the object's deletion */
#define NGX_IV_UPLOAD_PATIENCE  1000


typedef enum {
    NGX_IV_UPLOAD_SNIFF = 0,
    NGX_IV_UPLOAD_STREAM,           /* and reserve */
    NGX_IV_UPLOAD_COMMIT,
    NGX_IV_UPLOAD_UNDO,
    NGX_IV_UPLOAD_OVER              /* nothing is under way any more */
} ngx_iv_upload_phase_e;


/* an operation on the metadata store and how far it is */
typedef struct {
    ngx_iv_metadata_op_t  *op;      /* NULL: not started */
    unsigned        done:1;
} ngx_iv_upload_write_t;


typedef struct ngx_iv_upload_state_s {
    ngx_iv_upload_phase_e  phase;
    ngx_iv_ring_t  *ring;
    ngx_iv_job_t   *job;            /* checks in a thread */

    ngx_event_t     event;          /* posted: ngx_iv_upload_step() */
    ngx_event_t     beat;           /* timer: heartbeat */
    ngx_event_t     patience;       /* timer: answer before the undo's end */

    ngx_iv_upload_write_t  insert;
    ngx_iv_upload_write_t  ready;
    ngx_iv_upload_write_t  fail;
    ngx_iv_upload_write_t  noted;
    ngx_iv_upload_write_t  touch;
    ngx_pool_t     *touch_pool;
    ngx_iv_upload_write_t  left;    /* fail of a document left behind */

    ngx_iv_storage_op_t  *before;   /* the put that broke off */
    ngx_iv_storage_op_t  *put;
    ngx_iv_storage_op_t  *del;

    ngx_int_t       fault;          /* from outside a step; 0: none */
    const char     *fault_why;

    unsigned        caller:1;       /* there is somebody to call back */
    unsigned        starved:1;      /* the put waits for bytes */
    unsigned        wanted:1;       /* the caller waits for room */
    unsigned        checking:1;     /* a thread has the ring's check */
    unsigned        passed:1;       /* the whole body is good */
    unsigned        slow:1;         /* hashing in place was told */
    unsigned        put_done:1;
    unsigned        del_done:1;
    unsigned        unsure:1;       /* the document may be ready */
    unsigned        enough:1;       /* of the undo, for the answer */
    unsigned        counted:1;
    unsigned        answered:1;     /* done() was called or is not wanted */
} ngx_iv_upload_state_t;


/* something happened: a step follows */
void ngx_iv_upload_post(ngx_iv_upload_t *u);

/* the upload fails with code; inside a step */
void ngx_iv_upload_refuse(ngx_iv_upload_t *u, ngx_int_t code,
    const char *why);

/* NULL: no memory */
ngx_iv_metadata_op_t *ngx_iv_upload_write(ngx_iv_upload_t *u,
    ngx_iv_upload_write_t *w, ngx_pool_t *pool);

/* no more heartbeats */
void ngx_iv_upload_quiet(ngx_iv_upload_t *u);

/* the stream's part of a step */
void ngx_iv_upload_stream(ngx_iv_upload_t *u);

/* a put that broke off in mid-body: NGX_OK: it begins again, as another object
 * with another document; NGX_DECLINED: it can't */
ngx_int_t ngx_iv_upload_again(ngx_iv_upload_t *u);

/* the undo's part of a step */
void ngx_iv_upload_undo(ngx_iv_upload_t *u);


#endif
