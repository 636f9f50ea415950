/*
 * Breakers, see the header.
 *
 * What a killed worker may leave behind is a lock with its pid, taken over by
 * the next one, and numbers of which each by itself is whole: any mix of them
 * is a state that time or the next report leads out of.
 */

#include "shm/ngx_iv_breaker.h"
#include "base/ngx_iv_str.h"


#define NGX_IV_BREAKER_SPIN  512


static ngx_uint_t ngx_iv_breaker_alive(uint32_t pid);
static uint64_t ngx_iv_breaker_id(const ngx_str_t *name,
    const ngx_str_t *where);
static ngx_int_t ngx_iv_breaker_lock(ngx_iv_breaker_t *b, uint32_t *lock);
static void ngx_iv_breaker_unlock(uint32_t *lock);
static ngx_uint_t ngx_iv_breaker_is_held(ngx_iv_breaker_t *b, int64_t now,
    ngx_msec_t *left);
static void ngx_iv_breaker_earn(ngx_iv_breaker_t *b);
static void ngx_iv_breaker_count(ngx_iv_breaker_t *b, int64_t now,
    ngx_uint_t bad);
static ngx_uint_t ngx_iv_breaker_is_too_much(ngx_iv_breaker_t *b);
static void ngx_iv_breaker_pause(ngx_iv_breaker_t *b, int64_t now,
    ngx_msec_t after);
static ngx_iv_breaker_change_e ngx_iv_breaker_failed(ngx_iv_breaker_t *b,
    ngx_uint_t trial, int64_t now, ngx_msec_t after);


#define ngx_iv_breaker_load(p)      __atomic_load_n(p, __ATOMIC_RELAXED)
#define ngx_iv_breaker_store(p, v)  __atomic_store_n(p, v, __ATOMIC_RELAXED)


/* libmongoc has tried for long enough when it fails */

const ngx_iv_breaker_limits_t  ngx_iv_breaker_database = {
    1, 0, 500, 5000, 5000, 0, 0
};

const ngx_iv_breaker_limits_t  ngx_iv_breaker_storage = {
    5, 10000, 500, 15000, 15000, 60000, 10
};


