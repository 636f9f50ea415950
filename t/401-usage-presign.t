# GET usage: what is stored and what may be.  POST presigned-url: who gets one,
# how long it lives, and JSON from strangers.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes ();
use Time::Local ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $h2 = free_port();
my $port = free_port();
my $files = "/tmp/iv-files-$$";

my $n = ImageVault::Nginx->new(
    name   => 'usage',
    port   => $port,
    listen => "listen 127.0.0.1:$port;\nlisten 127.0.0.1:$h2 http2;\n",
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(
                    name => 'open', public_only => 'on',
                    public_url => 'https://img.example')
              . "image_vault_storage disk { type local; root $files; "
              . "url /files; secret 0123456789abcdef0123456789abcdef; }\n"
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_root;\n"
              . "image_vault_url_expiry 10m;\nimage_vault_url_window 5m;\n",
    server => 'location /api { image_vault_api s3; } '
              . 'location /disk { image_vault_api disk; } '
              . "location /files/ { image_vault_files disk; alias $files/; } "
              . 'location /size { image_vault_api s3; '
              . 'image_vault_quota 100k; } '
              . 'location /docs { image_vault_api s3; '
              . 'image_vault_quota documents; } '
              . 'location /cors { image_vault_api s3; '
              . 'image_vault_cors https://app.example; }',
);
mkdir $files or die "$files: $!";
$n->start;

my $Json = JSON::PP->new->utf8->canonical->allow_nonref;

sub usage {
    my ($path, @more) = @_;
    return curl(@more, $n->url($path));
}

# POST presigned-url; body: a hash, or text
sub presign {
    my ($body, %a) = @_;
    $body = $Json->encode($body) if ref $body;
    my $file = temp_file($body);
    my $as = $a{as} // 'alice';
    return curl('-X', 'POST', '--data-binary', "\@$file", '-H',
                'Content-Type: ' . ($a{type} // 'application/json'),
                @{ $a{more} // [] },
                $a{url} // $n->url(($a{path} // '/api')
                                   . "/presigned-url?as=$as"
                                   . ($a{root} ? '&root=1' : '')));
}

sub refused {
    my ($body, $status, $code, $word, %a) = @_;
    my $text = ref $body ? $Json->encode($body) : $body;
    $text = substr($text, 0, 40);
    $text =~ s/[^ -~]/?/g;
    my $r = presign($body, %a);
    is($r->{status}, $status, "$text: $status") or diag($r->{body});
    is($r->{json}{error}{code}, $code, "$text: $code");
    like($r->{json}{error}{message}, $word, "$text: says what") if $word;
    return $r;
}

sub seconds {
    my ($text) = @_;
    my ($y, $m, $d, $h, $i, $s)
        = $text =~ /^(\d+)-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)/ or return;
    return Time::Local::timegm($s, $i, $h, $d, $m - 1, $y);
}

sub add_user { return ask('insert', db => $ImageVault::Peers::Database,
                          collection => 'users', documents => [@_]) }

sub size { return { '$numberLong' => "$_[0]" } }

my $past = mongo_now(-3600);


