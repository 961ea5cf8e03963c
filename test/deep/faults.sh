#!/bin/sh
# The queue under faults, for longer: as test/t/061_faults.pl with more jobs
# and FAULT_ROUNDS (20) rounds of kills and immediate stops.
set -eu
FAULT_JOBS=${FAULT_JOBS:-3000} FAULT_ROUNDS=${FAULT_ROUNDS:-20}
export FAULT_JOBS FAULT_ROUNDS
exec prove test/t/061_faults.pl
