# GET admin/sweep?report=…: what a storage holds without a document, open
# multipart uploads, ready images whose object is gone and the mark they get.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use File::Path ();
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $db = $ImageVault::Peers::Database;
my $root = "/tmp/iv-report-$$";
File::Path::make_path($root);
END { File::Path::remove_tree($root) if $root }

my $n = ImageVault::Nginx->new(
    name   => 'report',
    http   => ImageVault::Nginx::http_base(sweep => 'off')
            . ImageVault::Nginx::storage_s3()
            . ImageVault::Nginx::storage_s3(name => 'nowhere',
                                            bucket => "absent-$$")
            . "image_vault_storage disk { type local; root $root; "
            . "url /files; secret 0123456789abcdef0123456789abcdef; }\n"
            . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
            . 'image_vault_key r/$image_vault_filename;' . "\n",
    server => 'location /api { image_vault_api s3; image_vault_audit on; } '
            . 'location /disk { image_vault_api disk; } '
            . 'location /files/ { image_vault_files disk; alias '
            . "$root/; }",
)->start;

sub report {
    my ($args, %a) = @_;
    my $api = $a{api} // 'api';
    return curl($n->url("/$api/admin/sweep?as=root&admin=1&report=$args"));
}

sub ok_report {
    my $r = report(@_);
    is($r->{status}, 200, $_[0]) or diag $r->{body};
    return $r->{json};
}

# all pages; returns the items, and how many pages there were
sub walk {
    my ($args, $list, %a) = @_;
    my ($cursor, $pages, @all) = ('', 0);
    while ($pages++ < 50) {
        my $j = ok_report("$args$cursor", %a);
        push @all, @{ $j->{$list} };
        return ($pages, @all) if !defined $j->{next};
        $cursor = "&cursor=$j->{next}";
    }
    die "no end\n";
}

sub keys_of { return [map { $_->{key} } @_] }

sub put { ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => $_[0],
              text => 'x') }

sub begin_upload {
    my ($path, @head) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}")
        or die "connect: $!";
    print $s join("\r\n", "POST $path?as=alice HTTP/1.1", 'Host: x',
                  'Content-Type: image/png', @head, '', '');
    return $s;
}


subtest 'arguments' => sub {
    for ('x', 'objects&storage=none', 'objects&age=x', 'objects&limit=0',
         'objects&limit=x', 'objects&cursor=!', 'missing&cursor=eHg',
         'objects&prefix=%00', 'objects&report=objects')
    {
        my $r = report($_);
        is($r->{status}, 400, $_);
        is($r->{json}{error}{code}, 'bad_parameter', "$_: code");
    }
    my $url = $n->url('/api/admin/sweep?report=objects');
    is(curl("$url&as=alice")->{status}, 403, 'an owner');
    is(curl("$url&as=&admin=1")->{status}, 401, 'nobody');
    is(curl('--head', "$url&as=root&admin=1")->{status}, 200, 'HEAD');
    is(report('objects&storage=nowhere')->{status}, 502, 'no such bucket');
};


