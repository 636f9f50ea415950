# Uploads in the company of nginx's own modules: each case has a body under way
# while something else decides, waits, refuses, redirects or ends.
#
# client_body_early_read came with nginx 1.31.5, later than any that the module
# is built with here (1.22, 1.26, 1.28); where it exists, it is tested.

use v5.10;
use strict;
use warnings;
use version;

use lib 't/lib';
use IO::Socket::INET;
use MIME::Base64 ();
use Test::More;
use Time::HiRes ();
use ImageVault::Flight;
use ImageVault::Nginx;
use ImageVault::Peers;

my @kinds = qw(raw chunked form);
my $image = png(500_000);
my $text = temp_file('this is no image' x 1_310_720);    # 20 MB
my $large = temp_file(png(20_000_000));

my $h2 = free_port();
my $back = free_port();
my $port = free_port();
my $nobody = free_port();
my $judge = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5,
                                  ReuseAddr => 1) or die "listen: $!\n";
my $early = free_port();
my ($v) = `@{[ImageVault::Nginx::binary()]} -v 2>&1` =~ /(\d+\.\d+\.\d+)/;
my $reads_early = version->parse("v$v") >= version->parse('v1.31.5');
my $users = temp_file("bob:{PLAIN}secret\n");
my $judge_port = $judge->sockport;

my $json = 'error_page 401 403 413 429 503 = @json;';
my $basic = "auth_basic staff; auth_basic_user_file $users;";
my $ask = 'image_vault_owner $user; auth_request_set $user';

sub api { return "location /$_[0] { image_vault_api s3; $_[1] }\n" }

