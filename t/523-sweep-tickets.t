# Tickets for direct uploads that nobody completes, and what stays behind when
# they were completed: the sweep deletes what was sent, and keeps what is open.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'tickets',
    http   => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; image_vault_quota 1m; '
              . 'location /api { image_vault_api s3; }',
)->start;
my $db = $ImageVault::Peers::Database;

sub ticket {
    my ($name, $deadline, %a) = @_;
    my $id = delete $a{id} // new_id();
    my %direct = (stagingKey => "tickets/incoming/$name",
                  deadline => mongo_now($deadline), %{ delete $a{direct} // {} });
    ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => $_, text => 'x')
        for "tickets/incoming/$name", $a{status} ? "tickets/$name" : ();
    insert_images(image_doc(id => $id, status => 'uploading',
                            r2Key => "tickets/$name", direct => \%direct, %a));
    return $id;
}

sub gone {
    my ($id) = @_;
    return wait_images({ _id => { '$oid' => $id } }, 0, 60) == 0;
}


subtest 'nobody completes it' => sub {
    my $id = new_id();
    ask('insert', db => $db, collection => 'users', documents =>
        [{ _id => 'alice', storageQuota =>
           { used => { '$numberLong' => '5000' },
             limit => { '$numberLong' => '9000' },
             pending => { $id => { '$numberLong' => '1234' } } } }]);
    ticket('late', -1, id => $id);
    my $open = ticket('open', 3600, updatedAt => mongo_now(-3600));

    ok((wait_for { my $d = find_image($id); $d && $d->{objectDeletedAt} } 60),
       'error, first delete done');
    is(object('tickets/incoming/late'), undef, 'what was sent is gone');
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => 'alice' }) };
    is($u->{storageQuota}{used}, 5000 - 1234, 'the quota is given back');

    # sent once more, to a URL that still holds
    ask('put', bucket => $ENV{TEST_S3_BUCKET}, key => 'tickets/incoming/late',
        text => 'x');
    ok(gone($id), 'the document is gone');
    is(object('tickets/incoming/late'), undef, 'and the late object');

    is(find_image($open)->{status}, 'uploading', 'an open ticket stays');
    ok(object('tickets/incoming/open'), 'with its object');
};

subtest 'the second delete waits for the end of the URL' => sub {
    my $id = ticket('early', 3600, status => 'error',
                    deletedAt => mongo_now());
    ok((wait_for { my $d = find_image($id); $d && $d->{objectDeletedAt} } 60),
       'first delete done');
    is(object("tickets/$_"), undef, "$_ is gone") for qw(incoming/early early);
    sleep 6;                            # `stale` is over, the URL is not
    ok(find_image($id), 'the document stays');
    ask('update', db => $db, collection => 'images',
        filter => { _id => { '$oid' => $id } },
        update => { '$set' => { 'direct.deadline' => mongo_now(-1) } });
    ok(gone($id), 'and goes in the end');
};

subtest 'completed' => sub {
    my $young = ticket('young', 3600, status => 'ready');
    my $id = ticket('done', -1, status => 'ready');
    ok((wait_for { !find_image($id)->{direct} } 60), 'the ticket is over');
    is(object('tickets/incoming/done'), undef, 'what was sent is gone');
    ok(object('tickets/done'), 'the image is not');
    is(find_image($id)->{status}, 'ready', 'nor its document');
    ok(find_image($young)->{direct}, 'one whose URL holds keeps its key');
    ok(object('tickets/incoming/young'), 'and its object');
};

subtest 'somebody completes it' => sub {
    # whoever beats may be held up for a while
    my $alive = ticket('alive', -60, direct => { claimed => mongo_now(-60) },
                       updatedAt => mongo_now(20));
    my $dead = ticket('dead', 3600, direct => { claimed => mongo_now(-60) },
                      updatedAt => mongo_now(-60));
    my $beats = 0;
    ok((wait_for { ask('update', db => $db, collection => 'images',
                       filter => { _id => { '$oid' => $alive } },
                       update => { '$set' => { updatedAt => mongo_now(20) } });
                   $beats++;
                   find_image($dead)->{status} eq 'error' } 60),
       'one that has no heartbeats ends');
    is(find_image($alive)->{status}, 'uploading', 'one that has them does not');
};

subtest 'entries of an image that vanished, and of one that is ready' => sub {
    my ($vanished, $ready) = map { new_id() } 1, 2;
    insert_images(image_doc(id => $ready, r2Key => 'tickets/settled'));
    ask('update', db => $db, collection => 'users',
        filter => { _id => 'alice' }, update => { '$set' => {
            'storageQuota.used' => { '$numberLong' => '3000' },
            "storageQuota.pending.$vanished" => { '$numberLong' => '500' },
            "storageQuota.pending.$ready" => { '$numberLong' => '700' } } });
    my $quota;
    ok((wait_for { my ($u) = @{ ask('find', db => $db, collection => 'users',
                                    filter => { _id => 'alice' }) };
                   $quota = $u->{storageQuota};
                   !$quota->{pending} } 60), 'no entry is left');
    is($quota->{used}, 2500, 'only what vanished is given back');
};

$n->done;
done_testing();
