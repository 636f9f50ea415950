/*
 * The same as test_hash.c, on a processor without instructions for SHA.
 *
 * sources: src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#define NGX_IV_HASH_PAIR  0

#include "formats/ngx_iv_hash.c"
#include "test_hash.c"
