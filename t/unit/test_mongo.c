/*
 * The calls to MongoDB, against the server (a replica set) that MONGODB_URI
 * names, in a database of its own; without MONGODB_URI only what needs none.
 *
 * sources: src/metadata/ngx_iv_mongo.c src/metadata/ngx_iv_mongo_calls.c
 *     src/metadata/ngx_iv_query.c
 *     src/metadata/ngx_iv_document.c src/metadata/ngx_iv_document_parse.c
 *     src/base/ngx_iv_str.c
 *
 * libs: `pkg-config --libs mongoc2 2>/dev/null
 *     || pkg-config --libs libmongoc-1.0` -lcrypto -lpthread
 */

#include "iv_test.h"
#include "metadata/ngx_iv_mongo.h"

#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>


static ngx_pool_t       *pool;
static ngx_iv_mongo_t   *mongo;
static char              database[64];
static char             *uri;


static void
begin(ngx_iv_mongo_call_t *call, ngx_iv_mongo_kind_e kind, int id)
{
    memset(call, 0, sizeof(*call));

    call->mongo = mongo;
    call->pool = pool;
    call->kind = kind;

    memset(call->id, 0x10 + id, NGX_IV_ID_LEN);

    ngx_str_set(&call->document.owner, "alice");
    ngx_str_set(&call->document.original_name, "a.png");
    ngx_str_set(&call->document.filename, "u.png");
    ngx_str_set(&call->document.content_type, "image/png");
    ngx_str_set(&call->document.uploaded_from, "127.0.0.1");
    ngx_str_set(&call->document.key, "images/u.png");
    ngx_str_set(&call->document.storage, "main");

    call->document.size = 10;
    call->document.uploaded_at = 1700000000000LL;
    memcpy(call->document.id, call->id, NGX_IV_ID_LEN);
    strcpy((char *) call->why, "broken");
    call->limit = 100;
}


static ngx_int_t
run(ngx_iv_mongo_call_t *call)
{
    ngx_iv_mongo_run(call);

    if (call->message[0]) {
        printf("    %s: %s\n", ngx_iv_mongo_name(call->kind), call->message);
    }

    return call->code;
}


static ngx_int_t
simple(ngx_iv_mongo_kind_e kind, int id)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, kind, id);

    return run(&call);
}


static ngx_int_t
ready(int id, int sum)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_READY, id);

    call.document.size = 11;
    call.document.width = 3;
    call.document.height = 4;
    call.document.has_checksums = 1;
    memset(call.document.md5, sum, NGX_IV_MD5_LEN);
    memset(call.document.sha256, sum, NGX_IV_SHA256_LEN);
    ngx_str_set(&call.document.etag, "etag");

    return run(&call);
}


static void
test_uri(void)
{
    ngx_str_t    db;
    ngx_uint_t   i;
    const char  *error;

    static ngx_str_t  bad[] = {
        ngx_string(""),
        ngx_string("http://x/y"),
        ngx_string("mongodb://"),
        ngx_string("mongodb://u:cret@@h/db"),
        ngx_string("mongodb://u:cret%zz@h/db")
    };

    static ngx_str_t  good = ngx_string("mongodb://u:p%40ss@h1,h2:27018/pics"
                                        "?replicaSet=rs0");
    static ngx_str_t  bare = ngx_string("mongodb://127.0.0.1:27017");

    EQ_INT(ngx_iv_mongo_check_uri(pool, &good, &db) == NULL, 1);
    EQ_STR(db, "pics");
    EQ_INT(ngx_iv_mongo_check_uri(pool, &bare, &db) == NULL, 1);
    EQ_INT(db.len, 0);

    for (i = 0; i < 5; i++) {
        error = ngx_iv_mongo_check_uri(pool, &bad[i], &db);
        OK(error != NULL);
        OK(error == NULL || strstr(error, "cret") == NULL);
    }
}


static void
test_indexes(void)
{
    EQ_INT(simple(NGX_IV_MONGO_INDEXES, 0), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_INDEXES, 0), NGX_OK);
}


