# Every wrong value stops `nginx -t` with a message that names the directive and
# the value, or what is allowed.

use lib 't/lib';
use Test::Nginx::Socket 'no_plan';
use ImageVault;

run_tests();

__DATA__

=== TEST 1: no zone
--- bare
--- http_config
image_vault_mongodb mongodb://127.0.0.1/x;
image_vault_storage s { type local; root /tmp; url /f; secret abcdefghijkl; }
--- config
location /a { image_vault_api s; }
--- must_die
--- error_log
[emerg]
image_vault_zone


=== TEST 2: no MongoDB
--- bare
--- http_config
image_vault_zone v:1m;
image_vault_storage s { type local; root /tmp; url /f; secret abcdefghijkl; }
--- config
location /a { image_vault_api s; }
--- must_die
--- error_log
[emerg]
image_vault_mongodb


=== TEST 3: a zone too small
--- bare
--- http_config
image_vault_zone v:1k;
--- config

--- must_die
--- error_log
[emerg]
image_vault_zone


=== TEST 4: a zone without size
--- bare
--- http_config
image_vault_zone v;
--- config

--- must_die
--- error_log
[emerg]
image_vault_zone


=== TEST 5: two zones
--- http_config
image_vault_zone w:1m;
--- config

--- must_die
--- error_log
[emerg]
is duplicate


=== TEST 6: an unknown storage
--- http_config

--- config
location /a { image_vault_api nowhere; }
--- must_die
--- error_log
[emerg]
nowhere


=== TEST 7: an unknown parameter of MongoDB
--- bare
--- http_config
image_vault_zone v:1m; image_vault_mongodb mongodb://127.0.0.1/x colour=red;
--- config

--- must_die
--- error_log
[emerg]
colour=red


=== TEST 8: a URI that is none
--- bare
--- http_config
image_vault_zone v:1m; image_vault_mongodb http://127.0.0.1/x;
--- config

--- must_die
--- error_log
[emerg]
image_vault_mongodb


=== TEST 9: no database
--- bare
--- http_config
image_vault_zone v:1m; image_vault_mongodb mongodb://127.0.0.1/;
--- config

--- must_die
--- error_log
[emerg]
database


=== TEST 10: an undeclared thread pool
--- bare
--- http_config
image_vault_zone v:1m; image_vault_mongodb mongodb://127.0.0.1/x; image_vault_thread_pools read=nowhere;
image_vault_storage s { type local; root /tmp; url /f; secret abcdefghijkl; }
--- config
location /a { image_vault_api s; }
--- must_die
--- error_log
[emerg]
unknown thread pool "nowhere"


=== TEST 11: a storage's unknown line
--- http_config
image_vault_storage x { colour red; }
--- config

--- must_die
--- error_log
[emerg]
colour


=== TEST 12: an unknown type of storage
--- http_config
image_vault_storage x { type ftp; }
--- config

--- must_die
--- error_log
[emerg]
ftp


=== TEST 13: a storage twice
--- http_config
image_vault_storage s3 { type local; root /tmp; url /f; secret abcdefghijkl; }
--- config

--- must_die
--- error_log
[emerg]
s3


=== TEST 14: S3 without bucket
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; credentials static a b; }
--- config

--- must_die
--- error_log
[emerg]
bucket


=== TEST 15: credentials of a later version
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials ec2; }
--- config

--- must_die
--- error_log
[emerg]
not supported yet


=== TEST 16: payload of a later version
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; payload trailer; }
--- config

--- must_die
--- error_log
[emerg]
not supported yet


=== TEST 17: credentials from an environment that has none
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials env IV_NO_SUCH IV_NO_SECRET; }
--- config

--- must_die
--- error_log
[emerg]
IV_NO_SUCH


=== TEST 18: an endpoint that is no URL
--- http_config
image_vault_storage x { endpoint ftp://h; region a; bucket b; credentials static a b; }
--- config

--- must_die
--- error_log
[emerg]
ftp://h


=== TEST 19: a part size below S3's
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; part_size 1m; }
--- config

--- must_die
--- error_log
[emerg]
part_size


=== TEST 20: a public URL without public_only
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; public_url https://x.example; }
--- config

--- must_die
--- error_log
[emerg]
public_only


=== TEST 21: an ACL without public_only
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; header x-amz-acl public-read; }
--- config

--- must_die
--- error_log
[emerg]
public_only


=== TEST 22: a local storage without secret
--- http_config
image_vault_storage x { type local; root /tmp; url /f; }
--- config

