# Who sees what of an image in which state: every cell of the order of checks,
# by each way to ask.  And that those who may not read can't tell any of them
# from an image that does not exist.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;
use ImageVault::Kept;

my %viewers = (
    anonymous => '',
    owner     => 'image_vault_owner alice;',
    shared    => 'image_vault_owner bob;',
    stranger  => 'image_vault_owner carol;',
    admin     => 'image_vault_owner root; image_vault_admin 1;',
    # the right to all without a name of one's own
    nameless  => 'image_vault_admin yes;',
);

my $n = ImageVault::Nginx->new(
    name   => 'access',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
              # answers that are compared must not differ by its end
              . "keepalive_requests 100000;\n",
    server => join('', map {
        "location /$_ { image_vault_api s3; $viewers{$_} }\n"
      . "location /r-$_/ { image_vault_redirect; $viewers{$_} }\n"
    } sort keys %viewers),
)->start;

my $past = mongo_now(-3600);
my $blocked = { at => $past, reason => 'abuse' };

# what is stored, and what those are told who may read: status or undef (whole)
my %states = (
    'ready'             => [{}, undef],
    'ends later'        => [{ expires => mongo_now(3600) }, undef],
    'uploading'         => [{ status => 'uploading' }, 409],
    'error'             => [{ status => 'error' }, 404],
    'deleted'           => [{ status => 'error', deletedAt => $past }, 404],
    'deletedAt only'    => [{ deletedAt => $past }, 404],
    'blocked'           => [{ blocked => $blocked }, 451],
    'expired'           => [{ expires => $past }, 410],
    'blocked, expired'  => [{ blocked => $blocked, expires => $past }, 451],
    'blocked, error'    => [{ blocked => $blocked, status => 'error' }, 404],
    'blocked, uploading' => [{ blocked => $blocked, status => 'uploading' },
                             451],
    'expired, uploading' => [{ expires => $past, status => 'uploading' }, 410],
    'expired, deleted'  => [{ expires => $past, status => 'error',
                              deletedAt => $past }, 404],
);

# what an admin is told in spite of a block
my %unblocked = ('blocked' => undef, 'blocked, expired' => 410,
                 'blocked, uploading' => 409);

my %ways = (
    json          => ['GET', '/%s/%s', 200],
    'HEAD json'   => ['HEAD', '/%s/%s', 200],
    view          => ['GET', '/%s/%s/view', 302],
    'HEAD view'   => ['HEAD', '/%s/%s/view', 302],
    download      => ['GET', '/%s/%s/download', 302],
    'HEAD download' => ['HEAD', '/%s/%s/download', 302],
    redirect      => ['GET', '/r-%s/%s', 302],
    'HEAD redirect' => ['HEAD', '/r-%s/%s', 302],
    'Accept'      => ['GET', '/%s/%s', 302, 'Accept: image/png'],
);

my (%id, @docs);
for my $state (sort keys %states) {
    for my $public (0, 1) {
        my $id = $id{$state}[$public] = new_id();
        push @docs, image_doc(id => $id, public => $public, shared => ['bob'],
                              %{ $states{$state}[0] });
    }
}
insert_images(@docs);


my $kept = ImageVault::Kept->new($n->{port});

sub ask_for { return $kept->ask(@_) }

sub bare { return ImageVault::Kept::bare(@_) }


sub may_read {
    my ($viewer, $public) = @_;
    return $public || $viewer !~ /\A(?:anonymous|stranger)\z/;
}


my %absent;
my $absent_id = 'f' x 24;

for my $viewer (sort keys %viewers) {
    for my $way (sort keys %ways) {
        my ($method, $path, undef, @headers) = @{ $ways{$way} };
        my $r = ask_for($method, sprintf($path, $viewer, $absent_id), @headers);
        is($r->{status}, 404, "$viewer, $way: absent");
        $absent{$viewer}{$way} = bare($r);
    }
}

for my $viewer (sort keys %viewers) {
    my $admin = $viewer =~ /\A(?:admin|nameless)\z/;

    subtest $viewer => sub {
        for my $state (sort keys %states) {
            for my $public (0, 1) {
                my $want = $states{$state}[1];
                if ($admin && exists $unblocked{$state}) {
                    $want = $unblocked{$state};
                }
                $want = 404 if !may_read($viewer, $public);

                for my $way (sort keys %ways) {
                    check($viewer, $state, $public, $way, $want);
                }
            }
        }
    };
}


