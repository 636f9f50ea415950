/*
 * Connections of an endpoint: TLS and the pool of idle ones.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <openssl/x509v3.h>
#include "net/ngx_iv_net_private.h"


static void ngx_iv_conn_idle_read(ngx_event_t *rev);
static void ngx_iv_conn_idle_write(ngx_event_t *wev);
static ngx_uint_t ngx_iv_conn_quiet(ngx_connection_t *c);
static void ngx_iv_conn_set_log(ngx_connection_t *c, ngx_log_t *log);
static void ngx_iv_conn_save_session(ngx_connection_t *c);


ngx_iv_conn_t *
ngx_iv_conn_create(ngx_iv_endpoint_t *ep, ngx_connection_t *c)
{
    ngx_iv_conn_t  *conn;

    c->pool = ngx_create_pool(256, c->log);
    if (c->pool == NULL) {
        ngx_close_connection(c);
        return NULL;
    }

    conn = ngx_pcalloc(c->pool, sizeof(ngx_iv_conn_t));
    if (conn == NULL) {
        ngx_destroy_pool(c->pool);
        ngx_close_connection(c);
        return NULL;
    }

    conn->connection = c;
    conn->endpoint = ep;
    conn->created = ngx_current_msec;

    c->data = conn;

    return conn;
}


void
ngx_iv_conn_close(ngx_iv_conn_t *conn)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    c = conn->connection;

    if (c->ssl) {

        /*
         * Quietly: lengths say where an answer ends, and nothing can be waited
         * for here.  This way ngx_ssl_shutdown() is always through at once.
         */

        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = 1;

        (void) ngx_ssl_shutdown(c);
    }

    pool = c->pool;

    ngx_close_connection(c);
    ngx_destroy_pool(pool);
}


ngx_iv_conn_t *
ngx_iv_conn_take(ngx_iv_endpoint_t *ep, ngx_log_t *log)
{
    ngx_queue_t       *q;
    ngx_iv_conn_t     *conn;
    ngx_connection_t  *c;

    while (!ngx_queue_empty(&ep->idle)) {

        q = ngx_queue_head(&ep->idle);
        conn = ngx_queue_data(q, ngx_iv_conn_t, queue);
        c = conn->connection;

        ngx_queue_remove(q);
        ep->nidle--;

        /* it may have been closed in this very turn of the event loop */

        if (!ngx_iv_conn_quiet(c)) {
            ngx_iv_conn_close(conn);
            continue;
        }

        ngx_reusable_connection(c, 0);

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        if (c->read->posted) {
            ngx_delete_posted_event(c->read);
        }

        c->read->cancelable = 0;
        c->idle = 0;
        c->sent = 0;

        ngx_iv_conn_set_log(c, log);

        return conn;
    }

    return NULL;
}


void
ngx_iv_conn_keep(ngx_iv_conn_t *conn)
{
    ngx_iv_conn_t      *old;
    ngx_connection_t   *c;
    ngx_iv_endpoint_t  *ep;

    c = conn->connection;
    ep = conn->endpoint;

    if (ep->conf->keepalive == 0 || ngx_exiting || ngx_terminate
        || c->close || c->error || c->read->eof || c->read->error
        || c->write->error || c->read->timedout || c->write->timedout
        || ngx_current_msec - conn->created > NGX_IV_CONN_LIFE
        || ngx_handle_read_event(c->read, 0) != NGX_OK
        || !ngx_iv_conn_quiet(c))
    {
        ngx_iv_conn_close(conn);
        return;
    }

    if (ep->nidle >= ep->conf->keepalive) {
        old = ngx_queue_data(ngx_queue_last(&ep->idle), ngx_iv_conn_t, queue);

        ngx_queue_remove(&old->queue);
        ep->nidle--;

        ngx_iv_conn_close(old);
    }

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    conn->data = NULL;

    c->read->handler = ngx_iv_conn_idle_read;
    c->write->handler = ngx_iv_conn_idle_write;
    c->read->ready = 0;
    c->idle = 1;

    ngx_iv_conn_set_log(c, ngx_cycle->log);

    ngx_queue_insert_head(&ep->idle, &conn->queue);
    ep->nidle++;

    /* a worker that quits does not wait for idle connections */

    c->read->cancelable = 1;
    ngx_add_timer(c->read, ep->conf->keepalive_timeout);

    ngx_reusable_connection(c, 1);
}


