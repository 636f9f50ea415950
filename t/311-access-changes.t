# Who may do what to an image in which state: every cell of the order of checks
# for requests that change something or ask for a URL, and for lists, usage and
# admin/.  Each cell that may change a document has one of its own, and all are
# compared in the end: what was refused has changed nothing.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use JSON::PP ();
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
    # a name that none may have
    odd       => 'image_vault_owner "a b"; image_vault_admin 1;',
);
my @viewers = sort keys %viewers;

my $n = ImageVault::Nginx->new(
    name   => 'changes',
    http   => ImageVault::Nginx::http_base() . ImageVault::Nginx::storage_s3()
              . "image_vault_cors https://app.example;\n"
              # answers that are compared must not differ by its end
              . "keepalive_requests 100000;\n",
    server => join('', map {
        "location /$_ { image_vault_api s3; $viewers{$_} }\n" } @viewers)
        # so that there are users
        . "location /quota { image_vault_upload s3; image_vault_quota 1g; }\n",
)->start;

my $json = JSON::PP->new->canonical;
my $kept = ImageVault::Kept->new($n->{port});
my $absent = 'f' x 24;

my @json = ('Content-Type: application/json');
my %sites = (
    'another origin'  => ['Origin: https://evil.example'],
    'null'            => ['Origin: null'],
    'cross-site'      => ['Sec-Fetch-Site: cross-site'],
    'both'            => ['Origin: https://evil.example',
                          'Sec-Fetch-Site: cross-site'],
);

# one of them after the other, where each of many cells is asked
my $turn = 0;
sub a_site { return (sort keys %sites)[$turn++ % keys %sites] }

my %status = (
    unauthenticated => 401, forbidden => 403, not_found => 404,
    method_not_allowed => 405, not_ready => 409, gone => 410,
    precondition_failed => 412, unsupported_type => 415, blocked => 451,
    malformed_json => 400, bad_parameter => 400,
);

my $past = mongo_now(-3600);
my $blocked = { at => $past, reason => 'abuse' };

my %states = (
    'ready'              => {},
    'ends later'         => { expires => mongo_now(3600) },
    'uploading'          => { status => 'uploading' },
    'error'              => { status => 'error' },
    'deleted'            => { status => 'error', deletedAt => $past },
    'deletedAt only'     => { deletedAt => $past },
    'blocked'            => { blocked => $blocked },
    'expired'            => { expires => $past },
    'blocked, expired'   => { blocked => $blocked, expires => $past },
    'blocked, error'     => { blocked => $blocked, status => 'error' },
    'blocked, uploading' => { blocked => $blocked, status => 'uploading' },
    'expired, uploading' => { expires => $past, status => 'uploading' },
    'expired, deleted'   => { expires => $past, status => 'error',
                              deletedAt => $past },
);

# every state, private and public
my @kinds = map { [$_, 0], [$_, 1] } sort keys %states;


# The order of checks, as the interface promises it: the code of a refusal, or
# undef.  what: change (only who owns it), delete, prolongs (a PATCH of
# expiresAt)
sub judge {
    my ($viewer, $state, $public, %what) = @_;

    my $s = $states{$state};
    my $status = $s->{status} // 'ready';
    my $admin = $viewer eq 'admin';
    my $owns = $admin || $viewer eq 'owner';

    return 'unauthenticated' if $viewer =~ /\A(?:anonymous|nameless|odd)\z/;
    return 'not_found' if !$public && $viewer eq 'stranger';
    return 'not_found' if $status eq 'error' || $s->{deletedAt};

    if (!($what{delete} && $owns)) {
        return 'blocked' if $s->{blocked} && !$admin;
        return 'gone' if $s->{expires} && $s->{expires} eq $past
                         && !$what{prolongs};
        return 'not_ready' if $status eq 'uploading';
    }

    return 'forbidden' if $what{change} && !$owns;
    return;
}


