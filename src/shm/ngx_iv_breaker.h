/*
 * Breakers: is a peer (the database, a storage) worth a call now?
 *
 * Closed: calls go on.  Open: they are refused at once, until a pause is over.
 * Half open: one call of the node goes on as its trial; it closes the breaker,
 * or opens it again for a longer pause.  A budget bounds what is tried again.
 *
 * The state lies in the zone, so that all workers share it and a reload keeps
 * it; nothing here blocks, and who is killed holds nothing up.
 */

#ifndef NGX_IV_BREAKER_H
#define NGX_IV_BREAKER_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_BREAKERS  32         /* storages whose state is shared */


typedef struct {
    ngx_uint_t    failures;         /* within `window` open it, if no fewer
                                       calls failed than went well */
    ngx_msec_t    window;           /* 0: the first failure opens it, and any
                                       success closes it */
    ngx_msec_t    pause_min;
    ngx_msec_t    pause_max;
    ngx_msec_t    trial;            /* after that another may try as well */
    ngx_msec_t    after_max;        /* the longest pause a peer may ask for */
    ngx_uint_t    budget;           /* retries in store; 0: no budget */
} ngx_iv_breaker_limits_t;

#define NGX_IV_BREAKER_SHARE  10    /* so many calls earn a retry */

extern const ngx_iv_breaker_limits_t  ngx_iv_breaker_database;
extern const ngx_iv_breaker_limits_t  ngx_iv_breaker_storage;


typedef enum {
    NGX_IV_BREAKER_CLOSED = 0,
    NGX_IV_BREAKER_OPEN,
    NGX_IV_BREAKER_HALF_OPEN
} ngx_iv_breaker_state_e;


/* in shared memory; all zeroed: closed, nothing known */
typedef struct {
    uint64_t      id;               /* whose; 0: nobody's */
    int64_t       joined;
    int64_t       until;            /* open: the next trial's moment; half open:
                                       the trial's end; closed: since when */
    int64_t       half;             /* the present half of a window */
    uint32_t      good[2];          /* of an even, an odd half */
    uint32_t      bad[2];
    uint32_t      lock;             /* pid of its holder */
    uint32_t      state;
    uint32_t      trier;            /* half open: its pid */
    uint32_t      row;              /* pauses without a calm between them */
    uint32_t      spent;            /* of the budget, in parts of a retry */
    uint32_t      opened;           /* how often, in all */
    uint32_t      denied;           /* retries, by the budget */
    int32_t       skew;             /* a storage's clock minus ours, seconds */
} ngx_iv_breaker_shared_t;


typedef struct {
    uint32_t                 lock;
    ngx_iv_breaker_shared_t  database;
    ngx_iv_breaker_shared_t  storages[NGX_IV_BREAKERS];
} ngx_iv_breakers_t;


/* a worker's hold of one; zeroed: always closed, without a budget */
typedef struct {
    ngx_iv_breaker_shared_t        *shared;
    const ngx_iv_breaker_limits_t  *limits;
    uint32_t                        pid;
    ngx_uint_t                    (*alive)(uint32_t pid);
} ngx_iv_breaker_t;


typedef enum {
    NGX_IV_BREAKER_NO = 0,          /* refuse */
    NGX_IV_BREAKER_GO,
    NGX_IV_BREAKER_TRIAL            /* go on; what comes of it is reported as
                                       that of a trial */
} ngx_iv_breaker_leave_e;


typedef enum {
    NGX_IV_BREAKER_NOTHING = 0,     /* nothing was learned */
    NGX_IV_BREAKER_GOOD,
    NGX_IV_BREAKER_BAD
} ngx_iv_breaker_result_e;


typedef enum {
    NGX_IV_BREAKER_AS_BEFORE = 0,
    NGX_IV_BREAKER_OPENS,           /* each worth a line in the log */
    NGX_IV_BREAKER_CLOSES
} ngx_iv_breaker_change_e;


typedef struct {
    ngx_iv_breaker_state_e  state;
    ngx_uint_t              opened;
    ngx_uint_t              denied;
} ngx_iv_breaker_info_t;


void ngx_iv_breaker_join_database(ngx_iv_breaker_t *b,
    ngx_iv_breakers_t *all);
/*
 * The breaker of who is called `name` and is found at `where`: another place
 * begins anew.  NGX_DECLINED: the table is full, b->shared is left as it is.
 */
ngx_int_t ngx_iv_breaker_join(ngx_iv_breaker_t *b, ngx_iv_breakers_t *all,
    const ngx_str_t *name, const ngx_str_t *where, int64_t now);

/*
 * now: wall clock milliseconds, the same for all processes, but for what a
 * worker's cached time lags behind.
 *
 * first: 0 if it goes on with what was asked for before, and earns nothing.
 * Each trial has to be reported, once.
 */
ngx_iv_breaker_leave_e ngx_iv_breaker_ask(ngx_iv_breaker_t *b, int64_t now,
    ngx_uint_t first);
/* after: milliseconds the peer asks to be left alone, 0: it says nothing */
ngx_iv_breaker_change_e ngx_iv_breaker_report(ngx_iv_breaker_t *b,
    ngx_iv_breaker_result_e result, ngx_uint_t trial, int64_t now,
    ngx_msec_t after);
/* 1: once more, and the budget has paid for it; 0: it is open, or the budget is
 * used up */
ngx_uint_t ngx_iv_breaker_retry(ngx_iv_breaker_t *b);
/* milliseconds until a call has a chance; 0: now */
ngx_msec_t ngx_iv_breaker_wait(ngx_iv_breaker_t *b, int64_t now);
ngx_iv_breaker_state_e ngx_iv_breaker_state(ngx_iv_breaker_t *b);
void ngx_iv_breaker_info(ngx_iv_breaker_t *b, ngx_iv_breaker_info_t *info);
/* "open", "half_open"; NULL: closed */
const char *ngx_iv_breaker_word(ngx_iv_breaker_state_e state);

/* kept here for all workers, as nothing else is shared of a storage */
time_t ngx_iv_breaker_skew(ngx_iv_breaker_t *b);
/* 1: it was `from` until now; 0: another was faster */
ngx_uint_t ngx_iv_breaker_set_skew(ngx_iv_breaker_t *b, time_t from,
    time_t to);


#endif
