#!/bin/sh
# Looking at and changing a store: enqueue, jobs, queues, schedule, db.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
cd "$tmp" || exit 1

# One job, and the store that it makes.
weir enqueue mail --kind email --args '{"to": "a@b"}'
expect_status 0
expect_out 1
match_err '^weir enqueue: made jobs.db$'
match_err '^enqueued 1 job in '
check 'the store is its owner'\''s alone' test "$(mode jobs.db)" = 600
weir enqueue mail --kind email --args '{"to": "c@d"}' -q
expect_out 2
expect_err ''

# Lines: one object a job, and what came of each.
printf '{"n":1}\n\n{"n":2}\n' >lines
give lines enqueue mail --kind email --json
expect_status 0
expect_out '{"line":1,"id":3,"kind":"email","queue":"mail","state":"available","duplicate":false}
{"line":3,"id":4,"kind":"email","queue":"mail","state":"available","duplicate":false}'
match_err '^enqueued 2 jobs in '
weir enqueue mail --kind email -a lines -a lines
expect_out '5
6
7
8'
give /dev/null enqueue mail --kind email
expect_status 0 'an empty input is nothing to complain about'
expect_err "weir enqueue: no lines in the input; a job without arguments has --args '{}'"

# Everything that a job can have.
weir enqueue low --kind report --args '{"a":[1,2.50]}' --delay 5m --priority 4 \
	--max-attempts 3 --timeout 1500ms --tag abc --tag d_e \
	--metadata '{"by":"me"}'
weir jobs show --json 9
expect_json "$out" 'r[0]["state"]' scheduled
expect_json "$out" 'r[0]["priority"]' 4
expect_json "$out" 'r[0]["max_attempts"]' 3
expect_json "$out" 'r[0]["timeout"]' 1500ms
expect_json "$out" 'r[0]["tags"]' "['abc', 'd_e']"
expect_json "$out" 'r[0]["metadata"]' "{'by': 'me'}"
expect_json "$out" '(at(r[0]["scheduled_at"]) - at(r[0]["created_at"]))' 300.0
match_out '"args":{"a":\[1,2.50\]}' 'args are as they were given'
weir jobs show 9
match_out '^job 9: report, in queue low$'
match_out '^  state         scheduled$'
match_out '^  timeout       1500ms$'
match_out '^  scheduled     .*Z, in 4m$'
match_out '^      "a": \[$'

weir enqueue low --kind report --args '{}' --at 2099-01-31T09:00:00+02:00
weir jobs show --json 10
expect_json "$out" 'r[0]["scheduled_at"]' 2099-01-31T07:00:00Z
weir enqueue low --kind report --args '{}' --at 09:30
weir jobs show --json 11
expect_json "$out" '0 < at(r[0]["scheduled_at"]) - at(r[0]["created_at"]) <= 90000' True
weir enqueue low --kind report --args '{}' --pending
weir jobs show 12
match_out '^  state         pending$'

# Unique jobs.
unique='--kind digest --unique args=to,period=1d --db unique.db'
# shellcheck disable=SC2086 # several words
weir enqueue low $unique --args '{"to":1,"x":1}'
expect_out 1
# shellcheck disable=SC2086
weir enqueue low $unique --args '{"to":1,"x":2}' --json
expect_out '{"id":1,"kind":"digest","queue":"low","state":"available","duplicate":true}'
match_err '^enqueued 0 jobs in .*, 1 was there already$'
# shellcheck disable=SC2086
weir enqueue low $unique --args '{"to":2,"x":2}' --json
match_out '"duplicate":false'

# Lines that are whole jobs; what jobs --json prints is such a line.
cat >whole <<'END'
{"kind":"email","queue":"other","args":{"n":1e400},"delay":"1h","tags":["abc"]}
{"args":{"n":2},"priority":2,"timeout":"5s","max_attempts":7,"unique":"args"}
{"kind":"p","pending":true,"kind2":1}
END
give whole enqueue low --kind report --whole
expect_status 123
expect_out '13
14'
match_err "^weir enqueue: line 3: unknown member 'kind2'; did you mean 'kind'?\$"
weir jobs list --json --limit 2 --oldest --kind report --queue low --state available
expect_json "$out" '[(j["id"], j["priority"], j["timeout"], j["max_attempts"]) for j in r]' "[(14, 2, '5s', 7)]"
weir jobs show --json 13
match_out '"queue":"other".*"state":"scheduled".*{"n":1e400}'
cp "$out" again
give again enqueue --whole
expect_out 15

# Lists.
weir jobs
expect_status 0
match_out '^ID  STATE      QUEUE  KIND    AGE  TRY   NOTE$'
match_out '^12  pending    low    report   [0-9]*s  0/25$'
match_out '^15  scheduled  other  email    [0-9]*s  0/25  in 59m$'
weir jobs list --limit 2 --oldest --json
expect_json "$out" '[j["id"] for j in r]' '[1, 2]'
weir jobs list --limit 2 --before 4 --json
expect_json "$out" '[j["id"] for j in r]' '[3, 2]'
weir jobs list --queue low --state pending,scheduled --json
expect_json "$out" '[j["id"] for j in r]' '[12, 11, 10, 9]'
weir jobs list --tag abc --since 1h --json
expect_json "$out" '[j["id"] for j in r]' '[15, 13, 9]'
weir jobs list --since 2099-01-01T00:00:00Z
expect_status 0
expect_out ''
expect_err 'weir jobs: no jobs match'

