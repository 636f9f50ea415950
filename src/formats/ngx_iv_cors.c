/*
 * Origins and the headers of a preflight.
 */

#include "formats/ngx_iv_cors.h"


#define NGX_IV_SCHEME_MAX        32
#define NGX_IV_HOST_MAX          253
#define NGX_IV_LABEL_MAX         63
#define NGX_IV_PORT_MAX          5

/* how many x-amz-* names of a preflight are answered, and of which length */
#define NGX_IV_CORS_NAMES        32
#define NGX_IV_CORS_NAME_MAX     64


static u_char *ngx_iv_origin_scheme(u_char *p, u_char *last);
static u_char *ngx_iv_origin_host(u_char *p, u_char *last, u_char **star);
static u_char *ngx_iv_origin_address(u_char *p, u_char *last);
static ngx_int_t ngx_iv_origin_port(u_char *p, u_char *last);
static ngx_uint_t ngx_iv_origin_own_port(const u_char *scheme, size_t len,
    ngx_int_t port);
static ngx_int_t ngx_iv_origin_read(ngx_iv_origin_t *o, const ngx_str_t *text,
    u_char **star);
static const char *ngx_iv_origin_wildcard(const ngx_iv_origin_t *o,
    const u_char *star);
static ngx_uint_t ngx_iv_cors_amz(const u_char *p, size_t len);


static const ngx_str_t  ngx_iv_cors_always =
    ngx_string("Content-Type, Content-Length, Authorization, Idempotency-Key, "
               "If-Match, Content-Digest, Repr-Digest");


ngx_int_t
ngx_iv_origin_parse(ngx_iv_origin_t *o, const ngx_str_t *text)
{
    return ngx_iv_origin_read(o, text, NULL);
}


/* with `star` a label of the host may be "*": *star is set to it, or NULL */

static ngx_int_t
ngx_iv_origin_read(ngx_iv_origin_t *o, const ngx_str_t *text, u_char **star)
{
    u_char     *p, *last;
    size_t      scheme;
    ngx_int_t   port;

    if (text->len == 0 || text->len > NGX_IV_ORIGIN_MAX) {
        return NGX_DECLINED;
    }

    ngx_strlow(o->text, text->data, text->len);

    last = o->text + text->len;

    p = ngx_iv_origin_scheme(o->text, last);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    scheme = p - o->text;
    p += sizeof("://") - 1;

    o->host = p - o->text;

    p = ngx_iv_origin_host(p, last, star);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    o->host_len = p - o->text - o->host;
    o->len = p - o->text;

    if (p == last) {
        return NGX_OK;
    }

    port = (*p == ':') ? ngx_iv_origin_port(p + 1, last) : NGX_ERROR;

    if (port == NGX_ERROR) {
        return NGX_DECLINED;
    }

    if (!ngx_iv_origin_own_port(o->text, scheme, port)) {
        o->len = text->len;
    }

    return NGX_OK;
}


/* returns its end, where "://" stands; NULL: there is none */

static u_char *
ngx_iv_origin_scheme(u_char *p, u_char *last)
{
    u_char  *start, ch;

    start = p;

    for ( /* void */ ; p < last && *p != ':'; p++) {
        ch = *p;

        if ((ch >= 'a' && ch <= 'z')
            || (p != start && ((ch >= '0' && ch <= '9')
                               || ch == '+' || ch == '-' || ch == '.')))
        {
            continue;
        }

        return NULL;
    }

    if (p == start || p - start > NGX_IV_SCHEME_MAX
        || last - p < (ssize_t) sizeof("://") - 1
        || p[1] != '/' || p[2] != '/')
    {
        return NULL;
    }

    return p;
}


/* returns its end; NULL: it is not one */

static u_char *
ngx_iv_origin_host(u_char *p, u_char *last, u_char **star)
{
    u_char  *start, *label, ch;

    if (star != NULL) {
        *star = NULL;
    }

    if (p < last && *p == '[') {
        return ngx_iv_origin_address(p, last);
    }

    start = p;
    label = p;

    for ( /* void */ ; p < last && *p != ':'; p++) {
        ch = *p;

        if ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-'
            || ch == '_')
        {
            continue;
        }

        if (ch == '.') {
            if (p == label || p - label > NGX_IV_LABEL_MAX) {
                return NULL;
            }

            label = p + 1;
            continue;
        }

        if (ch == '*' && star != NULL && *star == NULL && p == label
            && (p + 1 == last || p[1] == '.' || p[1] == ':'))
        {
            *star = p;
            continue;
        }

        return NULL;
    }

    if (p == label || p - label > NGX_IV_LABEL_MAX
        || p - start > NGX_IV_HOST_MAX)
    {
        return NULL;
    }

    return p;
}


/* [IPv6], as browsers write it: compared as text */

static u_char *
ngx_iv_origin_address(u_char *p, u_char *last)
{
    u_char  *start, ch;

    start = ++p;

    for ( /* void */ ; p < last && *p != ']'; p++) {
        ch = *p;

        if ((ch < 'a' || ch > 'f') && (ch < '0' || ch > '9') && ch != ':'
            && ch != '.')
        {
            return NULL;
        }
    }

    if (p == last || p - start < 2
        || p - start > (ssize_t) sizeof("ffff:ffff:ffff:ffff:ffff:ffff:"
                                        "255.255.255.255") - 1)
    {
        return NULL;
    }

    return p + 1;
}


