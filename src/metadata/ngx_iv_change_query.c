/*
 * Changes of images that are ready, as queries.  updatedAt is what clients
 * compare (If-Match), so it grows with every change, also with two within a
 * millisecond or by a clock that went back.
 */

#include "metadata/ngx_iv_list_query.h"
#include "metadata/ngx_iv_document.h"
#include "formats/ngx_iv_fields.h"


static bson_t *ngx_iv_change_filter(void);
static void ngx_iv_change_append_updated(bson_t *set);
static ngx_int_t ngx_iv_change_append_list(bson_t *b, const char *name,
    const ngx_str_t *list, ngx_uint_t n, ngx_uint_t who);
static ngx_int_t ngx_iv_change_append_fields(bson_t *set,
    const ngx_iv_patch_t *patch);
static bson_t *ngx_iv_change_stage(bson_t *set, ngx_int_t rc);
static ngx_int_t ngx_iv_change_append_room(bson_t *filter,
    const ngx_iv_bulk_t *bulk);
static ngx_int_t ngx_iv_change_bulk_list(bson_t *list,
    const ngx_iv_bulk_t *bulk);
static ngx_uint_t ngx_iv_change_has(const ngx_str_t *list, ngx_uint_t n,
    const ngx_str_t *value);


/* what an action works on */

typedef struct {
    const char  *name;
    const char  *path;
    ngx_uint_t   add;
    ngx_uint_t   who;
    ngx_uint_t   max;
} ngx_iv_change_kind_t;


static const ngx_iv_change_kind_t  ngx_iv_change_kinds[] = {
    { "metadata.tags", "$metadata.tags", 1, 0, NGX_IV_TAGS_MAX },
    { "metadata.tags", "$metadata.tags", 0, 0, 0 },
    { "access.sharedWith", "$access.sharedWith", 1, 1, NGX_IV_SHARED_MAX },
    { "access.sharedWith", "$access.sharedWith", 0, 1, 0 },
    { "access.isPublic", NULL, 1, 0, 0 },
    { "access.isPublic", NULL, 0, 0, 0 }
};


static bson_t *
ngx_iv_change_filter(void)
{
    return BCON_NEW("status", BCON_UTF8("ready"),
                    "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                    "storage", "{", "$type", BCON_UTF8("string"), "}",
                    "deletedAt", "{", "$in", "[",
                        BCON_NULL, BCON_BOOL(false),
                    "]", "}");
}


bson_t *
ngx_iv_change_patch_filter(const ngx_iv_patch_t *patch)
{
    bson_t      *filter;
    bson_oid_t   oid;

    filter = ngx_iv_change_filter();

    bson_oid_init_from_data(&oid, patch->id);
    (void) bson_append_oid(filter, "_id", -1, &oid);

    if (patch->if_match) {
        (void) bson_append_date_time(filter, "updatedAt", -1,
                                     patch->if_match);
    }

    if (patch->owner.len
        && ngx_iv_document_append_owner(filter, "userId", &patch->owner)
           != NGX_OK)
    {
        bson_destroy(filter);
        return NULL;
    }

    return filter;
}


/* an update in stages: what clients say stands behind $literal */

bson_t *
ngx_iv_change_patch_update(const ngx_iv_patch_t *patch)
{
    bson_t      set;
    ngx_int_t   rc;

    bson_init(&set);

    rc = ngx_iv_change_append_fields(&set, patch);

    return ngx_iv_change_stage(&set, rc);
}


