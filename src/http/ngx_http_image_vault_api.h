/*
 * The interface below the prefix of image_vault_api: what its endpoints give
 * each other.
 *
 *   routes.c    the one table: path, methods, function, what is checked first
 *   handler.c   from a location to an endpoint
 *   ask.c       an endpoint asks the metadata store
 *   find.c      may this owner have this image?  cache.c: what the zone knows
 *   json_in.c   the JSON body of a request
 *   audit.c     what they did, for the trail
 *   args.c      the arguments of a request's query
 *   image.c list.c change.c bulk.c presign.c usage.c admin.c users.c sweep.c
 *   direct.c complete.c
 *
 * An endpoint's function returns as a content handler does.  What has to wait
 * begins by ngx_http_image_vault_ask(), _lookup() or _read_json(), returns
 * NGX_DONE, and goes on in a function of the same kind, whose result finalizes
 * the request, or which waits again.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_API_H
#define NGX_HTTP_IMAGE_VAULT_API_H

#include "module/ngx_http_image_vault_module.h"
#include "formats/ngx_iv_json_read.h"
#include "metadata/ngx_iv_metadata_lists.h"


typedef ngx_int_t (*ngx_http_image_vault_next_pt)(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
typedef ngx_int_t (*ngx_http_image_vault_told_pt)(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);


/* routes.c */

/* finds the endpoint of r->uri below the prefix, makes the checks that come
 * before all else (identity, site, method, media type, admin) and calls it */
ngx_int_t ngx_http_image_vault_api(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);
/* the checks of a state-changing request.  NGX_DECLINED: go on; else it is
 * answered */
ngx_int_t ngx_http_image_vault_may_change(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* an id as text into ctx; NGX_OK, NGX_DECLINED: it is none, NGX_ERROR */
ngx_int_t ngx_http_image_vault_set_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_str_t *id);


/* ask.c */

/*
 * An operation in the request's pool, which the caller then starts and returns
 * NGX_DONE; told() follows with its results (op->code is told()'s to look at).
 * NULL: no memory.
 */
ngx_iv_metadata_op_t *ngx_http_image_vault_ask(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_told_pt told,
    void *data);
/*
 * The one look-up of ctx->id and check 3 of the order of checks: who may not
 * read it, or it is deleted, gets 404.  next() follows with ctx->document.
 * Returns as content handlers do.
 */
ngx_int_t ngx_http_image_vault_lookup(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_next_pt next);


/* cache.c */

/* what the zone's entry of ctx->id allows; sets ctx->cache.  As find() returns,
 * NGX_DECLINED: the store is to be asked */
ngx_int_t ngx_http_image_vault_cached(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx,
    const ngx_http_image_vault_loc_conf_t *lcf);
/* of an entry, with what find() promises; NULL: no memory */
ngx_iv_document_t *ngx_http_image_vault_entry_document(ngx_pool_t *pool,
    const u_char id[NGX_IV_ID_LEN], const ngx_iv_cache_entry_t *entry);
/* the entry's strings are the document's */
void ngx_http_image_vault_document_entry(const ngx_iv_document_t *doc,
    ngx_iv_cache_entry_t *entry);


/* find.c, refresh.c */

/* ms: so long another worker's look-up is waited for */
#define NGX_HTTP_IMAGE_VAULT_FIND_WAIT  1000

/* what the store said of a look-up becomes an entry, if it may.  NGX_DECLINED:
 * there was a change meanwhile, and the store is to be asked again; NGX_DONE:
 * not kept */
ngx_int_t ngx_http_image_vault_keep(ngx_iv_cache_t *cache,
    const ngx_iv_cache_token_t *token, const ngx_iv_metadata_op_t *op);
/* reads the entry of a hit anew, without anybody's waiting for it */
void ngx_http_image_vault_refresh(const u_char id[NGX_IV_ID_LEN]);


/* json_in.c */

/*
 * Reads the body, at most 1 MiB in memory, into ctx->json, which is an object;
 * all else is answered (too_large, malformed_json …).  next() follows.
 */
ngx_int_t ngx_http_image_vault_read_json(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_next_pt next);
/* application/json, with or without parameters */
ngx_uint_t ngx_http_image_vault_is_json(ngx_http_request_t *r);
/* 400 bad_parameter: "<name>" and what is wrong with it, as in
 * (r, "tags", "must be an array of strings"); name may be the client's own:
 * only printable bytes of it are shown, 64 at most */
ngx_int_t ngx_http_image_vault_bad_member(ngx_http_request_t *r,
    const ngx_str_t *name, const char *what);
/* the first member of ctx->json that is not among the names (NULL ends them);
 * NULL: there is none */
ngx_iv_json_node_t *ngx_http_image_vault_unknown_member(
    ngx_http_image_vault_ctx_t *ctx, const char **names);


/* audit.c */

/*
 * What was changed, or done by an admin, and how it ended (contract 5.6): to be
 * called once for each image, when the outcome is known; reads are none of it.
 * Never waits.  With image_vault_audit off only what an admin does to what is
 * not their own is told, in the log.
 *
 * action: a stable word, in the endpoints below admin/ "admin-…"; id: the
 * image, or NULL; owner: whose it is, NULL: nobody's; code: NGX_OK or NGX_IV_*;
 * detail: what else is worth knowing, or NULL.
 */
void ngx_http_image_vault_audit(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const char *action, const u_char *id,
    const ngx_str_t *owner, ngx_int_t code, const ngx_str_t *detail);

/* the same in two steps, where the outcome may come when the request is gone;
 * owner and detail of the entry are the caller's to set in between */
typedef struct {
    ngx_iv_audit_t  entry;          /* its strings are the request's */
    unsigned        wanted:1;
    unsigned        on:1;           /* image_vault_audit; else for the log */
    unsigned        open:1;         /* guarded, and has not ended */
} ngx_http_image_vault_trail_t;

