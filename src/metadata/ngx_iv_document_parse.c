/*
 * Documents of MongoDB, read in one pass: a search for each field would go over
 * the same names again and again, for each document of a list.
 */

#include "metadata/ngx_iv_document.h"


/* in the order in which we write them: a search begins behind the last hit */

typedef enum {
    NGX_IV_FIELD_ID = 0,
    NGX_IV_FIELD_OWNER,
    NGX_IV_FIELD_ORIGINAL_NAME,
    NGX_IV_FIELD_FILENAME,
    NGX_IV_FIELD_CONTENT_TYPE,
    NGX_IV_FIELD_SIZE,
    NGX_IV_FIELD_DIMENSIONS,
    NGX_IV_FIELD_CHECKSUMS,
    NGX_IV_FIELD_ETAG,
    NGX_IV_FIELD_METADATA,
    NGX_IV_FIELD_ACCESS,
    NGX_IV_FIELD_STATUS,
    NGX_IV_FIELD_KEY,
    NGX_IV_FIELD_STORAGE,
    NGX_IV_FIELD_UPDATED_AT,
    NGX_IV_FIELD_UPLOAD_ID,
    NGX_IV_FIELD_UPLOADS_AT,
    NGX_IV_FIELD_DIRECT,
    NGX_IV_FIELD_DELETED_AT,
    NGX_IV_FIELD_OBJECT_DELETED_AT,
    NGX_IV_FIELD_BLOCKED,
    NGX_IV_FIELD_ERROR,

    NGX_IV_FIELD_WIDTH,
    NGX_IV_FIELD_HEIGHT,
    NGX_IV_FIELD_MD5,
    NGX_IV_FIELD_SHA256,
    NGX_IV_FIELD_UPLOADED_AT,
    NGX_IV_FIELD_UPLOADED_FROM,
    NGX_IV_FIELD_TAGS,
    NGX_IV_FIELD_IS_PUBLIC,
    NGX_IV_FIELD_SHARED_WITH,
    NGX_IV_FIELD_EXPIRES_AT,
    NGX_IV_FIELD_DIRECT_DEADLINE,
    NGX_IV_FIELD_STAGING_KEY,
    NGX_IV_FIELD_BLOCKED_AT,
    NGX_IV_FIELD_BLOCKED_REASON,

    NGX_IV_FIELDS
} ngx_iv_field_e;


#define NGX_IV_FIELDS_TOP  (NGX_IV_FIELD_ERROR + 1)


typedef struct {
    const char     *name;
    u_char          first;      /* of the fields inside, and how many */
    u_char          n;
} ngx_iv_field_t;


/* the alignment of a bson_iter_t allows no array of them as they are */

typedef struct {
    bson_iter_t     it;
} ngx_iv_value_t;


typedef struct {
    ngx_iv_value_t  values[NGX_IV_FIELDS];
    uint64_t        found;
} ngx_iv_values_t;


static void ngx_iv_document_fields(const bson_t *b, ngx_iv_values_t *f);
static void ngx_iv_document_fields_of(bson_iter_t *it, ngx_iv_values_t *f,
    ngx_uint_t first, ngx_uint_t n);
static ngx_uint_t ngx_iv_document_find(const ngx_iv_values_t *f,
    ngx_iv_field_e field, bson_iter_t *it);
static ngx_int_t ngx_iv_document_str(ngx_pool_t *pool, const bson_iter_t *it,
    ngx_str_t *s);
static ngx_int_t ngx_iv_document_optional(ngx_pool_t *pool,
    const ngx_iv_values_t *f, ngx_iv_field_e field, ngx_str_t *s);
static ngx_int_t ngx_iv_document_who(ngx_pool_t *pool, const bson_iter_t *it,
    ngx_str_t *s);
static ngx_int_t ngx_iv_document_list(ngx_pool_t *pool,
    const ngx_iv_values_t *f, ngx_iv_field_e field, ngx_str_t **list,
    ngx_uint_t *n, ngx_uint_t who);
static ngx_uint_t ngx_iv_document_number(const bson_iter_t *it, int64_t *n);
static int64_t ngx_iv_document_int(const ngx_iv_values_t *f,
    ngx_iv_field_e field, int64_t max);
