#!/bin/sh
# What weir run prints: whole lines, whole jobs, in order, to whom it belongs.
# The scripts in quotes are the commands' own, and {1} is a place.
# shellcheck disable=SC2016,SC1083
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/run-lib.sh
. "$(dirname "$0")/run-lib.sh"

# Grouped: as they end, or in order.  The first waits for a file of the second.
cat >"$tmp/turn" <<'END'
#!/bin/sh
# turn ITEM: the first ends after the second, whatever the clock says.
echo "begin $1"
echo "err $1" >&2
if [ "$1" = 1 ]; then
	until [ -e "$0.go" ]; do sleep 0.01; done
else
	: >"$0.go"
fi
echo "end $1"
END
chmod +x "$tmp/turn"
fresh() {
	rm -f "$tmp/turn.go"
}
fresh
weir -j 2 -q -k "$tmp/turn" ::: 1 2
expect_out 'begin 1
end 1
begin 2
end 2'
expect_err 'err 1
err 2'
# Both have begun before one ends; grouped, their lines are not mixed.
fresh
weir -j 2 -q "$tmp/turn" ::: 1 2
sed 's/begin \(.\)/b\1/; s/end \(.\)/e\1/' "$out" | tr -d '\n' >"$tmp/order"
check 'grouped by job' grep -qx 'b2e2b1e1\|b1e1b2e2' "$tmp/order"
fresh
weir -j 2 -q -k --tag "$tmp/turn" ::: 1 2
expect_out "$(printf '1\tbegin 1\n1\tend 1\n2\tbegin 2\n2\tend 2')"
expect_err "$(printf '1\terr 1\n2\terr 2')"
# By lines: the first's first line comes before the second's last.
fresh
weir -j 2 -q --line-buffer "$tmp/turn" ::: 1 2
sort "$out" >"$tmp/sorted"
expect_text "$tmp/sorted" 'all lines with --line-buffer' 'begin 1
begin 2
end 1
end 2'
check 'and in the order of each' test "$(grep 1 "$out" | tr '\n' ,)" \
	= 'begin 1,end 1,'
mkfifo "$tmp/lines"
cat >"$tmp/ask" <<'END'
#!/bin/sh
echo ready
until [ -e "$1" ]; do sleep 0.01; done
echo over
END
chmod +x "$tmp/ask"
"$WEIR" run -q --line-buffer "$tmp/ask" ::: "$tmp/asked" \
	>"$tmp/lines" </dev/null &
exec 4<"$tmp/lines"
read -r line <&4
check 'a line comes while the job still runs' test "$line" = ready
: >"$tmp/asked"
check 'and the rest when it comes' test "$(cat <&4)" = over
exec 4<&-
wait $!

# Exact bytes, and a last line without a newline.
weir -q printf 'a\0b\377\n\r\n\tno newline' ::: x
printf 'a\0b\377\n\r\n\tno newline' >"$tmp/bytes"
check 'bytes come out as they went in' cmp "$tmp/bytes" "$out"
for mode in -k --line-buffer -u; do
	weir -q "$mode" printf 'a\0b\377\n\r\n\tno newline' ::: x
	check "bytes come out as they went in, $mode" cmp "$tmp/bytes" "$out"
done
# With jobs after one another, one's rest must not stick to another's line.
weir -q -k -j 1 printf %s ::: a b c
printf abc >"$tmp/bytes"
check 'nothing is added to output that is grouped' cmp "$tmp/bytes" "$out"
weir -q -k -j 1 --tag printf '%s\nx\n' ::: a b
check 'a tag stands at the beginning of each line' \
	test "$(grep -c "$(printf '^[ab]\t')" "$out")" = 4

# Large output: several at once, more than any buffer, and in whole lines.
cat >"$tmp/large" <<'END'
#!/bin/sh
seq -f "$1 %.0f" 30000
END
chmod +x "$tmp/large"
for n in 1 2 3 4 5 6 7 8; do
	seq -f "$n %.0f" 30000
done >"$tmp/expected"
weir -q -k -j 4 "$tmp/large" ::: 1 2 3 4 5 6 7 8
check 'megabytes, in order' cmp "$tmp/expected" "$out"
for mode in '' --line-buffer; do
	# shellcheck disable=SC2086
	weir -q $mode -j 4 "$tmp/large" ::: 1 2 3 4 5 6 7 8
	sort -s -k 1,1n "$out" >"$tmp/sorted"
	check "megabytes, mixed by whole lines only $mode" \
		cmp "$tmp/expected" "$tmp/sorted"
done
weir -q --tag --line-buffer -j 4 "$tmp/large" ::: 1 2 3
check 'each line has its tag' \
	test "$(awk -F '\t' '$1 != substr($2, 1, 1)' "$out" | wc -l)/$(wc -l \
		<"$out")" = 0/90000
# Lines that are written in bits, by jobs that take turns.
cat >"$tmp/bits" <<'END'
#!/bin/sh
i=0
while [ $i -lt 200 ]; do
	printf '%s' "$1$1$1$1"
	printf '%s\n' "$1$1$1$1"
	i=$((i + 1))
done
END
chmod +x "$tmp/bits"
weir -q --line-buffer -j 4 "$tmp/bits" ::: a b c d
check 'lines written in bits come out whole' \
	test "$(sort "$out" | uniq -c | tr -s ' ' | tr '\n' ,)" = \
	' 200 aaaaaaaa, 200 bbbbbbbb, 200 cccccccc, 200 dddddddd,'
