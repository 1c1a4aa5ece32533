/*
 * The schema: River's versions 1 to 8, and our own.
 *
 * Design.  What others work on has to be what River's own migrations make of
 * it, to the name of the last constraint and the order of columns, whichever
 * version it was begun with; tests compare the catalogs.  The statements are
 * ours.  "@" stands for the schema.
 *
 * Each step is one transaction with the row that notes it.
 */
#include "pg/migrate.h"

#define NAME_CHECK(column) \
	"char_length(" column ") > 0 AND char_length(" column ") < 128"

#define FINAL_STATES "state IN ('cancelled', 'completed', 'discarded')"

/* A job inserted by River before version 4 rang by a trigger. */
#define NOTIFY_TRIGGER                                           \
	"CREATE FUNCTION @river_job_notify() RETURNS trigger"    \
	" LANGUAGE plpgsql AS $$"                                \
	" BEGIN"                                                 \
	"  IF NEW.state = 'available' THEN"                      \
	"   PERFORM pg_notify('river_insert',"                   \
	"    json_build_object('queue', NEW.queue)::text);"      \
	"  END IF;"                                              \
	"  RETURN NULL;"                                         \
	" END $$;"                                               \
	"CREATE TRIGGER river_notify AFTER INSERT ON @river_job" \
	" FOR EACH ROW EXECUTE FUNCTION @river_job_notify();"

#define OLD_MIGRATION                                     \
	"CREATE TABLE @river_migration ("                 \
	" id bigserial PRIMARY KEY,"                      \
	" created_at timestamptz NOT NULL DEFAULT now()," \
	" version bigint NOT NULL,"                       \
	" CONSTRAINT version CHECK (version >= 1));"      \
	"CREATE UNIQUE INDEX ON @river_migration (version);"

