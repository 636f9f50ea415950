/*
 * sources: src/formats/ngx_iv_cors.c
 */

#include "iv_test.h"
#include "formats/ngx_iv_cors.h"

#include <stdlib.h>


static ngx_pool_t       *pool;
static ngx_iv_origin_t   o;


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static ngx_int_t
parse(const char *text)
{
    ngx_str_t  s;

    s = str(text);
    memset(&o, 0xee, sizeof(o));

    return ngx_iv_origin_parse(&o, &s);
}


static void
test_parse(void)
{
    size_t  i;

    static const char  *good[][2] = {
        { "https://app.example.com", "https://app.example.com" },
        { "HTTPS://App.Example.COM", "https://app.example.com" },
        { "https://app.example.com:443", "https://app.example.com" },
        { "http://app.example.com:80", "http://app.example.com" },
        { "http://app.example.com:443", "http://app.example.com:443" },
        { "https://app.example.com:80", "https://app.example.com:80" },
        { "https://app.example.com:8443", "https://app.example.com:8443" },
        { "http://localhost:3000", "http://localhost:3000" },
        { "http://localhost:65535", "http://localhost:65535" },
        { "http://127.0.0.1:5173", "http://127.0.0.1:5173" },
        { "http://[::1]:8080", "http://[::1]:8080" },
        { "http://[2001:DB8::1]", "http://[2001:db8::1]" },
        { "https://[2001:db8::1]:443", "https://[2001:db8::1]" },
        { "https://xn--bcher-kva.example", "https://xn--bcher-kva.example" },
        { "https://a_b.example", "https://a_b.example" },
        { "capacitor://localhost", "capacitor://localhost" },
        { "chrome-extension://abcdefghijklmnop",
          "chrome-extension://abcdefghijklmnop" },
        { "capacitor://localhost:443", "capacitor://localhost:443" },
        { "a+b-c.1://x", "a+b-c.1://x" },
    };

    static const char  *bad[] = {
        "", "null", "NULL", "*", "https", "https:", "https:/", "https://",
        "://a", "//a", "a", "a.example", "https//a", "1http://a", "-x://a",
        "ht tp://a", "http://a/", "http://a/b", "http://a?b", "http://a#b",
        "http://u@a", "http://u:p@a", "http://a:", "http://a:0",
        "http://a:080", "http://a:65536", "http://a:123456", "http://a:8x",
        "http://a:-1", "http://a: 8", "http://a:80:80", " http://a",
        "http://a ", "http://a b", "http://a,http://b", "http://a http://b",
        "http://a, http://a", "http://.a", "http://a.", "http://a..b",
        "http://*.a.b", "http://*", "http://a*", "http://a%2eb",
        "http://b\xc3\xbc" "cher.example", "http://a\tb", "http://a\n",
        "http://a\r\nX: y", "http://a\\b", "http://[", "http://[]",
        "http://[:", "http://[::1", "http://[::1]x", "http://[::1]:",
        "http://[::1%eth0]", "http://[g::1]", "http://[::1]]", "http://a]",
        "http://[*::1]",
        "http://[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]",
        "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "a.example",
        "http://example.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa://a",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        EQ_INT(parse(good[i][0]), NGX_OK);
        iv_check_mem(o.text, o.len, good[i][1], strlen(good[i][1]), __FILE__,
                     __LINE__, good[i][0]);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        iv_check(parse(bad[i]) == NGX_DECLINED, __FILE__, __LINE__, bad[i]);
    }
}


/* bounds of the whole and of its parts */

