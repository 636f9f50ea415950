# The chaos suite's short form, always the same: see util/chaos.
#
# alone: it looks how long answers take, and kills what it runs on.

use v5.10;
use strict;
use warnings;

$ENV{IV_CACHE} or die "IV_CACHE is not set: run the tests by 'make test'\n";
exec $ENV{TEST_PYTHON} // 'python3', 't/chaos/chaos.py', '--tap', '--seconds', 10,
     '--seed', 1, '--members', 1, '--clients', 6 or die "exec: $!\n";
