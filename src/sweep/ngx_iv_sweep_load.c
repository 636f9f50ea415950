/*
 * The sweep yields to requests: under load it does one thing at a time, with
 * pauses that grow.  It never stops, as what it would free is missing, too.
 *
 * Load is what this worker can see of its own: calls to MongoDB that wait for
 * threads of this node, how long the last one of the sweep took, storages most
 * of whose operations are in use, storages that ask for fewer requests.
 */

#include "sweep/ngx_iv_sweep_private.h"


#define NGX_IV_SWEEP_QUEUED     64          /* calls of all workers */
#define NGX_IV_SWEEP_LATENCY    500         /* ms, of a call that is slow */
#define NGX_IV_SWEEP_PAUSE_MIN  100         /* ms */
#define NGX_IV_SWEEP_PAUSE_MAX  2000


ngx_uint_t
ngx_iv_sweep_loaded(ngx_iv_sweep_t *sweep)
{
    ngx_uint_t         i, own;
    ngx_iv_storage_t  *st;

    if (sweep->latency > NGX_IV_SWEEP_LATENCY || sweep->strained) {
        return 1;
    }

    if (ngx_iv_zone_gauge_sum(sweep->zone, NGX_IV_GAUGE_READ)
        + ngx_iv_zone_gauge_sum(sweep->zone, NGX_IV_GAUGE_WRITE)
        > NGX_IV_SWEEP_QUEUED)
    {
        return 1;
    }

    for (i = 0; i < sweep->nstorages; i++) {
        st = sweep->storages[i].storage;

        /* what the sweep itself does there is no load to yield to */

        own = ngx_min(sweep->active, st->active);

        if (st->conf->max_active
            && 2 * (st->active - own) > st->conf->max_active)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_iv_sweep_rests(ngx_iv_sweep_t *sweep)
{
    if (sweep->rested) {
        return 0;
    }

    if (!ngx_iv_sweep_loaded(sweep)) {
        sweep->pause = 0;
        return 0;
    }

    if (sweep->pause == 0) {
        sweep->pause = NGX_IV_SWEEP_PAUSE_MIN;

    } else {
        sweep->pause = ngx_min(2 * sweep->pause, NGX_IV_SWEEP_PAUSE_MAX);
    }

    /* whatever it finds then, it goes on by one step */

    sweep->rested = 1;
    sweep->pass.pauses++;

    ngx_add_timer(&sweep->rest, sweep->pause);

    return 1;
}


void
ngx_iv_sweep_heard(ngx_iv_sweep_t *sweep, const ngx_iv_storage_op_t *op)
{
    sweep->strained = (op->code == NGX_IV_OVERLOADED
                       || op->status == 503
                       || op->status == 429);
}
