/*
 * What a JPEG declares to stand behind its EOI.  Two kinds of segments do:
 *
 * - APP2 "MPF" (CIPA DC-007, Multi-Picture Format, 5.2): a TIFF structure whose
 *   tag 0xb002 lists the size and the place of each image in the file.  Places
 *   count from the structure's first byte; 0 is the image itself.  Made by
 *   stereo and panorama cameras, by phones for previews and gain maps (Ultra
 *   HDR, ISO 21496-1).
 *
 * - APP1 XMP with a Container (Google's Motion Photo format 1.0 and Ultra HDR):
 *   Container:Directory lists items, in rdf:li each, which follow one another
 *   behind the primary image: Item:Length bytes, then Item:Padding.  The
 *   primary item comes first; its own length is left out or 0, its padding
 *   stands behind EOI.  Written as attributes or as elements.  Before Container
 *   there was GCamera:MicroVideoOffset: as many bytes of video end the file.
 *
 * Both are read as they stream by, and only forward: an index before its
 * directory, which nobody writes, is as good as none.
 */

#include "formats/ngx_iv_jpeg.h"


#define NGX_IV_JPEG_MPF      "MPF"
#define NGX_IV_JPEG_XMP      "http://ns.adobe.com/xap/1.0/"

#define NGX_IV_JPEG_MPENTRY  0xb002
#define NGX_IV_JPEG_PART_MIN  4         /* SOI, EOI */

/* s->step in MPF */
enum {
    ngx_iv_mpf_header = 0,
    ngx_iv_mpf_count,
    ngx_iv_mpf_field,
    ngx_iv_mpf_image,
    ngx_iv_mpf_over
};

/* s->step in XMP */
enum {
    ngx_iv_xmp_text = 0,
    ngx_iv_xmp_name,
    ngx_iv_xmp_equals,
    ngx_iv_xmp_value
};

/* s->key */
enum {
    ngx_iv_xmp_none = 0,
    ngx_iv_xmp_length,
    ngx_iv_xmp_padding,
    ngx_iv_xmp_semantic,
    ngx_iv_xmp_video
};


static void ngx_iv_mpf_read(ngx_iv_image_t *w, const u_char *p, size_t n);
static void ngx_iv_mpf_on_field(ngx_iv_image_t *w, const u_char *p);
static void ngx_iv_mpf_on_image(ngx_iv_jpeg_state_t *s, const u_char *p);
static uint32_t ngx_iv_mpf_get16(ngx_iv_jpeg_state_t *s, const u_char *p);
static uint32_t ngx_iv_mpf_get32(ngx_iv_jpeg_state_t *s, const u_char *p);
static void ngx_iv_xmp_byte(ngx_iv_jpeg_state_t *s, u_char ch);
static void ngx_iv_xmp_name_over(ngx_iv_jpeg_state_t *s, u_char ch);
static void ngx_iv_xmp_value_byte(ngx_iv_jpeg_state_t *s, u_char ch);
static void ngx_iv_xmp_value_over(ngx_iv_jpeg_state_t *s);
static void ngx_iv_xmp_item_over(ngx_iv_jpeg_state_t *s);
static ngx_uint_t ngx_iv_xmp_ends(ngx_iv_jpeg_state_t *s, const char *word);
static void ngx_iv_jpeg_part(ngx_iv_jpeg_state_t *s, uint64_t start,
    uint32_t size, uint32_t padding);


size_t
ngx_iv_jpeg_ident_len(ngx_iv_image_t *w)
{
    /* with the zero that ends them */

    return (w->tag == NGX_IV_JPEG_APP1) ? sizeof(NGX_IV_JPEG_XMP)
                                        : sizeof(NGX_IV_JPEG_MPF);
}


ngx_uint_t
ngx_iv_jpeg_declares(ngx_iv_image_t *w, const u_char *ident, uint64_t at)
{
    const char           *name;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;
    name = (w->tag == NGX_IV_JPEG_APP1) ? NGX_IV_JPEG_XMP : NGX_IV_JPEG_MPF;

    if (ngx_memcmp(ident, name, ngx_iv_jpeg_ident_len(w)) != 0) {
        return 0;
    }

    s->step = 0;
    s->at = 0;
    s->to = 0;
    s->base = at;
    s->opened = 0;

    return 1;
}


void
ngx_iv_jpeg_declare(ngx_iv_image_t *w, const u_char *p, size_t n)
{
    size_t                i;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    if (w->tag == NGX_IV_JPEG_APP2) {
        ngx_iv_mpf_read(w, p, n);
        return;
    }

    for (i = 0; i < n; i++) {
        ngx_iv_xmp_byte(s, p[i]);
    }

    if (w->skip == 0) {
        ngx_iv_xmp_item_over(s);
    }
}


/* reads what s->step wants, at s->to or behind */

