/*
 * The ownership cache under processes that are killed at random, and under
 * threads (for ThreadSanitizer: SANITIZE=thread util/unit cache_stress).
 *
 * The store is an array of versions.  Who changes an image raises its version,
 * drops the entry, and then notes that version as known to the client.  Who
 * reads notes what is known and then asks the cache: an older version than that
 * is a revoked right.  All strings of an entry follow from its id and version,
 * so that a torn one is noticed.
 *
 * sources: src/shm/ngx_iv_cache.c src/shm/ngx_iv_cache_shard.c
 *     src/shm/ngx_iv_cache_entry.c src/base/ngx_iv_str.c
 *
 * libs: -lcrypto -lpthread
 */

#include "iv_test.h"
#include "shm/ngx_iv_cache_private.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>


#define IDS        600
#define CHILDREN   4
#define KILLS      400
#define TURNS      200              /* at least, before the next of them */
#define PATIENCE   120
#define ROUNDS     60000
#define NOW        1700000000000ll


typedef struct {
    uint32_t    store[IDS];         /* the version it has */
    uint32_t    known[IDS];         /* … that a client was told of */
    uint32_t    torn;
    uint32_t    revoked;
    uint32_t    wrong;              /* codes that cannot be */
    uint32_t    hits;
    uint32_t    kept;
    uint32_t    turns;
} common_t;


typedef struct {
    ngx_iv_cache_t        cache;
    ngx_iv_cache_found_t  found;
    uint64_t              random;
    u_char                id[NGX_IV_ID_LEN];
    u_char                text[2048];
    ngx_str_t             share;
} worker_t;


static common_t  *common;
static void      *memory;


static uint32_t
load(uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}


static void
add(uint32_t *p)
{
    (void) __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
}


static unsigned
pick(worker_t *w, unsigned n)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;

    return (unsigned) ((w->random >> 20) % n);
}


static const u_char *
id_of(worker_t *w, uint32_t n)
{
    memset(w->id, 0x65, NGX_IV_ID_LEN);
    memcpy(w->id + 4, &n, sizeof(n));

    return w->id;
}


/* 0 to 1,024 bytes that follow from number and version */

static void
make(worker_t *w, uint32_t n, uint32_t version, ngx_iv_cache_entry_t *e)
{
    size_t  i;
    u_char  c;

    memset(e, 0, sizeof(*e));

    c = (u_char) (n * 31 + version * 7);

    for (i = 0; i < sizeof(w->text); i++) {
        w->text[i] = (u_char) (c + i);
    }

    e->key.data = w->text;
    e->key.len = (n * 37 + version * 101) % 1025;
    e->name.data = w->text + 1;
    e->name.len = (n + version) % 256;
    e->owner.data = w->text + 2;
    e->owner.len = 1 + (n ^ version) % 128;
    e->storage.data = w->text + 3;
    e->storage.len = n % 5;
    w->share.data = w->text + 4;
    w->share.len = 1 + version % 20;
    e->shares = &w->share;
    e->nshares = 1;
    e->size = n;
    e->updated_at = version;
}


static ngx_uint_t
same(ngx_str_t *a, ngx_str_t *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}


static void
check(worker_t *w, uint32_t n, uint32_t known)
{
    ngx_iv_cache_entry_t  e, *f;

    f = &w->found.entry;
    make(w, n, (uint32_t) f->updated_at, &e);

    if (f->size != n
        || !same(&f->key, &e.key)
        || !same(&f->name, &e.name)
        || !same(&f->owner, &e.owner)
        || !same(&f->storage, &e.storage)
        || !ngx_iv_cache_shared_with(f, &w->share))
    {
        add(&common->torn);
    }

    if (f->updated_at < known) {
        add(&common->revoked);
    }

    add(&common->hits);
}


