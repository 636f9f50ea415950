package ImageVault::Kept;

# Many small requests, one after the other, on a connection that is kept.

use v5.10;
use strict;
use warnings;

use IO::Socket::INET;


sub new {
    my ($class, $port) = @_;

    return bless { port => $port }, $class;
}


# one request, as (method, path, headers...), with a reference to its body as
# the last argument, if it has one: { status, head, body }
sub ask {
    my ($self, $method, $path, @headers) = @_;

    my $content = ref $headers[-1] ? ${ pop @headers } : '';
    push @headers, 'Content-Length: ' . length $content if $content ne '';

    for my $try (1, 2) {
        my $s = $self->{socket} //= $self->connection;
        print $s join("\r\n", "$method $path HTTP/1.1", 'Host: vault',
                      @headers) . "\r\n\r\n$content";
        my $r = $self->answer($method);
        return $r if $r;
    }
    die "no answer to $method $path\n";
}


sub connection {
    my ($self) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}",
                                  Timeout => 5)
        or die "connect: $!";
    $s->autoflush(1);

    return $s;
}


sub answer {
    my ($self, $method) = @_;

    my ($head, $body, $s) = ('', '', $self->{socket});
    while (my $line = <$s>) {
        $head .= $line;
        last if $line eq "\r\n";
    }
    if ($head eq '') {
        delete $self->{socket};
        return;
    }

    my ($length) = $head =~ /^Content-Length: (\d+)/mi;
    read $s, $body, $length if $length && $method ne 'HEAD';
    delete $self->{socket} if $head =~ /^Connection: close/mi;

    my ($status) = $head =~ m{\AHTTP/1\.1 (\d+)};
    return { status => $status, head => $head, body => $body };
}


# an answer without what differs from one to the next anyway
sub bare {
    my ($r) = @_;

    my ($head, $body) = @{$r}{qw(head body)};
    $head =~ s/^Date: .*\r\n//m;
    $body =~ s/"requestId":"[0-9a-f]{32}"/"requestId":""/;

    return $head . $body;
}


1;
