# What scripts/queue-failures and scripts/fleet-failures share: steps, each a
# function step_NAME whose last line is "N passed, N failed"; and a log of them.
#
# Before it is sourced, $self and $steps are set; behind it, run_steps "$@".

build='build-check'
times=1
seed=$((RANDOM * 32768 + RANDOM))
only=
write_log=
passed=0
failed=0
skipped=0
began=$SECONDS
said=$(mktemp)
trap 'rm -f "$said" "$said.tap"' EXIT

parse_options() {
	while (($#)); do
		case $1 in
		--times) times=${2:?} && shift ;;
		--seed) seed=${2:?} && shift ;;
		--only) only=${2:?} && shift ;;
		--log) write_log=yes ;;
		*)
			echo "usage: scripts/$self [--times N] [--seed S]" \
				"[--only STEP] [--log]; steps: $steps" >&2
			exit 2
			;;
		esac
		shift
	done
	if [[ -n $only && " $steps " != *" $only "* ]]; then
		echo "$self: no step is called '$only'; there are: $steps" >&2
		exit 2
	fi
}

# A program of tests; its counts as its last line.
tap_program() {
	"$@" >"$said.tap" 2>&1
	cat "$said.tap"
	echo "$(grep -c '^ok' "$said.tap") passed," \
		"$(grep -c '^not ok' "$said.tap") failed"
	! grep -q '^not ok' "$said.tap" && grep -q '^ok' "$said.tap"
}

row() {
	printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$(date -u +%F)" \
		"$(git rev-parse --short HEAD)" "$1" "$seed" "$2" "$3" \
		"$(counts)" >>tests/long-log.md
}

step() {
	local name=$1 at=$SECONDS status line
	echo "== $name"
	"step_$name" 2>&1 | tee "$said"
	status=${PIPESTATUS[0]}
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$said" | tail -n 1)
	if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)? ]]; then
		((passed += BASH_REMATCH[1], failed += BASH_REMATCH[2]))
		((skipped += ${BASH_REMATCH[4]:-0}))
		((status != 0 && BASH_REMATCH[2] == 0)) && ((failed++))
	else
		((failed++))
	fi
	echo "-- $name: status $status, $((SECONDS - at)) s"
	[[ -z $write_log ]] || row "$name" "$((SECONDS - at)) s" \
		"$( ((status == 0)) && echo passed || echo FAILED)"
}

run_steps() {
	local each

	parse_options "$@"
	# Time limits of the tests are for what they do in make check.
	export WEIR_TEST_SEED=$seed WEIR_TEST_SLOW=$((times * 4))
	export WEIR_BUILD=$PWD/$build WEIR_SOURCE=$PWD
	scripts/build "$build" --buildtype=debugoptimized || exit 1
	echo "seed $seed"
	for each in ${only:-$steps}; do
		step "$each"
	done
	echo "took $((SECONDS - began)) s"
	if ((skipped > 0)); then
		echo "$passed passed, $failed failed, $skipped skipped"
	else
		echo "$passed passed, $failed failed"
	fi
	((failed == 0 && passed > 0))
}
