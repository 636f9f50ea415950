#include "upload/ngx_iv_block.h"

#include <sys/mman.h>


#if (NGX_DEBUG_PALLOC)

/* for a sanitizer, which knows the bounds of what the allocator gave */

u_char *
ngx_iv_block_get(ngx_log_t *log)
{
    return ngx_alloc(NGX_IV_BLOCK_SIZE, log);
}


void
ngx_iv_block_put(u_char *block)
{
    ngx_free(block);
}

#else

/* a kept block holds the address of the next */
static u_char      *ngx_iv_block_kept;
static ngx_uint_t   ngx_iv_block_nkept;


u_char *
ngx_iv_block_get(ngx_log_t *log)
{
    u_char  *block;

    block = ngx_iv_block_kept;

    if (block) {
        ngx_memcpy(&ngx_iv_block_kept, block, sizeof(u_char *));
        ngx_iv_block_nkept--;
        return block;
    }

    block = mmap(NULL, NGX_IV_BLOCK_SIZE, PROT_READ|PROT_WRITE,
                 MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "mmap(%d) failed", NGX_IV_BLOCK_SIZE);
        return NULL;
    }

    return block;
}


void
ngx_iv_block_put(u_char *block)
{
    if (ngx_iv_block_nkept < NGX_IV_BLOCK_KEPT) {
        ngx_memcpy(block, &ngx_iv_block_kept, sizeof(u_char *));
        ngx_iv_block_kept = block;
        ngx_iv_block_nkept++;
        return;
    }

    (void) munmap(block, NGX_IV_BLOCK_SIZE);
}

#endif
