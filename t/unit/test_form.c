/*
 * sources: src/formats/ngx_iv_form.c src/formats/ngx_iv_form_part.c
 *     src/formats/ngx_iv_name.c src/base/ngx_iv_str.c
 * libs: -lcrypto
 */

#include "iv_test.h"
#include "formats/ngx_iv_form.h"

#include <stdlib.h>


#define CD    "Content-Disposition: form-data; name=\"a\"\r\n"
#define FILE_                                                                 \
    "Content-Disposition: form-data; name=\"f\"; filename=\"x.png\"\r\n"
#define TYPE  "multipart/form-data; boundary=AaB03x"


/* what a form is told to be, as text: "[name|file|type](data)…" and a code */

static char           told[1 << 17];
static size_t         ntold;
static ngx_iv_form_t  form;


static void
tell(const void *p, size_t n)
{
    if (n && ntold + n < sizeof(told)) {
        memcpy(told + ntold, p, n);
        ntold += n;
        told[ntold] = '\0';
    }
}


static ngx_int_t
event(ngx_int_t rc, const u_char **p, size_t room)
{
    size_t  n;

    switch (rc) {

    case NGX_IV_FORM_PART:
        tell("[", 1);
        tell(form.part.name.data, form.part.name.len);
        if (form.part.has_filename) {
            tell("|", 1);
            tell(form.part.filename.data, form.part.filename.len);
        }
        if (form.part.content_type.len) {
            tell("|", 1);
            tell(form.part.content_type.data, form.part.content_type.len);
        }
        tell(form.part.file ? "]F(" : "](", form.part.file ? 3 : 2);
        return NGX_OK;

    case NGX_IV_FORM_DATA:
        n = form.data.len;
        OK(n > 0);
        if (n > room) {
            tell(form.data.data, room);
            ngx_iv_form_leave(&form, p, n - room);
            EQ_INT(form.data.len, room);
            return NGX_OK;
        }
        tell(form.data.data, n);
        return NGX_OK;

    case NGX_IV_FORM_END:
        tell(")", 1);
        return NGX_OK;
    }

    return rc;
}


/* each piece in a heap block of its own, of which bytes left are moved on */

static ngx_int_t
run(const char *type, const char *body, size_t len, size_t first, size_t step,
    size_t room)
{
    u_char        *copy;
    size_t         i, n;
    ngx_int_t      rc;
    ngx_str_t      ct;
    const u_char  *p;

    ntold = 0;
    told[0] = '\0';

    ct.data = (u_char *) type;
    ct.len = strlen(type);
    rc = ngx_iv_form_init(&form, &ct);

    if (rc != NGX_OK) {
        return rc;
    }

    for (i = 0; i < len; /* void */) {
        n = ngx_min(i == 0 && first ? first : step, len - i);
        copy = malloc(n);
        memcpy(copy, body + i, n);
        p = copy;

        do {
            rc = event(ngx_iv_form_feed(&form, &p, copy + n), &p, room);
        } while (rc == NGX_OK);

        if (rc == NGX_AGAIN || rc == NGX_DONE) {
            OK(p == copy + n);
            OK((rc == NGX_DONE) == form.closed);

        } else {
            OK(rc > 0);
            EQ_INT(ngx_iv_form_feed(&form, &p, copy + n), rc);
        }

        i += n;
        free(copy);

        if (rc > 0) {
            break;
        }
    }

    rc = ngx_iv_form_finish(&form);
    OK((rc == NGX_OK) == (form.why == NULL));
    EQ_INT(ngx_iv_form_finish(&form), rc);

    return rc;
}


/* the same in all splits in two, byte by byte, and with little room */

static void
same(const char *type, const char *body, size_t len, ngx_int_t want,
    const char *text)
{
    char        *first;
    size_t       i;
    ngx_int_t    rc;
    const char  *why;

    rc = run(type, body, len, 0, len, (size_t) -1);
    EQ_INT(rc, want);

    if (text) {
        EQ_MEM(told, text, strlen(text));
        EQ_INT(ntold, strlen(text));
    }

    first = strdup(told);
    why = form.why;

    for (i = 1; i < len; i++) {
        EQ_INT(run(type, body, len, i, len, (size_t) -1), want);
        OK(strcmp(told, first) == 0);
        OK(form.why == why);
    }

    for (i = 1; i < 4; i++) {
        EQ_INT(run(type, body, len, 0, i, (size_t) -1), want);
        OK(strcmp(told, first) == 0);
        EQ_INT(run(type, body, len, 0, 5 * i, 1), want);
        OK(strcmp(told, first) == 0);
        EQ_INT(run(type, body, len, 0, len, i), want);
        OK(strcmp(told, first) == 0);
        OK(form.why == why);
    }

    free(first);
}

