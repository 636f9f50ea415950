# What reviews and clients have found, or might: bodies that break off over
# HTTP/2, timers, workers that are ended, subrequests, internal redirects, lines
# smuggled into logs and headers.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = start_scripted();
my $h2 = free_port();
my $store = "/tmp/iv-bugs-store-$$";
mkdir $_ or die "$_: $!" for $store, "$store/b";
{
    open my $fh, '>', "$store/b/another.txt" or die;
    print $fh "another\n";
}
END { system 'rm', '-rf', $store if $store }

my ($mine, $theirs) = (new_id(), new_id());
insert_images(image_doc(id => $mine), image_doc(id => $theirs,
                                                owner => 'bob'));

my $n = ImageVault::Nginx->new(
    name   => 'bugs',
    http   => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=4s')
            . ImageVault::Nginx::storage_s3()
            . ImageVault::Nginx::storage_s3(name => 'slow', bucket => 'slow-4500',
                  endpoint => $s3)
            . ImageVault::Nginx::storage_s3(name => 'stall', endpoint => $s3,
                  bucket => 'stall-100000', send_timeout => '4500ms',
                  read_timeout => '4500ms', retries => 0)
            . ImageVault::Nginx::storage_s3(name => 'narrow',
                  max_active => 16)
            . <<"EOF_HTTP",
image_vault_storage local {
    type local;
    root $store;
    url /files;
    secret a-secret-of-the-tests;
}
image_vault_storage tried {
    type local;
    root $store/b;
    url /files-b;
    secret a-secret-of-the-tests;
}
image_vault_owner alice;
image_vault_max_size 50m;
log_format times '\$uri \$image_vault_result \$image_vault_db_time \$image_vault_storage_time';
EOF_HTTP
    server => <<"EOF_CONF",
    listen 127.0.0.1:$h2 http2;
    client_body_timeout 3s;
    access_log %DIR%/logs/times.log times;
    location /api { image_vault_api s3; error_page 404 /never; }
    location /slow { image_vault_api slow; }
    location /stall { image_vault_api stall; }
    location /local { image_vault_api local; }
    location /files/ { alias $store/; image_vault_files local; }
    location /tried { image_vault_api tried; }
    location /files-b/ {
        alias $store/b/;
        image_vault_files tried;
        index another.txt;
        autoindex on;
        try_files \$uri /another.txt =404;
    }
    location /tight { image_vault_api local; image_vault_max_size 1m; }
    location /many { image_vault_api narrow; image_vault_max_files 1000; }
    location /small { image_vault_api s3; client_max_body_size 1k; }
    location /guarded { auth_request /api/$mine; }
    location /closed { auth_request /api/$theirs; }
    location /page { ssi on; default_type text/html; }
    location /old { error_page 404 = /api/\$arg_id; return 404; }
    location /named { error_page 404 = \@named; return 404; }
    location \@named { image_vault_redirect id=\$arg_id; }
EOF_CONF
);
$n->{server} =~ s/%DIR%/$n->{dir}/;
$n->start;

sub connection {
    my ($port) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . ($port // $n->{port}),
                                  Timeout => 5) or die "connect: $!";
    binmode $s;
    $s->autoflush(1);
    return $s;
}

# one answer on a connection that is kept: (head, body)
sub answer {
    my ($s) = @_;
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 60;
    my ($head, $body) = ('', '');
    while (my $line = <$s>) {
        $head .= $line;
        last if $line eq "\r\n";
    }
    read $s, $body, $1 if $head =~ /^Content-Length: (\d+)/mi;
    alarm 0;
    return ($head, $body);
}

sub post {
    my ($path, $length, @more) = @_;
    return join("\r\n", "POST $path HTTP/1.1", 'Host: x',
                'Content-Type: image/png', "Content-Length: $length", @more)
         . "\r\n\r\n";
}


my $big = temp_file(png(3_000_000));

subtest 'a slow storage is not the fault of the client' => sub {
    my @way = (['HTTP/1.1', $n->url('')],
               ['HTTP/2', "http://127.0.0.1:$h2", '--http2-prior-knowledge']);
    for (@way) {
        my ($name, $base, @args) = @$_;
        my $r = curl(@args, '-T', $big, '-H', 'Content-Type: image/png',
                     "$base/slow/upload");
        is($r->{status}, 201, "$name: an answer that takes its time");
        $r = curl(@args, '-T', $big, '-H', 'Content-Type: image/png',
                  "$base/stall/upload");
        is($r->{status}, 503, "$name: a storage that stops reading");
    }
};


