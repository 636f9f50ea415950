# The ownership cache while MongoDB is frozen or gone: what is known goes on
# being served, all else fails closed and fast.  And one look-up for all who ask
# for an image at once.  A mongod of its own.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Flight;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-cache-mongod-$$";

sub start_mongod {
    chomp(my $uri = `util/mongod start $dir`);
    die "util/mongod start: $?\n" if $?;
    return $uri;
}

my $uri = start_mongod();
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

sub pid { return 0 + slurp("$dir/pid") }

my $h2 = free_port();
my $n = ImageVault::Nginx->new(
    name => 'cachedown', workers => 2,
    http => ImageVault::Nginx::http_base(mongodb => $uri, timeout => '5s')
            . ImageVault::Nginx::storage_s3(),
    server => "listen 127.0.0.1:$h2 http2;\n" . <<'CONF',
image_vault_owner $arg_as;
add_header X-Cache $image_vault_cache always;
location /api { image_vault_api s3; image_vault_cache_valid 1h negative=1s; }
location /short { image_vault_api s3; image_vault_cache_valid 300ms; }
location /off { image_vault_api s3; image_vault_cache_valid 0; }
location = /metrics { image_vault_metrics; }
CONF
)->start;

my $uploads = 0;

sub upload {
    my $r = curl('-T', temp_file(png(3000)), '-H', 'Content-Type: image/png',
                 $n->url('/api/upload?as=alice&filename=x.png'));
    is($r->{status}, 201, 'an upload') or diag($r->{body});
    $uploads++;
    return $r->{json}{images}[0]{id};
}

