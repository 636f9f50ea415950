/*
 * Arguments of a query string.
 */

#include "formats/ngx_iv_args.h"
#include "formats/ngx_iv_date.h"
#include "formats/ngx_iv_name.h"
#include "formats/ngx_iv_utf8.h"


#define NGX_IV_ARGS_TYPE  127
#define NGX_IV_ARGS_DAY   86400000      /* ms */


static ngx_uint_t ngx_iv_args_token(u_char ch);


ngx_int_t
ngx_iv_args_next(ngx_pool_t *pool, ngx_str_t *rest, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char     *p, *end, *equals, *last;
    ngx_int_t   rc;
    ngx_str_t   raw;

    while (rest->len) {

        p = rest->data;
        last = p + rest->len;

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        rest->data = end + (end < last);
        rest->len = last - rest->data;

        equals = ngx_strlchr(p, end, '=');

        if (equals == NULL) {
            equals = end;
        }

        if (equals == p) {
            continue;
        }

        raw.data = p;
        raw.len = equals - p;

        rc = ngx_iv_name_unescape(pool, &raw, name);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        raw.data = equals + (equals < end);
        raw.len = end - raw.data;

        return ngx_iv_name_unescape(pool, &raw, value);
    }

    return NGX_DONE;
}


ngx_int_t
ngx_iv_args_number(const ngx_str_t *s, int64_t max, int64_t *n)
{
    size_t   i;
    int64_t  digit, v;

    if (s->len == 0) {
        return NGX_DECLINED;
    }

    v = 0;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] < '0' || s->data[i] > '9') {
            return NGX_DECLINED;
        }

        digit = s->data[i] - '0';

        /* once it is too much it stays so */

        if (v > (max - digit) / 10) {
            v = max + 1;

        } else {
            v = v * 10 + digit;
        }
    }

    *n = v;

    return NGX_OK;
}


ngx_int_t
ngx_iv_args_limit(const ngx_str_t *s, ngx_uint_t max, ngx_uint_t *limit)
{
    int64_t  n;

    if (ngx_iv_args_number(s, (int64_t) max, &n) != NGX_OK || n == 0) {
        return NGX_DECLINED;
    }

    *limit = ngx_min((ngx_uint_t) n, max);

    return NGX_OK;
}


ngx_int_t
ngx_iv_args_bool(const ngx_str_t *s, ngx_uint_t *value)
{
    size_t      len;
    ngx_uint_t  i;

    static const char  *words[] = {
        "false", "true", "0", "1", "off", "on", "no", "yes"
    };

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {

        len = ngx_strlen(words[i]);

        if (s->len == len
            && ngx_strncasecmp(s->data, (u_char *) words[i], len) == 0)
        {
            *value = i & 1;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_iv_args_word(const ngx_str_t *s, const char *const *words)
{
    ngx_int_t  i;

    for (i = 0; words[i]; i++) {
        if (s->len == ngx_strlen(words[i])
            && ngx_memcmp(s->data, words[i], s->len) == 0)
        {
            return i;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_iv_args_type(ngx_pool_t *pool, const ngx_str_t *s, ngx_str_t *type)
{
    size_t  i, slash;

    if (s->len > NGX_IV_ARGS_TYPE) {
        return NGX_DECLINED;
    }

    slash = 0;

    for (i = 0; i < s->len; i++) {

        if (s->data[i] == '/') {

            if (i == 0 || slash) {
                return NGX_DECLINED;
            }

            slash = i;

        } else if (!ngx_iv_args_token(s->data[i])) {
            return NGX_DECLINED;
        }
    }

    if (slash == 0 || slash == s->len - 1) {
        return NGX_DECLINED;
    }

    type->data = ngx_pnalloc(pool, s->len);
    if (type->data == NULL) {
        return NGX_ERROR;
    }

    type->len = s->len;
    ngx_strlow(type->data, s->data, s->len);

    return NGX_OK;
}


/* RFC 9110 5.6.2, but no wildcard: a type is matched as it is */

static ngx_uint_t
ngx_iv_args_token(u_char ch)
{
    return (ch >= '0' && ch <= '9')
           || (ch >= 'a' && ch <= 'z')
           || (ch >= 'A' && ch <= 'Z')
           || (ch != '\0' && ngx_strchr("!#$%&'+-.^_`|~", ch) != NULL);
}


ngx_int_t
ngx_iv_args_date(const ngx_str_t *s, ngx_uint_t whole_day, int64_t *msec)
{
    if (ngx_iv_date_parse_any(s, msec) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (whole_day && s->len == sizeof("2026-11-21") - 1) {
        *msec += NGX_IV_ARGS_DAY - 1;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_iv_args_text(const ngx_str_t *s, size_t max)
{
    size_t         n;
    uint32_t       ch;
    const u_char  *p, *last;

    if (s->len > max) {
        return 0;
    }

    last = s->len ? s->data + s->len : s->data;

    for (p = s->data; p < last; p += n) {

        n = ngx_iv_utf8_char(p, last);

        if (n == 0) {
            return 0;
        }

        ch = ngx_iv_utf8_code(p, n);

        if (ch < 0x20 || (ch >= 0x7f && ch <= 0x9f)) {
            return 0;
        }
    }

    return 1;
}
