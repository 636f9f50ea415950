/*
 * Dates, without the C library's time zones.
 */

#include "formats/ngx_iv_date.h"


typedef struct {
    int64_t       year;
    ngx_uint_t    month;            /* 1-12 */
    ngx_uint_t    day;
    ngx_uint_t    hour;
    ngx_uint_t    min;
    ngx_uint_t    sec;
    ngx_uint_t    wday;             /* 0: Sunday */
} ngx_iv_date_t;


/* 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z */
#define NGX_IV_DATE_MIN  (-62167219200LL)
#define NGX_IV_DATE_MAX  253402300799LL

#define NGX_IV_DATE_HTTP_LEN  (sizeof("Sat, 21 Nov 2026 03:04:05 GMT") - 1)


static void ngx_iv_date_split(ngx_iv_date_t *d, int64_t sec);
static ngx_int_t ngx_iv_date_join(const ngx_iv_date_t *d, int64_t *sec);
static u_char *ngx_iv_date_put(u_char *p, uint64_t v, ngx_uint_t digits);
static ngx_int_t ngx_iv_date_get(const u_char *p, ngx_uint_t digits,
    ngx_uint_t *v);
static ngx_int_t ngx_iv_date_clock(const u_char *p, ngx_iv_date_t *d);
static ngx_int_t ngx_iv_date_fraction(const u_char **p, const u_char *last,
    ngx_uint_t *msec);
static ngx_uint_t ngx_iv_date_word(const u_char *p, const char *words,
    ngx_uint_t n);
static ngx_int_t ngx_iv_date_parse_long(const u_char *p, const u_char *last,
    int64_t *msec);
static ngx_int_t ngx_iv_date_time(const u_char *p, const u_char *last,
    ngx_iv_date_t *d, ngx_uint_t *msec, ngx_int_t *offset);
static ngx_int_t ngx_iv_date_js(const u_char *p, const u_char *last,
    ngx_iv_date_t *d, ngx_int_t *offset);
static ngx_int_t ngx_iv_date_offset(const u_char **p, const u_char *last,
    ngx_int_t *offset);


static const char  ngx_iv_date_months[] =
    "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char  ngx_iv_date_days[] = "SunMonTueWedThuFriSat";


u_char *
ngx_iv_date_iso(u_char *p, int64_t msec)
{
    int64_t        sec, ms;
    ngx_iv_date_t  d;

    sec = msec / 1000;
    ms = msec % 1000;

    if (ms < 0) {
        ms += 1000;
        sec--;
    }

    if (sec < NGX_IV_DATE_MIN) {
        sec = NGX_IV_DATE_MIN;
        ms = 0;

    } else if (sec > NGX_IV_DATE_MAX) {
        sec = NGX_IV_DATE_MAX;
        ms = 999;
    }

    ngx_iv_date_split(&d, sec);

    p = ngx_iv_date_put(p, d.year, 4);
    *p++ = '-';
    p = ngx_iv_date_put(p, d.month, 2);
    *p++ = '-';
    p = ngx_iv_date_put(p, d.day, 2);
    *p++ = 'T';
    p = ngx_iv_date_put(p, d.hour, 2);
    *p++ = ':';
    p = ngx_iv_date_put(p, d.min, 2);
    *p++ = ':';
    p = ngx_iv_date_put(p, d.sec, 2);
    *p++ = '.';
    p = ngx_iv_date_put(p, ms, 3);
    *p++ = 'Z';

    return p;
}


u_char *
ngx_iv_date_amz(u_char *p, time_t sec)
{
    ngx_iv_date_t  d;

    if (sec < NGX_IV_DATE_MIN) {
        sec = NGX_IV_DATE_MIN;

    } else if (sec > NGX_IV_DATE_MAX) {
        sec = NGX_IV_DATE_MAX;
    }

    ngx_iv_date_split(&d, sec);

    p = ngx_iv_date_put(p, d.year, 4);
    p = ngx_iv_date_put(p, d.month, 2);
    p = ngx_iv_date_put(p, d.day, 2);
    *p++ = 'T';
    p = ngx_iv_date_put(p, d.hour, 2);
    p = ngx_iv_date_put(p, d.min, 2);
    p = ngx_iv_date_put(p, d.sec, 2);
    *p++ = 'Z';

    return p;
}


