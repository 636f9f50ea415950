/*
 * JSON reader: no recursion, the tree itself is the stack.
 */

#include "formats/ngx_iv_json_read.h"
#include "formats/ngx_iv_utf8.h"
#include "base/ngx_iv_str.h"


typedef struct {
    ngx_pool_t          *pool;
    u_char              *p;
    u_char              *last;
    const char          *why;
    ngx_uint_t           depth;
    ngx_uint_t           nodes;
    ngx_iv_json_node_t  *parent;        /* the open array or object */
    ngx_iv_json_node_t  *root;
} ngx_iv_json_reader_t;


static ngx_int_t ngx_iv_json_read_all(ngx_iv_json_reader_t *r);
static ngx_int_t ngx_iv_json_read_value(ngx_iv_json_reader_t *r,
    const ngx_str_t *key);
static ngx_int_t ngx_iv_json_read_key(ngx_iv_json_reader_t *r,
    ngx_str_t *key);
static ngx_int_t ngx_iv_json_read_end(ngx_iv_json_reader_t *r);
static ngx_int_t ngx_iv_json_read_scalar(ngx_iv_json_reader_t *r,
    ngx_iv_json_node_t *node);
static ngx_int_t ngx_iv_json_read_word(ngx_iv_json_reader_t *r,
    const char *word);
static ngx_int_t ngx_iv_json_read_number(ngx_iv_json_reader_t *r,
    ngx_iv_json_node_t *node);
static void ngx_iv_json_read_int(ngx_iv_json_node_t *node,
    const u_char *point, const u_char *exp);
static ngx_int_t ngx_iv_json_read_tens(const u_char *p, const u_char *last);
static ngx_int_t ngx_iv_json_read_digit(int64_t *v, ngx_uint_t digit);
static ngx_int_t ngx_iv_json_read_string(ngx_iv_json_reader_t *r,
    ngx_str_t *s);
static ngx_int_t ngx_iv_json_read_unescape(ngx_iv_json_reader_t *r,
    ngx_str_t *s, const u_char *end);
static ngx_int_t ngx_iv_json_read_code(ngx_iv_json_reader_t *r, u_char **pos,
    u_char **out);
static ngx_int_t ngx_iv_json_read_u16(const u_char *p, uint32_t *v);
static void ngx_iv_json_read_blanks(ngx_iv_json_reader_t *r);
static size_t ngx_iv_json_read_digits(ngx_iv_json_reader_t *r);
static ngx_int_t ngx_iv_json_read_bad(ngx_iv_json_reader_t *r,
    const char *why);


ngx_int_t
ngx_iv_json_read(ngx_pool_t *pool, const ngx_str_t *text,
    ngx_iv_json_node_t **root, const char **why)
{
    ngx_int_t             rc;
    ngx_iv_json_reader_t  r;

    ngx_memzero(&r, sizeof(ngx_iv_json_reader_t));

    r.pool = pool;
    r.p = text->data;
    r.last = text->len ? text->data + text->len : text->data;

    if (text->len > NGX_IV_JSON_READ_SIZE) {
        rc = ngx_iv_json_read_bad(&r, "the JSON is too long");

    } else {
        rc = ngx_iv_json_read_all(&r);
    }

    *root = (rc == NGX_OK) ? r.root : NULL;
    *why = r.why;

    return rc;
}


ngx_iv_json_node_t *
ngx_iv_json_get(const ngx_iv_json_node_t *object, const char *key)
{
    size_t               len;
    ngx_iv_json_node_t  *node;

    if (object->type != NGX_IV_JSON_OBJECT) {
        return NULL;
    }

    len = ngx_strlen(key);

    for (node = object->first; node != NULL; node = node->next) {

        if (node->key.len == len
            && ngx_memcmp(node->key.data, key, len) == 0)
        {
            break;
        }
    }

    return node;
}


static ngx_int_t
ngx_iv_json_read_all(ngx_iv_json_reader_t *r)
{
    ngx_int_t   rc;
    ngx_str_t   key;

    do {
        ngx_iv_json_read_blanks(r);

        /* an empty array or object is the only one to end here */

        if (r->parent != NULL && r->parent->n == 0 && r->p < r->last
            && *r->p == (r->parent->type == NGX_IV_JSON_ARRAY ? ']' : '}'))
        {
            rc = ngx_iv_json_read_end(r);

        } else {
            ngx_str_null(&key);
            rc = NGX_OK;

            if (r->parent != NULL && r->parent->type == NGX_IV_JSON_OBJECT) {
                rc = ngx_iv_json_read_key(r, &key);
            }

            if (rc == NGX_OK) {
                rc = ngx_iv_json_read_value(r, &key);
            }

            if (rc == NGX_AGAIN) {
                /* opened: its first child is next */
                continue;
            }

            if (rc == NGX_OK && r->parent != NULL) {
                rc = ngx_iv_json_read_end(r);
            }
        }

        if (rc != NGX_OK) {
            return rc;
        }

    } while (r->parent != NULL);

    ngx_iv_json_read_blanks(r);

    if (r->p != r->last) {
        return ngx_iv_json_read_bad(r, "there is text behind the JSON");
    }

    return NGX_OK;
}