static ngx_uint_t ngx_iv_document_date(const ngx_iv_values_t *f,
    ngx_iv_field_e field, int64_t *ms);
static ngx_uint_t ngx_iv_document_mark(const ngx_iv_values_t *f,
    ngx_iv_field_e field, int64_t *ms);
static ngx_uint_t ngx_iv_document_digest(const ngx_iv_values_t *f,
    ngx_iv_field_e field, u_char *p, size_t n);
static ngx_int_t ngx_iv_document_identity(ngx_pool_t *pool,
    const ngx_iv_values_t *f, u_char *id, ngx_str_t *key, ngx_str_t *storage,
    const char **field);
static ngx_uint_t ngx_iv_document_one_line(const ngx_str_t *s);
static ngx_int_t ngx_iv_document_access(ngx_pool_t *pool,
    const ngx_iv_values_t *f, ngx_iv_document_t *doc, const char **field);
static ngx_int_t ngx_iv_document_details(ngx_pool_t *pool,
    const ngx_iv_values_t *f, ngx_iv_document_t *doc);
static ngx_iv_status_e ngx_iv_document_parse_status(const ngx_iv_values_t *f);


static const ngx_iv_field_t  ngx_iv_document_names[] = {
    { "_id", 0, 0 },
    { "userId", 0, 0 },
    { "originalName", 0, 0 },
    { "filename", 0, 0 },
    { "contentType", 0, 0 },
    { "size", 0, 0 },
    { "dimensions", NGX_IV_FIELD_WIDTH, 2 },
    { "checksums", NGX_IV_FIELD_MD5, 2 },
    { "etag", 0, 0 },
    { "metadata", NGX_IV_FIELD_UPLOADED_AT, 3 },
    { "access", NGX_IV_FIELD_IS_PUBLIC, 3 },
    { "status", 0, 0 },
    { "r2Key", 0, 0 },
    { "storage", 0, 0 },
    { "updatedAt", 0, 0 },
    { "s3UploadId", 0, 0 },
    { "s3UploadsAt", 0, 0 },
    { "direct", NGX_IV_FIELD_DIRECT_DEADLINE, 2 },
    { "deletedAt", 0, 0 },
    { "objectDeletedAt", 0, 0 },
    { "blocked", NGX_IV_FIELD_BLOCKED_AT, 2 },
    { "error", 0, 0 },

    { "width", 0, 0 },
    { "height", 0, 0 },
    { "md5", 0, 0 },
    { "sha256", 0, 0 },
    { "uploadedAt", 0, 0 },
    { "uploadedFrom", 0, 0 },
    { "tags", 0, 0 },
    { "isPublic", 0, 0 },
    { "sharedWith", 0, 0 },
    { "expiresAt", 0, 0 },
    { "deadline", 0, 0 },
    { "stagingKey", 0, 0 },
    { "at", 0, 0 },
    { "reason", 0, 0 }
};


ngx_int_t
ngx_iv_document_parse(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_document_t *doc, const char **field)
{
    ngx_int_t         rc;
    bson_iter_t       it;
    ngx_iv_values_t   fields, *f;

    ngx_memzero(doc, sizeof(ngx_iv_document_t));

    f = &fields;
    ngx_iv_document_fields(b, f);

    rc = ngx_iv_document_identity(pool, f, doc->id, &doc->key, &doc->storage,
                                  field);
    if (rc != NGX_OK) {
        return rc;
    }

    *field = "userId";

    if (!ngx_iv_document_find(f, NGX_IV_FIELD_OWNER, &it)) {
        return NGX_DECLINED;
    }

    rc = ngx_iv_document_who(pool, &it, &doc->owner);
    if (rc != NGX_OK) {
        return rc;
    }

    doc->status = ngx_iv_document_parse_status(f);

    rc = ngx_iv_document_access(pool, f, doc, field);
    if (rc != NGX_OK) {
        return rc;
    }

    *field = NULL;

    return ngx_iv_document_details(pool, f, doc);
}


