/*
 * The calls to MongoDB, against the server (a replica set) that MONGODB_URI
 * names, in a database of its own; without MONGODB_URI only what needs none.
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

#include "iv_test.h"
#include "iv_mongo_call.h"
#include "metadata/ngx_iv_metadata_sweep.h"
#include "metadata/ngx_iv_mongo.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>


/* how old what is due must be: it is due as soon as it was written, or not
 * before the end of the test */

#define AT_ONCE  ((ngx_msec_t) -3600000)
#define AN_HOUR  3600000


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
    call.ttl = AN_HOUR;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);

    begin(&call, NGX_IV_MONGO_SWEEP_SECOND, 0);
    call.ttl = AT_ONCE;
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
    call.ttl = AN_HOUR;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);

    begin(&call, NGX_IV_MONGO_SWEEP_STALE, 0);
    call.ttl = AT_ONCE;
    call.limit = 3;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 3);

    begin(&call, NGX_IV_MONGO_SWEEP_STALE, 0);
    call.ttl = AT_ONCE;
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
    ngx_iv_mongo_call_t   call;
    ngx_iv_sweep_state_t  state;

    begin(&call, NGX_IV_MONGO_LEASE, 0);
    call.sweep = &state;
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

    EQ_INT(lease("a:1", AN_HOUR, &fence), 1);
    EQ_INT(fence, 1);
    EQ_INT(lease("b:2", AN_HOUR, &fence), 0);
    EQ_INT(lease("a:1", AN_HOUR, &fence), 1);
    EQ_INT(fence, 1);

    EQ_INT(lease("b:2", AT_ONCE, &fence), 1);
    EQ_INT(fence, 2);
    EQ_INT(lease("a:1", AN_HOUR, &fence), 0);

    begin(&call, NGX_IV_MONGO_LEASE_RELEASE, 0);
    ngx_str_set(&call.holder, "a:1");
    EQ_INT(run(&call), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_LEASE_RELEASE, 0);
    ngx_str_set(&call.holder, "b:2");
    EQ_INT(run(&call), NGX_OK);

    EQ_INT(lease("a:1", AN_HOUR, &fence), 1);
    EQ_INT(fence, 3);
}


/* quota */

static ngx_str_t  bob = ngx_string("bob");
static ngx_str_t  oid_owner = ngx_string("0123456789abcdef01234567");


static ngx_int_t
reserve(ngx_str_t owner, int id, int64_t already, int64_t n, int64_t limit,
    ngx_iv_mongo_call_t *call)
{
    begin(call, NGX_IV_MONGO_QUOTA_RESERVE, id);

    call->owner = owner;
    call->already = already;
    call->size = n;
    call->quota.mode = limit ? NGX_IV_QUOTA_SIZE : NGX_IV_QUOTA_DOCUMENTS;
    call->quota.limit = limit;

    return run(call);
}


static ngx_int_t
drop(ngx_str_t owner, int id, ngx_iv_mongo_kind_e kind)
{
    ngx_iv_mongo_call_t  call;

    begin(&call, kind, id);
    call.owner = owner;

    EQ_INT(run(&call), NGX_OK);

    return call.count;
}


static mongoc_collection_t *
collection(mongoc_client_t **client, const char *name)
{
    *client = mongoc_client_new(uri);

    return mongoc_client_get_collection(*client, database, name);
}


/* of one owner; -1: none.  pending: the number of entries, -1: no field */

static int64_t
used(ngx_str_t owner, int *pending)
{
    bson_t                filter;
    int64_t               n;
    bson_oid_t            oid;
    bson_iter_t           it, value, entry;
    const bson_t         *found;
    mongoc_client_t      *client;
    mongoc_cursor_t      *cursor;
    mongoc_collection_t  *users;

    users = collection(&client, "users");
    bson_init(&filter);

    if (owner.len == 24) {
        (void) ngx_iv_unhex(oid.bytes, owner.data, 12);
        bson_append_oid(&filter, "_id", -1, &oid);

    } else {
        bson_append_utf8(&filter, "_id", -1, (char *) owner.data,
                         (int) owner.len);
    }

    cursor = mongoc_collection_find_with_opts(users, &filter, NULL, NULL);
    n = -1;
    *pending = -1;

    if (mongoc_cursor_next(cursor, &found)) {
        if (bson_iter_init(&it, found)
            && bson_iter_find_descendant(&it, "storageQuota.used", &value))
        {
            n = bson_iter_as_int64(&value);
        }

        if (bson_iter_init(&it, found)
            && bson_iter_find_descendant(&it, "storageQuota.pending", &value)
            && bson_iter_recurse(&value, &entry))
        {
            for (*pending = 0; bson_iter_next(&entry); (*pending)++) { }
        }
    }

    mongoc_cursor_destroy(cursor);
    bson_destroy(&filter);
    mongoc_collection_destroy(users);
    mongoc_client_destroy(client);

    return n;
}


