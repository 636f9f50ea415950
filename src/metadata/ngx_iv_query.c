#include "metadata/ngx_iv_query.h"
#include "metadata/ngx_iv_document.h"


typedef struct {
    const char  *name;
    const char  *keys[6];       /* ascending, with "-" before it: descending */
    bool         sparse;
} ngx_iv_query_index_t;


static bson_t *ngx_iv_query_sweep(const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_query_older(bson_t *filter, const char *field,
    const char *too, ngx_msec_t age);
static bson_t *ngx_iv_query_stale(const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_query_after(bson_t *filter,
    const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_query_insert(const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_query_ready(const ngx_iv_mongo_call_t *call);
static bson_t *ngx_iv_query_multipart(const ngx_iv_mongo_call_t *call);


/* named as the server names them by default, so that an index that was made
 * by hand is found to be the same */

static const ngx_iv_query_index_t  ngx_iv_query_indexes[] = {

    { "userId_1_status_1_metadata.uploadedAt_-1__id_-1",
      { "userId", "status", "-metadata.uploadedAt", "-_id", NULL }, false },

    { "userId_1_status_1_size_1__id_1",
      { "userId", "status", "size", "_id", NULL }, false },

    { "userId_1_status_1_originalName_1__id_1",
      { "userId", "status", "originalName", "_id", NULL }, false },

    { "userId_1_status_1_metadata.tags_1_metadata.uploadedAt_-1__id_-1",
      { "userId", "status", "metadata.tags", "-metadata.uploadedAt", "-_id",
        NULL }, false },

    { "status_1_updatedAt_1", { "status", "updatedAt", NULL }, false },

    { "access.expiresAt_1", { "access.expiresAt", NULL }, true },

    { "deletedAt_1", { "deletedAt", NULL }, true },

    /* only of images that were uploaded directly not long ago */

    { "direct.deadline_1", { "direct.deadline", NULL }, true },

    /* only of images whose multipart upload was begun by several tries */

    { "s3UploadsAt_1", { "s3UploadsAt", NULL }, true }
};


bson_t *
ngx_iv_query_filter(const ngx_iv_mongo_call_t *call)
{
    bson_t      *filter;
    bson_oid_t   oid;

    bson_oid_init_from_data(&oid, call->id);

    switch (call->kind) {

    case NGX_IV_MONGO_TOUCH:
    case NGX_IV_MONGO_MULTIPART:
    case NGX_IV_MONGO_READY:
    case NGX_IV_MONGO_FAIL:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "status", BCON_UTF8("uploading"));

    case NGX_IV_MONGO_LEASE_RELEASE:
        filter = BCON_NEW("_id", BCON_UTF8("sweep"));
        (void) bson_append_utf8(filter, "holder", -1,
                                (char *) call->holder.data,
                                (int) call->holder.len);
        return filter;

    case NGX_IV_MONGO_STAGING_DELETED:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "direct", "{", "$exists", BCON_BOOL(true), "}");

    case NGX_IV_MONGO_UPLOADS_ENDED:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "s3UploadsAt", "{", "$exists", BCON_BOOL(true), "}");

    case NGX_IV_MONGO_DIRECT_UNCLAIM:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "status", BCON_UTF8("uploading"),
                        "direct.claimed", "{", "$exists", BCON_BOOL(true),
                        "}");

    case NGX_IV_MONGO_OBJECT_DELETED:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "status", BCON_UTF8("error"),
                        "deletedAt", "{", "$exists", BCON_BOOL(true), "}",
                        "objectDeletedAt", "{", "$exists", BCON_BOOL(false),
                        "}");

    case NGX_IV_MONGO_REMOVE:
        return BCON_NEW("_id", BCON_OID(&oid),
                        "status", BCON_UTF8("error"),
                        "deletedAt", "{", "$exists", BCON_BOOL(true), "}",
                        "objectDeletedAt", "{", "$exists", BCON_BOOL(true),
                        "}");

    case NGX_IV_MONGO_SWEEP_STALE:
    case NGX_IV_MONGO_SWEEP_EXPIRED:
    case NGX_IV_MONGO_SWEEP_FIRST:
    case NGX_IV_MONGO_SWEEP_SECOND:
    case NGX_IV_MONGO_SWEEP_STAGING:
    case NGX_IV_MONGO_SWEEP_UPLOADS:
        return ngx_iv_query_sweep(call);

    default:
        return BCON_NEW("_id", BCON_OID(&oid));
    }
}


/* documents of other writers have no storage: they are left alone */

