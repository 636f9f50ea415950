#include "upload/ngx_iv_room.h"


struct ngx_iv_room_s {
    size_t          size;
    size_t          held;           /* by all together */
    ngx_queue_t     waiting;        /* shares by queue, oldest first */
    ngx_queue_t     holders;        /* shares by holders */
    ngx_event_t     deal;           /* posted: room became free */
    ngx_event_t     tick;           /* timer, while somebody waits */
};


static void ngx_iv_room_wait(ngx_iv_room_t *room, ngx_iv_room_share_t *share);
static void ngx_iv_room_unwait(ngx_iv_room_share_t *share);
static void ngx_iv_room_grant(ngx_iv_room_share_t *share);
static void ngx_iv_room_deal(ngx_event_t *ev);
static void ngx_iv_room_tick(ngx_event_t *ev);
static void ngx_iv_room_refuse(ngx_iv_room_t *room);
static void ngx_iv_room_press(ngx_iv_room_t *room);
static void ngx_iv_room_timer(ngx_iv_room_t *room);


ngx_iv_room_t *
ngx_iv_room_create(ngx_pool_t *pool, size_t size, ngx_log_t *log)
{
    ngx_iv_room_t  *room;

    room = ngx_pcalloc(pool, sizeof(ngx_iv_room_t));
    if (room == NULL) {
        return NULL;
    }

    room->size = size;

    ngx_queue_init(&room->waiting);
    ngx_queue_init(&room->holders);

    room->deal.handler = ngx_iv_room_deal;
    room->deal.data = room;
    room->deal.log = log;

    room->tick.handler = ngx_iv_room_tick;
    room->tick.data = room;
    room->tick.log = log;

    return room;
}


ngx_int_t
ngx_iv_room_take(ngx_iv_room_t *room, ngx_iv_room_share_t *share, size_t want)
{
    share->room = room;

    if (want <= share->held) {
        return NGX_OK;
    }

    if (want > room->size) {
        return NGX_DECLINED;
    }

    share->want = want;

    if (share->waiting) {
        return NGX_AGAIN;
    }

    /* nobody overtakes those who wait */

    if (ngx_queue_empty(&room->waiting)
        && want - share->held <= room->size - room->held)
    {
        ngx_iv_room_grant(share);
        return NGX_OK;
    }

    ngx_iv_room_wait(room, share);

    return NGX_AGAIN;
}


static void
ngx_iv_room_grant(ngx_iv_room_share_t *share)
{
    ngx_iv_room_t  *room;

    room = share->room;

    room->held += share->want - share->held;
    share->held = share->want;

    share->since = ngx_current_msec;
    share->progress = 0;

    if (!share->holding) {
        share->holding = 1;
        ngx_queue_insert_tail(&room->holders, &share->holders);
    }
}


static void
ngx_iv_room_wait(ngx_iv_room_t *room, ngx_iv_room_share_t *share)
{
    ngx_queue_t          *q;
    ngx_iv_room_share_t  *holder;

    if (ngx_queue_empty(&room->waiting)) {

        /* what holders did before anybody waited says nothing about now */

        for (q = ngx_queue_head(&room->holders);
             q != ngx_queue_sentinel(&room->holders);
             q = ngx_queue_next(q))
        {
            holder = ngx_queue_data(q, ngx_iv_room_share_t, holders);
            holder->since = ngx_current_msec;
            holder->progress = 0;
        }
    }

    share->waiting = 1;
    share->asked = ngx_current_msec;

    ngx_queue_insert_tail(&room->waiting, &share->queue);

    if (!room->tick.timer_set) {
        ngx_iv_room_timer(room);
    }
}


static void
ngx_iv_room_unwait(ngx_iv_room_share_t *share)
{
    ngx_iv_room_t  *room;

    if (!share->waiting) {
        return;
    }

    room = share->room;

    share->waiting = 0;
    ngx_queue_remove(&share->queue);

    if (ngx_queue_empty(&room->waiting)) {

        if (room->tick.timer_set) {
            ngx_del_timer(&room->tick);
        }

        return;
    }

    /* it may have stood before others for whom there is room */

    ngx_post_event((&room->deal), &ngx_posted_events);
}


