/*
 * The connection of a call: an idle one, or a new one to the first address
 * that answers.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "net/ngx_iv_net_private.h"


static void ngx_iv_call_connect(ngx_iv_call_state_t *st);
static ngx_int_t ngx_iv_call_connect_addr(ngx_iv_call_state_t *st);
static void ngx_iv_call_next(ngx_iv_call_state_t *st,
    ngx_iv_call_result_e failure);
static void ngx_iv_call_connecting(ngx_event_t *ev);
static ngx_err_t ngx_iv_call_test_connect(ngx_connection_t *c);
static void ngx_iv_call_connected(ngx_iv_call_state_t *st);
static void ngx_iv_call_handshake_handler(ngx_connection_t *c);
static void ngx_iv_call_handshake(ngx_iv_call_state_t *st);
static void ngx_iv_call_opened(ngx_iv_call_state_t *st);


void
ngx_iv_call_open(ngx_iv_call_state_t *st)
{
    ngx_iv_call_t  *call;

    call = st->call;

    st->started = ngx_current_msec;

    if (!call->fresh) {
        st->conn = ngx_iv_conn_take(call->endpoint, call->log);

        if (st->conn) {
            st->conn->data = st;
            call->reused = 1;

            ngx_iv_call_ready(st);
            return;
        }
    }

    st->addrs = ngx_iv_endpoint_addrs(call->endpoint, &st->start);

    if (st->addrs == NULL) {
        ngx_iv_call_why(st, 0, "no address of \"%V\" is known yet",
                        &call->endpoint->conf->host);
        ngx_iv_call_finish(st, NGX_IV_CALL_CONNECT);
        return;
    }

    st->failure = NGX_IV_CALL_CONNECT;

    ngx_iv_call_connect(st);
}


static void
ngx_iv_call_connect(ngx_iv_call_state_t *st)
{
    ngx_int_t  rc;

    ngx_msec_t  timeout;

    timeout = st->call->endpoint->conf->connect_timeout;

    do {

        /* many dead addresses must not add up to minutes */

        if (st->tried && ngx_current_msec - st->started >= 2 * timeout) {
            ngx_iv_call_finish(st, st->failure);
            return;
        }

        st->addr = ngx_iv_addrs_next(st->addrs, st->start, &st->tried);

        if (st->addr == NULL) {
            ngx_iv_call_finish(st, st->failure);
            return;
        }

        rc = ngx_iv_call_connect_addr(st);

        if (rc == NGX_DECLINED) {
            st->failure = NGX_IV_CALL_CONNECT;
            st->addr->bad = 1;
            st->addr->failed = ngx_current_msec;
        }

    } while (rc == NGX_DECLINED);

    if (rc == NGX_ERROR) {
        ngx_iv_call_finish(st, NGX_IV_CALL_FULL);
        return;
    }

    if (rc == NGX_OK) {
        ngx_iv_call_connected(st);
    }
}


static ngx_int_t
ngx_iv_call_connect_addr(ngx_iv_call_state_t *st)
{
    ngx_int_t               rc;
    ngx_log_t               quiet;
    ngx_iv_call_t          *call;
    ngx_connection_t       *c;
    ngx_peer_connection_t   pc;

    call = st->call;

    /* an address that refuses at once is no error yet: others may not */

    quiet = *call->log;
    quiet.log_level = ngx_min(quiet.log_level, NGX_LOG_CRIT);

    ngx_memzero(&pc, sizeof(ngx_peer_connection_t));

    pc.sockaddr = &st->addr->sockaddr.sockaddr;
    pc.socklen = st->addr->socklen;
    pc.name = &st->addr->name;
    pc.get = ngx_event_get_peer;
    pc.log = &quiet;
    pc.log_error = NGX_ERROR_INFO;

    rc = ngx_event_connect_peer(&pc);

    if (rc == NGX_DECLINED) {
        ngx_iv_call_why(st, ngx_socket_errno, "connect() to %V failed",
                        &st->addr->name);
        return NGX_DECLINED;
    }

    if (rc != NGX_OK && rc != NGX_AGAIN) {
        return NGX_ERROR;
    }

    c = pc.connection;
    c->log = call->log;
    c->read->log = call->log;
    c->write->log = call->log;

    st->conn = ngx_iv_conn_create(call->endpoint, c);
    if (st->conn == NULL) {
        return NGX_ERROR;
    }

    st->conn->data = st;

    c->read->handler = ngx_iv_call_connecting;
    c->write->handler = ngx_iv_call_connecting;

    if (rc == NGX_AGAIN) {
        ngx_add_timer(c->write, call->endpoint->conf->connect_timeout);
    }

    return rc;
}


