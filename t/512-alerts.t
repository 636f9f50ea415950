# docs/alerts.yaml: promtool finds it right, every rule fires when it should and
# is silent when all is well, and asks for metrics that there are.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Cwd ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $tool = $ENV{TEST_PROMTOOL};
plan skip_all => 'no promtool: run util/setup-test'
    unless $tool && -x $tool;

my $rules = Cwd::getcwd() . '/docs/alerts.yaml';
my $text = slurp($rules);

my $out = `$tool check rules $rules 2>&1`;
is($?, 0, 'the rules are right') or diag $out;

my $n = ImageVault::Nginx->new(
    name => 'alerts',
    http => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3(),
    server => 'location = /metrics { image_vault_metrics; }',
)->start;
my $metrics = curl($n->url('/metrics'))->{body};
for my $name (do { my %s; grep { !$s{$_}++ } $text =~ /\b(image_vault_\w+_\w+)/g }) {
    next if $name eq 'image_vault_metrics';
    like($metrics, qr/^\Q$name\E[ {]/m, "$name is there");
}
$n->done;

# name => series of a case, one value a minute, as promtool writes them
my $retrievals = ['image_vault_retrievals_total{result="redirect"}', '0+600x90'];
my %fires = (
    UploadsFail => [
        ['image_vault_uploads_total{result="created"}', '0+60x90'],
        ['image_vault_uploads_total{result="failed"}', '0+10x90'] ],
    RetrievalsFail => [ $retrievals,
        ['image_vault_retrievals_total{result="failed"}', '0+60x90'] ],
    Denied => [ $retrievals,
        ['image_vault_denied_total{reason="not_allowed"}', '0+300x90'] ],
    Quota => [ ['image_vault_quota_refusals_total', '0+1x90'] ],
    DatabaseSlow => [ buckets('database', 'read', '2.500', '5.000') ],
    StorageSlow => [ buckets('storage', 'head', '5.000', '10.000') ],
    DatabaseDown => [ ['image_vault_database_breaker_open{instance="a"}',
                       '1x90'] ],
    StorageDown => [ ['image_vault_storage_breaker_open{instance="a",storage="s"}',
                      '1x90'] ],
    RetriesRefused => [ ['image_vault_storage_retries_refused_total{storage="s"}',
                         '0+10x90'] ],
    ChangeStreamDown => [ ['image_vault_change_stream_up{instance="a"}',
                           '0x90'] ],
    BytesStored => [ ['image_vault_upload_bytes_total', '0+10000000000x90'] ],
    AuditLost => [ ['image_vault_audit_lost_total', '0+1x90'] ],
);

# all calls between two bounds
sub buckets {
    my ($of, $operation, $low, $high) = @_;
    my $name = "image_vault_${of}_request_duration_seconds_bucket";
    return map { ["$name\{operation=\"$operation\",le=\"$_->[0]\"}", $_->[1]] }
        [ '0.005', '0x90' ], [ $low, '0x90' ], [ $high, '0+60x90' ], [ '+Inf', '0+60x90' ];
}

# what each series looks like when all is well
sub calm {
    my ($s) = @_;
    my ($name, $values) = @$s;
    return [ $name, '0+60x90' ] if $name =~ /_bucket/;
    return $s if $name =~ /redirect|created/;
    return [ $name, '1x90' ] if $name =~ /_up\b/;
    return [ $name, '0x90' ];
}

my %rule = $text =~ /- alert: ImageVault(\w+)(.*?)(?=- alert|\z)/sg;
is_deeply([ sort keys %rule ], [ sort keys %fires ], 'each rule has its case');

sub case {
    my ($alert, $fire, @series) = @_;

    my $yaml = "rule_files: [ $rules ]\nevaluation_interval: 1m\ntests:\n"
             . "  - interval: 1m\n    input_series:\n";
    $yaml .= "      - series: '$_->[0]'\n        values: '$_->[1]'\n"
        for @series;
    $yaml .= "    promql_expr_test:\n"
           . "      - expr: 'count(ALERTS{alertname=\"ImageVault$alert\","
           . "alertstate=\"firing\"}) or vector(0)'\n"
           . "        eval_time: 75m\n        exp_samples:\n"
           . "          - labels: '{}'\n            value: " . ($fire ? 1 : 0)
           . "\n";
    my $file = temp_file($yaml);
    my $said = `$tool test rules $file 2>&1`;
    is($?, 0, "$alert " . ($fire ? 'fires' : 'is silent')) or diag $said;
}

for my $alert (sort keys %fires) {
    case($alert, 1, @{ $fires{$alert} });
    case($alert, 0, map { calm($_) } @{ $fires{$alert} });
}

done_testing();
