/*
 * SigV4 by the examples of the Amazon S3 API Reference ("Signature
 * Calculations for the Authorization Header", "Authenticating Requests: Using
 * Query Parameters").
 *
 * sources: src/aws/ngx_iv_sigv4.c src/base/ngx_iv_str.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c
 * sources: src/formats/ngx_iv_date.c src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "aws/ngx_iv_sigv4.h"


#define EMPTY                                                                 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


static ngx_iv_credentials_t  credentials = {
    ngx_string("AKIAIOSFODNN7EXAMPLE"),
    ngx_string("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ngx_null_string,
    0
};


static ngx_pool_t *
pool_create(void)
{
    static ngx_log_t  log;

    return ngx_create_pool(4096, &log);
}


/* 24 May 2013, as all of the examples */

static void
request(ngx_iv_sigv4_request_t *rq, const char *method, const char *path)
{
    ngx_memzero(rq, sizeof(ngx_iv_sigv4_request_t));

    rq->credentials = &credentials;
    ngx_str_set(&rq->region, "us-east-1");
    ngx_str_set(&rq->service, "s3");
    rq->now = 1369353600;
    rq->method.data = (u_char *) method;
    rq->method.len = strlen(method);
    ngx_str_set(&rq->host, "examplebucket.s3.amazonaws.com");
    rq->path.data = (u_char *) path;
    rq->path.len = strlen(path);
    ngx_str_set(&rq->payload, EMPTY);
}


static ngx_uint_t
ends(const ngx_str_t *s, const char *signature)
{
    return s->len > 64
           && ngx_memcmp(s->data + s->len - 64, signature, 64) == 0;
}


static void
test_get_object(void)
{
    ngx_pool_t              *pool;
    ngx_iv_pair_t            header;
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    pool = pool_create();

    request(&rq, "GET", "/test.txt");

    ngx_str_set(&header.name, "Range");
    ngx_str_set(&header.value, "bytes=0-9");
    rq.headers = &header;
    rq.nheaders = 1;

    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    EQ_STR(out.target, "/test.txt");
    EQ_STR(out.date, "20130524T000000Z");
    EQ_STR(out.payload, EMPTY);
    EQ_STR(out.token, "");
    EQ_STR(out.canonical,
        "GET\n/test.txt\n\nhost:examplebucket.s3.amazonaws.com\n"
        "range:bytes=0-9\nx-amz-content-sha256:" EMPTY "\n"
        "x-amz-date:20130524T000000Z\n\n"
        "host;range;x-amz-content-sha256;x-amz-date\n" EMPTY);
    EQ_STR(out.string_to_sign,
        "AWS4-HMAC-SHA256\n20130524T000000Z\n"
        "20130524/us-east-1/s3/aws4_request\n7344ae5b7ee6c3e7e6b0fe0640412a37"
        "625d1fbfff95c48bbb2dc43964946972");
    EQ_STR(out.authorization,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/"
        "s3/aws4_request, SignedHeaders=host;range;x-amz-content-sha256;"
        "x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba4"
        "8dd91039c6036bdb41");

    ngx_destroy_pool(pool);
}


