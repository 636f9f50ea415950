# Writes of many uploads at a time go to MongoDB together.  What becomes of such
# a command as a whole must cost no upload more than it would have cost alone.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-together-$$";
chomp(my $uri = `MONGOD_TEST_COMMANDS=1 util/mongod start $dir`);
die "util/mongod start: $?\n" if $?;
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

my $n = ImageVault::Nginx->new(
    name => 'together', workers => 1,
    http => ImageVault::Nginx::http_base(
                mongodb => $uri, sweep => 'interval=300ms stale=60s')
            . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner $arg_u; location /api { image_vault_api s3; }',
)->start;

my $many = 24;
my $png = png(40_000);

sub admin {
    my ($code, @args) = @_;
    open my $f, '-|', $ENV{TEST_PYTHON} // 'python3', '-c',
        "import json, pymongo, sys\n"
        . "db = pymongo.MongoClient(sys.argv[1])\n$code", $uri, @args
        or die "python: $!";
    local $/;
    my $out = <$f>;
    close $f or die "python: $?";
    return $out;
}

# what the next updates of images meet
sub failing {
    my ($times, %data) = @_;
    fail_point($uri, { times => $times }, %data, failCommands => ['update'],
               namespace => "$ImageVault::Peers::Database.images")
        or die "no fail point\n";
}

sub updates {
    return admin('print(db.admin.command("serverStatus")'
                 . '["metrics"]["commands"]["update"]["total"])');
}

# all at once: the worker sees none before all are there; $pause->() comes before
# each one's last bytes
sub upload {
    my ($owner, $pause) = @_;
    my $early = $pause ? 39_000 : 0;
    my ($worker) = $n->workers;
    kill 'STOP', $worker if !$pause;
    my @s = map {
        IO::Socket::INET->new("127.0.0.1:$n->{port}") or die "connect: $!"
    } 1 .. $many;
    for my $s (@s) {
        syswrite $s, "PUT /api/upload?u=$owner HTTP/1.1\r\nHost: x\r\n"
                     . "Content-Type: image/png\r\nContent-Length: "
                     . length($png) . "\r\nConnection: close\r\n\r\n"
                     . substr($png, 0, $early);
    }
    $pause->() if $pause;
    kill 'STOP', $worker;
    syswrite $_, substr($png, $early) for @s;
    kill 'CONT', $worker;
    my %count;
    for my $s (@s) {
        local $/;
        my ($status) = (<$s> // '') =~ m{\AHTTP/1\.1 (\d+)};
        $count{$status // 'none'}++;
    }
    return \%count;
}

sub stored {
    my ($owner, $status) = @_;
    return curl($n->url("/api/user?u=$owner&status=$status"))
               ->{json}{pagination}{total};
}

# all have their documents, and wait for the rest of their bytes
sub inserted {
    my ($owner) = @_;
    return wait_for { stored($owner, 'uploading') == $many };
}

subtest 'all is well' => sub {
    my $before = updates();
    is_deeply(upload('well'), { 201 => $many }, 'all are created');
    cmp_ok(updates() - $before, '<', 2 * $many, 'with fewer commands');
    is(stored('well', 'ready'), $many, 'and are there');
};

# the first one goes alone and is asked for twice by the driver, the third one
# has several

subtest 'changes to ready: an election' => sub {
    my $got = upload('ready', sub {
        ok(inserted('ready'), 'documents');
        failing(3, errorCode => 11602);
    });
    is_deeply($got, { 201 => $many }, 'all are created');
    is(stored('ready', 'ready'), $many, 'and are there');
};

subtest 'changes to ready: a connection breaks' => sub {
    my $got = upload('closed', sub {
        ok(inserted('closed'), 'documents');
        failing(3, closeConnection => JSON::PP::true);
    });
    is_deeply($got, { 201 => $many }, 'all are created');
    is(stored('closed', 'ready'), $many, 'and are there');
};

subtest 'changes to ready: no majority in time' => sub {
    my $got = upload('majority', sub {
        ok(inserted('majority'), 'documents');
        failing(2, writeConcernError => { code => 64, errmsg => 'waited' });
    });
    is_deeply($got, { 201 => $many }, 'applied all the same, and found so');
    is(stored('majority', 'ready'), $many, 'they are there');
};

subtest 'inserts: an election' => sub {
    failing(3, errorCode => 11602);
    my $got = upload('insert');
    cmp_ok($got->{201}, '>=', $many - 1, 'only one that had it twice fails');
    is($got->{201} + ($got->{503} // 0), $many, 'the right way');
    is(stored('insert', 'ready'), $got->{201}, 'who was told so is there');
    ok((wait_for { !stored('insert', 'uploading') }), 'nothing is left');
};

subtest 'inserts: no majority in time' => sub {
    failing(2, writeConcernError => { code => 64, errmsg => 'waited' });
    my $got = upload('late');
    is(($got->{201} // 0) + ($got->{503} // 0), $many, 'created or refused');
    cmp_ok($got->{503} // 0, '>=', 2, 'nobody goes on without a majority');
    is(stored('late', 'ready'), $got->{201} // 0, 'who was told so is there');
    cmp_ok(stored('late', 'uploading'), '<=', $got->{503} // 0,
           'the sweep has the rest');
};

subtest 'one document is refused' => sub {
    admin('db[sys.argv[2]].images.create_index("userId", unique=True, '
          . 'partialFilterExpression={"userId": "once"})',
          $ImageVault::Peers::Database);
    my @s = (('once') x 3, ('often') x 20);
    my @sockets = map {
        IO::Socket::INET->new("127.0.0.1:$n->{port}") or die "connect: $!"
    } @s;
    for my $i (0 .. $#s) {
        syswrite $sockets[$i], "PUT /api/upload?u=$s[$i] HTTP/1.1\r\nHost: x"
            . "\r\nContent-Type: image/png\r\nContent-Length: 40000\r\n"
            . "Connection: close\r\n\r\n$png";
    }
    my %count;
    for my $i (0 .. $#s) {
        my $text = do { local $/; my $s = $sockets[$i]; <$s> };
        $count{$s[$i]}{substr($text, 9, 3)}++;
    }
    is_deeply(\%count, { once => { 201 => 1, 500 => 2 },
                         often => { 201 => 20 } }, 'and no other');
};

my $log = $n->error_log;
like($log, qr/metadata insert of image \S+ failed: E11000/, 'said');

$n->done;
done_testing();
