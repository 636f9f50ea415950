/*
 * What the image walkers share; private to this room.  A walker is a pure
 * state machine over ngx_iv_image_t: it starts behind the signature, which is
 * in have, with state, nhave, flags, aux and u at 0, is given bytes in any
 * split, and says ngx_iv_walker_fail() at the first fault.
 */

#ifndef NGX_IV_WALKER_H
#define NGX_IV_WALKER_H

#include "formats/ngx_iv_image.h"


#define ngx_iv_get16(p)                                                       \
    ((uint32_t) (p)[0] << 8 | (p)[1])

#define ngx_iv_get32(p)                                                       \
    ((uint32_t) (p)[0] << 24 | (uint32_t) (p)[1] << 16                        \
     | (uint32_t) (p)[2] << 8 | (p)[3])


#define ngx_iv_get64(p)                                                       \
    ((uint64_t) ngx_iv_get32(p) << 32 | ngx_iv_get32((p) + 4))

#define ngx_iv_get16le(p)                                                     \
    ((uint32_t) (p)[1] << 8 | (p)[0])

#define ngx_iv_get24le(p)                                                     \
    ((uint32_t) (p)[2] << 16 | (uint32_t) (p)[1] << 8 | (p)[0])

#define ngx_iv_get32le(p)                                                     \
    ((uint32_t) (p)[3] << 24 | (uint32_t) (p)[2] << 16                        \
     | (uint32_t) (p)[1] << 8 | (p)[0])

#define ngx_iv_tag(a, b, c, d)                                                \
    ((uint32_t) (a) << 24 | (uint32_t) (b) << 16 | (uint32_t) (c) << 8 | (d))

/* where p stands in the file, if the bytes given end at last */
#define ngx_iv_walker_at(w, p, last)                                          \
    ((w)->offset - (uint64_t) ((last) - (p)))


/* sets the verdict and its reason; returns the code */
ngx_int_t ngx_iv_walker_fail(ngx_iv_image_t *w, ngx_int_t code,
    const char *why);

#define ngx_iv_walker_corrupt(w, why)                                         \
    ngx_iv_walker_fail(w, NGX_IV_CORRUPT_IMAGE, why)

/*
 * Gathers `want` bytes (at most sizeof(w->have)) in w->have, over as many
 * calls as it takes.  1: they are there, nhave is 0 again; 0: more is needed.
 */
ngx_uint_t ngx_iv_walker_gather(ngx_iv_image_t *w, const u_char **p,
    const u_char *last, size_t want);

/* passes over bytes of w->skip; 1: all of them are over */
ngx_uint_t ngx_iv_walker_pass(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);

/* the format is known: NGX_OK or, not allowed here, a code */
ngx_int_t ngx_iv_walker_format(ngx_iv_image_t *w, ngx_uint_t format);

/* dimensions are known: NGX_OK or, over the limit, a code */
ngx_int_t ngx_iv_walker_size(ngx_iv_image_t *w, uint32_t width,
    uint32_t height, uint32_t frames);


ngx_int_t ngx_iv_png_feed(ngx_iv_image_t *w, const u_char *p,
    const u_char *last);
ngx_int_t ngx_iv_jpeg_feed(ngx_iv_image_t *w, const u_char *p,
    const u_char *last);
ngx_int_t ngx_iv_gif_feed(ngx_iv_image_t *w, const u_char *p,
    const u_char *last);
ngx_int_t ngx_iv_webp_feed(ngx_iv_image_t *w, const u_char *p,
    const u_char *last);
ngx_int_t ngx_iv_avif_feed(ngx_iv_image_t *w, const u_char *p,
    const u_char *last);


#endif
