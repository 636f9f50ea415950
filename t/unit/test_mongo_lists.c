/*
 * Lists, changes, users and the trail, against the server (a replica set) that
 * MONGODB_URI names, in a database of its own; without MONGODB_URI only what
 * needs none: the queries as BSON.
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
 *     src/metadata/ngx_iv_audit_write.c src/metadata/ngx_iv_cursor.c
 *     src/metadata/ngx_iv_document.c src/metadata/ngx_iv_document_parse.c
 *     src/metadata/ngx_iv_lease.c src/metadata/ngx_iv_sweep_look.c
 *     src/metadata/ngx_iv_report.c
 *     src/formats/ngx_iv_name.c src/formats/ngx_iv_hash.c
 *     src/formats/ngx_iv_hash_pair.c src/base/ngx_iv_str.c
 *
 * libs: `pkg-config --libs mongoc2 2>/dev/null
 *     || pkg-config --libs libmongoc-1.0` -lcrypto -lpthread
 */

#include "iv_test.h"
#include "iv_mongo_call.h"
#include "metadata/ngx_iv_lists.h"
#include "metadata/ngx_iv_list_query.h"

#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define IMAGES  180
#define START   1700000000000LL


static ngx_pool_t       *pool;
static ngx_iv_mongo_t   *mongo;
static mongoc_client_t  *client;
static char              database[64];


static ngx_str_t
str(const char *s)
{
    ngx_str_t  out;

    out.len = strlen(s);
    out.data = ngx_pnalloc(pool, out.len + 1);
    memcpy(out.data, s, out.len + 1);

    return out;
}


static mongoc_collection_t *
collection(const char *name)
{
    return mongoc_client_get_collection(client, database, name);
}


static void
insert(const char *name, bson_t *doc)
{
    bson_error_t          error;
    mongoc_collection_t  *c;

    c = collection(name);

    if (!mongoc_collection_insert_one(c, doc, NULL, NULL, &error)) {
        printf("    insert: %s\n", error.message);
        OK(0);
    }

    mongoc_collection_destroy(c);
    bson_destroy(doc);
}


static void
id_of(u_char *id, int n)
{
    memset(id, 0, NGX_IV_ID_LEN);
    id[0] = 0x50;
    id[10] = (u_char) (n >> 8);
    id[11] = (u_char) n;
}


static void
image(const char *owner, int n, const char *status)
{
    char         name[32], tag[8];
    u_char       id[NGX_IV_ID_LEN];
    bson_t      *doc;
    bson_oid_t   oid;

    id_of(id, n);
    bson_oid_init_from_data(&oid, id);
    snprintf(name, sizeof(name), "n%d.png", n % 5);
    snprintf(tag, sizeof(tag), "t%d", n % 3);

    doc = BCON_NEW("_id", BCON_OID(&oid),
                   "userId", BCON_UTF8(owner),
                   "status", BCON_UTF8(status),
                   "originalName", BCON_UTF8(name),
                   "filename", BCON_UTF8("u.png"),
                   "contentType", BCON_UTF8(n % 2 ? "image/png" : "image/gif"),
                   "size", BCON_INT64(n % 7),
                   "metadata", "{",
                       "uploadedAt", BCON_DATE_TIME(START + n / 4),
                       "tags", "[", BCON_UTF8("all"), BCON_UTF8(tag), "]",
                   "}",
                   "access", "{", "isPublic", BCON_BOOL(n % 4 == 0), "}",
                   "r2Key", BCON_UTF8("images/u.png"),
                   "storage", BCON_UTF8("main"),
                   "updatedAt", BCON_DATE_TIME(START));

    if (strcmp(status, "error") == 0) {
        BCON_APPEND(doc, "deletedAt", BCON_DATE_TIME(START));
    }

    insert("images", doc);
}


static void
begin(ngx_iv_mongo_call_t *call, ngx_iv_lists_t *lists,
    ngx_iv_mongo_kind_e kind)
{
    memset(call, 0, sizeof(*call));
    memset(lists, 0, sizeof(*lists));

    call->mongo = mongo;
    call->pool = pool;
    call->kind = kind;
    call->lists = lists;
    call->limit = 10;

    lists->list.owner = str("alice");
    lists->list.status = NGX_IV_STATUS_READY;
    lists->list.is_public = -1;
    lists->list.limit = 20;
    lists->list.desc = 1;
}


static ngx_int_t
again(ngx_iv_mongo_call_t *call)
{
    memset(&call->lists->found, 0, sizeof(ngx_iv_found_t));

    return run(call);
}


static char *
json(bson_t *b)
{
    return b ? bson_as_relaxed_extended_json(b, NULL) : strdup("NULL");
}


/* what clients say is a value and nothing else */

