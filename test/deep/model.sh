#!/bin/sh
# Check the model of the lease protocol with spin, and see that the checker
# finds what is wrong with each broken variant.  See test/model/README.md.
set -eu
model=$PWD/test/model/lease.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$model" .

# errors [SPIN OPTION...]: how many errors the checker finds.
errors()
{
    spin "$@" -a lease.pml
    cc -O2 -DSAFETY -o pan pan.c
    ./pan -m100000 >pan.log || true
    sed -n 's/.*errors: \([0-9]*\)$/\1/p' pan.log
}

for options in '-DCRASHES=2' '-DCLIENTS=3 -DCLAIMS=1'; do
    # shellcheck disable=SC2086
    if [ "$(errors $options)" != 0 ]; then
        echo "the protocol fails with $options:"
        cat pan.log
        # shellcheck disable=SC2086
        spin $options -t -p lease.pml | tail -n 60
        exit 1
    fi
    grep 'states, stored' pan.log
done
for broken in NO_FENCING NO_VERIFY SETTLE_FIRST FREE_EARLY; do
    if [ "$(errors "-D$broken")" != 1 ]; then
        echo "the checker does not find what is wrong with $broken"
        exit 1
    fi
    echo "$broken: $(grep 'assertion violated' pan.log)"
done
