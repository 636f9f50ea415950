/*
 * Endpoints: the addresses of a storage's host in one worker.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <netdb.h>
#include "net/ngx_iv_net_private.h"


/* how long an address that failed is tried last */
#define NGX_IV_ADDR_PENALTY  10000


/* the job's memory: in for the thread, out for the event loop */
typedef struct {
    u_char             *host;
    in_port_t           port;
    int                 error;
    int                 err;            /* errno where error is EAI_SYSTEM */
    ngx_uint_t          n;
    ngx_addr_t          addrs[NGX_IV_ADDRS_MAX];
    ngx_sockaddr_t      sockaddrs[NGX_IV_ADDRS_MAX];
} ngx_iv_lookup_t;


static ngx_int_t ngx_iv_endpoint_names(ngx_iv_endpoint_t *ep,
    ngx_cycle_t *cycle);
static ngx_int_t ngx_iv_endpoint_job(ngx_iv_endpoint_t *ep, ngx_log_t *log);
static void ngx_iv_endpoint_cleanup(void *data);
static void ngx_iv_endpoint_refresh(ngx_iv_endpoint_t *ep);
static void ngx_iv_endpoint_resolve(ngx_iv_endpoint_t *ep);
static void ngx_iv_endpoint_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_iv_endpoint_lookup(void *ctx, ngx_log_t *log);
static void ngx_iv_endpoint_looked_up(ngx_iv_job_t *job);
static ngx_int_t ngx_iv_endpoint_replace(ngx_iv_endpoint_t *ep,
    ngx_iv_addrs_t *addrs);
static ngx_iv_addrs_t *ngx_iv_addrs_alloc(ngx_uint_t n);
static void ngx_iv_addrs_add(ngx_iv_addrs_t *addrs, struct sockaddr *sockaddr,
    socklen_t socklen, in_port_t port);
static void ngx_iv_addrs_destroy(ngx_iv_ref_t *ref);


ngx_iv_endpoint_t *
ngx_iv_endpoint_create(ngx_cycle_t *cycle, const ngx_iv_endpoint_conf_t *conf,
    ngx_iv_queue_t *queue)
{
    ngx_uint_t           i;
    ngx_iv_addrs_t      *addrs;
    ngx_iv_endpoint_t   *ep;
    ngx_pool_cleanup_t  *cln;

    ep = ngx_pcalloc(cycle->pool, sizeof(ngx_iv_endpoint_t));
    if (ep == NULL) {
        return NULL;
    }

    ep->conf = conf;
    ep->queue = queue;
    ep->refreshed = ngx_current_msec;
    ep->interval = conf->refresh;

    ngx_queue_init(&ep->idle);

    if (ngx_iv_endpoint_names(ep, cycle) != NGX_OK) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_iv_endpoint_cleanup;
    cln->data = ep;

    if (conf->naddrs) {
        addrs = ngx_iv_addrs_alloc(conf->naddrs);
        if (addrs == NULL) {
            return NULL;
        }

        for (i = 0; i < conf->naddrs; i++) {
            ngx_iv_addrs_add(addrs, conf->addrs[i].sockaddr,
                             conf->addrs[i].socklen, conf->port);
        }

        ep->addrs = addrs;

    } else {
        ep->interval = 0;
    }

    if (ep->name.len && conf->resolver == NULL
        && ngx_iv_endpoint_job(ep, cycle->log) != NGX_OK)
    {
        return NULL;
    }

    return ep;
}


