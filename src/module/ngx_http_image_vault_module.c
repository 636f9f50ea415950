/*
 * The module: directives, create and merge, checks at the configuration's end.
 * What a worker makes of it is in …_worker.c.
 */

#include "module/ngx_http_image_vault_conf.h"


static void *ngx_http_image_vault_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_image_vault_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_image_vault_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_image_vault_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_image_vault_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_image_vault_init_pools(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf);
static ngx_int_t ngx_http_image_vault_check_buffers(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf);
static void ngx_http_image_vault_init_storages(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf);
static void ngx_http_image_vault_cleanup_ctx(void *data);


static ngx_command_t  ngx_http_image_vault_commands[] = {

    { ngx_string("image_vault_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_mongodb"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_image_vault_mongodb,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_thread_pools"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE123,
      ngx_http_image_vault_thread_pools,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_storage"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_image_vault_storage_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_sweep"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE12,
      ngx_http_image_vault_sweep,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_buffers"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_buffers,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_upload"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_UPLOAD,
      NULL },

    { ngx_string("image_vault_redirect"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_REDIRECT,
      NULL },

    { ngx_string("image_vault_api"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_API,
      NULL },

    { ngx_string("image_vault_files"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_FILES,
      NULL },

    { ngx_string("image_vault_access"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_ACCESS,
      NULL },

    { ngx_string("image_vault_error"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_ERROR,
      NULL },

    { ngx_string("image_vault_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_HEALTH,
      NULL },

    { ngx_string("image_vault_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_image_vault_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      NGX_HTTP_IMAGE_VAULT_METRICS,
      NULL },

    { ngx_string("image_vault_owner"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_set_complex,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_image_vault_loc_conf_t, owner),
      NULL },

    { ngx_string("image_vault_admin"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_set_complex,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_image_vault_loc_conf_t, admin),
      NULL },

    { ngx_string("image_vault_uploaded_from"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_set_complex,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_image_vault_loc_conf_t, uploaded_from),
      NULL },

    { ngx_string("image_vault_max_size"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_max_size,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_max_files"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_max_files,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_quota"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_quota,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_max_pixels"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_max_pixels,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_types"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_image_vault_types,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_key_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_url_expiry"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_seconds,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_image_vault_loc_conf_t, url_expiry),
      NULL },

    { ngx_string("image_vault_url_window"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_seconds,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_image_vault_loc_conf_t, url_window),
      NULL },

    { ngx_string("image_vault_cache_valid"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_image_vault_cache_valid,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_cors"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_image_vault_cors,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_cors_max_age"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_cors_max_age,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("image_vault_audit"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_image_vault_audit_on_off,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_image_vault_module_ctx = {
    ngx_http_image_vault_add_variables,    /* preconfiguration */
    ngx_http_image_vault_init,             /* postconfiguration */

    ngx_http_image_vault_create_main_conf, /* create main configuration */
    ngx_http_image_vault_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_image_vault_create_loc_conf,  /* create location configuration */
    ngx_http_image_vault_merge_loc_conf    /* merge location configuration */
};


ngx_module_t  ngx_http_image_vault_module = {
    NGX_MODULE_V1,
    &ngx_http_image_vault_module_ctx,      /* module context */
    ngx_http_image_vault_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_image_vault_init_process,     /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_image_vault_exit_process,     /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/* what finds a context again after r->ctx was cleared */

typedef struct {
    ngx_http_request_t         *request;
    ngx_http_image_vault_ctx_t  ctx;
} ngx_http_image_vault_kept_ctx_t;


ngx_http_image_vault_ctx_t *
ngx_http_image_vault_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_kept_ctx_t  *kept;

    ctx = ngx_http_get_module_ctx(r, ngx_http_image_vault_module);

    if (ctx || !(r->internal || r->filter_finalize)) {
        return ctx;
    }

    /* subrequests share their parent's pool: the request tells them apart */

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_image_vault_cleanup_ctx) {
            continue;
        }

        kept = cln->data;

        if (kept->request == r) {
            kept->ctx.access_here = 0;
            ngx_http_set_ctx(r, &kept->ctx, ngx_http_image_vault_module);
            return &kept->ctx;
        }
    }

    return NULL;
}


ngx_http_image_vault_ctx_t *
ngx_http_image_vault_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_kept_ctx_t  *kept;

    ctx = ngx_http_image_vault_find_ctx(r);
    if (ctx) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_image_vault_kept_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    kept = cln->data;
    ngx_memzero(kept, sizeof(ngx_http_image_vault_kept_ctx_t));

    kept->request = r;
    kept->ctx.metadata_time = NGX_TIMER_INFINITE;
    kept->ctx.storage_time = NGX_TIMER_INFINITE;

    cln->handler = ngx_http_image_vault_cleanup_ctx;

    ngx_http_set_ctx(r, &kept->ctx, ngx_http_image_vault_module);

    return &kept->ctx;
}


static void
ngx_http_image_vault_cleanup_ctx(void *data)
{
    ngx_http_image_vault_kept_ctx_t  *kept = data;

    kept->request = NULL;
}


static void *
ngx_http_image_vault_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_image_vault_main_conf_t  *mcf;

    mcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_image_vault_main_conf_t));
    if (mcf == NULL) {
        return NULL;
    }

    mcf->sweep.interval = NGX_CONF_UNSET_MSEC;
    mcf->sweep.stale = NGX_CONF_UNSET_MSEC;
    mcf->buffers = NGX_CONF_UNSET_SIZE;

    if (ngx_array_init(&mcf->storages, cf->pool, 4,
                       sizeof(ngx_iv_storage_conf_t *))
        != NGX_OK
        || ngx_array_init(&mcf->gates, cf->pool, 4, sizeof(ngx_uint_t))
           != NGX_OK)
    {
        return NULL;
    }

    return mcf;
}


static char *
ngx_http_image_vault_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_image_vault_loc_conf_t  *lcf;

    ngx_conf_init_msec_value(mcf->sweep.interval,
                             NGX_HTTP_IMAGE_VAULT_INTERVAL);
    ngx_conf_init_msec_value(mcf->sweep.stale, NGX_HTTP_IMAGE_VAULT_STALE);
    ngx_conf_init_size_value(mcf->buffers, NGX_HTTP_IMAGE_VAULT_BUFFERS);

    /* the level all servers are merged with has no merge of its own */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    lcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_image_vault_module);

    lcf->endpoint = NGX_HTTP_IMAGE_VAULT_NONE;
    lcf->body_size = clcf->client_max_body_size;

    if (lcf->key == NGX_CONF_UNSET_PTR) {
        lcf->key = ngx_http_image_vault_key_default(cf);
        if (lcf->key == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_image_vault_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_image_vault_loc_conf_t));
    if (lcf == NULL) {
        return NULL;
    }

    lcf->endpoint = NGX_CONF_UNSET_UINT;
    lcf->storage = NGX_CONF_UNSET_UINT;
    lcf->owner = NGX_CONF_UNSET_PTR;
    lcf->admin = NGX_CONF_UNSET_PTR;
    lcf->uploaded_from = NGX_CONF_UNSET_PTR;
    lcf->max_size = NGX_CONF_UNSET;
    lcf->max_files = NGX_CONF_UNSET_UINT;
    lcf->quota.mode = (ngx_iv_quota_mode_e) NGX_CONF_UNSET;
    lcf->max_pixels = NGX_CONF_UNSET_UINT;
    lcf->types = NGX_CONF_UNSET_UINT;
    lcf->key = NGX_CONF_UNSET_PTR;
    lcf->url_expiry = NGX_CONF_UNSET;
    lcf->url_window = NGX_CONF_UNSET;
    lcf->cache_valid = NGX_CONF_UNSET_MSEC;
    lcf->cache_negative = NGX_CONF_UNSET_MSEC;
    lcf->cors = NGX_CONF_UNSET_PTR;
    lcf->cors_max_age = NGX_CONF_UNSET;
    lcf->audit = NGX_CONF_UNSET;

    return lcf;
}


static char *
ngx_http_image_vault_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_image_vault_loc_conf_t *prev = parent;
    ngx_http_image_vault_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    ngx_conf_merge_ptr_value(conf->owner, prev->owner, NULL);
    ngx_conf_merge_ptr_value(conf->admin, prev->admin, NULL);
    ngx_conf_merge_ptr_value(conf->uploaded_from, prev->uploaded_from, NULL);
    ngx_conf_merge_off_value(conf->max_size, prev->max_size,
                             10 * 1024 * 1024);
    ngx_conf_merge_uint_value(conf->max_files, prev->max_files, 10);

    if (conf->quota.mode == (ngx_iv_quota_mode_e) NGX_CONF_UNSET) {
        conf->quota = prev->quota;

        if (conf->quota.mode == (ngx_iv_quota_mode_e) NGX_CONF_UNSET) {
            conf->quota.mode = NGX_IV_QUOTA_OFF;
        }
    }

    ngx_conf_merge_uint_value(conf->max_pixels, prev->max_pixels, 100000000);
    ngx_conf_merge_uint_value(conf->types, prev->types, NGX_IV_IMAGE_ALL);
    ngx_conf_merge_ptr_value(conf->key, prev->key, NULL);
    ngx_conf_merge_sec_value(conf->url_expiry, prev->url_expiry, 3600);
    ngx_conf_merge_sec_value(conf->url_window, prev->url_window, 300);
    ngx_conf_merge_msec_value(conf->cache_valid, prev->cache_valid,
                              NGX_HTTP_IMAGE_VAULT_VALID);
    ngx_conf_merge_msec_value(conf->cache_negative, prev->cache_negative,
                              NGX_HTTP_IMAGE_VAULT_NEGATIVE);
    ngx_conf_merge_ptr_value(conf->cors, prev->cors, NULL);
    ngx_conf_merge_sec_value(conf->cors_max_age, prev->cors_max_age, 3600);
    ngx_conf_merge_value(conf->audit, prev->audit, 0);

    if (conf->url_expiry + conf->url_window > NGX_HTTP_IMAGE_VAULT_WEEK) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
        cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"image_vault_url_expiry\" of %Ts and "
                      "\"image_vault_url_window\" of %Ts are more than 7d "
                      "together in %s \"%V\"",
                      conf->url_expiry, conf->url_window,
                      clcf->name.len ? "location" : "server",
                      clcf->name.len ? &clcf->name : &cscf->server_name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_image_vault_error_pages(cf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_merge_endpoint(cf, prev, conf);
}


static ngx_int_t
ngx_http_image_vault_init(ngx_conf_t *cf)
{
    const char                        *missing;
    ngx_http_handler_pt               *h;
    ngx_http_core_main_conf_t         *cmcf;
    ngx_http_image_vault_main_conf_t  *mcf;

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_image_vault_module);

    if (!mcf->used) {
        return NGX_OK;
    }

    missing = NULL;

    if (mcf->zone == NULL) {
        missing = "image_vault_zone";

    } else if (mcf->metadata.uri.len == 0) {
        missing = "image_vault_mongodb";
    }

    if (missing) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "no \"%s\" in the http block, \"%V\" in %s:%ui needs it",
                      missing, &mcf->used_by, mcf->file, mcf->line);
        return NGX_ERROR;
    }

    ngx_iv_zone_set_source(cf, mcf->zone, ngx_iv_metadata_of(&mcf->metadata));

    if (ngx_http_image_vault_init_pools(cf, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_image_vault_check_buffers(cf, mcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_image_vault_init_storages(cf, mcf);

    mcf->sweep.audit = mcf->metadata.audit;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_image_vault_files;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_image_vault_access;

    /* before those of nginx's own that limit requests */

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_image_vault_preflight;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_image_vault_error_early;

    return ngx_http_image_vault_filter_init(cf);
}


static ngx_int_t
ngx_http_image_vault_init_pools(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf)
{
    ngx_uint_t           i;
    ngx_thread_pool_t  **pools[3];

    pools[0] = &mcf->read_pool;
    pools[1] = &mcf->write_pool;
    pools[2] = &mcf->hash_pool;

    for (i = 0; i < 3; i++) {

        if (*pools[i]) {
            continue;
        }

        *pools[i] = ngx_thread_pool_add(cf, NULL);
        if (*pools[i] == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a body of unknown length takes two parts at most: they must fit */

static ngx_int_t
ngx_http_image_vault_check_buffers(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf)
{
    ngx_uint_t               i;
    ngx_iv_storage_conf_t  **storages;

    storages = mcf->storages.elts;

    for (i = 0; i < mcf->storages.nelts; i++) {

        if (storages[i]->type == NGX_IV_STORAGE_S3
            && storages[i]->part_size > mcf->buffers / 2)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"image_vault_buffers\" of %uz cannot hold two "
                          "parts of \"part_size\" %uz of "
                          "\"image_vault_storage %V\"", mcf->buffers,
                          storages[i]->part_size, &storages[i]->name);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_image_vault_init_storages(ngx_conf_t *cf,
    ngx_http_image_vault_main_conf_t *mcf)
{
    ngx_uint_t                 i, k, *gates;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_iv_storage_conf_t    **storages;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    storages = mcf->storages.elts;
    gates = mcf->gates.elts;

    for (i = 0; i < mcf->storages.nelts; i++) {

        if (storages[i]->type == NGX_IV_STORAGE_S3) {

            /* the core module puts an empty one where none is configured */

            if (clcf->resolver && clcf->resolver->connections.nelts) {
                storages[i]->endpoint.resolver = clcf->resolver;
            }

            storages[i]->endpoint.resolver_timeout =
                (clcf->resolver_timeout == NGX_CONF_UNSET_MSEC)
                ? 30000 : clcf->resolver_timeout;

            continue;
        }

        /* with a host, another server may serve the files */

        if (storages[i]->url.len && storages[i]->url.data[0] != '/') {
            continue;
        }

        for (k = 0; k < mcf->gates.nelts; k++) {
            if (gates[k] == i) {
                break;
            }
        }

        if (k == mcf->gates.nelts) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "no location with \"image_vault_files %V\" serves "
                          "\"%V/\", the \"url\" of this storage",
                          &storages[i]->name, &storages[i]->url);
        }
    }
}