subtest 'usage' => sub {
    insert_images(
        image_doc(size => size(1000)),
        image_doc(size => size(500), public => 1),
        image_doc(size => size(7), status => 'processing'),
        image_doc(size => size(9), status => 'uploading'),
        image_doc(size => size(11), status => 'error', deletedAt => $past),
        image_doc(size => size(3_000_000_000), owner => 'bob'),
    );
    my $r = usage('/api/usage?as=alice');
    is($r->{status}, 200, 'status');
    is($r->{headers}{'cache-control'}, 'no-store', 'not stored');
    is_deeply($r->{json}, { success => JSON::PP::true, images => 2,
                            storageQuota => { used => 1507, limit => undef } },
              'off: the sum, no limit');
    is_deeply(usage('/api/usage?as=bob')->{json}{storageQuota},
              { used => 3_000_000_000, limit => undef }, 'beyond 32 bits');
    is_deeply(usage('/api/usage?as=nobody')->{json},
              { success => JSON::PP::true, images => 0,
                storageQuota => { used => 0, limit => undef } }, 'nothing');

    is_deeply(usage('/size/usage?as=alice')->{json}{storageQuota},
              { used => 1507, limit => 102400 }, 'size: the directive\'s');
    is_deeply(usage('/docs/usage?as=alice')->{json}{storageQuota},
              { used => 1507, limit => 0 }, 'documents: there is none');

    add_user({ _id => 'alice', storageQuota => { used => size(1600),
                                                 limit => size(5000) } },
             { _id => 'bob', name => 'Bob' });
    for my $path ('/size', '/docs') {
        is_deeply(usage("$path/usage?as=alice")->{json}{storageQuota},
                  { used => 1600, limit => 5000 }, "$path: the document's");
    }
    is_deeply(usage('/docs/usage?as=bob')->{json}{storageQuota},
              { used => 3_000_000_000, limit => undef }, 'no limit in it');
    is_deeply(usage('/size/usage?as=bob')->{json}{storageQuota},
              { used => 3_000_000_000, limit => 102400 }, 'the directive\'s');
    is_deeply(usage('/api/usage?as=alice')->{json}{storageQuota},
              { used => 1507, limit => undef }, 'off: users are not asked');
};

subtest 'whose usage' => sub {
    is(usage('/api/usage')->{status}, 401, 'nobody\'s');
    is(usage('/api/usage?as=alice&userId=alice')->{json}{images}, 2, 'own');
    my $r = usage('/api/usage?as=alice&userId=bob');
    is($r->{status}, 403, 'another\'s');
    is($r->{json}{error}{code}, 'forbidden', 'code');
    is(usage('/api/usage?as=root&root=1&userId=alice')->{json}{images}, 2,
       'an admin');
    is(usage('/api/usage?as=root&root=1')->{json}{images}, 0, 'an admin\'s own');
    is(usage("/api/usage?as=alice&userId=$_")->{status}, 400, "userId=$_")
        for '..', 'a%20b', '%zz', 'alice&userId=alice';
    is(usage('/api/usage?as=alice&userId=')->{status}, 200, 'empty is absent');
    is(usage('/api/usage?as=alice', '-I')->{status}, 200, 'HEAD');
    is(usage('/api/usage?as=alice', '-X', 'POST')->{status}, 405, 'POST');
};

my $up = curl('-T', temp_file(png(3000)), '-H', 'Content-Type: image/png',
              $n->url("/api/upload?as=alice&filename=p%22q.png"
                      . '&sharedWith=bob'));
is($up->{status}, 201, 'uploaded') or BAIL_OUT($up->{body});
my $id = $up->{json}{images}[0]{id};
my $absent = new_id();


