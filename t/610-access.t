# image_vault_access: who is let in to what stands behind it, and that nothing
# else gets there, by whatever other way of nginx's.  Behind it an upstream that
# tells what it was asked.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

my %viewers = (
    anonymous => 'image_vault_owner "";',
    owner     => 'image_vault_owner alice;',
    shared    => 'image_vault_owner bob;',
    stranger  => 'image_vault_owner carol;',
    admin     => 'image_vault_owner root; image_vault_admin 1;',
    odd       => 'image_vault_owner "al ice";',
);

my $up = free_port();
my $h2 = free_port();
my $past = mongo_now(-3600);
my $blocked = { at => $past, reason => 'abuse' };

my %states = (
    'ready'     => [{}, 200],
    'uploading' => [{ status => 'uploading' }, 409],
    'deleted'   => [{ status => 'error', deletedAt => $past }, 404],
    'blocked'   => [{ blocked => $blocked }, 451],
    'expired'   => [{ expires => $past }, 410],
);

my (%id, @docs);
for my $state (sort keys %states) {
    for my $public (0, 1) {
        my $id = $id{$state}[$public] = new_id();
        push @docs, image_doc(id => $id, public => $public, shared => ['bob'],
                              %{ $states{$state}[0] });
    }
}
my $mine = $id{ready}[0];
my ($other, $theirs) = (new_id(), new_id());
insert_images(@docs, image_doc(id => $other),
              image_doc(id => $theirs, owner => 'carol'));
my $absent = 'f' x 24;

my $http = ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
    . "keepalive_requests 100000;\n" . <<"EOF_HTTP";
log_format up '\$request_method \$request_uri';
log_format seen '\$uri \$status result=\$image_vault_result id=\$image_vault_id'
                ' owner=\$image_vault_owner key=\$image_vault_key';
server {
    listen 127.0.0.1:$up;
    access_log logs/up.log up;
    default_type text/plain;
    location / { return 200 "behind \$request_method \$request_uri\\n"; }
    location /ssi/same { default_type text/html;
        return 200 '<!--# include virtual="/part/$mine?a" -->'; }
    location /ssi/other { default_type text/html;
        return 200 '<!--# include virtual="/part/$other?a" -->'; }
    location /ssi/theirs { default_type text/html;
        return 200 '<!--# include virtual="/part/$theirs?a" -->'; }
    location /ssi/carol { default_type text/html;
        return 200 '<!--# include virtual="/part-carol/$mine?a" -->'; }
    location /ssi/plain { default_type text/html;
        return 200 '<!--# include virtual="/plain/" -->'; }
    location /jump { add_header X-Accel-Redirect \$arg_to; return 200; }
    location /kept { add_header Cache-Control \$arg_cc; expires 1h;
        return 200 x; }
    location /said { add_header Cache-Control \$arg_cc; return 200 x; }
}
EOF_HTTP

