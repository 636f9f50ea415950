/*
 * S3's lists, see the header.  Texts are noted where they stand, and decoded
 * when the whole document was seen: what they are encoded in may come late.
 */

#include "aws/ngx_iv_s3_list.h"
#include "aws/ngx_iv_s3_xml.h"
#include "formats/ngx_iv_date.h"

#define NGX_IV_S3_LIST_DEPTH  16


typedef struct {
    ngx_pool_t          *pool;
    ngx_iv_s3_list_t    *list;
    const char          *item;          /* "Contents", "Upload" */
    const char          *since;         /* "LastModified", "Initiated" */
    ngx_uint_t           max;
    ngx_str_t            encoding;
    ngx_str_t            truncated;

    ngx_iv_s3_listed_t  *now;           /* in an item, else NULL */
    ngx_str_t            size;
    ngx_str_t            at;
} ngx_iv_s3_list_ctx_t;


static ngx_int_t ngx_iv_s3_list_parse(ngx_iv_s3_list_ctx_t *c,
    const ngx_str_t *doc, const char *root);
static ngx_int_t ngx_iv_s3_list_scan(ngx_iv_s3_list_ctx_t *c,
    ngx_iv_s3_scan_t *scan, ngx_uint_t level);
static ngx_str_t *ngx_iv_s3_list_open(ngx_iv_s3_list_ctx_t *c,
    const ngx_str_t *name, ngx_uint_t depth);
static void ngx_iv_s3_list_item(ngx_iv_s3_list_ctx_t *c);
static ngx_int_t ngx_iv_s3_list_decode(ngx_iv_s3_list_ctx_t *c);
static ngx_int_t ngx_iv_s3_list_text(ngx_pool_t *pool, ngx_str_t *s,
    ngx_uint_t url);
static ngx_int_t ngx_iv_s3_list_hex(const u_char *p);


ngx_int_t
ngx_iv_s3_list_objects(ngx_pool_t *pool, const ngx_str_t *doc, ngx_uint_t max,
    ngx_iv_s3_list_t *list)
{
    ngx_iv_s3_list_ctx_t  c;

    ngx_memzero(&c, sizeof(ngx_iv_s3_list_ctx_t));

    c.pool = pool;
    c.list = list;
    c.item = "Contents";
    c.since = "LastModified";
    c.max = max;

    return ngx_iv_s3_list_parse(&c, doc, "ListBucketResult");
}


ngx_int_t
ngx_iv_s3_list_uploads(ngx_pool_t *pool, const ngx_str_t *doc, ngx_uint_t max,
    ngx_iv_s3_list_t *list)
{
    ngx_iv_s3_list_ctx_t  c;

    ngx_memzero(&c, sizeof(ngx_iv_s3_list_ctx_t));

    c.pool = pool;
    c.list = list;
    c.item = "Upload";
    c.since = "Initiated";
    c.max = max;

    return ngx_iv_s3_list_parse(&c, doc, "ListMultipartUploadsResult");
}


