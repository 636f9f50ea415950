/*
 * The interface below the prefix of image_vault_api: what its endpoints give
 * each other.
 *
 *   routes.c    the one table: path, methods, function, what is checked first
 *   handler.c   from a location to an endpoint
 *   ask.c       an endpoint asks the metadata store
 *   json_in.c   the JSON body of a request
 *   image.c list.c change.c bulk.c presign.c usage.c admin.c direct.c
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


/* image.c */

/* checks 4 to 6: blocked, expired, not ready; NGX_OK or the code */
ngx_int_t ngx_http_image_vault_state(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);
/* check 3 */
ngx_uint_t ngx_http_image_vault_may_read(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);
/* its owner, or an admin */
ngx_uint_t ngx_http_image_vault_owns(ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_document_t *doc);


#endif
