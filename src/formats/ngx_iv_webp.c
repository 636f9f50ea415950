/*
 * WebP (RFC 9649): walks the RIFF chunks.  Simple files (one VP8 or VP8L),
 * extended ones (VP8X) and animations, whose frames are chunks with chunks
 * within.  The RIFF size must be the file's.
 *
 * Kinder than the text where decoders are: the padding byte may be missing
 * behind the last chunk of odd size, and chunks that nobody knows may stand
 * anywhere behind the first.
 */

#include "formats/ngx_iv_walker.h"


#define NGX_IV_WEBP_HEAD_LEN  8
#define NGX_IV_WEBP_VP8_LEN   10
#define NGX_IV_WEBP_VP8L_LEN  5
#define NGX_IV_WEBP_VP8X_LEN  10
#define NGX_IV_WEBP_ANIM_LEN  6
#define NGX_IV_WEBP_ANMF_LEN  16

#define NGX_IV_WEBP_VP8   ngx_iv_tag('V', 'P', '8', ' ')
#define NGX_IV_WEBP_VP8L  ngx_iv_tag('V', 'P', '8', 'L')
#define NGX_IV_WEBP_VP8X  ngx_iv_tag('V', 'P', '8', 'X')
#define NGX_IV_WEBP_ANIM  ngx_iv_tag('A', 'N', 'I', 'M')
#define NGX_IV_WEBP_ANMF  ngx_iv_tag('A', 'N', 'M', 'F')

/* a flag of VP8X */
#define NGX_IV_WEBP_ANIMATED   0x02

/* w->flags */
#define NGX_IV_WEBP_HAS_VP8X   0x01
#define NGX_IV_WEBP_MOVES      0x02     /* VP8X tells of frames */
#define NGX_IV_WEBP_HAS_ANIM   0x04
#define NGX_IV_WEBP_HAS_IMAGE  0x08
#define NGX_IV_WEBP_HAS_FIRST  0x10
#define NGX_IV_WEBP_FRAME_IMAGE  0x20   /* the present frame has its image */

/* w->aux */
#define NGX_IV_WEBP_FRAMES     0

enum {
    ngx_iv_webp_start = 0,
    ngx_iv_webp_head,
    ngx_iv_webp_kept,                   /* data to look at */
    ngx_iv_webp_passed,                 /* data to pass over */
    ngx_iv_webp_pad,
    ngx_iv_webp_end_pad,
    ngx_iv_webp_end
};


