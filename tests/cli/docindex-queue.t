#!/bin/sh
# docindex with --queue: each document is a job that survives whoever works it.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/fetch-lib.sh
. "$(dirname "$0")/fetch-lib.sh"
# shellcheck source=tests/cli/docindex-lib.sh
. "$(dirname "$0")/docindex-lib.sh"

site_start || exit 1
letters "$tmp/letters" 40
letters=$tmp/letters

# another NAME: an index and a store of their own from now on.
another() {
	db=$tmp/$1.db
	store=$tmp/$1-jobs.db
}

# states: how many jobs are in which state, as in "completed 3 discarded 1".
states() {
	"$WEIR" jobs list --db "$store" --limit 1000 --json >"$tmp/.jobs" \
		2>/dev/null
	python3 "$tmp/.json.py" "$tmp/.jobs" '" ".join("%s %d" % (s,
		[x["state"] for x in r].count(s))
		for s in sorted(set(x["state"] for x in r)))' 2>&1
}

expect_states() {
	states_got=$(states)
	if [ "$states_got" = "$1" ]; then
		ok "jobs: $1, after $run_line"
	else
		not_ok "jobs: $1, after $run_line" "they are: $states_got
$(last_run)"
	fi
}

# For wait_for.
# shellcheck disable=SC2317 # wait_for calls it
states_are() {
	[ "$(states)" = "$1" ]
}

# expect_job PATH EXPR VALUE: of the newest job of that document.
expect_job() {
	states >/dev/null
	expect_json "$tmp/.jobs" "[x for x in r if x['args'].get('path', '')
		.endswith('$1')][0]$2" "$3"
}

# enqueue ARGS [OPTIONS]: what others do.
enqueue() {
	enqueue_args=$1
	shift
	run "$WEIR" enqueue docindex --db "$store" --kind docindex.add \
		--args "$enqueue_args" "$@"
	run_line="weir enqueue $enqueue_args $*"
}

# docindex work in the background, in $pid; it prints to $tmp/add.err, and
# end_add waits for it.
start_work() {
	: >"$tmp/add.err"
	start env --default-signal=INT,QUIT,HUP "$mark" "$DOCINDEX" work \
		--db "$db" --queue "$store" \
		</dev/null >"$tmp/add.out" 2>"$tmp/add.err"
	run_line='docindex work'
}

# Each document is a job, and the job says what came of it.
another plain
api -
pdf "$docs/good.pdf" 'Dippers dive.'
echo 'Wagtails wag.' >"$docs/wag.txt"
: >"$docs/empty.txt"
echo 'no PDF' >"$docs/fake.pdf"
add --queue "$store" --json "$docs"
expect_status 123
expect_states 'completed 2 discarded 2'
expect_json "$out" 'sorted(x["status"] for x in r)' \
	"['failed', 'failed', 'ok', 'ok']"
match_err '1×empty 1×not a PDF'
expect_job empty.txt '["errors"][-1]["error"]' 'it is empty'
expect_job fake.pdf '["errors"][-1]["error"]' \
	'it is not a PDF, whatever its name says'
finds dippers good.pdf 1
expect_whole
api -
rm "$docs/empty.txt" "$docs/fake.pdf"
add --queue "$store" "$docs"
expect_status 0
expect_asked 0 'what is unchanged makes no job'
expect_states 'completed 2 discarded 2'
echo 'Wagtails nod.' >"$docs/wag.txt"
rm "$docs/good.pdf"
add --queue "$store" "$docs"
expect_status 0
match_err '1 no longer there'
expect_states 'completed 3 discarded 2'
expect_sql 'SELECT text FROM chunks' 'Wagtails nod.'

# Killed in the middle: nothing is lost and nothing is there twice.
another kill
api latency=50
start_add --queue "$store" --width 2 --channel 2 "$letters"
check 'it is half way' wait_for 20 some_in 5
kill -KILL "$pid"
end_add 2>/dev/null
expect_status 137
in_it=$(sql 'SELECT count(*) FROM documents')
check 'it has not done all' test "$in_it" -lt 40
expect_whole
api -
add --queue "$store" "$letters"
expect_status 0 'the next run does the rest'
expect_asked $((40 - in_it)) 'and nothing again'
expect_states 'completed 40'
expect_sql 'SELECT count(*) FROM documents' 40
expect_whole

# The same, and it is docindex work that does the rest.
another work
api latency=50
start_add --queue "$store" --width 2 --channel 2 "$letters"
wait_for 20 some_in 5
kill -KILL "$pid"
end_add 2>/dev/null
api -
start_work
check 'docindex work takes what a dead one has left' \
	wait_for 30 states_are 'completed 40'
expect_sql 'SELECT count(*) FROM documents' 40

# Jobs of others, good and bad, while it works.
echo 'Shrikes impale.' >"$docs/shrike.txt"
enqueue "{\"path\":\"$docs/shrike.txt\"}"
expect_status 0
enqueue "{\"path\":\"$docs/missing.txt\"}"
for bad in '{}' '{"path":7}' '{"path":"docs/relative.txt"}' '{"path":""}' \
	'{"path":null}'; do
	enqueue "$bad"
	expect_status 0
done
enqueue "{\"path\":\"$docs\"}" --max-attempts 1
run "$WEIR" enqueue docindex --db "$store" --kind other.kind --args '{}'
expect_status 0
check 'each of them comes to its end' \
	wait_for 30 states_are 'available 1 completed 42 discarded 6'
