/*
 * One pass for two sums.  MD5 is one long chain of dependent instructions and
 * leaves most of a core idle; SHA-256's own instructions fit into the gaps, so
 * that both together take about as long as MD5 alone.  OpenSSL's functions can
 * only be called one after the other, and its low-level ones are deprecated.
 * There is still room for a second MD5 of the same bytes.
 *
 * RFC 1321 and FIPS 180-4.
 */

#include "formats/ngx_iv_hash_pair.h"

#if (NGX_IV_HASH_PAIR)

#include <cpuid.h>
#include <immintrin.h>


#define NGX_IV_CPUID_SSSE3   (1u << 9)      /* leaf 1, ecx */
#define NGX_IV_CPUID_SSE4_1  (1u << 19)
#define NGX_IV_CPUID_SHA     (1u << 29)     /* leaf 7, ebx */


/* aligned, as they are loaded four at a time */

static const uint32_t  ngx_iv_sha256_k[64]
    __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
    0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};


static const uint32_t  ngx_iv_md5_k[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee,
    0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
    0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa,
    0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed,
    0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
    0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
    0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039,
    0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391
};


static const uint32_t  ngx_iv_md5_init[4] = {
    0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476
};


#define ngx_iv_rotate(x, n)   ((x) << (n) | (x) >> (32 - (n)))

/* their arguments are variables: NOLINTBEGIN(bugprone-macro-parentheses) */

/*
 * A step of MD5: the chain goes through b, so everything else is added to a
 * before, which the empty asm keeps the compiler from undoing.  The second
 * MD5's chain is in a2 to d2.
 */

#define ngx_iv_md5_link(early, late, a, b, c, d, s)                           \
    t = m + a + early(b, c, d);                                               \
    __asm__ ("" : "+r" (t));                                                  \
    t += late(b, c, d);                                                       \
    a = b + ngx_iv_rotate(t, s)

#define ngx_iv_md5_step(early, late, a, b, c, d, i, word, s)                  \
    m = ngx_iv_md5_k[i] + ngx_iv_md5_word(p, word);                           \
    ngx_iv_md5_link(early, late, a, b, c, d, s);                              \
    if (part) {                                                               \
        ngx_iv_md5_link(early, late, a##2, b##2, c##2, d##2, s);              \
    }

/* the four functions as sums of a part that knows b and one that doesn't */

#define ngx_iv_md5_none(b, c, d)   0
#define ngx_iv_md5_f(b, c, d)      ((((c) ^ (d)) & (b)) ^ (d))
#define ngx_iv_md5_g_cd(b, c, d)   ((c) & ~(d))
#define ngx_iv_md5_g(b, c, d)      ((b) & (d))
#define ngx_iv_md5_h(b, c, d)      (((c) ^ (d)) ^ (b))
#define ngx_iv_md5_i(b, c, d)      (((b) | ~(d)) ^ (c))

/* which word of the block a step takes */

#define ngx_iv_md5_at1(i)   ((i) & 15)
#define ngx_iv_md5_at2(i)   ((5 * (i) + 1) & 15)
#define ngx_iv_md5_at3(i)   ((3 * (i) + 5) & 15)
#define ngx_iv_md5_at4(i)   ((7 * (i)) & 15)

#define ngx_iv_md5_four(early, late, at, i, s0, s1, s2, s3)                   \
    ngx_iv_md5_step(early, late, a, b, c, d, i, at(i), s0);                   \
    ngx_iv_md5_step(early, late, d, a, b, c, i + 1, at(i + 1), s1);           \
    ngx_iv_md5_step(early, late, c, d, a, b, i + 2, at(i + 2), s2);           \
    ngx_iv_md5_step(early, late, b, c, d, a, i + 3, at(i + 3), s3)

#define ngx_iv_md5_round1(i)                                                  \
    ngx_iv_md5_four(ngx_iv_md5_none, ngx_iv_md5_f, ngx_iv_md5_at1,            \
                    i, 7, 12, 17, 22)

#define ngx_iv_md5_round2(i)                                                  \
    ngx_iv_md5_four(ngx_iv_md5_g_cd, ngx_iv_md5_g, ngx_iv_md5_at2,            \
                    i, 5, 9, 14, 20)

#define ngx_iv_md5_round3(i)                                                  \
    ngx_iv_md5_four(ngx_iv_md5_none, ngx_iv_md5_h, ngx_iv_md5_at3,            \
                    i, 4, 11, 16, 23)

#define ngx_iv_md5_round4(i)                                                  \
    ngx_iv_md5_four(ngx_iv_md5_none, ngx_iv_md5_i, ngx_iv_md5_at4,            \
                    i, 6, 10, 15, 21)

/* four rounds of SHA-256 with words i to i + 3, which are in w0 */

#define ngx_iv_sha256_four(w0, i)                                             \
    k = _mm_load_si128((const __m128i *) &ngx_iv_sha256_k[i]);                \
    k = _mm_add_epi32(k, w0);                                                 \
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);                              \
    k = _mm_shuffle_epi32(k, 0x0e);                                           \
    abef = _mm_sha256rnds2_epu32(abef, cdgh, k)

