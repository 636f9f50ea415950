#include <ngx_config.h>
#include <ngx_core.h>

#include <pthread.h>

#include "metadata/ngx_iv_mongo_driver.h"
#include "base/ngx_iv_str.h"


struct ngx_iv_mongo_s {
    mongoc_uri_t           *uri;
    mongoc_client_pool_t   *clients;    /* made by the first call */
    pthread_mutex_t         lock;
    ngx_uint_t              calls;      /* with a client of the pool */
    char                   *database;
    uint64_t                of;
    ngx_msec_t              timeout;
    ngx_uint_t              quota;
    ngx_uint_t              audit;
    u_char                  token[NGX_IV_MONGO_TOKEN];
};


typedef void (*ngx_iv_mongo_pt)(ngx_iv_mongo_ctx_t *ctx);


typedef struct {
    const char             *name;
    ngx_iv_mongo_pt         run;
    const char             *collection;
} ngx_iv_mongo_kind_t;


static mongoc_client_t *ngx_iv_mongo_client(ngx_iv_mongo_call_t *call);
static void ngx_iv_mongo_failed_server(ngx_iv_mongo_call_t *call,
    const bson_error_t *error);


static const ngx_iv_mongo_kind_t  ngx_iv_mongo_kinds[] = {
    { "get", ngx_iv_mongo_get, NGX_IV_MONGO_IMAGES },
    { "list of first deletes", ngx_iv_mongo_refs, NGX_IV_MONGO_IMAGES },
    { "list of second deletes", ngx_iv_mongo_refs, NGX_IV_MONGO_IMAGES },
    { "list", ngx_iv_mongo_list, NGX_IV_MONGO_IMAGES },
    { "get of many", ngx_iv_mongo_get_many, NGX_IV_MONGO_IMAGES },
    { "usage", ngx_iv_mongo_usage, NGX_IV_MONGO_USERS },
    { "statistics", ngx_iv_mongo_stats, NGX_IV_MONGO_IMAGES },
    { "list of users", ngx_iv_mongo_users, NGX_IV_MONGO_USERS },
    { "get of a user", ngx_iv_mongo_user, NGX_IV_MONGO_USERS },
    { "list of staged objects", ngx_iv_mongo_refs, NGX_IV_MONGO_IMAGES },
    { "list of open uploads", ngx_iv_mongo_refs, NGX_IV_MONGO_IMAGES },
    { "ping", ngx_iv_mongo_ping, NGX_IV_MONGO_IMAGES },
    { "look at the sweep", ngx_iv_mongo_sweep_look, NGX_IV_MONGO_STATE },
    { "report of keys", ngx_iv_mongo_report_keys, NGX_IV_MONGO_IMAGES },
    { "report of documents", ngx_iv_mongo_report_documents,
      NGX_IV_MONGO_IMAGES },
    { "insert", ngx_iv_mongo_insert, NGX_IV_MONGO_IMAGES },
    { "heartbeat", ngx_iv_mongo_change, NGX_IV_MONGO_IMAGES },
    { "change to ready", ngx_iv_mongo_ready, NGX_IV_MONGO_IMAGES },
    { "change to error", ngx_iv_mongo_fail, NGX_IV_MONGO_IMAGES },
    { "lease", ngx_iv_mongo_lease, NGX_IV_MONGO_STATE },
    { "release of the lease", ngx_iv_mongo_change, NGX_IV_MONGO_STATE },
    { "sweep of stale uploads", ngx_iv_mongo_sweep_stale,
      NGX_IV_MONGO_IMAGES },
    { "note of a delete", ngx_iv_mongo_change, NGX_IV_MONGO_IMAGES },
    { "remove", ngx_iv_mongo_remove, NGX_IV_MONGO_IMAGES },
    { "delete", ngx_iv_mongo_delete, NGX_IV_MONGO_IMAGES },
    { "sweep of expired images", ngx_iv_mongo_sweep_expired,
      NGX_IV_MONGO_IMAGES },
    { "insert of a ticket", ngx_iv_mongo_direct_insert,
      NGX_IV_MONGO_IMAGES },
    { "claim of a ticket", ngx_iv_mongo_direct_claim, NGX_IV_MONGO_IMAGES },
    { "release of a ticket", ngx_iv_mongo_change, NGX_IV_MONGO_IMAGES },
    { "note of a staged object's delete", ngx_iv_mongo_change,
      NGX_IV_MONGO_IMAGES },
    { "note of the end of open uploads", ngx_iv_mongo_change,
      NGX_IV_MONGO_IMAGES },
    { "note of a multipart upload", ngx_iv_mongo_change,
      NGX_IV_MONGO_IMAGES },
    { "quota reservation", ngx_iv_mongo_quota_reserve, NGX_IV_MONGO_USERS },
    { "quota settlement", ngx_iv_mongo_quota_settle, NGX_IV_MONGO_USERS },
    { "quota release", ngx_iv_mongo_quota_release, NGX_IV_MONGO_USERS },
    { "sweep of quota entries", ngx_iv_mongo_quota_sweep,
      NGX_IV_MONGO_USERS },
    { "begin of a request", ngx_iv_mongo_request_begin,
      NGX_IV_MONGO_REQUESTS },
    { "heartbeat of a request", ngx_iv_mongo_request_alive,
      NGX_IV_MONGO_REQUESTS },
    { "end of a request", ngx_iv_mongo_request_end, NGX_IV_MONGO_REQUESTS },
    { "release of a request", ngx_iv_mongo_request_free,
      NGX_IV_MONGO_REQUESTS },
    { "index creation", ngx_iv_mongo_indexes, NGX_IV_MONGO_IMAGES },
    { "change", ngx_iv_mongo_patch, NGX_IV_MONGO_IMAGES },
    { "change of many", ngx_iv_mongo_bulk, NGX_IV_MONGO_IMAGES },
    { "moderation", ngx_iv_mongo_moderate, NGX_IV_MONGO_IMAGES },
    { "change of a user", ngx_iv_mongo_user_patch, NGX_IV_MONGO_USERS },
    { "audit", ngx_iv_mongo_audit, NGX_IV_MONGO_TRAIL },
    { "end of a sweep", ngx_iv_mongo_sweep_end, NGX_IV_MONGO_STATE },
    { "sweep of dead requests", ngx_iv_mongo_sweep_requests,
      NGX_IV_MONGO_REQUESTS },
    { "mark of a missing object", ngx_iv_mongo_report_mark,
      NGX_IV_MONGO_IMAGES },
    { "clearing of a mark", ngx_iv_mongo_report_mark, NGX_IV_MONGO_IMAGES }
};


