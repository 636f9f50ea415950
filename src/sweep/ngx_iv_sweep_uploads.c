/*
 * S3 multipart uploads that may be open though nobody knows their ids: the
 * answer to the beginning was lost, or its worker died before it had noted it,
 * and each further try may have begun one more.  Only the storage knows them.
 * The image's key is fresh and its own, so all of that key can go.
 */

#include "sweep/ngx_iv_sweep_private.h"


#define NGX_IV_SWEEP_PAGE   50
#define NGX_IV_SWEEP_PAGES  20          /* of one image, in one pass */


static void ngx_iv_sweep_uploads_list(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_uploads_more(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_uploads_listed(ngx_iv_storage_op_t *op);
static void ngx_iv_sweep_uploads_refused(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_uploads_next(ngx_iv_sweep_item_t *item);
static void ngx_iv_sweep_uploads_abort(ngx_iv_sweep_item_t *item,
    const ngx_str_t *id);
static void ngx_iv_sweep_uploads_aborted(ngx_iv_storage_op_t *op);


/* the one that is known first: that takes no right to list */

void
ngx_iv_sweep_item_uploads(ngx_iv_sweep_item_t *item)
{
    if (item->ref->upload_id.len) {
        ngx_iv_sweep_uploads_abort(item, &item->ref->upload_id);
        return;
    }

    ngx_iv_sweep_uploads_list(item);
}


static void
ngx_iv_sweep_uploads_list(ngx_iv_sweep_item_t *item)
{
    ngx_iv_storage_op_t  *op;

    if (item->storage->secretive) {
        ngx_iv_sweep_uploads_refused(item);
        return;
    }

    op = item->list;

    op->prefix = item->ref->key;
    op->limit = NGX_IV_SWEEP_PAGE;
    op->data = item;
    op->handler = ngx_iv_sweep_uploads_listed;

    item->nth = 0;
    item->pages++;

    ngx_iv_storage_uploads(op);
}


/* an end in any case: what is left comes with the next pass */

static void
ngx_iv_sweep_uploads_more(ngx_iv_sweep_item_t *item)
{
    ngx_iv_storage_op_t  *op;

    if (item->pages == NGX_IV_SWEEP_PAGES) {
        item->sweep->pass.left++;
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    op = ngx_iv_storage_op_create(item->storage->storage, item->sweep->pool,
                                  item->sweep->log);
    if (op == NULL) {
        ngx_iv_sweep_item_failed(item);
        return;
    }

    op->after = item->list->list.next_key;
    op->after_upload = item->list->list.next_upload;

    item->list = op;

    ngx_iv_sweep_uploads_list(item);
}


static void
ngx_iv_sweep_uploads_listed(ngx_iv_storage_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    ngx_iv_sweep_heard(item->sweep, op);

    if (op->code == NGX_OK) {
        ngx_iv_sweep_uploads_next(item);
        return;
    }

    if (op->code != NGX_IV_STORAGE_DENIED) {
        ngx_iv_sweep_item_failed(item);
        return;
    }

    item->storage->secretive = 1;

    if (!item->storage->told) {
        item->storage->told = 1;

        ngx_log_error(NGX_LOG_WARN, item->sweep->log, 0,
                      "storage \"%V\" does not list multipart uploads: those "
                      "that nobody knows of stay open, give the key the right "
                      "to, or the bucket a rule that ends them",
                      &item->storage->storage->conf->name);
    }

    ngx_iv_sweep_uploads_refused(item);
}


/*
 * What is swept goes on without: it would never end.  A ready image keeps its
 * mark: there is no hurry, and the right to list may be given yet.
 */

static void
ngx_iv_sweep_uploads_refused(ngx_iv_sweep_item_t *item)
{
    if (item->sweep->step == NGX_IV_SWEEP_UPLOADS) {
        item->sweep->pass.left++;
        ngx_iv_sweep_item_done(item->sweep);
        return;
    }

    ngx_iv_sweep_item_closed(item);
}


/* the next one of the page; other keys only begin like this one */

static void
ngx_iv_sweep_uploads_next(ngx_iv_sweep_item_t *item)
{
    ngx_str_t           *key;
    ngx_iv_s3_list_t    *list;
    ngx_iv_s3_listed_t  *found;

    list = &item->list->list;
    key = &item->ref->key;

    while (item->nth < list->nitems) {
        found = &list->items[item->nth++];

        if (found->upload_id.len
            && found->key.len == key->len
            && ngx_memcmp(found->key.data, key->data, key->len) == 0)
        {
            ngx_iv_sweep_uploads_abort(item, &found->upload_id);
            return;
        }
    }

    if (list->more) {
        ngx_iv_sweep_uploads_more(item);
        return;
    }

    ngx_iv_sweep_item_closed(item);
}


static void
ngx_iv_sweep_uploads_abort(ngx_iv_sweep_item_t *item, const ngx_str_t *id)
{
    ngx_iv_storage_op_t  *op;

    op = item->storage_op;

    op->upload_id = *id;
    op->handler = ngx_iv_sweep_uploads_aborted;

    ngx_iv_storage_multi_abort(op);
}


static void
ngx_iv_sweep_uploads_aborted(ngx_iv_storage_op_t *op)
{
    ngx_iv_sweep_item_t  *item;

    item = op->data;

    ngx_iv_sweep_heard(item->sweep, op);

    if (op->code != NGX_OK) {
        ngx_iv_sweep_item_failed(item);
        return;
    }

    if (item->pages == 0) {
        ngx_iv_sweep_uploads_list(item);
        return;
    }

    item->sweep->pass.uploads++;

    ngx_log_error(NGX_LOG_NOTICE, item->sweep->log, 0,
                  "sweep: aborted a multipart upload that nobody knew of, "
                  "storage: \"%V\", key: \"%V\"",
                  &item->storage->storage->conf->name, &item->ref->key);

    ngx_iv_sweep_uploads_next(item);
}
