/*
 * The completion of direct uploads against a metadata store, a storage and
 * threads that answer as the test says: each run is judged by the row of what
 * was asked of them.
 *
 * sources: src/upload/ngx_iv_complete.c src/upload/ngx_iv_complete_check.c
 * sources: src/upload/ngx_iv_complete_end.c src/upload/ngx_iv_complete_steps.c
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
#include "upload/ngx_iv_complete_state.h"
#include <zlib.h>


#define BIG  400000

/* nginx's events */

void
ngx_rbtree_insert(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
}

void
ngx_rbtree_delete(ngx_rbtree_t *tree, ngx_rbtree_node_t *node)
{
}


static ngx_uint_t  counts[NGX_IV_COUNT_LAST];

void
ngx_iv_zone_add(ngx_iv_zone_t *zone, ngx_iv_count_e what, ngx_uint_t n)
{
    counts[what] += n;
}


/* what is under way: at most one of each, and what it is to get */

typedef enum {
    CLAIM = 0, UNCLAIM, RESERVE, READY, FAIL, SETTLE, RELEASE, NOTE, TOUCH,
    HEAD, GET, COPY, DELETE, KINDS
} kind_e;

static const char  *names[] = {
    "claim", "unclaim", "reserve", "ready", "fail", "settle", "release",
    "note", "touch", "head", "get", "copy", "delete"
};

static ngx_iv_metadata_op_t  *op, *touch;
static ngx_iv_storage_op_t   *sop;
static kind_e                 kind, skind;
static ngx_int_t              codes[KINDS];
static ngx_uint_t             unknown, opaque, dones, wrong_copy;
static ngx_int_t              result;
static char                   row[512];
static ngx_iv_document_t      doc;
static u_char                 image[BIG];
static off_t                  size;
static char                   etag[33];
static ngx_iv_complete_t     *c;
static ngx_iv_storage_t       storage;


static void
say(const char *what)
{
    size_t  n = strlen(row);

    snprintf(row + n, sizeof(row) - n, "%s%s", n ? " " : "", what);
}

static void
ask(ngx_iv_metadata_op_t *o, kind_e k)
{
    if (k == TOUCH) {
        OK(touch == NULL);
        touch = o;
        return;
    }

    OK(op == NULL && sop == NULL && !job_posted);
    op = o;
    kind = k;
    say(names[k]);
}

static void
sask(ngx_iv_storage_op_t *o, kind_e k)
{
    OK(op == NULL && sop == NULL && !job_posted);
    sop = o;
    skind = k;
    say(names[k]);
}

static void
forget(void *data)
{
    if (data == op) {
        op = NULL;
    }

    if (data == sop) {
        sop = NULL;
    }

    if (data == touch) {
        touch = NULL;
    }
}

static void *
create(ngx_pool_t *pool, size_t n)
{
    void                *p;
    ngx_pool_cleanup_t  *cln;

    p = ngx_pcalloc(pool, n);
    cln = p ? ngx_pool_cleanup_add(pool, 0) : NULL;

    if (cln == NULL) {
        return NULL;
    }

    cln->handler = forget;
    cln->data = p;

    return p;
}

ngx_iv_metadata_op_t *
ngx_iv_metadata_op_create(ngx_iv_metadata_t *md, ngx_pool_t *pool,
    ngx_log_t *log)
{
    return create(pool, sizeof(ngx_iv_metadata_op_t));
}

ngx_iv_storage_op_t *
ngx_iv_storage_op_create(ngx_iv_storage_t *st, ngx_pool_t *pool,
    ngx_log_t *log)
{
    return create(pool, sizeof(ngx_iv_storage_op_t));
}

void
ngx_iv_metadata_direct_claim(ngx_iv_metadata_op_t *o,
    const u_char id[NGX_IV_ID_LEN], const ngx_str_t *owner)
{
    EQ_STR(*owner, "ann");
    ask(o, CLAIM);
}

void
ngx_iv_metadata_direct_unclaim(ngx_iv_metadata_op_t *o,
    const u_char id[NGX_IV_ID_LEN])
{
    ask(o, UNCLAIM);
}

void
ngx_iv_metadata_touch(ngx_iv_metadata_op_t *o,
    const u_char id[NGX_IV_ID_LEN])
{
    ask(o, TOUCH);
}

