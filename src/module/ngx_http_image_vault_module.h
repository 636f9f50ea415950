/*
 * The nginx side of image_vault: configuration, request context, and what the
 * files of src/http/ give each other.
 *
 * The configuration is read-only once it is read; what changes belongs to the
 * worker (ngx_http_image_vault_worker_t) or to the zone.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_MODULE_H
#define NGX_HTTP_IMAGE_VAULT_MODULE_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "base/ngx_iv_compat.h"
#include "base/ngx_iv_clock.h"
#include "base/ngx_iv_code.h"
#include "base/ngx_iv_str.h"
#include "base/ngx_iv_thread.h"
#include "formats/ngx_iv_cors.h"
#include "formats/ngx_iv_json.h"
#include "shm/ngx_iv_flight.h"
#include "shm/ngx_iv_zone.h"
#include "metadata/ngx_iv_metadata.h"
#include "metadata/ngx_iv_watch.h"
#include "storage/ngx_iv_storage.h"
#include "sweep/ngx_iv_discard.h"
#include "sweep/ngx_iv_sweep.h"
#include "upload/ngx_iv_upload.h"


typedef enum {
    NGX_HTTP_IMAGE_VAULT_NONE = 0,
    NGX_HTTP_IMAGE_VAULT_UPLOAD,
    NGX_HTTP_IMAGE_VAULT_REDIRECT,
    NGX_HTTP_IMAGE_VAULT_API,
    NGX_HTTP_IMAGE_VAULT_FILES,
    NGX_HTTP_IMAGE_VAULT_ACCESS,

    /* from here on: without a storage or an argument */
    NGX_HTTP_IMAGE_VAULT_ERROR,
    NGX_HTTP_IMAGE_VAULT_HEALTH,
    NGX_HTTP_IMAGE_VAULT_METRICS
} ngx_http_image_vault_endpoint_e;

/* they stand before whatever answers in their location */
#define ngx_http_image_vault_is_gate(endpoint)                                \
    ((endpoint) == NGX_HTTP_IMAGE_VAULT_FILES                                 \
     || (endpoint) == NGX_HTTP_IMAGE_VAULT_ACCESS)


/* $image_vault_cache; the order is that of ngx_iv_cache_state_e and of the
 * zone's counters */
typedef enum {
    NGX_HTTP_IMAGE_VAULT_CACHE_NONE = 0,
    NGX_HTTP_IMAGE_VAULT_CACHE_MISS,
    NGX_HTTP_IMAGE_VAULT_CACHE_HIT,
    NGX_HTTP_IMAGE_VAULT_CACHE_EXPIRED,
    NGX_HTTP_IMAGE_VAULT_CACHE_NEGATIVE
} ngx_http_image_vault_cache_e;


/* image_vault_cors */
typedef struct {
    ngx_array_t             patterns;       /* ngx_iv_origin_pattern_t */
    ngx_array_t             regexes;        /* ngx_regex_t *, anchored */
    unsigned                any:1;          /* "*" */
    unsigned                credentials:1;
} ngx_http_image_vault_cors_t;


/* one segment of image_vault_key */
typedef struct {
    ngx_http_complex_value_t  *value;
} ngx_http_image_vault_segment_t;


typedef struct {
    ngx_iv_zone_t          *zone;
    ngx_iv_metadata_conf_t  metadata;
    ngx_array_t             storages;       /* ngx_iv_storage_conf_t * */
    ngx_thread_pool_t      *read_pool;
    ngx_thread_pool_t      *write_pool;
    ngx_thread_pool_t      *hash_pool;
    size_t                  buffers;        /* image_vault_buffers */
    ngx_iv_sweep_conf_t     sweep;          /* off: interval 0, stale stays */
    ngx_uint_t              used;           /* an endpoint stands somewhere */
    ngx_str_t               used_by;        /* the first one's directive, */
    u_char                 *file;           /* … and where it stands */
    ngx_uint_t              line;
    ngx_array_t             gates;          /* ngx_uint_t: storages that an
                                               image_vault_files serves */
} ngx_http_image_vault_main_conf_t;


