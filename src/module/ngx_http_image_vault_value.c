/*
 * Values of directives: env: and file: forms, numbers within bounds, and what
 * nginx -t says about wrong ones.
 */

#include "module/ngx_http_image_vault_conf.h"

#define NGX_HTTP_IMAGE_VAULT_MAX_FILE  65536


static char *ngx_http_image_vault_env(ngx_conf_t *cf, ngx_str_t *value);
static ngx_uint_t ngx_http_image_vault_env_name(const ngx_str_t *name);
static char *ngx_http_image_vault_file(ngx_conf_t *cf, ngx_str_t *value);
static char *ngx_http_image_vault_read(ngx_conf_t *cf, ngx_file_t *file,
    ngx_str_t *value);
static char *ngx_http_image_vault_keep_secret(ngx_conf_t *cf,
    ngx_str_t *value);
static void ngx_http_image_vault_wipe_secret(void *data);


char *
ngx_http_image_vault_values(ngx_conf_t *cf, ngx_uint_t secret)
{
    ngx_str_t   *args;
    ngx_uint_t   i;

    args = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_image_vault_value(cf, &args[i], secret) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_uint_t secret)
{
    if (value->len >= 4 && ngx_strncmp(value->data, "env:", 4) == 0) {
        if (ngx_http_image_vault_env(cf, value) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

    } else if (secret && value->len >= 5
               && ngx_strncmp(value->data, "file:", 5) == 0)
    {
        if (ngx_http_image_vault_file(cf, value) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (secret) {
        return ngx_http_image_vault_keep_secret(cf, value);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_env(ngx_conf_t *cf, ngx_str_t *value)
{
    u_char      *p;
    ngx_int_t    rc;
    ngx_str_t    name, rest, found, *args;
    ngx_uint_t   has_default;

    args = cf->args->elts;

    name.len = value->len - 4;
    name.data = value->data + 4;
    ngx_str_null(&rest);
    has_default = 0;

    p = ngx_strlchr(name.data, name.data + name.len, ':');

    if (p && p + 1 < name.data + name.len && p[1] == '-') {
        rest.data = p + 2;
        rest.len = name.data + name.len - rest.data;
        name.len = p - name.data;
        has_default = 1;
    }

    if (!ngx_http_image_vault_env_name(&name)) {
        /* the value may be a secret that happens to begin so */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid environment variable in \"%V\", "
                           "env:NAME or env:NAME:-default is expected",
                           &args[0]);
        return NGX_CONF_ERROR;
    }

    p = ngx_pnalloc(cf->pool, name.len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(p, name.data, name.len + 1);
    name.data = p;

    rc = ngx_http_image_vault_getenv(cf, &name, &found);
    if (rc == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    if (has_default && (rc == NGX_DECLINED || found.len == 0)) {
        *value = rest;
        return NGX_CONF_OK;
    }

    if (rc == NGX_DECLINED) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "environment variable \"%V\" of \"%V\" is not set, "
                           "set it or give a default by \"env:%V:-default\"",
                           &name, &args[0], &name);
        return NGX_CONF_ERROR;
    }

    *value = found;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_image_vault_env_name(const ngx_str_t *name)
{
    u_char   c, ch;
    size_t   i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];
        c = (u_char) (ch | 0x20);

        if ((c < 'a' || c > 'z') && ch != '_'
            && (i == 0 || ch < '0' || ch > '9'))
        {
            return 0;
        }
    }

    return name->len > 0;
}


ngx_int_t
ngx_http_image_vault_getenv(ngx_conf_t *cf, const ngx_str_t *name,
    ngx_str_t *value)
{
    char             *text;
    size_t            len;
    ngx_str_t        *var;
    ngx_uint_t        i;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    text = NULL;
    var = ccf->env.elts;

    for (i = 0; i < ccf->env.nelts; i++) {

        if (var[i].len == name->len
            && ngx_strncmp(var[i].data, name->data, name->len) == 0)
        {
            if (var[i].data[var[i].len] == '=') {
                text = (char *) var[i].data + var[i].len + 1;
            }

            goto listed;
        }
    }

    /* a binary upgrade passes on only what is on this list */

    var = ngx_array_push(&ccf->env);
    if (var == NULL) {
        return NGX_ERROR;
    }

    *var = *name;

listed:

    if (text == NULL) {
        text = getenv((char *) name->data);
    }

    if (text == NULL) {
        return NGX_DECLINED;
    }

    len = ngx_strlen(text);

    value->data = ngx_pnalloc(cf->pool, len + 1);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    value->len = len;
    ngx_memcpy(value->data, text, len + 1);

    return NGX_OK;
}


static char *
ngx_http_image_vault_file(ngx_conf_t *cf, ngx_str_t *value)
{
    char        *rv;
    ngx_file_t   file;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name.len = value->len - 5;
    file.name.data = value->data + 5;
    file.log = cf->log;

    if (ngx_conf_full_name(cf->cycle, &file.name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    file.fd = ngx_open_file(file.name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", &file.name);
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_image_vault_read(cf, &file, value);

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", &file.name);
    }

    return rv;
}


static char *
ngx_http_image_vault_read(ngx_conf_t *cf, ngx_file_t *file, ngx_str_t *value)
{
    u_char   *p;
    size_t    len;
    ssize_t   n;

    if (ngx_fd_info(file->fd, &file->info) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", &file->name);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_file(&file->info)
        || ngx_file_size(&file->info) > NGX_HTTP_IMAGE_VAULT_MAX_FILE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must be a regular file of at most 64k",
                           &file->name);
        return NGX_CONF_ERROR;
    }

    len = (size_t) ngx_file_size(&file->info);

    p = ngx_pnalloc(cf->pool, len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    n = ngx_read_file(file, p, len, 0);
    if (n == NGX_ERROR) {
        return NGX_CONF_ERROR;
    }

    /* editors end a file with a line break */

    if (n && p[n - 1] == LF) {
        n--;
    }

    if (n && p[n - 1] == CR) {
        n--;
    }

    if (ngx_strlchr(p, p + n, '\0') || ngx_strlchr(p, p + n, LF)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must hold one line of text", &file->name);
        ngx_iv_wipe(p, len);
        return NGX_CONF_ERROR;
    }

    p[n] = '\0';
    value->len = n;
    value->data = p;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_keep_secret(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_str_t           *kept;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_str_t));
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    kept = cln->data;
    *kept = *value;
    cln->handler = ngx_http_image_vault_wipe_secret;

    return NGX_CONF_OK;
}


static void
ngx_http_image_vault_wipe_secret(void *data)
{
    ngx_str_t  *kept = data;

    if (kept->len) {
        ngx_iv_wipe(kept->data, kept->len);
    }
}


char *
ngx_http_image_vault_invalid(ngx_conf_t *cf, const ngx_str_t *value,
    const char *allowed)
{
    ngx_str_t  *args;

    args = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\", %s", value, &args[0],
                       allowed);

    return NGX_CONF_ERROR;
}


char *
ngx_http_image_vault_size(ngx_conf_t *cf, ngx_str_t *value, off_t min,
    off_t max, off_t *out)
{
    off_t       n;
    ngx_str_t  *args;

    n = ngx_parse_offset(value);

    if (n == NGX_ERROR || n < min || n > max) {
        args = cf->args->elts;

        if (max == NGX_MAX_OFF_T_VALUE) {
            return ngx_http_image_vault_invalid(cf, value,
                             "a size above 0 in bytes, or with k, m or g, is "
                             "expected");
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\", a size in bytes, "
                           "or with k, m or g, from %O to %O is expected",
                           value, &args[0], min, max);
        return NGX_CONF_ERROR;
    }

    *out = n;

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_msec(ngx_conf_t *cf, ngx_str_t *value, ngx_msec_t min,
    ngx_msec_t *out)
{
    ngx_int_t   n;
    ngx_str_t  *args;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || (ngx_msec_t) n < min) {
        args = cf->args->elts;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\", a time such as "
                           "500ms, 5s or 15m, at least %Mms, is expected",
                           value, &args[0], min);
        return NGX_CONF_ERROR;
    }

    *out = (ngx_msec_t) n;

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_number(ngx_conf_t *cf, ngx_str_t *value, ngx_int_t min,
    ngx_int_t max, ngx_uint_t *out)
{
    ngx_int_t   n;
    ngx_str_t  *args;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n < min || n > max) {
        args = cf->args->elts;

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\", a number from %i "
                           "to %i is expected",
                           value, &args[0], min, max);
        return NGX_CONF_ERROR;
    }

    *out = (ngx_uint_t) n;

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_on_off(ngx_conf_t *cf, ngx_str_t *value, ngx_flag_t *out)
{
    if (value->len == 2 && ngx_strncasecmp(value->data, (u_char *) "on", 2)
                           == 0)
    {
        *out = 1;
        return NGX_CONF_OK;
    }

    if (value->len == 3 && ngx_strncasecmp(value->data, (u_char *) "off", 3)
                           == 0)
    {
        *out = 0;
        return NGX_CONF_OK;
    }

    return ngx_http_image_vault_invalid(cf, value,
                                        "\"on\" or \"off\" is expected");
}


ngx_http_complex_value_t *
ngx_http_image_vault_compile(ngx_conf_t *cf, ngx_str_t *value)
{
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (cv == NULL) {
        return NULL;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = cv;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NULL;
    }

    return cv;
}
