/*
 * AVIF: walks the boxes of the file (ISO/IEC 14496-12), down to the primary
 * item's size (ispe, ISO/IEC 23008-12) and the number of samples of a
 * sequence's tracks.
 *
 * The file begins with ftyp, whose brands say that it is AVIF; its boxes tile
 * it to the last byte.  Bytes behind them read as a box that reaches too far,
 * or as one that is cut.  HEIC and other files in such boxes are no AVIF.
 *
 * Which size is the image's: the one that ipma ties to the item that pitm
 * names; of a sequence without items, the largest track's.  The limit of
 * pixels is held against the largest size there is.
 */

#include "formats/ngx_iv_walker.h"


#define NGX_IV_AVIF_HEAD_LEN   8
#define NGX_IV_AVIF_LARGE_LEN  16

#define NGX_IV_AVIF_FTYP  ngx_iv_tag('f', 't', 'y', 'p')
#define NGX_IV_AVIF_META  ngx_iv_tag('m', 'e', 't', 'a')
#define NGX_IV_AVIF_HDLR  ngx_iv_tag('h', 'd', 'l', 'r')
#define NGX_IV_AVIF_PITM  ngx_iv_tag('p', 'i', 't', 'm')
#define NGX_IV_AVIF_IDAT  ngx_iv_tag('i', 'd', 'a', 't')
#define NGX_IV_AVIF_IPRP  ngx_iv_tag('i', 'p', 'r', 'p')
#define NGX_IV_AVIF_IPCO  ngx_iv_tag('i', 'p', 'c', 'o')
#define NGX_IV_AVIF_ISPE  ngx_iv_tag('i', 's', 'p', 'e')
#define NGX_IV_AVIF_IPMA  ngx_iv_tag('i', 'p', 'm', 'a')
#define NGX_IV_AVIF_MDAT  ngx_iv_tag('m', 'd', 'a', 't')
#define NGX_IV_AVIF_MOOF  ngx_iv_tag('m', 'o', 'o', 'f')
#define NGX_IV_AVIF_MOOV  ngx_iv_tag('m', 'o', 'o', 'v')
#define NGX_IV_AVIF_TRAK  ngx_iv_tag('t', 'r', 'a', 'k')
#define NGX_IV_AVIF_TKHD  ngx_iv_tag('t', 'k', 'h', 'd')
#define NGX_IV_AVIF_MDIA  ngx_iv_tag('m', 'd', 'i', 'a')
#define NGX_IV_AVIF_MINF  ngx_iv_tag('m', 'i', 'n', 'f')
#define NGX_IV_AVIF_STBL  ngx_iv_tag('s', 't', 'b', 'l')
#define NGX_IV_AVIF_STSZ  ngx_iv_tag('s', 't', 's', 'z')
#define NGX_IV_AVIF_STZ2  ngx_iv_tag('s', 't', 'z', '2')

/* w->flags */
#define NGX_IV_AVIF_BRAND     0x01
#define NGX_IV_AVIF_HAS_META  0x02
#define NGX_IV_AVIF_HAS_MOOV  0x04
#define NGX_IV_AVIF_HAS_DATA  0x08
#define NGX_IV_AVIF_HAS_PITM  0x10
#define NGX_IV_AVIF_MANY      0x20      /* more sizes or items than kept */
#define NGX_IV_AVIF_BEGUN     0x40      /* the major brand has been read */

enum {
    ngx_iv_avif_start = 0,
    ngx_iv_avif_brand,
    ngx_iv_avif_head,
    ngx_iv_avif_large,
    ngx_iv_avif_passed,                 /* bytes to pass over */
    ngx_iv_avif_kept,                   /* bytes to look at */
    ngx_iv_avif_full,                   /* version and flags of a container */
    ngx_iv_avif_ipma,
    ngx_iv_avif_ipma_item,
    ngx_iv_avif_ipma_property,
    ngx_iv_avif_rest                    /* the last box has no size */
};


/* the boxes that are looked into; all others are passed over */

typedef struct {
    uint32_t        parent;             /* 0: the file */
    uint32_t        type;
    ngx_uint_t      state;
    size_t          want;               /* bytes to look at */
} ngx_iv_avif_box_t;


