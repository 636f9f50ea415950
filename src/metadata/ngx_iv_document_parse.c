#include "metadata/ngx_iv_document.h"


static ngx_uint_t ngx_iv_document_find(const bson_t *b, const char *path,
    bson_iter_t *it);
static ngx_int_t ngx_iv_document_str(ngx_pool_t *pool, const bson_iter_t *it,
    ngx_str_t *s);
static ngx_int_t ngx_iv_document_optional(ngx_pool_t *pool, const bson_t *b,
    const char *path, ngx_str_t *s);
static ngx_int_t ngx_iv_document_who(ngx_pool_t *pool, const bson_iter_t *it,
    ngx_str_t *s);
static ngx_int_t ngx_iv_document_list(ngx_pool_t *pool, const bson_t *b,
    const char *path, ngx_str_t **list, ngx_uint_t *n, ngx_uint_t who);
static ngx_uint_t ngx_iv_document_number(const bson_iter_t *it, int64_t *n);
static int64_t ngx_iv_document_int(const bson_t *b, const char *path,
    int64_t max);
static ngx_uint_t ngx_iv_document_date(const bson_t *b, const char *path,
    int64_t *ms);
static ngx_uint_t ngx_iv_document_mark(const bson_t *b, const char *path,
    int64_t *ms);
static ngx_uint_t ngx_iv_document_digest(const bson_t *b, const char *path,
    u_char *p, size_t n);
static ngx_int_t ngx_iv_document_identity(ngx_pool_t *pool, const bson_t *b,
    u_char *id, ngx_str_t *key, ngx_str_t *storage, const char **field);
static ngx_int_t ngx_iv_document_access(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc, const char **field);
static ngx_int_t ngx_iv_document_details(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc);
static ngx_iv_status_e ngx_iv_document_parse_status(const bson_t *b);


ngx_int_t
ngx_iv_document_parse(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc, const char **field)
{
    ngx_int_t     rc;
    bson_iter_t   it;

    ngx_memzero(doc, sizeof(ngx_iv_document_t));

    rc = ngx_iv_document_identity(pool, b, doc->id, &doc->key, &doc->storage,
                                  field);
    if (rc != NGX_OK) {
        return rc;
    }

    *field = "userId";

    if (!ngx_iv_document_find(b, "userId", &it)) {
        return NGX_DECLINED;
    }

    rc = ngx_iv_document_who(pool, &it, &doc->owner);
    if (rc != NGX_OK) {
        return rc;
    }

    doc->status = ngx_iv_document_parse_status(b);

    rc = ngx_iv_document_access(pool, b, doc, field);
    if (rc != NGX_OK) {
        return rc;
    }

    *field = NULL;

    return ngx_iv_document_details(pool, b, doc);
}


ngx_int_t
ngx_iv_document_parse_ref(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_metadata_ref_t *ref, const char **field)
{
    ngx_int_t     rc;
    bson_iter_t   it;

    (void) ngx_iv_document_date(b, "deletedAt", &ref->deleted_at);
    (void) ngx_iv_document_date(b, "direct.deadline", &ref->direct_deadline);

    if (ngx_iv_document_optional(pool, b, "direct.stagingKey",
                                 &ref->staging_key)
        != NGX_OK)
    {
        *field = NULL;
        return NGX_ERROR;
    }

    ngx_str_null(&ref->owner);

    /* an owner that is none has no quota */

    if (ngx_iv_document_find(b, "userId", &it)
        && ngx_iv_document_who(pool, &it, &ref->owner) == NGX_ERROR)
    {
        *field = NULL;
        return NGX_ERROR;
    }

    rc = ngx_iv_document_optional(pool, b, "s3UploadId", &ref->upload_id);
    if (rc == NGX_ERROR) {
        return rc;
    }

    return ngx_iv_document_identity(pool, b, ref->id, &ref->key,
                                    &ref->storage, field);
}


static ngx_int_t
ngx_iv_document_identity(ngx_pool_t *pool, const bson_t *b, u_char *id,
    ngx_str_t *key, ngx_str_t *storage, const char **field)
{
    ngx_int_t     rc;
    bson_iter_t   it;

    *field = "_id";

    if (!ngx_iv_document_find(b, "_id", &it) || !BSON_ITER_HOLDS_OID(&it)) {
        return NGX_DECLINED;
    }

    ngx_memcpy(id, bson_iter_oid(&it)->bytes, NGX_IV_ID_LEN);

    *field = "r2Key";

    rc = ngx_iv_document_optional(pool, b, "r2Key", key);
    if (rc != NGX_OK) {
        return rc;
    }

    if (key->len == 0) {
        return NGX_DECLINED;
    }

    *field = "storage";

    rc = ngx_iv_document_optional(pool, b, "storage", storage);
    if (rc != NGX_OK) {
        return rc;
    }

    if (storage->len == 0) {
        return NGX_DECLINED;
    }

    *field = NULL;

    return NGX_OK;
}


/* what decides who may read must be understood or refused, never guessed */

