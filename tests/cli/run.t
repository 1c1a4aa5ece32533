#!/bin/sh
# weir run: items in, places filled, programs found, refusals, exit codes.
# What is printed is in run-output.t, ends in run-ends.t, logs in run-log.t.
# The scripts in quotes are the commands' own, and {1} is a place.
# shellcheck disable=SC2016,SC1083
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/run-lib.sh
. "$(dirname "$0")/run-lib.sh"

# Where items come from.
give 'a\nb c\n' -k "$ARGDUMP"
expect_out '1:a,
3:b c,'
expect_status 0
match_err '^ran 2 in '
give 'a\n\nb' -k "$ARGDUMP"
expect_out '1:a,
0:,
1:b,'
give 'a\n\nb' -k -r "$ARGDUMP"
expect_out '1:a,
1:b,'
give 'a\nb\0c d\0' -k -0 "$ARGDUMP"
expect_out '3:a
b,
3:c d,'
give 'a,b\n,c' -k -d , "$ARGDUMP"
expect_out '1:a,
2:b
,
1:c,'
give 'a\tb\tc' -k -d '\t' "$ARGDUMP"
expect_out '1:a,
1:b,
1:c,'
printf '1\n2\n' >"$tmp/one"
printf 'x\ny\n' >"$tmp/two"
weir -k -a "$tmp/one" "$ARGDUMP"
expect_out '1:1,
1:2,'
weir -k -a "$tmp/one" -a "$tmp/two" "$ARGDUMP"
expect_out '1:1,1:x,
1:1,1:y,
1:2,1:x,
1:2,1:y,'
weir -k "$ARGDUMP" ::: 1 2 ::: x y
expect_out '1:1,1:x,
1:1,1:y,
1:2,1:x,
1:2,1:y,'
weir -k "$ARGDUMP" {2} {1} :::: "$tmp/one" ::: x
expect_out '1:x,1:1,
1:x,1:2,'
weir -k "$ARGDUMP" :::: "$tmp/one" "$tmp/two"
expect_out '1:1,1:x,
1:1,1:y,
1:2,1:x,
1:2,1:y,'
give 'p\nq\n' -k "$ARGDUMP" :::: - ::: 1 2
expect_out '1:p,1:1,
1:p,1:2,
1:q,1:1,
1:q,1:2,'
weir -k "$ARGDUMP" ::: 1 2 3 :::+ x y
expect_out '1:1,1:x,
1:2,1:y,'
weir -k --link "$ARGDUMP" ::: 1 2 3 ::: x y
expect_out '1:1,1:x,
1:2,1:y,
1:3,1:x,'
give 'a:b\nc\n' -k -C : "$ARGDUMP" '{2}' 'x{1}'
expect_out '1:b,2:xa,
2:xc,'
give 'a--b c\n' -k --colsep -- "$ARGDUMP"
expect_out '1:a,3:b c,'
give '1\n2\n3\n4\n5\n' -k -n 2 "$ARGDUMP"
expect_out '1:1,1:2,
1:3,1:4,
1:5,'
give '1\n2\n3\n' -k -n 2 "$ARGDUMP" 'a{}b' {}
expect_out '5:a1 2b,1:1,1:2,
3:a3b,1:3,'

