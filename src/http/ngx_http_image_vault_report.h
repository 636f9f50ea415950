/*
 * The report of admin/sweep, one page for each request: what its files share.
 *
 *   report.c           arguments; objects without documents, open uploads
 *   report_missing.c   ready images whose object is gone
 *
 * A page begins like an endpoint and waits like one: its functions return what
 * finalizes the request, NGX_DONE if it goes on.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_REPORT_H
#define NGX_HTTP_IMAGE_VAULT_REPORT_H

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_report.h"


typedef enum {
    NGX_HTTP_IMAGE_VAULT_REPORT_OBJECTS = 0,
    NGX_HTTP_IMAGE_VAULT_REPORT_UPLOADS,
    NGX_HTTP_IMAGE_VAULT_REPORT_MISSING,
    NGX_HTTP_IMAGE_VAULT_REPORT_NONE
} ngx_http_image_vault_report_e;

typedef struct ngx_http_image_vault_report_s  ngx_http_image_vault_report_t;

typedef ngx_int_t (*ngx_http_image_vault_report_pt)(
    ngx_http_image_vault_report_t *rep, ngx_iv_storage_op_t *op);

struct ngx_http_image_vault_report_s {
    ngx_http_request_t          *request;
    ngx_http_image_vault_ctx_t  *ctx;
    ngx_iv_storage_t            *storage;

    /* arguments */
    ngx_http_image_vault_report_e  kind;
    ngx_str_t                    name;      /* of the storage; empty: default */
    ngx_str_t                    prefix;
    int64_t                      age;       /* ms */
    ngx_uint_t                   limit;
    ngx_str_t                    cursor;    /* decoded */

    /* a page of the storage's */
    ngx_http_image_vault_report_pt  next;   /* when a storage has answered */
    ngx_iv_s3_list_t             list;
    ngx_str_t                   *keys;
    u_char                      *known;     /* of each item: has a document */

    /* a page of documents */
    ngx_iv_metadata_ref_t       *refs;
    ngx_uint_t                   nrefs;
    ngx_uint_t                   begun;
    ngx_uint_t                   active;
    ngx_uint_t                   checked;
    ngx_uint_t                   restored;
    ngx_int_t                    failed;    /* a code, or NGX_OK */
    unsigned                     more:1;
    unsigned                     empty:1;   /* it shows no image at all */
};


/* an operation of the report's storage in the request's pool, which the caller
 * then starts; rep->next follows.  NULL: no memory */
ngx_iv_storage_op_t *ngx_http_image_vault_report_op(
    ngx_http_image_vault_report_t *rep);
/* into the trail, and the answer of one that has failed */
ngx_int_t ngx_http_image_vault_report_fail(ngx_http_image_vault_report_t *rep,
    ngx_int_t code);
/* the members that all have; cursor: of the next page, NULL: there is none */
void ngx_http_image_vault_report_head(ngx_http_image_vault_report_t *rep,
    ngx_iv_json_t *j);
ngx_int_t ngx_http_image_vault_report_send(ngx_http_image_vault_report_t *rep,
    ngx_iv_json_t *j, const ngx_str_t *cursor);

/* _missing.c */
ngx_int_t ngx_http_image_vault_report_missing(
    ngx_http_image_vault_report_t *rep);


#endif
