/*
 * The query of a list.  Keys may have bytes that no XML has: they are asked for
 * percent-encoded.
 */

#include "storage/ngx_iv_s3_request.h"


static ngx_uint_t ngx_iv_s3_request_arg(ngx_iv_pair_t *query, ngx_uint_t n,
    const char *name, const ngx_str_t *value);


ngx_uint_t
ngx_iv_s3_request_page(const ngx_iv_s3_request_t *rq, ngx_iv_pair_t *query,
    u_char *number)
{
    ngx_str_t                   max;
    ngx_uint_t                  n;
    const ngx_iv_storage_op_t  *op;

    static const ngx_str_t      url = ngx_string("url");
    static const ngx_str_t      two = ngx_string("2");
    static const ngx_str_t      none = ngx_null_string;

    op = rq->op;

    max.data = number;
    max.len = ngx_sprintf(number, "%ui", op->limit) - number;

    n = 0;

    if (rq->method == NGX_IV_S3_LIST) {
        n = ngx_iv_s3_request_arg(query, n, "list-type", &two);
        n = ngx_iv_s3_request_arg(query, n, "max-keys", &max);

        if (op->after.len) {
            n = ngx_iv_s3_request_arg(query, n, "start-after", &op->after);
        }

    } else {
        n = ngx_iv_s3_request_arg(query, n, "uploads", &none);
        n = ngx_iv_s3_request_arg(query, n, "max-uploads", &max);

        if (op->after.len) {
            n = ngx_iv_s3_request_arg(query, n, "key-marker", &op->after);
        }

        if (op->after_upload.len) {
            n = ngx_iv_s3_request_arg(query, n, "upload-id-marker",
                                      &op->after_upload);
        }
    }

    n = ngx_iv_s3_request_arg(query, n, "encoding-type", &url);

    if (op->prefix.len) {
        n = ngx_iv_s3_request_arg(query, n, "prefix", &op->prefix);
    }

    return n;
}


static ngx_uint_t
ngx_iv_s3_request_arg(ngx_iv_pair_t *query, ngx_uint_t n, const char *name,
    const ngx_str_t *value)
{
    query[n].name.data = (u_char *) name;
    query[n].name.len = ngx_strlen(name);
    query[n].value = *value;

    return n + 1;
}
