/*
 * What the form parser's two files share: ngx_iv_form.c finds the parts,
 * ngx_iv_form_part.c reads their headers.
 */

#ifndef NGX_IV_FORM_PRIVATE_H
#define NGX_IV_FORM_PRIVATE_H

#include "formats/ngx_iv_form.h"


/* the form stays at this code, which is returned */
ngx_int_t ngx_iv_form_fail(ngx_iv_form_t *f, ngx_int_t code, const char *why);

#define ngx_iv_form_malformed(f, why)                                         \
    ngx_iv_form_fail(f, NGX_IV_MALFORMED_FORM, why)

#define ngx_iv_form_too_large(f, why)                                         \
    ngx_iv_form_fail(f, NGX_IV_TOO_LARGE, why)

/* fills f->part from the header lines in f->head, in place: NGX_OK or a code */
ngx_int_t ngx_iv_form_part(ngx_iv_form_t *f);

/*
 * The next `; name=value` of a header value, its value unescaped in place.
 * NGX_OK; NGX_DONE: no more; NGX_ERROR: malformed.
 */
ngx_int_t ngx_iv_form_param(u_char **p, u_char *last, ngx_str_t *name,
    ngx_str_t *value);

/* the type in front of the parameters, like "multipart/form-data"; moves *p
 * behind it */
void ngx_iv_form_type(u_char **p, u_char *last, ngx_str_t *type);

/* 1 if equal, cases aside */
ngx_uint_t ngx_iv_form_is(const ngx_str_t *s, const char *word);


#endif
