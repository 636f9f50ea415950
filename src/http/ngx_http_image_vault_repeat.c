/*
 * Idempotency-Key: the answer of a request that was answered before.  The
 * images are looked up again, as what is known of them may have changed.
 */

#include "http/ngx_http_image_vault_api.h"
#include "http/ngx_http_image_vault_intake.h"


static ngx_int_t ngx_http_image_vault_take_outcomes(
    ngx_http_image_vault_intake_t *it, ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_look_up(ngx_http_image_vault_intake_t *it,
    ngx_http_image_vault_file_t *file, ngx_iv_metadata_op_t *op);
static void ngx_http_image_vault_looked_up(ngx_iv_metadata_op_t *op);
static ngx_uint_t ngx_http_image_vault_may_repeat(
    ngx_http_image_vault_intake_t *it, const ngx_iv_document_t *doc);


void
ngx_http_image_vault_repeat(ngx_http_image_vault_intake_t *it,
    ngx_iv_metadata_op_t *op)
{
    ngx_http_request_t    *r;
    ngx_iv_metadata_op_t  *get;

    r = it->request;

    it->answering = 1;

    if (ngx_http_image_vault_take_outcomes(it, op) != NGX_OK) {
        goto failed;
    }

    get = ngx_iv_metadata_op_create(ngx_http_image_vault_worker->metadata,
                                    r->pool, r->connection->log);
    if (get == NULL) {
        goto failed;
    }

    get->handler = ngx_http_image_vault_looked_up;

    it->replayed = 1;
    it->status = op->status;

    ngx_http_image_vault_look_up(it, it->files, get);

    return;

failed:

    ngx_str_null(&it->message);

    ngx_http_finalize_request(r,
                       ngx_http_image_vault_request_refuse(it,
                                                           NGX_IV_INTERNAL,
                                       "what was kept could not be restored"));
}


static ngx_int_t
ngx_http_image_vault_take_outcomes(ngx_http_image_vault_intake_t *it,
    ngx_iv_metadata_op_t *op)
{
    ngx_uint_t                    i;
    ngx_str_t                     name;
    ngx_pool_t                   *pool;
    ngx_iv_outcome_t             *outcome;
    ngx_http_image_vault_file_t  *file;

    pool = it->request->pool;
    outcome = op->outcomes;

    if (op->noutcomes == 0) {
        return NGX_ERROR;
    }

    /* a file always has a name: this is the request as a whole */

    if (op->noutcomes == 1 && outcome->code != NGX_OK
        && outcome->name.len == 0)
    {
        it->code = outcome->code;
        it->why = "as the first time";

        return ngx_iv_copy_str(pool, &it->message, &outcome->message);
    }

    for (i = 0; i < op->noutcomes; i++) {

        if (ngx_iv_copy_str(pool, &name, &outcome[i].name) != NGX_OK) {
            return NGX_ERROR;
        }

        file = ngx_http_image_vault_file_add(it, &name);
        if (file == NULL) {
            return NGX_ERROR;
        }

        file->code = outcome[i].code;
        ngx_memcpy(file->id, outcome[i].id, NGX_IV_ID_LEN);

        if (ngx_iv_copy_str(pool, &file->message, &outcome[i].message)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* one image after another, from `file` on; then the answer */

static void
ngx_http_image_vault_look_up(ngx_http_image_vault_intake_t *it,
    ngx_http_image_vault_file_t *file, ngx_iv_metadata_op_t *op)
{
    while (file && file->code != NGX_OK) {
        file = file->next;
    }

    if (file == NULL) {
        ngx_http_image_vault_intake_answer(it);
        return;
    }

    op->data = file;

    ngx_iv_metadata_get(op, file->id);
}


static void
ngx_http_image_vault_looked_up(ngx_iv_metadata_op_t *op)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_image_vault_file_t    *file;
    ngx_http_image_vault_intake_t  *it;

    file = op->data;
    it = file->intake;
    r = it->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_image_vault_request_time(it, op);

    if (op->code != NGX_OK && op->code != NGX_IV_NOT_FOUND) {
        ngx_http_finalize_request(r,
                          ngx_http_image_vault_request_refuse(it, op->code,
                                         "an image was not looked up again"));

        ngx_http_run_posted_requests(c);
        return;
    }

    if (op->code == NGX_OK
        && ngx_http_image_vault_may_repeat(it, op->document))
    {
        file->document = op->document;
    }

    ngx_http_image_vault_look_up(it, file->next, op);

    ngx_http_run_posted_requests(c);
}


/* as strict as a look at the image is: the answer has a new URL of it */

static ngx_uint_t
ngx_http_image_vault_may_repeat(ngx_http_image_vault_intake_t *it,
    const ngx_iv_document_t *doc)
{
    if (doc->deleted_at || ngx_http_image_vault_state(it->ctx, doc) != NGX_OK) {
        return 0;
    }

    return it->ctx->admin || ngx_iv_equal(&doc->owner, &it->asker);
}
