/*
 * The ownership cache in one process.
 *
 * sources: src/shm/ngx_iv_cache.c src/shm/ngx_iv_cache_shard.c
 *     src/shm/ngx_iv_cache_entry.c src/base/ngx_iv_str.c
 *
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "shm/ngx_iv_cache_private.h"

#include <stdlib.h>


#define NOW       1700000000000ll
#define VALID     60000
#define NEGATIVE  5000


static void                  *memory;
static ngx_iv_cache_t         cache;
static ngx_iv_cache_found_t   found;


static void
begin(size_t size)
{
    free(memory);
    memory = aligned_alloc(4096, size);

    if (memory == NULL) {
        exit(2);
    }

    memset(memory, 0xa5, size);

    EQ_INT(ngx_iv_cache_init(memory, size), NGX_OK);
    ngx_iv_cache_attach(&cache, memory);
    ngx_iv_cache_worker(&cache, 4711, 3);
}


static const u_char *
id_of(unsigned n)
{
    static u_char  id[4][NGX_IV_ID_LEN];
    static int     turn;
    u_char        *p;

    p = id[turn++ & 3];
    memset(p, 0x5e, NGX_IV_ID_LEN);
    memcpy(p + NGX_IV_ID_LEN - sizeof(n), &n, sizeof(n));

    return p;
}


static void
sample(ngx_iv_cache_entry_t *e)
{
    memset(e, 0, sizeof(*e));

    ngx_str_set(&e->storage, "s3");
    ngx_str_set(&e->key, "images/0c1d2e3f-0000-4000-8000-000000000000.jpg");
    ngx_str_set(&e->owner, "alice");
    ngx_str_set(&e->type, "image/jpeg");
    ngx_str_set(&e->name, "holiday.jpg");
    e->expires_at = NOW + 1000;
    e->updated_at = NOW - 1000;
    e->size = 123456789012ll;
    e->status = 2;
}


static ngx_int_t
put(unsigned n, int64_t at, ngx_iv_cache_entry_t *e)
{
    ngx_iv_cache_token_t  token;

    if (ngx_iv_cache_begin(&cache, id_of(n), at, 1000, &token) != NGX_OK) {
        return NGX_AGAIN;
    }

    return ngx_iv_cache_fill(&cache, &token, e);
}


static ngx_iv_cache_state_e
get(unsigned n, int64_t now)
{
    return ngx_iv_cache_get(&cache, id_of(n), now, VALID, NEGATIVE, &found);
}


static void
test_memory(void)
{
    u_char  small[64];

    EQ_INT(ngx_iv_cache_init(small, sizeof(small)), NGX_ERROR);

    begin(NGX_IV_CACHE_MEMORY);
    OK(cache.head->nshards == 1 && cache.head->nblocks >= 64);

    begin(1 << 20);
    EQ_INT(cache.head->nshards, 8);
    OK(cache.head->max > 4000);

    begin(64 << 20);
    EQ_INT(cache.head->nshards, 64);
    EQ_INT(cache.head->max, NGX_IV_CACHE_MAX);

    OK((u_char *) ngx_iv_cache_shard(cache.head, 64)
       <= (u_char *) memory + (64 << 20));
    OK((u_char *) ngx_iv_cache_block(cache.head,
                                     ngx_iv_cache_shard(cache.head, 0),
                                     cache.head->nblocks + 1)
       <= (u_char *) ngx_iv_cache_shard(cache.head, 1));
}


static void
test_round_trip(void)
{
    ngx_str_t             shares[3], user;
    ngx_iv_cache_entry_t  e, *f;

    begin(1 << 20);
    sample(&e);
    f = &found.entry;

    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);
    EQ_INT(put(1, NOW, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);
    EQ_INT(get(2, NOW), NGX_IV_CACHE_MISS);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);

    EQ_STR(f->storage, "s3");
    EQ_STR(f->key, "images/0c1d2e3f-0000-4000-8000-000000000000.jpg");
    EQ_STR(f->owner, "alice");
    EQ_STR(f->type, "image/jpeg");
    EQ_STR(f->name, "holiday.jpg");
    EQ_STR(f->reason, "");
    EQ_INT(f->expires_at, NOW + 1000);
    EQ_INT(f->updated_at, NOW - 1000);
    EQ_INT(f->size, 123456789012ll);
    EQ_INT(f->status, 2);
    OK(!f->is_public && !f->blocked && !f->has_sha256);

    ngx_str_set(&user, "");
    OK(!ngx_iv_cache_shared_with(f, &user));

    ngx_str_set(&shares[0], "bob");
    ngx_str_set(&shares[1], "caroline");
    ngx_str_set(&shares[2], "d");
    ngx_str_set(&e.reason, "rights");
    e.shares = shares;
    e.nshares = 3;
    e.is_public = 1;
    e.blocked = 1;
    e.has_sha256 = 1;
    memset(e.sha256, 0xc3, sizeof(e.sha256));

    EQ_INT(put(1, NOW, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);
    OK(f->is_public && f->blocked && f->has_sha256);
    EQ_MEM(f->sha256, e.sha256, sizeof(e.sha256));
    EQ_STR(f->reason, "rights");

    OK(ngx_iv_cache_shared_with(f, &shares[0]));
    OK(ngx_iv_cache_shared_with(f, &shares[1]));
    OK(ngx_iv_cache_shared_with(f, &shares[2]));
    ngx_str_set(&user, "bo");
    OK(!ngx_iv_cache_shared_with(f, &user));
    ngx_str_set(&user, "bobc");
    OK(!ngx_iv_cache_shared_with(f, &user));
    ngx_str_set(&user, "");
    OK(!ngx_iv_cache_shared_with(f, &user));
}


static void
test_large(void)
{
    u_char                bytes[1100];
    ngx_str_t             shares[100];
    ngx_uint_t            i;
    ngx_iv_cache_entry_t  e;
    ngx_iv_cache_stats_t  st;

    begin(64 << 20);
    sample(&e);

    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (u_char) ('a' + i % 26);
    }

    e.key.data = bytes;
    e.key.len = 1024;
    e.name.data = bytes + 3;
    e.name.len = 255;

    for (i = 0; i < 100; i++) {
        shares[i].data = bytes + i;
        shares[i].len = 128;
    }

    e.shares = shares;
    e.nshares = 100;

    EQ_INT(put(1, NOW, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);
    EQ_MEM(found.entry.key.data, bytes, 1024);
    EQ_MEM(found.entry.name.data, bytes + 3, 255);
    OK(ngx_iv_cache_shared_with(&found.entry, &shares[0]));
    OK(ngx_iv_cache_shared_with(&found.entry, &shares[99]));

    /* too large, each in its way: good for the request, not kept */

    e.key.len = 1025;
    EQ_INT(put(2, NOW, &e), NGX_DONE);
    e.key.len = 0;
    e.owner.len = 256;
    EQ_INT(put(2, NOW, &e), NGX_DONE);
    e.owner.len = 5;
    shares[50].len = 256;
    EQ_INT(put(2, NOW, &e), NGX_DONE);
    shares[50].len = 0;
    EQ_INT(put(2, NOW, &e), NGX_DONE);

    for (i = 0; i < 100; i++) {
        shares[i].len = 170;
    }

    EQ_INT(put(2, NOW, &e), NGX_DONE);
    EQ_INT(get(2, NOW), NGX_IV_CACHE_MISS);

    ngx_iv_cache_stats(&cache, &st);
    EQ_INT(st.skipped, 5);
    EQ_INT(st.entries, 1);
    OK(st.bytes > 14000 && st.bytes < 16384);
}


