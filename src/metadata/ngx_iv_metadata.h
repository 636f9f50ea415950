/*
 * The metadata store: who owns which image.  Asynchronous, over libmongoc in
 * thread pools; this header knows nothing of libmongoc or BSON.
 *
 * ngx_iv_metadata.c          operations, thread hop, breaker (event loop)
 * ngx_iv_mongo.c, _calls.c   all that knows libmongoc        (threads)
 * ngx_iv_query.c             what is asked, as BSON          (threads)
 * ngx_iv_document.c, _parse  documents <-> BSON              (threads)
 *
 * An operation belongs to the caller's pool; destroying that pool cancels it:
 * no callback comes, what was under way may still be applied.
 * Writes are acknowledged by a majority; reads are primary, majority.
 * Whatever a write may have changed is dropped from the zone's cache before its
 * outcome is told.
 */

#ifndef NGX_IV_METADATA_H
#define NGX_IV_METADATA_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_code.h"
#include "base/ngx_iv_str.h"
#include "base/ngx_iv_thread.h"
#include "formats/ngx_iv_hash.h"
#include "shm/ngx_iv_flight.h"
#include "shm/ngx_iv_zone.h"


typedef enum {
    NGX_IV_STATUS_UPLOADING = 0,
    NGX_IV_STATUS_PROCESSING,
    NGX_IV_STATUS_READY,
    NGX_IV_STATUS_ERROR
} ngx_iv_status_e;


/* one document of `images`; dates in milliseconds, 0: absent */
typedef struct {
    u_char          id[NGX_IV_ID_LEN];
    ngx_str_t       owner;          /* userId as the HTTP interface shows it */
    ngx_str_t       original_name;
    ngx_str_t       filename;       /* uuid.ext */
    ngx_str_t       content_type;
    int64_t         size;
    uint32_t        width;
    uint32_t        height;
    int64_t         uploaded_at;
    ngx_str_t       uploaded_from;
    ngx_str_t      *tags;
    ngx_uint_t      ntags;
    ngx_uint_t      is_public;
    ngx_str_t      *shared_with;
    ngx_uint_t      nshared;
    int64_t         expires_at;
    ngx_iv_status_e status;
    unsigned        has_checksums:1;
    unsigned        multipart:1;    /* insert: an S3 multipart upload may be
                                       begun; ready: one may be left open */
    u_char          md5[NGX_IV_MD5_LEN];
    u_char          sha256[NGX_IV_SHA256_LEN];

    ngx_str_t       key;            /* r2Key */
    ngx_str_t       storage;
    ngx_str_t       etag;
    ngx_str_t       staging_key;    /* of a direct upload; empty: none */
    int64_t         direct_deadline;    /* … until then it can be completed */
    int64_t         updated_at;     /* the server's time */
    int64_t         deleted_at;
    int64_t         object_deleted_at;  /* first successful delete */
    int64_t         blocked_at;
    ngx_str_t       blocked_reason;
    ngx_str_t       error;
} ngx_iv_document_t;


/* from the configuration, read-only */
typedef struct {
    ngx_str_t       uri;            /* a secret: never logged */
    ngx_str_t       database;
    ngx_msec_t      timeout;
    ngx_uint_t      quota;          /* 1: image_vault_quota is on somewhere;
                                       0: user documents are left alone */
    ngx_uint_t      audit;          /* 1: image_vault_audit is on somewhere */
} ngx_iv_metadata_conf_t;

/* at configuration time: is the URI good?  NGX_CONF_OK or a message without
 * secrets (static or in the pool); fills conf->database from the URI if it is
 * empty.  Calls mongoc_init() neither here nor in the master. */
char *ngx_iv_metadata_check_conf(ngx_pool_t *pool,
    ngx_iv_metadata_conf_t *conf);
/* a number for the hosts and the database, whoever signs in there and how */
uint64_t ngx_iv_metadata_of(const ngx_iv_metadata_conf_t *conf);


/* image_vault_quota, as a location has it */
typedef enum {
    NGX_IV_QUOTA_OFF = 0,
    NGX_IV_QUOTA_SIZE,              /* a missing document is created */
    NGX_IV_QUOTA_DOCUMENTS          /* only owners with a document */
} ngx_iv_quota_mode_e;

/* of a user document without limit, where the mode is documents */
#define NGX_IV_QUOTA_NONE  INT64_MAX

typedef struct {
    ngx_iv_quota_mode_e  mode;
    int64_t         limit;          /* size: of documents that have none */
} ngx_iv_quota_t;


