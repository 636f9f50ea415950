/*
 * What the zone measures besides counting: how long calls take, and what each
 * worker has under way.  A part of the shared memory.
 */

#ifndef NGX_IV_ZONE_METER_H
#define NGX_IV_ZONE_METER_H

#include "shm/ngx_iv_zone.h"

#define NGX_IV_ZONE_SLOTS  128      /* workers, also those that shut down */


/* only its worker writes it */
typedef struct {
    ngx_atomic_t         pid;       /* 0: free */
    ngx_atomic_t         gauges[NGX_IV_GAUGE_LAST];
} ngx_iv_zone_slot_t;


typedef struct {
    ngx_iv_zone_times_t  times[NGX_IV_TIME_LAST];
    ngx_iv_zone_slot_t   slots[NGX_IV_ZONE_SLOTS];
} ngx_iv_zone_meter_t;


void ngx_iv_zone_meter_time(ngx_iv_zone_meter_t *m, ngx_iv_time_e what,
    ngx_msec_t ms);
/* a slot for this process; NULL: all are taken */
ngx_iv_zone_slot_t *ngx_iv_zone_meter_join(ngx_iv_zone_meter_t *m);
ngx_uint_t ngx_iv_zone_meter_sum(ngx_iv_zone_meter_t *m, ngx_iv_gauge_e what);


#endif
