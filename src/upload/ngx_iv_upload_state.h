/*
 * An upload's own state, shared by
 *
 *   ngx_iv_upload.c         its life and its first steps
 *   ngx_iv_upload_stream.c  the bytes: checks, and one PUT
 *   ngx_iv_upload_hold.c    memory for a body of unknown length
 *   ngx_iv_upload_part.c    S3 multipart uploads
 *   ngx_iv_upload_quota.c   the owner's quota
 *   ngx_iv_upload_commit.c  heartbeats, waiting for the caller, the end
 *   ngx_iv_upload_undo.c    the way back
 *
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

/* of an S3 multipart upload at most */
#define NGX_IV_UPLOAD_PARTS  10000


typedef enum {
    NGX_IV_UPLOAD_SNIFF = 0,
    NGX_IV_UPLOAD_STREAM,           /* and reserve */
    NGX_IV_UPLOAD_HELD,             /* stored, waits for the caller's word */
    NGX_IV_UPLOAD_COMMIT,
    NGX_IV_UPLOAD_SETTLE,           /* ready; the quota's entry is dropped */
    NGX_IV_UPLOAD_UNDO,
    NGX_IV_UPLOAD_OVER              /* nothing is under way any more */
} ngx_iv_upload_phase_e;


/* an operation on the metadata store and how far it is */
typedef struct {
    ngx_iv_upload_t       *upload;
    ngx_iv_metadata_op_t  *op;      /* NULL: not started */
    unsigned        done:1;
} ngx_iv_upload_write_t;


/* a multipart upload; begun with `create` */
typedef struct {
    ngx_iv_storage_op_t  *create;
    ngx_iv_upload_write_t  note;    /* its id, in the document */
    ngx_iv_storage_op_t  *part;     /* the one under way */
    ngx_pool_t     *pool;           /* of part */
    ngx_iv_storage_op_t  *complete;
    ngx_iv_storage_op_t  *abort;

    ngx_array_t     parts;          /* ngx_iv_storage_part_t, sent */
    off_t           sent;           /* bytes of them */

    unsigned        create_done:1;
    unsigned        part_done:1;
    unsigned        complete_done:1;
    unsigned        abort_done:1;
} ngx_iv_upload_multi_t;


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
    ngx_iv_upload_write_t  let_go;  /* … and release of its quota */
    u_char          left_id[NGX_IV_ID_LEN];

    ngx_iv_upload_write_t  reserve;
    ngx_iv_upload_write_t  settle;
    ngx_iv_upload_write_t  release;
    off_t           reserved;       /* granted so far */
    off_t           reserving;      /* asked for */
    int64_t         default_expiry; /* days; 0: none */

    ngx_iv_room_share_t  share;     /* held: memory that the worker lends */
    off_t           seen;           /* of the present operation's `sent` */
    ngx_iv_upload_multi_t  multi;

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
    unsigned        cleared:1;      /* and the quota has room: all may leave */
    unsigned        slow:1;         /* hashing in place was told */
    unsigned        unknown:1;      /* the length came with the end */
    unsigned        held:1;         /* in blocks, for parts */
    unsigned        pressed:1;      /* more comes, but there is no room */
    unsigned        emptied:1;      /* no byte is held any more */
    unsigned        told:1;         /* stored() was called */
    unsigned        committed:1;    /* by the caller's word */
    unsigned        put_done:1;
    unsigned        del_done:1;
    unsigned        unsure:1;       /* the document may be ready */
    unsigned        enough:1;       /* of the undo, for the answer */
    unsigned        counted:1;
    unsigned        leaving:1;      /* let_go comes before the next reserve */
    unsigned        answered:1;     /* done() was called or is not wanted */
} ngx_iv_upload_state_t;


/* something happened: a step follows */
void ngx_iv_upload_post(ngx_iv_upload_t *u);

/* the first bytes, and the document; inside a step */
void ngx_iv_upload_sniff(ngx_iv_upload_t *u);

/* the upload fails with code; inside a step */
void ngx_iv_upload_refuse(ngx_iv_upload_t *u, ngx_int_t code,
    const char *why);

