/*
 * sources: src/formats/ngx_iv_args.c src/formats/ngx_iv_date.c
 *     src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_args.h"


static ngx_pool_t  *pool;


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


/* all arguments as name=value; what is escaped badly ends with "!" */

static ngx_str_t
joined(const char *query)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   rest, name, value, s;

    static u_char  buf[4096];

    rest = str(query);
    p = buf;

    while ((rc = ngx_iv_args_next(pool, &rest, &name, &value)) != NGX_DONE) {

        if (rc == NGX_ERROR) {
            break;
        }

        p = ngx_cpymem(p, name.data, name.len);
        *p++ = '=';

        if (rc == NGX_DECLINED) {
            *p++ = '!';

        } else {
            p = ngx_cpymem(p, value.data, value.len);
        }

        *p++ = ';';
    }

    s.data = buf;
    s.len = p - buf;

    return s;
}


static void
test_next(void)
{
    EQ_STR(joined(""), "");
    EQ_STR(joined("&"), "");
    EQ_STR(joined("&&a=1&&b=2&"), "a=1;b=2;");
    EQ_STR(joined("a"), "a=;");
    EQ_STR(joined("a=&b"), "a=;b=;");
    EQ_STR(joined("=1&a=1"), "a=1;");
    EQ_STR(joined("a=b=c"), "a=b=c;");
    EQ_STR(joined("%61=%62+c&d+e=%26%3D"), "a=b c;d e=&=;");
    EQ_STR(joined("a=%z&b=%4&c=%&d=1"), "a=!;b=!;c=!;d=1;");
    EQ_STR(joined("%z=1&%=2&c=3"), "c=3;");
}


static void
test_next_memory(void)
{
    ngx_str_t  rest, name, value;

    rest = str("a=1");
    iv_fail_alloc_after = 0;
    EQ_INT(ngx_iv_args_next(pool, &rest, &name, &value), NGX_ERROR);

    rest = str("a=1");
    iv_fail_alloc_after = 1;
    EQ_INT(ngx_iv_args_next(pool, &rest, &name, &value), NGX_ERROR);

    iv_fail_alloc_after = -1;
}


static int64_t
number(const char *text, int64_t max)
{
    int64_t    n;
    ngx_str_t  s;

    s = str(text);

    return ngx_iv_args_number(&s, max, &n) == NGX_OK ? n : -1;
}


static void
test_number(void)
{
    ngx_uint_t  i;

    static const char  *bad[] = {
        "", " 1", "1 ", "+1", "-1", "1.0", "1e1", "0x1", "a", "1\xc2\xb2"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EQ_INT(number(bad[i], 100), -1);
    }

    EQ_INT(number("0", 100), 0);
    EQ_INT(number("000", 100), 0);
    EQ_INT(number("007", 100), 7);
    EQ_INT(number("99", 100), 99);
    EQ_INT(number("100", 100), 100);
    OK(number("101", 100) > 100);
    OK(number("9", 5) > 5);
    OK(number("99999", 5) > 5);
    OK(number("18446744073709551617", 100) > 100);
    OK(number("100000000000000000000000000000000000000000", 100) > 100);
    EQ_INT(number("9223372036854775806", INT64_MAX - 1), INT64_MAX - 1);
    OK(number("9223372036854775808", INT64_MAX - 1) == INT64_MAX);
}


static ngx_int_t
yes(const char *text)
{
    ngx_str_t   s;
    ngx_uint_t  v;

    s = str(text);

    return ngx_iv_args_bool(&s, &v) == NGX_OK ? (ngx_int_t) v : -1;
}


