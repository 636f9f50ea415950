/*
 * What stands behind a JPEG's EOI.  Nothing, or, tiling the rest exactly:
 *
 * - the parts that its segments declare (ngx_iv_jpeg_declared.c).  A part is a
 *   JPEG, walked like the first, or begins as a file in ISO boxes (ftyp: the
 *   video of a motion photo, HEIC or AVIF).  Padding that is declared may hold
 *   anything (Samsung's hides a block header there); zeros may stand before
 *   a part that MPF places and behind an image within its part, as cameras
 *   align them.
 *
 * - then Samsung's block.  Not published; known from ExifTool's description of
 *   the "Samsung trailer": data blocks that begin with two zeros and their
 *   type; "SEFH", version, number of entries; of each entry type, distance
 *   back from SEFH to its block, and size; at last the length of this
 *   directory and "SEFT".  It can only be told from its end, so "SEFH" is
 *   looked for, and the last one must be followed by a directory that ends with
 *   the file, and whose blocks begin where the declared parts ended, or
 *   before, but not before EOI.
 *
 * An image whose declared parts are all missing is whole: what passes images
 * on drops them and keeps the declaration.
 */

#include "formats/ngx_iv_jpeg.h"


#define NGX_IV_SEF_HEAD     ngx_iv_tag('S', 'E', 'F', 'H')
#define NGX_IV_SEF_TAIL     ngx_iv_tag('S', 'E', 'F', 'T')

#define NGX_IV_SEF_ENTRIES  1024        /* some ten are in use */

/* s->phase */
enum {
    ngx_iv_tail_eoi = 0,
    ngx_iv_tail_between,                /* two parts */
    ngx_iv_tail_gap,                    /* zeros before a part */
    ngx_iv_tail_begin,                  /* a part's first bytes */
    ngx_iv_tail_pass,                   /* a part that is no JPEG */
    ngx_iv_tail_fill,                   /* zeros behind an image */
    ngx_iv_tail_sef
};

/* s->step in Samsung's block */
enum {
    ngx_iv_sef_blocks = 0,              /* no directory yet */
    ngx_iv_sef_count,
    ngx_iv_sef_entry,
    ngx_iv_sef_tail,
    ngx_iv_sef_over
};