const char *
ngx_iv_mongo_name(ngx_iv_mongo_kind_e kind)
{
    return ngx_iv_mongo_kinds[kind].name;
}


ngx_uint_t
ngx_iv_mongo_changes_images(ngx_iv_mongo_kind_e kind)
{
    return kind >= NGX_IV_MONGO_INSERT
           && ngx_strcmp(ngx_iv_mongo_kinds[kind].collection,
                         NGX_IV_MONGO_IMAGES)
              == 0;
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

    mongo->quota = conf->quota;
    mongo->audit = conf->audit;

    if (ngx_iv_random(mongo->token, NGX_IV_MONGO_TOKEN) != NGX_OK) {
        *error = "the system has no random bytes";
        ngx_free(mongo);
        return NULL;
    }

    if (pthread_mutex_init(&mongo->lock, NULL) != 0) {
        ngx_free(mongo);
        return NULL;
    }

    mongo->timeout = conf->timeout;

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

    mongo->of = ngx_iv_metadata_of(conf);

    return mongo;
}


/*
 * The driver's monitors are threads of its own.  They must end here: nginx
 * unloads the module next, and the driver with it.
 */

void
ngx_iv_mongo_destroy(ngx_iv_mongo_t *mongo)
{
    ngx_uint_t  calls;

    (void) pthread_mutex_lock(&mongo->lock);
    calls = mongo->calls;
    (void) pthread_mutex_unlock(&mongo->lock);

    if (calls) {
        /* nginx could not end a pool of threads whose queue is full, or who
         * has borrowed it is still at work */

        mongoc_log_set_handler(NULL, NULL);
        return;
    }

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


mongoc_uri_t *
ngx_iv_mongo_borrow(ngx_iv_mongo_t *mongo, ngx_msec_t await,
    const char **database, uint64_t *of)
{
    int32_t        timeout;
    mongoc_uri_t  *uri;

    uri = mongoc_uri_copy(mongo->uri);
    if (uri == NULL) {
        return NULL;
    }

    timeout = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS,
                                             0);

    if (timeout > 0
        && !mongoc_uri_set_option_as_int32(uri, MONGOC_URI_SOCKETTIMEOUTMS,
                                           timeout + (int32_t) await))
    {
        mongoc_uri_destroy(uri);
        return NULL;
    }

    *database = mongo->database;
    *of = mongo->of;

    (void) pthread_mutex_lock(&mongo->lock);
    mongo->calls++;
    (void) pthread_mutex_unlock(&mongo->lock);

    return uri;
}


