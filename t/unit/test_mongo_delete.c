/*
 * Deletes and expiries, and what they give back of an owner's quota, against
 * the server that MONGODB_URI names; without it nothing is tested.
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


#define SIDE    8
#define IMAGES  40


static ngx_str_t  ann = ngx_string("ann");
static ngx_str_t  ben = ngx_string("ben");
static ngx_str_t  cleo = ngx_string("cleo");
static ngx_str_t  dora = ngx_string("dora");
static ngx_str_t  eve = ngx_string("eve");


static ngx_int_t
reserve(ngx_str_t owner, int id, int64_t n)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_QUOTA_RESERVE, owner, id);
    call.size = n;
    call.quota.mode = NGX_IV_QUOTA_SIZE;
    call.quota.limit = 1000000;

    return run(&call);
}


static void
describe(ngx_iv_document_t *doc, ngx_str_t owner, ngx_iv_mongo_call_t *call,
    int64_t n)
{
    doc->owner = owner;
    ngx_str_set(&doc->original_name, "a.png");
    ngx_str_set(&doc->filename, "u.png");
    ngx_str_set(&doc->content_type, "image/png");
    ngx_str_set(&doc->key, "images/u.png");
    ngx_str_set(&doc->storage, "main");
    ngx_str_set(&doc->etag, "etag");
    doc->size = n;
    doc->has_checksums = 1;
    memcpy(doc->id, call->id, NGX_IV_ID_LEN);
}


/* an image of n bytes; counted: by a reservation that is settled */

static void
make(ngx_str_t owner, int id, int64_t n, int counted, int64_t expires)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_INSERT, owner, id);
    describe(&call.document, owner, &call, n);
    EQ_INT(run(&call), NGX_OK);

    if (counted) {
        EQ_INT(reserve(owner, id, n), NGX_OK);
    }

    begin(&call, NGX_IV_MONGO_READY, owner, id);
    describe(&call.document, owner, &call, n);
    call.document.expires_at = expires;
    EQ_INT(run(&call), NGX_OK);

    if (counted == 1) {
        EQ_INT(simple(NGX_IV_MONGO_QUOTA_SETTLE, owner, id), NGX_OK);
    }
}


static int64_t
now(void)
{
    return (int64_t) time(NULL) * 1000;
}


/* frees both */

static void
update(const char *name, bson_t *filter, bson_t *change)
{
    mongoc_client_t      *client;
    mongoc_collection_t  *c;

    c = collection(&client, name);
    OK(mongoc_collection_update_one(c, filter, change, NULL, NULL, NULL));
    bson_destroy(filter);
    bson_destroy(change);
    mongoc_collection_destroy(c);
    mongoc_client_destroy(client);
}


/* 1: the owner's `used` is n and nothing is pending */

static int64_t
used(ngx_str_t owner, int64_t n)
{
    return count("users", BCON_NEW("_id", BCON_UTF8((char *) owner.data),
                                   "storageQuota.used", BCON_INT64(n),
                                   "storageQuota.pending",
                                   "{", "$exists", BCON_BOOL(false), "}"));
}


static void
oid_of(int id, bson_oid_t *oid)
{
    memset(oid->bytes, 0x10, 12);
    oid->bytes[11] = (u_char) id;
}


static bson_t *
image(int id)
{
    bson_oid_t  oid;

    oid_of(id, &oid);

    return BCON_NEW("_id", BCON_OID(&oid));
}


/* as a delete that was killed has left it */

static void
note(ngx_str_t owner, int id, int64_t n, int intent, int64_t at)
{
    char        name[64], hex[25];
    bson_oid_t  oid;

    oid_of(id, &oid);
    bson_oid_to_string(&oid, hex);
    snprintf(name, sizeof(name), "storageQuota.pending.%s", hex);

    oid_of(intent, &oid);

    update("users", BCON_NEW("_id", BCON_UTF8((char *) owner.data)),
           BCON_NEW("$set", "{", name, "{",
                        "release", BCON_INT64(n), "intent", BCON_OID(&oid),
                        "at", BCON_DATE_TIME(at),
                    "}", "}"));
}


