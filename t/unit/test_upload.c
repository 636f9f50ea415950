/*
 * The upload's state machine against a metadata store, a storage and threads
 * that do what the test says, when it says so.
 *
 * sources: src/upload/ngx_iv_upload.c src/upload/ngx_iv_upload_stream.c
 * sources: src/upload/ngx_iv_upload_undo.c src/upload/ngx_iv_upload_check.c
 * sources: src/upload/ngx_iv_upload_hold.c src/upload/ngx_iv_upload_part.c
 * sources: src/upload/ngx_iv_upload_sums.c src/upload/ngx_iv_upload_quota.c
 * sources: src/upload/ngx_iv_upload_commit.c src/upload/ngx_iv_room.c
 * sources: src/formats/ngx_iv_digest.c src/formats/ngx_iv_fields.c
 * sources: src/formats/ngx_iv_json_read.c src/formats/ngx_iv_date.c
 * sources: src/upload/ngx_iv_upload_again.c src/upload/ngx_iv_upload_begin.c
 * sources: src/base/ngx_iv_str.c src/base/ngx_iv_code.c
 * sources: src/formats/ngx_iv_hash.c src/formats/ngx_iv_name.c
 * sources: src/formats/ngx_iv_hash_pair.c
 * sources: src/formats/ngx_iv_image.c src/formats/ngx_iv_png.c
 * sources: src/formats/ngx_iv_jpeg.c src/formats/ngx_iv_jpeg_declared.c
 * sources: src/formats/ngx_iv_jpeg_tail.c src/formats/ngx_iv_gif.c
 * sources: src/formats/ngx_iv_webp.c src/formats/ngx_iv_avif.c
 * libs: -lcrypto -lz
 */

#include "iv_test.h"
#include "iv_job.h"
#include "upload/ngx_iv_upload_state.h"
#include <zlib.h>


/* nginx's events */

void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
}

void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
}


/* blocks whose bounds the sanitizer knows, and which may lack */

u_char *
ngx_iv_block_get(ngx_log_t *log)
{
    return ngx_alloc(NGX_IV_BLOCK_SIZE, log);
}

void
ngx_iv_block_put(u_char *block)
{
    ngx_free(block);
}


static void
expire(ngx_event_t *ev)
{
    OK(ev->timer_set);
    ev->timer_set = 0;
    ev->timedout = 1;
    ev->handler(ev);
    turn();
}


/* counters */

static ngx_uint_t  counts[NGX_IV_COUNT_LAST];

void
ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n)
{
    counts[what] += n;
}


/* the metadata store: operations wait until the test ends them */

typedef enum {
    NONE, INSERT, TOUCH, READY, FAIL, NOTED, MULTI, RESERVE, SETTLE, RELEASE
} write_e;

static ngx_iv_metadata_op_t  *writes[8];
static write_e                kinds[8];
static ngx_uint_t             nwrites;
static write_e                last_write;

ngx_iv_metadata_op_t *
ngx_iv_metadata_op_create(ngx_iv_metadata_t *md, ngx_pool_t *pool,
    ngx_log_t *log)
{
    return ngx_pcalloc(pool, sizeof(ngx_iv_metadata_op_t));
}

static void
add_write(ngx_iv_metadata_op_t *op, write_e kind)
{
    writes[nwrites] = op;
    kinds[nwrites++] = kind;
    last_write = kind;
}

void
ngx_iv_metadata_insert(ngx_iv_metadata_op_t *op, const ngx_iv_document_t *doc)
{
    EQ_INT(doc->status, NGX_IV_STATUS_UPLOADING);
    OK(doc->key.len != 0);
    add_write(op, INSERT);
}

void
ngx_iv_metadata_touch(ngx_iv_metadata_op_t *op, const u_char id[NGX_IV_ID_LEN])
{
    add_write(op, TOUCH);
}

void
ngx_iv_metadata_ready(ngx_iv_metadata_op_t *op, const ngx_iv_document_t *doc)
{
    EQ_INT(doc->has_checksums, 1);
    EQ_INT(doc->width, 10);
    EQ_INT(doc->height, 20);
    add_write(op, READY);
}

void
ngx_iv_metadata_fail(ngx_iv_metadata_op_t *op, const u_char id[NGX_IV_ID_LEN],
    const char *why)
{
    OK(why != NULL);
    add_write(op, FAIL);
}

void
ngx_iv_metadata_object_deleted(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN])
{
    add_write(op, NOTED);
}

static ngx_str_t  noted_id;

void
ngx_iv_metadata_multipart(ngx_iv_metadata_op_t *op,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *upload_id)
{
    noted_id = *upload_id;
    add_write(op, MULTI);
}

static int64_t  asked, used, limit;
static int64_t  granted;
static int      settled, released, ready_ok, fail_ok, insert_ok;

void
ngx_iv_metadata_quota_reserve(ngx_iv_metadata_op_t *op, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN], int64_t already, int64_t n,
    const ngx_iv_quota_t *quota)
{
    EQ_INT(already, granted);
    OK(n > already);
    asked = n;
    add_write(op, RESERVE);
}

void
ngx_iv_metadata_quota_settle(ngx_iv_metadata_op_t *op, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN])
{
    OK(ready_ok);
    settled++;
    add_write(op, SETTLE);
}

void
ngx_iv_metadata_quota_release(ngx_iv_metadata_op_t *op, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN])
{
    /* only when the document is error */
    OK(fail_ok && !ready_ok);
    released++;
    add_write(op, RELEASE);
}

/* ends the oldest of a kind; 0: there is none */

static int
written(write_e kind, ngx_int_t code, ngx_uint_t unknown)
{
    ngx_uint_t             i;
    ngx_iv_metadata_op_t  *op;

    for (i = 0; i < nwrites; i++) {
        if (kinds[i] == kind) {
            op = writes[i];
            nwrites--;
            memmove(&writes[i], &writes[i + 1],
                    (nwrites - i) * sizeof(writes[0]));
            memmove(&kinds[i], &kinds[i + 1],
                    (nwrites - i) * sizeof(kinds[0]));
            op->code = code;
            op->unknown = unknown;
            op->time = 1;

            if (kind == RESERVE) {
                op->used = used;
                op->limit = limit;
                op->default_expiry = 30;

                if (code == NGX_OK && used + asked - granted > limit) {
                    op->code = NGX_IV_QUOTA_EXCEEDED;

                } else if (code == NGX_OK) {
                    used += asked - granted;
                    granted = asked;
                }

            } else if (kind == RELEASE && code == NGX_OK) {
                used -= granted;
                granted = 0;
            }

            insert_ok |= (kind == INSERT && code == NGX_OK);
            ready_ok |= (kind == READY && code == NGX_OK);
            fail_ok |= (kind == FAIL && code == NGX_OK);

            op->handler(op);
            turn();
            return 1;
        }
    }

    return 0;
}


/* the storage: one PUT, one DELETE */

static ngx_iv_storage_op_t  *put, *del;
static u_char                stored[1024 * 1024];
static int                   cancelled, woken;

ngx_iv_storage_op_t *
ngx_iv_storage_op_create(ngx_iv_storage_t *st, ngx_pool_t *pool, ngx_log_t *log)
{
    return ngx_pcalloc(pool, sizeof(ngx_iv_storage_op_t));
}

