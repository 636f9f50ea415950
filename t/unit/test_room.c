/*
 * Room for bodies of unknown length: order, patience, giving way.
 *
 * sources: src/upload/ngx_iv_room.c
 */

#include "iv_test.h"
#include "iv_events.h"
#include "upload/ngx_iv_room.h"


static ngx_event_t  *timer;

void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timer = (ngx_event_t *) ((u_char *) node - offsetof(ngx_event_t, timer));
}

void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timer = NULL;
}


/* time passes, timers fire */

static void
pass(ngx_msec_t ms)
{
    ngx_msec_t    end;
    ngx_event_t  *ev;

    end = ngx_current_msec + ms;

    while (timer && (ngx_msec_int_t) (timer->timer.key - end) <= 0) {
        ev = timer;
        timer = NULL;
        ngx_current_msec = ev->timer.key;
        ev->timer_set = 0;
        ev->handler(ev);
        turn();
    }

    ngx_current_msec = end;
}


typedef struct {
    ngx_iv_room_share_t  share;
    int                  granted, refused, giving;
    int                  order;
} user_t;

static int        order;
static ngx_log_t  log;

static void
granted(void *data)
{
    user_t  *user = data;

    user->granted++;
    user->order = ++order;
}

static void
refused(void *data)
{
    user_t  *user = data;

    user->refused++;
}

static void
give_way(void *data)
{
    user_t  *user = data;

    user->giving++;
}

static user_t          a, b, c, d;
static ngx_pool_t     *pool;
static ngx_iv_room_t  *room;

static void
user(user_t *u)
{
    ngx_memzero(u, sizeof(user_t));
    u->share.granted = granted;
    u->share.refused = refused;
    u->share.give_way = give_way;
    u->share.data = u;
}

static void
begin(size_t size)
{
    ngx_queue_init(&ngx_posted_events);
    timer = NULL;
    order = 0;
    ngx_current_msec = (ngx_msec_t) -3000;

    user(&a);
    user(&b);
    user(&c);
    user(&d);

    pool = ngx_create_pool(1024, &log);
    room = ngx_iv_room_create(pool, size, &log);
    OK(room != NULL);
}

static void
end(void)
{
    ngx_iv_room_release(&a.share);
    ngx_iv_room_release(&b.share);
    ngx_iv_room_release(&c.share);
    ngx_iv_room_release(&d.share);
    turn();
    OK(timer == NULL);
    EQ_INT(ngx_iv_room_take(room, &a.share, 100), NGX_OK);
    ngx_destroy_pool(pool);
}


static void
test_order(void)
{
    begin(100);
    EQ_INT(ngx_iv_room_take(room, &a.share, 101), NGX_DECLINED);
    EQ_INT(ngx_iv_room_take(room, &a.share, 60), NGX_OK);
    EQ_INT(ngx_iv_room_take(room, &a.share, 50), NGX_OK);
    EQ_INT(a.share.held, 60);
    EQ_INT(ngx_iv_room_take(room, &b.share, 50), NGX_AGAIN);
    EQ_INT(ngx_iv_room_take(room, &b.share, 50), NGX_AGAIN);

    /* nobody overtakes */

    EQ_INT(ngx_iv_room_take(room, &c.share, 10), NGX_AGAIN);
    EQ_INT(b.granted, 0);

    ngx_iv_room_release(&a.share);
    ngx_iv_room_release(&a.share);
    EQ_INT(b.granted, 0);
    turn();
    EQ_INT(b.order, 1);
    EQ_INT(c.order, 2);
    EQ_INT(b.share.held, 50);
    OK(timer == NULL);

    /* the first in the line leaves it */

    EQ_INT(ngx_iv_room_take(room, &a.share, 100), NGX_AGAIN);
    EQ_INT(ngx_iv_room_take(room, &d.share, 20), NGX_AGAIN);
    ngx_iv_room_release(&a.share);
    turn();
    EQ_INT(d.granted, 1);
    EQ_INT(a.granted, 0);
    end();
}


static void
test_more(void)
{
    /* more for one that holds, and some of it back */

    begin(100);
    EQ_INT(ngx_iv_room_take(room, &a.share, 40), NGX_OK);
    EQ_INT(ngx_iv_room_take(room, &a.share, 80), NGX_OK);
    EQ_INT(a.share.held, 80);
    EQ_INT(ngx_iv_room_take(room, &b.share, 20), NGX_OK);
    EQ_INT(ngx_iv_room_take(room, &b.share, 40), NGX_AGAIN);
    EQ_INT(b.share.held, 20);
    ngx_iv_room_keep(&a.share, 60);
    turn();
    EQ_INT(b.granted, 1);
    EQ_INT(b.share.held, 40);

    /* keep stops the waiting, too */

    EQ_INT(ngx_iv_room_take(room, &a.share, 70), NGX_AGAIN);
    ngx_iv_room_keep(&a.share, 60);
    OK(timer == NULL);
    EQ_INT(a.share.held, 60);
    end();
}


static void
test_patience(void)
{
    begin(100);
    EQ_INT(ngx_iv_room_take(room, &a.share, 100), NGX_OK);
    EQ_INT(ngx_iv_room_take(room, &b.share, 10), NGX_AGAIN);
    pass(500);
    EQ_INT(ngx_iv_room_take(room, &c.share, 10), NGX_AGAIN);
    ngx_iv_room_progress(&a.share, 100000000);
    pass(9400);
    EQ_INT(b.refused, 0);
    pass(200);
    EQ_INT(b.refused, 1);
    EQ_INT(c.refused, 0);
    OK(!b.share.waiting);
    pass(600);
    EQ_INT(c.refused, 1);
    OK(timer == NULL);
    end();
}


static void
test_give_way(void)
{
    ngx_uint_t  i;

    begin(100);
    EQ_INT(ngx_iv_room_take(room, &a.share, 50), NGX_OK);
    EQ_INT(ngx_iv_room_take(room, &b.share, 50), NGX_OK);

    /* slow, but nobody waits */

    pass(60000);
    ngx_iv_room_progress(&a.share, 100000000);
    ngx_iv_room_progress(&b.share, 100000000);

    EQ_INT(ngx_iv_room_take(room, &c.share, 50), NGX_AGAIN);

    for (i = 0; i < 15; i++) {
        pass(100);
        ngx_iv_room_progress(&a.share, 1700);
        ngx_iv_room_progress(&b.share, 100);
        EQ_INT(b.giving, 0);
    }

    for (i = 0; i < 10; i++) {
        pass(100);
        ngx_iv_room_progress(&a.share, 1700);
        ngx_iv_room_progress(&b.share, 100);
    }

    EQ_INT(a.giving, 0);
    EQ_INT(b.giving, 1);

    /* it is told once, and no other meanwhile */

    pass(3000);
    EQ_INT(a.giving, 0);
    EQ_INT(b.giving, 1);
    ngx_iv_room_release(&b.share);
    turn();
    EQ_INT(c.granted, 1);
    EQ_INT(ngx_iv_room_take(room, &d.share, 50), NGX_AGAIN);
    pass(2500);
    EQ_INT(a.giving + c.giving, 1);
    end();
}


int
main(void)
{
    RUN(test_order);
    RUN(test_more);
    RUN(test_patience);
    RUN(test_give_way);

    return iv_test_done();
}
