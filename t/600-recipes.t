# The recipes of docs/GUIDE.md, as they stand there, and the traps that it
# names.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Guide;
use ImageVault::Peers;

my $png = temp_file(png(300));
my @big = ('-T', temp_file(png(2_000_000)), '-H', 'Content-Type: image/png');
my @put = ('-T', $png, '-H', 'Content-Type: image/png');

# The application: sessions by their cookie.  It believes a header that a proxy
# hands on, as some do, and has an endpoint like NextAuth's.
my $people = <<'EOF_HTTP';
map $cookie_session $app_user {
    default $http_x_user_id;
    a1      alice;
    b1      bob;
    root1   ruth;
    ADMIN1  adam;
}
map $cookie_session $app_role {
    default $http_x_user_role;
    a1      user;
    root1   admin;
    ADMIN1  ADMIN;
}
map $cookie_session $app_json {
    default '{}';
    a1      '{"user":{"id":"alice"}}';
}
EOF_HTTP

my $app = <<'EOF_APP';
location = /api/session {
    add_header X-User-Id $app_user;
    add_header X-User-Role $app_role;
    return 204;
}
location = /api/auth/session {
    default_type application/json;
    return 200 $app_json;
}
location = /api/closed { return 403; }
location = /api/broken { return 502; }
EOF_APP

my ($alice, $bob, $public) = map { new_id() } 1 .. 3;
insert_images(image_doc(id => $alice, storage => 'pictures'),
              image_doc(id => $bob, storage => 'pictures', owner => 'bob'),
              image_doc(id => $public, storage => 'pictures', owner => 'bob',
                        public => 1));


sub guide {
    my (%a) = @_;
    return ImageVault::Guide->new(http => $people, app => $app, %a);
}

sub cookie { return ('-H', "Cookie: session=$_[0]") }

# an answer in the shape of the module's own errors
sub refused {
    my ($r, $status, $code, $what) = @_;

    is($r->{status}, $status, "$what: $status") or diag $r->{body};
    is($r->{json}{error}{code}, $code, "$what: $code");
}

