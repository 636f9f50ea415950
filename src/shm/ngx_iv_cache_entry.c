/*
 * Entries of the ownership cache as bytes.  Pure.
 */

#include "shm/ngx_iv_cache_private.h"


#define NGX_IV_PACKED_PUBLIC   1
#define NGX_IV_PACKED_BLOCKED  2
#define NGX_IV_PACKED_SHA256   4
#define NGX_IV_PACKED_LONG     1024


/* what a packed entry begins with; then the SHA-256 if there is one, the
 * strings in this order, and the shares, each behind a byte with its length */
typedef struct {
    int64_t     expires_at;
    int64_t     updated_at;
    int64_t     size;
    uint32_t    shares;
    uint16_t    key;
    uint16_t    name;
    uint16_t    reason;
    uint8_t     storage;
    uint8_t     owner;
    uint8_t     type;
    uint8_t     status;
    uint8_t     flags;
    uint8_t     spare;
} ngx_iv_cache_packed_t;


static u_char *ngx_iv_cache_pack_shares(const ngx_iv_cache_entry_t *entry,
    u_char *p);
static u_char *ngx_iv_cache_add(u_char *p, const ngx_str_t *s);
static u_char *ngx_iv_cache_take(ngx_str_t *s, u_char *p, size_t len);


size_t
ngx_iv_cache_pack(const ngx_iv_cache_entry_t *entry, u_char *p, size_t max)
{
    size_t                 len, shares;
    u_char                *start;
    ngx_uint_t             i;
    ngx_iv_cache_packed_t  f;

    if (entry->storage.len > 255 || entry->owner.len > 255
        || entry->type.len > 255 || entry->status > 255
        || entry->key.len > NGX_IV_PACKED_LONG
        || entry->name.len > NGX_IV_PACKED_LONG
        || entry->reason.len > NGX_IV_PACKED_LONG)
    {
        return NGX_IV_CACHE_NONE;
    }

    shares = 0;

    for (i = 0; i < entry->nshares; i++) {

        if (entry->shares[i].len == 0 || entry->shares[i].len > 255
            || shares > NGX_IV_CACHE_MAX)
        {
            return NGX_IV_CACHE_NONE;
        }

        shares += 1 + entry->shares[i].len;
    }

    len = sizeof(f) + (entry->has_sha256 ? sizeof(entry->sha256) : 0)
          + entry->storage.len + entry->key.len + entry->owner.len
          + entry->type.len + entry->name.len + entry->reason.len + shares;

    if (len > max) {
        return NGX_IV_CACHE_NONE;
    }

    ngx_memzero(&f, sizeof(f));

    f.expires_at = entry->expires_at;
    f.updated_at = entry->updated_at;
    f.size = entry->size;
    f.shares = (uint32_t) shares;
    f.key = (uint16_t) entry->key.len;
    f.name = (uint16_t) entry->name.len;
    f.reason = (uint16_t) entry->reason.len;
    f.storage = (uint8_t) entry->storage.len;
    f.owner = (uint8_t) entry->owner.len;
    f.type = (uint8_t) entry->type.len;
    f.status = (uint8_t) entry->status;
    f.flags = (entry->is_public ? NGX_IV_PACKED_PUBLIC : 0)
              | (entry->blocked ? NGX_IV_PACKED_BLOCKED : 0)
              | (entry->has_sha256 ? NGX_IV_PACKED_SHA256 : 0);

    start = p;
    p = ngx_cpymem(p, &f, sizeof(f));

    if (entry->has_sha256) {
        p = ngx_cpymem(p, entry->sha256, sizeof(entry->sha256));
    }

    p = ngx_iv_cache_add(p, &entry->storage);
    p = ngx_iv_cache_add(p, &entry->key);
    p = ngx_iv_cache_add(p, &entry->owner);
    p = ngx_iv_cache_add(p, &entry->type);
    p = ngx_iv_cache_add(p, &entry->name);
    p = ngx_iv_cache_add(p, &entry->reason);
    p = ngx_iv_cache_pack_shares(entry, p);

    return p - start;
}


static u_char *
ngx_iv_cache_pack_shares(const ngx_iv_cache_entry_t *entry, u_char *p)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    for (i = 0; i < entry->nshares; i++) {
        s = &entry->shares[i];

        *p++ = (u_char) s->len;
        p = ngx_iv_cache_add(p, s);
    }

    return p;
}


static u_char *
ngx_iv_cache_add(u_char *p, const ngx_str_t *s)
{
    return s->len ? ngx_cpymem(p, s->data, s->len) : p;
}


ngx_int_t
ngx_iv_cache_unpack(ngx_iv_cache_entry_t *entry, u_char *p, size_t len)
{
    size_t                 want, sha256;
    ngx_iv_cache_packed_t  f;

    if (len < sizeof(f)) {
        return NGX_ERROR;
    }

    ngx_memcpy(&f, p, sizeof(f));
    p += sizeof(f);

    sha256 = (f.flags & NGX_IV_PACKED_SHA256) ? sizeof(entry->sha256) : 0;

    want = sizeof(f) + sha256 + f.storage + f.key + f.owner + f.type + f.name
           + f.reason;

    if (want > len || f.shares != len - want) {
        return NGX_ERROR;
    }

    entry->expires_at = f.expires_at;
    entry->updated_at = f.updated_at;
    entry->size = f.size;
    entry->status = f.status;
    entry->is_public = (f.flags & NGX_IV_PACKED_PUBLIC) ? 1 : 0;
    entry->blocked = (f.flags & NGX_IV_PACKED_BLOCKED) ? 1 : 0;
    entry->has_sha256 = sha256 ? 1 : 0;
    entry->shares = NULL;
    entry->nshares = 0;

    if (sha256) {
        ngx_memcpy(entry->sha256, p, sha256);
        p += sha256;
    }

    p = ngx_iv_cache_take(&entry->storage, p, f.storage);
    p = ngx_iv_cache_take(&entry->key, p, f.key);
    p = ngx_iv_cache_take(&entry->owner, p, f.owner);
    p = ngx_iv_cache_take(&entry->type, p, f.type);
    p = ngx_iv_cache_take(&entry->name, p, f.name);
    p = ngx_iv_cache_take(&entry->reason, p, f.reason);
    (void) ngx_iv_cache_take(&entry->packed, p, f.shares);

    return NGX_OK;
}


static u_char *
ngx_iv_cache_take(ngx_str_t *s, u_char *p, size_t len)
{
    s->data = p;
    s->len = len;

    return p + len;
}


ngx_uint_t
ngx_iv_cache_shared_with(const ngx_iv_cache_entry_t *entry,
    const ngx_str_t *user)
{
    size_t         len;
    const u_char  *p, *last;

    p = entry->packed.data;
    last = p + entry->packed.len;

    while (p < last) {
        len = *p++;

        if (len > (size_t) (last - p)) {
            break;
        }

        if (len == user->len && ngx_memcmp(p, user->data, len) == 0) {
            return 1;
        }

        p += len;
    }

    return 0;
}
