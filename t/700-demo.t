# The gallery of `make run`: examples/nginx.conf as it stands there, the page's
# files, and that each path the page asks for is one.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Cwd ();
use Test::More;
use ImageVault::Peers;
use ImageVault::Nginx;

{
    # examples/nginx.conf with a port, a database and folders of the test's own
    package Demo;

    use File::Path ();

    our @ISA = ('ImageVault::Nginx');

    sub put {
        my ($text, $from, $to) = @_;
        $$text =~ s/\Q$from\E/$to/g
            or die "examples/nginx.conf no longer says: $from\n";
    }

    sub write_conf {
        my ($self) = @_;

        my ($d, $root) = ($self->{dir}, Cwd::getcwd());
        File::Path::make_path(map { "$d/$_" } qw(logs run/tmp run/storage));
        symlink "$root/examples", "$d/examples" if !-e "$d/examples";

        my $text = ImageVault::Peers::slurp('examples/nginx.conf');
        my ($load) = ImageVault::Nginx::main_text() =~ /^(load_module .*?;)/;
        my $user = $> == 0 ? 'user root;' : '';

        put(\$text, 'load_module build/ngx_http_image_vault_module.so;',
            $user . ($load // ''));
        put(\$text, 'worker_processes auto;', 'worker_processes 1;');
        put(\$text, 'daemon off;', 'daemon on;');
        put(\$text, 'pid run/', 'pid logs/');
        put(\$text, 'error_log run/', 'error_log logs/');
        put(\$text, 'access_log run/', 'access_log logs/');
        put(\$text, 'listen 127.0.0.1:8080;',
            "listen 127.0.0.1:$self->{port};");
        put(\$text, 'database=image_vault;',
            "database=$ImageVault::Peers::Database;");
        put(\$text, '../examples/htpasswd', "$root/examples/htpasswd");

        open my $fh, '>', "$d/nginx.conf" or die "$d/nginx.conf: $!\n";
        print $fh $text;
        close $fh or die "$d/nginx.conf: $!\n";
    }
}

my $n = Demo->new(name => 'demo', env => {
    MONGODB_URI          => $ENV{TEST_MONGODB_URI},
    IMAGE_VAULT_SECRET   => '0123456789abcdef0123456789abcdef',
})->start;

sub as {
    my ($who, $path, @more) = @_;
    return curl('-u', "$who:$who", @more, $n->url($path));
}

sub body_of {
    my ($type, $text) = @_;
    return ('-H', "Content-Type: $type", '--data-binary', $text);
}


# the page, and all that it loads

my %seen;
my @todo = ('/');

while (defined(my $path = shift @todo)) {
    next if $seen{$path}++;

    my $r = curl($n->url($path));
    is($r->{status}, 200, "$path: 200") or next;

    my $type = $r->{headers}{'content-type'};
    my $text = $r->{body};
    if ($path eq '/') {
        like($type, qr{^text/html}, "$path: HTML");
        unlike($text, qr/<style|\sstyle=|\son\w+=/, 'nothing inline');
        push @todo, map { "/$_" } $text =~ m{(?:src|href)="/([\w.-]+\.\w+)"}g;
    } elsif ($path =~ /\.js$/) {
        like($type, qr{^(?:application|text)/javascript}, "$path: a script");
        unlike($text, qr/(?:inner|outer|Adjacent)HTML|document\.write/,
               "$path: text stays text");
        push @todo, map { "/$_" } $text =~ m{from '\./([\w.-]+)'}g;
    }
    like($r->{headers}{'content-security-policy'},
         qr/default-src 'none'; script-src 'self'; style-src 'self'/,
         "$path: CSP");
}

is_deeply([sort grep { /\.(?:js|css)$/ } keys %seen],
          [sort map { s{.*/}{/}r } glob 'examples/site/*.{js,css}'],
          'no file is without use');


# the ids that scripts speak of are in the page

{
    my $html = slurp('examples/site/index.html');
    my %id = map { $_ => 1 } $html =~ /\sid="([\w-]+)"/g;
    my %asked = map { $_ => 1 }
        map { slurp($_) =~ /\$\('([\w-]+)'\)/g } glob 'examples/site/*.js';

    is(join(' ', grep { !$id{$_} } sort keys %asked), '', 'ids are there');
    my @of = $html =~ /\s(?:for|aria-labelledby)="([^"]+)"/g;
    is(join(' ', grep { !$id{$_} } @of), '', 'labels are there');
}


# each route is one: a method that no path knows is told the ones it does

