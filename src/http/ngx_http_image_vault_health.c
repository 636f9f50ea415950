/*
 * image_vault_health: is this worker alive, and (?ready) do the database and
 * the storages answer.  A worker has one check under way at most; all who ask
 * meanwhile, and a second later, get its result.
 */

#include "module/ngx_http_image_vault_module.h"


#define NGX_HTTP_IMAGE_VAULT_HEALTH_FRESH    1000
#define NGX_HTTP_IMAGE_VAULT_HEALTH_TIMEOUT  3000


typedef struct ngx_http_image_vault_health_s  ngx_http_image_vault_health_t;

/* the last result about one dependency */
typedef struct {
    ngx_int_t               code;       /* NGX_OK, NGX_AGAIN: not yet, a code */
    ngx_msec_t              time;
    unsigned                told:1;     /* its failure is in the log */
} ngx_http_image_vault_part_t;


/* of this worker; lives as long as its cycle */
struct ngx_http_image_vault_health_s {
    ngx_http_image_vault_worker_t  *worker;
    ngx_http_image_vault_part_t    *parts;  /* the database, the storages */
    ngx_uint_t              nparts;
    ngx_uint_t              left;       /* parts that have not answered */
    ngx_pool_t             *pool;       /* of the check under way, or NULL */
    ngx_log_t               quiet;      /* failures are told once, see _tell */
    ngx_event_t             timeout;
    ngx_event_t             end;
    ngx_queue_t             waiting;    /* ngx_http_image_vault_waiter_t */
    ngx_msec_t              start;
    ngx_msec_t              ended;
    unsigned                known:1;    /* `ended` and the parts hold */
};


typedef struct {
    ngx_queue_t             queue;
    ngx_http_request_t     *request;
    unsigned                queued:1;
} ngx_http_image_vault_waiter_t;


static ngx_http_image_vault_health_t *ngx_http_image_vault_health_get(void);
static ngx_int_t ngx_http_image_vault_health_wait(ngx_http_request_t *r,
    ngx_http_image_vault_health_t *h);
static void ngx_http_image_vault_health_gone(void *data);
static ngx_int_t ngx_http_image_vault_health_check(
    ngx_http_image_vault_health_t *h);
static ngx_int_t ngx_http_image_vault_health_storage(
    ngx_http_image_vault_health_t *h, ngx_uint_t i);