ngx_int_t
ngx_iv_document_parse_ref(ngx_pool_t *pool, const bson_t *b,
    ngx_iv_metadata_ref_t *ref, const char **field)
{
    ngx_int_t         rc;
    bson_iter_t       it;
    ngx_iv_values_t   fields, *f;

    f = &fields;
    ngx_iv_document_fields(b, f);

    (void) ngx_iv_document_date(f, NGX_IV_FIELD_DELETED_AT, &ref->deleted_at);
    (void) ngx_iv_document_date(f, NGX_IV_FIELD_DIRECT_DEADLINE,
                                &ref->direct_deadline);
    (void) ngx_iv_document_date(f, NGX_IV_FIELD_UPLOADS_AT,
                                &ref->uploads_at);

    /* also an empty id: one that was begun, but whose answer was not noted */

    ref->multipart = ngx_iv_document_find(f, NGX_IV_FIELD_UPLOAD_ID, &it)
                     || ref->uploads_at;

    if (ngx_iv_document_optional(pool, f, NGX_IV_FIELD_STAGING_KEY,
                                 &ref->staging_key)
        != NGX_OK)
    {
        *field = NULL;
        return NGX_ERROR;
    }

    ngx_str_null(&ref->owner);

    /* an owner that is none has no quota */

    if (ngx_iv_document_find(f, NGX_IV_FIELD_OWNER, &it)
        && ngx_iv_document_who(pool, &it, &ref->owner) == NGX_ERROR)
    {
        *field = NULL;
        return NGX_ERROR;
    }

    rc = ngx_iv_document_optional(pool, f, NGX_IV_FIELD_UPLOAD_ID,
                                  &ref->upload_id);
    if (rc == NGX_ERROR) {
        return rc;
    }

    return ngx_iv_document_identity(pool, f, ref->id, &ref->key,
                                    &ref->storage, field);
}


static ngx_int_t
ngx_iv_document_identity(ngx_pool_t *pool, const ngx_iv_values_t *f,
    u_char *id, ngx_str_t *key, ngx_str_t *storage, const char **field)
{
    ngx_int_t     rc;
    bson_iter_t   it;

    *field = "_id";

    if (!ngx_iv_document_find(f, NGX_IV_FIELD_ID, &it)
        || !BSON_ITER_HOLDS_OID(&it))
    {
        return NGX_DECLINED;
    }

    ngx_memcpy(id, bson_iter_oid(&it)->bytes, NGX_IV_ID_LEN);

    *field = "r2Key";

    rc = ngx_iv_document_optional(pool, f, NGX_IV_FIELD_KEY, key);
    if (rc != NGX_OK) {
        return rc;
    }

    if (key->len == 0 || !ngx_iv_document_one_line(key)) {
        return NGX_DECLINED;
    }

    *field = "storage";

    rc = ngx_iv_document_optional(pool, f, NGX_IV_FIELD_STORAGE, storage);
    if (rc != NGX_OK) {
        return rc;
    }

    if (storage->len == 0 || !ngx_iv_document_one_line(storage)) {
        return NGX_DECLINED;
    }

    *field = NULL;

    return NGX_OK;
}


/* logs and variables show it, and operators put those into headers: others may
 * have written it */

static ngx_uint_t
ngx_iv_document_one_line(const ngx_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] < 0x20 || s->data[i] == 0x7f) {
            return 0;
        }
    }

    return 1;
}


/* what decides who may read must be understood or refused, never guessed */

