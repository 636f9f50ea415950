/*
 * Arguments of a query string, and the kinds of values they have.
 */

#ifndef NGX_IV_ARGS_H
#define NGX_IV_ARGS_H

#include <ngx_config.h>
#include <ngx_core.h>

/*
 * Takes the next argument off `rest`; name and value are unescaped, in the
 * pool.  Arguments without a name, or whose name is escaped badly, are passed
 * over.  NGX_OK; NGX_DECLINED: the value is escaped badly; NGX_DONE: there is
 * none left; NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_args_next(ngx_pool_t *pool, ngx_str_t *rest, ngx_str_t *name,
    ngx_str_t *value);

/* decimal digits and nothing else, however many: a number above max (itself
 * below INT64_MAX) gives some number above max.  NGX_OK or NGX_DECLINED */
ngx_int_t ngx_iv_args_number(const ngx_str_t *s, int64_t max, int64_t *n);

/* how many a page is to have, from 1 on; what is above max means max.  NGX_OK
 * or NGX_DECLINED */
ngx_int_t ngx_iv_args_limit(const ngx_str_t *s, ngx_uint_t max,
    ngx_uint_t *limit);

/* true false 1 0 on off yes no, in any case.  NGX_OK or NGX_DECLINED */
ngx_int_t ngx_iv_args_bool(const ngx_str_t *s, ngx_uint_t *value);

/* the index of a word in a list that NULL ends; NGX_DECLINED: it is none */
ngx_int_t ngx_iv_args_word(const ngx_str_t *s, const char *const *words);

/* type/subtype, without parameters and wildcards, 127 bytes at most, written
 * in lower case to *type.  NGX_OK, NGX_DECLINED or NGX_ERROR */
ngx_int_t ngx_iv_args_type(ngx_pool_t *pool, const ngx_str_t *s,
    ngx_str_t *type);

/*
 * As ngx_iv_date_parse_any(); with `whole_day` a date without a time is the
 * last millisecond of its day.  NGX_OK or NGX_DECLINED
 */
ngx_int_t ngx_iv_args_date(const ngx_str_t *s, ngx_uint_t whole_day,
    int64_t *msec);

/* valid UTF-8 without control characters, max bytes at most */
ngx_uint_t ngx_iv_args_text(const ngx_str_t *s, size_t max);


#endif
