# A short election while an upload is under way costs no upload, also when it
# takes longer than the driver looks for a primary.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

delete $ENV{MONGODB_URI};               # would be used instead
my $dir = "/tmp/iv-test-election-$$";
chomp(my $uri = `util/mongod start $dir`);
die "util/mongod start: $?\n" if $?;
END { my $s = $?; system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir"); $? = $s }

my $n = ImageVault::Nginx->new(
    name   => 'election',
    http   => ImageVault::Nginx::http_base(mongodb => $uri, timeout => '5s')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
)->start;

# one member: it steps down, and some seconds later it is the primary again
sub step_down {
    my $code = 'import pymongo, sys; '
             . 'c = pymongo.MongoClient(sys.argv[1]); '
             . 'c.admin.command("replSetStepDown", 3, force=True)';
    return system($ENV{TEST_PYTHON} // 'python3', '-c', $code, $uri) == 0;
}

my $png = png(400_000);
my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
print $s "PUT /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n"
       . "Connection: close\r\n\r\n", substr($png, 0, 300_000);
select undef, undef, undef, 0.5;
ok(step_down(), 'stepped down');
print $s substr($png, 300_000);
my $text = do { local $/; <$s> };
like($text, qr{\AHTTP/1\.1 201}, 'created');
my ($id) = $text =~ /"id":"([0-9a-f]{24})"/;
is(curl($n->url("/api/$id"))->{status}, 200, 'and it is there');

$n->done;
done_testing();