# what a request does to a document that it may change
my $end = '2099-01-02T03:04:05Z';
my %acts = (
    tags    => sub { $_[0]{metadata}{tags} = ['new'] },
    prolong => sub { $_[0]{access}{expiresAt} = { '$date' => $end } },
    endless => sub { delete $_[0]{access}{expiresAt} },
    delete  => sub { $_[0]{status} = 'error'; $_[0]{deletedAt} = 'now' },
    tag     => sub { push @{ $_[0]{metadata}{tags} }, 'new' },
    untag   => sub { $_[0]{metadata}{tags} = [] },
    share   => sub { push @{ $_[0]{access}{sharedWith} }, 'dave' },
    unshare => sub { $_[0]{access}{sharedWith} = [] },
    publish => sub { $_[0]{access}{isPublic} = JSON::PP::true },
    unpublish => sub { $_[0]{access}{isPublic} = JSON::PP::false },
    block   => sub { $_[0]{blocked} = { at => 'now', reason => 'rude' } },
);

# one image: method, path, headers and body; what it is to judge(); what comes
# after all other checks; what it does
my %ways = (
    'PATCH'          => { method => 'PATCH', what => { change => 1 },
                          body => { tags => ['new'] }, act => 'tags' },
    'PATCH expiresAt' => { method => 'PATCH', act => 'prolong',
                          what => { change => 1, prolongs => 1 },
                          body => { expiresAt => $end } },
    'PATCH no end'   => { method => 'PATCH', act => 'endless',
                          what => { change => 1, prolongs => 1 },
                          body => { expiresAt => undef } },
    'PATCH nothing'  => { method => 'PATCH', what => { change => 1 },
                          body => {} },
    'PATCH, If-Match' => { method => 'PATCH', what => { change => 1 },
                          headers => ['If-Match: "0-0"'],
                          body => { tags => ['new'] },
                          then => 'precondition_failed' },
    'PATCH, a bad member' => { method => 'PATCH', what => { change => 1 },
                          body => { size => 1 }, then => 'bad_parameter' },
    'PATCH, a bad member, If-Match' => { method => 'PATCH',
                          what => { change => 1 },
                          headers => ['If-Match: "0-0"'],
                          body => { tags => 1 }, then => 'bad_parameter' },
    # only a body that can be read tells that it is about expiresAt
    'PATCH, bad JSON' => { method => 'PATCH', what => { change => 1 },
                          body => \'{"expiresAt":', then => 'malformed_json' },
    'PATCH, bad JSON, If-Match' => { method => 'PATCH',
                          what => { change => 1 },
                          headers => ['If-Match: "0-0"'], body => \'[]',
                          then => 'malformed_json' },
    'DELETE'         => { method => 'DELETE', act => 'delete',
                          what => { change => 1, delete => 1 } },
    'DELETE, If-Match' => { method => 'DELETE', headers => ['If-Match: "0-0"'],
                          what => { change => 1, delete => 1 },
                          then => 'precondition_failed' },
    'POST delete'    => { method => 'POST', path => '/delete', act => 'delete',
                          # no type is asked for
                          headers => ['Content-Type: text/plain'],
                          what => { change => 1, delete => 1 } },
    'presigned-url'  => { method => 'POST', ask => 'presigned-url',
                          body => { imageId => '%s' }, url => 1 },
    'presigned-url, a bad member' => { method => 'POST',
                          ask => 'presigned-url', then => 'bad_parameter',
                          body => { imageId => '%s', expiresIn => 'x' } },
);

my @bulk = qw(delete tag untag share unshare publish unpublish sign);


my (%id, %meant, @docs);

sub add_doc {
    my ($state, $public) = @_;

    my $id = new_id();
    push @docs, image_doc(
        id => $id, public => $public, shared => ['bob'],
        metadata => { uploadedAt => $past, uploadedFrom => '::1',
                      tags => ['old'] },
        %{ $states{$state} });

    return $id;
}

for my $kind (@kinds) {
    my ($state, $public) = @$kind;

    # one for all that nobody can change by it
    my $shared = add_doc(@$kind);

    $id{complete}{$state}[$public] = $shared;
    $id{moderate}{$state}[$public] = add_doc(@$kind);

    for my $viewer (@viewers) {
        for my $way (keys %ways) {
            $id{"$way $viewer"}{$state}[$public]
                = $ways{$way}{act} ? add_doc(@$kind) : $shared;
        }
        for my $action (@bulk) {
            $id{"bulk $action $viewer"}{$state}[$public]
                = $action ne 'sign' ? add_doc(@$kind) : $shared;
        }
    }
}
insert_images(@docs);