sub check {
    my ($viewer, $state, $public, $way, $want) = @_;

    my ($method, $path, $success, @headers) = @{ $ways{$way} };
    my $r = ask_for($method, sprintf($path, $viewer, $id{$state}[$public]),
                    @headers);
    my $what = "$way, $state" . ($public ? ', public' : '');

    is($r->{status}, $want // $success, $what) or diag($r->{head}, $r->{body});

    if (($want // 0) == 404) {
        is(bare($r), $absent{$viewer}{$way}, "$what: as if absent");

    } elsif (($want // 0) == 409) {
        like($r->{head}, qr/^Retry-After: [1-9]/m, "$what: when to try again");

    } elsif (($want // 0) == 451 && $method eq 'GET') {
        like($r->{body}, qr/"code":"blocked".*abuse/, "$what: why");
    }

    if (($want // $success) == 302) {
        like($r->{head}, qr/^Location: .*X-Amz-Signature=/m, "$what: URL");
        like($r->{head}, $public ? qr/^Cache-Control: public, max-age=\d/m
                                 : qr/^Cache-Control: private, max-age=\d/m,
             "$what: caches");
    } else {
        unlike($r->{head} . $r->{body},
               $success == 302 || $want ? qr/X-Amz-Signature/ : qr/\A\z/,
               "$what: no URL");
        like($r->{head}, qr/^Cache-Control: no-store\r$/m, "$what: not cached");
    }

    like($r->{head}, qr/^X-Content-Type-Options: nosniff\r$/m, "$what: type");
    like($r->{head}, qr/^Referrer-Policy: no-referrer\r$/m, "$what: referrer");
    like($r->{head}, qr/^Vary: Accept, Origin\r$/m, "$what: varies");
}


subtest 'other methods: who asks, and from where, comes first' => sub {
    my $id = $id{ready}[0];
    my %allowed = ("/%s/$id"        => 'GET, HEAD, PATCH, DELETE',
                   "/%s/$absent_id" => 'GET, HEAD, PATCH, DELETE',
                   "/%s/$id/view"   => 'GET, HEAD',
                   "/r-%s/$id"      => 'GET, HEAD');

    for my $path (sort keys %allowed) {
        for my $method (grep { $allowed{$path} !~ /\b$_\b/ }
                        qw(POST PUT DELETE PATCH OPTIONS))
        {
            my $at = sub { sprintf $path, $_[0] };
            my @none = ('Content-Length: 0');
            is(ask_for($method, $at->('anonymous'), @none)->{status}, 401,
               "$method $path: anonymous");
            is(ask_for($method, $at->('owner'), @none, 'Origin: http://evil')
               ->{status}, 403, "$method $path: from another site");
            my $r = ask_for($method, $at->('owner'), @none,
                            'Origin: http://vault');
            is($r->{status}, 405, "$method $path: not known");
            like($r->{head}, qr/^Allow: $allowed{$path}\r$/m, 'but others');
        }
    }
    is(ask_for('POST', '/anonymous/nothing/at/all', 'Content-Length: 0')
       ->{status}, 401, 'an unknown path, anonymous');
    is(ask_for('POST', '/owner/nothing/at/all', 'Content-Length: 0')
       ->{status}, 404, 'an unknown path');
};


subtest 'what is no id' => sub {
    for my $bad ('0', 'g' x 24, '0' x 23, '0' x 25, '%00' x 3, 'a' x 1000,
                 '%61' x 23, substr($id{ready}[0], 0, 23) . '%20')
    {
        next if $bad =~ /%00/;
        my $r = ask_for('GET', "/owner/$bad");
        is($r->{status}, 404, "GET $bad");
        is(bare($r), $absent{owner}{json}, 'as if absent');
        is(ask_for('GET', "/r-owner/$bad")->{status}, 404, 'redirect');
    }
    is(ask_for('GET', "/r-owner/x/")->{status}, 404, 'an empty id');
    is(ask_for('GET', "/owner/\U$id{ready}[0]")->{status}, 200, 'upper case');
    (my $escaped = $id{ready}[0]) =~ s/(.)/sprintf '%%%02x', ord $1/e;
    is(ask_for('GET', "/owner/$escaped")->{status}, 200, 'escaped');
};


subtest 'cross-site rules' => sub {
    my $to = sub {
        my ($want, $what, @headers) = @_;
        my $r = ask_for('DELETE', "/owner/$absent_id", @headers);
        is($r->{status}, $want, $what) or diag($r->{head});
    };
    # the connection is not TLS: what it is to the client, a proxy may know
    $to->(404, 'no Origin');
    $to->(404, 'own', 'Origin: http://vault');
    $to->(404, 'own in capitals', 'Origin: HTTP://VAULT');
    $to->(404, 'own with its port', 'Origin: http://vault:80');
    $to->(404, 'own behind TLS', 'Origin: https://vault');
    $to->(404, 'own behind TLS with its port', 'Origin: https://vault:443');
    $to->(403, 'null', 'Origin: null');
    $to->(403, 'empty', 'Origin:');
    $to->(403, 'another', 'Origin: http://evil');
    $to->(403, 'a longer name', 'Origin: http://vault.evil');
    $to->(403, 'a shorter name', 'Origin: http://vaul');
    $to->(403, 'another port', 'Origin: http://vault:81');
    $to->(403, 'the other port', 'Origin: http://vault:443');
    $to->(403, 'a trailing dot', 'Origin: http://vault.');
    $to->(403, 'a path', 'Origin: http://vault/');
    $to->(403, 'a user', 'Origin: http://evil@vault');
    $to->(403, 'another scheme', 'Origin: ftp://vault');
    $to->(403, 'no scheme', 'Origin: vault');
    $to->(403, 'empty host', 'Origin: http://');
    $to->(403, 'own twice', 'Origin: http://vault', 'Origin: http://vault');
    $to->(403, 'two', 'Origin: http://vault', 'Origin: http://evil');
    $to->(403, 'a list', 'Origin: http://vault http://evil');
    $to->(403, 'by its word', 'Sec-Fetch-Site: cross-site');
    $to->(403, 'by its word in capitals', 'Sec-Fetch-Site: CROSS-SITE');
    $to->(403, 'two words', 'Sec-Fetch-Site: none',
          'Sec-Fetch-Site: cross-site');
    $to->(404, 'none', 'Sec-Fetch-Site: none');
    $to->(404, 'same-origin', 'Sec-Fetch-Site: same-origin');
    $to->(403, 'another that calls itself the same', 'Origin: http://evil',
          'Sec-Fetch-Site: same-origin');
    is(ask_for('GET', "/owner/$id{ready}[0]", 'Origin: http://evil',
               'Sec-Fetch-Site: cross-site')->{status}, 200,
       'reading changes nothing');
};


subtest 'one look-up for whom it is there and for whom it is not' => sub {
    my $log = $n->error_log;
    unlike($log, qr/X-Amz-Signature/, 'no signed URL in the error log');
    unlike($n->access_log, qr/X-Amz-Signature/, 'none in the access log');
};

$n->done;
done_testing();
