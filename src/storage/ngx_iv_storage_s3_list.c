/*
 * Lists of an S3 bucket: objects and open multipart uploads, page by page.
 */

#include "storage/ngx_iv_storage_s3.h"


void
ngx_iv_s3_list(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_LIST, NULL);
}


void
ngx_iv_s3_uploads(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_UPLOADS, NULL);
}


/* into the operation's pool: it outlives the try */

ngx_int_t
ngx_iv_s3_listed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t             rc;
    ngx_str_t            *doc;
    ngx_iv_storage_op_t  *op;

    op = s->op;
    doc = &s->try->call->body;

    if (s->method == NGX_IV_S3_LIST) {
        rc = ngx_iv_s3_list_objects(op->pool, doc, op->limit, &op->list);

    } else {
        rc = ngx_iv_s3_list_uploads(op->pool, doc, op->limit, &op->list);
    }

    if (rc == NGX_DECLINED) {
        f->code = NGX_IV_STORAGE_UNAVAILABLE;
        f->what = "the answer is no list, or not a whole one";
        f->hint = "the endpoint is no S3 storage, or a proxy in front of it "
                  "answers by itself";
    }

    return rc;
}
