package ImageVault::Flight;

# A request whose body is under way: it is sent piece by piece, as the test
# says, while something else happens.
#
#   my $f = ImageVault::Flight->new(port => …, path => '/api/upload',
#                                   image => png(900_000), as => 'chunked',
#                                   head => ['X-Who: bob']);
#   $f->send(300_000);
#   my $a = $f->finish;     # the rest, and the answer
#
#   as     raw, chunked (HTTP/2: without content-length), form
#   h2     an ImageVault::Flight::Http2 or ::Http3, whose stream it then is
#   from   the address it comes from
#
# An answer: { status, head (HTTP/1.1: as text), body, json, reset }
#
# up(), landed() and refused() are what tests ask for again and again.

use v5.10;
use strict;
use warnings;

use Digest::SHA ();
use Exporter 'import';
use IO::Select;
use IO::Handle;
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes ();
use ImageVault::Peers;

our @EXPORT = qw(up landed refused);

my $Boundary = 'a-form-under-way';
my $Patience = 60;


sub new {
    my ($class, %a) = @_;

    my $self = bless {
        as => 'raw', type => 'image/png', head => [], method => 'POST',
        name => 'x.png', sent => 0, %a,
    }, $class;

    $self->{body} = $self->{image};
    if ($self->{as} eq 'form') {
        $self->{body} = "--$Boundary\r\nContent-Disposition: form-data; "
                      . "name=\"file\"; filename=\"$self->{name}\"\r\n"
                      . "Content-Type: $self->{type}\r\n\r\n$self->{image}"
                      . "\r\n--$Boundary--\r\n";
        $self->{type} = "multipart/form-data; boundary=$Boundary";
    }

    local $SIG{PIPE} = 'IGNORE';
    if ($self->{h2}) {
        $self->{stream} = $self->{h2}->request(
            $self->{method}, $self->{path}, 'content-type' => $self->{type},
            ($self->{as} eq 'raw'
                ? ('content-length' => length $self->{body}) : ()),
            map { my ($n, $v) = split /: /, $_, 2; (lc $n, $v) }
                @{ $self->{head} });
        return $self;
    }

    $self->{socket} = IO::Socket::INET->new(
        PeerAddr => "127.0.0.1:$self->{port}", Timeout => 5,
        ($self->{from} ? (LocalAddr => $self->{from}) : ()))
        or die "connect: $!\n";
    $self->{socket}->autoflush(1);
    print { $self->{socket} } join("\r\n",
        "$self->{method} $self->{path} HTTP/1.1", 'Host: x',
        "Content-Type: $self->{type}",
        ($self->{as} eq 'chunked' ? 'Transfer-Encoding: chunked'
            : 'Content-Length: ' . length $self->{body}),
        @{ $self->{head} }) . "\r\n\r\n";

    return $self;
}


# so many bytes more of the body; false: nobody takes them any more
sub send {
    my ($self, $n) = @_;

    local $SIG{PIPE} = 'IGNORE';
    my $piece = substr $self->{body}, $self->{sent}, $n;
    $self->{sent} += length $piece;
    return $self->{h2}->data($self->{stream}, $piece) if $self->{h2};
    if ($self->{as} eq 'chunked') {
        return 1 if $piece eq '';
        $piece = sprintf("%x\r\n", length $piece) . "$piece\r\n";
    }
    return print { $self->{socket} } $piece;
}


sub finish {
    my ($self) = @_;

    local $SIG{PIPE} = 'IGNORE';
    $self->send(length($self->{body}) - $self->{sent});
    if ($self->{h2}) {
        $self->{h2}->data($self->{stream}, '', 1);
    } elsif ($self->{as} eq 'chunked') {
        print { $self->{socket} } "0\r\n\r\n";
    }
    return $self->answer;
}


sub answer {
    my ($self) = @_;

    return $self->{h2}->answer($self->{stream}) if $self->{h2};

    my ($text, $end) = ('', Time::HiRes::time() + $Patience);
    my $select = IO::Select->new($self->{socket});
    while (!whole($text)) {
        die "no answer\n" if !$select->can_read($end - Time::HiRes::time());
        sysread($self->{socket}, $text, 65536, length $text) or last;
    }

    my ($head, $body) = split /\r\n\r\n/, $text, 2;
    $head //= '';
    my ($status) = $head =~ m{\AHTTP/1\.\d (\d+)};
    # else the server would linger
    $self->close if $head =~ /^Connection: close/mi;
    return { status => $status // 0, head => $head, body => $body // '',
             json => parsed($body) };
}


sub parsed {
    my ($text) = @_;
    return scalar eval { JSON::PP->new->utf8->decode($text) };
}


