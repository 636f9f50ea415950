/*
 * A local folder as a storage: its files, page by page, in the order of their
 * keys; what a thread does.
 *
 * A page needs the memory of its items and of the names of one batch for each
 * level of folders, however many files there are: of a folder the next names
 * behind the last one are chosen, by reading all of it once for each batch.
 */

#include "storage/ngx_iv_storage_local.h"
#include <dirent.h>
#include <time.h>

#define NGX_IV_LOCAL_BATCH   256
#define NGX_IV_LOCAL_LEVELS  16
#define NGX_IV_LOCAL_SECS    60         /* for a page */


typedef struct {
    char                 name[NAME_MAX + 2];    /* a folder's ends with "/" */
    size_t               len;
} ngx_iv_local_name_t;


typedef struct {
    ngx_iv_local_work_t *w;
    char                 path[NGX_IV_S3_KEY_MAX + 1];
    size_t               len;
    time_t               end;
} ngx_iv_local_walk_t;


static ngx_int_t ngx_iv_local_walk(ngx_iv_local_walk_t *walk, int dir,
    ngx_uint_t level);
static ngx_int_t ngx_iv_local_names(ngx_iv_local_walk_t *walk, int dir,
    ngx_iv_local_name_t *names, ngx_uint_t *n,
    const ngx_iv_local_name_t *low);
static ngx_uint_t ngx_iv_local_wanted(ngx_iv_local_walk_t *walk,
    const ngx_iv_local_name_t *name);
static ngx_int_t ngx_iv_local_entry(ngx_iv_local_walk_t *walk, int dir,
    const ngx_iv_local_name_t *name, ngx_uint_t level);
static ngx_int_t ngx_iv_local_found(ngx_iv_local_walk_t *walk, int dir,
    const ngx_iv_local_name_t *name);
static ngx_uint_t ngx_iv_local_temp(const char *name, size_t len);
static ngx_int_t ngx_iv_local_order(const char *a, size_t alen, const char *b,
    size_t blen);
static ngx_int_t ngx_iv_local_list_failed(ngx_iv_local_work_t *w,
    ngx_err_t err, const char *what);


void
ngx_iv_local_run_list(ngx_iv_local_work_t *w)
{
    int                   dir;
    ngx_iv_local_walk_t  *walk;

    walk = ngx_palloc(w->pool, sizeof(ngx_iv_local_walk_t));

    w->list.items = ngx_palloc(w->pool, (w->limit + 1)
                                        * sizeof(ngx_iv_s3_listed_t));
    w->list.nitems = 0;
    w->list.more = 0;

    if (walk == NULL || w->list.items == NULL) {
        (void) ngx_iv_local_list_failed(w, ENOMEM, "listing a folder");
        return;
    }

    walk->w = w;
    walk->len = 0;
    walk->end = time(NULL) + NGX_IV_LOCAL_SECS;

    dir = open(w->root, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        w->bad_root = 1;
        (void) ngx_iv_local_list_failed(w, ngx_errno, "opening the root");
        return;
    }

    (void) ngx_iv_local_walk(walk, dir, 0);

    (void) close(dir);
}


/* NGX_OK; NGX_DONE: the page is full; NGX_ERROR: it has failed */

static ngx_int_t
ngx_iv_local_walk(ngx_iv_local_walk_t *walk, int dir, ngx_uint_t level)
{
    ngx_int_t             rc;
    ngx_uint_t            i, n;
    ngx_iv_local_name_t  *names, low;

    if (level == NGX_IV_LOCAL_LEVELS) {
        return NGX_OK;
    }

    names = malloc((NGX_IV_LOCAL_BATCH + 1) * sizeof(ngx_iv_local_name_t));
    if (names == NULL) {
        return ngx_iv_local_list_failed(walk->w, ENOMEM, "listing a folder");
    }

    low.len = 0;

    do {
        rc = ngx_iv_local_names(walk, dir, names, &n, &low);

        for (i = 0; rc == NGX_OK && i < n; i++) {
            rc = ngx_iv_local_entry(walk, dir, &names[i], level);
        }

        if (n) {
            low = names[n - 1];
        }

    } while (rc == NGX_OK && n == NGX_IV_LOCAL_BATCH);

    free(names);

    return rc;
}