static void
ngx_iv_mpf_read(ngx_iv_image_t *w, const u_char *p, size_t n)
{
    size_t                i;
    ngx_iv_jpeg_state_t  *s;

    static const u_char  want[] = { 8, 2, 12, 16 };

    s = &w->u.jpeg;

    for (i = 0; i < n && s->step != ngx_iv_mpf_over; i++, s->at++) {

        if (s->at < s->to) {
            continue;
        }

        w->have[w->nhave++] = p[i];

        if (w->nhave == want[s->step]) {
            w->nhave = 0;
            ngx_iv_mpf_on_field(w, w->have);
        }
    }
}


static void
ngx_iv_mpf_on_field(ngx_iv_image_t *w, const u_char *p)
{
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;

    switch (s->step) {

    case ngx_iv_mpf_header:

        s->little = (p[0] == 'I');

        if (p[0] != p[1] || (p[0] != 'I' && p[0] != 'M')
            || ngx_iv_mpf_get16(s, p + 2) != 42)
        {
            break;
        }

        s->entries = 0;
        s->to = ngx_iv_mpf_get32(s, p + 4);
        s->step = ngx_iv_mpf_count;
        return;

    case ngx_iv_mpf_count:

        s->left = ngx_iv_mpf_get16(s, p);

        if (s->left) {
            s->step = ngx_iv_mpf_field;
            return;
        }

        break;

    case ngx_iv_mpf_field:

        /* tag, type, number of bytes, their place */

        if (ngx_iv_mpf_get16(s, p) == NGX_IV_JPEG_MPENTRY) {
            s->entries = ngx_iv_mpf_get32(s, p + 4) / 16;
            s->index = ngx_iv_mpf_get32(s, p + 8);
        }

        if (--s->left) {
            return;
        }

        if (s->entries && s->index > s->at) {
            s->to = s->index;
            s->step = ngx_iv_mpf_image;
            return;
        }

        break;

    case ngx_iv_mpf_image:

        ngx_iv_mpf_on_image(s, p);

        if (--s->entries) {
            return;
        }

        break;
    }

    s->step = ngx_iv_mpf_over;
}


/* attributes, size, place, numbers of images it depends on */

static void
ngx_iv_mpf_on_image(ngx_iv_jpeg_state_t *s, const u_char *p)
{
    uint32_t  size, offset;

    size = ngx_iv_mpf_get32(s, p + 4);
    offset = ngx_iv_mpf_get32(s, p + 8);

    if (offset && size >= NGX_IV_JPEG_PART_MIN) {
        ngx_iv_jpeg_part(s, s->base + offset, size, 0);
    }
}


static uint32_t
ngx_iv_mpf_get16(ngx_iv_jpeg_state_t *s, const u_char *p)
{
    return s->little ? ngx_iv_get16le(p) : ngx_iv_get16(p);
}


static uint32_t
ngx_iv_mpf_get32(ngx_iv_jpeg_state_t *s, const u_char *p)
{
    return s->little ? ngx_iv_get32le(p) : ngx_iv_get32(p);
}


/* a name, and the value behind it if the name is one of ours */

static void
ngx_iv_xmp_byte(ngx_iv_jpeg_state_t *s, u_char ch)
{
    ngx_uint_t  letter;

    letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
             || (ch >= '0' && ch <= '9') || ch == ':' || ch == '_'
             || ch == '-' || ch == '.';

    switch (s->step) {

    case ngx_iv_xmp_text:

        if (!letter) {
            s->opened = (ch == '<');
            return;
        }

        s->len = 0;
        s->step = ngx_iv_xmp_name;

        /* fall through */

    case ngx_iv_xmp_name:

        if (!letter) {
            ngx_iv_xmp_name_over(s, ch);
            return;
        }

        /* of a longer one nothing is kept */

        if (s->len < sizeof(s->name)) {
            s->name[s->len] = ch;
        }

        s->len++;
        return;

    case ngx_iv_xmp_equals:

        if (ch == '"' || ch == '\'') {
            s->step = ngx_iv_xmp_value;

        } else if (ch != ' ' && ch != '\t' && ch != '\r' && ch != '\n') {
            s->opened = (ch == '<');
            s->step = ngx_iv_xmp_text;
        }

        return;

    default: /* ngx_iv_xmp_value */

        if (ch == '"' || ch == '\'' || ch == '<') {
            ngx_iv_xmp_value_over(s);
            s->opened = (ch == '<');
            s->step = ngx_iv_xmp_text;
            return;
        }

        ngx_iv_xmp_value_byte(s, ch);
    }
}