sub view {
    my ($id, $as, $prefix) = @_;
    my $r = curl($n->url(($prefix // '/api') . "/$id/view?as=$as"));
    return ($r->{status}, $r->{headers}{'x-cache'} // '');
}

sub reads {
    my ($v) = curl($n->url('/metrics'))->{body}
        =~ /^image_vault_database_requests_total (\d+)$/m;
    return $v;
}

sub many {
    my ($count, $id, @as) = @_;
    @as = ('alice') if !@as;
    my @s = map {
        IO::Socket::INET->new("127.0.0.1:$n->{port}") or die "connect: $!"
    } 1 .. $count;
    for my $i (0 .. $#s) {
        my $as = $as[$i % @as];
        print { $s[$i] } "GET /api/$id/view?as=$as HTTP/1.1\r\nHost: x\r\n"
                         . "Connection: close\r\n\r\n";
    }
    $_->flush for @s;
    return @s;
}

sub statuses {
    my (@s) = @_;
    my %count;
    for my $s (@s) {
        local $/;
        my $text = <$s> // '';
        $count{ $text =~ m{\AHTTP/1.1 (\d+)} ? $1 : 'none' }++;
    }
    return \%count;
}

# the change stream tells of the end of each upload, too: what the cache knows
# does not go by that later on
sub settled {
    ok((wait_for { curl($n->url('/metrics'))->{body}
                   =~ /^image_vault_change_stream_events_total (\d+)$/m
                   && $1 >= $uploads }), 'it has told of all');
}

ok((wait_for { curl($n->url('/metrics'))->{body} =~ /change_stream_up 1$/m }),
   'hears of changes');
my @ids = map { upload() } 1 .. 7;
settled();
# until the clients of both workers have their connections
view($ids[0], 'alice', '/off') for 1 .. 20;


subtest 'one look-up for all' => sub {
    my $before = reads();
    kill 'STOP', pid();
    my @s = many(100, $ids[1]);
    sleep 0.5;
    kill 'CONT', pid();
    is_deeply(statuses(@s), { 302 => 100 }, 'all get it');
    is(reads() - $before, 1, 'by one call');
};

# whoever asks, the others are judged by who they are
subtest 'one look-up, also for strangers' => sub {
    kill 'STOP', pid();
    my @s = many(60, $ids[6], 'mallory', 'alice', '');
    sleep 0.5;
    kill 'CONT', pid();
    my @by = map { my $who = $_; statuses(@s[grep { $_ % 3 == $who } 0 .. 59]) }
             0 .. 2;
    is_deeply(\@by, [{ 404 => 20 }, { 302 => 20 }, { 404 => 20 }],
              'each gets what is theirs');
};

subtest 'who asks goes away' => sub {
    my $before = reads();
    kill 'STOP', pid();
    my ($first) = many(1, $ids[2]);
    sleep 0.2;
    my @s = many(20, $ids[2]);
    sleep 0.1;
    close $first;
    sleep 0.2;
    kill 'CONT', pid();
    is_deeply(statuses(@s), { 302 => 20 }, 'the others get it');
    cmp_ok(reads() - $before, '<=', 2, 'by two calls at most');
};

subtest 'HTTP/2: streams and connections that go away' => sub {
    my @c = map { ImageVault::Flight::Http2->new($h2) } 1 .. 4;
    my @path = map { "/api/$_/view?as=alice" } @ids[4, 5];
    kill 'STOP', pid();
    # the first stream of each connection may be the one that asks
    my @first = map { $_->request('GET', $path[0]) } @c;
    sleep 0.1;
    my @rest = map { my $c = $_;
                     [map { $c->request('GET', $path[$_ % 2]) } 0 .. 9] } @c;
    sleep 0.2;
    $c[$_]->reset($first[$_]) for 0, 1;
    sleep 0.1;
    close $c[$_]{socket} for 1, 2;
    sleep 0.2;
    kill 'CONT', pid();
    my @got = map { my $i = $_; map { $c[$i]->answer($_)->{status} }
                                @{ $rest[$i] } } 0, 3;
    is_deeply(\@got, [(302) x 20], 'all others get it');
    is($c[3]->answer($first[3])->{status}, 302, 'and the first of the last');
};

subtest 'a worker that asks is killed' => sub {
    $n->{allow} = qr/exited on signal 9/;
    kill 'STOP', pid();
    my @s = many(30, $ids[3]);
    sleep 0.2;
    my ($worker) = $n->workers;
    kill 'KILL', $worker;
    sleep 0.2;
    kill 'CONT', pid();
    my $got = statuses(@s);
    is_deeply([grep { !/\A(?:302|none)\z/ } keys %$got], [],
              'those of the other get it') or diag(explain($got));
    wait_for { scalar(() = $n->workers) == 2 } 60;
    is_deeply([view($ids[3], 'alice')]->[0], 302, 'and it is seen');
};

subtest 'frozen, gone, back' => sub {
    my ($known, $other) = (upload(), upload());
    settled();
    is((view($known, 'alice'))[0], 302, 'seen');
    is((view($known, 'alice', '/short'))[0], 302, 'and here');
    my $known_url = curl($n->url("/api/$known/view?as=alice"))
                    ->{headers}{location};
    sleep 1.1;                          # strangers are looked up again

    for my $how ('STOP', 'KILL') {
        kill 'CONT', pid();
        kill $how, pid();
        my $t = time;
        is((view($other, 'alice'))[0], 503, "$how: unknown");
        cmp_ok(time - $t, '<', 20, 'within the timeouts');

        for (1 .. 5) {
            $t = time;
            is_deeply([view($known, 'alice')], [302, 'HIT'], 'known');
            cmp_ok(time - $t, '<', 4, 'at once');
        }

        my @slow;
        for (1 .. 8) {
            $t = time;
            is((view($other, 'alice'))[0], 503, 'unknown');
            push @slow, time - $t if time - $t > 4;
        }
        cmp_ok(scalar @slow, '<=', 2, 'the breaker: fast, but who tries');
        is((view($known, 'eve'))[0], 503, 'nobody is told it is not there');
        is((view($known, 'alice', '/short'))[0], 503, 'too old here');
        is((view($known, 'alice', '/off'))[0], 503, 'not looked at');
    }

    $n->reload;
    sleep 1;
    my @known = map { (view($known, 'alice'))[0] } 1 .. 6;
    is_deeply(\@known, [(302) x 6], 'known to new workers');

    start_mongod();
    ok((wait_for { (view($other, 'alice'))[0] == 302 } 60), 'back');
    is((view($known, 'eve'))[0], 404, 'a stranger');
};

unlike($n->error_log, qr/\[alert\](?!.*signal 9)/, 'no alert');
$n->done;
done_testing();
