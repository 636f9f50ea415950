/*
 * sources: src/formats/ngx_iv_json.c src/formats/ngx_iv_date.c
 *     src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_json.h"


static ngx_pool_t  *pool;


/* a string of n bytes as JSON */

static ngx_str_t
text(const char *p, size_t n)
{
    ngx_str_t      s, out;
    ngx_iv_json_t  j;

    s.data = (u_char *) p;
    s.len = n;

    ngx_iv_json_init(&j, pool, 0);
    ngx_iv_json_str(&j, NULL, &s);
    ngx_str_null(&out);
    EQ_INT(ngx_iv_json_done(&j, &out), NGX_OK);

    return out;
}


#define TEXT(s)  text(s, sizeof(s) - 1)


static void
document(ngx_iv_json_t *j)
{
    ngx_str_t  s = ngx_string("photo.jpg");

    ngx_iv_json_object(j, NULL);
    ngx_iv_json_bool(j, "success", 1);
    ngx_iv_json_array(j, "images");
    ngx_iv_json_object(j, NULL);
    ngx_iv_json_str(j, "name", &s);
    ngx_iv_json_int(j, "size", INT64_MIN);
    ngx_iv_json_int(j, "max", INT64_MAX);
    ngx_iv_json_date(j, "at", 1795230245678);
    ngx_iv_json_hex(j, "md5", (u_char *) "\x00\xff\x1a", 3);
    ngx_iv_json_null(j, "expiresAt");
    ngx_iv_json_array(j, "tags");
    ngx_iv_json_array_end(j);
    ngx_iv_json_object_end(j);
    ngx_iv_json_cstr(j, NULL, "x");
    ngx_iv_json_bool(j, NULL, 0);
    ngx_iv_json_object(j, NULL);
    ngx_iv_json_object_end(j);
    ngx_iv_json_array_end(j);
    ngx_iv_json_int(j, "n", 0);
    ngx_iv_json_object_end(j);
}


#define DOCUMENT                                                              \
    "{\"success\":true,\"images\":[{\"name\":\"photo.jpg\","                  \
    "\"size\":-9223372036854775808,\"max\":9223372036854775807,"              \
    "\"at\":\"2026-11-21T03:04:05.678Z\",\"md5\":\"00ff1a\","                 \
    "\"expiresAt\":null,\"tags\":[]},\"x\",false,{}],\"n\":0}"


static void
test_document(void)
{
    size_t         hint;
    ngx_str_t      out;
    ngx_iv_json_t  j;

    for (hint = 0; hint < 600; hint += 37) {
        ngx_iv_json_init(&j, pool, hint);
        document(&j);
        EQ_INT(ngx_iv_json_done(&j, &out), NGX_OK);
        EQ_STR(out, DOCUMENT);
    }
}


static void
test_strings(void)
{
    size_t     i;
    char       many[3000];
    ngx_str_t  out;

    EQ_STR(text(NULL, 0), "\"\"");
    EQ_STR(TEXT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
    EQ_STR(TEXT("\n\r\t\b\f"), "\"\\n\\r\\t\\u0008\\u000c\"");
    EQ_STR(TEXT("\0\x1f\x7f"), "\"\\u0000\\u001f\\u007f\"");
    EQ_STR(TEXT("</script><//"), "\"<\\/script><\\//\"");
    EQ_STR(TEXT("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
           "\"\\u2028\\u2029\xe2\x80\xaa\"");
    EQ_STR(TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
           "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");

    /* what is no UTF-8: Unicode's own examples (table 3-8 and around it) */
#define R  "\xef\xbf\xbd"
    EQ_STR(TEXT("\xff"), "\"" R "\"");
    EQ_STR(TEXT("a\x80z"), "\"a" R "z\"");
    EQ_STR(TEXT("\xc0\xaf"), "\"" R R "\"");
    EQ_STR(TEXT("\xe0\x80\xaf"), "\"" R R R "\"");
    EQ_STR(TEXT("\xed\xa0\x80"), "\"" R R R "\"");
    EQ_STR(TEXT("\xf4\x90\x80\x80"), "\"" R R R R "\"");
    EQ_STR(TEXT("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf" "A"), "\"" R R R R "A\"");
    EQ_STR(TEXT("\xe2\x82"), "\"" R "\"");
    EQ_STR(TEXT("\xf0\x9f\x98"), "\"" R "\"");
    EQ_STR(TEXT("<\xff/"), "\"<" R "/\"");

    /* growth: every byte the longest way */
    memset(many, 1, sizeof(many));
    out = text(many, sizeof(many));
    EQ_INT(out.len, 6 * sizeof(many) + 2);

    for (i = 1; i + 7 <= out.len; i += 6) {
        if (memcmp(out.data + i, "\\u0001", 6) != 0) {
            break;
        }
    }

    EQ_INT(i, out.len - 1);
}


static void
test_misuse(void)
{
    int            i;
    ngx_str_t      out;
    ngx_iv_json_t  j;

#define MISUSE(calls)                                                         \
    ngx_iv_json_init(&j, pool, 10);                                           \
    calls;                                                                    \
    EQ_INT(ngx_iv_json_done(&j, &out), NGX_ERROR)

    MISUSE((void) 0);
    MISUSE(ngx_iv_json_object(&j, NULL));
    MISUSE(ngx_iv_json_object_end(&j));
    MISUSE(ngx_iv_json_int(&j, "key", 1));
    MISUSE(ngx_iv_json_int(&j, NULL, 1); ngx_iv_json_int(&j, NULL, 2));
    MISUSE(ngx_iv_json_object(&j, NULL); ngx_iv_json_array_end(&j));
    MISUSE(ngx_iv_json_array(&j, NULL); ngx_iv_json_object_end(&j));
    MISUSE(ngx_iv_json_object(&j, NULL); ngx_iv_json_null(&j, NULL);
           ngx_iv_json_object_end(&j));
    MISUSE(ngx_iv_json_array(&j, NULL); ngx_iv_json_null(&j, "a");
           ngx_iv_json_array_end(&j));
    MISUSE(ngx_iv_json_object(&j, NULL); ngx_iv_json_object_end(&j);
           ngx_iv_json_object_end(&j));
    MISUSE(for (i = 0; i < 65; i++) { ngx_iv_json_array(&j, NULL); }
           for (i = 0; i < 65; i++) { ngx_iv_json_array_end(&j); });

    ngx_iv_json_init(&j, pool, 10);
    for (i = 0; i < 64; i++) {
        ngx_iv_json_array(&j, NULL);
    }
    for (i = 0; i < 64; i++) {
        ngx_iv_json_array_end(&j);
    }
    EQ_INT(ngx_iv_json_done(&j, &out), NGX_OK);
    EQ_INT(out.len, 128);
}


static void
test_no_memory(void)
{
    int            i;
    ngx_int_t      rc;
    ngx_str_t      out;
    ngx_iv_json_t  j;

    for (i = 0, rc = NGX_ERROR; i < 50 && rc != NGX_OK; i++) {
        iv_fail_alloc_after = i;
        ngx_iv_json_init(&j, pool, 0);
        document(&j);
        rc = ngx_iv_json_done(&j, &out);
        iv_fail_alloc_after = -1;
    }

    OK(i > 2 && i < 50);
    EQ_STR(out, DOCUMENT);
}


int
main(void)
{
    pool = ngx_create_pool(1024, NULL);

    RUN(test_document);
    RUN(test_strings);
    RUN(test_misuse);
    RUN(test_no_memory);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
