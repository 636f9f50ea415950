/*
 * sources: src/formats/ngx_iv_digest.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 *     src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_digest.h"


/* of {"hello": "world"} and a line end (RFC 9530 appendix) */
#define S256  "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
#define S512  "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pg"     \
              "k4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:"


static ngx_iv_digests_t  d;


static ngx_int_t
parse(const char *value)
{
    ngx_str_t  s;

    memset(&d, 0, sizeof(d));
    s.data = (u_char *) value;
    s.len = strlen(value);

    return ngx_iv_digest_parse(&d, &s);
}


static void
test_parse(void)
{
    size_t  i;

    static const char  *good[] = {
        S256, S256 ", " S512, S512 " ,\t" S256, "  " S256 "  ",
        S256 ";a;b=1;c=\"x\\\"\\\\\"; d=?0;e=:AA==:;f=@-12;g=t/x:y",
        "a=1, b=-2.5, c=?1, d, e;x, f=(), g=(1 \"s\" t;p=1 :AA==:), "
        "*h=%\"f%c3%bc\", " S256,
        ("sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:, " S256),
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg:",
    };

    static const char  *none[] = {
        "", "md5=:AAAA:", "sha=:x:", "unixsum=1", "a", "  ",
    };

    static const char  *bad[] = {
        "sha-256", "sha-256=?1", "sha-256=1", "sha-256=abc", "sha-256=::",
        "sha-256=:AAAA:", "sha-256=()", S256 ",", S256 ",,a", "," S256,
        S256 " a", S256 "x", "SHA-256=:AA==:", "sha-256 =:AA==:",
        "sha-256= :AA==:", "sha-512=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8Fab"
        "Dg=:", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg==:",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabD=g:",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP_lF5HF9bvEF8FabDg=:",
        "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=",
        "a=", "a=;", "a=\"x", "a=\"\\x\"", "a=\"\x01\"", "a=?2", "a=?", "a=@x",
        "a=@1.5", "a=1.", "a=1.2345", "a=1234567890123456", "a=1234567890123.1",
        "a=-", "a=(1", "a=(1\"x\")", "a=%x", "a=%\"%g0\"", "a=%\"%\"",
        "a=%\"x", "a;", "a;B", "a;b=", "1=2", "a=&", "a=:A-:", "\ta",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        EQ_INT(parse(good[i]), NGX_OK);
        OK(d.has_sha256 && !d.has_md5);
        EQ_INT(d.sha256[0], 0x44);
        EQ_INT(d.sha256[31], 0x38);
    }

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        EQ_INT(parse(none[i]), NGX_OK);
        OK(!d.has_sha256 && !d.has_sha512 && !d.has_md5);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EQ_INT(parse(bad[i]), NGX_IV_BAD_PARAMETER);
        OK(!d.has_sha256 && !d.has_sha512 && !d.has_md5);
        if (parse(bad[i]) != NGX_IV_BAD_PARAMETER) {
            fprintf(stderr, "    %s\n", bad[i]);
        }
    }
}


static void
test_md5(void)
{
    ngx_str_t  s;

    memset(&d, 0, sizeof(d));
    ngx_str_set(&s, " Q2hlY2sgSW50ZWdyaXR5IQ== ");              /* RFC 1864 */
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_OK);
    EQ_MEM(d.md5, "Check Integrity!", 16);
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_OK);
    ngx_str_set(&s, "AAAAAAAAAAAAAAAAAAAAAA==");
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_IV_DIGEST_MISMATCH);

    ngx_str_set(&s, "Q2hlY2sgSW50ZWdyaXR5IQ");
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_IV_BAD_PARAMETER);
    ngx_str_set(&s, "Q2hlY2sgSW50ZWdyaXR5I===");
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_IV_BAD_PARAMETER);
    ngx_str_set(&s, "Q2hlY2sgSW50ZWdyaXR5-Q==");
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_IV_BAD_PARAMETER);
    ngx_str_set(&s, " ");
    EQ_INT(ngx_iv_digest_parse_md5(&d, &s), NGX_OK);
}


static void
test_check(void)
{
    u_char         md5[NGX_IV_MD5_LEN], sha256[NGX_IV_SHA256_LEN];
    u_char         sha512[NGX_IV_SHA512_LEN];
    ngx_str_t      s;
    ngx_iv_hash_t  h;

    static u_char  body[] = "{\"hello\": \"world\"}\n";

    EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
    EQ_INT(ngx_iv_hash_final_sha512(&h, sha512), NGX_ERROR);
    EQ_INT(ngx_iv_hash_want_sha512(&h), NGX_OK);
    EQ_INT(ngx_iv_hash_want_sha512(&h), NGX_OK);
    EQ_INT(ngx_iv_hash_update(&h, body, 5), NGX_OK);
    EQ_INT(ngx_iv_hash_update(&h, body + 5, sizeof(body) - 6), NGX_OK);
    EQ_INT(ngx_iv_hash_final(&h, md5, sha256), NGX_OK);
    EQ_INT(ngx_iv_hash_final_sha512(&h, sha512), NGX_OK);
    ngx_iv_hash_free(&h);
    ngx_iv_hash_free(&h);

    EQ_INT(parse(S256 "," S512), NGX_OK);
    EQ_INT(ngx_iv_digest_check(&d, md5, sha256, sha512), NGX_OK);
    EQ_INT(ngx_iv_digest_check(&d, md5, sha256, NULL), NGX_IV_DIGEST_MISMATCH);
    EQ_INT(ngx_iv_digest_check(&d, md5, sha512, sha512),
           NGX_IV_DIGEST_MISMATCH);

    /* Content-Digest and Repr-Digest that disagree */
    ngx_str_set(&s, "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:");
    EQ_INT(ngx_iv_digest_parse(&d, &s), NGX_IV_DIGEST_MISMATCH);
    EQ_INT(d.sha256[0], 0x44);

    EQ_INT(parse(""), NGX_OK);
    EQ_INT(ngx_iv_digest_check(&d, md5, sha256, NULL), NGX_OK);
}


int
main(void)
{
    RUN(test_parse);
    RUN(test_md5);
    RUN(test_check);

    return iv_test_done();
}