my $n = ImageVault::Nginx->new(
    name => 'company',
    port => $port,
    http => ImageVault::Nginx::http_base(sweep => 'interval=300ms stale=4s')
          . ImageVault::Nginx::storage_s3() . <<"EOF_HTTP",
image_vault_max_size 50m;
image_vault_key company/\$image_vault_filename;
client_max_body_size 0;
map \$http_x_who \$who { default \$http_x_who; '' alice; }
map \$remote_user \$guest { default \$remote_user; '' neighbour; }
limit_req_zone \$http_x_who zone=rare:1m rate=1r/m;
limit_req_zone \$http_x_who zone=often:1m rate=3r/s;
limit_conn_zone \$http_x_who zone=one:1m;

server {
    listen 127.0.0.1:$back;
    location = /auth/yes { add_header X-User carol; return 204; }
    location = /auth/who {
        add_header WWW-Authenticate 'Bearer realm="x"' always;
        return 401;
    }
    location = /auth/no { return 403; }
    location = /sink { return 204; }
    # has read all of the body, and sends the request back inside
    location = /back {
        proxy_pass http://127.0.0.1:$back/sink;
        add_header X-Accel-Redirect \@taken;
    }
    # does so at once
    location = /early { add_header X-Accel-Redirect \@taken; return 204; }
}
EOF_HTTP
    server => <<"EOF_CONF"
listen 127.0.0.1:$h2 http2;
image_vault_owner \$who;
add_header X-Pid \$pid always;
proxy_http_version 1.1;

location \@json { image_vault_error; }
location \@taken { image_vault_upload s3; }

location /auth/ {
    internal;
    proxy_pass http://127.0.0.1:$back;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    location = /auth/slow { proxy_pass http://127.0.0.1:$judge_port; }
}
location /out {
    image_vault_api s3;
    image_vault_types image/jpeg;
    location /out/up {
        location ~ load\$ { image_vault_types image/png; }
    }
    location = /out/other { return 200 other; }
}
location /rewritten { rewrite ^ /api/upload last; }
location /tried { try_files \$uri \@taken; }
location /named { error_page 404 = \@taken; return 404; }
location /lost { error_page 404 = /api/upload; return 404; }
location = /proxied/memory {
    proxy_pass http://127.0.0.1:$back/back;
    client_body_buffer_size 2m;
}
location = /proxied/file {
    proxy_pass http://127.0.0.1:$back/back;
    client_body_buffer_size 16k;
}
location = /through/back {
    proxy_pass http://127.0.0.1:$back/back;
    proxy_request_buffering off;
}
location = /through/early {
    proxy_pass http://127.0.0.1:$back/early;
    proxy_request_buffering off;
}
location = /through/none {
    proxy_pass http://127.0.0.1:$nobody;
    proxy_request_buffering off;
    error_page 502 = \@taken;
}
location = /through/json {
    proxy_pass http://127.0.0.1:$nobody;
    proxy_request_buffering off;
    error_page 502 = \@json;
}
location = /copy {
    internal;
    proxy_pass http://127.0.0.1:$port/api/upload;
    proxy_set_header X-Who copy;
}
EOF_CONF
    . api('api', '')
    . api('none', 'image_vault_owner "";')
    . api('short', 'lingering_time 1s; lingering_timeout 1s;')
    . api('may', "$ask \$upstream_http_x_user; auth_request /auth/yes; $json")
    . api('who', "auth_request /auth/who; $json")
    . api('may-not', "auth_request /auth/no; $json")
    . api('slow', "$ask \$upstream_http_x_user; auth_request /auth/slow;")
    . api('basic', "$basic image_vault_owner \$remote_user;")
    . api('staff', "$basic image_vault_owner \$remote_user; $json")
    . api('any', "satisfy any; allow 127.0.0.2; deny all; $basic "
                 . 'image_vault_owner $guest;')
    . api('rare', "limit_req zone=rare; limit_req_status 429; $json")
    . api('often', 'limit_req zone=often burst=5;')
    . api('one', "limit_conn one 1; $json")
    . api('rate', 'limit_rate 1k; limit_rate_after 300;')
    . api('low', "client_max_body_size 100k; $json")
    . api('get-only', "limit_except GET { deny all; } $json")
    . api('post-only', 'limit_except POST { deny all; }')
    . api('iffy', 'if ($http_x_who = dave) { add_header X-If yes; }')
    . api('memory', 'mirror /copy; client_body_buffer_size 2m;')
    . api('file', 'mirror /copy; client_body_buffer_size 16k;')
    . ($reads_early ? "}\nserver { listen 127.0.0.1:$early;\n"
       . "client_body_early_read 1; client_body_buffer_size 64k;\n"
       . 'image_vault_owner $who;' . api('api', '')
       . api('who', 'deny all;') : ''),
)->start;


# a request whose body is under way
sub fly {
    my ($path, %a) = @_;
    my $f = ImageVault::Flight->new(port => $port, path => $path,
                                    image => $image, %a);
    $f->send(200_000);
    return $f;
}

sub password {
    return 'Authorization: Basic '
         . MIME::Base64::encode_base64("bob:$_[0]", '');
}

# runs this for each kind of body over HTTP/1.1 and HTTP/2
sub each_kind(&) {
    my ($code) = @_;
    for my $as (@kinds) {
        $code->($as, as => $as);
        $code->("$as, HTTP/2", as => $as,
                h2 => ImageVault::Flight::Http2->new($h2));
    }
}


subtest 'auth_request: allowed, the owner is who it says' => sub {
    each_kind {
        my ($what, %how) = @_;
        my $f = fly('/may/upload', %how);
        up(1);
        landed($f, 'carol', $what);
    };
};

subtest 'auth_request: denied' => sub {
    each_kind {
        my ($what, %how) = @_;
        my $a = fly('/who/upload', %how)->answer;
        refused($a, 401, 'unauthenticated', "$what, at once");
        like($a->{head}, qr{^WWW-Authenticate: Bearer realm="x"\r?$}m,
             "$what: how to log in") if !$how{h2};
        refused(fly('/may-not/upload', %how)->finish, 403, 'forbidden',
                "$what, after the body");
    };
    up(0);
};

