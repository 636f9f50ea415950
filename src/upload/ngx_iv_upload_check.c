#include "upload/ngx_iv_upload_check.h"

/* sniffing stops within so many bytes of what it looks for */
#define NGX_IV_SNIFF_STEP  4096


static void ngx_iv_ring_destroy(ngx_iv_ref_t *ref);
static size_t ngx_iv_ring_piece(ngx_iv_ring_t *ring, off_t from, off_t to,
    u_char **p);


ngx_iv_ring_t *
ngx_iv_ring_create(off_t size, size_t max, const ngx_iv_image_limits_t *limits,
    ngx_log_t *log)
{
    ngx_iv_ring_t  *ring;

    ring = ngx_calloc(sizeof(ngx_iv_ring_t), log);
    if (ring == NULL) {
        return NULL;
    }

    ring->ref.count = 1;
    ring->ref.destroy = ngx_iv_ring_destroy;
    ring->size = size;
    ring->cap = (size < (off_t) max) ? (size_t) size : max;

    if (ngx_iv_hash_init(&ring->hash) != NGX_OK) {
        ngx_free(ring);
        return NULL;
    }

    ngx_iv_image_init(&ring->image, limits);

    return ring;
}


static void
ngx_iv_ring_destroy(ngx_iv_ref_t *ref)
{
    ngx_iv_ring_t  *ring;

    ring = (ngx_iv_ring_t *) ref;

    ngx_iv_hash_free(&ring->hash);

    if (ring->mem) {
        ngx_free(ring->mem);
    }

    ngx_free(ring);
}


/* the bytes of [from, to) up to the ring's edge */

static size_t
ngx_iv_ring_piece(ngx_iv_ring_t *ring, off_t from, off_t to, u_char **p)
{
    size_t  pos, n;

    pos = (size_t) (from % (off_t) ring->cap);
    n = ring->cap - pos;

    if ((off_t) n > to - from) {
        n = (size_t) (to - from);
    }

    *p = ring->mem + pos;

    return n;
}


ngx_int_t
ngx_iv_ring_room(ngx_iv_ring_t *ring, off_t sent, u_char **p, size_t *n,
    ngx_log_t *log)
{
    off_t  last;

    *p = NULL;
    *n = 0;

    /* both the storage and the check must be through with a byte */

    last = ngx_min(sent, ring->checked) + (off_t) ring->cap;

    if (last > ring->size) {
        last = ring->size;
    }

    if (last <= ring->filled) {
        return NGX_OK;
    }

    if (ring->mem == NULL) {
        ring->mem = ngx_alloc(ring->cap, log);
        if (ring->mem == NULL) {
            return NGX_ERROR;
        }
    }

    *n = ngx_iv_ring_piece(ring, ring->filled, last, p);

    return NGX_OK;
}


ngx_int_t
ngx_iv_ring_read(ngx_iv_ring_t *ring, off_t offset, off_t limit, u_char **p,
    size_t *n)
{
    if (offset + (off_t) ring->cap < ring->filled) {
        return NGX_DECLINED;
    }

    if (limit > ring->filled) {
        limit = ring->filled;
    }

    if (offset >= limit) {
        return NGX_AGAIN;
    }

    *n = ngx_iv_ring_piece(ring, offset, limit, p);

    return NGX_OK;
}


ngx_int_t
ngx_iv_ring_sniff(ngx_iv_ring_t *ring)
{
    size_t      n;
    u_char     *p;
    ngx_int_t   rc;

    while (!ring->image.known && ring->walked < ring->filled) {

        n = ngx_iv_ring_piece(ring, ring->walked, ring->filled, &p);
        n = ngx_min(n, NGX_IV_SNIFF_STEP);

        rc = ngx_iv_image_feed(&ring->image, p, n);
        if (rc != NGX_OK) {
            return rc;
        }

        ring->walked += (off_t) n;
    }

    if (ring->image.known) {
        return NGX_OK;
    }

    if (ring->filled == ring->size) {

        /* the image ends where it should begin */

        rc = ngx_iv_image_finish(&ring->image);

        return (rc == NGX_OK) ? NGX_IV_CORRUPT_IMAGE : rc;
    }

    if (ring->filled < (off_t) ring->cap) {
        return NGX_AGAIN;
    }

    /* the ring is full: the format is known, dimensions come later */

    return ring->image.format ? NGX_OK : NGX_IV_UNSUPPORTED_TYPE;
}


ngx_int_t
ngx_iv_ring_check(ngx_iv_ring_t *ring, off_t to)
{
    off_t       off, walk;
    size_t      n;
    u_char     *p;
    ngx_int_t   rc;

    for (off = ring->checked; off < to; off += (off_t) n) {

        n = ngx_iv_ring_piece(ring, off, to, &p);

        if (ngx_iv_hash_update(&ring->hash, p, n) != NGX_OK) {
            return NGX_IV_INTERNAL;
        }

        /* some of it was walked when sniffing */

        walk = off + (off_t) n - ring->walked;

        if (walk > 0) {
            p += (off_t) n - walk;

            rc = ngx_iv_image_feed(&ring->image, p, (size_t) walk);
            if (rc != NGX_OK) {
                return rc;
            }

            ring->walked += walk;
        }
    }

    if (to < ring->size) {
        return NGX_OK;
    }

    rc = ngx_iv_image_finish(&ring->image);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_iv_hash_final(&ring->hash, ring->md5, ring->sha256) != NGX_OK) {
        return NGX_IV_INTERNAL;
    }

    return NGX_OK;
}