# HTTP/2 by hand: frames, and headers without compression
sub frame {
    my ($type, $flags, $stream, $data) = @_;
    return substr(pack('N', length $data), 1) . pack('CCN', $type, $flags,
                                                     $stream) . $data;
}

sub headers {
    my (@pairs) = @_;
    my $out = '';
    while (my ($name, $value) = splice @pairs, 0, 2) {
        die if length $name > 126 || length $value > 126;
        $out .= pack('CC/aC/a', 0, $name, $value);
    }
    return $out;
}

# reads frames until one of a type on a stream comes, or the end
sub await {
    my ($s, $type, $stream) = @_;
    local $SIG{ALRM} = sub { die "no frame\n" };
    alarm 60;
    while (read($s, my $head, 9) == 9) {
        my ($len, $t, $flags, $id) = unpack 'N C C N', "\0$head";
        my $data = '';
        read $s, $data, $len if $len;
        if ($t == $type && $id == $stream) {
            alarm 0;
            return defined $data ? "data:$data" : '';
        }
    }
    alarm 0;
    return;
}

subtest 'HTTP/2: a stream that is reset in mid-body' => sub {
    my $s = connection($h2);
    my @request = (':method' => 'POST', ':scheme' => 'http',
                   ':authority' => "vault:$h2", 'content-type' => 'image/png',
                   'origin' => "http://vault:$h2");
    print $s "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, '');

    print $s frame(1, 4, 1, headers(@request, ':path' => '/api/upload',
                                    'content-length' => 3_000_000));
    my $png = png(3_000_000);
    print $s frame(0, 0, 1, substr $png, $_ * 16384, 16384) for 0 .. 2;
    is(wait_images({ status => 'uploading' }, 1, 60), 1, 'it had begun');

    print $s frame(3, 0, 1, pack 'N', 8);
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'undone at once');

    print $s frame(1, 5, 3, headers(':method' => 'GET', ':scheme' => 'http',
        ':authority' => "vault:$h2", ':path' => '/api/' . 'f' x 24));
    like(await($s, 0, 3), qr/"not_found"/, 'the connection goes on');

    # reset while the request waits for the database, before and after its body
    for my $stream (5, 7, 9) {
        my $small = png(500);
        print $s frame(1, 4, $stream, headers(@request, ':path' =>
                       '/api/upload', 'content-length' => 500)),
                 frame(0, $stream == 5 ? 0 : 1, $stream, $small),
                 frame(3, 0, $stream, pack 'N', 8);
    }
    print $s frame(1, 5, 11, headers(':method' => 'GET', ':scheme' => 'http',
        ':authority' => "vault:$h2", ':path' => '/api/' . 'f' x 24)),
        frame(3, 0, 11, pack 'N', 8);
    Time::HiRes::sleep(0.3);

    # another's origin, a stream that stays open until its client has ended it
    print $s frame(1, 4, 13, headers(@request[0 .. 7], origin =>
                   'http://evil', ':path' => '/api/upload',
                   'content-length' => 100_000));
    like(await($s, 0, 13), qr/"forbidden"/, 'refused before its body');
    print $s frame(0, 0, 13, 'x' x 10_000), frame(3, 0, 13, pack 'N', 8);

    # all of the connection goes while a stream is in mid-body
    print $s frame(1, 4, 15, headers(@request, ':path' => '/api/upload',
                                     'content-length' => 3_000_000));
    print $s frame(0, 0, 15, substr $png, 0, 16384);
    wait_images({ status => 'uploading' }, 1, 60);
    close $s;
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'undone again');
};


subtest 'a connection goes on after refusals' => sub {
    my $s = connection();
    for my $path ('/api/upload?userId=bob', '/api/x/y',
                  '/api/upload?isPublic=maybe', '/api/' . 'f' x 24)
    {
        print $s post($path, 40_000), 'x' x 40_000;
        my ($head, $body) = answer($s);
        like($head, qr{\AHTTP/1\.1 4\d\d }, "refused: $path");
        like($body, qr/"success":false/, 'as JSON');
    }
    print $s post('/api/upload', 700), png(700);
    my ($head) = answer($s);
    like($head, qr{\AHTTP/1\.1 201 }, 'and accepted after them');
};


