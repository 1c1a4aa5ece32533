#!/bin/sh
# The same inputs through GNU parallel, xargs and weir run: run-peers.py has
# the cases, at random from a seed.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v parallel >/dev/null ||
	! parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
	echo '1..0 # SKIP GNU parallel is missing'
	exit 0
fi
seed=${WEIR_TEST_SEED:-$$}
echo "# seed $seed; repeat with WEIR_TEST_SEED=$seed"
python3 "$(dirname "$0")/run-peers.py" --weir "$WEIR" \
	--argdump "$WEIR_BUILD/tests/argdump" --folder "$tmp" --seed "$seed" \
	--cases "${WEIR_TEST_PEERS_CASES:-40}"
