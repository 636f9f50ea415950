/*
 * What is sent to an S3 bucket: the signed head of a request, signed URLs.
 * No I/O.
 */

#ifndef NGX_IV_S3_REQUEST_H
#define NGX_IV_S3_REQUEST_H

#include "storage/ngx_iv_storage.h"


typedef enum {
    NGX_IV_S3_PUT = 0,
    NGX_IV_S3_HEAD,
    NGX_IV_S3_DELETE,
    NGX_IV_S3_CREATE,               /* of multipart uploads */
    NGX_IV_S3_PART,
    NGX_IV_S3_COMPLETE,
    NGX_IV_S3_ABORT,
    NGX_IV_S3_GET,                  /* of a piece */
    NGX_IV_S3_COPY,
    NGX_IV_S3_LIST,
    NGX_IV_S3_UPLOADS
} ngx_iv_s3_method_e;


typedef struct {
    const ngx_iv_storage_conf_t  *conf;
    ngx_iv_sigv4_cache_t         *cache;
    time_t                        now;      /* as the storage's clock has it */
    ngx_iv_s3_method_e            method;
    const ngx_iv_storage_op_t    *op;       /* key, size, content_type … */
    const ngx_str_t              *body;     /* complete: what is sent */
    unsigned                      expect:1; /* Expect: 100-continue */
} ngx_iv_s3_request_t;


/* "PUT", "HEAD", "DELETE", "POST", "GET" */
const ngx_str_t *ngx_iv_s3_method(ngx_iv_s3_method_e method);
/* the same for people: "PUT of a part" */
const char *ngx_iv_s3_action(ngx_iv_s3_method_e method);

/*
 * Request line to empty line, in pool.  NGX_OK; NGX_DECLINED: a value has a
 * byte that no header may have; NGX_ERROR: no memory, OpenSSL.
 */
ngx_int_t ngx_iv_s3_request_head(ngx_pool_t *pool,
    const ngx_iv_s3_request_t *rq, ngx_str_t *head);

/* of a list: uploads, encoding-type, max-uploads, prefix, two markers */
#define NGX_IV_S3_QUERY  6

/* the arguments of a list: how many.  number: as ngx_iv_s3_request_head() has
 * it, NGX_INT_T_LEN bytes that live as long as the query */
ngx_uint_t ngx_iv_s3_request_page(const ngx_iv_s3_request_t *rq,
    ngx_iv_pair_t *query, u_char *number);

/* see ngx_iv_storage_ticket() */
ngx_int_t ngx_iv_s3_request_ticket(ngx_pool_t *pool,
    const ngx_iv_storage_conf_t *conf, ngx_iv_sigv4_cache_t *cache,
    ngx_iv_storage_ticket_t *ticket);

/* see ngx_iv_storage_signed_url() */
ngx_int_t ngx_iv_s3_request_url(ngx_pool_t *pool,
    const ngx_iv_storage_conf_t *conf, ngx_iv_sigv4_cache_t *cache,
    const ngx_iv_storage_url_t *url, ngx_str_t *out);


#endif