subtest 'auth_request: takes its time' => sub {
    for my $as (@kinds) {
        for my $line ('200 OK', '403 No', 'gone') {
            my $f = fly('/slow/upload', as => $as);
            my $s = $judge->accept;
            sysread $s, my $head, 65536;
            unlike($head, qr/PNG|IDAT/, 'is asked without the body');
            is(scalar(find_images({ status => 'uploading' })), 0,
               'none begins before it has spoken');
            if ($line eq 'gone') {
                $f->close;
            } else {
                print $s "HTTP/1.1 $line\r\nX-User: erin\r\n"
                       . "Content-Length: 0\r\nConnection: close\r\n\r\n";
            }
            close $s;
            if ($line =~ /^200/) {
                up(1);
                landed($f, 'erin', $as);
            } elsif ($line =~ /^403/) {
                is($f->finish->{status}, 403, "$as: denied, and readable");
            }
        }
    }
    up(0);
};

subtest 'auth_basic' => sub {
    each_kind {
        my ($what, %how) = @_;
        my $f = fly('/basic/upload', %how, head => [password('secret')]);
        up(1);
        landed($f, 'bob', $what);

        my $a = fly('/basic/upload', %how, head => [password('wrong')])
            ->finish;
        is($a->{status}, 401, "$what: a wrong password");
        like($a->{head}, qr{^WWW-Authenticate: Basic realm="staff"\r?$}m,
             "$what: the realm") if !$how{h2};
        $a = fly('/staff/upload', %how, head => [password('wrong')])->answer;
        refused($a, 401, 'unauthenticated', "$what, as JSON");
        like($a->{head}, qr{^WWW-Authenticate: Basic realm="staff"\r?$}m,
             "$what: the realm is kept") if !$how{h2};
    };
};

subtest 'satisfy any' => sub {
    for my $as (@kinds) {
        landed(fly('/any/upload', as => $as, from => '127.0.0.2'),
               'neighbour', "$as, by address");
        landed(fly('/any/upload', as => $as, head => [password('secret')]),
               'bob', "$as, by password");
        is(fly('/any/upload', as => $as)->finish->{status}, 401,
           "$as, by neither");
        is(fly('/any/upload', as => $as, head => [password('wrong')])
               ->answer->{status}, 401, "$as, by a wrong password");
    }
    up(0);
};

subtest 'limit_req: refused' => sub {
    each_kind {
        my ($what, %how) = @_;
        (my $who = $what) =~ s/\W+//g;
        my @rare = ('/rare/upload', %how, head => ["X-Who: $who"]);
        landed(fly(@rare), $who, "$what, the first");
        my $a = fly(@rare)->answer;
        refused($a, 429, 'rate_limited', $what);
        like($a->{head}, qr{^Retry-After: [1-9]\d*\r?$}m, 'when to come again')
            if !$how{h2};
    };
};

subtest 'limit_req: delayed' => sub {
    my @f = map { fly('/often/upload', as => $_, head => ['X-Who: often']) }
            @kinds;
    landed($_, 'often', $_->{as}) for @f;
};

subtest 'limit_conn' => sub {
    for my $as (@kinds) {
        my @one = ('/one/upload', as => $as, head => ['X-Who: one']);
        my $f = fly(@one);
        up(1);
        my $a = fly(@one)->answer;
        refused($a, 503, 'overloaded', "$as, a second");
        like($a->{head}, qr{^Retry-After: [1-9]\d*\r?$}m, 'when to come again');
        landed($f, 'one', "$as, the first");
        ok((wait_for { fly(@one)->finish->{status} == 201 } 60),
           "$as, a third after it");
    }
};