static void
test_lengths(void)
{
    char    text[512];
    size_t  i;

    /* four labels of 62 and their dots: 251, then 252 … 254 */

    strcpy(text, "http://");

    for (i = 0; i < 4; i++) {
        memset(text + 7 + i * 63, 'a' + (int) i, 62);
        text[7 + i * 63 + 62] = '.';
    }

    strcpy(text + 7 + 251, "");
    EQ_INT(parse(text), NGX_OK);
    EQ_INT(o.host_len, 251);

    strcpy(text + 7 + 251, "d");
    EQ_INT(parse(text), NGX_OK);
    EQ_INT(o.host_len, 252);

    strcpy(text + 7 + 251, ".e");
    EQ_INT(parse(text), NGX_OK);
    EQ_INT(o.host_len, 253);

    strcpy(text + 7 + 251, ".ee");
    EQ_INT(parse(text), NGX_DECLINED);

    memset(text + 7, 'a', 400);
    text[407] = '\0';
    EQ_INT(parse(text), NGX_DECLINED);
}


static const char *
pattern(ngx_iv_origin_pattern_t *p, const char *text)
{
    ngx_str_t  s;

    s = str(text);
    memset(p, 0, sizeof(*p));

    return ngx_iv_origin_pattern(pool, p, &s);
}


static void
test_pattern(void)
{
    size_t                   i;
    ngx_iv_origin_pattern_t  p;

    static const char  *good[] = {
        "https://app.example.com", "HTTPS://APP.example.com:443",
        "http://localhost:3000", "http://127.0.0.1", "http://[::1]:3000",
        "https://*.example.com", "https://*.preview.example.com:8443",
        "https://app.*.example.com", "https://*.co.uk", "app://localhost",
        "https://*.1.example", "https://*.0.0.1a",
    };

    static const char  *bad[] = {
        "", "*", "null", "https://", "https://*", "https://*.com",
        "https://*:443", "https://*.com:443", "https://a*.example.com",
        "https://*a.example.com", "https://**.example.com",
        "https://*.*.example.com", "https://example.*",
        "https://www.example.*", "https://app.*.com", "*://a.example.com",
        "https://*.example.com/", "https://a.example.com:*",
        "*.example.com", "https://*.0.0.1", "https://*.168.0.1:80",
        "https://*..example.com", "https://.*.example.com",
        "https://[*]", "https://example.com/", "https://u@example.com",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        iv_check(pattern(&p, good[i]) == NULL, __FILE__, __LINE__, good[i]);
        OK(p.wildcard == (strchr(good[i], '*') != NULL));
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        iv_check(pattern(&p, bad[i]) != NULL, __FILE__, __LINE__, bad[i]);
    }

    iv_fail_alloc_after = 0;
    OK(pattern(&p, "https://app.example.com") != NULL);
    iv_fail_alloc_after = -1;
}


static ngx_uint_t
match(const char *listed, const char *origin)
{
    ngx_iv_origin_pattern_t  p;

    if (pattern(&p, listed) != NULL || parse(origin) != NGX_OK) {
        return 0;
    }

    return ngx_iv_origin_match(&p, &o);
}


static void
test_match(void)
{
    size_t  i;

    static const char  *same[][2] = {
        { "https://app.example.com", "https://app.example.com" },
        { "https://APP.example.com", "https://app.example.com" },
        { "https://app.example.com:443", "https://app.example.com" },
        { "https://app.example.com", "https://app.example.com:443" },
        { "http://localhost:3000", "http://localhost:3000" },
        { "https://*.pixelstream.app", "https://www.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a-1.pixelstream.app" },
        { "https://*.pixelstream.app:443", "https://a.pixelstream.app" },
        { "https://*.pixelstream.app:8443", "https://a.pixelstream.app:8443" },
        { "https://app.*.example.com", "https://app.eu.example.com" },
        { "https://*.pixelstream.app",
          "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaa.pixelstream.app" },
    };

    static const char  *other[][2] = {
        { "https://app.example.com", "http://app.example.com" },
        { "https://app.example.com", "https://app.example.com:8443" },
        { "https://app.example.com", "https://app.example.co" },
        { "https://app.example.com", "https://app.example.com.evil.test" },
        { "https://app.example.com", "https://xapp.example.com" },
        { "https://app.example.com", "https://example.com" },
        { "https://app.example.com", "null" },
        { "https://app.example.com", "https://appxexample.com" },
        { "https://*.pixelstream.app", "https://pixelstream.app" },
        { "https://*.pixelstream.app", "https://.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a.b.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a_b.pixelstream.app" },
        { "https://*.pixelstream.app", "https://evilpixelstream.app" },
        { "https://*.pixelstream.app", "https://evil.test/.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a.pixelstream.app.evil.test" },
        { "https://*.pixelstream.app", "http://a.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a.pixelstream.app:8443" },
        { "https://*.pixelstream.app", "https://*.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a@b.pixelstream.app" },
        { "https://*.pixelstream.app", "https://a:1.pixelstream.app" },
        { "https://app.*.example.com", "https://app.example.com" },
        { "https://app.*.example.com", "https://app.a.b.example.com" },
    };

    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        iv_check(match(same[i][0], same[i][1]) == 1, __FILE__, __LINE__,
                 same[i][1]);
    }

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        iv_check(match(other[i][0], other[i][1]) == 0, __FILE__, __LINE__,
                 other[i][1]);
    }
}


