/*
 * The images of an upload request while they are under way.
 */

#include "http/ngx_http_image_vault_intake.h"


static void ngx_http_image_vault_intake_gone(void *data);
static void ngx_http_image_vault_audit_abandoned(
    ngx_http_image_vault_file_t *file);
static void ngx_http_image_vault_intake_broken(void *data, ngx_int_t code,
    const char *why);
static ngx_int_t ngx_http_image_vault_intake_feed(void *data, u_char **pos,
    u_char *last);
static void ngx_http_image_vault_intake_end(void *data);
static ngx_int_t ngx_http_image_vault_raw_feed(
    ngx_http_image_vault_intake_t *it, const u_char **pos,
    const u_char *last);
static ngx_int_t ngx_http_image_vault_intake_hash(
    ngx_http_image_vault_intake_t *it, const u_char *p, const u_char *last);
static void ngx_http_image_vault_intake_step(ngx_event_t *ev);
static void ngx_http_image_vault_intake_commit(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_intake_over(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_file_key(void *data, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key);
static void ngx_http_image_vault_file_more(void *data);
static void ngx_http_image_vault_file_stored(void *data);
static void ngx_http_image_vault_file_done(void *data);
static void ngx_http_image_vault_file_outcome(
    ngx_http_image_vault_file_t *file);
static void ngx_http_image_vault_quota_message(
    ngx_http_image_vault_file_t *file);
static void ngx_http_image_vault_intake_time(ngx_msec_t *total, ngx_msec_t t);


ngx_int_t
ngx_http_image_vault_intake_init(ngx_http_image_vault_intake_t *it)
{
    ngx_pool_cleanup_t  *cln;

    it->last = &it->files;

    it->sink.feed = ngx_http_image_vault_intake_feed;
    it->sink.end = ngx_http_image_vault_intake_end;
    it->sink.fail = ngx_http_image_vault_intake_broken;
    it->sink.gone = ngx_http_image_vault_intake_gone;
    it->sink.data = it;

    it->event.handler = ngx_http_image_vault_intake_step;
    it->event.data = it;
    it->event.log = it->request->connection->log;

    (void) ngx_http_image_vault_trail_begin(it->request, it->ctx, "upload",
                                            &it->trail);

    cln = ngx_pool_cleanup_add(it->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_image_vault_intake_gone;
    cln->data = it;

    return NGX_OK;
}


/* whoever ends the request first: what was begun is undone without it */

static void
ngx_http_image_vault_intake_gone(void *data)
{
    ngx_http_image_vault_intake_t *it = data;

    ngx_http_image_vault_intake_abandon(it);
}


static void
ngx_http_image_vault_intake_broken(void *data, ngx_int_t code,
    const char *why)
{
    ngx_http_image_vault_intake_t *it = data;

    ngx_http_image_vault_intake_fail(it, code, why);
}


void
ngx_http_image_vault_intake_abandon(ngx_http_image_vault_intake_t *it)
{
    ngx_uint_t                    committed;
    ngx_http_image_vault_file_t  *file;

    if (it->over) {
        return;
    }

    it->over = 1;
    committed = 0;

    if (it->event.posted) {
        ngx_delete_posted_event(&it->event);
    }

    for (file = it->files; file; file = file->next) {

        if (file->committed) {
            committed = 1;
        }

        if (file->upload != NULL) {
            ngx_http_image_vault_audit_abandoned(file);

            ngx_iv_upload_abandon(file->upload);
            file->upload = NULL;
            it->alive--;
        }
    }

    ngx_http_image_vault_request_quiet(it);

    /*
     * What is committed may be stored: the key stays taken until it is stale,
     * rather than let a repetition store it twice.
     */

    if (it->held_key && !it->answering && !committed) {
        ngx_http_image_vault_request_abort(it);
    }

    if (it->hash) {
        ngx_iv_hash_free(it->hash);
        it->hash = NULL;
    }
}


/* how it ends, nobody will be told: its document knows */

static void
ngx_http_image_vault_audit_abandoned(ngx_http_image_vault_file_t *file)
{
    ngx_iv_upload_t  *u;

    static const ngx_str_t  aborted = ngx_string("aborted");

    u = file->upload;

    file->intake->trail.entry.owner = file->intake->owner;

    ngx_http_image_vault_trail_end(&file->intake->trail, ngx_cycle->log,
                                   u->document.key.len ? u->document.id : NULL,
                                   &aborted);
}


static ngx_int_t
ngx_http_image_vault_intake_feed(void *data, u_char **pos, u_char *last)
{
    ngx_http_image_vault_intake_t *it = data;

    ngx_int_t      rc;
    const u_char  *p;

    if (it->over || it->code) {
        *pos = last;
        return NGX_OK;
    }

    p = *pos;

    if (it->form) {
        rc = ngx_http_image_vault_form_feed(it, &p, last);

    } else {
        rc = ngx_http_image_vault_raw_feed(it, &p, last);
    }

    if (it->hash
        && ngx_http_image_vault_intake_hash(it, *pos, p) != NGX_OK)
    {
        return NGX_IV_INTERNAL;
    }

    it->received += p - *pos;
    *pos += p - *pos;

    return rc;
}


static ngx_int_t
ngx_http_image_vault_intake_hash(ngx_http_image_vault_intake_t *it,
    const u_char *p, const u_char *last)
{
    if (p == last
        || ngx_iv_hash_update(it->hash, p, last - p) == NGX_OK)
    {
        return NGX_OK;
    }

    it->why = "hashing failed";

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_image_vault_raw_feed(ngx_http_image_vault_intake_t *it,
    const u_char **pos, const u_char *last)
{
    if (it->size >= 0 && it->size - it->received < last - *pos) {
        it->why = "the body is longer than announced";
        return NGX_IV_LENGTH_MISMATCH;
    }

    return ngx_http_image_vault_file_feed(it->files, pos, last);
}


ngx_int_t
ngx_http_image_vault_file_feed(ngx_http_image_vault_file_t *file,
    const u_char **pos, const u_char *last)
{
    size_t   n;
    u_char  *p;

    while (*pos < last) {

        if (file->upload == NULL) {
            /* it has failed: the rest is of no use */
            *pos = last;
            break;
        }

        n = ngx_iv_upload_room(file->upload, &p);

        if (n == 0) {
            return NGX_AGAIN;
        }

        n = ngx_min(n, (size_t) (last - *pos));

        ngx_memcpy(p, *pos, n);

        *pos += n;

        ngx_iv_upload_filled(file->upload, n);
    }

    return NGX_OK;
}


static void
ngx_http_image_vault_intake_end(void *data)
{
    ngx_http_image_vault_intake_t *it = data;

    ngx_int_t  rc;

    if (it->over || it->code) {
        return;
    }

    if (it->form) {
        rc = ngx_http_image_vault_form_finish(it);

        if (rc != NGX_OK) {
            ngx_http_image_vault_intake_fail(it, rc, NULL);
            return;
        }

    } else if (it->size >= 0) {

        if (it->received != it->size) {
            ngx_http_image_vault_intake_fail(it, NGX_IV_LENGTH_MISMATCH,
                                        "the body is shorter than announced");
            return;
        }

    } else if (it->files->upload) {
        ngx_iv_upload_end(it->files->upload);
    }

    it->whole = 1;

    ngx_http_image_vault_intake_post(it);
}


void
ngx_http_image_vault_intake_fail(ngx_http_image_vault_intake_t *it,
    ngx_int_t code, const char *why)
{
    ngx_http_image_vault_file_t  *file;

    if (it->over || it->code) {
        return;
    }

    it->code = (code > 0) ? code : NGX_IV_INTERNAL;

    if (it->why == NULL) {
        it->why = why;
    }

    for (file = it->files; file; file = file->next) {
        if (file->upload) {
            ngx_iv_upload_fail(file->upload, it->code, it->why);
        }
    }

    ngx_http_image_vault_intake_post(it);
}


void
ngx_http_image_vault_intake_post(ngx_http_image_vault_intake_t *it)
{
    ngx_post_event(&it->event, &ngx_posted_events);
}


static void
ngx_http_image_vault_intake_step(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_image_vault_intake_t  *it;

    it = ev->data;
    c = it->request->connection;

    if (it->over || it->answering) {
        return;
    }

    ngx_http_set_log_request(c->log, it->request);

    if (it->whole && !it->code) {
        ngx_http_image_vault_intake_commit(it);
    }

    /* one image that failed is the end of a raw body, not of a form */

    if (it->alive == 0 && (it->whole || it->code || it->form == NULL)) {
        ngx_http_image_vault_intake_over(it);

    } else if (it->crowded && it->busy < NGX_HTTP_IMAGE_VAULT_AT_ONCE) {
        it->crowded = 0;
        ngx_http_image_vault_body_more(it->request, it->ctx);
    }

    ngx_http_run_posted_requests(c);
}


/* a few at a time, in their order */

static void
ngx_http_image_vault_intake_commit(ngx_http_image_vault_intake_t *it)
{
    ngx_http_image_vault_file_t  *file;

    for (file = it->files;
         file && it->busy < NGX_HTTP_IMAGE_VAULT_AT_ONCE;
         file = file->next)
    {
        if (file->upload && file->stored && !file->committed) {
            file->committed = 1;
            it->busy++;
            ngx_iv_upload_commit(file->upload, &it->fields);
        }
    }
}


static void
ngx_http_image_vault_intake_over(ngx_http_image_vault_intake_t *it)
{
    it->answering = 1;

    ngx_http_image_vault_body_stop(it->request, it->ctx);

    it->status = ngx_http_image_vault_results_status(it);

    if (it->held_key && ngx_http_image_vault_request_end(it) == NGX_AGAIN) {
        return;
    }

    ngx_http_image_vault_intake_answer(it);
}


ngx_http_image_vault_file_t *
ngx_http_image_vault_file_add(ngx_http_image_vault_intake_t *it,
    const ngx_str_t *name)
{
    ngx_http_image_vault_file_t  *file;

    file = ngx_pcalloc(it->request->pool, sizeof(ngx_http_image_vault_file_t));
    if (file == NULL) {
        return NULL;
    }

    file->intake = it;
    file->name = *name;
    file->index = it->nfiles;

    *it->last = file;
    it->last = &file->next;
    it->nfiles++;

    return file;
}


ngx_http_image_vault_file_t *
ngx_http_image_vault_file_begin(ngx_http_image_vault_intake_t *it,
    const ngx_str_t *name, off_t size, const ngx_iv_digests_t *digests)
{
    ngx_http_request_t               *r;
    ngx_iv_upload_params_t            p;
    ngx_http_image_vault_file_t      *file;
    ngx_http_image_vault_worker_t    *w;
    ngx_http_image_vault_loc_conf_t  *lcf;

    r = it->request;
    w = ngx_http_image_vault_worker;
    lcf = ngx_http_get_module_loc_conf(r, ngx_http_image_vault_module);

    file = ngx_http_image_vault_file_add(it, name);
    if (file == NULL) {
        return NULL;
    }

    ngx_memzero(&p, sizeof(ngx_iv_upload_params_t));

    p.metadata = w->metadata;
    p.storage = w->storages[lcf->storage];
    p.hash = &w->hash;
    p.zone = w->conf->zone;
    p.room = w->room;
    p.limits.types = lcf->types;
    p.limits.max_pixels = lcf->max_pixels;
    p.size = size;
    p.max_size = lcf->max_size;
    p.at_most = (it->form && it->size >= 0) ? it->size - it->received : -1;
    p.quota = lcf->quota;
    p.digests = digests;
    p.heartbeat = w->conf->sweep.stale / 3;
    p.owner = it->owner;
    p.original_name = file->name;
    p.uploaded_from = it->from;
    p.is_public = p.storage->conf->public_only ? 1 : 0;
    p.fields = &it->fields;

    /* with a key nothing may be stored that its record does not know of */
    p.hold = (it->form || it->key.len) ? 1 : 0;

    p.key = ngx_http_image_vault_file_key;
    p.more = ngx_http_image_vault_file_more;
    p.stored = ngx_http_image_vault_file_stored;
    p.done = ngx_http_image_vault_file_done;
    p.data = file;

    file->upload = ngx_iv_upload_create(&p, r->connection->log);
    if (file->upload == NULL) {
        return NULL;
    }

    it->alive++;
    it->busy++;

    return file;
}


static ngx_int_t
ngx_http_image_vault_file_key(void *data, ngx_pool_t *pool,
    const ngx_str_t *filename, ngx_str_t *key)
{
    ngx_http_image_vault_file_t *file = data;

    return ngx_http_image_vault_key(file->intake->request, pool, filename,
                                    key);
}


static void
ngx_http_image_vault_file_more(void *data)
{
    ngx_http_image_vault_file_t *file = data;

    ngx_connection_t               *c;
    ngx_http_image_vault_intake_t  *it;

    it = file->intake;
    c = it->request->connection;

    if (it->form && it->file != file) {
        return;
    }

    ngx_http_set_log_request(c->log, it->request);

    ngx_http_image_vault_body_more(it->request, it->ctx);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_image_vault_file_stored(void *data)
{
    ngx_http_image_vault_file_t *file = data;

    file->stored = 1;
    file->intake->busy--;

    ngx_http_image_vault_intake_post(file->intake);
}


static void
ngx_http_image_vault_file_done(void *data)
{
    ngx_http_image_vault_file_t *file = data;

    ngx_connection_t               *c;
    ngx_http_image_vault_intake_t  *it;

    it = file->intake;
    c = it->request->connection;

    ngx_http_set_log_request(c->log, it->request);

    ngx_http_image_vault_file_outcome(file);

    /* its buffers go before a client is lingered for */
    ngx_iv_upload_free(file->upload);
    file->upload = NULL;
    it->alive--;

    if (!file->stored || file->committed) {
        it->busy--;
    }

    ngx_http_image_vault_intake_post(it);

    /* the rest of its part is skipped */

    if (it->form && it->file == file) {
        ngx_http_image_vault_body_more(it->request, it->ctx);
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_http_image_vault_file_outcome(ngx_http_image_vault_file_t *file)
{
    ngx_uint_t                      level;
    ngx_http_request_t             *r;
    ngx_iv_upload_t                *u;
    ngx_http_image_vault_ctx_t     *ctx;
    ngx_http_image_vault_intake_t  *it;

    it = file->intake;
    r = it->request;
    ctx = it->ctx;
    u = file->upload;

    file->code = u->code;

    ngx_memcpy(file->id, u->document.id, NGX_IV_ID_LEN);

    if (u->document.key.len) {
        ngx_http_image_vault_intake_time(&ctx->storage_time, u->storage_time);
        ngx_http_image_vault_intake_time(&ctx->metadata_time,
                                         u->metadata_time);

        file->document = ngx_http_image_vault_keep_document(r->pool,
                                                            &u->document);

        /* the variables tell of the first that was stored */

        if (ctx->document == NULL || (it->status == 0 && u->code == NGX_OK)) {
            ctx->document = file->document;
        }

        if (u->code == NGX_OK) {
            it->status = NGX_HTTP_CREATED;
        }
    }

    if (u->code == NGX_OK) {
        if (file->document == NULL) {
            file->code = NGX_IV_INTERNAL;
        }

        return;
    }

    if (u->code == NGX_IV_QUOTA_EXCEEDED) {
        ngx_http_image_vault_quota_message(file);
    }

    if (it->form && !it->code) {

        if (ngx_iv_code(u->code)->status < NGX_HTTP_INTERNAL_SERVER_ERROR) {
            level = NGX_LOG_INFO;

        } else {
            level = NGX_LOG_ERR;
        }

        ngx_log_error(level, r->connection->log, 0,
                      "image_vault: file %ui of a form refused: %V%s%s",
                      file->index, &ngx_iv_code(u->code)->word,
                      u->why ? ", " : "", u->why ? u->why : "");

    } else if (it->why == NULL) {
        it->why = u->why;
    }
}


static void
ngx_http_image_vault_quota_message(ngx_http_image_vault_file_t *file)
{
    u_char           *p;
    ngx_iv_upload_t  *u;

    u = file->upload;

    p = ngx_pnalloc(file->intake->request->pool,
                    sizeof("the storage quota is used up: used , limit , "
                           "needed  bytes")
                    + 3 * NGX_INT64_LEN);
    if (p == NULL) {
        return;
    }

    file->message.data = p;

    p = ngx_sprintf(p, "the storage quota is used up: used %L, limit %L, "
                    "needed %L bytes", u->quota_used, u->quota_limit,
                    u->quota_needed);

    file->message.len = p - file->message.data;
    *p = '\0';

    u->why = (const char *) file->message.data;
}


/* of several images the longest: they run side by side */

static void
ngx_http_image_vault_intake_time(ngx_msec_t *total, ngx_msec_t t)
{
    if (*total == NGX_TIMER_INFINITE || *total < t) {
        *total = t;
    }
}


/* for the answer and the access log, which come after the upload is freed */

ngx_iv_document_t *
ngx_http_image_vault_keep_document(ngx_pool_t *pool,
    const ngx_iv_document_t *doc)
{
    ngx_str_t          *s[6];
    ngx_uint_t          i;
    ngx_iv_document_t  *copy;

    copy = ngx_palloc(pool, sizeof(ngx_iv_document_t));
    if (copy == NULL) {
        return NULL;
    }

    *copy = *doc;

    s[0] = &copy->owner;
    s[1] = &copy->original_name;
    s[2] = &copy->filename;
    s[3] = &copy->content_type;
    s[4] = &copy->key;
    s[5] = &copy->storage;

    for (i = 0; i < 6; i++) {
        if (s[i]->len == 0) {
            ngx_str_null(s[i]);
            continue;
        }

        s[i]->data = ngx_pstrdup(pool, s[i]);
        if (s[i]->data == NULL) {
            return NULL;
        }
    }

    ngx_str_null(&copy->uploaded_from);
    ngx_str_null(&copy->etag);
    ngx_str_null(&copy->blocked_reason);
    ngx_str_null(&copy->error);
    copy->tags = NULL;
    copy->ntags = 0;
    copy->shared_with = NULL;
    copy->nshared = 0;

    return copy;
}