static void
mark(int id, int intent)
{
    bson_oid_t  oid;

    oid_of(intent, &oid);

    update("images", image(id),
           BCON_NEW("$set", "{",
                        "status", BCON_UTF8("error"),
                        "deletedAt", BCON_DATE_TIME(now()),
                        "deletion.id", BCON_OID(&oid),
                    "}"));
}


static ngx_uint_t
sweep(ngx_msec_t stale)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, nobody, 0);
    call.ttl = stale;
    EQ_INT(run(&call), NGX_OK);

    return call.count;
}


static void
test_delete(void)
{
    ngx_iv_mongo_call_t  call;

    make(ann, 1, 10, 1, 0);
    make(ann, 2, 20, 1, 0);
    EQ_INT(used(ann, 30), 1);

    EQ_INT(simple(NGX_IV_MONGO_DELETE, ben, 1), NGX_IV_NOT_FOUND);
    EQ_INT(simple(NGX_IV_MONGO_DELETE, ann, 99), NGX_IV_NOT_FOUND);
    EQ_INT(used(ann, 30), 1);

    begin(&call, NGX_IV_MONGO_DELETE, ann, 1);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 1);
    EQ_STR(call.refs[0].key, "images/u.png");
    EQ_STR(call.refs[0].owner, "ann");
    EQ_INT(used(ann, 20), 1);
    EQ_INT(count("images", BCON_NEW("status", BCON_UTF8("error"),
                                    "error", BCON_UTF8("gone"),
                                    "deletedAt", "{", "$type",
                                    BCON_UTF8("date"), "}")), 1);

    EQ_INT(simple(NGX_IV_MONGO_DELETE, ann, 1), NGX_IV_NOT_FOUND);
    EQ_INT(used(ann, 20), 1);

    /* an admin's; and the sweep's release finds nothing to do */

    EQ_INT(simple(NGX_IV_MONGO_DELETE, nobody, 2), NGX_OK);
    EQ_INT(used(ann, 0), 1);
    EQ_INT(simple(NGX_IV_MONGO_QUOTA_RELEASE, ann, 2), NGX_OK);
    EQ_INT(used(ann, 0), 1);
}


static int64_t
version(ngx_str_t owner, int id)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_GET, owner, id);
    EQ_INT(run(&call), NGX_OK);

    return call.document.updated_at;
}


/* only as it was seen: what has changed since stays, and so do its bytes */

static void
test_version(void)
{
    int64_t              seen;
    ngx_iv_mongo_call_t  call;

    make(eve, 40, 10, 1, 0);
    seen = version(eve, 40);

    begin(&call, NGX_IV_MONGO_DELETE, eve, 40);
    call.version = seen - 1;
    EQ_INT(run(&call), NGX_IV_PRECONDITION_FAILED);
    EQ_INT(call.nrefs, 0);
    EQ_INT(call.unknown, 0);
    EQ_INT(version(eve, 40), seen);
    EQ_INT(used(eve, 10), 1);
    EQ_INT(count("images", BCON_NEW("userId", BCON_UTF8("eve"),
                                    "status", BCON_UTF8("ready"),
                                    "deletion.cancelled.0", "{", "$exists",
                                    BCON_BOOL(true), "}")), 1);

    begin(&call, NGX_IV_MONGO_DELETE, ben, 40);
    call.version = seen - 1;
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);

    begin(&call, NGX_IV_MONGO_DELETE, eve, 40);
    call.version = seen;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 1);
    EQ_INT(used(eve, 0), 1);

    /* one that is gone has no version */

    begin(&call, NGX_IV_MONGO_DELETE, eve, 40);
    call.version = seen;
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);

    /* one that is on its way has one, and no note */

    begin(&call, NGX_IV_MONGO_INSERT, eve, 41);
    describe(&call.document, eve, &call, 7);
    EQ_INT(run(&call), NGX_OK);

    begin(&call, NGX_IV_MONGO_DELETE, eve, 41);
    call.version = 1;
    EQ_INT(run(&call), NGX_IV_PRECONDITION_FAILED);
    call.version = version(eve, 41);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(used(eve, 0), 1);
}


