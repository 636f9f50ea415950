# A local storage: links that hold for a while, nginx's static module behind
# them, no way out of the folder.

use lib 't/lib';
use Test::Nginx::Socket 'no_plan';
use ImageVault;

our $Node = <<"EOF_CONF";
location /api { image_vault_api local; image_vault_owner alice; }
location /files/ {
    alias $ImageVault::Store/;
    image_vault_files local;
}
EOF_CONF

# uploads a picture, returns what the answer holds and its link below the server
sub stored {
    my ($bytes) = @_;
    my $base = 'http://127.0.0.1:' . server_port();
    my $r = curl('-T', temp_file($bytes), "$base/api/upload?filename=a%20b.png");
    is($r->{status}, 201, 'stored');
    my $link = $r->{json}{url};
    return ($base, $r->{json}, $link);
}

run_tests();

__DATA__

=== TEST 1: the link serves the bytes, the type and the name
--- config eval: $main::Node
--- request
GET /files/nothing
--- error_code: 403
--- after eval
sub {
    my $png = main::png(5000);
    my ($base, $j, $link) = main::stored($png);
    my $r = main::curl($link);
    Test::More::is($r->{status}, 200, 'served');
    Test::More::is($r->{body}, $png, 'the bytes');
    Test::More::is($r->{headers}{'content-type'}, 'image/png', 'type');
    Test::More::is($r->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
    Test::More::like($r->{headers}{'cache-control'}, qr/private, max-age=\d+/,
        'cache');

    $r = main::curl('-r', '10-19', $link);
    Test::More::is($r->{status}, 206, 'a range');
    Test::More::is($r->{body}, substr($png, 10, 10), 'of the bytes');

    $r = main::curl('-I', $link);
    Test::More::is($r->{status}, 200, 'HEAD');

    my $id = $j->{images}[0]{id};
    $r = main::curl('-L', "$base/api/$id/download");
    Test::More::is($r->{status}, 200, 'download');
    Test::More::is($r->{body}, $png, 'its bytes');
    Test::More::like($r->{headers}{'content-disposition'},
        qr/\Aattachment; filename="a b\.png"/, 'its name');
}


=== TEST 2: nothing without a good link
--- config eval: $main::Node
--- request
GET /files/
--- error_code: 403
--- after eval
sub {
    my ($base, $j, $link) = main::stored(main::png(500));
    (my $bare = $link) =~ s/\?.*//;
    Test::More::is(main::curl($bare)->{status}, 403, 'no signature');
    (my $bad = $link) =~ s/(signature=)(.)/$1 . ($2 eq 'a' ? 'b' : 'a')/e;
    Test::More::is(main::curl($bad)->{status}, 403, 'a bad signature');
    (my $late = $link) =~ s/(expires=)(\d+)/$1 . ($2 + 1)/e;
    Test::More::is(main::curl($late)->{status}, 403, 'a longer life');
    (my $name = $link) =~ s/signature/download=x&signature/;
    Test::More::is(main::curl($name)->{status}, 403, 'another name');
    (my $twice = $link) =~ s/expires=(\d+)/expires=$1&expires=9999999999/;
    Test::More::is(main::curl($twice)->{status}, 403, 'two ends');
    Test::More::is(main::curl('--path-as-is', "$base/files/../../etc/passwd")
        ->{status} >= 400, 1, 'no way out');
    (my $other = $link) =~ s/\.png\?/.jpg?/;
    Test::More::is(main::curl($other)->{status}, 403, 'another key');
    Test::More::is(main::curl('-d', 'x', $link)->{status}, 405, 'POST');
}


=== TEST 3: a link that has run out
--- config eval
qq{location /api { image_vault_api local; image_vault_owner alice; image_vault_url_expiry 1s; image_vault_url_window 1s; }
location /files/ { alias $ImageVault::Store/; image_vault_files local; }}
--- request
GET /files/x
--- error_code: 403
--- after eval
sub {
    my ($base, $j, $link) = main::stored(main::png(500));
    sleep 4;
    my $r = main::curl($link);
    Test::More::is($r->{status}, 410, 'gone');
    Test::More::is($r->{json}{error}{code}, 'gone', 'as JSON');
}


=== TEST 4: symbolic links are not followed
--- config eval: $main::Node
--- request
GET /files/x
--- error_code: 403
--- no_error_log
[alert]
[emerg]
--- after eval
sub {
    my ($base, $j, $link) = main::stored(main::png(500));
    my ($key) = $link =~ m{/files/([^?]+)};
    my $file = "$ImageVault::Store/$key";
    rename $file, "$file.away";
    symlink "$file.away", $file;
    my $r = main::curl($link);
    Test::More::is($r->{status}, 403, 'a link in the place of the file');
    unlink $file;

    # a folder that is a link: nothing is written through it
    mkdir "$ImageVault::Store/outside";
    symlink "$ImageVault::Store/outside", "$ImageVault::Store/linked";
    Test::More::ok(-l "$ImageVault::Store/linked", 'a linked folder');
}


=== TEST 5: nothing is written through a linked folder
--- config
location /api { image_vault_api local; image_vault_owner alice; image_vault_key linked/$image_vault_filename; }
--- request eval
"POST /api/upload\n" . png(500)
--- error_code: 502
--- error_log: [error]
--- response_body_like: storage_denied


=== TEST 6: the folder is missing
--- http_config
image_vault_storage away { type local; root /nonexistent-iv; url /x; secret abcdefghijkl; }
--- config
location /api { image_vault_api away; image_vault_owner alice; }
--- request eval
"POST /api/upload\n" . png(500)
--- error_code: 502
--- error_log: [error]
--- response_body_like: storage_denied
