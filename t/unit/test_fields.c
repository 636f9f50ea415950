/*
 * sources: src/formats/ngx_iv_fields.c src/formats/ngx_iv_date.c
 *     src/formats/ngx_iv_json_read.c src/formats/ngx_iv_name.c
 *     src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_fields.h"

#define NOW  1795230245678


static ngx_pool_t       *pool;
static ngx_iv_fields_t   f;


static ngx_int_t
add(const char *name, const char *value)
{
    ngx_str_t  n, v;

    n.data = (u_char *) name;
    n.len = strlen(name);
    v.data = (u_char *) value;
    v.len = strlen(value);

    return ngx_iv_fields_add(&f, &n, &v);
}


static ngx_int_t
one(const char *name, const char *value)
{
    ngx_int_t  rc;

    ngx_iv_fields_init(&f, pool);
    rc = add(name, value);

    if (rc != NGX_OK) {
        EQ_INT(add(name, value), rc);
        EQ_INT(ngx_iv_fields_finish(&f, NOW),
               rc == NGX_DECLINED ? NGX_OK : rc);
        return rc;
    }

    return ngx_iv_fields_finish(&f, NOW);
}


/* the tags, with bars between */

static ngx_str_t
joined(ngx_str_t *list, ngx_uint_t n)
{
    ngx_str_t    s;
    ngx_uint_t   i;

    static u_char  buf[65536];

    s.data = buf;
    s.len = 0;

    for (i = 0; i < n; i++) {
        if (i) {
            buf[s.len++] = '|';
        }
        memcpy(buf + s.len, list[i].data, list[i].len);
        s.len += list[i].len;
    }

    return s;
}

#define TAGS(value, want)                                                     \
    EQ_INT(one("tags", value), NGX_OK);                                       \
    EQ_STR(joined(f.tags, f.ntags), want)
#define BAD(name, value)                                                      \
    EQ_INT(one(name, value), NGX_IV_BAD_PARAMETER);                           \
    OK(f.why != NULL)


static void
test_tags(void)
{
    int    i;
    char   s[512];

    TAGS("a", "a");
    TAGS("a,b , c,,a, ", "a|b|c");
    TAGS("", "");
    TAGS(" \t\r\n ", "");
    TAGS(",,", "");
    TAGS("a b,\xc3\xa9", "a b|\xc3\xa9");
    TAGS("[]", "");
    TAGS(" [\"a\", \" b,c \", \"\", \"a\", \"\\u00e9\"] ", "a|b,c|\xc3\xa9");
    BAD("tags", "[a]");
    BAD("tags", "[\"a\"");
    BAD("tags", "[1]");
    BAD("tags", "[\"a\",[\"b\"]]");
    BAD("tags", "a\x01" "b");
    BAD("tags", "a\tb");
    BAD("tags", "a\xc2\x85");
    BAD("tags", "\xff");
    BAD("tags", "[\"\\u0007\"]");

    ngx_iv_fields_init(&f, pool);
    EQ_INT(add("tags[]", "a,b"), NGX_OK);
    EQ_INT(add("tags", "c,d"), NGX_OK);
    EQ_INT(add("tags[0]", "[e"), NGX_OK);
    EQ_INT(add("tags[17]", " c "), NGX_OK);
    EQ_INT(add("tags{}", "[\"g\"]"), NGX_OK);
    EQ_INT(add("tags", "h"), NGX_OK);
    EQ_STR(joined(f.tags, f.ntags), "a,b|c|d|[e|g|h");
    EQ_INT(one("tags{}", "x"), NGX_IV_BAD_PARAMETER);
    EQ_INT(one("tags{}", "{\"a\":1}"), NGX_IV_BAD_PARAMETER);

    /* 64 characters, 50 tags */
    for (s[0] = 0, i = 0; i < 64; i++) {
        strcat(s, "\xc3\xa9");
    }
    EQ_INT(one("tags", s), NGX_OK);
    strcat(s, "x");
    BAD("tags", s);

    ngx_iv_fields_init(&f, pool);
    for (i = 0; i < 50; i++) {
        snprintf(s, sizeof(s), "t%d", i);
        EQ_INT(add("tags", s), NGX_OK);
    }
    EQ_INT(add("tags", "t7"), NGX_OK);
    EQ_INT(add("tags", "t50"), NGX_IV_BAD_PARAMETER);
    EQ_INT(f.ntags, 50);
}


static void
test_shared(void)
{
    int   i;
    char  s[512];

    EQ_INT(one("sharedWith", "a@b.c, auth0|x,65A0000000000000000000FF,"
               "65a0000000000000000000ff,a@b.c"), NGX_OK);
    EQ_STR(joined(f.shared_with, f.nshared),
           "a@b.c|auth0|x|65a0000000000000000000ff");
    EQ_INT(one("sharedWith", "[\"u1\",\"u2\"]"), NGX_OK);
    EQ_INT(f.nshared, 2);
    BAD("sharedWith", "a b");
    BAD("sharedWith", "..");
    BAD("sharedWith[]", "a,b");
    BAD("sharedWith", "[null]");

    ngx_iv_fields_init(&f, pool);
    for (i = 0; i < 100; i++) {
        snprintf(s, sizeof(s), "u%d", i);
        EQ_INT(add("sharedWith[]", s), NGX_OK);
    }
    EQ_INT(add("sharedWith[]", "u100"), NGX_IV_BAD_PARAMETER);
}


