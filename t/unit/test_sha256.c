/*
 * SHA-256 and HMAC of short texts beside EVP's, and RFC 4231's examples.
 *
 * sources: src/formats/ngx_iv_sha256.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "base/ngx_iv_str.h"
#include "formats/ngx_iv_sha256.h"


static ngx_str_t
hex(const u_char *sum)
{
    ngx_str_t      s;
    static u_char  text[2 * NGX_IV_SHA256_LEN];

    (void) ngx_iv_hex(text, sum, NGX_IV_SHA256_LEN);

    s.data = text;
    s.len = sizeof(text);

    return s;
}


static void
test_rfc4231(void)
{
    u_char         key[131], sum[NGX_IV_SHA256_LEN];
    ngx_iv_hmac_t  h;

    /* test case 2 */

    EQ_INT(ngx_iv_hmac_init(&h, (u_char *) "Jefe", 4), NGX_OK);
    EQ_INT(ngx_iv_hmac(&h, (u_char *) "what do ya want for nothing?", 28, sum),
           NGX_OK);
    EQ_STR(hex(sum), "5bdcc146bf60754e6a042426089575c7"
                     "5a003f089d2739839dec58b964ec3843");

    /* test case 6: a key longer than a block */

    memset(key, 0xaa, sizeof(key));

    EQ_INT(ngx_iv_hmac_init(&h, key, sizeof(key)), NGX_OK);
    EQ_INT(ngx_iv_hmac(&h, (u_char *) "Test Using Larger Than Block-Size Key "
                       "- Hash Key First", 54, sum), NGX_OK);
    EQ_STR(hex(sum), "60e431591ee0b67f0d8a26aacbf5b77f"
                     "8e0bc6213728c5140546040f0ee37f54");
}


static void
test_lengths(void)
{
    u_char         p[300], one[NGX_IV_SHA256_LEN], two[NGX_IV_SHA256_LEN];
    size_t         i, k;
    ngx_iv_hmac_t  h;

    for (i = 0; i < sizeof(p); i++) {
        p[i] = (u_char) (i * 31 + 7);
    }

    for (i = 0; i <= sizeof(p); i++) {
        EQ_INT(ngx_iv_sha256_short(p, i, one), NGX_OK);
        EQ_INT(ngx_iv_sha256(p, i, two), NGX_OK);
        EQ_MEM(one, two, sizeof(one));

        EQ_INT(ngx_iv_hmac_init(&h, p, i), NGX_OK);

        /* a key serves again and again */

        for (k = 0; k <= sizeof(p); k += 37) {
            EQ_INT(ngx_iv_hmac(&h, p, k, one), NGX_OK);
            EQ_INT(ngx_iv_hmac_sha256(p, i, p, k, two), NGX_OK);
            EQ_MEM(one, two, sizeof(one));
        }
    }

    EQ_INT(ngx_iv_sha256_short(NULL, 0, one), NGX_OK);
    EQ_STR(hex(one), "e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855");
    EQ_INT(ngx_iv_hmac_init(&h, NULL, 0), NGX_OK);
    EQ_INT(ngx_iv_hmac(&h, NULL, 0, one), NGX_OK);
    EQ_STR(hex(one), "b613679a0814d9ec772f95d778c35fc5"
                     "ff1697c493715653c6c712144292c5ad");
}


int
main(void)
{
    RUN(test_rfc4231);
    RUN(test_lengths);

    return iv_test_done();
}
