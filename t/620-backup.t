# Backup and restore, by the scripts of docs/OPERATIONS.md as they stand there:
# database and bucket are copied at different moments, in both orders, while
# uploads, deletes and changes go on; all is lost; after the restore what was
# acknowledged before the first copy began is whole, and the rest is in step.
#
# mongodump, mongorestore, mongosh and aws are run where they are installed.
# t/lib/standins.py plays those that are not: the same files, and as with the
# real one no snapshot, but one collection after the other.

use v5.10;
use strict;
use warnings;

use lib 't/lib';
use Cwd ();
use Digest::SHA ();
use File::Path ();
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;
use ImageVault::Nginx;

my $db = $ImageVault::Peers::Database;
my $bucket = $ENV{TEST_S3_BUCKET};
my $dir = "/tmp/iv-backup-$$";
my $main = $$;
my $bob = '6920d2b07a3f4e5d6c7b8a90';
my @Owners = ('alice', $bob, 'carol');

File::Path::make_path("$dir/bin");
END { File::Path::remove_tree($dir) if $dir && $$ == $main }

my %stand_in;
for my $tool (qw(mongodump mongorestore mongosh aws)) {
    next if system("$tool --version >/dev/null 2>&1") == 0;
    my $python = $ENV{TEST_PYTHON} // 'python3';
    my $real = Cwd::getcwd() . '/t/lib/standins.py';
    script($tool, "#!/bin/sh\nexec $python $dir/bin/py/$tool \"\$@\"\n",
           "$dir/bin");
    File::Path::make_path("$dir/bin/py");
    symlink $real, "$dir/bin/py/$tool" or die "symlink: $!";
    $stand_in{$tool} = 1;
}
note "played by t/lib/standins.py: @{[ sort keys %stand_in ]}";