/* whose bytes are not counted is not touched */

static void
test_uncounted(void)
{
    make(nobody.len ? nobody : dora, 3, 10, 0, 0);
    EQ_INT(simple(NGX_IV_MONGO_DELETE, dora, 3), NGX_OK);
    EQ_INT(count("users", BCON_NEW("_id", BCON_UTF8("dora"))), 0);
}


static void
test_before_settlement(void)
{
    ngx_iv_mongo_call_t  call;

    make(ben, 10, 10, 1, 0);
    make(ben, 11, 15, 2, 0);
    EQ_INT(simple(NGX_IV_MONGO_DELETE, ben, 11), NGX_OK);
    EQ_INT(used(ben, 10), 1);

    begin(&call, NGX_IV_MONGO_QUOTA_SETTLE, ben, 11);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);
    EQ_INT(used(ben, 10), 1);

    /* noted, but not marked: a settlement must leave the note alone */

    make(ben, 12, 5, 2, 0);
    note(ben, 12, 5, 200, now());
    begin(&call, NGX_IV_MONGO_QUOTA_SETTLE, ben, 12);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);
    EQ_INT(simple(NGX_IV_MONGO_DELETE, ben, 12), NGX_OK);
    EQ_INT(used(ben, 10), 1);

    /* what is uploading keeps its number for its upload, or the sweep */

    begin(&call, NGX_IV_MONGO_INSERT, ben, 13);
    describe(&call.document, ben, &call, 7);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(reserve(ben, 13, 7), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_DELETE, ben, 13), NGX_OK);
    EQ_INT(used(ben, 10), 0);
    EQ_INT(simple(NGX_IV_MONGO_QUOTA_RELEASE, ben, 13), NGX_OK);
    EQ_INT(used(ben, 10), 1);
}


static void
test_crashes(void)
{
    bson_oid_t           oid;
    ngx_iv_mongo_call_t  call;

    /* noted only: young, then old; the image is told */

    make(cleo, 20, 10, 1, 0);
    note(cleo, 20, 10, 201, now());
    EQ_INT(sweep(60000), 0);
    note(cleo, 20, 10, 201, now() - 120000);
    EQ_INT(sweep(60000), 1);
    EQ_INT(used(cleo, 10), 1);
    EQ_INT(count("images", BCON_NEW("deletion.cancelled", "{", "$exists",
                                    BCON_BOOL(true), "}")), 1);

    /* cancelled, but the note is still there: the next delete makes its own */

    note(cleo, 20, 10, 201, now());
    EQ_INT(simple(NGX_IV_MONGO_DELETE, cleo, 20), NGX_OK);
    EQ_INT(used(cleo, 0), 1);
    oid_of(201, &oid);
    EQ_INT(count("images", BCON_NEW("deletion.id", BCON_OID(&oid))), 0);

    /* marked, not given: by the sweep of entries, by that of images */

    make(cleo, 21, 10, 1, 0);
    note(cleo, 21, 10, 202, now());
    mark(21, 202);
    EQ_INT(sweep(60000), 1);
    EQ_INT(used(cleo, 0), 1);

    make(cleo, 22, 10, 1, 0);
    note(cleo, 22, 10, 203, now());
    mark(22, 203);
    begin(&call, NGX_IV_MONGO_QUOTA_RELEASE, cleo, 22);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 1);
    EQ_INT(used(cleo, 0), 1);
    EQ_INT(simple(NGX_IV_MONGO_QUOTA_RELEASE, cleo, 22), NGX_OK);
    EQ_INT(used(cleo, 0), 1);

    /* of a delete that came second: nothing is given twice */

    make(cleo, 23, 30, 1, 0);
    note(cleo, 22, 10, 204, now());
    EQ_INT(simple(NGX_IV_MONGO_QUOTA_RELEASE, cleo, 22), NGX_OK);
    EQ_INT(used(cleo, 30), 1);
    note(cleo, 22, 10, 205, now());
    EQ_INT(sweep(60000), 1);
    EQ_INT(used(cleo, 30), 1);

    /* … and of an image that is not there any more */

    note(cleo, 98, 10, 206, now());
    EQ_INT(sweep(60000), 1);
    EQ_INT(used(cleo, 30), 1);
}