void
ngx_iv_storage_put(ngx_iv_storage_op_t *op)
{
    put = op;
}

void
ngx_iv_storage_wake(ngx_iv_storage_op_t *op)
{
    woken++;
}

void
ngx_iv_storage_delete(ngx_iv_storage_op_t *op)
{
    del = op;
}

/* multipart: one operation at a time */

typedef enum { IDLE, CREATE, PART, COMPLETE, ABORT } multi_e;

static ngx_iv_storage_op_t  *mop;
static multi_e               mkind;
static size_t                nobject;
static ngx_uint_t            nparts;
static int                   local, created, completed, aborted, deleted;

ngx_uint_t
ngx_iv_storage_needs_parts(ngx_iv_storage_t *st)
{
    return !local;
}

static ngx_msec_t             shut;

ngx_msec_t
ngx_iv_storage_wait(ngx_iv_storage_t *st)
{
    return shut;
}

static void
multi(ngx_iv_storage_op_t *op, multi_e kind)
{
    OK(mop == NULL);
    mop = op;
    mkind = kind;
}

void
ngx_iv_storage_multi_create(ngx_iv_storage_op_t *op)
{
    OK(op->content_type.len && op->disposition.len && op->key.len);
    multi(op, CREATE);
}

void
ngx_iv_storage_multi_part(ngx_iv_storage_op_t *op)
{
    EQ_STR(noted_id, "upload-1");
    EQ_STR(op->upload_id, "upload-1");
    EQ_INT(op->part, nparts + 1);
    multi(op, PART);
}

void
ngx_iv_storage_multi_complete(ngx_iv_storage_op_t *op)
{
    EQ_INT(op->nparts, nparts);
    multi(op, COMPLETE);
}

void
ngx_iv_storage_multi_abort(ngx_iv_storage_op_t *op)
{
    EQ_STR(op->upload_id, "upload-1");
    multi(op, ABORT);
}

void
ngx_iv_storage_cancel(ngx_iv_storage_op_t *op)
{
    cancelled = 1;

    if (op == mop) {
        OK(mkind != CREATE);
        mop = NULL;

    } else {
        put = NULL;
    }
}

/* sends what there is; the source's last word */

static ngx_int_t
pump(void)
{
    size_t      n;
    u_char     *p;
    ngx_int_t   rc;

    for ( ;; ) {

        if (put == NULL || put->sent == put->size) {
            return NGX_DONE;
        }

        if (put->size == -1) {
            OK(local);
        }

        rc = put->source(put, put->sent, &p, &n);
        if (rc != NGX_OK) {
            return rc;
        }

        memcpy(stored + put->sent, p, n);
        put->sent += (off_t) n;
        put->progress(put);
        turn();
    }
}

static void
put_ends(ngx_int_t code, const char *etag)
{
    ngx_iv_storage_op_t  *op;

    op = put;
    put = NULL;

    op->code = code;
    op->etag.data = (u_char *) etag;
    op->etag.len = strlen(etag);
    op->handler(op);
    turn();
}

static void
del_ends(ngx_int_t code)
{
    ngx_iv_storage_op_t  *op;

    op = del;
    del = NULL;

    op->code = code;
    op->handler(op);
    turn();
}


/* an image: a PNG of n bytes, 10 x 20 */

static u_char  image[1024 * 1024];

static u_char *
be32(u_char *p, uint32_t v)
{
    *p++ = (u_char) (v >> 24);
    *p++ = (u_char) (v >> 16);
    *p++ = (u_char) (v >> 8);
    *p++ = (u_char) v;

    return p;
}

static u_char *
chunk(u_char *p, const char *type, size_t n)
{
    p = be32(p, (uint32_t) n);
    memcpy(p, type, 4);

    return be32(p + 4 + n, (uint32_t) crc32(0, p, (uInt) n + 4));
}

static void
png(size_t n)
{
    size_t   i, data;
    u_char  *p;

    data = n - 8 - 25 - 12 - 12;

    memcpy(image, "\x89PNG\r\n\x1a\n", 8);
    p = image + 8;
    memcpy(p + 8, "\0\0\0\x0a\0\0\0\x14\x08\x06\0\0\0", 13);
    p = chunk(p, "IHDR", 13);

    for (i = 0; i < data; i++) {
        p[8 + i] = (u_char) (i * 7 + i / 251);
    }

    p = chunk(p, "IDAT", data);
    p = chunk(p, "IEND", 0);

    OK((size_t) (p - image) == n);
}

static const char *
md5(size_t n)
{
    u_char         sum[16], sha[32];
    ngx_iv_hash_t  h;
    static char    hex[33];

    OK(ngx_iv_hash_init(&h) == NGX_OK);
    ngx_iv_hash_update(&h, image, n);
    ngx_iv_hash_final(&h, sum, sha);
    ngx_iv_hash_free(&h);
    *ngx_iv_hex((u_char *) hex, sum, 16) = '\0';

    return hex;
}


/* the caller */

static ngx_iv_upload_t       *u;
static int                    more, done, gone;
static ngx_int_t              code;
static size_t                 fed;
static ngx_iv_storage_conf_t  conf;
static ngx_iv_storage_t       storage;
static ngx_log_t              log;
static ngx_iv_room_t         *room;
static ngx_pool_t            *room_pool;
static ngx_iv_upload_params_t  extra;
static int                    told;
static int                    alloc_fails = -1;

static ngx_int_t
cb_key(void *data, ngx_pool_t *pool, const ngx_str_t *filename, ngx_str_t *key)
{
    EQ_INT(filename->len, 36 + 4);
    *key = *filename;

    return NGX_OK;
}

static void
cb_more(void *data)
{
    more++;
}

static void
cb_done(void *data)
{
    done++;
    code = u->code;
}

static void
cb_stored(void *data)
{
    told++;
}

static void
cb_gone(void *data)
{
    gone = 1;

    if (alloc_fails != -1) {
        /* the pool took what was still under way with it */
        nwrites = 0;
    }
}

/* lost memory is the sanitizer's to find */

static void
begin(size_t size)
{
    ngx_pool_cleanup_t      *cln;
    ngx_iv_upload_params_t   params;

    ngx_queue_init(&ngx_posted_events);
    ngx_memzero(counts, sizeof(counts));
    ngx_memzero(stored, sizeof(stored));

    job = NULL;
    job_posted = job_refused = job_posts = 0;
    nwrites = 0;
    last_write = NONE;
    put = del = NULL;
    cancelled = woken = more = done = told = 0;
    code = -100;
    fed = 0;

    mop = NULL;
    nparts = 0;
    nobject = 0;
    created = completed = aborted = deleted = 0;
    settled = released = ready_ok = fail_ok = insert_ok = 0;
    granted = used = 0;
    limit = 1000000000;
    ngx_str_null(&noted_id);

    ngx_str_set(&conf.name, "s");
    conf.type = local ? NGX_IV_STORAGE_LOCAL : NGX_IV_STORAGE_S3;
    storage.conf = &conf;

    params = extra;
    params.storage = &storage;
    params.limits.types = NGX_IV_IMAGE_ALL;
    params.limits.max_pixels = 1000000;
    params.size = (off_t) size;
    params.heartbeat = 1000;
    ngx_str_set(&params.owner, "alice");
    ngx_str_set(&params.original_name, "photo.png");
    params.key = cb_key;
    params.more = cb_more;
    params.stored = cb_stored;
    params.done = cb_done;

    u = ngx_iv_upload_create(&params, &log);
    OK(u != NULL);

    gone = 0;
    cln = ngx_pool_cleanup_add(u->pool, 0);
    cln->handler = cb_gone;
}

