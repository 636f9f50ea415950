/*
 * Calls to the server that MONGODB_URI names, with time enough: none of these
 * tests is about a server that is slow, and the machine may be.
 */

#ifndef IV_MONGO_CALL_H
#define IV_MONGO_CALL_H

#include "iv_test.h"
#include "metadata/ngx_iv_mongo.h"

#include <stdlib.h>


#define IV_MONGO_PATIENCE  60000


/* NULL: there is none */

static inline char *
mongo_uri(void)
{
    const char  *env, *more;

    static char  uri[4096];

    env = getenv("MONGODB_URI");

    if (env == NULL || *env == '\0') {
        return NULL;
    }

    if (strchr(env, '?')) {
        more = "&";

    } else {
        more = strchr(env + strlen("mongodb://"), '/') ? "?" : "/?";
    }

    snprintf(uri, sizeof(uri), "%s%sconnectTimeoutMS=%d"
             "&serverSelectionTimeoutMS=%d", env, more, IV_MONGO_PATIENCE,
             IV_MONGO_PATIENCE);

    return uri;
}


static inline ngx_int_t
run(ngx_iv_mongo_call_t *call)
{
    ngx_iv_mongo_run(call);

    if (call->message[0]) {
        printf("    %s: %s\n", ngx_iv_mongo_name(call->kind), call->message);
    }

    return call->code;
}


#endif
