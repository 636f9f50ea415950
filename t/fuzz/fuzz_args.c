/*
 * Any query string ends; what is taken for a type or a text is one.
 *
 * sources: src/formats/ngx_iv_args.c src/formats/ngx_iv_date.c
 *     src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_args.h"
#include "formats/ngx_iv_name.h"

#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
judge(ngx_pool_t *pool, const ngx_str_t *value)
{
    int64_t     number;
    ngx_str_t   type, again;
    ngx_uint_t  yes;

    if (ngx_iv_args_number(value, 100, &number) == NGX_OK && number < 0) {
        abort();
    }

    if (ngx_iv_args_type(pool, value, &type) == NGX_OK
        && (type.len != value->len
            || ngx_iv_args_type(pool, &type, &again) != NGX_OK
            || memcmp(type.data, again.data, type.len) != 0))
    {
        abort();
    }

    if (ngx_iv_args_text(value, 1024)
        && (value->len > 1024
            || !ngx_iv_utf8_valid(value->data, value->len)
            || memchr(value->data, '\0', value->len) != NULL))
    {
        abort();
    }

    (void) ngx_iv_args_bool(value, &yes);
    (void) ngx_iv_args_date(value, 1, &number);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t       left;
    u_char      *copy;
    ngx_int_t    rc;
    ngx_str_t    rest, name, value;
    ngx_pool_t  *pool;

    copy = malloc(n ? n : 1);
    memcpy(copy, p, n);

    pool = ngx_create_pool(4096, NULL);

    rest.data = copy;
    rest.len = n;

    for ( ;; ) {
        left = rest.len;
        rc = ngx_iv_args_next(pool, &rest, &name, &value);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc == NGX_ERROR || rest.len >= left) {
            abort();
        }

        if (rc == NGX_OK) {
            judge(pool, &value);
        }
    }

    ngx_destroy_pool(pool);
    free(copy);

    return 0;
}
