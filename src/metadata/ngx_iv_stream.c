#include <ngx_config.h>
#include <ngx_core.h>

#include "metadata/ngx_iv_mongo_driver.h"
#include "metadata/ngx_iv_stream.h"


#define NGX_IV_STREAM_BATCH  1000


struct ngx_iv_stream_s {
    ngx_iv_mongo_t           *mongo;
    mongoc_uri_t             *uri;
    const char               *database;
    uint64_t                  of;

    /* of an open one */
    mongoc_client_t          *client;
    mongoc_client_session_t  *session;
    uint32_t                  server;
    int64_t                   cursor;   /* 0: none */
    unsigned                  resumed:1;    /* by a token, nothing read yet */

    size_t                    len;
    u_char                    token[NGX_IV_ZONE_TOKEN];
    u_char                    message[NGX_IV_MONGO_MESSAGE_LEN];
};


static ngx_int_t ngx_iv_stream_connect(ngx_iv_stream_t *stream,
    bson_error_t *error);
static bson_t *ngx_iv_stream_command(const u_char *token, size_t len);
static bool ngx_iv_stream_run(ngx_iv_stream_t *stream, bson_t *command,
    ngx_uint_t read, bson_t *reply, bson_error_t *error);
static ngx_iv_stream_rc_e ngx_iv_stream_batch(ngx_iv_stream_t *stream,
    const bson_t *reply, const char *name, ngx_iv_stream_pt handler,
    void *data);
static ngx_iv_stream_rc_e ngx_iv_stream_event(ngx_iv_stream_t *stream,
    const bson_iter_t *event, ngx_iv_stream_pt handler, void *data);
static void ngx_iv_stream_behind(ngx_iv_stream_t *stream,
    const bson_iter_t *token);
static ngx_iv_stream_rc_e ngx_iv_stream_failed(ngx_iv_stream_t *stream,
    const bson_error_t *error, const bson_t *reply);
static ngx_iv_stream_rc_e ngx_iv_stream_failed_server(ngx_iv_stream_t *stream,
    uint32_t code, const bson_t *reply);
static ngx_iv_stream_rc_e ngx_iv_stream_say(ngx_iv_stream_t *stream,
    ngx_iv_stream_rc_e rc, const char *what);


ngx_iv_stream_t *
ngx_iv_stream_create(ngx_iv_mongo_t *mongo, ngx_log_t *log)
{
    ngx_iv_stream_t  *stream;

    stream = ngx_calloc(sizeof(ngx_iv_stream_t), log);
    if (stream == NULL) {
        return NULL;
    }

    stream->mongo = mongo;
    stream->uri = ngx_iv_mongo_borrow(mongo, NGX_IV_STREAM_AWAIT,
                                      &stream->database, &stream->of);
    if (stream->uri == NULL) {
        ngx_free(stream);
        return NULL;
    }

    return stream;
}


void
ngx_iv_stream_destroy(ngx_iv_stream_t *stream)
{
    ngx_iv_stream_close(stream);

    mongoc_uri_destroy(stream->uri);
    ngx_iv_mongo_give_back(stream->mongo);

    ngx_free(stream);
}


/*
 * The first batch is empty, so that the server answers at once however far it
 * has to go through its log for a token.
 */

ngx_iv_stream_rc_e
ngx_iv_stream_open(ngx_iv_stream_t *stream, const u_char *token, size_t len)
{
    bool                 ok;
    bson_t               reply;
    bson_error_t         error;
    ngx_iv_stream_rc_e   rc;

    stream->message[0] = '\0';
    stream->resumed = (len != 0);
    stream->len = 0;

    switch (ngx_iv_stream_connect(stream, &error)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return ngx_iv_stream_say(stream, NGX_IV_STREAM_NONE,
                                 "the server is no member of a replica set");

    default:
        return ngx_iv_stream_failed(stream, &error, NULL);
    }

    ok = ngx_iv_stream_run(stream, ngx_iv_stream_command(token, len), 1,
                           &reply, &error);

    if (ok) {
        rc = ngx_iv_stream_batch(stream, &reply, "firstBatch", NULL, NULL);

    } else {
        rc = ngx_iv_stream_failed(stream, &error, &reply);
    }

    bson_destroy(&reply);

    return rc;
}


