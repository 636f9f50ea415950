#include "storage/ngx_iv_storage_s3.h"
#include "formats/ngx_iv_date.h"


#define NGX_IV_S3_VALUE    256      /* of a header, kept */
#define NGX_IV_S3_MESSAGE  300      /* of an error, in the log */

/* each PUT that waits for a 100 in vain loses a second */
#define NGX_IV_S3_UNHEARD  3


static void ngx_iv_s3_keep(ngx_iv_s3_try_t *t, ngx_str_t *dst,
    const ngx_str_t *value);
static void ngx_iv_s3_own_fault(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
static ngx_int_t ngx_iv_s3_absent(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
static ngx_uint_t ngx_iv_s3_is(const ngx_str_t *code, const ngx_str_t *what);
static ngx_int_t ngx_iv_s3_success(ngx_iv_s3_op_t *s,
    ngx_iv_s3_failure_t *f);
static void ngx_iv_s3_expected(ngx_iv_s3_op_t *s);
static ngx_int_t ngx_iv_s3_etag(ngx_iv_s3_op_t *s);
static ngx_msec_t ngx_iv_s3_retry_after(ngx_iv_s3_try_t *t);
static void ngx_iv_s3_succeeded(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f);
static void ngx_iv_s3_tell_status(ngx_iv_s3_op_t *s, ngx_msec_t after);


void
ngx_iv_s3_header(ngx_iv_call_t *call, const ngx_str_t *name,
    const ngx_str_t *value)
{
    ngx_str_t        *dst;
    ngx_uint_t        i;
    ngx_iv_s3_try_t  *t;

    static const struct {
        ngx_str_t     name;
        size_t        offset;
    } kept[] = {
        { ngx_string("etag"), offsetof(ngx_iv_s3_try_t, etag) },
        { ngx_string("date"), offsetof(ngx_iv_s3_try_t, date) },
        { ngx_string("retry-after"), offsetof(ngx_iv_s3_try_t, retry_after) },
        { ngx_string("location"), offsetof(ngx_iv_s3_try_t, location) },
        { ngx_string("content-range"), offsetof(ngx_iv_s3_try_t, range) },
        { ngx_string("x-amz-request-id"),
          offsetof(ngx_iv_s3_try_t, request_id) },
        { ngx_string("cf-ray"), offsetof(ngx_iv_s3_try_t, request_id) },
        { ngx_string("x-amz-bucket-region"),
          offsetof(ngx_iv_s3_try_t, region) }
    };

    static const ngx_str_t  customer =
        ngx_string("x-amz-server-side-encryption-customer-algorithm");
    static const ngx_str_t  sse =
        ngx_string("x-amz-server-side-encryption");

    t = call->data;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (name->len == kept[i].name.len
            && ngx_memcmp(name->data, kept[i].name.data, name->len) == 0)
        {
            dst = (ngx_str_t *) ((u_char *) t + kept[i].offset);
            ngx_iv_s3_keep(t, dst, value);
            return;
        }
    }

    if (name->len == customer.len
        && ngx_memcmp(name->data, customer.data, customer.len) == 0)
    {
        t->opaque = 1;
        return;
    }

    /* also aws:kms:dsse */

    if (name->len == sse.len
        && ngx_memcmp(name->data, sse.data, sse.len) == 0
        && value->len >= sizeof("aws:kms") - 1
        && ngx_strncasecmp(value->data, (u_char *) "aws:kms",
                           sizeof("aws:kms") - 1)
           == 0)
    {
        t->opaque = 1;
    }
}


/* the first of its name, made fit for logs; without memory it stays unknown */

static void
ngx_iv_s3_keep(ngx_iv_s3_try_t *t, ngx_str_t *dst, const ngx_str_t *value)
{
    u_char  c, *p;
    size_t  i, n;

    if (dst->data) {
        return;
    }

    n = ngx_min(value->len, NGX_IV_S3_VALUE);

    p = ngx_pnalloc(t->pool, n);
    if (p == NULL) {
        return;
    }

    dst->data = p;
    dst->len = n;

    for (i = 0; i < n; i++) {
        c = value->data[i];
        p[i] = (c >= 0x20 && c < 0x7f) ? c : '?';
    }
}


/* no answer came */

void
ngx_iv_s3_lost(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_iv_breaker_result_e  result;

    s->op->status = 0;
    result = NGX_IV_BREAKER_BAD;

    f->code = NGX_IV_STORAGE_UNAVAILABLE;
    f->hint = "check endpoint, network and the storage itself";

    switch (s->try->call->result) {

    case NGX_IV_CALL_CONNECT:
        f->what = "no connection";
        f->retry = 1;
        break;

    case NGX_IV_CALL_TLS:
        f->what = "no TLS connection";
        f->hint = "check ssl_verify, ssl_trusted_certificate and ssl_name";
        break;

    case NGX_IV_CALL_STALE:

        if (!s->stale && !ngx_iv_s3_broken(s)
            && ngx_iv_s3_rewind(s) == NGX_OK)
        {

            if (s->cancelled) {
                return;
            }

            s->stale = 1;
            s->fresh = 1;

            ngx_iv_s3_at_once(s);
            return;
        }

        if (s->cancelled) {
            return;
        }

        /* fall through */

    case NGX_IV_CALL_RESET:
        f->what = "the connection was lost";
        f->retry = 1;

        /* a client that is too slow for the storage says nothing of it */

        if (s->try->starved) {
            result = NGX_IV_BREAKER_NOTHING;
        }

        break;

    case NGX_IV_CALL_TIMEOUT:
        f->what = "timed out";
        f->retry = 1;

        if (s->try->starved) {
            result = NGX_IV_BREAKER_NOTHING;
        }

        break;

    case NGX_IV_CALL_PROTOCOL:
        f->what = "the answer is not HTTP/1.1 or too large";
        f->hint = "check the endpoint's scheme, name and port";
        break;

    case NGX_IV_CALL_SOURCE:

        if (!s->lost) {
            /* whoever sends has given up and knows why */
            ngx_iv_s3_finish(s, NGX_IV_INTERNAL);
            return;
        }

        f->what = "the body can't be sent again";
        result = NGX_IV_BREAKER_NOTHING;
        break;

    default:
        result = NGX_IV_BREAKER_NOTHING;
        ngx_iv_s3_own_fault(s, f);
    }

    ngx_iv_storage_heard(s->op, result, 0, f->what);

    ngx_iv_s3_failed(s, f);
}


/* what says nothing of the storage, which other workers use as well */

static void
ngx_iv_s3_own_fault(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    switch (s->try->call->result) {

    case NGX_IV_CALL_CLOSED:
        f->what = "the worker has to end";
        f->hint = "raise worker_shutdown_timeout";
        break;

    case NGX_IV_CALL_FULL:
        ngx_iv_zone_add(s->op->storage->env->zone, NGX_IV_COUNT_OVERLOADED, 1);
        f->code = NGX_IV_OVERLOADED;
        f->what = "no connection of the worker is free";
        f->hint = "see the lines above";
        break;

    default: /* NGX_IV_CALL_MEMORY */
        f->code = NGX_IV_INTERNAL;
        f->what = "no memory";
        f->hint = "see the lines above";
    }
}


ngx_uint_t
ngx_iv_s3_broken(ngx_iv_s3_op_t *s)
{
    ngx_iv_call_t  *call;

    call = s->try->call;

    return s->method == NGX_IV_S3_PUT && call->sent > 0;
}


void
ngx_iv_s3_answer(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t             rc;
    ngx_uint_t            status, guess;
    ngx_iv_call_t        *call;
    ngx_iv_s3_try_t      *t;
    ngx_iv_s3_verdict_t   v;

    t = s->try;
    call = t->call;
    status = call->response->status;

    s->op->status = status;

    if (status >= 200 && status < 300) {
        ngx_iv_s3_succeeded(s, f);
        return;
    }

    if (ngx_iv_s3_error_parse(t->pool, &call->body, &f->error) == NGX_ERROR) {
        ngx_iv_s3_finish(s, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_s3_error_judge(status, &f->error, &v);

    f->code = v.code;
    f->retry = v.retry;
    f->hint = v.hint;

    if (v.retry) {
        f->wait = ngx_iv_s3_retry_after(t);
    }

    ngx_iv_s3_tell_status(s, f->wait);

    if (v.fresh) {
        s->fresh = 1;
    }

    if (status == 417 && call->expect) {
        ngx_iv_s3_expected(s);

        f->code = NGX_IV_STORAGE_UNAVAILABLE;
        f->retry = 1;
    }

    if (status >= 300 && status < 400) {
        /* never followed: the signature and the bytes are for one host */
        f->code = NGX_IV_STORAGE_DENIED;
        f->retry = 0;
    }

    /* another object than the one that was meant, or a shorter one */

    if ((status == 412 || status == 416)
        && (s->method == NGX_IV_S3_GET || s->method == NGX_IV_S3_COPY))
    {
        ngx_iv_s3_finish(s, NGX_IV_PRECONDITION_FAILED);
        return;
    }

    if (f->code == NGX_IV_NOT_FOUND
        && ngx_iv_s3_absent(s, f) == NGX_DONE)
    {
        return;
    }

    /* the 403 of a HEAD does not say why */
    guess = (s->method == NGX_IV_S3_HEAD && status == 403);

    if ((v.skew || guess) && !s->skewed
        && ngx_iv_s3_learn_clock(s, &f->error.server_time, guess) == NGX_OK)
    {
        s->skewed = 1;

        rc = ngx_iv_s3_rewind(s);

        if (s->cancelled) {
            return;
        }

        if (rc == NGX_OK) {
            ngx_iv_s3_at_once(s);
            return;
        }
    }

    ngx_iv_s3_failed(s, f);
}


static void
ngx_iv_s3_succeeded(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_int_t  rc;

    rc = ngx_iv_s3_success(s, f);

    if (rc == NGX_DONE) {
        return;
    }

    /* it may have failed behind a 200 */

    ngx_iv_storage_heard(s->op,
                         (rc == NGX_DECLINED && f->error.code.len
                          && f->code == NGX_IV_STORAGE_UNAVAILABLE)
                         ? NGX_IV_BREAKER_BAD : NGX_IV_BREAKER_GOOD, 0,
                         "an error in an answer of success");

    if (rc == NGX_DECLINED) {
        ngx_iv_s3_failed(s, f);
        return;
    }

    ngx_iv_s3_forget_clock(s);

    ngx_iv_s3_finish(s, rc == NGX_OK ? NGX_OK : NGX_IV_INTERNAL);
}


/* what a status that is no success says of the storage's health: what it
 * refuses it does well, and who asks for fewer requests is not down */

static void
ngx_iv_s3_tell_status(ngx_iv_s3_op_t *s, ngx_msec_t after)
{
    ngx_uint_t               status;
    ngx_iv_breaker_result_e  result;

    status = s->op->status;

    if (status >= 500 && status != 501) {
        result = NGX_IV_BREAKER_BAD;

    } else if (status == 408 || status == 429) {
        result = NGX_IV_BREAKER_NOTHING;

    } else {
        result = NGX_IV_BREAKER_GOOD;
    }

    ngx_iv_storage_heard(s->op, result, after, NULL);
}


/* what is asked for is not there.  NGX_DONE: nothing more to do; NGX_DECLINED:
 * a failure, see f */

static ngx_int_t
ngx_iv_s3_absent(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    static const ngx_str_t  no_key = ngx_string("NoSuchKey");
    static const ngx_str_t  no_upload = ngx_string("NoSuchUpload");

    if (s->settling) {
        f->code = NGX_IV_STORAGE_UNAVAILABLE;
        f->hint = "the multipart upload was not completed, or another has "
                  "aborted it";
        return NGX_DECLINED;
    }

    /* any 404 does for HEAD, which has no document to tell why */

    if (s->method == NGX_IV_S3_HEAD) {
        ngx_iv_s3_finish(s, NGX_IV_NOT_FOUND);
        return NGX_DONE;
    }

    if (ngx_iv_s3_is(&f->error.code, &no_upload)) {

        if (s->method == NGX_IV_S3_ABORT) {
            ngx_iv_s3_finish(s, NGX_OK);
            return NGX_DONE;
        }

        if (s->method == NGX_IV_S3_COMPLETE) {
            ngx_iv_s3_settle(s);
            return NGX_DONE;
        }
    }

    if ((s->method == NGX_IV_S3_GET || s->method == NGX_IV_S3_COPY)
        && ngx_iv_s3_is(&f->error.code, &no_key))
    {
        ngx_iv_s3_finish(s, NGX_IV_NOT_FOUND);
        return NGX_DONE;
    }

    /* a 404 that names nothing may come from a wrong endpoint */

    if (s->method == NGX_IV_S3_DELETE
        && ngx_iv_s3_is(&f->error.code, &no_key))
    {
        ngx_iv_s3_finish(s, NGX_OK);
        return NGX_DONE;
    }

    f->code = NGX_IV_STORAGE_DENIED;

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_iv_s3_is(const ngx_str_t *code, const ngx_str_t *what)
{
    return code->len == what->len
           && ngx_memcmp(code->data, what->data, what->len) == 0;
}


/* NGX_OK; NGX_DECLINED: it is none, see f; NGX_DONE: nothing more to do;
 * NGX_ERROR: no memory */

static ngx_int_t
ngx_iv_s3_success(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f)
{
    ngx_iv_call_t  *call;

    call = s->try->call;

    switch (s->method) {

    case NGX_IV_S3_PUT:
    case NGX_IV_S3_PART:
        s->op->touched = 1;

        if (call->sent < call->length) {
            f->code = NGX_IV_STORAGE_UNAVAILABLE;
            f->what = "answered before the body was sent";
            f->hint = "the endpoint is no S3 storage, or a proxy in front of "
                      "it answers by itself";
            return NGX_DECLINED;
        }

        if (call->expect) {
            ngx_iv_s3_expected(s);
        }

        return ngx_iv_s3_etag(s);

    case NGX_IV_S3_HEAD:
        s->op->found_size = call->response->content_length;

        if (s->settling) {
            return ngx_iv_s3_settled(s, f);
        }

        return ngx_iv_s3_etag(s);

    case NGX_IV_S3_CREATE:
        return ngx_iv_s3_created(s, f);

    case NGX_IV_S3_COMPLETE:
        return ngx_iv_s3_completed(s, f);

    case NGX_IV_S3_GET:
        return ngx_iv_s3_got(s, f);

    case NGX_IV_S3_COPY:
        return ngx_iv_s3_copied(s, f);

    case NGX_IV_S3_LIST:
    case NGX_IV_S3_UPLOADS:
        return ngx_iv_s3_listed(s, f);

    default: /* NGX_IV_S3_DELETE, NGX_IV_S3_ABORT */
        return NGX_OK;
    }
}


/* a storage that never says 100, or minds being asked, is asked no more */

static void
ngx_iv_s3_expected(ngx_iv_s3_op_t *s)
{
    ngx_iv_s3_t                  *s3;
    const ngx_iv_storage_conf_t  *conf;

    s3 = s->s3;
    conf = s->op->storage->conf;

    if (s->try->call->continued) {
        s3->unheard = 0;

        if (s->op->status != 417) {
            return;
        }
    }

    s3->unheard++;

    if (s->op->status != 417
        && (s3->unheard < NGX_IV_S3_UNHEARD
            || conf->expect == NGX_IV_EXPECT_ON))
    {
        return;
    }

    if (s3->expect) {
        s3->expect = 0;

        ngx_log_error(NGX_LOG_NOTICE, s->op->log, 0,
                      "storage \"%V\": it does not answer \"Expect: "
                      "100-continue\" and is not asked any more: set "
                      "\"expect_continue off\"", &conf->name);
    }
}


static ngx_int_t
ngx_iv_s3_etag(ngx_iv_s3_op_t *s)
{
    s->op->etag_opaque = s->try->opaque;

    return ngx_iv_s3_set_etag(s, s->try->etag);
}


/* without quotes and the mark of weakness, which R2 and proxies may add */

ngx_int_t
ngx_iv_s3_set_etag(ngx_iv_s3_op_t *s, ngx_str_t etag)
{
    ngx_iv_storage_op_t  *op;

    op = s->op;

    if (etag.len >= 2 && ngx_strncmp(etag.data, "W/", 2) == 0) {
        etag.data += 2;
        etag.len -= 2;
    }

    if (etag.len >= 2 && etag.data[0] == '"'
        && etag.data[etag.len - 1] == '"')
    {
        etag.data++;
        etag.len -= 2;
    }

    ngx_str_null(&op->etag);

    if (etag.len == 0) {
        return NGX_OK;
    }

    op->etag.data = ngx_pstrdup(op->pool, &etag);
    if (op->etag.data == NULL) {
        return NGX_ERROR;
    }

    op->etag.len = etag.len;

    return NGX_OK;
}


/* milliseconds, 0: none */

static ngx_msec_t
ngx_iv_s3_retry_after(ngx_iv_s3_try_t *t)
{
    time_t     at;
    ngx_int_t  n;

    if (t->retry_after.len == 0) {
        return 0;
    }

    n = ngx_atoi(t->retry_after.data, t->retry_after.len);

    if (n == NGX_ERROR) {

        if (ngx_iv_date_parse_http(&t->retry_after, &at) != NGX_OK
            || at <= ngx_time())
        {
            return 0;
        }

        n = at - ngx_time();
    }

    /* the longest wait is far below an hour */

    return (ngx_msec_t) ngx_min(n, 3600) * 1000;
}


/* everything an operator needs in one line, and nothing secret */

void
ngx_iv_s3_log(ngx_iv_s3_op_t *s, ngx_iv_s3_failure_t *f, ngx_uint_t level)
{
    size_t             n;
    u_char            *p, *last, buf[1536];
    ngx_str_t          region, where, id;
    ngx_iv_s3_try_t   *t;

    t = s->try;
    p = buf;
    last = buf + sizeof(buf);

    if (f->what) {
        p = ngx_slprintf(p, last, "%s", f->what);

        if (t->call->why.len) {
            p = ngx_slprintf(p, last, ", %V", &t->call->why);
        }

    } else {
        p = ngx_slprintf(p, last, "HTTP status %ui", s->op->status);
    }

    if (f->error.code.len) {
        p = ngx_slprintf(p, last, ", %V", &f->error.code);
    }

    if (f->error.message.len) {
        n = ngx_min(f->error.message.len, NGX_IV_S3_MESSAGE);
        p = ngx_slprintf(p, last, ", \"%*s\"", n, f->error.message.data);
    }

    region = f->error.region.len ? f->error.region : t->region;

    if (region.len && f->code == NGX_IV_STORAGE_DENIED) {
        p = ngx_slprintf(p, last, ", the bucket's region is \"%V\"", &region);
    }

    where = f->error.endpoint.len ? f->error.endpoint : t->location;

    /* arguments may sign something */
    for (n = 0; n < where.len && where.data[n] != '?'; n++) { /* void */ }
    where.len = ngx_min(n, NGX_IV_S3_VALUE);

    if (where.len) {
        p = ngx_slprintf(p, last, ", pointing to \"%V\"", &where);
    }

    id = t->request_id.len ? t->request_id : f->error.request_id;
    id.len = ngx_min(id.len, NGX_IV_S3_VALUE);

    if (id.len) {
        p = ngx_slprintf(p, last, ", request id \"%V\"", &id);
    }

    if (s->op->tries > 1) {
        p = ngx_slprintf(p, last, ", after %ui tries", s->op->tries);
    }

    if (level == NGX_LOG_ERR && f->retry && s->lost) {
        p = ngx_slprintf(p, last, ", the body can't be sent again");
    }

    if (f->final) {
        p = ngx_slprintf(p, last, ", no other try: %s", f->final);
    }

    ngx_log_error(level, s->op->log, 0, "storage \"%V\": %s failed%s: %*s: %s",
                  &s->op->storage->conf->name, ngx_iv_s3_action(s->method),
                  level != NGX_LOG_INFO ? ""
                  : ngx_iv_s3_broken(s) ? ", trying again under a fresh key"
                  : ", trying again",
                  (size_t) (p - buf), buf, f->hint);
}
