# image_vault_audit: who did what to which image, from where, and how it ended;
# with it off, what admins do to others' images is logged.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use IO::Socket::INET;
use JSON::PP ();
use Socket;
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

my $n = ImageVault::Nginx->new(
    name   => 'audit',
    # what is refused below may be told in this log
    allow  => qr/\[emerg\].*"image_vault_audit"/,
    http   => ImageVault::Nginx::http_base()
              . ImageVault::Nginx::storage_s3()
              . "image_vault_owner \$arg_as;\nimage_vault_admin \$arg_admin;\n"
              . "image_vault_key audit/\$image_vault_filename;\n"
              . "image_vault_audit on;\n",
    server => 'location /api { image_vault_api s3; '
              . 'image_vault_uploaded_from $http_x_from; } '
              . 'location /off { image_vault_api s3; image_vault_audit off; '
              . 'image_vault_uploaded_from $http_x_from; } '
              . 'location /direct { image_vault_api s3; }',
)->start;
my $db = $ImageVault::Peers::Database;
my $file = temp_file(png(1000));
my $bad = temp_file(substr(png(1000), 0, 900));

# the entries with this action and image, once there are some
sub trail {
    my (%filter) = @_;
    my $find = sub { @{ ask('find', db => $db,
                            collection => 'image_vault_audit',
                            filter => { %filter }) } };
    wait_for { my @e = $find->(); scalar @e } 60;
    return $find->();
}

sub put {
    my ($as, @more) = @_;
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png', @more,
                 $n->url("/api/upload?as=$as"));
    is($r->{status}, 201, 'created');
    return $r->{json}{images}[0]{id};
}

sub of { return (image => { '$oid' => $_[0] }) }

sub outcomes {
    return join ' ', map { "$_->{action}=$_->{outcome}" }
           sort { $a->{at}{'$date'} cmp $b->{at}{'$date'} } @_;
}


subtest 'an upload' => sub {
    my $r = curl('-T', $file, '-H', 'Content-Type: image/png', '-H',
                 'X-From: 192.0.2.7', $n->url('/api/upload?as=alice'));
    my $id = $r->{json}{images}[0]{id};
    my ($e, @more) = trail(of($id));
    is(@more, 0, 'one entry');
    is($e->{who}, 'alice', 'who');
    is($e->{owner}, 'alice', 'whose image it is');
    is($e->{action}, 'upload', 'what');
    is($e->{from}, '192.0.2.7', 'from where');
    is($e->{outcome}, 'ok', 'how it ended');
    is($e->{requestId}, $r->{json}{requestId}, 'which request');
    ok(!$e->{admin}, 'no admin');
    like($e->{at}{'$date'}, qr/^\d{4}-/, 'when');

    $r = curl('-T', $file, '-H', 'Content-Type: image/png',
              $n->url('/direct/upload?as=alice'));
    ($e) = trail(of($r->{json}{images}[0]{id}));
    is($e->{from}, '127.0.0.1', "else the client's address");

    curl('-T', $bad, '-H', 'Content-Type: image/png',
         $n->url('/api/upload?as=eve'));
    ($e) = trail(who => 'eve');
    is($e->{outcome}, 'corrupt_image', 'one that fails');
};


subtest 'a form' => sub {
    my $r = curl('-F', "a=\@$file;type=image/png", '-F',
                 "b=\@$bad;type=image/png", $n->url('/api/upload?as=fay'));
    is($r->{status}, 207, 'some');
    ok((wait_for { trail(who => 'fay') == 2 } 60), 'an entry for each');
    is(join(' ', sort map { $_->{outcome} } trail(who => 'fay')),
       'corrupt_image ok', 'their outcomes');

    $r = curl('-F', "a=\@$file;type=image/png", '-F', 'expiresAt=never',
              $n->url('/api/upload?as=gus'));
    is($r->{status}, 400, 'refused as a whole');
    is(outcomes(trail(who => 'gus')), 'upload=bad_parameter', 'one entry');
};


subtest 'a repetition is none' => sub {
    my @args = ('-H', 'Idempotency-Key: k1');
    my $id = put('hal', @args);
    is(put('hal', @args), $id, 'the same answer');
    my $sign = put('hal');
    trail(of($sign));
    is(trail(who => 'hal'), 2, 'one entry for each image');
};


subtest 'a client that is gone' => sub {
    my $s = IO::Socket::INET->new("127.0.0.1:$n->{port}") or die;
    print $s "PUT /api/upload?as=ida HTTP/1.1\r\nHost: x\r\n"
           . "Content-Type: image/png\r\nContent-Length: 1000\r\n\r\n"
           . substr(png(1000), 0, 500);
    ok((wait_for { find_images({ userId => 'ida' }) } 60), 'it has begun');
    setsockopt $s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) or die;
    close $s;
    is(outcomes(trail(who => 'ida')), 'upload=aborted', 'aborted');
};


