/*
 * What lists and changes ask of MongoDB, as BSON: knows BSON only, no driver;
 * thread-safe.  Whoever gets a document destroys it; NULL: a string in it is no
 * UTF-8.  What clients say goes in as values only, never as a name or within an
 * expression.
 */

#ifndef NGX_IV_LIST_QUERY_H
#define NGX_IV_LIST_QUERY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <bson/bson.h>
#include "metadata/ngx_iv_lists.h"

/* position: 1: with the cursor's; 0: as the total counts them */
bson_t *ngx_iv_list_filter(const ngx_iv_list_t *list, ngx_uint_t position);
/* limit + 1, skip, sort, on demand a hint; 0 ms: no time limit */
bson_t *ngx_iv_list_options(const ngx_iv_list_t *list, ngx_msec_t max,
    ngx_uint_t hint);

/* appends _id: {$in: …} */
void ngx_iv_list_append_ids(bson_t *b, u_char (*ids)[NGX_IV_ID_LEN],
    ngx_uint_t n);
/* NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_list_append_str(bson_t *b, const char *name,
    const ngx_str_t *s);

/* of images that are ready and not deleted */
bson_t *ngx_iv_change_patch_filter(const ngx_iv_patch_t *patch);
bson_t *ngx_iv_change_patch_update(const ngx_iv_patch_t *patch);
/* those ids that the change would change, and may */
bson_t *ngx_iv_change_bulk_filter(const ngx_iv_bulk_t *bulk);
bson_t *ngx_iv_change_bulk_update(const ngx_iv_bulk_t *bulk);
/* NGX_OK, _BAD_PARAMETER or _CONFLICT: what became of a document */
ngx_int_t ngx_iv_change_bulk_judge(const ngx_iv_bulk_t *bulk,
    const ngx_iv_document_t *doc);
/* reason NULL: no longer blocked */
bson_t *ngx_iv_change_moderate_filter(const u_char id[NGX_IV_ID_LEN]);
bson_t *ngx_iv_change_moderate_update(const ngx_str_t *reason);


#endif
