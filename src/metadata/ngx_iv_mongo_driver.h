/*
 * What the files that call the driver share; only they include this.
 *
 * ngx_iv_mongo.c         connection, options, what an error means
 * ngx_iv_mongo_calls.c   the calls, one function for each kind
 * ngx_iv_quota.c         … on user documents; _quota_pending.c: the sweep's
 * ngx_iv_request_record.c  … on repeated requests
 */

#ifndef NGX_IV_MONGO_DRIVER_H
#define NGX_IV_MONGO_DRIVER_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <mongoc/mongoc.h>
#include "metadata/ngx_iv_mongo.h"

#define NGX_IV_MONGO_IMAGES     "images"
#define NGX_IV_MONGO_STATE      "image_vault_state"
#define NGX_IV_MONGO_USERS      "users"
#define NGX_IV_MONGO_REQUESTS   "image_vault_requests"

/* of one process's pool of connections: whose a running request is */
#define NGX_IV_MONGO_TOKEN      12


/* what one call works with */
typedef struct {
    ngx_iv_mongo_call_t    *call;
    mongoc_client_t        *client;
    mongoc_collection_t    *collection;
    const char             *database;
    ngx_msec_t              timeout;
    const u_char           *token;      /* NGX_IV_MONGO_TOKEN bytes */
    ngx_uint_t              quota;
} ngx_iv_mongo_ctx_t;


/* each of them says in the call what went wrong; reply: may be NULL */
void ngx_iv_mongo_failed(ngx_iv_mongo_ctx_t *ctx, const bson_error_t *error,
    const bson_t *reply);
void ngx_iv_mongo_invalid(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    const char *field);
void ngx_iv_mongo_internal(ngx_iv_mongo_ctx_t *ctx, const char *what);

/* documents in `field` of the reply; NGX_ERROR: the call has failed, also if no
 * majority acknowledged it */
int64_t ngx_iv_mongo_updated(ngx_iv_mongo_ctx_t *ctx, bool ok,
    const bson_t *reply, const bson_error_t *error, const char *field);
/* the same for findAndModify: NGX_OK and *it at the document (of any type:
 * null if none matched), or NGX_ERROR */
ngx_int_t ngx_iv_mongo_modified(ngx_iv_mongo_ctx_t *ctx, bool ok,
    const bson_t *reply, const bson_error_t *error, bson_iter_t *it);

void ngx_iv_mongo_get(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_insert(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_change(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_ready(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_fail(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_lease(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_refs(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_sweep_stale(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_remove(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_indexes(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_reserve(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_settle(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_release(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_sweep(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_begin(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_alive(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_end(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_free(ngx_iv_mongo_ctx_t *ctx);

/* drops the entry of image `id`; give: what it held is given back.  Documents
 * changed, or NGX_ERROR */
int64_t ngx_iv_mongo_quota_drop(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *users, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], ngx_uint_t give);


#endif
