/*
 * Storages: named places for objects.  Every operation is asynchronous and
 * cancellable; a storage is an S3 bucket (_s3.c) or a local folder (_local.c).
 *
 * Keys are raw bytes (no encoding), without a leading slash.
 */

#ifndef NGX_IV_STORAGE_H
#define NGX_IV_STORAGE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_code.h"
#include "base/ngx_iv_ref.h"
#include "base/ngx_iv_thread.h"
#include "aws/ngx_iv_s3_list.h"
#include "aws/ngx_iv_sigv4.h"
#include "formats/ngx_iv_hash.h"
#include "net/ngx_iv_net.h"
#include "shm/ngx_iv_zone.h"


typedef struct ngx_iv_storage_s     ngx_iv_storage_t;
typedef struct ngx_iv_storage_op_s  ngx_iv_storage_op_t;

#define NGX_IV_STORAGE_S3     1
#define NGX_IV_STORAGE_LOCAL  2

/* what an error document may take */
#define NGX_IV_STORAGE_GET    8192

#define NGX_IV_EXPECT_OFF     0
#define NGX_IV_EXPECT_ON      1
#define NGX_IV_EXPECT_AUTO    2     /* on, but for R2's hosts */


/* one image_vault_storage block; read-only after start */
typedef struct {
    ngx_str_t       name;
    ngx_uint_t      type;
    ngx_flag_t      public_only;
    ngx_str_t       public_url;     /* with {bucket}, {region} replaced, no
                                       slash at its end; empty: none */
    ngx_array_t    *headers;        /* ngx_iv_pair_t, sent with every PUT */

    /* s3 */
    ngx_iv_endpoint_conf_t  endpoint;
    ngx_str_t       region;
    ngx_str_t       bucket;
    ngx_flag_t      virtual_host;   /* endpoint.host already holds the bucket */
    ngx_iv_credentials_t  credentials;
    ngx_uint_t      expect;
    size_t          part_size;
    ngx_uint_t      retries;
    ngx_msec_t      backoff_min;
    ngx_msec_t      backoff_max;
    ngx_uint_t      max_active;

    /* local */
    ngx_str_t       root;           /* absolute, no slash at its end */
    ngx_str_t       url;            /* "/files" or "https://host/files", no
                                       slash at its end */
    ngx_str_t       secret;
} ngx_iv_storage_conf_t;


/* what a worker shares with its storages */
typedef struct {
    ngx_iv_queue_t *files;          /* file work and getaddrinfo */
    ngx_iv_zone_t  *zone;           /* counters, breakers */
} ngx_iv_storage_env_t;


typedef struct {
    u_char          md5[NGX_IV_MD5_LEN];    /* of the part's bytes */
    ngx_str_t       etag;           /* as the storage gave it, without quotes */
    unsigned        opaque:1;       /* etag_opaque of the part's operation */
} ngx_iv_storage_part_t;


struct ngx_iv_storage_op_s {
    /* set by the caller (zeroed by ngx_iv_storage_op_create()) */
    ngx_str_t       key;
    void           *data;
    /* once, never from within the starting call */
    void          (*handler)(ngx_iv_storage_op_t *op);

    /* put only */
    off_t           size;
    ngx_str_t       content_type;
    ngx_str_t       disposition;    /* Content-Disposition to store; may be
                                       empty */
    ngx_str_t       sha256;         /* hex: the payload is signed exactly;
                                       empty: UNSIGNED-PAYLOAD */
    /*
     * Bytes from `offset` on: NGX_OK and *p, *n > 0; NGX_AGAIN: none yet,
     * ngx_iv_storage_wake() follows; NGX_DECLINED: they are gone, what was sent
     * cannot be sent again; NGX_ERROR: give up.
     * The bytes stay as they are until `sent` has passed them *and* the source
     * declines them; `keep` is held while a thread may read them.
     */
    ngx_int_t     (*source)(ngx_iv_storage_op_t *op, off_t offset, u_char **p,
                            size_t *n);
    void          (*progress)(ngx_iv_storage_op_t *op);  /* `sent` changed */
    ngx_iv_ref_t   *keep;
    /*
     * The caller can send the body again under another key: see `again`.
     * tries, retries and wait then go from one operation to the next.
     */
    unsigned        rekey:1;
    ngx_uint_t      retries;
    ngx_msec_t      wait;           /* before the first try */

    /* asks whether the storage lives: is not counted */
    unsigned        probe:1;

    /*
     * local storages only: a put whose size is not known (-1) ends where the
     * source returns NGX_DONE.
     */

    /*
     * S3 multipart uploads (contract 4.1, unknown lengths).  The caller numbers
     * parts from 1, all of them but the last of conf->part_size bytes; a part
     * is a put of its own (size, source, sha256 as there) and may be retried.
     */
    ngx_str_t       upload_id;      /* set by create's end, given to others */
    ngx_uint_t      part;           /* part: its number */
    const ngx_iv_storage_part_t  *parts;    /* complete: nparts, in order */
    ngx_uint_t      nparts;

