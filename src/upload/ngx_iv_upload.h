/*
 * One image on its way into a storage: sniff > reserve > stream+hash+check >
 * commit > undo, as a state machine free of the request type.
 *
 * An upload owns itself: a pool, a log, a ring of NGX_IV_UPLOAD_BUFFERS
 * buffers.  Whoever feeds it may vanish at any time (ngx_iv_upload_abandon());
 * what was begun is then undone in the background, and the upload destroys
 * itself.
 *
 *   sniff    the first bytes tell format and dimensions; a refusal needs
 *            neither database nor storage
 *   reserve  the document is inserted (uploading)
 *   stream   every filled buffer is sent to the storage while a thread hashes
 *            it and walks the image; the last buffer is withheld until all
 *            checks have passed, so a bad image never becomes an object
 *   commit   ETag against MD5, then the document becomes ready
 *   undo     the PUT is cut; the document becomes error (majority), only then
 *            the object is deleted; what can't be had is left to the sweep
 */

#ifndef NGX_IV_UPLOAD_H
#define NGX_IV_UPLOAD_H

#include "base/ngx_iv_code.h"
#include "formats/ngx_iv_image.h"
#include "metadata/ngx_iv_metadata.h"
#include "storage/ngx_iv_storage.h"

#define NGX_IV_UPLOAD_BUFFERS  2
#define NGX_IV_UPLOAD_BUFFER   65536
/* bodies up to this size are hashed in place, without a thread */
#define NGX_IV_UPLOAD_INLINE   16384


typedef struct ngx_iv_upload_s  ngx_iv_upload_t;

typedef struct {
    ngx_iv_metadata_t  *metadata;
    ngx_iv_storage_t   *storage;
    ngx_iv_queue_t     *hash;
    ngx_iv_zone_t      *zone;
    ngx_iv_image_limits_t  limits;
    off_t               size;           /* of the body, known beforehand */
    ngx_msec_t          heartbeat;      /* stale / 3 */
    ngx_str_t           owner;
    ngx_str_t           original_name;  /* cleaned */
    ngx_str_t           uploaded_from;
    ngx_uint_t          is_public;

    /*
     * Called once the format is known: the object key for the file name (uuid
     * and extension) that the upload made; result in pool.  NGX_OK or
     * NGX_ERROR.
     */
    ngx_int_t         (*key)(void *data, ngx_pool_t *pool,
                             const ngx_str_t *filename, ngx_str_t *key);

    /* there is room for bytes again (ngx_iv_upload_room()) */
    void              (*more)(void *data);
    /* the end, once: upload->code and ->document; ngx_iv_upload_free() follows
     * from the callee.  Neither is called from within a function of the caller,
     * except as stated. */
    void              (*done)(void *data);
    void               *data;
} ngx_iv_upload_params_t;


struct ngx_iv_upload_s {
    ngx_int_t           code;           /* NGX_OK: created */
    const char         *why;            /* static, for the log; may be NULL */
    ngx_iv_document_t   document;       /* in the upload's pool */
    ngx_msec_t          storage_time;   /* ms; NGX_TIMER_INFINITE: none */
    ngx_msec_t          metadata_time;

    ngx_pool_t         *pool;
    ngx_log_t          *log;
    ngx_iv_upload_params_t  params;     /* strings copied into the pool */
    struct ngx_iv_upload_state_s  *state;
};


/* the log is copied (level, file, connection number).  NULL: no memory */
ngx_iv_upload_t *ngx_iv_upload_create(const ngx_iv_upload_params_t *params,
    ngx_log_t *log);

/*
 * Where the next bytes go: the room in the buffer being filled, 0: none now,
 * `more` follows.  Never more than what is left of params.size.
 */
size_t ngx_iv_upload_room(ngx_iv_upload_t *u, u_char **p);

/* n bytes were written to *p, in the same turn of the event loop; may fail the
 * upload: `done` then comes later.  When params.size bytes are in, the upload
 * goes on to its end by itself. */
void ngx_iv_upload_filled(ngx_iv_upload_t *u, size_t n);

/* the body broke off or the caller refuses it: undo and answer `code` (done is
 * called, as soon as the document's change is acknowledged or given up) */
void ngx_iv_upload_fail(ngx_iv_upload_t *u, ngx_int_t code, const char *why);

/* the caller is gone: no callback comes any more.  Before all bytes were in,
 * the upload is undone; after, it goes on to its end. */
void ngx_iv_upload_abandon(ngx_iv_upload_t *u);

/* after done */
void ngx_iv_upload_free(ngx_iv_upload_t *u);


#endif
