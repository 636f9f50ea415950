/*
 * What all kinds of storages share: the count of running operations, their
 * one exit, and their cancelling with the pool.
 */

#include "storage/ngx_iv_storage.h"
#include "base/ngx_iv_clock.h"


typedef struct {
    ngx_iv_storage_op_t   op;       /* first: the callers' pointer is cast */

    /*
     * While the operation runs, op.handler is the exit here and this is the
     * caller's.
     */
    void                (*handler)(ngx_iv_storage_op_t *op);
    ngx_event_t           end;      /* posted: the exit is under way */
    ngx_msec_t            start;
    ngx_iv_time_e         what;     /* for the histograms */
    unsigned              running:1;
    unsigned              begun:1;  /* the kind was asked */
    unsigned              trial:1;  /* of the storage's breaker */
} ngx_iv_storage_running_t;


static ngx_int_t ngx_iv_storage_join(ngx_cycle_t *cycle,
    ngx_iv_storage_t *st);
static void ngx_iv_storage_start(ngx_iv_storage_op_t *op, ngx_iv_time_e what,
    void (*start)(ngx_iv_storage_op_t *op));
static void ngx_iv_storage_stop(ngx_iv_storage_running_t *r);
static void ngx_iv_storage_end(ngx_iv_storage_op_t *op);
static void ngx_iv_storage_end_event(ngx_event_t *ev);
static void ngx_iv_storage_cleanup(void *data);


ngx_iv_storage_t *
ngx_iv_storage_create(ngx_cycle_t *cycle, const ngx_iv_storage_conf_t *conf,
    ngx_iv_storage_env_t *env)
{
    ngx_int_t          rc;
    ngx_iv_storage_t  *st;

    st = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_storage_t));
    if (st == NULL) {
        return NULL;
    }

    st->conf = conf;
    st->env = env;

    if (conf->type == NGX_IV_STORAGE_LOCAL) {
        rc = ngx_iv_storage_local_init(cycle, st);

    } else {
        rc = ngx_iv_storage_join(cycle, st);

        if (rc == NGX_OK) {
            rc = ngx_iv_storage_s3_init(cycle, st);
        }
    }

    return rc == NGX_OK ? st : NULL;
}


/* another endpoint or bucket has nothing to do with what is known of this */

static ngx_int_t
ngx_iv_storage_join(ngx_cycle_t *cycle, ngx_iv_storage_t *st)
{
    u_char                        *p;
    ngx_str_t                      where;
    const ngx_iv_storage_conf_t   *conf;
    const ngx_iv_endpoint_conf_t  *ep;

    conf = st->conf;
    ep = &conf->endpoint;

    p = ngx_pnalloc(cycle->pool, ep->host_header.len + conf->bucket.len
                                 + sizeof("https:///") - 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    where.data = p;
    where.len = ngx_sprintf(p, "%s://%V/%V", ep->ssl ? "https" : "http",
                            &ep->host_header, &conf->bucket)
                - p;

    if (ngx_iv_breaker_join(&st->breaker,
                            ngx_iv_zone_breakers(st->env->zone),
                            &conf->name, &where, ngx_iv_now())
        == NGX_OK)
    {
        return NGX_OK;
    }

    /* this worker's own, then */

    st->breaker.shared = ngx_pcalloc(cycle->pool,
                                     sizeof(ngx_iv_breaker_shared_t));

    return st->breaker.shared ? NGX_OK : NGX_ERROR;
}


ngx_msec_t
ngx_iv_storage_wait(ngx_iv_storage_t *st)
{
    return ngx_iv_breaker_wait(&st->breaker, ngx_iv_now());
}


ngx_uint_t
ngx_iv_storage_is_shut(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;

    return !r->trial
           && ngx_iv_breaker_state(&op->storage->breaker)
              != NGX_IV_BREAKER_CLOSED;
}


void
ngx_iv_storage_heard(ngx_iv_storage_op_t *op, ngx_iv_breaker_result_e result,
    ngx_msec_t after, const char *why)
{
    ngx_uint_t                 trial;
    ngx_iv_storage_t          *st;
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;
    st = op->storage;

    trial = r->trial;
    r->trial = 0;

    /* not the operation's log: it is not about this operation, and a health
     * check's is quiet */

    switch (ngx_iv_breaker_report(&st->breaker, result, trial, ngx_iv_now(),
                                  after))
    {

    case NGX_IV_BREAKER_OPENS:

        if (why) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "storage \"%V\" is not available, the last failure: "
                          "%s: calls are refused until it is back",
                          &st->conf->name, why);

        } else {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "storage \"%V\" is not available, the last failure: "
                          "HTTP status %ui: calls are refused until it is back",
                          &st->conf->name, op->status);
        }

        break;

    case NGX_IV_BREAKER_CLOSES:
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "storage \"%V\" is available again", &st->conf->name);
        break;

    default: /* NGX_IV_BREAKER_AS_BEFORE */
        break;
    }
}


