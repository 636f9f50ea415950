/*
 * The change stream on images, against the server (a replica set) that
 * MONGODB_URI names, in a database of its own; nothing without MONGODB_URI.
 *
 * sources: src/metadata/ngx_iv_stream.c
 *     src/metadata/ngx_iv_mongo.c src/metadata/ngx_iv_mongo_conf.c
 *     src/metadata/ngx_iv_mongo_calls.c
 *     src/metadata/ngx_iv_query.c src/metadata/ngx_iv_quota.c
 *     src/metadata/ngx_iv_quota_pending.c src/metadata/ngx_iv_quota_intent.c
 *     src/metadata/ngx_iv_delete.c src/metadata/ngx_iv_direct.c
 *     src/metadata/ngx_iv_request_record.c src/base/ngx_iv_code.c
 *     src/metadata/ngx_iv_list.c src/metadata/ngx_iv_list_query.c
 *     src/metadata/ngx_iv_change.c src/metadata/ngx_iv_change_query.c
 *     src/metadata/ngx_iv_admin.c src/metadata/ngx_iv_stats.c
 *     src/metadata/ngx_iv_audit_write.c
 *     src/metadata/ngx_iv_document.c src/metadata/ngx_iv_document_parse.c
 *     src/metadata/ngx_iv_lease.c src/metadata/ngx_iv_sweep_look.c
 *     src/metadata/ngx_iv_report.c
 *     src/base/ngx_iv_str.c
 *
 * libs: `pkg-config --libs mongoc2 2>/dev/null
 *     || pkg-config --libs libmongoc-1.0` -lcrypto -lpthread
 */

#include "iv_test.h"
#include "iv_mongo_call.h"
#include "metadata/ngx_iv_stream.h"

#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <unistd.h>


static ngx_pool_t           *pool;
static ngx_iv_mongo_t       *mongo;
static mongoc_client_t      *client;
static mongoc_collection_t  *images;
static char                  database[64];
static char                 *uri;

static ngx_uint_t            events;
static u_char                last[NGX_IV_ID_LEN];


static void
seen(void *data, const u_char id[NGX_IV_ID_LEN])
{
    OK(data == &events);
    events++;
    memcpy(last, id, NGX_IV_ID_LEN);
}


/* reads until it fails, or `n` events have come; not for ever */

static ngx_iv_stream_rc_e
read_events(ngx_iv_stream_t *stream, ngx_uint_t n)
{
    time_t               end;
    ngx_iv_stream_rc_e   rc;

    events = 0;
    rc = NGX_IV_STREAM_OK;
    end = time(NULL) + IV_MONGO_PATIENCE / 1000;

    while (events < n && rc == NGX_IV_STREAM_OK && time(NULL) < end) {
        rc = ngx_iv_stream_read(stream, seen, &events);
    }

    return rc;
}


/* one answer, which has none */

static ngx_iv_stream_rc_e
read_none(ngx_iv_stream_t *stream)
{
    ngx_iv_stream_rc_e  rc;

    events = 0;
    rc = ngx_iv_stream_read(stream, seen, &events);
    EQ_INT(events, 0);

    return rc;
}


static void
id_of(bson_oid_t *oid, int n)
{
    u_char  bytes[NGX_IV_ID_LEN];

    memset(bytes, n, sizeof(bytes));
    bson_oid_init_from_data(oid, bytes);
}


static void
change(int n)
{
    bson_t        *filter, *update, *opts;
    bson_oid_t     oid;
    bson_error_t   error;

    id_of(&oid, n);
    filter = BCON_NEW("_id", BCON_OID(&oid));
    update = BCON_NEW("$inc", "{", "n", BCON_INT32(1), "}");
    opts = BCON_NEW("upsert", BCON_BOOL(true));

    OK(mongoc_collection_update_one(images, filter, update, opts, NULL,
                                    &error));
    bson_destroy(opts);
    bson_destroy(update);
    bson_destroy(filter);
}