static bson_t *
ngx_iv_query_sweep(const ngx_iv_mongo_call_t *call)
{
    bson_t  *filter;

    switch (call->kind) {

    case NGX_IV_MONGO_SWEEP_STALE:
        return ngx_iv_query_stale(call);

    case NGX_IV_MONGO_SWEEP_EXPIRED:

        /* only what a delete takes: the rest would hide what is behind it */

        return BCON_NEW("status", "{", "$in", "[",
                            BCON_UTF8("ready"), BCON_UTF8("processing"),
                        "]", "}",
                        "userId", "{",
                            "$type", "[",
                                BCON_UTF8("string"), BCON_UTF8("objectId"),
                            "]",
                            "$ne", BCON_UTF8(""),
                        "}",
                        "deletedAt", "{", "$in", "[",
                            BCON_NULL, BCON_BOOL(false),
                        "]", "}",
                        "deletion.id", "{", "$exists", BCON_BOOL(false), "}",
                        "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                        "storage", "{", "$type", BCON_UTF8("string"), "}",
                        "access.expiresAt", "{",
                            "$type", BCON_UTF8("date"),
                        "}",
                        "$expr", "{", "$lte", "[",
                            BCON_UTF8("$access.expiresAt"),
                            BCON_UTF8("$$NOW"),
                        "]", "}");

    case NGX_IV_MONGO_SWEEP_FIRST:
        filter = BCON_NEW("status", BCON_UTF8("error"),
                          "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                          "storage", "{", "$type", BCON_UTF8("string"), "}",
                          "deletedAt", "{", "$type", BCON_UTF8("date"), "}",
                          "objectDeletedAt", "{", "$exists",
                              BCON_BOOL(false), "}");
        return ngx_iv_query_after(filter, call);

    case NGX_IV_MONGO_SWEEP_SECOND:
        filter = BCON_NEW("status", BCON_UTF8("error"),
                          "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                          "storage", "{", "$type", BCON_UTF8("string"), "}",
                          "deletedAt", "{", "$type", BCON_UTF8("date"), "}",
                          "objectDeletedAt", "{", "$type",
                              BCON_UTF8("date"), "}");

        /* a client may send to a ticket's URL to its very end */

        return ngx_iv_query_after(ngx_iv_query_older(filter,
                                                     "$objectDeletedAt",
                                                     "$direct.deadline",
                                                     call->ttl),
                                  call);

    case NGX_IV_MONGO_SWEEP_UPLOADS:
        filter = BCON_NEW("status", "{", "$in", "[",
                              BCON_UTF8("ready"), BCON_UTF8("processing"),
                          "]", "}",
                          "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                          "storage", "{", "$type", BCON_UTF8("string"), "}",
                          "s3UploadsAt", "{", "$type", BCON_UTF8("date"),
                          "}");
        return ngx_iv_query_after(ngx_iv_query_older(filter, "$s3UploadsAt",
                                                     NULL, call->ttl),
                                  call);

    default: /* NGX_IV_MONGO_SWEEP_STAGING */
        filter = BCON_NEW("direct.deadline", "{",
                              "$type", BCON_UTF8("date"),
                          "}",
                          "direct.stagingKey", "{",
                              "$type", BCON_UTF8("string"),
                          "}",
                          "status", "{", "$in", "[",
                              BCON_UTF8("ready"), BCON_UTF8("processing"),
                          "]", "}");
        return ngx_iv_query_after(ngx_iv_query_older(filter,
                                                     "$direct.deadline", NULL,
                                                     call->ttl),
                                  call);
    }
}


/*
 * By the server's clock: those of the nodes may differ.  too: another field
 * that must not be younger, or NULL.  A bare comparison with it would let the
 * server use a sparse index and lose the documents that do not have it.
 */

static bson_t *
ngx_iv_query_older(bson_t *filter, const char *field, const char *too,
    ngx_msec_t age)
{
    bson_t  *before;

    before = BCON_NEW("$subtract", "[",
                          BCON_UTF8("$$NOW"), BCON_INT64((int64_t) age),
                      "]");

    if (too) {
        BCON_APPEND(filter,
                    "$expr", "{", "$and", "[",
                        "{", "$lt", "[",
                            BCON_UTF8(field), BCON_DOCUMENT(before),
                        "]", "}",
                        "{", "$lt", "[",
                            "{", "$ifNull", "[",
                                BCON_UTF8(too), BCON_DATE_TIME(0),
                            "]", "}",
                            BCON_DOCUMENT(before),
                        "]", "}",
                    "]", "}");

    } else {
        BCON_APPEND(filter,
                    "$expr", "{", "$lt", "[",
                        BCON_UTF8(field), BCON_DOCUMENT(before),
                    "]", "}");
    }

    bson_destroy(before);

    return filter;
}


/*
 * A ticket has until its deadline, unless somebody is completing it, whose
 * heartbeats count like those of an upload.
 */

