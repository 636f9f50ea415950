/*
 * GET user: the images of an owner, page by page, or behind a cursor; and the
 * same for admins.
 */

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_lists.h"
#include "formats/ngx_iv_args.h"
#include "formats/ngx_iv_fields.h"

#define NGX_HTTP_IMAGE_VAULT_LIST_LIMIT  20
#define NGX_HTTP_IMAGE_VAULT_LIST_PAGES  10000000
#define NGX_HTTP_IMAGE_VAULT_LIST_Q      1024   /* bytes */

/* what an image and its URL take at least, for the first buffer */
#define NGX_HTTP_IMAGE_VAULT_LIST_IMAGE  704
#define NGX_HTTP_IMAGE_VAULT_LIST_URL    512


typedef struct {
    ngx_pool_t       *pool;
    ngx_iv_list_t     list;
    ngx_iv_fields_t   fields;       /* tags as an upload has them */
    ngx_str_t         cursor;
    int64_t           page;         /* 0: not given */
    unsigned          has_cursor:1;
    unsigned          urls:1;
    unsigned          admin:1;      /* …_LIST_ADMIN */
} ngx_http_image_vault_list_t;


static ngx_int_t ngx_http_image_vault_list_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_list_t *l);
static ngx_int_t ngx_http_image_vault_list_place(ngx_http_request_t *r,
    ngx_http_image_vault_list_t *l);
static ngx_int_t ngx_http_image_vault_list_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_list_next(ngx_http_request_t *r,
    ngx_http_image_vault_list_t *l, ngx_iv_found_t *found, ngx_str_t *next);
static size_t ngx_http_image_vault_list_size(ngx_http_image_vault_list_t *l,
    ngx_iv_found_t *found);
static void ngx_http_image_vault_list_image(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_list_t *l,
    ngx_iv_json_t *j, const ngx_iv_document_t *doc);
static void ngx_http_image_vault_list_url(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_json_t *j,
    const ngx_iv_document_t *doc);
static void ngx_http_image_vault_list_pages(ngx_http_image_vault_list_t *l,
    ngx_iv_json_t *j, int64_t total);