static ngx_int_t ngx_iv_avif_feed_one(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);
static ngx_int_t ngx_iv_avif_on_start(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_avif_on_brand(ngx_iv_image_t *w, uint32_t brand);
static ngx_int_t ngx_iv_avif_on_head(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_avif_enter(ngx_iv_image_t *w, uint64_t at,
    uint32_t parent);
static ngx_int_t ngx_iv_avif_on_top(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_avif_push(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_avif_on_kept(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_avif_ispe_size(ngx_iv_image_t *w, const u_char *p);
static ngx_int_t ngx_iv_avif_over(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_avif_next(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_avif_ipma_next(ngx_iv_image_t *w, uint64_t at);
static void ngx_iv_avif_on_property(ngx_iv_image_t *w, uint32_t index);
static ngx_int_t ngx_iv_avif_size(ngx_iv_image_t *w);


static const ngx_iv_avif_box_t  ngx_iv_avif_boxes[] = {
    { 0, NGX_IV_AVIF_META, ngx_iv_avif_full, 4 },
    { 0, NGX_IV_AVIF_MOOV, ngx_iv_avif_head, 0 },

    { NGX_IV_AVIF_META, NGX_IV_AVIF_HDLR, ngx_iv_avif_kept, 12 },
    { NGX_IV_AVIF_META, NGX_IV_AVIF_PITM, ngx_iv_avif_kept, 6 },
    { NGX_IV_AVIF_META, NGX_IV_AVIF_IPRP, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_IPRP, NGX_IV_AVIF_IPCO, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_IPCO, NGX_IV_AVIF_ISPE, ngx_iv_avif_kept, 12 },
    { NGX_IV_AVIF_IPRP, NGX_IV_AVIF_IPMA, ngx_iv_avif_ipma, 8 },

    { NGX_IV_AVIF_MOOV, NGX_IV_AVIF_TRAK, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_TRAK, NGX_IV_AVIF_TKHD, ngx_iv_avif_kept, 8 },
    { NGX_IV_AVIF_TRAK, NGX_IV_AVIF_MDIA, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_MDIA, NGX_IV_AVIF_MINF, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_MINF, NGX_IV_AVIF_STBL, ngx_iv_avif_head, 0 },
    { NGX_IV_AVIF_STBL, NGX_IV_AVIF_STSZ, ngx_iv_avif_kept, 12 },
    { NGX_IV_AVIF_STBL, NGX_IV_AVIF_STZ2, ngx_iv_avif_kept, 12 },

    { 0, 0, ngx_iv_avif_passed, 0 }
};


ngx_int_t
ngx_iv_avif_feed(ngx_iv_image_t *w, const u_char *p, const u_char *last)
{
    if (w->state == ngx_iv_avif_start && ngx_iv_avif_on_start(w) != NGX_OK) {
        return w->verdict;
    }

    while (p < last) {
        if (ngx_iv_avif_feed_one(w, &p, last) != NGX_OK) {
            return w->verdict;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_avif_feed_one(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    size_t                want;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    switch (w->state) {

    case ngx_iv_avif_passed:

        if (!ngx_iv_walker_pass(w, p, last)) {
            return NGX_OK;
        }

        if (s->then == ngx_iv_avif_kept) {
            w->state = ngx_iv_avif_kept;
            return NGX_OK;
        }

        return ngx_iv_avif_next(w, ngx_iv_walker_at(w, *p, last));

    case ngx_iv_avif_rest:
        *p = last;
        return NGX_OK;

    case ngx_iv_avif_brand:
    case ngx_iv_avif_full:
        want = 4;
        break;

    case ngx_iv_avif_head:
        /* between two boxes of the file it may end, within one not */
        w->whole = 0;
        want = NGX_IV_AVIF_HEAD_LEN;
        break;

    case ngx_iv_avif_large:
        want = NGX_IV_AVIF_LARGE_LEN;
        break;

    default:
        want = s->want;
    }

    if (!ngx_iv_walker_gather(w, p, last, want)) {
        return NGX_OK;
    }

    switch (w->state) {

    case ngx_iv_avif_brand:
        return ngx_iv_avif_on_brand(w, ngx_iv_get32(w->have));

    case ngx_iv_avif_head:
    case ngx_iv_avif_large:
        return ngx_iv_avif_on_head(w, ngx_iv_walker_at(w, *p, last));

    case ngx_iv_avif_full:
        return ngx_iv_avif_push(w, ngx_iv_walker_at(w, *p, last));

    default:

        if (ngx_iv_avif_on_kept(w, w->have) != NGX_OK) {
            return w->verdict;
        }

        if (w->state == ngx_iv_avif_kept) {
            return ngx_iv_avif_over(w, ngx_iv_walker_at(w, *p, last));
        }

        return ngx_iv_avif_ipma_next(w, ngx_iv_walker_at(w, *p, last));
    }
}


/* ftyp's length; its type has been seen */

static ngx_int_t
ngx_iv_avif_on_start(ngx_iv_image_t *w)
{
    uint32_t  size;

    size = ngx_iv_get32(w->have);

    /* length, type, major brand, its version, other brands */

    if (size < NGX_IV_AVIF_HEAD_LEN + 8 || size % 4) {
        return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                  "not an image of a known format");
    }

    w->skip = size - NGX_IV_AVIF_HEAD_LEN;
    w->state = ngx_iv_avif_brand;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_avif_on_brand(ngx_iv_image_t *w, uint32_t brand)
{
    ngx_uint_t  begun;

    begun = w->flags & NGX_IV_AVIF_BEGUN;
    w->flags |= NGX_IV_AVIF_BEGUN;
    w->skip -= 4;

    switch (brand) {

    case ngx_iv_tag('a', 'v', 'i', 'f'):
    case ngx_iv_tag('a', 'v', 'i', 's'):
        w->flags |= NGX_IV_AVIF_BRAND;
        break;

    case ngx_iv_tag('h', 'e', 'i', 'c'):
    case ngx_iv_tag('h', 'e', 'i', 'x'):
    case ngx_iv_tag('h', 'e', 'i', 'm'):
    case ngx_iv_tag('h', 'e', 'i', 's'):
    case ngx_iv_tag('h', 'e', 'v', 'c'):
    case ngx_iv_tag('h', 'e', 'v', 'x'):
    case ngx_iv_tag('h', 'e', 'v', 'm'):
    case ngx_iv_tag('h', 'e', 'v', 's'):

        if (!begun) {
            return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                      "HEIC is not a format of browsers");
        }

        break;
    }

    if (w->skip) {
        return NGX_OK;
    }

    if (!(w->flags & NGX_IV_AVIF_BRAND)) {
        return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                  "not an image of a known format");
    }

    w->state = ngx_iv_avif_head;

    return ngx_iv_walker_format(w, NGX_IV_IMAGE_AVIF);
}


/* a box's head is in w->have, `at` is the place behind it */

static ngx_int_t
ngx_iv_avif_on_head(ngx_iv_image_t *w, uint64_t at)
{
    size_t                head;
    uint32_t              parent;
    uint64_t              size, end;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    size = ngx_iv_get32(w->have);
    w->tag = ngx_iv_get32(w->have + 4);
    head = NGX_IV_AVIF_HEAD_LEN;

    if (s->depth) {
        end = s->end[s->depth - 1];
        parent = s->type[s->depth - 1];

    } else {
        end = NGX_MAX_OFF_T_VALUE;
        parent = 0;
    }

    if (w->state == ngx_iv_avif_large) {
        head = NGX_IV_AVIF_LARGE_LEN;
        size = ngx_iv_get64(w->have + 8);

    } else if (size == 1) {

        if (end - at < 8) {
            return ngx_iv_walker_corrupt(w, "avif: a box header is cut short");
        }

        w->nhave = NGX_IV_AVIF_HEAD_LEN;
        w->state = ngx_iv_avif_large;

        return NGX_OK;

    } else if (size == 0 && parent == 0 && w->tag == NGX_IV_AVIF_MDAT) {

        /* to the end of the file: for data only, as writers do */

        w->flags |= NGX_IV_AVIF_HAS_DATA;
        w->state = ngx_iv_avif_rest;
        w->whole = w->known;

        return NGX_OK;
    }

    if (size < head || size - head > end - at) {
        return ngx_iv_walker_corrupt(w, "avif: a box of wrong length");
    }

    s->box_end = at + (size - head);

    return ngx_iv_avif_enter(w, at, parent);
}


static ngx_int_t
ngx_iv_avif_enter(ngx_iv_image_t *w, uint64_t at, uint32_t parent)
{
    uint64_t                  len;
    ngx_iv_avif_state_t      *s;
    const ngx_iv_avif_box_t  *box;

    s = &w->u.avif;

    if (parent == 0 && ngx_iv_avif_on_top(w) != NGX_OK) {
        return w->verdict;
    }

    if (parent == NGX_IV_AVIF_IPCO) {
        s->property++;
    }

    if (parent == NGX_IV_AVIF_META && w->tag == NGX_IV_AVIF_IDAT) {
        w->flags |= NGX_IV_AVIF_HAS_DATA;
    }

    for (box = ngx_iv_avif_boxes; box->type; box++) {
        if (box->parent == parent && box->type == w->tag) {
            break;
        }
    }

    len = s->box_end - at;

    if (len < box->want) {
        return ngx_iv_walker_corrupt(w, "avif: a box too short");
    }

    if (box->state == ngx_iv_avif_passed) {
        return ngx_iv_avif_over(w, at);
    }

    if (box->state == ngx_iv_avif_head) {
        return ngx_iv_avif_push(w, at);
    }

    s->want = box->want;
    w->state = box->state;

    if (w->tag == NGX_IV_AVIF_PITM && len > s->want) {
        /* 4 bytes of id in later versions */
        s->want = ngx_min((size_t) len, 8);
    }

    if (w->tag == NGX_IV_AVIF_TKHD && len > s->want) {
        /* width and height are at the end, whatever the version */
        w->skip = len - s->want;
        w->state = ngx_iv_avif_passed;
        s->then = ngx_iv_avif_kept;
    }

    return NGX_OK;
}


/* a box of the file */

static ngx_int_t
ngx_iv_avif_on_top(ngx_iv_image_t *w)
{
    switch (w->tag) {

    case NGX_IV_AVIF_FTYP:
        return ngx_iv_walker_corrupt(w, "avif: ftyp twice");

    case NGX_IV_AVIF_META:

        if (w->flags & NGX_IV_AVIF_HAS_META) {
            return ngx_iv_walker_corrupt(w, "avif: meta twice");
        }

        w->flags |= NGX_IV_AVIF_HAS_META;
        break;

    case NGX_IV_AVIF_MOOV:

        if (w->flags & NGX_IV_AVIF_HAS_MOOV) {
            return ngx_iv_walker_corrupt(w, "avif: moov twice");
        }

        w->flags |= NGX_IV_AVIF_HAS_MOOV;
        break;

    case NGX_IV_AVIF_MDAT:
        w->flags |= NGX_IV_AVIF_HAS_DATA;
        break;

    case NGX_IV_AVIF_MOOF:
        /* its frames would have to be counted; no decoder of images reads it */
        return ngx_iv_walker_corrupt(w, "avif: in movie fragments");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_avif_push(ngx_iv_image_t *w, uint64_t at)
{
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    /* the table of boxes is not deeper than the stack */

    s->end[s->depth] = s->box_end;
    s->type[s->depth] = w->tag;
    s->depth++;

    return ngx_iv_avif_next(w, at);
}


static ngx_int_t
ngx_iv_avif_on_kept(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t              width, height;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    if (w->state == ngx_iv_avif_ipma) {
        s->version = ngx_iv_get32(p);
        s->items_left = ngx_iv_get32(p + 4);
        s->props_left = 0;
        return NGX_OK;
    }

    if (w->state == ngx_iv_avif_ipma_item) {
        s->item = (s->want == 5) ? ngx_iv_get32(p) : ngx_iv_get16(p);
        s->props_left = p[s->want - 1];
        s->items_left--;
        return NGX_OK;
    }

    if (w->state == ngx_iv_avif_ipma_property) {
        s->props_left--;
        ngx_iv_avif_on_property(w, (s->want == 2) ? ngx_iv_get16(p) & 0x7fff
                                                  : p[0] & 0x7f);
        return NGX_OK;
    }

    switch (w->tag) {

    case NGX_IV_AVIF_HDLR:

        if (ngx_iv_get32(p + 8) != ngx_iv_tag('p', 'i', 'c', 't')) {
            return ngx_iv_walker_corrupt(w, "avif: not of pictures");
        }

        break;

    case NGX_IV_AVIF_PITM:
        s->primary = (p[0] && s->want == 8) ? ngx_iv_get32(p + 4)
                                            : ngx_iv_get16(p + 4);
        w->flags |= NGX_IV_AVIF_HAS_PITM;
        break;

    case NGX_IV_AVIF_ISPE:
        return ngx_iv_avif_ispe_size(w, p);

    case NGX_IV_AVIF_TKHD:

        /* 16.16 */

        width = ngx_iv_get32(p) >> 16;
        height = ngx_iv_get32(p + 4) >> 16;

        if ((uint64_t) width * height > (uint64_t) s->width * s->height) {
            s->width = width;
            s->height = height;
        }

        s->area = ngx_max(s->area, (uint64_t) width * height);
        break;

    default: /* NGX_IV_AVIF_STSZ, NGX_IV_AVIF_STZ2 */
        s->samples = ngx_max(s->samples, ngx_iv_get32(p + 8));
    }

    return NGX_OK;
}


/* version and flags, width, height */

static ngx_int_t
ngx_iv_avif_ispe_size(ngx_iv_image_t *w, const u_char *p)
{
    uint64_t              area;
    ngx_iv_avif_size_t   *size;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    area = (uint64_t) ngx_iv_get32(p + 4) * ngx_iv_get32(p + 8);

    if (area == 0) {
        return ngx_iv_walker_corrupt(w, "avif: no width or height");
    }

    s->area = ngx_max(s->area, area);

    if (s->nsizes == NGX_IV_AVIF_SIZES) {
        w->flags |= NGX_IV_AVIF_MANY;
        return NGX_OK;
    }

    size = &s->sizes[s->nsizes++];
    size->index = s->property;
    size->width = ngx_iv_get32(p + 4);
    size->height = ngx_iv_get32(p + 8);

    return NGX_OK;
}


/* what was to be seen of a box has been */

static ngx_int_t
ngx_iv_avif_over(ngx_iv_image_t *w, uint64_t at)
{
    w->skip = w->u.avif.box_end - at;

    if (w->skip == 0) {
        return ngx_iv_avif_next(w, at);
    }

    w->state = ngx_iv_avif_passed;
    w->u.avif.then = ngx_iv_avif_head;

    return NGX_OK;
}


/* a box is over: closes those around it that end here, too */

static ngx_int_t
ngx_iv_avif_next(ngx_iv_image_t *w, uint64_t at)
{
    uint32_t              type;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    while (s->depth && s->end[s->depth - 1] == at) {

        type = s->type[--s->depth];

        if ((type == NGX_IV_AVIF_META || type == NGX_IV_AVIF_MOOV)
            && ngx_iv_avif_size(w) != NGX_OK)
        {
            return w->verdict;
        }
    }

    w->state = ngx_iv_avif_head;

    if (s->depth == 0) {
        w->whole = w->known && (w->flags & NGX_IV_AVIF_HAS_DATA);
        return NGX_OK;
    }

    if (s->end[s->depth - 1] - at < NGX_IV_AVIF_HEAD_LEN) {
        return ngx_iv_walker_corrupt(w, "avif: a box header is cut short");
    }

    return NGX_OK;
}


/* the next item of ipma, or the next property of one, or the end */

static ngx_int_t
ngx_iv_avif_ipma_next(ngx_iv_image_t *w, uint64_t at)
{
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    if (s->props_left) {
        w->state = ngx_iv_avif_ipma_property;
        s->want = (s->version & 1) ? 2 : 1;

    } else if (s->items_left) {
        w->state = ngx_iv_avif_ipma_item;
        s->want = (s->version >> 24) ? 5 : 3;

    } else {
        return ngx_iv_avif_over(w, at);
    }

    if (s->box_end - at < s->want) {
        return ngx_iv_walker_corrupt(w, "avif: ipma is cut short");
    }

    return NGX_OK;
}


/* a property of an item; kept if it is a size of the primary item's */

static void
ngx_iv_avif_on_property(ngx_iv_image_t *w, uint32_t index)
{
    ngx_uint_t            i;
    ngx_iv_avif_item_t   *item;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    if ((w->flags & NGX_IV_AVIF_HAS_PITM) && s->item != s->primary) {
        return;
    }

    for (i = 0; i < s->nsizes; i++) {

        if (s->sizes[i].index != index) {
            continue;
        }

        if (s->nitems == NGX_IV_AVIF_ITEMS) {
            w->flags |= NGX_IV_AVIF_MANY;
            return;
        }

        item = &s->items[s->nitems++];
        item->id = s->item;
        item->size = (uint32_t) i;
        return;
    }
}


/* meta or moov is over: what is known of the image's size by now? */

static ngx_int_t
ngx_iv_avif_size(ngx_iv_image_t *w)
{
    uint32_t              width, height, frames;
    ngx_uint_t            i;
    ngx_iv_avif_size_t   *size;
    ngx_iv_avif_state_t  *s;

    s = &w->u.avif;

    width = s->width;
    height = s->height;

    if (w->flags & NGX_IV_AVIF_HAS_PITM) {

        for (i = 0; i < s->nitems; i++) {
            if (s->items[i].id == s->primary) {
                size = &s->sizes[s->items[i].size];
                width = size->width;
                height = size->height;
                break;
            }
        }

        if (i == s->nitems) {
            return ngx_iv_walker_corrupt(w, (w->flags & NGX_IV_AVIF_MANY)
                                         ? "avif: too many sizes or items"
                                         : "avif: an item without size");
        }
    }

    if (width == 0 || height == 0) {
        /* maybe the other box tells */
        return NGX_OK;
    }

    frames = ngx_max(s->samples, 1);

    if (ngx_iv_walker_size(w, width, height, frames) != NGX_OK) {
        return w->verdict;
    }

    if (s->area > w->limits.max_pixels / frames) {
        return ngx_iv_walker_fail(w, NGX_IV_TOO_MANY_PIXELS,
                                  "more pixels than allowed");
    }

    return NGX_OK;
}
