/*
 * The schema: River's versions 1 to 8, and our own.
 *
 * Design.  What others work on has to be what River's own migrations make of
 * it, to the name of the last constraint and the order of columns, whichever
 * version it was begun with, and whoever began it.  The statements are ours;
 * tests compare what comes of them.  "@" stands for the schema.
 *
 * Ways back lead to what was there before, with one exception: a value of an
 * enum cannot be taken away, so 'pending' stays.
 */
#include "pg/migrate.h"

#define FINAL_STATES "('cancelled', 'completed', 'discarded')"

/*
 * 1: the list of migrations, in which there were no lines yet.
 */
#define PLAIN_MIGRATION                                   \
	"CREATE TABLE @river_migration ("                 \
	" id bigserial PRIMARY KEY,"                      \
	" created_at timestamptz NOT NULL DEFAULT now()," \
	" version bigint NOT NULL,"                       \
	" CONSTRAINT version CHECK (version >= 1));"      \
	"CREATE UNIQUE INDEX ON @river_migration (version);"

static const char river_1[] = PLAIN_MIGRATION;
static const char river_1_back[] = "DROP TABLE @river_migration;";

/*
 * 2: jobs and the leader.  Inserts rang by a trigger.
 */
#define FINALIZED_OR_NULL                            \
	" CONSTRAINT finalized_or_finalized_at_null" \
	" CHECK ((state IN " FINAL_STATES            \
	"  AND finalized_at IS NOT NULL) OR finalized_at IS NULL)"

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

static const char river_2[] =
	"CREATE TYPE @river_job_state AS ENUM ('available', 'cancelled',"
	" 'completed', 'discarded', 'retryable', 'running', 'scheduled');"
	"CREATE TABLE @river_job ("
	" id bigserial PRIMARY KEY,"
	" state @river_job_state NOT NULL DEFAULT 'available',"
	" attempt smallint NOT NULL DEFAULT 0,"
	" max_attempts smallint NOT NULL,"
	" attempted_at timestamptz,"
	" created_at timestamptz NOT NULL DEFAULT now(),"
	" finalized_at timestamptz,"
	" scheduled_at timestamptz NOT NULL DEFAULT now(),"
	" priority smallint NOT NULL DEFAULT 1,"
	" args jsonb,"
	" attempted_by text[],"
	" errors jsonb[],"
	" kind text NOT NULL,"
	" metadata jsonb NOT NULL DEFAULT '{}',"
	" queue text NOT NULL DEFAULT 'default',"
	" tags varchar(255)[]," FINALIZED_OR_NULL ","
	" CONSTRAINT max_attempts_is_positive CHECK (max_attempts > 0),"
	" CONSTRAINT priority_in_range"
	"  CHECK (priority >= 1 AND priority <= 4),"
	" CONSTRAINT queue_length"
	"  CHECK (char_length(queue) > 0 AND char_length(queue) < 128),"
	" CONSTRAINT kind_length"
	"  CHECK (char_length(kind) > 0 AND char_length(kind) < 128));"
	"CREATE INDEX river_job_kind ON @river_job (kind);"
	"CREATE INDEX river_job_state_and_finalized_at_index"
	" ON @river_job (state, finalized_at)"
	" WHERE finalized_at IS NOT NULL;"
	"CREATE INDEX river_job_prioritized_fetching_index"
	" ON @river_job (state, queue, priority, scheduled_at, id);"
	"CREATE INDEX river_job_args_index ON @river_job USING gin (args);"
	"CREATE INDEX river_job_metadata_index"
	" ON @river_job USING gin (metadata);" NOTIFY_TRIGGER
	"CREATE UNLOGGED TABLE @river_leader ("
	" elected_at timestamptz NOT NULL,"
	" expires_at timestamptz NOT NULL,"
	" leader_id text NOT NULL,"
	" name text PRIMARY KEY,"
	" CONSTRAINT name_length"
	"  CHECK (char_length(name) > 0 AND char_length(name) < 128),"
	" CONSTRAINT leader_id_length CHECK (char_length(leader_id) > 0"
	"  AND char_length(leader_id) < 128));";
