/*
 * The shared memory zone of all workers: counters, the database's breaker, and
 * the ownership cache (ngx_iv_cache.h), which takes most of it.  It starts with
 * a layout version and its size; on a mismatch it begins anew, with a notice.
 * It survives a reload, but not a change of its size.
 */

#ifndef NGX_IV_ZONE_H
#define NGX_IV_ZONE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "shm/ngx_iv_cache.h"


typedef enum {
    NGX_IV_COUNT_UPLOADS = 0,       /* begun */
    NGX_IV_COUNT_UPLOADS_CREATED,
    NGX_IV_COUNT_UPLOADS_REFUSED,   /* 4xx */
    NGX_IV_COUNT_UPLOADS_FAILED,    /* 5xx and aborts */
    NGX_IV_COUNT_UPLOAD_BYTES,
    NGX_IV_COUNT_REDIRECTS,
    NGX_IV_COUNT_READS,             /* metadata answers */
    NGX_IV_COUNT_DENIED,
    NGX_IV_COUNT_STORAGE_REQUESTS,
    NGX_IV_COUNT_STORAGE_ERRORS,
    NGX_IV_COUNT_STORAGE_RETRIES,
    NGX_IV_COUNT_METADATA_REQUESTS,
    NGX_IV_COUNT_METADATA_ERRORS,
    NGX_IV_COUNT_OVERLOADED,
    NGX_IV_COUNT_SWEEPS,
    NGX_IV_COUNT_SWEPT,             /* documents that became error */
    NGX_IV_COUNT_SWEEP_DELETED,     /* documents removed */
    NGX_IV_COUNT_AUDIT_LOST,        /* entries that could not be written */

    NGX_IV_COUNT_LAST
} ngx_iv_count_e;


typedef struct ngx_iv_zone_s  ngx_iv_zone_t;


/* while the configuration is read; tag: the module.  NULL: already said in the
 * log.  Smallest size: 8 pages. */
ngx_iv_zone_t *ngx_iv_zone_create(ngx_conf_t *cf, ngx_str_t *name, size_t size,
    void *tag);

/* to be used once the zone's memory is there: in workers, after their
 * ngx_iv_cache_worker() in init_process */
ngx_iv_cache_t *ngx_iv_zone_cache(ngx_iv_zone_t *zone);

void ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n);
ngx_uint_t ngx_iv_zone_get(ngx_iv_zone_t *zone, ngx_iv_count_e what);

/*
 * The breaker of the metadata store: after a failure of server selection or of
 * the network, calls within the next second are refused without a thread, then
 * one call of the node tries.
 * 1: go on; 0: refuse.  now: ngx_current_msec is per process, so this is wall
 * clock milliseconds.
 */
ngx_uint_t ngx_iv_zone_breaker_allows(ngx_iv_zone_t *zone, int64_t now);
/* 1 if it was closed: worth a log line */
ngx_uint_t ngx_iv_zone_breaker_open(ngx_iv_zone_t *zone, int64_t now);
/* 1 if it was open: worth a log line */
ngx_uint_t ngx_iv_zone_breaker_close(ngx_iv_zone_t *zone);


#endif