static ngx_int_t
ngx_iv_endpoint_names(ngx_iv_endpoint_t *ep, ngx_cycle_t *cycle)
{
    ngx_str_t  name;

    /* the resolver writes into the name it is given */

    if (!ngx_iv_host_literal(&ep->conf->host)) {
        name = ep->conf->host;

        ep->name.data = ngx_pstrdup(cycle->pool, &name);
        if (ep->name.data == NULL) {
            return NGX_ERROR;
        }

        ep->name.len = name.len;
    }

    name = ep->conf->ssl_name.len ? ep->conf->ssl_name : ep->conf->host;

    ep->ssl_literal = ngx_iv_host_literal(&name);

    if (name.len > 2 && name.data[0] == '[') {
        name.data++;
        name.len -= 2;
    }

    ep->ssl_name.data = ngx_pnalloc(cycle->pool, name.len + 1);
    if (ep->ssl_name.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ep->ssl_name.data, name.data, name.len);
    ep->ssl_name.data[name.len] = '\0';
    ep->ssl_name.len = name.len;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_endpoint_job(ngx_iv_endpoint_t *ep, ngx_log_t *log)
{
    ngx_iv_job_t     *job;
    ngx_iv_lookup_t  *lookup;

    job = ngx_iv_job_create(sizeof(ngx_iv_lookup_t), log);
    if (job == NULL) {
        return NGX_ERROR;
    }

    ep->job = job;

    job->run = ngx_iv_endpoint_lookup;
    job->done = ngx_iv_endpoint_looked_up;
    job->data = ep;

    lookup = job->ctx;

    lookup->port = ep->conf->port;

    lookup->host = ngx_pnalloc(job->pool, ep->name.len + 1);
    if (lookup->host == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(lookup->host, ep->name.data, ep->name.len);
    lookup->host[ep->name.len] = '\0';

    return NGX_OK;
}


static void
ngx_iv_endpoint_cleanup(void *data)
{
    ngx_iv_endpoint_t *ep = data;

    ngx_iv_conn_close_idle(ep);
    ngx_iv_conn_forget(ep);

    if (ep->resolving) {
        ngx_resolve_name_done(ep->resolving);
        ep->resolving = NULL;
    }

    if (ep->job) {
        ngx_iv_job_release(ep->job);
        ep->job = NULL;
    }

    if (ep->addrs) {
        ngx_iv_ref_drop(&ep->addrs->ref);
        ep->addrs = NULL;
    }
}


ngx_uint_t
ngx_iv_host_literal(const ngx_str_t *host)
{
    if (ngx_strlchr(host->data, host->data + host->len, ':') != NULL) {
        return 1;
    }

    return ngx_inet_addr(host->data, host->len) != INADDR_NONE;
}


ngx_iv_addrs_t *
ngx_iv_endpoint_addrs(ngx_iv_endpoint_t *ep, ngx_uint_t *start)
{
    if (ep->name.len && !ep->refreshing && !ngx_exiting
        && ngx_current_msec - ep->refreshed >= ep->interval)
    {
        ngx_iv_endpoint_refresh(ep);
    }

    if (ep->addrs == NULL) {
        return NULL;
    }

    *start = ep->next++;

    ngx_iv_ref_take(&ep->addrs->ref);

    return ep->addrs;
}


ngx_iv_addr_t *
ngx_iv_addrs_next(ngx_iv_addrs_t *addrs, ngx_uint_t start, uint64_t *tried)
{
    ngx_uint_t      i, k, last;
    ngx_iv_addr_t  *addr;

    last = addrs->n;

    for (i = 0; i < addrs->n; i++) {
        k = (start + i) % addrs->n;
        addr = &addrs->addr[k];

        if (*tried & ((uint64_t) 1 << k)) {
            continue;
        }

        if (addr->bad
            && ngx_current_msec - addr->failed < NGX_IV_ADDR_PENALTY)
        {
            if (last == addrs->n) {
                last = k;
            }

            continue;
        }

        addr->bad = 0;
        last = k;
        break;
    }

    if (last == addrs->n) {
        return NULL;
    }

    *tried |= (uint64_t) 1 << last;

    return &addrs->addr[last];
}


static void
ngx_iv_endpoint_refresh(ngx_iv_endpoint_t *ep)
{
    ep->refreshed = ngx_current_msec;
    ep->interval = ep->conf->refresh;

    /* without any address a failure must not last */

    if (ep->addrs == NULL) {
        ep->interval = ngx_min(ep->interval, 1000);
    }

    if (ep->conf->resolver) {
        ngx_iv_endpoint_resolve(ep);
        return;
    }

    if (ngx_iv_job_post(ep->job, ep->queue) != NGX_OK) {

        /* the threads are busy: soon again */

        ep->interval = ngx_min(ep->conf->refresh, 1000);
        return;
    }

    ep->refreshing = 1;
}


static void
ngx_iv_endpoint_resolve(ngx_iv_endpoint_t *ep)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ngx_resolve_start(ep->conf->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "\"%V\" could not be resolved anew, "
                      "its old addresses are kept", &ep->conf->host);
        return;
    }

    ctx->name = ep->name;
    ctx->handler = ngx_iv_endpoint_resolved;
    ctx->data = ep;
    ctx->timeout = ep->conf->resolver_timeout;
    ctx->cancelable = 1;

    ep->refreshing = 1;
    ep->resolving = ctx;

    /* the handler may be called at once, it frees ctx */

    if (ngx_resolve_name(ctx) != NGX_OK) {
        ep->refreshing = 0;
        ep->resolving = NULL;

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "\"%V\" could not be resolved anew, "
                      "its old addresses are kept", &ep->conf->host);
    }
}


