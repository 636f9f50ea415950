/*
 * sources: src/formats/ngx_iv_hash.c src/formats/ngx_iv_hash_pair.c
 * sources: src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_hash.h"
#include "base/ngx_iv_str.h"


static ngx_str_t
hex(const u_char *p, size_t n)
{
    static u_char  b[128];
    ngx_str_t      s;

    s.data = b;
    s.len = ngx_iv_hex(b, p, n) - b;

    return s;
}


static void
test_stream(void)
{
    int            i;
    u_char         md5[NGX_IV_MD5_LEN], sha[NGX_IV_SHA256_LEN], b[1000];
    ngx_iv_hash_t  h;

    /* RFC 1321 A.5 and FIPS 180-4's examples */

    EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
    EQ_INT(ngx_iv_hash_update(&h, NULL, 0), NGX_OK);
    EQ_INT(ngx_iv_hash_final(&h, md5, sha), NGX_OK);
    ngx_iv_hash_free(&h);
    ngx_iv_hash_free(&h);
    EQ_STR(hex(md5, 16), "d41d8cd98f00b204e9800998ecf8427e");
    EQ_STR(hex(sha, 32), "e3b0c44298fc1c149afbf4c8996fb924"
                         "27ae41e4649b934ca495991b7852b855");

    EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
    EQ_INT(ngx_iv_hash_update(&h, (u_char *) "a", 1), NGX_OK);
    EQ_INT(ngx_iv_hash_update(&h, (u_char *) "bc", 2), NGX_OK);
    EQ_INT(ngx_iv_hash_final(&h, md5, sha), NGX_OK);
    ngx_iv_hash_free(&h);
    EQ_STR(hex(md5, 16), "900150983cd24fb0d6963f7d28e17f72");
    EQ_STR(hex(sha, 32), "ba7816bf8f01cfea414140de5dae2223"
                         "b00361a396177a9cb410ff61f20015ad");

    memset(b, 'a', sizeof(b));
    EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
    for (i = 0; i < 1000; i++) {
        (void) ngx_iv_hash_update(&h, b, sizeof(b));
    }
    EQ_INT(ngx_iv_hash_final(&h, md5, sha), NGX_OK);
    ngx_iv_hash_free(&h);
    EQ_STR(hex(md5, 16), "7707d6ae4e027c70eea2a935c2296f21");
    EQ_STR(hex(sha, 32), "cdc76e5c9914fb9281a1c7e284d73e67"
                         "f1809a48a497200e046d39ccc7112cd0");

    /* given up half way */
    EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
    (void) ngx_iv_hash_update(&h, b, sizeof(b));
    ngx_iv_hash_free(&h);
}


static void
test_once(void)
{
    u_char  out[NGX_IV_SHA256_LEN], key[131];

    EQ_INT(ngx_iv_sha256((u_char *) "abc", 3, out), NGX_OK);
    EQ_STR(hex(out, 32), "ba7816bf8f01cfea414140de5dae2223"
                         "b00361a396177a9cb410ff61f20015ad");
    EQ_INT(ngx_iv_sha256(NULL, 0, out), NGX_OK);
    EQ_STR(hex(out, 32), "e3b0c44298fc1c149afbf4c8996fb924"
                         "27ae41e4649b934ca495991b7852b855");

    /* RFC 4231 4.2, 4.3, 4.7 */
    memset(key, 0x0b, 20);
    EQ_INT(ngx_iv_hmac_sha256(key, 20, (u_char *) "Hi There", 8, out), NGX_OK);
    EQ_STR(hex(out, 32), "b0344c61d8db38535ca8afceaf0bf12b"
                         "881dc200c9833da726e9376c2e32cff7");
    EQ_INT(ngx_iv_hmac_sha256((u_char *) "Jefe", 4,
                              (u_char *) "what do ya want for nothing?", 28,
                              out), NGX_OK);
    EQ_STR(hex(out, 32), "5bdcc146bf60754e6a042426089575c7"
                         "5a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    EQ_INT(ngx_iv_hmac_sha256(key, 131, (u_char *) "Test Using Larger Than "
                              "Block-Size Key - Hash Key First", 54, out),
           NGX_OK);
    EQ_STR(hex(out, 32), "60e431591ee0b67f0d8a26aacbf5b77f"
                         "8e0bc6213728c5140546040f0ee37f54");

    EQ_INT(ngx_iv_hmac_sha256(NULL, 0, NULL, 0, out), NGX_OK);
    EQ_STR(hex(out, 32), "b613679a0814d9ec772f95d778c35fc5"
                         "ff1697c493715653c6c712144292c5ad");
    EQ_INT(ngx_iv_hmac_sha256(key, (size_t) 1 << 40, NULL, 0, out),
           NGX_ERROR);
}


