/*
 * A storage that is a local folder, what its files share: _local.c has the
 * operations, _local_work.c and _local_list.c what threads do for them.
 */

#ifndef NGX_IV_STORAGE_LOCAL_H
#define NGX_IV_STORAGE_LOCAL_H

#include "storage/ngx_iv_storage.h"


typedef enum {
    NGX_IV_LOCAL_WRITE = 0,
    NGX_IV_LOCAL_ABORT,             /* of a put: nothing of it stays */
    NGX_IV_LOCAL_HEAD,
    NGX_IV_LOCAL_DELETE,
    NGX_IV_LOCAL_LIST
} ngx_iv_local_task_e;


/* what a thread works on; in the job's pool, so it may outlive the operation */
typedef struct {
    ngx_iv_local_task_e  task;

    char           *root;
    char           *path;           /* the key, segments ended by NULs */
    size_t          len;
    char           *name;           /* the last segment, in path */
    char           *temp;
    int             dir;            /* the name's folder */
    int             fd;             /* the temporary file */

    u_char         *p;              /* the piece to be written */
    size_t          n;
    off_t           offset;
    off_t           size;

    /* a list; strings and items in the job's pool */
    ngx_pool_t     *pool;
    ngx_str_t       prefix;
    ngx_str_t       after;          /* the path of a file */
    ngx_uint_t      limit;
    ngx_uint_t      temps;          /* 1: the files being written, 0: others */
    ngx_iv_s3_list_t  list;         /* result; next_key: its last file */

    /* results */
    ngx_err_t       err;
    const char     *failed;         /* the call that failed */
    off_t           found;
    unsigned        bad_root:1;     /* it was the root that failed */
    unsigned        renamed:1;      /* the final name is ours */

    /* the event loop's */
    ngx_iv_storage_op_t  *op;       /* NULL: cancelled or over */
    ngx_iv_queue_t *queue;
    ngx_iv_ref_t   *keep;           /* held while the thread reads p */
} ngx_iv_local_work_t;


/* a job's run(): ctx is an ngx_iv_local_work_t */
void ngx_iv_local_run(void *ctx, ngx_log_t *log);
void ngx_iv_local_run_list(ngx_iv_local_work_t *w);


#endif
