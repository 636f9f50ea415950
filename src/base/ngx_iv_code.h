/*
 * Result codes: the one list of what can go wrong, as the HTTP interface
 * names it.  Every room reports a failure as one of these, so that the answer
 * to the client, the access log variable and the metrics agree.
 *
 * A code is an ngx_int_t > 0; NGX_OK (0), NGX_AGAIN, NGX_DONE, NGX_ERROR keep
 * nginx's meaning and never collide with it.
 */

#ifndef NGX_IV_CODE_H
#define NGX_IV_CODE_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef enum {
    NGX_IV_UNAUTHENTICATED = 1,
    NGX_IV_FORBIDDEN,
    NGX_IV_QUOTA_EXCEEDED,
    NGX_IV_NOT_FOUND,
    NGX_IV_METHOD_NOT_ALLOWED,
    NGX_IV_TIMEOUT,
    NGX_IV_NOT_READY,
    NGX_IV_CONFLICT,
    NGX_IV_GONE,
    NGX_IV_PRECONDITION_FAILED,
    NGX_IV_TOO_LARGE,
    NGX_IV_TOO_MANY_FILES,
    NGX_IV_TOO_MANY_PIXELS,
    NGX_IV_UNSUPPORTED_TYPE,
    NGX_IV_CORRUPT_IMAGE,
    NGX_IV_TRAILING_DATA,
    NGX_IV_RATE_LIMITED,
    NGX_IV_BLOCKED,
    NGX_IV_LENGTH_MISMATCH,
    NGX_IV_MALFORMED_FORM,
    NGX_IV_MALFORMED_JSON,
    NGX_IV_BAD_PARAMETER,
    NGX_IV_DIGEST_MISMATCH,
    NGX_IV_STORAGE_UNAVAILABLE,
    NGX_IV_METADATA_UNAVAILABLE,
    NGX_IV_OVERLOADED,
    NGX_IV_STORAGE_DENIED,
    NGX_IV_INTERNAL,

    NGX_IV_CODE_LAST
} ngx_iv_code_e;


typedef struct {
    ngx_str_t     word;          /* stable, for JSON, $image_vault_result  */
    ngx_uint_t    status;        /* HTTP status */
    ngx_uint_t    retry_after;   /* seconds, 0: no Retry-After */
    ngx_str_t     message;       /* for people, no variable parts */
} ngx_iv_code_t;


/* never NULL: what is not a code is answered as NGX_IV_INTERNAL */
const ngx_iv_code_t *ngx_iv_code(ngx_int_t code);


#endif