static const char river_2_back[] = "DROP TABLE @river_leader;"
				   "DROP TABLE @river_job;"
				   "DROP FUNCTION @river_job_notify();"
				   "DROP TYPE @river_job_state;";

/*
 * 3: each job has tags, none at least.
 */
static const char river_3[] =
	"UPDATE @river_job SET tags = '{}' WHERE tags IS NULL;"
	"ALTER TABLE @river_job ALTER tags SET DEFAULT '{}',"
	" ALTER tags SET NOT NULL;";
static const char river_3_back[] =
	"ALTER TABLE @river_job ALTER tags DROP NOT NULL,"
	" ALTER tags DROP DEFAULT;";

/*
 * 4: pending jobs; queues; who inserts rings.  River's own way back leaves
 * metadata without what version 2 has given it.
 */
static const char river_4[] =
	"UPDATE @river_job SET args = '{}' WHERE args IS NULL;"
	"UPDATE @river_job SET metadata = '{}' WHERE metadata IS NULL;"
	"ALTER TABLE @river_job ALTER args SET NOT NULL,"
	" ALTER metadata SET NOT NULL, ALTER metadata SET DEFAULT '{}';"
	"ALTER TYPE @river_job_state"
	" ADD VALUE IF NOT EXISTS 'pending' AFTER 'discarded';"
	"ALTER TABLE @river_job"
	" DROP CONSTRAINT finalized_or_finalized_at_null,"
	" ADD CONSTRAINT finalized_or_finalized_at_null CHECK ("
	"  (finalized_at IS NULL AND state NOT IN " FINAL_STATES ")"
	"  OR (finalized_at IS NOT NULL AND state IN " FINAL_STATES "));"
	"DROP TRIGGER river_notify ON @river_job;"
	"DROP FUNCTION @river_job_notify();"
	"CREATE TABLE @river_queue ("
	" name text PRIMARY KEY,"
	" created_at timestamptz NOT NULL DEFAULT now(),"
	" metadata jsonb NOT NULL DEFAULT '{}',"
	" paused_at timestamptz,"
	" updated_at timestamptz NOT NULL);"
	"ALTER TABLE @river_leader ALTER name SET DEFAULT 'default',"
	" DROP CONSTRAINT name_length,"
	" ADD CONSTRAINT name_length CHECK (name = 'default');";
static const char river_4_back[] =
	"ALTER TABLE @river_job ALTER args DROP NOT NULL,"
	" DROP CONSTRAINT finalized_or_finalized_at_null,"
	" ADD" FINALIZED_OR_NULL ";" NOTIFY_TRIGGER "DROP TABLE @river_queue;"
	"ALTER TABLE @river_leader ALTER name DROP DEFAULT,"
	" DROP CONSTRAINT name_length,"
	" ADD CONSTRAINT name_length"
	"  CHECK (char_length(name) > 0 AND char_length(name) < 128);";

/*
 * 5: lines of migrations; unique keys; clients, which nobody ever used.
 */
#define CLIENT_TABLES                                                  \
	"CREATE UNLOGGED TABLE @river_client ("                        \
	" id text PRIMARY KEY,"                                        \
	" created_at timestamptz NOT NULL DEFAULT now(),"              \
	" metadata jsonb NOT NULL DEFAULT '{}',"                       \
	" paused_at timestamptz,"                                      \
	" updated_at timestamptz NOT NULL,"                            \
	" CONSTRAINT name_length"                                      \
	"  CHECK (char_length(id) > 0 AND char_length(id) < 128));"    \
	"CREATE UNLOGGED TABLE @river_client_queue ("                  \
	" river_client_id text NOT NULL"                               \
	"  REFERENCES @river_client (id) ON DELETE CASCADE,"           \
	" name text NOT NULL,"                                         \
	" created_at timestamptz NOT NULL DEFAULT now(),"              \
	" max_workers bigint NOT NULL DEFAULT 0,"                      \
	" metadata jsonb NOT NULL DEFAULT '{}',"                       \
	" num_jobs_completed bigint NOT NULL DEFAULT 0,"               \
	" num_jobs_running bigint NOT NULL DEFAULT 0,"                 \
	" updated_at timestamptz NOT NULL,"                            \
	" PRIMARY KEY (river_client_id, name),"                        \
	" CONSTRAINT name_length"                                      \
	"  CHECK (char_length(name) > 0 AND char_length(name) < 128)," \
	" CONSTRAINT num_jobs_completed_zero_or_positive"              \
	"  CHECK (num_jobs_completed >= 0),"                           \
	" CONSTRAINT num_jobs_running_zero_or_positive"                \
	"  CHECK (num_jobs_running >= 0));"

