/*
 * The part of nginx's event loop that a test turns by hand.
 */

#ifndef IV_EVENTS_H
#define IV_EVENTS_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


ngx_queue_t   ngx_posted_events;
ngx_rbtree_t  ngx_event_timer_rbtree;


/* all that is posted, and what is posted meanwhile */

static inline void
turn(void)
{
    ngx_queue_t  *q;
    ngx_event_t  *ev;

    while (!ngx_queue_empty(&ngx_posted_events)) {
        q = ngx_queue_head(&ngx_posted_events);
        ev = ngx_queue_data(q, ngx_event_t, queue);
        ngx_delete_posted_event(ev);
        ev->handler(ev);
    }
}


#endif
