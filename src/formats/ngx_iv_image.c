/*
 * Image walker: tells the format by its signature and hands the bytes to the
 * walker of that format.
 */

#include "formats/ngx_iv_image.h"
#include "formats/ngx_iv_walker.h"


typedef struct {
    ngx_uint_t      format;
    ngx_str_t       mime;
    ngx_str_t       ext;
    ngx_str_t       alias;          /* another extension in use */
    ngx_str_t       signature[2];   /* '?' stands for any byte */

    ngx_int_t     (*feed)(ngx_iv_image_t *w, const u_char *p,
                          const u_char *last);
} ngx_iv_format_t;


static const ngx_iv_format_t *ngx_iv_image_format(ngx_uint_t format);
static const ngx_iv_format_t *ngx_iv_image_by_word(const u_char *p, size_t n);
static ngx_int_t ngx_iv_image_sniff(ngx_iv_image_t *w, const u_char **p,
    const u_char *last);
static ngx_int_t ngx_iv_image_sniffed(ngx_iv_image_t *w,
    const ngx_iv_format_t *f);


static const ngx_iv_format_t  ngx_iv_formats[] = {

    { NGX_IV_IMAGE_JPEG, ngx_string("image/jpeg"),
      ngx_string("jpg"), ngx_string("jpeg"),
      { ngx_string("\xff\xd8\xff"), ngx_null_string },
      ngx_iv_jpeg_feed },

    { NGX_IV_IMAGE_PNG, ngx_string("image/png"),
      ngx_string("png"), ngx_null_string,
      { ngx_string("\x89PNG\r\n\x1a\n"), ngx_null_string },
      ngx_iv_png_feed },

    { NGX_IV_IMAGE_GIF, ngx_string("image/gif"),
      ngx_string("gif"), ngx_null_string,
      { ngx_string("GIF87a"), ngx_string("GIF89a") },
      ngx_iv_gif_feed },

    { NGX_IV_IMAGE_WEBP, ngx_string("image/webp"),
      ngx_string("webp"), ngx_null_string,
      { ngx_string("RIFF????WEBP"), ngx_null_string },
      ngx_iv_webp_feed },

    { NGX_IV_IMAGE_AVIF, ngx_string("image/avif"),
      ngx_string("avif"), ngx_null_string,
      /* one of many formats in such boxes: its walker looks at the brands */
      { ngx_string("????ftyp"), ngx_null_string },
      ngx_iv_avif_feed },

    { 0, ngx_string(""), ngx_string(""), ngx_null_string,
      { ngx_null_string, ngx_null_string }, NULL }
};


void
ngx_iv_image_init(ngx_iv_image_t *w, const ngx_iv_image_limits_t *limits)
{
    ngx_memzero(w, sizeof(ngx_iv_image_t));

    w->limits = *limits;
    w->frames = 1;
    w->verdict = NGX_OK;
}


