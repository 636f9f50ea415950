/*
 * Documents of `images` <-> BSON.
 *
 * sources: src/metadata/ngx_iv_document.c
 *     src/metadata/ngx_iv_document_parse.c src/base/ngx_iv_str.c
 *
 * libs: `pkg-config --libs mongoc2 2>/dev/null
 *     || pkg-config --libs libmongoc-1.0` -lcrypto
 */

#include "iv_test.h"
#include "metadata/ngx_iv_document.h"


static ngx_pool_t  *pool;


static ngx_str_t
str(const char *s)
{
    ngx_str_t  out;

    out.data = (u_char *) s;
    out.len = strlen(s);

    return out;
}


static void
fill(ngx_iv_document_t *doc)
{
    static ngx_str_t  tags[2];
    static ngx_str_t  shared[2];

    memset(doc, 0, sizeof(*doc));
    memset(doc->id, 0xab, NGX_IV_ID_LEN);

    tags[0] = str("sea");
    tags[1] = str("sand \xc3\xa4");
    shared[0] = str("bob");
    shared[1] = str("0123456789abcdef01234567");

    doc->owner = str("alice@example.com");
    doc->original_name = str("my photo.png");
    doc->filename = str("11111111-2222-4333-8444-555555555555.png");
    doc->content_type = str("image/png");
    doc->size = 6000000000LL;
    doc->width = 4000000000U;
    doc->height = 3;
    doc->uploaded_at = 1700000000123LL;
    doc->uploaded_from = str("127.0.0.1");
    doc->tags = tags;
    doc->ntags = 2;
    doc->is_public = 1;
    doc->shared_with = shared;
    doc->nshared = 2;
    doc->expires_at = 1800000000456LL;
    doc->status = NGX_IV_STATUS_READY;
    doc->has_checksums = 1;
    memset(doc->md5, 0x12, sizeof(doc->md5));
    memset(doc->sha256, 0xfe, sizeof(doc->sha256));
    doc->key = str("images/x.png");
    doc->storage = str("main");
    doc->etag = str("abc");
    doc->deleted_at = 5;
    doc->object_deleted_at = 6;
    doc->blocked_at = 7;
    doc->blocked_reason = str("law");
    doc->error = str("why");
}


static bson_t *
written(const ngx_iv_document_t *doc)
{
    bson_t      *b;
    bson_oid_t   oid;

    b = bson_new();
    bson_oid_init_from_data(&oid, doc->id);
    bson_append_oid(b, "_id", -1, &oid);
    EQ_INT(ngx_iv_document_append(b, doc), NGX_OK);

    return b;
}


static void
same_str(ngx_str_t a, ngx_str_t b)
{
    EQ_INT(a.len, b.len);
    OK(a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0));
}


static void
same(const ngx_iv_document_t *a, const ngx_iv_document_t *b)
{
    ngx_uint_t  i;

    EQ_MEM(a->id, b->id, NGX_IV_ID_LEN);
    same_str(a->owner, b->owner);
    same_str(a->original_name, b->original_name);
    same_str(a->filename, b->filename);
    same_str(a->content_type, b->content_type);
    EQ_INT(a->size, b->size);
    EQ_INT(a->width, b->width);
    EQ_INT(a->height, b->height);
    EQ_INT(a->uploaded_at, b->uploaded_at);
    same_str(a->uploaded_from, b->uploaded_from);
    EQ_INT(a->ntags, b->ntags);
    EQ_INT(a->nshared, b->nshared);

    for (i = 0; i < a->ntags && i < b->ntags; i++) {
        same_str(a->tags[i], b->tags[i]);
    }

    for (i = 0; i < a->nshared && i < b->nshared; i++) {
        same_str(a->shared_with[i], b->shared_with[i]);
    }

    EQ_INT(a->is_public, b->is_public);
    EQ_INT(a->expires_at, b->expires_at);
    EQ_INT(a->status, b->status);
    EQ_INT(a->has_checksums, b->has_checksums);
    EQ_MEM(a->md5, b->md5, NGX_IV_MD5_LEN);
    EQ_MEM(a->sha256, b->sha256, NGX_IV_SHA256_LEN);
    same_str(a->key, b->key);
    same_str(a->storage, b->storage);
    same_str(a->etag, b->etag);
    EQ_INT(a->deleted_at, b->deleted_at);
    EQ_INT(a->object_deleted_at, b->object_deleted_at);
    EQ_INT(a->blocked_at, b->blocked_at);
    same_str(a->blocked_reason, b->blocked_reason);
    same_str(a->error, b->error);
}


static void
test_round_trip(void)
{
    bson_t             *b;
    const char         *field;
    ngx_iv_document_t   doc, back, copy;

    fill(&doc);
    b = written(&doc);

    EQ_INT(ngx_iv_document_parse(pool, b, &back, &field), NGX_OK);
    same(&back, &doc);

    EQ_INT(ngx_iv_document_copy(pool, &copy, &back), NGX_OK);
    same(&copy, &doc);
    OK(copy.tags != back.tags);

    bson_destroy(b);
}