static ngx_int_t ngx_iv_webp_on_head(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_webp_order(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_webp_on_kept(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_webp_vp8x(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_webp_anmf(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_webp_vp8(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_webp_vp8l(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_webp_image(ngx_iv_image_t *w, uint32_t width,
    uint32_t height);
static ngx_int_t ngx_iv_webp_over(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_webp_next(ngx_iv_image_t *w);
static size_t ngx_iv_webp_keep(ngx_iv_image_t *w);


ngx_int_t
ngx_iv_webp_feed(ngx_iv_image_t *w, const u_char *p, const u_char *last)
{
    ngx_int_t             rc;
    ngx_iv_webp_state_t  *s;

    s = &w->u.webp;
    rc = NGX_OK;

    if (w->state == ngx_iv_webp_start) {

        /* "RIFF", size, "WEBP"; the size counts the last of them */

        s->left = ngx_iv_get32le(w->have + 4);

        if (s->left < 4 + NGX_IV_WEBP_HEAD_LEN) {
            return ngx_iv_walker_corrupt(w, "webp: wrong RIFF size");
        }

        s->odd = s->left & 1;
        s->left -= 4;
        w->state = ngx_iv_webp_head;
    }

    while (p < last && rc == NGX_OK) {

        switch (w->state) {

        case ngx_iv_webp_head:

            if (ngx_iv_walker_gather(w, &p, last, NGX_IV_WEBP_HEAD_LEN)) {
                rc = ngx_iv_webp_on_head(w);
            }

            break;

        case ngx_iv_webp_kept:

            if (ngx_iv_walker_gather(w, &p, last, ngx_iv_webp_keep(w))) {
                rc = ngx_iv_webp_on_kept(w);
            }

            break;

        case ngx_iv_webp_passed:

            if (ngx_iv_walker_pass(w, &p, last)) {
                rc = ngx_iv_webp_over(w);
            }

            break;

        case ngx_iv_webp_pad:
            p++;
            s->pad = 0;
            rc = ngx_iv_webp_next(w);
            break;

        case ngx_iv_webp_end_pad:

            /* a RIFF chunk of odd size is padded like any other */

            if (*p++ == 0) {
                w->state = ngx_iv_webp_end;
                break;
            }

            /* fall through */

        default: /* ngx_iv_webp_end */

            return ngx_iv_walker_fail(w, NGX_IV_TRAILING_DATA,
                                      "webp: bytes after the RIFF chunk");
        }
    }

    return rc;
}


/* a chunk's type and size are in w->have */

static ngx_int_t
ngx_iv_webp_on_head(ngx_iv_image_t *w)
{
    size_t                keep;
    uint32_t              size, *left;
    ngx_iv_webp_state_t  *s;

    s = &w->u.webp;

    w->tag = ngx_iv_get32(w->have);
    size = ngx_iv_get32le(w->have + 4);

    left = s->in_frame ? &s->frame_left : &s->left;
    *left -= NGX_IV_WEBP_HEAD_LEN;

    if (size > *left) {
        return ngx_iv_walker_corrupt(w, "webp: a chunk longer than its parent");
    }

    *left -= size;
    s->size = size;
    s->pad = 0;

    if ((size & 1) && *left) {
        *left -= 1;
        s->pad = 1;
    }

    if (ngx_iv_webp_order(w) != NGX_OK) {
        return w->verdict;
    }

    keep = ngx_iv_webp_keep(w);

    if (size < keep) {
        return ngx_iv_walker_corrupt(w, "webp: a chunk too short");
    }

    w->skip = size - keep;

    if (keep) {
        w->state = ngx_iv_webp_kept;
        return NGX_OK;
    }

    w->state = ngx_iv_webp_passed;

    return size ? NGX_OK : ngx_iv_webp_over(w);
}


/* may this chunk stand here? */

static ngx_int_t
ngx_iv_webp_order(ngx_iv_image_t *w)
{
    ngx_uint_t  in_frame, first;

    in_frame = w->u.webp.in_frame;
    first = !(w->flags & NGX_IV_WEBP_HAS_FIRST);
    w->flags |= NGX_IV_WEBP_HAS_FIRST;

    switch (w->tag) {

    case NGX_IV_WEBP_VP8X:

        if (!first) {
            return ngx_iv_walker_corrupt(w, "webp: VP8X is not first");
        }

        return NGX_OK;

    case NGX_IV_WEBP_VP8:
    case NGX_IV_WEBP_VP8L:

        if (in_frame) {

            if (w->flags & NGX_IV_WEBP_FRAME_IMAGE) {
                return ngx_iv_walker_corrupt(w, "webp: two images in a frame");
            }

            w->flags |= NGX_IV_WEBP_FRAME_IMAGE;
            return NGX_OK;
        }

        if (w->flags & (NGX_IV_WEBP_HAS_IMAGE|NGX_IV_WEBP_MOVES)) {
            return ngx_iv_walker_corrupt(w, "webp: an image too many");
        }

        w->flags |= NGX_IV_WEBP_HAS_IMAGE;
        return NGX_OK;

    case NGX_IV_WEBP_ANIM:
        w->flags |= NGX_IV_WEBP_HAS_ANIM;
        break;

    case NGX_IV_WEBP_ANMF:

        if (in_frame
            || !(w->flags & NGX_IV_WEBP_MOVES)
            || !(w->flags & NGX_IV_WEBP_HAS_ANIM))
        {
            return ngx_iv_walker_corrupt(w, "webp: a frame out of place");
        }

        break;
    }

    if (first) {
        return ngx_iv_walker_corrupt(w, "webp: the first chunk is no image");
    }

    return NGX_OK;
}


/* how many bytes of the present chunk are looked at */

static size_t
ngx_iv_webp_keep(ngx_iv_image_t *w)
{
    switch (w->tag) {

    case NGX_IV_WEBP_VP8:
        return NGX_IV_WEBP_VP8_LEN;

    case NGX_IV_WEBP_VP8L:
        return NGX_IV_WEBP_VP8L_LEN;

    case NGX_IV_WEBP_VP8X:
        return NGX_IV_WEBP_VP8X_LEN;

    case NGX_IV_WEBP_ANIM:
        return NGX_IV_WEBP_ANIM_LEN;

    case NGX_IV_WEBP_ANMF:
        return NGX_IV_WEBP_ANMF_LEN;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_iv_webp_on_kept(ngx_iv_image_t *w)
{
    ngx_int_t  rc;

    switch (w->tag) {

    case NGX_IV_WEBP_VP8:
        rc = ngx_iv_webp_vp8(w, w->have);
        break;

    case NGX_IV_WEBP_VP8L:
        rc = ngx_iv_webp_vp8l(w, w->have);
        break;

    case NGX_IV_WEBP_VP8X:
        rc = ngx_iv_webp_vp8x(w, w->have);
        break;

    case NGX_IV_WEBP_ANMF:
        /* goes on with the chunks within */
        return ngx_iv_webp_anmf(w, w->have);

    default: /* NGX_IV_WEBP_ANIM */
        rc = NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    w->state = ngx_iv_webp_passed;

    return w->skip ? NGX_OK : ngx_iv_webp_over(w);
}


/* flags, 3 reserved bytes, width and height of the canvas, less one */

static ngx_int_t
ngx_iv_webp_vp8x(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t  width, height;

    w->flags |= NGX_IV_WEBP_HAS_VP8X;

    if (p[0] & NGX_IV_WEBP_ANIMATED) {
        w->flags |= NGX_IV_WEBP_MOVES;
    }

    width = ngx_iv_get24le(p + 4) + 1;
    height = ngx_iv_get24le(p + 7) + 1;

    if ((uint64_t) width * height > 0xffffffff) {
        return ngx_iv_walker_corrupt(w, "webp: a canvas of over 2^32 pixels");
    }

    return ngx_iv_walker_size(w, width, height, 1);
}


/* x / 2, y / 2, width and height less one, duration, flags */

static ngx_int_t
ngx_iv_webp_anmf(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t              x, y, frames;
    ngx_iv_webp_state_t  *s;

    s = &w->u.webp;

    x = ngx_iv_get24le(p) * 2;
    y = ngx_iv_get24le(p + 3) * 2;
    s->width = ngx_iv_get24le(p + 6) + 1;
    s->height = ngx_iv_get24le(p + 9) + 1;

    if (x + s->width > w->width || y + s->height > w->height) {
        return ngx_iv_walker_corrupt(w, "webp: a frame outside the canvas");
    }

    s->in_frame = 1;
    s->frame_left = (uint32_t) w->skip;
    s->frame_pad = s->pad;
    s->pad = 0;

    w->flags &= ~NGX_IV_WEBP_FRAME_IMAGE;
    frames = ++w->aux[NGX_IV_WEBP_FRAMES];

    if (ngx_iv_walker_size(w, w->width, w->height, frames) != NGX_OK) {
        return w->verdict;
    }

    return ngx_iv_webp_next(w);
}


/*
 * RFC 6386, 9.1: 3 bytes of frame tag (not a key frame, version, shown,
 * length of the first partition), a start code, width and height with 2 bits
 * of scaling each
 */

static ngx_int_t
ngx_iv_webp_vp8(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t  tag;

    tag = ngx_iv_get24le(p);

    if ((tag & 1) || p[3] != 0x9d || p[4] != 0x01 || p[5] != 0x2a) {
        return ngx_iv_walker_corrupt(w, "webp: no VP8 key frame");
    }

    if (((tag >> 1) & 7) > 3 || !(tag & 0x10)) {
        return ngx_iv_walker_corrupt(w, "webp: unknown VP8 version or hidden");
    }

    if ((tag >> 5) >= w->u.webp.size - NGX_IV_WEBP_VP8_LEN) {
        return ngx_iv_walker_corrupt(w, "webp: VP8 data is cut short");
    }

    return ngx_iv_webp_image(w, ngx_iv_get16le(p + 6) & 0x3fff,
                             ngx_iv_get16le(p + 8) & 0x3fff);
}


/* RFC 9649, 3.4: signature, 14 bits of width - 1 and height - 1, alpha, 0 */

static ngx_int_t
ngx_iv_webp_vp8l(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t  bits;

    bits = ngx_iv_get32le(p + 1);

    if (p[0] != 0x2f || (bits >> 29) != 0) {
        return ngx_iv_walker_corrupt(w, "webp: no VP8L signature");
    }

    return ngx_iv_webp_image(w, (bits & 0x3fff) + 1,
                             ((bits >> 14) & 0x3fff) + 1);
}


static ngx_int_t
ngx_iv_webp_image(ngx_iv_image_t *w, uint32_t width, uint32_t height)
{
    ngx_iv_webp_state_t  *s;

    s = &w->u.webp;

    if (width == 0 || height == 0) {
        return ngx_iv_walker_corrupt(w, "webp: no width or height");
    }

    if (s->in_frame) {

        if (width != s->width || height != s->height) {
            return ngx_iv_walker_corrupt(w, "webp: a frame of another size");
        }

        return NGX_OK;
    }

    if (w->flags & NGX_IV_WEBP_HAS_VP8X) {

        if (width != w->width || height != w->height) {
            return ngx_iv_walker_corrupt(w, "webp: no image of the canvas's "
                                         "size");
        }

        return NGX_OK;
    }

    return ngx_iv_walker_size(w, width, height, 1);
}


/* the present chunk's data is over */

static ngx_int_t
ngx_iv_webp_over(ngx_iv_image_t *w)
{
    if (w->u.webp.pad) {
        w->state = ngx_iv_webp_pad;
        return NGX_OK;
    }

    return ngx_iv_webp_next(w);
}


/* and so is its padding: what comes next? */

static ngx_int_t
ngx_iv_webp_next(ngx_iv_image_t *w)
{
    uint32_t              left;
    ngx_uint_t            need;
    ngx_iv_webp_state_t  *s;

    s = &w->u.webp;

    if (s->in_frame && s->frame_left == 0) {

        if (!(w->flags & NGX_IV_WEBP_FRAME_IMAGE)) {
            return ngx_iv_walker_corrupt(w, "webp: a frame without image");
        }

        s->in_frame = 0;

        if (s->frame_pad) {
            w->state = ngx_iv_webp_pad;
            return NGX_OK;
        }
    }

    if (!s->in_frame && s->left == 0) {

        need = (w->flags & NGX_IV_WEBP_MOVES) ? w->aux[NGX_IV_WEBP_FRAMES]
                                              : w->flags
                                                & NGX_IV_WEBP_HAS_IMAGE;
        if (!need) {
            return ngx_iv_walker_corrupt(w, "webp: no image");
        }

        w->whole = 1;
        w->state = s->odd ? ngx_iv_webp_end_pad : ngx_iv_webp_end;

        return NGX_OK;
    }

    left = s->in_frame ? s->frame_left : s->left;

    if (left < NGX_IV_WEBP_HEAD_LEN) {
        return ngx_iv_walker_corrupt(w, "webp: a chunk header is cut short");
    }

    w->state = ngx_iv_webp_head;

    return NGX_OK;
}
