/*
 * The end of a storage block: what needs more than one of its lines.
 * Endpoint and addresses, TLS, URLs, a local storage's folder.
 */

#include "module/ngx_http_image_vault_storage_block.h"

#define NGX_HTTP_IMAGE_VAULT_MIN_SECRET  16


static char *ngx_http_image_vault_storage_s3(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);
static char *ngx_http_image_vault_storage_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);
static char *ngx_http_image_vault_endpoint_host(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block, ngx_str_t *host);
static char *ngx_http_image_vault_virtual_host(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);
static char *ngx_http_image_vault_storage_resolve(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block, in_port_t default_port);
static void ngx_http_image_vault_warn_plain(ngx_conf_t *cf,
    const ngx_iv_storage_conf_t *conf);
static char *ngx_http_image_vault_storage_tls(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);
static char *ngx_http_image_vault_storage_public(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf);
static char *ngx_http_image_vault_expand(ngx_conf_t *cf, ngx_str_t *text,
    const char *from, const ngx_str_t *to);
static ngx_uint_t ngx_http_image_vault_is_url(const ngx_str_t *url,
    ngx_uint_t strict);
static ngx_uint_t ngx_http_image_vault_plain(const ngx_str_t *s, size_t i,
    const char *more);
static char *ngx_http_image_vault_storage_local(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf);
static char *ngx_http_image_vault_local_root(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf);
static char *ngx_http_image_vault_local_url(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf);


char *
ngx_http_image_vault_storage_end(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    ngx_iv_storage_conf_t  *conf;

    conf = block->conf;

    if (conf->public_url.len
        && ngx_http_image_vault_storage_public(cf, conf) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->type == NGX_IV_STORAGE_LOCAL) {
        return ngx_http_image_vault_storage_local(cf, conf);
    }

    return ngx_http_image_vault_storage_s3(cf, block);
}