static ngx_uint_t
ngx_iv_breaker_alive(uint32_t pid)
{
    return kill((ngx_pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


void
ngx_iv_breaker_join_database(ngx_iv_breaker_t *b, ngx_iv_breakers_t *all)
{
    b->shared = &all->database;
    b->limits = &ngx_iv_breaker_database;
    b->pid = (uint32_t) ngx_pid;
    b->alive = ngx_iv_breaker_alive;
}


/*
 * Of a full table the one goes that was joined longest ago, which is not of
 * this configuration unless that has more storages than there is room for.
 */

ngx_int_t
ngx_iv_breaker_join(ngx_iv_breaker_t *b, ngx_iv_breakers_t *all,
    const ngx_str_t *name, const ngx_str_t *where, int64_t now)
{
    uint64_t                  id;
    ngx_uint_t                i;
    ngx_iv_breaker_shared_t  *s, *found;

    b->limits = &ngx_iv_breaker_storage;
    b->pid = (uint32_t) ngx_pid;
    b->alive = ngx_iv_breaker_alive;

    if (ngx_iv_breaker_lock(b, &all->lock) != NGX_OK) {
        return NGX_DECLINED;
    }

    id = ngx_iv_breaker_id(name, where);
    found = &all->storages[0];

    for (i = 0; i < NGX_IV_BREAKERS; i++) {
        s = &all->storages[i];

        if (s->id == id) {
            found = s;
            break;
        }

        if (s->joined < found->joined) {
            found = s;
        }
    }

    if (found->id != id) {
        ngx_memzero(found, sizeof(ngx_iv_breaker_shared_t));
        found->id = id;
    }

    found->joined = now;
    b->shared = found;

    ngx_iv_breaker_unlock(&all->lock);

    return NGX_OK;
}


/* never 0 */

static uint64_t
ngx_iv_breaker_id(const ngx_str_t *name, const ngx_str_t *where)
{
    uint64_t  h;

    h = ngx_iv_fold(NGX_IV_FOLD, name);
    h = ngx_iv_fold(h, where);

    return h ? h : 1;
}


/* NGX_BUSY: somebody else has it for longer than anything takes here; what is
 * to be noted is not, rather than to wait */

static ngx_int_t
ngx_iv_breaker_lock(ngx_iv_breaker_t *b, uint32_t *lock)
{
    uint32_t    holder;
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_BREAKER_SPIN; i++) {
        holder = 0;

        if (ngx_iv_breaker_load(lock) == 0
            && __atomic_compare_exchange_n(lock, &holder, b->pid, 0,
                                           __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        {
            return NGX_OK;
        }

        ngx_cpu_pause();
    }

    holder = ngx_iv_breaker_load(lock);

    /* an own pid is that of a dead process: here nobody locks twice */

    if (holder == 0
        || (holder != b->pid && b->alive(holder))
        || !__atomic_compare_exchange_n(lock, &holder, b->pid, 0,
                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    {
        return NGX_BUSY;
    }

    return NGX_OK;
}


static void
ngx_iv_breaker_unlock(uint32_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}


ngx_iv_breaker_leave_e
ngx_iv_breaker_ask(ngx_iv_breaker_t *b, int64_t now, ngx_uint_t first)
{
    uint32_t                  state;
    ngx_iv_breaker_shared_t  *s;

    s = b->shared;

    if (s == NULL) {
        return NGX_IV_BREAKER_GO;
    }

    state = ngx_iv_breaker_load(&s->state);

    if (state == NGX_IV_BREAKER_CLOSED
        && (b->limits->budget == 0 || !first))
    {
        return NGX_IV_BREAKER_GO;
    }

    if (ngx_iv_breaker_lock(b, &s->lock) != NGX_OK) {
        return state == NGX_IV_BREAKER_CLOSED ? NGX_IV_BREAKER_GO
                                              : NGX_IV_BREAKER_NO;
    }

    if (s->state == NGX_IV_BREAKER_CLOSED) {

        if (first) {
            ngx_iv_breaker_earn(b);
        }

        ngx_iv_breaker_unlock(&s->lock);

        return NGX_IV_BREAKER_GO;
    }

    if (ngx_iv_breaker_is_held(b, now, NULL)) {
        ngx_iv_breaker_unlock(&s->lock);
        return NGX_IV_BREAKER_NO;
    }

    ngx_iv_breaker_store(&s->state, NGX_IV_BREAKER_HALF_OPEN);
    s->trier = b->pid;
    s->until = now + (int64_t) b->limits->trial;

    ngx_iv_breaker_unlock(&s->lock);

    return NGX_IV_BREAKER_TRIAL;
}


/* 1: nobody may try yet.  Locked, and not closed */

static ngx_uint_t
ngx_iv_breaker_is_held(ngx_iv_breaker_t *b, int64_t now, ngx_msec_t *left)
{
    int64_t                         rest, longest;
    ngx_iv_breaker_shared_t        *s;
    const ngx_iv_breaker_limits_t  *l;

    s = b->shared;
    l = b->limits;

    rest = s->until - now;

    if (s->state == NGX_IV_BREAKER_OPEN) {
        longest = (int64_t) ngx_max(l->pause_max, l->after_max);

    } else {
        longest = (int64_t) l->trial;
    }

    /* the caller's time may be older than that of who opened it or tries; a
     * clock that was set back must not hold it open for ever */

    if (rest <= 0 || rest > 2 * longest) {
        return 0;
    }

    if (s->state == NGX_IV_BREAKER_HALF_OPEN
        && s->trier != b->pid && !b->alive(s->trier))
    {
        return 0;
    }

    if (left) {
        *left = (ngx_msec_t) rest;
    }

    return 1;
}


static void
ngx_iv_breaker_earn(ngx_iv_breaker_t *b)
{
    if (b->limits->budget && b->shared->spent) {
        b->shared->spent--;
    }
}


ngx_uint_t
ngx_iv_breaker_retry(ngx_iv_breaker_t *b)
{
    ngx_uint_t                may;
    ngx_iv_breaker_shared_t  *s;

    s = b->shared;

    if (s == NULL) {
        return 1;
    }

    if (ngx_iv_breaker_load(&s->state) != NGX_IV_BREAKER_CLOSED) {
        return 0;
    }

    if (b->limits->budget == 0) {
        return 1;
    }

    if (ngx_iv_breaker_lock(b, &s->lock) != NGX_OK) {
        return 0;
    }

    may = (s->spent + NGX_IV_BREAKER_SHARE
           <= b->limits->budget * NGX_IV_BREAKER_SHARE);

    if (may) {
        s->spent += NGX_IV_BREAKER_SHARE;

    } else {
        ngx_iv_breaker_store(&s->denied, s->denied + 1);
    }

    ngx_iv_breaker_unlock(&s->lock);

    return may;
}


ngx_iv_breaker_change_e
ngx_iv_breaker_report(ngx_iv_breaker_t *b, ngx_iv_breaker_result_e result,
    ngx_uint_t trial, int64_t now, ngx_msec_t after)
{
    ngx_iv_breaker_shared_t  *s;
    ngx_iv_breaker_change_e   change;

    s = b->shared;

    if (s == NULL) {
        return NGX_IV_BREAKER_AS_BEFORE;
    }

    if (ngx_iv_breaker_load(&s->state) == NGX_IV_BREAKER_CLOSED
        && (result == NGX_IV_BREAKER_NOTHING
            || (result == NGX_IV_BREAKER_GOOD && b->limits->window == 0)))
    {
        return NGX_IV_BREAKER_AS_BEFORE;
    }

    /* who doesn't get it loses a number; a trial ends by its time */

    if (ngx_iv_breaker_lock(b, &s->lock) != NGX_OK) {
        return NGX_IV_BREAKER_AS_BEFORE;
    }

    change = NGX_IV_BREAKER_AS_BEFORE;

    switch (result) {

    case NGX_IV_BREAKER_BAD:
        change = ngx_iv_breaker_failed(b, trial, now, after);
        break;

    case NGX_IV_BREAKER_GOOD:

        if (s->state == NGX_IV_BREAKER_CLOSED) {
            ngx_iv_breaker_count(b, now, 0);
            break;
        }

        /* what began before it opened tells of the time before */

        if (trial || b->limits->window == 0) {
            ngx_iv_breaker_store(&s->state, NGX_IV_BREAKER_CLOSED);
            s->until = now;
            ngx_memzero(s->good, sizeof(s->good));
            ngx_memzero(s->bad, sizeof(s->bad));
            change = NGX_IV_BREAKER_CLOSES;
        }

        break;

    default: /* NGX_IV_BREAKER_NOTHING */

        if (s->state == NGX_IV_BREAKER_HALF_OPEN && trial) {
            ngx_iv_breaker_store(&s->state, NGX_IV_BREAKER_OPEN);
            s->until = now + (int64_t) ngx_min(after, b->limits->after_max);
        }
    }

    ngx_iv_breaker_unlock(&s->lock);

    return change;
}


static ngx_iv_breaker_change_e
ngx_iv_breaker_failed(ngx_iv_breaker_t *b, ngx_uint_t trial, int64_t now,
    ngx_msec_t after)
{
    int64_t                   calm;
    ngx_iv_breaker_shared_t  *s;

    s = b->shared;

    if (s->state != NGX_IV_BREAKER_CLOSED) {

        if (s->state == NGX_IV_BREAKER_HALF_OPEN && trial) {
            ngx_iv_breaker_pause(b, now, after);
        }

        return NGX_IV_BREAKER_AS_BEFORE;
    }

    ngx_iv_breaker_count(b, now, 1);

    if (b->limits->window && !ngx_iv_breaker_is_too_much(b)) {
        return NGX_IV_BREAKER_AS_BEFORE;
    }

    /* closed for so short a time it was not well */

    calm = now - s->until;

    if (calm > (int64_t) b->limits->pause_max
        || calm < -(int64_t) b->limits->pause_max)
    {
        s->row = 0;
    }

    ngx_iv_breaker_pause(b, now, after);
    ngx_iv_breaker_store(&s->opened, s->opened + 1);

    return NGX_IV_BREAKER_OPENS;
}


/* a window is two halves: the present one and the one before */

static void
ngx_iv_breaker_count(ngx_iv_breaker_t *b, int64_t now, ngx_uint_t bad)
{
    int64_t                   half;
    ngx_uint_t                i;
    ngx_iv_breaker_shared_t  *s;

    if (b->limits->window == 0) {
        return;
    }

    s = b->shared;
    half = now / (int64_t) (b->limits->window / 2);
    i = (ngx_uint_t) half & 1;

    /* who is late by a moment counts in the half before */

    if (half != s->half && half != s->half - 1) {

        if (half != s->half + 1) {
            s->good[i ^ 1] = 0;
            s->bad[i ^ 1] = 0;
        }

        s->good[i] = 0;
        s->bad[i] = 0;
        s->half = half;
    }

    if (bad) {
        s->bad[i]++;

    } else {
        s->good[i]++;
    }
}


static ngx_uint_t
ngx_iv_breaker_is_too_much(ngx_iv_breaker_t *b)
{
    ngx_uint_t                good, bad;
    ngx_iv_breaker_shared_t  *s;

    s = b->shared;
    good = (ngx_uint_t) s->good[0] + s->good[1];
    bad = (ngx_uint_t) s->bad[0] + s->bad[1];

    return bad >= b->limits->failures && bad >= good;
}


/* between the shortest pause and a bound that doubles each time, by chance:
 * nodes that lost a peer together should not come back together */

static void
ngx_iv_breaker_pause(ngx_iv_breaker_t *b, int64_t now, ngx_msec_t after)
{
    ngx_uint_t                      i;
    ngx_msec_t                      pause, bound;
    ngx_iv_breaker_shared_t        *s;
    const ngx_iv_breaker_limits_t  *l;

    s = b->shared;
    l = b->limits;
    bound = l->pause_min * 2;

    for (i = 0; i < s->row && bound < l->pause_max; i++) {
        bound *= 2;
    }

    bound = ngx_min(bound, l->pause_max);

    pause = l->pause_min
            + (ngx_msec_t) ngx_random() % (bound - l->pause_min + 1);

    /* what a row means is bounded long before it would overflow */

    if (s->row < 64) {
        s->row++;
    }

    after = ngx_min(after, l->after_max);

    s->until = now + (int64_t) ngx_max(pause, after);
    ngx_iv_breaker_store(&s->state, NGX_IV_BREAKER_OPEN);
}


ngx_msec_t
ngx_iv_breaker_wait(ngx_iv_breaker_t *b, int64_t now)
{
    ngx_msec_t                left;
    ngx_iv_breaker_shared_t  *s;

    s = b->shared;

    if (ngx_iv_breaker_state(b) == NGX_IV_BREAKER_CLOSED) {
        return 0;
    }

    if (ngx_iv_breaker_lock(b, &s->lock) != NGX_OK) {
        return 1;
    }

    left = 0;

    if (s->state == NGX_IV_BREAKER_CLOSED
        || !ngx_iv_breaker_is_held(b, now, &left))
    {
        left = 0;

    } else if (s->state == NGX_IV_BREAKER_HALF_OPEN) {
        /* the trial may be over at any moment */
        left = 1;
    }

    ngx_iv_breaker_unlock(&s->lock);

    return left;
}


ngx_iv_breaker_state_e
ngx_iv_breaker_state(ngx_iv_breaker_t *b)
{
    if (b->shared == NULL) {
        return NGX_IV_BREAKER_CLOSED;
    }

    return ngx_iv_breaker_load(&b->shared->state);
}


void
ngx_iv_breaker_info(ngx_iv_breaker_t *b, ngx_iv_breaker_info_t *info)
{
    ngx_memzero(info, sizeof(ngx_iv_breaker_info_t));

    if (b->shared) {
        info->state = ngx_iv_breaker_state(b);
        info->opened = ngx_iv_breaker_load(&b->shared->opened);
        info->denied = ngx_iv_breaker_load(&b->shared->denied);
    }
}


const char *
ngx_iv_breaker_word(ngx_iv_breaker_state_e state)
{
    switch (state) {

    case NGX_IV_BREAKER_OPEN:
        return "open";

    case NGX_IV_BREAKER_HALF_OPEN:
        return "half_open";

    default:
        return NULL;
    }
}


time_t
ngx_iv_breaker_skew(ngx_iv_breaker_t *b)
{
    return b->shared ? (time_t) ngx_iv_breaker_load(&b->shared->skew) : 0;
}


ngx_uint_t
ngx_iv_breaker_set_skew(ngx_iv_breaker_t *b, time_t from, time_t to)
{
    int32_t  old;

    if (b->shared == NULL) {
        return 0;
    }

    old = (int32_t) from;

    return __atomic_compare_exchange_n(&b->shared->skew, &old, (int32_t) to, 0,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
