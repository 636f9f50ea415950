/*
 * Look-ups of single images, together (ngx_iv_metadata_gather.c).
 *
 * The question is an operation of its own, the carrier, with a pool of its own:
 * an asker that goes away just leaves the queue.
 */

#include "metadata/ngx_iv_metadata_private.h"
#include "metadata/ngx_iv_document.h"
#include "metadata/ngx_iv_metadata_lists.h"

/* in one question */
#define NGX_IV_METADATA_GET_MANY  64
/* in a worker, waiting and on their way */
#define NGX_IV_METADATA_GET_MAX   1024


typedef struct {
    ngx_queue_t            askers;      /* ngx_iv_metadata_state_t */
    ngx_pool_t            *pool;
    ngx_uint_t             n;
} ngx_iv_metadata_get_t;


static void ngx_iv_metadata_unqueue(ngx_iv_metadata_state_t *st);
static ngx_iv_metadata_op_t *ngx_iv_metadata_get_carrier(
    ngx_iv_metadata_t *md);
static void ngx_iv_metadata_get_done(ngx_iv_metadata_op_t *carrier);
static ngx_int_t ngx_iv_metadata_get_take(ngx_iv_metadata_op_t *carrier,
    ngx_iv_metadata_state_t *st);
static ngx_iv_document_t *ngx_iv_metadata_get_find(
    const ngx_iv_metadata_op_t *carrier, const u_char id[NGX_IV_ID_LEN]);


void
ngx_iv_metadata_get(ngx_iv_metadata_op_t *op, const u_char id[NGX_IV_ID_LEN])
{
    ngx_iv_metadata_t        *md;
    ngx_iv_metadata_state_t  *st;

    md = op->metadata;
    st = op->state;

    if (ngx_iv_metadata_reset(op, NGX_IV_MONGO_GET) != NGX_OK) {
        return;
    }

    if (md->asking >= NGX_IV_METADATA_GET_MAX) {
        ngx_log_error(NGX_LOG_WARN, op->log, 0,
                      "metadata get refused, its queue is full: %ui calls "
                      "wait", md->asking);

        ngx_iv_zone_add(md->zone, NGX_IV_COUNT_OVERLOADED, 1);
        ngx_iv_metadata_refuse(op, NGX_IV_OVERLOADED);
        return;
    }

    ngx_memcpy(st->id, id, NGX_IV_ID_LEN);
    st->queued = &md->gets.nwaiting;
    st->alone = 0;

    ngx_queue_insert_tail(&md->gets.waiting, &st->queue);
    md->gets.nwaiting++;
    md->asking++;

    ngx_iv_metadata_gather_more(&md->gets);
}


void
ngx_iv_metadata_get_leave(ngx_iv_metadata_state_t *st)
{
    ngx_iv_metadata_unqueue(st);
    st->op->metadata->asking--;
}


static void
ngx_iv_metadata_unqueue(ngx_iv_metadata_state_t *st)
{
    ngx_queue_remove(&st->queue);
    (*st->queued)--;
    st->queued = NULL;
}


void
ngx_iv_metadata_get_together(ngx_iv_metadata_t *md)
{
    u_char                    ids[NGX_IV_METADATA_GET_MANY][NGX_IV_ID_LEN];
    ngx_queue_t              *q;
    ngx_iv_metadata_op_t     *carrier;
    ngx_iv_metadata_get_t    *get;
    ngx_iv_metadata_state_t  *st;

    carrier = ngx_iv_metadata_get_carrier(md);

    if (carrier == NULL) {
        q = ngx_queue_head(&md->gets.waiting);
        st = ngx_queue_data(q, ngx_iv_metadata_state_t, queue);

        ngx_iv_metadata_get_leave(st);
        ngx_iv_metadata_refuse(st->op, NGX_IV_INTERNAL);
        return;
    }

    get = carrier->data;

    while (md->gets.nwaiting && get->n < NGX_IV_METADATA_GET_MANY) {
        q = ngx_queue_head(&md->gets.waiting);
        st = ngx_queue_data(q, ngx_iv_metadata_state_t, queue);

        if (st->alone && get->n) {
            break;
        }

        ngx_memcpy(ids[get->n], st->id, NGX_IV_ID_LEN);

        ngx_iv_metadata_unqueue(st);
        ngx_queue_insert_tail(&get->askers, &st->queue);
        st->queued = &get->n;
        get->n++;

        if (st->alone) {
            break;
        }
    }

    md->gets.active++;

    if (get->n == 1) {
        ngx_iv_metadata_by_id(carrier, NGX_IV_MONGO_GET, ids[0]);

    } else {
        ngx_iv_metadata_get_many(carrier, ids, get->n);
    }
}