subtest 'objects without documents' => sub {
    my @stray = sort map { "r/$_" } 'a', 'b c', 'd+e%f', 'g/h/i', 'j&k<l>',
                                    "m\xc3\xa4";
    put($_) for @stray, 'other/x';
    my $image = curl('-H', 'Content-Type: image/png', '--data-binary',
                     '@' . temp_file(png(2000)),
                     $n->url('/api/upload?as=alice'));
    is($image->{status}, 201, 'an image beside them') or diag $image->{body};
    insert_images(
        image_doc(r2Key => 'r/direct', status => 'ready',
                  direct => { stagingKey => 'r/staged',
                              deadline => mongo_now(60) }),
        image_doc(r2Key => 'r/elsewhere', storage => 'disk'),
    );
    put($_) for 'r/direct', 'r/staged', 'r/elsewhere';
    push @stray, 'r/elsewhere';
    @stray = sort @stray;

    my $j = ok_report('objects&prefix=r/');
    is($j->{report}, 'objects', 'which');
    is($j->{storage}, 's3', 'of what');
    is($j->{checked}, 10, 'of how many');
    is($j->{next}, undef, 'one page');
    is_deeply(keys_of(@{ $j->{objects} }), \@stray, 'strays only');
    is($j->{objects}[0]{size}, 1, 'size');
    like($j->{objects}[0]{lastModified}, qr/^\d{4}-\S+Z$/, 'since when');

    my ($pages, @all) = walk('objects&prefix=r/&limit=3', 'objects');
    is($pages, 4, 'pages');
    is_deeply(keys_of(@all), keys_of(@{ $j->{objects} }), 'the same by pages');
    is(ok_report('objects&prefix=r/&age=1h')->{objects}[0], undef,
       'none is an hour old');
    is_deeply(keys_of(@{ ok_report('objects&prefix=other/')->{objects} }),
              ['other/x'], 'a prefix');

    my @index = map { $_->{name} }
        @{ ask('command', db => $db, command => { listIndexes => 'images' })
           ->{cursor}{firstBatch} };
    ok((grep { $_ eq 'r2Key_1' } @index), 'it has made its index');

    # an application's own indexes are as good, whatever their names are
    for (['r2Key_1', 'r2Key'], ['direct.deadline_1', 'direct.deadline']) {
        my ($name, $key) = @$_;
        ask('command', db => $db, command => {
            dropIndexes => 'images', index => $name });
        ask('command', db => $db, command => {
            createIndexes => 'images',
            indexes => [{ key => { $key => 1 }, name => "my $key" }] });
    }
    is_deeply(keys_of(@{ ok_report('objects&prefix=r/')->{objects} }), \@stray,
              'the same by indexes of other names');
    ok(object('r/a') && object('other/x'), 'nothing was deleted');
};


subtest 'an upload under way is no stray' => sub {
    my $png = png(3_000_000);
    my $s = begin_upload('/api/upload', 'Content-Length: 3000000');
    print $s substr($png, 0, 1_000_000);
    is(wait_images({ status => 'uploading' }, 1), 1, 'in flight');
    my ($d) = find_images({ status => 'uploading' });
    for (1 .. 3) {
        my (undef, @all) = walk('objects&prefix=r/', 'objects');
        ok(!(grep { $_->{key} eq $d->{r2Key} } @all), 'not told of');
    }
    print $s substr($png, 1_000_000);
    sysread $s, my $buf, 4096;
    like($buf, qr{\AHTTP/1\.1 201}, 'created');
};


subtest 'open multipart uploads' => sub {
    my $png = png(12_000_000);
    my $s = begin_upload('/api/upload', 'Transfer-Encoding: chunked');
    printf $s "%x\r\n%s\r\n", 9_000_000, substr($png, 0, 9_000_000);
    ok((wait_for { scalar @{ ask('uploads', bucket => $ENV{TEST_S3_BUCKET}) }
                 } 10), 'one is open');
    my $j = ok_report('uploads');
    is(@{ $j->{uploads} }, 1, 'told of');
    my $u = $j->{uploads}[0];
    like($u->{key}, qr{^r/[0-9a-f-]+\.png$}, 'its key');
    ok($u->{uploadId}, 'its id');
    ok($u->{documented}, 'a document knows of it');
    like($u->{initiated}, qr/^\d{4}-\S+Z$/, 'since when');
    is(@{ ok_report('uploads&prefix=x')->{uploads} }, 0, 'another prefix');
    is(@{ ok_report('uploads&age=1h')->{uploads} }, 0, 'too young');
    my ($d) = find_images({ r2Key => $u->{key} });
    ask('update', db => $db, collection => 'images',
        filter => { r2Key => $u->{key} },
        update => { '$set' => { s3UploadId => 'another' } });
    ok(!ok_report('uploads')->{uploads}[0]{documented}, 'nobody knows of it');
    ask('update', db => $db, collection => 'images',
        filter => { r2Key => $u->{key} },
        update => { '$set' => { s3UploadId => $d->{s3UploadId} } });
    close $s;
    ok((wait_for { !@{ ask('uploads', bucket => $ENV{TEST_S3_BUCKET}) } } 10),
       'undone');
    is(@{ ok_report('uploads')->{uploads} }, 0, 'none is left');
};


