/*
 * Declared sums: a reader of structured fields' dictionaries that keeps two of
 * the members.
 */

#include "formats/ngx_iv_digest.h"
#include "base/ngx_iv_str.h"


typedef struct {
    const u_char   *p;
    const u_char   *last;
} ngx_iv_sf_t;


static ngx_int_t ngx_iv_sf_dictionary(ngx_iv_sf_t *sf, ngx_iv_digests_t *d);
static ngx_int_t ngx_iv_sf_member(ngx_iv_sf_t *sf, ngx_iv_digests_t *d);
static ngx_int_t ngx_iv_sf_inner_list(ngx_iv_sf_t *sf);
static ngx_int_t ngx_iv_sf_params(ngx_iv_sf_t *sf);
static ngx_int_t ngx_iv_sf_key(ngx_iv_sf_t *sf, ngx_str_t *key);
static ngx_int_t ngx_iv_sf_item(ngx_iv_sf_t *sf, ngx_str_t *bytes);
static ngx_int_t ngx_iv_sf_number(ngx_iv_sf_t *sf, ngx_uint_t date);
static ngx_int_t ngx_iv_sf_string(ngx_iv_sf_t *sf);
static ngx_int_t ngx_iv_sf_display(ngx_iv_sf_t *sf);
static ngx_int_t ngx_iv_sf_bytes(ngx_iv_sf_t *sf, ngx_str_t *bytes);
static void ngx_iv_sf_blanks(ngx_iv_sf_t *sf, ngx_uint_t tabs);
static ngx_int_t ngx_iv_digest_decode(const ngx_str_t *text, u_char *out,
    size_t n);
static ngx_int_t ngx_iv_digest_merge(ngx_iv_digests_t *d,
    const ngx_iv_digests_t *more);

#define ngx_iv_sf_lower(ch)  ((ch) >= 'a' && (ch) <= 'z')
#define ngx_iv_sf_digit(ch)  ((ch) >= '0' && (ch) <= '9')
#define ngx_iv_sf_alpha(ch)  ngx_iv_sf_lower((ch) | 0x20)

/* is there a byte, and is it this one? */
#define ngx_iv_sf_at(sf, ch)  ((sf)->p < (sf)->last && *(sf)->p == (ch))


ngx_int_t
ngx_iv_digest_parse(ngx_iv_digests_t *d, const ngx_str_t *value)
{
    ngx_iv_sf_t       sf;
    ngx_iv_digests_t  more;

    if (value->len == 0) {
        return NGX_OK;
    }

    sf.p = value->data;
    sf.last = value->data + value->len;

    ngx_memzero(&more, sizeof(ngx_iv_digests_t));

    if (ngx_iv_sf_dictionary(&sf, &more) != NGX_OK) {
        return NGX_IV_BAD_PARAMETER;
    }

    return ngx_iv_digest_merge(d, &more);
}


ngx_int_t
ngx_iv_digest_parse_md5(ngx_iv_digests_t *d, const ngx_str_t *value)
{
    ngx_str_t         text;
    ngx_iv_digests_t  more;

    text = *value;

    while (text.len && (*text.data == ' ' || *text.data == '\t')) {
        text.data++;
        text.len--;
    }

    while (text.len && (text.data[text.len - 1] == ' '
                        || text.data[text.len - 1] == '\t'))
    {
        text.len--;
    }

    if (text.len == 0) {
        return NGX_OK;
    }

    ngx_memzero(&more, sizeof(ngx_iv_digests_t));

    /* RFC 1864: base64 with its padding */

    if (text.len != ngx_base64_encoded_length(NGX_IV_MD5_LEN)
        || ngx_iv_digest_decode(&text, more.md5, NGX_IV_MD5_LEN) != NGX_OK)
    {
        return NGX_IV_BAD_PARAMETER;
    }

    more.has_md5 = 1;

    return ngx_iv_digest_merge(d, &more);
}


ngx_int_t
ngx_iv_digest_check(const ngx_iv_digests_t *d, const u_char *md5,
    const u_char *sha256, const u_char *sha512)
{
    if ((d->has_md5 && ngx_memcmp(d->md5, md5, NGX_IV_MD5_LEN) != 0)
        || (d->has_sha256
            && ngx_memcmp(d->sha256, sha256, NGX_IV_SHA256_LEN) != 0)
        || (d->has_sha512
            && (sha512 == NULL
                || ngx_memcmp(d->sha512, sha512, NGX_IV_SHA512_LEN) != 0)))
    {
        return NGX_IV_DIGEST_MISMATCH;
    }

    return NGX_OK;
}


/* no body has two different sums of a kind */

