/*
 * image_vault_metrics: what the zone has counted, as Prometheus' text.  All
 * labels are of fixed sets.
 */

#include "module/ngx_http_image_vault_module.h"
#include "shm/ngx_iv_zone_watch.h"


/* more than all lines together take */
#define NGX_HTTP_IMAGE_VAULT_METRICS_LEN  65536


typedef struct {
    const char       *name;
    const char       *type;         /* NULL: a further line of the name above */
    const char       *help;
    const char       *label;        /* with its braces; empty: none */
    ngx_iv_count_e    what;
} ngx_http_image_vault_metric_t;


typedef struct {
    const char       *label;
    ngx_uint_t        what;
} ngx_http_image_vault_label_t;


static u_char *ngx_http_image_vault_metrics_counters(u_char *p, u_char *last,
    ngx_iv_zone_t *zone);
static u_char *ngx_http_image_vault_metrics_gauges(u_char *p, u_char *last,
    ngx_iv_zone_t *zone);
static u_char *ngx_http_image_vault_metrics_cache(u_char *p, u_char *last,
    ngx_iv_cache_t *cache);
static size_t ngx_http_image_vault_metrics_storages_len(
    ngx_http_image_vault_worker_t *w);
static u_char *ngx_http_image_vault_metrics_storages(u_char *p, u_char *last,
    ngx_http_image_vault_worker_t *w);
static u_char *ngx_http_image_vault_metrics_watch(u_char *p, u_char *last,
    ngx_iv_zone_t *zone);
static u_char *ngx_http_image_vault_metrics_times(u_char *p, u_char *last,
    ngx_iv_zone_t *zone, const char *name, const char *help,
    const ngx_http_image_vault_label_t *labels);