static void
test_upload(void)
{
    ngx_iv_mongo_call_t  call;

    EQ_INT(simple(NGX_IV_MONGO_GET, 1), NGX_IV_NOT_FOUND);
    EQ_INT(simple(NGX_IV_MONGO_TOUCH, 1), NGX_IV_CONFLICT);
    EQ_INT(ready(1, 1), NGX_IV_NOT_FOUND);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 1), NGX_IV_NOT_FOUND);

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 1), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_INSERT, 1), NGX_OK);

    begin(&call, NGX_IV_MONGO_GET, 1);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_UPLOADING);
    EQ_STR(call.document.owner, "alice");
    EQ_INT(call.document.has_checksums, 0);
    OK(call.document.updated_at > 1700000000000LL);

    EQ_INT(simple(NGX_IV_MONGO_TOUCH, 1), NGX_OK);
    EQ_INT(ready(1, 7), NGX_OK);

    /* a repeated insert must not bring it back to uploading */

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 1), NGX_OK);

    begin(&call, NGX_IV_MONGO_GET, 1);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_READY);
    EQ_INT(call.document.size, 11);
    EQ_INT(call.document.width, 3);
    EQ_INT(call.document.has_checksums, 1);
    EQ_STR(call.document.etag, "etag");

    EQ_INT(ready(1, 7), NGX_OK);
    EQ_INT(ready(1, 8), NGX_IV_CONFLICT);
    EQ_INT(simple(NGX_IV_MONGO_TOUCH, 1), NGX_IV_CONFLICT);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 1), NGX_IV_CONFLICT);
    EQ_INT(simple(NGX_IV_MONGO_REMOVE, 1), NGX_IV_CONFLICT);
}


static void
test_fail_and_deletes(void)
{
    ngx_iv_mongo_call_t  call;

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 2), NGX_OK);
    EQ_INT(ready(2, 1), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_GET, 2);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_ERROR);
    EQ_STR(call.document.error, "broken");
    OK(call.document.deleted_at != 0);

    EQ_INT(simple(NGX_IV_MONGO_REMOVE, 2), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_SWEEP_FIRST, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 1);
    EQ_STR(call.refs[0].key, "images/u.png");
    EQ_STR(call.refs[0].storage, "main");
    OK(call.refs[0].deleted_at != 0);

    begin(&call, NGX_IV_MONGO_SWEEP_SECOND, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);

    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, 2), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_SWEEP_FIRST, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);

    begin(&call, NGX_IV_MONGO_SWEEP_SECOND, 0);
    call.ttl = 60000;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);

    usleep(20000);

    begin(&call, NGX_IV_MONGO_SWEEP_SECOND, 0);
    call.ttl = 10;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 1);

    EQ_INT(simple(NGX_IV_MONGO_REMOVE, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_GET, 2), NGX_IV_NOT_FOUND);
}


static void
test_stale_and_pages(void)
{
    int                     i, seen;
    ngx_iv_mongo_call_t     call;
    ngx_iv_metadata_ref_t   last;

    for (i = 3; i < 8; i++) {
        EQ_INT(simple(NGX_IV_MONGO_INSERT, i), NGX_OK);
    }

    begin(&call, NGX_IV_MONGO_SWEEP_STALE, 0);
    call.ttl = 60000;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);

    usleep(20000);

    begin(&call, NGX_IV_MONGO_SWEEP_STALE, 0);
    call.ttl = 10;
    call.limit = 3;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 3);

    begin(&call, NGX_IV_MONGO_SWEEP_STALE, 0);
    call.ttl = 10;
    call.limit = 3;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);

    memset(&last, 0, sizeof(last));

    for (seen = 0, i = 0; i < 6; i++) {
        begin(&call, NGX_IV_MONGO_SWEEP_FIRST, 0);
        call.limit = 1;
        call.after = last.deleted_at;
        memcpy(call.after_id, last.id, NGX_IV_ID_LEN);
        EQ_INT(run(&call), NGX_OK);

        if (call.nrefs == 0) {
            break;
        }

        last = call.refs[0];
        seen++;
    }

    EQ_INT(seen, 5);
}