void
ngx_iv_metadata_ready(ngx_iv_metadata_op_t *o, const ngx_iv_document_t *d)
{
    EQ_INT(d->has_checksums, 1);
    EQ_INT(d->width, 10);
    EQ_INT(d->height, 20);
    EQ_INT(d->size, size);
    OK(d->etag.len != 0);
    ask(o, READY);
}

void
ngx_iv_metadata_fail(ngx_iv_metadata_op_t *o,
    const u_char id[NGX_IV_ID_LEN], const char *why)
{
    OK(why != NULL);
    ask(o, FAIL);
}

void
ngx_iv_metadata_object_deleted(ngx_iv_metadata_op_t *o,
    const u_char id[NGX_IV_ID_LEN])
{
    ask(o, NOTE);
}

void
ngx_iv_metadata_quota_reserve(ngx_iv_metadata_op_t *o, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN], int64_t already, int64_t n,
    const ngx_iv_quota_t *quota)
{
    EQ_INT(already, 0);
    EQ_INT(n, size);
    ask(o, RESERVE);
}

void
ngx_iv_metadata_quota_settle(ngx_iv_metadata_op_t *o, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN])
{
    ask(o, SETTLE);
}

void
ngx_iv_metadata_quota_release(ngx_iv_metadata_op_t *o, const ngx_str_t *owner,
    const u_char id[NGX_IV_ID_LEN])
{
    EQ_STR(*owner, "ann");
    ask(o, RELEASE);
}

ngx_uint_t
ngx_iv_storage_is_direct(ngx_iv_storage_t *st)
{
    return 1;
}

void
ngx_iv_storage_head(ngx_iv_storage_op_t *o)
{
    sask(o, HEAD);
}

void
ngx_iv_storage_get(ngx_iv_storage_op_t *o)
{
    EQ_STR(o->key, "incoming/x");
    OK(o->length <= NGX_IV_COMPLETE_PIECE && o->length > 0);
    EQ_STR(o->if_match, etag);
    sask(o, GET);
}

void
ngx_iv_storage_copy(ngx_iv_storage_op_t *o)
{
    EQ_STR(o->key, "images/u.png");
    EQ_STR(o->source_key, "incoming/x");
    EQ_STR(o->if_match, etag);
    EQ_STR(o->content_type, "image/png");
    OK(o->disposition.len != 0);
    sask(o, COPY);
}

void
ngx_iv_storage_delete(ngx_iv_storage_op_t *o)
{
    sask(o, DELETE);
    say(o->key.data[0] == 'i' && o->key.data[1] == 'n' ? "staged" : "own");
}


/* one answer; 0: nothing is under way */

static int
answer(void)
{
    ngx_iv_storage_op_t   *so;
    ngx_iv_metadata_op_t  *o;

    turn();

    if (job_posted) {
        thread();
        return 1;
    }

    if (op) {
        o = op;
        op = NULL;
        o->code = codes[kind];
        o->unknown = unknown && kind == READY;
        o->document = (kind == CLAIM && o->code == NGX_OK) ? &doc : NULL;
        o->default_expiry = (kind == RESERVE) ? 2 : 0;
        o->handler(o);
        turn();
        return 1;
    }

    if (sop) {
        so = sop;
        sop = NULL;
        so->code = codes[skind];

        if (so->code == NGX_OK) {
            so->etag.data = (u_char *) etag;
            so->etag.len = strlen(etag);
            so->etag_opaque = opaque;
            so->found_size = size;

            if (skind == GET) {
                memcpy(so->buf, image + so->offset, so->length);

            } else if (skind == COPY && wrong_copy) {
                so->etag.len = 5;
            }
        }

        so->handler(so);
        turn();
        return 1;
    }

    return 0;
}


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

/* a PNG of n bytes, 10 x 20, and its MD5 */

static void
png(size_t n)
{
    size_t         i, data;
    u_char        *p, sum[16], sha[32];
    ngx_iv_hash_t  h;

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

    OK(ngx_iv_hash_init(&h) == NGX_OK);
    ngx_iv_hash_update(&h, image, n);
    ngx_iv_hash_final(&h, sum, sha);
    ngx_iv_hash_free(&h);
    *ngx_iv_hex((u_char *) etag, sum, 16) = '\0';

    size = (off_t) n;
}


static ngx_iv_storage_t *
cb_storage(void *data, const ngx_str_t *name)
{
    EQ_STR(*name, "main");

    return &storage;
}

static void
cb_done(void *data)
{
    dones++;
    result = c->code;
    say("DONE");

    ngx_iv_complete_free(c);
}


