/*
 * Sums over all images, in one pass of the server: a row for each status, type
 * and day, that are added up here.
 */

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_lists.h"


#define NGX_IV_STATS_DAY   86400000LL
#define NGX_IV_STATS_ROWS  10000


static bson_t *ngx_iv_stats_pipeline(int64_t first);
static ngx_int_t ngx_iv_stats_row(ngx_iv_mongo_ctx_t *ctx, const bson_t *row);
static int64_t ngx_iv_stats_number(const bson_t *row, const char *path);
static ngx_uint_t ngx_iv_stats_str(const bson_t *row, const char *path,
    ngx_str_t *s);
static ngx_uint_t ngx_iv_stats_status(const bson_t *row);
static ngx_int_t ngx_iv_stats_type(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *row, int64_t images, int64_t bytes);


void
ngx_iv_mongo_stats(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t           *pipeline, *opts;
    int64_t           first;
    ngx_uint_t        i;
    bson_error_t      error;
    const bson_t     *row;
    ngx_iv_stats_t   *stats;
    ngx_iv_lists_t   *lists;
    mongoc_cursor_t  *cursor;

    lists = ctx->call->lists;

    stats = ngx_pcalloc(ctx->call->pool, sizeof(ngx_iv_stats_t));
    if (stats == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for statistics");
        return;
    }

    lists->found.stats = stats;

    first = lists->now - lists->now % NGX_IV_STATS_DAY
            - (NGX_IV_STATS_DAYS - 1) * NGX_IV_STATS_DAY;

    for (i = 0; i < NGX_IV_STATS_DAYS; i++) {
        stats->days[i].day = first + (int64_t) i * NGX_IV_STATS_DAY;
    }

    pipeline = ngx_iv_stats_pipeline(first);
    opts = BCON_NEW("maxTimeMS", BCON_INT64((int64_t) ngx_iv_mongo_max(ctx)));

    cursor = mongoc_collection_aggregate(ctx->collection, MONGOC_QUERY_NONE,
                                         pipeline, opts, NULL);

    while (mongoc_cursor_next(cursor, &row)) {
        if (ngx_iv_stats_row(ctx, row) != NGX_OK) {
            ngx_iv_mongo_internal(ctx, "no memory for statistics");
            break;
        }
    }

    if (ctx->call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &row))
    {
        ngx_iv_mongo_failed(ctx, &error, row);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(pipeline);
}


/* days from 0 on, -1: before the first; what is no date counts as before */

static bson_t *
ngx_iv_stats_pipeline(int64_t first)
{
    bson_t  *day, *pipeline;

    day = BCON_NEW("$cond", "[",
                       "{", "$and", "[",
                           "{", "$eq", "[",
                               "{", "$type", BCON_UTF8("$metadata.uploadedAt"),
                               "}",
                               BCON_UTF8("date"),
                           "]", "}",
                           "{", "$gte", "[",
                               BCON_UTF8("$metadata.uploadedAt"),
                               BCON_DATE_TIME(first),
                           "]", "}",
                       "]", "}",
                       "{", "$floor", "{", "$divide", "[",
                           "{", "$subtract", "[",
                               BCON_UTF8("$metadata.uploadedAt"),
                               BCON_DATE_TIME(first),
                           "]", "}",
                           BCON_INT64(NGX_IV_STATS_DAY),
                       "]", "}", "}",
                       BCON_INT32(-1),
                   "]");

    pipeline = BCON_NEW("pipeline", "[",
                            "{", "$group", "{",
                                "_id", "{",
                                    "status", BCON_UTF8("$status"),
                                    "type", BCON_UTF8("$contentType"),
                                    "day", BCON_DOCUMENT(day),
                                "}",
                                "images", "{", "$sum", BCON_INT32(1), "}",
                                "bytes", "{", "$sum", BCON_UTF8("$size"), "}",
                            "}", "}",
                            "{", "$sort", "{",
                                "images", BCON_INT32(-1),
                            "}", "}",
                            "{", "$limit", BCON_INT32(NGX_IV_STATS_ROWS), "}",
                        "]");

    bson_destroy(day);

    return pipeline;
}