/* w0 becomes the four words behind those in w3 */

#define ngx_iv_sha256_next(w0, w1, w2, w3)                                    \
    w0 = _mm_sha256msg1_epu32(w0, w1);                                        \
    w0 = _mm_add_epi32(w0, _mm_alignr_epi8(w3, w2, 4));                       \
    w0 = _mm_sha256msg2_epu32(w0, w3)

#define ngx_iv_sha256_load(w, q, i)                                           \
    w = _mm_loadu_si128((const __m128i *) ((q) + 16 * (i)));                  \
    w = _mm_shuffle_epi8(w, swap)

/* NOLINTEND(bugprone-macro-parentheses) */


static void ngx_iv_hash_pair_take(ngx_iv_hash_pair_t *h, const u_char *p,
    size_t n);
static void ngx_iv_hash_pair_blocks(ngx_iv_hash_pair_t *h, const u_char *p,
    const u_char *q, size_t n);
static void ngx_iv_hash_pair_three(ngx_iv_hash_pair_t *h, const u_char *p,
    size_t n);


ngx_uint_t
ngx_iv_hash_pair_able(void)
{
    unsigned int         eax, ebx, ecx, edx;
    static ngx_atomic_t  able;

    /* a virtual machine takes its time for cpuid */

    if (able == 0) {

        able = 1;

        if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)
            && (ecx & NGX_IV_CPUID_SSSE3)
            && (ecx & NGX_IV_CPUID_SSE4_1)
            && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)
            && (ebx & NGX_IV_CPUID_SHA))
        {
            able = 2;
        }
    }

    return able == 2;
}


void
ngx_iv_hash_pair_init(ngx_iv_hash_pair_t *h)
{
    static const uint32_t  sha256[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19
    };

    h->total = 0;
    h->from = NGX_IV_HASH_NO_PART;

    ngx_memcpy(h->md5, ngx_iv_md5_init, sizeof(ngx_iv_md5_init));
    ngx_memzero(h->part, sizeof(h->part));
    ngx_memcpy(h->sha256, sha256, sizeof(sha256));
}


void
ngx_iv_hash_pair_update(ngx_iv_hash_pair_t *h, const u_char *p, size_t n)
{
    size_t  have, rest;

    have = (size_t) (h->total % NGX_IV_HASH_BLOCK);
    h->total += n;

    if (have) {
        rest = ngx_min(n, NGX_IV_HASH_BLOCK - have);

        ngx_memcpy(h->block + have, p, rest);

        p += rest;
        n -= rest;

        if (have + rest < NGX_IV_HASH_BLOCK) {
            return;
        }

        ngx_iv_hash_pair_take(h, h->block, 1);
    }

    ngx_iv_hash_pair_take(h, p, n / NGX_IV_HASH_BLOCK);

    rest = n % NGX_IV_HASH_BLOCK;

    if (rest) {
        ngx_memcpy(h->block, p + n - rest, rest);
    }
}


static void
ngx_iv_hash_pair_take(ngx_iv_hash_pair_t *h, const u_char *p, size_t n)
{
    if (h->from == NGX_IV_HASH_NO_PART) {
        ngx_iv_hash_pair_blocks(h, p, p, n);

    } else {
        ngx_iv_hash_pair_three(h, p, n);
    }
}


