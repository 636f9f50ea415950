/*
 * Breakers: the state machine, and many processes that are killed and threads
 * (for ThreadSanitizer: SANITIZE=thread util/unit breaker).
 *
 * sources: src/shm/ngx_iv_breaker.c src/base/ngx_iv_str.c
 *
 * libs: -lcrypto -lpthread
 */

#include "iv_test.h"
#include "shm/ngx_iv_breaker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>


#define NOW       1700000000000ll
#define THREADS   4
#define ROUNDS    20000
#define CHILDREN  4
#define KILLS     150


static ngx_iv_breakers_t  *all;
static ngx_uint_t          dead;        /* a pid that is no more */


static ngx_uint_t
alive(uint32_t pid)
{
    return pid != dead;
}


/* one of the table, or that of the database */

static void
join(ngx_iv_breaker_t *b, const char *name)
{
    ngx_str_t  n, where;

    memset(b, 0, sizeof(*b));

    n.data = (u_char *) name;
    n.len = strlen(name);
    ngx_str_set(&where, "http://127.0.0.1:9000/bucket");

    if (n.len) {
        EQ_INT(ngx_iv_breaker_join(b, all, &n, &where, NOW), NGX_OK);

    } else {
        ngx_iv_breaker_join_database(b, all);
    }
}


/* … as if by process `pid` */

static void
hold(ngx_iv_breaker_t *b, const char *name, uint32_t pid)
{
    join(b, name);

    b->pid = pid;
    b->alive = alive;
}


static void
start(ngx_iv_breaker_t *b, const char *name)
{
    memset(all, 0, sizeof(*all));
    dead = 0;
    hold(b, name, 7);
}


static ngx_iv_breaker_change_e
good(ngx_iv_breaker_t *b, int64_t now)
{
    return ngx_iv_breaker_report(b, NGX_IV_BREAKER_GOOD, 0, now, 0);
}


static ngx_iv_breaker_change_e
bad(ngx_iv_breaker_t *b, int64_t now)
{
    return ngx_iv_breaker_report(b, NGX_IV_BREAKER_BAD, 0, now, 0);
}


/* milliseconds after which it lets somebody try */

static int64_t
opened(ngx_iv_breaker_t *b, int64_t now)
{
    int64_t  wait;

    wait = (int64_t) ngx_iv_breaker_wait(b, now);

    EQ_INT(ngx_iv_breaker_state(b), NGX_IV_BREAKER_OPEN);
    EQ_INT(ngx_iv_breaker_ask(b, now + wait - 1, 1), NGX_IV_BREAKER_NO);

    return wait;
}


static void
test_none(void)
{
    ngx_uint_t        i;
    ngx_iv_breaker_t  b;

    memset(&b, 0, sizeof(b));

    for (i = 0; i < 100; i++) {
        EQ_INT(bad(&b, NOW), NGX_IV_BREAKER_AS_BEFORE);
        EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_GO);
        EQ_INT(ngx_iv_breaker_retry(&b), 1);
    }

    EQ_INT(ngx_iv_breaker_wait(&b, NOW), 0);
    OK(ngx_iv_breaker_word(ngx_iv_breaker_state(&b)) == NULL);
    EQ_INT(ngx_iv_breaker_skew(&b), 0);
    EQ_INT(ngx_iv_breaker_set_skew(&b, 0, 10), 0);
}


static void
test_opens(void)
{
    ngx_uint_t        i;
    int64_t           wait;
    ngx_iv_breaker_t  b, other;

    start(&b, "s3");
    hold(&other, "s3", 8);

    for (i = 0; i < 4; i++) {
        EQ_INT(bad(&b, NOW + i), NGX_IV_BREAKER_AS_BEFORE);
        EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_GO);
    }

    EQ_INT(bad(&other, NOW + 5), NGX_IV_BREAKER_OPENS);
    OK(strcmp(ngx_iv_breaker_word(ngx_iv_breaker_state(&b)), "open") == 0);
    EQ_INT(bad(&b, NOW + 6), NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(ngx_iv_breaker_retry(&b), 0);

    /* what began before it says nothing any more */
    EQ_INT(good(&b, NOW + 6), NGX_IV_BREAKER_AS_BEFORE);

    wait = opened(&b, NOW + 6);
    OK(wait >= 490 && wait <= 1000);

    /* one of all tries */
    EQ_INT(ngx_iv_breaker_ask(&b, NOW + 6 + wait, 1), NGX_IV_BREAKER_TRIAL);
    EQ_INT(ngx_iv_breaker_ask(&other, NOW + 6 + wait, 1), NGX_IV_BREAKER_NO);
    EQ_INT(ngx_iv_breaker_ask(&b, NOW + 6 + wait, 1), NGX_IV_BREAKER_NO);
    EQ_INT(ngx_iv_breaker_wait(&other, NOW + 6 + wait), 1);
    OK(strcmp(ngx_iv_breaker_word(ngx_iv_breaker_state(&b)), "half_open") == 0);

    /* not the one who tries */
    EQ_INT(bad(&other, NOW + 7 + wait), NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(ngx_iv_breaker_state(&b), NGX_IV_BREAKER_HALF_OPEN);

    EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, NOW + 8 + wait,
                                 0),
           NGX_IV_BREAKER_CLOSES);
    EQ_INT(ngx_iv_breaker_ask(&other, NOW + 9 + wait, 1), NGX_IV_BREAKER_GO);
    EQ_INT(ngx_iv_breaker_wait(&b, NOW + 9 + wait), 0);

    /* the failures of before are forgotten */
    EQ_INT(bad(&b, NOW + 9 + wait), NGX_IV_BREAKER_AS_BEFORE);
}


