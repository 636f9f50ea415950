/*
 * What the files of the ownership cache share.  Not for others.
 *
 * Memory that is read without the lock is only touched by atomic operations of
 * whole words.  Loads acquire and stores release, so that no fence is needed:
 * who sees a word of a change also sees that the sequence number has moved on.
 */

#ifndef NGX_IV_CACHE_PRIVATE_H
#define NGX_IV_CACHE_PRIVATE_H

#include "shm/ngx_iv_cache.h"


#define NGX_IV_CACHE_SHARDS       64
#define NGX_IV_CACHE_STRIPES      16

/* a block's words: the first links it, the head of an entry has some more */
#define NGX_IV_BLOCK_WORDS        16
#define NGX_IV_BLOCK_LINK         0     /* next block, next entry of bucket */
#define NGX_IV_BLOCK_ID           1
#define NGX_IV_BLOCK_ID_GEN       2     /* rest of the id, generation */
#define NGX_IV_BLOCK_AT           3
#define NGX_IV_BLOCK_EPOCH_LEN    4     /* epoch, bytes of data */
#define NGX_IV_BLOCK_HEAD_WORDS   5
#define NGX_IV_BLOCK_HEAD_DATA                                                \
    ((NGX_IV_BLOCK_WORDS - NGX_IV_BLOCK_HEAD_WORDS) * 8)
#define NGX_IV_BLOCK_DATA         ((NGX_IV_BLOCK_WORDS - 1) * 8)

/* length of an entry that says: no such image */
#define NGX_IV_CACHE_NONE         0

/* a block's state */
#define NGX_IV_BLOCK_IS_HEAD      1
#define NGX_IV_BLOCK_RECENT       2


typedef struct {
    uint64_t               word[NGX_IV_BLOCK_WORDS];
} ngx_iv_cache_block_t;


/* blocks are numbered from 1: 0 is none */
typedef struct {
    uint32_t               head;
    uint32_t               gen;     /* atomic */
    uint64_t               mark;    /* atomic: of the id, until when */
} ngx_iv_cache_bucket_t;


typedef struct {
    uint32_t               seq;     /* odd: being changed */
    uint32_t               pad1[15];

    uint32_t               lock;    /* pid of the holder */
    uint32_t               pad2[15];

    /* under the lock, and only while seq is odd (but the hand) */
    uint32_t               free;    /* first of the free ones */
    uint32_t               fresh;   /* so many were ever used */
    uint32_t               used;
    uint32_t               entries;
    uint32_t               hand;
    uint32_t               pad3[11];
} ngx_iv_cache_shard_t;


typedef enum {
    NGX_IV_CACHE_HITS = 0,
    NGX_IV_CACHE_MISSES,
    NGX_IV_CACHE_EXPIREDS,
    NGX_IV_CACHE_NEGATIVES,
    NGX_IV_CACHE_FILLS,
    NGX_IV_CACHE_STALES,
    NGX_IV_CACHE_SKIPPED,
    NGX_IV_CACHE_EVICTIONS,
    NGX_IV_CACHE_DROPS,
    NGX_IV_CACHE_RECOVERED,

    NGX_IV_CACHE_COUNTERS = 16
} ngx_iv_cache_counter_e;


typedef struct ngx_iv_cache_head_s {
    uint64_t               seed[2];
    uint64_t               shard_size;
    uint32_t               nshards;     /* powers of two … */
    uint32_t               nbuckets;
    uint32_t               nblocks;
    uint32_t               max;
    uint32_t               states;      /* offsets within a shard */
    uint32_t               blocks;
    uint32_t               pad1[4];

    uint32_t               epoch;       /* atomic */
    uint32_t               pad2[15];

    uint64_t               stripes[NGX_IV_CACHE_STRIPES]
                                  [NGX_IV_CACHE_COUNTERS];
} ngx_iv_cache_head_t;


/* where an id belongs */
typedef struct {
    uint64_t               hash;
    ngx_iv_cache_shard_t  *shard;
    ngx_iv_cache_bucket_t *bucket;
} ngx_iv_cache_place_t;


#define ngx_iv_load(p)         __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define ngx_iv_store(p, v)     __atomic_store_n(p, v, __ATOMIC_RELEASE)

#define ngx_iv_pack32(lo, hi)  ((uint64_t) (lo) | (uint64_t) (hi) << 32)
#define ngx_iv_low32(w)        ((uint32_t) (w))
#define ngx_iv_high32(w)       ((uint32_t) ((w) >> 32))


static ngx_inline ngx_iv_cache_bucket_t *
ngx_iv_cache_buckets(ngx_iv_cache_shard_t *shard)
{
    return (ngx_iv_cache_bucket_t *) (shard + 1);
}


static ngx_inline u_char *
ngx_iv_cache_states(const ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard)
{
    return (u_char *) shard + head->states;
}


static ngx_inline ngx_iv_cache_block_t *
ngx_iv_cache_block(const ngx_iv_cache_head_t *head,
    ngx_iv_cache_shard_t *shard, uint32_t n)
{
    return (ngx_iv_cache_block_t *) ((u_char *) shard + head->blocks) + n - 1;
}


static ngx_inline ngx_iv_cache_shard_t *
ngx_iv_cache_shard(ngx_iv_cache_head_t *head, ngx_uint_t n)
{
    return (ngx_iv_cache_shard_t *)
               ((u_char *) (head + 1) + n * (size_t) head->shard_size);
}


static ngx_inline void
ngx_iv_cache_count(ngx_iv_cache_t *cache, ngx_iv_cache_counter_e what)
{
    (void) __atomic_fetch_add(&cache->head->stripes[cache->stripe][what], 1,
                              __ATOMIC_RELAXED);
}


void ngx_iv_cache_place(ngx_iv_cache_head_t *head, uint64_t id1, uint32_t id2,
    ngx_iv_cache_place_t *place);

/* NGX_OK, NGX_BUSY: not to be had soon */
ngx_int_t ngx_iv_cache_lock(ngx_iv_cache_t *cache,
    ngx_iv_cache_shard_t *shard);
void ngx_iv_cache_unlock(ngx_iv_cache_shard_t *shard);
/* under the lock: replaces the entry of words[ID…] by this one.  words: the
 * head's, filled but for the link; data: len bytes in whole words */
void ngx_iv_cache_put(ngx_iv_cache_t *cache, ngx_iv_cache_place_t *place,
    const uint64_t *words, const uint64_t *data, size_t len);

/* bytes written, or NGX_IV_CACHE_NONE: too large for max */
size_t ngx_iv_cache_pack(const ngx_iv_cache_entry_t *entry, u_char *p,
    size_t max);
/* NGX_OK, NGX_ERROR: no such entry was ever packed */
ngx_int_t ngx_iv_cache_unpack(ngx_iv_cache_entry_t *entry, u_char *p,
    size_t len);


#endif