my $to = "proxy_pass http://127.0.0.1:$up";
my $server = "image_vault_owner alice; access_log logs/seen.log seen;\n"
    . join('', map {
        "location /a-$_/ { image_vault_access; $to; $viewers{$_} }\n"
    } sort keys %viewers) . <<"EOF_SERVER";

    # what can't open it
    location /satisfy/ { satisfy any; allow all; auth_basic x;
        auth_basic_user_file /dev/null; image_vault_owner carol;
        image_vault_access; $to; }
    location /denied/ { deny all; image_vault_access; $to; }
    location /return/ { image_vault_access; return 200 secret; }
    location /status/ { image_vault_access; return 202 secret; }
    location /away/ { image_vault_access; return 302 /elsewhere; }
    location /empty/ { image_vault_access; return 204; }
    location /files/ { image_vault_access; image_vault_owner carol;
        try_files /secret.txt =404; }
    location /found/ { image_vault_access; try_files /secret.txt =404; }
    location /asks/ { auth_request /empty/$absent; $to; }
    location /mirror/ { image_vault_access; mirror /copy; $to; }
    location = /copy { internal; $to/copied\$request_uri; }
    location /gif/ { image_vault_access; empty_gif; }

    # what is inside
    location /nest/ {
        image_vault_access; image_vault_owner carol; $to;
        location /nest/deeper/ { $to/deeper/; }
        location ~ /re/ { $to; }
        location /nest/bare/ { root /tmp; }
        location /nest/mine/ { image_vault_owner alice; $to; }
        location /nest/own/ { image_vault_redirect; }
        if (\$arg_if) { $to; }
        limit_except GET { $to; }
    }

    # which image
    location ~ ^/i/(?<image>[^/]+)/(?<rest>.*)\$ {
        image_vault_access id=\$image; $to; }
    location /arg { image_vault_access id=\$arg_id; $to; }

    # from one to the next
    location /x/ { image_vault_access; $to/jump?to=\$arg_to; }
    location /jump/ { $to/jump?to=\$arg_to; }
    location /inner/ { internal; image_vault_access; $to; }
    location /inner-return/ { internal; image_vault_access;
        return 200 secret; }
    location /named/ { image_vault_access; try_files /dev/null/none \@behind; }
    location \@behind { $to/\$image_vault_key; }
    location /page/ { image_vault_access; error_page 404 = \@page;
        proxy_intercept_errors on; $to; }
    location \@page { return 200 "page \$image_vault_result\\n"; }
    location /ours/ { image_vault_access; error_page 403 502 = \@json;
        deny 127.0.0.1; $to; }
    location /down/ { image_vault_access; error_page 502 = \@json;
        proxy_pass http://127.0.0.1:1; }
    location \@json { image_vault_error; }

    # subrequests
    location /ssi/ { ssi on; image_vault_access; $to/ssi/\$arg_s; }
    location /part/ { image_vault_access; image_vault_owner alice; $to; }
    location /part-carol/ { image_vault_access; image_vault_owner carol; $to; }
    location /plain/ { $to/plain\$image_vault_key; }
    location /auth/ { auth_request /part/$mine; $to; }
    location /after/ { image_vault_access; default_type text/html;
        addition_types *; add_after_body /plain/; $to; }

    # what is known
    location /vars/ { image_vault_access; set \$early "\$image_vault_key";
        add_header X-Early "<\$early>";
        add_header X-Id \$image_vault_id; add_header X-Key \$image_vault_key;
        add_header X-Type \$image_vault_content_type;
        add_header X-Size \$image_vault_size;
        add_header X-Sha \$image_vault_sha256;
        add_header X-Owner \$image_vault_owner;
        add_header X-Result \$image_vault_result;
        add_header X-Url \$image_vault_url;
        add_header X-Head \$image_vault_head_url; $to; }
    location /set/ { image_vault_access; set \$early \$image_vault_url;
        proxy_pass \$early; }

    location = /metrics { image_vault_metrics; }

    # how long it may be kept
    location /kept/ { image_vault_access; $to; }
    location /said/ { image_vault_access; $to; }
    location /expires/ { image_vault_access; expires 1h; $to/said; }
    image_vault_cors https://app.example;
EOF_SERVER


my $n = ImageVault::Nginx->new(name => 'gate', http => $http,
                               server => "listen 127.0.0.1:$h2 http2;"
                                         . $server)->start;
{
    open my $fh, '>', "$n->{dir}/html/secret.txt" or die;
    print $fh 'secret';
    close $fh;
}
my $kept = ImageVault::Kept->new($n->{port});

sub ask_for { return $kept->ask(@_) }
sub bare { return ImageVault::Kept::bare(@_) }
sub get { return ask_for('GET', @_) }

# how many requests came to the upstream since the last call
my $read = 0;
sub behind {
    my $log = slurp("$n->{dir}/logs/up.log");
    my $new = substr $log, $read;
    $read = length $log;
    return $new;
}

sub let_in {
    my ($r, $what) = @_;
    is($r->{status}, 200, "$what: let in") or diag $r->{head}, $r->{body};
}

sub refused {
    my ($r, $status, $what) = @_;
    is($r->{status}, $status, "$what: $status") or diag $r->{head}, $r->{body};
    unlike($r->{body}, qr/behind|secret/, "$what: nothing gets out");
}


subtest 'who, and in which state' => sub {
    for my $viewer (sort keys %viewers) {
        for my $method (qw(GET HEAD)) {
            my $none = ask_for($method, "/a-$viewer/$absent");
            is($none->{status}, $viewer eq 'odd' ? 401 : 404,
               "$viewer, $method, absent");

            for my $state (sort keys %states) {
                for my $public (0, 1) {
                    my $want = $states{$state}[1];
                    $want = 200 if $state eq 'blocked' && $viewer eq 'admin';
                    $want = 404 if !$public
                        && $viewer =~ /\A(?:anonymous|stranger)\z/;
                    $want = 401 if $viewer eq 'odd';

                    my $path = "/a-$viewer/$id{$state}[$public]";
                    my $r = ask_for($method, $path);
                    my $what = "$viewer, $method, $state, $public";
                    is($r->{status}, $want, $what)
                        or diag $r->{head}, $r->{body};
                    is(bare($r), bare($none), "$what: as if absent")
                        if $want == 404;
                    is(behind(), $want == 200 ? "$method $path\n" : '',
                       "$what: what came through");
                    like($r->{head}, qr/^Retry-After: [1-9]/m, 'when')
                        if $want == 409;
                    like($r->{body}, qr/"code":"blocked".*abuse/, 'why')
                        if $want == 451 && $method eq 'GET';
                    like($r->{head}, qr/^Cache-Control: no-store\r$/m,
                         "$what: not kept") if $want != 200;
                    my $who = $public ? 'public' : 'private';
                    like($r->{head}, qr/^Cache-Control: $who, max-age=\d+\r$/m,
                         "$what: kept") if $want == 200;
                    like($r->{head}, qr/^X-Content-Type-Options: nosniff\r$/m,
                         'nosniff');
                    like($r->{head}, qr/^Referrer-Policy: no-referrer\r$/m,
                         'no referrer');
                }
            }
        }
    }
};


subtest 'what is no id' => sub {
    my $none = get("/a-owner/$absent");
    for my $bad ('0', 'g' x 24, '0' x 23, '0' x 25, 'a' x 500, '') {
        my $r = get("/a-owner/$bad");
        is(bare($r), bare($none), "<$bad>: as if absent");
    }
    let_in(get("/a-owner/\U$mine"), 'upper case');
    let_in(get("/i/$mine/some/name.png"), 'id=');
    refused(get("/i/$absent/$mine"), 404, 'id=, another one last');
    let_in(get("/arg?id=$mine"), 'an argument');
    refused(get('/arg'), 404, 'none');
    behind();
};


subtest 'other methods' => sub {
    for my $method (qw(POST PUT DELETE PATCH OPTIONS)) {
        my $body = 'x' x 2000;
        my $at = sub { ask_for($method, "/a-$_[0]/$mine", @_[1 .. $#_],
                               \$body) };
        is($at->('anonymous')->{status}, 401, "$method: anonymous");
        is($at->('odd')->{status}, 401, "$method: no owner");
        is($at->('owner', 'Origin: http://evil')->{status}, 403,
           "$method: from another site");
        my $r = $at->('owner');
        is($r->{status}, 405, "$method: not allowed");
        like($r->{head}, qr/^Allow: GET, HEAD\r$/m, "$method: what is");
        like($r->{body}, qr/"code":"method_not_allowed"/, "$method: as JSON");
    }
    is(behind(), '', 'none of it came through');

    my $r = ask_for('OPTIONS', "/a-anonymous/$mine",
                    'Origin: https://app.example',
                    'Access-Control-Request-Method: GET');
    is($r->{status}, 204, 'a preflight');
    like($r->{head}, qr/^Access-Control-Allow-Methods: GET, HEAD\r$/m, 'for');
    $r = get("/a-owner/$mine", 'Origin: https://app.example');
    like($r->{head},
         qr{^Access-Control-Allow-Origin: https://app.example\r$}m, 'CORS');
    behind();
};


subtest 'no way around' => sub {
    refused(get("/satisfy/$mine"), 404, 'satisfy any; allow all');
    refused(get("/denied/$mine"), 403, 'deny all before it');
    refused(get("/files/$mine"), 404, 'try_files');
    refused(get("/found/$absent"), 404, 'try_files, absent');
    my $found = get("/found/$mine");
    let_in($found, 'try_files, which changes the URI');
    is($found->{body}, 'secret', 'the file');
    refused(get("/return/$mine"), 403, 'return');
    refused(get("/return/$absent"), 403, 'return, absent');
    refused(ask_for('HEAD', "/return/$mine"), 403, 'return, HEAD');
    refused(get("/status/$mine"), 403, 'return 202');
    is(get("/away/$mine")->{status}, 302, 'a redirect tells nothing');
    is(get("/empty/$mine")->{status}, 204, 'nor does 204');
    refused(get('/asks/x'), 403, 'but it does to auth_request');
    let_in(get("/gif/$mine"), 'a content handler');
    refused(get("/gif/$absent"), 404, 'a content handler, absent');
    is(behind(), '', 'nothing came through');
    like($n->error_log, qr/\[error\].*an answer that passed no check/,
         'and the log says so');

    refused(get("/mirror/$absent"), 404, 'mirror');
    is(behind(), '', 'nobody is mirrored who is not let in');
    let_in(get("/mirror/$mine"), 'mirror');
    ok((wait_for { slurp("$n->{dir}/logs/up.log") =~ m{/copied/mirror/$mine} }
        ), 'who is let in, is');
    behind();
};


subtest 'nested locations, if, limit_except' => sub {
    for my $in ('', 'deeper/', 'x/re/', 'bare/') {
        refused(get("/nest/$in$mine"), 404, "nest/$in");
    }
    refused(get("/nest/$mine?if=1"), 404, 'if');
    is(ask_for('POST', "/nest/$mine", 'Content-Length: 0')->{status}, 405,
       'limit_except');
    is(behind(), '', 'nothing came through');
    let_in(get("/nest/mine/$mine"), 'another owner inside');
    let_in(get("/nest/deeper/$id{ready}[1]"), 'a public one');
    let_in(get("/nest/$id{ready}[1]?if=1"), 'a public one, if');
    is(get("/nest/own/$id{ready}[1]")->{status}, 302, 'an endpoint inside');
    behind();
};


subtest 'internal redirects decide anew' => sub {
    let_in(get("/x/$mine?to=/inner/$other"), 'to another of mine');
    refused(get("/x/$mine?to=/inner/$theirs"), 404, "to another's");
    refused(get("/x/$mine?to=/inner/$absent"), 404, 'to none');
    refused(get("/x/$mine?to=/inner-return/$mine"), 403,
            'to what passes no check, granted before');
    let_in(get("/jump/$absent?to=/inner/$mine"), 'from outside');
    refused(get("/inner/$mine"), 404, 'internal is internal');
    behind();
    let_in(get("/named/$mine"), 'a named location');
    like(behind(), qr{^GET /images/$mine\.png}m,
         'that knows the key');
    refused(get("/named/$theirs"), 404, "a named location, another's");
    is(behind(), '', 'not called');
    refused(get("/page/$absent"), 404, 'our 404 is no page of theirs');
    is(get("/ours/$mine")->{body} =~ /"code":"forbidden"/, 1, 'JSON: 403');
    my $r = get("/down/$mine");
    is($r->{status}, 502, 'an upstream that is down');
    like($r->{body}, qr/"code":"internal"/, 'as JSON');
    behind();
};


# chunked answers
sub page {
    my $r = curl($n->url($_[0]));
    return { %$r, head => '' };
}


subtest 'subrequests' => sub {
    my $r = page("/ssi/$mine?s=same");
    like($r->{body}, qr{behind GET /part/$mine\?a}, 'the same image');
    $r = page("/ssi/$mine?s=other");
    like($r->{body}, qr{behind GET /part/$other\?a}, 'another of mine');
    $r = page("/ssi/$mine?s=theirs");
    like($r->{body}, qr/"code":"not_found"/, "another's");
    unlike($r->{body}, qr/behind/, 'is not shown');
    $r = page("/ssi/$mine?s=carol");
    like($r->{body}, qr/"code":"not_found"/, 'the same image, another owner');
    unlike($r->{body}, qr/behind/, 'is not shown');
    $r = page("/ssi/$mine?s=plain");
    like($r->{body}, qr{plainimages/$mine\.png}, 'what is known of the main');
    $r = page("/after/$mine");
    like($r->{body}, qr{plainimages/$mine\.png}, 'also after it');
    let_in(page('/auth/x'), 'auth_request');
    behind();
};


subtest 'variables' => sub {
    my $r = curl($n->url("/vars/$mine"));
    my $h = $r->{headers};
    is($h->{'x-early'}, '<>', 'nothing is known to a rewrite');
    is($h->{'x-id'}, $mine, 'id');
    is($h->{'x-key'}, "images/$mine.png", 'key');
    is($h->{'x-type'}, 'image/png', 'type');
    is($h->{'x-size'}, 1234, 'size');
    is($h->{'x-sha'}, '0' x 64, 'sha256');
    is($h->{'x-owner'}, 'alice', 'owner');
    is($h->{'x-result'}, 'access', 'result');
    like($h->{'x-url'}, qr{^\Q$ENV{TEST_S3_ENDPOINT}\E/\S+/images/$mine\.png\?},
         'URL');
    like($h->{'x-url'}, qr/X-Amz-Signature=[0-9a-f]{64}/, 'signed');
    isnt($h->{'x-url'}, $h->{'x-head'}, 'and another for HEAD');
    is(curl('-I', $n->url("/vars/$mine"))->{headers}{'x-url'}, $h->{'x-url'},
       'for GET, also of a HEAD');
    $r = curl($n->url("/vars/$absent"));
    ok(!exists $r->{headers}{'x-url'}, 'none without a grant');
    is(get("/set/$mine")->{status}, 500, 'set is too early for the URL');
    unlike($n->error_log, qr/X-Amz-Signature/, 'no signed URL in the log');
    behind();
    ok((wait_for { slurp("$n->{dir}/logs/seen.log") =~
        m{^/vars/$mine 200 result=access id=$mine owner=alice key=images/}m }
        ), 'the access log');
    like(slurp("$n->{dir}/logs/seen.log"),
         qr{^/vars/$absent 404 result=not_found id=$absent owner=alice key=-}m,
         'and of a refusal');
};


subtest 'how long others may keep it' => sub {
    my $of = sub {
        my ($path, $id, $cc) = @_;
        $cc =~ s/ /%20/g;
        $cc =~ s/"/%22/g;
        my $r = get("/$path/$id?cc=$cc");
        return join '|', $r->{head} =~ /^(Cache-Control: [^\r]+|Expires:)/mg;
    };
    my $ours = qr/\ACache-Control: private, max-age=\d+\z/;
    # the argument comes unescaped only where nginx unescapes: words will do
    for my $cc ('', 'public', 'max-age=60', 'public,max-age=60', 's-maxage=9',
                'private,s-maxage=9', 'private=x', 'no-cache')
    {
        like($of->('said', $mine, $cc), $ours, "<$cc>: ours instead");
    }
    for my $cc ('private', 'private,max-age=9', 'no-store', 'PRIVATE') {
        is($of->('said', $mine, $cc), "Cache-Control: $cc", "<$cc>: holds");
    }
    for my $cc ('private', 'public,max-age=9', 'no-store', 'max-age=60') {
        is($of->('said', $id{ready}[1], $cc), "Cache-Control: $cc",
           "<$cc>: holds for a public one");
    }
    like($of->('said', $id{ready}[1], ''),
         qr/\ACache-Control: public, max-age=\d+\z/, 'a public one, unsaid');
    like($of->('kept', $mine, ''), $ours, 'Expires goes, too');
    like($of->('expires', $mine, ''), qr/private, max-age/,
         'expires does not undo it');
};


subtest 'HTTP/2' => sub {
    my $at = sub { curl('--http2-prior-knowledge',
                        "http://127.0.0.1:$h2$_[0]", @_[1 .. $#_]) };
    is($at->("/a-owner/$mine")->{status}, 200, 'let in');
    my $r = $at->("/a-stranger/$mine");
    is($r->{status}, 404, 'a stranger');
    is($r->{json}{error}{code}, 'not_found', 'as JSON');
    is($at->("/a-owner/$mine", '-d', 'x' x 3000)->{status}, 405, 'POST');
    is($at->("/return/$mine")->{status}, 403, 'return');
    behind();
};


subtest 'metrics' => sub {
    my $sum = sub {
        my $all = 0;
        $all += $_ for curl($n->url('/metrics'))->{body}
            =~ /^image_vault_retrievals_total\{result="access"[^}]*\} (\d+)/mg;
        return $all;
    };
    my $before = $sum->();
    cmp_ok($before, '>', 0, 'counted');
    let_in(get("/a-owner/$mine"), 'once more');
    is($sum->(), $before + 1, 'counted, too');
    unlike($n->error_log, qr/\[(?:alert|crit)\]/, 'nothing grave');
};


# a MongoDB of its own, as it gets frozen
subtest 'waiting' => sub {
    my $dir = "/tmp/iv-test-mongod-$$";
    local $ENV{MONGODB_URI};
    delete $ENV{MONGODB_URI};
    chomp(my $uri = `util/mongod start $dir`);
    my $pid = 0 + slurp("$dir/pid");

    my $m = ImageVault::Nginx->new(
        name => 'frozen',
        http => ImageVault::Nginx::http_base(mongodb => $uri, timeout => '4s')
                . ImageVault::Nginx::storage_s3()
                . "log_format s '\$status \$uri';",
        server => "image_vault_owner alice; access_log logs/s.log s;"
                . "location /a/ { image_vault_access; $to; }"
                . 'location /r/ { image_vault_redirect; }'
                . 'location = /status { stub_status; }'
                . 'location = /alive { return 204; }')->start;

    is(curl($m->url("/a/$absent"))->{status}, 404, 'asked');
    kill 'STOP', $pid;

    # until so many requests are under way, that for this included
    my $writing = sub {
        my ($count) = @_;
        ok((wait_for { curl($m->url('/status'))->{body}
                       =~ /Writing: (\d+)/ && $1 >= $count }),
           ($count - 1) . ' under way');
    };

    # clients that go away while the database says nothing, the first of them
    # being the one that asks for all
    my $id = new_id();
    my @gone = map {
        my $s = IO::Socket::INET->new("127.0.0.1:$m->{port}") or die;
        print $s "GET /a/$id HTTP/1.1\r\nHost: vault\r\n\r\n";
        $s;
    } 1 .. 5;
    $writing->(6);
    close $_ for splice @gone, 0, 4;
    # and not when the database has had its time
    my @ends;
    ok((wait_for { @ends = slurp("$m->{dir}/logs/s.log") =~ /^(499|503) /mg;
                   @ends >= 4 }), 'clients that left are gone at once');
    is_deeply([@ends[0 .. 3]], [(499) x 4], 'before anyone is told');
    is(curl($m->url('/alive'))->{status}, 204, 'the worker lives');

    my $t = Time::HiRes::time();
    my $r = curl($m->url('/a/' . new_id()));
    is($r->{status}, 503, 'who waits is told');
    is($r->{json}{error}{code}, 'metadata_unavailable', 'so');
    cmp_ok(Time::HiRes::time() - $t, '<', 30, 'in time');
    my $head = '';
    sysread $gone[0], $head, 4096;
    like($head, qr{^HTTP/1.1 503}, 'so is the one that stayed');

    # a client that stays, and a database that comes back
    my $s = IO::Socket::INET->new("127.0.0.1:$m->{port}") or die;
    kill 'CONT', $pid;
    ok((wait_for { curl($m->url('/a/' . new_id()))->{status} == 404 } 60),
       'and goes on');

    # a worker that quits while somebody waits
    kill 'STOP', $pid;
    $id = new_id();
    print $s "GET /a/$id HTTP/1.1\r\nHost: vault\r\n\r\n";
    $writing->(2);
    $m->signal('QUIT');
    Time::HiRes::sleep(0.3);
    kill 'CONT', $pid;
    $head = '';
    sysread $s, $head, 4096;
    like($head, qr{^HTTP/1.1 (?:404|503)}, 'a worker that quits answers first');
    $m->done;
    system("util/mongod stop $dir >/dev/null 2>&1; rm -rf $dir");
};

$n->done;
done_testing();