subtest 'times of what was not asked stay empty' => sub {
    my $line = sub {
        my ($file, @args) = @_;
        my $uri = '/api/upload';
        my $before = () = slurp("$n->{dir}/logs/times.log") =~ /\n/g;
        my $r = curl('-T', $file, '-H', 'Content-Type: image/png', @args,
                     $n->url($uri));
        my @lines;
        wait_for {
            @lines = split /\n/, slurp("$n->{dir}/logs/times.log");
            @lines > $before;
        };
        return $lines[-1];
    };
    like($line->(temp_file('no image at all')), qr/ unsupported_type - -$/,
         'refused at the first bytes');
    like($line->(temp_file('GIF89b' x 20_000)), qr/ unsupported_type - -$/,
         'of a long body too');
    my $bad = png(100_000);
    substr($bad, 50_000, 1) ^= "\x01";
    like($line->(temp_file($bad)), qr/ corrupt_image \d+\.\d{3} -$/,
         'the storage was not asked');
    like($line->(temp_file(png(900))), qr/ created \d+\.\d{3} \d+\.\d{3}$/,
         'both were');
};


subtest 'a worker that is ended, a reload in mid-body' => sub {
    my $s = connection();
    print $s post('/api/upload', 3_000_000), substr png(3_000_000), 0, 900_000;
    is(wait_images({ status => 'uploading' }, 1, 60), 1, 'in flight');
    my @old = $n->workers;
    kill 'TERM', @old;
    wait_for { my %now = map { $_ => 1 } $n->workers; !grep { $now{$_} } @old }
        or fail('the worker is gone');
    is(wait_images({ status => { '$in' => ['uploading', 'error'] } }, 0, 60), 0,
       'swept');

    wait_for { eval { connection() } };
    my $kept = find_image(curl('-T', temp_file(png(600)), '-H',
        'Content-Type: image/png', $n->url('/api/upload'))
        ->{json}{images}[0]{id});
    ok($kept, 'a new worker works');
};