static void
test_bson(void)
{
    char                 *text;
    bson_t               *b;
    ngx_str_t             tags[2], users[1];
    ngx_iv_bulk_t         bulk;
    ngx_iv_list_t         list;
    ngx_iv_patch_t        patch;
    u_char                ids[1][NGX_IV_ID_LEN];

    memset(&list, 0, sizeof(list));
    list.owner = str("$where");
    list.status = NGX_IV_STATUS_READY;
    list.is_public = -1;
    list.limit = 20;
    list.q = str("$ne");
    tags[0] = str("$$ROOT");
    tags[1] = str("a.b");
    list.tags = tags;
    list.ntags = 2;

    b = ngx_iv_list_filter(&list, 1);
    text = json(b);
    OK(strstr(text, "\"userId\" : \"$where\"") != NULL);
    OK(strstr(text, "\"metadata.tags\" : \"$$ROOT\"") != NULL);
    OK(strstr(text, "\"originalName\" : { \"$gte\" : \"$ne\", "
                    "\"$lt\" : \"$nf\" }") != NULL);
    bson_free(text);
    bson_destroy(b);

    /* no character is above the last */

    list.q = str("a\xf4\x8f\xbf\xbf");
    b = ngx_iv_list_filter(&list, 1);
    text = json(b);
    OK(strstr(text, "\"$lt\" : \"b\"") != NULL);
    bson_free(text);
    bson_destroy(b);

    list.q = str("\xf4\x8f\xbf\xbf");
    b = ngx_iv_list_filter(&list, 1);
    text = json(b);
    OK(strstr(text, "$lt") == NULL);
    bson_free(text);
    bson_destroy(b);

    list.q = str("\xed\x9f\xbf");
    b = ngx_iv_list_filter(&list, 1);
    text = json(b);
    OK(strstr(text, "\"$lt\" : \"\xee\x80\x80\"") != NULL);
    bson_free(text);
    bson_destroy(b);

    list.q = str("a\xff");
    OK(ngx_iv_list_filter(&list, 1) == NULL);
    list.q.len = 0;
    tags[1] = str("\xff");
    OK(ngx_iv_list_filter(&list, 1) == NULL);

    memset(&patch, 0, sizeof(patch));
    patch.has_original_name = 1;
    patch.original_name = str("$$NOW");
    patch.has_tags = 1;
    patch.tags = tags;
    patch.ntags = 1;
    patch.has_shared_with = 1;
    users[0] = str("0123456789abcdef01234567");
    patch.shared_with = users;
    patch.nshared = 1;
    b = ngx_iv_change_patch_update(&patch);
    text = json(b);
    OK(strstr(text, "\"originalName\" : { \"$literal\" : \"$$NOW\" }")
       != NULL);
    OK(strstr(text, "\"metadata.tags\" : { \"$literal\" : [ \"$$ROOT\" ] }")
       != NULL);
    OK(strstr(text, "{ \"$literal\" : [ { \"$oid\" : "
                    "\"0123456789abcdef01234567\" } ] }") != NULL);
    bson_free(text);
    bson_destroy(b);

    patch.original_name = str("\xff");
    OK(ngx_iv_change_patch_update(&patch) == NULL);

    memset(&bulk, 0, sizeof(bulk));
    id_of(ids[0], 1);
    bulk.ids = ids;
    bulk.nids = 1;
    bulk.values = tags;
    bulk.nvalues = 2;
    OK(ngx_iv_change_bulk_filter(&bulk) == NULL);
    OK(ngx_iv_change_bulk_update(&bulk) == NULL);
    bulk.action = NGX_IV_BULK_UNTAG;
    OK(ngx_iv_change_bulk_filter(&bulk) == NULL);
    OK(ngx_iv_change_bulk_update(&bulk) == NULL);

    users[0] = str("\xff");
    OK(ngx_iv_change_moderate_update(&users[0]) == NULL);
}


static int
has_stage(const bson_t *b, const char *stage)
{
    int    found;
    char  *text, what[32];

    text = bson_as_relaxed_extended_json(b, NULL);
    snprintf(what, sizeof(what), "\"stage\" : \"%s\"", stage);
    found = strstr(text, what) != NULL;
    bson_free(text);

    return found;
}


/* what the server does for a page: no sort in memory, limit + 1 documents */

static void
explain(const ngx_iv_list_t *list)
{
    bool           ok;
    char          *text;
    bson_t        *filter, *opts, *command, find, reply;
    int64_t        docs, keys;
    bson_iter_t    it, value;
    bson_error_t   error;

    filter = ngx_iv_list_filter(list, 1);
    opts = ngx_iv_list_options(list, 1000, 1);

    command = bson_new();
    bson_append_document_begin(command, "explain", -1, &find);
    BCON_APPEND(&find, "find", BCON_UTF8("images"),
                "filter", BCON_DOCUMENT(filter));
    bson_concat(&find, opts);
    bson_append_document_end(command, &find);
    BCON_APPEND(command, "verbosity", BCON_UTF8("executionStats"));

    ok = mongoc_client_command_simple(client, database, command, NULL, &reply,
                                      &error);
    OK(ok);
    docs = -1;
    keys = -1;

    if (bson_iter_init(&it, &reply)
        && bson_iter_find_descendant(&it, "executionStats.totalDocsExamined",
                                     &value))
    {
        docs = bson_iter_as_int64(&value);
    }

    if (bson_iter_init(&it, &reply)
        && bson_iter_find_descendant(&it, "executionStats.totalKeysExamined",
                                     &value))
    {
        keys = bson_iter_as_int64(&value);
    }

    OK(docs >= 0 && docs <= (int64_t) list->limit + 1);
    OK(keys >= 0 && keys <= (int64_t) list->limit + 3);
    OK(!has_stage(&reply, "SORT"));
    OK(!has_stage(&reply, "COLLSCAN"));

    if (!ok || docs > (int64_t) list->limit + 1) {
        text = bson_as_relaxed_extended_json(&reply, NULL);
        printf("    %s\n", ok ? text : error.message);
        bson_free(text);
    }

    bson_destroy(&reply);
    bson_destroy(command);
    bson_destroy(opts);
    bson_destroy(filter);
}


