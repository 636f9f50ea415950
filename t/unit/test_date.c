/*
 * sources: src/formats/ngx_iv_date.c
 */

#include "iv_test.h"
#include "formats/ngx_iv_date.h"

#include <time.h>


static ngx_str_t
iso(int64_t msec)
{
    static u_char  b[NGX_IV_DATE_ISO_LEN + 1];
    ngx_str_t      s;

    b[NGX_IV_DATE_ISO_LEN] = '#';
    s.data = b;
    s.len = ngx_iv_date_iso(b, msec) - b;
    EQ_INT(b[NGX_IV_DATE_ISO_LEN], '#');

    return s;
}


static ngx_str_t
amz(time_t sec)
{
    static u_char  b[NGX_IV_DATE_AMZ_LEN + 1];
    ngx_str_t      s;

    b[NGX_IV_DATE_AMZ_LEN] = '#';
    s.data = b;
    s.len = ngx_iv_date_amz(b, sec) - b;
    EQ_INT(b[NGX_IV_DATE_AMZ_LEN], '#');

    return s;
}


static void
test_write(void)
{
    EQ_STR(iso(0), "1970-01-01T00:00:00.000Z");
    EQ_STR(iso(-1), "1969-12-31T23:59:59.999Z");
    EQ_STR(iso(-1000), "1969-12-31T23:59:59.000Z");
    EQ_STR(iso(1795230245678), "2026-11-21T03:04:05.678Z");
    EQ_STR(iso(951782400000), "2000-02-29T00:00:00.000Z");
    EQ_STR(iso(4107542400000), "2100-03-01T00:00:00.000Z");
    EQ_STR(iso(-62167219200000), "0000-01-01T00:00:00.000Z");
    EQ_STR(iso(-62167219200001), "0000-01-01T00:00:00.000Z");
    EQ_STR(iso(253402300799999), "9999-12-31T23:59:59.999Z");
    EQ_STR(iso(253402300800000), "9999-12-31T23:59:59.999Z");
    EQ_STR(iso(INT64_MAX), "9999-12-31T23:59:59.999Z");
    EQ_STR(iso(INT64_MIN), "0000-01-01T00:00:00.000Z");

    EQ_STR(amz(1795230245), "20261121T030405Z");
    EQ_STR(amz(0), "19700101T000000Z");
    EQ_STR(amz(INT64_MAX), "99991231T235959Z");
    EQ_STR(amz(INT64_MIN), "00000101T000000Z");
}


/* against the C library, over a thousand years and more */

static void
test_many(void)
{
    char        want[64];
    time_t      t, back;
    int64_t     msec;
    ngx_str_t   s;
    struct tm   tm;

    for (t = -62167219200LL; t < 253402300800LL; t += 86400LL * 97 + 12347) {
        gmtime_r(&t, &tm);
        snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02d.000Z",
                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
        s = iso((int64_t) t * 1000);
        EQ_MEM(s.data, want, NGX_IV_DATE_ISO_LEN);

        EQ_INT(ngx_iv_date_parse_iso(&s, &msec), NGX_OK);
        EQ_INT(msec, (int64_t) t * 1000);

        s = amz(t);
        EQ_INT(ngx_iv_date_parse_iso(&s, &msec), NGX_OK);
        EQ_INT(msec, (int64_t) t * 1000);

        strftime(want, sizeof(want), "%a, %d %b ", &tm);
        s.len = strlen(want);
        s.len += snprintf(want + s.len, sizeof(want) - s.len,
                          "%04d %02d:%02d:%02d GMT", tm.tm_year + 1900,
                          tm.tm_hour, tm.tm_min, tm.tm_sec);
        s.data = (u_char *) want;
        EQ_INT(ngx_iv_date_parse_http(&s, &back), NGX_OK);
        EQ_INT(back, t);
    }
}


static void
test_http(void)
{
    size_t     i;
    time_t     sec;
    ngx_str_t  s;

    static const char  *bad[] = {
        "", "Sat", "Sat, 21 Nov 2026 03:04:05 GMT ",
        "Sat, 21 Nov 2026 03:04:05",
        "Sun, 21 Nov 2026 03:04:05 GMT", "Sat, 31 Nov 2026 03:04:05 GMT",
        "Sat, 00 Nov 2026 03:04:05 GMT", "Sat, 21 nov 2026 03:04:05 GMT",
        "Sat, 21 Nov 2026 24:04:05 GMT", "Sat, 21 Nov 2026 03:60:05 GMT",
        "Sat, 21 Nov 2026 03:04:61 GMT", "Sat, 21 Nov 2026 03:04:05 UTC",
        "Sat, 21 Nov 2026 03:04-05 GMT", "Sat, 2a Nov 2026 03:04:05 GMT",
        "Sat; 21 Nov 2026 03:04:05 GMT", "Sat, 21 Nov 20-6 03:04:05 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "Thu, 29 Feb 2001 00:00:00 GMT",
    };

    ngx_str_set(&s, "Sun, 06 Nov 1994 08:49:37 GMT");      /* RFC 9110 */
    EQ_INT(ngx_iv_date_parse_http(&s, &sec), NGX_OK);
    EQ_INT(sec, 784111777);
    ngx_str_set(&s, "Sat, 31 Dec 2016 23:59:60 GMT");
    EQ_INT(ngx_iv_date_parse_http(&s, &sec), NGX_OK);
    EQ_INT(sec, 1483228800);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.data = (u_char *) bad[i];
        s.len = strlen(bad[i]);
        EQ_INT(ngx_iv_date_parse_http(&s, &sec), NGX_ERROR);
    }

    ngx_str_null(&s);
    EQ_INT(ngx_iv_date_parse_http(&s, &sec), NGX_ERROR);
}


