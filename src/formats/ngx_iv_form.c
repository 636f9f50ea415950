/*
 * multipart/form-data: the boundaries and what is between them.
 */

#include "formats/ngx_iv_form_private.h"


typedef enum {
    ngx_iv_form_line = 0,           /* preamble: at the begin of a line */
    ngx_iv_form_text,               /* preamble: in a line */
    ngx_iv_form_delim,              /* behind CR LF -- boundary */
    ngx_iv_form_dash,               /* and a hyphen */
    ngx_iv_form_pad,                /* or white space */
    ngx_iv_form_lf,                 /* or a CR */
    ngx_iv_form_header,
    ngx_iv_form_data,
    ngx_iv_form_close,              /* behind CR LF -- boundary -- */
    ngx_iv_form_close_lf,
    ngx_iv_form_epilogue
} ngx_iv_form_state_e;


static ngx_int_t ngx_iv_form_boundary(ngx_iv_form_t *f, u_char *p,
    u_char *last);
static void ngx_iv_form_prepare(ngx_iv_form_t *f, const ngx_str_t *boundary);
static ngx_int_t ngx_iv_form_feed_preamble(ngx_iv_form_t *f, u_char ch);
static ngx_int_t ngx_iv_form_feed_delim(ngx_iv_form_t *f, const u_char **p);
static ngx_int_t ngx_iv_form_feed_close(ngx_iv_form_t *f, u_char ch);
static ngx_int_t ngx_iv_form_feed_header(ngx_iv_form_t *f, u_char ch);
static ngx_int_t ngx_iv_form_feed_data(ngx_iv_form_t *f, const u_char **p,
    const u_char *last);
static const u_char *ngx_iv_form_find(const ngx_iv_form_t *f, const u_char *p,
    const u_char *last, size_t *matched);
static void ngx_iv_form_look_alike(ngx_iv_form_t *f, size_t n);
static ngx_int_t ngx_iv_form_ended(ngx_iv_form_t *f);
static ngx_int_t ngx_iv_form_piece(ngx_iv_form_t *f, const u_char *p,
    size_t n);


ngx_int_t
ngx_iv_form_init(ngx_iv_form_t *f, const ngx_str_t *content_type)
{
    u_char     *p, *last;
    ngx_str_t   type;

    ngx_memzero(f, offsetof(ngx_iv_form_t, head));

    /* parameters are unescaped in place, but not in the request's header */

    if (content_type->len > sizeof(f->head)) {
        return ngx_iv_form_malformed(f, "Content-Type is too long");
    }

    if (content_type->len) {
        ngx_memcpy(f->head, content_type->data, content_type->len);
    }

    p = f->head;
    last = p + content_type->len;

    ngx_iv_form_type(&p, last, &type);

    if (!ngx_iv_form_is(&type, "multipart/form-data")) {
        return NGX_DECLINED;
    }

    return ngx_iv_form_boundary(f, p, last);
}


static ngx_int_t
ngx_iv_form_boundary(ngx_iv_form_t *f, u_char *p, u_char *last)
{
    u_char      ch;
    size_t      i;
    ngx_int_t   rc;
    ngx_str_t   name, value, boundary;

    ngx_str_null(&boundary);

    while ((rc = ngx_iv_form_param(&p, last, &name, &value)) == NGX_OK) {

        if (!ngx_iv_form_is(&name, "boundary")) {
            continue;
        }

        if (boundary.data != NULL) {
            return ngx_iv_form_malformed(f, "two boundaries are declared");
        }

        boundary = value;
    }

    if (rc == NGX_ERROR) {
        return ngx_iv_form_malformed(f, "malformed Content-Type");
    }

    if (boundary.len == 0) {
        return ngx_iv_form_malformed(f, "no boundary is declared");
    }

    if (boundary.len > NGX_IV_FORM_BOUNDARY) {
        return ngx_iv_form_malformed(f, "the boundary is too long");
    }

    for (i = 0; i < boundary.len; i++) {
        ch = boundary.data[i];

        if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
            || (ch >= '0' && ch <= '9'))
        {
            continue;
        }

        if (ch == '\0' || ngx_strchr("'()+_,-./:=? ", ch) == NULL) {
            return ngx_iv_form_malformed(f, "bad character in the boundary");
        }
    }

    if (boundary.data[boundary.len - 1] == ' ') {
        return ngx_iv_form_malformed(f, "the boundary ends with a blank");
    }

    ngx_iv_form_prepare(f, &boundary);

    return NGX_OK;
}


