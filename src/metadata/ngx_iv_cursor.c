/*
 * Cursors: version, sort and order, a sum of the filters, the id, and what the
 * list is sorted by; in base64url.  They need no secret: a list is asked of its
 * owner whatever the cursor says.
 */

#include "metadata/ngx_iv_metadata_lists.h"
#include "formats/ngx_iv_name.h"


#define NGX_IV_CURSOR_VERSION  1
#define NGX_IV_CURSOR_SUM      8
#define NGX_IV_CURSOR_HEAD     (2 + NGX_IV_CURSOR_SUM + NGX_IV_ID_LEN)
#define NGX_IV_CURSOR_MAX      (NGX_IV_CURSOR_HEAD + NGX_IV_CURSOR_NAME)


static ngx_int_t ngx_iv_cursor_sum(ngx_pool_t *pool,
    const ngx_iv_list_t *list, u_char *sum);
static u_char *ngx_iv_cursor_put_str(u_char *p, const ngx_str_t *s);
static u_char *ngx_iv_cursor_put_number(u_char *p, int64_t n);
static u_char ngx_iv_cursor_order(const ngx_iv_list_t *list);


ngx_int_t
ngx_iv_cursor_encode(ngx_pool_t *pool, const ngx_iv_list_t *list,
    const ngx_iv_document_t *last, ngx_str_t *cursor)
{
    u_char     *p, buf[NGX_IV_CURSOR_MAX];
    ngx_str_t   src;

    p = buf;
    *p++ = NGX_IV_CURSOR_VERSION;
    *p++ = ngx_iv_cursor_order(list);

    if (ngx_iv_cursor_sum(pool, list, p) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p + NGX_IV_CURSOR_SUM, last->id, NGX_IV_ID_LEN);

    switch (list->sort) {

    case NGX_IV_SORT_NAME:
        if (last->original_name.len > NGX_IV_CURSOR_NAME
            || !ngx_iv_utf8_valid(last->original_name.data,
                                  last->original_name.len))
        {
            return NGX_DECLINED;
        }

        if (last->original_name.len) {
            p = ngx_cpymem(p, last->original_name.data,
                           last->original_name.len);
        }

        break;

    case NGX_IV_SORT_SIZE:
        p = ngx_iv_cursor_put_number(p, last->size);
        break;

    default:
        p = ngx_iv_cursor_put_number(p, last->uploaded_at);
        break;
    }

    src.data = buf;
    src.len = p - buf;

    cursor->data = ngx_pnalloc(pool, ngx_base64_encoded_length(src.len));
    if (cursor->data == NULL) {
        return NGX_ERROR;
    }

    ngx_encode_base64url(cursor, &src);

    return NGX_OK;
}


ngx_int_t
ngx_iv_cursor_decode(ngx_pool_t *pool, const ngx_str_t *cursor,
    ngx_iv_list_t *list)
{
    u_char      *p, sum[NGX_IV_CURSOR_SUM];
    size_t       rest;
    uint64_t     n;
    ngx_str_t    src, dst;
    ngx_uint_t   i;

    if (cursor->len > ngx_base64_encoded_length(NGX_IV_CURSOR_MAX)) {
        return NGX_IV_BAD_PARAMETER;
    }

    if (ngx_iv_cursor_sum(pool, list, sum) != NGX_OK) {
        return NGX_ERROR;
    }

    dst.data = ngx_pnalloc(pool, ngx_base64_decoded_length(cursor->len) + 1);
    if (dst.data == NULL) {
        return NGX_ERROR;
    }

    src = *cursor;

    if (ngx_decode_base64url(&dst, &src) != NGX_OK
        || dst.len < NGX_IV_CURSOR_HEAD
        || dst.data[0] != NGX_IV_CURSOR_VERSION
        || dst.data[1] != ngx_iv_cursor_order(list)
        || ngx_memcmp(&dst.data[2], sum, NGX_IV_CURSOR_SUM) != 0)
    {
        return NGX_IV_BAD_PARAMETER;
    }

    p = &dst.data[2 + NGX_IV_CURSOR_SUM];
    ngx_memcpy(list->after.id, p, NGX_IV_ID_LEN);

    p += NGX_IV_ID_LEN;
    rest = dst.len - NGX_IV_CURSOR_HEAD;

    list->after.number = 0;
    ngx_str_null(&list->after.name);

    if (list->sort == NGX_IV_SORT_NAME) {

        if (rest > NGX_IV_CURSOR_NAME || !ngx_iv_utf8_valid(p, rest)) {
            return NGX_IV_BAD_PARAMETER;
        }

        list->after.name.data = p;
        list->after.name.len = rest;

    } else {

        if (rest != sizeof(uint64_t)) {
            return NGX_IV_BAD_PARAMETER;
        }

        for (n = 0, i = 0; i < sizeof(uint64_t); i++) {
            n = n << 8 | p[i];
        }

        list->after.number = (int64_t) n;
    }

    list->has_after = 1;

    return NGX_OK;
}


/* of all that decides which documents are listed; each string with its length
 * before it, so that no two lists read alike */

static ngx_int_t
ngx_iv_cursor_sum(ngx_pool_t *pool, const ngx_iv_list_t *list, u_char *sum)
{
    u_char      *p, *buf, digest[NGX_IV_SHA256_LEN];
    size_t       len;
    ngx_uint_t   i;

    len = 5 * 8 + 3 * 8 + list->owner.len + list->type.len + list->q.len;

    for (i = 0; i < list->ntags; i++) {
        len += 8 + list->tags[i].len;
    }

    buf = ngx_pnalloc(pool, len);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    p = ngx_iv_cursor_put_number(buf, list->status * 2 + list->deleted);
    p = ngx_iv_cursor_put_number(p, list->is_public);
    p = ngx_iv_cursor_put_number(p, list->from);
    p = ngx_iv_cursor_put_number(p, list->to);
    p = ngx_iv_cursor_put_str(p, &list->owner);
    p = ngx_iv_cursor_put_str(p, &list->type);
    p = ngx_iv_cursor_put_str(p, &list->q);
    p = ngx_iv_cursor_put_number(p, (int64_t) list->ntags);

    for (i = 0; i < list->ntags; i++) {
        p = ngx_iv_cursor_put_str(p, &list->tags[i]);
    }

    if (ngx_iv_sha256(buf, p - buf, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memcpy(sum, digest, NGX_IV_CURSOR_SUM);

    return NGX_OK;
}


static u_char *
ngx_iv_cursor_put_str(u_char *p, const ngx_str_t *s)
{
    p = ngx_iv_cursor_put_number(p, (int64_t) s->len);

    return s->len ? ngx_cpymem(p, s->data, s->len) : p;
}


static u_char *
ngx_iv_cursor_put_number(u_char *p, int64_t n)
{
    ngx_int_t   shift;
    uint64_t    u;

    u = (uint64_t) n;

    for (shift = 56; shift >= 0; shift -= 8) {
        *p++ = (u_char) (u >> shift);
    }

    return p;
}


static u_char
ngx_iv_cursor_order(const ngx_iv_list_t *list)
{
    return (u_char) (list->sort * 2 + list->desc);
}
