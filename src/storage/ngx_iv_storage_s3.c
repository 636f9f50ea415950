/*
 * A storage that is an S3 bucket.
 *
 * An operation is a row of tries.  Each try has its own pool, so that memory
 * stays bounded; it is dropped in an event of its own, because its call may be
 * on the stack when we learn that it is not needed any more.
 */

#include "storage/ngx_iv_storage_s3.h"


#define NGX_IV_S3_POOL  4096
#define NGX_IV_S3_BODY  8192        /* of an error document */

/* a storage that asks for a longer pause is not tried again; never less than
 * the longest backoff */
#define NGX_IV_S3_AFTER  10000

/* of a list: an item's key, percent-encoded, and what is said of it */
#define NGX_IV_S3_ITEM  (3 * NGX_IV_S3_KEY_MAX + 1024)


static void ngx_iv_s3_put(ngx_iv_storage_op_t *op);
static void ngx_iv_s3_head(ngx_iv_storage_op_t *op);
static void ngx_iv_s3_delete(ngx_iv_storage_op_t *op);
static void ngx_iv_s3_wake(ngx_iv_storage_op_t *op);
static void ngx_iv_s3_cancel(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_s3_url(ngx_iv_storage_t *st, ngx_pool_t *pool,
    const void *url, ngx_str_t *out);
static void ngx_iv_s3_cleanup(void *data);
static ngx_int_t ngx_iv_s3_try(ngx_iv_s3_op_t *s);
static void ngx_iv_s3_drop(ngx_iv_s3_op_t *s);
static void ngx_iv_s3_drop_event(ngx_event_t *ev);
static void ngx_iv_s3_backoff_event(ngx_event_t *ev);
static ngx_int_t ngx_iv_s3_source(ngx_iv_call_t *call, off_t offset,
    u_char **p, size_t *n);
static ngx_int_t ngx_iv_s3_body(ngx_iv_call_t *call, off_t offset,
    u_char **p, size_t *n);
static void ngx_iv_s3_progress(ngx_iv_call_t *call);
static void ngx_iv_s3_done(ngx_iv_call_t *call);
static ngx_uint_t ngx_iv_s3_may_retry(ngx_iv_s3_op_t *s,
    ngx_iv_s3_failure_t *f);
static ngx_msec_t ngx_iv_s3_delay(ngx_iv_s3_op_t *s, ngx_msec_t wait);


ngx_int_t
ngx_iv_storage_s3_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st)
{
    ngx_iv_s3_t                  *s3;
    ngx_pool_cleanup_t           *cln;
    const ngx_str_t              *host;
    const ngx_iv_storage_conf_t  *conf;

    static const ngx_str_t        r2 =
        ngx_string(".r2.cloudflarestorage.com");

    conf = st->conf;

    cln = ngx_pool_cleanup_add(cycle->pool, sizeof(ngx_iv_s3_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    s3 = cln->data;
    ngx_memzero(s3, sizeof(ngx_iv_s3_t));

    cln->handler = ngx_iv_s3_cleanup;

    s3->endpoint = ngx_iv_endpoint_create(cycle, &conf->endpoint,
                                          st->env->files);
    if (s3->endpoint == NULL) {
        return NGX_ERROR;
    }

    host = &conf->endpoint.host;

    switch (conf->expect) {

    case NGX_IV_EXPECT_OFF:
        s3->expect = 0;
        break;

    case NGX_IV_EXPECT_ON:
        s3->expect = 1;
        break;

    default: /* NGX_IV_EXPECT_AUTO: R2 never answers it */
        s3->expect = host->len < r2.len
                     || ngx_strncasecmp(host->data + host->len - r2.len,
                                        r2.data, r2.len)
                        != 0;
    }

    st->state = s3;
    st->put = ngx_iv_s3_put;
    st->wake = ngx_iv_s3_wake;
    st->head = ngx_iv_s3_head;
    st->del = ngx_iv_s3_delete;
    st->multi_create = ngx_iv_s3_multi_create;
    st->multi_part = ngx_iv_s3_multi_part;
    st->multi_complete = ngx_iv_s3_multi_complete;
    st->multi_abort = ngx_iv_s3_multi_abort;
    st->get = ngx_iv_s3_get;
    st->copy = ngx_iv_s3_copy;
    st->list = ngx_iv_s3_list;
    st->uploads = ngx_iv_s3_uploads;
    st->ticket = ngx_iv_s3_ticket;
    st->cancel = ngx_iv_s3_cancel;
    st->url = ngx_iv_s3_url;

    return NGX_OK;
}


static void
ngx_iv_s3_put(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_PUT, NULL);
}


static void
ngx_iv_s3_head(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_HEAD, NULL);
}