/*
 * A client for each opening: without threads of its own, and without the pauses
 * that the driver makes for such a client after a failure.
 * NGX_OK, NGX_ERROR, NGX_DECLINED: a server on its own.
 */

static ngx_int_t
ngx_iv_stream_connect(ngx_iv_stream_t *stream, bson_error_t *error)
{
    ngx_uint_t                    alone;
    mongoc_session_opt_t         *opts;
    mongoc_server_description_t  *server;

    stream->client = mongoc_client_new_from_uri_with_error(stream->uri, error);
    if (stream->client == NULL) {
        return NGX_ERROR;
    }

    (void) mongoc_client_set_error_api(stream->client,
                                       MONGOC_ERROR_API_VERSION_2);

    server = mongoc_client_select_server(stream->client, true, NULL, error);
    if (server == NULL) {
        return NGX_ERROR;
    }

    stream->server = mongoc_server_description_id(server);
    alone = ngx_strcmp(mongoc_server_description_type(server), "Standalone")
            == 0;

    mongoc_server_description_destroy(server);

    if (alone) {
        return NGX_DECLINED;
    }

    /* the server wants all commands of a cursor to be of one session */

    opts = mongoc_session_opts_new();
    (void) mongoc_session_opts_set_causal_consistency(opts, false);

    stream->session = mongoc_client_start_session(stream->client, opts, error);

    mongoc_session_opts_destroy(opts);

    return stream->session ? NGX_OK : NGX_ERROR;
}


static bson_t *
ngx_iv_stream_command(const u_char *token, size_t len)
{
    bson_t  *command, stage, resume;

    bson_init(&stage);

    if (len && bson_init_static(&resume, token, len)) {
        BSON_APPEND_DOCUMENT(&stage, "resumeAfter", &resume);
    }

    /* a new image is nobody's before its upload ends, and that is an update */

    command = BCON_NEW("aggregate", BCON_UTF8(NGX_IV_MONGO_IMAGES),
                       "pipeline", "[",
                           "{", "$changeStream", BCON_DOCUMENT(&stage), "}",
                           "{", "$match", "{", "operationType", "{",
                               "$in", "[",
                                   BCON_UTF8("update"), BCON_UTF8("replace"),
                                   BCON_UTF8("delete"), BCON_UTF8("drop"),
                                   BCON_UTF8("rename"),
                                   BCON_UTF8("dropDatabase"),
                                   BCON_UTF8("invalidate"),
                               "]", "}", "}", "}",
                           "{", "$project", "{",
                               "operationType", BCON_INT32(1),
                               "documentKey._id", BCON_INT32(1),
                           "}", "}",
                       "]",
                       "cursor", "{", "batchSize", BCON_INT32(0), "}");

    bson_destroy(&stage);

    return command;
}


ngx_iv_stream_rc_e
ngx_iv_stream_read(ngx_iv_stream_t *stream, ngx_iv_stream_pt handler,
    void *data)
{
    bool                 ok;
    bson_t              *command, reply;
    bson_error_t         error;
    ngx_iv_stream_rc_e   rc;

    command = BCON_NEW("getMore", BCON_INT64(stream->cursor),
                       "collection", BCON_UTF8(NGX_IV_MONGO_IMAGES),
                       "batchSize", BCON_INT32(NGX_IV_STREAM_BATCH),
                       "maxTimeMS", BCON_INT32(NGX_IV_STREAM_AWAIT));

    ok = ngx_iv_stream_run(stream, command, 0, &reply, &error);

    if (ok) {
        rc = ngx_iv_stream_batch(stream, &reply, "nextBatch", handler, data);
        stream->resumed = 0;

    } else {
        rc = ngx_iv_stream_failed(stream, &error, &reply);
    }

    bson_destroy(&reply);

    return rc;
}


/* frees the command; the reply is set in any case */

static bool
ngx_iv_stream_run(ngx_iv_stream_t *stream, bson_t *command, ngx_uint_t read,
    bson_t *reply, bson_error_t *error)
{
    bool    ok;
    bson_t  opts;

    bson_init(&opts);
    BSON_APPEND_INT32(&opts, "serverId", (int32_t) stream->server);

    if (!mongoc_client_session_append(stream->session, &opts, error)) {
        bson_init(reply);
        ok = false;

    } else if (read) {
        ok = mongoc_client_read_command_with_opts(stream->client,
                                                  stream->database, command,
                                                  NULL, &opts, reply, error);
    } else {
        ok = mongoc_client_command_with_opts(stream->client, stream->database,
                                             command, NULL, &opts, reply,
                                             error);
    }

    bson_destroy(&opts);
    bson_destroy(command);

    return ok;
}


