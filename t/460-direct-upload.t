# Direct uploads: a ticket, the client's own PUT to the storage, and `complete`.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
use Test::More;
use ImageVault::Flight ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $h2 = free_port();
my $local = "/tmp/iv-direct-$$";
mkdir $local;

# a way to the storage that can be shut
my $gate = ImageVault::Nginx->new(
    name => 'gate',
    http => ImageVault::Nginx::http_base(),
    server => "client_max_body_size 0; location / { "
              . "proxy_pass $ENV{TEST_S3_ENDPOINT}; "
              . 'proxy_set_header Host $http_host; }')->start;

my $common = ImageVault::Nginx::storage_s3()
    . ImageVault::Nginx::storage_s3(name => 'gated',
                                    endpoint => $gate->url(''))
    . ImageVault::Nginx::storage_s3(name => 'open', public_only => 'on',
                                    public_url => 'https://cdn.example')
    . "image_vault_storage disk { type local; root $local; url /files; "
    . "secret 0123456789abcdef0123456789abcdef; }\n"
    . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
    . "image_vault_key direct/\$image_vault_owner/\$image_vault_filename;\n"
    . "image_vault_max_size 60m;\nimage_vault_audit on;\n"
    . "log_format iv '\$image_vault_result \$image_vault_id "
    . "\$image_vault_size';\n";
my $server = "access_log logs/iv.log iv;\n"
    . 'location /api { image_vault_api s3; image_vault_quota 100m; '
    . 'image_vault_cors https://app.example; } '
    . 'location /plain { image_vault_api s3; } '
    . 'location /png { image_vault_api s3; image_vault_types image/png; '
    . 'image_vault_max_size 1k; } '
    . 'location /small { image_vault_api s3; image_vault_quota 3000; } '
    . 'location /known { image_vault_api s3; image_vault_quota documents; } '
    . 'location /short { image_vault_api s3; image_vault_url_expiry 1s; } '
    . 'location /gated { image_vault_api gated; image_vault_quota 100m; } '
    . 'location /open { image_vault_api open; } '
    . 'location /disk { image_vault_api disk; } '
    . "location /files/ { image_vault_files disk; alias $local/; }\n";
my $n = ImageVault::Nginx->new(
    name => 'one', workers => 2,
    http => ImageVault::Nginx::http_base() . $common,
    server => "listen 127.0.0.1:$h2 http2;\n$server")->start;
my $m = ImageVault::Nginx->new(
    name => 'two', http => ImageVault::Nginx::http_base() . $common,
    server => $server)->start;

my $db = $ImageVault::Peers::Database;
my $png = png(5000);
my $file = temp_file($png);
my $true = JSON::PP::true;
my $false = JSON::PP::false;