ngx_int_t
ngx_iv_date_parse_http(const ngx_str_t *s, time_t *sec)
{
    int64_t         v;
    u_char         *p;
    ngx_uint_t      year, wday;
    ngx_iv_date_t   d;

    p = s->data;

    if (s->len != NGX_IV_DATE_HTTP_LEN
        || p[3] != ',' || p[4] != ' ' || p[7] != ' ' || p[11] != ' '
        || p[16] != ' ' || ngx_memcmp(p + 25, " GMT", 4) != 0)
    {
        return NGX_ERROR;
    }

    wday = ngx_iv_date_word(p, ngx_iv_date_days, 7);
    d.month = ngx_iv_date_word(p + 8, ngx_iv_date_months, 12) + 1;

    if (ngx_iv_date_get(p + 5, 2, &d.day) != NGX_OK
        || ngx_iv_date_get(p + 12, 4, &year) != NGX_OK
        || ngx_iv_date_clock(p + 17, &d) != NGX_OK)
    {
        return NGX_ERROR;
    }

    d.year = year;

    if (ngx_iv_date_join(&d, &v) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a leap second at midnight must not move the day */

    ngx_iv_date_split(&d, v - (int64_t) d.sec);

    if (wday != d.wday) {
        return NGX_ERROR;
    }

    *sec = (time_t) v;

    return NGX_OK;
}


/* which of n words of three letters; n: none */

static ngx_uint_t
ngx_iv_date_word(const u_char *p, const char *words, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        if (ngx_memcmp(p, words + 3 * i, 3) == 0) {
            break;
        }
    }

    return i;
}


/* "HH:MM:SS" */

