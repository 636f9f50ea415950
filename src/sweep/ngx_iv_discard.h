/*
 * Objects of images that were just deleted, in the background: the answer to
 * the client does not wait.  What fails, is too much, or lies in a storage that
 * is not configured here is left to the sweep, which deletes once more in any
 * case.
 */

#ifndef NGX_IV_DISCARD_H
#define NGX_IV_DISCARD_H

#include "metadata/ngx_iv_metadata.h"
#include "storage/ngx_iv_storage.h"


typedef struct ngx_iv_discard_s  ngx_iv_discard_t;

/* in init_process; storages: nstorages pointers, looked up by name.  NULL: no
 * memory */
ngx_iv_discard_t *ngx_iv_discard_create(ngx_cycle_t *cycle,
    ngx_iv_metadata_t *md, ngx_iv_storage_t **storages, ngx_uint_t nstorages);

/* the ref of an image whose document a majority has acknowledged as `error`;
 * it is copied, and nobody is told how it ends */
void ngx_iv_discard(ngx_iv_discard_t *discard,
    const ngx_iv_metadata_ref_t *ref);


#endif
