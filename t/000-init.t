# The parts that every other file relies on: a real MongoDB that is a replica
# set, a real S3 server that checks signatures, the module itself.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $hello = ask('command', db => 'admin', command => { hello => 1 });
ok($hello->{setName}, 'mongod is a member of a replica set');
ok($hello->{isWritablePrimary}, 'mongod is the primary');

ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => 'init/hello',
    text => 'hello');
my $o = object('init/hello');
is($o->{size}, 5, 'the bucket keeps an object');
is(object('init/absent'), undef, 'an absent object is told as such');

is(length png($_), $_, "a PNG of $_ bytes") for 70, 1000, 65_600, 200_003;
is(length jpeg($_), $_, "a JPEG of $_ bytes") for 200, 100_000;

my $n = ImageVault::Nginx->new(
    name   => 'init',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3(),
    server => 'location /api { image_vault_api s3; }',
);
$n->write_conf;
my ($rc, $out) = $n->command('-t');
is($rc, 0, 'nginx -t is content') or diag($out);
$n->start;
is(curl($n->url('/api/nothing'))->{status}, 404, 'the module answers');
$n->done;

done_testing();
