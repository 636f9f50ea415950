#include "shm/ngx_iv_zone.h"
#include "shm/ngx_iv_zone_meter.h"
#include "shm/ngx_iv_zone_watch.h"


#define NGX_IV_ZONE_MAGIC     0x6976617a
#define NGX_IV_ZONE_LAYOUT    6
#define NGX_IV_ZONE_PAGES     16
#define NGX_IV_ZONE_SPARE     2
#define NGX_IV_ZONE_SPARE_MAX 64


/* what lies in the shared memory; a change of it changes NGX_IV_ZONE_LAYOUT */
typedef struct {
    uint32_t          magic;
    uint32_t          layout;
    size_t            size;
    uint64_t          source;       /* of what is in the cache */
    void             *cache;        /* what ngx_iv_cache_init() laid out */
    ngx_iv_breakers_t breakers;
    ngx_iv_zone_meter_t  meter;
    ngx_iv_zone_watch_t  watch;
} ngx_iv_zone_shared_t;


struct ngx_iv_zone_s {
    ngx_iv_zone_shared_t  *shared;
    ngx_slab_pool_t       *slab;
    ngx_shm_zone_t        *shm_zone;
    uint64_t               source;
    ngx_iv_cache_t         cache;
    ngx_iv_zone_slot_t    *slot;    /* this worker's, or NULL */
    ngx_uint_t             stripe;  /* of the counters that it writes */
    ngx_iv_zone_slot_t     none;    /* for want of a slot */
    ngx_uint_t             mark;    /* of this reading of the configuration */
};


static void ngx_iv_zone_compare(ngx_conf_t *cf, ngx_shm_zone_t *shm_zone);
static ngx_shm_zone_t *ngx_iv_zone_old(ngx_conf_t *cf, ngx_str_t *name);
static ngx_uint_t ngx_iv_zone_fits(ngx_conf_t *cf, ngx_shm_zone_t *shm_zone,
    ngx_shm_zone_t *old);
static ngx_int_t ngx_iv_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_uint_t ngx_iv_zone_matches(ngx_shm_zone_t *shm_zone,
    ngx_iv_zone_shared_t *shared);
static ngx_int_t ngx_iv_zone_begin(ngx_shm_zone_t *shm_zone,
    ngx_iv_zone_t *zone);
static void *ngx_iv_zone_begin_cache(ngx_slab_pool_t *slab);


ngx_iv_zone_t *
ngx_iv_zone_create(ngx_conf_t *cf, ngx_str_t *name, size_t size, void *tag)
{
    ngx_iv_zone_t   *zone;
    ngx_shm_zone_t  *shm_zone;

    if (size < NGX_IV_ZONE_PAGES * ngx_pagesize) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small: at least %uz bytes are "
                           "needed", name,
                           (size_t) NGX_IV_ZONE_PAGES * ngx_pagesize);
        return NULL;
    }

    shm_zone = ngx_shared_memory_add(cf, name, size, tag);
    if (shm_zone == NULL) {
        return NULL;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is declared twice", name);
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_iv_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    /* workers inherit it, a reload makes another */

    zone->mark = ((ngx_uint_t) ngx_time() << 8) ^ (ngx_uint_t) ngx_random();
    zone->mark |= 1;

    shm_zone->init = ngx_iv_zone_init;
    shm_zone->data = zone;
    zone->shm_zone = shm_zone;

    ngx_iv_zone_compare(cf, shm_zone);

    return zone;
}


/*
 * nginx itself gives fresh memory to a zone whose size or module changed: only
 * say so.  The same for another layout: old workers still use the old memory.
 *
 * `noreuse` is nginx's for zones that are never used again: of the new zone it
 * asks for fresh memory, of the old one (set when that was new) it has the
 * memory freed after the reload, whether or not the new zone has just taken it
 * over.  So both are set here, each time.
 */

static void
ngx_iv_zone_compare(ngx_conf_t *cf, ngx_shm_zone_t *shm_zone)
{
    ngx_shm_zone_t  *old;

    old = ngx_iv_zone_old(cf, &shm_zone->shm.name);

    if (old) {
        shm_zone->noreuse = !ngx_iv_zone_fits(cf, shm_zone, old);
        old->noreuse = shm_zone->noreuse;
    }
}


/* the one of this name that is in use now, or NULL */