/* NULL: no memory */
ngx_iv_metadata_op_t *ngx_iv_upload_write(ngx_iv_upload_t *u,
    ngx_iv_upload_write_t *w, ngx_pool_t *pool);

/* the end of the body was seen */
#define ngx_iv_upload_ended(u)                                                \
    ((u)->state->ring->size != NGX_IV_RING_UNKNOWN)

/* a step's parts */
void ngx_iv_upload_stream(ngx_iv_upload_t *u);
void ngx_iv_upload_parts(ngx_iv_upload_t *u);
void ngx_iv_upload_held(ngx_iv_upload_t *u);
void ngx_iv_upload_ready(ngx_iv_upload_t *u);
void ngx_iv_upload_settle(ngx_iv_upload_t *u);
void ngx_iv_upload_undo(ngx_iv_upload_t *u);
void ngx_iv_upload_patience(ngx_event_t *ev);

/* commit: fields into the document; NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_upload_fields(ngx_iv_upload_t *u,
    const ngx_iv_fields_t *fields);
void ngx_iv_upload_beat(ngx_event_t *ev);
/* a heartbeat came back */
void ngx_iv_upload_beaten(ngx_iv_upload_t *u);
/* the document is not uploading any more */
void ngx_iv_upload_swept(ngx_iv_upload_t *u);
/* no more heartbeats */
void ngx_iv_upload_quiet(ngx_iv_upload_t *u);

/* stream: the body is whole and walked; are the declared sums right?  NGX_OK or
 * NGX_IV_DIGEST_MISMATCH */
ngx_int_t ngx_iv_upload_digests(ngx_iv_upload_t *u);
/* key, content type and disposition.  NULL: no memory */
ngx_iv_storage_op_t *ngx_iv_upload_object(ngx_iv_upload_t *u,
    ngx_pool_t *pool);
/* the object is stored; is it what was sent?  md5 of it, n: of so many parts,
 * 0: of a single PUT */
void ngx_iv_upload_stored(ngx_iv_upload_t *u, ngx_iv_storage_op_t *op,
    const u_char md5[NGX_IV_MD5_LEN], ngx_uint_t n);

/*
 * hold: NGX_OK or NGX_ERROR (memory)
 * _more: the caller has bytes and there is no room: asks for it
 * _trim: bytes before `sent` are the storage's
 */
ngx_int_t ngx_iv_upload_hold(ngx_iv_upload_t *u);
void ngx_iv_upload_hold_more(ngx_iv_upload_t *u);
void ngx_iv_upload_hold_trim(ngx_iv_upload_t *u, off_t sent);
/* the storage took bytes of it */
void ngx_iv_upload_hold_progress(ngx_iv_storage_op_t *op);
/* frees the bytes when nobody reads them any more, in every phase */
void ngx_iv_upload_hold_end(ngx_iv_upload_t *u);

/* parts: the body is longer than one part */
ngx_uint_t ngx_iv_upload_needs_parts(ngx_iv_upload_t *u);
void ngx_iv_upload_parts_cancel(ngx_iv_upload_t *u);
/* undo: NGX_OK: nothing of it is left; NGX_AGAIN; NGX_DECLINED: it failed */
ngx_int_t ngx_iv_upload_parts_abort(ngx_iv_upload_t *u);

/* quota for n bytes altogether: NGX_OK; NGX_AGAIN: asked for, or refused (see
 * the phase) */
ngx_int_t ngx_iv_upload_quota(ngx_iv_upload_t *u, off_t n);
/* undo: NGX_OK, NGX_AGAIN, NGX_DECLINED */
ngx_int_t ngx_iv_upload_quota_undo(ngx_iv_upload_t *u);
/* a put that broke off in mid-body: NGX_OK: it begins again, as another object
 * with another document; NGX_DECLINED: it can't */
ngx_int_t ngx_iv_upload_again(ngx_iv_upload_t *u);
/* the quota of what was left behind: NGX_OK: given back; NGX_AGAIN */
ngx_int_t ngx_iv_upload_left(ngx_iv_upload_t *u);


#endif
