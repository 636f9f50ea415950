#include <pthread.h>
#include <mongoc/mongoc.h>

#include "metadata/ngx_iv_mongo.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_query.h"


#define NGX_IV_MONGO_SELECTION  2000
#define NGX_IV_MONGO_CONNECT    2000
#define NGX_IV_MONGO_POOL_SIZE  32

#define NGX_IV_MONGO_IMAGES     "images"
#define NGX_IV_MONGO_STATE      "image_vault_state"


struct ngx_iv_mongo_s {
    mongoc_uri_t           *uri;
    mongoc_client_pool_t   *clients;    /* made by the first call */
    pthread_mutex_t         lock;
    char                   *database;
};


/* what one call works with */
typedef struct {
    ngx_iv_mongo_call_t    *call;
    mongoc_client_t        *client;
    mongoc_collection_t    *collection;
} ngx_iv_mongo_ctx_t;


typedef void (*ngx_iv_mongo_pt)(ngx_iv_mongo_ctx_t *ctx);


typedef struct {
    const char             *name;
    ngx_iv_mongo_pt         run;
} ngx_iv_mongo_kind_t;


static void ngx_iv_mongo_log(mongoc_log_level_t level, const char *domain,
    const char *message, void *data);
static ngx_int_t ngx_iv_mongo_options(mongoc_uri_t *uri, ngx_msec_t timeout);
static ngx_int_t ngx_iv_mongo_option(mongoc_uri_t *uri, const char *name,
    ngx_msec_t value);
static mongoc_client_t *ngx_iv_mongo_client(ngx_iv_mongo_call_t *call);

static void ngx_iv_mongo_failed(ngx_iv_mongo_ctx_t *ctx,
    const bson_error_t *error, const bson_t *reply);
static void ngx_iv_mongo_failed_server(ngx_iv_mongo_call_t *call,
    const bson_error_t *error);
static void ngx_iv_mongo_invalid(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    const char *field);
static void ngx_iv_mongo_internal(ngx_iv_mongo_ctx_t *ctx, const char *what);

static void ngx_iv_mongo_get(ngx_iv_mongo_ctx_t *ctx);
static ngx_int_t ngx_iv_mongo_find_one(ngx_iv_mongo_ctx_t *ctx,
    ngx_iv_document_t *doc);
