#!/bin/sh
# Signals at random instants: each run ends in time, with the right status and
# records that are exact.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"

site_start || exit 1
seed=${WEIR_TEST_SEED:-$$}
echo "# seed $seed; repeat with WEIR_TEST_SEED=$seed"

"$WEIR_BUILD/examples/sample-site" --urls 2000 --base "$site" >"$tmp/list"

# random N: 0 to N - 1, the same for the same seed
random() {
	seed=$(((seed * 1103515245 + 12345) % 2147483648))
	echo $((seed / 65536 % $1))
}

sleep_ms() {
	sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}

# What is wrong with the run that has just ended, or nothing.
judge() {
	lines=$(wc -l <"$out")
	unique=$(sed 's/.*"id":\([0-9]*\),.*/\1/' "$out" | sort -u | wc -l)
	[ "$lines" -eq "$unique" ] || echo "a URL has two records"
	[ -z "$(tail -c 1 "$out")" ] || echo "the last record is torn"
	[ "$took" -lt 10000 ] || echo "took $took ms"
	# Too early, or too late, for there to be work left.
	if [ "$status" -eq 0 ] || [ "$status" -eq 123 ]; then
		[ "$lines" -eq 2000 ] || echo "$lines records, status $status"
		return
	fi
	[ "$status" -eq "$1" ] || echo "status $status, not $1"
	# It had not even begun to listen to signals.
	[ -s "$out" ] || [ -s "$err" ] || return
	rest=$(sed -n 's/.*not started \([0-9 ]*\)+\{0,1\}$/\1/p' "$err" | tr -d ' ')
	[ $((lines + ${rest:-0})) -eq 2000 ] ||
		echo "$lines records and ${rest:-none} not started"
}

run_once() {
	case $(random 2) in
	0) signal=INT expected=130 ;;
	*) signal=TERM expected=143 ;;
	esac
	delay=$(random 900)
	# What sh starts in the background ignores INT and QUIT.
	env --default-signal=INT,QUIT "$WEIR" fetch --json --per-host 0 -j 32 --retries 2 --grace 5s \
		"$tmp/list" >"$out" 2>"$err" </dev/null &
	pid=$!
	sleep_ms "$delay"
	began=$(date +%s%N)
	kill -s "$signal" "$pid" 2>/dev/null
	if [ "$(random 2)" -eq 0 ]; then
		sleep_ms "$(random 100)"
		kill -s "$signal" "$pid" 2>/dev/null
	fi
	wait "$pid"
	status=$?
	took=$((($(date +%s%N) - began) / 1000000))
	judge "$expected"
}

runs=${WEIR_TEST_KILL_RUNS:-60}
wrong=
for i in $(seq 1 "$runs"); do
	wrong="$wrong$(run_once | sed "s/^/run $i: /")"
	# The subshell has its own copy of the seed.
	random 2 >/dev/null
done
if [ -z "$wrong" ]; then
	ok "$runs runs end well at random instants"
else
	not_ok "$runs runs end well at random instants" "$wrong"
fi

# The second signal does not wait for what runs, the first does.
printf '%s\n' "$site/slow/1500" "$site/fast/1" >"$tmp/slow"
stop_after() {
	env --default-signal=INT,QUIT "$WEIR" fetch --json "$tmp/slow" \
		>"$out" 2>"$err" </dev/null &
	pid=$!
	sleep 0.5
	for signal in "$@"; do
		kill -s "$signal" "$pid"
		sleep 0.1
	done
	wait "$pid"
	status=$?
	run_line="weir fetch, and $*"
}
stop_after TERM
expect_status 0
check 'the first signal lets transfers end' test "$(count_of "$out" ok)" -eq 2
match_err '^draining: 1 running, 0 not started'
stop_after TERM TERM
expect_status 143
check 'the second cancels them' test "$(count_of "$out" cancelled)" -eq 1
stop_after INT INT
expect_status 130
stop_after QUIT
expect_status 131
stop_after USR1
expect_status 0
match_err '1/2 .*busy'

# Nobody reads standard error, and its pipe is full: signals are still obeyed.
mkfifo "$tmp/full"
exec 3<>"$tmp/full"
timeout 1 cat /dev/zero >&3
echo "$site/drip/100" >"$tmp/drip"
timeout -s KILL 20 "$WEIR" fetch "$tmp/drip" >"$out" 2>&3 3>&- &
pid=$!
sleep 0.5
for signal in TERM TERM; do
	# To the command, not to timeout: that passes on only one.
	kill -s "$signal" "$(cat "/proc/$pid/task/$pid/children")"
	sleep 2
done
wait "$pid"
status=$?
run_line='weir fetch, and TERM TERM with standard error full'
expect_status 143
exec 3>&-

done_testing
