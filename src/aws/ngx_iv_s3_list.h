/*
 * S3's lists: ListObjectsV2, ListMultipartUploads.  PURE.
 */

#ifndef NGX_IV_S3_LIST_H
#define NGX_IV_S3_LIST_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_S3_KEY_MAX  1024


typedef struct {
    ngx_str_t       key;            /* raw bytes */
    ngx_str_t       upload_id;      /* of uploads */
    int64_t         size;           /* of objects; -1: not told */
    int64_t         at;             /* last change, or begun, ms; 0: not told */
} ngx_iv_s3_listed_t;

typedef struct {
    ngx_iv_s3_listed_t  *items;
    ngx_uint_t      nitems;
    unsigned        more:1;
    ngx_str_t       next_key;       /* uploads with more: where to go on */
    ngx_str_t       next_upload;
} ngx_iv_s3_list_t;


/*
 * At most `max` items, in the document's order.  Keys may be percent-encoded
 * (EncodingType).  All strings are copies.  NGX_OK; NGX_DECLINED: another
 * document, one that is not whole, or with a key that none can be; NGX_ERROR:
 * no memory.
 */
ngx_int_t ngx_iv_s3_list_objects(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_uint_t max, ngx_iv_s3_list_t *list);
ngx_int_t ngx_iv_s3_list_uploads(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_uint_t max, ngx_iv_s3_list_t *list);


#endif
