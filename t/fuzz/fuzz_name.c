/*
 * Whatever the name, what is made of it is clean and comes back the same.
 *
 * sources: src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_name.h"

#include <stdlib.h>
#include <string.h>


#define MUST(cond)  if (!(cond)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
round_trip(ngx_pool_t *pool, const ngx_str_t *in)
{
    size_t     i;
    ngx_str_t  name, again, value, back;

    MUST(ngx_iv_name_clean(pool, in, &name) == NGX_OK);
    MUST(name.len > 0 && name.len <= NGX_IV_NAME_MAX);
    MUST(ngx_iv_utf8_valid(name.data, name.len));

    for (i = 0; i < name.len; i++) {
        MUST(name.data[i] >= 0x20 && name.data[i] != 0x7f
             && name.data[i] != '/' && name.data[i] != '\\');
    }

    MUST(ngx_iv_name_clean(pool, &name, &again) == NGX_OK);
    MUST(again.len == name.len
         && memcmp(again.data, name.data, name.len) == 0);

    MUST(ngx_iv_name_disposition(pool, "attachment", &name, &value) == NGX_OK);

    for (i = 0; i < value.len; i++) {
        MUST(value.data[i] >= 0x20 && value.data[i] < 0x7f);
    }

    MUST(ngx_iv_name_from_disposition(pool, &value, &back) == NGX_OK);
    MUST(back.len == name.len
         && memcmp(back.data, name.data, name.len) == 0);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char      *copy;
    ngx_int_t    rc;
    ngx_str_t    in, out;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(1024, NULL);

    copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    in.data = copy;
    in.len = n;

    round_trip(pool, &in);

    rc = ngx_iv_name_from_disposition(pool, &in, &out);
    MUST(rc == NGX_OK || rc == NGX_DECLINED);

    if (rc == NGX_OK) {
        MUST(out.len > 0);
        round_trip(pool, &out);
    }

    rc = ngx_iv_name_unescape(pool, &in, &out);
    MUST(rc == NGX_OK || rc == NGX_DECLINED);
    MUST(rc != NGX_OK || out.len <= n);

    /* any bytes may be put into a header: none of them gets out as it is */
    MUST(ngx_iv_name_disposition(pool, "inline", &in, &out) == NGX_OK);
    for (n = 0; n < out.len; n++) {
        MUST(out.data[n] >= 0x20 && out.data[n] < 0x7f);
    }

    MUST(memcmp(copy, p, in.len) == 0);

    free(copy);
    ngx_destroy_pool(pool);

    return 0;
}