subtest 'images whose object is gone' => sub {
    my ($gone, $there, $blocked) = map { new_id() } 1 .. 3;
    put('r/there');
    insert_images(
        image_doc(id => $gone, r2Key => 'r/gone', shared => ['bob']),
        image_doc(id => $there, r2Key => 'r/there'),
        image_doc(r2Key => 'r/uploading', status => 'uploading'),
        image_doc(r2Key => 'r/deleted', status => 'error',
                  deletedAt => mongo_now()),
    );
    my $url = sub { $n->url("/api/$_[0]?as=$_[1]") };
    is(curl($url->("$gone/view", 'alice'))->{status}, 302, 'before');
    my $updated = find_image($gone)->{updatedAt}{'$date'};

    my ($pages, @images) = walk('missing&prefix=r/&limit=2', 'images');
    cmp_ok($pages, '>', 1, 'pages');
    is_deeply(keys_of(@images), ['r/gone'], 'it is found');
    is($images[0]{id}, $gone, 'its id');
    is($images[0]{userId}, 'alice', 'its owner');
    ok($images[0]{marked}, 'marked');
    my $d = find_image($gone);
    is($d->{status}, 'ready', 'its status stays');
    is($d->{error}, 'object_missing', 'the mark');
    is($d->{updatedAt}{'$date'}, $updated, 'nothing else has changed');

    for my $who (qw(alice bob)) {
        for my $path ('', '/view', '/download') {
            my $r = curl($url->("$gone$path", $who));
            is($r->{status}, 410, "$who: $path");
            is($r->{json}{error}{code}, 'gone', 'code');
        }
    }
    is(curl($url->("$gone/view", 'eve'))->{status}, 404, 'a stranger');
    is(curl($url->("$there/view", 'alice'))->{status}, 302, 'others are well');
    my $r = curl('-H', 'Content-Type: application/json', '-d',
                 "{\"imageId\":\"$gone\"}", $url->('presigned-url', 'alice'));
    is($r->{status}, 410, 'no URL is signed');

    ok(ok_report('missing&prefix=r/gone')->{images}[0]{marked},
       'it is told of again');

    # it comes back
    put('r/gone');
    my $j = ok_report('missing&prefix=r/');
    is($j->{restored}, 1, 'restored');
    is(@{ $j->{images} }, 0, 'none is missing');
    ok(!exists find_image($gone)->{error}, 'the mark is gone');
    is(curl($url->("$gone/view", 'alice'))->{status}, 302, 'as before');

    # gone again, and deleted by its owner
    ask('update', db => $db, collection => 'images',
        filter => { _id => { '$oid' => $gone } },
        update => { '$set' => { r2Key => 'r/gone-for-good' } });
    is(@{ ok_report('missing&prefix=r/gone')->{images} }, 1, 'gone again');
    is(curl('-X', 'DELETE', $url->($gone, 'alice'))->{status}, 200, 'deleted');
    is(@{ ok_report('missing&prefix=r/gone')->{images} }, 0, 'no longer told');

    wait_for { @{ ask('find', db => $db, collection => 'image_vault_audit',
                      filter => { action => 'admin-mark' }) } >= 2 } 10;
    my ($mark) = @{ ask('find', db => $db, collection => 'image_vault_audit',
                        filter => { action => 'admin-mark' }) };
    is($mark->{owner}, 'alice', 'the trail has it');
};


