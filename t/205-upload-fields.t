# Tags, sharedWith, isPublic, expiresAt and names, as FormData, axios and query
# strings carry them; on a raw body and on a form alike.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'fields',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
              . "image_vault_owner alice;\n"
              . "image_vault_key fields/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; }',
)->start;

my $file = temp_file(png(500));

sub raw {
    my ($query) = @_;
    return curl('-T', $file, '-H', 'Content-Type: image/png',
                $n->url("/api/upload?$query"));
}

sub form {
    return curl('-F', "f=\@$file;filename=a.png",
                (map { ('--form-string', $_) } @_), $n->url('/api/upload'));
}

sub doc {
    my ($r) = @_;
    is($r->{status}, 201, 'created') or diag($r->{body});
    return find_image($r->{json}{images}[0]{id}) // {};
}


subtest 'tags in all their forms' => sub {
    my @want = ('cats', 'two words', "sm\x{f8}rrebr\x{f8}d");
    my %forms = (
        repeated => [map { "tags=$_" } 'cats', 'two words', 'smørrebrød'],
        brackets => [map { "tags[]=$_" } 'cats', 'two words', 'smørrebrød'],
        indexed  => ['tags[0]=cats', 'tags[1]=two words', 'tags[2]=smørrebrød'],
        commas   => ['tags=cats, two words,,smørrebrød ,cats'],
        json     => ['tags=["cats","two words","sm\u00f8rrebr\u00f8d"]'],
    );
    is_deeply(doc(form(@{ $forms{$_} }))->{metadata}{tags}, \@want, $_)
        for sort keys %forms;
    is_deeply(doc(raw('tags=cats&tags=two%20words&tags=sm%C3%B8rrebr%C3%B8d'))
              ->{metadata}{tags}, \@want, 'query');
    is_deeply(doc(raw('tags=cats,two+words,sm%C3%B8rrebr%C3%B8d'))
              ->{metadata}{tags}, \@want, 'query, commas');
    is_deeply(doc(form('tags='))->{metadata}{tags}, [], 'empty is absent');
    is(form('tags=' . 'x' x 65)->{status}, 400, 'too long');
    is_deeply(doc(form('tags=' . 'x' x 64))->{metadata}{tags}, ['x' x 64],
              'as long as allowed');
    is(form(map { "tags=t$_" } 1 .. 51)->{status}, 400, 'too many');
    is(scalar @{ doc(form(map { "tags=t$_" } 1 .. 50))->{metadata}{tags} }, 50,
       'as many as allowed');
    is(form('tags=["a",{"b":1}]')->{status}, 400, 'not strings');
};

subtest 'isPublic' => sub {
    for my $v (qw(true 1 on TRUE yes)) {
        is(doc(form("isPublic=$v"))->{access}{isPublic}, JSON::PP::true, $v);
    }
    for my $v ('false', '0', 'off', '') {
        is(doc(form("isPublic=$v"))->{access}{isPublic}, JSON::PP::false,
           "'$v'");
    }
    is(form('isPublic=perhaps')->{status}, 400, 'perhaps');
};

subtest 'expiresAt' => sub {
    my %dates = (
        '2099-01-02T03:04:05Z'                    => '2099-01-02T03:04:05Z',
        '2099-01-02T03:04:05.678Z'                => '2099-01-02T03:04:05.678Z',
        '2099-01-02T05:04:05+02:00'               => '2099-01-02T03:04:05Z',
        'Fri Jan 02 2099 04:04:05 GMT+0100 (CET)' => '2099-01-02T03:04:05Z',
        'Fri, 02 Jan 2099 03:04:05 GMT'           => '2099-01-02T03:04:05Z',
    );
    for my $d (sort keys %dates) {
        my $r = form("expiresAt=$d");
        my $got = doc($r)->{access}{expiresAt}{'$date'} // '';
        $got =~ s/\.000Z/Z/;
        is($got, $dates{$d}, $d);
        like($r->{json}{images}[0]{expiresAt}, qr/\A2099-01-02T03:04:05\.\d{3}Z/,
             'in the answer');
    }
    is(form("expiresAt=$_")->{status}, 400, $_)
        for 'tomorrow', '2001-01-01T00:00:00Z', '2099-13-01T00:00:00Z', '{}';
};

subtest 'sharedWith' => sub {
    is_deeply(doc(form('sharedWith=bob', 'sharedWith=carol,dave'))
              ->{access}{sharedWith}, [qw(bob carol dave)], 'forms');
    is_deeply(doc(raw('sharedWith=0123456789ABCDEF01234567'))
              ->{access}{sharedWith},
              [{ '$oid' => '0123456789abcdef01234567' }], 'an ObjectId');
    is(form('sharedWith=../x')->{status}, 400, 'not an owner');
    is(form(map { "sharedWith=u$_" } 1 .. 101)->{status}, 400, 'too many');
};

subtest 'a value in two places' => sub {
    my $r = curl('-F', "f=\@$file;filename=a.png", '-F', 'isPublic=true',
                 $n->url('/api/upload?isPublic=false'));
    is($r->{status}, 400, 'isPublic twice');
    is($r->{json}{error}{code}, 'bad_parameter', 'code');
};

subtest 'nothing of a refused request is stored' => sub {
    is(wait_images({ status => 'uploading' }, 0, 60), 0, 'none uploading');
    my %ready = map { $_->{r2Key} => 1 } find_images({ status => 'ready' });
    is_deeply([grep { !$ready{$_} } map { $_->{key} } objects('fields/')], [],
              'no object without a document');
};

$n->done;
done_testing();
