/*
 * Lists as queries.  A page behind a cursor is asked for as
 *
 *     {$or: [{owner, status, key: v, _id: {$lt: id}},
 *            {owner, status, key: {$lt: v}}], …}
 *
 * with a hint: each branch is one tight range of the same index, the server
 * merges them in order, and looks at what is listed and one document more.
 * What no index knows stands beside the $or: it is looked at after the merge.
 */

#include "metadata/ngx_iv_list_query.h"
#include "metadata/ngx_iv_document.h"


static ngx_int_t ngx_iv_list_append_first(bson_t *b,
    const ngx_iv_list_t *list);
static ngx_int_t ngx_iv_list_append_range(bson_t *b,
    const ngx_iv_list_t *list, ngx_iv_sort_e key, ngx_uint_t after);
static ngx_int_t ngx_iv_list_append_prefix(bson_t *range,
    const ngx_str_t *prefix, ngx_uint_t low);
static size_t ngx_iv_list_successor(u_char *p, size_t n);
static size_t ngx_iv_list_put_utf8(u_char *p, uint32_t c);
static ngx_int_t ngx_iv_list_append_after(bson_t *b,
    const ngx_iv_list_t *list);
static ngx_int_t ngx_iv_list_append_value(bson_t *b, const char *name,
    const ngx_iv_list_t *list);
static ngx_int_t ngx_iv_list_append_rest(bson_t *b,
    const ngx_iv_list_t *list);
static void ngx_iv_list_append_hint(bson_t *b, const ngx_iv_list_t *list);


static const char  *ngx_iv_list_keys[] = {
    "metadata.uploadedAt", "size", "originalName"
};


bson_t *
ngx_iv_list_filter(const ngx_iv_list_t *list, ngx_uint_t position)
{
    bson_t     *filter;
    ngx_int_t   rc;

    filter = bson_new();

    if (position && list->has_after) {
        rc = ngx_iv_list_append_after(filter, list);

    } else {
        rc = ngx_iv_list_append_first(filter, list);

        if (rc == NGX_OK) {
            rc = ngx_iv_list_append_range(filter, list, list->sort, 0);
        }
    }

    if (rc != NGX_OK || ngx_iv_list_append_rest(filter, list) != NGX_OK) {
        bson_destroy(filter);
        return NULL;
    }

    return filter;
}


/* what the index begins with */

static ngx_int_t
ngx_iv_list_append_first(bson_t *b, const ngx_iv_list_t *list)
{
    if (list->owner.len
        && ngx_iv_document_append_owner(b, "userId", &list->owner) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (list->status != NGX_IV_STATUS_ANY
        && !bson_append_utf8(b, "status", -1,
                             ngx_iv_document_status(list->status), -1))
    {
        return NGX_ERROR;
    }

    if (list->ntags == 0) {
        return NGX_OK;
    }

    return ngx_iv_list_append_str(b, "metadata.tags", &list->tags[0]);
}


/* from, to or q, if they are about this key; after: and behind the cursor */

static ngx_int_t
ngx_iv_list_append_range(bson_t *b, const ngx_iv_list_t *list,
    ngx_iv_sort_e key, ngx_uint_t after)
{
    bson_t       range;
    ngx_int_t    rc;
    ngx_uint_t   low, high;

    low = !(after && !list->desc);
    high = !(after && list->desc);

    bson_init(&range);
    rc = NGX_OK;

    if (after) {
        rc = ngx_iv_list_append_value(&range, list->desc ? "$lt" : "$gt",
                                      list);
    }

    if (key == NGX_IV_SORT_UPLOADED) {

        if (list->from && low) {
            (void) bson_append_date_time(&range, "$gte", -1, list->from);
        }

        if (list->to && high) {
            (void) bson_append_date_time(&range, "$lte", -1, list->to);
        }

    } else if (key == NGX_IV_SORT_NAME && list->q.len) {

        if (rc == NGX_OK && low) {
            rc = ngx_iv_list_append_prefix(&range, &list->q, 1);
        }

        if (rc == NGX_OK && high) {
            rc = ngx_iv_list_append_prefix(&range, &list->q, 0);
        }
    }

    if (!bson_empty(&range)) {
        (void) bson_append_document(b, ngx_iv_list_keys[key], -1, &range);
    }

    bson_destroy(&range);

    return rc;
}


/* names are compared byte by byte */

static ngx_int_t
ngx_iv_list_append_prefix(bson_t *range, const ngx_str_t *prefix,
    ngx_uint_t low)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   end;

    if (low) {
        return ngx_iv_list_append_str(range, "$gte", prefix);
    }

    if (!bson_utf8_validate((char *) prefix->data, prefix->len, false)) {
        return NGX_ERROR;
    }

    p = bson_malloc(prefix->len + 4);
    ngx_memcpy(p, prefix->data, prefix->len);

    end.data = p;
    end.len = ngx_iv_list_successor(p, prefix->len);

    rc = end.len ? ngx_iv_list_append_str(range, "$lt", &end) : NGX_OK;

    bson_free(p);

    return rc;
}


