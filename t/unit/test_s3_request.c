/*
 * The heads of requests and the URLs that a bucket gets; that their signatures
 * are right is test_sigv4.c's concern.
 *
 * sources: src/storage/ngx_iv_s3_request.c
 * sources: src/storage/ngx_iv_s3_request_page.c
 * sources: src/aws/ngx_iv_sigv4.c
 * sources: src/aws/ngx_iv_sigv4_key.c src/aws/ngx_iv_sigv4_link.c
 * sources: src/formats/ngx_iv_sha256.c
 * sources: src/base/ngx_iv_str.c src/formats/ngx_iv_date.c
 * sources: src/formats/ngx_iv_hash.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "storage/ngx_iv_s3_request.h"


static ngx_iv_storage_conf_t  conf;
static ngx_iv_storage_op_t    op;
static ngx_iv_s3_request_t    rq;
static ngx_array_t            lines;
static ngx_iv_pair_t          pairs[4];
static ngx_pool_t            *pool;


static void
start(ngx_iv_s3_method_e method)
{
    static ngx_log_t  log;

    pool = ngx_create_pool(4096, &log);

    ngx_memzero(&conf, sizeof(conf));
    ngx_memzero(&op, sizeof(op));
    ngx_memzero(&rq, sizeof(rq));
    ngx_memzero(&lines, sizeof(lines));

    lines.elts = pairs;

    ngx_str_set(&conf.endpoint.host_header, "s3.example:9000");
    ngx_str_set(&conf.region, "auto");
    ngx_str_set(&conf.bucket, "pics");
    ngx_str_set(&conf.credentials.key_id, "AK");
    ngx_str_set(&conf.credentials.secret, "very-secret");
    conf.headers = &lines;

    ngx_str_set(&op.key, "images/a b+c.png");
    op.size = 5;
    ngx_str_set(&op.content_type, "image/png");
    ngx_str_set(&op.disposition, "inline; filename=\"a  b.png\"");

    rq.conf = &conf;
    rq.now = 1369353600;
    rq.method = method;
    rq.op = &op;
}


static void
line(const char *name, const char *value)
{
    pairs[lines.nelts].name.data = (u_char *) name;
    pairs[lines.nelts].name.len = strlen(name);
    pairs[lines.nelts].value.data = (u_char *) value;
    pairs[lines.nelts++].value.len = strlen(value);
}


static ngx_uint_t
has(const ngx_str_t *s, const char *what)
{
    return ngx_strnstr(s->data, (char *) what, s->len) != NULL;
}


static ngx_uint_t
begins(const ngx_str_t *s, const char *what)
{
    return s->len > strlen(what)
           && ngx_memcmp(s->data, what, strlen(what)) == 0;
}


static void
test_put(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_PUT);
    rq.expect = 1;
    line("x-amz-acl", "public-read");
    line("Cache-Control", "max-age=60");
    line("content-type", "text/html");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);

    OK(begins(&head, "PUT /pics/images/a%20b%2Bc.png HTTP/1.1\r\n"
                   "Host: s3.example:9000\r\n"
                   "User-Agent: nginx-image-vault/"));
    OK(has(&head, "\r\nContent-Length: 5\r\nContent-Type: image/png\r\n"
                  "Content-Disposition: inline; filename=\"a  b.png\"\r\n"
                  "x-amz-acl: public-read\r\nCache-Control: max-age=60\r\n"
                  "x-amz-date: 20130524T000000Z\r\n"
                  "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"
                  "Authorization: AWS4-HMAC-SHA256 Credential=AK/20130524/auto/"
                  "s3/aws4_request, SignedHeaders=content-length;content-type;"
                  "host;x-amz-acl;x-amz-content-sha256;x-amz-date, "
                  "Signature="));
    OK(has(&head, "\r\nExpect: 100-continue\r\n\r\n"));
    OK(!has(&head, "text/html"));
    OK(!has(&head, "very-secret"));
    OK(!has(&head, "x-amz-security-token"));
    EQ_MEM(head.data + head.len - 4, "\r\n\r\n", 4);

    ngx_destroy_pool(pool);
}


static void
test_payload(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_PUT);
    ngx_str_set(&op.sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e"
                            "73043362938b9824");
    ngx_str_set(&conf.credentials.token, "to/ken");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(has(&head, "\r\nx-amz-content-sha256: 2cf24dba5fb0a30e"));
    OK(has(&head, "\r\nx-amz-security-token: to/ken\r\n"));
    OK(has(&head, ";x-amz-security-token, Signature="));
    OK(!has(&head, "Expect"));
    ngx_destroy_pool(pool);

    /* nothing to send: the hash of nothing */

    start(NGX_IV_S3_PUT);
    op.size = 0;
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(has(&head, "\r\nContent-Length: 0\r\n"));
    OK(has(&head, "\r\nx-amz-content-sha256: e3b0c44298fc1c14"));
    ngx_destroy_pool(pool);
}


