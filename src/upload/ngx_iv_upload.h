/*
 * One image on its way into a storage: sniff > reserve > stream+hash+check >
 * commit > undo, as a state machine free of the request type.
 *
 * A body of unknown length is held, one part at a time, in memory that a
 * worker lends (ngx_iv_room.h): what ends within a part is one PUT, signed
 * exactly; what is longer becomes an S3 multipart upload, its parts sent while
 * the next one fills, completed only after all checks.  A local storage needs
 * no parts.
 *
 * Memory: a ring of NGX_IV_UPLOAD_BUFFERS buffers of NGX_IV_UPLOAD_BUFFER bytes
 * (less for a small body), however large the body is; held in parts: at most
 * two parts, in blocks that are allocated as they fill and freed as soon as the
 * storage has their part, never more than the room that was granted.
 *
 * An upload owns itself: a pool, a log, those bytes.  Whoever feeds it may
 * vanish at any time (ngx_iv_upload_abandon()); what was begun is then undone
 * in the background, and the upload destroys itself.
 *
 *   sniff    the first bytes tell format and dimensions; a refusal needs
 *            neither database nor storage
 *   reserve  the document is inserted (uploading), then the owner's quota
 *            reserved: all of a known length, else what each part holds before
 *            it is sent on (local: what the ring holds, then the rest)
 *   stream   every filled buffer is sent to the storage while a thread hashes
 *            it and walks the image; the last buffer is withheld until all
 *            checks have passed, so a bad image never becomes an object
 *   commit   ETag against MD5, then (hold: at the caller's word) the document
 *            becomes ready; the quota is settled behind the answer
 *   undo     the PUT is cut, a multipart upload aborted; the document becomes
 *            error (majority), only then the quota is given back and the object
 *            deleted; what can't be had is left to the sweep
 */

#ifndef NGX_IV_UPLOAD_H
#define NGX_IV_UPLOAD_H

#include "base/ngx_iv_code.h"
#include "formats/ngx_iv_digest.h"
#include "formats/ngx_iv_fields.h"
#include "formats/ngx_iv_image.h"
#include "metadata/ngx_iv_metadata.h"
#include "storage/ngx_iv_storage.h"
#include "upload/ngx_iv_room.h"

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
    off_t               size;           /* of the body; -1: not known, then
                                           ngx_iv_upload_end() tells */
    off_t               max_size;       /* unknown: more is TOO_LARGE */
    off_t               at_most;        /* unknown: it can't be larger (what is
                                           left of the form); -1: who knows */
    ngx_iv_room_t      *room;           /* unknown: memory for parts; needed if
                                           ngx_iv_storage_needs_parts() */
    unsigned            hold:1;         /* stop before the commit: `stored` */
    ngx_iv_quota_t      quota;
    const ngx_iv_digests_t  *digests;   /* declared sums, or NULL; copied.  A
                                           declared SHA-256 of a known length
                                           also signs the payload */
    ngx_msec_t          heartbeat;      /* stale / 3 */
    ngx_str_t           owner;
    ngx_str_t           original_name;  /* cleaned */
    ngx_str_t           uploaded_from;
    ngx_uint_t          is_public;      /* the storage is public_only */
    const ngx_iv_fields_t  *fields;     /* tags and so on, or NULL; copied */

    /*
     * Called once the format is known: the object key for the file name (uuid
     * and extension) that the upload made; result in pool.  NGX_OK or
     * NGX_ERROR.
     */
    ngx_int_t         (*key)(void *data, ngx_pool_t *pool,
                             const ngx_str_t *filename, ngx_str_t *key);

    /* there is room for bytes again (ngx_iv_upload_room()) */
    void              (*more)(void *data);
    /* hold: the object is stored and good, the document still uploading (or it
     * has failed: then done comes instead).  ngx_iv_upload_commit() or
     * ngx_iv_upload_fail() follows, at any time later. */
    void              (*stored)(void *data);
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
    int64_t             quota_used;     /* of a QUOTA_EXCEEDED */
    int64_t             quota_limit;
    int64_t             quota_needed;

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
 * `more` follows.  Never more than what is left of params.size.  Of unknown
 * length: to be asked when there are bytes, as memory is reserved for them; one
 * byte more than max_size is taken, and fails the upload.
 */
size_t ngx_iv_upload_room(ngx_iv_upload_t *u, u_char **p);

/* n bytes were written to *p, in the same turn of the event loop; may fail the
 * upload: `done` then comes later.  When params.size bytes are in, the upload
 * goes on to its end by itself. */
void ngx_iv_upload_filled(ngx_iv_upload_t *u, size_t n);

/* unknown length: all bytes are in */
void ngx_iv_upload_end(ngx_iv_upload_t *u);

/* hold: the request is whole and valid; the fields replace those of the
 * parameters (NULL: keep them).  `done` follows. */
void ngx_iv_upload_commit(ngx_iv_upload_t *u, const ngx_iv_fields_t *fields);

/* the body broke off or the caller refuses it: undo and answer `code` (done is
 * called, as soon as the document's change is acknowledged or given up) */
void ngx_iv_upload_fail(ngx_iv_upload_t *u, ngx_int_t code, const char *why);

/* the caller is gone: no callback comes any more.  Before all bytes were in, or
 * while it is held, the upload is undone; after, it goes on to its end. */
void ngx_iv_upload_abandon(ngx_iv_upload_t *u);

/* after done */
void ngx_iv_upload_free(ngx_iv_upload_t *u);


#endif
