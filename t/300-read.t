# Who may see what: the order of checks for GET and HEAD of an image, the JSON
# and the redirect.

use lib 't/lib';
use Test::Nginx::Socket 'no_plan';
use ImageVault;

our %Id;

BEGIN {
    my $past = { '$date' => '2020-01-01T00:00:00Z' };
    my $future = { '$date' => '2099-01-01T00:00:00Z' };
    my %docs = (
        mine      => {},
        hex       => { owner => '0123456789abcdef01234567' },
        shared    => { shared => ['bob', '0123456789abcdef01234567'] },
        public    => { public => 1 },
        uploading => { status => 'uploading' },
        error     => { status => 'error' },
        deleted   => { status => 'error', deletedAt => $past },
        gone      => { expires => $past },
        later     => { expires => $future },
        blocked   => { blocked => { at => $past, reason => 'abuse' } },
        odd       => { storage => 'unknown' },
    );
    for my $k (sort keys %docs) {
        $Id{$k} = new_id();
        insert_images(image_doc(id => $Id{$k}, %{ $docs{$k} }));
        $ENV{"TEST_NGINX_ID_\U$k"} = $Id{$k};
    }
    $ENV{TEST_NGINX_ID_ABSENT} = 'f' x 24;
}

run_tests();

__DATA__

