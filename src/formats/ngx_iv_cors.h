/*
 * Origins (RFC 6454, the Fetch standard) and what a preflight is told: parsed
 * and compared, without any knowledge of requests.
 *
 * An origin is scheme://host[:port] and nothing else.  It is compared in its
 * normal form: scheme and host in lower case, the scheme's own port left out.
 * "null", a list, user names, paths, names that are not ASCII are no origins.
 */

#ifndef NGX_IV_CORS_H
#define NGX_IV_CORS_H

#include <ngx_config.h>
#include <ngx_core.h>

/* a scheme of 32, "://", a host of 253, a port */
#define NGX_IV_ORIGIN_MAX  300


typedef struct {
    size_t          len;
    size_t          host;           /* where it begins, … */
    size_t          host_len;
    u_char          text[NGX_IV_ORIGIN_MAX];    /* normal form, no NUL */
} ngx_iv_origin_t;


/* what a configuration lists: an origin, or one with "*" as a label */
typedef struct {
    ngx_str_t       before;         /* normal form, up to the "*" */
    ngx_str_t       after;          /* … and behind it */
    unsigned        wildcard:1;     /* else `before` is the whole origin */
} ngx_iv_origin_pattern_t;


/* NGX_OK, or NGX_DECLINED: it is no origin */
ngx_int_t ngx_iv_origin_parse(ngx_iv_origin_t *o, const ngx_str_t *text);

/*
 * NULL, or what is wrong with it, for people.  The pattern is a copy in pool.
 * "*" is one whole label with at least two others behind it.
 */
const char *ngx_iv_origin_pattern(ngx_pool_t *pool,
    ngx_iv_origin_pattern_t *pattern, const ngx_str_t *text);

ngx_uint_t ngx_iv_origin_match(const ngx_iv_origin_pattern_t *pattern,
    const ngx_iv_origin_t *o);

/*
 * Access-Control-Allow-Headers: the headers that requests may always have, and
 * of those a preflight asks for (NULL: none) the x-amz-* ones.
 * NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_iv_cors_headers(ngx_pool_t *pool, const ngx_str_t *asked,
    ngx_str_t *value);


#endif
