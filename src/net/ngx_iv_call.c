/*
 * One try of one HTTP/1.1 request: its life and what it sends.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "net/ngx_iv_net_private.h"


/* sent at most before other connections have their turn */
#define NGX_IV_CALL_TURN  524288


static void ngx_iv_call_cleanup(void *data);
static void ngx_iv_call_shut(ngx_iv_call_state_t *st, ngx_uint_t keep);
static void ngx_iv_call_event(ngx_event_t *ev);
static void ngx_iv_call_write_handler(ngx_event_t *wev);
static void ngx_iv_call_read_handler(ngx_event_t *rev);
static ngx_int_t ngx_iv_call_send_some(ngx_iv_call_state_t *st);
static ngx_int_t ngx_iv_call_piece(ngx_iv_call_state_t *st, u_char **p,
    size_t *n);
static void ngx_iv_call_taken(ngx_iv_call_state_t *st, size_t n);
static void ngx_iv_call_failed(ngx_iv_call_state_t *st);


ngx_iv_call_t *
ngx_iv_call_create(ngx_iv_endpoint_t *endpoint, ngx_pool_t *pool,
    ngx_log_t *log)
{
    ngx_iv_call_t        *call;
    ngx_pool_cleanup_t   *cln;
    ngx_iv_call_state_t  *st;

    call = ngx_pcalloc(pool, sizeof(ngx_iv_call_t));
    if (call == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    st = ngx_calloc(sizeof(ngx_iv_call_state_t), log);
    if (st == NULL) {
        return NULL;
    }

    cln->handler = ngx_iv_call_cleanup;
    cln->data = st;

    st->call = call;

    st->event.data = st;
    st->event.handler = ngx_iv_call_event;
    st->event.log = log;

    ngx_iv_call_response(st);

    call->endpoint = endpoint;
    call->pool = pool;
    call->log = log;
    call->response = &st->response;
    call->state = st;

    return call;
}


void
ngx_iv_call_start(ngx_iv_call_t *call)
{
    ngx_iv_call_state_t *st = call->state;

    st->response.head = call->head_only;

    /* nothing of the caller's is called from here */

    ngx_post_event(&st->event, &ngx_posted_events);
}


void
ngx_iv_call_wake(ngx_iv_call_t *call)
{
    ngx_iv_call_state_t *st = call->state;

    /* posted, as the source itself may be on the stack */

    if (!st->done && st->phase == NGX_IV_PHASE_BODY) {
        ngx_post_event(&st->event, &ngx_posted_events);
    }
}


void
ngx_iv_call_cancel(ngx_iv_call_t *call)
{
    ngx_iv_call_state_t *st = call->state;

    if (!st->done) {
        st->done = 1;
        ngx_iv_call_shut(st, 0);
    }
}


static void
ngx_iv_call_cleanup(void *data)
{
    ngx_iv_call_state_t *st = data;

    ngx_iv_call_cancel(st->call);

    st->call = NULL;

    if (st->busy == 0) {
        ngx_free(st);
    }
}


void
ngx_iv_call_leave(ngx_iv_call_state_t *st)
{
    if (--st->busy == 0 && st->call == NULL) {
        ngx_free(st);
    }
}


static void
ngx_iv_call_shut(ngx_iv_call_state_t *st, ngx_uint_t keep)
{
    ngx_iv_conn_t  *conn;

    if (st->event.posted) {
        ngx_delete_posted_event(&st->event);
    }

    if (st->addrs) {
        ngx_iv_ref_drop(&st->addrs->ref);
        st->addrs = NULL;
    }

    conn = st->conn;

    if (conn) {
        st->conn = NULL;

        if (keep) {
            ngx_iv_conn_keep(conn);

        } else {
            ngx_iv_conn_close(conn);
        }
    }
}


void
ngx_iv_call_finish(ngx_iv_call_state_t *st, ngx_iv_call_result_e result)
{
    ngx_uint_t      keep;
    ngx_iv_call_t  *call;

    call = st->call;

    call->result = result;

    ngx_iv_call_failed(st);

    keep = result == NGX_IV_CALL_OK && st->response.keepalive
           && !call->early && !st->broken && !st->leftover && !st->cut;

    st->done = 1;

    ngx_iv_call_shut(st, keep);

    call->handler(call);
}


static void
ngx_iv_call_event(ngx_event_t *ev)
{
    ngx_iv_call_state_t  *st;

    st = ev->data;

    ngx_iv_call_enter(st);

    if (st->phase == NGX_IV_PHASE_OPEN) {
        ngx_iv_call_open(st);

    } else {
        ngx_iv_call_send(st);
    }

    ngx_iv_call_leave(st);
}


void
ngx_iv_call_ready(ngx_iv_call_state_t *st)
{
    ngx_connection_t  *c;

    c = st->conn->connection;

    c->read->handler = ngx_iv_call_read_handler;
    c->write->handler = ngx_iv_call_write_handler;

    st->phase = NGX_IV_PHASE_HEAD;

    /* what came while connecting; in TLS 1.3 tickets follow the handshake */

    if (c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }

    ngx_iv_call_send(st);
}


static void
ngx_iv_call_write_handler(ngx_event_t *wev)
{
    ngx_iv_conn_t        *conn;
    ngx_connection_t     *c;
    ngx_iv_call_state_t  *st;

    c = wev->data;
    conn = c->data;
    st = conn->data;

    ngx_iv_call_enter(st);

    if (c->close) {
        ngx_iv_call_finish(st, NGX_IV_CALL_CLOSED);

    } else if (wev->timedout) {
        ngx_iv_call_finish(st, NGX_IV_CALL_TIMEOUT);

    } else {
        ngx_iv_call_send(st);
    }

    ngx_iv_call_leave(st);
}


static void
ngx_iv_call_read_handler(ngx_event_t *rev)
{
    ngx_iv_conn_t        *conn;
    ngx_connection_t     *c;
    ngx_iv_call_state_t  *st;

    c = rev->data;
    conn = c->data;
    st = conn->data;

    ngx_iv_call_enter(st);

    if (c->close) {
        ngx_iv_call_finish(st, NGX_IV_CALL_CLOSED);

    } else if (!rev->timedout) {
        ngx_iv_call_read(st);

    } else if (st->phase == NGX_IV_PHASE_CONTINUE) {

        /* no 100: the server may just not know of it */

        rev->timedout = 0;
        st->phase = NGX_IV_PHASE_BODY;

        ngx_iv_call_send(st);

    } else {
        ngx_iv_call_finish(st, NGX_IV_CALL_TIMEOUT);
    }

    ngx_iv_call_leave(st);
}


void
ngx_iv_call_send(ngx_iv_call_state_t *st)
{
    off_t              sent;
    ngx_int_t          rc;
    ngx_iv_call_t     *call;
    ngx_connection_t  *c;

    if (st->phase != NGX_IV_PHASE_HEAD && st->phase != NGX_IV_PHASE_BODY) {
        return;
    }

    call = st->call;
    c = st->conn->connection;
    sent = call->sent;

    do {
        rc = ngx_iv_call_send_some(st);

        if (st->done) {
            return;
        }

        if (rc == NGX_OK && call->sent - sent >= NGX_IV_CALL_TURN
            && st->phase == NGX_IV_PHASE_BODY)
        {
            ngx_post_event(&st->event, &ngx_posted_next_events);

            /* a worker that quits goes as soon as it sees no timer */

            if (!c->write->timer_set) {
                ngx_add_timer(c->write, call->endpoint->conf->send_timeout);
            }

            break;
        }

    } while (rc == NGX_OK && (st->phase == NGX_IV_PHASE_HEAD
                              || st->phase == NGX_IV_PHASE_BODY));

    if (rc == NGX_ERROR) {

        /* an answer may have come before the connection was reset */

        st->broken = 1;

        c->read->ready = 1;
        c->read->available = -1;

        ngx_iv_call_read(st);
        return;
    }

    if (call->sent != sent && call->progress) {
        call->progress(call);
    }
}


/* NGX_OK: bytes were taken; NGX_AGAIN: the socket or the source has to be
 * waited for; NGX_ERROR: sending failed; or st->done */

static ngx_int_t
ngx_iv_call_send_some(ngx_iv_call_state_t *st)
{
    size_t             size;
    u_char            *p;
    ssize_t            n;
    ngx_int_t          rc;
    ngx_msec_t         timeout;
    ngx_connection_t  *c;

    c = st->conn->connection;
    timeout = st->call->endpoint->conf->send_timeout;

    if (c->write->ready) {

        rc = ngx_iv_call_piece(st, &p, &size);

        if (st->done) {
            return NGX_ERROR;
        }

        if (rc == NGX_AGAIN) {

            /* it is not the storage that is slow */

            if (c->write->timer_set) {
                ngx_del_timer(c->write);
            }

            return NGX_AGAIN;
        }

        n = c->send(c, p, size);

        if (n == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (n > 0) {
            if (c->write->timer_set) {
                ngx_del_timer(c->write);
            }

            ngx_iv_call_taken(st, n);
            return NGX_OK;
        }
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!c->write->timer_set) {
        ngx_add_timer(c->write, timeout);
    }

    return NGX_AGAIN;
}


/* what is to be sent next: NGX_OK, NGX_AGAIN, or st->done */

static ngx_int_t
ngx_iv_call_piece(ngx_iv_call_state_t *st, u_char **p, size_t *n)
{
    off_t           rest;
    ngx_int_t       rc;
    ngx_iv_call_t  *call;

    call = st->call;

    if (st->phase == NGX_IV_PHASE_HEAD) {
        *p = call->head.data + st->head_sent;
        *n = call->head.len - st->head_sent;
        return NGX_OK;
    }

    *p = NULL;
    *n = 0;

    rc = call->source(call, call->sent, p, n);

    if (st->done || rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK || *n == 0) {
        ngx_iv_call_finish(st, NGX_IV_CALL_SOURCE);
        return NGX_ERROR;
    }

    rest = call->length - call->sent;

    if ((off_t) *n > rest) {
        *n = (size_t) rest;
    }

    return NGX_OK;
}


static void
ngx_iv_call_taken(ngx_iv_call_state_t *st, size_t n)
{
    ngx_iv_call_t     *call;
    ngx_connection_t  *c;

    call = st->call;
    c = st->conn->connection;

    if (st->phase == NGX_IV_PHASE_BODY) {
        call->sent += n;

        if (call->sent == call->length) {
            ngx_iv_call_sent(st);
        }

        return;
    }

    st->head_sent += n;

    if (st->head_sent < call->head.len) {
        return;
    }

    if (call->length == 0) {
        ngx_iv_call_sent(st);

    } else if (call->expect && !call->continued) {
        st->phase = NGX_IV_PHASE_CONTINUE;
        ngx_add_timer(c->read, call->endpoint->conf->continue_timeout);

    } else {
        st->phase = NGX_IV_PHASE_BODY;
    }
}


void
ngx_iv_call_sent(ngx_iv_call_state_t *st)
{
    ngx_connection_t  *c;

    c = st->conn->connection;

    st->phase = NGX_IV_PHASE_RESPONSE;

    if (st->event.posted) {
        ngx_delete_posted_event(&st->event);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ngx_add_timer(c->read, st->call->endpoint->conf->read_timeout);
}


/* what was not said closer to its cause */

static void
ngx_iv_call_failed(ngx_iv_call_state_t *st)
{
    char            *doing;
    ngx_str_t       *host;
    ngx_iv_call_t   *call;

    static char  *phases[] = {
        "connecting",
        "sending the request",
        "waiting for 100",
        "sending the body",
        "reading the response"
    };

    call = st->call;
    host = (ngx_str_t *) &call->endpoint->conf->host_header;
    doing = phases[st->phase];

    switch (call->result) {

    case NGX_IV_CALL_OK:
    case NGX_IV_CALL_SOURCE:
        break;

    case NGX_IV_CALL_CONNECT:
    case NGX_IV_CALL_TLS:

        if (call->why.len == 0) {
            ngx_iv_call_why(st, 0, "no connection to \"%V\" could be made",
                            host);
        }

        break;

    case NGX_IV_CALL_STALE:
        ngx_iv_call_why(st, 0, "\"%V\" had closed a connection kept alive",
                        host);
        break;

    case NGX_IV_CALL_RESET:
        ngx_iv_call_why(st, 0, "\"%V\" closed the connection while %s", host,
                        doing);
        break;

    case NGX_IV_CALL_TIMEOUT:

        if (st->phase != NGX_IV_PHASE_OPEN) {
            ngx_iv_call_why(st, NGX_ETIMEDOUT, "\"%V\" failed while %s", host,
                            doing);
        }

        break;

    case NGX_IV_CALL_PROTOCOL:
        ngx_iv_call_why(st, 0, "\"%V\" sent an invalid or too long response",
                        host);
        break;

    case NGX_IV_CALL_CLOSED:
        ngx_iv_call_why(st, 0, "the connection to \"%V\" was closed while %s",
                        host, doing);
        break;

    case NGX_IV_CALL_FULL:
        ngx_log_error(NGX_LOG_WARN, call->log, 0,
                      "no connection is free for a request to \"%V\": raise "
                      "worker_connections, worker_rlimit_nofile", host);
        break;

    case NGX_IV_CALL_MEMORY:
        ngx_log_error(NGX_LOG_WARN, call->log, 0,
                      "no memory for a request to \"%V\"", host);
        break;
    }
}


void ngx_cdecl
ngx_iv_call_why(ngx_iv_call_state_t *st, ngx_err_t err, const char *fmt, ...)
{
    u_char         *p, *last;
    va_list         args;
    ngx_iv_call_t  *call;

    call = st->call;
    last = st->why + NGX_IV_CALL_WHY;

    va_start(args, fmt);
    p = ngx_vslprintf(st->why, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_log_errno(p, last, err);
    }

    call->why.data = st->why;
    call->why.len = (size_t) (p - st->why);

    ngx_log_error(NGX_LOG_INFO, call->log, 0, "storage: %V", &call->why);
}
