/*
 * Asynchronous HTTP/1.1 client on nginx's event engine.
 *
 * An endpoint is one scheme://host:port with its addresses, TLS context and
 * idle connections; its settings are made with the configuration and read-only,
 * its state belongs to one worker.  A call is one try of one request: it picks
 * or opens a connection (several addresses are tried until one connects), sends
 * the head, waits for 100 where asked to, sends the body as its source has it,
 * and reads the response at any time.  Retries are the caller's: a call says
 * exactly what was lost, and why; whether that is an error, the caller knows.
 */

#ifndef NGX_IV_NET_H
#define NGX_IV_NET_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include "base/ngx_iv_thread.h"
#include "formats/ngx_iv_http_response.h"


typedef struct ngx_iv_endpoint_s  ngx_iv_endpoint_t;
typedef struct ngx_iv_call_s      ngx_iv_call_t;


/* made by the configuration, read-only afterwards */
typedef struct {
    ngx_str_t       host;           /* without port, as in the URL */
    in_port_t       port;
    ngx_str_t       host_header;    /* with the port unless it is the default */
    unsigned        ssl:1;
    unsigned        ssl_verify:1;
    ngx_str_t       ssl_name;       /* SNI and verification; host if empty */
    ngx_ssl_t      *ssl_ctx;        /* NULL without TLS; sessions are reused if
                                       it had ngx_ssl_client_session_cache() */
    ngx_addr_t     *addrs;          /* from the start; in the cycle's pool */
    ngx_uint_t      naddrs;
    ngx_resolver_t *resolver;       /* NULL: getaddrinfo in a thread */
    ngx_msec_t      resolver_timeout;
    ngx_msec_t      connect_timeout;
    ngx_msec_t      send_timeout;
    ngx_msec_t      read_timeout;
    ngx_msec_t      continue_timeout;   /* without 100 after this: send on */
    ngx_msec_t      refresh;        /* of addresses without a resolver: 30s */
    ngx_uint_t      keepalive;      /* idle connections kept at most */
    ngx_msec_t      keepalive_timeout;
} ngx_iv_endpoint_conf_t;


/* in init_process; hash: a queue for getaddrinfo.  NULL: no memory.
 * Lives until the worker's end; destroyed by a cleanup of cycle->pool, which
 * closes idle connections. */
ngx_iv_endpoint_t *ngx_iv_endpoint_create(ngx_cycle_t *cycle,
    const ngx_iv_endpoint_conf_t *conf, ngx_iv_queue_t *queue);


typedef enum {
    NGX_IV_CALL_OK = 0,             /* a whole response came: see response */
    NGX_IV_CALL_CONNECT,            /* no address could be connected to */
    NGX_IV_CALL_TLS,                /* handshake or verification failed */
    NGX_IV_CALL_STALE,              /* a reused connection was closed before any
                                       byte of an answer */
    NGX_IV_CALL_RESET,              /* lost while sending or reading */
    NGX_IV_CALL_TIMEOUT,            /* connecting, sending or reading */
    NGX_IV_CALL_PROTOCOL,           /* the answer is not HTTP or too large */
    NGX_IV_CALL_SOURCE,             /* the body's source gave up */
    NGX_IV_CALL_FULL,               /* no connection or descriptor is free */
    NGX_IV_CALL_CLOSED,             /* by the worker: its time to end is over */
    NGX_IV_CALL_MEMORY
} ngx_iv_call_result_e;


struct ngx_iv_call_s {
    /* set by the caller; the struct is zeroed by ngx_iv_call_create() */
    ngx_str_t       head;           /* request line … empty line, complete */
    off_t           length;         /* of the body */
    unsigned        expect:1;       /* head says Expect: 100-continue */
    unsigned        head_only:1;    /* the method is HEAD */
    unsigned        fresh:1;        /* don't reuse an idle connection */
    size_t          max_body;       /* of the response kept in `body` */
    u_char         *into;           /* max_body bytes for it, which must live as
                                       long as the call; NULL: the pool's */

    /*
     * Bytes of the body from `offset` on: NGX_OK and *p, *n > 0, valid until
     * more than them was reported sent; NGX_AGAIN: none yet, ngx_iv_call_wake()
     * follows; NGX_ERROR: give up (NGX_IV_CALL_SOURCE).  The same offset has to
     * give the same bytes again, and not fewer.
     */
    ngx_int_t     (*source)(ngx_iv_call_t *call, off_t offset, u_char **p,
                            size_t *n);
    void          (*progress)(ngx_iv_call_t *call); /* `sent` grew; optional */
    /* a header of the final response, name in lower case; optional */
    void          (*header)(ngx_iv_call_t *call, const ngx_str_t *name,
                            const ngx_str_t *value);
    /* once; never from within ngx_iv_call_start() */
    void          (*handler)(ngx_iv_call_t *call);
    void           *data;

    /* results */
    ngx_iv_call_result_e  result;
    ngx_str_t       why;            /* of a failure, for the caller's one line;
                                       tries are logged at info only */
    off_t           sent;           /* bytes of the body taken by the socket */
    ngx_str_t       body;           /* of the response, cut at max_body */
    unsigned        reused:1;       /* the connection had been idle */
    unsigned        continued:1;    /* 100 came */
    unsigned        early:1;        /* answered before the body was out */
    ngx_msec_t      connect_time;
    ngx_msec_t      header_time;
    ngx_iv_response_t  *response;   /* status and so on; as long as pool */

    ngx_pool_t     *pool;           /* the caller's */
    ngx_log_t      *log;            /* the caller's, must live as long */
    ngx_iv_endpoint_t  *endpoint;

    /* private */
    void           *state;
};


/* destroying the pool cancels: the connection is closed and no callback comes.
 * NULL: no memory */
ngx_iv_call_t *ngx_iv_call_create(ngx_iv_endpoint_t *endpoint,
    ngx_pool_t *pool, ngx_log_t *log);
void ngx_iv_call_start(ngx_iv_call_t *call);
/* the source has bytes again */
void ngx_iv_call_wake(ngx_iv_call_t *call);
/* at any moment, also twice, also in a callback */
void ngx_iv_call_cancel(ngx_iv_call_t *call);


#endif
