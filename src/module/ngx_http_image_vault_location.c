/*
 * The directives that make a location an endpoint, what nested locations keep
 * of them, and the body limits there.
 */

#include "module/ngx_http_image_vault_conf.h"


/* what an upload reads at a time, on top of its own buffers */
#define NGX_HTTP_IMAGE_VAULT_BODY_BUFFER  32768


static char *ngx_http_image_vault_endpoint_args(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_http_core_loc_conf_t *clcf);
static char *ngx_http_image_vault_id_value(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *value);
static char *ngx_http_image_vault_prefix(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_http_core_loc_conf_t *clcf);
static char *ngx_http_image_vault_inherit(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *prev,
    ngx_http_image_vault_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf);
static char *ngx_http_image_vault_own(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf);
static char *ngx_http_image_vault_gate(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf,
    const ngx_iv_storage_conf_t *storage);
static char *ngx_http_image_vault_no_links(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf, const ngx_str_t *root);


char *
ngx_http_image_vault_endpoint(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (lcf->endpoint == cmd->offset) {
        return "is duplicate";
    }

    if (lcf->endpoint != NGX_CONF_UNSET_UINT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" can't stand in one location with \"%V\"",
                           &cmd->name, &lcf->directive);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler && cmd->offset != NGX_HTTP_IMAGE_VAULT_ACCESS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" can't stand in one location with another "
                           "directive that answers requests, such as "
                           "\"proxy_pass\"", &cmd->name);
        return NGX_CONF_ERROR;
    }

    lcf->endpoint = cmd->offset;
    lcf->directive = cmd->name;
    lcf->file = cf->conf_file->file.name.data;
    lcf->line = cf->conf_file->line;
    lcf->body_set = (clcf->client_max_body_size != NGX_CONF_UNSET);

    if (!ngx_http_image_vault_is_gate(cmd->offset)) {
        clcf->handler = ngx_http_image_vault_handler;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_image_vault_module);

    if (!mcf->used) {
        mcf->used = 1;
        mcf->used_by = lcf->directive;
        mcf->file = lcf->file;
        mcf->line = lcf->line;
    }

    return ngx_http_image_vault_endpoint_args(cf, lcf, clcf);
}


