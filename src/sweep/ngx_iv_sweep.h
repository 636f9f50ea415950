/*
 * The sweep: the background pass that brings documents and objects back in
 * step (contract of the module: docs/ARCHITECTURE.md, "Sweep").  One worker of
 * a node runs it; one node at a time holds the lease.  Every step can be
 * repeated; it touches no object that it has no document for.
 */

#ifndef NGX_IV_SWEEP_H
#define NGX_IV_SWEEP_H

#include "metadata/ngx_iv_metadata.h"
#include "storage/ngx_iv_storage.h"


typedef struct {
    ngx_msec_t      interval;       /* 0: off */
    ngx_msec_t      stale;
    ngx_uint_t      audit;          /* expiries go into the trail */
} ngx_iv_sweep_conf_t;

/* storages: nstorages pointers, looked up by name.  NGX_OK or NGX_ERROR.
 * The timer is cancelable: it does not hold a quitting worker. */
ngx_int_t ngx_iv_sweep_start(ngx_cycle_t *cycle,
    const ngx_iv_sweep_conf_t *conf, ngx_iv_metadata_t *md,
    ngx_iv_storage_t **storages, ngx_uint_t nstorages, ngx_iv_zone_t *zone);


#endif
