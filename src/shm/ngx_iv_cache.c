/*
 * The ownership cache: look-up, fill, drop, counters.
 */

#include "shm/ngx_iv_cache_private.h"

#include <signal.h>


#define NGX_IV_CACHE_TRIES       16
#define NGX_IV_CACHE_CHAIN       256
#define NGX_IV_CACHE_SHARD_LEAST 65536
#define NGX_IV_CACHE_SKEW        1000

#define ngx_iv_rotl(x, n)  ((x) << (n) | (x) >> (64 - (n)))


/* an entry as it was copied out */
typedef struct {
    uint32_t    gen;            /* of the bucket */
    uint32_t    block;          /* 0: none */
    uint64_t    words[NGX_IV_BLOCK_HEAD_WORDS];
} ngx_iv_cache_copy_t;


static uint32_t ngx_iv_cache_geometry(ngx_iv_cache_head_t *head, size_t size);
static ngx_uint_t ngx_iv_cache_alive(uint32_t pid);
static ngx_int_t ngx_iv_cache_read(ngx_iv_cache_head_t *head,
    ngx_iv_cache_place_t *place, uint64_t id1, uint32_t id2,
    ngx_iv_cache_copy_t *copy, uint64_t *data);
static ngx_int_t ngx_iv_cache_copy_out(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard, ngx_iv_cache_copy_t *copy, uint64_t *data);
static ngx_uint_t ngx_iv_cache_young(uint64_t hash, int64_t at, int64_t now,
    ngx_msec_t life);
static ngx_iv_cache_state_e ngx_iv_cache_judge(ngx_iv_cache_place_t *place,
    ngx_iv_cache_copy_t *copy, int64_t now, ngx_msec_t valid,
    ngx_msec_t negative, ngx_iv_cache_found_t *found);
static void ngx_iv_cache_recent(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard, uint32_t n);
static void ngx_iv_cache_words(const u_char id[NGX_IV_ID_LEN], uint64_t *id1,
    uint32_t *id2);
static ngx_inline void ngx_iv_cache_sip(uint64_t v[4]);


ngx_int_t
ngx_iv_cache_init(void *memory, size_t size)
{
    u_char                *states;
    uint32_t               i, n;
    ngx_iv_cache_head_t   *head;
    ngx_iv_cache_shard_t  *shard;
    ngx_iv_cache_bucket_t *buckets;

    if (size < NGX_IV_CACHE_MEMORY) {
        return NGX_ERROR;
    }

    head = memory;
    ngx_memzero(head, sizeof(ngx_iv_cache_head_t));

    if (ngx_iv_random((u_char *) head->seed, sizeof(head->seed)) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_iv_cache_geometry(head, size - sizeof(ngx_iv_cache_head_t)) < 8) {
        return NGX_ERROR;
    }

    /* blocks are not touched before they are used: memory stays free so long */

    for (n = 0; n < head->nshards; n++) {
        shard = ngx_iv_cache_shard(head, n);
        ngx_memzero(shard, sizeof(ngx_iv_cache_shard_t));

        buckets = ngx_iv_cache_buckets(shard);
        ngx_memzero(buckets, head->nbuckets * sizeof(ngx_iv_cache_bucket_t));

        states = ngx_iv_cache_states(head, shard);

        for (i = 0; i < head->nblocks; i++) {
            states[i] = 0;
        }
    }

    return NGX_OK;
}


/* as many shards as get enough memory each, two to four blocks a bucket */