static void
test_lengths(void)
{
    u_char                name[1024];
    ngx_uint_t            i, bad;
    ngx_iv_cache_entry_t  e;

    /* each border of a block */

    begin(1 << 20);
    sample(&e);
    bad = 0;

    for (i = 0; i < sizeof(name); i++) {
        name[i] = (u_char) (i * 7);
    }

    e.name.data = name;

    for (i = 0; i <= sizeof(name); i++) {
        e.name.len = i;

        if (put(7, NOW, &e) != NGX_OK
            || get(7, NOW) != NGX_IV_CACHE_HIT
            || found.entry.name.len != i
            || memcmp(found.entry.name.data, name, i) != 0)
        {
            bad++;
        }
    }

    EQ_INT(bad, 0);
}


static void
test_life(void)
{
    unsigned              n, early;
    ngx_iv_cache_entry_t  e;

    begin(4 << 20);
    sample(&e);

    /* jitter takes up to an eighth, never adds */

    for (n = 0; n < 1000; n++) {
        EQ_INT(put(n, NOW, &e), NGX_OK);
    }

    for (n = 0, early = 0; n < 1000; n++) {
        if (get(n, NOW + VALID * 7 / 8 - 1) != NGX_IV_CACHE_HIT
            || get(n, NOW + VALID) != NGX_IV_CACHE_EXPIRED)
        {
            OK(0);
        }

        early += get(n, NOW + VALID * 15 / 16) == NGX_IV_CACHE_EXPIRED;
    }

    OK(early > 300 && early < 700);

    /* who asks in the last eighth is told so */

    for (n = 0, early = 0; n < 1000; n++) {
        EQ_INT(get(n, NOW + VALID * 49 / 64 - 1), NGX_IV_CACHE_HIT);
        EQ_INT(found.ages, 0);

        EQ_INT(get(n, NOW + VALID * 7 / 8 - 1), NGX_IV_CACHE_HIT);
        early += found.ages;

        if (get(n, NOW + VALID * 15 / 16) == NGX_IV_CACHE_HIT) {
            EQ_INT(found.ages, 1);
        }
    }

    OK(early > 900);

    /* the asker's own limit, and a clock that steps back */

    EQ_INT(ngx_iv_cache_get(&cache, id_of(1), NOW + 6000, 5000, 100, &found),
           NGX_IV_CACHE_EXPIRED);
    EQ_INT(ngx_iv_cache_get(&cache, id_of(1), NOW, 0, 0, &found),
           NGX_IV_CACHE_EXPIRED);
    EQ_INT(get(1, NOW - 900), NGX_IV_CACHE_HIT);
    EQ_INT(get(1, NOW - 1100), NGX_IV_CACHE_EXPIRED);

    /* who would be refused by it */

    EQ_INT(get(1, NOW + NEGATIVE / 2), NGX_IV_CACHE_HIT);
    EQ_INT(found.may_refuse, 1);
    EQ_INT(get(1, NOW + NEGATIVE), NGX_IV_CACHE_HIT);
    EQ_INT(found.may_refuse, 0);

    /* there is no such image */

    EQ_INT(put(5000, NOW, NULL), NGX_OK);
    EQ_INT(get(5000, NOW + NEGATIVE / 2), NGX_IV_CACHE_NEGATIVE);
    EQ_INT(found.may_refuse, 1);
    EQ_INT(get(5000, NOW + NEGATIVE), NGX_IV_CACHE_EXPIRED);

    EQ_INT(put(5000, NOW, &e), NGX_OK);
    EQ_INT(get(5000, NOW + NEGATIVE), NGX_IV_CACHE_HIT);
    EQ_INT(put(5000, NOW, NULL), NGX_OK);
    EQ_INT(get(5000, NOW), NGX_IV_CACHE_NEGATIVE);
}