static void
ngx_iv_s3_delete(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_DELETE, NULL);
}


static void
ngx_iv_s3_wake(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_op_t  *s;

    s = op->state;

    if (s && s->try) {
        ngx_iv_call_wake(s->try->call);
    }
}


static void
ngx_iv_s3_cancel(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_op_t  *s;

    s = op->state;

    if (s == NULL) {
        return;
    }

    s->cancelled = 1;

    ngx_iv_s3_drop(s);
}


static ngx_int_t
ngx_iv_s3_url(ngx_iv_storage_t *st, ngx_pool_t *pool, const void *url,
    ngx_str_t *out)
{
    time_t                 skew;
    uint32_t               hash;
    ngx_int_t              rc;
    ngx_iv_s3_t           *s3;
    ngx_iv_storage_url_t   su;

    s3 = st->state;

    /* the storage judges by its own clock */

    skew = ngx_iv_s3_skew(st);

    su = *(const ngx_iv_storage_url_t *) url;
    su.signing += skew;
    su.expires += skew;

    rc = ngx_iv_s3_urls_get(&s3->urls, pool, &su, &hash, out);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_iv_s3_request_url(pool, st->conf, &s3->cache, &su, out);

    if (rc == NGX_OK) {
        ngx_iv_s3_urls_keep(&s3->urls, pool->log, &su, hash, out);
    }

    return rc;
}


static void
ngx_iv_s3_cleanup(void *data)
{
    ngx_iv_s3_t  *s3;

    s3 = data;

    ngx_iv_sigv4_cache_wipe(&s3->cache);
    ngx_iv_s3_urls_free(&s3->urls);
}


/* body: in the operation's pool, or NULL */

void
ngx_iv_s3_start(ngx_iv_storage_op_t *op, ngx_iv_s3_method_e method,
    const ngx_str_t *body)
{
    ngx_iv_s3_op_t  *s;

    op->state = NULL;

    s = ngx_pcalloc(op->pool, sizeof(ngx_iv_s3_op_t));
    if (s == NULL) {
        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
        return;
    }

    s->op = op;
    s->s3 = op->storage->state;
    s->method = method;

    if (body) {
        s->body = *body;
    }

    s->backoff.handler = ngx_iv_s3_backoff_event;
    s->backoff.data = s;
    s->backoff.log = op->log;

    op->state = s;

    /* the rest of an operation that went on under another key */

    s->retries = op->retries;

    if (op->wait) {
        ngx_add_timer(&s->backoff, op->wait);
        return;
    }

    if (ngx_iv_s3_try(s) != NGX_OK) {
        ngx_iv_s3_drop(s);
        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
    }
}


/* begins a try; its end is ngx_iv_s3_done(), later */

