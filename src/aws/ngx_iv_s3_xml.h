/*
 * The tags of S3's answers.
 *
 * No XML library and no DTD: the documents are flat, so a scanner of tags is
 * enough, and it takes what is there of a document that was cut off.  PURE.
 */

#ifndef NGX_IV_S3_XML_H
#define NGX_IV_S3_XML_H

#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    const u_char        *p;
    const u_char        *last;
} ngx_iv_s3_scan_t;


typedef enum {
    NGX_IV_S3_TAG_OPEN = 0,
    NGX_IV_S3_TAG_CLOSE,
    NGX_IV_S3_TAG_EMPTY,            /* <Code/> */
    NGX_IV_S3_TAG_OTHER,            /* <?xml …?>, a comment */
    NGX_IV_S3_TAG_DTD,
    NGX_IV_S3_TAG_END               /* of the document */
} ngx_iv_s3_tag_e;


/* up to and into <root>, at whose depth it is then; <Error> may stand in
 * <ErrorResponse>.  NGX_OK; NGX_DECLINED: another root, or none */
ngx_int_t ngx_iv_s3_xml_root(ngx_iv_s3_scan_t *scan, const char *root,
    ngx_uint_t *depth);
/* the tag at p, which is '<' or the end; p goes behind it.  The name is without
 * a prefix and attributes */
ngx_iv_s3_tag_e ngx_iv_s3_xml_tag(ngx_iv_s3_scan_t *scan, ngx_str_t *name);
/* of what stands behind '&'; what is no entity leaves the '&' as it is, what is
 * no printable ASCII becomes '?' or a control character */
u_char ngx_iv_s3_xml_entity(const u_char **pp, const u_char *last);
ngx_uint_t ngx_iv_s3_xml_is(const ngx_str_t *name, const char *what);


#endif
