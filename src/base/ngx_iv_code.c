#include "base/ngx_iv_code.h"


/* in the order of ngx_iv_code_e; the words and statuses are the interface */

static const ngx_iv_code_t  ngx_iv_codes[] = {

    { ngx_string("unauthenticated"), 401, 0,
      ngx_string("authentication is required") },
    { ngx_string("forbidden"), 403, 0,
      ngx_string("this is not allowed") },
    { ngx_string("quota_exceeded"), 403, 0,
      ngx_string("the storage quota is used up") },
    { ngx_string("not_found"), 404, 0,
      ngx_string("no such image") },
    { ngx_string("method_not_allowed"), 405, 0,
      ngx_string("this method is not allowed here") },
    { ngx_string("timeout"), 408, 0,
      ngx_string("the request body did not arrive in time") },
    { ngx_string("not_ready"), 409, 1,
      ngx_string("the image is still being uploaded") },
    { ngx_string("conflict"), 409, 0,
      ngx_string("the request conflicts with the present state") },
    { ngx_string("gone"), 410, 0,
      ngx_string("the image has expired") },
    { ngx_string("precondition_failed"), 412, 0,
      ngx_string("the image was changed in between") },
    { ngx_string("too_large"), 413, 0,
      ngx_string("the image is larger than allowed") },
    { ngx_string("too_many_files"), 413, 0,
      ngx_string("the form has more files than allowed") },
    { ngx_string("too_many_pixels"), 413, 0,
      ngx_string("the image has more pixels than allowed") },
    { ngx_string("unsupported_type"), 415, 0,
      ngx_string("this type of content is not accepted") },
    { ngx_string("corrupt_image"), 422, 0,
      ngx_string("the image is damaged or incomplete") },
    { ngx_string("trailing_data"), 422, 0,
      ngx_string("there is data after the end of the image") },
    { ngx_string("rate_limited"), 429, 1,
      ngx_string("too many requests") },
    { ngx_string("blocked"), 451, 0,
      ngx_string("the image is blocked") },
    { ngx_string("length_mismatch"), 400, 0,
      ngx_string("the body is not as long as announced") },
    { ngx_string("malformed_form"), 400, 0,
      ngx_string("the form is malformed") },
    { ngx_string("malformed_json"), 400, 0,
      ngx_string("the JSON is malformed") },
    { ngx_string("bad_parameter"), 400, 0,
      ngx_string("a parameter has a bad value") },
    { ngx_string("digest_mismatch"), 400, 0,
      ngx_string("the body does not match its digest") },
    { ngx_string("storage_unavailable"), 503, 2,
      ngx_string("the storage is not available") },
    { ngx_string("metadata_unavailable"), 503, 2,
      ngx_string("the metadata store is not available") },
    { ngx_string("overloaded"), 503, 2,
      ngx_string("the server is busy") },
    { ngx_string("storage_denied"), 502, 0,
      ngx_string("the storage refused the request") },
    { ngx_string("internal"), 500, 0,
      ngx_string("internal error") }
};


const ngx_iv_code_t *
ngx_iv_code(ngx_int_t code)
{
    if (code < 1 || code >= NGX_IV_CODE_LAST) {
        code = NGX_IV_INTERNAL;
    }

    return &ngx_iv_codes[code - 1];
}
