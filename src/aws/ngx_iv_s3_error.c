/*
 * S3's error documents, see the header.
 */

#include "aws/ngx_iv_s3_error.h"
#include "aws/ngx_iv_s3_xml.h"


#define NGX_IV_S3_ERROR_TEXT   1024     /* kept of one element */
#define NGX_IV_S3_ERROR_DEPTH  16


typedef struct {
    ngx_str_t            code;
    ngx_iv_s3_verdict_t  verdict;
} ngx_iv_s3_known_t;


/* an element to be read and where its text goes */
typedef struct {
    const char          *name;
    ngx_str_t           *text;
} ngx_iv_s3_field_t;


static ngx_int_t ngx_iv_s3_etag_of(ngx_pool_t *pool, const ngx_str_t *doc,
    const char *root, ngx_str_t *etag);
static ngx_int_t ngx_iv_s3_fields(ngx_pool_t *pool, const ngx_str_t *doc,
    const char *root, const ngx_iv_s3_field_t *fields);
static ngx_str_t *ngx_iv_s3_error_field(const ngx_iv_s3_field_t *fields,
    const ngx_str_t *name);
static ngx_int_t ngx_iv_s3_error_text(ngx_pool_t *pool, const u_char *p,
    const u_char *last, ngx_str_t *out);


#define NGX_IV_S3_DENIED(code, hint)                                          \
    { ngx_string(code), { NGX_IV_STORAGE_DENIED, 0, 0, 0, 0, hint } }

#define NGX_IV_S3_RETRY(code, fresh, hint)                                    \
    { ngx_string(code), { NGX_IV_STORAGE_UNAVAILABLE, 1, fresh, 0, 0, hint } }

#define NGX_IV_S3_REGION                                                      \
    "the bucket is in another region or at another endpoint: "                \
    "check region and endpoint"

#define NGX_IV_S3_TOKEN                                                       \
    "the session token has expired or is wrong: renew the credentials, "      \
    "which are read with the configuration: from a file at a reload, from "   \
    "the environment at a restart"

#define NGX_IV_S3_HASH                                                        \
    "the storage received other bytes than were sent: check the network"