/* one outcome of an upload request, kept for its repetition */
typedef struct {
    u_char          id[NGX_IV_ID_LEN];
    ngx_str_t       name;           /* original name */
    ngx_int_t       code;           /* NGX_OK: stored as id */
    ngx_str_t       message;        /* of a failure */
} ngx_iv_outcome_t;


typedef struct ngx_iv_metadata_s     ngx_iv_metadata_t;
typedef struct ngx_iv_metadata_op_s  ngx_iv_metadata_op_t;

/* in init_process of workers only; flights: the look-ups under way of this
 * worker.  NULL: said in the log */
ngx_iv_metadata_t *ngx_iv_metadata_create(ngx_cycle_t *cycle,
    const ngx_iv_metadata_conf_t *conf, ngx_iv_zone_t *zone,
    ngx_iv_flights_t *flights, ngx_iv_queue_t *read, ngx_iv_queue_t *write);
/* in exit_process, when no thread works any more */
void ngx_iv_metadata_destroy(ngx_iv_metadata_t *md);


typedef struct {
    u_char          id[NGX_IV_ID_LEN];
    ngx_str_t       key;
    ngx_str_t       storage;
    ngx_str_t       owner;          /* for the quota's pending entry */
    ngx_str_t       upload_id;      /* s3UploadId; empty: none is known */
    ngx_str_t       staging_key;    /* another object of it; empty: none */
    int64_t         direct_deadline;    /* … until then it may be sent */
    int64_t         deleted_at;
    int64_t         uploads_at;     /* s3UploadsAt, see the sweep's lists */
    unsigned        multipart:1;    /* S3 uploads of its key may be open */
    unsigned        ready:1;        /* reports: its status … */
    unsigned        missing:1;      /* … and mark */
} ngx_iv_metadata_ref_t;


struct ngx_iv_metadata_op_s {
    /* set by the caller */
    void           *data;
    void          (*handler)(ngx_iv_metadata_op_t *op);  /* once, never from
                                                   within the starting call */

    /* results */
    ngx_int_t       code;       /* NGX_OK, NGX_IV_NOT_FOUND, NGX_IV_CONFLICT
                                   (the filter no longer matched),
                                   _METADATA_UNAVAILABLE, _OVERLOADED (queue),
                                   _INTERNAL */
    unsigned        unknown:1;  /* failed, but may have been applied */
    ngx_iv_document_t      *document;   /* get: in op->pool */
    ngx_iv_metadata_ref_t  *refs;       /* sweep lists: in op->pool */
    ngx_uint_t      nrefs;
    ngx_uint_t      count;      /* documents changed; lease: 1 held, 0 not */
    int64_t         fence;      /* lease: its number */
    int64_t         used;       /* quota: after a grant, before a refusal */
    int64_t         limit;      /* NGX_IV_QUOTA_NONE: there is none */
    int64_t         default_expiry; /* quota: days, if preferences.autoDelete */
    ngx_iv_outcome_t   *outcomes;   /* request_begin: the first's; in pool */
    ngx_uint_t      noutcomes;
    ngx_uint_t      status;     /* request_begin: HTTP status of the first */
    struct ngx_iv_found_s  *found;  /* see ngx_iv_metadata_lists.h */
    struct ngx_iv_sweep_state_s  *sweep;    /* see ngx_iv_metadata_sweep.h */
    ngx_msec_t      time;

    ngx_pool_t     *pool;
    ngx_log_t      *log;
    ngx_iv_metadata_t  *metadata;
    void           *state;
};

ngx_iv_metadata_op_t *ngx_iv_metadata_op_create(ngx_iv_metadata_t *md,
    ngx_pool_t *pool, ngx_log_t *log);

/* Each starts the operation; what is passed in is copied before it returns. */

/* is there a primary that answers? */
void ngx_iv_metadata_ping(ngx_iv_metadata_op_t *op);
void ngx_iv_metadata_get(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);
/* status uploading, updatedAt by the server; doc->multipart: s3UploadId is
 * there, though empty, before the storage is asked to begin one */
void ngx_iv_metadata_insert(ngx_iv_metadata_op_t *op,
    const ngx_iv_document_t *doc);
/* heartbeat: updatedAt of a document that is uploading */
void ngx_iv_metadata_touch(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);
/* uploading -> ready, with size, dimensions, checksums, etag, tags, access
 * (isPublic, sharedWith, expiresAt) of doc; doc->multipart: s3UploadsAt is
 * noted */
void ngx_iv_metadata_ready(ngx_iv_metadata_op_t *op,
    const ngx_iv_document_t *doc);
/* uploading -> error with deletedAt; a document already `error` counts as
 * NGX_OK, a `ready` one as NGX_IV_CONFLICT, none as NGX_IV_NOT_FOUND */
