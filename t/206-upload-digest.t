# Declared digests: Content-Digest, Repr-Digest (RFC 9530), Content-MD5; of a raw
# body, of a form's file, of a body without a length.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::MD5 ();
use Digest::SHA ();
use MIME::Base64 ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $scripted = start_scripted();
my $n = ImageVault::Nginx->new(
    name   => 'digest',
    http   => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3()
              . ImageVault::Nginx::storage_s3(name => 'plain',
                    bucket => 'plain', endpoint => $scripted)
              . "image_vault_owner alice;\n"
              . "image_vault_key digest/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; } '
              . 'location /plain { image_vault_api plain; }',
)->start;

sub b64 { return MIME::Base64::encode_base64($_[0], '') }

my @sizes = (2000, 500_000);

for my $size (@sizes) {
    my $png = png($size);
    my $other = "$png.";
    my $file = temp_file($png);
    my %sum = (
        'Content-Digest: sha-256=:%s:' => \&Digest::SHA::sha256,
        'Repr-Digest: sha-512=:%s:'    => \&Digest::SHA::sha512,
        'Content-MD5: %s'              => \&Digest::MD5::md5,
    );

    for my $h (sort keys %sum) {
        for my $chunked (0, 1) {
            my @more = $chunked ? ('-H', 'Transfer-Encoding: chunked') : ();
            my $what = "$h of $size" . ($chunked ? ', chunked' : '');
            my $send = sub {
                return curl('-T', $file, '-H', 'Content-Type: image/png', @more,
                            '-H', sprintf($h, b64($sum{$h}->($_[0]))),
                            $n->url('/api/upload'));
            };
            is($send->($png)->{status}, 201, "$what: right");
            my $r = $send->($other);
            is($r->{status}, 400, "$what: wrong");
            is($r->{json}{error}{code}, 'digest_mismatch', "$what: code");
        }
    }
}

subtest 'malformed and unknown' => sub {
    my $file = temp_file(png(500));
    my $send = sub { return curl('-T', $file, '-H', 'Content-Type: image/png',
                                 '-H', $_[0], $n->url('/api/upload'))->{status} };
    is($send->('Content-Digest: sha-256=nonsense'), 400, 'no byte sequence');
    is($send->('Content-Digest: sha-256=:AAAA:'), 400, 'too short');
    is($send->('Content-MD5: xx'), 400, 'no MD5');
    is($send->('Content-Digest: unixsum=:AAAA:'), 201, 'an unknown algorithm');
};

subtest 'a declared SHA-256 signs the payload of a streamed body' => sub {
    my $png = png(500_000);
    my $r = curl('-T', temp_file($png), '-H', 'Content-Type: image/png', '-H',
                 'Content-Digest: sha-256=:' . b64(Digest::SHA::sha256($png))
                 . ':', $n->url('/plain/upload'));
    is($r->{status}, 201, 'created');
    my ($put) = grep { $_->{method} eq 'PUT' } @{ scripted_log() };
    is($put->{headers}{'x-amz-content-sha256'}, Digest::SHA::sha256_hex($png),
       'x-amz-content-sha256');
};

subtest "of a form's files" => sub {
    my ($a, $b) = (png(3000), png(4000));
    my $part = sub {
        my ($png, $sum) = @_;
        return "--xyz\r\nContent-Disposition: form-data; name=\"f\"; "
             . "filename=\"a.png\"\r\nContent-Digest: sha-256=:"
             . b64(Digest::SHA::sha256($sum)) . ":\r\n\r\n$png\r\n";
    };
    my $body = $part->($a, $a) . $part->($b, $a) . "--xyz--\r\n";
    my $send = sub {
        return curl('-H', 'Content-Type: multipart/form-data; boundary=xyz',
                    @_, '--data-binary', '@' . temp_file($body),
                    $n->url('/api/upload'));
    };
    my $r = $send->();
    is($r->{status}, 207, 'one is right') or diag($r->{body});
    is($r->{json}{failures}[0]{code}, 'digest_mismatch', 'the other is not');

    $body = $part->($a, $a) . "--xyz--\r\n";
    my $sum = 'Content-Digest: sha-256=:' . b64(Digest::SHA::sha256($body)) . ':';
    is($send->('-H', $sum)->{status}, 201, 'and of the form as sent');
    $sum = 'Content-Digest: sha-256=:' . b64(Digest::SHA::sha256('x')) . ':';
    is($send->('-H', $sum)->{status}, 400, '… a wrong one');
};

is(wait_images({ status => 'uploading' }, 0, 60), 0, 'nothing is uploading');

$n->done;
done_testing();
