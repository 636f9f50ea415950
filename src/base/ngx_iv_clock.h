/*
 * The time as documents have it.  Event loop only: it is nginx's cached one.
 */

#ifndef NGX_IV_CLOCK_H
#define NGX_IV_CLOCK_H

#include <ngx_config.h>
#include <ngx_core.h>


/* milliseconds since the epoch */
static ngx_inline int64_t
ngx_iv_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (int64_t) tp->sec * 1000 + tp->msec;
}


#endif