static void ngx_iv_mongo_insert(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_change(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_ready(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_fail(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_undecided(ngx_iv_mongo_ctx_t *ctx);
static int64_t ngx_iv_mongo_update(ngx_iv_mongo_ctx_t *ctx,
    const bson_t *opts);
static int64_t ngx_iv_mongo_updated(ngx_iv_mongo_ctx_t *ctx, bool ok,
    const bson_t *reply, const bson_error_t *error, const char *field);
static void ngx_iv_mongo_remove(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_lease(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_lease_held(ngx_iv_mongo_call_t *call,
    const bson_t *reply);
static void ngx_iv_mongo_refs(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_sweep_stale(ngx_iv_mongo_ctx_t *ctx);
static void ngx_iv_mongo_indexes(ngx_iv_mongo_ctx_t *ctx);
static ngx_uint_t ngx_iv_mongo_index_conflict(ngx_iv_mongo_ctx_t *ctx,
    const bson_error_t *error);


static const ngx_iv_mongo_kind_t  ngx_iv_mongo_kinds[] = {
    { "get", ngx_iv_mongo_get },
    { "list of first deletes", ngx_iv_mongo_refs },
    { "list of second deletes", ngx_iv_mongo_refs },
    { "insert", ngx_iv_mongo_insert },
    { "heartbeat", ngx_iv_mongo_change },
    { "change to ready", ngx_iv_mongo_ready },
    { "change to error", ngx_iv_mongo_fail },
    { "lease", ngx_iv_mongo_lease },
    { "release of the lease", ngx_iv_mongo_change },
    { "sweep of stale uploads", ngx_iv_mongo_sweep_stale },
    { "note of a delete", ngx_iv_mongo_change },
    { "remove", ngx_iv_mongo_remove },
    { "index creation", ngx_iv_mongo_indexes }
};


const char *
ngx_iv_mongo_name(ngx_iv_mongo_kind_e kind)
{
    return ngx_iv_mongo_kinds[kind].name;
}


/*
 * The driver's own message may quote the URI with its password, thus it is
 * not passed on.
 */

const char *
ngx_iv_mongo_check_uri(ngx_pool_t *pool, const ngx_str_t *uri,
    ngx_str_t *database)
{
    char          *copy;
    const char    *name;
    bson_error_t   error;
    mongoc_uri_t  *parsed;

    ngx_str_null(database);

    copy = bson_strndup((char *) uri->data, uri->len);

    mongoc_log_set_handler(ngx_iv_mongo_log, pool->log);
    parsed = mongoc_uri_new_with_error(copy, &error);
    mongoc_log_set_handler(NULL, NULL);

    ngx_iv_wipe(copy, uri->len);
    bson_free(copy);

    if (parsed == NULL) {
        if (uri->len < 10 || ngx_strncmp(uri->data, "mongodb", 7) != 0) {
            return "is no MongoDB connection string: it must start with "
                   "\"mongodb://\" or \"mongodb+srv://\"";
        }

        return "is no valid MongoDB connection string: check hosts, options "
               "and their values; \"@\", \":\", \"/\" and \"%\" in a user name "
               "or password must be percent-encoded";
    }

    name = mongoc_uri_get_database(parsed);

    if (name && *name) {
        database->len = ngx_strlen(name);
        database->data = ngx_pnalloc(pool, database->len + 1);

        if (database->data == NULL) {
            mongoc_uri_destroy(parsed);
            return "cannot be kept: no memory";
        }

        ngx_memcpy(database->data, name, database->len + 1);
    }

    mongoc_uri_destroy(parsed);

    return NULL;
}


ngx_iv_mongo_t *
ngx_iv_mongo_create(const ngx_iv_metadata_conf_t *conf, ngx_log_t *log,
    const char **error)
{
    char            *copy;
    ngx_iv_mongo_t  *mongo;

    *error = "no memory";

    mongo = ngx_calloc(sizeof(ngx_iv_mongo_t), log);
    if (mongo == NULL) {
        return NULL;
    }

    if (pthread_mutex_init(&mongo->lock, NULL) != 0) {
        ngx_free(mongo);
        return NULL;
    }

    mongoc_init();

    /* options that are not known were told of by the check */

    mongoc_log_set_handler(NULL, NULL);

    copy = bson_strndup((char *) conf->uri.data, conf->uri.len);
    mongo->uri = mongoc_uri_new(copy);
    ngx_iv_wipe(copy, conf->uri.len);
    bson_free(copy);

    mongoc_log_set_handler(ngx_iv_mongo_log, log);

    if (mongo->uri == NULL) {
        *error = "the connection string is not valid";
        ngx_iv_mongo_destroy(mongo);
        return NULL;
    }

    if (ngx_iv_mongo_options(mongo->uri, conf->timeout) != NGX_OK) {
        *error = "the options of the connection could not be set";
        ngx_iv_mongo_destroy(mongo);
        return NULL;
    }

    mongo->database = bson_strndup((char *) conf->database.data,
                                   conf->database.len);

    return mongo;
}


void
ngx_iv_mongo_destroy(ngx_iv_mongo_t *mongo)
{
    if (mongo->clients) {
        mongoc_client_pool_destroy(mongo->clients);
    }

    if (mongo->uri) {
        mongoc_uri_destroy(mongo->uri);
    }

    bson_free(mongo->database);
    (void) pthread_mutex_destroy(&mongo->lock);
    ngx_free(mongo);

    mongoc_log_set_handler(NULL, NULL);
    mongoc_cleanup();
}


static void
ngx_iv_mongo_log(mongoc_log_level_t level, const char *domain,
    const char *message, void *data)
{
    ngx_log_t  *log = data;

    ngx_uint_t  to;

    switch (level) {

    case MONGOC_LOG_LEVEL_ERROR:
    case MONGOC_LOG_LEVEL_CRITICAL:
        to = NGX_LOG_ERR;
        break;

    case MONGOC_LOG_LEVEL_WARNING:
        to = NGX_LOG_WARN;
        break;

    case MONGOC_LOG_LEVEL_MESSAGE:
    case MONGOC_LOG_LEVEL_INFO:
        to = NGX_LOG_INFO;
        break;

    default:
        return;
    }

    ngx_log_error(to, log, 0, "libmongoc: %s: %s", domain, message);
}


/*
 * What the operator wrote into the connection string stays, save for what the
 * promises rest on: majority writes, majority reads from the primary.
 */

static ngx_int_t
ngx_iv_mongo_options(mongoc_uri_t *uri, ngx_msec_t timeout)
{
    ngx_int_t                rc;
    mongoc_read_prefs_t     *prefs;
    mongoc_read_concern_t   *rconcern;
    mongoc_write_concern_t  *wconcern;

    /* a majority that is late should be told of by the server, before the
     * socket gives up and takes the connection with it */

    int32_t  wtimeout = (int32_t) (timeout - timeout / 8);

    if (ngx_iv_mongo_option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
                            ngx_min(timeout, NGX_IV_MONGO_SELECTION))
        != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_CONNECTTIMEOUTMS,
                               NGX_IV_MONGO_CONNECT)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_SOCKETTIMEOUTMS, timeout)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_WAITQUEUETIMEOUTMS, timeout)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_MAXPOOLSIZE,
                               NGX_IV_MONGO_POOL_SIZE)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!mongoc_uri_has_option(uri, MONGOC_URI_RETRYWRITES)
        && !mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true))
    {
        return NGX_ERROR;
    }

    if (mongoc_uri_get_appname(uri) == NULL
        && !mongoc_uri_set_appname(uri, "image_vault"))
    {
        return NGX_ERROR;
    }

    wtimeout = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_WTIMEOUTMS,
                                              wtimeout);

    rc = NGX_ERROR;

    wconcern = mongoc_write_concern_new();
    rconcern = mongoc_read_concern_new();
    prefs = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);

    if (wconcern && rconcern && prefs
        && mongoc_read_concern_set_level(rconcern,
                                         MONGOC_READ_CONCERN_LEVEL_MAJORITY))
    {
        mongoc_write_concern_set_wmajority(wconcern, wtimeout);
        mongoc_write_concern_set_journal(wconcern, true);

        mongoc_uri_set_write_concern(uri, wconcern);
        mongoc_uri_set_read_concern(uri, rconcern);
        mongoc_uri_set_read_prefs_t(uri, prefs);

        rc = NGX_OK;
    }

    mongoc_read_prefs_destroy(prefs);
    mongoc_read_concern_destroy(rconcern);
    mongoc_write_concern_destroy(wconcern);

    return rc;
}


