/*
 * JSON writer: one growing buffer, errors that stick.
 */

#include "formats/ngx_iv_json.h"
#include "formats/ngx_iv_date.h"
#include "formats/ngx_iv_utf8.h"
#include "base/ngx_iv_str.h"


#define NGX_IV_JSON_MIN    64
#define NGX_IV_JSON_DEPTH  64

/* the longest form of one character, as \u001f */
#define NGX_IV_JSON_CHAR   6

#define ngx_iv_json_in_object(j)                                              \
    ((j)->depth && ((j)->objects >> ((j)->depth - 1) & 1))


static u_char *ngx_iv_json_room(ngx_iv_json_t *j, size_t n);
static u_char *ngx_iv_json_value(ngx_iv_json_t *j, const char *key, size_t n);
static void ngx_iv_json_text(ngx_iv_json_t *j, const u_char *p, size_t n);
static size_t ngx_iv_json_plain(const u_char *p, const u_char *last);
static u_char *ngx_iv_json_char(u_char *dst, const u_char *p, size_t n,
    u_char prev);
static void ngx_iv_json_open(ngx_iv_json_t *j, const char *key, u_char ch);
static void ngx_iv_json_close(ngx_iv_json_t *j, u_char ch);
static void ngx_iv_json_word(ngx_iv_json_t *j, const char *key,
    const char *word);


void
ngx_iv_json_init(ngx_iv_json_t *j, ngx_pool_t *pool, size_t hint)
{
    ngx_memzero(j, sizeof(ngx_iv_json_t));

    j->pool = pool;

    (void) ngx_iv_json_room(j, ngx_max(hint, NGX_IV_JSON_MIN));
}


/* n free bytes at j->pos, or NULL */

static u_char *
ngx_iv_json_room(ngx_iv_json_t *j, size_t n)
{
    u_char  *p;
    size_t   used, size;

    if (j->failed) {
        return NULL;
    }

    if ((size_t) (j->end - j->pos) >= n) {
        return j->pos;
    }

    used = j->pos - j->start;

    if (n > NGX_MAX_SIZE_T_VALUE / 4 - used) {
        j->failed = 1;
        return NULL;
    }

    size = ngx_max(used + n, 2 * used);

    p = ngx_pnalloc(j->pool, size);
    if (p == NULL) {
        j->failed = 1;
        return NULL;
    }

    if (used) {
        ngx_memcpy(p, j->start, used);
        (void) ngx_pfree(j->pool, j->start);
    }

    j->start = p;
    j->pos = p + used;
    j->end = p + size;

    return j->pos;
}


/* the comma, the key, and room for n bytes of a value */

static u_char *
ngx_iv_json_value(ngx_iv_json_t *j, const char *key, size_t n)
{
    u_char  *p;

    if ((j->depth == 0 && j->pos != j->start)
        || (key != NULL) != ngx_iv_json_in_object(j))
    {
        /* a second text; a key without an object or the other way round */
        j->failed = 1;
    }

    if (j->comma) {
        p = ngx_iv_json_room(j, 1);
        if (p == NULL) {
            return NULL;
        }

        *p = ',';
        j->pos++;
    }

    if (key) {
        ngx_iv_json_text(j, (const u_char *) key, ngx_strlen(key));

        p = ngx_iv_json_room(j, 1);
        if (p == NULL) {
            return NULL;
        }

        *p = ':';
        j->pos++;
    }

    j->comma = 1;

    return ngx_iv_json_room(j, n);
}


static void
ngx_iv_json_open(ngx_iv_json_t *j, const char *key, u_char ch)
{
    u_char  *p;

    p = ngx_iv_json_value(j, key, 1);
    if (p == NULL) {
        return;
    }

    if (j->depth == NGX_IV_JSON_DEPTH) {
        j->failed = 1;
        return;
    }

    j->objects &= ~((uint64_t) 1 << j->depth);
    j->objects |= (uint64_t) (ch == '{') << j->depth;
    j->depth++;

    *p = ch;
    j->pos++;
    j->comma = 0;
}


static void
ngx_iv_json_close(ngx_iv_json_t *j, u_char ch)
{
    u_char  *p;

    if (j->depth == 0 || (ch == '}') != ngx_iv_json_in_object(j)) {
        j->failed = 1;
        return;
    }

    p = ngx_iv_json_room(j, 1);
    if (p == NULL) {
        return;
    }

    *p = ch;
    j->pos++;
    j->depth--;
    j->comma = 1;
}


void
ngx_iv_json_object(ngx_iv_json_t *j, const char *key)
{
    ngx_iv_json_open(j, key, '{');
}


void
ngx_iv_json_object_end(ngx_iv_json_t *j)
{
    ngx_iv_json_close(j, '}');
}


void
ngx_iv_json_array(ngx_iv_json_t *j, const char *key)
{
    ngx_iv_json_open(j, key, '[');
}


void
ngx_iv_json_array_end(ngx_iv_json_t *j)
{
    ngx_iv_json_close(j, ']');
}


void
ngx_iv_json_str(ngx_iv_json_t *j, const char *key, const ngx_str_t *v)
{
    if (ngx_iv_json_value(j, key, 0) == NULL) {
        return;
    }

    ngx_iv_json_text(j, v->data, v->len);
}


void
ngx_iv_json_cstr(ngx_iv_json_t *j, const char *key, const char *v)
{
    if (ngx_iv_json_value(j, key, 0) == NULL) {
        return;
    }

    ngx_iv_json_text(j, (const u_char *) v, ngx_strlen(v));
}


