/*
 * The queue of the audit trail: batches, patience, bounds, the exit.
 *
 * sources: src/metadata/ngx_iv_audit.c src/base/ngx_iv_str.c
 *
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_lists.h"

#include <stdlib.h>


ngx_queue_t                ngx_posted_events;
ngx_rbtree_t               ngx_event_timer_rbtree;

static ngx_event_t        *timer;
static ngx_iv_job_t       *posted;
static ngx_int_t           post_rc;
static ngx_uint_t          breaker;     /* 1: closed */
static ngx_uint_t          lost;
static ngx_uint_t          written;     /* at the exit */
static ngx_int_t           run_code;
static ngx_log_t           log;
static ngx_iv_metadata_t   md;


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timer = ngx_rbtree_data(node, ngx_event_t, timer);
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timer = NULL;
}


ngx_iv_job_t *
ngx_iv_job_create(size_t size, ngx_log_t *to)
{
    ngx_pool_t    *pool;
    ngx_iv_job_t  *job;

    pool = ngx_create_pool(4096, to);
    if (pool == NULL) {
        return NULL;
    }

    job = ngx_pcalloc(pool, sizeof(ngx_iv_job_t));
    job->pool = pool;
    job->ctx = ngx_pcalloc(pool, size);

    return job;
}


ngx_int_t
ngx_iv_job_post(ngx_iv_job_t *job, ngx_iv_queue_t *queue)
{
    if (post_rc == NGX_OK) {
        OK(posted == NULL);
        posted = job;
    }

    return post_rc;
}


void
ngx_iv_job_release(ngx_iv_job_t *job)
{
    ngx_destroy_pool(job->pool);
}


void
ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n)
{
    EQ_INT(what, NGX_IV_COUNT_AUDIT_LOST);
    lost += n;
}


ngx_uint_t
ngx_iv_metadata_may_call(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call)
{
    return breaker;
}


void
ngx_iv_metadata_give_up(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call)
{
}


void
ngx_iv_metadata_run(void *ctx, ngx_log_t *to)
{
}


void
ngx_iv_metadata_learn(ngx_iv_metadata_t *m, ngx_iv_mongo_call_t *call,
    ngx_log_t *to)
{
}


void
ngx_iv_metadata_log_failure(ngx_iv_mongo_call_t *call, ngx_log_t *to)
{
}


void
ngx_iv_mongo_run(ngx_iv_mongo_call_t *call)
{
    call->code = run_code;

    if (run_code == NGX_OK) {
        written += call->lists->nitems;
    }
}


static void
start(void)
{
    memset(&md, 0, sizeof(md));
    md.log = &log;
    timer = NULL;
    posted = NULL;
    post_rc = NGX_OK;
    breaker = 1;
    lost = 0;
    written = 0;
    run_code = NGX_OK;
}


static void
add(int n)
{
    char             id[16];
    ngx_iv_audit_t   entry;

    while (n--) {
        memset(&entry, 0, sizeof(entry));
        ngx_str_set(&entry.who, "alice");
        ngx_str_set(&entry.action, "delete");
        snprintf(id, sizeof(id), "r%d", n);
        entry.request_id.data = (u_char *) id;
        entry.request_id.len = strlen(id);
        ngx_iv_audit_write(&md, &entry);
        memset(id, 'x', sizeof(id));
    }
}


static ngx_iv_lists_t *
batch(void)
{
    return ((ngx_iv_metadata_work_t *) posted->ctx)->call.lists;
}


static void
finish(ngx_int_t code, ngx_uint_t refused)
{
    ngx_iv_job_t            *job;
    ngx_iv_metadata_work_t  *work;

    job = posted;
    posted = NULL;

    work = job->ctx;
    work->call.code = code;
    work->call.lists->lost = refused;

    job->done(job);
}


static void
fire(void)
{
    ngx_event_t  *ev;

    ev = timer;
    timer = NULL;
    ev->timer_set = 0;
    ev->handler(ev);
}


