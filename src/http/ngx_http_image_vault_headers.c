/*
 * The headers of a request or an answer, by name: they may come in several
 * lines, and those whose hash is zero are none any more.
 */

#include "module/ngx_http_image_vault_module.h"


ngx_table_elt_t *
ngx_http_image_vault_first_header(ngx_http_image_vault_headers_t *it,
    ngx_list_t *list, const char *name)
{
    it->part = &list->part;
    it->next = 0;
    it->name = (u_char *) name;
    it->len = name ? ngx_strlen(name) : 0;

    return ngx_http_image_vault_next_header(it);
}


ngx_table_elt_t *
ngx_http_image_vault_next_header(ngx_http_image_vault_headers_t *it)
{
    ngx_table_elt_t  *h;

    for ( ;; ) {

        if (it->next >= it->part->nelts) {
            if (it->part->next == NULL) {
                return NULL;
            }

            it->part = it->part->next;
            it->next = 0;
            continue;
        }

        h = (ngx_table_elt_t *) it->part->elts + it->next++;

        if (h->hash != 0
            && (it->name == NULL
                || (h->key.len == it->len
                    && ngx_strncasecmp(h->key.data, it->name, it->len) == 0)))
        {
            return h;
        }
    }
}


void
ngx_http_image_vault_drop_header(ngx_list_t *list, const char *name)
{
    ngx_table_elt_t                 *h;
    ngx_http_image_vault_headers_t   it;

    for (h = ngx_http_image_vault_first_header(&it, list, name);
         h;
         h = ngx_http_image_vault_next_header(&it))
    {
        h->hash = 0;
    }
}
