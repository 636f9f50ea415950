/*
 * The queue of the audit trail.  Entries wait in memory, a batch of them is
 * written at a time; a batch that could not be written is tried again, later
 * and later.  A worker that exits in order writes what is left.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_lists.h"


#define NGX_IV_AUDIT_QUEUE  1000        /* entries of a worker */
#define NGX_IV_AUDIT_BATCH  100
#define NGX_IV_AUDIT_STR    256         /* bytes kept of a field … */
#define NGX_IV_AUDIT_TEXT   1024        /* … of the detail */
#define NGX_IV_AUDIT_LOGGED 128         /* … in the log */


struct ngx_iv_audit_queue_s {
    ngx_queue_t             items;
    ngx_uint_t              n;
    ngx_uint_t              busy;       /* at the front, being written */
    ngx_event_t             again;
    ngx_msec_t              pause;
};


static size_t ngx_iv_audit_plain(u_char *dst, const ngx_str_t *s);
static ngx_iv_audit_queue_t *ngx_iv_audit_queue(ngx_iv_metadata_t *md);
static ngx_iv_audit_item_t *ngx_iv_audit_item(ngx_iv_metadata_t *md,
    const ngx_iv_audit_t *entry);
static size_t ngx_iv_audit_cut(const ngx_str_t *s, size_t max);
static void ngx_iv_audit_lost(ngx_iv_metadata_t *md,
    const ngx_iv_audit_t *entry, const char *why);
static void ngx_iv_audit_again(ngx_event_t *ev);
static void ngx_iv_audit_flush(ngx_iv_metadata_t *md);
static void ngx_iv_audit_wait(ngx_iv_metadata_t *md);
static ngx_int_t ngx_iv_audit_batch(ngx_iv_metadata_t *md, ngx_pool_t *pool,
    ngx_iv_mongo_call_t *call);
static ngx_int_t ngx_iv_audit_copy(ngx_pool_t *pool,
    ngx_iv_audit_item_t *dst, ngx_iv_audit_item_t *src);
static void ngx_iv_audit_done(ngx_iv_job_t *job);
static void ngx_iv_audit_drop(ngx_iv_metadata_t *md, ngx_uint_t n,
    const char *why);
static ngx_str_t *ngx_iv_audit_field(const ngx_iv_audit_t *entry,
    ngx_uint_t i);


/* the strings of an entry, the detail last */

static const size_t  ngx_iv_audit_fields[] = {
    offsetof(ngx_iv_audit_t, who),
    offsetof(ngx_iv_audit_t, action),
    offsetof(ngx_iv_audit_t, owner),
    offsetof(ngx_iv_audit_t, from),
    offsetof(ngx_iv_audit_t, outcome),
    offsetof(ngx_iv_audit_t, request_id),
    offsetof(ngx_iv_audit_t, detail)
};

#define NGX_IV_AUDIT_FIELDS                                                   \
    (sizeof(ngx_iv_audit_fields) / sizeof(ngx_iv_audit_fields[0]))


void
ngx_iv_audit_write(ngx_iv_metadata_t *md, const ngx_iv_audit_t *entry)
{
    ngx_iv_audit_item_t   *item;
    ngx_iv_audit_queue_t  *q;

    q = ngx_iv_audit_queue(md);

    if (q == NULL) {
        ngx_iv_audit_lost(md, entry, "no memory");
        return;
    }

    if (q->n >= NGX_IV_AUDIT_QUEUE) {
        ngx_iv_audit_lost(md, entry, "too many wait");
        return;
    }

    item = ngx_iv_audit_item(md, entry);

    if (item == NULL) {
        ngx_iv_audit_lost(md, entry, "no memory");
        return;
    }

    ngx_queue_insert_tail(&q->items, &item->queue);
    q->n++;

    if (q->busy == 0 && !q->again.timer_set) {
        ngx_iv_audit_flush(md);
    }
}


/* some of it is as a client sent it */

void
ngx_iv_audit_log(ngx_log_t *log, const ngx_iv_audit_t *entry)
{
    u_char      hex[2 * NGX_IV_ID_LEN];
    u_char      text[NGX_IV_AUDIT_FIELDS][NGX_IV_AUDIT_LOGGED];
    ngx_str_t   image, f[NGX_IV_AUDIT_FIELDS];
    ngx_uint_t  i;

    ngx_str_set(&image, "-");

    if (entry->has_image) {
        (void) ngx_iv_hex(hex, entry->image, NGX_IV_ID_LEN);
        image.len = sizeof(hex);
        image.data = hex;
    }

    for (i = 0; i < NGX_IV_AUDIT_FIELDS; i++) {
        f[i].data = text[i];
        f[i].len = ngx_iv_audit_plain(text[i], ngx_iv_audit_field(entry, i));
    }

    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "audit: %V by%s \"%V\", image %V of \"%V\", from \"%V\": "
                  "%V, request \"%V\", detail \"%V\"", &f[1],
                  entry->admin ? " admin" : "", &f[0], &image, &f[2], &f[3],
                  &f[4], &f[5], &f[6]);
}