static void
test_single(void)
{
    size_t  i;

    static const char  *yes[] = { "true", "1", "on", "yes", "TRUE", " On " };
    static const char  *no[] = { "false", "0", "off", "no", "False" };
    static const char  *bad[] = { "2", "t", "null", "undefined", "true,true" };

    for (i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        EQ_INT(one("isPublic", yes[i]), NGX_OK);
        OK(f.has_public && f.is_public);
    }

    for (i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        EQ_INT(one("isPublic", no[i]), NGX_OK);
        OK(f.has_public && !f.is_public);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        BAD("isPublic", bad[i]);
    }

    EQ_INT(one("isPublic", " "), NGX_OK);
    OK(!f.has_public);

    EQ_INT(one("userId", "65A0000000000000000000FF"), NGX_OK);
    EQ_STR(f.user, "65a0000000000000000000ff");
    BAD("userId", "a/b");
    EQ_INT(one("userId", ""), NGX_OK);
    EQ_INT(f.user.len, 0);

    EQ_INT(one("expiresAt", "2026-11-21T03:04:05.679Z"), NGX_OK);
    EQ_INT(f.expires_at, NOW + 1);
    BAD("expiresAt", "2026-11-21T03:04:05.678Z");
    BAD("expiresAt", "1970-01-01");
    BAD("expiresAt", "1969-01-01");
    BAD("expiresAt", "tomorrow");
    BAD("expiresAt", "2030-01-01T00:00:00");
    EQ_INT(one("expiresAt", ""), NGX_OK);
    EQ_INT(f.expires_at, 0);

    /* twice, but for empty ones */
    EQ_INT(one("isPublic", "1"), NGX_OK);
    EQ_INT(add("isPublic", ""), NGX_OK);
    EQ_INT(add("isPublic", "1"), NGX_IV_BAD_PARAMETER);
    EQ_INT(one("expiresAt", "2030-01-01"), NGX_OK);
    EQ_INT(add("expiresAt", "2030-01-01"), NGX_IV_BAD_PARAMETER);
    EQ_INT(one("userId", "a"), NGX_OK);
    EQ_INT(add("userId", "a"), NGX_IV_BAD_PARAMETER);

    /* unknown, and brackets where there is no list */
    EQ_INT(one("csrf", "x"), NGX_DECLINED);
    EQ_INT(one("", "x"), NGX_DECLINED);
    EQ_INT(one("Tags", "x"), NGX_DECLINED);
    EQ_INT(one("tagsx", "x"), NGX_DECLINED);
    EQ_INT(one("tags[x]", "x"), NGX_DECLINED);
    EQ_INT(one("tags[", "x"), NGX_DECLINED);
    EQ_INT(one("isPublic[]", "x"), NGX_DECLINED);
}


static ngx_int_t
query(const char *q)
{
    ngx_str_t  s;

    ngx_iv_fields_init(&f, pool);
    s.data = (u_char *) q;
    s.len = strlen(q);

    return ngx_iv_fields_query(&f, &s);
}


static void
test_query(void)
{
    ngx_iv_fields_t  copy;

    EQ_INT(query(""), NGX_OK);
    EQ_INT(query("&&x&tags=a%2Cb+c&tags%5b%5D=d%2Ce&isPublic=on&y=%zz&%zz=1&"
                 "expiresAt=2030-01-01T00:00:00+01:00&userId=u&"
                 "sharedWith=v&tags"), NGX_OK);
    EQ_STR(joined(f.tags, f.ntags), "a|b c|d,e");
    EQ_INT(f.expires_at, 1893452400000);
    EQ_INT(ngx_iv_fields_finish(&f, NOW), NGX_OK);

    /* the query's word counts with the form's */
    EQ_INT(add("tags", "z"), NGX_OK);
    EQ_INT(ngx_iv_fields_copy(pool, &copy, &f), NGX_OK);
    EQ_STR(joined(copy.tags, copy.ntags), "a|b c|d,e|z");
    EQ_STR(copy.user, "u");
    OK(copy.tags[0].data != f.tags[0].data && copy.is_public);
    EQ_INT(add("isPublic", "on"), NGX_IV_BAD_PARAMETER);

    EQ_INT(query("tags=%zz"), NGX_IV_BAD_PARAMETER);
    EQ_INT(query("isPublic=1&isPublic=1"), NGX_IV_BAD_PARAMETER);
}


/* every allocation fails once */

static void
test_memory(void)
{
    int               i;
    long              before;
    ngx_int_t         rc;
    ngx_pool_t       *mine;
    ngx_iv_fields_t   copy;

    for (i = 0; i < 100; i++) {
        before = iv_allocs;
        mine = ngx_create_pool(1024, NULL);
        ngx_iv_fields_init(&f, mine);
        iv_fail_alloc_after = i;

        rc = add("tags", "a,b");
        if (rc == NGX_OK) {
            rc = add("tags", "[\"c\",\"\\u0064\"]");
        }
        if (rc == NGX_OK) {
            rc = add("sharedWith", "x");
        }
        if (rc == NGX_OK) {
            rc = add("userId", "x");
        }
        if (rc == NGX_OK) {
            rc = ngx_iv_fields_copy(mine, &copy, &f);
        }

        iv_fail_alloc_after = -1;
        ngx_destroy_pool(mine);
        EQ_INT(iv_allocs, before);

        if (rc == NGX_OK) {
            break;
        }

        EQ_INT(rc, NGX_ERROR);
    }

    OK(i > 10 && i < 100);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    RUN(test_tags);
    RUN(test_shared);
    RUN(test_single);
    RUN(test_query);
    RUN(test_memory);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
