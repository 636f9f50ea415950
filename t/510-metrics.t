# image_vault_metrics: promtool has nothing to complain about, and what happens
# is counted, by all workers together.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name => 'metrics', workers => 2,
    http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=60s')
            . ImageVault::Nginx::storage_s3(),
    server => <<'CONF',
image_vault_owner $arg_as;
location /api { image_vault_api s3; image_vault_cache_valid 60s negative=60s; }
location /small { image_vault_api s3; image_vault_quota 1k; }
location = /metrics { image_vault_metrics; }
location = /deny { deny all; image_vault_metrics; }
CONF
)->start;

my %m;

sub scrape {
    my $r = curl($n->url('/metrics'));
    %m = ();
    while ($r->{body} =~ /^(image_vault_[^ ]+) (\S+)$/mg) {
        $m{"$1"} = $2;
    }
    return $r;
}

my $r = scrape();
is($r->{status}, 200, 'answers');
is($r->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8',
   'type');
is(curl($n->url('/deny'))->{status}, 403, 'access is nginx\'s business');
is(curl('-X', 'POST', $n->url('/metrics'))->{status}, 405, 'no POST');
is($m{'image_vault_uploads_total{result="created"}'}, 0, 'nothing yet');
ok((wait_for { scrape(); $m{'image_vault_change_stream_up'} }),
   'hears of changes');

my $png = png(30_000);
my $file = temp_file($png);

sub upload {
    my ($to, $as) = @_;
    return curl('-T', $file, '-H', 'Content-Type: image/png',
                $n->url("$to/upload?as=$as&filename=x.png"));
}

my $up = upload('/api', 'alice');
is($up->{status}, 201, 'an upload');
my $id = $up->{json}{images}[0]{id};

is(upload('/small', 'carol')->{status}, 403, 'over a quota');
curl('-T', temp_file('nothing'), '-H', 'Content-Type: image/png',
     $n->url('/api/upload?as=alice&filename=y.png'));
is(curl($n->url("/api/$id?as=alice"))->{status}, 200, 'read');
# what the cache knows does not go by the end of the upload
ok((wait_for { scrape(); $m{'image_vault_change_stream_events_total'} }),
   'has heard of it');
is(curl($n->url("/api/$id/view?as=alice"))->{status}, 302, 'seen') for 1, 2;
is(curl($n->url("/api/$id?as=mallory"))->{status}, 404, 'by a stranger');
is(curl($n->url("/api/$id/view?as=mallory"))->{status}, 404, 'twice');
is(curl($n->url('/api/' . 'a' x 24 . '?as=alice'))->{status}, 404, 'none');

my %want = (
    'uploads_total{result="created"}'      => 1,
    'uploads_total{result="refused"}'      => 2,
    'uploads_total{result="failed"}'       => 0,
    'upload_bytes_total'                   => length $png,
    'quota_refusals_total'                 => 1,
    'retrievals_total{result="redirect",cache="none"}'  => 0,
    'retrievals_total{result="redirect",cache="miss"}'  => 1,
    'retrievals_total{result="redirect",cache="hit"}'   => 1,
    'retrievals_total{result="document",cache="none"}'  => 1,
    'retrievals_total{result="not_found",cache="none"}' => 2,
    'retrievals_total{result="not_found",cache="negative"}' => 1,
    'cache_entries'                        => 1,
    'cache_fills_total'                    => 1,
    'cache_evictions_total'                => 0,
    'denied_total{reason="not_allowed"}'   => 2,
    'uploads_in_flight'                    => 0,
    'database_breaker_open'                => 0,
    'storage_breaker_open{storage="s3"}'    => 0,
    'storage_breaker_opened_total{storage="s3"}'  => 0,
    'storage_retries_refused_total{storage="s3"}' => 0,
    'zone_size_bytes'                      => 1 << 20,
    'storage_request_duration_seconds_count{operation="put"}' => 1,
);
# a worker counts behind the answer, which is read meanwhile
wait_for { scrape();
           !grep { $m{"image_vault_$_"} ne $want{$_} } keys %want } 10;
is($m{"image_vault_$_"}, $want{$_}, $_) for sort keys %want;
cmp_ok($m{'image_vault_database_request_duration_seconds_count'
          . '{operation="read"}'}, '>=', 4, 'reads were timed');
is($m{'image_vault_storage_request_duration_seconds_bucket'
      . '{operation="put",le="+Inf"}'}, 1, 'in the last bucket are all');
ok((wait_for { scrape(); $m{'image_vault_sweeps_total'} > 0 }), 'sweeps');

# a slow upload is in flight, and is no more when its worker was killed
my $sock = IO::Socket::INET->new("127.0.0.1:$n->{port}");
print $sock "PUT /api/upload?as=alice&filename=z.png HTTP/1.1\r\nHost: x\r\n"
    . "Content-Type: image/png\r\nContent-Length: " . length($png) . "\r\n\r\n"
    . substr($png, 0, 20_000);
$sock->flush;
ok((wait_for { scrape(); $m{'image_vault_uploads_in_flight'} == 1 }),
   'an upload in flight');
kill 'KILL', $n->workers;
ok((wait_for { scrape(); ($m{'image_vault_uploads_in_flight'} // 1) == 0 }),
   'none when its worker was killed');
is($m{'image_vault_uploads_total{result="created"}'}, 1, 'counters stay');

SKIP: {
    my $tool = $ENV{TEST_PROMTOOL};
    skip 'no promtool: run util/setup-test', 1 unless $tool && -x $tool;
    my $text = temp_file(scrape()->{body});
    my $out = `$tool check metrics <$text 2>&1`;
    is($? . $out, '0', 'promtool has nothing to say');
}

$n->{allow} = qr/exited on signal 9/;
$n->done;
done_testing();
