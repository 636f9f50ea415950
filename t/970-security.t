# Attacks: requests that no honest client sends, on raw connections and by
# HTTP/2, against a running nginx.  What they were to reach is still there, is
# told to nobody, and every line of the logs is a line of nginx.  The sections of
# docs/SECURITY.md name these tests.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

my $store = "/tmp/iv-security-$$";
mkdir $store or die "$store: $!";
my $h2 = free_port();
my $n = ImageVault::Nginx->new(
    name   => 'attacked',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
            . "image_vault_storage disk { type local; root $store; "
            . "url /files; secret 0123456789abcdef0123456789abcdef; }\n"
            # answers that are compared must not differ by its end
            . "keepalive_requests 100000;\n"
            . "image_vault_quota 100m;\n",
    server => <<"CONF",
    listen 127.0.0.1:$h2 http2;
    image_vault_owner \$http_x_as;
    image_vault_cors https://app.example '~https://([a-z]+)+\\.long\\.example';
    location /api { image_vault_api s3; }
    location /disk { image_vault_api disk; image_vault_key \$arg_a/\$arg_b/\$image_vault_filename; }
    location /files/ { image_vault_files disk; alias $store/; }
    location /admin { image_vault_api s3; image_vault_admin \$arg_admin; }
    location /r/ { image_vault_redirect; }
    location /guarded/ { image_vault_access; alias $store/;
        add_header X-Key \$image_vault_key always;
        add_header X-Type \$image_vault_content_type always; }
    location /inside { internal; image_vault_api s3; image_vault_admin 1; }
    location /canary { return 204; }
CONF
)->start;

my $db = $ImageVault::Peers::Database;
my $png = png(1500);
my $file = temp_file($png);
my @json = ('-H', 'Content-Type: application/json');
my $kept = ImageVault::Kept->new($n->{port});


sub as { return ('-H', "X-As: $_[0]") }