static ngx_int_t
ngx_iv_mongo_option(mongoc_uri_t *uri, const char *name, ngx_msec_t value)
{
    if (mongoc_uri_has_option(uri, name)) {
        return NGX_OK;
    }

    return mongoc_uri_set_option_as_int32(uri, name, (int32_t) value)
           ? NGX_OK : NGX_ERROR;
}


void
ngx_iv_mongo_run(ngx_iv_mongo_call_t *call)
{
    const char          *name;
    ngx_iv_mongo_ctx_t   ctx;

    call->code = NGX_OK;
    call->unknown = 0;
    call->down = 0;
    call->count = 0;
    call->nrefs = 0;
    call->message[0] = '\0';

    ctx.call = call;
    ctx.client = ngx_iv_mongo_client(call);

    if (ctx.client == NULL) {
        return;
    }

    name = (call->kind == NGX_IV_MONGO_LEASE
            || call->kind == NGX_IV_MONGO_LEASE_RELEASE)
           ? NGX_IV_MONGO_STATE : NGX_IV_MONGO_IMAGES;

    ctx.collection = mongoc_client_get_collection(ctx.client,
                                                  call->mongo->database, name);

    ngx_iv_mongo_kinds[call->kind].run(&ctx);

    mongoc_collection_destroy(ctx.collection);
    mongoc_client_pool_push(call->mongo->clients, ctx.client);
}


