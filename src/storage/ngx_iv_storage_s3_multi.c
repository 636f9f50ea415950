/*
 * Multipart uploads of an S3 bucket: what is sent to complete one, and how one
 * learns what became of it.
 *
 * The answer to a completion may be lost, or an error may follow a 200: the
 * request is repeated then, and "no such upload" means that the object, if it
 * is there, is ours: its key is fresh for every upload.
 */

#include "storage/ngx_iv_storage_s3.h"
#include "base/ngx_iv_str.h"


#define NGX_IV_S3_MULTI_HEAD                                                  \
    "<CompleteMultipartUpload "                                               \
    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define NGX_IV_S3_MULTI_TAIL  "</CompleteMultipartUpload>"

#define NGX_IV_S3_MULTI_PART  "<Part><PartNumber>"
#define NGX_IV_S3_MULTI_ETAG  "</PartNumber><ETag>&quot;"
#define NGX_IV_S3_MULTI_NEXT  "&quot;</ETag></Part>"

/* hex, "-", a number */
#define NGX_IV_S3_MULTI_SUM  (2 * NGX_IV_MD5_LEN + 1 + NGX_INT_T_LEN)


static ngx_int_t ngx_iv_s3_multi_check(ngx_iv_storage_op_t *op);
static ngx_int_t ngx_iv_s3_multi_body(ngx_iv_storage_op_t *op,
    ngx_str_t *body);
static ngx_int_t ngx_iv_s3_multi_sum(const ngx_iv_storage_op_t *op,
    u_char *buf, ngx_str_t *sum);
static ngx_int_t ngx_iv_s3_multi_verify(ngx_iv_s3_op_t *s,
    ngx_iv_s3_failure_t *f);


void
ngx_iv_s3_multi_create(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_CREATE, NULL);
}


void
ngx_iv_s3_multi_part(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_PART, NULL);
}


