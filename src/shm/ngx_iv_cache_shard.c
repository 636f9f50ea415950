/*
 * One shard of the ownership cache: its lock, its memory, who has to go.
 *
 * What a worker may leave behind when it is killed: a lock with its pid, and
 * an odd sequence number if it was in the middle of a change.  Whoever takes
 * the lock over then empties the shard.  Generations and marks are no part of
 * that: single words, always whole.
 */

#include "shm/ngx_iv_cache_private.h"


#define NGX_IV_CACHE_SPIN     512
#define NGX_IV_CACHE_CHANCES  64


static ngx_uint_t ngx_iv_cache_try(ngx_iv_cache_shard_t *shard, uint32_t from,
    uint32_t pid);
static void ngx_iv_cache_reset(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard);
static void ngx_iv_cache_change(ngx_iv_cache_shard_t *shard);
static void ngx_iv_cache_changed(ngx_iv_cache_shard_t *shard);
static uint32_t ngx_iv_cache_find(ngx_iv_cache_head_t *head,
    ngx_iv_cache_place_t *place, uint64_t id1, uint32_t id2);
static uint32_t ngx_iv_cache_victim(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard);
static ngx_uint_t ngx_iv_cache_is_dead(ngx_iv_cache_head_t *head,
    ngx_iv_cache_block_t *block);
static void ngx_iv_cache_remove(ngx_iv_cache_head_t *head,
    ngx_iv_cache_place_t *place, uint32_t n);
static void ngx_iv_cache_remove_any(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard, uint32_t n);
static uint32_t ngx_iv_cache_alloc(ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard);
static uint32_t ngx_iv_cache_need(size_t len);
static void ngx_iv_cache_write(ngx_iv_cache_head_t *head,
    ngx_iv_cache_place_t *place, const uint64_t *words, const uint64_t *data,
    size_t nwords);


