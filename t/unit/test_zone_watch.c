/*
 * The slot of who follows the changes: taken over, and a token that is whole
 * or none, with holders that come and go (run it with SANITIZE=thread, too).
 *
 * sources: src/shm/ngx_iv_zone_watch.c src/shm/ngx_iv_zone_meter.c
 * libs: -lpthread
 */

#include "iv_test.h"
#include "shm/ngx_iv_zone_watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define HOLDERS  4
#define ROUNDS   20000

static ngx_iv_zone_watch_t  slot;


static void
test_take(void)
{
    ngx_pid_t  me, dead, other;

    memset(&slot, 0, sizeof(slot));
    me = getpid();
    other = getppid();

    dead = (1 << 22) + 1;       /* no process has that: they end at 2^22 */

    EQ_INT(ngx_iv_zone_watch_take(&slot, other, 1000, 500, 7), 1);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 1400, 500, 7), 0);
    EQ_INT(ngx_iv_zone_watch_beat(&slot, me, 1400), 0);
    EQ_INT(ngx_iv_zone_watch_beat(&slot, other, 1400), 1);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 1800, 500, 7), 0);

    /* no sign of life */
    ngx_iv_zone_watch_set_up(&slot, other, 1);
    EQ_INT(ngx_iv_zone_watch_is_up(&slot), 1);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 1900, 500, 7), 1);
    EQ_INT(ngx_iv_zone_watch_is_up(&slot), 0);
    EQ_INT(ngx_iv_zone_watch_beat(&slot, other, 1900), 0);
    ngx_iv_zone_watch_set_up(&slot, other, 1);
    EQ_INT(ngx_iv_zone_watch_is_up(&slot), 0);

    /* one who has lost it can't leave it */
    ngx_iv_zone_watch_leave(&slot, other);
    EQ_INT(ngx_iv_zone_watch_beat(&slot, me, 1900), 1);
    ngx_iv_zone_watch_leave(&slot, me);
    EQ_INT(ngx_iv_zone_watch_take(&slot, other, 1900, 500, 7), 1);
    ngx_iv_zone_watch_leave(&slot, other);

    /* killed, and a process of the same number */
    EQ_INT(ngx_iv_zone_watch_take(&slot, dead, 2000, 500, 7), 1);
    ngx_iv_zone_watch_set_up(&slot, dead, 1);
    EQ_INT(ngx_iv_zone_watch_is_up(&slot), 0);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 2000, 500, 7), 1);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 2000, 500, 7), 1);

    /* a clock that has gone round */
    EQ_INT(ngx_iv_zone_watch_beat(&slot, me, (ngx_uint_t) -100), 1);
    EQ_INT(ngx_iv_zone_watch_take(&slot, other, 300, 500, 7), 0);
    EQ_INT(ngx_iv_zone_watch_take(&slot, other, 400, 500, 7), 1);

    /* nothing to follow, until the configuration is another */
    ngx_iv_zone_watch_leave(&slot, other);
    ngx_iv_zone_watch_set_off(&slot, 7);
    EQ_INT(ngx_iv_zone_watch_is_off(&slot, 7), 1);
    EQ_INT(ngx_iv_zone_watch_is_off(&slot, 9), 0);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 2000, 500, 7), 0);
    EQ_INT(ngx_iv_zone_watch_take(&slot, me, 2000, 500, 9), 1);
}


static void
test_token(void)
{
    size_t      len;
    u_char      in[NGX_IV_ZONE_TOKEN + 1], out[NGX_IV_ZONE_TOKEN];
    ngx_uint_t  i;

    memset(&slot, 0, sizeof(slot));
    memset(in, 'x', sizeof(in));

    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);

    for (len = 1; len <= NGX_IV_ZONE_TOKEN; len++) {
        memset(in, (int) len, len);
        ngx_iv_zone_watch_save(&slot, 1, in, len);
        EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), len);
        OK(memcmp(in, out, len) == 0);
    }

    EQ_INT(ngx_iv_zone_watch_load(&slot, 2, out), 0);

    ngx_iv_zone_watch_forget(&slot);
    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);

    ngx_iv_zone_watch_save(&slot, 1, in, 100);
    ngx_iv_zone_watch_save(&slot, 1, in, sizeof(in));
    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);
    ngx_iv_zone_watch_save(&slot, 1, in, 100);
    ngx_iv_zone_watch_save(&slot, 1, in, 0);
    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);

    /* whatever a killed worker has left */
    ngx_iv_zone_watch_save(&slot, 1, in, 100);

    for (i = 0; i < 3 + 13; i++) {
        slot.tokens[slot.current - 1].words[i] ^= 1ULL << (3 * i);
        EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);
        slot.tokens[slot.current - 1].words[i] ^= 1ULL << (3 * i);
        EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 100);
    }

    slot.tokens[slot.current - 1].words[2] = (uint64_t) -1;
    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);
    slot.current = 77;
    EQ_INT(ngx_iv_zone_watch_load(&slot, 1, out), 0);
}


/* all of them save at once, as only holders that lost their place would */

static void *
holder(void *data)
{
    size_t      len;
    u_char      in[NGX_IV_ZONE_TOKEN], out[NGX_IV_ZONE_TOKEN];
    uintptr_t   n, bad;
    ngx_uint_t  i, k;

    n = (uintptr_t) data;
    bad = 0;

    for (i = 0; i < ROUNDS; i++) {
        len = 100 + (i * 7 + n * 13) % 200;
        memset(in, (int) len, len);

        ngx_iv_zone_watch_save(&slot, 1, in, len);
        len = ngx_iv_zone_watch_load(&slot, 1, out);

        for (k = 0; k < len; k++) {
            if (out[k] != (u_char) len) {
                bad++;
                break;
            }
        }

        if (i % 64 == 0) {
            (void) ngx_iv_zone_watch_take(&slot, 1, i, 1, 7);
            (void) ngx_iv_zone_watch_beat(&slot, 1, i);
            ngx_iv_zone_watch_set_up(&slot, 1, i & 1);
            (void) ngx_iv_zone_watch_is_up(&slot);
            ngx_iv_zone_watch_leave(&slot, 1);
        }

        if (i % 1000 == 999) {
            ngx_iv_zone_watch_forget(&slot);
        }
    }

    return (void *) bad;
}


static void
test_side_by_side(void)
{
    void       *bad;
    uintptr_t   i;
    pthread_t   threads[HOLDERS];

    memset(&slot, 0, sizeof(slot));

    for (i = 0; i < HOLDERS; i++) {
        OK(pthread_create(&threads[i], NULL, holder, (void *) i) == 0);
    }

    for (i = 0; i < HOLDERS; i++) {
        OK(pthread_join(threads[i], &bad) == 0);
        EQ_INT((uintptr_t) bad, 0);
    }
}


int
main(void)
{
    RUN(test_take);
    RUN(test_token);
    RUN(test_side_by_side);

    return iv_test_done();
}
