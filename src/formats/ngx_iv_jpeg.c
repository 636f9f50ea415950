/*
 * JPEG (ITU-T T.81): walks marker segments and entropy-coded data.  Huffman
 * and arithmetic coding, sequential and progressive; hierarchical and
 * lossless files, which no browser shows, are refused.
 *
 * What segments declare to stand behind the end: ngx_iv_jpeg_declared.c; what
 * does stand there: ngx_iv_jpeg_tail.c, which walks images there by this file,
 * too.
 */

#include "formats/ngx_iv_jpeg.h"

#if (__SSE2__)
#include <emmintrin.h>
#endif


#define NGX_IV_JPEG_SOF0   0xc0
#define NGX_IV_JPEG_SOF1   0xc1
#define NGX_IV_JPEG_SOF2   0xc2
#define NGX_IV_JPEG_DHT    0xc4
#define NGX_IV_JPEG_SOF9   0xc9
#define NGX_IV_JPEG_SOF10  0xca
#define NGX_IV_JPEG_DAC    0xcc
#define NGX_IV_JPEG_SOF15  0xcf
#define NGX_IV_JPEG_RST0   0xd0
#define NGX_IV_JPEG_RST7   0xd7
#define NGX_IV_JPEG_SOI    0xd8
#define NGX_IV_JPEG_EOI    0xd9
#define NGX_IV_JPEG_SOS    0xda
#define NGX_IV_JPEG_DQT    0xdb
#define NGX_IV_JPEG_DNL    0xdc
#define NGX_IV_JPEG_DRI    0xdd
#define NGX_IV_JPEG_DHP    0xde
#define NGX_IV_JPEG_EXP    0xdf
#define NGX_IV_JPEG_APP0   0xe0
#define NGX_IV_JPEG_APP15  0xef
#define NGX_IV_JPEG_COM    0xfe

#define NGX_IV_JPEG_COMPONENTS  4

/*
 * Bytes between segments that belong to none.  Some writers count a segment's
 * length wrong; libjpeg passes over them, and so does all that is built on it.
 */
#define NGX_IV_JPEG_STRAY_MAX   4096

/* w->flags */
#define NGX_IV_JPEG_HAS_SOF  0x01
#define NGX_IV_JPEG_HAS_SOS  0x02
#define NGX_IV_JPEG_EMPTY    0x04       /* the present scan has no byte yet */

/* w->aux */
#define NGX_IV_JPEG_SOF      0          /* the marker */
#define NGX_IV_JPEG_N        1          /* number of components */
#define NGX_IV_JPEG_SCANNED  2          /* a bit for each one in some scan */
#define NGX_IV_JPEG_IDS      3          /* their ids, four of them */
#define NGX_IV_JPEG_STRAY    7          /* bytes between segments */


