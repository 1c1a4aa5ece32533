#!/bin/sh
# The commands on a store in PostgreSQL.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
# shellcheck source=tests/cli/work-lib.sh
. "$(dirname "$0")/work-lib.sh"
# shellcheck source=tests/cli/fleet-lib.sh
. "$(dirname "$0")/fleet-lib.sh"
# shellcheck disable=SC2154 # url is fleet-lib's
cd "$tmp" || exit 1

# Tables, there and back.
fresh
weir db
expect_status 0
match_out '^schema version no tables$'
weir db migrate list
match_out '^main        1  no       the list of migrations$'
weir db migrate --to 5
expect_out "River's version 5, from 0
weir's version 0, as before"
weir db migrate up
expect_out "River's version 8, from 5
weir's version 2, from 0"
weir db migrate list --json
expect_json "$out" '[(v["line"], v["version"]) for v in r if v["applied"]][-3:]' \
	"[('main', 8), ('weir', 1), ('weir', 2)]"
weir db migrate down
expect_out "River's version 7, from 8
weir's version 2, as before"
weir db migrate down
expect_out "River's version 6, from 7
weir's version 0, from 2"
weir db migrate --json
expect_out '{"version":8,"before":6,"weir_version":2,"weir_before":0}'
weir db migrate
expect_out "River's version 8, as before
weir's version 2, as before"

# Jobs in and out; the options of River's columns.
weir enqueue mail --kind email --args '{"to": "a@b"}' --priority 2 \
	--max-attempts 3 --tag abc --metadata '{"by":"me"}' --timeout 5s -q
expect_out 1
weir jobs show --json 1
expect_json "$out" 'r[0]["args"], r[0]["priority"], r[0]["tags"], r[0]["metadata"], r[0]["timeout"]' \
	"({'to': 'a@b'}, 2, ['abc'], {'by': 'me'}, '5s')"
printf '{"n":1}\n{"n":2}\n' >lines
give lines enqueue mail --kind email --unique args -q
expect_out '2
3'
give lines enqueue mail --kind email --unique args --json
expect_json "$out" '[(j["id"], j["duplicate"]) for j in r]' '[(2, True), (3, True)]'
weir jobs --json --queue mail --oldest
expect_json "$out" '[j["id"] for j in r]' '[1, 2, 3]'
weir db --json
expect_json "$out" 'r[0]["river_version"], r[0]["weir_version"], r[0]["jobs"]["available"], r[0]["schema"], r[0]["pooler"]' \
	"(8, 2, 3, 'public', False)"
weir queues pause mail
expect_out 'mail paused'
work mail -- cat
match_err '^worked 0 '
weir queues resume mail
work mail -j 1 --json -- cat
expect_status 0
expect_json "$out" '[(j["id"], j["state"]) for j in r]' \
	"[(2, 'completed'), (3, 'completed'), (1, 'completed')]"
weir db check
expect_status 0
expect_out sound

# What a command says of its job.
put other '{}'
do_put --output -- sh -c 'echo '\''{"made":1}'\'''
expect_job "$id" 'j["output"]' "{'made': 1}"
put other '{}' --max-attempts 1
do_put -- sh -c 'echo broken >&2; exit 1'
expect_status 123
expect_job "$id" 'j["state"], j["errors"][0]["error"]' "('discarded', 'exit 1: broken')"
weir jobs retry "$id"
expect_out "$id available"
weir jobs cancel "$id"
expect_out "$id cancelled"
weir jobs delete "$id"
expect_out "$id deleted"

# Commands and URLs that bring what is to be done.
run "$WEIR" run --queue night -q -- echo 'item {}' ::: a b </dev/null
expect_status 0
work night -j 1
expect_out 'item a
item b'
weir enqueue hooks --kind hook --args '{}' -q
work hooks --http http://127.0.0.1:1/
expect_status 123
match_err 'Failed to connect'
echo http://127.0.0.1:1/x >lines
give lines fetch --queue web -q
expect_status 0
work web --fetch
match_err 'Failed to connect'

# Schedules.
weir schedule add tick '@every 1s' ticks --kind tick -q
weir schedule list --json
expect_json "$out" '[(s["name"], s["spec"]) for s in r]' "[('tick', '@every 1s')]"
start_work ticks -- echo ticked
check 'a schedule fires' wait_for 10 grep -q ticked "$tmp/work.out"
weir schedule remove tick
expect_status 0

# A bell rings: nothing waits for the next look.
kill -INT "$pid"
end_work
expect_status 0 'INT: what runs ends, and it was not in vain'
start_work bells -- date +%s.%N
before=$(date +%s.%N)
weir enqueue bells --kind bell --args '{}' -q
check 'an insert wakes a worker' wait_for 10 test -s "$tmp/work.out"
check 'within a second' python3 -c "
import sys; sys.exit(float(open('$tmp/work.out').read()) - $before > 1)"
weir queues --json
match_out '"bells"'

# One that is killed: another one on the same machine sees it at once.
kill -TERM "$pid"
end_work
put crash '{}'
start_work -- sleep 60
becomes "$id" running
kill -KILL "$pid"
end_work 2>/dev/null
start_work -- true
becomes "$id" completed
expect_job "$id" 'j["attempt"], j["errors"][0]["error"][:18]' "(2, 'the worker is gone')"
kill -TERM "$pid"
end_work

# One that runs is told, and another session's cancel is heard.
put crash '{}'
start_work --grace 0 -- sleep 60
becomes "$id" running
weir jobs cancel "$id"
becomes "$id" cancelled
# The server goes away under it, and it goes on when it is back.
sql "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
	WHERE application_name LIKE 'weir %'" >/dev/null
weir enqueue default --kind crash --args '{}' -q
id=$(cat "$out")
becomes "$id" running
kill -TERM "$pid"
end_work
gone 'nothing is left of all these workers'

# A schema of its own.
"$WEIR" db migrate --db "$url?schema=Apart" >/dev/null
weir enqueue mail --kind email --args '{}' --db "$url?schema=Apart" -q
expect_out 1
weir db --json --db "$url?schema=Apart"
expect_json "$out" 'r[0]["schema"], r[0]["jobs"]["available"]' "('Apart', 1)"

# The example.
fresh
run "$WEIR_BUILD/examples/example-fleet" "$url"
expect_status 0
expect_out 'parcels 1, state completed, attempt 2'

done_testing
