# Uploads over HTTP/3, with a body under way (util/http3 runs this).

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Flight;
use ImageVault::Nginx;
use ImageVault::Peers;

my @kinds = qw(raw chunked form);
my $image = png(500_000);
my $port = free_port();
my $tls = "/tmp/iv-http3-$$";
my $made = system("openssl req -x509 -newkey ec -pkeyopt "
    . "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
    . "-keyout $tls.key -out $tls.crt 2>/dev/null");
BAIL_OUT('no certificate') if $made;

my $n = ImageVault::Nginx->new(
    name => 'http3',
    http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=3s')
          . ImageVault::Nginx::storage_s3(part_size => '5m')
          . "image_vault_key http3/\$image_vault_filename;\n"
          . "image_vault_max_size 20m;\nclient_max_body_size 0;\n"
          . "log_format proto '\$server_protocol \$status';\n",
    server => <<"EOF_CONF",
listen 127.0.0.1:$port quic;
ssl_certificate $tls.crt;
ssl_certificate_key $tls.key;
access_log logs/proto.log proto;
image_vault_owner alice;
client_body_timeout 3s;
location \@json { image_vault_error; }
location = /no { internal; return 403; }
location = /copy { internal; return 204; }
location /api { image_vault_api s3; }
location /none { image_vault_api s3; image_vault_owner ""; }
location /few { image_vault_api s3; image_vault_max_size 100k; }
location /low { image_vault_api s3; client_max_body_size 100k;
                error_page 413 = \@json; }
location /denied { image_vault_api s3; auth_request /no;
                   error_page 403 = \@json; }
location /mirrored { image_vault_api s3; mirror /copy;
                     client_body_buffer_size 16k; }
EOF_CONF
)->start;


sub connected { return ImageVault::Flight::Http3->new($port) }

sub fly {
    my ($path, %a) = @_;
    my $f = ImageVault::Flight->new(path => $path, image => $image, %a);
    $f->send(200_000);
    return $f;
}


subtest 'created' => sub {
    my $c = connected();
    for my $as (@kinds) {
        my $f = fly('/api/upload', as => $as, h2 => $c);
        up(1);
        my $a = landed($f, 'alice', $as);
        is($a->{headers}{'x-content-type-options'}, 'nosniff', 'headers');
        landed(fly('/mirrored/upload', as => $as, h2 => $c), 'alice',
               "$as, read before");
    }
    landed(fly('/api/upload', as => $_, h2 => $c, image => png(6_000_000)),
           'alice', "$_, more than a part") for @kinds;
};

subtest 'refused, in mid-body and after it' => sub {
    my $c = connected();
    my $text = 'no image' x 625_000;
    for my $as (@kinds) {
        my @how = (as => $as, h2 => $c);
        refused(fly('/none/upload', @how)->answer, 401, 'unauthenticated',
                "$as, nobody's");
        refused(fly('/denied/upload', @how)->answer, 403, 'forbidden',
                "$as, auth_request");
        refused(fly('/low/upload', @how)->finish, 413, 'too_large',
                "$as, client_max_body_size");
        refused(fly('/few/upload', @how, image => png(5_000_000))->finish,
                413, 'too_large', "$as, too large");
        refused(fly('/api/upload', @how, image => $text)->finish, 415,
                'unsupported_type', "$as, no image");
        my $cut = fly('/api/upload', @how, image => substr $image, 0, 400_000);
        refused($cut->finish, 422, 'corrupt_image', "$as, truncated");
        landed(fly('/api/upload', @how), 'alice', "$as, after all that");
    }
    up(0);
};

subtest 'streams side by side, one is reset' => sub {
    my $c = connected();
    my @f = map { fly('/api/upload', as => $kinds[$_ % @kinds], h2 => $c,
                      image => png(500_000 + 1000 * $_)) } 0 .. 5;
    up(6);
    my $lost = pop @f;
    $lost->close;
    up(5);
    landed($_, 'alice', "stream $_->{stream}") for @f;
    is(scalar(find_images({ size => length $lost->{image} })), 0,
       'the lost one is none');
};

subtest 'a client that is lost' => sub {
    my @f = map { fly('/api/upload', as => $_, h2 => connected()) } @kinds;
    up(3);
    undef @f;
    up(0);
};

subtest 'what is left' => sub {
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 20), 0,
       'none but ready documents');
    my %ready = map { $_->{r2Key} => $_->{size} } find_images();
    my %kept = map { $_->{key} => $_->{size} } objects('http3/');
    is_deeply(\%kept, \%ready, 'objects and documents are one to one');
    my @other = grep { !m{^HTTP/3} } split /\n/,
                slurp("$n->{dir}/logs/proto.log");
    is("@other", '', 'all of it was HTTP/3');
};

$n->done;
unlink "$tls.key", "$tls.crt";
done_testing();
