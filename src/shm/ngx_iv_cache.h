/*
 * The ownership cache: what a redirect needs of an image's document, by id, in
 * memory that all workers share.  Knows neither requests nor the store.
 *
 * ngx_iv_cache.c        look-up, fill, drop, counters
 * ngx_iv_cache_shard.c  one shard: its lock, its memory, who has to go
 * ngx_iv_cache_entry.c  entries <-> bytes
 *
 * Layout: a head (seed, geometry, counters), then 1 to 64 shards of equal size,
 * each with its buckets, one state byte for each block, and blocks of 128
 * bytes.  An entry is a chain of blocks.  Ids are chosen by clients, so that
 * shard and bucket come from SipHash with the zone's own random seed.
 *
 * - A hit takes no lock and writes nothing, but for the mark of recency if it
 *   isn't set yet, and this worker's own counters.  A shard has a sequence
 *   number, odd while somebody changes the shard: who reads copies the entry
 *   out and looks whether the number is still the same.  After a few vain
 *   tries it is a miss.
 * - A fill locks its shard, for about a microsecond.  It never waits for long:
 *   if it can't have the lock the entry is not kept.
 * - A worker may be killed at any moment.  The lock holds its pid: the next
 *   fill finds that it is gone, and empties the shard if it was being changed.
 *   Readers see an odd number until then, hence misses.
 * - A drop is one atomic increment of the generation of the id's bucket: it
 *   neither waits nor fails, and may be called by any thread.  An entry counts
 *   only with the generation that was current when its look-up began; the same
 *   holds for the cache as a whole (drop_all).  Other ids of the bucket, one or
 *   two if any, are dropped along: that costs a read of the store each.
 * - Who has to go: CLOCK.  New entries begin without the mark of recency, so
 *   that a scan of many ids does not drive out what is asked for again.
 * - The life of an entry counts from the beginning of its look-up, and the
 *   location that asks says how long it may be.  Jitter takes up to an eighth.
 *
 * Times are milliseconds of one clock for all workers (wall clock); a step of
 * it back by more than a second ends all entries.
 */

#ifndef NGX_IV_CACHE_H
#define NGX_IV_CACHE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_str.h"


/* bytes of a packed entry; a larger one, or one that takes more than an eighth
 * of a shard, is not cached */
#define NGX_IV_CACHE_MAX        16384
/* smallest memory, and to what it is aligned */
#define NGX_IV_CACHE_MEMORY     12288
#define NGX_IV_CACHE_ALIGNMENT  64


typedef enum {
    NGX_IV_CACHE_MISS = 0,          /* none, or dropped */
    NGX_IV_CACHE_HIT,
    NGX_IV_CACHE_EXPIRED,           /* there is one, too old for the asker */
    NGX_IV_CACHE_NEGATIVE           /* the store has no such image */
} ngx_iv_cache_state_e;


/* What is not given of an image is not needed for a redirect.  The reader
 * checks expires_at, blocked and status: they are data here. */
typedef struct {
    ngx_str_t       storage;        /* ≤ 255 */
    ngx_str_t       key;            /* ≤ 1,024 */
    ngx_str_t       owner;          /* ≤ 255 */
    ngx_str_t       type;           /* ≤ 255 */
    ngx_str_t       name;           /* original name, ≤ 1,024 */
    ngx_str_t       reason;         /* of a block, ≤ 1,024 */
    ngx_str_t      *shares;         /* fill only; each 1-255 */
    ngx_uint_t      nshares;
    ngx_str_t       packed;         /* get only: see …_shared_with() */
    int64_t         expires_at;     /* ms, 0: never */
    int64_t         updated_at;
    int64_t         size;
    ngx_uint_t      status;         /* as the caller has it, ≤ 255 */
    unsigned        is_public:1;
    unsigned        blocked:1;
    unsigned        has_sha256:1;
    u_char          sha256[32];
} ngx_iv_cache_entry_t;


/* The caller's memory for one answer: large, so have one for each worker.  The
 * entry's strings point into it and hold until the next get. */
typedef struct {
    ngx_iv_cache_entry_t  entry;    /* HIT only */
    ngx_uint_t      may_refuse;     /* 1: young enough to turn somebody away
                                       by it; 0: whoever would be refused must
                                       be looked up in the store */
    ngx_uint_t      ages;           /* HIT only.  1: in the last eighth of its
                                       life */
    uint64_t        words[NGX_IV_CACHE_MAX / 8];
} ngx_iv_cache_found_t;


