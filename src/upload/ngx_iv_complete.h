/*
 * The completion of a direct upload: what a client has sent to the storage
 * itself becomes an image, free of the request type.
 *
 *   claim    the ticket is ours, nobody else completes it
 *   reserve  its quota once more, which holds since the ticket was given
 *   head     the staged object is there and has the declared size
 *   read     piece by piece, each hashed and walked in a thread
 *   copy     to the image's key, if the staged object is still the same
 *   ready    the document; then the answer; then the quota is settled and the
 *            staged object deleted (again by the sweep, at its URL's end)
 *
 * What fails before the copy for a reason of the storage's, the store's or the
 * client's timing gives the ticket back: it can be completed again.  A bad
 * image or a copy that failed ends it: the document becomes error, then the
 * quota is given back and the objects are deleted.
 *
 * Memory: one buffer of NGX_IV_COMPLETE_PIECE bytes, however large the image.
 */

#ifndef NGX_IV_COMPLETE_H
#define NGX_IV_COMPLETE_H

#include "base/ngx_iv_code.h"
#include "formats/ngx_iv_image.h"
#include "metadata/ngx_iv_metadata_direct.h"
#include "storage/ngx_iv_storage.h"

#define NGX_IV_COMPLETE_PIECE  131072


typedef struct {
    ngx_iv_metadata_t  *metadata;
    ngx_iv_queue_t     *hash;
    ngx_iv_zone_t      *zone;
    ngx_iv_image_limits_t  limits;
    ngx_iv_quota_t      quota;          /* as the ticket was given */
    ngx_msec_t          heartbeat;      /* stale / 3; 0: none */
    u_char              id[NGX_IV_ID_LEN];
    ngx_str_t           owner;          /* whose it must be; empty: anybody's */

    /* the document's storage; NULL: it is not configured here */
    ngx_iv_storage_t *(*storage)(void *data, const ngx_str_t *name);
    /* the end, once: complete->code and ->document; ngx_iv_complete_free()
     * follows from the callee.  Neither is called from within a function of the
     * caller. */
    void              (*done)(void *data);
    void               *data;
} ngx_iv_complete_params_t;


typedef struct {
    /*
     * NGX_OK: ready; NGX_IV_NOT_FOUND, NGX_IV_GONE (too late),
     * NGX_IV_NOT_READY (nothing was sent yet, or another completes it),
     * NGX_IV_CONFLICT (the staged object was changed), _LENGTH_MISMATCH,
     * _UNSUPPORTED_TYPE (also: another than declared) and what else an upload
     * may have
     */
    ngx_int_t           code;
    const char         *why;            /* static, for the log; may be NULL */
    ngx_iv_document_t  *document;       /* in pool; NULL: not claimed */
    unsigned            again:1;        /* it was ready before */
    ngx_msec_t          storage_time;   /* ms; NGX_TIMER_INFINITE: none */
    ngx_msec_t          metadata_time;

    ngx_pool_t         *pool;
    ngx_log_t          *log;
    ngx_iv_complete_params_t  params;   /* strings copied into the pool */
    struct ngx_iv_complete_state_s  *state;
} ngx_iv_complete_t;


/* begins; the log is copied.  NULL: no memory */
ngx_iv_complete_t *ngx_iv_complete_create(
    const ngx_iv_complete_params_t *params, ngx_log_t *log);
/* the caller is gone: no callback comes any more; what was begun goes on */
void ngx_iv_complete_abandon(ngx_iv_complete_t *c);
/* after done */
void ngx_iv_complete_free(ngx_iv_complete_t *c);


#endif
