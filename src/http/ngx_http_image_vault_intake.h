/*
 * An upload request from its first check to its answer: one image as the body,
 * or a form of many.  All that decides happens in one place,
 * ngx_http_image_vault_intake_step(), which runs from a posted event.
 *
 *   upload.c    the checks before the body, and the start
 *   intake.c    the images under way, and the end of all
 *   form.c      the parts of a form
 *   request.c   Idempotency-Key
 *   repeat.c    … of a request that was answered before
 *   results.c   the answer
 *
 * It lives in the request's pool; a cleanup there gives up what is under way.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_INTAKE_H
#define NGX_HTTP_IMAGE_VAULT_INTAKE_H

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_form.h"

/* beside the files: fields, headers of parts, boundaries */
#define NGX_HTTP_IMAGE_VAULT_FORM_EXTRA  1048576
/* images of one form that are sent, or made ready, side by side: the next one
 * waits unread, so that one form can't take all of a worker's queues */
#define NGX_HTTP_IMAGE_VAULT_AT_ONCE     8


typedef struct ngx_http_image_vault_file_s  ngx_http_image_vault_file_t;

/* one image of the request */
struct ngx_http_image_vault_file_s {
    ngx_http_image_vault_intake_t  *intake;
    ngx_http_image_vault_file_t    *next;
    ngx_uint_t          index;          /* among the files, from 0 */
    ngx_str_t           name;           /* cleaned */
    ngx_iv_upload_t    *upload;         /* NULL: it is over */
    unsigned            stored:1;       /* waits for the commit */
    unsigned            committed:1;

    /* how it ended */
    ngx_int_t           code;
    ngx_str_t           message;        /* empty: the code's own */
    u_char              id[NGX_IV_ID_LEN];
    ngx_iv_document_t  *document;       /* NULL: it is gone meanwhile */
};


struct ngx_http_image_vault_intake_s {
    ngx_http_request_t          *request;
    ngx_http_image_vault_ctx_t  *ctx;
    ngx_http_image_vault_sink_t  sink;

    /* what is asked for */
    ngx_str_t           owner;
    ngx_str_t           name;           /* of a raw body, cleaned */
    ngx_str_t           from;
    off_t               size;           /* of the body, -1: not known */
    ngx_iv_fields_t     fields;
    ngx_iv_digests_t    digests;        /* of the body as sent */
    ngx_iv_form_t      *form;           /* NULL: the body is the image */
    ngx_str_t           key;            /* Idempotency-Key; empty: none */
    ngx_str_t           asker;          /* whose key it is: who asks */
    u_char              nonce[NGX_IV_REQUEST_NONCE];    /* of held_key */
    ngx_http_image_vault_trail_t  trail;

    /* the body */
    off_t               received;
    ngx_iv_hash_t      *hash;           /* of a form with a declared digest */
    ngx_array_t         value;          /* of the present field */

    /* the images */
    ngx_http_image_vault_file_t  *files;
    ngx_http_image_vault_file_t **last;
    ngx_http_image_vault_file_t  *file; /* that is being received, or NULL */
    ngx_uint_t          nfiles;
    ngx_uint_t          alive;          /* whose upload is under way */
    ngx_uint_t          busy;           /* of these: not waiting for the rest
                                           of the form */

    /* refused as a whole */
    ngx_int_t           code;
    const char         *why;            /* for the log */
    ngx_str_t           message;        /* empty: the code's own */

    ngx_event_t         event;          /* posted: a step */
    ngx_event_t         beat;           /* timer: the key's sign of life */
    ngx_iv_metadata_op_t  *alive_op;
    ngx_uint_t          status;         /* of the answer */

    unsigned            whole:1;        /* all is in, and valid */
    unsigned            crowded:1;      /* the next file waits for others */
    unsigned            begun:1;        /* a part whose file waits */
    unsigned            held_key:1;     /* the key is ours */
    unsigned            beating:1;      /* alive_op is under way */
    unsigned            answering:1;
    unsigned            replayed:1;
    unsigned            over:1;
};


/* intake.c */
/* an image begins.  NULL: no memory.  Of a form only while `busy` is below
 * NGX_HTTP_IMAGE_VAULT_AT_ONCE; else `crowded` asks to be fed again */
ngx_http_image_vault_file_t *ngx_http_image_vault_file_begin(
    ngx_http_image_vault_intake_t *it, const ngx_str_t *name, off_t size,
    const ngx_iv_digests_t *digests);
/* one more in the list, without an upload.  NULL: no memory */
ngx_http_image_vault_file_t *ngx_http_image_vault_file_add(
    ngx_http_image_vault_intake_t *it, const ngx_str_t *name);