/* the next names behind `low`, in order */

static ngx_int_t
ngx_iv_local_names(ngx_iv_local_walk_t *walk, int dir,
    ngx_iv_local_name_t *names, ngx_uint_t *n, const ngx_iv_local_name_t *low)
{
    int                   fd;
    DIR                  *d;
    ngx_uint_t            at, folder;
    struct stat           sb;
    struct dirent        *e;
    ngx_iv_local_name_t   name;

    *n = 0;

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    d = (fd == -1) ? NULL : fdopendir(fd);

    if (d == NULL) {
        (void) ngx_iv_local_list_failed(walk->w, ngx_errno,
                                        "opening a folder");
        if (fd != -1) {
            (void) close(fd);
        }

        return NGX_ERROR;
    }

    while ((e = readdir(d)) != NULL) {

        if (ngx_strcmp(e->d_name, ".") == 0 || ngx_strcmp(e->d_name, "..") == 0)
        {
            continue;
        }

        folder = (e->d_type == DT_DIR);

        if (e->d_type == DT_UNKNOWN
            && fstatat(fd, e->d_name, &sb, AT_SYMLINK_NOFOLLOW) == 0)
        {
            folder = S_ISDIR(sb.st_mode);

        } else if (e->d_type != DT_DIR && e->d_type != DT_REG) {
            continue;
        }

        name.len = ngx_strlen(e->d_name);

        if (name.len > NAME_MAX) {
            continue;
        }

        ngx_memcpy(name.name, e->d_name, name.len);

        if (folder) {
            name.name[name.len++] = '/';
        }

        if (ngx_iv_local_order(name.name, name.len, low->name, low->len) <= 0
            || !ngx_iv_local_wanted(walk, &name))
        {
            continue;
        }

        for (at = *n;
             at && ngx_iv_local_order(name.name, name.len, names[at - 1].name,
                                      names[at - 1].len)
                   < 0;
             at--)
        {
            names[at] = names[at - 1];
        }

        if (at < NGX_IV_LOCAL_BATCH) {
            names[at] = name;
            *n = ngx_min(*n + 1, NGX_IV_LOCAL_BATCH);
        }
    }

    (void) closedir(d);

    if (time(NULL) > walk->end) {
        return ngx_iv_local_list_failed(walk->w, ETIMEDOUT,
                                        "listing a folder");
    }

    return NGX_OK;
}


/* something of it may be on the page: behind `after`, with the prefix */

static ngx_uint_t
ngx_iv_local_wanted(ngx_iv_local_walk_t *walk, const ngx_iv_local_name_t *name)
{
    char                  key[NGX_IV_S3_KEY_MAX];
    size_t                len, both;
    ngx_uint_t            folder;
    ngx_iv_local_work_t  *w;

    w = walk->w;
    len = walk->len + name->len;

    if (len > NGX_IV_S3_KEY_MAX) {
        return 0;
    }

    ngx_memcpy(key, walk->path, walk->len);
    ngx_memcpy(key + walk->len, name->name, name->len);

    folder = (key[len - 1] == '/');

    if (!folder && ngx_iv_local_temp(name->name, name->len) != w->temps) {
        return 0;
    }

    both = ngx_min(len, w->prefix.len);

    if (!w->temps && ((!folder && len < w->prefix.len)
                      || (both && ngx_memcmp(key, w->prefix.data, both) != 0)))
    {
        return 0;
    }

    if (ngx_iv_local_order(key, len, (char *) w->after.data, w->after.len) > 0)
    {
        return 1;
    }

    return folder && len <= w->after.len
           && ngx_memcmp(key, w->after.data, len) == 0;
}


