# POST bulk: one action on many images, an outcome for each.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'bulk',
    http   => ImageVault::Nginx::http_base()
              . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(
                    name => 'open', public_only => 'on',
                    public_url => 'https://cdn.example')
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
              . "image_vault_key bulk/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; image_vault_quota 10m; }',
)->start;
my $db = $ImageVault::Peers::Database;
my $file = temp_file(png(10_000));

sub bulk {
    my ($as, $body, @more) = @_;
    return curl('-H', 'Content-Type: application/json', '--data-binary',
                ref $body ? JSON::PP::encode_json($body) : $body, @more,
                $n->url("/api/bulk?as=$as"));
}

# "ok" or the code, for each id
sub outcome {
    my ($r) = @_;
    return join ' ', map { $_->{success} ? 'ok' : $_->{code} }
                     @{ $r->{json}{results} };
}

sub code { return $_[0]{status} . ' ' . ($_[0]{json}{error}{code} // '') }

sub put {
    my ($as) = @_;
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url("/api/upload?as=$as"));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}

sub used {
    my ($as) = @_;
    my $q = sub { (ask('find', db => $db, collection => 'users',
                       filter => { _id => $as }))->[0]{storageQuota} };
    wait_for { !%{ $q->()->{pending} // {} } } 60;
    return $q->()->{used};
}


my $past = mongo_now(-3600);
my %doc = (
    mine      => {},
    tagged    => { metadata => { uploadedAt => $past, tags => ['old', 'x'] } },
    public    => { public => 1 },
    open      => { public => 1, storage => 'open' },
    blocked   => { blocked => { at => $past, reason => 'abuse' } },
    expired   => { expires => $past },
    uploading => { status => 'uploading' },
    error     => { status => 'error' },
    deleted   => { status => 'error', deletedAt => $past },
    shared    => { owner => 'bob', shared => ['alice'] },
    theirs    => { owner => 'bob' },
    seen      => { owner => 'bob', public => 1 },
    'seen blocked' => { owner => 'bob', public => 1,
                        blocked => { at => $past, reason => 'abuse' } },
);
my @names = ('mine', 'tagged', 'public', 'open', 'blocked', 'expired',
             'uploading', 'error', 'deleted', 'shared', 'theirs', 'seen',
             'seen blocked');

# fresh ones: the ids by name
sub images {
    my %id = map { $_ => new_id() } @names;
    insert_images(map { image_doc(id => $id{$_}, %{ $doc{$_} }) } @names);
    return %id;
}


subtest 'each action, each state' => sub {
    my %want = (
        # mine tagged public open blocked expired uploading error deleted
        # shared theirs seen seen-blocked
        tag    => 'ok ok ok ok blocked gone not_ready not_found not_found '
                . 'forbidden not_found forbidden blocked',
        delete => 'ok ok ok ok ok ok ok not_found not_found '
                . 'forbidden not_found forbidden blocked',
        sign   => 'ok ok ok ok blocked gone not_ready not_found not_found '
                . 'ok not_found ok blocked',
    );
    $want{$_} = $want{tag} for qw(untag share unshare publish);
    $want{unpublish} = $want{tag} =~ s/^ok ok ok ok/ok ok ok conflict/r;

    for my $action (sort keys %want) {
        my %id = images();
        my %more = $action =~ /tag/ ? (tags => ['x', 'y'])
                 : $action =~ /share/ ? (users => ['zoe', 'yan']) : ();
        my $r = bulk('alice', { action => $action, %more,
                                ids => [@id{@names}] });
        is($r->{status}, 200, $action);
        ok($r->{json}{success}, 'success');
        is(outcome($r), $want{$action}, 'outcomes');
        is_deeply([map { $_->{id} } @{ $r->{json}{results} }], [@id{@names}],
                  'in the order of the ids');

        my %got = map { $_ => find_image($id{$_}) } @names;
        if ($action eq 'tag') {
            is_deeply($got{tagged}{metadata}{tags}, ['old', 'x', 'y'], 'tags');
            is_deeply($got{shared}{metadata}{tags}, [], 'not where refused');
        } elsif ($action eq 'untag') {
            is_deeply($got{tagged}{metadata}{tags}, ['old'], 'tags');
        } elsif ($action eq 'share') {
            is_deeply($got{mine}{access}{sharedWith}, ['zoe', 'yan'], 'users');
        } elsif ($action eq 'publish') {
            ok($got{mine}{access}{isPublic}, 'public');
            ok(!$got{shared}{access}{isPublic}, 'not where refused');
        } elsif ($action eq 'unpublish') {
            ok(!$got{public}{access}{isPublic}, 'private');
            ok($got{open}{access}{isPublic}, 'not in a public storage');
        } elsif ($action eq 'delete') {
            is($got{$_}{status}, 'error', "$_ is deleted")
                for qw(mine blocked expired uploading);
            is($got{$_}{status}, 'ready', "$_ is not") for qw(shared theirs);
        } elsif ($action eq 'sign') {
            my ($mine) = @{ $r->{json}{results} };
            like($mine->{url}, qr/X-Amz-Signature=/, 'url');
            like($mine->{urlExpiresAt}, qr/^\d{4}-.*Z$/, 'its end');
            my $open = $r->{json}{results}[3];
            like($open->{url}, qr{^https://cdn\.example/}, 'a public url');
            is($open->{urlExpiresAt}, undef, 'which has none');
            ok(!exists $r->{json}{results}[4]{url}, 'none where refused');
        }
    }
};


subtest 'an admin' => sub {
    my %id = images();
    my $r = bulk('root&admin=1', { action => 'tag', tags => ['seen'],
                                   ids => [@id{@names}] });
    is(outcome($r), 'ok ok ok ok ok gone not_ready not_found not_found '
                    . 'ok ok ok ok', 'any image');
    is_deeply(find_image($id{theirs})->{metadata}{tags}, ['seen'], 'done');
    is(() = $n->error_log =~ /audit: bulk-tag by admin "root"/g, 11,
       'each is told in the log, also those refused');

    $r = bulk('root&admin=1', { action => 'delete', ids => [@id{@names}] });
    is(outcome($r), 'ok ok ok ok ok ok ok not_found not_found ok ok ok ok',
       'delete');
};


subtest 'ids' => sub {
    my %id = images();
    my $upper = uc $id{mine};
    my $r = bulk('alice', { action => 'tag', tags => ['t'],
                            ids => [$id{mine}, 'nonsense', $upper, new_id(),
                                    $id{mine}, '', 'nonsense'] });
    is(outcome($r), 'ok not_found ok not_found ok not_found not_found',
       'doubled ones are answered alike');
    is($r->{json}{results}[2]{id}, $upper, 'as they were written');

    $r = bulk('alice', { action => 'delete', ids => [$id{mine}, $upper] });
    is(outcome($r), 'ok ok', 'also by a delete');
    $r = bulk('alice', { action => 'delete', ids => [] });
    is($r->{body}, '{"success":true,"results":[]}', 'none');

    my @many = map { new_id() } 1 .. 100;
    insert_images(map { image_doc(id => $_) } @many);
    $r = bulk('alice', { action => 'publish', ids => \@many });
    is(outcome($r), join(' ', ('ok') x 100), 'a hundred');
    $r = bulk('alice', { action => 'sign', ids => \@many });
    is(outcome($r), join(' ', ('ok') x 100), 'a hundred urls');
    $r = bulk('alice', { action => 'delete', ids => \@many });
    is(outcome($r), join(' ', ('ok') x 100), 'a hundred deletes');
    is(code(bulk('alice', { action => 'sign', ids => [@many, new_id()] })),
       '400 bad_parameter', 'one more');
};


subtest 'limits of each image' => sub {
    my ($full, $free) = map { new_id() } 1 .. 2;
    insert_images(
        image_doc(id => $full, metadata => { uploadedAt => $past, tags =>
                                             [map { "t$_" } 1 .. 50] }),
        image_doc(id => $free));
    my $r = bulk('alice', { action => 'tag', tags => ['new'],
                            ids => [$full, $free] });
    is(outcome($r), 'bad_parameter ok', 'no room for a tag');
    $r = bulk('alice', { action => 'tag', tags => ['t7'], ids => [$full] });
    is(outcome($r), 'ok', 'what it has, needs no room');
};


subtest 'objects and quota' => sub {
    my @id = map { put('quinn') } 1 .. 12;
    my @key = map { find_image($_)->{r2Key} } @id;
    is(used('quinn'), 120_000, 'used');
    my $keep = pop @id;
    my $r = bulk('quinn', { action => 'delete', ids => [@id, @id] });
    is(outcome($r), join(' ', ('ok') x 22), 'deleted');
    is(used('quinn'), 10_000, 'given back, each once');
    is(curl($n->url("/api/$id[0]?as=quinn"))->{status}, 404, 'gone');
    ok((wait_for { (grep { object($_) } @key) == 1 } 60),
       'so are the objects');
};


subtest 'requests that are refused' => sub {
    my $id = new_id();
    insert_images(image_doc(id => $id));
    my @bad = (
        ['{}', qr/^action must be/],
        ['{"action":"burn","ids":[]}', qr/^action must be/],
        ['{"action":1,"ids":[]}', qr/^action must be/],
        ['{"action":"delete"}', qr/^ids must be/],
        ['{"action":"delete","ids":"x"}', qr/^ids must be/],
        ['{"action":"delete","ids":[1]}', qr/^ids must be/],
        ['{"action":"delete","ids":[{"$ne":1}]}', qr/^ids must be/],
        ['{"action":"tag","ids":[]}', qr/^tags must have/],
        ['{"action":"tag","ids":[],"tags":[]}', qr/^tags must have/],
        ['{"action":"tag","ids":[],"tags":null}', qr/^tags must have/],
        ['{"action":"tag","ids":[],"tags":["", " "]}', qr/^tags must have/],
        ['{"action":"tag","ids":[],"tags":"x"}', qr/^tags must be/],
        ['{"action":"untag","ids":[],"users":["x"]}', qr/^tags must have/],
        ['{"action":"share","ids":[]}', qr/^users must have/],
        ['{"action":"share","ids":[],"users":["a b"]}', qr/^users has/],
        ['{"action":"delete","ids":[],"tags":["x"]}', qr/^tags has no meaning/],
        ['{"action":"sign","ids":[],"users":["x"]}', qr/^users has no mean/],
        ['{"action":"sign","ids":[],"expiresIn":1}', qr/^expiresIn is not kn/],
    );
    for my $b (@bad) {
        my $r = bulk('alice', $b->[0]);
        is(code($r), '400 bad_parameter', $b->[0]);
        like($r->{json}{error}{message}, $b->[1], 'its message');
    }
    is(code(bulk('alice', '[]')), '400 malformed_json', 'no object');
    my $good = { action => 'delete', ids => [$id] };
    my $evil = 'Origin: https://evil.example';
    is(code(bulk('', '{', '-H', $evil)), '401 unauthenticated', 'nobody');
    is(code(bulk('alice', $good, '-H', $evil)), '403 forbidden',
       'from another site');
    is(code(curl('-H', 'Content-Type: text/plain', '-d', '{',
                 $n->url('/api/bulk?as=alice'))), '415 unsupported_type',
       'the type');
    my $r = curl($n->url('/api/bulk?as=alice'));
    is($r->{status}, 405, 'GET');
    is($r->{headers}{allow}, 'POST', 'Allow');
    is(find_image($id)->{status}, 'ready', 'nothing was done');
};

$n->done;
done_testing();
