/*
 * image_vault_storage name { … }: the table of its lines.
 */

#include "module/ngx_http_image_vault_storage_block.h"

#define NGX_HTTP_IMAGE_VAULT_ANY \
    (NGX_IV_STORAGE_S3|NGX_IV_STORAGE_LOCAL)

#define NGX_HTTP_IMAGE_VAULT_MAX_PART  ((off_t) 5 * 1024 * 1024 * 1024)

/* arguments may hold a secret: file: is taken, values are wiped in the end */
#define NGX_HTTP_IMAGE_VAULT_SECRET    0x01
#define NGX_HTTP_IMAGE_VAULT_REPEATED  0x02


typedef struct ngx_http_image_vault_line_s  ngx_http_image_vault_line_t;

struct ngx_http_image_vault_line_s {
    ngx_str_t       name;
    ngx_uint_t      min;            /* arguments */
    ngx_uint_t      max;
    ngx_uint_t      types;          /* of storages that know it */
    ngx_uint_t      flags;
    char         *(*set)(ngx_conf_t *cf, ngx_http_image_vault_block_t *block,
                         const ngx_http_image_vault_line_t *line,
                         ngx_str_t *args);
    size_t          offset;         /* of what is set, in the storage's conf */
    ngx_int_t       lowest;
};


static char *ngx_http_image_vault_storage_line(ngx_conf_t *cf,
    ngx_command_t *dummy, void *conf);
static char *ngx_http_image_vault_storage_types(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);
static ngx_uint_t ngx_http_image_vault_word(const ngx_str_t *s,
    const char *more);