static ngx_int_t
ngx_iv_change_append_fields(bson_t *set, const ngx_iv_patch_t *patch)
{
    bson_t      value;
    ngx_int_t   rc;

    if (patch->has_original_name) {
        (void) bson_append_document_begin(set, "originalName", -1, &value);
        rc = ngx_iv_list_append_str(&value, "$literal",
                                    &patch->original_name);
        (void) bson_append_document_end(set, &value);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (patch->has_tags) {
        (void) bson_append_document_begin(set, "metadata.tags", -1, &value);
        rc = ngx_iv_change_append_list(&value, "$literal", patch->tags,
                                       patch->ntags, 0);
        (void) bson_append_document_end(set, &value);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (patch->has_shared_with) {
        (void) bson_append_document_begin(set, "access.sharedWith", -1,
                                          &value);
        rc = ngx_iv_change_append_list(&value, "$literal",
                                       patch->shared_with, patch->nshared, 1);
        (void) bson_append_document_end(set, &value);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (patch->has_is_public) {
        BCON_APPEND(set, "access.isPublic", "{",
                             "$literal", BCON_BOOL(patch->is_public != 0),
                         "}");
    }

    if (patch->has_expires_at && patch->expires_at) {
        (void) bson_append_date_time(set, "access.expiresAt", -1,
                                     patch->expires_at);

    } else if (patch->has_expires_at) {

        /* absent without an expiry: the index on it is sparse */

        (void) bson_append_utf8(set, "access.expiresAt", -1, "$$REMOVE", -1);
    }

    return NGX_OK;
}


/* frees the set */

static bson_t *
ngx_iv_change_stage(bson_t *set, ngx_int_t rc)
{
    bson_t  *update;

    update = NULL;

    if (rc == NGX_OK) {
        ngx_iv_change_append_updated(set);
        update = BCON_NEW("0", "{", "$set", BCON_DOCUMENT(set), "}");
    }

    bson_destroy(set);

    return update;
}


static void
ngx_iv_change_append_updated(bson_t *set)
{
    BCON_APPEND(set, "updatedAt", "{", "$cond", "[",
                         "{", "$eq", "[",
                             "{", "$type", BCON_UTF8("$updatedAt"), "}",
                             BCON_UTF8("date"),
                         "]", "}",
                         "{", "$max", "[",
                             BCON_UTF8("$$NOW"),
                             "{", "$add", "[",
                                 BCON_UTF8("$updatedAt"), BCON_INT32(1),
                             "]", "}",
                         "]", "}",
                         BCON_UTF8("$$NOW"),
                     "]", "}");
}


static ngx_int_t
ngx_iv_change_append_list(bson_t *b, const char *name, const ngx_str_t *list,
    ngx_uint_t n, ngx_uint_t who)
{
    char         buf[16];
    bson_t       array;
    const char  *index;
    ngx_int_t    rc;
    ngx_uint_t   i;

    rc = NGX_OK;

    (void) ngx_iv_bson_array_begin(b, name, -1, &array);

    for (i = 0; i < n && rc == NGX_OK; i++) {
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));

        rc = who ? ngx_iv_document_append_owner(&array, index, &list[i])
                 : ngx_iv_list_append_str(&array, index, &list[i]);
    }

    (void) bson_append_array_end(b, &array);

    return rc;
}


/* a document that is as wanted already, or has no room, is not touched */

bson_t *
ngx_iv_change_bulk_filter(const ngx_iv_bulk_t *bulk)
{
    bson_t                       *filter, cond, not;
    ngx_int_t                     rc;
    const ngx_iv_change_kind_t   *kind;

    kind = &ngx_iv_change_kinds[bulk->action];

    filter = ngx_iv_change_filter();
    ngx_iv_list_append_ids(filter, bulk->ids, bulk->nids);

    rc = NGX_OK;

    if (bulk->owner.len) {
        rc = ngx_iv_document_append_owner(filter, "userId", &bulk->owner);
    }

    (void) bson_append_document_begin(filter, kind->name, -1, &cond);

    if (kind->path == NULL) {
        (void) bson_append_bool(&cond, "$ne", -1, kind->add ? true : false);

    } else if (rc == NGX_OK && kind->add) {
        (void) bson_append_document_begin(&cond, "$not", -1, &not);
        rc = ngx_iv_change_append_list(&not, "$all", bulk->values,
                                       bulk->nvalues, kind->who);
        (void) bson_append_document_end(&cond, &not);

    } else if (rc == NGX_OK) {
        rc = ngx_iv_change_append_list(&cond, "$in", bulk->values,
                                       bulk->nvalues, kind->who);
    }

    (void) bson_append_document_end(filter, &cond);

    if (rc == NGX_OK && kind->max) {
        rc = ngx_iv_change_append_room(filter, bulk);
    }

    if (rc != NGX_OK) {
        bson_destroy(filter);
        return NULL;
    }

    return filter;
}


static ngx_int_t
ngx_iv_change_append_room(bson_t *filter, const ngx_iv_bulk_t *bulk)
{
    bson_t      list;
    int32_t     max;
    ngx_int_t   rc;

    bson_init(&list);

    rc = ngx_iv_change_bulk_list(&list, bulk);
    max = (int32_t) ngx_iv_change_kinds[bulk->action].max;

    BCON_APPEND(filter, "$expr", "{", "$lte", "[",
                            "{", "$size", BCON_DOCUMENT(&list), "}",
                            BCON_INT32(max),
                        "]", "}");

    bson_destroy(&list);

    return rc;
}


bson_t *
ngx_iv_change_bulk_update(const ngx_iv_bulk_t *bulk)
{
    bson_t                        set, list;
    ngx_int_t                     rc;
    const ngx_iv_change_kind_t   *kind;

    kind = &ngx_iv_change_kinds[bulk->action];

    bson_init(&set);
    rc = NGX_OK;

    if (kind->path == NULL) {
        (void) bson_append_bool(&set, kind->name, -1,
                                kind->add ? true : false);

    } else {
        bson_init(&list);
        rc = ngx_iv_change_bulk_list(&list, bulk);
        (void) bson_append_document(&set, kind->name, -1, &list);
        bson_destroy(&list);
    }

    return ngx_iv_change_stage(&set, rc);
}


/* the expression of the list after the change */

static ngx_int_t
ngx_iv_change_bulk_list(bson_t *list, const ngx_iv_bulk_t *bulk)
{
    bson_t                       *old, values;
    ngx_int_t                     rc;
    const ngx_iv_change_kind_t   *kind;

    kind = &ngx_iv_change_kinds[bulk->action];

    bson_init(&values);
    rc = ngx_iv_change_append_list(&values, "$literal", bulk->values,
                                   bulk->nvalues, kind->who);

    /* also what is no list */

    old = BCON_NEW("$cond", "[",
                       "{", "$isArray", BCON_UTF8(kind->path), "}",
                       BCON_UTF8(kind->path),
                       "[", "]",
                   "]");

    if (kind->add) {
        BCON_APPEND(list, "$concatArrays", "[",
                              BCON_DOCUMENT(old),
                              "{", "$filter", "{",
                                  "input", BCON_DOCUMENT(&values),
                                  "cond", "{", "$not", "[",
                                      "{", "$in", "[",
                                          BCON_UTF8("$$this"),
                                          BCON_DOCUMENT(old),
                                      "]", "}",
                                  "]", "}",
                              "}", "}",
                          "]");

    } else {
        BCON_APPEND(list, "$filter", "{",
                              "input", BCON_DOCUMENT(old),
                              "cond", "{", "$not", "[",
                                  "{", "$in", "[",
                                      BCON_UTF8("$$this"),
                                      BCON_DOCUMENT(&values),
                                  "]", "}",
                              "]", "}",
                          "}");
    }

    bson_destroy(old);
    bson_destroy(&values);

    return rc;
}


ngx_int_t
ngx_iv_change_bulk_judge(const ngx_iv_bulk_t *bulk,
    const ngx_iv_document_t *doc)
{
    ngx_str_t                    *list;
    ngx_uint_t                    i, n, held;
    const ngx_iv_change_kind_t   *kind;

    kind = &ngx_iv_change_kinds[bulk->action];

    if (kind->path == NULL) {
        return (doc->is_public == kind->add) ? NGX_OK : NGX_IV_CONFLICT;
    }

    list = kind->who ? doc->shared_with : doc->tags;
    n = kind->who ? doc->nshared : doc->ntags;
    held = 0;

    for (i = 0; i < bulk->nvalues; i++) {
        held += ngx_iv_change_has(list, n, &bulk->values[i]);
    }

    if (held == (kind->add ? bulk->nvalues : 0)) {
        return NGX_OK;
    }

    if (kind->add && n + bulk->nvalues - held > kind->max) {
        return NGX_IV_BAD_PARAMETER;
    }

    return NGX_IV_CONFLICT;
}


static ngx_uint_t
ngx_iv_change_has(const ngx_str_t *list, ngx_uint_t n, const ngx_str_t *value)
{
    ngx_uint_t   i;

    for (i = 0; i < n; i++) {
        if (list[i].len == value->len
            && ngx_memcmp(list[i].data, value->data, value->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


bson_t *
ngx_iv_change_moderate_filter(const u_char id[NGX_IV_ID_LEN])
{
    bson_t      *filter;
    bson_oid_t   oid;

    filter = ngx_iv_change_filter();

    bson_oid_init_from_data(&oid, id);
    (void) bson_append_oid(filter, "_id", -1, &oid);

    return filter;
}


bson_t *
ngx_iv_change_moderate_update(const ngx_str_t *reason)
{
    bson_t      set, blocked, value;
    ngx_int_t   rc;

    bson_init(&set);
    rc = NGX_OK;

    if (reason == NULL) {
        (void) bson_append_utf8(&set, "blocked", -1, "$$REMOVE", -1);

    } else {

        (void) bson_append_document_begin(&set, "blocked", -1, &blocked);
        (void) bson_append_utf8(&blocked, "at", -1, "$$NOW", -1);
        (void) bson_append_document_begin(&blocked, "reason", -1, &value);
        rc = ngx_iv_list_append_str(&value, "$literal", reason);
        (void) bson_append_document_end(&blocked, &value);
        (void) bson_append_document_end(&set, &blocked);
    }

    return ngx_iv_change_stage(&set, rc);
}
