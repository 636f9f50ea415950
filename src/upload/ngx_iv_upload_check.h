/*
 * What an upload has in its hands: the ring of received bytes, and the check
 * (MD5, SHA-256, image walker) that runs over them.
 *
 * The ring is one heap object with holders, since a thread may still read it
 * when the upload is gone.  The event loop writes bytes and moves `filled` and
 * `checked`; while a check runs in a thread, the thread alone has `walked`,
 * `hash`, `image` and the sums, and reads bytes between `checked` and the end
 * it was given, which are not overwritten meanwhile.
 *
 * Byte n of the body lies at n % cap, so that what was sent stays readable
 * until the client's bytes need its place: a storage may ask for the beginning
 * again as long as nothing was overwritten.
 *
 * For a body that has to be held in parts the bytes lie in blocks instead, each
 * allocated when its first byte comes and freed as soon as the storage has the
 * part and the check is through with it; `cap` is then what the worker lends.
 */

#ifndef NGX_IV_UPLOAD_CHECK_H
#define NGX_IV_UPLOAD_CHECK_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_ref.h"
#include "formats/ngx_iv_hash.h"
#include "formats/ngx_iv_image.h"
#include "upload/ngx_iv_block.h"
#include "upload/ngx_iv_upload_sums.h"

#define NGX_IV_RING_BLOCK    NGX_IV_BLOCK_SIZE
/* size of a body whose end was not seen */
#define NGX_IV_RING_UNKNOWN  NGX_MAX_OFF_T_VALUE


typedef struct {
    ngx_iv_ref_t    ref;            /* the first member */
    u_char         *mem;            /* allocated with the first byte */
    size_t          cap;            /* of mem: min(size, the ring) */
    u_char        **blocks;         /* instead of mem, or NULL */
    size_t          nblocks;
    off_t           base;           /* blocks before it were freed */
    off_t           size;           /* of the body */
    off_t           filled;         /* bytes received */
    off_t           checked;        /* bytes hashed and walked */

    /* the thread's, while a check is under way */
    off_t           walked;         /* >= checked: sniffing walks only */
    ngx_iv_hash_t   hash;
    ngx_iv_image_t  image;
    ngx_iv_upload_sums_t  sums;     /* of parts */
    u_char          md5[NGX_IV_MD5_LEN];
    u_char          sha256[NGX_IV_SHA256_LEN];
    u_char          sha512[NGX_IV_SHA512_LEN];  /* if it was wanted */
} ngx_iv_ring_t;


/* one holder; size may be NGX_IV_RING_UNKNOWN.  NULL: no memory */
ngx_iv_ring_t *ngx_iv_ring_create(off_t size, size_t max,
    const ngx_iv_image_limits_t *limits, ngx_log_t *log);

/* before the first byte: blocks instead of a ring, for parts of part_size and
 * at most `max` of them; nothing may be received until cap is set.  NGX_OK or
 * NGX_ERROR (memory) */
ngx_int_t ngx_iv_ring_hold(ngx_iv_ring_t *ring, off_t part_size,
    ngx_uint_t max, ngx_log_t *log);

/* blocks: frees those before `sent`, as far as they are checked */
void ngx_iv_ring_trim(ngx_iv_ring_t *ring, off_t sent);

/* frees all bytes; neither a check nor the storage reads any more */
void ngx_iv_ring_empty(ngx_iv_ring_t *ring);

/*
 * Contiguous room for bytes that come next, when those before `sent` may be
 * overwritten; 0: none.  NGX_ERROR: no memory, else NGX_OK.
 */
ngx_int_t ngx_iv_ring_room(ngx_iv_ring_t *ring, off_t sent, u_char **p,
    size_t *n, ngx_log_t *log);

/* contiguous bytes from offset on, below limit: NGX_OK, NGX_AGAIN (none yet),
 * NGX_DECLINED (overwritten) */
ngx_int_t ngx_iv_ring_read(ngx_iv_ring_t *ring, off_t offset, off_t limit,
    u_char **p, size_t *n);

/*
 * Walks what was received until format and dimensions are known.  NGX_OK: go
 * on (known, or no more can be had before bytes have to leave); NGX_AGAIN;
 * or the code of a refusal.
 */
ngx_int_t ngx_iv_ring_sniff(ngx_iv_ring_t *ring);

/* hashes and walks from `checked` to `to`; last: that is the whole body, both
 * are finished.  NGX_OK or a code.  Leaves `checked` to the event loop, and
 * does not look at `size`, which may become known meanwhile. */
ngx_int_t ngx_iv_ring_check(ngx_iv_ring_t *ring, off_t to, ngx_uint_t last);


#endif