static ngx_int_t ngx_http_image_vault_list_set_page(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_limit(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_cursor(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_tag(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_status(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_type(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_public(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_q(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_from(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_to(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_sort(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_order(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_urls(void *data,
    const ngx_str_t *value);
static ngx_int_t ngx_http_image_vault_list_set_user(void *data,
    const ngx_str_t *value);


#define NGX_HTTP_IMAGE_VAULT_LIST_TAG_WHAT                                    \
    "must be up to 64 characters of UTF-8, no control characters, and there " \
    "may be 50"

static const ngx_http_image_vault_arg_t  ngx_http_image_vault_list_args[] = {

    { ngx_string("page"), ngx_http_image_vault_list_set_page,
      "must be a number from 1 to 10000000", 0 },

    { ngx_string("limit"), ngx_http_image_vault_list_set_limit,
      "must be a number from 1 on", 0 },

    { ngx_string("cursor"), ngx_http_image_vault_list_set_cursor,
      NULL, NGX_HTTP_IMAGE_VAULT_ARG_EMPTY },

    { ngx_string("tag"), ngx_http_image_vault_list_set_tag,
      NGX_HTTP_IMAGE_VAULT_LIST_TAG_WHAT, NGX_HTTP_IMAGE_VAULT_ARG_MANY },

    /* as axios and jQuery write an array */

    { ngx_string("tag[]"), ngx_http_image_vault_list_set_tag,
      NGX_HTTP_IMAGE_VAULT_LIST_TAG_WHAT, NGX_HTTP_IMAGE_VAULT_ARG_MANY },

    { ngx_string("status"), ngx_http_image_vault_list_set_status,
      "must be uploading, processing, ready or error", 0 },

    { ngx_string("type"), ngx_http_image_vault_list_set_type,
      "must be a media type as image/png", 0 },

    { ngx_string("public"), ngx_http_image_vault_list_set_public,
      "must be true or false", 0 },

    { ngx_string("q"), ngx_http_image_vault_list_set_q,
      "must be up to 1024 bytes of UTF-8 without control characters", 0 },

    { ngx_string("from"), ngx_http_image_vault_list_set_from,
      "must be a date, with a time zone if it has a time", 0 },

    { ngx_string("to"), ngx_http_image_vault_list_set_to,
      "must be a date, with a time zone if it has a time", 0 },

    { ngx_string("sort"), ngx_http_image_vault_list_set_sort,
      "must be uploadedAt, size or name", 0 },

    { ngx_string("order"), ngx_http_image_vault_list_set_order,
      "must be asc or desc", 0 },

    { ngx_string("urls"), ngx_http_image_vault_list_set_urls,
      "must be 1 or 0", 0 },

    { ngx_string("userId"), ngx_http_image_vault_list_set_user,
      "must be a user's id", 0 },

    { ngx_null_string, NULL, NULL, 0 }
};


ngx_int_t
ngx_http_image_vault_list_own(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_list(r, ctx, 0);
}


ngx_int_t
ngx_http_image_vault_list(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_uint_t flags)
{
    ngx_int_t                     rc;
    ngx_http_image_vault_list_t  *l;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    l = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_list_t));
    if (l == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    l->pool = r->pool;
    l->admin = (flags & NGX_HTTP_IMAGE_VAULT_LIST_ADMIN) ? 1 : 0;
    l->list.status = NGX_IV_STATUS_READY;
    l->list.is_public = -1;
    l->list.limit = NGX_HTTP_IMAGE_VAULT_LIST_LIMIT;
    l->list.desc = 1;
    l->list.deleted = l->admin;

    ngx_iv_fields_init(&l->fields, r->pool);

    rc = ngx_http_image_vault_args(r, ngx_http_image_vault_list_args, l);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (!l->admin || l->list.owner.len) {

        rc = ngx_http_image_vault_for_user(r, ctx, &l->list.owner);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return ngx_http_image_vault_list_begin(r, ctx, l);
}


static ngx_int_t
ngx_http_image_vault_list_begin(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_list_t *l)
{
    ngx_int_t              rc;
    ngx_iv_metadata_op_t  *op;

    l->list.tags = l->fields.tags;
    l->list.ntags = l->fields.ntags;

    rc = ngx_http_image_vault_list_place(r, l);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_list_told, l);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_images(op, &l->list);

    return NGX_DONE;
}


/* where the list begins: a cursor wants the filters before it is read.
 * NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_list_place(ngx_http_request_t *r,
    ngx_http_image_vault_list_t *l)
{
    ngx_int_t  rc;

    static const ngx_str_t  name = ngx_string("cursor");

    if (!l->has_cursor) {
        l->page = ngx_max(l->page, 1);
        l->list.skip = (ngx_uint_t) (l->page - 1) * l->list.limit;
        l->list.want_total = 1;
        return NGX_DECLINED;
    }

    if (l->page) {
        return ngx_http_image_vault_bad_member(r, &name,
                                               "and page exclude each other");
    }

    if (l->cursor.len == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_iv_cursor_decode(r->pool, &l->cursor, &l->list);

    if (rc == NGX_IV_BAD_PARAMETER) {
        return ngx_http_image_vault_bad_member(r, &name,
                                               "is none of this list");
    }

    return (rc == NGX_OK) ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


static ngx_int_t
ngx_http_image_vault_list_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_str_t        json, next;
    ngx_uint_t       i;
    ngx_iv_json_t    j;
    ngx_iv_found_t  *found;

    if (l->admin) {
        ngx_http_image_vault_audit(r, ctx, "admin-images", NULL,
                                   l->list.owner.len ? &l->list.owner : NULL,
                                   op->code, NULL);
    }

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    found = op->found;

    if (ngx_http_image_vault_list_next(r, l, found, &next) != NGX_OK) {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "no cursor could be made");
    }

    ngx_iv_json_init(&j, r->pool, ngx_http_image_vault_list_size(l, found));

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_array(&j, "images");

    for (i = 0; i < found->ndocuments; i++) {
        ngx_http_image_vault_list_image(r, ctx, l, &j, &found->documents[i]);
    }

    ngx_iv_json_array_end(&j);
    ngx_iv_json_object(&j, "pagination");

    if (!l->has_cursor) {
        ngx_http_image_vault_list_pages(l, &j, found->total);

    } else {
        ngx_iv_json_int(&j, "limit", l->list.limit);

        if (next.len) {
            ngx_iv_json_str(&j, "next", &next);

        } else {
            ngx_iv_json_null(&j, "next");
        }
    }

    ngx_iv_json_object_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "list";
    ngx_http_image_vault_count(NGX_IV_COUNT_READS, 1);

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


/*
 * A name that another program wrote may be too long for a cursor: the page then
 * ends with the last one that is not.
 */

static ngx_int_t
ngx_http_image_vault_list_next(ngx_http_request_t *r,
    ngx_http_image_vault_list_t *l, ngx_iv_found_t *found, ngx_str_t *next)
{
    ngx_int_t   rc;
    ngx_uint_t  n;

    ngx_str_null(next);

    if (!l->has_cursor || !found->more) {
        return NGX_OK;
    }

    for (n = found->ndocuments; n; n--) {

        rc = ngx_iv_cursor_encode(r->pool, &l->list,
                                  &found->documents[n - 1], next);

        if (rc != NGX_DECLINED) {
            found->ndocuments = n;
            return rc;
        }
    }

    return NGX_ERROR;
}


static size_t
ngx_http_image_vault_list_size(ngx_http_image_vault_list_t *l,
    ngx_iv_found_t *found)
{
    size_t              size;
    ngx_uint_t          i, k;
    ngx_iv_document_t  *doc;

    size = 256 + NGX_IV_CURSOR_NAME;

    for (i = 0; i < found->ndocuments; i++) {

        doc = &found->documents[i];

        size += NGX_HTTP_IMAGE_VAULT_LIST_IMAGE + doc->owner.len
                + doc->original_name.len + doc->filename.len
                + doc->content_type.len + doc->uploaded_from.len
                + doc->blocked_reason.len + doc->error.len;

        for (k = 0; k < doc->ntags; k++) {
            size += doc->tags[k].len + sizeof("\"\",") - 1;
        }

        for (k = 0; k < doc->nshared; k++) {
            size += doc->shared_with[k].len + sizeof("\"\",") - 1;
        }

        if (l->urls) {
            size += NGX_HTTP_IMAGE_VAULT_LIST_URL + doc->key.len;
        }
    }

    return size;
}


static void
ngx_http_image_vault_list_image(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_list_t *l,
    ngx_iv_json_t *j, const ngx_iv_document_t *doc)
{
    ngx_iv_json_object(j, NULL);
    ngx_http_image_vault_metadata_members(j, doc);

    if (l->urls) {
        ngx_http_image_vault_list_url(r, ctx, j, doc);
    }

    if (l->admin) {
        ngx_http_image_vault_admin_members(j, doc);
    }

    ngx_iv_json_object_end(j);
}


/* null where a GET of the image would be refused, or no URL can be made: the
 * reason is in the log, and the other images are shown all the same */

static void
ngx_http_image_vault_list_url(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_json_t *j,
    const ngx_iv_document_t *doc)
{
    time_t     expires, rest;
    ngx_str_t  url;

    if (doc->deleted_at
        || ngx_http_image_vault_state(ctx, doc) != NGX_OK
        || ngx_http_image_vault_url(r, doc, 0, 0, 1, &url, &expires, &rest)
           != NGX_OK)
    {
        ngx_iv_json_null(j, "url");
        ngx_iv_json_null(j, "urlExpiresAt");
        return;
    }

    ngx_iv_json_str(j, "url", &url);

    ngx_iv_json_date_or_null(j, "urlExpiresAt", (int64_t) expires * 1000);
}


static void
ngx_http_image_vault_list_pages(ngx_http_image_vault_list_t *l,
    ngx_iv_json_t *j, int64_t total)
{
    int64_t  limit;

    limit = (int64_t) l->list.limit;
    total = ngx_max(total, 0);

    ngx_iv_json_int(j, "page", l->page);
    ngx_iv_json_int(j, "limit", limit);
    ngx_iv_json_int(j, "total", total);
    ngx_iv_json_int(j, "pages", (total + limit - 1) / limit);
}


static ngx_int_t
ngx_http_image_vault_list_set_page(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    if (ngx_iv_args_number(value, NGX_HTTP_IMAGE_VAULT_LIST_PAGES, &l->page)
        != NGX_OK
        || l->page < 1 || l->page > NGX_HTTP_IMAGE_VAULT_LIST_PAGES)
    {
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_limit(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    return ngx_iv_args_limit(value, NGX_IV_LIST_MAX, &l->list.limit);
}


static ngx_int_t
ngx_http_image_vault_list_set_cursor(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    l->has_cursor = 1;
    l->cursor = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_tag(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_int_t  rc;

    /* one tag, whatever is in it */

    static const ngx_str_t  item = ngx_string("tags[]");

    rc = ngx_iv_fields_add(&l->fields, &item, value);

    return (rc == NGX_IV_BAD_PARAMETER) ? NGX_DECLINED : rc;
}


static ngx_int_t
ngx_http_image_vault_list_set_status(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_int_t  i;

    /* as ngx_iv_status_e */

    static const char *const  words[] = {
        "uploading", "processing", "ready", "error", "any", NULL
    };

    i = ngx_iv_args_word(value, words);

    if (i == NGX_IV_STATUS_ERROR + 1 && l->admin) {
        l->list.status = NGX_IV_STATUS_ANY;
        return NGX_OK;
    }

    if (i < 0 || i > NGX_IV_STATUS_ERROR) {
        return NGX_DECLINED;
    }

    l->list.status = i;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_type(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    return ngx_iv_args_type(l->pool, value, &l->list.type);
}


static ngx_int_t
ngx_http_image_vault_list_set_public(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_uint_t  yes;

    if (ngx_iv_args_bool(value, &yes) != NGX_OK) {
        return NGX_DECLINED;
    }

    l->list.is_public = (ngx_int_t) yes;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_q(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    if (!ngx_iv_args_text(value, NGX_HTTP_IMAGE_VAULT_LIST_Q)) {
        return NGX_DECLINED;
    }

    l->list.q = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_from(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    return ngx_iv_args_date(value, 0, &l->list.from);
}


static ngx_int_t
ngx_http_image_vault_list_set_to(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    if (ngx_iv_args_date(value, 1, &l->list.to) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (l->list.to == 0) {

        /* 0 would be no bound at all */

        l->list.to = -1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_sort(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_int_t  i;

    /* as ngx_iv_sort_e */

    static const char *const  words[] = { "uploadedAt", "size", "name", NULL };

    i = ngx_iv_args_word(value, words);

    if (i < 0) {
        return NGX_DECLINED;
    }

    l->list.sort = (ngx_iv_sort_e) i;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_order(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_int_t  i;

    static const char *const  words[] = { "asc", "desc", NULL };

    i = ngx_iv_args_word(value, words);

    if (i < 0) {
        return NGX_DECLINED;
    }

    l->list.desc = i ? 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_urls(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    ngx_uint_t  yes;

    if (ngx_iv_args_bool(value, &yes) != NGX_OK) {
        return NGX_DECLINED;
    }

    l->urls = yes ? 1 : 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_list_set_user(void *data, const ngx_str_t *value)
{
    ngx_http_image_vault_list_t *l = data;

    return ngx_http_image_vault_set_user(&l->list.owner, value);
}
