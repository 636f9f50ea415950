/*
 * The ownership cache as requests see it: what an entry allows, and what of a
 * document becomes an entry.
 */

#include "http/ngx_http_image_vault_api.h"


static ngx_int_t ngx_http_image_vault_cached_entry(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_iv_cache_found_t *found);
static ngx_uint_t ngx_http_image_vault_entry_may_read(
    const ngx_http_image_vault_ctx_t *ctx, const ngx_iv_cache_entry_t *entry);
static u_char *ngx_http_image_vault_entry_str(u_char *p, ngx_str_t *dst,
    const ngx_str_t *src);


ngx_int_t
ngx_http_image_vault_cached(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx,
    const ngx_http_image_vault_loc_conf_t *lcf)
{
    int64_t                         now;
    ngx_http_image_vault_worker_t  *w;

    w = ngx_http_image_vault_worker;
    now = ngx_iv_now();

    ngx_iv_cache_clock(w->cache, now);

    switch (ngx_iv_cache_get(w->cache, ctx->id, now, lcf->cache_valid,
                             lcf->cache_negative, w->found))
    {

    case NGX_IV_CACHE_HIT:
        return ngx_http_image_vault_cached_entry(r, ctx, w->found);

    case NGX_IV_CACHE_NEGATIVE:
        ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_NEGATIVE;
        return NGX_IV_NOT_FOUND;

    case NGX_IV_CACHE_EXPIRED:
        ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_EXPIRED;
        return NGX_DECLINED;

    default:
        ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_MISS;
        return NGX_DECLINED;
    }
}


/*
 * An entry lets somebody in for longer than it turns somebody away.  To a
 * stranger it looks like that of an image that does not exist.
 */

static ngx_int_t
ngx_http_image_vault_cached_entry(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const ngx_iv_cache_found_t *found)
{
    ngx_int_t           code;
    ngx_iv_document_t  *doc;

    if (!ngx_http_image_vault_entry_may_read(ctx, &found->entry)) {

        if (!found->may_refuse) {
            ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_EXPIRED;
            return NGX_DECLINED;
        }

        ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_NEGATIVE;
        ctx->refusal = "not allowed";
        ngx_http_image_vault_count(NGX_IV_COUNT_DENIED, 1);

        return NGX_IV_NOT_FOUND;
    }

    doc = ngx_http_image_vault_entry_document(r->pool, ctx->id,
                                              &found->entry);
    if (doc == NULL) {
        return NGX_ERROR;
    }

    code = ngx_http_image_vault_state(ctx, doc);

    if (code != NGX_OK && !found->may_refuse) {
        ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_EXPIRED;
        return NGX_DECLINED;
    }

    ctx->cache = NGX_HTTP_IMAGE_VAULT_CACHE_HIT;
    ctx->document = doc;

    if (found->ages) {
        ngx_http_image_vault_refresh(ctx->id);
    }

    return code;
}


static ngx_uint_t
ngx_http_image_vault_entry_may_read(const ngx_http_image_vault_ctx_t *ctx,
    const ngx_iv_cache_entry_t *entry)
{
    if (ctx->admin || entry->is_public) {
        return 1;
    }

    return ctx->owner.len
           && (ngx_iv_equal(&entry->owner, &ctx->owner)
               || ngx_iv_cache_shared_with(entry, &ctx->owner));
}


ngx_iv_document_t *
ngx_http_image_vault_entry_document(ngx_pool_t *pool,
    const u_char id[NGX_IV_ID_LEN], const ngx_iv_cache_entry_t *entry)
{
    u_char             *p;
    ngx_iv_document_t  *doc;

    doc = ngx_palloc(pool, sizeof(ngx_iv_document_t) + entry->storage.len
                           + entry->key.len + entry->owner.len
                           + entry->type.len + entry->name.len
                           + entry->reason.len);
    if (doc == NULL) {
        return NULL;
    }

    ngx_memzero(doc, sizeof(ngx_iv_document_t));
    ngx_memcpy(doc->id, id, NGX_IV_ID_LEN);

    p = (u_char *) doc + sizeof(ngx_iv_document_t);

    p = ngx_http_image_vault_entry_str(p, &doc->storage, &entry->storage);
    p = ngx_http_image_vault_entry_str(p, &doc->key, &entry->key);
    p = ngx_http_image_vault_entry_str(p, &doc->owner, &entry->owner);
    p = ngx_http_image_vault_entry_str(p, &doc->content_type, &entry->type);
    p = ngx_http_image_vault_entry_str(p, &doc->original_name, &entry->name);
    (void) ngx_http_image_vault_entry_str(p, &doc->blocked_reason,
                                          &entry->reason);

    doc->size = entry->size;
    doc->expires_at = entry->expires_at;
    doc->updated_at = entry->updated_at;
    doc->status = (ngx_iv_status_e) entry->status;
    doc->is_public = entry->is_public;
    doc->blocked_at = entry->blocked;
    doc->has_checksums = entry->has_sha256;

    if (entry->has_sha256) {
        ngx_memcpy(doc->sha256, entry->sha256, NGX_IV_SHA256_LEN);
    }

    return doc;
}


static u_char *
ngx_http_image_vault_entry_str(u_char *p, ngx_str_t *dst,
    const ngx_str_t *src)
{
    if (src->len == 0) {
        return p;
    }

    dst->len = src->len;
    dst->data = p;

    return ngx_cpymem(p, src->data, src->len);
}


void
ngx_http_image_vault_document_entry(const ngx_iv_document_t *doc,
    ngx_iv_cache_entry_t *entry)
{
    ngx_memzero(entry, sizeof(ngx_iv_cache_entry_t));

    entry->storage = doc->storage;
    entry->key = doc->key;
    entry->owner = doc->owner;
    entry->type = doc->content_type;
    entry->name = doc->original_name;
    entry->shares = doc->shared_with;
    entry->nshares = doc->nshared;
    entry->size = doc->size;
    entry->expires_at = doc->expires_at;
    entry->updated_at = doc->updated_at;
    entry->status = doc->status;
    entry->is_public = doc->is_public ? 1 : 0;

    if (doc->blocked_at) {
        entry->blocked = 1;
        entry->reason = doc->blocked_reason;
    }

    if (doc->has_checksums) {
        entry->has_sha256 = 1;
        ngx_memcpy(entry->sha256, doc->sha256, NGX_IV_SHA256_LEN);
    }
}
