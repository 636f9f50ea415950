/*
 * A storage that is an S3 bucket, what its files share: _s3.c begins and
 * repeats tries, _s3_answer.c judges how they ended, _s3_clock.c learns the
 * storage's time, _s3_multi.c knows what is special about multipart uploads,
 * _s3_direct.c about direct ones, _s3_list.c about lists.
 */

#ifndef NGX_IV_STORAGE_S3_H
#define NGX_IV_STORAGE_S3_H

#include "storage/ngx_iv_storage.h"
#include "storage/ngx_iv_s3_request.h"
#include "storage/ngx_iv_s3_urls.h"
#include "aws/ngx_iv_s3_error.h"
#include "aws/ngx_iv_s3_list.h"


/* a storage's, of one worker */
typedef struct {
    ngx_iv_endpoint_t     *endpoint;
    ngx_iv_sigv4_cache_t   cache;
    ngx_iv_s3_urls_t       urls;
    ngx_uint_t             unheard;     /* PUTs in a row without a 100 */
    unsigned               expect:1;
    unsigned               undated:1;   /* Date is not the storage's clock */
} ngx_iv_s3_t;


typedef struct ngx_iv_s3_op_s  ngx_iv_s3_op_t;

typedef struct {
    ngx_pool_t            *pool;
    ngx_iv_call_t         *call;
    ngx_iv_s3_op_t        *s;           /* valid until the call is over */
    ngx_event_t            drop;

    /* of the answer; printable ASCII, in pool */
    ngx_str_t              etag;
    ngx_str_t              date;
    ngx_str_t              retry_after;
    ngx_str_t              request_id;
    ngx_str_t              region;
    ngx_str_t              location;
    ngx_str_t              range;       /* Content-Range */
    unsigned               opaque:1;
    unsigned               starved:1;   /* the source has nothing to send */

    time_t                 skew;        /* what it was signed with */
} ngx_iv_s3_try_t;


struct ngx_iv_s3_op_s {
    ngx_iv_storage_op_t   *op;
    ngx_iv_s3_t           *s3;
    ngx_iv_s3_method_e     method;

    ngx_iv_s3_try_t       *try;         /* NULL: none under way */
    ngx_event_t            backoff;
    ngx_uint_t             retries;
    ngx_str_t              body;        /* complete: in the operation's pool */

    unsigned               fresh:1;     /* no idle connections any more */
    unsigned               stale:1;     /* a stale connection was met */
    unsigned               skewed:1;    /* the clock was corrected */
    unsigned               lost:1;      /* the body can't be sent again */
    unsigned               cancelled:1;
    unsigned               unclear:1;   /* complete: it may have been done */
    unsigned               settling:1;  /* complete: a HEAD decides */
};


/* the body comes from the operation's source */
#define ngx_iv_s3_sends(s)                                                    \
    ((s)->method == NGX_IV_S3_PUT || (s)->method == NGX_IV_S3_PART)


/* why a try failed */
typedef struct {
    ngx_int_t              code;
    ngx_uint_t             retry;
    ngx_msec_t             wait;        /* Retry-After, 0: none */
    const char            *what;        /* without an answer */
    const char            *hint;
    const char            *final;       /* why there is no other try */
    ngx_iv_s3_error_t      error;       /* of an answer */
} ngx_iv_s3_failure_t;


/* _s3.c */

/* by which the storage's clock differs from ours, as far as is known */
#define ngx_iv_s3_skew(st)  ngx_iv_breaker_skew(&(st)->breaker)

void ngx_iv_s3_start(ngx_iv_storage_op_t *op, ngx_iv_s3_method_e method,
    const ngx_str_t *body);
/* another try, if f and the number of tries allow it, or the end */
void ngx_iv_s3_failed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
/* another try now, not counted */
void ngx_iv_s3_at_once(ngx_iv_s3_op_t *s);
/* NGX_OK: the body can be sent from its first byte, else NGX_DECLINED.  The
 * source may cancel: look at s->cancelled */
ngx_int_t ngx_iv_s3_rewind(ngx_iv_s3_op_t *s);
/* the last thing that is done with s */
void ngx_iv_s3_finish(ngx_iv_s3_op_t *s, ngx_int_t code);

/* _s3_answer.c */

/* the call's header handler; its data is the try */
void ngx_iv_s3_header(ngx_iv_call_t *call, const ngx_str_t *name,
    const ngx_str_t *value);
/* a try is over: with an answer, without one.  f is zeroed */
void ngx_iv_s3_answer(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
void ngx_iv_s3_lost(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
/* op->etag from what the storage said, without quotes and the mark of weakness.
 * NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_s3_set_etag(ngx_iv_s3_op_t *s, ngx_str_t etag);
/* 1: a try failed when some of its body was on its way, so that nobody knows
 * what the storage, or one behind a proxy, makes of the part it has */
ngx_uint_t ngx_iv_s3_broken(ngx_iv_s3_op_t *s);
/* level: NGX_LOG_ERR, or NGX_LOG_INFO when another try follows */
void ngx_iv_s3_log(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f,
    ngx_uint_t level);

/* _s3_clock.c */

/* the clock was refused, or (guess) may have been.  NGX_OK: another try will be
 * signed by the storage's; NGX_DECLINED: that is not known, or known already */
ngx_int_t ngx_iv_s3_learn_clock(ngx_iv_s3_op_t *s,
    const ngx_str_t *server_time, ngx_uint_t guess);
/* after a success: somebody may have set a clock */
void ngx_iv_s3_forget_clock(ngx_iv_s3_op_t *s);

/* _s3_multi.c */

void ngx_iv_s3_multi_create(ngx_iv_storage_op_t *op);
void ngx_iv_s3_multi_part(ngx_iv_storage_op_t *op);
void ngx_iv_s3_multi_complete(ngx_iv_storage_op_t *op);
void ngx_iv_s3_multi_abort(ngx_iv_storage_op_t *op);

/* 2xx: NGX_OK; NGX_DECLINED: it is none, see f; NGX_DONE: the operation goes on
 * or is over; NGX_ERROR: no memory */
ngx_int_t ngx_iv_s3_created(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
ngx_int_t ngx_iv_s3_completed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
/* the HEAD found an object */
ngx_int_t ngx_iv_s3_settled(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
/* an unclear completion: asks for the object */
void ngx_iv_s3_settle(ngx_iv_s3_op_t *s);

/* _s3_direct.c */

void ngx_iv_s3_get(ngx_iv_storage_op_t *op);
void ngx_iv_s3_copy(ngx_iv_storage_op_t *op);
ngx_int_t ngx_iv_s3_ticket(ngx_iv_storage_t *st, ngx_pool_t *pool,
    void *ticket);

/* as ngx_iv_s3_created() */
ngx_int_t ngx_iv_s3_got(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
ngx_int_t ngx_iv_s3_copied(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);

/* _s3_list.c */

void ngx_iv_s3_list(ngx_iv_storage_op_t *op);
void ngx_iv_s3_uploads(ngx_iv_storage_op_t *op);

/* as ngx_iv_s3_created() */
ngx_int_t ngx_iv_s3_listed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);


#endif
