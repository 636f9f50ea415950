/*
 * What a write does to the ownership cache: the entries of all images that it
 * may have changed are dropped, whatever became of it, by the thread that made
 * it.  Thus no entry is left when anybody learns that it is done, even if the
 * operation was cancelled or its answer is late.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_lists.h"


typedef void (*ngx_iv_metadata_image_pt)(ngx_iv_metadata_t *md,
    const u_char *id);


static void ngx_iv_metadata_changed(ngx_iv_metadata_t *md,
    const ngx_iv_mongo_call_t *call, ngx_iv_metadata_image_pt image);
static void ngx_iv_metadata_drop_image(ngx_iv_metadata_t *md,
    const u_char *id);
static void ngx_iv_metadata_forget_image(ngx_iv_metadata_t *md,
    const u_char *id);


void
ngx_iv_metadata_drop(ngx_iv_metadata_t *md, const ngx_iv_mongo_call_t *call)
{
    ngx_iv_metadata_changed(md, call, ngx_iv_metadata_drop_image);
}


void
ngx_iv_metadata_forget(ngx_iv_metadata_t *md, const ngx_iv_mongo_call_t *call)
{
    ngx_iv_metadata_changed(md, call, ngx_iv_metadata_forget_image);
}


/* a sweep's list holds what it changed; where it failed in the midst of an
 * image, that is the call's own */

static void
ngx_iv_metadata_changed(ngx_iv_metadata_t *md, const ngx_iv_mongo_call_t *call,
    ngx_iv_metadata_image_pt image)
{
    ngx_uint_t            i;
    const ngx_iv_bulk_t  *bulk;

    static const u_char  none[NGX_IV_ID_LEN];

    if (!ngx_iv_mongo_changes_images(call->kind)) {
        return;
    }

    if (ngx_memcmp(call->id, none, NGX_IV_ID_LEN) != 0) {
        image(md, call->id);
    }

    for (i = 0; i < call->nrefs; i++) {
        image(md, call->refs[i].id);
    }

    if (call->kind == NGX_IV_MONGO_BULK) {
        bulk = &call->lists->bulk;

        for (i = 0; i < bulk->nids; i++) {
            image(md, bulk->ids[i]);
        }
    }
}


static void
ngx_iv_metadata_drop_image(ngx_iv_metadata_t *md, const u_char *id)
{
    ngx_iv_cache_drop(md->cache, id);
}


static void
ngx_iv_metadata_forget_image(ngx_iv_metadata_t *md, const u_char *id)
{
    ngx_iv_flight_forget(md->flights, id);
}
