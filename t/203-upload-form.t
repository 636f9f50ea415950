# multipart/form-data: many files and fields in any order, one bad file, forms
# that are none, and what is stored in each case.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::SHA ();
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $h2 = free_port();
my $n = ImageVault::Nginx->new(
    name   => 'form',
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(
                    name => 'public', public_only => 'on',
                    public_url => 'https://cdn.example')
              . "image_vault_storage local { type local; root /tmp; "
              . "url /files; secret 0123456789abcdef0123; }\n"
              . "image_vault_owner alice;\n"
              . "image_vault_key form/\$image_vault_filename;\n",
    server => <<"EOF_CONF",
    listen 127.0.0.1:$h2 http2;
    location /api { image_vault_api s3; }
    location /pub { image_vault_api public; }
    location /few { image_vault_api s3; image_vault_max_files 2; }
    location /small { image_vault_api s3; image_vault_max_size 100k; }
    location /mirrored {
        image_vault_api s3;
        mirror /mirror;
        mirror_request_body on;
    }
    location = /mirror { internal; return 204; }
EOF_CONF
)->start;

my $png = png(30_000);
my $jpeg = jpeg(400_000);
my %file = (png => temp_file($png), jpeg => temp_file($jpeg),
            text => temp_file('this is no image'),
            cut => temp_file(substr(png(50_000), 0, 49_000)),
            tail => temp_file($png . 'PK'));


sub form {
    my ($path, @args) = @_;
    return curl((map { ('-F', $_) } @args), $n->url("$path/upload"));
}

# a form of one's own, sent as it is
sub raw_form {
    my ($body, %a) = @_;
    my $type = $a{type} // 'multipart/form-data; boundary=xyz';
    return curl('-H', "Content-Type: $type", '--data-binary',
                '@' . temp_file($body), $n->url('/api/upload'));
}

sub part {
    my ($head, $data) = @_;
    return "--xyz\r\n$head\r\n\r\n$data\r\n";
}

my $filehead = 'Content-Disposition: form-data; name="f"; filename="a.png"';

# nothing but ready documents, and how many
sub ready {
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'none is uploading');
    return scalar find_images({ status => 'ready' });
}


subtest 'one file, Uppy and curl alike' => sub {
    my $r = form('/api', "file=\@$file{png};type=image/png;filename=cat.png");
    is($r->{status}, 201, 'created') or diag($r->{body});
    my $j = $r->{json};
    is(scalar @{ $j->{images} }, 1, 'one image');
    my $i = $j->{images}[0];
    is($i->{originalName}, 'cat.png', 'name');
    is($i->{size}, 30_000, 'size');
    is($i->{checksums}{sha256}, Digest::SHA::sha256_hex($png), 'sha256');
    is($j->{url}, $i->{url}, 'url on top');
    ok($r->{headers}{location}, 'Location');
    my $d = find_image($i->{id});
    is($d->{status}, 'ready', 'ready');
    is(object($d->{r2Key})->{sha256}, $i->{checksums}{sha256}, 'the object');
};

subtest 'many files and fields, fields last' => sub {
    my $r = form('/api', "a=\@$file{png};filename=1.png",
                 "b=\@$file{jpeg};filename=2.jpg",
                 "c=\@$file{png};filename=3.png",
                 'tags=cats', 'tags=dogs', 'isPublic=true',
                 'expiresAt=2099-01-02T03:04:05Z', 'sharedWith=["bob"]',
                 'csrf=whatever');
    is($r->{status}, 201, 'created') or diag($r->{body});
    is_deeply([map { $_->{originalName} } @{ $r->{json}{images} }],
              ['1.png', '2.jpg', '3.png'], 'in the order of the form');
    ok(!exists $r->{json}{url}, 'no url on top');
    for my $i (@{ $r->{json}{images} }) {
        my $d = find_image($i->{id});
        is($d->{status}, 'ready', 'ready');
        is_deeply($d->{metadata}{tags}, ['cats', 'dogs'], 'tags');
        ok($d->{access}{isPublic}, 'public');
        is_deeply($d->{access}{sharedWith}, ['bob'], 'shared');
        like(JSON::PP->new->encode($d->{access}{expiresAt}), qr/2099-01-02T03/,
             'expires');
    }
};