/*
 * The pool of clients is made in a thread: for mongodb+srv it asks the DNS, and
 * a pool whose question failed stays useless.  Its monitors inherit the
 * thread's signal mask: signals stay with the event loop.
 */

static mongoc_client_t *
ngx_iv_mongo_client(ngx_iv_mongo_call_t *call)
{
    bson_error_t      error;
    ngx_iv_mongo_t   *mongo;
    mongoc_client_t  *client;

    mongo = call->mongo;

    (void) pthread_mutex_lock(&mongo->lock);

    if (mongo->clients == NULL) {
        mongo->clients = mongoc_client_pool_new_with_error(mongo->uri, &error);

        if (mongo->clients) {
            (void) mongoc_client_pool_set_error_api(mongo->clients,
                                                    MONGOC_ERROR_API_VERSION_2);
        }
    }

    (void) pthread_mutex_unlock(&mongo->lock);

    if (mongo->clients == NULL) {
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->down = 1;
        (void) ngx_snprintf(call->message, NGX_IV_MONGO_MESSAGE_LEN, "%s%Z",
                            error.message);
        return NULL;
    }

    client = mongoc_client_pool_pop(mongo->clients);

    if (client == NULL) {
        call->code = NGX_IV_OVERLOADED;
        (void) ngx_snprintf(call->message, NGX_IV_MONGO_MESSAGE_LEN,
                            "no connection became free in time, the pool of "
                            "connections is exhausted (maxPoolSize)%Z");
    }

    return client;
}


/* reply: may be NULL */

