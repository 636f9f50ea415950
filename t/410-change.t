# PATCH of an image: what changes, who may, in which order it is checked, and
# If-Match.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = ImageVault::Nginx::storage_s3()
       . ImageVault::Nginx::storage_s3(name => 'open', public_only => 'on',
                                       public_url => 'https://cdn.example');
my %conf = (
    http   => ImageVault::Nginx::http_base() . $s3
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
              . "image_vault_key change/\$image_vault_filename;\n"
              . "gzip_types application/json;\ngzip_min_length 1;\n",
    server => 'location /api { image_vault_api s3; } '
              . 'location /open { image_vault_api open; } '
              . 'location /zip { image_vault_api s3; gzip on; }',
);
my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;
my $file = temp_file(png(1000));

sub put {
    my ($path, $as) = @_;
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url("$path/upload?as=$as"));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}

sub patch {
    my ($id, $as, $body, @more) = @_;
    return curl('-X', 'PATCH', '-H', 'Content-Type: application/json',
                '--data-binary', ref $body ? JSON::PP::encode_json($body)
                                           : $body,
                @more, $n->url("/api/$id?as=$as"));
}

sub code { return $_[0]{status} . ' ' . ($_[0]{json}{error}{code} // '') }


subtest 'each member, and nothing else' => sub {
    my $id = put('/api', 'alice');
    my $before = find_image($id);

    my $r = patch($id, 'alice', {
        originalName => "../a/Sonne \x{fc}ber Rom.png",
        tags => ['a', ' b ', 'a', ''],
        sharedWith => ['bob', 'ABCDEF0123456789ABCDEF01'],
        isPublic => JSON::PP::true, expiresAt => '2099-01-02T03:04:05+01:00' });
    is($r->{status}, 200, 'changed');
    ok($r->{json}{success}, 'success');

    my $image = $r->{json}{image};
    my $md = $image->{metadata};
    is($image->{id}, $id, 'id');
    like($image->{url}, qr{^http://127\.0\.0\.1:\d+/.+X-Amz-Signature=}, 'url');
    is($md->{originalName}, "Sonne \x{fc}ber Rom.png", 'the name is cleaned');
    is_deeply($md->{metadata}{tags}, ['a', 'b'], 'tags');
    is_deeply($md->{access}{sharedWith},
              ['bob', 'abcdef0123456789abcdef01'], 'sharedWith');
    ok($md->{access}{isPublic}, 'isPublic');
    is($md->{access}{expiresAt}, '2099-01-02T02:04:05.000Z', 'expiresAt');

    my $after = find_image($id);
    is_deeply($after->{access}{sharedWith},
              ['bob', { '$oid' => 'abcdef0123456789abcdef01' }],
              'an ObjectId is stored as one');
    for my $k (qw(size checksums r2Key storage etag filename userId status)) {
        is_deeply($after->{$k}, $before->{$k}, "$k stays");
    }
    is_deeply($after->{metadata}{uploadedAt}, $before->{metadata}{uploadedAt},
              'uploadedAt stays');
    isnt($after->{updatedAt}{'$date'}, $before->{updatedAt}{'$date'},
         'updatedAt grows');

    my $g = curl($n->url("/api/$id?as=alice"));
    is($g->{headers}{etag}, $r->{headers}{etag}, 'the ETag is that of a GET');
    is_deeply($g->{json}{image}{metadata}, $md, 'so is the answer');
    is(curl($n->url("/api/$id?as=bob"))->{status}, 200, 'bob may read it');
    is(curl($n->url("/api/$id"))->{status}, 200, 'and anyone');

    is(patch($id, 'alice', { tags => ['x, y'] })->{json}{image}{metadata}
       {metadata}{tags}[0], 'x, y', 'one tag is one string');
    is(find_image($id)->{originalName}, $after->{originalName},
       'what is not named stays');

    $r = patch($id, 'alice', '{"tags":null,"sharedWith":null,'
                             . '"expiresAt":null,"isPublic":false}');
    is($r->{status}, 200, 'null');
    $after = find_image($id);
    is_deeply($after->{metadata}{tags}, [], 'no tags');
    is_deeply($after->{access}{sharedWith}, [], 'shared with nobody');
    ok(!exists $after->{access}{expiresAt}, 'no end');
    is(curl($n->url("/api/$id?as=bob"))->{status}, 404, 'bob may not any more');

    my $at = find_image($id)->{updatedAt}{'$date'};
    is(patch($id, 'alice', {})->{status}, 200, 'nothing');
    is(find_image($id)->{updatedAt}{'$date'}, $at, 'changes nothing');
};


subtest 'bodies that are refused' => sub {
    my $id = put('/api', 'alice');
    my $at = find_image($id)->{updatedAt}{'$date'};
    my @bad = (
        ['{"tags":"a"}', 'bad_parameter', qr/^tags must be an array/],
        ['{"tags":[1]}', 'bad_parameter', qr/^tags must be an array/],
        ['{"tags":["' . 'x' x 65 . '"]}', 'bad_parameter', qr/^tags /],
        ['{"tags":["a\u0007b"]}', 'bad_parameter', qr/^tags /],
        [{ tags => [map { "t$_" } 1 .. 51] }, 'bad_parameter', qr/^tags /],
        ['{"sharedWith":["a b"]}', 'bad_parameter', qr/^sharedWith /],
        ['{"sharedWith":{"$gt":""}}', 'bad_parameter', qr/^sharedWith /],
        [{ sharedWith => [map { "u$_" } 1 .. 101] }, 'bad_parameter',
         qr/^sharedWith /],
        ['{"isPublic":null}', 'bad_parameter', qr/^isPublic must be/],
        ['{"isPublic":"true"}', 'bad_parameter', qr/^isPublic must be/],
        ['{"originalName":null}', 'bad_parameter', qr/^originalName must be/],
        ['{"originalName":""}', 'bad_parameter', qr/^originalName must be/],
        ['{"expiresAt":"tomorrow"}', 'bad_parameter', qr/^expiresAt must be/],
        ['{"expiresAt":"2001-01-01T00:00:00Z"}', 'bad_parameter', qr/future/],
        ['{"expiresAt":1}', 'bad_parameter', qr/^expiresAt must be/],
        ['{"size":1}', 'bad_parameter', qr/^size is not known/],
        ['{"tags":[],"access.isPublic":true}', 'bad_parameter',
         qr/^access.isPublic is not known/],
        ['{"$set":{}}', 'bad_parameter', qr/^\$set is not known/],
        ['{"tags":[],"tags":[]}', 'malformed_json', qr/./],
        ['[]', 'malformed_json', qr/object/],
        ['{', 'malformed_json', qr/./],
        ['', 'malformed_json', qr/./],
    );
    for my $b (@bad) {
        my $r = patch($id, 'alice', $b->[0]);
        my $name = substr ref $b->[0] ? (keys %{ $b->[0] })[0] . ', too many'
                                      : $b->[0], 0, 40;
        is(code($r), "400 $b->[1]", $name);
        like($r->{json}{error}{message}, $b->[2], 'its message');
    }
    is(code(patch($id, 'alice', '@' . temp_file('x' x 1_100_000))),
       '413 too_large', 'too large');
    is(find_image($id)->{updatedAt}{'$date'}, $at, 'nothing was changed');

    my $r = patch($id, 'alice', { tags => ['$where', 'a.b', '{"$gt":""}'] });
    is($r->{status}, 200, 'operators are just strings');
    is_deeply(find_image($id)->{metadata}{tags},
              ['$where', 'a.b', '{"$gt":""}'], 'stored as they are');
};


subtest 'the order of checks' => sub {
    my $past = mongo_now(-3600);
    my $blocked = { at => $past, reason => 'abuse' };
    my %state = (
        ready                => {},
        error                => { status => 'error' },
        deleted              => { deletedAt => $past },
        blocked              => { blocked => $blocked },
        'blocked, expired'   => { blocked => $blocked, expires => $past },
        expired              => { expires => $past },
        'expired, uploading' => { expires => $past, status => 'uploading' },
        uploading            => { status => 'uploading' },
    );
    # what owner, shared, stranger and admin get: a good PATCH of tags
    my %want = (
        ready                => [200, 403, 404, 200],
        error                => [404, 404, 404, 404],
        deleted              => [404, 404, 404, 404],
        blocked              => [451, 451, 404, 200],
        'blocked, expired'   => [451, 451, 404, 410],
        expired              => [410, 410, 404, 410],
        'expired, uploading' => [410, 410, 404, 410],
        uploading            => [409, 409, 404, 409],
    );
    # ... and of expiresAt, where that differs
    my %prolong = (
        'blocked, expired'   => [451, 451, 404, 200],
        expired              => [200, 403, 404, 200],
        'expired, uploading' => [409, 409, 404, 409],
    );
    my @who = ('alice', 'bob', 'carol', 'root&admin=1');
    for my $s (sort keys %state) {
        for my $body (['{"tags":["t"]}', $want{$s}],
                      ['{"expiresAt":"2099-01-01T00:00:00Z"}',
                       $prolong{$s} // $want{$s}])
        {
            for my $i (0 .. 3) {
                my $id = new_id();
                insert_images(image_doc(id => $id, shared => ['bob'],
                                        %{ $state{$s} }));
                my $r = patch($id, $who[$i], $body->[0]);
                is($r->{status}, $body->[1][$i], "$s: $who[$i]: $body->[0]");
                if ($r->{status} == 451) {
                    is($r->{json}{error}{message}, 'abuse', 'the reason');
                }
                if ($r->{status} == 409) {
                    ok($r->{headers}{'retry-after'}, 'Retry-After');
                }
            }
        }
    }

    my $id = new_id();
    insert_images(image_doc(id => $id, shared => ['bob']));
    my @form = ('-H', 'Content-Type: text/plain');
    my $evil = 'Origin: https://evil.example';
    is(code(curl('-X', 'PATCH', '-H', $evil, '-d', '{', @form,
                 $n->url("/api/$id"))), '401 unauthenticated', '1: nobody');
    is(code(curl('-X', 'PATCH', '-H', $evil, '-d', '{', @form,
                 $n->url("/api/$id?as=carol"))), '403 forbidden',
       '2: the site');
    is(code(curl('-X', 'PATCH', '-H', 'Sec-Fetch-Site: cross-site', '-d', '{',
                 @form, $n->url("/api/$id?as=carol"))), '403 forbidden',
       'without Origin');
    is(code(curl('-X', 'PATCH', '-d', '{', @form,
                 $n->url("/api/$id?as=carol"))), '415 unsupported_type',
       'the type of the body');
    is(code(patch($id, 'carol', '{', '-H', 'If-Match: "x"')), '404 not_found',
       '3: may not read');
    is(code(patch('0' x 24, 'alice', '{')), '404 not_found', 'is not there');
    is(code(patch('nonsense', 'alice', '{')), '404 not_found', 'no id');
    is(code(patch($id, 'bob', '{', '-H', 'If-Match: "x"')), '403 forbidden',
       '7: not owned');
    is(code(patch($id, 'alice', '{', '-H', 'If-Match: "x"')),
       '400 malformed_json', 'then the body');
    is(code(patch($id, 'alice', '{"tags":[]}', '-H', 'If-Match: "x"')),
       '412 precondition_failed', 'then If-Match');

    my ($a, $b) = map { my $r = $_; $r->{json}{requestId} = ''; $r->{json} }
                  patch($id, 'carol', '{}'), patch(new_id(), 'carol', '{}');
    is_deeply($a, $b, 'a stranger cannot tell it from none');
};


subtest 'If-Match' => sub {
    my $id = put('/api', 'alice');
    my $get = sub { curl($n->url("/api/$id?as=alice"))->{headers}{etag} };
    my $try = sub {
        my @h = map { ('-H', "If-Match: $_") } @_;
        return patch($id, 'alice', { tags => ['t' . rand()] }, @h);
    };

    my $old = $get->();
    my $r = $try->($old);
    is($r->{status}, 200, 'as it was read');
    isnt($r->{headers}{etag}, $old, 'another tag');
    is(code($try->($old)), '412 precondition_failed', 'it has changed');
    is($try->($r->{headers}{etag})->{status}, 200, 'the tag of the answer');
    is($try->('*')->{status}, 200, 'any');
    is($try->("\"x\", $old,\t" . $get->())->{status}, 200, 'one of a list');
    is($try->('"x"', $get->())->{status}, 400, 'nginx takes one line only');
    is($try->("W/" . $old)->{status}, 412, 'a weak tag of another version');
    for my $bad ('x', '""', '"', 'W/', ',', '"0-0"', '*, "x"', '"' . 'f' x 40,
                 substr($get->(), 0, -1), substr($get->(), 1))
    {
        is($try->($bad)->{status}, 412, "If-Match: $bad");
    }
    my $half = $get->() =~ s/-.*//r;
    is($try->("$half\"")->{status}, 412, 'half a tag');
    is($try->("$half-0\"")->{status}, 200, "the URL's half does not count");

    my $zip = curl('--compressed', '-H', 'Content-Type: application/json', '-X',
                   'PATCH', '-d', '{"tags":["z"]}',
                   $n->url("/zip/$id?as=alice"));
    like($zip->{headers}{etag}, qr{^W/}, 'gzip makes a tag weak');
    is($try->($zip->{headers}{etag})->{status}, 200, 'which matches all the same');
    is(patch($id, 'alice', { tags => [] }, '-H', 'If-None-Match: *')->{status},
       200, "nginx's own conditions are none of ours");
};


subtest 'a race: one of two wins' => sub {
    my $id = put('/api', 'alice');
    for my $round (1 .. 10) {
        my $etag = curl($n->url("/api/$id?as=alice"))->{headers}{etag};
        my @out = map { temp_file('') } 1 .. 2;
        my @pid;
        for my $i (0, 1) {
            my $pid = fork // die;
            if ($pid == 0) {
                open STDOUT, '>', $out[$i];
                exec 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}',
                     '-X', 'PATCH', '-H', 'Content-Type: application/json',
                     '-H', "If-Match: $etag", '-d', "{\"tags\":[\"$i\"]}",
                     ($n, $m)[$i]->url("/api/$id?as=alice");
            }
            push @pid, $pid;
        }
        waitpid $_, 0 for @pid;
        is(join(' ', sort map { slurp($_) } @out), '200 412', "round $round");
    }
};


subtest 'a public_only storage' => sub {
    my $id = put('/open', 'alice');
    my $r = patch($id, 'alice', { isPublic => JSON::PP::false, tags => ['x'] });
    is(code($r), '409 conflict', 'cannot be private');
    is(code(patch($id, 'alice', '{"isPublic":false,"size":1}')),
       '400 bad_parameter', 'the body is checked first');
    is_deeply(find_image($id)->{metadata}{tags}, [], 'nothing was changed');
    $r = patch($id, 'alice', '{"isPublic":true,"tags":["x"]}');
    is($r->{status}, 200, 'is public anyway');
    like($r->{json}{image}{url}, qr{^https://cdn\.example/change/}, 'its url');
    is($r->{json}{image}{urlExpiresAt}, undef, 'which has no end');
};


subtest 'a storage that is not configured here' => sub {
    my $id = new_id();
    insert_images(image_doc(id => $id, storage => 'elsewhere'));
    is(code(patch($id, 'alice', '{"tags":["x"]}')), '500 internal', 'refused');
    is_deeply(find_image($id)->{metadata}{tags}, [], 'and not changed');
};

like($n->access_log, qr/"PATCH /, 'they are in the access log');
$_->done for $n, $m;
done_testing();