static ngx_int_t
ngx_iv_s3_try(ngx_iv_s3_op_t *s)
{
    ngx_int_t             rc;
    ngx_pool_t           *pool;
    ngx_iv_call_t        *call;
    ngx_iv_s3_try_t      *t;
    ngx_iv_s3_request_t   rq;
    ngx_iv_storage_op_t  *op;

    op = s->op;

    pool = ngx_create_pool(NGX_IV_S3_POOL, op->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    t = ngx_pcalloc(pool, sizeof(ngx_iv_s3_try_t));
    if (t == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    call = ngx_iv_call_create(s->s3->endpoint, pool, op->log);
    if (call == NULL) {
        ngx_destroy_pool(pool);
        return NGX_ERROR;
    }

    t->pool = pool;
    t->call = call;
    t->s = s;
    t->skew = ngx_iv_s3_skew(op->storage);

    s->try = t;

    ngx_memzero(&rq, sizeof(ngx_iv_s3_request_t));

    rq.conf = op->storage->conf;
    rq.cache = &s->s3->cache;
    rq.now = ngx_time() + t->skew;
    rq.method = s->method;
    rq.op = op;
    rq.body = &s->body;
    rq.expect = ngx_iv_s3_sends(s) && s->s3->expect && op->size > 0;

    rc = ngx_iv_s3_request_head(pool, &rq, &call->head);

    if (rc == NGX_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, op->log, 0,
                      "storage \"%V\": a header to be sent has a control "
                      "character", &op->storage->conf->name);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_iv_s3_sends(s)) {
        call->length = op->size;
        call->source = ngx_iv_s3_source;
        call->progress = ngx_iv_s3_progress;

    } else if (s->method == NGX_IV_S3_COMPLETE) {
        call->length = (off_t) s->body.len;
        call->source = ngx_iv_s3_body;
    }

    call->expect = rq.expect;
    call->head_only = s->method == NGX_IV_S3_HEAD;
    call->fresh = s->fresh;
    call->max_body = NGX_IV_S3_BODY;

    if (s->method == NGX_IV_S3_GET) {
        call->max_body = ngx_max(op->length, NGX_IV_STORAGE_GET);
        call->into = op->buf;
    }

    if (s->method == NGX_IV_S3_LIST || s->method == NGX_IV_S3_UPLOADS) {
        call->max_body += op->limit * NGX_IV_S3_ITEM;
    }

    call->header = ngx_iv_s3_header;
    call->handler = ngx_iv_s3_done;
    call->data = t;

    op->tries++;
    op->sent = 0;

    ngx_iv_call_start(call);

    return NGX_OK;
}


/* stops everything that is under way */

static void
ngx_iv_s3_drop(ngx_iv_s3_op_t *s)
{
    ngx_iv_s3_try_t  *t;

    if (s->backoff.timer_set) {
        ngx_del_timer(&s->backoff);
    }

    t = s->try;

    if (t == NULL) {
        return;
    }

    s->try = NULL;
    t->s = NULL;

    ngx_iv_call_cancel(t->call);

    /* the operation's log may be gone by then */
    t->pool->log = ngx_cycle->log;

    t->drop.handler = ngx_iv_s3_drop_event;
    t->drop.data = t;
    t->drop.log = ngx_cycle->log;

    ngx_post_event(&t->drop, &ngx_posted_events);
}


static void
ngx_iv_s3_drop_event(ngx_event_t *ev)
{
    ngx_iv_s3_try_t  *t;

    t = ev->data;

    ngx_destroy_pool(t->pool);
}


static void
ngx_iv_s3_backoff_event(ngx_event_t *ev)
{
    ngx_iv_s3_op_t  *s;

    s = ev->data;

    /* others may have found it down meanwhile */

    if (ngx_iv_storage_is_shut(s->op)) {
        ngx_iv_s3_finish(s, NGX_IV_STORAGE_UNAVAILABLE);
        return;
    }

    if (ngx_iv_s3_try(s) != NGX_OK) {
        ngx_iv_s3_finish(s, NGX_IV_INTERNAL);
    }
}


/* the last thing that is done with s */

void
ngx_iv_s3_finish(ngx_iv_s3_op_t *s, ngx_int_t code)
{
    ngx_iv_storage_op_t  *op;

    op = s->op;

    ngx_iv_s3_drop(s);

    op->code = code;
    op->handler(op);
}


static ngx_int_t
ngx_iv_s3_source(ngx_iv_call_t *call, off_t offset, u_char **p, size_t *n)
{
    ngx_int_t         rc;
    ngx_iv_s3_op_t   *s;
    ngx_iv_s3_try_t  *t;

    t = call->data;
    s = t->s;

    if (s == NULL) {
        return NGX_ERROR;
    }

    rc = s->op->source(s->op, offset, p, n);

    if (t->s == NULL) {
        /* cancelled by the source */
        return NGX_ERROR;
    }

    t->starved = (rc == NGX_AGAIN);

    if (rc == NGX_DECLINED) {
        s->lost = 1;
        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_iv_s3_body(ngx_iv_call_t *call, off_t offset, u_char **p, size_t *n)
{
    ngx_iv_s3_op_t   *s;
    ngx_iv_s3_try_t  *t;

    t = call->data;
    s = t->s;

    if (s == NULL) {
        return NGX_ERROR;
    }

    *p = s->body.data + offset;
    *n = s->body.len - (size_t) offset;

    return NGX_OK;
}


static void
ngx_iv_s3_progress(ngx_iv_call_t *call)
{
    ngx_iv_s3_try_t      *t;
    ngx_iv_storage_op_t  *op;

    t = call->data;

    if (t->s == NULL) {
        return;
    }

    op = t->s->op;

    op->sent = call->sent;
    op->touched = 1;

    if (op->progress) {
        op->progress(op);
    }
}


static void
ngx_iv_s3_done(ngx_iv_call_t *call)
{
    ngx_iv_s3_op_t       *s;
    ngx_iv_s3_try_t      *t;
    ngx_iv_s3_failure_t   f;

    t = call->data;
    s = t->s;

    if (s == NULL) {
        return;
    }

    ngx_memzero(&f, sizeof(ngx_iv_s3_failure_t));

    s->op->sent = call->sent;

    if (s->method != NGX_IV_S3_HEAD && s->method != NGX_IV_S3_DELETE
        && s->method != NGX_IV_S3_GET && s->method != NGX_IV_S3_LIST
        && s->method != NGX_IV_S3_UPLOADS
        && (call->sent
            || (call->length == 0 && call->result != NGX_IV_CALL_CONNECT
                && call->result != NGX_IV_CALL_TLS)))
    {
        s->op->touched = 1;
    }

    if (s->method == NGX_IV_S3_COMPLETE && call->sent == call->length
        && (call->result != NGX_IV_CALL_OK
            || call->response->status >= 500))
    {
        s->unclear = 1;
    }

    if (call->result == NGX_IV_CALL_OK) {
        ngx_iv_s3_answer(s, &f);

    } else {
        ngx_iv_s3_lost(s, &f);
    }
}


/* another try, or the end */

void
ngx_iv_s3_failed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_msec_t  delay;

    if (ngx_iv_s3_may_retry(s, f)) {

        ngx_iv_s3_log(s, f, NGX_LOG_INFO);

        ngx_iv_zone_add(s->op->storage->env->zone,
                        NGX_IV_COUNT_STORAGE_RETRIES, 1);

        delay = ngx_iv_s3_delay(s, f->wait);

        s->retries++;

        /* from now on the first bytes are needed once more */

        s->op->sent = 0;

        if (ngx_iv_s3_broken(s)) {
            s->op->again = 1;
            s->op->retries = s->retries;
            s->op->wait = delay;

            ngx_iv_s3_finish(s, f->code);
            return;
        }

        ngx_iv_s3_drop(s);
        ngx_add_timer(&s->backoff, delay);
        return;
    }

    if (s->cancelled) {
        return;
    }

    if (s->method == NGX_IV_S3_COMPLETE && s->unclear) {
        ngx_iv_s3_log(s, f, NGX_LOG_INFO);
        ngx_iv_s3_settle(s);
        return;
    }

    ngx_iv_s3_log(s, f, NGX_LOG_ERR);

    ngx_iv_s3_finish(s, f->code);
}


/* the source may cancel: look at s->cancelled */

static ngx_uint_t
ngx_iv_s3_may_retry(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    const ngx_iv_storage_conf_t  *conf;

    conf = s->op->storage->conf;

    /*
     * Some storages keep what they have of a PUT that breaks off, or of one
     * that a proxy before them has given up, and let it appear when a second
     * one under the same key is long through: a try whose body was on its way
     * is repeated under a fresh key or not at all.
     */

    if (!f->retry
        || s->retries >= conf->retries
        || (ngx_iv_s3_broken(s) && !s->op->rekey))
    {
        return 0;
    }

    if (f->wait > ngx_max(conf->backoff_max, NGX_IV_S3_AFTER)) {
        f->final = "the storage asks for a longer pause";
        return 0;
    }

    if (ngx_iv_s3_rewind(s) != NGX_OK || s->cancelled) {
        return 0;
    }

    if (!ngx_iv_breaker_retry(&s->op->storage->breaker)) {
        f->final = ngx_iv_storage_is_shut(s->op)
                   ? "the storage is not available"
                   : "the budget of retries is used up";
        return 0;
    }

    return 1;
}


/* NGX_OK: the body can be sent from its first byte.  The source may cancel. */

ngx_int_t
ngx_iv_s3_rewind(ngx_iv_s3_op_t *s)
{
    u_char     *p;
    size_t      n;
    ngx_int_t   rc;

    if (!ngx_iv_s3_sends(s) || s->op->size == 0) {
        return NGX_OK;
    }

    rc = s->op->source(s->op, 0, &p, &n);

    if (rc == NGX_OK || rc == NGX_AGAIN) {
        return NGX_OK;
    }

    s->lost = 1;

    return NGX_DECLINED;
}


void
ngx_iv_s3_at_once(ngx_iv_s3_op_t *s)
{
    ngx_iv_s3_drop(s);

    if (ngx_iv_s3_try(s) != NGX_OK) {
        ngx_iv_s3_finish(s, NGX_IV_INTERNAL);
    }
}


/* full jitter, and no less than what the storage asks for */

static ngx_msec_t
ngx_iv_s3_delay(ngx_iv_s3_op_t *s, ngx_msec_t wait)
{
    ngx_uint_t                    i;
    ngx_msec_t                    cap, delay;
    const ngx_iv_storage_conf_t  *conf;

    conf = s->op->storage->conf;
    cap = conf->backoff_min;

    for (i = 0; i < s->retries && cap < conf->backoff_max; i++) {
        cap *= 2;
    }

    cap = ngx_min(cap, conf->backoff_max);

    delay = (ngx_msec_t) ngx_random() % (cap + 1);

    return ngx_max(delay, wait);
}
