#!/bin/sh
# Records of weir run, and going on from them.
# The scripts in quotes are the commands' own, and {1} is a place.
# shellcheck disable=SC2016,SC1083
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/run-lib.sh
. "$(dirname "$0")/run-lib.sh"

# All there is to a record.
weir --log "$tmp/l" sh -c 'echo out; echo errors >&2; exit $1' sh ::: 0 3
expect_status 123
keys='seq key argv attempt status exit signal error started wall_ms user_ms
	sys_ms max_rss stdout_bytes stderr_bytes slot pid will_retry'
# shellcheck disable=SC2086
expect_json "$tmp/l" 'sorted(r[0]) == sorted("""'"$keys"'""".split())' True
expect_json "$tmp/l" 'by("seq")' '[1, 2]'
expect_json "$tmp/l" 'by("status")' "['ok', 'failed']"
expect_json "$tmp/l" 'by("exit")' '[0, 3]'
expect_json "$tmp/l" 'by("error")[0] is None, by("error")[1]' \
	"(True, 'exit 3')"
expect_json "$tmp/l" 'by("argv")[1][-2:]' "['sh', '3']"
expect_json "$tmp/l" 'by("stdout_bytes"), by("stderr_bytes")' '([4, 4], [7, 7])'
expect_json "$tmp/l" 'by("will_retry")' '[False, False]'
expect_json "$tmp/l" '[len(x["key"]) for x in r]' '[32, 32]'
expect_json "$tmp/l" 'len(set(by("key")))' 2
expect_json "$tmp/l" 'all(x["pid"] > 1 and x["slot"] > 0 for x in r)' True
expect_json "$tmp/l" 'all(x["max_rss"] > 100000 for x in r)' True
expect_json "$tmp/l" 'all(__import__("re").fullmatch(
	r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", x["started"]) for x in r) or r' \
	True
weir --log "$tmp/l" sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done
	sleep 0.1' sh ::: 1
expect_json "$tmp/l" '0 < r[0]["user_ms"] < r[0]["wall_ms"] >= 100' True
weir --log "$tmp/l" sh -c 'kill -KILL $$' sh ::: 1
expect_json "$tmp/l" 'r[0]["signal"], r[0]["status"]' "('SIGKILL', 'failed')"
weir --log "$tmp/l" {} ::: nosuch-command
expect_json "$tmp/l" 'r[0]["status"], r[0]["error"]' \
	"('failed', 'cannot start: No such file or directory')"
weir --log "$tmp/l" -n 2 true ::: 1 2 3
expect_json "$tmp/l" 'by("argv")' "[['true', '1', '2'], ['true', '3']]"
# shellcheck disable=SC1003
weir --log "$tmp/l" true ::: '"\' "$(printf 'a\tb\nc')" é "$(printf '\377')"
expect_json "$tmp/l" '[x[1] for x in by("argv")]' \
	"['\"\\\\', 'a\\tb\\nc', 'é', '�']"
weir --json true ::: 1 2
expect_json "$out" 'by("status")' "['ok', 'ok']"

# The joblog.
weir -j 1 --joblog "$tmp/j" sh -c 'echo abc; exit $1' sh ::: 0 3
check 'its head is that of GNU parallel' test "$(head -n 1 "$tmp/j")" = \
	"$(printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand')"
expect_joblog "$tmp/j" "1 0 0 sh -c 'echo abc; exit \$1' sh 0
2 3 0 sh -c 'echo abc; exit \$1' sh 3"
check 'each line has nine columns' test \
	"$(awk -F '\t' 'NF != 9' "$tmp/j" | wc -l)" = 0
check 'what was received is counted' test \
	"$(tail -n +2 "$tmp/j" | cut -f 6 | tr '\n' ,)" = 4,4,
