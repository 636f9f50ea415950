/*
 * Small pure helpers: hex, random bytes, constant time, ids.
 */

#include "base/ngx_iv_str.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>


ngx_uint_t
ngx_iv_equal(const ngx_str_t *a, const ngx_str_t *b)
{
    return a->len == b->len && ngx_memcmp(a->data, b->data, a->len) == 0;
}


ngx_int_t
ngx_iv_copy_str(ngx_pool_t *pool, ngx_str_t *dst, const ngx_str_t *src)
{
    if (src->len == 0) {
        ngx_str_null(dst);
        return NGX_OK;
    }

    dst->data = ngx_pnalloc(pool, src->len);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src->data, src->len);
    dst->len = src->len;

    return NGX_OK;
}


ngx_int_t
ngx_iv_copy_strs(ngx_pool_t *pool, ngx_str_t **dst, const ngx_str_t *src,
    ngx_uint_t n)
{
    ngx_str_t   *list;
    ngx_uint_t   i;

    *dst = NULL;

    if (n == 0) {
        return NGX_OK;
    }

    list = ngx_palloc(pool, n * sizeof(ngx_str_t));
    if (list == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (ngx_iv_copy_str(pool, &list[i], &src[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    *dst = list;

    return NGX_OK;
}


uint64_t
ngx_iv_fold(uint64_t h, const ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        h = (h ^ s->data[i]) * 0x100000001b3ull;
    }

    /* the end */

    return (h ^ 0x100) * 0x100000001b3ull;
}


ngx_uint_t
ngx_iv_equal_ct(const u_char *a, const u_char *b, size_t n)
{
    return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}


u_char *
ngx_iv_hex(u_char *dst, const u_char *src, size_t n)
{
    static const u_char  hex[] = "0123456789abcdef";

    while (n--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


static ngx_int_t
ngx_iv_hex_digit(u_char ch)
{
    if (ch >= '0' && ch <= '9') {
        return ch - '0';
    }

    ch |= 0x20;

    if (ch >= 'a' && ch <= 'f') {
        return ch - 'a' + 10;
    }

    return -1;
}


ngx_int_t
ngx_iv_unhex(u_char *dst, const u_char *src, size_t n)
{
    ngx_int_t  hi, lo;

    while (n--) {
        hi = ngx_iv_hex_digit(src[0]);
        lo = ngx_iv_hex_digit(src[1]);

        if (hi < 0 || lo < 0) {
            return NGX_DECLINED;
        }

        *dst++ = (u_char) (hi << 4 | lo);
        src += 2;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_random(u_char *p, size_t n)
{
    int  part;

    /* RAND_bytes() takes an int */

    while (n) {
        part = (n > 65536) ? 65536 : (int) n;

        if (RAND_bytes(p, part) != 1) {
            return NGX_ERROR;
        }

        p += part;
        n -= part;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_uuid(u_char *p)
{
    u_char  r[16];

    if (ngx_iv_random(r, sizeof(r)) != NGX_OK) {
        return NGX_ERROR;
    }

    r[6] = (r[6] & 0x0f) | 0x40;
    r[8] = (r[8] & 0x3f) | 0x80;

    p = ngx_iv_hex(p, r, 4);
    *p++ = '-';
    p = ngx_iv_hex(p, r + 4, 2);
    *p++ = '-';
    p = ngx_iv_hex(p, r + 6, 2);
    *p++ = '-';
    p = ngx_iv_hex(p, r + 8, 2);
    *p++ = '-';
    (void) ngx_iv_hex(p, r + 10, 6);

    return NGX_OK;
}


ngx_int_t
ngx_iv_object_id(u_char id[NGX_IV_ID_LEN], time_t now)
{
    u_char           seed[8];
    uint32_t         sec;

    static u_char    process[5];
    static uint32_t  counter;
    static ngx_pid_t pid;

    /* a fork must not go on with its parent's numbers */

    if (pid != ngx_pid) {

        if (ngx_iv_random(seed, sizeof(seed)) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_memcpy(process, seed, 5);
        counter = (uint32_t) seed[5] << 16 | (uint32_t) seed[6] << 8 | seed[7];
        pid = ngx_pid;
    }

    sec = (uint32_t) now;

    id[0] = (u_char) (sec >> 24);
    id[1] = (u_char) (sec >> 16);
    id[2] = (u_char) (sec >> 8);
    id[3] = (u_char) sec;

    ngx_memcpy(&id[4], process, 5);

    id[9] = (u_char) (counter >> 16);
    id[10] = (u_char) (counter >> 8);
    id[11] = (u_char) counter;

    counter = (counter + 1) & 0xffffff;

    return NGX_OK;
}


ngx_int_t
ngx_iv_parse_id(const ngx_str_t *s, u_char id[NGX_IV_ID_LEN])
{
    if (s->len != 2 * NGX_IV_ID_LEN) {
        return NGX_DECLINED;
    }

    return ngx_iv_unhex(id, s->data, NGX_IV_ID_LEN);
}


ngx_uint_t
ngx_iv_owner_valid(const ngx_str_t *owner)
{
    u_char  ch;
    size_t  i;

    if (owner->len == 0 || owner->len > 128) {
        return 0;
    }

    for (i = 0; i < owner->len; i++) {
        ch = owner->data[i];

        if ((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z')
            || (ch >= '0' && ch <= '9'))
        {
            continue;
        }

        if (ch == '\0' || ngx_strchr("._@:|+=-", ch) == NULL) {
            return 0;
        }
    }

    if (owner->data[0] == '.'
        && (owner->len == 1 || (owner->len == 2 && owner->data[1] == '.')))
    {
        return 0;
    }

    return 1;
}


void
ngx_iv_wipe(void *p, size_t n)
{
    if (n) {
        OPENSSL_cleanse(p, n);
    }
}