/* the least string above all that begin with p; 0: there is none */

static size_t
ngx_iv_list_successor(u_char *p, size_t n)
{
    u_char     *s;
    size_t      len, i;
    uint32_t    c;

    while (n) {
        s = p + n - 1;

        while (s > p && (*s & 0xc0) == 0x80) {
            s--;
        }

        /* it is known to be valid */

        len = p + n - s;
        c = (len == 1) ? *s : *s & (0x7fu >> len);

        for (i = 1; i < len; i++) {
            c = c << 6 | (s[i] & 0x3f);
        }

        n = s - p;

        if (c < 0x10ffff) {
            c++;
            c = (c == 0xd800) ? 0xe000 : c;

            return n + ngx_iv_list_put_utf8(s, c);
        }
    }

    return 0;
}


static size_t
ngx_iv_list_put_utf8(u_char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (u_char) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (u_char) (0xc0 | c >> 6);
        p[1] = (u_char) (0x80 | (c & 0x3f));
        return 2;
    }

    if (c < 0x10000) {
        p[0] = (u_char) (0xe0 | c >> 12);
        p[1] = (u_char) (0x80 | (c >> 6 & 0x3f));
        p[2] = (u_char) (0x80 | (c & 0x3f));
        return 3;
    }

    p[0] = (u_char) (0xf0 | c >> 18);
    p[1] = (u_char) (0x80 | (c >> 12 & 0x3f));
    p[2] = (u_char) (0x80 | (c >> 6 & 0x3f));
    p[3] = (u_char) (0x80 | (c & 0x3f));

    return 4;
}


static ngx_int_t
ngx_iv_list_append_after(bson_t *b, const ngx_iv_list_t *list)
{
    bson_t       branches, equal, beyond, id;
    ngx_int_t    rc;
    bson_oid_t   oid;

    bson_oid_init_from_data(&oid, list->after.id);

    (void) ngx_iv_bson_array_begin(b, "$or", -1, &branches);

    (void) bson_append_document_begin(&branches, "0", -1, &equal);
    rc = ngx_iv_list_append_first(&equal, list);

    if (rc == NGX_OK) {
        rc = ngx_iv_list_append_value(&equal, ngx_iv_list_keys[list->sort],
                                      list);
    }

    (void) bson_append_document_begin(&equal, "_id", -1, &id);
    (void) bson_append_oid(&id, list->desc ? "$lt" : "$gt", -1, &oid);
    (void) bson_append_document_end(&equal, &id);
    (void) bson_append_document_end(&branches, &equal);

    (void) bson_append_document_begin(&branches, "1", -1, &beyond);

    if (rc == NGX_OK) {
        rc = ngx_iv_list_append_first(&beyond, list);
    }

    if (rc == NGX_OK) {
        rc = ngx_iv_list_append_range(&beyond, list, list->sort, 1);
    }

    (void) bson_append_document_end(&branches, &beyond);
    (void) bson_append_array_end(b, &branches);

    return rc;
}


static ngx_int_t
ngx_iv_list_append_value(bson_t *b, const char *name,
    const ngx_iv_list_t *list)
{
    bool   ok;

    switch (list->sort) {

    case NGX_IV_SORT_NAME:
        return ngx_iv_list_append_str(b, name, &list->after.name);

    case NGX_IV_SORT_SIZE:
        ok = bson_append_int64(b, name, -1, list->after.number);
        break;

    default:
        ok = bson_append_date_time(b, name, -1, list->after.number);
        break;
    }

    return ok ? NGX_OK : NGX_ERROR;
}


/* documents of other writers have no storage: they are no images yet */

