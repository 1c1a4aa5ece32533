#!/bin/sh
# A slice of tests/long-run-kill: weir run is stopped at random instants, and
# leaves no process behind and no record out.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

trials=${WEIR_TEST_KILL_RUNS:-60}
seed=${WEIR_TEST_SEED:-$$}
run "$(dirname "$0")/../long-run-kill" --build "$WEIR_BUILD" \
	--trials "$trials" --seed "$seed"
sed 's/^/# /' "$out"
check "$trials runs end well at random instants" test "$status" -eq 0
check 'signals were sent, and runs were stopped by them' \
	grep -q 'trials, .*statuses .*1[34][0-9]: ' "$out"

done_testing