static uint32_t
ngx_iv_cache_geometry(ngx_iv_cache_head_t *head, size_t size)
{
    size_t    each, room;
    uint32_t  nshards, nbuckets;

    nshards = 1;

    while (nshards < NGX_IV_CACHE_SHARDS
           && size / (2 * nshards) >= NGX_IV_CACHE_SHARD_LEAST)
    {
        nshards *= 2;
    }

    each = size / nshards;

    /* no number of a block may reach 32 bits */
    each = ngx_min(each, (size_t) 0x7fffffff)
           & ~((size_t) NGX_IV_CACHE_ALIGNMENT - 1);

    room = each - sizeof(ngx_iv_cache_shard_t);

    nbuckets = 4;

    while (2 * (size_t) nbuckets * 2 * sizeof(ngx_iv_cache_block_t) <= room) {
        nbuckets *= 2;
    }

    room -= nbuckets * sizeof(ngx_iv_cache_bucket_t)
            + 2 * NGX_IV_CACHE_ALIGNMENT;

    head->nshards = nshards;
    head->nbuckets = nbuckets;
    head->shard_size = each;
    head->nblocks = (uint32_t) (room / (sizeof(ngx_iv_cache_block_t) + 1));

    head->states = sizeof(ngx_iv_cache_shard_t)
                   + nbuckets * sizeof(ngx_iv_cache_bucket_t);
    head->blocks = ngx_align(head->states + head->nblocks,
                             NGX_IV_CACHE_ALIGNMENT);

    head->max = ngx_min(NGX_IV_CACHE_MAX,
                        head->nblocks / 8 * NGX_IV_BLOCK_DATA);

    return head->nblocks;
}


void
ngx_iv_cache_attach(ngx_iv_cache_t *cache, void *memory)
{
    cache->head = memory;
    cache->pid = 0;
    cache->stripe = 0;
    cache->seen = 0;
    cache->alive = ngx_iv_cache_alive;
}


void
ngx_iv_cache_worker(ngx_iv_cache_t *cache, ngx_pid_t pid, ngx_uint_t worker)
{
    cache->pid = (uint32_t) pid;
    cache->stripe = worker % NGX_IV_CACHE_STRIPES;
}


static ngx_uint_t
ngx_iv_cache_alive(uint32_t pid)
{
    return kill((pid_t) pid, 0) == 0 || ngx_errno != NGX_ESRCH;
}


/* several small steps back count as one */

void
ngx_iv_cache_clock(ngx_iv_cache_t *cache, int64_t now)
{
    if (now < cache->seen) {

        if (now >= cache->seen - NGX_IV_CACHE_SKEW) {
            return;
        }

        ngx_iv_cache_drop_all(cache);
    }

    cache->seen = now;
}


ngx_iv_cache_state_e
ngx_iv_cache_get(ngx_iv_cache_t *cache, const u_char id[NGX_IV_ID_LEN],
    int64_t now, ngx_msec_t valid, ngx_msec_t negative,
    ngx_iv_cache_found_t *found)
{
    uint32_t                id2;
    uint64_t                id1;
    ngx_uint_t              i;
    ngx_iv_cache_head_t    *head;
    ngx_iv_cache_copy_t     copy;
    ngx_iv_cache_place_t    place;
    ngx_iv_cache_state_e    state;

    static const ngx_iv_cache_counter_e  counters[] = {
        NGX_IV_CACHE_MISSES, NGX_IV_CACHE_HITS, NGX_IV_CACHE_EXPIREDS,
        NGX_IV_CACHE_NEGATIVES
    };

    head = cache->head;

    ngx_iv_cache_words(id, &id1, &id2);
    ngx_iv_cache_place(head, id1, id2, &place);

    state = NGX_IV_CACHE_MISS;

    for (i = 0; i < NGX_IV_CACHE_TRIES; i++) {

        if (ngx_iv_cache_read(head, &place, id1, id2, &copy, found->words)
            != NGX_OK)
        {
            ngx_cpu_pause();
            continue;
        }

        if (copy.block
            && ngx_iv_high32(copy.words[NGX_IV_BLOCK_ID_GEN]) == copy.gen
            && ngx_iv_low32(copy.words[NGX_IV_BLOCK_EPOCH_LEN])
               == ngx_iv_load(&head->epoch))
        {
            ngx_iv_cache_recent(head, place.shard, copy.block);

            state = ngx_iv_cache_judge(&place, &copy, now, valid, negative,
                                       found);
        }

        break;
    }

    ngx_iv_cache_count(cache, counters[state]);

    return state;
}


