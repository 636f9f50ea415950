# Faults of the storage that a real one won't make on demand: a scripted server
# whose buckets are its behaviours.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = start_scripted();

my @buckets = qw(plain 503-then-200 417-then-200 503 reset-after-200000 no-100
                 r2
                 wrong-etag early-403 early-403-300000 301-region skew silent
                 sse-kms reset-once-after-1000 reset-once-after-60000 garbage
                 stale close chunked truncate-after-300000 reset-answer
                 lost-answer error-NoSuchBucket big-body endless-head drip);
my $small = temp_file(png(20_000));
my $large = temp_file(png(1_500_000));

my $http = ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=4s');
my $server = '';
for my $b (@buckets) {
    my %more = (backoff => '10ms 50ms', region => 'auto');
    $more{read_timeout} = '1s' if $b eq 'silent';
    $more{expect_continue} = 'off' if $b eq 'r2';
    $http .= ImageVault::Nginx::storage_s3(name => $b, endpoint => $s3,
                                           bucket => $b, %more);
    $server .= "location /$b { image_vault_api $b; }\n";
}

my $n = ImageVault::Nginx->new(
    name => 'faults', http => $http,
    server => "image_vault_owner alice;\n$server",
)->start;


sub upload {
    my ($bucket, $file) = @_;
    return curl('-T', $file, '-H', 'Content-Type: image/png',
                $n->url("/$bucket/upload?filename=x.png"));
}

# keys of a bucket
sub kept {
    my ($bucket) = @_;
    return map { m{\A\Q$bucket\E/(.*)} ? $1 : () } keys %{ scripted_objects() };
}

sub requests {
    my ($bucket, $method) = @_;
    return grep { $_->{path} =~ m{\A/\Q$bucket\E/}
                  && (!$method || $_->{method} eq $method) }
           @{ scripted_log() };
}


subtest 'all is well: one PUT, exact length, signed' => sub {
    is(upload('plain', $small)->{status}, 201, 'small');
    is(upload('plain', $large)->{status}, 201, 'large');
    is(scalar(kept('plain')), 2, 'two objects');
    my @put = requests('plain', 'PUT');
    is(scalar @put, 2, 'one request each');
    my %h = %{ $put[0]{headers} };
    like($h{'x-amz-content-sha256'}, qr/\A[0-9a-f]{64}\z/,
         'a body held whole is signed exactly');
    is($put[1]{headers}{'x-amz-content-sha256'}, 'UNSIGNED-PAYLOAD',
       'a streamed one is not');
    is($h{'content-length'}, 20_000, 'length');
    is($h{'content-type'}, 'image/png', 'type');
    is($put[1]{headers}{expect}, '100-continue', 'asks first');
};

subtest '503 then 200: retried' => sub {
    is(upload('503-then-200', $small)->{status}, 201, 'small');
    is(scalar(kept('503-then-200')), 1, 'stored');
};

subtest '503 always: given up' => sub {
    my $r = upload('503', $small);
    is($r->{status}, 503, 'status');
    is($r->{json}{error}{code}, 'storage_unavailable', 'code');
    ok($r->{headers}{'retry-after'}, 'Retry-After');
    is(scalar(requests('503', 'PUT')), 4, 'tried once and thrice again');
};

subtest 'reset in mid-body' => sub {
    my $r = upload('reset-after-200000', $large);
    is($r->{status}, 503, 'status');
    is($r->{json}{error}{code}, 'storage_unavailable', 'code');
};

subtest 'reset, then well: retried while the body is at hand' => sub {
    is(upload('reset-once-after-1000', $small)->{status}, 201, 'small');
    is(scalar(kept('reset-once-after-1000')), 1, 'stored');
    my %paths = map { $_->{path} => 1 } requests('reset-once-after-1000',
                                                 'PUT');
    is(scalar(keys %paths), 2, 'under a fresh key: the broken one may appear '
                               . 'late');
    unlike($n->error_log, qr/\[error\].*reset-once-after-1000/,
           'what is mended is no error');

    # a large one whose first bytes have not been overwritten yet
    my $png = png(400_000);
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "PUT /reset-once-after-60000/upload HTTP/1.1\r\nHost: x\r\n"
           . "Content-Length: 400000\r\nConnection: close\r\n\r\n",
        substr($png, 0, 120_000);
    wait_for { requests('reset-once-after-60000', 'PUT') };
    print $s substr($png, 120_000);
    my $text = do { local $/; <$s> };
    like($text, qr{\AHTTP/1\.1 201}, 'large: replayed from the first buffers');
};

