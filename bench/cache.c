/*
 * The ownership cache alone: hits a second of CPU time, of one process and the
 * sum of two, for one id, for 10,000 and for 100,000, with somebody who fills
 * at the same time, and for comparison the same behind a spin lock of each
 * shard.  What goes on beside it disturbs less than with the clock on the wall,
 * but two processes need two free cores to get in each other's way.
 *
 *   bench/cache.sh builds and runs it
 *
 * Floor: 1,000,000 hits a second and process (exit status 1 below).
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "shm/ngx_iv_cache_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY   (64 << 20)
#define SECONDS  1.0
#define NOW      1700000000000ll
#define FLOOR    1e6
#define LINE     64


typedef struct {
    uint64_t    turns[2];
    uint64_t    hits[2];
    double      seconds[2];
    u_char      locks[NGX_IV_CACHE_SHARDS][LINE];
} common_t;


static void                 *memory;
static common_t             *common;
static ngx_iv_cache_t        cache;
static ngx_iv_cache_found_t  found;


static double
now(clockid_t clock)
{
    struct timespec  t;

    clock_gettime(clock, &t);

    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


static void
id_of(u_char *id, uint32_t n)
{
    memset(id, 0x65, NGX_IV_ID_LEN);
    memcpy(id + 8, &n, sizeof(n));
}


static void
fill(uint32_t n)
{
    u_char                id[NGX_IV_ID_LEN];
    ngx_iv_cache_entry_t  e;
    ngx_iv_cache_token_t  token;

    memset(&e, 0, sizeof(e));
    ngx_str_set(&e.storage, "s3");
    ngx_str_set(&e.key, "images/0c1d2e3f-0000-4000-8000-000000000000.jpg");
    ngx_str_set(&e.owner, "65a1b2c3d4e5f60718293a4b");
    ngx_str_set(&e.type, "image/jpeg");
    ngx_str_set(&e.name, "holiday at the sea.jpg");
    e.has_sha256 = 1;

    id_of(id, n);

    if (ngx_iv_cache_begin(&cache, id, NOW, 1000, &token) == NGX_OK) {
        (void) ngx_iv_cache_fill(&cache, &token, &e);
    }
}


/* how a spin lock would do it: the same work behind one lock a shard */

static ngx_iv_cache_state_e
get_locked(const u_char *id)
{
    u_char                *lock;
    uint32_t               id2;
    uint64_t               id1;
    ngx_iv_cache_place_t   place;
    ngx_iv_cache_state_e   state;

    memcpy(&id1, id, sizeof(id1));
    memcpy(&id2, id + sizeof(id1), sizeof(id2));
    ngx_iv_cache_place(cache.head, id1, id2, &place);

    lock = common->locks[((u_char *) place.shard - (u_char *) (cache.head + 1))
                         / cache.head->shard_size];

    while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE)) {
        ngx_cpu_pause();
    }

    state = ngx_iv_cache_get(&cache, id, NOW, 60000, 5000, &found);

    __atomic_clear(lock, __ATOMIC_RELEASE);

    return state;
}


static void
run(ngx_uint_t self, uint32_t ids, ngx_uint_t locked)
{
    double                start, end;
    u_char                id[NGX_IV_ID_LEN];
    uint64_t              turns, hits, random;
    ngx_iv_cache_state_e  state;

    ngx_iv_cache_worker(&cache, getpid(), self);

    random = 88172645463325252ull + self;
    hits = 0;
    start = now(CLOCK_PROCESS_CPUTIME_ID);
    end = start;

    for (turns = 0; /* void */ ; turns++) {

        if (turns % 1024 == 0) {
            end = now(CLOCK_PROCESS_CPUTIME_ID);

            if (end - start >= SECONDS) {
                break;
            }
        }

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;

        id_of(id, (uint32_t) (random >> 20) % ids);

        state = locked ? get_locked(id)
                       : ngx_iv_cache_get(&cache, id, NOW, 60000, 5000,
                                          &found);

        hits += state == NGX_IV_CACHE_HIT;
    }

    common->turns[self] = turns;
    common->hits[self] = hits;
    common->seconds[self] = end - start;
}