static void
test_batches(void)
{
    start();

    add(1);
    OK(posted != NULL);
    EQ_INT(batch()->nitems, 1);
    EQ_STR(batch()->items[0].entry.who, "alice");
    EQ_STR(batch()->items[0].entry.request_id, "r0");
    EQ_INT(batch()->items[0].at, 1700000000123LL);
    EQ_INT(md.active, 1);

    /* what comes meanwhile is the next batch */

    add(130);
    EQ_INT(batch()->nitems, 1);
    finish(NGX_OK, 0);
    EQ_INT(batch()->nitems, 100);
    EQ_STR(batch()->items[0].entry.request_id, "r129");
    finish(NGX_OK, 0);
    EQ_INT(batch()->nitems, 30);
    finish(NGX_OK, 0);
    OK(posted == NULL);
    EQ_INT(md.active, 0);
    EQ_INT(lost, 0);

    ngx_iv_audit_exit(&md);
    EQ_INT(lost, 0);
}


static void
test_again(void)
{
    u_char   id[NGX_IV_ID_LEN];

    start();

    add(2);
    finish(NGX_OK, 0);
    memcpy(id, batch()->items[0].id, NGX_IV_ID_LEN);

    finish(NGX_IV_METADATA_UNAVAILABLE, 0);
    OK(posted == NULL);
    OK(timer != NULL && timer->cancelable);
    add(1);
    OK(posted == NULL);

    breaker = 0;
    fire();
    OK(posted == NULL && timer != NULL);

    breaker = 1;
    post_rc = NGX_BUSY;
    fire();
    OK(posted == NULL && timer != NULL);

    /* the same entry under the same id, and the new one */

    post_rc = NGX_OK;
    fire();
    EQ_INT(batch()->nitems, 2);
    EQ_MEM(batch()->items[0].id, id, NGX_IV_ID_LEN);
    finish(NGX_OK, 0);
    EQ_INT(lost, 0);

    /* what the server will never take is not tried for ever */

    add(1);
    finish(NGX_IV_INTERNAL, 0);
    EQ_INT(lost, 1);
    add(1);
    finish(NGX_OK, 1);
    EQ_INT(lost, 2);
    OK(posted == NULL && timer == NULL);

    ngx_iv_audit_exit(&md);
    EQ_INT(lost, 2);
}


static void
test_bounds(void)
{
    u_char           text[5000];
    ngx_iv_audit_t   entry;

    start();

    memset(text, 'x', sizeof(text));
    text[1023] = 0xc3;
    text[1024] = 0xa4;

    memset(&entry, 0, sizeof(entry));
    entry.detail.data = text;
    entry.detail.len = sizeof(text);
    entry.who = entry.detail;
    ngx_iv_audit_write(&md, &entry);
    EQ_INT(batch()->items[0].entry.who.len, 256);
    EQ_INT(batch()->items[0].entry.detail.len, 1023);

    add(999);
    EQ_INT(lost, 0);
    add(5);
    EQ_INT(lost, 5);

    /* a job that hangs when the worker is told to go at once */

    ngx_iv_audit_exit(&md);
    EQ_INT(lost, 1005);
    EQ_INT(written, 0);
    ngx_iv_job_release(posted);
}


static void
test_exit(void)
{
    start();

    add(250);
    finish(NGX_IV_METADATA_UNAVAILABLE, 0);
    ngx_iv_audit_exit(&md);
    EQ_INT(written, 250);
    EQ_INT(lost, 0);
    OK(timer == NULL);

    start();
    breaker = 0;
    add(3);
    ngx_iv_audit_exit(&md);
    EQ_INT(lost, 3);

    start();
    breaker = 0;
    add(3);
    breaker = 1;
    run_code = NGX_IV_METADATA_UNAVAILABLE;
    ngx_iv_audit_exit(&md);
    EQ_INT(lost, 3);

    start();
    ngx_iv_audit_exit(&md);
}


static void
test_memory(void)
{
    int   i;

    for (i = 0; i < 3; i++) {
        start();
        breaker = 0;
        iv_fail_alloc_after = i;
        add(1);
        iv_fail_alloc_after = -1;

        EQ_INT(lost, i < 2);
        ngx_iv_audit_exit(&md);
        EQ_INT(lost, 1);
    }
}


int
main(void)
{
    iv_set_time(1700000000, 123);

    RUN(test_batches);
    RUN(test_again);
    RUN(test_bounds);
    RUN(test_exit);
    RUN(test_memory);

    return iv_test_done();
}
