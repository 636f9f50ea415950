/*
 * What a call for a list or a change works on, shared by the event loop's side
 * and the threads'; hangs on ngx_iv_mongo_call_t.
 */

#ifndef NGX_IV_LISTS_H
#define NGX_IV_LISTS_H

#include "metadata/ngx_iv_metadata_lists.h"
#include "metadata/ngx_iv_mongo.h"


/* one entry of the trail, in one piece of memory, on its way */
typedef struct {
    ngx_queue_t             queue;
    u_char                  id[NGX_IV_ID_LEN];
    int64_t                 at;
    ngx_iv_audit_t          entry;
} ngx_iv_audit_item_t;


typedef struct ngx_iv_lists_s {
    ngx_iv_list_t           list;
    ngx_iv_patch_t          patch;
    ngx_iv_bulk_t           bulk;       /* get_many: its ids */
    ngx_iv_user_patch_t     user;       /* users: id is `after` */
    ngx_str_t               reason;
    ngx_uint_t              block;
    int64_t                 now;        /* stats, ms */
    ngx_iv_audit_item_t    *items;
    ngx_uint_t              nitems;
    ngx_uint_t              lost;       /* result: the server refused them */

    ngx_str_t               storage;    /* reports */
    ngx_str_t              *keys;
    ngx_uint_t              nkeys;

    ngx_iv_found_t          found;      /* in the call's pool */
} ngx_iv_lists_t;


#endif