/* all pages: each document once, in order; inserts in between, at the front,
 * move nothing.  Documents seen */

static int
walk(ngx_iv_list_t *wanted, int explained)
{
    int                   n, pages;
    char                  seen[1024];
    ngx_str_t             cursor;
    ngx_iv_lists_t        lists;
    ngx_iv_document_t     last, *doc;
    ngx_iv_mongo_call_t   call;
    ngx_uint_t            i;
    int                   cmp, k;

    memset(seen, 0, sizeof(seen));
    memset(&last, 0, sizeof(last));
    ngx_str_null(&cursor);

    for (n = 0, pages = 0; pages < 100; pages++) {
        begin(&call, &lists, NGX_IV_MONGO_LIST);
        lists.list = *wanted;

        if (cursor.len) {
            EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &lists.list), NGX_OK);
        }

        if (explained) {
            explain(&lists.list);
        }

        EQ_INT(run(&call), NGX_OK);

        for (i = 0; i < lists.found.ndocuments; i++) {
            doc = &lists.found.documents[i];

            if (n) {
                switch (wanted->sort) {
                case NGX_IV_SORT_SIZE:
                    cmp = (last.size < doc->size) - (last.size > doc->size);
                    break;
                case NGX_IV_SORT_NAME:
                    cmp = -memcmp(last.original_name.data,
                                  doc->original_name.data,
                                  doc->original_name.len);
                    break;
                default:
                    cmp = (last.uploaded_at < doc->uploaded_at)
                          - (last.uploaded_at > doc->uploaded_at);
                }

                if (cmp == 0) {
                    cmp = -memcmp(last.id, doc->id, NGX_IV_ID_LEN);
                }

                OK(wanted->desc ? cmp < 0 : cmp > 0);
            }

            k = (doc->id[10] << 8 | doc->id[11]) % 1024;
            EQ_INT(seen[k], 0);
            seen[k] = 1;
            last = *doc;
            n++;
        }

        if (!lists.found.more) {
            break;
        }

        EQ_INT(lists.found.ndocuments, wanted->limit);
        EQ_INT(ngx_iv_cursor_encode(pool, wanted, &last, &cursor), NGX_OK);
    }

    return n;
}


static void
test_cursor_form(void)
{
    int                   sort, desc;
    ngx_str_t             tag[2];
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_LIST);
    lists.list.limit = 7;

    for (sort = 0; sort < 3; sort++) {
        for (desc = 0; desc < 2; desc++) {
            lists.list.sort = sort;
            lists.list.desc = desc;
            EQ_INT(walk(&lists.list, 1), IMAGES);
        }
    }

    lists.list.sort = NGX_IV_SORT_UPLOADED;
    tag[0] = str("t1");
    tag[1] = str("all");
    lists.list.tags = tag;
    lists.list.ntags = 1;
    lists.list.desc = 1;
    EQ_INT(walk(&lists.list, 1), IMAGES / 3);
    lists.list.desc = 0;
    EQ_INT(walk(&lists.list, 1), IMAGES / 3);

    lists.list.ntags = 2;
    EQ_INT(walk(&lists.list, 0), IMAGES / 3);
    lists.list.sort = NGX_IV_SORT_NAME;
    EQ_INT(walk(&lists.list, 0), IMAGES / 3);
    lists.list.ntags = 0;

    lists.list.q = str("n3");
    EQ_INT(walk(&lists.list, 1), IMAGES / 5);
    lists.list.desc = 1;
    EQ_INT(walk(&lists.list, 1), IMAGES / 5);
    lists.list.sort = NGX_IV_SORT_SIZE;
    EQ_INT(walk(&lists.list, 0), IMAGES / 5);
    lists.list.q.len = 0;

    lists.list.sort = NGX_IV_SORT_UPLOADED;
    lists.list.from = START + 10;
    lists.list.to = START + 19;
    EQ_INT(walk(&lists.list, 1), 40);
    lists.list.desc = 0;
    EQ_INT(walk(&lists.list, 1), 40);
    lists.list.sort = NGX_IV_SORT_NAME;
    EQ_INT(walk(&lists.list, 0), 40);
    lists.list.from = 0;
    lists.list.to = 0;

    lists.list.is_public = 1;
    EQ_INT(walk(&lists.list, 0), IMAGES / 4);
    lists.list.is_public = 0;
    EQ_INT(walk(&lists.list, 0), IMAGES - IMAGES / 4);
    lists.list.is_public = -1;
    lists.list.type = str("image/gif");
    EQ_INT(walk(&lists.list, 0), IMAGES / 2);
    lists.list.type.len = 0;

    /* deleted ones are for admins */

    lists.list.status = NGX_IV_STATUS_ERROR;
    EQ_INT(walk(&lists.list, 0), 0);
    lists.list.deleted = 1;
    EQ_INT(walk(&lists.list, 0), 3);
    lists.list.status = NGX_IV_STATUS_ANY;
    EQ_INT(walk(&lists.list, 0), IMAGES + 4);
    lists.list.owner.len = 0;
    EQ_INT(walk(&lists.list, 0), IMAGES + 14);
}


