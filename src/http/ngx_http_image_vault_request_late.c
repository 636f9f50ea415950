/*
 * An outcome that could not be noted under its Idempotency-Key, as the metadata
 * store went away behind the commit.  The answer is true and leaves; the note
 * is tried again until it is there, or until the key is stale and anybody's.
 * Else whoever repeats the request would store its images twice.
 *
 * The same for a key that is given back, of a request that ended without an
 * outcome: else whoever repeats it would be refused for so long.
 */

#include "http/ngx_http_image_vault_intake.h"


#define NGX_HTTP_IMAGE_VAULT_LATE_PAUSE  500

/* so many tries keep a worker that quits, and so many notes a worker may owe */
#define NGX_HTTP_IMAGE_VAULT_LATE_STAY   10
#define NGX_HTTP_IMAGE_VAULT_LATE_MAX    256


typedef struct {
    ngx_pool_t        *pool;
    ngx_event_t        timer;
    ngx_uint_t         tries;
    ngx_msec_t         began;
    ngx_str_t          owner;
    ngx_str_t          key;
    ngx_uint_t         status;
    ngx_iv_outcome_t  *outcomes;
    ngx_uint_t         n;
    u_char             nonce[NGX_IV_REQUEST_NONCE];
    unsigned           free:1;          /* it is given back */
} ngx_http_image_vault_late_t;


static ngx_http_image_vault_late_t *ngx_http_image_vault_late_create(void);
static ngx_int_t ngx_http_image_vault_late_copy(
    ngx_http_image_vault_late_t *late, ngx_http_image_vault_intake_t *it,
    const ngx_iv_outcome_t *outcomes);
static void ngx_http_image_vault_late_wait(ngx_http_image_vault_late_t *late);
static void ngx_http_image_vault_late_try(ngx_event_t *ev);
static void ngx_http_image_vault_late_done(ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_late_end(ngx_http_image_vault_late_t *late);


static ngx_uint_t  ngx_http_image_vault_lates;


void
ngx_http_image_vault_request_late(ngx_http_image_vault_intake_t *it,
    const ngx_iv_outcome_t *outcomes, ngx_uint_t n)
{
    ngx_http_image_vault_late_t  *late;

    if (ngx_http_image_vault_lates >= NGX_HTTP_IMAGE_VAULT_LATE_MAX) {
        return;
    }

    late = ngx_http_image_vault_late_create();
    if (late == NULL) {
        return;
    }

    late->n = n;

    if (ngx_http_image_vault_late_copy(late, it, outcomes) != NGX_OK) {
        ngx_http_image_vault_late_end(late);
        return;
    }

    ngx_http_image_vault_late_wait(late);
}


/* the first try is made at once, however many wait for another one */

void
ngx_http_image_vault_request_late_free(const ngx_str_t *owner,
    const ngx_str_t *key, const u_char nonce[NGX_IV_REQUEST_NONCE])
{
    ngx_http_image_vault_late_t  *late;

    late = ngx_http_image_vault_late_create();
    if (late == NULL) {
        return;
    }

    late->free = 1;
    ngx_memcpy(late->nonce, nonce, NGX_IV_REQUEST_NONCE);

    if (ngx_iv_copy_str(late->pool, &late->owner, owner) != NGX_OK
        || ngx_iv_copy_str(late->pool, &late->key, key) != NGX_OK)
    {
        ngx_http_image_vault_late_end(late);
        return;
    }

    ngx_http_image_vault_late_try(&late->timer);
}


static ngx_http_image_vault_late_t *
ngx_http_image_vault_late_create(void)
{
    ngx_pool_t                   *pool;
    ngx_http_image_vault_late_t  *late;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    late = ngx_pcalloc(pool, sizeof(ngx_http_image_vault_late_t));
    if (late == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    late->pool = pool;
    late->began = ngx_current_msec;

    late->timer.handler = ngx_http_image_vault_late_try;
    late->timer.data = late;
    late->timer.log = ngx_cycle->log;

    ngx_http_image_vault_lates++;

    return late;
}


static ngx_int_t
ngx_http_image_vault_late_copy(ngx_http_image_vault_late_t *late,
    ngx_http_image_vault_intake_t *it, const ngx_iv_outcome_t *outcomes)
{
    ngx_uint_t         i;
    ngx_pool_t        *pool;
    ngx_iv_outcome_t  *copy;

    pool = late->pool;

    copy = ngx_palloc(pool, late->n * sizeof(ngx_iv_outcome_t));

    if (copy == NULL
        || ngx_iv_copy_str(pool, &late->owner, &it->asker) != NGX_OK
        || ngx_iv_copy_str(pool, &late->key, &it->key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < late->n; i++) {
        copy[i] = outcomes[i];

        if (ngx_iv_copy_str(pool, &copy[i].name, &outcomes[i].name) != NGX_OK
            || ngx_iv_copy_str(pool, &copy[i].message, &outcomes[i].message)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    late->status = it->status;
    late->outcomes = copy;

    return NGX_OK;
}


static void
ngx_http_image_vault_late_wait(ngx_http_image_vault_late_t *late)
{
    late->timer.cancelable = (late->tries >= NGX_HTTP_IMAGE_VAULT_LATE_STAY);

    ngx_add_timer(&late->timer, NGX_HTTP_IMAGE_VAULT_LATE_PAUSE);
}


static void
ngx_http_image_vault_late_try(ngx_event_t *ev)
{
    ngx_pool_t                   *pool;
    ngx_iv_metadata_op_t         *op;
    ngx_http_image_vault_late_t  *late;

    late = ev->data;

    if (ngx_current_msec - late->began
        >= ngx_http_image_vault_worker->conf->sweep.stale)
    {
        ngx_http_image_vault_late_end(late);
        return;
    }

    late->tries++;

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        ngx_http_image_vault_late_wait(late);
        return;
    }

    op = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata, pool,
                                   ngx_cycle->log);
    if (op == NULL) {
        ngx_destroy_pool(pool);
        ngx_http_image_vault_late_wait(late);
        return;
    }

    op->data = late;
    op->handler = ngx_http_image_vault_late_done;

    if (late->free) {
        ngx_iv_metadata_request_free(op, &late->owner, &late->key,
                                     late->nonce);
        return;
    }

    ngx_iv_metadata_request_end(op, &late->owner, &late->key, late->status,
                                late->outcomes, late->n);
}


static void
ngx_http_image_vault_late_done(ngx_iv_metadata_op_t *op)
{
    ngx_int_t                     code;
    ngx_http_image_vault_late_t  *late;

    late = op->data;
    code = op->code;

    ngx_destroy_pool(op->pool);

    if (late->free && late->tries == 1 && code != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "image_vault: the idempotency key of a request that "
                      "broke off was not given back: %V",
                      &ngx_iv_code(code)->word);

        if (ngx_http_image_vault_lates > NGX_HTTP_IMAGE_VAULT_LATE_MAX) {
            ngx_http_image_vault_late_end(late);
            return;
        }
    }

    if (code == NGX_IV_METADATA_UNAVAILABLE || code == NGX_IV_OVERLOADED) {
        ngx_http_image_vault_late_wait(late);
        return;
    }

    if (code == NGX_OK && !late->free) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "image_vault: the outcome of a request was noted under "
                      "its idempotency key after all");
    }

    ngx_http_image_vault_late_end(late);
}


static void
ngx_http_image_vault_late_end(ngx_http_image_vault_late_t *late)
{
    ngx_http_image_vault_lates--;

    ngx_destroy_pool(late->pool);
}