static const ngx_iv_s3_known_t  ngx_iv_s3_known[] = {

    /* rights and names */
    NGX_IV_S3_DENIED("AccessDenied",
        "the key may not do this here: check its rights on the bucket "
        "(put, get, delete), the bucket policy and the bucket's name"),
    NGX_IV_S3_DENIED("AllAccessDisabled",
        "the storage has shut this bucket or account"),
    NGX_IV_S3_DENIED("AccountProblem",
        "the storage has shut this account: check its billing"),
    NGX_IV_S3_DENIED("NotSignedUp",
        "the account is not signed up for the storage service"),
    NGX_IV_S3_DENIED("NoSuchBucket",
        "the bucket does not exist: check bucket, endpoint and addressing"),
    NGX_IV_S3_DENIED("InvalidBucketName",
        "the bucket's name is not allowed: check bucket and addressing"),
    NGX_IV_S3_DENIED("InvalidAccessKeyId",
        "the storage does not know the access key: check credentials and "
        "endpoint"),
    /* versitygw's, with status 404 */
    NGX_IV_S3_DENIED("XAdminUserNotFound",
        "the storage does not know the access key: check credentials and "
        "endpoint"),
    NGX_IV_S3_DENIED("SignatureDoesNotMatch",
        "check the secret access key, and that no proxy changes host, path "
        "or headers"),
    NGX_IV_S3_DENIED("InvalidSecurity",
        "the storage refuses the credentials"),
    NGX_IV_S3_DENIED("Unauthorized",
        "the storage refuses the credentials: check them and the endpoint"),
    NGX_IV_S3_DENIED("AuthorizationQueryParametersError",
        "check region and the clock"),
    { ngx_string("ExpiredToken"),
      { NGX_IV_STORAGE_DENIED, 0, 0, 0, 1, NGX_IV_S3_TOKEN } },
    { ngx_string("TokenRefreshRequired"),
      { NGX_IV_STORAGE_DENIED, 0, 0, 0, 1, NGX_IV_S3_TOKEN } },
    { ngx_string("InvalidToken"),
      { NGX_IV_STORAGE_DENIED, 0, 0, 0, 1, NGX_IV_S3_TOKEN } },
    { ngx_string("RequestTimeTooSkewed"),
      { NGX_IV_STORAGE_DENIED, 0, 0, 1, 0,
        "the clocks differ by more than 15 minutes: set this machine's "
        "clock (NTP)" } },
    { ngx_string("RequestExpired"),
      { NGX_IV_STORAGE_DENIED, 0, 0, 1, 0,
        "the clocks differ: set this machine's clock (NTP)" } },

    /* region */
    NGX_IV_S3_DENIED("PermanentRedirect", NGX_IV_S3_REGION),
    NGX_IV_S3_DENIED("TemporaryRedirect",
        "the bucket is new and its name not yet known everywhere: wait, or "
        "use the endpoint of its region"),
    NGX_IV_S3_DENIED("Redirect", NGX_IV_S3_REGION),
    NGX_IV_S3_DENIED("AuthorizationHeaderMalformed", NGX_IV_S3_REGION),
    NGX_IV_S3_DENIED("IncorrectEndpoint", NGX_IV_S3_REGION),
    NGX_IV_S3_DENIED("IllegalLocationConstraintException", NGX_IV_S3_REGION),
    NGX_IV_S3_DENIED("InvalidRegionName", NGX_IV_S3_REGION),

    /* what this storage does not take */
    NGX_IV_S3_DENIED("NotImplemented",
        "the storage does not know a header or payload form that was sent: "
        "check the header lines of the storage block (R2 takes no acl, "
        "tagging or aws-chunked payload)"),
    NGX_IV_S3_DENIED("AccessControlListNotSupported",
        "the bucket has ACLs disabled: remove header x-amz-acl"),
    NGX_IV_S3_DENIED("InvalidArgument",
        "check the header lines of the storage block"),
    NGX_IV_S3_DENIED("InvalidRequest",
        "check the header lines of the storage block"),
    NGX_IV_S3_DENIED("InvalidStorageClass",
        "check header x-amz-storage-class of the storage block"),
    NGX_IV_S3_DENIED("KMS.NotFoundException",
        "the encryption key does not exist: check the x-amz-server-side-"
        "encryption headers"),
    NGX_IV_S3_DENIED("KMS.DisabledException",
        "the encryption key is disabled"),
    NGX_IV_S3_DENIED("InvalidObjectState",
        "the object is archived: restore it, or change the storage class"),
    NGX_IV_S3_DENIED("MethodNotAllowed",
        "the storage does not allow this: check endpoint and bucket"),
    NGX_IV_S3_DENIED("KeyTooLongError",
        "the object key is too long: shorten image_vault_key"),
    NGX_IV_S3_DENIED("MissingContentLength",
        "a proxy in front of the storage has removed Content-Length"),
    NGX_IV_S3_DENIED("IncompleteBody",
        "a proxy in front of the storage has cut the body"),
    NGX_IV_S3_DENIED("MissingSecurityHeader",
        "a proxy in front of the storage has removed a header"),
    NGX_IV_S3_DENIED("InvalidDigest",
        "a proxy in front of the storage has changed a header"),
    NGX_IV_S3_DENIED("PreconditionFailed",
        "an object of this key exists already"),

    NGX_IV_S3_DENIED("InvalidPart",
        "the storage wants other parts: check part_size (R2: all equal but "
        "the last)"),
    NGX_IV_S3_DENIED("InvalidPartOrder",
        "a proxy in front of the storage has changed the list of parts"),

    /* limits */
    NGX_IV_S3_DENIED("EntityTooLarge",
        "the storage takes no objects of this size: lower "
        "image_vault_max_size"),
    NGX_IV_S3_DENIED("EntityTooSmall",
        "the storage takes no objects of this size"),
    NGX_IV_S3_DENIED("QuotaExceeded",
        "the bucket's quota is used up"),
    NGX_IV_S3_DENIED("XMinioAdminBucketQuotaExceeded",
        "the bucket's quota is used up"),
    { ngx_string("XMinioStorageFull"),
      { NGX_IV_STORAGE_UNAVAILABLE, 0, 0, 0, 0,
        "the storage's disks are full" } },

    /* worth another try */
    NGX_IV_S3_RETRY("SlowDown", 1,
        "the storage asks for fewer requests: spread the keys, or lower "
        "max_active"),
    NGX_IV_S3_RETRY("SlowDownRead", 1,
        "the storage asks for fewer requests"),
    NGX_IV_S3_RETRY("SlowDownWrite", 1,
        "the storage asks for fewer requests"),
    NGX_IV_S3_RETRY("TooManyRequests", 1,
        "the storage asks for fewer requests"),
    NGX_IV_S3_RETRY("ServerBusy", 1, "the storage is busy"),
    NGX_IV_S3_RETRY("ServiceUnavailable", 1, "the storage is busy"),
    NGX_IV_S3_RETRY("InternalError", 1,
        "a fault inside of the storage: its request id tells its owner more"),
    NGX_IV_S3_RETRY("OperationAborted", 0,
        "another change of the bucket is under way"),
    NGX_IV_S3_RETRY("RequestTimeout", 1,
        "the body came too slowly for the storage: check the network"),
    NGX_IV_S3_RETRY("BadDigest", 1, NGX_IV_S3_HASH),
    NGX_IV_S3_RETRY("XAmzContentSHA256Mismatch", 1, NGX_IV_S3_HASH),
    NGX_IV_S3_RETRY("XAmzContentChecksumMismatch", 1, NGX_IV_S3_HASH),

    /* no fault of the storage's */
    { ngx_string("NoSuchKey"),
      { NGX_IV_NOT_FOUND, 0, 0, 0, 0, "the object does not exist" } },
    { ngx_string("NoSuchUpload"),
      { NGX_IV_NOT_FOUND, 0, 0, 0, 0,
        "the multipart upload does not exist" } }
};