subtest 'subrequests and internal redirects' => sub {
    my $status = sub { curl($n->url($_[0]))->{status} };

    my $fh;
    for my $name (qw(guarded closed)) {
        open $fh, '>', "$n->{dir}/html/$name" or die;
        print $fh 'inside';
        close $fh;
    }
    is($status->('/guarded'), 200, 'auth_request');
    is($status->('/closed'), 500, 'auth_request, not allowed');

    is($status->("/old?id=$mine"), 200, 'error_page');
    is($status->("/old?id=$theirs"), 404, 'error_page, not allowed');
    is($status->("/named?id=$mine"), 302, 'a named location');
    is($status->("/named?id=$theirs"), 404, 'a named location, not allowed');

    my $link = curl('-T', temp_file(png(800)), '-H', 'Content-Type: image/png',
                    $n->url('/local/upload'))->{json}{url};
    my ($path, $args) = $link =~ m{(/files/[^?]+)\?(.*)};

    mkdir "$n->{dir}/html/page";
    open $fh, '>', "$n->{dir}/html/page/index.html" or die;
    print $fh join '<|next|>', map { qq{<!--# include virtual="$_" -->} }
        "/api/$mine", "/api/$theirs", "/files/nothing", $path, "$path?$args",
        '/api/upload';
    close $fh;
    my $body = curl($n->url('/page/'))->{body};
    my @part = split /<\|next\|>/, $body;
    like($part[0], qr/"id":"$mine"/, 'ssi: mine');
    like($part[1], qr/"not_found"/, 'ssi: not allowed');
    like($part[2], qr/"forbidden"/, 'ssi: a file without a link');
    like($part[3], qr/"forbidden"/, 'ssi: another');
    like($part[4], qr/\x89PNG/, 'ssi: a file with its link');
    like($part[5] // '', qr/"method_not_allowed"/, 'ssi: upload');

    # the first file of try_files has a link, the second has none
    my $gone = curl('-T', temp_file(png(800)), '-H', 'Content-Type: image/png',
                    $n->url('/tried/upload'))->{json}{url};
    my ($file) = $gone =~ m{/files-b(/[^?]+)};
    is(curl($gone)->{status}, 200, 'try_files: its own link');
    unlink "$store/b$file" or die "$store/b$file: $!";
    my $r = curl($gone);
    is($r->{status}, 403, 'try_files: nothing else by it');
    like($n->error_log, qr/a file without a valid link was withheld/,
         'for that reason');
    is($status->('/files-b/'), 403, 'no index');
    is($status->('/files-b/images/'), 403, 'no list');
    is($status->('/files-b/another.txt'), 403, 'no bare file');
};


subtest 'a form of very many files takes its turns' => sub {
    my ($png, $body) = (png(800), '');

    # a name, no name but bytes, nothing at all
    for my $i (1 .. 200) {
        my $name = $i % 5 ? "$i.png" : '';
        my $bytes = $i % 50 == 1 ? '' : $png;
        $body .= qq{--many\r\nContent-Disposition: form-data; name="f"; }
               . qq{filename="$name"\r\n\r\n$bytes\r\n};
    }
    $body .= qq{--many\r\nContent-Disposition: form-data; name="tags"\r\n}
           . qq{\r\nturns\r\n--many--\r\n};
    my @form = ('-H', 'Content-Type: multipart/form-data; boundary=many',
                '--data-binary', '@' . temp_file($body));

    for my $how ([], ['-H', 'Transfer-Encoding: chunked'],
                 ['-H', 'Idempotency-Key: turns'])
    {
        my $r = curl(@form, @$how, $n->url('/many/upload'));
        is($r->{status}, 207, "stored @$how");
        is(@{ $r->{json}{images} }, 196, 'every image');
        is(join(' ', map { "$_->{index}:$_->{code}" }
                     @{ $r->{json}{failures} }),
           join(' ', map { "$_:length_mismatch" } 0, 50, 100, 150),
           'but those without bytes');
    }
    is(find_images({ 'metadata.tags' => 'turns', status => 'ready' }), 588,
       'all have the field behind them');
    unlike($n->error_log, qr/operations of max_active are in use/,
           'a few at a time');

    # whoever breaks off leaves nothing, also of a file that waits its turn
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                  PeerPort => $n->{port}) or die "$!\n";
    print $s "POST /many/upload HTTP/1.1\r\nHost: a\r\nContent-Length: "
           . length($body) . "\r\nContent-Type: multipart/form-data; "
           . "boundary=many\r\n\r\n" . substr($body, 0, 60_000);
    Time::HiRes::sleep(0.02);
    close $s;
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'nothing is left');
};


subtest 'a local file of unknown length that is too large' => sub {
    my $large = temp_file(png(1_500_000));
    for my $how (['-T', $large, '-H', 'Content-Type: image/png',
                  '-H', 'Transfer-Encoding: chunked'],
                 ['-F', "f=\@$large;type=image/png"],
                 ['-F', "f=\@$large;type=image/png",
                  '-H', 'Transfer-Encoding: chunked'])
    {
        my $r = curl(@$how, $n->url('/tight/upload'));
        is($r->{status}, 413, "refused: $how->[0] $how->[-1]");
        is($r->{json}{error}{code}, 'too_large', 'code');
    }
};


subtest 'errors of nginx itself bear the headers' => sub {
    my $r = curl('-T', $big, '-H', 'Content-Type: image/png', '-H', 'Expect:',
                 $n->url('/small/upload'));
    is($r->{status}, 413, 'client_max_body_size of the location');
    is($r->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
};


subtest 'nothing is smuggled into logs and headers' => sub {
    my $evil = '%0d%0aX-Evil:%20yes%0d%0a%0d%0a2000/01/01';
    my $png = temp_file(png(800));
    my @type = ('-H', 'Content-Type: image/png');
    my $r = curl('-T', $png, @type, $n->url("/local/upload?filename=$evil.png"));
    is($r->{status}, 201, 'stored');
    unlike($r->{json}{images}[0]{originalName}, qr/[\r\n]/, 'a clean name');
    my $id = $r->{json}{images}[0]{id};
    $r = curl($n->url("/local/$id/download"));
    is($r->{status}, 302, 'redirect');
    is($r->{headers}{'x-evil'}, undef, 'no header of the client in it');
    $r = curl('-L', $n->url("/local/$id/download"));
    is($r->{status}, 200, 'followed');
    is($r->{headers}{'x-evil'}, undef, 'nor in what it leads to');
    like($r->{headers}{'content-disposition'}, qr/\Aattachment; filename=/,
         'its name');

    curl('-T', $png, @type, $n->url("/local/upload?userId=$evil"));
    curl($n->url("/files/$evil"));
    curl($n->url("/files/$evil?signature=$evil&expires=1"));
    curl($n->url("/api/$evil"));
    curl($n->url("/local/$evil/view"));
    curl('-T', $png, @type, '-H', "Origin: http://x\ty", $n->url('/api/upload'));
    my @odd = grep { !m{\A\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[} || m{\A2000/} }
              split /\n/, $n->error_log;
    is_deeply(\@odd, [], 'every line of the error log is a line of nginx');
};


is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0,
   'nothing but ready documents is left');
$n->done;
done_testing();
