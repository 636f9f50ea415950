/*
 * Fields and query arguments that describe an upload.
 */

#include "formats/ngx_iv_fields.h"
#include "formats/ngx_iv_date.h"
#include "formats/ngx_iv_json_read.h"
#include "formats/ngx_iv_name.h"
#include "formats/ngx_iv_utf8.h"
#include "base/ngx_iv_str.h"


typedef enum {
    ngx_iv_field_none = 0,
    ngx_iv_field_tags,
    ngx_iv_field_shared,
    ngx_iv_field_public,
    ngx_iv_field_expires,
    ngx_iv_field_user
} ngx_iv_field_e;


/* how a name ends */
typedef enum {
    ngx_iv_field_plain = 0,         /* tags */
    ngx_iv_field_item,              /* tags[], tags[3] */
    ngx_iv_field_json               /* tags{} */
} ngx_iv_field_form_e;


static ngx_iv_field_e ngx_iv_fields_which(const ngx_str_t *name,
    ngx_iv_field_form_e *form);
static ngx_int_t ngx_iv_fields_brackets(const u_char *p, size_t n,
    ngx_iv_field_form_e *form);
static ngx_int_t ngx_iv_fields_list(ngx_iv_fields_t *f, ngx_iv_field_e which,
    ngx_iv_field_form_e form, const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_json(ngx_iv_fields_t *f, ngx_iv_field_e which,
    const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_tree(ngx_iv_fields_t *f, ngx_iv_field_e which,
    ngx_pool_t *pool, const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_item(ngx_iv_fields_t *f, ngx_iv_field_e which,
    const ngx_str_t *value);
static const char *ngx_iv_fields_bad_tag(const ngx_str_t *tag);
static ngx_int_t ngx_iv_fields_put(ngx_iv_fields_t *f, ngx_str_t **list,
    ngx_uint_t *n, ngx_uint_t max, ngx_str_t *item);
static ngx_int_t ngx_iv_fields_single(ngx_iv_fields_t *f,
    ngx_iv_field_e which, const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_public(ngx_iv_fields_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_expires(ngx_iv_fields_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_user(ngx_iv_fields_t *f,
    const ngx_str_t *value);
static ngx_int_t ngx_iv_fields_arg(ngx_iv_fields_t *f, u_char *p,
    u_char *last);
static ngx_int_t ngx_iv_fields_copy_list(ngx_pool_t *pool, ngx_str_t **dst,
    const ngx_str_t *src, ngx_uint_t n);
static ngx_str_t ngx_iv_fields_trim(const ngx_str_t *s);
static void ngx_iv_fields_fold(ngx_str_t *owner);
static ngx_int_t ngx_iv_fields_bad(ngx_iv_fields_t *f, const char *why);


void
ngx_iv_fields_init(ngx_iv_fields_t *f, ngx_pool_t *pool)
{
    ngx_memzero(f, sizeof(ngx_iv_fields_t));

    f->pool = pool;
}


ngx_uint_t
ngx_iv_fields_known(const ngx_str_t *name)
{
    ngx_iv_field_form_e  form;

    return ngx_iv_fields_which(name, &form) != ngx_iv_field_none;
}


ngx_int_t
ngx_iv_fields_add(ngx_iv_fields_t *f, const ngx_str_t *name,
    const ngx_str_t *value)
{
    ngx_str_t            v;
    ngx_iv_field_e       which;
    ngx_iv_field_form_e  form;

    which = ngx_iv_fields_which(name, &form);

    if (which == ngx_iv_field_none) {
        return NGX_DECLINED;
    }

    if (f->code) {
        return f->code;
    }

    v = ngx_iv_fields_trim(value);

    if (v.len == 0) {
        return NGX_OK;
    }

    if (which == ngx_iv_field_tags || which == ngx_iv_field_shared) {
        return ngx_iv_fields_list(f, which, form, &v);
    }

    return ngx_iv_fields_single(f, which, &v);
}


ngx_int_t
ngx_iv_fields_finish(ngx_iv_fields_t *f, int64_t now)
{
    if (f->code) {
        return f->code;
    }

    if (f->expires_at && f->expires_at <= now) {
        return ngx_iv_fields_bad(f, "expiresAt must be in the future");
    }

    return NGX_OK;
}


ngx_int_t
ngx_iv_fields_query(ngx_iv_fields_t *f, const ngx_str_t *args)
{
    u_char     *p, *end, *last;
    ngx_int_t   rc;

    p = args->data;
    last = args->len ? p + args->len : p;

    while (p < last) {

        end = ngx_strlchr(p, last, '&');

        if (end == NULL) {
            end = last;
        }

        rc = ngx_iv_fields_arg(f, p, end);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return rc;
        }

        p = end + (end < last);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_fields_arg(ngx_iv_fields_t *f, u_char *p, u_char *last)
{
    u_char     *equals;
    ngx_int_t   rc;
    ngx_str_t   raw, name, value;

    equals = ngx_strlchr(p, last, '=');

    if (equals == NULL) {
        equals = last;
    }

    raw.data = p;
    raw.len = equals - p;

    rc = ngx_iv_name_unescape(f->pool, &raw, &name);

    if (rc != NGX_OK || !ngx_iv_fields_known(&name)) {
        return rc;
    }

    raw.data = equals + (equals < last);
    raw.len = last - raw.data;

    rc = ngx_iv_name_unescape(f->pool, &raw, &value);

    if (rc == NGX_DECLINED) {
        return ngx_iv_fields_bad(f, "malformed escape in the query");
    }

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_iv_fields_add(f, &name, &value);
}


ngx_int_t
ngx_iv_fields_copy(ngx_pool_t *pool, ngx_iv_fields_t *dst,
    const ngx_iv_fields_t *src)
{
    ngx_iv_fields_t  copy;

    copy = *src;
    copy.pool = pool;

    if (ngx_iv_fields_copy_list(pool, &copy.tags, src->tags, src->ntags)
        != NGX_OK
        || ngx_iv_fields_copy_list(pool, &copy.shared_with, src->shared_with,
                                   src->nshared)
           != NGX_OK
        || ngx_iv_copy_str(pool, &copy.user, &src->user) != NGX_OK)
    {
        return NGX_ERROR;
    }

    *dst = copy;

    return NGX_OK;
}


/* with the room that ngx_iv_fields_put() expects: the copy may grow */

static ngx_int_t
ngx_iv_fields_copy_list(ngx_pool_t *pool, ngx_str_t **dst,
    const ngx_str_t *src, ngx_uint_t n)
{
    ngx_uint_t  i;

    *dst = NULL;

    if (n == 0) {
        return NGX_OK;
    }

    *dst = ngx_palloc(pool, ngx_max(NGX_IV_TAGS_MAX, NGX_IV_SHARED_MAX)
                            * sizeof(ngx_str_t));
    if (*dst == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (ngx_iv_copy_str(pool, &(*dst)[i], &src[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_iv_field_e
ngx_iv_fields_which(const ngx_str_t *name, ngx_iv_field_form_e *form)
{
    size_t       len;
    ngx_uint_t   i;

    static const struct {
        const char      *name;
        ngx_iv_field_e   which;
        ngx_uint_t       list;
    } known[] = {
        { "tags", ngx_iv_field_tags, 1 },
        { "sharedWith", ngx_iv_field_shared, 1 },
        { "isPublic", ngx_iv_field_public, 0 },
        { "expiresAt", ngx_iv_field_expires, 0 },
        { "userId", ngx_iv_field_user, 0 },
    };

    *form = ngx_iv_field_plain;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {

        len = ngx_strlen(known[i].name);

        if (name->len < len || ngx_memcmp(name->data, known[i].name, len) != 0)
        {
            continue;
        }

        if (name->len == len
            || (known[i].list
                && ngx_iv_fields_brackets(name->data + len, name->len - len,
                                          form)
                   == NGX_OK))
        {
            return known[i].which;
        }
    }

    return ngx_iv_field_none;
}


static ngx_int_t
ngx_iv_fields_brackets(const u_char *p, size_t n, ngx_iv_field_form_e *form)
{
    size_t  i;

    if (n == 2 && p[0] == '{' && p[1] == '}') {
        *form = ngx_iv_field_json;
        return NGX_OK;
    }

    if (n < 2 || p[0] != '[' || p[n - 1] != ']') {
        return NGX_DECLINED;
    }

    for (i = 1; i < n - 1; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return NGX_DECLINED;
        }
    }

    *form = ngx_iv_field_item;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_fields_list(ngx_iv_fields_t *f, ngx_iv_field_e which,
    ngx_iv_field_form_e form, const ngx_str_t *value)
{
    u_char     *p, *end, *last;
    ngx_int_t   rc;
    ngx_str_t   item;

    if (form == ngx_iv_field_item) {
        return ngx_iv_fields_item(f, which, value);
    }

    if (form == ngx_iv_field_json || value->data[0] == '[') {
        return ngx_iv_fields_json(f, which, value);
    }

    last = value->data + value->len;

    for (p = value->data; p < last; p = end + 1) {

        end = ngx_strlchr(p, last, ',');

        if (end == NULL) {
            end = last;
        }

        item.data = p;
        item.len = end - p;

        rc = ngx_iv_fields_item(f, which, &item);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


/* a tree may be many times as large as its text: it is dropped at once */

static ngx_int_t
ngx_iv_fields_json(ngx_iv_fields_t *f, ngx_iv_field_e which,
    const ngx_str_t *value)
{
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, f->pool->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_iv_fields_tree(f, which, pool, value);

    ngx_destroy_pool(pool);

    return rc;
}


static ngx_int_t
ngx_iv_fields_tree(ngx_iv_fields_t *f, ngx_iv_field_e which,
    ngx_pool_t *pool, const ngx_str_t *value)
{
    ngx_int_t            rc;
    const char          *why;
    ngx_iv_json_node_t  *root, *node;

    rc = ngx_iv_json_read(pool, value, &root, &why);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc != NGX_OK || root->type != NGX_IV_JSON_ARRAY) {
        return ngx_iv_fields_bad(f, which == ngx_iv_field_tags
                                    ? "tags is not a JSON array of strings"
                                    : "sharedWith is not a JSON array of "
                                      "strings");
    }

    for (node = root->first; node != NULL; node = node->next) {

        if (node->type != NGX_IV_JSON_STRING) {
            return ngx_iv_fields_bad(f, which == ngx_iv_field_tags
                                        ? "tags must be strings"
                                        : "sharedWith must be strings");
        }

        rc = ngx_iv_fields_item(f, which, &node->str);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_fields_item(ngx_iv_fields_t *f, ngx_iv_field_e which,
    const ngx_str_t *value)
{
    ngx_int_t    rc;
    ngx_str_t    v;
    const char  *why;

    v = ngx_iv_fields_trim(value);

    if (v.len == 0) {
        return NGX_OK;
    }

    if (which == ngx_iv_field_tags) {

        why = ngx_iv_fields_bad_tag(&v);

        if (why) {
            return ngx_iv_fields_bad(f, why);
        }

        rc = ngx_iv_fields_put(f, &f->tags, &f->ntags, NGX_IV_TAGS_MAX, &v);

        return rc == NGX_DECLINED
               ? ngx_iv_fields_bad(f, "more than 50 tags") : rc;
    }

    if (!ngx_iv_owner_valid(&v)) {
        return ngx_iv_fields_bad(f, "sharedWith has an invalid user id");
    }

    rc = ngx_iv_fields_put(f, &f->shared_with, &f->nshared, NGX_IV_SHARED_MAX,
                           &v);

    return rc == NGX_DECLINED
           ? ngx_iv_fields_bad(f, "sharedWith has more than 100 users") : rc;
}


/* NULL: it is good */

static const char *
ngx_iv_fields_bad_tag(const ngx_str_t *tag)
{
    size_t         n;
    uint32_t       ch;
    ngx_uint_t     chars;
    const u_char  *p, *last;

    chars = 0;
    last = tag->data + tag->len;

    for (p = tag->data; p < last; p += n) {

        n = ngx_iv_utf8_char(p, last);

        if (n == 0) {
            return "a tag is not UTF-8";
        }

        ch = ngx_iv_utf8_code(p, n);

        if (ch < 0x20 || (ch >= 0x7f && ch <= 0x9f)) {
            return "a tag has a control character";
        }

        if (++chars > NGX_IV_TAG_MAX) {
            return "a tag is longer than 64 characters";
        }
    }

    return NULL;
}


/* NGX_DECLINED: the list is full */

static ngx_int_t
ngx_iv_fields_put(ngx_iv_fields_t *f, ngx_str_t **list, ngx_uint_t *n,
    ngx_uint_t max, ngx_str_t *item)
{
    ngx_str_t   copy;
    ngx_uint_t  i;
    u_char      folded[2 * NGX_IV_ID_LEN];

    /* ids in capitals are the same ids; a tag is left as it is */

    if (list == &f->shared_with && item->len == sizeof(folded)) {
        ngx_memcpy(folded, item->data, sizeof(folded));
        item->data = folded;
        ngx_iv_fields_fold(item);
    }

    for (i = 0; i < *n; i++) {

        if ((*list)[i].len == item->len
            && ngx_memcmp((*list)[i].data, item->data, item->len) == 0)
        {
            return NGX_OK;
        }
    }

    if (*n == max) {
        return NGX_DECLINED;
    }

    if (*list == NULL) {
        *list = ngx_palloc(f->pool, max * sizeof(ngx_str_t));
        if (*list == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_iv_copy_str(f->pool, &copy, item) != NGX_OK) {
        return NGX_ERROR;
    }

    (*list)[(*n)++] = copy;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_fields_single(ngx_iv_fields_t *f, ngx_iv_field_e which,
    const ngx_str_t *value)
{
    switch (which) {

    case ngx_iv_field_public:
        return ngx_iv_fields_public(f, value);

    case ngx_iv_field_expires:
        return ngx_iv_fields_expires(f, value);

    default: /* ngx_iv_field_user */
        return ngx_iv_fields_user(f, value);
    }
}


static ngx_int_t
ngx_iv_fields_public(ngx_iv_fields_t *f, const ngx_str_t *value)
{
    size_t      len;
    ngx_uint_t  i;

    static const char  *words[] = {
        "false", "true", "0", "1", "off", "on", "no", "yes"
    };

    if (f->has_public) {
        return ngx_iv_fields_bad(f, "isPublic is given twice");
    }

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {

        len = ngx_strlen(words[i]);

        if (value->len == len
            && ngx_strncasecmp(value->data, (u_char *) words[i], len) == 0)
        {
            f->has_public = 1;
            f->is_public = i & 1;
            return NGX_OK;
        }
    }

    return ngx_iv_fields_bad(f, "isPublic must be true or false");
}


static ngx_int_t
ngx_iv_fields_expires(ngx_iv_fields_t *f, const ngx_str_t *value)
{
    int64_t  msec;

    if (f->expires_at) {
        return ngx_iv_fields_bad(f, "expiresAt is given twice");
    }

    if (ngx_iv_date_parse_any(value, &msec) != NGX_OK) {
        return ngx_iv_fields_bad(f, "expiresAt is not a date with a time zone");
    }

    /* 0 means absent, and before it nobody's clock is */

    if (msec <= 0) {
        return ngx_iv_fields_bad(f, "expiresAt must be in the future");
    }

    f->expires_at = msec;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_fields_user(ngx_iv_fields_t *f, const ngx_str_t *value)
{
    if (f->user.len) {
        return ngx_iv_fields_bad(f, "userId is given twice");
    }

    if (!ngx_iv_owner_valid(value)) {
        return ngx_iv_fields_bad(f, "userId is not valid");
    }

    if (ngx_iv_copy_str(f->pool, &f->user, value) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_iv_fields_fold(&f->user);

    return NGX_OK;
}


/* an ObjectId in capitals is the same one */

static void
ngx_iv_fields_fold(ngx_str_t *owner)
{
    u_char  id[NGX_IV_ID_LEN];

    if (ngx_iv_parse_id(owner, id) == NGX_OK) {
        (void) ngx_iv_hex(owner->data, id, NGX_IV_ID_LEN);
    }
}


static ngx_str_t
ngx_iv_fields_trim(const ngx_str_t *s)
{
    ngx_str_t  v;

    v = *s;

    while (v.len && ngx_strchr(" \t\r\n", v.data[0]) != NULL
           && v.data[0] != '\0')
    {
        v.data++;
        v.len--;
    }

    while (v.len && ngx_strchr(" \t\r\n", v.data[v.len - 1]) != NULL
           && v.data[v.len - 1] != '\0')
    {
        v.len--;
    }

    return v;
}


static ngx_int_t
ngx_iv_fields_bad(ngx_iv_fields_t *f, const char *why)
{
    f->code = NGX_IV_BAD_PARAMETER;
    f->why = why;

    return NGX_IV_BAD_PARAMETER;
}