void ngx_iv_metadata_fail(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const char *why);

/* notes the S3 multipart upload of a document that is uploading, before its
 * first part is sent, so that the sweep can abort it */
void ngx_iv_metadata_multipart(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *upload_id);

/*
 * Quota (contract 5.1.3, 7.4).  One guarded update of the owner's document:
 * used + (n - already) <= limit, $inc used, storageQuota.pending.<id> = n.
 * `already` is what this id holds (0: nothing yet); a repetition is harmless.
 * NGX_OK with used, limit, default_expiry; NGX_IV_QUOTA_EXCEEDED with used and
 * limit; NGX_IV_FORBIDDEN (documents: there is none); NGX_IV_CONFLICT: the
 * entry is another than `already`, the sweep has released it.
 */
void ngx_iv_metadata_quota_reserve(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN], int64_t already,
    int64_t n, const ngx_iv_quota_t *quota);
/* the image is ready: drops its pending entry, keeps used; may be repeated */
void ngx_iv_metadata_quota_settle(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN]);
/* it failed: gives back what is pending, by its own entry; may be repeated */
void ngx_iv_metadata_quota_release(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const u_char id[NGX_IV_ID_LEN]);

/*
 * Idempotency (contract 4.1), collection image_vault_requests, _id = owner NUL
 * key.  begin: NGX_OK with status 0: it is ours, go on; NGX_OK with status: the
 * first one's outcomes; NGX_IV_CONFLICT: another fingerprint, or the first is
 * still running (it counts as dead when its last sign of life is older than
 * `stale`).  alive: a sign of life.  end: keeps the outcomes for 24 h (TTL
 * index); free: the key may be used again.  nonce: by which free knows its
 * begin, also one whose outcome is `unknown`; set before that returns.
 */
#define NGX_IV_REQUEST_NONCE  12

void ngx_iv_metadata_request_begin(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key,
    const u_char fingerprint[NGX_IV_SHA256_LEN], ngx_msec_t stale,
    u_char nonce[NGX_IV_REQUEST_NONCE]);
void ngx_iv_metadata_request_alive(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key);
void ngx_iv_metadata_request_end(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key, ngx_uint_t status,
    const ngx_iv_outcome_t *outcomes, ngx_uint_t n);
void ngx_iv_metadata_request_free(ngx_iv_metadata_op_t *op,
    const ngx_str_t *owner, const ngx_str_t *key,
    const u_char nonce[NGX_IV_REQUEST_NONCE]);

/* the sweep's (5.4) */
/* takes, keeps or is refused the lease of this node: count.  A worker that
 * exits in order gives it back: ngx_iv_metadata_destroy() */
void ngx_iv_metadata_lease(ngx_iv_metadata_op_t *op, const ngx_str_t *holder,
    ngx_msec_t ttl);
/* uploading and updatedAt older than stale (server time), or a ticket past its
 * deadline that nobody completes -> error; at most `limit`; count */
void ngx_iv_metadata_sweep_stale(ngx_iv_metadata_op_t *op, ngx_msec_t stale,
    ngx_uint_t limit);
/* error with deletedAt whose object was not deleted yet: refs, oldest first,
 * behind `after` (id and deleted_at), from the beginning if it is NULL */
void ngx_iv_metadata_sweep_first(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_uint_t limit);
/* … whose first delete is older than stale: refs */
void ngx_iv_metadata_sweep_second(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit);
/* ready ones with an s3UploadsAt older than stale: the beginning of their
 * multipart upload took several tries, each of which may have begun one */
void ngx_iv_metadata_sweep_uploads(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit);
/* none of its key is open any more: s3UploadsAt goes */
void ngx_iv_metadata_uploads_ended(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);
/* notes the first successful delete of the object (server time) */
void ngx_iv_metadata_object_deleted(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);
/* 1: image_vault_quota is on somewhere: refs are to be released */
ngx_uint_t ngx_iv_metadata_has_quota(ngx_iv_metadata_t *md);
/* for what it tells: nobody but the store reports to it */
ngx_iv_breaker_t *ngx_iv_metadata_breaker(ngx_iv_metadata_t *md);
/* pending entries that were left behind: of ready images they are settled, of
 * failed ones and, if older than stale, of absent ones released.  Looks at
 * `limit` owners, chosen by chance; count: entries that were dropped */
void ngx_iv_metadata_sweep_quota(ngx_iv_metadata_op_t *op, ngx_msec_t stale,
    ngx_uint_t limit);
/* removes an `error` document whose object was deleted */
void ngx_iv_metadata_remove(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);


#endif
