# MongoDB goes away between the commit of an image and the note under its
# Idempotency-Key: the note comes later, and a repetition stores nothing twice.
# Or it goes away before: the key is given back, and a repetition is no conflict.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-idempotency-$$";
chomp(my $uri = `MONGOD_TEST_COMMANDS=1 util/mongod start $dir`);
die "util/mongod start: $?\n" if $?;
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

my %conf = (
    http   => ImageVault::Nginx::http_base(
                  mongodb => $uri, sweep => 'interval=300ms stale=100s')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
);
my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;

# updates of image_vault_requests fail, as in an election; or as data says
sub failing {
    my ($mode, %data) = @_;
    %data = (errorCode => 11602, failCommands => ['update'],
             namespace =>
                 "$ImageVault::Peers::Database.image_vault_requests") if !%data;
    return fail_point($uri, $mode, %data);
}

my $png = temp_file(png(3000));

sub put {
    my ($node, $key) = @_;
    return curl('-T', $png, '-H', 'Content-Type: image/png', '-H',
                "Idempotency-Key: $key", $node->url('/api/upload'));
}

is(put($n, 'first')->{status}, 201, 'all is well');

ok(failing('alwaysOn'), 'notes fail');
my $first = put($n, 'owed');
is($first->{status}, 201, 'the answer is true all the same');
is(put($m, 'owed')->{status}, 409, 'the key is taken');
ok(failing('off'), 'notes work');
my $r;
ok((wait_for { $r = put($m, 'owed'); $r->{status} == 201 } 60),
   'then its answer');
is($r->{headers}{'idempotent-replayed'}, 'true', 'replayed');
is($r->{json}{images}[0]{id}, $first->{json}{images}[0]{id}, 'the same image');

ok(failing('alwaysOn'), 'notes fail');
$first = put($n, 'quits');
is($first->{status}, 201, 'an answer');
$n->signal('HUP');
ok(failing('off'), 'notes work');
ok((wait_for { $r = put($m, 'quits'); $r->{status} == 201 } 60),
   'a worker that quits does not forget it');
is($r->{json}{images}[0]{id}, $first->{json}{images}[0]{id}, 'the same image');

# the key is taken, but no majority says so in time
ok(failing({ times => 1 }, failCommands => ['findAndModify'],
           writeConcernError => { code => 64, errmsg => 'late' },
           namespace => "$ImageVault::Peers::Database.image_vault_requests"),
   'a claim is not sure');
is(put($n, 'unsure')->{status}, 503, 'refused');
ok((wait_for { $r = put($m, 'unsure'); $r->{status} == 201 } 40),
   'and the key is free soon') or diag $r->{body};

# no write at all goes through, the free of the key neither
ok(failing('alwaysOn', failCommands => ['update', 'delete'],
           errorCode => 11602), 'writes fail');
is(put($n, 'failed')->{status}, 503, 'refused');
is(put($m, 'failed')->{status}, 409, 'the key is still taken');
ok(failing('off'), 'writes work');
ok((wait_for { $r = put($m, 'failed'); $r->{status} == 201 } 40),
   'and the key is free soon') or diag $r->{body};

# the client vanishes, and nothing can be given back just then
ok(failing('alwaysOn', failCommands => ['delete'], errorCode => 11602),
   'deletes fail');
curl('-T', temp_file(png(500_000)), '-H', 'Content-Type: image/png',
     '--limit-rate', '50k', '--max-time', '4', '-H', 'Idempotency-Key: gone',
     $n->url('/api/upload'));
is(put($m, 'gone')->{status}, 409, 'the key is still taken');
ok(failing('off'), 'deletes work');
ok((wait_for { $r = put($m, 'gone'); $r->{status} == 201 } 40),
   'and the key is free soon') or diag $r->{body};

$_->done for $n, $m;
done_testing();
