/*
 * UTF-8, character by character (RFC 3629; Unicode 3.9, best practice for
 * U+FFFD); private to this room.
 */

#ifndef NGX_IV_UTF8_H
#define NGX_IV_UTF8_H

#include <ngx_config.h>
#include <ngx_core.h>


/* the length of the valid character at p (p < last), 0 if it is none */
static ngx_inline size_t
ngx_iv_utf8_char(const u_char *p, const u_char *last)
{
    u_char  lo, hi;
    size_t  i, n;

    if (*p < 0x80) {
        return 1;
    }

    /* the second byte's range keeps out overlong forms, surrogates, and
     * what is over U+10FFFF */

    lo = 0x80;
    hi = 0xbf;

    if (*p >= 0xc2 && *p <= 0xdf) {
        n = 2;

    } else if ((*p & 0xf0) == 0xe0) {
        n = 3;

        if (*p == 0xe0) {
            lo = 0xa0;

        } else if (*p == 0xed) {
            hi = 0x9f;
        }

    } else if (*p >= 0xf0 && *p <= 0xf4) {
        n = 4;

        if (*p == 0xf0) {
            lo = 0x90;

        } else if (*p == 0xf4) {
            hi = 0x8f;
        }

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < lo || p[1] > hi) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }

    return n;
}


/* how many bytes of what is no character make one U+FFFD: at least 1 */
static ngx_inline size_t
ngx_iv_utf8_bad(const u_char *p, const u_char *last)
{
    u_char  trial[4];
    size_t  n;

    /* the longest start of a character, as shown by completing it */

    for (n = ngx_min(3, last - p); n > 1; n--) {

        ngx_memset(trial, 0x80, sizeof(trial));
        ngx_memcpy(trial, p, n);

        if (ngx_iv_utf8_char(trial, trial + sizeof(trial)) > n) {
            return n;
        }
    }

    return 1;
}


/* the code point of a valid character of n bytes */
static ngx_inline uint32_t
ngx_iv_utf8_code(const u_char *p, size_t n)
{
    uint32_t  v;

    if (n == 1) {
        return *p;
    }

    for (v = *p & (0x7f >> n); --n; /* void */) {
        v = v << 6 | (*++p & 0x3f);
    }

    return v;
}


#endif
