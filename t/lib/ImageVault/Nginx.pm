package ImageVault::Nginx;

# One nginx of a test's own, for what Test::Nginx's blocks can't express:
# several steps, signals, several nodes.  Ends with the test; done() checks that
# its error log holds no alert, crit, emerg or sanitizer report.
#
#   my $n = ImageVault::Nginx->new(name => 'sweep', http => …, server => …);
#   $n->start;  curl($n->url('/api/upload'), …);  $n->done;

use v5.10;
use strict;
use warnings;

use Cwd ();
use File::Path ();
use IO::Socket::INET;
use Test::More ();
use Time::HiRes ();

use ImageVault::Peers;

my @All;


sub new {
    my ($class, %a) = @_;

    my $self = bless {
        name    => 'node',
        workers => 1,
        connections => 2048,
        main    => '',
        http    => '',
        server  => '',
        listen  => '',
        allow   => undef,       # regex of alerts that are expected
        env     => {},
        port    => free_port(),
        %a,
    }, $class;

    $self->{dir} = "/tmp/iv-nginx-$$-" . @All . "-$self->{name}";
    push @All, $self;

    return $self;
}


sub main_text {
    my $root = Cwd::getcwd();
    my $module = $ENV{TEST_MODULE}
        // "$root/build/ngx_http_image_vault_module.so";
    return ($ENV{TEST_STATIC} ? '' : "load_module $module;\n")
         . "thread_pool iv_read threads=2;\nthread_pool iv_write threads=2;\n"
         . "thread_pool iv_hash threads=2;\n";
}


# a storage block; the run's S3 server unless told otherwise
sub storage_s3 {
    my (%a) = @_;

    my $name = delete $a{name} // 's3';
    my %s = (endpoint => $ENV{TEST_S3_ENDPOINT}, region => $ENV{TEST_S3_REGION},
             bucket => $ENV{TEST_S3_BUCKET},
             credentials => "static $ENV{TEST_S3_ACCESS} $ENV{TEST_S3_SECRET}",
             %a);

    return "image_vault_storage $name {\n"
         . join('', map { "    $_ $s{$_};\n" } sort keys %s) . "}\n";
}


# zone, MongoDB, pools, sweep: what every http block needs
sub http_base {
    my (%a) = @_;

    # the server that all share is there: a late answer of it is no fault
    my $timeout = $a{timeout} // ($a{mongodb} ? '' : '20s');
    my $uri = $a{mongodb} // $ENV{TEST_MONGODB_URI};
    my $sweep = $a{sweep} // 'off';
    return "image_vault_zone vault:1m;\n"
         . "image_vault_mongodb $uri database=$ImageVault::Peers::Database"
         . ($timeout ? " timeout=$timeout" : '') . ";\n"
         . "image_vault_thread_pools read=iv_read write=iv_write "
         . "hash=iv_hash;\n"
         . "image_vault_sweep $sweep;\n";
}


sub write_conf {
    my ($self) = @_;

    my $d = $self->{dir};
    File::Path::make_path("$d/logs", "$d/html", "$d/tmp");
    my $user = $> == 0 ? "user root;\n" : '';
    my $listen = $self->{listen}
        || "listen 127.0.0.1:$self->{port};\n";
    my $level = $self->{level} // 'info';
    my $main = main_text() . $self->{main};

    open my $fh, '>', "$d/nginx.conf" or die "$d/nginx.conf: $!\n";
    print $fh <<"CONF";
$user$main
daemon on;
worker_processes $self->{workers};
pid $d/logs/nginx.pid;
error_log $d/logs/error.log $level;
events { worker_connections $self->{connections}; }
http {
    default_type application/octet-stream;
    access_log $d/logs/access.log;
    client_body_temp_path $d/tmp/body;
    proxy_temp_path $d/tmp/proxy;
    fastcgi_temp_path $d/tmp/fastcgi;
    scgi_temp_path $d/tmp/scgi;
    uwsgi_temp_path $d/tmp/uwsgi;
$self->{http}
    server {
        $listen
        root $d/html;
$self->{server}
    }
}
CONF
    close $fh;
}


sub binary { return $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx' }


# runs nginx with arguments: exit status and what it printed
sub command {
    my ($self, @args) = @_;

    local %ENV = (%ENV, %{ $self->{env} });
    my $out = "$self->{dir}/command.out";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDOUT, '>', $out or die;
        open STDERR, '>&', \*STDOUT;
        exec binary(), '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf",
             @args or die "exec: $!";
    }
    waitpid $pid, 0;
    return ($? >> 8, slurp($out));
}


sub start {
    my ($self) = @_;

    $self->write_conf;
    my ($rc, $out) = $self->command;
    Test::More::BAIL_OUT("nginx $self->{name} did not start: $out") if $rc;
    $self->{up} = 1;
    # it listens before its master has a pid file, and that before its workers
    wait_for { (() = $self->workers) >= $self->{workers}
               && IO::Socket::INET->new("127.0.0.1:$self->{port}") } 60
        or die "nginx $self->{name} does not listen\n";

    return $self;
}


sub pid {
    my ($self) = @_;
    my $file = "$self->{dir}/logs/nginx.pid";
    return -s $file ? 0 + slurp($file) : 0;
}


sub workers {
    my ($self) = @_;
    my $pid = $self->pid or return;
    return split ' ', scalar `pgrep -P $pid`;
}


sub signal {
    my ($self, $signal) = @_;
    return kill $signal, $self->pid;
}


sub reload {
    my ($self) = @_;

    my %old = map { $_ => 1 } $self->workers;
    $self->write_conf;
    $self->signal('HUP');
    wait_for { grep { !$old{$_} } $self->workers } 60
        or die "no new worker after the reload\n";
}


sub stop {
    my ($self, $signal) = @_;

    return if !$self->{up};
    my $pid = $self->pid;
    kill $signal // 'QUIT', $pid if $pid;
    wait_for { !$pid || !kill 0, $pid } 20
        or kill 'KILL', $pid, $self->workers;
    $self->{up} = 0;
}


sub url {
    my ($self, $path) = @_;
    return "http://127.0.0.1:$self->{port}$path";
}


sub error_log { return slurp("$_[0]{dir}/logs/error.log") }
sub access_log { return slurp("$_[0]{dir}/logs/access.log") }


# anonymous resident memory of all workers, in bytes
sub memory {
    my ($self) = @_;

    my $sum = 0;
    for my $pid ($self->workers) {
        $sum += 1024 * $1 if slurp("/proc/$pid/status") =~ /RssAnon:\s+(\d+)/;
    }
    return $sum;
}


sub done {
    my ($self) = @_;

    $self->stop;
    return if $self->{checked}++ || !-e "$self->{dir}/logs/error.log";
    my @bad = grep { !$self->{allow} || $_ !~ $self->{allow} }
              grep { /\[(?:alert|crit|emerg)\]|AddressSanitizer|runtime error/ }
              split /\n/, $self->error_log;
    Test::More::is(join("\n", @bad), '',
                   "$self->{name}: nothing grave in the error log");
}


END {
    my $status = $?;
    for my $n (@All) {
        $n->stop('TERM');
        File::Path::remove_tree($n->{dir}) if !$ENV{TEST_KEEP};
    }
    $? = $status;
}


1;
