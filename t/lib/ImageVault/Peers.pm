package ImageVault::Peers;

# The real parts behind the tests: the inspector (MongoDB and the bucket), the
# scripted storage for faults, curl, small images.

use v5.10;
use strict;
use warnings;

use Exporter 'import';
use Compress::Raw::Zlib ();
use HTTP::Tiny;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use Test::More ();
use Time::HiRes ();

our @EXPORT = qw(ask find_image find_images insert_images wait_images heard
                 objects object image_doc new_id free_port curl slurp data_file
                 json start_scripted scripted scripted_objects scripted_log
                 scripted_set
                 wait_for mongo_now mongo_at fail_point png jpeg temp_file);

our $Database = $ENV{TEST_DATABASE} // sprintf('iv_test_%d_%d', $$, time);
$ENV{TEST_DATABASE} = $Database;

my $Http = HTTP::Tiny->new(timeout => 120);
my $Json = JSON::PP->new->utf8->canonical->allow_nonref;
my @Children;


sub ask {
    my ($verb, %args) = @_;

    my $url = $ENV{TEST_INSPECTOR}
        or die "TEST_INSPECTOR is not set: run the tests by 'make test'\n";
    my $res = $Http->post("$url/$verb", { content => $Json->encode(\%args) });
    die "inspector: $verb: $res->{content}\n" if !$res->{success};

    return $Json->decode($res->{content});
}


sub json { return $Json->decode($_[0]) }


