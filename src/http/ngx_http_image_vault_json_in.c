/*
 * The JSON body of a request, in memory.
 */

#include "http/ngx_http_image_vault_api.h"

/* how much of a name of the client's is shown */
#define NGX_HTTP_IMAGE_VAULT_SHOWN  64
/* what is taken at first of a body of unknown length */
#define NGX_HTTP_IMAGE_VAULT_TEXT   4096


typedef struct {
    ngx_http_request_t            *request;
    ngx_http_image_vault_ctx_t    *ctx;
    ngx_http_image_vault_next_pt   next;
    ngx_http_image_vault_sink_t    sink;
    ngx_str_t                      text;
    size_t                         size;        /* allocated */
} ngx_http_image_vault_json_in_t;


static ngx_int_t ngx_http_image_vault_json_feed(void *data, u_char **pos,
    u_char *last);
static ngx_int_t ngx_http_image_vault_json_grow(
    ngx_http_image_vault_json_in_t *in, size_t size);
static void ngx_http_image_vault_json_end(void *data);
static void ngx_http_image_vault_json_fail(void *data, ngx_int_t code,
    const char *why);
static void ngx_http_image_vault_json_gone(void *data);
static ngx_int_t ngx_http_image_vault_json_parse(
    ngx_http_image_vault_json_in_t *in);
static ngx_int_t ngx_http_image_vault_json_refuse(ngx_http_request_t *r,
    const char *why);


ngx_uint_t
ngx_http_image_vault_is_json(ngx_http_request_t *r)
{
    u_char     *p, *last;
    ngx_str_t  *type;

    static const ngx_str_t  json = ngx_string("application/json");

    if (r->headers_in.content_type == NULL) {
        return 0;
    }

    type = &r->headers_in.content_type->value;

    if (type->len < json.len
        || ngx_strncasecmp(type->data, json.data, json.len) != 0)
    {
        return 0;
    }

    p = type->data + json.len;
    last = type->data + type->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return p == last || *p == ';';
}


