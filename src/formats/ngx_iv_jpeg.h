/*
 * What the three parts of the JPEG walker share; private to this room.
 */

#ifndef NGX_IV_JPEG_H
#define NGX_IV_JPEG_H

#include "formats/ngx_iv_walker.h"


#define NGX_IV_JPEG_APP1  0xe1
#define NGX_IV_JPEG_APP2  0xe2

enum {
    ngx_iv_jpeg_marker = 0,             /* behind 0xff; the signature has one */
    ngx_iv_jpeg_ff,
    ngx_iv_jpeg_length,
    ngx_iv_jpeg_kept,                   /* a segment to look at */
    ngx_iv_jpeg_ident,                  /* the name a segment begins with */
    ngx_iv_jpeg_declared,               /* a segment with declarations */
    ngx_iv_jpeg_passed,                 /* a segment to pass over */
    ngx_iv_jpeg_scan,                   /* entropy-coded data */
    ngx_iv_jpeg_scan_ff,
    ngx_iv_jpeg_end
};


/* how many bytes of the segment w->tag name what is in it */
size_t ngx_iv_jpeg_ident_len(ngx_iv_image_t *w);

/* 1: a segment with this name, which ends at `at`, declares what follows EOI */
ngx_uint_t ngx_iv_jpeg_declares(ngx_iv_image_t *w, const u_char *ident,
    uint64_t at);

/* the bytes of such a segment, behind its name */
void ngx_iv_jpeg_declare(ngx_iv_image_t *w, const u_char *p, size_t n);

/* all segments have been seen, EOI ends at `at`: what is declared behind it? */
void ngx_iv_jpeg_parts(ngx_iv_image_t *w, uint64_t at);

/* bytes behind EOI */
ngx_int_t ngx_iv_jpeg_tail(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);

/* an image there was walked up to `at`: is it over, or cut short? */
ngx_int_t ngx_iv_jpeg_nested(ngx_iv_image_t *w, uint64_t at);


#endif