/* bytes into every room there is, up to `to` */

static void
feed(size_t to)
{
    size_t   n;
    u_char  *p;

    while (fed < to) {
        n = ngx_iv_upload_room(u, &p);
        if (n == 0) {
            return;
        }

        n = ngx_min(n, ngx_min(to - fed, 5000));
        memcpy(p, image + fed, n);
        fed += n;
        ngx_iv_upload_filled(u, n);

        EQ_INT(done, 0);
        turn();
    }
}

static void
finish(void)
{
    EQ_INT(done, 1);
    ngx_iv_upload_free(u);
    turn();
}


static void
test_small(void)
{
    png(1000);
    begin(1000);
    feed(999);
    EQ_INT(last_write, INSERT);
    OK(put == NULL);
    feed(1000);
    OK(put == NULL);
    written(INSERT, NGX_OK, 0);
    OK(put != NULL);
    EQ_INT(put->sha256.len, 64);
    EQ_INT(job_posts, 0);
    EQ_INT(pump(), NGX_DONE);
    EQ_MEM(stored, image, 1000);
    EQ_INT(done, 0);
    put_ends(NGX_OK, md5(1000));
    EQ_INT(done, 0);
    OK(written(READY, NGX_OK, 0));
    EQ_INT(code, NGX_OK);
    EQ_INT(u->document.status, NGX_IV_STATUS_READY);
    EQ_INT(u->metadata_time, 2);
    finish();
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_CREATED], 1);
    EQ_INT(counts[NGX_IV_COUNT_UPLOAD_BYTES], 1000);
    EQ_INT(gone, 1);
}


static void
test_ring(void)
{
    /* fits the ring, hashed by one job */

    png(100000);
    begin(100000);
    feed(100000);
    EQ_INT(fed, 100000);
    EQ_INT(job_posts, 1);
    written(INSERT, NGX_OK, 0);
    OK(put == NULL);
    thread();
    OK(put != NULL);
    EQ_INT(put->sha256.len, 64);
    EQ_INT(pump(), NGX_DONE);
    EQ_MEM(stored, image, 100000);
    put_ends(NGX_OK, md5(100000));
    written(READY, NGX_OK, 0);
    EQ_INT(code, NGX_OK);
    finish();
    EQ_INT(gone, 1);
}


static void
big(size_t size)
{
    ngx_uint_t  i;

    png(size);
    begin(size);
    feed(size);
    EQ_INT(fed, NGX_IV_UPLOAD_RING);
    written(INSERT, NGX_OK, 0);
    OK(put != NULL);
    EQ_INT(put->sha256.len, 0);

    for (i = 0; i < 1000 && fed < size; i++) {
        pump();
        thread();
        EQ_INT(done, 0);

        if (fed < size) {
            OK(more > 0);
            more = 0;
            feed(size);
        }
    }

    OK(fed == size);
}


static void
test_big(void)
{
    size_t  size;

    size = 1000000;

    big(size);

    /* the tail waits for the verdict */

    EQ_INT(pump(), NGX_AGAIN);
    EQ_INT(put->sent, size - NGX_IV_UPLOAD_BUFFER);
    EQ_INT(done, 0);

    woken = 0;
    thread();
    thread();
    OK(woken == 1);
    EQ_INT(pump(), NGX_DONE);
    EQ_MEM(stored, image, size);
    put_ends(NGX_OK, md5(size));
    written(READY, NGX_OK, 0);
    EQ_INT(code, NGX_OK);
    finish();
    EQ_INT(gone, 1);
}


/* broken off in mid-body: another object, another document, the same bytes */

static void
test_again(void)
{
    u_char                id[NGX_IV_ID_LEN];
    ngx_str_t             key;
    ngx_iv_storage_op_t  *first;

    png(100000);
    begin(100000);
    feed(100000);
    written(INSERT, NGX_OK, 0);
    thread();
    OK(put != NULL);
    EQ_INT(put->rekey, 1);
    EQ_INT(pump(), NGX_DONE);

    first = put;
    key = put->key;
    ngx_memcpy(id, u->document.id, NGX_IV_ID_LEN);

    put->again = 1;
    put->sent = 0;
    put->tries = 1;
    put->retries = 1;
    put->wait = 50;
    put_ends(NGX_IV_STORAGE_UNAVAILABLE, "");
    EQ_INT(done, 0);

    /* nothing is sent before the new document is there */

    OK(put == NULL);
    OK(written(FAIL, NGX_OK, 0));
    OK(put == NULL);
    OK(written(INSERT, NGX_OK, 0));
    OK(put != NULL && put != first);
    EQ_INT(put->tries, 1);
    EQ_INT(put->retries, 1);
    EQ_INT(put->wait, 50);
    EQ_INT(put->key.len, key.len);
    OK(ngx_memcmp(put->key.data, key.data, key.len) != 0);
    OK(ngx_memcmp(u->document.id, id, NGX_IV_ID_LEN) != 0);

    EQ_INT(pump(), NGX_DONE);
    EQ_MEM(stored, image, 100000);
    put_ends(NGX_OK, md5(100000));
    OK(written(READY, NGX_OK, 0));
    EQ_INT(code, NGX_OK);
    OK(del == NULL);
    finish();
    EQ_INT(gone, 1);

    /* the new document can't be had */

    png(100000);
    begin(100000);
    feed(100000);
    written(INSERT, NGX_OK, 0);
    thread();
    EQ_INT(pump(), NGX_DONE);
    put->again = 1;
    put_ends(NGX_IV_STORAGE_UNAVAILABLE, "");
    OK(written(INSERT, NGX_IV_METADATA_UNAVAILABLE, 1));
    OK(put == NULL);
    EQ_INT(code, NGX_IV_METADATA_UNAVAILABLE);
    OK(del == NULL);
    finish();
    EQ_INT(gone, 1);
}


static void
test_full_queue(void)
{
    png(300000);
    begin(300000);
    job_refused = 1;
    feed(300000);
    written(INSERT, NGX_OK, 0);

    while (fed < 300000) {
        pump();
        feed(300000);
    }

    EQ_INT(pump(), NGX_DONE);
    EQ_INT(job_posts, 0);
    EQ_INT(counts[NGX_IV_COUNT_OVERLOADED], 1);
    put_ends(NGX_OK, md5(300000));
    written(READY, NGX_OK, 0);
    EQ_INT(code, NGX_OK);
    finish();
    EQ_INT(gone, 1);
}


