/*
 * What a gallery and its admins ask of the metadata store: lists, changes of
 * ready images, users, the audit trail.  Operations as in ngx_iv_metadata.h;
 * what they find is in op->found (in op->pool).
 *
 * ngx_iv_metadata_list.c    operations, copies        (event loop)
 * ngx_iv_audit.c            the queue of the trail    (event loop)
 * ngx_iv_cursor.c           cursors                   (pure)
 * ngx_iv_list.c, _query     lists                     (threads)
 * ngx_iv_change.c, _query   changes, moderation       (threads)
 * ngx_iv_admin.c, _stats    usage, users, sums        (threads)
 * ngx_iv_audit_write.c      entries of the trail      (threads)
 */

#ifndef NGX_IV_METADATA_LISTS_H
#define NGX_IV_METADATA_LISTS_H

#include "metadata/ngx_iv_metadata.h"

#define NGX_IV_LIST_MAX      100        /* documents, ids of one call */
#define NGX_IV_CURSOR_NAME   1024       /* bytes of a name in a cursor */
#define NGX_IV_REASON_MAX    500
#define NGX_IV_STATS_DAYS    30
#define NGX_IV_STATS_TYPES   32
#define NGX_IV_STATUS_ANY    (-1)


typedef enum {
    NGX_IV_SORT_UPLOADED = 0,
    NGX_IV_SORT_SIZE,
    NGX_IV_SORT_NAME
} ngx_iv_sort_e;


/* where a page ends: what it is sorted by, then the id */
typedef struct {
    int64_t         number;         /* uploadedAt in ms, size */
    ngx_str_t       name;
    u_char          id[NGX_IV_ID_LEN];
} ngx_iv_position_t;


/* zeroed: any owner's images of status `uploading`, none: set them */
typedef struct {
    ngx_str_t       owner;          /* empty: any, for admins */
    ngx_int_t       status;         /* ngx_iv_status_e, NGX_IV_STATUS_ANY */
    ngx_str_t       type;           /* content type; empty: any */
    ngx_int_t       is_public;      /* -1: any */
    ngx_str_t      *tags;           /* all of them */
    ngx_uint_t      ntags;
    ngx_str_t       q;              /* the name begins with it */
    int64_t         from;           /* uploadedAt, both inclusive; 0: any */
    int64_t         to;
    ngx_iv_sort_e   sort;
    ngx_uint_t      limit;          /* 1 .. NGX_IV_LIST_MAX */
    ngx_uint_t      skip;           /* page form */
    ngx_iv_position_t   after;
    unsigned        deleted:1;      /* those with deletedAt, too: for admins */
    unsigned        desc:1;
    unsigned        has_after:1;    /* cursor form, behind `after` */
    unsigned        want_total:1;   /* found->total, exact */
} ngx_iv_list_t;


/* opaque to clients, printable in a URL; bound to the list's filters, sort and
 * order, though not to its limit.  last: the page's last document.
 * NGX_OK; NGX_DECLINED: its name, not one of ours, fits in none; NGX_ERROR */
ngx_int_t ngx_iv_cursor_encode(ngx_pool_t *pool, const ngx_iv_list_t *list,
    const ngx_iv_document_t *last, ngx_str_t *cursor);
/* fills after and has_after of a list that has everything else.  NGX_OK;
 * NGX_IV_BAD_PARAMETER: none of ours, or of another list; NGX_ERROR */
ngx_int_t ngx_iv_cursor_decode(ngx_pool_t *pool, const ngx_str_t *cursor,
    ngx_iv_list_t *list);


/* a merge patch of one image; what has no flag stays as it is */
typedef struct {
    u_char          id[NGX_IV_ID_LEN];
    ngx_str_t       owner;          /* empty: any, for admins */
    int64_t         if_match;       /* updatedAt; 0: whatever it is */
    ngx_str_t       original_name;
    ngx_str_t      *tags;
    ngx_uint_t      ntags;
    ngx_str_t      *shared_with;
    ngx_uint_t      nshared;
    ngx_uint_t      is_public;
    int64_t         expires_at;     /* 0: null, none */
    unsigned        has_original_name:1;
    unsigned        has_tags:1;
    unsigned        has_shared_with:1;
    unsigned        has_is_public:1;
    unsigned        has_expires_at:1;
} ngx_iv_patch_t;


typedef enum {
    NGX_IV_BULK_TAG = 0,
    NGX_IV_BULK_UNTAG,
    NGX_IV_BULK_SHARE,
    NGX_IV_BULK_UNSHARE,
    NGX_IV_BULK_PUBLISH,
    NGX_IV_BULK_UNPUBLISH
} ngx_iv_bulk_e;

typedef struct {
    ngx_iv_bulk_e   action;
    ngx_str_t       owner;          /* empty: any, for admins */
    u_char        (*ids)[NGX_IV_ID_LEN];
    ngx_uint_t      nids;           /* ≤ NGX_IV_LIST_MAX */
    ngx_str_t      *values;         /* tags or users */
    ngx_uint_t      nvalues;
} ngx_iv_bulk_t;


typedef struct {
    ngx_str_t       id;
    int64_t         used;           /* -1: not counted yet */
    int64_t         limit;          /* NGX_IV_QUOTA_NONE: it has none */
    ngx_uint_t      auto_delete;
    int64_t         default_expiry; /* days; 0: none */
} ngx_iv_user_t;