static void
test_share(void)
{
    ngx_uint_t        i;
    ngx_iv_breaker_t  b;

    /* more go well than fail */

    start(&b, "s3");

    for (i = 0; i < 3000; i++) {
        EQ_INT(good(&b, NOW + i * 10), NGX_IV_BREAKER_AS_BEFORE);

        if (i % 2) {
            EQ_INT(bad(&b, NOW + i * 10), NGX_IV_BREAKER_AS_BEFORE);
        }
    }

    /* failures that are far from each other */

    start(&b, "s3");

    for (i = 0; i < 100; i++) {
        EQ_INT(bad(&b, NOW + i * 2600), NGX_IV_BREAKER_AS_BEFORE);
    }

    /* a whole window before counts for nothing */

    start(&b, "s3");

    for (i = 0; i < 100; i++) {
        good(&b, NOW);
    }

    for (i = 0; i < 4; i++) {
        EQ_INT(bad(&b, NOW + 20000), NGX_IV_BREAKER_AS_BEFORE);
    }

    EQ_INT(bad(&b, NOW + 20000), NGX_IV_BREAKER_OPENS);
}


static void
test_grows(void)
{
    int64_t           now, wait, longest;
    ngx_uint_t        i;
    ngx_iv_breaker_t  b;

    start(&b, "s3");
    now = NOW;
    longest = 0;

    for (i = 0; i < 5; i++) {
        bad(&b, now);
    }

    for (i = 0; i < 200; i++) {
        wait = opened(&b, now);

        OK(wait >= 500 && wait <= 15000);
        OK(wait <= (int64_t) 1000 << ngx_min(i, 4));
        longest = ngx_max(longest, wait);

        now += wait;
        EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
        EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_BAD, 1, now, 0),
               NGX_IV_BREAKER_AS_BEFORE);
    }

    OK(longest > 10000);

    /* closed for a moment only: it goes on where it was */

    now += opened(&b, now);
    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, now, 0),
           NGX_IV_BREAKER_CLOSES);

    for (i = 0; i < 5; i++) {
        bad(&b, now + 1);
    }

    OK(b.shared->row == 64);

    /* closed for long: from the beginning */

    now += 1 + opened(&b, now + 1);
    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, now, 0);
    now += 20000;

    for (i = 0; i < 5; i++) {
        bad(&b, now);
    }

    OK(opened(&b, now) <= 1000);
}


static void
test_after(void)
{
    int64_t           now;
    ngx_uint_t        i;
    ngx_iv_breaker_t  b;

    start(&b, "s3");

    for (i = 0; i < 5; i++) {
        ngx_iv_breaker_report(&b, NGX_IV_BREAKER_BAD, 0, NOW, 30000);
    }

    EQ_INT(opened(&b, NOW), 30000);

    now = NOW + 30000;
    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    ngx_iv_breaker_report(&b, NGX_IV_BREAKER_BAD, 1, now, 3600000);
    EQ_INT(opened(&b, now), 60000);

    /* fewer requests, please: it is not down, but has to be left alone */

    now += 60000;
    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    ngx_iv_breaker_report(&b, NGX_IV_BREAKER_NOTHING, 1, now, 5000);
    EQ_INT(opened(&b, now), 5000);
}


