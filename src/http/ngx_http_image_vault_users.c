/*
 * Users as admins see and change them: quota and preferences.  Where
 * image_vault_quota is on nowhere, their documents are the application's own.
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_args.h"

#define NGX_HTTP_IMAGE_VAULT_USERS   20
/* what every reader of JSON holds exactly */
#define NGX_HTTP_IMAGE_VAULT_LIMIT   9007199254740991LL
#define NGX_HTTP_IMAGE_VAULT_DAYS    36500


typedef struct {
    ngx_uint_t    limit;
    ngx_str_t     after;
} ngx_http_image_vault_users_t;


typedef struct {
    ngx_str_t     path;
    /* NULL, or what is wrong with the value */
    const char  *(*set)(const ngx_iv_json_node_t *node,
                        ngx_iv_user_patch_t *patch);
} ngx_http_image_vault_user_member_t;


static ngx_int_t ngx_http_image_vault_users_off(ngx_http_request_t *r);
static ngx_int_t ngx_http_image_vault_users_limit(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_users_cursor(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_users_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_user_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_user_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_user_parse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_user_patch_t *patch);
static const ngx_http_image_vault_user_member_t *
    ngx_http_image_vault_user_member(const ngx_iv_json_node_t *object,
    const ngx_iv_json_node_t *node);
static const char *ngx_http_image_vault_user_limit(
    const ngx_iv_json_node_t *node, ngx_iv_user_patch_t *patch);
static const char *ngx_http_image_vault_user_auto_delete(
    const ngx_iv_json_node_t *node, ngx_iv_user_patch_t *patch);
static const char *ngx_http_image_vault_user_expiry(
    const ngx_iv_json_node_t *node, ngx_iv_user_patch_t *patch);
static ngx_iv_metadata_op_t *ngx_http_image_vault_user_ask(
    ngx_http_request_t *r, ngx_http_image_vault_ctx_t *ctx,
    const char *action, const ngx_iv_user_patch_t *patch);
static ngx_int_t ngx_http_image_vault_user_detail(ngx_http_request_t *r,
    const ngx_iv_user_patch_t *patch, ngx_str_t *detail);
static ngx_int_t ngx_http_image_vault_user_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static void ngx_http_image_vault_user_json(ngx_iv_json_t *j, const char *key,
    const ngx_iv_user_t *user);


static const char  ngx_http_image_vault_users_bad_cursor[] =
    "is not one of this list";


static const ngx_http_image_vault_arg_t  ngx_http_image_vault_users_args[] = {

    { ngx_string("limit"), ngx_http_image_vault_users_limit,
      "must be a number from 1 on", 0 },

    { ngx_string("cursor"), ngx_http_image_vault_users_cursor,
      ngx_http_image_vault_users_bad_cursor, 0 },

    { ngx_null_string, NULL, NULL, 0 }
};


/* what a patch may have, as the document has it */

static const ngx_http_image_vault_user_member_t
    ngx_http_image_vault_user_members[] =
{
    { ngx_string("storageQuota.limit"), ngx_http_image_vault_user_limit },

    { ngx_string("preferences.autoDelete"),
      ngx_http_image_vault_user_auto_delete },

    { ngx_string("preferences.defaultExpiry"),
      ngx_http_image_vault_user_expiry },

    { ngx_null_string, NULL }
};


ngx_int_t
ngx_http_image_vault_users(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_iv_metadata_op_t          *op;
    ngx_http_image_vault_users_t  *users;

    rc = ngx_http_image_vault_users_off(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    users = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_users_t));
    if (users == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    users->limit = NGX_HTTP_IMAGE_VAULT_USERS;

    rc = ngx_http_image_vault_args(r, ngx_http_image_vault_users_args, users);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_users_told,
                                  users);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_users(op, &users->after, users->limit);

    return NGX_DONE;
}


/* NGX_DECLINED: go on; else it is answered.  So below */

static ngx_int_t
ngx_http_image_vault_users_off(ngx_http_request_t *r)
{
    static const ngx_str_t  message =
        ngx_string("users are not kept here: image_vault_quota is off");

    if (ngx_iv_metadata_has_quota(ngx_http_image_vault_worker->metadata)) {
        return NGX_DECLINED;
    }

    return ngx_http_image_vault_refuse(r, NGX_IV_CONFLICT,
                                       "image_vault_quota is off", &message);
}


static ngx_int_t
ngx_http_image_vault_users_limit(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_users_t *users = data;

    return ngx_iv_args_limit(value, NGX_IV_LIST_MAX, &users->limit);
}


static ngx_int_t
ngx_http_image_vault_users_cursor(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_users_t *users = data;

    return ngx_http_image_vault_set_after(&users->after, value);
}


