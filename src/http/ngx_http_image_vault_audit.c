/*
 * The trail of changes and of what admins do: who, what, which image, from
 * where, how it ended.
 */

#include "http/ngx_http_image_vault_api.h"


static void ngx_http_image_vault_trail_lost(void *data);
static ngx_uint_t ngx_http_image_vault_trail_foreign(
    const ngx_iv_audit_t *entry);


void
ngx_http_image_vault_audit(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const char *action, const u_char *id,
    const ngx_str_t *owner, ngx_int_t code, const ngx_str_t *detail)
{
    ngx_http_image_vault_trail_t  trail;

    if (ngx_http_image_vault_trail_begin(r, ctx, action, &trail) != NGX_OK) {
        return;
    }

    if (owner) {
        trail.entry.owner = *owner;
    }

    if (detail) {
        trail.entry.detail = *detail;
    }

    ngx_http_image_vault_trail_end(&trail, r->connection->log, id,
                                   (code == NGX_OK)
                                   ? NULL : &ngx_iv_code(code)->word);
}


ngx_int_t
ngx_http_image_vault_trail_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const char *action,
    ngx_http_image_vault_trail_t *trail)
{
    ngx_iv_audit_t                   *entry;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_memzero(trail, sizeof(ngx_http_image_vault_trail_t));

    if (!lcf->audit && !ctx->admin) {
        return NGX_DECLINED;
    }

    entry = &trail->entry;

    entry->who = ctx->owner;
    entry->admin = ctx->admin;
    entry->action.data = (u_char *) action;
    entry->action.len = ngx_strlen(action);

    if (ngx_http_image_vault_from(r, &entry->from) != NGX_OK) {
        /* the entry counts for more than where it came from */
        entry->from = r->connection->addr_text;
    }

    ngx_http_image_vault_request_id(r, &entry->request_id);

    trail->on = lcf->audit ? 1 : 0;
    trail->wanted = 1;

    return NGX_OK;
}


void
ngx_http_image_vault_trail_end(ngx_http_image_vault_trail_t *trail,
    ngx_log_t *log, const u_char *id, const ngx_str_t *outcome)
{
    ngx_iv_audit_t  *entry;

    trail->open = 0;

    if (!trail->wanted || ngx_http_image_vault_worker == NULL
        || ngx_http_image_vault_worker->metadata == NULL)
    {
        return;
    }

    entry = &trail->entry;

    entry->has_image = 0;

    if (id) {
        entry->has_image = 1;
        ngx_memcpy(entry->image, id, NGX_IV_ID_LEN);
    }

    if (outcome) {
        entry->outcome = *outcome;

    } else {
        ngx_str_set(&entry->outcome, "ok");
    }

    if (trail->on) {
        ngx_iv_audit_write(ngx_http_image_vault_worker->metadata, entry);
        return;
    }

    if (ngx_http_image_vault_trail_foreign(entry)) {
        ngx_iv_audit_log(log, entry);
    }
}


ngx_int_t
ngx_http_image_vault_trail_guard(ngx_http_request_t *r,
    ngx_http_image_vault_trail_t *trail, const u_char *id)
{
    ngx_pool_cleanup_t  *cln;

    if (!trail->wanted) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    if (id) {
        trail->entry.has_image = 1;
        ngx_memcpy(trail->entry.image, id, NGX_IV_ID_LEN);
    }

    trail->open = 1;

    cln->handler = ngx_http_image_vault_trail_lost;
    cln->data = trail;

    return NGX_OK;
}


static void
ngx_http_image_vault_trail_lost(void *data)
{
    ngx_http_image_vault_trail_t *trail = data;

    u_char  id[NGX_IV_ID_LEN];

    static const ngx_str_t  unknown = ngx_string("unknown");

    if (!trail->open) {
        return;
    }

    ngx_memcpy(id, trail->entry.image, NGX_IV_ID_LEN);

    ngx_http_image_vault_trail_end(trail, ngx_cycle->log,
                                   trail->entry.has_image ? id : NULL,
                                   &unknown);
}


/* what admins do to their own images, they do as owners */

static ngx_uint_t
ngx_http_image_vault_trail_foreign(const ngx_iv_audit_t *entry)
{
    if (!entry->admin) {
        return 0;
    }

    if (ngx_strncmp(entry->action.data, "admin-", sizeof("admin-") - 1) == 0) {
        return 1;
    }

    return entry->owner.len != entry->who.len
           || ngx_memcmp(entry->owner.data, entry->who.data, entry->who.len)
              != 0;
}


ngx_int_t
ngx_http_image_vault_from(ngx_http_request_t *r, ngx_str_t *from)
{
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    if (lcf->uploaded_from == NULL) {
        *from = r->connection->addr_text;
        return NGX_OK;
    }

    return ngx_http_complex_value(r, lcf->uploaded_from, from);
}
