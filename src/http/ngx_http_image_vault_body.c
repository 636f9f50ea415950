/*
 * The request's body on its way to its sink: from the socket piece by piece,
 * from memory, or from the file somebody else had it written to.
 *
 * Bytes are copied from nginx's body buffer to where they are wanted; there is
 * never more taken from the client than there is room for.
 */

#include "module/ngx_http_image_vault_module.h"


#define NGX_HTTP_IMAGE_VAULT_PIECE  65536


typedef struct {
    ngx_chain_t     *in;            /* taken from nginx, not yet copied */
    ngx_iv_job_t    *job;           /* reads a file's next piece */
    u_char          *pos;           /* in the job's piece */
    u_char          *last;

    unsigned         started:1;     /* nginx has called back */
    unsigned         shared:1;      /* the buffers are not ours to change */
    unsigned         paused:1;      /* there is no room */
    unsigned         reading:1;     /* the job is under way */
    unsigned         ended:1;       /* all is in, or the body is given up */
} ngx_http_image_vault_body_t;


typedef struct {
    ngx_fd_t         fd;            /* a duplicate of our own */
    off_t            offset;
    size_t           size;
    ssize_t          n;             /* read */
    ngx_err_t        err;
    u_char           piece[NGX_HTTP_IMAGE_VAULT_PIECE];
} ngx_http_image_vault_piece_t;


static void ngx_http_image_vault_body_init(ngx_http_request_t *r);
static void ngx_http_image_vault_body_cleanup(void *data);
static ngx_int_t ngx_http_image_vault_body_take(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b);
static void ngx_http_image_vault_body_event(ngx_http_request_t *r);
static void ngx_http_image_vault_body_feed(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b);
static void ngx_http_image_vault_body_pause(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b);
static ngx_int_t ngx_http_image_vault_body_copy(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b);
static ngx_int_t ngx_http_image_vault_body_file(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b, ngx_buf_t *buf);
static void ngx_http_image_vault_piece_run(void *ctx, ngx_log_t *log);
static void ngx_http_image_vault_piece_destroy(void *ctx);
static void ngx_http_image_vault_piece_done(ngx_iv_job_t *job);
static void ngx_http_image_vault_body_broken(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b,
    ngx_int_t rc);
static void ngx_http_image_vault_body_fail(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b,
    ngx_int_t code, const char *why);


/*
 * A proxy without buffering that failed in mid-body: its first bytes may be
 * gone, and nginx would call that handler again at the body's end.
 */

ngx_uint_t
ngx_http_image_vault_body_taken(ngx_http_request_t *r)
{
    return r->request_body != NULL && r->reading_body;
}


