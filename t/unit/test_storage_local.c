/*
 * The local storage in a folder of /tmp, with threads that run when told.
 *
 * sources: src/storage/ngx_iv_storage.c src/storage/ngx_iv_storage_local.c
 * sources: src/storage/ngx_iv_storage_local_work.c
 * sources: src/storage/ngx_iv_storage_local_list.c
 * sources: src/storage/ngx_iv_local_link.c src/base/ngx_iv_str.c
 * sources: src/formats/ngx_iv_hash.c src/formats/ngx_iv_name.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * sources: src/aws/ngx_iv_sigv4.c src/formats/ngx_iv_date.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c src/shm/ngx_iv_breaker.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "iv_events.h"
#include "storage/ngx_iv_storage.h"


static ngx_event_t    *timer;           /* the one set last, NULL: none */

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


static ngx_iv_job_t  *jobs[8];
static ngx_uint_t     njobs;
static int            refused;
static int            alive;            /* jobs not yet destroyed */

ngx_int_t
ngx_iv_storage_s3_init(ngx_cycle_t *cycle, ngx_iv_storage_t *st)
{
    return NGX_ERROR;
}


ngx_iv_breakers_t *
ngx_iv_zone_breakers(ngx_iv_zone_t *zone)
{
    static ngx_iv_breakers_t  breakers;

    return &breakers;
}


void
ngx_iv_zone_time(ngx_iv_zone_t *zone, ngx_iv_time_e what, ngx_msec_t ms)
{
}


ngx_atomic_t *
ngx_iv_zone_gauge(ngx_iv_zone_t *zone, ngx_iv_gauge_e what)
{
    static ngx_atomic_t  none;

    return &none;
}


void
ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n)
{
}

ngx_iv_job_t *
ngx_iv_job_create(size_t ctx_size, ngx_log_t *log)
{
    ngx_pool_t    *pool;
    ngx_iv_job_t  *job;

    pool = ngx_create_pool(1024, log);
    job = ngx_pcalloc(pool, sizeof(ngx_iv_job_t));
    job->ctx = ngx_pcalloc(pool, ctx_size);
    job->pool = pool;
    alive++;

    return job;
}

static void
job_free(ngx_iv_job_t *job)
{
    alive--;

    if (job->destroy) {
        job->destroy(job->ctx);
    }

    ngx_destroy_pool(job->pool);
}

ngx_int_t
ngx_iv_job_post(ngx_iv_job_t *job, ngx_iv_queue_t *queue)
{
    if (refused) {
        return NGX_BUSY;
    }

    OK(!job->busy && !job->released);
    job->busy = 1;
    jobs[njobs++] = job;

    return NGX_OK;
}

void
ngx_iv_job_release(ngx_iv_job_t *job)
{
    if (job->busy) {
        job->released = 1;
        return;
    }

    job_free(job);
}

/* one job, the oldest */

static int
thread(void)
{
    ngx_iv_job_t  *job;

    turn();

    if (njobs == 0) {
        return 0;
    }

    job = jobs[0];
    njobs--;
    memmove(jobs, jobs + 1, njobs * sizeof(jobs[0]));

    job->run(job->ctx, NULL);
    job->busy = 0;

    if (job->released) {
        job_free(job);

    } else {
        job->done(job);
    }

    turn();

    return 1;
}

static void
threads(void)
{
    while (thread()) { /* void */ }
}


static char                   root[64], path[256];
static u_char                 bytes[300000];
static off_t                  ready;
static int                    ended, held, progressed, whole;
static ngx_pool_t            *pool;
static ngx_log_t              log;
static ngx_cycle_t            cycle;
static ngx_iv_queue_t         queue;
static ngx_iv_storage_t      *st;
static ngx_iv_storage_env_t   env;
static ngx_iv_storage_conf_t  conf;
static ngx_iv_ref_t           keep;