void
ngx_iv_room_progress(ngx_iv_room_share_t *share, size_t n)
{
    share->progress += n;
}


void
ngx_iv_room_keep(ngx_iv_room_share_t *share, size_t n)
{
    ngx_iv_room_t  *room;

    room = share->room;

    if (room == NULL) {
        return;
    }

    ngx_iv_room_unwait(share);

    if (share->held > n) {

        room->held -= share->held - n;
        share->held = n;

        if (!ngx_queue_empty(&room->waiting)) {
            ngx_post_event((&room->deal), &ngx_posted_events);
        }
    }

    if (share->held == 0 && share->holding) {
        share->holding = 0;
        share->giving = 0;
        ngx_queue_remove(&share->holders);
    }
}


void
ngx_iv_room_release(ngx_iv_room_share_t *share)
{
    ngx_iv_room_keep(share, 0);
}


static void
ngx_iv_room_deal(ngx_event_t *ev)
{
    ngx_queue_t          *q;
    ngx_iv_room_t        *room;
    ngx_iv_room_share_t  *share;

    room = ev->data;

    /* in order: a large one at the head is not passed over for ever */

    while (!ngx_queue_empty(&room->waiting)) {

        q = ngx_queue_head(&room->waiting);
        share = ngx_queue_data(q, ngx_iv_room_share_t, queue);

        if (share->want - share->held > room->size - room->held) {
            return;
        }

        ngx_iv_room_grant(share);
        ngx_iv_room_unwait(share);

        share->granted(share->data);
    }
}


static void
ngx_iv_room_tick(ngx_event_t *ev)
{
    ngx_iv_room_t  *room;

    room = ev->data;

    ngx_iv_room_refuse(room);

    if (ngx_queue_empty(&room->waiting)) {
        return;
    }

    ngx_iv_room_press(room);

    if (!ngx_queue_empty(&room->waiting) && !room->tick.timer_set) {
        ngx_iv_room_timer(room);
    }
}


/* those who waited long enough; the callee may do anything */

static void
ngx_iv_room_refuse(ngx_iv_room_t *room)
{
    ngx_queue_t          *q;
    ngx_iv_room_share_t  *share;

    while (!ngx_queue_empty(&room->waiting)) {

        q = ngx_queue_head(&room->waiting);
        share = ngx_queue_data(q, ngx_iv_room_share_t, queue);

        if (ngx_current_msec - share->asked < NGX_IV_ROOM_PATIENCE) {
            return;
        }

        ngx_iv_room_unwait(share);

        share->refused(share->data);
    }
}


/* the slowest holder gives way, one at a time */

static void
ngx_iv_room_press(ngx_iv_room_t *room)
{
    uint64_t              rate, least;
    ngx_msec_t            time;
    ngx_queue_t          *q;
    ngx_iv_room_share_t  *share, *slow;

    slow = NULL;
    least = NGX_IV_ROOM_SLOW;

    for (q = ngx_queue_head(&room->holders);
         q != ngx_queue_sentinel(&room->holders);
         q = ngx_queue_next(q))
    {
        share = ngx_queue_data(q, ngx_iv_room_share_t, holders);

        if (share->giving) {
            return;
        }

        time = ngx_current_msec - share->since;

        if (time < NGX_IV_ROOM_WINDOW) {
            continue;
        }

        rate = (uint64_t) share->progress * 1000 / time;

        share->since = ngx_current_msec;
        share->progress = 0;

        /* who waits as well can't be fast */

        if (!share->waiting && rate < least) {
            least = rate;
            slow = share;
        }
    }

    if (slow) {
        slow->giving = 1;
        slow->give_way(slow->data);
    }
}


static void
ngx_iv_room_timer(ngx_iv_room_t *room)
{
    ngx_msec_t            waited, left;
    ngx_queue_t          *q;
    ngx_iv_room_share_t  *share;

    q = ngx_queue_head(&room->waiting);
    share = ngx_queue_data(q, ngx_iv_room_share_t, queue);

    waited = ngx_current_msec - share->asked;
    left = (waited < NGX_IV_ROOM_PATIENCE) ? NGX_IV_ROOM_PATIENCE - waited : 1;

    ngx_add_timer(&room->tick, ngx_min(left, NGX_IV_ROOM_TICK));
}
