/*
 * One pass for MD5 and SHA-256, judged by OpenSSL.
 *
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_hash_pair.h"

#include <openssl/evp.h>


#if (NGX_IV_HASH_PAIR)

#define BYTES  100000

static u_char  bytes[BYTES];


static uint32_t
next_random(void)
{
    static uint32_t  x = 20260607;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;

    return x;
}


/* n bytes from p on, in pieces of at most `most` bytes */

static ngx_uint_t
same(const u_char *p, size_t n, size_t most)
{
    size_t              off, piece;
    u_char              md5[16], sha[32], want_md5[16], want_sha[32];
    ngx_iv_hash_pair_t  h;

    ngx_iv_hash_pair_init(&h);

    for (off = 0; off < n; off += piece) {
        piece = 1 + next_random() % most;
        piece = ngx_min(piece, n - off);

        ngx_iv_hash_pair_update(&h, p + off, piece);
    }

    ngx_iv_hash_pair_final(&h, md5, sha);

    EVP_Digest(p, n, want_md5, NULL, EVP_md5(), NULL);
    EVP_Digest(p, n, want_sha, NULL, EVP_sha256(), NULL);

    return memcmp(md5, want_md5, 16) == 0 && memcmp(sha, want_sha, 32) == 0;
}


/* every length around some blocks, whole and in two pieces of every size */

static void
test_lengths(void)
{
    size_t              n, at;
    u_char              md5[16], sha[32], md5_2[16], sha_2[32];
    ngx_uint_t          bad;
    ngx_iv_hash_pair_t  h;

    bad = 0;

    for (n = 0; n <= 4 * NGX_IV_HASH_BLOCK + 1; n++) {

        bad += !same(bytes, n, n + 1);

        EVP_Digest(bytes, n, md5_2, NULL, EVP_md5(), NULL);
        EVP_Digest(bytes, n, sha_2, NULL, EVP_sha256(), NULL);

        for (at = 0; at <= n; at++) {
            ngx_iv_hash_pair_init(&h);
            ngx_iv_hash_pair_update(&h, bytes, at);
            ngx_iv_hash_pair_update(&h, bytes + at, n - at);
            ngx_iv_hash_pair_final(&h, md5, sha);

            bad += memcmp(md5, md5_2, 16) != 0 || memcmp(sha, sha_2, 32) != 0;
        }
    }

    EQ_INT(bad, 0);
}


/* any alignment, any length, any splits */

static void
test_splits(void)
{
    size_t      at, n, most;
    ngx_uint_t  i, bad;

    bad = 0;

    for (i = 0; i < 400; i++) {
        at = next_random() % 64;
        n = next_random() % (BYTES - at);
        most = 1 + next_random() % (i % 2 ? 200 : 70000);

        bad += !same(bytes + at, n, most);
    }

    EQ_INT(bad, 0);
}


/* a second MD5 from `from` on, looked at after each piece */

static ngx_uint_t
second(const u_char *p, size_t from, size_t n, size_t most)
{
    size_t              off, piece;
    u_char              md5[16], sha[32], want[32];
    ngx_uint_t          bad;
    ngx_iv_hash_pair_t  h;

    bad = 0;

    ngx_iv_hash_pair_init(&h);
    ngx_iv_hash_pair_update(&h, p, from);

    if (ngx_iv_hash_pair_part(&h) != NGX_OK) {
        return 1;
    }

    for (off = from; off < n; off += piece) {
        piece = 1 + next_random() % most;
        piece = ngx_min(piece, n - off);

        ngx_iv_hash_pair_update(&h, p + off, piece);

        ngx_iv_hash_pair_part_so_far(&h, md5);
        EVP_Digest(p + from, off + piece - from, want, NULL, EVP_md5(), NULL);
        bad += memcmp(md5, want, 16) != 0;
    }

    /* one behind the other */

    if (h.total % NGX_IV_HASH_BLOCK == 0) {
        bad += ngx_iv_hash_pair_part(&h) != NGX_OK;
        ngx_iv_hash_pair_part_so_far(&h, md5);
        EVP_Digest(p, 0, want, NULL, EVP_md5(), NULL);
        bad += memcmp(md5, want, 16) != 0;
    }

    ngx_iv_hash_pair_final(&h, md5, sha);

    EVP_Digest(p, n, want, NULL, EVP_md5(), NULL);
    bad += memcmp(md5, want, 16) != 0;
    EVP_Digest(p, n, want, NULL, EVP_sha256(), NULL);
    bad += memcmp(sha, want, 32) != 0;

    return bad;
}


static void
test_second(void)
{
    size_t              at, from, n;
    ngx_uint_t          i, bad;
    ngx_iv_hash_pair_t  h;

    bad = 0;

    for (i = 0; i < 300; i++) {
        at = next_random() % 64;
        from = (next_random() % (i % 2 ? 4 : 700)) * NGX_IV_HASH_BLOCK;
        n = from + next_random() % (i % 3 ? 400 : BYTES / 2 - 64);

        bad += second(bytes + at, from, n, 1 + next_random() % 300);
    }

    EQ_INT(bad, 0);

    /* both take the same blocks */

    for (i = 0; i <= 2 * NGX_IV_HASH_BLOCK; i++) {
        ngx_iv_hash_pair_init(&h);
        ngx_iv_hash_pair_update(&h, bytes, i);
        EQ_INT(ngx_iv_hash_pair_part(&h),
               i % NGX_IV_HASH_BLOCK ? NGX_DECLINED : NGX_OK);
    }
}


/* the count of bits passes 32 bits */

static void
test_long(void)
{
    size_t              n;
    u_char              md5[16], sha[32], want[32];
    EVP_MD_CTX         *one, *two;
    ngx_iv_hash_pair_t  h;

    one = EVP_MD_CTX_new();
    two = EVP_MD_CTX_new();
    EVP_DigestInit_ex(one, EVP_md5(), NULL);
    EVP_DigestInit_ex(two, EVP_sha256(), NULL);
    ngx_iv_hash_pair_init(&h);

    for (n = 0; n < 540u * 1000 * 1000; n += BYTES) {
        ngx_iv_hash_pair_update(&h, bytes, BYTES);
        EVP_DigestUpdate(one, bytes, BYTES);
        EVP_DigestUpdate(two, bytes, BYTES);
    }

    ngx_iv_hash_pair_final(&h, md5, sha);

    EVP_DigestFinal_ex(one, want, NULL);
    EQ_MEM(md5, want, 16);
    EVP_DigestFinal_ex(two, want, NULL);
    EQ_MEM(sha, want, 32);

    EVP_MD_CTX_free(one);
    EVP_MD_CTX_free(two);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < BYTES; i++) {
        bytes[i] = (u_char) (next_random() >> 24);
    }

    if (!ngx_iv_hash_pair_able()) {
        /* nothing may be called here, and nothing is */
        OK(1);
        return iv_test_done();
    }

    RUN(test_lengths);
    RUN(test_splits);
    RUN(test_second);
    RUN(test_long);

    return iv_test_done();
}

#else

int
main(void)
{
    OK(1);
    return iv_test_done();
}

#endif
