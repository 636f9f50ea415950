# The ownership cache: what $image_vault_cache says, who is turned away by an
# entry and for how long, and that a change is seen at once by all workers of
# the node that made it.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes qw(sleep time);
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

my $n = ImageVault::Nginx->new(
    name => 'cache', workers => 3,
    http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=60s')
            . ImageVault::Nginx::storage_s3()
            . "keepalive_requests 100000;\n",
    server => <<'CONF',
image_vault_owner $arg_as;
image_vault_admin $arg_admin;
add_header X-Cache $image_vault_cache always;
image_vault_cache_valid 0;
location /api { image_vault_api s3; image_vault_cache_valid 60s negative=3s; }
location /long { image_vault_api s3; image_vault_cache_valid 1h negative=1h; }
location /short { image_vault_api s3; image_vault_cache_valid 1500ms; }
location /some { image_vault_api s3; image_vault_cache_valid 16s; }
location /never { image_vault_api s3; image_vault_cache_valid 60s negative=0; }
location /off { image_vault_api s3; }
location = /metrics { image_vault_metrics; }
CONF
)->start;

# several connections, that all workers have some
my @kept = map { ImageVault::Kept->new($n->{port}) } 1 .. 12;
my $turn = 0;

# (status, what the cache knew), by the next connection
sub view {
    my ($id, $as, $prefix) = @_;
    my $r = $kept[$turn++ % @kept]->ask('GET', ($prefix // '/api')
                                        . "/$id/view?as=$as");
    my ($cache) = $r->{head} =~ /^X-Cache: (\w+)/m;
    return wantarray ? ($r->{status}, $cache // '') : $r->{status};
}

sub seen {
    my ($what, $want, @args) = @_;
    is_deeply([view(@args)], $want, $what);
}

sub change {
    my ($method, $path, $json) = @_;
    my @body = $json ? ('Content-Type: application/json', \$json) : ();
    return $kept[$turn++ % @kept]->ask($method, $path, @body)->{status};
}

# until the change stream has told of it as well
sub settle { heard(sub { (view($_[0], 'alice', '/long'))[1] }) }

sub kept_image {
    my (%a) = @_;
    my $id = new_id();
    insert_images(image_doc(id => $id, %a));
    return $id;
}

sub metric {
    my ($name) = @_;
    my ($v) = curl($n->url('/metrics'))->{body}
              =~ /^image_vault_\Q$name\E (\d+)$/m;
    return $v;
}


# where it begins, all entries are dropped
ok((wait_for { metric('change_stream_up') } 60), 'hears of changes');

subtest 'miss, hit, expired' => sub {
    my $id = kept_image();
    seen('first', [302, 'MISS'], $id, 'alice');
    seen('and then', [302, 'HIT'], $id, 'alice') for 1 .. 12;
    seen('not looked at', [302, ''], $id, 'alice', '/off');

    my $short = kept_image();
    seen('first', [302, 'MISS'], $short, 'alice', '/short');
    seen('hit', [302, 'HIT'], $short, 'alice', '/short');
    sleep 1.6;
    seen('too old here', [302, 'EXPIRED'], $short, 'alice', '/short');
    sleep 1.6;
    seen('but not there', [302, 'HIT'], $short, 'alice', '/api');

    my $r = curl($n->url("/api/$id?as=alice"));
    is_deeply([$r->{status}, $r->{headers}{'x-cache'}], [200, undef],
              'a document is read from the database');
    $r = curl('-H', 'Accept: image/webp', $n->url("/api/$id?as=alice"));
    is_deeply([$r->{status}, $r->{headers}{'x-cache'}], [302, 'HIT'],
              'an <img> is not');
    is(curl('-I', $n->url("/api/$id/view?as=alice"))->{headers}{'x-cache'},
       'HIT', 'HEAD');
};

subtest 'read anew before it is too old' => sub {
    my $id = kept_image();
    seen('first', [302, 'MISS'], $id, 'alice', '/some');
    my $fills = metric('cache_fills_total');
    my %seen;
    my $reads = sub {
        my (undef, $cache) = view($id, 'alice', '/some');
        $seen{$cache}++;
        sleep 0.05;
        metric('cache_fills_total') > $fills;
    };
    ok((wait_for { $reads->() } 30), 'while it answers');
    is_deeply([keys %seen], ['HIT'], 'nobody waited for it');
};

subtest 'the same redirect from either' => sub {
    my $id = kept_image(originalName => 'Urlaub "1" ä.png',
                        shared => ['bob', 'carol']);
    for my $path ("/$id/view?as=bob", "/$id/download?as=carol") {
        my ($off, $hit);
        wait_for {
            curl($n->url("/api$path"));
            $off = curl($n->url("/off$path"));
            $hit = curl($n->url("/api$path"));
            # not on both sides of the window's end
            ($off->{headers}{location} // '')
                eq ($hit->{headers}{location} // '')
        };
        is($hit->{headers}{'x-cache'}, 'HIT', 'a hit');
        is($hit->{headers}{location}, $off->{headers}{location}, 'Location');
    }
};

subtest 'strangers and absent images' => sub {
    my $id = kept_image(shared => ['bob']);
    seen('owner', [302, 'MISS'], $id, 'alice');
    seen('shared', [302, 'HIT'], $id, 'bob');
    seen('stranger, by the entry', [404, 'NEGATIVE'], $id, 'mallory');
    seen('anonymous', [404, 'NEGATIVE'], $id, '');
    sleep 3.1;
    seen('stranger, entry too old for that', [404, 'EXPIRED'], $id,
         'mallory');
    seen('owner still', [302, 'HIT'], $id, 'alice');
    seen('never by an entry', [404, 'EXPIRED'], $id, 'mallory', '/never')
        for 1, 2;

    my $none = new_id();
    seen('absent', [404, 'MISS'], $none, 'mallory');
    seen('absent', [404, 'NEGATIVE'], $none, 'mallory') for 1 .. 12;
    sleep 3.1;
    seen('absent, too old', [404, 'EXPIRED'], $none, 'mallory');

    my ($one, $other) = map {
        view($_, 'mallory');
        my $r = $kept[0]->ask('GET', "/api/$_/view?as=mallory");
        $r->{body} =~ s/"requestId":"\w+"//;
        $r->{head} =~ s/^Date: .*\r\n//m;
        "$r->{head}$r->{body}"
    } $id, $none;
    is($one, $other, 'not to be told apart');
};

subtest 'an upload after its id was asked for' => sub {
    my $r = curl('-T', temp_file(png(3000)), '-H', 'Content-Type: image/png',
                 $n->url('/long/upload?as=alice&filename=x.png'));
    is($r->{status}, 201, 'an upload');
    my $id = $r->{json}{images}[0]{id};
    my ($oid) = unpack 'H*', pack 'H*', $id;
    is(view($id, 'alice', '/long'), 302, 'seen');
    is(change('DELETE', "/long/$id?as=alice"), 200, 'deleted');
    seen('gone', [404, 'MISS'], $oid, 'alice', '/long');

    # while it is on its way, and once it is there
    my $new = kept_image(status => 'uploading');
    is(view($new, 'alice', '/long'), 409, 'on its way') for 1 .. 3;
    seen('is not kept', [409, 'MISS'], $new, 'alice', '/long');
};

subtest 'changes are seen at once, by all workers' => sub {
    my $id = kept_image();
    my $at = "/long/$id";
    my @wrong;
    my $expect = sub {
        my ($what, $as, $want) = @_;
        for (1 .. scalar @kept) {
            my ($got, $cache) = view($id, $as, '/long');
            push @wrong, "$what: $got for $as ($cache)" if $got != $want;
        }
    };
    my $do = sub {
        my ($what, $method, $path, $json) = @_;
        my $got = change($method, $path, $json);
        push @wrong, "$what: answered $got" if $got != 200;
    };
    for (1 .. 12) {
        $do->('publish', 'PATCH', "$at?as=alice", '{"isPublic":true}');
        $expect->('published', '', 302);
        $do->('unpublish', 'PATCH', "$at?as=alice", '{"isPublic":false}');
        $expect->('unpublished', '', 404);
        $do->('share', 'PATCH', "$at?as=alice", '{"sharedWith":["bob"]}');
        $expect->('shared', 'bob', 302);
        $do->('unshare', 'PATCH', "$at?as=alice", '{"sharedWith":[]}');
        $expect->('unshared', 'bob', 404);
        $do->('bulk', 'POST', '/long/bulk?as=alice',
              "{\"action\":\"share\",\"ids\":[\"$id\"],\"users\":[\"bob\"]}");
        $expect->('bulk shared', 'bob', 302);
        $do->('bulk', 'POST', '/long/bulk?as=alice',
            "{\"action\":\"unshare\",\"ids\":[\"$id\"],\"users\":[\"bob\"]}");
        $expect->('bulk unshared', 'bob', 404);
        $do->('block', 'POST', "/long/admin/images/$id/moderate?as=r&admin=1",
              '{"action":"block","reason":"abuse of it"}');
        $expect->('blocked', 'alice', 451);
        $expect->('blocked', 'r&admin=1', 302);
        $do->('unblock', 'POST',
              "/long/admin/images/$id/moderate?as=r&admin=1",
              '{"action":"unblock"}');
        $expect->('unblocked', 'alice', 302);
    }
    $do->('delete', 'DELETE', "$at?as=alice");
    $expect->('deleted', $_, 404) for qw(alice bob r&admin=1);
    is_deeply(\@wrong, [], 'nothing else was seen');

    my @ids = map { new_id() } 1 .. 20;
    insert_images(map { image_doc(id => $_) } @ids);
    view($_, 'alice', '/long') for @ids, @ids;
    is(change('POST', '/long/bulk?as=alice', '{"action":"delete","ids":["'
              . join('","', @ids) . '"]}'), 200, 'many at once');
    is_deeply([map { scalar view($_, 'alice', '/long') } @ids],
              [(404) x @ids], 'all are gone');
};

subtest 'blocked, with its reason, from the cache' => sub {
    my $id = kept_image(blocked => { at => mongo_now(), reason => 'abuse' });
    my @r = map { curl($n->url("/long/$id/view?as=alice")) } 1 .. 3;
    is_deeply([map { $_->{status} } @r], [451, 451, 451], '451');
    is($r[2]{headers}{'x-cache'}, 'HIT', 'a hit');
    is($r[2]{json}{error}{message}, 'abuse', 'its reason');
    seen('an admin sees it', [302, 'HIT'], $id, 'root&admin=1', '/long');
    seen('too old to refuse by', [451, 'EXPIRED'], $id, 'alice', '/never')
        for 1, 2;
};

subtest 'expiresAt passes while it is cached' => sub {
    my $end = 3 + int time;
    my $id = kept_image(expires => mongo_at($end));
    my ($early, $late, %seen) = (0, 0);
    while ((my $t = time) < $end + 0.7) {
        my ($s, $cache) = view($id, 'alice', '/long');
        $seen{"$s $cache"}++;
        $early++ if $s != 302 && time < $end;
        $late++ if $s == 302 && $t > $end + 0.05;
        sleep 0.02;
    }
    ok($seen{'302 HIT'}, 'hits before');
    is($early, 0, 'none refused before') or diag(explain(\%seen));
    is($late, 0, 'none redirected after') or diag(explain(\%seen));
    ok((wait_for { view($id, 'alice', '/long') == 404 } 60),
       'the sweep takes it, and its entry');
};

subtest 'changes and redirects side by side' => sub {
    my $id = kept_image(public => 1);
    my $at = "/long/$id";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        my $k = ImageVault::Kept->new($n->{port});
        my $end = time + 4;
        my %s;
        while (time < $end) {
            $s{ $k->ask('GET', "$at/view")->{status} }++;
        }
        require POSIX;
        # 503: its look-ups met a change eight times in a row
        my $busy = delete $s{503} // 0;
        POSIX::_exit((grep { $_ !~ /\A(?:302|404)\z/ } keys %s) ? 1
                     : $busy > ($s{302} // 0) ? 2 : 0);
    }
    my ($wrong, $rounds, $end) = (0, 0, time + 4);
    while (time < $end) {
        change('PATCH', "$at?as=alice", '{"isPublic":false}');
        view($id, '', '/long') == 404 or $wrong++ for 1 .. 4;
        change('PATCH', "$at?as=alice", '{"isPublic":true}');
        view($id, '', '/long') == 302 or $wrong++ for 1 .. 4;
        $rounds++;
    }
    waitpid $pid, 0;
    is($?, 0, 'the other saw nothing else');
    is($wrong, 0, "no stale answer in $rounds rounds");
};

subtest 'a worker is killed' => sub {
    my $id = kept_image();
    view($id, 'alice', '/long') for 1 .. 24;
    for (1 .. 3) {
        settle();
        view($id, 'alice', '/long');
        my ($pid) = $n->workers;
        kill 'KILL', $pid;
        ok((wait_for { my @w = $n->workers;
                       @w == 3 && !grep { $_ == $pid } @w } 60), 'another');
        delete $_->{socket} for @kept;
        seen('still known', [302, 'HIT'], $id, 'alice', '/long') for 1 .. 3;
        is(change('PATCH', "/long/$id?as=alice", '{"tags":["x"]}'), 200,
           'changed');
        seen('and dropped', [302, 'MISS'], $id, 'alice', '/long');
    }
};

subtest 'a reload keeps entries' => sub {
    my $id = kept_image();
    view($id, 'alice', '/long');
    my %old = map { $_ => 1 } $n->workers;
    delete $_->{socket} for @kept;
    $n->reload;
    wait_for { !grep { $old{$_} } $n->workers } 60;
    seen('known', [302, 'HIT'], $id, 'alice', '/long') for 1 .. 6;
};

subtest 'counted' => sub {
    cmp_ok(metric('cache_entries'), '>', 5, 'entries');
    cmp_ok(metric('cache_drops_total'), '>', 100, 'drops');
    cmp_ok(metric('retrievals_total{result="redirect",cache="hit"}'), '>', 50,
           'hits');
    cmp_ok(metric('retrievals_total{result="not_found",cache="negative"}'),
           '>', 10, 'turned away by an entry');
};

$n->{allow} = qr/exited on signal 9/;
$n->done;


# a zone that holds some of them only
my $tiny = ImageVault::Nginx->new(
    name => 'tiny', workers => 2,
    http => ImageVault::Nginx::http_base() =~ s/vault:1m/vault:64k/r
            . ImageVault::Nginx::storage_s3()
            . "keepalive_requests 100000;\n",
    server => <<'CONF',
image_vault_owner $arg_as;
location /api { image_vault_api s3; image_vault_cache_valid 1h negative=1h; }
location = /metrics { image_vault_metrics; }
CONF
)->start;

subtest 'a zone too small for its images' => sub {
    my @ids = map { new_id() } 1 .. 600;
    insert_images(map { image_doc(id => $_) } @ids);
    my @k = map { ImageVault::Kept->new($tiny->{port}) } 1 .. 4;
    my $wrong = 0;
    for my $round (1 .. 2) {
        for my $i (0 .. $#ids) {
            my ($as, $want) = $i % 7 ? ('alice', 302) : ('eve', 404);
            my $r = $k[$i % 4]->ask('GET', "/api/$ids[$i]/view?as=$as");
            $wrong++ if $r->{status} != $want
                        || $want == 302 && $r->{head} !~ /\Q$ids[$i]\E\.png/;
        }
    }
    is($wrong, 0, 'answers are right');
    my $body = curl($tiny->url('/metrics'))->{body};
    my ($evictions) = $body =~ /^image_vault_cache_evictions_total (\d+)/m;
    cmp_ok($evictions, '>', 100, 'entries made room');
    my ($size) = $body =~ /^image_vault_cache_size_bytes (\d+)/m;
    my ($used) = $body =~ /^image_vault_cache_used_bytes (\d+)/m;
    cmp_ok($used, '<=', $size, 'memory is bounded');
};

$tiny->done;
done_testing();
