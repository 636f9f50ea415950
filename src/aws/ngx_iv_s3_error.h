/*
 * S3's error documents (Amazon S3 API Reference, "Error responses"; R2's and
 * MinIO's have the same shape) and what an operator can do about each.
 */

#ifndef NGX_IV_S3_ERROR_H
#define NGX_IV_S3_ERROR_H

#include "base/ngx_iv_code.h"


typedef struct {
    ngx_str_t       code;           /* "NoSuchBucket"; empty: none */
    ngx_str_t       message;
    ngx_str_t       region;         /* PermanentRedirect and the like */
    ngx_str_t       endpoint;
    ngx_str_t       server_time;    /* RequestTimeTooSkewed */
    ngx_str_t       request_id;
} ngx_iv_s3_error_t;


typedef struct {
    ngx_int_t       code;           /* NGX_IV_* for the client */
    unsigned        retry:1;        /* worth another try, if nothing is lost */
    unsigned        fresh:1;        /* … on a new connection, after a backoff */
    unsigned        skew:1;         /* the clock is off: server_time tells */
    unsigned        expired:1;      /* the credentials must be refreshed */
    const char     *hint;           /* for the error log: what to mend */
} ngx_iv_s3_verdict_t;


/*
 * Parses an XML error document, also one without xmlns, with entities, or
 * after white space (CompleteMultipartUpload's 200), or cut off behind its
 * code.  The strings are copies, each at most 1,024 bytes, whatever is not
 * printable ASCII replaced by '?'.  NGX_OK; NGX_DECLINED: it is none (HTML,
 * empty, garbage); NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_s3_error_parse(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_iv_s3_error_t *e);
/*
 * The answers of CreateMultipartUpload and CompleteMultipartUpload, read in the
 * same way; the ETag may be in quotes.  NGX_OK; NGX_DECLINED: another document,
 * or it is not whole; NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_s3_multi_created(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_str_t *upload_id);
ngx_int_t ngx_iv_s3_multi_completed(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_str_t *etag);
/* the same for CopyObject's */
ngx_int_t ngx_iv_s3_copy_result(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_str_t *etag);


/* never fails: an unknown error is judged by its HTTP status */
void ngx_iv_s3_error_judge(ngx_uint_t status, const ngx_iv_s3_error_t *e,
    ngx_iv_s3_verdict_t *v);


#endif
