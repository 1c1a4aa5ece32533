#!/bin/sh
# weir work with commands: what they get, and what becomes of jobs by how they
# end.  The scripts in quotes are the commands' own, and {id} is a place.
# shellcheck disable=SC2016,SC1083
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/work-lib.sh
. "$(dirname "$0")/work-lib.sh"

cat >"$tmp/job" <<'END'
#!/bin/sh
# Does what its args say: {"do": "SHELL TEXT"}.
script=$(sed 's/.*"do": *"\(.*\)"}$/\1/')
eval "$script"
END
chmod +x "$tmp/job"

# --- what a command gets -----------------------------------------------------

put email '{"to":"a@b.example",  "n":1.50}'
work -- sh -c 'cat; echo; echo "$WEIR_JOB_ID $WEIR_JOB_KIND $WEIR_JOB_QUEUE \
$WEIR_JOB_ATTEMPT $WEIR_JOB_MAX_ATTEMPTS $WEIR_JOB_PRIORITY $WEIR_ATTEMPT"'
expect_status 0
expect_out '{"to":"a@b.example",  "n":1.50}
1 email default 1 25 1 1'
expect_job "$id" 'j["state"]' completed
expect_job "$id" 'j["attempt"]' 1

put_in mail send.it '{}'
work mail -- echo {kind} {queue} 'a{id}b' {attempt} '{other}' {}
expect_out "send.it mail a${id}b 1 {other} {}"

python3 -c 'print("{\"x\":\"" + "y" * 300000 + "\"}")' >"$tmp/large"
"$WEIR" enqueue default --kind large <"$tmp/large" >/dev/null 2>&1
work -- wc -c
check 'long args come whole' [ "$(tr -d ' ' <"$out")" -eq 300008 ]

put env '{}'
WEIR_JOB_PRIORITY=9 WEIR_JOB_OTHER=9 OTHER=1 \
	work -- sh -c 'echo "$WEIR_JOB_PRIORITY,$WEIR_JOB_OTHER,$OTHER"'
expect_out '1,,1'

put signals '{}'
signals=$(grep -E 'Sig(Blk|Ign)' /proc/self/status)
work -- grep -E 'Sig(Blk|Ign)' /proc/self/status
expect_out "$signals"

work -- echo never
expect_status 0 'an empty store is nothing to complain about'
expect_out ''

# --- what becomes of a job ---------------------------------------------------

put fail '{}'
do_put -- sh -c 'echo first >&2; echo "no such user" >&2; echo; exit 3'
expect_status 123
match_err 'fail [0-9]* .*exit 3: no such user .*try 2/25 in'
match_err '^try: weir jobs list --state retryable,discarded'
expect_job "$id" 'j["state"]' retryable
expect_job "$id" 'j["errors"][0]["error"]' 'exit 3: no such user'
expect_job "$id" 'j["errors"][0]["trace"]' 'first
no such user'
expect_job "$id" 'j["errors"][0]["attempt"]' 1

put long '{}'
do_put -- sh -c 'yes "a line that is long enough" | head -n 5000 >&2
	echo the end >&2; exit 1'
expect_job "$id" 'j["errors"][0]["error"]' 'exit 1: the end'
expect_job "$id" '4000 < len(j["errors"][0]["trace"]) <= 4096' True
check 'and all of it is printed' [ "$(grep -c 'a line that' "$err")" -eq 5000 ]

put discard '{}'
do_put -- sh -c 'echo useless >&2; exit 65'
expect_status 123
expect_job "$id" 'j["state"]' discarded
expect_job "$id" 'j["errors"][0]["error"]' 'exit 65: useless'

put later '{}'
do_put -- sh -c 'exit 75'
expect_job "$id" 'j["state"]' retryable

put crash '{}' --max-attempts 3
for attempt in 1 2 3; do
	do_put -- sh -c 'kill -SEGV $$'
	expect_job "$id" 'j["attempt"]' "$attempt"
	[ "$attempt" -eq 3 ] || "$WEIR" jobs retry "$id" >/dev/null 2>&1
done
expect_job "$id" 'j["state"]' discarded
expect_job "$id" 'j["errors"][2]["error"].split(" after ")[0]' \
	'killed by SIGSEGV'
match_err 'crash [0-9]* .*killed by SIGSEGV after .*(discarded, attempt 3/3)'

