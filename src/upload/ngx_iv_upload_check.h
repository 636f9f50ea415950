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
 */

#ifndef NGX_IV_UPLOAD_CHECK_H
#define NGX_IV_UPLOAD_CHECK_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_ref.h"
#include "formats/ngx_iv_hash.h"
#include "formats/ngx_iv_image.h"


typedef struct {
    ngx_iv_ref_t    ref;            /* the first member */
    u_char         *mem;            /* allocated with the first byte */
    size_t          cap;            /* of mem: min(size, the ring) */
    off_t           size;           /* of the body */
    off_t           filled;         /* bytes received */
    off_t           checked;        /* bytes hashed and walked */

    /* the thread's, while a check is under way */
    off_t           walked;         /* >= checked: sniffing walks only */
    ngx_iv_hash_t   hash;
    ngx_iv_image_t  image;
    u_char          md5[NGX_IV_MD5_LEN];
    u_char          sha256[NGX_IV_SHA256_LEN];
} ngx_iv_ring_t;


/* one holder.  NULL: no memory */
ngx_iv_ring_t *ngx_iv_ring_create(off_t size, size_t max,
    const ngx_iv_image_limits_t *limits, ngx_log_t *log);

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

/* hashes and walks from `checked` to `to`; the whole body: finishes both.
 * NGX_OK or a code.  Leaves `checked` to the event loop. */
ngx_int_t ngx_iv_ring_check(ngx_iv_ring_t *ring, off_t to);


#endif