static void
test_clock(void)
{
    ngx_iv_cache_entry_t  e;

    begin(1 << 20);
    sample(&e);

    ngx_iv_cache_clock(&cache, NOW);
    EQ_INT(put(1, NOW, &e), NGX_OK);

    ngx_iv_cache_clock(&cache, NOW + 2 * VALID);
    EQ_INT(get(1, NOW + 2 * VALID), NGX_IV_CACHE_EXPIRED);

    /* a small step, as another worker's clock may be ahead */

    EQ_INT(put(2, NOW + 2 * VALID, &e), NGX_OK);
    ngx_iv_cache_clock(&cache, NOW + 2 * VALID - 600);
    EQ_INT(get(2, NOW + 2 * VALID - 600), NGX_IV_CACHE_HIT);

    /* a large one: what has lived out stays dead */

    ngx_iv_cache_clock(&cache, NOW + 1);
    EQ_INT(get(1, NOW + 1), NGX_IV_CACHE_MISS);
    EQ_INT(get(2, NOW + 1), NGX_IV_CACHE_MISS);

    /* once */

    EQ_INT(put(1, NOW + 1, &e), NGX_OK);
    ngx_iv_cache_clock(&cache, NOW + 2);
    EQ_INT(get(1, NOW + 2), NGX_IV_CACHE_HIT);

    /* many small ones */

    ngx_iv_cache_clock(&cache, NOW - 600);
    EQ_INT(get(1, NOW - 600), NGX_IV_CACHE_HIT);
    ngx_iv_cache_clock(&cache, NOW - 1200);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);
}