sub whole {
    my ($head, $body) = split /\r\n\r\n/, $_[0], 2;
    return defined $body && $head =~ /^Content-Length: (\d+)/mi
           && length $body >= $1;
}


sub close {
    my ($self) = @_;
    return $self->{h2} ? $self->{h2}->reset($self->{stream})
                       : CORE::close $self->{socket};
}


# so many are uploading just now
sub up {
    my ($count) = @_;
    is(wait_images({ status => 'uploading' }, $count, 10), $count,
       $count ? "$count in flight" : 'none is left uploading');
}


# sends the rest: created, by whom; document and object are as they must be
sub landed {
    my ($f, $owner, $what) = @_;

    my $a = $f->finish;
    is($a->{status}, 201, "$what: created") or diag($a->{body});
    my $i = $a->{json}{images}[0] or return $a;
    my $d = find_image($i->{id});
    my $o = object($d->{r2Key});
    my $sum = Digest::SHA::sha256_hex($f->{image});
    is_deeply([@$d{qw(status userId size)}, $d->{checksums}{sha256},
               $o->{sha256}],
              ['ready', $owner, length $f->{image}, $sum, $sum],
              "$what: document and object");
    return $a;
}


# our JSON, whoever it was that refused
sub refused {
    my ($answer, $status, $code, $what) = @_;

    my $j = $answer->{json};
    my $message = $j->{error}{message} // '';
    is($answer->{status}, $status, "$what: $status") or diag($answer->{body});
    is_deeply([$j->{error}{code}, $j->{images}, $j->{success} ? 1 : 0],
              [$code, [], 0], "$what: $code");
    # a form names the file
    like("@{ $j->{errors} }", qr/\A(?:x\.png: )?\Q$message\E\z/,
         "$what: errors");
    ok(length $message && ($j->{requestId} // '') =~ /\A[0-9a-f]{32}\z/,
       "$what: message and request id");
    my $head = $answer->{head} // return;
    like($head, qr{^X-Content-Type-Options: nosniff\r?$}m, "$what: nosniff");
    like($head, qr{^Content-Type: application/json}m, "$what: as JSON");
}


package ImageVault::Flight::Http3;

# One connection of HTTP/3, by way of t/lib/http3.py; as Http2 below.

use IPC::Open2 ();
use MIME::Base64 ();


sub new {
    my ($class, $port) = @_;

    my $self = bless { next => 0 }, $class;
    $self->{pid} = IPC::Open2::open2($self->{out}, $self->{in},
        $ENV{TEST_HTTP3_PYTHON}, 't/lib/http3.py', $port);
    $self->{in}->autoflush(1);
    return $self;
}


sub tell {
    my ($self, %order) = @_;
    return print { $self->{in} } JSON::PP->new->utf8->encode(\%order), "\n";
}


sub request {
    my ($self, $method, $path, %headers) = @_;

    my $id = $self->{next}++;
    $self->tell(do => 'request', id => $id, headers =>
        [[':method', $method], [':path', $path], [':scheme', 'https'],
         [':authority', 'x'], map { [$_, $headers{$_}] } sort keys %headers]);
    return $id;
}


sub data {
    my ($self, $id, $bytes, $last) = @_;
    return $self->tell(do => 'data', id => $id, last => $last ? 1 : 0,
                       bytes => MIME::Base64::encode_base64($bytes, ''));
}


sub reset {
    my ($self, $id) = @_;
    return $self->tell(do => 'reset', id => $id);
}


sub answer {
    my ($self, $id) = @_;

    $self->tell(do => 'answer', id => $id);
    my $line = readline $self->{out};
    die "no answer\n" if !defined $line;
    my $a = JSON::PP->new->utf8->decode($line);
    return { %$a, json => ImageVault::Flight::parsed($a->{body}) };
}


# without a word to the server
sub DESTROY {
    my ($self) = @_;
    local $?;
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
}


package ImageVault::Flight::Http2;

# One connection of HTTP/2, without more of it than the tests need: of an
# answer's headers it reads the status.

use IO::Socket::INET;
use Time::HiRes ();

use constant { DATA => 0, HEADERS => 1, RST_STREAM => 3, SETTINGS => 4,
               PING => 6, GOAWAY => 7, WINDOW_UPDATE => 8 };

my %Indexed = (0x88 => 200, 0x89 => 204, 0x8a => 206, 0x8b => 304,
               0x8c => 400, 0x8d => 404, 0x8e => 500);


sub new {
    my ($class, $port) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 5)
        or die "connect: $!\n";
    $s->autoflush(1);
    my $self = bless { socket => $s, in => '', next => 1, window => 65535,
                       initial => 65535, streams => {} }, $class;
    print $s "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    $self->frame(SETTINGS, 0, 0, '');
    $self->until(sub { $self->{settled} });
    return $self;
}


