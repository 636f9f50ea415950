/*
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

#include <zlib.h>

#define LIMITS  { NGX_IV_IMAGE_ALL, 100000000 }


static u_char  buf[1 << 18];
static size_t  len;


static ngx_int_t
walk(ngx_iv_image_t *w, const u_char *p, size_t n, size_t step,
    const ngx_iv_image_limits_t *limits)
{
    u_char  *copy;
    size_t   i, k;

    ngx_iv_image_init(w, limits);

    /* each piece in memory of its own: reading over its end is seen */

    for (i = 0; i < n; i += k) {
        k = ngx_min(step, n - i);
        copy = malloc(k);
        memcpy(copy, p + i, k);
        (void) ngx_iv_image_feed(w, copy, k);
        free(copy);
    }

    return ngx_iv_image_finish(w);
}


/* the verdict of buf, the same however it is split */

static ngx_int_t
verdict_within(ngx_iv_image_t *w, const ngx_iv_image_limits_t *limits)
{
    size_t          i;
    ngx_int_t       rc;
    ngx_iv_image_t  other;

    static const size_t  steps[] = { 1, 2, 3, 5, 7, 13, 64, 1000 };

    rc = walk(w, buf, len, len ? len : 1, limits);

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        EQ_INT(walk(&other, buf, len, steps[i], limits), rc);
        OK(other.why == w->why);
        EQ_INT(other.format, w->format);
        EQ_INT(other.width, w->width);
        EQ_INT(other.height, w->height);
        EQ_INT(other.frames, w->frames);
        EQ_INT(other.known, w->known);
        EQ_INT(other.whole, w->whole);
    }

    if (rc != NGX_OK) {
        OK(w->why != NULL);
        EQ_INT(ngx_iv_image_feed(w, buf, len), rc);
        EQ_INT(ngx_iv_image_finish(w), rc);
    }

    return rc;
}


static ngx_int_t
verdict(void)
{
    ngx_iv_image_t         w;
    ngx_iv_image_limits_t  limits = LIMITS;

    return verdict_within(&w, &limits);
}


static void
load(const char *name)
{
    char   path[256];
    FILE  *f;

    snprintf(path, sizeof(path), "t/data/%s", name);
    len = 0;

    f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return;
    }

    len = fread(buf, 1, sizeof(buf), f);
    fclose(f);
}


static void
put(const void *p, size_t n)
{
    memcpy(buf + len, p, n);
    len += n;
}


static void
put32(uint32_t v)
{
    u_char  b[4];

    b[0] = (u_char) (v >> 24);
    b[1] = (u_char) (v >> 16);
    b[2] = (u_char) (v >> 8);
    b[3] = (u_char) v;
    put(b, 4);
}


static void
chunk(const char *type, const void *data, size_t n)
{
    size_t  start;

    put32((uint32_t) n);
    start = len;
    put(type, 4);
    if (n) {
        put(data, n);
    }
    put32((uint32_t) crc32(0, buf + start, (uInt) (len - start)));
}


static void
png(uint32_t width, uint32_t height, const char rest[5])
{
    u_char  b[13];

    len = 0;
    put("\x89PNG\r\n\x1a\n", 8);

    b[0] = (u_char) (width >> 24);
    b[1] = (u_char) (width >> 16);
    b[2] = (u_char) (width >> 8);
    b[3] = (u_char) width;
    b[4] = (u_char) (height >> 24);
    b[5] = (u_char) (height >> 16);
    b[6] = (u_char) (height >> 8);
    b[7] = (u_char) height;
    memcpy(b + 8, rest, 5);
    chunk("IHDR", b, 13);
}


#define GRAY8     "\x08\0\0\0\0"
#define RGB8      "\x08\x02\0\0\0"
#define PALETTE8  "\x08\x03\0\0\0"


