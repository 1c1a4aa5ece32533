#!/bin/sh
# The commands through a PgBouncer that gives each transaction another session;
# see tests/with-pgbouncer.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/cli/queue-lib.sh
. "$(dirname "$0")/queue-lib.sh"
# shellcheck source=tests/cli/fleet-lib.sh
. "$(dirname "$0")/fleet-lib.sh"
# shellcheck disable=SC2154 # tmp and database are theirs
cd "$tmp" || exit 1

fresh
weir db migrate
pooled="postgres:${WEIR_TEST_PG_VIA%% *} dbname=$database user=postgres"

# Without being told it fails, sooner or later, and what it proposes works.
tries=0
status=0
while [ "$status" -eq 0 ] && [ "$tries" -lt 20 ]; do
	weir enqueue mail --kind email --args '{}' -q --db "$pooled"
	tries=$((tries + 1))
done
expect_status 1
match_err 'prepared statement ".*" already exists'
match_err "^try: weir db --db '$pooled listen=off'\$"
weir db --json --db "$pooled listen=off"
expect_status 0
expect_json "$out" 'r[0]["pooler"]' True

# All of a job's life, by a few sessions.
fresh
weir db migrate
pooled="postgres:${WEIR_TEST_PG_VIA%% *} dbname=$database user=postgres listen=off"
printf '{"n":1}\n{"n":2}\n{"n":3}\n' >lines
give lines enqueue mail --kind email -q --db "$pooled"
expect_out '1
2
3'
weir work mail --until-empty -q --db "$pooled" -j 2 -- cat
expect_status 0
weir jobs --json --db "$pooled" --state completed
expect_json "$out" 'sorted(j["args"]["n"] for j in r)' '[1, 2, 3]'
weir queues pause mail --db "$pooled"
weir queues --json --db "$pooled"
expect_json "$out" 'r[0]["paused_at"] is not None' True

done_testing