static ngx_int_t ngx_iv_jpeg_walk(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);
static ngx_int_t ngx_iv_jpeg_byte(ngx_iv_image_t *w, u_char ch);
static ngx_int_t ngx_iv_jpeg_stray(ngx_iv_image_t *w, uint32_t n);
static ngx_int_t ngx_iv_jpeg_on_marker(ngx_iv_image_t *w, u_char ch);
static ngx_int_t ngx_iv_jpeg_on_eoi(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_jpeg_on_length(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_jpeg_on_segment(ngx_iv_image_t *w);
static const u_char *ngx_iv_jpeg_find(const u_char *p, const u_char *last);
static void ngx_iv_jpeg_on_ident(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_jpeg_sof(ngx_iv_image_t *w, const u_char *p, size_t n);
static ngx_int_t ngx_iv_jpeg_sos(ngx_iv_image_t *w, const u_char *p, size_t n);


ngx_int_t
ngx_iv_jpeg_feed(ngx_iv_image_t *w, const u_char *p, const u_char *last)
{
    ngx_int_t             rc;
    const u_char         *stop;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;
    rc = NGX_OK;

    while (p < last && rc == NGX_OK) {

        if (w->state == ngx_iv_jpeg_end) {
            rc = ngx_iv_jpeg_tail(w, &p, last);
            continue;
        }

        stop = last;

        if (s->nested
            && s->end - ngx_iv_walker_at(w, p, last) < (uint64_t) (last - p))
        {
            stop = p + (s->end - ngx_iv_walker_at(w, p, last));
        }

        rc = ngx_iv_jpeg_walk(w, &p, stop);

        if (rc == NGX_OK && s->nested) {
            rc = ngx_iv_jpeg_nested(w, ngx_iv_walker_at(w, p, last));
        }
    }

    return rc;
}


/* walks an image, not over its end */

static ngx_int_t
ngx_iv_jpeg_walk(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    size_t         n;
    const u_char  *ff;

    while (*p < last && w->state != ngx_iv_jpeg_end) {

        switch (w->state) {

        case ngx_iv_jpeg_length:

            if (ngx_iv_walker_gather(w, p, last, 2)
                && ngx_iv_jpeg_on_length(w) != NGX_OK)
            {
                return w->verdict;
            }

            break;

        case ngx_iv_jpeg_kept:

            if (ngx_iv_walker_gather(w, p, last, (size_t) w->skip)
                && ngx_iv_jpeg_on_segment(w) != NGX_OK)
            {
                return w->verdict;
            }

            break;

        case ngx_iv_jpeg_ident:

            if (ngx_iv_walker_gather(w, p, last, ngx_iv_jpeg_ident_len(w))) {
                ngx_iv_jpeg_on_ident(w, ngx_iv_walker_at(w, *p, last));
            }

            break;

        case ngx_iv_jpeg_declared:

            n = (size_t) ngx_min(w->skip, (uint64_t) (last - *p));
            w->skip -= n;
            ngx_iv_jpeg_declare(w, *p, n);
            *p += n;

            if (w->skip == 0) {
                w->nhave = 0;
                w->state = ngx_iv_jpeg_ff;
            }

            break;

        case ngx_iv_jpeg_passed:

            if (ngx_iv_walker_pass(w, p, last)) {
                w->state = ngx_iv_jpeg_ff;
            }

            break;

        case ngx_iv_jpeg_scan:

            ff = ngx_iv_jpeg_find(*p, last);

            if (ff != *p) {
                w->flags &= ~NGX_IV_JPEG_EMPTY;
            }

            if (ff == last) {
                *p = last;
                return NGX_OK;
            }

            w->state = ngx_iv_jpeg_scan_ff;
            *p = ff + 1;
            break;

        default:

            if (ngx_iv_jpeg_byte(w, *(*p)++) != NGX_OK) {
                return w->verdict;
            }
        }
    }

    return NGX_OK;
}


/*
 * The next 0xff that is not stuffed with a zero behind it (or is the last byte
 * here), else last.  Every 256th byte of a scan is a stuffed one, which makes
 * memchr() slow.
 */

static const u_char *
ngx_iv_jpeg_find(const u_char *p, const u_char *last)
{
#if (__SSE2__)

    int      mask;
    __m128i  ones, zero, here, next;

    ones = _mm_set1_epi8((char) 0xff);
    zero = _mm_setzero_si128();

    while (last - p > 16) {
        here = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) p), ones);
        next = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *) (p + 1)),
                              zero);
        mask = _mm_movemask_epi8(_mm_andnot_si128(next, here));

        if (mask) {
            return p + __builtin_ctz((unsigned) mask);
        }

        p += 16;
    }

#endif

    while (p < last) {
        p = memchr(p, 0xff, (size_t) (last - p));

        if (p == NULL) {
            return last;
        }

        if (p + 1 == last || p[1] != 0) {
            return p;
        }

        p += 2;
    }

    return last;
}


/* the states that take one byte */

static ngx_int_t
ngx_iv_jpeg_byte(ngx_iv_image_t *w, u_char ch)
{
    switch (w->state) {

    case ngx_iv_jpeg_ff:

        if (ch != 0xff) {
            return ngx_iv_jpeg_stray(w, 1);
        }

        w->state = ngx_iv_jpeg_marker;
        return NGX_OK;

    case ngx_iv_jpeg_marker:

        if (ch == 0xff) {
            /* a fill byte */
            return NGX_OK;
        }

        if (ch == 0) {
            return ngx_iv_jpeg_stray(w, 2);
        }

        return ngx_iv_jpeg_on_marker(w, ch);

    default: /* ngx_iv_jpeg_scan_ff */

        if (ch == 0xff) {
            return NGX_OK;
        }

        if (ch == 0) {
            /* a stuffed 0xff of the data */
            w->flags &= ~NGX_IV_JPEG_EMPTY;
            w->state = ngx_iv_jpeg_scan;
            return NGX_OK;
        }

        if (ch >= NGX_IV_JPEG_RST0 && ch <= NGX_IV_JPEG_RST7) {
            w->state = ngx_iv_jpeg_scan;
            return NGX_OK;
        }

        /* an arithmetic coder leaves out zeros at the end, a Huffman coder
         * has at least one code */

        if ((w->flags & NGX_IV_JPEG_EMPTY)
            && w->aux[NGX_IV_JPEG_SOF] <= NGX_IV_JPEG_SOF2)
        {
            return ngx_iv_walker_corrupt(w, "jpeg: a scan without data");
        }

        return ngx_iv_jpeg_on_marker(w, ch);
    }
}


