/*
 * Asks for redirects at a given rate, whatever the answers take: the times of
 * requests are drawn beforehand (exponential gaps), and a latency counts from
 * the time drawn, so that a request which has to wait for its turn here, or
 * behind slow ones there, is as late as a client would find it.
 *
 *     pace RATE SECONDS FIRST COUNT [-l LOG] URL...
 *
 * In a URL such as http://127.0.0.1:8080/api/?/view the ? stands for an id of
 * FIRST to FIRST + COUNT - 1, drawn as well.  Several URLs take turns of a
 * tenth of a second, in an order that is drawn anew each time, with the same
 * ids at the same times; each has SECONDS altogether.  The log has a line for
 * each request: which URL, µs from the start, µs that it was sent too late,
 * µs until its answer.
 *
 * One thread that never sleeps: waking up would take longer than an answer.  A
 * turn in which it had no processor for STALL is left out, as it says nothing
 * of the server; the result has how many turns are left of how many.  "typical"
 * is the median of the turns' own p99: what single stalls of the machine don't
 * reach.
 */

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <unistd.h>


#define CONNECTIONS  256
#define MAX_TARGETS  8
#define TURN         0.1
/* before a turn, for what the last one has left */
#define PAUSE        0.002
#define STALL        0.001
#define BUF_SIZE     16384


typedef struct {
    double  at, late, took;
} request_t;


typedef struct {
    int        fd, got;
    request_t  request;
    char       buf[BUF_SIZE];
} connection_t;


typedef struct {
    struct sockaddr_in  address;
    char                before[512], after[256];
    connection_t        connections[CONNECTIONS];
    connection_t       *idle[CONNECTIONS];
    unsigned            nidle;
    request_t          *requests;
    size_t              n, max;
    unsigned            failed, waited, turns, left;
    double             *typical;
    int                 epoll;
} target_t;


static double          rate, began;
static unsigned long   first, count;
static unsigned short  seed[3];
static target_t        targets[MAX_TARGETS];
static int             ntargets;


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


static void
connect_one(target_t *t, connection_t *c)
{
    struct epoll_event  event = { .events = EPOLLIN, .data.ptr = c };

    c->fd = dial(&t->address);
    c->got = 0;

    if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, c->fd, &event) == -1) {
        die("epoll_ctl");
    }
}


static void
release(target_t *t, connection_t *c, int again)
{
    if (!again) {
        close(c->fd);
        connect_one(t, c);
    }

    c->got = 0;
    t->idle[t->nidle++] = c;
}


static void
ask(target_t *t, double at)
{
    int            n;
    char           buf[2048];
    connection_t  *c;

    /* the last one used: the others are there for bursts */
    c = t->idle[--t->nidle];

    n = snprintf(buf, sizeof(buf), "GET %s%024lx%s HTTP/1.1\r\n"
                 "Host: 127.0.0.1:%d\r\n\r\n", t->before,
                 first + (unsigned long) (erand48(seed) * count), t->after,
                 ntohs(t->address.sin_port));

    c->request.at = at;
    c->request.late = now() - at;

    /* what fails is found when it is read */
    (void) send(c->fd, buf, n, MSG_NOSIGNAL);
}


static void
take(target_t *t, connection_t *c)
{
    double    time;
    ssize_t   n;
    answer_t  a;

    n = recv(c->fd, c->buf + c->got, BUF_SIZE - 1 - c->got, 0);
    time = now();

    if (n <= 0) {
        t->failed++;
        release(t, c, 0);
        return;
    }

    c->got += n;
    c->buf[c->got] = '\0';
    a = parse(c->buf);

    if ((a.status == 0 || c->got < a.length) && c->got < BUF_SIZE - 1) {
        return;
    }

    if (a.status != 302 || a.length != c->got || t->n == t->max) {
        t->failed++;
        release(t, c, 0);
        return;
    }

    c->request.took = time - c->request.at;
    t->requests[t->n++] = c->request;
    release(t, c, !a.close);
}


/* a round's draws are the same for all */

static void
draw(unsigned number)
{
    seed[0] = number;
    seed[1] = number >> 16;
    seed[2] = 0;

    /* the first ones of near numbers are near */
    (void) erand48(seed);
    (void) erand48(seed);
}


static double
gap(void)
{
    return -log(1 - erand48(seed)) / rate;
}


/* in seconds */

static double
p99(const request_t *requests, size_t n)
{
    size_t   i;
    double  *took, found;

    took = calloc(n + 1, sizeof(double));

    if (took == NULL) {
        die("out of memory");
    }

    for (i = 0; i < n; i++) {
        took[i] = requests[i].took;
    }

    qsort(took, n, sizeof(double), compare);
    found = percentile(took, n, 99) / 1e3;
    free(took);

    return found;
}


