/*
 * The thread hop with real threads (for ThreadSanitizer: make tsan): what is
 * given to a thread and back, jobs released at any moment.  nginx's thread pool
 * is played by one with a mutex, as the real one.
 *
 * sources: src/base/ngx_iv_thread.c
 *
 * libs: -lpthread
 */

#include "iv_test.h"
#include "base/ngx_iv_thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>


#define THREADS  4
#define JOBS     3000
#define LIVE     64


typedef struct {
    unsigned  *freed;
    unsigned   in;
    unsigned   out;
    u_char     text[64];
} ctx_t;


ngx_queue_t             ngx_posted_events;
ngx_rbtree_t            ngx_event_timer_rbtree;

static pthread_mutex_t  mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t   cond = PTHREAD_COND_INITIALIZER;
static ngx_thread_task_t  *todo, **todo_last = &todo, *finished;
static int              quit;
static int              refuse;
static int              timers;

static unsigned         done_calls, freed, again;
static ngx_iv_job_t    *live[LIVE];
static ngx_log_t        log;


void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timers++;
}


void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
    timers--;
}


ngx_thread_task_t *
ngx_thread_task_alloc(ngx_pool_t *pool, size_t size)
{
    ngx_thread_task_t  *task;

    task = ngx_pcalloc(pool, sizeof(ngx_thread_task_t) + size);
    if (task == NULL) {
        return NULL;
    }

    task->ctx = task + 1;

    return task;
}


ngx_int_t
ngx_thread_task_post(ngx_thread_pool_t *tp, ngx_thread_task_t *task)
{
    if (refuse) {
        return NGX_ERROR;
    }

    task->next = NULL;
    task->event.active = 1;

    pthread_mutex_lock(&mutex);
    *todo_last = task;
    todo_last = &task->next;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);

    return NGX_OK;
}


static void *
cycle(void *data)
{
    ngx_thread_task_t  *task;

    pthread_mutex_lock(&mutex);

    for ( ;; ) {
        while (todo == NULL && !quit) {
            pthread_cond_wait(&cond, &mutex);
        }

        if (todo == NULL) {
            break;
        }

        task = todo;
        todo = task->next;
        if (todo == NULL) {
            todo_last = &todo;
        }

        pthread_mutex_unlock(&mutex);
        task->handler(task->ctx, &log);
        pthread_mutex_lock(&mutex);

        task->next = finished;
        finished = task;
    }

    pthread_mutex_unlock(&mutex);

    return data;
}


/* one turn of the event loop; how many have come back */

static unsigned
turn(void)
{
    unsigned            n;
    ngx_thread_task_t  *task, *next;

    pthread_mutex_lock(&mutex);
    task = finished;
    finished = NULL;
    pthread_mutex_unlock(&mutex);

    for (n = 0; task; task = next, n++) {
        next = task->next;
        task->event.complete = 1;
        task->event.active = 0;
        task->event.handler(&task->event);
    }

    return n;
}


static void
wait_idle(ngx_iv_queue_t *queue)
{
    unsigned  i;

    for (i = 0; queue->active && i < 20000; i++) {
        if (turn() == 0) {
            usleep(500);
        }
    }

    EQ_INT(queue->active, 0);
}


static void
run(void *data, ngx_log_t *l)
{
    ctx_t     *ctx = data;
    unsigned   i;

    for (i = 0; i < sizeof(ctx->text); i++) {
        ctx->text[i] = (u_char) (ctx->in + i);
    }

    ctx->out = ctx->in + 1;
}


static void
destroy(void *data)
{
    ctx_t  *ctx = data;

    (*ctx->freed)++;
}


static void
done(ngx_iv_job_t *job)
{
    ctx_t           *ctx = job->ctx;
    ngx_iv_job_t   **slot = job->data;

    done_calls++;
    OK(ctx->out == ctx->in + 1);
    OK(ctx->text[7] == (u_char) (ctx->in + 7));

    if (again) {
        again--;
        ctx->in = ctx->out;
        EQ_INT(ngx_iv_job_post(job, job->queue), NGX_OK);
        return;
    }

    if (slot) {
        *slot = NULL;
    }

    ngx_iv_job_release(job);
}


