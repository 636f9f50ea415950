/*
 * JSON reader (RFC 8259) for small texts from strangers: the whole text becomes
 * a tree in a pool.  Strict: UTF-8 without BOM, no lone surrogates, no U+0000,
 * no key twice in an object, nothing behind the value.
 */

#ifndef NGX_IV_JSON_READ_H
#define NGX_IV_JSON_READ_H

#include "base/ngx_iv_code.h"

#define NGX_IV_JSON_READ_SIZE     1048576   /* bytes of text */
#define NGX_IV_JSON_READ_DEPTH    16        /* of arrays and objects */
#define NGX_IV_JSON_READ_NODES    10000     /* values altogether */
#define NGX_IV_JSON_READ_MEMBERS  256       /* of one object: keys are compared
                                               each with each */

typedef enum {
    NGX_IV_JSON_NULL = 0,
    NGX_IV_JSON_BOOL,
    NGX_IV_JSON_NUMBER,
    NGX_IV_JSON_STRING,
    NGX_IV_JSON_ARRAY,
    NGX_IV_JSON_OBJECT
} ngx_iv_json_type_e;


typedef struct ngx_iv_json_node_s  ngx_iv_json_node_t;

struct ngx_iv_json_node_s {
    ngx_iv_json_type_e    type;
    unsigned              integer:1;    /* number: `num` holds it exactly;
                                           48.0 and 4.8e1 are whole, too */
    int64_t               num;          /* number; bool: 0, 1 */
    ngx_str_t             key;          /* in an object, unescaped */
    ngx_str_t             str;          /* string: unescaped; number: text */
    ngx_uint_t            n;            /* array, object: children */
    ngx_iv_json_node_t   *first;
    ngx_iv_json_node_t   *last;
    ngx_iv_json_node_t   *next;         /* sibling */
    ngx_iv_json_node_t   *parent;
};


/*
 * NGX_OK and the tree in *root: strings without escapes lie in the text, which
 * must live as long; NGX_IV_MALFORMED_JSON: not JSON or over a limit above, a
 * static reason in *why; NGX_ERROR: no memory.
 */
ngx_int_t ngx_iv_json_read(ngx_pool_t *pool, const ngx_str_t *text,
    ngx_iv_json_node_t **root, const char **why);

/* the member of an object, NULL: it has none (or it is no object) */
ngx_iv_json_node_t *ngx_iv_json_get(const ngx_iv_json_node_t *object,
    const char *key);


#endif
