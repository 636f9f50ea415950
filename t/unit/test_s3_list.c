/*
 * sources: src/aws/ngx_iv_s3_list.c src/aws/ngx_iv_s3_xml.c
 * sources: src/formats/ngx_iv_date.c
 */

#include "iv_test.h"
#include "aws/ngx_iv_s3_list.h"


static ngx_iv_s3_list_t   list;
static ngx_pool_t        *pool;


/* the document stands in a block of its own size: an overrun is seen */

static ngx_int_t
parse(const char *text, size_t len, ngx_uint_t uploads, ngx_uint_t max)
{
    ngx_str_t  doc;

    doc.len = len;
    doc.data = ngx_pnalloc(pool, len);

    if (doc.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(doc.data, text, len);

    return uploads ? ngx_iv_s3_list_uploads(pool, &doc, max, &list)
                   : ngx_iv_s3_list_objects(pool, &doc, max, &list);
}

#define OBJECTS(text, max)  parse(text, sizeof(text) - 1, 0, max)
#define UPLOADS(text, max)  parse(text, sizeof(text) - 1, 1, max)


static const char  objects[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Name>b</Name><Prefix></Prefix><KeyCount>2</KeyCount>"
    "<MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>"
    "<Contents><Key>images/a%20b%2Bc+d.png</Key>"
    "<LastModified>2026-11-21T03:04:05.678Z</LastModified>"
    "<ETag>&quot;x&quot;</ETag><Size>1234</Size>"
    "<Owner><ID>o</ID><Key>not this one</Key></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
    "<Contents><Key>images/&lt;&amp;&#x41;%C3%A4</Key>"
    "<Size>99999999999</Size></Contents>"
    "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"
    "<EncodingType>url</EncodingType></ListBucketResult>";


static const char  uploads[] =
    "<ListMultipartUploadsResult><Bucket>b</Bucket><KeyMarker/>"
    "<NextKeyMarker>k%2F2</NextKeyMarker>"
    "<NextUploadIdMarker>u2</NextUploadIdMarker>"
    "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
    "<Upload><Key>k/1</Key><UploadId>u+1</UploadId>"
    "<Initiator><ID>i</ID></Initiator>"
    "<Initiated>2026-11-21T03:04:05Z</Initiated></Upload>"
    "<Upload><Key>k/2</Key><UploadId>u2</UploadId></Upload>"
    "</ListMultipartUploadsResult>";


static void
test_objects(void)
{
    EQ_INT(OBJECTS(objects, 10), NGX_OK);
    EQ_INT(list.nitems, 2);
    EQ_INT(list.more, 1);
    EQ_STR(list.items[0].key, "images/a b+c d.png");
    EQ_INT(list.items[0].size, 1234);
    EQ_INT(list.items[0].at, 1795230245678LL);
    EQ_STR(list.items[1].key, "images/<&A\xc3\xa4");
    EQ_INT(list.items[1].size, 99999999999LL);
    EQ_INT(list.items[1].at, 0);

    /* more than was asked for */

    EQ_INT(OBJECTS(objects, 1), NGX_OK);
    EQ_INT(list.nitems, 1);
    EQ_INT(list.more, 1);

    EQ_INT(OBJECTS("<ListBucketResult><IsTruncated>false</IsTruncated>"
                   "</ListBucketResult>", 5), NGX_OK);
    EQ_INT(list.nitems, 0);
    EQ_INT(list.more, 0);

    /* not encoded: a percent sign is one */

    EQ_INT(OBJECTS("<ListBucketResult><Contents><Key>a%20+b</Key></Contents>"
                   "</ListBucketResult>", 5), NGX_OK);
    EQ_STR(list.items[0].key, "a%20+b");
    EQ_INT(list.items[0].size, -1);
}


static void
test_uploads(void)
{
    EQ_INT(UPLOADS(uploads, 10), NGX_OK);
    EQ_INT(list.nitems, 2);
    EQ_INT(list.more, 1);
    EQ_STR(list.items[0].key, "k/1");
    EQ_STR(list.items[0].upload_id, "u+1");
    EQ_INT(list.items[0].at, 1795230245000LL);
    EQ_STR(list.items[1].upload_id, "u2");
    EQ_STR(list.next_key, "k/2");
    EQ_STR(list.next_upload, "u2");
}


static void
test_refused(void)
{
    size_t  n;

    /* what is cut off is no list: it would hide objects */

    for (n = 0; n < sizeof(objects) - 2; n++) {
        EQ_INT(parse(objects, n, 0, 10), NGX_DECLINED);
    }

    for (n = 0; n < sizeof(uploads) - 2; n++) {
        EQ_INT(parse(uploads, n, 1, 10), NGX_DECLINED);
    }

    EQ_INT(UPLOADS(objects, 10), NGX_DECLINED);
    EQ_INT(OBJECTS(uploads, 10), NGX_DECLINED);
    EQ_INT(OBJECTS("<Error><Code>NoSuchBucket</Code></Error>", 10),
           NGX_DECLINED);
    EQ_INT(OBJECTS("<html><body></body></html>", 10), NGX_DECLINED);

    EQ_INT(OBJECTS("<ListBucketResult><Contents><Size>1</Size></Contents>"
                   "</ListBucketResult>", 5), NGX_DECLINED);
    EQ_INT(OBJECTS("<ListBucketResult><EncodingType>url</EncodingType>"
                   "<Contents><Key>a%zz</Key></Contents></ListBucketResult>",
                   5), NGX_DECLINED);
    EQ_INT(OBJECTS("<ListBucketResult><a><a><a><a><a><a><a><a><a><a><a><a><a>"
                   "<a><a><a><a></a></a></a></a></a></a></a></a></a></a></a>"
                   "</a></a></a></a></a></a></ListBucketResult>", 5),
           NGX_DECLINED);
}


int
main(void)
{
    static ngx_log_t  log;

    pool = ngx_create_pool(4096, &log);

    RUN(test_objects);
    RUN(test_uploads);
    RUN(test_refused);

    ngx_destroy_pool(pool);

    return iv_test_done();
}
