# GET user: pages and cursors, each filter, each sort, each bad value, who may
# list whom.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'list',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(
                    name => 'open', public_only => 'on',
                    public_url => 'https://img.example')
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_root;\n",
    server => 'location /api { image_vault_api s3; }',
)->start;

sub get {
    my ($query, @more) = @_;
    $query = "as=alice&$query" if $query !~ /(?:^|&)as=/;
    return curl('-g', @more, $n->url("/api/user?$query"));
}

# the names in the answer, and the answer
sub names {
    my ($query) = @_;
    my $r = get($query);
    is($r->{status}, 200, "$query: 200") or diag($r->{body});
    return join ' ', map { $_->{originalName} } @{ $r->{json}{images} };
}

sub refused {
    my ($query, $status, $code, $word) = @_;
    my $r = get($query);
    is($r->{status}, $status, "$query: $status");
    is($r->{json}{error}{code}, $code, "$query: $code");
    like($r->{json}{error}{message}, $word, "$query: says what")
        if $word;
}

# days of November 2026 at noon
sub day { return { '$date' => sprintf('2026-11-%02dT12:00:00.000Z', $_[0]) } }

sub image {
    my ($name, $day, %a) = @_;
    my $tags = delete $a{tags} // [];
    my $doc = image_doc(originalName => $name, %a);
    $doc->{metadata}{uploadedAt} = day($day);
    $doc->{metadata}{tags} = $tags;
    return $doc;
}

sub size { return { '$numberLong' => "$_[0]" } }

my $past = mongo_now(-3600);
my @docs = (
    image('ant.png', 1, size => size(500), tags => ['sea', 'sun']),
    image('bee.png', 2, size => size(300), tags => ['sea'], public => 1),
    image('bear.gif', 3, size => size(400), contentType => 'image/gif'),
    image('cat.jpg', 4, size => size(200), contentType => 'image/jpeg',
          tags => ['sun', 'a,b', "\x{fc}ber"]),
    image('Cow.png', 5, size => size(100), tags => ['$where', 'x.y']),
    image('late.png', 6, status => 'uploading'),
    image('bad.png', 7, status => 'error'),
    image('gone.png', 8, status => 'error', deletedAt => $past),
    image('odd.png', 8, deletedAt => $past),
    image('bobs.png', 9, owner => 'bob', shared => ['alice'], public => 1),
);
insert_images(@docs);