static void
put_user(bson_t *doc)
{
    mongoc_client_t      *client;
    mongoc_collection_t  *users;

    users = collection(&client, "users");
    OK(mongoc_collection_insert_one(users, doc, NULL, NULL, NULL));
    bson_destroy(doc);
    mongoc_collection_destroy(users);
    mongoc_client_destroy(client);
}


static void
test_quota(void)
{
    int                  entries;
    ngx_iv_mongo_call_t  call;

    /* a missing document: refused or made, with what is there already */

    EQ_INT(reserve(bob, 20, 0, 400, 0, &call), NGX_IV_FORBIDDEN);
    EQ_INT(used(bob, &entries), -1);

    EQ_INT(reserve(bob, 20, 0, 400, 1000, &call), NGX_OK);
    EQ_INT(call.used, 400);
    EQ_INT(call.quota_limit, 1000);
    EQ_INT(call.default_expiry, 0);

    /* again, more of it, again, and not as another knows it */

    EQ_INT(reserve(bob, 20, 0, 400, 1000, &call), NGX_OK);
    EQ_INT(call.used, 400);
    EQ_INT(reserve(bob, 20, 400, 600, 1000, &call), NGX_OK);
    EQ_INT(call.used, 600);
    EQ_INT(reserve(bob, 20, 400, 600, 1000, &call), NGX_OK);
    EQ_INT(call.used, 600);
    EQ_INT(reserve(bob, 20, 500, 700, 1000, &call), NGX_IV_CONFLICT);
    EQ_INT(reserve(bob, 21, 10, 20, 1000, &call), NGX_IV_CONFLICT);

    EQ_INT(reserve(bob, 21, 0, 401, 1000, &call), NGX_IV_QUOTA_EXCEEDED);
    EQ_INT(call.used, 600);
    EQ_INT(call.quota_limit, 1000);
    EQ_INT(reserve(bob, 20, 600, 1001, 1000, &call), NGX_IV_QUOTA_EXCEEDED);
    EQ_INT(reserve(bob, 21, 0, 400, 1000, &call), NGX_OK);
    EQ_INT(used(bob, &entries), 1000);
    EQ_INT(entries, 2);

    /* the document's own limit holds, not the configured one */

    EQ_INT(reserve(bob, 22, 0, 1, 5000, &call), NGX_IV_QUOTA_EXCEEDED);

    EQ_INT(drop(bob, 20, NGX_IV_MONGO_QUOTA_RELEASE), 1);
    EQ_INT(drop(bob, 20, NGX_IV_MONGO_QUOTA_RELEASE), 0);
    EQ_INT(drop(bob, 20, NGX_IV_MONGO_QUOTA_SETTLE), 0);
    EQ_INT(used(bob, &entries), 400);
    EQ_INT(entries, 1);

    EQ_INT(drop(bob, 21, NGX_IV_MONGO_QUOTA_SETTLE), 1);
    EQ_INT(drop(bob, 21, NGX_IV_MONGO_QUOTA_SETTLE), 0);
    EQ_INT(drop(bob, 21, NGX_IV_MONGO_QUOTA_RELEASE), 0);
    EQ_INT(used(bob, &entries), 400);
    EQ_INT(entries, -1);

    /* what the sweep released does not come back by growing */

    EQ_INT(reserve(bob, 20, 400, 600, 1000, &call), NGX_IV_CONFLICT);
}


