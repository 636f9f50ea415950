#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include <dlfcn.h>
#include <pthread.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_stream.h"
#include "metadata/ngx_iv_watch.h"


/* how often a worker looks whether it is its turn */
#define NGX_IV_WATCH_LOOK       500

#define NGX_IV_WATCH_PAUSE_MIN  100
#define NGX_IV_WATCH_PAUSE_MAX  5000
/* somebody has to grant a privilege first */
#define NGX_IV_WATCH_DENIED     60000
/* how often it may break off before it has gone a step behind a token: the way
 * may be too long for the server */
#define NGX_IV_WATCH_VAIN       4


struct ngx_iv_watch_s {
    ngx_iv_zone_watch_t  *slot;
    ngx_iv_cache_t       *cache;
    ngx_iv_mongo_t       *mongo;
    ngx_log_t            *log;
    ngx_pid_t             pid;
    ngx_uint_t            mark;
    ngx_uint_t            late;     /* ms without a sign of life */
    ngx_msec_t            patience; /* ms, with the thread at the end */
    ngx_event_t           timer;
    unsigned              running:1;

    pthread_t             thread;
    pthread_mutex_t       lock;
    pthread_cond_t        cond;
    ngx_uint_t            stop;     /* under the lock */
    ngx_uint_t            done;

    /* the thread's own */
    ngx_iv_stream_t      *stream;
    ngx_uint_t            up;
    ngx_iv_stream_rc_e    said;     /* what the log knows */
    ngx_msec_t            pause;
    ngx_uint_t            vain;
    size_t                len;      /* the token it was opened with */
    u_char                token[NGX_IV_ZONE_TOKEN];
};


static ngx_int_t ngx_iv_watch_init(ngx_iv_watch_t *w);
static void ngx_iv_watch_look(ngx_event_t *ev);
static void ngx_iv_watch_begin(ngx_iv_watch_t *w);
static void ngx_iv_watch_end(ngx_iv_watch_t *w);
static ngx_uint_t ngx_iv_watch_join(ngx_iv_watch_t *w, ngx_msec_t patience);
static void ngx_iv_watch_pin(void);
static void *ngx_iv_watch_run(void *data);
static ngx_iv_stream_rc_e ngx_iv_watch_follow(ngx_iv_watch_t *w);
static void ngx_iv_watch_read(ngx_iv_watch_t *w, ngx_uint_t fresh);
static void ngx_iv_watch_drop(void *data, const u_char id[NGX_IV_ID_LEN]);
static void ngx_iv_watch_failed(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc);
static void ngx_iv_watch_say(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc);
static ngx_uint_t ngx_iv_watch_wait(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc);
static ngx_uint_t ngx_iv_watch_goes_on(ngx_iv_watch_t *w);
static ngx_uint_t ngx_iv_watch_now(void);
static void ngx_iv_watch_time(struct timespec *ts, ngx_msec_t ms);


ngx_iv_watch_t *
ngx_iv_watch_start(ngx_cycle_t *cycle, ngx_iv_metadata_t *md,
    ngx_iv_zone_t *zone, ngx_msec_t timeout)
{
    ngx_iv_watch_t  *w;

    /* not of the cycle's pool: the thread may outlive it */

    w = ngx_calloc(sizeof(ngx_iv_watch_t), cycle->log);
    if (w == NULL) {
        return NULL;
    }

    w->slot = ngx_iv_zone_watch(zone);
    w->cache = ngx_iv_zone_cache(zone);
    w->mongo = md->mongo;
    w->log = cycle->log;
    w->pid = ngx_pid;
    w->mark = ngx_iv_zone_mark(zone);
    w->late = (ngx_uint_t) md->late;
    w->patience = ngx_min(timeout, 5000) + 2 * NGX_IV_STREAM_AWAIT;

    if (ngx_iv_watch_init(w) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "no means to follow the changes of other nodes");
        ngx_free(w);
        return NULL;
    }

    w->timer.handler = ngx_iv_watch_look;
    w->timer.data = w;
    w->timer.log = cycle->log;
    w->timer.cancelable = 1;

    ngx_add_timer(&w->timer, 1);

    return w;
}


