# Whatever is killed in mid-upload: once the sweep has passed, nothing is left
# uploading and no object is without its document.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my %conf = (
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; '
              . 'image_vault_key sweep/$image_vault_filename; '
              . 'location /api { image_vault_api s3; }',
);
my $n = ImageVault::Nginx->new(name => 'sweep', %conf,
                               allow => qr/exited on signal 9/)->start;

sub begin_upload {
    my ($node) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$node->{port}")
        or die "connect: $!";
    print $s "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000"
           . "\r\nContent-Type: image/png\r\n\r\n",
        substr(png(3_000_000), 0, 1_000_000);
    return $s;
}

sub settled {
    my ($what) = @_;
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0,
       "$what: no document but ready ones");
    my %ready = map { $_->{r2Key} => 1 } find_images();
    is_deeply([grep { !$ready{$_} } map { $_->{key} } objects('sweep/')], [],
              "$what: no object without a document");
}


subtest 'a worker that is killed' => sub {
    my $s = begin_upload($n);
    is(wait_images({ status => 'uploading' }, 1), 1, 'in flight');
    kill 'KILL', $n->workers;
    settled('kill -9');
};

subtest 'a running upload is not swept: heartbeats' => sub {
    my $png = png(3_000_000);
    my $s = begin_upload($n);
    is(wait_images({ status => 'uploading' }, 1), 1, 'in flight');
    Time::HiRes::sleep(8.5);            # more than twice `stale`
    my ($d) = find_images({ status => 'uploading' });
    ok($d, 'still uploading');
    print $s substr($png, 1_000_000);
    sysread $s, my $buf, 4096;
    like($buf, qr{\AHTTP/1\.1 201}, 'and then created');
};

subtest 'what others left: stale, failed, with and without object' => sub {
    my $old = mongo_now(-3600);
    my @docs = (
        image_doc(status => 'uploading', updatedAt => $old,
                  r2Key => 'sweep/stale-with'),
        image_doc(status => 'uploading', updatedAt => $old,
                  r2Key => 'sweep/stale-without'),
        image_doc(status => 'error', updatedAt => $old, deletedAt => $old,
                  r2Key => 'sweep/failed-with'),
    );
    ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => $_, text => 'x')
        for qw(sweep/stale-with sweep/failed-with sweep/stranger);
    insert_images(@docs);
    is(wait_images({ r2Key => { '$regex' => '^sweep/(stale|failed)' } }, 0, 60),
       0, 'documents are gone');
    is(object("sweep/$_"), undef, "$_: object is gone")
        for qw(stale-with failed-with);
    ok(object('sweep/stranger'), 'an object without document is not touched');
    ask('command', db => 'admin', command => { ping => 1 });
};

subtest 'the document goes last, a second delete later' => sub {
    my $id = new_id();
    insert_images(image_doc(id => $id, status => 'uploading',
                            updatedAt => mongo_now(-3600),
                            r2Key => 'sweep/late'));
    ok((wait_for { my $d = find_image($id);
                  $d && $d->{status} eq 'error' && $d->{objectDeletedAt} } 60),
       'error, first delete done');
    # a broken-off PUT that lands after the first delete
    ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => 'sweep/late', text => 'x');
    ok(find_image($id), 'the document is still there');
    is(wait_images({ _id => { '$oid' => $id } }, 0, 60), 0, 'then gone');
    is(object('sweep/late'), undef, 'and the late object as well');
};

subtest 'two nodes, one lease' => sub {
    my $m = ImageVault::Nginx->new(name => 'second', %conf)->start;
    my $id = new_id();
    insert_images(image_doc(id => $id, status => 'uploading',
                            updatedAt => mongo_now(-3600),
                            r2Key => 'sweep/two'));
    is(wait_images({ _id => { '$oid' => $id } }, 0, 60), 0, 'swept once');
    my ($lease) = @{ ask('find', db => $ImageVault::Peers::Database,
                         collection => 'image_vault_state',
                         filter => { _id => 'sweep' }) };
    ok($lease->{holder}, 'the lease has a holder');

    # its holder dies: the other takes over with a higher fence
    my $fence = $lease->{fence};
    my @workers = $n->workers;
    $n->signal('KILL');
    kill 'KILL', @workers;
    $id = new_id();
    insert_images(image_doc(id => $id, status => 'uploading',
                            updatedAt => mongo_now(-3600),
                            r2Key => 'sweep/three'));
    is(wait_images({ _id => { '$oid' => $id } }, 0, 60), 0, 'swept by the other');
    ($lease) = @{ ask('find', db => $ImageVault::Peers::Database,
                      collection => 'image_vault_state',
                      filter => { _id => 'sweep' }) };
    cmp_ok($lease->{fence}, '>=', $fence, 'the fence never goes back');
    $m->done;
};

done_testing();
