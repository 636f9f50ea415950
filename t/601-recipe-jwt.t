# The recipes of docs/GUIDE.md that need njs: JWT, and NextAuth's session.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::SHA qw(hmac_sha256 hmac_sha384);
use JSON::PP ();
use MIME::Base64 qw(encode_base64 encode_base64url);
use Test::More;
use ImageVault::Guide;
use ImageVault::Peers;

my $njs = '/usr/lib/nginx/modules/ngx_http_js_module.so';
plan skip_all => 'njs is no part of this nginx' if $ENV{TEST_STATIC};
plan skip_all => "$njs is not there" if !-e $njs;

# it fits Debian's own nginx only
{
    my $probe = ImageVault::Guide->new(recipe => 'frame', main => '');
    File::Path::make_path("$probe->{dir}/logs");
    open my $fh, '>', "$probe->{dir}/nginx.conf" or die;
    print $fh "load_module $njs;\nevents {}\npid $probe->{dir}/pid;\n"
            . "error_log stderr;\n";
    close $fh;
    my ($rc, $out) = $probe->command('-t');
    plan skip_all => 'njs does not fit this nginx: ' . $out =~ s/\n.*//sr
        if $rc;
}

my $png = temp_file(png(300));
my @big = ('-T', temp_file(png(2_000_000)), '-H', 'Content-Type: image/png');
my @put = ('-T', $png, '-H', 'Content-Type: image/png');
my $json = JSON::PP->new->canonical;

my ($alice, $public) = (new_id(), new_id());
insert_images(image_doc(id => $alice, storage => 'pictures'),
              image_doc(id => $public, storage => 'pictures', owner => 'bob',
                        public => 1));


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

# a token: header and claims (references, or text as it is), and its signature
sub token {
    my ($head, $claims, $sign) = @_;

    my $text = join '.', map { encode_base64url(ref ? $json->encode($_) : $_) }
        $head, $claims;
    return "$text." . encode_base64url($sign->($text));
}

sub bearer { return ('-H', "Authorization: Bearer $_[0]") }

my $now = time;
my %right = (sub => 'alice', iss => 'https://auth.example', aud => 'pics',
             exp => $now + 600);

# claims: what is undef here is left out
sub claims {
    my (%a) = (%right, @_);
    delete @a{ grep { !defined $a{$_} } keys %a };
    return \%a;
}

# the guide's own, with another key
sub key_file {
    my ($n, $alg, $key) = @_;

    my $file = json(ImageVault::Guide::recipe('jwt_key.json'));
    @$file{qw(alg key)} = ($alg, encode_base64($key, ''));
    $n->file('jwt_key.json', $json->encode($file));
}

sub jwt_node {
    my ($alg, $key, %more) = @_;

    my $n = ImageVault::Guide->new(recipe => 'jwt', files => ['jwt.js'],
                                   app => '', main => "load_module $njs;\n",
                                   %more);
    key_file($n, $alg, $key);
    return $n;
}

sub upload {
    my ($n, $token) = @_;
    return $n->get('/images/upload', @put, bearer($token));
}

sub no_token {
    my ($n, $token, $what) = @_;
    refused(upload($n, $token), 401, 'unauthenticated', $what);
}