static ngx_int_t
ngx_iv_watch_init(ngx_iv_watch_t *w)
{
    pthread_condattr_t  attr;

    if (pthread_mutex_init(&w->lock, NULL) != 0) {
        return NGX_ERROR;
    }

    if (pthread_condattr_init(&attr) != 0) {
        (void) pthread_mutex_destroy(&w->lock);
        return NGX_ERROR;
    }

    if (pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0
        || pthread_cond_init(&w->cond, &attr) != 0)
    {
        (void) pthread_condattr_destroy(&attr);
        (void) pthread_mutex_destroy(&w->lock);
        return NGX_ERROR;
    }

    (void) pthread_condattr_destroy(&attr);

    return NGX_OK;
}


static void
ngx_iv_watch_look(ngx_event_t *ev)
{
    ngx_iv_watch_t  *w = ev->data;

    if (ngx_exiting || ngx_quit || ngx_terminate) {

        /* requests may keep this worker for long */

        ngx_iv_watch_end(w);

        if (!w->running || ngx_iv_watch_join(w, 0)) {
            return;
        }

    } else if (w->running) {
        (void) ngx_iv_watch_join(w, 0);

    } else if (ngx_iv_zone_watch_take(w->slot, w->pid, ngx_iv_watch_now(),
                                      w->late, w->mark))
    {
        ngx_iv_watch_begin(w);
    }

    ngx_add_timer(ev, NGX_IV_WATCH_LOOK);
}


static void
ngx_iv_watch_begin(ngx_iv_watch_t *w)
{
    int       rc;
    sigset_t  all, old;

    w->stop = 0;
    w->done = 0;
    w->up = 0;
    w->said = NGX_IV_STREAM_OK;
    w->pause = NGX_IV_WATCH_PAUSE_MIN;
    w->vain = 0;

    w->stream = ngx_iv_stream_create(w->mongo, w->log);
    if (w->stream == NULL) {
        ngx_iv_zone_watch_leave(w->slot, w->pid);
        return;
    }

    /* signals stay with the event loop */

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);

    rc = pthread_create(&w->thread, NULL, ngx_iv_watch_run, w);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (rc != 0) {
        ngx_log_error(NGX_LOG_WARN, w->log, rc,
                      "no thread to follow the changes of other nodes");

        ngx_iv_stream_destroy(w->stream);
        ngx_iv_zone_watch_leave(w->slot, w->pid);
        return;
    }

    w->running = 1;
}


/*
 * Another worker may begin at once, behind the token: the thread goes on until
 * the server's answer is there, which does no harm.
 */

static void
ngx_iv_watch_end(ngx_iv_watch_t *w)
{
    ngx_iv_zone_watch_leave(w->slot, w->pid);

    (void) pthread_mutex_lock(&w->lock);
    w->stop = 1;
    (void) pthread_cond_broadcast(&w->cond);
    (void) pthread_mutex_unlock(&w->lock);
}


/* 1: the thread has ended */

static ngx_uint_t
ngx_iv_watch_join(ngx_iv_watch_t *w, ngx_msec_t patience)
{
    ngx_uint_t       done;
    struct timespec  until;

    ngx_iv_watch_time(&until, patience);

    (void) pthread_mutex_lock(&w->lock);

    while (!w->done && patience) {
        if (pthread_cond_timedwait(&w->cond, &w->lock, &until) != 0) {
            break;
        }
    }

    done = w->done;

    (void) pthread_mutex_unlock(&w->lock);

    if (done) {
        (void) pthread_join(w->thread, NULL);
        w->running = 0;
    }

    return done;
}


void
ngx_iv_watch_stop(ngx_iv_watch_t *w)
{
    if (w->timer.timer_set) {
        ngx_del_timer(&w->timer);
    }

    ngx_iv_watch_end(w);

    if (w->running && !ngx_iv_watch_join(w, w->patience)) {
        ngx_iv_watch_pin();
        return;
    }

    (void) pthread_cond_destroy(&w->cond);
    (void) pthread_mutex_destroy(&w->lock);
    ngx_free(w);
}