static void
ngx_iv_endpoint_resolved(ngx_resolver_ctx_t *ctx)
{
    time_t              now;
    ngx_int_t           rc;
    ngx_uint_t          i;
    ngx_iv_addrs_t     *addrs;
    ngx_iv_endpoint_t  *ep;

    ep = ctx->data;

    ep->refreshing = 0;
    ep->resolving = NULL;

    if (ctx->state || ctx->naddrs == 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "\"%V\" could not be resolved anew (%i: %s), "
                      "its old addresses are kept", &ep->conf->host,
                      ctx->state, ngx_resolver_strerror(ctx->state));

        ngx_resolve_name_done(ctx);
        return;
    }

    /* the resolver holds the answer as long as it is valid */

    now = ngx_time();

    ep->interval = (ctx->valid > now)
                   ? (ngx_msec_t) ngx_min(ctx->valid - now, 86400) * 1000
                   : 1000;

    addrs = ngx_iv_addrs_alloc(ctx->naddrs);
    rc = NGX_ERROR;

    if (addrs) {
        for (i = 0; i < ctx->naddrs; i++) {
            ngx_iv_addrs_add(addrs, ctx->addrs[i].sockaddr,
                             ctx->addrs[i].socklen, ep->conf->port);
        }

        rc = ngx_iv_endpoint_replace(ep, addrs);
    }

    if (rc != NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "no new addresses of \"%V\", its old ones are kept",
                      &ep->conf->host);
    }

    ngx_resolve_name_done(ctx);
}


/* in a thread: touches the job's memory only */

static void
ngx_iv_endpoint_lookup(void *ctx, ngx_log_t *log)
{
    ngx_iv_lookup_t *lookup = ctx;

    struct addrinfo  hints, *res, *rp;

    lookup->n = 0;
    lookup->err = 0;

    ngx_memzero(&hints, sizeof(struct addrinfo));
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
#ifdef AI_ADDRCONFIG
    hints.ai_flags = AI_ADDRCONFIG;
#endif

    lookup->error = getaddrinfo((char *) lookup->host, NULL, &hints, &res);

    if (lookup->error) {
        lookup->err = errno;
        return;
    }

    for (rp = res; rp && lookup->n < NGX_IV_ADDRS_MAX; rp = rp->ai_next) {

        if (rp->ai_family != AF_INET
#if (NGX_HAVE_INET6)
            && rp->ai_family != AF_INET6
#endif
           )
        {
            continue;
        }

        ngx_memcpy(&lookup->sockaddrs[lookup->n], rp->ai_addr, rp->ai_addrlen);

        lookup->addrs[lookup->n].sockaddr =
                                      &lookup->sockaddrs[lookup->n].sockaddr;
        lookup->addrs[lookup->n].socklen = rp->ai_addrlen;
        lookup->n++;
    }

    freeaddrinfo(res);
}


