/*
 * Images that go: deleted or expired.
 *
 * Operations of ngx_iv_metadata.h; the same rules hold.
 */

#ifndef NGX_IV_METADATA_DIRECT_H
#define NGX_IV_METADATA_DIRECT_H

#include "metadata/ngx_iv_metadata.h"


/*
 * Any state but error -> error with deletedAt; the image's size is given back
 * to its owner, exactly once.  owner: whose image it must be; empty: anybody's
 * (an admin).  why: kept in the document.
 * NGX_OK with refs[0]: key, storage, upload_id … of the object, which the
 * caller deletes now and then notes by ngx_iv_metadata_object_deleted(); what
 * it leaves undone the sweep does.  NGX_IV_NOT_FOUND: there is none, it is
 * another owner's, or it is deleted already.  May be repeated if `unknown`.
 */
void ngx_iv_metadata_delete(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner, const char *why);

/* the sweep's: the same for at most `limit` images whose access.expiresAt has
 * passed by the server's clock; refs, count: those that went.  Call it again
 * until there are none */
void ngx_iv_metadata_sweep_expired(ngx_iv_metadata_op_t *op,
    ngx_uint_t limit);


#endif