ngx_int_t
ngx_iv_hash_pair_part(ngx_iv_hash_pair_t *h)
{
    /* both chains take the same blocks */

    if (h->total % NGX_IV_HASH_BLOCK) {
        return NGX_DECLINED;
    }

    h->from = h->total;

    ngx_memcpy(h->part, ngx_iv_md5_init, sizeof(ngx_iv_md5_init));

    return NGX_OK;
}


void
ngx_iv_hash_pair_part_so_far(const ngx_iv_hash_pair_t *h, u_char md5[16])
{
    u_char              sha256[32];
    ngx_iv_hash_pair_t  part;

    part = *h;
    part.total -= h->from;

    ngx_memcpy(part.md5, h->part, sizeof(h->part));

    ngx_iv_hash_pair_final(&part, md5, sha256);
}


void
ngx_iv_hash_pair_final(ngx_iv_hash_pair_t *h, u_char md5[16],
    u_char sha256[32])
{
    size_t      have, size;
    u_char      p[2 * NGX_IV_HASH_BLOCK], q[2 * NGX_IV_HASH_BLOCK];
    uint64_t    bits;
    ngx_uint_t  i;

    have = (size_t) (h->total % NGX_IV_HASH_BLOCK);
    size = (have < NGX_IV_HASH_BLOCK - 8) ? NGX_IV_HASH_BLOCK
                                          : 2 * NGX_IV_HASH_BLOCK;

    ngx_memzero(p, sizeof(p));
    ngx_memcpy(p, h->block, have);
    p[have] = 0x80;

    ngx_memcpy(q, p, sizeof(q));

    /* the length in bits: MD5 has its lowest byte first, SHA-256 last */

    bits = h->total * 8;

    for (i = 0; i < 8; i++) {
        p[size - 8 + i] = (u_char) (bits >> (8 * i));
        q[size - 1 - i] = (u_char) (bits >> (8 * i));
    }

    ngx_iv_hash_pair_blocks(h, p, q, size / NGX_IV_HASH_BLOCK);

    for (i = 0; i < 16; i++) {
        md5[i] = (u_char) (h->md5[i / 4] >> (8 * (i % 4)));
    }

    for (i = 0; i < 32; i++) {
        sha256[i] = (u_char) (h->sha256[i / 4] >> (24 - 8 * (i % 4)));
    }
}


static ngx_inline uint32_t
ngx_iv_md5_word(const u_char *p, ngx_uint_t i)
{
    uint32_t  word;

    ngx_memcpy(&word, p + 4 * i, 4);

    return word;
}


/*
 * n blocks: at p for MD5, at q for SHA-256, step by step side by side.  `part`
 * is a constant: two functions are made of this one.
 */