static void
turn(worker_t *w, int64_t now)
{
    uint32_t               n, known, version, dice;
    ngx_int_t              rc;
    const u_char          *id;
    ngx_iv_cache_entry_t   e;
    ngx_iv_cache_token_t   token;
    ngx_iv_cache_state_e   state;

    n = pick(w, IDS);
    dice = pick(w, 100);
    id = id_of(w, n);

    if (dice < 8) {
        version = __atomic_add_fetch(&common->store[n], 1, __ATOMIC_SEQ_CST);
        ngx_iv_cache_drop(&w->cache, id);

        known = load(&common->known[n]);

        while (known < version
               && !__atomic_compare_exchange_n(&common->known[n], &known,
                                               version, 0, __ATOMIC_SEQ_CST,
                                               __ATOMIC_SEQ_CST))
        {
            /* void */
        }

        return;
    }

    if (dice == 8 && pick(w, 50) == 0) {
        ngx_iv_cache_drop_all(&w->cache);
        return;
    }

    known = load(&common->known[n]);
    state = ngx_iv_cache_get(&w->cache, id, now, 60000, 5000, &w->found);

    if (state == NGX_IV_CACHE_HIT) {
        check(w, n, known);

        if (dice > 30) {
            return;
        }
    }

    if (ngx_iv_cache_begin(&w->cache, id, now, 20, &token) != NGX_OK) {
        return;
    }

    make(w, n, load(&common->store[n]), &e);

    if (pick(w, 20) == 0) {
        ngx_iv_cache_abandon(&w->cache, &token);
        return;
    }

    rc = ngx_iv_cache_fill(&w->cache, &token, pick(w, 10) ? &e : NULL);

    if (rc == NGX_OK) {
        add(&common->kept);

    } else if (rc != NGX_DONE && rc != NGX_DECLINED) {
        add(&common->wrong);
    }
}


static worker_t *
worker_new(uint32_t pid, ngx_uint_t n)
{
    worker_t  *w;

    w = calloc(1, sizeof(worker_t));
    if (w == NULL) {
        exit(2);
    }

    ngx_iv_cache_attach(&w->cache, memory);
    ngx_iv_cache_worker(&w->cache, (ngx_pid_t) pid, n);
    w->random = 0x9e3779b97f4a7c15ull * (pid + 1) + n;

    return w;
}


static void
begin(size_t size)
{
    memory = mmap(NULL, size, PROT_READ|PROT_WRITE, MAP_ANON|MAP_SHARED, -1, 0);
    common = mmap(NULL, sizeof(common_t), PROT_READ|PROT_WRITE,
                  MAP_ANON|MAP_SHARED, -1, 0);

    if (memory == MAP_FAILED || common == MAP_FAILED) {
        exit(2);
    }

    EQ_INT(ngx_iv_cache_init(memory, size), NGX_OK);
}


/* each entry that is linked, and each block, is there once */

static void
check_shards(void)
{
    u_char                *seen;
    uint32_t               i, n, b, used, entries;
    ngx_uint_t             bad;
    ngx_iv_cache_t         cache;
    ngx_iv_cache_head_t   *head;
    ngx_iv_cache_block_t  *block;
    ngx_iv_cache_shard_t  *shard;

    ngx_iv_cache_attach(&cache, memory);
    head = cache.head;
    bad = 0;

    seen = malloc(head->nblocks + 1);
    if (seen == NULL) {
        exit(2);
    }

    for (i = 0; i < head->nshards; i++) {
        shard = ngx_iv_cache_shard(head, i);

        if (shard->seq & 1) {
            continue;
        }

        memset(seen, 0, head->nblocks + 1);
        used = 0;
        entries = 0;

        for (b = 0; b < head->nbuckets; b++) {

            for (n = ngx_iv_cache_buckets(shard)[b].head;
                 n && n <= head->nblocks && !seen[n];
                 n = ngx_iv_high32(block->word[0]))
            {
                block = ngx_iv_cache_block(head, shard, n);
                entries++;
                used++;
                seen[n]++;

                for (n = ngx_iv_low32(block->word[0]);
                     n && n <= head->nblocks && !seen[n];
                     n = ngx_iv_low32(
                             ngx_iv_cache_block(head, shard, n)->word[0]))
                {
                    used++;
                    seen[n]++;
                }

                bad += n != 0;
            }

            bad += n != 0;
        }

        bad += used != shard->used || entries != shard->entries;

        for (n = shard->free; n && n <= head->nblocks && !seen[n];
             n = ngx_iv_low32(ngx_iv_cache_block(head, shard, n)->word[0]))
        {
            used++;
            seen[n]++;
        }

        bad += n != 0 || used != shard->fresh;
    }

    free(seen);

    EQ_INT(bad, 0);
}


