#!/bin/sh
# More databases with keys than there are places for, one after the other.
# Called by test/suites.sh from the top of a built tree.
set -eu
exec perl test/deep/databases.pl
