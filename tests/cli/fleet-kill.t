#!/bin/sh
# Who works and who fills a queue on PostgreSQL is killed, stopped and cut off,
# and the server, too: a slice of what tests/long-fleet-kill does.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# slice NAME OPTIONS...
slice() {
	slice_name=$1
	shift
	run "${WEIR_SOURCE:?}/tests/long-fleet-kill" --build "$WEIR_BUILD" \
		--kills 0 --restarts 0 --stops 0 --failovers 0 --partitions 0 \
		"$@"
	grep '^# ' "$out"
	if grep -q '^# no PostgreSQL' "$out"; then
		skip "$slice_name" 'no PostgreSQL'
	else
		check "$slice_name" [ "$status" -eq 0 ]
	fi
}

case ${WEIR_TEST_SLOW:-1} in
1) kills=60 stops=4 ;;
*) kills=18 stops=2 ;;
esac

slice 'nothing is lost and no effect is doubled by kills' --kills "$kills"
slice 'the server may stop at once, and its replica take over' \
	--restarts "$stops" --failovers 1
slice 'whoever was stopped or cut off past its lease finishes nothing stale' \
	--stops "$stops" --partitions "$stops"

done_testing
