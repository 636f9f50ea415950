/*
 * HTTP/1.1 response parser (RFC 9112): lines are gathered in the struct, the
 * body passes through.
 */

#include "formats/ngx_iv_http_response.h"


enum {
    ngx_iv_response_status_line = 0,
    ngx_iv_response_header_line,
    ngx_iv_response_length_body,
    ngx_iv_response_close_body,
    ngx_iv_response_chunk_line,
    ngx_iv_response_chunk_body,
    ngx_iv_response_chunk_end,          /* the empty line behind a chunk */
    ngx_iv_response_trailer_line,
    ngx_iv_response_done,
    ngx_iv_response_failed
};


static ngx_int_t ngx_iv_response_step(ngx_iv_response_t *rp, const u_char **p,
    const u_char *last);
static ngx_int_t ngx_iv_response_gather(ngx_iv_response_t *rp,
    const u_char **p, const u_char *last);
static ngx_int_t ngx_iv_response_on_line(ngx_iv_response_t *rp);
static ngx_int_t ngx_iv_response_on_status(ngx_iv_response_t *rp);
static ngx_int_t ngx_iv_response_on_header(ngx_iv_response_t *rp);
static ngx_int_t ngx_iv_response_framing(ngx_iv_response_t *rp,
    const ngx_str_t *name, const ngx_str_t *value);
static void ngx_iv_response_connection(ngx_iv_response_t *rp,
    const ngx_str_t *value);
static ngx_int_t ngx_iv_response_on_headers_end(ngx_iv_response_t *rp);
static ngx_int_t ngx_iv_response_on_chunk(ngx_iv_response_t *rp);
static ngx_uint_t ngx_iv_response_token(const u_char *p, size_t n);
static ngx_uint_t ngx_iv_response_is(const ngx_str_t *s, const char *word);


void
ngx_iv_response_init(ngx_iv_response_t *rp)
{
    /* the line's memory needs no clearing */

    ngx_memzero(rp, offsetof(ngx_iv_response_t, line));

    rp->content_length = -1;
}


ngx_int_t
ngx_iv_response_feed(ngx_iv_response_t *rp, const u_char **p,
    const u_char *last)
{
    while (*p < last && rp->state < ngx_iv_response_done) {

        if (ngx_iv_response_step(rp, p, last) != NGX_OK) {
            rp->state = ngx_iv_response_failed;
            rp->keepalive = 0;
        }
    }

    switch (rp->state) {

    case ngx_iv_response_done:
        return NGX_DONE;

    case ngx_iv_response_failed:
        return NGX_ERROR;

    default:
        return NGX_AGAIN;
    }
}


ngx_int_t
ngx_iv_response_eof(ngx_iv_response_t *rp)
{
    rp->keepalive = 0;

    if (rp->state == ngx_iv_response_close_body) {
        rp->state = ngx_iv_response_done;
    }

    if (rp->state != ngx_iv_response_done) {
        rp->state = ngx_iv_response_failed;
        return NGX_ERROR;
    }

    return NGX_DONE;
}


/* takes some bytes: NGX_OK or NGX_ERROR */

static ngx_int_t
ngx_iv_response_step(ngx_iv_response_t *rp, const u_char **p,
    const u_char *last)
{
    size_t         n;
    const u_char  *body;

    switch (rp->state) {

    case ngx_iv_response_length_body:
    case ngx_iv_response_chunk_body:

        body = *p;
        n = (size_t) ngx_min(rp->rest, (int64_t) (last - body));

        rp->rest -= n;
        *p += n;

        if (rp->rest == 0) {
            rp->state = (rp->state == ngx_iv_response_chunk_body)
                        ? ngx_iv_response_chunk_end : ngx_iv_response_done;
        }

        return rp->body ? rp->body(rp, body, n) : NGX_OK;

    case ngx_iv_response_close_body:

        body = *p;
        *p = last;

        return rp->body ? rp->body(rp, body, last - body) : NGX_OK;

    default:
        return ngx_iv_response_gather(rp, p, last);
    }
}


/* adds to the present line, up to its LF, and hands it on when it is whole */