static void
cb_end(ngx_iv_storage_op_t *op)
{
    ended++;
}

static void
cb_progress(ngx_iv_storage_op_t *op)
{
    progressed++;
}

static void
cb_destroy(ngx_iv_ref_t *ref)
{
    held = 0;
}

static ngx_int_t
cb_source(ngx_iv_storage_op_t *op, off_t offset, u_char **p, size_t *n)
{
    if (offset >= ready) {
        return whole ? NGX_DONE : NGX_AGAIN;
    }

    *p = bytes + offset;
    *n = (size_t) ngx_min(ready - offset, 100000);

    return NGX_OK;
}

static const char *
at(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", root, name);
    return path;
}

/* -1: not there */

static off_t
size(const char *name)
{
    struct stat  sb;

    return lstat(at(name), &sb) == 0 ? sb.st_size : -1;
}

static ngx_iv_storage_op_t *
op(const char *key)
{
    ngx_iv_storage_op_t  *o;

    o = ngx_iv_storage_op_create(st, pool, &log);
    o->key.data = (u_char *) key;
    o->key.len = strlen(key);
    o->handler = cb_end;
    ended = 0;
    progressed = 0;

    return o;
}

static ngx_iv_storage_op_t *
put(const char *key, off_t n)
{
    ngx_iv_storage_op_t  *o;

    keep.count = 1;
    keep.destroy = cb_destroy;
    held = 1;

    o = op(key);
    o->size = n;
    o->source = cb_source;
    o->progress = cb_progress;
    o->keep = &keep;
    ngx_iv_storage_put(o);
    OK(ended == 0);

    return o;
}

static ngx_int_t
del(const char *key)
{
    ngx_iv_storage_op_t  *o;

    o = op(key);
    ngx_iv_storage_delete(o);
    OK(ended == 0);
    threads();
    EQ_INT(ended, 1);

    return o->code;
}

static ngx_int_t
head(const char *key, off_t *n)
{
    ngx_iv_storage_op_t  *o;

    o = op(key);
    ngx_iv_storage_head(o);
    threads();
    EQ_INT(ended, 1);
    *n = o->found_size;

    return o->code;
}


static void
test_put(void)
{
    FILE                 *f;
    off_t                 n;
    static u_char         back[300000];
    ngx_iv_storage_op_t  *o;

    /* whole at once: one job */

    ready = 5000;
    o = put("images/2026/a.png", 5000);
    OK(thread());
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_OK);
    EQ_INT(o->sent, 5000);
    EQ_INT(size("images/2026/a.png"), 5000);
    EQ_INT(size("images/2026/.a.png.tmp"), -1);
    EQ_INT(keep.count, 1);

    EQ_INT(head("images/2026/a.png", &n), NGX_OK);
    EQ_INT(n, 5000);
    EQ_INT(head("images/2026/b.png", &n), NGX_IV_NOT_FOUND);
    EQ_INT(head("images/2027/b.png", &n), NGX_IV_NOT_FOUND);
    EQ_INT(head("images/2026", &n), NGX_IV_NOT_FOUND);

    /* in pieces */

    ready = 150000;
    o = put("b.png", 300000);
    threads();
    EQ_INT(ended, 0);
    EQ_INT(o->sent, 150000);
    OK(o->touched);
    EQ_INT(progressed, 2);
    EQ_INT(size("b.png"), -1);
    EQ_INT(size(".b.png.tmp"), 150000);
    ready = 300000;
    ngx_iv_storage_wake(o);
    threads();
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_OK);
    EQ_INT(size(".b.png.tmp"), -1);

    f = fopen(at("b.png"), "r");
    OK(f != NULL && fread(back, 1, 300000, f) == 300000);
    fclose(f);
    OK(memcmp(back, bytes, 300000) == 0);
    EQ_INT(alive, 0);
}


