#!/bin/sh
# Ten thousand operations of search against its oracle.  Called by
# test/suites.sh from the top of a built tree.
set -eu
SEARCH_OPERATIONS="${SEARCH_OPERATIONS:-10000}" exec perl test/t/061_search_oracle.pl
