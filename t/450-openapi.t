# docs/openapi.yaml: it names the paths, methods and error codes of the sources,
# no others, and what the module answers is what it says (schemathesis).
#
# TEST_OPENAPI_SEED=n       other requests
# TEST_OPENAPI_EXAMPLES=n   n times as many of those that are made by chance

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use File::Path ();
use JSON::PP ();
use Test::More;
use ImageVault::Nginx;
use ImageVault::Peers;

my $Yaml = 'docs/openapi.yaml';
my $Seed = $ENV{TEST_OPENAPI_SEED} // 20261121;
my $Times = $ENV{TEST_OPENAPI_EXAMPLES} // 1;

my $bin = $ENV{TEST_OPENAPI}
    or BAIL_OUT("TEST_OPENAPI is not set: run the tests by 'make test'");

my $text = do {
    open my $fh, '-|', "$bin/python", '-c', <<'EOF_PYTHON', $Yaml or die;
import json, sys, yaml
print(json.dumps(yaml.safe_load(open(sys.argv[1], encoding="utf-8"))))
EOF_PYTHON
    local $/;
    <$fh>;
};
my $Api = json($text);


# { path => { method => 1 } }, parts that vary as "*"
sub documented {
    my %paths;
    for my $path (keys %{ $Api->{paths} }) {
        (my $row = $path) =~ s/\{\w+\}/*/g;
        $paths{ $row =~ s{^/}{}r }{uc $_} = 1
            for grep { $_ ne 'parameters' } keys %{ $Api->{paths}{$path} };
    }
    return \%paths;
}


sub routed {
    my $c = slurp('src/http/ngx_http_image_vault_routes.c');
    my ($table) = $c =~ /ngx_http_image_vault_routes\[\] = \{(.*?)^\};/ms
        or die 'no table';
    my %paths;
    while ($table =~ /ngx_string\("([^"]+)"\),\s*([A-Z_|\s]+),/g) {
        my ($path, $methods) = ($1, $2);
        $methods =~ s/\s//g;
        for my $method (split /\|/, $methods) {
            my ($name) = $method =~ /^NGX_HTTP_(?:IMAGE_VAULT_)?([A-Z]+)$/
                or die $method;
            $paths{$path}{$_} = 1
                for $name eq 'READ' ? qw(GET HEAD) : $name;
        }
    }
    return \%paths;
}


subtest 'paths, methods, codes' => sub {
    is_deeply(documented(), routed(), 'the paths and methods of routes.c');

    my @words = slurp('src/base/ngx_iv_code.c')
        =~ /\{ ngx_string\("(\w+)"\), \d+,/g;
    is_deeply($Api->{components}{schemas}{ErrorCode}{enum}, \@words,
              'the words of ngx_iv_code.c');

    my ($version) = slurp('src/base/ngx_iv_version.h')
        =~ /NGX_IV_VERSION\s+"([^"]+)"/;
    is($Api->{info}{version}, $version, 'the version');

    my %ids;
    for my $path (values %{ $Api->{paths} }) {
        $ids{ $_->{operationId} }++
            for grep { ref eq 'HASH' } values %$path;
    }
    is_deeply([grep { $ids{$_} > 1 } keys %ids], [], 'operationIds differ');
};


my %viewers = (
    alice  => 'image_vault_owner alice;',
    admin  => 'image_vault_owner root; image_vault_admin 1;',
    nobody => '',
);

my $n = ImageVault::Nginx->new(
    name   => 'openapi',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
            . 'image_vault_max_size 64k; image_vault_max_files 3;
               image_vault_quota 100m;',
    server => join('', map {
        "location /$_ { image_vault_api s3; $viewers{$_} }\n"
    } sort keys %viewers) . '
        # no named location: that needs a URI, and some errors come before it
        error_page 400 401 403 404 405 408 411 413 414 415 416 429 500 502 503
            504 = /error.json;
        location = /error.json { image_vault_error; }
        large_client_header_buffers 4 64k;',
)->start;


# images in all states, their ids the same in each run
my %states = (
    ready     => {},
    public    => { public => 1 },
    shared    => { owner => 'bob', shared => ['alice'] },
    others    => { owner => 'bob' },
    object_id => { owner => '0123456789abcdef01234567', public => 1 },
    tagged    => { metadata => { uploadedAt => mongo_now(-90),
                                 uploadedFrom => '::1',
                                 tags => ['beach', "\x{e9}t\x{e9}"] } },
    ends      => { expires => mongo_now(86400) },
    ended     => { expires => mongo_now(-60) },
    blocked   => { blocked => { at => mongo_now(-60), reason => 'abuse' } },
    uploading => { status => 'uploading' },
    error     => { status => 'error', deletedAt => mongo_now(-60) },
);

my (@ids, @docs);
for my $round (1 .. 20) {
    # more of those that can be changed, as they get deleted as well
    for my $state ((sort keys %states), ('ready') x 9, ('public') x 2) {
        push @ids, sprintf '%024x', 0xa0000 + @ids;
        push @docs, image_doc(id => $ids[-1], %{ $states{$state} });
    }
}
insert_images(@docs);


my $dir = "$n->{dir}/openapi";
File::Path::make_path($dir);
open my $fh, '>', "$dir/ids.json" or die $!;
print $fh JSON::PP->new->encode({
    read   => [splice @ids, 0, scalar keys %states],    # one of each
    change => \@ids,
});
close $fh or die $!;


# begins a run in the background
sub schemathesis {
    my ($viewer, @args) = @_;

    my $root = Cwd::getcwd();
    my $pid = fork // die "fork: $!";
    return $pid if $pid;

    # nothing is left behind in the tree
    chdir $dir or die;
    $ENV{PYTHONPATH} = "$root/t/lib";
    $ENV{PYTHONDONTWRITEBYTECODE} = 1;
    $ENV{SCHEMATHESIS_HOOKS} = 'openapi_hooks';
    $ENV{OPENAPI_IDS} = "$dir/ids.json";
    $ENV{OPENAPI_SEEN} = "$dir/$viewer.seen";
    $ENV{OPENAPI_VIEWER} = $viewer;
    $ENV{HYPOTHESIS_STORAGE_DIRECTORY} = "$bin/../hypothesis";
    $ENV{COLUMNS} = 100;
    open STDOUT, '>', "$dir/$viewer.log" or die;
    open STDERR, '>&', \*STDOUT;
    exec "$bin/schemathesis", '--config-file', "$root/t/lib/openapi.toml",
         'run', "$root/$Yaml", '--no-color', '--url', $n->url("/$viewer"),
         '--seed', $Seed, '--generation-database', 'none', '--checks', 'all',
         '--request-timeout', 20, '--max-redirects', 0, '--warnings', 'off',
         '--no-shrink', @args
        or die "exec: $!";
}


my %runs = (
    alice  => ['--max-examples', 20 * $Times],
    admin  => ['--max-examples', 10 * $Times,
               '--exclude-operation-id', 'putUpload'],
    nobody => ['--max-examples', 15 * $Times, '--phases', 'examples,fuzzing'],
);

# what must have been answered at least once, lest nothing was tested
my %must = (
    alice => [
        'GET /user 200', 'GET /user 400', 'HEAD /user 200', 'GET /usage 200',
        'GET /usage 403', 'GET /{id} 200', 'GET /{id}/view 302',
        'HEAD /{id}/download 302', '(GET|HEAD) /{id}.* 404',
        '(GET|HEAD) /{id}.* 409', '(GET|HEAD) /{id}.* 410',
        '(GET|HEAD|PATCH) /{id}.* 451', 'PATCH /{id} 200', 'PATCH /{id} 403',
        'PATCH /{id} 412', 'DELETE /{id} 200', 'POST /{id}/delete 200',
        'POST /bulk 200', 'POST /bulk 400', 'POST /bulk 415',
        'POST /presigned-url 200', 'P.+ /upload 201', 'P.+ /upload 207',
        'P.+ /upload 400', 'P.+ /upload 413', 'P.+ /upload 415',
        'P.+ /upload 422', 'GET /admin/stats 403', 'GET /bulk 405',
        'POST /direct-upload 201', 'POST /direct-upload 409',
        'POST /{id}/complete 200', 'POST /{id}/complete 404',
    ],
    admin => [
        'GET /admin/stats 200', 'GET /admin/images 200',
        'GET /admin/users 200', 'GET /admin/users/{userId} 404',
        'PATCH /admin/users/{userId} 200',
        'GET /admin/sweep 200', 'GET /admin/sweep 400', 'POST /admin/sweep 409',
        'POST /admin/images/{id}/moderate 200',
        'POST /admin/images/{id}/moderate 404',
    ],
    nobody => ['GET /{id} 200', 'GET /{id}/view 302', 'GET /{id} 404',
               'GET /user 401', 'POST /upload 401'],
);

# nobody changes anything and may run beside the others
my %pid = (nobody => schemathesis('nobody', @{ $runs{nobody} }));

for my $viewer (qw(admin alice nobody)) {
    $pid{$viewer} //= schemathesis($viewer, @{ $runs{$viewer} });
    waitpid $pid{$viewer}, 0;
    is($?, 0, "$viewer: answers are as documented")
        or diag(slurp("$dir/$viewer.log"));

    my %seen;
    for (split /\n/, slurp("$dir/$viewer.seen")) {
        my ($documented, $path, $method, $status) = split / /;
        $seen{"$method $path $status"}++;
    }
    my @missed = grep {
        my $row = s/([{}])/\\$1/gr;
        !grep { /\A$row\z/ } keys %seen;
    } @{ $must{$viewer} };
    # those of the seed that is known
    is_deeply(\@missed, [], "$viewer: the answers that matter are among them")
        if !$ENV{TEST_OPENAPI_SEED};
    note(map { "$seen{$_} x $_\n" } sort keys %seen);
}

$n->done;
done_testing();
