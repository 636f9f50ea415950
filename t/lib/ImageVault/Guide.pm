package ImageVault::Guide;

# An nginx made of snippets of docs/GUIDE.md: the frame, and a recipe as its
# site.conf.  Only addresses, ports and paths are replaced, and each of these
# must be there to be replaced.  Beside it runs a server on the node's own port
# that plays the application.
#
#   my $n = ImageVault::Guide->new(recipe => 'jwt', files => ['jwt.js'],
#       replace => ['api/session' => 'other'], inside => 'location …',
#       app => 'location …')->start;
#   $n->get('/images/upload', @curl_arguments);

use v5.10;
use strict;
use warnings;

use File::Path ();

use ImageVault::Nginx;
use ImageVault::Peers;

our @ISA = ('ImageVault::Nginx');

my $Etc = '/etc/nginx/image_vault/';
my @Nodes;
my (@Order, %Text, @Unmarked);

{
    my ($name, $lang);
    for my $line (split /^/, slurp('docs/GUIDE.md')) {
        if ($lang) {
            if ($line eq "```\n") {
                undef $lang;
                undef $name;
            } elsif (defined $name) {
                $Text{$name} .= $line;
            }
        } elsif ($line =~ /^<!-- recipe: (\S+) -->$/) {
            $name = $1;
            push @Order, $name;
        } elsif ($line =~ /^```(\w*)$/) {
            $lang = $1 || 'text';
            push @Unmarked, $lang if !defined $name;
        } else {
            undef $name;
        }
    }
}

# the names of all snippets, the languages of those without a name
sub recipes { return @Order }
sub unmarked { return @Unmarked }

sub recipe {
    my ($name) = @_;
    return $Text{$name} // die "docs/GUIDE.md has no recipe $name\n";
}


# replaces each of the pairs; what is not there has changed in the guide
sub put {
    my ($text, @pairs) = @_;

    while (my ($from, $to) = splice @pairs, 0, 2) {
        $text =~ s/\Q$from\E/$to/g
            or die "the guide no longer says: $from\n";
    }

    return $text;
}


sub new {
    my ($class, %a) = @_;

    my $self = $class->SUPER::new(name => $a{recipe}, %a);
    $self->{tls} = free_port();
    $self->{env} = { MONGODB_URI => $ENV{TEST_MONGODB_URI},
                     AWS_ACCESS_KEY_ID => $ENV{TEST_S3_ACCESS},
                     AWS_SECRET_ACCESS_KEY => $ENV{TEST_S3_SECRET},
                     AWS_SESSION_TOKEN => '', %{ $self->{env} } };

    push @Nodes, $self;

    return $self;
}


sub file {
    my ($self, $name, $text) = @_;

    File::Path::make_path("$self->{dir}/etc");
    my $file = "$self->{dir}/etc/$name";
    open my $fh, '>:raw', $file or die "$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";

    return $file;
}


sub openssl {
    my ($self, @args) = @_;

    my $log = "$self->{dir}/openssl.log";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        chdir "$self->{dir}/etc" or die;
        open STDOUT, '>', $log or die;
        open STDERR, '>&', \*STDOUT;
        exec 'openssl', @args or die "exec: $!";
    }
    waitpid $pid, 0;
    die "openssl @args: " . slurp($log) if $?;
}


# a key and a certificate that it signs itself: NAME.key, NAME.pem
sub certificate {
    my ($self, $name, $subject, @more) = @_;

    File::Path::make_path("$self->{dir}/etc");
    $self->openssl(qw(req -x509 -newkey ec -pkeyopt
                      ec_paramgen_curve:prime256v1 -nodes -days 2 -subj),
                   $subject, '-keyout', "$name.key", '-out', "$name.pem",
                   @more);
}


sub write_conf {
    my ($self) = @_;

    my $d = $self->{dir};
    File::Path::make_path("$d/logs", "$d/html", "$d/tmp");
    $self->certificate('server', '/CN=pics.example', '-addext',
                       'subjectAltName=DNS:pics.example')
        if !-e "$d/etc/server.pem";

    my $own = join '', map { "    ${_}_temp_path $d/tmp/$_;\n" }
        qw(client_body proxy fastcgi scgi uwsgi);
    my $module = ImageVault::Nginx::main_text() =~ /^(load_module .*?;)/
        ? $1 : '';

    my $frame = put(recipe('frame'),
        'https://ACCOUNT.r2.cloudflarestorage.com'
            => $self->{endpoint} // $ENV{TEST_S3_ENDPOINT},
        'region      auto' => "region      $ENV{TEST_S3_REGION}",
        'load_module modules/ngx_http_image_vault_module.so;' => $module,
        'database=photos' => "database=$ImageVault::Peers::Database",
        'bucket      pictures' => "bucket      $ENV{TEST_S3_BUCKET}",
        "include ${Etc}site.conf;" => <<"EOF_HTTP",
access_log $d/logs/access.log;
$own
    include ${Etc}site.conf;
    $self->{http}
    server {
        listen 127.0.0.1:$self->{port};
        root $d/html;
        $self->{app}
    }
EOF_HTTP
    );

    my $site = put(recipe($self->{recipe}),
        'listen      443 ssl' => "listen 127.0.0.1:$self->{tls} ssl",
        @{ $self->{replace} // [] });
    $site =~ s/127\.0\.0\.1:3000/127.0.0.1:$self->{port}/g;
    $site = put($site, "server_name pics.example;\n" =>
                       "server_name pics.example;\n$self->{inside}\n")
        if $self->{inside};

    for my $name (@{ $self->{files} // [] }) {
        my $text = recipe($name);
        $text =~ s/127\.0\.0\.1:3000/127.0.0.1:$self->{port}/g;
        $text = put($text, @{ $self->{edit}{$name} // [] });
        $self->file($name, $text);
    }

    s/\Q$Etc\E/$d\/etc\//g for $frame, $site;
    $self->file('site.conf', $site);

    my $user = $> == 0 ? "user root;\n" : '';
    open my $fh, '>', "$d/nginx.conf" or die "$d/nginx.conf: $!\n";
    print $fh "${user}daemon on;\npid $d/logs/nginx.pid;\n"
            . "error_log $d/logs/error.log info;\n$self->{main}\n$frame";
    close $fh;
}


# another node with the same files, and what is named here changed
sub again {
    my ($self, %a) = @_;

    my %same = map { $_ => $self->{$_} }
        qw(recipe files replace edit endpoint inside app http main allow);
    my $n = ref($self)->new(%same, %a);
    my $etc = "$self->{dir}/etc";
    for my $file (glob "$etc/*") {
        $n->file($file =~ s{.*/}{}r, slurp($file));
    }

    return $n->start;
}


# ends all nodes, side by side as each takes a while, and looks at their logs
sub finish {
    $_->signal('QUIT') for grep { $_->{up} } @Nodes;
    $_->done for @Nodes;
}


# one request of the recipe's server
sub get {
    my ($self, $path, @args) = @_;

    return curl('--cacert', "$self->{dir}/etc/server.pem", '--resolve',
                "pics.example:$self->{tls}:127.0.0.1", @args,
                "https://pics.example:$self->{tls}$path");
}


1;