static void
test_trial(void)
{
    int64_t           now;
    ngx_uint_t        i;
    ngx_iv_breaker_t  b, other;

    start(&b, "s3");
    hold(&other, "s3", 8);

    for (i = 0; i < 5; i++) {
        bad(&b, NOW);
    }

    now = NOW + opened(&b, NOW);

    /* broken off: the next one */

    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_NOTHING, 1, now, 0),
           NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(ngx_iv_breaker_ask(&other, now, 1), NGX_IV_BREAKER_TRIAL);

    /* killed: the next one at once */

    EQ_INT(ngx_iv_breaker_ask(&b, now + 1, 1), NGX_IV_BREAKER_NO);
    dead = 8;
    EQ_INT(ngx_iv_breaker_wait(&b, now + 1), 0);
    EQ_INT(ngx_iv_breaker_ask(&b, now + 1, 1), NGX_IV_BREAKER_TRIAL);
    dead = 0;

    /* hangs: the next one after some time */

    EQ_INT(ngx_iv_breaker_ask(&other, now + 15000, 1), NGX_IV_BREAKER_NO);
    EQ_INT(ngx_iv_breaker_ask(&other, now + 15001, 1), NGX_IV_BREAKER_TRIAL);

    /* and its own comes late */

    EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, now + 15002, 0),
           NGX_IV_BREAKER_CLOSES);
    EQ_INT(ngx_iv_breaker_report(&other, NGX_IV_BREAKER_BAD, 1, now + 15003,
                                 0),
           NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(ngx_iv_breaker_state(&b), NGX_IV_BREAKER_CLOSED);

    /* the clock goes back a day */

    for (i = 0; i < 5; i++) {
        bad(&b, now + 15004);
    }

    OK(opened(&b, now + 15004) > 0);
    EQ_INT(ngx_iv_breaker_wait(&b, now - 86400000), 0);
    EQ_INT(ngx_iv_breaker_ask(&b, now - 86400000, 1), NGX_IV_BREAKER_TRIAL);
    EQ_INT(ngx_iv_breaker_ask(&b, now - 86400000 + 10, 1), NGX_IV_BREAKER_NO);
}


/* a worker's time lags behind that of another by a moment */

static void
test_late(void)
{
    int64_t           now, half;
    ngx_uint_t        i;
    ngx_iv_breaker_t  b, late;

    /* it gets no try beside the other's */

    start(&b, "");
    hold(&late, "", 8);

    bad(&b, NOW);
    now = NOW + opened(&b, NOW);

    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
    EQ_INT(ngx_iv_breaker_ask(&late, now - 3, 1), NGX_IV_BREAKER_NO);
    EQ_INT(ngx_iv_breaker_wait(&late, now - 3), 1);
    EQ_INT(ngx_iv_breaker_ask(&late, now - 3, 1), NGX_IV_BREAKER_NO);

    /* nor is a peer well that was closed a moment after its failure */

    start(&b, "");

    for (i = 0; i < 4; i++) {
        bad(&b, NOW);
        now = NOW + opened(&b, NOW);
        EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
        ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, NOW + 3, 0);
    }

    EQ_INT(b.shared->row, 4);

    /* failures around the end of a half count together */

    start(&b, "s3");
    hold(&late, "s3", 8);
    half = NOW / 5000 * 5000;

    bad(&b, half - 1);
    bad(&b, half);
    bad(&late, half - 1);
    bad(&b, half);
    EQ_INT(bad(&late, half - 1), NGX_IV_BREAKER_OPENS);
}


static void
test_budget(void)
{
    ngx_uint_t             i, n;
    ngx_iv_breaker_t       b;
    ngx_iv_breaker_info_t  info;

    start(&b, "s3");

    for (n = 0; ngx_iv_breaker_retry(&b); n++) { /* void */ }

    EQ_INT(n, 10);

    for (i = 0; i < 1000; i++) {
        EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_GO);
        EQ_INT(ngx_iv_breaker_ask(&b, NOW, 0), NGX_IV_BREAKER_GO);
        n += ngx_iv_breaker_retry(&b);
    }

    EQ_INT(n, 110);

    ngx_iv_breaker_info(&b, &info);
    EQ_INT(info.denied, 901);
    EQ_INT(info.opened, 0);

    /* what is not used does not grow without end */

    for (i = 0; i < 10000; i++) {
        ngx_iv_breaker_ask(&b, NOW, 1);
    }

    for (n = 0; ngx_iv_breaker_retry(&b); n++) { /* void */ }

    EQ_INT(n, 10);
}


static void
test_database(void)
{
    ngx_uint_t        i;
    ngx_iv_breaker_t  b;

    start(&b, "");

    EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_GO);
    EQ_INT(bad(&b, NOW), NGX_IV_BREAKER_OPENS);
    OK(opened(&b, NOW) <= 1000);

    /* any success will do */
    EQ_INT(good(&b, NOW + 1), NGX_IV_BREAKER_CLOSES);

    for (i = 0; i < 100; i++) {
        EQ_INT(ngx_iv_breaker_retry(&b), 1);
    }
}