{
    my ($table) = slurp('examples/site/api.js')
        =~ /const ROUTES = \{\n(.*?)\n\};/s;
    my @routes = $table =~ /: '(\w+ \S+)'/g;

    cmp_ok(scalar @routes, '>', 10, 'routes are found');
    for (@routes) {
        my ($method, $path) = split ' ';
        $path =~ s/\{id\}/'0' x 24/e;
        my $r = as('root', "/api/images/$path", '-X', 'TRACK');
        is($r->{status}, 405, "$path: known");
        like($r->{headers}{allow} // '', qr/\b$method\b/, "$path: $method");
    }
}


# who is who

{
    my $r = curl($n->url('/api/images/usage'));
    is($r->{status}, 401, 'nobody: 401');
    ok(!exists $r->{headers}{'www-authenticate'}, 'and no password prompt');

    $r = curl('-u', 'alice:wrong', $n->url('/api/images/usage'));
    is($r->{status}, 401, 'a wrong password: 401');
    is($r->{json}{error}{code}, 'unauthenticated', 'as JSON');

    $r = as('alice', '/api/images/usage');
    is($r->{headers}{'x-user'}, 'alice', 'alice is told so');
    ok(!exists $r->{headers}{'x-admin'}, 'and is no admin');
    is($r->{json}{storageQuota}{limit}, 500 * 1048576, 'a quota');
    is(as('alice', '/api/images/admin/stats')->{status}, 403, 'no stats');

    $r = as('root', '/api/images/usage');
    is($r->{headers}{'x-admin'}, 1, 'root is');
    is(as('root', '/api/images/admin/stats')->{status}, 200, 'stats');

    is(as('alice', '/sign-in')->{status}, 200, 'signed in');
    is(as('alice', '/sign-in?as=alice')->{status}, 200, 'still alice');
    is(as('alice', '/sign-in?as=bob')->{status}, 401, 'to become bob: 401');
    is(as('bob', '/sign-in?as=bob')->{status}, 200, 'bob');
    is(curl('-u', 'bob:x', $n->url('/sign-in?as=bob'))->{status}, 401,
       'bob with a wrong password');
    is(curl('-u', 'x:x', $n->url('/sign-in?as=x'))->{status}, 401,
       'nobody of that name');
}


# what the page does

{
    my $good = temp_file(png(300));
    my $bad = temp_file(substr png(300), 0, 200);

    my $r = as('alice', '/api/images/upload', '-F', 'tags=sea', '-F',
               'sharedWith=bob', '-F', 'isPublic=false', '-F',
               "images=\@$good;filename=a.png", '-F',
               "images=\@$bad;filename=b.png", '-F',
               "images=\@examples/photo.jpg;filename=c.jpg");
    is($r->{status}, 207, 'a form: two of three');
    is($r->{json}{failures}[0]{index}, 1, 'which was refused');
    my ($id, $other) = map { $_->{id} } @{ $r->{json}{images} };

    $r = as('alice', '/api/images/user?limit=1&cursor=&sort=name&order=asc'
                     . '&type=&q=&public=&tag=sea');
    is($r->{json}{images}[0]{id}, $id, 'a page of the list');
    ok($r->{json}{pagination}{next}, 'and there is more');

    $r = curl('-u', 'bob:bob', '-L', $n->url("/api/images/$id/view"));
    is($r->{status}, 200, 'bob sees it');
    is($r->{body}, slurp($good), 'the same bytes');

    $r = as('alice', "/api/images/$id", '-H', 'Accept: application/json');
    my $tag = $r->{headers}{etag};
    my @change = ('-X', 'PATCH', '-H', "If-Match: $tag",
                  body_of('application/json', '{"tags":["lake"]}'));
    $r = as('alice', "/api/images/$id", @change);
    is_deeply($r->{json}{image}{metadata}{metadata}{tags}, ['lake'], 'changed');
    is(as('alice', "/api/images/$id", @change)->{status}, 412, 'but once');

    $r = as('root', "/api/images/admin/images/$id/moderate",
            body_of('application/json', '{"action":"block","reason":"no"}'));
    is($r->{json}{image}{blocked}{reason}, 'no', 'blocked');
    is(as('alice', "/api/images/$id")->{json}{error}{message}, 'no',
       'the owner sees why');

    $r = as('alice', '/api/images/bulk', body_of('application/json',
            qq({"action":"delete","ids":["$id","$other"]})));
    is(join(' ', map { $_->{success} ? 1 : 0 } @{ $r->{json}{results} }),
       '1 1', 'both deleted');
    is(as('alice', '/api/images/usage')->{json}{storageQuota}{used}, 0,
       'nothing counts any longer');
}

$n->done;
done_testing();