subtest 'a signed URL' => sub {
    my $now = time;
    my $r = presign({ imageId => $id });
    is($r->{status}, 200, 'status') or diag($r->{body});
    is($r->{headers}{'cache-control'}, 'no-store', 'not stored');
    is_deeply([sort keys %{ $r->{json} }], ['expiresAt', 'success', 'url'],
              'members');
    my ($date) = $r->{json}{url} =~ /X-Amz-Date=(\w+)/;
    ok($now - 2 <= seconds($date) && seconds($date) <= time + 2,
       'signed now, not in a window') or diag("$date, $now to ", time);
    like($r->{json}{url}, qr/X-Amz-Expires=600&/, 'by default url_expiry');
    is(seconds($r->{json}{expiresAt}) - seconds($date), 600, 'expiresAt');

    my $got = curl($r->{json}{url});
    is($got->{status}, 200, 'the storage gives it out') or diag($got->{body});
    is($got->{body}, png(3000), 'the image');
    like($got->{headers}{'content-disposition'} // '', qr/^inline/, 'inline');

    $r = presign({ imageId => uc $id, purpose => 'download', expiresIn => 60 });
    like($r->{json}{url}, qr/X-Amz-Expires=60&/, 'as long as asked for');
    $got = curl($r->{json}{url});
    is($got->{status}, 200, 'download') or diag($got->{body});
    like($got->{headers}{'content-disposition'}, qr/^attachment;/, 'attachment');
    is(curl(presign({ imageId => $id, purpose => 'view' })->{json}{url})
       ->{status}, 200, 'view');

    $r = presign({ imageId => $id, expiresIn => 1 });
    like($r->{json}{url}, qr/X-Amz-Expires=1&/, 'one second');
    sleep 3;
    is(curl($r->{json}{url})->{status}, 403, 'it has ended');
};

subtest 'what ends it early, what has no end' => sub {
    my ($soon, $open, $private) = (new_id(), new_id(), new_id());
    my $end = mongo_now(300);
    insert_images(
        image_doc(id => $soon, expires => $end),
        image_doc(id => $open, public => 1, storage => 'open',
                  r2Key => 'images/x.png'),
        image_doc(id => $private, storage => 'open'),
    );
    my $r = presign({ imageId => $soon });
    is($r->{json}{expiresAt}, $end->{'$date'}, 'the image\'s end');
    $r = presign({ imageId => $soon, expiresIn => 5 });
    like($r->{json}{url}, qr/X-Amz-Expires=5&/, 'less is less');

    $r = presign({ imageId => $open, expiresIn => 5, purpose => 'download' },
                 as => 'carol');
    is_deeply($r->{json}, { success => JSON::PP::true, expiresAt => undef,
                            url => 'https://img.example/images/x.png' },
              'public, without an end');
    like(presign({ imageId => $private })->{json}{url}, qr/X-Amz-Signature=/,
         'not public after all');
};

subtest 'a local storage' => sub {
    my $up = curl('-T', temp_file(png(2000)), '-H', 'Content-Type: image/png',
                  $n->url('/disk/upload?as=alice'));
    is($up->{status}, 201, 'uploaded') or diag($up->{body});
    my %body = (imageId => $up->{json}{images}[0]{id});
    my $r = presign({ %body, expiresIn => 60 });
    like($r->{json}{url}, qr{^http://127\.0\.0\.1:$port/files/}, 'absolute');
    is(curl($r->{json}{url})->{status}, 200, 'it is there');
    $r = presign({ %body, expiresIn => 1 });
    sleep 3;
    is(curl($r->{json}{url})->{status}, 410, 'it has ended');
};

subtest 'who' => sub {
    my $body = { imageId => $id };
    my $bare = sub { my $b = shift->{body}; $b =~ s/"requestId":"\w+"//; $b };
    is(presign($body, as => 'bob')->{status}, 200, 'shared with');
    is(presign($body, as => 'root', root => 1)->{status}, 200, 'an admin');
    my $r = refused($body, 404, 'not_found', undef, as => 'carol');
    my $none = refused({ imageId => $absent }, 404, 'not_found', undef,
                       as => 'carol');
    is($bare->($r), $bare->($none), 'a stranger learns nothing');
    refused({ imageId => $id, %$_ }, 404, 'not_found', undef, as => 'carol')
        for { expiresIn => 0 }, { purpose => 'x' }, { unknown => 1 };
    refused($body, 401, 'unauthenticated', undef, as => '');
    refused($body, 401, 'unauthenticated', undef, as => '', root => 1);

    my %state = (
        blocked   => [{ blocked => { at => $past, reason => 'spam' } },
                      451, 'blocked', 200],
        expired   => [{ expires => $past }, 410, 'gone', 410],
        uploading => [{ status => 'uploading' }, 409, 'not_ready', 409],
        failed    => [{ status => 'error' }, 404, 'not_found', 404],
        deleted   => [{ status => 'error', deletedAt => $past }, 404,
                      'not_found', 404],
    );
    for my $state (sort keys %state) {
        my ($more, $status, $code, $admin) = @{ $state{$state} };
        my $i = new_id();
        insert_images(image_doc(id => $i, shared => ['bob'], %$more));
        my $r = refused({ imageId => $i, expiresIn => -1 }, $status, $code);
        is($r->{json}{error}{message}, 'spam', 'the reason')
            if $state eq 'blocked';
        refused({ imageId => $i }, $status, $code, undef, as => 'bob');
        refused({ imageId => $i }, 404, 'not_found', undef, as => 'carol');
        is(presign({ imageId => $i }, as => 'root', root => 1)->{status},
           $admin, "$state: an admin");

        # for another: what the other would get
        is(presign({ imageId => $i, userId => 'bob' }, as => 'root',
                   root => 1)->{status}, $status, "$state: for bob");
    }
    my %as = (as => 'root', root => 1);
    is(presign({ imageId => $id, userId => $_ }, %as)->{status}, 200, "for $_")
        for 'alice', 'bob', 'root';
    refused({ imageId => $id, userId => 'carol' }, 404, 'not_found', undef,
            %as);
    is(presign({ imageId => $id, userId => 'alice' })->{status}, 200, 'own');
    refused({ imageId => $id, userId => 'bob' }, 403, 'forbidden', qr/userId/);
    refused({ imageId => $absent, userId => 'bob' }, 403, 'forbidden');
};

subtest 'members' => sub {
    my @bad = map { { imageId => $_ } } '', 'x', substr($id, 1), "${id}0", 5,
        undef, [$id], { '$ne' => '' }, JSON::PP::true, "$id\0";
    refused($_, 400, $_->{imageId} && $_->{imageId} eq "$id\0"
                     ? 'malformed_json' : 'bad_parameter') for @bad;
    refused({}, 400, 'bad_parameter', qr/^imageId is missing/);
    refused({ imageId => $id, expiresIn => $_ }, 400, 'bad_parameter',
            qr/^expiresIn .* from 1 to 600$/)
        for 0, -1, 601, 1.5, '60', undef, [], JSON::PP::true, {};
    refused(qq({"imageId":"$id","expiresIn":$_}), 400, 'bad_parameter',
            qr/^expiresIn /)
        for '1e999', '99999999999999999999', '18446744073709551617', '0.1';
    is(presign(qq({"imageId":"$id","expiresIn":600}))->{status}, 200, '600');
    refused({ imageId => $id, purpose => $_ }, 400, 'bad_parameter',
            qr/^purpose /) for 'upload', '', 'VIEW', 1, undef, ['view'];
    refused({ imageId => $id, userId => $_ }, 400, 'bad_parameter',
            qr/^userId /) for '', 'a b', '..', 7, undef, ['alice'],
                              { '$gt' => '' };
    refused({ imageId => $id, variant => 'x' }, 400, 'bad_parameter',
            qr/^variant is not known/);
    refused({ imageId => $id, "\$set\n" => 1 }, 400, 'bad_parameter',
            qr/^\$set\? is not known/);
    refused({ imageId => $id, imageid => $id }, 400, 'bad_parameter',
            qr/^imageid /);
};

subtest 'JSON' => sub {
    refused($_, 400, 'malformed_json')
        for '{', 'null', '[]', '"x"', '5', "{'imageId':1}", '{"imageId":}',
            '{"imageId":"x",}', '{} {}', "\xef\xbb\xbf{}", "{}\0", 'undefined',
            qq({"imageId":"$id","imageId":"$id"}),
            qq({"imageId":"$id","image\\u0049d":"$id"}),
            qq({"imageId":"\xff\xfe"}), qq({"imageId":"\xed\xa0\x80"}),
            '{"imageId":"\ud800"}', '{"imageId":"\u0000"}',
            qq({"imageId":"$id","x":) . '[' x 20 . ']' x 20 . '}',
            '[' x 100_000, '{"a":' x 50_000,
            '{"imageId":"' . "\n" . '"}', '{"expiresIn":01}',
            '{' . join(',', map { qq("k$_":1) } 1 .. 300) . '}';
    refused('', 400, 'malformed_json');

    my $pad = 1048576 - length qq({"imageId":"$id"});
    is(presign(qq({"imageId":"$id") . ' ' x $pad . '}')->{status}, 200,
       '1 MiB');
    refused(qq({"imageId":"$id") . ' ' x ($pad + 1) . '}', 413, 'too_large');
    refused(qq({"imageId":"$id") . ' ' x ($pad + 1) . '}', 413, 'too_large',
            undef, more => ['-H', 'Transfer-Encoding: chunked']);
    is(presign(qq({"imageId":"$id") . ' ' x 70_000 . '}',
               more => ['-H', 'Transfer-Encoding: chunked'])->{status}, 200,
       'chunked');
    my $url = "http://127.0.0.1:$h2/api/presigned-url?as=alice";
    is(presign({ imageId => $id }, url => $url,
               more => ['--http2-prior-knowledge'])->{status}, 200, 'HTTP/2');
    refused(qq({"imageId":"$id") . ' ' x ($pad + 1) . '}', 413, 'too_large',
            undef, url => $url, more => ['--http2-prior-knowledge']);
    refused('{', 400, 'malformed_json', undef, url => $url,
            more => ['--http2-prior-knowledge']);
};

subtest 'media types' => sub {
    my $body = { imageId => $id };
    is(presign($body, type => $_)->{status}, 200, $_)
        for 'application/json;charset=utf-8', 'Application/JSON ; x=y';
    refused($body, 415, 'unsupported_type', undef, type => $_)
        for 'text/plain', 'application/x-www-form-urlencoded',
            'application/jsonx', 'application/json5', 'text/json',
            'multipart/form-data';
    refused($body, 415, 'unsupported_type', undef, type => '');
};

subtest 'methods' => sub {
    my $url = $n->url('/api/presigned-url?as=alice');
    for my $method (qw(GET PUT PATCH DELETE)) {
        my $r = curl('-X', $method, $url);
        is($r->{status}, 405, $method);
        is($r->{headers}{allow}, 'POST', 'Allow');
    }
    is(curl('-I', $url)->{status}, 405, 'HEAD');
};

subtest 'another site' => sub {
    my $body = { imageId => $id };
    refused($body, 403, 'forbidden', undef,
            more => ['-H', 'Origin: https://evil.example']);
    refused($body, 403, 'forbidden', undef,
            more => ['-H', 'Sec-Fetch-Site: cross-site']);
    refused($body, 403, 'forbidden', undef, type => 'text/plain',
            more => ['-H', 'Origin: null']);
    is(presign($body, more => ['-H', "Origin: http://127.0.0.1:$port"])
       ->{status}, 200, 'its own');
    is(presign($body, path => '/cors',
               more => ['-H', 'Origin: https://app.example'])->{status}, 200,
       'a listed one');

    # before the body: there is none yet
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5);
    print $s "POST /api/presigned-url?as=alice HTTP/1.1\r\nHost: x\r\n"
           . "Origin: https://evil.example\r\nContent-Type: application/json\r\n"
           . "Content-Length: 50\r\nExpect: 100-continue\r\n\r\n";
    like(scalar <$s>, qr/^HTTP\/1\.1 403/, 'before its body is asked for');
};

subtest 'nothing secret' => sub {
    unlike($n->error_log, qr/X-Amz-Signature|\Q$ENV{TEST_S3_SECRET}\E/,
           'no signature in the log');
    unlike($n->error_log, qr/\[(?:error|warn)\].*(?:presigned|usage)/,
           'a client\'s fault is none of ours');
};

$n->done;
system('rm', '-rf', $files);
done_testing();