static ngx_int_t
ngx_iv_document_access(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc, const char **field)
{
    int64_t       n;
    bson_iter_t   it;

    if (ngx_iv_document_find(b, "access.isPublic", &it)) {
        doc->is_public = BSON_ITER_HOLDS_BOOL(&it)
                         ? bson_iter_bool(&it)
                         : (ngx_iv_document_number(&it, &n) && n != 0);
    }

    if (!ngx_iv_document_date(b, "access.expiresAt", &doc->expires_at)) {
        *field = "access.expiresAt";
        return NGX_DECLINED;
    }

    if (!ngx_iv_document_mark(b, "deletedAt", &doc->deleted_at)
        || !ngx_iv_document_mark(b, "objectDeletedAt",
                                 &doc->object_deleted_at))
    {
        *field = "deletedAt";
        return NGX_DECLINED;
    }

    if (ngx_iv_document_find(b, "blocked", &it)
        && !BSON_ITER_HOLDS_NULL(&it)
        && !(BSON_ITER_HOLDS_BOOL(&it) && !bson_iter_bool(&it)))
    {
        (void) ngx_iv_document_mark(b, "blocked.at", &doc->blocked_at);

        if (doc->blocked_at == 0) {
            doc->blocked_at = 1;
        }
    }

    return ngx_iv_document_list(pool, b, "access.sharedWith",
                                &doc->shared_with, &doc->nshared, 1);
}