static void
ngx_iv_mongo_failed(ngx_iv_mongo_ctx_t *ctx, const bson_error_t *error,
    const bson_t *reply)
{
    const char           *cure;
    ngx_uint_t            write;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    write = call->kind >= NGX_IV_MONGO_INSERT;
    cure = "";

    switch (error->domain) {

    case MONGOC_ERROR_SERVER_SELECTION:
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->down = 1;
        break;

    case MONGOC_ERROR_STREAM:
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->down = 1;
        call->unknown = write
                        && error->code != MONGOC_ERROR_STREAM_CONNECT
                        && error->code != MONGOC_ERROR_STREAM_NAME_RESOLUTION;
        break;

    case MONGOC_ERROR_PROTOCOL:
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->unknown = write;
        break;

    case MONGOC_ERROR_WRITE_CONCERN:
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->unknown = 1;
        break;

    case MONGOC_ERROR_SASL:
    case MONGOC_ERROR_SCRAM:
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        break;

    case MONGOC_ERROR_CLIENT:
        call->code = (error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
                     ? NGX_IV_METADATA_UNAVAILABLE : NGX_IV_INTERNAL;
        break;

    case MONGOC_ERROR_SERVER:
        ngx_iv_mongo_failed_server(call, error);
        break;

    default:
        call->code = NGX_IV_INTERNAL;
        break;
    }

    if (reply && mongoc_error_has_label(reply, "RetryableWriteError")) {
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->unknown = write;
    }

    if (error->domain == MONGOC_ERROR_SASL
        || error->domain == MONGOC_ERROR_SCRAM
        || (error->domain == MONGOC_ERROR_CLIENT
            && error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE)
        || (error->domain == MONGOC_ERROR_SERVER && error->code == 18))
    {
        cure = " (check user, password and authSource of image_vault_mongodb)";

    } else if (error->domain == MONGOC_ERROR_SERVER
               && (error->code == 13 || error->code == 8000))
    {
        cure = " (the user of image_vault_mongodb needs the role readWrite on "
               "the database)";
    }

    (void) ngx_snprintf(call->message, NGX_IV_MONGO_MESSAGE_LEN - 1,
                        "%s, domain %uD, code %uD%s%Z", error->message,
                        error->domain, error->code, cure);
    call->message[NGX_IV_MONGO_MESSAGE_LEN - 1] = '\0';
}


static void
ngx_iv_mongo_failed_server(ngx_iv_mongo_call_t *call, const bson_error_t *error)
{
    ngx_uint_t  write;

    write = call->kind >= NGX_IV_MONGO_INSERT;

    switch (error->code) {

    case 10107:     /* NotWritablePrimary */
    case 13435:     /* NotPrimaryNoSecondaryOk */
    case 10058:     /* its forerunner */
    case 13:        /* Unauthorized */
    case 18:        /* AuthenticationFailed */
    case 8000:      /* Atlas: either */
    case 133:       /* FailedToSatisfyReadPreference */
    case 134:       /* ReadConcernMajorityNotAvailableYet */
    case 94:        /* NotYetInitialized */
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        break;

    case 6:         /* HostUnreachable */
    case 7:         /* HostNotFound */
    case 50:        /* MaxTimeMSExpired */
    case 64:        /* WriteConcernFailed */
    case 79:        /* UnknownReplWriteConcern */
    case 89:        /* NetworkTimeout */
    case 91:        /* ShutdownInProgress */
    case 100:       /* UnsatisfiableWriteConcern */
    case 189:       /* PrimarySteppedDown */
    case 262:       /* ExceededTimeLimit */
    case 9001:      /* SocketException */
    case 11600:     /* InterruptedAtShutdown */
    case 11601:     /* Interrupted */
    case 11602:     /* InterruptedDueToReplStateChange */
    case 13436:     /* NotPrimaryOrSecondary */
        call->code = NGX_IV_METADATA_UNAVAILABLE;
        call->unknown = write;
        break;

    default:
        call->code = NGX_IV_INTERNAL;
        break;
    }
}


static void
ngx_iv_mongo_invalid(ngx_iv_mongo_ctx_t *ctx, const bson_t *doc,
    const char *field)
{
    char         id[25];
    bson_iter_t  it;

    ngx_memcpy(id, "?", 2);

    if (bson_iter_init_find(&it, doc, "_id") && BSON_ITER_HOLDS_OID(&it)) {
        bson_oid_to_string(bson_iter_oid(&it), id);
    }

    ctx->call->code = NGX_IV_INTERNAL;

    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN,
                        "\"%s\" of document %s in \"images\" cannot be "
                        "understood%Z", field, id);
}


static void
ngx_iv_mongo_internal(ngx_iv_mongo_ctx_t *ctx, const char *what)
{
    ctx->call->code = NGX_IV_INTERNAL;
    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN, "%s%Z",
                        what);
}


static void
ngx_iv_mongo_get(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_iv_mongo_find_one(ctx, &ctx->call->document);

    if (rc == NGX_DECLINED) {
        ctx->call->code = NGX_IV_NOT_FOUND;
    }
}


/* NGX_OK, NGX_DECLINED: none; NGX_ERROR: the call has failed */

static ngx_int_t
ngx_iv_mongo_find_one(ngx_iv_mongo_ctx_t *ctx, ngx_iv_document_t *doc)
{
    bson_t           *filter, *opts;
    ngx_int_t         rc;
    const char       *field;
    bson_oid_t        oid;
    bson_error_t      error;
    const bson_t     *found;
    mongoc_cursor_t  *cursor;

    bson_oid_init_from_data(&oid, ctx->call->id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    opts = BCON_NEW("limit", BCON_INT64(1));

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);
    rc = NGX_DECLINED;

    if (mongoc_cursor_next(cursor, &found)) {
        rc = ngx_iv_document_parse(ctx->call->pool, found, doc, &field);

        if (rc == NGX_DECLINED) {
            ngx_iv_mongo_invalid(ctx, found, field);
            rc = NGX_ERROR;

        } else if (rc == NGX_ERROR) {
            ngx_iv_mongo_internal(ctx, "no memory for a document");
        }

    } else if (mongoc_cursor_error_document(cursor, &error, &found)) {
        ngx_iv_mongo_failed(ctx, &error, found);
        rc = NGX_ERROR;
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);

    return rc;
}