static void
ngx_iv_call_next(ngx_iv_call_state_t *st, ngx_iv_call_result_e failure)
{
    ngx_iv_conn_close(st->conn);
    st->conn = NULL;

    st->failure = failure;
    st->addr->bad = 1;
    st->addr->failed = ngx_current_msec;

    ngx_iv_call_connect(st);
}


static void
ngx_iv_call_connecting(ngx_event_t *ev)
{
    ngx_err_t             err;
    ngx_iv_conn_t        *conn;
    ngx_connection_t     *c;
    ngx_iv_call_state_t  *st;

    c = ev->data;
    conn = c->data;
    st = conn->data;

    ngx_iv_call_enter(st);

    if (c->close) {
        ngx_iv_call_finish(st, NGX_IV_CALL_CLOSED);

    } else if (ev->timedout) {
        ngx_iv_call_why(st, NGX_ETIMEDOUT, "connect() to %V failed",
                        &st->addr->name);

        ngx_iv_call_next(st, NGX_IV_CALL_TIMEOUT);

    } else if (ev->write) {
        err = ngx_iv_call_test_connect(c);

        if (err) {
            ngx_iv_call_why(st, err, "connect() to %V failed",
                            &st->addr->name);

            ngx_iv_call_next(st, NGX_IV_CALL_CONNECT);

        } else {
            ngx_iv_call_connected(st);
        }
    }

    ngx_iv_call_leave(st);
}


static ngx_err_t
ngx_iv_call_test_connect(ngx_connection_t *c)
{
    int        err;
    socklen_t  len;

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    return err;
}


static void
ngx_iv_call_connected(ngx_iv_call_state_t *st)
{
    ngx_int_t          rc;
    ngx_iv_call_t     *call;
    ngx_connection_t  *c;

    call = st->call;
    c = st->conn->connection;

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    /* a failure here only costs time */

    (void) ngx_tcp_nodelay(c);

    if (!call->endpoint->conf->ssl) {
        ngx_iv_call_opened(st);
        return;
    }

    if (ngx_iv_conn_tls(st->conn) != NGX_OK) {
        ngx_iv_call_finish(st, NGX_IV_CALL_TLS);
        return;
    }

    rc = ngx_ssl_handshake(c);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(c->write, call->endpoint->conf->connect_timeout);

        c->ssl->handler = ngx_iv_call_handshake_handler;
        return;
    }

    ngx_iv_call_handshake(st);
}


static void
ngx_iv_call_handshake_handler(ngx_connection_t *c)
{
    ngx_iv_conn_t        *conn;
    ngx_iv_call_state_t  *st;

    conn = c->data;
    st = conn->data;

    ngx_iv_call_enter(st);

    ngx_iv_call_handshake(st);

    ngx_iv_call_leave(st);
}


static void
ngx_iv_call_handshake(ngx_iv_call_state_t *st)
{
    ngx_connection_t   *c;
    ngx_iv_endpoint_t  *ep;

    c = st->conn->connection;
    ep = st->call->endpoint;

    if (c->close) {
        ngx_iv_call_finish(st, NGX_IV_CALL_CLOSED);
        return;
    }

    if (c->ssl->handshaked) {

        if (ngx_iv_conn_verify(st->conn) != NGX_OK) {
            ngx_iv_conn_forget(ep);
            ngx_iv_call_finish(st, NGX_IV_CALL_TLS);
            return;
        }

        if (c->write->timer_set) {
            ngx_del_timer(c->write);
        }

        ngx_iv_call_opened(st);
        return;
    }

    if (c->write->timedout) {
        ngx_iv_call_why(st, NGX_ETIMEDOUT, "SSL handshake with %V failed",
                        &st->addr->name);

        ngx_iv_call_next(st, NGX_IV_CALL_TIMEOUT);
        return;
    }

    /* it may be the saved session that the peer does not like */

    ngx_iv_conn_forget(ep);

    ngx_iv_call_why(st, 0, "SSL handshake with %V failed", &st->addr->name);

    /* a connection that was lost may be had again, a quarrel stays one */

    ngx_iv_call_next(st, c->read->eof ? NGX_IV_CALL_CONNECT
                                      : NGX_IV_CALL_TLS);
}


static void
ngx_iv_call_opened(ngx_iv_call_state_t *st)
{
    st->call->connect_time = ngx_current_msec - st->started;

    ngx_iv_ref_drop(&st->addrs->ref);
    st->addrs = NULL;
    st->addr = NULL;

    ngx_iv_call_ready(st);
}