subtest 'jwt: HS256' => sub {
    my $secret = join '', map { chr } 0 .. 31;
    my $sign = sub { return hmac_sha256($_[0], $secret) };
    my $head = { alg => 'HS256', typ => 'JWT' };
    my $n = jwt_node('HS256', $secret)->start;
    my $good = token($head, claims(), $sign);

    my $r = upload($n, $good);
    is($r->{status}, 201, 'a token uploads') or diag $r->{body};
    is(owner_of($r), 'alice', 'for its sub');
    is($n->get("/images/$alice", bearer($good))->{status}, 200, 'and reads');
    is($n->get('/images/upload', @big, bearer($good))->{status}, 201,
       'more than nginx\'s 1 MB');
    is($n->get("/images/$alice", '-H', "Cookie: token=$good")->{status}, 200,
       'as a cookie too');
    is($n->get("/images/$alice", '-H', "authorization: bearer $good")
       ->{status}, 200, 'bearer in small letters');
    refused($n->get("/images/$alice", bearer(
                token($head, claims(sub => 'bob'), $sign))),
            404, 'not_found', 'another owner does not');

    refused($n->get('/images/upload', @put), 401, 'unauthenticated',
            'without a token');
    is($n->get("/images/$public")->{status}, 200,
       'without a token, a public image');
    $r = $n->get("/images/$public", bearer('x'));
    refused($r, 401, 'unauthenticated', 'a bad token, a public image');
    is($r->{headers}{'www-authenticate'}, 'Bearer', 'WWW-Authenticate');

    my %bad = (
        'a minute past its end'  => claims(exp => $now - 60),
        'without an end'         => claims(exp => undef),
        'its end is text'        => claims(exp => '' . ($now + 600)),
        'not yet'                => claims(nbf => $now + 300),
        'not yet, as text'       => claims(nbf => 'x'),
        'of another issuer'      => claims(iss => 'https://evil.example'),
        'without an issuer'      => claims(iss => undef),
        'for another service'    => claims(aud => 'mail'),
        'for other services'     => claims(aud => ['mail', 'pic']),
        'for no service'         => claims(aud => undef),
        'without sub'            => claims(sub => undef),
        'sub is a number'        => claims(sub => 7),
        'sub is empty'           => claims(sub => ''),
        'sub is a list'          => claims(sub => ['alice']),
        'sub is no owner'        => claims(sub => "alice\r\nX: y"),
        'sub is !'               => claims(sub => '!'),
        'claims are no object'   => 'null',
        'claims are no JSON'     => '{"sub":"alice"',
    );
    no_token($n, token($head, $bad{$_}, $sign), $_) for sort keys %bad;

    my %fine = (
        'within the skew'       => claims(exp => time - 5),
        'nbf in the past'       => claims(nbf => $now - 5),
        'for several services'  => claims(aud => ['mail', 'pics']),
    );
    is(upload($n, token($head, $fine{$_}, $sign))->{status}, 201, $_)
        for sort keys %fine;

    my ($h, $c, $s) = split /\./, $good;
    my %forged = (
        'unsigned'               => "$h.$c.",
        'without a signature'    => "$h.$c",
        'alg none'               => token({ alg => 'none' }, claims(),
                                          sub { '' }) . 'AA',
        'alg none, no signature' => token({ alg => 'none' }, claims(),
                                          sub { '' }),
        'alg None, signed'       => token({ alg => 'None' }, claims(), $sign),
        'another algorithm'      => token({ alg => 'HS384' }, claims(),
                                      sub { hmac_sha384($_[0], $secret) }),
        'alg RS256'              => token({ alg => 'RS256' }, claims(), $sign),
        'without alg'            => token({ typ => 'JWT' }, claims(), $sign),
        'a header that is null'  => token('null', claims(), $sign),
        'crit'                   => token({ %$head, crit => ['x'] }, claims(),
                                          $sign),
        'another secret'         => token($head, claims(),
                                          sub { hmac_sha256($_[0], 'guess') }),
        'other claims'           => join('.', $h, encode_base64url(
                                    $json->encode(claims(sub => 'bob'))), $s),
        'a shorter signature'    => "$h.$c." . substr($s, 0, 20),
        'a longer one'           => "$h.$c.${s}AAAA",
        'one byte of it changed' => "$h.$c." . ($s =~ s/^(.)/$1 eq 'A'
                                                    ? 'B' : 'A'/er),
        'four parts'             => "$good.x",
        'no token at all'        => 'x.y.z',
        'dots'                   => '..',
        'long'                   => 'a' x 6000,
    );
    no_token($n, $forged{$_}, $_) for sort keys %forged;

    refused($n->get('/images/upload', @put, '-u', 'alice:x'), 401,
            'unauthenticated', 'Basic');
    refused($n->get('/images/upload', @put, '-H', "Cookie: token=$h.$c.AA"),
            401, 'unauthenticated', 'a forged cookie');
    refused($n->get('/images/upload', @put, '-H', "Cookie: token=$good", '-H',
                    'Origin: https://evil.example'),
            403, 'forbidden', 'a cookie sent by another site');
};


subtest 'jwt: a short key' => sub {
    my $n = jwt_node('HS256', 'base64')->start;
    no_token($n, token({ alg => 'HS256' }, claims(),
                       sub { hmac_sha256($_[0], 'base64') }),
             'nothing is valid');
};


