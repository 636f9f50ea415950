/*
 * What admins see of all images, and what they do to one.
 */

#include "http/ngx_http_image_vault_api.h"
#include "formats/ngx_iv_args.h"


typedef struct {
    ngx_uint_t                    block;        /* 0: unblock */
    ngx_str_t                     reason;
    ngx_http_image_vault_trail_t  trail;
} ngx_http_image_vault_moderate_t;


static ngx_int_t ngx_http_image_vault_stats_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static void ngx_http_image_vault_stats_sum(ngx_iv_json_t *j,
    const ngx_iv_stat_t *stat);
static ngx_int_t ngx_http_image_vault_stats_types(ngx_iv_json_t *j,
    ngx_iv_stats_t *stats);
static ngx_uint_t ngx_http_image_vault_stats_merge(ngx_iv_stats_t *stats,
    ngx_uint_t n);
static void ngx_http_image_vault_stats_days(ngx_iv_json_t *j,
    const ngx_iv_stats_t *stats);
static ngx_int_t ngx_http_image_vault_moderate_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);
static ngx_int_t ngx_http_image_vault_moderate_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx);
static ngx_int_t ngx_http_image_vault_moderate_parse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_moderate_t *m);
static ngx_int_t ngx_http_image_vault_moderate_reason(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_moderate_t *m);
static ngx_int_t ngx_http_image_vault_moderate_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data);


ngx_int_t
ngx_http_image_vault_stats(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t              rc;
    ngx_iv_metadata_op_t  *op;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_stats_told,
                                  NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_stats(op);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_stats_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_str_t        json;
    ngx_uint_t       i;
    ngx_iv_json_t    j;
    ngx_iv_stats_t  *stats;

    ngx_http_image_vault_audit(r, ctx, "admin-stats", NULL, NULL, op->code,
                               NULL);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    stats = op->found->stats;

    ngx_iv_json_init(&j, r->pool, 4096);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_http_image_vault_stats_sum(&j, &stats->total);

    ngx_iv_json_object(&j, "byStatus");

    for (i = NGX_IV_STATUS_UPLOADING; i <= NGX_IV_STATUS_ERROR; i++) {
        ngx_iv_json_object(&j, ngx_http_image_vault_status_name(i));
        ngx_http_image_vault_stats_sum(&j, &stats->statuses[i]);
        ngx_iv_json_object_end(&j);
    }

    ngx_iv_json_object_end(&j);

    if (ngx_http_image_vault_stats_types(&j, stats) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_image_vault_stats_days(&j, stats);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}


static void
ngx_http_image_vault_stats_sum(ngx_iv_json_t *j, const ngx_iv_stat_t *stat)
{
    ngx_iv_json_int(j, "images", stat->images);
    ngx_iv_json_int(j, "bytes", stat->bytes);
}


static ngx_int_t
ngx_http_image_vault_stats_types(ngx_iv_json_t *j, ngx_iv_stats_t *stats)
{
    u_char      *name;
    ngx_uint_t   i;

    ngx_iv_json_object(j, "byType");

    for (i = 0; i < stats->ntypes; i++) {

        if (ngx_http_image_vault_stats_merge(stats, i)) {
            continue;
        }

        /* keys are C strings */

        name = ngx_pnalloc(j->pool, stats->types[i].name.len + 1);
        if (name == NULL) {
            return NGX_ERROR;
        }

        (void) ngx_cpystrn(name, stats->types[i].name.data,
                           stats->types[i].name.len + 1);

        ngx_iv_json_object(j, (char *) name);
        ngx_http_image_vault_stats_sum(j, &stats->types[i]);
        ngx_iv_json_object_end(j);
    }

    ngx_iv_json_object_end(j);

    return NGX_OK;
}


/* what has no type and what is beyond the last type are both "other": the first
 * of a name takes what the others have.  1: the nth is not the first */

static ngx_uint_t
ngx_http_image_vault_stats_merge(ngx_iv_stats_t *stats, ngx_uint_t n)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    name = &stats->types[n].name;

    for (i = 0; i < stats->ntypes; i++) {

        if (i == n || stats->types[i].name.len != name->len
            || (name->len && ngx_memcmp(stats->types[i].name.data, name->data,
                                        name->len) != 0))
        {
            continue;
        }

        if (i < n) {
            return 1;
        }

        stats->types[n].images += stats->types[i].images;
        stats->types[n].bytes += stats->types[i].bytes;
    }

    return 0;
}


static void
ngx_http_image_vault_stats_days(ngx_iv_json_t *j, const ngx_iv_stats_t *stats)
{
    u_char      text[NGX_INT_T_LEN + sizeof("-00-00")];
    ngx_tm_t    tm;
    ngx_str_t   day;
    ngx_uint_t  i;

    day.data = text;

    ngx_iv_json_array(j, "byDay");

    for (i = 0; i < NGX_IV_STATS_DAYS; i++) {

        ngx_gmtime((time_t) (stats->days[i].day / 1000), &tm);

        day.len = ngx_sprintf(text, "%4d-%02d-%02d", tm.ngx_tm_year,
                              tm.ngx_tm_mon, tm.ngx_tm_mday)
                  - text;

        ngx_iv_json_object(j, NULL);
        ngx_iv_json_str(j, "day", &day);
        ngx_http_image_vault_stats_sum(j, &stats->days[i]);
        ngx_iv_json_object_end(j);
    }

    ngx_iv_json_array_end(j);
}


ngx_int_t
ngx_http_image_vault_admin_images(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    return ngx_http_image_vault_list(r, ctx,
                                     NGX_HTTP_IMAGE_VAULT_LIST_ADMIN);
}


/* what is not there is 404, however wrong the body may be */