subtest 'limit_rate slows the answer down, no more' => sub {
    my @f = map { my $as = $_;
                  (fly('/rate/upload', as => $as),
                   fly('/rate/upload', as => $as,
                       h2 => ImageVault::Flight::Http2->new($h2))) } @kinds;
    landed($_, 'alice', $_->{as}) for @f;
    my $f = fly('/rate/upload', image => 'no image' x 100_000);
    refused($f->finish, 415, 'unsupported_type', 'refused');
};

subtest 'client_max_body_size of the very location' => sub {
    each_kind {
        my ($what, %how) = @_;
        refused(fly('/low/upload', %how)->answer, 413, 'too_large', $what);
    };
    landed(fly('/low/upload', image => png(90_000), as => $_), 'alice', $_)
        for @kinds;
};

subtest 'nested locations, limit_except, if' => sub {
    each_kind {
        my ($what, %how) = @_;
        landed(fly('/out/upload', %how), 'alice', "$what, nested");
        refused(fly('/get-only/upload', %how)->answer, 403, 'forbidden',
                "$what, limit_except GET");
        landed(fly('/post-only/upload', %how), 'alice',
               "$what, limit_except POST") if !$how{h2};
        my $a = landed(fly('/iffy/upload', %how, head => ['X-Who: dave']),
                       'dave', "$what, if");
        like($a->{head}, qr{^X-If: yes\r?$}m, 'its location') if !$how{h2};
    };
    is(curl($n->url('/out/other'))->{body}, 'other', 'one with its own answer');
};

subtest 'internal redirects' => sub {
    each_kind {
        my ($what, %how) = @_;
        for my $way ($how{h2} ? 'named' : qw(rewritten tried named)) {
            my $f = fly("/$way", %how);
            up(1);
            landed($f, 'alice', "$what, $way");
        }
        # nginx makes a GET of it
        is(fly('/lost', %how)->finish->{status}, 405, "$what, no named one");
        landed(fly("/proxied/$_", %how), 'alice', "$what, read to $_")
            for $how{h2} ? 'file' : qw(memory file);
    };
};

subtest 'what a proxy has sent on unread is gone' => sub {
    each_kind {
        my ($what, %how) = @_;
        for my $way (qw(back early none json)) {
            my $a = fly("/through/$way", %how)->finish;
            cmp_ok($a->{status}, '>=', 400, "$what, $way: refused");
            ok($a->{json}, "$what, $way: as JSON") or diag($a->{head});
        }
    };
    up(0);
};

subtest 'mirror has read the body, to memory and to a file' => sub {
    each_kind {
        my ($what, %how) = @_;
        for my $to ($how{h2} ? 'file' : qw(memory file)) {
            my $before = find_images({ userId => 'copy', status => 'ready' });
            landed(fly("/$to/upload", %how), 'alice', "$what, $to");
            is(wait_images({ userId => 'copy', status => 'ready' },
                           $before + 1, 60), $before + 1, 'and its copy');
            my $a = fly("/$to/upload", %how, image => substr $image, 0, 400_000)
                ->finish;
            refused($a, 422, 'corrupt_image', "$what, $to, truncated");
        }
    };
};

subtest 'client_body_early_read' => sub {
    plan(skip_all => "nginx $v has none") if !$reads_early;
    for my $as (@kinds) {
        my @how = (as => $as, port => $early);
        landed(fly('/api/upload', @how), 'alice', "$as, in a file");
        landed(fly('/api/upload', @how, image => png(20_000)), 'alice',
               "$as, in memory");
        is(fly('/who/upload', @how)->finish->{status}, 403, "$as, denied");
    }
};

subtest 'HTTP/2: streams side by side, and one that is reset' => sub {
    my $c = ImageVault::Flight::Http2->new($h2);
    my @f = map { ImageVault::Flight->new(path => '/api/upload', h2 => $c,
                                          image => png(500_000 + 1000 * $_),
                                          as => $kinds[$_ % @kinds]) } 0 .. 5;
    for (1 .. 4) {
        $_->send(70_000) for @f;
    }
    up(6);
    my $lost = pop @f;
    $lost->close;
    up(5);
    landed($_, 'alice', "stream $_->{stream}") for @f;
    landed(fly('/api/upload', h2 => $c), 'alice', 'one more');
    is(scalar(find_images({ size => length $lost->{image},
                            status => 'ready' })), 0, 'the lost one is none');
    up(0);
};

