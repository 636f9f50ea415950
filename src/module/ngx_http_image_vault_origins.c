/*
 * image_vault_cors and image_vault_cors_max_age.
 */

#include "module/ngx_http_image_vault_conf.h"


/* PCRE's own limit lets an origin hold a worker up for a third of a second */

#define NGX_HTTP_IMAGE_VAULT_ANCHOR  "(*LIMIT_MATCH=100000)\\A(?:"


static char *ngx_http_image_vault_cors_add(ngx_conf_t *cf,
    ngx_http_image_vault_cors_t *cors, ngx_str_t *value);
static char *ngx_http_image_vault_cors_regex(ngx_conf_t *cf,
    ngx_http_image_vault_cors_t *cors, ngx_str_t *value);
#if (NGX_PCRE)
static ngx_regex_t *ngx_http_image_vault_cors_compile(ngx_conf_t *cf,
    const ngx_str_t *pattern);
#endif
static ngx_uint_t ngx_http_image_vault_cors_word(const ngx_str_t *value,
    const char *word);


char *
ngx_http_image_vault_cors(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_str_t                    *value;
    ngx_uint_t                    i, n;
    ngx_http_image_vault_cors_t  *cors;

    if (lcf->cors != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    n = cf->args->nelts;

    if (n == 2 && ngx_http_image_vault_cors_word(&value[1], "off")) {
        lcf->cors = NULL;
        return NGX_CONF_OK;
    }

    cors = ngx_pcalloc(cf->pool, sizeof(ngx_http_image_vault_cors_t));
    if (cors == NULL
        || ngx_array_init(&cors->patterns, cf->pool, n,
                          sizeof(ngx_iv_origin_pattern_t))
           != NGX_OK
        || ngx_array_init(&cors->regexes, cf->pool, 1, sizeof(void *))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (n > 2 && ngx_http_image_vault_cors_word(&value[n - 1], "credentials"))
    {
        cors->credentials = 1;
        n--;
    }

    if (n == 2 && ngx_http_image_vault_cors_word(&value[1], "*")) {

        if (cors->credentials) {
            return ngx_http_image_vault_invalid(cf, &value[1],
                         "with \"credentials\" each origin must be named");
        }

        cors->any = 1;
        lcf->cors = cors;
        return NGX_CONF_OK;
    }

    for (i = 1; i < n; i++) {
        if (ngx_http_image_vault_cors_add(cf, cors, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    lcf->cors = cors;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_cors_add(ngx_conf_t *cf,
    ngx_http_image_vault_cors_t *cors, ngx_str_t *value)
{
    const char               *why;
    ngx_iv_origin_pattern_t  *pattern;

    if (ngx_http_image_vault_cors_word(value, "*")
        || ngx_http_image_vault_cors_word(value, "off"))
    {
        return ngx_http_image_vault_invalid(cf, value,
                                            "it must stand alone");
    }

    if (ngx_http_image_vault_cors_word(value, "credentials")) {
        return ngx_http_image_vault_invalid(cf, value,
                                            "it must be the last, after at "
                                            "least one origin");
    }

    if (value->len && value->data[0] == '~') {
        return ngx_http_image_vault_cors_regex(cf, cors, value);
    }

    pattern = ngx_array_push(&cors->patterns);
    if (pattern == NULL) {
        return NGX_CONF_ERROR;
    }

    why = ngx_iv_origin_pattern(cf->pool, pattern, value);

    if (why != NULL) {
        return ngx_http_image_vault_invalid(cf, value, why);
    }

    if (pattern->wildcard && cors->credentials) {
        return ngx_http_image_vault_invalid(cf, value,
                         "with \"credentials\" each origin must be named");
    }

    return NGX_CONF_OK;
}


/* the whole origin must match, also with an alternation in the expression */

static char *
ngx_http_image_vault_cors_regex(ngx_conf_t *cf,
    ngx_http_image_vault_cors_t *cors, ngx_str_t *value)
{
#if (NGX_PCRE)

    u_char        *p;
    ngx_str_t      own, whole;
    ngx_regex_t  **regex;

    if (cors->credentials) {
        return ngx_http_image_vault_invalid(cf, value,
                         "with \"credentials\" each origin must be named");
    }

    if (value->len == 1) {
        return ngx_http_image_vault_invalid(cf, value,
                         "a regular expression must follow \"~\"");
    }

    own.data = value->data + 1;
    own.len = value->len - 1;

    whole.len = own.len + sizeof(NGX_HTTP_IMAGE_VAULT_ANCHOR ")\\z") - 1;
    whole.data = ngx_pnalloc(cf->pool, whole.len + 1);
    if (whole.data == NULL) {
        return NGX_CONF_ERROR;
    }

    p = ngx_cpymem(whole.data, NGX_HTTP_IMAGE_VAULT_ANCHOR,
                   sizeof(NGX_HTTP_IMAGE_VAULT_ANCHOR) - 1);
    p = ngx_cpymem(p, own.data, own.len);
    (void) ngx_cpymem(p, ")\\z", sizeof(")\\z"));

    regex = ngx_array_push(&cors->regexes);
    if (regex == NULL) {
        return NGX_CONF_ERROR;
    }

    /* alone first: a stray parenthesis must not take the anchors off */

    if (ngx_http_image_vault_cors_compile(cf, &own) == NULL) {
        return NGX_CONF_ERROR;
    }

    *regex = ngx_http_image_vault_cors_compile(cf, &whole);

    return *regex ? NGX_CONF_OK : NGX_CONF_ERROR;

#else

    return ngx_http_image_vault_invalid(cf, value,
                     "this nginx was built without the PCRE library");

#endif
}


#if (NGX_PCRE)

static ngx_regex_t *
ngx_http_image_vault_cors_compile(ngx_conf_t *cf, const ngx_str_t *pattern)
{
    u_char                errstr[NGX_MAX_CONF_ERRSTR];
    ngx_str_t            *args;
    ngx_regex_compile_t   rc;

    ngx_memzero(&rc, sizeof(ngx_regex_compile_t));

    rc.pattern = *pattern;
    rc.pool = cf->pool;
    rc.options = NGX_REGEX_CASELESS;
    rc.err.len = NGX_MAX_CONF_ERRSTR;
    rc.err.data = errstr;

    if (ngx_regex_compile(&rc) != NGX_OK) {
        args = cf->args->elts;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid value in \"%V\", %V",
                           &args[0], &rc.err);
        return NULL;
    }

    return rc.regex;
}

#endif


char *
ngx_http_image_vault_cors_max_age(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_image_vault_loc_conf_t  *lcf = conf;

    ngx_int_t   n;
    ngx_str_t  *value;

    if (lcf->cors_max_age != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    if (ngx_http_image_vault_values(cf, 0) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;
    n = ngx_parse_time(&value[1], 1);

    if (n == NGX_ERROR || n > NGX_HTTP_IMAGE_VAULT_WEEK) {
        return ngx_http_image_vault_invalid(cf, &value[1],
                     "a time such as 10m or 1h, at most 7d, is expected");
    }

    lcf->cors_max_age = n;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_image_vault_cors_word(const ngx_str_t *value, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    return value->len == len && ngx_strncmp(value->data, word, len) == 0;
}