char *
ngx_http_image_vault_storage_fault(ngx_conf_t *cf,
    const ngx_iv_storage_conf_t *conf, const char *fault)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"image_vault_storage %V\": %s", &conf->name, fault);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_image_vault_storage_s3(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    ngx_uint_t              i;
    ngx_iv_pair_t          *header;
    ngx_iv_storage_conf_t  *conf;

    conf = block->conf;

    if (conf->bucket.len == 0) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                                                  "no \"bucket\" is given");
    }

    if (conf->headers && !conf->public_only) {
        header = conf->headers->elts;

        for (i = 0; i < conf->headers->nelts; i++) {
            if ((header[i].name.len == 9
                 && ngx_strncasecmp(header[i].name.data,
                                    (u_char *) "x-amz-acl", 9) == 0)
                || (header[i].name.len >= 12
                    && ngx_strncasecmp(header[i].name.data,
                                       (u_char *) "x-amz-grant-", 12) == 0))
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "\"image_vault_storage %V\": \"header %V\" "
                                   "needs \"public_only on\"", &conf->name,
                                   &header[i].name);
                return NGX_CONF_ERROR;
            }
        }
    }

    if (conf->credentials.key_id.len == 0
        && ngx_http_image_vault_credentials(cf, conf, NULL, 0) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_image_vault_storage_endpoint(cf, block) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (conf->endpoint.ssl) {
        return ngx_http_image_vault_storage_tls(cf, block);
    }

    ngx_http_image_vault_warn_plain(cf, conf);

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_storage_endpoint(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    ngx_str_t               url, host;
    in_port_t               default_port;
    ngx_iv_storage_conf_t  *conf;

    conf = block->conf;

    if (block->endpoint.len == 0) {

        if (conf->region.len == 4
            && ngx_strncmp(conf->region.data, "auto", 4) == 0)
        {
            return ngx_http_image_vault_storage_fault(cf, conf,
                       "no \"endpoint\" is given, so \"region\" must name "
                       "one of AWS, such as us-east-1");
        }

        block->endpoint.len = sizeof("https://s3..amazonaws.com") - 1
                              + conf->region.len;
        block->endpoint.data = ngx_pnalloc(cf->pool, block->endpoint.len);
        if (block->endpoint.data == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_sprintf(block->endpoint.data, "https://s3.%V.amazonaws.com",
                    &conf->region);
    }

    url = block->endpoint;

    if (url.len > 8
        && ngx_strncasecmp(url.data, (u_char *) "https://", 8) == 0)
    {
        host.data = url.data + 8;
        conf->endpoint.ssl = 1;
        default_port = 443;

    } else if (url.len > 7
               && ngx_strncasecmp(url.data, (u_char *) "http://", 7) == 0)
    {
        host.data = url.data + 7;
        default_port = 80;

    } else {
        host.data = url.data;
        default_port = 0;
    }

    host.len = url.data + url.len - host.data;

    if (host.len && host.data[host.len - 1] == '/') {
        host.len--;
    }

    if (default_port == 0
        || ngx_http_image_vault_endpoint_host(cf, block, &host) != NGX_CONF_OK)
    {
        /* it may hold a password */

        if (ngx_strchr(url.data, '@')) {
            ngx_str_set(&url, "...");
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"image_vault_storage %V\": invalid value \"%V\" "
                           "in \"endpoint\", "
                           "\"https://host[:port]\" or \"http://host[:port]\" "
                           "is expected, without a path: the bucket belongs "
                           "into \"bucket\"", &conf->name, &url);
        return NGX_CONF_ERROR;
    }

    conf->endpoint.host_header = host;

    if (conf->virtual_host
        && ngx_http_image_vault_virtual_host(cf, block) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_storage_resolve(cf, block, default_port);
}


/* host[:port], a name, an IPv4 address or an IPv6 address in brackets */

static char *
ngx_http_image_vault_endpoint_host(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block, ngx_str_t *host)
{
    u_char       c, ch, *p;
    size_t       i, end;
    ngx_uint_t   bracket;

    bracket = (host->len && host->data[0] == '[');
    end = host->len;

    for (i = 0; i < host->len; i++) {
        ch = host->data[i];
        c = (u_char) (ch | 0x20);

        if (bracket) {
            if (ch == ']') {
                bracket = 0;
            }

            if ((c < 'a' || c > 'f') && (ch < '0' || ch > '9') && ch != ':'
                && ch != '.' && ch != '[' && ch != ']')
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ch == ':') {
            end = i;
            break;
        }

        if ((c < 'a' || c > 'z') && (ch < '0' || ch > '9') && ch != '.'
            && ch != '-' && ch != '_')
        {
            return NGX_CONF_ERROR;
        }
    }

    if (end == 0 || bracket) {
        return NGX_CONF_ERROR;
    }

    if (end < host->len
        && ngx_atoi(host->data + end + 1, host->len - end - 1) < 1)
    {
        return NGX_CONF_ERROR;
    }

    p = ngx_pnalloc(cf->pool, host->len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_strlow(p, host->data, host->len);
    p[host->len] = '\0';
    host->data = p;

    block->conf->endpoint.host.data = p;
    block->conf->endpoint.host.len = end;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_virtual_host(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    u_char                 *p, *last;
    ngx_iv_storage_conf_t  *conf;

    conf = block->conf;

    if (conf->endpoint.host.data[0] == '['
        || ngx_inet_addr(conf->endpoint.host.data, conf->endpoint.host.len)
           != INADDR_NONE)
    {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "\"addressing virtual\" needs an endpoint with a name, not "
                   "an address, use \"addressing path\"");
    }

    if (conf->endpoint.ssl
        && ngx_strlchr(conf->bucket.data,
                       conf->bucket.data + conf->bucket.len, '.'))
    {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "a bucket with dots in its name does not match the "
                   "storage's certificate in \"addressing virtual\", use "
                   "\"addressing path\"");
    }

    p = ngx_pnalloc(cf->pool, conf->bucket.len + 1
                              + conf->endpoint.host_header.len + 1);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    last = ngx_sprintf(p, "%V.%V", &conf->bucket, &conf->endpoint.host_header);
    *last = '\0';

    conf->endpoint.host.data = p;
    conf->endpoint.host.len += conf->bucket.len + 1;
    conf->endpoint.host_header.data = p;
    conf->endpoint.host_header.len = last - p;

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_storage_resolve(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block, in_port_t default_port)
{
    ngx_url_t                u;
    ngx_iv_endpoint_conf_t  *endpoint;

    endpoint = &block->conf->endpoint;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = endpoint->host_header;
    u.default_port = default_port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        if (u.err) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s in endpoint \"%V\" of "
                               "\"image_vault_storage %V\"",
                               u.err, &u.url, &block->conf->name);
        }

        return NGX_CONF_ERROR;
    }

    endpoint->addrs = u.addrs;
    endpoint->naddrs = u.naddrs;
    endpoint->port = u.port;

    if (u.port == default_port) {
        endpoint->host_header.len = endpoint->host.len;
    }

    return NGX_CONF_OK;
}


/* no signature covers the bodies: anyone on the way could change them */

static void
ngx_http_image_vault_warn_plain(ngx_conf_t *cf,
    const ngx_iv_storage_conf_t *conf)
{
    ngx_uint_t            i;
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    for (i = 0; i < conf->endpoint.naddrs; i++) {

        switch (conf->endpoint.addrs[i].sockaddr->sa_family) {

        case AF_INET:
            sin = (struct sockaddr_in *) conf->endpoint.addrs[i].sockaddr;

            if ((ntohl(sin->sin_addr.s_addr) >> 24) == 127) {
                continue;
            }

            break;

#if (NGX_HAVE_INET6)
        case AF_INET6:
            sin6 = (struct sockaddr_in6 *) conf->endpoint.addrs[i].sockaddr;

            if (IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr)) {
                continue;
            }

            break;
#endif

        default:
            break;
        }

        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"image_vault_storage %V\" sends images with an "
                           "unsigned payload over plain http to \"%V\", use "
                           "https", &conf->name, &conf->endpoint.host_header);
        return;
    }
}


