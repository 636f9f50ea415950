/*
 * What the two files that call the driver share; only they include this.
 *
 * ngx_iv_mongo.c        connection, options, what an error means
 * ngx_iv_mongo_calls.c  the calls, one function for each kind
 */

#ifndef NGX_IV_MONGO_DRIVER_H
#define NGX_IV_MONGO_DRIVER_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <mongoc/mongoc.h>
#include "metadata/ngx_iv_mongo.h"

#define NGX_IV_MONGO_IMAGES     "images"
#define NGX_IV_MONGO_STATE      "image_vault_state"


/* what one call works with */
typedef struct {
    ngx_iv_mongo_call_t    *call;
    mongoc_client_t        *client;
    mongoc_collection_t    *collection;
    const char             *database;
    ngx_msec_t              timeout;
} ngx_iv_mongo_ctx_t;


/* each of them says in the call what went wrong; reply: may be NULL */
void ngx_iv_mongo_failed(ngx_iv_mongo_ctx_t *ctx, const bson_error_t *error,
    const bson_t *reply);
void ngx_iv_mongo_invalid(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    const char *field);
void ngx_iv_mongo_internal(ngx_iv_mongo_ctx_t *ctx, const char *what);

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


#endif