my %Recipe;
my $Doc = slurp('docs/OPERATIONS.md');
while ($Doc =~ /^<!-- recipe: (\S+) -->\n```\w+\n(.*?)^```$/mgs) {
    $Recipe{$1} = $2;
}
for my $name (qw(backup.sh restore.sh restored.js strays.sh)) {
    my $text = $Recipe{$name} // die "docs/OPERATIONS.md has no $name\n";
    $text =~ s{s3://pictures}{s3://$bucket}g;
    $text =~ s{=photos\b}{=$db}g;
    $text =~ s{'photos\.\*'}{'$db.*'};
    $text =~ s{"photos"}{"$db"};
    die "$name: a name is left\n" if $text =~ /photos|pictures/;
    script($name, $text, $dir);
}
script('admin.curl', qq{header = "X-User: root"\nheader = "X-Admin: 1"\n},
       $dir);

sub script {
    my ($name, $text, $where) = @_;
    open my $fh, '>', "$where/$name" or die "$where/$name: $!";
    print $fh $text;
    close $fh or die $!;
    chmod 0700, "$where/$name";
}

# what a script prints, and its exit status
sub run {
    my ($command, %env) = @_;
    local %ENV = (%ENV, PATH => "$dir/bin:$ENV{PATH}",
                  MONGODB_URI => $ENV{TEST_MONGODB_URI},
                  AWS_ENDPOINT_URL => $ENV{TEST_S3_ENDPOINT},
                  AWS_DEFAULT_REGION => $ENV{TEST_S3_REGION},
                  AWS_ACCESS_KEY_ID => $ENV{TEST_S3_ACCESS},
                  AWS_SECRET_ACCESS_KEY => $ENV{TEST_S3_SECRET}, %env);
    delete $ENV{AWS_SESSION_TOKEN};
    my $out = `cd $dir && $command 2>&1`;
    return ($? >> 8, $out);
}

sub ok_run {
    my ($what, $command, %env) = @_;
    my ($rc, $out) = run($command, %env);
    is($rc, 0, $what) or diag $out;
    return $out;
}

my $n = ImageVault::Nginx->new(
    name    => 'backup',
    workers => 2,
    http    => ImageVault::Nginx::http_base(sweep => 'interval=1s stale=3s')
             . ImageVault::Nginx::storage_s3(part_size => '5m')
             . "image_vault_owner \$http_x_user;\n"
             . "image_vault_admin \$http_x_admin;\n"
             . "image_vault_quota 1g;\nimage_vault_max_size 20m;\n"
             . 'image_vault_key i/$image_vault_owner/$image_vault_filename;'
             . "\n",
    server  => 'location /api { image_vault_api s3; image_vault_audit on; }',
);

my $Api = $n->url('/api');

sub as { return ('-H', "X-User: $_[0]") }

sub admin {
    my ($method, $query) = @_;
    return curl('-X', $method, as('root'), '-H', 'X-Admin: 1',
                "$Api/admin/sweep$query");
}


# -- what is done, and when it was acknowledged

my $Json = JSON::PP->new->canonical;

sub now { return Time::HiRes::time() }

sub upload {
    my ($owner, $bytes, %a) = @_;
    my $file = "$dir/body-$$";
    open my $fh, '>:raw', $file or die $!;
    print $fh $bytes;
    close $fh or die $!;
    my $began = now();
    my $r = curl(as($owner), '-T', $file, '-X', 'POST',
                 '-H', 'Content-Type: image/png',
                 ($a{key} ? ('-H', "Idempotency-Key: $a{key}") : ()),
                 @{ $a{curl} // [] }, "$Api/upload");
    return { op => 'upload', owner => $owner, status => $r->{status},
             id => $r->{json}{images}[0]{id}, began => $began, ended => now(),
             key => $a{key}, size => length $bytes, body => $r->{body},
             sha256 => Digest::SHA::sha256_hex($bytes) };
}

sub rename_image {
    my ($u, $name) = @_;
    my $began = now();
    my $r = curl(as($u->{owner}), '-X', 'PATCH', '-H',
                 'Content-Type: application/json', '-d',
                 qq({"originalName":"$name"}), "$Api/$u->{id}");
    return { op => 'patch', id => $u->{id}, status => $r->{status},
             name => $name, began => $began, ended => now() };
}

sub delete_image {
    my ($u) = @_;
    my $began = now();
    my $r = curl(as($u->{owner}), '-X', 'DELETE', "$Api/$u->{id}");
    return { op => 'delete', id => $u->{id}, status => $r->{status},
             began => $began, ended => now() };
}

# the bytes of each image are its own
sub picture {
    my ($seed) = @_;
    return png(2000 + $seed % 9000, width => 1 + $seed % 4000,
               height => 1 + int($seed / 4000) % 4000);
}

# one owner's doings until told to stop; a child process
sub client {
    my ($owner, $number, $round) = @_;

    my $pid = fork // die "fork: $!";
    return $pid if $pid;

    open my $log, '>', "$dir/log-$round-$number" or POSIX::_exit(1);
    $log->autoflush(1);
    my ($i, @mine) = (0);
    while (!-e "$dir/stop-$round") {
        $i++;
        Time::HiRes::sleep(0.2);
        my $seed = $number * 1000 + $round * 100_000 + $i;
        my $u = upload($owner, picture($seed),
                       $i % 3 ? () : (key => "r$round-$number-$i"));
        print $log $Json->encode($u), "\n";
        push @mine, $u if $u->{status} == 201;
        print $log $Json->encode(rename_image($mine[-1], "name-$i")), "\n"
            if @mine && $i % 4 == 1;
        print $log $Json->encode(delete_image(shift @mine)), "\n"
            if @mine > 3 && $i % 2;
        if ($i % 5 == 2) {
            curl(as($owner), '-H', 'Content-Type: application/json', '-d',
                 '{"originalName":"t.png","contentType":"image/png",'
                 . '"size":3000}', "$Api/direct-upload");
        }
    }
    close $log;
    POSIX::_exit(0);
}

# what the clients have written down, whole lines of it
sub written {
    my ($round) = @_;
    return map { $Json->decode($_) }
           map { my $text = slurp($_); $text =~ /^(.+)\n/mg }
           glob "$dir/log-$round-*";
}

# an upload of unknown length that goes on through both copies, and on
sub slow_client {
    my ($round) = @_;

    my $pid = fork // die "fork: $!";
    return $pid if $pid;

    upload('carol', png(12_000_000), curl =>
           ['-H', 'Transfer-Encoding: chunked', '--limit-rate', '1500k']);
    POSIX::_exit(0);
}


# -- what is left

sub sums {
    my %sum = map { $_ => 0 } @Owners;
    for (find_images({ status => 'ready' })) {
        my $owner = ref $_->{userId} ? $_->{userId}{'$oid'} : $_->{userId};
        $sum{$owner} += $_->{size};
    }
    return \%sum;
}

sub users {
    return map { (ref $_->{_id} ? $_->{_id}{'$oid'} : $_->{_id}) => $_ }
        @{ ask('find', db => $db, collection => 'users', filter => {}) };
}

# in step: what contract and docs promise of any state that the sweep has seen
sub in_step {
    my ($what) = @_;

    my @images = find_images();
    my %object = map { $_->{key} => $_ } objects();
    my %known;

    is(join(' ', map { "$_->{status}" } grep { $_->{status} ne 'ready' }
            @images), '', "$what: nothing uploading, nothing ended is left");
    my (@lost, @wrong);
    for my $d (@images) {
        $known{$d->{r2Key}} = 1;
        my $o = $object{$d->{r2Key}};
        if (!$o) {
            push @lost, $d->{_id}{'$oid'}
                if ($d->{error} // '') ne 'object_missing';
        } elsif (exists $d->{error} || $o->{size} != $d->{size}
                 || object($d->{r2Key})->{sha256} ne $d->{checksums}{sha256})
        {
            push @wrong, $d->{_id}{'$oid'};
        }
    }
    is("@lost", '', "$what: no ready document without object, but marked");
    is("@wrong", '', "$what: each object is its document's");
    is(join(' ', grep { !$known{$_} } sort keys %object), '',
       "$what: no object without document");
    is(join(' ', @{ ask('uploads', bucket => $bucket) }), '',
       "$what: no open multipart upload");

    my ($sum, %user) = (sums(), users());
    for my $owner (@Owners) {
        my $q = $user{$owner}{storageQuota};
        is($q->{used}, $sum->{$owner}, "$what: used of $owner is the sum");
        is($q->{pending}, undef, "$what: nothing pending of $owner");
    }
}

# every page of report=missing: the ids of images whose object is gone
sub missing {
    my ($cursor, %gone) = ('');
    while (1) {
        my $r = admin('GET', "?report=missing&cursor=$cursor");
        is($r->{status}, 200, 'report=missing') or diag $r->{body}, last;
        $gone{$_->{id}} = $_->{marked} for @{ $r->{json}{images} };
        $cursor = $r->{json}{next} // last;
    }
    return \%gone;
}

sub swept {
    return wait_for {
        my $j = admin('GET', '')->{json} // return 0;
        $j->{lastPass}
            && !(grep { $_->{count} } values %{ $j->{due} })
            && !@{[ find_images({ status => { '$ne' => 'ready' } }) ]};
    } 120;
}

sub whole {
    my ($u) = @_;
    my $r = curl(as($u->{owner}), '-L', "$Api/$u->{id}/view");
    return $r->{status} == 200
        && Digest::SHA::sha256_hex($r->{body}) eq $u->{sha256};
}

sub lose_everything {
    ask('drop', db => $db);
    ask('empty', bucket => $bucket);
    is(scalar(objects()), 0, 'all is lost');
}

sub strays {
    my ($age, $mode) = @_;
    return ok_run("strays.sh $mode",
                  "./strays.sh $Api $bucket $age $mode");
}


ask('insert', db => $db, collection => 'users', documents => [
    { _id => 'alice', name => 'Alice', email => 'alice@example.test',
      storageQuota => { used => 0, limit => 500_000_000 } },
    { _id => 'dora', name => 'Dora' },
]);
ask('bucket', bucket => "$bucket-backup");

my $Round = 0;

for my $order (['the database first', 'users,images'],
               ['the bucket first', 'images,users'])
{
    my ($what, $dump_order) = @$order;
    my $round = ++$Round;
    my $dump = "dump-$round";

    subtest $what => sub {
        $n->start;

        my @done;
        for my $owner (@Owners) {
            push @done, map {
                upload($owner, picture($round * 10_000 + $_ * 7),
                       key => "early-$round-$_-$owner")
            } 1 .. 4;
        }
        is((grep { $_->{status} == 201 } @done), 12, 'uploaded before')
            or diag explain \@done;
        push @done, rename_image($done[0], 'renamed'),
             delete_image($done[1]), delete_image($done[5]);

        my @pids = map { client($Owners[$_], $_, $round) } 0 .. $#Owners;
        Time::HiRes::sleep(1.5);
        push @pids, slow_client($round);
        wait_images({ status => 'uploading', s3UploadId => { '$exists' =>
                      JSON::PP::true } }, 1, 60);

        # the recipe's lines, with a while between them
        my $text = slurp("$dir/backup.sh");
        my ($head, $copy) = $text =~ /\A(.*?)(^# what is deleted.*)\z/ms
            or die "backup.sh is another one\n";
        script('dump.sh', $head, $dir);
        script('copy.sh', "#!/bin/sh\nset -eu\n$copy", $dir);

        my $began = now();
        my @steps = (
            sub { ok_run('the database is copied', "./dump.sh $dump",
                         DUMP_ORDER => $dump_order, DUMP_PAUSE => 0.7) },
            sub { ok_run('the bucket is copied', "./copy.sh $dump") },
        );
        @steps = reverse @steps if $round == 2;
        $steps[0]->();
        # one of them to be repeated later
        my ($count, $key) = (0, 0);
        ok((wait_for {
            my @new = grep { $_->{op} eq 'upload' && $_->{status} == 201
                             && $_->{began} > $began } written($round);
            $count = @new;
            $key = grep { $_->{key} } @new;
            $count > 5 && $key;
        } 60), 'uploads go on') or diag "$count, $key with a key";
        Time::HiRes::sleep(1.5);
        $steps[1]->();
        my $ended = now();
        Time::HiRes::sleep(0.5);

        open my $stop, '>', "$dir/stop-$round" or die $!;
        close $stop;
        waitpid $_, 0 for @pids;
        push @done, written($round);
        my @between = grep { $_->{op} eq 'upload' && $_->{status} == 201
                             && $_->{began} > $began && $_->{ended} < $ended }
                      @done;
        cmp_ok(scalar @between, '>', 5, 'uploads went on meanwhile');
        is(scalar(grep { $_->{status} !~ /^20[01]$/ } @done), 0,
           'all of it was acknowledged');

        $n->done;
        lose_everything();
        ok_run('restored', "./restore.sh $dump");
        my ($sum, %user) = (sums(), users());
        is($user{$_}{storageQuota}{used}, $sum->{$_},
           "used of $_ is the sum at once") for @Owners;
        ok_run('restored.js once more',
               "mongosh --quiet \"\$MONGODB_URI\" restored.js");
        my %again = users();
        is_deeply(\%again, \%user, 'does nothing more');
        is_deeply($user{dora}, { _id => 'dora', name => 'Dora' },
                  'a user of the application');
        is($user{alice}{email}, 'alice@example.test', 'another one');
        is($user{alice}{storageQuota}{limit}, 500_000_000, 'her limit');

        # another process: its log is looked at on its own
        delete $n->{checked};
        $n->start;
        is(admin('POST', '')->{status}, 202, 'a pass is asked for');
        ok(swept(), 'swept') or diag explain admin('GET', '')->{json};
        my $gone = missing();
        is((grep { !$_ } values %$gone), 0, 'what is missing is marked');
        sleep 2;                        # all are older than a second
        my $seen = objects();
        my $list = strays('1s', '');
        is(objects(), $seen, 'without --delete it only tells');
        strays('1s', '--delete');
        my $rest = strays('0s', '');
        is($rest, '', 'none is left') or diag $list;

        in_step($what);

        # what was acknowledged before the first copy began
        my %deleted = map { $_->{id} => $_ } grep { $_->{op} eq 'delete' }
                      @done;
        my @early = grep { $_->{op} eq 'upload' && $_->{status} == 201
                           && $_->{ended} < $began } @done;
        my @kept = grep { !$deleted{$_->{id}} } @early;
        is(join(' ', map { $_->{id} } grep { !whole($_) } @kept), '',
           'each of ' . @kept . ' acknowledged images is whole');
        my @away = grep { $deleted{$_->{id}}
                          && $deleted{$_->{id}}{ended} < $began } @early;
        cmp_ok(scalar @away, '>', 1, 'some were deleted before');
        is(join(' ', map { $_->{id} }
                grep { curl(as($_->{owner}), "$Api/$_->{id}")->{status} != 404
                     } @away), '', 'and stay away');
        my %name;
        $name{$_->{id}} = $_->{name}
            for grep { $_->{op} eq 'patch' && $_->{ended} < $began } @done;
        my @unnamed = grep { exists $name{$_->{id}}
                             && find_image($_->{id})->{originalName}
                                ne $name{$_->{id}} } @kept;
        is(join(' ', map { $_->{id} } @unnamed), '', 'changes hold');

        # the others: there and whole, marked, or unknown
        my %count = (whole => 0, marked => 0, unknown => 0);
        for my $u (grep { $_->{op} eq 'upload' && $_->{status} == 201
                          && $_->{ended} >= $began } @done) {
            my $status = curl(as($u->{owner}), '-L',
                              "$Api/$u->{id}/view")->{status};
            my $is = $status == 410 ? 'marked' : $status == 404 ? 'unknown'
                   : whole($u) ? 'whole' : 'broken';
            $count{$is}++;
        }
        is($count{broken}, undef, 'no later one is half there');
        is((grep { !$deleted{$_} } keys %$gone), 0,
           'only what was deleted is missing') if $round == 1;
        note sprintf '%s: %d before, %d deleted; of later ones %d whole, '
             . '%d without object, %d unknown; %d strays', $what,
             scalar @kept, scalar @away, @count{qw(whole marked unknown)},
             scalar split /\n/, $list;

        # keys of idempotency were left behind: no image that is not there
        my ($u) = grep { $_->{op} eq 'upload' && $_->{key}
                         && $_->{status} == 201 } reverse @between;
        my $r = upload($u->{owner}, 'x' x 10, key => $u->{key});
        is($r->{status}, 415, 'a repeated request is a new one');

        # what is missing goes as any other image
        for my $id (grep { defined } (sort keys %$gone)[0 .. 2]) {
            my ($d) = find_images({ _id => { '$oid' => $id } });
            my $o = $d->{userId};
            my $q = delete_image({ id => $id,
                                   owner => ref $o ? $o->{'$oid'} : $o });
            is($q->{status}, 200, "$id is deleted");
        }
        ok(swept(), 'swept again');
        $r = upload($_, picture(77)) for @Owners;
        is($r->{status}, 201, 'uploads go on');
        wait_for { my %u = users();
                   !grep { $_->{storageQuota}{pending} } values %u };
        in_step("$what, later");
        $n->done;
        delete $n->{checked};
    };
}


subtest 'only the database is lost' => sub {
    $n->start;
    my $before = upload('alice', picture(500));
    ok_run('the database is copied', './dump.sh dump-3');
    my $after = upload('alice', picture(501));
    my $key = find_image($after->{id})->{r2Key};
    $n->done;
    ask('drop', db => $db);
    script('half.sh', slurp("$dir/restore.sh") =~ s/^aws.*\n//mr, $dir);
    ok_run('restored without the bucket', './half.sh dump-3');
    delete $n->{checked};
    $n->start;
    ok(swept(), 'swept');
    ok(whole($before), 'what was there is whole');
    is(curl(as('alice'), "$Api/$after->{id}")->{status}, 404,
       'what came later is unknown');
    my $gone = missing();
    ok(!$gone->{$before->{id}}, 'and not missing');
    is(strays('1h', ''), '', 'it is too young');
    like(strays('0s', ''), qr{^\d{4}-\S+Z \d+ \Q$key\E$}m, 'but told of');
    like($key, qr{^i/alice/}, 'its key says whose it was');
    ok(object($key), 'and it is still there');

    # not as the docs want it: the node runs on
    my $later = upload('alice', picture(502));
    ok(whole($later), 'known to the cache');
    ok_run('restored below a running node', './half.sh dump-3');
    ok((wait_for { curl(as('alice'), "$Api/$later->{id}/view")->{status} == 404
                 } 60), 'it forgets what was');
    $n->done;
};


done_testing();
