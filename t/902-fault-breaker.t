# A storage that is down: its breaker opens, in all workers at once, refuses
# without a connection, lets one try, closes.  Retries: as many as the budget
# has, never before the storage wants them.  Clocks and tokens.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes ();
use Time::Local ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $s3 = start_scripted();
my $small = temp_file(png(20_000));
my $large = temp_file(png(1_500_000));

my %more = (
    budget => { retries => 3 }, storm => { retries => 3 },
    '503-then-200' => { retries => 3 }, long => { retries => 3 },
    'reset-after-200000' => { retries => 3 }, skew => { retries => 3 },
);
my @buckets = qw(open half killed budget storm 503-then-200 long
                 skew skew-back error-ExpiredToken error-AccessDenied
                 reset-after-200000 slow);

my $http = ImageVault::Nginx::http_base();
my $server = '';
for my $b (@buckets) {
    $http .= ImageVault::Nginx::storage_s3(
        name => $b, endpoint => $s3, bucket => $b, retries => 0,
        region => 'auto', backoff => '1ms 2ms', %{ $more{$b} // {} });
    $server .= "location /$b { image_vault_api $b; }\n";
}

my $n = ImageVault::Nginx->new(
    name => 'breaker', workers => 2, http => $http,
    allow => qr/exited on signal 9/,
    server => "image_vault_owner alice;\n$server"
            . "location = /metrics { image_vault_metrics; }\n"
            . "location = /health { image_vault_health; }\n",
)->start;


sub upload {
    my ($bucket, $file, @more) = @_;
    return curl('-T', $file // $small, '-H', 'Content-Type: image/png', @more,
                $n->url("/$bucket/upload?filename=x.png"));
}

# what the storage saw
sub requests {
    my ($bucket, $method) = @_;
    return grep { $_->{bucket} eq $bucket
                  && (!$method || $_->{method} eq $method) }
           @{ scripted_log() };
}

sub metric {
    my ($name, $bucket) = @_;
    my $text = curl($n->url('/metrics'))->{body};
    return $text =~ /^image_vault_\Q$name\E\{storage="\Q$bucket\E"\} (\S+)$/m
           ? $1 : undef;
}

sub told {
    my ($pattern) = @_;
    return scalar(() = $n->error_log =~ /$pattern/g);
}

# a bucket whose breaker is open
sub break_it {
    my ($bucket, $how) = @_;
    scripted_set($bucket, $how);
    for (1 .. 10) {
        upload($bucket);
        return if metric('storage_breaker_open', $bucket);
    }
    fail("$bucket: its breaker did not open");
}

# uploads side by side: pids and the file for their statuses
sub upload_many {
    my ($bucket, $count) = @_;
    my $file = temp_file('');
    my @pids = map {
        my $pid = fork // die "fork: $!";
        if ($pid == 0) {
            my $r = upload($bucket);
            open my $fh, '>>', $file or die;
            syswrite $fh, "$r->{status}\n";
            POSIX::_exit(0);
        }
        $pid;
    } 1 .. $count;
    return ($file, @pids);
}


subtest 'opens, and refuses at once' => sub {
    my $r = upload('open');
    is($r->{status}, 201, 'all is well');
    my $id = $r->{json}{images}[0]{id};
    is(metric('storage_breaker_open', 'open'), 0, 'closed');
    my $t = curl('-H', 'Content-Type: application/json', '-d',
                 '{"originalName":"a.png","contentType":"image/png",'
                 . '"size":20000}', $n->url('/open/direct-upload'));
    is($t->{status}, 201, 'a ticket');

    # far longer than all of this takes
    break_it('open', '503-after-60');
    my @seen = requests('open');
    cmp_ok(scalar(grep { $_->{status} == 503 } @seen), '<=', 8,
           'after a few failures');
    my $documents = find_images({ storage => 'open' });
    my $errors = told(qr/\[error\]/);

    my $start = Time::HiRes::time();
    for (1 .. 20) {
        $r = upload('open', $large);
        is($r->{status}, 503, 'refused') if $r->{status} != 503;
    }
    cmp_ok(Time::HiRes::time() - $start, '<', 20, 'fast');
    is($r->{json}{error}{code}, 'storage_unavailable', 'code');
    cmp_ok($r->{headers}{'retry-after'}, '>', 15, 'Retry-After');
    cmp_ok($r->{headers}{'retry-after'}, '<=', 60, '… as the storage wants it');

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "PUT /open/upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
           . "Content-Length: 400000\r\n\r\n";
    like(scalar(<$s>), qr{\AHTTP/1\.1 503}, 'before the body');
    $r = curl('-F', "a=\@$small", '-F', "b=\@$small",
              $n->url('/open/upload'));
    is($r->{status}, 503, 'a form as well');

    is(scalar(find_images({ storage => 'open' })), $documents,
       'and without a document');
    is(told(qr/\[error\]/), $errors, 'nor an error in the log for each');
    is(told(qr/\[warn\].*storage "open" is not available, .* 503/), 1,
       'told once by all workers');
    is(metric('storage_breaker_opened_total', 'open'), 1, 'counted');

    is(curl($n->url("/open/$id/view"))->{status}, 302, 'redirects go on');
    is(curl('-H', 'Content-Type: application/json', '-d',
            qq({"imageId":"$id"}), $n->url('/open/presigned-url'))->{status},
       200, 'and URLs on demand');
    $r = curl('-X', 'POST', $n->url("/open/$t->{json}{id}/complete"));
    is($r->{status}, 503, 'a completion is refused');
    is(find_image($t->{json}{id})->{status}, 'uploading', 'nothing has changed');
    is(curl('-X', 'DELETE', $n->url("/open/$id"))->{status}, 200,
       'an image is deleted all the same');

    my $h = curl($n->url('/health?ready'));
    is($h->{status}, 503, 'not ready');
    my %by = map { $_->{name} => $_ } @{ $h->{json}{storages} };
    is($by{open}{breaker}, 'open', 'and why');
    ok(!$by{open}{ok}, 'it is not');
    ok(!exists $by{slow}{breaker}, 'others are closed');

    Time::HiRes::sleep(1.5);
    is(scalar(requests('open')), scalar(@seen),
       'no request by all of this');
};

subtest 'a reload keeps it, another endpoint begins anew' => sub {
    my %old = map { $_ => 1 } $n->workers;
    $n->reload;
    wait_for { !grep { $old{$_} } $n->workers } 60;
    is(upload('open')->{status}, 503, 'refused') for 1 .. 4;
    is(told(qr/\[warn\].*storage "open" is not available/), 1, 'known');

    (my $elsewhere = $s3) =~ s/127\.0\.0\.1/localhost/;
    $n->{http} =~ s/(image_vault_storage open \{.*?endpoint )\S+;/$1$elsewhere;/s
        or die;
    $n->reload;
    scripted_set('open', 'well');
    ok((wait_for { my $r = upload('open'); $r->{status} == 201 }),
       'taken at another endpoint');
};

subtest 'half open: one try at a time, by all workers together' => sub {
    break_it('half', '500');
    scripted_set('half', 'slow-6000');
    Time::HiRes::sleep(1.2);
    my $before = requests('half', 'PUT');
    my ($file, @pids) = upload_many('half', 8);
    waitpid $_, 0 for @pids;
    my @status = sort split ' ', slurp($file);
    is_deeply(\@status, [201, (503) x 7], 'one is let through');
    is(requests('half', 'PUT') - $before, 1, 'one request');
    is(told(qr/\[notice\].*storage "half" is available again/), 1, 'told once');
    is(metric('storage_breaker_open', 'half'), 0, 'closed');
    scripted_set('half', 'well');
    is(upload('half')->{status}, 201, 'all go on');
};

subtest 'who tries is killed' => sub {
    break_it('killed', '500');
    scripted_set('killed', 'silent');
    Time::HiRes::sleep(1.2);
    my $tries = Time::HiRes::time();
    my $before = requests('killed', 'PUT');
    my ($file, $pid) = upload_many('killed', 1);
    ok((wait_for { my $now = requests('killed', 'PUT'); $now > $before }),
       'it tries');
    is(upload('killed')->{status}, 503, 'others are refused');
    my @workers = $n->workers;
    kill 'KILL', @workers;
    waitpid $pid, 0;
    wait_for { my @now = $n->workers;
               @now == 2 && !grep { my $p = $_; grep { $p == $_ } @workers } @now
             } 60;
    scripted_set('killed', 'well');
    ok((wait_for { my $r = upload('killed'); $r->{status} == 201 }),
       'the next one tries');
    # a try has 15 seconds
    cmp_ok(Time::HiRes::time() - $tries, '<', 15, 'without waiting for it');
};

subtest 'the budget: a tenth, and ten' => sub {
    scripted_set('budget', '500-every-3');
    my %got;
    $got{ upload('budget')->{status} }++ for 1 .. 150;
    my $puts = requests('budget', 'PUT');
    cmp_ok($puts - 150, '<=', 10 + 0.1 * requests('budget'), 'retries');
    cmp_ok($puts, '>', 160, 'there are some');
    cmp_ok($got{201}, '>', 100, 'most are stored');
    cmp_ok(metric('storage_retries_refused_total', 'budget'), '>', 0,
           'counted');
    like($n->error_log, qr/\[error\].*no other try: the budget of retries/,
         'and said');
};

subtest 'a storm of errors' => sub {
    scripted_set('storm', '500');
    upload('storm') for 1 .. 100;
    cmp_ok(scalar(requests('storm')), '<=', 30, 'few get through');
};

subtest 'Retry-After' => sub {
    my $start = Time::HiRes::time();
    is(upload('503-then-200')->{status}, 201, 'waited for');
    cmp_ok(Time::HiRes::time() - $start, '>=', 0.9, 'as long as it said');

    scripted_set('long', '503-after-30');
    $start = Time::HiRes::time();
    is(upload('long')->{status}, 503, 'too long a pause');
    cmp_ok(Time::HiRes::time() - $start, '<', 20, 'is not waited for');
    is(scalar(requests('long', 'PUT')), 1, 'nor cut short');
    like($n->error_log, qr/no other try: the storage asks for a longer pause/,
         'said');
};

subtest 'what is no fault of the storage does not open it' => sub {
    is(upload('error-AccessDenied')->{status}, 502, 'denied') for 1 .. 8;
    is(metric('storage_breaker_open', 'error-AccessDenied'), 0, 'refusals');

    for (1 .. 8) {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
        print $s "PUT /slow/upload HTTP/1.1\r\nHost: x\r\n"
               . "Content-Length: 1500000\r\n\r\n", substr(slurp($large), 0,
                                                           300_000);
        my $seen = $_;
        wait_for { requests('slow', 'PUT') >= $seen };
    }
    wait_for { metric('storage_breaker_open', 'slow') } 1;
    is(metric('storage_breaker_open', 'slow'), 0, 'clients that go away');

    # the storage loses patience with a client that sends no more
    scripted_set('slow', 'reset-after-60000');
    my @s = map {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
        print $s "PUT /slow/upload HTTP/1.1\r\nHost: x\r\n"
               . "Content-Length: 1500000\r\n\r\n", substr(slurp($large), 0,
                                                           65_536);
        $s;
    } 1 .. 8;
    <$_> for @s;
    is(metric('storage_breaker_open', 'slow'), 0, 'clients that are slow');
};

subtest 'bytes that are gone are not sent again' => sub {
    is(upload('reset-after-200000', $large)->{status}, 503, 'given up');
    is(scalar(requests('reset-after-200000', 'PUT')), 1, 'one request');
};

subtest 'a clock that is off is learned once' => sub {
    for my $b (qw(skew-back skew)) {
        my $id;
        for (1 .. 6) {
            my $r = upload($b);
            is($r->{status}, 201, "$b: stored") if $r->{status} != 201;
            $id = $r->{json}{images}[0]{id};
        }
        is(scalar(grep { $_->{status} == 403 } requests($b)), 1,
           "$b: one request was signed by the wrong clock");
        is(told(qr/\[warn\].*storage "$b": its clock is -?\d+ seconds off/), 1,
           'said once');
        my $url = curl($n->url("/$b/$id/view"))->{headers}{location};
        is(curl($url)->{status}, 200, 'its URLs are good');
        is(curl('-I', curl('-I', $n->url("/$b/$id/view"))->{headers}{location})
               ->{status}, 200, 'for HEAD as well');
        my $t = curl('-H', 'Content-Type: application/json', '-d',
                     '{"originalName":"a.png","contentType":"image/png",'
                     . '"size":20000}', $n->url("/$b/direct-upload"))->{json};
        is(curl('-T', $small, (map { ('-H', "$_: $t->{headers}{$_}") }
                               keys %{ $t->{headers} }), $t->{url})->{status},
           200, 'and tickets');

        scripted_set($b, 'well');
        is(upload($b)->{status}, 201, 'somebody sets a clock');
        is(told(qr/\[notice\].*storage "$b": its clock agrees with ours/), 1,
           'said as well');
        upload($b);
        my $put = (requests($b, 'PUT'))[-1];
        my ($y, $m, @t) = $put->{headers}{'x-amz-date'}
            =~ /\A(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\z/;
        my $signed = Time::Local::timegm(reverse(@t), $m - 1, $y);
        cmp_ok(abs($put->{time} - $signed), '<', 60, 'and is believed');
    }
};

subtest 'an expired token' => sub {
    my $r = upload('error-ExpiredToken');
    is($r->{status}, 502, 'status');
    is($r->{json}{error}{code}, 'storage_denied', 'code');
    is(scalar(requests('error-ExpiredToken', 'PUT')), 1, 'no other try');
    like($n->error_log, qr/\[error\].*ExpiredToken.*renew the credentials/,
         'the log says what to do');
};

$n->done;

subtest 'the sweep leaves it for its pass' => sub {
    my $m = ImageVault::Nginx->new(
        name => 'sweeps', server => 'location /api { image_vault_api swept; }',
        http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=1s')
                . ImageVault::Nginx::storage_s3(
                      name => 'swept', endpoint => $s3, bucket => 'swept',
                      region => 'auto', retries => 0),
    );
    my $old = mongo_now(-3600);
    scripted_set('swept', '503-after-12');
    insert_images(map { image_doc(status => 'error', deletedAt => $old,
                                  updatedAt => $old, storage => 'swept',
                                  r2Key => "swept/$_") } 1 .. 60);
    $m->start;
    ok((wait_for { $m->error_log =~ /storage "swept" is not available/ } 60),
       'it opens');
    Time::HiRes::sleep(0.5);
    my $seen = requests('swept');
    cmp_ok($seen, '<=', 10, 'after a few');
    Time::HiRes::sleep(1.2);
    is(scalar(requests('swept')), $seen, 'passes go by');
    scripted_set('swept', 'well');
    is(wait_images({ storage => 'swept' }, 0, 60), 0, 'all is done when it is '
                                                      . 'back');
    $m->done;
};

done_testing();
