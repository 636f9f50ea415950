/*
 * The header of a form's part: Content-Disposition and a few more.  Everything
 * is unescaped where it lies, in the parser's memory.
 */

#include "formats/ngx_iv_form_private.h"
#include "formats/ngx_iv_name.h"


typedef struct {
    ngx_str_t       disposition;
    ngx_str_t       encoding;
} ngx_iv_form_header_t;


static void ngx_iv_form_unfold(u_char *p, u_char *last);
static ngx_int_t ngx_iv_form_part_line(ngx_iv_form_t *f,
    ngx_iv_form_header_t *h, u_char *p, u_char *last);
static ngx_int_t ngx_iv_form_disposition(ngx_iv_form_t *f, ngx_str_t *value);
static ngx_int_t ngx_iv_form_name(ngx_iv_form_t *f, const ngx_str_t *name,
    const ngx_str_t *filename, ngx_str_t *ext);
static void ngx_iv_form_unescape(ngx_str_t *s);
static ngx_int_t ngx_iv_form_kind(ngx_iv_form_t *f, ngx_str_t *encoding);
static ngx_uint_t ngx_iv_form_token(u_char ch);
static u_char *ngx_iv_form_quoted(u_char *p, u_char *last, ngx_str_t *value);

#define ngx_iv_form_blank(ch)  ((ch) == ' ' || (ch) == '\t')


/* the lines were checked: each ends with CR LF, no other CR or LF is there */

