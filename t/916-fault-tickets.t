# A ticket is claimed, but no majority says so in time: who completes it again is
# not refused by a claim that nobody works by.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-tickets-$$";
chomp(my $uri = `MONGOD_TEST_COMMANDS=1 util/mongod start $dir`);
die "util/mongod start: $?\n" if $?;
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

my $n = ImageVault::Nginx->new(
    name   => 'tickets',
    http   => ImageVault::Nginx::http_base(mongodb => $uri)
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
)->start;

my $png = png(3000);
my $t = curl('-H', 'Content-Type: application/json', '-d',
             '{"originalName":"a.png","contentType":"image/png","size":'
             . length($png) . '}', $n->url('/api/direct-upload'))->{json};
ok($t->{id}, 'a ticket') or BAIL_OUT('no ticket');

is(curl('-T', temp_file($png), '-H', 'Expect:',
        (map { ('-H', "$_: $t->{headers}{$_}") } sort keys %{ $t->{headers} }),
        $t->{url})->{status}, 200, 'the image is sent');

sub complete { return curl('-X', 'POST', $n->url("/api/$t->{id}/complete")) }

ok(fail_point($uri, { times => 1 }, failCommands => ['findAndModify'],
              writeConcernError => { code => 64, errmsg => 'late' }),
   'a claim is not sure');
is(complete()->{status}, 503, 'refused');
my $r = complete();
is($r->{status}, 200, 'and completed when asked again') or diag $r->{body};
is(complete()->{status}, 200, 'once more: it is there');

$n->done;
done_testing();