void
ngx_iv_s3_multi_complete(ngx_iv_storage_op_t *op)
{
    ngx_str_t  body;

    op->state = NULL;

    if (ngx_iv_s3_multi_check(op) != NGX_OK) {
        ngx_iv_storage_post(op, NGX_IV_STORAGE_UNAVAILABLE);
        return;
    }

    if (ngx_iv_s3_multi_body(op, &body) != NGX_OK) {
        ngx_iv_storage_post(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_s3_start(op, NGX_IV_S3_COMPLETE, &body);
}


void
ngx_iv_s3_multi_abort(ngx_iv_storage_op_t *op)
{
    ngx_iv_s3_start(op, NGX_IV_S3_ABORT, NULL);
}


/* a wrong part must not become part of an object */

static ngx_int_t
ngx_iv_s3_multi_check(ngx_iv_storage_op_t *op)
{
    u_char                        hex[2 * NGX_IV_MD5_LEN];
    ngx_uint_t                    i;
    const ngx_iv_storage_part_t  *part;

    if (op->nparts == 0) {
        ngx_log_error(NGX_LOG_ALERT, op->log, 0,
                      "storage \"%V\": a multipart upload without parts is "
                      "to be completed", &op->storage->conf->name);
        return NGX_DECLINED;
    }

    for (i = 0; i < op->nparts; i++) {
        part = &op->parts[i];

        (void) ngx_iv_hex(hex, part->md5, NGX_IV_MD5_LEN);

        if (part->opaque
            || (part->etag.len == sizeof(hex)
                && ngx_strncasecmp(part->etag.data, hex, sizeof(hex)) == 0))
        {
            continue;
        }

        ngx_log_error(NGX_LOG_ERR, op->log, 0,
                      "storage \"%V\": the ETag \"%V\" of part %ui is not its "
                      "MD5", &op->storage->conf->name, &part->etag, i + 1);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_multi_body(ngx_iv_storage_op_t *op, ngx_str_t *body)
{
    u_char      *p;
    size_t       size, k;
    ngx_str_t    etag;
    ngx_uint_t   i;

    size = sizeof(NGX_IV_S3_MULTI_HEAD NGX_IV_S3_MULTI_TAIL) - 1;

    for (i = 0; i < op->nparts; i++) {
        etag = op->parts[i].etag;

        size += sizeof(NGX_IV_S3_MULTI_PART NGX_IV_S3_MULTI_ETAG
                       NGX_IV_S3_MULTI_NEXT) - 1
                + NGX_INT_T_LEN + etag.len;

        for (k = 0; k < etag.len; k++) {
            if (etag.data[k] == '<' || etag.data[k] == '&') {
                return NGX_ERROR;
            }
        }
    }

    p = ngx_pnalloc(op->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    p = ngx_cpymem(p, NGX_IV_S3_MULTI_HEAD, sizeof(NGX_IV_S3_MULTI_HEAD) - 1);

    for (i = 0; i < op->nparts; i++) {
        p = ngx_sprintf(p, NGX_IV_S3_MULTI_PART "%ui" NGX_IV_S3_MULTI_ETAG
                        "%V" NGX_IV_S3_MULTI_NEXT,
                        i + 1, &op->parts[i].etag);
    }

    p = ngx_cpymem(p, NGX_IV_S3_MULTI_TAIL, sizeof(NGX_IV_S3_MULTI_TAIL) - 1);

    body->len = p - body->data;

    return NGX_OK;
}


/* the ETag of the object: the MD5 of the parts' MD5s and their number */

static ngx_int_t
ngx_iv_s3_multi_sum(const ngx_iv_storage_op_t *op, u_char *buf, ngx_str_t *sum)
{
    u_char          *p, md5[NGX_IV_MD5_LEN], sha256[NGX_IV_SHA256_LEN];
    ngx_uint_t       i;
    ngx_iv_hash_t    hash;

    if (ngx_iv_hash_init(&hash) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < op->nparts; i++) {
        if (ngx_iv_hash_update(&hash, op->parts[i].md5, NGX_IV_MD5_LEN)
            != NGX_OK)
        {
            ngx_iv_hash_free(&hash);
            return NGX_ERROR;
        }
    }

    if (ngx_iv_hash_final(&hash, md5, sha256) != NGX_OK) {
        ngx_iv_hash_free(&hash);
        return NGX_ERROR;
    }

    ngx_iv_hash_free(&hash);

    p = ngx_iv_hex(buf, md5, NGX_IV_MD5_LEN);
    p = ngx_sprintf(p, "-%ui", op->nparts);

    sum->data = buf;
    sum->len = p - buf;

    return NGX_OK;
}


ngx_int_t
ngx_iv_s3_created(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t             rc;
    ngx_iv_call_t        *call;
    ngx_iv_storage_op_t  *op;

    op = s->op;
    call = s->try->call;

    /* into the operation's pool: it outlives the try */

    rc = ngx_iv_s3_multi_created(op->pool, &call->body, &op->upload_id);

    if (rc == NGX_DECLINED) {
        f->code = NGX_IV_STORAGE_UNAVAILABLE;
        f->what = "the answer has no UploadId";
        f->hint = "the endpoint is no S3 storage, or a proxy in front of it "
                  "answers by itself";
    }

    return rc;
}


/*
 * The status is 200 as soon as the storage begins: white space keeps the
 * connection alive, then comes a result or an error.
 */

ngx_int_t
ngx_iv_s3_completed(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t             rc;
    ngx_str_t             etag;
    ngx_iv_call_t        *call;
    ngx_iv_s3_try_t      *t;
    ngx_iv_s3_verdict_t   v;

    t = s->try;
    call = t->call;

    rc = ngx_iv_s3_error_parse(t->pool, &call->body, &f->error);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {

        /* what is not known is taken as a fault of the storage's own */

        ngx_iv_s3_error_judge(500, &f->error, &v);

        if (v.code == NGX_IV_NOT_FOUND) {
            ngx_iv_s3_settle(s);
            return NGX_DONE;
        }

        f->code = v.code;
        f->retry = v.retry;
        f->hint = v.hint;

        s->unclear = 1;

        return NGX_DECLINED;
    }

    rc = ngx_iv_s3_multi_completed(t->pool, &call->body, &etag);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        etag = t->etag;
    }

    if (etag.len == 0) {
        ngx_iv_s3_settle(s);
        return NGX_DONE;
    }

    s->op->etag_opaque = t->opaque;

    if (ngx_iv_s3_set_etag(s, etag) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_s3_multi_verify(s, f);
}


ngx_int_t
ngx_iv_s3_settled(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    s->op->etag_opaque = s->try->opaque;

    if (ngx_iv_s3_set_etag(s, s->try->etag) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_iv_s3_multi_verify(s, f);
}


static ngx_int_t
ngx_iv_s3_multi_verify(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    u_char                buf[NGX_IV_S3_MULTI_SUM];
    ngx_str_t             sum;
    ngx_uint_t            i;
    ngx_iv_storage_op_t  *op;

    op = s->op;

    for (i = 0; i < op->nparts; i++) {
        if (op->parts[i].opaque) {
            op->etag_opaque = 1;
        }
    }

    if (op->etag_opaque) {
        return NGX_OK;
    }

    if (ngx_iv_s3_multi_sum(op, buf, &sum) != NGX_OK) {
        return NGX_ERROR;
    }

    if (op->etag.len == sum.len
        && ngx_strncasecmp(op->etag.data, sum.data, sum.len) == 0)
    {
        return NGX_OK;
    }

    f->code = NGX_IV_STORAGE_UNAVAILABLE;
    f->what = "the object's ETag is not the sum of its parts";
    f->hint = "the storage has received other bytes than were sent, or "
              "computes ETags in a way of its own";

    return NGX_DECLINED;
}


void
ngx_iv_s3_settle(ngx_iv_s3_op_t *s)
{
    s->method = NGX_IV_S3_HEAD;
    s->settling = 1;
    s->retries = 0;
    s->fresh = 1;
    s->stale = 0;

    ngx_iv_s3_at_once(s);
}