typedef struct {
    ngx_uint_t              endpoint;       /* …_endpoint_e */
    ngx_uint_t              storage;        /* index; …_UNSET_UINT: none */
    ngx_str_t               storage_name;   /* until it is looked up */
    ngx_str_t               directive;      /* of the endpoint, for messages */
    u_char                 *file;
    ngx_uint_t              line;
    ngx_str_t               prefix;         /* of API, files; no slash at end */
    ngx_http_complex_value_t  *id;          /* redirect's and access's id=,
                                               or NULL */

    ngx_http_complex_value_t  *owner;
    ngx_http_complex_value_t  *admin;
    ngx_http_complex_value_t  *uploaded_from;   /* NULL: $remote_addr */
    off_t                   max_size;
    ngx_uint_t              max_files;
    ngx_iv_quota_t          quota;          /* mode …_UNSET_UINT until merged */
    ngx_uint_t              max_pixels;
    ngx_uint_t              types;          /* NGX_IV_IMAGE_* */
    ngx_array_t            *key;            /* segments before the file name */
    time_t                  url_expiry;
    time_t                  url_window;
    ngx_msec_t              cache_valid;    /* 0: entries are not looked at */
    ngx_msec_t              cache_negative;
    ngx_http_image_vault_cors_t  *cors;     /* NULL: off */
    time_t                  cors_max_age;
    ngx_flag_t              audit;

    off_t                   body_size;      /* client_max_body_size as merged */
    unsigned                body_set:1;     /* … and it holds here */
} ngx_http_image_vault_loc_conf_t;


/* made in init_process; NULL in the master, the cache processes and single
 * process mode before start */
typedef struct {
    ngx_http_image_vault_main_conf_t  *conf;
    ngx_iv_queue_t          read;
    ngx_iv_queue_t          write;
    ngx_iv_queue_t          hash;
    ngx_iv_metadata_t      *metadata;
    ngx_iv_cache_t         *cache;          /* the zone's */
    ngx_iv_cache_found_t   *found;          /* room for an entry of it */
    ngx_iv_flights_t        flights;        /* look-ups under way */
    ngx_uint_t              refreshing;     /* … without a request */
    time_t                  refresh_failed; /* when, last */
    ngx_iv_watch_t         *watch;
    ngx_iv_storage_t      **storages;       /* in the order of conf->storages */
    ngx_iv_storage_env_t    env;
    ngx_iv_room_t          *room;           /* bodies of unknown length */
    ngx_iv_discard_t       *discard;        /* objects of deleted images */
    ngx_iv_sweep_t         *sweep;          /* NULL: it is off */
    struct ngx_http_image_vault_health_s  *health;  /* NULL: nobody asked */
} ngx_http_image_vault_worker_t;

extern ngx_http_image_vault_worker_t  *ngx_http_image_vault_worker;


typedef struct ngx_http_image_vault_intake_s  ngx_http_image_vault_intake_t;


/* where the bytes of a body go */
typedef struct {
    /* NGX_OK: all are taken; NGX_AGAIN: there is no room, *pos tells,
     * ngx_http_image_vault_body_more() follows; else a code */
    ngx_int_t  (*feed)(void *data, u_char **pos, u_char *last);
    /* all bytes were in */
    void       (*end)(void *data);
    /* the body broke off, or was refused: answer `code`.  why may be NULL: the
     * sink has the reason */
    void       (*fail)(void *data, ngx_int_t code, const char *why);
    /* the client is gone */
    void       (*gone)(void *data);
    void        *data;
} ngx_http_image_vault_sink_t;


/* how far image_vault_access is */
typedef enum {
    NGX_HTTP_IMAGE_VAULT_ACCESS_NONE = 0,
    NGX_HTTP_IMAGE_VAULT_ACCESS_WAITS,
    NGX_HTTP_IMAGE_VAULT_ACCESS_TOLD,       /* access_code says what */
    NGX_HTTP_IMAGE_VAULT_ACCESS_GRANTED
} ngx_http_image_vault_access_e;


/* state of one request; survives internal redirects (found again through a
 * pool cleanup, as r->ctx is cleared) */