static ngx_int_t
lease(const char *holder, ngx_msec_t ttl, int64_t *fence)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_LEASE, 0);
    call.holder.data = (u_char *) holder;
    call.holder.len = strlen(holder);
    call.ttl = ttl;

    EQ_INT(run(&call), NGX_OK);
    *fence = call.fence;

    return call.count;
}


static void
test_lease(void)
{
    int64_t              fence;
    ngx_iv_mongo_call_t  call;

    EQ_INT(lease("a:1", 60000, &fence), 1);
    EQ_INT(fence, 1);
    EQ_INT(lease("b:2", 60000, &fence), 0);
    EQ_INT(lease("a:1", 60000, &fence), 1);
    EQ_INT(fence, 1);

    usleep(20000);

    EQ_INT(lease("b:2", 10, &fence), 1);
    EQ_INT(fence, 2);
    EQ_INT(lease("a:1", 60000, &fence), 0);

    begin(&call, NGX_IV_MONGO_LEASE_RELEASE, 0);
    ngx_str_set(&call.holder, "a:1");
    EQ_INT(run(&call), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_LEASE_RELEASE, 0);
    ngx_str_set(&call.holder, "b:2");
    EQ_INT(run(&call), NGX_OK);

    EQ_INT(lease("a:1", 60000, &fence), 1);
    EQ_INT(fence, 3);
}


/* in a process of its own: the driver is set up once in a process */

static void
test_no_server(void)
{
    int                      status;
    pid_t                    pid;
    const char              *error;
    ngx_iv_mongo_call_t      call;
    ngx_iv_metadata_conf_t   conf;

    fflush(NULL);
    pid = fork();

    if (pid > 0) {
        OK(waitpid(pid, &status, 0) == pid);
        EQ_INT(status, 0);
        return;
    }

    iv_failed = 0;

    ngx_str_set(&conf.uri, "mongodb://secret:secret@127.0.0.1:1/x");
    ngx_str_set(&conf.database, "x");
    conf.timeout = 500;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    begin(&call, NGX_IV_MONGO_INSERT, 1);
    EQ_INT(run(&call), NGX_IV_METADATA_UNAVAILABLE);
    EQ_INT(call.down, 1);
    EQ_INT(call.unknown, 0);
    OK(strstr((char *) call.message, "secret") == NULL);

    ngx_iv_mongo_destroy(mongo);
    ngx_destroy_pool(pool);
    fflush(NULL);
    _exit(iv_failed != 0);
}


static void
drop_database(void)
{
    mongoc_client_t    *client;
    mongoc_database_t  *db;

    client = mongoc_client_new(uri);
    db = mongoc_client_get_database(client, database);
    OK(mongoc_database_drop_with_opts(db, NULL, NULL));
    mongoc_database_destroy(db);
    mongoc_client_destroy(client);
}


int
main(void)
{
    const char              *error;
    ngx_iv_metadata_conf_t   conf;

    iv_set_time(1700000000, 0);
    pool = ngx_create_pool(4096, NULL);

    RUN(test_uri);
    RUN(test_no_server);

    uri = getenv("MONGODB_URI");

    if (uri == NULL || *uri == '\0') {
        printf("MONGODB_URI is not set: calls to a server are skipped\n");
        ngx_destroy_pool(pool);
        return iv_test_done();
    }

    snprintf(database, sizeof(database), "image_vault_unit_%d", (int) getpid());

    conf.uri.data = (u_char *) uri;
    conf.uri.len = strlen(uri);
    conf.database.data = (u_char *) database;
    conf.database.len = strlen(database);
    conf.timeout = 3000;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    if (mongo) {
        RUN(test_indexes);
        RUN(test_upload);
        RUN(test_fail_and_deletes);
        RUN(test_stale_and_pages);
        RUN(test_lease);
        drop_database();
        ngx_iv_mongo_destroy(mongo);
        mongo = NULL;
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}