subtest 'PATCH and DELETE' => sub {
    my $id = put('alice', '-H', 'X-From: a');
    my $req = sub {
        my ($method, $as, @more) = @_;
        return curl('-X', $method, @more, $n->url("/api/$id?as=$as"))->{status};
    };
    my @json = ('-H', 'Content-Type: application/json', '-d');
    is($req->('PATCH', 'alice', @json, '{"sharedWith":["bob"]}'), 200, 'patch');
    is($req->('PATCH', 'bob', @json, '{"tags":["x"]}'), 403, 'by a reader');
    is($req->('PATCH', 'alice', @json, '{"tags":["x"]}', '-H', 'If-Match: "x"'),
       412, 'too late');
    is($req->('PATCH', 'alice', @json, '{"size":1}'), 400, 'malformed');
    is($req->('PATCH', 'carol', @json, '{}'), 404, 'by a stranger');
    is($req->('DELETE', 'bob'), 403, 'delete by a reader');
    is($req->('DELETE', 'alice'), 200, 'delete');
    is($req->('DELETE', 'alice'), 404, 'again');

    my @want = ('upload=ok', 'patch=ok', 'patch=forbidden',
                'patch=precondition_failed', 'delete=forbidden', 'delete=ok');
    ok((wait_for { trail(of($id)) == @want } 60), 'as many entries');
    is(join(' ', sort split / /, outcomes(trail(of($id)))),
       join(' ', sort @want), 'what was done, and what was tried');
    is($_->{owner}, 'alice', 'owner') for trail(of($id), who => 'bob');
};


subtest 'bulk' => sub {
    my ($one, $two) = (put('alice'), put('alice'));
    my $theirs = new_id();
    insert_images(image_doc(id => $theirs, owner => 'bob', public => 1));
    my $req = sub {
        my $body = JSON::PP::encode_json({ ids => [$one, $two, $one, $theirs],
                                           @_ });
        my $r = curl('-H', 'Content-Type: application/json', '-d', $body,
                     $n->url('/api/bulk?as=alice'));
        is($r->{status}, 200, 'bulk');
    };
    $req->(action => 'tag', tags => ['t']);
    $req->(action => 'sign');
    $req->(action => 'delete');
    ok((wait_for { trail(of($two)) == 3 } 60), 'three entries');
    for my $id ($one, $two) {
        is(join(' ', sort split / /, outcomes(trail(of($id)))),
           'bulk-delete=ok bulk-tag=ok upload=ok', 'each once; reads are none');
    }
    is(join(' ', sort split / /, outcomes(trail(of($theirs)))),
       'bulk-delete=forbidden bulk-tag=forbidden', 'what was refused');
};


subtest 'a delete whose client does not wait' => sub {
    my $id = put('jon');
    my $s = IO::Socket::INET->new("127.0.0.1:$n->{port}") or die;
    print $s "DELETE /api/$id?as=jon HTTP/1.1\r\nHost: x\r\n"
           . "Content-Length: 100\r\n\r\n";
    close $s;
    if (wait_for { find_image($id)->{status} eq 'error' } 3) {
        my ($e) = trail(of($id), action => 'delete');
        like($e->{outcome}, qr/\A(?:ok|unknown)\z/, 'is in the trail');
    } else {
        pass('was not begun');
    }
};


subtest 'off' => sub {
    my @id = map { new_id() } 1 .. 4;
    insert_images(map { image_doc(id => $_) } @id);
    my $del = sub {
        my ($id, $as) = @_;
        is(curl('-X', 'DELETE', '-H', "X-From: \x1b[1m\"x",
                $n->url("/off/$id?as=$as"))->{status}, 200, "deleted by $as");
    };
    $del->($id[0], 'alice');
    $del->($id[1], 'root&admin=1');
    $del->($id[2], 'alice&admin=1');

    my $log = $n->error_log;
    like($log, qr/\[notice\].*audit: delete by admin "root", image $id[1] of /,
         'an admin is logged');
    like($log, qr/from "\?\[1m\?x": ok/, 'without the bytes of a stranger');
    unlike($log, qr/audit: .*(?:$id[0]|$id[2])/, 'owners are not');

    # behind them in the queue, if there were any
    trail(of(put('alice')));
    is(() = @{ ask('find', db => $db, collection => 'image_vault_audit',
                   filter => { image => { '$in' => [map { { '$oid' => $_ } }
                                                    @id] } }) }, 0,
       'nothing is in the trail');
    unlike($n->error_log =~ s/^.*$id[1].*$//mr, qr/audit: /,
           'and nothing else in the log');
};


subtest 'expiry' => sub {
    my $m = ImageVault::Nginx->new(
        name   => 'sweep',
        http   => ImageVault::Nginx::http_base(
                      sweep => 'interval=200ms stale=60s')
                  . ImageVault::Nginx::storage_s3(),
        server => 'location /api { image_vault_api s3; image_vault_audit on; }',
    )->start;
    my $id = new_id();
    insert_images(image_doc(id => $id, expires => mongo_now(-60)));
    ok((wait_for { trail(of($id)) } 60), 'the sweep tells');
    my ($e) = trail(of($id));
    is($e->{action}, 'expire', 'action');
    is($e->{owner}, 'alice', 'owner');
    is($e->{who}, undef, 'nobody did it');
    $m->done;
};


subtest 'the directive' => sub {
    my $try = sub {
        my ($what) = @_;
        local $n->{server} = "location /x { image_vault_api s3; $what }";
        $n->write_conf;
        my (undef, $out) = $n->command('-t');
        return $out;
    };
    like($try->('image_vault_audit yes;'),
         qr/invalid value "yes" in "image_vault_audit", "on" or "off" is/,
         'a wrong value');
    like($try->('image_vault_audit on; image_vault_audit off;'),
         qr/"image_vault_audit" directive is duplicate/, 'twice');
    like($try->('image_vault_audit env:IV_NO_SUCH:-on;'), qr/successful/,
         'from the environment');
};

$n->done;
done_testing();
