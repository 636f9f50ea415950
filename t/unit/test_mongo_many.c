/*
 * Several writes of uploads as one command, against the server (a replica set)
 * that MONGODB_URI names; without it only what needs none.
 *
 * sources: src/metadata/ngx_iv_mongo.c src/metadata/ngx_iv_mongo_conf.c
 *     src/metadata/ngx_iv_mongo_calls.c
 *     src/metadata/ngx_iv_mongo_many.c
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

#include "iv_mongo_call.h"

#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>


static ngx_pool_t           *pool;
static ngx_iv_mongo_t       *mongo;
static char                  database[64];
static char                 *uri;
static ngx_iv_mongo_call_t   calls[NGX_IV_MONGO_MANY];
static char                  keys[NGX_IV_MONGO_MANY][16];


/* the i-th of many, for the image with this number */

static ngx_iv_mongo_call_t *
set(int i, ngx_iv_mongo_kind_e kind, int id)
{
    ngx_iv_document_t    *doc;
    ngx_iv_mongo_call_t  *call;

    call = &calls[i];
    memset(call, 0, sizeof(*call));

    call->mongo = mongo;
    call->pool = pool;
    call->kind = kind;

    memset(call->id, 0x10, NGX_IV_ID_LEN);
    call->id[10] = (u_char) (id >> 8);
    call->id[11] = (u_char) id;

    /* what an outcome must not be taken from */

    call->code = NGX_IV_GONE;
    call->count = 7;
    strcpy((char *) call->message, "old");

    doc = &call->document;

    memcpy(doc->id, call->id, NGX_IV_ID_LEN);
    ngx_str_set(&doc->owner, "alice");
    ngx_str_set(&doc->original_name, "a.png");
    ngx_str_set(&doc->filename, "u.png");
    ngx_str_set(&doc->content_type, "image/png");
    ngx_str_set(&doc->uploaded_from, "127.0.0.1");
    ngx_str_set(&doc->storage, "main");
    ngx_str_set(&doc->etag, "etag");

    doc->key.data = (u_char *) keys[i];
    doc->key.len = (size_t) snprintf(keys[i], sizeof(keys[i]), "images/%d",
                                     id);
    doc->size = 100 + id;
    doc->uploaded_at = 1700000000000LL;
    doc->has_checksums = 1;
    memset(doc->md5, id, NGX_IV_MD5_LEN);
    memset(doc->sha256, id, NGX_IV_SHA256_LEN);

    return call;
}


static void
many(int n)
{
    int                   i;
    ngx_iv_mongo_call_t  *list[NGX_IV_MONGO_MANY];

    for (i = 0; i < n; i++) {
        list[i] = &calls[i];
    }

    ngx_iv_mongo_run_many(list, (ngx_uint_t) n);
}


static ngx_int_t
again(int i)
{
    OK(calls[i].alone);

    ngx_iv_mongo_run(&calls[i]);

    return calls[i].code;
}


static void
settled(int i)
{
    EQ_INT(calls[i].code, NGX_OK);
    EQ_INT(calls[i].alone, 0);
    EQ_INT(calls[i].count, 1);
    EQ_INT(calls[i].unknown, 0);
    EQ_INT(calls[i].message[0], 0);
}


/* -1: there is none */

static int
status(int id)
{
    ngx_iv_mongo_call_t  call;

    call = *set(0, NGX_IV_MONGO_GET, id);

    ngx_iv_mongo_run(&call);

    if (call.code == NGX_IV_NOT_FOUND) {
        return -1;
    }

    EQ_INT(call.code, NGX_OK);
    EQ_INT(call.document.size, 100 + id);
    OK(call.document.updated_at > 1700000000000LL);

    return (int) call.document.status;
}


static void
test_all_well(void)
{
    int  i;

    for (i = 0; i < NGX_IV_MONGO_MANY; i++) {
        set(i, NGX_IV_MONGO_INSERT, i);
    }

    many(NGX_IV_MONGO_MANY);

    for (i = 0; i < NGX_IV_MONGO_MANY; i++) {
        settled(i);
    }

    EQ_INT(status(0), NGX_IV_STATUS_UPLOADING);
    EQ_INT(status(63), NGX_IV_STATUS_UPLOADING);

    /* both kinds; a repeated insert changes nothing */

    set(0, NGX_IV_MONGO_READY, 0);
    set(1, NGX_IV_MONGO_INSERT, 100);
    set(2, NGX_IV_MONGO_READY, 2);
    set(3, NGX_IV_MONGO_INSERT, 3);

    many(4);

    for (i = 0; i < 4; i++) {
        settled(i);
    }

    EQ_INT(status(0), NGX_IV_STATUS_READY);
    EQ_INT(status(100), NGX_IV_STATUS_UPLOADING);
    EQ_INT(status(2), NGX_IV_STATUS_READY);
    EQ_INT(status(3), NGX_IV_STATUS_UPLOADING);
}


/* of those that matched nothing the server does not say which they are */

static void
test_not_uploading(void)
{
    set(0, NGX_IV_MONGO_READY, 4);
    set(1, NGX_IV_MONGO_READY, 200);
    set(2, NGX_IV_MONGO_INSERT, 201);
    set(3, NGX_IV_MONGO_READY, 2);
    set(4, NGX_IV_MONGO_READY, 0)->document.sha256[0] = 0xee;

    many(5);

    EQ_INT(again(0), NGX_OK);
    EQ_INT(again(1), NGX_IV_NOT_FOUND);
    EQ_INT(again(2), NGX_OK);
    EQ_INT(again(3), NGX_OK);
    EQ_INT(again(4), NGX_IV_CONFLICT);

    EQ_INT(status(4), NGX_IV_STATUS_READY);
    EQ_INT(status(200), -1);
    EQ_INT(status(201), NGX_IV_STATUS_UPLOADING);
}


