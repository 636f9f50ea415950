/*
 * The clock of a storage, by which it judges signatures.
 */

#include "storage/ngx_iv_storage_s3.h"
#include "formats/ngx_iv_date.h"


/* clocks that differ by less than this agree */
#define NGX_IV_S3_AGREE     60

/* S3 allows 15 minutes: with less there is another reason */
#define NGX_IV_S3_GUESS     600

/* what is signed for a later time is good for longer */
#define NGX_IV_S3_SKEW_MAX  86400


ngx_int_t
ngx_iv_s3_learn_clock(ngx_iv_s3_op_t *s, const ngx_str_t *server_time,
    ngx_uint_t guess)
{
    time_t             now, date, skew, before, least;
    int64_t            msec;
    ngx_uint_t         dated;
    ngx_iv_breaker_t  *b;

    b = &s->op->storage->breaker;
    before = ngx_iv_breaker_skew(b);

    if (before != s->try->skew) {
        /* another has learned it meanwhile */
        return NGX_OK;
    }

    date = 0;

    dated = (s->try->date.len
             && ngx_iv_date_parse_http(&s->try->date, &date) == NGX_OK);

    if (server_time->len
        && ngx_iv_date_parse_iso(server_time, &msec) == NGX_OK)
    {
        now = (time_t) (msec / 1000);

        if (dated && (date - now >= NGX_IV_S3_AGREE
                      || now - date >= NGX_IV_S3_AGREE))
        {
            /* that of a proxy before it */
            s->s3->undated = 1;
        }

    } else if (dated) {
        now = date;

    } else {
        return NGX_DECLINED;
    }

    skew = now - ngx_time();
    least = guess ? NGX_IV_S3_GUESS : NGX_IV_S3_AGREE;

    if (skew > NGX_IV_S3_SKEW_MAX || skew < -NGX_IV_S3_SKEW_MAX
        || (skew - before < least && before - skew < least))
    {
        return NGX_DECLINED;
    }

    /* not the operation's log: a health check's is quiet */

    if (ngx_iv_breaker_set_skew(b, before, skew)) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "storage \"%V\": its clock is %T seconds off ours, "
                      "requests and URLs are signed by its own from now on: "
                      "set this machine's clock (NTP)",
                      &s->op->storage->conf->name, skew);
    }

    return NGX_OK;
}


/* somebody has set this machine's clock, or the storage's */

void
ngx_iv_s3_forget_clock(ngx_iv_s3_op_t *s)
{
    time_t             date, skew, before;
    ngx_iv_breaker_t  *b;

    b = &s->op->storage->breaker;
    before = ngx_iv_breaker_skew(b);

    if (before == 0 || s->s3->undated || s->try->date.len == 0
        || ngx_iv_date_parse_http(&s->try->date, &date) != NGX_OK)
    {
        return;
    }

    skew = date - ngx_time();

    if (skew < NGX_IV_S3_AGREE && skew > -NGX_IV_S3_AGREE
        && ngx_iv_breaker_set_skew(b, before, 0))
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "storage \"%V\": its clock agrees with ours again",
                      &s->op->storage->conf->name);
    }
}
