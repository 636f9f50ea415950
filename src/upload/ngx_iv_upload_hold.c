/*
 * Memory for a body of unknown length on its way to S3: at most two parts, of
 * which every byte is reserved before it is read (ngx_iv_room.h).
 */

#include "upload/ngx_iv_upload_state.h"


static size_t ngx_iv_upload_hold_part(ngx_iv_upload_t *u);
static off_t ngx_iv_upload_hold_bound(ngx_iv_upload_t *u);
static void ngx_iv_upload_hold_take(ngx_iv_upload_t *u, size_t want);
static void ngx_iv_upload_hold_granted(void *data);
static void ngx_iv_upload_hold_refused(void *data);
static void ngx_iv_upload_hold_give_way(void *data);
static void ngx_iv_upload_hold_fault(ngx_iv_upload_t *u, const char *why);


#define ngx_iv_upload_blocks(n)                                               \
    (((size_t) (n) + NGX_IV_RING_BLOCK - 1) & ~(size_t) (NGX_IV_RING_BLOCK - 1))


ngx_int_t
ngx_iv_upload_hold(ngx_iv_upload_t *u)
{
    off_t                   part, max;
    ngx_uint_t              n;
    ngx_iv_room_share_t    *share;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    part = (off_t) u->params.storage->conf->part_size;

    max = part * NGX_IV_UPLOAD_PARTS;
    u->params.max_size = ngx_min(u->params.max_size, max);

    n = (ngx_uint_t) (u->params.max_size / part) + 1;

    if (ngx_iv_ring_hold(st->ring, part, n, u->log) != NGX_OK
        || ngx_array_init(&st->multi.parts, u->pool, 4,
                          sizeof(ngx_iv_storage_part_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    st->held = 1;

    share = &st->share;

    share->granted = ngx_iv_upload_hold_granted;
    share->refused = ngx_iv_upload_hold_refused;
    share->give_way = ngx_iv_upload_hold_give_way;
    share->data = u;

    return NGX_OK;
}


/* room for one part; it may begin and end within a block */

static size_t
ngx_iv_upload_hold_part(ngx_iv_upload_t *u)
{
    size_t  part;

    part = u->params.storage->conf->part_size;

    return ngx_iv_upload_blocks(part)
           + ((part % NGX_IV_RING_BLOCK) ? NGX_IV_RING_BLOCK : 0);
}


/* so many bytes may come; one too many must be seen to be refused */

static off_t
ngx_iv_upload_hold_bound(ngx_iv_upload_t *u)
{
    off_t  bound;

    bound = u->params.max_size + 1;

    if (u->params.at_most > u->state->ring->filled
        && u->params.at_most < bound)
    {
        bound = u->params.at_most;
    }

    return bound;
}


void
ngx_iv_upload_hold_more(ngx_iv_upload_t *u)
{
    off_t                   bound;
    size_t                  part, want;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->share.waiting) {
        return;
    }

    part = ngx_iv_upload_hold_part(u);
    bound = ngx_iv_upload_hold_bound(u);

    if (st->share.held == 0) {
        want = (bound < (off_t) part) ? ngx_iv_upload_blocks(bound) : part;

    } else if (st->share.held < part) {
        want = part;

    } else {
        want = (bound < (off_t) (2 * part)) ? ngx_iv_upload_blocks(bound)
                                            : 2 * part;
    }

    if (want > st->share.held) {
        ngx_iv_upload_hold_take(u, want);
        return;
    }

    /* two are full: the first is being sent */

    st->pressed = 1;
}


static void
ngx_iv_upload_hold_take(ngx_iv_upload_t *u, size_t want)
{
    ngx_int_t               rc;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    rc = ngx_iv_room_take(u->params.room, &st->share, want);

    if (rc == NGX_OK) {
        st->pressed = 0;
        st->ring->cap = st->share.held;
        return;
    }

    if (rc == NGX_DECLINED && st->share.held < ngx_iv_upload_hold_part(u)) {
        ngx_iv_upload_hold_fault(u, "a part is more than image_vault_buffers");
        return;
    }

    /* meanwhile a part that is full goes its way and makes room */

    st->pressed = 1;

    ngx_iv_upload_post(u);
}


static void
ngx_iv_upload_hold_granted(void *data)
{
    ngx_iv_upload_t        *u = data;
    ngx_iv_upload_state_t  *st;

    st = u->state;

    st->pressed = 0;
    st->ring->cap = st->share.held;

    ngx_iv_upload_post(u);
}


static void
ngx_iv_upload_hold_refused(void *data)
{
    ngx_iv_upload_t  *u = data;

    /* with one part it goes on, by turns */

    if (u->state->share.held < ngx_iv_upload_hold_part(u)) {
        ngx_iv_upload_hold_fault(u, "waited too long for memory");
    }
}


static void
ngx_iv_upload_hold_give_way(void *data)
{
    ngx_iv_upload_hold_fault(data, "too slow while others wait for memory");
}


static void
ngx_iv_upload_hold_fault(ngx_iv_upload_t *u, const char *why)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (st->phase <= NGX_IV_UPLOAD_STREAM && st->fault == 0) {
        st->fault = NGX_IV_OVERLOADED;
        st->fault_why = why;

        ngx_iv_zone_add(u->params.zone, NGX_IV_COUNT_OVERLOADED, 1);
    }

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_hold_trim(ngx_iv_upload_t *u, off_t sent)
{
    off_t                   left;
    ngx_iv_ring_t          *ring;
    ngx_iv_upload_state_t  *st;

    st = u->state;
    ring = st->ring;

    ngx_iv_ring_trim(ring, sent);

    if (!ngx_iv_upload_ended(u)) {
        return;
    }

    /* nothing comes any more: others may have what is not in use */

    left = ring->filled - ring->base;

    if ((size_t) left < st->share.held || st->share.waiting) {
        ngx_iv_room_keep(&st->share, ngx_iv_upload_blocks(left));
        ring->cap = st->share.held;
    }
}


void
ngx_iv_upload_hold_progress(ngx_iv_storage_op_t *op)
{
    ngx_iv_upload_t        *u;
    ngx_iv_upload_state_t  *st;

    u = op->data;
    st = u->state;

    /* a try that begins anew is no progress */

    if (op->sent > st->seen) {
        ngx_iv_room_progress(&st->share, (size_t) (op->sent - st->seen));
    }

    st->seen = op->sent;

    ngx_iv_upload_post(u);
}


void
ngx_iv_upload_hold_end(ngx_iv_upload_t *u)
{
    ngx_iv_upload_state_t  *st;

    st = u->state;

    if (!st->held || st->emptied || st->phase <= NGX_IV_UPLOAD_STREAM
        || st->checking)
    {
        return;
    }

    st->emptied = 1;

    ngx_iv_ring_empty(st->ring);
    ngx_iv_room_release(&st->share);
}
