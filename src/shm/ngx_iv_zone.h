/*
 * The shared memory zone of all workers: counters, the breakers, and
 * the ownership cache (ngx_iv_cache.h), which takes most of it.  It starts with
 * a layout version, its size and the number of the database that the cache
 * tells of; on a mismatch it begins anew, with a notice.  Else it survives a
 * reload.
 */

#ifndef NGX_IV_ZONE_H
#define NGX_IV_ZONE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "shm/ngx_iv_breaker.h"
#include "shm/ngx_iv_cache.h"


typedef enum {
    NGX_IV_COUNT_UPLOADS = 0,       /* begun */
    NGX_IV_COUNT_UPLOADS_CREATED,
    NGX_IV_COUNT_UPLOADS_REFUSED,   /* 4xx */
    NGX_IV_COUNT_UPLOADS_FAILED,    /* 5xx and aborts */
    NGX_IV_COUNT_UPLOAD_BYTES,
    /* retrievals: without the cache, and by what it knew, in this order */
    NGX_IV_COUNT_REDIRECTS,
    NGX_IV_COUNT_REDIRECTS_MISS,
    NGX_IV_COUNT_REDIRECTS_HIT,
    NGX_IV_COUNT_REDIRECTS_EXPIRED,
    NGX_IV_COUNT_REDIRECTS_NEGATIVE,
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
    NGX_IV_COUNT_UPLOADS_REPEATED,  /* tickets that were completed before */
    NGX_IV_COUNT_DENIED_LINK,       /* a signed link that is bad or too old */
    NGX_IV_COUNT_DENIED_UNKNOWN,    /* nobody signed in, 401 */
    NGX_IV_COUNT_DENIED_FORBIDDEN,  /* other sites, not an admin */
    NGX_IV_COUNT_DENIED_BLOCKED,
    NGX_IV_COUNT_RETRIEVALS_DOCUMENT,
    NGX_IV_COUNT_RETRIEVALS_MISSED, /* 404, not found or not allowed */
    NGX_IV_COUNT_RETRIEVALS_MISSED_MISS,
    NGX_IV_COUNT_RETRIEVALS_MISSED_HIT,
    NGX_IV_COUNT_RETRIEVALS_MISSED_EXPIRED,
    NGX_IV_COUNT_RETRIEVALS_MISSED_NEGATIVE,
    NGX_IV_COUNT_RETRIEVALS_REFUSED,    /* other 4xx */
    NGX_IV_COUNT_RETRIEVALS_REFUSED_MISS,
    NGX_IV_COUNT_RETRIEVALS_REFUSED_HIT,
    NGX_IV_COUNT_RETRIEVALS_REFUSED_EXPIRED,
    NGX_IV_COUNT_RETRIEVALS_REFUSED_NEGATIVE,
    NGX_IV_COUNT_RETRIEVALS_FAILED, /* 5xx */
    NGX_IV_COUNT_RETRIEVALS_FAILED_MISS,
    NGX_IV_COUNT_RETRIEVALS_FAILED_HIT,
    NGX_IV_COUNT_RETRIEVALS_FAILED_EXPIRED,
    NGX_IV_COUNT_RETRIEVALS_FAILED_NEGATIVE,
    NGX_IV_COUNT_QUOTA_REFUSED,
    NGX_IV_COUNT_BREAKER_OPENED,
    NGX_IV_COUNT_RETRIEVALS_ACCESS, /* let in by image_vault_access */
    NGX_IV_COUNT_RETRIEVALS_ACCESS_MISS,
    NGX_IV_COUNT_RETRIEVALS_ACCESS_HIT,
    NGX_IV_COUNT_RETRIEVALS_ACCESS_EXPIRED,
    NGX_IV_COUNT_RETRIEVALS_ACCESS_NEGATIVE,

    NGX_IV_COUNT_LAST
} ngx_iv_count_e;