static ngx_int_t
ngx_iv_digest_merge(ngx_iv_digests_t *d, const ngx_iv_digests_t *more)
{
    if ((d->has_md5 && more->has_md5
         && ngx_memcmp(d->md5, more->md5, NGX_IV_MD5_LEN) != 0)
        || (d->has_sha256 && more->has_sha256
            && ngx_memcmp(d->sha256, more->sha256, NGX_IV_SHA256_LEN) != 0)
        || (d->has_sha512 && more->has_sha512
            && ngx_memcmp(d->sha512, more->sha512, NGX_IV_SHA512_LEN) != 0))
    {
        return NGX_IV_DIGEST_MISMATCH;
    }

    if (more->has_md5) {
        ngx_memcpy(d->md5, more->md5, NGX_IV_MD5_LEN);
        d->has_md5 = 1;
    }

    if (more->has_sha256) {
        ngx_memcpy(d->sha256, more->sha256, NGX_IV_SHA256_LEN);
        d->has_sha256 = 1;
    }

    if (more->has_sha512) {
        ngx_memcpy(d->sha512, more->sha512, NGX_IV_SHA512_LEN);
        d->has_sha512 = 1;
    }

    return NGX_OK;
}


/* exactly n bytes of base64; the padding may be absent, but not be wrong */

static ngx_int_t
ngx_iv_digest_decode(const ngx_str_t *text, u_char *out, size_t n)
{
    u_char     buf[ngx_base64_decoded_length(
                                ngx_base64_encoded_length(NGX_IV_SHA512_LEN))];
    size_t     len, full;
    ngx_str_t  src, dst;

    full = ngx_base64_encoded_length(n);

    for (len = text->len; len && text->data[len - 1] == '='; len--) {
        /* void */
    }

    if (len != (n * 8 + 5) / 6
        || (text->len != len && text->len != full))
    {
        return NGX_ERROR;
    }

    src.data = text->data;
    src.len = len;
    dst.data = buf;

    if (memchr(src.data, '=', len) != NULL
        || ngx_decode_base64(&dst, &src) != NGX_OK
        || dst.len != n)
    {
        return NGX_ERROR;
    }

    ngx_memcpy(out, buf, n);

    return NGX_OK;
}


/* RFC 9651 4.2.2 */