static int
type_of(const bson_t *b, const char *path)
{
    bson_iter_t  top, it;

    if (!bson_iter_init(&top, b)
        || !bson_iter_find_descendant(&top, path, &it))
    {
        return -1;
    }

    return bson_iter_type(&it);
}


static void
test_types(void)
{
    bson_t             *b;
    ngx_iv_document_t   doc;

    fill(&doc);
    doc.owner = str("0123456789ABCDEF01234567");
    doc.expires_at = 0;
    doc.deleted_at = 0;
    doc.object_deleted_at = 0;
    doc.blocked_at = 0;
    doc.has_checksums = 0;
    doc.etag.len = 0;
    doc.error.len = 0;

    b = written(&doc);

    EQ_INT(type_of(b, "userId"), BSON_TYPE_OID);
    EQ_INT(type_of(b, "access.sharedWith.0"), BSON_TYPE_UTF8);
    EQ_INT(type_of(b, "access.sharedWith.1"), BSON_TYPE_OID);
    EQ_INT(type_of(b, "size"), BSON_TYPE_INT64);
    EQ_INT(type_of(b, "metadata.uploadedAt"), BSON_TYPE_DATE_TIME);
    EQ_INT(type_of(b, "variants"), BSON_TYPE_ARRAY);
    EQ_INT(type_of(b, "access.expiresAt"), -1);
    EQ_INT(type_of(b, "deletedAt"), -1);
    EQ_INT(type_of(b, "objectDeletedAt"), -1);
    EQ_INT(type_of(b, "blocked"), -1);
    EQ_INT(type_of(b, "checksums"), -1);
    EQ_INT(type_of(b, "etag"), -1);
    EQ_INT(type_of(b, "error"), -1);
    EQ_INT(type_of(b, "updatedAt"), -1);

    bson_destroy(b);

    doc.owner = str("0123456789ABCDEF0123456g");
    b = written(&doc);
    EQ_INT(type_of(b, "userId"), BSON_TYPE_UTF8);
    bson_destroy(b);
}


static void
test_bad_utf8(void)
{
    bson_t             *b;
    const char         *field;
    ngx_iv_document_t   doc, back;

    fill(&doc);
    doc.original_name = str("a\xff" "b");
    doc.uploaded_from.data = (u_char *) "x\0y";
    doc.uploaded_from.len = 3;

    b = written(&doc);
    EQ_INT(ngx_iv_document_parse(pool, b, &back, &field), NGX_OK);
    EQ_STR(back.original_name, "a?b");
    EQ_STR(back.uploaded_from, "x?y");
    bson_destroy(b);

    /* a key that cannot be kept as it is must not be changed silently */

    doc.key = str("images/\xff");
    b = bson_new();
    EQ_INT(ngx_iv_document_append(b, &doc), NGX_ERROR);
    bson_destroy(b);
}


static ngx_int_t
parse(const char *json, ngx_iv_document_t *doc, const char **field)
{
    bson_t        *b;
    ngx_int_t      rc;
    bson_error_t   error;

    b = bson_new_from_json((const uint8_t *) json, -1, &error);
    OK(b != NULL);

    if (b == NULL) {
        fprintf(stderr, "%s\n", error.message);
        return NGX_ABORT;
    }

    rc = ngx_iv_document_parse(pool, b, doc, field);
    bson_destroy(b);

    return rc;
}


#define HEAD  "\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},"              \
              "\"r2Key\":\"k\",\"storage\":\"s\","


static void
test_tolerant(void)
{
    const char         *field;
    ngx_iv_document_t   doc;

    EQ_INT(parse("{" HEAD "\"userId\":\"u\"}", &doc, &field), NGX_OK);
    EQ_INT(doc.status, NGX_IV_STATUS_READY);
    EQ_INT(doc.is_public, 0);
    EQ_INT(doc.expires_at, 0);
    EQ_INT(doc.size, 0);

    EQ_INT(parse("{" HEAD "\"userId\":{\"$oid\":\"0123456789abcdef0123456f\"},"
                 "\"size\":12.0,\"status\":\"odd\","
                 "\"dimensions\":{\"width\":-3,\"height\":1e300},"
                 "\"metadata\":{\"tags\":[1,\"a\",null,\"b\"],"
                 "\"uploadedAt\":\"soon\"},"
                 "\"access\":{\"isPublic\":1,\"expiresAt\":null,"
                 "\"sharedWith\":[7,\"x\","
                 "{\"$oid\":\"0123456789abcdef01234567\"}]},"
                 "\"checksums\":{\"md5\":\"zz\",\"sha256\":3},"
                 "\"blocked\":true,\"originalName\":5}", &doc, &field),
           NGX_OK);
    EQ_STR(doc.owner, "0123456789abcdef0123456f");
    EQ_INT(doc.size, 12);
    EQ_INT(doc.status, NGX_IV_STATUS_ERROR);
    EQ_INT(doc.width, 0);
    EQ_INT(doc.height, 0);
    EQ_INT(doc.ntags, 2);
    EQ_STR(doc.tags[1], "b");
    EQ_INT(doc.nshared, 2);
    EQ_STR(doc.shared_with[0], "x");
    EQ_INT(doc.is_public, 1);
    EQ_INT(doc.has_checksums, 0);
    EQ_INT(doc.uploaded_at, 0);
    OK(doc.blocked_at != 0);
    EQ_INT(doc.original_name.len, 0);

    EQ_INT(parse("{" HEAD "\"userId\":\"u\",\"access\":"
                 "{\"isPublic\":\"false\",\"expiresAt\":1700000000000}}", &doc,
                 &field), NGX_OK);
    EQ_INT(doc.is_public, 0);
    EQ_INT(doc.expires_at, 1700000000000LL);
}


