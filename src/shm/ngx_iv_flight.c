#include "shm/ngx_iv_flight.h"


static ngx_queue_t *ngx_iv_flight_slot(ngx_iv_flights_t *flights,
    const u_char id[NGX_IV_ID_LEN]);
static void ngx_iv_flight_lead(ngx_iv_flights_t *flights, ngx_iv_ask_t *ask);
static void ngx_iv_flight_land(ngx_iv_flights_t *flights, ngx_iv_ask_t *leader,
    ngx_queue_t *rest);
static void ngx_iv_flight_forget_slot(ngx_queue_t *slot,
    const u_char id[NGX_IV_ID_LEN]);


ngx_int_t
ngx_iv_flights_init(ngx_iv_flights_t *flights)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_IV_FLIGHT_SLOTS; i++) {
        ngx_queue_init(&flights->slots[i]);
    }

    flights->leading = 0;
    flights->waiting = 0;

    return ngx_iv_random((u_char *) &flights->seed, sizeof(flights->seed));
}


/* ids are chosen by clients, but only so many are under way at once */

static ngx_queue_t *
ngx_iv_flight_slot(ngx_iv_flights_t *flights, const u_char id[NGX_IV_ID_LEN])
{
    uint32_t  w[3], h;

    ngx_memcpy(w, id, sizeof(w));

    h = (w[0] ^ flights->seed) * 0x9e3779b1u;
    h = ((h ^ (h >> 15)) + w[1]) * 0x85ebca6bu;
    h = ((h ^ (h >> 13)) + w[2]) * 0xc2b2ae35u;

    return &flights->slots[(h ^ (h >> 16)) % NGX_IV_FLIGHT_SLOTS];
}


ngx_int_t
ngx_iv_flight_join(ngx_iv_flights_t *flights, const u_char id[NGX_IV_ID_LEN],
    ngx_iv_ask_t *ask)
{
    ngx_queue_t   *q, *slot;
    ngx_iv_ask_t  *leader;

    ngx_memcpy(ask->id, id, NGX_IV_ID_LEN);

    slot = ngx_iv_flight_slot(flights, id);

    for (q = ngx_queue_head(slot);
         q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        leader = ngx_queue_data(q, ngx_iv_ask_t, slot);

        if (!leader->forgotten
            && ngx_memcmp(leader->id, id, NGX_IV_ID_LEN) == 0)
        {
            ngx_queue_insert_tail(&leader->queue, &ask->queue);
            ask->leads = 0;
            ask->waits = 1;
            flights->waiting++;
            return NGX_AGAIN;
        }
    }

    ngx_queue_init(&ask->queue);
    ngx_iv_flight_lead(flights, ask);

    return NGX_OK;
}


static void
ngx_iv_flight_lead(ngx_iv_flights_t *flights, ngx_iv_ask_t *ask)
{
    ngx_queue_insert_tail(ngx_iv_flight_slot(flights, ask->id), &ask->slot);

    ask->leads = 1;
    ask->waits = 0;
    ask->forgotten = 0;

    flights->leading++;
}


/* rest: who has waited for this leader; the leader is one no more */

static void
ngx_iv_flight_land(ngx_iv_flights_t *flights, ngx_iv_ask_t *leader,
    ngx_queue_t *rest)
{
    ngx_queue_init(rest);

    if (!ngx_queue_empty(&leader->queue)) {
        ngx_queue_add(rest, &leader->queue);
    }

    ngx_queue_init(&leader->queue);
    ngx_queue_remove(&leader->slot);
    leader->leads = 0;

    flights->leading--;
}


void
ngx_iv_flight_done(ngx_iv_flights_t *flights, ngx_iv_ask_t *leader,
    ngx_int_t rc, const void *result)
{
    ngx_queue_t   *q, rest;
    ngx_iv_ask_t  *ask;

    if (!leader->leads) {
        return;
    }

    ngx_iv_flight_land(flights, leader, &rest);

    /* a handler may make any other one leave: never hold on to the next */

    while (!ngx_queue_empty(&rest)) {
        q = ngx_queue_head(&rest);
        ngx_queue_remove(q);

        ask = ngx_queue_data(q, ngx_iv_ask_t, queue);
        ask->waits = 0;
        flights->waiting--;

        ask->handler(ask, rc, result);
    }
}


void
ngx_iv_flight_leave(ngx_iv_flights_t *flights, ngx_iv_ask_t *ask)
{
    ngx_queue_t   *q, rest;
    ngx_iv_ask_t  *next;

    if (ask->waits) {
        ngx_queue_remove(&ask->queue);
        ask->waits = 0;
        flights->waiting--;
        return;
    }

    if (!ask->leads) {
        return;
    }

    ngx_iv_flight_land(flights, ask, &rest);

    if (ngx_queue_empty(&rest)) {
        return;
    }

    q = ngx_queue_head(&rest);
    ngx_queue_remove(q);

    next = ngx_queue_data(q, ngx_iv_ask_t, queue);
    ngx_queue_init(&next->queue);

    if (!ngx_queue_empty(&rest)) {
        ngx_queue_add(&next->queue, &rest);
    }

    flights->waiting--;

    /* its look-up begins now: who comes after a drop may join it */
    ngx_iv_flight_lead(flights, next);

    next->handler(next, NGX_AGAIN, NULL);
}


void
ngx_iv_flight_forget(ngx_iv_flights_t *flights,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_uint_t  i;

    if (id) {
        ngx_iv_flight_forget_slot(ngx_iv_flight_slot(flights, id), id);
        return;
    }

    for (i = 0; i < NGX_IV_FLIGHT_SLOTS; i++) {
        ngx_iv_flight_forget_slot(&flights->slots[i], NULL);
    }
}


static void
ngx_iv_flight_forget_slot(ngx_queue_t *slot, const u_char id[NGX_IV_ID_LEN])
{
    ngx_queue_t   *q;
    ngx_iv_ask_t  *leader;

    for (q = ngx_queue_head(slot);
         q != ngx_queue_sentinel(slot);
         q = ngx_queue_next(q))
    {
        leader = ngx_queue_data(q, ngx_iv_ask_t, slot);

        if (id == NULL || ngx_memcmp(leader->id, id, NGX_IV_ID_LEN) == 0) {
            leader->forgotten = 1;
        }
    }
}