static void
test_files(void)
{
    size_t                 i, n, k;
    ngx_iv_image_t         w;
    ngx_iv_image_limits_t  limits = LIMITS;

    static const struct {
        const char  *name;
        ngx_uint_t   format;
        uint32_t     width, height, frames;
    } files[] = {
        { "rgb.png", NGX_IV_IMAGE_PNG, 40, 30, 1 },
        { "gray.png", NGX_IV_IMAGE_PNG, 40, 30, 1 },
        { "bilevel.png", NGX_IV_IMAGE_PNG, 40, 30, 1 },
        { "palette.png", NGX_IV_IMAGE_PNG, 40, 30, 1 },
        { "rgba.png", NGX_IV_IMAGE_PNG, 40, 30, 1 },
        { "gray16.png", NGX_IV_IMAGE_PNG, 20, 16, 1 },
        { "interlaced.png", NGX_IV_IMAGE_PNG, 19, 17, 1 },
        { "animated.png", NGX_IV_IMAGE_PNG, 24, 16, 4 },
        { "baseline.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "progressive.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "exif.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "restart.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "gray.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "cmyk.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "sub444.jpg", NGX_IV_IMAGE_JPEG, 64, 48, 1 },
        { "../../examples/photo.jpg", NGX_IV_IMAGE_JPEG, 1600, 1067, 1 },
    };

    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        load(files[i].name);
        EQ_INT(verdict_within(&w, &limits), NGX_OK);
        EQ_INT(w.format, files[i].format);
        EQ_INT(w.width, files[i].width);
        EQ_INT(w.height, files[i].height);
        EQ_INT(w.frames, files[i].frames);
        EQ_INT(w.known, 1);
        EQ_INT(w.whole, 1);
        EQ_INT(w.offset, len);

        if (len > 4096) {
            continue;
        }

        n = len;

        /* two pieces, at every place */

        for (k = 1; k < n; k++) {
            ngx_iv_image_init(&w, &limits);
            EQ_INT(ngx_iv_image_feed(&w, buf, k), NGX_OK);
            EQ_INT(w.whole, 0);
            EQ_INT(ngx_iv_image_feed(&w, buf + k, n - k), NGX_OK);
            EQ_INT(ngx_iv_image_finish(&w), NGX_OK);
        }

        /* cut short, at every place */

        for (k = 0; k < n; k++) {
            EQ_INT(walk(&w, buf, k, n, &limits),
                   k < (files[i].format == NGX_IV_IMAGE_PNG ? 8 : 3)
                   ? NGX_IV_UNSUPPORTED_TYPE : NGX_IV_CORRUPT_IMAGE);
        }

        /* one byte more */

        put("\0", 1);
        EQ_INT(verdict(), NGX_IV_TRAILING_DATA);

        /* a PNG shows each wrong bit, behind its signature */

        if (files[i].format == NGX_IV_IMAGE_PNG) {
            for (k = 8; k < n; k++) {
                buf[k] ^= 0x10;
                EQ_INT(walk(&w, buf, n, n, &limits), NGX_IV_CORRUPT_IMAGE);
                buf[k] ^= 0x10;
            }
        }
    }
}


static void
test_signatures(void)
{
    size_t                 i;
    ngx_iv_image_t         w;
    ngx_iv_image_limits_t  limits = LIMITS;

    static const struct {
        ngx_str_t   bytes;
        ngx_uint_t  format;
        const char *why;
    } t[] = {
        { ngx_string(""), 0, "empty" },
        { ngx_string("\xff"), 0, "too short for an image" },
        { ngx_string("\xff\xd8"), 0, "too short for an image" },
        { ngx_string("\x89PNG\r\n\x1a"), 0, "too short for an image" },
        { ngx_string("\x89PNG\r\n\x1a\x0b"), 0,
          "not an image of a known format" },
        { ngx_string("\x89PNG\n\x1a\n..."), 0,
          "not an image of a known format" },
        { ngx_string("<html><body>"), 0, "not an image of a known format" },
        { ngx_string("<svg xmlns="), 0, "not an image of a known format" },
        { ngx_string("%PDF-1.7 12345"), 0, "not an image of a known format" },
        { ngx_string("GIF88a"), 0, "not an image of a known format" },
        { ngx_string("RIFF\x01\x02\x03\x04WAVEfmt "), 0,
          "not an image of a known format" },
        { ngx_string("\0\0\0\x14" "ftypmp42\0\0\0\0isom...."), 0,
          "not an image of a known format" },
        { ngx_string("\0\0\0\x14" "ftypmp42\0\0\0\0"), 0,
          "too short for an image" },
        { ngx_string("\0\0\0\x0c" "ftypavif...."), 0,
          "not an image of a known format" },
        { ngx_string("\0\0\0\x15" "ftypavif............."), 0,
          "not an image of a known format" },
        { ngx_string("\0\0\0\x18" "ftypheic\0\0\0\0mif1heic"), 0,
          "HEIC is not a format of browsers" },
        { ngx_string("\0\0\0\x18" "ftypheix\0\0\0\0mif1avif"), 0,
          "HEIC is not a format of browsers" },
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        len = 0;
        put(t[i].bytes.data, t[i].bytes.len);
        EQ_INT(verdict_within(&w, &limits), NGX_IV_UNSUPPORTED_TYPE);
        EQ_INT(w.format, t[i].format);
        EQ_MEM(w.why, t[i].why, strlen(t[i].why));
    }

    load("rgb.png");
    limits.types = NGX_IV_IMAGE_JPEG | NGX_IV_IMAGE_GIF;
    EQ_INT(verdict_within(&w, &limits), NGX_IV_UNSUPPORTED_TYPE);
    EQ_INT(w.format, NGX_IV_IMAGE_PNG);
    EQ_INT(w.known, 0);
}


