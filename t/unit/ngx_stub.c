/*
 * The part of nginx's core that pure code may use, written anew for tests:
 * every pool allocation is a heap block of its own, so that the sanitizers
 * see each overrun, and may be told to fail.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>


int   iv_fail_alloc_after = -1;
long  iv_allocs;

void iv_set_time(time_t sec, ngx_uint_t msec);

static ngx_time_t      iv_time;
static ngx_str_t       iv_http_time = ngx_null_string;
static ngx_cycle_t     iv_cycle;
static ngx_log_t       iv_log;

volatile ngx_time_t   *ngx_cached_time = &iv_time;
volatile ngx_msec_t    ngx_current_msec;
volatile ngx_str_t     ngx_cached_http_time;
volatile ngx_cycle_t  *ngx_cycle = &iv_cycle;
ngx_uint_t             ngx_pagesize = 4096;
ngx_uint_t             ngx_pagesize_shift = 12;
ngx_uint_t             ngx_cacheline_size = 64;
ngx_pid_t              ngx_pid = 1;
ngx_int_t              ngx_ncpu = 1;


void
iv_set_time(time_t sec, ngx_uint_t msec)
{
    iv_time.sec = sec;
    iv_time.msec = msec;
    ngx_current_msec = (ngx_msec_t) sec * 1000 + msec;
    ngx_cached_http_time = iv_http_time;
    iv_cycle.log = &iv_log;
}


/* allocation */


static void *
iv_malloc(size_t size)
{
    void  *p;

    if (iv_fail_alloc_after == 0) {
        return NULL;
    }

    if (iv_fail_alloc_after > 0) {
        iv_fail_alloc_after--;
    }

    p = malloc(size ? size : 1);

    if (p != NULL) {
        iv_allocs++;
        memset(p, 0xa5, size);
    }

    return p;
}


static void
iv_free(void *p)
{
    if (p != NULL) {
        iv_allocs--;
        free(p);
    }
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    return iv_malloc(size);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    (void) log;

    p = iv_malloc(size);

    if (p != NULL) {
        memset(p, 0, size);
    }

    return p;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    ngx_pool_t  *pool;

    pool = iv_malloc(sizeof(ngx_pool_t));
    if (pool == NULL) {
        return NULL;
    }

    memset(pool, 0, sizeof(ngx_pool_t));
    pool->max = size;
    pool->current = pool;
    pool->log = log ? log : &iv_log;

    return pool;
}


static void
iv_pool_empty(ngx_pool_t *pool)
{
    ngx_pool_large_t  *l, *next;

    for (l = pool->large; l != NULL; l = next) {
        next = l->next;
        iv_free(l->alloc);
        free(l);
    }

    pool->large = NULL;
}


void
ngx_reset_pool(ngx_pool_t *pool)
{
    iv_pool_empty(pool);
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_cleanup_t  *c;

    for (c = pool->cleanup; c != NULL; c = c->next) {
        if (c->handler) {
            c->handler(c->data);
        }
    }

    iv_pool_empty(pool);
    iv_free(pool);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    void              *p;
    ngx_pool_large_t  *l;

    p = iv_malloc(size);
    if (p == NULL) {
        return NULL;
    }

    l = malloc(sizeof(ngx_pool_large_t));
    if (l == NULL) {
        abort();
    }

    l->alloc = p;
    l->next = pool->large;
    pool->large = l;

    return p;
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return ngx_palloc(pool, size);
}


void *
ngx_pmemalign(ngx_pool_t *pool, size_t size, size_t alignment)
{
    (void) alignment;

    return ngx_palloc(pool, size);
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);

    if (p != NULL) {
        memset(p, 0, size);
    }

    return p;
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_pool_large_t  *l;

    for (l = pool->large; l != NULL; l = l->next) {
        if (p == l->alloc) {
            iv_free(p);
            l->alloc = NULL;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *pool, size_t size)
{
    ngx_pool_cleanup_t  *c;

    c = ngx_palloc(pool, sizeof(ngx_pool_cleanup_t));
    if (c == NULL) {
        return NULL;
    }

    c->data = NULL;
    c->handler = NULL;

    if (size) {
        c->data = ngx_palloc(pool, size);
        if (c->data == NULL) {
            return NULL;
        }
    }

    c->next = pool->cleanup;
    pool->cleanup = c;

    return c;
}


/* arrays and lists */


ngx_array_t *
ngx_array_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(pool, sizeof(ngx_array_t));
    if (a == NULL) {
        return NULL;
    }

    if (ngx_array_init(a, pool, n, size) != NGX_OK) {
        return NULL;
    }

    return a;
}