#define GOOD(body, text)                                                      \
    same(TYPE, body, sizeof(body) - 1, NGX_OK, text)
#define WITH(boundary, body, text)                                            \
    same("multipart/form-data; boundary=" boundary, body, sizeof(body) - 1,   \
         NGX_OK, text)
#define BAD(body)                                                             \
    same(TYPE, body, sizeof(body) - 1, NGX_IV_MALFORMED_FORM, NULL)

/* one part with this header */
#define PART(header, text)                                                    \
    GOOD("--AaB03x\r\n" header "\r\n1\r\n--AaB03x--\r\n", text)
#define BADPART(header)                                                       \
    BAD("--AaB03x\r\n" header "\r\n1\r\n--AaB03x--\r\n")


static void
test_framing(void)
{
    GOOD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x--\r\n", "[a](hello)");
    GOOD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x--", "[a](hello)");
    GOOD("--AaB03x\r\n" CD "\r\n1\r\n--AaB03x\r\n" FILE_
         "Content-Type: image/png\r\n\r\n\x89PNG\r\n\r\n--AaB03x\r\n"
         CD "\r\n2\r\n--AaB03x--\r\n",
         "[a](1)[f|x.png|image/png]F(\x89PNG\r\n)[a](2)");

    /* nothing, no data, no body at all */
    GOOD("--AaB03x--\r\n", "");
    GOOD("--AaB03x\r\n" CD "\r\n\r\n--AaB03x--\r\n", "[a]()");
    GOOD("--AaB03x\r\n" CD "\r\n--AaB03x--\r\n", "[a]()");
    GOOD("--AaB03x\r\n" CD "\r\n--AaB03xyz\r\n--AaB03x--\r\n",
         "[a](--AaB03xyz)");
    GOOD("--AaB03x\r\n" CD "\r\n--AaB0\r\n--AaB03x--\r\n", "[a](--AaB0)");

    /* preamble, epilogue, padding */
    GOOD("\r\n--AaB03x\r\n" CD "\r\n1\r\n--AaB03x--\r\n", "[a](1)");
    GOOD("text\r\n--AaB03\r\nx--AaB03x\r\n\r\n--AaB03x \t \r\n" CD
         "\r\n1\r\n--AaB03x\t\r\n" CD "\r\n2\r\n--AaB03x--  \r\nby\ne\r\n"
         "--AaB03x\r\n", "[a](1)[a](2)");
    GOOD("--AaB03xy\r\n--AaB03x-\r\n--AaB03x\r\n" CD "\r\n1\r\n--AaB03x--",
         "[a](1)");

    /* what looks like a boundary */
    GOOD("--AaB03x\r\n" CD "\r\n\r\n\r\n--AaB03\r\n--AaB03y\r\n\r\r\n--\r\n-"
         "\r\n--AaB03xy--AaB03x\r\r\n-AaB03x\n--AaB03x\r\n--AaB03x-\r\n"
         "--AaB03x-x\r\n--AaB03x.\r\n\r\n--AaB03x--",
         "[a](\r\n\r\n--AaB03\r\n--AaB03y\r\n\r\r\n--\r\n-"
         "\r\n--AaB03xy--AaB03x\r\r\n-AaB03x\n--AaB03x\r\n--AaB03x-\r\n"
         "--AaB03x-x\r\n--AaB03x.\r\n)");

    BAD("");
    BAD("hello");
    BAD("--AaB03x");
    BAD("--AaB03x\r\n");
    BAD("--AaB03x-");
    BAD("--AaB03x\r\n" CD);
    BAD("--AaB03x\r\n" CD "\r\n");
    BAD("--AaB03x\r\n" CD "\r\nhello");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x-");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x\r\n");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x--\r");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x--\rx");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x--x\r\n");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x x\r\n");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--AaB03x\rx\r\n");
    BAD("--AaB03x\r\n" CD "\r\nhello\r\n--other--\r\n");

    /* line feeds alone, anywhere in the frame */
    BAD("--AaB03x\nContent-Disposition: form-data; name=\"a\"\n\nhello\n"
        "--AaB03x--\n");
    BAD("x\n--AaB03x\r\n" CD "\r\n1\r\n--AaB03x--");
    BAD("--AaB03x\r\nContent-Disposition: form-data; name=\"a\"\n\r\n1\r\n"
        "--AaB03x--");
    BAD("--AaB03x\r\n" CD "\n1\r\n--AaB03x--");
    BAD("--AaB03x\r\n" CD "\r\n1\n--AaB03x--\r\n");
    BAD("--AaB03x\r\n" CD "\r\n1\r\n--AaB03x\n" CD "\r\n2\r\n--AaB03x--");
    BAD("--AaB03x\r\n" CD "\r\n1\r\n--AaB03x--\n");
}


