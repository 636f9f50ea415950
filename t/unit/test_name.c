/*
 * sources: src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_name.h"


static ngx_pool_t  *pool;


static ngx_str_t
clean(const char *p, size_t n)
{
    ngx_str_t  in, out, again;

    in.data = (u_char *) p;
    in.len = n;

    EQ_INT(ngx_iv_name_clean(pool, &in, &out), NGX_OK);
    OK(ngx_iv_utf8_valid(out.data, out.len));
    OK(out.len && out.len <= NGX_IV_NAME_MAX);

    /* cleaning what is clean changes nothing */
    EQ_INT(ngx_iv_name_clean(pool, &out, &again), NGX_OK);
    OK(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);

    return out;
}


#define CLEAN(s)  clean(s, sizeof(s) - 1)


static void
test_clean(void)
{
    EQ_STR(CLEAN("photo.jpg"), "photo.jpg");
    EQ_STR(CLEAN("../../etc/passwd"), "passwd");
    EQ_STR(CLEAN("C:\\photos\\a.jpg"), "a.jpg");
    EQ_STR(CLEAN("a/b\\c"), "c");
    EQ_STR(CLEAN("a/"), "image");
    EQ_STR(CLEAN(""), "image");
    EQ_STR(clean(NULL, 0), "image");
    EQ_STR(CLEAN(".."), "image");
    EQ_STR(CLEAN(" . . "), "image");
    EQ_STR(CLEAN("  .hidden. "), "hidden");
    EQ_STR(CLEAN("a\r\nb\0c\x7f.png"), "abc.png");
    EQ_STR(CLEAN("\xc2\x85x\xc2\x9f"), "x");
    EQ_STR(CLEAN("gpj.\xe2\x80\xae" "exe"), "gpj.exe");
    EQ_STR(CLEAN("\xef\xbb\xbf" "bom.png"), "bom.png");
    EQ_STR(CLEAN("\xe2\x81\xa6x\xe2\x81\xa9"), "x");
    EQ_STR(CLEAN("\xff.png"), "\xef\xbf\xbd.png");
    EQ_STR(CLEAN("sommer \xc3\xa9t\xc3\xa9 \xf0\x9f\x8c\x85.jpg"),
           "sommer \xc3\xa9t\xc3\xa9 \xf0\x9f\x8c\x85.jpg");
    EQ_STR(CLEAN("\"quoted\".jpg"), "\"quoted\".jpg");
}


static void
test_long(void)
{
    char       in[4000];
    size_t     i;
    ngx_str_t  out;

    memset(in, 'a', sizeof(in));
    out = clean(in, 255);
    EQ_INT(out.len, 255);
    out = clean(in, 256);
    EQ_INT(out.len, 255);
    out = clean(in, 4000);
    EQ_INT(out.len, 255);

    memcpy(in + 3996, ".png", 4);
    out = clean(in, 4000);
    EQ_INT(out.len, 255);
    EQ_MEM(out.data + 250, "a.png", 5);

    /* the last dot is too far away to begin an extension */
    memset(in, 'a', sizeof(in));
    in[3000] = '.';
    out = clean(in, 4000);
    EQ_INT(out.len, 255);
    EQ_INT(out.data[254], 'a');

    /* cut between characters, whatever their phase */
    for (i = 0; i < 4; i++) {
        size_t  n;

        memset(in, 'b', i);
        for (n = i; n < 400 + i; n += 4) {
            memcpy(in + n, "\xf0\x9f\x8c\x85", 4);
        }
        memcpy(in + n, ".jpeg", 5);
        out = clean(in, n + 5);
        OK(out.len > 251);
        EQ_MEM(out.data + out.len - 5, ".jpeg", 5);
    }

    /* spaces and dots at the cut */
    memset(in, '.', 400);
    in[0] = 'x';
    memcpy(in + 400, "y.png", 5);
    EQ_STR(clean(in, 405), "x.png");

    /* invalid bytes grow threefold */
    memset(in, 0xff, sizeof(in));
    out = clean(in, 4000);
    EQ_INT(out.len, 255);
}