static ngx_shm_zone_t *
ngx_iv_zone_old(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *old;
    ngx_list_part_t  *part;

    if (cf->cycle->old_cycle == NULL) {
        return NULL;
    }

    for (part = &cf->cycle->old_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        old = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (old[i].shm.name.len == name->len
                && ngx_memcmp(old[i].shm.name.data, name->data, name->len)
                   == 0)
            {
                return &old[i];
            }
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_iv_zone_fits(ngx_conf_t *cf, ngx_shm_zone_t *shm_zone,
    ngx_shm_zone_t *old)
{
    if (old->shm.size != shm_zone->shm.size) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "zone \"%V\" begins anew: its size changed from "
                      "%uz to %uz", &shm_zone->shm.name, old->shm.size,
                      shm_zone->shm.size);
        return 0;
    }

    if (old->tag != shm_zone->tag
        || old->shm.addr == NULL
        || !ngx_iv_zone_matches(shm_zone,
                                ((ngx_slab_pool_t *) old->shm.addr)->data))
    {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "zone \"%V\" begins anew: its layout changed",
                      &shm_zone->shm.name);
        return 0;
    }

    return 1;
}


/* it was found to fit before */

void
ngx_iv_zone_set_source(ngx_conf_t *cf, ngx_iv_zone_t *zone, uint64_t source)
{
    ngx_slab_pool_t       *slab;
    ngx_shm_zone_t        *shm_zone, *old;
    ngx_iv_zone_shared_t  *shared;

    zone->source = source;

    shm_zone = zone->shm_zone;
    old = ngx_iv_zone_old(cf, &shm_zone->shm.name);

    if (old == NULL || shm_zone->noreuse) {
        return;
    }

    slab = (ngx_slab_pool_t *) old->shm.addr;
    shared = slab->data;

    if (shared->source != source) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "zone \"%V\" begins anew: it is of another database",
                      &shm_zone->shm.name);

        shm_zone->noreuse = 1;
        old->noreuse = 1;
    }
}


static ngx_int_t
ngx_iv_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_iv_zone_t  *old, *zone;

    old = data;
    zone = shm_zone->data;

    zone->slab = (ngx_slab_pool_t *) shm_zone->shm.addr;

    /* nginx 1.28 tells of the old one even if its memory is not reused */

    if (shm_zone->noreuse) {
        return ngx_iv_zone_begin(shm_zone, zone);
    }

    if (old) {
        zone->shared = old->shared;

    } else if (shm_zone->shm.exists) {
        zone->shared = zone->slab->data;

    } else {
        return ngx_iv_zone_begin(shm_zone, zone);
    }

    if (ngx_iv_zone_matches(shm_zone, zone->shared)) {
        ngx_iv_cache_attach(&zone->cache, zone->shared->cache);
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                  "zone \"%V\" begins anew: its layout changed",
                  &shm_zone->shm.name);

    return ngx_iv_zone_begin(shm_zone, zone);
}


static ngx_uint_t
ngx_iv_zone_matches(ngx_shm_zone_t *shm_zone, ngx_iv_zone_shared_t *shared)
{
    return shared != NULL
           && shared->magic == NGX_IV_ZONE_MAGIC
           && shared->layout == NGX_IV_ZONE_LAYOUT
           && shared->size == shm_zone->shm.size;
}