static void
test_stable(void)
{
    u_char                id[NGX_IV_ID_LEN];
    ngx_str_t             cursor;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_LIST);
    lists.list.limit = 10;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 10);
    EQ_INT(ngx_iv_cursor_encode(pool, &lists.list, &lists.found.documents[9],
                                &cursor),
           NGX_OK);

    image("alice", IMAGES + 100, "ready");
    image("alice", IMAGES + 101, "ready");

    EQ_INT(ngx_iv_cursor_decode(pool, &cursor, &lists.list), NGX_OK);
    EQ_INT(again(&call), NGX_OK);
    id_of(id, IMAGES - 11);
    EQ_MEM(lists.found.documents[0].id, id, NGX_IV_ID_LEN);
}


static void
test_page_form(void)
{
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_LIST);
    lists.list.limit = 50;
    lists.list.want_total = 1;

    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 50);
    EQ_INT(lists.found.more, 1);
    EQ_INT(lists.found.total, IMAGES);

    lists.list.skip = 150;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 30);
    EQ_INT(lists.found.more, 0);
    EQ_INT(lists.found.total, IMAGES);

    lists.list.skip = 1000;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 0);
    EQ_INT(lists.found.total, IMAGES);

    lists.list.skip = 0;
    lists.list.want_total = 0;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.total, -1);

    lists.list.want_total = 1;
    lists.list.type = str("image/webp");
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 0);
    EQ_INT(lists.found.total, 0);

    lists.list.type = str("\xff");
    EQ_INT(again(&call), NGX_IV_BAD_PARAMETER);
}


static void
test_get_many(void)
{
    u_char                ids[3][NGX_IV_ID_LEN];
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_GET_MANY);
    id_of(ids[0], 5);
    id_of(ids[1], 9999);
    id_of(ids[2], IMAGES + 1);
    lists.bulk.ids = ids;
    lists.bulk.nids = 3;

    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 2);
}


static void
patch_of(ngx_iv_mongo_call_t *call, ngx_iv_lists_t *lists, int n)
{
    begin(call, lists, NGX_IV_MONGO_PATCH);
    id_of(lists->patch.id, n);
    lists->patch.owner = str("alice");
}


static void
test_patch(void)
{
    int64_t               before;
    ngx_str_t             tags[1], users[2];
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    patch_of(&call, &lists, 1);
    lists.patch.has_original_name = 1;
    lists.patch.original_name = str("$updatedAt");
    lists.patch.has_tags = 1;
    tags[0] = str("$size");
    lists.patch.tags = tags;
    lists.patch.ntags = 1;
    lists.patch.has_shared_with = 1;
    users[0] = str("bob");
    users[1] = str("0123456789abcdef01234567");
    lists.patch.shared_with = users;
    lists.patch.nshared = 2;
    lists.patch.has_is_public = 1;
    lists.patch.is_public = 1;
    lists.patch.has_expires_at = 1;
    lists.patch.expires_at = START;

    EQ_INT(run(&call), NGX_OK);
    EQ_STR(call.document.original_name, "$updatedAt");
    EQ_INT(call.document.ntags, 1);
    EQ_STR(call.document.tags[0], "$size");
    EQ_INT(call.document.nshared, 2);
    EQ_STR(call.document.shared_with[1], "0123456789abcdef01234567");
    EQ_INT(call.document.is_public, 1);
    EQ_INT(call.document.expires_at, START);
    OK(call.document.updated_at > START);
    EQ_INT(call.document.size, 1);

    before = call.document.updated_at;

    /* an empty list, no expiry; the rest stays */

    patch_of(&call, &lists, 1);
    lists.patch.if_match = before;
    lists.patch.has_tags = 1;
    lists.patch.has_expires_at = 1;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.document.ntags, 0);
    EQ_INT(call.document.expires_at, 0);
    EQ_INT(call.document.nshared, 2);
    EQ_STR(call.document.original_name, "$updatedAt");
    OK(call.document.updated_at > before);

    patch_of(&call, &lists, 1);
    lists.patch.if_match = before;
    lists.patch.has_is_public = 1;
    EQ_INT(run(&call), NGX_IV_PRECONDITION_FAILED);

    patch_of(&call, &lists, 1);
    lists.patch.owner = str("bob");
    lists.patch.if_match = before;
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);

    patch_of(&call, &lists, 1);
    lists.patch.owner.len = 0;
    EQ_INT(run(&call), NGX_OK);

    patch_of(&call, &lists, IMAGES + 1);
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);
    patch_of(&call, &lists, 9999);
    lists.patch.if_match = 5;
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);

    patch_of(&call, &lists, 1);
    lists.patch.has_original_name = 1;
    lists.patch.original_name = str("\xff");
    EQ_INT(run(&call), NGX_IV_BAD_PARAMETER);
}