static ngx_str_t
from(const char *value, ngx_int_t want)
{
    ngx_str_t  in, out;

    in.data = (u_char *) value;
    in.len = strlen(value);
    EQ_INT(ngx_iv_name_from_disposition(pool, &in, &out), want);

    return out;
}


static void
test_from_disposition(void)
{
    /* RFC 6266 5 and RFC 8187 3.2.3 */
    EQ_STR(from("Attachment; filename=example.html", NGX_OK), "example.html");
    EQ_STR(from("INLINE; FILENAME= \"an example.html\"", NGX_OK),
           "an example.html");
    EQ_STR(from("attachment; filename*= UTF-8''%e2%82%ac%20rates", NGX_OK),
           "\xe2\x82\xac rates");
    EQ_STR(from("attachment; filename=\"EURO rates\"; "
                "filename*=utf-8''%e2%82%ac%20rates", NGX_OK),
           "\xe2\x82\xac rates");
    EQ_STR(from("attachment; filename*=utf-8''%e2%82%ac%20rates; "
                "filename=\"EURO rates\"", NGX_OK), "\xe2\x82\xac rates");
    EQ_STR(from("a; filename*=iso-8859-1'en'%A3%20rates", NGX_OK),
           "\xc2\xa3 rates");

    /* a filename* that can't be read leaves the other one */
    EQ_STR(from("a; filename=x; filename*=utf-16''%00a", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=utf-8''%zz", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=utf-8''%e2%82", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=utf-8''%e", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=utf-8''", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=utf-8", NGX_OK), "x");
    EQ_STR(from("a; filename=x; filename*=", NGX_OK), "x");

    EQ_STR(from("form-data; name=\"a;b\"; filename=\"x;y.png\"", NGX_OK),
           "x;y.png");
    EQ_STR(from("a; filename=\"a\\\"b\\\\c\"", NGX_OK), "a\"b\\c");
    EQ_STR(from("a; filename=\"C:\\photos\\a.jpg\"", NGX_OK),
           "C:\\photos\\a.jpg");
    EQ_STR(from("a; filename=\"open", NGX_OK), "open");
    EQ_STR(from("a; filename=\"open\\", NGX_OK), "open\\");
    EQ_STR(from("a;filename=x.png  ;y=z", NGX_OK), "x.png");
    EQ_STR(from("a; filename=first; filename=second", NGX_OK), "first");
    EQ_STR(from("a;; ; filename = x", NGX_OK), "x");

    (void) from("", NGX_DECLINED);
    (void) from("attachment", NGX_DECLINED);
    (void) from("attachment;", NGX_DECLINED);
    (void) from("filename=x", NGX_DECLINED);
    (void) from("a; filename", NGX_DECLINED);
    (void) from("a; filename=", NGX_DECLINED);
    (void) from("a; filename=\"\"", NGX_DECLINED);
    (void) from("a; xfilename=x; filenam=y", NGX_DECLINED);
}


static ngx_str_t
disposition(const char *type, const char *p, size_t n)
{
    size_t     i;
    ngx_str_t  in, out, back;

    in.data = (u_char *) p;
    in.len = n;
    EQ_INT(ngx_iv_name_disposition(pool, type, &in, &out), NGX_OK);

    for (i = 0; i < out.len; i++) {
        OK(out.data[i] >= 0x20 && out.data[i] < 0x7f);
    }

    if (ngx_iv_utf8_valid(in.data, in.len) && n) {
        EQ_INT(ngx_iv_name_from_disposition(pool, &out, &back), NGX_OK);
        OK(back.len == n && memcmp(back.data, p, n) == 0);
    }

    return out;
}


#define DISPOSITION(t, s)  disposition(t, s, sizeof(s) - 1)


static void
test_disposition(void)
{
    EQ_STR(DISPOSITION("inline", "a b.jpg"), "inline; filename=\"a b.jpg\"");
    EQ_STR(DISPOSITION("attachment", "\xe2\x82\xac.jpg"),
           "attachment; filename=\"_.jpg\"; filename*=UTF-8''%E2%82%AC.jpg");
    EQ_STR(DISPOSITION("inline", "a\"b\\c%41.jpg"),
           "inline; filename=\"a_b_c_41.jpg\"; "
           "filename*=UTF-8''a%22b%5Cc%2541.jpg");
    EQ_STR(DISPOSITION("inline", "a\r\nX: y\0"),
           "inline; filename=\"a__X: y_\"; "
           "filename*=UTF-8''a%0D%0AX%3A%20y%00");
    EQ_STR(DISPOSITION("inline", "\xff;"),
           "inline; filename=\"_;\"; filename*=UTF-8''%FF%3B");
    EQ_STR(DISPOSITION("inline", ""), "inline; filename=\"\"");
}


static void
test_unescape(void)
{
    ngx_str_t  in, out;

    ngx_str_set(&in, "a+b%20c%2Bd%e2%82%AC%00");
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_OK);
    EQ_STR(out, "a b c+d\xe2\x82\xac\0");
    ngx_str_null(&in);
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_OK);
    EQ_STR(out, "");
    ngx_str_set(&in, "a%2");
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_DECLINED);
    ngx_str_set(&in, "a%");
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_DECLINED);
    ngx_str_set(&in, "a%g0");
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_DECLINED);
    ngx_str_set(&in, "%%20");
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_DECLINED);
}