/* how long calls took; see ngx_iv_zone_bounds */
typedef enum {
    NGX_IV_TIME_METADATA_READ = 0,
    NGX_IV_TIME_METADATA_WRITE,
    NGX_IV_TIME_STORAGE_PUT,
    NGX_IV_TIME_STORAGE_GET,
    NGX_IV_TIME_STORAGE_HEAD,
    NGX_IV_TIME_STORAGE_DELETE,
    NGX_IV_TIME_STORAGE_MULTIPART,
    NGX_IV_TIME_STORAGE_COPY,

    NGX_IV_TIME_LAST
} ngx_iv_time_e;


/* what a worker has now; a worker that dies takes its own with it */
typedef enum {
    NGX_IV_GAUGE_UPLOADS = 0,       /* kept by ngx_iv_zone_add() */
    NGX_IV_GAUGE_STORAGE,           /* operations under way */
    NGX_IV_GAUGE_READ,              /* thread jobs queued or running */
    NGX_IV_GAUGE_WRITE,
    NGX_IV_GAUGE_HASH,

    NGX_IV_GAUGE_LAST
} ngx_iv_gauge_e;


#define NGX_IV_ZONE_BUCKETS  13     /* the last one: longer than all bounds */

/* upper bounds of the buckets but the last, in ms */
extern const ngx_msec_t  ngx_iv_zone_bounds[NGX_IV_ZONE_BUCKETS - 1];

typedef struct {
    ngx_atomic_t            buckets[NGX_IV_ZONE_BUCKETS];   /* each its own */
    ngx_atomic_t            sum;                            /* ms */
} ngx_iv_zone_times_t;


typedef struct ngx_iv_zone_s        ngx_iv_zone_t;
typedef struct ngx_iv_zone_watch_s  ngx_iv_zone_watch_t;


/* while the configuration is read; tag: the module.  NULL: already said in the
 * log.  Smallest size: 16 pages. */
ngx_iv_zone_t *ngx_iv_zone_create(ngx_conf_t *cf, ngx_str_t *name, size_t size,
    void *tag);

/* which database its cache tells of: with another one than before it begins
 * anew.  While the configuration is read */
void ngx_iv_zone_set_source(ngx_conf_t *cf, ngx_iv_zone_t *zone,
    uint64_t source);

/* to be used once the zone's memory is there: in workers, after their
 * ngx_iv_cache_worker() in init_process */
ngx_iv_cache_t *ngx_iv_zone_cache(ngx_iv_zone_t *zone);

void ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n);
ngx_uint_t ngx_iv_zone_get(ngx_iv_zone_t *zone, ngx_iv_count_e what);

/* a call that took `ms` */
void ngx_iv_zone_time(ngx_iv_zone_t *zone, ngx_iv_time_e what, ngx_msec_t ms);
const ngx_iv_zone_times_t *ngx_iv_zone_times(ngx_iv_zone_t *zone,
    ngx_iv_time_e what);

/* in a worker, at its start and its end */
void ngx_iv_zone_join(ngx_iv_zone_t *zone);
void ngx_iv_zone_leave(ngx_iv_zone_t *zone);
/* of this worker; never NULL */
ngx_atomic_t *ngx_iv_zone_gauge(ngx_iv_zone_t *zone, ngx_iv_gauge_e what);
/* the sum of all living workers' */
ngx_uint_t ngx_iv_zone_gauge_sum(ngx_iv_zone_t *zone, ngx_iv_gauge_e what);

/* who follows the changes of other nodes: ngx_iv_zone_watch.h */
ngx_iv_zone_watch_t *ngx_iv_zone_watch(ngx_iv_zone_t *zone);
/* the same for all workers of one reading of the configuration; never 0 */
ngx_uint_t ngx_iv_zone_mark(ngx_iv_zone_t *zone);

void ngx_iv_zone_memory(ngx_iv_zone_t *zone, size_t *size, size_t *unused);
/* of the database and of each storage; see ngx_iv_breaker.h */
ngx_iv_breakers_t *ngx_iv_zone_breakers(ngx_iv_zone_t *zone);


#endif