/*
 * Without the lock: anything may change meanwhile, so each number is looked at
 * before it is used, and all is void unless the sequence number has stayed.
 * NGX_OK with or without an entry, NGX_AGAIN.
 */

static ngx_int_t
ngx_iv_cache_read(ngx_iv_cache_head_t *head, ngx_iv_cache_place_t *place,
    uint64_t id1, uint32_t id2, ngx_iv_cache_copy_t *copy, uint64_t *data)
{
    uint32_t               seq, n;
    ngx_uint_t             steps;
    ngx_iv_cache_block_t  *block;
    ngx_iv_cache_shard_t  *shard;

    shard = place->shard;
    seq = ngx_iv_load(&shard->seq);

    if (seq & 1) {
        return NGX_AGAIN;
    }

    copy->gen = ngx_iv_load(&place->bucket->gen);
    copy->block = 0;

    n = ngx_iv_load(&place->bucket->head);

    for (steps = 0; n && steps < NGX_IV_CACHE_CHAIN; steps++) {

        if (n > head->nblocks) {
            return NGX_AGAIN;
        }

        block = ngx_iv_cache_block(head, shard, n);

        if (ngx_iv_load(&block->word[NGX_IV_BLOCK_ID]) == id1
            && ngx_iv_low32(ngx_iv_load(&block->word[NGX_IV_BLOCK_ID_GEN]))
               == id2)
        {
            copy->block = n;

            if (ngx_iv_cache_copy_out(head, shard, copy, data) != NGX_OK) {
                return NGX_AGAIN;
            }

            break;
        }

        n = ngx_iv_high32(ngx_iv_load(&block->word[NGX_IV_BLOCK_LINK]));
    }

    if (__atomic_load_n(&shard->seq, __ATOMIC_RELAXED) != seq) {
        return NGX_AGAIN;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_cache_copy_out(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard,
    ngx_iv_cache_copy_t *copy, uint64_t *data)
{
    size_t                 len, nwords;
    uint32_t               n;
    ngx_uint_t             i;
    ngx_iv_cache_block_t  *block;

    block = ngx_iv_cache_block(head, shard, copy->block);

    for (i = 0; i < NGX_IV_BLOCK_HEAD_WORDS; i++) {
        copy->words[i] = ngx_iv_load(&block->word[i]);
    }

    len = ngx_iv_high32(copy->words[NGX_IV_BLOCK_EPOCH_LEN]);

    if (len > head->max) {
        return NGX_AGAIN;
    }

    n = ngx_iv_low32(copy->words[NGX_IV_BLOCK_LINK]);

    for (nwords = (len + 7) / 8; nwords; nwords--) {

        if (i == NGX_IV_BLOCK_WORDS) {

            if (n == 0 || n > head->nblocks) {
                return NGX_AGAIN;
            }

            block = ngx_iv_cache_block(head, shard, n);
            n = ngx_iv_low32(ngx_iv_load(&block->word[NGX_IV_BLOCK_LINK]));
            i = 1;
        }

        *data++ = ngx_iv_load(&block->word[i]);
        i++;
    }

    return NGX_OK;
}


static ngx_iv_cache_state_e
ngx_iv_cache_judge(ngx_iv_cache_place_t *place, ngx_iv_cache_copy_t *copy,
    int64_t now, ngx_msec_t valid, ngx_msec_t negative,
    ngx_iv_cache_found_t *found)
{
    size_t   len;
    int64_t  at;

    len = ngx_iv_high32(copy->words[NGX_IV_BLOCK_EPOCH_LEN]);
    at = (int64_t) copy->words[NGX_IV_BLOCK_AT];

    found->may_refuse = ngx_iv_cache_young(place->hash, at, now, negative);

    if (len == NGX_IV_CACHE_NONE) {
        return found->may_refuse ? NGX_IV_CACHE_NEGATIVE
                                 : NGX_IV_CACHE_EXPIRED;
    }

    if (!ngx_iv_cache_young(place->hash, at, now, valid)) {
        return NGX_IV_CACHE_EXPIRED;
    }

    if (ngx_iv_cache_unpack(&found->entry, (u_char *) found->words, len)
        != NGX_OK)
    {
        return NGX_IV_CACHE_MISS;
    }

    found->ages = !ngx_iv_cache_young(place->hash, at, now, valid - valid / 8);

    return NGX_IV_CACHE_HIT;
}


/* jitter differs from entry to entry and from fill to fill; another worker's
 * clock may be ahead, but 0 is no life at all */

static ngx_uint_t
ngx_iv_cache_young(uint64_t hash, int64_t at, int64_t now, ngx_msec_t life)
{
    int64_t   age, limit;
    uint64_t  jitter;

    age = now - at;

    if (life == 0 || age < -NGX_IV_CACHE_SKEW) {
        return 0;
    }

    jitter = ((hash ^ (uint64_t) at) * 0x9e3779b97f4a7c15ull) >> 56;
    limit = (int64_t) life;
    limit -= limit / 8 * (int64_t) jitter / 255;

    return age < limit;
}


/* most hits find the mark there and write nothing */

static void
ngx_iv_cache_recent(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard,
    uint32_t n)
{
    u_char  *state;

    state = &ngx_iv_cache_states(head, shard)[n - 1];

    if (!(__atomic_load_n(state, __ATOMIC_RELAXED) & NGX_IV_BLOCK_RECENT)) {
        (void) __atomic_fetch_or(state, NGX_IV_BLOCK_RECENT, __ATOMIC_RELAXED);
    }
}


/*
 * A mark: half of the hash and the generation, added, so that it differs from
 * marks made before a drop; and the end in milliseconds, cut to 32 bits.
 */

ngx_int_t
ngx_iv_cache_begin(ngx_iv_cache_t *cache, const u_char id[NGX_IV_ID_LEN],
    int64_t now, ngx_msec_t wait, ngx_iv_cache_token_t *token)
{
    int32_t                left;
    uint32_t               id2, tag;
    uint64_t               id1, mark, mine;
    ngx_uint_t             same, live;
    ngx_iv_cache_place_t   place;

    ngx_iv_cache_words(id, &id1, &id2);
    ngx_iv_cache_place(cache->head, id1, id2, &place);

    ngx_memcpy(token->id, id, NGX_IV_ID_LEN);
    token->at = now;
    token->mark = 0;

    /* these come before the store is asked: a later drop is noticed */

    token->gen = __atomic_load_n(&place.bucket->gen, __ATOMIC_SEQ_CST);
    token->epoch = __atomic_load_n(&cache->head->epoch, __ATOMIC_SEQ_CST);

    tag = (uint32_t) place.hash + token->gen;

    mark = ngx_iv_load(&place.bucket->mark);
    left = (int32_t) (ngx_iv_low32(mark) - (uint32_t) now);
    same = ngx_iv_high32(mark) == tag;

    /* a clock that was set back must not make anybody wait for long */
    live = mark != 0 && left > 0
           && (ngx_msec_t) left <= wait + NGX_IV_CACHE_SKEW;

    if (live && same) {
        return NGX_AGAIN;
    }

    /* beside another id of the bucket it goes without a mark */

    if (!live) {
        mine = ngx_iv_pack32((uint32_t) now + (uint32_t) wait, tag);

        if (!__atomic_compare_exchange_n(&place.bucket->mark, &mark, mine, 0,
                                         __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
        {
            /* another worker was faster */
            return NGX_AGAIN;
        }

        token->mark = mine;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_cache_fill(ngx_iv_cache_t *cache, const ngx_iv_cache_token_t *token,
    const ngx_iv_cache_entry_t *entry)
{
    size_t                 len;
    uint32_t               id2;
    uint64_t               words[NGX_IV_BLOCK_HEAD_WORDS];
    uint64_t               data[NGX_IV_CACHE_MAX / 8];
    ngx_int_t              rc;
    ngx_iv_cache_place_t   place;

    if (!ngx_iv_cache_current(cache, token)) {
        ngx_iv_cache_count(cache, NGX_IV_CACHE_STALES);
        ngx_iv_cache_abandon(cache, token);
        return NGX_DECLINED;
    }

    rc = NGX_DONE;
    len = NGX_IV_CACHE_NONE;

    if (entry) {
        len = ngx_iv_cache_pack(entry, (u_char *) data, cache->head->max);
        ngx_memzero((u_char *) data + len, (8 - len % 8) % 8);
    }

    if ((entry == NULL || len != NGX_IV_CACHE_NONE) && cache->pid) {

        ngx_iv_cache_words(token->id, &words[NGX_IV_BLOCK_ID], &id2);
        ngx_iv_cache_place(cache->head, words[NGX_IV_BLOCK_ID], id2, &place);

        words[NGX_IV_BLOCK_ID_GEN] = ngx_iv_pack32(id2, token->gen);
        words[NGX_IV_BLOCK_AT] = (uint64_t) token->at;
        words[NGX_IV_BLOCK_EPOCH_LEN] = ngx_iv_pack32(token->epoch, len);

        if (ngx_iv_cache_lock(cache, place.shard) == NGX_OK) {
            ngx_iv_cache_put(cache, &place, words, data, len);
            ngx_iv_cache_unlock(place.shard);
            rc = NGX_OK;
        }
    }

    if (rc != NGX_OK) {
        ngx_iv_cache_count(cache, NGX_IV_CACHE_SKIPPED);
    }

    ngx_iv_cache_abandon(cache, token);

    return rc;
}


/* takes away the own mark, not one that another worker made after it lapsed */

void
ngx_iv_cache_abandon(ngx_iv_cache_t *cache, const ngx_iv_cache_token_t *token)
{
    uint32_t               id2;
    uint64_t               id1, mark;
    ngx_iv_cache_place_t   place;

    if (token->mark == 0) {
        return;
    }

    ngx_iv_cache_words(token->id, &id1, &id2);
    ngx_iv_cache_place(cache->head, id1, id2, &place);

    mark = token->mark;

    (void) __atomic_compare_exchange_n(&place.bucket->mark, &mark, 0, 0,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}


ngx_uint_t
ngx_iv_cache_current(ngx_iv_cache_t *cache, const ngx_iv_cache_token_t *token)
{
    uint32_t               id2;
    uint64_t               id1;
    ngx_iv_cache_place_t   place;

    ngx_iv_cache_words(token->id, &id1, &id2);
    ngx_iv_cache_place(cache->head, id1, id2, &place);

    return token->gen == __atomic_load_n(&place.bucket->gen, __ATOMIC_SEQ_CST)
           && token->epoch == __atomic_load_n(&cache->head->epoch,
                                              __ATOMIC_SEQ_CST);
}


void
ngx_iv_cache_drop(ngx_iv_cache_t *cache, const u_char id[NGX_IV_ID_LEN])
{
    uint32_t               id2;
    uint64_t               id1;
    ngx_iv_cache_place_t   place;

    ngx_iv_cache_words(id, &id1, &id2);
    ngx_iv_cache_place(cache->head, id1, id2, &place);

    (void) __atomic_fetch_add(&place.bucket->gen, 1, __ATOMIC_SEQ_CST);

    /* who asks now need not wait for a look-up that began before */

    __atomic_store_n(&place.bucket->mark, 0, __ATOMIC_SEQ_CST);

    ngx_iv_cache_count(cache, NGX_IV_CACHE_DROPS);
}


/* marks stay: whoever waits for one begins anew after it */

void
ngx_iv_cache_drop_all(ngx_iv_cache_t *cache)
{
    (void) __atomic_fetch_add(&cache->head->epoch, 1, __ATOMIC_SEQ_CST);

    ngx_iv_cache_count(cache, NGX_IV_CACHE_DROPS);
}


void
ngx_iv_cache_stats(ngx_iv_cache_t *cache, ngx_iv_cache_stats_t *stats)
{
    uint64_t               sums[NGX_IV_CACHE_COUNTERS];
    ngx_uint_t             i, n;
    ngx_iv_cache_head_t   *head;
    ngx_iv_cache_shard_t  *shard;

    head = cache->head;

    ngx_memzero(sums, sizeof(sums));

    for (n = 0; n < NGX_IV_CACHE_STRIPES; n++) {
        for (i = 0; i < NGX_IV_CACHE_COUNTERS; i++) {
            sums[i] += __atomic_load_n(&head->stripes[n][i], __ATOMIC_RELAXED);
        }
    }

    stats->hits = sums[NGX_IV_CACHE_HITS];
    stats->misses = sums[NGX_IV_CACHE_MISSES];
    stats->expired = sums[NGX_IV_CACHE_EXPIREDS];
    stats->negative = sums[NGX_IV_CACHE_NEGATIVES];
    stats->fills = sums[NGX_IV_CACHE_FILLS];
    stats->stale = sums[NGX_IV_CACHE_STALES];
    stats->skipped = sums[NGX_IV_CACHE_SKIPPED];
    stats->evictions = sums[NGX_IV_CACHE_EVICTIONS];
    stats->drops = sums[NGX_IV_CACHE_DROPS];
    stats->recovered = sums[NGX_IV_CACHE_RECOVERED];
    stats->entries = 0;
    stats->bytes = 0;
    stats->size = (uint64_t) head->nshards * head->nblocks
                  * sizeof(ngx_iv_cache_block_t);

    for (n = 0; n < head->nshards; n++) {
        shard = ngx_iv_cache_shard(head, n);
        stats->entries += ngx_iv_load(&shard->entries);
        stats->bytes += (uint64_t) ngx_iv_load(&shard->used)
                        * sizeof(ngx_iv_cache_block_t);
    }
}


static void
ngx_iv_cache_words(const u_char id[NGX_IV_ID_LEN], uint64_t *id1,
    uint32_t *id2)
{
    ngx_memcpy(id1, id, sizeof(uint64_t));
    ngx_memcpy(id2, id + sizeof(uint64_t), sizeof(uint32_t));
}


/* SipHash-1-3 of the twelve bytes (as words of this machine) */

void
ngx_iv_cache_place(ngx_iv_cache_head_t *head, uint64_t id1, uint32_t id2,
    ngx_iv_cache_place_t *place)
{
    uint64_t  v[4], last, hash;

    last = (uint64_t) NGX_IV_ID_LEN << 56 | id2;

    v[0] = head->seed[0] ^ 0x736f6d6570736575ull;
    v[1] = head->seed[1] ^ 0x646f72616e646f6dull;
    v[2] = head->seed[0] ^ 0x6c7967656e657261ull;
    v[3] = head->seed[1] ^ 0x7465646279746573ull;

    v[3] ^= id1;
    ngx_iv_cache_sip(v);
    v[0] ^= id1;

    v[3] ^= last;
    ngx_iv_cache_sip(v);
    v[0] ^= last;

    v[2] ^= 0xff;
    ngx_iv_cache_sip(v);
    ngx_iv_cache_sip(v);
    ngx_iv_cache_sip(v);

    hash = v[0] ^ v[1] ^ v[2] ^ v[3];

    place->hash = hash;
    place->shard = ngx_iv_cache_shard(head, (hash >> 32) & (head->nshards - 1));
    place->bucket = &ngx_iv_cache_buckets(place->shard)
                        [(hash >> 38) & (head->nbuckets - 1)];
}


static ngx_inline void
ngx_iv_cache_sip(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ngx_iv_rotl(v[1], 13) ^ v[0];
    v[0] = ngx_iv_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = ngx_iv_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ngx_iv_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ngx_iv_rotl(v[1], 17) ^ v[2];
    v[2] = ngx_iv_rotl(v[2], 32);
}
