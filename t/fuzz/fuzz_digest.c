/*
 * Digest headers: whatever comes is read within its bounds, and a refused
 * value leaves nothing behind.
 *
 * sources: src/formats/ngx_iv_digest.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_digest.h"

#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    ngx_int_t         rc;
    ngx_str_t         value;
    ngx_iv_digests_t  d, before;

    value.data = malloc(n ? n : 1);
    value.len = n;
    memcpy(value.data, p, n);

    memset(&d, 0, sizeof(d));
    before = d;

    rc = ngx_iv_digest_parse(&d, &value);

    if (rc != NGX_OK && memcmp(&d, &before, sizeof(d)) != 0) {
        abort();
    }

    if (rc == NGX_OK
        && (ngx_iv_digest_parse(&d, &value) != NGX_OK
            || ngx_iv_digest_check(&d, d.md5, d.sha256, d.sha512) != NGX_OK))
    {
        abort();
    }

    memset(&d, 0, sizeof(d));

    if (ngx_iv_digest_parse_md5(&d, &value) != NGX_OK
        && memcmp(&d, &before, sizeof(d)) != 0)
    {
        abort();
    }

    free(value.data);

    return 0;
}
