/*
 * AWS Signature Version 4 for S3: header form and presigned URLs.
 * Pure: keys, names, times come in; strings go out, all from the given pool.
 *
 * Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
 * Reference.  S3's rules, not the general ones: the path is encoded once and
 * never normalised; the query is sorted by encoded name, then value.
 */

#ifndef NGX_IV_SIGV4_H
#define NGX_IV_SIGV4_H

#include <ngx_config.h>
#include <ngx_core.h>
#include "formats/ngx_iv_sha256.h"

#define NGX_IV_SIGV4_MAX_EXPIRES  604800


typedef struct {
    ngx_str_t       key_id;
    ngx_str_t       secret;
    ngx_str_t       token;          /* empty: none */
    time_t          expires;        /* of the token; 0: unknown or never */
} ngx_iv_credentials_t;


/*
 * Signing keys are cached by date, region, service, key id and secret: a small
 * table of the caller's (one per worker and storage), zeroed before first use.
 * A cache may be NULL.  Wiped by ngx_iv_sigv4_cache_wipe().
 */
#define NGX_IV_SIGV4_CACHED  4
#define NGX_IV_SIGV4_ID      384    /* of longer ones none is kept */

typedef struct {
    size_t          scope;          /* 0: empty */
    size_t          secret;
    u_char          id[NGX_IV_SIGV4_ID];    /* scope and secret: compared */
    ngx_iv_hmac_t   hmac;
} ngx_iv_sigv4_key_t;

typedef struct {
    ngx_iv_sigv4_key_t  keys[NGX_IV_SIGV4_CACHED];
    ngx_uint_t          next;
} ngx_iv_sigv4_cache_t;

void ngx_iv_sigv4_cache_wipe(ngx_iv_sigv4_cache_t *cache);


typedef struct {
    ngx_str_t       name;           /* any case; signed in lower case */
    ngx_str_t       value;          /* as sent; trimmed and folded to sign */
} ngx_iv_pair_t;


typedef struct {
    const ngx_iv_credentials_t  *credentials;
    ngx_iv_sigv4_cache_t        *cache;
    ngx_str_t       region;
    ngx_str_t       service;        /* "s3" */
    time_t          now;

    ngx_str_t       method;
    ngx_str_t       host;           /* exactly the Host header to be sent */
    ngx_str_t       path;           /* raw: "/bucket/key with spaces" */
    ngx_iv_pair_t  *query;          /* raw names and values */
    ngx_uint_t      nquery;
    ngx_iv_pair_t  *headers;        /* to be signed, besides host and x-amz-* of
                                       the signer's own */
    ngx_uint_t      nheaders;
    ngx_str_t       payload;        /* 64 hex digits, "UNSIGNED-PAYLOAD", or a
                                       STREAMING-… value */
} ngx_iv_sigv4_request_t;


typedef struct {
    ngx_str_t       target;         /* the request line's path and query */
    ngx_str_t       date;           /* X-Amz-Date */
    ngx_str_t       payload;        /* X-Amz-Content-Sha256 */
    ngx_str_t       token;          /* X-Amz-Security-Token, empty: none */
    ngx_str_t       authorization;  /* Authorization */
    /* for tests and for the log at debug level: no secret in them */
    ngx_str_t       canonical;
    ngx_str_t       string_to_sign;
} ngx_iv_sigv4_signed_t;


/* NGX_OK or NGX_ERROR (no memory, OpenSSL) */
ngx_int_t ngx_iv_sigv4_sign(ngx_pool_t *pool, ngx_iv_sigv4_request_t *rq,
    ngx_iv_sigv4_signed_t *out);

/*
 * The whole URL, `scheme://host/path?…&X-Amz-Signature=…`.  payload is taken
 * as UNSIGNED-PAYLOAD; expires is 1 … NGX_IV_SIGV4_MAX_EXPIRES (clamped).
 * Headers of rq are signed as well and must then be sent by the client.
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_iv_sigv4_presign(ngx_pool_t *pool, ngx_iv_sigv4_request_t *rq,
    const ngx_str_t *scheme, time_t expires, ngx_str_t *url);

/*
 * RFC 3986 unreserved bytes stay, all else becomes %XX (upper case); slash
 * stays if keep_slash.  dst may be NULL: returns the length only.
 */
size_t ngx_iv_uri_encode(u_char *dst, const ngx_str_t *src,
    ngx_uint_t keep_slash);


#endif