static void
test_header(void)
{
    PART("content-disposition:form-data;name=a\r\n", "[a](1)");
    PART("Content-Disposition: form-data; name=\"\"\r\n", "[](1)");
    PART("Content-Disposition: form-data;\r\n name=\"a\";\r\n\tfilename=b\r\n",
         "[a|b]F(1)");
    PART("X-A: b\r\nX-A: c\r\n" CD "X:\r\n", "[a](1)");
    PART("Content-Disposition: form-data; name=a; filename=\"\"\r\n",
         "[a|]F(1)");
    PART("Content-Disposition: form-data; name=\"a%22%0d%0Ab%20%\"; "
         "filename=\"100%25%22\"\r\n", "[a\"\r\nb%20%|100%25\"]F(1)");
    PART("Content-Disposition: form-data; name=\"a\\\"b\\\\c\"; "
         "filename=\"C:\\photos\\a.jpg\"\r\n",
         "[a\"b\\c|C:\\photos\\a.jpg]F(1)");
    PART("Content-Disposition: form-data; name=a; filename=\"x\\\"\r\n",
         "[a|x\\]F(1)");
    PART("Content-Disposition: form-data; name=a; filename=\xc3\xa9.png\r\n",
         "[a|\xc3\xa9.png]F(1)");
    PART("Content-Disposition: form-data; name=a; filename=x; "
         "filename*=UTF-8''%e2%82%ac.png\r\n", "[a|\xe2\x82\xac.png]F(1)");
    PART("Content-Disposition: form-data; filename*=iso-8859-1'en'%E9.png; "
         "filename=x; name=a\r\n", "[a|\xc3\xa9.png]F(1)");
    PART("Content-Disposition: form-data; name=a; filename=x; "
         "filename*=UTF-8''%ff\r\n", "[a|x]F(1)");
    PART("Content-Disposition: form-data; name=a; filename*=zzz\r\n",
         "[a|]F(1)");
    PART("Content-Disposition: form-data ; name=a ;; size=3 ;\r\n", "[a](1)");

    /* files and fields */
    PART(CD "Content-Type: image/png; x=y\r\n", "[a|image/png; x=y]F(1)");
    PART(CD "Content-Type: Application/Octet-Stream\r\n",
         "[a|Application/Octet-Stream]F(1)");
    PART(CD "Content-Type: text/plain; charset=utf-8\r\n"
         "Content-Transfer-Encoding: 8BIT\r\n",
         "[a|text/plain; charset=utf-8](1)");
    PART(CD "Content-Transfer-Encoding: binary\r\n", "[a](1)");
    PART(CD "Content-Transfer-Encoding: 7bit\r\n", "[a](1)");

    BADPART("");
    BADPART("X-A: b\r\n");
    BADPART(" " CD);
    BADPART(CD "x\r\n");
    BADPART(CD ": x\r\n");
    BADPART(CD "X : x\r\n");
    BADPART(CD "X: \x01\r\n");
    BADPART(CD "X: \x7f\r\n");
    BADPART(CD "X: a\rb\r\n");
    BADPART(CD CD);
    BADPART(CD "Content-Type: a/b\r\ncontent-type: a/b\r\n");
    BADPART(CD "Content-Transfer-Encoding: base64\r\n");
    BADPART(CD "Content-Transfer-Encoding: quoted-printable\r\n");
    BADPART(CD "Content-Type: multipart/mixed; boundary=x\r\n");
    BADPART("Content-Disposition: form-data\r\n");
    BADPART("Content-Disposition: attachment; name=a\r\n");
    BADPART("Content-Disposition: form-data; filename=a\r\n");
    BADPART("Content-Disposition: form-data; name=a; name=a\r\n");
    BADPART("Content-Disposition: form-data; name=a; NAME=b\r\n");
    BADPART("Content-Disposition: form-data; name=a; filename=a; filename=b"
            "\r\n");
    BADPART("Content-Disposition: form-data; name=\"a\r\n");
    BADPART("Content-Disposition: form-data; name=\"a\" filename=b\r\n");
    BADPART("Content-Disposition: form-data name=a\r\n");
    BADPART("Content-Disposition: form-data; name=\r\n");
    BADPART("Content-Disposition: form-data; name\r\n");
    BADPART("Content-Disposition: form-data; =a\r\n");
    BADPART("Content-Disposition: form-data; name=a\"b\r\n");
    BADPART("Content-Disposition:\r\n");
}