static ngx_int_t
ngx_http_image_vault_users_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_users_t *users = data;

    ngx_str_t      json;
    ngx_uint_t     i;
    ngx_iv_json_t  j;

    static const ngx_str_t  cursor = ngx_string("cursor");

    ngx_http_image_vault_audit(r, ctx, "admin-users", NULL, NULL, op->code,
                               NULL);

    if (op->code == NGX_IV_BAD_PARAMETER) {
        return ngx_http_image_vault_bad_member(r, &cursor,
                                       ngx_http_image_vault_users_bad_cursor);
    }

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ngx_iv_json_init(&j, r->pool, 256 + 192 * op->found->nusers);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_array(&j, "users");

    for (i = 0; i < op->found->nusers; i++) {
        ngx_http_image_vault_user_json(&j, NULL, &op->found->users[i]);
    }

    ngx_iv_json_array_end(&j);

    ngx_iv_json_object(&j, "pagination");
    ngx_iv_json_int(&j, "limit", users->limit);

    if (ngx_http_image_vault_json_next(r, &j, &op->found->next) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_json_object_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


ngx_int_t
ngx_http_image_vault_user(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_metadata_op_t  *op;

    rc = ngx_http_image_vault_user_id(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_http_image_vault_user_ask(r, ctx, "admin-user", NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_user(op, &ctx->target);

    return NGX_DONE;
}


ngx_int_t
ngx_http_image_vault_user_patch(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_image_vault_user_id(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_user_body);
}


/* the path is the request's: only a copy may be changed */

static ngx_int_t
ngx_http_image_vault_user_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    u_char     *p;
    ngx_int_t   rc;

    rc = ngx_http_image_vault_users_off(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!ngx_iv_owner_valid(&ctx->target)) {
        return ngx_http_image_vault_error(r, NGX_IV_NOT_FOUND,
                                          "not an owner");
    }

    p = ngx_pstrdup(r->pool, &ctx->target);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->target.data = p;

    ngx_http_image_vault_fold_owner(&ctx->target);

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_user_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_user_patch_t    patch;
    ngx_iv_metadata_op_t  *op;

    ngx_memzero(&patch, sizeof(ngx_iv_user_patch_t));

    rc = ngx_http_image_vault_user_parse(r, ctx, &patch);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    op = ngx_http_image_vault_user_ask(r, ctx, "admin-user-patch", &patch);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (patch.has_limit || patch.has_auto_delete || patch.has_default_expiry) {
        patch.id = ctx->target;
        ngx_iv_metadata_user_patch(op, &patch);

    } else {
        /* an empty patch changes nothing */
        ngx_iv_metadata_user(op, &ctx->target);
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_user_parse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_user_patch_t *patch)
{
    const char                                *why;
    ngx_iv_json_node_t                        *object, *node;
    const ngx_http_image_vault_user_member_t  *m;

    static const char  *objects[] = { "storageQuota", "preferences", NULL };

    node = ngx_http_image_vault_unknown_member(ctx, objects);

    if (node) {
        return ngx_http_image_vault_bad_member(r, &node->key, "is not known");
    }

    for (object = ctx->json->first; object; object = object->next) {

        if (object->type != NGX_IV_JSON_OBJECT) {
            return ngx_http_image_vault_bad_member(r, &object->key,
                                                   "must be an object");
        }

        for (node = object->first; node; node = node->next) {

            m = ngx_http_image_vault_user_member(object, node);

            if (m == NULL) {
                return ngx_http_image_vault_bad_member(r, &node->key,
                                                       "is not known");
            }

            why = m->set(node, patch);

            if (why) {
                return ngx_http_image_vault_bad_member(r, &m->path, why);
            }
        }
    }

    return NGX_DECLINED;
}


static const ngx_http_image_vault_user_member_t *
ngx_http_image_vault_user_member(const ngx_iv_json_node_t *object,
    const ngx_iv_json_node_t *node)
{
    size_t                                     n;
    const ngx_str_t                           *path;
    const ngx_http_image_vault_user_member_t  *m;

    n = object->key.len;

    for (m = ngx_http_image_vault_user_members; m->set; m++) {
        path = &m->path;

        if (path->len == n + 1 + node->key.len
            && ngx_memcmp(path->data, object->key.data, n) == 0
            && path->data[n] == '.'
            && ngx_memcmp(path->data + n + 1, node->key.data, node->key.len)
               == 0)
        {
            return m;
        }
    }

    return NULL;
}


static const char *
ngx_http_image_vault_user_limit(const ngx_iv_json_node_t *node,
    ngx_iv_user_patch_t *patch)
{
    patch->has_limit = 1;

    if (node->type == NGX_IV_JSON_NULL) {
        patch->limit = NGX_IV_QUOTA_NONE;
        return NULL;
    }

    if (node->type != NGX_IV_JSON_NUMBER || !node->integer || node->num < 0
        || node->num > NGX_HTTP_IMAGE_VAULT_LIMIT)
    {
        return "must be a whole number of bytes or null";
    }

    patch->limit = node->num;

    return NULL;
}


static const char *
ngx_http_image_vault_user_auto_delete(const ngx_iv_json_node_t *node,
    ngx_iv_user_patch_t *patch)
{
    if (node->type != NGX_IV_JSON_BOOL) {
        return "must be true or false";
    }

    patch->has_auto_delete = 1;
    patch->auto_delete = node->num ? 1 : 0;

    return NULL;
}


static const char *
ngx_http_image_vault_user_expiry(const ngx_iv_json_node_t *node,
    ngx_iv_user_patch_t *patch)
{
    patch->has_default_expiry = 1;

    if (node->type == NGX_IV_JSON_NULL) {
        patch->default_expiry = 0;
        return NULL;
    }

    if (node->type != NGX_IV_JSON_NUMBER || !node->integer || node->num < 1
        || node->num > NGX_HTTP_IMAGE_VAULT_DAYS)
    {
        return "must be a whole number of days, 1 to 36500, or null";
    }

    patch->default_expiry = node->num;

    return NULL;
}


/* what is asked for is in the trail, also if nobody waits for the answer */

static ngx_iv_metadata_op_t *
ngx_http_image_vault_user_ask(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, const char *action,
    const ngx_iv_user_patch_t *patch)
{
    ngx_iv_metadata_op_t          *op;
    ngx_http_image_vault_trail_t  *trail;

    trail = ngx_palloc(r->pool, sizeof(ngx_http_image_vault_trail_t));
    if (trail == NULL) {
        return NULL;
    }

    (void) ngx_http_image_vault_trail_begin(r, ctx, action, trail);

    trail->entry.owner = ctx->target;

    if (patch
        && ngx_http_image_vault_user_detail(r, patch, &trail->entry.detail)
           != NGX_OK)
    {
        return NULL;
    }

    if (ngx_http_image_vault_trail_guard(r, trail, NULL) != NGX_OK) {
        return NULL;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_user_told,
                                  trail);
    if (op == NULL) {
        ngx_http_image_vault_trail_end(trail, r->connection->log, NULL,
                                       &ngx_iv_code(NGX_IV_INTERNAL)->word);
    }

    return op;
}


/* the new values */

static ngx_int_t
ngx_http_image_vault_user_detail(ngx_http_request_t *r,
    const ngx_iv_user_patch_t *patch, ngx_str_t *detail)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, sizeof("limit=, autoDelete=false, "
                                    "defaultExpiry=, ")
                             + 2 * NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    detail->data = p;

    if (patch->has_limit && patch->limit == NGX_IV_QUOTA_NONE) {
        p = ngx_sprintf(p, "limit=null, ");

    } else if (patch->has_limit) {
        p = ngx_sprintf(p, "limit=%L, ", patch->limit);
    }

    if (patch->has_auto_delete) {
        p = ngx_sprintf(p, "autoDelete=%s, ",
                        patch->auto_delete ? "true" : "false");
    }

    if (patch->has_default_expiry && patch->default_expiry == 0) {
        p = ngx_sprintf(p, "defaultExpiry=null, ");

    } else if (patch->has_default_expiry) {
        p = ngx_sprintf(p, "defaultExpiry=%L, ", patch->default_expiry);
    }

    if (p > detail->data) {
        p -= sizeof(", ") - 1;
    }

    detail->len = p - detail->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_user_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_trail_t *trail = data;

    ngx_str_t      json;
    ngx_iv_json_t  j;

    ngx_http_image_vault_trail_end(trail, r->connection->log, NULL,
                                   (op->code == NGX_OK)
                                   ? NULL : &ngx_iv_code(op->code)->word);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ngx_iv_json_init(&j, r->pool, 256);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_http_image_vault_user_json(&j, "user", &op->found->users[0]);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


static void
ngx_http_image_vault_user_json(ngx_iv_json_t *j, const char *key,
    const ngx_iv_user_t *user)
{
    ngx_iv_json_object(j, key);
    ngx_iv_json_str(j, "id", &user->id);

    ngx_iv_json_object(j, "storageQuota");

    if (user->used == -1) {
        ngx_iv_json_null(j, "used");

    } else {
        ngx_iv_json_int(j, "used", user->used);
    }

    if (user->limit == NGX_IV_QUOTA_NONE) {
        ngx_iv_json_null(j, "limit");

    } else {
        ngx_iv_json_int(j, "limit", user->limit);
    }

    ngx_iv_json_object_end(j);

    ngx_iv_json_object(j, "preferences");
    ngx_iv_json_bool(j, "autoDelete", user->auto_delete);

    if (user->default_expiry) {
        ngx_iv_json_int(j, "defaultExpiry", user->default_expiry);

    } else {
        ngx_iv_json_null(j, "defaultExpiry");
    }

    ngx_iv_json_object_end(j);
    ngx_iv_json_object_end(j);
}