static void
test_refused(void)
{
    /* not an image: neither database nor storage */

    memset(image, 'x', 1000);
    begin(500000);
    feed(1000);
    EQ_INT(done, 1);
    EQ_INT(code, NGX_IV_UNSUPPORTED_TYPE);
    EQ_INT(last_write, NONE);
    finish();
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_REFUSED], 1);
    EQ_INT(gone, 1);

    /* empty */

    begin(0);
    EQ_INT(done, 0);
    turn();
    OK(code == NGX_IV_UNSUPPORTED_TYPE || code == NGX_IV_CORRUPT_IMAGE);
    finish();
    EQ_INT(gone, 1);

    /* a small one, whole at once, with a broken CRC */

    png(1000);
    image[500] ^= 1;
    begin(1000);
    {
        u_char  *p;

        EQ_INT(ngx_iv_upload_room(u, &p), 1000);
        memcpy(p, image, 1000);
        ngx_iv_upload_filled(u, 1000);
        EQ_INT(done, 0);
        turn();
    }
    EQ_INT(code, NGX_IV_CORRUPT_IMAGE);
    EQ_INT(last_write, NONE);
    finish();
    EQ_INT(gone, 1);

    /* the storage's breaker is open: no document */

    png(1000);
    begin(1000);
    shut = 500;
    feed(1000);
    shut = 0;
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    EQ_INT(last_write, NONE);
    OK(put == NULL);
    finish();
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_FAILED], 1);
    EQ_INT(gone, 1);
}


static void
test_corrupt_end(void)
{
    png(500000);
    image[499990] ^= 1;
    begin(500000);
    feed(500000);
    written(INSERT, NGX_OK, 0);

    while (fed < 500000) {
        pump();
        thread();
        feed(500000);
    }

    pump();
    EQ_INT(put->sent, 500000 - NGX_IV_UPLOAD_BUFFER);

    while (!cancelled) {
        OK(job_posted);
        thread();
    }

    /* document first, then the object, then the note */

    EQ_INT(done, 0);
    OK(del == NULL);
    OK(written(FAIL, NGX_OK, 0));
    OK(del != NULL);
    EQ_INT(done, 0);
    del_ends(NGX_OK);
    EQ_INT(done, 1);
    EQ_INT(code, NGX_IV_CORRUPT_IMAGE);
    EQ_INT(last_write, NOTED);
    ngx_iv_upload_free(u);
    turn();
    EQ_INT(gone, 0);
    written(NOTED, NGX_OK, 0);
    EQ_INT(gone, 1);
}


static void
test_unacknowledged(void)
{
    /* the failure could not be written: nothing is deleted */

    big(500000);
    ngx_iv_upload_fail(u, NGX_IV_TIMEOUT, "slow");
    turn();
    OK(cancelled);
    OK(written(FAIL, NGX_IV_METADATA_UNAVAILABLE, 1));
    OK(del == NULL);
    EQ_INT(code, NGX_IV_TIMEOUT);
    finish();
    thread();
    EQ_INT(gone, 1);

    /* the document is ready, by whatever miracle */

    big(500000);
    ngx_iv_upload_fail(u, NGX_IV_TIMEOUT, "slow");
    turn();
    OK(written(FAIL, NGX_IV_CONFLICT, 0));
    OK(del == NULL);
    finish();
    thread();
    EQ_INT(gone, 1);
}


static void
test_insert_fails(void)
{
    png(1000);
    begin(1000);
    feed(1000);
    written(INSERT, NGX_IV_METADATA_UNAVAILABLE, 1);
    EQ_INT(code, NGX_IV_METADATA_UNAVAILABLE);
    EQ_INT(last_write, INSERT);
    OK(put == NULL);
    finish();
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_FAILED], 1);
    EQ_INT(gone, 1);

    /* a failure meanwhile waits for it */

    begin(1000);
    feed(900);
    ngx_iv_upload_fail(u, NGX_IV_LENGTH_MISMATCH, "short");
    turn();
    EQ_INT(done, 0);
    written(INSERT, NGX_OK, 0);
    EQ_INT(last_write, FAIL);
    EQ_INT(done, 0);
    written(FAIL, NGX_OK, 0);
    EQ_INT(code, NGX_IV_LENGTH_MISMATCH);
    OK(del == NULL);
    finish();
    EQ_INT(gone, 1);
}


static void
small_put(void)
{
    png(1000);
    begin(1000);
    feed(1000);
    written(INSERT, NGX_OK, 0);
    pump();
}


static void
test_commit_fails(void)
{
    /* unknown: it may be ready, so nothing is taken back */

    small_put();
    put_ends(NGX_OK, md5(1000));
    written(READY, NGX_IV_METADATA_UNAVAILABLE, 1);
    EQ_INT(code, NGX_IV_METADATA_UNAVAILABLE);
    EQ_INT(last_write, READY);
    OK(del == NULL);
    finish();
    EQ_INT(gone, 1);

    /* known not to be */

    small_put();
    put_ends(NGX_OK, md5(1000));
    written(READY, NGX_IV_OVERLOADED, 0);
    written(FAIL, NGX_OK, 0);
    OK(del != NULL);
    del_ends(NGX_IV_STORAGE_UNAVAILABLE);
    EQ_INT(code, NGX_IV_OVERLOADED);
    EQ_INT(last_write, FAIL);
    finish();
    EQ_INT(gone, 1);

    /* swept */

    small_put();
    put_ends(NGX_OK, md5(1000));
    written(READY, NGX_IV_CONFLICT, 0);
    written(FAIL, NGX_IV_NOT_FOUND, 0);
    OK(del != NULL);
    del_ends(NGX_OK);
    EQ_INT(last_write, FAIL);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    finish();
    EQ_INT(gone, 1);
}


static void
test_etag(void)
{
    small_put();
    put_ends(NGX_OK, "d41d8cd98f00b204e9800998ecf8427e");
    OK(written(FAIL, NGX_OK, 0));
    del_ends(NGX_OK);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    written(NOTED, NGX_OK, 0);
    finish();
    EQ_INT(gone, 1);

    small_put();
    put->etag_opaque = 1;
    put_ends(NGX_OK, "x");
    written(READY, NGX_OK, 0);
    EQ_INT(code, NGX_OK);
    finish();
    EQ_INT(gone, 1);
}