subtest 'one bad file spoils no neighbour' => sub {
    my $before = ready();
    my $r = form('/api', "a=\@$file{png};filename=good.png",
                 "b=\@$file{text};filename=bad.txt",
                 "c=\@$file{cut};filename=cut.png",
                 "d=\@$file{jpeg};filename=fine.jpg",
                 "e=\@$file{tail};filename=tail.png");
    is($r->{status}, 207, 'some') or diag($r->{body});
    my $j = $r->{json};
    ok($j->{success}, 'success');
    is_deeply([map { $_->{originalName} } @{ $j->{images} }],
              ['good.png', 'fine.jpg'], 'the good ones');
    is_deeply([map { [@$_{qw(index originalName code)}] } @{ $j->{failures} }],
              [[1, 'bad.txt', 'unsupported_type'],
               [2, 'cut.png', 'corrupt_image'],
               [4, 'tail.png', 'trailing_data']], 'the bad ones');
    like($j->{errors}[0], qr/\Abad\.txt: \S/, 'errors');
    is(ready(), $before + 2, 'stored');
};

subtest 'none is good' => sub {
    my $r = form('/api', "a=\@$file{text};filename=x", "b=\@$file{cut};filename=y");
    is($r->{status}, 415, "the first failure's status");
    is($r->{json}{success}, JSON::PP::false, 'no success');
    is($r->{json}{error}{code}, 'unsupported_type', 'code');
    is(scalar @{ $r->{json}{failures} }, 2, 'failures');
};

subtest 'too many files, too large a file' => sub {
    my $before = ready();
    my $r = form('/few', map { "f=\@$file{png};filename=$_.png" } 1 .. 3);
    is($r->{status}, 413, 'too many');
    is($r->{json}{error}{code}, 'too_many_files', 'code');
    is(ready(), $before, 'nothing stored');

    $r = form('/small', "f=\@$file{jpeg};filename=l.jpg",
              "g=\@$file{png};filename=s.png");
    is($r->{status}, 207, 'one is too large');
    is($r->{json}{failures}[0]{code}, 'too_large', 'code');
    is($r->{json}{images}[0]{originalName}, 's.png', 'the other is stored');
};

subtest 'forms that are none: nothing is stored' => sub {
    my $before = ready();
    my %bad = (
        'no last boundary' => part($filehead, $png),
        'cut in the data' => substr(part($filehead, $png), 0, 20_000),
        'LF only' => "--xyz\n$filehead\n\n$png\n--xyz--\n",
        'no name' => part('Content-Disposition: form-data; filename="a"', $png)
                     . "--xyz--\r\n",
        'no disposition' => part('Content-Type: image/png', $png)
                            . "--xyz--\r\n",
        'no file' => part('Content-Disposition: form-data; name="a"', 'b')
                     . "--xyz--\r\n",
        'empty' => "--xyz--\r\n",
        'base64' => part("$filehead\r\nContent-Transfer-Encoding: base64", 'eA==')
                    . "--xyz--\r\n",
        'a bad field behind a good file' => part($filehead, $png)
            . part('Content-Disposition: form-data; name="expiresAt"', 'yesterday')
            . "--xyz--\r\n",
        'an end in the past' => part($filehead, $png)
            . part('Content-Disposition: form-data; name="expiresAt"',
                   '2001-01-01T00:00:00Z') . "--xyz--\r\n",
    );
    for my $what (sort keys %bad) {
        my $r = raw_form($bad{$what});
        is($r->{status}, 400, $what) or diag($r->{body});
    }
    is(raw_form("x", type => 'multipart/form-data')->{status}, 400,
       'no boundary');
    is(raw_form("x", type => 'multipart/form-data; boundary=' . 'b' x 71)
       ->{status}, 400, 'a boundary that is too long');
    is(ready(), $before, 'nothing stored');
};

