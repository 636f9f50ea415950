/*
 * What the load generators have in common: the clock, connections, the head
 * of an answer, and percentiles.  Each is one file that includes this one.
 */

#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H


#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>


typedef struct {
    int  status;     /* 0: the head has not come whole */
    int  close;      /* the connection ends with this answer */
    int  length;     /* of head and body; 0: it is not told */
} answer_t;


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec + ts.tv_nsec / 1e9;
}


static int
dial(struct sockaddr_in *address)
{
    int  s, on = 1;

    s = socket(AF_INET, SOCK_STREAM, 0);

    if (s == -1
        || connect(s, (struct sockaddr *) address, sizeof(*address)) == -1)
    {
        perror("connect");
        exit(1);
    }

    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

    return s;
}


/* what a text with a terminating zero says of the answer that begins it */

static answer_t
parse(const char *buf)
{
    char      *body, *field;
    answer_t   a = { 0, 0, 0 };

    body = strstr(buf, "\r\n\r\n");

    if (body == NULL || sscanf(buf, "HTTP/1.1 %d", &a.status) != 1) {
        return a;
    }

    field = strcasestr(buf, "\r\nconnection: close");
    a.close = field && field < body;

    field = strcasestr(buf, "\r\ncontent-length:");

    if (field && field < body) {
        a.length = body + 4 - buf + atoi(field + 17);
    }

    return a;
}


static int
compare(const void *one, const void *two)
{
    double  a = *(const double *) one, b = *(const double *) two;

    return (a > b) - (a < b);
}


/* of sorted times, in ms */

static double
percentile(const double *times, size_t n, double percent)
{
    return n ? 1e3 * times[(size_t) (n * percent / 100)] : 0;
}


#endif
