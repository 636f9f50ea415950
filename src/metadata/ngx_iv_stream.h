/*
 * The change stream on `images`: synchronous, for a thread of its own.  Knows
 * nothing of who wants to hear of changes, and writes no log.
 *
 * It opens the stream's cursor by commands instead of the driver's own
 * interface: that resumes by itself, for as long as it takes, and could not be
 * told to stop.
 */

#ifndef NGX_IV_STREAM_H
#define NGX_IV_STREAM_H

#include "metadata/ngx_iv_mongo.h"
#include "shm/ngx_iv_zone_watch.h"

/* how long the server waits for a change before it says that there is none: a
 * worker that is told to go waits for it, and for the driver's threads, within
 * the 1.5 s after which nginx's master kills */
#define NGX_IV_STREAM_AWAIT  200


typedef struct ngx_iv_stream_s  ngx_iv_stream_t;

typedef enum {
    NGX_IV_STREAM_OK = 0,
    NGX_IV_STREAM_DOWN,             /* go on later, behind the token */
    NGX_IV_STREAM_DENIED,           /* the same, but a privilege lacks */
    NGX_IV_STREAM_LOST,             /* the token is of no use any more */
    NGX_IV_STREAM_ENDED,            /* the collection is not what it was */
    NGX_IV_STREAM_NONE              /* the server has no change streams */
} ngx_iv_stream_rc_e;


/* one change; id: of the image */
typedef void (*ngx_iv_stream_pt)(void *data, const u_char id[NGX_IV_ID_LEN]);


/* connects to nothing yet; keeps `mongo` until it is destroyed.  NULL: no
 * memory */
ngx_iv_stream_t *ngx_iv_stream_create(ngx_iv_mongo_t *mongo, ngx_log_t *log);
void ngx_iv_stream_destroy(ngx_iv_stream_t *stream);

/* len 0: from now on.  Whatever has failed: close */
ngx_iv_stream_rc_e ngx_iv_stream_open(ngx_iv_stream_t *stream,
    const u_char *token, size_t len);
/* waits for changes, NGX_IV_STREAM_AWAIT at most if the server is well */
ngx_iv_stream_rc_e ngx_iv_stream_read(ngx_iv_stream_t *stream,
    ngx_iv_stream_pt handler, void *data);
void ngx_iv_stream_close(ngx_iv_stream_t *stream);

/* behind what was read; NULL: none, or a longer one than NGX_IV_ZONE_TOKEN */
const u_char *ngx_iv_stream_token(ngx_iv_stream_t *stream, size_t *len);
/* the same for all streams of one database */
uint64_t ngx_iv_stream_of(ngx_iv_stream_t *stream);
/* what has failed */
const u_char *ngx_iv_stream_message(ngx_iv_stream_t *stream);


#endif