subtest 'a whole answer' => sub {
    my $r = get('limit=1&tag=sun&tag=sea');
    is($r->{status}, 200, 'status');
    is($r->{headers}{'content-type'}, 'application/json', 'type');
    is($r->{headers}{'cache-control'}, 'no-store', 'not stored');
    is($r->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
    my $id = $docs[0]{_id}{'$oid'};
    is_deeply($r->{json}, {
        success => JSON::PP::true,
        images => [{
            id => $id, _id => $id, userId => 'alice', originalName => 'ant.png',
            filename => "$id.png", contentType => 'image/png', size => 500,
            dimensions => { width => 3, height => 2 },
            metadata => { uploadedAt => '2026-11-01T12:00:00.000Z',
                          uploadedFrom => '::1', tags => ['sea', 'sun'] },
            access => { isPublic => JSON::PP::false, sharedWith => [],
                        expiresAt => undef },
            status => 'ready',
            checksums => { md5 => '0' x 32, sha256 => '0' x 64 },
            variants => [],
        }],
        pagination => { page => 1, limit => 1, total => 1, pages => 1 },
    }, 'exactly this');
    unlike($r->{body}, qr/r2Key|images\/|s3/, 'no key, no storage');
};

subtest 'newest first, ready only' => sub {
    is(names(''), 'Cow.png cat.jpg bear.gif bee.png ant.png', 'by default');
    is(names('sort=uploadedAt&order=desc&status=ready&page=1&limit=20'),
       'Cow.png cat.jpg bear.gif bee.png ant.png', 'the same, said');
    is(names('as=nobody'), '', 'nobody has none');
    is_deeply(get('as=nobody')->{json}{pagination},
              { page => 1, limit => 20, total => 0, pages => 0 }, 'of nothing');
};

subtest 'sorts' => sub {
    is(names('order=asc'), 'ant.png bee.png bear.gif cat.jpg Cow.png', 'oldest');
    is(names('sort=size'), 'ant.png bear.gif bee.png cat.jpg Cow.png', 'large');
    is(names('sort=size&order=asc'),
       'Cow.png cat.jpg bee.png bear.gif ant.png', 'small');
    is(names('sort=name&order=asc'),
       'Cow.png ant.png bear.gif bee.png cat.jpg', 'by bytes');
    is(names('sort=name'), 'cat.jpg bee.png bear.gif ant.png Cow.png', 'down');
};

subtest 'filters' => sub {
    my $o = 'order=asc&';
    is(names("${o}tag=sea"), 'ant.png bee.png', 'one tag');
    is(names("${o}tag=sea&tag=sun"), 'ant.png', 'all of them');
    is(names("${o}tag[]=sea&tag[]=sun"), 'ant.png', 'as arrays are written');
    is(names("${o}tag%5B%5D=sea&tag=sun"), 'ant.png', 'mixed, escaped');
    is(names("${o}tag=sea&tag=sea"), 'ant.png bee.png', 'twice the same');
    is(names("${o}tag=a,b"), 'cat.jpg', 'a comma is the tag\'s own');
    is(names("${o}tag=%C3%BCber"), 'cat.jpg', 'beyond ASCII');
    is(names("${o}tag=\$where&tag=x.y"), 'Cow.png', 'no operators');
    is(names("${o}tag=%7B%22%24gt%22%3A%22%22%7D"), '', 'no JSON');
    is(names("${o}tag[\$gt]=&tag="), 'ant.png bee.png bear.gif cat.jpg Cow.png',
       'other names are others\', empty is absent');
    is(names("${o}type=image/gif"), 'bear.gif', 'type');
    is(names("${o}type=IMAGE/JPEG"), 'cat.jpg', 'in any case');
    is(names("${o}type=image%2Fsvg%2Bxml"), '', 'of none');
    is(names("${o}public=true"), 'bee.png', 'public');
    is(names("${o}public=0"), 'ant.png bear.gif cat.jpg Cow.png', 'private');
    is(names("${o}q=be"), 'bee.png bear.gif', 'begins with');
    is(names("${o}q=Be"), '', 'as it is written');
    is(names("${o}q=b.*"), '', 'no expression');
    is(names("sort=name&${o}q=be"), 'bear.gif bee.png', 'with the same sort');
    is(names("${o}from=2026-11-04T12:00:00Z"), 'cat.jpg Cow.png', 'from: with');
    is(names("${o}from=2026-11-04T12:00:00.001Z"), 'Cow.png', 'from: behind');
    is(names("${o}to=2026-11-02T12:00:00Z"), 'ant.png bee.png', 'to: with');
    is(names("${o}to=2026-11-02T13:59:59+02:00"), 'ant.png', 'another zone');
    is(names("${o}from=2026-11-02&to=2026-11-03"), 'bee.png bear.gif',
       'to is the whole day');
    is(names("${o}from=2026-11-05&to=2026-11-01"), '', 'the wrong way round');
    is(names("${o}to=1970-01-01T00:00:00Z"), '', 'before all');
    is(names("${o}from=1970-01-01"), names($o), 'since ever');
    is(names("status=uploading"), 'late.png', 'uploading');
    is(names("status=processing"), '', 'processing');
    is(names("status=error"), 'bad.png', 'error, not the deleted one');
    is(names("${o}tag=sun&type=image/png&q=a&public=no&from=2026-10-31"
             . "&to=2026-11-30&sort=size"), 'ant.png', 'all together');
};

subtest 'pages' => sub {
    for my $page (1 .. 4) {
        my $r = get("limit=2&page=$page");
        is(scalar @{ $r->{json}{images} }, (2, 2, 1, 0)[$page - 1],
           "page $page");
        is_deeply($r->{json}{pagination},
                  { page => $page, limit => 2, total => 5, pages => 3 },
                  'pagination');
    }
    is(names('limit=2&page=2'), 'bear.gif bee.png', 'the second');
    is(get('limit=100')->{json}{pagination}{limit}, 100, '100');
    is(get("limit=$_")->{json}{pagination}{limit}, 100, "$_ counts as 100")
        for 101, 4294967297, '9' x 30;
    is(get('limit=007')->{json}{pagination}{limit}, 7, 'zeros before');
    is_deeply(get('page=10000000&limit=100')->{json}{pagination},
              { page => 10000000, limit => 100, total => 5, pages => 1 },
              'far beyond the end');
    is(get("page=&limit=&sort=&status=&userId=&from=&q=&type=&public=&urls=")
       ->{json}{pagination}{total}, 5, 'empty is absent');
    is(get('page')->{json}{pagination}{page}, 1, 'without an equals sign');
    is(get('page=&page=2&limit=2')->{json}{pagination}{page}, 2,
       'an empty one does not count');
    is(get('&&=3&%zz=1&page=2&limit=2&_=17&x=%zz&')->{json}{pagination}{page},
       2, 'what is not ours is passed over');
    is(get('p%61ge=2&limit=%32')->{json}{pagination}{page}, 2, 'escaped');
};

subtest 'bad values' => sub {
    refused("limit=$_", 400, 'bad_parameter', qr/^limit /)
        for '0', '-1', 'x', '1.5', '1e3', '0x10', '+5', '%205', '00', '5%00';
    refused("page=$_", 400, 'bad_parameter', qr/^page /)
        for '0', '-1', 'x', '10000001', '9' x 40, 'NaN';
    refused("status=$_", 400, 'bad_parameter', qr/^status /)
        for 'any', 'READY', 'deleted', '2', '$ne';
    refused("type=$_", 400, 'bad_parameter', qr/^type /)
        for 'png', 'image/', '/png', 'image/*', 'image/png;q=1', 'a/b/c',
            'image/p%00ng', 'image/' . 'x' x 122, '*/*', 'image/svg+xml';
    refused("public=$_", 400, 'bad_parameter', qr/^public /)
        for '2', 'maybe', 'tru';
    refused("q=$_", 400, 'bad_parameter', qr/^q /)
        for '%00', 'a%0A', '%ff', '%ed%a0%80', 'x' x 1025, '%C2%85';
    refused("tag=$_", 400, 'bad_parameter', qr/^tag /)
        for 'x' x 65, '%ff', 'a%01', '%C2%85';
    refused('tag=1&tag[]=' . 'x' x 65, 400, 'bad_parameter', qr/^tag/);
    refused(join('&', map { "tag=t$_" } 1 .. 51), 400, 'bad_parameter',
            qr/^tag /);
    refused("from=$_", 400, 'bad_parameter', qr/^from /)
        for 'yesterday', '2026-02-30', '2026-11-01T12:00:00', '%ff', '17';
    refused('to=x', 400, 'bad_parameter', qr/^to /);
    refused("sort=$_", 400, 'bad_parameter', qr/^sort /)
        for 'date', 'Size', '$natural';
    refused("order=$_", 400, 'bad_parameter', qr/^order /)
        for 'up', 'ASC', '-1';
    refused('urls=2', 400, 'bad_parameter', qr/^urls /);
    refused("userId=$_", 400, 'bad_parameter', qr/^userId /)
        for 'a%20b', '.', '..', 'x' x 129, '%00', '{}';
    refused("$_=1&$_=2", 400, 'bad_parameter', qr/^$_ is given twice/)
        for qw(page limit);
    refused('cursor=&cursor=', 400, 'bad_parameter', qr/^cursor is given/);
    refused("$_=%zz", 400, 'bad_parameter', qr/^$_ is escaped badly/)
        for qw(page tag q cursor userId);
    refused('q=%4', 400, 'bad_parameter', qr/^q is escaped badly/);
};

subtest 'cursors' => sub {
    my $r = get('cursor=&limit=2');
    is_deeply([sort keys %{ $r->{json}{pagination} }], ['limit', 'next'],
              'no total, no page');
    like($r->{json}{pagination}{next}, qr/^[A-Za-z0-9_-]+$/, 'fits in a URL');

    for my $query ('', 'order=asc', 'sort=size', 'sort=size&order=asc',
                   'sort=name', 'sort=name&order=asc', 'q=be&sort=name',
                   'tag=sea', 'public=0&order=asc', 'from=2026-11-02')
    {
        my ($cursor, @got) = ('');
        for (1 .. 9) {
            my $r = get("$query&limit=1&cursor=$cursor");
            push @got, map { $_->{originalName} } @{ $r->{json}{images} };
            $cursor = $r->{json}{pagination}{next} // last;
        }
        is("@got", names($query), "$query: one by one");
    }

    my $next = $r->{json}{pagination}{next};
    is(names("limit=3&cursor=$next"), 'bear.gif bee.png ant.png',
       'another limit is no other list');
    is(get("limit=3&cursor=$next")->{json}{pagination}{next}, undef,
       'null at the end');
    is(names("page=&cursor=$next"), 'bear.gif bee.png ant.png',
       'an empty page is none');
    is(names('cursor'), names(''), 'without an equals sign');

    refused("cursor=$next&page=1", 400, 'bad_parameter', qr/^cursor and page/);
    refused('cursor=&page=2', 400, 'bad_parameter', qr/^cursor and page/);
    refused("cursor=$next&$_", 400, 'bad_parameter', qr/^cursor is none/)
        for 'sort=size', 'order=asc', 'tag=sea', 'status=error', 'q=a',
            'public=1', 'type=image/png', 'from=2026-01-01', 'as=bob';
    refused("cursor=$_", 400, 'bad_parameter', qr/^cursor is none/)
        for 'x', '%00', '....', 'A' x 3000, substr($next, 1), "$next$next",
            'null', '0';
};

subtest 'a cursor stays where it is' => sub {
    my @old = map { image("old$_.png", 10, owner => 'carl') } 1 .. 30;
    insert_images(@old);

    my (@seen, %seen);
    my $cursor = '';
    for my $round (1 .. 40) {
        my $r = get("as=carl&limit=4&cursor=$cursor");
        push @seen, map { $_->{originalName} } @{ $r->{json}{images} };
        $cursor = $r->{json}{pagination}{next} // last;

        # a newer one, and the one that the cursor stands on goes
        insert_images(image("new$round.png", 11, owner => 'carl'));
        ask('update', db => $ImageVault::Peers::Database, collection => 'images',
            filter => { originalName => $seen[-1], userId => 'carl' },
            update => { '$set' => { status => 'error', deletedAt => $past } });
    }
    $seen{$_}++ for @seen;
    is(scalar @seen, 30, 'as many as there were');
    is(scalar(grep { $_ ne 'old' } map { s/\d+\.png//r } @seen), 0,
       'none of the new ones');
    is(scalar(grep { $_ > 1 } values %seen), 0, 'none twice');
};

subtest 'images of one moment' => sub {
    insert_images(map { image('same.png', 12, owner => 'dora') } 1 .. 25);
    for my $query ('', 'order=asc', 'sort=size', 'sort=name&order=asc') {
        my ($cursor, %ids, $rounds) = ('');
        for (1 .. 10) {
            my $r = get("as=dora&$query&limit=7&cursor=$cursor");
            $ids{ $_->{id} }++ for @{ $r->{json}{images} };
            $rounds++;
            $cursor = $r->{json}{pagination}{next} // last;
        }
        is(scalar keys %ids, 25, "'$query': all");
        is($rounds, 4, 'in four');
        is(scalar(grep { $_ > 1 } values %ids), 0, 'each once');
    }
    my $r = get('as=dora');
    is_deeply($r->{json}{pagination},
              { page => 1, limit => 20, total => 25, pages => 2 }, 'total');
};

subtest 'urls' => sub {
    my $blocked = { at => $past, reason => 'abuse' };
    insert_images(
        image('5.png', 5, owner => 'eve'),
        image('4.png', 4, owner => 'eve', blocked => $blocked),
        image('3.png', 3, owner => 'eve', expires => $past),
        image('2.png', 2, owner => 'eve', public => 1, storage => 'open',
              r2Key => 'images/a b.png'),
        image('1.png', 1, owner => 'eve', storage => 'unknown'),
        image('0.png', 1, owner => 'eve', status => 'uploading'),
    );
    my $r = get('as=eve');
    ok(!exists $_->{url}, "$_->{originalName}: not asked for")
        for @{ $r->{json}{images} };

    $r = get('as=eve&urls=1');
    is($r->{status}, 200, 'with URLs') or diag($r->{body});
    my %i = map { $_->{originalName} => $_ } @{ $r->{json}{images} };
    is(scalar keys %i, 5, 'all of them');
    like($i{'5.png'}{url}, qr{^http://.*X-Amz-Signature=}, 'signed');
    like($i{'5.png'}{urlExpiresAt}, qr/^\d{4}-.*T.*\.000Z$/, 'ends');
    # one window may end meanwhile
    my %url = ($i{'5.png'}{url} => 1);
    for (1, 2) {
        sleep 1;
        $url{ get('as=eve&urls=1')->{json}{images}[0]{url} }++;
    }
    cmp_ok(scalar keys %url, '<=', 2, 'stable in its window');
    is($i{'2.png'}{url}, 'https://img.example/images/a%20b.png', 'public');
    is($i{'2.png'}{urlExpiresAt}, undef, 'without an end');
    for (['4.png', 'blocked'], ['3.png', 'expired'], ['1.png', 'no storage']) {
        my ($name, $why) = @$_;
        ok(exists $i{$name}{url}, "$why: there is a member");
        is($i{$name}{url}, undef, "$why: no URL");
        is($i{$name}{urlExpiresAt}, undef, "$why: no end");
    }
    is(get('as=eve&urls=1&status=uploading')->{json}{images}[0]{url}, undef,
       'uploading: no URL');
    like(get('as=root&root=1&userId=eve&urls=1&q=4')->{json}{images}[0]{url},
         qr/X-Amz-Signature/, 'an admin gets a blocked one');
    unlike($r->{body}, qr/abuse/, 'nothing of the block in a list');
};

subtest 'whose' => sub {
    refused('as=', 401, 'unauthenticated');
    refused('as=a%20b', 401, 'unauthenticated');
    refused('as=alice&userId=bob', 403, 'forbidden', qr/^userId /);
    refused('as=alice&userId=bob&root=0', 403, 'forbidden');
    refused('as=&root=1&userId=bob', 401, 'unauthenticated');
    is(names('as=alice&userId=alice&limit=1'), 'Cow.png', 'one\'s own');
    is(names('as=root&root=1&userId=bob'), 'bobs.png', 'an admin, of another');
    is(names('as=root&root=1'), '', 'an admin\'s own');
    is(names('as=root&root=1&userId=alice&status=error'), 'bad.png',
       'the deleted ones stay away here');
    refused('as=root&root=1&userId=alice&status=any', 400, 'bad_parameter');

    my $id = 'abcdef0123456789abcdef01';
    insert_images(image('hex.png', 1, owner => $id));
    is(names("as=$id"), 'hex.png', 'an ObjectId');
    is(names('as=' . uc $id), 'hex.png', 'in capitals');
    is(names("as=$id&userId=" . uc $id), 'hex.png', 'userId in capitals');
};

subtest 'methods and headers' => sub {
    my $r = get('limit=2', '-I');
    is($r->{status}, 200, 'HEAD');
    is($r->{headers}{'content-length'},
       length(get('limit=2')->{body}), 'as long as GET\'s');
    is(get('', '-X', $_)->{status}, 405, $_) for qw(PUT DELETE PATCH POST);
    is(get('', '-X', 'POST')->{headers}{allow}, 'GET, HEAD', 'Allow');
    is(get('', '-H', 'Origin: https://evil.example')->{status}, 200,
       'reading is not changing');
    is(curl($n->url('/api/user/?as=alice'))->{status}, 404, 'no slash');
    is(get('', '-d', 'x=1', '-X', 'GET')->{status}, 200, 'a body is dropped');
};

subtest 'documents of others' => sub {
    insert_images(
        { _id => { '$oid' => new_id() }, userId => 'fred', status => 'ready',
          metadata => { uploadedAt => day(3) } },
        image('x' x 3000, 2, owner => 'fred'),
        image('a"<\u2028', 1, owner => 'fred'),
    );
    my $r = get('as=fred');
    is(scalar @{ $r->{json}{images} }, 2, 'what is no image is left out');
    is($r->{json}{pagination}{total}, 2, '… and not counted');

    my ($cursor, $count) = ('', 0);
    for (1 .. 5) {
        $r = get("as=fred&sort=name&order=asc&limit=2&cursor=$cursor");
        $count += @{ $r->{json}{images} };
        $cursor = $r->{json}{pagination}{next} // last;
    }
    is($count, 2, 'a name that is too long for a cursor');
};

subtest 'admin/images: everybody\'s' => sub {
    my $admin = sub {
        my ($query, @more) = @_;
        return curl('-g', @more, $n->url("/api/admin/images?$query"));
    };
    my $names = sub {
        my $r = $admin->("as=root&root=1&$_[0]");
        is($r->{status}, 200, "$_[0]: 200") or diag($r->{body});
        return join ' ', map { $_->{originalName} } @{ $r->{json}{images} };
    };
    is($admin->('as=alice')->{status}, 403, 'not an admin');
    is($admin->('as=')->{status}, 401, 'nobody');
    is($names->('q=b&order=asc&sort=name'), 'bear.gif bee.png bobs.png',
       'of all owners');
    is($names->('q=b&userId=bob'), 'bobs.png', 'of one');
    is($names->('userId=alice&status=error&order=asc'), 'bad.png gone.png',
       'deleted ones, too');
    is($names->('userId=alice&status=any&from=2026-11-05&order=asc&to='
                . '2026-11-07'), 'Cow.png late.png bad.png', 'any status');

    my $i = $admin->('as=root&root=1&userId=eve&q=4')->{json}{images}[0];
    is($i->{blocked}{reason}, 'abuse', 'the block is shown');
    $i = $admin->('as=root&root=1&userId=alice&q=gone&status=error&urls=1')
         ->{json}{images}[0];
    ok($i->{deletedAt}, 'so is the end');
    is($i->{url}, undef, 'which has no URL');

    my ($cursor, @got) = ('');
    for (1 .. 90) {
        my $r = $admin->("as=root&root=1&limit=9&cursor=$cursor");
        push @got, map { $_->{id} } @{ $r->{json}{images} };
        $cursor = $r->{json}{pagination}{next} // last;
    }
    my %got = map { $_ => 1 } @got;
    is(scalar keys %got, scalar @got, 'none twice behind a cursor');
    is(scalar @got, scalar(() = find_images({ status => 'ready',
                                              r2Key => { '$gt' => '' } })),
       'all of them');
    is(get("limit=9&cursor=$cursor")->{status}, 400, 'not for owners')
        if $cursor;
};

subtest 'without MongoDB' => sub {
    my $port = free_port();
    my $m = ImageVault::Nginx->new(
        name   => 'alone',
        http   => ImageVault::Nginx::http_base(
                      mongodb => "mongodb://127.0.0.1:$port", timeout => '300ms')
                  . ImageVault::Nginx::storage_s3()
                  . "image_vault_owner alice;\n",
        server => 'location /api { image_vault_api s3; }',
    )->start;
    for my $path ('user', 'user?cursor=', 'usage') {
        my $r = curl($m->url("/api/$path"));
        is($r->{status}, 503, "$path: 503");
        is($r->{json}{error}{code}, 'metadata_unavailable', 'code');
        ok($r->{headers}{'retry-after'}, 'Retry-After');
    }
    is(curl($m->url('/api/user?limit=x'))->{status}, 400,
       'a bad value needs no MongoDB');
    $m->done;
};

subtest 'error log' => sub {
    like($n->error_log, qr/refused: bad_parameter/, 'refusals are told');
    unlike($n->error_log, qr/\[error\](?!.*is not configured)/, 'no errors');
};

$n->done;
done_testing();