static int64_t  race_match;


static void *
race(void *data)
{
    ngx_int_t            *code = data;
    ngx_pool_t           *own;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    own = ngx_create_pool(4096, NULL);

    memset(&call, 0, sizeof(call));
    memset(&lists, 0, sizeof(lists));
    call.mongo = mongo;
    call.pool = own;
    call.kind = NGX_IV_MONGO_PATCH;
    call.lists = &lists;
    id_of(lists.patch.id, 2);
    lists.patch.if_match = race_match;
    lists.patch.has_is_public = 1;

    ngx_iv_mongo_run(&call);
    *code = call.code;

    ngx_destroy_pool(own);

    return NULL;
}


static void
ahead_of_time(int n)
{
    u_char                id[NGX_IV_ID_LEN];
    bson_t               *filter, *update;
    bson_oid_t            oid;
    mongoc_collection_t  *c;

    id_of(id, n);
    bson_oid_init_from_data(&oid, id);

    filter = BCON_NEW("_id", BCON_OID(&oid));
    update = BCON_NEW("$set", "{",
                          "updatedAt", BCON_DATE_TIME(4 * START),
                      "}");
    c = collection("images");

    OK(mongoc_collection_update_one(c, filter, update, NULL, NULL, NULL));

    mongoc_collection_destroy(c);
    bson_destroy(update);
    bson_destroy(filter);
}


/* of many with one and the same If-Match exactly one gets through; without,
 * each gets an updatedAt of its own */

static void
test_patch_race(void)
{
    int                   i, round, ok, failed;
    pthread_t             threads[8];
    ngx_int_t             codes[8];
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    for (round = 0; round < 5; round++) {
        patch_of(&call, &lists, 2);
        EQ_INT(run(&call), NGX_OK);
        race_match = call.document.updated_at;

        for (i = 0; i < 8; i++) {
            OK(pthread_create(&threads[i], NULL, race, &codes[i]) == 0);
        }

        for (ok = 0, failed = 0, i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            ok += (codes[i] == NGX_OK);
            failed += (codes[i] == NGX_IV_PRECONDITION_FAILED);
        }

        EQ_INT(ok, 1);
        EQ_INT(failed, 7);
    }

    /* the server's clock went back: it goes on from where it is */

    ahead_of_time(2);

    for (i = 1; i < 4; i++) {
        patch_of(&call, &lists, 2);
        EQ_INT(run(&call), NGX_OK);
        EQ_INT(call.document.updated_at, 4 * START + i);
    }
}


static void
bulk_of(ngx_iv_mongo_call_t *call, ngx_iv_lists_t *lists,
    ngx_iv_bulk_e action, u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n)
{
    begin(call, lists, NGX_IV_MONGO_BULK);
    lists->bulk.action = action;
    lists->bulk.owner = str("alice");
    lists->bulk.ids = ids;
    lists->bulk.nids = n;
}