static void
ngx_iv_xmp_name_over(ngx_iv_jpeg_state_t *s, u_char ch)
{
    if (s->opened && ngx_iv_xmp_ends(s, ":li")) {
        ngx_iv_xmp_item_over(s);
    }

    s->key = ngx_iv_xmp_none;

    if (ch == '=' || (ch == '>' && s->opened)) {

        if (ngx_iv_xmp_ends(s, "Item:Length")) {
            s->key = ngx_iv_xmp_length;

        } else if (ngx_iv_xmp_ends(s, "Item:Padding")) {
            s->key = ngx_iv_xmp_padding;

        } else if (ngx_iv_xmp_ends(s, "Item:Semantic")) {
            s->key = ngx_iv_xmp_semantic;

        } else if (ngx_iv_xmp_ends(s, ":MicroVideoOffset")) {
            s->key = ngx_iv_xmp_video;
        }
    }

    s->len = 0;
    s->value = 0;
    s->bad = 0;

    if (s->key == ngx_iv_xmp_none) {
        s->step = ngx_iv_xmp_text;

    } else {
        s->step = (ch == '=') ? ngx_iv_xmp_equals : ngx_iv_xmp_value;
    }

    s->opened = (ch == '<');
}


static void
ngx_iv_xmp_value_byte(ngx_iv_jpeg_state_t *s, u_char ch)
{
    static const u_char  primary[] = "Primary";

    if (s->key == ngx_iv_xmp_semantic) {

        if (s->len >= sizeof(primary) - 1 || primary[s->len] != ch) {
            s->bad = 1;
        }

        s->len++;
        return;
    }

    if (ch < '0' || ch > '9' || s->value > 0xffffffff) {
        s->bad = 1;
        return;
    }

    s->value = s->value * 10 + (ch - '0');
}


static void
ngx_iv_xmp_value_over(ngx_iv_jpeg_state_t *s)
{
    if (s->key == ngx_iv_xmp_semantic) {

        if (!s->bad && s->len == sizeof("Primary") - 1) {
            s->primary = 1;
        }

        return;
    }

    if (s->bad || s->value > 0xffffffff) {
        return;
    }

    switch (s->key) {

    case ngx_iv_xmp_length:
        s->item.size = (uint32_t) s->value;
        break;

    case ngx_iv_xmp_padding:
        s->item.padding = (uint32_t) s->value;
        break;

    default: /* ngx_iv_xmp_video */
        s->video = (uint32_t) s->value;
    }
}


static void
ngx_iv_xmp_item_over(ngx_iv_jpeg_state_t *s)
{
    if (s->primary) {
        s->item.size = 0;
    }

    if ((s->item.size || s->item.padding) && s->nitems < NGX_IV_JPEG_ITEMS) {
        s->items[s->nitems++] = s->item;
    }

    s->primary = 0;
    s->item.size = 0;
    s->item.padding = 0;
}


static ngx_uint_t
ngx_iv_xmp_ends(ngx_iv_jpeg_state_t *s, const char *word)
{
    size_t  n;

    n = ngx_strlen(word);

    return s->len >= n && s->len <= sizeof(s->name)
           && ngx_memcmp(s->name + s->len - n, word, n) == 0;
}


static void
ngx_iv_jpeg_part(ngx_iv_jpeg_state_t *s, uint64_t start, uint32_t size,
    uint32_t padding)
{
    ngx_iv_jpeg_part_t  *part;

    if (s->nparts == NGX_IV_JPEG_PARTS) {
        return;
    }

    part = &s->parts[s->nparts++];
    part->start = start;
    part->size = size;
    part->padding = padding;
}


/* adds the items' places to those of MPF, and sorts them all */

void
ngx_iv_jpeg_parts(ngx_iv_image_t *w, uint64_t at)
{
    uint64_t              end;
    ngx_uint_t            i, k;
    ngx_iv_jpeg_part_t    part;
    ngx_iv_jpeg_state_t  *s;

    s = &w->u.jpeg;
    s->eoi = at;

    for (i = 0; i < s->nitems; i++) {

        if (s->items[i].size) {
            ngx_iv_jpeg_part(s, at, s->items[i].size, 0);
            at += s->items[i].size;
        }

        if (s->items[i].padding) {
            ngx_iv_jpeg_part(s, at, s->items[i].padding, 1);
            at += s->items[i].padding;
        }

        if (s->items[i].size == s->video) {
            /* told in the old way and in the new */
            s->video = 0;
        }
    }

    /* by their places; of two at one place the longer one first */

    for (i = 1; i < s->nparts; i++) {
        part = s->parts[i];

        for (k = i; k > 0; k--) {

            if (s->parts[k - 1].start < part.start
                || (s->parts[k - 1].start == part.start
                    && s->parts[k - 1].size >= part.size))
            {
                break;
            }

            s->parts[k] = s->parts[k - 1];
        }

        s->parts[k] = part;
    }

    /* the old kind of video is what remains */

    if (s->video) {
        end = s->eoi;

        for (i = 0; i < s->nparts; i++) {
            end = ngx_max(end, s->parts[i].start + s->parts[i].size);
        }

        ngx_iv_jpeg_part(s, end, s->video, 0);
    }
}
