# The recipes of docs/GUIDE.md that bring images through nginx itself, as they
# stand there: a real S3 server behind TLS, of which the log tells what it was
# asked, and by which method and headers.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::MD5 ();
use POSIX ();
use Test::More;
use Time::HiRes ();
use ImageVault::Guide;
use ImageVault::Nginx;
use ImageVault::Peers;

my $png = png(40_000);
my $large = png(3_700_000);

# where images are stored, without the recipes
my $store = ImageVault::Nginx->new(
    name   => 'store',
    http   => ImageVault::Nginx::http_base()
              . ImageVault::Nginx::storage_s3(name => 'pictures'),
    server => 'image_vault_owner alice; location /api {'
            . ' image_vault_api pictures; }',
)->start;

sub stored {
    my ($bytes, @fields) = @_;

    my $r = curl('-T', temp_file($bytes), '-H', 'Content-Type: image/png',
                 $store->url('/api/upload?filename=a.png'
                             . join '', map { "&$_" } @fields));
    is($r->{status}, 201, 'stored') or diag $r->{body};

    return $r->{json}{images}[0]{id};
}


# a recipe's node.  In front of the real S3 server stands a TLS server of the
# same node, on a port of its own: that only works if the upstream block is
# found by the endpoint's name, and if Host is the one that was signed
sub node {
    my ($recipe, %a) = @_;

    my $front = free_port();
    my $n = ImageVault::Guide->new(recipe => $recipe,
                                   endpoint => 'https://localhost',
                                   app => '', %a);
    my $etc = "$n->{dir}/etc";
    $n->{files} = ['storage.conf'];
    $n->{edit}{'storage.conf'} =
        ['/etc/ssl/certs/ca-certificates.crt' => "$etc/front.pem"];
    $n->{replace} = [
        'upstream ACCOUNT.r2.cloudflarestorage.com' => 'upstream localhost',
        'server    ACCOUNT.r2.cloudflarestorage.com:443'
            => "server    127.0.0.1:$front",
        $recipe eq 'access-proxy' ? ()
            : ('/var/cache/nginx/pictures' => "$n->{dir}/cache"),
        @{ $n->{replace} // [] } ];
    $n->{http} .= <<"EOF_HTTP";
log_format front '\$request_method range=\$http_range auth=\$http_authorization'
    ' cookie=\$http_cookie own=\$http_x_own sni=\$ssl_server_name'
    ' nth=\$connection_requests \$status length=\$http_content_length';
server {
    listen 127.0.0.1:$front ssl;
    ssl_certificate $etc/front.pem;
    ssl_certificate_key $etc/front.key;
    access_log $n->{dir}/logs/front.log front;
    if (-f $n->{dir}/down) { return 503; }
    location / {
        proxy_pass $ENV{TEST_S3_ENDPOINT};
        proxy_set_header Host \$http_host;
    }
}
EOF_HTTP
    $n->certificate('front', '/CN=localhost', '-addext',
                    'subjectAltName=DNS:localhost');

    return people($n);
}

sub people {
    my ($n) = @_;

    my $lines = '';
    for my $name (qw(alice bob al@x=y)) {
        $lines .= "$name:" . `openssl passwd -6 right`;
    }
    $n->file('htpasswd', $lines);

    return $n;
}

# the last node's log of the storage, from the last call on
my %read;
sub front {
    my ($n, $want) = @_;

    my $file = "$n->{dir}/logs/front.log";
    my $at = $read{$file} // 0;
    my $new = '';
    wait_for {
        $new = substr -e $file ? slurp($file) : '', $at;
        ($new =~ tr/\n//) >= ($want // 1);
    } if !defined $want || $want;
    Time::HiRes::sleep(0.2) if defined $want && !$want;
    $new = substr -e $file ? slurp($file) : '', $at;
    $read{$file} = $at + length $new;

    return $new;
}

sub lines { return scalar(() = $_[0] =~ /\n/g) }

sub as { return ('-u', "$_[0]:right") }

sub refused {
    my ($r, $status, $code, $what) = @_;

    is($r->{status}, $status, "$what: $status") or diag $r->{body};
    is($r->{json}{error}{code}, $code, "$what: $code");
    unlike(join(' ', %{ $r->{headers} }, $r->{body}),
           qr/\Q$ENV{TEST_S3_BUCKET}\E|X-Amz|x-amz/, "$what: as JSON of ours");
}

sub whole {
    my ($r, $what, $bytes) = @_;

    is($r->{status}, 200, "$what: 200") or diag $r->{body};
    is(Digest::MD5::md5_hex($r->{body}),
       Digest::MD5::md5_hex($bytes // $png), "$what: its bytes");
    is($r->{headers}{'content-type'}, 'image/png', "$what: its type");
}

# what every image's answer has, and has not
sub clean {
    my ($r, $what) = @_;

    my $h = $r->{headers};
    is(join(' ', grep { /^x-amz-/ || $_ eq 'set-cookie' } sort keys %$h), '',
       "$what: nothing of the storage's own");
    is($h->{'x-content-type-options'}, 'nosniff', "$what: nosniff");
    is($h->{'referrer-policy'}, 'no-referrer', "$what: no referrer");
    like($h->{'cache-control'}, qr/\Aprivate, max-age=\d+\z/,
         "$what: for one browser");
}


my $id = stored($png);
my $shared = stored($png, 'sharedWith=bob');
my $public = stored($png, 'isPublic=1');
my $big = stored($large);
my $lost = new_id();
insert_images(image_doc(id => $lost, storage => 'pictures'));
my $absent = 'f' x 24;


sub who_is_let_in {
    my ($n) = @_;

    whole($n->get("/pictures/$shared", as('bob')), 'whom it is shared with');
    whole($n->get("/pictures/$public", as('bob')), 'a public one');
    refused($n->get("/pictures/$id", as('bob')), 404, 'not_found',
            'a stranger');
    refused($n->get("/pictures/$absent", as('alice')), 404, 'not_found',
            'none');
    refused($n->get("/pictures/$id"), 401, 'unauthenticated', 'nobody');
    refused($n->get("/pictures/$id", '-u', 'alice:wrong'), 401,
            'unauthenticated', 'a wrong password');
    refused($n->get("/pictures/$id", '-X', 'POST', '-d', 'x', as('alice')),
            405, 'method_not_allowed', 'POST');
}

# ranges, conditions and HEAD, the same from the storage and from a cache
sub parts {
    my ($n, $what) = @_;

    my $get = sub { $n->get("/pictures/$id", as('alice'), @_) };
    my $r = $get->('-r', '100-299');
    is($r->{status}, 206, "$what, a range: 206");
    is($r->{body}, substr($png, 100, 200), "$what, a range: its bytes");
    is($r->{headers}{'content-range'}, 'bytes 100-299/40000', "$what: where");
    clean($r, "$what, a range");
    is($get->('-r', '-10')->{body}, substr($png, -10), "$what, the last");
    is($get->('-r', '39990-')->{body}, substr($png, -10), "$what, the rest");
    refused($get->('-r', '50000-60000'), 416, 'bad_parameter',
            "$what, beyond the end");

    my $all = $get->();
    whole($all, $what);
    clean($all, $what);
    my ($etag, $date) = @{ $all->{headers} }{qw(etag last-modified)};
    # to versitygw an object is newer than its own Last-Modified, in the second
    # it was made
    sleep 2 if $what eq 'storage';
    $date = POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime)
        if $what eq 'storage';
    for my $if ("If-None-Match: $etag", "If-Modified-Since: $date") {
        $r = $get->('-H', $if);
        is($r->{status}, 304, "$what, $if");
        is($r->{body}, '', 'nothing again');
        like($r->{headers}{'cache-control'}, qr/^private/, 'still private');
    }
    whole($get->('-H', 'If-None-Match: "x"'), "$what, another ETag");
    $r = $get->('-r', '0-9', '-H', "If-Range: $etag");
    is($r->{status}, 206, "$what, If-Range");
    $r = $get->('-r', '0-9', '-H', 'If-Range: "x"');
    is($r->{status}, 200, "$what, If-Range of another")
        if $what ne 'storage';              # versitygw does not know it

    $r = $get->('-I');
    is($r->{status}, 200, "$what, HEAD");
    is($r->{headers}{'content-length'}, length $png, "$what, HEAD: length");
    clean($r, "$what, HEAD");
}


subtest 'access-proxy: each time from the storage' => sub {
    my $n = node('access-proxy')->start;

    my @own = ('-H', 'Cookie: session=s3cret', '-H', 'X-Own: s3cret', '-H',
               'x-amz-security-token: x');
    whole($n->get("/pictures/$id", as('alice'), @own), 'the owner');
    is(front($n), "GET range=- auth=- cookie=- own=- sni=localhost nth=1 200"
                . " length=-\n", 'what the storage was told');
    whole($n->get("/pictures/$id", as('alice'), '-X', 'GET', '-d', 'x=y'),
          'with a body');
    is(front($n), "GET range=- auth=- cookie=- own=- sni=localhost nth=2 200"
                . " length=-\n", 'no body, and the same connection');

    who_is_let_in($n);
    is(lines(front($n, 2)), 2, 'only who is let in gets to the storage');

    parts($n, 'storage');
    like(front($n, 12), qr/^HEAD .* 200 /m, 'HEAD is HEAD');

    refused($n->get("/pictures/$lost", as('alice')), 404, 'not_found',
            'an object that is lost');
    open my $fh, '>', "$n->{dir}/down" or die;
    refused($n->get("/pictures/$id", as('alice')), 503, 'overloaded',
            'a storage that is away');
    unlink "$n->{dir}/down";

    is($n->get("/images/$id", as('alice'))->{status}, 200,
       'the interface beside it');
    unlike($n->access_log, qr/X-Amz-Signature/, 'no URL in the access log');
};


subtest 'access-cache: fetched once' => sub {
    my $n = node('access-cache', inside => 'image_vault_cors https://a.b;')
        ->start;
    my $cached = sub { $_[0]{headers}{'x-cache'} };

    my $r = $n->get("/pictures/$id", '-I', as('alice'));
    is($cached->($r), 'MISS', 'a HEAD comes first');
    is($r->{headers}{'content-length'}, length $png, 'with its length');
    like(front($n), qr/^GET /, 'and fetches the image');
    $r = $n->get("/pictures/$id", as('alice'));
    is($cached->($r), 'HIT', 'a GET then');
    whole($r, 'from the cache');

    refused($n->get("/pictures/$id", as('bob')), 404, 'not_found',
            'a stranger, and it is cached');
    refused($n->get("/pictures/$id"), 401, 'unauthenticated', 'nobody');
    who_is_let_in($n);
    parts($n, 'cache');
    is(lines(front($n, 2)), 2, 'all of that asked for two images');
    refused($n->get("/pictures/$lost", as('alice')), 404, 'not_found',
            'an object that is lost');
    is($n->get("/pictures/$lost", as('alice'))->{headers}{'x-cache'}, undef,
       'is not kept');

    # the right to see it, given and taken
    my $patch = sub {
        my $r = $n->get("/images/$id", '-X', 'PATCH', '-H',
                        'Content-Type: application/json', '-d',
                        qq({"sharedWith":$_[0]}), as('alice'));
        is($r->{status}, 200, "shared with $_[0]") or diag $r->{body};
    };
    front($n, 2);
    $patch->('["bob"]');
    $r = $n->get("/pictures/$id", as('bob'));
    is($cached->($r), 'HIT', 'bob, from the cache');
    whole($r, 'bob');
    $patch->('[]');
    refused($n->get("/pictures/$id", as('bob')), 404, 'not_found',
            'bob, no longer');
    is($cached->($n->get("/pictures/$id", as('alice'))), 'HIT', 'alice still');
    is(front($n, 0), '', 'nothing was fetched for that');
};


subtest 'access-cache: a hundred at once' => sub {
    # no machine is so slow that they stop waiting for the first one
    my $n = node('access-cache', replace => [
        'proxy_cache_lock              on;' => 'proxy_cache_lock on; '
        . 'proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;'])->start;

    my $url = "https://pics.example:$n->{tls}/pictures/$big";
    my @cmd = ('curl', '-sS', '-Z', '--parallel-max', '100', '--cacert',
               "$n->{dir}/etc/server.pem", '--resolve',
               "pics.example:$n->{tls}:127.0.0.1", as('alice'), '-w',
               '%{http_code} %{size_download}\n',
               map { ('-o', '/dev/null', $url) } 1 .. 100);
    open my $fh, '-|', @cmd or die "curl: $!";
    chomp(my @got = <$fh>);
    close $fh;

    is(scalar(grep { $_ eq '200 ' . length $large } @got), 100,
       'each has all of it') or diag join ' ', @got;
    is(lines(front($n)), 1, 'and the storage gave it once');
};


subtest 'access-cache: URLs end, what is cached does not' => sub {
    my $n = node('access-cache', replace => [
        'image_vault_url_expiry 1m;' =>
        'image_vault_url_expiry 3s; image_vault_url_window 3s;'])->start;

    is($n->get("/pictures/$id", as('alice'))->{headers}{'x-cache'}, 'MISS',
       'fetched');
    sleep 7;
    is($n->get("/pictures/$id", as('alice'))->{headers}{'x-cache'}, 'HIT',
       'and still there when its URL has ended');
    whole($n->get("/pictures/$shared", as('alice')), 'with a new URL, another');
    like(front($n, 2), qr/\A(?:.* 200 .*\n){2}\z/, 'both URLs were good');
};


subtest 'access-cache: stale, and renewed in the background' => sub {
    my $n = node('access-cache', replace => ['200 7d' => '200 3s'])->start;
    my $cached = sub { $_[0]{headers}{'x-cache'} };

    whole($n->get("/pictures/$id", as('alice')), 'fetched');
    front($n);
    sleep 4;
    my $r = $n->get("/pictures/$id", as('alice'));
    is($cached->($r), 'STALE', 'given at once');
    whole($r, 'stale');
    like(front($n), qr/\AGET .* 304 .*\n\z/, 'and renewed behind it, signed');
    ok((wait_for { $cached->($n->get("/pictures/$id", as('alice'))) eq 'HIT' }),
       'fresh again');

    sleep 4;
    front($n, 0);
    refused($n->get("/pictures/$id", as('bob')), 404, 'not_found',
            'a stranger renews nothing');
    is(front($n, 0), '', 'indeed');

    open my $fh, '>', "$n->{dir}/down" or die;
    for (1 .. 2) {
        $r = $n->get("/pictures/$id", as('alice'));
        is($cached->($r), 'STALE', 'the storage is away');
        whole($r, 'and the image there');
        Time::HiRes::sleep(0.3);
    }
    refused($n->get("/pictures/$shared", as('alice')), 503, 'overloaded',
            'what was never fetched');
    unlink "$n->{dir}/down";
};


subtest 'access-head: HEAD is asked by HEAD' => sub {
    my $n = node('access-head')->start;

    my $r = $n->get("/pictures/$id", '-I', as('alice'));
    is($r->{status}, 200, 'HEAD');
    is($r->{headers}{'content-length'}, length $png, 'its length');
    like(front($n), qr/\AHEAD .* 200 /, 'by HEAD, and the signature is good');
    whole($n->get("/pictures/$id", as('alice')), 'GET then');
    like(front($n), qr/\AGET .* 200 /, 'by GET');
    $r = $n->get("/pictures/$id", '-I', as('alice'));
    is($r->{headers}{'x-cache'}, 'HIT', 'HEAD again');
    is($r->{headers}{'content-length'}, length $png, 'its length');
    whole($n->get("/pictures/$id", as('alice')), 'GET again');
    is(front($n, 0), '', 'both from the cache');
    refused($n->get("/pictures/$id", as('bob')), 404, 'not_found',
            'a stranger');
    is($n->get("/pictures/$id", '-I', as('bob'))->{status}, 404, 'also HEAD');
};


subtest 'access-slices: parts of a large one' => sub {
    my $n = node('access-slices')->start;
    my $get = sub { $n->get("/pictures/$big", as('alice'), @_) };

    # as a player that jumps
    my $r = $get->('-r', '1500000-2500000');
    is($r->{status}, 206, 'a range over two slices');
    is(Digest::MD5::md5_hex($r->{body}),
       Digest::MD5::md5_hex(substr $large, 1_500_000, 1_000_001), 'its bytes');
    is($r->{headers}{'content-range'}, 'bytes 1500000-2500000/3700000',
       'where');
    clean($r, 'a range');
    is(join(' ', front($n, 2) =~ /^GET range=(\S+) .* 206 /mg),
       'bytes=1048576-2097151 bytes=2097152-3145727', 'two slices came');

    whole($get->(), 'all', $large);
    is(join(' ', front($n, 2) =~ /^GET range=(\S+) .* 206 /mg),
       'bytes=0-1048575 bytes=3145728-4194303', 'of which two were missing');
    whole($get->(), 'all again', $large);
    is($get->('-r', '-5')->{body}, substr($large, -5), 'the end');
    $r = $get->('-I');
    is($r->{status}, 200, 'HEAD');
    is($r->{headers}{'content-length'}, length $large, 'its length');
    refused($get->('-r', '4000000-'), 416, 'bad_parameter', 'beyond the end');
    refused($n->get("/pictures/$big", as('bob')), 404, 'not_found',
            'a stranger');
    refused($n->get("/pictures/$big", '-r', '0-10', as('bob')), 404,
            'not_found', 'a stranger, of a slice that is there');
    who_is_let_in($n);
};


subtest 'access-slices: a reader slower than its URL' => sub {
    my $n = node('access-slices', replace => [
        'image_vault_url_expiry 1m;' =>
            'image_vault_url_expiry 2s; image_vault_url_window 2s;',
        'slice                  1m' => 'slice 256k']);
    push @{ $n->{replace} }, "listen 127.0.0.1:$n->{tls} ssl"
                             => "listen 127.0.0.1:$n->{tls} ssl sndbuf=64k";
    $n->start;

    whole($n->get("/pictures/$big", as('alice'), '--limit-rate', '500k'),
          'slowly', $large);
    my $log = front($n, 15);
    is(lines($log), 15, 'fifteen slices');
    unlike($log, qr/ (?:4|5)\d\d /, 'none by a URL that had ended');
};


subtest 'access-local: files of this machine' => sub {
    my $n = ImageVault::Guide->new(
        recipe => 'access-local', app => '',
        replace => ['/srv/images' => "/tmp/iv-test-disk-$$",
                    'image_vault_api disk;' => 'image_vault_api disk; '
                    . 'image_vault_key u/$image_vault_owner/'
                    . '$image_vault_filename;']);
    mkdir "/tmp/iv-test-disk-$$" or die;
    $n->file('link.secret', "a-secret-of-the-tests\n");
    people($n)->start;

    my $put = sub {
        my $r = $n->get('/images/upload', '-T', temp_file($png), '-H',
                        'Content-Type: image/png', as($_[0]));
        is($r->{status}, 201, "stored by $_[0]") or diag $r->{body};
        return $r->{json}{images}[0];
    };
    for my $name ('alice', 'al@x=y') {
        my $image = $put->($name);
        my $r = $n->get("/pictures/$image->{id}", as($name));
        whole($r, $name);
        clean($r, $name);
        is($n->get("/pictures/$image->{id}", '-r', '5-9', as($name))->{body},
           substr($png, 5, 5), 'a range');
        my $head = $n->get("/pictures/$image->{id}", '-I', as($name));
        is($head->{headers}{'content-length'}, length $png, 'HEAD');
        refused($n->get("/pictures/$image->{id}", as('bob')), 404,
                'not_found', 'a stranger');
        my ($link) = $image->{url} =~ m{(/_files/.*)};
        is($n->get($link, as($name))->{status}, 404, 'links lead nowhere');
    }
    system "rm -rf /tmp/iv-test-disk-$$";
};


ImageVault::Guide::finish();
$store->done;
done_testing();