static char *
ngx_http_image_vault_storage_tls(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block)
{
    ngx_ssl_t               *ssl;
    ngx_pool_cleanup_t      *cln;
    ngx_iv_endpoint_conf_t  *endpoint;

    endpoint = &block->conf->endpoint;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_CONF_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    /* without it sessions are not kept, and each connection costs a whole
     * handshake */

    if (ngx_ssl_client_session_cache(cf, ssl, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    endpoint->ssl_ctx = ssl;
    endpoint->ssl_verify = block->ssl_verify ? 1 : 0;

    if (!block->ssl_verify) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"image_vault_storage %V\" does not verify the "
                           "storage's certificate: \"ssl_verify off\"",
                           &block->conf->name);
        return NGX_CONF_OK;
    }

    if (block->trusted.len) {
        if (ngx_ssl_trusted_certificate(cf, ssl, &block->trusted, 10)
            != NGX_OK)
        {
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (SSL_CTX_set_default_verify_paths(ssl->ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_default_verify_paths() failed");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_storage_public(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf)
{
    if (!conf->public_only) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "\"public_url\" needs \"public_only on\": nothing private "
                   "may live where anyone can read by key");
    }

    if (ngx_http_image_vault_expand(cf, &conf->public_url, "{bucket}",
                                    &conf->bucket)
        != NGX_CONF_OK
        || ngx_http_image_vault_expand(cf, &conf->public_url, "{region}",
                                       &conf->region)
           != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (conf->public_url.len
        && conf->public_url.data[conf->public_url.len - 1] == '/')
    {
        conf->public_url.len--;
    }

    if (!ngx_http_image_vault_is_url(&conf->public_url, 0)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"image_vault_storage %V\": invalid value \"%V\" "
                           "in \"public_url\", \"https://host[:port][/path]\" "
                           "is expected, with {bucket} and {region} where "
                           "they belong, in quotes then", &conf->name,
                           &conf->public_url);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* replaces `from` wherever it stands */

static char *
ngx_http_image_vault_expand(ngx_conf_t *cf, ngx_str_t *text, const char *from,
    const ngx_str_t *to)
{
    u_char  *p, *d, *at, *last;
    size_t   n, size;

    n = ngx_strlen(from);
    size = text->len + 1;

    for (p = (u_char *) ngx_strstr(text->data, from); p;
         p = (u_char *) ngx_strstr(p + n, from))
    {
        size += to->len;
    }

    d = ngx_pnalloc(cf->pool, size);
    if (d == NULL) {
        return NGX_CONF_ERROR;
    }

    p = text->data;
    last = p + text->len;
    text->data = d;

    for ( ;; ) {
        at = (u_char *) ngx_strstr(p, from);
        if (at == NULL) {
            break;
        }

        d = ngx_cpymem(d, p, at - p);
        d = ngx_cpymem(d, to->data, to->len);
        p = at + n;
    }

    d = ngx_cpymem(d, p, last - p);
    *d = '\0';
    text->len = d - text->data;

    return NGX_CONF_OK;
}


/* http(s)://host…, of bytes that need no encoding; strict: in its path also
 * no %XX and no sub-delimiters */

static ngx_uint_t
ngx_http_image_vault_is_url(const ngx_str_t *url, ngx_uint_t strict)
{
    size_t  start;

    if (url->len > 8 && ngx_strncmp(url->data, "https://", 8) == 0) {
        start = 8;

    } else if (url->len > 7 && ngx_strncmp(url->data, "http://", 7) == 0) {
        start = 7;

    } else {
        return 0;
    }

    if (url->data[start] == '/') {
        return 0;
    }

    return ngx_http_image_vault_plain(url, start,
                              strict ? "-._~/:[]" : "-._~/:[]%!$&'()*+,=@");
}


/* from i on, letters, digits and `more` only */

static ngx_uint_t
ngx_http_image_vault_plain(const ngx_str_t *s, size_t i, const char *more)
{
    u_char  c, ch;

    for ( /* void */ ; i < s->len; i++) {
        ch = s->data[i];
        c = (u_char) (ch | 0x20);

        if ((c < 'a' || c > 'z') && (ch < '0' || ch > '9')
            && (ch == '\0' || ngx_strchr(more, ch) == NULL))
        {
            return 0;
        }
    }

    return 1;
}


static char *
ngx_http_image_vault_storage_local(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf)
{
    if (conf->root.len == 0 || conf->url.len == 0 || conf->secret.len == 0) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                   "\"type local\" needs \"root\", \"url\" and \"secret\"");
    }

    if (conf->secret.len < NGX_HTTP_IMAGE_VAULT_MIN_SECRET) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "\"image_vault_storage %V\": a \"secret\" below %d "
                           "bytes can be guessed from a link, make one by "
                           "\"openssl rand -hex 32\"", &conf->name,
                           NGX_HTTP_IMAGE_VAULT_MIN_SECRET);
    }

    if (ngx_http_image_vault_local_root(cf, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_image_vault_local_url(cf, conf);
}


static char *
ngx_http_image_vault_local_root(ngx_conf_t *cf, ngx_iv_storage_conf_t *conf)
{
    ngx_file_info_t  fi;

    if (ngx_conf_full_name(cf->cycle, &conf->root, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    while (conf->root.len && conf->root.data[conf->root.len - 1] == '/') {
        conf->root.len--;
    }

    if (conf->root.len == 0) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                                          "\"root\" can't be \"/\" itself");
    }

    conf->root.data[conf->root.len] = '\0';

    if (ngx_file_info(conf->root.data, &fi) == NGX_FILE_ERROR) {

        /* a volume may be mounted later */

        ngx_conf_log_error(NGX_LOG_WARN, cf, ngx_errno,
                           "\"image_vault_storage %V\": no folder at the "
                           "\"root\" \"%V\" yet", &conf->name, &conf->root);
        return NGX_CONF_OK;
    }

    if (!ngx_is_dir(&fi)) {
        return ngx_http_image_vault_storage_fault(cf, conf,
                                                  "\"root\" is no folder");
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_image_vault_local_url(ngx_conf_t *cf, ngx_iv_storage_conf_t *conf)
{
    size_t       i;
    ngx_str_t   *url, whole;
    ngx_uint_t   valid;

    url = &conf->url;
    whole = *url;

    while (url->len && url->data[url->len - 1] == '/') {
        url->len--;
    }

    if (whole.data[0] != '/') {
        valid = ngx_http_image_vault_is_url(url, 1);

    } else {
        valid = ngx_http_image_vault_plain(url, 0, "-._~/");
    }

    /* a location's name is compared with merged slashes */

    i = (whole.data[0] == '/') ? 1 : sizeof("https://") - 1;

    for ( /* void */ ; i < url->len; i++) {
        if (url->data[i] == '/' && url->data[i - 1] == '/') {
            valid = 0;
        }
    }

    if (valid) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"image_vault_storage %V\": invalid value \"%V\" in "
                       "\"url\", \"/path\" or \"https://host[:port]/path\" of "
                       "A-Z, a-z, 0-9 and -._~/ is expected", &conf->name,
                       &whole);

    return NGX_CONF_ERROR;
}
