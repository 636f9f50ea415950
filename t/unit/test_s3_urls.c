/*
 * The table of signed URLs: never another one than what was asked for.
 *
 * sources: src/storage/ngx_iv_s3_urls.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "storage/ngx_iv_s3_urls.h"


static ngx_log_t         log_;
static ngx_iv_s3_urls_t  urls;


static ngx_pool_t *
pool_create(void)
{
    return ngx_create_pool(4096, &log_);
}


static void
ask(ngx_iv_storage_url_t *url, const char *key)
{
    ngx_memzero(url, sizeof(ngx_iv_storage_url_t));

    url->key.data = (u_char *) key;
    url->key.len = strlen(key);
    url->signing = 1000;
    url->expires = 2000;
}


/* twice, as one look alone leaves nothing */

static void
keep(const ngx_iv_storage_url_t *url, const char *text)
{
    uint32_t     hash;
    ngx_str_t    out;
    ngx_pool_t  *pool;

    pool = pool_create();

    (void) ngx_iv_s3_urls_get(&urls, pool, url, &hash, &out);

    out.data = (u_char *) text;
    out.len = strlen(text);

    ngx_iv_s3_urls_keep(&urls, &log_, url, hash, &out);
    ngx_iv_s3_urls_keep(&urls, &log_, url, hash, &out);

    ngx_destroy_pool(pool);
}


static void
test_compared(void)
{
    uint32_t               hash;
    ngx_str_t              out;
    ngx_pool_t            *pool;
    ngx_uint_t             i;
    ngx_iv_storage_url_t   url, other;

    pool = pool_create();

    ask(&url, "images/a.jpg");
    ngx_str_set(&url.disposition, "attachment");

    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_DECLINED);

    ngx_str_set(&out, "https://one");
    ngx_iv_s3_urls_keep(&urls, &log_, &url, hash, &out);
    OK(urls.places == NULL);
    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_DECLINED);

    ngx_str_set(&out, "https://one");
    ngx_iv_s3_urls_keep(&urls, &log_, &url, hash, &out);
    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_OK);
    EQ_STR(out, "https://one");

    for (i = 0; i < 6; i++) {
        other = url;

        switch (i) {
        case 0:
            ngx_str_set(&other.key, "images/b.jpg");
            break;
        case 1:
            other.head = 1;
            break;
        case 2:
            other.signing++;
            break;
        case 3:
            other.expires--;
            break;
        case 4:
            ngx_str_null(&other.disposition);
            break;
        default:
            ngx_str_set(&other.disposition, "attachmenu");
        }

        EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &other, &hash, &out),
               NGX_DECLINED);
    }

    /* the copy is the asker's own */

    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_OK);
    keep(&url, "https://two");
    EQ_STR(out, "https://one");
    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_OK);
    EQ_STR(out, "https://two");

    /* no memory for the copy */

    iv_fail_alloc_after = 0;
    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_ERROR);
    iv_fail_alloc_after = -1;

    ngx_iv_s3_urls_free(&urls);
    ngx_iv_s3_urls_free(&urls);
    EQ_INT(ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out), NGX_DECLINED);

    ngx_destroy_pool(pool);
}


/* all places are fought for: each answer is the asker's or none */

static void
test_many(void)
{
    char                   key[32], text[64], *p;
    uint32_t               hash;
    ngx_str_t              out;
    ngx_uint_t             i, found;
    ngx_pool_t            *pool;
    ngx_iv_storage_url_t   url;

    found = 0;

    for (i = 0; i < 20000; i++) {
        pool = pool_create();

        snprintf(key, sizeof(key), "images/%u", (unsigned) (i * 7 % 3000));
        ask(&url, key);
        snprintf(text, sizeof(text), "https://host/%s", key);

        if (ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out) == NGX_OK) {
            EQ_INT(out.len, strlen(text));
            EQ_MEM(out.data, text, out.len);
            found++;

        } else if (i % 2) {
            keep(&url, text);
        }

        ngx_destroy_pool(pool);
    }

    OK(found > 100);

    /* the longest that fits, and one byte more */

    pool = pool_create();
    p = ngx_pnalloc(pool, NGX_IV_S3_URL + 1);
    memset(p, 'x', NGX_IV_S3_URL);

    ask(&url, "k");

    for (i = NGX_IV_S3_URL - 40; i <= NGX_IV_S3_URL; i++) {
        p[i] = '\0';
        url.signing = 5000 + i;
        keep(&url, p);

        if (ngx_iv_s3_urls_get(&urls, pool, &url, &hash, &out) == NGX_OK) {
            EQ_INT(out.len, i);
            OK(i + 1 + 24 <= NGX_IV_S3_URL);
        } else {
            OK(i + 1 + 24 > NGX_IV_S3_URL);
        }

        p[i] = 'x';
    }

    ngx_destroy_pool(pool);
    ngx_iv_s3_urls_free(&urls);
}


int
main(void)
{
    RUN(test_compared);
    RUN(test_many);

    return iv_test_done();
}