static ngx_int_t
ngx_iv_sf_dictionary(ngx_iv_sf_t *sf, ngx_iv_digests_t *d)
{
    ngx_iv_sf_blanks(sf, 0);

    while (sf->p < sf->last) {

        if (ngx_iv_sf_member(sf, d) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_iv_sf_blanks(sf, 1);

        if (sf->p == sf->last) {
            return NGX_OK;
        }

        if (*sf->p++ != ',') {
            return NGX_ERROR;
        }

        ngx_iv_sf_blanks(sf, 1);

        if (sf->p == sf->last) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sf_member(ngx_iv_sf_t *sf, ngx_iv_digests_t *d)
{
    ngx_str_t  key, bytes;

    ngx_str_null(&bytes);

    if (ngx_iv_sf_key(sf, &key) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a key alone is a boolean */

    if (ngx_iv_sf_at(sf, '=')) {
        sf->p++;

        if (ngx_iv_sf_at(sf, '(')) {
            if (ngx_iv_sf_inner_list(sf) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (ngx_iv_sf_item(sf, &bytes) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ngx_iv_sf_params(sf) != NGX_OK) {
        return NGX_ERROR;
    }

    /* of a key that comes twice the last one counts */

    if (key.len == 7 && ngx_memcmp(key.data, "sha-256", 7) == 0) {
        d->has_sha256 = 1;
        return ngx_iv_digest_decode(&bytes, d->sha256, NGX_IV_SHA256_LEN);
    }

    if (key.len == 7 && ngx_memcmp(key.data, "sha-512", 7) == 0) {
        d->has_sha512 = 1;
        return ngx_iv_digest_decode(&bytes, d->sha512, NGX_IV_SHA512_LEN);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sf_inner_list(ngx_iv_sf_t *sf)
{
    ngx_str_t  bytes;

    sf->p++;

    for ( ;; ) {
        ngx_iv_sf_blanks(sf, 0);

        if (ngx_iv_sf_at(sf, ')')) {
            sf->p++;
            return NGX_OK;
        }

        if (ngx_iv_sf_item(sf, &bytes) != NGX_OK
            || ngx_iv_sf_params(sf) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (!ngx_iv_sf_at(sf, ' ') && !ngx_iv_sf_at(sf, ')')) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_iv_sf_params(ngx_iv_sf_t *sf)
{
    ngx_str_t  key, bytes;

    while (ngx_iv_sf_at(sf, ';')) {
        sf->p++;
        ngx_iv_sf_blanks(sf, 0);

        if (ngx_iv_sf_key(sf, &key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_iv_sf_at(sf, '=')) {
            sf->p++;

            if (ngx_iv_sf_item(sf, &bytes) != NGX_OK) {
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_iv_sf_key(ngx_iv_sf_t *sf, ngx_str_t *key)
{
    u_char  ch;

    key->data = (u_char *) sf->p;

    if (sf->p == sf->last || (!ngx_iv_sf_lower(*sf->p) && *sf->p != '*')) {
        return NGX_ERROR;
    }

    for ( /* void */ ; sf->p < sf->last; sf->p++) {
        ch = *sf->p;

        if (!ngx_iv_sf_lower(ch) && !ngx_iv_sf_digit(ch)
            && ch != '_' && ch != '-' && ch != '.' && ch != '*')
        {
            break;
        }
    }

    key->len = sf->p - key->data;

    return NGX_OK;
}


/* bytes: the base64 of a byte sequence, empty for anything else */

static ngx_int_t
ngx_iv_sf_item(ngx_iv_sf_t *sf, ngx_str_t *bytes)
{
    u_char  ch;

    ngx_str_null(bytes);

    if (sf->p == sf->last) {
        return NGX_ERROR;
    }

    ch = *sf->p;

    switch (ch) {

    case ':':
        return ngx_iv_sf_bytes(sf, bytes);

    case '"':
        return ngx_iv_sf_string(sf);

    case '%':
        return ngx_iv_sf_display(sf);

    case '@':
        sf->p++;
        return ngx_iv_sf_number(sf, 1);

    case '?':
        sf->p++;

        if (!ngx_iv_sf_at(sf, '0') && !ngx_iv_sf_at(sf, '1')) {
            return NGX_ERROR;
        }

        sf->p++;
        return NGX_OK;
    }

    if (ch == '-' || ngx_iv_sf_digit(ch)) {
        return ngx_iv_sf_number(sf, 0);
    }

    if (ch != '*' && !ngx_iv_sf_alpha(ch)) {
        return NGX_ERROR;
    }

    /* a token */

    for ( /* void */ ; sf->p < sf->last; sf->p++) {
        ch = *sf->p;

        if (!ngx_iv_sf_alpha(ch) && !ngx_iv_sf_digit(ch)
            && (ch == '\0' || ngx_strchr("!#$%&'*+-.^_`|~:/", ch) == NULL))
        {
            break;
        }
    }

    return NGX_OK;
}


/* up to 15 digits, or 12, a dot, and 1 to 3; a date has no dot */

static ngx_int_t
ngx_iv_sf_number(ngx_iv_sf_t *sf, ngx_uint_t date)
{
    size_t         n;
    const u_char  *start;

    if (ngx_iv_sf_at(sf, '-')) {
        sf->p++;
    }

    start = sf->p;

    while (sf->p < sf->last && ngx_iv_sf_digit(*sf->p)) {
        sf->p++;
    }

    n = sf->p - start;

    if (n == 0 || n > 15) {
        return NGX_ERROR;
    }

    if (date || !ngx_iv_sf_at(sf, '.')) {
        return ngx_iv_sf_at(sf, '.') ? NGX_ERROR : NGX_OK;
    }

    if (n > 12) {
        return NGX_ERROR;
    }

    start = ++sf->p;

    while (sf->p < sf->last && ngx_iv_sf_digit(*sf->p)) {
        sf->p++;
    }

    n = sf->p - start;

    return (n >= 1 && n <= 3) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_iv_sf_string(ngx_iv_sf_t *sf)
{
    u_char  ch;

    for (sf->p++; sf->p < sf->last; /* void */) {

        ch = *sf->p++;

        if (ch == '"') {
            return NGX_OK;
        }

        if (ch < 0x20 || ch > 0x7e) {
            return NGX_ERROR;
        }

        if (ch == '\\') {

            if (!ngx_iv_sf_at(sf, '"') && !ngx_iv_sf_at(sf, '\\')) {
                return NGX_ERROR;
            }

            sf->p++;
        }
    }

    return NGX_ERROR;
}


/* %"...": percent-encoded UTF-8, which is of no interest here */

static ngx_int_t
ngx_iv_sf_display(ngx_iv_sf_t *sf)
{
    u_char  ch;

    sf->p++;

    if (!ngx_iv_sf_at(sf, '"')) {
        return NGX_ERROR;
    }

    for (sf->p++; sf->p < sf->last; /* void */) {

        ch = *sf->p++;

        if (ch == '"') {
            return NGX_OK;
        }

        if (ch < 0x20 || ch > 0x7e) {
            return NGX_ERROR;
        }

        if (ch == '%') {

            if (sf->last - sf->p < 2 || ngx_iv_unhex(&ch, sf->p, 1) != NGX_OK) {
                return NGX_ERROR;
            }

            sf->p += 2;
        }
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_iv_sf_bytes(ngx_iv_sf_t *sf, ngx_str_t *bytes)
{
    u_char  ch;

    bytes->data = (u_char *) ++sf->p;

    for ( /* void */ ; sf->p < sf->last; sf->p++) {
        ch = *sf->p;

        if (ch == ':') {
            bytes->len = sf->p++ - bytes->data;
            return NGX_OK;
        }

        if (!ngx_iv_sf_alpha(ch) && !ngx_iv_sf_digit(ch)
            && ch != '+' && ch != '/' && ch != '=')
        {
            return NGX_ERROR;
        }
    }

    return NGX_ERROR;
}


static void
ngx_iv_sf_blanks(ngx_iv_sf_t *sf, ngx_uint_t tabs)
{
    while (sf->p < sf->last
           && (*sf->p == ' ' || (tabs && *sf->p == '\t')))
    {
        sf->p++;
    }
}