static void
command(bson_t *b)
{
    bson_error_t      error;
    mongoc_client_t  *client;

    client = mongoc_client_new(uri);
    OK(mongoc_client_command_simple(client, database, b, NULL, NULL, &error));
    mongoc_client_destroy(client);
    bson_destroy(b);
}


static void
test_one_refused(void)
{
    int  i;

    command(BCON_NEW("createIndexes", "images", "indexes", "[", "{",
                         "key", "{", "r2Key", BCON_INT32(1), "}",
                         "name", "r2Key_1", "unique", BCON_BOOL(true),
                     "}", "]"));

    for (i = 0; i < 6; i++) {
        set(i, NGX_IV_MONGO_INSERT, 300 + i);
    }

    set(5, NGX_IV_MONGO_READY, 5);
    calls[2].document.key = calls[1].document.key;

    many(6);

    for (i = 0; i < 6; i++) {
        if (i != 2) {
            settled(i);
        }
    }

    EQ_INT(again(2), NGX_IV_INTERNAL);
    OK(strstr((char *) calls[2].message, "E11000") != NULL);

    EQ_INT(status(301), NGX_IV_STATUS_UPLOADING);
    EQ_INT(status(302), -1);
    EQ_INT(status(304), NGX_IV_STATUS_UPLOADING);
    EQ_INT(status(5), NGX_IV_STATUS_READY);

    command(BCON_NEW("dropIndexes", "images", "index", "r2Key_1"));
}


/* what no command can hold is left out, and the others keep their places */

static void
test_not_bson(void)
{
    set(0, NGX_IV_MONGO_INSERT, 400);
    set(1, NGX_IV_MONGO_INSERT, 401);
    set(2, NGX_IV_MONGO_INSERT, 402);

    ngx_str_set(&calls[0].document.key, "images/\xff");

    many(3);

    EQ_INT(again(0), NGX_IV_INTERNAL);
    settled(1);
    settled(2);
    EQ_INT(status(400), -1);
    EQ_INT(status(402), NGX_IV_STATUS_UPLOADING);
}


static void
create(char *where, char *name, ngx_msec_t timeout)
{
    const char              *error;
    ngx_iv_metadata_conf_t   conf;

    conf.uri.data = (u_char *) where;
    conf.uri.len = strlen(where);
    conf.database.data = (u_char *) name;
    conf.database.len = strlen(name);
    conf.timeout = timeout;
    conf.quota = 0;
    conf.audit = 0;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);
}


/* in a process of its own: a store's end is that of the driver */

static void
apart(void (*test)(void))
{
    int    result;
    pid_t  pid;

    fflush(NULL);
    pid = fork();

    if (pid > 0) {
        OK(waitpid(pid, &result, 0) == pid);
        EQ_INT(result, 0);
        return;
    }

    iv_failed = 0;

    test();

    ngx_iv_mongo_destroy(mongo);
    ngx_destroy_pool(pool);
    fflush(NULL);
    _exit(iv_failed != 0);
}


static void
no_server(void)
{
    int  i;

    create("mongodb://secret:secret@127.0.0.1:1/x", "x", 500);

    set(0, NGX_IV_MONGO_INSERT, 1);
    set(1, NGX_IV_MONGO_INSERT, 2);
    set(2, NGX_IV_MONGO_READY, 3);

    many(3);

    for (i = 0; i < 3; i++) {
        EQ_INT(calls[i].code, NGX_IV_METADATA_UNAVAILABLE);
        EQ_INT(calls[i].down, 1);
        EQ_INT(calls[i].unknown, 0);
        EQ_INT(calls[i].unsure, 0);
        OK(strstr((char *) calls[i].message, "secret") == NULL);
    }

    /* an election may be over in time for a change to ready */

    EQ_INT(calls[0].alone, 0);
    EQ_INT(calls[1].alone, 0);
    EQ_INT(calls[2].alone, 1);

    /* what may have been applied stays so, whatever is said later */

    for (i = 0; i < 3; i += 2) {
        calls[i].unsure = 1;
        ngx_iv_mongo_run(&calls[i]);
        EQ_INT(calls[i].code, NGX_IV_METADATA_UNAVAILABLE);
        EQ_INT(calls[i].unknown, 1);
    }
}


static void
test_no_server(void)
{
    apart(no_server);
}


/* a name that the server refuses: the command as a whole fails */

static void
no_database(void)
{
    create(uri, "no space", 3000);

    set(0, NGX_IV_MONGO_INSERT, 500);
    set(1, NGX_IV_MONGO_READY, 501);

    many(2);

    EQ_INT(again(0), NGX_IV_INTERNAL);
    EQ_INT(again(1), NGX_IV_INTERNAL);
}


static void
test_no_database(void)
{
    apart(no_database);
}


int
main(void)
{
    iv_set_time(1700000000, 0);
    pool = ngx_create_pool(4096, NULL);

    RUN(test_no_server);

    uri = mongo_uri();

    if (uri == NULL) {
        printf("MONGODB_URI is not set: calls to a server are skipped\n");
        ngx_destroy_pool(pool);
        return iv_test_done();
    }

    RUN(test_no_database);

    snprintf(database, sizeof(database), "image_vault_unit_many_%d",
             (int) getpid());

    create(uri, database, IV_MONGO_PATIENCE);

    if (mongo) {
        RUN(test_all_well);
        RUN(test_not_uploading);
        RUN(test_one_refused);
        RUN(test_not_bson);
        command(BCON_NEW("dropDatabase", BCON_INT32(1)));
        ngx_iv_mongo_destroy(mongo);
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}