#define DROP_CLIENT_TABLES                \
	"DROP TABLE @river_client_queue;" \
	"DROP TABLE @river_client;"

#define KIND_UNIQUE_INDEX                                   \
	"CREATE UNIQUE INDEX river_job_kind_unique_key_idx" \
	" ON @river_job (kind, unique_key)"                 \
	" WHERE unique_key IS NOT NULL;"

/* The key of the new list has a 1 behind its name, as River's has. */
static const char river_5[] =
	"ALTER TABLE @river_migration RENAME TO river_migration_old;"
	"CREATE TABLE @river_migration ("
	" line text NOT NULL,"
	" version bigint NOT NULL,"
	" created_at timestamptz NOT NULL DEFAULT now(),"
	" CONSTRAINT river_migration_pkey1 PRIMARY KEY (line, version),"
	" CONSTRAINT line_length"
	"  CHECK (char_length(line) > 0 AND char_length(line) < 128),"
	" CONSTRAINT version_gte_1 CHECK (version >= 1));"
	"INSERT INTO @river_migration (line, version, created_at)"
	" SELECT 'main', version, created_at FROM @river_migration_old;"
	"DROP TABLE @river_migration_old;"
	"ALTER TABLE @river_job ADD unique_key bytea;" KIND_UNIQUE_INDEX
		CLIENT_TABLES;

/* The plain list has no place for what others have noted. */
static const char river_5_back[] =
	"DO $$ BEGIN"
	" IF EXISTS (SELECT FROM @river_migration WHERE line <> 'main') THEN"
	"  RAISE 'there are migrations of other lines, which version 4 of"
	" River''s tables cannot note';"
	" END IF;"
	" END $$;"
	"ALTER TABLE @river_migration RENAME TO "
	"river_migration_old;" PLAIN_MIGRATION
	"INSERT INTO @river_migration (created_at, version)"
	" SELECT created_at, version FROM @river_migration_old"
	" ORDER BY version;"
	"DROP TABLE @river_migration_old;"
	"ALTER TABLE @river_job DROP unique_key;" DROP_CLIENT_TABLES;

/*
 * 6: unique in a set of states.
 */
static const char river_6[] =
	"CREATE FUNCTION @river_job_state_in_bitmask("
	"bitmask bit(8), state @river_job_state) RETURNS boolean"
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
	"  ELSE 0 END = 1; $$;"
	"ALTER TABLE @river_job ADD unique_states bit(8);"
	"CREATE UNIQUE INDEX river_job_unique_idx ON @river_job (unique_key)"
	" WHERE unique_key IS NOT NULL AND unique_states IS NOT NULL"
	" AND @river_job_state_in_bitmask(unique_states, state);"
	"DROP INDEX @river_job_kind_unique_key_idx;";
static const char river_6_back[] =
	"DROP INDEX @river_job_unique_idx;"
	"ALTER TABLE @river_job DROP unique_states;"
	"DROP FUNCTION @river_job_state_in_bitmask;" KIND_UNIQUE_INDEX;

/*
 * 7: notifications as rows, for databases that have no others.
 */
