/*
 * What direct uploads need of an S3 bucket: a URL for the client's PUT, pieces
 * of what it has sent, and a copy to where it belongs.
 */

#include "storage/ngx_iv_storage_s3.h"


static ngx_int_t ngx_iv_s3_range(const ngx_str_t *range, off_t *from,
    off_t *to, off_t *size);


void
ngx_iv_s3_get(ngx_iv_storage_op_t *op)
{
    if (op->length == 0) {
        ngx_iv_storage_post(op, NGX_OK);
        return;
    }

    ngx_iv_s3_start(op, NGX_IV_S3_GET, NULL);
}


void
ngx_iv_s3_copy(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_COPY, NULL);
}


ngx_int_t
ngx_iv_s3_ticket(ngx_iv_storage_t *st, ngx_pool_t *pool, void *ticket)
{
    time_t                    skew;
    ngx_int_t                 rc;
    ngx_iv_s3_t              *s3;
    ngx_iv_storage_ticket_t  *tk;

    s3 = st->state;
    tk = ticket;

    /* the storage judges by its own clock */

    skew = ngx_iv_s3_skew(st);

    tk->signing += skew;
    tk->expires += skew;

    rc = ngx_iv_s3_request_ticket(pool, st->conf, &s3->cache, tk);

    tk->signing -= skew;
    tk->expires -= skew;

    return rc;
}


/* exactly the piece that was asked for: other bytes would be hashed as if they
 * were these */

ngx_int_t
ngx_iv_s3_got(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    off_t                 from, to, size;
    ngx_iv_call_t        *call;
    ngx_iv_storage_op_t  *op;

    op = s->op;
    call = s->try->call;

    if (ngx_iv_s3_range(&s->try->range, &from, &to, &size) != NGX_OK) {
        from = 0;
        size = call->response->content_length;
        to = size - 1;
    }

    if (from != op->offset
        || to - from + 1 != (off_t) op->length
        || call->body.len != op->length)
    {
        f->code = NGX_IV_STORAGE_UNAVAILABLE;
        f->what = "the answer is not the piece that was asked for";
        f->hint = "the endpoint does not know ranges, or a proxy in front of "
                  "it changes answers";
        return NGX_DECLINED;
    }

    op->found_size = size;
    op->etag_opaque = s->try->opaque;

    return ngx_iv_s3_set_etag(s, s->try->etag);
}


/* "bytes 0-99/1234".  NGX_OK or NGX_DECLINED */

static ngx_int_t
ngx_iv_s3_range(const ngx_str_t *range, off_t *from, off_t *to, off_t *size)
{
    u_char      *p, *last, *start;
    off_t       *out[3];
    ngx_uint_t   i;

    static const u_char  ends[] = { '-', '/' };

    out[0] = from;
    out[1] = to;
    out[2] = size;

    if (range->len < sizeof("bytes ") - 1
        || ngx_strncasecmp(range->data, (u_char *) "bytes ",
                           sizeof("bytes ") - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    p = range->data + sizeof("bytes ") - 1;
    last = range->data + range->len;

    for (i = 0; i < 3; i++) {
        start = p;

        while (p < last && *p >= '0' && *p <= '9') {
            p++;
        }

        *out[i] = ngx_atoof(start, p - start);

        if (*out[i] == NGX_ERROR) {
            return NGX_DECLINED;
        }

        if (i < 2 && (p == last || *p++ != ends[i])) {
            return NGX_DECLINED;
        }
    }

    return (p == last && *from <= *to && *to < *size) ? NGX_OK : NGX_DECLINED;
}


/* as with a completion, an error may follow a 200 */

ngx_int_t
ngx_iv_s3_copied(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t             rc;
    ngx_str_t             etag;
    ngx_iv_call_t        *call;
    ngx_iv_s3_try_t      *t;
    ngx_iv_s3_verdict_t   v;

    t = s->try;
    call = t->call;

    rc = ngx_iv_s3_copy_result(t->pool, &call->body, &etag);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        s->op->etag_opaque = t->opaque;

        return ngx_iv_s3_set_etag(s, etag);
    }

    rc = ngx_iv_s3_error_parse(t->pool, &call->body, &f->error);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {

        /* what is not known is taken as a fault of the storage's own */

        ngx_iv_s3_error_judge(500, &f->error, &v);

        f->code = v.code;
        f->retry = v.retry;
        f->hint = v.hint;

        return NGX_DECLINED;
    }

    f->code = NGX_IV_STORAGE_UNAVAILABLE;
    f->retry = 1;
    f->what = "the answer to a copy has no ETag";
    f->hint = "the endpoint is no S3 storage, or a proxy in front of it "
              "answers by itself";

    return NGX_DECLINED;
}
