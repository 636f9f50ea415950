/*
 * sources: src/metadata/ngx_iv_cursor.c src/formats/ngx_iv_name.c
 *     src/formats/ngx_iv_hash.c src/formats/ngx_iv_hash_pair.c
 *     src/base/ngx_iv_str.c
 *
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "metadata/ngx_iv_metadata_lists.h"


static ngx_pool_t  *pool;


static void
fill(ngx_iv_list_t *list, ngx_iv_document_t *doc)
{
    memset(list, 0, sizeof(*list));
    memset(doc, 0, sizeof(*doc));

    ngx_str_set(&list->owner, "alice");
    list->status = NGX_IV_STATUS_READY;
    list->is_public = -1;
    list->limit = 20;
    list->desc = 1;

    memset(doc->id, 0xa7, NGX_IV_ID_LEN);
    doc->uploaded_at = 1700000000123LL;
    doc->size = 6000000000LL;
    ngx_str_set(&doc->original_name, "a \xc3\xa4.png");
}


static void
test_round_trip(void)
{
    int                 sort, desc;
    size_t              i;
    ngx_str_t           cursor;
    ngx_iv_list_t       list;
    ngx_iv_document_t   doc;

    for (sort = 0; sort < 3; sort++) {
        for (desc = 0; desc < 2; desc++) {
            fill(&list, &doc);
            list.sort = sort;
            list.desc = desc;

            EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);

            for (i = 0; i < cursor.len; i++) {
                OK(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvw"
                          "xyz0123456789-_", cursor.data[i]) != NULL);
            }

            list.limit = 7;
            EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list), NGX_OK);
            EQ_INT(list.has_after, 1);
            EQ_MEM(list.after.id, doc.id, NGX_IV_ID_LEN);

            if (sort == NGX_IV_SORT_NAME) {
                EQ_STR(list.after.name, "a \xc3\xa4.png");

            } else {
                EQ_INT(list.after.number, sort == NGX_IV_SORT_SIZE
                                          ? doc.size : doc.uploaded_at);
            }
        }
    }

    fill(&list, &doc);
    doc.uploaded_at = -5;
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);
    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list), NGX_OK);
    EQ_INT(list.after.number, -5);

    fill(&list, &doc);
    list.sort = NGX_IV_SORT_NAME;
    ngx_str_null(&doc.original_name);
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);
    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list), NGX_OK);
    EQ_INT(list.after.name.len, 0);
}


static void
test_other_list(void)
{
    int                 i;
    ngx_str_t           cursor;
    ngx_iv_list_t       list, other;
    ngx_iv_document_t   doc;

    static ngx_str_t  tags[] = {
        ngx_string("sea"), ngx_string("sand"), ngx_string("seasand")
    };

    fill(&list, &doc);
    list.tags = tags;
    list.ntags = 2;

    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);
    other = list;
    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &other), NGX_OK);

    for (i = 0; i < 13; i++) {
        other = list;

        switch (i) {
        case 0: ngx_str_set(&other.owner, "bob"); break;
        case 1: other.status = NGX_IV_STATUS_ERROR; break;
        case 2: other.is_public = 1; break;
        case 3: other.ntags = 1; break;
        case 4: other.tags = tags + 1; break;
        case 5: ngx_str_set(&other.q, "x"); break;
        case 6: ngx_str_set(&other.type, "x"); break;
        case 7: other.from = 1; break;
        case 8: other.to = 1; break;
        case 9: other.sort = NGX_IV_SORT_SIZE; break;
        case 10: other.desc = 0; break;
        case 11: other.deleted = 1; break;
        case 12: other.tags = tags + 2; other.ntags = 1; break;
        }

        EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &other),
               NGX_IV_BAD_PARAMETER);
        EQ_INT(other.has_after, 0);
    }
}


static void
test_hostile(void)
{
    u_char              buf[4096], ch;
    size_t              i, n;
    ngx_str_t           cursor, cut;
    ngx_iv_list_t       list;
    ngx_iv_document_t   doc;

    fill(&list, &doc);
    list.sort = NGX_IV_SORT_NAME;
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);

    /* what is cut keeps its head or is refused; the name may be shorter */

    for (n = 0; n < 30; n++) {
        cut.data = cursor.data;
        cut.len = ngx_min(n, 28);
        EQ_INT(ngx_iv_cursor_decode(pool, &cut, &list),
               NGX_IV_BAD_PARAMETER);
    }

    for (i = 0; i < 13; i++) {
        ch = cursor.data[i];
        cursor.data[i] = (ch == 'A') ? 'B' : 'A';
        EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list),
               NGX_IV_BAD_PARAMETER);
        cursor.data[i] = ch;
    }

    /* numbers have one length */

    fill(&list, &doc);
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);
    cursor.len -= 2;
    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list), NGX_IV_BAD_PARAMETER);

    memset(buf, 'A', sizeof(buf));
    cut.data = buf;
    cut.len = sizeof(buf);
    EQ_INT(ngx_iv_cursor_decode(pool, &cut, &list), NGX_IV_BAD_PARAMETER);

    ngx_str_set(&cut, "AQ==");
    EQ_INT(ngx_iv_cursor_decode(pool, &cut, &list), NGX_IV_BAD_PARAMETER);
    ngx_str_set(&cut, "{\"$gt\":\"\"}");
    EQ_INT(ngx_iv_cursor_decode(pool, &cut, &list), NGX_IV_BAD_PARAMETER);

    /* names that are none of ours */

    fill(&list, &doc);
    list.sort = NGX_IV_SORT_NAME;
    doc.original_name.data = buf;
    doc.original_name.len = NGX_IV_CURSOR_NAME;
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);
    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &list), NGX_OK);
    EQ_INT(list.after.name.len, NGX_IV_CURSOR_NAME);

    doc.original_name.len++;
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_DECLINED);
    ngx_str_set(&doc.original_name, "a\xff");
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_DECLINED);
}


static void
test_memory(void)
{
    int                 i;
    ngx_int_t           rc;
    ngx_str_t           cursor, back;
    ngx_pool_t         *small;
    ngx_iv_list_t       list;
    ngx_iv_document_t   doc;

    fill(&list, &doc);
    EQ_INT(ngx_iv_cursor_encode(pool, &list, &doc, &cursor), NGX_OK);

    for (i = 0; i < 20; i++) {
        small = ngx_create_pool(64, NULL);
        iv_fail_alloc_after = i;
        rc = ngx_iv_cursor_encode(small, &list, &doc, &back);

        if (rc == NGX_OK) {
            rc = ngx_iv_cursor_decode(small, &cursor, &list);
        }

        iv_fail_alloc_after = -1;
        OK(rc == NGX_ERROR || rc == NGX_OK);
        ngx_destroy_pool(small);

        if (rc == NGX_OK) {
            break;
        }
    }

    OK(i > 0 && i < 20);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    RUN(test_round_trip);
    RUN(test_other_list);
    RUN(test_hostile);
    RUN(test_memory);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
