/*
 * Who asks, and from which site.
 */

#include "module/ngx_http_image_vault_module.h"


#define NGX_HTTP_IMAGE_VAULT_SHOWN  64


static void ngx_http_image_vault_odd_owner(ngx_http_request_t *r,
    const ngx_str_t *owner);
static ngx_uint_t ngx_http_image_vault_own_origin(ngx_http_request_t *r,
    const ngx_str_t *origin, ngx_uint_t any_scheme);
static ngx_uint_t ngx_http_image_vault_same(const ngx_str_t *one,
    const ngx_str_t *two);
static void ngx_http_image_vault_cut_port(ngx_str_t *host,
    const ngx_str_t *scheme);


ngx_int_t
ngx_http_image_vault_identity(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_str_t                         value;
    ngx_http_image_vault_loc_conf_t  *lcf;

    if (ctx->owner_known) {
        return NGX_OK;
    }

    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    ngx_str_null(&ctx->owner);
    ctx->admin = 0;

    if (lcf->admin != NULL) {
        if (ngx_http_complex_value(r, lcf->admin, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len && !(value.len == 1 && value.data[0] == '0')) {
            ctx->admin = 1;
        }
    }

    if (lcf->owner != NULL) {
        if (ngx_http_complex_value(r, lcf->owner, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        if (value.len) {
            if (!ngx_iv_owner_valid(&value)) {
                ctx->admin = 0;
                ngx_http_image_vault_odd_owner(r, &value);
                return NGX_IV_UNAUTHENTICATED;
            }

            ctx->owner.data = ngx_pstrdup(r->pool, &value);
            if (ctx->owner.data == NULL) {
                return NGX_ERROR;
            }

            ctx->owner.len = value.len;

            ngx_http_image_vault_fold_owner(&ctx->owner);
        }
    }

    ctx->owner_known = 1;

    return NGX_OK;
}


void
ngx_http_image_vault_fold_owner(ngx_str_t *owner)
{
    u_char  id[NGX_IV_ID_LEN];

    if (ngx_iv_parse_id(owner, id) == NGX_OK) {
        ngx_strlow(owner->data, owner->data, owner->len);
    }
}


/* the value is hostile: only what an owner may consist of is shown */

static void
ngx_http_image_vault_odd_owner(ngx_http_request_t *r, const ngx_str_t *owner)
{
    u_char  *p, text[NGX_HTTP_IMAGE_VAULT_SHOWN];
    size_t   i, n;

    n = ngx_min(owner->len, NGX_HTTP_IMAGE_VAULT_SHOWN);
    p = text;

    for (i = 0; i < n; i++) {
        *p++ = (owner->data[i] > 0x20 && owner->data[i] < 0x7f
                && owner->data[i] != '"' && owner->data[i] != '\\')
               ? owner->data[i] : '?';
    }

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "image_vault: the owner is not valid: \"%*s\"%s, %uz bytes",
                  n, text, owner->len > n ? "..." : "", owner->len);
}


ngx_str_t *
ngx_http_image_vault_header_in(ngx_http_request_t *r, const char *name,
    ngx_uint_t *n)
{
    ngx_str_t                       *found;
    ngx_uint_t                       count;
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   it;

    found = NULL;
    count = 0;

    for (h = ngx_http_image_vault_first_header(&it, &r->headers_in.headers,
                                               name);
         h;
         h = ngx_http_image_vault_next_header(&it))
    {
        if (count++ == 0) {
            found = &h->value;
        }
    }

    if (n != NULL) {
        *n = count;
    }

    return found;
}


void
ngx_http_image_vault_host(ngx_http_request_t *r, ngx_str_t *host)
{
    if (r->headers_in.host != NULL) {
        *host = r->headers_in.host->value;

    } else if (r->http_version > NGX_HTTP_VERSION_11 && r->host_start) {

        /* HTTP/3's :authority makes no Host */

        host->data = r->host_start;
        host->len = r->host_end - r->host_start;

    } else {
        *host = r->headers_in.server;
    }
}


void
ngx_http_image_vault_scheme(ngx_http_request_t *r, ngx_str_t *scheme)
{
#if (NGX_HTTP_SSL)
    if (r->connection->ssl) {
        ngx_str_set(scheme, "https");
        return;
    }
#endif

    ngx_str_set(scheme, "http");
}


/* the browser's word decides: Sec-Fetch-Site can't be set by a page */

ngx_int_t
ngx_http_image_vault_same_site(ngx_http_request_t *r)
{
    ngx_str_t   *origin, *site;
    ngx_uint_t   norigins, nsites, same;

    origin = ngx_http_image_vault_header_in(r, "origin", &norigins);
    site = ngx_http_image_vault_header_in(r, "sec-fetch-site", &nsites);

    if (origin == NULL) {

        if (site != NULL
            && (nsites > 1
                || (site->len == sizeof("cross-site") - 1
                    && ngx_strncasecmp(site->data, (u_char *) "cross-site",
                                       site->len)
                       == 0)))
        {
            return NGX_IV_FORBIDDEN;
        }

        return NGX_OK;
    }

    if (norigins > 1) {
        return NGX_IV_FORBIDDEN;
    }

    same = site != NULL && nsites == 1
           && site->len == sizeof("same-origin") - 1
           && ngx_strncasecmp(site->data, (u_char *) "same-origin", site->len)
              == 0;

    if (!ngx_http_image_vault_own_origin(r, origin, same)
        && !ngx_http_image_vault_cors_listed(r, origin))
    {
        return NGX_IV_FORBIDDEN;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_image_vault_own_origin(ngx_http_request_t *r,
    const ngx_str_t *origin, ngx_uint_t any_scheme)
{
    u_char     *p, *last;
    ngx_str_t   scheme, theirs, host, authority;

    static const ngx_str_t  http = ngx_string("http");
    static const ngx_str_t  https = ngx_string("https");

    ngx_http_image_vault_host(r, &host);
    ngx_http_image_vault_scheme(r, &scheme);

    last = origin->data + origin->len;

    p = ngx_strlchr(origin->data, last, ':');

    if (p == NULL || last - p < 4 || p[1] != '/' || p[2] != '/') {
        /* also "null" */
        return 0;
    }

    theirs.data = origin->data;
    theirs.len = p - origin->data;

    authority.data = p + 3;
    authority.len = last - authority.data;

    /* without TLS of our own, a proxy before us may have ended it */

    if (!any_scheme && !ngx_http_image_vault_same(&theirs, &scheme)
        && !(ngx_http_image_vault_same(&scheme, &http)
             && ngx_http_image_vault_same(&theirs, &https)))
    {
        return 0;
    }

    ngx_http_image_vault_cut_port(&authority, &theirs);
    ngx_http_image_vault_cut_port(&host, &theirs);

    return host.len && ngx_http_image_vault_same(&host, &authority);
}


static ngx_uint_t
ngx_http_image_vault_same(const ngx_str_t *one, const ngx_str_t *two)
{
    return one->len == two->len
           && ngx_strncasecmp(one->data, two->data, one->len) == 0;
}


/* browsers leave the scheme's own port out; other clients may not */

static void
ngx_http_image_vault_cut_port(ngx_str_t *host, const ngx_str_t *scheme)
{
    ngx_str_t  port;

    if (scheme->len == sizeof("https") - 1) {
        ngx_str_set(&port, ":443");

    } else {
        ngx_str_set(&port, ":80");
    }

    if (host->len > port.len
        && ngx_memcmp(host->data + host->len - port.len, port.data, port.len)
           == 0)
    {
        host->len -= port.len;
    }
}