static void
test_bulk(void)
{
    int                   i;
    char                  buf[16];
    int64_t               before;
    u_char                ids[5][NGX_IV_ID_LEN];
    ngx_str_t             values[50];
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    /* 3, 4: alice's; 9999: none; one of bob's; a deleted one */

    id_of(ids[0], 3);
    id_of(ids[1], 4);
    id_of(ids[2], 9999);
    id_of(ids[3], 600);
    id_of(ids[4], IMAGES + 1);

    bulk_of(&call, &lists, NGX_IV_BULK_TAG, ids, 5);
    values[0] = str("$new");
    values[1] = str("all");
    lists.bulk.values = values;
    lists.bulk.nvalues = 2;

    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);
    EQ_INT(lists.found.ncodes, 5);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.codes[1], NGX_OK);
    EQ_INT(lists.found.codes[2], NGX_IV_NOT_FOUND);
    EQ_INT(lists.found.codes[3], NGX_IV_NOT_FOUND);
    EQ_INT(lists.found.codes[4], NGX_IV_NOT_FOUND);
    EQ_INT(lists.found.ndocuments, 4);
    EQ_INT(lists.found.documents[0].ntags, 3);
    EQ_STR(lists.found.documents[0].tags[0], "all");
    EQ_STR(lists.found.documents[0].tags[2], "$new");
    before = lists.found.documents[0].updated_at;
    OK(before > START);

    /* what is so already is left alone */

    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.count, 0);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.documents[0].updated_at, before);

    /* 3 has room for 47 more, 4 is filled with one of them first */

    for (i = 0; i < 48; i++) {
        snprintf(buf, sizeof(buf), "x%d", i);
        values[i] = str(buf);
    }

    bulk_of(&call, &lists, NGX_IV_BULK_TAG, ids + 1, 1);
    lists.bulk.values = values;
    lists.bulk.nvalues = 1;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 1);

    bulk_of(&call, &lists, NGX_IV_BULK_TAG, ids, 2);
    lists.bulk.values = values + 1;
    lists.bulk.nvalues = 47;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 1);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.codes[1], NGX_IV_BAD_PARAMETER);

    bulk_of(&call, &lists, NGX_IV_BULK_UNTAG, ids, 3);
    lists.bulk.values = values;
    lists.bulk.nvalues = 48;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.codes[1], NGX_OK);
    EQ_INT(lists.found.documents[0].ntags, 3);
    EQ_INT(lists.found.documents[1].ntags, 3);

    /* there is no list of users yet */

    bulk_of(&call, &lists, NGX_IV_BULK_SHARE, ids, 2);
    values[0] = str("bob");
    values[1] = str("0123456789abcdef01234567");
    lists.bulk.values = values;
    lists.bulk.nvalues = 2;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.documents[0].nshared, 2);

    bulk_of(&call, &lists, NGX_IV_BULK_UNSHARE, ids, 2);
    lists.bulk.values = values + 1;
    lists.bulk.nvalues = 1;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.codes[1], NGX_OK);
    EQ_INT(lists.found.documents[0].nshared, 1);
    EQ_STR(lists.found.documents[0].shared_with[0], "bob");

    bulk_of(&call, &lists, NGX_IV_BULK_PUBLISH, ids, 2);
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 1);
    EQ_INT(lists.found.codes[0], NGX_OK);
    EQ_INT(lists.found.documents[0].is_public, 1);

    bulk_of(&call, &lists, NGX_IV_BULK_UNPUBLISH, ids, 2);
    lists.bulk.owner.len = 0;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, 2);
    EQ_INT(lists.found.documents[0].is_public, 0);
}


static void
test_moderate(void)
{
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_MODERATE);
    id_of(call.id, 7);
    lists.block = 1;
    lists.reason = str("$title");
    EQ_INT(run(&call), NGX_OK);
    OK(call.document.blocked_at > START);
    EQ_STR(call.document.blocked_reason, "$title");

    lists.block = 0;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.document.blocked_at, 0);

    id_of(call.id, 9999);
    EQ_INT(again(&call), NGX_IV_NOT_FOUND);
}


static void
test_usage(void)
{
    int64_t               sum;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_USAGE);
    call.owner = str("alice");
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(call.count, IMAGES);
    OK(call.used > IMAGES && call.used < 7 * IMAGES);
    OK(call.quota_limit == NGX_IV_QUOTA_NONE);
    sum = call.used;

    call.quota.mode = NGX_IV_QUOTA_SIZE;
    call.quota.limit = 5000;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.used, sum);
    EQ_INT(call.quota_limit, 5000);

    call.quota.mode = NGX_IV_QUOTA_DOCUMENTS;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.quota_limit, 0);

    insert("users", BCON_NEW("_id", BCON_UTF8("alice"),
                             "storageQuota", "{", "used", BCON_DOUBLE(77),
                             "}", "name", BCON_UTF8("Alice")));
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.used, 77);
    OK(call.quota_limit == NGX_IV_QUOTA_NONE);

    call.owner = str("nobody");
    call.quota.mode = NGX_IV_QUOTA_OFF;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(call.used, 0);
    EQ_INT(call.count, 0);
}


static void
test_stats(void)
{
    int64_t               sum;
    ngx_uint_t            i;
    ngx_iv_stats_t       *stats;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    begin(&call, &lists, NGX_IV_MONGO_STATS);
    lists.now = START + 2 * 86400000LL;
    EQ_INT(run(&call), NGX_OK);

    stats = lists.found.stats;
    EQ_INT(stats->total.images, IMAGES + 10);
    EQ_INT(stats->statuses[NGX_IV_STATUS_READY].images, IMAGES + 10);
    EQ_INT(stats->statuses[NGX_IV_STATUS_ERROR].images, 3);
    EQ_INT(stats->statuses[NGX_IV_STATUS_UPLOADING].images, 1);
    EQ_INT(stats->ntypes, 2);
    EQ_INT(stats->types[0].images + stats->types[1].images, IMAGES + 10);
    EQ_INT(stats->types[0].bytes + stats->types[1].bytes,
           stats->total.bytes);

    for (sum = 0, i = 0; i < NGX_IV_STATS_DAYS; i++) {
        sum += stats->days[i].images;
    }

    EQ_INT(sum, IMAGES + 10);
    EQ_INT(stats->days[NGX_IV_STATS_DAYS - 3].images, IMAGES + 10);
    EQ_INT(stats->days[NGX_IV_STATS_DAYS - 3].day,
           START - START % 86400000LL);
    EQ_INT(stats->days[NGX_IV_STATS_DAYS - 1].day,
           stats->days[0].day + 29 * 86400000LL);

    lists.now = START + 40 * 86400000LL;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.stats->days[0].images, 0);
}