static void
test_quota_documents(void)
{
    int                  entries;
    bson_oid_t           oid;
    ngx_iv_mongo_call_t  call;

    static ngx_str_t  alice = ngx_string("alice");
    static ngx_str_t  carol = ngx_string("carol");

    /* alice has one ready image of 11 bytes, see test_upload() */

    put_user(BCON_NEW("_id", BCON_UTF8("alice"), "mail", BCON_UTF8("a@b"),
                      "preferences", "{", "autoDelete", BCON_BOOL(true),
                      "defaultExpiry", BCON_DOUBLE(30), "}"));

    EQ_INT(reserve(alice, 30, 0, 100, 0, &call), NGX_OK);
    EQ_INT(call.used, 111);
    OK(call.quota_limit == NGX_IV_QUOTA_NONE);
    EQ_INT(call.default_expiry, 30);
    EQ_INT(drop(alice, 30, NGX_IV_MONGO_QUOTA_RELEASE), 1);
    EQ_INT(used(alice, &entries), 11);

    /* an ObjectId, a limit as a double, no `used` */

    OK(ngx_iv_unhex(oid.bytes, oid_owner.data, 12) == NGX_OK);
    put_user(BCON_NEW("_id", BCON_OID(&oid), "storageQuota", "{",
                      "limit", BCON_DOUBLE(50), "}"));

    EQ_INT(reserve(oid_owner, 31, 0, 51, 0, &call), NGX_IV_QUOTA_EXCEEDED);
    EQ_INT(call.quota_limit, 50);
    EQ_INT(reserve(oid_owner, 31, 0, 50, 999, &call), NGX_OK);
    EQ_INT(used(oid_owner, &entries), 50);
    EQ_INT(drop(oid_owner, 31, NGX_IV_MONGO_QUOTA_SETTLE), 1);

    /* autoDelete is off */

    put_user(BCON_NEW("_id", BCON_UTF8("carol"),
                      "preferences", "{", "autoDelete", BCON_BOOL(false),
                      "defaultExpiry", BCON_INT32(30), "}"));
    EQ_INT(reserve(carol, 32, 0, 1, 10, &call), NGX_OK);
    EQ_INT(call.default_expiry, 0);
    EQ_INT(call.quota_limit, 10);
    EQ_INT(drop(carol, 32, NGX_IV_MONGO_QUOTA_RELEASE), 1);
}


#define SIDE  100

static pthread_barrier_t  barrier;
static ngx_int_t          granted[SIDE];
static ngx_str_t          crowd = ngx_string("crowd");


static void *
reserve_thread(void *data)
{
    int                  i = (int) (intptr_t) data;
    u_char              *p;
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_QUOTA_RESERVE, 0);

    p = call.id;
    p[0] = 0xee;
    p[11] = (u_char) i;

    call.pool = ngx_create_pool(1024, NULL);
    call.owner = crowd;
    call.size = 30;
    call.quota.mode = NGX_IV_QUOTA_SIZE;
    call.quota.limit = 1000;

    (void) pthread_barrier_wait(&barrier);

    ngx_iv_mongo_run(&call);
    granted[i] = call.code;

    /* a repetition changes nothing */

    if (call.code == NGX_OK) {
        call.already = 0;
        ngx_iv_mongo_run(&call);

        if (call.code != NGX_OK) {
            granted[i] = call.code;
        }
    }

    ngx_destroy_pool(call.pool);

    return NULL;
}


static void
test_quota_side_by_side(void)
{
    int                  i, entries, n, refused;
    pthread_t            threads[SIDE];
    ngx_iv_mongo_call_t  call;

    pthread_barrier_init(&barrier, NULL, SIDE);

    for (i = 0; i < SIDE; i++) {
        OK(pthread_create(&threads[i], NULL, reserve_thread,
                          (void *) (intptr_t) i) == 0);
    }

    for (n = 0, refused = 0, i = 0; i < SIDE; i++) {
        pthread_join(threads[i], NULL);
        n += (granted[i] == NGX_OK);
        refused += (granted[i] == NGX_IV_QUOTA_EXCEEDED);
    }

    EQ_INT(n, 33);
    EQ_INT(refused, SIDE - 33);
    EQ_INT(used(crowd, &entries), 990);
    EQ_INT(entries, 33);

    /* images that are not there, with old ids: the sweep gives all back */

    begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, 0);
    call.ttl = 1000;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);          /* 0xee: far in the future */
    EQ_INT(used(crowd, &entries), 990);
}