ngx_iv_storage_op_t *
ngx_iv_storage_op_create(ngx_iv_storage_t *st, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_pool_cleanup_t        *cln;
    ngx_iv_storage_running_t  *r;

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    r = ngx_pcalloc(pool, sizeof(ngx_iv_storage_running_t));
    if (r == NULL) {
        return NULL;
    }

    r->op.storage = st;
    r->op.pool = pool;
    r->op.log = log;

    r->end.handler = ngx_iv_storage_end_event;
    r->end.data = r;
    r->end.log = log;

    cln->handler = ngx_iv_storage_cleanup;
    cln->data = r;

    return &r->op;
}


void
ngx_iv_storage_put(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_PUT,
                         op->storage->put);
}


void
ngx_iv_storage_head(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_HEAD,
                         op->storage->head);
}


void
ngx_iv_storage_delete(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_DELETE,
                         op->storage->del);
}


ngx_uint_t
ngx_iv_storage_needs_parts(ngx_iv_storage_t *st)
{
    return st->multi_create != NULL;
}


void
ngx_iv_storage_multi_create(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_MULTIPART,
                         op->storage->multi_create);
}


void
ngx_iv_storage_multi_part(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_MULTIPART,
                         op->storage->multi_part);
}


void
ngx_iv_storage_multi_complete(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_MULTIPART,
                         op->storage->multi_complete);
}


void
ngx_iv_storage_multi_abort(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_MULTIPART,
                         op->storage->multi_abort);
}


ngx_uint_t
ngx_iv_storage_is_direct(ngx_iv_storage_t *st)
{
    return st->ticket != NULL;
}


void
ngx_iv_storage_get(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_GET,
                         op->storage->get);
}


void
ngx_iv_storage_copy(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_COPY,
                         op->storage->copy);
}


void
ngx_iv_storage_list(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_GET,
                         op->storage->list);
}


void
ngx_iv_storage_uploads(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_start(op, NGX_IV_TIME_STORAGE_GET,
                         op->storage->uploads);
}


ngx_int_t
ngx_iv_storage_ticket(ngx_iv_storage_t *st, ngx_pool_t *pool,
    ngx_iv_storage_ticket_t *ticket)
{
    return st->ticket(st, pool, ticket);
}


void
ngx_iv_storage_wake(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;

    if (r->running && r->begun && !r->end.posted) {
        op->storage->wake(op);
    }
}


void
ngx_iv_storage_cancel(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;

    if (!r->running) {
        return;
    }

    ngx_iv_storage_stop(r);

    if (r->end.posted) {
        ngx_delete_posted_event(&r->end);
    }

    if (r->begun) {
        op->storage->cancel(op);
    }
}


void
ngx_iv_storage_post(ngx_iv_storage_op_t *op, ngx_int_t code)
{
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;

    op->code = code;

    ngx_post_event(&r->end, &ngx_posted_events);
}


ngx_int_t
ngx_iv_storage_signed_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const ngx_iv_storage_url_t *url, ngx_str_t *out)
{
    return st->url(st, pool, url, out);
}


