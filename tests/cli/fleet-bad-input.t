#!/bin/sh
# What can be wrong with a store in PostgreSQL: each is said in a line, with
# the next step, and without a password.
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

# refused STATUS WHY TRY ARGS...: the whole of what is said
refused() {
	refused_status=$1
	refused_why=$2
	refused_try=$3
	shift 3
	weir "$@"
	plain
	expect_status "$refused_status"
	if [ -n "$refused_try" ]; then
		expect_err "weir $1: $refused_why
try: $refused_try"
	else
		expect_err "weir $1: $refused_why"
	fi
}

fresh
root=postgres://postgres@SOCKETS
real=postgres://postgres@$coded_sockets

# Nobody there, or not for us.
refused 1 'cannot open the store: connection to server at "127.0.0.1", port 1 failed: Connection refused (postgres://me@127.0.0.1:1/app)' \
	'pg_isready -h 127.0.0.1 -p 1' jobs --db postgres://me:secret@127.0.0.1:1/app
refused 1 'cannot open the store: connection to server on socket "/nowhere/.s.PGSQL.5432" failed: No such file or directory (postgres:host=/nowhere dbname=app)' \
	'pg_isready -h /nowhere' jobs --db "postgres:host=/nowhere password='se cret' dbname=app"
refused 1 "cannot open the store: connection to server on socket \"SOCKETS/.s.PGSQL.5432\" failed: FATAL:  role \"nobody\" does not exist (postgres://nobody@SOCKETS/$database)" \
	"psql -h SOCKETS -U nobody $database -c '\\conninfo'" \
	jobs --db "postgres://nobody@$coded_sockets/$database"
refused 1 "cannot open the store: connection to server on socket \"SOCKETS/.s.PGSQL.5432\" failed: FATAL:  database \"nil\" does not exist ($root/nil)" \
	'createdb -h SOCKETS -U postgres nil' enqueue q --kind email --args '{}' \
	--db "$real/nil"

# What is no url.
refused 2 'cannot open the store: in the user and password of a url, @ and / are written %40 and %2F (postgres://me@host/app)' \
	'weir jobs --db postgres://USER@HOST/DATABASE' \
	jobs --db 'postgres://me:sec@ret/and@host/app'
refused 2 'cannot open the store: not a url that libpq can read: invalid URI query parameter (postgres://me@host/app?shema=x)' \
	'weir jobs --db postgres://USER@HOST/DATABASE' \
	jobs --db 'postgres://me:secret@host/app?shema=x&password=secret'
refused 2 'cannot open the store: not the url of a PostgreSQL store: postgres://HOST/DATABASE, or postgres:host=HOST dbname=DATABASE (postgresql:app)' \
	'weir work --db postgres://USER@HOST/DATABASE' \
	work --db postgresql:app -- true
refused 2 'cannot open the store: the name of a schema has letters, digits and _, and begins with no digit (postgres://h/app?schema=a-b)' \
	'weir db --db postgres://USER@HOST/DATABASE' \
	db check --db 'postgres://h/app?schema=a-b'
refused 2 "'sideways' is not list, up or down" 'weir db --help' \
	db migrate sideways

# No tables, too few, too many.
refused 1 "cannot open the store: there are no tables of River or weir ($root/$database)" \
	'weir db migrate' enqueue q --kind email --args '{}'
refused 1 "cannot open the store: there are no tables of River or weir ($root/$database)" \
	"weir db migrate --db $root/$database" work --db "$url" -- true
refused 1 'cannot migrate the store: there are no tables' '' db migrate down
weir db migrate --to 6
refused 1 "cannot open the store: River's tables have version 6, this weir needs 7 ($root/$database)" \
	'weir db migrate' work -- true
refused 2 'cannot migrate the store: version 6 is not down from 6, where it is' \
	'weir db migrate up --to 6' db migrate down --to 6
weir db migrate
refused 2 'cannot migrate the store: version 5 is not up from 8, where it is' \
	'weir db migrate down --to 5' db migrate up --to 5
refused 2 "cannot migrate the store: there is no version 9; the newest is 8 ($root/$database)" \
	'' db migrate --to 9
sql 'DROP TABLE weir_client'
refused 1 "cannot open the store: it has River's tables, but not those of weir (version 0, this weir needs 2) ($root/$database)" \
	'weir db migrate' jobs
fresh
weir db migrate
sql "INSERT INTO river_migration (line, version) VALUES ('main', 9)"
refused 1 "cannot open the store: River's tables have version 9, this weir knows 8 ($root/$database)" \
	'weir --version, here and where the newer one is' work -- true
refused 1 "cannot migrate the store: a newer version has made it ($root/$database)" \
	'weir --version, here and where the newer one is' db migrate
weir db migrate list
match_out '^main        9  yes      of a newer release$'
sql "DELETE FROM river_migration WHERE version = 9"
sql "INSERT INTO river_migration (line, version) VALUES ('weir', 3)"
refused 1 "cannot open the store: a newer weir has made it (its version is 3, this weir knows 2) ($root/$database)" \
	'weir --version, here and where the newer one is' jobs
