/*
 * Origins and header lists as a stranger sends them: what is accepted is in its
 * normal form and has no byte that could end a header; what a wildcard accepts
 * has exactly one label in its place.
 *
 * sources: src/formats/ngx_iv_cors.c
 */

#include "formats/ngx_iv_cors.h"

#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void must(int ok);
static void check_origin(ngx_pool_t *pool, const ngx_str_t *text);
static void check_pattern(ngx_pool_t *pool, const ngx_str_t *text);
static void check_headers(ngx_pool_t *pool, const ngx_str_t *text);


int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    ngx_str_t    text;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(4096, NULL);
    must(pool != NULL);

    text.data = malloc(n ? n : 1);
    must(text.data != NULL);
    text.len = n;
    memcpy(text.data, p, n);

    check_origin(pool, &text);
    check_pattern(pool, &text);
    check_headers(pool, &text);

    free(text.data);
    ngx_destroy_pool(pool);

    return 0;
}


static void
must(int ok)
{
    if (!ok) {
        abort();
    }
}


static void
check_origin(ngx_pool_t *pool, const ngx_str_t *text)
{
    size_t                   i;
    ngx_str_t                normal;
    ngx_iv_origin_t          o, again;
    ngx_iv_origin_pattern_t  exact;

    if (ngx_iv_origin_parse(&o, text) != NGX_OK) {
        return;
    }

    must(o.len <= NGX_IV_ORIGIN_MAX && o.len <= text->len);
    must(o.host > 3 && o.host_len > 0 && o.host + o.host_len <= o.len);

    for (i = 0; i < o.len; i++) {
        must(o.text[i] > 0x20 && o.text[i] < 0x7f && o.text[i] != ','
             && o.text[i] != '*' && o.text[i] != '@' && o.text[i] != '"'
             && !(o.text[i] >= 'A' && o.text[i] <= 'Z'));
    }

    normal.data = o.text;
    normal.len = o.len;

    must(ngx_iv_origin_parse(&again, &normal) == NGX_OK);
    must(again.len == o.len && memcmp(again.text, o.text, o.len) == 0);

    must(ngx_iv_origin_pattern(pool, &exact, text) == NULL);
    must(!exact.wildcard && ngx_iv_origin_match(&exact, &o));
}


/* the first line is a pattern, the second an origin */

static void
check_pattern(ngx_pool_t *pool, const ngx_str_t *text)
{
    u_char                   *lf;
    ngx_str_t                 first, second;
    ngx_iv_origin_t           o;
    ngx_iv_origin_pattern_t   p;

    lf = memchr(text->data, '\n', text->len);

    if (lf == NULL) {
        return;
    }

    first.data = text->data;
    first.len = lf - text->data;
    second.data = lf + 1;
    second.len = text->len - first.len - 1;

    if (ngx_iv_origin_pattern(pool, &p, &first) != NULL
        || ngx_iv_origin_parse(&o, &second) != NGX_OK
        || !ngx_iv_origin_match(&p, &o))
    {
        return;
    }

    must(memcmp(o.text, p.before.data, p.before.len) == 0);

    if (p.wildcard) {
        must(o.len > p.before.len + p.after.len);
        must(memchr(o.text + p.before.len, '.',
                    o.len - p.before.len - p.after.len)
             == NULL);
        must(p.after.len > 3 && p.after.data[0] == '.');
    }
}


static void
check_headers(ngx_pool_t *pool, const ngx_str_t *text)
{
    size_t     i;
    ngx_str_t  value;

    must(ngx_iv_cors_headers(pool, text, &value) == NGX_OK);
    must(value.len < 4096);

    for (i = 0; i < value.len; i++) {
        must(value.data[i] >= 0x20 && value.data[i] < 0x7f
             && value.data[i] != ':' && value.data[i] != '*');
    }
}