sub stored {
    my ($owner, $query, $path) = @_;
    my $r = curl('-T', $file, as($owner), '-H', 'Content-Type: image/png',
                 $n->url(($path // '/api') . '/upload?' . ($query // '')));
    is($r->{status}, 201, "$owner: stored") or diag $r->{body};
    return $r->{json}{images}[0]{id} // 'f' x 24;
}

# these bytes, in one piece or two, and all that is answered to them until the
# end, or until nothing more comes for a while
sub raw {
    my ($bytes, $seconds, $cut) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}",
                                  Timeout => 5) or die "connect: $!";
    local $SIG{PIPE} = 'IGNORE';
    $s->autoflush(1);
    if ($cut) {
        print $s substr $bytes, 0, $cut, '';
        Time::HiRes::sleep(0.1);
    }
    print $s $bytes;
    my $all = '';
    my $select = IO::Select->new($s);
    while ($select->can_read(statuses($all) eq '' ? 30 : $seconds // 1.5)) {
        sysread($s, $all, 65536, length $all) or last;
    }
    return $all;
}

# bodies end without a line break
sub statuses { return join ' ', $_[0] =~ m{HTTP/1\.1 (?!100)(\d\d\d) }g }

sub request {
    my ($method, $path, $body, @headers) = @_;
    return join("\r\n", "$method $path HTTP/1.1", 'Host: vault', @headers)
         . "\r\n\r\n" . ($body // '');
}

# an answer without what differs from one to the next anyway
sub bare { return ImageVault::Kept::bare(@_) }


my $hers = stored('alice', 'filename=hers.png&tags=a');
my $deletion = request('DELETE', "/api/$hers", '', 'X-As: alice');
my $last = request('GET', '/canary', '', 'Connection: close');

subtest 'smuggling: lengths that contradict each other' => sub {
    my $n_bytes = length $deletion;
    my $chunk = sprintf "%x\r\n%s\r\n0\r\n\r\n", $n_bytes, $deletion;
    my @upload = ('X-As: mallory', 'Content-Type: image/png');

    # each is refused, and what comes behind it on the connection is not read
    my %refused = (
        'length and chunks' =>
            ["Content-Length: $n_bytes", 'Transfer-Encoding: chunked'],
        'chunks and length' =>
            ['Transfer-Encoding: chunked', 'Content-Length: 4'],
        'two lengths' => ["Content-Length: $n_bytes", 'Content-Length: 0'],
        'a list of lengths' => ["Content-Length: $n_bytes, 0"],
        'a negative length' => ['Content-Length: -1'],
        'a signed length' => ["Content-Length: +$n_bytes"],
        'a hexadecimal length' => ['Content-Length: 0x10'],
        'a length that overflows' =>
            ['Content-Length: 18446744073709551617'],
        'no length' => ['Content-Length:'],
        'another coding' => ['Transfer-Encoding: gzip'],
        'two codings' => ['Transfer-Encoding: gzip, chunked'],
        'chunks twice' => ['Transfer-Encoding: chunked',
                           'Transfer-Encoding: chunked'],
        'a coding hidden by a tab' =>
            ["Transfer-Encoding: \x0bchunked"],
        'a name with a space' => ['Transfer-Encoding : chunked'],
        'a folded line' => ["X-A: b\r\n Transfer-Encoding: chunked",
                            'Content-Length: 5x'],
        'a zero byte' => ["X-A: a\0b"],
    );
    for my $what (sort keys %refused) {
        for my $path ('/api/upload', '/api/bulk', "/r/$hers") {
            my $r = raw(request('POST', $path, $chunk, @upload,
                                @{ $refused{$what} }) . $last);
            like(statuses($r), qr/\A(?:400|501)\z/, "$path: $what")
                or diag $r;
        }
    }

    # chunks that end nowhere: what follows them is no request, wherever the
    # body is read or thrown away
    my $open = "5\r\nabcde$deletion$last";
    for my $case (['POST', '/api/upload', @upload],
                  ['PUT', '/api/upload', 'X-As: alice',
                   'Content-Type: multipart/form-data; boundary=b'],
                  ['POST', '/api/upload', 'Content-Type: image/png'],
                  ['POST', '/api/bulk', 'X-As: alice',
                   'Content-Type: application/json'],
                  ['PATCH', "/api/$hers", 'X-As: alice',
                   'Content-Type: application/json'],
                  ['POST', '/api/bulk', @upload],
                  ['POST', "/api/$hers/complete", 'X-As: mallory'],
                  ['DELETE', '/api/' . 'f' x 24, 'X-As: alice'],
                  ['GET', "/api/$hers", 'X-As: alice'],
                  ['GET', "/api/$hers/view", 'X-As: alice'],
                  ['GET', "/r/$hers", 'X-As: mallory'],
                  ['GET', "/guarded/$hers", 'X-As: mallory'],
                  ['POST', "/guarded/$hers", 'X-As: mallory'],
                  ['GET', '/files/x'], ['POST', '/files/x'],
                  ['GET', '/api/user', 'X-As: alice'],
                  ['OPTIONS', '/api/upload', 'Origin: https://app.example',
                   'Access-Control-Request-Method: POST'])
    {
        my ($method, $path, @headers) = @$case;
        for my $pause (0, 1, 6) {
            my $bytes = request($method, $path, $open, @headers,
                                'Transfer-Encoding: chunked');
            my $at = $pause && index($bytes, $open) + $pause - 1;
            my $r = raw($bytes, 1, $at);
            like(statuses($r), qr/\A\d\d\d\z/,
                 "$method $path: one answer, cut at $pause") or diag $r;
        }
    }
    is(find_image($hers)->{status}, 'ready', 'nothing was deleted');

    # framing that is odd but clear: one answer for each request
    my %clear = (
        'a chunk extension' => [sprintf("%x;a=\"b\"\r\n%s\r\n0\r\n\r\n",
                                        $n_bytes, $deletion)],
        'trailers' => [sprintf("%x\r\n%s\r\n0\r\nContent-Length: 9\r\n\r\n",
                               $n_bytes, $deletion)],
        'leading zeros' => [sprintf("000000%x\r\n%s\r\n0\r\n\r\n", $n_bytes,
                                    $deletion)],
    );
    for my $what (sort keys %clear) {
        my $r = raw(request('POST', '/api/upload', $clear{$what}[0], @upload,
                            'Transfer-Encoding: chunked') . $last);
        is(statuses($r), '415 204', $what) or diag $r;
    }

    for my $bad ("ffffffffffffffff\r\n$deletion", "8000000000000000\r\n",
                 "-5\r\n$deletion", "0x5\r\nabcde\r\n0\r\n\r\n", "\r\n0\r\n\r\n",
                 "5\r\nabcdefgh\r\n0\r\n\r\n", "g\r\n", "5 \0\r\nabcde")
    {
        my $r = raw(request('POST', '/api/upload', $bad, @upload,
                            'Transfer-Encoding: chunked') . $last);
        (my $shown = substr $bad, 0, 20) =~ s/[\r\n\0]/~/g;
        like(statuses($r), qr/\A4\d\d\z/, "chunks that are none: $shown")
            or diag $r;
    }
};

subtest 'smuggling: what is refused unread is no request' => sub {
    my $length = 'Content-Length: ' . length $deletion;
    my $chunk = sprintf "%x\r\n%s\r\n0\r\n\r\n", length $deletion, $deletion;
    my @as = ('X-As: mallory', 'Content-Type: image/png');
    my @cases = (
        ['nobody', 401, 'POST', '/api/upload', 'Content-Type: image/png'],
        ['an odd owner', 401, 'POST', '/api/upload', "X-As: a b"],
        ['another site', 403, 'POST', '/api/upload', @as, 'Origin: http://x'],
        ['a type', 415, 'POST', '/api/bulk', @as],
        ['a method', 405, 'POST', "/r/$hers", @as],
        ['a method of access', 405, 'POST', "/guarded/$hers", @as],
        ['no path', 404, 'POST', '/api/a/b/c', @as],
        ['no id', 404, 'PATCH', '/api/zz', 'X-As: mallory',
         'Content-Type: application/json'],
        ['no image', 415, 'POST', '/api/upload', @as],
        ['a GET with a body', 404, 'GET', "/api/$hers", 'X-As: mallory'],
        ['a HEAD with a body', 404, 'HEAD', "/api/$hers/view"],
        ['a DELETE with a body', 404, 'DELETE', "/api/$hers", 'X-As: mallory'],
        ['a preflight with a body', 204, 'OPTIONS', '/api/upload',
         'Origin: https://app.example', 'Access-Control-Request-Method: POST'],
        ['a preflight from elsewhere', 403, 'OPTIONS', '/api/upload',
         'Origin: http://x', 'Access-Control-Request-Method: POST'],
    );
    for my $case (@cases) {
        my ($what, $status, $method, $path, @headers) = @$case;
        for my $how ([$length, $deletion],
                     ['Transfer-Encoding: chunked', $chunk])
        {
            my $r = raw(request($method, $path, $how->[1], @headers,
                                $how->[0]) . $last);
            like(statuses($r), qr/\A$status(?: 204)?\z/,
                 "$what: refused, no more than the next one answered")
                or diag $r;
        }
    }
    is(find_image($hers)->{status}, 'ready', 'nothing was deleted');
    my @deletes = grep { /"DELETE/ && !/ 404 | 400 / }
                  split /\n/, $n->access_log;
    is_deeply(\@deletes, [], 'by no request that nginx saw');
};

subtest 'smuggling: HTTP/2' => sub {
    my $evil = temp_file($deletion);
    for my $case (['X-As: bob', 415], ['X-No: owner', 401]) {
        my $r = curl('--http2-prior-knowledge', '--data-binary', "\@$evil",
                     '-H', $case->[0], '-H', 'Content-Type: image/png',
                     "http://127.0.0.1:$h2/api/upload");
        is($r->{status}, $case->[1], "$case->[0]: $case->[1]");
    }
    is(find_image($hers)->{status}, 'ready', 'still there');
};


my $evil = '%0d%0aX-Evil:%20yes%0d%0a%0d%0a2000/01/01%20x';

subtest 'injection: names, owners, keys of repetition' => sub {
    my @names = ($evil, '%00', '%e2%80%ae%e2%80%a8', '%ff%fe%c0%80', '%ed%a0%80',
                 '%22;%20filename=%22x.html', '..%2f..%2fetc%2fpasswd',
                 'a%5c..%5cb', '%3cscript%3e.png', '%c2%85%7f', '%f4%90%80%80');
    for my $name (@names) {
        my $id = stored('alice', "filename=$name");
        my $r = curl(as('alice'), $n->url("/api/$id"));
        is($r->{status}, 200, "$name: read");
        my $got = $r->{json}{image}{metadata}{originalName};
        ok(defined $got && $got ne '', "$name: a name");
        unlike($got, qr/[\x00-\x1f\x7f-\x9f\x{2028}-\x{202e}\/\\]/,
               "$name: without what moves or breaks lines");
        $r = curl(as('alice'), $n->url("/api/$id/download"));
        is($r->{status}, 302, "$name: redirect");
        is($r->{headers}{'x-evil'}, undef, "$name: no header of it");
        my $s3 = curl($r->{headers}{location});
        is($s3->{status}, 200, "$name: the storage takes it") or diag $s3->{body};
        is($s3->{headers}{'x-evil'}, undef, "$name: nor there");
        like($s3->{headers}{'content-disposition'}, qr/\Aattachment; filename="[^"\\]*"/,
             "$name: an attachment");
        like($s3->{headers}{'content-type'}, qr{\Aimage/png\z}, "$name: of its type");
    }

    for my $disposition ('inline; filename*=UTF-8\'\'%0d%0aX-Evil:%20yes',
                         "inline; filename*=UTF-8''%00%ff", 'inline; filename="a\\"b',
                         "inline; filename*=UTF-8'%0d%0a'x", 'x' x 3000)
    {
        my $r = curl('-T', $file, as('alice'), '-H', 'Content-Type: image/png',
                     '-H', "Content-Disposition: $disposition",
                     $n->url('/api/upload'));
        like($r->{status}, qr/\A(?:201|400)\z/, 'a disposition');
        unlike($r->{json}{images}[0]{originalName} // '', qr/[\x00-\x1f]/,
               'gives no control character');
    }

    # on the wire: what curl would not send
    for my $owner ("a\tb", "a\x7fb", "alice\xc2\x85", '../alice', 'al/ice', 'a"b',
                   '$where', 'a b', '.', '..', 'x' x 129, "\xff", '{"$ne":1}',
                   'alice,bob', "alice%00")
    {
        my $r = raw(request('GET', '/api/usage', '', "X-As: $owner",
                            'Connection: close'));
        is(statuses($r), 401, 'an odd owner is nobody') or diag $owner;
    }

    for my $header ("Idempotency-Key: a\tb", 'Idempotency-Key: ' . 'x' x 4000,
                    "Idempotency-Key: \xff\xfe", 'Idempotency-Key: {"$gt":""}',
                    "Origin: http://x\ty", "Origin: \"\\\xff",
                    'Accept: ' . 'image/' . ',' x 3000,
                    'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Host: evil',
                    'X-Forwarded-Proto: https', 'Forwarded: host=evil',
                    'X-Original-URL: /inside/usage', 'X-Rewrite-URL: /inside',
                    'X-HTTP-Method-Override: DELETE',
                    'X-Accel-Redirect: /inside', 'X-Image-Vault-Admin: 1')
    {
        my $r = raw(request('PUT', '/api/upload', $png, 'X-As: alice',
                            'Content-Type: image/png', $header,
                            'Content-Length: ' . length $png,
                            'Connection: close'));
        my $what = substr $header, 0, 30;
        $what =~ s/[^ -~]/?/g;
        like(statuses($r), qr/\A(?:201|400|403)\z/, $what) or diag $r;
        unlike($r, qr/evil/i, "$what: not in the answer");
    }
    is(find_image($hers)->{status}, 'ready', 'no method by another name');
};


subtest 'traversal: ids, keys, links' => sub {
    for my $path ("..%2f$hers", "%2e%2e/$hers", "$hers%2fview", "$hers%00",
                  "$hers%2500", "$hers.", "$hers;", "0$hers", substr($hers, 1),
                  "+$hers", "$hers%20", "%20$hers", "\$ne", '{"$ne":1}', '%ff' x 12)
    {
        my $r = raw(request('DELETE', "/api/$path", '', 'X-As: alice',
                            'Connection: close'));
        like(statuses($r), qr/\A40[045]\z/, "DELETE $path") or diag $r;
    }
    is(find_image($hers)->{status}, 'ready', 'still there');

    for my $pair (['..', '..'], ['%2e%2e', '%2e'], ['..%2f..', 'x'], ['', ''],
                  ['%00', '%0a'], ['/etc', '/'], ['.', '..%5c'], ['%', '%%%'],
                  ['a' x 300, 'b' x 300], ['%c3%a9', '~'])
    {
        my ($a, $b) = @$pair;
        my $id = stored('alice', "a=$a&b=$b", '/disk');
        my $key = find_image($id)->{r2Key} // '';
        my @s = split m{/}, $key, -1;
        is(scalar @s, 3, "$a, $b: three segments") or diag $key;
        is(scalar(grep { !/\A[A-Za-z0-9._\@=-]{1,255}\z/ || /\A\.\.?\z/ } @s), 0,
           'each a name');
        ok(-f "$store/$key", 'the file lies within the root');
        my $r = curl(as('alice'), '-L', $n->url("/disk/$id/view"));
        is($r->{body} eq $png, 1, 'and is read by its link');
    }
    for my $path ('/files/../../etc/passwd', '/files/%2e%2e/%2e%2e/etc/passwd',
                  '/files/..%2f..%2fetc%2fpasswd', '/files//etc/passwd',
                  '/files/a%00', '/files', '/files/')
    {
        my $r = raw(request('GET', "$path?expires=9999999999&signature="
                            . '0' x 64, '', 'Connection: close'));
        like(statuses($r), qr/\A(?:301|40[034])\z/, $path) or diag $r;
        unlike($r, qr/root:/, "$path: nothing of it");
    }
};


my $hers_doc = find_image($hers);

subtest 'operators: what is said is a value' => sub {
    my $id = stored('alice', 'filename=op.png');
    my @values = ('$set', '$where', '$$ROOT', '$userId', 'a.b', '$', '__proto__',
                  '$$REMOVE', '{"$gt":""}', 'metadata.tags');
    my $r = curl(as('alice'), '-X', 'PATCH', @json, '-d',
                 JSON::PP::encode_json({ tags => \@values,
                                         originalName => '$userId.png' }),
                 $n->url("/api/$id"));
    is($r->{status}, 200, 'values with dollars and dots') or diag $r->{body};
    my $doc = find_image($id);
    is_deeply($doc->{metadata}{tags}, \@values, 'as they are');
    is($doc->{originalName}, '$userId.png', 'the name, too');

    for my $patch ('{"$set":{"userId":"mallory"}}', '{"__proto__":{"tags":["x"]}}',
                   '{"access.isPublic":true}', '{"userId":"mallory"}',
                   '{"metadata":{"tags":["x"]}}', '{"status":"error"}',
                   '{"r2Key":"x"}', '{"constructor":{"prototype":{}}}',
                   '{"tags":{"$each":["x"]}}', '{"tags":[{"$gt":""}]}',
                   '{"originalName":{"$gt":""}}', '{"isPublic":{"$ne":null}}',
                   '{"sharedWith":[{"$oid":"' . 'a' x 24 . '"}]}',
                   '{"expiresAt":{"$date":0}}', '{"tags\u0000":["x"]}',
                   '{"storage":"disk"}', '{"_id":"' . 'a' x 24 . '"}')
    {
        $r = curl(as('alice'), '-X', 'PATCH', @json, '-d', $patch,
                  $n->url("/api/$id"));
        is($r->{status}, 400, "$patch: refused") or diag $r->{body};
    }
    my $now = find_image($id);
    is_deeply($now, $doc, 'nothing changed');

    for my $tag (map { s/([^A-Za-z0-9])/sprintf '%%%02x', ord $1/ger } @values) {
        $r = curl(as('alice'), $n->url("/api/user?tag=$tag"));
        is(scalar @{ $r->{json}{images} // [] }, 1, "tag=$tag: a value");
        $r = curl(as('mallory'), $n->url("/api/user?tag=$tag"));
        is(scalar @{ $r->{json}{images} // ['?'] }, 0, 'nobody else sees it');
    }
    for my $query ('tag[$ne]=x', 'tag[]=%24ne', 'q[$regex]=.', 'q=.*', 'q=%5e',
                   'userId[$ne]=x', 'status[$ne]=x', 'public[$exists]=1')
    {
        $r = curl('-g', as('mallory'), $n->url("/api/user?$query"));
        is(scalar @{ $r->{json}{images} // [] }, 0, "$query: no operator")
            or diag $r->{body};
    }
    for my $body ('{"action":"tag","ids":["' . $id . '"],"tags":[{"$ne":1}]}',
                  '{"action":"delete","ids":{"$gt":""}}',
                  '{"action":"delete","ids":[{"$gt":""}]}',
                  '{"action":{"$ne":1},"ids":["' . $id . '"]}')
    {
        $r = curl(as('alice'), @json, '-d', $body, $n->url('/api/bulk'));
        is($r->{status}, 400, "bulk $body: refused") or diag $r->{body};
    }
    $r = curl(as('alice'), @json, '-d', JSON::PP::encode_json(
                  { action => 'tag', ids => [$id], tags => ['$$ROOT', '$x'] }),
              $n->url('/api/bulk'));
    is($r->{json}{results}[0]{success} ? 1 : 0, 1, 'bulk: tags with dollars')
        or diag $r->{body};
    is_deeply([@{ find_image($id)->{metadata}{tags} }[-1]], ['$x'],
              'as they are');
};


subtest 'bombs: JSON, forms, digits' => sub {
    my $id = stored('alice', 'filename=bomb.png');
    my $before = find_image($id);
    my %bombs = (
        'deep lists'   => '{"tags":' . '[' x 100_000,
        'deep objects' => '{"tags":' x 50_000,
        'closed deep lists' => '{"tags":' . '[' x 5000 . ']' x 5000 . '}',
        'a member twice' => '{"isPublic":false,"isPublic":true}',
        'a member twice by an escape' =>
            '{"isPublic":false,"isPubl\u0069c":true}',
        'a lone surrogate' => '{"originalName":"\ud800.png"}',
        'surrogates upside down' => '{"originalName":"\udc00\ud800.png"}',
        'a zero byte' => '{"originalName":"a\u0000b"}',
        'raw control characters' => "{\"originalName\":\"a\nb\"}",
        'invalid UTF-8' => "{\"originalName\":\"\xc0\x80\"}",
        'a huge number' => '{"tags":' . '9' x 100_000 . '}',
        'a huge exponent' => '{"expiresAt":1e999999999}',
        'a number for a date' => '{"expiresAt":-1e18}',
        'not a number' => '{"expiresAt":NaN}',
        'a comment' => '{/*x*/"isPublic":true}',
        'a trailing comma' => '{"isPublic":true,}',
        'two values' => '{"isPublic":true}{"isPublic":false}',
        'a byte order mark' => "\xef\xbb\xbf{\"isPublic\":true}",
        'UTF-16' => "{\0\"\0i\0",
        'nothing' => ' ',
        'a million members' =>
            '{' . join(',', map { "\"m$_\":1" } 1 .. 60_000) . '}',
        'many tags' => '{"tags":[' . join(',', ('"x"') x 200_000) . ']}',
        'above a MiB' => '{"originalName":"' . 'a' x 1_100_000 . '"}',
    );
    for my $what (sort keys %bombs) {
        my $body = temp_file($bombs{$what});
        my $began = Time::HiRes::time();
        my $r = curl(as('alice'), '-X', 'PATCH', @json, '--data-binary',
                     "\@$body", $n->url("/api/$id"));
        like($r->{status}, qr/\A4(?:00|13)\z/, $what) or diag $r->{body};
        cmp_ok(Time::HiRes::time() - $began, '<', 10, "$what: soon");
    }
    my $after = find_image($id);
    is_deeply($after, $before, 'nothing changed');

    my $type = 'Content-Type: multipart/form-data; boundary=b';
    my $part = "--b\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n%s\r\n";
    my %forms = (
        'very many fields' => join('', map { sprintf $part, "f$_", '', 1 }
                                   1 .. 20_000) . "--b--\r\n",
        'very many tags' => (sprintf $part, 'tags', '', 'x') x 20_000
                            . "--b--\r\n",
        'a header without end' => "--b\r\nContent-Disposition: " . 'a' x 200_000,
        'very many headers' => "--b\r\n" . "X: y\r\n" x 20_000 . "\r\n--b--\r\n",
        'a preamble without end' => 'x' x 300_000,
        'boundaries only' => "--b\r\n" x 20_000,
        'half boundaries' => "\r\n-" x 100_000,
        'a long value' => sprintf($part, 'tags', '', 'x' x 500_000) . "--b--\r\n",
        'a form in a form' => "--b\r\nContent-Type: multipart/mixed; boundary=c"
            . "\r\nContent-Disposition: form-data; name=f\r\n\r\n--c\r\n\r\n--c--"
            . "\r\n--b--\r\n",
    );
    for my $what (sort keys %forms) {
        my $body = temp_file($forms{$what});
        my $began = Time::HiRes::time();
        my $r = curl(as('alice'), '-H', $type, '--data-binary', "\@$body",
                     $n->url('/api/upload'));
        like($r->{status}, qr/\A4\d\d\z/, "form: $what") or diag $r->{body};
        cmp_ok(Time::HiRes::time() - $began, '<', 10, "form: $what: soon");
    }
    for my $boundary ('', '"', 'b' x 71, "\"b\\\"", 'b b', '"a\u0000"',
                      'b; boundary=c')
    {
        my $r = raw(request('POST', '/api/upload', "--b\r\n\r\n--b--\r\n",
                            'X-As: alice', 'Content-Length: 14',
                            "Content-Type: multipart/form-data; boundary=$boundary",
                            'Connection: close'));
        like(statuses($r), qr/\A4\d\d\z/, "boundary $boundary");
    }
    for my $query ('page=99999999999999999999', 'limit=-1', 'page=0x1',
                   'limit=1e3', 'from=99999999999999-01-01', 'page=2147483647')
    {
        my $r = curl(as('alice'), $n->url("/api/user?$query"));
        like($r->{status}, qr/\A(?:200|400)\z/, $query) or diag $r->{body};
    }
};


# sharp tools of other people: tickets, cursors, records, numbers of versions
subtest 'tenants: what is another\'s' => sub {
    my $mallory = 'X-As: mallory';
    my $r = curl(as('alice'), @json, '-d', JSON::PP::encode_json(
                     { originalName => 'a.png', contentType => 'image/png',
                       size => length $png }), $n->url('/api/direct-upload'));
    is($r->{status}, 201, 'a ticket') or diag $r->{body};
    my $ticket = $r->{json}{id};
    my %doc = map { $_ => find_image($_) } $hers, $ticket;

    for my $id ($hers, $ticket) {
        for my $case (['GET', ''], ['GET', '/view'], ['GET', '/download'],
                      ['DELETE', ''], ['POST', '/delete'], ['POST', '/complete'],
                      ['PATCH', '', \'{"isPublic":true}'])
        {
            my ($method, $path, $body) = @$case;
            my @more = $body ? ('Content-Type: application/json', $body)
                             : ($method eq 'GET' ? () : 'Content-Length: 0');
            my $got = $kept->ask($method, "/api/$id$path", $mallory, @more);
            my $none = $kept->ask($method, '/api/' . 'f' x 24 . $path, $mallory,
                                  @more);
            is($got->{status}, 404, "$method $path: 404");
            is(bare($got), bare($none), "$method $path: as if absent");
        }
        for my $action (qw(delete tag untag share unshare publish unpublish
                           sign))
        {
            my $j = { action => $action, ids => [$id, 'f' x 24],
                      ($action =~ /tag/ ? (tags => ['x']) : ()),
                      ($action =~ /share/ ? (users => ['mallory']) : ()) };
            $r = curl(as('mallory'), @json, '-d', JSON::PP::encode_json($j),
                      $n->url('/api/bulk'));
            my @results = @{ $r->{json}{results} // [] };
            delete $_->{id} for @results;
            is(scalar @results, 2, "bulk $action: told of both");
            is_deeply($results[0], $results[1], "bulk $action: as if absent");
        }
        for my $extra ('', ',"userId":"alice"') {
            my @answers = map {
                curl(as('mallory'), @json, '-d', "{\"imageId\":\"$_\"$extra}",
                     $n->url('/api/presigned-url'))
            } $id, 'f' x 24;
            isnt($answers[0]{status}, 200, "presigned-url$extra: refused");
            is($answers[0]{status}, $answers[1]{status}, 'as if absent');
            delete $_->{json}{requestId} for @answers;
            is_deeply($answers[0]{json}, $answers[1]{json}, 'in each word');
        }
    }
    is_deeply(find_image($_), $doc{$_}, 'nothing changed') for $hers, $ticket;

    # one's own Idempotency-Key finds one's own record only
    my @same = ('-T', $file, '-H', 'Content-Type: image/png', '-H',
                'Idempotency-Key: same');
    my $a = curl(@same, as('alice'), $n->url('/api/upload'));
    my $b = curl(@same, as('mallory'), $n->url('/api/upload'));
    is("$a->{status} $b->{status}", '201 201', 'a key of two owners');
    isnt($a->{json}{images}[0]{id}, $b->{json}{images}[0]{id}, 'two images');
    is($b->{headers}{'idempotent-replayed'}, undef, 'no repetition');

    # a cursor is no permission
    $r = curl(as('alice'), $n->url('/api/user?cursor=&limit=1'));
    my $cursor = $r->{json}{pagination}{next};
    ok($cursor, 'a cursor');
    $r = curl(as('mallory'), $n->url("/api/user?cursor=$cursor"));
    is($r->{status}, 400, 'another\'s cursor is none');
    my $wrong = 0;
    for my $i (0 .. length($cursor) - 1) {
        my $forged = $cursor;
        substr($forged, $i, 1) = substr($forged, $i, 1) eq 'A' ? 'B' : 'A';
        my $got = $kept->ask('GET', "/api/user?cursor=$forged", 'X-As: alice');
        $wrong++ if $got->{status} !~ /\A(?:200|400)\z/;
        $got = $kept->ask('GET', "/api/user?cursor=$forged", $mallory);
        $wrong++ if $got->{body} =~ /hers\.png/;
    }
    is($wrong, 0, 'a forged one finds nothing of others');

    # by another's name
    for my $try (['GET', '/api/user?userId=alice'],
                 ['GET', '/api/usage?userId=alice'],
                 ['PUT', '/api/upload?userId=alice'],
                 ['GET', '/api/admin/stats'], ['GET', '/api/admin/users/alice'],
                 ['GET', '/api/admin/images'], ['GET', '/api/admin/sweep'],
                 ['POST', '/api/admin/sweep'])
    {
        my ($method, $path) = @$try;
        my $got = $kept->ask($method, $path, $mallory,
                             'X-Admin: 1', 'X-Image-Vault-Admin: 1',
                             'Content-Type: image/png',
                             $method eq 'PUT' ? \$png :
                             $method eq 'GET' ? () : 'Content-Length: 0');
        is($got->{status}, 403, "$method $path: 403") or diag $got->{body};
    }
    for my $path ('/inside/admin/stats', '/inside/usage', "/inside/$hers") {
        is($kept->ask('GET', $path, $mallory)->{status}, 404,
           "$path: internal");
    }
};


subtest 'tenants: names of 24 hex digits' => sub {
    my $hex = 'abcdef0123456789abcdef01';
    my $id = stored($hex);
    is_deeply(find_image($id)->{userId}, { '$oid' => $hex }, 'an ObjectId');
    is(curl(as(uc $hex), $n->url("/api/$id"))->{status}, 200,
       'the same in capitals');
    my $upper = stored(uc $hex);
    is_deeply(find_image($upper)->{userId}, { '$oid' => $hex }, 'stored alike');
    for my $other ("${hex}0", substr($hex, 1), "$hex.", "0$hex", "ObjectId$hex",
                   'abcdef0123456789abcdef02', "$hex\@x")
    {
        is(curl(as($other), $n->url("/api/$id"))->{status}, 404,
           "$other is somebody else");
        is(scalar @{ curl(as($other), $n->url('/api/user'))->{json}{images} }, 0,
           'and has none');
    }
    my $shared = stored('alice', 'sharedWith=' . uc $hex);
    is(curl(as($hex), $n->url("/api/$shared"))->{status}, 200,
       'shared with him, in capitals');
    is(curl(as('Alice'), $n->url("/api/$hers"))->{status}, 404,
       'other names are told apart by case');
};


subtest 'private as absent, byte by byte' => sub {
    my $none = 'f' x 24;
    my @who = ([], ['X-As: mallory']);
    my @headers = (
        [], ['Range: bytes=0-1'], ['If-None-Match: *'], ['If-None-Match: "x"'],
        ['If-Match: *'], ['If-Match: "0-0"'],
        ['If-Modified-Since: Sat, 21 Nov 2099 00:00:00 GMT'],
        ['If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT'],
        ['If-Range: "x"', 'Range: bytes=0-'], ['Accept: image/png'],
        ['Accept: text/html'], ['Origin: https://app.example'],
        ['Origin: http://evil'], ['Accept-Encoding: gzip'], ['TE: trailers'],
    );
    my @paths = map { ["/api/%s$_"] } '', '/view', '/download', '/delete',
                                      '/complete', '/view?variant=x',
                                      '/download?download=1';
    push @paths, ['/r/%s'], ['/guarded/%s'], ['/r/%s?download=1'];

    my $wrong = 0;
    for my $path (map { $_->[0] } @paths) {
        for my $method (qw(GET HEAD OPTIONS POST PUT DELETE PATCH)) {
            for my $who (@who) {
                for my $headers (@headers) {
                    my @h = (@$who, @$headers,
                             $method =~ /\A(?:POST|PUT|PATCH)\z/
                             ? 'Content-Length: 0' : ());
                    my ($one, $two) = map {
                        my $r = $kept->ask($method, sprintf($path, $_), @h);
                        bare($r) =~ s/\Q$_\E/ID/gr;
                    } $hers, $none;
                    next if $one eq $two && $one !~ m{\AHTTP/1\.1 [1235]};
                    next if $one eq $two && $method eq 'OPTIONS';
                    $wrong++;
                    diag("$method $path @h\n$one\n$two") if $wrong < 4;
                }
            }
        }
    }
    is($wrong, 0, 'HTTP/1.1: all ways to ask');

    for my $path ('/api/%s', '/api/%s/view', '/r/%s', '/guarded/%s') {
        for my $method (qw(GET HEAD DELETE OPTIONS)) {
            my ($one, $two) = map {
                my $r = curl('--http2-prior-knowledge', '-X', $method,
                             ($method eq 'HEAD' ? '-I' : ()), as('mallory'),
                             "http://127.0.0.1:$h2" . sprintf($path, $_));
                delete $r->{headers}{date};
                delete $r->{json}{requestId} if $r->{json};
                JSON::PP->new->canonical->encode(
                    [@{$r}{qw(status headers json)}]);
            } $hers, $none;
            is($one, $two, "HTTP/2: $method $path");
        }
    }
};


subtest 'cross-site: what a page of another origin can send' => sub {
    my @simple = (['text/plain', '{"action":"delete","ids":["x"]}', '/api/bulk'],
                  ['application/x-www-form-urlencoded', 'a=b', '/api/bulk'],
                  ['application/json', '{"action":"delete","ids":["x"]}',
                   '/api/bulk'],
                  ['multipart/form-data; boundary=b', '--b--', '/api/upload'],
                  ['text/plain', '', "/api/$hers/delete"],
                  ['image/png', $png, '/api/upload']);
    for my $case (@simple) {
        my ($type, $body, $path) = @$case;
        for my $from ('Origin: https://evil.example', 'Origin: null',
                      'Sec-Fetch-Site: cross-site')
        {
            my $r = $kept->ask('POST', $path, 'X-As: alice', $from,
                               "Content-Type: $type",
                               $body eq '' ? 'Content-Length: 0' : \$body);
            is($r->{status}, 403, "$path, $type, $from");
            unlike($r->{head}, qr/^Access-Control-Allow-Origin/mi,
                   'and the page does not read that');
        }
    }
    is(find_image($hers)->{status}, 'ready', 'nothing was done');

    # an expression that backtracks is given up, the origin is not listed
    my $began = Time::HiRes::time();
    my $evil_origin = 'Origin: https://' . 'a' x 60 . '.long.examplf';
    for (1 .. 20) {
        my $r = $kept->ask('GET', '/api/usage', 'X-As: alice', $evil_origin);
        is($r->{status}, 200, 'reading goes on');
        unlike($r->{head}, qr/^Access-Control-Allow-Origin/mi, 'unlisted');
    }
    cmp_ok(Time::HiRes::time() - $began, '<', 3, 'twenty, and soon');
    my $r = $kept->ask('POST', '/api/bulk', 'X-As: alice', $evil_origin,
                       'Content-Type: application/json', \'{}');
    is($r->{status}, 403, 'changing is refused');
    $r = $kept->ask('GET', '/api/usage', 'X-As: alice',
                    'Origin: https://ab.long.example');
    like($r->{head}, qr/^Access-Control-Allow-Origin: /mi, 'a good one is');
};


subtest 'If-Match, ranges and numbers that are odd' => sub {
    my $id = stored('alice', 'filename=etag.png');
    my $before = find_image($id);
    for my $etag ('"x"', '', '"', 'W/"1-1"', '"ffffffffffffffffffffffff-1"', '"-1-1"',
                  '"0-0", "1-1"', "\"\xff\"", '{"$ne":1}', '"' . 'a' x 3000 . '"')
    {
        my $r = $kept->ask('PATCH', "/api/$id", 'X-As: alice',
                           'Content-Type: application/json',
                           "If-Match: $etag", \'{"tags":["changed"]}');
        like($r->{status}, qr/\A4(?:00|12)\z/, "If-Match: $etag")
            or diag $r->{body};
    }
    my $after = find_image($id);
    is_deeply($after, $before, 'nothing changed');
};


subtest 'what is stored can\'t be a page' => sub {
    my %polyglots = (
        'HTML' => '<html><script>alert(1)</script>',
        'SVG' => '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
        'SVG with a declaration' => '<?xml version="1.0"?><svg/>',
        'PDF' => '%PDF-1.4',
        'HTML behind a PNG' => "$png<script>alert(1)</script>",
        'PNG behind HTML' => "<script>alert(1)</script>$png",
        'ZIP behind a PNG' => $png . "PK\5\6" . "\0" x 18,
        'HTML behind a JPEG' => jpeg(1000) . '<script>alert(1)</script>',
        'GIF that is a script' => 'GIF89a=1;alert(1)//',
    );
    for my $what (sort keys %polyglots) {
        my $body = temp_file($polyglots{$what});
        for my $type ('image/png', 'image/svg+xml', 'application/octet-stream') {
            my $r = curl('-T', $body, as('alice'), '-H', "Content-Type: $type",
                         $n->url('/api/upload?filename=a.html'));
            like($r->{status}, qr/\A4(?:13|15|22)\z/, "$what as $type")
                or diag $r->{body};
        }
    }
    my $r = curl('-T', $file, as('alice'), '-H', 'Content-Type: text/html',
                 $n->url('/disk/upload?filename=a.html'));
    is($r->{status}, 415, 'text/html is refused');
    $r = curl('-T', $file, as('alice'), '-H', 'Content-Type: image/svg+xml',
              $n->url('/disk/upload?filename=a.html'));
    is($r->{status}, 201, 'a PNG that calls itself SVG');
    my $id = $r->{json}{images}[0]{id};
    $r = curl('-L', as('alice'), $n->url("/disk/$id/view"));
    is($r->{headers}{'content-type'}, 'image/png', 'is given out as PNG');
    is($r->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
    like(find_image($id)->{r2Key}, qr/\.png\z/, 'and ends as one');
};


subtest 'after withdrawal' => sub {
    my $id = stored('alice', 'sharedWith=bob&filename=w.png');
    my $r = curl(as('bob'), $n->url("/api/$id/view"));
    my $url = $r->{headers}{location};
    is($r->{status}, 302, 'bob may');
    is(curl(as('alice'), '-X', 'PATCH', @json, '-d', '{"sharedWith":[]}',
            $n->url("/api/$id"))->{status}, 200, 'withdrawn');
    is(curl(as('bob'), $n->url("/api/$id/view"))->{status}, 404,
       'no further redirect');
    is(curl($url)->{status}, 200, 'but the URL he has lives to its end');
    like($url, qr/X-Amz-Expires=3900\b/, 'that is expiry + window');
    is(curl(as('alice'), '-X', 'DELETE', $n->url("/api/$id"))->{status}, 200,
       'deleted');
    ok((wait_for { curl($url)->{status} == 404 }), 'a delete ends it');
};


subtest 'documents that a stranger wrote' => sub {
    my $crlf = "a\r\nX-Evil: yes\r\n\r\n<b>";
    my %odd = (
        name => { originalName => $crlf }, key => { r2Key => "x/$crlf.png" },
        type => { contentType => "text/html\r\nX-Evil: yes" },
        storage => { storage => $crlf }, filename => { filename => $crlf },
        reason => { blocked => { at => mongo_now(-1), reason => $crlf } },
        nul => { r2Key => "a\0b" }, from => { metadata => {
            uploadedFrom => $crlf, tags => [$crlf, 5, {}] } },
        dots => { r2Key => '../../etc/passwd', storage => 'disk' },
        root => { r2Key => '/etc/passwd', storage => 'disk' },
        sums => { checksums => { md5 => $crlf, sha256 => 5 } },
        owner => { userId => { '$gt' => '' } }, access => { access => 5 },
    );
    for my $what (sort keys %odd) {
        my $doc = image_doc(public => 1, %{ $odd{$what} });
        insert_images($doc);
        my $id = $doc->{_id}{'$oid'};
        for my $path ("/api/$id", "/api/$id/view", "/api/$id/download", "/r/$id",
                      "/guarded/$id")
        {
            my $r = curl(as('alice'), $n->url($path));
            is($r->{exit}, 0, "$what: $path: an answer");
            is($r->{headers}{'x-evil'}, undef, 'no header of it');
            unlike(($r->{headers}{location} // '') . $r->{body},
                   $odd{$what}{storage} && $odd{$what}{r2Key} ? qr/passwd/
                   : qr/root:/, 'no way out');
        }
    }
};


subtest 'nothing is left in the logs' => sub {
    my @odd = grep { !m{\A\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[} || m{\A2000/} }
              split /\n/, $n->error_log;
    is_deeply(\@odd, [], 'every line of the error log is one of nginx');
    # of "Transfer-Encoding" nginx itself shows what was sent
    @odd = grep { /[\x00-\x08\x0b-\x1f\x7f]/ && !/ client sent unknown "Tr/ }
           split /\n/, $n->error_log;
    is_deeply(\@odd, [], 'no control character in it');
    @odd = grep { !/\A127\.0\.0\.1 / } split /\n/, $n->access_log;
    is_deeply(\@odd, [], 'and of the access log');
    unlike($n->error_log . $n->access_log,
           qr/\Q$ENV{TEST_S3_SECRET}\E|X-Amz-Signature|0123456789abcdef0123456789abcdef/,
           'no secret, no signature');
};

subtest 'no secret at any level of the log' => sub {
    my %secret = (link => 'a-link-secret-of-0123456789-bytes',
                  token => 'a-token-of-0123456789');
    my $d = ImageVault::Nginx->new(
        name   => 'debug', level => 'debug',
        http   => ImageVault::Nginx::http_base()
                . ImageVault::Nginx::storage_s3()
                . ImageVault::Nginx::storage_s3(name => 'tok', credentials =>
                      "static $ENV{TEST_S3_ACCESS} $ENV{TEST_S3_SECRET} "
                      . $secret{token})
                . "image_vault_storage disk { type local; root $store; "
                . "url /files; secret $secret{link}; }\n",
        server => "image_vault_owner alice; image_vault_audit on;"
                . "location /api { image_vault_api s3; }"
                . "location /disk { image_vault_api disk; }"
                . "location /tok { image_vault_api tok; }"
                . "location /files/ { image_vault_files disk; alias $store/; }",
    )->start;
    for my $at (qw(/api /disk /tok)) {
        my @image = ('-H', 'Content-Type: image/png');
        my $r = curl('-T', $file, @image, $d->url("$at/upload"));
        my $id = $r->{json}{images} && $r->{json}{images}[0]
                 ? $r->{json}{images}[0]{id} : 'f' x 24;
        curl('-T', $file, @image, '-H', 'Transfer-Encoding: chunked',
             $d->url("$at/upload"));
        curl('-F', "f=\@$file", $d->url("$at/upload"));
        curl('-L', $d->url("$at/$id/download"));
        curl(@json, '-d', "{\"imageId\":\"$id\"}",
             $d->url("$at/presigned-url"));
        curl(@json, '-d', '{"originalName":"a.png","contentType":"image/png",'
             . '"size":9}', $d->url("$at/direct-upload"));
        curl('-X', 'PATCH', @json, '-d', '{"tags":["x"]}', $d->url("$at/$id"));
        curl('-X', 'DELETE', $d->url("$at/$id"));
    }
    my $log = $d->error_log;
    cmp_ok(length $log, '>', 50_000, 'much was logged');
    is(index($log, $_), -1, 'no secret') for values %secret,
                                             $ENV{TEST_S3_SECRET};
    # nginx itself shows the headers of answers, as Location
    my @ours = grep { /image_vault|storage "|metadata/ && /Signature=/i }
               split /\n/, $log;
    is_deeply(\@ours, [], 'and no signature in a line of ours');
    $d->done;
};


subtest 'no secret in what nginx -t says' => sub {
    my $bad = sub {
        my ($http, $what) = @_;
        my $c = ImageVault::Nginx->new(name => 'bad', http => $http);
        $c->write_conf;
        my ($rc, $out) = $c->command('-t');
        isnt($rc, 0, "$what: refused");
        unlike($out, qr/PaSs|WoRd99/, "$what: without the secret");
    };
    for my $uri ('user:PaSsWoRd99@host:port/db', 'user:PaSsWoRd99@/db',
                 'user:PaSsWoRd99%ZZ@host/db',
                 'user:PaSsWoRd99@host')
    {
        $bad->("image_vault_zone v:1m;\nimage_vault_mongodb 'mongodb://$uri';\n",
               $uri =~ s/PaSs.*WoRd99/.../r);
    }
    for my $line ('credentials static KEY PaSsWoRd99 token more;',
                  'credentials statik KEY PaSsWoRd99;',
                  'credentials env PaSsWoRd99;', 'secret PaSsWoRd99;',
                  'type local; root /tmp; url /f; secret PaSsWoRd99 b;')
    {
        $bad->(ImageVault::Nginx::http_base()
               . "image_vault_storage s { bucket b; region r; $line }\n",
               $line =~ s/PaSsWoRd99/.../r);
    }
};


subtest 'docs/SECURITY.md names tests that there are' => sub {
    (my $text = slurp('docs/SECURITY.md')) =~ s/\s+/ /g;
    my $count = 0;
    while ($text =~ m{`(t/[\w/-]+\.[tc])`(?: \(([^)]+)\))?}g) {
        my ($path, $names) = ($1, $2);
        ok(-f $path, $path) or next;
        my $source = slurp($path) =~ s/\\'/'/gr;
        for my $name (split /; /, $names // '') {
            $count++;
            like($source, qr/\Q$name\E/, "$path: $name");
        }
    }
    cmp_ok($count, '>', 40, 'many');
};

$n->done;
system 'rm', '-rf', $store;
done_testing();