static void
test_generations(void)
{
    ngx_iv_cache_entry_t  e;
    ngx_iv_cache_stats_t  st;
    ngx_iv_cache_token_t  token, other;

    begin(1 << 20);
    sample(&e);

    EQ_INT(put(1, NOW, &e), NGX_OK);
    ngx_iv_cache_drop(&cache, id_of(1));
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);

    /* a fill begun before the drop */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &token), NGX_OK);
    OK(ngx_iv_cache_current(&cache, &token));
    ngx_iv_cache_drop(&cache, id_of(1));
    OK(!ngx_iv_cache_current(&cache, &token));

    /* … does not hold up who comes after it */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &other), NGX_OK);
    EQ_INT(ngx_iv_cache_fill(&cache, &token, &e), NGX_DECLINED);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);

    /* … nor takes away its mark */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &token), NGX_AGAIN);
    EQ_INT(ngx_iv_cache_fill(&cache, &other, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);

    /* the whole cache */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(2), NOW, 1000, &token), NGX_OK);
    ngx_iv_cache_drop_all(&cache);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);
    OK(!ngx_iv_cache_current(&cache, &token));
    EQ_INT(ngx_iv_cache_fill(&cache, &token, NULL), NGX_DECLINED);
    EQ_INT(get(2, NOW), NGX_IV_CACHE_MISS);
    EQ_INT(put(1, NOW, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);

    ngx_iv_cache_stats(&cache, &st);
    EQ_INT(st.stale, 2);
    EQ_INT(st.drops, 3);
    EQ_INT(st.hits, 2);
    EQ_INT(st.misses, 4);
}


static void
test_marks(void)
{
    unsigned              n;
    ngx_iv_cache_token_t  token, other;

    begin(NGX_IV_CACHE_MEMORY);

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &token), NGX_OK);
    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW + 999, 1000, &other),
           NGX_AGAIN);

    /* it lapses, and the late one does not take away the next one's */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW + 1000, 1000, &other),
           NGX_OK);
    ngx_iv_cache_abandon(&cache, &token);
    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW + 1001, 1000, &token),
           NGX_AGAIN);
    ngx_iv_cache_abandon(&cache, &other);
    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW + 1001, 1000, &token),
           NGX_OK);

    /* another worker's idea of the time is a little behind */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW + 900, 1000, &other),
           NGX_AGAIN);

    /* a clock that steps back by an hour */

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW - 3600000, 1000, &other),
           NGX_OK);

    /* more ids than buckets: none waits for another id, nor spoils its mark */

    begin(NGX_IV_CACHE_MEMORY);
    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &token), NGX_OK);

    for (n = 2; n < 500; n++) {
        if (ngx_iv_cache_begin(&cache, id_of(n), NOW, 1000, &other) != NGX_OK)
        {
            OK(0);
        }
    }

    EQ_INT(ngx_iv_cache_begin(&cache, id_of(1), NOW, 1000, &other), NGX_AGAIN);
}


static void
test_eviction(void)
{
    unsigned              n, hot, cold;
    ngx_iv_cache_entry_t  e;
    ngx_iv_cache_stats_t  st;

    begin(256 << 10);
    sample(&e);

    /* twenty that are asked for again and again, among many that are not */

    for (n = 0; n < 20; n++) {
        EQ_INT(put(n, NOW, &e), NGX_OK);
    }

    for (n = 1000; n < 21000; n++) {

        if (put(n, NOW, &e) != NGX_OK) {
            OK(0);
        }

        if (n % 10 == 0) {
            (void) get(n / 10 % 20, NOW);
        }
    }

    for (n = 0, hot = 0; n < 20; n++) {
        hot += get(n, NOW) == NGX_IV_CACHE_HIT;
    }

    for (n = 1000, cold = 0; n < 21000; n++) {
        cold += get(n, NOW) == NGX_IV_CACHE_HIT;
    }

    EQ_INT(hot, 20);
    OK(cold > 500 && cold < 1100);

    ngx_iv_cache_stats(&cache, &st);
    EQ_INT(st.entries, hot + cold);
    EQ_INT(st.fills - st.evictions, st.entries);
    OK(st.bytes <= st.size && st.bytes > st.size * 9 / 10);

    /* dropped ones go first, and nothing is lost on the way */

    ngx_iv_cache_drop_all(&cache);

    for (n = 0; n < 2000; n++) {
        (void) put(n, NOW, n % 3 ? &e : NULL);
    }

    ngx_iv_cache_stats(&cache, &st);
    OK(st.bytes <= st.size);

    for (n = 0, hot = 0; n < 2000; n++) {
        hot += get(n, NOW) != NGX_IV_CACHE_MISS;
    }

    EQ_INT(st.entries, hot);
}


static ngx_uint_t
nobody_lives(uint32_t pid)
{
    return 0;
}


static ngx_uint_t
all_live(uint32_t pid)
{
    return 1;
}


/* what a killed worker leaves, made by hand */

