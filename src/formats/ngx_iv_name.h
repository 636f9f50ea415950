/*
 * File names: what a client calls an image, made safe to keep and to send
 * back.  RFC 6266 (Content-Disposition), RFC 8187 (ext-value), RFC 3629.
 * All results are in the given pool; nothing is written to the input.
 */

#ifndef NGX_IV_NAME_H
#define NGX_IV_NAME_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_NAME_MAX  255        /* bytes of UTF-8 */

/*
 * The last path part (of / and \), without control and bidirectional
 * characters, invalid UTF-8 replaced by U+FFFD, white space and dots at the
 * ends trimmed, cut to NGX_IV_NAME_MAX at a character, the extension kept;
 * "image" when nothing is left.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_iv_name_clean(ngx_pool_t *pool, const ngx_str_t *in,
    ngx_str_t *out);

/*
 * The filename of a Content-Disposition value: filename* before filename,
 * quoted strings unescaped, ext-values decoded (UTF-8, ISO-8859-1).  Not yet
 * cleaned.  NGX_OK; NGX_DECLINED: it has none; NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_name_from_disposition(ngx_pool_t *pool,
    const ngx_str_t *value, ngx_str_t *out);

/*
 * An ext-value of RFC 8187 (charset'language'percent-encoded, UTF-8 or
 * ISO-8859-1) as UTF-8.  dst has room for in->len bytes and may be in->data.
 * NGX_OK; NGX_DECLINED: it is none, or is empty; dst may be overwritten then.
 */
ngx_int_t ngx_iv_name_ext_decode(u_char *dst, const ngx_str_t *in,
    ngx_str_t *out);

/*
 * `inline; filename="…"; filename*=UTF-8''…` for a cleaned name: type is
 * "inline" or "attachment"; an ASCII fallback always, filename* when the name
 * needs it.  The result is pure printable ASCII.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_iv_name_disposition(ngx_pool_t *pool, const char *type,
    const ngx_str_t *name, ngx_str_t *out);

/*
 * Percent-decodes a query argument's value ('+' is a space).
 * NGX_OK; NGX_DECLINED: bad escape; NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_name_unescape(ngx_pool_t *pool, const ngx_str_t *in,
    ngx_str_t *out);

/* 1 if p is valid UTF-8 (no surrogates, no overlong forms, ≤ U+10FFFF) */
ngx_uint_t ngx_iv_utf8_valid(const u_char *p, size_t n);


#endif
