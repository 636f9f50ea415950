# DELETE of an image: gone for readers at once, its object right after, its size
# given back once.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

# takes connections, and says nothing until it is closed
my $silent = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64)
    or die "listen: $!";
my $silent_port = $silent->sockport;
my %conf = (
    workers => 2,
    http   => ImageVault::Nginx::http_base()
              . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(
                    name => 'down', endpoint => "http://127.0.0.1:$silent_port",
                    retries => 1)
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
              . "image_vault_key delete/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; image_vault_quota 10m; } '
              . 'location /plain { image_vault_api s3; } '
              . 'location /mirrored { mirror /mirror; proxy_pass '
              . 'http://127.0.0.1:$server_port/empty; } '
              . 'location /empty { return 200; } '
              . 'location = /mirror { internal; '
              . 'rewrite ^ /api/$arg_id$arg_more last; } ',
);
my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;
my $db = $ImageVault::Peers::Database;
my $file = temp_file(png(10_000));

sub put {
    my ($as, $path) = @_;
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url(($path // '/api') . "/upload?as=$as"));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}

sub del {
    my ($id, $as, @more) = @_;
    return curl('-X', 'DELETE', @more, $n->url("/api/$id?as=$as"));
}

sub code { return $_[0]{status} . ' ' . ($_[0]{json}{error}{code} // '') }

sub quota {
    my ($as) = @_;
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => $as }) };
    return $u->{storageQuota};
}

sub used {
    my ($as) = @_;
    wait_for { !%{ quota($as)->{pending} // {} } } 60;
    return quota($as)->{used};
}


subtest 'it is gone' => sub {
    my ($id, $other) = map { put('alice') } 1 .. 2;
    my $key = find_image($id)->{r2Key};
    ok(object($key), 'the object is there');

    my $r = del($id, 'alice');
    is($r->{status}, 200, 'deleted');
    is_deeply($r->{json}, { success => JSON::PP::true,
                            message => 'the image was deleted' }, 'the answer');
    is(curl($n->url("/api/$id?as=alice"))->{status}, 404, 'not found');
    is(curl($m->url("/api/$id/view?as=alice"))->{status}, 404,
       'on the other node neither');
    is(code(del($id, 'alice')), '404 not_found', 'again');
    is(code(curl('-X', 'POST', $m->url("/api/$id/delete?as=alice"))),
       '404 not_found', 'again, by POST');

    my $doc = find_image($id);
    is($doc->{status}, 'error', 'error');
    ok($doc->{deletedAt}, 'deletedAt');
    is($doc->{error}, 'deleted', 'why');
    ok((wait_for { !object($key) } 60), 'the object is gone without a sweep');
    ok((wait_for { find_image($id)->{objectDeletedAt} } 60), 'which is noted');
    is(used('alice'), 10_000, 'its size is given back');
    is(find_image($other)->{status}, 'ready', 'the other stays');

    is(curl('-X', 'POST', $n->url("/api/$other/delete?as=alice"))->{status},
       200, 'by POST, without a body or a type');
    is(used('alice'), 0, 'nothing is used');
};


subtest 'bodies are dropped' => sub {
    my @id = map { put('alice') } 1 .. 3;
    is(del($id[0], 'alice', '-H', 'Content-Type: text/plain', '-d', 'x' x 5000)
       ->{status}, 200, 'DELETE with a body');
    is(curl('-d', '{"x":1}', $n->url("/api/$id[1]/delete?as=alice"))->{status},
       200, "a form's POST");
    is(curl('-H', 'Transfer-Encoding: chunked', '-H', 'Expect: 100-continue',
            '-d', 'abc', $n->url("/api/$id[2]/delete?as=alice"))->{status},
       200, 'in chunks');
};


subtest 'right after the upload' => sub {
    for my $i (1 .. 10) {
        my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                     $n->url('/api/upload?as=fast'), '--next', '-sS', '-X',
                     'GET', $n->url('/api/x?as=fast'));
        my ($id) = map { $_->{_id}{'$oid'} }
                   find_images({ userId => 'fast', status => 'ready' });
        is(curl('-X', 'DELETE', $m->url("/api/$id?as=fast"))->{status}, 200,
           'deleted');
    }
    is(used('fast'), 0, 'all is given back');
    ok((wait_for { !find_images({ userId => 'fast',
                   objectDeletedAt => { '$exists' => JSON::PP::false } }) } 60),
       'and all objects are gone');
};


subtest 'two nodes, one image' => sub {
    put('eve') for 1 .. 2;
    my @id = map { put('eve') } 1 .. 10;
    for my $id (@id) {
        my @out = map { temp_file('') } 1 .. 4;
        my @pid;
        for my $i (0 .. 3) {
            my $pid = fork // die;
            if ($pid == 0) {
                open STDOUT, '>', $out[$i];
                exec 'curl', '-s', '-o', '/dev/null', '-w', '%{http_code}',
                     '-X', 'DELETE', ($n, $m)[$i % 2]->url("/api/$id?as=eve");
            }
            push @pid, $pid;
        }
        waitpid $_, 0 for @pid;
        is(join(' ', sort map { slurp($_) } @out), '200 404 404 404',
           'one of them deletes it');
    }
    is(used('eve'), 20_000, 'each is given back once');
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
    # owner, shared, stranger, admin
    my %want = (
        ready                => [200, 403, 404, 200],
        error                => [404, 404, 404, 404],
        deleted              => [404, 404, 404, 404],
        blocked              => [200, 451, 404, 200],
        'blocked, expired'   => [200, 451, 404, 200],
        expired              => [200, 410, 404, 200],
        'expired, uploading' => [200, 410, 404, 200],
        uploading            => [200, 409, 404, 200],
    );
    my @who = ('alice', 'bob', 'carol', 'root&admin=1');
    for my $s (sort keys %state) {
        for my $way ('DELETE', 'POST') {
            for my $i (0 .. 3) {
                my $id = new_id();
                insert_images(image_doc(id => $id, shared => ['bob'],
                                        owner => 'alice', %{ $state{$s} }));
                my $r = curl('-X', $way, $n->url('/plain/' . $id
                             . ($way eq 'POST' ? '/delete' : '')
                             . "?as=$who[$i]"));
                is($r->{status}, $want{$s}[$i], "$s: $way by $who[$i]");
            }
        }
    }

    my $id = new_id();
    insert_images(image_doc(id => $id));
    my @evil = ('-H', 'Origin: https://evil.example');
    is(code(curl('-X', 'DELETE', @evil, $n->url("/api/$id"))),
       '401 unauthenticated', 'nobody');
    is(code(del($id, 'alice', @evil)), '403 forbidden', 'from another site');
    is(code(curl('-X', 'POST', '-H', 'Sec-Fetch-Site: cross-site',
                 $n->url("/api/$id/delete?as=alice"))), '403 forbidden',
       'by POST too');
    is(code(del($id, 'alice', '-H', 'If-Match: "1-1"')),
       '412 precondition_failed', 'If-Match');
    is(code(del('nonsense', 'alice')), '404 not_found', 'no id');
    is(curl('-X', 'GET', $n->url("/api/$id/delete?as=alice"))->{headers}{allow},
       'POST', 'GET does not delete');
    is(find_image($id)->{status}, 'ready', 'it is still there');
    my $etag = curl($n->url("/api/$id?as=alice"))->{headers}{etag};
    is(del($id, 'alice', '-H', "If-Match: $etag")->{status}, 200,
       'If-Match, unchanged');
};


subtest 'an upload that is under way' => sub {
    my $png = png(200_000);
    my $s = IO::Socket::INET->new("127.0.0.1:$n->{port}") or die;
    print $s "POST /api/upload?as=dora HTTP/1.1\r\nHost: x\r\n"
           . "Content-Type: image/png\r\nContent-Length: 200000\r\n\r\n"
           . substr($png, 0, 150_000);
    my $doc;
    ok((wait_for { ($doc) = find_images({ userId => 'dora' });
                   $doc && $doc->{r2Key} } 60), 'it has begun');
    my $id = $doc->{_id}{'$oid'};
    is(curl($m->url("/api/$id?as=dora"))->{status}, 409, 'not ready');
    is(curl('-X', 'DELETE', $m->url("/api/$id?as=dora"))->{status}, 200,
       'deleted');
    local $SIG{PIPE} = 'IGNORE';
    print $s substr($png, 150_000);
    my $line = <$s> // '';
    unlike($line, qr/ 201 /, 'the upload fails');
    is(find_image($id)->{status}, 'error', 'the document stays deleted');
    ok((wait_for { !object($doc->{r2Key}) } 60), 'no object is left');
    is(used('dora'), 0, 'nothing is used');
};


subtest 'a ticket' => sub {
    my $id = new_id();
    my $staging = "delete/incoming/$id";
    insert_images(image_doc(id => $id, owner => 'fred', status => 'uploading',
                            r2Key => "delete/$id.png",
                            direct => { stagingKey => $staging,
                                        deadline => mongo_now(600) }));
    ask('insert', db => $db, collection => 'users', documents => [{
        _id => 'fred', storageQuota => {
            used => { '$numberLong' => '1234' },
            pending => { $id => { '$numberLong' => '1234' } } } }]);
    ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => $staging, text => 'x');
    ok(object($staging), 'its staging object is there');
    is(curl('-X', 'DELETE', $n->url("/api/$id?as=fred"))->{status}, 200,
       'deleted');
    ok((wait_for { !object($staging) } 60), 'the staging object is gone');
    ok((wait_for { find_image($id)->{objectDeletedAt} } 60), 'which is noted');
    is(used('fred'), 0, 'what it reserved is given back');
};


subtest 'a storage that is down does not delay the answer' => sub {
    my @id = map { new_id() } 1 .. 20;
    insert_images(map { image_doc(id => $_, storage => 'down',
                                  r2Key => "delete/$_") } @id);
    is(del($_, 'alice')->{status}, 200, 'deleted') for @id;
    unlike($n->error_log, qr/left to the sweep/, 'before the storage failed');
    close $silent;
    ok((wait_for { $n->error_log =~ /left to the sweep/ } 60),
       'the objects are left to the sweep');
    is(find_images({ _id => { '$oid' => $id[0] },
                     objectDeletedAt => { '$exists' => JSON::PP::true } }), 0,
       'not noted as deleted');

    my $id = new_id();
    insert_images(image_doc(id => $id, storage => 'elsewhere'));
    is(del($id, 'alice')->{status}, 200, 'a storage that is not configured');
};


subtest 'a client that does not wait' => sub {
    my $id = put('gone');
    my $s = IO::Socket::INET->new("127.0.0.1:$n->{port}") or die;
    print $s "DELETE /api/$id?as=gone HTTP/1.1\r\nHost: x\r\n"
           . "Content-Length: 100\r\n\r\n";
    close $s;
    ok((wait_for { $n->access_log =~ m{"DELETE /api/$id} } 60), 'is over');
    like(curl($m->url("/api/$id?as=gone"))->{status}, qr/\A(?:200|404)\z/,
         'all or nothing');
    ok((wait_for { my $ready = find_image($id)->{status} eq 'ready';
                   used('gone') == ($ready ? 10_000 : 0) } 60),
       'and used fits');
};

# a mirror has the method of the request that it copies
subtest 'subrequests' => sub {
    my $id = put('alice');
    my $seen = 0;
    for (['DELETE', ''], ['POST', '/delete'], ['POST', '/complete'],
         ['PATCH', '', '{"originalName":"other.png"}'])
    {
        my ($method, $more, $body) = @$_;
        my $r = curl('-X', $method, $body ? ('-H',
                     'Content-Type: application/json', '-d', $body) : (),
                     $n->url("/mirrored?as=alice&id=$id&more=$more"));
        is($r->{status}, 200, "$method $more");
        $seen++;
        ok((wait_for { (() = $n->error_log =~ /a change by a subrequest/g)
                       >= $seen } 60), 'refused');
    }
    my $got = find_image($id);
    is($got->{status}, 'ready', 'still there');
    isnt($got->{originalName}, 'other.png', 'as it was');
    is(del($id, 'alice')->{status}, 200, 'by itself it is let through');
};

$_->done for $n, $m;
done_testing();
