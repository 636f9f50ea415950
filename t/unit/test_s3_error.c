/*
 * sources: src/aws/ngx_iv_s3_error.c src/aws/ngx_iv_s3_xml.c
 */

#include "iv_test.h"
#include "aws/ngx_iv_s3_error.h"


static ngx_iv_s3_error_t  e;


/* the document stands in a block of its own size: an overrun is seen */

static ngx_int_t
parse(ngx_pool_t *pool, const char *text, size_t len)
{
    ngx_str_t  doc;

    doc.len = len;
    doc.data = ngx_pnalloc(pool, len);

    if (doc.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(doc.data, text, len);

    return ngx_iv_s3_error_parse(pool, &doc, &e);
}

#define PARSE(text)  parse(pool, text, sizeof(text) - 1)


static ngx_pool_t *
pool_create(void)
{
    static ngx_log_t  log;

    return ngx_create_pool(4096, &log);
}


static const char  redirect[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<Error><Code>PermanentRedirect</Code><Message>The bucket you are "
    "attempting to access must be addressed using the specified endpoint."
    "</Message><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>"
    "<Bucket>b</Bucket><Region>eu-west-1</Region>"
    "<RequestId>4442587FB7D0A2F9</RequestId><HostId>x/y=</HostId></Error>";


static void
test_documents(void)
{
    ngx_pool_t  *pool;

    pool = pool_create();

    EQ_INT(PARSE(redirect), NGX_OK);
    EQ_STR(e.code, "PermanentRedirect");
    EQ_STR(e.endpoint, "b.s3.eu-west-1.amazonaws.com");
    EQ_STR(e.region, "eu-west-1");
    EQ_STR(e.request_id, "4442587FB7D0A2F9");

    /* white space first, xmlns, comment, prefix, attributes */

    EQ_INT(PARSE("  \r\n\t<?xml version='1.0'?><!-- > --><s:Error "
                 "xmlns:s='http://s3.amazonaws.com/doc/2006-03-01/'>"
                 "<s:Code a='b' >\n InternalError </s:Code ></s:Error>"),
           NGX_OK);
    EQ_STR(e.code, "InternalError");

    EQ_INT(PARSE("\xef\xbb\xbf<ErrorResponse><Error><Code>Throttling</Code>"
                 "<Message/></Error><RequestId>outer</RequestId>"
                 "</ErrorResponse>"), NGX_OK);
    EQ_STR(e.code, "Throttling");
    EQ_STR(e.message, "");
    EQ_STR(e.request_id, "");

    EQ_INT(PARSE("<Error><Code>RequestTimeTooSkewed</Code><ServerTime>"
                 "2026-11-21T03:04:05Z</ServerTime></Error>"), NGX_OK);
    EQ_STR(e.server_time, "2026-11-21T03:04:05Z");

    /* the first one counts, and only what stands in <Error> itself */

    EQ_INT(PARSE("<Error><Detail><Code>Inner</Code></Detail><Code>A</Code>"
                 "<Code>B</Code></Error><Error><Code>C</Code></Error>"),
           NGX_OK);
    EQ_STR(e.code, "A");

    /* cut off */

    EQ_INT(PARSE("<Error><Code>SlowDown</Code><Message>Please red"), NGX_OK);
    EQ_STR(e.code, "SlowDown");
    EQ_STR(e.message, "");

    ngx_destroy_pool(pool);
}


static void
test_text(void)
{
    size_t       i;
    char         big[3000];
    ngx_pool_t  *pool;

    pool = pool_create();

    EQ_INT(PARSE("<Error><Code>X</Code><Message>&lt;a&gt; &amp;&quot;&apos;"
                 "&#65;&#x42; &nbsp; &#10;&#x1b;&#233; & &; &#; &#x;"
                 "\x1b[31m\n\xc2\x9b\xe2\x80\xae</Message></Error>"), NGX_OK);
    EQ_STR(e.message, "<a> &\"'AB &nbsp; ??? & &; &#; &#x;?[31m??????");

    /* entities don't make tags */

    EQ_INT(PARSE("<Error><Code>&lt;/Code&gt;&amp;lt;</Code></Error>"),
           NGX_OK);
    EQ_STR(e.code, "</Code>&lt;");

    memcpy(big, "<Error><Code>", 13);
    memset(big + 13, 'a', sizeof(big) - 13);
    memcpy(big + sizeof(big) - 15, "</Code></Error>", 15);
    EQ_INT(parse(pool, big, sizeof(big)), NGX_OK);
    EQ_INT(e.code.len, 1024);

    for (i = 0; i < sizeof(redirect); i++) {
        /* every cut: no overrun, and a code or none */
        if (parse(pool, redirect, i) == NGX_OK) {
            EQ_STR(e.code, "PermanentRedirect");
        }
    }

    ngx_destroy_pool(pool);
}


static void
test_none(void)
{
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    static const char  *none[] = {
        "", " ", "<", "<>", "</>", "<!", "<!--", "<!-- --", "<?", "<?xml?>",
        "Error", "{\"Code\":\"x\"}", "<html><Code>x</Code></html>",
        "<!DOCTYPE html><html></html>",
        "<!DOCTYPE Error [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
        "<Error>", "<Error/>", "<Error></Error>", "<Error><Code></Code>",
        "<Error><Code>x", "<Error><Code>x</Cod", "<Error><Message>m</Message>",
        "<CompleteMultipartUploadResult><Code>x</Code>"
            "</CompleteMultipartUploadResult>",
        "<Error><a><b><c><d><e><f><g><h><i><j><k><l><m><n><o><p><q><r><s>",
        "</Error><Code>x</Code>"
    };

    pool = pool_create();

    for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        EQ_INT(parse(pool, none[i], strlen(none[i])), NGX_DECLINED);
    }

    ngx_destroy_pool(pool);
}


static void
judge(ngx_uint_t status, const char *code, ngx_iv_s3_verdict_t *v)
{
    ngx_memzero(&e, sizeof(e));

    e.code.data = (u_char *) code;
    e.code.len = strlen(code);

    ngx_memset(v, 0xff, sizeof(*v));
    ngx_iv_s3_error_judge(status, &e, v);
}


static void
test_judge(void)
{
    ngx_uint_t           i;
    ngx_iv_s3_verdict_t  v;

    static const struct {
        ngx_uint_t   status;
        const char  *code;
        ngx_int_t    result;
        ngx_uint_t   retry;
        ngx_uint_t   skew;
        ngx_uint_t   expired;
    } cases[] = {
        { 403, "AccessDenied", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 404, "NoSuchBucket", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 403, "InvalidAccessKeyId", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 404, "XAdminUserNotFound", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 403, "SignatureDoesNotMatch", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 403, "RequestTimeTooSkewed", NGX_IV_STORAGE_DENIED, 0, 1, 0 },
        { 301, "PermanentRedirect", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 307, "TemporaryRedirect", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 400, "AuthorizationHeaderMalformed", NGX_IV_STORAGE_DENIED, 0, 0,
          0 },
        { 400, "InvalidBucketName", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 400, "EntityTooLarge", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 503, "SlowDown", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 400, "RequestTimeout", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 400, "ExpiredToken", NGX_IV_STORAGE_DENIED, 0, 0, 1 },
        { 400, "InvalidToken", NGX_IV_STORAGE_DENIED, 0, 0, 1 },
        { 500, "InternalError", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 503, "ServiceUnavailable", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 400, "BadDigest", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 400, "InvalidDigest", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 400, "XAmzContentSHA256Mismatch", NGX_IV_STORAGE_UNAVAILABLE, 1, 0,
          0 },
        { 501, "NotImplemented", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 400, "AccessControlListNotSupported", NGX_IV_STORAGE_DENIED, 0, 0,
          0 },
        { 411, "MissingContentLength", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 412, "PreconditionFailed", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 403, "QuotaExceeded", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 403, "InvalidObjectState", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 404, "NoSuchKey", NGX_IV_NOT_FOUND, 0, 0, 0 },

        /* no such code, or no document: the status decides */
        { 404, "", NGX_IV_NOT_FOUND, 0, 0, 0 },
        { 403, "Whatever", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 401, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 302, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 400, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 411, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 429, "", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 500, "", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 502, "", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 503, "", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 504, "", NGX_IV_STORAGE_UNAVAILABLE, 1, 0, 0 },
        { 507, "", NGX_IV_STORAGE_UNAVAILABLE, 0, 0, 0 },
        { 501, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 },
        { 0, "", NGX_IV_STORAGE_DENIED, 0, 0, 0 }
    };

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        judge(cases[i].status, cases[i].code, &v);

        EQ_INT(v.code, cases[i].result);
        EQ_INT(v.retry, cases[i].retry);
        EQ_INT(v.skew, cases[i].skew);
        EQ_INT(v.expired, cases[i].expired);
        OK(v.hint != NULL && v.hint[0] != '\0');
    }
}