void
ngx_array_destroy(ngx_array_t *a)
{
    a->nelts = 0;
}


void *
ngx_array_push_n(ngx_array_t *a, ngx_uint_t n)
{
    void        *p;
    u_char      *elt;
    ngx_uint_t   want;

    if (a->nelts + n > a->nalloc) {

        want = 2 * (n > a->nalloc ? n : a->nalloc);

        p = ngx_palloc(a->pool, want * a->size);
        if (p == NULL) {
            return NULL;
        }

        memcpy(p, a->elts, a->nelts * a->size);
        a->elts = p;
        a->nalloc = want;
    }

    elt = (u_char *) a->elts + a->size * a->nelts;
    a->nelts += n;

    return elt;
}


void *
ngx_array_push(ngx_array_t *a)
{
    return ngx_array_push_n(a, 1);
}


ngx_list_t *
ngx_list_create(ngx_pool_t *pool, ngx_uint_t n, size_t size)
{
    ngx_list_t  *list;

    list = ngx_palloc(pool, sizeof(ngx_list_t));
    if (list == NULL) {
        return NULL;
    }

    if (ngx_list_init(list, pool, n, size) != NGX_OK) {
        return NULL;
    }

    return list;
}


void *
ngx_list_push(ngx_list_t *l)
{
    ngx_list_part_t  *part;

    part = l->last;

    if (part->nelts == l->nalloc) {

        part = ngx_palloc(l->pool, sizeof(ngx_list_part_t));
        if (part == NULL) {
            return NULL;
        }

        part->elts = ngx_palloc(l->pool, l->nalloc * l->size);
        if (part->elts == NULL) {
            return NULL;
        }

        part->nelts = 0;
        part->next = NULL;
        l->last->next = part;
        l->last = part;
    }

    return (u_char *) part->elts + l->size * part->nelts++;
}


/* strings */


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


size_t
ngx_strnlen(u_char *p, size_t n)
{
    return strnlen((char *) p, n);
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    if (n == 0) {
        return dst;
    }

    while (--n && *src) {
        *dst++ = *src++;
    }

    *dst = '\0';

    return dst;
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *p;

    p = ngx_pnalloc(pool, src->len);

    if (p != NULL && src->len) {
        memcpy(p, src->data, src->len);
    }

    return p;
}


ngx_int_t
ngx_strcasecmp(u_char *s1, u_char *s2)
{
    return strcasecmp((char *) s1, (char *) s2);
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return n ? strncasecmp((char *) s1, (char *) s2, n) : 0;
}


ngx_int_t
ngx_memn2cmp(u_char *s1, u_char *s2, size_t n1, size_t n2)
{
    int     rc;
    size_t  n;

    n = ngx_min(n1, n2);
    rc = n ? memcmp(s1, s2, n) : 0;

    return rc ? rc : (n1 > n2) - (n1 < n2);
}


u_char *
ngx_strnstr(u_char *s1, char *s2, size_t n)
{
    size_t  m;

    m = strlen(s2);

    for ( /* void */ ; n >= m && *s1; s1++, n--) {
        if (memcmp(s1, s2, m) == 0) {
            return s1;
        }
    }

    return NULL;
}


/* as nginx has it: n is the length of s2 less one */

u_char *
ngx_strlcasestrn(u_char *s1, u_char *last, u_char *s2, size_t n)
{
    for (n++; (size_t) (last - s1) >= n; s1++) {
        if (strncasecmp((char *) s1, (char *) s2, n) == 0) {
            return s1;
        }
    }

    return NULL;
}


u_char *
ngx_strcasestrn(u_char *s1, char *s2, size_t n)
{
    for (n++; *s1; s1++) {
        if (strncasecmp((char *) s1, s2, n) == 0) {
            return s1;
        }
    }

    return NULL;
}


