# What admins see and do below admin/, that nobody else does, and that the trail
# has it.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use POSIX ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $http = ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
         . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n";

my $n = ImageVault::Nginx->new(
    name   => 'admin',
    http   => $http . "image_vault_quota 100k;\n",
    server => 'location /api { image_vault_api s3; image_vault_audit on; } '
            . 'location /silent { image_vault_api s3; }',
)->start;
my $off = ImageVault::Nginx->new(
    name   => 'no-quota',
    http   => $http,
    server => 'location /api { image_vault_api s3; }',
)->start;
my $db = $ImageVault::Peers::Database;
my $json = JSON::PP->new->canonical->allow_nonref;

my ($root, $alice) = ('as=root&admin=1', 'as=alice');
my ($true, $false) = (JSON::PP::true, JSON::PP::false);


# status, code and JSON of one request; body: a reference, or JSON as it is
sub to {
    my ($method, $path, $who, $body, @more) = @_;

    my $url = $path . ($path =~ /\?/ ? '&' : '?') . $who;
    my @args = $method eq 'HEAD' ? '--head' : ('-X', $method);
    if (defined $body) {
        push @args, '-H', 'Content-Type: application/json', '--data-binary',
             ref $body ? $json->encode($body) : $body;
    }
    return curl(@args, @more, $url =~ /^http/ ? $url : $n->url($url));
}

sub ok_json {
    my ($r, $what) = @_;
    is($r->{status}, 200, $what) or diag $r->{body};
    is($r->{headers}{'cache-control'}, 'no-store', "$what: not cached");
    return $r->{json};
}

sub refused {
    my ($r, $status, $code, $what, $message) = @_;
    is($r->{status}, $status, "$what: $status") or diag $r->{body};
    is($r->{json}{error}{code}, $code, "$what: $code");
    like($r->{json}{error}{message}, $message, "$what: why") if $message;
}

sub add_users { ask('insert', db => $db, collection => 'users',
                    documents => [@_]) }

sub user_doc {
    my ($id) = @_;
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => $id }) };
    return $u;
}

sub trail {
    my ($filter, $count) = @_;
    my $found;
    wait_for {
        $found = ask('find', db => $db, collection => 'image_vault_audit',
                     filter => $filter);
        @$found >= $count;
    } 60;
    my @sorted = sort { $a->{at}{'$date'} cmp $b->{at}{'$date'} } @$found;
    return @sorted;
}

sub path { return '/api/' . $_[0] =~ s/%s/$_[1]/r }

my @routes = (
    ['GET', 'admin/stats'], ['HEAD', 'admin/stats'],
    ['GET', 'admin/images'], ['HEAD', 'admin/images'],
    ['POST', 'admin/images/%s/moderate', { action => 'unblock' }],
    ['GET', 'admin/users'], ['HEAD', 'admin/users'],
    ['GET', 'admin/users/alice'], ['HEAD', 'admin/users/alice'],
    ['PATCH', 'admin/users/alice', {}],
);

my $long = '6920d2b07a3f4e5d6c7b8a90';
my %id = map { $_ => new_id() } qw(ready shared public uploading error deleted
                                   expired old);
my $before = mongo_now(-2 * 86400);
insert_images(
    image_doc(id => $id{ready}),
    image_doc(id => $id{shared}, owner => $long, shared => ['alice'],
              contentType => 'image/jpeg'),
    image_doc(id => $id{public}, owner => 'bob', public => 1),
    image_doc(id => $id{uploading}, status => 'uploading'),
    image_doc(id => $id{error}, status => 'error', error => 'corrupt_image'),
    image_doc(id => $id{deleted}, owner => 'bob', status => 'error',
              deletedAt => mongo_now(-60)),
    image_doc(id => $id{expired}, expires => mongo_now(-60)),
    image_doc(id => $id{old}, owner => 'bob', contentType => 'image/"odd"',
              metadata => { uploadedAt => $before,
                            uploadedFrom => '::1', tags => [] }),
);
add_users({ _id => 'alice', name => 'Alice', roles => ['owner'],
            storageQuota => { used => { '$numberLong' => '1234' } },
            preferences => { theme => 'dark' } });