void
ngx_iv_mongo_give_back(ngx_iv_mongo_t *mongo)
{
    (void) pthread_mutex_lock(&mongo->lock);
    mongo->calls--;
    (void) pthread_mutex_unlock(&mongo->lock);
}


void
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

        /* a connection that broke: the call that used it says so as well; and
         * a server that is away forgets its sessions by itself */

        to = (ngx_strcmp(domain, "stream") == 0
              || ngx_strncmp(message, "Couldn't send \"endSessions\"", 26) == 0)
             ? NGX_LOG_INFO : NGX_LOG_WARN;
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


void
ngx_iv_mongo_run(ngx_iv_mongo_call_t *call)
{
    ngx_iv_mongo_ctx_t  ctx;

    if (ngx_iv_mongo_begin(&ctx, call) == NGX_OK) {
        ngx_iv_mongo_kinds[call->kind].run(&ctx);
        ngx_iv_mongo_end(&ctx);
    }
}


ngx_int_t
ngx_iv_mongo_begin(ngx_iv_mongo_ctx_t *ctx, ngx_iv_mongo_call_t *call)
{
    const char  *name;

    call->code = NGX_OK;
    call->unknown = 0;
    call->down = 0;
    call->count = 0;
    call->nrefs = 0;
    call->message[0] = '\0';

    ctx->call = call;
    ctx->database = call->mongo->database;
    ctx->timeout = call->mongo->timeout;
    ctx->token = call->mongo->token;
    ctx->quota = call->mongo->quota;
    ctx->audit = call->mongo->audit;
    ctx->client = ngx_iv_mongo_client(call);

    if (ctx->client == NULL) {
        return NGX_ERROR;
    }

    name = ngx_iv_mongo_kinds[call->kind].collection;

    ctx->collection = mongoc_client_get_collection(ctx->client, ctx->database,
                                                   name);

    return NGX_OK;
}


void
ngx_iv_mongo_end(ngx_iv_mongo_ctx_t *ctx)
{
    ngx_iv_mongo_t  *mongo;

    mongo = ctx->call->mongo;

    mongoc_collection_destroy(ctx->collection);
    mongoc_client_pool_push(mongo->clients, ctx->client);

    (void) pthread_mutex_lock(&mongo->lock);
    mongo->calls--;
    (void) pthread_mutex_unlock(&mongo->lock);
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

    if (mongo->clients) {
        mongo->calls++;
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
        (void) pthread_mutex_lock(&mongo->lock);
        mongo->calls--;
        (void) pthread_mutex_unlock(&mongo->lock);

        call->code = NGX_IV_OVERLOADED;
        (void) ngx_snprintf(call->message, NGX_IV_MONGO_MESSAGE_LEN,
                            "no connection became free in time, the pool of "
                            "connections is exhausted (maxPoolSize)%Z");
    }

    return client;
}


/* reply: may be NULL */

void
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
    case 112:       /* WriteConflict */
    case 365:       /* TemporarilyUnavailable: its cache is full */
    case 462:       /* IngressRequestRateLimitExceeded */
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


void
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


void
ngx_iv_mongo_internal(ngx_iv_mongo_ctx_t *ctx, const char *what)
{
    ctx->call->code = NGX_IV_INTERNAL;
    (void) ngx_snprintf(ctx->call->message, NGX_IV_MONGO_MESSAGE_LEN, "%s%Z",
                        what);
}
