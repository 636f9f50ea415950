/*
 * Any bytes as S3's error document: what comes out is short, printable, and
 * has a verdict.
 *
 * sources: src/aws/ngx_iv_s3_error.c src/aws/ngx_iv_s3_xml.c
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdint.h>
#include <stdlib.h>

#include "aws/ngx_iv_s3_error.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(const ngx_str_t *s)
{
    size_t  i;

    if (s->len > 1024) {
        abort();
    }

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] > 0x7e) {
            abort();
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_int_t             rc;
    ngx_str_t             doc, text;
    ngx_uint_t            status;
    ngx_pool_t           *pool;
    ngx_iv_s3_error_t     e;
    ngx_iv_s3_verdict_t   v;

    static ngx_log_t      log;

    if (size < 2) {
        return 0;
    }

    status = data[0] << 8 | data[1];

    pool = ngx_create_pool(4096, &log);
    if (pool == NULL) {
        return 0;
    }

    doc.data = (u_char *) data + 2;
    doc.len = size - 2;

    rc = ngx_iv_s3_error_parse(pool, &doc, &e);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        abort();
    }

    if ((rc == NGX_OK) != (e.code.len != 0)) {
        abort();
    }

    check(&e.code);
    check(&e.message);
    check(&e.region);
    check(&e.endpoint);
    check(&e.server_time);
    check(&e.request_id);

    if (ngx_iv_s3_multi_created(pool, &doc, &text) == NGX_OK) {

        if (text.len == 0 || rc == NGX_OK) {
            abort();
        }

        check(&text);
    }

    if (ngx_iv_s3_multi_completed(pool, &doc, &text) == NGX_OK) {

        if (text.len == 0 || rc == NGX_OK) {
            abort();
        }

        check(&text);
    }

    ngx_iv_s3_error_judge(status, &e, &v);

    if (v.code <= 0 || v.code >= NGX_IV_CODE_LAST || v.hint == NULL) {
        abort();
    }

    ngx_destroy_pool(pool);

    return 0;
}