static ngx_int_t ngx_iv_tail_next(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_tail_start(ngx_iv_image_t *w, uint64_t at);
static ngx_int_t ngx_iv_tail_zeros(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);
static ngx_int_t ngx_iv_tail_first(ngx_iv_image_t *w, u_char ch, uint64_t at);
static ngx_int_t ngx_iv_tail_refuse(ngx_iv_image_t *w);
static ngx_int_t ngx_iv_sef_read(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);
static void ngx_iv_sef_byte(ngx_iv_image_t *w, u_char ch, uint64_t at);
static void ngx_iv_sef_on_field(ngx_iv_image_t *w, const u_char *p);


ngx_int_t
ngx_iv_jpeg_tail(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    uint64_t              at;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;
    at = ngx_iv_walker_at(w, *p, last);

    switch (s->phase) {

    case ngx_iv_tail_eoi:
        ngx_iv_jpeg_parts(w, at);
        return ngx_iv_tail_next(w, at);

    case ngx_iv_tail_between:
        return ngx_iv_tail_start(w, at);

    case ngx_iv_tail_gap:
    case ngx_iv_tail_fill:
        return ngx_iv_tail_zeros(w, p, last);

    case ngx_iv_tail_begin:

        if (at == s->end) {
            return ngx_iv_tail_refuse(w);
        }

        return ngx_iv_tail_first(w, *(*p)++, at);

    case ngx_iv_tail_pass:

        if (!ngx_iv_walker_pass(w, p, last)) {
            return NGX_OK;
        }

        return ngx_iv_tail_next(w, ngx_iv_walker_at(w, *p, last));

    default: /* ngx_iv_tail_sef */
        return ngx_iv_sef_read(w, p, last);
    }
}


/* a part ends here, or the image itself; it may be the end of all */

static ngx_int_t
ngx_iv_tail_next(ngx_iv_image_t *w, uint64_t at)
{
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    /* what is said to stand before its turn is not there */

    while (s->part < s->nparts && s->parts[s->part].start < at) {
        s->part++;
    }

    w->whole = (s->part == s->nparts);
    s->nested = 0;
    s->phase = ngx_iv_tail_between;

    return NGX_OK;
}


/* there is a byte at this place */

static ngx_int_t
ngx_iv_tail_start(ngx_iv_image_t *w, uint64_t at)
{
    ngx_iv_jpeg_part_t   *part;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;
    w->whole = 0;
    w->nhave = 0;

    if (s->part == s->nparts) {

        w->behind = 1;
        s->from = at;
        s->window = 0;
        s->step = ngx_iv_sef_blocks;
        s->phase = ngx_iv_tail_sef;

        return NGX_OK;
    }

    part = &s->parts[s->part];

    if (part->start > at) {
        s->end = part->start;
        s->phase = ngx_iv_tail_gap;
        return NGX_OK;
    }

    s->part++;
    s->end = at + part->size;
    w->skip = part->size;
    s->phase = part->padding ? ngx_iv_tail_pass : ngx_iv_tail_begin;

    return NGX_OK;
}


/* zeros up to s->end */

static ngx_int_t
ngx_iv_tail_zeros(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    uint64_t  at;

    at = ngx_iv_walker_at(w, *p, last);

    while (*p < last && at < w->u.jpeg.end) {

        if (**p != 0) {
            return ngx_iv_tail_refuse(w);
        }

        (*p)++;
        at++;
    }

    return (at == w->u.jpeg.end) ? ngx_iv_tail_next(w, at) : NGX_OK;
}


/* one of the first bytes of a part */

static ngx_int_t
ngx_iv_tail_first(ngx_iv_image_t *w, u_char ch, uint64_t at)
{
    size_t                n;
    ngx_iv_jpeg_state_t  *s;

    static const u_char  soi[] = { 0xff, 0xd8, 0xff };
    static const u_char  ftyp[] = "ftyp";

    s = &w->u.jpeg;
    n = w->nhave++;
    w->have[n] = ch;

    if (w->have[0] == soi[0]) {

        if (ch != soi[n]) {
            return ngx_iv_tail_refuse(w);
        }

        if (w->nhave == sizeof(soi)) {
            w->nhave = 0;
            w->flags = 0;
            ngx_memzero(w->aux, sizeof(w->aux));
            w->state = ngx_iv_jpeg_marker;
            s->nested = 1;
        }

        return NGX_OK;
    }

    if (n >= 4 && ch != ftyp[n - 4]) {
        return ngx_iv_tail_refuse(w);
    }

    if (w->nhave == 8) {
        w->nhave = 0;
        w->skip = s->end - (at + 1);

        if (w->skip == 0) {
            return ngx_iv_tail_next(w, at + 1);
        }

        s->phase = ngx_iv_tail_pass;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_jpeg_nested(ngx_iv_image_t *w, uint64_t at)
{
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    if (w->state != ngx_iv_jpeg_end) {

        if (at == s->end) {
            return ngx_iv_walker_corrupt(w, "jpeg: an image behind the first "
                                         "one is cut short");
        }

        return NGX_OK;
    }

    if (at == s->end) {
        return ngx_iv_tail_next(w, at);
    }

    s->nested = 0;
    s->phase = ngx_iv_tail_fill;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_tail_refuse(ngx_iv_image_t *w)
{
    return ngx_iv_walker_fail(w, NGX_IV_TRAILING_DATA,
                              "jpeg: bytes after the end of the image");
}


/* Samsung's block, or anything else */

static ngx_int_t
ngx_iv_sef_read(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    uint64_t              at;
    const u_char         *s1;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    while (*p < last) {

        at = ngx_iv_walker_at(w, *p, last);

        if (at < s->from + 2 && **p != 0
            && **p != (u_char) "SE"[at - s->from])
        {
            /* neither a block nor a directory */
            return ngx_iv_tail_refuse(w);
        }

        if (s->step == ngx_iv_sef_blocks && s->window == 0
            && at >= s->from + 2)
        {
            s1 = memchr(*p, 'S', (size_t) (last - *p));

            if (s1 == NULL) {
                *p = last;
                return NGX_OK;
            }

            at += (uint64_t) (s1 - *p);
            *p = s1;
        }

        ngx_iv_sef_byte(w, *(*p)++, at);
    }

    return NGX_OK;
}


static void
ngx_iv_sef_byte(ngx_iv_image_t *w, u_char ch, uint64_t at)
{
    ngx_iv_jpeg_state_t  *s;

    static const u_char  want[] = { 0, 8, 12, 8, 0 };

    s = &w->u.jpeg;
    w->whole = 0;

    /* the bytes so far that "SEFH" begins with, else 0 */

    switch (ch) {

    case 'S':
        s->window = 'S';
        break;

    case 'E':
    case 'F':
    case 'H':
        s->window = s->window << 8 | ch;

        if (s->window == NGX_IV_SEF_HEAD) {
            s->window = 0;
            s->head = at - 3;
            s->reach = 0;
            s->step = ngx_iv_sef_count;
            w->nhave = 0;
            return;
        }

        if (s->window != (NGX_IV_SEF_HEAD >> 16)
            && s->window != (NGX_IV_SEF_HEAD >> 8))
        {
            s->window = 0;
        }

        break;

    default:
        s->window = 0;
    }

    if (s->step == ngx_iv_sef_over) {
        s->step = ngx_iv_sef_blocks;
    }

    if (s->step == ngx_iv_sef_blocks) {
        return;
    }

    w->have[w->nhave++] = ch;

    if (w->nhave == want[s->step]) {
        w->nhave = 0;
        ngx_iv_sef_on_field(w, w->have);
    }
}


static void
ngx_iv_sef_on_field(ngx_iv_image_t *w, const u_char *p)
{
    uint32_t              offset;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    switch (s->step) {

    case ngx_iv_sef_count:

        /* version, number of entries */

        s->entries = ngx_iv_get32le(p + 4);
        s->left = s->entries;

        if (s->entries == 0 || s->entries > NGX_IV_SEF_ENTRIES) {
            break;
        }

        s->step = ngx_iv_sef_entry;
        return;

    case ngx_iv_sef_entry:

        /* 0, type, distance back, size */

        offset = ngx_iv_get32le(p + 4);

        if (ngx_iv_get32le(p + 8) > offset) {
            break;
        }

        s->reach = ngx_max(s->reach, offset);

        if (--s->left == 0) {
            s->step = ngx_iv_sef_tail;
        }

        return;

    default: /* ngx_iv_sef_tail */

        if (ngx_iv_get32le(p) != 12 + 12 * s->entries
            || ngx_iv_get32(p + 4) != NGX_IV_SEF_TAIL
            || s->reach < s->head - s->from
            || s->reach > s->head - s->eoi)
        {
            break;
        }

        w->whole = 1;
        s->step = ngx_iv_sef_over;
        return;
    }

    s->step = ngx_iv_sef_blocks;
}