/* one of two processes that fills, 20,000 times a second */

static void
run_fills(ngx_uint_t self, uint32_t ids)
{
    double    start, at;
    uint64_t  n;

    ngx_iv_cache_worker(&cache, getpid(), self);

    start = now(CLOCK_MONOTONIC);

    for (n = 0; /* void */ ; /* void */ ) {
        at = now(CLOCK_MONOTONIC) - start;

        if (at >= SECONDS) {
            return;
        }

        while (n < at * 20000) {
            fill((uint32_t) (n++ * 7919) % ids);
        }
    }
}


static double
measure(const char *what, ngx_uint_t procs, uint32_t ids, ngx_uint_t locked,
    ngx_uint_t fills)
{
    double      rate, least;
    pid_t       pids[2];
    uint64_t    hits, turns;
    ngx_uint_t  i;

    memset(common, 0, sizeof(common_t));

    for (i = 0; i < procs; i++) {
        pids[i] = fork();

        if (pids[i] == -1) {
            exit(2);
        }

        if (pids[i] == 0) {

            if (fills && i == 1) {
                run_fills(i, ids);

            } else {
                run(i, ids, locked);
            }

            _exit(0);
        }
    }

    for (i = 0; i < procs; i++) {
        (void) waitpid(pids[i], NULL, 0);
    }

    rate = 0;
    least = 1e18;
    hits = 0;
    turns = 0;

    for (i = 0; i < procs; i++) {

        if (common->turns[i] == 0) {
            continue;
        }

        rate += (double) common->turns[i] / common->seconds[i];
        least = ngx_min(least,
                        (double) common->turns[i] / common->seconds[i]);
        hits += common->hits[i];
        turns += common->turns[i];
    }

    printf("%-44s %8.2f M/s, %5.1f %% hits\n", what, rate / 1e6,
           100.0 * (double) hits / (double) turns);

    return least;
}


int
main(void)
{
    double                 start, least, rate;
    uint32_t               n;
    ngx_iv_cache_stats_t   st;

    memory = mmap(NULL, MEMORY, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1,
                  0);
    common = mmap(NULL, sizeof(common_t), PROT_READ|PROT_WRITE,
                  MAP_ANON|MAP_SHARED, -1, 0);

    if (memory == MAP_FAILED || common == MAP_FAILED
        || ngx_iv_cache_init(memory, MEMORY) != NGX_OK)
    {
        return 2;
    }

    ngx_iv_cache_attach(&cache, memory);
    ngx_iv_cache_worker(&cache, getpid(), 0);

    start = now(CLOCK_PROCESS_CPUTIME_ID);

    for (n = 0; n < 100000; n++) {
        fill(n);
    }

    printf("%-44s %8.2f M/s\n", "fills, 1 process",
           100000 / 1e6 / (now(CLOCK_PROCESS_CPUTIME_ID) - start));

    least = measure("1 id, 1 process", 1, 1, 0, 0);
    rate = measure("1 id, 2 processes", 2, 1, 0, 0);
    least = ngx_min(least, rate);
    (void) measure("1 id, 1 process, spin lock", 1, 1, 1, 0);
    (void) measure("1 id, 2 processes, spin lock", 2, 1, 1, 0);

    rate = measure("10,000 ids, 1 process", 1, 10000, 0, 0);
    least = ngx_min(least, rate);
    rate = measure("10,000 ids, 2 processes", 2, 10000, 0, 0);
    least = ngx_min(least, rate);
    (void) measure("10,000 ids, 2 processes, spin lock", 2, 10000, 1, 0);
    (void) measure("100,000 ids, 2 processes", 2, 100000, 0, 0);
    (void) measure("10,000 ids, 1 reads, 1 fills 20 k/s", 2, 10000, 0, 1);
    (void) measure("1 id, 1 reads, 1 fills it 20 k/s", 2, 1, 0, 1);

    ngx_iv_cache_stats(&cache, &st);
    printf("an entry takes %.0f bytes; %llu of %llu MB in use\n",
           (double) st.bytes / (double) st.entries,
           (unsigned long long) st.bytes >> 20,
           (unsigned long long) st.size >> 20);

    return least < FLOOR;
}
