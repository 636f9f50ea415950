/*
 * image_vault_key: the template of object keys.  It is cut at its slashes when
 * the configuration is read, so that whatever a variable holds stays within
 * the segment it was written in.
 */

#include "module/ngx_http_image_vault_conf.h"

#define NGX_HTTP_IMAGE_VAULT_MAX_KEY      1024
/* file systems, and so local storages and some S3 servers, take no more */
#define NGX_HTTP_IMAGE_VAULT_MAX_SEGMENT  255


static char *ngx_http_image_vault_key_segment(ngx_conf_t *cf,
    ngx_array_t *segments, ngx_str_t *text, ngx_str_t *whole);
static ngx_uint_t ngx_http_image_vault_key_dots(const ngx_str_t *s);
static size_t ngx_http_image_vault_key_clean(u_char *dst, const ngx_str_t *src);


char *
ngx_http_image_vault_key_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    u_char       *p, *last, *slash;
    ngx_str_t    *value, text;
    ngx_array_t  *segments;

    if (lcf->key != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    segments = ngx_array_create(cf->pool, 4,
                                sizeof(ngx_http_image_vault_segment_t));
    if (segments == NULL) {
        return NGX_CONF_ERROR;
    }

    p = value[1].data;
    last = p + value[1].len;

    for ( ;; ) {
        slash = ngx_strlchr(p, last, '/');
        if (slash == NULL) {
            break;
        }

        text.data = p;
        text.len = slash - p;

        if (ngx_http_image_vault_key_segment(cf, segments, &text, &value[1])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        p = slash + 1;
    }

    text.data = p;
    text.len = last - p;

    if (!(text.len == sizeof("$image_vault_filename") - 1
          && ngx_strncmp(text.data, "$image_vault_filename", text.len) == 0)
        && !(text.len == sizeof("${image_vault_filename}") - 1
             && ngx_strncmp(text.data, "${image_vault_filename}", text.len)
                == 0))
    {
        return ngx_http_image_vault_invalid(cf, &value[1],
                         "the last segment must be \"$image_vault_filename\"");
    }

    lcf->key = segments;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_key_segment(ngx_conf_t *cf, ngx_array_t *segments,
    ngx_str_t *text, ngx_str_t *whole)
{
    u_char                          *copy;
    ngx_str_t                        source;
    ngx_http_image_vault_segment_t  *segment;

    if (text->len == 0 || ngx_http_image_vault_key_dots(text)) {
        return ngx_http_image_vault_invalid(cf, whole,
                  "a key has no slash at its start, and no segment of it may "
                  "be empty, \".\" or \"..\"");
    }

    copy = ngx_pnalloc(cf->pool, 2 * (text->len + 1));
    if (copy == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(copy, text->data, text->len + 1);

    if (ngx_strstr(copy, "image_vault_filename")) {
        return ngx_http_image_vault_invalid(cf, whole,
                 "\"$image_vault_filename\" may stand in the last segment "
                 "only");
    }

    source.data = copy;
    source.len = text->len;

    if (ngx_http_script_variables_count(&source) == 0
        && (text->len > NGX_HTTP_IMAGE_VAULT_MAX_SEGMENT
            || ngx_http_image_vault_key_clean(copy + text->len + 1, &source)
               != text->len
            || ngx_memcmp(copy + text->len + 1, copy, text->len) != 0))
    {
        return ngx_http_image_vault_invalid(cf, whole,
                  "a segment has at most 255 bytes of A-Z, a-z, 0-9 and "
                  "._@=-, and variables");
    }

    segment = ngx_array_push(segments);
    if (segment == NULL) {
        return NGX_CONF_ERROR;
    }

    segment->value = ngx_http_image_vault_compile(cf, &source);
    if (segment->value == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_array_t *
ngx_http_image_vault_key_default(ngx_conf_t *cf)
{
    ngx_str_t                        text = ngx_string("images");
    ngx_array_t                     *segments;
    ngx_http_image_vault_segment_t  *segment;

    segments = ngx_array_create(cf->pool, 1,
                                sizeof(ngx_http_image_vault_segment_t));
    if (segments == NULL) {
        return NULL;
    }

    segment = ngx_array_push(segments);
    if (segment == NULL) {
        return NULL;
    }

    segment->value = ngx_http_image_vault_compile(cf, &text);
    if (segment->value == NULL) {
        return NULL;
    }

    return segments;
}


ngx_int_t
ngx_http_image_vault_key(ngx_http_request_t *r, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key)
{
    size_t                            n;
    u_char                           *p, *last;
    ngx_str_t                         value;
    ngx_uint_t                        i;
    ngx_http_image_vault_ctx_t       *ctx;
    ngx_http_image_vault_segment_t   *segment;
    ngx_http_image_vault_loc_conf_t  *lcf;
    u_char                            buf[NGX_HTTP_IMAGE_VAULT_MAX_KEY];

    ctx = ngx_http_image_vault_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    /* a copy in the request's own memory: it is asked for in the log phase */

    ctx->filename.data = ngx_pnalloc(r->pool, filename->len);
    if (ctx->filename.data == NULL) {
        return NGX_ERROR;
    }

    ctx->filename.len = filename->len;
    ngx_memcpy(ctx->filename.data, filename->data, filename->len);

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);
    segment = lcf->key->elts;

    p = buf;
    last = buf + sizeof(buf);

    for (i = 0; i < lcf->key->nelts; i++) {

        if (ngx_http_complex_value(r, segment[i].value, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        n = ngx_min(value.len, NGX_HTTP_IMAGE_VAULT_MAX_SEGMENT);

        if ((size_t) (last - p) < ngx_max(n, 1) + 1) {
            goto too_long;
        }

        p += ngx_http_image_vault_key_clean(p, &value);
        *p++ = '/';
    }

    if ((size_t) (last - p) < filename->len) {
        goto too_long;
    }

    p = ngx_cpymem(p, filename->data, filename->len);

    key->len = p - buf;
    key->data = ngx_pnalloc(pool, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(key->data, buf, key->len);

    return NGX_OK;

too_long:

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "\"image_vault_key\" gave a key longer than %d bytes",
                  NGX_HTTP_IMAGE_VAULT_MAX_KEY);

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_image_vault_key_dots(const ngx_str_t *s)
{
    return (s->len == 1 && s->data[0] == '.')
           || (s->len == 2 && s->data[0] == '.' && s->data[1] == '.');
}


/* never more than NGX_HTTP_IMAGE_VAULT_MAX_SEGMENT bytes, never none */

static size_t
ngx_http_image_vault_key_clean(u_char *dst, const ngx_str_t *src)
{
    u_char  c, ch;
    size_t  i, n;

    if (src->len == 0 || ngx_http_image_vault_key_dots(src)) {
        *dst = '_';
        return 1;
    }

    n = ngx_min(src->len, NGX_HTTP_IMAGE_VAULT_MAX_SEGMENT);

    for (i = 0; i < n; i++) {
        ch = src->data[i];
        c = (u_char) (ch | 0x20);

        if ((c >= 'a' && c <= 'z') || (ch >= '0' && ch <= '9')
            || ch == '.' || ch == '_' || ch == '@' || ch == '=' || ch == '-')
        {
            dst[i] = ch;

        } else {
            dst[i] = '_';
        }
    }

    return n;
}
