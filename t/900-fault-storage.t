# Faults of the storage that a real one won't make on demand: a scripted server
# whose buckets are its behaviours.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = start_scripted();

my @buckets = qw(plain 503-then-200 503-always reset-after-200000 no-100 r2
                 wrong-etag early-403 301-region skew-once drip kms
                 reset-then-200 garbage close-idle);
my $small = temp_file(png(20_000));
my $large = temp_file(png(1_500_000));

my $http = ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=2s');
my $server = '';
for my $b (@buckets) {
    my %more = (backoff => '10ms 50ms', region => 'auto');
    $more{read_timeout} = '3s' if $b eq 'drip';
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

sub kept { return scalar grep { $_->{bucket} eq $_[0] } @{ scripted_objects() } }

sub requests {
    my ($bucket, $method) = @_;
    return grep { $_->{bucket} eq $bucket && (!$method || $_->{method} eq $method) }
           @{ scripted_log() };
}


subtest 'all is well: one PUT, exact length, signed' => sub {
    is(upload('plain', $small)->{status}, 201, 'small');
    is(upload('plain', $large)->{status}, 201, 'large');
    is(kept('plain'), 2, 'two objects');
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
    is(upload('503-then-200', $large)->{status}, 201, 'large');
    is(kept('503-then-200'), 2, 'stored');
};

subtest '503 always: given up' => sub {
    my $r = upload('503-always', $small);
    is($r->{status}, 503, 'status');
    is($r->{json}{error}{code}, 'storage_unavailable', 'code');
    ok($r->{headers}{'retry-after'}, 'Retry-After');
    is(scalar(requests('503-always', 'PUT')), 4, 'tried once and thrice again');
};

subtest 'reset in mid-body' => sub {
    my $r = upload('reset-after-200000', $large);
    is($r->{status}, 503, 'status');
    is($r->{json}{error}{code}, 'storage_unavailable', 'code');
};

subtest 'reset, then well: retried while the body is at hand' => sub {
    is(upload('reset-then-200', $small)->{status}, 201, 'small');
    is(kept('reset-then-200'), 1, 'stored');
};

subtest '100 never comes' => sub {
    is(upload('no-100', $large)->{status}, 201, 'stored all the same');
    is(kept('no-100'), 1, 'once');
};

subtest "R2's rules" => sub {
    is(upload('r2', $small)->{status}, 201, 'small');
    is(upload('r2', $large)->{status}, 201, 'large');
    ok(!grep({ $_->{headers}{expect} } requests('r2')), 'no Expect');
    is(kept('r2'), 2, 'stored');
};

subtest 'an ETag that is not the MD5' => sub {
    my $r = upload('wrong-etag', $large);
    is($r->{status}, 503, 'status');
    is(kept('wrong-etag'), 0, 'deleted');
    like($n->error_log, qr/\[error\].*etag/i, 'said');
};

subtest 'SSE-KMS: the ETag is no MD5' => sub {
    is(upload('kms', $small)->{status}, 201, 'taken');
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
    is(upload('skew-once', $small)->{status}, 201, 'stored');
};

subtest 'a storage that drips' => sub {
    my $t = time;
    my $r = upload('drip', $small);
    is($r->{status}, 503, 'given up');
    cmp_ok(time - $t, '<', 30, 'in time');
};

subtest 'an answer that is not HTTP' => sub {
    my $r = upload('garbage', $small);
    is($r->{status}, 503, 'status');
};

subtest 'a connection closed while idle is no failure' => sub {
    for (1 .. 3) {
        is(upload('close-idle', $small)->{status}, 201, 'stored');
        select undef, undef, undef, 0.3;
    }
};

subtest 'nothing is left over once the sweep has passed' => sub {
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 20), 0,
       'no document but ready ones');
    my %ready = map { $_->{r2Key} => 1 } find_images();
    is_deeply([map { $_->{key} } grep { !$ready{ $_->{key} } }
               @{ scripted_objects() }], [], 'no object without a document');
    unlike($n->error_log, qr/\Q$ENV{TEST_S3_SECRET}\E/, 'no secret in the log');
    unlike($n->error_log, qr/Signature=[0-9a-f]{64}/, 'no signature either');
};

$n->done;
done_testing();