static size_t
ngx_iv_audit_plain(u_char *dst, const ngx_str_t *s)
{
    u_char   c;
    size_t   i, n;

    n = ngx_min(s->len, NGX_IV_AUDIT_LOGGED);

    for (i = 0; i < n; i++) {
        c = s->data[i];
        dst[i] = (c >= 0x20 && c < 0x7f && c != '"') ? c : '?';
    }

    return n;
}


static ngx_iv_audit_queue_t *
ngx_iv_audit_queue(ngx_iv_metadata_t *md)
{
    ngx_iv_audit_queue_t  *q;

    if (md->audit) {
        return md->audit;
    }

    q = ngx_calloc(sizeof(ngx_iv_audit_queue_t), md->log);
    if (q == NULL) {
        return NULL;
    }

    ngx_queue_init(&q->items);

    q->pause = NGX_IV_METADATA_RETRY_MIN;
    q->again.handler = ngx_iv_audit_again;
    q->again.data = md;
    q->again.log = md->log;
    q->again.cancelable = 1;

    md->audit = q;

    return q;
}


/* in one piece: the strings follow it */

static ngx_iv_audit_item_t *
ngx_iv_audit_item(ngx_iv_metadata_t *md, const ngx_iv_audit_t *entry)
{
    size_t                len[NGX_IV_AUDIT_FIELDS], size;
    u_char               *p;
    ngx_str_t            *s;
    ngx_uint_t            i;
    ngx_iv_audit_item_t  *item;

    size = sizeof(ngx_iv_audit_item_t);

    for (i = 0; i < NGX_IV_AUDIT_FIELDS; i++) {
        len[i] = ngx_iv_audit_cut(ngx_iv_audit_field(entry, i),
                                  i == NGX_IV_AUDIT_FIELDS - 1
                                  ? NGX_IV_AUDIT_TEXT : NGX_IV_AUDIT_STR);
        size += len[i];
    }

    item = ngx_alloc(size, md->log);
    if (item == NULL) {
        return NULL;
    }

    if (ngx_iv_object_id(item->id, ngx_time()) != NGX_OK) {
        ngx_free(item);
        return NULL;
    }

    item->at = ngx_iv_now();
    item->entry = *entry;

    p = (u_char *) item + sizeof(ngx_iv_audit_item_t);

    for (i = 0; i < NGX_IV_AUDIT_FIELDS; i++) {
        s = ngx_iv_audit_field(&item->entry, i);

        if (len[i]) {
            ngx_memcpy(p, s->data, len[i]);
        }

        s->data = p;
        s->len = len[i];
        p += len[i];
    }

    return item;
}


/* at a character */

static size_t
ngx_iv_audit_cut(const ngx_str_t *s, size_t max)
{
    if (s->len <= max) {
        return s->len;
    }

    while (max && (s->data[max] & 0xc0) == 0x80) {
        max--;
    }

    return max;
}


static ngx_str_t *
ngx_iv_audit_field(const ngx_iv_audit_t *entry, ngx_uint_t i)
{
    return (ngx_str_t *) ((u_char *) entry + ngx_iv_audit_fields[i]);
}


/* what the trail cannot have is in the log at least */

static void
ngx_iv_audit_lost(ngx_iv_metadata_t *md, const ngx_iv_audit_t *entry,
    const char *why)
{
    ngx_iv_zone_add(md->zone, NGX_IV_COUNT_AUDIT_LOST, 1);

    ngx_log_error(NGX_LOG_WARN, md->log, 0,
                  "an entry of the audit trail is lost: %s", why);

    ngx_iv_audit_log(md->log, entry);
}


static void
ngx_iv_audit_again(ngx_event_t *ev)
{
    ngx_iv_audit_flush(ev->data);
}


static void
ngx_iv_audit_flush(ngx_iv_metadata_t *md)
{
    ngx_iv_job_t            *job;
    ngx_iv_audit_queue_t    *q;
    ngx_iv_metadata_work_t  *work;

    q = md->audit;

    if (q->n == 0 || q->busy) {
        return;
    }

    job = ngx_iv_job_create(sizeof(ngx_iv_metadata_work_t), md->log);
    if (job == NULL) {
        ngx_iv_audit_wait(md);
        return;
    }

    job->run = ngx_iv_metadata_run;
    job->done = ngx_iv_audit_done;

    work = job->ctx;
    work->metadata = md;

    if (ngx_iv_audit_batch(md, job->pool, &work->call) != NGX_OK
        || !ngx_iv_metadata_may_call(md, &work->call)
        || ngx_iv_job_post(job, md->write) != NGX_OK)
    {
        ngx_iv_metadata_give_up(md, &work->call);
        ngx_iv_job_release(job);
        ngx_iv_audit_wait(md);
        return;
    }

    q->busy = work->call.lists->nitems;
    md->active++;
}


