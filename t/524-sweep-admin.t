# GET and POST admin/sweep: what it would do, what it did, and now; who may have
# the lease; that it goes slowly under load.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $db = $ImageVault::Peers::Database;
my $api = "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
        . 'image_vault_key sweep/$image_vault_filename;' . "\n";

sub node {
    my ($name, $sweep, %a) = @_;
    return ImageVault::Nginx->new(
        name    => $name,
        workers => $a{workers} // 1,
        allow   => qr/exited on signal 9/,
        http    => ImageVault::Nginx::http_base(sweep => $sweep)
                 . ImageVault::Nginx::storage_s3(%{ $a{storage} // {} })
                 . $api,
        server  => 'location /api { image_vault_api s3; '
                 . 'image_vault_audit on; } '
                 . 'location = /metrics { image_vault_metrics; }',
    );
}

sub sweep {
    my ($n, $method, @more) = @_;
    return curl('-X', $method // 'GET', @more,
                $n->url('/api/admin/sweep?as=root&admin=1'));
}

sub state_doc {
    my ($doc) = @{ ask('find', db => $db, collection => 'image_vault_state',
                       filter => { _id => 'sweep' }) };
    return $doc;
}

sub status { return sweep($_[0])->{json} }

# until the last pass is a later one than `fence` and `ended`
sub passed {
    my ($n, $ended, $seconds) = @_;
    my $last;
    wait_for {
        $last = status($n)->{lastPass};
        $last && $last->{endedAt} gt $ended;
    } $seconds // 60;
    return $last;
}

my $old = mongo_now(-3600);

# the first pass of a node comes within a second of its start, the next in an hour
my $n = node('one', 'interval=1h stale=2h')->start;
my $first = passed($n, '');
ok($first, 'the first pass is told of') or diag explain status($n);


subtest 'who may, and how it is asked' => sub {
    my $url = $n->url('/api/admin/sweep');
    for my $method (qw(GET HEAD POST)) {
        my @m = $method eq 'HEAD' ? ('--head') : ('-X', $method);
        is(curl(@m, "$url?as=&admin=1")->{status}, 401, "$method: anonymous");
        is(curl(@m, "$url?as=alice")->{status}, 403, "$method: owner");
        is(curl(@m, "$url?as=alice&admin=0")->{status}, 403,
           "$method: admin 0");
    }
    is(sweep($n, 'POST', '-H', $_)->{status}, 403, "POST, $_")
        for 'Origin: https://evil.test', 'Origin: null',
            'Sec-Fetch-Site: cross-site';
    my $r = sweep($n, 'PUT');
    is($r->{status}, 405, 'PUT');
    is($r->{headers}{allow}, 'GET, HEAD, POST', 'Allow');
    is(curl('--head', "$url?as=root&admin=1")->{status}, 200, 'HEAD');
};


subtest 'what it would do' => sub {
    insert_images(
        image_doc(status => 'uploading', updatedAt => mongo_now(-10000),
                  r2Key => 'sweep/a'),
        image_doc(status => 'uploading', updatedAt => mongo_now(-9000),
                  r2Key => 'sweep/b'),
        image_doc(status => 'uploading', r2Key => 'sweep/young'),
        image_doc(expires => mongo_now(-60), r2Key => 'sweep/c'),
        image_doc(expires => mongo_now(3600), r2Key => 'sweep/d'),
        image_doc(status => 'error', deletedAt => $old, r2Key => 'sweep/e'),
        image_doc(status => 'error', deletedAt => mongo_now(-20000),
                  objectDeletedAt => mongo_now(-19000), r2Key => 'sweep/f'),
        image_doc(status => 'error', deletedAt => mongo_now(-20000),
                  objectDeletedAt => mongo_now(-60), r2Key => 'sweep/g'),
        image_doc(r2Key => 'sweep/h',
                  direct => { stagingKey => 'incoming/h',
                              deadline => mongo_now(-9000) }),
        image_doc(r2Key => 'sweep/i', s3UploadsAt => mongo_now(-9000)),
        image_doc(r2Key => 'sweep/j', s3UploadsAt => mongo_now(-60)),
    );
    ask('insert', db => $db, collection => 'image_vault_requests',
        documents => [
            { _id => "alice\0dead", status => { '$numberInt' => '0' },
              updatedAt => mongo_now(-9000) },
            { _id => "alice\0alive", status => { '$numberInt' => '0' },
              updatedAt => mongo_now() },
            { _id => "alice\0done", status => { '$numberInt' => '201' },
              updatedAt => mongo_now(-9000) },
        ]);

    my $r = sweep($n);
    is($r->{status}, 200, 'status');
    is($r->{headers}{'cache-control'}, 'no-store', 'not cached');
    my $j = $r->{json};
    ok($j->{success} && $j->{enabled}, 'on');
    is($j->{stale}, 7200, 'stale');
    my %count = (brokenUploads => 2, expiredImages => 1, objectsToDelete => 1,
                 documentsToRemove => 1, stagedObjects => 1,
                 openUploads => 1, deadRequests => 1);
    for my $k (sort keys %count) {
        my $due = $j->{due}{$k};
        is($due->{count}, $count{$k}, $k);
        ok(!$due->{more}, "$k: not more");
        like($due->{oldest}, qr/^\d{4}-\S+Z$/, "$k: since when");
        cmp_ok($due->{oldestAge}, '>', 50, "$k: how old");
    }
    cmp_ok(abs($j->{due}{brokenUploads}{oldestAge} - 10000), '<', 60,
           'the oldest of two');
    is_deeply([sort keys %{ $j->{due} }], [sort keys %count], 'no others');
};


subtest 'now' => sub {
    my $before = status($n);
    my $r = sweep($n, 'POST');
    is($r->{status}, 202, 'accepted');
    ok($r->{json}{started}, 'it begins here');
    is($r->{json}{lease}{holder}, state_doc()->{holder}, 'by whom');
    my $last = passed($n, $before->{lastPass}{endedAt});
    ok($last, 'it has passed') or return;
    ok($last->{complete}, 'to its end');
    is($last->{brokenUploads}, 2, 'broken uploads');
    is($last->{expiredImages}, 1, 'expired images');
    # the two broken ones, the expired one, the one that waited
    is($last->{objectsDeleted}, 4, 'objects');
    is($last->{documentsRemoved}, 1, 'documents');
    is($last->{stagedObjects}, 1, 'staged objects');
    is($last->{uploadsAborted}, 0, 'no upload was open');
    is($last->{deadRequests}, 1, 'dead requests');
    is($last->{errors}, 0, 'no errors');
    is($last->{left}, 0, 'none left');
    cmp_ok($last->{startedAt}, 'le', $last->{endedAt}, 'in order');
    my $after = status($n);
    is($after->{due}{$_}{count}, 0, "nothing left: $_")
        for qw(brokenUploads expiredImages objectsToDelete documentsToRemove
               stagedObjects openUploads deadRequests);
    is($after->{due}{brokenUploads}{oldest}, undef, 'no oldest');
    is($after->{lease}{fence}, $before->{lease}{fence}, 'the same lease');
    is_deeply([sort map { $_->{_id} =~ s/.*\0//r }
               @{ ask('find', db => $db, collection => 'image_vault_requests',
                      filter => {}) }],
              ['alive', 'done'], 'living requests stay');

    $r = sweep($n, 'POST', '-H', 'Content-Type: text/plain', '-d', 'x');
    is($r->{status}, 202, 'no type is asked for');
    $last = passed($n, $last->{endedAt});
    ok($last, 'passed');

    # not even a slow machine is busy each time
    for (1 .. 10) {
        last if !$last || !$last->{pauses};
        sweep($n, 'POST');
        $last = passed($n, $last->{endedAt});
    }
    is($last->{pauses}, 0, 'no pauses');

    wait_for { @{ ask('find', db => $db, collection => 'image_vault_audit',
                      filter => { action => 'admin-sweep' }) } >= 2 };
    my @trail = @{ ask('find', db => $db, collection => 'image_vault_audit',
                       filter => { action => 'admin-sweep' }) };
    is($trail[0]{who}, 'root', 'the trail has it');
    is($trail[0]{outcome}, 'ok', 'and how it ended');
};


subtest 'another node takes a lease that rests' => sub {
    my $m = node('two', 'interval=1h stale=2h', workers => 3)->start;
    Time::HiRes::sleep(1.5);        # its first try is over
    my $before = status($m);
    is($before->{lease}{holder}, status($n)->{lease}{holder},
       'both tell the same');
    ok(!$before->{lease}{running}, 'it rests');

    my $id = new_id();
    insert_images(image_doc(id => $id, status => 'error', deletedAt => $old,
                            r2Key => 'sweep/now'));
    my $r = sweep($m, 'POST');
    is($r->{status}, 202, 'accepted');
    ok($r->{json}{started}, 'begun by the other');
    isnt($r->{json}{lease}{holder}, $before->{lease}{holder}, 'its lease now');
    is($r->{json}{lease}{fence}, $before->{lease}{fence} + 1, 'a new fence');
    my $last = passed($n, $before->{lastPass}{endedAt});
    is($last->{objectsDeleted}, 1, 'done');
    is($last->{fence}, $r->{json}{lease}{fence}, 'told with its fence');
    ok(find_image($id)->{objectDeletedAt}, 'really');

    $r = sweep($n, 'POST');
    is($r->{status}, 202, 'back again');
    ok($r->{json}{started}, 'begun');
    ok(passed($m, $last->{endedAt}), 'passed');
    $m->done;
};


subtest 'off' => sub {
    my $m = node('off', 'off')->start;
    my $r = sweep($m, 'POST');
    is($r->{status}, 409, 'not here');
    is($r->{json}{error}{code}, 'conflict', 'code');
    like($r->{json}{error}{message}, qr/image_vault_sweep is off/, 'why');
    my $j = status($m);
    ok(!$j->{enabled}, 'told');
    ok($j->{lastPass}, 'what others did is told all the same');
    $m->done;
};


subtest 'under load it goes slowly, and a second wish waits' => sub {
    my $before = status($n);
    $n->done;
    my $m = node('loaded', 'interval=1h stale=2h',
                 storage => { max_active => 3 })->start;
    ok(passed($m, $before->{lastPass}{endedAt}), 'its first pass');

    # two uploads that don't end take more than half of max_active
    my @held = map {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$m->{port}")
            or die "connect: $!";
        print $s "POST /api/upload?as=alice HTTP/1.1\r\nHost: x\r\n"
               . "Content-Length: 3000000\r\nContent-Type: image/png\r\n\r\n",
            substr(png(3_000_000), 0, 1_000_000);
        $s;
    } 1, 2;
    is(wait_images({ status => 'uploading', r2Key => { '$ne' => 'sweep/young' }
                   }, 2), 2, 'in flight');
    ok((wait_for { curl($m->url('/metrics'))->{body}
                   =~ /^image_vault_storage_operations_in_flight 2$/m }),
       'both are being stored');

    my $ended = status($m)->{lastPass}{endedAt};
    my @ids = map { new_id() } 1 .. 4;
    insert_images(map { image_doc(id => $_, status => 'error',
                                  deletedAt => $old, r2Key => "sweep/$_") }
                  @ids);
    my $r = sweep($m, 'POST');
    ok($r->{json}{started}, 'begun') or diag $r->{body};
    $r = sweep($m, 'POST');
    is($r->{status}, 202, 'once more');
    ok(!$r->{json}{started}, 'it waits');
    ok($r->{json}{lease}{running}, 'as one is running');
    ok($r->{json}{lease}{requestedAt}, 'the wish is noted');

    my $last = passed($m, $ended, 120);
    cmp_ok($last->{pauses}, '>', 0, 'with pauses');
    is($last->{objectsDeleted}, 4, 'but all of it');
    close $_ for @held;
    ok(passed($m, $last->{endedAt}), 'then the second one');
    ok(!status($m)->{lease}{requestedAt}, 'nobody waits any more');
    $m->done;
};


subtest 'a holder that dies in mid-pass' => sub {
    my $m = node('heir', 'interval=1s stale=2s')->start;
    ask('update', db => $db, collection => 'image_vault_state',
        filter => { _id => 'sweep' },
        update => { '$set' => { holder => 'gone:1:x',
                                renewedAt => mongo_now() },
                    '$unset' => { idle => '' } });
    my $fence = state_doc()->{fence};
    my $r = sweep($m, 'POST');
    is($r->{status}, 202, 'a wish');
    ok(!$r->{json}{started}, 'must wait');
    is($r->{json}{lease}{holder}, 'gone:1:x', 'for whom');
    my $heir = wait_for { my $l = status($m)->{lastPass};
                          $l->{holder} ne 'gone:1:x' && $l->{fence} > $fence }
               60;
    ok($heir, 'another takes over');
    ok(!state_doc()->{requestedAt}, 'the wish is fulfilled');
    $m->done;
};

done_testing();