const struct pg_step weir__pg_river_steps[PG_SCHEMA_VERSION + 1] = {
	[1] =
		{
			.up = OLD_MIGRATION,
			.down = "DROP TABLE @river_migration;",
		},
	[2] =
		{
			.up = "CREATE TYPE @river_job_state AS ENUM "
			      "('available',"
			      " 'cancelled', 'completed', 'discarded', "
			      "'retryable',"
			      " 'running', 'scheduled');"
			      "CREATE TABLE @river_job ("
			      " id bigserial PRIMARY KEY,"
			      " state @river_job_state NOT NULL DEFAULT "
			      "'available',"
			      " attempt smallint NOT NULL DEFAULT 0,"
			      " max_attempts smallint NOT NULL,"
			      " attempted_at timestamptz,"
			      " created_at timestamptz NOT NULL DEFAULT now(),"
			      " finalized_at timestamptz,"
			      " scheduled_at timestamptz NOT NULL DEFAULT "
			      "now(),"
			      " priority smallint NOT NULL DEFAULT 1,"
			      " args jsonb,"
			      " attempted_by text[],"
			      " errors jsonb[],"
			      " kind text NOT NULL,"
			      " metadata jsonb NOT NULL DEFAULT '{}',"
			      " queue text NOT NULL DEFAULT 'default',"
			      " tags varchar(255)[],"
			      " CONSTRAINT finalized_or_finalized_at_null "
			      "CHECK ("
			      "  (" FINAL_STATES
			      " AND finalized_at IS NOT NULL)"
			      "  OR finalized_at IS NULL),"
			      " CONSTRAINT max_attempts_is_positive"
			      "  CHECK (max_attempts > 0),"
			      " CONSTRAINT priority_in_range"
			      "  CHECK (priority >= 1 AND priority <= 4),"
			      " CONSTRAINT queue_length CHECK (" NAME_CHECK(
				      "queue") "),"
					       " CONSTRAINT kind_length CHECK "
					       "(" NAME_CHECK(
						       "kind") "));"
							       "CREATE INDEX "
							       "river_job_kind "
							       "ON @river_job "
							       "(kind);"
							       "CREATE INDEX "
							       "river_job_"
							       "state_and_"
							       "finalized_at_"
							       "index"
							       " ON @river_job "
							       "(state, "
							       "finalized_at)"
							       " WHERE "
							       "finalized_at "
							       "IS NOT NULL;"
							       "CREATE INDEX "
							       "river_job_"
							       "prioritized_"
							       "fetching_index"
							       " ON @river_job "
							       "(state, queue, "
							       "priority, "
							       "scheduled_at, "
							       "id);"
							       "CREATE INDEX "
							       "river_job_args_"
							       "index"
							       " ON @river_job "
							       "USING gin "
							       "(args);"
							       "CREATE INDEX "
							       "river_job_"
							       "metadata_index"
							       " ON @river_job "
							       "USING gin "
							       "(metadata)"
							       ";" NOTIFY_TRIGGER
							       "CREATE "
							       "UNLOGGED TABLE "
							       "@river_leader ("
							       " elected_at "
							       "timestamptz "
							       "NOT NULL,"
							       " expires_at "
							       "timestamptz "
							       "NOT NULL,"
							       " leader_id "
							       "text NOT NULL,"
							       " name text "
							       "PRIMARY KEY,"
							       " CONSTRAINT "
							       "name_length "
							       "CHECK "
							       "(" NAME_CHECK(
								       "name") "),"
									       " CONSTRAINT leader_id_length"
									       "  CHECK (" NAME_CHECK(
										       "leader_id") "));",
			.down = "DROP TABLE @river_leader;"
				"DROP TABLE @river_job;"
				"DROP FUNCTION @river_job_notify();"
				"DROP TYPE @river_job_state;",
		},
	[3] =
		{
			.up = "UPDATE @river_job SET tags = '{}' WHERE tags IS "
			      "NULL;"
			      "ALTER TABLE @river_job ALTER tags SET DEFAULT "
			      "'{}',"
			      " ALTER tags SET NOT NULL;",
			.down = "ALTER TABLE @river_job ALTER tags DROP NOT "
				"NULL,"
				" ALTER tags DROP DEFAULT;",
		},
	[4] =
		{
			.up = "UPDATE @river_job SET args = '{}' WHERE args IS "
			      "NULL;"
			      "ALTER TABLE @river_job ALTER args SET NOT NULL;"
			      "ALTER TYPE @river_job_state"
			      " ADD VALUE IF NOT EXISTS 'pending' AFTER "
			      "'discarded';"
			      "ALTER TABLE @river_job"
			      " DROP CONSTRAINT finalized_or_finalized_at_null,"
			      " ADD CONSTRAINT finalized_or_finalized_at_null "
			      "CHECK ("
			      "  (finalized_at IS NULL AND NOT " FINAL_STATES
			      ")"
			      "  OR (finalized_at IS NOT NULL AND " FINAL_STATES
			      "));"
			      "DROP TRIGGER river_notify ON @river_job;"
			      "DROP FUNCTION @river_job_notify();"
			      "CREATE TABLE @river_queue ("
			      " name text PRIMARY KEY,"
			      " created_at timestamptz NOT NULL DEFAULT now(),"
			      " metadata jsonb NOT NULL DEFAULT '{}',"
			      " paused_at timestamptz,"
			      " updated_at timestamptz NOT NULL);"
			      "ALTER TABLE @river_leader ALTER name SET "
			      "DEFAULT 'default',"
			      " DROP CONSTRAINT name_length,"
			      " ADD CONSTRAINT name_length CHECK (name = "
			      "'default');",
			.down = "ALTER TABLE @river_job ALTER args DROP NOT "
				"NULL,"
				" DROP CONSTRAINT "
				"finalized_or_finalized_at_null,"
				" ADD CONSTRAINT "
				"finalized_or_finalized_at_null CHECK ("
				"  (" FINAL_STATES
				" AND finalized_at IS NOT NULL)"
				"  OR finalized_at IS NULL);" NOTIFY_TRIGGER
				"DROP TABLE @river_queue;"
				"ALTER TABLE @river_leader ALTER name DROP "
				"DEFAULT,"
				" DROP CONSTRAINT name_length,"
				" ADD CONSTRAINT name_length CHECK "
				"(" NAME_CHECK("name") ");",
		},
	[5] =
		{
			.up = "ALTER TABLE @river_migration RENAME TO "
			      "river_migration_old;"
			      "CREATE TABLE @river_migration ("
			      " line text NOT NULL,"
			      " version bigint NOT NULL,"
			      " created_at timestamptz NOT NULL DEFAULT now(),"
			      " CONSTRAINT line_length CHECK (" NAME_CHECK(
				      "line") "),"
					      " CONSTRAINT version_gte_1 CHECK "
					      "(version >= 1),"
					      " PRIMARY KEY (line, version));"
					      "INSERT INTO @river_migration "
					      "(line, version, created_at)"
					      " SELECT 'main', version, "
					      "created_at"
					      " FROM @river_migration_old;"
					      "DROP TABLE @river_migration_old;"
					      "ALTER TABLE @river_job ADD "
					      "unique_key bytea;"
					      "CREATE UNIQUE INDEX "
					      "river_job_kind_unique_key_idx"
					      " ON @river_job (kind, "
					      "unique_key)"
					      " WHERE unique_key IS NOT NULL;"
					      "CREATE UNLOGGED TABLE "
					      "@river_client ("
					      " id text PRIMARY KEY,"
					      " created_at timestamptz NOT "
					      "NULL DEFAULT now(),"
					      " metadata jsonb NOT NULL "
					      "DEFAULT '{}',"
					      " paused_at timestamptz,"
					      " updated_at timestamptz NOT "
					      "NULL,"
					      " CONSTRAINT name_length CHECK "
					      "(" NAME_CHECK(
						      "id") "));"
							    "CREATE UNLOGGED "
							    "TABLE "
							    "@river_client_"
							    "queue ("
							    " river_client_id "
							    "text NOT NULL"
							    "  REFERENCES "
							    "@river_client "
							    "(id) ON DELETE "
							    "CASCADE,"
							    " name text NOT "
							    "NULL,"
							    " created_at "
							    "timestamptz NOT "
							    "NULL DEFAULT "
							    "now(),"
							    " max_workers "
							    "bigint NOT NULL "
							    "DEFAULT 0,"
							    " metadata jsonb "
							    "NOT NULL DEFAULT "
							    "'{}',"
							    " num_jobs_"
							    "completed bigint "
							    "NOT NULL DEFAULT "
							    "0,"
							    " num_jobs_running "
							    "bigint NOT NULL "
							    "DEFAULT 0,"
							    " updated_at "
							    "timestamptz NOT "
							    "NULL,"
							    " PRIMARY KEY "
							    "(river_client_id, "
							    "name),"
							    " CONSTRAINT "
							    "name_length CHECK "
							    "(" NAME_CHECK(
								    "name") "),"
									    " C"
									    "ON"
									    "ST"
									    "RA"
									    "IN"
									    "T "
									    "nu"
									    "m_"
									    "jo"
									    "bs"
									    "_c"
									    "om"
									    "pl"
									    "et"
									    "ed"
									    "_z"
									    "er"
									    "o_"
									    "or"
									    "_p"
									    "os"
									    "it"
									    "iv"
									    "e"
									    "  "
									    "CH"
									    "EC"
									    "K "
									    "(n"
									    "um"
									    "_j"
									    "ob"
									    "s_"
									    "co"
									    "mp"
									    "le"
									    "te"
									    "d "
									    ">="
									    " 0"
									    "),"
									    " C"
									    "ON"
									    "ST"
									    "RA"
									    "IN"
									    "T "
									    "nu"
									    "m_"
									    "jo"
									    "bs"
									    "_r"
									    "un"
									    "ni"
									    "ng"
									    "_z"
									    "er"
									    "o_"
									    "or"
									    "_p"
									    "os"
									    "it"
									    "iv"
									    "e"
									    "  "
									    "CH"
									    "EC"
									    "K "
									    "(n"
									    "um"
									    "_j"
									    "ob"
									    "s_"
									    "ru"
									    "nn"
									    "in"
									    "g "
									    ">="
									    " 0"
									    "))"
									    ";",
			.down = "ALTER TABLE @river_migration RENAME TO "
				"river_migration_old;" OLD_MIGRATION
				"INSERT INTO @river_migration (created_at, "
				"version)"
				" SELECT created_at, version FROM "
				"@river_migration_old"
				" WHERE line = 'main' ORDER BY version;"
				"DROP TABLE @river_migration_old;"
				"DROP INDEX @river_job_kind_unique_key_idx;"
				"ALTER TABLE @river_job DROP unique_key;"
				"DROP TABLE @river_client_queue;"
				"DROP TABLE @river_client;",
		},
	[6] =
		{
			.up = "CREATE FUNCTION @river_job_state_in_bitmask("
			      "bitmask bit(8), state @river_job_state) RETURNS "
			      "boolean"
			      " LANGUAGE sql IMMUTABLE AS $$"
			      " SELECT CASE state"
			      "  WHEN 'available' THEN get_bit(bitmask, 7)"
			      "  WHEN 'cancelled' THEN get_bit(bitmask, 6)"
			      "  WHEN 'completed' THEN get_bit(bitmask, 5)"
			      "  WHEN 'discarded' THEN get_bit(bitmask, 4)"
			      "  WHEN 'pending' THEN get_bit(bitmask, 3)"
			      "  WHEN 'retryable' THEN get_bit(bitmask, 2)"
			      "  WHEN 'running' THEN get_bit(bitmask, 1)"
			      "  WHEN 'scheduled' THEN get_bit(bitmask, 0)"
			      "  ELSE 0 END = 1 $$;"
			      "ALTER TABLE @river_job ADD unique_states bit(8);"
			      "CREATE UNIQUE INDEX river_job_unique_idx"
			      " ON @river_job (unique_key) WHERE unique_key IS "
			      "NOT NULL"
			      " AND unique_states IS NOT NULL AND"
			      " @river_job_state_in_bitmask(unique_states, "
			      "state);"
			      "DROP INDEX @river_job_kind_unique_key_idx;",
			.down = "DROP INDEX @river_job_unique_idx;"
				"ALTER TABLE @river_job DROP unique_states;"
				"CREATE UNIQUE INDEX "
				"river_job_kind_unique_key_idx"
				" ON @river_job (kind, unique_key)"
				" WHERE unique_key IS NOT NULL;"
				"DROP FUNCTION @river_job_state_in_bitmask;",
		},
	[7] =
		{
			.up = "ALTER TABLE @river_job ALTER max_attempts SET "
			      "DEFAULT 25;"
			      "ALTER TABLE @river_queue"
			      " ALTER updated_at SET DEFAULT CURRENT_TIMESTAMP;"
			      "DROP TABLE @river_client_queue;"
			      "DROP TABLE @river_client;"
			      "CREATE TABLE @river_notification ("
			      " id bigserial PRIMARY KEY,"
			      " created_at timestamptz NOT NULL DEFAULT now(),"
			      " payload text NOT NULL,"
			      " topic text NOT NULL,"
			      " CONSTRAINT topic_length CHECK (" NAME_CHECK(
				      "topic") "));"
					       "CREATE INDEX "
					       "river_notification_created_at_"
					       "idx"
					       " ON @river_notification "
					       "(created_at);"
					       "CREATE INDEX "
					       "river_notification_topic_id_idx"
					       " ON @river_notification "
					       "(topic, id);",
			.down = "DROP TABLE @river_notification;",
		},
	/* There is something to do with SQLite only. */
	[8] = {.up = "", .down = ""},
};