sub stored { return map { $_->{_id}{'$oid'} => $_ } find_images() }

my %before = stored();


sub bare { return ImageVault::Kept::bare(@_) }

# one request by a viewer; body: a hash, a reference to text, or undef
sub to {
    my ($viewer, $method, $path, $body, @headers) = @_;

    my @body;
    if (defined $body) {
        push @headers, @json if !grep { /^Content-Type/ } @headers;
        @body = (ref $body eq 'HASH' ? \$json->encode($body) : $body);
    }
    return $kept->ask($method, "/$viewer/$path", @headers, @body);
}

sub way_to {
    my ($way, $viewer, $id, @more) = @_;

    my $w = $ways{$way};
    my $body = $w->{body};
    if (ref $body eq 'HASH' && $body->{imageId}) {
        $body = { %$body, imageId => $id };
    }
    return to($viewer, $w->{method}, $w->{ask} // $id . ($w->{path} // ''),
              $body, @more ? @more : @{ $w->{headers} // [] });
}

# the answer is a refusal with this code, or 200
sub judged {
    my ($r, $code, $what) = @_;

    my $want = $code ? $status{$code} : 200;
    if ($r->{status} != $want
        || $code && $r->{body} !~ /"code":"$code"/
        || ($code // '') eq 'blocked' && $r->{body} !~ /"abuse"/
        || ($code // '') eq 'not_ready'
           && $r->{head} !~ /^Retry-After: [1-9]/m
        || $r->{head} !~ /^Cache-Control: no-store\r$/m
        || $r->{head} !~ /^X-Content-Type-Options: nosniff\r$/m
        || $r->{head} !~ /^Vary: Accept, Origin\r$/m)
    {
        fail("$what: $want " . ($code // ''));
        diag($r->{head}, $r->{body});
        return;
    }
    pass("$what: $want " . ($code // ''));
}


for my $viewer (@viewers) {
    subtest "$viewer: one image" => sub {
        for my $way (sort keys %ways) {
            my $none = way_to($way, $viewer, $absent);
            judged($none, judge($viewer, 'error', 0), "$way: absent");

            for my $kind (@kinds) {
                one_image($viewer, $way, @$kind, bare($none));
            }
        }
    };
}


sub one_image {
    my ($viewer, $way, $state, $public, $none) = @_;

    my $w = $ways{$way};
    my $id = $id{"$way $viewer"}{$state}[$public];
    my $what = "$way, $state" . ($public ? ', public' : '');

    # who asks, from where, with which type, goes before what the image is
    for my $site (a_site()) {
        my $r = way_to($way, $viewer, $id, @{ $sites{$site} },
                       'Content-Type: text/plain');
        judged($r, $viewer =~ /\A(?:anonymous|nameless|odd)\z/
                   ? 'unauthenticated' : 'forbidden', "$what, $site");
    }
    if ($w->{body}) {
        my $r = way_to($way, $viewer, $id, 'Content-Type: text/plain');
        judged($r, judge($viewer, 'error', 0) eq 'unauthenticated'
                   ? 'unauthenticated' : 'unsupported_type', "$what, type");
    }

    my $code = judge($viewer, $state, $public, %{ $w->{what} // {} });
    if ($w->{then}) {
        $code //= $w->{then};
    }
    if (($code // '') eq 'gone' && ($w->{then} // '') eq 'malformed_json') {
        $code = 'malformed_json';
    }

    my $r = way_to($way, $viewer, $id);
    judged($r, $code, $what);

    if (($code // '') =~ /\A(?:not_found|unauthenticated)\z/) {
        is(bare($r), $none, "$what: as if absent");
    }
    if ($w->{url} || $code) {
        is($r->{body} =~ /X-Amz-Signature=/ ? 1 : 0, $code ? 0 : 1,
           "$what: a URL or none");
    }
    if (!$code && $w->{act}) {
        $meant{$id} = $w->{act};
    }
}


sub bulk_body {
    my ($action, @ids) = @_;
    return { action => $action, ids => \@ids,
             ($action =~ /tag/ ? (tags => [$action eq 'tag' ? 'new' : 'old'])
                               : ()),
             ($action =~ /share/
              ? (users => [$action eq 'share' ? 'dave' : 'bob']) : ()) };
}

for my $viewer (@viewers) {
    subtest "$viewer: bulk" => sub {
        for my $action (@bulk) {
            many_images($viewer, $action);
        }
    };
}


sub many_images {
    my ($viewer, $action) = @_;

    my %what = (change => $action ne 'sign', delete => $action eq 'delete');
    my @ids = map { $id{"bulk $action $viewer"}{ $_->[0] }[$_->[1]] } @kinds;
    my $body = bulk_body($action, @ids, $absent, 'no id');
    my $nobody = judge($viewer, 'ready', 1) // '';

    for my $site (sort keys %sites) {
        judged(to($viewer, 'POST', 'bulk', $body, @{ $sites{$site} }),
               $nobody || 'forbidden', "$action, $site");
    }
    judged(to($viewer, 'POST', 'bulk', $body, 'Content-Type: text/plain'),
           $nobody || 'unsupported_type', "$action, type");
    judged(to($viewer, 'POST', 'bulk', \'{'),
           $nobody || 'malformed_json', "$action, bad JSON");

    my $r = to($viewer, 'POST', 'bulk', $body);
    judged($r, $nobody || undef, $action);
    return if $nobody;

    my @results = @{ json($r->{body})->{results} };
    for my $kind (@kinds) {
        my ($state, $public) = @$kind;
        my $id = shift @ids;
        my $got = shift @results;
        my $code = judge($viewer, $state, $public, %what);

        is($got->{id}, $id, "$action, @$kind: its id");
        is($got->{code} // '', $code // '', "$action, @$kind: its code");
        is($got->{success} ? 1 : 0, $code ? 0 : 1, 'success');
        is($got->{url} ? 1 : 0, $action eq 'sign' && !$code ? 1 : 0, 'URL');
        if (!$code && $action ne 'sign') {
            $meant{$id} = $action;
        }
    }
    is_deeply([map { $_->{code} } @results], ['not_found', 'not_found'],
              "$action: absent, no id");
}


# a ticket's own doings have a test of their own (460)
for my $viewer (@viewers) {
    subtest "$viewer: complete" => sub {
        my $nobody = judge($viewer, 'ready', 1) // '';
        my $none = to($viewer, 'POST', "$absent/complete");
        judged($none, $nobody || 'not_found', 'absent');

        for my $kind (@kinds) {
            my ($state, $public) = @$kind;
            my $path = "$id{complete}{$state}[$public]/complete";

            for my $site (a_site()) {
                judged(to($viewer, 'POST', $path, undef, @{ $sites{$site} }),
                       $nobody || 'forbidden', "@$kind, $site");
            }

            # that it is not there yet is what it is for
            my $code = judge($viewer, $state, $public, change => 1);
            if (($code // '') eq 'not_ready' && $viewer =~ /sha|str/) {
                $code = 'forbidden';
            }
            my $r = to($viewer, 'POST', $path, undef,
                       'Content-Type: text/plain');
            judged($r, $code, "@$kind");
            if (($code // '') eq 'not_found') {
                is(bare($r), bare($none), "@$kind: as if absent");
            }
        }
    };
}


# admins see all; a block holds also for what has expired, as its owner may
# prolong it
for my $viewer ((grep { $_ ne 'admin' } @viewers), 'admin') {
    subtest "$viewer: moderate" => sub {
        my $refused = $viewer eq 'admin' ? undef
                    : judge($viewer, 'ready', 1) // 'forbidden';
        my $body = { action => 'block', reason => 'rude' };
        my $none = to($viewer, 'POST', "admin/images/$absent/moderate", $body);
        judged($none, $refused // 'not_found', 'absent');

        for my $kind (@kinds) {
            my ($state, $public) = @$kind;
            my $id = $id{moderate}{$state}[$public];
            my $path = "admin/images/$id/moderate";

            for my $site (a_site()) {
                judged(to($viewer, 'POST', $path, $body, @{ $sites{$site} }),
                       ($refused // '') eq 'unauthenticated' ? $refused
                                                             : 'forbidden',
                       "@$kind, $site");
            }
            judged(to($viewer, 'POST', $path, $body,
                      'Content-Type: text/plain'),
                   $refused // 'unsupported_type', "@$kind, type");

            my $code = $refused // judge($viewer, $state, $public);
            if (($code // '') eq 'gone') {
                $code = $state =~ /uploading/ ? 'not_ready' : undef;
            }
            judged(to($viewer, 'POST', $path, \'{'),
                   $code // 'malformed_json', "@$kind, bad JSON");
            my $r = to($viewer, 'POST', $path, $body);
            judged($r, $code, "@$kind");
            if ($refused || ($code // '') eq 'not_found') {
                is(bare($r), bare($none), "@$kind: as if absent");
            }
            $meant{$id} = 'block' if !$code;
        }
    };
}


# method, path, body; who gets it: all with a name, or admins
my @others = (
    ['GET', 'user'], ['GET', 'user?cursor='], ['GET', 'usage'],
    ['GET', 'user?userId=%s', undef, 'self'],
    ['GET', 'usage?userId=%s', undef, 'self'],
    ['GET', 'user?userId=eve', undef, 'admin'],
    ['GET', 'usage?userId=eve', undef, 'admin'],
    ['GET', 'admin/stats', undef, 'admin'],
    ['GET', 'admin/images', undef, 'admin'],
    ['GET', 'admin/images?userId=eve', undef, 'admin'],
    ['GET', 'admin/users', undef, 'admin'],
    ['GET', 'admin/users/alice', undef, 'admin'],
    ['PATCH', 'admin/users/alice', { storageQuota => { limit => 1e9 } },
     'admin'],
);
ask('insert', db => $ImageVault::Peers::Database, collection => 'users',
    documents => [{ _id => 'alice' }]);

for my $viewer (@viewers) {
    subtest "$viewer: lists, usage, admin" => sub {
        my ($self) = $viewers{$viewer} =~ /owner (\w+)/;
        for my $row (@others) {
            my ($method, $path, $body, $who) = @$row;
            $path = sprintf $path, $self // 'alice';
            my $what = "$method $path";
            my $nobody = judge($viewer, 'ready', 1);
            my $code = $nobody
                    // (($who // '') eq 'admin' && $viewer ne 'admin'
                        ? 'forbidden' : undef);

            judged(to($viewer, $method, $path, $body), $code, $what);

            # reading is no change, wherever it comes from
            for my $site (sort keys %sites) {
                judged(to($viewer, $method, $path, $body, @{ $sites{$site} }),
                       $method eq 'GET' ? $code : $nobody // 'forbidden',
                       "$what, $site");
            }

            if ($method eq 'GET') {
                is(to($viewer, 'HEAD', $path)->{status},
                   $code ? $status{$code} : 200, "HEAD $path");
            } else {
                judged(to($viewer, $method, $path, $body, 'Content-Type: a/b'),
                       $code // 'unsupported_type', "$what, type");
                judged(to($viewer, $method, $path, \'{'),
                       $code // 'malformed_json', "$what, bad JSON");
            }
        }
    };
}


subtest 'whose URL, and whose tickets' => sub {
    my $id = $id{complete}{ready}[0];
    my $ask = sub {
        my ($viewer, %more) = @_;
        return to($viewer, 'POST', 'presigned-url', { imageId => $id, %more });
    };
    judged($ask->('owner', userId => 'alice'), undef, 'of oneself');
    judged($ask->('owner', userId => 'bob'), 'forbidden', 'of another');
    judged($ask->('shared', userId => 'alice'), 'forbidden', 'of the owner');
    judged($ask->('admin', userId => $_), undef, "by an admin for $_")
        for qw(alice bob root);
    my $r = $ask->('admin', userId => 'carol');
    judged($r, 'not_found', 'for who may not read it');
    is(bare($r), bare($ask->('admin', userId => 'carol', imageId => $absent)),
       'as if absent');

    for my $viewer (@viewers) {
        my $nobody = judge($viewer, 'ready', 1);
        my $body = { originalName => 'a.png', contentType => 'image/png',
                     size => 100 };
        for my $site (sort keys %sites) {
            judged(to($viewer, 'POST', 'direct-upload', $body,
                      @{ $sites{$site} }), $nobody // 'forbidden',
                   "$viewer, direct-upload, $site");
        }
        judged(to($viewer, 'POST', 'direct-upload', $body,
                  'Content-Type: image/png'), $nobody // 'unsupported_type',
               "$viewer, direct-upload, type");
        judged(to($viewer, 'POST', 'direct-upload', \'{'),
               $nobody // 'malformed_json', "$viewer, direct-upload, bad JSON");
        judged(to($viewer, 'POST', 'direct-upload', { %$body, size => 0 }),
               $nobody // 'bad_parameter', "$viewer, direct-upload, no size");
    }
};


subtest 'a listed origin is as good as one\'s own' => sub {
    my $id = $id{complete}{ready}[0];
    for my $origin ('https://app.example', 'http://vault') {
        my @from = ("Origin: $origin", 'Sec-Fetch-Site: cross-site');
        judged(to('owner', 'PATCH', $id, {}, @from), undef, "PATCH, $origin");
        judged(to('stranger', 'PATCH', $id, {}, @from), 'not_found',
               "PATCH of another's, $origin");
        judged(to('owner', $_, "$absent", undef, @from), 'not_found',
               "$_, $origin") for 'DELETE';
        judged(to('owner', 'POST', "$absent/$_", undef, @from), 'not_found',
               "POST $_, $origin") for qw(delete complete);
        judged(to('owner', 'POST', 'bulk', bulk_body('sign', $id), @from),
               undef, "bulk, $origin");
        judged(to('owner', 'POST', 'presigned-url', { imageId => $id }, @from),
               undef, "presigned-url, $origin");
        judged(to('admin', 'PATCH', 'admin/users/alice', {}, @from), undef,
               "a user, $origin");
        judged(to('owner', 'POST', 'upload', \'x', @from,
                  'Content-Type: text/plain'), 'unsupported_type',
               "upload, $origin");
    }
};


# path => what it knows
my %methods = (
    'upload'             => 'POST, PUT',
    'user'               => 'GET, HEAD',
    'usage'              => 'GET, HEAD',
    'presigned-url'      => 'POST',
    'bulk'               => 'POST',
    'direct-upload'      => 'POST',
    "$absent"            => 'GET, HEAD, PATCH, DELETE',
    "$absent/view"       => 'GET, HEAD',
    "$absent/download"   => 'GET, HEAD',
    "$absent/delete"     => 'POST',
    "$absent/complete"   => 'POST',
    'admin/stats'        => 'GET, HEAD',
    'admin/images'       => 'GET, HEAD',
    'admin/users'        => 'GET, HEAD',
    'admin/users/alice'  => 'GET, HEAD, PATCH',
    "admin/images/$absent/moderate" => 'POST',
);
my @methods = qw(GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND WHATEVER);

for my $viewer (@viewers) {
    subtest "$viewer: methods and paths" => sub {
        my $nobody = judge($viewer, 'ready', 1);

        for my $path (sort keys %methods) {
            for my $method (@methods) {
                next if $methods{$path} =~ /\b$method\b/;
                my $r = to($viewer, $method, $path);
                is($r->{status}, $nobody ? 401 : 405, "$method $path");
                like($r->{head}, qr/^Allow: $methods{$path}\r$/m, 'Allow')
                    if !$nobody;
                next if $method =~ /GET|HEAD/;
                judged(to($viewer, $method, $path, undef, @{ $sites{$_} }),
                       $nobody // 'forbidden', "$method $path, $_")
                    for a_site();
            }
        }

        for my $path ('', 'a/b/c', 'upload/', 'user/x', 'admin/',
                      'admin/none', "$absent/", "$absent/none",
                      "$absent/view/x", 'admin/images/x', 'bulk/')
        {
            for my $method (@methods) {
                is(to($viewer, $method, $path)->{status}, $nobody ? 401 : 404,
                   "$method '$path'");
                next if $method =~ /GET|HEAD/;
                judged(to($viewer, $method, $path, undef, @{ $sites{$_} }),
                       $nobody // 'forbidden', "$method '$path', $_")
                    for a_site();
            }
        }
    };
}


subtest 'a name that none may have reads nothing' => sub {
    for my $path ($id{complete}{ready}[1], "$id{complete}{ready}[1]/view",
                  "$id{complete}{ready}[1]/download", $absent, 'no-id')
    {
        judged(to('odd', 'GET', $path), 'unauthenticated', "GET $path");
    }
};


# the body is announced and never sent
subtest 'what is refused without the body' => sub {
    my $own = $id{complete}{ready}[0];
    my $public = $id{complete}{ready}[1];
    my $uploading = $id{complete}{uploading}[0];
    my @evil = ('Origin: https://evil.example');

    for my $case (
        ['anonymous', 'PATCH', $public, 401, @json],
        ['anonymous', 'POST', 'bulk', 401, @json],
        ['anonymous', 'POST', 'presigned-url', 401, @json],
        ['anonymous', 'POST', 'direct-upload', 401, @json],
        ['anonymous', 'POST', 'upload', 401, 'Content-Type: image/png'],
        ['owner', 'PATCH', $own, 403, @json, @evil],
        ['owner', 'POST', 'bulk', 403, @json, @evil],
        ['owner', 'POST', 'presigned-url', 403, @json, @evil],
        ['owner', 'POST', 'direct-upload', 403, @json, @evil],
        ['owner', 'POST', 'upload', 403, 'Content-Type: image/png', @evil],
        ['owner', 'PATCH', $own, 415],
        ['owner', 'POST', 'bulk', 415, 'Content-Type: text/plain'],
        ['owner', 'PATCH', $uploading, 409, @json],
        ['stranger', 'PATCH', $own, 404, @json],
        ['stranger', 'PATCH', $public, 403, @json],
        ['owner', 'PATCH', 'admin/users/alice', 403, @json],
        ['owner', 'POST', "admin/images/$own/moderate", 403, @json],
        ['admin', 'POST', "admin/images/$absent/moderate", 404, @json],
    ) {
        my ($viewer, $method, $path, $want, @headers) = @$case;
        my $r = ImageVault::Kept->new($n->{port})->ask(
            $method, "/$viewer/$path", @headers, 'Content-Length: 1000',
            'Expect: 100-continue');
        is($r->{status}, $want, "$viewer, $method $path: $want, no 100");
    }
};


subtest 'only what was allowed has changed anything' => sub {
    my %after = stored();
    is(scalar keys %after, scalar keys %before, 'no document more or less');

    my (%wrong, $wrong);
    $wrong = 0;
    for my $id (sort keys %before) {
        my $doc = $before{$id};
        my $now = $after{$id};
        my $touched = $now->{updatedAt}{'$date'} ne $doc->{updatedAt}{'$date'};

        if (my $act = $meant{$id}) {
            my $was = $json->encode($doc);
            $acts{$act}->($doc);
            $wrong{"$act left updatedAt"}++
                if $was ne $json->encode($doc) && !$touched;
            $doc->{updatedAt} = $now->{updatedAt};
            # the time of the change is the server's
            $doc->{deletedAt} = $now->{deletedAt}
                if $now->{deletedAt} && ($doc->{deletedAt} // '') eq 'now';
            $doc->{blocked}{at} = $now->{blocked}{at}
                if $now->{blocked} && ($doc->{blocked}{at} // '') eq 'now';
            # and the object goes in the background
            for my $k ($act eq 'delete' ? qw(error objectDeletedAt) : ()) {
                $doc->{$k} = $now->{$k} if $now->{$k};
            }
        }
        my ($is, $want) = map { $json->encode($_) } $now, $doc;
        if ($is ne $want) {
            $wrong{$meant{$id} // 'refused'}++;
            diag("$id: $is\n  wanted $want") if $wrong < 3;
            $wrong++;
        }
    }
    is_deeply(\%wrong, {}, 'each is as it should be');
    cmp_ok(scalar keys %meant, '>', 200, 'some were changed');
};

$n->done;
done_testing();