static ngx_iv_job_t *
make(unsigned in)
{
    ctx_t         *ctx;
    ngx_iv_job_t  *job;

    job = ngx_iv_job_create(sizeof(ctx_t), &log);
    if (job == NULL) {
        return NULL;
    }

    ctx = job->ctx;
    ctx->in = in;
    ctx->freed = &freed;
    job->run = run;
    job->done = done;
    job->destroy = destroy;

    return job;
}


static void
test_refused(void)
{
    int              n;
    ngx_iv_job_t    *job;
    ngx_iv_queue_t   queue;

    ngx_memzero(&queue, sizeof(queue));
    freed = 0;

    for (n = 0; n < 10; n++) {
        iv_fail_alloc_after = n;
        job = make(1);
        iv_fail_alloc_after = -1;
        if (job) {
            break;
        }
    }

    OK(n > 0 && job != NULL);
    if (job == NULL) {
        return;
    }

    EQ_INT(ngx_iv_job_post(job, &queue), NGX_ERROR);

    queue.pool = (ngx_thread_pool_t *) &queue;
    queue.max = 1;
    queue.active = 1;
    EQ_INT(ngx_iv_job_post(job, &queue), NGX_BUSY);

    queue.active = 0;
    refuse = 1;
    EQ_INT(ngx_iv_job_post(job, &queue), NGX_ERROR);
    refuse = 0;
    EQ_INT(timers, 0);
    EQ_INT(queue.active, 0);

    ngx_iv_job_release(job);
    EQ_INT(freed, 1);
    EQ_INT(iv_allocs, 0);
}


static void
test_again(void)
{
    ngx_atomic_t     gauge;
    ngx_iv_job_t    *job;
    ngx_iv_queue_t   queue;

    ngx_memzero(&queue, sizeof(queue));
    queue.pool = (ngx_thread_pool_t *) &queue;
    queue.gauge = &gauge;
    gauge = 7;
    done_calls = 0;
    freed = 0;
    again = 3;

    job = make(1);
    OK(job != NULL);
    EQ_INT(ngx_iv_job_post(job, &queue), NGX_OK);
    EQ_INT(gauge, 1);
    EQ_INT(timers, 1);
    EQ_INT(ngx_iv_job_post(job, &queue), NGX_ERROR);

    wait_idle(&queue);
    EQ_INT(gauge, 0);
    EQ_INT(done_calls, 4);
    EQ_INT(freed, 1);
    EQ_INT(timers, 0);
    EQ_INT(iv_allocs, 0);
}


/* jobs that are given up at any moment: each is freed once, and told of its end
 * or not.  Where no more are taken, the threads get their turn, as they may
 * have to share one processor with this one */

static void
test_released(void)
{
    unsigned         i, n, posted, given_up;
    ngx_iv_queue_t   queue;

    ngx_memzero(&queue, sizeof(queue));
    queue.pool = (ngx_thread_pool_t *) &queue;
    queue.max = LIVE / 2;
    done_calls = 0;
    freed = 0;
    posted = 0;
    given_up = 0;
    srand(1);

    for (i = 0; posted < JOBS && i < 1000 * JOBS; i++) {
        n = (unsigned) rand() % LIVE;

        if (live[n]) {
            if (rand() % 2) {
                ngx_iv_job_release(live[n]);
                live[n] = NULL;
                given_up++;
            }

        } else {
            live[n] = make(i);
            if (live[n]) {
                live[n]->data = &live[n];

                if (ngx_iv_job_post(live[n], &queue) == NGX_OK) {
                    posted++;

                } else {
                    ngx_iv_job_release(live[n]);
                    live[n] = NULL;
                    freed--;
                    usleep(100);
                }
            }
        }

        if (rand() % 4 == 0) {
            turn();
        }
    }

    wait_idle(&queue);

    EQ_INT(posted, JOBS);
    OK(given_up > 0 && done_calls > 0);
    EQ_INT(done_calls + given_up, posted);
    EQ_INT(freed, posted);
    EQ_INT(timers, 0);
    EQ_INT(iv_allocs, 0);
}


int
main(void)
{
    int        i;
    pthread_t  threads[THREADS];

    iv_set_time(1700000000, 0);

    for (i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, cycle, NULL) != 0) {
            return 1;
        }
    }

    RUN(test_refused);
    RUN(test_again);
    RUN(test_released);

    pthread_mutex_lock(&mutex);
    quit = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);

    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }

    return iv_test_done();
}
