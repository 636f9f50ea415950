/*
 * The calls to MongoDB: synchronous, for threads; the only place that knows the
 * driver.  Needs no event loop and writes no log of its own: what went wrong is
 * in the call, what the driver itself says goes to the log of
 * ngx_iv_mongo_create().
 */

#ifndef NGX_IV_MONGO_H
#define NGX_IV_MONGO_H

#include "metadata/ngx_iv_metadata.h"

#define NGX_IV_MONGO_MESSAGE_LEN  512
#define NGX_IV_MONGO_WHY_LEN      128
#define NGX_IV_MONGO_MANY         64


typedef struct ngx_iv_mongo_s  ngx_iv_mongo_t;

typedef enum {
    NGX_IV_MONGO_GET = 0,
    NGX_IV_MONGO_SWEEP_FIRST,
    NGX_IV_MONGO_SWEEP_SECOND,
    NGX_IV_MONGO_LIST,
    NGX_IV_MONGO_GET_MANY,
    NGX_IV_MONGO_USAGE,
    NGX_IV_MONGO_STATS,
    NGX_IV_MONGO_USERS_LIST,
    NGX_IV_MONGO_USER_GET,
    NGX_IV_MONGO_SWEEP_STAGING,
    NGX_IV_MONGO_SWEEP_UPLOADS,
    NGX_IV_MONGO_PING,
    NGX_IV_MONGO_SWEEP_LOOK,
    NGX_IV_MONGO_REPORT_KEYS,
    NGX_IV_MONGO_REPORT_DOCUMENTS,

    /* from here on: writes */
    NGX_IV_MONGO_INSERT,
    NGX_IV_MONGO_TOUCH,
    NGX_IV_MONGO_READY,
    NGX_IV_MONGO_FAIL,
    NGX_IV_MONGO_LEASE,
    NGX_IV_MONGO_LEASE_RELEASE,
    NGX_IV_MONGO_SWEEP_STALE,
    NGX_IV_MONGO_OBJECT_DELETED,
    NGX_IV_MONGO_REMOVE,
    NGX_IV_MONGO_DELETE,
    NGX_IV_MONGO_SWEEP_EXPIRED,
    NGX_IV_MONGO_DIRECT_INSERT,
    NGX_IV_MONGO_DIRECT_CLAIM,
    NGX_IV_MONGO_DIRECT_UNCLAIM,
    NGX_IV_MONGO_STAGING_DELETED,
    NGX_IV_MONGO_UPLOADS_ENDED,
    NGX_IV_MONGO_MULTIPART,
    NGX_IV_MONGO_QUOTA_RESERVE,
    NGX_IV_MONGO_QUOTA_SETTLE,
    NGX_IV_MONGO_QUOTA_RELEASE,
    NGX_IV_MONGO_QUOTA_SWEEP,
    NGX_IV_MONGO_REQUEST_BEGIN,
    NGX_IV_MONGO_REQUEST_ALIVE,
    NGX_IV_MONGO_REQUEST_END,
    NGX_IV_MONGO_REQUEST_FREE,
    NGX_IV_MONGO_INDEXES,
    NGX_IV_MONGO_PATCH,
    NGX_IV_MONGO_BULK,
    NGX_IV_MONGO_MODERATE,
    NGX_IV_MONGO_USER_PATCH,
    NGX_IV_MONGO_AUDIT,
    NGX_IV_MONGO_SWEEP_END,
    NGX_IV_MONGO_SWEEP_REQUESTS,
    NGX_IV_MONGO_REPORT_MARK,
    NGX_IV_MONGO_REPORT_CLEAR,

    NGX_IV_MONGO_LAST
} ngx_iv_mongo_kind_e;


typedef struct {
    ngx_iv_mongo_t         *mongo;
    ngx_pool_t             *pool;       /* for the results */
    ngx_iv_mongo_kind_e     kind;

    u_char                  id[NGX_IV_ID_LEN];
    ngx_iv_document_t       document;   /* insert, ready; get: the result */
    u_char                  why[NGX_IV_MONGO_WHY_LEN];
    ngx_str_t               holder;
    ngx_msec_t              ttl;        /* lease; sweeps: stale; a ticket's
                                           life */
    ngx_uint_t              limit;
    u_char                  after_id[NGX_IV_ID_LEN];
    int64_t                 after;      /* 0: from the beginning */
    ngx_str_t               upload_id;
    ngx_str_t               owner;      /* quota, requests; delete: whose it
                                           must be, empty: anybody's */
    ngx_str_t               key;        /* requests */
    int64_t                 version;    /* delete: updatedAt it must have; 0:
                                           whatever it is */
    int64_t                 already;
    int64_t                 size;
    ngx_iv_quota_t          quota;
    u_char                  fingerprint[NGX_IV_SHA256_LEN];
    u_char                  nonce[NGX_IV_REQUEST_NONCE];
    struct ngx_iv_lists_s  *lists;      /* see ngx_iv_lists.h */
    unsigned                begin:1;    /* lease: for a pass from its start */
    unsigned                ask:1;      /* … that somebody asks for */
    unsigned                release:1;  /* end of a pass: the lease goes */

    /* of sweeps; end: given */
    struct ngx_iv_sweep_state_s  *sweep;

    /* results as in ngx_iv_metadata_op_t */
    ngx_int_t               code;
    ngx_iv_metadata_ref_t  *refs;
    ngx_uint_t              nrefs;
    ngx_uint_t              count;
    int64_t                 fence;
    int64_t                 used;
    int64_t                 quota_limit;
    int64_t                 default_expiry;
    ngx_iv_outcome_t       *outcomes;   /* end: given */
    ngx_uint_t              noutcomes;
    ngx_uint_t              status;     /* end: given */
    unsigned                unknown:1;
    unsigned                down:1;     /* no server: open the breaker */
    unsigned                trial:1;    /* given: the breaker's trial */
    unsigned                skipped:1;  /* not made: the breaker opened first */
    unsigned                unsure:1;   /* given: an earlier try may have been
                                           applied */
    unsigned                alone:1;    /* of many: it has to be made alone */

    /* what to log at error, empty: nothing */
    u_char                  message[NGX_IV_MONGO_MESSAGE_LEN];
} ngx_iv_mongo_call_t;


/* for the configuration: NULL if the URI is good, else a static message.
 * *database is in the pool, empty if the URI names none */
const char *ngx_iv_mongo_check_uri(ngx_pool_t *pool, const ngx_str_t *uri,
    ngx_str_t *database);

/* connects to nothing yet.  NULL: *error (static) says why */
ngx_iv_mongo_t *ngx_iv_mongo_create(const ngx_iv_metadata_conf_t *conf,
    ngx_log_t *log, const char **error);
void ngx_iv_mongo_destroy(ngx_iv_mongo_t *mongo);

void ngx_iv_mongo_run(ngx_iv_mongo_call_t *call);
/* inserts and changes to ready, NGX_IV_MONGO_MANY at most, as one command.
 * Each has its own outcome; or `alone`: its outcome is not known, it is to be
 * run once more, by itself */
void ngx_iv_mongo_run_many(ngx_iv_mongo_call_t **calls, ngx_uint_t n);

const char *ngx_iv_mongo_name(ngx_iv_mongo_kind_e kind);
/* 1: it writes documents of `images`: those of call->id, refs and bulk's ids */
ngx_uint_t ngx_iv_mongo_changes_images(ngx_iv_mongo_kind_e kind);


#endif
