/*
 * The parts of a form: files become images, fields are gathered.
 */

#include "http/ngx_http_image_vault_intake.h"
#include "formats/ngx_iv_name.h"


static ngx_int_t ngx_http_image_vault_form_part(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_form_file(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_form_data(
    ngx_http_image_vault_intake_t *it, const u_char **pos);
static ngx_int_t ngx_http_image_vault_form_end(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_form_field(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_form_digest(
    ngx_http_image_vault_intake_t *it);
static ngx_int_t ngx_http_image_vault_form_refuse(
    ngx_http_image_vault_intake_t *it, ngx_int_t code, const char *why);


ngx_int_t
ngx_http_image_vault_form_feed(ngx_http_image_vault_intake_t *it,
    const u_char **pos, const u_char *last)
{
    ngx_int_t                         rc;
    ngx_http_image_vault_loc_conf_t  *lcf;

    if (it->size < 0) {
        lcf = ngx_http_get_module_loc_conf(it->request,
                                           ngx_http_image_vault_module);

        if (it->received + (last - *pos)
            > ngx_http_image_vault_form_max(lcf))
        {
            return ngx_http_image_vault_form_refuse(it, NGX_IV_TOO_LARGE,
                                              "the form is larger than all "
                                              "its files may be");
        }
    }

    if (it->begun) {
        rc = ngx_http_image_vault_form_file(it);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for ( ;; ) {
        rc = ngx_iv_form_feed(it->form, pos, last);

        switch (rc) {

        case NGX_IV_FORM_PART:
            rc = ngx_http_image_vault_form_part(it);
            break;

        case NGX_IV_FORM_DATA:
            rc = ngx_http_image_vault_form_data(it, pos);
            break;

        case NGX_IV_FORM_END:
            rc = ngx_http_image_vault_form_end(it);
            break;

        case NGX_AGAIN:
        case NGX_DONE:
            return NGX_OK;

        default:
            return ngx_http_image_vault_form_refuse(it, rc, it->form->why);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


off_t
ngx_http_image_vault_form_max(const ngx_http_image_vault_loc_conf_t *lcf)
{
    off_t  files;

    files = (off_t) lcf->max_files;

    if (lcf->max_size > (NGX_MAX_OFF_T_VALUE - NGX_HTTP_IMAGE_VAULT_FORM_EXTRA)
                        / files)
    {
        return NGX_MAX_OFF_T_VALUE;
    }

    return files * lcf->max_size + NGX_HTTP_IMAGE_VAULT_FORM_EXTRA;
}


/* the reason is for the client too: it says what is wrong with the form */

static ngx_int_t
ngx_http_image_vault_form_refuse(ngx_http_image_vault_intake_t *it,
    ngx_int_t code, const char *why)
{
    if (code < 0) {
        it->why = "no memory";
        return NGX_IV_INTERNAL;
    }

    it->why = why;

    if (why) {
        it->message.data = (u_char *) why;
        it->message.len = ngx_strlen(why);
    }

    return code;
}


static ngx_int_t
ngx_http_image_vault_form_part(ngx_http_image_vault_intake_t *it)
{
    it->file = NULL;
    it->value.nelts = 0;

    if (!it->form->part.file) {
        return NGX_OK;
    }

    /* an input that nobody used: no name and, as will be seen, no data */

    if (it->form->part.has_filename && it->form->part.filename.len == 0) {
        return NGX_OK;
    }

    it->begun = 1;

    return ngx_http_image_vault_form_file(it);
}


/* NGX_AGAIN: other images of the form come first */

static ngx_int_t
ngx_http_image_vault_form_file(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t                         rc;
    ngx_str_t                         name;
    ngx_iv_digests_t                  digests;
    ngx_iv_form_part_t               *part;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(it->request,
                                       ngx_http_image_vault_module);

    if (it->nfiles == lcf->max_files) {
        it->why = "more files than image_vault_max_files";
        return NGX_IV_TOO_MANY_FILES;
    }

    if (it->busy >= NGX_HTTP_IMAGE_VAULT_AT_ONCE) {
        it->crowded = 1;
        return NGX_AGAIN;
    }

    it->begun = 0;

    part = &it->form->part;

    ngx_memzero(&digests, sizeof(ngx_iv_digests_t));

    rc = ngx_iv_digest_parse(&digests, &part->content_digest);

    if (rc == NGX_OK) {
        rc = ngx_iv_digest_parse(&digests, &part->repr_digest);
    }

    if (rc == NGX_OK) {
        rc = ngx_iv_digest_parse_md5(&digests, &part->content_md5);
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_form_refuse(it, rc, "the digest of a file "
                                                "is not valid");
    }

    if (ngx_iv_name_clean(it->request->pool, &part->filename, &name)
        != NGX_OK)
    {
        return ngx_http_image_vault_form_refuse(it, NGX_ERROR, NULL);
    }

    it->file = ngx_http_image_vault_file_begin(it, &name, -1, &digests);

    if (it->file == NULL) {
        return ngx_http_image_vault_form_refuse(it, NGX_ERROR, NULL);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_form_data(ngx_http_image_vault_intake_t *it,
    const u_char **pos)
{
    u_char         *v;
    ngx_int_t       rc;
    ngx_str_t      *data;
    const u_char   *p, *last;

    data = &it->form->data;

    if (!it->form->part.file) {

        if (!ngx_iv_fields_known(&it->form->part.name)) {
            return NGX_OK;
        }

        /* the parser bounds what all fields hold together */

        v = ngx_array_push_n(&it->value, data->len);
        if (v == NULL) {
            return ngx_http_image_vault_form_refuse(it, NGX_ERROR, NULL);
        }

        ngx_memcpy(v, data->data, data->len);

        return NGX_OK;
    }

    if (it->file == NULL) {
        rc = ngx_http_image_vault_form_file(it);

        if (rc == NGX_AGAIN) {
            ngx_iv_form_leave(it->form, pos, data->len);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    p = data->data;
    last = p + data->len;

    rc = ngx_http_image_vault_file_feed(it->file, &p, last);

    if (p < last) {
        ngx_iv_form_leave(it->form, pos, last - p);
    }

    return rc;
}


static ngx_int_t
ngx_http_image_vault_form_end(ngx_http_image_vault_intake_t *it)
{
    if (!it->form->part.file) {
        return ngx_http_image_vault_form_field(it);
    }

    if (it->file && it->file->upload) {
        ngx_iv_upload_end(it->file->upload);
    }

    it->file = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_form_field(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t  rc;
    ngx_str_t  value, owner;

    value.data = it->value.elts;
    value.len = it->value.nelts;

    rc = ngx_iv_fields_add(&it->fields, &it->form->part.name, &value);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK) {
        return ngx_http_image_vault_form_refuse(it, rc, it->fields.why);
    }

    owner = it->owner;

    rc = ngx_http_image_vault_check_user(it);

    if (rc != NGX_OK) {
        return rc;
    }

    if (it->nfiles && !ngx_iv_equal(&owner, &it->owner)) {
        return ngx_http_image_vault_form_refuse(it, NGX_IV_BAD_PARAMETER,
                                                "userId must come before the "
                                                "first file");
    }

    return ngx_http_image_vault_check_fields(it);
}


ngx_int_t
ngx_http_image_vault_check_user(ngx_http_image_vault_intake_t *it)
{
    ngx_str_t  *user;

    user = &it->fields.user;

    if (user->len == 0 || ngx_iv_equal(user, &it->owner)) {
        return NGX_OK;
    }

    if (!it->ctx->admin) {
        it->why = "userId of another owner";
        ngx_str_set(&it->message, "userId must be the owner's own");
        return NGX_IV_FORBIDDEN;
    }

    it->owner = *user;

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_check_fields(ngx_http_image_vault_intake_t *it)
{
    ngx_iv_storage_t                 *storage;
    ngx_http_image_vault_loc_conf_t  *lcf;

    lcf = ngx_http_get_module_loc_conf(it->request,
                                       ngx_http_image_vault_module);

    storage = ngx_http_image_vault_worker->storages[lcf->storage];

    if (storage->conf->public_only && it->fields.has_public
        && !it->fields.is_public)
    {
        it->why = "isPublic is false in a storage with public_only";
        ngx_str_set(&it->message, "every image is public here");
        return NGX_IV_CONFLICT;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_image_vault_form_finish(ngx_http_image_vault_intake_t *it)
{
    ngx_int_t  rc;

    rc = ngx_iv_form_finish(it->form);

    if (rc != NGX_OK) {
        return ngx_http_image_vault_form_refuse(it, rc, it->form->why);
    }

    if (it->size >= 0 && it->received != it->size) {
        it->why = "the body is shorter than announced";
        return NGX_IV_LENGTH_MISMATCH;
    }

    if (it->nfiles == 0) {
        return ngx_http_image_vault_form_refuse(it, NGX_IV_MALFORMED_FORM,
                                                "the form has no file");
    }

    rc = ngx_iv_fields_finish(&it->fields, ngx_iv_now());

    if (rc != NGX_OK) {
        return ngx_http_image_vault_form_refuse(it, rc, it->fields.why);
    }

    if (it->hash) {
        return ngx_http_image_vault_form_digest(it);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_image_vault_form_digest(ngx_http_image_vault_intake_t *it)
{
    u_char  md5[NGX_IV_MD5_LEN], sha256[NGX_IV_SHA256_LEN],
            sha512[NGX_IV_SHA512_LEN];

    if (ngx_iv_hash_final(it->hash, md5, sha256) != NGX_OK
        || (it->digests.has_sha512
            && ngx_iv_hash_final_sha512(it->hash, sha512) != NGX_OK))
    {
        it->why = "hashing failed";
        return NGX_IV_INTERNAL;
    }

    return ngx_iv_digest_check(&it->digests, md5, sha256,
                               it->digests.has_sha512 ? sha512 : NULL);
}