# Places.
set -- dir/sub/file.tar.gz plain /x.d/
weir -k "$ARGDUMP" {} ::: "$@"
expect_out '19:dir/sub/file.tar.gz,
5:plain,
5:/x.d/,'
weir -k "$ARGDUMP" {.} {/} {//} {/.} ::: dir/sub/file.tar.gz plain
expect_out '16:dir/sub/file.tar,11:file.tar.gz,7:dir/sub,8:file.tar,
5:plain,5:plain,1:.,5:plain,'
weir -k "$ARGDUMP" {2/} {1.} {2//} {1/.} ::: a/b.c ::: d/e.f
expect_out '3:e.f,3:a/b,1:d,1:b,'
weir -k "$ARGDUMP" '{#}' '<{}>' ::: a b
expect_out '1:1,3:<a>,
1:2,3:<b>,'
weir -k -j 1 "$ARGDUMP" '{%}' ::: a b c
expect_out '1:1,
1:1,
1:1,'
weir -j 3 "$ARGDUMP" '{%}' ::: 1 2 3 4 5 6 7 8
check 'a slot has a number from 1 to -j' \
	sh -c "! grep -qv '^1:[123],\$' '$out'"
weir -k "$ARGDUMP" '{nothing}' '{' '}' '{ }' '{}' ::: a
expect_out '9:{nothing},1:{,1:},3:{ },1:a,'
weir -k -I X "$ARGDUMP" aXb '{}' ::: 1
expect_out '3:a1b,2:{},'
weir -k "$ARGDUMP" {} {} ::: '{}' '{#}' '{%}'
expect_out '2:{},2:{},
3:{#},3:{#},
3:{%},3:{%},'
weir -k {} ::: true /bin/true
expect_status 0 'the program itself may be a place'
weir -k -j 1 sh -c 'echo $WEIR_SEQ $WEIR_SLOT $WEIR_ATTEMPT' sh ::: a b
expect_out '1 1 1
2 1 1'
weir -k -- "$ARGDUMP" -n ::: -j --tag --
expect_out '2:-n,2:-j,
2:-n,5:--tag,
2:-n,2:--,'

# Scripts.
weir -k --shell 'echo "<$1>" | cat' ::: 'a  b' '$(id)' '; id'
expect_out '<a  b>
<$(id)>
<; id>'
give '1\n2\n3\n' -k -n 2 --shell 'echo $#:$2'
expect_out '2:2
1:'
weir -k --shell ::: 'echo a | tr a b' 'exit 3'
expect_out b
expect_status 123
weir --shell 'echo {}' ::: a
expect_status 2
match_err '{} cannot be used in a script, .*"$1"'
weir --shell -I X 'echo X' ::: a
expect_status 2
weir -k --shell 'echo ${1} ${#} $#' ::: a
expect_out 'a 1 1'
weir ::: a
expect_status 2
match_err '^weir run: no command given$'
match_err '^try: weir run --shell'
weir
expect_status 2

# Programs that are not there, or cannot be run.
weir nosuch-command ::: a b
expect_status 127
match_err '^weir run: cannot run: No such file or directory (nosuch-command)$'
weir 'echo | cat' ::: a
expect_status 127
match_err '^try: weir run --shell'
weir 'echo {} | cat' ::: a
expect_status 123
match_err '^try: weir run --shell'
weir /nosuch/command ::: a
expect_status 127
: >"$tmp/text"
weir "$tmp/text" ::: a
expect_status 126
weir "$tmp" ::: a
expect_status 126
weir -k {} ::: nosuch-command true
expect_status 123
match_err 'nosuch-command .*No such file or directory'
weir --exit-code first {} ::: nosuch-command
expect_status 127
weir --exit-code max {} ::: true "$tmp/text"
expect_status 126
echo 'echo from $1' >"$tmp/script"
chmod +x "$tmp/script"
weir --chdir "$tmp" ./script ::: a
expect_out 'from a'
printf '#!/nosuch/interpreter\n' >"$tmp/badhash"
chmod +x "$tmp/badhash"
weir "$tmp/badhash" ::: a
check 'an interpreter that is not there is told' \
	grep -q 'No such file' "$err"
check 'and fails' test "$status" -ne 0

# Exit codes.
weir sh -c 'exit $1' sh ::: 0 0
expect_status 0
weir -j 1 sh -c 'exit $1' sh ::: 0 3 5 1
expect_status 123
weir -j 1 --exit-code count sh -c 'exit $1' sh ::: 0 3 5 1
expect_status 3
weir -j 1 --exit-code first sh -c 'exit $1' sh ::: 0 3 5 1
expect_status 3
weir -j 1 --exit-code max sh -c 'exit $1' sh ::: 0 3 5 1
expect_status 5
weir --exit-code max sh -c 'kill -s "$1" $$' sh ::: KILL HUP
expect_status 137
seq 100 >"$tmp/hundred"
weir -a "$tmp/hundred" --exit-code count false
expect_status 100
seq 102 >"$tmp/hundred"
weir -a "$tmp/hundred" --exit-code count false
expect_status 101
run env WEIR_RUN_EXIT_CODE=count "$WEIR" run false ::: 1 2 </dev/null
expect_status 2 'WEIR_RUN_EXIT_CODE is obeyed'
run env WEIR_RUN_KEEP_ORDER=1 WEIR_RUN_JOBS=2 "$WEIR" run --tag echo \
	::: a b </dev/null
expect_status 0 'WEIR_RUN_KEEP_ORDER, WEIR_RUN_JOBS'
run env WEIR_RUN_JOBS=none "$WEIR" run echo ::: a </dev/null
expect_status 2
match_err 'none'

# No items.
weir echo
expect_status 0
expect_out ''
match_err 'no items in the input'
weir -r echo ::: '' ''
expect_status 0
expect_out ''
weir echo :::
expect_status 0
expect_out ''
weir -a "$tmp/nosuch" echo
expect_status 1
match_err "cannot read: No such file or directory ($tmp/nosuch)"
weir echo :::: "$tmp/nosuch"
expect_status 1

# What is refused.
for wrong in '-j 0' '-j x' '-j 99999' '-j -1' '--load x' '--load 0' \
	'--memfree x' '--memfree 5Q' '--rate 5' '--rate x' '--delay 5' \
	'--delay -1s' '--backoff x' '--backoff 2s..1s' '--backoff 5..6' \
	'--retries x' '--retries -1' '--retry-on 0' '--retry-on 256' \
	'--retry-on x' '--retry-on 1,,2' '--timeout 5' '--timeout 0s' \
	'--halt x' '--halt now' '--halt now,fail' '--halt now,fail=x' \
	'--halt now,fail=0' '--halt later,fail=1' '--halt now,fail=101%' \
	'--exit-code x' '-n 0' '-n x' '-d ab' '-d \q' '--mem-limit x' \
	'--cpu-limit 5' '--nofile 1' '--null --delimiter ,' '-u -k' '-u --tag' \
	'-u --line-buffer' '-u --json' '--retry-failed' '--max-time 5' \
	'--no-such-option'; do
	# shellcheck disable=SC2086 # words
	weir $wrong echo ::: a
	if [ "$status" -eq 2 ] && [ ! -s "$out" ] &&
		grep -q '^weir run: ' "$err"; then
		ok "refuses $wrong"
	else
		not_ok "refuses $wrong" "$(last_run)"
	fi
done
weir --retry 2 echo ::: a
expect_status 2
match_err "unknown option '--retry'; did you mean '--retries"
weir --nosuch echo ::: a
match_err "unknown option '--nosuch'"
weir --colsep '' echo ::: a
expect_status 2
weir --chdir "$tmp/nosuch" echo ::: a
check 'a folder that is not there is refused' test "$status" -ne 0
match_err 'nosuch'
weir -j 200% -k echo ::: a
expect_status 0 'a width in per cent'
weir -P 2 -k echo ::: a
expect_status 0 '-P is -j'
weir --load 10000 --memfree 1K -k echo ::: a b
expect_out 'a
b'

# What a command finds.
weir sh -c 'cat; pwd' sh ::: a
expect_out "$(pwd)"
weir --chdir "$tmp" pwd ::: a
check '--chdir' test "$(cat "$out")" = "$(cd "$tmp" && pwd -P)" -o \
	"$(cat "$out")" = "$tmp/"
mkdir "$tmp/bin"
printf '#!/bin/sh\necho here\n' >"$tmp/bin/tool"
chmod +x "$tmp/bin/tool"
weir --chdir "$tmp" bin/tool ::: a
expect_out here
weir --nofile 17 sh -c 'ulimit -n' sh ::: a
expect_out 17
weir --mem-limit 512M sh -c 'ulimit -v' sh ::: a
expect_out 524288
weir --cpu-limit 7s sh -c 'ulimit -t' sh ::: a
expect_out 7
weir -j 4 sh -c 'ulimit -n' sh ::: a
expect_out "$(sh -c 'ulimit -n')"
weir sh -c '"$0" --fds' "$ARGDUMP" ::: a
expect_out '0 1 2'
weir -u sh -c '"$0" --fds' "$ARGDUMP" ::: a
expect_out '0 1 2'
weir --joblog "$tmp/j" --log "$tmp/l" -j 3 sh -c '"$0" --fds' "$ARGDUMP" \
	::: a b c 5>"$tmp/five" 7<"$tmp/one"
expect_out '0 1 2
0 1 2
0 1 2'
weir sh -c 'test "$(ps -o pgid= $$ | tr -d " ")" = $$' sh ::: a
expect_status 0 'a command leads a process group'

# Only shown.
weir --dry-run -k "$ARGDUMP" {} ::: 'a b' "it's" ''
expect_status 0
expect_out "$ARGDUMP 'a b'
$ARGDUMP 'it'\\''s'
$ARGDUMP ''"
weir --dry-run nosuch-command ::: a
expect_out 'nosuch-command a'
weir -t -k echo ::: 'a b' c
expect_out 'a b
c'
match_err "^echo 'a b'$"
match_err '^echo c$'

# Help.
weir --help
expect_status 0
expect_err ''
for word in '^Example: ' --resume --halt ':::'; do
	match_out "$word"
done
check 'help of a line is not wider than a screen' \
	test -z "$(awk 'length > 80' "$out")"
run "$WEIR" --help
match_out '^ *run '
if command -v tmux >/dev/null; then
	# A terminal of its own, with nothing in the input.
	tmux -L "weir-run-$$" -f /dev/null new-session -d \
		"'$WEIR' run echo >'$tmp/hint' 2>&1; echo \$? >>'$tmp/hint'"
	wait_for 10 grep -q '^[0-9]*$' "$tmp/hint"
	tmux -L "weir-run-$$" kill-server 2>/dev/null
	check 'says on a terminal how to give items' \
		grep -q 'nothing to run it for; give items after :::' \
		"$tmp/hint"
	check 'and ends' grep -qx 0 "$tmp/hint"
else
	skip 'says on a terminal how to give items' 'tmux is missing'
fi

done_testing
