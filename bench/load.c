/*
 * Uploads one file again and again from so many connections, each of which
 * ends with a whole upload: nothing is broken off, so that bytes, time and
 * what a service spends belong together.
 *
 *     load HOST PORT CONNECTIONS SECONDS FILE [HEADER: VALUE]... [-- TARGET]...
 *
 * A target is a path that is asked for with PUT; several take turns.
 */

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>


#define HEAD_SIZE  16384
#define MANY       (1 << 20)


static struct sockaddr_in   address;
static int                  file;
static off_t                size;
static double               end;
static char                 headers[4096];
static char               **targets;
static int                  ntargets;
static double               times[MANY];
static atomic_uint          turn, done, failed;


static int
put(int s)
{
    int      n;
    char     head[HEAD_SIZE];
    off_t    at;
    ssize_t  sent;

    n = snprintf(head, sizeof(head), "PUT %s HTTP/1.1\r\nHost: %s:%d\r\n%s"
                 "Content-Length: %lld\r\n\r\n",
                 targets[turn++ % ntargets], inet_ntoa(address.sin_addr),
                 ntohs(address.sin_port), headers, (long long) size);

    if (send(s, head, n, MSG_MORE|MSG_NOSIGNAL) != n) {
        return -1;
    }

    for (at = 0; at < size; /* void */ ) {
        sent = sendfile(s, file, &at, size - at);

        if (sent <= 0 && errno != EINTR) {
            return -1;
        }
    }

    return 0;
}


/* the status, negative if the connection can't be used once more */

static int
answer(int s)
{
    int       n, left;
    char      buf[HEAD_SIZE];
    ssize_t   got;
    answer_t  a;

    n = 0;

    do {
        got = recv(s, buf + n, sizeof(buf) - 1 - n, 0);

        if (got <= 0) {
            return -1;
        }

        n += got;
        buf[n] = '\0';
        a = parse(buf);

    } while (a.status == 0 && n < (int) sizeof(buf) - 1);

    if (a.status == 0) {
        return -1;
    }

    for (left = a.length - n; left > 0; left -= got) {
        got = recv(s, buf, sizeof(buf), 0);

        if (got <= 0) {
            return -1;
        }
    }

    return a.close || a.length == 0 ? -a.status : a.status;
}


static void *
run(void *arg)
{
    int       s, status;
    double    began;
    unsigned  i;

    (void) arg;

    s = dial(&address);

    while ((began = now()) < end) {
        status = put(s) == 0 ? answer(s) : -1;

        if (abs(status) == 200 || abs(status) == 201) {
            i = done++;
            times[i % MANY] = now() - began;

        } else {
            failed++;
            usleep(10000);
        }

        if (status < 0) {
            close(s);
            s = dial(&address);
        }
    }

    close(s);

    return NULL;
}


int
main(int argc, char **argv)
{
    int          i, n;
    double       began, lasted;
    unsigned     count;
    pthread_t    threads[1024];
    struct stat  st;

    if (argc < 7 || (n = atoi(argv[3])) < 1 || n > 1024) {
        fprintf(stderr, "usage: load HOST PORT CONNECTIONS SECONDS FILE "
                        "[HEADER]... -- TARGET...\n");
        return 1;
    }

    address.sin_family = AF_INET;
    address.sin_port = htons(atoi(argv[2]));
    inet_aton(argv[1], &address.sin_addr);

    file = open(argv[5], O_RDONLY);

    if (file == -1 || fstat(file, &st) == -1) {
        perror(argv[5]);
        return 1;
    }

    size = st.st_size;

    for (i = 6; i < argc && strcmp(argv[i], "--") != 0; i++) {
        strncat(headers, argv[i], sizeof(headers) - strlen(headers) - 3);
        strcat(headers, "\r\n");
    }

    targets = argv + i + 1;
    ntargets = argc - i - 1;

    if (ntargets < 1) {
        fprintf(stderr, "load: no target\n");
        return 1;
    }

    began = now();
    end = began + atof(argv[4]);

    for (i = 0; i < n; i++) {
        if (pthread_create(&threads[i], NULL, run, NULL) != 0) {
            return 1;
        }
    }

    for (i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }

    lasted = now() - began;
    count = done < MANY ? done : MANY;
    qsort(times, count, sizeof(double), compare);

    printf("RESULT requests=%u failed=%u seconds=%.3f p50=%.3f p99=%.3f\n",
           done, failed, lasted, percentile(times, count, 50),
           percentile(times, count, 99));

    return 0;
}
