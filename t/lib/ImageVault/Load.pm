package ImageVault::Load;

# A process that holds thousands of connections, or times requests beside one
# that does: t/lib/overload.py tells of the commands.
#
#   my $l = ImageVault::Load->new(port => …);
#   $l->do('uploads', count => 1000, …);  $l->do('status');

use v5.10;
use strict;
use warnings;

use IPC::Open2;
use JSON::PP ();

my $Json = JSON::PP->new->utf8->canonical;


sub new {
    my ($class, %a) = @_;

    my $self = bless {%a}, $class;
    $self->{pid} = open2($self->{from}, $self->{to},
                         $ENV{TEST_PYTHON} // 'python3', 't/lib/overload.py');
    $self->{to}->autoflush(1);

    return $self;
}


sub do {
    my ($self, $what, %a) = @_;

    my $to = $self->{to};
    my $from = $self->{from};
    print $to $Json->encode({ port => $self->{port}, %a, do => $what }), "\n";
    my $line = <$from> // die "overload.py: $what: it is gone\n";
    my $answer = $Json->decode($line);
    die "overload.py: $what: $answer->{error}\n" if $answer->{error};

    return $answer;
}


sub end {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;
    close $self->{to};
    local $?;
    waitpid $pid, 0;
}


sub DESTROY { $_[0]->end }


1;