static const ngx_http_image_vault_metric_t  ngx_http_image_vault_counters[] = {

    { "uploads_total", "counter", "Images whose upload ended, by result.",
      "{result=\"created\"}", NGX_IV_COUNT_UPLOADS_CREATED },
    { "uploads_total", NULL, NULL,
      "{result=\"refused\"}", NGX_IV_COUNT_UPLOADS_REFUSED },
    { "uploads_total", NULL, NULL,
      "{result=\"failed\"}", NGX_IV_COUNT_UPLOADS_FAILED },
    { "uploads_total", NULL, NULL,
      "{result=\"repeated\"}", NGX_IV_COUNT_UPLOADS_REPEATED },

    { "upload_bytes_total", "counter", "Bytes of the images created.",
      "", NGX_IV_COUNT_UPLOAD_BYTES },

    { "retrievals_total", "counter",
      "Requests for one image, by result and by what the cache knew.",
      "{result=\"redirect\",cache=\"none\"}",
      NGX_IV_COUNT_REDIRECTS },
    { "retrievals_total", NULL, NULL,
      "{result=\"redirect\",cache=\"miss\"}",
      NGX_IV_COUNT_REDIRECTS_MISS },
    { "retrievals_total", NULL, NULL,
      "{result=\"redirect\",cache=\"hit\"}",
      NGX_IV_COUNT_REDIRECTS_HIT },
    { "retrievals_total", NULL, NULL,
      "{result=\"redirect\",cache=\"expired\"}",
      NGX_IV_COUNT_REDIRECTS_EXPIRED },
    { "retrievals_total", NULL, NULL,
      "{result=\"access\",cache=\"none\"}",
      NGX_IV_COUNT_RETRIEVALS_ACCESS },
    { "retrievals_total", NULL, NULL,
      "{result=\"access\",cache=\"miss\"}",
      NGX_IV_COUNT_RETRIEVALS_ACCESS_MISS },
    { "retrievals_total", NULL, NULL,
      "{result=\"access\",cache=\"hit\"}",
      NGX_IV_COUNT_RETRIEVALS_ACCESS_HIT },
    { "retrievals_total", NULL, NULL,
      "{result=\"access\",cache=\"expired\"}",
      NGX_IV_COUNT_RETRIEVALS_ACCESS_EXPIRED },
    { "retrievals_total", NULL, NULL,
      "{result=\"document\",cache=\"none\"}",
      NGX_IV_COUNT_RETRIEVALS_DOCUMENT },
    { "retrievals_total", NULL, NULL,
      "{result=\"not_found\",cache=\"none\"}",
      NGX_IV_COUNT_RETRIEVALS_MISSED },
    { "retrievals_total", NULL, NULL,
      "{result=\"not_found\",cache=\"miss\"}",
      NGX_IV_COUNT_RETRIEVALS_MISSED_MISS },
    { "retrievals_total", NULL, NULL,
      "{result=\"not_found\",cache=\"hit\"}",
      NGX_IV_COUNT_RETRIEVALS_MISSED_HIT },
    { "retrievals_total", NULL, NULL,
      "{result=\"not_found\",cache=\"expired\"}",
      NGX_IV_COUNT_RETRIEVALS_MISSED_EXPIRED },
    { "retrievals_total", NULL, NULL,
      "{result=\"not_found\",cache=\"negative\"}",
      NGX_IV_COUNT_RETRIEVALS_MISSED_NEGATIVE },
    { "retrievals_total", NULL, NULL,
      "{result=\"refused\",cache=\"none\"}",
      NGX_IV_COUNT_RETRIEVALS_REFUSED },
    { "retrievals_total", NULL, NULL,
      "{result=\"refused\",cache=\"miss\"}",
      NGX_IV_COUNT_RETRIEVALS_REFUSED_MISS },
    { "retrievals_total", NULL, NULL,
      "{result=\"refused\",cache=\"hit\"}",
      NGX_IV_COUNT_RETRIEVALS_REFUSED_HIT },
    { "retrievals_total", NULL, NULL,
      "{result=\"refused\",cache=\"expired\"}",
      NGX_IV_COUNT_RETRIEVALS_REFUSED_EXPIRED },
    { "retrievals_total", NULL, NULL,
      "{result=\"failed\",cache=\"none\"}",
      NGX_IV_COUNT_RETRIEVALS_FAILED },
    { "retrievals_total", NULL, NULL,
      "{result=\"failed\",cache=\"miss\"}",
      NGX_IV_COUNT_RETRIEVALS_FAILED_MISS },
    { "retrievals_total", NULL, NULL,
      "{result=\"failed\",cache=\"hit\"}",
      NGX_IV_COUNT_RETRIEVALS_FAILED_HIT },
    { "retrievals_total", NULL, NULL,
      "{result=\"failed\",cache=\"expired\"}",
      NGX_IV_COUNT_RETRIEVALS_FAILED_EXPIRED },

    { "metadata_answers_total", "counter",
      "Answers made of documents: images, lists, usage, URLs on demand.",
      "", NGX_IV_COUNT_READS },

    { "denied_total", "counter", "Requests denied, by reason.",
      "{reason=\"not_allowed\"}", NGX_IV_COUNT_DENIED },
    { "denied_total", NULL, NULL,
      "{reason=\"link\"}", NGX_IV_COUNT_DENIED_LINK },
    { "denied_total", NULL, NULL,
      "{reason=\"unauthenticated\"}", NGX_IV_COUNT_DENIED_UNKNOWN },
    { "denied_total", NULL, NULL,
      "{reason=\"forbidden\"}", NGX_IV_COUNT_DENIED_FORBIDDEN },
    { "denied_total", NULL, NULL,
      "{reason=\"blocked\"}", NGX_IV_COUNT_DENIED_BLOCKED },

    { "quota_refusals_total", "counter",
      "Reservations that a quota has refused.",
      "", NGX_IV_COUNT_QUOTA_REFUSED },

    { "database_requests_total", "counter",
      "Calls to MongoDB, also those refused while it is down.",
      "", NGX_IV_COUNT_METADATA_REQUESTS },
    { "database_errors_total", "counter", "Calls to MongoDB that failed.",
      "", NGX_IV_COUNT_METADATA_ERRORS },
    { "database_breaker_opened_total", "counter",
      "How often MongoDB was found to be out of reach.",
      "", NGX_IV_COUNT_BREAKER_OPENED },

    { "storage_requests_total", "counter", "Operations on storages.",
      "", NGX_IV_COUNT_STORAGE_REQUESTS },
    { "storage_errors_total", "counter",
      "Operations on storages that failed, after all their tries.",
      "", NGX_IV_COUNT_STORAGE_ERRORS },
    { "storage_retries_total", "counter", "Further tries of operations.",
      "", NGX_IV_COUNT_STORAGE_RETRIES },

    { "overloaded_total", "counter",
      "What was refused for full queues, buffers or connections.",
      "", NGX_IV_COUNT_OVERLOADED },

    { "sweeps_total", "counter", "Sweeps this node has made.",
      "", NGX_IV_COUNT_SWEEPS },
    { "swept_uploads_total", "counter",
      "Uploads that a sweep found broken off.", "", NGX_IV_COUNT_SWEPT },
    { "swept_documents_total", "counter",
      "Documents that a sweep has removed.",
      "", NGX_IV_COUNT_SWEEP_DELETED },

    { "audit_lost_total", "counter",
      "Entries of the trail that could not be written.",
      "", NGX_IV_COUNT_AUDIT_LOST },

    { NULL, NULL, NULL, NULL, NGX_IV_COUNT_LAST }
};


