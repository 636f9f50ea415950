/*
 * Any bytes as S3's lists: no more items than asked for, each with a key that
 * one can have.
 *
 * sources: src/aws/ngx_iv_s3_list.c src/aws/ngx_iv_s3_xml.c
 * sources: src/formats/ngx_iv_date.c
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include <stdint.h>
#include <stdlib.h>

#include "aws/ngx_iv_s3_list.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(ngx_int_t rc, const ngx_iv_s3_list_t *list, ngx_uint_t max)
{
    size_t      k;
    u_char      sum;
    ngx_uint_t  i;

    if (rc == NGX_DECLINED) {
        return;
    }

    if (rc != NGX_OK || list->nitems > max) {
        abort();
    }

    sum = 0;

    for (i = 0; i < list->nitems; i++) {

        if (list->items[i].key.len == 0
            || list->items[i].key.len > NGX_IV_S3_KEY_MAX
            || list->items[i].size < -1)
        {
            abort();
        }

        /* all of it is there */

        for (k = 0; k < list->items[i].key.len; k++) {
            sum ^= list->items[i].key.data[k];
        }

        for (k = 0; k < list->items[i].upload_id.len; k++) {
            sum ^= list->items[i].upload_id.data[k];
        }
    }

    for (k = 0; k < list->next_key.len; k++) {
        sum ^= list->next_key.data[k];
    }

    (void) sum;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ngx_str_t          doc;
    ngx_uint_t         max;
    ngx_pool_t        *pool;
    ngx_iv_s3_list_t   list;

    static ngx_log_t   log;

    if (size < 1) {
        return 0;
    }

    max = data[0] % 8;

    pool = ngx_create_pool(4096, &log);
    if (pool == NULL) {
        return 0;
    }

    doc.data = (u_char *) data + 1;
    doc.len = size - 1;

    check(ngx_iv_s3_list_objects(pool, &doc, max, &list), &list, max);
    check(ngx_iv_s3_list_uploads(pool, &doc, max, &list), &list, max);

    ngx_destroy_pool(pool);

    return 0;
}
