#include "metadata/ngx_iv_document.h"


static ngx_int_t ngx_iv_document_append_str(bson_t *b, const char *name,
    const ngx_str_t *s);
static ngx_int_t ngx_iv_document_append_exact(bson_t *b, const char *name,
    const ngx_str_t *s);
static ngx_int_t ngx_iv_document_append_metadata(bson_t *b,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_iv_document_append_tags(bson_t *b, const char *name,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_iv_document_append_access(bson_t *b,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_iv_document_append_marks(bson_t *b,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_iv_document_append_dimensions(bson_t *b,
    const ngx_iv_document_t *doc);
static ngx_int_t ngx_iv_document_append_checksums(bson_t *b,
    const ngx_iv_document_t *doc);


static const char  *ngx_iv_document_statuses[] = {
    "uploading", "processing", "ready", "error"
};


const char *
ngx_iv_document_status(ngx_iv_status_e status)
{
    return ngx_iv_document_statuses[status];
}


ngx_int_t
ngx_iv_document_copy(ngx_pool_t *pool, ngx_iv_document_t *dst,
    const ngx_iv_document_t *src)
{
    ngx_uint_t   i;

    static const size_t  strings[] = {
        offsetof(ngx_iv_document_t, owner),
        offsetof(ngx_iv_document_t, original_name),
        offsetof(ngx_iv_document_t, filename),
        offsetof(ngx_iv_document_t, content_type),
        offsetof(ngx_iv_document_t, uploaded_from),
        offsetof(ngx_iv_document_t, key),
        offsetof(ngx_iv_document_t, storage),
        offsetof(ngx_iv_document_t, etag),
        offsetof(ngx_iv_document_t, staging_key),
        offsetof(ngx_iv_document_t, blocked_reason),
        offsetof(ngx_iv_document_t, error)
    };

    *dst = *src;

    for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {

        if (ngx_iv_copy_str(pool,
                              (ngx_str_t *) ((u_char *) dst + strings[i]),
                              (ngx_str_t *) ((u_char *) src + strings[i]))
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_iv_copy_strs(pool, &dst->tags, src->tags, src->ntags) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_copy_strs(pool, &dst->shared_with, src->shared_with,
                            src->nshared);
}


ngx_int_t
ngx_iv_document_append(bson_t *b, const ngx_iv_document_t *doc)
{
    bson_t       variants;
    const char  *status;

    status = ngx_iv_document_status(doc->status);

    if (ngx_iv_document_append_owner(b, "userId", &doc->owner) != NGX_OK
        || ngx_iv_document_append_str(b, "originalName", &doc->original_name)
           != NGX_OK
        || ngx_iv_document_append_str(b, "filename", &doc->filename) != NGX_OK
        || ngx_iv_document_append_str(b, "contentType", &doc->content_type)
           != NGX_OK
        || ngx_iv_document_append_result(b, doc) != NGX_OK
        || ngx_iv_document_append_metadata(b, doc) != NGX_OK
        || ngx_iv_document_append_access(b, doc) != NGX_OK
        || !bson_append_utf8(b, "status", -1, status, -1)
        || !ngx_iv_bson_array_begin(b, "variants", -1, &variants)
        || !bson_append_array_end(b, &variants)
        || ngx_iv_document_append_exact(b, "r2Key", &doc->key) != NGX_OK
        || ngx_iv_document_append_exact(b, "storage", &doc->storage)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_iv_document_append_marks(b, doc);
}


ngx_int_t
ngx_iv_document_append_result(bson_t *b, const ngx_iv_document_t *doc)
{
    if (!bson_append_int64(b, "size", -1, doc->size)
        || ngx_iv_document_append_dimensions(b, doc) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (doc->has_checksums
        && ngx_iv_document_append_checksums(b, doc) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (doc->etag.len == 0) {
        return NGX_OK;
    }

    return ngx_iv_document_append_str(b, "etag", &doc->etag);
}


ngx_int_t
ngx_iv_document_append_fields(bson_t *b, const ngx_iv_document_t *doc)
{
    if (ngx_iv_document_append_tags(b, "metadata.tags", doc) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_document_append_access(b, doc);
}


ngx_int_t
ngx_iv_document_append_owner(bson_t *b, const char *name,
    const ngx_str_t *owner)
{
    bson_oid_t   oid;

    if (owner->len == 2 * NGX_IV_ID_LEN
        && ngx_iv_unhex(oid.bytes, owner->data, NGX_IV_ID_LEN) == NGX_OK)
    {
        return bson_append_oid(b, name, -1, &oid) ? NGX_OK : NGX_ERROR;
    }

    return ngx_iv_document_append_exact(b, name, owner);
}


/*
 * Other clients refuse documents with strings that are no UTF-8, and many stop
 * at a zero byte: both are replaced in what is only shown to people.
 */

static ngx_int_t
ngx_iv_document_append_str(bson_t *b, const char *name, const ngx_str_t *s)
{
    char    *p;
    bool     ok;
    size_t   i;

    if (ngx_iv_document_append_exact(b, name, s) == NGX_OK) {
        return NGX_OK;
    }

    if (s->len > NGX_MAX_INT32_VALUE) {
        return NGX_ERROR;
    }

    p = bson_malloc(s->len);

    for (i = 0; i < s->len; i++) {
        p[i] = (s->data[i] == '\0' || s->data[i] >= 0x80) ? '?'
                                                          : (char) s->data[i];
    }

    ok = bson_append_utf8(b, name, -1, p, (int) s->len);

    bson_free(p);

    return ok ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_iv_document_append_exact(bson_t *b, const char *name, const ngx_str_t *s)
{
    if (s->len == 0) {
        return bson_append_utf8(b, name, -1, "", 0) ? NGX_OK : NGX_ERROR;
    }

    if (s->len > NGX_MAX_INT32_VALUE
        || !bson_utf8_validate((char *) s->data, s->len, false))
    {
        return NGX_ERROR;
    }

    return bson_append_utf8(b, name, -1, (char *) s->data, (int) s->len)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_iv_document_append_dimensions(bson_t *b, const ngx_iv_document_t *doc)
{
    bson_t   sub;

    if (!bson_append_document_begin(b, "dimensions", -1, &sub)
        || !bson_append_int64(&sub, "width", -1, doc->width)
        || !bson_append_int64(&sub, "height", -1, doc->height)
        || !bson_append_document_end(b, &sub))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_document_append_metadata(bson_t *b, const ngx_iv_document_t *doc)
{
    bson_t   sub;

    if (!bson_append_document_begin(b, "metadata", -1, &sub)
        || !bson_append_date_time(&sub, "uploadedAt", -1, doc->uploaded_at)
        || ngx_iv_document_append_str(&sub, "uploadedFrom",
                                      &doc->uploaded_from)
           != NGX_OK
        || ngx_iv_document_append_tags(&sub, "tags", doc) != NGX_OK
        || !bson_append_document_end(b, &sub))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_document_append_tags(bson_t *b, const char *name,
    const ngx_iv_document_t *doc)
{
    char         buf[16];
    bson_t       tags;
    const char  *index;
    ngx_uint_t   i;

    if (!ngx_iv_bson_array_begin(b, name, -1, &tags)) {
        return NGX_ERROR;
    }

    for (i = 0; i < doc->ntags; i++) {
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

        if (ngx_iv_document_append_str(&tags, index, &doc->tags[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return bson_append_array_end(b, &tags) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_iv_document_append_access(bson_t *b, const ngx_iv_document_t *doc)
{
    char         buf[16];
    bson_t       sub, shared;
    const char  *index;
    ngx_uint_t   i;

    if (!bson_append_document_begin(b, "access", -1, &sub)
        || !bson_append_bool(&sub, "isPublic", -1, doc->is_public ? true
                                                                  : false)
        || !ngx_iv_bson_array_begin(&sub, "sharedWith", -1, &shared))
    {
        return NGX_ERROR;
    }

    for (i = 0; i < doc->nshared; i++) {
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

        if (ngx_iv_document_append_owner(&shared, index, &doc->shared_with[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (!bson_append_array_end(&sub, &shared)) {
        return NGX_ERROR;
    }

    /* absent without an expiry: the index on it is sparse */

    if (doc->expires_at
        && !bson_append_date_time(&sub, "expiresAt", -1, doc->expires_at))
    {
        return NGX_ERROR;
    }

    return bson_append_document_end(b, &sub) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_iv_document_append_checksums(bson_t *b, const ngx_iv_document_t *doc)
{
    bson_t   sub;
    u_char   md5[2 * NGX_IV_MD5_LEN], sha256[2 * NGX_IV_SHA256_LEN];

    (void) ngx_iv_hex(md5, doc->md5, NGX_IV_MD5_LEN);
    (void) ngx_iv_hex(sha256, doc->sha256, NGX_IV_SHA256_LEN);

    if (!bson_append_document_begin(b, "checksums", -1, &sub)
        || !bson_append_utf8(&sub, "md5", -1, (char *) md5, sizeof(md5))
        || !bson_append_utf8(&sub, "sha256", -1, (char *) sha256,
                             sizeof(sha256))
        || !bson_append_document_end(b, &sub))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_document_append_marks(bson_t *b, const ngx_iv_document_t *doc)
{
    bson_t   sub;

    if (doc->deleted_at
        && !bson_append_date_time(b, "deletedAt", -1, doc->deleted_at))
    {
        return NGX_ERROR;
    }

    if (doc->object_deleted_at
        && !bson_append_date_time(b, "objectDeletedAt", -1,
                                  doc->object_deleted_at))
    {
        return NGX_ERROR;
    }

    if (doc->blocked_at
        && (!bson_append_document_begin(b, "blocked", -1, &sub)
            || !bson_append_date_time(&sub, "at", -1, doc->blocked_at)
            || ngx_iv_document_append_str(&sub, "reason",
                                          &doc->blocked_reason)
               != NGX_OK
            || !bson_append_document_end(b, &sub)))
    {
        return NGX_ERROR;
    }

    if (doc->error.len == 0) {
        return NGX_OK;
    }

    return ngx_iv_document_append_str(b, "error", &doc->error);
}