subtest 'jwt: RS256' => sub {
    my $n = jwt_node('RS256', '', allow => qr/ignoring stale global SSL/);
    my $etc = "$n->{dir}/etc";
    for my $who ('issuer', 'other') {
        $n->openssl(qw(genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048
                       -out), "$who.key");
    }
    $n->openssl(qw(pkey -in issuer.key -pubout -outform DER -out issuer.der));
    $n->openssl(qw(pkey -in issuer.key -pubout -out issuer.pub));
    my $public_key = slurp("$etc/issuer.der");
    key_file($n, 'RS256', $public_key);
    $n->start;

    my $rs256 = sub {
        my ($who) = @_;
        return sub {
            $n->file('text', $_[0]);
            $n->openssl(qw(dgst -sha256 -sign), "$who.key", '-out', 'sig',
                        'text');
            return slurp("$etc/sig");
        };
    };
    my $head = { alg => 'RS256', typ => 'JWT', kid => '1' };
    my $good = token($head, claims(), $rs256->('issuer'));

    my $r = upload($n, $good);
    is($r->{status}, 201, 'a token uploads') or diag $r->{body};
    is(owner_of($r), 'alice', 'for its sub');

    no_token($n, token($head, claims(exp => $now - 60), $rs256->('issuer')),
             'past its end');
    no_token($n, token($head, claims(), $rs256->('other')), 'another key');
    no_token($n, token({ alg => 'HS256' }, claims(),
                       sub { hmac_sha256($_[0], $public_key) }),
             'an HMAC made with the public key (DER)');
    no_token($n, token({ alg => 'HS256' }, claims(),
                       sub { hmac_sha256($_[0], slurp("$etc/issuer.pub")) }),
             'an HMAC made with the public key (PEM)');
    no_token($n, token({ alg => 'none' }, claims(), sub { '' }), 'alg none');
    no_token($n, token($head, claims(), sub { "\0" x 256 }), 'zeroes');
    no_token($n, token($head, claims(), sub { 'x' }), 'a short signature');
    my ($h, undef, $s) = split /\./, $good;
    no_token($n, join('.', $h, encode_base64url($json->encode(
                 claims(sub => 'bob'))), $s), 'other claims');
    is(upload($n, $good)->{status}, 201, 'and the good one once more');
};


subtest 'nextauth: the name out of JSON' => sub {
    my $n = ImageVault::Guide->new(
        recipe => 'nextauth', files => ['nextauth.js'],
        main => "load_module $njs;\n",
        http => <<'EOF_HTTP',
map "$http_cookie|$http_x_forwarded_proto $http_host" $app_json {
    default                                  '{}';
    "~^session=alice\|https pics\.example"   '{"user":{"id":"alice"}}';
    "~^session=email\|"                      '{"user":{"email":"a@b.c"}}';
    "~^session=null\|"                       'null';
    "~^session=odd\|"                        '{"user":{"id":"a b"}}';
    "~^session=list\|"                       '{"user":{"id":["alice"]}}';
    "~^session=broken\|"                     '{"user":';
}
EOF_HTTP
        app => <<'EOF_APP',
location = /api/auth/session {
    default_type application/json;
    if ($cookie_session = down) { return 503; }
    return 200 $app_json;
}
EOF_APP
    )->start;
    my $as = sub {
        my ($session, $path, @args) = @_;
        return $n->get($path, '-H', "Cookie: session=$session", @args);
    };

    my $r = $as->('alice', '/images/upload', @put);
    is($r->{status}, 201, 'a session uploads') or diag $r->{body};
    is(owner_of($r), 'alice', 'for its user');
    is($as->('alice', "/images/$alice")->{status}, 200, 'and reads');

    is($as->('alice', '/images/upload', @big)->{status}, 201,
       'more than nginx\'s 1 MB');

    refused($n->get('/images/upload', @put), 401, 'unauthenticated',
            'no session: {}');
    for my $session (qw(guess email null odd list)) {
        refused($as->($session, '/images/upload', @put), 401,
                'unauthenticated', $session);
    }
    refused($n->get('/images/upload', @put, '-H', 'X-User-Id: alice'), 401,
            'unauthenticated', 'a forged header');
    is($n->get("/images/$public")->{status}, 200,
       'a stranger reads what is public');
    for my $session (qw(broken down)) {
        refused($as->($session, "/images/$alice"), 500, 'internal', $session);
    }
};


ImageVault::Guide::finish();
ask('drop', db => $ImageVault::Peers::Database);
done_testing();