static void
ngx_iv_audit_wait(ngx_iv_metadata_t *md)
{
    ngx_iv_audit_queue_t  *q;

    q = md->audit;

    ngx_add_timer(&q->again, q->pause);
    q->pause = ngx_min(q->pause * 2, NGX_IV_METADATA_RETRY_MAX);
}


/* a copy of the first ones: the queue's stay until it is known that they are
 * written */

static ngx_int_t
ngx_iv_audit_batch(ngx_iv_metadata_t *md, ngx_pool_t *pool,
    ngx_iv_mongo_call_t *call)
{
    ngx_uint_t             n;
    ngx_queue_t           *link;
    ngx_iv_lists_t        *lists;
    ngx_iv_audit_queue_t  *q;

    q = md->audit;

    call->mongo = md->mongo;
    call->pool = pool;
    call->kind = NGX_IV_MONGO_AUDIT;

    n = ngx_min(q->n, NGX_IV_AUDIT_BATCH);

    lists = ngx_pcalloc(pool, sizeof(ngx_iv_lists_t));
    if (lists == NULL) {
        return NGX_ERROR;
    }

    lists->items = ngx_palloc(pool, n * sizeof(ngx_iv_audit_item_t));
    if (lists->items == NULL) {
        return NGX_ERROR;
    }

    for (link = ngx_queue_head(&q->items);
         lists->nitems < n;
         link = ngx_queue_next(link))
    {
        if (ngx_iv_audit_copy(pool, &lists->items[lists->nitems++],
                              ngx_queue_data(link, ngx_iv_audit_item_t, queue))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    call->lists = lists;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_audit_copy(ngx_pool_t *pool, ngx_iv_audit_item_t *dst,
    ngx_iv_audit_item_t *src)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    *dst = *src;

    for (i = 0; i < NGX_IV_AUDIT_FIELDS; i++) {
        s = ngx_iv_audit_field(&dst->entry, i);

        if (s->len) {
            s->data = ngx_pstrdup(pool, s);

            if (s->data == NULL) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static void
ngx_iv_audit_done(ngx_iv_job_t *job)
{
    ngx_uint_t               n, lost;
    ngx_int_t                code;
    ngx_iv_metadata_t       *md;
    ngx_iv_audit_queue_t    *q;
    ngx_iv_metadata_work_t  *work;

    work = job->ctx;
    md = work->metadata;
    q = md->audit;

    md->active--;

    ngx_iv_metadata_learn(md, &work->call, md->log);

    n = q->busy;
    code = work->call.code;
    lost = work->call.lists->lost;

    q->busy = 0;
    ngx_iv_job_release(job);

    if (code != NGX_OK && code != NGX_IV_INTERNAL) {

        /* a worker that exits does not wait for timers of this kind:
         * ngx_iv_audit_exit() tries once more */

        ngx_iv_audit_wait(md);
        return;
    }

    q->pause = NGX_IV_METADATA_RETRY_MIN;

    /* which of them the server refused is not worth knowing: its reason is one
     * for all */

    ngx_iv_audit_drop(md, n, (code != NGX_OK || lost)
                             ? "the server refused its batch" : NULL);
    ngx_iv_audit_flush(md);
}


/* why: they are lost */

static void
ngx_iv_audit_drop(ngx_iv_metadata_t *md, ngx_uint_t n, const char *why)
{
    ngx_queue_t           *link;
    ngx_iv_audit_item_t   *item;
    ngx_iv_audit_queue_t  *q;

    q = md->audit;

    while (n--) {
        link = ngx_queue_head(&q->items);
        item = ngx_queue_data(link, ngx_iv_audit_item_t, queue);

        ngx_queue_remove(link);
        q->n--;

        if (why) {
            ngx_iv_audit_lost(md, &item->entry, why);
        }

        ngx_free(item);
    }
}


/* no job is under way, and the worker has nothing else to do: in place */

void
ngx_iv_audit_exit(ngx_iv_metadata_t *md)
{
    ngx_pool_t            *pool;
    ngx_iv_mongo_call_t    call;
    ngx_iv_audit_queue_t  *q;

    q = md->audit;

    if (q == NULL) {
        return;
    }

    if (q->again.timer_set) {
        ngx_del_timer(&q->again);
    }

    while (q->n && md->active == 0) {

        pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, md->log);
        if (pool == NULL) {
            break;
        }

        ngx_memzero(&call, sizeof(ngx_iv_mongo_call_t));

        if (ngx_iv_audit_batch(md, pool, &call) != NGX_OK
            || !ngx_iv_metadata_may_call(md, &call))
        {
            ngx_destroy_pool(pool);
            break;
        }

        ngx_iv_mongo_run(&call);
        ngx_iv_metadata_log_failure(&call, md->log);
        ngx_iv_metadata_give_up(md, &call);

        if (call.code != NGX_OK || call.lists->lost) {
            ngx_destroy_pool(pool);
            break;
        }

        ngx_iv_audit_drop(md, call.lists->nitems, NULL);
        ngx_destroy_pool(pool);
    }

    ngx_iv_audit_drop(md, q->n, "the worker exits");

    ngx_free(q);
    md->audit = NULL;
}