static ngx_int_t
ngx_iv_stats_row(ngx_iv_mongo_ctx_t *ctx, const bson_t *row)
{
    int64_t          images, bytes, day;
    ngx_uint_t       status;
    ngx_iv_stats_t  *stats;

    stats = ctx->call->lists->found.stats;

    images = ngx_iv_stats_number(row, "images");
    bytes = ngx_iv_stats_number(row, "bytes");
    status = ngx_iv_stats_status(row);

    stats->statuses[status].images += images;
    stats->statuses[status].bytes += bytes;

    if (status != NGX_IV_STATUS_READY) {
        return NGX_OK;
    }

    stats->total.images += images;
    stats->total.bytes += bytes;

    day = ngx_iv_stats_number(row, "_id.day");

    if (day >= 0 && day < NGX_IV_STATS_DAYS) {
        stats->days[day].images += images;
        stats->days[day].bytes += bytes;
    }

    return ngx_iv_stats_type(ctx, row, images, bytes);
}


static int64_t
ngx_iv_stats_number(const bson_t *row, const char *path)
{
    double        d;
    bson_iter_t   it, value;

    if (!bson_iter_init(&it, row)
        || !bson_iter_find_descendant(&it, path, &value))
    {
        return 0;
    }

    if (BSON_ITER_HOLDS_INT(&value)) {
        return bson_iter_as_int64(&value);
    }

    if (!BSON_ITER_HOLDS_DOUBLE(&value)) {
        return 0;
    }

    d = bson_iter_double(&value);

    return (d > -9e18 && d < 9e18) ? (int64_t) d : 0;
}


static ngx_uint_t
ngx_iv_stats_str(const bson_t *row, const char *path, ngx_str_t *s)
{
    uint32_t      len;
    bson_iter_t   it, value;

    if (!bson_iter_init(&it, row)
        || !bson_iter_find_descendant(&it, path, &value)
        || !BSON_ITER_HOLDS_UTF8(&value))
    {
        return 0;
    }

    s->data = (u_char *) bson_iter_utf8(&value, &len);
    s->len = len;

    return 1;
}


/* as ngx_iv_document_parse() reads it: without one it is ready */

static ngx_uint_t
ngx_iv_stats_status(const bson_t *row)
{
    ngx_str_t     s;
    ngx_uint_t    i;
    const char   *name;
    bson_iter_t   it, value;

    if (!bson_iter_init(&it, row)
        || !bson_iter_find_descendant(&it, "_id.status", &value))
    {
        return NGX_IV_STATUS_READY;
    }

    if (ngx_iv_stats_str(row, "_id.status", &s)) {

        for (i = NGX_IV_STATUS_UPLOADING; i < NGX_IV_STATUS_ERROR; i++) {
            name = ngx_iv_document_status(i);

            if (s.len == ngx_strlen(name)
                && ngx_memcmp(s.data, name, s.len) == 0)
            {
                return i;
            }
        }
    }

    return NGX_IV_STATUS_ERROR;
}


/* the last place is for all that have none */

static ngx_int_t
ngx_iv_stats_type(ngx_iv_mongo_ctx_t *ctx, const bson_t *row, int64_t images,
    int64_t bytes)
{
    ngx_str_t         name;
    ngx_uint_t        i;
    ngx_iv_stat_t    *type;
    ngx_iv_stats_t   *stats;

    stats = ctx->call->lists->found.stats;

    if (!ngx_iv_stats_str(row, "_id.type", &name)) {
        ngx_str_set(&name, "other");
    }

    for (i = 0; i < stats->ntypes; i++) {
        type = &stats->types[i];

        if (i == NGX_IV_STATS_TYPES - 1
            || (type->name.len == name.len
                && (name.len == 0
                    || ngx_memcmp(type->name.data, name.data, name.len)
                       == 0)))
        {
            type->images += images;
            type->bytes += bytes;
            return NGX_OK;
        }
    }

    type = &stats->types[stats->ntypes];

    if (stats->ntypes == NGX_IV_STATS_TYPES - 1) {
        ngx_str_set(&name, "other");
    }

    if (ngx_iv_copy_str(ctx->call->pool, &type->name, &name)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    type->images = images;
    type->bytes = bytes;
    stats->ntypes++;

    return NGX_OK;
}
