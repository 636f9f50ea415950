/*
 * What a call reads: the answer, whenever it comes.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include "net/ngx_iv_net_private.h"


#define NGX_IV_CALL_BUFFER   8192

/* read at most beyond max_body to save a connection */
#define NGX_IV_CALL_DISCARD  65536


static ngx_int_t ngx_iv_call_receive(ngx_iv_call_state_t *st);
static ngx_int_t ngx_iv_call_parse(ngx_iv_call_state_t *st, const u_char *p,
    const u_char *last);
static ngx_int_t ngx_iv_call_header(ngx_iv_response_t *rp,
    const ngx_str_t *name, const ngx_str_t *value);
static ngx_int_t ngx_iv_call_body(ngx_iv_response_t *rp, const u_char *p,
    size_t n);
static ngx_int_t ngx_iv_call_room(ngx_iv_call_state_t *st, size_t n);
static void ngx_iv_call_closed(ngx_iv_call_state_t *st, ngx_uint_t eof);
static void ngx_iv_call_lost(ngx_iv_call_state_t *st);


void
ngx_iv_call_response(ngx_iv_call_state_t *st)
{
    ngx_iv_response_init(&st->response);

    st->response.data = st;
    st->response.header = ngx_iv_call_header;
    st->response.body = ngx_iv_call_body;
}


void
ngx_iv_call_read(ngx_iv_call_state_t *st)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = st->conn->connection;

    do {
        rc = ngx_iv_call_receive(st);

        if (st->done) {
            return;
        }

    } while (rc == NGX_OK);

    if (st->broken && st->phase != NGX_IV_PHASE_RESPONSE) {
        ngx_iv_call_lost(st);
        return;
    }

    if (st->phase == NGX_IV_PHASE_CONTINUE && st->call->continued) {

        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }

        st->phase = NGX_IV_PHASE_BODY;

        ngx_iv_call_send(st);
    }
}


/* NGX_OK: something was read; NGX_AGAIN: nothing there; or st->done */

static ngx_int_t
ngx_iv_call_receive(ngx_iv_call_state_t *st)
{
    u_char             buf[NGX_IV_CALL_BUFFER];
    ssize_t            n;
    ngx_connection_t  *c;

    c = st->conn->connection;

    n = c->recv(c, buf, NGX_IV_CALL_BUFFER);

    if (n == NGX_AGAIN) {

        if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
            ngx_iv_call_finish(st, NGX_IV_CALL_MEMORY);
        }

        return NGX_AGAIN;
    }

    if (n == 0 || n == NGX_ERROR) {
        ngx_iv_call_closed(st, n == 0);
        return NGX_ERROR;
    }

    st->got = 1;

    return ngx_iv_call_parse(st, buf, buf + n);
}


static ngx_int_t
ngx_iv_call_parse(ngx_iv_call_state_t *st, const u_char *p,
    const u_char *last)
{
    ngx_int_t           rc;
    ngx_iv_call_t      *call;
    ngx_iv_response_t  *rp;

    rp = &st->response;

    rc = ngx_iv_response_feed(rp, &p, last);

    if (st->done) {
        return NGX_ERROR;
    }

    call = st->call;

    call->continued = rp->continued;

    if (rp->headers_done && call->header_time == 0) {
        call->header_time = ngx_current_msec - st->started;
    }

    if (rp->status && st->phase != NGX_IV_PHASE_RESPONSE) {
        call->early = 1;
        ngx_iv_call_sent(st);
    }

    if (rc == NGX_DONE) {
        st->leftover = (p != last);
        ngx_iv_call_finish(st, NGX_IV_CALL_OK);
        return NGX_DONE;
    }

    if (rc == NGX_ERROR) {
        ngx_iv_call_finish(st, st->cut ? NGX_IV_CALL_OK
                               : st->no_memory ? NGX_IV_CALL_MEMORY
                               : NGX_IV_CALL_PROTOCOL);
        return NGX_ERROR;
    }

    /* a body may take its time, but a head that drips is given no more */

    if (rp->headers_done) {
        ngx_add_timer(st->conn->connection->read,
                      call->endpoint->conf->read_timeout);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_call_header(ngx_iv_response_t *rp, const ngx_str_t *name,
    const ngx_str_t *value)
{
    ngx_iv_call_state_t *st = rp->data;

    if (st->call->header) {
        st->call->header(st->call, name, value);
    }

    return st->done ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_iv_call_body(ngx_iv_response_t *rp, const u_char *p, size_t n)
{
    ngx_iv_call_state_t *st = rp->data;

    size_t          size;
    ngx_iv_call_t  *call;

    call = st->call;

    size = ngx_min(n, call->max_body - call->body.len);

    if (size) {
        if (ngx_iv_call_room(st, size) != NGX_OK) {
            st->no_memory = 1;
            return NGX_ERROR;
        }

        ngx_memcpy(call->body.data + call->body.len, p, size);
        call->body.len += size;
    }

    st->discarded += n - size;

    if (st->discarded > NGX_IV_CALL_DISCARD) {
        st->cut = 1;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_call_room(ngx_iv_call_state_t *st, size_t n)
{
    size_t          size;
    u_char         *p;
    ngx_iv_call_t  *call;

    call = st->call;

    if (n <= st->body_size - call->body.len) {
        return NGX_OK;
    }

    if (call->into) {
        call->body.data = call->into;
        st->body_size = call->max_body;
        return NGX_OK;
    }

    size = ngx_max(2 * st->body_size, call->body.len + n);

    if (st->body_size == 0 && st->response.content_length > (int64_t) size) {
        size = (size_t) ngx_min(st->response.content_length,
                                (int64_t) call->max_body);
    }

    size = ngx_min(ngx_max(size, 512), call->max_body);

    p = ngx_pnalloc(call->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (call->body.len) {
        ngx_memcpy(p, call->body.data, call->body.len);
    }

    if (st->body_size) {
        (void) ngx_pfree(call->pool, call->body.data);
    }

    call->body.data = p;
    st->body_size = size;

    return NGX_OK;
}


static void
ngx_iv_call_closed(ngx_iv_call_state_t *st, ngx_uint_t eof)
{
    if (eof && st->response.headers_done
        && ngx_iv_response_eof(&st->response) == NGX_DONE)
    {
        ngx_iv_call_finish(st, NGX_IV_CALL_OK);
        return;
    }

    ngx_iv_call_lost(st);
}


static void
ngx_iv_call_lost(ngx_iv_call_state_t *st)
{
    ngx_iv_call_finish(st, (st->call->reused && !st->got) ? NGX_IV_CALL_STALE
                                                         : NGX_IV_CALL_RESET);
}
