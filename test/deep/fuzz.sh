#!/bin/sh
# Mutated documents, robots.txt files and frames for the helper programs, for
# as long as FUZZ_MINUTES says (3).  Called by test/suites.sh from the top of a
# built tree.
set -eu
make -s -f test/agent/Makefile
exec perl test/deep/fuzz.pl "${FUZZ_MINUTES:-3}" "${FUZZ_SEED:-$(date +%s)}"