typedef struct {
    ngx_str_t               owner;          /* valid; empty: anonymous */
    unsigned                owner_known:1;
    unsigned                admin:1;
    unsigned                id_known:1;
    unsigned                cors_known:1;
    unsigned                uploads:1;      /* it is an upload, or should be */
    unsigned                retrieves:1;    /* GET or HEAD of an image */
    unsigned                download:1;     /* … as an attachment */
    u_char                  id[NGX_IV_ID_LEN];
    ngx_str_t               id_text;        /* 24 lower-case digits */
    ngx_int_t               code;           /* NGX_OK or NGX_IV_* */
    const char             *result;         /* $…_result; NULL: none yet */
    ngx_str_t               filename;       /* once the key is being made */
    ngx_iv_document_t      *document;
    const char             *refusal;        /* by find(), for the log */
    ngx_http_image_vault_cache_e  cache;    /* of find() */
    ngx_str_t               url;
    ngx_msec_t              metadata_time;  /* NGX_TIMER_INFINITE: none */
    ngx_msec_t              storage_time;
    ngx_http_image_vault_intake_t  *intake; /* of a request that is uploading */
    ngx_http_image_vault_sink_t  *sink;     /* of a body that is read */
    void                   *body;           /* ngx_http_image_vault_body_t */
    /* of the location that a cross-origin request went to, for error pages */
    ngx_http_image_vault_cors_t    *cors;

    ngx_str_t               target;         /* "*" of a path that is no id */
    struct ngx_iv_json_node_s  *json;       /* the body, once it is read */

    /* of image_vault_files: the URI whose link was found valid */
    ngx_str_t               link_uri;
    ngx_str_t               link_disposition;
    time_t                  link_expires;

    /* of image_vault_access: what came of it */
    ngx_http_image_vault_access_e  access;
    unsigned                access_here:1;  /* in this pass through the phases:
                                               0 once r->ctx was cleared */
    ngx_int_t               access_code;
    time_t                  url_until;      /* the same URL is given so long */
} ngx_http_image_vault_ctx_t;


extern ngx_module_t  ngx_http_image_vault_module;


/* module/ */

/* the request's context, made on first use; NULL: no memory.  Each subrequest
 * has its own */
ngx_http_image_vault_ctx_t *ngx_http_image_vault_ctx(ngx_http_request_t *r);
/* the same, but NULL if there is none yet */
ngx_http_image_vault_ctx_t *ngx_http_image_vault_find_ctx(
    ngx_http_request_t *r);

/* module/…_storage_block.c */
/* by name: index, or NGX_ERROR */
ngx_int_t ngx_http_image_vault_storage_find(
    ngx_http_image_vault_main_conf_t *mcf, const ngx_str_t *name);

/* module/…_key.c: evaluates image_vault_key */
/* sets ctx->filename (a copy in pool).  NGX_OK, or NGX_ERROR: no memory, or
 * longer than a key may be (logged) */
ngx_int_t ngx_http_image_vault_key(ngx_http_request_t *r, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key);

/* http/ */

/* …_handler.c: content handler of every endpoint but files; routes */
ngx_int_t ngx_http_image_vault_handler(ngx_http_request_t *r);
/* the id that image_vault_redirect and _access are asked for, into ctx;
 * ctx->id_known: it is one.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_asked_id(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_loc_conf_t *lcf);

/* …_identity.c: evaluates owner and admin.  NGX_OK (also anonymous), or
 * NGX_IV_UNAUTHENTICATED for an invalid owner (warned), NGX_ERROR.  Known
 * values are kept; the content handler begins anew (owner_known = 0), as a
 * rewrite may have asked before the access phase knew who it is. */
