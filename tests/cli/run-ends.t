#!/bin/sh
# How runs and commands of weir run end: tries, time-outs, --halt, signals.
# The scripts in quotes are the commands' own, and {1} is a place.
# shellcheck disable=SC2016,SC1083
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/run-lib.sh
. "$(dirname "$0")/run-lib.sh"

# Tries.
cat >"$tmp/nth" <<'END'
#!/bin/sh
# nth N CODE: ends with CODE before the Nth try.
[ "$WEIR_ATTEMPT" -ge "$1" ] || exit "$2"
END
chmod +x "$tmp/nth"
fast='--retries 3 --backoff 1ms..5ms'
# shellcheck disable=SC2086 # words
weir $fast --log "$tmp/l" "$tmp/nth" {1} {2} ::: 1 3 4 9 ::: 7
expect_status 123
expect_json "$tmp/l" 'by("attempt")' \
	'[1, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4]'
expect_json "$tmp/l" 'by("will_retry")' \
	'[False, True, True, False, True, True, True, False, True, True, True, False]'
match_err 'nth 9 7 .*exit 7.*(attempt 4/4)'
match_err 'nth 9 7 .*exit 7.*try 2/4'
match_err '^ran 3 of 4 in .*, 8 retries'
weir --retries 0 --log "$tmp/l" "$tmp/nth" 2 1 :::  a
expect_json "$tmp/l" 'by("attempt")' '[1]'
# shellcheck disable=SC2086
weir $fast --retry-on 7,75 --log "$tmp/l" "$tmp/nth" 2 ::: 6 7 8 75
expect_status 123
expect_json "$tmp/l" 'by("exit")' '[6, 7, 0, 8, 75, 0]'
# shellcheck disable=SC2086
weir $fast --retry-on signal --log "$tmp/l" sh -c '[ $WEIR_ATTEMPT = 3 ] ||
	[ "$1" = 0 ] || kill -s "$1" $$; exit 5' sh ::: 0 KILL SEGV
expect_json "$tmp/l" 'by("signal")' \
	"[None, 'SIGKILL', 'SIGKILL', None, 'SIGSEGV', 'SIGSEGV', None]"
# shellcheck disable=SC2086
weir $fast --retry-on timeout --timeout 50ms --log "$tmp/l" sh -c '
	[ $WEIR_ATTEMPT = 2 ] || sleep 60' sh ::: a
expect_status 0 'tried again after a time-out'
expect_json "$tmp/l" 'len(r)' 2
# shellcheck disable=SC2086
weir $fast --retry-on signal --timeout 50ms --log "$tmp/l" sleep ::: 60
expect_json "$tmp/l" 'len(r)' 1
# shellcheck disable=SC2086
weir $fast --retry-on any --log "$tmp/l" {} ::: nosuch-command
expect_json "$tmp/l" 'len(r)' 4
weir --retries 2 --backoff 1ms "$tmp/nth" 3 1 ::: a
expect_status 0 'one time for --backoff'
# The wait is real: without a limit from above, which a busy machine breaks.
weir --retries 1 --backoff 300ms..300ms --log "$tmp/l" "$tmp/nth" 2 1 ::: a
expect_status 0

# Time-outs, and what ignores TERM, and its children.
weir --timeout 100ms --log "$tmp/l" sleep 60 ::: 
expect_status 0
weir --timeout 100ms --log "$tmp/l" sleep ::: 60
expect_status 123
match_err 'sleep 60 .*timed out after [0-9.]*m\?s'
match_err '1×timeout'
expect_json "$tmp/l" '[by("status"), by("signal")]' "[['failed'], ['SIGTERM']]"
weir --timeout 100ms --kill-after 100ms --log "$tmp/l" \
	sh -c 'trap "" TERM; sleep 60; sleep 60' sh ::: 1
expect_status 123
expect_json "$tmp/l" 'by("signal")' "['SIGKILL']"
weir --timeout 100ms sh -c 'trap "echo cleaned; exit 0" TERM
	while :; do sleep 0.01; done' sh ::: 1
expect_status 123 'who ends well after a time-out has still timed out'
expect_out cleaned
weir --timeout 100ms sh -c 'sleep 61 & sleep 62 & wait' sh ::: 1 2
gone 'a time-out ends the whole group'
weir --timeout 100ms --kill-after 100ms sh -c 'trap "" TERM
	sleep 61 & sleep 62' sh ::: 1 2
