# Quota: exact under any concurrency on two nodes, repeatable after a crash; the
# refusal says used, limit and needed.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my %conf = (
    http   => ImageVault::Nginx::http_base(
                  sweep => 'interval=300ms stale=4s')
              . ImageVault::Nginx::storage_s3(part_size => '5m')
              . "image_vault_owner \$arg_as;\nimage_vault_max_size 20m;\n"
              . "image_vault_key quota/\$image_vault_filename;\n",
    server => 'location /off { image_vault_api s3; } '
              . 'location /size { image_vault_api s3; image_vault_quota 100k; } '
              . 'location /docs { image_vault_api s3; '
              . 'image_vault_quota documents; }',
);
my $n = ImageVault::Nginx->new(name => 'one', %conf)->start;
my $m = ImageVault::Nginx->new(name => 'two', %conf)->start;
my $db = $ImageVault::Peers::Database;

my %file = map { $_ => temp_file(png($_)) } 10_000, 30_000, 60_000;


sub put {
    my ($node, $path, $as, $size, @more) = @_;
    $file{$size} //= temp_file(png($size));
    return curl('-T', $file{$size}, '-H', 'Content-Type: image/png', @more,
                $node->url("$path/upload?as=$as"));
}

sub user {
    my ($id) = @_;
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => $id }) };
    return $u;
}

sub add_user { return ask('insert', db => $db, collection => 'users',
                          documents => [@_]) }