/*
 * The thread is in a call that does not come back, such as a question to the
 * DNS: nginx must not unload its code next.  It ends with the process.
 */

static void
ngx_iv_watch_pin(void)
{
    Dl_info  info;

    if (dladdr((void *) (uintptr_t) ngx_iv_watch_run, &info)) {
        (void) dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD|RTLD_NODELETE);
    }
}


/* from here on: the thread */

static void *
ngx_iv_watch_run(void *data)
{
    ngx_iv_watch_t  *w = data;

    ngx_iv_stream_rc_e  rc;

    for ( ;; ) {
        rc = ngx_iv_watch_follow(w);

        if (!ngx_iv_watch_goes_on(w)) {
            break;
        }

        ngx_iv_watch_failed(w, rc);

        if (rc == NGX_IV_STREAM_NONE || !ngx_iv_watch_wait(w, rc)) {
            break;
        }
    }

    ngx_iv_zone_watch_set_up(w->slot, w->pid, 0);
    ngx_iv_stream_destroy(w->stream);
    ngx_iv_zone_watch_leave(w->slot, w->pid);

    (void) pthread_mutex_lock(&w->lock);
    w->done = 1;
    (void) pthread_cond_broadcast(&w->cond);
    (void) pthread_mutex_unlock(&w->lock);

    return NULL;
}


/* until it fails, or is told to stop */

static ngx_iv_stream_rc_e
ngx_iv_watch_follow(ngx_iv_watch_t *w)
{
    ngx_uint_t          fresh;
    ngx_iv_stream_rc_e  rc;

    w->len = ngx_iv_zone_watch_load(w->slot, ngx_iv_stream_of(w->stream),
                                    w->token);
    fresh = (w->len == 0);

    rc = ngx_iv_stream_open(w->stream, w->token, w->len);

    if (rc == NGX_IV_STREAM_OK && fresh) {
        ngx_iv_cache_drop_all(w->cache);
    }

    while (rc == NGX_IV_STREAM_OK && ngx_iv_watch_goes_on(w)) {
        rc = ngx_iv_stream_read(w->stream, ngx_iv_watch_drop, w);

        if (rc == NGX_IV_STREAM_OK) {
            ngx_iv_watch_read(w, fresh);
            fresh = 0;

        } else if (rc == NGX_IV_STREAM_DOWN && w->len && !w->up
                   && ++w->vain == NGX_IV_WATCH_VAIN)
        {
            rc = NGX_IV_STREAM_LOST;
        }
    }

    ngx_iv_stream_close(w->stream);

    return rc;
}


/*
 * The place where a new stream begins may lie ahead of what a majority has, so
 * that look-ups after its opening were still told of an older state.  Once it
 * has moved they are not.
 */

static void
ngx_iv_watch_read(ngx_iv_watch_t *w, ngx_uint_t fresh)
{
    size_t         len;
    const u_char  *token;

    if (fresh) {
        ngx_iv_cache_drop_all(w->cache);
    }

    token = ngx_iv_stream_token(w->stream, &len);
    ngx_iv_zone_watch_save(w->slot, ngx_iv_stream_of(w->stream), token, len);

    if (w->up) {
        return;
    }

    w->up = 1;
    w->vain = 0;
    w->pause = NGX_IV_WATCH_PAUSE_MIN;

    ngx_iv_zone_watch_set_up(w->slot, w->pid, 1);
    ngx_iv_watch_say(w, NGX_IV_STREAM_OK);
}


static void
ngx_iv_watch_drop(void *data, const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_watch_t  *w = data;

    ngx_iv_cache_drop(w->cache, id);

    (void) ngx_atomic_fetch_add(&w->slot->events, 1);
}