static void
test_digests(void)
{
    EQ_INT(run(TYPE, "--AaB03x\r\n" FILE_ "Content-Digest: sha-256=:AA==:\r\n"
               "Repr-Digest:  b \r\nContent-MD5: c\r\n\r\n1\r\n--AaB03x", 143,
               0, 143, 99), NGX_IV_MALFORMED_FORM);
    EQ_STR(form.part.content_digest, "sha-256=:AA==:");
    EQ_STR(form.part.repr_digest, "b");
    EQ_STR(form.part.content_md5, "c");
}


static ngx_int_t
init(const char *type)
{
    ngx_str_t  s;

    s.data = (u_char *) type;
    s.len = strlen(type);

    return ngx_iv_form_init(&form, &s);
}


static void
test_boundary(void)
{
    size_t  i;
    char    type[10000];

    static const char  *good[] = {
        "multipart/form-data; boundary=a",
        "Multipart/Form-Data;BOUNDARY=\"a\"",
        " multipart/form-data ; charset=utf-8 ; boundary=a ;",
        "multipart/form-data; boundary=\"\\a\\\"\"x",
        "multipart/form-data; boundary=\"a b'()+_,-./:=?c\"",
        "multipart/form-data; boundary=a:b=c/d",
        "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
    };

    static const char  *bad[] = {
        "multipart/form-data", "multipart/form-data;",
        "multipart/form-data; boundary", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=a; boundary=a",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=a, multipart/form-data; boundary=b",
        "multipart/form-data boundary=a",
        "multipart/form-data, boundary=a",
        "multipart/form-data; boundary=a&b", "multipart/form-data; boundary=<",
        "multipart/form-data; boundary=\xc3\xa9",
        "multipart/form-data; boundary=\"a\\\\b\"",
    };

    static const char  *other[] = {
        "", "multipart/mixed; boundary=a", "multipart/form-dataX; boundary=a",
        "image/png", "multipart", "application/x-www-form-urlencoded",
    };

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        /* a quote inside is no boundary's character */
        EQ_INT(init(good[i]), i == 3 ? NGX_IV_MALFORMED_FORM : NGX_OK);
    }

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        EQ_INT(init(bad[i]), NGX_IV_MALFORMED_FORM);
        OK(form.why != NULL);
    }

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        EQ_INT(init(other[i]), NGX_DECLINED);
    }

    snprintf(type, sizeof(type), "multipart/form-data; boundary=%070d", 1);
    EQ_INT(init(type), NGX_OK);
    snprintf(type, sizeof(type), "multipart/form-data; boundary=%071d", 1);
    EQ_INT(init(type), NGX_IV_MALFORMED_FORM);
    snprintf(type, sizeof(type), "multipart/form-data; boundary=%09000d", 1);
    EQ_INT(init(type), NGX_IV_MALFORMED_FORM);

    WITH("\"a b\"", "--a b\r\n" CD "\r\n\r\n--a\r\n--a b--",
         "[a](\r\n--a)");
    WITH("-", "---\r\n" CD "\r\n\r\n--\r\n---.\r\n-----",
         "[a](\r\n--\r\n---.)");
}


/* a form of n bytes between two texts */

