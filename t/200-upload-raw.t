# One image as a raw body: what the client hears, what MongoDB and the bucket
# then hold.

use lib 't/lib';
use Test::Nginx::Socket 'no_plan';
use ImageVault;
use Digest::MD5 ();
use Digest::SHA ();

# what stands in the database and the bucket for this answer
sub whole_image {
    my ($body, $bytes, %want) = @_;

    my $a = json($body);
    ok($a->{success}, 'success');
    my $i = $a->{images}[0];
    like($i->{id}, qr/\A[0-9a-f]{24}\z/, 'an id');
    is($i->{size}, length $bytes, 'size');
    is($i->{checksums}{md5}, Digest::MD5::md5_hex($bytes), 'md5');
    is($i->{checksums}{sha256}, Digest::SHA::sha256_hex($bytes), 'sha256');
    is($i->{url}, $a->{url}, 'the url stands on top as well');
    like($i->{url}, qr/\Ahttp.*X-Amz-Signature=/, 'the url is signed');
    ok($a->{requestId}, 'a request id');

    my $d = find_image($i->{id});
    ok($d, 'a document') or return;
    is($d->{status}, 'ready', 'status');
    is($d->{size}, length $bytes, 'size in the document');
    is($d->{checksums}{md5}, $i->{checksums}{md5}, 'md5 in the document');
    is($d->{checksums}{sha256}, $i->{checksums}{sha256}, 'sha256');
    is($d->{etag}, $i->{checksums}{md5}, 'etag');
    is($d->{storage}, 's3', 'storage');
    is($d->{access}{isPublic}, JSON::PP::false, 'private');
    is_deeply($d->{access}{sharedWith}, [], 'not shared');
    is_deeply($d->{variants}, [], 'no variants');
    ok(!exists $d->{deletedAt}, 'not deleted');
    for my $k (sort keys %want) {
        my $v = $d;
        $v = ref $v ? $v->{$_} : undef for split /\./, $k;
        is_deeply($v, $want{$k}, $k);
    }

    my $o = object($d->{r2Key});
    ok($o, 'an object') or return;
    is($o->{size}, length $bytes, 'size of the object');
    is($o->{sha256}, $i->{checksums}{sha256}, 'sha256 of the object');
    is($o->{type}, $d->{contentType}, 'type of the object');

    return ($a, $d, $o);
}

run_tests();

__DATA__

=== TEST 1: a small PNG by POST
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload?filename=cat.png\n" . png(1000)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- response_headers
Content-Type: application/json
Cache-Control: no-store
X-Content-Type-Options: nosniff
Referrer-Policy: no-referrer
--- after eval
sub {
    my ($a, $d, $o) = main::whole_image($_[0], main::png(1000),
        userId => 'alice', originalName => 'cat.png',
        contentType => 'image/png', 'dimensions' => { width => 64,
        height => 48 });
    Test::More::like($d->{filename}, qr/\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-
        [89ab][0-9a-f]{3}-[0-9a-f]{12}\.png\z/x, 'filename');
    Test::More::is($d->{r2Key}, "images/$d->{filename}", 'key');
    Test::More::like($o->{disposition}, qr/\Ainline; filename="cat\.png"/,
        'disposition');
    Test::More::is($a->{images}[0]{href}, "/api/$a->{images}[0]{id}", 'href');
}


=== TEST 2: a JPEG by PUT, no content type
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"PUT /api/upload?filename=a.jpeg\n" . jpeg(5000)
--- error_code: 201
--- after eval
sub {
    main::whole_image($_[0], main::jpeg(5000), contentType => 'image/jpeg');
}


=== TEST 3: the type is decided by content, not by name or header
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload?filename=a.png\n" . jpeg(500)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub {
    my (undef, $d) = main::whole_image($_[0], main::jpeg(500),
        contentType => 'image/jpeg');
    Test::More::like($d->{r2Key}, qr/\.jpg\z/, 'the true extension');
}


=== TEST 4: an owner of 24 hex digits is an ObjectId
--- owner: 0123456789abcdef01234567
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(300)
--- more_headers
Content-Type: application/octet-stream
--- error_code: 201
--- after eval
sub {
    main::whole_image($_[0], main::png(300),
        userId => { '$oid' => '0123456789abcdef01234567' },
        originalName => 'image');
}


=== TEST 5: larger than all buffers: streamed
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(3_000_001)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub { main::whole_image($_[0], main::png(3_000_001)) }


