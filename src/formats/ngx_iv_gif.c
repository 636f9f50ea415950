/*
 * GIF (CompuServe's GIF87a and GIF89a): walks the blocks to the trailer and
 * counts the frames.
 *
 * Where decoders are kinder than the text, so is this walker:
 * - A frame may reach out of the logical screen.  Browsers and Pillow widen the
 *   screen for the first frame and clip later ones; so the first one's
 *   edges count as the image's, and all of them count for the limit.
 * - A zero byte between blocks is passed over: some writers end a block twice.
 * The trailer is demanded, and is the end.
 */

#include "formats/ngx_iv_walker.h"


#define NGX_IV_GIF_SCREEN_LEN  7
#define NGX_IV_GIF_FRAME_LEN   9

#define NGX_IV_GIF_EXTENSION   0x21
#define NGX_IV_GIF_FRAME       0x2c
#define NGX_IV_GIF_TRAILER     0x3b

/* codes have 12 bits at most, and the first ones one bit more than this */
#define NGX_IV_GIF_CODE_MAX    11

/* w->flags */
#define NGX_IV_GIF_IN_FRAME    0x01     /* sub-blocks are a frame's data */
#define NGX_IV_GIF_EMPTY       0x02     /* none of them has come yet */

/* w->aux */
#define NGX_IV_GIF_FRAMES      0
#define NGX_IV_GIF_WIDTH       1        /* that holds all frames */
#define NGX_IV_GIF_HEIGHT      2

enum {
    ngx_iv_gif_screen = 0,
    ngx_iv_gif_block,
    ngx_iv_gif_label,
    ngx_iv_gif_frame,
    ngx_iv_gif_code,                    /* behind a frame's header */
    ngx_iv_gif_sub,                     /* the length of a sub-block */
    ngx_iv_gif_data,
    ngx_iv_gif_table,                   /* colours, then a block */
    ngx_iv_gif_frame_table,             /* colours, then a frame's data */
    ngx_iv_gif_end
};