static void
remove_all(void)
{
    bson_t        filter = BSON_INITIALIZER;
    bson_error_t  error;

    OK(mongoc_collection_delete_many(images, &filter, NULL, NULL, &error));
}


static void
test_events(void)
{
    int               i;
    size_t            len;
    bson_t           *doc;
    u_char            first[NGX_IV_ZONE_TOKEN];
    bson_error_t      error;
    const u_char     *token;
    ngx_iv_stream_t  *stream;

    for (i = 1; i <= 5; i++) {
        change(i);
    }

    stream = ngx_iv_stream_create(mongo, pool->log);
    OK(stream != NULL);
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_OK);

    token = ngx_iv_stream_token(stream, &len);
    OK(token != NULL);
    OK(len > 0 && len < 300);
    memcpy(first, token, len);

    /* nothing yet, and a new one is nothing: the next is that behind it */
    EQ_INT(read_none(stream), NGX_IV_STREAM_OK);
    change(6);
    change(3);
    EQ_INT(read_events(stream, 1), NGX_IV_STREAM_OK);
    EQ_INT(events, 1);
    EQ_INT(last[0], 3);
    EQ_INT(last[11], 3);

    /* another kind of _id: no image */
    doc = BCON_NEW("_id", BCON_UTF8("text"));
    OK(mongoc_collection_insert_one(images, doc, NULL, NULL, &error));
    bson_destroy(doc);

    remove_all();
    EQ_INT(read_events(stream, 6), NGX_IV_STREAM_OK);
    EQ_INT(events, 6);

    ngx_iv_stream_close(stream);

    /* all of it once more, more than one answer holds */
    EQ_INT(ngx_iv_stream_open(stream, first, len), NGX_IV_STREAM_OK);

    for (i = 0; i < 1200; i++) {
        change(7);
    }

    EQ_INT(read_events(stream, 7 + 1199), NGX_IV_STREAM_OK);
    EQ_INT(events, 7 + 1199);
    EQ_INT(last[0], 7);

    token = ngx_iv_stream_token(stream, &len);
    OK(token != NULL);
    memcpy(first, token, len);
    ngx_iv_stream_close(stream);

    /* what happens while nobody listens */
    change(7);
    EQ_INT(ngx_iv_stream_open(stream, first, len), NGX_IV_STREAM_OK);
    EQ_INT(read_events(stream, 1), NGX_IV_STREAM_OK);
    EQ_INT(events, 1);

    ngx_iv_stream_destroy(stream);
}


static void
test_lost(void)
{
    bson_t              *token;
    ngx_uint_t           i;
    ngx_iv_stream_t     *stream;
    ngx_iv_stream_rc_e   rc;

    static const char  *bad[] = {
        "",
        "82",
        "zz"
    };

    stream = ngx_iv_stream_create(mongo, pool->log);
    OK(stream != NULL);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        token = BCON_NEW("_data", BCON_UTF8(bad[i]));

        rc = ngx_iv_stream_open(stream, bson_get_data(token), token->len);

        if (rc == NGX_IV_STREAM_OK) {
            rc = read_events(stream, 1);
        }

        printf("    %s\n", ngx_iv_stream_message(stream));
        EQ_INT(rc, NGX_IV_STREAM_LOST);
        ngx_iv_stream_close(stream);
        bson_destroy(token);
    }

    /* and on without one */
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_OK);
    EQ_INT(read_none(stream), NGX_IV_STREAM_OK);

    ngx_iv_stream_destroy(stream);
}