static ngx_int_t
ngx_iv_document_access(ngx_pool_t *pool, const ngx_iv_values_t *f,
    ngx_iv_document_t *doc, const char **field)
{
    int64_t       n;
    bson_iter_t   it;

    if (ngx_iv_document_find(f, NGX_IV_FIELD_IS_PUBLIC, &it)) {
        doc->is_public = BSON_ITER_HOLDS_BOOL(&it)
                         ? bson_iter_bool(&it)
                         : (ngx_iv_document_number(&it, &n) && n != 0);
    }

    if (!ngx_iv_document_date(f, NGX_IV_FIELD_EXPIRES_AT, &doc->expires_at)) {
        *field = "access.expiresAt";
        return NGX_DECLINED;
    }

    if (!ngx_iv_document_mark(f, NGX_IV_FIELD_DELETED_AT, &doc->deleted_at)
        || !ngx_iv_document_mark(f, NGX_IV_FIELD_OBJECT_DELETED_AT,
                                 &doc->object_deleted_at))
    {
        *field = "deletedAt";
        return NGX_DECLINED;
    }

    if (ngx_iv_document_find(f, NGX_IV_FIELD_BLOCKED, &it)
        && !BSON_ITER_HOLDS_NULL(&it)
        && !(BSON_ITER_HOLDS_BOOL(&it) && !bson_iter_bool(&it)))
    {
        (void) ngx_iv_document_mark(f, NGX_IV_FIELD_BLOCKED_AT,
                                    &doc->blocked_at);

        if (doc->blocked_at == 0) {
            doc->blocked_at = 1;
        }
    }

    return ngx_iv_document_list(pool, f, NGX_IV_FIELD_SHARED_WITH,
                                &doc->shared_with, &doc->nshared, 1);
}


static ngx_int_t
ngx_iv_document_details(ngx_pool_t *pool, const ngx_iv_values_t *f,
    ngx_iv_document_t *doc)
{
    if (ngx_iv_document_optional(pool, f, NGX_IV_FIELD_ORIGINAL_NAME,
                                 &doc->original_name)
        != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_FILENAME,
                                    &doc->filename)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_CONTENT_TYPE,
                                    &doc->content_type)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_UPLOADED_FROM,
                                    &doc->uploaded_from)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_ETAG, &doc->etag)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_STAGING_KEY,
                                    &doc->staging_key)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_BLOCKED_REASON,
                                    &doc->blocked_reason)
           != NGX_OK
        || ngx_iv_document_optional(pool, f, NGX_IV_FIELD_ERROR, &doc->error)
           != NGX_OK
        || ngx_iv_document_list(pool, f, NGX_IV_FIELD_TAGS, &doc->tags,
                                &doc->ntags, 0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ngx_iv_document_one_line(&doc->content_type)) {
        ngx_str_null(&doc->content_type);
    }

    doc->size = ngx_iv_document_int(f, NGX_IV_FIELD_SIZE, INT64_MAX);
    doc->width = (uint32_t) ngx_iv_document_int(f, NGX_IV_FIELD_WIDTH,
                                                UINT32_MAX);
    doc->height = (uint32_t) ngx_iv_document_int(f, NGX_IV_FIELD_HEIGHT,
                                                 UINT32_MAX);

    (void) ngx_iv_document_date(f, NGX_IV_FIELD_UPLOADED_AT,
                                &doc->uploaded_at);
    (void) ngx_iv_document_date(f, NGX_IV_FIELD_UPDATED_AT, &doc->updated_at);
    (void) ngx_iv_document_date(f, NGX_IV_FIELD_DIRECT_DEADLINE,
                                &doc->direct_deadline);

    if (ngx_iv_document_digest(f, NGX_IV_FIELD_MD5, doc->md5, NGX_IV_MD5_LEN)
        && ngx_iv_document_digest(f, NGX_IV_FIELD_SHA256, doc->sha256,
                                  NGX_IV_SHA256_LEN))
    {
        doc->has_checksums = 1;
    }

    return NGX_OK;
}


/* without a status: written before there was one; an unknown one: not shown */