static bson_t *
ngx_iv_query_stale(const ngx_iv_mongo_call_t *call)
{
    return BCON_NEW("status", BCON_UTF8("uploading"),
                    "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                    "storage", "{", "$type", BCON_UTF8("string"), "}",
                    "updatedAt", "{", "$type", BCON_UTF8("date"), "}",
                    "$expr", "{", "$cond", "[",
                        "{", "$and", "[",
                            "{", "$eq", "[",
                                "{", "$type",
                                    BCON_UTF8("$direct.deadline"), "}",
                                BCON_UTF8("date"),
                            "]", "}",
                            "{", "$eq", "[",
                                "{", "$type",
                                    BCON_UTF8("$direct.claimed"), "}",
                                BCON_UTF8("missing"),
                            "]", "}",
                        "]", "}",
                        "{", "$lt", "[",
                            BCON_UTF8("$direct.deadline"),
                            BCON_UTF8("$$NOW"),
                        "]", "}",
                        "{", "$lt", "[",
                            BCON_UTF8("$updatedAt"),
                            "{", "$subtract", "[",
                                BCON_UTF8("$$NOW"),
                                BCON_INT64((int64_t) call->ttl),
                            "]", "}",
                        "]", "}",
                    "]", "}");
}


static bson_t *
ngx_iv_query_after(bson_t *filter, const ngx_iv_mongo_call_t *call)
{
    bson_oid_t   oid;
    const char  *by;

    if (call->after == 0) {
        return filter;
    }

    by = ngx_iv_query_order(call);

    bson_oid_init_from_data(&oid, call->after_id);

    BCON_APPEND(filter,
                "$or", "[",
                    "{", by, "{",
                        "$gt", BCON_DATE_TIME(call->after),
                    "}", "}",
                    "{", by, BCON_DATE_TIME(call->after),
                        "_id", "{", "$gt", BCON_OID(&oid), "}",
                    "}",
                "]");

    return filter;
}


const char *
ngx_iv_query_order(const ngx_iv_mongo_call_t *call)
{
    switch (call->kind) {

    case NGX_IV_MONGO_SWEEP_STALE:
        return "updatedAt";

    case NGX_IV_MONGO_SWEEP_EXPIRED:
        return "access.expiresAt";

    case NGX_IV_MONGO_SWEEP_STAGING:
        return "direct.deadline";

    case NGX_IV_MONGO_SWEEP_UPLOADS:
        return "s3UploadsAt";

    default:
        return "deletedAt";
    }
}


bson_t *
ngx_iv_query_list(const ngx_iv_mongo_call_t *call)
{
    return BCON_NEW("limit", BCON_INT64((int64_t) call->limit),
                    "sort", "{",
                        ngx_iv_query_order(call), BCON_INT32(1),
                        "_id", BCON_INT32(1),
                    "}",
                    "projection", "{",
                        "r2Key", BCON_INT32(1),
                        "storage", BCON_INT32(1),
                        "userId", BCON_INT32(1),
                        "s3UploadId", BCON_INT32(1),
                        "s3UploadsAt", BCON_INT32(1),
                        "direct", BCON_INT32(1),
                        "deletedAt", BCON_INT32(1),
                    "}");
}


void
ngx_iv_query_among(bson_t *filter, const ngx_iv_mongo_call_t *call)
{
    char         buf[16];
    bson_t       sub, in;
    const char  *index;
    bson_oid_t   oid;
    ngx_uint_t   i;

    (void) bson_append_document_begin(filter, "_id", -1, &sub);
    (void) ngx_iv_bson_array_begin(&sub, "$in", -1, &in);

    for (i = 0; i < call->nrefs; i++) {
        bson_oid_init_from_data(&oid, call->refs[i].id);
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));
        (void) bson_append_oid(&in, index, -1, &oid);
    }

    (void) bson_append_array_end(&sub, &in);
    (void) bson_append_document_end(filter, &sub);
}


bson_t *
ngx_iv_query_update(const ngx_iv_mongo_call_t *call)
{
    switch (call->kind) {

    case NGX_IV_MONGO_INSERT:
        return ngx_iv_query_insert(call);

    case NGX_IV_MONGO_READY:
        return ngx_iv_query_ready(call);

    case NGX_IV_MONGO_MULTIPART:
        return ngx_iv_query_multipart(call);

    case NGX_IV_MONGO_FAIL:
    case NGX_IV_MONGO_SWEEP_STALE:
        return BCON_NEW("$set", "{",
                            "status", BCON_UTF8("error"),
                            "error", BCON_UTF8((char *) call->why),
                        "}",
                        "$currentDate", "{",
                            "deletedAt", BCON_BOOL(true),
                            "updatedAt", BCON_BOOL(true),
                        "}");

    case NGX_IV_MONGO_STAGING_DELETED:
        return BCON_NEW("$unset", "{", "direct", BCON_UTF8(""), "}");

    case NGX_IV_MONGO_UPLOADS_ENDED:
        return BCON_NEW("$unset", "{", "s3UploadsAt", BCON_UTF8(""), "}");

    case NGX_IV_MONGO_DIRECT_UNCLAIM:
        return BCON_NEW("$unset", "{",
                            "direct.claimed", BCON_UTF8(""),
                            "direct.claim", BCON_UTF8(""),
                        "}");

    case NGX_IV_MONGO_LEASE_RELEASE:
        return BCON_NEW("$unset", "{",
                            "holder", BCON_UTF8(""),
                            "renewedAt", BCON_UTF8(""),
                        "}");

    case NGX_IV_MONGO_OBJECT_DELETED:
        return BCON_NEW("$currentDate", "{",
                            "objectDeletedAt", BCON_BOOL(true),
                            "updatedAt", BCON_BOOL(true),
                        "}");

    default:
        return BCON_NEW("$currentDate", "{",
                            "updatedAt", BCON_BOOL(true),
                        "}");
    }
}