static void
test_storage_fails(void)
{
    big(500000);
    put_ends(NGX_IV_STORAGE_DENIED, "");
    OK(!cancelled);
    written(FAIL, NGX_OK, 0);
    OK(del != NULL);

    /* a storage that hangs does not hold the answer */

    EQ_INT(done, 0);
    expire(&u->state->patience);
    EQ_INT(done, 1);
    EQ_INT(code, NGX_IV_STORAGE_DENIED);
    ngx_iv_upload_free(u);
    turn();
    EQ_INT(gone, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    thread();
    EQ_INT(gone, 1);
}


static void
test_replay(void)
{
    /* from the beginning, as long as nothing was overwritten */

    png(500000);
    begin(500000);
    feed(100000);
    written(INSERT, NGX_OK, 0);
    EQ_INT(pump(), NGX_AGAIN);
    EQ_INT(put->sent, 100000);
    put->sent = 0;
    put->progress(put);
    turn();
    feed(500000);
    EQ_INT(fed, NGX_IV_UPLOAD_RING);
    EQ_INT(pump(), NGX_AGAIN);
    EQ_INT(put->sent, NGX_IV_UPLOAD_RING);

    thread();
    thread();
    feed(NGX_IV_UPLOAD_RING + 1);
    put->sent = 0;
    put->progress(put);
    turn();
    EQ_INT(pump(), NGX_DECLINED);

    put_ends(NGX_IV_STORAGE_UNAVAILABLE, "");
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    finish();
    EQ_INT(gone, 1);
}


static void
test_abandoned(void)
{
    /* before all bytes are in: undone in the background */

    png(500000);
    begin(500000);
    feed(100000);
    written(INSERT, NGX_OK, 0);
    pump();
    OK(job_posted);
    ngx_iv_upload_abandon(u);
    turn();
    OK(cancelled);
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(done, 0);
    EQ_INT(gone, 1);
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_FAILED], 1);

    /* the thread still has the ring */

    thread();

    /* after: it goes on to its end */

    small_put();
    ngx_iv_upload_abandon(u);
    turn();
    put_ends(NGX_OK, md5(1000));
    OK(written(READY, NGX_OK, 0));
    EQ_INT(done, 0);
    EQ_INT(gone, 1);
    EQ_INT(counts[NGX_IV_COUNT_UPLOADS_CREATED], 1);

    /* at once, and with all bytes in before a step could ask for a key */

    begin(1000);
    ngx_iv_upload_abandon(u);
    turn();
    EQ_INT(gone, 1);

    {
        u_char  *p;

        begin(1000);
        EQ_INT(ngx_iv_upload_room(u, &p), 1000);
        memcpy(p, image, 1000);
        ngx_iv_upload_filled(u, 1000);
        ngx_iv_upload_abandon(u);
        turn();
        EQ_INT(last_write, NONE);
        EQ_INT(gone, 1);
    }
}


static void
test_heartbeat(void)
{
    png(500000);
    begin(500000);
    feed(100000);
    written(INSERT, NGX_OK, 0);
    expire(&u->state->beat);
    EQ_INT(last_write, TOUCH);
    expire(&u->state->beat);
    OK(written(TOUCH, NGX_OK, 0));
    OK(!written(TOUCH, NGX_OK, 0));
    expire(&u->state->beat);
    OK(written(TOUCH, NGX_IV_METADATA_UNAVAILABLE, 1));
    EQ_INT(done, 0);
    expire(&u->state->beat);
    OK(written(TOUCH, NGX_IV_CONFLICT, 0));
    OK(cancelled);
    OK(!u->state->beat.timer_set);
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    finish();
    thread();
    EQ_INT(gone, 1);
}


static void
test_no_memory(void)
{
    int                      i;
    ngx_iv_upload_params_t   params;

    ngx_memzero(&params, sizeof(params));
    params.storage = &storage;
    params.size = 1000;
    ngx_str_set(&params.owner, "alice");

    for (i = 0; i < 8; i++) {
        iv_fail_alloc_after = i;
        u = ngx_iv_upload_create(&params, &log);
        iv_fail_alloc_after = -1;

        if (u) {
            break;
        }

    }

    OK(u != NULL && i > 2);
    ngx_iv_upload_abandon(u);
    turn();

    /* the ring's memory lacks */

    png(1000);
    begin(1000);
    iv_fail_alloc_after = 0;
    feed(1000);
    iv_fail_alloc_after = -1;
    EQ_INT(fed, 0);
    turn();
    EQ_INT(code, NGX_IV_OVERLOADED);
    finish();
    EQ_INT(gone, 1);
}


/* bodies of unknown length */

static size_t  part_size, room_size;
static off_t   max_size = 900000;

static void
begin_unknown(void)
{
    conf.part_size = part_size;

    room_pool = ngx_create_pool(1024, &log);
    room = ngx_iv_room_create(room_pool, room_size, &log);

    extra.room = room;
    extra.max_size = max_size;
    extra.at_most = extra.at_most ? extra.at_most : -1;

    begin((size_t) -1);
}

/* all of the room is free again */

static void
room_free(void)
{
    ngx_iv_room_share_t  share;

    ngx_memzero(&share, sizeof(share));
    EQ_INT(ngx_iv_room_take(room, &share, room_size), NGX_OK);
    ngx_destroy_pool(room_pool);
    ngx_memzero(&extra, sizeof(extra));
    local = 0;
}

static const char *
etag(size_t size)
{
    size_t         i, n;
    ngx_uint_t     parts;
    u_char         sums[64 * 16], sum[16], sha[32];
    ngx_iv_hash_t  h;
    static char    hex[48];

    parts = 0;

    for (i = 0; i < size; i += n) {
        n = ngx_min(part_size, size - i);
        OK(ngx_iv_hash_init(&h) == NGX_OK);
        ngx_iv_hash_update(&h, image + i, n);
        ngx_iv_hash_final(&h, sums + 16 * parts++, sha);
        ngx_iv_hash_free(&h);
    }

    OK(ngx_iv_hash_init(&h) == NGX_OK);
    ngx_iv_hash_update(&h, sums, parts * 16);
    ngx_iv_hash_final(&h, sum, sha);
    ngx_iv_hash_free(&h);
    sprintf((char *) ngx_iv_hex((u_char *) hex, sum, 16), "-%d", (int) parts);

    return hex;
}

static void
multi_ends(ngx_int_t rc)
{
    size_t                n;
    off_t                 off;
    u_char               *p;
    multi_e               kind;
    ngx_iv_storage_op_t  *op;

    op = mop;
    kind = mkind;
    op->code = rc;

    if (kind == PART) {

        for (off = 0; off < op->size; off += (off_t) n) {
            EQ_INT(op->source(op, off, &p, &n), NGX_OK);
            memcpy(stored + nobject + off, p, n);
            op->sent = off + (off_t) n;
            op->progress(op);
        }

        /* nothing leaves that is not reserved */
        OK(extra.quota.mode == NGX_IV_QUOTA_OFF
           || granted >= (int64_t) nobject + op->size);
    }

    if (rc == NGX_OK) {
        switch (kind) {
        case CREATE:
            ngx_str_set(&op->upload_id, "upload-1");
            created = 1;
            break;
        case PART:
            nobject += (size_t) op->size;
            nparts++;
            ngx_str_set(&op->etag, "part");
            break;
        case COMPLETE:
            completed = 1;
            op->etag.data = (u_char *) etag(nobject);
            op->etag.len = strlen((char *) op->etag.data);
            break;
        default:
            aborted = 1;
        }
    }

    mop = NULL;
    op->handler(op);
    turn();
}


typedef enum { NEVER, OP_FAILS, ABANDON, REFUSE, GIVE_WAY, SWEEP } trouble_e;

static trouble_e   trouble;
static ngx_uint_t  events, trouble_at;
static int         away, ended, putten, longest;

/* the next thing that happens outside; 0: nothing is under way */