static void
test_unknown(void)
{
    ngx_iv_storage_op_t  *o;

    OK(!ngx_iv_storage_needs_parts(st));

    ready = 120000;
    o = put("u.png", -1);
    threads();
    EQ_INT(ended, 0);
    EQ_INT(o->sent, 120000);
    EQ_INT(size("u.png"), -1);
    EQ_INT(size(".u.png.tmp"), 120000);

    whole = 1;
    ngx_iv_storage_wake(o);
    threads();
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_OK);
    EQ_INT(o->sent, 120000);
    EQ_INT(size("u.png"), 120000);
    EQ_INT(size(".u.png.tmp"), -1);
    EQ_INT(keep.count, 1);

    /* the end of one whose length is known comes too early */

    ready = 100;
    o = put("v.png", 200);
    threads();
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_IV_INTERNAL);
    EQ_INT(size("v.png"), -1);
    EQ_INT(size(".v.png.tmp"), -1);

    whole = 0;
    EQ_INT(del("u.png"), NGX_OK);
    EQ_INT(alive, 0);
}


static void
test_taken(void)
{
    ngx_iv_storage_op_t  *o;

    ready = 10;
    o = put("images/2026/a.png", 10);
    threads();
    EQ_INT(o->code, NGX_IV_INTERNAL);
    EQ_INT(size("images/2026/a.png"), 5000);
    EQ_INT(size("images/2026/.a.png.tmp"), -1);
    EQ_INT(alive, 0);
}


static void
test_cancel(void)
{
    ngx_iv_storage_op_t  *o;

    /* before anything, while waiting, while a thread writes, in the commit */

    ready = 10;
    o = put("c.png", 20);
    ngx_iv_storage_cancel(o);
    threads();
    EQ_INT(size(".c.png.tmp"), -1);

    o = put("c.png", 20);
    threads();
    EQ_INT(size(".c.png.tmp"), 10);
    ngx_iv_storage_cancel(o);
    ngx_iv_storage_cancel(o);
    threads();
    EQ_INT(size(".c.png.tmp"), -1);

    o = put("c.png", 20);
    turn();
    EQ_INT(keep.count, 2);
    ngx_iv_storage_cancel(o);
    EQ_INT(keep.count, 2);
    threads();
    EQ_INT(keep.count, 1);
    EQ_INT(size(".c.png.tmp"), -1);

    ready = 20;
    o = put("c.png", 20);
    turn();
    ngx_iv_storage_cancel(o);
    threads();
    EQ_INT(size("c.png"), -1);
    EQ_INT(size(".c.png.tmp"), -1);
    EQ_INT(ended, 0);

    /* with its pool */

    {
        ngx_pool_t  *save;

        save = pool;
        pool = ngx_create_pool(1024, &log);
        o = put("c.png", 20);
        turn();
        ngx_destroy_pool(pool);
        pool = save;
        threads();
        EQ_INT(size("c.png"), -1);
        EQ_INT(ended, 0);
    }

    EQ_INT(alive, 0);
    EQ_INT(st->active, 0);
}


/* a thread that does not come back is not waited for, but cleaned up after */

static void
test_late(void)
{
    ngx_iv_storage_op_t  *o;

    ready = 20;
    o = put("late.png", 20);
    turn();
    EQ_INT(ended, 0);
    OK(timer != NULL);

    timer->timer_set = 0;
    timer->timedout = 1;
    timer->handler(timer);
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_IV_STORAGE_UNAVAILABLE);
    EQ_INT(keep.count, 2);

    threads();
    EQ_INT(ended, 1);
    EQ_INT(keep.count, 1);
    EQ_INT(size("late.png"), -1);
    EQ_INT(size(".late.png.tmp"), -1);
    EQ_INT(alive, 0);
}


