# Look-ups of many images at a time go to MongoDB together, and each asker gets
# what it would have got alone.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep);
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name => 'lookups', workers => 1,
    http => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3(),
    server => <<'CONF',
image_vault_owner alice;
location /api { image_vault_api s3; image_vault_cache_valid 0; }
location = /metrics { image_vault_metrics; }
CONF
)->start;

my %want;                               # status by id
$want{ new_id() } = 302 for 1 .. 30;
insert_images(map { image_doc(id => $_) } keys %want);
my @foreign = map { new_id() } 1 .. 20;
insert_images(map { image_doc(id => $_, owner => 'bob') } @foreign);
my @blocked = map { new_id() } 1 .. 5;
insert_images(map { image_doc(id => $_, blocked => { at => mongo_now(),
                                                     reason => 'x' }) }
              @blocked);
$want{$_} = 404 for @foreign, map { new_id() } 1 .. 20;
$want{$_} = 451 for @blocked;
my @strange = map { new_id() } 1 .. 2;  # documents with a user that is none
my @plain = keys %want;

sub reads {
    my ($v) = curl($n->url('/metrics'))->{body}
        =~ /^image_vault_database_requests_total (\d+)$/m;
    return $v;
}

sub connections {
    return map {
        IO::Socket::INET->new("127.0.0.1:$n->{port}") or die "connect: $!"
    } 1 .. $_[0];
}

# all at once, so that most of them find others on their way: the worker sees
# none before all are there
sub asked {
    my (@ids) = @_;
    my ($worker) = $n->workers;
    kill 'STOP', $worker;
    my @s = connections(scalar @ids);
    for my $i (0 .. $#ids) {
        syswrite $s[$i], "GET /api/$ids[$i]/view HTTP/1.1\r\nHost: x\r\n"
                         . "Connection: close\r\n\r\n";
    }
    kill 'CONT', $worker;
    return @s;
}

sub answers {
    my ($ids, @s) = @_;
    my @wrong;
    for my $i (0 .. $#s) {
        local $/;
        my $text = readline($s[$i]) // '';
        my $status = $text =~ m{\AHTTP/1.1 (\d+)} ? $1 : 'none';
        my $id = $ids->[$i];
        push @wrong, "$id: $status, not $want{$id}" if $status ne $want{$id};
        push @wrong, "$id: another's image"
            if $status eq '302' && $text !~ m{^Location: \S+/\Q$id\E\.png\?}m;
    }
    return join "\n", @wrong;
}

curl($n->url("/api/$plain[0]/view")) for 1 .. 3;

subtest 'together' => sub {
    my @ids = (@plain) x 4;
    my $before = reads();
    is(answers(\@ids, asked(@ids)), '', 'each gets its own');
    my $calls = reads() - $before;
    cmp_ok($calls, '<', @ids / 2, @ids . " askers, $calls calls");
};

subtest 'a document that cannot be understood' => sub {
    insert_images(map { image_doc(id => $_, userId => { '$numberInt' => '7' }) }
                  @strange);
    local @want{@strange} = (500) x @strange;
    my @ids = (@plain, @strange) x 2;
    is(answers(\@ids, asked(@ids)), '', 'spoils none of the others');
};

subtest 'askers who go' => sub {
    my @ids = (@plain) x 2;
    for (1 .. 5) {
        my @gone = asked(@ids);
        my @stay = asked(@ids);
        close $_ for @gone;
        is(answers(\@ids, @stay), '', 'the others get theirs');
    }
    is(curl($n->url("/api/$plain[0]/view"))->{status}, $want{ $plain[0] },
       'and who comes then');
};

$n->done;
done_testing();
