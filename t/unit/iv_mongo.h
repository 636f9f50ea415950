/*
 * Calls to the server that MONGODB_URI names, in a database of the test's own.
 */

#ifndef IV_MONGO_H
#define IV_MONGO_H

#include "iv_test.h"
#include "iv_mongo_call.h"

#include <mongoc/mongoc.h>
#include <stdlib.h>
#include <unistd.h>


static ngx_pool_t      *pool;
static ngx_iv_mongo_t  *mongo;
static char             database[64];
static char            *uri;

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
simple(ngx_iv_mongo_kind_e kind, ngx_str_t owner, int id)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, kind, owner, id);

    return run(&call);
}


/* the caller destroys both */

static mongoc_collection_t *
collection(mongoc_client_t **client, const char *name)
{
    *client = mongoc_client_new(uri);

    return mongoc_client_get_collection(*client, database, name);
}


/* frees the filter */

static int64_t
count(const char *name, bson_t *filter)
{
    int64_t               n;
    mongoc_client_t      *client;
    mongoc_collection_t  *c;

    c = collection(&client, name);
    n = mongoc_collection_count_documents(c, filter, NULL, NULL, NULL, NULL);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);

    return n;
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


/* what main() does: the tests with a database of this name and its indexes;
 * without a server there is nothing to test */

static int
with_server(const char *name, void (*tests)(void))
{
    const char              *error;
    ngx_iv_metadata_conf_t   conf;

    iv_set_time(1700000000, 0);
    pool = ngx_create_pool(4096, NULL);

    uri = mongo_uri();

    if (uri == NULL) {
        printf("MONGODB_URI is not set: calls to a server are skipped\n");
        OK(1);
        ngx_destroy_pool(pool);
        return iv_test_done();
    }

    snprintf(database, sizeof(database), "image_vault_%s_%d", name,
             (int) getpid());

    memset(&conf, 0, sizeof(conf));
    conf.uri.data = (u_char *) uri;
    conf.uri.len = strlen(uri);
    conf.database.data = (u_char *) database;
    conf.database.len = strlen(database);
    conf.timeout = IV_MONGO_PATIENCE;
    conf.quota = 1;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    if (mongo) {
        EQ_INT(simple(NGX_IV_MONGO_INDEXES, nobody, 0), NGX_OK);
        tests();
        drop_database();
        ngx_iv_mongo_destroy(mongo);
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}


#endif