/* every code point, every pair of bytes and more */

static void
test_utf8(void)
{
    u_char    b[4];
    size_t    n;
    uint32_t  c, bad;

    for (c = 0, bad = 0; c <= 0x1fffff; c++) {

        if (c < 0x80) {
            n = 1;
            b[0] = (u_char) c;

        } else if (c < 0x800) {
            n = 2;
            b[0] = (u_char) (0xc0 | c >> 6);

        } else if (c < 0x10000) {
            n = 3;
            b[0] = (u_char) (0xe0 | c >> 12);
            b[1] = 0x80 | (c >> 6 & 0x3f);

        } else {
            n = 4;
            b[0] = (u_char) (0xf0 | c >> 18);
            b[1] = 0x80 | (c >> 12 & 0x3f);
            b[2] = 0x80 | (c >> 6 & 0x3f);
        }

        if (n > 1) {
            b[n - 1] = 0x80 | (c & 0x3f);
        }

        bad += ngx_iv_utf8_valid(b, n)
               != (c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));
        bad += n > 1 && ngx_iv_utf8_valid(b, n - 1);
    }

    EQ_INT(bad, 0);
    OK(!ngx_iv_utf8_valid((u_char *) "\xc0\x80", 2));
    OK(!ngx_iv_utf8_valid((u_char *) "\xc1\xbf", 2));
    OK(!ngx_iv_utf8_valid((u_char *) "\xe0\x9f\xbf", 3));
    OK(!ngx_iv_utf8_valid((u_char *) "\xf0\x8f\xbf\xbf", 4));
    OK(!ngx_iv_utf8_valid((u_char *) "\x80", 1));
    OK(!ngx_iv_utf8_valid((u_char *) "\xc2" "A", 2));
    OK(ngx_iv_utf8_valid(NULL, 0));
}


static void
test_no_memory(void)
{
    int        i;
    ngx_str_t  in, out;

    ngx_str_set(&in, "a; filename=x; filename*=utf-8''y");

    for (i = 0; i < 3; i++) {
        iv_fail_alloc_after = i;
        EQ_INT(ngx_iv_name_from_disposition(pool, &in, &out), NGX_ERROR);
    }

    iv_fail_alloc_after = 0;
    EQ_INT(ngx_iv_name_clean(pool, &in, &out), NGX_ERROR);
    EQ_INT(ngx_iv_name_unescape(pool, &in, &out), NGX_ERROR);
    EQ_INT(ngx_iv_name_disposition(pool, "inline", &in, &out), NGX_ERROR);
    iv_fail_alloc_after = -1;
}


int
main(void)
{
    pool = ngx_create_pool(1024, NULL);

    RUN(test_clean);
    RUN(test_long);
    RUN(test_from_disposition);
    RUN(test_disposition);
    RUN(test_unescape);
    RUN(test_utf8);
    RUN(test_no_memory);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
