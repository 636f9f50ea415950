/*
 * sources: src/formats/ngx_iv_http_response.c
 */

#include "iv_test.h"
#include "formats/ngx_iv_http_response.h"


typedef struct {
    char         headers[4096];
    size_t       nheaders;
    char         body[65536];
    size_t       nbody;
    int          fail_header;
    int          fail_body;
    int          head;
} seen_t;


static seen_t             seen;
static ngx_iv_response_t  rp;
static size_t             taken;


static ngx_int_t
on_header(ngx_iv_response_t *r, const ngx_str_t *name, const ngx_str_t *value)
{
    seen_t  *s = r->data;

    OK(r->status != 0);
    OK(!r->headers_done);

    if (s->fail_header) {
        return NGX_ERROR;
    }

    s->nheaders += snprintf(s->headers + s->nheaders,
                            sizeof(s->headers) - s->nheaders, "%.*s=%.*s;",
                            (int) name->len, (char *) name->data,
                            (int) value->len, (char *) value->data);
    return NGX_OK;
}


static ngx_int_t
on_body(ngx_iv_response_t *r, const u_char *p, size_t n)
{
    seen_t  *s = r->data;

    OK(r->headers_done);
    OK(n > 0);

    if (s->fail_body) {
        return NGX_ERROR;
    }

    memcpy(s->body + s->nbody, p, n);
    s->nbody += n;

    return NGX_OK;
}


static ngx_int_t
parse_by(const char *text, size_t len, size_t step)
{
    size_t         i, n;
    u_char        *copy;
    ngx_int_t      rc;
    const u_char  *p;

    seen.nheaders = 0;
    seen.headers[0] = '\0';
    seen.nbody = 0;
    taken = 0;
    rc = NGX_AGAIN;

    ngx_iv_response_init(&rp);
    rp.data = &seen;
    rp.header = on_header;
    rp.body = on_body;
    rp.head = seen.head;

    for (i = 0; i < len && rc == NGX_AGAIN; i += n) {
        n = ngx_min(step, len - i);
        copy = malloc(n);
        memcpy(copy, text + i, n);
        p = copy;

        rc = ngx_iv_response_feed(&rp, &p, copy + n);

        if (rc == NGX_AGAIN) {
            OK(p == copy + n);
        }

        taken += p - copy;
        free(copy);
    }

    return rc;
}


/* the same for all splits */

static ngx_int_t
parse_n(const char *text, size_t len)
{
    size_t     step, nheaders, nbody, whole;
    ngx_int_t  rc;
    static char  headers[4096], body[65536];

    rc = parse_by(text, len, len);
    nheaders = seen.nheaders;
    nbody = seen.nbody;
    whole = taken;
    memcpy(headers, seen.headers, nheaders);
    memcpy(body, seen.body, nbody);

    for (step = 1; step < 12 && step < len; step++) {
        EQ_INT(parse_by(text, len, step), rc);
        if (rc == NGX_DONE) {
            EQ_INT(taken, whole);
        }
        OK(seen.nheaders == nheaders
           && memcmp(headers, seen.headers, nheaders) == 0);
        OK(seen.nbody == nbody && memcmp(body, seen.body, nbody) == 0);
    }

    return rc;
}


#define PARSE(text)  parse_n(text, sizeof(text) - 1)
#define BODY(want)                                                            \
    iv_check_mem(seen.body, seen.nbody, want, sizeof(want) - 1, __FILE__,     \
                 __LINE__, "body")
#define HEADERS(want)                                                         \
    iv_check_mem(seen.headers, seen.nheaders, want, sizeof(want) - 1,         \
                 __FILE__, __LINE__, "headers")


static void
test_length(void)
{
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag:\t \"a b\"  "
                 "\r\nX-Empty:\r\n\r\nhelloHTTP/1.1"), NGX_DONE);
    BODY("hello");
    HEADERS("content-length=5;etag=\"a b\";x-empty=;");
    EQ_INT(rp.status, 200);
    EQ_INT(rp.content_length, 5);
    EQ_INT(rp.keepalive, 1);
    EQ_INT(rp.headers_done, 1);
    EQ_INT(rp.chunked, 0);
    EQ_INT(taken, 83 - 8 - 6);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_DONE);

    EQ_INT(PARSE("HTTP/1.1 403\r\ncontent-length:0\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.status, 403);
    EQ_INT(PARSE("HTTP/1.1 200 \r\nContent-Length: 2\r\n"
                 "Content-Length: 2\r\n\r\nab"), NGX_DONE);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
           NGX_AGAIN);
    EQ_INT(rp.headers_done, 1);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807"
                 "\r\n\r\nhell"), NGX_AGAIN);
}