static int
happens(void)
{
    off_t      was;
    ngx_int_t  rc;

    if (!job_posted && nwrites == 0 && mop == NULL && put == NULL
        && del == NULL)
    {
        return 0;
    }

    rc = NGX_OK;

    if (++events == trouble_at) {

        switch (trouble) {
        case OP_FAILS:
            rc = NGX_IV_STORAGE_UNAVAILABLE;
            break;
        case SWEEP:
            rc = NGX_IV_CONFLICT;
            break;
        case ABANDON:
            if (!done) {
                ngx_iv_upload_abandon(u);
                away = 1;
            }
            break;
        case REFUSE:
            if (!done) {
                ngx_iv_upload_fail(u, NGX_IV_TIMEOUT, "slow");
            }
            break;
        case GIVE_WAY:
            if (!done) {
                u->state->share.give_way(u);
            }
            break;
        default:
            break;
        }

        turn();
    }

    if (job_posted) {
        thread();

    } else if (nwrites) {
        written(kinds[0], rc, 0);

    } else if (mop) {
        multi_ends(rc);

    } else if (put) {

        was = put->sent;

        if (pump() == NGX_DONE || rc != NGX_OK) {
            nobject = put ? (size_t) put->sent : 0;
            putten = (rc == NGX_OK);
            put_ends(rc, md5(nobject));

        } else {
            return !put || put->sent != was;
        }

    } else if (del) {
        deleted |= (rc == NGX_OK);
        del_ends(rc);
    }

    return 1;
}


static void
whole(size_t size)
{
    int  i, some;

    events = 0;
    away = ended = putten = longest = 0;

    png(size);
    begin_unknown();

    iv_fail_alloc_after = alloc_fails;

    for (i = 0; i < 10000; i++) {

        some = 0;

        if (!away && !done && !gone) {

            if (fed < size) {
                size_t  was = fed;
                feed(ngx_min(fed + 30000, size));
                turn();
                some = (fed != was || done);

            } else if (!ended) {
                ended = some = 1;
                ngx_iv_upload_end(u);
                turn();
            }
        }

        if (!gone) {
            longest = ngx_max(longest, (int) u->state->share.held);
        }

        if (!gone && told && !done && !u->state->committed && !away) {
            EQ_INT(u->state->share.held, 0);
            ngx_iv_upload_commit(u, NULL);
            turn();
            some = 1;
        }

        if (done && !away && !gone) {
            away = 1;
            ngx_iv_upload_free(u);
            turn();
        }

        if (!happens() && !some) {
            break;
        }
    }

    iv_fail_alloc_after = -1;

    EQ_INT(gone, 1);
    EQ_INT(nwrites, 0);
    OK(longest <= (int) (2 * part_size + 4 * NGX_IV_RING_BLOCK));

    if (ready_ok) {
        EQ_INT(nobject, size);
        EQ_MEM(stored, image, size);
        OK(completed || putten);
        EQ_INT(released, 0);
        OK(alloc_fails != -1
           || settled == (extra.quota.mode != NGX_IV_QUOTA_OFF));

    } else {
        OK(trouble != NEVER || code > 0);

        if (fail_ok && alloc_fails == -1
            && trouble != OP_FAILS && trouble != SWEEP)
        {
            EQ_INT(used, 0);
            OK(!created || completed || aborted);
            OK(!(completed || putten) || deleted);
        }
    }
}


static void
test_unknown(void)
{
    size_t                  n, d;
    /* 190001: later parts begin within a block of the sums */
    static const size_t     sizes[] = { 196608, 200000, 65536, 1000000,
                                        190001 };

    trouble = NEVER;

    for (n = 0; n < 5; n++) {
        part_size = sizes[n];
        room_size = 2 * part_size + 4 * NGX_IV_RING_BLOCK;

        for (d = 0; d < 9; d++) {
            size_t  size = (d / 3 + 1) * part_size + d % 3 - 1;

            if (size > 900000) {
                continue;
            }

            whole(size);
            EQ_INT(code, NGX_OK);
            EQ_INT(putten, size <= part_size);
            EQ_INT(nparts, size <= part_size
                           ? 0 : (size + part_size - 1) / part_size);
            room_free();
        }

        whole(100);
        EQ_INT(code, NGX_OK);
        OK(putten);
        room_free();

        whole(900000);
        EQ_INT(code, NGX_OK);
        room_free();

        whole(900001);
        EQ_INT(code, NGX_IV_TOO_LARGE);
        room_free();
    }

    /* only room for one part: by turns */

    part_size = 200000;
    room_size = 262144 + 65536;
    whole(700000);
    EQ_INT(code, NGX_OK);
    EQ_INT(nparts, 4);
    EQ_INT(longest, 262144 + 65536);
    room_free();

    part_size = 196608;
    room_size = 196608;
    whole(196608);
    EQ_INT(code, NGX_OK);
    EQ_INT(longest, 196608);
    room_free();
    whole(3 * 196608);
    EQ_INT(code, NGX_OK);
    EQ_INT(nparts, 3);
    room_free();

    /* not even for that */

    room_size = 65536;
    whole(1000);
    EQ_INT(code, NGX_IV_OVERLOADED);
    room_free();

    /* what is known to be small takes little */

    extra.at_most = 2000;
    whole(1000);
    EQ_INT(code, NGX_OK);
    EQ_INT(longest, 65536);
    room_free();
}


static void
test_empty(void)
{
    part_size = 196608;
    room_size = 400000;
    trouble = NEVER;

    begin_unknown();
    ngx_iv_upload_end(u);
    EQ_INT(done, 0);
    turn();
    EQ_INT(code, NGX_IV_LENGTH_MISMATCH);
    EQ_INT(last_write, NONE);
    finish();
    EQ_INT(gone, 1);
    room_free();
}


/* something goes wrong at every single moment */

static void
troubles(size_t size, ngx_uint_t hold, trouble_e t)
{
    int  fine;

    trouble = t;
    trouble_at = 1;

    for ( ;; ) {
        extra.hold = hold;
        extra.quota.mode = NGX_IV_QUOTA_SIZE;
        whole(size);

        fine = (events < trouble_at);

        if (fine) {
            EQ_INT(code, NGX_OK);
        }

        room_free();

        if (fine || trouble_at > 1000) {
            break;
        }

        trouble_at++;
    }

    OK(trouble_at > 7 && trouble_at < 1000);
    trouble = NEVER;
    trouble_at = 0;
}


static void
test_troubles(void)
{
    ngx_uint_t  hold;
    trouble_e   t;

    part_size = 196608;
    room_size = 10 * 65536;

    for (hold = 0; hold < 2; hold++) {
        for (t = OP_FAILS; t <= SWEEP; t++) {
            troubles(100000, hold, t);
            troubles(2 * part_size - 1, hold, t);
            troubles(500000, hold, t);
        }
    }
}


static void
test_memory_lacks(void)
{
    int  i;

    part_size = 196608;
    room_size = 10 * 65536;
    trouble = NEVER;

    for (i = 0; i < 1000; i++) {
        alloc_fails = i;
        extra.quota.mode = NGX_IV_QUOTA_SIZE;
        whole(500000);
        room_free();

        if (code == NGX_OK) {
            break;
        }
    }

    OK(i > 20 && i < 1000);
    alloc_fails = -1;
}