__attribute__((target("sha,sse4.1,ssse3"), always_inline))
static ngx_inline void
ngx_iv_hash_pair_run(ngx_iv_hash_pair_t *h, const u_char *p, const u_char *q,
    size_t n, ngx_uint_t part)
{
    __m128i   abef, cdgh, abef0, cdgh0, w0, w1, w2, w3, k;
    uint32_t  a, b, c, d, a2, b2, c2, d2, m, t;

    const __m128i  swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11,
                                       4, 5, 6, 7, 0, 1, 2, 3);

    /* the instructions want a, b, e, f and c, d, g, h, highest first */

    w0 = _mm_loadu_si128((const __m128i *) &h->sha256[0]);
    w1 = _mm_loadu_si128((const __m128i *) &h->sha256[4]);
    abef = _mm_shuffle_epi32(_mm_unpacklo_epi64(w0, w1), 0x1b);
    cdgh = _mm_shuffle_epi32(_mm_unpackhi_epi64(w0, w1), 0x1b);

    a = h->md5[0];
    b = h->md5[1];
    c = h->md5[2];
    d = h->md5[3];

    a2 = h->part[0];
    b2 = h->part[1];
    c2 = h->part[2];
    d2 = h->part[3];

    for ( /* void */ ; n; n--, p += NGX_IV_HASH_BLOCK, q += NGX_IV_HASH_BLOCK) {

        abef0 = abef;
        cdgh0 = cdgh;

        ngx_iv_sha256_load(w0, q, 0);
        ngx_iv_sha256_four(w0, 0);
        ngx_iv_md5_round1(0);
        ngx_iv_sha256_load(w1, q, 1);
        ngx_iv_sha256_four(w1, 4);
        ngx_iv_md5_round1(4);
        ngx_iv_sha256_load(w2, q, 2);
        ngx_iv_sha256_four(w2, 8);
        ngx_iv_md5_round1(8);
        ngx_iv_sha256_load(w3, q, 3);
        ngx_iv_sha256_four(w3, 12);
        ngx_iv_md5_round1(12);
        ngx_iv_sha256_next(w0, w1, w2, w3);
        ngx_iv_sha256_four(w0, 16);
        ngx_iv_md5_round2(16);
        ngx_iv_sha256_next(w1, w2, w3, w0);
        ngx_iv_sha256_four(w1, 20);
        ngx_iv_md5_round2(20);
        ngx_iv_sha256_next(w2, w3, w0, w1);
        ngx_iv_sha256_four(w2, 24);
        ngx_iv_md5_round2(24);
        ngx_iv_sha256_next(w3, w0, w1, w2);
        ngx_iv_sha256_four(w3, 28);
        ngx_iv_md5_round2(28);
        ngx_iv_sha256_next(w0, w1, w2, w3);
        ngx_iv_sha256_four(w0, 32);
        ngx_iv_md5_round3(32);
        ngx_iv_sha256_next(w1, w2, w3, w0);
        ngx_iv_sha256_four(w1, 36);
        ngx_iv_md5_round3(36);
        ngx_iv_sha256_next(w2, w3, w0, w1);
        ngx_iv_sha256_four(w2, 40);
        ngx_iv_md5_round3(40);
        ngx_iv_sha256_next(w3, w0, w1, w2);
        ngx_iv_sha256_four(w3, 44);
        ngx_iv_md5_round3(44);
        ngx_iv_sha256_next(w0, w1, w2, w3);
        ngx_iv_sha256_four(w0, 48);
        ngx_iv_md5_round4(48);
        ngx_iv_sha256_next(w1, w2, w3, w0);
        ngx_iv_sha256_four(w1, 52);
        ngx_iv_md5_round4(52);
        ngx_iv_sha256_next(w2, w3, w0, w1);
        ngx_iv_sha256_four(w2, 56);
        ngx_iv_md5_round4(56);
        ngx_iv_sha256_next(w3, w0, w1, w2);
        ngx_iv_sha256_four(w3, 60);
        ngx_iv_md5_round4(60);

        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);

        a = h->md5[0] += a;
        b = h->md5[1] += b;
        c = h->md5[2] += c;
        d = h->md5[3] += d;

        if (part) {
            a2 = h->part[0] += a2;
            b2 = h->part[1] += b2;
            c2 = h->part[2] += c2;
            d2 = h->part[3] += d2;
        }
    }

    w2 = _mm_shuffle_epi32(abef, 0x1b);
    w3 = _mm_shuffle_epi32(cdgh, 0x1b);
    w0 = _mm_unpacklo_epi64(w2, w3);
    w1 = _mm_unpackhi_epi64(w2, w3);

    _mm_storeu_si128((__m128i *) &h->sha256[0], w0);
    _mm_storeu_si128((__m128i *) &h->sha256[4], w1);
}


/* one MD5; p and q differ at the end of a stream */

__attribute__((target("sha,sse4.1,ssse3")))
static void
ngx_iv_hash_pair_blocks(ngx_iv_hash_pair_t *h, const u_char *p,
    const u_char *q, size_t n)
{
    ngx_iv_hash_pair_run(h, p, q, n, 0);
}


/* two of them */

__attribute__((target("sha,sse4.1,ssse3")))
static void
ngx_iv_hash_pair_three(ngx_iv_hash_pair_t *h, const u_char *p, size_t n)
{
    ngx_iv_hash_pair_run(h, p, p, n, 1);
}

#endif
