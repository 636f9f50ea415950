/*
 * Image walker: reads an image as it streams by, in any split, and tells
 * its format and dimensions as early and its first fault as soon as the bytes
 * show it.  It decodes no pixels and holds no more than this struct.
 *
 * Usage: ngx_iv_image_init(); ngx_iv_image_feed() for every piece;
 * ngx_iv_image_finish() after the last byte.  The verdict of all bytes fed so
 * far never depends on how they were split.  After a code was returned the
 * walker stays at that code.
 *
 * Sources: PNG 3rd ed. (W3C), ITU-T T.81 (JPEG), CIPA DC-007 (MPF), Google's
 * Motion Photo and Ultra HDR formats, GIF89a, RFC 9649 (WebP), RFC 6386 (VP8),
 * ISO/IEC 14496-12 and 23008-12 (boxes, items), AV1 Image File Format.
 */

#ifndef NGX_IV_IMAGE_H
#define NGX_IV_IMAGE_H

#include "base/ngx_iv_code.h"
#include "formats/ngx_iv_image_state.h"

/* bits of ngx_iv_image_limits_t.types */
#define NGX_IV_IMAGE_JPEG  0x01
#define NGX_IV_IMAGE_PNG   0x02
#define NGX_IV_IMAGE_GIF   0x04
#define NGX_IV_IMAGE_WEBP  0x08
#define NGX_IV_IMAGE_AVIF  0x10
#define NGX_IV_IMAGE_ALL   0x1f


typedef struct {
    ngx_uint_t      types;          /* NGX_IV_IMAGE_* accepted */
    uint64_t        max_pixels;     /* width x height x frames */
} ngx_iv_image_limits_t;


typedef struct {
    /* results */
    ngx_uint_t      format;         /* NGX_IV_IMAGE_*, 0: not known yet */
    uint32_t        width;          /* as coded; 0: not known yet */
    uint32_t        height;
    uint32_t        frames;         /* seen so far, at least 1 */
    unsigned        known:1;        /* format and dimensions are known */
    unsigned        whole:1;        /* the end of the image has been seen */
    ngx_int_t       verdict;        /* NGX_OK or the code it stays at */
    const char     *why;            /* static text for the log, or NULL */

    /* private */
    ngx_iv_image_limits_t   limits;
    ngx_uint_t      walker;         /* whose turn it is, a NGX_IV_IMAGE_* */
    unsigned        behind:1;       /* the end was seen, and more bytes */
    ngx_uint_t      state;
    uint64_t        skip;           /* bytes of the present unit to pass over */
    uint64_t        offset;         /* bytes fed so far */
    uint32_t        crc;
    uint32_t        tag;
    ngx_uint_t      flags;
    size_t          nhave;
    u_char          have[64];       /* a header that came in pieces */
    uint32_t        aux[8];
    ngx_iv_image_state_t    u;
} ngx_iv_image_t;


void ngx_iv_image_init(ngx_iv_image_t *w, const ngx_iv_image_limits_t *limits);

/*
 * NGX_OK: nothing wrong so far; else NGX_IV_UNSUPPORTED_TYPE (not an image, or
 * of a type not in limits.types), NGX_IV_CORRUPT_IMAGE, NGX_IV_TOO_MANY_PIXELS,
 * NGX_IV_TRAILING_DATA
 */
ngx_int_t ngx_iv_image_feed(ngx_iv_image_t *w, const u_char *p, size_t n);

/* NGX_OK: the image is whole; else a code as above */
ngx_int_t ngx_iv_image_finish(ngx_iv_image_t *w);

/* "image/png" and "png"; an empty string for an unknown format */
const ngx_str_t *ngx_iv_image_mime(ngx_uint_t format);
const ngx_str_t *ngx_iv_image_ext(ngx_uint_t format);

/* the format of a MIME type of the configuration ("image/png"), 0: none */
ngx_uint_t ngx_iv_image_by_mime(const ngx_str_t *mime);

/* the format of a name's extension ("x/y.jpg", "jpeg"), 0: none */
ngx_uint_t ngx_iv_image_by_name(const ngx_str_t *name);


#endif
