/*
 * MD5 and SHA-256 of one stream in one pass, with the SHA instructions of
 * x86-64.  Where those lack (at compile time or on this machine) nothing of it
 * may be called: ngx_iv_hash.c then takes OpenSSL.
 */

#ifndef NGX_IV_HASH_PAIR_H
#define NGX_IV_HASH_PAIR_H

#include <ngx_config.h>
#include <ngx_core.h>

#ifndef NGX_IV_HASH_PAIR
#if (defined __x86_64__ && defined __GNUC__)
#define NGX_IV_HASH_PAIR   1
#else
#define NGX_IV_HASH_PAIR   0
#endif
#endif

#define NGX_IV_HASH_BLOCK    64
#define NGX_IV_HASH_NO_PART  UINT64_MAX


typedef struct {
    uint64_t        total;          /* bytes so far */
    uint32_t        md5[4];
    uint32_t        sha256[8];
    uint64_t        from;           /* where the second MD5 begins */
    uint32_t        part[4];
    u_char          block[NGX_IV_HASH_BLOCK];  /* total % 64 bytes of it hold */
} ngx_iv_hash_pair_t;


#if (NGX_IV_HASH_PAIR)

/* does this processor know the instructions?  Asked once */
ngx_uint_t ngx_iv_hash_pair_able(void);

void ngx_iv_hash_pair_init(ngx_iv_hash_pair_t *h);
void ngx_iv_hash_pair_update(ngx_iv_hash_pair_t *h, const u_char *p, size_t n);
/* a second MD5, of what comes from now on, for little more than without it.
 * NGX_OK, or NGX_DECLINED: not within a block of 64 bytes */
ngx_int_t ngx_iv_hash_pair_part(ngx_iv_hash_pair_t *h);
/* what it is so far; after ngx_iv_hash_pair_part() */
void ngx_iv_hash_pair_part_so_far(const ngx_iv_hash_pair_t *h, u_char md5[16]);
/* the object is of no use afterwards */
void ngx_iv_hash_pair_final(ngx_iv_hash_pair_t *h, u_char md5[16],
    u_char sha256[32]);

#endif


#endif
