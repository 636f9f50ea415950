/*
 * `credentials` of a storage: from the configuration or the environment.
 */

#include "module/ngx_http_image_vault_storage_block.h"


static char *ngx_http_image_vault_credentials_env(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf, ngx_str_t *names, ngx_uint_t nnames);
static char *ngx_http_image_vault_credentials_get(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf, const ngx_str_t *names, ngx_uint_t *found);


char *
ngx_http_image_vault_credentials(ngx_conf_t *cf, ngx_iv_storage_conf_t *conf,
    ngx_str_t *args, ngx_uint_t nargs)
{
    static char  *later[] = { "file", "ecs", "ec2", "web_identity", NULL };

    ngx_uint_t  i;

    if (nargs == 0 || ngx_strcmp(args[0].data, "env") == 0) {
        return ngx_http_image_vault_credentials_env(cf, conf, args + 1,
                                                    nargs ? nargs - 1 : 0);
    }

    for (i = 0; later[i]; i++) {
        if (ngx_strcmp(args[0].data, later[i]) == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"credentials %s\" of \"image_vault_storage "
                               "%V\" is not supported yet, \"env\" or "
                               "\"static\" is expected",
                               later[i], &conf->name);
            return NGX_CONF_ERROR;
        }
    }

    /* what stands here may be a secret: it is not shown */

    if (ngx_strcmp(args[0].data, "static") != 0 || nargs < 3
        || args[1].len == 0 || args[2].len == 0)
    {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "\"credentials env [ACCESS SECRET [TOKEN]]\" or "
                   "\"credentials static key secret [token]\" is expected, "
                   "neither key nor secret empty");
    }

    conf->credentials.key_id = args[1];
    conf->credentials.secret = args[2];

    if (nargs == 4) {
        conf->credentials.token = args[3];
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_credentials_env(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf, ngx_str_t *names, ngx_uint_t nnames)
{
    ngx_str_t   set[3];
    ngx_uint_t  found;

    static const ngx_str_t  aws[] = {
        ngx_string("AWS_ACCESS_KEY_ID"),
        ngx_string("AWS_SECRET_ACCESS_KEY"),
        ngx_string("AWS_SESSION_TOKEN")
    };

    static const ngx_str_t  r2[] = {
        ngx_string("R2_ACCESS_KEY_ID"),
        ngx_string("R2_SECRET_ACCESS_KEY"),
        ngx_null_string
    };

    if (nnames == 1) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "\"credentials env\" expects the names of two variables, "
                   "or three with a token, or none for the usual ones");
    }

    if (nnames) {
        set[0] = names[0];
        set[1] = names[1];
        ngx_str_null(&set[2]);

        if (nnames == 3) {
            set[2] = names[2];
        }

        if (ngx_http_image_vault_credentials_get(cf, conf, set, &found)
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        if (!found) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"image_vault_storage %V\": \"credentials "
                               "env\" needs \"%V\" and \"%V\" in the "
                               "environment", &conf->name, &set[0], &set[1]);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (ngx_http_image_vault_credentials_get(cf, conf, aws, &found)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!found
        && ngx_http_image_vault_credentials_get(cf, conf, r2, &found)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (!found) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "no credentials: neither AWS_ACCESS_KEY_ID and "
                   "AWS_SECRET_ACCESS_KEY nor R2_ACCESS_KEY_ID and "
                   "R2_SECRET_ACCESS_KEY are set in the environment, see "
                   "\"credentials\"");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_credentials_get(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf, const ngx_str_t *names, ngx_uint_t *found)
{
    ngx_int_t   rc;
    ngx_str_t   values[3];
    ngx_uint_t  i;

    *found = 1;
    ngx_memzero(values, sizeof(values));

    for (i = 0; i < 3 && names[i].len; i++) {

        rc = ngx_http_image_vault_getenv(cf, &names[i], &values[i]);

        if (rc == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_OK) {
            if (ngx_http_image_vault_value(cf, &values[i], 1) != NGX_CONF_OK) {
                return NGX_CONF_ERROR;
            }
        }

        if (values[i].len == 0 && i < 2) {
            *found = 0;
        }
    }

    if (*found) {
        conf->credentials.key_id = values[0];
        conf->credentials.secret = values[1];
        conf->credentials.token = values[2];
    }

    return NGX_CONF_OK;
}
