/*
 * Says what the image walker thinks of files, whose names it reads from its
 * input, one a line: name, verdict, format, width x height x frames, reason,
 * between tabs.
 *
 * sources: src/formats/ngx_iv_image.c src/formats/ngx_iv_png.c
 *     src/formats/ngx_iv_jpeg.c src/formats/ngx_iv_jpeg_declared.c
 *     src/formats/ngx_iv_jpeg_tail.c src/formats/ngx_iv_gif.c
 *     src/formats/ngx_iv_webp.c src/formats/ngx_iv_avif.c
 * libs: -lz
 */

#include "formats/ngx_iv_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


/* the file, in pieces of up to `step` bytes */

static int
walk(ngx_iv_image_t *w, FILE *f, size_t step)
{
    size_t                 n;
    u_char                *buf;
    ngx_iv_image_limits_t  limits = { NGX_IV_IMAGE_ALL, 100000000 };

    buf = malloc(step);
    if (buf == NULL) {
        return -1;
    }

    ngx_iv_image_init(w, &limits);
    rewind(f);

    do {
        n = fread(buf, 1, step, f);
        (void) ngx_iv_image_feed(w, buf, n);
    } while (n == step);

    free(buf);

    return (int) ngx_iv_image_finish(w);
}


static const char *
word(ngx_int_t rc)
{
    switch (rc) {

    case NGX_OK:
        return "ok";

    case NGX_IV_UNSUPPORTED_TYPE:
        return "unsupported_type";

    case NGX_IV_CORRUPT_IMAGE:
        return "corrupt_image";

    case NGX_IV_TRAILING_DATA:
        return "trailing_data";

    case NGX_IV_TOO_MANY_PIXELS:
        return "too_many_pixels";

    default:
        return "?";
    }
}


int
main(void)
{
    char            name[4096];
    int             rc;
    FILE           *f;
    ngx_iv_image_t  w, other;

    while (fgets(name, sizeof(name), stdin)) {

        name[strcspn(name, "\n")] = '\0';

        f = fopen(name, "rb");
        if (f == NULL) {
            perror(name);
            return 1;
        }

        rc = walk(&w, f, 65536);

        if (walk(&other, f, 7) != rc || other.why != w.why
            || other.width != w.width || other.height != w.height
            || other.frames != w.frames || other.format != w.format)
        {
            fprintf(stderr, "%s: another verdict in pieces\n", name);
            return 1;
        }

        fclose(f);

        printf("%s\t%s\t%s\t%ux%ux%u\t%s\n", name, word(rc),
               (char *) ngx_iv_image_ext(w.format)->data, w.width, w.height,
               w.frames, w.why ? w.why : "");
    }

    return 0;
}
