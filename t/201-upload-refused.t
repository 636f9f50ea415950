# Bad input: each gets its status and code as JSON and a log line at info, and
# leaves no object and no document that is still uploading.

use lib 't/lib';
use Test::Nginx::Socket 'no_plan';
use ImageVault;

# the answer's code; nothing left in database and bucket
sub refused {
    my ($body, $code, %a) = @_;

    my $j = json($body);
    is($j->{success}, JSON::PP::false, 'no success');
    is($j->{error}{code}, $code, 'code');
    ok(length $j->{error}{message}, 'a message');
    is_deeply($j->{errors}, [$j->{error}{message}], 'errors');
    is_deeply($j->{images}, [], 'no images');
    like($j->{requestId}, qr/\A[0-9a-f]{32}\z/, 'request id');

    is(wait_images({ status => { '$in' => ['uploading', 'ready'] } }, 0, 60), 0,
       'no document but failed ones');
    is(scalar(find_images()), 0, 'no document at all') if !$a{begun};
    for my $d (find_images()) {
        is($d->{status}, 'error', 'the document is in error');
        ok($d->{deletedAt}, 'to be swept');

        # versitygw may keep what a PUT that was cut had sent, also after our
        # delete: that is what the second delete is for
        if ($a{cut}) {
            is(wait_images({}, 0, 60), 0, 'swept');
        }
        is(object($d->{r2Key}), undef, 'no object');
    }
    ask('command', db => $ImageVault::Peers::Database,
        command => { delete => 'images', deletes => [{ q => {}, limit => 0 }] });
}

run_tests();

__DATA__

=== TEST 1: empty
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- raw_request eval
"POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
--- error_code: 400
--- error_log: [info]
--- after eval
sub { main::refused($_[0], 'length_mismatch') }


=== TEST 2: not an image
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n<html>not an image at all</html>"
--- more_headers
Content-Type: image/png
--- error_code: 415
--- error_log: unsupported_type
--- after eval
sub { main::refused($_[0], 'unsupported_type') }


=== TEST 3: a type of content that is none of an image
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(500)
--- more_headers
Content-Type: text/html
--- error_code: 415
--- after eval
sub { main::refused($_[0], 'unsupported_type') }


=== TEST 4: a format that is not allowed here
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_types image/jpeg; }
--- request eval
"POST /api/upload\n" . png(500)
--- more_headers
Content-Type: image/png
--- error_code: 415
--- after eval
sub { main::refused($_[0], 'unsupported_type') }


=== TEST 5: larger than allowed, known by its length
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_max_size 1k; }
--- request eval
"POST /api/upload\n" . png(1025)
--- more_headers
Content-Type: image/png
--- error_code: 413
--- error_log: too_large
--- after eval
sub { main::refused($_[0], 'too_large') }


=== TEST 6: exactly as large as allowed
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_max_size 1k; }
--- request eval
"POST /api/upload\n" . png(1024)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub {
    Test::More::ok(main::json($_[0])->{success}, 'stored');
    main::ask('command', db => $ImageVault::Peers::Database,
        command => { delete => 'images', deletes => [{ q => {}, limit => 0 }] });
}


=== TEST 7: client_max_body_size of the server does not hold
--- owner: alice
--- http_config
client_max_body_size 100;
--- config
location /api { image_vault_api s3; image_vault_max_size 1k; }
--- request eval
"POST /api/upload\n" . png(2000)
--- more_headers
Content-Type: image/png
--- error_code: 413
--- after eval
sub { main::refused($_[0], 'too_large') }


=== TEST 8: truncated, small
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . substr(png(1000), 0, 990)
--- more_headers
Content-Type: image/png
--- error_code: 422
--- error_log: corrupt_image
--- after eval
sub { main::refused($_[0], 'corrupt_image', begun => 1) }


=== TEST 9: truncated, streamed: no object comes to be
--- owner: alice
--- sweep: interval=300ms stale=4s
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . substr(png(900_000), 0, 899_990)
--- more_headers
Content-Type: image/png
--- error_code: 422
--- error_log: corrupt_image
--- after eval
sub { main::refused($_[0], 'corrupt_image', begun => 1, cut => 1) }


=== TEST 10: bytes after the end, PNG and streamed JPEG
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(1000) . "PK\3\4"
--- more_headers
Content-Type: image/png
--- error_code: 422
--- error_log: trailing_data
--- after eval
sub { main::refused($_[0], 'trailing_data', begun => 1) }


=== TEST 11: bytes after the end of a large JPEG
--- owner: alice
--- sweep: interval=300ms stale=4s
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . jpeg(500_000) . "<script>"
--- more_headers
Content-Type: image/jpeg
--- error_code: 422
--- after eval
sub { main::refused($_[0], 'trailing_data', begun => 1, cut => 1) }


=== TEST 12: a broken CRC in mid-stream cuts the upload
--- owner: alice
--- sweep: interval=300ms stale=4s
--- config
location /api { image_vault_api s3; }
--- request eval
my $p = png(2_000_000); substr($p, 600_000, 1) ^= "\x01"; "POST /api/upload\n$p"
--- more_headers
Content-Type: image/png
--- error_code: 422
--- error_log: corrupt_image
--- after eval
sub { main::refused($_[0], 'corrupt_image', begun => 1, cut => 1) }


