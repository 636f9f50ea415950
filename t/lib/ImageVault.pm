package ImageVault;

# Defaults for Test::Nginx::Socket blocks (use that first, with 'no_plan'):
#
#   load_module, thread pools, zone, MongoDB, a storage `s3` (versitygw) and a
#   storage `local`, a database of the file's own; and for every block: no
#   alert, crit or emerg in the error log, no sanitizer report.
#
#   --- bare          the block brings its whole http configuration
#   --- owner: alice  image_vault_owner of the server; anonymous without
#   --- sweep: …      image_vault_sweep; off without
#   --- after eval    sub { my ($body, $block) = @_; … more tests … }

use v5.10;
use strict;
use warnings;

use Cwd ();
use File::Path ();
use Test::Nginx::Socket ();
use Test::Nginx::Util ();
use Test::More ();

use lib 't/lib';
use ImageVault::Peers;

our @EXPORT = @ImageVault::Peers::EXPORT;
push @EXPORT, qw(http_defaults main_defaults);

our $Root = Cwd::getcwd();
our $Store = "/tmp/iv-test-store-$$";

File::Path::make_path($Store);

$ENV{TEST_NGINX_DATABASE}    = $ImageVault::Peers::Database;
$ENV{TEST_NGINX_STORE}       = $Store;
$ENV{TEST_NGINX_MONGODB}     = $ENV{TEST_MONGODB_URI} // '';
$ENV{TEST_NGINX_S3_ENDPOINT} = $ENV{TEST_S3_ENDPOINT} // '';
$ENV{TEST_NGINX_S3_REGION}   = $ENV{TEST_S3_REGION} // '';
$ENV{TEST_NGINX_S3_BUCKET}   = $ENV{TEST_S3_BUCKET} // '';
$ENV{TEST_NGINX_S3_ACCESS}   = $ENV{TEST_S3_ACCESS} // '';
$ENV{TEST_NGINX_S3_SECRET}   = $ENV{TEST_S3_SECRET} // '';
$ENV{TEST_NGINX_MODULE}      = $ENV{TEST_MODULE}
    // "$Root/build/ngx_http_image_vault_module.so";

# a static nginx (make asan) has the module inside
our $Load = $ENV{TEST_STATIC} ? ''
    : "load_module $ENV{TEST_NGINX_MODULE};\n";


sub main_defaults {
    return $Load
         . "thread_pool iv_read threads=2;\n"
         . "thread_pool iv_write threads=2;\n"
         . "thread_pool iv_hash threads=2;\n";
}


sub http_defaults {
    my ($sweep) = @_;
    $sweep //= 'off';
    return <<"EOF_HTTP";
    image_vault_zone vault:1m;
    image_vault_mongodb $ENV{TEST_NGINX_MONGODB} database=$ENV{TEST_NGINX_DATABASE} timeout=20s;
    image_vault_thread_pools read=iv_read write=iv_write hash=iv_hash;
    image_vault_sweep $sweep;
    image_vault_storage s3 {
        endpoint $ENV{TEST_NGINX_S3_ENDPOINT};
        region $ENV{TEST_NGINX_S3_REGION};
        bucket $ENV{TEST_NGINX_S3_BUCKET};
        credentials static $ENV{TEST_NGINX_S3_ACCESS} $ENV{TEST_NGINX_S3_SECRET};
    }
EOF_HTTP
}


sub local_storage {
    return <<"EOF_HTTP";
    image_vault_storage local {
        type local;
        root $Store;
        url /files;
        secret a-secret-of-the-tests;
    }
EOF_HTTP
}


sub import {
    my $class = shift;
    my $caller = caller;

    no strict 'refs';
    for my $name (@EXPORT) {
        # sections with `eval` are compiled in the filters' package
        for my $package ($caller, 'Test::Base::Filter') {
            *{"${package}::$name"} = \&{"${class}::$name"};
        }
    }
}


Test::Nginx::Util::add_block_preprocessor(sub {
    my ($block) = @_;

    $block->set_value('main_config',
                      main_defaults() . ($block->main_config // ''));

    if (!defined $block->bare) {
        my $owner = $block->owner // '';
        $owner =~ s/\s+\z//;
        my $sweep = $block->sweep;
        $sweep =~ s/\s+\z// if defined $sweep;
        my $http = http_defaults($sweep);
        $http .= local_storage() if ($block->config // '') =~ /\blocal;/;
        $http .= "    image_vault_owner $owner;\n" if $owner ne '';
        $block->set_value('http_config',
                          $http . ($block->http_config // ''));
    }

    if (!defined $block->no_error_log && !defined $block->must_die) {
        $block->set_value('no_error_log',
                          "[alert]\n[crit]\n[emerg]\nAddressSanitizer\n"
                          . "runtime error");
    }
});


Test::Nginx::Socket::add_response_body_check(sub {
    my ($block, $body, undef, undef, $dry_run) = @_;

    my $after = $block->after;
    return if !$after || $dry_run;
    Test::More::subtest($block->name . ' - after', sub {
        $after->($body, $block);
    });
});


Test::Nginx::Util::master_on();
Test::Nginx::Util::workers(1);
Test::Nginx::Util::no_shuffle();
Test::Nginx::Util::no_long_string();
# for an answer, and for nginx to end: 3 seconds are few on a busy machine
Test::Nginx::Util::timeout(60);


END {
    my $status = $?;
    eval { ask('drop', db => $ImageVault::Peers::Database) }
        if $ENV{TEST_INSPECTOR};
    File::Path::remove_tree($Store);
    $? = $status;
}


1;