static void
test_quota(void)
{
    size_t  i;

    part_size = 196608;
    room_size = 10 * 65536;

    /* at the first part, at the second, at the last, not at all */

    for (i = 0; i < 4; i++) {
        extra.quota.mode = NGX_IV_QUOTA_SIZE;
        png(500000);
        begin_unknown();
        limit = (i == 3) ? 500000 : (i + 1) * part_size - 1;
        limit = (i == 2) ? 499999 : limit;

        while (!done) {
            if (fed < 500000) {
                feed(500000);
            }
            if (fed == 500000 && !done) {
                ngx_iv_upload_end(u);
                turn();
            }
            if (!happens()) {
                break;
            }
        }

        EQ_INT(done, 1);

        if (i == 3) {
            EQ_INT(code, NGX_OK);
            EQ_INT(used, 500000);
            OK(u->document.expires_at
               == u->document.uploaded_at + 30LL * 86400 * 1000);

        } else {
            EQ_INT(code, NGX_IV_QUOTA_EXCEEDED);
            EQ_INT(u->quota_limit, limit);
            OK(u->quota_needed > limit);
            OK(u->quota_used <= limit);
            OK(nparts <= i);
        }

        ngx_iv_upload_free(u);
        turn();

        while (happens()) { /* void */ }

        EQ_INT(gone, 1);
        EQ_INT(used, i == 3 ? 500000 : 0);
        room_free();
    }

    /* a known length: before the first byte leaves */

    extra.quota.mode = NGX_IV_QUOTA_DOCUMENTS;
    png(400000);
    begin(400000);
    limit = 399999;
    feed(400000);
    written(INSERT, NGX_OK, 0);
    EQ_INT(asked, 400000);
    OK(put == NULL);
    written(RESERVE, NGX_OK, 0);
    OK(put == NULL);
    written(FAIL, NGX_OK, 0);
    EQ_INT(released, 0);
    EQ_INT(code, NGX_IV_QUOTA_EXCEEDED);
    finish();
    thread();
    EQ_INT(gone, 1);

    begin(400000);
    feed(400000);
    written(INSERT, NGX_OK, 0);
    written(RESERVE, NGX_IV_FORBIDDEN, 0);
    written(FAIL, NGX_OK, 0);
    EQ_INT(code, NGX_IV_FORBIDDEN);
    finish();
    thread();

    /* a failure waits for the reservation that is under way */

    begin(400000);
    feed(400000);
    written(INSERT, NGX_OK, 0);
    ngx_iv_upload_fail(u, NGX_IV_TIMEOUT, "slow");
    turn();
    written(FAIL, NGX_OK, 0);
    EQ_INT(released, 0);
    EQ_INT(done, 0);
    written(RESERVE, NGX_IV_METADATA_UNAVAILABLE, 1);
    EQ_INT(released, 1);
    written(RELEASE, NGX_OK, 0);
    EQ_INT(code, NGX_IV_TIMEOUT);
    finish();
    thread();

    /* sent again under another key: what the first one held goes first */

    png(100000);
    begin(100000);
    limit = 150000;
    feed(100000);
    written(INSERT, NGX_OK, 0);
    thread();
    OK(written(RESERVE, NGX_OK, 0));
    EQ_INT(pump(), NGX_DONE);
    put->again = 1;
    put_ends(NGX_IV_STORAGE_UNAVAILABLE, "");
    OK(written(INSERT, NGX_OK, 0));
    OK(put == NULL);
    EQ_INT(released, 0);
    OK(written(FAIL, NGX_OK, 0));
    OK(put == NULL);
    OK(written(RELEASE, NGX_OK, 0));
    OK(written(RESERVE, NGX_OK, 0));
    EQ_INT(used, 100000);
    EQ_INT(pump(), NGX_DONE);
    put_ends(NGX_OK, md5(100000));
    OK(written(READY, NGX_OK, 0));
    EQ_INT(code, NGX_OK);
    OK(written(SETTLE, NGX_OK, 0));
    EQ_INT(used, 100000);
    finish();
    EQ_INT(gone, 1);
    ngx_memzero(&extra, sizeof(extra));
}


static void
test_digests(void)
{
    ngx_uint_t        i, n;
    ngx_iv_hash_t     h;
    ngx_iv_digests_t  d;
    static size_t     sizes[] = { 1000, 100000, 300000 };

    part_size = 196608;
    room_size = 10 * 65536;

    for (n = 0; n < 3; n++) {
        for (i = 0; i < 6; i++) {

            png(sizes[n]);
            ngx_memzero(&d, sizeof(d));
            OK(ngx_iv_hash_init(&h) == NGX_OK);
            OK(ngx_iv_hash_want_sha512(&h) == NGX_OK);
            ngx_iv_hash_update(&h, image, sizes[n]);
            ngx_iv_hash_final(&h, d.md5, d.sha256);
            ngx_iv_hash_final_sha512(&h, d.sha512);
            ngx_iv_hash_free(&h);

            d.has_md5 = (i % 3 == 0);
            d.has_sha256 = (i % 3 == 1);
            d.has_sha512 = (i % 3 == 2);

            if (i >= 3) {
                d.md5[3] ^= 1;
                d.sha256[3] ^= 1;
                d.sha512[63] ^= 1;
            }

            extra.digests = &d;
            trouble = NEVER;
            whole(sizes[n]);
            EQ_INT(code, i < 3 ? NGX_OK : NGX_IV_DIGEST_MISMATCH);
            OK(i < 3 || (!putten && !completed));
            room_free();
        }
    }

    /* a known length: the declared sum signs what is streamed */

    ngx_memzero(&d, sizeof(d));
    d.has_sha256 = 1;
    extra.digests = &d;
    png(500000);
    begin(500000);
    feed(500000);
    written(INSERT, NGX_OK, 0);
    OK(put != NULL);
    EQ_INT(put->sha256.len, 64);
    EQ_MEM(put->sha256.data, "000000", 6);

    while (fed < 500000) {
        pump();
        thread();
        feed(500000);
    }

    pump();
    EQ_INT(put->sent, 500000 - NGX_IV_UPLOAD_BUFFER);

    while (!cancelled) {
        OK(job_posted);
        thread();
    }

    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(code, NGX_IV_DIGEST_MISMATCH);
    finish();
    EQ_INT(gone, 1);
    ngx_memzero(&extra, sizeof(extra));
}


static void
test_room(void)
{
    size_t                n;
    u_char               *p;
    ngx_iv_room_share_t   other;

    part_size = 196608;
    room_size = 196608;

    /* waits, is granted, told; and gives up */

    begin_unknown();
    ngx_memzero(&other, sizeof(other));
    EQ_INT(ngx_iv_room_take(room, &other, 100), NGX_OK);
    EQ_INT(ngx_iv_upload_room(u, &p), 0);
    turn();
    EQ_INT(more, 0);
    ngx_iv_room_release(&other);
    EQ_INT(more, 0);
    turn();
    EQ_INT(more, 1);
    n = ngx_iv_upload_room(u, &p);
    OK(n == NGX_IV_RING_BLOCK);
    u->state->share.give_way(u);
    EQ_INT(ngx_iv_upload_room(u, &p), 0);
    EQ_INT(done, 0);
    turn();
    EQ_INT(code, NGX_IV_OVERLOADED);
    EQ_INT(counts[NGX_IV_COUNT_OVERLOADED], 1);
    finish();
    EQ_INT(gone, 1);
    room_free();

    begin_unknown();
    ngx_memzero(&other, sizeof(other));
    EQ_INT(ngx_iv_room_take(room, &other, 100), NGX_OK);
    EQ_INT(ngx_iv_upload_room(u, &p), 0);
    ngx_iv_room_keep(&u->state->share, 0);
    u->state->share.refused(u);
    turn();
    EQ_INT(code, NGX_IV_OVERLOADED);
    finish();
    ngx_iv_room_release(&other);
    room_free();

    /* waits and is abandoned */

    begin_unknown();
    ngx_memzero(&other, sizeof(other));
    EQ_INT(ngx_iv_room_take(room, &other, 100), NGX_OK);
    EQ_INT(ngx_iv_upload_room(u, &p), 0);
    ngx_iv_upload_abandon(u);
    turn();
    EQ_INT(gone, 1);
    ngx_iv_room_release(&other);
    turn();
    room_free();
}