subtest '100 never comes' => sub {
    is(upload('no-100', $large)->{status}, 201, 'stored all the same');
    is(scalar(kept('no-100')), 1, 'once');

    is(upload('no-100', $small)->{status}, 201, 'stored') for 1 .. 3;
    my @asked = map { $_->{headers}{expect} ? 1 : 0 } requests('no-100', 'PUT');
    is_deeply(\@asked, [1, 1, 1, 0], 'and then it is not asked any more');
    like($n->error_log, qr/\[notice\].*storage "no-100".*expect_continue off/,
         'said');
};

subtest '417: the storage minds being asked' => sub {
    is(upload('417-then-200', $small)->{status}, 201, 'stored');
    my @asked = map { $_->{headers}{expect} ? 1 : 0 }
                requests('417-then-200', 'PUT');
    is_deeply(\@asked, [1, 0], 'asked once');
};

subtest "R2's rules" => sub {
    is(upload('r2', $small)->{status}, 201, 'small');
    is(upload('r2', $large)->{status}, 201, 'large');
    ok(!grep({ $_->{headers}{expect} } requests('r2')), 'no Expect');
    is(scalar(kept('r2')), 2, 'stored');
};

subtest 'an ETag that is not the MD5' => sub {
    my $r = upload('wrong-etag', $large);
    is($r->{status}, 503, 'status');
    is(scalar(kept('wrong-etag')), 0, 'deleted');
    like($n->error_log, qr/\[error\].*etag/i, 'said');
};

subtest 'SSE-KMS: the ETag is no MD5' => sub {
    is(upload('sse-kms', $small)->{status}, 201, 'taken');
};

subtest 'an early 403' => sub {
    my $r = upload('early-403', $large);
    is($r->{status}, 502, 'status');
    is($r->{json}{error}{code}, 'storage_denied', 'code');
    like($n->error_log, qr/\[error\].*AccessDenied/, 'the log names it');
    is(scalar(requests('early-403', 'PUT')), 1, 'not retried');
};

subtest 'a redirect is not followed' => sub {
    my $r = upload('301-region', $small);
    is($r->{status}, 502, 'status');
    is($r->{json}{error}{code}, 'storage_denied', 'code');
    like($n->error_log, qr/eu-central-1/, 'the log names the region');
};

subtest 'a clock that is off mends itself' => sub {
    is(upload('skew', $small)->{status}, 201, 'stored');
};

subtest 'a storage that never answers' => sub {
    my $t = time;
    my $r = upload('silent', $small);
    is($r->{status}, 503, 'given up');
    cmp_ok(time - $t, '<', 40, 'in time');
};

subtest 'answers that are not HTTP, or not to be had' => sub {
    for my $b (qw(garbage endless-head reset-answer)) {
        my $r = upload($b, $small);
        is($r->{status}, 503, "$b: status");
        is($r->{json}{error}{code}, 'storage_unavailable', "$b: code");
    }
    is(upload('big-body', $small)->{status} >= 500, 1, 'a large error body');
};

subtest 'answers that are odd but right' => sub {
    is(upload($_, $small)->{status}, 201, $_) for qw(close chunked drip);
};

subtest 'a connection closed while idle is no failure' => sub {
    is(upload('stale', $_ % 2 ? $small : $large)->{status}, 201, 'stored')
        for 1 .. 4;
};

subtest 'the answer is lost, the object is there' => sub {
    my $r = upload('lost-answer', $large);
    is($r->{status}, 503, 'not acknowledged');
};

subtest 'a truncated object is kept by the storage' => sub {
    my $r = upload('truncate-after-300000', $large);
    is($r->{status}, 503, 'not acknowledged');
};

subtest 'an early 403 after some bytes' => sub {
    my $r = upload('early-403-300000', $large);
    is($r->{status}, 502, 'status');
    is($r->{json}{error}{code}, 'storage_denied', 'code');
};

subtest 'no such bucket' => sub {
    my $r = upload('error-NoSuchBucket', $small);
    is($r->{status}, 502, 'status');
    like($n->error_log, qr/\[error\].*NoSuchBucket/, 'the log names it');
};

subtest 'nothing is left over once the sweep has passed' => sub {
    # these never let anything be deleted
    my @dead = qw(503 301-region silent error-NoSuchBucket early-403
                  early-403-300000 garbage endless-head reset-answer big-body);
    is(wait_images({ status => { '$ne' => 'ready' },
                     storage => { '$nin' => \@dead } }, 0, 60), 0,
       'no document but ready ones');
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'nothing uploading');
    my %ready = map { $_->{r2Key} => 1 } find_images();
    is_deeply([grep { !$ready{$_} } map { kept($_) } @buckets], [],
              'no object without a document');
    unlike($n->error_log, qr/\Q$ENV{TEST_S3_SECRET}\E/, 'no secret in the log');
    unlike($n->error_log, qr/Signature=[0-9a-f]{64}/, 'no signature either');
};

$n->done;
done_testing();
