# What clients do: HTTP/2, 100-continue, bodies that break off, lie, wait, and
# refusals that come while the body is still on its way.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $h2 = free_port();
my $n = ImageVault::Nginx->new(
    name   => 'client',
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3()
              . "image_vault_owner alice;\nimage_vault_max_size 50m;\n",
    server => <<"EOF_CONF",
    listen 127.0.0.1:$h2 http2;
    location /api { image_vault_api s3; }
    location /stuck { image_vault_api s3; client_body_timeout 2s; }
    location /few { image_vault_api s3; image_vault_max_size 100k; }
    location /none { image_vault_api s3; image_vault_owner ""; }
EOF_CONF
)->start;

my $big = temp_file(png(5_000_000));
my $bad = png(5_000_000);
substr($bad, 1_000_000, 1) ^= "\x01";
$bad = temp_file($bad);


# a connection of its own: sends what it is given, piece by piece
sub connection {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}",
                                  Timeout => 5) or die "connect: $!";
    $s->autoflush(1);
    return $s;
}

sub head {
    my ($length, @more) = @_;
    return join("\r\n", 'POST /api/upload HTTP/1.1', 'Host: x',
                'Content-Type: image/png', "Content-Length: $length", @more)
         . "\r\n\r\n";
}

sub answer {
    my ($s) = @_;
    local $SIG{ALRM} = sub { die "no answer\n" };
    alarm 60;
    my $text = '';
    while (sysread $s, my $buf, 65536) {
        $text .= $buf;
        last if $text =~ /\r\n\r\n.*\}/s;
    }
    alarm 0;
    return $text;
}


subtest 'HTTP/2' => sub {
    my $r = curl('--http2-prior-knowledge', '-T', $big, '-H',
                 'Content-Type: image/png',
                 "http://127.0.0.1:$h2/api/upload?filename=2.png");
    is($r->{status}, 201, 'created');
    my $d = find_image($r->{json}{images}[0]{id});
    is(object($d->{r2Key})->{size}, 5_000_000, 'whole');

    $r = curl('--http2-prior-knowledge', '-T', $bad, '-H',
              'Content-Type: image/png', "http://127.0.0.1:$h2/api/upload");
    is($r->{status}, 422, 'refused in mid-body, and read by the client');
    is($r->{json}{error}{code}, 'corrupt_image', 'code');
};

subtest 'Expect: 100-continue is answered after the checks' => sub {
    my $r = curl('-T', $big, '-H', 'Expect: 100-continue', '-H',
                 'Content-Type: image/png', $n->url('/api/upload'));
    is($r->{status}, 201, 'created');

    my $s = connection();
    (my $h = head(5_000_000, 'Expect: 100-continue')) =~ s{/api}{/none};
    print $s $h;
    my $text = answer($s);
    like($text, qr{\AHTTP/1\.1 401}, 'refused without a 100');
    unlike($text, qr{100 Continue}, 'indeed');
};

subtest 'a refusal is readable by a client that sends on' => sub {
    for my $f ($bad, $big) {
        my $path = $f eq $bad ? '/api/upload' : '/few/upload';
        my $r = curl('-T', $f, '-H', 'Expect:', '-H',
                     'Content-Type: image/png', $n->url($path));
        is($r->{exit}, 0, 'curl is content');
        is($r->{status}, $f eq $bad ? 422 : 413, 'status');
        ok($r->{json}, 'as JSON');
    }
};

subtest 'a body that never comes to its end' => sub {
    my $s = connection();
    (my $h = head(3_000_000)) =~ s{/api}{/stuck};
    print $s $h, substr(png(3_000_000), 0, 500_000);
    like(answer($s), qr{\AHTTP/1\.1 408.*"timeout"}s, '408');
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'undone');
};

# the object of an earlier one may still be going
subtest 'a client that vanishes' => sub {
    my $s = connection();
    print $s head(3_000_000), substr(png(3_000_000), 0, 1_000_000);
    is(wait_images({ status => 'uploading' }, 1, 60), 1, 'it had begun');
    my ($doc) = find_images({ status => 'uploading' });
    like($doc->{r2Key}, qr{\Aimages/}, 'its key');
    close $s;
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'undone at once');
    ok((wait_for { !objects($doc->{r2Key}) } 60), 'no object');
};

subtest 'a client that vanishes when all is sent' => sub {
    my $all = () = find_images({ status => 'ready' });
    my $s = connection();
    print $s head(200_000), png(200_000);
    Time::HiRes::sleep(0.005);
    close $s;
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'nothing pending');
};

subtest 'a slow client' => sub {
    my $png = png(300_000);
    my $s = connection();
    print $s head(300_000);
    for (my $i = 0; $i < 300_000; $i += 50_000) {
        print $s substr($png, $i, 50_000);
        Time::HiRes::sleep(0.3);
    }
    like(answer($s), qr{\AHTTP/1\.1 201}, 'created');
};

subtest 'two requests on one connection' => sub {
    my $s = connection();
    my $png = png(150_000);
    print $s head(150_000), $png;
    like(answer($s), qr{\AHTTP/1\.1 201}, 'the first');
    print $s head(150_000), $png;
    like(answer($s), qr{\AHTTP/1\.1 201}, 'the second');
    print $s head(1000), png(1000), head(1000, 'Connection: close'), png(1000);
    my $text = '';
    while (sysread $s, my $buf, 65536) { $text .= $buf }
    is(scalar(() = $text =~ m{HTTP/1\.1 201}g), 2, 'two more, pipelined');
};

subtest 'a reload loses no upload in flight' => sub {
    my $png = png(2_000_000);
    my $s = connection();
    print $s head(2_000_000), substr($png, 0, 900_000);
    is(wait_images({ status => 'uploading' }, 1, 60), 1, 'in flight');
    $n->reload;
    print $s substr($png, 900_000);
    like(answer($s), qr{\AHTTP/1\.1 201}, 'created by the old worker');
};

subtest 'memory and leftovers' => sub {
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0,
       'swept: none but ready documents');
    my %ready = map { $_->{r2Key} => $_->{size} } find_images();
    my %kept = map { $_->{key} => $_->{size} } objects('images/');
    for my $k (keys %ready) {
        is($kept{$k}, $ready{$k}, "the object of $k is whole");
    }
    my @fd = map { glob "/proc/$_/fd/*" } $n->workers;
    cmp_ok(scalar @fd, '<', 100, 'file descriptors');
};

$n->done;
done_testing();
