#include "upload/ngx_iv_upload_check.h"

/* sniffing stops within so many bytes of what it looks for */
#define NGX_IV_SNIFF_STEP  4096
/* and waits for so many bytes, if there is no ring that could be full */
#define NGX_IV_SNIFF_MAX   131072


static void ngx_iv_ring_destroy(ngx_iv_ref_t *ref);
static size_t ngx_iv_ring_piece(ngx_iv_ring_t *ring, off_t from, off_t to,
    u_char **p);
static ngx_int_t ngx_iv_ring_block(ngx_iv_ring_t *ring, ngx_log_t *log);
static ngx_int_t ngx_iv_ring_finish(ngx_iv_ring_t *ring, off_t size);


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
    ngx_iv_upload_sums_free(&ring->sums);

    ngx_iv_ring_empty(ring);

    if (ring->blocks) {
        ngx_free(ring->blocks);
    }

    ngx_free(ring);
}


ngx_int_t
ngx_iv_ring_hold(ngx_iv_ring_t *ring, off_t part_size, ngx_uint_t max,
    ngx_log_t *log)
{
    size_t  n;

    /* two parts, each of which may begin and end within a block */

    n = 2 * ((size_t) (part_size / NGX_IV_RING_BLOCK) + 2) + 1;

    ring->blocks = ngx_calloc(n * sizeof(u_char *), log);
    if (ring->blocks == NULL) {
        return NGX_ERROR;
    }

    ring->nblocks = n;
    ring->cap = 0;

    return ngx_iv_upload_sums_init(&ring->sums, part_size, max, log);
}


void
ngx_iv_ring_trim(ngx_iv_ring_t *ring, off_t sent)
{
    off_t    last;
    u_char **block;

    last = ngx_min(sent, ring->checked);

    while (ring->base + NGX_IV_RING_BLOCK <= last) {

        block = &ring->blocks[(size_t) (ring->base / NGX_IV_RING_BLOCK)
                              % ring->nblocks];

        /* NULL: emptied before */

        if (*block) {
            ngx_iv_block_put(*block);
            *block = NULL;
        }

        ring->base += NGX_IV_RING_BLOCK;
    }
}


void
ngx_iv_ring_empty(ngx_iv_ring_t *ring)
{
    size_t  i;

    if (ring->mem) {
        ngx_free(ring->mem);
        ring->mem = NULL;
    }

    for (i = 0; i < ring->nblocks; i++) {
        if (ring->blocks[i]) {
            ngx_iv_block_put(ring->blocks[i]);
            ring->blocks[i] = NULL;
        }
    }
}


/* the bytes of [from, to) up to the ring's, or the block's, edge */

static size_t
ngx_iv_ring_piece(ngx_iv_ring_t *ring, off_t from, off_t to, u_char **p)
{
    size_t   pos, n;
    u_char  *mem;

    if (ring->blocks) {
        mem = ring->blocks[(size_t) (from / NGX_IV_RING_BLOCK)
                           % ring->nblocks];
        pos = (size_t) (from % NGX_IV_RING_BLOCK);
        n = NGX_IV_RING_BLOCK - pos;

    } else {
        mem = ring->mem;
        pos = (size_t) (from % (off_t) ring->cap);
        n = ring->cap - pos;
    }

    if ((off_t) n > to - from) {
        n = (size_t) (to - from);
    }

    *p = mem + pos;

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

    if (ring->blocks) {
        ngx_iv_ring_trim(ring, sent);
        last = ring->base + (off_t) ring->cap;

    } else {
        last = ngx_min(sent, ring->checked) + (off_t) ring->cap;
    }

    if (last > ring->size) {
        last = ring->size;
    }

    if (last <= ring->filled) {
        return NGX_OK;
    }

    if (ngx_iv_ring_block(ring, log) != NGX_OK) {
        return NGX_ERROR;
    }

    *n = ngx_iv_ring_piece(ring, ring->filled, last, p);

    return NGX_OK;
}


/* memory for the byte that comes next */

static ngx_int_t
ngx_iv_ring_block(ngx_iv_ring_t *ring, ngx_log_t *log)
{
    u_char  **mem;

    if (ring->blocks) {
        mem = &ring->blocks[(size_t) (ring->filled / NGX_IV_RING_BLOCK)
                            % ring->nblocks];

        if (*mem == NULL) {
            *mem = ngx_iv_block_get(log);
        }

    } else {
        mem = &ring->mem;

        if (*mem == NULL) {
            *mem = ngx_alloc(ring->cap, log);
        }
    }

    return *mem ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_iv_ring_read(ngx_iv_ring_t *ring, off_t offset, off_t limit, u_char **p,
    size_t *n)
{
    if (ring->blocks ? offset < ring->base
                     : offset + (off_t) ring->cap < ring->filled)
    {
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

    if (ring->filled < (off_t) (ring->blocks ? NGX_IV_SNIFF_MAX : ring->cap)) {
        return NGX_AGAIN;
    }

    /* that is enough: the format is known, dimensions come later */

    return ring->image.format ? NGX_OK : NGX_IV_UNSUPPORTED_TYPE;
}


ngx_int_t
ngx_iv_ring_check(ngx_iv_ring_t *ring, off_t to, ngx_uint_t last)
{
    off_t       off, walk, edge;
    size_t      n;
    u_char     *p;
    ngx_int_t   rc;

    for (off = ring->checked; off < to; off += (off_t) n) {

        edge = to;

        if (ring->sums.part_size) {
            edge = off - off % ring->sums.part_size + ring->sums.part_size;
            edge = ngx_min(edge, to);
        }

        n = ngx_iv_ring_piece(ring, off, edge, &p);

        if (ngx_iv_hash_update(&ring->hash, p, n) != NGX_OK
            || ngx_iv_upload_sums_update(&ring->sums, &ring->hash, off, p, n)
               != NGX_OK)
        {
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

    return last ? ngx_iv_ring_finish(ring, to) : NGX_OK;
}


static ngx_int_t
ngx_iv_ring_finish(ngx_iv_ring_t *ring, off_t size)
{
    ngx_int_t  rc;

    rc = ngx_iv_image_finish(&ring->image);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_iv_upload_sums_final(&ring->sums, &ring->hash, size) != NGX_OK
        || ngx_iv_hash_final(&ring->hash, ring->md5, ring->sha256) != NGX_OK)
    {
        return NGX_IV_INTERNAL;
    }

    if (ring->hash.sha512
        && ngx_iv_hash_final_sha512(&ring->hash, ring->sha512) != NGX_OK)
    {
        return NGX_IV_INTERNAL;
    }

    return NGX_OK;
}
