# The queue of the audit trail: entries come in batches, outlive a quit, and
# nothing of them delays an answer.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'audit-queue',
    http   => ImageVault::Nginx::http_base()
              . ImageVault::Nginx::storage_s3()
              . "image_vault_owner \$arg_as;\nimage_vault_audit on;\n"
              . "image_vault_key audit/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; }',
)->start;
my $db = $ImageVault::Peers::Database;
my $file = temp_file(png(1_000));

sub trail {
    my ($filter) = @_;
    return ask('find', db => $db, collection => 'image_vault_audit',
               filter => $filter);
}

sub put {
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url('/api/upload?as=trail-owner'));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}


subtest 'an entry' => sub {
    my $id = put();
    ok((wait_for { @{ trail({ image => { '$oid' => $id } }) } } 60),
       'it is there');
    my ($e) = @{ trail({ image => { '$oid' => $id } }) };
    is($e->{who}, 'trail-owner', 'who');
    is($e->{from}, '127.0.0.1', 'from where');
    is($e->{outcome}, 'ok', 'outcome');
    ok(!$e->{admin}, 'no admin');
    ok($e->{requestId}, 'request id');
    ok($e->{at}, 'when');
};

subtest 'indexes' => sub {
    my $names = sub {
        my $r = ask('command', db => $db,
                    command => { listIndexes => 'image_vault_audit' });
        return join ' ', sort map { $_->{name} } @{ $r->{cursor}{firstBatch} };
    };
    ok((wait_for { $names->() eq '_id_ at_-1 image_1_at_-1' } 60),
       'they are made') or diag $names->();
};

subtest 'a worker that quits writes what waits' => sub {
    my $before = @{ trail({ who => 'trail-owner' }) };
    put() for 1 .. 8;
    $n->stop;
    is(scalar @{ trail({ who => 'trail-owner' }) }, $before + 8,
       'all are there');
    unlike($n->error_log, qr/audit trail is lost/, 'none is lost');
};

$n->done;
done_testing();
