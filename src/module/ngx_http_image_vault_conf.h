/*
 * What the files of the configuration give each other.  Functions that return
 * a string are directive handlers or behave as such: NGX_CONF_OK, or
 * NGX_CONF_ERROR after the log was told, or words for nginx's own message.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_CONF_H
#define NGX_HTTP_IMAGE_VAULT_CONF_H

#include "module/ngx_http_image_vault_module.h"

#define NGX_HTTP_IMAGE_VAULT_WEEK      604800   /* the longest life of a URL */
#define NGX_HTTP_IMAGE_VAULT_INTERVAL  30000    /* image_vault_sweep, ms */
#define NGX_HTTP_IMAGE_VAULT_STALE     900000
#define NGX_HTTP_IMAGE_VAULT_VALID     60000    /* …_cache_valid, ms */
#define NGX_HTTP_IMAGE_VAULT_NEGATIVE  5000
#define NGX_HTTP_IMAGE_VAULT_DAY       86400000
#define NGX_HTTP_IMAGE_VAULT_BUFFERS   (128 * 1024 * 1024)
#define NGX_HTTP_IMAGE_VAULT_FILES_MAX 1000     /* parts a form may have */


/* …_value.c: "env:NAME", "env:NAME:-default", with `secret` also
 * "file:PATH"; anything else is itself.  The value lives in cf->pool; a secret
 * is wiped when that goes.
 * NGX_CONF_OK or NGX_CONF_ERROR, already logged without the value. */
char *ngx_http_image_vault_value(ngx_conf_t *cf, ngx_str_t *value,
    ngx_uint_t secret);
/* all arguments of the present directive from the first (1) on */
char *ngx_http_image_vault_values(ngx_conf_t *cf, ngx_uint_t secret);
/* an environment variable (or nginx's `env NAME=value`), put on nginx's `env`
 * list; name ends with a NUL.  NGX_OK, NGX_DECLINED: not set, NGX_ERROR */
ngx_int_t ngx_http_image_vault_getenv(ngx_conf_t *cf, const ngx_str_t *name,
    ngx_str_t *value);
/* says `invalid value "…" in "directive"` and what is allowed */
char *ngx_http_image_vault_invalid(ngx_conf_t *cf, const ngx_str_t *value,
    const char *allowed);
/* numbers within bounds; NGX_CONF_OK or NGX_CONF_ERROR (logged) */
char *ngx_http_image_vault_size(ngx_conf_t *cf, ngx_str_t *value, off_t min,
    off_t max, off_t *out);
char *ngx_http_image_vault_msec(ngx_conf_t *cf, ngx_str_t *value,
    ngx_msec_t min, ngx_msec_t *out);
char *ngx_http_image_vault_number(ngx_conf_t *cf, ngx_str_t *value,
    ngx_int_t min, ngx_int_t max, ngx_uint_t *out);
char *ngx_http_image_vault_on_off(ngx_conf_t *cf, ngx_str_t *value,
    ngx_flag_t *out);
/* a compiled complex value in cf->pool; NULL: logged */
ngx_http_complex_value_t *ngx_http_image_vault_compile(ngx_conf_t *cf,
    ngx_str_t *value);

/* …_directives.c: handlers of directives; _seconds and _set_complex take
 * the command's offset */
char *ngx_http_image_vault_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_mongodb(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_thread_pools(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_image_vault_sweep(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_set_complex(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_image_vault_max_size(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_max_files(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_buffers(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_quota(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_audit_on_off(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_image_vault_max_pixels(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_image_vault_types(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_cache_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_seconds(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* …_location.c: image_vault_upload, _redirect, _api, _files: the
 * command's offset is the endpoint; and the merge of what they set */
char *ngx_http_image_vault_endpoint(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_merge_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *prev,
    ngx_http_image_vault_loc_conf_t *conf);

/* …_storage_block.c: the handler of image_vault_storage */
char *ngx_http_image_vault_storage_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* …_key.c: compiles image_vault_key (directive handler), evaluates it */
char *ngx_http_image_vault_key_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
/* "images" */
ngx_array_t *ngx_http_image_vault_key_default(ngx_conf_t *cf);

/* …_origins.c: directive handlers */
char *ngx_http_image_vault_cors(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_image_vault_cors_max_age(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* …_worker.c */
ngx_int_t ngx_http_image_vault_init_process(ngx_cycle_t *cycle);
void ngx_http_image_vault_exit_process(ngx_cycle_t *cycle);

/* …_variables.c */
ngx_int_t ngx_http_image_vault_add_variables(ngx_conf_t *cf);


#endif
