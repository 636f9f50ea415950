# TLS to the storage: who is trusted, which name must stand in the certificate,
# and that sessions are taken up again.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use File::Path ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $dir = "/tmp/iv-tls-$$";
File::Path::make_path($dir);
END { my $s = $?; File::Path::remove_tree($dir) if $dir; $? = $s }

sub openssl {
    my (@args) = @_;
    system("openssl @args >>$dir/openssl.log 2>&1") == 0
        or die "openssl @args: ", slurp("$dir/openssl.log");
}

for my $ca (qw(ca stranger)) {
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$ca",
            "-keyout $dir/$ca.key -out $dir/$ca.pem");
}
open my $fh, '>', "$dir/ext" or die;
print $fh "subjectAltName=DNS:localhost,DNS:*.storage.test\n";
close $fh;
openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost",
        "-keyout $dir/server.key -out $dir/server.csr");
openssl("x509 -req -in $dir/server.csr -CA $dir/ca.pem -CAkey $dir/ca.key",
        "-CAcreateserial -days 2 -extfile $dir/ext -out $dir/server.pem");

my ($port) = start_scripted('--cert' => "$dir/server.pem",
                            '--cert-key' => "$dir/server.key") =~ /:(\d+)\z/;
(my $plain = $ENV{TEST_S3_ENDPOINT}) =~ s/\Ahttp:/https:/;

my %storages = (
    good        => [ "https://localhost:$port", 'ca' ],
    unknown     => [ "https://localhost:$port", 'stranger' ],
    system      => [ "https://localhost:$port" ],
    'wrong-name' => [ "https://localhost:$port", 'ca',
                      ssl_name => 'other.test' ],
    wildcard    => [ "https://localhost:$port", 'ca',
                     ssl_name => 'bucket.storage.test' ],
    address     => [ "https://127.0.0.1:$port", 'ca' ],
    named       => [ "https://127.0.0.1:$port", 'ca',
                     ssl_name => 'localhost' ],
    unverified  => [ "https://127.0.0.1:$port", undef, ssl_verify => 'off' ],
    fresh       => [ "https://localhost:$port", 'ca', keepalive => 0 ],
    plain       => [ $plain, 'ca' ],
);

my ($http, $server) = (ImageVault::Nginx::http_base(), '');
for my $s (sort keys %storages) {
    my ($endpoint, $ca, %more) = @{ $storages{$s} };
    $more{ssl_trusted_certificate} = "$dir/$ca.pem" if $ca;
    $http .= ImageVault::Nginx::storage_s3(
        name => $s, endpoint => $endpoint, bucket => $s, region => 'auto',
        backoff => '10ms 20ms', %more);
    $server .= "location /$s { image_vault_api $s; }\n";
}

my $n = ImageVault::Nginx->new(
    name => 'tls', http => $http,
    server => "image_vault_owner alice;\n$server",
)->start;
my $file = temp_file(png(20_000));

sub upload {
    my ($storage) = @_;
    return curl('-T', $file, '-H', 'Content-Type: image/png',
                $n->url("/$storage/upload?filename=x.png"));
}

sub requests {
    my ($bucket) = @_;
    my $log = json(curl('-k', "https://127.0.0.1:$port/__log")->{body});
    return grep { $_->{path} =~ m{\A/\Q$bucket\E/} } @$log;
}


is(upload($_)->{status}, 201, "$_: stored")
    for qw(good wildcard named unverified);

for my $s (qw(unknown system wrong-name address plain)) {
    my $r = upload($s);
    is($r->{status}, 503, "$s: refused");
    is($r->{json}{error}{code}, 'storage_unavailable', "$s: code");
    is(scalar(requests($s)), 0, "$s: nothing was sent");
}

my $log = $n->error_log;
like($log, qr/\[error\].*storage "unknown".*is not trusted \(\d+: /, 'unknown: said');
like($log, qr/\[error\].*storage "system".*is not trusted/, 'system: said');
like($log, qr/\[error\].*storage "wrong-name".*does not match "other\.test"/,
     'wrong-name: said');
like($log, qr/\[error\].*storage "address".*does not match "127\.0\.0\.1"/,
     'address: said');
is(scalar(() = $log =~ /\[error\].*storage "unknown": PUT/g), 1,
   'one line at error for one failed call');

subtest 'sessions are taken up again' => sub {
    is(upload('fresh')->{status}, 201, 'stored') for 1 .. 3;
    my @r = requests('fresh');
    is(scalar(@r), 3, 'three requests');
    ok(!$r[0]{tls_reused}, 'a whole handshake');
    ok($r[1]{tls_reused}, 'then half a one');
    ok($r[2]{tls_reused}, 'and again');
};

$n->done;
done_testing();