# Changes.
weir jobs retry 12
expect_out '12 available'
weir jobs cancel 12 --json
expect_out '{"id":12,"ok":true,"state":"cancelled"}'
weir jobs cancel 12 11 999
expect_status 123
expect_out '11 cancelled'
match_err '^weir jobs: cannot cancel: job 12: it was over already$'
match_err '^weir jobs: there is no job 999 (jobs.db)$'
weir jobs delete 11
expect_out '11 deleted'
weir jobs show 11
expect_status 123
weir jobs retry --all-matching --state cancelled,scheduled --queue low
expect_status 0
expect_err 'weir jobs: retried 3 jobs'
weir jobs delete --all-matching
expect_status 2
match_err '^try: weir jobs list --state discarded$'
weir jobs delete --all-matching --queue low
expect_err 'weir jobs: deleted 4 jobs'
weir jobs list --queue low
expect_err 'weir jobs: no jobs match'

# Queues.
weir queues
match_out '^QUEUE  PENDING  SCHED  AVAIL  RUN  RETRY  DONE  CANCEL  DISCARD  POLICY  NOTE$'
match_out '^mail         0      0      8    0 .* keep$'
weir queues pause mail
expect_out 'mail paused'
weir queues --json
expect_json "$out" '[(q["name"], q["paused_at"] is not None) for q in r]' \
	"[('low', False), ('mail', True), ('other', False)]"
expect_json "$out" 'r[1]["jobs"]["available"]' 8
weir queues set other fresh --finished drop
expect_out 'other drop
fresh drop'
weir queues resume --all
expect_out 'all resumed'
weir queues list --json
expect_json "$out" '[(q["name"], q["finished"], q["paused_at"]) for q in r]' \
	"[('fresh', 'drop', None), ('low', 'keep', None), ('mail', 'keep', None), ('other', 'drop', None)]"

# Schedules.
weir schedule
expect_err 'weir schedule: no schedules'
weir schedule add digest '0 7 1 1 *' mail --kind digest --args '{"n": 1}' \
	--tag abc --unique args --json
expect_json "$out" '[t[4:] for t in r[0]["next_at"]]' \
	"['-01-01T07:00:00Z', '-01-01T07:00:00Z', '-01-01T07:00:00Z']"
expect_json "$out" 'r[0]["job"]["unique"]' args
weir schedule add ping '@every 90s' net --kind ping
match_out '^ping fires next at$'
check 'and then three times' test "$(grep -c '^  20.*Z$' "$out")" = 3
weir schedule add ping '@every 90s' net --kind ping
match_err "^weir schedule: ping replaces what was there: '@every 90s', ping in net$"
weir schedule pause ping
expect_out 'ping paused'
weir schedule
match_out '^NAME    SPEC        QUEUE  KIND    NEXT  *LAST$'
match_out '^digest  0 7 1 1 \*   mail   digest  20..-01-01T07:00:00Z  never$'
match_out '^ping    @every 90s  net    ping    paused '
weir schedule resume ping --json
expect_out '{"name":"ping","done":"resumed"}'
weir schedule list --json
expect_json "$out" '[(s["name"], s["paused"], s["job"]["args"]) for s in r]' \
	"[('digest', False, {'n': 1}), ('ping', False, {})]"
weir schedule remove ping nope
expect_status 123
expect_out 'ping removed'
expect_err "weir schedule: there is no schedule 'nope' (jobs.db)"

# The file.
weir db
match_out "^store          $tmp/jobs.db\$"
match_out '^jobs           .*8 available'
match_out '^SQLite         3\.'
weir db info --json
expect_json "$out" '(r[0]["jobs"]["available"], r[0]["workers"])' '(8, 0)'
weir db check
expect_out sound
weir db check --json
expect_out '{"ok":true}'
weir db migrate --json
expect_json "$out" 'r[0]["version"] == r[0]["before"] > 0' True
weir db migrate --to 1
expect_status 0
weir jobs
expect_status 1
match_err '^try: weir db migrate$'
weir db migrate
expect_status 0
weir jobs list --queue mail --json --limit 1
expect_json "$out" 'len(r)' 1
weir db migrate --db new.db
match_err '^weir db: made new.db$'
weir jobs --db sqlite:new.db
expect_status 0
expect_err 'weir jobs: no jobs'
WEIR_DB=new.db weir jobs list
expect_err 'weir jobs: no jobs'

# Many, in bounded memory, and a reader that goes away.
seq 100000 | sed 's/.*/{"n": &}/' >many
# A sanitizer takes its own.
if grep -q '__asan_init\|__tsan_init' "$WEIR"; then
	bound=:
else
	bound='ulimit -v 100000'
fi
run sh -c "$bound"'; exec "$@" <many' sh "$WEIR" enqueue many --db many.db \
	--kind email
expect_status 0 'a hundred thousand lines need little memory'
check 'and give as many ids' test "$(wc -l <"$out")" = 100000
run sh -c "$bound"'; exec "$@"' sh "$WEIR" jobs list --db many.db --limit 0
expect_status 0 'so does their list'
check 'which is whole' test "$(wc -l <"$out")" = 100001
run sh -c '{ "$@"; echo $? >status; } | head -n 1' sh "$WEIR" jobs list --json \
	--db many.db --limit 0
check 'nobody reads any more: 141' test "$(cat status)" = 141
weir jobs cancel --all-matching --kind email --db many.db
expect_err 'weir jobs: cancelled 100 000 jobs'

# A slow producer's lines are not kept waiting, and a signal ends the rest.
mkfifo pipe
exec 3<>pipe
start sh -c 'exec "$@" <pipe >ids 2>said' sh "$WEIR" enqueue slow --kind email \
	--db slow.db
printf '{"n":1}\n{"n":2}\n' >&3
check 'lines go in before the next one comes' wait_for 10 grep -qx 2 ids
kill -TERM "$pid"
wait "$pid"
status=$?
expect_status 143 'a signal ends it'
exec 3>&-
cp said "$err"
match_err '^stopped: 2 jobs are in the store, up to line 2$'

done_testing