static void
test_users(void)
{
    int                   n, pages;
    char                  name[16];
    ngx_str_t             after;
    bson_oid_t            oid;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    for (n = 0; n < 6; n++) {
        snprintf(name, sizeof(name), "user%d", n);
        insert("users", BCON_NEW("_id", BCON_UTF8(name),
                                 "secret", BCON_UTF8("x")));
        bson_oid_init_from_string(&oid, "0123456789abcdef01234560");
        oid.bytes[11] = (uint8_t) n;
        insert("users", BCON_NEW("_id", BCON_OID(&oid),
                                 "preferences", "{",
                                     "autoDelete", BCON_BOOL(true),
                                     "defaultExpiry", BCON_INT32(n),
                                 "}",
                                 "storageQuota", "{",
                                     "limit", BCON_DOUBLE(1e6), "}"));
        insert("users", BCON_NEW("_id", BCON_INT32(n)));
    }

    insert("users", BCON_NEW("_id", BCON_UTF8("not an owner")));

    ngx_str_null(&after);

    for (n = 0, pages = 0; pages < 20; pages++) {
        begin(&call, &lists, NGX_IV_MONGO_USERS_LIST);
        call.limit = 2;
        lists.user.id = after;
        EQ_INT(run(&call), NGX_OK);
        n += (int) lists.found.nusers;

        if (!lists.found.more) {
            EQ_INT(lists.found.next.len, 0);
            break;
        }

        after = lists.found.next;
    }

    EQ_INT(n, 13);      /* alice, too */
    EQ_STR(lists.found.users[lists.found.nusers - 1].id,
           "0123456789abcdef01234505");
    EQ_INT(lists.found.users[lists.found.nusers - 1].limit, 1000000);
    EQ_INT(lists.found.users[lists.found.nusers - 1].default_expiry, 5);
    EQ_INT(lists.found.users[lists.found.nusers - 1].auto_delete, 1);
    EQ_INT(lists.found.users[lists.found.nusers - 1].used, -1);

    begin(&call, &lists, NGX_IV_MONGO_USERS_LIST);
    lists.user.id = str("x");
    EQ_INT(run(&call), NGX_IV_BAD_PARAMETER);
    lists.user.id = str("o12");
    EQ_INT(again(&call), NGX_IV_BAD_PARAMETER);
    lists.user.id = str("s\xff");
    EQ_INT(again(&call), NGX_IV_BAD_PARAMETER);

    begin(&call, &lists, NGX_IV_MONGO_USER_GET);
    lists.user.id = str("user3");
    EQ_INT(run(&call), NGX_OK);
    EQ_STR(lists.found.users[0].id, "user3");
    lists.user.id = str("nobody");
    EQ_INT(again(&call), NGX_IV_NOT_FOUND);
}


static void
test_user_patch(void)
{
    char                  *text;
    bson_t                *filter;
    const bson_t          *doc;
    ngx_iv_lists_t         lists;
    mongoc_cursor_t       *cursor;
    ngx_iv_mongo_call_t    call;
    mongoc_collection_t   *users;

    begin(&call, &lists, NGX_IV_MONGO_USER_PATCH);
    lists.user.id = str("alice");
    lists.user.has_limit = 1;
    lists.user.limit = 123;
    lists.user.has_auto_delete = 1;
    lists.user.auto_delete = 1;
    lists.user.has_default_expiry = 1;
    lists.user.default_expiry = 9;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.users[0].limit, 123);
    EQ_INT(lists.found.users[0].used, 77);
    EQ_INT(lists.found.users[0].default_expiry, 9);

    users = collection("users");
    filter = BCON_NEW("_id", BCON_UTF8("alice"));
    cursor = mongoc_collection_find_with_opts(users, filter, NULL, NULL);
    OK(mongoc_cursor_next(cursor, &doc));
    text = bson_as_relaxed_extended_json(doc, NULL);
    OK(strstr(text, "\"name\" : \"Alice\"") != NULL);
    bson_free(text);
    mongoc_cursor_destroy(cursor);
    mongoc_collection_destroy(users);
    bson_destroy(filter);

    /* null takes away; what is not said stays */

    begin(&call, &lists, NGX_IV_MONGO_USER_PATCH);
    lists.user.id = str("alice");
    lists.user.has_limit = 1;
    lists.user.limit = NGX_IV_QUOTA_NONE;
    lists.user.has_default_expiry = 1;
    EQ_INT(run(&call), NGX_OK);
    OK(lists.found.users[0].limit == NGX_IV_QUOTA_NONE);
    EQ_INT(lists.found.users[0].default_expiry, 0);
    EQ_INT(lists.found.users[0].auto_delete, 1);

    /* nothing at all: nothing is lost */

    begin(&call, &lists, NGX_IV_MONGO_USER_PATCH);
    lists.user.id = str("alice");
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.users[0].used, 77);

    /* a document without `used` gets it with its limit */

    begin(&call, &lists, NGX_IV_MONGO_USER_PATCH);
    lists.user.id = str("user1");
    lists.user.has_limit = 1;
    lists.user.limit = 5;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.users[0].used, 0);

    /* bob has images and no document */

    begin(&call, &lists, NGX_IV_MONGO_USER_PATCH);
    lists.user.id = str("bob");
    lists.user.has_auto_delete = 1;
    EQ_INT(run(&call), NGX_IV_NOT_FOUND);
    lists.user.has_limit = 1;
    lists.user.limit = NGX_IV_QUOTA_NONE;
    EQ_INT(again(&call), NGX_IV_NOT_FOUND);
    lists.user.limit = 1000;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.found.users[0].limit, 1000);
    OK(lists.found.users[0].used > 0);
}


