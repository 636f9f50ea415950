/*
 * GIF, WebP, AVIF, what may follow a JPEG, and polyglots.
 *
 * sources: src/formats/ngx_iv_image.c src/formats/ngx_iv_png.c
 *     src/formats/ngx_iv_jpeg.c src/formats/ngx_iv_jpeg_declared.c
 *     src/formats/ngx_iv_jpeg_tail.c src/formats/ngx_iv_gif.c
 *     src/formats/ngx_iv_webp.c src/formats/ngx_iv_avif.c
 * libs: -lz
 *
 * Runs at the tree's root: it reads t/data.
 */

#include "iv_test.h"
#include "formats/ngx_iv_image.h"


static u_char                 buf[1 << 17];
static size_t                 len;
static ngx_iv_image_t         w;
static ngx_iv_image_limits_t  limits = { NGX_IV_IMAGE_ALL, 100000000 };


static ngx_int_t
walk(ngx_iv_image_t *image, size_t n, size_t step)
{
    u_char  *copy;
    size_t   i, k;

    ngx_iv_image_init(image, &limits);

    /* each piece in memory of its own: reading over its end is seen */

    for (i = 0; i < n; i += k) {
        k = ngx_min(step, n - i);
        copy = malloc(k);
        memcpy(copy, buf + i, k);
        (void) ngx_iv_image_feed(image, copy, k);
        free(copy);
    }

    return ngx_iv_image_finish(image);
}


/* the verdict of the first n bytes, the same however they are split */

static ngx_int_t
first(size_t n)
{
    size_t          i;
    ngx_int_t       rc;
    ngx_iv_image_t  other;

    static const size_t  steps[] = { 1, 2, 3, 7, 64 };

    rc = walk(&w, n, n ? n : 1);

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        EQ_INT(walk(&other, n, steps[i]), rc);
        OK(other.why == w.why);
        EQ_INT(other.format, w.format);
        EQ_INT(other.width, w.width);
        EQ_INT(other.height, w.height);
        EQ_INT(other.frames, w.frames);
        EQ_INT(other.known, w.known);
        EQ_INT(other.whole, w.whole);
    }

    return rc;
}


static ngx_int_t
verdict(void)
{
    return first(len);
}


static void
put(const void *p, size_t n)
{
    memcpy(buf + len, p, n);
    len += n;
}


static size_t
load(const char *name)
{
    char    path[256];
    FILE   *f;
    size_t  n;

    snprintf(path, sizeof(path), "t/data/%s", name);

    f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 0;
    }

    n = fread(buf + len, 1, sizeof(buf) - len, f);
    fclose(f);
    len += n;

    return n;
}


/* where `what` is in buf */

static u_char *
find(const char *what)
{
    size_t  i, n;

    n = strlen(what);

    for (i = 0; i + n <= len; i++) {
        if (memcmp(buf + i, what, n) == 0) {
            return buf + i;
        }
    }

    OK(0);

    return buf;
}