static void
test_expired(void)
{
    ngx_iv_mongo_call_t  call;

    make(ann, 30, 10, 1, now() - 1000);
    make(ann, 31, 10, 1, now() + 3600000);
    make(ann, 32, 10, 1, 0);
    make(ann, 33, 10, 1, now() - 3600000);

    begin(&call, NGX_IV_MONGO_SWEEP_EXPIRED, nobody, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);
    EQ_INT(call.nrefs, 2);
    EQ_INT(call.refs[0].id[11], 33);
    EQ_INT(call.refs[1].id[11], 30);
    EQ_INT(used(ann, 20), 1);

    begin(&call, NGX_IV_MONGO_SWEEP_EXPIRED, nobody, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);
    EQ_INT(used(ann, 20), 1);
}


static void *
delete_all(void *data)
{
    int                  i, *deleted = data;
    ngx_iv_mongo_call_t  call;

    for (i = 0; i < IMAGES; i++) {
        begin(&call, NGX_IV_MONGO_DELETE, dora, 100 + i);
        call.pool = ngx_create_pool(4096, NULL);
        ngx_iv_mongo_run(&call);

        if (call.code == NGX_OK) {
            (*deleted)++;

        } else if (call.code != NGX_IV_NOT_FOUND) {
            printf("    delete: code %d, %s\n", (int) call.code, call.message);
        }

        ngx_destroy_pool(call.pool);
    }

    return NULL;
}


static void *
sweep_all(void *data)
{
    int                  i;
    ngx_iv_mongo_call_t  call;

    /* any note counts as old: deletes are cancelled in their midst */

    for (i = 0; i < 30; i++) {
        begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, nobody, 0);
        call.pool = ngx_create_pool(4096, NULL);
        call.ttl = (ngx_msec_t) -100000;
        ngx_iv_mongo_run(&call);
        ngx_destroy_pool(call.pool);
    }

    return data;
}


static void
test_side_by_side(void)
{
    int        i, all, deleted[SIDE];
    pthread_t  threads[SIDE], sweeper;

    make(dora, 90, 7, 1, 0);

    for (i = 0; i < IMAGES; i++) {
        make(dora, 100 + i, 10 + i, 1 + i % 2, 0);
    }

    memset(deleted, 0, sizeof(deleted));

    for (i = 0; i < SIDE; i++) {
        pthread_create(&threads[i], NULL, delete_all, &deleted[i]);
    }

    pthread_create(&sweeper, NULL, sweep_all, NULL);

    all = 0;

    for (i = 0; i < SIDE; i++) {
        pthread_join(threads[i], NULL);
        all += deleted[i];
    }

    pthread_join(sweeper, NULL);

    EQ_INT(all, IMAGES);
    (void) sweep(0);
    (void) sweep(0);
    EQ_INT(used(dora, 7), 1);
}


static void
tests(void)
{
    RUN(test_delete);
    RUN(test_uncounted);
    RUN(test_before_settlement);
    RUN(test_crashes);
    RUN(test_expired);
    RUN(test_version);
    RUN(test_side_by_side);
}


int
main(void)
{
    return with_server("del", tests);
}