#define ALWAYS  "Content-Type, Content-Length, Authorization, "               \
                "Idempotency-Key, If-Match, Content-Digest, Repr-Digest"


static void
asked(const char *names, const char *want)
{
    ngx_str_t  s, value;

    s = str(names);

    EQ_INT(ngx_iv_cors_headers(pool, &s, &value), NGX_OK);
    iv_check_mem(value.data, value.len, want, strlen(want), __FILE__,
                 __LINE__, names);
}


static void
test_headers(void)
{
    char       names[8192];
    size_t     i;
    ngx_str_t  s, value;

    EQ_INT(ngx_iv_cors_headers(pool, NULL, &value), NGX_OK);
    OK(value.len == sizeof(ALWAYS) - 1
       && memcmp(value.data, ALWAYS, value.len) == 0);

    asked("", ALWAYS);
    asked("content-type,authorization", ALWAYS);
    asked("x-evil, content-type", ALWAYS);
    asked("x-amz-acl", ALWAYS ", x-amz-acl");
    asked(" X-Amz-Meta-A ,\t x-amz-date\t,", ALWAYS ", X-Amz-Meta-A, "
          "x-amz-date");
    asked("x-amz-a,,x-amz-b", ALWAYS ", x-amz-a, x-amz-b");
    asked("x-amz-", ALWAYS);
    asked("x-amz", ALWAYS);
    asked("xx-amz-a", ALWAYS);
    asked("x-amz-a b, x-amz-\"c\", x-amz-d:e, x-amz-\xff, x-amz-\x01, *",
          ALWAYS);
    asked("x-amz-a\r\nSet-Cookie: b", ALWAYS);

    /* a name of 64 bytes, and of 65 */

    strcpy(names, "x-amz-");
    memset(names + 6, 'n', 58);
    names[64] = '\0';
    s = str(names);
    EQ_INT(ngx_iv_cors_headers(pool, &s, &value), NGX_OK);
    EQ_INT(value.len, sizeof(ALWAYS) - 1 + 2 + 64);

    strcpy(names + 64, "n");
    asked(names, ALWAYS);

    /* 100 of the longest names: 32 are answered */

    for (i = 0; i < 100; i++) {
        memcpy(names + i * 65, "x-amz-", 6);
        memset(names + i * 65 + 6, 'n', 58);
        names[i * 65 + 64] = ',';
    }

    names[100 * 65] = '\0';
    s = str(names);
    EQ_INT(ngx_iv_cors_headers(pool, &s, &value), NGX_OK);
    EQ_INT(value.len, sizeof(ALWAYS) - 1 + 32 * 66);

    iv_fail_alloc_after = 0;
    EQ_INT(ngx_iv_cors_headers(pool, &s, &value), NGX_ERROR);
    iv_fail_alloc_after = -1;
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    RUN(test_parse);
    RUN(test_lengths);
    RUN(test_pattern);
    RUN(test_match);
    RUN(test_headers);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
