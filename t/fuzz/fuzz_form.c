/*
 * A form is read alike whole, in pieces of the fuzzer's choice, and by a
 * consumer that has little room.
 *
 * sources: src/formats/ngx_iv_form.c src/formats/ngx_iv_form_part.c
 *     src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "formats/ngx_iv_form.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    uint64_t  sum;
    size_t    data;
    size_t    parts;
    size_t    ends;
} seen_t;


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);


static void
add(seen_t *s, const u_char *p, size_t n)
{
    while (n--) {
        s->sum = (s->sum ^ *p++) * 1099511628211u;
    }
}


static void
add_str(seen_t *s, const ngx_str_t *v)
{
    add(s, (const u_char *) "/", 1);
    add(s, v->data, v->len);
}


/* one piece; room: at most that much of data is taken at a time */

static ngx_int_t
feed(ngx_iv_form_t *f, seen_t *s, const u_char *from, size_t n, size_t room)
{
    u_char              *copy;
    ngx_int_t            rc;
    const u_char        *p;
    ngx_iv_form_part_t  *part;

    copy = malloc(n + 1);
    memcpy(copy, from, n);
    p = copy;

    for ( ;; ) {
        rc = ngx_iv_form_feed(f, &p, copy + n);

        if (rc == NGX_IV_FORM_PART) {
            part = &f->part;

            if (s->parts != s->ends || part->name.len > NGX_IV_FORM_NAME
                || (part->has_filename && !part->file))
            {
                abort();
            }

            s->parts++;
            add_str(s, &part->name);
            add_str(s, &part->filename);
            add_str(s, &part->content_type);
            add_str(s, &part->content_digest);
            add_str(s, &part->repr_digest);
            add_str(s, &part->content_md5);

        } else if (rc == NGX_IV_FORM_DATA) {

            if (s->parts != s->ends + 1 || f->data.len == 0) {
                abort();
            }

            if (f->data.len > room) {
                ngx_iv_form_leave(f, &p, f->data.len - room);
            }

            add(s, f->data.data, f->data.len);
            s->data += f->data.len;

        } else if (rc == NGX_IV_FORM_END) {
            s->ends++;
            add(s, (const u_char *) ";", 1);

        } else {
            break;
        }
    }

    if ((rc == NGX_AGAIN || rc == NGX_DONE) ? p != copy + n : rc <= 0) {
        abort();
    }

    free(copy);

    return rc;
}


/* the first 4 bytes: seed of the splits; the rest: the form */

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    size_t                i, k;
    seen_t                sa, sb;
    uint32_t              seed;
    ngx_int_t             ra, rb;
    ngx_str_t             type, other;
    static ngx_iv_form_t  a, b;

    static u_char  short_type[] = "multipart/form-data; boundary=aB";
    static u_char  odd_type[] = "multipart/form-data; boundary=\"- ---\"";

    if (n < 4) {
        return 0;
    }

    memcpy(&seed, p, 4);
    p += 4;
    n -= 4;

    other.data = (u_char *) p;
    other.len = n;
    (void) ngx_iv_form_init(&a, &other);

    type.data = (seed & 1) ? odd_type : short_type;
    type.len = strlen((char *) type.data);

    memset(&sa, 0, sizeof(seen_t));
    memset(&sb, 0, sizeof(seen_t));

    if (ngx_iv_form_init(&a, &type) != NGX_OK
        || ngx_iv_form_init(&b, &type) != NGX_OK)
    {
        abort();
    }

    (void) feed(&a, &sa, p, n, (size_t) -1);
    ra = ngx_iv_form_finish(&a);

    for (i = 0; i < n; i += k) {
        seed = seed * 1664525 + 1013904223;
        k = (seed >> 16) % ((seed & 0x80000000) ? 5 : 70) + 1;
        k = ngx_min(k, n - i);

        if (feed(&b, &sb, p + i, k, (seed >> 8) % 9 + 1) > 0) {
            break;
        }
    }

    rb = ngx_iv_form_finish(&b);

    if (ra != rb || a.why != b.why || a.parts != b.parts
        || a.closed != b.closed || memcmp(&sa, &sb, sizeof(seen_t)) != 0
        || (ra == NGX_OK && (!a.closed || sa.parts != sa.ends
                             || a.parts != sa.parts)))
    {
        abort();
    }

    return 0;
}