ngx_int_t
ngx_http_image_vault_read_json(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_next_pt next)
{
    off_t                            size;
    ngx_int_t                        rc;
    ngx_http_image_vault_json_in_t  *in;

    size = r->headers_in.content_length_n;

    if (size > NGX_IV_JSON_READ_SIZE) {
        return ngx_http_image_vault_error(r, NGX_IV_TOO_LARGE,
                                          "a JSON body above 1 MiB");
    }

    if (ngx_http_image_vault_body_taken(r)) {
        return ngx_http_image_vault_error(r, NGX_IV_INTERNAL,
                                          "the body was read in part by "
                                          "another handler");
    }

    in = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_json_in_t));
    if (in == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    in->request = r;
    in->ctx = ctx;
    in->next = next;
    in->sink.feed = ngx_http_image_vault_json_feed;
    in->sink.end = ngx_http_image_vault_json_end;
    in->sink.fail = ngx_http_image_vault_json_fail;
    in->sink.gone = ngx_http_image_vault_json_gone;
    in->sink.data = in;

    if (size > 0
        && ngx_http_image_vault_json_grow(in, (size_t) size) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->sink = &in->sink;

    rc = ngx_http_image_vault_body_start(r, ctx);

    if (rc != NGX_HTTP_BAD_REQUEST) {
        return rc;
    }

    if (ngx_http_image_vault_body_gone(r)) {
        ctx->result = "aborted";
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    return ngx_http_image_vault_error(r, NGX_IV_LENGTH_MISMATCH, NULL);
}


static ngx_int_t
ngx_http_image_vault_json_feed(void *data, u_char **pos, u_char *last)
{
    ngx_http_image_vault_json_in_t *in = data;

    size_t  n, size;

    n = last - *pos;

    if (n > NGX_IV_JSON_READ_SIZE - in->text.len) {
        return NGX_IV_TOO_LARGE;
    }

    if (in->text.len + n > in->size) {
        size = ngx_max(2 * in->size, NGX_HTTP_IMAGE_VAULT_TEXT);

        if (ngx_http_image_vault_json_grow(in, ngx_max(size,
                                                       in->text.len + n))
            != NGX_OK)
        {
            return NGX_IV_INTERNAL;
        }
    }

    ngx_memcpy(in->text.data + in->text.len, *pos, n);

    in->text.len += n;
    *pos = last;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_json_grow(ngx_http_image_vault_json_in_t *in, size_t size)
{
    u_char  *p;

    p = ngx_pnalloc(in->request->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (in->text.len) {
        ngx_memcpy(p, in->text.data, in->text.len);
    }

    if (in->size) {
        (void) ngx_pfree(in->request->pool, in->text.data);
    }

    in->text.data = p;
    in->size = size;

    return NGX_OK;
}


static void
ngx_http_image_vault_json_end(void *data)
{
    ngx_http_image_vault_json_in_t *in = data;

    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = in->request;

    ngx_http_image_vault_body_stop(r, in->ctx);

    rc = ngx_http_image_vault_json_parse(in);

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_image_vault_json_parse(ngx_http_image_vault_json_in_t *in)
{
    ngx_int_t            rc;
    const char          *why;
    ngx_http_request_t  *r;
    ngx_iv_json_node_t  *root;

    r = in->request;
    why = NULL;

    rc = ngx_iv_json_read(r->pool, &in->text, &root, &why);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_json_refuse(r, why);
    }

    if (root->type != NGX_IV_JSON_OBJECT) {
        return ngx_http_image_vault_json_refuse(r, "it must be an object");
    }

    in->ctx->json = root;

    return in->next(r, in->ctx);
}


static ngx_int_t
ngx_http_image_vault_json_refuse(ngx_http_request_t *r, const char *why)
{
    u_char     *p;
    ngx_str_t   message;

    if (why == NULL) {
        why = "it can't be read";
    }

    p = ngx_pnalloc(r->pool, sizeof("the JSON is malformed: ")
                             + ngx_strlen(why));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    message.data = p;
    message.len = ngx_sprintf(p, "the JSON is malformed: %s", why) - p;

    return ngx_http_image_vault_refuse(r, NGX_IV_MALFORMED_JSON, why,
                                       &message);
}


static void
ngx_http_image_vault_json_fail(void *data, ngx_int_t code, const char *why)
{
    ngx_http_image_vault_json_in_t *in = data;

    ngx_http_finalize_request(in->request,
                              ngx_http_image_vault_error(in->request, code,
                                                         why));
}


static void
ngx_http_image_vault_json_gone(void *data)
{
    /* nothing was begun, and all memory is the request's */
}


ngx_int_t
ngx_http_image_vault_bad_member(ngx_http_request_t *r, const ngx_str_t *name,
    const char *what)
{
    size_t      i, n;
    u_char     *p, c;
    ngx_str_t   message;

    n = ngx_min(name->len, NGX_HTTP_IMAGE_VAULT_SHOWN);

    p = ngx_pnalloc(r->pool, n + 2 + ngx_strlen(what));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    message.data = p;

    for (i = 0; i < n; i++) {
        c = name->data[i];
        *p++ = (c > 0x20 && c < 0x7f && c != '"' && c != '\\') ? c : '?';
    }

    p = ngx_sprintf(p, " %s", what);

    message.len = p - message.data;
    *p = '\0';

    return ngx_http_image_vault_refuse(r, NGX_IV_BAD_PARAMETER,
                                       (char *) message.data, &message);
}


ngx_iv_json_node_t *
ngx_http_image_vault_unknown_member(ngx_http_image_vault_ctx_t *ctx,
    const char **names)
{
    const char         **name;
    ngx_iv_json_node_t  *node;

    for (node = ctx->json->first; node; node = node->next) {

        for (name = names; *name; name++) {
            if (node->key.len == ngx_strlen(*name)
                && ngx_memcmp(node->key.data, *name, node->key.len) == 0)
            {
                break;
            }
        }

        if (*name == NULL) {
            return node;
        }
    }

    return NULL;
}
