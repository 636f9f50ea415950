/*
 * GET admin/sweep: what the sweep is about to do and what it has done; POST
 * admin/sweep: a pass now.
 */

#include "http/ngx_http_image_vault_api.h"
#include "metadata/ngx_iv_metadata_sweep.h"


static ngx_int_t ngx_http_image_vault_sweep_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static void ngx_http_image_vault_sweep_lease(ngx_iv_json_t *j,
    const ngx_iv_sweep_state_t *state);
static void ngx_http_image_vault_sweep_due(ngx_iv_json_t *j,
    const ngx_iv_sweep_state_t *state);
static void ngx_http_image_vault_sweep_last(ngx_iv_json_t *j,
    const ngx_iv_sweep_pass_t *last);
static ngx_int_t ngx_http_image_vault_sweep_asked(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);


ngx_int_t
ngx_http_image_vault_sweep_show(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_metadata_op_t  *op;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_image_vault_report(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_sweep_told,
                                  NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_sweep_look(op,
                              ngx_http_image_vault_worker->conf->sweep.stale);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_sweep_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_str_t                   json;
    ngx_iv_json_t               j;
    const ngx_iv_sweep_conf_t  *conf;

    ngx_http_image_vault_audit(r, ctx, "admin-sweep-look", NULL, NULL,
                               op->code, NULL);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    conf = &ngx_http_image_vault_worker->conf->sweep;

    ngx_iv_json_init(&j, r->pool, 2048);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    /* of this node; another may have it otherwise */

    ngx_iv_json_bool(&j, "enabled", conf->interval != 0);
    ngx_iv_json_int(&j, "stale", (int64_t) conf->stale / 1000);

    ngx_http_image_vault_sweep_lease(&j, op->sweep);
    ngx_http_image_vault_sweep_due(&j, op->sweep);
    ngx_http_image_vault_sweep_last(&j, &op->sweep->last);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


static void
ngx_http_image_vault_sweep_lease(ngx_iv_json_t *j,
    const ngx_iv_sweep_state_t *state)
{
    const ngx_iv_sweep_conf_t  *conf;

    conf = &ngx_http_image_vault_worker->conf->sweep;

    if (state->holder.len == 0) {
        ngx_iv_json_null(j, "lease");
        return;
    }

    ngx_iv_json_object(j, "lease");
    ngx_iv_json_str(j, "holder", &state->holder);
    ngx_iv_json_int(j, "fence", state->fence);
    ngx_iv_json_date_or_null(j, "renewedAt", state->renewed_at);
    ngx_iv_json_date_or_null(j, "until", ngx_iv_sweep_until(conf, state));
    ngx_iv_json_bool(j, "running", !state->idle);
    ngx_iv_json_date_or_null(j, "startedAt", state->started_at);
    ngx_iv_json_date_or_null(j, "requestedAt", state->requested_at);
    ngx_iv_json_object_end(j);
}


static void
ngx_http_image_vault_sweep_due(ngx_iv_json_t *j,
    const ngx_iv_sweep_state_t *state)
{
    int64_t              now;
    ngx_uint_t           i;
    const ngx_iv_due_t  *due;

    static const char  *names[] = {
        "brokenUploads",
        "expiredImages",
        "objectsToDelete",
        "documentsToRemove",
        "stagedObjects",
        "openUploads",
        "deadRequests"
    };

    now = state->now ? state->now : ngx_iv_now();

    ngx_iv_json_object(j, "due");

    for (i = 0; i < NGX_IV_DUE_LAST; i++) {
        due = &state->due[i];

        ngx_iv_json_object(j, names[i]);
        ngx_iv_json_int(j, "count", (int64_t) due->n);
        ngx_iv_json_bool(j, "more", due->n == NGX_IV_SWEEP_COUNT);
        ngx_iv_json_date_or_null(j, "oldest", due->oldest);

        if (due->oldest) {
            ngx_iv_json_int(j, "oldestAge",
                            ngx_max(now - due->oldest, 0) / 1000);

        } else {
            ngx_iv_json_null(j, "oldestAge");
        }

        ngx_iv_json_object_end(j);
    }

    ngx_iv_json_object_end(j);
}


static void
ngx_http_image_vault_sweep_last(ngx_iv_json_t *j,
    const ngx_iv_sweep_pass_t *last)
{
    if (last->ended_at == 0) {
        ngx_iv_json_null(j, "lastPass");
        return;
    }

    ngx_iv_json_object(j, "lastPass");
    ngx_iv_json_date_or_null(j, "startedAt", last->started_at);
    ngx_iv_json_date(j, "endedAt", last->ended_at);
    ngx_iv_json_str(j, "holder", &last->holder);
    ngx_iv_json_int(j, "fence", last->fence);
    ngx_iv_json_bool(j, "complete", last->complete);
    ngx_iv_json_int(j, "brokenUploads", (int64_t) last->stale);
    ngx_iv_json_int(j, "expiredImages", (int64_t) last->expired);
    ngx_iv_json_int(j, "objectsDeleted", (int64_t) last->deleted);
    ngx_iv_json_int(j, "documentsRemoved", (int64_t) last->removed);
    ngx_iv_json_int(j, "stagedObjects", (int64_t) last->staged);
    ngx_iv_json_int(j, "uploadsAborted", (int64_t) last->uploads);
    ngx_iv_json_int(j, "deadRequests", (int64_t) last->requests);
    ngx_iv_json_int(j, "quotaEntries", (int64_t) last->entries);
    ngx_iv_json_int(j, "left", (int64_t) last->left);
    ngx_iv_json_int(j, "errors", (int64_t) last->errors);
    ngx_iv_json_int(j, "pauses", (int64_t) last->pauses);
    ngx_iv_json_object_end(j);
}


ngx_int_t
ngx_http_image_vault_sweep_now(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_sweep_t        *sweep;
    ngx_iv_metadata_op_t  *op;

    static const ngx_str_t  off =
        ngx_string("image_vault_sweep is off on this node");

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    sweep = ngx_http_image_vault_worker->sweep;

    if (sweep == NULL) {
        ngx_http_image_vault_audit(r, ctx, "admin-sweep", NULL, NULL,
                                   NGX_IV_CONFLICT, NULL);

        return ngx_http_image_vault_refuse(r, NGX_IV_CONFLICT,
                                           "image_vault_sweep is off", &off);
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_sweep_asked,
                                  NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_sweep_ask(sweep, op);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_sweep_asked(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_str_t      json;
    ngx_uint_t     started;
    ngx_iv_json_t  j;

    static const ngx_str_t  begun = ngx_string("begun");
    static const ngx_str_t  queued = ngx_string("queued");

    started = ngx_iv_sweep_asked(ngx_http_image_vault_worker->sweep, op);

    ngx_http_image_vault_audit(r, ctx, "admin-sweep", NULL, NULL, op->code,
                               started ? &begun : &queued);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ngx_iv_json_init(&j, r->pool, 512);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);

    /* 0: a pass is under way, and another one follows it at once */

    ngx_iv_json_bool(&j, "started", started);
    ngx_http_image_vault_sweep_lease(&j, op->sweep);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_ACCEPTED, &json);
}