static void
test_delete(void)
{
    FILE  *f;

    f = fopen(at("images/2026/.a.png.tmp"), "w");
    fclose(f);

    EQ_INT(del("images/2026/a.png"), NGX_OK);
    EQ_INT(size("images/2026/a.png"), -1);
    EQ_INT(size("images/2026/.a.png.tmp"), -1);
    EQ_INT(del("images/2026/a.png"), NGX_OK);
    EQ_INT(del("nowhere/at/all.png"), NGX_OK);
    EQ_INT(del("b.png"), NGX_OK);
    OK(del("images") != NGX_OK);
    EQ_INT(del("../x"), NGX_IV_INTERNAL);
}


static void
test_links(void)
{
    off_t                 n;
    FILE                 *f;
    char                  outside[80];
    ngx_iv_storage_op_t  *o;

    snprintf(outside, sizeof(outside), "%s.out", root);
    mkdir(outside, 0700);
    OK(symlink(outside, at("link")) == 0);
    strcat(outside, "/x.png");
    f = fopen(outside, "w");
    fclose(f);

    EQ_INT(head("link/x.png", &n), NGX_IV_STORAGE_DENIED);
    EQ_INT(del("link/x.png"), NGX_IV_STORAGE_DENIED);

    ready = 10;
    o = put("link/y.png", 10);
    threads();
    EQ_INT(o->code, NGX_IV_STORAGE_DENIED);

    OK(access(outside, F_OK) == 0);

    /* a link as the file itself: not followed, and may be removed */

    OK(symlink(outside, at("z.png")) == 0);
    EQ_INT(head("z.png", &n), NGX_IV_NOT_FOUND);
    o = put("z.png", 10);
    threads();
    EQ_INT(o->code, NGX_IV_INTERNAL);
    EQ_INT(del("z.png"), NGX_OK);
    OK(access(outside, F_OK) == 0);

    OK(symlink(outside, at(".w.png.tmp")) == 0);
    o = put("w.png", 10);
    threads();
    OK(o->code != NGX_OK);
    EQ_INT(del("w.png"), NGX_OK);
    EQ_INT(alive, 0);
}


static void
test_failures(void)
{
    ngx_iv_storage_op_t  *o;

    refused = 1;
    ready = 10;
    o = put("q.png", 10);
    turn();
    EQ_INT(ended, 1);
    EQ_INT(o->code, NGX_IV_OVERLOADED);
    EQ_INT(keep.count, 1);
    refused = 0;

    /* an unmounted root is no empty one */

    ngx_str_set(&conf.root, "/tmp/iv-no-such-root");
    EQ_INT(del("a.png"), NGX_IV_STORAGE_DENIED);
    o = put("q.png", 10);
    threads();
    EQ_INT(o->code, NGX_IV_STORAGE_DENIED);

    ngx_str_set(&conf.root, "/proc");
    o = put("q.png", 10);
    threads();
    OK(o->code != NGX_OK);
    EQ_INT(alive, 0);
}


int
main(void)
{
    size_t  i;
    char    cmd[256];

    ngx_queue_init(&ngx_posted_events);
    ngx_cycle = &cycle;
    cycle.log = &log;

    snprintf(root, sizeof(root), "/tmp/iv-local-XXXXXX");
    OK(mkdtemp(root) != NULL);

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (u_char) (i * 31 + i / 257);
    }

    pool = ngx_create_pool(4096, &log);
    cycle.pool = pool;

    env.files = &queue;
    conf.type = NGX_IV_STORAGE_LOCAL;
    conf.root.data = (u_char *) root;
    conf.root.len = strlen(root);
    st = ngx_iv_storage_create(&cycle, &conf, &env);
    OK(st != NULL);

    RUN(test_put);
    RUN(test_unknown);
    RUN(test_taken);
    RUN(test_cancel);
    RUN(test_late);
    RUN(test_delete);
    RUN(test_links);
    RUN(test_failures);

    ngx_destroy_pool(pool);

    snprintf(cmd, sizeof(cmd), "rm -rf %s %s.out", root, root);
    OK(system(cmd) == 0);

    return iv_test_done();
}
