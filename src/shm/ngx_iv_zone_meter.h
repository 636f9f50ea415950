/*
 * What the zone measures: how often and how long, and what each worker has
 * under way.  A part of the shared memory.
 */

#ifndef NGX_IV_ZONE_METER_H
#define NGX_IV_ZONE_METER_H

#include "shm/ngx_iv_zone.h"

#define NGX_IV_ZONE_SLOTS    128    /* workers, also those that shut down */
#define NGX_IV_ZONE_STRIPES  16
#define NGX_IV_ZONE_LINE     64     /* of a processor's cache */


/* only its worker writes it */
typedef struct {
    ngx_atomic_t         pid;       /* 0: free */
    ngx_atomic_t         gauges[NGX_IV_GAUGE_LAST];
} ngx_iv_zone_slot_t;


/*
 * Counters of few workers, so that the others' processors keep what they have.
 * A counter is the sum of all stripes, whoever wrote to them: it goes on when a
 * worker leaves or dies, and another one takes its place.
 */
typedef struct {
    ngx_atomic_t         counts[NGX_IV_COUNT_LAST];
} __attribute__((aligned(NGX_IV_ZONE_LINE))) ngx_iv_zone_stripe_t;


/* lies at the beginning of a page */
typedef struct {
    ngx_iv_zone_stripe_t stripes[NGX_IV_ZONE_STRIPES];
    ngx_iv_zone_times_t  times[NGX_IV_TIME_LAST];
    ngx_iv_zone_slot_t   slots[NGX_IV_ZONE_SLOTS];
} ngx_iv_zone_meter_t;


/* from any thread; stripe: ngx_iv_zone_meter_stripe() */
void ngx_iv_zone_meter_add(ngx_iv_zone_meter_t *m, ngx_uint_t stripe,
    ngx_iv_count_e what, ngx_uint_t n);
ngx_uint_t ngx_iv_zone_meter_get(ngx_iv_zone_meter_t *m, ngx_iv_count_e what);
/* of the worker that has the slot, or of those without one (NULL) */
ngx_uint_t ngx_iv_zone_meter_stripe(const ngx_iv_zone_meter_t *m,
    const ngx_iv_zone_slot_t *slot);
void ngx_iv_zone_meter_time(ngx_iv_zone_meter_t *m, ngx_iv_time_e what,
    ngx_msec_t ms);
/* a slot for this process; NULL: all are taken */
ngx_iv_zone_slot_t *ngx_iv_zone_meter_join(ngx_iv_zone_meter_t *m);
ngx_uint_t ngx_iv_zone_meter_sum(ngx_iv_zone_meter_t *m, ngx_iv_gauge_e what);
/* 1: there is such a process; 0 is none */
ngx_uint_t ngx_iv_zone_meter_lives(ngx_atomic_uint_t pid);


#endif