static const char river_7[] =
	"ALTER TABLE @river_job ALTER max_attempts SET DEFAULT 25;"
	"ALTER TABLE @river_queue"
	" ALTER updated_at SET DEFAULT CURRENT_TIMESTAMP;"
	"CREATE TABLE @river_notification ("
	" id bigserial PRIMARY KEY,"
	" created_at timestamptz NOT NULL DEFAULT now(),"
	" payload text NOT NULL,"
	" topic text NOT NULL,"
	" CONSTRAINT topic_length"
	"  CHECK (length(topic) > 0 AND length(topic) < 128));"
	"CREATE INDEX river_notification_created_at_idx"
	" ON @river_notification (created_at);"
	"CREATE INDEX river_notification_topic_id_idx"
	" ON @river_notification (topic, id);" DROP_CLIENT_TABLES;
static const char river_7_back[] =
	"DROP TABLE @river_notification;"
	"ALTER TABLE @river_queue ALTER updated_at DROP DEFAULT;"
	"ALTER TABLE @river_job ALTER max_attempts DROP DEFAULT;" CLIENT_TABLES;

/* clang-format off */
/*
 * weir_client    since is when that process was started, as machine tells.
 * weir_hold      what a client has locked and not written; attempts are those
 *                before, or none if all of them are 0.  Neither is worth being
 *                compressed for the moment that it lives.  If the server crashes
 *                it is gone, and so is all that was held.
 * weir_queue     finished is a weir_finished_policy that is not "keep".
 * weir_schedule  next_at is NULL if it does not fire again; the columns from
 *                queue on are as those of river_job.
 */
/* clang-format on */
static const char weir_1[] =
	"CREATE TABLE @weir_client ("
	" id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
	" name text NOT NULL,"
	" beat bigint NOT NULL DEFAULT 0,"
	" machine text NOT NULL,"
	" pid bigint NOT NULL,"
	" since bigint NOT NULL,"
	" created_at timestamptz NOT NULL DEFAULT now());"
	"CREATE UNLOGGED TABLE @weir_hold ("
	" client bigint NOT NULL,"
	" number bigint NOT NULL,"
	" at timestamptz NOT NULL,"
	" ids bigint[] NOT NULL,"
	" attempts smallint[] NOT NULL,"
	" PRIMARY KEY (client, number));"
	"ALTER TABLE @weir_hold ALTER ids SET STORAGE EXTERNAL,"
	" ALTER attempts SET STORAGE EXTERNAL;"
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
	" args jsonb NOT NULL);";
static const char weir_1_back[] = "DROP TABLE @weir_schedule;"
				  "DROP TABLE @weir_archive;"
				  "DROP TABLE @weir_queue;"
				  "DROP TABLE @weir_suspect;"
				  "DROP TABLE @weir_hold;"
				  "DROP TABLE @weir_client;";

/*
 * weir_limit    of all workers together: most at once, rate starts a second;
 *               NULL: any.  tokens there were at refilled_at.  since is when
 *               the kind came to have a limit.
 */
static const char weir_2[] = "CREATE TABLE @weir_limit ("
			     " kind text PRIMARY KEY,"
			     " most integer,"
			     " rate double precision,"
			     " burst integer NOT NULL,"
			     " tokens double precision NOT NULL,"
			     " refilled_at timestamptz NOT NULL,"
			     " since timestamptz NOT NULL,"
			     " CONSTRAINT most_is_positive CHECK (most > 0),"
			     " CONSTRAINT rate_is_positive CHECK (rate > 0),"
			     " CONSTRAINT burst_is_positive"
			     "  CHECK (burst > 0));";
static const char weir_2_back[] = "DROP TABLE @weir_limit;";

const struct pg_step weir__pg_river_steps[PG_SCHEMA_VERSION + 1] = {
	{NULL, NULL},
	{river_1, river_1_back},
	{river_2, river_2_back},
	{river_3, river_3_back},
	{river_4, river_4_back},
	{river_5, river_5_back},
	{river_6, river_6_back},
	{river_7, river_7_back},
	/* 8: there is something to do with SQLite only. */
	{"", ""},
};

const struct pg_step weir__pg_our_steps[PG_WEIR_VERSION + 1] = {
	{NULL, NULL},
	{weir_1, weir_1_back},
	{weir_2, weir_2_back},
};