gone 'also if it ignores TERM'
weir sh -c 'sleep 61 & echo $1' sh ::: 1
expect_out 1
expect_status 0 'what holds the output does not hold up the result'
gone 'what a command leaves behind is ended'
weir sh -c 'sleep 61 >/dev/null 2>&1 &' sh ::: 1 2 3
gone 'also without our pipes'
weir setsid sh -c 'sleep 61 >/dev/null 2>&1 &' sh ::: 1 2 3
gone 'and in a session of its own'

# --halt.
weir -j 1 --halt now,fail=1 --log "$tmp/l" sh -c 'exit $1' sh ::: 0 1 0 0
expect_status 124
expect_json "$tmp/l" 'by("exit")' '[0, 1]'
match_err '^halted: ok 1  failed 1  not started 2$'
match_err '^try: weir run --resume'
weir -j 1 --halt soon,fail=2 --log "$tmp/l" sh -c 'exit $1' sh ::: 0 1 0 1 1
expect_status 124
expect_json "$tmp/l" 'len(r)' 4
weir -j 1 --halt soon,success=2 --log "$tmp/l" sh -c 'exit $1' sh ::: 1 0 0 0
expect_status 124
expect_json "$tmp/l" 'by("exit")' '[1, 0, 0]'
weir -j 1 --halt now,done=2 --log "$tmp/l" true ::: 1 2 3
expect_status 124
expect_json "$tmp/l" 'len(r)' 2
weir -j 1 --halt now,fail=50% --log "$tmp/l" sh -c 'exit $1' sh \
	::: 1 1 1 0 0 0
expect_status 124
expect_json "$tmp/l" 'len(r)' 3
weir -j 1 --halt now,fail=1 true ::: 1 2
expect_status 0 'nothing to halt for'
weir -j 1 --halt never false ::: 1 2
expect_status 123
weir -j 1 --halt now,fail=1 sh -c 'exit $1' sh ::: 0 1
expect_status 123 'halted when all was done: not early'
weir -j 2 --halt now,fail=1 --log "$tmp/l" sh -c '[ $1 = 1 ] || {
	until [ -e '"$tmp/running"' ]; do sleep 0.01; done; exit 1; }
	: >'"$tmp/running"'; sleep 63' sh ::: 1 2 3
expect_status 124
expect_json "$tmp/l" 'by("status")' "['cancelled', 'failed']"
match_err '^halted: ok 0  failed 1  cancelled 1  not started 1$'
rm -f "$tmp/running" "$tmp/failed"
weir -j 2 --halt soon,fail=1 --log "$tmp/l" sh -c 'case $1 in
	1) : >'"$tmp/running"'; until [ -e '"$tmp/failed"' ]; do sleep 0.01
		done; sleep 0.2 ;;
	*) until [ -e '"$tmp/running"' ]; do sleep 0.01; done
		: >'"$tmp/failed"'; exit 1 ;;
	esac' sh ::: 1 2 3
expect_status 124
expect_json "$tmp/l" 'by("status")' "['ok', 'failed']"

# --max-time.
weir -j 1 --max-time 200ms --log "$tmp/l" sleep ::: 60 60
expect_status 124
expect_json "$tmp/l" 'by("status")' "['cancelled']"
gone 'nothing is left after --max-time'
weir --max-time 60s true ::: 1
expect_status 0

# Signals.  What sh starts in the background ignores INT and QUIT.
begin() {
	rm -f "$tmp/ready" "$tmp/go"
	start env --default-signal=HUP,INT,QUIT "$mark" "$WEIR" run -j 1 --log "$tmp/l" \
		"$@" >"$out" 2>"$err" </dev/null
	run_line="weir run $*"
	wait_for 10 test -e "$tmp/ready"
}
finish() {
	wait "$pid"
	status=$?
}
waits='touch '"$tmp"'/ready; until [ -e '"$tmp"'/go ]; do sleep 0.01; done'
begin sh -c "$waits" sh ::: 1 2 3
kill -TERM "$pid"
check 'tells what it does' wait_for 10 grep -q \
	'^draining: 1 running, 2 not started' "$err"
