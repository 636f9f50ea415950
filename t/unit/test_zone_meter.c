/*
 * The zone's counters and slots, under threads as well (for ThreadSanitizer:
 * SANITIZE=thread util/unit zone_meter).
 *
 * sources: src/shm/ngx_iv_zone_meter.c
 * libs: -lpthread
 */

#include "iv_test.h"
#include "shm/ngx_iv_zone_meter.h"

#include <pthread.h>
#include <unistd.h>


#define THREADS  8
#define TURNS    20000

/* a number that no process has: they end at 2^22 */
#define DEAD     ((1 << 22) + 1)


static ngx_iv_zone_meter_t  meter;


static void *
count(void *data)
{
    ngx_uint_t  i, stripe;

    stripe = (ngx_uint_t) (uintptr_t) data % NGX_IV_ZONE_STRIPES;

    for (i = 0; i < TURNS; i++) {
        ngx_iv_zone_meter_add(&meter, stripe, NGX_IV_COUNT_REDIRECTS, 1);
        ngx_iv_zone_meter_add(&meter, stripe, NGX_IV_COUNT_UPLOAD_BYTES, 3);
    }

    return NULL;
}


static void
test_threads(void)
{
    pthread_t   t[THREADS];
    ngx_uint_t  i, last, n;

    ngx_memzero(&meter, sizeof(meter));

    for (i = 0; i < THREADS; i++) {
        EQ_INT(pthread_create(&t[i], NULL, count, (void *) (uintptr_t) (i / 2)),
               0);
    }

    last = 0;

    for (i = 0; i < 1000; i++) {
        n = ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_REDIRECTS);
        OK(n >= last);
        last = n;
    }

    for (i = 0; i < THREADS; i++) {
        EQ_INT(pthread_join(t[i], NULL), 0);
    }

    EQ_INT(ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_REDIRECTS),
           THREADS * TURNS);
    EQ_INT(ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_UPLOAD_BYTES),
           THREADS * TURNS * 3);
    EQ_INT(ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_UPLOADS), 0);
}


/* what a worker has counted stays when another one takes its slot */

static void
test_slots(void)
{
    ngx_pid_t            pid;
    ngx_uint_t           i;
    ngx_iv_zone_slot_t  *one, *two;

    ngx_memzero(&meter, sizeof(meter));
    pid = ngx_pid;

    ngx_pid = DEAD;
    one = ngx_iv_zone_meter_join(&meter);
    OK(one == &meter.slots[0]);

    one->gauges[NGX_IV_GAUGE_READ] = 5;
    ngx_iv_zone_meter_add(&meter, ngx_iv_zone_meter_stripe(&meter, one),
                          NGX_IV_COUNT_READS, 7);

    /* the dead have nothing under way */

    EQ_INT(ngx_iv_zone_meter_sum(&meter, NGX_IV_GAUGE_READ), 0);

    ngx_pid = getpid();
    two = ngx_iv_zone_meter_join(&meter);
    OK(two == one);
    EQ_INT(two->gauges[NGX_IV_GAUGE_READ], 0);

    ngx_iv_zone_meter_add(&meter, ngx_iv_zone_meter_stripe(&meter, two),
                          NGX_IV_COUNT_READS, 1);
    EQ_INT(ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_READS), 8);

    /* all others, until none is left */

    for (i = 1; i < NGX_IV_ZONE_SLOTS; i++) {
        two = ngx_iv_zone_meter_join(&meter);
        OK(two == &meter.slots[i]);
        OK(ngx_iv_zone_meter_stripe(&meter, two) < NGX_IV_ZONE_STRIPES);
        OK(ngx_iv_zone_meter_stripe(&meter, two)
           != ngx_iv_zone_meter_stripe(&meter, two - 1));
    }

    OK(ngx_iv_zone_meter_join(&meter) == NULL);
    EQ_INT(ngx_iv_zone_meter_stripe(&meter, NULL), 0);

    one->pid = 0;
    OK(ngx_iv_zone_meter_join(&meter) == one);
    EQ_INT(ngx_iv_zone_meter_get(&meter, NGX_IV_COUNT_READS), 8);

    ngx_pid = pid;
}


int
main(void)
{
    RUN(test_threads);
    RUN(test_slots);

    return iv_test_done();
}