static void
test_recovery(void)
{
    unsigned               n;
    ngx_iv_cache_entry_t   e;
    ngx_iv_cache_stats_t   st;
    ngx_iv_cache_shard_t  *shard;

    begin(NGX_IV_CACHE_MEMORY);
    sample(&e);
    shard = ngx_iv_cache_shard(cache.head, 0);

    EQ_INT(put(1, NOW, &e), NGX_OK);

    /* it holds the lock, nothing else */

    shard->lock = 99;
    cache.alive = all_live;
    EQ_INT(put(2, NOW, &e), NGX_DONE);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);

    cache.alive = nobody_lives;
    EQ_INT(put(2, NOW, &e), NGX_OK);
    EQ_INT(shard->lock, 0);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_HIT);
    EQ_INT(get(2, NOW), NGX_IV_CACHE_HIT);

    /* in the middle of a change: nobody sees it, a drop is not held up */

    shard->lock = 99;
    shard->seq++;
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);
    ngx_iv_cache_drop(&cache, id_of(2));

    /* whatever is in it */

    shard->free = 0x7fffffff;
    shard->used = 3;
    ngx_iv_cache_buckets(shard)[0].head = 0x7fffffff;

    EQ_INT(put(3, NOW, &e), NGX_OK);
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);
    EQ_INT(get(3, NOW), NGX_IV_CACHE_HIT);
    EQ_INT(shard->seq & 1, 0);

    ngx_iv_cache_stats(&cache, &st);
    EQ_INT(st.recovered, 1);
    EQ_INT(st.entries, 1);

    /* a pid that came back as the own one */

    shard->lock = 4711;
    shard->seq++;
    cache.alive = all_live;
    EQ_INT(put(4, NOW, &e), NGX_OK);

    for (n = 0; n < 200; n++) {
        EQ_INT(put(n, NOW, &e), NGX_OK);
    }

    EQ_INT(get(199, NOW), NGX_IV_CACHE_HIT);

    /* a process that is no worker */

    cache.pid = 0;
    EQ_INT(put(300, NOW, &e), NGX_DONE);
}


/* numbers that make no sense, in a shard that looks at rest */

static void
test_nonsense(void)
{
    u_char                bytes[100];
    ngx_uint_t            i;
    ngx_iv_cache_entry_t  e;

    begin(NGX_IV_CACHE_MEMORY);
    sample(&e);
    EQ_INT(put(1, NOW, &e), NGX_OK);

    for (i = 0; i < cache.head->nbuckets; i++) {
        ngx_iv_cache_buckets(ngx_iv_cache_shard(cache.head, 0))[i].head
            = 0x7fffffff;
    }

    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);

    begin(NGX_IV_CACHE_MEMORY);
    EQ_INT(put(1, NOW, &e), NGX_OK);
    ngx_iv_cache_block(cache.head, ngx_iv_cache_shard(cache.head, 0), 1)
        ->word[NGX_IV_BLOCK_EPOCH_LEN] |= 0xffffull << 32;
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);

    begin(NGX_IV_CACHE_MEMORY);
    EQ_INT(put(1, NOW, &e), NGX_OK);
    ngx_iv_cache_block(cache.head, ngx_iv_cache_shard(cache.head, 0), 1)
        ->word[NGX_IV_BLOCK_LINK] = 0x7fffffff;
    EQ_INT(get(1, NOW), NGX_IV_CACHE_MISS);

    /* every length of every packed entry but the right one */

    ngx_str_set(&e.reason, "r");
    i = ngx_iv_cache_pack(&e, bytes, sizeof(bytes));
    EQ_INT(i, 0);
    e.key.len = 10;
    i = ngx_iv_cache_pack(&e, bytes, sizeof(bytes));
    OK(i > 48);
    EQ_INT(ngx_iv_cache_unpack(&e, bytes, i), NGX_OK);
    EQ_INT(ngx_iv_cache_unpack(&e, bytes, i + 1), NGX_ERROR);

    while (i--) {
        EQ_INT(ngx_iv_cache_unpack(&e, bytes, i), NGX_ERROR);
    }
}


int
main(void)
{
    RUN(test_memory);
    RUN(test_round_trip);
    RUN(test_large);
    RUN(test_lengths);
    RUN(test_life);
    RUN(test_clock);
    RUN(test_generations);
    RUN(test_marks);
    RUN(test_eviction);
    RUN(test_recovery);
    RUN(test_nonsense);

    free(memory);

    return iv_test_done();
}
