/*
 * A heap object with holders, for memory that a thread may still read when
 * whoever owned it is gone.  Counted in the event loop only: whoever posts a
 * job holds a reference until the job's done() or destroy().
 */

#ifndef NGX_IV_REF_H
#define NGX_IV_REF_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef struct ngx_iv_ref_s  ngx_iv_ref_t;

struct ngx_iv_ref_s {
    ngx_uint_t      count;
    void          (*destroy)(ngx_iv_ref_t *ref);
};


#define ngx_iv_ref_take(ref)                                                  \
    (ref)->count++

#define ngx_iv_ref_drop(ref)                                                  \
    do {                                                                      \
        if (--(ref)->count == 0) {                                            \
            (ref)->destroy(ref);                                              \
        }                                                                     \
    } while (0)


#endif
