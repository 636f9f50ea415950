/*
 * Tickets for direct uploads, against the server that MONGODB_URI names;
 * without it nothing is tested.
 *
 * sources: src/metadata/ngx_iv_mongo.c src/metadata/ngx_iv_mongo_conf.c
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

#include "iv_mongo.h"

#include <pthread.h>


#define SIDE  24
#define OPEN  10
#define HOUR  3600000
#define AGES  (HOUR * 1000000LL)


static ngx_str_t  ann = ngx_string("ann");
static ngx_str_t  ben = ngx_string("ben");
static ngx_str_t  many = ngx_string("many");


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


/* the ticket's time is over, however slow this machine is */

static void
overdue(int id)
{
    bson_t               *filter, *change;
    bson_oid_t            oid;
    mongoc_client_t      *client;
    ngx_iv_mongo_call_t   call;
    mongoc_collection_t  *c;

    begin(&call, NGX_IV_MONGO_GET, nobody, id);
    bson_oid_init_from_data(&oid, call.id);

    c = collection(&client, "images");
    filter = BCON_NEW("_id", BCON_OID(&oid));
    change = BCON_NEW("$set", "{",
                          "direct.deadline", BCON_DATE_TIME(1700000000000LL),
                      "}");
    OK(mongoc_collection_update_one(c, filter, change, NULL, NULL, NULL));
    bson_destroy(change);
    bson_destroy(filter);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);
}


static void
test_insert(void)
{
    int                  i;
    ngx_iv_mongo_call_t  call;

    EQ_INT(insert(ann, 1, HOUR), NGX_OK);
    EQ_INT(insert(ann, 1, 2 * HOUR), NGX_OK);

    begin(&call, NGX_IV_MONGO_GET, nobody, 1);
    EQ_INT(run(&call), NGX_OK);
    EQ_STR(call.document.staging_key, "images/incoming/$x");
    EQ_STR(call.document.original_name, "$a.png");
    EQ_INT(call.document.status, NGX_IV_STATUS_UPLOADING);
    EQ_INT(call.document.direct_deadline - call.document.updated_at, HOUR);
    EQ_INT(call.document.is_public, 0);

    for (i = 2; i <= OPEN; i++) {
        EQ_INT(insert(ann, i, 2 * HOUR), NGX_OK);
    }

    EQ_INT(insert(ann, 11, 2 * HOUR), NGX_IV_RATE_LIMITED);
    EQ_INT(insert(ben, 12, 2 * HOUR), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, nobody, 2), NGX_OK);
    EQ_INT(insert(ann, 11, 2 * HOUR), NGX_OK);
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

    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, -HOUR, &call), 1);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_FIRST, 0, &call), 2);
    EQ_INT(call.refs[1].id[11], 20);
    EQ_STR(call.refs[1].staging_key, "images/incoming/$x");
    OK(call.refs[1].direct_deadline > 0);

    /* one that is being completed lives by its heartbeats */

    EQ_INT(insert(ben, 21, HOUR), NGX_OK);
    EQ_INT(claim(ben, 21, &call), NGX_OK);
    overdue(21);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, HOUR, &call), 0);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STALE, -HOUR, &call), 1);
    EQ_INT(ready(ben, 21), NGX_IV_CONFLICT);

    /* the second delete waits for the URL's end: 2 has time */

    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, nobody, 2), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_OBJECT_DELETED, nobody, 20), NGX_OK);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_SECOND, HOUR, &call), 0);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_SECOND, -HOUR, &call), 1);
    EQ_INT(call.refs[0].id[11], 20);

    /* a completed one keeps its staged object's key until then */

    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 0, &call), 0);
    EQ_INT(insert(ben, 22, HOUR), NGX_OK);
    EQ_INT(claim(ben, 22, &call), NGX_OK);
    EQ_INT(ready(ben, 22), NGX_OK);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, 0, &call), 0);
    overdue(22);
    EQ_INT(sweep(NGX_IV_MONGO_SWEEP_STAGING, AGES, &call), 0);
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

    ticket(&call, many, 100 + (int) (intptr_t) data, HOUR);
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
    EQ_INT(count("images", BCON_NEW("userId", BCON_UTF8("many"))), granted);
}


static void
tests(void)
{
    RUN(test_insert);
    RUN(test_claim);
    RUN(test_sweep);
    RUN(test_side_by_side);
}


int
main(void)
{
    return with_server("dir", tests);
}