static ngx_int_t
ngx_iv_s3_list_parse(ngx_iv_s3_list_ctx_t *c, const ngx_str_t *doc,
    const char *root)
{
    ngx_uint_t         level;
    ngx_iv_s3_scan_t   scan;
    ngx_iv_s3_list_t  *list;

    list = c->list;

    ngx_memzero(list, sizeof(ngx_iv_s3_list_t));

    if (doc->len == 0) {
        return NGX_DECLINED;
    }

    list->items = ngx_pcalloc(c->pool,
                              (c->max + 1) * sizeof(ngx_iv_s3_listed_t));
    if (list->items == NULL) {
        return NGX_ERROR;
    }

    scan.p = doc->data;
    scan.last = doc->data + doc->len;

    if (ngx_iv_s3_xml_root(&scan, root, &level) != NGX_OK
        || ngx_iv_s3_list_scan(c, &scan, level) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_iv_s3_list_decode(c);
}


/* NGX_OK: up to the root's end; NGX_DECLINED */

static ngx_int_t
ngx_iv_s3_list_scan(ngx_iv_s3_list_ctx_t *c, ngx_iv_s3_scan_t *scan,
    ngx_uint_t level)
{
    ngx_str_t         name, *field;
    ngx_uint_t        depth;
    const u_char     *text, *end;
    ngx_iv_s3_tag_e   tag;

    depth = level;
    field = NULL;
    text = NULL;

    for ( ;; ) {

        while (scan->p < scan->last && *scan->p != '<') {
            scan->p++;
        }

        end = scan->p;
        tag = ngx_iv_s3_xml_tag(scan, &name);

        switch (tag) {

        case NGX_IV_S3_TAG_OPEN:
            if (++depth > NGX_IV_S3_LIST_DEPTH) {
                return NGX_DECLINED;
            }

            field = ngx_iv_s3_list_open(c, &name, depth - level);
            text = scan->p;
            break;

        case NGX_IV_S3_TAG_CLOSE:
            if (field && field->data == NULL) {
                field->data = (u_char *) text;
                field->len = end - text;
            }

            field = NULL;

            if (depth == level) {
                return NGX_OK;
            }

            if (depth == level + 1) {
                ngx_iv_s3_list_item(c);
            }

            depth--;
            break;

        case NGX_IV_S3_TAG_EMPTY:
        case NGX_IV_S3_TAG_OTHER:
            field = NULL;
            break;

        case NGX_IV_S3_TAG_DTD:
        case NGX_IV_S3_TAG_END:
            return NGX_DECLINED;
        }
    }
}


/* where its text goes; NULL: nowhere */

static ngx_str_t *
ngx_iv_s3_list_open(ngx_iv_s3_list_ctx_t *c, const ngx_str_t *name,
    ngx_uint_t depth)
{
    if (depth == 1) {
        c->now = NULL;

        if (ngx_iv_s3_xml_is(name, c->item)) {

            /* the last one only tells that there are more */

            c->now = &c->list->items[ngx_min(c->list->nitems, c->max)];
            ngx_memzero(c->now, sizeof(ngx_iv_s3_listed_t));
            ngx_str_null(&c->size);
            ngx_str_null(&c->at);

            return NULL;
        }

        if (ngx_iv_s3_xml_is(name, "EncodingType")) {
            return &c->encoding;
        }

        if (ngx_iv_s3_xml_is(name, "IsTruncated")) {
            return &c->truncated;
        }

        if (ngx_iv_s3_xml_is(name, "NextKeyMarker")) {
            return &c->list->next_key;
        }

        if (ngx_iv_s3_xml_is(name, "NextUploadIdMarker")) {
            return &c->list->next_upload;
        }

        return NULL;
    }

    if (depth != 2 || c->now == NULL) {
        return NULL;
    }

    if (ngx_iv_s3_xml_is(name, "Key")) {
        return &c->now->key;
    }

    if (ngx_iv_s3_xml_is(name, "UploadId")) {
        return &c->now->upload_id;
    }

    if (ngx_iv_s3_xml_is(name, "Size")) {
        return &c->size;
    }

    return ngx_iv_s3_xml_is(name, c->since) ? &c->at : NULL;
}


/* an item is over, if it was one */

static void
ngx_iv_s3_list_item(ngx_iv_s3_list_ctx_t *c)
{
    ngx_iv_s3_listed_t  *item;

    item = c->now;
    c->now = NULL;

    if (item == NULL) {
        return;
    }

    if (c->list->nitems == c->max) {
        c->list->more = 1;
        return;
    }

    item->size = ngx_atoof(c->size.data, c->size.len);

    if (item->size == NGX_ERROR) {
        item->size = -1;
    }

    if (c->at.len == 0
        || ngx_iv_date_parse_iso(&c->at, &item->at) != NGX_OK)
    {
        item->at = 0;
    }

    c->list->nitems++;
}


static ngx_int_t
ngx_iv_s3_list_decode(ngx_iv_s3_list_ctx_t *c)
{
    ngx_int_t            rc;
    ngx_uint_t           i, url;
    ngx_iv_s3_list_t    *list;
    ngx_iv_s3_listed_t  *item;

    list = c->list;

    url = ngx_iv_s3_xml_is(&c->encoding, "url");

    if (ngx_iv_s3_xml_is(&c->truncated, "true")) {
        list->more = 1;
    }

    for (i = 0; i < list->nitems; i++) {
        item = &list->items[i];

        rc = ngx_iv_s3_list_text(c->pool, &item->key, url);

        if (rc == NGX_OK) {
            rc = ngx_iv_s3_list_text(c->pool, &item->upload_id, 0);
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if (item->key.len == 0 || item->key.len > NGX_IV_S3_KEY_MAX) {
            return NGX_DECLINED;
        }
    }

    rc = ngx_iv_s3_list_text(c->pool, &list->next_key, url);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_iv_s3_list_text(c->pool, &list->next_upload, 0);
}


/* entities first, then the percent signs; "+" is a space as in a query.
 * NGX_OK, NGX_DECLINED, NGX_ERROR */

static ngx_int_t
ngx_iv_s3_list_text(ngx_pool_t *pool, ngx_str_t *s, ngx_uint_t url)
{
    u_char        *dst, *src, *end;
    ngx_int_t      ch;
    const u_char  *p, *last;

    if (s->len == 0) {
        ngx_str_null(s);
        return NGX_OK;
    }

    /* one byte of text takes eight at most, in either encoding */

    if (s->len > 8 * 3 * NGX_IV_S3_KEY_MAX) {
        return NGX_DECLINED;
    }

    p = s->data;
    last = p + s->len;

    dst = ngx_pnalloc(pool, s->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    s->data = dst;

    while (p < last) {

        if (*p == '&') {
            p++;
            *dst++ = ngx_iv_s3_xml_entity(&p, last);

        } else {
            *dst++ = *p++;
        }
    }

    end = dst;

    if (url) {
        src = s->data;
        dst = s->data;

        while (src < end) {

            if (*src == '+') {
                *dst++ = ' ';
                src++;

            } else if (*src == '%' && end - src >= 3) {
                ch = ngx_iv_s3_list_hex(src + 1);

                if (ch == NGX_ERROR) {
                    return NGX_DECLINED;
                }

                *dst++ = (u_char) ch;
                src += 3;

            } else {
                *dst++ = *src++;
            }
        }
    }

    s->len = dst - s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_s3_list_hex(const u_char *p)
{
    u_char      c;
    ngx_int_t   n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < 2; i++) {
        c = ngx_tolower(p[i]);

        if (c >= '0' && c <= '9') {
            n = n * 16 + c - '0';

        } else if (c >= 'a' && c <= 'f') {
            n = n * 16 + c - 'a' + 10;

        } else {
            return NGX_ERROR;
        }
    }

    return n;
}
