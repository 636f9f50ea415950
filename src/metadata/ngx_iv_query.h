/*
 * What is asked of MongoDB, as BSON: the filter and the update of each kind of
 * call.  Knows BSON only, no driver; thread-safe.  Whoever gets a document
 * destroys it.
 */

#ifndef NGX_IV_QUERY_H
#define NGX_IV_QUERY_H

#include <ngx_config.h>
#include <ngx_core.h>
#include <bson/bson.h>
#include "metadata/ngx_iv_mongo.h"


bson_t *ngx_iv_query_filter(const ngx_iv_mongo_call_t *call);
/* NULL: the document of the call cannot be written */
bson_t *ngx_iv_query_update(const ngx_iv_mongo_call_t *call);
/* limit, order and fields of a list */
bson_t *ngx_iv_query_list(const ngx_iv_mongo_call_t *call);
/* the date that a sweep's list is sorted by */
const char *ngx_iv_query_order(const ngx_iv_mongo_call_t *call);
/* only the documents of call->refs */
void ngx_iv_query_among(bson_t *filter, const ngx_iv_mongo_call_t *call);
/* the command that makes the n-th index; NULL: there are no more */
bson_t *ngx_iv_query_index(const char *collection, ngx_uint_t n);


#endif