static ngx_int_t
ngx_iv_response_gather(ngx_iv_response_t *rp, const u_char **p,
    const u_char *last)
{
    size_t         n;
    const u_char  *lf;

    lf = memchr(*p, '\n', last - *p);
    n = (lf ? lf : last) - *p;

    /* the LF itself counts, and isn't kept */

    if (n > NGX_IV_RESPONSE_LINE - 1 - rp->nline) {
        return NGX_ERROR;
    }

    ngx_memcpy(rp->line + rp->nline, *p, n);

    rp->nline += n;
    *p += n;

    if (lf == NULL) {
        return NGX_OK;
    }

    (*p)++;

    if (rp->nline == 0 || rp->line[rp->nline - 1] != '\r') {
        return NGX_ERROR;
    }

    rp->nline--;

    return ngx_iv_response_on_line(rp);
}


static ngx_int_t
ngx_iv_response_on_line(ngx_iv_response_t *rp)
{
    size_t     i, n;
    ngx_int_t  rc;

    n = rp->nline;

    /* a bare CR, a NUL and the like stand in no line */

    for (i = 0; i < n; i++) {
        if ((rp->line[i] < 0x20 && rp->line[i] != '\t')
            || rp->line[i] == 0x7f)
        {
            return NGX_ERROR;
        }
    }

    switch (rp->state) {

    case ngx_iv_response_status_line:
        rc = ngx_iv_response_on_status(rp);
        break;

    case ngx_iv_response_header_line:
        rc = n ? ngx_iv_response_on_header(rp)
               : ngx_iv_response_on_headers_end(rp);
        break;

    case ngx_iv_response_chunk_line:
        rc = ngx_iv_response_on_chunk(rp);
        break;

    case ngx_iv_response_chunk_end:
        rc = n ? NGX_ERROR : NGX_OK;
        rp->state = ngx_iv_response_chunk_line;
        break;

    default: /* ngx_iv_response_trailer_line */

        if (n) {
            rc = ngx_iv_response_on_header(rp);

        } else {
            rc = NGX_OK;
            rp->state = ngx_iv_response_done;
        }
    }

    rp->nline = 0;

    return rc;
}


/* "HTTP/1.1 200 OK"; the reason, and the space before it, may lack */

