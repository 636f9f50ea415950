# worker_shutdown_timeout: an old worker closes what is still under way.  What
# it breaks off itself says nothing of the storage, whose breaker the new
# workers share; it is undone, and keys are given back.

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

my $http = ImageVault::Nginx::http_base();
my $server = "listen 127.0.0.1:$h2 http2;\nimage_vault_owner alice;\n"
           . "location = /metrics { image_vault_metrics; }\n";
for my $b (qw(slow-60000 stall-100000 good)) {
    $http .= ImageVault::Nginx::storage_s3(
        name => $b, endpoint => $s3, bucket => $b, retries => 2,
        region => 'auto', backoff => '1ms 2ms');
    $server .= "location /$b { image_vault_api $b; }\n";
}

my $n = ImageVault::Nginx->new(
    name => 'shutdown', main => "worker_shutdown_timeout 500ms;\n",
    http => $http, server => $server,
)->start;


sub head {
    my ($path, $type, @more) = @_;
    return join("\r\n", "POST $path HTTP/1.1", 'Host: x',
                "Content-Type: $type", @more) . "\r\n\r\n";
}

# sends what is taken within a second, and leaves the connection open
sub begin {
    my ($text) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}",
                                  Timeout => 5) or die "connect: $!";
    $s->blocking(0);
    my $end = Time::HiRes::time() + 1;
    for (my $off = 0; $off < length $text;) {
        my $sent = syswrite $s, $text, 65536, $off;
        last if Time::HiRes::time() > $end;
        $sent ? $off += $sent : Time::HiRes::sleep(0.01);
    }
    return $s;
}

sub reload {
    my ($bucket, $count) = @_;

    is(wait_images({ storage => $bucket, status => 'uploading' }, $count, 60),
       $count, 'in flight');
    my @old = $n->workers;
    $n->reload;
    ok((wait_for {
            my %now = map { $_ => 1 } $n->workers;
            !grep { $now{$_} } @old;
        } 60), 'the old worker is gone');
    like(curl($n->url('/metrics'))->{body},
         qr/^image_vault_storage_breaker_open\{storage="$bucket"\} 0$/m,
         'the breaker is closed');
    is(wait_images({ storage => $bucket, status => 'uploading' }, 0, 60), 0,
       'undone');
}


for my $case (['slow-60000', 20_000, 20_000, 'the answer is waited for'],
              ['stall-100000', 8_000_000, 8_000_000, 'the storage stalls'],
              ['good', 5_000_000, 1_000_000, 'the client is slow'])
{
    my ($bucket, $length, $sent, $what) = @$case;

    subtest $what => sub {
        my $text = head("/$bucket/upload", 'image/png',
                        "Content-Length: $length")
                 . substr png($length), 0, $sent;
        my @open = map { begin($text) } 1 .. 8;
        reload($bucket, 8);
    };
}

subtest 'HTTP/2, forms, keys, JSON' => sub {
    my $file = temp_file(png(5_000_000));
    my $png = png(500_000);
    my $part = "--b\r\nContent-Disposition: form-data; name=f; filename=";
    my $form = $part . "a.png\r\n\r\n" . png(9000) . "\r\n" . $part
             . "b.png\r\n\r\n" . substr png(90_000), 0, 70_000;

    my @pids;
    for (1 .. 2) {
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            exec 'curl', '-s', '--http2-prior-knowledge', '-o', '/dev/null',
                 '--limit-rate', '100k', '-H', 'Content-Type: image/png',
                 '-T', $file, "http://127.0.0.1:$h2/good/upload"
                or die "exec: $!";
        }
        push @pids, $pid;
    }
    my @open = map {
        begin(head('/good/upload', 'image/png', 'Content-Length: 500000',
                   "Idempotency-Key: k$_") . substr $png, 0, 300_000),
        begin(head('/good/upload', 'multipart/form-data; boundary=b',
                   'Transfer-Encoding: chunked')
              . sprintf("%x\r\n%s\r\n", length $form, $form)),
        begin(head('/good/bulk', 'application/json', 'Content-Length: 500')
              . '{'),
    } 1 .. 2;

    # of each form there are two
    reload('good', 8);
    waitpid $_, 0 for @pids;

    my $whole = temp_file($png);
    is(curl('-X', 'POST', '--data-binary', "\@$whole",
            '-H', 'Content-Type: image/png', '-H', "Idempotency-Key: k$_",
            $n->url('/good/upload'))->{status}, 201, "the key k$_ is free")
        for 1 .. 2;
};

my $log = $n->error_log;
like($log, qr/the worker has to end.*raise worker_shutdown_timeout/,
     'the log says why');
unlike($log, qr/is not available/, 'no storage is to blame');

$n->done;
done_testing();
