/*
 * Tickets for direct uploads, against the server that MONGODB_URI names;
 * without it nothing is tested.
 *
 * sources: src/metadata/ngx_iv_mongo.c src/metadata/ngx_iv_mongo_calls.c
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
#include "metadata/ngx_iv_mongo.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>


#define SIDE  24
#define OPEN  10


static ngx_pool_t       *pool;
static ngx_iv_mongo_t   *mongo;
static char              database[64];
static char             *uri;

static ngx_str_t  ann = ngx_string("ann");
static ngx_str_t  ben = ngx_string("ben");
static ngx_str_t  many = ngx_string("many");
static ngx_str_t  nobody = ngx_null_string;


static void
begin(ngx_iv_mongo_call_t *call, ngx_iv_mongo_kind_e kind, ngx_str_t owner,
    int id)
{
    memset(call, 0, sizeof(*call));

    call->mongo = mongo;
    call->pool = pool;
    call->kind = kind;
    call->owner = owner;
    call->limit = 100;

    memset(call->id, 0x10, NGX_IV_ID_LEN);
    call->id[11] = (u_char) id;
    strcpy((char *) call->why, "gone");
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
simple(ngx_iv_mongo_kind_e kind, ngx_str_t owner, int id)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, kind, owner, id);

    return run(&call);
}


static void
ticket(ngx_iv_mongo_call_t *call, ngx_str_t owner, int id, int64_t life)
{
    begin(call, NGX_IV_MONGO_DIRECT_INSERT, owner, id);

    call->limit = OPEN;
    call->ttl = (ngx_msec_t) life;
    call->document.owner = owner;
    ngx_str_set(&call->document.original_name, "$a.png");
    ngx_str_set(&call->document.filename, "u.png");
    ngx_str_set(&call->document.content_type, "image/png");
    ngx_str_set(&call->document.key, "images/u.png");
    ngx_str_set(&call->document.staging_key, "images/incoming/$x");
    ngx_str_set(&call->document.storage, "main");
    call->document.size = 10;
    memcpy(call->document.id, call->id, NGX_IV_ID_LEN);
}


static ngx_int_t
insert(ngx_str_t owner, int id, int64_t life)
{
    ngx_iv_mongo_call_t  call;

    ticket(&call, owner, id, life);

    return run(&call);
}


static ngx_int_t
claim(ngx_str_t owner, int id, ngx_iv_mongo_call_t *call)
{
    begin(call, NGX_IV_MONGO_DIRECT_CLAIM, owner, id);

    return run(call);
}


static ngx_int_t
ready(ngx_str_t owner, int id)
{
    ngx_iv_mongo_call_t  call;

    ticket(&call, owner, id, 0);
    call.kind = NGX_IV_MONGO_READY;
    call.document.has_checksums = 1;

    return run(&call);
}


static int
sweep(ngx_iv_mongo_kind_e kind, int64_t stale, ngx_iv_mongo_call_t *call)
{
    begin(call, kind, nobody, 0);
    call->ttl = (ngx_msec_t) stale;
    EQ_INT(run(call), NGX_OK);

    return kind == NGX_IV_MONGO_SWEEP_STALE ? (int) call->count
                                            : (int) call->nrefs;
}


static mongoc_collection_t *
collection(mongoc_client_t **client, const char *name)
{
    *client = mongoc_client_new(uri);

    return mongoc_client_get_collection(*client, database, name);
}


/* frees the filter */

static int64_t
count(bson_t *filter)
{
    int64_t               n;
    mongoc_client_t      *client;
    mongoc_collection_t  *c;

    c = collection(&client, "images");
    n = mongoc_collection_count_documents(c, filter, NULL, NULL, NULL, NULL);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);

    return n;
}


static void
test_insert(void)
{
    int                  i;
    ngx_iv_mongo_call_t  call;

    EQ_INT(insert(ann, 1, 60000), NGX_OK);
    EQ_INT(insert(ann, 1, 90000), NGX_OK);

    begin(&call, NGX_IV_MONGO_GET, nobody, 1);
    EQ_INT(run(&call), NGX_OK);
    EQ_STR(call.document.staging_key, "images/incoming/$x");
    EQ_STR(call.document.original_name, "$a.png");
    EQ_INT(call.document.status, NGX_IV_STATUS_UPLOADING);
    EQ_INT(call.document.direct_deadline - call.document.updated_at, 60000);
    EQ_INT(call.document.is_public, 0);

    for (i = 2; i <= OPEN; i++) {
        EQ_INT(insert(ann, i, 60000), NGX_OK);
    }

    EQ_INT(insert(ann, 11, 60000), NGX_IV_RATE_LIMITED);
    EQ_INT(insert(ben, 12, 60000), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, nobody, 2), NGX_OK);
    EQ_INT(insert(ann, 11, 60000), NGX_OK);
}


