/*
 * What the files that call the driver share; only they include this.
 *
 * ngx_iv_mongo.c         connection, what an error means
 * ngx_iv_mongo_conf.c    the connection string and its options
 * ngx_iv_mongo_calls.c   the calls, one function for each kind; _many.c:
 *                        several as one command
 * ngx_iv_quota.c         … on user documents; _quota_pending.c: the sweep's;
 *                        _quota_intent.c: what deletes note there
 * ngx_iv_delete.c        deletes and expiries
 * ngx_iv_direct.c        tickets for direct uploads
 * ngx_iv_request_record.c  … on repeated requests
 * ngx_iv_lease.c         the sweep's lease, what it tells; _sweep_look.c: what
 *                        it is about to do; _report.c: … and its report
 * ngx_iv_stream.c        the change stream, with a client of its own
 * ngx_iv_list.c, ngx_iv_change.c, ngx_iv_admin.c, ngx_iv_audit_write.c
 *                        … of ngx_iv_metadata_lists.h
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
#define NGX_IV_MONGO_TRAIL      "image_vault_audit"

/* a user's entry for an image, as a path in expressions */
#define NGX_IV_QUOTA_ENTRY      "$storageQuota.pending."
#define NGX_IV_QUOTA_NAME       (sizeof(NGX_IV_QUOTA_ENTRY) + 2 * NGX_IV_ID_LEN)

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
    ngx_uint_t              audit;
} ngx_iv_mongo_ctx_t;


/* for a client of one's own, whose server may take `await` longer to answer: a
 * copy of the connection string, the database and what stands for both.  The
 * store stays, also beyond ngx_iv_mongo_destroy(), until it is given back.
 * NULL: no memory */
mongoc_uri_t *ngx_iv_mongo_borrow(ngx_iv_mongo_t *mongo, ngx_msec_t await,
    const char **database, uint64_t *of);
void ngx_iv_mongo_give_back(ngx_iv_mongo_t *mongo);

/* a client for a call, which has no outcome yet.  NGX_OK: to be ended;
 * NGX_ERROR: the call has failed */
ngx_int_t ngx_iv_mongo_begin(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_mongo_call_t *call);
void ngx_iv_mongo_end(ngx_iv_mongo_ctx_t *ctx);

/* data: the log.  What the driver says; of a URI it says too much */
void ngx_iv_mongo_log(mongoc_log_level_t level, const char *domain,
    const char *message, void *data);
/* what the promises rest on, and what the URI leaves open.  NGX_OK or
 * NGX_ERROR */
ngx_int_t ngx_iv_mongo_options(mongoc_uri_t *uri, ngx_msec_t timeout);

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

/* what the document of the sweep says, in the call's pool.  NGX_OK or
 * NGX_ERROR (memory) */
ngx_int_t ngx_iv_mongo_sweep_parse(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc);

/* maxTimeMS of what may read much */
ngx_msec_t ngx_iv_mongo_max(ngx_iv_mongo_ctx_t *ctx);
/* NGX_OK, NGX_DECLINED, NGX_ERROR: the call has failed; frees the filter */
ngx_int_t ngx_iv_mongo_exists(ngx_iv_mongo_ctx_t *ctx, bson_t *filter);

void ngx_iv_mongo_ping(ngx_iv_mongo_ctx_t *ctx);
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
/* 1: go on; frees the command */
ngx_uint_t ngx_iv_mongo_index(ngx_iv_mongo_ctx_t *ctx, bson_t *command);
void ngx_iv_mongo_delete(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_sweep_expired(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_direct_insert(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_direct_claim(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_reserve(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_settle(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_release(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_quota_sweep(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_begin(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_alive(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_end(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_request_free(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_list(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_get_many(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_usage(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_stats(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_users(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_user(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_patch(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_bulk(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_moderate(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_user_patch(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_audit(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_sweep_look(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_sweep_end(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_sweep_requests(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_report_keys(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_report_documents(ngx_iv_mongo_ctx_t *ctx);
void ngx_iv_mongo_report_mark(ngx_iv_mongo_ctx_t *ctx);
ngx_uint_t ngx_iv_mongo_audit_indexes(ngx_iv_mongo_ctx_t *ctx);

/* the sum of the owner's ready images.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_mongo_quota_sum(ngx_iv_mongo_ctx_t *ctx, int64_t *sum);
/* for an owner without a document, or one without `used`, by call->owner and
 * call->quota.  NGX_AGAIN: there is one now; NGX_ERROR */
ngx_int_t ngx_iv_mongo_quota_create(ngx_iv_mongo_ctx_t *ctx);
ngx_int_t ngx_iv_mongo_quota_complete(ngx_iv_mongo_ctx_t *ctx);

/* drops the number in the entry of image `id`; give: what it held is given
 * back.  Documents changed, or NGX_ERROR */
int64_t ngx_iv_mongo_quota_drop(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *users, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], ngx_uint_t give);
/* the same for what `filter` matches; entry: its path; amount: the path of what
 * is given back, or NULL */
int64_t ngx_iv_mongo_quota_take(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *users, const bson_t *filter, const char *entry,
    const char *amount);
/* the path "$storageQuota.pending.<hex>", from its second byte on a name; buf:
 * NGX_IV_QUOTA_NAME bytes */
void ngx_iv_mongo_quota_name(char *buf, const u_char *id);


/* ngx_iv_quota_intent.c */

/* notes that `n` bytes of image `id` are going to be given back; *intent: the
 * note's name, also of one that was there already.  NGX_OK; NGX_DECLINED: the
 * owner's bytes are not counted; NGX_ERROR: the call has failed */
ngx_int_t ngx_iv_mongo_intent_note(ngx_iv_mongo_ctx_t *ctx,
    const bson_value_t *owner, const u_char id[NGX_IV_ID_LEN], int64_t n,
    bson_oid_t *intent);
/* drops that very note; give: carries it out.  Documents changed, NGX_ERROR */
int64_t ngx_iv_mongo_intent_drop(ngx_iv_mongo_ctx_t *ctx,
    const bson_value_t *owner, const u_char id[NGX_IV_ID_LEN],
    const bson_oid_t *intent, ngx_uint_t give);
/* takes that very note back while its image is there, which is told first.
 * Documents changed, or NGX_ERROR */
int64_t ngx_iv_mongo_intent_cancel(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], const bson_oid_t *intent);
/* of the call's image, which is deleted: carries out its delete's note, drops
 * those of others.  Documents changed or NGX_ERROR */
int64_t ngx_iv_mongo_intent_release(ngx_iv_mongo_ctx_t *ctx);
/* a note that the sweep has found: the same, or drops it if it was never
 * followed by a delete.  Notes dropped or NGX_ERROR */
int64_t ngx_iv_mongo_intent_sweep(ngx_iv_mongo_ctx_t *ctx,
    mongoc_collection_t *images, const bson_value_t *owner,
    const u_char id[NGX_IV_ID_LEN], const bson_iter_t *entry);

/* the filter of an image that can be deleted */
bson_t *ngx_iv_mongo_deletable(const u_char id[NGX_IV_ID_LEN]);


#endif