static void
test_png_header(void)
{
    int             depth, color, n;
    char            rest[5];
    ngx_iv_image_t  w;
    ngx_iv_image_limits_t  limits = LIMITS;

    static const char  *legal[] = { "\1\2\4\x8\x10", "", "\x8\x10",
                                    "\1\2\4\x8", "\x8\x10", "", "\x8\x10" };

    for (color = 0; color < 9; color++) {
        for (depth = 0; depth < 34; depth++) {
            memset(rest, 0, 5);
            rest[0] = (char) depth;
            rest[1] = (char) color;
            png(3, 4, rest);
            n = color < 7 && depth && strchr(legal[color], depth);
            /* whole but for what follows */
            EQ_INT(walk(&w, buf, len, 9, &limits), NGX_IV_CORRUPT_IMAGE);
            EQ_INT(w.known, n);
        }
    }

    png(1, 1, "\x08\0\1\0\0");
    EQ_INT(verdict_within(&w, &limits), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(w.known, 0);
    png(1, 1, "\x08\0\0\1\0");
    (void) verdict_within(&w, &limits);
    EQ_INT(w.known, 0);
    png(1, 1, "\x08\0\0\0\2");
    (void) verdict_within(&w, &limits);
    EQ_INT(w.known, 0);
    png(0, 1, GRAY8);
    (void) verdict_within(&w, &limits);
    EQ_INT(w.known, 0);
    png(1, 0, GRAY8);
    (void) verdict_within(&w, &limits);
    EQ_INT(w.known, 0);
    png(0x80000000, 1, GRAY8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(0xffffffff, 0xffffffff, GRAY8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(0x7fffffff, 0x7fffffff, GRAY8);
    EQ_INT(verdict(), NGX_IV_TOO_MANY_PIXELS);

    /* a length of IHDR that lies */
    png(1, 1, GRAY8);
    buf[11] = 14;
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
}


static void
test_png_order(void)
{
    static u_char  pal[257 * 3];

    png(1, 1, GRAY8);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_OK);

    /* ancillary chunks, known or not, may stand anywhere between */
    png(1, 1, GRAY8);
    chunk("tEXt", "a", 1);
    chunk("IDAT", "", 0);
    chunk("IDAT", "xx", 2);
    chunk("vpAg", "", 0);
    chunk("fcTL", "no acTL", 7);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_OK);

    png(1, 1, GRAY8);
    chunk("IDAT", "", 0);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    chunk("IDAT", "xx", 2);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "x", 1);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    chunk("IDAT", "xx", 2);
    chunk("tEXt", "a", 1);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    chunk("IHDR", "\0\0\0\1\0\0\0\1\x08\0\0\0\0", 13);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    len = 8;
    chunk("IDAT", "xx", 2);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* Apple's variant, and any other critical chunk */
    len = 8;
    chunk("CgBI", "\x50\0\x20\x02", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, GRAY8);
    chunk("ABCD", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, GRAY8);
    chunk("ab1d", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, GRAY8);
    chunk("ab\0d", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    png(1, 1, GRAY8);
    put32(0x80000000);
    put("tEXt", 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, GRAY8);
    put32(0x7fffffff);
    put("tEXt....", 8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* palettes */
    png(1, 1, PALETTE8);
    chunk("PLTE", pal, 256 * 3);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_OK);
    png(1, 1, RGB8);
    chunk("PLTE", pal, 3);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_OK);
    png(1, 1, PALETTE8);
    chunk("IDAT", "xx", 2);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, GRAY8);
    chunk("PLTE", pal, 3);
    chunk("IDAT", "xx", 2);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, RGB8);
    chunk("IDAT", "xx", 2);
    chunk("PLTE", pal, 3);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, RGB8);
    chunk("PLTE", pal, 3);
    chunk("PLTE", pal, 3);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, RGB8);
    chunk("PLTE", pal, 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, RGB8);
    chunk("PLTE", pal, 4);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(1, 1, RGB8);
    chunk("PLTE", pal, 257 * 3);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
}