static void
test_claim(void)
{
    ngx_iv_mongo_call_t  call;

    EQ_INT(claim(ben, 1, &call), NGX_IV_NOT_FOUND);
    EQ_INT(claim(ann, 99, &call), NGX_IV_NOT_FOUND);
    EQ_INT(claim(ann, 2, &call), NGX_IV_NOT_FOUND);

    EQ_INT(claim(ann, 1, &call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_UPLOADING);
    EQ_STR(call.document.staging_key, "images/incoming/$x");
    EQ_INT(claim(ann, 1, &call), NGX_IV_NOT_READY);
    EQ_INT(claim(nobody, 1, &call), NGX_IV_NOT_READY);

    EQ_INT(simple(NGX_IV_MONGO_TOUCH, nobody, 1), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_DIRECT_UNCLAIM, nobody, 1), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_DIRECT_UNCLAIM, nobody, 1), NGX_IV_CONFLICT);
    EQ_INT(claim(nobody, 1, &call), NGX_OK);

    EQ_INT(ready(ann, 1), NGX_OK);
    EQ_INT(claim(ann, 1, &call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_READY);
    EQ_STR(call.document.staging_key, "images/incoming/$x");
    EQ_INT(simple(NGX_IV_MONGO_DIRECT_UNCLAIM, nobody, 1), NGX_IV_CONFLICT);

    EQ_INT(insert(ben, 20, -1000), NGX_OK);
    EQ_INT(claim(ben, 20, &call), NGX_IV_GONE);
}


static void
test_sweep(void)
{
    ngx_iv_mongo_call_t  call;

    /* past its deadline: 20; those with time are not stale, however old */

    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, -1000, &call), 1);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_FIRST, 0, &call), 2);
    EQ_INT(call.refs[1].id[11], 20);
    EQ_STR(call.refs[1].staging_key, "images/incoming/$x");
    OK(call.refs[1].direct_deadline > 0);

    /* one that is being completed lives by its heartbeats */

    EQ_INT(insert(ben, 21, 1000), NGX_OK);
    EQ_INT(claim(ben, 21, &call), NGX_OK);
    usleep(1200 * 1000);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, 60000, &call), 0);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, 100, &call), 1);
    EQ_INT(ready(ben, 21), NGX_IV_CONFLICT);

    /* the second delete waits for the URL's end: 2 has time */

    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, nobody, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, nobody, 20), NGX_OK);
    usleep(20 * 1000);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_SECOND, 10, &call), 1);
    EQ_INT(call.refs[0].id[11], 20);

    /* a completed one keeps its staged object's key until then */

    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 0, &call), 0);
    EQ_INT(insert(ben, 22, 500), NGX_OK);
    EQ_INT(claim(ben, 22, &call), NGX_OK);
    EQ_INT(ready(ben, 22), NGX_OK);
    usleep(600 * 1000);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 60000, &call), 0);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 0, &call), 1);
    EQ_INT(call.refs[0].id[11], 22);
    EQ_STR(call.refs[0].staging_key, "images/incoming/$x");
    EQ_INT(simple(NGX_IV_MONGO_STAGING_DELETED, nobody, 22), NGX_OK);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 0, &call), 0);

    begin(&call, NGX_IV_MONGO_GET, nobody, 22);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.staging_key.len, 0);
    EQ_INT(call.document.direct_deadline, 0);
}


static void *
insert_one(void *data)
{
    ngx_iv_mongo_call_t  call;

    ticket(&call, many, 100 + (int) (intptr_t) data, 60000);
    call.pool = ngx_create_pool(4096, NULL);
    ngx_iv_mongo_run(&call);
    ngx_destroy_pool(call.pool);

    return (void *) (intptr_t) call.code;
}


static void
test_side_by_side(void)
{
    int        i, granted;
    void      *code;
    pthread_t  threads[SIDE];

    for (i = 0; i < SIDE; i++) {
        pthread_create(&threads[i], NULL, insert_one, (void *) (intptr_t) i);
    }

    granted = 0;

    for (i = 0; i < SIDE; i++) {
        pthread_join(threads[i], &code);
        granted += ((intptr_t) code == NGX_OK);
        OK((intptr_t) code == NGX_OK
           || (intptr_t) code == NGX_IV_RATE_LIMITED);
    }

    OK(granted >= 1 && granted <= OPEN + 1);
    EQ_INT(count(BCON_NEW("userId", BCON_UTF8("many"))), granted);
}


static void
drop_database(void)
{
    mongoc_client_t    *client;
    mongoc_database_t  *db;

    client = mongoc_client_new(uri);
    db = mongoc_client_get_database(client, database);
    OK(mongoc_database_drop(db, NULL));
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

    uri = getenv("MONGODB_URI");

    if (uri == NULL || *uri == '\0') {
        printf("MONGODB_URI is not set: calls to a server are skipped\n");
        OK(1);
        ngx_destroy_pool(pool);
        return iv_test_done();
    }

    snprintf(database, sizeof(database), "image_vault_dir_%d", (int) getpid());

    conf.uri.data = (u_char *) uri;
    conf.uri.len = strlen(uri);
    conf.database.data = (u_char *) database;
    conf.database.len = strlen(database);
    conf.timeout = 3000;
    conf.quota = 1;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    if (mongo) {
        EQ_INT(simple(NGX_IV_MONGO_INDEXES, nobody, 0), NGX_OK);
        RUN(test_insert);
        RUN(test_claim);
        RUN(test_sweep);
        RUN(test_side_by_side);
        drop_database();
        ngx_iv_mongo_destroy(mongo);
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}
