/*
 * Dates, without the C library's time zones.  Times are milliseconds or
 * seconds since 1970-01-01T00:00:00Z, proleptic Gregorian.
 */

#ifndef NGX_IV_DATE_H
#define NGX_IV_DATE_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_DATE_ISO_LEN  (sizeof("2026-11-21T03:04:05.678Z") - 1)
#define NGX_IV_DATE_AMZ_LEN  (sizeof("20261121T030405Z") - 1)

/* each writes exactly the length above, no NUL, and returns the end;
 * years outside 0000-9999 are clamped */
u_char *ngx_iv_date_iso(u_char *p, int64_t msec);
u_char *ngx_iv_date_amz(u_char *p, time_t sec);

/* HTTP's IMF-fixdate, "Sat, 21 Nov 2026 03:04:05 GMT" (RFC 9110 5.6.7), and
 * AWS's two forms "20261121T030405Z" and "2026-11-21T03:04:05Z".
 * NGX_OK or NGX_ERROR. */
ngx_int_t ngx_iv_date_parse_http(const ngx_str_t *s, time_t *sec);
ngx_int_t ngx_iv_date_parse_iso(const ngx_str_t *s, int64_t *msec);

/*
 * What clients send as a date, in any of these forms; NGX_OK or NGX_ERROR.
 *   2026-11-21T03:04:05.678+01:00   ISO 8601: seconds and fraction (1-9 digits)
 *                                   may be absent, a blank may stand for the T;
 *                                   Z, +01:00, +0100, +01; a time without an
 *                                   offset is refused, nobody knows its place
 *   20261121T030405Z                its basic form
 *   2026-11-21                      midnight UTC, as in ECMAScript
 *   Sat Nov 21 2026 03:04:05 GMT+0100 (Central European Standard Time)
 *                                   Date.prototype.toString()
 *   Sat, 21 Nov 2026 03:04:05 GMT   toUTCString(), HTTP
 *   1795230245678                   getTime(): exactly 13 digits
 * A blank in place of an offset's "+" is taken for one: so it arrives in a
 * query argument that was not escaped.
 */
ngx_int_t ngx_iv_date_parse_any(const ngx_str_t *s, int64_t *msec);


#endif