/* what a kill may leave behind, at each step of an upload */

static void
test_quota_crashes(void)
{
    int                  entries;
    ngx_iv_mongo_call_t  call;

    static ngx_str_t  dave = ngx_string("dave");

    /* between insert and reservation: nothing is held */

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 40), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 40), NGX_OK);
    EQ_INT(drop(dave, 40, NGX_IV_MONGO_QUOTA_RELEASE), 0);

    /* behind the reservation: uploading, then failed */

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 41), NGX_OK);
    EQ_INT(reserve(dave, 41, 0, 100, 1000, &call), NGX_OK);

    /* ready, not settled */

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 42), NGX_OK);
    EQ_INT(reserve(dave, 42, 0, 11, 1000, &call), NGX_OK);
    EQ_INT(ready(42, 1), NGX_OK);

    /* reserved after the document was removed: 50 has none; its id is old */

    EQ_INT(reserve(dave, 50, 0, 200, 1000, &call), NGX_OK);

    EQ_INT(used(dave, &entries), 311);

    begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, 0);
    call.ttl = 1000;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);
    EQ_INT(used(dave, &entries), 111);
    EQ_INT(entries, 1);

    EQ_INT(simple(NGX_IV_MONGO_FAIL, 41), NGX_OK);

    begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, 0);
    call.ttl = 1000;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 1);
    EQ_INT(used(dave, &entries), 11);
    EQ_INT(entries, -1);

    begin(&call, NGX_IV_MONGO_QUOTA_SWEEP, 0);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 0);
}


/* an index of the application's forbids a second user without mail */

static void
test_quota_foreign_index(void)
{
    bson_t               *command;
    mongoc_client_t      *client;
    ngx_iv_mongo_call_t   call;

    static ngx_str_t  eve = ngx_string("eve");

    client = mongoc_client_new(uri);
    command = BCON_NEW("createIndexes", BCON_UTF8("users"), "indexes", "[",
                       "{", "key", "{", "nick", BCON_INT32(1), "}",
                       "name", BCON_UTF8("nick_1"), "unique",
                       BCON_BOOL(true), "partialFilterExpression", "{",
                       "storageQuota.limit", BCON_INT64(77), "}", "}", "]");
    OK(mongoc_client_write_command_with_opts(client, database, command, NULL,
                                             NULL, NULL));
    bson_destroy(command);
    mongoc_client_destroy(client);

    put_user(BCON_NEW("_id", BCON_UTF8("first"), "storageQuota", "{",
                      "limit", BCON_INT64(77), "}"));

    EQ_INT(reserve(eve, 60, 0, 10, 77, &call), NGX_IV_INTERNAL);
    OK(strstr((char *) call.message, "image_vault_quota documents") != NULL);
}


static void
test_multipart(void)
{
    ngx_iv_mongo_call_t  call;

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 70), NGX_OK);

    begin(&call, NGX_IV_MONGO_MULTIPART, 70);
    ngx_str_set(&call.upload_id, "up/1==");
    EQ_INT(run(&call), NGX_OK);

    EQ_INT(simple(NGX_IV_MONGO_FAIL, 70), NGX_OK);

    begin(&call, NGX_IV_MONGO_MULTIPART, 70);
    ngx_str_set(&call.upload_id, "up/2");
    EQ_INT(run(&call), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_SWEEP_FIRST, 0);
    EQ_INT(run(&call), NGX_OK);
    OK(call.nrefs > 0);

    if (call.nrefs) {
        EQ_STR(call.refs[call.nrefs - 1].upload_id, "up/1==");
        EQ_STR(call.refs[call.nrefs - 1].owner, "alice");
        EQ_INT(call.refs[0].upload_id.len, 0);
    }
}


/* the document says that there may be one before it is begun */