ngx_int_t
ngx_iv_form_part(ngx_iv_form_t *f)
{
    u_char                *p, *end, *last;
    ngx_int_t              rc;
    ngx_iv_form_header_t   h;

    ngx_memzero(&f->part, sizeof(ngx_iv_form_part_t));
    ngx_memzero(&h, sizeof(ngx_iv_form_header_t));

    p = f->head;
    last = p + f->nhead - 2;

    if (p < last && ngx_iv_form_blank(*p)) {
        return ngx_iv_form_malformed(f, "a header begins with a blank");
    }

    ngx_iv_form_unfold(p, last);

    for ( /* void */ ; p < last; p = end + 2) {

        end = ngx_strlchr(p, last, '\r');

        rc = ngx_iv_form_part_line(f, &h, p, end);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (h.disposition.data == NULL) {
        return ngx_iv_form_malformed(f, "a part has no Content-Disposition");
    }

    rc = ngx_iv_form_disposition(f, &h.disposition);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_iv_form_kind(f, &h.encoding);
}


/* a line that begins with a blank goes on with the one before */

static void
ngx_iv_form_unfold(u_char *p, u_char *last)
{
    for ( /* void */ ; last - p > 2; p++) {

        if (*p == '\r' && ngx_iv_form_blank(p[2])) {
            p[0] = ' ';
            p[1] = ' ';
        }
    }
}


static ngx_int_t
ngx_iv_form_part_line(ngx_iv_form_t *f, ngx_iv_form_header_t *h, u_char *p,
    u_char *last)
{
    ngx_str_t   name, *value;
    ngx_uint_t  i;

    struct {
        const char  *name;
        ngx_str_t   *value;
    } known[] = {
        { "Content-Disposition", &h->disposition },
        { "Content-Type", &f->part.content_type },
        { "Content-Transfer-Encoding", &h->encoding },
        { "Content-Digest", &f->part.content_digest },
        { "Repr-Digest", &f->part.repr_digest },
        { "Content-MD5", &f->part.content_md5 },
    };

    name.data = p;

    while (p < last && ngx_iv_form_token(*p)) {
        p++;
    }

    name.len = p - name.data;

    if (name.len == 0 || p == last || *p != ':') {
        return ngx_iv_form_malformed(f, "malformed header in a part");
    }

    for (p++; p < last && ngx_iv_form_blank(*p); p++) { /* void */ }

    while (last > p && ngx_iv_form_blank(last[-1])) {
        last--;
    }

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {

        if (!ngx_iv_form_is(&name, known[i].name)) {
            continue;
        }

        value = known[i].value;

        if (value->data != NULL) {
            return ngx_iv_form_malformed(f, "a header comes twice in a part");
        }

        value->data = p;
        value->len = last - p;
        break;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_form_disposition(ngx_iv_form_t *f, ngx_str_t *value)
{
    u_char      *p, *last;
    ngx_int_t    rc;
    ngx_str_t    type, param, v, name, filename, ext, *slot;

    p = value->data;
    last = p + value->len;

    ngx_iv_form_type(&p, last, &type);

    if (!ngx_iv_form_is(&type, "form-data")) {
        return ngx_iv_form_malformed(f, "a part is no form-data");
    }

    ngx_str_null(&name);
    ngx_str_null(&filename);
    ngx_str_null(&ext);

    while ((rc = ngx_iv_form_param(&p, last, &param, &v)) == NGX_OK) {

        if (ngx_iv_form_is(&param, "name")) {
            slot = &name;

        } else if (ngx_iv_form_is(&param, "filename")) {
            slot = &filename;

        } else if (ngx_iv_form_is(&param, "filename*")) {
            slot = &ext;

        } else {
            continue;
        }

        if (slot->data != NULL) {
            return ngx_iv_form_malformed(f, "a part has two names");
        }

        *slot = v;
    }

    if (rc == NGX_ERROR) {
        return ngx_iv_form_malformed(f, "malformed Content-Disposition");
    }

    return ngx_iv_form_name(f, &name, &filename, &ext);
}


static ngx_int_t
ngx_iv_form_name(ngx_iv_form_t *f, const ngx_str_t *name,
    const ngx_str_t *filename, ngx_str_t *ext)
{
    ngx_iv_form_part_t  *part;

    part = &f->part;

    if (name->data == NULL) {
        return ngx_iv_form_malformed(f, "a part has no name");
    }

    if (name->len > NGX_IV_FORM_NAME) {
        return ngx_iv_form_too_large(f, "a field's name is too long");
    }

    part->name = *name;
    ngx_iv_form_unescape(&part->name);

    if (filename->data != NULL) {
        part->has_filename = 1;
        part->filename = *filename;
        ngx_iv_form_unescape(&part->filename);
    }

    if (ext->data != NULL) {
        part->has_filename = 1;

        /* what can't be decoded leaves the plain name */
        (void) ngx_iv_name_ext_decode(ext->data, ext, &part->filename);
    }

    return NGX_OK;
}


/* what browsers escape (HTML, "multipart/form-data"), and nothing else: a
 * percent sign of the name is sent as it is */

static void
ngx_iv_form_unescape(ngx_str_t *s)
{
    u_char  *p, *dst, *last;

    p = s->data;
    dst = p;
    last = p + s->len;

    while (p < last) {

        if (*p == '%' && last - p > 2) {

            if (p[1] == '2' && p[2] == '2') {
                *dst++ = '"';
                p += 3;
                continue;
            }

            if (p[1] == '0' && ((p[2] | 0x20) == 'd' || (p[2] | 0x20) == 'a'))
            {
                *dst++ = (p[2] | 0x20) == 'd' ? '\r' : '\n';
                p += 3;
                continue;
            }
        }

        *dst++ = *p++;
    }

    s->len = dst - s->data;
}


/* a file or a field, and nothing that would have to be decoded */

static ngx_int_t
ngx_iv_form_kind(ngx_iv_form_t *f, ngx_str_t *encoding)
{
    u_char              *p;
    ngx_str_t            type;
    ngx_iv_form_part_t  *part;

    part = &f->part;

    if (encoding->len
        && !ngx_iv_form_is(encoding, "binary")
        && !ngx_iv_form_is(encoding, "8bit")
        && !ngx_iv_form_is(encoding, "7bit"))
    {
        return ngx_iv_form_malformed(f, "a part has a transfer encoding");
    }

    ngx_str_null(&type);

    if (part->content_type.len) {
        p = part->content_type.data;
        ngx_iv_form_type(&p, p + part->content_type.len, &type);
    }

    if (type.len > 10
        && ngx_strncasecmp(type.data, (u_char *) "multipart/", 10) == 0)
    {
        return ngx_iv_form_malformed(f, "a part is multipart itself");
    }

    part->file = part->has_filename
                 || ngx_iv_form_is(&type, "application/octet-stream")
                 || (type.len > 6
                     && ngx_strncasecmp(type.data, (u_char *) "image/", 6)
                        == 0);

    return NGX_OK;
}


void
ngx_iv_form_type(u_char **p, u_char *last, ngx_str_t *type)
{
    u_char  *q;

    q = *p;

    while (q < last && ngx_iv_form_blank(*q)) {
        q++;
    }

    type->data = q;

    while (q < last && (ngx_iv_form_token(*q) || *q == '/')) {
        q++;
    }

    type->len = q - type->data;

    *p = q;
}


ngx_int_t
ngx_iv_form_param(u_char **pos, u_char *last, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char      *p;
    ngx_uint_t   semicolon;

    p = *pos;

    for (semicolon = 0; p < last; p++) {

        if (*p == ';') {
            semicolon = 1;

        } else if (!ngx_iv_form_blank(*p)) {
            break;
        }
    }

    if (p == last) {
        *pos = p;
        return NGX_DONE;
    }

    name->data = p;

    while (p < last && ngx_iv_form_token(*p)) {
        p++;
    }

    name->len = p - name->data;

    if (!semicolon || name->len == 0 || last - p < 2 || *p != '=') {
        return NGX_ERROR;
    }

    p++;

    if (*p == '"') {
        p = ngx_iv_form_quoted(p + 1, last, value);
        *pos = p;
        return p ? NGX_OK : NGX_ERROR;
    }

    /* not only a token: names in UTF-8 and boundaries with ":" do come */

    value->data = p;

    while (p < last && *p != ';' && *p != '"' && !ngx_iv_form_blank(*p)) {
        p++;
    }

    value->len = p - value->data;
    *pos = p;

    return value->len && (p == last || *p != '"') ? NGX_OK : NGX_ERROR;
}


/*
 * Up to the closing quote; returns what follows, NULL: it is missing.
 * A backslash escapes a quote or a backslash only: some send C:\photos\a.jpg
 * as it is.  Before the last quote of all it is a name's own last byte, which
 * browsers don't escape.
 */

static u_char *
ngx_iv_form_quoted(u_char *p, u_char *last, ngx_str_t *value)
{
    u_char  *dst;

    value->data = p;
    dst = p;

    while (p < last && *p != '"') {

        if (*p == '\\' && last - p > 2 && (p[1] == '"' || p[1] == '\\')) {
            p++;
        }

        *dst++ = *p++;
    }

    if (p == last) {
        return NULL;
    }

    value->len = dst - value->data;

    return p + 1;
}


ngx_uint_t
ngx_iv_form_is(const ngx_str_t *s, const char *word)
{
    return s->len == ngx_strlen(word)
           && ngx_strncasecmp(s->data, (u_char *) word, s->len) == 0;
}


/* RFC 9110 5.6.2 */

static ngx_uint_t
ngx_iv_form_token(u_char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
           || (ch >= '0' && ch <= '9')
           || (ch != '\0' && ngx_strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}
