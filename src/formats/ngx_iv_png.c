/*
 * PNG and APNG: walks the chunks, judges their order, lengths and CRCs.
 * PNG specification, 3rd edition (W3C), 5, 11.2 and 11.3.6.
 */

#include "formats/ngx_iv_walker.h"

#include <zlib.h>


#define NGX_IV_PNG_HEAD_LEN  8          /* length and type */
#define NGX_IV_PNG_IHDR_LEN  13
#define NGX_IV_PNG_ACTL_LEN  8
#define NGX_IV_PNG_FCTL_LEN  26
#define NGX_IV_PNG_MAX       0x7fffffff

#define NGX_IV_PNG_IHDR  ngx_iv_tag('I', 'H', 'D', 'R')
#define NGX_IV_PNG_PLTE  ngx_iv_tag('P', 'L', 'T', 'E')
#define NGX_IV_PNG_IDAT  ngx_iv_tag('I', 'D', 'A', 'T')
#define NGX_IV_PNG_IEND  ngx_iv_tag('I', 'E', 'N', 'D')
#define NGX_IV_PNG_ACTL  ngx_iv_tag('a', 'c', 'T', 'L')
#define NGX_IV_PNG_FCTL  ngx_iv_tag('f', 'c', 'T', 'L')
#define NGX_IV_PNG_FDAT  ngx_iv_tag('f', 'd', 'A', 'T')

/* w->flags: what has been seen */
#define NGX_IV_PNG_HAS_IHDR   0x01
#define NGX_IV_PNG_HAS_PLTE   0x02
#define NGX_IV_PNG_HAS_IDAT   0x04
#define NGX_IV_PNG_HAS_BYTES  0x08      /* an IDAT that is not empty */
#define NGX_IV_PNG_IDAT_OVER  0x10      /* another chunk after IDAT */
#define NGX_IV_PNG_HAS_ACTL   0x20
#define NGX_IV_PNG_EARLY      0x80      /* fcTL, and acTL may yet come */
#define NGX_IV_PNG_NO_DATA    0x40      /* the last fcTL waits for data */

/* w->aux */
#define NGX_IV_PNG_COLOR      0         /* colour type */
#define NGX_IV_PNG_FRAMES     1         /* fcTL chunks seen */
#define NGX_IV_PNG_SEQUENCE   2         /* the next number of fcTL and fdAT */

enum {
    ngx_iv_png_head = 0,
    ngx_iv_png_kept,                    /* data to look at */
    ngx_iv_png_numbered,                /* a number before data to pass over */
    ngx_iv_png_passed,                  /* data to pass over */
    ngx_iv_png_crc,
    ngx_iv_png_end
};


