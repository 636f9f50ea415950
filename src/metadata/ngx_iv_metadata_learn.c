/*
 * What calls tell about the metadata store, and whether it is worth another.
 */

#include "metadata/ngx_iv_metadata_private.h"


ngx_iv_breaker_t *
ngx_iv_metadata_breaker(ngx_iv_metadata_t *md)
{
    return &md->breaker;
}


ngx_uint_t
ngx_iv_metadata_may_call(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call)
{
    ngx_iv_breaker_leave_e  leave;

    leave = ngx_iv_breaker_ask(&md->breaker, ngx_iv_now(), 1);

    call->trial = (leave == NGX_IV_BREAKER_TRIAL);

    return leave != NGX_IV_BREAKER_NO;
}


void
ngx_iv_metadata_give_up(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call)
{
    if (call->trial) {
        call->trial = 0;

        (void) ngx_iv_breaker_report(&md->breaker, NGX_IV_BREAKER_NOTHING, 1,
                                     ngx_iv_now(), 0);
    }
}


/* what any call tells about the server */

void
ngx_iv_metadata_learn(ngx_iv_metadata_t *md, ngx_iv_mongo_call_t *call,
    ngx_log_t *log)
{
    ngx_iv_breaker_result_e  result;

    ngx_iv_metadata_log_failure(call, log);

    if (call->message[0]) {
        ngx_iv_zone_add(md->zone, NGX_IV_COUNT_METADATA_ERRORS, 1);
    }

    if (call->kind == NGX_IV_MONGO_LEASE) {
        md->holder.len = 0;

        if (call->count && call->holder.len <= sizeof(md->holder_buf)) {
            md->holder.len = call->holder.len;
            md->holder.data = md->holder_buf;
            ngx_memcpy(md->holder_buf, call->holder.data, call->holder.len);
        }
    }

    if (call->kind == NGX_IV_MONGO_SWEEP_END && call->release) {
        md->holder.len = 0;
    }

    if (call->down) {
        result = NGX_IV_BREAKER_BAD;

    } else if (call->skipped || call->code == NGX_IV_OVERLOADED) {
        result = NGX_IV_BREAKER_NOTHING;

    } else {
        result = NGX_IV_BREAKER_GOOD;
    }

    switch (ngx_iv_breaker_report(&md->breaker, result, call->trial,
                                  ngx_iv_now(), 0))
    {

    case NGX_IV_BREAKER_OPENS:
        md->refused = 0;
        ngx_iv_zone_add(md->zone, NGX_IV_COUNT_BREAKER_OPENED, 1);
        ngx_log_error(NGX_LOG_WARN, md->log, 0,
                      "metadata store is not available, calls are "
                      "refused until it is back");
        break;

    case NGX_IV_BREAKER_CLOSES:
        ngx_log_error(NGX_LOG_NOTICE, md->log, 0,
                      "metadata store is available again");
        break;

    default: /* NGX_IV_BREAKER_AS_BEFORE */
        break;
    }
}


void
ngx_iv_metadata_log_failure(ngx_iv_mongo_call_t *call, ngx_log_t *log)
{
    u_char      hex[2 * NGX_IV_ID_LEN];
    ngx_str_t   id;
    ngx_uint_t  i;

    if (call->message[0] == '\0') {
        return;
    }

    for (i = 0; i < NGX_IV_ID_LEN && call->id[i] == 0; i++) { /* void */ }

    if (i == NGX_IV_ID_LEN) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "metadata %s failed: %s",
                      ngx_iv_mongo_name(call->kind), call->message);
        return;
    }

    id.len = sizeof(hex);
    id.data = hex;
    (void) ngx_iv_hex(hex, call->id, NGX_IV_ID_LEN);

    ngx_log_error(NGX_LOG_ERR, log, 0, "metadata %s of image %V failed%s: %s",
                  ngx_iv_mongo_name(call->kind), &id,
                  call->unknown ? ", it may have been applied" : "",
                  call->message);
}