static ngx_int_t
ngx_iv_response_on_status(ngx_iv_response_t *rp)
{
    u_char      *p;
    ngx_int_t    status;

    p = rp->line;

    if (rp->nline < sizeof("HTTP/1.1 200") - 1
        || ngx_memcmp(p, "HTTP/1.", 7) != 0
        || p[7] < '0' || p[7] > '9' || p[8] != ' '
        || (rp->nline > 12 && p[12] != ' '))
    {
        return NGX_ERROR;
    }

    status = ngx_atoi(p + 9, 3);

    if (status < 100 || status > 599 || status == 101) {
        /* nobody asked to switch protocols */
        return NGX_ERROR;
    }

    rp->http11 = p[7] != '0';
    rp->interim = status < 200;
    rp->state = ngx_iv_response_header_line;

    if (rp->interim) {

        if (status == 100) {
            rp->continued = 1;
        }

        /* each counts as a header, so that they come to an end */

        return (++rp->nheaders > NGX_IV_RESPONSE_HEADERS) ? NGX_ERROR : NGX_OK;
    }

    rp->status = (ngx_uint_t) status;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_response_on_header(ngx_iv_response_t *rp)
{
    u_char     *p, *colon, *last;
    ngx_str_t   name, value;

    if (++rp->nheaders > NGX_IV_RESPONSE_HEADERS) {
        return NGX_ERROR;
    }

    last = rp->line + rp->nline;

    colon = ngx_strlchr(rp->line, last, ':');

    /* neither a folded line nor a space before the colon is a token */

    if (colon == NULL || !ngx_iv_response_token(rp->line, colon - rp->line)) {
        return NGX_ERROR;
    }

    if (rp->interim || rp->state == ngx_iv_response_trailer_line) {
        return NGX_OK;
    }

    for (p = colon + 1; p < last && (*p == ' ' || *p == '\t'); p++) {
        /* void */
    }

    while (last > p && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    name.data = rp->line;
    name.len = colon - rp->line;
    ngx_strlow(name.data, name.data, name.len);

    value.data = p;
    value.len = last - p;

    if (ngx_iv_response_framing(rp, &name, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (rp->header && rp->header(rp, &name, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the headers that say where the response ends */

static ngx_int_t
ngx_iv_response_framing(ngx_iv_response_t *rp, const ngx_str_t *name,
    const ngx_str_t *value)
{
    off_t  n;

    if (ngx_iv_response_is(name, "content-length")) {

        n = ngx_atoof(value->data, value->len);

        if (n == NGX_ERROR
            || (rp->content_length != -1 && rp->content_length != n))
        {
            return NGX_ERROR;
        }

        rp->content_length = n;

        return NGX_OK;
    }

    if (ngx_iv_response_is(name, "transfer-encoding")) {

        /* twice chunked, or another coding, is nothing that was asked for */

        if (rp->chunked || !rp->http11
            || !ngx_iv_response_is(value, "chunked"))
        {
            return NGX_ERROR;
        }

        rp->chunked = 1;

        return NGX_OK;
    }

    if (ngx_iv_response_is(name, "connection")) {
        ngx_iv_response_connection(rp, value);
    }

    return NGX_OK;
}


static void
ngx_iv_response_connection(ngx_iv_response_t *rp, const ngx_str_t *value)
{
    u_char     *p, *last;
    ngx_str_t   word;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        if (*p == ',' || *p == ' ' || *p == '\t') {
            p++;
            continue;
        }

        word.data = p;

        while (p < last && *p != ',' && *p != ' ' && *p != '\t') {
            p++;
        }

        word.len = p - word.data;

        if (ngx_iv_response_is(&word, "close")) {
            rp->close = 1;

        } else if (ngx_iv_response_is(&word, "keep-alive")) {
            rp->keep = 1;
        }
    }
}


static ngx_int_t
ngx_iv_response_on_headers_end(ngx_iv_response_t *rp)
{
    if (rp->interim) {
        rp->interim = 0;
        rp->state = ngx_iv_response_status_line;
        return NGX_OK;
    }

    if (rp->chunked && rp->content_length != -1) {
        return NGX_ERROR;
    }

    rp->headers_done = 1;
    rp->keepalive = !rp->close && (rp->http11 || rp->keep);

    if (rp->head || rp->status == 204 || rp->status == 304) {

        /* a 204 that speaks of a body may be followed by one */

        if (rp->status == 204 && (rp->chunked || rp->content_length > 0)) {
            rp->keepalive = 0;
        }

        rp->state = ngx_iv_response_done;

    } else if (rp->chunked) {
        rp->state = ngx_iv_response_chunk_line;

    } else if (rp->content_length == -1) {
        rp->until_close = 1;
        rp->keepalive = 0;
        rp->state = ngx_iv_response_close_body;

    } else {
        rp->rest = rp->content_length;
        rp->state = rp->rest ? ngx_iv_response_length_body
                             : ngx_iv_response_done;
    }

    return NGX_OK;
}


/* a chunk's size, spaces, and extensions that nobody reads */

static ngx_int_t
ngx_iv_response_on_chunk(ngx_iv_response_t *rp)
{
    size_t   i;
    u_char   ch;
    int64_t  size;

    size = 0;

    for (i = 0; i < rp->nline; i++) {

        ch = rp->line[i];

        if (ch >= '0' && ch <= '9') {
            ch -= '0';

        } else if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f') {
            ch = (ch | 0x20) - 'a' + 10;

        } else {
            break;
        }

        if (size > (NGX_MAX_OFF_T_VALUE >> 4)) {
            return NGX_ERROR;
        }

        size = size << 4 | ch;
    }

    if (i == 0) {
        return NGX_ERROR;
    }

    while (i < rp->nline && (rp->line[i] == ' ' || rp->line[i] == '\t')) {
        i++;
    }

    if (i < rp->nline && rp->line[i] != ';') {
        return NGX_ERROR;
    }

    rp->rest = size;
    rp->state = size ? ngx_iv_response_chunk_body
                     : ngx_iv_response_trailer_line;

    return NGX_OK;
}


static ngx_uint_t
ngx_iv_response_token(const u_char *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {

        if ((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z')
            || (p[i] >= '0' && p[i] <= '9'))
        {
            continue;
        }

        if (ngx_strchr("!#$%&'*+-.^_`|~", p[i]) == NULL) {
            return 0;
        }
    }

    return n != 0;
}


static ngx_uint_t
ngx_iv_response_is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncasecmp(s->data, (u_char *) word, s->len) == 0;
}