static char *ngx_http_image_vault_line_type(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_text(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_name(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_addressing(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_credentials(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_payload(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_expect(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_flag(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_header(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_part_size(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_number(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_backoff(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_msec(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);
static char *ngx_http_image_vault_line_ssl(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args);


#define iv_off(field)  offsetof(ngx_iv_storage_conf_t, field)

static const ngx_http_image_vault_line_t  ngx_http_image_vault_lines[] = {

    { ngx_string("type"), 1, 1, NGX_HTTP_IMAGE_VAULT_ANY, 0,
      ngx_http_image_vault_line_type, 0, 0 },

    { ngx_string("endpoint"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_endpoint, 0, 0 },

    { ngx_string("region"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_name, iv_off(region), 0 },

    { ngx_string("bucket"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_name, iv_off(bucket), 0 },

    { ngx_string("addressing"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_addressing, 0, 0 },

    { ngx_string("credentials"), 1, 4, NGX_IV_STORAGE_S3,
      NGX_HTTP_IMAGE_VAULT_SECRET,
      ngx_http_image_vault_line_credentials, 0, 0 },

    { ngx_string("payload"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_payload, 0, 0 },

    { ngx_string("expect_continue"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_expect, 0, 0 },

    { ngx_string("public_url"), 1, 1, NGX_HTTP_IMAGE_VAULT_ANY, 0,
      ngx_http_image_vault_line_text, iv_off(public_url), 0 },

    { ngx_string("public_only"), 1, 1, NGX_HTTP_IMAGE_VAULT_ANY, 0,
      ngx_http_image_vault_line_flag, iv_off(public_only), 0 },

    { ngx_string("header"), 2, 2, NGX_IV_STORAGE_S3,
      NGX_HTTP_IMAGE_VAULT_REPEATED,
      ngx_http_image_vault_line_header, 0, 0 },

    { ngx_string("part_size"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_part_size, 0, 0 },

    { ngx_string("retries"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_number, iv_off(retries), 0 },

    { ngx_string("backoff"), 2, 2, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_backoff, 0, 0 },

    { ngx_string("max_active"), 1, 1, NGX_HTTP_IMAGE_VAULT_ANY, 0,
      ngx_http_image_vault_line_number, iv_off(max_active), 1 },

    { ngx_string("connect_timeout"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_msec, iv_off(endpoint.connect_timeout), 1 },

    { ngx_string("send_timeout"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_msec, iv_off(endpoint.send_timeout), 1 },

    { ngx_string("read_timeout"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_msec, iv_off(endpoint.read_timeout), 1 },

    { ngx_string("keepalive"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_number, iv_off(endpoint.keepalive), 0 },

    { ngx_string("keepalive_timeout"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_msec, iv_off(endpoint.keepalive_timeout), 1 },

    { ngx_string("ssl_verify"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_ssl, 0, 0 },

    { ngx_string("ssl_trusted_certificate"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_ssl, 0, 0 },

    { ngx_string("ssl_name"), 1, 1, NGX_IV_STORAGE_S3, 0,
      ngx_http_image_vault_line_text, iv_off(endpoint.ssl_name), 0 },

    { ngx_string("root"), 1, 1, NGX_IV_STORAGE_LOCAL, 0,
      ngx_http_image_vault_line_text, iv_off(root), 0 },

    { ngx_string("url"), 1, 1, NGX_IV_STORAGE_LOCAL, 0,
      ngx_http_image_vault_line_text, iv_off(url), 0 },

    { ngx_string("secret"), 1, 1, NGX_IV_STORAGE_LOCAL,
      NGX_HTTP_IMAGE_VAULT_SECRET,
      ngx_http_image_vault_line_text, iv_off(secret), 0 },

    { ngx_null_string, 0, 0, 0, 0, NULL, 0, 0 }
};


/* headers that the module sets or signs itself, or that belong to HTTP */

static const ngx_str_t  ngx_http_image_vault_own_headers[] = {
    ngx_string("authorization"),
    ngx_string("connection"),
    ngx_string("content-disposition"),
    ngx_string("content-length"),
    ngx_string("content-md5"),
    ngx_string("content-type"),
    ngx_string("date"),
    ngx_string("expect"),
    ngx_string("host"),
    ngx_string("if-match"),
    ngx_string("if-none-match"),
    ngx_string("keep-alive"),
    ngx_string("te"),
    ngx_string("trailer"),
    ngx_string("transfer-encoding"),
    ngx_string("upgrade"),
    ngx_string("x-amz-content-sha256"),
    ngx_string("x-amz-date"),
    ngx_string("x-amz-security-token"),
    ngx_null_string
};


char *
ngx_http_image_vault_storage_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_main_conf_t  *mcf = conf;

    char                          *rv;
    ngx_str_t                     *value;
    ngx_conf_t                     save;
    ngx_iv_storage_conf_t         *sc, **slot;
    ngx_http_image_vault_block_t   block;

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (value[1].len > 64 || !ngx_http_image_vault_word(&value[1], "_.-")) {
        return ngx_http_image_vault_invalid(cf, &value[1],
                     "a name of 1-64 bytes of A-Z, a-z, 0-9 and _.- is "
                     "expected");
    }

    if (ngx_http_image_vault_storage_find(mcf, &value[1]) != NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"image_vault_storage %V\" is duplicate",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    sc = ngx_pcalloc(cf->pool, sizeof(ngx_iv_storage_conf_t));
    if (sc == NULL) {
        return NGX_CONF_ERROR;
    }

    sc->name = value[1];
    sc->type = NGX_IV_STORAGE_S3;
    ngx_str_set(&sc->region, "auto");
    sc->expect = NGX_IV_EXPECT_AUTO;
    sc->part_size = 8 * 1024 * 1024;
    sc->retries = 3;
    sc->backoff_min = 100;
    sc->backoff_max = 5000;
    sc->max_active = 256;
    sc->endpoint.connect_timeout = 5000;
    sc->endpoint.send_timeout = 60000;
    sc->endpoint.read_timeout = 60000;
    sc->endpoint.continue_timeout = 1000;
    sc->endpoint.refresh = 30000;
    sc->endpoint.keepalive = 64;
    sc->endpoint.keepalive_timeout = 60000;

    ngx_memzero(&block, sizeof(ngx_http_image_vault_block_t));
    block.conf = sc;
    block.ssl_verify = 1;

    save = *cf;
    cf->handler = ngx_http_image_vault_storage_line;
    cf->handler_conf = (void *) &block;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_http_image_vault_storage_types(cf, &block) != NGX_CONF_OK
        || ngx_http_image_vault_storage_end(cf, &block) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    slot = ngx_array_push(&mcf->storages);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = sc;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_image_vault_storage_find(ngx_http_image_vault_main_conf_t *mcf,
    const ngx_str_t *name)
{
    ngx_uint_t               i;
    ngx_iv_storage_conf_t  **storages;

    storages = mcf->storages.elts;

    for (i = 0; i < mcf->storages.nelts; i++) {
        if (storages[i]->name.len == name->len
            && ngx_strncmp(storages[i]->name.data, name->data, name->len) == 0)
        {
            return (ngx_int_t) i;
        }
    }

    return NGX_ERROR;
}


static char *
ngx_http_image_vault_storage_line(ngx_conf_t *cf, ngx_command_t *dummy,
    void *conf)
{
    ngx_http_image_vault_block_t  *block = conf;

    char                               *rv;
    uint32_t                            bit;
    ngx_str_t                          *value;
    const ngx_http_image_vault_line_t  *line;

    value = cf->args->elts;

    if (value[0].len == 7 && ngx_strcmp(value[0].data, "include") == 0) {
        if (cf->args->nelts != 2) {
            return "invalid number of arguments in \"include\" directive";
        }

        return ngx_conf_include(cf, dummy, conf);
    }

    bit = 1;

    for (line = ngx_http_image_vault_lines; line->name.len; line++) {

        if (line->name.len == value[0].len
            && ngx_strncmp(line->name.data, value[0].data, value[0].len) == 0)
        {
            goto found;
        }

        bit <<= 1;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in \"image_vault_storage "
                       "%V\"", &value[0], &block->conf->name);

    return NGX_CONF_ERROR;

found:

    if ((block->seen & bit)
        && !(line->flags & NGX_HTTP_IMAGE_VAULT_REPEATED))
    {
        rv = "is duplicate";
        goto failed;
    }

    block->seen |= bit;

    if (cf->args->nelts - 1 < line->min || cf->args->nelts - 1 > line->max) {
        rv = "has an invalid number of arguments";
        goto failed;
    }

    if (ngx_http_image_vault_values(cf, line->flags
                                        & NGX_HTTP_IMAGE_VAULT_SECRET)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return line->set(cf, block, line, &value[1]);

failed:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"%V\" directive in \"image_vault_storage %V\" %s",
                       &value[0], &block->conf->name, rv);

    return NGX_CONF_ERROR;
}


/* the type may stand below lines that belong to the other one */

static char *
ngx_http_image_vault_storage_types(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    uint32_t                            bit;
    const ngx_http_image_vault_line_t  *line;

    bit = 1;

    for (line = ngx_http_image_vault_lines; line->name.len; line++) {

        if ((block->seen & bit) && !(line->types & block->conf->type)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" in \"image_vault_storage %V\" is for "
                               "\"type %s\" only", &line->name,
                               &block->conf->name,
                               block->conf->type == NGX_IV_STORAGE_S3
                               ? "local" : "s3");
            return NGX_CONF_ERROR;
        }

        bit <<= 1;
    }

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_image_vault_word(const ngx_str_t *s, const char *more)
{
    u_char  c, ch;
    size_t  i;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];
        c = (u_char) (ch | 0x20);

        if ((c < 'a' || c > 'z') && (ch < '0' || ch > '9')
            && (ch == '\0' || ngx_strchr(more, ch) == NULL))
        {
            return 0;
        }
    }

    return s->len > 0;
}


static char *
ngx_http_image_vault_line_type(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (ngx_strcmp(args[0].data, "s3") == 0) {
        block->conf->type = NGX_IV_STORAGE_S3;

    } else if (ngx_strcmp(args[0].data, "local") == 0) {
        block->conf->type = NGX_IV_STORAGE_LOCAL;

    } else {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                            "\"s3\" or \"local\" is expected");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_text(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (args[0].len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "empty value in \"%V\" of \"image_vault_storage "
                           "%V\"", &line->name, &block->conf->name);
        return NGX_CONF_ERROR;
    }

    *(ngx_str_t *) ((char *) block->conf + line->offset) = args[0];

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_name(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (args[0].len > 255 || !ngx_http_image_vault_word(&args[0], "_.-")) {
        return ngx_http_image_vault_invalid(cf, &args[0],
                     "1-255 bytes of A-Z, a-z, 0-9 and _.- are expected");
    }

    *(ngx_str_t *) ((char *) block->conf + line->offset) = args[0];

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    block->endpoint = args[0];

    /* what is wrong with it is said at the block's end */
    if (args[0].len == 0) {
        return ngx_http_image_vault_invalid(cf, &args[0],
                     "\"https://host[:port]\" or \"http://host[:port]\" is "
                     "expected");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_addressing(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (ngx_strcmp(args[0].data, "path") == 0) {
        block->conf->virtual_host = 0;

    } else if (ngx_strcmp(args[0].data, "virtual") == 0) {
        block->conf->virtual_host = 1;

    } else {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                    "\"path\" or \"virtual\" is expected");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_credentials(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    return ngx_http_image_vault_credentials(cf, block->conf, args,
                                            cf->args->nelts - 1);
}


static char *
ngx_http_image_vault_line_payload(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (ngx_strcmp(args[0].data, "unsigned") == 0) {
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(args[0].data, "trailer") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"payload trailer\" is not supported yet, "
                           "\"unsigned\" is expected");
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_invalid(cf, &args[0],
                                        "\"unsigned\" is expected");
}


static char *
ngx_http_image_vault_line_expect(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (ngx_strcmp(args[0].data, "auto") == 0) {
        block->conf->expect = NGX_IV_EXPECT_AUTO;

    } else if (ngx_strcmp(args[0].data, "on") == 0) {
        block->conf->expect = NGX_IV_EXPECT_ON;

    } else if (ngx_strcmp(args[0].data, "off") == 0) {
        block->conf->expect = NGX_IV_EXPECT_OFF;

    } else {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                  "\"auto\", \"on\" or \"off\" is expected");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_flag(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    return ngx_http_image_vault_on_off(cf, &args[0],
                     (ngx_flag_t *) ((char *) block->conf + line->offset));
}


static char *
ngx_http_image_vault_line_header(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    size_t            i;
    ngx_iv_pair_t    *pair;
    const ngx_str_t  *own;

    if (!ngx_http_image_vault_word(&args[0], "!#$%&'*+-.^_`|~")) {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                            "a header's name is expected");
    }

    for (own = ngx_http_image_vault_own_headers; own->len; own++) {
        if (own->len == args[0].len
            && ngx_strncasecmp(own->data, args[0].data, own->len) == 0)
        {
            return ngx_http_image_vault_invalid(cf, &args[0],
                               "the module sets this header itself");
        }
    }

    for (i = 0; i < args[1].len; i++) {
        if (args[1].data[i] < ' ' || args[1].data[i] > '~') {
            return ngx_http_image_vault_invalid(cf, &args[0],
                           "a header's value must be of printable ASCII");
        }
    }

    if (args[1].len == 0) {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                       "a header's value can't be empty");
    }

    if (block->conf->headers == NULL) {
        block->conf->headers = ngx_array_create(cf->pool, 4,
                                                sizeof(ngx_iv_pair_t));
        if (block->conf->headers == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    pair = block->conf->headers->elts;

    for (i = 0; i < block->conf->headers->nelts; i++) {
        if (pair[i].name.len == args[0].len
            && ngx_strncasecmp(pair[i].name.data, args[0].data, args[0].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"header %V\" in \"image_vault_storage %V\" "
                               "is duplicate", &args[0], &block->conf->name);
            return NGX_CONF_ERROR;
        }
    }

    pair = ngx_array_push(block->conf->headers);
    if (pair == NULL) {
        return NGX_CONF_ERROR;
    }

    pair->name = args[0];
    pair->value = args[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_part_size(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    off_t  size;

    if (ngx_http_image_vault_size(cf, &args[0], 5 * 1024 * 1024,
                         ngx_min(NGX_HTTP_IMAGE_VAULT_MAX_PART,
                                 (off_t) NGX_MAX_SIZE_T_VALUE), &size)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    block->conf->part_size = (size_t) size;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_line_number(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    return ngx_http_image_vault_number(cf, &args[0], line->lowest, 65535,
                     (ngx_uint_t *) ((char *) block->conf + line->offset));
}


static char *
ngx_http_image_vault_line_backoff(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    ngx_iv_storage_conf_t  *conf;

    conf = block->conf;

    if (ngx_http_image_vault_msec(cf, &args[0], 1, &conf->backoff_min)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_msec(cf, &args[1], conf->backoff_min,
                                     &conf->backoff_max);
}


static char *
ngx_http_image_vault_line_msec(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    return ngx_http_image_vault_msec(cf, &args[0], line->lowest,
                     (ngx_msec_t *) ((char *) block->conf + line->offset));
}


static char *
ngx_http_image_vault_line_ssl(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block,
    const ngx_http_image_vault_line_t *line, ngx_str_t *args)
{
    if (line->name.len == sizeof("ssl_verify") - 1) {
        return ngx_http_image_vault_on_off(cf, &args[0], &block->ssl_verify);
    }

    if (args[0].len == 0) {
        return ngx_http_image_vault_invalid(cf, &args[0],
                                            "a file's name is expected");
    }

    block->trusted = args[0];

    return NGX_CONF_OK;
}
