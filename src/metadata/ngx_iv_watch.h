/*
 * Changes made by other nodes: a thread of its own on one worker of the node
 * follows the change stream on `images` and drops what it names from the cache.
 *
 * ngx_iv_watch.c              the thread, and which worker has it
 * ngx_iv_stream.c             the stream; all that knows libmongoc
 * shm/ngx_iv_zone_watch.c     who has it, and the token, for all workers
 *
 * While the stream is down entries live for as long as the asking location
 * says: nothing else changes.
 */

#ifndef NGX_IV_WATCH_H
#define NGX_IV_WATCH_H

#include "metadata/ngx_iv_metadata.h"


typedef struct ngx_iv_watch_s  ngx_iv_watch_t;


/* in init_process of a worker, after ngx_iv_cache_worker(); timeout: of calls
 * to the store.  NULL: said in the log */
ngx_iv_watch_t *ngx_iv_watch_start(ngx_cycle_t *cycle, ngx_iv_metadata_t *md,
    ngx_iv_zone_t *zone, ngx_msec_t timeout);
/* in exit_process, before ngx_iv_metadata_destroy(): ends the thread, and lets
 * another worker go on */
void ngx_iv_watch_stop(ngx_iv_watch_t *w);


#endif