static void ngx_http_image_vault_health_metadata(ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_health_head(ngx_iv_storage_op_t *op);
static void ngx_http_image_vault_health_part(
    ngx_http_image_vault_health_t *h, ngx_uint_t i, ngx_int_t code);
static void ngx_http_image_vault_health_tell(
    ngx_http_image_vault_health_t *h, ngx_uint_t i);
static void ngx_http_image_vault_health_late(ngx_event_t *ev);
static void ngx_http_image_vault_health_end(ngx_event_t *ev);
static ngx_int_t ngx_http_image_vault_health_answer(ngx_http_request_t *r,
    ngx_http_image_vault_health_t *h);
static void ngx_http_image_vault_health_json(ngx_iv_json_t *j,
    const ngx_http_image_vault_part_t *part, ngx_iv_breaker_t *b);


ngx_int_t
ngx_http_image_vault_health(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       json, value;
    ngx_http_image_vault_health_t  *h;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!(r->args.len == 5 && ngx_strncmp(r->args.data, "ready", 5) == 0)
        && ngx_http_arg(r, (u_char *) "ready", 5, &value) != NGX_OK)
    {
        ngx_str_set(&json, "{\"success\":true,\"alive\":true}");
        return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
    }

    h = ngx_http_image_vault_health_get();
    if (h == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (h->pool == NULL) {

        if (h->known && ngx_current_msec - h->ended
                        < NGX_HTTP_IMAGE_VAULT_HEALTH_FRESH)
        {
            return ngx_http_image_vault_health_answer(r, h);
        }

        if (ngx_http_image_vault_health_check(h) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_image_vault_health_wait(r, h);
}


static ngx_http_image_vault_health_t *
ngx_http_image_vault_health_get(void)
{
    ngx_uint_t                      i;
    ngx_pool_t                     *pool;
    ngx_http_image_vault_health_t  *h;
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;

    if (w->health) {
        return w->health;
    }

    pool = ngx_cycle->pool;

    h = ngx_pcalloc(pool, sizeof(ngx_http_image_vault_health_t));
    if (h == NULL) {
        return NULL;
    }

    h->worker = w;
    h->nparts = w->conf->storages.nelts + 1;

    h->parts = ngx_pcalloc(pool,
                           h->nparts * sizeof(ngx_http_image_vault_part_t));
    if (h->parts == NULL) {
        return NULL;
    }

    for (i = 0; i < h->nparts; i++) {
        h->parts[i].code = NGX_AGAIN;
    }

    ngx_queue_init(&h->waiting);

    h->quiet = *ngx_cycle->log;
    h->quiet.log_level = NGX_LOG_ALERT;

    h->timeout.handler = ngx_http_image_vault_health_late;
    h->timeout.data = h;
    h->timeout.log = ngx_cycle->log;

    h->end.handler = ngx_http_image_vault_health_end;
    h->end.data = h;
    h->end.log = ngx_cycle->log;

    w->health = h;

    return h;
}


static ngx_int_t
ngx_http_image_vault_health_wait(ngx_http_request_t *r,
    ngx_http_image_vault_health_t *h)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_image_vault_waiter_t  *waiter;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_image_vault_waiter_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    waiter = cln->data;
    waiter->request = r;
    waiter->queued = 1;

    cln->handler = ngx_http_image_vault_health_gone;

    ngx_queue_insert_tail(&h->waiting, &waiter->queue);

    r->main->count++;

    return NGX_DONE;
}


static void
ngx_http_image_vault_health_gone(void *data)
{
    ngx_http_image_vault_waiter_t *waiter = data;

    if (waiter->queued) {
        waiter->queued = 0;
        ngx_queue_remove(&waiter->queue);
    }
}


/* no callback comes from within the starting calls */

static ngx_int_t
ngx_http_image_vault_health_check(ngx_http_image_vault_health_t *h)
{
    ngx_uint_t             i;
    ngx_iv_metadata_op_t  *op;

    h->pool = ngx_create_pool(1024, &h->quiet);
    if (h->pool == NULL) {
        return NGX_ERROR;
    }

    h->left = h->nparts;
    h->start = ngx_current_msec;
    h->known = 0;

    for (i = 0; i < h->nparts; i++) {
        h->parts[i].code = NGX_AGAIN;
    }

    op = ngx_iv_metadata_op_create(h->worker->metadata, h->pool, &h->quiet);
    if (op == NULL) {
        goto failed;
    }

    op->data = h;
    op->handler = ngx_http_image_vault_health_metadata;

    ngx_iv_metadata_ping(op);

    for (i = 1; i < h->nparts; i++) {
        if (ngx_http_image_vault_health_storage(h, i) != NGX_OK) {
            goto failed;
        }
    }

    ngx_add_timer(&h->timeout, NGX_HTTP_IMAGE_VAULT_HEALTH_TIMEOUT);

    return NGX_OK;

failed:

    ngx_destroy_pool(h->pool);
    h->pool = NULL;

    return NGX_ERROR;
}


/* a file that is not there: any answer shows that the storage lives */

static ngx_int_t
ngx_http_image_vault_health_storage(ngx_http_image_vault_health_t *h,
    ngx_uint_t i)
{
    ngx_iv_storage_t     *st;
    ngx_iv_storage_op_t  *op;

    st = h->worker->storages[i - 1];

    op = ngx_iv_storage_op_create(st, h->pool, &h->quiet);
    if (op == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&op->key, "image_vault_health/none");

    op->data = h;
    op->handler = ngx_http_image_vault_health_head;
    op->probe = 1;
    op->retries = st->conf->retries;    /* all used up: one try */

    ngx_iv_storage_head(op);

    return NGX_OK;
}


static void
ngx_http_image_vault_health_metadata(ngx_iv_metadata_op_t *op)
{
    ngx_http_image_vault_health_part(op->data, 0, op->code);
}


static void
ngx_http_image_vault_health_head(ngx_iv_storage_op_t *op)
{
    ngx_int_t                       code;
    ngx_uint_t                      i;
    ngx_http_image_vault_health_t  *h;

    h = op->data;
    code = op->code;

    /*
     * Without the right to list a bucket S3 answers 403 for what is not there;
     * max_active says nothing about the storage.
     */

    if (code == NGX_IV_NOT_FOUND || code == NGX_IV_OVERLOADED
        || (code == NGX_IV_STORAGE_DENIED
            && op->status == NGX_HTTP_FORBIDDEN))
    {
        code = NGX_OK;
    }

    for (i = 1; i < h->nparts; i++) {
        if (h->worker->storages[i - 1] == op->storage) {
            ngx_http_image_vault_health_part(h, i, code);
            return;
        }
    }
}


static void
ngx_http_image_vault_health_part(ngx_http_image_vault_health_t *h,
    ngx_uint_t i, ngx_int_t code)
{
    /* too late: it counts as failed already */

    if (h->parts[i].code != NGX_AGAIN) {
        return;
    }

    h->parts[i].code = code;
    h->parts[i].time = ngx_current_msec - h->start;

    ngx_http_image_vault_health_tell(h, i);

    if (--h->left == 0) {

        /* not here: an operation's callback can't take its pool away */

        ngx_post_event(&h->end, &ngx_posted_events);
    }
}


/* once when it fails, once when it is back */

static void
ngx_http_image_vault_health_tell(ngx_http_image_vault_health_t *h,
    ngx_uint_t i)
{
    ngx_str_t                    *name;
    ngx_http_image_vault_part_t  *part;

    static ngx_str_t  database = ngx_string("database");

    part = &h->parts[i];
    name = i ? (ngx_str_t *) &h->worker->storages[i - 1]->conf->name
             : &database;

    if (part->code == NGX_OK) {

        if (part->told) {
            part->told = 0;
            ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                          "health: %s%V%s answers again",
                          i ? "storage \"" : "", name, i ? "\"" : "");
        }

        return;
    }

    if (!part->told) {
        part->told = 1;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "health: %s%V%s does not answer: %V",
                      i ? "storage \"" : "", name, i ? "\"" : "",
                      &ngx_iv_code(part->code)->word);
    }
}