/* a quoted string */

static void
ngx_iv_json_text(ngx_iv_json_t *j, const u_char *p, size_t n)
{
    u_char        *dst, prev;
    size_t         len;
    const u_char  *last;

    dst = ngx_iv_json_room(j, 2);
    if (dst == NULL) {
        return;
    }

    *dst = '"';
    j->pos++;
    prev = 0;

    for (last = n ? p + n : p; p < last; p += len) {

        len = ngx_iv_json_plain(p, last);

        if (len) {
            dst = ngx_iv_json_room(j, len);
            if (dst == NULL) {
                return;
            }

            j->pos = ngx_cpymem(dst, p, len);
            prev = p[len - 1];
            continue;
        }

        dst = ngx_iv_json_room(j, NGX_IV_JSON_CHAR + 1);
        if (dst == NULL) {
            return;
        }

        len = ngx_iv_utf8_char(p, last);

        if (len) {
            j->pos = ngx_iv_json_char(dst, p, len, prev);
            prev = *p;

        } else {
            j->pos = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            prev = 0;
            len = ngx_iv_utf8_bad(p, last);
        }
    }

    dst = ngx_iv_json_room(j, 1);
    if (dst == NULL) {
        return;
    }

    *dst = '"';
    j->pos++;
}


/* most text is: bytes that are written as they are, whatever stands before */

static size_t
ngx_iv_json_plain(const u_char *p, const u_char *last)
{
    const u_char  *s;

    static const uint32_t  plain[] = {
        0x00000000,     /* control characters */
        0xffff7ffb,     /* but " and / */
        0xefffffff,     /* but \ */
        0x7fffffff,     /* but DEL */
        0x00000000,     /* more than one byte */
        0x00000000,
        0x00000000,
        0x00000000
    };

    for (s = p; s < last; s++) {
        if (!(plain[*s >> 5] >> (*s & 0x1f) & 1)) {
            break;
        }
    }

    return s - p;
}


/* one character of n bytes, at most NGX_IV_JSON_CHAR bytes as written */

static u_char *
ngx_iv_json_char(u_char *dst, const u_char *p, size_t n, u_char prev)
{
    u_char  ch;

    ch = *p;

    if (n == 1 && (ch < 0x20 || ch == 0x7f)) {

        switch (ch) {

        case '\n':
            return ngx_cpymem(dst, "\\n", 2);

        case '\r':
            return ngx_cpymem(dst, "\\r", 2);

        case '\t':
            return ngx_cpymem(dst, "\\t", 2);
        }

        dst = ngx_cpymem(dst, "\\u00", 4);
        return ngx_iv_hex(dst, p, 1);
    }

    if (n == 3 && ch == 0xe2 && p[1] == 0x80
        && (p[2] == 0xa8 || p[2] == 0xa9))
    {
        return ngx_cpymem(dst, p[2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
    }

    if (ch == '"' || ch == '\\' || (ch == '/' && prev == '<')) {
        *dst++ = '\\';
    }

    return ngx_cpymem(dst, p, n);
}


void
ngx_iv_json_int(ngx_iv_json_t *j, const char *key, int64_t v)
{
    u_char  *p;

    p = ngx_iv_json_value(j, key, NGX_INT64_LEN);
    if (p == NULL) {
        return;
    }

    j->pos = ngx_sprintf(p, "%L", v);
}


void
ngx_iv_json_bool(ngx_iv_json_t *j, const char *key, ngx_uint_t v)
{
    ngx_iv_json_word(j, key, v ? "true" : "false");
}


void
ngx_iv_json_null(ngx_iv_json_t *j, const char *key)
{
    ngx_iv_json_word(j, key, "null");
}


static void
ngx_iv_json_word(ngx_iv_json_t *j, const char *key, const char *word)
{
    u_char  *p;
    size_t   n;

    n = ngx_strlen(word);

    p = ngx_iv_json_value(j, key, n);
    if (p == NULL) {
        return;
    }

    j->pos = ngx_cpymem(p, word, n);
}


void
ngx_iv_json_date(ngx_iv_json_t *j, const char *key, int64_t msec)
{
    u_char  *p;

    p = ngx_iv_json_value(j, key, NGX_IV_DATE_ISO_LEN + 2);
    if (p == NULL) {
        return;
    }

    *p++ = '"';
    p = ngx_iv_date_iso(p, msec);
    *p++ = '"';
    j->pos = p;
}


void
ngx_iv_json_date_or_null(ngx_iv_json_t *j, const char *key, int64_t msec)
{
    if (msec) {
        ngx_iv_json_date(j, key, msec);

    } else {
        ngx_iv_json_null(j, key);
    }
}


void
ngx_iv_json_hex(ngx_iv_json_t *j, const char *key, const u_char *bytes,
    size_t n)
{
    u_char  *p;

    p = ngx_iv_json_value(j, key, 2 * n + 2);
    if (p == NULL) {
        return;
    }

    *p++ = '"';
    p = ngx_iv_hex(p, bytes, n);
    *p++ = '"';
    j->pos = p;
}


ngx_int_t
ngx_iv_json_done(ngx_iv_json_t *j, ngx_str_t *out)
{
    if (j->failed || j->depth || j->pos == j->start) {
        return NGX_ERROR;
    }

    out->data = j->start;
    out->len = j->pos - j->start;

    return NGX_OK;
}
