/*
 * A scanner of tags, see the header.
 */

#include "aws/ngx_iv_s3_xml.h"


/* up to and into <root>; <Error> may stand in <ErrorResponse> */

ngx_int_t
ngx_iv_s3_xml_root(ngx_iv_s3_scan_t *scan, const char *root,
    ngx_uint_t *depth)
{
    u_char     c;
    ngx_str_t  name;

    *depth = 0;

    if (scan->last - scan->p >= 3
        && ngx_memcmp(scan->p, "\xef\xbb\xbf", 3) == 0)
    {
        scan->p += 3;
    }

    for ( ;; ) {

        while (scan->p < scan->last) {
            c = *scan->p;

            if (c != ' ' && c != '\t' && c != CR && c != LF) {
                break;
            }

            scan->p++;
        }

        if (scan->p == scan->last || *scan->p != '<') {
            return NGX_DECLINED;
        }

        switch (ngx_iv_s3_xml_tag(scan, &name)) {

        case NGX_IV_S3_TAG_OTHER:
            continue;

        case NGX_IV_S3_TAG_OPEN:
            (*depth)++;

            if (ngx_iv_s3_xml_is(&name, root)) {
                return NGX_OK;
            }

            if (*depth == 1 && ngx_iv_s3_xml_is(&name, "ErrorResponse")) {
                continue;
            }

            return NGX_DECLINED;

        default:
            return NGX_DECLINED;
        }
    }
}


/*
 * The tag at p, which is '<' or the end; p goes behind it.  The name is
 * without a prefix and attributes.
 */

ngx_iv_s3_tag_e
ngx_iv_s3_xml_tag(ngx_iv_s3_scan_t *scan, ngx_str_t *name)
{
    u_char        *colon;
    const u_char  *p, *start, *last;
    ngx_uint_t     close;

    last = scan->last;
    p = scan->p;

    if (last - p >= 4 && ngx_memcmp(p, "<!--", 4) == 0) {

        for (p += 4; last - p >= 3; p++) {
            if (ngx_memcmp(p, "-->", 3) == 0) {
                scan->p = p + 3;
                return NGX_IV_S3_TAG_OTHER;
            }
        }

        return NGX_IV_S3_TAG_END;
    }

    if (last - p < 3) {
        return NGX_IV_S3_TAG_END;
    }

    p++;

    if (*p == '!') {
        return NGX_IV_S3_TAG_DTD;
    }

    start = p;

    while (p < last && *p != '>') {
        p++;
    }

    if (p == last) {
        return NGX_IV_S3_TAG_END;
    }

    scan->p = p + 1;

    if (*start == '?') {
        return NGX_IV_S3_TAG_OTHER;
    }

    close = (*start == '/');
    start += close;

    if (p > start && p[-1] == '/') {
        return NGX_IV_S3_TAG_EMPTY;
    }

    name->data = (u_char *) start;

    while (start < p && *start > ' ') {
        start++;
    }

    name->len = start - name->data;

    colon = ngx_strlchr(name->data, name->data + name->len, ':');

    if (colon) {
        name->len -= colon + 1 - name->data;
        name->data = colon + 1;
    }

    return close ? NGX_IV_S3_TAG_CLOSE : NGX_IV_S3_TAG_OPEN;
}


/* behind '&'; what is no entity leaves the '&' as it is */

u_char
ngx_iv_s3_xml_entity(const u_char **pp, const u_char *last)
{
    u_char         c;
    ngx_str_t      name;
    ngx_uint_t     n, base, digit;
    const u_char  *p;

    name.data = (u_char *) *pp;

    for (p = *pp; p < last && p - *pp < 8 && *p != ';'; p++) { /* void */ }

    if (p == last || *p != ';') {
        return '&';
    }

    name.len = p - name.data;

    if (ngx_iv_s3_xml_is(&name, "lt")) {
        c = '<';

    } else if (ngx_iv_s3_xml_is(&name, "gt")) {
        c = '>';

    } else if (ngx_iv_s3_xml_is(&name, "amp")) {
        c = '&';

    } else if (ngx_iv_s3_xml_is(&name, "quot")) {
        c = '"';

    } else if (ngx_iv_s3_xml_is(&name, "apos")) {
        c = '\'';

    } else if (name.len > 1 && name.data[0] == '#') {

        base = (name.data[1] == 'x') ? 16 : 10;
        name.data += (base == 16) ? 2 : 1;
        n = 0;

        if (name.data == p) {
            return '&';
        }

        for ( /* void */ ; name.data < p; name.data++) {
            c = ngx_tolower(*name.data);

            if (c >= '0' && c <= '9') {
                digit = c - '0';

            } else if (base == 16 && c >= 'a' && c <= 'f') {
                digit = c - 'a' + 10;

            } else {
                return '&';
            }

            n = n * base + digit;
        }

        c = (n < 0x7f) ? (u_char) n : '?';

    } else {
        return '&';
    }

    *pp = p + 1;

    return c;
}


ngx_uint_t
ngx_iv_s3_xml_is(const ngx_str_t *name, const char *what)
{
    return name->len == ngx_strlen(what)
           && ngx_memcmp(name->data, what, name->len) == 0;
}
