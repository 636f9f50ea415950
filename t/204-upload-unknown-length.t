# Bodies whose length is not known: one PUT up to a part, S3's multipart upload
# beyond; equal parts, nothing completed that is not whole.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::MD5 ();
use Digest::SHA ();
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $scripted = start_scripted();
my $h2 = free_port();
my $part = 5 * 1024 * 1024;
my @scripted = qw(r2 503-then-200 complete-200-error);

my $n = ImageVault::Nginx->new(
    name   => 'chunked',
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3(part_size => '5m')
              . join('', map { ImageVault::Nginx::storage_s3(
                    name => $_, bucket => $_, endpoint => $scripted,
                    part_size => '5m', backoff => '10ms 50ms',
                    ($_ eq 'r2' ? (expect_continue => 'off') : ())) } @scripted)
              . "image_vault_storage local { type local; root /tmp; "
              . "url /files; secret 0123456789abcdef0123; }\n"
              . "image_vault_owner alice;\nimage_vault_max_size 30m;\n"
              . "image_vault_buffers 20m;\n"
              . "image_vault_key chunk/\$image_vault_filename;\n",
    server => "listen 127.0.0.1:$h2 http2; client_body_timeout 30s;\n"
              . "location /api { image_vault_api s3; }\n"
              . "location /local { image_vault_api local; }\n"
              . "location /small { image_vault_api s3; image_vault_max_size 1m; }\n"
              . join('', map { "location /$_ { image_vault_api $_; }\n" }
                     @scripted),
)->start;


sub chunked {
    my ($path, $bytes, @more) = @_;
    return curl('-H', 'Transfer-Encoding: chunked', '-H',
                'Content-Type: image/png', '-T', temp_file($bytes), @more,
                $n->url("$path/upload?filename=x.png"));
}


subtest 'sizes around the part' => sub {
    for my $size (300, 65_536, 1_000_000, $part - 1, $part, $part + 1,
                  2 * $part - 1, 2 * $part, 2 * $part + 1, 3 * $part + 77)
    {
        my $png = png($size);
        my $r = chunked('/api', $png);
        is($r->{status}, 201, "$size: created") or diag($r->{body});
        my $i = $r->{json}{images}[0] or next;
        is($i->{size}, $size, "$size: size");
        is($i->{checksums}{md5}, Digest::MD5::md5_hex($png), "$size: md5");
        is($i->{checksums}{sha256}, Digest::SHA::sha256_hex($png),
           "$size: sha256");
        my $d = find_image($i->{id});
        my $o = object($d->{r2Key});
        is($o->{sha256}, $i->{checksums}{sha256}, "$size: the object");
        if ($size > $part) {
            like($d->{etag}, qr/\A[0-9a-f]{32}-\d\z/, "$size: in parts");
        } else {
            is($d->{etag}, $i->{checksums}{md5}, "$size: one PUT");
        }
        ok(!exists $d->{s3UploadId}, "$size: no upload id is left");
    }
};

subtest 'HTTP/2 without a length' => sub {
    for my $size (1000, $part + 5) {
        my $file = temp_file(png($size));
        # curl reads from a pipe, so that it knows no length
        my $curl = "curl -sS --max-time 60 --http2-prior-knowledge -T - "
                   . "-o /dev/null -w '%{http_code}' "
                   . "-H 'Content-Type: image/png'";
        my $code = qx{cat $file | $curl http://127.0.0.1:$h2/api/upload};
        is($code, 201, "$size: created");
    }
};

subtest 'a local storage needs no parts' => sub {
    my $r = chunked('/local', png($part + 1000));
    is($r->{status}, 201, 'created') or diag($r->{body});
    my $d = find_image($r->{json}{images}[0]{id});
    is(-s "/tmp/$d->{r2Key}", $part + 1000, 'the file');
    unlink "/tmp/$d->{r2Key}";
};

subtest 'refused: nothing is completed' => sub {
    my $cut = chunked('/api', substr(png(2 * $part), 0, 2 * $part - 20));
    is($cut->{status}, 422, 'truncated, in parts');
    my $crc = png(2 * $part + 1000);
    substr($crc, $part + 100_000, 1) ^= "\x01";
    is(chunked('/api', $crc)->{status}, 422, 'a bad CRC in the second part');
    is(chunked('/api', png(1000) . 'PK')->{status}, 422, 'trailing data');
    is(chunked('/api', 'hello')->{status}, 415, 'no image');
    is(chunked('/small', png(1_100_000))->{status}, 413, 'too large');
    # curl sends no last chunk where there was none before it
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $n->{port},
                                  Timeout => 10) or die;
    print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    my $answer = join '', <$s>;
    like($answer, qr{\AHTTP/1\.1 400 .*"length_mismatch"}s, 'empty');
};

subtest "R2's rules: equal parts" => sub {
    my $r = chunked('/r2', png(3 * $part + 5));
    is($r->{status}, 201, 'created') or diag($r->{body});
};

subtest 'a part is sent again' => sub {
    my $r = chunked('/503-then-200', png(2 * $part + 5));
    is($r->{status}, 201, 'created') or diag($r->{body});
};

subtest 'Complete says 200 and then an error' => sub {
    my $r = chunked('/complete-200-error', png($part + 5));
    is($r->{status}, 503, 'not acknowledged') or diag($r->{body});
};

subtest 'room: who waits too long is told so, a slow holder gives way' => sub {
    # four slow holders of 5 MB each take all of 20 MB
    my @slow = map {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
        print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\n"
               . "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
               . "3e8\r\n" . substr(png(9000), 0, 1000) . "\r\n";
        $s;
    } 1 .. 4;
    select undef, undef, undef, 0.5;
    my $r = chunked('/api', png(100_000), '--max-time', '30');
    ok($r->{status} == 201 || $r->{status} == 503, "an answer: $r->{status}");
    if ($r->{status} == 503) {
        is($r->{json}{error}{code}, 'overloaded', 'overloaded');
    }
    close $_ for @slow;
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'undone');
    is(chunked('/api', png(100_000))->{status}, 201, 'and well again');
};

subtest 'a worker that is killed between parts' => sub {
    $n->{allow} = qr/exited on signal 9/;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    my $png = png(3 * $part);
    print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/png"
           . "\r\nTransfer-Encoding: chunked\r\n\r\n";
    for my $i (0 .. 11) {
        print $s sprintf("%x\r\n", 1_000_000), substr($png, $i * 1_000_000,
                                                     1_000_000), "\r\n";
    }
    ok(wait_images({ status => 'uploading',
                     s3UploadId => { '$gt' => '' } }, 1, 60),
       'its upload id is noted');
    kill 'KILL', $n->workers;
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0, 'swept');
};

subtest 'nothing is left over' => sub {
    is(wait_images({ status => { '$ne' => 'ready' },
                     storage => { '$ne' => 'complete-200-error' } }, 0, 60), 0,
       'none but ready documents');
    is_deeply(ask('uploads', bucket => $ENV{TEST_S3_BUCKET}), [],
              'no open multipart upload');
};

$n->done;
done_testing();
