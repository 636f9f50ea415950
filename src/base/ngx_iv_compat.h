/*
 * Every difference between nginx versions that the module knows of, in one
 * place: 1.22.1 (Debian 12) and later.
 */

#ifndef NGX_IV_COMPAT_H
#define NGX_IV_COMPAT_H

#include <ngx_config.h>
#include <ngx_core.h>

#if (nginx_version < 1022000)
#error image_vault needs nginx 1.22 or later
#endif

#if !(NGX_THREADS)
#error image_vault needs nginx built with --with-threads
#endif

/* since 1.23.0 headers of one name are linked lists */
#if (nginx_version >= 1023000)
#define ngx_iv_header_alone(h)  (h)->next = NULL
#else
#define ngx_iv_header_alone(h)
#endif

/* r->headers_out.cache_control: a list, or an array before */
#if (nginx_version >= 1023000)
#define ngx_iv_forget_headers(h)  (h) = NULL
#else
#define ngx_iv_forget_headers(h)  ngx_memzero(&(h), sizeof(h))
#endif

#endif