=== TEST 1: the owner sees the document
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{mine}"
--- error_code: 200
--- response_headers
Content-Type: application/json
Cache-Control: no-store
X-Content-Type-Options: nosniff
Referrer-Policy: no-referrer
--- response_headers_like
ETag: .+
Vary: .*Accept.*
--- after eval
sub {
    my $j = main::json($_[0]);
    my $i = $j->{image};
    Test::More::ok($j->{success}, 'success');
    Test::More::is($i->{id}, $main::Id{mine}, 'id');
    Test::More::like($i->{url}, qr{\Ahttp://.*X-Amz-Signature=}, 'url');
    Test::More::like($i->{urlExpiresAt}, qr/\A\d{4}-\d\d-\d\dT[\d:.]+Z\z/, 'end');
    my $m = $i->{metadata};
    Test::More::is_deeply([sort keys %$m], [sort qw(id _id userId originalName
        filename contentType size dimensions metadata access status checksums
        variants)], 'exactly ImageMetadata');
    Test::More::is($m->{userId}, 'alice', 'userId');
    Test::More::is($m->{size}, 1234, 'size');
    Test::More::is_deeply($m->{dimensions}, { width => 3, height => 2 }, 'dim');
    Test::More::is($m->{access}{expiresAt}, undef, 'expiresAt');
    Test::More::unlike($_[0], qr/r2Key|bucket/i, 'no key, no bucket name');
}


=== TEST 2: upper case ids are folded; an owner of hex digits
--- owner: 0123456789ABCDEF01234567
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/\U$main::Id{hex}"
--- error_code: 200
--- response_body_like: "userId":"0123456789abcdef01234567"


=== TEST 3: a stranger can't tell a private image from none
--- owner: bob
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
[map { "GET /api/$_" } $main::Id{mine}, 'f' x 24, $main::Id{deleted},
    $main::Id{gone}, $main::Id{blocked}, $main::Id{uploading}, $main::Id{error},
    'zzz', "$main::Id{mine}0"]
--- error_code eval
[(404) x 9]
--- response_body_like eval
[(qr/\A\{"success":false,"error":\{"code":"not_found","message":"no such image"\},"errors":\["no such image"\],"images":\[\],"requestId":"[0-9a-f]{32}"\}\n?\z/) x 9]


=== TEST 4: so can't somebody anonymous
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
[map { "GET /api/$_/view" } $main::Id{mine}, 'f' x 24, $main::Id{shared}]
--- error_code eval
[(404) x 3]


=== TEST 5: shared with him
--- owner: bob
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{shared}"
--- error_code: 200
--- response_body_like: "sharedWith":\["bob","0123456789abcdef01234567"\]


=== TEST 6: public, anonymous
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{public}/view"
--- error_code: 302
--- response_headers_like
Location: http://127\.0\.0\.1:\d+/.*X-Amz-Signature=[0-9a-f]{64}
Cache-Control: public, max-age=\d+


=== TEST 7: an admin sees all but what is not there
--- owner: root
--- config
location /api { image_vault_api s3; image_vault_admin yes; }
--- pipelined_requests eval
[map { "GET /api/$_" } $main::Id{mine}, $main::Id{blocked}, $main::Id{error},
    $main::Id{deleted}]
--- error_code eval
[200, 200, 404, 404]


=== TEST 8: "0" is no admin
--- owner: root
--- config
location /api { image_vault_api s3; image_vault_admin 0; }
--- request eval
"GET /api/$main::Id{mine}"
--- error_code: 404


=== TEST 9: blocked, expired, uploading: told to whom may read
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
[map { "GET /api/$main::Id{$_}" } qw(blocked gone uploading later error deleted)]
--- error_code eval
[451, 410, 409, 200, 404, 404]
--- response_body_like eval
[qr/"blocked".*abuse/, qr/"gone"/, qr/"not_ready"/, qr/"2099-01-01T00:00:00\.000Z"/,
 qr/"not_found"/, qr/"not_found"/]


=== TEST 10: a storage that is not configured
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{odd}"
--- error_code: 500
--- error_log: storage
--- response_body_like: "internal"


=== TEST 11: Accept decides between JSON and redirect
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{mine}"
--- more_headers
Accept: image/avif,image/webp,*/*;q=0.8
--- error_code: 302
--- response_headers_like
Location: http://.*X-Amz-Signature=.*
Cache-Control: private, max-age=\d+


=== TEST 12: a browser's address bar
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{mine}"
--- more_headers
Accept: text/html,application/xhtml+xml
--- error_code: 302


=== TEST 13: HEAD of the JSON
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"HEAD /api/$main::Id{mine}"
--- error_code: 200
--- response_headers_like
ETag: .+
--- response_body


=== TEST 25: HEAD of the redirect: a URL for HEAD
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"HEAD /api/$main::Id{mine}/view"
--- error_code: 302
--- response_headers_like
Location: http://.*X-Amz-Signature=.*
--- response_body
--- after eval
sub {
    my $base = "http://127.0.0.1:" . Test::Nginx::Util::server_port();
    my @l = map { main::curl(@$_, "$base/api/$main::Id{mine}/view")
                  ->{headers}{location} } (['-I'], []);
    Test::More::isnt($l[0], $l[1], 'GET and HEAD are signed apart');
}


=== TEST 14: download names the file
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{mine}/download"
--- error_code: 302
--- response_headers_like
Location: .*response-content-disposition=attachment%3B%20filename%3D%22photo\.png%22.*


=== TEST 15: a variant is of a later version
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"GET /api/$main::Id{mine}/view?variant=small"
--- error_code: 400
--- response_body_like: bad_parameter


=== TEST 16: image_vault_redirect, its id and ?download=1
--- owner: alice
--- config
location /i/ { image_vault_redirect; }
location /j/ { image_vault_redirect id=$arg_x; }
--- pipelined_requests eval
["GET /i/a/$main::Id{mine}", "GET /j/?x=$main::Id{mine}",
 "GET /i/$main::Id{mine}?download=1", "GET /j/?x=nothing",
 "POST /i/$main::Id{mine}\nx"]
--- error_code eval
[302, 302, 302, 404, 405]


=== TEST 17: nested locations, if and limit_except keep the handler and prefix
--- owner: alice
--- config
location /api {
    image_vault_api s3;
    location ~ /view$ { add_header X-Nested yes; }
    if ($arg_q) { set $x 1; }
    limit_except GET { deny all; }
}
--- pipelined_requests eval
["GET /api/$main::Id{mine}/view", "GET /api/$main::Id{mine}?q=1",
 "GET /api/$main::Id{mine}"]
--- error_code eval
[302, 200, 200]


=== TEST 18: the API after an internal redirect
--- owner: alice
--- config
location /pics { rewrite ^/pics/(.*)$ /api/$1 last; }
location /api { image_vault_api s3; }
--- request eval
"GET /pics/$main::Id{mine}"
--- error_code: 200
--- response_body_like eval
qr/"id":"$main::Id{mine}"/


=== TEST 19: what is not part of the API
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
["GET /api", "GET /api/", "GET /apis", "GET /api/$main::Id{mine}/nothing",
 "GET /api/$main::Id{mine}/view/more"]
--- error_code eval
[404, 404, 404, 404, 404]


=== TEST 20: other methods
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/$main::Id{mine}/view\nx"
--- error_code: 405
--- response_headers
Allow: GET, HEAD


=== TEST 21: not modified
--- owner: alice
--- config
location /api { image_vault_api s3; }
location /t { proxy_pass $scheme://127.0.0.1:$server_port/api/$arg_i; proxy_set_header If-None-Match '*'; }
--- request eval
"GET /t?i=$main::Id{mine}"
--- error_code: 304


=== TEST 22: an anonymous writer
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(300)
--- error_code: 401


=== TEST 23: the same URL within a window, another one without
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_url_window 1h; }
location /now { rewrite ^/now/(.*)$ /$1 break; image_vault_redirect; image_vault_url_window 1s; }
--- request eval
"GET /api/$main::Id{mine}"
--- error_code: 200
--- after eval
sub {
    my $u1 = main::json($_[0])->{image}{url};
    my $base = "http://127.0.0.1:" . Test::Nginx::Util::server_port();
    # one window may end meanwhile
    my %url = ($u1 => 1);
    for (1, 2) {
        sleep 1;
        $url{ main::curl("$base/api/$main::Id{mine}")->{json}{image}{url} }++;
    }
    Test::More::cmp_ok(scalar keys %url, '<=', 2, 'stable');
    my $n1 = main::curl("$base/now/$main::Id{mine}")->{headers}{location};
    sleep 2;
    my $n2 = main::curl("$base/now/$main::Id{mine}")->{headers}{location};
    Test::More::isnt($n2, $n1, 'fresh');
    my ($date, $life) = $u1 =~ /X-Amz-Date=(\d+T\d+Z).*X-Amz-Expires=(\d+)/;
    Test::More::is($life, 7200, 'expiry and window');
}


=== TEST 24: an image's end is the URL's end
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_url_expiry 1h; image_vault_url_window 5m; }
--- request eval
my $id = main::new_id();
$main::Id{soon} = $id;
main::insert_images(main::image_doc(id => $id, expires => main::mongo_now(600)));
"GET /api/$id"
--- error_code: 200
--- after eval
sub {
    my $i = main::json($_[0])->{image};
    my ($life) = $i->{url} =~ /X-Amz-Expires=(\d+)/;
    Test::More::cmp_ok($life, '<=', 900, 'cut');
    Test::More::is($i->{urlExpiresAt}, $i->{metadata}{access}{expiresAt}, 'end');
}
