/*
 * A local folder as a storage: what threads do.  They touch their work only.
 *
 * Files are written under ".<name>.tmp" beside their final name, and renamed
 * when they are whole and on disk; names are fresh for every upload, and none
 * is ever overwritten.  Folders are entered one by one from the root without
 * following links, so that no key and no link leads out of it.
 */

#include "storage/ngx_iv_storage_local.h"
#include <sys/syscall.h>

#define NGX_IV_LOCAL_FILE_MODE  0640
#define NGX_IV_LOCAL_DIR_MODE   0750

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE  1
#endif


static ngx_int_t ngx_iv_local_run_write(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_commit(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_head(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_run_remove(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_enter(ngx_iv_local_work_t *w, ngx_uint_t create);
static int ngx_iv_local_make_folder(int dir, const char *name);
static ngx_int_t ngx_iv_local_rename(ngx_iv_local_work_t *w);
static ngx_int_t ngx_iv_local_failed(ngx_iv_local_work_t *w, const char *what);


void
ngx_iv_local_run(void *ctx, ngx_log_t *log)
{
    ngx_iv_local_work_t  *w = ctx;

    w->err = 0;
    w->failed = NULL;

    switch (w->task) {

    case NGX_IV_LOCAL_WRITE:
        if (ngx_iv_local_run_write(w) == NGX_OK
            && w->offset + (off_t) w->n == w->size)
        {
            (void) ngx_iv_local_run_commit(w);
        }
        break;

    case NGX_IV_LOCAL_ABORT:
        if (w->dir != -1) {
            (void) unlinkat(w->dir, w->temp, 0);

            if (w->renamed) {
                (void) unlinkat(w->dir, w->name, 0);
            }
        }
        break;

    case NGX_IV_LOCAL_HEAD:
        (void) ngx_iv_local_run_head(w);
        break;

    case NGX_IV_LOCAL_DELETE:
        (void) ngx_iv_local_run_remove(w);
        break;

    case NGX_IV_LOCAL_LIST:
        ngx_iv_local_run_list(w);
        break;
    }
}


static ngx_int_t
ngx_iv_local_failed(ngx_iv_local_work_t *w, const char *what)
{
    w->err = ngx_errno;
    w->failed = what;

    return NGX_ERROR;
}


static ngx_int_t
ngx_iv_local_run_write(ngx_iv_local_work_t *w)
{
    size_t   done;
    ssize_t  n;

    if (w->fd == -1) {

        if (ngx_iv_local_enter(w, 1) != NGX_OK) {
            return NGX_ERROR;
        }

        w->fd = openat(w->dir, w->temp,
                       O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
                       NGX_IV_LOCAL_FILE_MODE);
        if (w->fd == -1) {
            return ngx_iv_local_failed(w, "creating a file");
        }
    }

    for (done = 0; done < w->n; done += (size_t) n) {

        n = pwrite(w->fd, w->p + done, w->n - done, w->offset + (off_t) done);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n == 0) {
            ngx_set_errno(ENOSPC);
            n = -1;
        }

        if (n == -1) {
            return ngx_iv_local_failed(w, "writing");
        }
    }

    return NGX_OK;
}


/* whole and on disk before it gets its name; then the name, too */

static ngx_int_t
ngx_iv_local_run_commit(ngx_iv_local_work_t *w)
{
    int  fd;

    if (fsync(w->fd) == -1) {
        return ngx_iv_local_failed(w, "syncing a file");
    }

    if (ngx_iv_local_rename(w) != NGX_OK) {
        return NGX_ERROR;
    }

    w->renamed = 1;

    fd = w->fd;
    w->fd = -1;

    /* some network file systems tell of a failed write only here */

    if (close(fd) == -1) {
        return ngx_iv_local_failed(w, "closing a file");
    }

    if (fsync(w->dir) == -1) {
        return ngx_iv_local_failed(w, "syncing a folder");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_rename(ngx_iv_local_work_t *w)
{
#ifdef SYS_renameat2

    if (syscall(SYS_renameat2, w->dir, w->temp, w->dir, w->name,
                RENAME_NOREPLACE)
        == 0)
    {
        return NGX_OK;
    }

    if (ngx_errno != ENOSYS && ngx_errno != EINVAL) {
        return ngx_iv_local_failed(w, "renaming a file");
    }

#endif

    /* also atomic, and refuses a name that is taken */

    if (linkat(w->dir, w->temp, w->dir, w->name, 0) == -1) {
        return ngx_iv_local_failed(w, "renaming a file");
    }

    if (unlinkat(w->dir, w->temp, 0) == -1) {
        w->renamed = 1;
        return ngx_iv_local_failed(w, "removing a temporary name");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_run_head(ngx_iv_local_work_t *w)
{
    struct stat  sb;

    if (ngx_iv_local_enter(w, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fstatat(w->dir, w->name, &sb, AT_SYMLINK_NOFOLLOW) == -1) {
        return ngx_iv_local_failed(w, "looking up a file");
    }

    if (!S_ISREG(sb.st_mode)) {
        ngx_set_errno(ENOENT);
        return ngx_iv_local_failed(w, "looking up a file");
    }

    w->found = sb.st_size;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_local_run_remove(ngx_iv_local_work_t *w)
{
    ngx_uint_t  removed;

    if (ngx_iv_local_enter(w, 0) != NGX_OK) {

        if (w->err == ENOENT && !w->bad_root) {
            /* where there is no folder, there is no file */
            w->err = 0;
            return NGX_OK;
        }

        return NGX_ERROR;
    }

    removed = 0;

    if (unlinkat(w->dir, w->name, 0) == 0) {
        removed = 1;

    } else if (ngx_errno != ENOENT) {
        return ngx_iv_local_failed(w, "deleting a file");
    }

    if (unlinkat(w->dir, w->temp, 0) == 0) {
        removed = 1;

    } else if (ngx_errno != ENOENT && ngx_errno != ENAMETOOLONG) {
        return ngx_iv_local_failed(w, "deleting a temporary file");
    }

    if (removed && fsync(w->dir) == -1) {
        return ngx_iv_local_failed(w, "syncing a folder");
    }

    return NGX_OK;
}


/* opens the folder of the key's last segment */

static ngx_int_t
ngx_iv_local_enter(ngx_iv_local_work_t *w, ngx_uint_t create)
{
    int    dir, next;
    char  *p;

    dir = open(w->root, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (dir == -1) {
        w->bad_root = 1;
        return ngx_iv_local_failed(w, "opening the root");
    }

    for (p = w->path; p < w->name; p += ngx_strlen(p) + 1) {

        next = openat(dir, p, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);

        if (next == -1 && ngx_errno == ENOENT && create) {
            next = ngx_iv_local_make_folder(dir, p);
        }

        if (next == -1) {
            (void) ngx_iv_local_failed(w, "opening a folder");
            (void) close(dir);
            return NGX_ERROR;
        }

        (void) close(dir);
        dir = next;
    }

    w->dir = dir;

    return NGX_OK;
}


static int
ngx_iv_local_make_folder(int dir, const char *name)
{
    /* another upload may have made it meanwhile */

    if (mkdirat(dir, name, NGX_IV_LOCAL_DIR_MODE) == -1) {

        if (ngx_errno != EEXIST) {
            return -1;
        }

    } else if (fsync(dir) == -1) {
        return -1;
    }

    return openat(dir, name, O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_CLOEXEC);
}