static void
test_table(void)
{
    u_char            name[8];
    ngx_str_t         n, a, c;
    ngx_uint_t        i;
    ngx_iv_breaker_t  b, again, other;

    start(&b, "s3");
    hold(&again, "s3", 9);
    OK(b.shared == again.shared);

    ngx_str_set(&n, "s3");
    ngx_str_set(&a, "http://127.0.0.1:9001/bucket");
    EQ_INT(ngx_iv_breaker_join(&other, all, &n, &a, NOW), NGX_OK);
    OK(other.shared != b.shared);

    ngx_str_set(&a, "ab");
    ngx_str_set(&c, "c");
    EQ_INT(ngx_iv_breaker_join(&b, all, &a, &c, NOW), NGX_OK);
    ngx_str_set(&a, "a");
    ngx_str_set(&c, "bc");
    EQ_INT(ngx_iv_breaker_join(&other, all, &a, &c, NOW), NGX_OK);
    OK(other.shared != b.shared);

    /* a full table: the oldest goes, with all that was known of it */

    memset(all, 0, sizeof(*all));
    n.data = name;

    for (i = 0; i < NGX_IV_BREAKERS; i++) {
        n.len = (size_t) snprintf((char *) name, sizeof(name), "n%d", (int) i);
        EQ_INT(ngx_iv_breaker_join(&b, all, &n, &a, NOW + i), NGX_OK);
        ngx_iv_breaker_set_skew(&b, 0, 5);
    }

    EQ_INT(ngx_iv_breaker_join(&b, all, &a, &c, NOW + 100), NGX_OK);
    EQ_INT(ngx_iv_breaker_skew(&b), 0);
    OK(b.shared == &all->storages[0]);

    EQ_INT(ngx_iv_breaker_join(&b, all, &n, &a, NOW + 101), NGX_OK);
    EQ_INT(ngx_iv_breaker_skew(&b), 5);
    EQ_INT(ngx_iv_breaker_set_skew(&b, 4, 6), 0);
    EQ_INT(ngx_iv_breaker_set_skew(&b, 5, -900), 1);
    EQ_INT(ngx_iv_breaker_skew(&b), -900);
}


static void
test_locked(void)
{
    ngx_iv_breaker_t  b;

    /* by one who lives: nothing waits, nothing is learned */

    start(&b, "s3");
    b.shared->lock = 99;

    EQ_INT(bad(&b, NOW), NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_GO);
    EQ_INT(ngx_iv_breaker_retry(&b), 0);
    EQ_INT(b.shared->lock, 99);
    EQ_INT(b.shared->bad[0] + b.shared->bad[1], 0);

    b.shared->state = NGX_IV_BREAKER_OPEN;
    EQ_INT(ngx_iv_breaker_ask(&b, NOW, 1), NGX_IV_BREAKER_NO);
    EQ_INT(ngx_iv_breaker_wait(&b, NOW), 1);
    b.shared->state = NGX_IV_BREAKER_CLOSED;

    /* by one who was killed: it is taken over */

    dead = 99;
    EQ_INT(bad(&b, NOW), NGX_IV_BREAKER_AS_BEFORE);
    EQ_INT(b.shared->lock, 0);
    EQ_INT(b.shared->bad[0] + b.shared->bad[1], 1);
}


/* threads: at most one tries at a time, and it all stays whole */

static int64_t  clock_ms = NOW;
static int      trying, most, trials;

static void *
thread(void *data)
{
    int                      now;
    unsigned                 i, seed;
    int64_t                  ms;
    ngx_iv_breaker_t         b;
    ngx_iv_breaker_leave_e   leave;
    ngx_iv_breaker_result_e  result;

    b = *(ngx_iv_breaker_t *) data;
    seed = b.pid;

    for (i = 0; i < ROUNDS; i++) {
        ms = __atomic_add_fetch(&clock_ms, rand_r(&seed) % 50,
                                __ATOMIC_RELAXED);
        leave = ngx_iv_breaker_ask(&b, ms, 1);

        if (leave == NGX_IV_BREAKER_NO) {
            continue;
        }

        result = rand_r(&seed) % 3 ? NGX_IV_BREAKER_BAD : NGX_IV_BREAKER_GOOD;

        if (leave == NGX_IV_BREAKER_TRIAL) {
            now = __atomic_add_fetch(&trying, 1, __ATOMIC_RELAXED);
            __atomic_add_fetch(&trials, 1, __ATOMIC_RELAXED);

            if (now > __atomic_load_n(&most, __ATOMIC_RELAXED)) {
                __atomic_store_n(&most, now, __ATOMIC_RELAXED);
            }

            __atomic_sub_fetch(&trying, 1, __ATOMIC_RELAXED);
        }

        (void) ngx_iv_breaker_retry(&b);
        (void) ngx_iv_breaker_report(&b, result,
                                     leave == NGX_IV_BREAKER_TRIAL, ms, 0);
        (void) ngx_iv_breaker_state(&b);
        (void) ngx_iv_breaker_set_skew(&b, ngx_iv_breaker_skew(&b), i % 100);
    }

    return NULL;
}