subtest 'who may' => sub {
    for (@routes) {
        my ($method, $route, $body) = @$_;
        for my $id ($id{ready}, 'f' x 24) {
            my $path = path($route, $id);
            my $what = "$method $path";
            my $r = to($method, $path, 'as=', $body);
            is($r->{status}, 401, "$what: anonymous");
            is(to($method, $path, 'as=&admin=1', $body)->{status}, 401,
               "$what: an admin without a name");
            is(to($method, $path, 'as=a%20b&admin=1', $body)->{status}, 401,
               "$what: one with a bad name");
            $r = to($method, $path, $alice, $body);
            is($r->{status}, 403, "$what: owner");
            is($r->{json}{error}{code}, 'forbidden', "$what: forbidden")
                if $method ne 'HEAD';
            is(to($method, $path, 'as=alice&admin=0', $body)->{status}, 403,
               "$what: admin 0");
            last if $route !~ /%s/;
        }
    }
    for (grep { $_->[2] } @routes) {
        my ($method, $route, $body) = @$_;
        my $path = path($route, $id{ready});
        for (['Origin: https://evil.test'], ['Origin: null'],
             ['Sec-Fetch-Site: cross-site'])
        {
            refused(to($method, $path, $root, $body, '-H', @$_), 403,
                    'forbidden', "$method from $_->[0]");
        }
        refused(to($method, $path, $root, undef, '-H', $_, '-d', '{}'), 415,
                'unsupported_type', "$method, $_")
            for 'Content-Type: text/plain', 'Content-Type:',
                'Content-Type: application/jsonp';
    }
    for (['POST', 'stats', 'GET, HEAD'], ['DELETE', 'users', 'GET, HEAD'],
         ['PUT', 'users/alice', 'GET, HEAD, PATCH'],
         ['PATCH', "images/$id{ready}/moderate", 'POST'])
    {
        my ($method, $path, $allow) = @$_;
        my $r = to($method, "/api/admin/$path", $root);
        refused($r, 405, 'method_not_allowed', "$method $path");
        is($r->{headers}{allow}, $allow, 'Allow');
    }
    is(to($_, '/api/admin/nothing', $root)->{status}, 404, "$_ of no path")
        for qw(GET POST);
    is(to('GET', "/api/admin$_", $root)->{status}, 404, "admin$_")
        for '', '/', '/x', '/users/', '/users/a/b', '/images/x';
};


subtest 'statistics' => sub {
    my $today = POSIX::strftime('%Y-%m-%d', gmtime);
    my $s = ok_json(to('GET', '/api/admin/stats', $root), 'all');
    my ($one, $none) = ({ images => 1, bytes => 1234 },
                        { images => 0, bytes => 0 });
    my $days = delete $s->{byDay};
    is_deeply($s, {
        success => $true, images => 5, bytes => 5 * 1234,
        byStatus => { uploading => $one, processing => $none,
                      ready => { images => 5, bytes => 5 * 1234 },
                      error => { images => 2, bytes => 2 * 1234 } },
        byType => { 'image/png' => { images => 3, bytes => 3 * 1234 },
                    'image/jpeg' => $one, 'image/"odd"' => $one },
    }, 'sums');
    is(@$days, 30, 'days');
    # midnight may pass meanwhile
    my %day = map { $_->{day} => $_->{images} } @$days;
    my $old = substr $before->{'$date'}, 0, 10;
    my %new = (images => 0, bytes => 0);
    for my $d (grep { $_->{day} gt $old } @$days) {
        $new{$_} += $d->{$_} for keys %new;
    }
    is($day{$old}, 1, 'an old one') or diag $json->encode($days);
    is_deeply(\%new, { images => 4, bytes => 4 * 1234 }, 'the new ones')
        or diag $json->encode($days);
    ok(exists $day{$today}, 'today') or diag $json->encode($days);
    is_deeply([sort keys %day], [map { $_->{day} } @$days], 'in order');
    is(to('HEAD', '/api/admin/stats', $root)->{status}, 200, 'HEAD');
};


