# CORS and the cross-site check: which origins are listed, what a preflight is
# told before anybody asks for a password, what an answer lets a page read, and
# which other site's request changes something.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $app = 'https://app.example.com';
my $port = free_port();
my $h2 = free_port();
my $store = "/tmp/iv-cors-store-$$";
mkdir $store or die "$store: $!";

my $users = temp_file("alice:{PLAIN}secret\n");
my $list = "$app https://*.pixelstream.app http://localhost:3000 "
         . '"~https://(a|b)\.regex\.test|https://c\.regex\.test"';

my $n = ImageVault::Nginx->new(
    name   => 'cors',
    port   => $port,
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
            . "image_vault_storage disk { type local; root $store; "
            . "url /files; secret a-secret-of-the-tests; }\n"
            . "limit_req_zone \$server_addr zone=slow:1m rate=1r/m;\n",
    server => <<"CONF");
    listen 127.0.0.1:$h2 http2;
    image_vault_owner alice;

    location /api {
        image_vault_api s3;
        image_vault_cors $list;

        location /api/upload { image_vault_cors off; }
    }
    location /plain { image_vault_api s3; image_vault_cors $list; }
    location /disk { image_vault_api disk; image_vault_cors $list; }
    location /off { image_vault_api s3; }
    location /named {
        image_vault_api s3;
        image_vault_cors $app http://localhost:3000 credentials;
        image_vault_cors_max_age 10m;
    }
    location /any {
        image_vault_api s3;
        image_vault_cors *;
        image_vault_cors_max_age 0;
    }
    location /up { image_vault_upload s3; image_vault_cors $app; }
    location /r/ { image_vault_redirect; image_vault_cors $app; }
    location /files/ {
        image_vault_files disk;
        alias $store/;
        image_vault_cors $app;

        location /files/proxied/ { proxy_pass http://127.0.0.1:$port/its/; }
    }
    location /its/ {
        add_header Access-Control-Allow-Origin *;
        add_header Access-Control-Allow-Credentials true;
        return 200 "x\n";
    }
    location /proxied {
        image_vault_api disk;
        image_vault_key proxied/\$image_vault_filename;
    }
    location /basic {
        image_vault_api s3;
        image_vault_cors $app credentials;
        auth_basic "images";
        auth_basic_user_file $users;
    }
    location /asked {
        image_vault_api s3;
        image_vault_cors $app;
        auth_request /nobody;
    }
    location = /nobody { internal; return 403; }
    location /denied { image_vault_api s3; image_vault_cors $app; deny all; }
    location /except {
        image_vault_api s3;
        image_vault_cors $app;
        limit_except GET { deny all; }
    }
    location /limited {
        image_vault_api s3;
        image_vault_cors $app;
        limit_req zone=slow;
    }
    location /small {
        client_max_body_size 1;
        image_vault_api s3;
        image_vault_cors $app;
    }
    location /json {
        image_vault_api s3;
        image_vault_cors $app;
        deny all;
        error_page 403 \@json;
    }
    location /page {
        image_vault_api s3;
        image_vault_cors $app;
        deny all;
        error_page 403 /403.html;
    }
    location /silent {
        image_vault_api s3;
        deny all;
        error_page 403 /403.html;
    }
    location /json-early {
        client_max_body_size 1;
        image_vault_api s3;
        image_vault_cors $app;
        error_page 413 = \@json;
    }
    location \@json { image_vault_error; image_vault_cors http://other.test; }
    location = /403.html { return 403 "no\n"; }
    location /elsewhere { return 200 "x\n"; }
CONF
$n->start;


# one request on a connection of its own: { status, head, body, h => { name =>
# [values] } }
sub request {
    my ($method, $path, @headers) = @_;

    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}",
                                       Timeout => 5) or die "connect: $!";
    print $socket join("\r\n", "$method $path HTTP/1.1", 'Host: vault',
                       'Connection: close', @headers) . "\r\n\r\n";
    my $all = do { local $/; <$socket> } // '';
    my ($head, $body) = split /\r\n\r\n/, $all, 2;
    my ($status) = ($head // '') =~ m{\AHTTP/1\.1 (\d+)}
        or die "no answer to $method $path\n";
    my %h;
    push @{ $h{lc $1} }, $2 while $head =~ /^([^:\r\n]+): ?([^\r\n]*)/mg;

    return { status => $status, head => $head, body => $body, h => \%h };
}


sub preflight {
    my ($path, $origin, @more) = @_;
    return request('OPTIONS', $path, "Origin: $origin",
                   'Access-Control-Request-Method: PUT', @more);
}


# all that CORS says, as one line to compare
sub said {
    my ($r) = @_;
    return join '; ', map { my $k = $_; map { "$k=$_" } @{ $r->{h}{$k} } }
        grep { /^access-control-/ } sort keys %{ $r->{h} };
}


sub allowed { return (request(@_)->{h}{'access-control-allow-origin'} // [])
                     ->[0] }

my $expose = 'access-control-expose-headers=ETag, Location, Retry-After';
my $headers = 'Content-Type, Content-Length, Authorization, Idempotency-Key, '
            . 'If-Match, Content-Digest, Repr-Digest';
my $absent = 'f' x 24;


subtest 'which origins are listed' => sub {
    for my $origin ($app, 'https://www.pixelstream.app',
                    'https://a-1.pixelstream.app', 'http://localhost:3000',
                    'https://a.regex.test', 'https://b.regex.test',
                    'https://c.regex.test', 'HTTPS://App.Example.com',
                    'https://app.example.com:443')
    {
        my $r = request('GET', "/api/$absent", "Origin: $origin");
        is($r->{status}, 404, "$origin: the answer as ever");
        is(said($r), "access-control-allow-origin=$origin; $expose",
           "$origin: may read it");
        is($r->{h}{vary}[0], 'Accept, Origin', "$origin: varies");

        $r = preflight("/plain/upload", $origin);
        is($r->{status}, 204, "$origin: preflight");
        is($r->{h}{'access-control-allow-origin'}[0], $origin,
           "$origin: its preflight says so");
    }

    for my $origin ('null', 'NULL', '', '*', 'https://evil.test',
                    'https://example.com', 'http://app.example.com',
                    'https://app.example.com:8443',
                    'https://app.example.com.evil.test',
                    'https://xapp.example.com', 'https://app.example.com/',
                    'https://evil.test/https://app.example.com',
                    'https://app.example.com@evil.test',
                    "$app $app", "$app, $app", "$app,https://evil.test",
                    'app.example.com', '//app.example.com',
                    'https://pixelstream.app', 'https://.pixelstream.app',
                    'https://a.b.pixelstream.app',
                    'https://evilpixelstream.app',
                    'https://*.pixelstream.app',
                    'https://a_b.pixelstream.app',
                    'https://x.pixelstream.app.evil.test',
                    'https://x.pixelstream.app:444',
                    'http://localhost', 'http://localhost:30000',
                    'https://a.regex.test.evil.test',
                    'https://evil.test/https://c.regex.test',
                    'https://xc.regex.test', 'https://aXregex.test',
                    'https://c.regex.test:1', "https://\xc3\xbc.pixelstream.app",
                    'https://' . 'a' x 64 . '.pixelstream.app',
                    'https://' . 'a' x 3000 . '.pixelstream.app')
    {
        my $what = length $origin > 60 ? substr($origin, 0, 60) . '...'
                                       : $origin;
        my $r = request('GET', "/api/$absent", "Origin: $origin");
        is($r->{status}, 404, "'$what': the answer as ever");
        is(said($r), '', "'$what': may not read it");
        is($r->{h}{vary}[0], 'Accept, Origin', "'$what': varies");

        $r = preflight("/plain/upload", $origin);
        is($r->{status}, 403, "'$what': no preflight");
        is(said($r), '', "'$what': which says nothing");
        is(json($r->{body})->{error}{code}, 'forbidden', "'$what': as JSON");
    }

    my $r = request('GET', "/api/$absent");
    is(said($r), '', 'no Origin: nothing is said');

    for (['the same', $app, $app], ['the first is listed', $app, 'http://e'],
         ['the last is listed', 'http://e', $app])
    {
        my ($what, @two) = @$_;
        my @lines = map { "Origin: $_" } @two;
        is(said(request('GET', "/api/$absent", @lines)), '',
           "two, $what: may not read");
        $r = request('OPTIONS', '/plain/upload', @lines,
                     'Access-Control-Request-Method: PUT');
        is($r->{status}, 403, "two, $what: no preflight");
        is(said($r), '', "two, $what: which says nothing");
    }
};


subtest 'preflights' => sub {
    my $r = preflight('/plain/upload', $app);
    is($r->{status}, 204, '204');
    is($r->{body}, '', 'no body');
    ok(!$r->{h}{'content-type'}, 'no type');
    is(said($r),
       "access-control-allow-headers=$headers; "
     . 'access-control-allow-methods=POST, PUT; '
     . "access-control-allow-origin=$app; access-control-max-age=3600",
       'what it says');
    is(join(', ', @{ $r->{h}{vary} }), 'Access-Control-Request-Method, '
     . 'Access-Control-Request-Headers, Accept, Origin', 'what it varies by');
    is($r->{h}{'x-content-type-options'}[0], 'nosniff', 'nosniff');

    $r = preflight('/plain/upload', $app, 'Access-Control-Request-Headers: '
        . 'content-type,x-amz-acl,x-evil, X-Amz-Meta-A, x-amz-b c');
    is($r->{h}{'access-control-allow-headers'}[0],
       "$headers, x-amz-acl, X-Amz-Meta-A", 'headers of S3');

    $r = preflight('/named/upload', $app);
    is($r->{h}{'access-control-allow-credentials'}[0], 'true', 'credentials');
    is($r->{h}{'access-control-max-age'}[0], 600, 'max_age');
    is(preflight('/any/upload', $app)->{h}{'access-control-max-age'}[0], 0,
       'max_age 0');

    is(preflight('/off/upload', $app)->{status}, 403, 'without image_vault_cors');
    is(said(preflight('/off/upload', $app)), '', 'which says nothing');
    is(preflight('/api/upload', $app)->{status}, 403, 'off in a nested location');
    is(preflight('/elsewhere', $app)->{status}, 200, 'other locations');

    # what is no preflight is answered as any other request
    is(request('OPTIONS', "/plain/$absent", "Origin: $app")->{status}, 405,
       'without Access-Control-Request-Method');
    is(request('OPTIONS', "/plain/$absent",
               'Access-Control-Request-Method: GET')->{status}, 405,
       'without Origin');

    # a body and a 100-continue don't harm
    $r = request('OPTIONS', '/plain/upload', "Origin: $app",
                 'Access-Control-Request-Method: PUT', 'Content-Length: 5',
                 'Expect: 100-continue');
    is($r->{status}, 204, 'with a body that is not sent');
};


subtest 'methods of each route' => sub {
    my $id = new_id();
    my %want = (
        '/plain/upload'        => 'POST, PUT',
        '/plain/user'          => 'GET, HEAD',
        '/plain/user?limit=5'  => 'GET, HEAD',
        '/plain/usage'         => 'GET, HEAD',
        '/plain/presigned-url' => 'POST',
        '/plain/bulk'          => 'POST',
        '/plain/direct-upload' => 'POST',
        "/plain/$id"           => 'GET, HEAD, PATCH, DELETE',
        "/plain/$id/view"      => 'GET, HEAD',
        "/plain/$id/download"  => 'GET, HEAD',
        "/plain/$id/complete"  => 'POST',
        "/plain/$id/delete"    => 'POST',
        '/plain/admin/stats'   => 'GET, HEAD',
        '/plain/admin/images'  => 'GET, HEAD',
        "/plain/admin/images/$id/moderate" => 'POST',
        '/plain/admin/users'   => 'GET, HEAD',
        '/plain/admin/users/alice' => 'GET, HEAD, PATCH',
        '/plain'               => 'GET, HEAD, POST, PUT, PATCH, DELETE',
        '/plain/'              => 'GET, HEAD, POST, PUT, PATCH, DELETE',
        "/plain/$id/other"     => 'GET, HEAD, POST, PUT, PATCH, DELETE',
        "/plain/$id/view/x"    => 'GET, HEAD, POST, PUT, PATCH, DELETE',
        '/up/anything/at/all'  => 'POST, PUT',
        "/r/$id"               => 'GET, HEAD',
        '/files/images/x.png'  => 'GET, HEAD',
    );
    for my $path (sort keys %want) {
        for my $method (qw(GET HEAD POST PUT PATCH DELETE)) {
            my $r = request('OPTIONS', $path, "Origin: $app",
                            "Access-Control-Request-Method: $method");
            is($r->{status}, 204, "$path: $method");
            is($r->{h}{'access-control-allow-methods'}[0], $want{$path},
               "$path: what it knows");
        }
    }
};


subtest 'before the access phase' => sub {
    for my $at (qw(basic asked denied except json page)) {
        my $r = preflight("/$at/upload", $app);
        is($r->{status}, 204, "/$at: preflight");
        is($r->{h}{'access-control-allow-origin'}[0], $app, "/$at: allows");
        ok(!$r->{h}{'www-authenticate'}, "/$at: asks for no password");
        is(preflight("/$at/upload", 'https://evil.test')->{status}, 403,
           "/$at: another site's");
    }
    is(preflight('/limited/upload', $app)->{status}, 204, "limited, $_")
        for 1 .. 5;
};


subtest "nginx's own errors" => sub {
    my @o = ("Origin: $app");
    my @bad = ('Origin: https://evil.test');

    my $both = sub {
        my ($want, $what, $extra, $method, $path, @more) = @_;
        for (['nginx', @o], ['unlisted', @bad]) {
            my ($who, @origin) = @$_;
            my $r = request($method, $path, @origin, @more);
            is($r->{status}, $want, "$what: $want ($who)") or diag $r->{head};
            is(said($r), $who eq 'nginx'
               ? join('; ', $extra || (), "access-control-allow-origin=$app",
                      $expose)
               : '', "$what: CORS ($who)");
            ok((grep { /Origin/ } @{ $r->{h}{vary} }), "$what: varies ($who)");
        }
    };
    $both->(401, 'auth_basic', 'access-control-allow-credentials=true', 'GET',
            "/basic/$absent");
    $both->(403, 'auth_request', '', 'GET', "/asked/$absent");
    $both->(403, 'deny', '', 'GET', "/denied/$absent");
    $both->(403, 'limit_except', '', 'DELETE', "/except/$absent");
    $both->(413, 'client_max_body_size', '', 'POST', '/small/upload',
            'Content-Length: 5');
    $both->(404, 'no such image', '', 'GET', "/plain/$absent");
    $both->(404, 'no such path', '', 'GET', '/plain/x/y/z');
    $both->(403, 'a file without a link', '', 'GET', '/files/x.png');
    request('GET', "/limited/$absent", @o);
    $both->(503, 'limit_req', '', 'GET', "/limited/$absent");

    # the page of an error speaks for the location that failed
    $both->(403, 'image_vault_error', '', 'GET', "/json/$absent");
    is(json(request('GET', "/json/$absent", @o)->{body})->{error}{code},
       'forbidden', 'which is our JSON');
    # what is refused before any phase does not know it
    my $r = request('POST', '/json-early/upload', 'Content-Length: 5',
                    'Origin: http://other.test');
    is($r->{status}, 413, 'image_vault_error, early');
    is(said($r), "access-control-allow-origin=http://other.test; $expose",
       'its own list');
    $both->(403, 'a page elsewhere', '', 'GET', "/page/$absent");
    is(said(request('GET', "/silent/$absent", @o)), '',
       'a page elsewhere, without CORS');
    is(said(request('GET', '/403.html', @o)), '', 'the page itself');
    is(said(request('GET', '/elsewhere', @o)), '', 'other locations');
};


subtest 'one voice' => sub {
    my $r = curl('-T', temp_file(png(500)), $n->url('/proxied/upload'));
    is($r->{status}, 201, 'stored') or diag $r->{body};
    (my $link = $r->{json}{url}) =~ s{^http://[^/]+}{};

    $r = request('GET', $link, "Origin: $app");
    is($r->{body}, "x\n", 'an upstream answers behind the gate');
    is(said($r), "access-control-allow-origin=$app; $expose",
       '... and does not say who may read it');
    is(said(request('GET', $link, 'Origin: https://evil.test')), '',
       '... nor for other sites');
};


subtest 'credentials and any' => sub {
    is(said(request('GET', "/named/$absent", "Origin: $app")),
       "access-control-allow-credentials=true; "
     . "access-control-allow-origin=$app; $expose", 'credentials');
    is(said(request('GET', "/named/$absent", 'Origin: https://evil.test')), '',
       'for no other site');

    for my $origin ($app, 'https://evil.test', 'null', 'nonsense') {
        is(said(request('GET', "/any/$absent", "Origin: $origin")),
           "access-control-allow-origin=*; $expose", "any: $origin");
        my $r = preflight('/any/upload', $origin);
        is($r->{status}, 204, "any: preflight of $origin");
        is($r->{h}{'access-control-allow-origin'}[0], '*', 'which says so');
        ok(!$r->{h}{'access-control-allow-credentials'}, 'no credentials');
    }
};


subtest 'cross-site requests' => sub {
    # an empty upload passes the check if it is called empty
    my $to = sub {
        my ($want, $path, @headers) = @_;
        my $r = request('POST', "/$path", 'Content-Length: 0',
                        'Content-Type: image/png', @headers);
        is($r->{status}, $want, "/$path @headers") or diag $r->{body};
        is(json($r->{body})->{error}{code}, 'forbidden', '... forbidden')
            if $want == 403;
    };
    my @cross = 'Sec-Fetch-Site: cross-site';

    # path: listed origin, another one, null, none
    my %table = (
        'plain/upload' => [400, 403, 403, 400],
        'named/upload' => [400, 403, 403, 400],
        'up'           => [400, 403, 403, 400],
        'api/upload'   => [403, 403, 403, 400],
        'off/upload'   => [403, 403, 403, 400],
        # "*" lets pages read: a form of any site comes with cookies
        'any/upload'   => [403, 403, 403, 400],
    );
    for my $path (sort keys %table) {
        my ($listed, $other, $null, $none) = @{ $table{$path} };
        $to->($listed, $path, "Origin: $app");
        $to->($listed, $path, "Origin: $app", @cross);
        $to->($other, $path, 'Origin: https://evil.test');
        $to->($other, $path, 'Origin: https://evil.test', @cross);
        $to->($other, $path, 'Origin: https://evil.test',
              'Sec-Fetch-Site: same-origin');
        $to->($null, $path, 'Origin: null');
        $to->(403, $path, "Origin: $app", "Origin: $app");
        $to->(403, $path, "Origin: $app", 'Origin: https://evil.test');
        $to->($none, $path);
        $to->(400, $path, 'Origin: http://vault');
        $to->(403, $path, @cross);
    }
    $to->(400, 'plain/upload', "Origin: $_")
        for 'https://x.pixelstream.app', 'https://b.regex.test';
    $to->(403, 'plain/upload', "Origin: $_")
        for 'https://a.b.pixelstream.app', 'https://b.regex.test.evil.test';

    for my $method (qw(PUT PATCH DELETE)) {
        my $r = request($method, "/plain/$absent", "Origin: $app");
        isnt($r->{status}, 403, "$method of a listed origin");
        $r = request($method, "/plain/$absent", 'Origin: https://evil.test');
        is($r->{status}, 403, "$method of another");
        is(said($r), '', 'which it may not read');
    }
};


subtest 'an upload and its image, from another origin' => sub {
    my $png = png(2000);
    my @o = ('-H', "Origin: $app", '-H', 'Sec-Fetch-Site: cross-site');
    my $file = temp_file($png);

    my $r = curl('-T', $file, @o, $n->url('/disk/upload'));
    is($r->{status}, 201, 'stored') or diag $r->{body};
    is($r->{headers}{'access-control-allow-origin'}, $app, 'may be read');
    is($r->{headers}{'access-control-expose-headers'},
       'ETag, Location, Retry-After', 'with its headers');
    my ($image) = @{ $r->{json}{images} };

    $r = curl(@o, $n->url("/disk/$image->{id}"));
    is($r->{headers}{'access-control-allow-origin'}, $app, 'its JSON');
    my $etag = $r->{headers}{etag};
    $r = curl(@o, '-H', "If-None-Match: $etag",
              $n->url("/disk/$image->{id}"));
    is($r->{status}, 304, 'not modified');
    is($r->{headers}{'access-control-allow-origin'}, $app, 'may be read too');

    for my $at ("/disk/$image->{id}/view", "/r/$image->{id}") {
        $r = curl(@o, $n->url($at));
        is($r->{status}, 302, "$at: a redirect");
        is($r->{headers}{'access-control-allow-origin'}, $app, 'with CORS');
    }

    $r = curl(@o, $image->{url});
    is($r->{status}, 200, 'the file');
    is($r->{body}, $png, 'its bytes');
    is($r->{headers}{'access-control-allow-origin'}, $app, 'may be read');
    $r = curl(@o, '-r', '0-9', $image->{url});
    is($r->{status}, 206, 'a range');
    is($r->{headers}{'access-control-allow-origin'}, $app, 'may be read');
    $r = curl('-H', 'Origin: https://evil.test', $image->{url});
    is($r->{status}, 200, 'a link is good for who has it');
    ok(!$r->{headers}{'access-control-allow-origin'},
       '... but no page of another site reads it');
};


subtest 'HTTP/2' => sub {
    my $at = "http://127.0.0.1:$h2";
    my @h2 = ('--http2-prior-knowledge', '-H', "Origin: $app");

    my $r = curl(@h2, '-X', 'OPTIONS', '-H',
                 'Access-Control-Request-Method: PUT', "$at/basic/upload");
    is($r->{status}, 204, 'preflight');
    is($r->{body}, '', 'no body');
    is($r->{headers}{'access-control-allow-origin'}, $app, 'allowed');
    is($r->{headers}{'access-control-allow-methods'}, 'POST, PUT', 'methods');

    $r = curl(@h2, '-X', 'OPTIONS', '--data-binary', '@' . temp_file('x' x 9e4),
              '-H', 'Access-Control-Request-Method: PUT', "$at/basic/upload");
    is($r->{status}, 204, 'preflight with a body');

    $r = curl('--http2-prior-knowledge', '-H', 'Origin: https://evil.test',
              '-X', 'OPTIONS', '-H', 'Access-Control-Request-Method: PUT',
              "$at/basic/upload");
    is($r->{status}, 403, "another site's preflight");
    ok(!$r->{headers}{'access-control-allow-origin'}, 'says nothing');

    $r = curl(@h2, "$at/basic/$absent");
    is($r->{status}, 401, "nginx's own error");
    is($r->{headers}{'access-control-allow-origin'}, $app, 'may be read');
};


subtest 'logs' => sub {
    my $log = $n->error_log;
    like($log, qr/request refused: forbidden, a preflight of another site/,
         'a refused preflight is logged');
    unlike($log, qr/\[(?:error|warn)\].*preflight/, '... as the client\'s fault');
};

$n->done;
system 'rm', '-rf', $store;
done_testing();
