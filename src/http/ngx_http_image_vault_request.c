/*
 * Idempotency-Key: a request that comes again gets the answer of the first.
 *
 * The key is asked for before the body is read.  It is ours until the outcome
 * is kept under it, or until it is given back; a sign of life now and then
 * tells other nodes that the request still runs.
 */

#include "http/ngx_http_image_vault_intake.h"


#define NGX_HTTP_IMAGE_VAULT_KEY_MAX  255
#define NGX_HTTP_IMAGE_VAULT_TRAITS   7


/* a key that is asked for.  In a pool of its own: when the request goes before
 * the metadata store has said that the key is ours, it is given back */
typedef struct {
    ngx_http_image_vault_intake_t  *intake;     /* NULL: it is gone */
    ngx_pool_cleanup_t             *cleanup;    /* of the request */
    ngx_iv_metadata_op_t           *op;
    ngx_str_t                       owner;
    ngx_str_t                       key;
    u_char                          nonce[NGX_IV_REQUEST_NONCE];
} ngx_http_image_vault_claim_t;


static ngx_http_image_vault_claim_t *ngx_http_image_vault_claim_create(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_claim_cleanup(void *data);
static void ngx_http_image_vault_claim_done(ngx_iv_metadata_op_t *op);
static ngx_int_t ngx_http_image_vault_fingerprint(
    ngx_http_image_vault_intake_t *it, u_char out[NGX_IV_SHA256_LEN]);
static void ngx_http_image_vault_traits(ngx_http_image_vault_intake_t *it,
    ngx_str_t *trait);
static void ngx_http_image_vault_media_type(ngx_http_request_t *r,
    ngx_str_t *type);
static ngx_int_t ngx_http_image_vault_request_ours(
    ngx_http_image_vault_intake_t *it);
static void ngx_http_image_vault_request_beat(ngx_event_t *ev);
static void ngx_http_image_vault_request_lives(ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_request_lost(
    ngx_http_image_vault_intake_t *it);
static ngx_uint_t ngx_http_image_vault_is_final(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_give_outcomes(
    ngx_http_image_vault_intake_t *it, ngx_iv_outcome_t **list,
    ngx_uint_t *n);
static void ngx_http_image_vault_request_owed(
    ngx_http_image_vault_intake_t *it, ngx_int_t code);
static void ngx_http_image_vault_request_ended(ngx_iv_metadata_op_t *op);


static const ngx_str_t  ngx_http_image_vault_key_taken =
    ngx_string("another request has, or had, this Idempotency-Key");


ngx_int_t
ngx_http_image_vault_check_key(ngx_http_image_vault_intake_t *it)
{
    size_t       i;
    ngx_str_t    key, *value;
    ngx_uint_t   n;

    value = ngx_http_image_vault_header_in(it->request, "idempotency-key", &n);

    if (value == NULL) {
        return NGX_OK;
    }

    if (n > 1) {
        it->why = "more than one idempotency-key";
        ngx_str_set(&it->message, "there must be one Idempotency-Key only");
        return NGX_IV_BAD_PARAMETER;
    }

    key = *value;

    while (key.len && (key.data[0] == ' ' || key.data[0] == '\t')) {
        key.data++;
        key.len--;
    }

    while (key.len && (key.data[key.len - 1] == ' '
                       || key.data[key.len - 1] == '\t'))
    {
        key.len--;
    }

    for (i = 0; i < key.len; i++) {
        if (key.data[i] <= 0x20 || key.data[i] >= 0x7f) {
            break;
        }
    }

    if (i < key.len || key.len > NGX_HTTP_IMAGE_VAULT_KEY_MAX) {
        it->why = "the idempotency-key is not valid";
        ngx_str_set(&it->message, "the Idempotency-Key must be 1 to 255 "
                                  "visible ASCII characters");
        return NGX_IV_BAD_PARAMETER;
    }

    /* the owner may be known under another name when the key is given back */

    it->key = key;
    it->asker = it->ctx->owner;

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_request_begin(ngx_http_image_vault_intake_t *it)
{
    u_char                         fingerprint[NGX_IV_SHA256_LEN];
    ngx_http_image_vault_claim_t  *claim;

    if (ngx_http_image_vault_fingerprint(it, fingerprint) != NGX_OK) {
        return ngx_http_image_vault_request_refuse(it, NGX_IV_INTERNAL,
                                           "the request could not be hashed");
    }

    claim = ngx_http_image_vault_claim_create(it);
    if (claim == NULL) {
        return ngx_http_image_vault_request_refuse(it, NGX_IV_INTERNAL,
                                                   "no memory");
    }

    it->request->main->count++;

    ngx_iv_metadata_request_begin(claim->op, &claim->owner, &claim->key,
                                  fingerprint,
                              ngx_http_image_vault_worker->conf->sweep.stale,
                                  claim->nonce);

    return NGX_DONE;
}


static ngx_http_image_vault_claim_t *
ngx_http_image_vault_claim_create(ngx_http_image_vault_intake_t *it)
{
    ngx_log_t                     *log;
    ngx_pool_t                    *pool;
    ngx_pool_cleanup_t            *cln;
    ngx_http_image_vault_claim_t  *claim;

    log = ngx_cycle->log;

    cln = ngx_pool_cleanup_add(it->request->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(1024, log);
    if (pool == NULL) {
        return NULL;
    }

    claim = ngx_pcalloc(pool, sizeof(ngx_http_image_vault_claim_t));
    if (claim == NULL) {
        goto failed;
    }

    claim->owner.len = it->asker.len;
    claim->owner.data = ngx_pstrdup(pool, &it->asker);
    claim->key.len = it->key.len;
    claim->key.data = ngx_pstrdup(pool, &it->key);

    claim->op = ngx_iv_metadata_op_create(
                           ngx_http_image_vault_worker->metadata, pool, log);

    if (claim->owner.data == NULL || claim->key.data == NULL
        || claim->op == NULL)
    {
        goto failed;
    }

    claim->op->data = claim;
    claim->op->handler = ngx_http_image_vault_claim_done;

    /* while there is a request, its log tells more */
    claim->op->log = it->request->connection->log;

    claim->intake = it;
    claim->cleanup = cln;

    cln->handler = ngx_http_image_vault_claim_cleanup;
    cln->data = claim;

    return claim;

failed:

    ngx_destroy_pool(pool);

    return NULL;
}


static void
ngx_http_image_vault_claim_cleanup(void *data)
{
    ngx_http_image_vault_claim_t *claim = data;

    if (claim != NULL) {
        claim->intake = NULL;
        claim->op->log = ngx_cycle->log;
    }
}


static void
ngx_http_image_vault_claim_done(ngx_iv_metadata_op_t *op)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_claim_t   *claim;
    ngx_http_image_vault_intake_t  *it;

    claim = op->data;
    it = claim->intake;

    /* what the client is told, or would be, frees the key */

    if (op->code != NGX_OK && op->unknown) {
        ngx_http_image_vault_request_late_free(&claim->owner, &claim->key,
                                               claim->nonce);
    }

    if (it == NULL) {

        if (op->code == NGX_OK && op->status == 0) {
            ngx_http_image_vault_request_late_free(&claim->owner, &claim->key,
                                                   claim->nonce);
        }

        ngx_destroy_pool(op->pool);
        return;
    }

    claim->cleanup->data = NULL;

    r = it->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_image_vault_request_time(it, op);

    if (op->code == NGX_IV_CONFLICT) {
        it->message = ngx_http_image_vault_key_taken;
        ngx_http_finalize_request(r,
                           ngx_http_image_vault_request_refuse(it, op->code,
                                            "the idempotency-key is taken"));

    } else if (op->code != NGX_OK) {
        ngx_http_finalize_request(r,
                           ngx_http_image_vault_request_refuse(it, op->code,
                                     "its idempotency-key was not answered"));

    } else if (op->status == 0) {
        ngx_memcpy(it->nonce, claim->nonce, NGX_IV_REQUEST_NONCE);
        ngx_http_finalize_request(r, ngx_http_image_vault_request_ours(it));

    } else {
        ngx_http_image_vault_repeat(it, op);
    }

    ngx_destroy_pool(op->pool);

    ngx_http_run_posted_requests(c);
}


/*
 * What makes two requests the same.  Every trait is preceded by its length, so
 * that no two lists of traits look alike.
 */

static ngx_int_t
ngx_http_image_vault_fingerprint(ngx_http_image_vault_intake_t *it,
    u_char out[NGX_IV_SHA256_LEN])
{
    u_char      *p, *start, size[NGX_OFF_T_LEN];
    size_t       len;
    ngx_str_t    trait[NGX_HTTP_IMAGE_VAULT_TRAITS], *type;
    ngx_uint_t   i, shift;

    ngx_memzero(trait, sizeof(trait));

    trait[0].data = size;
    trait[0].len = ngx_sprintf(size, "%O", it->size) - size;

    ngx_http_image_vault_traits(it, trait);

    len = 0;

    for (i = 0; i < NGX_HTTP_IMAGE_VAULT_TRAITS; i++) {
        len += sizeof(uint64_t) + trait[i].len;
    }

    start = ngx_pnalloc(it->request->pool, len);
    if (start == NULL) {
        return NGX_ERROR;
    }

    p = start;
    type = &trait[3];

    for (i = 0; i < NGX_HTTP_IMAGE_VAULT_TRAITS; i++) {

        /* nodes of any byte order share the keys */

        for (shift = 64; shift; /* void */ ) {
            shift -= 8;
            *p++ = (u_char) ((uint64_t) trait[i].len >> shift);
        }

        if (&trait[i] == type) {
            ngx_strlow(p, trait[i].data, trait[i].len);
            p += trait[i].len;

        } else if (trait[i].len) {
            p = ngx_cpymem(p, trait[i].data, trait[i].len);
        }
    }

    return ngx_iv_sha256(start, len, out);
}


/* all but the size, which is the first; what is absent has no length */

static void
ngx_http_image_vault_traits(ngx_http_image_vault_intake_t *it,
    ngx_str_t *trait)
{
    ngx_iv_digests_t    *d;
    ngx_http_request_t  *r;

    r = it->request;
    d = &it->digests;

    trait[1] = r->method_name;
    trait[2] = r->args;

    ngx_http_image_vault_media_type(r, &trait[3]);

    if (d->has_md5) {
        trait[4].data = d->md5;
        trait[4].len = NGX_IV_MD5_LEN;
    }

    if (d->has_sha256) {
        trait[5].data = d->sha256;
        trait[5].len = NGX_IV_SHA256_LEN;
    }

    if (d->has_sha512) {
        trait[6].data = d->sha512;
        trait[6].len = NGX_IV_SHA512_LEN;
    }
}


/* without parameters: the boundary of a form differs each time */

static void
ngx_http_image_vault_media_type(ngx_http_request_t *r, ngx_str_t *type)
{
    size_t  i;

    if (r->headers_in.content_type == NULL) {
        return;
    }

    *type = r->headers_in.content_type->value;

    for (i = 0; i < type->len && type->data[i] != ';'; i++) { /* void */ }

    while (i && (type->data[i - 1] == ' ' || type->data[i - 1] == '\t')) {
        i--;
    }

    type->len = i;
}


/* before any upload has begun, which would count by itself */

ngx_int_t
ngx_http_image_vault_request_refuse(ngx_http_image_vault_intake_t *it,
    ngx_int_t code, const char *why)
{
    ngx_http_image_vault_count(NGX_IV_COUNT_UPLOADS, 1);
    ngx_http_image_vault_count((ngx_iv_code(code)->status
                                < NGX_HTTP_INTERNAL_SERVER_ERROR)
                               ? NGX_IV_COUNT_UPLOADS_REFUSED
                               : NGX_IV_COUNT_UPLOADS_FAILED, 1);

    return ngx_http_image_vault_refuse(it->request, code, why,
                                       it->message.len ? &it->message : NULL);
}


static ngx_int_t
ngx_http_image_vault_request_ours(ngx_http_image_vault_intake_t *it)
{
    it->held_key = 1;

    it->beat.handler = ngx_http_image_vault_request_beat;
    it->beat.data = it;
    it->beat.log = it->request->connection->log;

    ngx_add_timer(&it->beat,
                  ngx_http_image_vault_worker->conf->sweep.stale / 3);

    return ngx_http_image_vault_upload_start(it);
}


/* one after the other */

void
ngx_http_image_vault_request_time(ngx_http_image_vault_intake_t *it,
    ngx_iv_metadata_op_t *op)
{
    ngx_http_image_vault_ctx_t  *ctx;

    ctx = it->ctx;

    if (ctx->metadata_time == NGX_TIMER_INFINITE) {
        ctx->metadata_time = 0;
    }

    ctx->metadata_time += op->time;
}


static void
ngx_http_image_vault_request_beat(ngx_event_t *ev)
{
    ngx_log_t                      *log;
    ngx_pool_t                     *pool;
    ngx_iv_metadata_op_t           *op;
    ngx_http_image_vault_intake_t  *it;

    it = ev->data;
    log = it->request->connection->log;

    ngx_http_set_log_request(log, it->request);

    ngx_add_timer(ev, ngx_http_image_vault_worker->conf->sweep.stale / 3);

    if (it->beating) {
        return;
    }

    pool = ngx_create_pool(512, log);
    if (pool == NULL) {
        return;
    }

    op = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata,
                                   pool, log);
    if (op == NULL) {
        ngx_destroy_pool(pool);
        return;
    }

    op->data = it;
    op->handler = ngx_http_image_vault_request_lives;

    it->alive_op = op;
    it->beating = 1;

    ngx_iv_metadata_request_alive(op, &it->asker, &it->key);
}


/* a call that failed is in the log already; the next one may do better */

static void
ngx_http_image_vault_request_lives(ngx_iv_metadata_op_t *op)
{
    ngx_int_t                       code;
    ngx_http_image_vault_intake_t  *it;

    it = op->data;
    code = op->code;

    it->alive_op = NULL;
    it->beating = 0;

    ngx_destroy_pool(op->pool);

    /* what is ended or freed meanwhile has no need to live */

    if (code == NGX_IV_CONFLICT && !it->answering) {
        ngx_http_image_vault_request_lost(it);
    }
}


/* no sign of life came through for too long, the key was given to another */

static void
ngx_http_image_vault_request_lost(ngx_http_image_vault_intake_t *it)
{
    ngx_log_t                    *log;
    ngx_http_image_vault_file_t  *file;

    log = it->request->connection->log;

    ngx_http_set_log_request(log, it->request);

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "image_vault: the idempotency key of a request that was "
                  "still running was given to another");

    it->held_key = 0;

    ngx_http_image_vault_request_quiet(it);

    for (file = it->files; file; file = file->next) {
        if (file->committed) {
            return;
        }
    }

    /* nothing is stored yet: the other one will do that */

    if (!it->code) {
        it->message = ngx_http_image_vault_key_taken;
    }

    ngx_http_image_vault_intake_fail(it, NGX_IV_CONFLICT,
                                     "the idempotency key was lost");
}


void
ngx_http_image_vault_request_quiet(ngx_http_image_vault_intake_t *it)
{
    if (it->beat.timer_set) {
        ngx_del_timer(&it->beat);
    }

    if (it->beating) {
        it->beating = 0;

        ngx_destroy_pool(it->alive_op->pool);
        it->alive_op = NULL;
    }
}


/*
 * What a repetition could not change.  A body that broke off is no outcome: the
 * client that vanished comes again.
 */

static ngx_uint_t
ngx_http_image_vault_is_final(ngx_http_image_vault_intake_t *it)
{
    return it->status < NGX_HTTP_INTERNAL_SERVER_ERROR
           && it->status != NGX_HTTP_UNAUTHORIZED
           && it->status != NGX_HTTP_REQUEST_TIME_OUT
           && it->status != NGX_HTTP_TOO_MANY_REQUESTS
           && it->code != NGX_IV_LENGTH_MISMATCH;
}


ngx_int_t
ngx_http_image_vault_request_end(ngx_http_image_vault_intake_t *it)
{
    ngx_uint_t             n;
    ngx_iv_outcome_t      *list;
    ngx_http_request_t    *r;
    ngx_iv_metadata_op_t  *op;

    r = it->request;

    op = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata,
                                   r->pool, r->connection->log);
    if (op == NULL) {
        goto failed;
    }

    op->data = it;
    op->handler = ngx_http_image_vault_request_ended;

    if (!ngx_http_image_vault_is_final(it)) {
        ngx_iv_metadata_request_free(op, &it->asker, &it->key, it->nonce);
        return NGX_AGAIN;
    }

    if (ngx_http_image_vault_give_outcomes(it, &list, &n) != NGX_OK) {
        goto failed;
    }

    ngx_iv_metadata_request_end(op, &it->asker, &it->key, it->status, list, n);

    return NGX_AGAIN;

failed:

    /* it becomes stale */

    it->held_key = 0;

    ngx_http_image_vault_request_quiet(it);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_image_vault_give_outcomes(ngx_http_image_vault_intake_t *it,
    ngx_iv_outcome_t **list, ngx_uint_t *n)
{
    ngx_iv_outcome_t             *outcome;
    ngx_http_image_vault_file_t  *file;

    *n = it->code ? 1 : it->nfiles;

    outcome = ngx_pcalloc(it->request->pool, *n * sizeof(ngx_iv_outcome_t));
    if (outcome == NULL) {
        return NGX_ERROR;
    }

    *list = outcome;

    if (it->code) {
        outcome->code = it->code;
        outcome->message = it->message;
        return NGX_OK;
    }

    for (file = it->files; file; file = file->next) {
        ngx_memcpy(outcome->id, file->id, NGX_IV_ID_LEN);
        outcome->name = file->name;
        outcome->code = file->code;
        outcome->message = file->message;
        outcome++;
    }

    return NGX_OK;
}


/* what was stored is not to be stored again by a repetition, and what was not
 * is to be */

static void
ngx_http_image_vault_request_owed(ngx_http_image_vault_intake_t *it,
    ngx_int_t code)
{
    ngx_uint_t         n;
    ngx_iv_outcome_t  *list;

    if (code != NGX_IV_METADATA_UNAVAILABLE && code != NGX_IV_OVERLOADED) {
        return;
    }

    if (!ngx_http_image_vault_is_final(it)) {
        ngx_http_image_vault_request_late_free(&it->asker, &it->key,
                                               it->nonce);

    } else if (ngx_http_image_vault_give_outcomes(it, &list, &n) == NGX_OK) {
        ngx_http_image_vault_request_late(it, list, n);
    }
}


static void
ngx_http_image_vault_request_ended(ngx_iv_metadata_op_t *op)
{
    ngx_connection_t               *c;
    ngx_http_image_vault_intake_t  *it;

    it = op->data;
    c = it->request->connection;

    ngx_http_set_log_request(c->log, it->request);

    ngx_http_image_vault_request_time(it, op);

    /* the answer is true all the same */

    if (op->code != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "image_vault: the outcome of a request was not noted "
                      "under its idempotency key: %V",
                      &ngx_iv_code(op->code)->word);

        ngx_http_image_vault_request_owed(it, op->code);
    }

    it->held_key = 0;

    ngx_http_image_vault_request_quiet(it);

    ngx_http_image_vault_intake_answer(it);

    ngx_http_run_posted_requests(c);
}


void
ngx_http_image_vault_request_abort(ngx_http_image_vault_intake_t *it)
{
    it->held_key = 0;

    /* the request and its log are about to go */

    ngx_http_image_vault_request_late_free(&it->asker, &it->key, it->nonce);
}