subtest 'images' => sub {
    my $list = sub {
        my ($args) = @_;
        return ok_json(to('GET', "/api/admin/images?$args", $root), $args);
    };
    my $ids = sub {
        return join ' ', sort map { $_->{id} } @{ $list->(@_)->{images} };
    };
    my $all = sub { return join ' ', sort @id{@_} };

    is($ids->(''), $all->(qw(ready shared public expired old)), "everybody's");
    is($list->('')->{pagination}{total}, 5, 'all of them');
    is($ids->('userId=bob'), $all->(qw(public old)), "bob's");
    is($ids->('userId=' . uc $long), $all->('shared'), "an ObjectId's");
    is($ids->('userId=nobody'), '', "nobody's");
    is($ids->('type=image/jpeg'), $all->('shared'), 'a type');
    is($ids->('public=1'), $all->('public'), 'public');
    is($ids->('status=uploading'), $all->('uploading'), 'uploading');
    is($ids->('status=error'), $all->(qw(error deleted)), 'error');
    is($ids->('status=any'), $all->(keys %id), 'any');
    is($ids->('status=any&userId=bob'), $all->(qw(public old deleted)),
       "any of bob's");
    is($list->('sort=size&order=asc&limit=2')->{pagination}{pages}, 3, 'pages');

    my ($seen, $next) = ('', '');
    for (1 .. 4) {
        my $l = $list->("status=any&limit=2&cursor=$next");
        $seen .= " $_->{id}" for @{ $l->{images} };
        $next = $l->{pagination}{next} // last;
    }
    is(join(' ', sort split ' ', $seen), $all->(keys %id), 'by a cursor');

    my %image = map { $_->{id} => $_ } @{ $list->('status=any')->{images} };
    is($image{ $id{error} }{error}, 'corrupt_image', 'what failed');
    is($image{ $id{error} }{status}, 'error', 'its status');
    like($image{ $id{deleted} }{deletedAt}, qr/^\d{4}-\S+Z$/, 'when deleted');
    is($image{ $id{ready} }{$_}, undef, "no $_")
        for qw(blocked deletedAt error);
    is($image{ $id{shared} }{userId}, $long, 'whose it is');
    for my $secret (qw(r2Key storage etag s3UploadId)) {
        ok(!(grep { exists $_->{$secret} } values %image), "no $secret");
    }

    refused(to('GET', "/api/admin/images?$_", $root), 400, 'bad_parameter', $_)
        for 'limit=0', 'status=x', 'userId=a%20b', 'cursor=x',
            'cursor=&page=1';
};