=== TEST 6: as large as the buffers, a byte less, a byte more
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- pipelined_requests eval
["POST /api/upload\n" . png(131_071), "POST /api/upload\n" . png(131_072),
 "POST /api/upload\n" . png(131_073), "POST /api/upload\n" . png(65_536),
 "POST /api/upload\n" . png(65_537), "POST /api/upload\n" . png(16_384),
 "POST /api/upload\n" . png(16_385)]
--- more_headers
Content-Type: image/png
--- error_code eval
[201, 201, 201, 201, 201, 201, 201]


=== TEST 7: the key template, each value one segment
--- owner: al|ice
--- config
location /api {
    image_vault_api s3;
    set $folder "a/../b c";
    image_vault_key $image_vault_owner/$folder/pics/$image_vault_filename;
}
--- request eval
"POST /api/upload\n" . png(400)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub {
    my (undef, $d) = main::whole_image($_[0], main::png(400));
    Test::More::like($d->{r2Key}, qr{\Aal_ice/a_.._b_c/pics/[0-9a-f-]+\.png\z},
        'key');
}


=== TEST 8: image_vault_upload in a location of its own, uploaded_from
--- owner: alice
--- config
location = /put {
    image_vault_upload s3;
    image_vault_uploaded_from $http_x_from;
}
--- request eval
"PUT /put?filename=x.png\n" . png(400)
--- more_headers
Content-Type: image/png
X-From: 192.0.2.7
--- error_code: 201
--- after eval
sub {
    my ($a) = @_;
    main::whole_image($a, main::png(400), 'metadata.uploadedFrom' =>
        '192.0.2.7');
}


=== TEST 9: an admin uploads for somebody else
--- owner: root
--- config
location /api { image_vault_api s3; image_vault_admin 1; }
--- request eval
"POST /api/upload?userId=carol\n" . png(400)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub { main::whole_image($_[0], main::png(400), userId => 'carol') }


=== TEST 10: a name from Content-Disposition
--- owner: alice
--- config
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(400)
--- more_headers
Content-Type: image/png
Content-Disposition: attachment; filename="x.png"; filename*=UTF-8''%e2%82%ac%20rates.png
--- error_code: 201
--- after eval
sub {
    my (undef, $d, $o) = main::whole_image($_[0], main::png(400),
        originalName => "\x{20ac} rates.png");
    Test::More::like($o->{disposition}, qr/filename\*=UTF-8''%E2%82%AC%20rates/i,
        'disposition');
}


=== TEST 11: a body that was already read, in memory
--- owner: alice
--- config
location /api { image_vault_api s3; mirror /mirror; mirror_request_body on; }
location = /mirror { internal; return 204; }
--- request eval
"POST /api/upload\n" . png(3000)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub { main::whole_image($_[0], main::png(3000)) }


=== TEST 12: a body that was already read, in a file
--- owner: alice
--- config
location /api {
    image_vault_api s3;
    mirror /mirror;
    mirror_request_body on;
    client_body_in_file_only clean;
}
location = /mirror { internal; return 204; }
--- request eval
"POST /api/upload\n" . png(700_000)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub { main::whole_image($_[0], main::png(700_000)) }


=== TEST 13: a local storage
--- owner: alice
--- config
location /api { image_vault_api local; }
--- request eval
"POST /api/upload\n" . png(300_000)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub {
    my $a = main::json($_[0]);
    my ($d) = main::find_image($a->{images}[0]{id});
    Test::More::is($d->{storage}, 'local', 'storage');
    my $file = "$ImageVault::Store/$d->{r2Key}";
    Test::More::ok(-f $file, 'the file') or return;
    Test::More::is(main::slurp($file), main::png(300_000), 'its bytes');
    Test::More::like($a->{url}, qr{\Ahttp://[^/]+/files/images/.*signature=},
        'an absolute, signed url');
    my @other = grep { !/\.png\z/ || m{/\.[^/]*\z} }
        glob "$ImageVault::Store/images/{*,.*}";
    Test::More::is(scalar(grep { -f } @other), 0, 'no temporary file is left');
}


=== TEST 14: $image_vault variables in the access log
--- owner: alice
--- http_config
log_format iv '$image_vault_result $image_vault_owner $image_vault_size $image_vault_content_type $image_vault_db_time $image_vault_storage_time';
--- config
access_log logs/iv.log iv;
location /api { image_vault_api s3; }
--- request eval
"POST /api/upload\n" . png(400)
--- more_headers
Content-Type: image/png
--- error_code: 201
--- after eval
sub {
    my $log = "$ENV{TEST_NGINX_SERVER_ROOT}/logs/iv.log";
    main::wait_for { -s $log } 60;
    Test::More::like(main::slurp($log),
        qr{^created alice 400 image/png \d+\.\d{3} \d+\.\d{3}$}m, 'the line');
}
