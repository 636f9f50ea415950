# The zone: what is in it survives a reload, but not a change of its size.
# Seen by the database's breaker, which says once that it opens: with the zone
# a new worker knows that already.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $dead = free_port();
my $base = ImageVault::Nginx::http_base(
    mongodb => "mongodb://127.0.0.1:$dead/?serverSelectionTimeoutMS=300",
    timeout => '500ms') . ImageVault::Nginx::storage_s3();

my $n = ImageVault::Nginx->new(
    name => 'zone', workers => 2, http => $base,
    server => 'location /api { image_vault_api s3; }',
)->start;

sub fails {
    my ($what) = @_;
    my $r = curl($n->url('/api/' . 'a' x 24));
    is($r->{status}, 503, "$what: no database");
}

# how often the log says so, once it is written
sub told {
    my ($pattern) = @_;
    my $count = () = $n->error_log =~ /$pattern/g;
    return $count;
}

my $open = qr/metadata store is not available, calls are refused/;
my $anew = qr/zone "vault" begins anew/;

fails('at first') for 1 .. 4;
is(told($open), 1, 'told once by all workers together');

# … and until the old workers are gone
sub reload {
    my %old = map { $_ => 1 } $n->workers;
    $n->reload;
    wait_for { !grep { $old{$_} } $n->workers } 60;
}

reload();
fails('after a reload') for 1 .. 4;
sleep 2;
fails('and when it is tried again') for 1 .. 4;
is(told($open), 1, 'the new workers know');
is(told($anew), 0, 'nothing begins anew');

($n->{http} = $base) =~ s/vault:1m/vault:2m/;
reload();
is(told(qr/zone "vault" begins anew: its size changed from 1048576 to 2097152/),
   1, 'another size begins anew, and says so');
fails('after a change of size') for 1 .. 4;
is(told($open), 2, 'nothing is known of before');

$n->{http} =~ s/ database=(\w+)/ database=$1_2/;
reload();
is(told(qr/zone "vault" begins anew: it is of another database/), 1,
   'another database begins anew, and says so');
fails('after a change of the database') for 1 .. 2;
is(told($open), 3, 'nothing is known of before');

$n->{http} =~ s{mongodb://}{mongodb://ann:secret\@};
$n->{http} =~ s/TimeoutMS=300/TimeoutMS=301/;
reload();
is(told($anew), 2, 'who signs in there does not matter');
fails('after a change of the name') for 1 .. 2;
is(told($open), 3, 'and what is known stays');

$n->{http} =~ s/vault:2m/other:2m/;
reload();
fails('by another name') for 1 .. 2;
is(told($open), 4, 'another name is another zone');
is(told($anew), 2, 'which is nothing to tell of');

$n->{http} =~ s/other:2m/other:8k/;
$n->write_conf;
my ($rc, $out) = $n->command('-t');
isnt($rc, 0, 'too small');
like($out, qr/"other:8k" in "image_vault_zone".*at least 64k/,
     'says the least');
$n->signal('HUP');
wait_for { $n->error_log =~ /other:8k/ };
fails('the old configuration goes on');

$n->{allow} = qr/other:8k/;
$n->done;
done_testing();
