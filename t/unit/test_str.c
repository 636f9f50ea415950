/*
 * sources: src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "base/ngx_iv_str.h"


static void
test_equal(void)
{
    OK(ngx_iv_equal_ct((u_char *) "abc", (u_char *) "abc", 3));
    OK(!ngx_iv_equal_ct((u_char *) "abc", (u_char *) "abd", 3));
    OK(!ngx_iv_equal_ct((u_char *) "xbc", (u_char *) "abc", 3));
    OK(ngx_iv_equal_ct(NULL, NULL, 0));
}


static void
test_hex(void)
{
    u_char  text[8], back[4];

    OK(ngx_iv_hex(text, (u_char *) "\x00\x0f\xa5\xff", 4) == text + 8);
    EQ_MEM(text, "000fa5ff", 8);
    EQ_INT(ngx_iv_unhex(back, text, 4), NGX_OK);
    EQ_MEM(back, "\x00\x0f\xa5\xff", 4);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "aBCdEF09", 4), NGX_OK);
    EQ_MEM(back, "\xab\xcd\xef\x09", 4);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "0g", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "/0", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, (u_char *) ":0", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "@0", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "\x10" "0", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, (u_char *) "\xe1" "0", 1), NGX_DECLINED);
    EQ_INT(ngx_iv_unhex(back, NULL, 0), NGX_OK);
}


static void
test_uuid(void)
{
    u_char  a[NGX_IV_UUID_LEN], b[NGX_IV_UUID_LEN];
    size_t  i;

    EQ_INT(ngx_iv_uuid(a), NGX_OK);
    EQ_INT(ngx_iv_uuid(b), NGX_OK);
    OK(memcmp(a, b, NGX_IV_UUID_LEN) != 0);

    for (i = 0; i < NGX_IV_UUID_LEN; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            EQ_INT(a[i], '-');
        } else {
            OK(strchr("0123456789abcdef", a[i]) != NULL);
        }
    }

    EQ_INT(a[14], '4');
    OK(strchr("89ab", a[19]) != NULL);
}


static void
test_random(void)
{
    static u_char  big[200000];
    size_t         i, zero;

    EQ_INT(ngx_iv_random(big, sizeof(big)), NGX_OK);

    for (i = 0, zero = 0; i < sizeof(big); i++) {
        zero += big[i] == 0;
    }

    OK(zero > 400 && zero < 1200);
    EQ_INT(ngx_iv_random(NULL, 0), NGX_OK);
}


static void
test_object_id(void)
{
    u_char     a[NGX_IV_ID_LEN], b[NGX_IV_ID_LEN], c[NGX_IV_ID_LEN];
    uint32_t   na, nb;
    ngx_str_t  s;

    EQ_INT(ngx_iv_object_id(a, 0x65a1b2c3), NGX_OK);
    EQ_INT(ngx_iv_object_id(b, 0x65a1b2c4), NGX_OK);

    EQ_MEM(a, "\x65\xa1\xb2\xc3", 4);
    EQ_MEM(b, "\x65\xa1\xb2\xc4", 4);
    EQ_MEM(b + 4, a + 4, 5);

    na = (uint32_t) a[9] << 16 | a[10] << 8 | a[11];
    nb = (uint32_t) b[9] << 16 | b[10] << 8 | b[11];
    EQ_INT(nb, (na + 1) & 0xffffff);

    /* another process takes other numbers */
    ngx_pid++;
    EQ_INT(ngx_iv_object_id(c, 0x65a1b2c4), NGX_OK);
    OK(memcmp(c + 4, b + 4, 5) != 0);

    ngx_str_set(&s, "65A1b2C3000102030405060F");
    EQ_INT(ngx_iv_parse_id(&s, a), NGX_OK);
    EQ_MEM(a, "\x65\xa1\xb2\xc3\x00\x01\x02\x03\x04\x05\x06\x0f", 12);
    ngx_str_set(&s, "65A1b2C3000102030405060");
    EQ_INT(ngx_iv_parse_id(&s, a), NGX_DECLINED);
    ngx_str_set(&s, "65A1b2C3000102030405060F0");
    EQ_INT(ngx_iv_parse_id(&s, a), NGX_DECLINED);
    ngx_str_set(&s, "65A1b2C3000102030405060g");
    EQ_INT(ngx_iv_parse_id(&s, a), NGX_DECLINED);
    ngx_str_null(&s);
    EQ_INT(ngx_iv_parse_id(&s, a), NGX_DECLINED);
}


