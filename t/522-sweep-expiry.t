# Images whose expiresAt has passed: not readable any more, their object deleted,
# what they took of the quota given back; then the document goes.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'expiry',
    http   => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=3s')
              . ImageVault::Nginx::storage_s3()
              . "image_vault_owner \$arg_as;\n"
              . "image_vault_key expiry/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; image_vault_quota 1m; }',
)->start;
my $db = $ImageVault::Peers::Database;
my $file = temp_file(png(10_000));

sub put {
    my ($as) = @_;
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url("/api/upload?as=$as"));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}

sub user {
    my ($id) = @_;
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => $id }) };
    return $u->{storageQuota};
}

sub expires {
    my ($id, $offset) = @_;
    ask('update', db => $db, collection => 'images',
        filter => { _id => { '$oid' => $id } },
        update => { '$set' => { 'access.expiresAt' => mongo_now($offset) } });
    return;
}


subtest 'an image expires' => sub {
    my ($id, $other, $later) = map { put('alice') } 1 .. 3;
    my $key = find_image($id)->{r2Key};
    ok(object($key), 'the object is there');
    is(user('alice')->{used}, 30_000, 'used');

    expires($later, 3600);
    expires($id, -1);

    ok((wait_for { my $d = find_image($id);
                   $d && $d->{status} eq 'error' && $d->{deletedAt} } 60),
       'error with deletedAt');
    ok((wait_for { !object($key) } 60), 'the object is gone');
    is(curl($n->url("/api/$id?as=alice"))->{status}, 404, 'not found');
    ok((wait_for { user('alice')->{used} == 20_000 }), 'given back');
    is(wait_images({ _id => { '$oid' => $id } }, 0, 60), 0,
       'the document is gone');
    is(find_image($_)->{status}, 'ready', 'the others stay') for $other, $later;
    is(user('alice')->{used}, 20_000, 'given back once');
    ok(!user('alice')->{pending}, 'nothing is pending');
};

subtest 'a backlog' => sub {
    my @id = map { new_id() } 1 .. 250;
    insert_images(map { image_doc(id => $_, owner => 'bob', expires =>
                                  mongo_now(-60), r2Key => "expiry/$_") } @id);
    is(wait_images({ userId => 'bob' }, 0, 110), 0, 'all of them go');
};

subtest 'what cannot be understood does not hold up the others' => sub {
    my @bad = map { image_doc(expires => mongo_now(-7200),
                              r2Key => "expiry/bad") } 1 .. 120;
    $_->{userId} = { '$numberInt' => '7' } for @bad[0 .. 39];
    $_->{userId} = '' for @bad[40 .. 79];
    $_->{deletedAt} = 'yesterday' for @bad[80 .. 119];
    my ($expired, $failed) = map { new_id() } 1, 2;
    insert_images(@bad,
        image_doc(id => $expired, expires => mongo_now(-60),
                  r2Key => 'expiry/behind'),
        image_doc(id => $failed, status => 'error', r2Key => 'expiry/failed',
                  deletedAt => mongo_now(-60)));
    is(wait_images({ _id => { '$oid' => $_ } }, 0, 60), 0, 'gone')
        for $expired, $failed;
    is(scalar(find_images({ r2Key => 'expiry/bad' })), 120,
       'they are left alone');
};

$n->done;
done_testing();