static const struct {
    const char  *name;
    ngx_uint_t   format;
    uint32_t     width, height, frames;
    size_t       head;                  /* bytes that tell the format */
    size_t       eoi;                   /* what is whole without the rest */
} files[] = {
    { "still.gif", NGX_IV_IMAGE_GIF, 24, 16, 1, 6, 0 },
    { "animated.gif", NGX_IV_IMAGE_GIF, 20, 10, 3, 6, 0 },
    { "lossy.webp", NGX_IV_IMAGE_WEBP, 33, 21, 1, 12, 0 },
    { "lossless.webp", NGX_IV_IMAGE_WEBP, 33, 21, 1, 12, 0 },
    { "alpha.webp", NGX_IV_IMAGE_WEBP, 33, 21, 1, 12, 0 },
    { "animated.webp", NGX_IV_IMAGE_WEBP, 20, 10, 3, 12, 0 },
    { "still.avif", NGX_IV_IMAGE_AVIF, 33, 21, 1, 32, 0 },
    { "alpha.avif", NGX_IV_IMAGE_AVIF, 33, 21, 1, 32, 0 },
    { "animated.avif", NGX_IV_IMAGE_AVIF, 20, 10, 3, 44, 0 },
    { "mpf.jpg", NGX_IV_IMAGE_JPEG, 16, 16, 1, 3, 1 },
    { "motion.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1, 3, 1 },
    { "samsung.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1, 3, 1 },
};


static void
test_files(void)
{
    size_t     i, k, cuts;
    ngx_int_t  rc;

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        len = 0;
        load(files[i].name);
        limits.max_pixels = files[i].width * files[i].height
                            * files[i].frames;
        EQ_INT(verdict(), NGX_OK);
        EQ_INT(w.format, files[i].format);
        EQ_INT(w.width, files[i].width);
        EQ_INT(w.height, files[i].height);
        EQ_INT(w.frames, files[i].frames);
        EQ_INT(w.known, 1);
        EQ_INT(w.whole, 1);

        limits.max_pixels--;
        EQ_INT(verdict(), NGX_IV_TOO_MANY_PIXELS);
        limits.max_pixels = 100000000;

        limits.types &= ~files[i].format;
        EQ_INT(verdict(), NGX_IV_UNSUPPORTED_TYPE);
        EQ_INT(w.format, files[i].format);
        limits.types = NGX_IV_IMAGE_ALL;

        /* cut short, at every place */

        cuts = 0;

        for (k = 0; k < len; k++) {
            rc = walk(&w, k, 50);

            if (rc == NGX_OK) {
                cuts++;
                continue;
            }

            if (w.behind) {
                EQ_INT(rc, NGX_IV_TRAILING_DATA);
                continue;
            }

            EQ_INT(rc, k < files[i].head ? NGX_IV_UNSUPPORTED_TYPE
                                         : NGX_IV_CORRUPT_IMAGE);
        }

        /* of a JPEG, what is declared may be missing as a whole */

        EQ_INT(cuts, files[i].eoi);

        /* one byte more */

        put("x", 1);
        EQ_INT(verdict(), files[i].format == NGX_IV_IMAGE_AVIF
                          ? NGX_IV_CORRUPT_IMAGE : NGX_IV_TRAILING_DATA);
    }
}


/* HTML, PDF, ZIP behind and in front of an image of each format */

static void
test_polyglots(void)
{
    size_t     i, k, n;
    ngx_int_t  rc;

    static const char  *names[] = { "still.gif", "lossy.webp", "still.avif",
                                    "animated.avif", "rgb.png", "gray.jpg",
                                    "samsung.jpg", "motion.jpg" };

    static const struct {
        ngx_str_t  bytes;
    } more[] = {
        { ngx_string("<html><script>alert(1)</script></html>") },
        { ngx_string("%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n%%EOF\n") },
        { ngx_string("PK\3\4\x14\0\0\0\0\0\0\0\0\0PK\5\6\0\0\0\0\0\0\0\0") },
        { ngx_string("Rar!\x1a\7\0") },
        { ngx_string("\0\0\0\0<svg onload=alert(1)>") },
        { ngx_string("MZ\x90\0") },
        { ngx_string("#!/bin/sh\n") },
        { ngx_string("SEFT") },
        { ngx_string("SEFHSEFT") },
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (k = 0; k < sizeof(more) / sizeof(more[0]); k++) {
            len = 0;
            n = load(names[i]);
            put(more[k].bytes.data, more[k].bytes.len);
            rc = verdict();
            OK(rc == NGX_IV_TRAILING_DATA || rc == NGX_IV_CORRUPT_IMAGE);

            len = 0;
            put(more[k].bytes.data, more[k].bytes.len);
            (void) load(names[i]);
            OK(len > n);
            EQ_INT(verdict(), NGX_IV_UNSUPPORTED_TYPE);
        }
    }
}


/* in an image they are text of it: taken, but as that image type only */

static void
test_within(void)
{
    size_t   n;
    u_char  *p;

    static const char  html[] = "<html><script>alert(1)</script></html>";
    static const char  gif[] = "GIF89a\4\0\3\0\0\0\0\x21\xfe\x26"
        "<html><script>alert(1)</script></html>\0"
        "\x2c\0\0\0\0\4\0\3\0\0\2\2xx\0;";

    len = 0;
    put(gif, sizeof(gif) - 1);
    EQ_INT(verdict(), NGX_OK);
    EQ_INT(w.format, NGX_IV_IMAGE_GIF);

    /* a comment between SOI and the first segment */

    len = 0;
    n = load("gray.jpg");
    p = buf + 2;
    memmove(p + 4 + sizeof(html), p, n - 2);
    memcpy(p, "\xff\xfe\0", 3);
    p[3] = 2 + sizeof(html);
    memcpy(p + 4, html, sizeof(html));
    len += 4 + sizeof(html);
    EQ_INT(verdict(), NGX_OK);
    EQ_INT(w.format, NGX_IV_IMAGE_JPEG);

    len = 0;
    n = load("lossy.webp");
    put("TEXT\x28\0\0\0", 8);
    put(html, sizeof(html));
    put("\0", 1);
    buf[4] = (u_char) (len - 8);
    buf[5] = (u_char) ((len - 8) >> 8);
    EQ_INT(verdict(), NGX_OK);
    EQ_INT(w.format, NGX_IV_IMAGE_WEBP);

    len = 0;
    n = load("still.avif");
    put("\0\0\0\x2f" "free", 8);
    put(html, sizeof(html));
    EQ_INT(verdict(), NGX_OK);
    EQ_INT(w.format, NGX_IV_IMAGE_AVIF);
}


#define SCREEN  "GIF89a\4\0\3\0\0\0\0"
#define FRAME   "\x2c\0\0\0\0\4\0\3\0\0\2\2xx\0"

#define GIF(bytes, want)                                                      \
    len = 0;                                                                  \
    put(bytes, sizeof(bytes) - 1);                                            \
    EQ_INT(verdict(), want)


static void
test_gif(void)
{
    GIF(SCREEN FRAME ";", NGX_OK);
    EQ_INT(w.width, 4);
    EQ_INT(w.height, 3);
    GIF(SCREEN FRAME FRAME "\0\0" FRAME ";", NGX_OK);
    EQ_INT(w.frames, 3);
    GIF(SCREEN "\x21\xf9\4\0\0\0\0\0" FRAME "\x21\xfe\3abc\1d\0;", NGX_OK);
    GIF(SCREEN "\x21\xff\x0bNETSCAPE2.0\3\1\0\0\0" FRAME ";", NGX_OK);
    GIF("GIF87a\4\0\3\0\x80\0\0rgbrgb" FRAME ";", NGX_OK);
    GIF(SCREEN "\x2c\0\0\0\0\4\0\3\0\x80rgbrgb\2\1x\0;", NGX_OK);

    GIF(SCREEN ";", NGX_IV_CORRUPT_IMAGE);
    GIF(SCREEN FRAME, NGX_IV_CORRUPT_IMAGE);
    GIF(SCREEN FRAME ";;", NGX_IV_TRAILING_DATA);
    GIF(SCREEN FRAME ";\0", NGX_IV_TRAILING_DATA);
    GIF(SCREEN FRAME "x;", NGX_IV_CORRUPT_IMAGE);
    GIF(SCREEN "\x2c\0\0\0\0\4\0\3\0\0\2\0;", NGX_IV_CORRUPT_IMAGE);
    GIF(SCREEN "\x2c\0\0\0\0\4\0\3\0\0\0\1x\0;", NGX_IV_CORRUPT_IMAGE);
    GIF(SCREEN "\x2c\0\0\0\0\4\0\3\0\0\x0c\1x\0;", NGX_IV_CORRUPT_IMAGE);
    GIF("GIF89a\0\0\3\0\0\0\0" FRAME ";", NGX_IV_CORRUPT_IMAGE);
    GIF("GIF89a\4\0\0\0\0\0\0" FRAME ";", NGX_IV_CORRUPT_IMAGE);

    /* a frame beyond the screen: the first widens it, later ones don't */
    GIF(SCREEN "\x2c\1\0\0\0\4\0\4\0\0\2\1x\0;", NGX_OK);
    EQ_INT(w.width, 5);
    EQ_INT(w.height, 4);
    GIF(SCREEN FRAME "\x2c\x9\0\0\0\4\0\4\0\0\2\1x\0;", NGX_OK);
    EQ_INT(w.width, 4);
    EQ_INT(w.height, 3);

    /* but they all count */
    limits.max_pixels = 2 * 13 * 4;
    EQ_INT(verdict(), NGX_OK);
    limits.max_pixels--;
    EQ_INT(verdict(), NGX_IV_TOO_MANY_PIXELS);
    limits.max_pixels = 100000000;
}


/* RIFF's size is put right, unless `off` bytes are to be wrong */

static ngx_int_t
webp(const char *p, size_t n, int off)
{
    len = 0;
    put("RIFF\0\0\0\0WEBP", 12);
    put(p, n);
    buf[4] = (u_char) (len - 8 + off);
    buf[5] = (u_char) ((len - 8 + off) >> 8);

    return verdict();
}


#define WEBP(bytes, off, want)                                                \
    EQ_INT(webp(bytes, sizeof(bytes) - 1, off), want)

#define VP8L   "VP8L\6\0\0\0\x2f\3\x80\0\0x"
#define VP8    "VP8 \x0e\0\0\0\x10\0\0\x9d\1\x2a\4\0\3\0xxxx"
#define VP8X(flags)  "VP8X\x0a\0\0\0" flags "\0\0\0\3\0\0\2\0\0"
#define ANIM   "ANIM\6\0\0\0\0\0\0\0\0\0"
#define ANMF(n, x, size)                                                      \
    "ANMF" n "\0\0\0" x "\0\0\0\0\0" size "\0\0\2\0\0\0\0\0\0"


static void
test_webp(void)
{
    WEBP(VP8L, 0, NGX_OK);
    EQ_INT(w.width, 4);
    EQ_INT(w.height, 3);
    WEBP(VP8, 0, NGX_OK);
    EQ_INT(w.width, 4);
    EQ_INT(w.height, 3);
    WEBP(VP8X("\0") VP8, 0, NGX_OK);
    WEBP(VP8X("\0") "ALPH\1\0\0\0x\0" VP8 "ABCD\0\0\0\0EXIF\1\0\0\0x\0", 0,
         NGX_OK);

    /* padding, and none behind the last chunk */
    WEBP(VP8L "ABCD\1\0\0\0x\0", 0, NGX_OK);
    WEBP(VP8L "ABCD\1\0\0\0x", 0, NGX_OK);
    WEBP(VP8L "ABCD\1\0\0\0x\0", -1, NGX_OK);
    WEBP(VP8L "ABCD\1\0\0\0x<", -1, NGX_IV_TRAILING_DATA);
    WEBP(VP8L "ABCD\1\0\0\0x\0\0", -2, NGX_IV_TRAILING_DATA);
    WEBP(VP8L "x", -1, NGX_IV_TRAILING_DATA);
    WEBP(VP8L, 2, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8L, -2, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8L "x", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8L "ABCD\1\0\0\1x\0", 0, NGX_IV_CORRUPT_IMAGE);

    /* what is missing, twice, or elsewhere */
    WEBP("ABCD\0\0\0\0", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("EXIF\0\0\0\0" VP8, 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\0"), 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\0") "ABCD\0\0\0\0", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8 VP8, 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8 VP8X("\0"), 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8X\x0a\0\0\0\0\0\0\0\4\0\0\2\0\0" VP8, 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" VP8, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8X\x09\0\0\0\0\0\0\0\4\0\0\2\0\0" VP8, 0, NGX_IV_CORRUPT_IMAGE);

    /* frame headers */
    WEBP("VP8L\6\0\0\0\x2e\3\x80\0\0x", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8L\6\0\0\0\x2f\3\x80\0\x20x", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8L\4\0\0\0\x2f\3\x80\0", 0, NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\x11\0\0\x9d\1\x2a\4\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\0\0\0\x9d\1\x2a\4\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\x18\0\0\x9d\1\x2a\4\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\x10\0\0\x9d\1\x2b\4\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\x90\0\0\x9d\1\x2a\4\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP("VP8 \x0e\0\0\0\x10\0\0\x9d\1\x2a\0\0\3\0xxxx", 0,
         NGX_IV_CORRUPT_IMAGE);

    /* animations */
    WEBP(VP8X("\2") ANIM ANMF("\x1e", "\0", "\3") VP8L, 0, NGX_OK);
    WEBP(VP8X("\2") ANIM ANMF("\x1e", "\0", "\3") VP8L
         ANMF("\x1e", "\0", "\3") VP8L, 0, NGX_OK);
    EQ_INT(w.frames, 2);
    WEBP(VP8X("\2") ANIM ANMF("\x1e", "\1", "\3") VP8L, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM ANMF("\x1e", "\0", "\2") VP8L, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM ANMF("\x10", "\0", "\3"), 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM ANMF("\x1d", "\0", "\3") VP8L, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM ANMF("\x2c", "\0", "\3") VP8L VP8L, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANMF("\x1e", "\0", "\3") VP8L, 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\0") ANIM ANMF("\x1e", "\0", "\3") VP8L, 0,
         NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM VP8, 0, NGX_IV_CORRUPT_IMAGE);
    WEBP(VP8X("\2") ANIM, 0, NGX_IV_CORRUPT_IMAGE);
}


static void
test_avif(void)
{
    size_t   n, size;
    u_char  *p;

    /* all that is not the item's size stays unread: boxes of every name */

    len = 0;
    n = load("still.avif");
    put("\0\0\0\x0c" "free<ht>", 12);
    EQ_INT(verdict(), NGX_OK);

    /* the last box: without a size if it is data, with 64 bits of it */

    len = n;
    p = find("mdat") - 4;
    size = p[2] << 8 | p[3];
    p[2] = 0;
    p[3] = 0;
    EQ_INT(verdict(), NGX_OK);
    p[3] = (u_char) (size + 1);
    p[2] = (u_char) ((size + 1) >> 8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    p[3] = 7;
    p[2] = 0;
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    p[3] = 1;
    memmove(p + 16, p + 8, size - 8);
    memset(p + 8, 0, 8);
    len += 8;
    p[14] = (u_char) ((size + 8) >> 8);
    p[15] = (u_char) (size + 8);
    EQ_INT(verdict(), NGX_OK);
    p[8] = 0x80;
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* boxes twice or missing */

    len = 0;
    n = load("still.avif");
    memcpy(find("mdat"), "free", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    memcpy(find("free"), "moof", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    memcpy(find("moof"), "ftyp", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    memcpy(buf + n - 4, "meta", 4);
    len = 0;
    load("still.avif");
    memcpy(find("ispe"), "xxxx", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    len = 0;
    load("still.avif");
    memcpy(find("ipma"), "xxxx", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    len = 0;
    load("still.avif");
    memcpy(find("meta"), "xxxx", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* no size, another handler, a number of items that isn't there */

    len = 0;
    load("still.avif");
    memset(find("ispe") + 8, 0, 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    len = 0;
    load("still.avif");
    memcpy(find("pict"), "vide", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    len = 0;
    load("still.avif");
    find("ipma")[8] = 1;
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* sizes of what is not the image hold against the limit, too */

    len = 0;
    load("animated.avif");
    memset(find("tkhd") + 92, 0x7f, 8);
    EQ_INT(verdict(), NGX_IV_TOO_MANY_PIXELS);
}


static void
test_mpf(void)
{
    size_t   n;
    u_char  *p;

    len = 0;
    n = load("mpf.jpg");
    EQ_INT(verdict(), NGX_OK);

    /* its index is not looked at: bytes follow */
    p = find("MPF");
    p[0] = 'm';
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);
    p[0] = 'M';
    p[4] = 'x';
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);

    /* bytes behind what it indexes, and zeros */
    len = 0;
    load("mpf.jpg");
    put("\0", 1);
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);

    /* the second image is cut, or is none */
    len = n;
    buf[n - 1] = 0;
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    buf[n - 1] = 0xd9;
    EQ_INT(verdict(), NGX_OK);

    p = buf + n - 2;
    while (memcmp(p, "\xff\xd8\xff", 3) != 0) {
        p--;
    }

    memcpy(p, "PK\3\4", 4);
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);

    /* a second frame over the limit */
    len = 0;
    load("mpf.jpg");
    p = buf + n - 2;
    while (memcmp(p, "\xff\xc0\0\x11", 4) != 0) {
        p--;
    }
    memset(p + 5, 0xff, 4);
    EQ_INT(verdict(), NGX_IV_TOO_MANY_PIXELS);
    EQ_INT(w.width, 16);
}


/* gray.jpg with an XMP packet, and `more` behind it */

static ngx_int_t
xmp(const char *text, const void *more, size_t n)
{
    size_t  rest, text_len;
    u_char  head[4];

    static u_char  keep[4096];

    len = 0;
    rest = load("gray.jpg") - 2;
    memcpy(keep, buf + 2, rest);

    text_len = strlen(text) + 29 + 2;
    head[0] = 0xff;
    head[1] = 0xe1;
    head[2] = (u_char) (text_len >> 8);
    head[3] = (u_char) text_len;

    len = 2;
    put(head, 4);
    put("http://ns.adobe.com/xap/1.0/", 29);
    put(text, strlen(text));
    put(keep, rest);
    put(more, n);

    return verdict();
}


#define MP4  "\0\0\0\x10" "ftypmp42...."     /* 16 bytes */

static void
test_xmp(void)
{
    EQ_INT(xmp("<rdf:li><Item:Length>16</Item:Length></rdf:li>", MP4, 16),
           NGX_OK);
    EQ_INT(xmp("<a:li b:Item:Length='16'/>", MP4, 16), NGX_OK);
    EQ_INT(xmp("<a:li GContainerItem:Length = \"16\"/>", MP4, 16),
           NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<a:li Item:Length=\n\"16\"/>", MP4, 16), NGX_OK);
    EQ_INT(xmp("<r:li Item:Semantic=\"Primary\" Item:Length=\"99\"/>"
               "<r:li Item:Length=\"16\" Item:Semantic=\"MotionPhoto\"/>",
               MP4, 16), NGX_OK);
    EQ_INT(xmp("<r:li Item:Padding=\"3\"/><r:li Item:Length=\"16\"/>",
               "abc" MP4, 19), NGX_OK);
    EQ_INT(xmp("<r:li Item:Length=\"16\"/><r:li Item:Length=\"16\"/>",
               MP4 MP4, 32), NGX_OK);
    EQ_INT(xmp("<d GCamera:MicroVideoOffset=\"16\"/>", MP4, 16), NGX_OK);
    EQ_INT(xmp("<d G:MicroVideoOffset=\"16\"/><r:li Item:Length=\"16\"/>",
               MP4, 16), NGX_OK);
    EQ_INT(xmp("<d G:MicroVideoOffset=\"16\"/><r:li Item:Length=\"16\"/>",
               MP4, 0), NGX_OK);

    /* too long, too short, no image nor video, no number, nothing */
    EQ_INT(xmp("<r:li Item:Length=\"17\"/>", MP4, 16), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(xmp("<r:li Item:Length=\"15\"/>", MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<r:li Item:Length=\"3\"/>", MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<r:li Item:Length=\"16\"/>", "PK\3\4............", 16),
           NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<r:li Item:Length=\"1x\"/>", MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<r:li Item:Length=\"99999999999999999999999999999999\"/>",
               MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("<r:li Items:Length=\"16\"/>", MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("</Item:Length>16<", MP4, 16), NGX_IV_TRAILING_DATA);
    EQ_INT(xmp("", MP4, 16), NGX_IV_TRAILING_DATA);
}


static void
test_samsung(void)
{
    size_t   n;
    u_char  *p;

    len = 0;
    n = load("samsung.jpg");
    EQ_INT(verdict(), NGX_OK);

    /* a wrong length, number of entries, distance */
    p = find("SEFH");
    p[8] = 1;
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);
    p[8] = 0;
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);
    p[8] = 2;
    p[16] ^= 1;
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);
    p[16] ^= 1;
    buf[n - 8] ^= 1;
    EQ_INT(verdict(), NGX_IV_TRAILING_DATA);
    buf[n - 8] ^= 1;
    EQ_INT(verdict(), NGX_OK);

    /* a SEFH within the data, and one cut short */
    memcpy(p - 40, "SEFHSEFSE", 9);
    EQ_INT(verdict(), NGX_OK);
    memcpy(p - 3, "SEF", 3);
    EQ_INT(verdict(), NGX_OK);
}


int
main(void)
{
    RUN(test_files);
    RUN(test_polyglots);
    RUN(test_within);
    RUN(test_gif);
    RUN(test_webp);
    RUN(test_avif);
    RUN(test_mpf);
    RUN(test_xmp);
    RUN(test_samsung);

    return iv_test_done();
}
