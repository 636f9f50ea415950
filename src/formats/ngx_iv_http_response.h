/*
 * HTTP/1.1 response parser (RFC 9112): resumable at any byte, writes into
 * nothing but its own struct and the caller's handler.  Limits: a status line
 * and every header line at most NGX_IV_RESPONSE_LINE bytes, at most
 * NGX_IV_RESPONSE_HEADERS headers; a storage that sends more is broken.
 * Lines end with CRLF, an LF alone is refused as well.
 * Content-Length together with Transfer-Encoding, two different
 * Content-Lengths, obs-fold and bare CR are refused (smuggling, RFC 9112 6.3).
 */

#ifndef NGX_IV_HTTP_RESPONSE_H
#define NGX_IV_HTTP_RESPONSE_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_RESPONSE_LINE     8192
#define NGX_IV_RESPONSE_HEADERS  128


typedef struct ngx_iv_response_s  ngx_iv_response_t;

struct ngx_iv_response_s {
    /* set by the caller after ngx_iv_response_init() */
    void           *data;
    /* one header of the final response; name in lower case, value trimmed,
     * both valid during the call only; not NGX_OK: parsing fails */
    ngx_int_t     (*header)(ngx_iv_response_t *rp, const ngx_str_t *name,
                            const ngx_str_t *value);
    /* a piece of the body, de-chunked */
    ngx_int_t     (*body)(ngx_iv_response_t *rp, const u_char *p, size_t n);
    unsigned        head:1;         /* the request was HEAD: no body */

    /* results */
    ngx_uint_t      status;         /* of the final response, 0: not yet */
    int64_t         content_length; /* -1: not given */
    unsigned        continued:1;    /* 100 Continue was seen */
    unsigned        headers_done:1; /* of the final response */
    unsigned        keepalive:1;    /* the connection may be used again */
    unsigned        chunked:1;
    unsigned        until_close:1;  /* the body ends with the connection */

    /* private */
    ngx_uint_t      state;
    ngx_uint_t      nheaders;
    int64_t         rest;
    size_t          nline;
    unsigned        interim:1;
    unsigned        http11:1;
    unsigned        close:1;
    unsigned        keep:1;
    u_char          line[NGX_IV_RESPONSE_LINE];
};


void ngx_iv_response_init(ngx_iv_response_t *rp);

/*
 * Takes bytes from *p up to last.  NGX_AGAIN: all taken, more to come;
 * NGX_DONE: the response is complete, *p is behind its last byte;
 * NGX_ERROR: not HTTP, over a limit, or a handler failed.
 * 1xx responses are skipped (100 is noted in `continued`).
 */
ngx_int_t ngx_iv_response_feed(ngx_iv_response_t *rp, const u_char **p,
    const u_char *last);

/* the connection was closed: NGX_DONE if that ends the body, else NGX_ERROR */
ngx_int_t ngx_iv_response_eof(ngx_iv_response_t *rp);


#endif
