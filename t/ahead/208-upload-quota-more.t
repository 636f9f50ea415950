# Quota of forms and of bodies without a length: part by part.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my %conf = (
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=2s')
              . ImageVault::Nginx::storage_s3(part_size => '5m')
              . "image_vault_owner \$arg_as;\nimage_vault_max_size 20m;\n"
              . "image_vault_key quota/\$image_vault_filename;\n",
    server => 'location /off { image_vault_api s3; } '
              . 'location /size { image_vault_api s3; image_vault_quota 100k; } '
              . 'location /docs { image_vault_api s3; '
              . 'image_vault_quota documents; }',
);
my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;
my $db = $ImageVault::Peers::Database;

my %file = map { $_ => temp_file(png($_)) } 10_000, 30_000, 60_000;


sub put {
    my ($node, $path, $as, $size, @more) = @_;
    $file{$size} //= temp_file(png($size));
    return curl('-T', $file{$size}, '-H', 'Content-Type: image/png', @more,
                $node->url("$path/upload?as=$as"));
}

sub user {
    my ($id) = @_;
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => $id }) };
    return $u;
}

sub add_user { return ask('insert', db => $db, collection => 'users',
                          documents => [@_]) }

# used, once nothing is pending
sub used {
    my ($id) = @_;
    wait_for { my $u = user($id); $u && !%{ $u->{storageQuota}{pending} // {} } }
        10;
    return user($id)->{storageQuota}{used};
}

sub sum {
    my ($id) = @_;
    my $sum = 0;
    $sum += $_->{size} for find_images({ userId => $id, status => 'ready' });
    return $sum;
}


subtest 'unknown length, forms' => sub {
    is(put($n, '/size', 'chunk', 60_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 201, 'chunked');
    is(put($n, '/size', 'chunk', 60_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 403, 'too much');
    is(used('chunk'), 60_000, 'used');
    my $r = curl((map { ('-F', "f=\@$file{30_000};filename=$_.png") } 1 .. 4),
                 $n->url('/size/upload?as=form'));
    is($r->{status}, 207, 'as many of a form as fit') or diag($r->{body});
    is(scalar @{ $r->{json}{images} }, 3, 'three');
    is($r->{json}{failures}[0]{code}, 'quota_exceeded', 'the fourth');
    is(used('form'), 90_000, 'used');
};

subtest 'in parts: what the second part needs' => sub {
    add_user({ _id => 'parts', storageQuota =>
               { used => 0, limit => { '$numberLong' => '6000000' } } });
    is(put($n, '/docs', 'parts', 7_000_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 403, 'too much');
    is(used('parts'), 0, 'nothing is kept');
    is(put($n, '/docs', 'parts', 5_900_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 201, 'what fits');
    is(used('parts'), 5_900_000, 'used');
};

for my $u (@{ ask('find', db => $db, collection => 'users', filter => {}) }) {
    my $id = $u->{_id};
    next if $id eq 'ann' || !defined $u->{storageQuota};
    is((wait_for { my ($v) = @{ ask('find', db => $db, collection => 'users',
                                   filter => { _id => $id }) };
                  !%{ $v->{storageQuota}{pending} // {} } } 10), 1,
       (ref $id ? $id->{'$oid'} : $id) . ': nothing is pending');
}

$n->done;
$m->done;
done_testing();
