/*
 * An entry of the ownership cache that is asked for in the last eighth of its
 * life is read anew, while it still answers.  So what is asked for all the time
 * never waits for the store, and no entry lives longer than it may.
 *
 * Such a look-up belongs to no request.  It leads a flight as others do
 * (ngx_iv_flight.h): who finds the entry too old meanwhile waits for it.
 */

#include "http/ngx_http_image_vault_api.h"


/* at once in a worker; whatever is more is looked up when it is too old */
#define NGX_HTTP_IMAGE_VAULT_REFRESH_MAX    64
/* s: after a failure */
#define NGX_HTTP_IMAGE_VAULT_REFRESH_PAUSE  2


typedef struct {
    ngx_http_image_vault_worker_t  *worker;
    ngx_pool_t                     *pool;
    ngx_iv_metadata_op_t           *op;
    ngx_iv_ask_t                    ask;
    ngx_iv_cache_token_t            token;
} ngx_http_image_vault_refresh_t;


static ngx_http_image_vault_refresh_t *ngx_http_image_vault_refresh_create(
    ngx_http_image_vault_worker_t *w);
static void ngx_http_image_vault_refresh_told(ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_refresh_heard(ngx_iv_ask_t *ask, ngx_int_t rc,
    const void *result);


void
ngx_http_image_vault_refresh(const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_cache_token_t             token;
    ngx_http_image_vault_worker_t   *w;
    ngx_http_image_vault_refresh_t  *refresh;

    w = ngx_http_image_vault_worker;

    if (ngx_exiting || ngx_terminate
        || w->refreshing >= NGX_HTTP_IMAGE_VAULT_REFRESH_MAX
        || (ngx_uint_t) (ngx_time() - w->refresh_failed)
           < NGX_HTTP_IMAGE_VAULT_REFRESH_PAUSE)
    {
        return;
    }

    if (ngx_iv_cache_begin(w->cache, id, ngx_iv_now(),
                           NGX_HTTP_IMAGE_VAULT_FIND_WAIT, &token)
        != NGX_OK)
    {
        return;
    }

    if (token.mark == 0) {
        /* each hit would begin anew */
        return;
    }

    refresh = ngx_http_image_vault_refresh_create(w);

    if (refresh == NULL) {
        ngx_iv_cache_abandon(w->cache, &token);
        return;
    }

    if (ngx_iv_flight_join(&w->flights, id, &refresh->ask) != NGX_OK) {
        ngx_iv_flight_leave(&w->flights, &refresh->ask);
        ngx_iv_cache_abandon(w->cache, &token);
        ngx_destroy_pool(refresh->pool);
        return;
    }

    refresh->token = token;
    w->refreshing++;

    ngx_iv_metadata_get(refresh->op, id);
}


static ngx_http_image_vault_refresh_t *
ngx_http_image_vault_refresh_create(ngx_http_image_vault_worker_t *w)
{
    ngx_log_t                       *log;
    ngx_pool_t                      *pool;
    ngx_http_image_vault_refresh_t  *refresh;

    log = ngx_cycle->log;

    pool = ngx_create_pool(2048, log);
    if (pool == NULL) {
        return NULL;
    }

    refresh = ngx_pcalloc(pool, sizeof(ngx_http_image_vault_refresh_t));

    if (refresh) {
        refresh->op = ngx_iv_metadata_op_create(w->metadata, pool, log);
    }

    if (refresh == NULL || refresh->op == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    refresh->worker = w;
    refresh->pool = pool;
    refresh->ask.handler = ngx_http_image_vault_refresh_heard;

    refresh->op->data = refresh;
    refresh->op->handler = ngx_http_image_vault_refresh_told;

    return refresh;
}


static void
ngx_http_image_vault_refresh_told(ngx_iv_metadata_op_t *op)
{
    ngx_int_t                        rc;
    ngx_http_image_vault_worker_t   *w;
    ngx_http_image_vault_refresh_t  *refresh;

    refresh = op->data;
    w = refresh->worker;

    w->refreshing--;

    if (op->code != NGX_OK && op->code != NGX_IV_NOT_FOUND) {
        w->refresh_failed = ngx_time();
    }

    rc = ngx_http_image_vault_keep(w->cache, &refresh->token, op);

    if (rc == NGX_DECLINED) {
        /* changed meanwhile: who waits asks instead */
        ngx_iv_flight_leave(&w->flights, &refresh->ask);

    } else {

        if (rc == NGX_DONE && op->code == NGX_OK) {
            /* what is there by now is not to be kept */
            ngx_iv_cache_drop(w->cache, refresh->token.id);
        }

        ngx_iv_flight_done(&w->flights, &refresh->ask, op->code,
                           op->document);
    }

    ngx_destroy_pool(refresh->pool);
}


/* it never waits for another one, and has nobody to tell */

static void
ngx_http_image_vault_refresh_heard(ngx_iv_ask_t *ask, ngx_int_t rc,
    const void *result)
{
}