ngx_int_t
ngx_http_image_vault_body_start(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_pool_cleanup_t           *cln;
    ngx_http_image_vault_body_t  *b;

    b = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_body_t));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_image_vault_body_cleanup;
    cln->data = b;

    ctx->body = b;

    r->request_body_no_buffering = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_image_vault_body_init);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {

        /* nobody knows where this body ends: no request follows it */

        r->keepalive = 0;

        b->ended = 1;
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_image_vault_body_cleanup(void *data)
{
    ngx_http_image_vault_body_t *b = data;

    b->ended = 1;

    if (b->job != NULL) {
        ngx_iv_job_release(b->job);
        b->job = NULL;
    }
}


/* called by nginx within its reading function or later, once */

static void
ngx_http_image_vault_body_init(ngx_http_request_t *r)
{
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_body_t  *b;

    ctx = ngx_http_image_vault_find_ctx(r);
    b = ctx->body;

    b->started = 1;

    if (r->reading_body) {
        r->read_event_handler = ngx_http_image_vault_body_event;

    } else {
        /* read already, perhaps for others as well */
        b->shared = 1;
        r->read_event_handler = ngx_http_block_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    if (ngx_http_image_vault_body_take(r, b) != NGX_OK) {
        ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_INTERNAL,
                                       "no memory");
        return;
    }

    ngx_http_image_vault_body_feed(r, ctx, b);
}


/*
 * Moves nginx's buffers to our list.  The buffers of a body that was read
 * whole stay as they are, a mirrored request may read them too.
 */

static ngx_int_t
ngx_http_image_vault_body_take(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b)
{
    ngx_buf_t     *buf;
    ngx_chain_t   *cl, **ll;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    for (ll = &b->in; *ll; ll = &(*ll)->next) { /* void */ }

    if (!b->shared) {
        *ll = r->request_body->bufs;
        r->request_body->bufs = NULL;
        return NGX_OK;
    }

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        buf = ngx_alloc_buf(r->pool);
        if (buf == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(buf, cl->buf, sizeof(ngx_buf_t));

        *ll = ngx_alloc_chain_link(r->pool);
        if (*ll == NULL) {
            return NGX_ERROR;
        }

        (*ll)->buf = buf;
        (*ll)->next = NULL;
        ll = &(*ll)->next;
    }

    return NGX_OK;
}


static void
ngx_http_image_vault_body_event(ngx_http_request_t *r)
{
    ngx_http_image_vault_ctx_t   *ctx;
    ngx_http_image_vault_body_t  *b;

    ctx = ngx_http_image_vault_find_ctx(r);
    b = ctx->body;

    if (b->ended) {
        ngx_http_block_reading(r);
        return;
    }

    if (b->paused) {

#if (NGX_HTTP_V2)
        if (r->stream && r->connection->error) {
            /* the client reset the stream */
            ngx_http_image_vault_body_broken(r, ctx, b,
                                             NGX_HTTP_CLIENT_CLOSED_REQUEST);
            return;
        }
#endif

        ngx_http_image_vault_body_pause(r, b);
        return;
    }

    ngx_http_image_vault_body_feed(r, ctx, b);
}


void
ngx_http_image_vault_body_more(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_http_image_vault_body_t  *b;

    b = ctx->body;

    if (b == NULL || !b->started || b->ended) {
        return;
    }

    b->paused = 0;

    ngx_http_image_vault_body_feed(r, ctx, b);
}


void
ngx_http_image_vault_body_stop(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_event_t                  *rev;
    ngx_http_image_vault_body_t  *b;

    b = ctx->body;

    if (b == NULL) {
        return;
    }

    ngx_http_image_vault_body_cleanup(b);

    if (!b->started) {
        return;
    }

    rev = r->connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    rev->timedout = 0;

    r->read_event_handler = ngx_http_block_reading;
}


/*
 * Copies, reads, copies.  The reading function is called once more after all
 * was copied: over HTTP/2 this call opens the client's window again.
 */

static void
ngx_http_image_vault_body_feed(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b)
{
    ngx_int_t  rc;

    for ( ;; ) {

        rc = ngx_http_image_vault_body_copy(r, ctx, b);

        if (rc == NGX_AGAIN) {
            ngx_http_image_vault_body_pause(r, b);
            return;
        }

        if (rc != NGX_OK) {
            ngx_http_image_vault_body_fail(r, ctx, b, rc, NULL);
            return;
        }

        if (!r->reading_body) {
            break;
        }

        rc = ngx_http_read_unbuffered_request_body(r);

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE || rc == NGX_ERROR) {
            ngx_http_image_vault_body_broken(r, ctx, b, rc);
            return;
        }

        if (ngx_http_image_vault_body_take(r, b) != NGX_OK) {
            ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_INTERNAL,
                                           "no memory");
            return;
        }

        if (b->in == NULL && rc == NGX_AGAIN) {
            /* nginx has set the timer and waits for the client */
            return;
        }
    }

    /* it goes on by itself; the client may go */

    b->ended = 1;
    r->read_event_handler = ngx_http_block_reading;

    ctx->sink->end(ctx->sink->data);
}


/* the client is not to blame while it is we who don't read */

static void
ngx_http_image_vault_body_pause(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b)
{
    ngx_event_t  *rev;

    b->paused = 1;

    rev = r->connection->read;

    if (rev->timer_set) {
        ngx_del_timer(rev);
    }

    rev->timedout = 0;

    ngx_http_block_reading(r);
}


/*
 * NGX_OK: the list is empty; NGX_AGAIN: no room, or a thread reads; else a code
 */

static ngx_int_t
ngx_http_image_vault_body_copy(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b)
{
    ngx_int_t     rc;
    ngx_buf_t    *buf;
    ngx_chain_t  *cl;

    while (b->in) {

        if (b->reading) {
            return NGX_AGAIN;
        }

        buf = b->in->buf;

        if (b->pos != b->last) {
            rc = ctx->sink->feed(ctx->sink->data, &b->pos, b->last);

            if (rc != NGX_OK) {
                return rc;
            }

            continue;
        }

        if (ngx_buf_in_memory(buf)) {
            rc = ctx->sink->feed(ctx->sink->data, &buf->pos, buf->last);

            if (rc != NGX_OK) {
                return rc;
            }

        } else if (buf->in_file && buf->file_pos < buf->file_last) {
            return ngx_http_image_vault_body_file(r, b, buf);
        }

        cl = b->in;
        b->in = cl->next;
        ngx_free_chain(r->pool, cl);
    }

    return NGX_OK;
}


/*
 * A piece is read by a thread into the job's own memory, as the job may
 * outlive the request; so does its descriptor.
 */