ngx_int_t
ngx_http_image_vault_moderate(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_iv_metadata_op_t  *op;

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_moderate_found,
                                  NULL);
    if (op == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_get(op, ctx->id);

    return NGX_DONE;
}


static ngx_int_t
ngx_http_image_vault_moderate_found(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_int_t           code;
    ngx_iv_document_t  *doc;

    code = op->code;
    doc = (code == NGX_OK) ? op->document : NULL;

    if (doc && (doc->status == NGX_IV_STATUS_ERROR || doc->deleted_at)) {
        code = NGX_IV_NOT_FOUND;

    } else if (doc && doc->status != NGX_IV_STATUS_READY) {
        code = NGX_IV_NOT_READY;
    }

    if (code != NGX_OK) {
        ngx_http_image_vault_audit(r, ctx, "admin-moderate", ctx->id,
                                   doc ? &doc->owner : NULL, code, NULL);

        return ngx_http_image_vault_error(r, code, NULL);
    }

    ctx->document = doc;

    return ngx_http_image_vault_read_json(r, ctx,
                                          ngx_http_image_vault_moderate_body);
}


static ngx_int_t
ngx_http_image_vault_moderate_body(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx)
{
    ngx_int_t                         rc;
    ngx_iv_metadata_op_t             *op;
    ngx_http_image_vault_moderate_t  *m;

    m = ngx_pcalloc(r->pool, sizeof(ngx_http_image_vault_moderate_t));
    if (m == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_image_vault_moderate_parse(r, ctx, m);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    (void) ngx_http_image_vault_trail_begin(r, ctx,
                                            m->block ? "admin-block"
                                                     : "admin-unblock",
                                            &m->trail);

    m->trail.entry.owner = ctx->document->owner;
    m->trail.entry.detail = m->reason;

    if (ngx_http_image_vault_trail_guard(r, &m->trail, ctx->id) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    op = ngx_http_image_vault_ask(r, ctx, ngx_http_image_vault_moderate_told,
                                  m);
    if (op == NULL) {
        ngx_http_image_vault_trail_end(&m->trail, r->connection->log, ctx->id,
                                       &ngx_iv_code(NGX_IV_INTERNAL)->word);

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_iv_metadata_moderate(op, ctx->id, m->block ? &m->reason : NULL);

    return NGX_DONE;
}


/* NGX_DECLINED: go on; else it is answered */

static ngx_int_t
ngx_http_image_vault_moderate_parse(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_moderate_t *m)
{
    ngx_iv_json_node_t  *node;

    static const char       *names[] = { "action", "reason", NULL };
    static const char       *words[] = { "unblock", "block", NULL };
    static const ngx_str_t   action = ngx_string("action");

    node = ngx_http_image_vault_unknown_member(ctx, names);

    if (node) {
        return ngx_http_image_vault_bad_member(r, &node->key, "is not known");
    }

    node = ngx_iv_json_get(ctx->json, "action");

    if (node == NULL || node->type != NGX_IV_JSON_STRING
        || ngx_iv_args_word(&node->str, words) == NGX_DECLINED)
    {
        return ngx_http_image_vault_bad_member(r, &action,
                                               "must be block or unblock");
    }

    m->block = (ngx_uint_t) ngx_iv_args_word(&node->str, words);

    return ngx_http_image_vault_moderate_reason(r, ctx, m);
}


/* the owner is told the reason, so there must be one */

static ngx_int_t
ngx_http_image_vault_moderate_reason(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_http_image_vault_moderate_t *m)
{
    size_t               i;
    ngx_iv_json_node_t  *node;

    static const ngx_str_t  reason = ngx_string("reason");

    node = ngx_iv_json_get(ctx->json, "reason");

    if (!m->block) {
        return node ? ngx_http_image_vault_bad_member(r, &reason,
                                                  "goes with block only")
                    : NGX_DECLINED;
    }

    if (node == NULL || node->type != NGX_IV_JSON_STRING
        || !ngx_iv_args_text(&node->str, NGX_IV_REASON_MAX))
    {
        return ngx_http_image_vault_bad_member(r, &reason,
                                          "must be a text of 1 to 500 bytes "
                                          "without control characters");
    }

    for (i = 0; i < node->str.len && node->str.data[i] == ' '; i++) {
        /* void */
    }

    if (i == node->str.len) {
        return ngx_http_image_vault_bad_member(r, &reason,
                                               "must not be empty");
    }

    m->reason = node->str;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_image_vault_moderate_told(ngx_http_request_t *r,
    ngx_http_image_vault_ctx_t *ctx, ngx_iv_metadata_op_t *op, void *data)
{
    ngx_http_image_vault_moderate_t *m = data;

    ngx_str_t      json;
    ngx_iv_json_t  j;

    ngx_http_image_vault_trail_end(&m->trail, r->connection->log, ctx->id,
                                   (op->code == NGX_OK)
                                   ? NULL : &ngx_iv_code(op->code)->word);

    if (op->code != NGX_OK) {
        return ngx_http_image_vault_error(r, op->code, NULL);
    }

    ctx->document = op->document;

    ngx_iv_json_init(&j, r->pool, 1024);

    ngx_iv_json_object(&j, NULL);
    ngx_iv_json_bool(&j, "success", 1);
    ngx_iv_json_object(&j, "image");
    ngx_http_image_vault_metadata_members(&j, ctx->document);
    ngx_http_image_vault_admin_members(&j, ctx->document);
    ngx_iv_json_object_end(&j);
    ngx_iv_json_object_end(&j);

    if (ngx_iv_json_done(&j, &json) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->result = "admin";

    return ngx_http_image_vault_send_json(r, NGX_HTTP_OK, &json);
}
