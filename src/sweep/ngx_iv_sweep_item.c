#include "sweep/ngx_iv_sweep_private.h"


static void ngx_iv_sweep_delete(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_object_deleted(ngx_iv_storage_op_t *op);
static void ngx_iv_sweep_released(ngx_iv_metadata_op_t *op);
static void ngx_iv_sweep_note(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_noted(ngx_iv_metadata_op_t *op);
static ngx_iv_sweep_storage_t *ngx_iv_sweep_storage(ngx_iv_sweep_t *sweep,
    const ngx_str_t *name);
static void ngx_iv_sweep_unknown(ngx_iv_sweep_t *sweep,
    const ngx_str_t *name);


ngx_int_t
ngx_iv_sweep_item(ngx_iv_sweep_t *sweep, ngx_iv_metadata_ref_t *ref)
{
    ngx_iv_sweep_item_t     *item;
    ngx_iv_sweep_storage_t  *storage;

    storage = ngx_iv_sweep_storage(sweep, &ref->storage);

    if (storage == NULL) {
        ngx_iv_sweep_unknown(sweep, &ref->storage);
        return NGX_DECLINED;
    }

    if (storage->failures >= NGX_IV_SWEEP_FAILURES
        || ngx_iv_storage_wait(storage->storage))
    {
        return NGX_DECLINED;
    }

    /* no key would name the bucket itself */

    if (sweep->step == NGX_IV_SWEEP_STAGING && ref->staging_key.len == 0) {
        return NGX_DECLINED;
    }

    if (sweep->step == NGX_IV_SWEEP_UPLOADS && storage->secretive) {
        return NGX_DECLINED;
    }

    item = ngx_pcalloc(sweep->pool, sizeof(ngx_iv_sweep_item_t));
    if (item == NULL) {
        return NGX_DECLINED;
    }

    item->sweep = sweep;
    item->storage = storage;
    item->staged = (sweep->step == NGX_IV_SWEEP_STAGING);
    item->ref = ref;
    item->op = ngx_iv_metadata_op_create(sweep->metadata, sweep->pool,
                                         sweep->log);
    item->storage_op = ngx_iv_storage_op_create(storage->storage, sweep->pool,
                                                sweep->log);

    if (item->op == NULL || item->storage_op == NULL) {
        return NGX_DECLINED;
    }

    item->op->data = item;

    item->storage_op->key = item->staged ? ref->staging_key : ref->key;
    item->storage_op->data = item;

    /* the uploads first: completed late, one would make the object again */

    if (!ref->multipart
        || item->staged
        || !ngx_iv_storage_needs_parts(storage->storage))
    {
        ngx_iv_sweep_item_closed(item);
        return NGX_OK;
    }

    item->list = ngx_iv_storage_op_create(storage->storage, sweep->pool,
                                          sweep->log);
    if (item->list == NULL) {
        return NGX_DECLINED;
    }

    ngx_iv_sweep_item_uploads(item);

    return NGX_OK;
}


void
ngx_iv_sweep_item_closed(ngx_iv_sweep_item_t *item)
{
    if (item->sweep->step == NGX_IV_SWEEP_UPLOADS) {
        ngx_iv_sweep_note(item);
        return;
    }

    ngx_iv_sweep_delete(item);
}


void
ngx_iv_sweep_item_failed(ngx_iv_sweep_item_t *item)
{
    item->storage->failures++;
    item->sweep->pass.errors++;
    ngx_iv_sweep_item_done(item->sweep);
}


static void
ngx_iv_sweep_delete(ngx_iv_sweep_item_t *item)
{
    item->storage_op->handler = ngx_iv_sweep_object_deleted;

    ngx_iv_storage_delete(item->storage_op);
}


static void
ngx_iv_sweep_object_deleted(ngx_iv_storage_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    ngx_iv_sweep_heard(item->sweep, op);

    if (op->code != NGX_OK) {
        ngx_iv_sweep_item_failed(item);
        return;
    }

    item->storage->failures = 0;

    /* what a client has sent for it, or may still send */

    if (item->ref->staging_key.len && !item->staged) {
        item->staged = 1;
        item->storage_op->key = item->ref->staging_key;
        ngx_iv_sweep_delete(item);
        return;
    }

    if (item->sweep->step == NGX_IV_SWEEP_STAGING
        || item->ref->owner.len == 0
        || !ngx_iv_metadata_has_quota(item->sweep->metadata))
    {
        ngx_iv_sweep_note(item);
        return;
    }

    /* before the document goes, and with it the knowledge of the entry */

    item->op->handler = ngx_iv_sweep_released;

    ngx_iv_metadata_quota_release(item->op, &item->ref->owner,
                                  item->ref->id);
}


static void
ngx_iv_sweep_released(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    item->sweep->latency = op->time;

    if (op->code != NGX_OK) {
        item->sweep->pass.errors++;
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    ngx_iv_sweep_note(item);
}


static void
ngx_iv_sweep_note(ngx_iv_sweep_item_t *item)
{
    item->op->handler = ngx_iv_sweep_noted;

    if (item->sweep->step == NGX_IV_SWEEP_FIRST) {
        ngx_iv_metadata_object_deleted(item->op, item->ref->id);

    } else if (item->sweep->step == NGX_IV_SWEEP_STAGING) {
        ngx_iv_metadata_staging_deleted(item->op, item->ref->id);

    } else if (item->sweep->step == NGX_IV_SWEEP_UPLOADS) {
        ngx_iv_metadata_uploads_ended(item->op, item->ref->id);

    } else {
        ngx_iv_metadata_remove(item->op, item->ref->id);
    }
}


static void
ngx_iv_sweep_noted(ngx_iv_metadata_op_t *op)
{
    ngx_iv_sweep_t       *sweep;
    ngx_iv_sweep_item_t  *item;

    item = op->data;
    sweep = item->sweep;

    sweep->latency = op->time;

    if (op->code == NGX_OK) {

        if (sweep->step == NGX_IV_SWEEP_FIRST) {
            sweep->pass.deleted++;

        } else if (sweep->step == NGX_IV_SWEEP_SECOND) {
            sweep->pass.removed++;
            ngx_iv_zone_add(sweep->zone, NGX_IV_COUNT_SWEEP_DELETED, 1);

        } else if (sweep->step == NGX_IV_SWEEP_STAGING) {
            sweep->pass.staged++;
        }

    } else if (op->code != NGX_IV_CONFLICT) {

        /* a conflict: another has noted it already */

        sweep->pass.errors++;
    }

    ngx_iv_sweep_item_done(sweep);
}


static ngx_iv_sweep_storage_t *
ngx_iv_sweep_storage(ngx_iv_sweep_t *sweep, const ngx_str_t *name)
{
    ngx_uint_t        i;
    const ngx_str_t  *have;

    for (i = 0; i < sweep->nstorages; i++) {
        have = &sweep->storages[i].storage->conf->name;

        if (have->len == name->len
            && ngx_memcmp(have->data, name->data, name->len) == 0)
        {
            return &sweep->storages[i];
        }
    }

    return NULL;
}


/* once for each name; names come from documents: not without end */

static void
ngx_iv_sweep_unknown(ngx_iv_sweep_t *sweep, const ngx_str_t *name)
{
    ngx_str_t   *told;
    ngx_uint_t   i;

    told = sweep->unknown.elts;

    for (i = 0; i < sweep->unknown.nelts; i++) {
        if (told[i].len == name->len
            && ngx_memcmp(told[i].data, name->data, name->len) == 0)
        {
            return;
        }
    }

    if (sweep->unknown.nelts == NGX_IV_SWEEP_UNKNOWN || name->len > 256) {
        return;
    }

    told = ngx_array_push(&sweep->unknown);
    if (told == NULL) {
        return;
    }

    told->len = name->len;
    told->data = ngx_pstrdup(sweep->unknown.pool, (ngx_str_t *) name);

    if (told->data == NULL) {
        sweep->unknown.nelts--;
        return;
    }

    ngx_log_error(NGX_LOG_WARN, sweep->log, 0,
                  "sweep leaves images of storage \"%V\", which is not "
                  "configured here", name);
}