/*
 * An update with upsert: a repeated insert changes nothing, and the server's
 * clock sets updatedAt.
 */

static void
ngx_iv_mongo_insert(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t  *opts;

    opts = BCON_NEW("upsert", BCON_BOOL(true));

    if (ngx_iv_mongo_update(ctx, opts) != NGX_ERROR) {
        ctx->call->count = 1;
    }

    bson_destroy(opts);
}


static void
ngx_iv_mongo_change(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t  n;

    n = ngx_iv_mongo_update(ctx, NULL);

    if (n == 0) {
        ctx->call->code = NGX_IV_CONFLICT;

    } else if (n > 0) {
        ctx->call->count = 1;
    }
}


/* a repeated change of the same upload finds it ready already */

static void
ngx_iv_mongo_ready(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               n;
    ngx_int_t             rc;
    ngx_iv_document_t     doc;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    n = ngx_iv_mongo_update(ctx, NULL);

    if (n != 0) {
        call->count = (n > 0);
        return;
    }

    rc = ngx_iv_mongo_find_one(ctx, &doc);

    if (rc == NGX_DECLINED) {
        call->code = NGX_IV_NOT_FOUND;
        return;
    }

    if (rc == NGX_ERROR) {
        call->unknown = 1;
        return;
    }

    if (doc.status == NGX_IV_STATUS_UPLOADING) {
        ngx_iv_mongo_undecided(ctx);
        return;
    }

    if (doc.status != NGX_IV_STATUS_READY
        || doc.size != call->document.size
        || !doc.has_checksums
        || ngx_memcmp(doc.sha256, call->document.sha256, NGX_IV_SHA256_LEN)
           != 0)
    {
        call->code = NGX_IV_CONFLICT;
    }
}


static void
ngx_iv_mongo_fail(ngx_iv_mongo_ctx_t *ctx)
{
    int64_t               n;
    ngx_int_t             rc;
    ngx_iv_document_t     doc;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;
    n = ngx_iv_mongo_update(ctx, NULL);

    if (n != 0) {
        call->count = (n > 0);
        return;
    }

    rc = ngx_iv_mongo_find_one(ctx, &doc);

    if (rc == NGX_DECLINED) {
        call->code = NGX_IV_NOT_FOUND;

    } else if (rc == NGX_ERROR) {
        call->unknown = 1;

    } else if (doc.status == NGX_IV_STATUS_UPLOADING) {
        ngx_iv_mongo_undecided(ctx);

    } else if (doc.status != NGX_IV_STATUS_ERROR) {
        call->code = NGX_IV_CONFLICT;
    }
}


/*
 * The primary's newest state is another than the one a majority has: an
 * earlier change is on its way and may still be rolled back.
 */

static void
ngx_iv_mongo_undecided(ngx_iv_mongo_ctx_t *ctx)
{
    ctx->call->code = NGX_IV_METADATA_UNAVAILABLE;
    ctx->call->unknown = 1;

    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN,
                        "an earlier change has not reached a majority yet%Z");
}


/* documents matched, NGX_ERROR: the call has failed */

static int64_t
ngx_iv_mongo_update(ngx_iv_mongo_ctx_t *ctx, const bson_t *opts)
{
    bool           ok;
    bson_t        *filter, *update, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_query_filter(ctx->call);
    update = ngx_iv_query_update(ctx->call);

    if (update == NULL) {
        ngx_iv_mongo_internal(ctx, "the document cannot be written as BSON");
        bson_destroy(filter);
        return NGX_ERROR;
    }

    ok = mongoc_collection_update_one(ctx->collection, filter, update, opts,
                                      &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "matchedCount");

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);

    return n;
}


