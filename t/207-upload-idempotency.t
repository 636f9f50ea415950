# Idempotency-Key: the same request again gets the first one's answer, whichever
# node it meets and whatever was killed in between.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER);
use Test::More;
use Time::Local qw(timegm);
use ImageVault::Peers;
use ImageVault::Nginx;

my %conf = (
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3()
              . "image_vault_owner \$arg_as;\n"
              . "image_vault_key idem/\$image_vault_filename;\n",
    server => 'location /api { image_vault_api s3; } '
              . 'location /dead { image_vault_api dead; }',
);
$conf{http} .= ImageVault::Nginx::storage_s3(
    name => 'dead', endpoint => 'http://127.0.0.1:1', retries => 0);

my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;

my $png = temp_file(png(3000));
my $bad = temp_file('not an image');

sub put {
    my ($node, $key, %a) = @_;
    my $path = $a{path} // '/api';
    my $as = $a{as} // 'alice';
    return curl('-T', $a{file} // $png, '-H', 'Content-Type: image/png', '-H',
                "Idempotency-Key: $key", @{ $a{more} // [] },
                $node->url("$path/upload?as=$as" . ($a{query} // '')));
}

sub count { return scalar(() = find_images({ status => 'ready' })) }

# the record of alice's key
sub record {
    my ($key) = @_;
    my ($r) = @{ ask('find', db => $ImageVault::Peers::Database,
                     collection => 'image_vault_requests',
                     filter => { _id => "alice\0$key" }) };
    return $r;
}

# until the request has got as far as that
sub taken {
    my ($key) = @_;
    ok((wait_for { record($key) } 60), 'the key is taken');
}

# in seconds
sub written {
    my ($record) = @_;
    my ($y, $mon, $d, $h, $m, $s) = $record->{updatedAt}{'$date'}
        =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+(?:\.\d+)?)/;
    return timegm(0, $m, $h, $d, $mon - 1, $y) + $s;
}


subtest 'the same again, on another node, after a restart' => sub {
    my $first = put($n, 'k1');
    is($first->{status}, 201, 'created') or diag($first->{body});
    my $id = $first->{json}{images}[0]{id};
    for my $node ($n, $m) {
        my $r = put($node, 'k1');
        is($r->{status}, 201, 'again');
        is($r->{json}{images}[0]{id}, $id, 'the same image');
        is($r->{json}{images}[0]{checksums}{md5},
           $first->{json}{images}[0]{checksums}{md5}, 'its sums');
        like($r->{json}{url}, qr/X-Amz-Signature=/, 'a signed url');
        is($r->{headers}{'idempotent-replayed'}, 'true', 'told so');
    }
    $n->stop;
    $n->start;
    is(put($n, 'k1')->{json}{images}[0]{id}, $id, 'after a restart');
    is(count(), 1, 'one image');
};

subtest 'another request under the same key' => sub {
    my $other = temp_file(png(4000));
    is(put($n, 'k1', file => $other)->{status}, 409, 'another length');
    is(put($n, 'k1', query => '&tags=x')->{status}, 409, 'another query');
    is(put($n, 'k1', more => ['-X', 'POST'])->{status}, 409, 'another method');
    is(put($n, 'k1', as => 'bob')->{status}, 201, 'another owner: no relation');
    is(put($n, 'k1', file => $other)->{json}{error}{code}, 'conflict', 'code');
};

subtest 'a final refusal is kept, a passing one is not' => sub {
    is(put($n, 'k2', file => $bad)->{status}, 415, 'refused');
    my $r = put($m, 'k2', file => $bad);
    is($r->{status}, 415, 'again');
    is($r->{json}{error}{code}, 'unsupported_type', 'code');
    is($r->{headers}{'idempotent-replayed'}, 'true', 'told so');

    is(put($n, 'k3', path => '/dead')->{status}, 503, 'the storage is away');
    is(put($n, 'k3')->{status}, 201, 'the key is free again');
};

subtest 'the first is still running' => sub {
    my $body = png(400_000);
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    my $head = "PUT /api/upload?as=alice HTTP/1.1\r\nHost: x\r\nContent-Length: "
             . "400000\r\nContent-Type: image/png\r\nIdempotency-Key: k4\r\n"
             . "Connection: close\r\n\r\n";
    print $s $head, substr($body, 0, 200_000);
    taken('k4');
    my $file = temp_file($body);
    is(put($m, 'k4', file => $file)->{status}, 409, 'not twice at a time');
    print $s substr($body, 200_000);
    my $text = do { local $/; <$s> };
    like($text, qr{\AHTTP/1\.1 201}, 'the first is created');
    my $r = put($m, 'k4', file => $file);
    is($r->{status}, 201, 'then its answer');
    is($r->{headers}{'idempotent-replayed'}, 'true', 'replayed');
};

subtest 'a client that vanishes frees the key' => sub {
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "PUT /api/upload?as=alice HTTP/1.1\r\nHost: x\r\nContent-Length: "
           . "400000\r\nContent-Type: image/png\r\nIdempotency-Key: k5\r\n\r\n",
        substr(png(400_000), 0, 200_000);
    taken('k5');
    close $s;
    ok((wait_for { my $r = put($n, 'k5'); $r->{status} == 201 } 60), 'free');
};

subtest 'a worker that is killed: the key is free after `stale`' => sub {
    $n->{allow} = qr/exited on signal 9/;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "PUT /api/upload?as=alice HTTP/1.1\r\nHost: x\r\nContent-Length: "
           . "3000\r\nContent-Type: image/png\r\nIdempotency-Key: k6\r\n\r\n",
        substr(png(3000), 0, 1000);
    taken('k6');
    kill 'KILL', $n->workers;
    my $last = written(record('k6'));
    my %seen;
    ok((wait_for { $seen{ put($m, 'k6')->{status} }++; $seen{201} } 60),
       'free');
    cmp_ok(written(record('k6')) - $last, '>=', 4, 'not before');
    is_deeply([grep { !/^(?:201|409)$/ } keys %seen], [], 'taken until then')
        or diag(explain(\%seen));
};

subtest 'a form' => sub {
    my $form = sub { return curl('-F', "a=\@$png;filename=a.png", '-F',
        "b=\@$bad;filename=b.png", '-H', 'Idempotency-Key: k7',
        $_[0]->url('/api/upload?as=alice')) };
    my $first = $form->($n);
    is($first->{status}, 207, 'some');
    my $again = $form->($m);
    is($again->{status}, 207, 'again') or diag($again->{body});
    is($again->{json}{images}[0]{id}, $first->{json}{images}[0]{id}, 'the same');
    is_deeply($again->{json}{failures}, $first->{json}{failures}, 'failures');
    is_deeply($again->{json}{errors}, $first->{json}{errors}, 'errors');
};

subtest 'side by side' => sub {
    my $before = count();
    my @pids = map {
        my $node = $_ % 2 ? $n : $m;
        my $pid = fork // die;
        if (!$pid) {
            exec 'curl', '-s', '-o', "/tmp/iv-idem-$$-out", '-T', $png, '-H',
                 'Content-Type: image/png', '-H', 'Idempotency-Key: k8',
                 $node->url('/api/upload?as=alice');
        }
        $pid;
    } 1 .. 8;
    waitpid $_, 0 for @pids;
    unlink glob '/tmp/iv-idem-*-out';
    is(count(), $before + 1, 'one image');
};

subtest 'odd keys' => sub {
    is(put($n, 'x' x 256)->{status}, 400, 'too long');
    is(put($n, 'x' x 255)->{status}, 201, 'as long as allowed');
    is(put($n, "caf\xc3\xa9")->{status}, 400, 'not ASCII');
};

# a request as far as its body has come
sub begin {
    my ($key, $length, $bytes) = @_;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}") or die;
    print $s "PUT /api/upload?as=alice HTTP/1.1\r\nHost: x\r\n"
             . "Connection: close\r\nContent-Type: image/png\r\n"
             . "Content-Length: $length\r\nIdempotency-Key: $key\r\n\r\n"
             . $bytes;
    return $s;
}

subtest 'a slow first one shows signs of life' => sub {
    my $body = png(400_000);
    my $file = temp_file($body);
    my $s = begin('slow', 400_000, substr($body, 0, 100_000));
    for my $i (0 .. 4) {
        select undef, undef, undef, 1.2;
        print $s substr($body, 100_000 + $i * 50_000, 50_000);
        is(put($m, 'slow', file => $file)->{status}, 409, "taken $i");
    }
    print $s substr($body, 350_000);
    my $text = join '', <$s>;
    like($text, qr{\AHTTP/1\.1 201}, 'the first is stored');
    is(put($m, 'slow', file => $file)->{headers}{'idempotent-replayed'},
       'true', 'then its answer');
};

subtest 'half a body frees the key' => sub {
    my $body = png(400_000);
    my $s = begin('half', 400_000, substr($body, 0, 100_000));
    shutdown $s, 1;
    my $text = join '', <$s>;
    like($text, qr{\AHTTP/1\.1 400}, 'refused');
    my $r = put($m, 'half', file => temp_file($body));
    is($r->{status}, 201, 'the next is stored');
    ok(!$r->{headers}{'idempotent-replayed'}, 'anew');
    for (1 .. 20) {
        my $c = begin('reset', 3000, '');
        setsockopt $c, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0;
        close $c;
    }
    ok((wait_for { put($n, 'reset')->{status} == 201 } 60), 'so do resets');
};

subtest 'a form refused as a whole' => sub {
    for my $told (undef, 'true') {
        my $r = curl('-F', "a=\@$png;filename=a.png", '-F', 'isPublic=maybe',
                     '-H', 'Idempotency-Key: whole',
                     $n->url('/api/upload?as=alice'));
        is($r->{status}, 400, 'refused');
        is($r->{json}{error}{code}, 'bad_parameter', 'the same reason');
        is($r->{headers}{'idempotent-replayed'}, $told, 'told so');
    }
};

subtest 'what became of the image counts' => sub {
    my $id = put($n, 'later')->{json}{images}[0]{id};
    for my $set ({ blocked => { at => { '$date' => { '$numberLong' => '1' } },
                                reason => 'x' } }, { status => 'error' }) {
        ask('update', db => $ImageVault::Peers::Database,
            filter => { _id => { '$oid' => $id } }, update => { '$set' => $set });
        my $r = put($m, 'later');
        is($r->{status}, 201, 'the answer stays');
        is($r->{json}{images}[0]{id}, $id, 'the id');
        is($r->{json}{images}[0]{url}, undef, 'no url');
        is($r->{headers}{location}, undef, 'no Location');
    }
};

subtest 'a key that was lost' => sub {
    my $s = begin('lost', 400_000, substr(png(400_000), 0, 100_000));
    taken('lost');
    ask('update', db => $ImageVault::Peers::Database,
        collection => 'image_vault_requests', filter => { _id => "alice\0lost" },
        update => { '$set' => { by => 'x' } });
    my $text = join '', <$s>;
    like($text, qr{\AHTTP/1\.1 409}, 'the first is refused');
};

subtest 'two keys, an empty one' => sub {
    is(put($n, 'a', more => ['-H', 'Idempotency-Key: b'])->{status}, 400, 'two');
    my $r = curl('-T', $png, '-H', 'Content-Type: image/png',
                 '-H', 'Idempotency-Key;', $n->url('/api/upload?as=alice'));
    is($r->{status}, 201, 'an empty one is none');
};

$n->done;
$m->done;
done_testing();