=== TEST 13: absurd dimensions
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(1000, width => 2_000_000_000, height => 2_000_000_000)
--- more_headers
Content-Type: image/png
--- error_code: 413
--- error_log: too_many_pixels
--- after eval
sub { main::refused($_[0], 'too_many_pixels') }


=== TEST 14: one pixel too many; as many as allowed is well
--- owner: alice
--- config
location /api { image_vault_api s3; image_vault_max_pixels 3k; }
--- request eval
"POST /api/upload\n" . png(1000, width => 3001, height => 1)
--- more_headers
Content-Type: image/png
--- error_code: 413
--- after eval
sub { main::refused($_[0], 'too_many_pixels') }


=== TEST 15: no owner
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(1000)
--- more_headers
Content-Type: image/png
--- error_code: 401
--- after eval
sub { main::refused($_[0], 'unauthenticated') }


=== TEST 16: an odd owner is warned of
--- config
location /api { image_vault_api s3; image_vault_owner $http_x_user; }
--- request eval
"POST /api/upload\n" . png(1000)
--- more_headers
Content-Type: image/png
X-User: ../etc
--- error_code: 401
--- error_log: [warn]
--- after eval
sub { main::refused($_[0], 'unauthenticated') }


=== TEST 17: owners "." and ".." and one that is too long
--- config
location /api { image_vault_api s3; image_vault_owner $arg_u; }
--- pipelined_requests eval
["POST /api/upload?u=.\n" . png(300), "POST /api/upload?u=..\n" . png(300),
 "POST /api/upload?u=" . ("a" x 129) . "\n" . png(300),
 "POST /api/upload?u=" . ("a" x 128) . "\n" . png(300)]
--- more_headers
Content-Type: image/png
--- error_code eval
[401, 401, 401, 201]


=== TEST 18: for another owner without being admin
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload?userId=bob\n" . png(1000)
--- more_headers
Content-Type: image/png
--- error_code: 403
--- after eval
sub {
    main::ask('command', db => $ImageVault::Peers::Database,
        command => { delete => 'images', deletes => [{ q => {}, limit => 0 }] });
    main::refused($_[0], 'forbidden');
}


=== TEST 19: from another site
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(1000)
--- more_headers
Content-Type: image/png
Origin: https://evil.example
--- error_code: 403
--- after eval
sub { main::refused($_[0], 'forbidden') }


=== TEST 20: cross-site without Origin
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(1000)
--- more_headers
Content-Type: image/png
Sec-Fetch-Site: cross-site
--- error_code: 403
--- after eval
sub { main::refused($_[0], 'forbidden') }


=== TEST 21: another method
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request
DELETE /api/upload
--- error_code: 405
--- response_headers
Allow: POST, PUT
--- after eval
sub { main::refused($_[0], 'method_not_allowed') }


=== TEST 22: the storage can't be reached
--- owner: alice
--- http_config
image_vault_storage dead {
    endpoint http://127.0.0.1:1;
    region us-east-1;
    bucket b;
    credentials static a b;
    retries 0;
}
--- config
location /api { image_vault_api dead; }
--- request eval
"POST /api/upload\n" . png(1000)
--- more_headers
Content-Type: image/png
--- error_code: 503
--- response_headers_like
Retry-After: \d+
--- error_log: [error]
--- after eval
sub {
    my $j = main::json($_[0]);
    Test::More::is($j->{error}{code}, 'storage_unavailable', 'code');
    Test::More::is(main::wait_images({ status => 'uploading' }, 0, 60), 0,
        'nothing is uploading');
    main::ask('command', db => $ImageVault::Peers::Database,
        command => { delete => 'images', deletes => [{ q => {}, limit => 0 }] });
}


=== TEST 23: odd names are made safe
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
["POST /api/upload?filename=..%2F..%2Fetc%2Fpasswd\n" . png(300),
 "POST /api/upload?filename=a%00b%0d%0aX-Evil:%201\n" . png(301),
 "POST /api/upload?filename=" . ("n" x 4000) . ".png\n" . png(302),
 "POST /api/upload?filename=q%22uo%22te%5c.png\n" . png(303),
 "POST /api/upload?filename=%ff%fe%e2%80%ae.png\n" . png(304)]
--- more_headers
Content-Type: image/png
--- error_code eval
[201, 201, 201, 201, 201]
--- after eval
sub {
    my $n = () = main::find_images();
    return if $n < 5;
    my %by = map { $_->{size} => $_ } main::find_images();
    Test::More::is($by{300}{originalName}, 'passwd', 'path parts');
    Test::More::unlike($by{301}{originalName}, qr/[\x00-\x1f]/, 'controls');
    Test::More::cmp_ok(length $by{302}{originalName}, '<=', 255, 'length');
    Test::More::like($by{302}{originalName}, qr/\.png\z/, 'extension');
    Test::More::unlike($by{304}{originalName}, qr/\x{202e}/, 'bidi');
    for my $s (300 .. 304) {
        my $o = main::object($by{$s}{r2Key});
        Test::More::like($o->{disposition}, qr/\Ainline; filename="[\x20-\x7e]*/,
            'a disposition that is a header');
    }
}
