/*
 * Documents of `images` <-> BSON.  Knows BSON only, no driver; thread-safe.
 *
 * ngx_iv_document.c        writing, copies
 * ngx_iv_document_parse.c  reading
 */

#ifndef NGX_IV_DOCUMENT_H
#define NGX_IV_DOCUMENT_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <bson/bson.h>
#include "metadata/ngx_iv_metadata.h"

/* since 2.3 the name says that the caller numbers the elements */
#if BSON_CHECK_VERSION(2, 3, 0)
#define ngx_iv_bson_array_begin  bson_append_array_unsafe_begin
#else
#define ngx_iv_bson_array_begin  bson_append_array_begin
#endif


/* a copy that lives in pool.  NGX_OK or NGX_ERROR (memory) */
ngx_int_t ngx_iv_document_copy(ngx_pool_t *pool, ngx_iv_document_t *dst,
    const ngx_iv_document_t *src);

/* appends all fields but _id, updatedAt (the server's) and direct.  NGX_OK,
 * NGX_ERROR: too large, or a key, storage or owner that is no UTF-8 */
ngx_int_t ngx_iv_document_append(bson_t *b, const ngx_iv_document_t *doc);

/* appends what is known only when the upload is through: size, dimensions,
 * checksums, etag */
ngx_int_t ngx_iv_document_append_result(bson_t *b,
    const ngx_iv_document_t *doc);

/* appends for an update what a form may say only at its end: metadata.tags,
 * access */
ngx_int_t ngx_iv_document_append_fields(bson_t *b,
    const ngx_iv_document_t *doc);

/* an ObjectId if it is exactly 24 hex digits, else a string */
ngx_int_t ngx_iv_document_append_owner(bson_t *b, const char *name,
    const ngx_str_t *owner);

/* NGX_OK; NGX_DECLINED: *field cannot be understood; NGX_ERROR: memory.
 * Tolerant: what lacks or has another type stays empty, save for fields that
 * decide who may read what. */
ngx_int_t ngx_iv_document_parse(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc, const char **field);

/* _id, r2Key, storage, userId, s3UploadId, s3UploadsAt, direct.stagingKey,
 * deletedAt; as ngx_iv_document_parse() */
ngx_int_t ngx_iv_document_parse_ref(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_metadata_ref_t *ref, const char **field);

const char *ngx_iv_document_status(ngx_iv_status_e status);


#endif