static void
test_delete(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_DELETE);
    conf.virtual_host = 1;
    line("x-amz-acl", "public-read");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "DELETE /images/a%20b%2Bc.png HTTP/1.1\r\n"));
    OK(!has(&head, "Content-"));
    OK(!has(&head, "acl"));
    OK(has(&head, "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"));

    ngx_destroy_pool(pool);
}


static void
test_list(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_LIST);
    ngx_str_null(&op.key);
    op.limit = 5;

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "GET /pics/?encoding-type=url&list-type=2&max-keys=5 "
                     "HTTP/1.1\r\n"));

    ngx_str_set(&op.prefix, "a b/");
    ngx_str_set(&op.after, "a b/+");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "GET /pics/?encoding-type=url&list-type=2&max-keys=5&"
                     "prefix=a%20b%2F&start-after=a%20b%2F%2B HTTP/1.1\r\n"));

    rq.method = NGX_IV_S3_UPLOADS;
    ngx_str_set(&op.after_upload, "u&1");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "GET /pics/?encoding-type=url&key-marker=a%20b%2F%2B&"
                     "max-uploads=5&prefix=a%20b%2F&upload-id-marker=u%261&"
                     "uploads= HTTP/1.1\r\n"));

    ngx_destroy_pool(pool);
}


static void
test_multi(void)
{
    ngx_str_t  head, body;

    start(NGX_IV_S3_CREATE);
    line("x-amz-server-side-encryption", "AES256");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "POST /pics/images/a%20b%2Bc.png?uploads= HTTP/1.1\r\n"));
    OK(has(&head, "\r\nContent-Length: 0\r\nContent-Type: image/png\r\n"
                  "Content-Disposition: inline"));
    OK(has(&head, "\r\nx-amz-server-side-encryption: AES256\r\n"));
    OK(has(&head, "\r\nx-amz-content-sha256: e3b0c44298fc1c14"));
    ngx_destroy_pool(pool);

    start(NGX_IV_S3_PART);
    op.part = 12;
    ngx_str_set(&op.upload_id, "a/b+c==");
    line("x-amz-server-side-encryption", "AES256");
    line("x-amz-server-side-encryption-customer-algorithm", "AES256");
    line("Cache-Control", "max-age=60");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "PUT /pics/images/a%20b%2Bc.png?partNumber=12&"
                     "uploadId=a%2Fb%2Bc%3D%3D HTTP/1.1\r\n"));
    OK(has(&head, "\r\nContent-Length: 5\r\n"));
    OK(!has(&head, "Content-Type"));
    OK(!has(&head, "Content-Disposition"));
    OK(!has(&head, "Cache-Control"));
    OK(!has(&head, "encryption: "));
    OK(has(&head, "customer-algorithm: AES256\r\n"));
    OK(has(&head, "\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    ngx_destroy_pool(pool);

    start(NGX_IV_S3_COMPLETE);
    ngx_str_set(&op.upload_id, "u");
    ngx_str_set(&body, "hello");
    rq.body = &body;
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "POST /pics/images/a%20b%2Bc.png?uploadId=u HTTP/1.1"));
    OK(has(&head, "\r\nContent-Type: application/xml\r\n"
                  "Content-Length: 5\r\n"));
    OK(has(&head, "\r\nx-amz-content-sha256: 2cf24dba5fb0a30e"));
    ngx_destroy_pool(pool);

    start(NGX_IV_S3_ABORT);
    ngx_str_set(&op.upload_id, "u");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "DELETE /pics/images/a%20b%2Bc.png?uploadId=u HTTP/1.1"));
    OK(!has(&head, "Content-"));
    ngx_destroy_pool(pool);
}


static void
test_piece(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_GET);
    op.offset = 4294967296;
    op.length = 1000;
    ngx_str_set(&op.if_match, "0123-2");
    line("x-amz-acl", "public-read");
    line("x-amz-request-payer", "requester");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "GET /pics/images/a%20b%2Bc.png HTTP/1.1\r\n"));
    OK(has(&head, "\r\nRange: bytes=4294967296-4294968295\r\n"
                  "If-Match: \"0123-2\"\r\n"));
    OK(has(&head, "\r\nx-amz-request-payer: requester\r\n"));
    OK(!has(&head, "acl"));
    OK(!has(&head, "Content-"));
    ngx_destroy_pool(pool);

    start(NGX_IV_S3_GET);
    op.length = 1;
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(has(&head, "\r\nRange: bytes=0-0\r\n"));
    OK(!has(&head, "If-Match"));
    ngx_destroy_pool(pool);
}


