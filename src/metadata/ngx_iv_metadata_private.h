/*
 * What the files of the metadata store's event loop side share: operations in
 * _metadata.c, the making of indexes in _metadata_indexes.c.
 */

#ifndef NGX_IV_METADATA_PRIVATE_H
#define NGX_IV_METADATA_PRIVATE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include "metadata/ngx_iv_metadata.h"
#include "metadata/ngx_iv_mongo.h"

#define NGX_IV_METADATA_RETRY_MIN  1000
#define NGX_IV_METADATA_RETRY_MAX  30000


struct ngx_iv_metadata_s {
    ngx_iv_mongo_t       *mongo;
    ngx_iv_zone_t        *zone;
    ngx_iv_queue_t       *read;
    ngx_iv_queue_t       *write;
    ngx_log_t            *log;
    ngx_uint_t            active;       /* jobs under way */

    ngx_event_t           indexes;      /* to make them, or make them again */
    ngx_msec_t            pause;
    ngx_msec_t            late;         /* operations don't wait longer */
    ngx_uint_t            refused;      /* since the breaker opened */

    ngx_str_t             holder;       /* of the lease, empty: not held */
    u_char                holder_buf[256];
};


/* what the job of an operation works on; outlives the operation */
typedef struct {
    ngx_iv_mongo_call_t   call;
    ngx_iv_metadata_t    *metadata;
} ngx_iv_metadata_work_t;


/* a job's run(): ctx is an ngx_iv_metadata_work_t */
void ngx_iv_metadata_run(void *ctx, ngx_log_t *log);
void ngx_iv_metadata_log_failure(ngx_iv_mongo_call_t *call, ngx_log_t *log);

/* a timer's handler, its data is the store */
void ngx_iv_metadata_indexes(ngx_event_t *ev);


#endif