subtest 'what is odd but right' => sub {
    my $odd = "preamble\r\n"
        . part('content-disposition: FORM-DATA; filename="q%22uote.png"; name=f',
               $png)
        . part('Content-Disposition: form-data; name="f"; '
               . "filename*=UTF-8''na%C3%AFve.png", $png)
        . "--xyz--\r\nepilogue";
    my $r = raw_form($odd);
    is($r->{status}, 201, 'created') or diag($r->{body});
    is($r->{json}{images}[0]{originalName}, 'q"uote.png', 'an escaped quote');
    is($r->{json}{images}[1]{originalName}, "na\x{ef}ve.png", 'filename*');

    # boundary look-alikes in the data
    my $like = "\r\n--xy\r\n--xyzz\r\n--xyz-\r\n";
    my $img = png(2000);
    substr($img, 200, length $like) = $like;
    $r = raw_form(part($filehead, $img) . "--xyz--\r\n");
    is($r->{status}, 422, 'the data is data: its CRC is wrong');
};

subtest 'userId, and another after the first file' => sub {
    is(form('/api', 'userId=alice', "f=\@$file{png}")->{status}, 201, "one's own");
    is(form('/api', 'userId=bob', "f=\@$file{png}")->{status}, 403, "another's");
    is(form('/api', "f=\@$file{png}", 'userId=bob')->{status} >= 400, 1,
       "another's, late");
};

subtest 'a public storage' => sub {
    my $r = form('/pub', "f=\@$file{png}");
    is($r->{status}, 201, 'created');
    like($r->{json}{url}, qr{\Ahttps://cdn\.example/form/}, 'its public url');
    is(form('/pub', "f=\@$file{png}", 'isPublic=false')->{status}, 409,
       'nothing private there');
};

subtest 'HTTP/2, chunked, mirrored' => sub {
    my $r = curl('--http2-prior-knowledge', '-F', "f=\@$file{jpeg}", '-F',
                 "g=\@$file{png}", "http://127.0.0.1:$h2/api/upload");
    is($r->{status}, 201, 'HTTP/2') or diag($r->{body});
    $r = curl('-H', 'Transfer-Encoding: chunked', '-F', "f=\@$file{jpeg}",
              $n->url('/api/upload'));
    is($r->{status}, 201, 'chunked') or diag($r->{body});
    $r = form('/mirrored', "f=\@$file{jpeg}", "g=\@$file{png}");
    is($r->{status}, 201, 'already read') or diag($r->{body});
};

subtest 'in single bytes' => sub {
    my $body = part($filehead, png(300)) . "--xyz--\r\n";
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    $s->autoflush(1);
    print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
           . "Content-Type: multipart/form-data; boundary=xyz\r\n"
           . 'Content-Length: ' . length($body) . "\r\n\r\n";
    for my $c (split //, $body) {
        syswrite $s, $c;
        select undef, undef, undef, 0.001;
    }
    my $text = do { local $/; <$s> };
    like($text, qr{\AHTTP/1\.1 201}, 'created');
};

subtest 'a client that vanishes in a form' => sub {
    my $before = ready();
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\n"
           . "Content-Type: multipart/form-data; boundary=xyz\r\n"
           . "Content-Length: 3000000\r\n\r\n",
        part($filehead, $png), part($filehead, $jpeg),
        "--xyz\r\n$filehead\r\n\r\n", substr($jpeg, 0, 100_000);
    select undef, undef, undef, 0.5;
    close $s;
    is(ready(), $before, 'nothing stored');
};

subtest 'nothing is left over' => sub {
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0, 'swept');
    my %ready = map { $_->{r2Key} => 1 } find_images();
    is_deeply([grep { !$ready{$_} } map { $_->{key} } objects('form/')], [],
              'no object without a document');
    is_deeply(ask('uploads', bucket => $ENV{TEST_S3_BUCKET}), [],
              'no open multipart upload');
};

$n->done;
done_testing();