subtest 'a storage that is away marks nothing' => sub {
    my ($a, $b) = map { new_id() } 1, 2;
    insert_images(
        image_doc(id => $a, r2Key => 'r/1', storage => 'nowhere'),
        image_doc(id => $b, r2Key => 'r/2', storage => 'disk'),
    );
    my $r = report('missing&storage=nowhere');
    is($r->{status}, 502, 'no bucket');
    is($r->{json}{error}{code}, 'storage_denied', 'code');
    ok(!exists find_image($a)->{error}, 'no mark');
    my $j = ok_report('missing&storage=disk');
    ok($j->{emptyStorage}, 'an empty one');
    ok((grep { $_->{id} eq $b && !$_->{marked} } @{ $j->{images} }),
       'told of');
    ok(!exists find_image($b)->{error}, 'not marked');
};


subtest 'a local folder' => sub {
    my @stray = map { "l/$_" } 'a', 'a.b', 'a/b', 'a/c/d', 'z';
    my @files = grep { $_ ne 'l/a' } @stray;        # a file or a folder
    for ('l/known.png', 'k', @files, 'l/.tmp-not.tmp', 'l/a/.b2.tmp') {
        my $f = "$root/$_";
        File::Path::make_path($f =~ s{/[^/]*\z}{}r);
        open my $fh, '>', $f or die "$f: $!";
        print $fh 'xyz';
    }
    symlink '/etc', "$root/l/link";
    my $known = new_id();
    insert_images(image_doc(id => $known, r2Key => 'l/known.png',
                            storage => 'disk'));

    my $j = ok_report('objects&prefix=l/', api => 'disk');
    is($j->{storage}, 'disk', 'the storage of the location');
    is_deeply(keys_of(@{ $j->{objects} }), [sort @files], 'in order');
    is($j->{objects}[0]{size}, 3, 'size');
    my ($pages, @all) = walk('objects&storage=disk&limit=1', 'objects');
    is_deeply(keys_of(@all), [sort 'k', @files], 'one by one');
    is($pages, 6, 'pages');

    $j = ok_report('uploads&storage=disk');
    is_deeply(keys_of(@{ $j->{uploads} }), ['l/tmp-not', 'l/a/b2'],
              'files that are being written') or diag explain $j;
    is($j->{uploads}[0]{uploadId}, undef, 'without an id');
    ok(!$j->{uploads}[0]{documented}, 'nobody knows of it');
    ($pages, @all) = walk('uploads&storage=disk&limit=1', 'uploads');
    is(@all, 2, 'by pages');

    my @many = map { sprintf 'm/%04d', $_ } 1 .. 700;
    File::Path::make_path("$root/m");
    for (@many) { open my $fh, '>', "$root/$_" or die $! }
    ($pages, @all) = walk('objects&storage=disk&prefix=m/&limit=400',
                          'objects');
    is_deeply(keys_of(@all), \@many, 'many, in batches');

    my (undef, @images) = walk('missing&storage=disk', 'images');
    ok(!(grep { $_->{id} eq $known } @images), 'what is there is there');
    unlink "$root/l/known.png";

    # what is there is not ours
    (undef, @images) = walk('missing&storage=disk', 'images');
    ok((grep { $_->{id} eq $known && !$_->{marked} } @images),
       'another folder: told of, not marked');
    ok(ok_report('missing&storage=disk&prefix=l/')->{emptyStorage},
       'it shows no image');
    ok(!exists find_image($known)->{error}, 'no mark');

    insert_images(image_doc(r2Key => 'k', storage => 'disk'));
    $j = ok_report('missing&storage=disk&prefix=l/');
    ok(!$j->{emptyStorage}, 'it shows one, off the page');
    (undef, @images) = walk('missing&storage=disk', 'images');
    ok((grep { $_->{id} eq $known && $_->{marked} } @images),
       'and then it is not');
    is(curl($n->url("/disk/$known/view?as=alice"))->{status}, 410, 'gone');
};

$n->done;
done_testing();
