/*
 * Which methods a path of ours knows, for preflights.
 */

#include "module/ngx_http_image_vault_module.h"


typedef struct {
    ngx_str_t       path;       /* below the prefix; "*": any one segment */
    ngx_str_t       methods;
} ngx_http_image_vault_route_t;


static ngx_uint_t ngx_http_image_vault_route_is(const ngx_str_t *path,
    const u_char *p, const u_char *last);


/* the first that fits holds */

static const ngx_http_image_vault_route_t  ngx_http_image_vault_routes[] = {
    { ngx_string("upload"), ngx_string("POST, PUT") },
    { ngx_string("user"), ngx_string("GET, HEAD") },
    { ngx_string("usage"), ngx_string("GET, HEAD") },
    { ngx_string("presigned-url"), ngx_string("POST") },
    { ngx_string("bulk"), ngx_string("POST") },
    { ngx_string("direct-upload"), ngx_string("POST") },
    { ngx_string("admin/stats"), ngx_string("GET, HEAD") },
    { ngx_string("admin/images"), ngx_string("GET, HEAD") },
    { ngx_string("admin/images/*/moderate"), ngx_string("POST") },
    { ngx_string("admin/users"), ngx_string("GET, HEAD") },
    { ngx_string("admin/users/*"), ngx_string("GET, HEAD, PATCH") },
    { ngx_string("admin/sweep"), ngx_string("GET, HEAD, POST") },
    { ngx_string("*/view"), ngx_string("GET, HEAD") },
    { ngx_string("*/download"), ngx_string("GET, HEAD") },
    { ngx_string("*/complete"), ngx_string("POST") },
    { ngx_string("*/delete"), ngx_string("POST") },
    { ngx_string("*"), ngx_string("GET, HEAD, PATCH, DELETE") },
    { ngx_null_string, ngx_null_string }
};


void
ngx_http_image_vault_methods(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *methods)
{
    u_char                              *p, *last;
    const ngx_http_image_vault_route_t  *route;

    if (lcf->endpoint == NGX_HTTP_IMAGE_VAULT_UPLOAD) {
        ngx_str_set(methods, "POST, PUT");
        return;
    }

    if (lcf->endpoint != NGX_HTTP_IMAGE_VAULT_API) {
        ngx_str_set(methods, "GET, HEAD");
        return;
    }

    if (r->uri.len > lcf->prefix.len) {
        p = r->uri.data + lcf->prefix.len + 1;
        last = r->uri.data + r->uri.len;

        for (route = ngx_http_image_vault_routes; route->path.len; route++) {

            if (ngx_http_image_vault_route_is(&route->path, p, last)) {
                *methods = route->methods;
                return;
            }
        }
    }

    ngx_str_set(methods, "GET, HEAD, POST, PUT, PATCH, DELETE");
}


static ngx_uint_t
ngx_http_image_vault_route_is(const ngx_str_t *path, const u_char *p,
    const u_char *last)
{
    const u_char  *q, *end;

    q = path->data;
    end = q + path->len;

    while (q < end) {

        if (*q == '*') {
            if (p == last || *p == '/') {
                return 0;
            }

            while (p < last && *p != '/') {
                p++;
            }

            q++;
            continue;
        }

        if (p == last || *p++ != *q++) {
            return 0;
        }
    }

    return p == last;
}