sub owner_of {
    my ($r) = @_;
    my $doc = find_image($r->{json}{images}[0]{id} // '0' x 24) or return;
    return $doc->{userId};
}

sub passwords {
    my ($n, %of) = @_;
    my $lines = '';
    for my $name (sort keys %of) {
        my $hash = `openssl passwd -6 $of{$name}`;
        $lines .= "$name:$hash";
    }
    $n->file('htpasswd', $lines);
    return $n;
}


subtest 'every snippet has a name, and a test that runs it' => sub {
    my @langs = ImageVault::Guide::unmarked();
    is(scalar(grep { $_ eq 'nginx' || $_ eq 'js' } @langs), 0,
       'no nginx or js without a name');
    my $tests = join '', map { slurp($_) } glob 't/6[01]*.t';
    for my $name (ImageVault::Guide::recipes()) {
        next if $name eq 'frame';
        ok($tests =~ /(?:recipe => |files\}? =>? \[|recipe\(|node\()'\Q$name\E'/, $name);
    }
};


subtest 'auth-request: the application says who it is' => sub {
    my $n = guide(recipe => 'auth-request')->start;

    my $r = $n->get('/images/upload', @put, cookie('a1'));
    is($r->{status}, 201, 'a session uploads') or diag $r->{body};
    is(owner_of($r), 'alice', 'for the owner that the application named');
    like($r->{json}{images}[0]{href} // '', qr{^/images/}, 'with its path');

    refused($n->get('/images/upload', @put), 401, 'unauthenticated',
            'no session');
    refused($n->get('/images/upload', @put, cookie('guess')), 401,
            'unauthenticated', 'a session that does not exist');
    refused($n->get('/images/upload', @put, '-H', 'X-User-Id: alice'), 401,
            'unauthenticated', 'a forged header');
    $r = $n->get('/images/upload', @put, cookie('b1'), '-H',
                 'X-User-Id: alice');
    is(owner_of($r), 'bob', 'a forged header beside a session: the session');

    is($n->get("/images/$alice", cookie('a1'))->{status}, 200,
       'the owner reads');
    refused($n->get("/images/$alice", cookie('b1')), 404, 'not_found',
            'another one does not');
    is($n->get("/images/$public")->{status}, 200,
       'a stranger reads what is public');
    is($n->get('/_session')->{status}, 404, 'the endpoint is internal');
    is($n->get('/images/upload', @big, cookie('a1'))->{status}, 201,
       'more than nginx\'s 1 MB');
};


subtest 'auth-request: endpoints that answer 200 to everybody' => sub {
    my $n = guide(recipe => 'auth-request',
                  replace => ['/api/session' => '/api/auth/session']);
    $n->{inside} = "root $n->{dir}/html;"
                 . ' location /pages/ { auth_request /_session; }';
    $n->start;
    mkdir "$n->{dir}/html/pages" or die;
    open my $fh, '>', "$n->{dir}/html/pages/private.txt" or die;
    close $fh;

    # the trap: auth_request by itself
    is($n->get('/pages/private.txt')->{status}, 200,
       'auth_request alone lets a stranger pass');

    refused($n->get('/images/upload', @put), 401, 'unauthenticated',
            'the recipe does not: {}');
    refused($n->get('/images/upload', @put, cookie('a1')), 401,
            'unauthenticated', 'nor a session that is in JSON only');
    refused($n->get("/images/$alice"), 404, 'not_found', 'a private image');
};


subtest 'auth-request: without its own limit of bodies' => sub {
    my $n = guide(recipe => 'auth-request',
                  replace => ['client_max_body_size    0;' => ''])->start;
    refused($n->get('/images/upload', @big, cookie('a1')), 500, 'internal',
            'more than nginx\'s 1 MB');
};


subtest 'auth-request: an application that refuses, or is broken' => sub {
    my $n = guide(recipe => 'auth-request',
                  replace => ['/api/session' => '/api/closed'])->start;
    refused($n->get("/images/$public"), 403, 'forbidden', '403');
    refused($n->get('/images/upload', @put, cookie('a1')), 403, 'forbidden',
            '403, an upload');

    $n = $n->again(replace => ['/api/session' => '/api/broken']);
    refused($n->get('/images/upload', @put, cookie('a1')), 500, 'internal',
            '502');
};


subtest 'basic: passwords' => sub {
    my $n = guide(recipe => 'basic');
    passwords($n, alice => 'right', 'odd name' => 'right')->start;

    my $r = $n->get('/images/upload', @put, '-u', 'alice:right');
    is($r->{status}, 201, 'the right one') or diag $r->{body};
    is(owner_of($r), 'alice', 'its owner');
    for my $who ('alice:wrong', 'alice:', 'nobody:right') {
        $r = $n->get('/images/upload', @put, '-u', $who);
        refused($r, 401, 'unauthenticated', $who);
        is($r->{headers}{'www-authenticate'}, 'Basic realm="pictures"',
           'it says what it wants');
    }
    refused($n->get("/images/$public"), 401, 'unauthenticated',
            'without one, a public image');
    refused($n->get('/images/upload', @put, '-u', 'odd name:right'), 401,
            'unauthenticated', 'a name that is no owner');

    # the trap: the name without the password
    $n = $n->again(inside => 'location /open/ { image_vault_api pictures;'
                           . ' image_vault_owner $remote_user; }'
                           . ' location /any/ { image_vault_api pictures;'
                           . ' image_vault_owner $remote_user;'
                           . ' satisfy any; allow 127.0.0.1; deny all;'
                           . ' auth_basic x; auth_basic_user_file'
                           . " $n->{dir}/etc/htpasswd; }");
    is($n->get("/open/$alice", '-u', 'alice:wrong')->{status}, 200,
       '$remote_user without auth_basic is anybody');
    is($n->get("/any/$alice", '-u', 'alice:wrong')->{status}, 200,
       'and so it is with satisfy any');
};


# a client certificate: NAME.key and NAME.pem, signed by CA
sub client {
    my ($n, $ca, $name, $subject, $days) = @_;

    $n->openssl(qw(req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
                   -nodes -subj), $subject, '-keyout', "$name.key", '-out',
                "$name.csr");
    $n->openssl(qw(x509 -req -CAcreateserial -in), "$name.csr", '-CA',
                "$ca.pem", '-CAkey', "$ca.key", '-days', $days // 2, '-out',
                "$name.pem");
}

sub shown {
    my ($n, $name) = @_;
    return ('--cert', "$n->{dir}/etc/$name.pem", '--key',
            "$n->{dir}/etc/$name.key");
}


subtest 'mtls: client certificates' => sub {
    my $n = guide(recipe => 'mtls', allow => qr/ignoring stale global SSL/);
    $n->certificate('clients-ca', '/CN=the clients');
    $n->certificate('other-ca', '/CN=the clients');
    client($n, 'clients-ca', 'alice', '/O=cameras/CN=alice');
    client($n, 'clients-ca', 'late', '/CN=alice', -1);
    client($n, 'clients-ca', 'bare', '/O=cameras');
    client($n, 'clients-ca', 'unit', '/CN=alice/O=x');
    client($n, 'clients-ca', 'sly', '/O=x,CN=alice/CN=mallory');
    client($n, 'clients-ca', 'odd', '/CN=alice,O=x');
    client($n, 'other-ca', 'fake', '/O=cameras/CN=alice');
    $n->certificate('far-ca', '/CN=somebody');
    client($n, 'far-ca', 'far', '/O=cameras/CN=alice');
    $n->start;

    my $r = $n->get('/images/upload', @put, shown($n, 'alice'));
    is($r->{status}, 201, 'a certificate uploads') or diag $r->{body};
    is(owner_of($r), 'alice', 'for its common name');
    is($n->get("/images/$alice", shown($n, 'alice'))->{status}, 200, 'reads');
    refused($n->get("/images/$bob", shown($n, 'alice')), 404, 'not_found',
            "another one's image");

    refused($n->get('/images/upload', @put), 401, 'unauthenticated', 'none');
    is($n->get("/images/$public")->{status}, 200,
       'none, and a public image');
    refused($n->get('/images/upload', @put, shown($n, 'fake')), 400,
            'bad_parameter', 'of another authority');
    refused($n->get("/images/$public", shown($n, 'fake')), 400,
            'bad_parameter', 'of another authority, a public image');
    refused($n->get('/images/upload', @put, shown($n, 'late')), 400,
            'bad_parameter', 'one that has ended');

    for my $name (qw(bare unit odd)) {
        refused($n->get('/images/upload', @put, shown($n, $name)), 401,
                'unauthenticated', "the subject of $name names nobody");
    }
    $r = $n->get('/images/upload', @put, shown($n, 'sly'));
    is(owner_of($r), 'mallory', 'what stands elsewhere is not the name');

    refused($n->get('/images/upload', @put, shown($n, 'far')), 400,
            'bad_parameter', 'of an authority of another name');

    my $on = $n->again(replace => ['ssl_verify_client      optional'
                                   => 'ssl_verify_client      on']);
    refused($on->get("/images/$public"), 400, 'bad_parameter', 'on: none');

    # the trap: checks that check nothing
    $n = $n->again(replace => ['ssl_verify_client      optional'
                               => 'ssl_verify_client      optional_no_ca'],
                   inside => 'location /open/ { return 204;'
                           . ' add_header X-Name $ssl_client_s_dn; }');
    $r = $n->get('/open/', shown($n, 'far'));
    is($r->{headers}{'x-name'}, 'CN=alice,O=cameras',
       'optional_no_ca: the name of a certificate that nobody checked');
    refused($n->get('/images/upload', @put, shown($n, 'far')), 401,
            'unauthenticated', 'which the recipe does not take');
};


subtest 'admin: a role by map' => sub {
    my $n = guide(recipe => 'admin')->start;
    my $get = sub { return $n->get("/images/$bob", @_)->{status} };

    is($get->(cookie('root1')), 200, 'an admin reads any image');
    my $r = $n->get('/images/upload?userId=bob', @put, cookie('root1'));
    is(owner_of($r), 'bob', 'and uploads for anybody');
    is($n->get('/images/upload', @big, cookie('a1'))->{status}, 201,
       'more than nginx\'s 1 MB');
    is($get->(cookie('a1')), 404, 'another role does not');
    refused($n->get('/images/upload?userId=bob', @put, cookie('a1')), 403,
            'forbidden', 'nor uploads for another one');
    is($get->(cookie('ADMIN1')), 404, 'a role in other letters is another');
    is($get->(cookie('a1'), '-H', 'X-User-Role: admin'), 404,
       'a forged role');
    is($get->('-H', 'X-User-Role: admin'), 404, 'a forged role, anonymous');

    # the traps: a plain word, and no map
    $n = $n->again(replace => ['"~^admin\z"' => 'admin']);
    is($get->(cookie('ADMIN1')), 200, 'a plain word in map takes any case');
    is($get->(cookie('a1')), 404, 'but no other word');
    $n = $n->again(replace => ['image_vault_admin $is_admin'
                               => 'image_vault_admin $role']);
    is($get->(cookie('a1')), 200, 'without a map any role is an admin');
};


# uploads on one connection: the statuses
sub volley {
    my ($n, $count, @args) = @_;

    my $url = "https://pics.example:$n->{tls}/images/upload";
    open my $fh, '-|', 'curl', '-sS', '--cacert', "$n->{dir}/etc/server.pem",
        '--resolve', "pics.example:$n->{tls}:127.0.0.1", '-H',
        'Content-Type: image/png', @args, '-w', '%{http_code}\n',
        map { ('-T', $png, '-o', '/dev/null', $url) } 1 .. $count
        or die "curl: $!";
    chomp(my @status = <$fh>);
    close $fh;
    return @status;
}

sub is_limited {
    my ($n, $who, @as) = @_;

    my @got = volley($n, 14, @as);
    is(join(' ', @got[0 .. 10]), join(' ', (201) x 11), "$who: eleven at once");
    is($got[13], 429, "$who: not fourteen");

    my $r = $n->get('/images/upload', @put, @as);
    refused($r, 429, 'rate_limited', $who);
    like($r->{headers}{'retry-after'} // '', qr/^[1-9]\d*$/, 'Retry-After');
    is($r->{headers}{'content-type'}, 'application/json', 'JSON');
}


# so that none is let in by the time that this takes
my @slowly = ('rate=30r/m;' => 'rate=1r/m;');

subtest 'limits: per owner, behind auth_request' => sub {
    my $n = guide(recipe => 'limits', replace => [@slowly])->start;

    is(join(' ', volley($n, 14)), join(' ', (401) x 14),
       'strangers are not counted');
    is_limited($n, 'alice', cookie('a1'));
    is($n->get('/images/upload', @put, cookie('b1'))->{status}, 201,
       'another owner is not held up');
    is($n->get('/images/upload', @put, cookie('b1'), '-H',
               'X-User-Id: alice')->{status}, 201, 'nor by a forged header');
    is($n->get("/images/$alice", cookie('a1'))->{status}, 200,
       'reading goes on');

    my $r = $n->get('/images/upload', @big, cookie('b1'));
    is($r->{status}, 201, 'more than nginx\'s 1 MB') or diag $r->{body};
    is($r->{json}{images}[0]{href}, undef, 'without href');
    is(owner_of($r), 'bob', 'its owner');
    refused($n->get('/images/upload', '-T', $png, '-H',
                    'Content-Length: 20000000', '-H', 'Expect: 100-continue',
                    cookie('b1')),
            413, 'too_large', 'and the module\'s own limit holds');
};


subtest 'limits: a page of another origin' => sub {
    my $n = guide(recipe => 'limits', replace => [@slowly], inside =>
                  'image_vault_cors https://app.example credentials;')->start;
    my @origin = ('-H', 'Origin: https://app.example');
    my $allowed = sub {
        my ($r, $what) = @_;
        is($r->{headers}{'access-control-allow-origin'},
           'https://app.example', "$what: allowed");
    };

    my $r = $n->get('/images/upload', '-X', 'OPTIONS', @origin, '-H',
                    'Access-Control-Request-Method: POST');
    is($r->{status}, 204, 'the preflight');
    $allowed->($r, 'the preflight');
    volley($n, 14, cookie('a1'));
    $r = $n->get('/images/upload', @put, cookie('a1'), @origin);
    refused($r, 429, 'rate_limited', 'too many');
    $allowed->($r, 'too many');
    $r = $n->get('/images/upload', @put, cookie('b1'), @origin);
    is($r->{status}, 201, 'another owner');
    $allowed->($r, 'another owner');
    refused($n->get('/images/upload', @put, cookie('b1'), '-H',
                    'Origin: https://evil.example'),
            403, 'forbidden', 'a page of a third one');
};


subtest 'limits: a key beside auth_request limits nobody' => sub {
    my $n = guide(recipe => 'limits', replace => [
        @slowly, 'location = /images/upload' => 'location = /elsewhere',
        'image_vault_api  pictures;'
            => 'image_vault_api pictures; limit_req zone=uploads;'
             . ' limit_req_status 429;',
    ])->start;
    is(join(' ', volley($n, 14, cookie('a1'))), join(' ', (201) x 14),
       'nothing is counted');
};


subtest 'limits-early: per owner, by certificate' => sub {
    my $n = guide(recipe => 'limits-early', replace => [@slowly]);
    $n->certificate('clients-ca', '/CN=the clients');
    client($n, 'clients-ca', 'alice', '/CN=alice');
    client($n, 'clients-ca', 'bob', '/CN=bob');
    $n->start;

    is(join(' ', volley($n, 14)), join(' ', (401) x 14),
       'strangers are not counted');
    is_limited($n, 'alice', shown($n, 'alice'));
    my $r = $n->get('/images/upload', @put, shown($n, 'bob'));
    is($r->{status}, 201, 'another owner is not held up');
    like($r->{json}{images}[0]{href}, qr{^/images/}, 'with href');
    is($n->get("/images/$alice", shown($n, 'alice'))->{status}, 200,
       'reading goes on');
};


subtest 'cloudflare: the visitor\'s address' => sub {
    my $n = guide(recipe => 'cloudflare',
                  replace => ['173.245.48.0/20' => '127.0.0.2']);
    passwords($n, alice => 'right')->start;

    my $from = sub {
        my ($address, @headers) = @_;
        my $r = $n->get('/images/upload', @put, '-u', 'alice:right',
                        '--interface', $address,
                        map { ('-H', $_) } @headers);
        my $doc = find_image($r->{json}{images}[0]{id} // '0' x 24);
        return $doc->{metadata}{uploadedFrom};
    };

    is($from->('127.0.0.2', 'CF-Connecting-IP: 203.0.113.9'), '203.0.113.9',
       'by Cloudflare: the visitor');
    is($from->('127.0.0.2', 'CF-Connecting-IP: 2001:db8::7'), '2001:db8::7',
       'IPv6');
    is($from->('127.0.0.3', 'CF-Connecting-IP: 203.0.113.9'), '127.0.0.3',
       'around Cloudflare: a header says nothing');
    is($from->('127.0.0.2', 'X-Forwarded-For: 203.0.113.9'), '127.0.0.2',
       'another header says nothing');
    is($from->('127.0.0.2', 'CF-Connecting-IP: <script>'), '127.0.0.2',
       'nor does what is no address');
    like($n->access_log, qr/^203\.0\.113\.9 - alice /m, 'in the access log');

    # the trap: anybody may say it
    $n = $n->again(replace => ['173.245.48.0/20' => '0.0.0.0/0']);
    is($from->('127.0.0.3', 'CF-Connecting-IP: 203.0.113.9'), '203.0.113.9',
       '0.0.0.0/0: everybody chooses an address');
};


subtest 'headers: on each answer, once' => sub {
    my $n = guide(recipe => 'headers');
    passwords($n, alice => 'right')->start;

    my @of = ('strict-transport-security', 'content-security-policy',
              'cross-origin-resource-policy', 'x-content-type-options',
              'referrer-policy');
    my $check = sub {
        my ($status, $what, $path, @args) = @_;
        my $out = temp_file('');
        $n->get($path, @args, '-H', 'Expect:', '-D', $out);
        my $head = slurp($out);
        is(($head =~ m{^HTTP/1.1 (\d+)})[0], $status, $what);
        for my $name (@of) {
            is(scalar(() = $head =~ /^\Q$name\E:/mig), 1, "$what: $name");
        }
        unlike($head, qr{^Server: nginx/}mi, "$what: no version");
    };

    my @alice = ('-u', 'alice:right');
    $check->(201, 'created', '/images/upload', @put, @alice);
    $check->(200, 'JSON', "/images/$alice", @alice);
    $check->(302, 'a redirect', "/images/$alice/view", @alice);
    $check->(404, 'the module\'s error', "/images/$bob", @alice);
    $check->(401, 'nginx\'s error', "/images/$alice");

    # the trap: one more
    $n = $n->again(inside => 'location /more/ { add_header X-More 1 always;'
                           . ' image_vault_owner alice;'
                           . ' image_vault_api pictures; }');
    my $r = $n->get("/more/$alice");
    is($r->{headers}{'x-more'}, 1, 'add_header in a location');
    is($r->{headers}{'strict-transport-security'}, undef,
       'drops the server\'s');
    is($r->{headers}{'x-content-type-options'}, 'nosniff',
       'but not the module\'s');
};


subtest 'locations: several kinds of images' => sub {
    my $bucket = "$ENV{TEST_S3_BUCKET}-profiles";
    ask('bucket', bucket => $bucket);
    my $n = guide(recipe => 'locations', replace => [
        'https://ACCOUNT.r2.cloudflarestorage.com' => $ENV{TEST_S3_ENDPOINT},
        'region      auto' => "region      $ENV{TEST_S3_REGION}",
        'bucket      profiles' => "bucket      $bucket",
    ])->start;
    my @alice = cookie('a1');
    my $send = sub {
        my ($kind, $bytes, @more) = @_;
        return $n->get("/$kind/upload", '-T', temp_file($bytes), '-H',
                       'Content-Type: application/octet-stream', @alice, @more);
    };
    my %sample = (png => png(300), jpeg => jpeg(400),
                  webp => data_file('lossy.webp'),
                  gif => data_file('still.gif'),
                  avif => data_file('still.avif'));

    # kind, folder, types, largest size, largest number of pixels
    my @kinds = (
        ['originals',   'originals/alice/',  'avif gif jpeg png webp', 50 << 20,
         200e6],
        ['masks',       'masks/alice/',      'png',            5 << 20,  50e6],
        ['backgrounds', 'backgrounds/',      'jpeg png webp', 20 << 20, 100e6],
        ['composites',  'composites/alice/', 'jpeg png',      30 << 20, 100e6],
        ['thumbs',      'thumbs/alice/',     'jpeg webp',     256 << 10, 250e3],
        ['profile',     'profile/',          'jpeg png webp',  2 << 20,   4e6],
    );

    for (@kinds) {
        my ($kind, $folder, $types, $size, $pixels) = @$_;

        my @taken;
        for my $type (sort keys %sample) {
            my $r = $send->($kind, $sample{$type});
            if ($r->{status} != 201) {
                refused($r, 415, 'unsupported_type', "$kind: $type");
                next;
            }
            push @taken, $type;
            my $doc = find_image($r->{json}{images}[0]{id});
            like($doc->{r2Key}, qr{^\Q$folder\E[0-9a-f-]{36}\.\w+$},
                 "$kind: key of $type");
            is($doc->{storage}, $kind eq 'profile' ? 'profiles' : 'pictures',
               "$kind: storage of $type");
        }
        is("@taken", $types, "$kind: types");

        refused($n->get("/$kind/upload", '-T', $png, @alice, '-H',
                        'Content-Length: ' . ($size + 1), '-H',
                        'Expect: 100-continue'),
                413, 'too_large', "$kind: a byte too many");
        my $wide = sub {
            my %a = (width => 1000, height => $_[0]);
            return $types =~ /png/ ? png(300, %a) : jpeg(400, %a);
        };
        refused($send->($kind, $wide->($pixels / 1000 + 1)),
                413, 'too_many_pixels', "$kind: a row too many")
            if $pixels <= 65e6;
        is($send->($kind, $wide->($pixels / 1000))->{status}, 201,
           "$kind: as many as may be") if $pixels <= 65e6;
    }
    refused($n->get('/originals/upload', '-T', $png), 401, 'unauthenticated',
            'a stranger');

    my $r = $send->('profile', $sample{jpeg});
    my $image = $r->{json}{images}[0];
    my $doc = find_image($image->{id});
    my $url = "https://img.example/$doc->{r2Key}";
    is($image->{url}, $url, 'a profile image: its public URL in the answer');
    is($image->{urlExpiresAt}, undef, 'for ever');
    is(object($doc->{r2Key}, $bucket)->{cache},
       'public, max-age=31536000, immutable', 'with the storage\'s header');
    $r = $n->get("/profile/$image->{id}/view");
    is($r->{status}, 302, 'anybody may see it');
    is($r->{headers}{location}, $url, 'there');
    like($r->{headers}{'cache-control'}, qr/^public/, 'and caches may keep it');
    refused($n->get('/profile/upload?isPublic=false', @put, @alice), 409,
            'conflict', 'a private one');

    is($n->get('/originals/upload', @big, @alice)->{status}, 201,
       'more than nginx\'s 1 MB');

    # any of the locations reads any image that one may see
    $r = $send->('originals', $sample{png});
    my $id = $r->{json}{images}[0]{id};
    is($n->get("/masks/$id", @alice)->{status}, 200, 'by another location');
    refused($n->get("/masks/$id", cookie('b1')), 404, 'not_found',
            'by another location, not by another owner');
};


ImageVault::Guide::finish();
ask('drop', db => $ImageVault::Peers::Database);
done_testing();