static ngx_int_t
ngx_iv_local_entry(ngx_iv_local_walk_t *walk, int dir,
    const ngx_iv_local_name_t *name, ngx_uint_t level)
{
    int        fd;
    char       folder[NAME_MAX + 1];
    size_t     len;
    ngx_int_t  rc;

    if (name->name[name->len - 1] != '/') {
        return ngx_iv_local_found(walk, dir, name);
    }

    ngx_memcpy(folder, name->name, name->len - 1);
    folder[name->len - 1] = '\0';

    fd = openat(dir, folder, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

    if (fd == -1) {

        /* removed meanwhile, or a link now */

        if (ngx_errno == ENOENT || ngx_errno == ENOTDIR || ngx_errno == ELOOP)
        {
            return NGX_OK;
        }

        return ngx_iv_local_list_failed(walk->w, ngx_errno,
                                        "opening a folder");
    }

    len = walk->len;
    ngx_memcpy(walk->path + len, name->name, name->len);
    walk->len += name->len;

    rc = ngx_iv_local_walk(walk, fd, level + 1);

    walk->len = len;
    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_iv_local_found(ngx_iv_local_walk_t *walk, int dir,
    const ngx_iv_local_name_t *name)
{
    char                  file[NAME_MAX + 1];
    size_t                skip, cut;
    u_char               *p;
    struct stat           sb;
    ngx_iv_s3_listed_t   *item;
    ngx_iv_local_work_t  *w;

    w = walk->w;

    ngx_memcpy(file, name->name, name->len);
    file[name->len] = '\0';

    if (fstatat(dir, file, &sb, AT_SYMLINK_NOFOLLOW) == -1
        || !S_ISREG(sb.st_mode))
    {
        return NGX_OK;
    }

    if (w->list.nitems == w->limit) {
        w->list.more = 1;
        return NGX_DONE;
    }

    /* a temporary file stands for the key that it is to become */

    skip = w->temps ? 1 : 0;
    cut = w->temps ? sizeof(".tmp") - 1 : 0;

    p = ngx_pnalloc(w->pool, 2 * (walk->len + name->len) + 1);
    if (p == NULL) {
        return ngx_iv_local_list_failed(w, ENOMEM, "listing a folder");
    }

    item = &w->list.items[w->list.nitems];
    ngx_memzero(item, sizeof(ngx_iv_s3_listed_t));

    w->list.next_key.data = p;
    p = ngx_cpymem(p, walk->path, walk->len);
    p = ngx_cpymem(p, name->name, name->len);
    w->list.next_key.len = p - w->list.next_key.data;

    item->key.data = p;
    p = ngx_cpymem(p, walk->path, walk->len);
    p = ngx_cpymem(p, name->name + skip, name->len - skip - cut);
    item->key.len = p - item->key.data;

    item->size = (int64_t) sb.st_size;
    item->at = (int64_t) sb.st_mtime * 1000;

    if (w->temps
        && (item->key.len < w->prefix.len
            || ngx_memcmp(item->key.data, w->prefix.data, w->prefix.len) != 0))
    {
        return NGX_OK;
    }

    w->list.nitems++;

    return NGX_OK;
}


/* ".<name>.tmp" */

static ngx_uint_t
ngx_iv_local_temp(const char *name, size_t len)
{
    return len > sizeof("..tmp") - 1 && name[0] == '.'
           && ngx_memcmp(name + len - 4, ".tmp", 4) == 0;
}


static ngx_int_t
ngx_iv_local_order(const char *a, size_t alen, const char *b, size_t blen)
{
    int     rc;
    size_t  n;

    n = ngx_min(alen, blen);
    rc = n ? ngx_memcmp(a, b, n) : 0;

    if (rc) {
        return rc;
    }

    return (alen > blen) - (alen < blen);
}


static ngx_int_t
ngx_iv_local_list_failed(ngx_iv_local_work_t *w, ngx_err_t err,
    const char *what)
{
    w->err = err;
    w->failed = what;

    return NGX_ERROR;
}