sub find_images {
    my ($filter) = @_;
    return @{ ask('find', db => $Database, filter => $filter // {}) };
}


sub find_image {
    my ($id) = @_;
    my ($doc) = find_images({ _id => { '$oid' => $id } });
    return $doc;
}


sub insert_images {
    return ask('insert', db => $Database, documents => [@_]);
}


# waits until `count` documents match the filter; returns how many do
sub wait_images {
    my ($filter, $count, $seconds) = @_;
    return ask('wait', db => $Database, filter => $filter, count => $count,
               seconds => $seconds // 30)->{count};
}


sub objects {
    my ($prefix, $bucket) = @_;
    return @{ ask('objects', bucket => $bucket // $ENV{TEST_S3_BUCKET},
                  prefix => $prefix // '') };
}


sub object {
    my ($key, $bucket) = @_;
    return ask('object', bucket => $bucket // $ENV{TEST_S3_BUCKET},
               key => $key);
}


my $Serial = 0;

sub new_id {
    return sprintf('%08x%08x%08x', time, $$, ++$Serial);
}


sub mongo_now {
    my ($offset) = @_;
    return mongo_at(time + ($offset // 0));
}


# a time in whole seconds.  time() of Time::HiRes may be in the next second
# already, for some milliseconds: who needs one moment takes one clock
sub mongo_at {
    my ($time) = @_;
    my @t = gmtime $time;
    return { '$date' => sprintf('%04d-%02d-%02dT%02d:%02d:%02d.000Z',
                                $t[5] + 1900, $t[4] + 1, @t[3, 2, 1, 0]) };
}


# What the next commands meet at a MongoDB of the test's own, one with
# MONGOD_TEST_COMMANDS: mode and data as configureFailPoint has them.
sub fail_point {
    my ($uri, $mode, %data) = @_;
    my $code = 'import json, pymongo, sys; '
             . 'pymongo.MongoClient(sys.argv[1]).admin.command('
             . '"configureFailPoint", "failCommand", '
             . 'mode=json.loads(sys.argv[2]), data=json.loads(sys.argv[3]))';
    return system($ENV{TEST_PYTHON} // 'python3', '-c', $code, $uri,
                  $Json->encode($mode), $Json->encode(\%data)) == 0;
}


# a document as the module itself would have written it
sub image_doc {
    my (%a) = @_;

    my $owner = delete $a{owner} // 'alice';
    my $user = sub {
        my ($u) = @_;
        return $u =~ /\A[0-9a-f]{24}\z/ ? { '$oid' => $u } : $u;
    };
    my $id = delete $a{id} // new_id();
    my $shared = delete $a{shared} // [];
    my $public = delete $a{public} // 0;
    my $expires = delete $a{expires};

    my $doc = {
        _id          => { '$oid' => $id },
        userId       => $user->($owner),
        originalName => 'photo.png',
        filename     => "$id.png",
        contentType  => 'image/png',
        size         => { '$numberLong' => '1234' },
        dimensions   => { width => 3, height => 2 },
        metadata     => { uploadedAt => mongo_now(), uploadedFrom => '::1',
                          tags => [] },
        access       => { isPublic => $public ? JSON::PP::true
                                              : JSON::PP::false,
                          sharedWith => [map { $user->($_) } @$shared],
                          ($expires ? (expiresAt => $expires) : ()) },
        status       => 'ready',
        checksums    => { md5 => '0' x 32, sha256 => '0' x 64 },
        variants     => [],
        r2Key        => "images/$id.png",
        storage      => 's3',
        etag         => '0' x 32,
        updatedAt    => mongo_now(),
        %a,
    };

    return $doc;
}


# Not one of those that the kernel gives to connections, which might take it
# before the server does, or while that is down.  A socket of this name keeps
# other test files off, as long as this process lives.
my @Ports;

sub free_port {
    for (1 .. 500) {
        my $port = 10_240 + int rand 8960;  # util/ has those from 19200 on
        my $mine = IO::Socket::UNIX->new(Local => "\0image_vault_port_$port",
                                         Listen => 1) or next;
        my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1',
                                      LocalPort => $port, Listen => 1,
                                      ReuseAddr => 1) or next;
        close $s;
        push @Ports, $mine;
        return $port;
    }
    die "no free port\n";
}

# that of a mongod of the test's own
$ENV{MONGOD_PORT} = free_port();


sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or die "$file: $!\n";
    local $/;
    return <$fh>;
}


sub data_file { return slurp("t/data/$_[0]") }


# a whole PNG of exactly `size` bytes (at least 70): the walker checks framing
# and CRCs, so that any bytes serve as pixels
sub png {
    my ($size, %a) = @_;

    my $chunk = sub {
        my ($type, $data) = @_;
        return pack('N', length $data) . $type . $data
             . pack('N', Compress::Raw::Zlib::crc32($type . $data));
    };
    my $out = "\x89PNG\r\n\x1a\n"
            . $chunk->('IHDR', pack('NNCCCCC', $a{width} // 64,
                                    $a{height} // 48, 8, 2, 0, 0, 0));
    my $rest = ($size // 1000) - length($out) - 12;
    die "png: too small\n" if $rest < 13;
    srand(42);
    my $noise = join '', map { chr int rand 256 } 1 .. 4096;
    while ($rest) {
        my $n = $rest - 12 > 65536 ? 65536 : $rest - 12;
        $n -= 13 if $rest - 12 - $n > 0 && $rest - 12 - $n < 13;
        $out .= $chunk->('IDAT', substr($noise x (1 + $n / 4096), 0, $n));
        $rest -= $n + 12;
    }

    return $out . $chunk->('IEND', '');
}


# a whole JPEG of exactly `size` bytes (at least 200), 64 x 48
sub jpeg {
    my ($size, %a) = @_;

    my $seg = sub { return "\xff" . chr($_[0])
                         . pack('n', 2 + length $_[1]) . $_[1] };
    my $head = "\xff\xd8"
        . $seg->(0xe0, "JFIF\0\1\1\0\0\1\0\1\0\0")
        . $seg->(0xdb, "\0" . "\1" x 64)
        . $seg->(0xc0, "\x08" . pack('nn', $a{height} // 48,
                                     $a{width} // 64) . "\1\1\x11\0")
        . $seg->(0xc4, "\0" . "\1" . "\0" x 15 . "\0")
        . $seg->(0xda, "\1\1\0\0\x3f\0");
    my $rest = ($size // 1000) - length($head) - 2;
    die "jpeg: too small\n" if $rest < 1;
    srand(43);
    my $noise = join '', map { chr int rand 255 } 1 .. 4096;

    return $head . substr($noise x (1 + $rest / 4096), 0, $rest) . "\xff\xd9";
}


my @Files;

# a file with these bytes, gone at the end of the test
sub temp_file {
    my ($bytes) = @_;

    my $name = "/tmp/iv-file-$$-" . @Files;
    open my $fh, '>:raw', $name or die "$name: $!\n";
    print $fh $bytes;
    close $fh or die "$name: $!\n";
    push @Files, $name;

    return $name;
}


# curl's answer: { exit, status, headers => { lower-case name => value }, body,
# json }
sub curl {
    my (@args) = @_;

    my $stem = "/tmp/iv-curl-$$-" . ++$Serial;
    my $rc = system('curl', '-sS', '--max-time', '240', '-D', "$stem.head",
                    '-o', "$stem.body", '--stderr',
                    "$stem.err", @args);

    my %r = (exit => $rc >> 8, status => 0, headers => {}, body => '');

    if (-e "$stem.head") {
        my @blocks = split /\r?\n\r?\n/, slurp("$stem.head");
        if (@blocks) {
            my ($line, @lines) = split /\r?\n/, $blocks[-1];
            $r{status} = $1 if $line =~ m{^HTTP/\S+ (\d+)};
            for (@lines) {
                my ($n, $v) = split /:\s*/, $_, 2;
                $r{headers}{lc $n} = $v;
            }
        }
    }
    $r{body} = slurp("$stem.body") if -e "$stem.body";
    $r{error} = slurp("$stem.err") if -e "$stem.err";
    $r{json} = eval { $Json->decode($r{body}) };
    unlink "$stem.head", "$stem.body", "$stem.err";

    return \%r;
}


sub wait_for(&;$) {
    my ($code, $seconds) = @_;
    my $end = Time::HiRes::time() + ($seconds // 30);
    while (Time::HiRes::time() < $end) {
        my $got = $code->();
        return $got if $got;
        Time::HiRes::sleep(0.05);
    }
    return;
}


# Until the change stream has told of all that was changed up to now: it keeps
# the order.  The function looks at an image of alice's, and says what
# $image_vault_cache says then.
sub heard {
    my ($look) = @_;

    my $id = new_id();
    insert_images(image_doc(id => $id));
    $look->($id);
    ask('update', db => $Database, filter => { _id => { '$oid' => $id } },
        update => { '$set' => { heard => JSON::PP::true } });
    wait_for { $look->($id) eq 'MISS' } 60
        or die "the change stream tells of nothing\n";
    ask('command', db => $Database, command => { delete => 'images', deletes =>
        [{ q => { _id => { '$oid' => $id } }, limit => 1 }] });
}


# the scripted storage: faults that a real one won't make
my $Scripted;

sub start_scripted {
    my (@args) = @_;

    my $port = free_port();
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        open STDOUT, '>', "/tmp/iv-scripted-$port.log";
        open STDERR, '>&', \*STDOUT;
        exec $ENV{TEST_PYTHON} // 'python3', 't/lib/scripted.py', $port,
             '--key', "$ENV{TEST_S3_ACCESS}:$ENV{TEST_S3_SECRET}", @args
            or die "exec: $!";
    }
    push @Children, $pid;
    $Scripted = "http://127.0.0.1:$port";
    wait_for { IO::Socket::INET->new("127.0.0.1:$port") } 60
        or die "the scripted storage did not start\n";

    return $Scripted;
}

sub scripted { return $Scripted }

sub scripted_objects {
    return $Json->decode($Http->get("$Scripted/__objects")->{content});
}

sub scripted_log {
    return $Json->decode($Http->get("$Scripted/__log")->{content});
}

# how a bucket behaves from now on
sub scripted_set {
    my ($bucket, $behaviour) = @_;
    $Http->post("$Scripted/__set/$bucket/$behaviour");
}


# ended by util/test: what was started has to end as well
$SIG{TERM} = sub { exit 143 };

END {
    my $status = $?;
    unlink @Files;
    kill 'TERM', @Children if @Children;
    waitpid $_, 0 for @Children;
    $? = $status;
}


1;