static void
test_copy(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_COPY);
    ngx_str_set(&op.source_key, "images/incoming/x y");
    ngx_str_set(&op.if_match, "abc");
    line("x-amz-server-side-encryption", "AES256");
    line("Cache-Control", "max-age=60");

    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "PUT /pics/images/a%20b%2Bc.png HTTP/1.1\r\n"));
    OK(has(&head, "\r\nx-amz-copy-source: /pics/images/incoming/x%20y\r\n"
                  "x-amz-copy-source-if-match: \"abc\"\r\n"
                  "x-amz-metadata-directive: REPLACE\r\n"
                  "Content-Length: 0\r\nContent-Type: image/png\r\n"
                  "Content-Disposition: inline;"));
    OK(has(&head, "\r\nx-amz-server-side-encryption: AES256\r\n"
                  "Cache-Control: max-age=60\r\n"));
    OK(has(&head, "SignedHeaders=content-length;content-type;host;"
                  "x-amz-content-sha256;x-amz-copy-source;"
                  "x-amz-copy-source-if-match;x-amz-date;"
                  "x-amz-metadata-directive;x-amz-server-side-encryption, "));
    ngx_destroy_pool(pool);
}


static void
test_ticket(void)
{
    ngx_iv_storage_ticket_t  ticket;

    start(NGX_IV_S3_PUT);
    line("x-amz-acl", "public-read");

    ngx_memzero(&ticket, sizeof(ticket));
    ngx_str_set(&ticket.key, "images/incoming/x y");
    ngx_str_set(&ticket.content_type, "image/png");
    ticket.size = 1234;
    ticket.signing = 1369353600;
    ticket.expires = ticket.signing + 900;

    EQ_INT(ngx_iv_s3_request_ticket(pool, &conf, NULL, &ticket), NGX_OK);
    OK(begins(&ticket.url, "http://s3.example:9000/pics/images/incoming/x%20y"
                           "?X-Amz-Algorithm="));
    OK(has(&ticket.url, "&X-Amz-Expires=900&"));
    OK(has(&ticket.url, "&X-Amz-SignedHeaders=content-length%3Bcontent-type"
                        "%3Bhost%3Bif-none-match&"));
    EQ_STR(ticket.headers[0].name, "Content-Type");
    EQ_STR(ticket.headers[0].value, "image/png");
    EQ_STR(ticket.headers[1].value, "1234");
    EQ_STR(ticket.headers[2].name, "If-None-Match");
    EQ_STR(ticket.headers[2].value, "*");

    ngx_str_set(&ticket.content_type, "image/png\r\nX-Evil: 1");
    EQ_INT(ngx_iv_s3_request_ticket(pool, &conf, NULL, &ticket),
           NGX_DECLINED);
    ngx_destroy_pool(pool);
}


/* no header ends another one */

static void
test_injection(void)
{
    ngx_str_t  head;

    start(NGX_IV_S3_PUT);
    ngx_str_set(&op.disposition, "inline\r\nX-Evil: 1");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_DECLINED);
    ngx_destroy_pool(pool);

    start(NGX_IV_S3_PUT);
    ngx_str_set(&op.content_type, "image/png\0");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_DECLINED);
    ngx_destroy_pool(pool);

    /* in a key it is a byte like others */

    start(NGX_IV_S3_HEAD);
    ngx_str_set(&op.key, "a\r\nb c?d#e");
    EQ_INT(ngx_iv_s3_request_head(pool, &rq, &head), NGX_OK);
    OK(begins(&head, "HEAD /pics/a%0D%0Ab%20c%3Fd%23e HTTP/1.1\r\n"));
    ngx_destroy_pool(pool);
}


static void
test_url(void)
{
    ngx_str_t             out;
    ngx_iv_storage_url_t  url;

    start(NGX_IV_S3_HEAD);

    ngx_memzero(&url, sizeof(url));
    url.key = op.key;
    url.signing = 1369353600;
    url.expires = url.signing + 3600;

    EQ_INT(ngx_iv_s3_request_url(pool, &conf, NULL, &url, &out), NGX_OK);
    OK(begins(&out, "http://s3.example:9000/pics/images/a%20b%2Bc.png"
                   "?X-Amz-Algorithm="));
    OK(has(&out, "&X-Amz-Expires=3600&"));
    OK(!has(&out, "response-"));

    /* a token's end cuts the life; without a token it means nothing */

    conf.credentials.expires = url.signing + 60;
    EQ_INT(ngx_iv_s3_request_url(pool, &conf, NULL, &url, &out), NGX_OK);
    OK(has(&out, "&X-Amz-Expires=3600&"));

    ngx_str_set(&conf.credentials.token, "to/ken");
    conf.endpoint.ssl = 1;
    ngx_str_set(&url.disposition, "attachment; filename=\"a b\"");
    EQ_INT(ngx_iv_s3_request_url(pool, &conf, NULL, &url, &out), NGX_OK);
    OK(has(&out, "&X-Amz-Expires=60&"));
    OK(has(&out, "&X-Amz-Security-Token=to%2Fken&"));
    OK(has(&out, "&response-content-disposition=attachment%3B%20filename%3D%22"
                 "a%20b%22&"));
    OK(begins(&out, "https://"));

    ngx_destroy_pool(pool);
}


int
main(void)
{
    RUN(test_put);
    RUN(test_payload);
    RUN(test_delete);
    RUN(test_list);
    RUN(test_multi);
    RUN(test_piece);
    RUN(test_copy);
    RUN(test_ticket);
    RUN(test_injection);
    RUN(test_url);

    return iv_test_done();
}