typedef struct {
    ngx_str_t       id;
    int64_t         limit;          /* NGX_IV_QUOTA_NONE: null */
    ngx_uint_t      auto_delete;
    int64_t         default_expiry; /* 0: null */
    unsigned        has_limit:1;
    unsigned        has_auto_delete:1;
    unsigned        has_default_expiry:1;
} ngx_iv_user_patch_t;


typedef struct {
    ngx_str_t       name;           /* of a type */
    int64_t         day;            /* its beginning in UTC, ms */
    int64_t         images;
    int64_t         bytes;
} ngx_iv_stat_t;

/* total, types and days: of ready images; a type beyond the last counts as
 * "other"; days ascending, today is the last */
typedef struct {
    ngx_iv_stat_t   total;
    ngx_iv_stat_t   statuses[NGX_IV_STATUS_ERROR + 1];
    ngx_iv_stat_t   types[NGX_IV_STATS_TYPES];
    ngx_uint_t      ntypes;
    ngx_iv_stat_t   days[NGX_IV_STATS_DAYS];
} ngx_iv_stats_t;


/* op->found */
typedef struct ngx_iv_found_s {
    ngx_iv_document_t  *documents;
    ngx_uint_t      ndocuments;
    ngx_uint_t      more;           /* 1: the list goes on */
    ngx_uint_t      strange;        /* documents that can't be understood */
    int64_t         total;          /* -1: not asked for */
    ngx_int_t      *codes;          /* bulk: of each id, in their order */
    ngx_uint_t      ncodes;
    ngx_iv_stats_t *stats;
    ngx_iv_user_t  *users;
    ngx_uint_t      nusers;
    ngx_str_t       next;           /* users: `after` of the next page */
} ngx_iv_found_t;


/* documents, ndocuments, more, total.  Images in the making of other writers
 * (no r2Key, no storage) are left out */
void ngx_iv_metadata_images(ngx_iv_metadata_op_t *op,
    const ngx_iv_list_t *list);
/* documents of those ids that there are, whatever they are, in any order */
void ngx_iv_metadata_get_many(ngx_iv_metadata_op_t *op,
    u_char (*ids)[NGX_IV_ID_LEN], ngx_uint_t n);

/*
 * Changes of images that are ready and not deleted; each makes updatedAt grow.
 * patch: op->document after it; NGX_IV_NOT_FOUND, also if another owns it;
 * NGX_IV_PRECONDITION_FAILED: it is there, with another updatedAt.
 */
void ngx_iv_metadata_patch(ngx_iv_metadata_op_t *op,
    const ngx_iv_patch_t *patch);
/* codes: NGX_OK; NGX_IV_NOT_FOUND, also if another owns it;
 * NGX_IV_BAD_PARAMETER: too many tags or users; NGX_IV_CONFLICT: another
 * changed it in the same moment.  documents: those found, after it */
void ngx_iv_metadata_bulk(ngx_iv_metadata_op_t *op, const ngx_iv_bulk_t *bulk);
/* reason NULL: no longer blocked.  op->document after it; NGX_IV_NOT_FOUND */
void ngx_iv_metadata_moderate(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *reason);

/* op->used, op->limit, op->count: ready images.  Mode off: users are not asked,
 * used is the sum of the owner's images */
void ngx_iv_metadata_usage(ngx_iv_metadata_op_t *op, const ngx_str_t *owner,
    const ngx_iv_quota_t *quota);
/* stats; reads every document, within the store's timeout */
void ngx_iv_metadata_stats(ngx_iv_metadata_op_t *op);

/*
 * Users, for where image_vault_quota is on: else their documents are not to be
 * touched.  after: found->next of the page before, or empty;
 * NGX_IV_BAD_PARAMETER if it is neither.
 */
void ngx_iv_metadata_users(ngx_iv_metadata_op_t *op, const ngx_str_t *after,
    ngx_uint_t limit);
/* users[0], or NGX_IV_NOT_FOUND */
void ngx_iv_metadata_user(ngx_iv_metadata_op_t *op, const ngx_str_t *id);
/* users[0] after it; a limit for a user without a document creates one, all
 * else is NGX_IV_NOT_FOUND then */
void ngx_iv_metadata_user_patch(ngx_iv_metadata_op_t *op,
    const ngx_iv_user_patch_t *patch);


/* an entry of the audit trail (contract 5.6); empty: absent */
typedef struct {
    ngx_str_t       who;
    ngx_uint_t      admin;
    ngx_str_t       action;         /* a stable word */
    u_char          image[NGX_IV_ID_LEN];
    ngx_str_t       owner;
    ngx_str_t       from;           /* the client's address */
    ngx_str_t       outcome;        /* a stable word */
    ngx_str_t       request_id;
    ngx_str_t       detail;
    unsigned        has_image:1;
} ngx_iv_audit_t;

/* queues a copy, never waits; what cannot be written is counted and logged */
void ngx_iv_audit_write(ngx_iv_metadata_t *md, const ngx_iv_audit_t *entry);
/* for where the trail is off: a line at notice */
void ngx_iv_audit_log(ngx_log_t *log, const ngx_iv_audit_t *entry);


#endif
