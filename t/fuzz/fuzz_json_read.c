/*
 * JSON from strangers: a tree that holds together, written and read again the
 * same.
 *
 * sources: src/formats/ngx_iv_json_read.c src/formats/ngx_iv_json.c
 *     src/formats/ngx_iv_date.c src/formats/ngx_iv_name.c
 *     src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_json.h"
#include "formats/ngx_iv_json_read.h"
#include "formats/ngx_iv_name.h"

#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


/* each string and each whole number, as an array */

static void
walk(ngx_iv_json_node_t *node, ngx_iv_json_t *out, ngx_uint_t depth)
{
    ngx_uint_t           n;
    ngx_iv_json_node_t  *child;

    if (depth > NGX_IV_JSON_READ_DEPTH
        || !ngx_iv_utf8_valid(node->key.data, node->key.len)
        || !ngx_iv_utf8_valid(node->str.data, node->str.len))
    {
        abort();
    }

    if (out && node->type == NGX_IV_JSON_STRING) {
        ngx_iv_json_str(out, NULL, &node->str);
    }

    if (out && node->type == NGX_IV_JSON_NUMBER && node->integer) {
        ngx_iv_json_int(out, NULL, node->num);
    }

    n = 0;

    for (child = node->first; child != NULL; child = child->next) {

        if (child->parent != node || (child->next == NULL
                                      && child != node->last))
        {
            abort();
        }

        walk(child, out, depth + 1);
        n++;
    }

    if (n != node->n) {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char              *copy;
    ngx_int_t            rc;
    ngx_str_t            text, again, third;
    ngx_pool_t          *pool;
    const char          *why;
    ngx_iv_json_t        out;
    ngx_iv_json_node_t  *root;

    pool = ngx_create_pool(4096, NULL);
    copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    text.data = copy;
    text.len = n;

    rc = ngx_iv_json_read(pool, &text, &root, &why);

    if ((rc == NGX_OK) != (root != NULL) || (rc == NGX_OK) != (why == NULL)) {
        abort();
    }

    if (rc == NGX_OK) {
        ngx_iv_json_init(&out, pool, 0);
        ngx_iv_json_array(&out, NULL);
        walk(root, &out, 0);
        ngx_iv_json_array_end(&out);

        if (ngx_iv_json_done(&out, &again) != NGX_OK
            || ngx_iv_json_read(pool, &again, &root, &why) != NGX_OK)
        {
            abort();
        }

        ngx_iv_json_init(&out, pool, 0);
        ngx_iv_json_array(&out, NULL);
        walk(root, &out, 0);
        ngx_iv_json_array_end(&out);

        if (ngx_iv_json_done(&out, &third) != NGX_OK
            || third.len != again.len
            || memcmp(third.data, again.data, again.len) != 0)
        {
            abort();
        }
    }

    free(copy);
    ngx_destroy_pool(pool);

    return 0;
}