/* the number in `field` of the reply, NGX_ERROR: the call has failed */

static int64_t
ngx_iv_mongo_updated(ngx_iv_mongo_ctx_t *ctx, bool ok, const bson_t *reply,
    const bson_error_t *error, const char *field)
{
    bson_iter_t   it, el;
    bson_error_t  concern;

    if (!ok) {
        ngx_iv_mongo_failed(ctx, error, reply);
        return NGX_ERROR;
    }

    if (bson_iter_init_find(&it, reply, "writeConcernErrors")
        && BSON_ITER_HOLDS_ARRAY(&it)
        && bson_iter_recurse(&it, &el)
        && bson_iter_next(&el))
    {
        bson_set_error(&concern, MONGOC_ERROR_WRITE_CONCERN, 64, "%s",
                       "the change did not reach a majority in time");
        ngx_iv_mongo_failed(ctx, &concern, NULL);
        return NGX_ERROR;
    }

    if (!bson_iter_init_find(&it, reply, field)) {
        ngx_iv_mongo_internal(ctx, "the server's answer has no count");
        return NGX_ERROR;
    }

    return bson_iter_as_int64(&it);
}


static void
ngx_iv_mongo_remove(ngx_iv_mongo_ctx_t *ctx)
{
    bool           ok;
    bson_t        *filter, reply;
    int64_t        n;
    bson_error_t   error;

    filter = ngx_iv_query_filter(ctx->call);

    ok = mongoc_collection_delete_one(ctx->collection, filter, NULL, &reply,
                                      &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "deletedCount");

    if (n == 0) {
        ctx->call->code = NGX_IV_CONFLICT;

    } else if (n > 0) {
        ctx->call->count = 1;
    }

    bson_destroy(&reply);
    bson_destroy(filter);
}


static void
ngx_iv_mongo_lease(ngx_iv_mongo_ctx_t *ctx)
{
    bool                             ok;
    bson_t                          *filter, *update, reply;
    bson_error_t                     error;
    mongoc_find_and_modify_opts_t   *opts;

    filter = ngx_iv_query_filter(ctx->call);
    update = ngx_iv_query_update(ctx->call);
    opts = mongoc_find_and_modify_opts_new();

    (void) mongoc_find_and_modify_opts_set_update(opts, update);
    (void) mongoc_find_and_modify_opts_set_flags(opts,
                                          MONGOC_FIND_AND_MODIFY_UPSERT
                                          |MONGOC_FIND_AND_MODIFY_RETURN_NEW);

    ok = mongoc_collection_find_and_modify_with_opts(ctx->collection, filter,
                                                     opts, &reply, &error);

    if (ok) {
        ngx_iv_mongo_lease_held(ctx->call, &reply);

    } else if (error.code != MONGOC_ERROR_DUPLICATE_KEY) {

        /* a duplicate: another node made the lease in the same moment */

        ngx_iv_mongo_failed(ctx, &error, &reply);
    }

    mongoc_find_and_modify_opts_destroy(opts);
    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
}


static void
ngx_iv_mongo_lease_held(ngx_iv_mongo_call_t *call, const bson_t *reply)
{
    uint32_t      len;
    const char   *holder;
    bson_iter_t   it, value;

    /* not sure of a majority: not held */

    if (bson_iter_init_find(&it, reply, "writeConcernError")) {
        return;
    }

    if (!bson_iter_init(&it, reply)
        || !bson_iter_find_descendant(&it, "value.holder", &value)
        || !BSON_ITER_HOLDS_UTF8(&value))
    {
        return;
    }

    holder = bson_iter_utf8(&value, &len);

    if (len != call->holder.len
        || ngx_memcmp(holder, call->holder.data, len) != 0)
    {
        return;
    }

    call->count = 1;

    if (bson_iter_init(&it, reply)
        && bson_iter_find_descendant(&it, "value.fence", &value))
    {
        call->fence = bson_iter_as_int64(&value);
    }
}