static ngx_uint_t
valid(const char *p, size_t n)
{
    ngx_str_t  s;

    s.data = (u_char *) p;
    s.len = n;

    return ngx_iv_owner_valid(&s);
}


static void
test_owner(void)
{
    char      many[130];
    int       i;
    ngx_uint_t  ok;

    memset(many, 'a', sizeof(many));

    OK(valid("alice", 5));
    OK(valid("auth0|65a1.b_c@d:e+f=g-h", 24));
    OK(valid("...", 3));
    OK(valid(".a", 2));
    OK(valid(many, 128));
    OK(!valid(many, 129));
    OK(!valid("", 0));
    OK(!valid(".", 1));
    OK(!valid("..", 2));
    OK(!valid("a\0b", 3));
    OK(!valid("a/b", 3));

    for (i = 0; i < 256; i++) {
        many[0] = (char) i;
        ok = (i >= '0' && i <= '9') || (i >= 'a' && i <= 'z')
             || (i >= 'A' && i <= 'Z') || (i && strchr("._@:|+=-", i));
        EQ_INT(valid(many, 5), ok);
    }
}


static void
test_wipe(void)
{
    u_char  b[4] = { 1, 2, 3, 4 };

    ngx_iv_wipe(b, 3);
    EQ_MEM(b, "\0\0\0\4", 4);
    ngx_iv_wipe(NULL, 0);
}


static void
test_fold(void)
{
    ngx_str_t  a, ab, b, none;

    ngx_str_set(&a, "a");
    ngx_str_set(&b, "b");
    ngx_str_set(&ab, "ab");
    ngx_str_set(&none, "");

    OK(ngx_iv_fold(NGX_IV_FOLD, &a) != ngx_iv_fold(NGX_IV_FOLD, &b));
    OK(ngx_iv_fold(NGX_IV_FOLD, &a) == ngx_iv_fold(NGX_IV_FOLD, &a));
    OK(ngx_iv_fold(NGX_IV_FOLD, &none) != NGX_IV_FOLD);

    /* "a", "b" is not "ab", "" */

    OK(ngx_iv_fold(ngx_iv_fold(NGX_IV_FOLD, &a), &b)
       != ngx_iv_fold(ngx_iv_fold(NGX_IV_FOLD, &ab), &none));
}


static void
test_copy(void)
{
    ngx_str_t    s, *list, src[3];
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);

    ngx_str_set(&src[0], "one");
    ngx_str_set(&src[1], "");
    ngx_str_set(&src[2], "three");

    OK(ngx_iv_copy_str(pool, &s, &src[0]) == NGX_OK);
    EQ_STR(s, "one");
    OK(s.data != src[0].data);

    OK(ngx_iv_copy_str(pool, &s, &src[1]) == NGX_OK);
    EQ_INT(s.len, 0);
    OK(s.data == NULL);

    OK(ngx_iv_copy_strs(pool, &list, src, 3) == NGX_OK);
    EQ_STR(list[0], "one");
    EQ_INT(list[1].len, 0);
    EQ_STR(list[2], "three");
    OK(list[2].data != src[2].data);

    list = src;
    OK(ngx_iv_copy_strs(pool, &list, NULL, 0) == NGX_OK);
    OK(list == NULL);

    ngx_destroy_pool(pool);
}


int
main(void)
{
    RUN(test_equal);
    RUN(test_fold);
    RUN(test_copy);
    RUN(test_hex);
    RUN(test_uuid);
    RUN(test_random);
    RUN(test_object_id);
    RUN(test_owner);
    RUN(test_wipe);

    return iv_test_done();
}