static ngx_int_t
ngx_iv_document_details(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc)
{
    if (ngx_iv_document_optional(pool, b, "originalName", &doc->original_name)
        != NGX_OK
        || ngx_iv_document_optional(pool, b, "filename", &doc->filename)
           != NGX_OK
        || ngx_iv_document_optional(pool, b, "contentType",
                                    &doc->content_type)
           != NGX_OK
        || ngx_iv_document_optional(pool, b, "metadata.uploadedFrom",
                                    &doc->uploaded_from)
           != NGX_OK
        || ngx_iv_document_optional(pool, b, "etag", &doc->etag) != NGX_OK
        || ngx_iv_document_optional(pool, b, "direct.stagingKey",
                                    &doc->staging_key)
           != NGX_OK
        || ngx_iv_document_optional(pool, b, "blocked.reason",
                                    &doc->blocked_reason)
           != NGX_OK
        || ngx_iv_document_optional(pool, b, "error", &doc->error) != NGX_OK
        || ngx_iv_document_list(pool, b, "metadata.tags", &doc->tags,
                                &doc->ntags, 0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    doc->size = ngx_iv_document_int(b, "size", INT64_MAX);
    doc->width = (uint32_t) ngx_iv_document_int(b, "dimensions.width",
                                                UINT32_MAX);
    doc->height = (uint32_t) ngx_iv_document_int(b, "dimensions.height",
                                                 UINT32_MAX);

    (void) ngx_iv_document_date(b, "metadata.uploadedAt", &doc->uploaded_at);
    (void) ngx_iv_document_date(b, "updatedAt", &doc->updated_at);
    (void) ngx_iv_document_date(b, "direct.deadline", &doc->direct_deadline);

    if (ngx_iv_document_digest(b, "checksums.md5", doc->md5, NGX_IV_MD5_LEN)
        && ngx_iv_document_digest(b, "checksums.sha256", doc->sha256,
                                  NGX_IV_SHA256_LEN))
    {
        doc->has_checksums = 1;
    }

    return NGX_OK;
}


/* without a status: written before there was one; an unknown one: not shown */

static ngx_iv_status_e
ngx_iv_document_parse_status(const bson_t *b)
{
    uint32_t      len;
    ngx_uint_t    i;
    const char   *s;
    bson_iter_t   it;

    if (!ngx_iv_document_find(b, "status", &it)) {
        return NGX_IV_STATUS_READY;
    }

    if (BSON_ITER_HOLDS_UTF8(&it)) {
        s = bson_iter_utf8(&it, &len);

        for (i = NGX_IV_STATUS_UPLOADING; i < NGX_IV_STATUS_ERROR; i++) {
            if (ngx_strcmp(s, ngx_iv_document_status(i)) == 0) {
                return i;
            }
        }
    }

    return NGX_IV_STATUS_ERROR;
}


static ngx_uint_t
ngx_iv_document_find(const bson_t *b, const char *path, bson_iter_t *it)
{
    bson_iter_t   top;

    return bson_iter_init(&top, b)
           && bson_iter_find_descendant(&top, path, it);
}


static ngx_int_t
ngx_iv_document_str(ngx_pool_t *pool, const bson_iter_t *it, ngx_str_t *s)
{
    uint32_t    len;
    ngx_str_t   src;

    src.data = (u_char *) bson_iter_utf8(it, &len);
    src.len = len;

    return ngx_iv_document_copy_str(pool, s, &src);
}


/* NGX_OK, also if it lacks or is no string: then it is empty */

static ngx_int_t
ngx_iv_document_optional(ngx_pool_t *pool, const bson_t *b, const char *path,
    ngx_str_t *s)
{
    bson_iter_t   it;

    ngx_str_null(s);

    if (!ngx_iv_document_find(b, path, &it) || !BSON_ITER_HOLDS_UTF8(&it)) {
        return NGX_OK;
    }

    return ngx_iv_document_str(pool, &it, s);
}


/* a user: NGX_DECLINED if it is none */

static ngx_int_t
ngx_iv_document_who(ngx_pool_t *pool, const bson_iter_t *it, ngx_str_t *s)
{
    ngx_int_t   rc;

    if (BSON_ITER_HOLDS_OID(it)) {
        s->data = ngx_pnalloc(pool, 2 * NGX_IV_ID_LEN);
        if (s->data == NULL) {
            return NGX_ERROR;
        }

        s->len = 2 * NGX_IV_ID_LEN;
        (void) ngx_iv_hex(s->data, bson_iter_oid(it)->bytes, NGX_IV_ID_LEN);

        return NGX_OK;
    }

    if (!BSON_ITER_HOLDS_UTF8(it)) {
        return NGX_DECLINED;
    }

    rc = ngx_iv_document_str(pool, it, s);
    if (rc != NGX_OK) {
        return rc;
    }

    return s->len ? NGX_OK : NGX_DECLINED;
}


/* elements of other types are left out */

static ngx_int_t
ngx_iv_document_list(ngx_pool_t *pool, const bson_t *b, const char *path,
    ngx_str_t **list, ngx_uint_t *n, ngx_uint_t who)
{
    ngx_int_t     rc;
    ngx_uint_t    max;
    bson_iter_t   it, el;

    *list = NULL;
    *n = 0;

    if (!ngx_iv_document_find(b, path, &it)
        || !BSON_ITER_HOLDS_ARRAY(&it)
        || !bson_iter_recurse(&it, &el))
    {
        return NGX_OK;
    }

    for (max = 0; bson_iter_next(&el); max++) { /* void */ }

    if (max == 0 || !bson_iter_recurse(&it, &el)) {
        return NGX_OK;
    }

    *list = ngx_pcalloc(pool, max * sizeof(ngx_str_t));
    if (*list == NULL) {
        return NGX_ERROR;
    }

    while (bson_iter_next(&el)) {

        if (!who && !BSON_ITER_HOLDS_UTF8(&el)) {
            continue;
        }

        rc = who ? ngx_iv_document_who(pool, &el, &(*list)[*n])
                 : ngx_iv_document_str(pool, &el, &(*list)[*n]);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            (*n)++;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_iv_document_number(const bson_iter_t *it, int64_t *n)
{
    double   d;

    switch (bson_iter_type(it)) {

    case BSON_TYPE_INT32:
        *n = bson_iter_int32(it);
        return 1;

    case BSON_TYPE_INT64:
        *n = bson_iter_int64(it);
        return 1;

    case BSON_TYPE_DOUBLE:
        d = bson_iter_double(it);

        /* JavaScript's numbers are whole up to 2^53; not true for a NaN */

        if (d >= -9007199254740992.0 && d <= 9007199254740992.0) {
            *n = (int64_t) d;
            return 1;
        }

        return 0;

    default:
        return 0;
    }
}


static int64_t
ngx_iv_document_int(const bson_t *b, const char *path, int64_t max)
{
    int64_t       n;
    bson_iter_t   it;

    if (!ngx_iv_document_find(b, path, &it)
        || !ngx_iv_document_number(&it, &n)
        || n < 0
        || n > max)
    {
        return 0;
    }

    return n;
}


/* 1 if it lacks (0), is a date or milliseconds; 0 if it is something else */

static ngx_uint_t
ngx_iv_document_date(const bson_t *b, const char *path, int64_t *ms)
{
    bson_iter_t   it;

    *ms = 0;

    if (!ngx_iv_document_find(b, path, &it) || BSON_ITER_HOLDS_NULL(&it)) {
        return 1;
    }

    if (BSON_ITER_HOLDS_DATE_TIME(&it)) {
        *ms = bson_iter_date_time(&it);

    } else if (!ngx_iv_document_number(&it, ms)) {
        return 0;
    }

    /* 0 would read as absent: the epoch itself is a date, too */

    if (*ms == 0) {
        *ms = 1;
    }

    return 1;
}


/* a date whose presence matters more than its value */

static ngx_uint_t
ngx_iv_document_mark(const bson_t *b, const char *path, int64_t *ms)
{
    bson_iter_t   it;

    if (ngx_iv_document_find(b, path, &it)
        && BSON_ITER_HOLDS_BOOL(&it))
    {
        *ms = bson_iter_bool(&it) ? 1 : 0;
        return 1;
    }

    return ngx_iv_document_date(b, path, ms);
}


static ngx_uint_t
ngx_iv_document_digest(const bson_t *b, const char *path, u_char *p, size_t n)
{
    uint32_t      len;
    const char   *s;
    bson_iter_t   it;

    if (!ngx_iv_document_find(b, path, &it) || !BSON_ITER_HOLDS_UTF8(&it)) {
        return 0;
    }

    s = bson_iter_utf8(&it, &len);

    return len == 2 * n && ngx_iv_unhex(p, (u_char *) s, n) == NGX_OK;
}
