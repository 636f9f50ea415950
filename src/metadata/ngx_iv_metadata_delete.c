#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_metadata_direct.h"
#include "metadata/ngx_iv_document.h"


void
ngx_iv_metadata_delete(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner, int64_t version,
    const char *why)
{
    ngx_iv_mongo_call_t  *call;

    call = ngx_iv_metadata_begin(op, NGX_IV_MONGO_DELETE);
    if (call == NULL) {
        return;
    }

    ngx_memcpy(call->id, id, NGX_IV_ID_LEN);
    call->version = version;
    (void) ngx_cpystrn(call->why, (u_char *) why, NGX_IV_MONGO_WHY_LEN);

    if (ngx_iv_copy_str(call->pool, &call->owner, owner) != NGX_OK) {
        ngx_iv_metadata_refuse(op, NGX_IV_INTERNAL);
        return;
    }

    ngx_iv_metadata_post(op);
}


void
ngx_iv_metadata_sweep_expired(ngx_iv_metadata_op_t *op, ngx_uint_t limit)
{
    ngx_iv_metadata_list(op, NGX_IV_MONGO_SWEEP_EXPIRED, NULL, 0, limit);
}
