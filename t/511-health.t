# image_vault_health: alive without asking anybody; ready if MongoDB and every
# storage answer, asked once a second at most.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

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

my $s3 = ImageVault::Nginx::storage_s3();
my $server = 'location = /health { image_vault_health; }'
           . 'location = /metrics { image_vault_metrics; }';

my $n = ImageVault::Nginx->new(
    name => 'health', server => $server,
    http => ImageVault::Nginx::http_base() . $s3
            . ImageVault::Nginx::storage_s3(
                  name => 'other', endpoint => "http://127.0.0.1:$port",
                  bucket => 'plain', backoff => '5ms 10ms'),
)->start;

sub metric {
    my ($node, $name) = @_;
    my $text = curl($node->url('/metrics'))->{body};
    return $text =~ /^\Q$name\E (\S+)$/m ? $1 : undef;
}

my $r = curl($n->url('/health'));
is($r->{status}, 200, 'alive');
is_deeply($r->{json}, { success => JSON::PP::true(),
                        alive => JSON::PP::true() }, 'and says so');
is($r->{headers}{'cache-control'}, 'no-store', 'nobody keeps it');
is(curl('-X', 'POST', $n->url('/health'))->{status}, 405, 'no POST');
is(curl('-I', $n->url('/health?ready'))->{status}, 503, 'HEAD');

$r = curl($n->url('/health?ready'));
is($r->{status}, 503, 'a storage is down');
ok(!$r->{json}{ready}, 'not ready');
ok($r->{json}{database}{ok}, 'the database is');
my %by = map { $_->{name} => $_ } @{ $r->{json}{storages} };
ok($by{s3}{ok}, 'one storage is');
ok(!$by{other}{ok}, 'the other is not');
is($by{other}{code}, 'storage_unavailable', 'its code');
is(curl($n->url('/health'))->{status}, 200, 'but alive');

for (1 .. 3) {
    Time::HiRes::sleep(1.1);
    curl($n->url('/health?ready'));
}
is(scalar(() = $n->error_log =~ /health: storage "other" does not answer/g), 1,
   'told once');
is(metric($n, 'image_vault_storage_errors_total'), 0, 'and not counted');

start_storage();
ok((wait_for { my $h = curl($n->url('/health?ready')); $h->{status} == 200 }),
   'ready when it is back');
like($n->error_log, qr/health: storage "other" answers again/, 'told as well');

my $began = Time::HiRes::time();
my $before = metric($n, 'image_vault_database_requests_total');
my $kept = ImageVault::Kept->new($n->{port});
my %asked;
$asked{ $kept->ask('GET', '/health?ready=1')->{status} }++ for 1 .. 200;
is_deeply(\%asked, { 200 => 200 }, 'ready, asked many times');
my $calls = metric($n, 'image_vault_database_requests_total') - $before;
cmp_ok($calls, '<=', 2 + Time::HiRes::time() - $began,
       'the database was asked once a second');
$n->done;

# a database that is not there, and one that hangs
my $dead = free_port();
my $hangs = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5);

for my $to ([ 'gone', $dead ], [ 'hangs', $hangs->sockport ]) {
    my $m = ImageVault::Nginx->new(
        name => $to->[0], server => $server,
        http => ImageVault::Nginx::http_base(
                    mongodb => "mongodb://127.0.0.1:$to->[1]/?serverSelection"
                               . 'TimeoutMS=10000', timeout => '20s') . $s3,
    )->start;
    my $t = Time::HiRes::time();
    my $a = curl($m->url('/health?ready'));
    is($a->{status}, 503, "the database $to->[0]");
    ok(!$a->{json}{database}{ok}, 'it is what is missing');
    ok($a->{json}{storages}[0]{ok}, 'the storage is there');
    cmp_ok(Time::HiRes::time() - $t, '<', 9, 'told in time');
    is(curl($m->url('/health'))->{status}, 200, 'alive');
    $m->signal('TERM');
}

done_testing();