sql "DELETE FROM river_migration WHERE line = 'weir' AND version = 3"

# River Pro beside us is no trouble.
sql 'CREATE TABLE river_workflow (id bigint); CREATE TABLE river_producer (id bigint)'
weir db
match_out "8 of River's tables, 2 of weir's; River Pro's are there"
put email '{}'
work -- true
expect_status 0
sql 'DROP TABLE river_workflow, river_producer'

# Rights.
sql 'CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader'
reader=postgres://reader@$coded_sockets/$database
weir jobs --db "$reader"
expect_status 0 'who may read may look'
refused 1 "cannot enqueue: permission denied for table river_queue (postgres://reader@SOCKETS/$database)" \
	"psql -h SOCKETS -U reader $database -c '\\dp *.river_*'" \
	enqueue q --kind email --args '{}' --db "$reader"
sql 'CREATE ROLE stranger LOGIN'
refused 1 "cannot open the store: permission denied for table river_migration (postgres://stranger@SOCKETS/$database)" \
	"psql -h SOCKETS -U stranger $database -c '\\dp *.river_*'" \
	jobs --db "postgres://stranger@$coded_sockets/$database"
weir work --db "$reader" -- true
expect_status 1
match_err 'permission denied'

# Not by taking jobs away.
refused 1 'cannot migrate the store: 1 jobs would be lost' 'weir jobs list' \
	db migrate down --to 1
weir schedule add tick '@every 1h' q --kind tick -q
refused 1 'cannot migrate the store: 1 schedules would be lost' \
	'weir schedule list' db migrate down --to 6
refused 2 "cannot work the store: this store cannot be worked alone ($root/$database)" \
	'' work --alone -- true

# Rows that others have written badly.
weir db check
expect_out sound
sql "INSERT INTO river_job (id, kind, queue, args, max_attempts, metadata,
	errors) VALUES
	(101, 'email', 'bad', '[1]', 25, '{}', NULL),
	(102, 'email', 'bad', '{}', 25, '[1]', NULL),
	(103, 'email', 'bad', '{}', 25, 'null', NULL),
	(104, 'email', 'bad', '{}', 25, '{\"weir:timeout_ns\":\"x\"}',
	 ARRAY['{\"at\":\"yesterday\",\"attempt\":1,\"error\":\"x\"}'::jsonb,
	  '3'::jsonb, NULL]),
	(105, 'weir.run', 'bad', '{\"argv\":7}', 1, '{}', NULL),
	(106, 'weir.run', 'bad', '[]', 1, 'true', NULL),
	(107, 'weir.fetch', 'bad', '{\"url\":{}}', 1, '{}', NULL),
	(108, 'email', 'bad', '{\"last\":1}', 25, '{}', NULL)"
sql "INSERT INTO river_job (id, kind, queue, args, max_attempts, state,
	attempted_by, attempted_at) VALUES
	(111, 'email', 'bad', '{}', 25, 'running', ARRAY['h:1#999'], now()),
	(112, 'email', 'bad', '{}', 25, 'running', NULL, NULL),
	(113, 'email', 'bad', '{}', 25, 'running', ARRAY['go_client'], now())"
weir db check
plain
expect_status 1
expect_out "job 101 has args that are no JSON object
job 106 has args that are no JSON object
job 102 has metadata that are no JSON object
job 103 has metadata that are no JSON object
job 106 has metadata that are no JSON object
job 104 has an error that River's clients cannot read: {\"at\": \"yesterday\", \"error\": \"x\", \"attempt\": 1}
job 104 has an error that River's clients cannot read: 3
job 104 has an error that River's clients cannot read: null
job 112 runs, and nobody has taken it
job 111 runs, and its worker h:1#999 does not work the store any more"
expect_err "weir db: 10 findings ($root/$database)
try: weir jobs show 101"
weir jobs list --queue bad --json
expect_json "$out" 'len(r)' 11
weir jobs show 104
expect_status 0
work bad -- cat
expect_status 0 'commands are given whatever the args are'
weir jobs list --queue bad --state completed --json --oldest
expect_json "$out" '[j["id"] for j in r]' '[101, 102, 103, 104, 108]'
work bad
expect_status 123
expect_job 105 'j["state"], j["errors"][0]["error"]' \
	"('discarded', 'argv is no array')"
expect_job 106 'j["state"]' discarded
work bad --fetch
expect_status 123
expect_job 107 'j["state"]' discarded
sql 'DROP INDEX river_job_unique_idx; DELETE FROM river_job;
	DELETE FROM river_migration WHERE version = 3'
weir db check
expect_out "River's migration 3 is not noted
the index river_job_unique_idx is missing"

# A standby, which this one plays.
sql "ALTER DATABASE $database SET default_transaction_read_only = on"
weir enqueue q --kind email --args '{}'
plain
expect_status 1
expect_err "weir enqueue: cannot enqueue: cannot execute INSERT in a read-only transaction ($root/$database)
try: psql -h SOCKETS -U postgres $database -c 'SELECT pg_is_in_recovery()'"

done_testing
