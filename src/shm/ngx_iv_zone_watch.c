#include "shm/ngx_iv_zone_watch.h"
#include "shm/ngx_iv_zone_meter.h"


#define ngx_iv_watch_load(p)      __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ngx_iv_watch_store(p, v)  __atomic_store_n(p, v, __ATOMIC_RELEASE)


static uint64_t ngx_iv_zone_watch_sum(const uint64_t *words, size_t n);


ngx_uint_t
ngx_iv_zone_watch_take(ngx_iv_zone_watch_t *w, ngx_pid_t pid, ngx_uint_t now,
    ngx_uint_t late, ngx_uint_t mark)
{
    ngx_atomic_uint_t  beat, holder;

    if (ngx_iv_zone_watch_is_off(w, mark)) {
        return 0;
    }

    holder = ngx_iv_watch_load(&w->pid);
    beat = ngx_iv_watch_load(&w->beat);

    /* a killed worker may have had our pid, or its pid be somebody else's */

    if (holder != (ngx_atomic_uint_t) pid
        && ngx_iv_zone_meter_lives(holder)
        && (ngx_atomic_uint_t) now - beat < late)
    {
        return 0;
    }

    if (!ngx_atomic_cmp_set(&w->pid, holder, (ngx_atomic_uint_t) pid)) {
        return 0;
    }

    ngx_iv_watch_store(&w->beat, (ngx_atomic_uint_t) now);
    ngx_iv_watch_store(&w->up, 0);

    return 1;
}


ngx_uint_t
ngx_iv_zone_watch_beat(ngx_iv_zone_watch_t *w, ngx_pid_t pid, ngx_uint_t now)
{
    if (ngx_iv_watch_load(&w->pid) != (ngx_atomic_uint_t) pid) {
        return 0;
    }

    ngx_iv_watch_store(&w->beat, (ngx_atomic_uint_t) now);

    return 1;
}


void
ngx_iv_zone_watch_leave(ngx_iv_zone_watch_t *w, ngx_pid_t pid)
{
    (void) ngx_atomic_cmp_set(&w->pid, (ngx_atomic_uint_t) pid, 0);
}


void
ngx_iv_zone_watch_set_up(ngx_iv_zone_watch_t *w, ngx_pid_t pid, ngx_uint_t up)
{
    if (ngx_iv_watch_load(&w->pid) == (ngx_atomic_uint_t) pid) {
        ngx_iv_watch_store(&w->up, (ngx_atomic_uint_t) up);
    }
}


void
ngx_iv_zone_watch_set_off(ngx_iv_zone_watch_t *w, ngx_uint_t mark)
{
    ngx_iv_watch_store(&w->off, (ngx_atomic_uint_t) mark);
}


ngx_uint_t
ngx_iv_zone_watch_is_up(ngx_iv_zone_watch_t *w)
{
    return ngx_iv_watch_load(&w->up)
           && ngx_iv_zone_meter_lives(ngx_iv_watch_load(&w->pid));
}


ngx_uint_t
ngx_iv_zone_watch_is_off(ngx_iv_zone_watch_t *w, ngx_uint_t mark)
{
    return mark && ngx_iv_watch_load(&w->off) == (ngx_atomic_uint_t) mark;
}


/*
 * A former holder may write at the same time: whatever comes of it, the sum
 * does not fit a mixture.
 */

void
ngx_iv_zone_watch_save(ngx_iv_zone_watch_t *w, uint64_t of,
    const u_char *token, size_t len)
{
    uint64_t             words[NGX_IV_ZONE_TOKEN_WORDS];
    ngx_uint_t           i, n;
    ngx_atomic_uint_t    current;
    ngx_iv_zone_token_t *t;

    if (len == 0 || len > NGX_IV_ZONE_TOKEN) {
        ngx_iv_zone_watch_forget(w);
        return;
    }

    n = 3 + (len + 7) / 8;

    words[n - 1] = 0;
    words[1] = of;
    words[2] = len;
    ngx_memcpy(&words[3], token, len);
    words[0] = ngx_iv_zone_watch_sum(words, n);

    current = ngx_iv_watch_load(&w->current);
    t = &w->tokens[current == 1];

    for (i = 0; i < n; i++) {
        __atomic_store_n(&t->words[i], words[i], __ATOMIC_RELAXED);
    }

    (void) ngx_atomic_cmp_set(&w->current, current, current == 1 ? 2 : 1);
}


size_t
ngx_iv_zone_watch_load(ngx_iv_zone_watch_t *w, uint64_t of, u_char *token)
{
    size_t               len;
    uint64_t             words[NGX_IV_ZONE_TOKEN_WORDS];
    ngx_uint_t           i, n;
    ngx_atomic_uint_t    current;
    ngx_iv_zone_token_t *t;

    current = ngx_iv_watch_load(&w->current);

    if (current != 1 && current != 2) {
        return 0;
    }

    t = &w->tokens[current - 1];

    for (i = 0; i < NGX_IV_ZONE_TOKEN_WORDS; i++) {
        words[i] = __atomic_load_n(&t->words[i], __ATOMIC_RELAXED);
    }

    if (words[1] != of || words[2] == 0 || words[2] > NGX_IV_ZONE_TOKEN) {
        return 0;
    }

    len = (size_t) words[2];
    n = 3 + (len + 7) / 8;

    if (ngx_iv_zone_watch_sum(words, n) != words[0]) {
        return 0;
    }

    ngx_memcpy(token, &words[3], len);

    return len;
}


void
ngx_iv_zone_watch_forget(ngx_iv_zone_watch_t *w)
{
    ngx_iv_watch_store(&w->current, 0);
}


/* FNV-1a by words, with a shift, so that high bits count as well */

static uint64_t
ngx_iv_zone_watch_sum(const uint64_t *words, size_t n)
{
    size_t    i;
    uint64_t  sum;

    sum = 0xcbf29ce484222325ULL;

    for (i = 1; i < n; i++) {
        sum = (sum ^ words[i]) * 0x100000001b3ULL;
        sum ^= sum >> 29;
    }

    return sum;
}