static void
test_multipart_begun(void)
{
    ngx_iv_mongo_call_t     call;
    ngx_iv_metadata_ref_t  *ref;

    begin(&call, NGX_IV_MONGO_INSERT, 72);
    call.document.multipart = 1;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_FAIL, 72), NGX_OK);

    begin(&call, NGX_IV_MONGO_SWEEP_FIRST, 0);
    EQ_INT(run(&call), NGX_OK);
    OK(call.nrefs > 0);

    if (call.nrefs) {
        ref = &call.refs[call.nrefs - 1];
        EQ_INT(ref->multipart, 1);
        EQ_INT(ref->upload_id.len, 0);
        EQ_INT(call.refs[0].multipart, 0);
    }

    /* an image whose beginning took several tries */

    begin(&call, NGX_IV_MONGO_INSERT, 73);
    call.document.multipart = 1;
    EQ_INT(run(&call), NGX_OK);

    begin(&call, NGX_IV_MONGO_READY, 73);
    call.document.multipart = 1;
    EQ_INT(run(&call), NGX_OK);

    begin(&call, NGX_IV_MONGO_SWEEP_UPLOADS, 0);
    call.ttl = AN_HOUR;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);

    begin(&call, NGX_IV_MONGO_SWEEP_UPLOADS, 0);
    call.ttl = AT_ONCE;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 1);

    if (call.nrefs) {
        EQ_INT(call.refs[0].multipart, 1);
        EQ_INT(call.refs[0].upload_id.len, 0);
        OK(call.refs[0].uploads_at > 0);
    }

    EQ_INT(simple(NGX_IV_MONGO_UPLOADS_ENDED, 73), NGX_OK);
    EQ_INT(simple(NGX_IV_MONGO_UPLOADS_ENDED, 73), NGX_IV_CONFLICT);

    begin(&call, NGX_IV_MONGO_SWEEP_UPLOADS, 0);
    call.ttl = AT_ONCE;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.nrefs, 0);
}


static void
test_ready_fields(void)
{
    ngx_iv_mongo_call_t  call;

    static ngx_str_t  tags[2] = { ngx_string("sea"), ngx_string("sand") };
    static ngx_str_t  shared[1] = { ngx_string("bob") };

    EQ_INT(simple(NGX_IV_MONGO_INSERT, 71), NGX_OK);

    begin(&call, NGX_IV_MONGO_READY, 71);
    call.document.tags = tags;
    call.document.ntags = 2;
    call.document.shared_with = shared;
    call.document.nshared = 1;
    call.document.is_public = 1;
    call.document.expires_at = 1900000000000LL;
    EQ_INT(run(&call), NGX_OK);

    begin(&call, NGX_IV_MONGO_GET, 71);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.status, NGX_IV_STATUS_READY);
    EQ_INT(call.document.ntags, 2);
    EQ_STR(call.document.uploaded_from, "127.0.0.1");
    EQ_INT(call.document.nshared, 1);
    EQ_INT(call.document.is_public, 1);
    OK(call.document.expires_at == 1900000000000LL);
}


/* repeated requests */

static ngx_int_t
request(ngx_iv_mongo_kind_e kind, const char *key, int print, ngx_msec_t stale,
    ngx_iv_mongo_call_t *call)
{
    static int  nonce;

    begin(call, kind, 0);

    call->owner = bob;
    call->key.data = (u_char *) key;
    call->key.len = strlen(key);
    call->ttl = stale;
    memset(call->fingerprint, print, NGX_IV_SHA256_LEN);

    /* each begin has its own, by which it is freed */

    if (kind == NGX_IV_MONGO_REQUEST_BEGIN) {
        nonce++;
    }

    memset(call->nonce, nonce, NGX_IV_REQUEST_NONCE);

    return run(call);
}


