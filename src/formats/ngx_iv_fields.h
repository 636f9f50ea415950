/*
 * What an upload may say about its images besides their bytes, from a form's
 * fields and from query arguments alike, in any order: tags, sharedWith,
 * isPublic, expiresAt, userId, as FormData and axios send them.
 *
 *   tags, sharedWith      repeated; comma-separated; a JSON array of strings;
 *                         tags[] and tags[0] (one each, commas are their own),
 *                         tags{} (axios: JSON).  Trimmed, empty and doubled
 *                         ones dropped.
 *   isPublic              true false 1 0 on off yes no, in any case
 *   expiresAt             see ngx_iv_date_parse_any()
 *
 * White space around a value is dropped, and an empty value is an absent one.
 * Names are case-sensitive; unknown ones are declined and harm nothing: forms
 * carry tokens and buttons.
 */

#ifndef NGX_IV_FIELDS_H
#define NGX_IV_FIELDS_H

#include "base/ngx_iv_code.h"

#define NGX_IV_TAGS_MAX    50
#define NGX_IV_TAG_MAX     64           /* characters */
#define NGX_IV_SHARED_MAX  100


typedef struct {
    /* results; all strings are in the pool, tags are valid UTF-8 without
     * control characters, owners valid, with ObjectIds in lower case */
    ngx_str_t      *tags;
    ngx_uint_t      ntags;
    ngx_str_t      *shared_with;
    ngx_uint_t      nshared;
    ngx_str_t       user;               /* userId, empty: absent */
    int64_t         expires_at;         /* ms since the epoch, 0: absent */
    unsigned        is_public:1;
    unsigned        has_public:1;       /* isPublic was given */

    /* of a code other than NGX_OK: what the client may be told, static */
    const char     *why;

    /* private */
    ngx_pool_t     *pool;
    ngx_int_t       code;
} ngx_iv_fields_t;


/* nothing is given yet */
void ngx_iv_fields_init(ngx_iv_fields_t *f, ngx_pool_t *pool);

/* 1 if the name is one of the above, however its brackets */
ngx_uint_t ngx_iv_fields_known(const ngx_str_t *name);

/*
 * One field; name and value are copied where they are kept.
 * NGX_OK; NGX_DECLINED: an unknown name; NGX_IV_BAD_PARAMETER (it stays at
 * that); NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_fields_add(ngx_iv_fields_t *f, const ngx_str_t *name,
    const ngx_str_t *value);

/* all arguments of a query string, still escaped; unknown ones passed over */
ngx_int_t ngx_iv_fields_query(ngx_iv_fields_t *f, const ngx_str_t *args);

/* nothing more comes: NGX_OK or NGX_IV_BAD_PARAMETER (expiresAt is not in the
 * future); now in ms.  May be called again after further fields. */
ngx_int_t ngx_iv_fields_finish(ngx_iv_fields_t *f, int64_t now);

/* a copy in another pool; NGX_OK or NGX_ERROR */
ngx_int_t ngx_iv_fields_copy(ngx_pool_t *pool, ngx_iv_fields_t *dst,
    const ngx_iv_fields_t *src);


#endif