static void
test_length_bad(void)
{
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808"
                 "\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n"),
           NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                 "Content-Length: 6\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                 "Content-Length: 0\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
           NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n"
                 "\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"),
           NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n"), NGX_ERROR);
}


static void
test_chunked(void)
{
    /* RFC 9112 7.1 */
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
                 "5\r\nhello\r\nA;name=\"va;lue\"\r\n0123456789\r\n"
                 "001  \r\n!\r\n000\r\nX-Trailer: content-length\r\n"
                 "\r\nnext"), NGX_DONE);
    BODY("hello0123456789!");
    HEADERS("transfer-encoding=Chunked;");
    EQ_INT(rp.chunked, 1);
    EQ_INT(rp.keepalive, 1);
    EQ_INT(rp.content_length, -1);

    EQ_INT(PARSE("HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "0\r\n\r\n"), NGX_DONE);
    BODY("");

#define CHUNKED  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    EQ_INT(PARSE(CHUNKED "7fffffffffffffff\r\nx"), NGX_AGAIN);
    EQ_INT(PARSE(CHUNKED "8000000000000000\r\nx"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "10000000000000000\r\nx"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED ";x\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "-1\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "0x5\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5 x\r\nhello\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5\nhello\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5\r\nhelloo\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5\r\nhello\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5;a\rb\r\nhello\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "0\r\nnot a trailer\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "0\r\n a: folded\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "5\r\nhello\r\n0\r\n"), NGX_AGAIN);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
}


static void
test_close(void)
{
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\n\r\nall that\r\n comes"), NGX_AGAIN);
    BODY("all that\r\n comes");
    EQ_INT(rp.until_close, 1);
    EQ_INT(rp.keepalive, 0);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_DONE);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_DONE);
    EQ_INT(PARSE("HTTP/1.0 200 OK\r\n\r\n"), NGX_AGAIN);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_DONE);

    ngx_iv_response_init(&rp);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nA: b\r\n"), NGX_AGAIN);
    EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
}


static void
test_no_body(void)
{
    EQ_INT(PARSE("HTTP/1.1 204 No Content\r\n\r\nx"), NGX_DONE);
    EQ_INT(rp.keepalive, 1);
    EQ_INT(PARSE("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n"),
           NGX_DONE);
    EQ_INT(rp.keepalive, 0);
    EQ_INT(PARSE("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\nx"),
           NGX_DONE);
    EQ_INT(rp.content_length, 7);
    EQ_INT(rp.keepalive, 1);

    seen.head = 1;
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.content_length, 7);
    EQ_INT(PARSE("HTTP/1.1 404 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
           NGX_DONE);
    seen.head = 0;
}


