/*
 * Fields and query arguments: what was accepted keeps its promises.
 *
 * sources: src/formats/ngx_iv_fields.c src/formats/ngx_iv_date.c
 *     src/formats/ngx_iv_json_read.c src/formats/ngx_iv_name.c
 *     src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_date.h"
#include "formats/ngx_iv_fields.h"
#include "formats/ngx_iv_name.h"
#include "base/ngx_iv_str.h"

#include <stdlib.h>
#include <string.h>

#define NOW  1795230245678

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
check(const ngx_iv_fields_t *f)
{
    ngx_uint_t  i, j;

    if (f->ntags > NGX_IV_TAGS_MAX || f->nshared > NGX_IV_SHARED_MAX) {
        abort();
    }

    for (i = 0; i < f->ntags; i++) {

        if (f->tags[i].len == 0 || f->tags[i].len > 4 * NGX_IV_TAG_MAX
            || !ngx_iv_utf8_valid(f->tags[i].data, f->tags[i].len)
            || memchr(f->tags[i].data, '\0', f->tags[i].len))
        {
            abort();
        }

        for (j = 0; j < i; j++) {
            if (f->tags[i].len == f->tags[j].len
                && memcmp(f->tags[i].data, f->tags[j].data, f->tags[i].len)
                   == 0)
            {
                abort();
            }
        }
    }

    for (i = 0; i < f->nshared; i++) {
        if (!ngx_iv_owner_valid(&f->shared_with[i])) {
            abort();
        }
    }

    if (f->user.len && !ngx_iv_owner_valid(&f->user)) {
        abort();
    }

    if (f->expires_at && f->expires_at <= NOW) {
        abort();
    }
}


/* lines of name=value; and all of it as a query */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    u_char           *all, *line, *end, *eq, *last;
    int64_t           msec, again;
    u_char            iso[NGX_IV_DATE_ISO_LEN];
    ngx_str_t         name, value;
    ngx_pool_t       *pool;
    ngx_iv_fields_t   f, copy;

    pool = ngx_create_pool(4096, NULL);
    all = malloc(n + 1);
    memcpy(all, p, n);
    last = all + n;

    ngx_iv_fields_init(&f, pool);
    value.data = all;
    value.len = n;

    if (ngx_iv_fields_query(&f, &value) == NGX_OK
        && ngx_iv_fields_finish(&f, NOW) == NGX_OK)
    {
        check(&f);
    }

    ngx_iv_fields_init(&f, pool);

    for (line = all; line < last; line = end + 1) {

        end = memchr(line, '\n', last - line);
        end = end ? end : last;
        eq = memchr(line, '=', end - line);

        if (eq == NULL) {
            continue;
        }

        name.data = line;
        name.len = eq - line;
        value.data = eq + 1;
        value.len = end - eq - 1;

        if (ngx_iv_fields_add(&f, &name, &value) == NGX_ERROR) {
            abort();
        }

        if (ngx_iv_date_parse_any(&value, &msec) == NGX_OK) {
            (void) ngx_iv_date_iso(iso, msec);
            name.data = iso;
            name.len = sizeof(iso);

            if (ngx_iv_date_parse_any(&name, &again) != NGX_OK
                || again != msec)
            {
                abort();
            }
        }
    }

    if (ngx_iv_fields_finish(&f, NOW) == NGX_OK) {
        check(&f);

        if (ngx_iv_fields_copy(pool, &copy, &f) != NGX_OK
            || copy.ntags != f.ntags || copy.nshared != f.nshared)
        {
            abort();
        }

        check(&copy);
    }

    free(all);
    ngx_destroy_pool(pool);

    return 0;
}
