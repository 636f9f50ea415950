/*
 * The server that MONGODB_URI names, with time enough: none of these tests is
 * about a server that is slow, and the machine may be.
 */

#ifndef IV_MONGO_URI_H
#define IV_MONGO_URI_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define IV_MONGO_PATIENCE  60000


/* NULL: there is none */

static char *
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


#endif