static bson_t *
ngx_iv_query_insert(const ngx_iv_mongo_call_t *call)
{
    bson_t     *update, set;
    ngx_int_t   rc;

    update = BCON_NEW("$currentDate", "{",
                          "updatedAt", BCON_BOOL(true),
                      "}");

    (void) bson_append_document_begin(update, "$setOnInsert", -1, &set);
    rc = ngx_iv_document_append(&set, &call->document);

    if (call->document.multipart
        && !bson_append_utf8(&set, "s3UploadId", -1, "", 0))
    {
        rc = NGX_ERROR;
    }

    (void) bson_append_document_end(update, &set);

    if (rc != NGX_OK) {
        bson_destroy(update);
        return NULL;
    }

    return update;
}


static bson_t *
ngx_iv_query_ready(const ngx_iv_mongo_call_t *call)
{
    bson_t     *update, set, now;
    ngx_int_t   rc;

    update = BCON_NEW("$unset", "{", "s3UploadId", BCON_UTF8(""), "}");

    (void) bson_append_document_begin(update, "$currentDate", -1, &now);
    (void) bson_append_bool(&now, "updatedAt", -1, true);

    if (call->document.multipart) {
        (void) bson_append_bool(&now, "s3UploadsAt", -1, true);
    }

    (void) bson_append_document_end(update, &now);

    (void) bson_append_document_begin(update, "$set", -1, &set);
    (void) bson_append_utf8(&set, "status", -1, "ready", -1);

    rc = ngx_iv_document_append_result(&set, &call->document);

    if (rc == NGX_OK) {
        rc = ngx_iv_document_append_fields(&set, &call->document);
    }

    (void) bson_append_document_end(update, &set);

    if (rc != NGX_OK) {
        bson_destroy(update);
        return NULL;
    }

    return update;
}


static bson_t *
ngx_iv_query_multipart(const ngx_iv_mongo_call_t *call)
{
    bool     ok;
    bson_t  *update, set;

    update = BCON_NEW("$currentDate", "{",
                          "updatedAt", BCON_BOOL(true),
                      "}");

    (void) bson_append_document_begin(update, "$set", -1, &set);
    ok = bson_append_utf8(&set, "s3UploadId", -1,
                          (char *) call->upload_id.data,
                          (int) call->upload_id.len);
    (void) bson_append_document_end(update, &set);

    if (!ok) {
        bson_destroy(update);
        return NULL;
    }

    return update;
}


bson_t *
ngx_iv_query_index(const char *collection, ngx_uint_t n)
{
    bson_t                       *command, list, spec, keys;
    const char                   *key;
    ngx_uint_t                    i;
    const ngx_iv_query_index_t   *index;

    if (n >= sizeof(ngx_iv_query_indexes) / sizeof(ngx_iv_query_indexes[0])) {
        return NULL;
    }

    index = &ngx_iv_query_indexes[n];

    command = BCON_NEW("createIndexes", BCON_UTF8(collection));

    (void) ngx_iv_bson_array_begin(command, "indexes", -1, &list);
    (void) bson_append_document_begin(&list, "0", -1, &spec);
    (void) bson_append_document_begin(&spec, "key", -1, &keys);

    for (i = 0; index->keys[i]; i++) {
        key = index->keys[i];

        if (key[0] == '-') {
            (void) bson_append_int32(&keys, key + 1, -1, -1);

        } else {
            (void) bson_append_int32(&keys, key, -1, 1);
        }
    }

    (void) bson_append_document_end(&spec, &keys);
    (void) bson_append_utf8(&spec, "name", -1, index->name, -1);

    if (index->sparse) {
        (void) bson_append_bool(&spec, "sparse", -1, true);
    }

    (void) bson_append_document_end(&list, &spec);
    (void) bson_append_array_end(command, &list);

    return command;
}