static void
test_interim(void)
{
    char    many[8192];
    int     i;
    size_t  n;

    EQ_INT(PARSE("HTTP/1.1 100 Continue\r\n\r\n"), NGX_AGAIN);
    EQ_INT(rp.continued, 1);
    EQ_INT(rp.status, 0);
    EQ_INT(rp.headers_done, 0);
    EQ_INT(PARSE("HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n"
                 "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), NGX_DONE);
    EQ_INT(rp.continued, 1);
    EQ_INT(rp.status, 200);
    HEADERS("content-length=1;");
    EQ_INT(PARSE("HTTP/1.1 102 Processing\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.continued, 0);
    EQ_INT(PARSE("HTTP/1.1 101 Switching Protocols\r\n\r\n"), NGX_ERROR);

    for (i = 0, n = 0; i < 129; i++) {
        n += sprintf(many + n, "HTTP/1.1 100 Continue\r\n\r\n");
    }

    EQ_INT(parse_by(many, n / 129 * 128, 100), NGX_AGAIN);
    EQ_INT(parse_by(many, n, 100), NGX_ERROR);
}


static void
test_connection(void)
{
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                 "Connection: Keep-Alive, CLOSE\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.keepalive, 0);
    EQ_INT(PARSE("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                 "Connection: x-close\r\nConnection: keep-alive\r\n\r\n"),
           NGX_DONE);
    EQ_INT(rp.keepalive, 1);
    EQ_INT(PARSE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.keepalive, 0);
    EQ_INT(PARSE("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n"
                 "Connection: keep-alive\r\n\r\n"), NGX_DONE);
    EQ_INT(rp.keepalive, 1);
}


static void
test_not_http(void)
{
    EQ_INT(PARSE("HTTP/2 200\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/2.0 200 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("http/1.1 200 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 20 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 2000 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 600 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 099 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1  200 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("HTTP/1.1 200 OK\n\n"), NGX_ERROR);
    EQ_INT(PARSE("\r\nHTTP/1.1 200 OK\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE("\x15\x03\x01\x00\x02\x02\x50\n"), NGX_ERROR);

#define OKLINE  "HTTP/1.1 200 OK\r\n"
    EQ_INT(PARSE(OKLINE "no colon\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE ": x\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A : x\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: x\r\n folded\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: x\r\n\tfolded: y\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: x\ry\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: x\0y\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A\x80: x\r\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: x\n\r\n"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "A: \x80\xff\r\nContent-Length: 0\r\n\r\n"), NGX_DONE);

    /* it stays failed */
    {
        const u_char  *p = (u_char *) "HTTP/1.1 200 OK\r\n";

        EQ_INT(PARSE("x\n"), NGX_ERROR);
        EQ_INT(ngx_iv_response_feed(&rp, &p, p + 17), NGX_ERROR);
        EQ_INT(ngx_iv_response_eof(&rp), NGX_ERROR);
        EQ_INT(rp.keepalive, 0);
    }
}


static void
test_limits(void)
{
    static char  text[65536];
    size_t       n, i;

    /* a line of 8192 bytes with its CRLF, and one more */
    for (i = 0; i < 2; i++) {
        n = sprintf(text, OKLINE "Content-Length: 0\r\nA: ");
        memset(text + n, 'x', NGX_IV_RESPONSE_LINE - 5 + i);
        n += NGX_IV_RESPONSE_LINE - 5 + i;
        n += sprintf(text + n, "\r\n\r\n");
        seen.fail_header = 0;
        rp.header = NULL;
        EQ_INT(parse_by(text, n, 777), i ? NGX_ERROR : NGX_DONE);
    }

    /* no line end in sight */
    memset(text, 'H', sizeof(text));
    EQ_INT(parse_by(text, sizeof(text), sizeof(text)), NGX_ERROR);
    EQ_INT(parse_by(text, sizeof(text), 1), NGX_ERROR);

    for (i = 0; i < 2; i++) {
        size_t  k;

        n = sprintf(text, OKLINE "Content-Length: 0\r\n");
        for (k = 1; k < NGX_IV_RESPONSE_HEADERS + i; k++) {
            n += sprintf(text + n, "A: b\r\n");
        }
        n += sprintf(text + n, "\r\n");
        EQ_INT(parse_by(text, n, n), i ? NGX_ERROR : NGX_DONE);
    }
}


static void
test_handlers(void)
{
    seen.fail_header = 1;
    EQ_INT(PARSE(OKLINE "A: b\r\n\r\n"), NGX_ERROR);
    seen.fail_header = 0;
    seen.fail_body = 1;
    EQ_INT(PARSE(OKLINE "Content-Length: 1\r\n\r\nx"), NGX_ERROR);
    EQ_INT(PARSE(OKLINE "\r\nx"), NGX_ERROR);
    EQ_INT(PARSE(CHUNKED "1\r\nx"), NGX_ERROR);
    EQ_INT(rp.keepalive, 0);
    seen.fail_body = 0;
}


int
main(void)
{
    RUN(test_length);
    RUN(test_length_bad);
    RUN(test_chunked);
    RUN(test_close);
    RUN(test_no_body);
    RUN(test_interim);
    RUN(test_connection);
    RUN(test_not_http);
    RUN(test_limits);
    RUN(test_handlers);

    return iv_test_done();
}