void
ngx_iv_conn_close_idle(ngx_iv_endpoint_t *ep)
{
    ngx_iv_conn_t  *conn;

    while (!ngx_queue_empty(&ep->idle)) {
        conn = ngx_queue_data(ngx_queue_head(&ep->idle), ngx_iv_conn_t, queue);

        ngx_queue_remove(&conn->queue);
        ep->nidle--;

        ngx_iv_conn_close(conn);
    }
}


static void
ngx_iv_conn_idle_read(ngx_event_t *rev)
{
    ngx_iv_conn_t     *conn;
    ngx_connection_t  *c;

    c = rev->data;
    conn = c->data;

    if (!c->close && !ngx_exiting && !rev->timedout && ngx_iv_conn_quiet(c)) {
        rev->ready = 0;

        if (ngx_handle_read_event(rev, 0) == NGX_OK) {
            return;
        }
    }

    ngx_queue_remove(&conn->queue);
    conn->endpoint->nidle--;

    ngx_iv_conn_close(conn);
}


static void
ngx_iv_conn_idle_write(ngx_event_t *wev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_EVENT, wev->log, 0,
                   "image vault idle connection writable");
}


/* 1 if the peer neither closed nor said anything */

static ngx_uint_t
ngx_iv_conn_quiet(ngx_connection_t *c)
{
    ssize_t  n;
    u_char   buf[1];

    if (c->ssl && SSL_pending(c->ssl->connection) > 0) {
        return 0;
    }

    n = recv(c->fd, buf, 1, MSG_PEEK);

    return n == -1 && ngx_socket_errno == NGX_EAGAIN;
}


static void
ngx_iv_conn_set_log(ngx_connection_t *c, ngx_log_t *log)
{
    c->log = log;
    c->read->log = log;
    c->write->log = log;
    c->pool->log = log;
}


ngx_int_t
ngx_iv_conn_tls(ngx_iv_conn_t *conn)
{
    ngx_connection_t   *c;
    ngx_iv_endpoint_t  *ep;

    c = conn->connection;
    ep = conn->endpoint;

    /* without NGX_SSL_BUFFER: the body goes out from its source's memory */

    if (ngx_ssl_create_connection(ep->conf->ssl_ctx, c, NGX_SSL_CLIENT)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* RFC 6066: no addresses in SNI */

    if (!ep->ssl_literal
        && SSL_set_tlsext_host_name(c->ssl->connection,
                                    (char *) ep->ssl_name.data)
           == 0)
    {
        ngx_ssl_error(NGX_LOG_ERR, c->log, 0,
                      "SSL_set_tlsext_host_name(\"%s\") failed",
                      ep->ssl_name.data);
        return NGX_ERROR;
    }

    c->ssl->save_session = ngx_iv_conn_save_session;

    return ngx_ssl_set_session(c, ep->session);
}


ngx_int_t
ngx_iv_conn_verify(ngx_iv_conn_t *conn)
{
    int                 match;
    long                rc;
    X509               *cert;
    ngx_connection_t   *c;
    ngx_iv_endpoint_t  *ep;

    c = conn->connection;
    ep = conn->endpoint;

    if (!ep->conf->ssl_verify) {
        return NGX_OK;
    }

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        ngx_iv_call_why(conn->data, 0,
                        "certificate of \"%V\" is not trusted (%l: %s)",
                        &ep->conf->host, rc,
                        X509_verify_cert_error_string(rc));
        return NGX_ERROR;
    }

    if (ep->ssl_literal) {

        /* ngx_ssl_check_host() knows of names only */

        match = 0;
        cert = SSL_get_peer_certificate(c->ssl->connection);

        if (cert) {
            match = X509_check_ip_asc(cert, (char *) ep->ssl_name.data, 0);
            X509_free(cert);
        }

    } else {
        match = (ngx_ssl_check_host(c, &ep->ssl_name) == NGX_OK);
    }

    if (match != 1) {
        ngx_iv_call_why(conn->data, 0,
                        "certificate of \"%V\" does not match \"%V\"",
                        &ep->conf->host, &ep->ssl_name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_iv_conn_save_session(ngx_connection_t *c)
{
    ngx_iv_conn_t      *conn;
    ngx_ssl_session_t  *session;

    conn = c->data;

    session = ngx_ssl_get_session(c);

    if (session) {
        ngx_iv_conn_forget(conn->endpoint);
        conn->endpoint->session = session;
    }
}


void
ngx_iv_conn_forget(ngx_iv_endpoint_t *ep)
{
    if (ep->session) {
        ngx_ssl_free_session(ep->session);
        ep->session = NULL;
    }
}