weir --joblog "$tmp/j" sh -c 'kill -TERM $$' sh ::: 1
expect_joblog "$tmp/j" "1 0 15 sh -c 'kill -TERM \$\$' sh 1"
weir --joblog "$tmp/j" --retries 2 --backoff 1ms false ::: 1
check 'one line a job, whatever its tries' test "$(wc -l <"$tmp/j")" = 2
weir --joblog "$tmp/j" true ::: "$(printf 'a\nb\tc')"
check 'and whatever is in its items' test "$(wc -l <"$tmp/j")" = 2
: "a joblog and a log at once, and on standard output"
weir --joblog "$tmp/j" --log "$tmp/l" --json true ::: 1 2 3
check 'three kinds of records at once' test \
	"$(wc -l <"$tmp/j")-$(wc -l <"$tmp/l")-$(wc -l <"$out")" = 4-3-3
weir --log "$tmp/nosuch/l" true ::: 1
expect_status 1
match_err "$tmp/nosuch/l"
seq 3 >"$tmp/items"
weir --log "$tmp/items" -a "$tmp/items" true
check 'a log over its own input is refused' test "$status" -ne 0
check 'and nothing is lost' test "$(wc -l <"$tmp/items")" = 3

# --resume, by content.
did() {
	sort "$tmp/did" 2>/dev/null | tr '\n' ' '
	rm -f "$tmp/did"
}
cat >"$tmp/do" <<END
#!/bin/sh
echo "\$1" >>'$tmp/did'
[ ! -e '$tmp/bad-'"\$1" ]
END
chmod +x "$tmp/do"
# resumes NAME EXPECTED: what the last run did
resumes() {
	did_now=$(did)
	if [ "$did_now" = "$2" ]; then
		ok "$1"
	else
		not_ok "$1" "did: $did_now
$(last_run)"
	fi
}
for kind in --log --joblog; do
	log=$tmp/resume$kind
	rm -f "$log" "$tmp"/bad-*
	: >"$tmp/bad-c"
	give 'a\nb\nc\nd\n' $kind "$log" "$tmp/do"
	expect_status 123
	did >/dev/null
	give 'd\nx\nc\na\n' --resume "$log" "$tmp/do"
	resumes "$kind: added, moved and removed lines" 'c x '
	match_err ', 2 skipped'
	expect_status 123
	rm "$tmp/bad-c"
	give 'a\nb\nc\nd\nx\n' --resume "$log" "$tmp/do"
	resumes "$kind: further records are in the same file" 'c '
	expect_status 0
	give 'a\nb\nc\nd\nx\n' --resume "$log" "$tmp/do"
	resumes "$kind: nothing is left" ''
	expect_status 0
	give 'a\n' --resume "$log" "$tmp/do" {} more
	resumes "$kind: another command is another job" 'a '
	: >"$tmp/bad-y"
	give 'y\n' --resume "$log" "$tmp/do"
	did >/dev/null
	rm "$tmp/bad-y"
	give 'a\ny\nz\n' --resume "$log" --retry-failed "$tmp/do"
	resumes "$kind: --retry-failed runs only what has failed" 'y '
	give 'a\ny\nz\n' --resume "$log" --retry-failed "$tmp/do"
	resumes "$kind: and what is mended is not failed" ''
	# Torn in the middle of its last line, at several places.
	give 'p\nq\n' -j 1 $kind "$log" "$tmp/do"
	did >/dev/null
	size=$(wc -c <"$log")
	for cut in 1 2 10 30; do
		head -c $((size - cut)) "$log" >"$tmp/torn"
		give 'p\nq\nr\n' --resume "$tmp/torn" "$tmp/do"
		case $kind$cut in
		# The record itself is whole in all but its end of line.
		*1) resumes "$kind: torn by $cut byte" "$(
			case $(cat "$tmp/did") in *q*) echo 'q r ' ;;
			*) echo 'r ' ;; esac)" ;;
		*) resumes "$kind: torn by $cut bytes" 'q r ' ;;
		esac
		give 'p\nq\nr\n' --resume "$tmp/torn" "$tmp/do"
		resumes "$kind: and goes on after that, $cut" ''
	done