/* bytes into an image.  NGX_OK: all of them; NGX_AGAIN: no room, *pos tells */
ngx_int_t ngx_http_image_vault_file_feed(ngx_http_image_vault_file_t *file,
    const u_char **pos, const u_char *last);
void ngx_http_image_vault_intake_post(ngx_http_image_vault_intake_t *it);
/* it is refused as a whole: undo, then answer `code` */
void ngx_http_image_vault_intake_fail(ngx_http_image_vault_intake_t *it,
    ngx_int_t code, const char *why);
/* nobody waits for an answer: undo what can be undone */
void ngx_http_image_vault_intake_abandon(ngx_http_image_vault_intake_t *it);
/* nothing may have begun for it: what the pool's end needs.  NGX_OK or
 * NGX_ERROR */
ngx_int_t ngx_http_image_vault_intake_init(ngx_http_image_vault_intake_t *it);
/* a document in the request's pool.  NULL: no memory */
ngx_iv_document_t *ngx_http_image_vault_keep_document(ngx_pool_t *pool,
    const ngx_iv_document_t *doc);

/* form.c */
/* NGX_OK, or a code for the intake, which has the reason */
ngx_int_t ngx_http_image_vault_form_feed(ngx_http_image_vault_intake_t *it,
    const u_char **pos, const u_char *last);
ngx_int_t ngx_http_image_vault_form_finish(ngx_http_image_vault_intake_t *it);
/* bytes that a form may have */
off_t ngx_http_image_vault_form_max(
    const ngx_http_image_vault_loc_conf_t *lcf);
/* what fields may say, from wherever.  NGX_OK or a code, as above */
ngx_int_t ngx_http_image_vault_check_fields(ngx_http_image_vault_intake_t *it);
/* whose images they are to be.  NGX_OK or a code */
ngx_int_t ngx_http_image_vault_check_user(ngx_http_image_vault_intake_t *it);

/* upload.c */
/* the key is ours, or there is none: reads the body.  Returns as content
 * handlers do */
ngx_int_t ngx_http_image_vault_upload_start(ngx_http_image_vault_intake_t *it);

/* request.c */
/* Idempotency-Key into it->key.  NGX_OK (also without one), NGX_ERROR: no
 * memory, or a code, as form.c's checks */
ngx_int_t ngx_http_image_vault_check_key(ngx_http_image_vault_intake_t *it);
/* it->key is asked for: ours: upload_start() follows; a repetition: the files'
 * outcomes are filled in and intake_answer() follows; else an error.  Returns
 * as content handlers do */
ngx_int_t ngx_http_image_vault_request_begin(
    ngx_http_image_vault_intake_t *it);
/* the outcome is known: ngx_http_image_vault_intake_answer() follows.
 * NGX_AGAIN, or NGX_ERROR: nothing follows */
ngx_int_t ngx_http_image_vault_request_end(ngx_http_image_vault_intake_t *it);
/* … which failed: goes on trying behind the answer; copies all it needs */
void ngx_http_image_vault_request_late(ngx_http_image_vault_intake_t *it,
    const ngx_iv_outcome_t *outcomes, ngx_uint_t n);
/* the same for a key that could not be given back, or that may be ours */
void ngx_http_image_vault_request_late_free(const ngx_str_t *owner,
    const ngx_str_t *key, const u_char nonce[NGX_IV_REQUEST_NONCE]);
/* the client is gone: in the background */
void ngx_http_image_vault_request_abort(ngx_http_image_vault_intake_t *it);
/* no more signs of life */
void ngx_http_image_vault_request_quiet(ngx_http_image_vault_intake_t *it);
/* refused before any image has begun.  Returns as content handlers do */
ngx_int_t ngx_http_image_vault_request_refuse(
    ngx_http_image_vault_intake_t *it, ngx_int_t code, const char *why);
/* a call that the client had to wait for */
void ngx_http_image_vault_request_time(ngx_http_image_vault_intake_t *it,
    ngx_iv_metadata_op_t *op);

/* repeat.c */
/* op: the outcomes of the first time; intake_answer() follows, or an error */
void ngx_http_image_vault_repeat(ngx_http_image_vault_intake_t *it,
    ngx_iv_metadata_op_t *op);

/* results.c */
/* the status that the outcomes make */
ngx_uint_t ngx_http_image_vault_results_status(
    ngx_http_image_vault_intake_t *it);
/* the answer is sent and the request finalized */
void ngx_http_image_vault_intake_answer(ngx_http_image_vault_intake_t *it);
/* the first of the images that failed, or NULL */
ngx_http_image_vault_file_t *ngx_http_image_vault_first_failure(
    ngx_http_image_vault_intake_t *it);
/* what a client is told of a failed image */
const ngx_str_t *ngx_http_image_vault_file_message(
    const ngx_http_image_vault_file_t *file);


#endif
