/*
 * What the files of the sweep share: ngx_iv_sweep.c has the passes and their
 * steps, ngx_iv_sweep_item.c what is done with one image,
 * ngx_iv_sweep_uploads.c with its multipart uploads, ngx_iv_sweep_load.c when
 * to go slowly.
 */

#ifndef NGX_IV_SWEEP_PRIVATE_H
#define NGX_IV_SWEEP_PRIVATE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "metadata/ngx_iv_metadata_direct.h"
#include "sweep/ngx_iv_sweep.h"

#define NGX_IV_SWEEP_BATCH      100
#define NGX_IV_SWEEP_SIDE       4           /* deletes side by side */
#define NGX_IV_SWEEP_FAILURES   16          /* in a row: leave the storage */
#define NGX_IV_SWEEP_LEASE_MIN  10000
#define NGX_IV_SWEEP_UNKNOWN    32          /* names to be told of */


typedef enum {
    NGX_IV_SWEEP_STALE = 0,
    NGX_IV_SWEEP_EXPIRED,
    NGX_IV_SWEEP_FIRST,
    NGX_IV_SWEEP_SECOND,
    NGX_IV_SWEEP_STAGING,
    NGX_IV_SWEEP_UPLOADS,
    NGX_IV_SWEEP_REQUESTS,
    NGX_IV_SWEEP_QUOTA,
    NGX_IV_SWEEP_END
} ngx_iv_sweep_step_e;


typedef struct {
    ngx_iv_storage_t       *storage;
    ngx_uint_t              failures;       /* in a row, in this pass */
    unsigned                secretive:1;    /* tells nobody, in this pass, what
                                               uploads are open */
    unsigned                told:1;         /* … and it is in the log */
} ngx_iv_sweep_storage_t;


struct ngx_iv_sweep_s {
    ngx_iv_sweep_conf_t     conf;
    ngx_iv_metadata_t      *metadata;
    ngx_iv_sweep_storage_t *storages;
    ngx_uint_t              nstorages;
    ngx_iv_zone_t          *zone;
    ngx_log_t              *log;

    ngx_event_t             timer;
    ngx_str_t               holder;
    ngx_msec_t              ttl;
    ngx_array_t             unknown;        /* ngx_str_t, told of already */
    ngx_uint_t              regular;

    /* one pass */
    ngx_iv_sweep_step_e     step;
    ngx_pool_t             *pool;           /* of the present batch */
    ngx_event_t             next;           /* out of callbacks: go on */
    ngx_iv_metadata_op_t   *op;
    ngx_msec_t              leased;
    ngx_iv_sweep_pass_t     pass;           /* what is told of it */

    /* one batch */
    ngx_iv_metadata_ref_t  *refs;
    ngx_uint_t              nrefs;
    ngx_uint_t              done;           /* begun */
    ngx_uint_t              active;
    ngx_iv_metadata_ref_t   after;          /* the last batch's end */
    unsigned                paged:1;        /* there is one: go on behind it */
    unsigned                full:1;         /* there may be more */
    unsigned                held:1;
    unsigned                busy:1;         /* a pass is under way */
    unsigned                again:1;        /* … and another one asked for */
    unsigned                broken:1;       /* a call of the pass has failed */

    /* load */
    ngx_event_t             rest;           /* timer: a pause */
    ngx_msec_t              pause;          /* the last one's length */
    ngx_msec_t              latency;        /* of the last call to MongoDB */
    unsigned                rested:1;       /* one more step, whatever load */
    unsigned                strained:1;     /* a storage asked for less */
};


/* one document of a batch */
typedef struct {
    ngx_iv_sweep_t         *sweep;
    ngx_iv_sweep_storage_t *storage;
    ngx_iv_metadata_ref_t  *ref;
    ngx_iv_storage_op_t    *storage_op;
    ngx_iv_metadata_op_t   *op;
    ngx_iv_storage_op_t    *list;           /* of its key's open uploads */
    ngx_uint_t              nth;            /* of the page */
    ngx_uint_t              pages;
    unsigned                staged:1;       /* of its two objects the second */
} ngx_iv_sweep_item_t;


/* begins the work on one image; NGX_DECLINED: not in this pass */
ngx_int_t ngx_iv_sweep_item(ngx_iv_sweep_t *sweep, ngx_iv_metadata_ref_t *ref);
/* its storage's calls have failed */
void ngx_iv_sweep_item_failed(ngx_iv_sweep_item_t *item);
/* aborts every S3 upload of its key that is open, _item_closed() follows */
void ngx_iv_sweep_item_uploads(ngx_iv_sweep_item_t *item);
/* none is open, or the storage does not tell */
void ngx_iv_sweep_item_closed(ngx_iv_sweep_item_t *item);
/* its end */
void ngx_iv_sweep_item_done(ngx_iv_sweep_t *sweep);
/* on with the pass, with no call under way; in an event of its own */
void ngx_iv_sweep_go_on(ngx_iv_sweep_t *sweep);

/* 1: this node, the database or a storage has enough to do without us */
ngx_uint_t ngx_iv_sweep_loaded(ngx_iv_sweep_t *sweep);
/* 1: it goes on after a pause */
ngx_uint_t ngx_iv_sweep_rests(ngx_iv_sweep_t *sweep);
/* what a storage's answer tells of its load */
void ngx_iv_sweep_heard(ngx_iv_sweep_t *sweep, const ngx_iv_storage_op_t *op);


#endif