static ngx_int_t
ngx_iv_jpeg_stray(ngx_iv_image_t *w, uint32_t n)
{
    w->aux[NGX_IV_JPEG_STRAY] += n;

    if (w->aux[NGX_IV_JPEG_STRAY] > NGX_IV_JPEG_STRAY_MAX) {
        return ngx_iv_walker_corrupt(w, "jpeg: no marker where one is due");
    }

    w->state = ngx_iv_jpeg_ff;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_jpeg_on_marker(ngx_iv_image_t *w, u_char ch)
{
    w->tag = ch;

    if (ch == NGX_IV_JPEG_EOI) {
        return ngx_iv_jpeg_on_eoi(w);
    }

    switch (ch) {

    case NGX_IV_JPEG_DHT:
    case NGX_IV_JPEG_DAC:
    case NGX_IV_JPEG_DQT:
    case NGX_IV_JPEG_DRI:
    case NGX_IV_JPEG_COM:
        break;

    case NGX_IV_JPEG_SOF0:
    case NGX_IV_JPEG_SOF1:
    case NGX_IV_JPEG_SOF2:
    case NGX_IV_JPEG_SOF9:
    case NGX_IV_JPEG_SOF10:

        if (w->flags & NGX_IV_JPEG_HAS_SOF) {
            return ngx_iv_walker_corrupt(w, "jpeg: a second frame header");
        }

        break;

    case NGX_IV_JPEG_SOS:

        if (!(w->flags & NGX_IV_JPEG_HAS_SOF)) {
            return ngx_iv_walker_corrupt(w, "jpeg: a scan before its frame");
        }

        break;

    case NGX_IV_JPEG_SOI:
        return ngx_iv_walker_corrupt(w, "jpeg: a second start of image");

    case NGX_IV_JPEG_DNL:
        return ngx_iv_walker_corrupt(w, "jpeg: the height comes late (DNL)");

    case NGX_IV_JPEG_DHP:
    case NGX_IV_JPEG_EXP:
        return ngx_iv_walker_corrupt(w, "jpeg: hierarchical");

    default:

        if (ch >= NGX_IV_JPEG_APP0 && ch <= NGX_IV_JPEG_APP15) {
            break;
        }

        if (ch > NGX_IV_JPEG_SOF0 && ch <= NGX_IV_JPEG_SOF15) {
            return ngx_iv_walker_corrupt(w, "jpeg: lossless or hierarchical");
        }

        return ngx_iv_walker_corrupt(w, "jpeg: a marker out of place");
    }

    w->state = ngx_iv_jpeg_length;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_jpeg_on_eoi(ngx_iv_image_t *w)
{
    uint32_t  all;

    all = (1u << w->aux[NGX_IV_JPEG_N]) - 1;

    if (!(w->flags & NGX_IV_JPEG_HAS_SOS)
        || w->aux[NGX_IV_JPEG_SCANNED] != all)
    {
        return ngx_iv_walker_corrupt(w, "jpeg: ends before all its scans");
    }

    w->whole = !w->u.jpeg.nested;
    w->state = ngx_iv_jpeg_end;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_jpeg_on_length(ngx_iv_image_t *w)
{
    uint32_t  len;

    len = ngx_iv_get16(w->have);

    if (len < 2) {
        return ngx_iv_walker_corrupt(w, "jpeg: a segment shorter than itself");
    }

    w->skip = len - 2;

    switch (w->tag) {

    case NGX_IV_JPEG_SOF0:
    case NGX_IV_JPEG_SOF1:
    case NGX_IV_JPEG_SOF2:
    case NGX_IV_JPEG_SOF9:
    case NGX_IV_JPEG_SOF10:

        if (w->skip < 6 + 3 || w->skip > 6 + 3 * NGX_IV_JPEG_COMPONENTS) {
            return ngx_iv_walker_corrupt(w, "jpeg: wrong frame header length");
        }

        w->state = ngx_iv_jpeg_kept;
        return NGX_OK;

    case NGX_IV_JPEG_SOS:

        if (w->skip < 4 + 2 || w->skip > 4 + 2 * NGX_IV_JPEG_COMPONENTS) {
            return ngx_iv_walker_corrupt(w, "jpeg: wrong scan header length");
        }

        w->state = ngx_iv_jpeg_kept;
        return NGX_OK;

    case NGX_IV_JPEG_DRI:

        if (w->skip != 2) {
            return ngx_iv_walker_corrupt(w, "jpeg: wrong length of DRI");
        }

        break;

    case NGX_IV_JPEG_APP1:
    case NGX_IV_JPEG_APP2:

        if (w->skip > ngx_iv_jpeg_ident_len(w) && !w->u.jpeg.nested) {
            w->state = ngx_iv_jpeg_ident;
            return NGX_OK;
        }

        break;
    }

    w->state = w->skip ? ngx_iv_jpeg_passed : ngx_iv_jpeg_ff;

    return NGX_OK;
}


/* the first bytes of an APP1 or APP2 tell whose it is */

static void
ngx_iv_jpeg_on_ident(ngx_iv_image_t *w, uint64_t at)
{
    w->skip -= ngx_iv_jpeg_ident_len(w);
    w->state = ngx_iv_jpeg_passed;

    if (ngx_iv_jpeg_declares(w, w->have, at)) {
        w->state = ngx_iv_jpeg_declared;
    }
}


static ngx_int_t
ngx_iv_jpeg_on_segment(ngx_iv_image_t *w)
{
    if (w->tag == NGX_IV_JPEG_SOS) {
        w->state = ngx_iv_jpeg_scan;
        w->flags |= NGX_IV_JPEG_EMPTY;

        return ngx_iv_jpeg_sos(w, w->have, (size_t) w->skip);
    }

    w->state = ngx_iv_jpeg_ff;

    return ngx_iv_jpeg_sof(w, w->have, (size_t) w->skip);
}


/* precision, height, width, number of components; id, sampling, table each */

static ngx_int_t
ngx_iv_jpeg_sof(ngx_iv_image_t *w, const u_char *p, size_t n)
{
    uint32_t       width, height;
    ngx_uint_t     i, k, count;
    const u_char  *c;

    if (p[0] != 8 && (p[0] != 12 || w->tag == NGX_IV_JPEG_SOF0)) {
        return ngx_iv_walker_corrupt(w, "jpeg: wrong sample precision");
    }

    height = ngx_iv_get16(p + 1);
    width = ngx_iv_get16(p + 3);

    if (height == 0) {
        return ngx_iv_walker_corrupt(w, "jpeg: the height comes late (DNL)");
    }

    if (width == 0) {
        return ngx_iv_walker_corrupt(w, "jpeg: no width");
    }

    count = p[5];

    if (count == 0 || count > NGX_IV_JPEG_COMPONENTS || n != 6 + 3 * count) {
        return ngx_iv_walker_corrupt(w, "jpeg: wrong number of components");
    }

    for (i = 0; i < count; i++) {
        c = p + 6 + 3 * i;

        if ((c[1] >> 4) < 1 || (c[1] >> 4) > 4
            || (c[1] & 0xf) < 1 || (c[1] & 0xf) > 4)
        {
            return ngx_iv_walker_corrupt(w, "jpeg: wrong sampling factor");
        }

        for (k = 0; k < i; k++) {
            if (w->aux[NGX_IV_JPEG_IDS + k] == c[0]) {
                return ngx_iv_walker_corrupt(w, "jpeg: a component twice");
            }
        }

        w->aux[NGX_IV_JPEG_IDS + i] = c[0];
    }

    w->flags |= NGX_IV_JPEG_HAS_SOF;
    w->aux[NGX_IV_JPEG_SOF] = w->tag;
    w->aux[NGX_IV_JPEG_N] = (uint32_t) count;

    if (w->u.jpeg.nested) {

        /* its size is not the image's, but the limit holds */

        if ((uint64_t) width * height > w->limits.max_pixels) {
            return ngx_iv_walker_fail(w, NGX_IV_TOO_MANY_PIXELS,
                                      "more pixels than allowed");
        }

        return NGX_OK;
    }

    return ngx_iv_walker_size(w, width, height, 1);
}


/* number of components; id and tables each; three bytes of the selection */

static ngx_int_t
ngx_iv_jpeg_sos(ngx_iv_image_t *w, const u_char *p, size_t n)
{
    uint32_t    seen;
    ngx_uint_t  i, k, count;

    count = p[0];

    if (count == 0 || count > w->aux[NGX_IV_JPEG_N] || n != 4 + 2 * count) {
        return ngx_iv_walker_corrupt(w, "jpeg: wrong components of a scan");
    }

    seen = 0;

    for (i = 0; i < count; i++) {

        for (k = 0; k < w->aux[NGX_IV_JPEG_N]; k++) {
            if (w->aux[NGX_IV_JPEG_IDS + k] == p[1 + 2 * i]) {
                break;
            }
        }

        if (k == w->aux[NGX_IV_JPEG_N] || (seen & (1u << k))) {
            return ngx_iv_walker_corrupt(w, "jpeg: wrong components of a scan");
        }

        seen |= 1u << k;
    }

    w->flags |= NGX_IV_JPEG_HAS_SOS;
    w->aux[NGX_IV_JPEG_SCANNED] |= seen;

    return NGX_OK;
}
