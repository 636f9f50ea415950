/*
 * Calls of one kind that go together.  What one costs is mostly the way to a
 * thread, to the server and back; so while some are on their way, those that
 * come wait and then go as one.  With nobody before it a call goes at once, and
 * none waits longer than NGX_IV_METADATA_PATIENCE.
 */

#include "metadata/ngx_iv_metadata_private.h"

/* on their way before others wait */
#define NGX_IV_METADATA_SIDE      2
/* ms */
#define NGX_IV_METADATA_PATIENCE  10


static void ngx_iv_metadata_gather_patience(ngx_event_t *ev);


void
ngx_iv_metadata_gather_init(ngx_iv_metadata_gather_t *gather,
    ngx_iv_metadata_t *md, void (*together)(ngx_iv_metadata_t *md))
{
    gather->metadata = md;
    gather->together = together;

    ngx_queue_init(&gather->waiting);

    gather->patience.handler = ngx_iv_metadata_gather_patience;
    gather->patience.data = gather;
    gather->patience.log = md->log;
}


void
ngx_iv_metadata_gather_stop(ngx_iv_metadata_gather_t *gather)
{
    if (gather->patience.timer_set) {
        ngx_del_timer(&gather->patience);
    }
}


ngx_uint_t
ngx_iv_metadata_gather_free(const ngx_iv_metadata_gather_t *gather)
{
    return gather->active < NGX_IV_METADATA_SIDE;
}


void
ngx_iv_metadata_gather_more(ngx_iv_metadata_gather_t *gather)
{
    while (gather->nwaiting && ngx_iv_metadata_gather_free(gather)) {
        gather->together(gather->metadata);
    }

    ngx_iv_metadata_gather_wait(gather);
}


void
ngx_iv_metadata_gather_wait(ngx_iv_metadata_gather_t *gather)
{
    if (gather->nwaiting && !gather->patience.timer_set) {
        ngx_add_timer(&gather->patience, NGX_IV_METADATA_PATIENCE);
    }
}


/* once, however many are on their way */

static void
ngx_iv_metadata_gather_patience(ngx_event_t *ev)
{
    ngx_iv_metadata_gather_t *gather = ev->data;

    if (gather->nwaiting) {
        gather->together(gather->metadata);
    }

    ngx_iv_metadata_gather_more(gather);
}