static ngx_int_t
ngx_iv_zone_begin(ngx_shm_zone_t *shm_zone, ngx_iv_zone_t *zone)
{
    size_t                 len;
    u_char                *ctx;
    ngx_iv_zone_shared_t  *shared;

    shared = ngx_slab_calloc(zone->slab, sizeof(ngx_iv_zone_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    len = sizeof(" in image_vault zone \"\"") + shm_zone->shm.name.len;

    ctx = ngx_slab_alloc(zone->slab, len);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(ctx, " in image_vault zone \"%V\"%Z", &shm_zone->shm.name);

    shared->magic = NGX_IV_ZONE_MAGIC;
    shared->layout = NGX_IV_ZONE_LAYOUT;
    shared->size = shm_zone->shm.size;
    shared->source = zone->source;

    zone->shared = shared;
    zone->slab->data = shared;
    zone->slab->log_ctx = ctx;

    shared->cache = ngx_iv_zone_begin_cache(zone->slab);

    if (shared->cache == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" has no room for its cache",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    ngx_iv_cache_attach(&zone->cache, shared->cache);

    return NGX_OK;
}


/* the cache takes what the rest leaves, in one piece, but for some pages */

static void *
ngx_iv_zone_begin_cache(ngx_slab_pool_t *slab)
{
    void        *memory;
    ngx_uint_t   pages, spare, log_nomem;

    pages = slab->pfree;

    spare = ngx_min(pages / 16, NGX_IV_ZONE_SPARE_MAX);
    spare = ngx_max(spare, NGX_IV_ZONE_SPARE);

    if (pages <= spare) {
        return NULL;
    }

    log_nomem = slab->log_nomem;
    slab->log_nomem = 0;

    memory = NULL;

    for (pages -= spare; pages; pages--) {
        memory = ngx_slab_alloc(slab, pages * ngx_pagesize);

        if (memory) {
            break;
        }
    }

    slab->log_nomem = log_nomem;

    if (memory == NULL
        || ngx_iv_cache_init(memory, pages * ngx_pagesize) != NGX_OK)
    {
        return NULL;
    }

    return memory;
}


ngx_iv_cache_t *
ngx_iv_zone_cache(ngx_iv_zone_t *zone)
{
    return &zone->cache;
}


void
ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n)
{
    ngx_atomic_t  *flight;

    ngx_iv_zone_meter_add(&zone->shared->meter, zone->stripe, what, n);

    /* every upload that begins ends as one of these */

    flight = ngx_iv_zone_gauge(zone, NGX_IV_GAUGE_UPLOADS);

    switch (what) {

    case NGX_IV_COUNT_UPLOADS:
        *flight += n;
        break;

    case NGX_IV_COUNT_UPLOADS_CREATED:
    case NGX_IV_COUNT_UPLOADS_REFUSED:
    case NGX_IV_COUNT_UPLOADS_FAILED:
    case NGX_IV_COUNT_UPLOADS_REPEATED:
        *flight -= n;
        break;

    default:
        break;
    }
}


ngx_uint_t
ngx_iv_zone_get(ngx_iv_zone_t *zone, ngx_iv_count_e what)
{
    return ngx_iv_zone_meter_get(&zone->shared->meter, what);
}


ngx_iv_breakers_t *
ngx_iv_zone_breakers(ngx_iv_zone_t *zone)
{
    return &zone->shared->breakers;
}


void
ngx_iv_zone_time(ngx_iv_zone_t *zone, ngx_iv_time_e what, ngx_msec_t ms)
{
    ngx_iv_zone_meter_time(&zone->shared->meter, what, ms);
}


const ngx_iv_zone_times_t *
ngx_iv_zone_times(ngx_iv_zone_t *zone, ngx_iv_time_e what)
{
    return &zone->shared->meter.times[what];
}


void
ngx_iv_zone_join(ngx_iv_zone_t *zone)
{
    ngx_iv_zone_meter_t  *meter;

    meter = &zone->shared->meter;

    zone->slot = ngx_iv_zone_meter_join(meter);
    zone->stripe = ngx_iv_zone_meter_stripe(meter, zone->slot);
}


void
ngx_iv_zone_leave(ngx_iv_zone_t *zone)
{
    if (zone->slot) {
        zone->slot->pid = 0;
        zone->slot = NULL;
    }
}


ngx_atomic_t *
ngx_iv_zone_gauge(ngx_iv_zone_t *zone, ngx_iv_gauge_e what)
{
    return zone->slot ? &zone->slot->gauges[what] : &zone->none.gauges[what];
}


ngx_uint_t
ngx_iv_zone_gauge_sum(ngx_iv_zone_t *zone, ngx_iv_gauge_e what)
{
    return ngx_iv_zone_meter_sum(&zone->shared->meter, what);
}


ngx_iv_zone_watch_t *
ngx_iv_zone_watch(ngx_iv_zone_t *zone)
{
    return &zone->shared->watch;
}


ngx_uint_t
ngx_iv_zone_mark(ngx_iv_zone_t *zone)
{
    return zone->mark;
}


void
ngx_iv_zone_memory(ngx_iv_zone_t *zone, size_t *size, size_t *unused)
{
    *size = zone->shared->size;
    *unused = zone->slab->pfree * ngx_pagesize;
}