static char *
ngx_http_image_vault_endpoint_args(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_REDIRECT
        || lcf->endpoint == NGX_HTTP_IMAGE_VAULT_ACCESS)
    {
        if (cf->args->nelts == 1) {
            return NGX_CONF_OK;
        }

        return ngx_http_image_vault_id_value(cf, lcf, &value[1]);
    }

    if (lcf->endpoint >= NGX_HTTP_IMAGE_VAULT_ERROR) {
        return NGX_CONF_OK;
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* the storage may be declared further down: found at the merge */
    lcf->storage_name = value[1];

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_UPLOAD) {
        return ngx_http_image_vault_prefix(cf, lcf, clcf);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_id_value(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *value)
{
    ngx_str_t  id;

    if (value->len <= 3 || ngx_strncmp(value->data, "id=", 3) != 0) {
        return ngx_http_image_vault_invalid(cf, value,
                                            "\"id=value\" is expected");
    }

    id.data = value->data + 3;
    id.len = value->len - 3;

    if (ngx_http_image_vault_value(cf, &id, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    lcf->id = ngx_http_image_vault_compile(cf, &id);

    return lcf->id ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_image_vault_prefix(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_uint_t  plain;

    plain = !clcf->exact_match && !clcf->named && !clcf->noname;

#if (NGX_PCRE)
    if (clcf->regex) {
        plain = 0;
    }
#endif

    if (!plain || clcf->name.len == 0 || clcf->name.data[0] != '/') {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" can stand in a prefix location only, such "
                           "as \"location /images/ { }\" or \"location ^~ "
                           "/images/ { }\"", &lcf->directive);
        return NGX_CONF_ERROR;
    }

    lcf->prefix = clcf->name;

    if (lcf->prefix.data[lcf->prefix.len - 1] == '/') {
        lcf->prefix.len--;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_image_vault_merge_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *prev,
    ngx_http_image_vault_loc_conf_t *conf)
{
    char                      *rv;
    ngx_http_core_loc_conf_t  *clcf;

    /* the core module has merged all its levels already */

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    conf->body_size = clcf->client_max_body_size;

    if (conf->body_size != prev->body_size) {
        conf->body_set = 1;
    }

    if (conf->endpoint == NGX_CONF_UNSET_UINT) {
        rv = ngx_http_image_vault_inherit(cf, prev, conf, clcf);

    } else {
        rv = ngx_http_image_vault_own(cf, conf, clcf);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (conf->endpoint != NGX_HTTP_IMAGE_VAULT_NONE
        && !ngx_http_image_vault_is_gate(conf->endpoint)
        && !conf->body_set)
    {
        clcf->client_max_body_size = 0;
    }

    /*
     * nginx's default of two pages makes a stream of images many small reads;
     * any other value was set by somebody
     */

    if ((conf->endpoint == NGX_HTTP_IMAGE_VAULT_UPLOAD
         || conf->endpoint == NGX_HTTP_IMAGE_VAULT_API)
        && clcf->client_body_buffer_size == 2 * ngx_pagesize)
    {
        clcf->client_body_buffer_size = NGX_HTTP_IMAGE_VAULT_BODY_BUFFER;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_inherit(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *prev,
    ngx_http_image_vault_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf)
{
    ngx_iv_storage_conf_t            **storages;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (prev->endpoint == NGX_HTTP_IMAGE_VAULT_NONE
        || (!ngx_http_image_vault_is_gate(prev->endpoint) && clcf->handler))
    {
        conf->endpoint = NGX_HTTP_IMAGE_VAULT_NONE;
        return NGX_CONF_OK;
    }

    conf->endpoint = prev->endpoint;
    conf->storage = prev->storage;
    conf->prefix = prev->prefix;
    conf->id = prev->id;
    conf->directive = prev->directive;
    conf->file = prev->file;
    conf->line = prev->line;

    if (prev->body_set) {
        conf->body_set = 1;
    }

    /*
     * a gate stays, whatever answers behind it; a content handler is not
     * handed down by nginx
     */

    if (!ngx_http_image_vault_is_gate(conf->endpoint)) {
        clcf->handler = ngx_http_image_vault_handler;
    }

    if (conf->endpoint != NGX_HTTP_IMAGE_VAULT_FILES) {
        return NGX_CONF_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_image_vault_module);
    storages = mcf->storages.elts;

    return ngx_http_image_vault_no_links(cf, clcf,
                                         &storages[conf->storage]->root);
}


static char *
ngx_http_image_vault_own(ngx_conf_t *cf, ngx_http_image_vault_loc_conf_t *conf,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_int_t                          n;
    ngx_http_handler_pt                handler;
    ngx_iv_storage_conf_t            **storages;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (conf->endpoint == NGX_HTTP_IMAGE_VAULT_ACCESS) {
        return NGX_CONF_OK;
    }

    handler = (conf->endpoint == NGX_HTTP_IMAGE_VAULT_FILES)
              ? NULL : ngx_http_image_vault_handler;

    if (clcf->handler != handler) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" in %s:%ui can't stand in one location with "
                      "another directive that answers requests, such as "
                      "\"proxy_pass\"",
                      &conf->directive, conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    if (conf->endpoint == NGX_HTTP_IMAGE_VAULT_REDIRECT
        || conf->endpoint >= NGX_HTTP_IMAGE_VAULT_ERROR)
    {
        return NGX_CONF_OK;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_image_vault_module);

    n = ngx_http_image_vault_storage_find(mcf, &conf->storage_name);

    if (n == NGX_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "unknown storage \"%V\" in \"%V\" in %s:%ui, no "
                      "\"image_vault_storage\" has this name",
                      &conf->storage_name, &conf->directive, conf->file,
                      conf->line);
        return NGX_CONF_ERROR;
    }

    conf->storage = (ngx_uint_t) n;

    if (conf->endpoint == NGX_HTTP_IMAGE_VAULT_FILES) {
        storages = mcf->storages.elts;
        return ngx_http_image_vault_gate(cf, conf, clcf, storages[n]);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_gate(ngx_conf_t *cf,
    ngx_http_image_vault_loc_conf_t *conf, ngx_http_core_loc_conf_t *clcf,
    const ngx_iv_storage_conf_t *storage)
{
    u_char                            *p, *last;
    ngx_str_t                          path;
    ngx_uint_t                        *gate;
    ngx_http_image_vault_main_conf_t  *mcf;

    if (storage->type != NGX_IV_STORAGE_LOCAL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "storage \"%V\" in \"%V\" in %s:%ui is not of "
                      "\"type local\"", &storage->name, &conf->directive,
                      conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    /* the path of "/files" or "https://host/files" */

    path = storage->url;

    if (path.len && path.data[0] != '/') {
        last = path.data + path.len;
        p = (u_char *) ngx_strstr(path.data, "://") + 3;
        p = ngx_strlchr(p, last, '/');

        path.data = p ? p : last;
        path.len = last - path.data;
    }

    if (clcf->name.len != path.len + 1
        || clcf->name.data[path.len] != '/'
        || ngx_strncmp(clcf->name.data, path.data, path.len) != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%V\" in %s:%ui stands in location \"%V\", but "
                      "the \"url\" of storage \"%V\" asks for \"location "
                      "%V/\"", &conf->directive, conf->file, conf->line,
                      &clcf->name, &storage->name, &path);
        return NGX_CONF_ERROR;
    }

    if (clcf->alias != clcf->name.len
        || clcf->root_lengths != NULL
        || clcf->root.len != storage->root.len + 1
        || clcf->root.data[storage->root.len] != '/'
        || ngx_strncmp(clcf->root.data, storage->root.data,
                       storage->root.len) != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the location of \"%V\" in %s:%ui needs \"alias "
                      "%V/\", the \"root\" of storage \"%V\"",
                      &conf->directive, conf->file, conf->line,
                      &storage->root, &storage->name);
        return NGX_CONF_ERROR;
    }

    mcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_image_vault_module);

    gate = ngx_array_push(&mcf->gates);
    if (gate == NULL) {
        return NGX_CONF_ERROR;
    }

    *gate = conf->storage;

    return ngx_http_image_vault_no_links(cf, clcf, &storage->root);
}


/*
 * The core module has merged: an "off" of the user's can't be told from the
 * default, and links are not followed either way, nor those of their owner.
 */

static char *
ngx_http_image_vault_no_links(ngx_conf_t *cf, ngx_http_core_loc_conf_t *clcf,
    const ngx_str_t *root)
{
#if (NGX_HAVE_OPENAT)

    ngx_http_complex_value_t  *from;

    if (clcf->disable_symlinks == NGX_DISABLE_SYMLINKS_ON) {
        return NGX_CONF_OK;
    }

    /* a value without variables: the root is no template */

    from = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (from == NULL) {
        return NGX_CONF_ERROR;
    }

    from->value = *root;

    clcf->disable_symlinks = NGX_DISABLE_SYMLINKS_ON;
    clcf->disable_symlinks_from = from;

#endif

    return NGX_CONF_OK;
}
