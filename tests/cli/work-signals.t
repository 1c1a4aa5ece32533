#!/bin/sh
# weir work and signals: what is taken, what runs on, what comes back, and the
# exit status that tells of it.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/work-lib.sh
. "$(dirname "$0")/work-lib.sh"

# A job that says that it is up and runs until it is let go.
cat >"$tmp/job" <<END
#!/bin/sh
touch "$tmp/up.\$WEIR_JOB_ID"
while [ ! -e "$tmp/go" ]; do sleep 0.02; done
END
# The same, deaf.
cat >"$tmp/deaf" <<END
#!/bin/sh
trap '' TERM INT HUP
touch "$tmp/up.\$WEIR_JOB_ID"
while [ ! -e "$tmp/go" ]; do sleep 0.02; done
END
chmod +x "$tmp/job" "$tmp/deaf"

up() {
	wait_for 10 test -e "$tmp/up.$1" || not_ok "job $1 runs" \
		"$(cat "$tmp/work.err")"
}

says() {
	wait_for 10 grep -q "$1" "$tmp/work.err" || not_ok "it says $1" \
		"$(cat "$tmp/work.err")"
}

put start '{}'
work -- true
for signal in TERM INT HUP; do
	start_work -- true
	kill -"$signal" "$pid"
	end_work
	expect_status 0 "$signal ends a worker that has nothing to do, with 0"
done

# --- the first: what runs ends by itself, nothing more is taken --------------

for signal in TERM INT HUP; do
	rm -f "$tmp/go"
	put first '{}'
	running=$id
	start_work -j 1 -- "$tmp/job"
	up "$running"
	put first '{}'
	kill -"$signal" "$pid"
	says 'draining: 1 running'
	check "a job that runs is let be after $signal" is "$running" running
	touch "$tmp/go"
	end_work
	expect_status 0
	expect_job "$running" 'j["state"]' completed
	expect_job "$id" 'j["state"]' available
	expect_job "$id" 'j["attempt"]' 0
	"$WEIR" jobs cancel "$id" >/dev/null 2>&1
done

# --- the second, or the end of the grace: all comes back ---------------------

rm -f "$tmp/go"
put second '{}'
start_work -- "$tmp/job"
up "$id"
kill -TERM "$pid"
says 'draining: 1 running'
kill -TERM "$pid"
end_work
expect_status 75
match_err '^weir work: 1 handed back while running; they will run again$'
expect_job "$id" 'j["state"]' available
expect_job "$id" 'j["attempt"]' 0
gone 'nothing is left of what was handed back'
touch "$tmp/go"
work -- "$tmp/job"
expect_job "$id" '(j["state"], j["attempt"])' "('completed', 1)"

rm -f "$tmp/go"
put grace '{}'
start_work --grace 300ms -- "$tmp/job"
up "$id"
kill -TERM "$pid"
end_work
expect_status 75 'the grace is over'
expect_job "$id" '(j["state"], j["attempt"])' "('available', 0)"
"$WEIR" jobs cancel "$id" >/dev/null 2>&1

# One that does not listen is killed, and comes back all the same.
put deaf '{}'
start_work --kill-after 300ms --grace 100ms -- "$tmp/deaf"
up "$id"
kill -TERM "$pid"
end_work
expect_status 75
expect_job "$id" '(j["state"], j["attempt"])' "('available', 0)"
gone 'nothing is left of one that was deaf'
"$WEIR" jobs cancel "$id" >/dev/null 2>&1

# --- the third, and QUIT: at once; rescue brings the jobs back ---------------

for signal in TERM INT HUP QUIT; do
	put third '{}'
	start_work --kill-after 1h -- "$tmp/deaf"
	up "$id"
	kill -"$signal" "$pid"
	if [ "$signal" != QUIT ]; then
		says 'draining: 1 running'
		kill -"$signal" "$pid"
		says 'to be run again'
		kill -"$signal" "$pid"
	fi
	end_work
	case $signal in
	TERM) expect_status 143 ;;
	INT) expect_status 130 ;;
	HUP) expect_status 129 ;;
	QUIT) expect_status 131 ;;
	esac
	gone "nothing is left after $signal"
	check 'the job is still written down as running' is "$id" running
	touch "$tmp/go"
	work -- "$tmp/job"
	expect_job "$id" 'j["state"]' completed
	rm -f "$tmp/go"
done

# --- KILL of the worker: its children die with it ----------------------------

put killed '{}'
start_work -- "$tmp/deaf"
up "$id"
kill -KILL "$pid"
end_work
gone 'the children of a worker that is killed die with it'
touch "$tmp/go"
work -- "$tmp/job"
expect_job "$id" 'j["state"]' completed
rm -f "$tmp/go"

# --- STOP and CONT: whoever sleeps too long has lost its jobs -----------------

put lost '{}'
start_work --kind lost --json -- "$tmp/job"
up "$id"
kill -STOP "$pid"
asleep=$pid
start env "$mark" "$WEIR" work --kind lost --quiet -- true </dev/null
becomes "$id" completed
expect_job "$id" 'j["attempt"]' 2
kill -CONT "$asleep"
wait_for 10 test -s "$tmp/work.out"
kill -TERM "$pid" "$asleep"
wait "$pid"
pid=$asleep
end_work
expect_status 0
expect_records "$out" 'r[0]["state"]' stale
match_err 'lost [0-9]*  *not ours any more'
expect_job "$id" 'j["state"]' completed

# --- USR1, USR2 --------------------------------------------------------------

start_work -j 3 -- true
kill -USR1 "$pid"
says '0/3 busy'
ok 'USR1 prints the state of things'
kill -USR2 "$pid"
says 'taking no jobs until USR2'
put quiet '{}'
# There is no event to wait for: nothing is to happen.
sleep 0.5
expect_job "$id" 'j["state"]' available
kill -USR1 "$pid"
kill -USR2 "$pid"
says 'taking jobs again'
becomes "$id" completed
kill -TERM "$pid"
end_work
expect_status 0

gone 'no process is left'
# --- killed: what it had runs again, and soon --------------------------------

rm -f "$tmp/go"
put orphan '{}'
orphan=$id
start_work --kind orphan -- "$tmp/job"
up "$orphan"
kill -KILL "$pid"
end_work
rm -f "$tmp/up.$orphan"
start_work --kind orphan -- "$tmp/job"
check 'the job of a worker that was killed runs again within 15 s' \
	wait_for 15 test -e "$tmp/up.$orphan"
touch "$tmp/go"
becomes "$orphan" completed
kill -TERM "$pid"
end_work
expect_job "$orphan" 'j["attempt"]' 2

done_testing