done
weir --resume "$tmp/not-yet" --log "$tmp/not-yet" "$tmp/do" ::: a
resumes 'a log that is not there yet is none' 'a '
match_err 'there is no log yet'
check 'and is made' test -s "$tmp/not-yet"
: >"$tmp/empty"
weir --resume "$tmp/empty" "$tmp/do" ::: a
resumes 'nor is an empty one' 'a '
head -c 3000 /dev/urandom >"$tmp/garbage"
weir --resume "$tmp/garbage" --log "$tmp/l" "$tmp/do" ::: a
resumes 'what cannot be read is passed over' 'a '
weir --resume "$tmp" "$tmp/do" ::: a
check 'a folder is no log' test "$status" -ne 0
did >/dev/null
# The key is of the bytes, though JSON cannot show them.
printf 'a\377\na\376\n' >"$tmp/bytes"
weir --log "$tmp/l" -a "$tmp/bytes" true
printf 'a\376\na\375\n' >"$tmp/bytes"
weir --json --resume "$tmp/l" -a "$tmp/bytes" true
check 'arguments that look alike are told apart' \
	test "$(wc -l <"$out")" = 1
# Jobs with {%} have the same key whatever their slot is.
weir --log "$tmp/l" -j 3 true {} {%} ::: 1 2 3 4 5
weir --json --resume "$tmp/l" -j 2 true {} {%} ::: 5 4 3 2 1
check 'a slot is no part of the key' test ! -s "$out"

# Of GNU parallel's.
cat >"$tmp/theirs" <<END
Seq	Host	Starttime	JobRuntime	Send	Receive	Exitval	Signal	Command
1	:	1700000000.123	     0.004	0	0	0	0	$tmp/do a
2	:	1700000000.125	     0.004	0	0	1	0	$tmp/do b
3	:	1700000000.127	     0.004	0	0	0	15	$tmp/do c
4	:	1700000000.129	     0.004	0	0	0	0	$tmp/do 'd e'
5	:	1700000000.129	     0.004	0	0	0	0	$tmp/do f\\ g
END
weir -d , --resume "$tmp/theirs" "$tmp/do" ::: a b c 'd e' 'f g' h
resumes "resumes from GNU parallel's joblog" 'b c h '
weir -d , --resume "$tmp/theirs" "$tmp/do" ::: a b c 'd e' 'f g' h
resumes 'and adds to it' ''
if command -v parallel >/dev/null; then
	: >"$tmp/bad-b"
	parallel --will-cite --joblog "$tmp/theirs" "$tmp/do" \
		::: a b "c d" "it's" '$x' '"' </dev/null >/dev/null 2>&1
	did >/dev/null
	rm "$tmp/bad-b"
	weir --resume "$tmp/theirs" "$tmp/do" ::: '"' '$x' a "it's" b new 'c d'
	resumes 'resumes from a real one' 'b new '
	: >"$tmp/bad-b"
	weir -j 1 --joblog "$tmp/ours" "$tmp/do" ::: a b c
	did >/dev/null
	parallel --will-cite --resume-failed --joblog "$tmp/ours" "$tmp/do" \
		::: a b c d </dev/null >/dev/null 2>&1
	resumes 'GNU parallel resumes from ours' 'b d '
else
	skip "resumes from GNU parallel's joblog" 'parallel is missing'
fi

# The line that it recommends does what it says.
rm -f "$tmp"/bad-*
: >"$tmp/bad-b"
weir --log "$tmp/l" "$tmp/do" ::: a 'b' "c d"
did >/dev/null
rm "$tmp/bad-b"
sed -n 's/^try: weir //p' "$err" >"$tmp/again"
run sh -c "'$WEIR' $(cat "$tmp/again")" </dev/null
resumes 'the recommended command goes on' 'b '
weir -j 1 --halt now,fail=1 --log "$tmp/l" sh -c 'echo "$1" >>'"$tmp/did"'
	[ -e '"$tmp/good"' ]' sh ::: 1 2
did >/dev/null
: >"$tmp/good"
sed -n 's/^try: weir //p' "$err" >"$tmp/again"
check 'it is there after a halt' test -s "$tmp/again"

# A pipe whose reader goes away.
seq 1000 >"$tmp/items"
run timeout 60 bash -c 'exec "$0" run -q -a "$1" --log >(head -n 1 >/dev/null) \
	true' "$WEIR" "$tmp/items" </dev/null
expect_status 1 'it ends when nobody reads its records'
match_err 'cannot write records: Broken pipe'

done_testing