/* the table is Horspool's: how far to go on, by the byte under delim's last */

static void
ngx_iv_form_prepare(ngx_iv_form_t *f, const ngx_str_t *boundary)
{
    size_t   i, n;
    u_char  *p;

    p = ngx_cpymem(f->delim, "\r\n--", 4);
    p = ngx_cpymem(p, boundary->data, boundary->len);

    f->ndelim = p - f->delim;

    /* a look-alike may be one hyphen longer */
    *p = '-';

    n = f->ndelim;

    ngx_memset(f->skip, (int) n, sizeof(f->skip));

    for (i = 0; i < n - 1; i++) {
        f->skip[f->delim[i]] = (u_char) (n - 1 - i);
    }

    f->held = f->delim;
    f->held_last = f->delim;
}


ngx_int_t
ngx_iv_form_feed(ngx_iv_form_t *f, const u_char **p, const u_char *last)
{
    ngx_int_t  rc;

    if (f->code) {
        return f->code;
    }

    while (*p < last || f->held < f->held_last) {

        switch (f->state) {

        case ngx_iv_form_line:
        case ngx_iv_form_text:
            rc = ngx_iv_form_feed_preamble(f, *(*p)++);
            break;

        case ngx_iv_form_delim:
        case ngx_iv_form_dash:
        case ngx_iv_form_pad:
        case ngx_iv_form_lf:
            rc = ngx_iv_form_feed_delim(f, p);
            break;

        case ngx_iv_form_header:
            rc = ngx_iv_form_feed_header(f, *(*p)++);
            break;

        case ngx_iv_form_data:
            rc = ngx_iv_form_feed_data(f, p, last);
            break;

        default: /* close, close_lf, epilogue */
            rc = ngx_iv_form_feed_close(f, *(*p)++);
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return f->closed ? NGX_DONE : NGX_AGAIN;
}


void
ngx_iv_form_leave(ngx_iv_form_t *f, const u_char **p, size_t n)
{
    f->data.len -= n;

    if (f->own) {
        f->held -= n;

    } else {
        *p -= n;
    }

    if (!f->part.file) {
        f->fields -= n;
    }
}


ngx_int_t
ngx_iv_form_finish(ngx_iv_form_t *f)
{
    if (f->code) {
        return f->code;
    }

    switch (f->state) {

    case ngx_iv_form_close:
    case ngx_iv_form_epilogue:
        return NGX_OK;

    case ngx_iv_form_close_lf:
        return ngx_iv_form_malformed(f, "CR without LF behind a boundary");
    }

    return ngx_iv_form_malformed(f, f->parts ? "the last boundary is missing"
                                             : "the boundary is missing");
}


ngx_int_t
ngx_iv_form_fail(ngx_iv_form_t *f, ngx_int_t code, const char *why)
{
    f->code = code;
    f->why = why;

    return code;
}


/*
 * Lines, of which one may be the first boundary.  One behind a bare LF would
 * be a boundary for some programs and text for others.
 */

static ngx_int_t
ngx_iv_form_feed_preamble(ngx_iv_form_t *f, u_char ch)
{
    f->outside++;

    if (f->state == ngx_iv_form_line && ch == f->delim[2 + f->matched]) {

        if (2 + ++f->matched < f->ndelim) {
            return NGX_OK;
        }

        if (f->bare) {
            return ngx_iv_form_malformed(f, "LF without CR before a boundary");
        }

        f->state = ngx_iv_form_delim;
        f->nhead = 0;

        return NGX_OK;
    }

    if (f->outside > NGX_IV_FORM_PREAMBLE) {
        return ngx_iv_form_too_large(f, "too much before the first boundary");
    }

    f->state = ngx_iv_form_text;

    if (ch == '\n') {
        f->state = ngx_iv_form_line;
        f->matched = 0;
        f->bare = !f->cr;
    }

    f->cr = (ch == '\r');

    return NGX_OK;
}


/* what follows a boundary tells whether it is one */

static ngx_int_t
ngx_iv_form_feed_delim(ngx_iv_form_t *f, const u_char **p)
{
    u_char  ch;

    ch = **p;

    if (f->state == ngx_iv_form_lf) {

        if (ch != '\n') {
            return ngx_iv_form_malformed(f, "CR without LF behind a boundary");
        }

        (*p)++;

        if (++f->parts > NGX_IV_FORM_PARTS) {
            return ngx_iv_form_too_large(f, "too many parts");
        }

        f->state = ngx_iv_form_header;
        f->headers = 0;
        f->nhead = 0;
        f->line = 0;

        return ngx_iv_form_ended(f);
    }

    if (f->state == ngx_iv_form_dash) {

        if (ch != '-') {
            ngx_iv_form_look_alike(f, f->ndelim + 1);
            return NGX_OK;
        }

        (*p)++;
        f->state = ngx_iv_form_close;
        f->outside = 0;
        f->closed = 1;

        return ngx_iv_form_ended(f);
    }

    if (ch == '\r') {
        f->state = ngx_iv_form_lf;

    } else if (ch == ' ' || ch == '\t') {

        if (++f->nhead > NGX_IV_FORM_HEADER) {
            return ngx_iv_form_too_large(f, "too many blanks at a boundary");
        }

        f->state = ngx_iv_form_pad;

    } else if (ch == '\n') {
        return ngx_iv_form_malformed(f, "LF without CR behind a boundary");

    } else if (f->state == ngx_iv_form_pad) {
        return ngx_iv_form_malformed(f, "text behind a boundary");

    } else if (ch == '-') {
        f->state = ngx_iv_form_dash;

    } else {
        ngx_iv_form_look_alike(f, f->ndelim);
        return NGX_OK;
    }

    (*p)++;

    return NGX_OK;
}


/* n bytes that began like a boundary were none */

static void
ngx_iv_form_look_alike(ngx_iv_form_t *f, size_t n)
{
    f->matched = 0;

    if (f->parts == 0) {
        f->state = ngx_iv_form_text;
        f->cr = 0;
        return;
    }

    f->state = ngx_iv_form_data;
    f->held = f->delim + f->from;
    f->held_last = f->delim + n;
    f->from = 0;
}


static ngx_int_t
ngx_iv_form_ended(ngx_iv_form_t *f)
{
    if (!f->open) {
        return NGX_OK;
    }

    f->open = 0;

    return NGX_IV_FORM_END;
}


static ngx_int_t
ngx_iv_form_feed_close(ngx_iv_form_t *f, u_char ch)
{
    if (++f->outside > NGX_IV_FORM_EPILOGUE) {
        return ngx_iv_form_too_large(f, "too much behind the last boundary");
    }

    switch (f->state) {

    case ngx_iv_form_close:

        if (ch == '\r') {
            f->state = ngx_iv_form_close_lf;

        } else if (ch == '\n') {
            return ngx_iv_form_malformed(f, "LF without CR behind a boundary");

        } else if (ch != ' ' && ch != '\t') {
            return ngx_iv_form_malformed(f, "text behind a boundary");
        }

        return NGX_OK;

    case ngx_iv_form_close_lf:

        if (ch != '\n') {
            return ngx_iv_form_malformed(f, "CR without LF behind a boundary");
        }

        f->state = ngx_iv_form_epilogue;

        return NGX_OK;
    }

    return NGX_OK;
}


/* gathers the lines up to the empty one */

static ngx_int_t
ngx_iv_form_feed_header(ngx_iv_form_t *f, u_char ch)
{
    size_t     n;
    ngx_int_t  rc;

    n = f->nhead - f->line;

    if (n && f->head[f->nhead - 1] == '\r') {

        if (ch != '\n') {
            return ngx_iv_form_malformed(f, "CR without LF in a header");
        }

    } else if (ch == '\n') {
        return ngx_iv_form_malformed(f, "LF without CR in a header");

    } else if ((ch < 0x20 && ch != '\t' && ch != '\r') || ch == 0x7f) {
        return ngx_iv_form_malformed(f, "control character in a header");
    }

    if (f->nhead == NGX_IV_FORM_HEADER) {
        return ngx_iv_form_too_large(f, "a part's header is too long");
    }

    f->head[f->nhead++] = ch;

    if (ch != '\n') {
        return NGX_OK;
    }

    if (n > 1) {

        if (++f->headers > NGX_IV_FORM_HEADERS) {
            return ngx_iv_form_too_large(f, "too many lines in a header");
        }

        f->line = f->nhead;

        return NGX_OK;
    }

    rc = ngx_iv_form_part(f);

    if (rc != NGX_OK) {
        return rc;
    }

    /*
     * The empty line's CR LF may already be the boundary's: a part without a
     * body, by the letter of RFC 2046.
     */

    f->state = ngx_iv_form_data;
    f->matched = 2;
    f->from = 2;
    f->open = 1;

    return NGX_IV_FORM_PART;
}


static ngx_int_t
ngx_iv_form_feed_data(ngx_iv_form_t *f, const u_char **p, const u_char *last)
{
    size_t         n;
    ngx_int_t      rc;
    const u_char  *q;

    if (f->held < f->held_last) {
        rc = ngx_iv_form_piece(f, f->held, f->held_last - f->held);

        if (rc == NGX_IV_FORM_DATA) {
            f->own = 1;
            f->held += f->data.len;
        }

        return rc;
    }

    if (f->matched == 0) {

        q = ngx_iv_form_find(f, *p, last, &n);

        if (q > *p) {
            rc = ngx_iv_form_piece(f, *p, q - *p);

            if (rc == NGX_IV_FORM_DATA) {
                f->own = 0;
                *p += f->data.len;
            }

            return rc;
        }

        *p += n;
        f->matched = n;
    }

    /* a boundary that came in pieces */

    while (f->matched < f->ndelim) {

        if (*p == last) {
            return NGX_OK;
        }

        if (**p != f->delim[f->matched]) {
            ngx_iv_form_look_alike(f, f->matched);
            return NGX_OK;
        }

        (*p)++;
        f->matched++;
    }

    f->matched = 0;
    f->nhead = 0;
    f->state = ngx_iv_form_delim;

    return NGX_OK;
}


/*
 * Where delim begins or may begin: how much of it is there goes to *matched.
 * A CR is rare in images, so memchr() goes fast; where it isn't, the last byte
 * under delim tells how far to go, and no flood of CRs or of boundaries' bytes
 * makes each byte cost a comparison.
 */

static const u_char *
ngx_iv_form_find(const ngx_iv_form_t *f, const u_char *p, const u_char *last,
    size_t *matched)
{
    size_t  n, left;

    n = f->ndelim;

    while (p < last) {

        p = memchr(p, '\r', last - p);
        if (p == NULL) {
            break;
        }

        left = last - p;

        if (left < n) {

            if (ngx_memcmp(p, f->delim, left) == 0) {
                *matched = left;
                return p;
            }

            p++;
            continue;
        }

        if (p[n - 1] == f->delim[n - 1] && ngx_memcmp(p, f->delim, n) == 0) {
            *matched = n;
            return p;
        }

        p += f->skip[p[n - 1]];
    }

    *matched = 0;

    return last;
}


/* what is over the limit of a field is never handed out, in any split */

static ngx_int_t
ngx_iv_form_piece(ngx_iv_form_t *f, const u_char *p, size_t n)
{
    if (!f->part.file) {

        if (f->fields == NGX_IV_FORM_FIELDS) {
            return ngx_iv_form_too_large(f, "the fields are too long");
        }

        n = ngx_min(n, NGX_IV_FORM_FIELDS - f->fields);
        f->fields += n;
    }

    f->data.data = (u_char *) p;
    f->data.len = n;

    return NGX_IV_FORM_DATA;
}