static ngx_int_t
long_form(const char *before, size_t n, const char *what, const char *after,
    size_t step)
{
    char       *body, *p;
    size_t      i, k;
    ngx_int_t   rc;

    k = strlen(what);
    body = malloc(strlen(before) + n * k + strlen(after) + 1);
    p = body + sprintf(body, "%s", before);

    for (i = 0; i < n; i++) {
        memcpy(p, what, k);
        p += k;
    }

    p += sprintf(p, "%s", after);
    rc = run(TYPE, body, p - body, 0, step, (size_t) -1);
    free(body);

    return rc;
}


static void
test_limits(void)
{
    size_t   i, n;
    size_t  steps[] = { 1 << 20, 997, 1 };

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {

        /* header bytes: with CD, "X: ", three CR LF */
        n = NGX_IV_FORM_HEADER - (sizeof(CD) - 1) - 3 - 4;
        EQ_INT(long_form("--AaB03x\r\n" CD "X: ", n, "y",
                         "\r\n\r\n1\r\n--AaB03x--", steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x\r\n" CD "X: ", n + 1, "y",
                         "\r\n\r\n1\r\n--AaB03x--", steps[i]),
               NGX_IV_TOO_LARGE);

        EQ_INT(long_form("--AaB03x\r\n" CD, NGX_IV_FORM_HEADERS - 1,
                         "X: y\r\n", "\r\n1\r\n--AaB03x--", steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x\r\n" CD, NGX_IV_FORM_HEADERS,
                         "X: y\r\n", "\r\n1\r\n--AaB03x--", steps[i]),
               NGX_IV_TOO_LARGE);

        EQ_INT(long_form("", NGX_IV_FORM_PARTS,
                         "--AaB03x\r\n" CD "\r\n\r\n", "--AaB03x--", steps[i]),
               NGX_OK);
        EQ_INT(long_form("", NGX_IV_FORM_PARTS + 1,
                         "--AaB03x\r\n" CD "\r\n\r\n", "--AaB03x--", steps[i]),
               NGX_IV_TOO_LARGE);

        EQ_INT(long_form("--AaB03x\r\nContent-Disposition: form-data; name=",
                         NGX_IV_FORM_NAME, "n", "\r\n\r\n1\r\n--AaB03x--",
                         steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x\r\nContent-Disposition: form-data; name=",
                         NGX_IV_FORM_NAME + 1, "n", "\r\n\r\n1\r\n--AaB03x--",
                         steps[i]), NGX_IV_TOO_LARGE);

        EQ_INT(long_form("--AaB03x\r\n" CD "\r\n", NGX_IV_FORM_FIELDS / 2,
                         "\rv", "\r\n--AaB03x--", steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x\r\n" CD "\r\n", NGX_IV_FORM_FIELDS / 2,
                         "\rv", "x\r\n--AaB03x--", steps[i]),
               NGX_IV_TOO_LARGE);
        EQ_INT(ntold, 4 + NGX_IV_FORM_FIELDS);
        EQ_INT(long_form("--AaB03x\r\n" FILE_ "\r\n", NGX_IV_FORM_FIELDS,
                         "v", "x\r\n--AaB03x--", steps[i]), NGX_OK);

        EQ_INT(long_form("", NGX_IV_FORM_PREAMBLE - 2 - 8, "p",
                         "\r\n--AaB03x--", steps[i]), NGX_OK);
        EQ_INT(long_form("", NGX_IV_FORM_PREAMBLE + 1, "p",
                         "\r\n--AaB03x--", steps[i]), NGX_IV_TOO_LARGE);
        EQ_INT(long_form("--AaB03x--\r\n", NGX_IV_FORM_EPILOGUE - 2, "e", "",
                         steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x--\r\n", NGX_IV_FORM_EPILOGUE - 1, "e", "",
                         steps[i]), NGX_IV_TOO_LARGE);

        EQ_INT(long_form("--AaB03x", NGX_IV_FORM_HEADER, " ",
                         "\r\n" CD "\r\n1\r\n--AaB03x--", steps[i]), NGX_OK);
        EQ_INT(long_form("--AaB03x", NGX_IV_FORM_HEADER + 1, " ",
                         "\r\n" CD "\r\n1\r\n--AaB03x--", steps[i]),
               NGX_IV_TOO_LARGE);
    }

    OK(sizeof(ngx_iv_form_t) < 12 * 1024);
}


int
main(void)
{
    RUN(test_framing);
    RUN(test_header);
    RUN(test_digests);
    RUN(test_boundary);
    RUN(test_limits);

    return iv_test_done();
}
