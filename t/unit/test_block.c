/*
 * Blocks: what is put back is used again, and what is too much for that goes
 * back to the system at once.
 *
 * sources: src/upload/ngx_iv_block.c
 */

#include <sys/mman.h>

#include "iv_test.h"
#include "upload/ngx_iv_block.h"

#define N  (NGX_IV_BLOCK_KEPT + 100)


/* mincore() knows no page of memory that was unmapped */

static ngx_uint_t
mapped(u_char *block)
{
    unsigned char  pages[NGX_IV_BLOCK_SIZE / 4096 + 1];

    return mincore(block, NGX_IV_BLOCK_SIZE, pages) == 0;
}


int
main(void)
{
    int          gone, again;
    u_char      *blocks[N], *b;
    ngx_log_t    log;
    ngx_uint_t   i, k;

    ngx_memzero(&log, sizeof(ngx_log_t));

    for (i = 0; i < N; i++) {
        blocks[i] = ngx_iv_block_get(&log);

        if (blocks[i] == NULL) {
            OK(0);
            return iv_test_done();
        }

        ngx_memset(blocks[i], (int) i, NGX_IV_BLOCK_SIZE);
    }

    /* none overlaps another */

    for (i = 0; i < N; i++) {
        OK(blocks[i][0] == (u_char) i
           && blocks[i][NGX_IV_BLOCK_SIZE - 1] == (u_char) i);
    }

    for (i = 0; i < N; i++) {
        ngx_iv_block_put(blocks[i]);
    }

    for (gone = 0, i = 0; i < N; i++) {
        gone += !mapped(blocks[i]);
    }

    OK(gone == N - NGX_IV_BLOCK_KEPT);

    /* the kept ones come again, each once */

    for (again = 0, i = 0; i < NGX_IV_BLOCK_KEPT; i++) {
        b = ngx_iv_block_get(&log);

        for (k = 0; k < N; k++) {
            if (b && b == blocks[k]) {
                blocks[k] = NULL;
                again++;
                break;
            }
        }
    }

    OK(again == NGX_IV_BLOCK_KEPT);

    return iv_test_done();
}