ngx_int_t
ngx_iv_image_feed(ngx_iv_image_t *w, const u_char *p, size_t n)
{
    const u_char  *last;

    if (w->verdict != NGX_OK || n == 0) {
        return w->verdict;
    }

    last = p + n;
    w->offset += n;

    if (w->walker == 0 && ngx_iv_image_sniff(w, &p, last) != NGX_OK) {
        return w->verdict;
    }

    if (w->walker && p < last) {
        return ngx_iv_image_format(w->walker)->feed(w, p, last);
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_image_finish(ngx_iv_image_t *w)
{
    if (w->verdict != NGX_OK) {
        return w->verdict;
    }

    if (w->format == 0) {
        return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                  w->offset ? "too short for an image"
                                            : "empty");
    }

    if (w->behind && !w->whole) {
        return ngx_iv_walker_fail(w, NGX_IV_TRAILING_DATA,
                                  "bytes after the end of the image");
    }

    if (!w->whole) {
        return ngx_iv_walker_corrupt(w, "the image ends too early");
    }

    return NGX_OK;
}


/*
 * Takes bytes one by one, as long as some signature may still come of them:
 * the first byte that rules out all of them decides, whatever the split.
 */

static ngx_int_t
ngx_iv_image_sniff(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    size_t                  i;
    ngx_uint_t              k, hope;
    const ngx_str_t        *s;
    const ngx_iv_format_t  *f;

    while (*p < last) {

        w->have[w->nhave++] = *(*p)++;
        hope = 0;

        for (f = ngx_iv_formats; f->format; f++) {
            for (k = 0; k < 2; k++) {
                s = &f->signature[k];

                if (w->nhave > s->len) {
                    continue;
                }

                for (i = 0; i < w->nhave; i++) {
                    if (s->data[i] != '?' && s->data[i] != w->have[i]) {
                        break;
                    }
                }

                if (i < w->nhave) {
                    continue;
                }

                if (i == s->len) {
                    return ngx_iv_image_sniffed(w, f);
                }

                hope = 1;
            }
        }

        if (!hope) {
            return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                      "not an image of a known format");
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_image_sniffed(ngx_iv_image_t *w, const ngx_iv_format_t *f)
{
    w->walker = f->format;
    w->nhave = 0;

    if (f->format == NGX_IV_IMAGE_AVIF) {
        return NGX_OK;
    }

    return ngx_iv_walker_format(w, f->format);
}


ngx_int_t
ngx_iv_walker_format(ngx_iv_image_t *w, ngx_uint_t format)
{
    w->format = format;

    if (!(w->limits.types & format)) {
        return ngx_iv_walker_fail(w, NGX_IV_UNSUPPORTED_TYPE,
                                  "this format is not allowed here");
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_walker_fail(ngx_iv_image_t *w, ngx_int_t code, const char *why)
{
    w->verdict = code;
    w->why = why;

    return code;
}


ngx_uint_t
ngx_iv_walker_gather(ngx_iv_image_t *w, const u_char **p, const u_char *last,
    size_t want)
{
    size_t  n;

    n = ngx_min(want - w->nhave, (size_t) (last - *p));

    ngx_memcpy(w->have + w->nhave, *p, n);

    w->nhave += n;
    *p += n;

    if (w->nhave < want) {
        return 0;
    }

    w->nhave = 0;

    return 1;
}


ngx_uint_t
ngx_iv_walker_pass(ngx_iv_image_t *w, const u_char **p, const u_char *last)
{
    size_t  n;

    n = (size_t) ngx_min(w->skip, (uint64_t) (last - *p));

    w->skip -= n;
    *p += n;

    return w->skip == 0;
}


ngx_int_t
ngx_iv_walker_size(ngx_iv_image_t *w, uint32_t width, uint32_t height,
    uint32_t frames)
{
    uint64_t  pixels;

    w->width = width;
    w->height = height;
    w->frames = frames;
    w->known = 1;

    /* divided, since the product of all three may pass 64 bits */

    pixels = (uint64_t) width * height;

    if (pixels > w->limits.max_pixels / frames) {
        return ngx_iv_walker_fail(w, NGX_IV_TOO_MANY_PIXELS,
                                  "more pixels than allowed");
    }

    return NGX_OK;
}


static const ngx_iv_format_t *
ngx_iv_image_format(ngx_uint_t format)
{
    const ngx_iv_format_t  *f;

    for (f = ngx_iv_formats; f->format; f++) {
        if (f->format == format) {
            break;
        }
    }

    return f;
}


const ngx_str_t *
ngx_iv_image_mime(ngx_uint_t format)
{
    return &ngx_iv_image_format(format)->mime;
}


const ngx_str_t *
ngx_iv_image_ext(ngx_uint_t format)
{
    return &ngx_iv_image_format(format)->ext;
}


static ngx_uint_t
ngx_iv_image_same(const ngx_str_t *word, const u_char *p, size_t n)
{
    return n && word->len == n
           && ngx_strncasecmp(word->data, (u_char *) p, n) == 0;
}


static const ngx_iv_format_t *
ngx_iv_image_by_word(const u_char *p, size_t n)
{
    const ngx_iv_format_t  *f;

    for (f = ngx_iv_formats; f->format; f++) {
        if (ngx_iv_image_same(&f->ext, p, n)
            || ngx_iv_image_same(&f->alias, p, n))
        {
            break;
        }
    }

    return f;
}


ngx_uint_t
ngx_iv_image_by_mime(const ngx_str_t *mime)
{
    const ngx_iv_format_t  *f;

    for (f = ngx_iv_formats; f->format; f++) {
        if (ngx_iv_image_same(&f->mime, mime->data, mime->len)) {
            break;
        }
    }

    return f->format;
}


ngx_uint_t
ngx_iv_image_by_name(const ngx_str_t *name)
{
    size_t  i;

    for (i = name->len; i > 0; i--) {

        if (name->data[i - 1] == '.') {
            return ngx_iv_image_by_word(name->data + i, name->len - i)->format;
        }

        if (name->data[i - 1] == '/') {
            break;
        }
    }

    return 0;
}