static ngx_int_t ngx_iv_gif_byte(ngx_iv_image_t *w, u_char ch);
static ngx_int_t ngx_iv_gif_on_block(ngx_iv_image_t *w, u_char ch);
static ngx_int_t ngx_iv_gif_on_screen(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_gif_on_frame(ngx_iv_image_t *w, const u_char *p);
static ngx_uint_t ngx_iv_gif_colors(ngx_iv_image_t *w, u_char flags);


ngx_int_t
ngx_iv_gif_feed(ngx_iv_image_t *w, const u_char *p, const u_char *last)
{
    while (p < last) {

        switch (w->state) {

        case ngx_iv_gif_screen:

            if (!ngx_iv_walker_gather(w, &p, last, NGX_IV_GIF_SCREEN_LEN)) {
                return NGX_OK;
            }

            if (ngx_iv_gif_on_screen(w, w->have) != NGX_OK) {
                return w->verdict;
            }

            break;

        case ngx_iv_gif_frame:

            if (!ngx_iv_walker_gather(w, &p, last, NGX_IV_GIF_FRAME_LEN)) {
                return NGX_OK;
            }

            if (ngx_iv_gif_on_frame(w, w->have) != NGX_OK) {
                return w->verdict;
            }

            break;

        case ngx_iv_gif_data:

            if (ngx_iv_walker_pass(w, &p, last)) {
                w->state = ngx_iv_gif_sub;
            }

            break;

        case ngx_iv_gif_table:

            if (ngx_iv_walker_pass(w, &p, last)) {
                w->state = ngx_iv_gif_block;
            }

            break;

        case ngx_iv_gif_frame_table:

            if (ngx_iv_walker_pass(w, &p, last)) {
                w->state = ngx_iv_gif_code;
            }

            break;

        default:

            if (ngx_iv_gif_byte(w, *p++) != NGX_OK) {
                return w->verdict;
            }
        }
    }

    return NGX_OK;
}


/* the states that take one byte */

static ngx_int_t
ngx_iv_gif_byte(ngx_iv_image_t *w, u_char ch)
{
    switch (w->state) {

    case ngx_iv_gif_block:
        return ngx_iv_gif_on_block(w, ch);

    case ngx_iv_gif_label:
        w->flags = 0;
        w->state = ngx_iv_gif_sub;
        return NGX_OK;

    case ngx_iv_gif_code:

        if (ch == 0 || ch > NGX_IV_GIF_CODE_MAX) {
            return ngx_iv_walker_corrupt(w, "gif: wrong code size");
        }

        w->flags = NGX_IV_GIF_IN_FRAME|NGX_IV_GIF_EMPTY;
        w->state = ngx_iv_gif_sub;
        return NGX_OK;

    case ngx_iv_gif_sub:

        if (ch) {
            w->flags &= ~NGX_IV_GIF_EMPTY;
            w->skip = ch;
            w->state = ngx_iv_gif_data;
            return NGX_OK;
        }

        if (w->flags & NGX_IV_GIF_EMPTY) {
            return ngx_iv_walker_corrupt(w, "gif: a frame without data");
        }

        w->state = ngx_iv_gif_block;
        return NGX_OK;

    default: /* ngx_iv_gif_end */

        return ngx_iv_walker_fail(w, NGX_IV_TRAILING_DATA,
                                  "gif: bytes after the trailer");
    }
}


static ngx_int_t
ngx_iv_gif_on_block(ngx_iv_image_t *w, u_char ch)
{
    switch (ch) {

    case 0:
        return NGX_OK;

    case NGX_IV_GIF_EXTENSION:
        w->state = ngx_iv_gif_label;
        return NGX_OK;

    case NGX_IV_GIF_FRAME:
        w->state = ngx_iv_gif_frame;
        return NGX_OK;

    case NGX_IV_GIF_TRAILER:

        if (w->aux[NGX_IV_GIF_FRAMES] == 0) {
            return ngx_iv_walker_corrupt(w, "gif: no frame");
        }

        w->whole = 1;
        w->state = ngx_iv_gif_end;
        return NGX_OK;

    default:
        return ngx_iv_walker_corrupt(w, "gif: unknown block");
    }
}


/* width, height, flags, background, aspect */

static ngx_int_t
ngx_iv_gif_on_screen(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t  width, height;

    width = ngx_iv_get16le(p);
    height = ngx_iv_get16le(p + 2);

    if (width == 0 || height == 0) {
        return ngx_iv_walker_corrupt(w, "gif: no width or height");
    }

    w->aux[NGX_IV_GIF_WIDTH] = width;
    w->aux[NGX_IV_GIF_HEIGHT] = height;

    w->state = ngx_iv_gif_colors(w, p[4]) ? ngx_iv_gif_table
                                          : ngx_iv_gif_block;

    return ngx_iv_walker_size(w, width, height, 1);
}


/* left, top, width, height, flags */

static ngx_int_t
ngx_iv_gif_on_frame(ngx_iv_image_t *w, const u_char *p)
{
    ngx_int_t   rc;
    uint32_t    right, bottom, width, height, *all;

    all = w->aux;

    right = ngx_iv_get16le(p) + ngx_iv_get16le(p + 4);
    bottom = ngx_iv_get16le(p + 2) + ngx_iv_get16le(p + 6);

    all[NGX_IV_GIF_WIDTH] = ngx_max(all[NGX_IV_GIF_WIDTH], right);
    all[NGX_IV_GIF_HEIGHT] = ngx_max(all[NGX_IV_GIF_HEIGHT], bottom);

    if (all[NGX_IV_GIF_FRAMES]++ == 0) {
        width = all[NGX_IV_GIF_WIDTH];
        height = all[NGX_IV_GIF_HEIGHT];

    } else {
        width = w->width;
        height = w->height;
    }

    rc = ngx_iv_walker_size(w, all[NGX_IV_GIF_WIDTH], all[NGX_IV_GIF_HEIGHT],
                            all[NGX_IV_GIF_FRAMES]);

    w->width = width;
    w->height = height;

    w->state = ngx_iv_gif_colors(w, p[8]) ? ngx_iv_gif_frame_table
                                          : ngx_iv_gif_code;

    return rc;
}


/* is there a table of colours?  w->skip is its length */

static ngx_uint_t
ngx_iv_gif_colors(ngx_iv_image_t *w, u_char flags)
{
    if (!(flags & 0x80)) {
        return 0;
    }

    w->skip = 3 * (2 << (flags & 7));

    return 1;
}
