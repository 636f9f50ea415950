/*
 * Room for bodies of unknown length: what one worker may hold for all of them
 * together (image_vault_buffers).  Room is reserved before a byte is read and
 * given out in the order it was asked for.  Who waits longer than
 * NGX_IV_ROOM_PATIENCE is told so (overloaded); while somebody waits, the
 * holder that makes the least progress gives way.
 *
 * Event loop only.  Numbers of bytes; the memory itself is its holder's.
 */

#ifndef NGX_IV_ROOM_H
#define NGX_IV_ROOM_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#define NGX_IV_ROOM_PATIENCE  10000     /* ms */
/* while somebody waits, holders are looked at so often, each over so long */
#define NGX_IV_ROOM_TICK      1000
#define NGX_IV_ROOM_WINDOW    2000
/* a holder slower than this many bytes a second may have to give way */
#define NGX_IV_ROOM_SLOW      16384


typedef struct ngx_iv_room_s  ngx_iv_room_t;

typedef struct {
    size_t          want;           /* asked for, with what is held */
    size_t          held;           /* granted */
    void          (*granted)(void *data);   /* never from within take() */
    void          (*refused)(void *data);   /* waited too long; what is held
                                               stays so */
    void          (*give_way)(void *data);  /* release() what you hold, soon */
    void           *data;

    /* private; zeroed before the first take() */
    ngx_queue_t     queue;          /* of those who wait */
    ngx_queue_t     holders;
    ngx_iv_room_t  *room;
    ngx_msec_t      asked;
    ngx_msec_t      since;
    size_t          progress;       /* bytes since `since` */
    unsigned        waiting:1;
    unsigned        holding:1;
    unsigned        giving:1;
} ngx_iv_room_share_t;


/* in the worker; NULL: no memory */
ngx_iv_room_t *ngx_iv_room_create(ngx_pool_t *pool, size_t size,
    ngx_log_t *log);

/* NGX_OK: held now; NGX_AGAIN: granted() or refused() follows; NGX_DECLINED:
 * more than there is altogether.  A share asks for more by another call with
 * `want` added to what it holds. */
ngx_int_t ngx_iv_room_take(ngx_iv_room_t *room, ngx_iv_room_share_t *share,
    size_t want);
/* n more bytes were received, or sent on */
void ngx_iv_room_progress(ngx_iv_room_share_t *share, size_t n);
/* stops waiting, and gives back what is held beyond n */
void ngx_iv_room_keep(ngx_iv_room_share_t *share, size_t n);
/* gives all back, or stops waiting; also twice */
void ngx_iv_room_release(ngx_iv_room_share_t *share);


#endif