static void
test_memory(void)
{
    ngx_int_t    rc;
    ngx_str_t    doc;
    ngx_pool_t  *pool;

    pool = pool_create();

    doc.data = (u_char *) redirect;
    doc.len = sizeof(redirect) - 1;

    iv_fail_alloc_after = 2;
    rc = ngx_iv_s3_error_parse(pool, &doc, &e);
    iv_fail_alloc_after = -1;

    EQ_INT(rc, NGX_ERROR);

    ngx_destroy_pool(pool);
}


static void
test_multi(void)
{
    ngx_str_t    doc, id, etag;
    ngx_uint_t   i;
    ngx_pool_t  *pool;

    static ngx_log_t  log;

    static const struct {
        ngx_str_t     doc;
        ngx_int_t     rc;
        const char   *text;
    } created[] = {
        { ngx_string("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
              "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com"
              "/doc/2006-03-01/\"><Bucket>b</Bucket><Key>k</Key>"
              "<UploadId>a/b+c=&amp;d</UploadId>"
              "</InitiateMultipartUploadResult>"), NGX_OK, "a/b+c=&d" },
        { ngx_string("<s3:InitiateMultipartUploadResult><s3:UploadId> x "
              "</s3:UploadId>"), NGX_OK, "x" },
        { ngx_string("<InitiateMultipartUploadResult><UploadId>cut"),
          NGX_DECLINED, "" },
        { ngx_string("<InitiateMultipartUploadResult><A><UploadId>x"
              "</UploadId></A></InitiateMultipartUploadResult>"),
          NGX_DECLINED, "" },
        { ngx_string("<Error><UploadId>x</UploadId></Error>"),
          NGX_DECLINED, "" },
        { ngx_string("<InitiateMultipartUploadResult><UploadId/>"
              "</InitiateMultipartUploadResult>"), NGX_DECLINED, "" },
        { ngx_string(""), NGX_DECLINED, "" },
        { ngx_string("<html>ok</html>"), NGX_DECLINED, "" }
    };

    pool = ngx_create_pool(4096, &log);

    for (i = 0; i < sizeof(created) / sizeof(created[0]); i++) {
        EQ_INT(ngx_iv_s3_multi_created(pool, &created[i].doc, &id),
               created[i].rc);

        if (created[i].rc == NGX_OK) {
            EQ_INT(id.len, strlen(created[i].text));
            EQ_MEM(id.data, created[i].text, id.len);
        }
    }

    ngx_str_set(&doc, "  \n\n <?xml version=\"1.0\"?>"
                "<CompleteMultipartUploadResult><Location>l</Location>"
                "<ETag>&quot;ab-2&quot;</ETag>"
                "</CompleteMultipartUploadResult>");
    EQ_INT(ngx_iv_s3_multi_completed(pool, &doc, &etag), NGX_OK);
    EQ_STR(etag, "\"ab-2\"");

    EQ_INT(ngx_iv_s3_copy_result(pool, &doc, &etag), NGX_DECLINED);

    ngx_str_set(&doc, "<CopyObjectResult><LastModified>2026</LastModified>"
                "<ETag>&quot;ab&quot;</ETag></CopyObjectResult>");
    EQ_INT(ngx_iv_s3_copy_result(pool, &doc, &etag), NGX_OK);
    EQ_STR(etag, "\"ab\"");
    EQ_INT(ngx_iv_s3_multi_completed(pool, &doc, &etag), NGX_DECLINED);

    ngx_str_set(&doc, "   <Error><Code>InternalError</Code></Error>");
    EQ_INT(ngx_iv_s3_multi_completed(pool, &doc, &etag), NGX_DECLINED);
    EQ_INT(ngx_iv_s3_copy_result(pool, &doc, &etag), NGX_DECLINED);

    iv_fail_alloc_after = 0;
    ngx_str_set(&doc, "<CompleteMultipartUploadResult><ETag>x</ETag>");
    EQ_INT(ngx_iv_s3_multi_completed(pool, &doc, &etag), NGX_ERROR);
    iv_fail_alloc_after = -1;

    ngx_destroy_pool(pool);
}


int
main(void)
{
    RUN(test_documents);
    RUN(test_text);
    RUN(test_none);
    RUN(test_judge);
    RUN(test_memory);
    RUN(test_multi);

    return iv_test_done();
}