/* a look in between does not disturb the stream */

static void
test_so_far(void)
{
    size_t         n;
    u_char         data[300], want[16], now[16], md5[16], sha[32], ref[32];
    ngx_iv_hash_t  h, part;

    memset(data, 'x', sizeof(data));

    for (n = 0; n <= sizeof(data); n += 25) {
        EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
        EQ_INT(ngx_iv_hash_init(&part), NGX_OK);
        EQ_INT(ngx_iv_hash_update(&h, data, n), NGX_OK);
        EQ_INT(ngx_iv_hash_update(&part, data, n), NGX_OK);
        EQ_INT(ngx_iv_hash_final(&part, want, sha), NGX_OK);
        EQ_INT(ngx_iv_hash_md5_so_far(&h, now), NGX_OK);
        EQ_MEM(now, want, 16);
        EQ_INT(ngx_iv_hash_update(&h, data + n, sizeof(data) - n), NGX_OK);
        EQ_INT(ngx_iv_hash_final(&h, md5, sha), NGX_OK);
        EQ_INT(ngx_iv_sha256(data, sizeof(data), ref), NGX_OK);
        EQ_MEM(sha, ref, 32);
        ngx_iv_hash_free(&h);
        ngx_iv_hash_free(&part);
    }
}


/* a second MD5 is right, or it is refused */

static void
test_part(void)
{
    size_t         n;
    u_char         data[300], md5[16], want[32], sha[32];
    ngx_int_t      rc;
    ngx_iv_hash_t  h, part;

    memset(data, 'x', sizeof(data));

    for (n = 0; n <= sizeof(data); n += 32) {
        EQ_INT(ngx_iv_hash_init(&h), NGX_OK);
        EQ_INT(ngx_iv_hash_update(&h, data, n), NGX_OK);

        rc = ngx_iv_hash_part(&h);

        EQ_INT(rc, h.md5 || n % 64 ? NGX_DECLINED : NGX_OK);
        EQ_INT(ngx_iv_hash_update(&h, data + n, sizeof(data) - n), NGX_OK);

        if (rc == NGX_OK) {
            EQ_INT(ngx_iv_hash_init(&part), NGX_OK);
            EQ_INT(ngx_iv_hash_update(&part, data + n, sizeof(data) - n),
                   NGX_OK);
            EQ_INT(ngx_iv_hash_final(&part, want, sha), NGX_OK);
            ngx_iv_hash_free(&part);

            ngx_iv_hash_part_so_far(&h, md5);
            EQ_MEM(md5, want, 16);
        }

        EQ_INT(ngx_iv_hash_final(&h, md5, sha), NGX_OK);
        EQ_INT(ngx_iv_sha256(data, sizeof(data), want), NGX_OK);
        EQ_MEM(sha, want, 32);
        ngx_iv_hash_free(&h);
    }
}


int
main(void)
{
    RUN(test_so_far);
    RUN(test_part);
    RUN(test_stream);
    RUN(test_once);

    return iv_test_done();
}
