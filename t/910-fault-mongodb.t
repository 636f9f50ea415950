# MongoDB gone, frozen, back: a fast 503 with Retry-After meanwhile, and work
# goes on by itself.  A mongod of its own, as it gets killed.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-mongod-$$";

# starts it, on the same port and data each time; its URI
sub start_mongod {
    chomp(my $uri = `MONGOD_TEST_COMMANDS=1 util/mongod start $dir`);
    die "util/mongod start: $?\n" if $?;
    return $uri;
}

my $uri = start_mongod();
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

my $n = ImageVault::Nginx->new(
    name   => 'mongo',
    http   => ImageVault::Nginx::http_base(
                  mongodb => $uri, timeout => '2s',
                  sweep => 'interval=300ms stale=2s')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
)->start;

my $file = temp_file(png(30_000));

sub upload {
    return curl('-T', $file, '-H', 'Content-Type: image/png',
                $n->url('/api/upload?filename=x.png'));
}

sub pid { return 0 + slurp("$dir/pid") }


my $r = upload();
is($r->{status}, 201, 'all is well');
my $id = $r->{json}{images}[0]{id};
is(curl($n->url("/api/$id"))->{status}, 200, 'and read');

# what a server says that has too much to do: once more would be too much
subtest 'too busy' => sub {
    my $fail = sub { fail_point($uri, @_) or die "no fail point\n" };
    for my $code (112, 365, 462) {
        $fail->('alwaysOn', errorCode => $code,
                failCommands => ['find', 'update', 'findAndModify']);
        my @r = (curl($n->url("/api/$id")), upload(),
                 curl('-X', 'PATCH', '-H', 'Content-Type: application/json',
                      '-d', '{"tags":["x"]}', $n->url("/api/$id")));
        $fail->('off');
        is_deeply([map { $_->{status} } @r], [(503) x 3], "$code");
    }
};

subtest 'killed' => sub {
    kill 'KILL', pid();
    Time::HiRes::sleep(0.3);
    my $r = upload();
    is($r->{status}, 503, 'the first call');
    is($r->{json}{error}{code}, 'metadata_unavailable', 'code');
    ok($r->{headers}{'retry-after'}, 'Retry-After');

    my $t = Time::HiRes::time();
    # each would wait for two seconds
    my @s = map { curl($n->url("/api/$id/view"))->{status} } 1 .. 20;
    is_deeply(\@s, [(503) x 20], 'reads fail closed');
    cmp_ok(Time::HiRes::time() - $t, '<', 30, 'and fast: the breaker');
};

subtest 'back again' => sub {
    start_mongod();
    ok((wait_for { my $s = curl($n->url("/api/$id"))->{status}; $s == 200 } 60),
       'reads go on by themselves');
    ok((wait_for { my $u = upload(); $u->{status} == 201 } 60), 'and uploads');
};

subtest 'frozen' => sub {
    my $pid = pid();
    kill 'STOP', $pid;
    my $t = Time::HiRes::time();
    is(upload()->{status}, 503, 'an upload');
    cmp_ok(Time::HiRes::time() - $t, '<', 30, 'within the timeouts');
    kill 'CONT', $pid;
    ok((wait_for { my $u = upload(); $u->{status} == 201 } 60), 'and then again');
};

unlike($n->error_log, qr/\[alert\]/, 'no alert');
$n->done;
done_testing();