static void
fctl(uint32_t number, uint32_t w, uint32_t h, uint32_t x, uint32_t y)
{
    u_char    b[26];
    uint32_t  v[4];
    int       i;

    memset(b, 0, sizeof(b));
    b[3] = (u_char) number;
    v[0] = w;
    v[1] = h;
    v[2] = x;
    v[3] = y;

    for (i = 0; i < 16; i++) {
        b[4 + i] = (u_char) (v[i / 4] >> (24 - 8 * (i % 4)));
    }

    chunk("fcTL", b, 26);
}


static void
test_apng(void)
{
    ngx_iv_image_t         w;
    ngx_iv_image_limits_t  limits = LIMITS;

    limits.max_pixels = 10 * 10 * 3;

    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    fctl(0, 10, 10, 0, 0);
    chunk("IDAT", "xx", 2);
    fctl(1, 1, 1, 9, 9);
    chunk("fdAT", "\0\0\0\2xx", 6);
    fctl(3, 3, 10, 7, 0);
    chunk("fdAT", "\0\0\0\4xx", 6);
    chunk("IEND", "", 0);
    EQ_INT(verdict_within(&w, &limits), NGX_OK);
    EQ_INT(w.frames, 3);
    limits.max_pixels--;
    EQ_INT(verdict_within(&w, &limits), NGX_IV_TOO_MANY_PIXELS);
    EQ_INT(w.frames, 3);
    EQ_INT(w.whole, 0);

    /* numbers whose product is no 64-bit number */
    limits.max_pixels = NGX_MAX_OFF_T_VALUE;
    png(0x7fffffff, 0x7fffffff, GRAY8);
    chunk("acTL", "\x7f\xff\xff\xff\0\0\0\0", 8);
    EQ_INT(verdict_within(&w, &limits), NGX_IV_TOO_MANY_PIXELS);
    EQ_INT(w.frames, 0x7fffffff);

    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\0\0\0\0\0", 8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\x80\0\0\0\0\0\0\0", 8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0", 7);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("IDAT", "xx", 2);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    chunk("IEND", "", 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    chunk("fcTL", "short", 5);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);

    /* frames outside, and one too many */
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    fctl(0, 10, 10, 1, 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    fctl(0, 2, 2, 0xffffffff, 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\3\0\0\0\0", 8);
    fctl(0, 2, 0, 0, 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
    png(10, 10, GRAY8);
    chunk("acTL", "\0\0\0\1\0\0\0\0", 8);
    fctl(0, 10, 10, 0, 0);
    chunk("IDAT", "xx", 2);
    fctl(1, 1, 1, 0, 0);
    EQ_INT(verdict(), NGX_IV_CORRUPT_IMAGE);
}


/* two frames; what differs is said by the letters of `order` */

static ngx_int_t
apng_of(const char *order)
{
    png(10, 10, GRAY8);

    for ( /* void */ ; *order; order++) {

        switch (*order) {

        case 'A':
            chunk("acTL", "\0\0\0\2\0\0\0\0", 8);
            break;

        case 'I':
            chunk("IDAT", "xx", 2);
            break;

        case '0':
        case '1':
        case '2':
            fctl(*order - '0', 1, 1, 0, 0);
            break;

        default:
            chunk("fdAT", *order == 'b' ? "\0\0\0\1x" : *order == 'c'
                  ? "\0\0\0\2x" : "\0\0\0\3x", *order == 's' ? 3 : 5);
        }
    }

    chunk("IEND", "", 0);

    return verdict();
}


static void
test_apng_order(void)
{
    EQ_INT(apng_of("A0I1c"), NGX_OK);
    EQ_INT(apng_of("0AI1c"), NGX_OK);
    EQ_INT(apng_of("AI0b2d"), NGX_OK);

    /* a gap, a wrong turn, a frame without data, one too few, no IDAT */
    EQ_INT(apng_of("A0I1d"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A0I2c"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A1I0c"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A0I1"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("AI01c"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A0I"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("AI"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A0I1s"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("A0bI"), NGX_IV_CORRUPT_IMAGE);
    EQ_INT(apng_of("AbI"), NGX_IV_CORRUPT_IMAGE);

    /* without acTL these chunks mean nothing */
    EQ_INT(apng_of("I1d"), NGX_OK);
}


/* JPEG */

#define SOI    "\xff\xd8"
#define EOI    "\xff\xd9"
#define DQT    "\xff\xdb\0\3q"
#define SOF(type, n)  "\xff" type "\0" n "\x08\0\x10\0\x20"
#define ONE    SOF("\xc0", "\x0b") "\1\1\x11\0"
#define SCAN   "\xff\xda\0\x08\1\1\0\0\x3f\0"
#define THREE  SOF("\xc2", "\x11") "\3\1\x22\0\2\x11\1\3\x11\1"

#define JPEG(bytes, want)                                                     \
    len = 0;                                                                  \
    put(bytes, sizeof(bytes) - 1);                                            \
    EQ_INT(verdict(), want)


static void
test_jpeg(void)
{
    JPEG(SOI ONE SCAN "data" EOI, NGX_OK);

    /* fill bytes before markers, also behind data; stuffing; restarts */
    JPEG(SOI "\xff\xff\xff\xff\xdb\0\2" ONE "\xff" SCAN
         "da\xff\0ta\xff\xd0x\xff\xff\xd1y\xff\xff\xff\xd9", NGX_OK);
    JPEG(SOI ONE SCAN "\xff\0" EOI, NGX_OK);
    JPEG(SOI ONE SCAN "\xff\xff\0" EOI, NGX_OK);

    /* several scans, tables between them */
    JPEG(SOI THREE "\xff\xda\0\x0c\3\1\0\2\0\3\0\0\0\0x"
         "\xff\xc4\0\3x" "\xff\xdd\0\4\0\2" DQT "\xff\xfe\0\2"
         "\xff\xda\0\x08\1\2\0\0\x3f\0y" EOI, NGX_OK);
    JPEG(SOI THREE "\xff\xda\0\x08\1\1\0\0\x3f\0x"
         "\xff\xda\0\x0a\2\3\0\2\0\0\x3f\0y" EOI, NGX_OK);

    /* a component without a scan */
    JPEG(SOI THREE "\xff\xda\0\x08\1\1\0\0\x3f\0x" EOI, NGX_IV_CORRUPT_IMAGE);

    /* arithmetic coding may end in nothing, Huffman coding may not */
    JPEG(SOI SOF("\xc9", "\x0b") "\1\1\x11\0" SCAN EOI, NGX_OK);
    JPEG(SOI ONE SCAN EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "\xff\xd0" EOI, NGX_IV_CORRUPT_IMAGE);

    JPEG(SOI "\xff\xd9", NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI SCAN "x" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "data", NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "data\xff", NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "data" ONE EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xd8" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "data\xff\xd8" EOI, NGX_IV_CORRUPT_IMAGE);
    /* bytes that belong to no segment, as libjpeg bears them */
    JPEG(SOI DQT "x" ONE SCAN "data" EOI, NGX_OK);
    JPEG(SOI DQT "\xff\0" ONE SCAN "data" EOI, NGX_OK);
    JPEG(SOI "\xff\xdb\0\1" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xdb\0\0" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xdd\0\5xyz" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xd0" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\x00" ONE SCAN "data" EOI, NGX_OK);
    JPEG(SOI "\xff\x01" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xf7\0\2" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xde\0\2" ONE SCAN "data" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE SCAN "data\xff\xdc\0\4\0\x10" EOI, NGX_IV_CORRUPT_IMAGE);

    JPEG(SOI ONE SCAN "data" EOI "\0", NGX_IV_TRAILING_DATA);
    JPEG(SOI ONE SCAN "data" EOI EOI, NGX_IV_TRAILING_DATA);
    JPEG(SOI ONE SCAN "data" EOI SOI ONE SCAN "data" EOI,
         NGX_IV_TRAILING_DATA);
}


static void
test_jpeg_frame(void)
{
    int             i;
    ngx_iv_image_t  w;
    ngx_iv_image_limits_t  limits = LIMITS;

    static const char  frame[] = SOI ONE SCAN "data" EOI;

    for (i = 0; i < 256; i++) {
        len = 0;
        put(frame, sizeof(frame) - 1);

        /* all markers in the place of SOF0 */
        buf[3] = (u_char) i;

        if (i == 0xc0 || i == 0xc1 || i == 0xc2 || i == 0xc9 || i == 0xca) {
            EQ_INT(verdict_within(&w, &limits), NGX_OK);
            EQ_INT(w.width, 32);
            EQ_INT(w.height, 16);

        } else {
            EQ_INT(verdict_within(&w, &limits), NGX_IV_CORRUPT_IMAGE);
            EQ_INT(w.known, 0);
        }
    }

    /* precision, height, width, components, sampling */
    JPEG(SOI "\xff\xc0\0\x0b\x0c\0\x10\0\x20\1\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc1\0\x0b\x0c\0\x10\0\x20\1\1\x11\0" SCAN "x" EOI, NGX_OK);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\0\0\x20\1\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\x10\0\0\1\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\x10\0\x20\0\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\x10\0\x20\2\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\x10\0\x20\1\1\x01\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x0b\x08\0\x10\0\x20\1\1\x15\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\0\x08\x08\0\x10\0\x20\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI "\xff\xc0\xff\xff", NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI SOF("\xc0", "\x17") "\5abcabcabcabcabc" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI SOF("\xc0", "\x0e") "\2\1\x11\0\1\x11\0" SCAN "x" EOI,
         NGX_IV_CORRUPT_IMAGE);

    /* scans of what isn't there */
    JPEG(SOI ONE "\xff\xda\0\x08\1\2\0\0\x3f\0x" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE "\xff\xda\0\x0a\2\1\0\1\0\0\x3f\0x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI THREE "\xff\xda\0\x0a\2\1\0\1\0\0\x3f\0x" EOI,
         NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE "\xff\xda\0\x06\0\0\x3f\0x" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE "\xff\xda\0\x08\0\1\0\0\x3f\0x" EOI, NGX_IV_CORRUPT_IMAGE);
    JPEG(SOI ONE "\xff\xda\xff\xff\1", NGX_IV_CORRUPT_IMAGE);

    /* the limit holds as soon as the frame header is there */
    limits.max_pixels = 32 * 16;
    len = 0;
    put(frame, sizeof(frame) - 1);
    EQ_INT(verdict_within(&w, &limits), NGX_OK);
    limits.max_pixels--;
    len = 2 + 13;
    EQ_INT(verdict_within(&w, &limits), NGX_IV_TOO_MANY_PIXELS);
    EQ_INT(w.width, 32);
}


static ngx_str_t *
str(const char *p)
{
    static ngx_str_t  s;

    s.data = (u_char *) p;
    s.len = strlen(p);

    return &s;
}


static void
test_names(void)
{
    EQ_STR(*ngx_iv_image_mime(NGX_IV_IMAGE_JPEG), "image/jpeg");
    EQ_STR(*ngx_iv_image_mime(NGX_IV_IMAGE_AVIF), "image/avif");
    EQ_STR(*ngx_iv_image_mime(0), "");
    EQ_STR(*ngx_iv_image_mime(0x40), "");
    EQ_STR(*ngx_iv_image_ext(NGX_IV_IMAGE_JPEG), "jpg");
    EQ_STR(*ngx_iv_image_ext(NGX_IV_IMAGE_PNG), "png");
    EQ_STR(*ngx_iv_image_ext(3), "");

    EQ_INT(ngx_iv_image_by_mime(str("image/webp")), NGX_IV_IMAGE_WEBP);
    EQ_INT(ngx_iv_image_by_mime(str("Image/PNG")), NGX_IV_IMAGE_PNG);
    EQ_INT(ngx_iv_image_by_mime(str("image/png2")), 0);
    EQ_INT(ngx_iv_image_by_mime(str("image/")), 0);
    EQ_INT(ngx_iv_image_by_mime(str("")), 0);

    EQ_INT(ngx_iv_image_by_name(str("x/y.jpg")), NGX_IV_IMAGE_JPEG);
    EQ_INT(ngx_iv_image_by_name(str("y.JPEG")), NGX_IV_IMAGE_JPEG);
    EQ_INT(ngx_iv_image_by_name(str("a.png.gif")), NGX_IV_IMAGE_GIF);
    EQ_INT(ngx_iv_image_by_name(str("a.png/x")), 0);
    EQ_INT(ngx_iv_image_by_name(str("a.")), 0);
    EQ_INT(ngx_iv_image_by_name(str("png")), 0);
    EQ_INT(ngx_iv_image_by_name(str(".png")), NGX_IV_IMAGE_PNG);
    EQ_INT(ngx_iv_image_by_name(str("")), 0);
}


int
main(void)
{
    RUN(test_files);
    RUN(test_signatures);
    RUN(test_png_header);
    RUN(test_png_order);
    RUN(test_apng);
    RUN(test_apng_order);
    RUN(test_jpeg);
    RUN(test_jpeg_frame);
    RUN(test_names);

    return iv_test_done();
}
