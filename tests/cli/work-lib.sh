# shellcheck shell=sh disable=SC2154,SC2034 # tmp and run_line are lib.sh's
# For the tests of weir work, after lib.sh.  The store is $db.
#
#	put KIND ARGS [OPTIONS]       a job in queue "default"; $id is its id
#	put_in QUEUE KIND ARGS ...    in another
#	work ARGS...                  runs weir work --until-empty; the last run
#	do_put ARGS...                the same for jobs of the kind that was put
#	                              last: others may be due again meanwhile
#	start_work ARGS...            weir work in the background, its process in
#	                              $pid; on return it takes jobs.  It prints to
#	                              $tmp/work.out and $tmp/work.err
#	end_work                      waits for it; $status is its exit status
#	job ID EXPR                   prints a value; EXPR is Python, j the job
#	is ID STATE                   for check and wait_for
#	becomes ID STATE              a test: it is in that state soon
#	expect_job ID EXPR VALUE      a test
#	expect_records FILE EXPR VALUE   likewise; r is the list of records
#	gone NAME                     a test: no process is left of a worker

db=$tmp/jobs.db
export WEIR_DB="$db"
mark=WEIR_TEST_MARK=$$-$tmp

put_in() {
	put_queue=$1
	put_kind=$2
	put_args=$3
	shift 3
	id=$("$WEIR" enqueue "$put_queue" --kind "$put_kind" \
		--args "$put_args" "$@" 2>"$tmp/.put.err") ||
		not_ok 'a job is enqueued' "$(cat "$tmp/.put.err")"
}

put() {
	put_in default "$@"
}

work() {
	run env "$mark" "$WEIR" work --until-empty "$@" </dev/null
	run_line="weir work --until-empty $*"
}

do_put() {
	work --kind "$put_kind" "$@"
}

is_up() {
	grep -q 'weir work: working ' "$tmp/work.err"
}

start_work() {
	: >"$tmp/work.err"
	# A shell has its background ignore the first two, nohup the third.
	start env --default-signal=INT,QUIT,HUP "$mark" "$WEIR" work "$@" \
		</dev/null >"$tmp/work.out" 2>"$tmp/work.err"
	run_line="weir work $*"
	wait_for 10 is_up || not_ok 'a worker is up' "$(cat "$tmp/work.err")"
}

end_work() {
	wait "$pid"
	status=$?
	cp "$tmp/work.out" "$out"
	cp "$tmp/work.err" "$err"
}

cat >"$tmp/.job.py" <<'END'
import json
import sys

lines = [json.loads(line) for line in sys.stdin]
j = lines[0] if lines else None
r = lines
print(eval(sys.argv[1]))
END

job() {
	"$WEIR" jobs show "$1" --json 2>&1 | python3 "$tmp/.job.py" "$2" 2>&1
}

is() {
	[ "$(job "$1" 'j["state"]')" = "$2" ]
}

becomes() {
	if wait_for 20 is "$1" "$2"; then
		ok "job $1 becomes $2"
	else
		not_ok "job $1 becomes $2" "it is: $(job "$1" j)
$(cat "$tmp/work.err")"
	fi
}

expect_job() {
	job_got=$(job "$1" "$2")
	if [ "$job_got" = "$3" ]; then
		ok "job $1: $2 is $3"
	else
		not_ok "job $1: $2 is $3" "it is: $job_got
$("$WEIR" jobs show "$1" --json 2>&1)"
	fi
}

expect_records() {
	records_got=$(python3 "$tmp/.job.py" "$2" <"$1" 2>&1)
	if [ "$records_got" = "$3" ]; then
		ok "records: $2 is $3"
	else
		not_ok "records: $2 is $3" "it is: $records_got
$(head -n 5 "$1")"
	fi
}

# What has our mark in its environment, whoever its parent is now.
left() {
	grep -lsxzF "$mark" /proc/[0-9]*/environ | while read -r left_file; do
		printf '%s: ' "${left_file%/environ}"
		tr '\0' ' ' <"${left_file%environ}cmdline" && echo
	done 2>/dev/null
}

none_left() {
	[ -z "$(left)" ]
}

gone() {
	if wait_for 10 none_left; then
		ok "$1"
	else
		not_ok "$1" "$(left)"
	fi
}