subtest 'moderation' => sub {
    my $at = "/api/admin/images/$id{ready}/moderate";
    my $bad = sub {
        my ($body, $message, $what) = @_;
        refused(to('POST', $at, $root, $body), 400, 'bad_parameter',
                $what // (ref $body ? $json->encode($body) : $body), $message);
    };
    $bad->({}, qr/^action must be block or unblock$/);
    $bad->({ action => 'delete' }, qr/^action must/);
    $bad->({ action => $true }, qr/^action must/);
    $bad->({ action => 'block' }, qr/^reason must be a text of 1 to 500/);
    $bad->({ action => 'block', reason => '' }, qr/^reason must/);
    $bad->({ action => 'block', reason => '   ' }, qr/^reason must/);
    $bad->({ action => 'block', reason => 5 }, qr/^reason must/);
    $bad->({ action => 'block', reason => undef }, qr/^reason must/);
    $bad->({ action => 'block', reason => "a\nb" }, qr/^reason must/);
    $bad->({ action => 'block', reason => 'x' x 501 }, qr/^reason must/,
           '501 bytes');
    $bad->({ action => 'unblock', reason => 'x' }, qr/^reason goes with block/);
    $bad->({ action => 'unblock', reason => undef }, qr/^reason goes/);
    $bad->({ action => 'block', reason => 'x', until => 1 },
           qr/^until is not known$/);
    $bad->({ action => 'block', reason => 'x', '$set' => {} },
           qr/^\$set is not known$/);
    for ('', '{', '[]', '"block"', '{"action":"block","action":"unblock"}',
         '{"action":"block","reason":"\\u0000"}',
         "{\"action\":\"block\",\"reason\":\"\xff\"}")
    {
        my $r = to('POST', $at, $root, $_);
        is($r->{status}, 400, 'malformed') or diag $_;
        like($r->{json}{error}{code}, qr/^(malformed_json|length_mismatch)$/,
             'code');
    }
    ok(!find_image($id{ready})->{blocked}, 'nothing of it was done');

    my $post = sub {
        my ($id, $body) = @_;
        return to('POST', "/api/admin/images/$id/moderate", $root, $body);
    };
    for my $body ({ action => 'unblock' }, { action => 'block', x => 1 }, '{') {
        refused($post->($_->[1], $body), 404, 'not_found', $_->[0])
            for ['absent', 'f' x 24], ['no id', 'x'],
                ['failed', $id{error}], ['deleted', $id{deleted}];
        refused($post->($id{uploading}, $body), 409, 'not_ready', 'uploading');
    }

    my $reason = "\x{dc}bel, \"\$where\": </script> \x{1f5bc}";
    my $image = ok_json(to('POST', $at, $root,
        JSON::PP->new->utf8->encode({ action => 'block', reason => $reason })),
        'block')->{image};
    is($image->{id}, $id{ready}, 'which');
    is($image->{userId}, 'alice', 'whose');
    is($image->{blocked}{reason}, $reason, 'why');
    like($image->{blocked}{at}, qr/^\d{4}-\d\d-\d\dT\S+Z$/, 'when');
    is($image->{status}, 'ready', 'it is there all the same');

    for my $path ($id{ready}, "$id{ready}/view", "$id{ready}/download") {
        my $r = to('GET', "/api/$path", $alice);
        refused($r, 451, 'blocked', "the owner's $path");
        is($r->{json}{error}{message}, $reason, 'learns why');
    }
    is(to('GET', "/api/$id{ready}", 'as=bob')->{status}, 404, 'a stranger');
    is(to('GET', "/api/$id{ready}", $root)->{status}, 200, 'an admin');
    is(to('GET', "/api/$id{ready}/view", $root)->{status}, 302, 'sees it');
    my ($shown) = grep { $_->{id} eq $id{ready} }
        @{ to('GET', '/api/admin/images', $root)->{json}{images} };
    is_deeply($shown->{blocked}, $image->{blocked}, 'and that it is blocked');

    my $again = ok_json($post->($id{ready}, { action => 'block',
                                              reason => 'x' x 500 }), 'again');
    is($again->{image}{blocked}{reason}, 'x' x 500, 'for another reason');

    my $free = ok_json($post->($id{ready}, { action => 'unblock' }), 'unblock');
    is($free->{image}{blocked}, undef, 'no longer');
    is(to('GET', "/api/$id{ready}", $alice)->{status}, 200, 'the owner');
    ok(!find_image($id{ready})->{blocked}, 'gone from the document');
    ok_json($post->($id{ready}, { action => 'unblock' }), 'unblock again');

    ok_json($post->(uc $id{public}, { action => 'block', reason => 'r' }),
            'upper case');
    refused(to('GET', "/api/$id{public}", 'as='), 451, 'blocked',
            'public, for everybody', qr/^r$/);
    ok_json($post->($id{expired}, { action => 'block', reason => 'r' }),
            'an expired one');
    refused(to('GET', "/api/$id{expired}", $alice), 451, 'blocked',
            'goes first');
    ok_json($post->($_, { action => 'unblock' }), 'unblock')
        for @id{qw(public expired)};
};


subtest 'users' => sub {
    my @strings = map { sprintf 'u%02d', $_ } 1 .. 5;
    add_users((map { { _id => $_ } } @strings),
              { _id => { '$oid' => $long }, storageQuota =>
                { used => 5, limit => { '$numberLong' => '70000000000' } },
                preferences => { autoDelete => $true, defaultExpiry => 30 } },
              { _id => 'not an owner' }, { _id => 17 });

    # strings before ObjectIds
    my @want = ('alice', @strings, $long);

    my $l = ok_json(to('GET', '/api/admin/users', $root), 'all');
    is(join(' ', map { $_->{id} } @{ $l->{users} }), "@want", 'who');
    is_deeply($l->{pagination}, { limit => 20, next => undef }, 'one page');
    my %user = map { $_->{id} => $_ } @{ $l->{users} };
    is_deeply($user{alice}, { id => 'alice',
        storageQuota => { used => 1234, limit => undef },
        preferences => { autoDelete => $false, defaultExpiry => undef } },
        'alice, and nothing of the application');
    is_deeply($user{$long}, { id => $long,
        storageQuota => { used => 5, limit => 70000000000 },
        preferences => { autoDelete => $true, defaultExpiry => 30 } },
        'an ObjectId');
    is($user{u01}{storageQuota}{used}, undef, 'not counted yet');

    for my $limit (1, 2, 3) {
        my ($next, @seen) = ('');
        for (1 .. 20) {
            $l = to('GET', "/api/admin/users?limit=$limit&cursor=$next",
                    $root)->{json};
            push @seen, map { $_->{id} } @{ $l->{users} };
            ok(@{ $l->{users} } <= $limit, 'not more');
            $next = $l->{pagination}{next} // last;
        }
        is("@seen", "@want", "limit=$limit");
    }
    is(to('GET', '/api/admin/users?limit=1000', $root)
       ->{json}{pagination}{limit}, 100, 'at most 100');
    is(to('GET', '/api/admin/users?limit=&cursor=', $root)
       ->{json}{pagination}{limit}, 20, 'empty is absent');
    refused(to('GET', "/api/admin/users?$_", $root), 400, 'bad_parameter', $_,
            qr/^(limit|cursor) /)
        for 'limit=0', 'limit=-1', 'limit=x', 'limit=1&limit=2', 'cursor=!',
            'cursor=YQ', 'cursor=b3g', 'cursor=%zz', 'cursor=c_8';

    is_deeply(ok_json(to('GET', '/api/admin/users/alice', $root), 'one'),
              { success => $true, user => $user{alice} }, 'alice');
    is_deeply(ok_json(to('GET', "/api/admin/users/\U$long", $root), 'one')
              ->{user}, $user{$long}, 'an ObjectId in upper case');
    is(to('GET', '/api/admin/users/%61lice', $root)->{json}{user}{id},
       'alice', 'escaped');
    refused(to('GET', "/api/admin/users/$_", $root), 404, 'not_found', $_)
        for 'nobody', 'not%20an%20owner', '17', 'a' x 129, 'a%2Fb', '%24ne';
};


subtest 'a change of a user' => sub {
    my $patch = sub {
        my ($id, $body) = @_;
        return to('PATCH', "/api/admin/users/$id", $root, $body);
    };
    my $bad = sub {
        my ($body, $message) = @_;
        refused($patch->('alice', $body), 400, 'bad_parameter',
                $json->encode($body), $message);
    };
    my $before = user_doc('alice');

    $bad->({ name => 'x' }, qr/^name is not known$/);
    $bad->({ _id => 'x' }, qr/^_id is not known$/);
    $bad->({ 'storageQuota.limit' => 1 }, qr/^storageQuota\.limit is not/);
    $bad->({ '$set' => { limit => 1 } }, qr/^\$set is not known$/);
    $bad->({ storageQuota => $_ }, qr/^storageQuota must be an object$/)
        for undef, 5, [], 'x';
    $bad->({ storageQuota => { used => 0 } }, qr/^used is not known$/);
    $bad->({ storageQuota => { autoDelete => $true } }, qr/^autoDelete is not/);
    $bad->({ storageQuota => { pending => {} } }, qr/^pending is not known$/);
    $bad->({ storageQuota => { limit => $_ } },
           qr/^storageQuota\.limit must be a whole number/)
        for -1, 1.5, '100', $true, {}, [], 9007199254740992, 1e30;
    $bad->({ preferences => { theme => 'x' } }, qr/^theme is not known$/);
    $bad->({ preferences => { autoDelete => $_ } },
           qr/^preferences\.autoDelete must be true or false$/)
        for undef, 1, 'true', {};
    $bad->({ preferences => { defaultExpiry => $_ } },
           qr/^preferences\.defaultExpiry must be a whole number of days/)
        for 0, -1, 36501, 1.5, '30', $false, [];
    $bad->({ storageQuota => { limit => 5 }, preferences => { x => 1 } },
           qr/^x is not known$/);
    is_deeply(user_doc('alice'), $before, 'nothing of it was done');

    is_deeply(ok_json($patch->('alice', {}), 'empty')->{user},
              to('GET', '/api/admin/users/alice', $root)->{json}{user},
              'changes nothing');
    is_deeply(user_doc('alice'), $before, 'nothing at all');

    my $u = ok_json($patch->('alice', { storageQuota => { limit => 5000 },
        preferences => { autoDelete => $true, defaultExpiry => 36500 } }),
        'all')->{user};
    is_deeply($u, { id => 'alice',
        storageQuota => { used => 1234, limit => 5000 },
        preferences => { autoDelete => $true, defaultExpiry => 36500 } },
        'as it is now');
    my $doc = user_doc('alice');
    is($doc->{storageQuota}{limit}, 5000, 'limit');
    is($doc->{name}, 'Alice', "the application's own");
    is_deeply($doc->{roles}, ['owner'], '... stays');
    is($doc->{preferences}{theme}, 'dark', '... within preferences too');

    $u = ok_json($patch->('alice', { preferences => { autoDelete => $false } }),
                 'one member')->{user};
    is_deeply($u->{preferences}, { autoDelete => $false,
                                   defaultExpiry => 36500 }, 'the rest stays');

    my @put = ('-T', temp_file(png(4_000)), '-H', 'Content-Type: image/png');
    refused(curl(@put, $n->url("/api/upload?$alice")), 403, 'quota_exceeded',
            'the limit holds at once');
    $u = ok_json($patch->('alice', { storageQuota => { limit => undef },
                                     preferences => { defaultExpiry => undef },
                                   }), 'null')->{user};
    is($u->{storageQuota}{limit}, undef, 'no limit of its own');
    is($u->{preferences}{defaultExpiry}, undef, 'no days');
    ok(!exists user_doc('alice')->{storageQuota}{limit}, 'gone');
    is(curl(@put, $n->url("/api/upload?$alice"))->{status}, 201,
       "the location's holds again");

    is(ok_json($patch->('alice', { storageQuota => { limit => 0 } }), '0')
       ->{user}{storageQuota}{limit}, 0, 'nothing at all');
    is(ok_json($patch->('alice',
                        { storageQuota => { limit => 9007199254740991 } }),
               'much')->{user}{storageQuota}{limit}, 9007199254740991,
       'exactly');

    # who has no document
    refused($patch->('dora', { preferences => { autoDelete => $true } }), 404,
            'not_found', 'preferences of nobody');
    refused($patch->('dora', { storageQuota => { limit => undef } }), 404,
            'not_found', 'no limit of nobody');
    ok(!user_doc('dora'), 'no document');
    insert_images(image_doc(owner => 'dora'));
    $u = ok_json($patch->('dora', { storageQuota => { limit => 7 } }),
                 'a limit makes one')->{user};
    is_deeply($u->{storageQuota}, { used => 1234, limit => 7 }, 'counted');
    is($u->{id}, 'dora', 'hers');
    is(user_doc('dora')->{storageQuota}{limit}, 7, 'in the store');

    $u = ok_json($patch->($long, { storageQuota => { limit => 9 } }),
                 'an ObjectId')->{user};
    is(user_doc({ '$oid' => $long })->{storageQuota}{limit}, 9, 'as one');
    refused($patch->('a%20b', { storageQuota => { limit => 9 } }), 404,
            'not_found', 'no owner');
};


subtest 'without quotas' => sub {
    my @before = @{ ask('find', db => $db, collection => 'users',
                        filter => {}) };
    for (['GET', 'users'], ['GET', 'users/alice'],
         ['PATCH', 'users/alice', { storageQuota => { limit => 1 } }],
         ['PATCH', 'users/eve', { storageQuota => { limit => 1 } }])
    {
        my ($method, $path, $body) = @$_;
        refused(to($method, $off->url("/api/admin/$path"), $root, $body), 409,
                'conflict', "$method $path", qr/image_vault_quota is off/);
        is(to($method, $off->url("/api/admin/$path"), $alice, $body)->{status},
           403, 'no admin');
    }
    is_deeply([@{ ask('find', db => $db, collection => 'users',
                      filter => {}) }], \@before, 'nobody was touched');
    is(to('GET', $off->url('/api/admin/stats'), $root)->{status}, 200,
       'statistics');
};


subtest 'the trail' => sub {
    my @e = trail({ action => 'admin-block', image => { '$oid' => $id{ready} } },
                  2);
    is(@e, 2, 'blocked twice');
    is($e[0]{who}, 'root', 'who');
    ok($e[0]{admin}, 'an admin');
    is($e[0]{owner}, 'alice', 'whose image');
    is($e[0]{outcome}, 'ok', 'outcome');
    is($e[0]{from}, '127.0.0.1', 'from where');
    like($e[0]{requestId}, qr/^[0-9a-f]{32}$/, 'which request');
    like($e[0]{detail}, qr/where/, 'why');
    is(trail({ action => 'admin-unblock', outcome => 'ok' }, 4), 4, 'unblocked');
    is((grep { $_->{image} } trail({ action => 'admin-moderate',
                                     outcome => 'not_found' }, 9)), 9, 'absent');
    @e = trail({ action => 'admin-user-patch', owner => 'dora' }, 3);
    is(join(', ', map { "$_->{outcome} $_->{detail}" } @e),
       'not_found autoDelete=true, not_found limit=null, ok limit=7',
       'changes of a user');
    is((trail({ action => 'admin-user-patch', detail => { '$regex' => ',' } },
              2))[0]{detail},
       'limit=5000, autoDelete=true, defaultExpiry=36500', 'all at once');
    ok(trail({ action => $_, who => 'root' }, 1), $_)
        for qw(admin-stats admin-images admin-users admin-user);
    ok(!trail({ action => { '$regex' => '^admin-' },
                who => { '$ne' => 'root' } }, 0), 'nobody else');

    is(to('POST', "/silent/admin/images/$id{old}/moderate", $root,
          { action => 'block', reason => "why\x{2028}\" x" })->{status}, 200,
       'off: block');
    is(to('GET', '/silent/admin/stats', $root)->{status}, 200, 'off: stats');
    is(to('PATCH', '/silent/admin/users/u01', $root,
          { storageQuota => { limit => 1 } })->{status}, 200, 'off: user');
    my $log = $n->error_log;
    like($log, qr/\[notice\].*audit: admin-block by admin "root", image $id{old} of "bob", from "127\.0\.0\.1": ok, request "[0-9a-f]{32}", detail "why/,
         'a line');
    like($log, qr/\[notice\].*audit: $_ by admin "root"/, $_)
        for qw(admin-stats admin-user-patch);
    ok(!trail({ image => { '$oid' => $id{old} } }, 0), 'no entry');
};


subtest 'the store is away' => sub {
    my $away = ImageVault::Nginx->new(
        name   => 'away',
        http   => ImageVault::Nginx::http_base(
                      mongodb => 'mongodb://127.0.0.1:' . free_port()
                                 . '/?serverSelectionTimeoutMS=300',
                      timeout => '1s')
                  . ImageVault::Nginx::storage_s3()
                  . 'image_vault_owner $arg_as; image_vault_admin $arg_admin;'
                  . 'image_vault_quota 100k;',
        server => 'location /api { image_vault_api s3; }',
    )->start;
    for (@routes) {
        my ($method, $route, $body) = @$_;
        my $path = path($route, $id{ready});
        my $r = to($method, $away->url($path), $root, $body);
        is($r->{status}, 503, "$method $path");
        ok($r->{headers}{'retry-after'}, 'when to try again');
    }
    $away->done;
};


subtest 'statistics of many types' => sub {
    my $bare = image_doc();
    delete $bare->{contentType};
    insert_images($bare, map { my $type = "image/x$_";
        map { image_doc(contentType => $type) } 1, 2 } 1 .. 40);
    insert_images(map { image_doc(contentType => 'other') } 1 .. 3);

    my $r = to('GET', '/api/admin/stats', $root);
    my $s = ok_json($r, 'sums');
    my $types = $s->{byType};
    is(scalar(() = $r->{body} =~ /"other":/g), 1, 'one for the rest');
    my $sum = 0;
    $sum += $_->{images} for values %$types;
    is($sum, $s->{images}, 'none is lost');
    ok(keys %$types <= 32, 'at most 32 types') or diag $json->encode($types);
    ok($types->{other}{images} > 4, 'the rest') or diag $json->encode($types);
};


# they have no tags to compare: what is done is not told to have failed
subtest 'conditional requests' => sub {
    my $id = new_id();
    insert_images(image_doc(id => $id));
    my @conditions = ('If-Match: "other"', 'If-None-Match: *',
                      'If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT');
    for my $c (@conditions) {
        is(to('POST', "/api/admin/images/$id/moderate", $root, $_, '-H', $c)
               ->{status}, 200, "$_->{action}, $c")
            for { action => 'block', reason => 'abuse' },
                { action => 'unblock' };
        is(to('PATCH', '/api/admin/users/cond', $root,
              { storageQuota => { limit => 1000 } }, '-H', $c)->{status}, 200,
           "a user, $c");
        is(to('POST', '/api/presigned-url', $alice, { imageId => $id },
              '-H', $c)->{status}, 200, "a URL, $c");
    }
};


$_->done for $n, $off;
done_testing();