ngx_int_t
ngx_iv_cache_lock(ngx_iv_cache_t *cache, ngx_iv_cache_shard_t *shard)
{
    uint32_t    holder;
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_CACHE_SPIN; i++) {

        if (ngx_iv_cache_try(shard, 0, cache->pid)) {
            return NGX_OK;
        }

        ngx_cpu_pause();
    }

    holder = ngx_iv_load(&shard->lock);

    /* an own pid is that of a dead process: here nobody locks twice */

    if (holder == 0
        || (holder != cache->pid && cache->alive(holder))
        || !ngx_iv_cache_try(shard, holder, cache->pid))
    {
        return NGX_BUSY;
    }

    if (ngx_iv_load(&shard->seq) & 1) {
        ngx_iv_cache_reset(cache->head, shard);
        ngx_iv_cache_count(cache, NGX_IV_CACHE_RECOVERED);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_iv_cache_try(ngx_iv_cache_shard_t *shard, uint32_t from, uint32_t pid)
{
    return __atomic_load_n(&shard->lock, __ATOMIC_RELAXED) == from
           && __atomic_compare_exchange_n(&shard->lock, &from, pid, 0,
                                          __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}


void
ngx_iv_cache_unlock(ngx_iv_cache_shard_t *shard)
{
    ngx_iv_store(&shard->lock, 0);
}


/* the sequence number is odd before and even after it */

static void
ngx_iv_cache_reset(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard)
{
    u_char                 *states;
    uint32_t                i;
    ngx_iv_cache_bucket_t  *buckets;

    buckets = ngx_iv_cache_buckets(shard);
    states = ngx_iv_cache_states(head, shard);

    for (i = 0; i < head->nbuckets; i++) {
        ngx_iv_store(&buckets[i].head, 0);
    }

    for (i = 0; i < head->nblocks; i++) {
        ngx_iv_store(&states[i], 0);
    }

    ngx_iv_store(&shard->free, 0);
    ngx_iv_store(&shard->fresh, 0);
    ngx_iv_store(&shard->used, 0);
    ngx_iv_store(&shard->entries, 0);
    ngx_iv_store(&shard->hand, 0);

    ngx_iv_cache_changed(shard);
}


/* nothing of the change may be seen, or left behind, before the odd number */

static void
ngx_iv_cache_change(ngx_iv_cache_shard_t *shard)
{
    (void) __atomic_fetch_add(&shard->seq, 1, __ATOMIC_SEQ_CST);
}


static void
ngx_iv_cache_changed(ngx_iv_cache_shard_t *shard)
{
    ngx_iv_store(&shard->seq,
                 __atomic_load_n(&shard->seq, __ATOMIC_RELAXED) + 1);
}


void
ngx_iv_cache_put(ngx_iv_cache_t *cache, ngx_iv_cache_place_t *place,
    const uint64_t *words, const uint64_t *data, size_t len)
{
    uint32_t               n, need;
    ngx_iv_cache_head_t   *head;
    ngx_iv_cache_shard_t  *shard;

    head = cache->head;
    shard = place->shard;

    n = ngx_iv_cache_find(head, place, words[NGX_IV_BLOCK_ID],
                          ngx_iv_low32(words[NGX_IV_BLOCK_ID_GEN]));

    if (n) {
        ngx_iv_cache_change(shard);
        ngx_iv_cache_remove(head, place, n);
        ngx_iv_cache_changed(shard);
    }

    need = ngx_iv_cache_need(len);

    /* each in a change of its own, to keep them short */

    while (head->nblocks - shard->used < need) {

        n = ngx_iv_cache_victim(head, shard);

        if (n == 0) {
            return;
        }

        ngx_iv_cache_change(shard);
        ngx_iv_cache_remove_any(head, shard, n);
        ngx_iv_cache_changed(shard);

        ngx_iv_cache_count(cache, NGX_IV_CACHE_EVICTIONS);
    }

    ngx_iv_cache_change(shard);
    ngx_iv_cache_write(head, place, words, data, (len + 7) / 8);
    ngx_iv_cache_changed(shard);

    ngx_iv_cache_count(cache, NGX_IV_CACHE_FILLS);
}


static uint32_t
ngx_iv_cache_find(ngx_iv_cache_head_t *head, ngx_iv_cache_place_t *place,
    uint64_t id1, uint32_t id2)
{
    uint32_t               n;
    ngx_iv_cache_block_t  *block;

    for (n = ngx_iv_load(&place->bucket->head);
         n;
         n = ngx_iv_high32(ngx_iv_load(&block->word[NGX_IV_BLOCK_LINK])))
    {
        block = ngx_iv_cache_block(head, place->shard, n);

        if (ngx_iv_load(&block->word[NGX_IV_BLOCK_ID]) == id1
            && ngx_iv_low32(ngx_iv_load(&block->word[NGX_IV_BLOCK_ID_GEN]))
               == id2)
        {
            return n;
        }
    }

    return 0;
}


/*
 * The hand goes round over all blocks.  It takes a dropped entry at once, and
 * another one if nobody asked for it since the hand was here; only so many get
 * a second chance, so that it ends soon.
 */

static uint32_t
ngx_iv_cache_victim(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard)
{
    u_char      *states, state;
    uint32_t     n, i;
    ngx_uint_t   chances;

    states = ngx_iv_cache_states(head, shard);
    chances = 0;

    for (i = 0; i < 2 * head->nblocks; i++) {

        n = shard->hand < head->nblocks ? shard->hand + 1 : 1;
        shard->hand = n;

        state = ngx_iv_load(&states[n - 1]);

        if (!(state & NGX_IV_BLOCK_IS_HEAD)) {
            continue;
        }

        if ((state & NGX_IV_BLOCK_RECENT)
            && chances < NGX_IV_CACHE_CHANCES
            && !ngx_iv_cache_is_dead(head, ngx_iv_cache_block(head, shard, n)))
        {
            ngx_iv_store(&states[n - 1], NGX_IV_BLOCK_IS_HEAD);
            chances++;
            continue;
        }

        return n;
    }

    return 0;
}


static ngx_uint_t
ngx_iv_cache_is_dead(ngx_iv_cache_head_t *head, ngx_iv_cache_block_t *block)
{
    uint64_t              *word, id_gen;
    ngx_iv_cache_place_t   place;

    word = block->word;
    id_gen = ngx_iv_load(&word[NGX_IV_BLOCK_ID_GEN]);

    ngx_iv_cache_place(head, ngx_iv_load(&word[NGX_IV_BLOCK_ID]),
                       ngx_iv_low32(id_gen), &place);

    return ngx_iv_high32(id_gen) != ngx_iv_load(&place.bucket->gen)
           || ngx_iv_low32(ngx_iv_load(&word[NGX_IV_BLOCK_EPOCH_LEN]))
              != ngx_iv_load(&head->epoch);
}


/* takes it out of its bucket, then all of its blocks become free */

static void
ngx_iv_cache_remove(ngx_iv_cache_head_t *head, ngx_iv_cache_place_t *place,
    uint32_t n)
{
    u_char                *states;
    uint32_t               i, next, count;
    uint64_t               link, prev;
    ngx_iv_cache_block_t  *block, *b;
    ngx_iv_cache_shard_t  *shard;

    shard = place->shard;
    states = ngx_iv_cache_states(head, shard);

    block = ngx_iv_cache_block(head, shard, n);
    link = ngx_iv_load(&block->word[NGX_IV_BLOCK_LINK]);

    i = ngx_iv_load(&place->bucket->head);

    if (i == n) {
        ngx_iv_store(&place->bucket->head, ngx_iv_high32(link));

    } else {
        while (i) {
            b = ngx_iv_cache_block(head, shard, i);
            prev = ngx_iv_load(&b->word[NGX_IV_BLOCK_LINK]);
            i = ngx_iv_high32(prev);

            if (i == n) {
                ngx_iv_store(&b->word[NGX_IV_BLOCK_LINK],
                             ngx_iv_pack32(ngx_iv_low32(prev),
                                           ngx_iv_high32(link)));
                break;
            }
        }
    }

    ngx_iv_store(&states[n - 1], 0);

    for (count = 1; /* void */ ; count++) {
        next = ngx_iv_low32(ngx_iv_load(&block->word[NGX_IV_BLOCK_LINK]));

        if (next == 0) {
            break;
        }

        block = ngx_iv_cache_block(head, shard, next);
    }

    ngx_iv_store(&block->word[NGX_IV_BLOCK_LINK],
                 ngx_iv_pack32(shard->free, 0));
    ngx_iv_store(&shard->free, n);
    ngx_iv_store(&shard->used, shard->used - count);
    ngx_iv_store(&shard->entries, shard->entries - 1);
}


static void
ngx_iv_cache_remove_any(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard,
    uint32_t n)
{
    uint64_t              *word;
    ngx_iv_cache_place_t   place;

    word = ngx_iv_cache_block(head, shard, n)->word;

    ngx_iv_cache_place(head, ngx_iv_load(&word[NGX_IV_BLOCK_ID]),
                       ngx_iv_low32(ngx_iv_load(&word[NGX_IV_BLOCK_ID_GEN])),
                       &place);

    ngx_iv_cache_remove(head, &place, n);
}


/* there is one: the caller has counted */

static uint32_t
ngx_iv_cache_alloc(ngx_iv_cache_head_t *head, ngx_iv_cache_shard_t *shard)
{
    uint32_t   n;
    uint64_t  *link;

    n = shard->free;

    if (n) {
        link = &ngx_iv_cache_block(head, shard, n)->word[NGX_IV_BLOCK_LINK];
        ngx_iv_store(&shard->free, ngx_iv_low32(ngx_iv_load(link)));

    } else {
        n = shard->fresh + 1;
        ngx_iv_store(&shard->fresh, n);
    }

    ngx_iv_store(&shard->used, shard->used + 1);

    return n;
}


static uint32_t
ngx_iv_cache_need(size_t len)
{
    if (len <= NGX_IV_BLOCK_HEAD_DATA) {
        return 1;
    }

    len -= NGX_IV_BLOCK_HEAD_DATA;

    return 1 + (uint32_t) ((len + NGX_IV_BLOCK_DATA - 1) / NGX_IV_BLOCK_DATA);
}


static void
ngx_iv_cache_write(ngx_iv_cache_head_t *head, ngx_iv_cache_place_t *place,
    const uint64_t *words, const uint64_t *data, size_t nwords)
{
    u_char                *states;
    uint32_t               first, n;
    ngx_uint_t             i;
    ngx_iv_cache_block_t  *block;
    ngx_iv_cache_shard_t  *shard;

    shard = place->shard;
    states = ngx_iv_cache_states(head, shard);

    first = ngx_iv_cache_alloc(head, shard);
    block = ngx_iv_cache_block(head, shard, first);

    for (i = 1; i < NGX_IV_BLOCK_HEAD_WORDS; i++) {
        ngx_iv_store(&block->word[i], words[i]);
    }

    ngx_iv_store(&block->word[NGX_IV_BLOCK_LINK],
                 ngx_iv_pack32(0, ngx_iv_load(&place->bucket->head)));

    for (i = NGX_IV_BLOCK_HEAD_WORDS; nwords; nwords--) {

        if (i == NGX_IV_BLOCK_WORDS) {
            n = ngx_iv_cache_alloc(head, shard);

            ngx_iv_store(&block->word[NGX_IV_BLOCK_LINK],
                         (block->word[NGX_IV_BLOCK_LINK] & ~0xffffffffull)
                         | n);

            block = ngx_iv_cache_block(head, shard, n);
            ngx_iv_store(&block->word[NGX_IV_BLOCK_LINK], 0);
            ngx_iv_store(&states[n - 1], 0);
            i = 1;
        }

        ngx_iv_store(&block->word[i], *data);
        data++;
        i++;
    }

    ngx_iv_store(&states[first - 1], NGX_IV_BLOCK_IS_HEAD);
    ngx_iv_store(&place->bucket->head, first);
    ngx_iv_store(&shard->entries, shard->entries + 1);
}