static ngx_int_t
ngx_iv_date_clock(const u_char *p, ngx_iv_date_t *d)
{
    if (p[2] != ':' || p[5] != ':'
        || ngx_iv_date_get(p, 2, &d->hour) != NGX_OK
        || ngx_iv_date_get(p + 3, 2, &d->min) != NGX_OK
        || ngx_iv_date_get(p + 6, 2, &d->sec) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * "20261121T030405Z" or "2026-11-21T03:04:05Z", the second also with a
 * fraction of a second
 */

ngx_int_t
ngx_iv_date_parse_iso(const ngx_str_t *s, int64_t *msec)
{
    int64_t         sec;
    ngx_uint_t      year, ms;
    const u_char   *p, *last;
    ngx_iv_date_t   d;

    p = s->data;
    last = p + s->len;
    ms = 0;

    if (s->len == NGX_IV_DATE_AMZ_LEN) {

        if (p[8] != 'T' || p[15] != 'Z'
            || ngx_iv_date_get(p, 4, &year) != NGX_OK
            || ngx_iv_date_get(p + 4, 2, &d.month) != NGX_OK
            || ngx_iv_date_get(p + 6, 2, &d.day) != NGX_OK
            || ngx_iv_date_get(p + 9, 2, &d.hour) != NGX_OK
            || ngx_iv_date_get(p + 11, 2, &d.min) != NGX_OK
            || ngx_iv_date_get(p + 13, 2, &d.sec) != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else {

        if (s->len < sizeof("2026-11-21T03:04:05Z") - 1
            || p[4] != '-' || p[7] != '-' || p[10] != 'T'
            || ngx_iv_date_get(p, 4, &year) != NGX_OK
            || ngx_iv_date_get(p + 5, 2, &d.month) != NGX_OK
            || ngx_iv_date_get(p + 8, 2, &d.day) != NGX_OK
            || ngx_iv_date_clock(p + 11, &d) != NGX_OK)
        {
            return NGX_ERROR;
        }

        p += 19;

        if (*p == '.'
            && ngx_iv_date_fraction(&p, last, &ms) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (last - p != 1 || *p != 'Z') {
            return NGX_ERROR;
        }
    }

    d.year = year;

    if (ngx_iv_date_join(&d, &sec) != NGX_OK) {
        return NGX_ERROR;
    }

    *msec = sec * 1000 + (int64_t) ms;

    return NGX_OK;
}


ngx_int_t
ngx_iv_date_parse_any(const ngx_str_t *s, int64_t *msec)
{
    size_t       i;
    time_t       sec;
    int64_t      v;
    ngx_uint_t   n;

    if (s->len < sizeof("2026-11-21") - 1) {
        return NGX_ERROR;
    }

    if (s->len == 13) {

        /* getTime() from September 2001 to November 2286 */

        for (v = 0, i = 0; i < 13; i++) {
            if (ngx_iv_date_get(s->data + i, 1, &n) != NGX_OK) {
                break;
            }

            v = v * 10 + (int64_t) n;
        }

        if (i == 13) {
            *msec = v;
            return NGX_OK;
        }
    }

    if (ngx_iv_date_parse_iso(s, msec) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_iv_date_parse_http(s, &sec) == NGX_OK) {
        *msec = (int64_t) sec * 1000;
        return NGX_OK;
    }

    return ngx_iv_date_parse_long(s->data, s->data + s->len, msec);
}


/* dates with an offset, and days alone */

static ngx_int_t
ngx_iv_date_parse_long(const u_char *p, const u_char *last, int64_t *msec)
{
    int64_t         sec;
    ngx_int_t       offset;
    ngx_uint_t      year, ms;
    ngx_iv_date_t   d;

    ngx_memzero(&d, sizeof(ngx_iv_date_t));

    offset = 0;
    ms = 0;

    if (p[4] == '-') {

        if (p[7] != '-'
            || ngx_iv_date_get(p, 4, &year) != NGX_OK
            || ngx_iv_date_get(p + 5, 2, &d.month) != NGX_OK
            || ngx_iv_date_get(p + 8, 2, &d.day) != NGX_OK)
        {
            return NGX_ERROR;
        }

        d.year = year;

        if (last - p > 10
            && ngx_iv_date_time(p + 10, last, &d, &ms, &offset) != NGX_OK)
        {
            return NGX_ERROR;
        }

    } else if (ngx_iv_date_js(p, last, &d, &offset) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_iv_date_join(&d, &sec) != NGX_OK) {
        return NGX_ERROR;
    }

    sec -= (int64_t) offset * 60;

    if (sec < NGX_IV_DATE_MIN || sec > NGX_IV_DATE_MAX) {
        return NGX_ERROR;
    }

    *msec = sec * 1000 + (int64_t) ms;

    return NGX_OK;
}


/* "T03:04", ":05" and ".678" if they are there, and an offset */

static ngx_int_t
ngx_iv_date_time(const u_char *p, const u_char *last, ngx_iv_date_t *d,
    ngx_uint_t *msec, ngx_int_t *offset)
{
    if (last - p < 7
        || (*p != 'T' && *p != 't' && *p != ' ')
        || p[3] != ':'
        || ngx_iv_date_get(p + 1, 2, &d->hour) != NGX_OK
        || ngx_iv_date_get(p + 4, 2, &d->min) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p += 6;

    if (*p == ':') {

        if (last - p < 4 || ngx_iv_date_get(p + 1, 2, &d->sec) != NGX_OK) {
            return NGX_ERROR;
        }

        p += 3;

        if (*p == '.' && ngx_iv_date_fraction(&p, last, msec) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (last - p == 1 && (*p == 'Z' || *p == 'z')) {
        return NGX_OK;
    }

    if (ngx_iv_date_offset(&p, last, offset) != NGX_OK || p != last) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* "Sat Nov 21 2026 03:04:05 GMT+0100", and a name in parentheses */

static ngx_int_t
ngx_iv_date_js(const u_char *p, const u_char *last, ngx_iv_date_t *d,
    ngx_int_t *offset)
{
    int64_t         sec;
    ngx_uint_t      year, wday;
    ngx_iv_date_t   day;

    if (last - p < (ssize_t) sizeof("Sat Nov 21 2026 03:04:05 GMT+0100") - 1
        || p[3] != ' ' || p[7] != ' ' || p[10] != ' ' || p[15] != ' '
        || ngx_memcmp(p + 24, " GMT", 4) != 0
        || ngx_iv_date_get(p + 8, 2, &d->day) != NGX_OK
        || ngx_iv_date_get(p + 11, 4, &year) != NGX_OK
        || ngx_iv_date_clock(p + 16, d) != NGX_OK)
    {
        return NGX_ERROR;
    }

    wday = ngx_iv_date_word(p, ngx_iv_date_days, 7);
    d->month = ngx_iv_date_word(p + 4, ngx_iv_date_months, 12) + 1;
    d->year = year;

    /* the day of the week is the local one; a leap second is of no country */

    if (ngx_iv_date_join(d, &sec) != NGX_OK || d->sec > 59) {
        return NGX_ERROR;
    }

    ngx_iv_date_split(&day, sec);

    if (wday != day.wday) {
        return NGX_ERROR;
    }

    p += 28;

    if (ngx_iv_date_offset(&p, last, offset) != NGX_OK) {
        return NGX_ERROR;
    }

    if (p == last) {
        return NGX_OK;
    }

    /* the zone's name is in the browser's language */

    if (last - p < 3 || p[0] != ' ' || p[1] != '(' || last[-1] != ')') {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* +01:00, +0100 or +01, in minutes; +0100 may have lost its sign */

static ngx_int_t
ngx_iv_date_offset(const u_char **pos, const u_char *last, ngx_int_t *offset)
{
    ngx_uint_t     hour, min, minus;
    const u_char  *p;

    p = *pos;

    if (last - p < 3 || (*p != '+' && *p != '-' && *p != ' ')) {
        return NGX_ERROR;
    }

    minus = (*p == '-');
    min = 0;

    if (ngx_iv_date_get(p + 1, 2, &hour) != NGX_OK) {
        return NGX_ERROR;
    }

    p += 3;

    if (p < last && *p == ':') {
        p++;

        if (last - p < 2) {
            return NGX_ERROR;
        }
    }

    if (last - p >= 2 && p[0] != ' ') {

        if (ngx_iv_date_get(p, 2, &min) != NGX_OK) {
            return NGX_ERROR;
        }

        p += 2;
    }

    if (hour > 23 || min > 59) {
        return NGX_ERROR;
    }

    *offset = (ngx_int_t) (hour * 60 + min);

    if (minus) {
        *offset = -*offset;
    }

    *pos = p;

    return NGX_OK;
}


/* a dot and 1 to 9 digits, of which milliseconds count */

static ngx_int_t
ngx_iv_date_fraction(const u_char **p, const u_char *last, ngx_uint_t *msec)
{
    ngx_uint_t     i, ms;
    const u_char  *q;

    ms = 0;
    q = *p + 1;

    for (i = 0; q < last && *q >= '0' && *q <= '9'; i++, q++) {
        if (i < 3) {
            ms = ms * 10 + (*q - '0');
        }
    }

    if (i == 0 || i > 9) {
        return NGX_ERROR;
    }

    for ( /* void */ ; i < 3; i++) {
        ms *= 10;
    }

    *p = q;
    *msec = ms;

    return NGX_OK;
}


static u_char *
ngx_iv_date_put(u_char *p, uint64_t v, ngx_uint_t digits)
{
    ngx_uint_t  i;

    for (i = digits; i > 0; i--) {
        p[i - 1] = (u_char) ('0' + v % 10);
        v /= 10;
    }

    return p + digits;
}


static ngx_int_t
ngx_iv_date_get(const u_char *p, ngx_uint_t digits, ngx_uint_t *v)
{
    ngx_uint_t  n;

    for (n = 0; digits; digits--, p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        n = n * 10 + (*p - '0');
    }

    *v = n;

    return NGX_OK;
}


/*
 * Calendar arithmetic on years that begin with March, so that the leap day
 * is the last of its year; 400 years have 146097 days.
 */

static void
ngx_iv_date_split(ngx_iv_date_t *d, int64_t sec)
{
    int64_t  days, rest, era, doe, yoe, doy, m;

    days = sec / 86400;
    rest = sec % 86400;

    if (rest < 0) {
        rest += 86400;
        days--;
    }

    d->hour = (ngx_uint_t) (rest / 3600);
    d->min = (ngx_uint_t) (rest / 60 % 60);
    d->sec = (ngx_uint_t) (rest % 60);

    /* from 0000-03-01, which was a Wednesday; never negative but for the
     * first two months of the year 0 */

    days += 719468;
    d->wday = (ngx_uint_t) ((days + 7 * 146097 + 3) % 7);

    era = (days >= 0 ? days : days - 146096) / 146097;
    doe = days - era * 146097;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    m = (5 * doy + 2) / 153;

    d->day = (ngx_uint_t) (doy - (153 * m + 2) / 5 + 1);
    d->month = (ngx_uint_t) (m < 10 ? m + 3 : m - 9);
    d->year = yoe + era * 400 + (d->month <= 2);
}


static ngx_int_t
ngx_iv_date_join(const ngx_iv_date_t *d, int64_t *sec)
{
    int64_t     y, era, yoe, doy;
    ngx_uint_t  leap, length;

    static const u_char  lengths[] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };

    if (d->month < 1 || d->month > 12) {
        return NGX_ERROR;
    }

    leap = (d->year % 4 == 0 && d->year % 100 != 0) || d->year % 400 == 0;
    length = lengths[d->month - 1] + (d->month == 2 && leap);

    /* 60: a leap second, counted as the first of the next minute */

    if (d->day < 1 || d->day > length
        || d->hour > 23 || d->min > 59 || d->sec > 60)
    {
        return NGX_ERROR;
    }

    y = d->year - (d->month <= 2);
    era = (y >= 0 ? y : y - 399) / 400;
    yoe = y - era * 400;
    doy = (153 * ((int64_t) d->month + (d->month > 2 ? -3 : 9)) + 2) / 5
          + (int64_t) d->day - 1;

    *sec = (era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468)
           * 86400
           + (int64_t) (d->hour * 3600 + d->min * 60 + d->sec);

    return NGX_OK;
}