static void
ngx_iv_mongo_refs(ngx_iv_mongo_ctx_t *ctx)
{
    bson_t               *filter, *opts;
    ngx_int_t             rc;
    const char           *field;
    bson_error_t          error;
    const bson_t         *found;
    mongoc_cursor_t      *cursor;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    call->refs = ngx_pcalloc(call->pool,
                             call->limit * sizeof(ngx_iv_metadata_ref_t));
    if (call->refs == NULL) {
        ngx_iv_mongo_internal(ctx, "no memory for a list");
        return;
    }

    filter = ngx_iv_query_filter(call);
    opts = ngx_iv_query_list(call);

    cursor = mongoc_collection_find_with_opts(ctx->collection, filter, opts,
                                              NULL);

    while (call->nrefs < call->limit && mongoc_cursor_next(cursor, &found)) {

        rc = ngx_iv_document_parse_ref(call->pool, found,
                                       &call->refs[call->nrefs], &field);
        if (rc == NGX_ERROR) {
            ngx_iv_mongo_internal(ctx, "no memory for a list");
            break;
        }

        if (rc == NGX_OK) {
            call->nrefs++;
        }
    }

    if (call->code == NGX_OK
        && mongoc_cursor_error_document(cursor, &error, &found))
    {
        ngx_iv_mongo_failed(ctx, &error, found);
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(opts);
    bson_destroy(filter);
}


/* updates know no limit: first the ids, then the same condition once more */

static void
ngx_iv_mongo_sweep_stale(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *filter, *update, reply;
    int64_t               n;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    ngx_iv_mongo_refs(ctx);

    if (call->code != NGX_OK || call->nrefs == 0) {
        return;
    }

    filter = ngx_iv_query_filter(call);
    ngx_iv_query_among(filter, call);
    update = ngx_iv_query_update(call);

    ok = mongoc_collection_update_many(ctx->collection, filter, update, NULL,
                                       &reply, &error);

    n = ngx_iv_mongo_updated(ctx, ok, &reply, &error, "modifiedCount");

    if (n > 0) {
        call->count = n;
    }

    bson_destroy(&reply);
    bson_destroy(update);
    bson_destroy(filter);
}


/* one by one: a conflict over one index must not cost the others */

static void
ngx_iv_mongo_indexes(ngx_iv_mongo_ctx_t *ctx)
{
    bool                  ok;
    bson_t               *command, reply;
    ngx_uint_t            i;
    bson_error_t          error;
    ngx_iv_mongo_call_t  *call;

    call = ctx->call;

    for (i = 0; ; i++) {

        command = ngx_iv_query_index(NGX_IV_MONGO_IMAGES, i);
        if (command == NULL) {
            return;
        }

        ok = mongoc_client_write_command_with_opts(ctx->client,
                                                   call->mongo->database,
                                                   command, NULL, &reply,
                                                   &error);
        bson_destroy(command);

        if (!ok && !ngx_iv_mongo_index_conflict(ctx, &error)) {
            ngx_iv_mongo_failed(ctx, &error, &reply);
            bson_destroy(&reply);
            return;
        }

        bson_destroy(&reply);
    }
}


/* 1: there is such an index already; said in the call unless it does as well */

static ngx_uint_t
ngx_iv_mongo_index_conflict(ngx_iv_mongo_ctx_t *ctx, const bson_error_t *error)
{
    if (error->domain != MONGOC_ERROR_SERVER
        || (error->code != 85 && error->code != 86))
    {
        return 0;
    }

    if (ngx_strstr(error->message, "different name") == NULL) {
        (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN - 1,
                            "%s (drop that index of \"images\" in a quiet hour "
                            "and reload: it is made anew)%Z", error->message);
        ctx->call->message[NGX_IV_MONGO_MESSAGE_LEN - 1] = '\0';
    }

    return 1;
}
