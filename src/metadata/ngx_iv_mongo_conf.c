/*
 * The connection string: is it good, which database it means, and the options
 * that the driver is given besides.
 */

#include <ngx_config.h>
#include <ngx_core.h>

#include "metadata/ngx_iv_mongo_driver.h"
#include "base/ngx_iv_str.h"


#define NGX_IV_MONGO_SELECTION  2000
#define NGX_IV_MONGO_CONNECT    2000
#define NGX_IV_MONGO_POOL_SIZE  32


static ngx_int_t ngx_iv_mongo_option(mongoc_uri_t *uri, const char *name,
    ngx_msec_t value);


/*
 * The driver's own message may quote the URI with its password, thus it is
 * not passed on.
 */

const char *
ngx_iv_mongo_check_uri(ngx_pool_t *pool, const ngx_str_t *uri,
    ngx_str_t *database)
{
    char          *copy;
    const char    *name;
    bson_error_t   error;
    mongoc_uri_t  *parsed;

    ngx_str_null(database);

    copy = bson_strndup((char *) uri->data, uri->len);

    mongoc_log_set_handler(ngx_iv_mongo_log, pool->log);
    parsed = mongoc_uri_new_with_error(copy, &error);
    mongoc_log_set_handler(NULL, NULL);

    ngx_iv_wipe(copy, uri->len);
    bson_free(copy);

    if (parsed == NULL) {
        if (uri->len < 10 || ngx_strncmp(uri->data, "mongodb", 7) != 0) {
            return "is no MongoDB connection string: it must start with "
                   "\"mongodb://\" or \"mongodb+srv://\"";
        }

        return "is no valid MongoDB connection string: check hosts, options "
               "and their values; \"@\", \":\", \"/\" and \"%\" in a user name "
               "or password must be percent-encoded";
    }

    name = mongoc_uri_get_database(parsed);

    if (name && *name) {
        database->len = ngx_strlen(name);
        database->data = ngx_pnalloc(pool, database->len + 1);

        if (database->data == NULL) {
            mongoc_uri_destroy(parsed);
            return "cannot be kept: no memory";
        }

        ngx_memcpy(database->data, name, database->len + 1);
    }

    mongoc_uri_destroy(parsed);

    return NULL;
}


char *
ngx_iv_metadata_check_conf(ngx_pool_t *pool, ngx_iv_metadata_conf_t *conf)
{
    ngx_str_t    database;
    const char  *error;

    error = ngx_iv_mongo_check_uri(pool, &conf->uri, &database);
    if (error) {
        return (char *) error;
    }

    if (conf->database.len == 0) {
        conf->database = database;
    }

    if (conf->database.len == 0) {
        return "names no database: add it to the connection string "
               "(mongodb://host/name) or as \"database=name\"";
    }

    if (conf->database.len > 63
        || ngx_strlchr(conf->database.data,
                       conf->database.data + conf->database.len, '\0'))
    {
        return "names a database that MongoDB does not allow: at most 63 "
               "bytes";
    }

    return NGX_CONF_OK;
}


uint64_t
ngx_iv_metadata_of(const ngx_iv_metadata_conf_t *conf)
{
    u_char     *p, *last;
    uint64_t    of;
    ngx_str_t   hosts;

    hosts = conf->uri;
    last = hosts.data + hosts.len;

    p = ngx_strnstr(hosts.data, "://", hosts.len);

    if (p) {
        hosts.data = p + 3;
    }

    /* in a name or a password they are escaped */

    p = ngx_strlchr(hosts.data, last, '?');

    if (p) {
        last = p;
    }

    p = ngx_strlchr(hosts.data, last, '@');

    if (p) {
        hosts.data = p + 1;
    }

    hosts.len = last - hosts.data;

    of = ngx_iv_fold(NGX_IV_FOLD, &hosts);

    return ngx_iv_fold(of, &conf->database);
}


/*
 * What the operator wrote into the connection string stays, save for what the
 * promises rest on: majority writes, majority reads from the primary.
 */

ngx_int_t
ngx_iv_mongo_options(mongoc_uri_t *uri, ngx_msec_t timeout)
{
    ngx_int_t                rc;
    mongoc_read_prefs_t     *prefs;
    mongoc_read_concern_t   *rconcern;
    mongoc_write_concern_t  *wconcern;

    /* a majority that is late should be told of by the server, before the
     * socket gives up and takes the connection with it */

    int32_t  wtimeout = (int32_t) (timeout - timeout / 8);

    if (ngx_iv_mongo_option(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS,
                            ngx_min(timeout, NGX_IV_MONGO_SELECTION))
        != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_CONNECTTIMEOUTMS,
                               NGX_IV_MONGO_CONNECT)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_SOCKETTIMEOUTMS, timeout)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_WAITQUEUETIMEOUTMS, timeout)
           != NGX_OK
        || ngx_iv_mongo_option(uri, MONGOC_URI_MAXPOOLSIZE,
                               NGX_IV_MONGO_POOL_SIZE)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!mongoc_uri_has_option(uri, MONGOC_URI_RETRYWRITES)
        && !mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, true))
    {
        return NGX_ERROR;
    }

    if (mongoc_uri_get_appname(uri) == NULL
        && !mongoc_uri_set_appname(uri, "image_vault"))
    {
        return NGX_ERROR;
    }

    wtimeout = mongoc_uri_get_option_as_int32(uri, MONGOC_URI_WTIMEOUTMS,
                                              wtimeout);

    rc = NGX_ERROR;

    wconcern = mongoc_write_concern_new();
    rconcern = mongoc_read_concern_new();
    prefs = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);

    if (wconcern && rconcern && prefs
        && mongoc_read_concern_set_level(rconcern,
                                         MONGOC_READ_CONCERN_LEVEL_MAJORITY))
    {
        mongoc_write_concern_set_wmajority(wconcern, wtimeout);
        mongoc_write_concern_set_journal(wconcern, true);

        mongoc_uri_set_write_concern(uri, wconcern);
        mongoc_uri_set_read_concern(uri, rconcern);
        mongoc_uri_set_read_prefs_t(uri, prefs);

        rc = NGX_OK;
    }

    mongoc_read_prefs_destroy(prefs);
    mongoc_read_concern_destroy(rconcern);
    mongoc_write_concern_destroy(wconcern);

    return rc;
}


static ngx_int_t
ngx_iv_mongo_option(mongoc_uri_t *uri, const char *name, ngx_msec_t value)
{
    if (mongoc_uri_has_option(uri, name)) {
        return NGX_OK;
    }

    return mongoc_uri_set_option_as_int32(uri, name, (int32_t) value)
           ? NGX_OK : NGX_ERROR;
}