static void
held(size_t size)
{
    png(size);
    extra.hold = 1;
    begin_unknown();
    feed(size);
    EQ_INT(fed, size);
    ngx_iv_upload_end(u);
    turn();

    while (!told) {
        if (!happens()) {
            break;
        }
    }

    EQ_INT(told, 1);
    EQ_INT(done, 0);
    EQ_INT(ready_ok, 0);
    OK(putten);
    EQ_INT(u->state->share.held, 0);

    /* it goes on telling that it lives */

    expire(&u->state->beat);
    EQ_INT(last_write, TOUCH);
    OK(written(TOUCH, NGX_OK, 0));
    EQ_INT(told, 1);
}


static void
test_hold(void)
{
    ngx_str_t        tags[2];
    ngx_iv_fields_t  fields;

    part_size = 196608;
    room_size = 10 * 65536;
    trouble = NEVER;

    /* committed, with fields that came last */

    held(100000);
    ngx_memzero(&fields, sizeof(fields));
    ngx_str_set(&tags[0], "a");
    ngx_str_set(&tags[1], "bc");
    fields.tags = tags;
    fields.ntags = 2;
    fields.is_public = 1;
    fields.expires_at = 5;
    ngx_iv_upload_commit(u, &fields);
    ngx_str_null(&tags[1]);
    ngx_iv_upload_fail(u, NGX_IV_TIMEOUT, "too late");
    EQ_INT(done, 0);
    turn();
    OK(written(READY, NGX_OK, 0));
    EQ_INT(code, NGX_OK);
    EQ_INT(u->document.ntags, 2);
    EQ_STR(u->document.tags[1], "bc");
    EQ_INT(u->document.is_public, 1);
    EQ_INT(u->document.expires_at, 5);
    EQ_INT(u->document.size, 100000);
    finish();
    EQ_INT(gone, 1);
    room_free();

    /* the form is malformed */

    held(1000);
    ngx_iv_upload_fail(u, NGX_IV_MALFORMED_FORM, "no end");
    EQ_INT(done, 0);
    turn();
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    EQ_INT(code, NGX_IV_MALFORMED_FORM);
    written(NOTED, NGX_OK, 0);
    finish();
    EQ_INT(gone, 1);
    room_free();

    /* the client went away */

    held(1000);
    ngx_iv_upload_abandon(u);
    turn();
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(done, 0);
    EQ_INT(gone, 1);
    room_free();

    /* swept while it waited */

    held(1000);
    expire(&u->state->beat);
    OK(written(TOUCH, NGX_IV_CONFLICT, 0));
    written(FAIL, NGX_OK, 0);
    del_ends(NGX_OK);
    written(NOTED, NGX_OK, 0);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    finish();
    EQ_INT(gone, 1);
    room_free();
}


static void
test_local(void)
{
    size_t         i;
    static size_t  sizes[] = {
        100, 16385, 65535, 65536, 65537, 131071, 131072, 131073, 500000, 900000
    };

    part_size = 0;
    room_size = 65536;
    trouble = NEVER;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        local = 1;
        extra.quota.mode = NGX_IV_QUOTA_SIZE;
        whole(sizes[i]);
        EQ_INT(code, NGX_OK);
        EQ_INT(used, sizes[i]);
        OK(putten);
        room_free();
    }

    /* the largest limit that can be set */

    local = 1;
    max_size = NGX_MAX_OFF_T_VALUE;
    whole(900001);
    EQ_INT(code, NGX_OK);
    room_free();
    max_size = 900000;

    local = 1;
    whole(900001);
    EQ_INT(code, NGX_IV_TOO_LARGE);
    room_free();

    /* a broken end: the last buffer never left */

    local = 1;
    png(400000);
    image[399990] ^= 1;
    begin_unknown();
    i = 0;

    while (!done && i++ < 1000) {

        feed(400000);

        if (fed == 400000 && !done) {
            ngx_iv_upload_end(u);
            turn();
        }

        if (put && put->sent > 400000 - NGX_IV_UPLOAD_BUFFER) {
            OK(0);
        }

        happens();
    }

    EQ_INT(code, NGX_IV_CORRUPT_IMAGE);
    OK(!putten);
    ngx_iv_upload_free(u);
    turn();
    while (happens()) { /* void */ }
    EQ_INT(gone, 1);
    room_free();
}


static void
test_unsure_complete(void)
{
    /* a complete without an answer: aborted, then error, then deleted */

    part_size = 196608;
    room_size = 10 * 65536;
    trouble = NEVER;

    png(300000);
    begin_unknown();

    while (mop == NULL || mkind != COMPLETE) {
        feed(300000);
        if (fed == 300000) {
            ngx_iv_upload_end(u);
            turn();
        }
        if (mop == NULL || mkind != COMPLETE) {
            happens();
        }
    }

    multi_ends(NGX_IV_STORAGE_UNAVAILABLE);
    OK(mop != NULL && mkind == ABORT);
    OK(written(FAIL, NGX_OK, 0));
    OK(del == NULL);
    multi_ends(NGX_OK);
    OK(del != NULL);
    EQ_INT(done, 0);
    del_ends(NGX_OK);
    EQ_INT(code, NGX_IV_STORAGE_UNAVAILABLE);
    written(NOTED, NGX_OK, 0);
    finish();
    EQ_INT(gone, 1);
    room_free();
}


int
main(void)
{
    ngx_queue_init(&ngx_posted_events);

    RUN(test_small);
    RUN(test_ring);
    RUN(test_big);
    RUN(test_again);
    RUN(test_full_queue);
    RUN(test_refused);
    RUN(test_corrupt_end);
    RUN(test_unacknowledged);
    RUN(test_insert_fails);
    RUN(test_commit_fails);
    RUN(test_etag);
    RUN(test_storage_fails);
    RUN(test_replay);
    RUN(test_abandoned);
    RUN(test_heartbeat);
    RUN(test_no_memory);
    RUN(test_unknown);
    RUN(test_empty);
    RUN(test_troubles);
    RUN(test_memory_lacks);
    RUN(test_quota);
    RUN(test_digests);
    RUN(test_room);
    RUN(test_hold);
    RUN(test_local);
    RUN(test_unsure_complete);

    return iv_test_done();
}