    /*
     * get: `length` bytes from `offset` on, into `buf` of at least
     * NGX_IV_STORAGE_GET bytes; copy: from `source_key`, of the same storage,
     * with content_type and disposition anew.  Both only if the object's ETag
     * is `if_match` (without quotes; empty: any), else _PRECONDITION_FAILED.
     */
    off_t           offset;
    size_t          length;
    u_char         *buf;
    ngx_str_t       source_key;
    ngx_str_t       if_match;

    /*
     * list, uploads: a page of at most `limit`, of keys that begin with
     * `prefix`, behind the key `after` (of uploads: and its `after_upload`, as
     * the last page's list.next_key and next_upload had them).
     */
    ngx_str_t       prefix;
    ngx_str_t       after;
    ngx_str_t       after_upload;
    ngx_uint_t      limit;

    /* results */
    ngx_int_t       code;           /* NGX_OK or NGX_IV_STORAGE_*, _NOT_FOUND,
                                       _PRECONDITION_FAILED,
                                       _OVERLOADED (max_active), _INTERNAL */
    off_t           sent;           /* body bytes taken in the present try; back
                                       to 0 when a try begins anew */
    ngx_uint_t      status;         /* HTTP status, 0: none (or local) */
    ngx_str_t       etag;           /* without quotes; local: empty */
    off_t           found_size;     /* head, get: of the whole object */
    ngx_iv_s3_list_t  list;         /* list, uploads: in pool */
    unsigned        etag_opaque:1;  /* SSE-KMS or customer key: not an MD5 */
    unsigned        touched:1;      /* the storage may hold something of it */
    unsigned        again:1;        /* rekey: it failed with its body on the
                                       way, and a storage may let a part of the
                                       object appear later: worth another try,
                                       but under a fresh key */
    ngx_uint_t      tries;
    ngx_msec_t      time;           /* from start to end */

    ngx_iv_storage_t  *storage;
    ngx_pool_t     *pool;
    ngx_log_t      *log;

    void           *state;          /* the storage's own */
};


struct ngx_iv_storage_s {
    const ngx_iv_storage_conf_t  *conf;
    ngx_iv_storage_env_t   *env;
    ngx_iv_breaker_t        breaker;    /* s3 only */
    ngx_uint_t      active;

    /* the kind's own; every start function calls op->handler later */
    void          (*put)(ngx_iv_storage_op_t *op);
    void          (*wake)(ngx_iv_storage_op_t *op);
    void          (*head)(ngx_iv_storage_op_t *op);
    void          (*del)(ngx_iv_storage_op_t *op);  /* absent is NGX_OK */
    /* NULL where there is no such thing (local): put takes any length there */
    void          (*multi_create)(ngx_iv_storage_op_t *op);
    void          (*multi_part)(ngx_iv_storage_op_t *op);
    void          (*multi_complete)(ngx_iv_storage_op_t *op);
    void          (*multi_abort)(ngx_iv_storage_op_t *op);
    void          (*get)(ngx_iv_storage_op_t *op);
    void          (*copy)(ngx_iv_storage_op_t *op);
    void          (*list)(ngx_iv_storage_op_t *op);
    void          (*uploads)(ngx_iv_storage_op_t *op);
    ngx_int_t     (*ticket)(ngx_iv_storage_t *st, ngx_pool_t *pool,
                            void *ticket);
    void          (*cancel)(ngx_iv_storage_op_t *op);
    ngx_int_t     (*url)(ngx_iv_storage_t *st, ngx_pool_t *pool,
                         const void *url, ngx_str_t *out);

    void           *state;
};


/* in init_process, after the thread queues exist.  NULL: no memory */
ngx_iv_storage_t *ngx_iv_storage_create(ngx_cycle_t *cycle,
    const ngx_iv_storage_conf_t *conf, ngx_iv_storage_env_t *env);
ngx_int_t ngx_iv_storage_s3_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st);
ngx_int_t ngx_iv_storage_local_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st);

/* for the kinds: nothing is under way any more, the operation ends with `code`
 * and its handler is called from the event loop.  (In an event of their own
 * they set op->code and call op->handler() themselves.) */
void ngx_iv_storage_post(ngx_iv_storage_op_t *op, ngx_int_t code);

/* what a try has told of the storage; after: see ngx_iv_breaker_report().  why
 * or, if it is NULL, op->status is for the log */
void ngx_iv_storage_heard(ngx_iv_storage_op_t *op,
    ngx_iv_breaker_result_e result, ngx_msec_t after, const char *why);
/* 1: no more tries now, the storage's breaker is open and this is not its
 * trial */
ngx_uint_t ngx_iv_storage_is_shut(ngx_iv_storage_op_t *op);