static void
test_limit(void)
{
    ngx_str_t   s;
    ngx_uint_t  i, n;

    static const struct {
        const char  *text;
        ngx_uint_t   limit;         /* 0: refused */
    } cases[] = {
        { "1", 1 }, { "20", 20 }, { "100", 100 }, { "007", 7 },
        { "101", 100 }, { "99999999999999999999999", 100 },
        { "", 0 }, { "0", 0 }, { "00", 0 }, { "-1", 0 }, { "+1", 0 },
        { "1.0", 0 }, { " 1", 0 }, { "1e2", 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s = str(cases[i].text);
        n = 0;

        EQ_INT(ngx_iv_args_limit(&s, 100, &n),
               cases[i].limit ? NGX_OK : NGX_DECLINED);
        EQ_INT(n, cases[i].limit);
    }
}


static void
test_bool(void)
{
    EQ_INT(yes("1"), 1);
    EQ_INT(yes("TRUE"), 1);
    EQ_INT(yes("on"), 1);
    EQ_INT(yes("Yes"), 1);
    EQ_INT(yes("0"), 0);
    EQ_INT(yes("false"), 0);
    EQ_INT(yes("OFF"), 0);
    EQ_INT(yes("no"), 0);
    EQ_INT(yes(""), -1);
    EQ_INT(yes("2"), -1);
    EQ_INT(yes("truer"), -1);
    EQ_INT(yes("tru"), -1);
}


static void
test_word(void)
{
    ngx_str_t  s;

    static const char *const  words[] = { "asc", "desc", NULL };

    s = str("asc");
    EQ_INT(ngx_iv_args_word(&s, words), 0);
    s = str("desc");
    EQ_INT(ngx_iv_args_word(&s, words), 1);
    s = str("des");
    EQ_INT(ngx_iv_args_word(&s, words), NGX_DECLINED);
    s = str("ASC");
    EQ_INT(ngx_iv_args_word(&s, words), NGX_DECLINED);
    s = str("");
    EQ_INT(ngx_iv_args_word(&s, words), NGX_DECLINED);
    s = str("descx");
    EQ_INT(ngx_iv_args_word(&s, words), NGX_DECLINED);
}


static ngx_str_t
type(const char *text)
{
    ngx_str_t  s, t;

    s = str(text);

    if (ngx_iv_args_type(pool, &s, &t) != NGX_OK) {
        return str("-");
    }

    return t;
}


static void
test_type(void)
{
    char        text[129];
    ngx_str_t   s, t;
    ngx_uint_t  i;

    static const char  *bad[] = {
        "", "/", "image", "image/", "/png", "a//b", "a/b/c", "image/*",
        "image/png;q=1", "image/png ", " image/png", "im age/png",
        "image/p\x01", "image/\xc3\xbc", "image/\"png\""
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EQ_STR(type(bad[i]), "-");
    }

    EQ_STR(type("image/png"), "image/png");
    EQ_STR(type("IMAGE/Svg+XML"), "image/svg+xml");

    memset(text, 'x', sizeof(text));
    text[1] = '/';
    text[127] = '\0';
    EQ_INT(type(text).len, 127);
    text[127] = 'x';
    text[128] = '\0';
    EQ_STR(type(text), "-");

    s.data = (u_char *) "image/p\0g";
    s.len = 9;
    EQ_INT(ngx_iv_args_type(pool, &s, &t), NGX_DECLINED);

    s = str("image/png");
    iv_fail_alloc_after = 0;
    EQ_INT(ngx_iv_args_type(pool, &s, &t), NGX_ERROR);
    iv_fail_alloc_after = -1;
}


static int64_t
date(const char *text, ngx_uint_t whole_day)
{
    int64_t    msec;
    ngx_str_t  s;

    s = str(text);

    return ngx_iv_args_date(&s, whole_day, &msec) == NGX_OK ? msec : -2;
}


static void
test_date(void)
{
    EQ_INT(date("1970-01-02", 0), 86400000);
    EQ_INT(date("1970-01-02", 1), 2 * 86400000 - 1);
    EQ_INT(date("1970-01-02T00:00:00Z", 1), 86400000);
    EQ_INT(date("1970-01-02T01:00:00 01:00", 0), 86400000);
    EQ_INT(date("1970-01-32", 1), -2);
    EQ_INT(date("yesterday", 1), -2);
    EQ_INT(date("", 1), -2);
}


static ngx_uint_t
text(const char *value, size_t max)
{
    ngx_str_t  s;

    s = str(value);

    return ngx_iv_args_text(&s, max);
}


static void
test_text(void)
{
    ngx_str_t  s;

    EQ_INT(text("", 0), 1);
    EQ_INT(text("abc", 3), 1);
    EQ_INT(text("abcd", 3), 0);
    EQ_INT(text("\xc3\xbc", 2), 1);
    EQ_INT(text("\xc3", 2), 0);
    EQ_INT(text("\xed\xa0\x80", 9), 0);
    EQ_INT(text("\x7f", 9), 0);
    EQ_INT(text("\xc2\x85", 9), 0);
    EQ_INT(text("a\n", 9), 0);

    s.data = (u_char *) "a\0b";
    s.len = 3;
    EQ_INT(ngx_iv_args_text(&s, 9), 0);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    RUN(test_next);
    RUN(test_next_memory);
    RUN(test_number);
    RUN(test_limit);
    RUN(test_bool);
    RUN(test_word);
    RUN(test_type);
    RUN(test_date);
    RUN(test_text);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