u_char *
ngx_strstrn(u_char *s1, char *s2, size_t n)
{
    for (n++; *s1; s1++) {
        if (strncmp((char *) s1, s2, n) == 0) {
            return s1;
        }
    }

    return NULL;
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static const u_char  hex[] = "0123456789abcdef";

    while (len--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


/* digits of a base, or NGX_ERROR: empty, a strange byte, over max */

static int64_t
iv_number(const u_char *p, size_t n, int base, int64_t max)
{
    int      d;
    int64_t  v;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (v = 0; n--; p++) {

        if (*p >= '0' && *p <= '9') {
            d = *p - '0';

        } else if ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'f') {
            d = (*p | 0x20) - 'a' + 10;

        } else {
            return NGX_ERROR;
        }

        if (d >= base || v > (max - d) / base) {
            return NGX_ERROR;
        }

        v = v * base + d;
    }

    return v;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    return (ngx_int_t) iv_number(line, n, 10, NGX_MAX_INT_T_VALUE);
}


ssize_t
ngx_atosz(u_char *line, size_t n)
{
    return (ssize_t) iv_number(line, n, 10, NGX_MAX_SIZE_T_VALUE);
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    return (off_t) iv_number(line, n, 10, NGX_MAX_OFF_T_VALUE);
}


time_t
ngx_atotm(u_char *line, size_t n)
{
    return (time_t) iv_number(line, n, 10, NGX_MAX_TIME_T_VALUE);
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    return (ngx_int_t) iv_number(line, n, 16, NGX_MAX_INT_T_VALUE);
}


void
ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    static const u_char  abc[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    size_t     n;
    u_char    *d, *s;
    uint32_t   v;

    d = dst->data;
    s = src->data;

    for (n = src->len; n; /* void */) {
        v = (uint32_t) s[0] << 16 | (n > 1 ? s[1] << 8 : 0)
            | (n > 2 ? s[2] : 0);

        *d++ = abc[v >> 18];
        *d++ = abc[v >> 12 & 63];
        *d++ = n > 1 ? abc[v >> 6 & 63] : '=';
        *d++ = n > 2 ? abc[v & 63] : '=';

        s += ngx_min(n, 3);
        n -= ngx_min(n, 3);
    }

    dst->len = d - dst->data;
}


ngx_int_t
ngx_decode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    u_char    *d, *s, *last, ch;
    ngx_uint_t bits;
    uint32_t   v;

    d = dst->data;
    s = src->data;
    last = s + src->len;

    while (last > s && last[-1] == '=') {
        last--;
    }

    if ((last - s) % 4 == 1) {
        return NGX_ERROR;
    }

    for (v = 0, bits = 0; s < last; s++) {
        ch = *s;

        if (ch >= 'A' && ch <= 'Z') {
            ch -= 'A';
        } else if (ch >= 'a' && ch <= 'z') {
            ch -= 'a' - 26;
        } else if (ch >= '0' && ch <= '9') {
            ch += 52 - '0';
        } else if (ch == '+') {
            ch = 62;
        } else if (ch == '/') {
            ch = 63;
        } else {
            return NGX_ERROR;
        }

        v = v << 6 | ch;
        bits += 6;

        if (bits >= 8) {
            bits -= 8;
            *d++ = (u_char) (v >> bits);
        }
    }

    dst->len = d - dst->data;

    return NGX_OK;
}


void
ngx_encode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t  i;

    ngx_encode_base64(dst, src);

    while (dst->len && dst->data[dst->len - 1] == '=') {
        dst->len--;
    }

    for (i = 0; i < dst->len; i++) {
        dst->data[i] = dst->data[i] == '+' ? '-'
                       : dst->data[i] == '/' ? '_' : dst->data[i];
    }
}


ngx_int_t
ngx_decode_base64url(ngx_str_t *dst, ngx_str_t *src)
{
    size_t      i;
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   plain;

    p = malloc(src->len + 1);

    for (i = 0; i < src->len; i++) {
        p[i] = src->data[i] == '-' ? '+'
               : src->data[i] == '_' ? '/'
               : src->data[i] == '+' || src->data[i] == '/' ? '!'
               : src->data[i];
    }

    plain.data = p;
    plain.len = src->len;

    rc = ngx_decode_base64(dst, &plain);

    free(p);

    return rc;
}


/* printing: the conversions of nginx's own ngx_vslprintf() */


static u_char *
iv_put(u_char *buf, u_char *last, const void *p, size_t n)
{
    n = ngx_min(n, (size_t) (last - buf));

    if (n) {
        memcpy(buf, p, n);
    }

    return buf + n;
}