static ngx_int_t
ngx_http_image_vault_body_file(ngx_http_request_t *r,
    ngx_http_image_vault_body_t *b, ngx_buf_t *buf)
{
    off_t                          rest;
    ngx_int_t                      rc;
    ngx_http_image_vault_piece_t  *pc;

    if (b->job == NULL) {

        b->job = ngx_iv_job_create(sizeof(ngx_http_image_vault_piece_t),
                                   r->connection->log);
        if (b->job == NULL) {
            return NGX_IV_INTERNAL;
        }

        pc = b->job->ctx;
        pc->fd = dup(buf->file->fd);

        b->job->run = ngx_http_image_vault_piece_run;
        b->job->done = ngx_http_image_vault_piece_done;
        b->job->destroy = ngx_http_image_vault_piece_destroy;
        b->job->data = r;

        if (pc->fd == NGX_INVALID_FILE) {
            ngx_log_error(NGX_LOG_CRIT, r->connection->log, ngx_errno,
                          "dup() of the body's file failed");
            return NGX_IV_INTERNAL;
        }
    }

    pc = b->job->ctx;

    rest = buf->file_last - buf->file_pos;

    pc->offset = buf->file_pos;
    pc->size = (size_t) ngx_min(rest, NGX_HTTP_IMAGE_VAULT_PIECE);

    rc = ngx_iv_job_post(b->job, &ngx_http_image_vault_worker->hash);

    if (rc == NGX_BUSY) {
        return NGX_IV_OVERLOADED;
    }

    if (rc != NGX_OK) {
        return NGX_IV_INTERNAL;
    }

    b->reading = 1;

    return NGX_AGAIN;
}


static void
ngx_http_image_vault_piece_run(void *ctx, ngx_log_t *log)
{
    ngx_http_image_vault_piece_t *pc = ctx;

    do {
        pc->n = pread(pc->fd, pc->piece, pc->size, pc->offset);
        pc->err = (pc->n == -1) ? ngx_errno : 0;

    } while (pc->err == NGX_EINTR);
}


static void
ngx_http_image_vault_piece_destroy(void *ctx)
{
    ngx_http_image_vault_piece_t *pc = ctx;

    if (pc->fd != NGX_INVALID_FILE) {
        (void) ngx_close_file(pc->fd);
    }
}


static void
ngx_http_image_vault_piece_done(ngx_iv_job_t *job)
{
    ngx_connection_t              *c;
    ngx_http_request_t            *r;
    ngx_http_image_vault_ctx_t    *ctx;
    ngx_http_image_vault_body_t   *b;
    ngx_http_image_vault_piece_t  *pc;

    r = job->data;
    pc = job->ctx;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx = ngx_http_image_vault_find_ctx(r);
    b = ctx->body;

    b->reading = 0;

    if (b->ended) {
        return;
    }

    if (pc->n <= 0) {
        ngx_log_error(NGX_LOG_CRIT, c->log, pc->err,
                      "reading the body's file failed");

        ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_INTERNAL,
                                       "the body could not be read");

    } else {
        b->pos = pc->piece;
        b->last = pc->piece + pc->n;
        b->in->buf->file_pos += pc->n;
        b->paused = 0;

        ngx_http_image_vault_body_feed(r, ctx, b);
    }

    ngx_http_run_posted_requests(c);
}


/*
 * After a failed read: is there nobody to answer to?  A client that only closed
 * its sending side still listens.
 */

ngx_uint_t
ngx_http_image_vault_body_gone(ngx_http_request_t *r)
{
    ngx_connection_t  *c;

    c = r->connection;

#if (NGX_HTTP_V2)
    if (r->stream) {
        /* reading opens the client's window: a write that may fail, which
         * nginx then notes with the connection of all streams */
        return c->error || r->stream->connection->connection->error;
    }
#endif

    if (!c->error) {
        return 0;
    }

    if (c->read->eof && !c->read->error) {
        c->error = 0;
        return 0;
    }

    return 1;
}


/* the body ended early: the client is too slow, wrong or gone */

static void
ngx_http_image_vault_body_broken(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b,
    ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    r->keepalive = 0;

    if (rc == NGX_HTTP_REQUEST_TIME_OUT) {
        c->timedout = 0;
        c->read->timedout = 0;

        ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_TIMEOUT, NULL);
        return;
    }

    if (rc == NGX_HTTP_CLIENT_CLOSED_REQUEST || rc == NGX_ERROR
        || ngx_http_image_vault_body_gone(r))
    {
        ngx_http_image_vault_body_cleanup(b);

        ctx->sink->gone(ctx->sink->data);
        ctx->result = "aborted";

        ngx_http_finalize_request(r, NGX_HTTP_CLIENT_CLOSED_REQUEST);
        return;
    }

    if (rc == NGX_HTTP_BAD_REQUEST) {
        ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_LENGTH_MISMATCH,
                                       "the body ended early or is too long");
        return;
    }

    if (rc == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE) {
        ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_TOO_LARGE, NULL);
        return;
    }

    ngx_http_image_vault_body_fail(r, ctx, b, NGX_IV_INTERNAL,
                                   "the body could not be read");
}


/* the answer follows when all is undone */

static void
ngx_http_image_vault_body_fail(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_body_t *b,
    ngx_int_t code, const char *why)
{
    ngx_http_image_vault_body_cleanup(b);

    if (r->connection->read->timer_set) {
        ngx_del_timer(r->connection->read);
    }

    r->read_event_handler = ngx_http_block_reading;

    ctx->sink->fail(ctx->sink->data, code, why);
}