static ngx_int_t
ngx_iv_origin_port(u_char *p, u_char *last)
{
    ngx_int_t  n;

    if (p == last || last - p > NGX_IV_PORT_MAX || *p == '0') {
        return NGX_ERROR;
    }

    n = ngx_atoi(p, last - p);

    return (n == NGX_ERROR || n > 65535) ? NGX_ERROR : n;
}


static ngx_uint_t
ngx_iv_origin_own_port(const u_char *scheme, size_t len, ngx_int_t port)
{
    if (len == sizeof("https") - 1 && ngx_strncmp(scheme, "https", len) == 0) {
        return port == 443;
    }

    if (len == sizeof("http") - 1 && ngx_strncmp(scheme, "http", len) == 0) {
        return port == 80;
    }

    return 0;
}


const char *
ngx_iv_origin_pattern(ngx_pool_t *pool, ngx_iv_origin_pattern_t *pattern,
    const ngx_str_t *text)
{
    u_char           *p, *star;
    const char       *why;
    ngx_iv_origin_t   o;

    if (ngx_iv_origin_read(&o, text, &star) != NGX_OK) {
        return "an origin is \"scheme://host\" or \"scheme://host:port\", "
               "such as https://app.example.com, without a path, with \"*\" "
               "for at most one whole label";
    }

    if (star != NULL) {
        why = ngx_iv_origin_wildcard(&o, star);

        if (why != NULL) {
            return why;
        }
    }

    p = ngx_pnalloc(pool, o.len);
    if (p == NULL) {
        return "no memory";
    }

    ngx_memcpy(p, o.text, o.len);

    pattern->wildcard = (star != NULL);
    pattern->before.data = p;
    pattern->before.len = star ? (size_t) (star - o.text) : o.len;
    pattern->after.data = p + pattern->before.len + pattern->wildcard;
    pattern->after.len = o.len - pattern->before.len - pattern->wildcard;

    return NULL;
}


/* a wildcard must not reach over the names of one owner, as "*.com" would */

static const char *
ngx_iv_origin_wildcard(const ngx_iv_origin_t *o, const u_char *star)
{
    ngx_uint_t     dots, digits;
    const u_char  *p, *last;

    dots = 0;
    digits = 1;
    last = o->text + o->host + o->host_len;

    for (p = star + 1; p < last; p++) {

        if (*p == '.') {
            dots++;
            digits = 1;

        } else if (*p < '0' || *p > '9') {
            digits = 0;
        }
    }

    if (dots < 2) {
        return "at least two labels must follow \"*\", as in "
               "https://*.example.com";
    }

    if (digits) {
        return "\"*\" can't stand in an address";
    }

    return NULL;
}


ngx_uint_t
ngx_iv_origin_match(const ngx_iv_origin_pattern_t *pattern,
    const ngx_iv_origin_t *o)
{
    u_char         ch;
    size_t         n;
    const u_char  *p, *last;

    n = pattern->before.len + pattern->after.len;

    if (!pattern->wildcard) {
        return o->len == n && ngx_memcmp(o->text, pattern->before.data, n) == 0;
    }

    if (o->len <= n || o->len - n > NGX_IV_LABEL_MAX
        || ngx_memcmp(o->text, pattern->before.data, pattern->before.len) != 0
        || ngx_memcmp(o->text + o->len - pattern->after.len,
                      pattern->after.data, pattern->after.len)
           != 0)
    {
        return 0;
    }

    last = o->text + o->len - pattern->after.len;

    for (p = o->text + pattern->before.len; p < last; p++) {
        ch = *p;

        if ((ch < 'a' || ch > 'z') && (ch < '0' || ch > '9') && ch != '-') {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_iv_cors_headers(ngx_pool_t *pool, const ngx_str_t *asked,
    ngx_str_t *value)
{
    u_char      *p, *last, *name, *end, *out;
    ngx_uint_t   n;

    if (asked == NULL) {
        *value = ngx_iv_cors_always;
        return NGX_OK;
    }

    out = ngx_pnalloc(pool, ngx_iv_cors_always.len
                            + NGX_IV_CORS_NAMES * (2 + NGX_IV_CORS_NAME_MAX));
    if (out == NULL) {
        return NGX_ERROR;
    }

    value->data = out;
    out = ngx_cpymem(out, ngx_iv_cors_always.data, ngx_iv_cors_always.len);

    p = asked->data;
    last = p + asked->len;
    n = 0;

    while (p < last && n < NGX_IV_CORS_NAMES) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        name = p;

        while (p < last && *p != ',') {
            p++;
        }

        for (end = p; end > name && (end[-1] == ' ' || end[-1] == '\t');
             end--)
        {
            /* void */
        }

        if (ngx_iv_cors_amz(name, end - name)) {
            out = ngx_cpymem(out, ", ", 2);
            out = ngx_cpymem(out, name, end - name);
            n++;
        }
    }

    value->len = out - value->data;

    return NGX_OK;
}


/* names of S3 have no other bytes; what is not one is not said back */

static ngx_uint_t
ngx_iv_cors_amz(const u_char *p, size_t len)
{
    u_char  ch;
    size_t  i;

    if (len <= sizeof("x-amz-") - 1 || len > NGX_IV_CORS_NAME_MAX
        || ngx_strncasecmp((u_char *) p, (u_char *) "x-amz-",
                           sizeof("x-amz-") - 1)
           != 0)
    {
        return 0;
    }

    for (i = 0; i < len; i++) {
        ch = (u_char) (p[i] | 0x20);

        if ((ch < 'a' || ch > 'z') && (p[i] < '0' || p[i] > '9')
            && p[i] != '-' && p[i] != '_' && p[i] != '.')
        {
            return 0;
        }
    }

    return 1;
}
