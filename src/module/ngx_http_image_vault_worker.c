/*
 * The life of a worker: what it makes of the configuration, in which order, and
 * how it lets go of it.
 */

#include "module/ngx_http_image_vault_conf.h"
#include "shm/ngx_iv_zone_watch.h"

/* thread jobs that may be queued or running in one worker */
#define NGX_HTTP_IMAGE_VAULT_MAX_READS   1024
#define NGX_HTTP_IMAGE_VAULT_MAX_WRITES  1024
#define NGX_HTTP_IMAGE_VAULT_MAX_HASHES  4096


static ngx_int_t ngx_http_image_vault_init_worker(ngx_cycle_t *cycle,
    ngx_http_image_vault_main_conf_t *mcf);
static ngx_int_t ngx_http_image_vault_init_cache(ngx_cycle_t *cycle,
    ngx_http_image_vault_worker_t *worker);
static ngx_int_t ngx_http_image_vault_watch(ngx_cycle_t *cycle,
    ngx_http_image_vault_main_conf_t *mcf);
static void ngx_http_image_vault_forget_worker(void *data);


ngx_http_image_vault_worker_t  *ngx_http_image_vault_worker;


ngx_int_t
ngx_http_image_vault_init_process(ngx_cycle_t *cycle)
{
    ngx_pool_cleanup_t                *cln;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    mcf = ngx_http_cycle_get_module_main_conf(cycle,
                                              ngx_http_image_vault_module);
    if (mcf == NULL || !mcf->used) {
        return NGX_OK;
    }

    /* first of all cleanups, so it is run after those of what it holds */

    cln = ngx_pool_cleanup_add(cycle->pool,
                               sizeof(ngx_http_image_vault_worker_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(cln->data, sizeof(ngx_http_image_vault_worker_t));

    cln->handler = ngx_http_image_vault_forget_worker;
    ngx_http_image_vault_worker = cln->data;

    return ngx_http_image_vault_init_worker(cycle, mcf);
}


static ngx_int_t
ngx_http_image_vault_init_worker(ngx_cycle_t *cycle,
    ngx_http_image_vault_main_conf_t *mcf)
{
    ngx_uint_t                      i;
    ngx_iv_storage_conf_t         **storages;
    ngx_http_image_vault_worker_t  *worker;

    worker = ngx_http_image_vault_worker;

    worker->conf = mcf;

    worker->read.pool = mcf->read_pool;
    worker->read.max = NGX_HTTP_IMAGE_VAULT_MAX_READS;
    worker->write.pool = mcf->write_pool;
    worker->write.max = NGX_HTTP_IMAGE_VAULT_MAX_WRITES;
    worker->hash.pool = mcf->hash_pool;
    worker->hash.max = NGX_HTTP_IMAGE_VAULT_MAX_HASHES;

    ngx_iv_zone_join(mcf->zone);

    worker->read.gauge = ngx_iv_zone_gauge(mcf->zone, NGX_IV_GAUGE_READ);
    worker->write.gauge = ngx_iv_zone_gauge(mcf->zone, NGX_IV_GAUGE_WRITE);
    worker->hash.gauge = ngx_iv_zone_gauge(mcf->zone, NGX_IV_GAUGE_HASH);

    worker->env.files = &worker->hash;
    worker->env.zone = mcf->zone;

    worker->room = ngx_iv_room_create(cycle->pool, mcf->buffers, cycle->log);
    if (worker->room == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_image_vault_init_cache(cycle, worker) != NGX_OK) {
        return NGX_ERROR;
    }

    worker->metadata = ngx_iv_metadata_create(cycle, &mcf->metadata, mcf->zone,
                                              &worker->flights, &worker->read,
                                              &worker->write);
    if (worker->metadata == NULL) {
        return NGX_ERROR;
    }

    worker->storages = ngx_pcalloc(cycle->pool, (mcf->storages.nelts + 1)
                                                * sizeof(ngx_iv_storage_t *));
    if (worker->storages == NULL) {
        return NGX_ERROR;
    }

    storages = mcf->storages.elts;

    for (i = 0; i < mcf->storages.nelts; i++) {
        worker->storages[i] = ngx_iv_storage_create(cycle, storages[i],
                                                    &worker->env);
        if (worker->storages[i] == NULL) {
            return NGX_ERROR;
        }
    }

    worker->discard = ngx_iv_discard_create(cycle, worker->metadata,
                                            worker->storages,
                                            mcf->storages.nelts);
    if (worker->discard == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_image_vault_watch(cycle, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (mcf->sweep.interval == 0 || ngx_test_config) {
        return NGX_OK;
    }

    worker->sweep = ngx_iv_sweep_create(cycle, &mcf->sweep, worker->metadata,
                                        worker->storages, mcf->storages.nelts,
                                        mcf->zone, ngx_worker == 0);

    return worker->sweep ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_image_vault_init_cache(ngx_cycle_t *cycle,
    ngx_http_image_vault_worker_t *worker)
{
    worker->cache = ngx_iv_zone_cache(worker->conf->zone);

    worker->found = ngx_palloc(cycle->pool, sizeof(ngx_iv_cache_found_t));
    if (worker->found == NULL) {
        return NGX_ERROR;
    }

    if (ngx_iv_flights_init(&worker->flights) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "the system has no random bytes");
        return NGX_ERROR;
    }

    if (!ngx_test_config) {
        ngx_iv_cache_worker(worker->cache, ngx_pid, ngx_worker);
    }

    return NGX_OK;
}


/*
 * A single process neither runs exit_process on a reload nor starts its modules
 * anew: no thread of ours could be ended there in time.
 */

static ngx_int_t
ngx_http_image_vault_watch(ngx_cycle_t *cycle,
    ngx_http_image_vault_main_conf_t *mcf)
{
    if (ngx_process == NGX_PROCESS_SINGLE) {
        ngx_iv_zone_watch_set_off(ngx_iv_zone_watch(mcf->zone),
                                  ngx_iv_zone_mark(mcf->zone));
        return NGX_OK;
    }

    ngx_http_image_vault_worker->watch
        = ngx_iv_watch_start(cycle, ngx_http_image_vault_worker->metadata,
                             mcf->zone, mcf->metadata.timeout);

    return ngx_http_image_vault_worker->watch ? NGX_OK : NGX_ERROR;
}


void
ngx_http_image_vault_exit_process(ngx_cycle_t *cycle)
{
    /* a worker that quits has waited for the jobs under way, by their timers;
     * in any case nginx has ended its threads, its own modules come first */

    if (ngx_http_image_vault_worker && ngx_http_image_vault_worker->metadata) {

        if (ngx_http_image_vault_worker->watch) {
            ngx_iv_watch_stop(ngx_http_image_vault_worker->watch);
            ngx_http_image_vault_worker->watch = NULL;
        }

        ngx_iv_metadata_destroy(ngx_http_image_vault_worker->metadata);
        ngx_http_image_vault_worker->metadata = NULL;

        ngx_iv_zone_leave(ngx_http_image_vault_worker->conf->zone);
    }
}


static void
ngx_http_image_vault_forget_worker(void *data)
{
    if (ngx_http_image_vault_worker == data) {
        ngx_http_image_vault_worker = NULL;
    }
}
