/*
 * File names, from clients and back to them.
 */

#include "formats/ngx_iv_name.h"
#include "formats/ngx_iv_utf8.h"
#include "base/ngx_iv_str.h"


/* an extension longer than this is no reason to cut a name's front */
#define NGX_IV_NAME_EXT_MAX  32


static ngx_uint_t ngx_iv_name_unwanted(uint32_t ch);
static size_t ngx_iv_name_cut(u_char *p, size_t n);
static ngx_uint_t ngx_iv_name_trimmed(u_char ch);
static const u_char *ngx_iv_name_param(const u_char *p, const u_char *last,
    ngx_str_t *name, u_char *buf, ngx_str_t *value);
static ngx_int_t ngx_iv_name_ext_value(ngx_pool_t *pool, const ngx_str_t *in,
    ngx_str_t *out);
static ngx_uint_t ngx_iv_name_is(const ngx_str_t *s, const char *word);
static ngx_uint_t ngx_iv_name_attr_char(u_char ch);


/* a character is at most as long in the result: U+FFFD takes 3 for each 1 */

ngx_int_t
ngx_iv_name_clean(ngx_pool_t *pool, const ngx_str_t *in, ngx_str_t *out)
{
    u_char        *dst, *start;
    size_t         n;
    const u_char  *p, *last;

    p = in->data;
    last = in->len ? p + in->len : p;

    for (p = last; p > in->data; p--) {
        if (p[-1] == '/' || p[-1] == '\\') {
            break;
        }
    }

    start = ngx_pnalloc(pool, 3 * (last - p) + sizeof("image") - 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    for (dst = start; p < last; p += n) {

        n = ngx_iv_utf8_char(p, last);

        if (n == 0) {
            dst = ngx_cpymem(dst, "\xef\xbf\xbd", 3);
            n = ngx_iv_utf8_bad(p, last);

        } else if (!ngx_iv_name_unwanted(ngx_iv_utf8_code(p, n))) {
            dst = ngx_cpymem(dst, p, n);
        }
    }

    while (dst > start && ngx_iv_name_trimmed(dst[-1])) {
        dst--;
    }

    while (start < dst && ngx_iv_name_trimmed(*start)) {
        start++;
    }

    out->data = start;
    out->len = ngx_iv_name_cut(start, dst - start);

    if (out->len == 0) {
        ngx_memcpy(start, "image", sizeof("image") - 1);
        out->len = sizeof("image") - 1;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_iv_name_trimmed(u_char ch)
{
    return ch == ' ' || ch == '.';
}


/* control, line and paragraph separators, bidirectional, invisible */

static ngx_uint_t
ngx_iv_name_unwanted(uint32_t ch)
{
    return ch < 0x20
           || (ch >= 0x7f && ch <= 0x9f)
           || ch == 0x061c
           || ch == 0x200b || ch == 0x200e || ch == 0x200f
           || (ch >= 0x2028 && ch <= 0x202e)
           || (ch >= 0x2060 && ch <= 0x206f)
           || ch == 0xfeff
           || (ch >= 0xfff9 && ch <= 0xfffb)
           || (ch & 0xfffe) == 0xfffe;
}


/* to NGX_IV_NAME_MAX bytes, in place, the extension kept; the new length */

static size_t
ngx_iv_name_cut(u_char *p, size_t n)
{
    size_t  ext, stem;

    if (n <= NGX_IV_NAME_MAX) {
        return n;
    }

    for (ext = 1; ext <= NGX_IV_NAME_EXT_MAX; ext++) {
        if (p[n - ext] == '.') {
            break;
        }
    }

    if (ext > NGX_IV_NAME_EXT_MAX) {
        ext = 0;
    }

    stem = NGX_IV_NAME_MAX - ext;

    while ((p[stem] & 0xc0) == 0x80) {
        stem--;
    }

    while (stem > 0 && ngx_iv_name_trimmed(p[stem - 1])) {
        stem--;
    }

    ngx_memmove(p + stem, p + n - ext, ext);

    return stem + ext;
}


ngx_int_t
ngx_iv_name_unescape(ngx_pool_t *pool, const ngx_str_t *in, ngx_str_t *out)
{
    u_char        *dst;
    const u_char  *p, *last;

    dst = ngx_pnalloc(pool, in->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    out->data = dst;
    last = in->len ? in->data + in->len : in->data;

    for (p = in->data; p < last; p++) {

        if (*p == '+') {
            *dst++ = ' ';

        } else if (*p != '%') {
            *dst++ = *p;

        } else {

            if (last - p < 3 || ngx_iv_unhex(dst, p + 1, 1) != NGX_OK) {
                return NGX_DECLINED;
            }

            dst++;
            p += 2;
        }
    }

    out->len = dst - out->data;

    return NGX_OK;
}


ngx_uint_t
ngx_iv_utf8_valid(const u_char *p, size_t n)
{
    size_t         k;
    const u_char  *last;

    for (last = n ? p + n : p; p < last; p += k) {

        k = ngx_iv_utf8_char(p, last);

        if (k == 0) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_iv_name_from_disposition(ngx_pool_t *pool, const ngx_str_t *value,
    ngx_str_t *out)
{
    u_char        *buf;
    ngx_int_t      rc;
    ngx_str_t      name, v;
    const u_char  *p, *last;

    ngx_str_null(out);

    if (value->len == 0) {
        return NGX_DECLINED;
    }

    p = value->data;
    last = p + value->len;

    /* the type; what follows is parameters, each behind a semicolon */

    p = ngx_strlchr((u_char *) p, (u_char *) last, ';');

    while (p != NULL && p < last) {

        /* unescaped, a value is no longer than it was */

        buf = ngx_pnalloc(pool, last - p);
        if (buf == NULL) {
            return NGX_ERROR;
        }

        p = ngx_iv_name_param(p + 1, last, &name, buf, &v);

        if (ngx_iv_name_is(&name, "filename*")) {

            rc = ngx_iv_name_ext_value(pool, &v, out);

            if (rc != NGX_DECLINED) {
                return rc;
            }

        } else if (out->len == 0 && ngx_iv_name_is(&name, "filename")) {
            *out = v;
            continue;
        }

        (void) ngx_pfree(pool, buf);
    }

    return out->len ? NGX_OK : NGX_DECLINED;
}


/*
 * One `name=value`, its value in buf; returns where the next semicolon is, or
 * last.  A backslash escapes a quote or a backslash only: old browsers send
 * "C:\photos\a.jpg" as it is.
 */

static const u_char *
ngx_iv_name_param(const u_char *p, const u_char *last, ngx_str_t *name,
    u_char *buf, ngx_str_t *value)
{
    u_char  *dst;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    name->data = (u_char *) p;

    while (p < last && *p != '=' && *p != ';') {
        p++;
    }

    name->len = p - name->data;

    while (name->len && (name->data[name->len - 1] == ' '
                         || name->data[name->len - 1] == '\t'))
    {
        name->len--;
    }

    value->data = buf;
    value->len = 0;

    if (p == last || *p == ';') {
        return p;
    }

    for (p++; p < last && (*p == ' ' || *p == '\t'); p++) { /* void */ }

    dst = buf;

    if (p < last && *p == '"') {

        for (p++; p < last && *p != '"'; p++) {

            if (*p == '\\' && last - p > 1 && (p[1] == '"' || p[1] == '\\')) {
                p++;
            }

            *dst++ = *p;
        }

        value->len = dst - buf;

        while (p < last && *p != ';') {
            p++;
        }

        return p;
    }

    while (p < last && *p != ';') {
        *dst++ = *p++;
    }

    while (dst > buf && (dst[-1] == ' ' || dst[-1] == '\t')) {
        dst--;
    }

    value->len = dst - buf;

    return p;
}


static ngx_uint_t
ngx_iv_name_is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncasecmp(s->data, (u_char *) word, s->len) == 0;
}


static ngx_int_t
ngx_iv_name_ext_value(ngx_pool_t *pool, const ngx_str_t *in, ngx_str_t *out)
{
    u_char  *dst;

    dst = ngx_pnalloc(pool, in->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    return ngx_iv_name_ext_decode(dst, in, out);
}


/* an octet of ISO-8859-1 is written as three bytes and read as two at most */

ngx_int_t
ngx_iv_name_ext_decode(u_char *dst, const ngx_str_t *in, ngx_str_t *out)
{
    u_char     *p, *last, *start, ch;
    ngx_str_t   charset;
    ngx_uint_t  latin1;

    start = dst;
    p = in->data;
    last = p + in->len;

    charset.data = p;

    p = ngx_strlchr(p, last, '\'');
    if (p == NULL) {
        return NGX_DECLINED;
    }

    charset.len = p - charset.data;
    latin1 = ngx_iv_name_is(&charset, "iso-8859-1");

    if (!latin1 && !ngx_iv_name_is(&charset, "utf-8")) {
        return NGX_DECLINED;
    }

    p = ngx_strlchr(p + 1, last, '\'');
    if (p == NULL || ++p == last) {
        return NGX_DECLINED;
    }

    for ( /* void */ ; p < last; p++) {

        ch = *p;

        if (ch >= 0x80) {
            return NGX_DECLINED;
        }

        if (ch == '%') {
            if (last - p < 3 || ngx_iv_unhex(&ch, p + 1, 1) != NGX_OK) {
                return NGX_DECLINED;
            }

            p += 2;
        }

        if (latin1 && ch >= 0x80) {
            *dst++ = 0xc0 | (ch >> 6);
            ch = 0x80 | (ch & 0x3f);
        }

        *dst++ = ch;
    }

    if (!ngx_iv_utf8_valid(start, dst - start)) {
        return NGX_DECLINED;
    }

    out->data = start;
    out->len = dst - start;

    return NGX_OK;
}


/* attr-char of RFC 8187 */

static ngx_uint_t
ngx_iv_name_attr_char(u_char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9')
           || (ch != '\0' && ngx_strchr("!#$&+-.^_`|~", ch) != NULL);
}


ngx_int_t
ngx_iv_name_disposition(ngx_pool_t *pool, const char *type,
    const ngx_str_t *name, ngx_str_t *out)
{
    u_char      *dst, *text;
    size_t       i, k, n;
    ngx_uint_t   plain;

    static const u_char  hex[] = "0123456789ABCDEF";

    n = ngx_strlen(type) + sizeof("; filename=\"\"; filename*=UTF-8''") - 1
        + name->len + 3 * name->len;

    text = ngx_pnalloc(pool, n);
    if (text == NULL) {
        return NGX_ERROR;
    }

    dst = ngx_cpymem(text, type, ngx_strlen(type));
    dst = ngx_cpymem(dst, "; filename=\"", sizeof("; filename=\"") - 1);

    plain = 1;

    for (i = 0; i < name->len; i += k) {

        k = ngx_iv_utf8_char(name->data + i, name->data + name->len);
        k = ngx_max(k, 1);

        /* quotes, backslashes and percent signs are read in several ways */

        if (name->data[i] < 0x20 || name->data[i] > 0x7e
            || ngx_strchr("\"\\%", name->data[i]) != NULL)
        {
            plain = 0;
            *dst++ = '_';

        } else {
            *dst++ = name->data[i];
        }
    }

    *dst++ = '"';

    if (!plain) {
        dst = ngx_cpymem(dst, "; filename*=UTF-8''",
                         sizeof("; filename*=UTF-8''") - 1);

        for (i = 0; i < name->len; i++) {

            if (ngx_iv_name_attr_char(name->data[i])) {
                *dst++ = name->data[i];

            } else {
                *dst++ = '%';
                *dst++ = hex[name->data[i] >> 4];
                *dst++ = hex[name->data[i] & 0xf];
            }
        }
    }

    out->data = text;
    out->len = dst - text;

    return NGX_OK;
}
