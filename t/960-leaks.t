# Requests of all kinds and reloads, many times over: memory, descriptors,
# threads, connections and the zone end where they were after the first third.
#
# alone: it compares the memory of processes
#
#   LEAKS_REQUESTS=100000 LEAKS_RELOADS=100   the long form (make leaks)

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Digest::MD5 ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

my $requests = $ENV{LEAKS_REQUESTS} // 5000;
my $reloads = $ENV{LEAKS_RELOADS} // 10;
my $clients = 4;

# sanitizers keep what was freed, and valgrind's memory is its own
my $weigh = !$ENV{TEST_STATIC} && ($ENV{TEST_NGINX_BINARY} // '') !~ /valgrind/;

my $store = "/tmp/iv-leaks-$$";
mkdir $store;
END { system('rm', '-rf', $store) if $store }

my $n = ImageVault::Nginx->new(
    name => 'leaks', level => 'warn',
    http => ImageVault::Nginx::http_base(sweep => 'interval=1s stale=60s')
            . ImageVault::Nginx::storage_s3()
            . "image_vault_storage disk { type local; root $store; "
            . "url /files; secret 0123456789abcdef0123456789abcdef; }\n"
            . "keepalive_requests 1000000;\nimage_vault_audit on;\n",
    server => <<"CONF",
image_vault_owner \$arg_as;
image_vault_admin \$arg_admin;
image_vault_cache_valid 0;
access_log off;
location /api { image_vault_api s3; image_vault_quota 100m;
    image_vault_cache_valid 60s negative=1s; }
location /off { image_vault_api s3; image_vault_cors https://app.example; }
location /small { image_vault_api s3; image_vault_max_size 1k; }
location /disk { image_vault_api disk; }
location /files/ { image_vault_files disk; alias $store/; }
location ~ ^/guarded/(?<image>[^/]+)\$ {
    image_vault_access id=\$image; empty_gif; }
location = /metrics { image_vault_metrics; }
location = /health { image_vault_health; }
location = /status { stub_status; }
CONF
)->start;

my $png = png(3000);
my $jpeg = jpeg(180_000);
my $absent = 'f' x 24;
my @json = ('Content-Type: application/json');
my $form = join '', (map {
    "--xyz\r\nContent-Disposition: form-data; name=\"image\"; "
    . "filename=\"a$_.png\"\r\nContent-Type: image/png\r\n\r\n$png\r\n"
} 1, 2), "--xyz\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\n"
       . "sea, sand\r\n--xyz--\r\n";


# One round of a client: [request, the statuses it may have] for each; what it
# makes it deletes again.
sub one_round {
    my ($k, $as, $serial, $wrong) = @_;

    my $count = 0;
    my $do = sub {
        my ($want, $method, $path, @more) = @_;
        my $r = $k->ask($method, $path, @more);
        $count++;
        push @$wrong, "$method $path: $r->{status}, not $want: "
                      . substr($r->{body}, 0, 200)
            if $r->{status} !~ /\A(?:$want)\z/ && @$wrong < 20;
        return $r;
    };
    my $ids = sub {
        my $answer = eval { json($_[0]{body}) } // {};
        return map { $_->{id} } @{ $answer->{images} // [] };
    };
    my @type = ('Content-Type: image/png');
    my $q = "?as=$as";

    # uploads
    my @mine = map { $ids->($_) }
        $do->(201, 'PUT', "/api/upload$q&tags=a,b", @type, \$png),
        $do->(201, 'POST', "/api/upload$q", 'Content-Type: image/jpeg', \$jpeg),
        $do->(201, 'POST', "/api/upload$q",
              'Content-Type: multipart/form-data; boundary=xyz', \$form);
    my @key = ("Idempotency-Key: $as-$serial", @type);
    push @mine, $ids->($do->(201, 'PUT', "/api/upload$q", @key, \$png));
    $do->('200|201', 'PUT', "/api/upload$q", @key, \$png);
    my ($disk) = $ids->($do->(201, 'PUT', "/disk/upload$q", @type, \$png));

    # refused ones
    $do->(413, 'PUT', "/small/upload$q", @type, \$png);
    $do->('415|422', 'PUT', "/api/upload$q", @type, \'this is no image');
    $do->(422, 'PUT', "/api/upload$q", @type, \substr($png, 0, 2500));
    $do->('400|422', 'PUT', "/api/upload$q", @type, 'Content-MD5: '
          . 'AAAAAAAAAAAAAAAAAAAAAA==', \$png);
    $do->(401, 'PUT', '/api/upload', @type, \$png);
    $do->(400, 'POST', "/api/upload$q",
          'Content-Type: multipart/form-data; boundary=xyz', \'nothing');

    # reading
    my $id = $mine[0] // $absent;
    for (1 .. 6) {
        $do->(302, 'GET', "/api/$id/view$q");
        $do->(302, 'HEAD', "/api/$id/view$q");
        $do->(302, 'GET', "/api/$id/download$q");
        $do->(302, 'GET', "/off/$id/view$q", 'Origin: https://app.example');
        $do->(200, 'GET', "/api/$id$q");
        $do->(200, 'GET', "/guarded/$id$q");
        $do->(404, 'GET', "/api/$id/view?as=stranger");
        $do->(404, 'GET', "/guarded/$id?as=stranger");
        $do->('401|404', 'GET', "/api/$absent/view");
        $do->('400|404', 'GET', "/api/nonsense/view$q");
    }
    my $r = $do->(302, 'GET', '/disk/' . ($disk // $absent) . "/view$q");
    if ($r->{head} =~ m{^Location: (?:http://[^/]+)?(/files/\S+)}mi) {
        my $link = $1;
        $do->(200, 'GET', $link);
        $do->(403, 'GET', "${link}0");
    }

    # lists and changes
    $do->(200, 'GET', "/api/user$q&limit=5&urls=1");
    $do->(200, 'GET', "/api/usage$q");
    $do->(200, 'GET', "/api/admin/stats$q&admin=1");
    $do->(403, 'GET', "/api/admin/stats$q");
    $do->(200, 'POST', "/api/presigned-url$q", @json, \qq({"imageId":"$id"}));
    $do->(200, 'PATCH', "/api/$id$q", @json, \'{"tags":["c"],"isPublic":true}');
    $do->(400, 'PATCH', "/api/$id$q", @json, \'{"tags":');
    $do->(403, 'PATCH', "/api/$id?as=stranger", @json, \'{"tags":[]}');
    $do->(200, 'POST', "/api/bulk$q", @json, \JSON::PP::encode_json(
        { action => 'tag', ids => [@mine, $absent], tags => ['d'] }));

    # a ticket that nobody uses
    $r = $do->('200|201', 'POST', "/api/direct-upload$q", @json,
               \('{"originalName":"a.png","contentType":"image/png",'
                 . '"size":3000}'));
    my $ticket = (eval { json($r->{body}) } // {})->{id} // $absent;
    $do->(409, 'POST', "/api/$ticket/complete$q");
    $do->(200, 'DELETE', "/api/$ticket$q");

    $do->(200, 'GET', '/metrics');
    $do->(200, 'GET', '/health');

    $do->(200, 'DELETE', "/disk/$disk$q") if $disk;
    $do->(200, 'DELETE', "/api/$_$q") for @mine;
    $do->('404|410', 'GET', "/api/$id/view$q");
    $do->(404, 'DELETE', "/api/$absent$q");

    # one that goes away in mid-body
    my $s = $k->connection;
    print $s "PUT /api/upload$q HTTP/1.1\r\nHost: vault\r\nContent-Type: "
             . "image/png\r\nContent-Length: 100000\r\n\r\n" . $png;
    close $s;

    return $count + 1;
}


# Several clients side by side until as many requests were made: what was wrong
my $serial = 0;

sub requests {
    my ($want) = @_;

    my $file = "$n->{dir}/wrong";
    my @pids;
    $serial++;
    for my $client (1 .. $clients) {
        my $pid = fork // die "fork: $!\n";
        if ($pid == 0) {
            my $k = ImageVault::Kept->new($n->{port});
            my ($made, $round, @wrong) = (0, 0);
            eval {
                while ($made < $want / $clients) {
                    $made += one_round($k, "user$client",
                                       "$serial-" . ++$round, \@wrong);
                }
                1;
            } or push @wrong, "died: $@";
            open my $fh, '>', "$file.$client";
            print $fh "$made\n", map { "$_\n" } @wrong;
            close $fh;
            POSIX::_exit(0);
        }
        push @pids, $pid;
    }
    waitpid $_, 0 for @pids;

    my ($made, @wrong) = (0);
    for my $client (1 .. $clients) {
        my ($m, @w) = split /\n/, slurp("$file.$client");
        $made += $m;
        push @wrong, @w;
    }
    return ($made, @wrong);
}


sub metric {
    my ($text, $name) = @_;
    my $sum = 0;
    $sum += $1 while $text =~ /^image_vault_\Q$name\E(?:\{[^}]*\})? (\d+)$/mg;
    return $sum;
}


sub rss {
    my ($pid) = @_;
    return slurp("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/ ? $1 : 0;
}


# what a node holds when nothing is under way
sub state_of {
    my $text;
    my $quiet = wait_for {
        $text = curl($n->url('/metrics'))->{body};
        my ($active) = curl($n->url('/status'))->{body}
                       =~ /^Active connections: (\d+)/;
        my @busy = grep { metric($text, $_) }
            'uploads_in_flight', 'queue_length', 'storage_operations_in_flight';
        my @workers = $n->workers;
        !@busy && ($active // 1) == 1 && @workers == 1;
    } 120;
    my ($pid) = $n->workers;
    my @fd = glob "/proc/$pid/fd/*";
    my @threads = glob "/proc/$pid/task/*";

    return { quiet => $quiet ? 1 : 0, memory => rss($pid),
             master => rss($n->pid), fds => scalar @fd,
             threads => scalar @threads,
             zone => metric($text, 'zone_free_bytes') };
}


sub told {
    my ($what, $s) = @_;
    diag(sprintf '%-22s worker %d kB, master %d kB, %d fds, %d threads, '
                 . '%d bytes of the zone free', $what,
                 @{$s}{qw(memory master fds threads zone)})
        if $ENV{LEAKS_REQUESTS};
}


# has nothing become more since the last time?
sub steady {
    my ($most, @at) = @_;
    my ($before, $now) = @at[-2, -1];
    return $now->{zone} >= $before->{zone}
        && (!$weigh || $now->{memory} - $before->{memory} < $most
                       && $now->{master} - $before->{master} < 512);
}


subtest 'requests' => sub {
    my ($made, @wrong, @at) = (0);
    my $began = time;
    # what leaks does so in each third, what an allocator keeps comes but once
    for my $third (1 .. 6) {
        my ($m, @w) = requests($requests / 3);
        $made += $m;
        push @wrong, @w;
        push @at, state_of();
        told("$made requests", $at[-1]);
        last if $third >= 3 && steady(512, @at);
    }
    diag(sprintf '%d requests in %d s', $made, time - $began)
        if $ENV{LEAKS_REQUESTS};
    is(join("\n", @wrong), '', 'every answer is the one expected');

    my ($first, $second, $last) = @at[0, -2, -1];
    ok(!(grep { !$_->{quiet} } @at), 'nothing is left under way');
    if ($weigh) {
        cmp_ok($last->{memory} - $second->{memory}, '<', 512,
               'memory stays (kB)');
    }
    cmp_ok($last->{fds}, '<=', $first->{fds} + 8, 'descriptors');
    cmp_ok($last->{threads}, '<=', $first->{threads} + 2, 'threads');
    cmp_ok($last->{zone}, '>=', $second->{zone}, 'memory of the zone');
};

subtest 'reloads' => sub {
    my (@wrong, @at);
    for my $i (1 .. $reloads + 6) {
        last if $i > $reloads && $i % 2 != $reloads % 2 && steady(1024, @at);
        $n->reload;
        my (undef, @w) = requests($clients);
        push @wrong, @w;
        if ($i % POSIX::ceil($reloads / 3) == 0 || $i == $reloads
            || $i > $reloads && $i % 2 == $reloads % 2)
        {
            push @at, state_of();
            told("$i reloads", $at[-1]);
        }
    }
    is(join("\n", @wrong), '', 'every answer is the one expected');

    my ($first, $second, $last) = @at[0, -2, -1];
    ok(!(grep { !$_->{quiet} } @at), 'old workers end');
    if ($weigh) {
        cmp_ok($last->{master} - $second->{master}, '<', 512,
               'memory of the master stays (kB)');
        cmp_ok($last->{memory} - $second->{memory}, '<', 1024,
               'memory of a new worker is no more (kB)');
    }
    cmp_ok($last->{fds}, '<=', $first->{fds} + 8, 'descriptors');
    cmp_ok($last->{zone}, '>=', $second->{zone}, 'memory of the zone');
    my @master = glob '/proc/' . $n->pid . '/fd/*';
    cmp_ok(scalar @master, '<', 40, 'descriptors of the master');
};

$n->done;
done_testing;
