#!/bin/sh
# Who works and who fills a queue is killed at random instants, and stopped
# past its lease: a slice of what tests/long-queue-kill does.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

# slice NAME OPTIONS...
slice() {
	slice_name=$1
	shift
	run "${WEIR_SOURCE:?}/tests/long-queue-kill" --build "$WEIR_BUILD" "$@"
	grep '^# ' "$out"
	check "$slice_name" [ "$status" -eq 0 ]
}

case ${WEIR_TEST_SLOW:-1} in
1) kills=500 stops=20 ;;
*) kills=60 stops=4 ;;
esac

slice 'nothing is lost and no effect is doubled by kills' --kills "$kills"
slice 'whoever was stopped past its lease finishes nothing stale' \
	--kills 0 --stops "$stops"

done_testing