/* a look-up under way: taken before the store is asked, given back with what
 * it said */
typedef struct {
    u_char          id[NGX_IV_ID_LEN];
    uint32_t        gen;
    uint32_t        epoch;
    int64_t         at;
    uint64_t        mark;           /* 0: none */
} ngx_iv_cache_token_t;


typedef struct {
    uint64_t        hits;
    uint64_t        misses;
    uint64_t        expired;
    uint64_t        negative;
    uint64_t        fills;          /* entries written */
    uint64_t        stale;          /* fills that came after a drop */
    uint64_t        skipped;        /* not kept: too large, or lock not free */
    uint64_t        evictions;
    uint64_t        drops;
    uint64_t        recovered;      /* shards emptied after a worker's death */
    uint64_t        entries;        /* now, dropped ones included until their
                                       memory is used again */
    uint64_t        bytes;          /* of them, in blocks */
    uint64_t        size;           /* bytes of all blocks */
} ngx_iv_cache_stats_t;


/* a process's view of the shared memory */
typedef struct {
    struct ngx_iv_cache_head_s  *head;
    uint32_t        pid;            /* 0: this process does not fill */
    ngx_uint_t      stripe;
    int64_t         seen;           /* the latest time */
    /* 1 if the process lives; tests give their own */
    ngx_uint_t    (*alive)(uint32_t pid);
} ngx_iv_cache_t;


/* lays out a new, empty cache in memory of at least NGX_IV_CACHE_MEMORY bytes;
 * NGX_OK, NGX_ERROR: too small, or no random seed */
ngx_int_t ngx_iv_cache_init(void *memory, size_t size);
/* memory: what ngx_iv_cache_init() laid out, by this process or another */
void ngx_iv_cache_attach(ngx_iv_cache_t *cache, void *memory);
/* in init_process: fills need it.  worker: its number, for the counters */
void ngx_iv_cache_worker(ngx_iv_cache_t *cache, ngx_pid_t pid,
    ngx_uint_t worker);

/* before a get: entries that were too old would live again if the clock was set
 * back, so all are dropped then */
void ngx_iv_cache_clock(ngx_iv_cache_t *cache, int64_t now);

/* valid, negative: longest life for this asker (image_vault_cache_valid) */
ngx_iv_cache_state_e ngx_iv_cache_get(ngx_iv_cache_t *cache,
    const u_char id[NGX_IV_ID_LEN], int64_t now, ngx_msec_t valid,
    ngx_msec_t negative, ngx_iv_cache_found_t *found);

/*
 * Before a look-up in the store: NGX_OK: ask the store, then call fill() or
 * abandon() with the token.  NGX_AGAIN: another worker asks just now; get
 * again in some milliseconds, then begin again.  The mark lapses after `wait`,
 * the same for all, so that a killed worker holds nobody up; who has waited
 * long enough may ask beside it, the token is good.  Within a worker the
 * askers of one id wait for each other before that: ngx_iv_flight.h.
 */
ngx_int_t ngx_iv_cache_begin(ngx_iv_cache_t *cache,
    const u_char id[NGX_IV_ID_LEN], int64_t now, ngx_msec_t wait,
    ngx_iv_cache_token_t *token);

/* entry: NULL: there is no such image.  NGX_OK: kept; NGX_DONE: not kept, but
 * good for this request; NGX_DECLINED: dropped since begin(): what the store
 * said may be out of date, not to be used: begin and ask again */
ngx_int_t ngx_iv_cache_fill(ngx_iv_cache_t *cache,
    const ngx_iv_cache_token_t *token, const ngx_iv_cache_entry_t *entry);
/* the look-up failed */
void ngx_iv_cache_abandon(ngx_iv_cache_t *cache,
    const ngx_iv_cache_token_t *token);
/* 1: nothing was dropped since begin() */
ngx_uint_t ngx_iv_cache_current(ngx_iv_cache_t *cache,
    const ngx_iv_cache_token_t *token);

/* after the store acknowledged a change, before the client learns of it */
void ngx_iv_cache_drop(ngx_iv_cache_t *cache, const u_char id[NGX_IV_ID_LEN]);
void ngx_iv_cache_drop_all(ngx_iv_cache_t *cache);

void ngx_iv_cache_stats(ngx_iv_cache_t *cache, ngx_iv_cache_stats_t *stats);

/* 1: the image of a HIT is shared with this user */
ngx_uint_t ngx_iv_cache_shared_with(const ngx_iv_cache_entry_t *entry,
    const ngx_str_t *user);


#endif
