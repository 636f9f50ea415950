/*
 * The sweep: the background pass that brings documents and objects back in
 * step (contract of the module: docs/ARCHITECTURE.md, "Sweep").  One worker of
 * a node runs it, another if it is asked to; one at a time holds the lease.
 * Every step can be repeated; it touches no object that it has no document for.
 */

#ifndef NGX_IV_SWEEP_H
#define NGX_IV_SWEEP_H

#include "metadata/ngx_iv_metadata_sweep.h"
#include "storage/ngx_iv_storage.h"


typedef struct {
    ngx_msec_t      interval;       /* 0: off */
    ngx_msec_t      stale;
    ngx_uint_t      audit;          /* expiries go into the trail */
} ngx_iv_sweep_conf_t;

typedef struct ngx_iv_sweep_s  ngx_iv_sweep_t;

/* in init_process; storages: nstorages pointers, looked up by name.  regular: a
 * pass in each interval, else only when it is asked for.  NULL: no memory.
 * Its timers are cancelable: they do not hold a quitting worker. */
ngx_iv_sweep_t *ngx_iv_sweep_create(ngx_cycle_t *cycle,
    const ngx_iv_sweep_conf_t *conf, ngx_iv_metadata_t *md,
    ngx_iv_storage_t **storages, ngx_uint_t nstorages, ngx_iv_zone_t *zone,
    ngx_uint_t regular);

/* asks for a pass, by ngx_iv_metadata_sweep_ask(); its handler calls _asked(),
 * also with what has failed.  1: a pass begins here */
void ngx_iv_sweep_ask(ngx_iv_sweep_t *sweep, ngx_iv_metadata_op_t *op);
ngx_uint_t ngx_iv_sweep_asked(ngx_iv_sweep_t *sweep,
    const ngx_iv_metadata_op_t *op);
/* when the lease of a holder that was not heard of is free again, by the
 * server's clock; ms */
int64_t ngx_iv_sweep_until(const ngx_iv_sweep_conf_t *conf,
    const ngx_iv_sweep_state_t *state);


#endif
