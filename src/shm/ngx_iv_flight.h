/*
 * Look-ups under way in one worker, by id: the first asker leads, those behind
 * it wait for it.  Process-local, event loop only.
 *
 * A leader gets, begins and fills (ngx_iv_cache.h), and then tells the others.
 * They are told in the order of their coming, each once, and look into the
 * cache again; what the leader hands on (`result`) is for what the cache does
 * not keep: failures, and entries that are too large.
 * A leader whose fill was declined (a drop came between) asks the store again:
 * it never tells the others what may be out of date.
 * Across workers there is only the mark in the cache: a leader to whom
 * ngx_iv_cache_begin() says NGX_AGAIN gets again by a timer.
 *
 * An ask belongs to the caller: it stays where it is, zeroed before its first
 * use, until it was told or left.  After a drop, askers must not take part in a
 * look-up that began before: ngx_iv_flight_forget().
 */

#ifndef NGX_IV_FLIGHT_H
#define NGX_IV_FLIGHT_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "base/ngx_iv_str.h"


#define NGX_IV_FLIGHT_SLOTS  256


typedef struct ngx_iv_ask_s  ngx_iv_ask_t;

struct ngx_iv_ask_s {
    /* set by the caller.  rc: what the leader says (never NGX_AGAIN), or
     * NGX_AGAIN: it has left without a result, this ask leads now.  result:
     * only during the call */
    void          (*handler)(ngx_iv_ask_t *ask, ngx_int_t rc,
                       const void *result);
    void           *data;

    /* the flight's */
    u_char          id[NGX_IV_ID_LEN];
    ngx_queue_t     slot;           /* leaders of a slot */
    ngx_queue_t     queue;          /* leader: head of who waits */
    unsigned        leads:1;
    unsigned        waits:1;
    unsigned        forgotten:1;    /* nobody joins any more */
};


typedef struct {
    ngx_queue_t     slots[NGX_IV_FLIGHT_SLOTS];
    uint32_t        seed;
    ngx_uint_t      leading;        /* for metrics */
    ngx_uint_t      waiting;
} ngx_iv_flights_t;


/* NGX_OK, NGX_ERROR: no random seed */
ngx_int_t ngx_iv_flights_init(ngx_iv_flights_t *flights);

/* NGX_OK: this ask leads; NGX_AGAIN: it waits, its handler will be called */
ngx_int_t ngx_iv_flight_join(ngx_iv_flights_t *flights,
    const u_char id[NGX_IV_ID_LEN], ngx_iv_ask_t *ask);

/* by the leader: the others' handlers are called from within; they may join
 * anew and leave, themselves and others */
void ngx_iv_flight_done(ngx_iv_flights_t *flights, ngx_iv_ask_t *leader,
    ngx_int_t rc, const void *result);

/* the asker goes away; may be called at any time, and again.  Of a leader: the
 * next one's handler is called with NGX_AGAIN from within */
void ngx_iv_flight_leave(ngx_iv_flights_t *flights, ngx_iv_ask_t *ask);

/* with each ngx_iv_cache_drop() in this worker (id NULL: drop_all): whoever
 * joins from now on gets a look-up of its own */
void ngx_iv_flight_forget(ngx_iv_flights_t *flights,
    const u_char id[NGX_IV_ID_LEN]);


#endif