static ngx_iv_metadata_op_t *
ngx_iv_metadata_get_carrier(ngx_iv_metadata_t *md)
{
    ngx_pool_t             *pool;
    ngx_iv_metadata_op_t   *carrier;
    ngx_iv_metadata_get_t  *get;

    pool = ngx_create_pool(4096, md->log);
    if (pool == NULL) {
        return NULL;
    }

    get = ngx_palloc(pool, sizeof(ngx_iv_metadata_get_t));
    carrier = ngx_iv_metadata_op_create(md, pool, md->log);

    if (get == NULL || carrier == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_queue_init(&get->askers);
    get->pool = pool;
    get->n = 0;

    carrier->data = get;
    carrier->handler = ngx_iv_metadata_get_done;

    return carrier;
}


/* one asker's handler may end others, or ask again */

static void
ngx_iv_metadata_get_done(ngx_iv_metadata_op_t *carrier)
{
    ngx_queue_t              *q;
    ngx_iv_metadata_t        *md;
    ngx_iv_metadata_op_t     *op;
    ngx_iv_metadata_get_t    *get;
    ngx_iv_metadata_state_t  *st;

    md = carrier->metadata;
    get = carrier->data;

    md->gets.active--;

    while (!ngx_queue_empty(&get->askers)) {
        q = ngx_queue_head(&get->askers);
        st = ngx_queue_data(q, ngx_iv_metadata_state_t, queue);
        op = st->op;

        ngx_iv_metadata_unqueue(st);

        if (ngx_iv_metadata_get_take(carrier, st) == NGX_AGAIN) {
            continue;
        }

        md->asking--;
        st->busy = 0;
        op->time = ngx_current_msec - st->start;
        op->handler(op);
    }

    ngx_destroy_pool(get->pool);

    ngx_iv_metadata_gather_more(&md->gets);
}


/* NGX_AGAIN: it waits once more, for a question of its own: among the documents
 * was one that can't be understood, perhaps this one */

static ngx_int_t
ngx_iv_metadata_get_take(ngx_iv_metadata_op_t *carrier,
    ngx_iv_metadata_state_t *st)
{
    ngx_iv_metadata_t     *md;
    ngx_iv_document_t     *doc;
    ngx_iv_metadata_op_t  *op;

    op = st->op;
    md = op->metadata;

    op->code = carrier->code;

    if (op->code != NGX_OK) {
        return NGX_OK;
    }

    doc = ngx_iv_metadata_get_find(carrier, st->id);

    if (doc == NULL) {

        if (carrier->found && carrier->found->strange && !st->alone) {
            st->alone = 1;
            st->queued = &md->gets.nwaiting;
            ngx_queue_insert_tail(&md->gets.waiting, &st->queue);
            md->gets.nwaiting++;
            return NGX_AGAIN;
        }

        op->code = NGX_IV_NOT_FOUND;
        return NGX_OK;
    }

    op->document = ngx_palloc(op->pool, sizeof(ngx_iv_document_t));

    if (op->document == NULL
        || ngx_iv_document_copy(op->pool, op->document, doc) != NGX_OK)
    {
        op->code = NGX_IV_INTERNAL;
    }

    return NGX_OK;
}


static ngx_iv_document_t *
ngx_iv_metadata_get_find(const ngx_iv_metadata_op_t *carrier,
    const u_char id[NGX_IV_ID_LEN])
{
    ngx_uint_t             i;
    const ngx_iv_found_t  *found;

    if (carrier->document) {
        return carrier->document;
    }

    found = carrier->found;

    for (i = 0; found && i < found->ndocuments; i++) {
        if (ngx_memcmp(found->documents[i].id, id, NGX_IV_ID_LEN) == 0) {
            return &found->documents[i];
        }
    }

    return NULL;
}