/*
 * While a storage's breaker is open its operations end with
 * _STORAGE_UNAVAILABLE at once.  0: they don't, or one may try; else the
 * milliseconds until then.
 */
ngx_msec_t ngx_iv_storage_wait(ngx_iv_storage_t *st);

/* an operation of `pool`: destroying the pool cancels it and no callback comes.
 * NULL: no memory */
ngx_iv_storage_op_t *ngx_iv_storage_op_create(ngx_iv_storage_t *st,
    ngx_pool_t *pool, ngx_log_t *log);
void ngx_iv_storage_put(ngx_iv_storage_op_t *op);
void ngx_iv_storage_wake(ngx_iv_storage_op_t *op);
void ngx_iv_storage_head(ngx_iv_storage_op_t *op);
void ngx_iv_storage_delete(ngx_iv_storage_op_t *op);
/* 1 if bodies of unknown length need parts (S3), 0 if put takes them (local) */
ngx_uint_t ngx_iv_storage_needs_parts(ngx_iv_storage_t *st);
/* content type, disposition and the block's headers go with create */
void ngx_iv_storage_multi_create(ngx_iv_storage_op_t *op);
void ngx_iv_storage_multi_part(ngx_iv_storage_op_t *op);
/* a 200 with an error document is an error; op->etag is the object's and is
 * checked against the parts' MD5s: _STORAGE_UNAVAILABLE if they differ.  May be
 * repeated: NoSuchUpload and unclear answers are settled by a HEAD */
void ngx_iv_storage_multi_complete(ngx_iv_storage_op_t *op);
/* an upload that is not there counts as NGX_OK */
void ngx_iv_storage_multi_abort(ngx_iv_storage_op_t *op);
/*
 * A page of objects, in the order of their keys.  At most
 * NGX_IV_STORAGE_LIST of them.
 */
#define NGX_IV_STORAGE_LIST  1000
void ngx_iv_storage_list(ngx_iv_storage_op_t *op);
/* a page of multipart uploads that are open; of a local folder files that are
 * being written, without an upload_id */
void ngx_iv_storage_uploads(ngx_iv_storage_op_t *op);
/* at any moment, also in a callback, also twice; the op's pool may be destroyed
 * in the handler, but not in source or progress */
void ngx_iv_storage_cancel(ngx_iv_storage_op_t *op);


typedef struct {
    ngx_str_t       key;
    unsigned        head:1;         /* sign for HEAD */
    time_t          signing;        /* signing time */
    time_t          expires;        /* end of the URL's life (absolute); cut to
                                       the credentials' end by the storage */
    ngx_str_t       disposition;    /* response-content-disposition; empty:
                                       none */
} ngx_iv_storage_url_t;

/* a signed URL, absolute, or a path if a local storage's url is one.
 * NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_storage_signed_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const ngx_iv_storage_url_t *url, ngx_str_t *out);
/* public_url + "/" + encoded key.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_storage_public_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const ngx_str_t *key, ngx_str_t *out);


/*
 * Direct uploads (contract 4.8): a client sends the object itself.
 */

/* 1 if the storage has them (S3); else none of the following may be called */
ngx_uint_t ngx_iv_storage_is_direct(ngx_iv_storage_t *st);
/* a piece of an object.  All of it came, or it is an error */
void ngx_iv_storage_get(ngx_iv_storage_op_t *op);
/* within the storage; a 200 with an error document is an error.  op->etag is
 * the new object's */
void ngx_iv_storage_copy(ngx_iv_storage_op_t *op);


typedef struct {
    ngx_str_t       key;
    ngx_str_t       content_type;
    off_t           size;
    time_t          signing;
    time_t          expires;        /* absolute; cut as that of other URLs */

    /* results, in pool */
    ngx_str_t       url;
    ngx_iv_pair_t   headers[3];     /* to be sent with the PUT, as they are:
                                       Content-Type, Content-Length,
                                       If-None-Match */
} ngx_iv_storage_ticket_t;

/* a URL by which one object of that type and size may be PUT, where there is
 * none.  NGX_OK, NGX_ERROR; NGX_DECLINED: the type can't be sent as a header */
ngx_int_t ngx_iv_storage_ticket(ngx_iv_storage_t *st, ngx_pool_t *pool,
    ngx_iv_storage_ticket_t *ticket);


/* local.c: what the files gate checks; pure.  `args` is the request's query,
 * `key` the decoded path below the storage's url.  NGX_OK and *disposition
 * (may be empty), NGX_IV_FORBIDDEN (no or bad signature, bad key), NGX_IV_GONE
 * (expired), NGX_ERROR; *expires: the link's end */
ngx_int_t ngx_iv_storage_local_check(const ngx_iv_storage_conf_t *conf,
    ngx_pool_t *pool, const ngx_str_t *key, const ngx_str_t *args, time_t now,
    ngx_str_t *disposition, time_t *expires);


#endif