static void
test_put_object(void)
{
    ngx_pool_t              *pool;
    ngx_iv_pair_t            header[2];
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    pool = pool_create();

    request(&rq, "PUT", "/test$file.text");

    ngx_str_set(&header[0].name, "Date");
    ngx_str_set(&header[0].value, "Fri, 24 May 2013 00:00:00 GMT");
    ngx_str_set(&header[1].name, "x-amz-storage-class");
    ngx_str_set(&header[1].value, "REDUCED_REDUNDANCY");
    rq.headers = header;
    rq.nheaders = 2;
    ngx_str_set(&rq.payload,
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");

    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    EQ_STR(out.target, "/test%24file.text");
    EQ_STR(out.authorization,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/"
        "s3/aws4_request, SignedHeaders=date;host;x-amz-content-sha256;"
        "x-amz-date;x-amz-storage-class, Signature=98ad721746da40c64f1a55b78f"
        "14c238d841ea1380cd77a1b5971af0ece108bd");

    ngx_destroy_pool(pool);
}


static void
test_query(void)
{
    ngx_pool_t              *pool;
    ngx_iv_pair_t            query[2];
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    pool = pool_create();

    /* GET bucket lifecycle: a name without value */

    request(&rq, "GET", "/");

    ngx_str_set(&query[0].name, "lifecycle");
    ngx_str_null(&query[0].value);
    rq.query = query;
    rq.nquery = 1;

    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    EQ_STR(out.target, "/?lifecycle=");
    OK(ends(&out.authorization,
            "fea454ca298b7da1c68078a5d1bdbfbb"
            "e0d65c699e0f91ac7a200a0136783543"));

    /* GET bucket: two of them, not in order */

    ngx_str_set(&query[0].name, "prefix");
    ngx_str_set(&query[0].value, "J");
    ngx_str_set(&query[1].name, "max-keys");
    ngx_str_set(&query[1].value, "2");
    rq.nquery = 2;

    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    EQ_STR(out.target, "/?max-keys=2&prefix=J");
    OK(ends(&out.authorization,
            "34b48302e7b5fa45bde8084f4b7868a8"
            "6f0a534bc59db6670ed5711ef69dc6f7"));

    ngx_destroy_pool(pool);
}


static void
test_presign(void)
{
    ngx_str_t                url, scheme;
    ngx_pool_t              *pool;
    ngx_iv_sigv4_request_t   rq;

    pool = pool_create();

    request(&rq, "GET", "/test.txt");
    ngx_str_set(&scheme, "https");

    EQ_INT(ngx_iv_sigv4_presign(pool, &rq, &scheme, 86400, &url), NGX_OK);
    EQ_STR(url,
        "https://examplebucket.s3.amazonaws.com/test.txt?"
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
        "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&"
        "X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
        "X-Amz-SignedHeaders=host&X-Amz-Signature="
        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");

    EQ_INT(ngx_iv_sigv4_presign(pool, &rq, &scheme, 700000, &url), NGX_OK);
    OK(ngx_strnstr(url.data, "X-Amz-Expires=604800&", url.len) != NULL);
    EQ_INT(ngx_iv_sigv4_presign(pool, &rq, &scheme, -5, &url), NGX_OK);
    OK(ngx_strnstr(url.data, "X-Amz-Expires=1&", url.len) != NULL);

    ngx_destroy_pool(pool);
}


/*
 * A host with a blank before it is folded, which only the general way does: the
 * signature must be the same, whatever the short one wrote.
 */

static void
both_ways(ngx_pool_t *pool, ngx_iv_sigv4_request_t *rq, time_t expires)
{
    size_t      n;
    u_char     *p;
    ngx_str_t   one, two, scheme, host;

    ngx_str_set(&scheme, "https");

    EQ_INT(ngx_iv_sigv4_presign(pool, rq, &scheme, expires, &one), NGX_OK);

    host = rq->host;

    p = ngx_pnalloc(pool, host.len + 1);
    p[0] = ' ';
    ngx_memcpy(p + 1, host.data, host.len);

    rq->host.data = p;
    rq->host.len++;

    EQ_INT(ngx_iv_sigv4_presign(pool, rq, &scheme, expires, &two), NGX_OK);

    rq->host = host;
    n = sizeof("https://") - 1;

    EQ_INT(one.len + 1, two.len);
    EQ_MEM(one.data + n, two.data + n + 1, one.len - n);
}


static void
test_link(void)
{
    u_char                   name[] = "response-content-disposition";
    u_char                   key[600], secret[400];
    ngx_uint_t               i, k;
    ngx_pool_t              *pool;
    ngx_iv_pair_t            query;
    ngx_iv_credentials_t     other;
    ngx_iv_sigv4_cache_t     cache;
    ngx_iv_sigv4_request_t   rq;

    ngx_memzero(&cache, sizeof(cache));

    for (i = 0; i < 600; i++) {
        pool = pool_create();

        request(&rq, (i & 1) ? "HEAD" : "GET", "");

        for (k = 0; k < sizeof(key); k++) {
            key[k] = (u_char) (k * 7 + i);
        }

        for (k = 0; k < sizeof(secret); k++) {
            secret[k] = (u_char) (k + i / 100);
        }

        rq.path.data = key;
        rq.path.len = i;

        /* some of them are too long to be kept */

        other = credentials;
        other.secret.data = secret;
        other.secret.len = i * 3 % sizeof(secret);
        other.token.data = secret;
        other.token.len = (i % 3) ? 0 : i * 5 % sizeof(secret);

        rq.credentials = &other;
        rq.cache = (i % 5) ? &cache : NULL;

        /* from one day to the next and back */

        rq.now += (i % 4) * 43200;

        query.name.data = name;
        query.name.len = sizeof(name) - 1;
        query.value.data = key;
        query.value.len = i % 100;
        rq.query = &query;
        rq.nquery = i & 2 ? 1 : 0;

        both_ways(pool, &rq, i * 1009);

        /* names in front of the signer's own, or none at all */

        query.name.len = (i & 4) ? 0 : 1;
        name[0] = "AXYx~-"[i % 6];
        both_ways(pool, &rq, 60);
        name[0] = 'r';

        ngx_destroy_pool(pool);
    }
}


/* the same signature with a full cache, an empty one, a wiped one */

static void
test_cache(void)
{
    u_char                   name[] = "us-east-0";
    ngx_str_t                first;
    ngx_uint_t               i, used;
    ngx_pool_t              *pool;
    ngx_iv_credentials_t     other;
    ngx_iv_sigv4_cache_t     cache;
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    pool = pool_create();
    ngx_memzero(&cache, sizeof(cache));

    request(&rq, "GET", "/test.txt");
    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    first = out.authorization;

    rq.cache = &cache;

    for (i = 0; i < 3 * NGX_IV_SIGV4_CACHED; i++) {
        ngx_str_set(&rq.region, "us-east-1");
        EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
        EQ_INT(out.authorization.len, first.len);
        EQ_MEM(out.authorization.data, first.data, first.len);

        name[8] = '2' + i % 5;
        rq.region.data = name;
        rq.region.len = 9;
        EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
        OK(ngx_memcmp(out.authorization.data, first.data, first.len) != 0);
    }

    /* another secret under the same key id is another key */

    other = credentials;
    ngx_str_set(&other.secret, "another");
    rq.credentials = &other;
    ngx_str_set(&rq.region, "us-east-1");
    EQ_INT(ngx_iv_sigv4_sign(pool, &rq, &out), NGX_OK);
    OK(ngx_memcmp(out.authorization.data, first.data, first.len) != 0);

    ngx_iv_sigv4_cache_wipe(&cache);

    used = 0;
    for (i = 0; i < sizeof(cache); i++) {
        used += ((u_char *) &cache)[i] != 0;
    }

    EQ_INT(used, 0);

    ngx_destroy_pool(pool);
}


static void
test_encode(void)
{
    u_char     buf[64];
    ngx_str_t  s, out;

    ngx_str_set(&s, "aZ09-._~/ +%*'\xc3\xa9\x01");

    out.data = buf;
    out.len = ngx_iv_uri_encode(buf, &s, 1);
    EQ_STR(out, "aZ09-._~/%20%2B%25%2A%27%C3%A9%01");
    EQ_INT(ngx_iv_uri_encode(NULL, &s, 1), out.len);

    out.len = ngx_iv_uri_encode(buf, &s, 0);
    EQ_STR(out, "aZ09-._~%2F%20%2B%25%2A%27%C3%A9%01");
    EQ_INT(ngx_iv_uri_encode(NULL, &s, 0), out.len);
}


/* every allocation may fail, and nothing leaks */

static void
test_memory(void)
{
    int                      i;
    long                     before;
    ngx_int_t                rc;
    ngx_str_t                url, scheme;
    ngx_pool_t              *pool;
    ngx_iv_sigv4_signed_t    out;
    ngx_iv_sigv4_request_t   rq;

    before = iv_allocs;
    ngx_str_set(&scheme, "https");

    for (i = 0; i < 100; i++) {
        pool = pool_create();
        request(&rq, "GET", "/test.txt");

        iv_fail_alloc_after = i;
        rc = ngx_iv_sigv4_sign(pool, &rq, &out);

        if (rc == NGX_OK) {
            rc = ngx_iv_sigv4_presign(pool, &rq, &scheme, 60, &url);
        }

        iv_fail_alloc_after = -1;
        ngx_destroy_pool(pool);

        if (rc == NGX_OK) {
            break;
        }

        EQ_INT(rc, NGX_ERROR);
    }

    OK(i > 15 && i < 100);
    EQ_INT(iv_allocs, before);
}


int
main(void)
{
    RUN(test_get_object);
    RUN(test_put_object);
    RUN(test_query);
    RUN(test_presign);
    RUN(test_link);
    RUN(test_cache);
    RUN(test_encode);
    RUN(test_memory);

    return iv_test_done();
}