static ngx_iv_status_e
ngx_iv_document_parse_status(const ngx_iv_values_t *f)
{
    uint32_t      len;
    ngx_uint_t    i;
    const char   *s;
    bson_iter_t   it;

    if (!ngx_iv_document_find(f, NGX_IV_FIELD_STATUS, &it)) {
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


/* of names that come twice the first counts */

static void
ngx_iv_document_fields(const bson_t *b, ngx_iv_values_t *f)
{
    bson_iter_t            it, in;
    ngx_uint_t             i;
    const ngx_iv_field_t  *field;

    f->found = 0;

    if (!bson_iter_init(&it, b)) {
        return;
    }

    ngx_iv_document_fields_of(&it, f, 0, NGX_IV_FIELDS_TOP);

    for (i = 0; i < NGX_IV_FIELDS_TOP; i++) {

        field = &ngx_iv_document_names[i];

        if (field->n == 0 || !ngx_iv_document_find(f, i, &it)) {
            continue;
        }

        if ((BSON_ITER_HOLDS_DOCUMENT(&it) || BSON_ITER_HOLDS_ARRAY(&it))
            && bson_iter_recurse(&it, &in))
        {
            ngx_iv_document_fields_of(&in, f, field->first, field->n);
        }
    }
}


/* n names from the first on */

static void
ngx_iv_document_fields_of(bson_iter_t *it, ngx_iv_values_t *f,
    ngx_uint_t first, ngx_uint_t n)
{
    uint64_t      bit;
    ngx_uint_t    i, k, at;
    const char   *key, *name;

    at = 0;

    while (bson_iter_next(it)) {

        key = bson_iter_key(it);

        for (k = 0; k < n; k++) {

            i = first + at;
            at = (at + 1 == n) ? 0 : at + 1;

            name = ngx_iv_document_names[i].name;

            if (*key != *name || ngx_strcmp(key, name) != 0) {
                continue;
            }

            bit = (uint64_t) 1 << i;

            if (!(f->found & bit)) {
                f->found |= bit;
                f->values[i].it = *it;
            }

            break;
        }
    }
}


static ngx_uint_t
ngx_iv_document_find(const ngx_iv_values_t *f, ngx_iv_field_e field,
    bson_iter_t *it)
{
    if (!(f->found >> field & 1)) {
        return 0;
    }

    *it = f->values[field].it;

    return 1;
}


static ngx_int_t
ngx_iv_document_str(ngx_pool_t *pool, const bson_iter_t *it, ngx_str_t *s)
{
    uint32_t    len;
    ngx_str_t   src;

    src.data = (u_char *) bson_iter_utf8(it, &len);
    src.len = len;

    return ngx_iv_copy_str(pool, s, &src);
}


/* NGX_OK, also if it lacks or is no string: then it is empty */

static ngx_int_t
ngx_iv_document_optional(ngx_pool_t *pool, const ngx_iv_values_t *f,
    ngx_iv_field_e field, ngx_str_t *s)
{
    bson_iter_t   it;

    ngx_str_null(s);

    if (!ngx_iv_document_find(f, field, &it) || !BSON_ITER_HOLDS_UTF8(&it)) {
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
ngx_iv_document_list(ngx_pool_t *pool, const ngx_iv_values_t *f,
    ngx_iv_field_e field, ngx_str_t **list, ngx_uint_t *n, ngx_uint_t who)
{
    ngx_int_t     rc;
    ngx_uint_t    max;
    bson_iter_t   it, el;

    *list = NULL;
    *n = 0;

    if (!ngx_iv_document_find(f, field, &it)
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
ngx_iv_document_int(const ngx_iv_values_t *f, ngx_iv_field_e field,
    int64_t max)
{
    int64_t       n;
    bson_iter_t   it;

    if (!ngx_iv_document_find(f, field, &it)
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
ngx_iv_document_date(const ngx_iv_values_t *f, ngx_iv_field_e field,
    int64_t *ms)
{
    bson_iter_t   it;

    *ms = 0;

    if (!ngx_iv_document_find(f, field, &it) || BSON_ITER_HOLDS_NULL(&it)) {
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
ngx_iv_document_mark(const ngx_iv_values_t *f, ngx_iv_field_e field,
    int64_t *ms)
{
    bson_iter_t   it;

    if (ngx_iv_document_find(f, field, &it)
        && BSON_ITER_HOLDS_BOOL(&it))
    {
        *ms = bson_iter_bool(&it) ? 1 : 0;
        return 1;
    }

    return ngx_iv_document_date(f, field, ms);
}


static ngx_uint_t
ngx_iv_document_digest(const ngx_iv_values_t *f, ngx_iv_field_e field,
    u_char *p, size_t n)
{
    uint32_t      len;
    const char   *s;
    bson_iter_t   it;

    if (!ngx_iv_document_find(f, field, &it) || !BSON_ITER_HOLDS_UTF8(&it)) {
        return 0;
    }

    s = bson_iter_utf8(&it, &len);

    return len == 2 * n && ngx_iv_unhex(p, (u_char *) s, n) == NGX_OK;
}