static void
turn(target_t *t)
{
    int                 i, n, waits, stalled;
    double              at, end, time, last;
    size_t              from;
    unsigned            waited;
    struct epoll_event  events[CONNECTIONS];

    from = t->n;
    waited = t->waited;
    waits = 0;
    stalled = 0;
    last = now();
    at = last + PAUSE;
    end = at + TURN;
    at += gap();

    while (at < end || t->nidle < CONNECTIONS) {
        time = now();
        stalled |= time - last > STALL;
        last = time;

        if (at < end && time >= at) {

            if (t->nidle) {
                ask(t, at);
                at += gap();
                t->waited += waits;
                waits = 0;

            } else {
                waits = 1;
            }
        }

        n = epoll_wait(t->epoll, events, CONNECTIONS, 0);

        for (i = 0; i < n; i++) {
            take(t, events[i].data.ptr);
        }
    }

    t->turns++;

    if (stalled) {
        t->n = from;
        t->waited = waited;

    } else {
        t->typical[t->left++] = p99(&t->requests[from], t->n - from);
    }
}


/* all of them once, with the same draws */

static void
turns(unsigned number)
{
    int  i, j, order[MAX_TARGETS];

    draw(number);

    for (i = 0; i < ntargets; i++) {
        j = erand48(seed) * (i + 1);
        order[i] = order[j];
        order[j] = i;
    }

    for (i = 0; i < ntargets; i++) {
        draw(number);
        turn(&targets[order[i]]);
    }
}


static int
prepare(target_t *t, const char *url, double seconds)
{
    int   i, port;
    char  host[64];

    if (sscanf(url, "http://%63[0-9.]:%d%511[^?]?%255s", host, &port,
               t->before, t->after) != 4
        || inet_aton(host, &t->address.sin_addr) == 0)
    {
        return -1;
    }

    t->address.sin_family = AF_INET;
    t->address.sin_port = htons(port);

    t->epoll = epoll_create1(0);
    t->max = 2 * rate * seconds + 10000;
    t->requests = calloc(t->max, sizeof(request_t));
    t->typical = calloc(seconds / TURN + 1, sizeof(double));

    if (t->epoll == -1 || t->requests == NULL || t->typical == NULL) {
        die("out of resources");
    }

    for (i = 0; i < CONNECTIONS; i++) {
        connect_one(t, &t->connections[i]);
        t->idle[i] = &t->connections[i];
    }

    t->nidle = CONNECTIONS;

    return 0;
}


static void
print(target_t *t)
{
    double  *took, *late;
    size_t   i;

    took = calloc(2 * t->n + 1, sizeof(double));

    if (took == NULL) {
        die("out of memory");
    }

    late = took + t->n;

    for (i = 0; i < t->n; i++) {
        took[i] = t->requests[i].took;
        late[i] = t->requests[i].late;
    }

    qsort(took, t->n, sizeof(double), compare);
    qsort(late, t->n, sizeof(double), compare);
    qsort(t->typical, t->left, sizeof(double), compare);

    printf("RESULT requests=%zu failed=%u waited=%u turns=%u left=%u p50=%.4f "
           "p99=%.4f p999=%.4f max=%.4f typical=%.4f late=%.4f\n",
           t->n, t->failed, t->waited, t->turns, t->left,
           percentile(took, t->n, 50), percentile(took, t->n, 99),
           percentile(took, t->n, 99.9), percentile(took, t->n, 99.9999),
           percentile(t->typical, t->left, 50), percentile(late, t->n, 99));

    free(took);
}


static void
write_log(const char *name)
{
    int         i;
    FILE       *f;
    size_t      k;
    request_t  *r;

    f = fopen(name, "w");

    if (f == NULL) {
        die(name);
    }

    for (i = 0; i < ntargets; i++) {
        for (k = 0; k < targets[i].n; k++) {
            r = &targets[i].requests[k];
            fprintf(f, "%d %.0f %.0f %.0f\n", i, 1e6 * (r->at - began),
                    1e6 * r->late, 1e6 * r->took);
        }
    }

    fclose(f);
}


int
main(int argc, char **argv)
{
    int       i;
    char     *log;
    double    seconds;
    unsigned  n;

    log = NULL;
    i = 5;

    if (argc > 6 && strcmp(argv[5], "-l") == 0) {
        log = argv[6];
        i = 7;
    }

    if (argc <= i || argc - i > MAX_TARGETS) {
        fprintf(stderr, "usage: pace RATE SECONDS FIRST COUNT [-l LOG] "
                        "URL...\n");
        return 1;
    }

    rate = atof(argv[1]);
    seconds = atof(argv[2]);
    first = strtoul(argv[3], NULL, 10);
    count = strtoul(argv[4], NULL, 10);

    if (!(rate > 0) || !(seconds > 0) || count == 0) {
        fprintf(stderr, "pace: rate, seconds and count must not be zero\n");
        return 1;
    }

    for ( /* void */ ; i < argc; i++) {
        if (prepare(&targets[ntargets++], argv[i], seconds) == -1) {
            fprintf(stderr, "pace: bad URL %s\n", argv[i]);
            return 1;
        }
    }

    /* what asks for more than there is doesn't go on for ever */
    alarm(30 + 10 * ntargets * seconds);

    began = now();

    for (n = 0; n < seconds / TURN; n++) {
        turns(n);
    }

    if (log) {
        write_log(log);
    }

    for (i = 0; i < ntargets; i++) {
        print(&targets[i]);
    }

    return 0;
}