static void
test_refused(void)
{
    const char         *field;
    ngx_iv_document_t   doc;

    EQ_INT(parse("{\"_id\":\"x\",\"r2Key\":\"k\",\"storage\":\"s\","
                 "\"userId\":\"u\"}", &doc, &field), NGX_DECLINED);
    OK(strcmp(field, "_id") == 0);

    EQ_INT(parse("{" HEAD "\"userId\":5}", &doc, &field), NGX_DECLINED);
    OK(strcmp(field, "userId") == 0);

    EQ_INT(parse("{" HEAD "\"userId\":\"\"}", &doc, &field), NGX_DECLINED);
    EQ_INT(parse("{" HEAD "\"size\":5}", &doc, &field), NGX_DECLINED);

    EQ_INT(parse("{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},"
                 "\"storage\":\"s\",\"userId\":\"u\"}", &doc, &field),
           NGX_DECLINED);
    OK(strcmp(field, "r2Key") == 0);

    /* what logs and headers may show has no line break */

    EQ_INT(parse("{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},"
                 "\"storage\":\"s\",\"r2Key\":\"a\\r\\nX: y\","
                 "\"userId\":\"u\"}", &doc, &field), NGX_DECLINED);
    OK(strcmp(field, "r2Key") == 0);

    EQ_INT(parse("{\"_id\":{\"$oid\":\"0123456789abcdef01234567\"},"
                 "\"storage\":\"s\\n\",\"r2Key\":\"k\","
                 "\"userId\":\"u\"}", &doc, &field), NGX_DECLINED);
    OK(strcmp(field, "storage") == 0);

    EQ_INT(parse("{" HEAD "\"userId\":\"u\","
                 "\"contentType\":\"image/png\\r\\nX: y\"}", &doc, &field),
           NGX_OK);
    EQ_INT(doc.content_type.len, 0);

    /* an expiry that cannot be read must not mean "never" */

    EQ_INT(parse("{" HEAD "\"userId\":\"u\","
                 "\"access\":{\"expiresAt\":\"tomorrow\"}}", &doc, &field),
           NGX_DECLINED);
    OK(strcmp(field, "access.expiresAt") == 0);

    EQ_INT(parse("{" HEAD "\"userId\":\"u\",\"deletedAt\":\"now\"}", &doc,
                 &field), NGX_DECLINED);
}


static void
test_no_memory(void)
{
    int                 n;
    bson_t             *b;
    ngx_int_t           rc;
    const char         *field;
    ngx_iv_document_t   doc, back;

    fill(&doc);
    b = written(&doc);

    for (n = 0, rc = NGX_ERROR; n < 100 && rc == NGX_ERROR; n++) {
        iv_fail_alloc_after = n;
        rc = ngx_iv_document_parse(pool, b, &back, &field);
        iv_fail_alloc_after = -1;
    }

    EQ_INT(rc, NGX_OK);
    OK(n > 10);

    for (n = 0, rc = NGX_ERROR; n < 100 && rc == NGX_ERROR; n++) {
        iv_fail_alloc_after = n;
        rc = ngx_iv_document_copy(pool, &back, &doc);
        iv_fail_alloc_after = -1;
    }

    EQ_INT(rc, NGX_OK);
    OK(n > 10);

    bson_destroy(b);
}


int
main(void)
{
    iv_set_time(1700000000, 0);
    pool = ngx_create_pool(4096, NULL);

    RUN(test_round_trip);
    RUN(test_types);
    RUN(test_bad_utf8);
    RUN(test_tolerant);
    RUN(test_refused);
    RUN(test_no_memory);

    ngx_destroy_pool(pool);
    EQ_INT(iv_allocs, 0);

    return iv_test_done();
}