static ngx_iv_stream_rc_e
ngx_iv_stream_batch(ngx_iv_stream_t *stream, const bson_t *reply,
    const char *name, ngx_iv_stream_pt handler, void *data)
{
    bson_iter_t          it, cursor, batch, events;
    ngx_iv_stream_rc_e   rc;

    stream->cursor = 0;

    if (!bson_iter_init_find(&it, reply, "cursor")
        || !BSON_ITER_HOLDS_DOCUMENT(&it)
        || !bson_iter_recurse(&it, &cursor)
        || !bson_iter_find(&cursor, "id")
        || !bson_iter_recurse(&it, &batch)
        || !bson_iter_find(&batch, name)
        || !BSON_ITER_HOLDS_ARRAY(&batch)
        || !bson_iter_recurse(&batch, &events))
    {
        return ngx_iv_stream_say(stream, NGX_IV_STREAM_DOWN,
                                 "the server's answer is no cursor's");
    }

    stream->cursor = bson_iter_as_int64(&cursor);

    while (bson_iter_next(&events)) {
        rc = ngx_iv_stream_event(stream, &events, handler, data);

        if (rc != NGX_IV_STREAM_OK) {
            return rc;
        }
    }

    if (bson_iter_recurse(&it, &batch)
        && bson_iter_find(&batch, "postBatchResumeToken"))
    {
        ngx_iv_stream_behind(stream, &batch);
    }

    if (stream->cursor == 0) {
        return ngx_iv_stream_say(stream, NGX_IV_STREAM_DOWN,
                                 "the server has closed it");
    }

    return NGX_IV_STREAM_OK;
}


static ngx_iv_stream_rc_e
ngx_iv_stream_event(ngx_iv_stream_t *stream, const bson_iter_t *event,
    ngx_iv_stream_pt handler, void *data)
{
    const char   *type;
    bson_iter_t   it, id;

    if (!BSON_ITER_HOLDS_DOCUMENT(event)) {
        return NGX_IV_STREAM_OK;
    }

    if (!bson_iter_recurse(event, &it)
        || !bson_iter_find(&it, "operationType")
        || !BSON_ITER_HOLDS_UTF8(&it))
    {
        return NGX_IV_STREAM_OK;
    }

    type = bson_iter_utf8(&it, NULL);

    if (ngx_strcmp(type, "update") != 0
        && ngx_strcmp(type, "replace") != 0
        && ngx_strcmp(type, "delete") != 0)
    {
        return ngx_iv_stream_say(stream, NGX_IV_STREAM_ENDED, type);
    }

    /* documents with another kind of _id are no images of ours */

    if (handler
        && bson_iter_recurse(event, &it)
        && bson_iter_find_descendant(&it, "documentKey._id", &id)
        && BSON_ITER_HOLDS_OID(&id))
    {
        handler(data, bson_iter_oid(&id)->bytes);
    }

    if (bson_iter_recurse(event, &it) && bson_iter_find(&it, "_id")) {
        ngx_iv_stream_behind(stream, &it);
    }

    return NGX_IV_STREAM_OK;
}


static void
ngx_iv_stream_behind(ngx_iv_stream_t *stream, const bson_iter_t *token)
{
    uint32_t        len;
    const uint8_t  *data;

    if (!BSON_ITER_HOLDS_DOCUMENT(token)) {
        return;
    }

    bson_iter_document(token, &len, &data);

    stream->len = 0;

    if (len <= NGX_IV_ZONE_TOKEN) {
        ngx_memcpy(stream->token, data, len);
        stream->len = len;
    }
}


/* a server that answers may forget the cursor now: it would keep it for long */

void
ngx_iv_stream_close(ngx_iv_stream_t *stream)
{
    bson_t        *command, reply;
    bson_error_t   error;

    if (stream->cursor) {
        command = BCON_NEW("killCursors", BCON_UTF8(NGX_IV_MONGO_IMAGES),
                           "cursors", "[", BCON_INT64(stream->cursor), "]");

        (void) ngx_iv_stream_run(stream, command, 0, &reply, &error);
        bson_destroy(&reply);

        stream->cursor = 0;
    }

    if (stream->session) {
        mongoc_client_session_destroy(stream->session);
        stream->session = NULL;
    }

    if (stream->client) {
        mongoc_client_destroy(stream->client);
        stream->client = NULL;
    }
}