finds shrikes shrike.txt
states >/dev/null
expect_json "$tmp/.jobs" 'sorted(set(x["errors"][-1]["error"] for x in r
	if x["state"] == "discarded"))' \
	"['it is no regular file', 'its args have no absolute \"path\"']"
expect_json "$tmp/.jobs" '[x["kind"] for x in r if x["state"] == "available"]' \
	"['other.kind']" 'a job of another kind is left alone'
kill -INT "$pid"
end_add
expect_status 123 'a stop with nothing on its way, after failures'
match_err '^draining: 0 running'
match_err '^stopped after drain: ok [0-9]*  failed 1  .*not started 0'
gone 'no worker is left'

# Gone since it was enqueued: it is forgotten.
rm "$docs/shrike.txt"
enqueue "{\"path\":\"$docs/shrike.txt\"}"
start_work
check 'a job for a document that is gone is completed' \
	wait_for 20 states_are 'available 1 completed 43 discarded 6'
expect_sql "SELECT count(*) FROM documents WHERE path LIKE '%shrike%'" 0
kill -TERM "$pid"
end_add
gone 'no worker is left after SIGTERM'

# A wrong key is no document's fault: its jobs stay as they were.
another key
api key=right,latency=20
OPENAI_API_KEY=wrong
export OPENAI_API_KEY
add --queue "$store" "$letters"
expect_status 1
match_err '^docindex add: stopped: the API answers 401: '
check 'it is told once' test "$(grep -c 401 "$err")" -eq 1
states >/dev/null
expect_json "$tmp/.jobs" 'len(r)' 40
expect_json "$tmp/.jobs" 'sum(x["attempt"] for x in r)' 0 \
	'a wrong key uses up no attempt'
expect_json "$tmp/.jobs" '{"available", "scheduled"}.issuperset(
	x["state"] for x in r)' True 'all of them are still to be done'
check 'the key is not in the store' sh -c "! grep -q wrong '$store'*"
OPENAI_API_KEY=right
# Those that had begun were put back for a minute.
run "$WEIR" jobs retry --all-matching --state scheduled --db "$store"
start_work
check 'the right key does them all' \
	wait_for 90 states_are 'completed 40'
kill -INT "$pid"
end_add
expect_status 0 'a stop is how it ends'
unset OPENAI_API_KEY
expect_sql 'SELECT count(*) FROM documents' 40

# An API that is away for a while: the job is tried again later.
another away
api down=1
add --queue "$store" --retries 0 "$letters/l1.txt"
expect_status 123
expect_states 'retryable 1'
expect_job l1.txt '["attempt"]' 1
expect_job l1.txt '["errors"][-1]["error"]' \
	'the API answers 503: the model is being loaded'
start_work
check 'and is done then' wait_for 30 states_are 'completed 1'
kill -INT "$pid"
end_add
expect_status 0 'a stop with nothing on its way'

# Ctrl-C: what is on its way is finished, the rest stays.
another stop
api latency=100
start_add --queue "$store" --width 2 --channel 2 "$letters"
wait_for 20 some_in 3
kill -INT "$pid"
end_add
expect_status 130
check 'no job is left running' sh -c "! '$WEIR' jobs list --db '$store' \
	--state running,retryable,discarded | grep -q docindex"
check 'the index and the store agree' test "$(sql 'SELECT count(*)
	FROM documents')" = "$(states | sed -n 's/.*completed \([0-9]*\).*/\1/p')"
states >/dev/null
expect_json "$tmp/.jobs" 'len(r)' 40
api -
add --queue "$store" "$letters"
expect_status 0
expect_states 'completed 40'

# Twice at once: the same is not done twice.
another twins
api latency=20
start_work
first=$pid
start env --default-signal=INT,QUIT,HUP "$mark" "$DOCINDEX" work \
	--db "$db" --queue "$store" </dev/null >"$tmp/2.out" 2>"$tmp/2.err"
second=$pid
add --queue "$store" "$letters"
expect_status 0 'three at once'
check 'do all of it' wait_for 30 states_are 'completed 40'
expect_asked 40 'and each document once'
expect_whole
kill -INT "$first" "$second"
wait "$first"
check 'both end' test $? -eq 0
wait "$second"
check 'with nothing to complain about' test $? -eq 0

# Names that JSON cannot have are told, and the others are done.
another names
api -
mkdir "$tmp/names"
echo 'Good.' >"$tmp/names/a \"b\" \\c %s.txt"
echo 'Bad.' >"$tmp/names/$(printf 'a\377b').txt"
add --queue "$store" "$tmp/names"
expect_status 123
match_err 'its name is not UTF-8'
expect_states 'completed 1'

# Stores that are none.
another plain
echo 'Dear diary' >"$tmp/diary"
add --queue "$tmp/diary" "$letters"
expect_status 1
match_err '^docindex add: .*diary: .*not a database'
check 'it is left as it was' test "$(cat "$tmp/diary")" = 'Dear diary'
add --queue "$db" "$letters"
expect_status 1 'an index is no store of jobs'
match_err 'a database, but not of weir'
expect_whole
add --queue "$tmp/no/such/store.db" "$letters"
expect_status 1
match_err 'No such file or directory'
run "$DOCINDEX" work --db "$db"
expect_status 2
match_err '^docindex work: --queue has to say which store'
run timeout 20 "$DOCINDEX" work --db "$db" --queue "$store" "$letters"
expect_status 2 'docindex work takes no documents'

gone 'no process is left of all that'
done_testing
