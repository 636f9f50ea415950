/*
 * Small pure helpers: copies, hashes, hex, random bytes, constant time, ids.
 */

#ifndef NGX_IV_STR_H
#define NGX_IV_STR_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_ID_LEN    12         /* an ObjectId's bytes */
#define NGX_IV_UUID_LEN  36

/* 1 if equal, byte for byte; not for secrets */
ngx_uint_t ngx_iv_equal(const ngx_str_t *a, const ngx_str_t *b);

/* a copy of src's bytes in pool; an empty one is null.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_copy_str(ngx_pool_t *pool, ngx_str_t *dst,
    const ngx_str_t *src);
/* so for a list of n; of none it is NULL */
ngx_int_t ngx_iv_copy_strs(ngx_pool_t *pool, ngx_str_t **dst,
    const ngx_str_t *src, ngx_uint_t n);

/* FNV-1a of 64 bits, for names that nobody hostile chooses: of one string after
 * another, beginning with NGX_IV_FOLD; where one ends counts as well */
#define NGX_IV_FOLD  0xcbf29ce484222325ull
uint64_t ngx_iv_fold(uint64_t h, const ngx_str_t *s);

/* 1 if equal; the time depends on the lengths only */
ngx_uint_t ngx_iv_equal_ct(const u_char *a, const u_char *b, size_t n);

/* lower-case hex of n bytes, no NUL; returns the end */
u_char *ngx_iv_hex(u_char *dst, const u_char *src, size_t n);

/* exactly 2 × n hex digits, either case; NGX_OK or NGX_DECLINED */
ngx_int_t ngx_iv_unhex(u_char *dst, const u_char *src, size_t n);

/* from the system's generator; NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_random(u_char *p, size_t n);

/* a version 4 UUID (RFC 9562), NGX_IV_UUID_LEN lower-case bytes */
ngx_int_t ngx_iv_uuid(u_char *p);

/* an ObjectId: seconds, 5 random bytes of this process, a counter (BSON's
 * ObjectId specification).  Event loop only, after fork. */
ngx_int_t ngx_iv_object_id(u_char id[NGX_IV_ID_LEN], time_t now);

/* 24 hex digits, upper case folded, and nothing else */
ngx_int_t ngx_iv_parse_id(const ngx_str_t *s, u_char id[NGX_IV_ID_LEN]);

/* 1-128 bytes of A-Za-z0-9._@:|+=-, not "." or ".." */
ngx_uint_t ngx_iv_owner_valid(const ngx_str_t *owner);

/* clears memory in a way the compiler keeps */
void ngx_iv_wipe(void *p, size_t n);


#endif