static void
ngx_http_image_vault_health_late(ngx_event_t *ev)
{
    ngx_uint_t                      i;
    ngx_http_image_vault_health_t  *h;

    h = ev->data;

    for (i = 0; i < h->nparts; i++) {
        if (h->parts[i].code == NGX_AGAIN) {
            ngx_http_image_vault_health_part(h, i, NGX_IV_TIMEOUT);
        }
    }
}


static void
ngx_http_image_vault_health_end(ngx_event_t *ev)
{
    ngx_queue_t                    *q;
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_health_t  *h;
    ngx_http_image_vault_waiter_t  *waiter;

    h = ev->data;

    if (h->timeout.timer_set) {
        ngx_del_timer(&h->timeout);
    }

    ngx_destroy_pool(h->pool);
    h->pool = NULL;

    h->known = 1;
    h->ended = ngx_current_msec;

    while (!ngx_queue_empty(&h->waiting)) {
        q = ngx_queue_head(&h->waiting);
        waiter = ngx_queue_data(q, ngx_http_image_vault_waiter_t, queue);

        ngx_queue_remove(q);
        waiter->queued = 0;

        r = waiter->request;
        c = r->connection;

        ngx_http_set_log_request(c->log, r);

        ngx_http_finalize_request(r, ngx_http_image_vault_health_answer(r, h));

        ngx_http_run_posted_requests(c);
    }
}


static ngx_int_t
ngx_http_image_vault_health_answer(ngx_http_request_t *r,
    ngx_http_image_vault_health_t *h)
{
    ngx_str_t      json;
    ngx_uint_t     i, ready;
    ngx_iv_json_t  j;

    ready = 1;

    for (i = 0; i < h->nparts; i++) {
        if (h->parts[i].code != NGX_OK) {
            ready = 0;
        }
    }

    ngx_iv_json_init(&j, r->pool, 256);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", ready);
    ngx_iv_json_bool(&j, "ready", ready);

    ngx_iv_json_object(&j, "database");
    ngx_http_image_vault_health_json(&j, &h->parts[0],
                               ngx_iv_metadata_breaker(h->worker->metadata));
    ngx_iv_json_object_end(&j);

    ngx_iv_json_array(&j, "storages");

    for (i = 1; i < h->nparts; i++) {
        ngx_iv_json_object(&j, NULL);
        ngx_iv_json_str(&j, "name", &h->worker->storages[i - 1]->conf->name);
        ngx_http_image_vault_health_json(&j, &h->parts[i],
                                         &h->worker->storages[i - 1]->breaker);
        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_array_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_image_vault_send_json(r, ready
                                             ? NGX_HTTP_OK
                                             : NGX_HTTP_SERVICE_UNAVAILABLE,
                                          &json);
}


static void
ngx_http_image_vault_health_json(ngx_iv_json_t *j,
    const ngx_http_image_vault_part_t *part, ngx_iv_breaker_t *b)
{
    ngx_str_t    word;
    const char  *state;

    ngx_iv_json_bool(j, "ok", part->code == NGX_OK);
    ngx_iv_json_int(j, "milliseconds", (int64_t) part->time);

    if (part->code != NGX_OK) {
        ngx_iv_json_str(j, "code", &ngx_iv_code(part->code)->word);
    }

    state = ngx_iv_breaker_word(ngx_iv_breaker_state(b));

    if (state) {
        word.data = (u_char *) state;
        word.len = ngx_strlen(state);

        ngx_iv_json_str(j, "breaker", &word);
    }
}