const u_char *
ngx_iv_stream_token(ngx_iv_stream_t *stream, size_t *len)
{
    *len = stream->len;

    return stream->len ? stream->token : NULL;
}


uint64_t
ngx_iv_stream_of(ngx_iv_stream_t *stream)
{
    return stream->of;
}


const u_char *
ngx_iv_stream_message(ngx_iv_stream_t *stream)
{
    return stream->message;
}


/* the cursor is of no use any more, whatever it was */

static ngx_iv_stream_rc_e
ngx_iv_stream_failed(ngx_iv_stream_t *stream, const bson_error_t *error,
    const bson_t *reply)
{
    u_char  *last;

    stream->cursor = 0;

    last = stream->message + NGX_IV_MONGO_MESSAGE_LEN - 1;
    *ngx_snprintf(stream->message, NGX_IV_MONGO_MESSAGE_LEN - 1,
                  "%s, domain %uD, code %uD", error->message, error->domain,
                  error->code) = '\0';
    *last = '\0';

    if (error->domain != MONGOC_ERROR_SERVER) {
        return NGX_IV_STREAM_DOWN;
    }

    return ngx_iv_stream_failed_server(stream, error->code, reply);
}


/*
 * A server that refuses to go on behind a token for a reason not known to pass
 * by is taken to have lost it: to begin anew is always right.
 */

static ngx_iv_stream_rc_e
ngx_iv_stream_failed_server(ngx_iv_stream_t *stream, uint32_t code,
    const bson_t *reply)
{
    switch (code) {

    case 115:       /* CommandNotSupported */
    case 40324:     /* no such stage */
    case 40573:     /* only on replica sets */
        return NGX_IV_STREAM_NONE;

    case 13:        /* Unauthorized */
    case 8000:      /* Atlas */
        return NGX_IV_STREAM_DENIED;

    case 260:       /* InvalidResumeToken */
    case 280:       /* ChangeStreamFatalError */
    case 286:       /* ChangeStreamHistoryLost */
        return NGX_IV_STREAM_LOST;

    case 6:         /* HostUnreachable */
    case 7:         /* HostNotFound */
    case 18:        /* AuthenticationFailed */
    case 43:        /* CursorNotFound */
    case 50:        /* MaxTimeMSExpired */
    case 63:        /* StaleShardVersion */
    case 89:        /* NetworkTimeout */
    case 91:        /* ShutdownInProgress */
    case 94:        /* NotYetInitialized */
    case 133:       /* FailedToSatisfyReadPreference */
    case 134:       /* ReadConcernMajorityNotAvailableYet */
    case 150:       /* StaleEpoch */
    case 189:       /* PrimarySteppedDown */
    case 234:       /* RetryChangeStream */
    case 237:       /* CursorKilled */
    case 262:       /* ExceededTimeLimit */
    case 9001:      /* SocketException */
    case 10058:     /* NotPrimary's forerunner */
    case 10107:     /* NotWritablePrimary */
    case 11600:     /* InterruptedAtShutdown */
    case 11601:     /* Interrupted */
    case 11602:     /* InterruptedDueToReplStateChange */
    case 13388:     /* StaleConfig */
    case 13435:     /* NotPrimaryNoSecondaryOk */
    case 13436:     /* NotPrimaryOrSecondary */
        return NGX_IV_STREAM_DOWN;

    default:
        break;
    }

    if (reply && mongoc_error_has_label(reply, "ResumableChangeStreamError")) {
        return NGX_IV_STREAM_DOWN;
    }

    return stream->resumed ? NGX_IV_STREAM_LOST : NGX_IV_STREAM_DOWN;
}


static ngx_iv_stream_rc_e
ngx_iv_stream_say(ngx_iv_stream_t *stream, ngx_iv_stream_rc_e rc,
    const char *what)
{
    (void) ngx_snprintf(stream->message, NGX_IV_MONGO_MESSAGE_LEN, "%s%Z",
                        what);

    return rc;
}
