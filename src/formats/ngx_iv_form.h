/*
 * multipart/form-data parser (RFC 7578, RFC 2046 5.1): resumable at any byte,
 * allocates nothing, hands out data where it lies in the input.  The sequence
 * of events never depends on how the bytes were split; pieces of data do, what
 * they add up to doesn't.
 *
 *     rc = ngx_iv_form_init(&f, &content_type);
 *
 *     while bytes arrive:
 *         do {
 *             rc = ngx_iv_form_feed(&f, &p, last);
 *             NGX_IV_FORM_PART:  f.part tells name, file name and so on
 *             NGX_IV_FORM_DATA:  f.data is a piece of the part's content; what
 *                                there is no room for: ngx_iv_form_leave()
 *             NGX_IV_FORM_END:   the part is complete
 *             NGX_AGAIN:         all is taken, p == last, more must come
 *             NGX_DONE:          as NGX_AGAIN, and the closing boundary has
 *                                been seen; go on feeding (an epilogue)
 *             > 0:               a code, f.why tells why; it stays at that
 *         } while (rc is an event and there is room);
 *
 *     after the last byte:
 *         rc = ngx_iv_form_finish(&f);
 *
 * Strict where readings differ, for what one program skips another may store:
 * lines end with CRLF, a part has one Content-Disposition: form-data with one
 * name, no nested multipart, no base64 or quoted-printable.  White space behind
 * a boundary is accepted, a line that only begins with the boundary is data.
 */

#ifndef NGX_IV_FORM_H
#define NGX_IV_FORM_H

#include "base/ngx_iv_code.h"

/* RFC 2046 5.1.1 */
#define NGX_IV_FORM_BOUNDARY    70
/* of one part, all lines: what Go and busboy take is 10 to 80 KiB, what a
 * browser sends is below 1 KiB, and it is the parser's memory */
#define NGX_IV_FORM_HEADER      8192
/* lines in a part's header: browsers send 2 */
#define NGX_IV_FORM_HEADERS     32
/* parts are cheap to send (60 bytes) and dear to take: 1,000 as in Go */
#define NGX_IV_FORM_PARTS       1000
/* bytes of a field's name, as sent: longer than a file system's names */
#define NGX_IV_FORM_NAME        255
/* bytes in the values of all fields that are not files: they are held in
 * memory; 50 tags and 100 owners take 26 KiB at most */
#define NGX_IV_FORM_FIELDS      65536
/* before the first and behind the last boundary: nothing of use stands there,
 * mail programs put a sentence */
#define NGX_IV_FORM_PREAMBLE    1024
#define NGX_IV_FORM_EPILOGUE    1024

/* events: neither nginx's nor ours */
#define NGX_IV_FORM_PART  -101
#define NGX_IV_FORM_DATA  -102
#define NGX_IV_FORM_END   -103


typedef struct {
    /* as sent but unescaped (%22 %0D %0A, backslashes); not cleaned, maybe no
     * UTF-8; in the parser's memory up to the call after NGX_IV_FORM_END */
    ngx_str_t       name;
    ngx_str_t       filename;           /* filename* before filename */
    ngx_str_t       content_type;       /* with its parameters; empty: none */
    ngx_str_t       content_digest;     /* values for ngx_iv_digest.h */
    ngx_str_t       repr_digest;
    ngx_str_t       content_md5;
    unsigned        has_filename:1;     /* also an empty one: a file input that
                                           nobody used sends no data then */
    unsigned        file:1;             /* has_filename, or of a type image/… or
                                           application/octet-stream */
} ngx_iv_form_part_t;


typedef struct {
    /* results */
    ngx_iv_form_part_t  part;
    ngx_str_t       data;               /* a piece of the part's content */
    const char     *why;                /* static text for a code, or NULL */
    ngx_uint_t      parts;              /* begun so far */
    unsigned        closed:1;           /* the closing boundary was seen */

    /* private */
    ngx_uint_t      state;
    ngx_int_t       code;
    size_t          matched;            /* bytes of delim seen so far */
    size_t          from;               /* 2: delim's CR LF were the header's */
    u_char         *held;               /* of delim, turned out to be data */
    u_char         *held_last;
    size_t          fields;             /* bytes of all field values */
    size_t          outside;            /* bytes of preamble or epilogue */
    ngx_uint_t      headers;
    size_t          nhead;
    size_t          line;               /* where the present line begins */
    unsigned        cr:1;               /* the last byte was a CR */
    unsigned        bare:1;             /* the line began behind a bare LF */
    unsigned        open:1;             /* a part is: no END for it yet */
    unsigned        own:1;              /* data lies in delim */
    size_t          ndelim;             /* CR LF -- boundary */
    u_char          delim[4 + NGX_IV_FORM_BOUNDARY + 2];
    u_char          skip[256];          /* from delim's last byte on */
    u_char          head[NGX_IV_FORM_HEADER];
} ngx_iv_form_t;


/*
 * NGX_OK; NGX_DECLINED: another type than multipart/form-data;
 * NGX_IV_MALFORMED_FORM: no or a bad boundary.
 */
ngx_int_t ngx_iv_form_init(ngx_iv_form_t *f, const ngx_str_t *content_type);

/* takes bytes from *p up to last; returns an event or a code, see above.
 * A piece of data is valid until the next call, while the input is. */
ngx_int_t ngx_iv_form_feed(ngx_iv_form_t *f, const u_char **p,
    const u_char *last);

/*
 * After NGX_IV_FORM_DATA, before anything else: the last n bytes of f->data
 * were not taken, the next ngx_iv_form_feed() gives them again.  *p goes back:
 * keep the input from there on, or pass the same bytes again later.
 */
void ngx_iv_form_leave(ngx_iv_form_t *f, const u_char **p, size_t n);

/* all bytes are in.  NGX_OK: the form is whole; else a code. */
ngx_int_t ngx_iv_form_finish(ngx_iv_form_t *f);


#endif