static ngx_int_t ngx_iv_png_chunk(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_png_palette(ngx_iv_image_t *w, uint32_t len);
static ngx_int_t ngx_iv_png_order(ngx_iv_image_t *w, uint32_t len);
static ngx_int_t ngx_iv_png_ihdr(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_png_fctl(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_png_order_apng(ngx_iv_image_t *w, uint32_t len);
static ngx_int_t ngx_iv_png_sequence(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_png_chunk_end(ngx_iv_image_t *w);
static size_t ngx_iv_png_keep(ngx_iv_image_t *w);


ngx_int_t
ngx_iv_png_feed(ngx_iv_image_t *w, const u_char *p, const u_char *last)
{
    size_t  n;

    while (p < last) {

        switch (w->state) {

        case ngx_iv_png_head:

            if (!ngx_iv_walker_gather(w, &p, last, NGX_IV_PNG_HEAD_LEN)) {
                return NGX_OK;
            }

            if (ngx_iv_png_chunk(w) != NGX_OK) {
                return w->verdict;
            }

            break;

        case ngx_iv_png_kept:

            /* kept in front of the CRC, and judged together with it */

            n = ngx_iv_png_keep(w);

            if (!ngx_iv_walker_gather(w, &p, last, n + 4)) {
                return NGX_OK;
            }

            w->crc = (uint32_t) crc32(w->crc, w->have, (uInt) n);

            if (w->crc != ngx_iv_get32(w->have + n)) {
                return ngx_iv_walker_corrupt(w, "png: wrong crc");
            }

            if (ngx_iv_png_chunk_end(w) != NGX_OK) {
                return w->verdict;
            }

            break;

        case ngx_iv_png_numbered:

            if (!ngx_iv_walker_gather(w, &p, last, 4)) {
                return NGX_OK;
            }

            w->crc = (uint32_t) crc32(w->crc, w->have, 4);
            w->skip -= 4;
            w->state = w->skip ? ngx_iv_png_passed : ngx_iv_png_crc;

            if (ngx_iv_png_sequence(w, w->have) != NGX_OK) {
                return w->verdict;
            }

            break;

        case ngx_iv_png_passed:

            /* a chunk's length is below 2^31, and so is n */

            n = (size_t) ngx_min(w->skip, (uint64_t) (last - p));

            w->crc = (uint32_t) crc32(w->crc, p, (uInt) n);
            w->skip -= n;
            p += n;

            if (w->skip == 0) {
                w->state = ngx_iv_png_crc;
            }

            break;

        case ngx_iv_png_crc:

            if (!ngx_iv_walker_gather(w, &p, last, 4)) {
                return NGX_OK;
            }

            if (w->crc != ngx_iv_get32(w->have)) {
                return ngx_iv_walker_corrupt(w, "png: wrong crc");
            }

            if (ngx_iv_png_chunk_end(w) != NGX_OK) {
                return w->verdict;
            }

            break;

        default: /* ngx_iv_png_end */

            return ngx_iv_walker_fail(w, NGX_IV_TRAILING_DATA,
                                      "png: bytes after IEND");
        }
    }

    return NGX_OK;
}


/* a chunk's length and type are in w->have */

static ngx_int_t
ngx_iv_png_chunk(ngx_iv_image_t *w)
{
    u_char      ch;
    uint32_t    len;
    ngx_uint_t  i;

    len = ngx_iv_get32(w->have);
    w->tag = ngx_iv_get32(w->have + 4);

    if (len > NGX_IV_PNG_MAX) {
        return ngx_iv_walker_corrupt(w, "png: chunk length over 2^31-1");
    }

    for (i = 4; i < NGX_IV_PNG_HEAD_LEN; i++) {
        ch = w->have[i] | 0x20;

        if (ch < 'a' || ch > 'z') {
            return ngx_iv_walker_corrupt(w, "png: chunk type not of letters");
        }
    }

    if (ngx_iv_png_order(w, len) != NGX_OK) {
        return w->verdict;
    }

    w->crc = (uint32_t) crc32(0, w->have + 4, 4);
    w->skip = len;

    if (ngx_iv_png_keep(w)) {
        w->state = ngx_iv_png_kept;

    } else if (w->tag == NGX_IV_PNG_FDAT && (w->flags & NGX_IV_PNG_HAS_ACTL)) {
        w->state = ngx_iv_png_numbered;

    } else {
        w->state = len ? ngx_iv_png_passed : ngx_iv_png_crc;
    }

    return NGX_OK;
}


/* how many bytes of data the present chunk needs to be looked at */

static size_t
ngx_iv_png_keep(ngx_iv_image_t *w)
{
    switch (w->tag) {

    case NGX_IV_PNG_IHDR:
        return NGX_IV_PNG_IHDR_LEN;

    case NGX_IV_PNG_ACTL:
        return NGX_IV_PNG_ACTL_LEN;

    case NGX_IV_PNG_FCTL:
        /* without acTL it is a chunk like any other */
        return (w->flags & NGX_IV_PNG_HAS_ACTL) ? NGX_IV_PNG_FCTL_LEN : 0;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_iv_png_palette(ngx_iv_image_t *w, uint32_t len)
{
    if (w->flags & (NGX_IV_PNG_HAS_PLTE|NGX_IV_PNG_HAS_IDAT)) {
        return ngx_iv_walker_corrupt(w, "png: PLTE twice or after IDAT");
    }

    if (!(w->aux[NGX_IV_PNG_COLOR] & 2)) {
        return ngx_iv_walker_corrupt(w, "png: PLTE in a gray image");
    }

    if (len == 0 || len > 256 * 3 || len % 3) {
        return ngx_iv_walker_corrupt(w, "png: wrong length of PLTE");
    }

    w->flags |= NGX_IV_PNG_HAS_PLTE;

    return NGX_OK;
}


/* may this chunk stand here, and with this length? */

static ngx_int_t
ngx_iv_png_order(ngx_iv_image_t *w, uint32_t len)
{
    if (w->tag == NGX_IV_PNG_IHDR) {

        if (w->flags & NGX_IV_PNG_HAS_IHDR) {
            return ngx_iv_walker_corrupt(w, "png: second IHDR");
        }

        if (len != NGX_IV_PNG_IHDR_LEN) {
            return ngx_iv_walker_corrupt(w, "png: wrong length of IHDR");
        }

        return NGX_OK;
    }

    if (!(w->flags & NGX_IV_PNG_HAS_IHDR)) {
        return ngx_iv_walker_corrupt(w, "png: IHDR is not first");
    }

    if (w->tag != NGX_IV_PNG_IDAT && (w->flags & NGX_IV_PNG_HAS_IDAT)) {
        w->flags |= NGX_IV_PNG_IDAT_OVER;
    }

    switch (w->tag) {

    case NGX_IV_PNG_PLTE:

        return ngx_iv_png_palette(w, len);

    case NGX_IV_PNG_IDAT:

        if (w->flags & NGX_IV_PNG_IDAT_OVER) {
            return ngx_iv_walker_corrupt(w, "png: IDAT chunks apart");
        }

        if (w->aux[NGX_IV_PNG_COLOR] == 3
            && !(w->flags & NGX_IV_PNG_HAS_PLTE))
        {
            return ngx_iv_walker_corrupt(w, "png: no PLTE before IDAT");
        }

        w->flags |= NGX_IV_PNG_HAS_IDAT;
        w->flags &= ~NGX_IV_PNG_NO_DATA;

        if (len) {
            w->flags |= NGX_IV_PNG_HAS_BYTES;
        }

        break;

    case NGX_IV_PNG_IEND:

        if (len) {
            return ngx_iv_walker_corrupt(w, "png: wrong length of IEND");
        }

        if (!(w->flags & NGX_IV_PNG_HAS_BYTES)) {
            return ngx_iv_walker_corrupt(w, "png: no image data");
        }

        if ((w->flags & NGX_IV_PNG_HAS_ACTL)
            && ((w->flags & NGX_IV_PNG_NO_DATA)
                || w->aux[NGX_IV_PNG_FRAMES] != w->frames))
        {
            return ngx_iv_walker_corrupt(w, "png: fewer frames than declared");
        }

        break;

    case NGX_IV_PNG_ACTL:
    case NGX_IV_PNG_FCTL:
    case NGX_IV_PNG_FDAT:
        return ngx_iv_png_order_apng(w, len);

    default:

        /* an upper-case first letter: who doesn't know it can't decode */

        if (!(w->tag & 0x20000000)) {
            return ngx_iv_walker_corrupt(w, "png: unknown critical chunk");
        }
    }

    return NGX_OK;
}


/* the chunks of an animation; without acTL they are as any unknown one */

static ngx_int_t
ngx_iv_png_order_apng(ngx_iv_image_t *w, uint32_t len)
{
    if (w->tag == NGX_IV_PNG_ACTL) {

        /* a decoder would look at one before IDAT only */

        if (w->flags & (NGX_IV_PNG_HAS_ACTL|NGX_IV_PNG_HAS_IDAT)) {
            return ngx_iv_walker_corrupt(w, "png: acTL twice or after IDAT");
        }

        if (len != NGX_IV_PNG_ACTL_LEN) {
            return ngx_iv_walker_corrupt(w, "png: wrong length of acTL");
        }

        return NGX_OK;
    }

    if (!(w->flags & NGX_IV_PNG_HAS_ACTL)) {

        if (w->tag == NGX_IV_PNG_FCTL && !(w->flags & NGX_IV_PNG_HAS_IDAT)) {
            w->flags |= NGX_IV_PNG_EARLY;
        }

        return NGX_OK;
    }

    if (w->tag == NGX_IV_PNG_FCTL) {

        if (len != NGX_IV_PNG_FCTL_LEN) {
            return ngx_iv_walker_corrupt(w, "png: wrong length of fcTL");
        }

        return NGX_OK;
    }

    if (len < 4) {
        return ngx_iv_walker_corrupt(w, "png: wrong length of fdAT");
    }

    if (w->aux[NGX_IV_PNG_FRAMES] == 0 || !(w->flags & NGX_IV_PNG_HAS_IDAT)) {
        return ngx_iv_walker_corrupt(w, "png: fdAT before its frame or IDAT");
    }

    w->flags &= ~NGX_IV_PNG_NO_DATA;

    return NGX_OK;
}


/* fcTL and fdAT are numbered together, from 0 */

static ngx_int_t
ngx_iv_png_sequence(ngx_iv_image_t *w, const u_char *p)
{
    if (ngx_iv_get32(p) != w->aux[NGX_IV_PNG_SEQUENCE]++) {
        return ngx_iv_walker_corrupt(w, "png: frames out of sequence");
    }

    return NGX_OK;
}


/* the chunk is whole and its CRC is right */

static ngx_int_t
ngx_iv_png_chunk_end(ngx_iv_image_t *w)
{
    uint32_t  frames;

    w->state = ngx_iv_png_head;

    switch (w->tag) {

    case NGX_IV_PNG_IHDR:
        return ngx_iv_png_ihdr(w, w->have);

    case NGX_IV_PNG_ACTL:

        frames = ngx_iv_get32(w->have);

        if (frames == 0 || frames > NGX_IV_PNG_MAX) {
            return ngx_iv_walker_corrupt(w, "png: wrong number of frames");
        }

        w->flags |= NGX_IV_PNG_HAS_ACTL;

        if (w->flags & NGX_IV_PNG_EARLY) {
            /* the first frame's fcTL came before */
            w->flags |= NGX_IV_PNG_NO_DATA;
            w->aux[NGX_IV_PNG_FRAMES] = 1;
            w->aux[NGX_IV_PNG_SEQUENCE] = 1;
        }

        return ngx_iv_walker_size(w, w->width, w->height, frames);

    case NGX_IV_PNG_FCTL:

        if (w->flags & NGX_IV_PNG_HAS_ACTL) {
            return ngx_iv_png_fctl(w, w->have);
        }

        return NGX_OK;

    case NGX_IV_PNG_IEND:
        w->whole = 1;
        w->state = ngx_iv_png_end;
        return NGX_OK;

    default:
        return NGX_OK;
    }
}


static ngx_int_t
ngx_iv_png_ihdr(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t    width, height, depths;

    width = ngx_iv_get32(p);
    height = ngx_iv_get32(p + 4);

    if (width == 0 || width > NGX_IV_PNG_MAX
        || height == 0 || height > NGX_IV_PNG_MAX)
    {
        return ngx_iv_walker_corrupt(w, "png: wrong width or height");
    }

    /* a colour type's bit depths, as a sum of those allowed */

    switch (p[9]) {

    case 0:
        depths = 1 + 2 + 4 + 8 + 16;
        break;

    case 3:
        depths = 1 + 2 + 4 + 8;
        break;

    case 2:
    case 4:
    case 6:
        depths = 8 + 16;
        break;

    default:
        return ngx_iv_walker_corrupt(w, "png: wrong colour type");
    }

    if (p[8] == 0 || (p[8] & (p[8] - 1)) || !(p[8] & depths)) {
        return ngx_iv_walker_corrupt(w, "png: wrong bit depth");
    }

    if (p[10] != 0 || p[11] != 0) {
        return ngx_iv_walker_corrupt(w, "png: unknown compression or filter");
    }

    if (p[12] > 1) {
        return ngx_iv_walker_corrupt(w, "png: unknown interlace method");
    }

    w->flags |= NGX_IV_PNG_HAS_IHDR;
    w->aux[NGX_IV_PNG_COLOR] = p[9];

    return ngx_iv_walker_size(w, width, height, 1);
}


/* a frame of an animation lies within the image */

static ngx_int_t
ngx_iv_png_fctl(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t  width, height, x, y;

    width = ngx_iv_get32(p + 4);
    height = ngx_iv_get32(p + 8);
    x = ngx_iv_get32(p + 12);
    y = ngx_iv_get32(p + 16);

    if (width == 0 || height == 0
        || (uint64_t) x + width > w->width
        || (uint64_t) y + height > w->height)
    {
        return ngx_iv_walker_corrupt(w, "png: a frame outside the image");
    }

    if (w->flags & NGX_IV_PNG_NO_DATA) {
        return ngx_iv_walker_corrupt(w, "png: a frame without data");
    }

    if (++w->aux[NGX_IV_PNG_FRAMES] > w->frames) {
        return ngx_iv_walker_corrupt(w, "png: more frames than declared");
    }

    w->flags |= NGX_IV_PNG_NO_DATA;

    return ngx_iv_png_sequence(w, p);
}