static void
ngx_iv_endpoint_looked_up(ngx_iv_job_t *job)
{
    ngx_uint_t          i;
    ngx_iv_addrs_t     *addrs;
    ngx_iv_lookup_t    *lookup;
    ngx_iv_endpoint_t  *ep;

    ep = job->data;
    lookup = job->ctx;

    ep->refreshing = 0;

    if (lookup->error) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log,
                      (lookup->error == EAI_SYSTEM) ? lookup->err : 0,
                      "\"%V\" could not be resolved anew (%s), "
                      "its old addresses are kept",
                      &ep->conf->host, gai_strerror(lookup->error));
        return;
    }

    addrs = lookup->n ? ngx_iv_addrs_alloc(lookup->n) : NULL;

    if (addrs) {
        for (i = 0; i < lookup->n; i++) {
            ngx_iv_addrs_add(addrs, lookup->addrs[i].sockaddr,
                             lookup->addrs[i].socklen, lookup->port);
        }

        if (ngx_iv_endpoint_replace(ep, addrs) == NGX_OK) {
            return;
        }
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "no new addresses of \"%V\", its old ones are kept",
                  &ep->conf->host);
}


/* what is known of an address that stays is kept */

static ngx_int_t
ngx_iv_endpoint_replace(ngx_iv_endpoint_t *ep, ngx_iv_addrs_t *addrs)
{
    ngx_uint_t       i, k;
    ngx_iv_addr_t   *addr, *old;
    ngx_iv_addrs_t  *prev;

    if (addrs->n == 0) {
        ngx_iv_ref_drop(&addrs->ref);
        return NGX_ERROR;
    }

    prev = ep->addrs;
    ep->addrs = addrs;

    if (prev == NULL) {
        return NGX_OK;
    }

    for (i = 0; i < addrs->n; i++) {
        addr = &addrs->addr[i];

        for (k = 0; k < prev->n; k++) {
            old = &prev->addr[k];

            if (ngx_cmp_sockaddr(&addr->sockaddr.sockaddr, addr->socklen,
                                 &old->sockaddr.sockaddr, old->socklen, 1)
                == NGX_OK)
            {
                addr->bad = old->bad;
                addr->failed = old->failed;
                break;
            }
        }
    }

    ngx_iv_ref_drop(&prev->ref);

    return NGX_OK;
}


static ngx_iv_addrs_t *
ngx_iv_addrs_alloc(ngx_uint_t n)
{
    ngx_iv_addrs_t  *addrs;

    n = ngx_min(n, NGX_IV_ADDRS_MAX);

    addrs = ngx_calloc(sizeof(ngx_iv_addrs_t) + n * sizeof(ngx_iv_addr_t),
                       ngx_cycle->log);
    if (addrs == NULL) {
        return NULL;
    }

    addrs->ref.count = 1;
    addrs->ref.destroy = ngx_iv_addrs_destroy;

    return addrs;
}


/* there is room for as many as were asked for, what is beyond is left out */

static void
ngx_iv_addrs_add(ngx_iv_addrs_t *addrs, struct sockaddr *sockaddr,
    socklen_t socklen, in_port_t port)
{
    ngx_iv_addr_t  *addr;

    if (addrs->n == NGX_IV_ADDRS_MAX
        || socklen > (socklen_t) sizeof(ngx_sockaddr_t))
    {
        return;
    }

    addr = &addrs->addr[addrs->n++];

    ngx_memcpy(&addr->sockaddr, sockaddr, socklen);
    addr->socklen = socklen;

    ngx_inet_set_port(&addr->sockaddr.sockaddr, port);

    addr->name.data = addr->text;
    addr->name.len = ngx_sock_ntop(&addr->sockaddr.sockaddr, socklen,
                                   addr->text, NGX_SOCKADDR_STRLEN, 1);
}


static void
ngx_iv_addrs_destroy(ngx_iv_ref_t *ref)
{
    ngx_free(ref);
}
