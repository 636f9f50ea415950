# Too much of everything: slow clients, idle ones, full queues, a full zone, no
# connection left, a full disk, forms that are mostly headers.  What is known
# goes on being redirected, what is too much is told when to come again, memory
# stays bounded, and afterwards all is as before.
#
# alone: it times redirects, and takes thousands of connections
#
# OVERLOAD_SECONDS=n: the slow clients send for so long (4)

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Load;

my $Seconds = $ENV{OVERLOAD_SECONDS} // 4;
my $Goal = 20;                          # ms

my $limits = ImageVault::Load->new(port => 0);
my $Descriptors = $limits->do('limit')->{descriptors};
$limits->end;


# ---- what all of them ask for

sub http {
    my (%a) = @_;
    my $base = ImageVault::Nginx::http_base(%{ $a{base} // {} });
    $base =~ s/vault:1m/vault:$a{zone}/ if $a{zone};
    $base =~ s/iv_(read|write|hash)/tiny_$1/g if $a{tiny};
    return $base . "image_vault_owner alice;\nimage_vault_cache_valid 1h;\n"
         . "client_header_timeout 90s; keepalive_timeout 90s;\n"
         . "client_body_timeout 60s;\n" . ($a{more} // '');
}

sub state_of {
    my ($n) = @_;
    my ($fds, $connections) = (0, 0);
    for my $pid ($n->workers) {
        $fds += () = glob "/proc/$pid/fd/*";
    }
    return { fds => $fds, memory => $n->memory };
}

# descriptors: MongoDB's connections, and what is kept alive to the storage
my $Last = time;

sub back {
    my ($n, $base, $mib, $fds, $what) = @_;
    my $now;
    diag(sprintf '%s: %.1f s', $what, time - $Last);
    $Last = time;
    wait_for {
        $now = state_of($n);
        $now->{fds} <= $base->{fds} + $fds
            && $now->{memory} <= $base->{memory} + $mib * 1048576;
    } 60;
    cmp_ok($now->{fds}, '<=', $base->{fds} + $fds,
           "$what: descriptors are back, $now->{fds} of $base->{fds} + $fds");
    cmp_ok($now->{memory}, '<=', $base->{memory} + $mib * 1048576,
           sprintf '%s: memory is back, %.1f MiB of %.1f + %d', $what,
                   $now->{memory} / 1048576, $base->{memory} / 1048576, $mib);
}

sub upload {
    my ($n, $path, $size, @more) = @_;
    return curl('-T', temp_file(png($size)), '-H', 'Content-Type: image/png',
                @more, $n->url("$path/upload?filename=x.png"));
}

sub created {
    my ($n, $path) = @_;
    my $r = upload($n, $path, 3000);
    is($r->{status}, 201, 'an upload') or diag($r->{body});
    return $r->{json}{images}[0]{id};
}

sub metric {
    my ($n, $name) = @_;
    return curl($n->url('/metrics'))->{body} =~ /^image_vault_$name (\d+)$/m
           ? $1 : 0;
}

# known to the caches of all workers
sub known {
    my ($n, $path, $count) = @_;
    ok((wait_for { metric($n, 'change_stream_up') }), 'hears of changes');
    my @ids = map { created($n, $path) } 1 .. $count;
    # of the end of each upload, too
    ok((wait_for { metric($n, 'change_stream_events_total') >= $count }),
       'has heard of all');
    my @paths = map { "$path/$_/view" } @ids;
    curl($n->url($_)) for @paths;
    return \@paths;
}

# The machine may be busy with others: the best of several counts, and a server
# beside it, that has nothing to do, tells how long the machine itself takes.
my $plain;

sub plainly {
    $plain //= ImageVault::Nginx->new(
        name => 'plain', server => 'location / { return 302 /; }')->start;
    my $watch = ImageVault::Load->new(port => $plain->{port});
    my $r = $watch->do('redirects', paths => ['/'], count => 400,
                       connections => 4);
    $watch->end;
    diag("of a plain server: p50 $r->{p50} ms, p99 $r->{p99} ms");
    return $r->{p99};
}

sub redirects {
    my ($n, $paths, $bound, $what) = @_;
    my $watch = ImageVault::Load->new(port => $n->{port});
    my $r;
    for (1 .. 12) {
        $r = $watch->do('redirects', paths => $paths, count => 400,
                        connections => 4);
        diag("$what: p50 $r->{p50} ms, p99 $r->{p99} ms, max $r->{max} ms");
        last if !defined $bound || $r->{p99} < $bound;
        my $here = bound_of(plainly());
        $bound = $here if $here > $bound;
        last if $r->{p99} < $bound;
    }
    $watch->end;
    is_deeply($r->{bad}, {}, "$what: redirected");
    return $r->{p99} if !defined $bound;
    cmp_ok($r->{p99}, '<', $bound,
           sprintf '%s: p99 %.2f ms is below %.1f', $what, $r->{p99}, $bound);
}

sub bound_of {
    my ($idle) = @_;
    return $idle * 4 > $Goal ? $idle * 4 : $Goal;
}

sub get { return "GET $_[0] HTTP/1.1\r\nHost: x\r\n\r\n" }

sub refused {
    my ($r, $code, $what) = @_;
    is($r->{json}{error}{code}, $code, "$what: $code") or diag($r->{body});
    is($r->{status}, $code eq 'rate_limited' ? 429 : 503, "$what: its status");
    like($r->{headers}{'retry-after'} // '', qr/\A[1-9]\d*\z/,
         "$what: Retry-After");
}

# nothing of an image that was refused is left
sub undone {
    my ($where, $what) = @_;
    is(wait_images({ %$where, status => 'uploading' }, 0, 60), 0,
       "$what: nothing is left uploading");
}

sub count {
    my ($filter) = @_;
    return wait_images($filter, -1, 0);
}

# of more than 1,024 at once in a worker some are left to the sweep
sub nearly_undone {
    my ($count, $what) = @_;
    # until it gets no further
    my ($left, $before, $since) = (0, -1, time);
    wait_for {
        $left = count({ status => 'uploading' });
        ($before, $since) = ($left, time) if $left != $before;
        !$left || time - $since > 5;
    } 120;
    diag("$what: $left are left to the sweep") if $left;
    cmp_ok($left, '<=', $count, "$what: most are undone at once");
}


# ---- slow and idle clients

subtest '2,000 slow clients, 10,000 idle ones' => sub {
    my $slow = 2000;
    my $idle = $Descriptors - 2 * $slow - 500;
    $idle = 10_000 if $idle > 10_000;
    plan skip_all => "RLIMIT_NOFILE is $Descriptors" if $idle < 100;
    diag("RLIMIT_NOFILE is $Descriptors: $idle idle connections")
        if $idle < 10_000;

    my $port = free_port();
    my $most = $Descriptors < 30_000 ? $Descriptors : 30_000;
    my $n = ImageVault::Nginx->new(
        name => 'slow', workers => 2, connections => 16_384,
        port => $port, listen => "listen 127.0.0.1:$port reuseport;",
        main => "worker_rlimit_nofile $most;\n",
        http => http(more => ImageVault::Nginx::storage_s3(
            max_active => 2000, keepalive => 8, keepalive_timeout => '1s')),
        server => "location /api { image_vault_api s3; }\n"
                  . 'location = /metrics { image_vault_metrics; }',
    )->start;
    my $paths = known($n, '/api', 8);
    my $load = ImageVault::Load->new(port => $port);

    # libmongoc's connections, threads and arenas come with the first wave
    my %wave = (path => '/api/upload', rate => 1024);
    $load->do('uploads', %wave, kind => 'raw', count => 200, size => 3000,
              burst => 2900);
    wait_for { !$load->do('status')->{open} } 60;
    $load->do('close');

    my $base = state_of($n);
    my $bound = bound_of(redirects($n, $paths, undef, 'idle'));

    my $ready = count({ status => 'ready' });
    my $size = 1024 * ($Seconds + 4);
    my $began = time;
    my $slowly = sub {
        $load->do('uploads', %wave, kind => 'raw', count => 1200,
                  size => $size, burst => 0);
        $load->do('uploads', %wave, kind => 'form', count => 400,
                  size => $size, burst => 0);
        # these fill their ring, and are being sent on
        $load->do('uploads', %wave, kind => 'raw', count => 400,
                  size => 1_500_000, burst => 150_000);
    };
    $slowly->();
    # at a slow machine's end of this some may be done already
    my $peak = state_of($n)->{memory};
    redirects($n, $paths, $bound, "beside $slow uploads at 1 kB/s");
    my $s = $load->do('status');
    my $now = state_of($n)->{memory};
    $peak = $now if $now > $peak;
    my $grown = $now - $base->{memory};
    diag(sprintf '%d uploads after %.1f s: %.1f MiB, %.1f KiB each', $s->{open},
         time - $began, $grown / 1048576, $grown / 1024 / $slow);
    # two buffers of 64 KiB, 24 KiB of state, nginx's own
    cmp_ok($grown, '<', $slow * 170 * 1024, 'memory of an upload is bounded');

    my $many = ImageVault::Load->new(port => $port);
    my $two = state_of($n)->{memory};
    my $i = $many->do('idle', count => $idle,
                      ask => "GET $paths->[0] HTTP/1.1\r\nHost: x\r\n\r\n");
    is($i->{open}, $idle, "$idle idle connections");
    my $more = state_of($n)->{memory} - $two;
    for ($two, $two + $more) {
        $peak = $_ if $_ > $peak;
    }
    diag(sprintf '%d idle connections: %.1f MiB, %.2f KiB each', $idle,
         $more / 1048576, $more / 1024 / $idle);
    redirects($n, $paths, $bound, "beside $idle idle connections as well");

    wait_for { $load->do('status')->{open} <= 400 } $Seconds + 180;
    $s = $load->do('status');
    is_deeply($s->{ended}, { 201 => 1600 }, 'who sends all of it is served');
    is($s->{open}, 400, 'the large ones are still being sent');
    $load->do('close');
    $many->do('close');
    undone({}, 'large ones that went');
    is((count({ status => 'ready' })) - $ready, 1600,
       'the others are ready');
    $many->end;

    # the allocator keeps what was freed, for the next ones
    sleep 1;
    my $after = state_of($n);
    $after->{fds} = $base->{fds};
    diag(sprintf 'before %.1f MiB, after %.1f', $base->{memory} / 1048576,
         $after->{memory} / 1048576);
    cmp_ok($after->{memory}, '<', $peak, 'less than in the midst of it');
    $slowly->();
    sleep 1;
    $load->do('close');
    $load->end;
    nearly_undone(1000, 'clients that went');
    # of what leaked the second wave would have added as much again
    $after->{memory} = $peak;
    back($n, $after, 16, 24, 'slow clients, twice');
    $n->done;
};


# ---- threads

sub own_mongod {
    delete local $ENV{MONGODB_URI};     # would be used instead
    my $dir = "/tmp/iv-test-overload-mongod-$$";
    chomp(my $uri = `util/mongod start $dir`);
    die "util/mongod start: $?\n" if $?;
    return ($dir, $uri);
}

my ($mongod, $frozen);
END {
    my $s = $?;
    if ($mongod) {
        kill 'CONT', 0 + slurp("$mongod/pid") if -e "$mongod/pid";
        system("util/mongod stop $mongod >/dev/null 2>&1; rm -rf $mongod");
    }
    $? = $s;
}

# look-ups go up to 64 together: so many more than a queue of 4 takes
for my $case (['a full thread pool', 'max_queue=4', 1600],
              ['a full queue of our own', '', 6000])
{
    my ($name, $max, $count) = @$case;
    subtest $name => sub {
        ($mongod, $frozen) = own_mongod() if !$mongod;
        my $n = ImageVault::Nginx->new(
            name => 'threads', workers => 2, connections => 8192,
            level => 'warn',
            main => join('', map { "thread_pool tiny_$_ threads=1 $max;\n" }
                         qw(read write hash)),
            http => http(base => { mongodb => $frozen, timeout => '2s' },
                         tiny => 1, more => ImageVault::Nginx::storage_s3()),
            server => "location /api { image_vault_api s3; }\n"
                      . 'location = /metrics { image_vault_metrics; }',
        )->start;
        my $paths = known($n, '/api', 8);
        my $idle = redirects($n, $paths, undef, "$name, idle");
        my $load = ImageVault::Load->new(port => $n->{port});
        my @asked = map { get('/api/' . new_id() . '/view') } 1 .. $count;
        $load->do('burst', requests => \@asked);
        my $base = state_of($n);
        my $pid = 0 + slurp("$mongod/pid");

        kill 'STOP', $pid;
        my $r = $load->do('burst', held => [map { 0 + $_ } $n->workers],
                          requests => [map { get('/api/' . new_id() . '/view') }
                                       1 .. $count]);
        my $c = $r->{count};
        diag(join ', ', map { "$c->{$_} × $_ within $r->{slowest}{$_} s" }
             sort keys %$c);
        is(($c->{'503 overloaded'} // 0) + ($c->{'503 metadata_unavailable'}
           // 0), $count, 'all are answered by 503');
        ok($c->{'503 overloaded'}, 'some for the full queue');
        cmp_ok($r->{slowest}{'503 overloaded'} // 99, '<', 10,
               'these without a wait');
        cmp_ok($r->{slowest}{'503 metadata_unavailable'} // 99, '<', 30,
               'the queue behind the first is refused without a call each');
        is($r->{without_retry_after}, 0, 'each with Retry-After');
        redirects($n, $paths, bound_of($idle), "$name, MongoDB frozen");
        my $u = upload($n, '/api', 3000);
        is($u->{status}, 503, 'an upload: 503');
        ok($u->{headers}{'retry-after'}, 'with Retry-After');

        kill 'CONT', $pid;
        ok((wait_for { upload($n, '/api', 3000)->{status} == 201 } 60),
           'uploads are taken again');
        like(curl($n->url('/metrics'))->{body},
             qr/^image_vault_overloaded_total [1-9]/m, 'counted');
        $load->end;
        # 2,048 requests that waited, of about 14 KiB each
        back($n, $base, 48, 24, $name);
        $n->done;
    };
}


# ---- the zone

subtest 'a full zone' => sub {
    my $count = 20_000;
    # made by MongoDB, of one; before nginx is told of changes
    my $of = image_doc();
    insert_images($of);
    my $id = { '$concat' => ['f0f0f0f0f0f0f0f', { '$toString' =>
               { '$add' => [100_000_000, '$n'] } }] };
    ask('command', db => $ImageVault::Peers::Database, command => {
        aggregate => 'images', cursor => {}, pipeline => [
            { '$match' => { _id => $of->{_id} } },
            { '$set' => { n => { '$range' => [0, $count] } } },
            { '$unwind' => '$n' },
            { '$set' => { _id => { '$toObjectId' => $id }, r2Key =>
                          { '$concat' => ['images/', $id, '.png'] } } },
            { '$unset' => 'n' },
            { '$merge' => { into => 'images' } },
        ] });
    my @ids = map { 'f0f0f0f0f0f0f0f' . (100_000_000 + $_) } 0 .. $count - 1;
    my $n = ImageVault::Nginx->new(
        name => 'zone', workers => 2, level => 'warn',
        http => http(zone => '64k',
                     more => ImageVault::Nginx::storage_s3()),
        server => 'location /api { image_vault_api s3; }',
    )->start;
    my $load = ImageVault::Load->new(port => $n->{port});
    $load->do('burst', connections => 16, requests =>
              [map { get("/api/$_/view") } @ids[0 .. 499]]);
    my $base = state_of($n);
    # every tenth does not exist
    my @asked = map { $_ % 10 ? $ids[$_] : new_id() } 0 .. $count - 1;
    my $r = $load->do('burst', connections => 16, seconds => 300,
                      requests => [map { get("/api/$_/view") } @asked],
                      want => [map { $_ % 10 ? "images/$ids[$_].png" : '404' }
                               0 .. $count - 1]);
    is_deeply($r->{count}, { 302 => $count * 0.9,
                             '404 not_found' => $count * 0.1 },
              'answers to 20,000 ids') or diag(explain($r->{count}));
    is_deeply($r->{wrong}, [], 'each of them its own');
    $load->end;
    back($n, $base, 16, 24, 'a full zone');
    $n->done;
};


# ---- connections

subtest 'worker_connections are used up' => sub {
    my $n = ImageVault::Nginx->new(
        name => 'connections', workers => 1, connections => 64,
        allow => qr/64 worker_connections are not enough/,
        http => http(more => "image_vault_key nospace/\$image_vault_filename;\n"
                     . ImageVault::Nginx::storage_s3(
                         keepalive => 2, keepalive_timeout => '1s')),
        server => 'location /api { image_vault_api s3; }',
    )->start;
    created($n, '/api');
    my $base = state_of($n);
    sleep 2.5;                          # nothing is kept alive to the storage
    my $load = ImageVault::Load->new(port => $n->{port});
    my $begin = "POST /api/upload?filename=x.png HTTP/1.1\r\nHost";
    my %skip = (begin => $begin, kind => 'raw', size => 3000, rate => 0,
                path => '/api/upload?filename=x.png');
    my $p = $load->do('partial', count => 80, below => 64, %skip);
    diag("of 80 connections $p->{open} were let in");
    cmp_ok($p->{open}, '<', 64, 'no more than there are');
    is($p->{ended}{closed}, 80 - $p->{open}, 'the others are closed');
    my $r = $load->do('send', first => $p->{first}, %skip,
                      skip => length $begin);
    $r->{json} = eval { json($r->{body}) };
    refused($r, 'overloaded', 'no connection to the storage');
    # the first case may leave some of its 2,000 to the sweep
    undone({ r2Key => { '$regex' => '^nospace/' } }, 'no connection');
    is((count({ r2Key => { '$regex' => '^nospace/' },
                            status => 'error' })), 1, 'its document is undone');
    is(scalar(objects('nospace/')), 1, 'no object but the first one');
    like($n->error_log, qr/no connection is free for a request to/,
         'the log says so');
    $load->do('close');
    ok((wait_for { upload($n, '/api', 3000)->{status} == 201 }),
       'uploads are taken again');
    $load->end;
    back($n, $base, 8, 16, 'worker_connections');
    $n->done;
};


# ---- a disk

my $mounted;
END { my $s = $?; system("umount $mounted; rmdir $mounted") if $mounted; $? = $s }

subtest 'a full disk' => sub {
    my $dir = "/tmp/iv-test-full-$$";
    mkdir $dir or die "$dir: $!\n";
    if (system("mount -t tmpfs -o size=1m,mode=700 tmpfs $dir 2>/dev/null")) {
        rmdir $dir;
        plan skip_all => 'no small file system can be mounted, not root';
    }
    $mounted = $dir;
    my $n = ImageVault::Nginx->new(
        name => 'disk', workers => 2,
        http => http(more => "image_vault_storage local { type local; "
                     . "root $dir; url /files; "
                     . "secret 0123456789abcdef0123; }\n"),
        server => 'location /api { image_vault_api local; }',
    )->start;
    my @ids;
    my $r;
    for (1 .. 3) {
        $r = upload($n, '/api', 300_000);
        is($r->{status}, 201, 'there is room');
        push @ids, $r->{json}{images}[0]{id};
    }
    my $base = state_of($n);
    my $files = sub { return sort split /\n/, `find $dir -type f -size +0` };
    my @files = $files->();
    is(@files, 3, 'three files');

    refused(upload($n, '/api', 300_000), 'storage_unavailable', 'a body');
    refused(upload($n, '/api', 300_000, '-H', 'Transfer-Encoding: chunked'),
            'storage_unavailable', 'a chunked body');
    my $file = temp_file(png(300_000));
    refused(curl('-F', "a=\@$file;type=image/png", $n->url('/api/upload')),
            'storage_unavailable', 'a form');
    my $load = ImageVault::Load->new(port => $n->{port});
    my $b = $load->do('burst', repeat => 16, requests => [
        "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        . "Content-Length: 300000\r\n\r\n" . png(300_000)]);
    is_deeply($b->{count}, { '503 storage_unavailable' => 16 },
              'sixteen at once');
    is($b->{without_retry_after}, 0, 'with Retry-After');
    $load->end;
    undone({ storage => 'local' }, 'a full disk');
    is((count({ storage => 'local', status => 'error' })), 19,
       'their documents are undone');
    ok((wait_for { @{[$files->()]} == 3 }), 'no part of a file is left')
        or diag(join "\n", $files->());
    like($n->error_log, qr/free space there or raise the disk quota/,
         'the log says what to do');

    is(curl('-X', 'DELETE', $n->url("/api/$ids[0]"))->{status}, 200,
       'one is deleted');
    ok((wait_for { upload($n, '/api', 250_000)->{status} == 201 }),
       'uploads are taken again');
    back($n, $base, 16, 16, 'a full disk');
    $n->done;
};


# ---- headers

subtest '5,000 headers' => sub {
    my $n = ImageVault::Nginx->new(
        name => 'headers', workers => 2,
        http => http(more => ImageVault::Nginx::storage_s3()),
        server => "location /api { image_vault_api s3; }\n"
                  . "error_page 400 401 413 414 494 503 = \@json;\n"
                  . 'location @json { image_vault_error; }',
    )->start;
    created($n, '/api');
    my $lines = join '', map { "X-Some-Header-$_: of no use at all\r\n" }
                         1 .. 5000;
    my $post = sub {
        my ($type, $body, $more) = @_;
        return "POST /api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: $type\r\n"
             . "Content-Length: " . length($body) . "\r\n" . ($more // '')
             . "\r\n$body";
    };
    my $multi = 'multipart/form-data; boundary=many';
    my $part = "--many\r\nContent-Disposition: form-data; name=\"file\"; "
               . "filename=\"x.png\"\r\nContent-Type: image/png\r\n";
    my $end = "\r\n--many--\r\n";
    my %bad = (
        'headers of a part' => [$multi,
            $part . $lines . "\r\n" . png(500) . $end],
        'parts' => [$multi, join('', map {
            "--many\r\nContent-Disposition: form-data; name=\"f$_\"\r\n"
            . "X-More: nothing\r\n\r\nvalue $_\r\n" } 1 .. 5000) . $part . "\r\n"
            . png(500) . $end],
        'headers of the request' => ['image/png', png(500), $lines],
    );
    my $load = ImageVault::Load->new(port => $n->{port});
    my $wave = sub {
        my ($what) = @_;
        return $load->do('burst', repeat => 64,
                         requests => [$post->(@{ $bad{$what} })]);
    };
    $wave->($_) for keys %bad;          # arenas of malloc() come with these
    my $base = state_of($n);
    my $images = count({});
    for my $what (sort keys %bad) {
        my $r = $wave->($what);
        my @words = sort keys %{ $r->{count} };
        diag("5,000 $what: "
             . join ', ', map { "$r->{count}{$_} × $_ within "
                                . "$r->{slowest}{$_} s" } @words);
        is(scalar(grep { !/\A4(?:00|13) \w/ } @words), 0, "$what: refused")
            or diag(explain($r));
    }
    is(count({}), $images, 'nothing was stored');
    $load->end;
    back($n, $base, 8, 24, '5,000 headers');
    $n->done;
};


# ---- when to come again

subtest 'Retry-After' => sub {
    my $n = ImageVault::Nginx->new(
        name => 'again', workers => 1,
        http => http(more => "image_vault_buffers 10m;\n"
                     . "limit_req_zone \$server_addr zone=r:1m rate=1r/m;\n"
                     . "limit_conn_zone \$server_addr zone=c:1m;\n"
                     . ImageVault::Nginx::storage_s3(part_size => '5m')
                     . ImageVault::Nginx::storage_s3(name => 'one',
                                                     part_size => '5m',
                                                     max_active => 1)),
        server => <<'CONF',
error_page 429 503 = @json;
location @json { image_vault_error; }
location /api { image_vault_api s3; image_vault_max_size 30m; }
location /one { image_vault_api one; }
location /rare { image_vault_api s3; limit_req zone=r; limit_req_status 429; }
location /few { image_vault_api s3; limit_conn c 1; }
location = /metrics { image_vault_metrics; }
CONF
    )->start;
    my %of = (kind => 'raw', rate => 1024);

    my $load = ImageVault::Load->new(port => $n->{port});
    is(upload($n, '/rare', 3000)->{status}, 201, 'limit_req: the first');
    refused(upload($n, '/rare', 3000), 'rate_limited', 'limit_req: the second');

    $load->do('uploads', %of, path => '/few/upload', count => 1,
              size => 60_000, burst => 0);
    sleep 0.3;
    refused(upload($n, '/few', 3000), 'overloaded', 'limit_conn');
    $load->do('close');

    $load->do('uploads', %of, path => '/one/upload', count => 1,
              size => 900_000, burst => 200_000);
    ok((wait_for { metric($n, 'storage_operations_in_flight') }),
       'one is being stored');
    refused(upload($n, '/one', 3000), 'overloaded', 'max_active');
    $load->do('close');
    ok((wait_for { upload($n, '/one', 3000)->{status} == 201 }),
       'max_active: free again');

    # two take all of the buffers and send next to nothing
    my @slow = map {
        IO::Socket::INET->new("127.0.0.1:$n->{port}") or die "connect: $!\n"
    } 1, 2;
    my $bytes = substr png(5000), 0, 500;
    print $_ "POST /api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             . "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
             . sprintf("%x\r\n", length $bytes) . "$bytes\r\n" for @slow;
    $_->flush for @slow;
    sleep 0.5;
    is(upload($n, '/api', 3000, '-H', 'Transfer-Encoding: chunked')->{status},
       201, 'image_vault_buffers: who waits for room gets it');
    my $select = IO::Select->new(@slow);
    my ($gave) = $select->can_read(60);
    my ($head, $body) = split /\r\n\r\n/, join('', <$gave>), 2;
    my ($again) = $head =~ /^Retry-After: *(.*?)\r?$/mi;
    refused({ status => ($head =~ m{\AHTTP/\S+ (\d+)})[0], body => $body,
              json => eval { json($body) },
              headers => { 'retry-after' => $again } },
            'overloaded', 'image_vault_buffers: the slow one');
    close $_ for @slow;
    $n->done;
};

done_testing();
