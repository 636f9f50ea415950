# The beginning of an S3 multipart upload whose answer is lost, or whose worker
# dies before it has noted it: only the storage knows of the upload then.  The
# sweep asks it, and leaves none open.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = start_scripted();
my @buckets = qw(begin-lost-answer-1 begin-lost-answer-9 begin-silent
                 no-uploads many);
my $png = png(11_000_000);

my $n = ImageVault::Nginx->new(
    name   => 'multipart',
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=3s')
              . join('', map { ImageVault::Nginx::storage_s3(
                    name => $_, bucket => $_, endpoint => $s3, retries => 2,
                    part_size => '5m', backoff => '10ms 50ms',
                    read_timeout => ($_ eq 'begin-silent' ? '30s' : '5s')) }
                    @buckets)
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
              . "image_vault_max_size 20m;\n",
    server => "location = /metrics { image_vault_metrics; }\n"
              . join('', map { "location /$_ { image_vault_api $_; }\n" }
                     @buckets),
)->start;

sub upload {
    my ($bucket) = @_;
    return curl('-H', 'Transfer-Encoding: chunked', '-H',
                'Content-Type: image/png', '-T', temp_file($png),
                $n->url("/$bucket/upload?filename=x.png&as=alice"));
}

sub control {
    my ($path) = @_;
    my ($host) = $s3 =~ m{([^/]+)\z};
    return json(curl("http://$host/$path")->{body});
}

# what the storage has open of a bucket
sub uploads {
    my ($bucket) = @_;
    return grep { $_->{bucket} eq $bucket } values %{ control('__uploads') };
}

# how many the sweep has found
sub found {
    my ($bucket) = @_;
    return scalar(() = $n->error_log =~
                  /nobody knew of, storage: "\Q$bucket\E"/g);
}

sub none_left {
    my ($bucket) = @_;
    is(wait_images({ storage => $bucket, '$or' => [
           { status => { '$ne' => 'ready' } },
           { s3UploadsAt => { '$exists' => JSON::PP::true } }] }, 0, 60), 0,
       'swept');
    is_deeply([uploads($bucket)], [], 'none is open');
}


subtest 'one lost answer, and then an image' => sub {
    my $b = 'begin-lost-answer-1';
    my $r = upload($b);
    is($r->{status}, 201, 'created') or diag $r->{body};
    my $d = find_image($r->{json}{images}[0]{id});
    ok($d->{s3UploadsAt}, 'the document says so');
    ok(!exists $d->{s3UploadId}, 'and no id');
    none_left($b);
    is(found($b), 1, 'one was open');
    $d = find_image($r->{json}{images}[0]{id});
    is($d->{status}, 'ready', 'the image stays');
    ok(!exists $d->{s3UploadsAt}, 'without the mark');
    is(scalar(grep { m{\A\Q$b\E/} } keys %{ scripted_objects() }), 1,
       'with its object');
};


subtest 'all answers lost' => sub {
    my $b = 'begin-lost-answer-9';
    is(upload($b)->{status}, 503, 'refused');
    none_left($b);
    cmp_ok(found($b), '>=', 1, 'some were open');
};


subtest 'a worker is killed before it has noted the answer' => sub {
    my $b = 'begin-silent';
    $n->{allow} = qr/exited on signal 9/;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}") or die;
    print $s "POST /$b/upload?as=alice HTTP/1.1\r\nHost: x\r\n"
           . "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
    printf $s "%x\r\n%s\r\n", 6_000_000, substr($png, 0, 6_000_000);
    ok((wait_for { uploads($b) } 60), 'one is open');
    my ($d) = find_images({ storage => $b });
    is($d->{s3UploadId}, '', 'the document knows that there may be one');
    kill 'KILL', $n->workers;
    close $s;
    none_left($b);
    is(found($b), 1, 'it was open');
};


subtest 'other keys are left alone, more than a page' => sub {
    my $b = 'many';
    my $key = 'images/00000000-0000-4000-8000-000000000001.png';
    my ($host) = $s3 =~ m{([^/]+)\z};
    control("__begin/$b/$_") for ($key) x 120, "${key}x", "images/z.png";
    is(scalar(uploads($b)), 122, 'open');
    insert_images(image_doc(storage => $b, r2Key => $key, s3UploadId => '',
                            status => 'uploading',
                            updatedAt => mongo_now(-60)));
    is(wait_images({ storage => $b }, 0, 60), 0, 'swept');
    is_deeply([sort map { $_->{key} } uploads($b)],
              ["${key}x", 'images/z.png'], 'the others');
};


subtest 'a storage that does not list them' => sub {
    my $b = 'no-uploads';
    my $key = 'images/00000000-0000-4000-8000-000000000002.png';
    my $ready = new_id();
    control("__begin/$b/$key");
    insert_images(
        image_doc(storage => $b, r2Key => $key, s3UploadId => '',
                  status => 'uploading', updatedAt => mongo_now(-60)),
        image_doc(storage => $b, id => $ready, owner => 'bob',
                  s3UploadsAt => mongo_now(-60)));
    is(wait_images({ storage => $b, status => { '$ne' => 'ready' } }, 0, 60),
       0, 'swept all the same');
    is(scalar(uploads($b)), 1, 'it stays open');
    ok(find_image($ready)->{s3UploadsAt}, 'a ready image keeps its mark');
    my @told = $n->error_log =~ /does not list multipart uploads/g;
    is(scalar(@told), 1, 'told once');
    is(upload($b)->{status}, 201, 'uploads go on');

    # the right is given
    scripted_set($b, 'r2');
    is(wait_images({ storage => $b,
                     s3UploadsAt => { '$exists' => JSON::PP::true } }, 0, 60),
       0, 'then the mark goes');
};


$n->done;
done_testing();
