# A storage that is down stops the sweep of its own images only: documents stay
# until their objects could be deleted, and go when it is back.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $port = free_port();
my $child;

sub start_storage {
    $child = fork // die "fork: $!";
    if ($child == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec $ENV{TEST_PYTHON} // 'python3', 't/lib/scripted.py', $port,
             '--key', "$ENV{TEST_S3_ACCESS}:$ENV{TEST_S3_SECRET}";
    }
    wait_for { IO::Socket::INET->new("127.0.0.1:$port") } 60
        or die "the scripted storage did not start\n";
}
END { my $s = $?; kill 'TERM', $child if $child; $? = $s }

my $n = ImageVault::Nginx->new(
    name => 'down',
    http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=1s')
            . ImageVault::Nginx::storage_s3()
            . ImageVault::Nginx::storage_s3(
                  name => 'down', endpoint => "http://127.0.0.1:$port",
                  bucket => 'plain', backoff => '5ms 10ms'),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
)->start;

my $old = mongo_now(-3600);
my $left = { r2Key => { '$regex' => '^sweep-down/' } };

ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => 'sweep-down/up', text => 'x');
insert_images(
    (map { image_doc(status => 'uploading', updatedAt => $old,
                     storage => 'down', r2Key => "sweep-down/$_") } 1 .. 120),
    image_doc(status => 'uploading', updatedAt => $old,
              r2Key => 'sweep-down/up'),
    image_doc(status => 'error', updatedAt => $old, deletedAt => $old,
              storage => 'nobody', r2Key => 'sweep-down/nobody'),
);

is(wait_images({ %$left, storage => 's3' }, 0, 60), 0,
   'the other storage is swept');
is(object('sweep-down/up'), undef, 'its object is gone');
is(wait_images({ %$left, status => 'uploading' }, 0, 60), 0,
   'nothing is uploading any more');
is(scalar(find_images({ %$left, storage => 'down' })), 120,
   'no document went before its object');
is(scalar(find_images({ %$left, storage => 'down',
                        objectDeletedAt => { '$exists' => JSON::PP::true() } })),
   0, 'and no delete is noted');
like($n->error_log, qr/\[error\].*storage "down": DELETE failed.*refused/,
     'said why');

start_storage();
is(wait_images({ %$left, storage => 'down' }, 0, 60), 0,
   'swept when it is back');
is(scalar(find_images({ %$left, storage => 'nobody' })), 1,
   'a storage that is not configured is left alone');
is(scalar(() = $n->error_log =~ /\[warn\].*storage "nobody"/g), 1,
   'and told of once');

$n->done;
done_testing();