ngx_int_t ngx_http_image_vault_identity(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* cross-site check of a state-changing request: its origin is our own, or one
 * that image_vault_cors lists ("*" lists none).  NGX_OK or NGX_IV_FORBIDDEN */
ngx_int_t ngx_http_image_vault_same_site(ngx_http_request_t *r);
/* ids of 24 hex digits in lower case, in place: they are ObjectIds */
void ngx_http_image_vault_fold_owner(ngx_str_t *owner);
/* a request header that core has no field for; name in lower case.  The first
 * one; *n, if not NULL: how many there are */
ngx_str_t *ngx_http_image_vault_header_in(ngx_http_request_t *r,
    const char *name, ngx_uint_t *n);
/* the host the client asked for, with its port if it named one */
void ngx_http_image_vault_host(ngx_http_request_t *r, ngx_str_t *host);
/* "http" or "https" */
void ngx_http_image_vault_scheme(ngx_http_request_t *r, ngx_str_t *scheme);

/* …_upload.c, …_image.c: endpoints; return as content handlers do */
ngx_int_t ngx_http_image_vault_upload(ngx_http_request_t *r);
/* Cache-Control of what may be kept for `rest` seconds and no longer than until
 * `expires` (0: for ever).  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_cacheable(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, time_t expires, time_t rest);
/* GET/HEAD of an image: one lookup, then the order of checks */
typedef enum {
    NGX_HTTP_IMAGE_VAULT_SHOW = 0,      /* JSON, or view by Accept */
    NGX_HTTP_IMAGE_VAULT_VIEW,
    NGX_HTTP_IMAGE_VAULT_DOWNLOAD
} ngx_http_image_vault_show_e;
ngx_int_t ngx_http_image_vault_image(ngx_http_request_t *r,
    ngx_http_image_vault_show_e how);

/*
 * …_find.c: may ctx->owner have ctx->id now?  The zone's entry if it is valid,
 * else one look-up in the store; checks 3 to 6 of the order of checks.
 *
 * NGX_OK: ctx->document is set; of a cached image it has what a redirect
 * needs: id, owner, key, storage, content_type, original_name, size, sha256,
 * is_public, expires_at, updated_at, status.
 * NGX_AGAIN: found() follows, never from within, and not once the request is
 * gone; the caller holds its own count.
 * NGX_IV_*: the refusal, counted, not answered; ctx->document only with a code
 * that tells of the image (blocked, gone, not_ready).
 * NGX_ERROR: no memory.
 */
typedef void (*ngx_http_image_vault_found_pt)(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);
ngx_int_t ngx_http_image_vault_find(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_found_pt found);
/* answers a refusal of find(), or its NGX_ERROR; returns as content handlers
 * do */
ngx_int_t ngx_http_image_vault_find_refused(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_int_t code);

/* …_health.c, …_metrics.c: endpoints; return as content handlers do */
ngx_int_t ngx_http_image_vault_health(ngx_http_request_t *r);
ngx_int_t ngx_http_image_vault_metrics(ngx_http_request_t *r);

/* …_error_page.c: image_vault_error */
ngx_int_t ngx_http_image_vault_error_page(ngx_http_request_t *r);
/* the same as a preaccess phase handler */
ngx_int_t ngx_http_image_vault_error_early(ngx_http_request_t *r);
/* when a level is merged: error_page with "=" keeps the status where it leads
 * to an image_vault_error.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_error_pages(ngx_conf_t *cf);

/* …_document.c: ImageMetadata, and the parts other answers share */
void ngx_http_image_vault_metadata_json(ngx_iv_json_t *j, const char *key,
    const ngx_iv_document_t *doc);
/* its members alone, for an object that has more */
void ngx_http_image_vault_metadata_members(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc);
/* … and those that admins see: blocked, deletedAt, error */
void ngx_http_image_vault_admin_members(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc);
const char *ngx_http_image_vault_status_name(ngx_iv_status_e status);
void ngx_http_image_vault_dimensions_json(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc);
void ngx_http_image_vault_checksums_json(ngx_iv_json_t *j,
    const ngx_iv_document_t *doc);

/* …_url.c: the URL of a document for this request: public or signed, window-
 * stable; *expires: its end, 0: never (public); absolute if `absolute`;
 * *window_rest: seconds for which the same URL is given again */
ngx_int_t ngx_http_image_vault_url(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t download, ngx_uint_t head,
    ngx_uint_t absolute, ngx_str_t *url, time_t *expires,
    time_t *window_rest);
/* the same for GET, absolute, but signed now, for `life` seconds at most */
ngx_int_t ngx_http_image_vault_url_now(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t download, time_t life,
    ngx_str_t *url, time_t *expires);

/* for a proxy or an internal redirect of our own: always signed, by now's
 * window, and never with a host that the client named: of a local storage
 * whose url is a path it is that path, unescaped */
ngx_int_t ngx_http_image_vault_url_inside(ngx_http_request_t *r,
    const ngx_iv_document_t *doc, ngx_uint_t head, ngx_str_t *url,
    time_t *expires, time_t *window_rest);

/* …_files.c: precontent phase handler of image_vault_files */
ngx_int_t ngx_http_image_vault_files(ngx_http_request_t *r);

/* …_access.c: image_vault_access */
/* precontent phase handler */
ngx_int_t ngx_http_image_vault_access(ngx_http_request_t *r);
/* what the answer of such a location needs.  NGX_OK, NGX_ERROR, or the status
 * to answer by instead, as nobody was let in */
ngx_int_t ngx_http_image_vault_access_headers(ngx_http_request_t *r);
/* whose decision and image the variables show: a subrequest without a state of
 * its own has its parent's.  NULL: nobody's */
ngx_http_image_vault_ctx_t *ngx_http_image_vault_shown_ctx(
    ngx_http_request_t *r);
/* ctx->url of an image that was granted, for GET.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_access_url(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);

/* …_answer.c */
/* sends the error as JSON, logs it (client's fault: info), sets the result;
 * detail: for the log line only, may be NULL.  Drains or lingers for an unread
 * body.  Returns what a content handler returns. */
ngx_int_t ngx_http_image_vault_error(ngx_http_request_t *r, ngx_int_t code,
    const char *detail);
/* the same with a message of its own for the client */
ngx_int_t ngx_http_image_vault_refuse(ngx_http_request_t *r, ngx_int_t code,
    const char *detail, const ngx_str_t *message);
/* all of it but the body: the log line, the result, what becomes of the
 * client's body, Retry-After.  NGX_OK, or what a content handler returns */
ngx_int_t ngx_http_image_vault_begin_error(ngx_http_request_t *r,
    ngx_int_t code, const char *detail);
/* an unread body is drained or lingered for.  NGX_OK or an HTTP status */
ngx_int_t ngx_http_image_vault_drop_body(ngx_http_request_t *r);
/* NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_retry_after(ngx_http_request_t *r,
    ngx_uint_t seconds);
/* {"success":false,"error":…}; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_error_json(ngx_http_request_t *r,
    const ngx_str_t *word, const ngx_str_t *message, ngx_str_t *json);
/* 405 with Allow */
ngx_int_t ngx_http_image_vault_not_allowed(ngx_http_request_t *r,
    const char *allow);
/* the error from an asynchronous place: finalizes the request */
void ngx_http_image_vault_finalize_error(ngx_http_request_t *r, ngx_int_t code,
    const char *detail);
/* a JSON body; returns as ngx_http_output_filter */
ngx_int_t ngx_http_image_vault_send_json(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *json);
/* a response header; value is not copied; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_add_header(ngx_http_request_t *r,
    const char *name, const ngx_str_t *value);
/* $request_id; empty if there is none */
void ngx_http_image_vault_request_id(ngx_http_request_t *r, ngx_str_t *id);
void ngx_http_image_vault_count(ngx_iv_count_e what, ngx_uint_t n);
/* a retrieval, by what the cache knew: the first of its five counters */
void ngx_http_image_vault_count_retrieval(ngx_http_image_vault_ctx_t *ctx,
    ngx_iv_count_e what);
#if (NGX_HTTP_V2)
/* …_linger.c: keeps the stream of an answered request open until the client
 * has stopped sending, a second at most.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_linger(ngx_http_request_t *r);
#endif

/* …_headers.c */
typedef struct {
    ngx_list_part_t        *part;
    ngx_uint_t              next;
    u_char                 *name;
    size_t                  len;
} ngx_http_image_vault_headers_t;
/* those of `name`, in any case, or all (NULL), one after the other until NULL;
 * the list stays as it is meanwhile, save for hashes */
ngx_table_elt_t *ngx_http_image_vault_first_header(
    ngx_http_image_vault_headers_t *it, ngx_list_t *list, const char *name);
ngx_table_elt_t *ngx_http_image_vault_next_header(
    ngx_http_image_vault_headers_t *it);
void ngx_http_image_vault_drop_header(ngx_list_t *list, const char *name);

/* …_filter.c: header filter (nosniff, Referrer-Policy, Vary, files' type) */
ngx_int_t ngx_http_image_vault_filter_init(ngx_conf_t *cf);

/* …_cors.c */
/* is this Origin one that image_vault_cors names, in whichever form? */
ngx_uint_t ngx_http_image_vault_cors_listed(ngx_http_request_t *r,
    const ngx_str_t *origin);
/* preaccess phase handler: answers preflights */
ngx_int_t ngx_http_image_vault_preflight(ngx_http_request_t *r);
/* what an answer says about origins, before it leaves; NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_cors_filter(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf);

/* …_routes.c: the methods that the request's path knows, "GET, HEAD", with a
 * NUL behind them.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_image_vault_methods(ngx_http_request_t *r,
    ngx_http_image_vault_loc_conf_t *lcf, ngx_str_t *methods);

/* …_body.c */
/* 1: another handler is in the middle of it, so that it can't be begun */
ngx_uint_t ngx_http_image_vault_body_taken(ngx_http_request_t *r);
/* feeds the request's body to ctx->sink from wherever it is: the
 * socket (unbuffered), memory, or a file (read in a thread).  Starts reading;
 * NGX_DONE, or an HTTP status / NGX_ERROR before anything was begun */
ngx_int_t ngx_http_image_vault_body_start(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* there is room again */
void ngx_http_image_vault_body_more(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* stop reading, restore the request's handlers */
void ngx_http_image_vault_body_stop(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
/* after a failed read: 1: the client is gone; 0: it can still be answered */
ngx_uint_t ngx_http_image_vault_body_gone(ngx_http_request_t *r);


#endif