static void
ngx_iv_watch_failed(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc)
{
    if (w->up) {
        w->up = 0;
        ngx_iv_zone_watch_set_up(w->slot, w->pid, 0);
        (void) ngx_atomic_fetch_add(&w->slot->losses, 1);
    }

    switch (rc) {

    case NGX_IV_STREAM_NONE:
        ngx_iv_zone_watch_set_off(w->slot, w->mark);
        break;

    case NGX_IV_STREAM_LOST:
    case NGX_IV_STREAM_ENDED:
        ngx_iv_zone_watch_forget(w->slot);
        ngx_iv_cache_drop_all(w->cache);
        (void) ngx_atomic_fetch_add(&w->slot->resets, 1);
        w->vain = 0;
        break;

    default:
        break;
    }

    ngx_iv_watch_say(w, rc);
}


/* a state is told of once, not each try */

static void
ngx_iv_watch_say(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc)
{
    const u_char  *message;

    message = ngx_iv_stream_message(w->stream);

    if (rc == w->said && rc != NGX_IV_STREAM_OK) {
        return;
    }

    switch (rc) {

    case NGX_IV_STREAM_OK:
        if (w->said == NGX_IV_STREAM_OK) {
            ngx_log_error(NGX_LOG_INFO, w->log, 0,
                          "change stream on images is open, %s",
                          w->len ? "from where it was" : "from now on");

        } else {
            ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                          "change stream on images is back");
        }

        break;

    case NGX_IV_STREAM_NONE:
        ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                      "metadata store has no change streams: %s; changes made "
                      "by other nodes count after image_vault_cache_valid",
                      message);
        break;

    case NGX_IV_STREAM_DENIED:
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "change stream on images is refused: %s (the user of "
                      "image_vault_mongodb needs the privileges find and "
                      "changeStream on it, as in the role readWrite)", message);
        break;

    case NGX_IV_STREAM_LOST:
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "change stream on images cannot go on where it was, all "
                      "entries are dropped: %s", message);
        break;

    case NGX_IV_STREAM_ENDED:
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "change stream on images has ended, all entries are "
                      "dropped: %s of the collection", message);
        break;

    default:
        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "change stream on images is lost, until it is back "
                      "changes made by other nodes count after "
                      "image_vault_cache_valid: %s", message);
        break;
    }

    w->said = rc;
}


/* before the next try.  0: told to stop */

static ngx_uint_t
ngx_iv_watch_wait(ngx_iv_watch_t *w, ngx_iv_stream_rc_e rc)
{
    ngx_uint_t       stop;
    ngx_msec_t       pause, slice;
    struct timespec  until;

    if (rc == NGX_IV_STREAM_DENIED) {
        pause = NGX_IV_WATCH_DENIED;

    } else {

        /* the nodes should not all come back in the same moment */

        pause = w->pause / 2 + (ngx_msec_t) ngx_random() % (w->pause / 2 + 1);
        w->pause = ngx_min(2 * w->pause, NGX_IV_WATCH_PAUSE_MAX);
    }

    while (pause) {
        slice = ngx_min(pause, 1000);
        pause -= slice;

        ngx_iv_watch_time(&until, slice);

        (void) pthread_mutex_lock(&w->lock);

        while (!w->stop) {
            if (pthread_cond_timedwait(&w->cond, &w->lock, &until) != 0) {
                break;
            }
        }

        stop = w->stop;

        (void) pthread_mutex_unlock(&w->lock);

        if (stop || !ngx_iv_watch_goes_on(w)) {
            return 0;
        }
    }

    return 1;
}


/* a sign of life.  0: told to stop, or another worker has taken our place */

static ngx_uint_t
ngx_iv_watch_goes_on(ngx_iv_watch_t *w)
{
    ngx_uint_t  stop;

    (void) pthread_mutex_lock(&w->lock);
    stop = w->stop;
    (void) pthread_mutex_unlock(&w->lock);

    return !stop && ngx_iv_zone_watch_beat(w->slot, w->pid, ngx_iv_watch_now());
}


/* the same clock for all workers, unlike nginx's own */

static ngx_uint_t
ngx_iv_watch_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_uint_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
ngx_iv_watch_time(struct timespec *ts, ngx_msec_t ms)
{
    (void) clock_gettime(CLOCK_MONOTONIC, ts);

    ts->tv_sec += ms / 1000;
    ts->tv_nsec += (ms % 1000) * 1000000;

    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    }
}