/* behind a child: a comma, or the ends of as many as end here */

static ngx_int_t
ngx_iv_json_read_end(ngx_iv_json_reader_t *r)
{
    u_char  ch;

    while (r->parent != NULL) {

        ngx_iv_json_read_blanks(r);

        if (r->p == r->last) {
            return ngx_iv_json_read_bad(r, "the JSON ends too early");
        }

        ch = *r->p++;

        if (ch == ',') {
            return NGX_OK;
        }

        if (ch != (r->parent->type == NGX_IV_JSON_ARRAY ? ']' : '}')) {
            return ngx_iv_json_read_bad(r, "a comma or an end is expected");
        }

        r->parent = r->parent->parent;
        r->depth--;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_json_read_key(ngx_iv_json_reader_t *r, ngx_str_t *key)
{
    ngx_int_t            rc;
    ngx_iv_json_node_t  *node;

    if (r->p == r->last || *r->p != '"') {
        return ngx_iv_json_read_bad(r, "a key is expected");
    }

    rc = ngx_iv_json_read_string(r, key);
    if (rc != NGX_OK) {
        return rc;
    }

    for (node = r->parent->first; node != NULL; node = node->next) {

        if (node->key.len == key->len
            && ngx_memcmp(node->key.data, key->data, key->len) == 0)
        {
            return ngx_iv_json_read_bad(r, "a key comes twice");
        }
    }

    if (r->parent->n == NGX_IV_JSON_READ_MEMBERS) {
        return ngx_iv_json_read_bad(r, "an object has too many members");
    }

    ngx_iv_json_read_blanks(r);

    if (r->p == r->last || *r->p != ':') {
        return ngx_iv_json_read_bad(r, "a colon is expected");
    }

    r->p++;
    ngx_iv_json_read_blanks(r);

    return NGX_OK;
}


/* NGX_AGAIN: an array or object was opened */

static ngx_int_t
ngx_iv_json_read_value(ngx_iv_json_reader_t *r, const ngx_str_t *key)
{
    ngx_iv_json_node_t  *node;

    if (r->p == r->last) {
        return ngx_iv_json_read_bad(r, "the JSON ends too early");
    }

    if (++r->nodes > NGX_IV_JSON_READ_NODES) {
        return ngx_iv_json_read_bad(r, "the JSON has too many values");
    }

    node = ngx_pcalloc(r->pool, sizeof(ngx_iv_json_node_t));
    if (node == NULL) {
        return NGX_ERROR;
    }

    node->key = *key;
    node->parent = r->parent;

    if (r->parent == NULL) {
        r->root = node;

    } else {

        if (r->parent->last == NULL) {
            r->parent->first = node;

        } else {
            r->parent->last->next = node;
        }

        r->parent->last = node;
        r->parent->n++;
    }

    if (*r->p != '[' && *r->p != '{') {
        return ngx_iv_json_read_scalar(r, node);
    }

    if (++r->depth > NGX_IV_JSON_READ_DEPTH) {
        return ngx_iv_json_read_bad(r, "the JSON is nested too deeply");
    }

    node->type = (*r->p == '[') ? NGX_IV_JSON_ARRAY : NGX_IV_JSON_OBJECT;
    r->parent = node;
    r->p++;

    return NGX_AGAIN;
}


static ngx_int_t
ngx_iv_json_read_scalar(ngx_iv_json_reader_t *r, ngx_iv_json_node_t *node)
{
    switch (*r->p) {

    case '"':
        node->type = NGX_IV_JSON_STRING;
        return ngx_iv_json_read_string(r, &node->str);

    case 't':
        node->type = NGX_IV_JSON_BOOL;
        node->num = 1;
        return ngx_iv_json_read_word(r, "true");

    case 'f':
        node->type = NGX_IV_JSON_BOOL;
        return ngx_iv_json_read_word(r, "false");

    case 'n':
        return ngx_iv_json_read_word(r, "null");
    }

    return ngx_iv_json_read_number(r, node);
}


static ngx_int_t
ngx_iv_json_read_word(ngx_iv_json_reader_t *r, const char *word)
{
    size_t  len;

    len = ngx_strlen(word);

    if ((size_t) (r->last - r->p) < len
        || ngx_memcmp(r->p, word, len) != 0)
    {
        return ngx_iv_json_read_bad(r, "a value is expected");
    }

    r->p += len;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_json_read_number(ngx_iv_json_reader_t *r, ngx_iv_json_node_t *node)
{
    size_t   n;
    u_char  *start, *point, *exp;

    start = r->p;
    point = NULL;
    exp = NULL;

    if (*r->p == '-') {
        r->p++;
    }

    n = (r->p < r->last && *r->p == '0');

    if (n) {
        r->p++;

    } else if (ngx_iv_json_read_digits(r) == 0) {
        return ngx_iv_json_read_bad(r, "a value is expected");
    }

    if (r->p < r->last && *r->p == '.') {
        point = r->p++;

        if (ngx_iv_json_read_digits(r) == 0) {
            return ngx_iv_json_read_bad(r, "a digit is expected");
        }
    }

    if (r->p < r->last && (*r->p == 'e' || *r->p == 'E')) {
        exp = r->p++;

        if (r->p < r->last && (*r->p == '+' || *r->p == '-')) {
            r->p++;
        }

        if (ngx_iv_json_read_digits(r) == 0) {
            return ngx_iv_json_read_bad(r, "a digit is expected");
        }
    }

    node->type = NGX_IV_JSON_NUMBER;
    node->str.data = start;
    node->str.len = r->p - start;

    ngx_iv_json_read_int(node, point, exp);

    return NGX_OK;
}


/*
 * A whole number, however it is written (48, 48.0, 4.8e1), unless it is too
 * large.  By its text, as a double would round; point, exp: where they are, or
 * NULL.
 */

static void
ngx_iv_json_read_int(ngx_iv_json_node_t *node, const u_char *point,
    const u_char *exp)
{
    int64_t        v;
    ngx_int_t      tens;
    ngx_uint_t     minus;
    const u_char  *p, *last;

    p = node->str.data;
    last = p + node->str.len;

    minus = (*p == '-');
    p += minus;

    tens = 0;

    if (exp) {
        tens = ngx_iv_json_read_tens(exp + 1, last);
        last = exp;
    }

    if (point) {
        tens -= last - point - 1;
    }

    while (tens < 0 && last > p && (last[-1] == '0' || last - 1 == point)) {
        last--;
        tens += (last != point);
    }

    for (v = 0; p < last; p++) {
        if (p != point && ngx_iv_json_read_digit(&v, *p - '0') != NGX_OK) {
            return;
        }
    }

    /* zero has no places; any other number ends this soon by its size */

    if (v == 0) {
        tens = 0;
    }

    for ( /* void */ ; tens > 0; tens--) {
        if (ngx_iv_json_read_digit(&v, 0) != NGX_OK) {
            return;
        }
    }

    if (tens < 0 || (!minus && v == INT64_MIN)) {
        return;
    }

    node->num = minus ? v : -v;
    node->integer = 1;
}


/* an exponent; one far beyond any text's length is cut */

static ngx_int_t
ngx_iv_json_read_tens(const u_char *p, const u_char *last)
{
    ngx_int_t   n;
    ngx_uint_t  minus;

    minus = (*p == '-');

    if (*p == '-' || *p == '+') {
        p++;
    }

    for (n = 0; p < last && n < 100000000; p++) {
        n = n * 10 + (*p - '0');
    }

    return minus ? -n : n;
}


/* one digit more, downwards, where there is one number more */

static ngx_int_t
ngx_iv_json_read_digit(int64_t *v, ngx_uint_t digit)
{
    if (*v < (INT64_MIN + (int64_t) digit) / 10) {
        return NGX_ERROR;
    }

    *v = *v * 10 - (int64_t) digit;

    return NGX_OK;
}


static size_t
ngx_iv_json_read_digits(ngx_iv_json_reader_t *r)
{
    u_char  *start;

    start = r->p;

    while (r->p < r->last && *r->p >= '0' && *r->p <= '9') {
        r->p++;
    }

    return r->p - start;
}


/* finds the end first: a string without escapes stays where it is */

static ngx_int_t
ngx_iv_json_read_string(ngx_iv_json_reader_t *r, ngx_str_t *s)
{
    size_t      n;
    u_char     *p;
    ngx_uint_t  escapes;

    escapes = 0;
    p = ++r->p;

    for ( ;; ) {

        if (p == r->last) {
            return ngx_iv_json_read_bad(r, "a string does not end");
        }

        if (*p == '"') {
            break;
        }

        if (*p < 0x20) {
            return ngx_iv_json_read_bad(r, "control character in a string");
        }

        if (*p == '\\') {

            if (r->last - p < 2) {
                return ngx_iv_json_read_bad(r, "a string does not end");
            }

            escapes = 1;
            p++;

            /* what is escaped is ASCII, or is refused below */
        }

        n = ngx_iv_utf8_char(p, r->last);

        if (n == 0) {
            return ngx_iv_json_read_bad(r, "a string is not UTF-8");
        }

        p += n;
    }

    s->data = r->p;
    s->len = p - r->p;

    if (escapes && ngx_iv_json_read_unescape(r, s, p) != NGX_OK) {
        return r->why ? NGX_IV_MALFORMED_JSON : NGX_ERROR;
    }

    r->p = p + 1;

    return NGX_OK;
}


/* no escape is shorter than what it means */

static ngx_int_t
ngx_iv_json_read_unescape(ngx_iv_json_reader_t *r, ngx_str_t *s,
    const u_char *end)
{
    u_char      *p, *dst;
    const char  *at;

    static const char  letters[] = "\"\\/bfnrt";
    static const char  meaning[] = "\"\\/\b\f\n\r\t";

    dst = ngx_pnalloc(r->pool, s->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    p = s->data;
    s->data = dst;

    while (p < end) {

        if (*p != '\\') {
            *dst++ = *p++;
            continue;
        }

        p++;

        if (*p == 'u') {

            if (ngx_iv_json_read_code(r, &p, &dst) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        at = (*p != '\0') ? ngx_strchr(letters, *p) : NULL;

        if (at == NULL) {
            return ngx_iv_json_read_bad(r, "unknown escape in a string");
        }

        *dst++ = (u_char) meaning[at - letters];
        p++;
    }

    s->len = dst - s->data;

    return NGX_OK;
}


/* *pos is at the "u"; the string's closing quote ends what is read too far */

static ngx_int_t
ngx_iv_json_read_code(ngx_iv_json_reader_t *r, u_char **pos, u_char **out)
{
    u_char    *p, *dst;
    uint32_t   v, low;

    p = *pos + 1;
    dst = *out;

    if (r->last - p < 4 || ngx_iv_json_read_u16(p, &v) != NGX_OK) {
        return ngx_iv_json_read_bad(r, "unknown escape in a string");
    }

    p += 4;

    if (v == 0) {
        return ngx_iv_json_read_bad(r, "a string has a null character");
    }

    if (v >= 0xd800 && v <= 0xdfff) {

        if (v > 0xdbff || r->last - p < 6 || p[0] != '\\' || p[1] != 'u'
            || ngx_iv_json_read_u16(p + 2, &low) != NGX_OK
            || low < 0xdc00 || low > 0xdfff)
        {
            return ngx_iv_json_read_bad(r, "a surrogate stands alone");
        }

        v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }

    if (v < 0x80) {
        *dst++ = (u_char) v;

    } else if (v < 0x800) {
        *dst++ = (u_char) (0xc0 | v >> 6);
        *dst++ = (u_char) (0x80 | (v & 0x3f));

    } else if (v < 0x10000) {
        *dst++ = (u_char) (0xe0 | v >> 12);
        *dst++ = (u_char) (0x80 | (v >> 6 & 0x3f));
        *dst++ = (u_char) (0x80 | (v & 0x3f));

    } else {
        *dst++ = (u_char) (0xf0 | v >> 18);
        *dst++ = (u_char) (0x80 | (v >> 12 & 0x3f));
        *dst++ = (u_char) (0x80 | (v >> 6 & 0x3f));
        *dst++ = (u_char) (0x80 | (v & 0x3f));
    }

    *pos = p;
    *out = dst;

    return NGX_OK;
}


static ngx_int_t
ngx_iv_json_read_u16(const u_char *p, uint32_t *v)
{
    u_char  b[2];

    if (ngx_iv_unhex(b, p, 2) != NGX_OK) {
        return NGX_ERROR;
    }

    *v = (uint32_t) b[0] << 8 | b[1];

    return NGX_OK;
}


static void
ngx_iv_json_read_blanks(ngx_iv_json_reader_t *r)
{
    while (r->p < r->last
           && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n'
               || *r->p == '\r'))
    {
        r->p++;
    }
}


static ngx_int_t
ngx_iv_json_read_bad(ngx_iv_json_reader_t *r, const char *why)
{
    r->why = why;

    return NGX_IV_MALFORMED_JSON;
}