static void
start(size_t n, ngx_uint_t quota)
{
    ngx_iv_complete_params_t  p;

    static ngx_log_t          log;

    ngx_queue_init(&ngx_posted_events);
    memset(codes, 0, sizeof(codes));
    memset(&doc, 0, sizeof(doc));
    memset(&p, 0, sizeof(p));
    row[0] = '\0';
    dones = unknown = opaque = wrong_copy = 0;
    job_refused = job_posted = 0;
    result = -1;

    png(n);

    ngx_str_set(&doc.owner, "ann");
    ngx_str_set(&doc.original_name, "a.png");
    ngx_str_set(&doc.content_type, "image/png");
    ngx_str_set(&doc.key, "images/u.png");
    ngx_str_set(&doc.staging_key, "incoming/x");
    ngx_str_set(&doc.storage, "main");
    doc.size = size;
    doc.uploaded_at = 1000;
    doc.status = NGX_IV_STATUS_UPLOADING;

    p.limits.types = NGX_IV_IMAGE_ALL;
    p.limits.max_pixels = 1000000;
    p.quota.mode = quota ? NGX_IV_QUOTA_SIZE : NGX_IV_QUOTA_OFF;
    p.heartbeat = 1000;
    ngx_str_set(&p.owner, "ann");
    p.storage = cb_storage;
    p.done = cb_done;

    c = ngx_iv_complete_create(&p, &log);
    OK(c != NULL);
}

static void
finish(ngx_int_t code, const char *expected)
{
    while (answer()) { /* void */ }

    EQ_INT(dones, 1);
    EQ_INT(result, code);

    if (strcmp(row, expected) != 0) {
        printf("    got:  %s\n    want: %s\n", row, expected);
    }

    OK(strcmp(row, expected) == 0);
}


static void
test_good(void)
{
    start(5000, 0);
    finish(NGX_OK, "claim head get copy ready delete staged DONE");
    EQ_INT(doc.status, NGX_IV_STATUS_READY);
    EQ_INT(doc.expires_at, 0);

    start(BIG, 1);
    finish(NGX_OK, "claim reserve head get get get get copy ready settle DONE "
                   "delete staged");
    EQ_INT(doc.expires_at, 1000 + 2 * 24 * 3600 * 1000);

    start(NGX_IV_COMPLETE_PIECE, 1);
    job_refused = 1;
    finish(NGX_OK, "claim reserve head get copy ready settle DONE "
                   "delete staged");

    /* an ETag that says nothing: the copy is looked at */

    start(5000, 0);
    opaque = 1;
    finish(NGX_OK, "claim head get copy head ready delete staged DONE");

    start(5000, 0);
    doc.status = NGX_IV_STATUS_READY;
    finish(NGX_OK, "claim DONE");
}


/* the ticket is given back */

static void
test_again(void)
{
    start(5000, 0);
    codes[CLAIM] = NGX_IV_NOT_READY;
    finish(NGX_IV_NOT_READY, "claim DONE");

    start(5000, 1);
    codes[RESERVE] = NGX_IV_METADATA_UNAVAILABLE;
    finish(NGX_IV_METADATA_UNAVAILABLE, "claim reserve unclaim DONE");

    start(5000, 0);
    codes[HEAD] = NGX_IV_NOT_FOUND;
    finish(NGX_IV_NOT_READY, "claim head unclaim DONE");

    start(BIG, 0);
    codes[GET] = NGX_IV_PRECONDITION_FAILED;
    finish(NGX_IV_CONFLICT, "claim head get unclaim DONE");

    start(BIG, 0);
    codes[GET] = NGX_IV_STORAGE_UNAVAILABLE;
    codes[UNCLAIM] = NGX_IV_METADATA_UNAVAILABLE;
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim head get unclaim DONE");

    start(5000, 0);
    codes[COPY] = NGX_IV_PRECONDITION_FAILED;
    finish(NGX_IV_CONFLICT, "claim head get copy unclaim DONE");

    /* the storage's own word is another one */

    start(5000, 0);
    etag[0] = (etag[0] == 'a') ? 'b' : 'a';
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim head get unclaim DONE");
}


/* it ends: nothing is deleted before the document is error */