static void
test_requests(void)
{
    ngx_iv_outcome_t     out[2];
    ngx_iv_mongo_call_t  call;

    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "k", 1, AN_HOUR, &call),
           NGX_OK);
    EQ_INT(call.status, 0);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "k", 1, AN_HOUR, &call),
           NGX_IV_CONFLICT);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_ALIVE, "k", 1, 0, &call), NGX_OK);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_ALIVE, "x", 1, 0, &call),
           NGX_IV_CONFLICT);

    memset(out, 0, sizeof(out));
    memset(out[0].id, 7, NGX_IV_ID_LEN);
    ngx_str_set(&out[0].name, "a \xc3\xa4.png");
    ngx_str_set(&out[1].name, "b.png");
    out[1].code = NGX_IV_CORRUPT_IMAGE;
    ngx_str_set(&out[1].message, "no end");

    begin(&call, NGX_IV_MONGO_REQUEST_END, 0);
    call.owner = bob;
    ngx_str_set(&call.key, "k");
    call.status = 207;
    call.outcomes = out;
    call.noutcomes = 2;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(run(&call), NGX_OK);

    EQ_INT(request(NGX_IV_MONGO_REQUEST_FREE, "k", 1, 0, &call), NGX_OK);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "k", 2, 0, &call),
           NGX_IV_CONFLICT);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "k", 1, 0, &call), NGX_OK);
    EQ_INT(call.status, 207);
    EQ_INT(call.noutcomes, 2);

    if (call.noutcomes == 2) {
        EQ_INT(call.outcomes[0].code, NGX_OK);
        EQ_MEM(call.outcomes[0].id, out[0].id, NGX_IV_ID_LEN);
        EQ_STR(call.outcomes[0].name, "a \xc3\xa4.png");
        EQ_INT(call.outcomes[1].code, NGX_IV_CORRUPT_IMAGE);
        EQ_STR(call.outcomes[1].message, "no end");
    }

    /* freed, and left behind */

    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "f", 1, AN_HOUR, &call),
           NGX_OK);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_FREE, "f", 1, 0, &call), NGX_OK);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_FREE, "f", 1, 0, &call), NGX_OK);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "f", 2, AN_HOUR, &call),
           NGX_OK);

    /* not by another's nonce, though it is of this process */

    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "f", 2, AN_HOUR, &call),
           NGX_IV_CONFLICT);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_FREE, "f", 1, 0, &call), NGX_OK);
    EQ_INT(call.count, 0);
    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "f", 2, AN_HOUR, &call),
           NGX_IV_CONFLICT);

    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "f", 3, AT_ONCE, &call),
           NGX_OK);
    EQ_INT(call.status, 0);

    EQ_INT(request(NGX_IV_MONGO_REQUEST_BEGIN, "\xff", 1, 10, &call),
           NGX_IV_BAD_PARAMETER);
}


static void *
request_thread(void *data)
{
    int                  i = (int) (intptr_t) data;
    ngx_iv_mongo_call_t  call;

    begin(&call, NGX_IV_MONGO_REQUEST_BEGIN, 0);

    call.pool = ngx_create_pool(1024, NULL);
    call.owner = crowd;
    ngx_str_set(&call.key, "race");
    call.ttl = AN_HOUR;
    memset(call.nonce, i, NGX_IV_REQUEST_NONCE);

    (void) pthread_barrier_wait(&barrier);

    ngx_iv_mongo_run(&call);
    granted[i] = call.code;

    ngx_destroy_pool(call.pool);

    return NULL;
}


static void
test_request_race(void)
{
    int        i, n, conflicts;
    pthread_t  threads[SIDE];

    for (i = 0; i < SIDE; i++) {
        OK(pthread_create(&threads[i], NULL, request_thread,
                          (void *) (intptr_t) i) == 0);
    }

    for (n = 0, conflicts = 0, i = 0; i < SIDE; i++) {
        pthread_join(threads[i], NULL);
        n += (granted[i] == NGX_OK);
        conflicts += (granted[i] == NGX_IV_CONFLICT);
    }

    EQ_INT(n, 1);
    EQ_INT(conflicts, SIDE - 1);
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

    memset(&conf, 0, sizeof(conf));
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

    uri = mongo_uri();

    if (uri == NULL) {
        printf("MONGODB_URI is not set: calls to a server are skipped\n");
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
    conf.quota = 1;

    mongo = ngx_iv_mongo_create(&conf, pool->log, &error);
    OK(mongo != NULL);

    if (mongo) {
        RUN(test_indexes);
        RUN(test_upload);
        RUN(test_fail_and_deletes);
        RUN(test_stale_and_pages);
        RUN(test_lease);
        RUN(test_quota);
        RUN(test_quota_documents);
        RUN(test_quota_side_by_side);
        RUN(test_quota_crashes);
        RUN(test_quota_foreign_index);
        RUN(test_multipart);
        RUN(test_multipart_begun);
        RUN(test_ready_fields);
        RUN(test_requests);
        RUN(test_request_race);
        drop_database();
        ngx_iv_mongo_destroy(mongo);
        mongo = NULL;
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}