/* NGX_OK, or NGX_DECLINED: nobody wants it, and _end() does nothing */
ngx_int_t ngx_http_image_vault_trail_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const char *action,
    ngx_http_image_vault_trail_t *trail);
/* outcome NULL: ok */
void ngx_http_image_vault_trail_end(ngx_http_image_vault_trail_t *trail,
    ngx_log_t *log, const u_char *id, const ngx_str_t *outcome);

/* should the request go before _end(), the outcome is `unknown`: what the store
 * was asked for may be done.  The trail lives in the request's pool; id as
 * _end() has it.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_trail_guard(ngx_http_request_t *r,
    ngx_http_image_vault_trail_t *trail, const u_char *id);

/* image_vault_uploaded_from, or the client's address.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_from(ngx_http_request_t *r, ngx_str_t *from);


/* args.c */

#define NGX_HTTP_IMAGE_VAULT_ARG_MANY   0x01    /* may be given again */
#define NGX_HTTP_IMAGE_VAULT_ARG_EMPTY  0x02    /* an empty value is one */

typedef struct {
    ngx_str_t     name;
    /* value is in the request's pool.  NGX_OK; NGX_DECLINED: bad, answered by
     * `what`, as in "must be a number"; NGX_ERROR */
    ngx_int_t   (*set)(void *data, const ngx_str_t *value);
    const char   *what;
    ngx_uint_t    flags;
} ngx_http_image_vault_arg_t;

/* calls set() for each argument of the query that the table (at most 64 rows,
 * an empty name ends it) names.  NGX_DECLINED: go on; else it is answered */
ngx_int_t ngx_http_image_vault_args(ngx_http_request_t *r,
    const ngx_http_image_vault_arg_t *args, void *data);
/* set() of a userId (ngx_str_t *): NGX_DECLINED if it is none; value's bytes
 * are folded where they are */
ngx_int_t ngx_http_image_vault_set_user(void *user, const ngx_str_t *value);
/* set() of a cursor that is where the last page ended, in base64url; decoded
 * where it is, as that takes less.  NGX_DECLINED if it is none */
ngx_int_t ngx_http_image_vault_set_after(ngx_str_t *after,
    const ngx_str_t *value);
/* "next": such a cursor, or null if it is NULL or empty; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_json_next(ngx_http_request_t *r,
    ngx_iv_json_t *j, const ngx_str_t *after);
/* userId, valid or empty: the owner that is asked about, own unless an admin
 * asks.  NGX_DECLINED: go on, *user is never empty then if there is an owner;
 * else it is answered (403) */
ngx_int_t ngx_http_image_vault_for_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_str_t *user);


/* list.c */

/* any owner's images, unless userId names one; also deleted ones and any
 * status, with what admins alone are shown */
#define NGX_HTTP_IMAGE_VAULT_LIST_ADMIN  0x01

ngx_int_t ngx_http_image_vault_list(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_uint_t flags);
/* GET user, GET usage, POST presigned-url */
ngx_int_t ngx_http_image_vault_list_own(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_usage(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_presign(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);


/* admin.c, users.c, sweep.c: all below admin/ */

ngx_int_t ngx_http_image_vault_stats(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_admin_images(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_moderate(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_users(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_user_patch(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_sweep_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_sweep_now(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* GET admin/sweep?report=…; NGX_DECLINED: none is asked for */
ngx_int_t ngx_http_image_vault_report(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);


/* image.c */

/* its object is gone, as the report has found */
ngx_uint_t ngx_http_image_vault_is_missing(const ngx_iv_document_t *doc);
/* checks 4 to 6: blocked, expired, not ready, gone; NGX_OK or the code */
ngx_int_t ngx_http_image_vault_state(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);
/* answers such a code, blocked with its reason.  Returns as content handlers
 * do */
ngx_int_t ngx_http_image_vault_refuse_state(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
/* the answer of GET {id} for ctx->document */
ngx_int_t ngx_http_image_vault_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* check 3 */
ngx_uint_t ngx_http_image_vault_may_read(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);
/* its owner, or an admin */
ngx_uint_t ngx_http_image_vault_owns(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);


/* change.c, bulk.c: PATCH {id}; DELETE {id}, POST {id}/delete; POST bulk */
ngx_int_t ngx_http_image_vault_patch(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_delete(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_bulk(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* an array of strings, or null, into tags ("tags[]") or users
 * ("sharedWith[]").  NGX_OK, NGX_ERROR, or NGX_IV_BAD_PARAMETER and what is
 * wrong, for ngx_http_image_vault_bad_member() */
ngx_int_t ngx_http_image_vault_strings(ngx_iv_fields_t *fields,
    const char *field, const ngx_iv_json_node_t *node, const char **what);
/* a date in the future, or null (0), as ngx_http_image_vault_strings() */
ngx_int_t ngx_http_image_vault_expiry(const ngx_iv_json_node_t *node,
    int64_t *msec, const char **what);
/* its storage is public_only */
ngx_uint_t ngx_http_image_vault_must_be_public(const ngx_iv_document_t *doc);


/* direct.c, complete.c: POST direct-upload, POST {id}/complete */
ngx_int_t ngx_http_image_vault_direct(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
ngx_int_t ngx_http_image_vault_complete(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);

/* results.c: what the answer of an upload tells of a stored image, but its id
 * and name; url and href (empty: not known) in the request's pool.  NGX_OK or
 * NGX_ERROR */
ngx_int_t ngx_http_image_vault_stored_members(ngx_http_request_t *r,
    ngx_iv_json_t *j, const ngx_iv_document_t *doc, ngx_str_t *url,
    ngx_str_t *href);


#endif