static u_char *
iv_put_number(u_char *buf, u_char *last, uint64_t v, int neg, int hex,
    int zero, size_t width)
{
    char    text[32], *p;
    size_t  n;

    p = text + sizeof(text);

    do {
        if (hex) {
            *--p = (hex == 2 ? "0123456789ABCDEF"
                             : "0123456789abcdef")[v & 15];
            v >>= 4;

        } else {
            *--p = (char) ('0' + v % 10);
            v /= 10;
        }
    } while (v);

    if (neg) {
        buf = iv_put(buf, last, "-", 1);
    }

    for (n = text + sizeof(text) - p; n < width; n++) {
        buf = iv_put(buf, last, zero ? "0" : " ", 1);
    }

    return iv_put(buf, last, p, text + sizeof(text) - p);
}


u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    int         sign, hex, zero, max;
    char       *s, ch;
    size_t      width, slen;
    int64_t     i;
    ngx_str_t  *v;

    while (*fmt && buf < last) {

        if (*fmt != '%') {
            *buf++ = *fmt++;
            continue;
        }

        fmt++;
        sign = 1;
        hex = 0;
        max = 0;
        width = 0;
        slen = (size_t) -1;
        zero = *fmt == '0';

        while (*fmt >= '0' && *fmt <= '9') {
            width = width * 10 + (*fmt++ - '0');
        }

        for ( ;; fmt++) {
            if (*fmt == 'u') {
                sign = 0;
            } else if (*fmt == 'm') {
                max = 1;
            } else if (*fmt == 'x') {
                hex = 1;
                sign = 0;
            } else if (*fmt == 'X') {
                hex = 2;
                sign = 0;
            } else if (*fmt == '*') {
                slen = va_arg(args, size_t);
            } else {
                break;
            }
        }

        (void) max;

        switch (*fmt++) {

        case 'V':
            v = va_arg(args, ngx_str_t *);
            buf = iv_put(buf, last, v->data, v->len);
            continue;

        case 's':
            s = va_arg(args, char *);
            buf = iv_put(buf, last, s,
                         slen == (size_t) -1 ? strlen(s) : slen);
            continue;

        case 'c':
            ch = (char) va_arg(args, int);
            buf = iv_put(buf, last, &ch, 1);
            continue;

        case 'Z':
            buf = iv_put(buf, last, "", 1);
            continue;

        case 'N':
            buf = iv_put(buf, last, "\n", 1);
            continue;

        case '%':
            buf = iv_put(buf, last, "%", 1);
            continue;

        case 'p':
            hex = 2;
            sign = 0;
            i = (int64_t) (uintptr_t) va_arg(args, void *);
            break;

        case 'd':
            i = sign ? (int64_t) va_arg(args, int)
                     : (int64_t) va_arg(args, unsigned);
            break;

        case 'D':
            i = sign ? (int64_t) va_arg(args, int32_t)
                     : (int64_t) va_arg(args, uint32_t);
            break;

        case 'l':
            i = (int64_t) va_arg(args, long);
            break;

        case 'P':
            i = (int64_t) va_arg(args, ngx_pid_t);
            break;

        case 'T':
            i = (int64_t) va_arg(args, time_t);
            break;

        case 'M':
            sign = 0;
            i = (int64_t) va_arg(args, ngx_msec_t);
            break;

        case 'z':
        case 'i':
        case 'O':
        case 'L':
            i = va_arg(args, int64_t);
            break;

        default:
            fprintf(stderr, "ngx_stub: no conversion %%%c\n", fmt[-1]);
            abort();
        }

        if (sign && i < 0) {
            buf = iv_put_number(buf, last, 0 - (uint64_t) i, 1, hex, zero,
                                width);
        } else {
            buf = iv_put_number(buf, last, (uint64_t) i, 0, hex, zero, width);
        }
    }

    return buf;
}


u_char *
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + 65536, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return p;
}


u_char *
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


/* the log: silent, unless IV_LOG is in the environment */

void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    u_char    line[2048], *p;
    va_list   args;

    (void) log;

    if (getenv("IV_LOG") == NULL) {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(line, line + sizeof(line), fmt, args);
    va_end(args);

    fprintf(stderr, "log %d: %.*s (%d)\n", (int) level, (int) (p - line), line,
            (int) err);
}


/* any hash will do (this one is FNV-1a) */

uint32_t
ngx_murmur_hash2(u_char *data, size_t len)
{
    uint32_t  h;

    h = 0x811c9dc5;

    while (len--) {
        h = (h ^ *data++) * 0x01000193;
    }

    return h;
}
