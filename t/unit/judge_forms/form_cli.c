/*
 * Our verdicts on forms, for util/judge-forms: each argument N names N.type
 * and N.body.
 *
 * sources: src/formats/ngx_iv_form.c src/formats/ngx_iv_form_part.c
 *     src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


static void
hex(const u_char *p, size_t n)
{
    while (n--) {
        printf("%02x", *p++);
    }
}


static size_t
slurp(const char *base, const char *ext, u_char *buf, size_t size)
{
    char    name[4096];
    size_t  n;
    FILE   *f;

    snprintf(name, sizeof(name), "%s.%s", base, ext);
    f = fopen(name, "rb");

    if (f == NULL) {
        perror(name);
        exit(2);
    }

    n = fread(buf, 1, size, f);
    fclose(f);

    return n;
}


int
main(int argc, char **argv)
{
    int                   i;
    u_char                what[1024];
    ngx_int_t             rc;
    ngx_str_t             type;
    const u_char         *p, *last;
    static u_char         body[1 << 20];
    static ngx_iv_form_t  f;

    for (i = 1; i < argc; i++) {

        type.data = what;
        type.len = slurp(argv[i], "type", what, sizeof(what));
        p = body;
        last = body + slurp(argv[i], "body", body, sizeof(body));

        printf("%s", strrchr(argv[i], '/') + 1);

        if (ngx_iv_form_init(&f, &type) != NGX_OK) {
            printf(" refused\n");
            continue;
        }

        for ( ;; ) {
            rc = ngx_iv_form_feed(&f, &p, last);

            if (rc == NGX_IV_FORM_PART) {
                printf(" ");
                hex(f.part.name.data, f.part.name.len);
                printf(",");
                if (f.part.file) {
                    printf("f");
                    hex(f.part.filename.data, f.part.filename.len);
                }
                printf(",");

            } else if (rc == NGX_IV_FORM_DATA) {
                hex(f.data.data, f.data.len);

            } else if (rc != NGX_IV_FORM_END) {
                break;
            }
        }

        printf(" %s\n", ngx_iv_form_finish(&f) == NGX_OK ? "ok" : "refused");
    }

    return 0;
}
