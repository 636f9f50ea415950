/*
 * sources: src/shm/ngx_iv_flight.c src/base/ngx_iv_str.c
 *
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "shm/ngx_iv_flight.h"

#include <stdlib.h>


#define ASKS  6


static ngx_iv_flights_t   flights;
static ngx_iv_ask_t      *asks[ASKS];
static ngx_int_t          codes[ASKS];
static const void        *results[ASKS];
static unsigned           calls;
static unsigned           order[64];
static ngx_iv_ask_t      *to_leave;
static ngx_iv_ask_t      *to_join;


static const u_char  id1[NGX_IV_ID_LEN] = "one-one-one";
static const u_char  id2[NGX_IV_ID_LEN] = "two-two-two";


static void
told(ngx_iv_ask_t *ask, ngx_int_t rc, const void *result)
{
    unsigned  n;

    n = (unsigned) ((uintptr_t) ask->data);

    codes[n] = rc;
    results[n] = result;
    order[calls++ % 64] = n;

    if (to_leave) {
        ngx_iv_flight_leave(&flights, to_leave);
        to_leave = NULL;
    }

    if (to_join) {
        EQ_INT(ngx_iv_flight_join(&flights, id1, to_join), NGX_OK);
        to_join = NULL;
    }
}


static void
begin(void)
{
    unsigned  n;

    EQ_INT(ngx_iv_flights_init(&flights), NGX_OK);
    calls = 0;

    for (n = 0; n < ASKS; n++) {
        free(asks[n]);
        asks[n] = calloc(1, sizeof(ngx_iv_ask_t));

        if (asks[n] == NULL) {
            exit(2);
        }

        asks[n]->handler = told;
        asks[n]->data = (void *) (uintptr_t) n;
        codes[n] = 1;
        results[n] = NULL;
    }
}


static ngx_int_t
join(unsigned n, const u_char *id)
{
    return ngx_iv_flight_join(&flights, id, asks[n]);
}


static void
test_done(void)
{
    int  result;

    begin();

    EQ_INT(join(0, id1), NGX_OK);
    EQ_INT(join(1, id1), NGX_AGAIN);
    EQ_INT(join(2, id2), NGX_OK);
    EQ_INT(join(3, id1), NGX_AGAIN);
    EQ_INT(join(4, id2), NGX_AGAIN);
    EQ_INT(flights.leading, 2);
    EQ_INT(flights.waiting, 3);

    ngx_iv_flight_done(&flights, asks[0], NGX_DONE, &result);
    EQ_INT(calls, 2);
    EQ_INT(order[0], 1);
    EQ_INT(order[1], 3);
    EQ_INT(codes[1], NGX_DONE);
    OK(results[3] == &result);

    /* once only, and not by one who does not lead */

    ngx_iv_flight_done(&flights, asks[0], NGX_DONE, &result);
    ngx_iv_flight_done(&flights, asks[4], NGX_DONE, &result);
    EQ_INT(calls, 2);

    EQ_INT(join(0, id1), NGX_OK);
    ngx_iv_flight_done(&flights, asks[0], NGX_OK, NULL);
    ngx_iv_flight_done(&flights, asks[2], NGX_OK, NULL);
    EQ_INT(calls, 3);
    EQ_INT(flights.leading, 0);
    EQ_INT(flights.waiting, 0);
}


static void
test_leave(void)
{
    begin();

    EQ_INT(join(0, id1), NGX_OK);
    EQ_INT(join(1, id1), NGX_AGAIN);
    EQ_INT(join(2, id1), NGX_AGAIN);
    EQ_INT(join(3, id1), NGX_AGAIN);

    ngx_iv_flight_leave(&flights, asks[1]);
    ngx_iv_flight_leave(&flights, asks[1]);
    EQ_INT(calls, 0);

    /* the next one leads, the others go on waiting */

    ngx_iv_flight_leave(&flights, asks[0]);
    EQ_INT(calls, 1);
    EQ_INT(codes[2], NGX_AGAIN);
    EQ_INT(flights.leading, 1);
    EQ_INT(flights.waiting, 1);

    free(asks[0]);
    asks[0] = NULL;

    EQ_INT(join(4, id1), NGX_AGAIN);
    ngx_iv_flight_done(&flights, asks[2], NGX_OK, NULL);
    EQ_INT(calls, 3);
    EQ_INT(codes[3], NGX_OK);
    EQ_INT(codes[4], NGX_OK);

    /* the last one */

    EQ_INT(join(2, id1), NGX_OK);
    ngx_iv_flight_leave(&flights, asks[2]);
    EQ_INT(calls, 3);
    EQ_INT(flights.leading, 0);
    EQ_INT(flights.waiting, 0);
}


static void
test_within(void)
{
    begin();

    EQ_INT(join(0, id1), NGX_OK);
    EQ_INT(join(1, id1), NGX_AGAIN);
    EQ_INT(join(2, id1), NGX_AGAIN);
    EQ_INT(join(3, id1), NGX_AGAIN);

    /* the first told makes the second leave, and the leader ask anew */

    to_leave = asks[2];
    to_join = asks[0];
    ngx_iv_flight_done(&flights, asks[0], NGX_OK, NULL);

    EQ_INT(calls, 2);
    EQ_INT(order[0], 1);
    EQ_INT(order[1], 3);
    EQ_INT(codes[2], 1);
    EQ_INT(flights.leading, 1);
    EQ_INT(flights.waiting, 0);

    /* a new leader leaves from within */

    EQ_INT(join(1, id1), NGX_AGAIN);
    EQ_INT(join(2, id1), NGX_AGAIN);
    to_leave = asks[1];
    ngx_iv_flight_leave(&flights, asks[0]);
    EQ_INT(codes[1], NGX_AGAIN);
    EQ_INT(codes[2], NGX_AGAIN);
    EQ_INT(flights.leading, 1);
    ngx_iv_flight_leave(&flights, asks[2]);
    EQ_INT(flights.leading, 0);
    EQ_INT(flights.waiting, 0);
}


static void
test_forget(void)
{
    begin();

    EQ_INT(join(0, id1), NGX_OK);
    EQ_INT(join(1, id1), NGX_AGAIN);
    ngx_iv_flight_forget(&flights, id2);
    EQ_INT(join(2, id1), NGX_AGAIN);
    ngx_iv_flight_forget(&flights, id1);
    EQ_INT(join(3, id1), NGX_OK);
    EQ_INT(join(4, id1), NGX_AGAIN);

    ngx_iv_flight_done(&flights, asks[0], NGX_DONE, NULL);
    EQ_INT(calls, 2);
    EQ_INT(codes[4], 1);

    ngx_iv_flight_forget(&flights, NULL);
    EQ_INT(join(0, id1), NGX_OK);
    ngx_iv_flight_done(&flights, asks[3], NGX_OK, NULL);
    ngx_iv_flight_done(&flights, asks[0], NGX_OK, NULL);
    EQ_INT(calls, 3);
    EQ_INT(codes[4], NGX_OK);
    EQ_INT(flights.leading, 0);
    EQ_INT(flights.waiting, 0);
}


int
main(void)
{
    unsigned  n;

    RUN(test_done);
    RUN(test_leave);
    RUN(test_within);
    RUN(test_forget);

    for (n = 0; n < ASKS; n++) {
        free(asks[n]);
    }

    return iv_test_done();
}
