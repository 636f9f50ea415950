/*
 * Blocks of memory for the bodies that are held.  They come from the system
 * and go back to it: the allocator would keep what a rush of uploads took for
 * as long as the worker lives.  Some are kept for the next body.
 *
 * Event loop only.
 */

#ifndef NGX_IV_BLOCK_H
#define NGX_IV_BLOCK_H

#include <ngx_config.h>
#include <ngx_core.h>

#define NGX_IV_BLOCK_SIZE  65536
/* kept at most, 4 MiB in one worker */
#define NGX_IV_BLOCK_KEPT  64


/* NGX_IV_BLOCK_SIZE bytes, not zeroed; NULL: no memory (logged) */
u_char *ngx_iv_block_get(ngx_log_t *log);
void ngx_iv_block_put(u_char *block);


#endif