ngx_int_t
ngx_iv_storage_public_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const ngx_str_t *key, ngx_str_t *out)
{
    u_char           *p;
    const ngx_str_t  *base;

    base = &st->conf->public_url;

    if (base->len == 0) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(pool, base->len + 1 + ngx_iv_uri_encode(NULL, key, 1));
    if (p == NULL) {
        return NGX_ERROR;
    }

    out->data = p;

    p = ngx_cpymem(p, base->data, base->len);
    *p++ = '/';
    p += ngx_iv_uri_encode(p, key, 1);

    out->len = p - out->data;

    return NGX_OK;
}


static void
ngx_iv_storage_start(ngx_iv_storage_op_t *op, ngx_iv_time_e what,
    void (*start)(ngx_iv_storage_op_t *op))
{
    ngx_iv_storage_t          *st;
    ngx_iv_breaker_leave_e     leave;
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;
    st = op->storage;

    if (r->running) {
        ngx_log_error(NGX_LOG_ALERT, op->log, 0,
                      "storage \"%V\": an operation was started twice",
                      &st->conf->name);
        return;
    }

    r->handler = op->handler;
    op->handler = ngx_iv_storage_end;

    r->start = ngx_current_msec;
    r->what = what;
    r->running = 1;
    r->begun = 0;

    op->again = 0;

    st->active++;
    (*ngx_iv_zone_gauge(st->env->zone, NGX_IV_GAUGE_STORAGE))++;

    if (st->conf->max_active && st->active > st->conf->max_active) {
        ngx_log_error(NGX_LOG_WARN, op->log, 0,
                      "storage \"%V\": all %ui operations of max_active are "
                      "in use", &st->conf->name, st->conf->max_active);

        ngx_iv_zone_add(st->env->zone, NGX_IV_COUNT_OVERLOADED, 1);
        ngx_iv_storage_post(op, NGX_IV_OVERLOADED);
        return;
    }

    leave = ngx_iv_breaker_ask(&st->breaker, ngx_iv_now(), op->tries == 0);

    if (leave == NGX_IV_BREAKER_NO) {
        ngx_iv_storage_post(op, NGX_IV_STORAGE_UNAVAILABLE);
        return;
    }

    r->trial = (leave == NGX_IV_BREAKER_TRIAL);
    r->begun = 1;

    if (!op->probe) {
        ngx_iv_zone_add(st->env->zone, NGX_IV_COUNT_STORAGE_REQUESTS, 1);
    }

    start(op);
}


static void
ngx_iv_storage_stop(ngx_iv_storage_running_t *r)
{
    /* a trial that was broken off */

    if (r->trial) {
        ngx_iv_storage_heard(&r->op, NGX_IV_BREAKER_NOTHING, 0, NULL);
    }

    r->running = 0;
    r->op.handler = r->handler;
    r->op.time = ngx_current_msec - r->start;
    r->op.storage->active--;
    (*ngx_iv_zone_gauge(r->op.storage->env->zone, NGX_IV_GAUGE_STORAGE))--;
}


static void
ngx_iv_storage_end(ngx_iv_storage_op_t *op)
{
    ngx_iv_storage_running_t  *r;

    r = (ngx_iv_storage_running_t *) op;

    ngx_iv_storage_stop(r);

    if (r->begun && !op->probe) {
        ngx_iv_zone_time(op->storage->env->zone, r->what, op->time);
    }

    if (r->begun && !op->probe && !op->again && op->code != NGX_OK
        && op->code != NGX_IV_NOT_FOUND
        && op->code != NGX_IV_PRECONDITION_FAILED)
    {
        ngx_iv_zone_add(op->storage->env->zone,
                        NGX_IV_COUNT_STORAGE_ERRORS, 1);
    }

    op->handler(op);
}


static void
ngx_iv_storage_end_event(ngx_event_t *ev)
{
    ngx_iv_storage_running_t  *r;

    r = ev->data;

    r->op.handler(&r->op);
}


static void
ngx_iv_storage_cleanup(void *data)
{
    ngx_iv_storage_running_t  *r;

    r = data;

    ngx_iv_storage_cancel(&r->op);
}
