/*
 * JSON writer (RFC 8259): appends to one growing buffer taken from a pool.
 * Commas are the writer's business.  A failed allocation or misuse sticks and
 * is told once, by ngx_iv_json_done().
 * Strings are UTF-8; bytes that are not are written as U+FFFD, control
 * characters and U+2028/2029 escaped, "</" as "<\/", so that the text may
 * stand in a script.
 */

#ifndef NGX_IV_JSON_H
#define NGX_IV_JSON_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    ngx_pool_t     *pool;
    u_char         *start;
    u_char         *pos;
    u_char         *end;
    ngx_uint_t      depth;
    uint64_t        objects;        /* a bit for each level: an object? */
    unsigned        comma:1;
    unsigned        failed:1;
} ngx_iv_json_t;


void ngx_iv_json_init(ngx_iv_json_t *j, ngx_pool_t *pool, size_t hint);

/* key == NULL inside arrays and at the top, else a literal C string */
void ngx_iv_json_object(ngx_iv_json_t *j, const char *key);
void ngx_iv_json_object_end(ngx_iv_json_t *j);
void ngx_iv_json_array(ngx_iv_json_t *j, const char *key);
void ngx_iv_json_array_end(ngx_iv_json_t *j);
void ngx_iv_json_str(ngx_iv_json_t *j, const char *key, const ngx_str_t *v);
void ngx_iv_json_cstr(ngx_iv_json_t *j, const char *key, const char *v);
void ngx_iv_json_int(ngx_iv_json_t *j, const char *key, int64_t v);
void ngx_iv_json_bool(ngx_iv_json_t *j, const char *key, ngx_uint_t v);
void ngx_iv_json_null(ngx_iv_json_t *j, const char *key);
/* milliseconds since the epoch as "2026-11-21T03:04:05.678Z" */
void ngx_iv_json_date(ngx_iv_json_t *j, const char *key, int64_t msec);
/* the same, but 0 is null: documents have no date there */
void ngx_iv_json_date_or_null(ngx_iv_json_t *j, const char *key,
    int64_t msec);
/* lower-case hex of n bytes */
void ngx_iv_json_hex(ngx_iv_json_t *j, const char *key, const u_char *p,
    size_t n);

/* NGX_OK and the text in *out (in the pool), or NGX_ERROR */
ngx_int_t ngx_iv_json_done(ngx_iv_json_t *j, ngx_str_t *out);


#endif
