# A worker that is told to go at once, with calls to a MongoDB that is away: the
# driver's own threads end before nginx unloads the module.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

plan skip_all => 'the module is built in, it is never unloaded'
    if $ENV{TEST_STATIC};

# the time between the unloading of a module and the process's end, made long
my $dir = "/tmp/iv-test-exit-$$";
mkdir $dir or die "$dir: $!\n";
END { my $s = $?; system 'rm', '-rf', $dir if $dir; $? = $s }

open my $fh, '>', "$dir/linger.c" or die "$dir/linger.c: $!\n";
print $fh <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

int
dlclose(void *handle)
{
    int      rc, module;
    int    (*next)(void *);
    Dl_info  info;

    next = (int (*)(void *)) dlsym(RTLD_NEXT, "dlclose");
    module = dladdr(__builtin_return_address(0), &info)
             && strstr(info.dli_fname, "nginx")
             && !strstr(info.dli_fname, ".so");
    rc = next(handle);

    if (module) {
        usleep(1000000);
    }

    return rc;
}
C
close $fh;

system('cc', '-shared', '-fPIC', '-o', "$dir/linger.so", "$dir/linger.c") == 0
    or BAIL_OUT('linger.c does not compile');

my $away = free_port();

# the driver looks for a server every 500 ms while a call waits for one: once
# more after the calls have given up

my $n = ImageVault::Nginx->new(
    name   => 'exit',
    env    => { LD_PRELOAD => "$dir/linger.so" },
    http   => ImageVault::Nginx::http_base(
                  mongodb => "mongodb://127.0.0.1:$away/none",
                  timeout => '700ms')
              . ImageVault::Nginx::storage_s3(),
    server => 'image_vault_owner alice; location /api { image_vault_api s3; }',
)->start;

my ($worker) = $n->workers;

my @clients = map {
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        exec 'curl', '-s', '-m', '5', '-o', '/dev/null',
             $n->url('/api/images') or die;
    }
    $pid;
} 1 .. 2;

Time::HiRes::sleep(0.2);                # the calls look for a server
kill 'TERM', $worker;
waitpid $_, 0 for @clients;

ok((wait_for { $n->error_log =~ /process $worker exited/ } 60),
   'the worker has ended');
like($n->error_log, qr/process $worker exited with code 0$/m,
     '... in order');

$n->done;
done_testing();
