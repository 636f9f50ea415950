/*
 * ImageMetadata: a document as the HTTP interface shows it, without its key
 * and storage.
 */

#include "module/ngx_http_image_vault_module.h"


static const char *ngx_http_image_vault_statuses[] = {
    "uploading", "processing", "ready", "error"
};


void
ngx_http_image_vault_dimensions_json(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc)
{
    if (doc->width == 0 || doc->height == 0) {
        ngx_iv_json_null(j, "dimensions");
        return;
    }

    ngx_iv_json_object(j, "dimensions");
    ngx_iv_json_int(j, "width", doc->width);
    ngx_iv_json_int(j, "height", doc->height);
    ngx_iv_json_object_end(j);
}


void
ngx_http_image_vault_checksums_json(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc)
{
    if (!doc->has_checksums) {
        ngx_iv_json_null(j, "checksums");
        return;
    }

    ngx_iv_json_object(j, "checksums");
    ngx_iv_json_hex(j, "md5", doc->md5, NGX_IV_MD5_LEN);
    ngx_iv_json_hex(j, "sha256", doc->sha256, NGX_IV_SHA256_LEN);
    ngx_iv_json_object_end(j);
}


void
ngx_http_image_vault_metadata_json(ngx_iv_json_t *j, const char *key,
    const ngx_iv_document_t *doc)
{
    ngx_iv_json_object(j, key);
    ngx_http_image_vault_metadata_members(j, doc);
    ngx_iv_json_object_end(j);
}


void
ngx_http_image_vault_metadata_members(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc)
{
    ngx_uint_t  i;

    ngx_iv_json_hex(j, "id", doc->id, NGX_IV_ID_LEN);
    ngx_iv_json_hex(j, "_id", doc->id, NGX_IV_ID_LEN);
    ngx_iv_json_str(j, "userId", &doc->owner);
    ngx_iv_json_str(j, "originalName", &doc->original_name);
    ngx_iv_json_str(j, "filename", &doc->filename);
    ngx_iv_json_str(j, "contentType", &doc->content_type);
    ngx_iv_json_int(j, "size", doc->size);
    ngx_http_image_vault_dimensions_json(j, doc);

    ngx_iv_json_object(j, "metadata");
    ngx_iv_json_date(j, "uploadedAt", doc->uploaded_at);
    ngx_iv_json_str(j, "uploadedFrom", &doc->uploaded_from);
    ngx_iv_json_array(j, "tags");

    for (i = 0; i < doc->ntags; i++) {
        ngx_iv_json_str(j, NULL, &doc->tags[i]);
    }

    ngx_iv_json_array_end(j);
    ngx_iv_json_object_end(j);

    ngx_iv_json_object(j, "access");
    ngx_iv_json_bool(j, "isPublic", doc->is_public);
    ngx_iv_json_array(j, "sharedWith");

    for (i = 0; i < doc->nshared; i++) {
        ngx_iv_json_str(j, NULL, &doc->shared_with[i]);
    }

    ngx_iv_json_array_end(j);

    ngx_iv_json_date_or_null(j, "expiresAt", doc->expires_at);

    ngx_iv_json_object_end(j);

    ngx_iv_json_cstr(j, "status", ngx_http_image_vault_statuses[doc->status]);
    ngx_http_image_vault_checksums_json(j, doc);

    ngx_iv_json_array(j, "variants");
    ngx_iv_json_array_end(j);
}


void
ngx_http_image_vault_admin_members(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc)
{
    if (doc->blocked_at) {
        ngx_iv_json_object(j, "blocked");
        ngx_iv_json_date(j, "at", doc->blocked_at);
        ngx_iv_json_str(j, "reason", &doc->blocked_reason);
        ngx_iv_json_object_end(j);

    } else {
        ngx_iv_json_null(j, "blocked");
    }

    ngx_iv_json_date_or_null(j, "deletedAt", doc->deleted_at);

    if (doc->error.len) {
        ngx_iv_json_str(j, "error", &doc->error);

    } else {
        ngx_iv_json_null(j, "error");
    }
}


const char *
ngx_http_image_vault_status_name(ngx_iv_status_e status)
{
    return ngx_http_image_vault_statuses[status];
}
