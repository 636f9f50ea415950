/*
 * Images that go, deleted or expired; tickets for images that a client sends to
 * the storage itself.
 *
 * Operations of ngx_iv_metadata.h; the same rules hold.
 */

#ifndef NGX_IV_METADATA_DIRECT_H
#define NGX_IV_METADATA_DIRECT_H

#include "metadata/ngx_iv_metadata.h"


/*
 * Any state but error -> error with deletedAt; the image's size is given back
 * to its owner, exactly once.  owner: whose image it must be; empty: anybody's
 * (an admin).  why: kept in the document.  version: updatedAt that it must
 * have; 0: whatever it is.
 * NGX_OK with refs[0]: key, storage, upload_id … of the object, which the
 * caller deletes now and then notes by ngx_iv_metadata_object_deleted(); what
 * it leaves undone the sweep does.  NGX_IV_NOT_FOUND: there is none, it is
 * another owner's, or it is deleted already.  NGX_IV_PRECONDITION_FAILED: it is
 * another version.  May be repeated if `unknown`.
 */
void ngx_iv_metadata_delete(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner, int64_t version,
    const char *why);

/* the sweep's: the same for at most `limit` images whose access.expiresAt has
 * passed by the server's clock; refs, count: those that went.  Call it again
 * until there are none */
void ngx_iv_metadata_sweep_expired(ngx_iv_metadata_op_t *op,
    ngx_uint_t limit);


/*
 * Tickets (contract 4.8).  The document is `uploading`, with the key that the
 * image is to have and direct: {stagingKey, deadline}, where the client sends
 * it.  A ticket that nobody completes in time goes the way of an upload that
 * broke off; both objects are deleted, the staged one again when its URL and
 * `stale` are over.  A completed image keeps `direct` so long, too.
 */

/* doc with staging_key; life: until the deadline, by the server's clock, no
 * less than the URL's.  NGX_IV_RATE_LIMITED: the owner has max_open of them */
void ngx_iv_metadata_direct_insert(ngx_iv_metadata_op_t *op,
    const ngx_iv_document_t *doc, ngx_msec_t life, ngx_uint_t max_open);

/*
 * Takes a ticket to complete it; ngx_iv_metadata_touch() says that it goes on.
 * owner as with delete.  NGX_OK with document: `uploading`, it is ours; or
 * `ready`: it was completed before.  NGX_IV_NOT_READY: another is at it, or it
 * is no ticket; NGX_IV_GONE: too late; NGX_IV_NOT_FOUND.
 */
void ngx_iv_metadata_direct_claim(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner);
/* gives it back: nothing was written to the image's own key */
void ngx_iv_metadata_direct_unclaim(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);

/* the sweep's: completed tickets whose deadline is older than stale: refs, by
 * deadline, behind `after` */
void ngx_iv_metadata_sweep_staging(ngx_iv_metadata_op_t *op,
    const ngx_iv_metadata_ref_t *after, ngx_msec_t stale, ngx_uint_t limit);
/* the staged object is deleted for good: `direct` goes */
void ngx_iv_metadata_staging_deleted(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN]);


#endif