/*
 * weir_client  since is when that process was started, as the machine tells.
 * weir_schedule  the columns from queue on are those of river_job; next_at is
 *              NULL if it never fires again.
 * weir_queue   finished is a weir_finished_policy that is not "keep".
 */
const struct pg_step weir__pg_our_steps[PG_WEIR_VERSION + 1] = {
	[1] =
		{
			.up = "CREATE TABLE @weir_client ("
			      " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY "
			      "KEY,"
			      " name text NOT NULL,"
			      " beat bigint NOT NULL DEFAULT 0,"
			      " machine text NOT NULL,"
			      " pid bigint NOT NULL,"
			      " since bigint NOT NULL,"
			      " created_at timestamptz NOT NULL DEFAULT now());"
			      "CREATE TABLE @weir_suspect ("
			      " job bigint PRIMARY KEY,"
			      " crashes integer NOT NULL);"
			      "CREATE TABLE @weir_queue ("
			      " name text PRIMARY KEY,"
			      " finished smallint NOT NULL);"
			      "CREATE TABLE @weir_archive ("
			      " id bigint NOT NULL,"
			      " queue text NOT NULL,"
			      " kind text NOT NULL,"
			      " attempt smallint NOT NULL,"
			      " created_at timestamptz NOT NULL,"
			      " attempted_at timestamptz,"
			      " finalized_at timestamptz NOT NULL,"
			      " attempted_by text,"
			      " output jsonb,"
			      " args jsonb NOT NULL);"
			      "CREATE TABLE @weir_schedule ("
			      " name text COLLATE \"C\" PRIMARY KEY,"
			      " spec text NOT NULL,"
			      " paused boolean NOT NULL,"
			      " next_at timestamptz,"
			      " last_at timestamptz,"
			      " queue text NOT NULL,"
			      " kind text NOT NULL,"
			      " priority smallint NOT NULL,"
			      " max_attempts smallint NOT NULL,"
			      " timeout_ns bigint,"
			      " unique_states bit(8),"
			      " unique_key bytea,"
			      " tags varchar(255)[] NOT NULL DEFAULT '{}',"
			      " metadata jsonb NOT NULL DEFAULT '{}',"
			      " args jsonb NOT NULL);",
			.down = "DROP TABLE @weir_schedule;"
				"DROP TABLE @weir_archive;"
				"DROP TABLE @weir_queue;"
				"DROP TABLE @weir_suspect;"
				"DROP TABLE @weir_client;",
		},
};