--- must_die
--- error_log
[emerg]
secret


=== TEST 23: a local storage without root
--- http_config
image_vault_storage x { type local; url /f; secret abcdefghijkl; }
--- config

--- must_die
--- error_log
[emerg]
root


=== TEST 24: a bad addressing
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; addressing dns; }
--- config

--- must_die
--- error_log
[emerg]
dns


=== TEST 25: a backoff upside down
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; backoff 5s 1s; }
--- config

--- must_die
--- error_log
[emerg]
backoff


=== TEST 26: a header with a line break
--- http_config
image_vault_storage x { endpoint http://127.0.0.1:1; region a; bucket b; credentials static a b; header x-a "b
c: d"; }
--- config

--- must_die
--- error_log
[emerg]
header


=== TEST 27: an API in a regex location
--- http_config

--- config
location ~ /a { image_vault_api s3; }
--- must_die
--- error_log
[emerg]
image_vault_api


=== TEST 28: an API in an exact location
--- http_config

--- config
location = /a { image_vault_api s3; }
--- must_die
--- error_log
[emerg]
image_vault_api


=== TEST 29: two endpoints in one location
--- http_config

--- config
location /a { image_vault_api s3; image_vault_upload s3; }
--- must_die
--- error_log
[emerg]
image_vault_upload


=== TEST 30: a type that is no image
--- http_config

--- config
image_vault_types text/html;
--- must_die
--- error_log
[emerg]
text/html


=== TEST 31: a size that is none
--- http_config

--- config
image_vault_max_size 10q;
--- must_die
--- error_log
[emerg]
image_vault_max_size


=== TEST 32: pixels that are none
--- http_config

--- config
image_vault_max_pixels many;
--- must_die
--- error_log
[emerg]
many


=== TEST 33: a key without the file name
--- http_config

--- config
image_vault_key images/$uri;
--- must_die
--- error_log
[emerg]
image_vault_filename


=== TEST 34: a key with the file name twice
--- http_config

--- config
image_vault_key $image_vault_filename/$image_vault_filename;
--- must_die
--- error_log
[emerg]
image_vault_filename


=== TEST 35: a key that starts with a slash
--- http_config

--- config
image_vault_key /images/$image_vault_filename;
--- must_die
--- error_log
[emerg]
image_vault_key


=== TEST 36: a life above seven days
--- http_config

--- config
image_vault_url_expiry 7d; image_vault_url_window 1h; location /a { image_vault_api s3; }
--- must_die
--- error_log
[emerg]
7d


=== TEST 37: a window that is none
--- http_config

--- config
image_vault_url_window x;
--- must_die
--- error_log
[emerg]
image_vault_url_window


=== TEST 38: files of an S3 storage
--- http_config

--- config
location /f/ { alias /tmp/; image_vault_files s3; }
--- must_die
--- error_log
[emerg]
image_vault_files


=== TEST 39: files without alias
--- http_config

--- config
location /files/ { image_vault_files local; }
--- must_die
--- error_log
[emerg]
alias


=== TEST 40: files under another root
--- http_config

--- config
location /files/ { alias /tmp/other/; image_vault_files local; }
--- must_die
--- error_log
[emerg]
alias


=== TEST 41: files at another place than the storage's url
--- http_config

--- config
location /elsewhere/ { alias $TEST_NGINX_STORE/; image_vault_files local; }
--- must_die
--- error_log
[emerg]
url


=== TEST 42: a sweep without a time
--- bare
--- http_config
image_vault_sweep sometimes;
--- config

--- must_die
--- error_log
[emerg]
sometimes


=== TEST 43: a sweep whose stale is shorter than its interval
--- bare
--- http_config
image_vault_sweep interval=1m stale=10s;
--- config

--- must_die
--- error_log
[emerg]
stale


=== TEST 44: more files in a form than its parser takes
--- http_config
image_vault_max_files 1001;
--- config

--- must_die
--- error_log
[emerg]
a number from 1 to 1000


=== TEST 45: a quota that is no size
--- http_config
image_vault_quota lots;
--- config

--- must_die
--- error_log
[emerg]
lots


=== TEST 46: no file in a form
--- http_config
image_vault_max_files 0;
--- config

--- must_die
--- error_log
[emerg]
image_vault_max_files


=== TEST 47: buffers that hold less than two parts
--- http_config
image_vault_buffers 15m;
image_vault_storage parts {
    endpoint    http://127.0.0.1:9000;
    bucket      b;
    credentials static key secret;
    part_size   8m;
}
--- config
location /a { image_vault_api parts; }

--- must_die
--- error_log
[emerg]
cannot hold two parts of "part_size" 8388608


=== TEST 48: two answers in one location
--- config
location @json { image_vault_error; return 200; proxy_pass http://127.0.0.1:9; }

--- must_die
--- error_log
[emerg]
image_vault_error


=== TEST 49: a directive of a later version
--- http_config
image_vault_variant thumb width=200;
--- config

--- must_die
--- error_log
[emerg]
image_vault_variant


=== TEST 50: any origin with credentials
--- http_config
image_vault_cors * credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "*" in "image_vault_cors", with "credentials" each origin must be named


=== TEST 51: a wildcard with credentials
--- http_config
image_vault_cors https://a.example.com https://*.example.com credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "https://*.example.com" in "image_vault_cors", with "credentials" each origin must be named


=== TEST 52: a regular expression with credentials
--- http_config
image_vault_cors ~https://a credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "~https://a" in "image_vault_cors", with "credentials" each origin must be named


=== TEST 53: credentials without origins
--- http_config
image_vault_cors credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "credentials" in "image_vault_cors", it must be the last


=== TEST 54: credentials before an origin
--- http_config
image_vault_cors credentials https://a.example.com;
--- config

--- must_die
--- error_log
[emerg]
invalid value "credentials" in "image_vault_cors", it must be the last


=== TEST 55: credentials twice
--- http_config
image_vault_cors https://a.example.com credentials credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "credentials" in "image_vault_cors", it must be the last


=== TEST 56: any origin and another one
--- http_config
image_vault_cors * https://a.example.com;
--- config

--- must_die
--- error_log
[emerg]
invalid value "*" in "image_vault_cors", it must stand alone


=== TEST 57: off and an origin
--- http_config
image_vault_cors https://a.example.com off;
--- config

--- must_die
--- error_log
[emerg]
invalid value "off" in "image_vault_cors", it must stand alone


=== TEST 58: off with credentials
--- http_config
image_vault_cors off credentials;
--- config

--- must_die
--- error_log
[emerg]
invalid value "off" in "image_vault_cors", it must stand alone


=== TEST 59: an origin without a scheme
--- http_config
image_vault_cors app.example.com;
--- config

--- must_die
--- error_log
[emerg]
invalid value "app.example.com" in "image_vault_cors", an origin is "scheme://host"


=== TEST 60: an origin with a slash
--- http_config
image_vault_cors https://app.example.com/;
--- config

--- must_die
--- error_log
[emerg]
invalid value "https://app.example.com/" in "image_vault_cors", an origin is "scheme://host"


=== TEST 61: the null origin
--- http_config
image_vault_cors null;
--- config

--- must_die
--- error_log
[emerg]
invalid value "null" in "image_vault_cors", an origin is "scheme://host"


=== TEST 62: an origin with a user
--- http_config
image_vault_cors https://u@app.example.com;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", an origin is "scheme://host"


=== TEST 63: an origin with a bad port
--- http_config
image_vault_cors https://app.example.com:65536;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", an origin is "scheme://host"


=== TEST 64: a wildcard that is no whole label
--- http_config
image_vault_cors https://a*.example.com;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", an origin is "scheme://host"


=== TEST 65: two wildcards
--- http_config
image_vault_cors https://*.*.example.com;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", an origin is "scheme://host"


=== TEST 66: a wildcard over a top-level domain
--- http_config
image_vault_cors https://*.com;
--- config

--- must_die
--- error_log
[emerg]
invalid value "https://*.com" in "image_vault_cors", at least two labels must follow "*"


=== TEST 67: a wildcard for a whole host
--- http_config
image_vault_cors https://*;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", at least two labels must follow "*"


=== TEST 68: a wildcard at the end
--- http_config
image_vault_cors https://example.*;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors", at least two labels must follow "*"


=== TEST 69: a wildcard in an address
--- http_config
image_vault_cors http://*.0.0.1;
--- config

--- must_die
--- error_log
[emerg]
"*" can't stand in an address


=== TEST 70: no regular expression
--- http_config
image_vault_cors ~;
--- config

--- must_die
--- error_log
[emerg]
a regular expression must follow "~"


=== TEST 71: a bad regular expression
--- http_config
image_vault_cors ~https://(a;
--- config

--- must_die
--- error_log
[emerg]
invalid value in "image_vault_cors", pcre


=== TEST 72: a regular expression that closes the anchors' group
--- http_config
image_vault_cors 'https://a.example.com' '~https://a)|(?:.*';
--- config

--- must_die
--- error_log
[emerg]
invalid value in "image_vault_cors", pcre


=== TEST 73: a regular expression that hides the anchors
--- http_config
image_vault_cors '~(?x)https://a#';
--- config

--- must_die
--- error_log
[emerg]
invalid value in "image_vault_cors", pcre


=== TEST 74: image_vault_cors twice
--- http_config
image_vault_cors off;
image_vault_cors https://a.example.com;
--- config

--- must_die
--- error_log
[emerg]
"image_vault_cors" directive is duplicate


=== TEST 75: a max_age that is no time
--- http_config
image_vault_cors_max_age often;
--- config

--- must_die
--- error_log
[emerg]
invalid value "often" in "image_vault_cors_max_age"


=== TEST 76: a max_age too long
--- http_config
image_vault_cors_max_age 8d;
--- config

--- must_die
--- error_log
[emerg]
invalid value "8d" in "image_vault_cors_max_age"


=== TEST 77: entries that live for too long
--- http_config

--- config
image_vault_cache_valid 25h;
--- must_die
--- error_log
[emerg]
invalid value "25h" in "image_vault_cache_valid", a time from 0 to 1d is expected


=== TEST 78: a life of entries that is no time
--- http_config

--- config
image_vault_cache_valid long;
--- must_die
--- error_log
[emerg]
invalid value "long" in "image_vault_cache_valid"


=== TEST 79: negative entries that live for too long
--- http_config

--- config
image_vault_cache_valid 1m negative=2d;
--- must_die
--- error_log
[emerg]
invalid value "2d" in "image_vault_cache_valid"


=== TEST 80: an unknown argument behind the life of entries
--- http_config

--- config
image_vault_cache_valid 1m positive=1s;
--- must_die
--- error_log
[emerg]
only "negative=time" may follow the time


=== TEST 81: a life of entries given twice
--- http_config

--- config
image_vault_cache_valid 1m; image_vault_cache_valid 2m;
--- must_die
--- error_log
[emerg]
"image_vault_cache_valid" directive is duplicate


=== TEST 82: access with an endpoint before it
--- config
location /a { image_vault_redirect; image_vault_access; }
--- must_die
--- error_log
[emerg]
"image_vault_access" can't stand in one location with "image_vault_redirect"


=== TEST 83: access with an endpoint behind it
--- config
location /a/ { image_vault_access; image_vault_api s3; }
--- must_die
--- error_log
[emerg]
"image_vault_api" can't stand in one location with "image_vault_access"


=== TEST 84: access with files
--- config
location /files/ { image_vault_access; image_vault_files s3; }
--- must_die
--- error_log
[emerg]
"image_vault_files" can't stand in one location with "image_vault_access"


=== TEST 85: access twice
--- config
location /a { image_vault_access; image_vault_access id=$arg_id; }
--- must_die
--- error_log
[emerg]
"image_vault_access" directive is duplicate


=== TEST 86: access by something else than an id
--- config
location /a { image_vault_access key=$arg_id; }
--- must_die
--- error_log
[emerg]
invalid value "key=$arg_id" in "image_vault_access", "id=value" is expected


=== TEST 87: access with an empty id
--- config
location /a { image_vault_access id=; }
--- must_die
--- error_log
[emerg]
"id=value" is expected


=== TEST 88: access in an if
--- config
location /a { if ($arg_x) { image_vault_access; } }
--- must_die
--- error_log
[emerg]
"image_vault_access" directive is not allowed here


=== TEST 89: access of a server
--- config
image_vault_access;
--- must_die
--- error_log
[emerg]
"image_vault_access" directive is not allowed here


=== TEST 90: access by an unknown variable
--- config
location /a { image_vault_access id=$nothing_of_the_kind; }
--- must_die
--- error_log
[emerg]
unknown "nothing_of_the_kind" variable


=== TEST 91: access without a zone
--- bare
--- config
location /a { image_vault_access; proxy_pass http://127.0.0.1:1; }
--- must_die
--- error_log
[emerg]
no "image_vault_zone" in the http block, "image_vault_access"


=== TEST 92: a timeout of MongoDB that the driver can't count
--- bare
--- http_config
image_vault_zone v:1m;
image_vault_mongodb mongodb://127.0.0.1/x timeout=30d;
--- config

--- must_die
--- error_log
[emerg]
invalid value "30d" in "image_vault_mongodb", a time of at most 1d