put slow '{}'
do_put --timeout 200ms -- sleep 1000
expect_job "$id" 'j["state"]' retryable
expect_job "$id" 'j["errors"][0]["error"].split(" after ")[0]' 'timed out'

put slower '{}' --timeout 200ms
do_put --timeout 1h -- sleep 1000
expect_job "$id" 'j["errors"][0]["error"].split(" after ")[0]' 'timed out'
gone 'nothing is left of what was out of time'

# --- a running job that somebody cancels -------------------------------------

put cancel '{}'
start_work --kind cancel -- sh -c "trap 'echo told; exit 0' TERM; touch '$tmp/up'
	while :; do sleep 0.05; done"
wait_for 10 test -e "$tmp/up"
"$WEIR" jobs cancel "$id" >/dev/null 2>&1
becomes "$id" cancelled
kill -TERM "$pid"
end_work
expect_status 0
expect_out told

# --- output ------------------------------------------------------------------

put output '{}'
do_put --output -- sh -c 'echo "{\"sum\": 3}"; echo note >&2'
expect_out ''
match_err '^note$'
expect_job "$id" 'j["output"]' "{'sum': 3}"

put no_output '{}'
do_put --output -- echo 'not JSON'
expect_out 'not JSON'
expect_job "$id" 'j["state"]' completed
expect_job "$id" 'j.get("output")' None

put tag '{}'
do_put --tag -- sh -c 'echo one; echo two'
expect_out "$id	one
$id	two"

put lines '{}'
do_put --line-buffer -- sh -c 'echo out; echo "why not" >&2; exit 9'
expect_out out
expect_job "$id" 'j["errors"][0]["error"]' 'exit 9: why not'

put closed '{}'
# The shell itself writes nothing here, so the status is the command's.
run sh -c '"$1" work --until-empty --kind closed -- echo lost >&-' sh "$WEIR"
expect_status 0 'that nobody reads is nothing to stop for'
expect_job "$id" 'j["state"]' completed

put record '{}'
first=$id
put record '{}'
do_put --json --log "$tmp/log" -j 1 -- \
	sh -c '[ {id} = '"$first"' ] || { echo no >&2; exit 4; }; echo out'
expect_records "$out" '[x["state"] for x in r]' "['completed', 'retryable']"
expect_records "$out" '[x["exit"] for x in r]' '[0, 4]'
expect_records "$out" '[x["error"] for x in r]' "[None, 'exit 4: no']"
expect_records "$out" 'r[1]["scheduled_at"] > r[1]["started"]' True
expect_records "$out" '(r[0]["kind"], r[0]["queue"], r[0]["attempt"])' \
	"('record', 'default', 1)"
match_err '^out$' 'with --json output goes to stderr'
check 'the log has the same' cmp -s "$out" "$tmp/log"
put more_record '{}'
do_put --log "$tmp/log" -- true
expect_records "$tmp/log" 'len(r)' 3

put verbose '{}'
do_put -v -- sh -c 'exit 0'
match_err "^verbose $id begins\$"
match_err "^verbose $id completed after "

# --- which jobs --------------------------------------------------------------

put apple '{}'
apple=$id
put pear '{}'
pear=$id
work --kind pear -- true
expect_job "$apple" 'j["state"]' available
expect_job "$pear" 'j["state"]' completed
work --kind apple --kind plum -- true
expect_job "$apple" 'j["state"]' completed

put_in one k1 '{}'
one=$id
put_in two k1 '{}'
two=$id
work two -- true
expect_job "$one" 'j["state"]' available
expect_job "$two" 'j["state"]' completed
work one two -- true
expect_job "$one" 'j["state"]' completed

# Each says when it begins and ends; the most at once is printed.
cat >"$tmp/span" <<'END'
#!/bin/sh
echo + >>"$1"
sleep 0.1
echo - >>"$1"
END
chmod +x "$tmp/span"
most_at_once() {
	awk '/\+/ {n++; if (n > m) m = n} /-/ {n--} END {print m + 0}' "$1"
}
fill() {
	i=0
	while [ "$i" -lt 8 ]; do
		echo '{}'
		i=$((i + 1))
	done | "$WEIR" enqueue "$1" --kind "$2" >/dev/null 2>&1
}

