/*
 * sources: src/formats/ngx_iv_json_read.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_json_read.h"

#include <stdlib.h>


static ngx_pool_t          *pool;
static ngx_iv_json_node_t  *root;
static const char          *why;


static ngx_int_t
readn(const char *text, size_t n)
{
    ngx_int_t  rc;
    ngx_str_t  s;

    /* in a block of its own, so that a byte too far is seen */
    s.data = ngx_pnalloc(pool, n);
    s.len = n;
    memcpy(s.data, text, n);

    rc = ngx_iv_json_read(pool, &s, &root, &why);
    OK((rc == NGX_OK) == (why == NULL));
    OK((rc == NGX_OK) == (root != NULL));

    return rc;
}

#define READ(text)  readn(text, sizeof(text) - 1)


static void
test_good(void)
{
    ngx_iv_json_node_t  *n;

    EQ_INT(READ(" {\"a\": [1, -2.5e-3 ,true,false,null] ,\"b\":{},"
                "\"c\\u0064\":\"x\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20ac"
                "\\ud83d\\uDE00\xc3\xa9\", \"\":[[],{}]} \r\n\t"), NGX_OK);
    EQ_INT(root->type, NGX_IV_JSON_OBJECT);
    EQ_INT(root->n, 4);

    n = ngx_iv_json_get(root, "a");
    EQ_INT(n->type, NGX_IV_JSON_ARRAY);
    EQ_INT(n->n, 5);
    n = n->first;
    OK(n->type == NGX_IV_JSON_NUMBER && n->integer && n->num == 1);
    n = n->next;
    OK(n->type == NGX_IV_JSON_NUMBER && !n->integer);
    EQ_STR(n->str, "-2.5e-3");
    n = n->next;
    OK(n->type == NGX_IV_JSON_BOOL && n->num == 1);
    n = n->next;
    OK(n->type == NGX_IV_JSON_BOOL && n->num == 0);
    n = n->next;
    OK(n->type == NGX_IV_JSON_NULL && n->next == NULL);

    n = ngx_iv_json_get(root, "cd");
    EQ_STR(n->str, "x\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"
                   "\xc3\xa9");
    EQ_INT(ngx_iv_json_get(root, "")->n, 2);
    OK(ngx_iv_json_get(root, "x") == NULL);
    OK(ngx_iv_json_get(n, "x") == NULL);

    EQ_INT(READ("[]"), NGX_OK);
    EQ_INT(READ("\"x\""), NGX_OK);
    EQ_INT(READ("0"), NGX_OK);
    EQ_INT(READ("9223372036854775807"), NGX_OK);
    OK(root->integer && root->num == INT64_MAX);
    EQ_INT(READ("-9223372036854775808"), NGX_OK);
    OK(root->integer && root->num == INT64_MIN);
    EQ_INT(READ("9223372036854775808"), NGX_OK);
    OK(!root->integer);
    EQ_INT(READ("-9223372036854775809"), NGX_OK);
    OK(!root->integer);
    EQ_INT(READ("-0"), NGX_OK);
    OK(root->integer && root->num == 0);
    EQ_INT(READ("\x22\x7f\x22"), NGX_OK);
}


static void
test_whole(void)
{
    size_t  i;

    static const struct {
        const char  *text;
        ngx_uint_t   integer;
        int64_t      num;
    } numbers[] = {
        { "48.0", 1, 48 }, { "1154.000", 1, 1154 }, { "1e3", 1, 1000 },
        { "-2.5e+3", 1, -2500 }, { "4.80E1", 1, 48 }, { "1200e-2", 1, 12 },
        { "0.0", 1, 0 }, { "-0.00", 1, 0 }, { "0e99999999999", 1, 0 },
        { "0e-99999999999", 1, 0 }, { "0.001e3", 1, 1 }, { "10.0e-1", 1, 1 },
        { "100.00e-2", 1, 1 }, { "0.10e1", 1, 1 }, { "1.5e1", 1, 15 },
        { "48.5", 0, 0 }, { "1e-1", 0, 0 }, { "0.001e2", 0, 0 },
        { "10e-2", 0, 0 }, { "1.05e1", 0, 0 }, { "-0.1", 0, 0 },
        { "9007199254740993.0", 1, 9007199254740993 },
        { "9223372036854775807.0", 1, INT64_MAX },
        { "9223372036854775807.1", 0, 0 },
        { "9223372036854775808.0", 0, 0 },
        { "-9223372036854775808.0", 1, INT64_MIN },
        { "-922337203685477580.8e1", 1, INT64_MIN },
        { "-9223372036854775809e0", 0, 0 },
        { "9e18", 1, 9000000000000000000 }, { "1e19", 0, 0 },
        { "1e99999999999999999999", 0, 0 }, { "1e-99999999999999999999", 0, 0 }
    };

    for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        EQ_INT(readn(numbers[i].text, strlen(numbers[i].text)), NGX_OK);

        if (root->integer != numbers[i].integer
            || root->num != numbers[i].num)
        {
            fprintf(stderr, "    %s\n", numbers[i].text);
            OK(0);
        }
    }
}


