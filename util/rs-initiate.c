/*
 * Makes the MongoDB server at 127.0.0.1:PORT a replica set of one ("rs0") and
 * waits until it is primary: change streams and majority writes need a set.
 * A set whose member has another address (data moved to another port) is told
 * the new one.
 *
 * rs-initiate PORT
 */

#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>


/* 94: NotYetInitialized, 23: AlreadyInitialized */
#define NOT_YET_INITIALIZED  94
#define ALREADY_INITIALIZED  23

/* tries of 100 ms */
#define TRIES  600


static bool
run(mongoc_client_t *client, bson_t *command, bson_t *reply, bson_error_t *e)
{
    bool  ok;

    ok = mongoc_client_command_simple(client, "admin", command, NULL, reply,
                                      e);
    bson_destroy(command);

    return ok;
}


static bool
is_primary(mongoc_client_t *client)
{
    bool          yes;
    bson_t        reply;
    bson_iter_t   it;
    bson_error_t  e;

    yes = run(client, BCON_NEW("hello", BCON_INT32(1)), &reply, &e)
          && bson_iter_init_find(&it, &reply, "isWritablePrimary")
          && bson_iter_as_bool(&it);
    bson_destroy(&reply);

    return yes;
}


static bool
initiate(mongoc_client_t *client, const char *host)
{
    bool          ok;
    bson_t        reply;
    bson_error_t  e;

    ok = run(client,
             BCON_NEW("replSetInitiate", "{", "_id", "rs0", "members", "[",
                      "{", "_id", BCON_INT32(0), "host", BCON_UTF8(host), "}",
                      "]", "}"),
             &reply, &e);
    bson_destroy(&reply);

    if (!ok && e.code != ALREADY_INITIALIZED) {
        fprintf(stderr, "replSetInitiate: %s\n", e.message);
        return false;
    }

    return true;
}


/* the member's address in the set's configuration, and its version */
static bool
configured(bson_t *config, const char *host, int32_t *version)
{
    bson_iter_t  it, member;

    *version = 0;

    if (bson_iter_init(&it, config)
        && bson_iter_find_descendant(&it, "config.version", &member))
    {
        *version = (int32_t) bson_iter_as_int64(&member);
    }

    return bson_iter_init(&it, config)
           && bson_iter_find_descendant(&it, "config.members.0.host", &member)
           && BSON_ITER_HOLDS_UTF8(&member)
           && strcmp(bson_iter_utf8(&member, NULL), host) == 0;
}


static bool
configure(mongoc_client_t *client, const char *host)
{
    bool          ok;
    bson_t        reply;
    int32_t       version;
    bson_error_t  e;

    ok = run(client, BCON_NEW("replSetGetConfig", BCON_INT32(1)), &reply, &e);

    if (!ok) {
        bson_destroy(&reply);

        if (e.code == NOT_YET_INITIALIZED) {
            return initiate(client, host);
        }

        fprintf(stderr, "replSetGetConfig: %s\n", e.message);
        return false;
    }

    ok = configured(&reply, host, &version);
    bson_destroy(&reply);

    if (ok) {
        return true;
    }

    ok = run(client,
             BCON_NEW("replSetReconfig", "{", "_id", "rs0", "version",
                      BCON_INT32(version + 1), "members", "[", "{", "_id",
                      BCON_INT32(0), "host", BCON_UTF8(host), "}", "]", "}",
                      "force", BCON_BOOL(true)),
             &reply, &e);
    bson_destroy(&reply);

    if (!ok) {
        fprintf(stderr, "replSetReconfig: %s\n", e.message);
    }

    return ok;
}


/* what goes wrong is said by the calls' own errors */
static void
quiet(mongoc_log_level_t level, const char *domain, const char *text,
    void *data)
{
    (void) level;
    (void) domain;
    (void) text;
    (void) data;
}


int
main(int argc, char **argv)
{
    int               i, rc;
    char              host[32], uri[128];
    bson_t            reply;
    bson_error_t      e;
    mongoc_client_t  *client;

    if (argc != 2) {
        fprintf(stderr, "usage: rs-initiate PORT\n");
        return 2;
    }

    snprintf(host, sizeof(host), "127.0.0.1:%d", atoi(argv[1]));
    snprintf(uri, sizeof(uri), "mongodb://%s/?directConnection=true"
             "&serverSelectionTimeoutMS=30000", host);

    mongoc_log_set_handler(quiet, NULL);
    mongoc_init();

    rc = 1;
    client = mongoc_client_new(uri);

    if (client == NULL) {
        goto done;
    }

    if (!run(client, BCON_NEW("ping", BCON_INT32(1)), &reply, &e)) {
        fprintf(stderr, "mongod at %s: %s\n", host, e.message);
        bson_destroy(&reply);
        goto done;
    }

    bson_destroy(&reply);

    if (!configure(client, host)) {
        goto done;
    }

    for (i = 0; i < TRIES; i++) {
        if (is_primary(client)) {
            rc = 0;
            goto done;
        }

        usleep(100000);
    }

    fprintf(stderr, "mongod at %s did not become primary\n", host);

done:

    if (client != NULL) {
        mongoc_client_destroy(client);
    }

    mongoc_cleanup();

    return rc;
}
