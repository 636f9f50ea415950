/*
 * sources: src/storage/ngx_iv_local_link.c src/base/ngx_iv_str.c
 * sources: src/formats/ngx_iv_hash.c src/formats/ngx_iv_name.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * sources: src/aws/ngx_iv_sigv4.c src/formats/ngx_iv_date.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "storage/ngx_iv_local_link.h"

#define NOW  1790000000


static ngx_pool_t             *pool;
static ngx_iv_storage_conf_t   conf;


static ngx_str_t
str(const char *s)
{
    ngx_str_t  r;

    r.data = (u_char *) s;
    r.len = strlen(s);

    return r;
}


static ngx_int_t
check(const char *key, const char *args, ngx_str_t *disposition)
{
    time_t     expires;
    ngx_str_t  k, a;

    k = str(key);
    a = str(args);

    return ngx_iv_storage_local_check(&conf, pool, &k, &a, NOW, disposition,
                                      &expires);
}


static ngx_str_t
make(const char *key, time_t expires, const char *disposition)
{
    ngx_str_t             out;
    ngx_iv_storage_url_t  url;

    ngx_memzero(&url, sizeof(url));
    url.key = str(key);
    url.expires = expires;
    url.disposition = str(disposition);

    ngx_str_null(&out);
    EQ_INT(ngx_iv_local_link(&conf, pool, &url, &out), NGX_OK);

    return out;
}


/* the query of a link, as a C string */

static char *
query(const char *key, time_t expires, const char *disposition)
{
    char       *q;
    ngx_str_t   s;

    s = make(key, expires, disposition);
    q = ngx_pnalloc(pool, s.len + 1);
    memcpy(q, s.data, s.len);
    q[s.len] = '\0';

    return strchr(q, '?') + 1;
}


static void
test_keys(void)
{
    size_t       i;
    ngx_str_t    k;
    static const char  *bad[] = {
        "", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b",
        "./a", "a/../b", "a\nb", "a/\x7f", "\x01"
    };
    static const char  *good[] = {
        "a", "a/b", "...", "a/.b", "..a/b", "a/b..", "a b/\xc3\xa9.png"
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        k = str(bad[i]);
        OK(!ngx_iv_local_key_valid(&k));
    }

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        k = str(good[i]);
        OK(ngx_iv_local_key_valid(&k));
    }

    k.data = (u_char *) "a\0b";
    k.len = 3;
    OK(!ngx_iv_local_key_valid(&k));
}


static void
test_round(void)
{
    time_t      expires;
    ngx_str_t   s, d, k, a;

    s = make("images/a b.png", NOW + 60, "");
    OK(s.len == sizeof("/files/images/a%20b.png?expires=1790000060&signature=")
                - 1 + 64);
    OK(ngx_memcmp(s.data, "/files/images/a%20b.png?expires=1790000060&", 43)
       == 0);

    EQ_INT(check("images/a b.png", query("images/a b.png", NOW + 60, ""), &d),
           NGX_OK);
    EQ_INT(d.len, 0);

    k = str("k");
    a = str(query("k", NOW + 7, ""));
    EQ_INT(ngx_iv_storage_local_check(&conf, pool, &k, &a, NOW, &d, &expires),
           NGX_OK);
    EQ_INT(expires, NOW + 7);

    EQ_INT(check("k", query("k", NOW + 1, "attachment; filename=\"a+b&c.png\""),
                 &d), NGX_OK);
    EQ_STR(d, "attachment; filename=\"a+b&c.png\"");
}


static void
test_refused(void)
{
    char       *q, *p;
    size_t      i;
    ngx_str_t   d;
    char        buf[256];

    q = query("k", NOW + 60, "");

    EQ_INT(check("l", q, &d), NGX_IV_FORBIDDEN);
    EQ_INT(check("k/", q, &d), NGX_IV_FORBIDDEN);
    EQ_INT(check("k", "", &d), NGX_IV_FORBIDDEN);
    EQ_INT(check("k", "expires=1790000060", &d), NGX_IV_FORBIDDEN);
    EQ_INT(check("k", "&", &d), NGX_IV_FORBIDDEN);
    EQ_INT(check("k", "=", &d), NGX_IV_FORBIDDEN);

    /* every byte of the query counts */

    for (i = 0; q[i]; i++) {
        snprintf(buf, sizeof(buf), "%s", q);
        buf[i] = (buf[i] == '1') ? '2' : '1';
        EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    }

    for (i = 0; q[i]; i++) {
        snprintf(buf, sizeof(buf), "%.*s", (int) i, q);
        EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    }

    /* twice, unknown, empty, not canonical */

    snprintf(buf, sizeof(buf), "%s&expires=1790000060", q);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    snprintf(buf, sizeof(buf), "%s&x=1", q);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    snprintf(buf, sizeof(buf), "%s&", q);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    snprintf(buf, sizeof(buf), "%s&download=", q);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    snprintf(buf, sizeof(buf), "%s&download=%%4", q);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);

    p = strchr(q, '&');
    snprintf(buf, sizeof(buf), "expires=01790000060%s", p);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);
    snprintf(buf, sizeof(buf), "expires=9999999999999%s", p);
    EQ_INT(check("k", buf, &d), NGX_IV_FORBIDDEN);

    /* a disposition that could split a response */

    EQ_INT(check("k", query("k", NOW + 1, "a\r\nb: c"), &d), NGX_IV_FORBIDDEN);
}


static void
test_expired(void)
{
    ngx_str_t  d;

    EQ_INT(check("k", query("k", NOW, "x"), &d), NGX_IV_GONE);
    EQ_INT(d.len, 0);
    EQ_INT(check("k", query("k", NOW + 1, "x"), &d), NGX_OK);
    EQ_INT(check("l", query("k", NOW - 9, "x"), &d), NGX_IV_FORBIDDEN);
}


static void
test_secret(void)
{
    char                 *q;
    ngx_str_t             d, out;
    ngx_iv_storage_url_t  url;

    q = query("k", NOW + 60, "");

    conf.secret = str("another");
    EQ_INT(check("k", q, &d), NGX_IV_FORBIDDEN);

    conf.secret.len = 0;
    EQ_INT(check("k", q, &d), NGX_IV_FORBIDDEN);

    ngx_memzero(&url, sizeof(url));
    url.key = str("k");
    url.expires = NOW;
    EQ_INT(ngx_iv_local_link(&conf, pool, &url, &out), NGX_ERROR);

    conf.secret = str("the secret");
    url.key = str("../k");
    EQ_INT(ngx_iv_local_link(&conf, pool, &url, &out), NGX_ERROR);
    url.key = str("k");
    url.expires = 0;
    EQ_INT(ngx_iv_local_link(&conf, pool, &url, &out), NGX_ERROR);
}


int
main(void)
{
    pool = ngx_create_pool(4096, NULL);

    conf.url = str("/files");
    conf.secret = str("the secret");

    RUN(test_keys);
    RUN(test_round);
    RUN(test_refused);
    RUN(test_expired);
    RUN(test_secret);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
