/*
 * A storage block while it is read: shared by the table of its lines and by
 * what is made of them at its end.
 */

#ifndef NGX_HTTP_IMAGE_VAULT_STORAGE_BLOCK_H
#define NGX_HTTP_IMAGE_VAULT_STORAGE_BLOCK_H

#include "module/ngx_http_image_vault_conf.h"


typedef struct {
    ngx_iv_storage_conf_t  *conf;
    uint32_t        seen;           /* lines that came, by their place in the
                                       table */
    ngx_str_t       endpoint;       /* as written; empty: AWS */
    ngx_str_t       trusted;        /* ssl_trusted_certificate */
    ngx_flag_t      ssl_verify;
} ngx_http_image_vault_block_t;


/* …_storage_end.c: checks that need the whole block, addresses, TLS.
 * NGX_CONF_OK or NGX_CONF_ERROR (logged) */
char *ngx_http_image_vault_storage_end(ngx_conf_t *cf,
    ngx_http_image_vault_block_t *block);

/* says what is wrong with the storage; NGX_CONF_ERROR */
char *ngx_http_image_vault_storage_fault(ngx_conf_t *cf,
    const ngx_iv_storage_conf_t *conf, const char *fault);

/* …_credentials.c: `credentials`; nargs 0: the line is missing */
char *ngx_http_image_vault_credentials(ngx_conf_t *cf,
    ngx_iv_storage_conf_t *conf, ngx_str_t *args, ngx_uint_t nargs);


#endif