sub frame {
    my ($self, $type, $flags, $stream, $load) = @_;
    return print { $self->{socket} }
        substr(pack('N', length $load), 1), pack('CCN', $type, $flags, $stream),
        $load;
}


sub request {
    my ($self, $method, $path, %headers) = @_;

    my $id = $self->{next};
    $self->{next} += 2;
    $self->{streams}{$id} = { window => $self->{initial}, body => '',
                              status => 0 };
    my $block = '';
    for ([':method', $method], [':path', $path], [':scheme', 'http'],
         [':authority', 'x'], map { [$_, $headers{$_}] } sort keys %headers)
    {
        # a literal that is not indexed; no text here has 127 bytes
        $block .= "\0" . join '', map { chr(length) . $_ } @$_;
    }
    $self->frame(HEADERS, 4, $id, $block);
    return $id;
}


# sends as the windows allow; false: it is answered, or the stream is over
sub data {
    my ($self, $id, $bytes, $last) = @_;

    my $s = $self->{streams}{$id};
    while (length $bytes) {
        $self->until(sub { $s->{over} || $s->{ended}
                           || ($s->{window} > 0 && $self->{window} > 0) });
        return 0 if $s->{over} || $s->{ended};
        my ($n) = sort { $a <=> $b } 16384, length $bytes, $s->{window},
                  $self->{window};
        $self->frame(DATA, 0, $id, substr $bytes, 0, $n, '') or return 0;
        $_ -= $n for $s->{window}, $self->{window};
    }
    return 0 if $s->{over};
    return !$last || $self->frame(DATA, 1, $id, '');
}


sub reset {
    my ($self, $id) = @_;
    return $self->frame(RST_STREAM, 0, $id, pack 'N', 8);
}


sub answer {
    my ($self, $id) = @_;

    my $s = $self->{streams}{$id};
    $self->until(sub { $s->{ended} || $s->{over} });
    return { %$s, json => ImageVault::Flight::parsed($s->{body}) };
}


# takes frames in until this is true
sub until {
    my ($self, $true) = @_;

    my $end = Time::HiRes::time() + $Patience;
    my $select = IO::Select->new($self->{socket});
    while (!$true->()) {
        if (length $self->{in} >= 9) {
            my $n = unpack 'N', "\0" . substr $self->{in}, 0, 3;
            if (length $self->{in} >= 9 + $n) {
                my (undef, $type, $flags, $id) = unpack 'a3CCN', $self->{in};
                my $load = substr $self->{in}, 9, $n;
                substr $self->{in}, 0, 9 + $n, '';
                $self->take($type, $flags, $id, $load);
                next;
            }
        }
        die "no answer\n" if !$select->can_read($end - Time::HiRes::time());
        next if sysread $self->{socket}, $self->{in}, 65536,
                        length $self->{in};
        $_->{over} = 1 for values %{ $self->{streams} };
        die "closed\n" if !$true->();
    }
}


sub take {
    my ($self, $type, $flags, $id, $load) = @_;

    my $s = $self->{streams}{$id} // {};
    if ($type == SETTINGS && !($flags & 1)) {
        while ($load =~ /\G(..)(....)/gs) {
            next if unpack('n', $1) != 4;
            my $more = unpack('N', $2) - $self->{initial};
            $_->{window} += $more for values %{ $self->{streams} };
            $self->{initial} += $more;
        }
        $self->frame(SETTINGS, 1, 0, '');
        $self->{settled} = 1;
    } elsif ($type == WINDOW_UPDATE) {
        my $w = $id ? \$s->{window} : \$self->{window};
        $$w += unpack 'N', $load;
    } elsif ($type == PING && !($flags & 1)) {
        $self->frame(PING, 1, 0, $load);
    } elsif ($type == HEADERS) {
        $load =~ s/\A\x20//;        # a new size of the table
        $s->{status} = $load =~ /\A[\x08\x48]\x03(\d+)/ ? $1
                     : $Indexed{ord $load} // 0;
    } elsif ($type == DATA) {
        $s->{body} .= $load;
    } elsif ($type == RST_STREAM) {
        $s->{reset} = unpack 'N', $load;
        $s->{over} = 1;
    } elsif ($type == GOAWAY) {
        $self->{goaway} = 1;
    }
    # the answer is whole; the stream may still take the body
    $s->{ended} = 1 if $flags & 1 && ($type == HEADERS || $type == DATA);
}


1;