static void
test_threads(void)
{
    ngx_uint_t               i;
    pthread_t                t[THREADS];
    ngx_iv_breaker_t         b, holds[THREADS];
    ngx_iv_breaker_limits_t  patient;

    start(&b, "s3");
    trying = most = trials = 0;

    /* the others move the clock on while a thread is kept from running: a try
     * must not be given up for that */

    patient = *b.limits;
    patient.trial = 1000000000;

    for (i = 0; i < THREADS; i++) {
        hold(&holds[i], "s3", (uint32_t) i + 100);
        holds[i].limits = &patient;
        OK(pthread_create(&t[i], NULL, thread, &holds[i]) == 0);
    }

    for (i = 0; i < THREADS; i++) {
        OK(pthread_join(t[i], NULL) == 0);
    }

    EQ_INT(b.shared->lock, 0);
    OK(trials > 10);
    EQ_INT(most, 1);
}


/* processes that are killed anywhere: the rest goes on */

static void
child(unsigned seed)
{
    int64_t                 ms;
    ngx_iv_breaker_t        b;
    ngx_iv_breaker_leave_e  leave;

    ngx_pid = getpid();
    join(&b, "s3");

    for ( ;; ) {
        ms = __atomic_add_fetch(&all->database.joined, rand_r(&seed) % 50,
                                __ATOMIC_RELAXED);
        leave = ngx_iv_breaker_ask(&b, ms, 1);

        if (leave != NGX_IV_BREAKER_NO) {
            (void) ngx_iv_breaker_retry(&b);
            (void) ngx_iv_breaker_report(&b, rand_r(&seed) % 3
                                             ? NGX_IV_BREAKER_BAD
                                             : NGX_IV_BREAKER_GOOD,
                                         leave == NGX_IV_BREAKER_TRIAL, ms, 0);
        }
    }
}


static void
test_killed(void)
{
    int               i, n;
    pid_t             pids[CHILDREN];
    int64_t           now;
    ngx_iv_breaker_t  b;

    start(&b, "s3");
    all->database.joined = NOW;
    memset(pids, 0, sizeof(pids));

    for (n = 0; n < KILLS; n++) {
        i = n % CHILDREN;

        if (pids[i]) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }

        pids[i] = fork();

        if (pids[i] == 0) {
            child((unsigned) n);
        }

        usleep(2000);
    }

    for (i = 0; i < CHILDREN; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }

    /* whatever they left behind: it opens and closes as ever */

    join(&b, "s3");

    now = all->database.joined + 100000;

    if (ngx_iv_breaker_state(&b) != NGX_IV_BREAKER_CLOSED) {
        EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_TRIAL);
        EQ_INT(ngx_iv_breaker_report(&b, NGX_IV_BREAKER_GOOD, 1, now, 0),
               NGX_IV_BREAKER_CLOSES);
    }

    EQ_INT(ngx_iv_breaker_ask(&b, now, 1), NGX_IV_BREAKER_GO);

    now += 100000;

    for (i = 0; i < 4; i++) {
        EQ_INT(bad(&b, now), NGX_IV_BREAKER_AS_BEFORE);
    }

    EQ_INT(bad(&b, now), NGX_IV_BREAKER_OPENS);
}


int
main(void)
{
    all = mmap(NULL, sizeof(*all), PROT_READ|PROT_WRITE,
               MAP_ANON|MAP_SHARED, -1, 0);
    if (all == MAP_FAILED) {
        return 1;
    }

    srandom(1);

    RUN(test_none);
    RUN(test_opens);
    RUN(test_share);
    RUN(test_grows);
    RUN(test_after);
    RUN(test_trial);
    RUN(test_late);
    RUN(test_budget);
    RUN(test_database);
    RUN(test_table);
    RUN(test_locked);
    RUN(test_threads);
    RUN(test_killed);

    return iv_test_done();
}