subtest 'a refusal in mid-body, by a client that sends on' => sub {
    my %refusals = ('/api' => [415, $text], '/none' => [401, $text],
                    '/low' => [413, $large], '/staff' => [401, $text],
                    '/may-not' => [403, $text]);
    my @clients = (['HTTP/1.1', $port, '-H', 'Expect:'],
                   ['HTTP/1.1, Expect', $port, '--expect100-timeout', '5'],
                   ['HTTP/2', $h2, '--http2-prior-knowledge']);
    my $type = 'Content-Type: image/png';
    my %bodies = (
        raw     => sub { ('-H', $type, '-T', $_[0]) },
        chunked => sub { ('-H', $type, '-H', 'Transfer-Encoding: chunked',
                          '-T', $_[0]) },
        form    => sub { ('-F', "file=\@$_[0];type=image/png") },
    );
    for (@clients) {
        my ($what, $to, @args) = @$_;
        for my $path (sort keys %refusals) {
            my ($status, $file) = @{ $refusals{$path} };
            for my $as (@kinds) {
                my $r = curl(@args, $bodies{$as}->($file),
                             "http://127.0.0.1:$to$path/upload?filename=x");
                is_deeply([$r->{exit}, $r->{status},
                           ref $r->{json} ? $r->{json}{images} : $r->{body}],
                          [0, $status, []], "$what, $path, $as")
                    or diag($r->{error});
            }
        }
    }
};

subtest 'and is not drained for ever' => sub {
    my $f = fly('/short/upload', image => 'no image' x 1_000_000);
    refused($f->answer, 415, 'unsupported_type', 'refused');
    ok((wait_for { !$f->send(100) } 60), 'then cut off');
};

# what is under way when the old workers are told to go
sub in_flight {
    my $c = ImageVault::Flight::Http2->new($h2);
    my @f = map { (fly('/api/upload', as => $_),
                   fly('/api/upload', as => $_, h2 => $c)) } @kinds;
    up(scalar @f);
    return @f;
}

subtest 'a reload' => sub {
    my ($old) = $n->workers;
    my @f = in_flight();
    $n->reload;
    ok((wait_for { curl($n->url('/api/'))->{headers}{'x-pid'} != $old } 60),
       'a new worker answers');
    landed(fly('/api/upload'), 'alice', 'a new one');
    for (@f) {
        my $a = landed($_, 'alice', "$_->{as}, begun before");
        like($a->{head}, qr/^X-Pid: $old\r?$/m, 'by the old one') if !$_->{h2};
    }
    @f = ();
    ok((wait_for { !kill 0, $old } 60), 'which then ends');
};

subtest 'QUIT' => sub {
    my $pid = $n->pid;
    my @f = in_flight();
    $n->signal('QUIT');
    ok((wait_for { !IO::Socket::INET->new("127.0.0.1:$port") } 60),
       'nothing new is taken');
    landed($_, 'alice', "$_->{as}, begun before") for @f;
    @f = ();
    ok((wait_for { !kill 0, $pid } 60), 'then it ends');
    $n->start;
};

subtest 'what is left' => sub {
    is(wait_images({ status => { '$ne' => 'ready' } }, 0, 60), 0,
       'none but ready documents');
    my %ready = map { $_->{r2Key} => $_->{size} } find_images();
    my %kept = map { $_->{key} => $_->{size} } objects('company/');
    is_deeply(\%kept, \%ready, 'objects and documents are one to one');
    my @files = glob "$n->{dir}/tmp/body/*";
    is(scalar @files, 0, "no file of nginx's");
};

$n->done;
done_testing();
