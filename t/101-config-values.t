# Where values come from: env:, file:, defaults; and how they are handed down
# from http to server to location.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $key = "/tmp/iv-secret-$$";

sub secret_file {
    my ($text) = @_;
    open my $fh, '>', $key or die "$key: $!\n";
    print $fh $text;
    close $fh;
}

END { unlink $key if $key }

my %env = (
    IV_TEST_MONGODB => $ENV{TEST_MONGODB_URI},
    IV_TEST_ENDPOINT => $ENV{TEST_S3_ENDPOINT},
    IV_TEST_BUCKET => $ENV{TEST_S3_BUCKET},
    IV_TEST_ACCESS => $ENV{TEST_S3_ACCESS},
    IV_TEST_SECRET => $ENV{TEST_S3_SECRET},
    IV_TEST_EXPIRY => '20m',
    IV_TEST_EMPTY => '',
    AWS_ACCESS_KEY_ID => $ENV{TEST_S3_ACCESS},
    AWS_SECRET_ACCESS_KEY => $ENV{TEST_S3_SECRET},
);

sub node {
    my ($name, $http, $server) = @_;
    return ImageVault::Nginx->new(name => $name, env => \%env, http => $http,
                                  server => $server // '');
}

sub zone {
    my ($uri) = @_;
    return "image_vault_zone vault:1m;\n"
         . "image_vault_mongodb " . ($uri // 'env:IV_TEST_MONGODB')
         . " database=$ImageVault::Peers::Database;\n"
         . "image_vault_sweep off;\n";
}

sub storage {
    my (%a) = @_;
    my %s = (endpoint => 'env:IV_TEST_ENDPOINT', bucket => 'env:IV_TEST_BUCKET',
             region => "env:IV_TEST_REGION_UNSET:-$ENV{TEST_S3_REGION}",
             credentials => "static env:IV_TEST_ACCESS file:$key", %a);
    return "image_vault_storage s3 {\n"
         . join('', map { "    $_ $s{$_};\n" } sort keys %s) . "}\n";
}

my $api = 'image_vault_owner alice; location /api { image_vault_api s3; ';


subtest 'values from the environment and from files' => sub {
    secret_file("$ENV{TEST_S3_SECRET}\n");
    my $n = node('env', zone() . storage(), <<"EOF_CONF")->start;
    image_vault_owner env:IV_TEST_OWNER:-alice;
    image_vault_url_expiry env:IV_TEST_EXPIRY;
    image_vault_url_window env:IV_TEST_EMPTY:-2m;
    image_vault_max_size env:IV_TEST_SIZE:-2k;
    location /api { image_vault_api s3; }
EOF_CONF
    my $r = curl('-T', temp_file(png(1500)), '-H', 'Content-Type: image/png',
                 $n->url('/api/upload'));
    is($r->{status}, 201, 'an upload') or diag($r->{body}, $n->error_log);
    my ($life) = ($r->{json}{url} // '') =~ /X-Amz-Expires=(\d+)/;
    is($life, 22 * 60, 'expiry and window');
    is(curl($r->{json}{url})->{status}, 200, 'the link is good');
    is(curl('-T', temp_file(png(3000)), '-H', 'Content-Type: image/png',
            $n->url('/api/upload'))->{status}, 413, 'the size');

    my ($rc, $out) = $n->command('-T');
    is($rc, 0, 'nginx -T');
    for ($ENV{TEST_S3_SECRET}, $ENV{TEST_S3_ACCESS}) {
        unlike($out, qr/\Q$_\E/, 'shows no secret of the environment');
        unlike($n->error_log, qr/\Q$_\E/, 'nor does the log');
    }
    $n->done;
};


subtest 'credentials of the environment by themselves' => sub {
    for my $credentials ('env', 'env IV_TEST_ACCESS IV_TEST_SECRET') {
        my $n = node('credentials', zone() . storage(credentials =>
            $credentials), "$api }")->start;
        is(curl('-T', temp_file(png(900)), '-H', 'Content-Type: image/png',
                $n->url('/api/upload'))->{status}, 201, $credentials);
        $n->done;
    }
};


# nginx -t: is refused, with these words, and without the secret
sub refused {
    my ($what, $http, $server, @words) = @_;

    my $n = node('refused', $http, $server);
    $n->write_conf;
    my ($rc, $out) = $n->command('-t');
    isnt($rc, 0, "$what: refused");
    like($out, qr/$_/, "$what: says why") for @words;
    unlike($out, qr/\Q$ENV{TEST_S3_SECRET}\E|hidden/, "$what: no secret");
}

subtest 'values that are not there' => sub {
    refused('unset', zone('env:IV_TEST_UNSET') . storage(), "$api }",
            qr/IV_TEST_UNSET/, qr/image_vault_mongodb/, qr/not set/);
    refused('a bad name', zone('env:9-x') . storage(), "$api }",
            qr/env:NAME/);
    refused('no name', zone('env:') . storage(), "$api }", qr/env:NAME/);
    refused('a bad default', zone() . storage(), "$api "
            . 'image_vault_url_expiry env:IV_TEST_UNSET:-never; }',
            qr/"never" in "image_vault_url_expiry"/);
    refused('an empty default', zone() . storage(), "$api "
            . 'image_vault_max_size env:IV_TEST_UNSET:-; }',
            qr/image_vault_max_size/);

    for (["no file", undef, qr/failed/], ['two lines', "hidden\nhidden\n",
         qr/one line/], ['a NUL', "hidden\0hidden", qr/one line/],
         ['too long', 'hidden' x 20_000, qr/64k/], ['empty', '', qr/./])
    {
        my ($what, $text, $word) = @$_;
        unlink $key;
        secret_file($text) if defined $text;
        refused("secret file: $what", zone() . storage(), "$api }", $word);
    }
    refused('a secret file for what is no secret', zone()
            . storage(bucket => 'file:/etc/passwd'), "$api }", qr/bucket/);
    secret_file("$ENV{TEST_S3_SECRET}\r\n");
};


subtest 'handed down' => sub {
    my $n = node('levels', zone() . storage() . <<'EOF_HTTP', <<'EOF_CONF')
image_vault_owner http;
image_vault_max_size 1k;
image_vault_url_expiry 10m;
image_vault_url_window 1m;
image_vault_key h/$image_vault_filename;
image_vault_types image/jpeg;
image_vault_uploaded_from from-http;
EOF_HTTP
    location /h { image_vault_api s3; }
    location /s {
        image_vault_owner server;
        image_vault_max_size 2k;
        image_vault_types image/png image/jpeg;
        image_vault_api s3;
        location /s/upload {
            image_vault_key $image_vault_owner/n/$image_vault_filename;
            image_vault_uploaded_from from-nested;
        }
    }
    location /l {
        image_vault_owner location;
        image_vault_max_size 3k;
        image_vault_max_pixels 1k;
        image_vault_types image/png;
        image_vault_url_expiry 30m;
        image_vault_url_window 5m;
        image_vault_key l/$image_vault_filename;
        image_vault_uploaded_from from-location;
        image_vault_api s3;
    }
    location /none { image_vault_owner ""; image_vault_api s3; }
EOF_CONF
        ->start;

    my $upload = sub {
        my ($at, $bytes) = @_;
        my $r = curl('-T', temp_file($bytes), '-H',
                     'Content-Type: application/octet-stream',
                     $n->url("/$at/upload"));
        return $r if $r->{status} != 201;
        my $doc = find_image($r->{json}{images}[0]{id});
        my ($life) = $r->{json}{url} =~ /X-Amz-Expires=(\d+)/;
        my ($folder) = $doc->{r2Key} =~ m{\A(.*)/};
        return [$doc->{userId}, $folder, $doc->{metadata}{uploadedFrom}, $life];
    };

    is_deeply($upload->('h', jpeg(1000)), ['http', 'h', 'from-http', 660],
              'http');
    is($upload->('h', jpeg(1025))->{status}, 413, 'its size');
    is($upload->('h', png(1000))->{status}, 415, 'its types');
    is_deeply($upload->('s', png(2000)), ['server', 'server/n', 'from-nested',
              660], 'a nested location');
    is($upload->('s', png(2049))->{status}, 413, 'its size');
    is_deeply($upload->('l', png(3000, width => 10, height => 10)),
              ['location', 'l', 'from-location', 2100], 'location');
    is($upload->('l', png(1000))->{json}{error}{code}, 'too_many_pixels',
       'its pixels');
    is($upload->('l', jpeg(1000))->{status}, 415, 'its types');
    is($upload->('none', jpeg(1000))->{status}, 401, 'taken back');
    $n->done;
};


done_testing();
