/*
 * What the files of this room share: addresses, connections, the endpoint.
 */

#ifndef NGX_IV_NET_PRIVATE_H
#define NGX_IV_NET_PRIVATE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include "base/ngx_iv_compat.h"
#include "base/ngx_iv_ref.h"
#include "net/ngx_iv_net.h"

#if !(NGX_SSL)
#error image_vault needs nginx built with --with-http_ssl_module
#endif

/* one bit for each in a call's mask of addresses already tried */
#define NGX_IV_ADDRS_MAX  64

#define NGX_IV_CALL_WHY   256

/* ms after which a connection is kept no more: a busy one would otherwise stay
 * with an address that its name has left long ago */
#define NGX_IV_CONN_LIFE  3600000


typedef struct {
    ngx_sockaddr_t      sockaddr;
    socklen_t           socklen;
    ngx_str_t           name;
    ngx_msec_t          failed;         /* when it last could not be used */
    unsigned            bad:1;          /* `failed` is set */
    u_char              text[NGX_SOCKADDR_STRLEN];
} ngx_iv_addr_t;


/* replaced as a whole by a refresh, held by the calls that walk through it */
typedef struct {
    ngx_iv_ref_t        ref;            /* first: destroy() casts it back */
    ngx_uint_t          n;
    ngx_iv_addr_t       addr[1];
} ngx_iv_addrs_t;


/* c->data of every connection, in c->pool; `data` is the call's state while
 * one uses it */
typedef struct {
    ngx_connection_t   *connection;
    ngx_iv_endpoint_t  *endpoint;
    ngx_queue_t         queue;
    ngx_msec_t          created;
    void               *data;
} ngx_iv_conn_t;


struct ngx_iv_endpoint_s {
    const ngx_iv_endpoint_conf_t  *conf;
    ngx_iv_queue_t     *queue;

    ngx_iv_addrs_t     *addrs;          /* NULL: none known yet */
    ngx_uint_t          next;           /* round-robin */
    ngx_msec_t          refreshed;
    ngx_msec_t          interval;       /* until the next refresh */
    ngx_str_t           name;           /* to resolve; empty: a literal */
    ngx_iv_job_t       *job;            /* getaddrinfo */
    ngx_resolver_ctx_t *resolving;
    unsigned            refreshing:1;

    ngx_queue_t         idle;           /* the latest first */
    ngx_uint_t          nidle;

    ngx_str_t           ssl_name;       /* with a NUL behind it */
    ngx_ssl_session_t  *session;
    unsigned            ssl_literal:1;  /* ssl_name is an IP address */
};


typedef enum {
    NGX_IV_PHASE_OPEN = 0,              /* connecting, handshake */
    NGX_IV_PHASE_HEAD,
    NGX_IV_PHASE_CONTINUE,              /* waiting for 100 */
    NGX_IV_PHASE_BODY,
    NGX_IV_PHASE_RESPONSE               /* nothing is sent any more */
} ngx_iv_phase_e;


/*
 * A call's own state is on the heap: a callback may destroy the call's pool
 * while the functions below it on the stack still look at `done`.  It is freed
 * by the last of them, or by the pool's cleanup.
 */
typedef struct {
    ngx_iv_call_t      *call;           /* NULL: the pool is gone */
    ngx_uint_t          busy;           /* entries on the stack */
    ngx_event_t         event;          /* posted: start, go on sending */

    ngx_iv_addrs_t     *addrs;
    ngx_iv_addr_t      *addr;
    ngx_uint_t          start;
    uint64_t            tried;
    ngx_iv_call_result_e  failure;      /* of the last address */

    ngx_iv_conn_t      *conn;
    ngx_iv_phase_e      phase;
    ngx_msec_t          started;
    size_t              head_sent;

    size_t              body_size;      /* allocated for call->body */
    off_t               discarded;

    unsigned            done:1;         /* finished or cancelled */
    unsigned            got:1;          /* a byte of an answer came */
    unsigned            broken:1;       /* sending failed */
    unsigned            leftover:1;     /* bytes behind the answer */
    unsigned            cut:1;          /* more body than is worth reading */
    unsigned            no_memory:1;

    u_char              why[NGX_IV_CALL_WHY];
    ngx_iv_response_t   response;
} ngx_iv_call_state_t;


/* ngx_iv_endpoint.c */

/* the present addresses, with a reference taken, and *start, where to begin;
 * starts a refresh when it is time.  NULL: none known */
ngx_iv_addrs_t *ngx_iv_endpoint_addrs(ngx_iv_endpoint_t *ep,
    ngx_uint_t *start);
/* the first address not in the mask *tried, which it enters there; those that
 * failed lately come last.  NULL: none left */
ngx_iv_addr_t *ngx_iv_addrs_next(ngx_iv_addrs_t *addrs, ngx_uint_t start,
    uint64_t *tried);
/* 1 if the name is an IPv4 or IPv6 address; brackets are allowed */
ngx_uint_t ngx_iv_host_literal(const ngx_str_t *host);

/* ngx_iv_conn.c */

/* takes over a connection just made, with a pool of its own; on failure closes
 * it and returns NULL */
ngx_iv_conn_t *ngx_iv_conn_create(ngx_iv_endpoint_t *ep, ngx_connection_t *c);
void ngx_iv_conn_close(ngx_iv_conn_t *conn);
/* an idle connection, no longer idle; NULL: none */
ngx_iv_conn_t *ngx_iv_conn_take(ngx_iv_endpoint_t *ep, ngx_log_t *log);
/* makes it idle, or closes it where that can't be */
void ngx_iv_conn_keep(ngx_iv_conn_t *conn);
void ngx_iv_conn_close_idle(ngx_iv_endpoint_t *ep);
/* makes the TLS connection, ready for ngx_ssl_handshake() */
ngx_int_t ngx_iv_conn_tls(ngx_iv_conn_t *conn);
/* NGX_OK, or NGX_ERROR with the reason in call->why */
ngx_int_t ngx_iv_conn_verify(ngx_iv_conn_t *conn);
/* forgets the saved session, after a failed handshake */
void ngx_iv_conn_forget(ngx_iv_endpoint_t *ep);

/* ngx_iv_call_open.c */

/* finds a connection, then calls ngx_iv_call_ready(), or _finish() */
void ngx_iv_call_open(ngx_iv_call_state_t *st);

/* ngx_iv_call.c; after each of these look at st->done */

void ngx_iv_call_ready(ngx_iv_call_state_t *st);
void ngx_iv_call_finish(ngx_iv_call_state_t *st, ngx_iv_call_result_e result);
/* around every entry from the event loop */
#define ngx_iv_call_enter(st)  (st)->busy++
void ngx_iv_call_leave(ngx_iv_call_state_t *st);
/* why a try fails, in the log at info; the last one is call->why */
void ngx_cdecl ngx_iv_call_why(ngx_iv_call_state_t *st, ngx_err_t err,
    const char *fmt, ...);
/* sends what there is; the last thing of every entry that comes here */
void ngx_iv_call_send(ngx_iv_call_state_t *st);
/* nothing is sent any more, the answer is waited for */
void ngx_iv_call_sent(ngx_iv_call_state_t *st);

/* ngx_iv_call_read.c */

void ngx_iv_call_response(ngx_iv_call_state_t *st);
/* reads what there is; the last thing of every entry that comes here */
void ngx_iv_call_read(ngx_iv_call_state_t *st);


#endif
