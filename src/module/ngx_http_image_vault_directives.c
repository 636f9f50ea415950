/*
 * Directives of one value or a few: the http block's, and the limits and
 * values that servers and locations may set.
 */

#include "module/ngx_http_image_vault_conf.h"

#define NGX_HTTP_IMAGE_VAULT_ZONE_PAGES  16


static char *ngx_http_image_vault_cache_time(ngx_conf_t *cf, ngx_str_t *value,
    ngx_msec_t *out);


char *
ngx_http_image_vault_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, name, text;

    if (mcf->zone) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    size = NGX_ERROR;

    p = ngx_strlchr(value[1].data, value[1].data + value[1].len, ':');

    if (p) {
        text.data = p + 1;
        text.len = value[1].data + value[1].len - text.data;
        size = ngx_parse_size(&text);
    }

    if (p == NULL || p == value[1].data || size == NGX_ERROR
        || size < (ssize_t) (NGX_HTTP_IMAGE_VAULT_ZONE_PAGES * ngx_pagesize))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"%V\", name:size is "
                           "expected, such as vault:64m, of at least %uzk",
                           &value[1], &cmd->name,
                           NGX_HTTP_IMAGE_VAULT_ZONE_PAGES * ngx_pagesize
                           / 1024);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data;
    name.len = p - value[1].data;

    mcf->zone = ngx_iv_zone_create(cf, &name, (size_t) size,
                                   &ngx_http_image_vault_module);

    return mcf->zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_image_vault_mongodb(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    char        *rv;
    ngx_str_t   *value, text;
    ngx_uint_t   i;

    if (mcf->metadata.uri.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_http_image_vault_value(cf, &value[1], 1) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    mcf->metadata.uri = value[1];
    mcf->metadata.timeout = 0;

    for (i = 2; i < cf->args->nelts; i++) {

        text = value[i];

        if (text.len > 9 && ngx_strncmp(text.data, "database=", 9) == 0
            && mcf->metadata.database.len == 0)
        {
            text.data += 9;
            text.len -= 9;

            if (ngx_http_image_vault_value(cf, &text, 0) != NGX_CONF_OK) {
                return NGX_CONF_ERROR;
            }

            mcf->metadata.database = text;
            continue;
        }

        if (text.len > 8 && ngx_strncmp(text.data, "timeout=", 8) == 0
            && mcf->metadata.timeout == 0)
        {
            text.data += 8;
            text.len -= 8;

            if (ngx_http_image_vault_value(cf, &text, 0) != NGX_CONF_OK
                || ngx_http_image_vault_msec(cf, &text, 1,
                                             &mcf->metadata.timeout)
                   != NGX_CONF_OK)
            {
                return NGX_CONF_ERROR;
            }

            /* the driver counts milliseconds in 32 bits */

            if (mcf->metadata.timeout > NGX_HTTP_IMAGE_VAULT_DAY) {
                return ngx_http_image_vault_invalid(cf, &text,
                                                    "a time of at most 1d is "
                                                    "expected");
            }

            continue;
        }

        /* it may be a URI with a password */

        if (ngx_strstr(text.data, "://") || ngx_strchr(text.data, '@')) {
            ngx_str_set(&text, "...");
        }

        return ngx_http_image_vault_invalid(cf, &text,
                     "only \"database=name\" and \"timeout=time\" may follow "
                     "the URI, each at most once");
    }

    if (mcf->metadata.timeout == 0) {
        mcf->metadata.timeout = 3000;
    }

    rv = ngx_iv_metadata_check_conf(cf->pool, &mcf->metadata);

    if (rv != NGX_CONF_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" %s", &cmd->name, rv);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_thread_pools(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    size_t               skip;
    ngx_str_t           *value, name;
    ngx_uint_t           i;
    ngx_thread_pool_t  **pool;

    if (mcf->read_pool || mcf->write_pool || mcf->hash_pool) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        skip = 0;
        pool = NULL;

        if (ngx_strncmp(value[i].data, "read=", 5) == 0) {
            pool = &mcf->read_pool;
            skip = 5;

        } else if (ngx_strncmp(value[i].data, "write=", 6) == 0) {
            pool = &mcf->write_pool;
            skip = 6;

        } else if (ngx_strncmp(value[i].data, "hash=", 5) == 0) {
            pool = &mcf->hash_pool;
            skip = 5;
        }

        if (pool == NULL || *pool || value[i].len == skip) {
            return ngx_http_image_vault_invalid(cf, &value[i],
                     "\"read=name\", \"write=name\" and \"hash=name\" are "
                     "expected, each at most once");
        }

        name.data = value[i].data + skip;
        name.len = value[i].len - skip;

        if (ngx_http_image_vault_value(cf, &name, 0) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }

        *pool = ngx_thread_pool_add(cf, &name);
        if (*pool == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_sweep(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    size_t       skip;
    ngx_str_t   *value, text;
    ngx_uint_t   i;
    ngx_msec_t  *msec, min;

    if (mcf->sweep.interval != NGX_CONF_UNSET_MSEC
        || mcf->sweep.stale != NGX_CONF_UNSET_MSEC)
    {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        mcf->sweep.interval = 0;
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        skip = 0;
        msec = NULL;
        min = 0;

        if (ngx_strncmp(value[i].data, "interval=", 9) == 0) {
            msec = &mcf->sweep.interval;
            min = 100;
            skip = 9;

        } else if (ngx_strncmp(value[i].data, "stale=", 6) == 0) {
            msec = &mcf->sweep.stale;
            min = 1000;
            skip = 6;
        }

        if (msec == NULL || *msec != NGX_CONF_UNSET_MSEC) {
            return ngx_http_image_vault_invalid(cf, &value[i],
                     "\"interval=time\" and \"stale=time\", each at most "
                     "once, or \"off\" are expected");
        }

        text.data = value[i].data + skip;
        text.len = value[i].len - skip;

        if (ngx_http_image_vault_value(cf, &text, 0) != NGX_CONF_OK
            || ngx_http_image_vault_msec(cf, &text, min, msec) != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    ngx_conf_init_msec_value(mcf->sweep.interval,
                             NGX_HTTP_IMAGE_VAULT_INTERVAL);
    ngx_conf_init_msec_value(mcf->sweep.stale, NGX_HTTP_IMAGE_VAULT_STALE);

    if (mcf->sweep.stale < mcf->sweep.interval) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"stale\" of %Mms in \"%V\" is shorter than "
                           "\"interval\" of %Mms", mcf->sweep.stale,
                           &cmd->name, mcf->sweep.interval);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_set_complex(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    char  *p = conf;

    ngx_str_t                  *value;
    ngx_http_complex_value_t  **cv;

    cv = (ngx_http_complex_value_t **) (p + cmd->offset);

    if (*cv != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    *cv = ngx_http_image_vault_compile(cf, &value[1]);

    return *cv ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_image_vault_max_size(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->max_size != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    return ngx_http_image_vault_size(cf, &value[1], 1, NGX_MAX_OFF_T_VALUE,
                                     &lcf->max_size);
}


char *
ngx_http_image_vault_max_files(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_str_t  *value;

    if (lcf->max_files != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    return ngx_http_image_vault_number(cf, &value[1], 1,
                                       NGX_HTTP_IMAGE_VAULT_FILES_MAX,
                                       &lcf->max_files);
}


char *
ngx_http_image_vault_buffers(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    off_t       size;
    ngx_str_t  *value;

    if (mcf->buffers != NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_http_image_vault_size(cf, &value[1], 1, NGX_MAX_SIZE_T_VALUE / 2,
                                  &size)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    mcf->buffers = (size_t) size;

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_quota(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    off_t                              limit;
    ngx_str_t                         *value;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (lcf->quota.mode != (ngx_iv_quota_mode_e) NGX_CONF_UNSET) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        lcf->quota.mode = NGX_IV_QUOTA_OFF;
        return NGX_CONF_OK;
    }

    /* user documents have an index and are swept */

    mcf = ngx_http_conf_get_module_main_conf(cf,
                                             ngx_http_image_vault_module);
    mcf->metadata.quota = 1;

    if (ngx_strcmp(value[1].data, "documents") == 0) {
        lcf->quota.mode = NGX_IV_QUOTA_DOCUMENTS;
        return NGX_CONF_OK;
    }

    limit = ngx_parse_offset(&value[1]);

    if (limit == (off_t) NGX_ERROR) {
        return ngx_http_image_vault_invalid(cf, &value[1],
                     "\"off\", \"documents\" or a size, such as 500m, is "
                     "expected");
    }

    lcf->quota.mode = NGX_IV_QUOTA_SIZE;
    lcf->quota.limit = limit;

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_audit_on_off(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_str_t                         *value;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (lcf->audit != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_http_image_vault_on_off(cf, &value[1], &lcf->audit)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    /* the trail has indexes */

    if (lcf->audit) {
        mcf = ngx_http_conf_get_module_main_conf(cf,
                                                 ngx_http_image_vault_module);
        mcf->metadata.audit = 1;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_max_pixels(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_int_t   n, scale;
    ngx_str_t  *value, text;

    if (lcf->max_pixels != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    text = value[1];
    scale = 1;

    if (text.len) {
        switch (text.data[text.len - 1]) {

        case 'k':
        case 'K':
            scale = 1000;
            text.len--;
            break;

        case 'm':
        case 'M':
            scale = 1000000;
            text.len--;
            break;

        default:
            break;
        }
    }

    n = ngx_atoi(text.data, text.len);

    if (n == NGX_ERROR || n == 0 || n > NGX_MAX_INT_T_VALUE / scale) {
        return ngx_http_image_vault_invalid(cf, &value[1],
                     "a number of at least 1 is expected, also with k (1,000) "
                     "or m (1,000,000)");
    }

    lcf->max_pixels = (ngx_uint_t) (n * scale);

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_types(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i, format;

    if (lcf->types != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    lcf->types = 0;

    for (i = 1; i < cf->args->nelts; i++) {

        format = ngx_iv_image_by_mime(&value[i]);

        if (format == 0) {
            return ngx_http_image_vault_invalid(cf, &value[i],
                     "image/jpeg, image/png, image/gif, image/webp and "
                     "image/avif are known");
        }

        if (lcf->types & format) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"%V\" is duplicate", &value[i],
                               &cmd->name);
            return NGX_CONF_ERROR;
        }

        lcf->types |= format;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_seconds(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    time_t     *seconds;
    ngx_int_t   n;
    ngx_str_t  *value;

    seconds = (time_t *) (p + cmd->offset);

    if (*seconds != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    n = ngx_parse_time(&value[1], 1);

    if (n == NGX_ERROR || n < 1 || n >= NGX_HTTP_IMAGE_VAULT_WEEK) {
        return ngx_http_image_vault_invalid(cf, &value[1],
                     "a time such as 90s, 5m or 12h, at least 1s and below "
                     "7d, is expected");
    }

    *seconds = n;

    return NGX_CONF_OK;
}


/* a short life of entries holds for those that turn away as well */

char *
ngx_http_image_vault_cache_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_loc_conf_t *lcf = conf;

    ngx_str_t  *value, text;

    if (lcf->cache_valid != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (ngx_http_image_vault_cache_time(cf, &value[1], &lcf->cache_valid)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2) {
        lcf->cache_negative = ngx_min(lcf->cache_valid,
                                      NGX_HTTP_IMAGE_VAULT_NEGATIVE);
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value[2].data, "negative=", 9) != 0) {
        return ngx_http_image_vault_invalid(cf, &value[2],
                                            "only \"negative=time\" may "
                                            "follow the time");
    }

    text.data = value[2].data + 9;
    text.len = value[2].len - 9;

    if (ngx_http_image_vault_value(cf, &text, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_cache_time(cf, &text, &lcf->cache_negative);
}


static char *
ngx_http_image_vault_cache_time(ngx_conf_t *cf, ngx_str_t *value,
    ngx_msec_t *out)
{
    if (ngx_http_image_vault_msec(cf, value, 0, out) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (*out > NGX_HTTP_IMAGE_VAULT_DAY) {
        return ngx_http_image_vault_invalid(cf, value,
                                            "a time from 0 to 1d is "
                                            "expected");
    }

    return NGX_CONF_OK;
}