static void
test_iso(void)
{
    size_t     i;
    int64_t    msec;
    ngx_str_t  s;

    static const struct {
        const char  *text;
        int64_t      msec;
    } good[] = {
        { "20261121T030405Z", 1795230245000 },
        { "2026-11-21T03:04:05Z", 1795230245000 },
        { "2026-11-21T03:04:05.678Z", 1795230245678 },
        { "2026-11-21T03:04:05.6Z", 1795230245600 },
        { "2026-11-21T03:04:05.678999999Z", 1795230245678 },
        { "2024-02-29T00:00:00Z", 1709164800000 },
    };

    static const char  *bad[] = {
        "", "2026-11-21", "2026-11-21T03:04:05", "2026-11-21T03:04:05z",
        "2026-11-21 03:04:05Z", "2026-11-21T03:04:05+00:00",
        "2026-11-21T03:04:05.Z", "2026-11-21T03:04:05.1234567890Z",
        "2026-11-21T03:04:05.67", "2026-11-21T03:04:05ZZ",
        "2026-13-21T03:04:05Z", "2026-00-21T03:04:05Z",
        "2026-02-29T03:04:05Z", "2100-02-29T03:04:05Z",
        "2026-11-21T03:04:0aZ", "20261121T030405X", "20261121X030405Z",
        "2026112aT030405Z", "20261121T250405Z", "-2026-11-21T03:04:05",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s.data = (u_char *) good[i].text;
        s.len = strlen(good[i].text);
        EQ_INT(ngx_iv_date_parse_iso(&s, &msec), NGX_OK);
        EQ_INT(msec, good[i].msec);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.data = (u_char *) bad[i];
        s.len = strlen(bad[i]);
        EQ_INT(ngx_iv_date_parse_iso(&s, &msec), NGX_ERROR);
    }
}


static void
test_any(void)
{
    size_t     i;
    int64_t    msec;
    ngx_str_t  s;

    static const struct {
        const char  *text;
        int64_t      msec;
    } good[] = {
        { "2026-11-21T03:04:05.678Z", 1795230245678 },
        { "20261121T030405Z", 1795230245000 },
        { "Sat, 21 Nov 2026 03:04:05 GMT", 1795230245000 },
        { "1795230245678", 1795230245678 },
        { "2026-11-21", 1795219200000 },
        { "2026-11-21T04:04:05.678+01:00", 1795230245678 },
        { "2026-11-21T04:04:05.678 01:00", 1795230245678 },
        { "2026-11-21 04:04:05+0100", 1795230245000 },
        { "2026-11-20t22:04:05-05", 1795230245000 },
        { "2026-11-21T03:04z", 1795230240000 },
        { "2026-11-21T08:34+05:30", 1795230240000 },
        { "2026-11-21T03:04:05.6789-00:00", 1795230245678 },
        { "Sat Nov 21 2026 04:04:05 GMT+0100 (Central European Standard Time)",
          1795230245000 },
        { "Sat Nov 21 2026 04:04:05 GMT+0100 (CET)", 1795230245000 },
        { "Sat Nov 21 2026 04:04:05 GMT+0100", 1795230245000 },
        { "Sat Nov 21 2026 04:04:05 GMT 0100", 1795230245000 },
        { "Fri Nov 20 2026 22:04:05 GMT-0500 (\xd0\xaf)", 1795230245000 },
    };

    static const char  *bad[] = {
        "", "2026", "2026-11-2", "2026-11-31", "2026-11-21T", "2026-13-01",
        "2026-11-21T03", "2026-11-21T03:04", "2026-11-21T03:04:05",
        "2026-11-21T03:04:05.678", "2026-11-21T03:04:05.Z",
        "2026-11-21T03:04:05+1", "2026-11-21T03:04:05+01:",
        "2026-11-21T03:04:05+01:0", "2026-11-21T03:04:05+24:00",
        "2026-11-21T03:04:05+01:60", "2026-11-21T03:04:05+01:00x",
        "2026-11-21T03:04:05ZZ", "2026-11-21T24:00:00+00:00",
        "2026-11-21T03:04:05+010", "2026-11-21T03:04:", "2026-11-21T03:04:0Z",
        "2026-11-21T03:04:05.+01:00", "2026-11-21x03:04Z",
        "1795230245", "17952302456789", "179523024567x", "Invalid Date",
        "Sun Nov 21 2026 04:04:05 GMT+0100", "Sat Nov 21 2026 04:04:05",
        "Sat Nov 21 2026 04:04:05 GMT+01", "Sat Nov 21 2026",
        "Sat Nov 21 2026 04:04:05 GMT+0100 CET",
        "Sat Nov 21 2026 04:04:05 GMT+0100 (", "Sat Nov 21 2026 04:04:05 UTC",
        "Sat Nov 21 2026 04:04:05 GMT+0100 ()x",
        "Sat Now 21 2026 04:04:05 GMT+0100", "11/21/2026, 4:04:05 AM",
        "0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "+012026-11-21T03:04:05Z",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        s.data = (u_char *) good[i].text;
        s.len = strlen(good[i].text);
        EQ_INT(ngx_iv_date_parse_any(&s, &msec), NGX_OK);
        EQ_INT(msec, good[i].msec);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s.data = (u_char *) bad[i];
        s.len = strlen(bad[i]);
        OK(ngx_iv_date_parse_any(&s, &msec) == NGX_ERROR);
        if (ngx_iv_date_parse_any(&s, &msec) != NGX_ERROR) {
            fprintf(stderr, "    %s\n", bad[i]);
        }
    }
}


int
main(void)
{
    RUN(test_write);
    RUN(test_many);
    RUN(test_http);
    RUN(test_iso);
    RUN(test_any);

    return iv_test_done();
}