: >"$tmp/go"
finish
expect_status 143
match_err '^stopped after drain: ok 1  failed 0  not started 2$'
match_err '^try: weir run --resume'
expect_json "$tmp/l" 'by("status")' "['ok']"
begin sh -c "$waits" sh ::: 1
kill -INT "$pid"
wait_for 10 grep -q '^draining' "$err"
: >"$tmp/go"
finish
expect_status 0 'a signal with nothing left to do'
begin sh -c "$waits" sh ::: 1 2
kill -INT "$pid"
wait_for 10 grep -q '^draining' "$err"
kill -INT "$pid"
finish
expect_status 130
match_err '^stopped: ok 0  failed 0  cancelled 1  not started 1$'
expect_json "$tmp/l" '[by("status"), by("signal")]' "[['cancelled'], ['SIGTERM']]"
begin --kill-after 60s sh -c "trap '' TERM; $waits" sh ::: 1 2
for _ in 1 2 3; do
	kill -TERM "$pid"
	sleep 0.2
done
finish
expect_status 143 'the third signal waits for nothing'
gone 'and leaves nothing'
begin sh -c "$waits" sh ::: 1 2
kill -QUIT "$pid"
finish
expect_status 131
gone 'QUIT ends all at once'
begin sh -c "$waits" sh ::: 1 2
kill -HUP "$pid"
wait_for 10 grep -q '^draining' "$err"
: >"$tmp/go"
finish
expect_status 129
begin --grace 100ms sh -c "$waits" sh ::: 1 2
kill -TERM "$pid"
finish
expect_status 143 '--grace'
expect_json "$tmp/l" 'by("status")' "['cancelled']"
begin sh -c "$waits" sh ::: 1 2
kill -USR1 "$pid"
check 'USR1 tells the state' wait_for 10 grep -q '0/2 .*1/1 busy' "$err"
: >"$tmp/go"
finish
expect_status 0
begin --retries 5 --backoff 60s..60s sh -c 'touch '"$tmp/ready"'; exit 1' \
	sh ::: 1
wait_for 10 test -s "$tmp/l"
kill -TERM "$pid"
finish
check 'a signal ends the wait for another try' test "$status" -ne 0
# We die: so do they.
begin sh -c "$waits" sh ::: 1 2
kill -KILL "$pid"
finish
gone 'when weir is killed, nothing stays'

# Starts.  Whatever the machine does, they cannot come too early.
# last_start_after MS: since $began
# shellcheck disable=SC2317 # check calls it
last_start_after() {
	last=$(sort -n "$out" | tail -n 1)
	[ $(((last - began) / 1000000)) -ge "$1" ]
}
began=$(date +%s%N)
weir -j 8 --delay 100ms sh -c 'date +%s%N' sh ::: 1 2 3 4
check '--delay is between two starts' last_start_after 300
began=$(date +%s%N)
weir -j 8 --rate 20/s sh -c 'date +%s%N' sh ::: 1 2 3 4 5 6 7 8 9
check '--rate: nine starts take eight intervals' last_start_after 400
weir -j 3 sh -c 'echo + >>'"$tmp/width"'; sleep 0.05
	echo - >>'"$tmp/width" sh ::: 1 2 3 4 5 6 7 8 9
check 'never more than -j at once' awk '{ n += $1 == "+" ? 1 : -1
	if (n > 3) bad = 1 } END { exit bad }' "$tmp/width"

# A jobserver of make's.
if command -v make >/dev/null; then
	cat >"$tmp/Makefile" <<END
all: ; +@'$WEIR' run --jobserver -j 8 sh -c \\
	'echo + >>'$tmp/tokens'; sleep 0.1; echo - >>$tmp/tokens' \\
	sh ::: 1 2 3 4 5 6 7 8
END
	run make -s -j 2 -C "$tmp" all </dev/null
	expect_status 0
	check 'shares the jobs of make' awk '{ n += $1 == "+" ? 1 : -1
		if (n > most) most = n } END { exit most != 2 || NR != 16 }' \
		"$tmp/tokens"
	# Tokens are given back: make can use them after us.
	cat >"$tmp/Makefile" <<END
all: a b
	@echo all
a: ; +@'$WEIR' run -q --jobserver -j 8 true ::: 1 2 3 4 5 6 7 8
b: ; +@'$WEIR' run -q --jobserver -j 8 false ::: 1 2 3 4 5 6 7 8; true
END
	run make -s -j 3 -C "$tmp" all </dev/null
	expect_status 0
	expect_out all
	check 'make misses no token' sh -c "! grep -q 'INTERNAL' '$err'"
else
	skip 'shares the jobs of make' 'make is missing'
fi
weir --jobserver true ::: 1
expect_status 1
match_err 'jobserver'

done_testing