static void
test_bad(void)
{
    size_t  i;

    static const char  *bad[] = {
        "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[1 2]",
        "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "{1:2}",
        "{\"a\":1 \"b\":2}", "{\"a\":1]", "[1}", "{,}", "1 2", "[] x", "nul",
        "nulL", "truefalse", "True", "+1", "01", "-", "-a", "1.", ".5", "1e",
        "1e+", "0x1", "1.e1", "NaN", "Infinity", "'a'", "\"", "\"a", "\"\\",
        "\"\\\"", "\"\\x\"", "\"\\u\"", "\"\\u12\"", "\"\\u12g4\"",
        "\"\\u0000\"", "\"\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"",
        "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\n\"", "\"\x1f\"", "\"\xff\"",
        "\"\xed\xa0\x80\"", "\"\xc3\"", "\xef\xbb\xbf[]", "[1]//x", "/**/1",
        "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "\"\\ud83d\\ude0\"",
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (readn(bad[i], strlen(bad[i])) != NGX_IV_MALFORMED_JSON) {
            fprintf(stderr, "    %s\n", bad[i]);
            OK(0);
        }
    }

    EQ_INT(READ("\"\0\""), NGX_IV_MALFORMED_JSON);
    EQ_INT(READ("[1]\0"), NGX_IV_MALFORMED_JSON);
}


static void
test_limits(void)
{
    char  *s, *p;
    int    i;

    s = malloc(NGX_IV_JSON_READ_SIZE + 16);

    EQ_INT(READ("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"), NGX_OK);
    EQ_INT(READ("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]"), NGX_IV_MALFORMED_JSON);

    memset(s, ' ', NGX_IV_JSON_READ_SIZE + 1);
    s[0] = '1';
    EQ_INT(readn(s, NGX_IV_JSON_READ_SIZE), NGX_OK);
    EQ_INT(readn(s, NGX_IV_JSON_READ_SIZE + 1), NGX_IV_MALFORMED_JSON);

    for (i = 0; i < 2; i++) {
        memset(s, '0', 2 * NGX_IV_JSON_READ_NODES + 2);
        for (p = s; p < s + 2 * (NGX_IV_JSON_READ_NODES + i); p += 2) {
            *p = ',';
        }
        s[0] = '[';
        s[2 * (NGX_IV_JSON_READ_NODES - 1 + i)] = ']';
        EQ_INT(readn(s, 2 * (NGX_IV_JSON_READ_NODES - 1 + i) + 1),
               i ? NGX_IV_MALFORMED_JSON : NGX_OK);
    }

    for (i = 0, p = s, *p++ = '{'; i < NGX_IV_JSON_READ_MEMBERS; i++) {
        p += sprintf(p, "%s\"k%d\":%d", i ? "," : "", i, i);
    }
    *p = '}';
    EQ_INT(readn(s, p - s + 1), NGX_OK);
    p += sprintf(p, ",\"x\":1}");
    EQ_INT(readn(s, p - s), NGX_IV_MALFORMED_JSON);

    free(s);
}


static void
test_memory(void)
{
    int        i;
    ngx_int_t  rc;
    ngx_str_t  text;

    ngx_str_set(&text, "{\"a\\n\":[\"b\\n\",1]}");

    for (i = 0; i < 20; i++) {
        iv_fail_alloc_after = i;
        rc = ngx_iv_json_read(pool, &text, &root, &why);
        iv_fail_alloc_after = -1;

        if (rc == NGX_OK) {
            break;
        }

        EQ_INT(rc, NGX_ERROR);
        OK(root == NULL);
    }

    EQ_INT(i, 6);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    RUN(test_good);
    RUN(test_whole);
    RUN(test_bad);
    RUN(test_limits);
    RUN(test_memory);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
