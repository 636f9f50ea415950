/*
 * A date that can be read is written and read the same again.
 *
 * sources: src/formats/ngx_iv_date.c
 */

#include "formats/ngx_iv_date.h"

#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char     *copy, text[NGX_IV_DATE_ISO_LEN];
    time_t      sec;
    int64_t     msec, back, number;
    ngx_str_t   s;

    copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    s.data = copy;
    s.len = n;

    (void) ngx_iv_date_parse_http(&s, &sec);

    if (ngx_iv_date_parse_iso(&s, &msec) == NGX_OK) {
        s.data = text;
        s.len = ngx_iv_date_iso(text, msec) - text;

        /* a leap second at the end of 9999 is the one that has no next */
        if (s.len != NGX_IV_DATE_ISO_LEN
            || ngx_iv_date_parse_iso(&s, &back) != NGX_OK
            || (back != msec && msec < 253402300800000))
        {
            abort();
        }
    }

    if (n >= 8) {
        memcpy(&number, p, 8);

        s.data = text;
        s.len = ngx_iv_date_iso(text, number) - text;
        if (ngx_iv_date_parse_iso(&s, &back) != NGX_OK) {
            abort();
        }

        s.len = ngx_iv_date_amz(text, number) - text;
        if (ngx_iv_date_parse_iso(&s, &back) != NGX_OK) {
            abort();
        }
    }

    free(copy);

    return 0;
}
