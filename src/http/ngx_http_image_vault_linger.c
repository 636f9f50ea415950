/*
 * HTTP/2's lingering close.  When an answer is complete but the client still
 * sends, nginx resets the stream at once, and there are clients (curl before
 * 8) that then throw the answer away unread.  So the stream stays open until
 * the client has ended its side, or for a moment; what it may send meanwhile is
 * bounded by the stream's window.
 */

#include "module/ngx_http_image_vault_module.h"


#if (NGX_HTTP_V2)

#define NGX_HTTP_IMAGE_VAULT_LINGER_STEP   20
#define NGX_HTTP_IMAGE_VAULT_LINGER_STEPS  50


typedef struct {
    ngx_event_t          event;
    ngx_http_request_t  *request;
    ngx_uint_t           left;
} ngx_http_image_vault_linger_t;


static void ngx_http_image_vault_linger_event(ngx_event_t *ev);
static void ngx_http_image_vault_linger_cleanup(void *data);


ngx_int_t
ngx_http_image_vault_linger(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_image_vault_linger_t  *lg;

    if (r->stream->in_closed) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_image_vault_linger_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    lg = cln->data;
    ngx_memzero(lg, sizeof(ngx_http_image_vault_linger_t));

    cln->handler = ngx_http_image_vault_linger_cleanup;

    lg->request = r;
    lg->left = NGX_HTTP_IMAGE_VAULT_LINGER_STEPS;
    lg->event.handler = ngx_http_image_vault_linger_event;
    lg->event.data = lg;
    lg->event.log = r->connection->log;

    r->main->count++;

    ngx_add_timer(&lg->event, NGX_HTTP_IMAGE_VAULT_LINGER_STEP);

    return NGX_OK;
}


static void
ngx_http_image_vault_linger_event(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_linger_t  *lg;

    lg = ev->data;
    r = lg->request;
    c = r->connection;

    if (!r->stream->in_closed && !c->error && --lg->left) {
        ngx_add_timer(ev, NGX_HTTP_IMAGE_VAULT_LINGER_STEP);
        return;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_image_vault_linger_cleanup(void *data)
{
    ngx_http_image_vault_linger_t *lg = data;

    if (lg->event.timer_set) {
        ngx_del_timer(&lg->event);
    }
}

#endif
