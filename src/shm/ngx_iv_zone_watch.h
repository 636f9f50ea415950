/*
 * Which worker of a node follows the changes of other nodes, and how far it
 * has got.  A part of the shared memory.
 *
 * One worker at a time holds it, by its pid, and gives a sign of life now and
 * then.  Any other takes it when the holder is gone, has left it, or gives no
 * sign any more.
 *
 * The token says behind which change to go on.  It is written only after the
 * entries of all changes before it were dropped, so that an older token, also
 * one of a holder that has lost its place, does no harm: some entries are
 * dropped again.  There are two places for it, and a sum over each: a half
 * written one is never used.
 */

#ifndef NGX_IV_ZONE_WATCH_H
#define NGX_IV_ZONE_WATCH_H

#include "shm/ngx_iv_zone.h"

/* a token is some 100 to 300 bytes; a longer one is not kept */
#define NGX_IV_ZONE_TOKEN        1024
#define NGX_IV_ZONE_TOKEN_WORDS  (3 + NGX_IV_ZONE_TOKEN / 8)


typedef struct {
    uint64_t            words[NGX_IV_ZONE_TOKEN_WORDS];   /* sum, of, len … */
} ngx_iv_zone_token_t;


struct ngx_iv_zone_watch_s {
    ngx_atomic_t        pid;        /* who holds it, 0: nobody */
    ngx_atomic_t        beat;       /* its last sign of life, ms */
    ngx_atomic_t        up;         /* 1: it hears of changes */
    ngx_atomic_t        off;        /* mark of the configuration under which
                                       there is nothing to follow, 0: none */
    ngx_atomic_t        current;    /* the token: 0: none, 1, 2 */
    ngx_atomic_t        events;
    ngx_atomic_t        losses;
    ngx_atomic_t        resets;
    ngx_iv_zone_token_t tokens[2];
};


/* now: milliseconds of one clock for all workers; late: a holder without a
 * sign of life for so long has lost its place; mark: ngx_iv_zone_mark().
 * 1: it is ours now */
ngx_uint_t ngx_iv_zone_watch_take(ngx_iv_zone_watch_t *w, ngx_pid_t pid,
    ngx_uint_t now, ngx_uint_t late, ngx_uint_t mark);
/* a sign of life.  0: it isn't ours any more */
ngx_uint_t ngx_iv_zone_watch_beat(ngx_iv_zone_watch_t *w, ngx_pid_t pid,
    ngx_uint_t now);
void ngx_iv_zone_watch_leave(ngx_iv_zone_watch_t *w, ngx_pid_t pid);

/* by the holder */
void ngx_iv_zone_watch_set_up(ngx_iv_zone_watch_t *w, ngx_pid_t pid,
    ngx_uint_t up);
void ngx_iv_zone_watch_set_off(ngx_iv_zone_watch_t *w, ngx_uint_t mark);

/* 1: changes of other nodes are heard of */
ngx_uint_t ngx_iv_zone_watch_is_up(ngx_iv_zone_watch_t *w);
ngx_uint_t ngx_iv_zone_watch_is_off(ngx_iv_zone_watch_t *w, ngx_uint_t mark);

/* of: what the token is of; it is given back for that only.  One that is too
 * long leaves none */
void ngx_iv_zone_watch_save(ngx_iv_zone_watch_t *w, uint64_t of,
    const u_char *token, size_t len);
/* token: NGX_IV_ZONE_TOKEN bytes.  Its length; 0: there is none */
size_t ngx_iv_zone_watch_load(ngx_iv_zone_watch_t *w, uint64_t of,
    u_char *token);
void ngx_iv_zone_watch_forget(ngx_iv_zone_watch_t *w);


#endif
