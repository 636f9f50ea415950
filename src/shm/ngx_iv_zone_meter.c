#include "shm/ngx_iv_zone_meter.h"


const ngx_msec_t  ngx_iv_zone_bounds[NGX_IV_ZONE_BUCKETS - 1] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000
};


void
ngx_iv_zone_meter_add(ngx_iv_zone_meter_t *m, ngx_uint_t stripe,
    ngx_iv_count_e what, ngx_uint_t n)
{
    (void) ngx_atomic_fetch_add(&m->stripes[stripe].counts[what],
                                (ngx_atomic_int_t) n);
}


ngx_uint_t
ngx_iv_zone_meter_get(ngx_iv_zone_meter_t *m, ngx_iv_count_e what)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_IV_ZONE_STRIPES; i++) {
        n += (ngx_uint_t) ngx_atomic_fetch_add(&m->stripes[i].counts[what], 0);
    }

    return n;
}


ngx_uint_t
ngx_iv_zone_meter_stripe(const ngx_iv_zone_meter_t *m,
    const ngx_iv_zone_slot_t *slot)
{
    return slot ? (ngx_uint_t) (slot - m->slots) % NGX_IV_ZONE_STRIPES : 0;
}


void
ngx_iv_zone_meter_time(ngx_iv_zone_meter_t *m, ngx_iv_time_e what,
    ngx_msec_t ms)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_ZONE_BUCKETS - 1; i++) {
        if (ms <= ngx_iv_zone_bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&m->times[what].buckets[i], 1);
    (void) ngx_atomic_fetch_add(&m->times[what].sum, (ngx_atomic_int_t) ms);
}


/* a worker that was killed has left its slot as it was */

ngx_iv_zone_slot_t *
ngx_iv_zone_meter_join(ngx_iv_zone_meter_t *m)
{
    ngx_uint_t           i;
    ngx_atomic_uint_t    pid;
    ngx_iv_zone_slot_t  *slot;

    for (i = 0; i < NGX_IV_ZONE_SLOTS; i++) {
        slot = &m->slots[i];
        pid = slot->pid;

        if (ngx_iv_zone_meter_lives(pid)
            || !ngx_atomic_cmp_set(&slot->pid, pid,
                                   (ngx_atomic_uint_t) ngx_pid))
        {
            continue;
        }

        ngx_memzero((void *) slot->gauges, sizeof(slot->gauges));

        return slot;
    }

    return NULL;
}


ngx_uint_t
ngx_iv_zone_meter_sum(ngx_iv_zone_meter_t *m, ngx_iv_gauge_e what)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_IV_ZONE_SLOTS; i++) {
        if (ngx_iv_zone_meter_lives(m->slots[i].pid)) {
            n += m->slots[i].gauges[what];
        }
    }

    return n;
}


ngx_uint_t
ngx_iv_zone_meter_lives(ngx_atomic_uint_t pid)
{
    if (pid == 0) {
        return 0;
    }

    return kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}