# A line that never ends must not need memory for ever, nor get lost.
weir -q --line-buffer -j 2 sh -c 'head -c 5000000 /dev/zero | tr "\0" "$1"' \
	sh ::: a b
check 'a line of megabytes is not lost' \
	test "$(tr -cd a <"$out" | wc -c)/$(tr -cd b <"$out" | wc -c)" = \
	5000000/5000000

# Ungrouped: the descriptors are ours.
weir -q -u sh -c 'readlink /proc/self/fd/1' sh ::: a
expect_out "$out"
weir -q -u -j 1 echo ::: a b
expect_out 'a
b'

# Nobody reads.
("$WEIR" run --line-buffer yes ::: a a 2>"$err" </dev/null
echo $? >"$tmp/status") | head -n 1 >"$out"
status=$(cat "$tmp/status")
run_line='weir run --line-buffer yes ::: a a | head -n 1'
expect_out a
expect_status 141
seq 100000 >"$tmp/many"
("$WEIR" run -j 2 -n 10 -a "$tmp/many" echo 2>"$err" </dev/null
echo $? >"$tmp/status") | head -n 1 >/dev/null
check 'stops when nobody reads' test "$(cat "$tmp/status")" = 141
# Standard error that nobody reads is nothing to stop for.
("$WEIR" run -j 2 sh -c 'echo x >&2; echo y' sh ::: 1 2 3 </dev/null \
	2>&1 >"$out"
echo $? >"$tmp/status") | true
check 'goes on when nobody reads standard error' \
	test "$(cat "$tmp/status")/$(grep -c y "$out")" = 0/3

# Records on standard output; the commands' output on standard error.
weir -q --json sh -c 'echo out; echo err >&2' sh ::: a
expect_json "$out" '[len(r), r[0]["status"], r[0]["stdout_bytes"]]' \
	"[1, 'ok', 4]"
sort "$err" >"$tmp/sorted"
expect_text "$tmp/sorted" 'output goes to stderr with --json' 'err
out'

# Of tries that are followed by another only standard error is printed.
cat >"$tmp/flaky" <<'END'
#!/bin/sh
echo "out $WEIR_ATTEMPT"
echo "err $WEIR_ATTEMPT" >&2
[ "$WEIR_ATTEMPT" = 3 ]
END
chmod +x "$tmp/flaky"
weir --retries 2 --backoff 1ms..2ms "$tmp/flaky" ::: a
expect_status 0
expect_out 'out 3'
grep '^err' "$err" >"$tmp/errs"
expect_text "$tmp/errs" 'standard error of each try' 'err 1
err 2
err 3'

# The summary.
weir true ::: a b c
match_err '^ran 3 in .* (.*/s.*)$'
weir -q true ::: a
expect_err ''
weir -q false ::: a
match_err '^ran 0 of 1 in '
match_err '^1 failed: 1×exit 1'
match_err '^try: weir run --log'
weir --log "$tmp/l" sh -c 'exit $1' sh ::: 1 2 2
match_err "^3 failed: 2×exit 2 1×exit 1 *records: $tmp/l"
match_err "^try: weir run --resume $tmp/l --log $tmp/l sh -c 'exit \$1' sh ::: 1 2 2"
match_err 'sh -c .exit \$1. sh 2 .*exit 2'
weir --log "$tmp/l" --resume "$tmp/l" -- false --resume yes ::: 1
match_err "^try: weir run --resume $tmp/l --log $tmp/l -- false --resume yes"
weir --progress none sh -c 'kill -SEGV $$' sh ::: 17
match_err 'sh -c .*17 .*killed by SIGSEGV after [0-9.]*[mu]\?s'
match_err '1×SIGSEGV'
weir --progress json sh -c 'exit $1' sh ::: 0 1
check 'progress in JSON' sh -c "grep '^{' '$err' | python3 -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert lines
'"
weir --progress none true ::: 1
match_err '^ran 1 '
weir --color always sh -c 'exit 1' sh ::: 1
match_err "$(printf '\033\\[')"
weir --color never sh -c 'exit 1' sh ::: "$(printf 'a\033[31mb')"
check 'an item cannot write on the terminal' \
	sh -c "! grep -q '$(printf '\033')' '$err'"

# A line on a terminal.
if command -v tmux >/dev/null; then
	tmux -L "weir-out-$$" -f /dev/null new-session -d -x 100 -y 24 \
		"TERM=screen '$WEIR' run -j 2 sh -c 'until [ -e $tmp/end ];
			do sleep 0.05; done' sh ::: 1 2 3 4; sleep 30"
	# shellcheck disable=SC2317 # wait_for calls it
	seen() {
		tmux -L "weir-out-$$" capture-pane -p | grep -q "$1"
	}
	check 'a progress line on a terminal' wait_for 10 seen '0/4.*2/2 busy'
	: >"$tmp/end"
	check 'and the summary after it' wait_for 10 seen '^ran 4 in'
	check 'the line is gone' sh -c "! tmux -L 'weir-out-$$' \
		capture-pane -p | grep -q busy"
	tmux -L "weir-out-$$" kill-server 2>/dev/null
else
	skip 'a progress line on a terminal' 'tmux is missing'
fi

done_testing