static void
test_bad(void)
{
    start(5000, 1);
    doc.size++;
    size++;
    OK(answer());
    size--;
    doc.size = size + 1;
    size++;
    OK(answer());
    size--;
    finish(NGX_IV_LENGTH_MISMATCH, "claim reserve head fail release DONE "
                                   "delete staged note");

    start(BIG, 1);
    image[200000] ^= 1;
    finish(NGX_IV_CORRUPT_IMAGE, "claim reserve head get get get get fail "
                                 "release DONE delete staged note");

    start(5000, 0);
    memcpy(image, "<html>", 6);
    finish(NGX_IV_UNSUPPORTED_TYPE, "claim head get fail delete staged DONE "
                                    "note");

    start(5000, 0);
    ngx_str_set(&doc.content_type, "image/jpeg");
    finish(NGX_IV_UNSUPPORTED_TYPE, "claim head get fail delete staged DONE "
                                    "note");

    start(5000, 1);
    codes[COPY] = NGX_IV_STORAGE_UNAVAILABLE;
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim reserve head get copy fail "
           "release DONE delete own delete staged note");

    start(5000, 0);
    wrong_copy = 1;
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim head get copy fail "
           "delete own DONE delete staged note");

    /* what could not be done is not told to the sweep */

    start(5000, 0);
    codes[COPY] = NGX_IV_STORAGE_UNAVAILABLE;
    codes[DELETE] = NGX_IV_STORAGE_UNAVAILABLE;
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim head get copy fail "
           "delete own DONE delete staged");

    start(5000, 0);
    codes[COPY] = NGX_IV_STORAGE_UNAVAILABLE;
    codes[FAIL] = NGX_IV_METADATA_UNAVAILABLE;
    finish(NGX_IV_STORAGE_UNAVAILABLE, "claim head get copy fail DONE");

    /* it may be ready */

    start(5000, 1);
    codes[READY] = NGX_IV_METADATA_UNAVAILABLE;
    unknown = 1;
    finish(NGX_IV_METADATA_UNAVAILABLE,
           "claim reserve head get copy ready DONE");

    start(5000, 1);
    codes[READY] = NGX_IV_CONFLICT;
    finish(NGX_IV_NOT_FOUND, "claim reserve head get copy ready fail release "
           "DONE delete own delete staged note");
}


static void
expire(ngx_event_t *ev)
{
    OK(ev->timer_set);
    ev->timer_set = 0;
    ev->handler(ev);
    turn();
}

static void
touched(ngx_int_t code)
{
    ngx_iv_metadata_op_t  *o;

    o = touch;
    OK(o != NULL);
    touch = NULL;
    o->code = code;
    o->handler(o);
    turn();
}

static void
test_heartbeat(void)
{
    start(BIG, 0);
    OK(answer());
    OK(answer());
    expire(&c->state->beat);
    touched(NGX_OK);
    OK(answer());
    expire(&c->state->beat);
    expire(&c->state->beat);
    finish(NGX_OK, "claim head get get get get copy ready "
                   "delete staged DONE");
    OK(touch == NULL);

    /* deleted meanwhile, while a thread is at work */

    start(BIG, 0);
    OK(answer());
    OK(answer());
    OK(answer());
    OK(job_posted);
    expire(&c->state->beat);
    job_posted = 0;
    touched(NGX_IV_CONFLICT);
    job_posted = 0;
    finish(NGX_IV_NOT_FOUND, "claim head get fail delete staged DONE note");
}


static void
test_abandon(void)
{
    start(5000, 0);
    OK(answer());
    OK(answer());
    ngx_iv_complete_abandon(c);

    while (answer()) { /* void */ }

    EQ_INT(dones, 0);
    OK(strcmp(row, "claim head get copy ready delete staged") == 0);

    start(5000, 0);
    turn();
    ngx_iv_complete_abandon(c);

    while (answer()) { /* void */ }

    EQ_INT(dones, 0);
    OK(strcmp(row, "claim unclaim") == 0);
}


static void
test_memory(void)
{
    int  i;

    for (i = 0; i < 40; i++) {
        start(BIG, 1);
        OK(answer());
        iv_fail_alloc_after = i;

        while (answer()) { /* void */ }

        iv_fail_alloc_after = -1;
        EQ_INT(dones, 1);
        OK(result == NGX_OK || result == NGX_IV_INTERNAL);
    }
}


int
main(void)
{
    iv_set_time(1700000000, 0);

    RUN(test_good);
    RUN(test_again);
    RUN(test_bad);
    RUN(test_heartbeat);
    RUN(test_abandon);
    RUN(test_memory);

    return iv_test_done();
}