static int64_t
trail(void)
{
    bson_t                empty;
    int64_t               n;
    bson_error_t          error;
    mongoc_collection_t  *c;

    bson_init(&empty);
    c = collection("image_vault_audit");
    n = mongoc_collection_count_documents(c, &empty, NULL, NULL, NULL, &error);
    mongoc_collection_destroy(c);

    return n;
}


static void
test_audit(void)
{
    int                    i;
    ngx_iv_lists_t         lists;
    ngx_iv_audit_item_t    items[3];
    ngx_iv_mongo_call_t    call;

    memset(items, 0, sizeof(items));

    for (i = 0; i < 3; i++) {
        id_of(items[i].id, i);
        items[i].at = START;
        items[i].entry.who = str("alice");
        items[i].entry.action = str("delete");
        items[i].entry.has_image = 1;
        items[i].entry.outcome = str("ok");
        items[i].entry.detail = str("a\xff");
    }

    begin(&call, &lists, NGX_IV_MONGO_AUDIT);
    lists.items = items;
    lists.nitems = 2;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.lost, 0);
    EQ_INT(trail(), 2);

    /* a batch that is written again */

    lists.nitems = 3;
    EQ_INT(again(&call), NGX_OK);
    EQ_INT(lists.lost, 0);
    EQ_INT(trail(), 3);
}


static void
setup(void)
{
    int                   i;
    ngx_iv_lists_t        lists;
    ngx_iv_mongo_call_t   call;

    for (i = 0; i < IMAGES; i++) {
        image("alice", i, "ready");
    }

    image("alice", IMAGES, "uploading");

    for (i = 1; i < 4; i++) {
        image("alice", IMAGES + i, "error");
    }

    for (i = 0; i < 10; i++) {
        image("bob", 600 + i, "ready");
    }

    /* lists don't wait for the indexes */

    begin(&call, &lists, NGX_IV_MONGO_LIST);
    lists.list.want_total = 1;
    EQ_INT(run(&call), NGX_OK);
    EQ_INT(lists.found.ndocuments, 20);
    EQ_INT(lists.found.total, IMAGES);

    begin(&call, &lists, NGX_IV_MONGO_INDEXES);
    EQ_INT(run(&call), NGX_OK);
}


int
main(void)
{
    char                    *uri;
    ngx_log_t                log;
    const char              *error;
    mongoc_database_t       *db;
    ngx_iv_metadata_conf_t   conf;

    memset(&log, 0, sizeof(log));
    pool = ngx_create_pool(4096, &log);

    RUN(test_bson);

    uri = mongo_uri();

    if (uri) {
        snprintf(database, sizeof(database), "iv_lists_%d", (int) getpid());

        memset(&conf, 0, sizeof(conf));
        conf.uri = str(uri);
        conf.database = str(database);
        conf.timeout = IV_MONGO_PATIENCE;
        conf.audit = 1;

        mongo = ngx_iv_mongo_create(&conf, &log, &error);
        OK(mongo != NULL);
        client = mongoc_client_new(uri);

        RUN(setup);
        RUN(test_cursor_form);
        RUN(test_page_form);
        RUN(test_get_many);
        RUN(test_stats);
        RUN(test_usage);
        RUN(test_patch);
        RUN(test_patch_race);
        RUN(test_bulk);
        RUN(test_moderate);
        RUN(test_users);
        RUN(test_user_patch);
        RUN(test_audit);
        RUN(test_stable);

        db = mongoc_client_get_database(client, database);
        (void) mongoc_database_drop(db, NULL);
        mongoc_database_destroy(db);
        mongoc_client_destroy(client);
        ngx_iv_mongo_destroy(mongo);
    }

    ngx_destroy_pool(pool);

    return iv_test_done();
}