# used, once nothing is pending
sub used {
    my ($id) = @_;
    wait_for { my $u = user($id); $u && !%{ $u->{storageQuota}{pending} // {} } }
        60;
    return user($id)->{storageQuota}{used};
}

sub sum {
    my ($id) = @_;
    my $sum = 0;
    $sum += $_->{size} for find_images({ userId => $id, status => 'ready' });
    return $sum;
}


subtest 'off: user documents are not touched' => sub {
    is(put($n, '/off', 'nobody', 10_000)->{status}, 201, 'created');
    is(user('nobody'), undef, 'no document');
};

subtest 'size: a missing document is made, up to the limit' => sub {
    is(put($n, '/off', 'ann', 30_000)->{status}, 201, 'before there was a quota');
    is(put($n, '/size', 'ann', 30_000)->{status}, 201, 'created');
    is(used('ann'), 60_000, "used begins with the sum of the owner's images");
    is(user('ann')->{storageQuota}{limit}, 102_400, 'limit');
    my $r = put($m, '/size', 'ann', 60_000);
    is($r->{status}, 403, 'too much');
    is($r->{json}{error}{code}, 'quota_exceeded', 'code');
    like($r->{json}{error}{message}, qr/60000.*102400|102400.*60000/,
         'used, limit and needed');
    is(used('ann'), 60_000, 'nothing of it is kept');
    is(put($n, '/size', 'ann', 30_000)->{status}, 201, 'what fits');
    is(used('ann'), sum('ann'), 'used is the sum');
};

subtest 'documents' => sub {
    is(put($n, '/docs', 'ghost', 10_000)->{status}, 403, 'no document');
    add_user({ _id => 'ben', name => 'Ben', storageQuota =>
               { used => 0, limit => { '$numberLong' => '50000' } } });
    is(put($n, '/docs', 'ben', 30_000)->{status}, 201, 'created');
    is(put($n, '/docs', 'ben', 30_000)->{status}, 403, 'too much');
    is(used('ben'), 30_000, 'used');
    is(user('ben')->{name}, 'Ben', 'what is not ours stays');
};

subtest 'an ObjectId as owner' => sub {
    my $id = '0123456789abcdef01234567';
    is(put($n, '/size', $id, 30_000)->{status}, 201, 'created');
    my ($u) = @{ ask('find', db => $db, collection => 'users',
                     filter => { _id => { '$oid' => $id } }) };
    ok($u, 'the document has an ObjectId');
};

subtest 'side by side on two nodes' => sub {
    for my $round (1 .. 3) {
        my $as = "many$round";
        my @pids = map {
            my $node = $_ % 2 ? $n : $m;
            my $pid = fork // die;
            if (!$pid) {
                exec 'curl', '-s', '-o', '/dev/null', '-T', $file{10_000}, '-H',
                     'Content-Type: image/png',
                     $node->url("/size/upload?as=$as");
            }
            $pid;
        } 1 .. 24;
        waitpid $_, 0 for @pids;
        is(scalar(() = find_images({ userId => $as, status => 'ready' })), 10,
           'as many as fit');
        is(used($as), 100_000, 'used');
    }
};

subtest 'what fails gives back what it held' => sub {
    my $cut = temp_file(substr(png(60_000), 0, 59_000));
    is(curl('-T', $cut, '-H', 'Content-Type: image/png',
            $n->url('/size/upload?as=cut'))->{status}, 422, 'corrupt');
    is(put($n, '/size', 'cut', 60_000)->{status}, 201, 'room for a good one');
    is(used('cut'), 60_000, 'used');
};

subtest 'unknown length, forms' => sub {
    is(put($n, '/size', 'chunk', 60_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 201, 'chunked');
    is(put($n, '/size', 'chunk', 60_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 403, 'too much');
    is(used('chunk'), 60_000, 'used');
    my $r = curl((map { ('-F', "f=\@$file{30_000};filename=$_.png") } 1 .. 4),
                 $n->url('/size/upload?as=form'));
    is($r->{status}, 207, 'as many of a form as fit') or diag($r->{body});
    is(scalar @{ $r->{json}{images} }, 3, 'three');
    is($r->{json}{failures}[0]{code}, 'quota_exceeded', 'the fourth');
    is(used('form'), 90_000, 'used');
};

subtest 'in parts: what the second part needs' => sub {
    add_user({ _id => 'parts', storageQuota =>
               { used => 0, limit => { '$numberLong' => '6000000' } } });
    is(put($n, '/docs', 'parts', 7_000_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 403, 'too much');
    is(used('parts'), 0, 'nothing is kept');
    is(put($n, '/docs', 'parts', 5_900_000, '-H', 'Transfer-Encoding: chunked')
       ->{status}, 201, 'what fits');
    is(used('parts'), 5_900_000, 'used');
};

subtest 'preferences.autoDelete' => sub {
    add_user({ _id => 'auto', preferences => { autoDelete => JSON::PP::true,
                                               defaultExpiry => 30 } });
    my $r = put($n, '/size', 'auto', 10_000);
    is($r->{status}, 201, 'created');
    my $d = find_image($r->{json}{images}[0]{id});
    ok($d->{access}{expiresAt}, 'expires');
    ok($r->{json}{images}[0]{expiresAt}, 'and the answer says so');
    is(used('auto'), 10_000, 'used');
};

subtest 'a worker that is killed gives back all, once swept' => sub {
    $n->{allow} = qr/exited on signal 9/;
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$n->{port}");
    print $s "PUT /size/upload?as=kill HTTP/1.1\r\nHost: x\r\nContent-Length: "
           . "60000\r\nContent-Type: image/png\r\n\r\n",
        substr(png(60_000), 0, 59_000);
    wait_for { my $u = user('kill'); $u && $u->{storageQuota}{used} } 5;
    kill 'KILL', $n->workers;
    ok((wait_for { my $u = user('kill');
                   !$u || ($u->{storageQuota}{used} // 0) == 0 } 60),
       'given back');
    is(put($m, '/size', 'kill', 60_000)->{status}, 201, 'and free');
    is(used('kill'), 60_000, 'used');
};

for my $u (@{ ask('find', db => $db, collection => 'users', filter => {}) }) {
    my $id = $u->{_id};
    next if $id eq 'ann' || !defined $u->{storageQuota};
    is((wait_for { my ($v) = @{ ask('find', db => $db, collection => 'users',
                                   filter => { _id => $id }) };
                  !%{ $v->{storageQuota}{pending} // {} } } 60), 1,
       (ref $id ? $id->{'$oid'} : $id) . ': nothing is pending');
}

$n->done;
$m->done;
done_testing();
