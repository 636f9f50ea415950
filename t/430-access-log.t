# The access log of docs/OPERATIONS.md, as it stands there: every line is JSON,
# whatever a client sends, and none holds a secret or a signature.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my ($recipe) = slurp('docs/OPERATIONS.md')
    =~ /^<!-- recipe: access-log -->\n```nginx\n(.*?)^```$/ms
    or die "docs/OPERATIONS.md has no recipe access-log\n";

my $store = "/tmp/iv-log-store-$$";
my $log = "$store/image_vault.json";
mkdir $store or die "$store: $!";
$recipe =~ s{/var/log/nginx/image_vault\.json}{$log}
    or die "the recipe no longer says where\n";

my $n = ImageVault::Nginx->new(
    name   => 'access-log',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
            . "image_vault_storage disk { type local; root $store; "
            . "url /files; secret a-secret-of-the-tests; }\n" . $recipe,
    server => <<"CONF",
    image_vault_owner \$http_x_user;
    image_vault_admin \$http_x_admin;
    location /api { image_vault_api s3; }
    location /disk { image_vault_api disk; }
    location /files/ { image_vault_files disk; alias $store/; }
    location /other { return 204; }
CONF
)->start;

my @alice = ('-H', 'X-User: alice');
my $file = temp_file(png(2_000));
my $strict = JSON::PP->new->utf8;


# the next line of the log: its JSON, and the line
sub line {
    my ($seconds) = @_;
    state $at = 0;
    my $text;

    wait_for {
        $text = -e $log ? substr(slurp($log), $at) : '';
        $text =~ /\n/;
    } $seconds // 60 or return ({}, '');
    $text =~ s/\n.*//s;
    $at += length($text) + 1;

    return (eval { $strict->decode($text) } // {}, $text);
}

sub logged {
    my ($what, %want) = @_;
    my ($j, $text) = line();
    is(ref $j && keys %$j, 18, "$what: JSON") or diag $text;
    for (sort keys %want) {
        ref $want{$_} ? like($j->{$_} // 'null', $want{$_}, "$what: $_")
                      : is($j->{$_}, $want{$_}, "$what: $_");
    }
    unlike($text, qr/X-Amz|Signature=|[?&]\w/i, "$what: no signature");
    return $j;
}

# what curl would not send
sub raw {
    my ($bytes, $keep) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}",
                                  Timeout => 5) or die "connect: $!";
    print $s $bytes;
    return $s if $keep;
    local $/;
    return scalar <$s>;
}


subtest 'what happened' => sub {
    my $up = curl('-T', $file, @alice, '-H', 'Content-Type: image/png', '-A',
                  'tests/1.0', $n->url('/api/upload?filename=a%22b.png'));
    is($up->{status}, 201, 'stored');
    my $id = $up->{json}{images}[0]{id};
    my $j = logged('upload', client => '127.0.0.1', owner => 'alice',
        method => 'PUT', path => '/api/upload', status => 201,
        result => 'created', requestId => $up->{json}{requestId},
        received => qr/^2\d{3}$/, dbSeconds => qr/^\d+(\.\d+)?$/,
        storageSeconds => qr/^\d+(\.\d+)?$/, agent => 'tests/1.0',
        time => qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);

    curl(@alice, $n->url("/api/$id/view"));
    logged('redirect', status => 302, result => 'redirect', image => $id,
           type => 'image/png', size => 2_000,
           sha256 => $up->{json}{images}[0]{checksums}{sha256},
           path => "/api/$id/view", storageSeconds => undef);
    curl(@alice, $n->url("/api/$id"));
    logged('JSON', status => 200, result => 'document', image => $id);
    curl('-H', 'X-User: bob', $n->url("/api/$id"));
    logged('a stranger', status => 404, result => 'not_found', owner => 'bob',
           image => $id, size => undef, sha256 => '');
    curl('-T', $file, $n->url('/api/upload'));
    logged('nobody', status => 401, result => 'unauthenticated', owner => '');
    curl('-F', "a=\@$file", '-F', "b=\@$file", @alice,
         $n->url('/api/upload?tags=secret'));
    logged('a form', status => 201, result => 'created', method => 'POST',
           path => '/api/upload');
    curl('-H', 'X-User: root', '-H', 'X-Admin: 1',
         $n->url('/api/admin/stats'));
    logged('an admin', status => 200, result => 'admin', owner => 'root');
    curl($n->url('/other?token=x'));
    logged('other locations', status => 204, result => '', owner => '',
           dbSeconds => undef, path => '/other');
};


subtest 'a link to a file' => sub {
    my $up = curl('-T', $file, @alice, '-H', 'Content-Type: image/png',
                  $n->url('/disk/upload'));
    logged('upload', status => 201);
    my ($path) = $up->{json}{url} =~ m{^http://[^/]+(/files/[^?]+)\?};
    is(curl($up->{json}{url})->{status}, 200, 'the link');
    logged('the link', status => 200, path => $path);
    is(curl($up->{json}{url} . 'x')->{status}, 403, 'a forged one');
    logged('a forged one', status => 403, result => 'forbidden');
};


subtest 'what clients may send' => sub {
    my $get = sub { raw("GET $_[0] HTTP/1.1\r\nHost: x\r\n"
                        . "Connection: close\r\n" . ($_[1] // '') . "\r\n") };

    $get->("/api/\xff\xfe");
    logged('bytes in a path', path => '?', status => 404);
    $get->('/api/%ff%22%5c%0a');
    logged('escaped ones', path => '/api/%ff%22%5c%0a', status => 404);
    $get->('/api/"\\</script>');
    logged('quotes', path => '/api/"\\</script>', status => 401);
    $get->("/api/x?\xff=secret");
    logged('bytes in a query', path => '/api/x');
    $get->('/api/x', "User-Agent: \xc3\x28\"\\\t\r\n");
    logged('bytes in a header', agent => '?');
    $get->('/api/x', "User-Agent: a\"b\\c\r\n");
    logged('quotes in a header', agent => 'a"b\\c');
    $get->('/api/x', "X-User: \"\xff\r\n");
    logged('bytes in an owner', owner => '', status => 401,
           result => 'unauthenticated');
    $get->('/api/x', "Host: \xff\r\n");
    logged('two hosts', status => 400);
    raw("GARBAGE \x01\xff\r\n\r\n");
    logged('garbage', status => 400);
    raw("GET /other\r\n");
    logged('HTTP/0.9', method => 'GET', status => 204);

    my $s = raw("PUT /api/upload HTTP/1.1\r\nHost: x\r\nX-User: alice\r\n"
              . "Content-Length: 2000\r\n\r\n" . substr(png(2_000), 0, 900), 1);
    ok((wait_images({ userId => 'alice', status => 'uploading' }, 1, 60)),
       'an upload begins');
    close $s;
    logged('and breaks off', result => qr/^(aborted|length_mismatch)$/,
           owner => 'alice');
    $s = raw("GET /api/x HTTP/1.1\r\nHost: x\r\n", 1);
    close $s;
    logged('a head that breaks off', result => '');
};


subtest 'no line has a secret' => sub {
    my $text = slurp($log);
    unlike($text, qr/secret/i, 'of ours');
    unlike($text, qr/\Q$ENV{TEST_S3_SECRET}\E/, "of the storage's");
    unlike($text, qr/\Q$ENV{TEST_S3_ACCESS}\E/, 'nor its key');
    my @lines = split /\n/, $text;
    is((grep { !eval { $strict->decode($_) } } @lines), 0, 'all are JSON');
    is((line(1))[1], '', 'and all were looked at');
};

$n->done;
system 'rm', '-rf', $store;
done_testing();
