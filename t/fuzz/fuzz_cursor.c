/*
 * Whatever a cursor is, it is refused or stands for itself: written anew it
 * means the same.
 *
 * sources: src/metadata/ngx_iv_cursor.c src/formats/ngx_iv_name.c
 *     src/formats/ngx_iv_hash.c src/formats/ngx_iv_hash_pair.c
 *     src/base/ngx_iv_str.c
 *
 * libs: -lcrypto
 */

#include "metadata/ngx_iv_metadata_lists.h"
#include "formats/ngx_iv_name.h"

#include <stdlib.h>
#include <string.h>


#define MUST(cond)  if (!(cond)) { abort(); }


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
as_it_is(ngx_pool_t *pool, ngx_iv_list_t *list, ngx_str_t *cursor)
{
    ngx_int_t           rc;
    ngx_str_t           again;
    ngx_iv_list_t       back;
    ngx_iv_document_t   doc;

    rc = ngx_iv_cursor_decode(pool, cursor, list);
    MUST(rc == NGX_OK || rc == NGX_IV_BAD_PARAMETER);
    MUST((rc == NGX_OK) == list->has_after);

    if (rc != NGX_OK) {
        return;
    }

    MUST(list->after.name.len <= NGX_IV_CURSOR_NAME);
    MUST(ngx_iv_utf8_valid(list->after.name.data, list->after.name.len));

    memset(&doc, 0, sizeof(doc));
    memcpy(doc.id, list->after.id, NGX_IV_ID_LEN);
    doc.size = list->after.number;
    doc.uploaded_at = list->after.number;
    doc.original_name = list->after.name;

    back = *list;
    back.has_after = 0;

    MUST(ngx_iv_cursor_encode(pool, list, &doc, &again) == NGX_OK);
    MUST(ngx_iv_cursor_decode(pool, &again, &back) == NGX_OK);
    MUST(back.after.number == list->after.number);
    MUST(memcmp(back.after.id, list->after.id, NGX_IV_ID_LEN) == 0);
    MUST(back.after.name.len == list->after.name.len);
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char             *copy;
    ngx_str_t           cursor;
    ngx_pool_t         *pool;
    ngx_iv_list_t       list;
    ngx_iv_document_t   doc;

    if (n < 1) {
        return 0;
    }

    pool = ngx_create_pool(1024, NULL);

    memset(&list, 0, sizeof(list));
    list.sort = p[0] % 3;
    list.desc = p[0] >> 4 & 1;

    copy = malloc(n);
    memcpy(copy, p + 1, n - 1);

    cursor.data = copy;
    cursor.len = n - 1;

    as_it_is(pool, &list, &cursor);

    /* the same bytes behind a head that holds */

    memset(&doc, 0, sizeof(doc));
    doc.original_name.data = copy;
    doc.original_name.len = n - 1;

    list.has_after = 0;

    if (ngx_iv_cursor_encode(pool, &list, &doc, &cursor) == NGX_OK) {
        cursor.data[cursor.len - 1] ^= p[0] >> 5;
        as_it_is(pool, &list, &cursor);
    }

    free(copy);
    ngx_destroy_pool(pool);

    return 0;
}