static ngx_int_t
ngx_iv_list_append_rest(bson_t *b, const ngx_iv_list_t *list)
{
    char         buf[16];
    bson_t       all, one;
    const char  *index;
    ngx_int_t    rc;
    ngx_uint_t   i;

    BCON_APPEND(b, "r2Key", "{", "$type", BCON_UTF8("string"), "}",
                   "storage", "{", "$type", BCON_UTF8("string"), "}");

    if (!list->deleted) {
        BCON_APPEND(b, "deletedAt", "{", "$in", "[",
                           BCON_NULL, BCON_BOOL(false),
                       "]", "}");
    }

    if (list->type.len
        && ngx_iv_list_append_str(b, "contentType", &list->type) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (list->is_public == 1) {
        BCON_APPEND(b, "access.isPublic", BCON_BOOL(true));

    } else if (list->is_public == 0) {
        BCON_APPEND(b, "access.isPublic", "{", "$ne", BCON_BOOL(true), "}");
    }

    if (list->sort != NGX_IV_SORT_UPLOADED
        && ngx_iv_list_append_range(b, list, NGX_IV_SORT_UPLOADED, 0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (list->sort != NGX_IV_SORT_NAME
        && ngx_iv_list_append_range(b, list, NGX_IV_SORT_NAME, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (list->ntags < 2) {
        return NGX_OK;
    }

    rc = NGX_OK;

    (void) ngx_iv_bson_array_begin(b, "$and", -1, &all);

    for (i = 1; i < list->ntags && rc == NGX_OK; i++) {
        (void) bson_uint32_to_string((uint32_t) i - 1, &index, buf,
                                     sizeof(buf));
        (void) bson_append_document_begin(&all, index, -1, &one);
        rc = ngx_iv_list_append_str(&one, "metadata.tags", &list->tags[i]);
        (void) bson_append_document_end(&all, &one);
    }

    (void) bson_append_array_end(b, &all);

    return rc;
}


bson_t *
ngx_iv_list_options(const ngx_iv_list_t *list, ngx_msec_t max,
    ngx_uint_t hint)
{
    bson_t   *opts;
    int32_t   order;

    order = list->desc ? -1 : 1;

    opts = BCON_NEW("limit", BCON_INT64((int64_t) list->limit + 1),
                    "sort", "{",
                        ngx_iv_list_keys[list->sort], BCON_INT32(order),
                        "_id", BCON_INT32(order),
                    "}");

    if (list->skip && !list->has_after) {
        BCON_APPEND(opts, "skip", BCON_INT64((int64_t) list->skip));
    }

    if (max) {
        BCON_APPEND(opts, "maxTimeMS", BCON_INT64((int64_t) max));
    }

    if (hint && list->owner.len) {
        ngx_iv_list_append_hint(opts, list);
    }

    return opts;
}


/* by its keys, whatever its name is */

static void
ngx_iv_list_append_hint(bson_t *b, const ngx_iv_list_t *list)
{
    bson_t   hint;

    (void) bson_append_document_begin(b, "hint", -1, &hint);

    BCON_APPEND(&hint, "userId", BCON_INT32(1), "status", BCON_INT32(1));

    if (list->sort != NGX_IV_SORT_UPLOADED) {
        BCON_APPEND(&hint, ngx_iv_list_keys[list->sort], BCON_INT32(1),
                    "_id", BCON_INT32(1));

    } else {

        if (list->ntags) {
            BCON_APPEND(&hint, "metadata.tags", BCON_INT32(1));
        }

        BCON_APPEND(&hint, "metadata.uploadedAt", BCON_INT32(-1),
                    "_id", BCON_INT32(-1));
    }

    (void) bson_append_document_end(b, &hint);
}


void
ngx_iv_list_append_ids(bson_t *b, u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n)
{
    char         buf[16];
    bson_t       sub, in;
    const char  *index;
    bson_oid_t   oid;
    ngx_uint_t   i;

    (void) bson_append_document_begin(b, "_id", -1, &sub);
    (void) ngx_iv_bson_array_begin(&sub, "$in", -1, &in);

    for (i = 0; i < n; i++) {
        bson_oid_init_from_data(&oid, ids[i]);
        (void) bson_uint32_to_string((uint32_t) i, &index, buf, sizeof(buf));
        (void) bson_append_oid(&in, index, -1, &oid);
    }

    (void) bson_append_array_end(&sub, &in);
    (void) bson_append_document_end(b, &sub);
}


ngx_int_t
ngx_iv_list_append_str(bson_t *b, const char *name, const ngx_str_t *s)
{
    if (s->len == 0) {
        return bson_append_utf8(b, name, -1, "", 0) ? NGX_OK : NGX_ERROR;
    }

    if (s->len > NGX_MAX_INT32_VALUE
        || !bson_utf8_validate((char *) s->data, s->len, true)
        || !bson_append_utf8(b, name, -1, (char *) s->data, (int) s->len))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