ngx_int_t
ngx_iv_s3_error_parse(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_iv_s3_error_t *e)
{
    ngx_int_t          rc;
    ngx_iv_s3_field_t  fields[] = {
        { "Code", &e->code },
        { "Message", &e->message },
        { "Region", &e->region },
        { "Endpoint", &e->endpoint },
        { "ServerTime", &e->server_time },
        { "RequestId", &e->request_id },
        { NULL, NULL }
    };

    ngx_memzero(e, sizeof(ngx_iv_s3_error_t));

    rc = ngx_iv_s3_fields(pool, doc, "Error", fields);

    if (rc != NGX_OK) {
        return rc;
    }

    return e->code.len ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_iv_s3_multi_created(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_str_t *upload_id)
{
    ngx_int_t          rc;
    ngx_iv_s3_field_t  fields[] = {
        { "UploadId", upload_id },
        { NULL, NULL }
    };

    ngx_str_null(upload_id);

    rc = ngx_iv_s3_fields(pool, doc, "InitiateMultipartUploadResult", fields);

    if (rc != NGX_OK) {
        return rc;
    }

    /* one that was cut is of no use */

    if (upload_id->len == 0 || upload_id->len >= NGX_IV_S3_ERROR_TEXT) {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_s3_multi_completed(ngx_pool_t *pool, const ngx_str_t *doc,
    ngx_str_t *etag)
{
    return ngx_iv_s3_etag_of(pool, doc, "CompleteMultipartUploadResult", etag);
}


ngx_int_t
ngx_iv_s3_copy_result(ngx_pool_t *pool, const ngx_str_t *doc, ngx_str_t *etag)
{
    return ngx_iv_s3_etag_of(pool, doc, "CopyObjectResult", etag);
}


static ngx_int_t
ngx_iv_s3_etag_of(ngx_pool_t *pool, const ngx_str_t *doc, const char *root,
    ngx_str_t *etag)
{
    ngx_int_t          rc;
    ngx_iv_s3_field_t  fields[] = {
        { "ETag", etag },
        { NULL, NULL }
    };

    ngx_str_null(etag);

    rc = ngx_iv_s3_fields(pool, doc, root, fields);

    if (rc != NGX_OK) {
        return rc;
    }

    return etag->len ? NGX_OK : NGX_DECLINED;
}


/* the children of <root>, as far as the document goes.  NGX_OK; NGX_DECLINED:
 * it has another root or none; NGX_ERROR: no memory */

static ngx_int_t
ngx_iv_s3_fields(ngx_pool_t *pool, const ngx_str_t *doc, const char *root,
    const ngx_iv_s3_field_t *fields)
{
    ngx_str_t         name, *field;
    ngx_uint_t        depth, level;
    const u_char     *text, *end;
    ngx_iv_s3_tag_e   tag;
    ngx_iv_s3_scan_t  scan;

    if (doc->len == 0) {
        return NGX_DECLINED;
    }

    scan.p = doc->data;
    scan.last = doc->data + doc->len;

    if (ngx_iv_s3_xml_root(&scan, root, &level) != NGX_OK) {
        return NGX_DECLINED;
    }

    depth = level;
    field = NULL;
    text = NULL;

    for ( ;; ) {

        while (scan.p < scan.last && *scan.p != '<') {
            scan.p++;
        }

        end = scan.p;
        tag = ngx_iv_s3_xml_tag(&scan, &name);

        switch (tag) {

        case NGX_IV_S3_TAG_OPEN:
            if (++depth > NGX_IV_S3_ERROR_DEPTH) {
                return NGX_OK;
            }

            field = (depth == level + 1)
                    ? ngx_iv_s3_error_field(fields, &name) : NULL;
            text = scan.p;
            break;

        case NGX_IV_S3_TAG_CLOSE:
            if (field && field->data == NULL
                && ngx_iv_s3_error_text(pool, text, end, field) != NGX_OK)
            {
                return NGX_ERROR;
            }

            field = NULL;

            if (depth-- > level) {
                break;
            }

            return NGX_OK;

        case NGX_IV_S3_TAG_EMPTY:
        case NGX_IV_S3_TAG_OTHER:
            field = NULL;
            break;

        case NGX_IV_S3_TAG_DTD:
        case NGX_IV_S3_TAG_END:
            return NGX_OK;
        }
    }
}


void
ngx_iv_s3_error_judge(ngx_uint_t status, const ngx_iv_s3_error_t *e,
    ngx_iv_s3_verdict_t *v)
{
    ngx_uint_t                i;
    const ngx_iv_s3_known_t  *known;

    for (i = 0; i < sizeof(ngx_iv_s3_known) / sizeof(ngx_iv_s3_known[0]); i++)
    {
        known = &ngx_iv_s3_known[i];

        if (e->code.len == known->code.len
            && ngx_memcmp(e->code.data, known->code.data, e->code.len) == 0)
        {
            *v = known->verdict;
            return;
        }
    }

    ngx_memzero(v, sizeof(ngx_iv_s3_verdict_t));

    v->code = NGX_IV_STORAGE_DENIED;

    switch (status) {

    case 404:
        v->code = NGX_IV_NOT_FOUND;
        v->hint = "not found: check bucket, endpoint and addressing";
        return;

    case 401:
    case 403:
        v->hint = "check the credentials, their rights on the bucket, and "
                  "this machine's clock";
        return;

    case 407:
        v->hint = "a proxy in front of the storage asks for credentials";
        return;

    case 411:
        v->hint = "a proxy in front of the storage has removed "
                  "Content-Length";
        return;

    case 413:
        v->hint = "the storage, or a proxy in front of it, takes no bodies "
                  "of this size";
        return;

    case 501:
        v->hint = "the storage does not know a header or payload form that "
                  "was sent: check the header lines of the storage block";
        return;

    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        v->code = NGX_IV_STORAGE_UNAVAILABLE;
        v->retry = 1;
        v->fresh = 1;
        v->hint = "the storage, or a proxy in front of it, is busy or down";
        return;
    }

    if (status >= 300 && status < 400) {
        v->hint = NGX_IV_S3_REGION;

    } else if (status >= 500) {
        v->code = NGX_IV_STORAGE_UNAVAILABLE;
        v->hint = "the storage, or a proxy in front of it, has failed";

    } else {
        v->hint = "check endpoint, bucket and the header lines of the "
                  "storage block";
    }
}


static ngx_str_t *
ngx_iv_s3_error_field(const ngx_iv_s3_field_t *fields, const ngx_str_t *name)
{
    for ( /* void */ ; fields->name; fields++) {
        if (ngx_iv_s3_xml_is(name, fields->name)) {
            return fields->text;
        }
    }

    return NULL;
}


/* the text goes into logs: printable ASCII only, and not without end */

static ngx_int_t
ngx_iv_s3_error_text(ngx_pool_t *pool, const u_char *p, const u_char *last,
    ngx_str_t *out)
{
    u_char  c, *dst;
    size_t  n, size;

    while (p < last && *p <= ' ') {
        p++;
    }

    while (last > p && last[-1] <= ' ') {
        last--;
    }

    size = ngx_min((size_t) (last - p), NGX_IV_S3_ERROR_TEXT);

    dst = ngx_pnalloc(pool, size + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    while (p < last && n < size) {
        c = *p++;

        if (c == '&') {
            c = ngx_iv_s3_xml_entity(&p, last);
        }

        dst[n++] = (c >= 0x20 && c < 0x7f) ? c : '?';
    }

    out->len = n;
    out->data = dst;

    return NGX_OK;
}