fill wide w4
work wide -j 4 -- "$tmp/span" "$tmp/spans"
check '-j is how many run at once' [ "$(most_at_once "$tmp/spans")" -eq 4 ]
rm -f "$tmp/spans"
fill wide w4
work wide=2 -j 4 -- "$tmp/span" "$tmp/spans"
check 'QUEUE=N is a cap' [ "$(most_at_once "$tmp/spans")" -eq 2 ]
rm -f "$tmp/spans"
fill wide w4
work wide --limit w4=1 -j 4 -- "$tmp/span" "$tmp/spans"
check '--limit KIND=N is a cap' [ "$(most_at_once "$tmp/spans")" -eq 1 ]

# --- jobs that bring their own command ---------------------------------------

mkdir "$tmp/sub"
printf 'c\377d\0"\\\n\0' >"$tmp/items"
(cd "$tmp" && "$WEIR" run --queue own -0 --chdir sub -- \
	sh -c 'pwd; printf "%s,$WEIR_JOB_KIND\n" "$1"; cat' sh \
	<"$tmp/items") >/dev/null 2>&1
run "$WEIR" work own --until-empty -j 1
expect_status 0
printf '%s\nc\377d,weir.run\n%s\n"\\\n,weir.run\n' "$tmp/sub" "$tmp/sub" \
	>"$tmp/own"
check 'it has its words, byte for byte, and its folder' cmp -s "$out" "$tmp/own"
again=$("$WEIR" run --queue own --retries 1 -- sh -c 'exit 3' ::: x \
	2>/dev/null)
run "$WEIR" work own --until-empty
expect_status 123
match_err "$again sh -c 'exit 3' x  *exit 3  *try 2/2 in"
"$WEIR" jobs cancel "$again" >/dev/null 2>&1
put_in own other '{}'
run "$WEIR" work own --until-empty
expect_status 0
match_err 'running what weir run --queue has put there'
expect_job "$id" 'j["state"]' available
run "$WEIR" run --queue own true ::: x
run "$WEIR" work own --until-empty --kind weir.fetch
expect_status 2
"$WEIR" run --queue own true ::: x >"$tmp/.id" 2>/dev/null
work own -- true
expect_job "$(cat "$tmp/.id")" 'j["state"]' available
run "$WEIR" work own --chdir / --until-empty
expect_status 2

# --- a worker that waits -----------------------------------------------------

start_work --kind wake -- true
put wake '{}'
becomes "$id" completed
kill -TERM "$pid"
end_work
expect_status 0

# The command goes away, as during a deploy: that is not the job's fault.
cp "$tmp/span" "$tmp/deploy"
start_work --json --kind deploy -- "$tmp/deploy" /dev/null
rm "$tmp/deploy"
put deploy '{}'
wait_for 10 test -s "$tmp/work.out"
cp "$tmp/span" "$tmp/deploy"
kill -TERM "$pid"
end_work
expect_records "$out" 'r[0]["error"].split(":")[0]' 'cannot start'
expect_job "$id" 'j["attempt"]' 0
check 'it comes back by itself' [ "$(job "$id" 'j["state"]')" != discarded ]

put alone '{}'
do_put --alone -- true
expect_job "$id" 'j["state"]' completed
start_work --alone --kind alone -- true
run "$WEIR" work -- true
expect_status 1 'nobody works a store that somebody works alone'
kill -TERM "$pid"
end_work

# --- bad input ---------------------------------------------------------------

run "$WEIR" work -- "$tmp/no-such-program"
expect_status 127
run "$WEIR" work -- /dev/null
expect_status 126
run "$WEIR" work 'Not a queue' -- true
expect_status 2
match_err "the name of queue 'Not a queue'"
run "$WEIR" work ./send-mail
expect_status 2
match_err '^try: weir work -- ./send-mail$'
run "$WEIR" work mail=0 -- true
expect_status 2
run "$WEIR" work mail mail -- true
expect_status 2
run "$WEIR" work --kind weir.run -- true
expect_status 2
run "$WEIR" work --kind email
expect_status 2
match_err '^try: weir work --kind email -- COMMAND$'
run "$WEIR" work --limit email -- true
expect_status 2
run "$WEIR" work --http http://127.0.0.1:9/ -- true
expect_status 2
run "$WEIR" work --output --line-buffer -- true
expect_status 2
run "$WEIR" work -j 0 -- true
expect_status 2
run "$WEIR" work --db "$tmp/none.db" -- true
expect_status 1
match_err '^try: weir '
check 'no store is made by looking for one' [ ! -e "$tmp/none.db" ]
run "$WEIR" work --log "$tmp/no/such/folder" -- true
expect_status 1

gone 'no process is left'
done_testing