static void
test_ended(void)
{
    size_t            len;
    u_char            behind[NGX_IV_ZONE_TOKEN];
    bson_error_t      error;
    const u_char     *token;
    ngx_iv_stream_t  *stream;

    stream = ngx_iv_stream_create(mongo, pool->log);
    OK(stream != NULL);
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_OK);
    token = ngx_iv_stream_token(stream, &len);
    memcpy(behind, token, len);

    change(1);
    change(1);
    OK(mongoc_collection_drop(images, &error));

    EQ_INT(read_events(stream, 9), NGX_IV_STREAM_ENDED);
    EQ_INT(events, 1);
    ngx_iv_stream_close(stream);

    /* told as well when nobody listened */
    EQ_INT(ngx_iv_stream_open(stream, behind, len), NGX_IV_STREAM_OK);
    EQ_INT(read_events(stream, 9), NGX_IV_STREAM_ENDED);
    EQ_INT(events, 1);
    ngx_iv_stream_close(stream);

    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_OK);
    change(2);
    change(2);
    EQ_INT(read_events(stream, 1), NGX_IV_STREAM_OK);
    EQ_INT(events, 1);

    ngx_iv_stream_destroy(stream);
}


static void
test_cursor_killed(void)
{
    bson_t           *command, reply;
    bson_error_t      error;
    ngx_iv_stream_t  *stream;

    stream = ngx_iv_stream_create(mongo, pool->log);
    OK(stream != NULL);
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_OK);

    command = BCON_NEW("killAllSessions", "[", "]");
    OK(mongoc_client_command_simple(client, "admin", command, NULL, &reply,
                                    &error));
    bson_destroy(&reply);
    bson_destroy(command);

    EQ_INT(read_events(stream, 1), NGX_IV_STREAM_DOWN);
    ngx_iv_stream_close(stream);
    ngx_iv_stream_destroy(stream);
}


/* nobody there: neither long nor a crash */

static void
test_no_server(void)
{
    const char              *error;
    ngx_iv_mongo_t          *none;
    ngx_iv_stream_t         *stream;
    ngx_iv_metadata_conf_t   conf;

    memset(&conf, 0, sizeof(conf));
    ngx_str_set(&conf.uri, "mongodb://127.0.0.1:1/");
    ngx_str_set(&conf.database, "none");
    conf.timeout = 300;

    none = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(none != NULL);

    stream = ngx_iv_stream_create(none, pool->log);
    OK(stream != NULL);
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_DOWN);
    OK(ngx_iv_stream_message(stream)[0] != '\0');
    ngx_iv_stream_close(stream);
    EQ_INT(ngx_iv_stream_open(stream, NULL, 0), NGX_IV_STREAM_DOWN);
    ngx_iv_stream_destroy(stream);

    iv_fail_alloc_after = 0;
    OK(ngx_iv_stream_create(none, pool->log) == NULL);
    iv_fail_alloc_after = -1;

    ngx_iv_mongo_destroy(none);
}


int
main(void)
{
    bson_error_t             failed;
    const char              *error;
    ngx_iv_metadata_conf_t   conf;

    iv_set_time(1700000000, 0);
    pool = ngx_create_pool(4096, NULL);

    uri = mongo_uri();

    if (uri == NULL) {
        printf("MONGODB_URI is not set: nearly all is skipped\n");
        RUN(test_no_server);
        ngx_destroy_pool(pool);
        return iv_test_done();
    }

    snprintf(database, sizeof(database), "image_vault_unit_%d", (int) getpid());

    memset(&conf, 0, sizeof(conf));
    conf.uri.data = (u_char *) uri;
    conf.uri.len = strlen(uri);
    conf.database.data = (u_char *) database;
    conf.database.len = strlen(database);
    conf.timeout = IV_MONGO_PATIENCE;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    client = mongoc_client_new(uri);
    images = mongoc_client_get_collection(client, database, "images");

    RUN(test_events);
    RUN(test_lost);
    RUN(test_ended);
    RUN(test_cursor_killed);

    (void) mongoc_collection_drop(images, &failed);
    mongoc_collection_destroy(images);
    mongoc_client_destroy(client);

    ngx_iv_mongo_destroy(mongo);
    ngx_destroy_pool(pool);

    return iv_test_done();
}