static pid_t
child_start(ngx_uint_t n)
{
    pid_t             pid;
    worker_t         *w;
    struct timespec   t;

    pid = fork();

    if (pid != 0) {
        return pid;
    }

    w = worker_new((uint32_t) getpid(), n);

    for ( ;; ) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        turn(w, NOW + t.tv_sec * 1000 + t.tv_nsec / 1000000);
        add(&common->turns);
    }
}


/* how much is done meanwhile depends on who else is on this machine: not until
 * all of it has been met are they left alone */

static int
enough(worker_t *w)
{
    ngx_iv_cache_stats_t  st;

    ngx_iv_cache_stats(&w->cache, &st);

    return st.recovered > 0 && st.evictions > 1000 && st.stale > 0;
}


static void
test_kills(void)
{
    pid_t                  pids[CHILDREN];
    time_t                 end;
    uint32_t               turns;
    worker_t              *w;
    ngx_uint_t             i, n;
    unsigned long          kills;
    ngx_iv_cache_stats_t   st;

    begin(100 << 10);
    end = time(NULL) + PATIENCE;

    w = worker_new((uint32_t) getpid(), 15);

    for (n = 0; n < CHILDREN; n++) {
        pids[n] = child_start(n);
    }

    for (i = 0; i < KILLS || (!enough(w) && time(NULL) < end); i++) {
        turns = load(&common->turns) + TURNS;

        do {
            usleep(2000 + pick(w, 3000));
        } while (load(&common->turns) < turns && time(NULL) < end);

        n = pick(w, CHILDREN);
        OK(kill(pids[n], SIGKILL) == 0);
        OK(waitpid(pids[n], NULL, 0) == pids[n]);
        pids[n] = child_start(n);
    }

    kills = (unsigned long) i;

    for (n = 0; n < CHILDREN; n++) {
        OK(kill(pids[n], SIGKILL) == 0);
        OK(waitpid(pids[n], NULL, 0) == pids[n]);
    }

    EQ_INT(common->torn, 0);
    EQ_INT(common->revoked, 0);
    EQ_INT(common->wrong, 0);
    OK(common->hits > 1000);
    OK(common->kept > 1000);
    check_shards();

    /* all is well for who comes after them */

    memset(common, 0, sizeof(common_t));
    ngx_iv_cache_drop_all(&w->cache);

    for (i = 0; i < 20000; i++) {
        turn(w, NOW * 2 + (int64_t) i);
    }

    OK(common->hits > 1000);
    EQ_INT(common->torn, 0);
    check_shards();

    ngx_iv_cache_stats(&w->cache, &st);
    printf("%lu kills, shards recovered: %llu, hits %llu, fills %llu, "
           "evictions %llu, stale %llu, skipped %llu\n", kills,
           (unsigned long long) st.recovered, (unsigned long long) st.hits,
           (unsigned long long) st.fills, (unsigned long long) st.evictions,
           (unsigned long long) st.stale, (unsigned long long) st.skipped);
    OK(st.recovered > 0);
    OK(st.evictions > 1000);
    OK(st.stale > 0);

    for (n = 0; n < w->cache.head->nshards; n++) {
        EQ_INT(ngx_iv_cache_shard(w->cache.head, n)->lock, 0);
    }

    free(w);
}


static ngx_uint_t
threads_live(uint32_t pid)
{
    return 1;
}


static void *
thread_run(void *data)
{
    unsigned   i;
    worker_t  *w;

    w = data;

    for (i = 0; i < ROUNDS; i++) {
        turn(w, NOW + i / 100);
    }

    return NULL;
}


static void
test_threads(void)
{
    worker_t    *w[CHILDREN];
    pthread_t    threads[CHILDREN];
    ngx_uint_t   n;

    begin(100 << 10);

    for (n = 0; n < CHILDREN; n++) {
        w[n] = worker_new((uint32_t) (100 + n), n);
        w[n]->cache.alive = threads_live;
        OK(pthread_create(&threads[n], NULL, thread_run, w[n]) == 0);
    }

    for (n = 0; n < CHILDREN; n++) {
        OK(pthread_join(threads[n], NULL) == 0);
        free(w[n]);
    }

    EQ_INT(common->torn, 0);
    EQ_INT(common->revoked, 0);
    EQ_INT(common->wrong, 0);
    OK(common->hits > 1000);
    OK(common->kept > 1000);
    check_shards();
}


int
main(void)
{
    RUN(test_threads);
    RUN(test_kills);

    return iv_test_done();
}