# a ticket for alice's 5000 bytes of PNG, unless told otherwise
sub ask_ticket {
    my (%a) = @_;
    my $url = delete $a{url}
        // (delete $a{path} // '/api') . '/direct-upload?as='
           . (delete $a{as} // 'alice');
    my $more = delete $a{more} // [];
    my %body = (originalName => 'photo.png', contentType => 'image/png',
                size => 5000, %a);
    delete $body{$_} for grep { !defined $body{$_} } keys %body;
    return curl('-H', 'Content-Type: application/json', '--data-binary',
                JSON::PP::encode_json(\%body), @$more,
                $n->url($url));
}

sub ticket {
    my $r = ask_ticket(@_);
    is($r->{status}, 201, 'a ticket') or diag($r->{body});
    return $r->{json};
}

# the client's PUT, as it is told to
sub send_file {
    my ($t, $path, %a) = @_;
    my %h = (%{ $t->{headers} }, %a);
    return curl('-X', $t->{method}, '-T', $path // $file,
                (map { ('-H', "$_: $h{$_}") } grep { defined $h{$_} }
                 keys %h), $t->{url});
}

sub complete {
    my ($id, $as, @more) = @_;
    return curl('-X', 'POST', @more,
                $n->url("/api/$id/complete?as=" . ($as // 'alice')));
}

sub whole {
    my ($bytes, @more) = @_;
    my $t = ticket(size => length $bytes, @more);
    is(send_file($t, temp_file($bytes))->{status}, 200, 'sent');
    return $t;
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

sub staging { return find_image($_[0])->{direct}{stagingKey} }

# until they are as they should be: the trail comes later than the answer
sub outcomes {
    my ($id, $want) = @_;
    my $find = sub {
        return join ' ', map { "$_->{action}=$_->{outcome}" }
               sort { $a->{at}{'$date'} cmp $b->{at}{'$date'} }
               @{ ask('find', db => $db, collection => 'image_vault_audit',
                      filter => { image => { '$oid' => $id } }) };
    };
    wait_for { $find->() =~ $want } 60;
    return $find->();
}


subtest 'the whole way' => sub {
    my $t = ticket(originalName => "../x/Sonne \x{fc}ber Rom.png",
                   tags => ['a', 'b, c'], sharedWith => ['bob'],
                   isPublic => $false, expiresAt => '2099-01-01T00:00:00Z');
    is(join(' ', sort keys %$t),
       'expiresAt headers id method success url', 'the members');
    like($t->{id}, qr/\A[0-9a-f]{24}\z/, 'id');
    is($t->{method}, 'PUT', 'method');
    is_deeply($t->{headers}, { 'Content-Type' => 'image/png',
                               'Content-Length' => '5000',
                               'If-None-Match' => '*' }, 'headers');
    like($t->{url}, qr{/direct/alice/incoming/[0-9a-f-]{36}\?}, 'staging key');
    like($t->{url}, qr/X-Amz-Expires=900&/, '15 minutes');
    like($t->{url}, qr/X-Amz-SignedHeaders=
                       content-length%3Bcontent-type%3Bhost%3Bif-none-match/x,
         'what is signed');
    like($t->{expiresAt}, qr/\A\d{4}-\d\d-\d\dT[\d:]{8}\.000Z\z/, 'expiresAt');

    my $doc = find_image($t->{id});
    is($doc->{status}, 'uploading', 'the document');
    is($doc->{originalName}, "Sonne \x{fc}ber Rom.png", 'its name');
    is($doc->{userId}, 'alice', 'its owner');
    like($doc->{r2Key}, qr{\Adirect/alice/[0-9a-f-]{36}\.png\z}, 'its key');
    isnt($doc->{r2Key}, $doc->{direct}{stagingKey}, 'is another');
    is(quota('alice')->{used}, 5000, 'the quota is reserved');
    is(code(curl($n->url("/api/$t->{id}?as=alice"))), '409 not_ready',
       'a GET of it');

    my $r = complete($t->{id});
    is(code($r), '409 not_ready', 'before anything was sent');
    is($r->{headers}{'retry-after'}, 1, 'Retry-After');
    is($r->{json}{error}{message}, 'nothing was uploaded yet', 'why');

    is(send_file($t)->{status}, 200, 'the PUT');
    $r = complete($t->{id});
    is($r->{status}, 200, 'completed') or diag($r->{body});
    is($r->{headers}{location}, "/api/$t->{id}", 'Location');
    ok($r->{json}{success}, 'success');
    ok($r->{json}{requestId}, 'requestId');
    my $image = $r->{json}{images}[0];
    is(join(' ', sort keys %$image),
       'checksums contentType dimensions expiresAt href id originalName size '
       . 'url urlExpiresAt', 'the image');
    is($image->{href}, "/api/$t->{id}", 'href');
    is($image->{size}, 5000, 'size');
    is_deeply($image->{dimensions}, { width => 64, height => 48 },
              'dimensions');
    is($image->{originalName}, "Sonne \x{fc}ber Rom.png", 'name');
    is($image->{expiresAt}, '2099-01-01T00:00:00.000Z', 'expiresAt');
    is($r->{json}{url}, $image->{url}, 'url');
    is(curl($image->{url})->{body}, $png, 'the bytes');

    my $o = object($doc->{r2Key});
    is($o->{type}, 'image/png', "the object's type");
    like($o->{disposition}, qr/^inline; .*filename\*=/, 'and name');
    is($o->{sha256}, $image->{checksums}{sha256}, 'sha256');
    ok((wait_for { !object($doc->{direct}{stagingKey}) } 60),
       'what was sent is deleted');
    my $after = find_image($t->{id});
    is($after->{status}, 'ready', 'ready');
    is_deeply($after->{metadata}{tags}, ['a', 'b, c'], 'tags');
    is_deeply($after->{access}{sharedWith}, ['bob'], 'sharedWith');
    is(used('alice'), 5000, 'the quota is settled');
    is(outcomes($t->{id}, qr/complete=ok/),
       'direct-upload=ok complete=not_ready complete=ok', 'the trail');

    for my $node ($n, $m) {
        my $again = curl('-X', 'POST', '-H', 'If-Match: "x"',
                         $node->url("/api/$t->{id}/complete?as=alice"));
        is($again->{status}, 200, 'again');
        is_deeply($again->{json}{images}[0]{checksums}, $image->{checksums},
                  'the same image');
    }
    is(outcomes($t->{id}, qr/complete=ok/),
       'direct-upload=ok complete=not_ready complete=ok',
       'which the trail does not tell');
    is(used('alice'), 5000, 'nor the quota');
    my $log = slurp("$n->{dir}/logs/iv.log");
    like($log, qr/^ticket $t->{id} 5000$/m, 'access log: ticket');
    like($log, qr/^created $t->{id} 5000$/m, 'access log: created');
    unlike($n->error_log . $m->error_log, qr/X-Amz-Signature/,
           'no signature in the error log');

    is(send_file($t)->{status}, 200,
       'another PUT to the same URL is of no use');
    is(curl($image->{url})->{body}, $png, 'the bytes are the same');
};


subtest 'members' => sub {
    my @bad = (
        [{ originalName => undef }, '400 bad_parameter', 'originalName is mi'],
        [{ contentType => undef }, '400 bad_parameter', 'contentType is miss'],
        [{ size => undef }, '400 bad_parameter', 'size is missing'],
        [{ originalName => '' }, '400 bad_parameter', 'originalName must'],
        [{ originalName => ['x'] }, '400 bad_parameter', 'originalName must'],
        [{ contentType => 7 }, '400 bad_parameter', 'contentType must'],
        [{ contentType => 'text/html' }, '415 unsupported_type', 'contentType'],
        [{ contentType => 'image/svg+xml' }, '415 unsupported_type',
         'contentType'],
        [{ contentType => "image/png\r\nx-amz-acl: public-read" },
         '415 unsupported_type', 'contentType'],
        [{ contentType => 'image/jpeg', path => '/png' },
         '415 unsupported_type', 'contentType'],
        [{ size => 0 }, '400 bad_parameter', 'size must'],
        [{ size => -1 }, '400 bad_parameter', 'size must'],
        [{ size => 1.5 }, '400 bad_parameter', 'size must'],
        [{ size => '5000' }, '400 bad_parameter', 'size must'],
        [{ size => { '$gt' => 0 } }, '400 bad_parameter', 'size must'],
        [{ size => 60 * 1024 * 1024 + 1 }, '413 too_large', 'the image is lar'],
        [{ size => 1025, path => '/png' }, '413 too_large', 'the image is lar'],
        [{ tags => 'a' }, '400 bad_parameter', 'tags must'],
        [{ tags => ['x' x 65] }, '400 bad_parameter', 'tags has'],
        [{ sharedWith => ['a b'] }, '400 bad_parameter', 'sharedWith has'],
        [{ isPublic => 'yes' }, '400 bad_parameter', 'isPublic must'],
        [{ expiresAt => 'soon' }, '400 bad_parameter', 'expiresAt must'],
        [{ expiresAt => '2001-01-01T00:00:00Z' }, '400 bad_parameter',
         'expiresAt must be in the future'],
        [{ userId => 'a b' }, '400 bad_parameter', 'userId must'],
        [{ userId => 'bob' }, '403 forbidden', 'userId must be'],
        [{ key => 'x' }, '400 bad_parameter', 'key is not known'],
        [{ '$set' => 1 }, '400 bad_parameter', '$set is not known'],
        [{ isPublic => $false, path => '/open' }, '409 conflict',
         'every image is public here'],
        [{ path => '/disk' }, '400 bad_parameter',
         'the storage takes no direct uploads'],
    );
    for my $row (@bad) {
        my ($a, $want, $why) = @$row;
        my $r = ask_ticket(as => 'carol', %$a);
        is(code($r), $want, $why);
        like($r->{json}{error}{message}, qr/^\Q$why/, 'the message');
    }
    is(scalar(find_images({ userId => 'carol' })), 0, 'nothing was written');

    is(code(curl('-d', '{}', $n->url('/api/direct-upload?as=carol'))),
       '415 unsupported_type', 'a form');
    is(code(curl('-H', 'Content-Type: application/json', '-d', '[]',
                 $n->url('/api/direct-upload?as=carol'))),
       '400 malformed_json', 'no object');
    my $r = curl($n->url('/api/direct-upload?as=carol'));
    is(code($r), '405 method_not_allowed', 'GET');
    is($r->{headers}{allow}, 'POST', 'Allow');

    my $t = ticket(as => 'carol', contentType => 'IMAGE/PNG', userId => 'carol',
                   tags => undef, path => '/open');
    my $doc = find_image($t->{id});
    is($doc->{contentType}, 'image/png', 'the type as we write it');
    ok($doc->{access}{isPublic}, 'public where all are');
};


subtest 'what the storage refuses' => sub {
    my $t = ticket(as => 'dora');
    my $longer = temp_file($png . 'x');
    isnt(send_file($t, $longer, 'Content-Length' => undef)->{status}, 200,
         'another length');
    isnt(send_file($t, $file, 'Content-Type' => 'text/html')->{status}, 200,
         'another type');
    isnt(send_file($t, $file, 'If-None-Match' => undef)->{status}, 200,
         'without If-None-Match');
    isnt(curl('-X', 'DELETE', $t->{url})->{status}, 204, 'DELETE');
    (my $url = $t->{url}) =~ s{/incoming/}{/};
    isnt(send_file({ %$t, url => $url })->{status}, 200, 'another key');
    is(scalar(objects('direct/dora/')), 0, 'nothing is stored');

    is(send_file($t)->{status}, 200, 'the right PUT');
    is(send_file($t)->{status}, 412, 'a second one');
    is(complete($t->{id}, 'dora')->{status}, 200, 'completed');
};


subtest 'what is no image, or another' => sub {
    my $damaged = $png;
    substr($damaged, 3000, 1) ^= "\x01";
    my @bad = (
        ['damaged', $damaged, '422 corrupt_image'],
        ['cut', substr($png, 0, 4000), '422 corrupt_image'],
        ['bytes behind it', $png . 'more', '422 trailing_data'],
        ['another type', jpeg(3000), '415 unsupported_type'],
        ['HTML', '<html><script>alert(1)</script></html>',
         '415 unsupported_type'],
        ['too many pixels', png(1000, width => 20_000, height => 20_000),
         '413 too_many_pixels'],
    );
    for my $row (@bad) {
        my ($what, $bytes, $want) = @$row;
        my $t = whole($bytes, as => 'erin');
        my $staging = staging($t->{id});
        my $key = find_image($t->{id})->{r2Key};
        is(code(complete($t->{id}, 'erin')), $want, $what);
        ok((wait_for { !object($staging) } 60), 'what was sent is deleted');
        is(object($key), undef, 'there is no image');
        is(find_image($t->{id})->{status}, 'error', 'its document: error');
        is(used('erin'), 0, 'the quota is given back');
        is(code(complete($t->{id}, 'erin')), '404 not_found', 'again');
        my $trail = qr/^direct-upload=ok complete=[a-z_]+$/;
        like(outcomes($t->{id}, $trail), $trail, 'the trail');
    }

    # other bytes of the same length, under a name of the image's own
    my $t = ticket(as => 'erin');
    my $other = png(5000, width => 65);
    is(send_file($t, temp_file($other))->{status}, 200, 'sent');
    is(complete($t->{id}, 'erin')->{json}{images}[0]{dimensions}{width}, 65,
       'what counts is what was sent');
};


subtest 'quota' => sub {
    my $t = ticket(as => 'frank', path => '/small', size => 2000);
    is(quota('frank')->{used}, 2000, 'reserved');
    my $r = ask_ticket(as => 'frank', path => '/small', size => 1001);
    is(code($r), '403 quota_exceeded', 'one more');
    like($r->{json}{error}{message}, qr/used 2000, limit 3000, needed 1001/,
         'the message');
    is(scalar(find_images({ userId => 'frank', status => 'uploading' })), 1,
       'its document goes');
    is(quota('frank')->{used}, 2000, 'nothing of it is reserved');
    is(curl('-X', 'DELETE', $n->url("/small/$t->{id}?as=frank"))->{status},
       200, 'a ticket can be deleted');
    is(used('frank'), 0, 'which gives its quota back');
    is(code(curl('-X', 'POST', $n->url("/small/$t->{id}/complete?as=frank"))),
       '404 not_found', 'and ends it');

    is(code(ask_ticket(as => 'nobody', path => '/known')), '403 forbidden',
       'who has no document');
    is(scalar(find_images({ userId => 'nobody', status => 'uploading' })), 0,
       'gets no ticket');
};


subtest 'ten tickets' => sub {
    my $body = JSON::PP::encode_json({ originalName => 'a.png', size => 100,
                                       contentType => 'image/png' });
    my @urls = map { ($_ % 2 ? $n : $m)->url('/plain/direct-upload?as=gina') }
               1 .. 20;
    my $stem = "/tmp/iv-tickets-$$";
    my @args = map { ('-o', "$stem.$_", $urls[$_]) } 0 .. $#urls;
    system('curl', '-sS', '--parallel', '--parallel-immediate', '-H',
           'Content-Type: application/json', '-d', $body, @args);
    my @got = map { json(slurp("$stem.$_")) } 0 .. $#urls;
    unlink map { "$stem.$_" } 0 .. $#urls;
    my @ok = grep { $_->{success} } @got;
    my @no = grep { ($_->{error}{code} // '') eq 'conflict' } @got;
    cmp_ok(scalar @ok, '<=', 11, 'no more than ten, side by side');
    cmp_ok(scalar @ok, '>=', 1, 'but some');
    is(@ok + @no, 20, 'the others: conflict');

    for (@ok + 1 .. 10) {
        ticket(as => 'gina', path => '/plain');
    }
    my $r = ask_ticket(as => 'gina', path => '/plain');
    is(code($r), '409 conflict', 'one more');
    like($r->{json}{error}{message}, qr/^10 direct uploads are open/, 'why');
    ticket(as => 'hugo', path => '/plain');
    curl('-X', 'DELETE', $n->url("/plain/$_->{id}?as=gina"))
        for @ok[0 .. (@ok > 10 ? 1 : 0)];
    ticket(as => 'gina', path => '/plain');
};


subtest 'side by side' => sub {
    my $t = whole(png(2_000_000), as => 'ines');
    my $stem = "/tmp/iv-complete-$$";
    my @args = map { ('-o', "$stem.$_",
                      ($_ % 2 ? $n : $m)->url("/api/$t->{id}/complete?as=ines"))
                   } 0 .. 7;
    system('curl', '-sS', '--parallel', '--parallel-immediate', '-X', 'POST',
           @args);
    my @got = map { json(slurp("$stem.$_")) } 0 .. 7;
    unlink map { "$stem.$_" } 0 .. 7;
    my @ok = grep { $_->{success} } @got;
    my @no = grep { ($_->{error}{code} // '') eq 'not_ready' } @got;
    cmp_ok(scalar @ok, '>=', 1, 'one completes it');
    is(@ok + @no, 8, 'the others wait');
    is(complete($t->{id}, 'ines')->{status}, 200, 'then all are told');
    ok((wait_for { 1 == objects('direct/ines/') } 60), 'one object');
    is(used('ines'), 2_000_000, 'counted once');
    is(scalar(() = outcomes($t->{id}, qr/complete=ok/) =~ /complete=ok/g), 1,
       'the trail tells of one');
};


subtest 'who may' => sub {
    my $t = ticket(as => 'jane', sharedWith => ['kate']);
    my $post = sub {
        my ($query, @more) = @_;
        return curl('-X', 'POST', @more,
                    $n->url("/api/$t->{id}/complete$query"));
    };
    my $absent = curl('-X', 'POST',
                      $n->url('/api/' . 'f' x 24 . '/complete?as=kate'));
    is(code($post->('')), '401 unauthenticated', 'nobody');
    is(code($post->('?as=a%20b')), '401 unauthenticated', 'no valid owner');
    is(code($post->('?as=jane', '-H', 'Origin: https://evil.example')),
       '403 forbidden', 'another site');
    is(code($post->('?as=jane', '-H', 'Sec-Fetch-Site: cross-site')),
       '403 forbidden', 'another site, without Origin');
    is(code(curl('-X', 'POST', $n->url('/api/xyz/complete?as=jane'))),
       '404 not_found', 'no id');
    is(code(curl($n->url("/api/$t->{id}/complete?as=jane"))),
       '405 method_not_allowed', 'GET');
    my $r = $post->('?as=mary');
    is(code($r), '404 not_found', 'a stranger');
    is($r->{json}{error}{message}, $absent->{json}{error}{message},
       'as of an absent one');
    is(code($post->('?as=kate')), '403 forbidden', 'whom it is shared with');
    is(code($post->('?as=jane')), '409 not_ready', 'the owner');

    my $id = { _id => { '$oid' => $t->{id} } };
    my $set = sub { ask('update', db => $db, collection => 'images',
                        filter => $id, update => { @_ }) };
    $set->('$set', { blocked => { at => mongo_now(), reason => 'because' } });
    $r = $post->('?as=jane');
    is(code($r), '451 blocked', 'blocked');
    is($r->{json}{error}{message}, 'because', 'why');
    is(code($post->('?as=kate')), '451 blocked', 'before what is not owned');
    is(code($post->('?as=root&admin=1')), '409 not_ready', 'not for admins');
    $set->('$unset', { blocked => 1 });
    $set->('$set', { 'access.expiresAt' => mongo_now(-5) });
    is(code($post->('?as=jane')), '410 gone', 'expired');
    $set->('$unset', { 'access.expiresAt' => 1 });

    is(send_file($t)->{status}, 200, 'sent');
    $r = $post->('?as=jane', '-H', 'Origin: https://app.example', '-H',
                 'Content-Type: text/plain', '-d', 'x' x 3000);
    is($r->{status}, 200, 'a body, of whatever type, is dropped');
    is($r->{headers}{'access-control-allow-origin'}, 'https://app.example',
       'CORS');
    is($post->('?as=kate')->{status}, 403, 'a ready one, shared');

    $r = curl('-X', 'OPTIONS', '-H', 'Origin: https://app.example', '-H',
              'Access-Control-Request-Method: POST',
              $n->url("/api/$t->{id}/complete"));
    is($r->{status}, 204, 'a preflight');
    is($r->{headers}{'access-control-allow-methods'}, 'POST', 'of POST');
    is(curl('-X', 'OPTIONS', '-H', 'Origin: https://app.example', '-H',
            'Access-Control-Request-Method: POST',
            $n->url('/api/direct-upload'))->{status}, 204, 'of direct-upload');
    is(code(ask_ticket(more => ['-H', 'Origin: https://evil.example'])),
       '403 forbidden', 'a ticket for another site');
    is(code(ask_ticket(as => '')), '401 unauthenticated', 'for nobody');
};


subtest 'admins' => sub {
    my $t = ticket(url => '/api/direct-upload?as=root&admin=1',
                   userId => 'ABCDEFABCDEFABCDEFABCDEF');
    is_deeply(find_image($t->{id})->{userId},
              { '$oid' => 'abcdefabcdefabcdefabcdef' }, 'for another');
    is(code(complete($t->{id}, 'alice')), '404 not_found', 'not for others');
    is(send_file($t)->{status}, 200, 'sent');
    is(complete($t->{id}, 'root&admin=1')->{status}, 200, 'by an admin');
    is(curl($n->url("/api/$t->{id}/view?as=abcdefabcdefabcdefabcdef"))
       ->{status}, 302, 'whose it is');
};


subtest 'other images' => sub {
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png',
                 $n->url('/api/upload?as=nora'));
    is(complete($r->{json}{images}[0]{id}, 'nora')->{status}, 200,
       'a ready one');
    my $id = new_id();
    insert_images(image_doc(id => $id, owner => 'nora',
                            status => 'uploading'));
    $r = complete($id, 'nora');
    is(code($r), '409 not_ready', 'an upload under way');
    is($r->{json}{error}{message},
       'it is being completed, or is no direct upload', 'why');
    ok($r->{headers}{'retry-after'}, 'Retry-After');
    is(find_image($id)->{status}, 'uploading', 'nothing is changed');
};


subtest 'HTTP/2' => sub {
    my $t = ticket(as => 'olga');
    is(send_file($t)->{status}, 200, 'sent');
    # more than the stream's window: the answer does not wait for it
    my $c = ImageVault::Flight::Http2->new($h2);
    my $s = $c->request('POST', "/api/$t->{id}/complete?as=olga");
    $c->data($s, 'x' x 70_000, 1);
    is($c->answer($s)->{status}, 200, 'completed, its body dropped');
    my $r = curl('--http2-prior-knowledge', '-H', 'Content-Type: application/json',
              '-d', '{"originalName":"a","contentType":"image/png","size":9}',
              "http://127.0.0.1:$h2/plain/direct-upload?as=olga");
    is($r->{status}, 201, 'a ticket');
};


# a ticket whose object was sent, and is not to be had until the gate is open
sub shut {
    my ($as, $ask) = @_;
    my $t = whole(png(2_000_000), as => $as, path => '/gated');
    kill 'STOP', $gate->workers;
    my $client = $ask->("/gated/$t->{id}/complete?as=$as");
    ok((wait_for { find_image($t->{id})->{direct}{claimed} } 60), 'it begins');
    return ($t->{id}, $client);
}

sub open_again {
    my ($id, $what) = @_;
    is(find_image($id)->{status}, 'uploading', 'is under way');
    kill 'CONT', $gate->workers;
    is(wait_images({ _id => { '$oid' => $id }, status => 'ready' }, 1, 60), 1,
       $what);
}

subtest 'the client goes away' => sub {
    my ($id, $s) = shut('paul', sub {
        my $s = IO::Socket::INET->new("127.0.0.1:$n->{port}") or die;
        print $s "POST $_[0] HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
        return $s;
    });
    close $s;
    open_again($id, 'the image becomes ready all the same');
    is(complete($id, 'paul')->{status}, 200, 'and is told of');
    is(used('paul'), 2_000_000, 'its quota is settled');
    is(outcomes($id, qr/complete=ok/), 'direct-upload=ok complete=ok',
       'the trail');

    ($id, my $c) = shut('quinn', sub {
        my $c = ImageVault::Flight::Http2->new($h2);
        $c->data($c->request('POST', $_[0]), '', 1);
        return $c;
    });
    undef $c;
    open_again($id, 'over HTTP/2 as well');
};


subtest 'the storage is away' => sub {
    my $dead = free_port();
    my $d = ImageVault::Nginx->new(
        name => 'down',
        http => ImageVault::Nginx::http_base()
                . ImageVault::Nginx::storage_s3(
                      endpoint => "http://127.0.0.1:$dead", retries => 1)
                . "image_vault_owner \$arg_as;\n",
        server => 'location /api { image_vault_api s3; } ')->start;
    my $t = whole($png, as => 'sam');
    my $r = curl('-X', 'POST', $d->url("/api/$t->{id}/complete?as=sam"));
    is(code($r), '503 storage_unavailable', 'it is told');
    ok($r->{headers}{'retry-after'}, 'Retry-After');
    is(complete($t->{id}, 'sam')->{status}, 200, 'the ticket stays');
    $d->done;
};


# the ticket's time is over
sub overdue {
    my ($id) = @_;
    ask('update', db => $db, collection => 'images',
        filter => { _id => { '$oid' => $id } },
        update => { '$set' => { 'direct.deadline' => mongo_now(-1) } });
}

subtest 'too late' => sub {
    my $t = ticket(as => 'sue', path => '/short');
    like($t->{url}, qr/X-Amz-Expires=1&/, 'a URL of one second');
    sleep 3;
    is(send_file($t)->{status}, 403, 'the URL is over');

    $t = whole($png, as => 'ruth');
    my $staging = staging($t->{id});
    my $done = whole($png, as => 'ruth');
    is(complete($done->{id}, 'ruth')->{status}, 200, 'completed');
    overdue($_->{id}) for $t, $done;
    my $r = complete($t->{id}, 'ruth');
    is(code($r), '410 gone', 'completed too late');
    like($r->{json}{error}{message}, qr/is over/, 'why');
    ok(object($staging), 'what was sent is the sweep\'s');

    my $s = ImageVault::Nginx->new(
        name => 'sweep',
        http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=2s')
                . $common, server => $server)->start;
    ok((wait_for { my $d = find_image($t->{id});
                   !$d || $d->{status} eq 'error' } 60), 'the ticket ends');
    ok((wait_for { !object($staging) } 60), 'what was sent goes');
    is(used('ruth'), 5000, 'the quota is given back');
    is(wait_images({ _id => { '$oid' => $t->{id} } }, 0, 60), 0,
       'its document goes');
    ok((wait_for { !find_image($done->{id})->{direct} } 60),
       'of the other one the ticket');
    is(find_image($done->{id})->{status}, 'ready', 'not the image');
    $s->done;
};


$_->done for $n, $m, $gate;
rmdir $local;
done_testing();