static const ngx_http_image_vault_label_t  ngx_http_image_vault_database[] = {
    { "read", NGX_IV_TIME_METADATA_READ },
    { "write", NGX_IV_TIME_METADATA_WRITE },
    { NULL, 0 }
};


static const ngx_http_image_vault_label_t  ngx_http_image_vault_storage[] = {
    { "put", NGX_IV_TIME_STORAGE_PUT },
    { "get", NGX_IV_TIME_STORAGE_GET },
    { "head", NGX_IV_TIME_STORAGE_HEAD },
    { "delete", NGX_IV_TIME_STORAGE_DELETE },
    { "multipart", NGX_IV_TIME_STORAGE_MULTIPART },
    { "copy", NGX_IV_TIME_STORAGE_COPY },
    { NULL, 0 }
};


static const ngx_http_image_vault_label_t  ngx_http_image_vault_queues[] = {
    { "read", NGX_IV_GAUGE_READ },
    { "write", NGX_IV_GAUGE_WRITE },
    { "hash", NGX_IV_GAUGE_HASH },
    { NULL, 0 }
};


ngx_int_t
ngx_http_image_vault_metrics(ngx_http_request_t *r)
{
    u_char         *p, *last;
    ngx_int_t       rc;
    ngx_buf_t      *b;
    ngx_chain_t     out;
    ngx_iv_zone_t  *zone;

    ngx_http_image_vault_worker_t  *w;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_image_vault_not_allowed(r, "GET, HEAD");
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    w = ngx_http_image_vault_worker;

    b = ngx_create_temp_buf(r->pool,
                            NGX_HTTP_IMAGE_VAULT_METRICS_LEN
                            + ngx_http_image_vault_metrics_storages_len(w));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    zone = w->conf->zone;
    p = b->pos;
    last = b->end;

    p = ngx_http_image_vault_metrics_counters(p, last, zone);
    p = ngx_http_image_vault_metrics_gauges(p, last, zone);
    p = ngx_http_image_vault_metrics_cache(p, last, ngx_iv_zone_cache(zone));
    p = ngx_http_image_vault_metrics_storages(p, last, w);
    p = ngx_http_image_vault_metrics_watch(p, last, zone);
    p = ngx_http_image_vault_metrics_times(p, last, zone,
                             "database_request_duration_seconds",
                             "How long calls to MongoDB took.",
                             ngx_http_image_vault_database);
    p = ngx_http_image_vault_metrics_times(p, last, zone,
                             "storage_request_duration_seconds",
                             "How long operations on storages took.",
                             ngx_http_image_vault_storage);

    b->last = p;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    ngx_str_set(&r->headers_out.content_type,
                "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static u_char *
ngx_http_image_vault_metrics_counters(u_char *p, u_char *last,
    ngx_iv_zone_t *zone)
{
    const ngx_http_image_vault_metric_t  *m;

    for (m = ngx_http_image_vault_counters; m->name; m++) {

        if (m->type) {
            p = ngx_slprintf(p, last,
                             "# HELP image_vault_%s %s\n"
                             "# TYPE image_vault_%s %s\n",
                             m->name, m->help, m->name, m->type);
        }

        p = ngx_slprintf(p, last, "image_vault_%s%s %ui\n", m->name, m->label,
                         ngx_iv_zone_get(zone, m->what));
    }

    return p;
}


static u_char *
ngx_http_image_vault_metrics_gauges(u_char *p, u_char *last,
    ngx_iv_zone_t *zone)
{
    size_t                               size, unused;
    const ngx_http_image_vault_label_t  *q;

    ngx_iv_zone_memory(zone, &size, &unused);

    p = ngx_slprintf(p, last,
            "# HELP image_vault_uploads_in_flight Images being uploaded.\n"
            "# TYPE image_vault_uploads_in_flight gauge\n"
            "image_vault_uploads_in_flight %ui\n"
            "# HELP image_vault_storage_operations_in_flight Operations on "
            "storages under way.\n"
            "# TYPE image_vault_storage_operations_in_flight gauge\n"
            "image_vault_storage_operations_in_flight %ui\n"
            "# HELP image_vault_database_breaker_open 1: MongoDB is out of "
            "reach, calls are refused.\n"
            "# TYPE image_vault_database_breaker_open gauge\n"
            "image_vault_database_breaker_open %ui\n"
            "# HELP image_vault_zone_size_bytes Size of the shared memory "
            "zone.\n"
            "# TYPE image_vault_zone_size_bytes gauge\n"
            "image_vault_zone_size_bytes %uz\n"
            "# HELP image_vault_zone_free_bytes What is free of it, in whole "
            "pages.\n"
            "# TYPE image_vault_zone_free_bytes gauge\n"
            "image_vault_zone_free_bytes %uz\n",
            ngx_iv_zone_gauge_sum(zone, NGX_IV_GAUGE_UPLOADS),
            ngx_iv_zone_gauge_sum(zone, NGX_IV_GAUGE_STORAGE),
            (ngx_uint_t) (ngx_iv_breaker_state(ngx_iv_metadata_breaker(
                                      ngx_http_image_vault_worker->metadata))
                          != NGX_IV_BREAKER_CLOSED),
            size, unused);

    p = ngx_slprintf(p, last,
            "# HELP image_vault_queue_length Thread jobs that wait or run.\n"
            "# TYPE image_vault_queue_length gauge\n");

    for (q = ngx_http_image_vault_queues; q->label; q++) {
        p = ngx_slprintf(p, last,
                         "image_vault_queue_length{queue=\"%s\"} %ui\n",
                         q->label,
                         ngx_iv_zone_gauge_sum(zone, q->what));
    }

    return p;
}


static u_char *
ngx_http_image_vault_metrics_cache(u_char *p, u_char *last,
    ngx_iv_cache_t *cache)
{
    ngx_uint_t            i;
    ngx_iv_cache_stats_t  stats;

    static const struct {
        const char  *name;
        const char  *type;
        const char  *help;
        size_t       offset;
    } lines[] = {
        { "entries", "gauge",
          "Entries of the ownership cache, dropped ones included until their "
          "memory is used again.",
          offsetof(ngx_iv_cache_stats_t, entries) },
        { "used_bytes", "gauge", "Memory of these entries.",
          offsetof(ngx_iv_cache_stats_t, bytes) },
        { "size_bytes", "gauge", "Memory for entries.",
          offsetof(ngx_iv_cache_stats_t, size) },
        { "fills_total", "counter", "Entries written.",
          offsetof(ngx_iv_cache_stats_t, fills) },
        { "stale_fills_total", "counter",
          "Look-ups asked for again, as the image was changed meanwhile.",
          offsetof(ngx_iv_cache_stats_t, stale) },
        { "skipped_fills_total", "counter",
          "Entries not kept: too large, or another worker wrote.",
          offsetof(ngx_iv_cache_stats_t, skipped) },
        { "evictions_total", "counter",
          "Entries that had to make room for others.",
          offsetof(ngx_iv_cache_stats_t, evictions) },
        { "drops_total", "counter",
          "Drops after changes, whether there was an entry or not.",
          offsetof(ngx_iv_cache_stats_t, drops) },
        { "recoveries_total", "counter",
          "Parts of the cache emptied as a worker died in the midst of a "
          "write.",
          offsetof(ngx_iv_cache_stats_t, recovered) }
    };

    ngx_iv_cache_stats(cache, &stats);

    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        p = ngx_slprintf(p, last,
                         "# HELP image_vault_cache_%s %s\n"
                         "# TYPE image_vault_cache_%s %s\n"
                         "image_vault_cache_%s %uL\n",
                         lines[i].name, lines[i].help,
                         lines[i].name, lines[i].type, lines[i].name,
                         *(uint64_t *) ((u_char *) &stats + lines[i].offset));
    }

    return p;
}


static size_t
ngx_http_image_vault_metrics_storages_len(ngx_http_image_vault_worker_t *w)
{
    size_t      len;
    ngx_uint_t  i;

    len = 0;

    for (i = 0; i < w->conf->storages.nelts; i++) {
        /* three lines */
        len += 3 * (128 + w->storages[i]->conf->name.len);
    }

    return len;
}


/* as many series as the configuration has storages */

static u_char *
ngx_http_image_vault_metrics_storages(u_char *p, u_char *last,
    ngx_http_image_vault_worker_t *w)
{
    ngx_uint_t             i, m, value;
    ngx_iv_breaker_info_t  info;

    static const struct {
        const char  *name;
        const char  *type;
        const char  *help;
    } metrics[] = {
        { "storage_breaker_open", "gauge",
          "1: the storage is out of reach, operations are refused." },
        { "storage_breaker_opened_total", "counter",
          "How often the storage was found to be out of reach." },
        { "storage_retries_refused_total", "counter",
          "Further tries that the budget of retries has refused." }
    };

    for (m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++) {

        p = ngx_slprintf(p, last,
                         "# HELP image_vault_%s %s\n"
                         "# TYPE image_vault_%s %s\n",
                         metrics[m].name, metrics[m].help,
                         metrics[m].name, metrics[m].type);

        for (i = 0; i < w->conf->storages.nelts; i++) {
            ngx_iv_breaker_info(&w->storages[i]->breaker, &info);

            value = (m == 0) ? (info.state != NGX_IV_BREAKER_CLOSED)
                    : (m == 1) ? info.opened : info.denied;

            p = ngx_slprintf(p, last,
                             "image_vault_%s{storage=\"%V\"} %ui\n",
                             metrics[m].name,
                             &w->storages[i]->conf->name, value);
        }
    }

    return p;
}


/* there is no gauge where there is no stream to follow: 0 is a fault */

static u_char *
ngx_http_image_vault_metrics_watch(u_char *p, u_char *last,
    ngx_iv_zone_t *zone)
{
    ngx_iv_zone_watch_t  *watch;

    watch = ngx_iv_zone_watch(zone);

    if (!ngx_iv_zone_watch_is_off(watch, ngx_iv_zone_mark(zone))) {
        p = ngx_slprintf(p, last,
                "# HELP image_vault_change_stream_up 1: changes made by other "
                "nodes are heard of.\n"
                "# TYPE image_vault_change_stream_up gauge\n"
                "image_vault_change_stream_up %ui\n",
                ngx_iv_zone_watch_is_up(watch));
    }

    return ngx_slprintf(p, last,
            "# HELP image_vault_change_stream_events_total Changes of images "
            "heard of.\n"
            "# TYPE image_vault_change_stream_events_total counter\n"
            "image_vault_change_stream_events_total %uA\n"
            "# HELP image_vault_change_stream_losses_total How often the "
            "stream broke off.\n"
            "# TYPE image_vault_change_stream_losses_total counter\n"
            "image_vault_change_stream_losses_total %uA\n"
            "# HELP image_vault_change_stream_resets_total How often it could "
            "not go on where it was, so that all entries were dropped.\n"
            "# TYPE image_vault_change_stream_resets_total counter\n"
            "image_vault_change_stream_resets_total %uA\n",
            watch->events, watch->losses, watch->resets);
}


/* a bucket holds all that took no longer: the sum of those below it */

static u_char *
ngx_http_image_vault_metrics_times(u_char *p, u_char *last,
    ngx_iv_zone_t *zone, const char *name, const char *help,
    const ngx_http_image_vault_label_t *labels)
{
    ngx_uint_t                  i, n;
    ngx_msec_t                  bound;
    const ngx_iv_zone_times_t  *t;

    p = ngx_slprintf(p, last,
                     "# HELP image_vault_%s %s\n"
                     "# TYPE image_vault_%s histogram\n", name, help, name);

    for ( /* void */ ; labels->label; labels++) {
        t = ngx_iv_zone_times(zone, labels->what);
        n = 0;

        for (i = 0; i < NGX_IV_ZONE_BUCKETS - 1; i++) {
            bound = ngx_iv_zone_bounds[i];
            n += t->buckets[i];

            p = ngx_slprintf(p, last,
                             "image_vault_%s_bucket{operation=\"%s\","
                             "le=\"%M.%03M\"} %ui\n",
                             name, labels->label, bound / 1000, bound % 1000,
                             n);
        }

        n += t->buckets[NGX_IV_ZONE_BUCKETS - 1];

        p = ngx_slprintf(p, last,
                         "image_vault_%s_bucket{operation=\"%s\","
                         "le=\"+Inf\"} %ui\n"
                         "image_vault_%s_sum{operation=\"%s\"} %uA.%03uA\n"
                         "image_vault_%s_count{operation=\"%s\"} %ui\n",
                         name, labels->label, n,
                         name, labels->label, t->sum / 1000, t->sum % 1000,
                         name, labels->label, n);
    }

    return p;
}
