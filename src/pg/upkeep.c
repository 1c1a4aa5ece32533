/*
 * What has to be done now and then: jobs that are due, jobs of the dead, jobs
 * that were kept long enough.
 *
 * Design.  River has no index by time for what is due.  But the one that it
 * has, (state, queue, priority, scheduled_at, id), holds a line for each queue
 * and priority, and each line is in the order of time: we hop from line to
 * line and look at the first of each.  That takes as long with ten million
 * jobs in a few queues as with ten.
 *
 * Everybody does all of this at once.  Each statement locks what it takes, and
 * passes over what another has locked; a client that is to be rescued is
 * locked, so that its turns wait, or we for them.
 *
 * Rows that were picked are looked up by a list of their ids, and not joined:
 * a planner that does not know how few they are may walk along the whole table.
 *
 * An UPDATE has no ON CONFLICT.  Who has lost its unique key is found out
 * beforehand; when somebody takes it just then, all is rolled back and done
 * again.
 *
 * Locking: the upkeep connection's mu, one statement or transaction at a time.
 */
#include "pg/turn.h"

#include "base/assert.h"

#include <string.h>

#define TELL_OF_3  PG_TELL("done", "$3")
#define TELL_OF_6  PG_TELL("done", "$6")
#define TRIES      5
#define CLEAN_YEAR INT64_C(31557600000)

/* The first of each line of those states. */
#define LINES                                                                \
	"WITH RECURSIVE line AS ("                                           \
	"SELECT f.* FROM (VALUES ('retryable'::@river_job_state),"           \
	" ('scheduled')) s (state), LATERAL (SELECT j.state, j.queue,"       \
	" j.priority, j.scheduled_at FROM @river_job j"                      \
	" WHERE j.state = s.state"                                           \
	" ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1) f"           \
	" UNION ALL SELECT n.* FROM line, LATERAL (SELECT j.state, j.queue," \
	" j.priority, j.scheduled_at FROM @river_job j"                      \
	" WHERE j.state = line.state"                                        \
	" AND (j.queue, j.priority) > (line.queue, line.priority)"           \
	" ORDER BY j.queue, j.priority, j.scheduled_at LIMIT 1) n)"

static const struct pg_sql next_due_sql = {
	"promote_next", LINES " SELECT min(scheduled_at) FROM line"};

static const struct pg_sql promote_sql = {
	"promote",
	LINES ","
	      " due AS MATERIALIZED (SELECT x.id FROM line, LATERAL ("
	      "SELECT j.id, j.scheduled_at FROM @river_job j"
	      " WHERE j.state = line.state AND j.queue = line.queue"
	      " AND j.priority = line.priority"
	      " AND j.scheduled_at <= coalesce($1::timestamptz, now())"
	      " ORDER BY j.scheduled_at, j.id LIMIT $2) x"
	      " ORDER BY x.scheduled_at, x.id LIMIT $2),"
	      " locked AS MATERIALIZED (SELECT j.id, j.scheduled_at, "
	      "j.unique_key, " KEY_IS_TAKEN " AS taken FROM @river_job j"
	      " WHERE j.id = ANY (ARRAY(SELECT id FROM due))"
	      " AND j.state::text IN ('retryable', 'scheduled')"
	      " AND j.scheduled_at <= coalesce($1::timestamptz, now())"
	      " FOR UPDATE OF j SKIP LOCKED),"
	      /* Of several with one key the first is let through. */
	      " judged AS MATERIALIZED (SELECT id,"
	      " taken OR (unique_key IS NOT NULL"
	      " AND row_number() OVER (PARTITION BY unique_key, taken"
	      " ORDER BY scheduled_at, id) > 1) AS loses FROM locked),"
	      " done AS (UPDATE @river_job j SET"
	      " state = CASE WHEN judged.loses THEN 'discarded'"
	      " ELSE 'available' END::@river_job_state,"
	      " finalized_at = CASE WHEN judged.loses"
	      " THEN coalesce($1::timestamptz, now()) END,"
	      " unique_key = CASE WHEN NOT judged.loses THEN j.unique_key END,"
	      " unique_states = CASE WHEN NOT judged.loses"
	      " THEN j.unique_states END,"
	      " metadata = CASE WHEN NOT judged.loses THEN j.metadata ELSE"
	      " CASE WHEN jsonb_typeof(j.metadata) = 'object'"
	      " THEN j.metadata ELSE '{}'::jsonb END"
	      " || '{\"unique_key_conflict\": \"scheduler_discarded\"}' END"
	      " FROM judged WHERE j.id = judged.id "
	      "RETURNING j.queue, j.state)"
	      " SELECT count(*), " TELL_OF_3 " FROM done"};

/* When the first is due, by the database; INT64_MAX: there is none. */
static weir_status
next_due(struct weir_pg *pg, int64_t *ret_ms, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	status = weir__pg_ask(&pg->upkeep, &next_due_sql, &p, &result, reterr);
	if (status == WEIR_OK) {
		int64_t ms = weir__pg_get_ms(result, 0, 0);

		*ret_ms = ms == PG_NO_TIME ? INT64_MAX : ms;
	}
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static weir_status
promote_once(struct weir_pg *pg, uint32_t limit, uint32_t *ret_count,
	     weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_now(&p, pg);
	weir__pg_int8(&p, limit);
	weir__pg_channel(&p, pg);
	status = weir__pg_ask(&pg->upkeep, &promote_sql, &p, &result, reterr);
	if (status == WEIR_OK)
		*ret_count = (uint32_t)weir__pg_get_int(result, 0, 0);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
		 int64_t *ret_next_ms, weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	int64_t next_ms = INT64_MAX;
	uint32_t count = 0;
	weir_status status = next_due(pg, &next_ms, reterr);

	weir_assert(limit > 0);
	if (status == WEIR_OK && next_ms <= weir__store_now_ms(store)) {
		for (int i = 0; i < TRIES; i++) {
			status = promote_once(pg, limit, &count, reterr);
			if (status == WEIR_OK || !weir__pg_is_clash(reterr))
				break;
			status = WEIR_BUSY;
		}
		if (status == WEIR_OK)
			status = next_due(pg, &next_ms, reterr);
	}
	if (status == WEIR_OK) {
		*ret_count = count;
		*ret_next_ms = next_ms;
	}
	return status;
}

/* Its turns wait for us from here on, and ours for theirs before. */
static const struct pg_sql lock_sql = {
	"rescue_lock",
	"SELECT id FROM @weir_client WHERE id = $1 AND beat = $2 FOR UPDATE"};

/* Workers that have died with j, this one too. */
#define CRASHES                                                \
	"(1 + coalesce((SELECT s.crashes FROM @weir_suspect s" \
	" WHERE s.job = j.id), 0))"
#define POISON "(" CRASHES " >= $4)"
#define OVER   "(" POISON " OR j.attempt >= j.max_attempts)"

static const struct pg_sql rescue_sql = {
	"rescue",
	"WITH held AS MATERIALIZED (SELECT j.id"
	" FROM @weir_client c, @river_job j"
	" WHERE c.id = $1 AND c.beat = $2 AND j.state = 'running'"
	" AND " LAST_BY " = c.name || '#' || c.id"
	" ORDER BY j.id LIMIT $3 FOR UPDATE OF j SKIP LOCKED),"
	" done AS (UPDATE @river_job j SET"
	" state = CASE WHEN " IS_CANCELLED " THEN 'cancelled'"
	" WHEN " OVER " THEN 'discarded'"
	" ELSE 'available' END::@river_job_state,"
	" finalized_at = CASE WHEN " IS_CANCELLED " OR " OVER
	" THEN coalesce($5::timestamptz, now()) END,"
	" errors = array_append(j.errors, jsonb_build_object("
	"'at', to_char(coalesce(j.attempted_at, $5::timestamptz, now())"
	" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
	" 'attempt', j.attempt,"
	" 'error', CASE WHEN " POISON " THEN 'poison: ' || " CRASHES
	" || ' workers have died with it, the last of them '"
	" ELSE 'the worker is gone: ' END"
	" || (SELECT name FROM @weir_client WHERE id = $1),"
	" 'trace', '')),"
	" unique_key = CASE WHEN NOT " KEY_IS_TAKEN " THEN j.unique_key END,"
	" unique_states = CASE WHEN NOT " KEY_IS_TAKEN
	" THEN j.unique_states END"
	" WHERE j.id = ANY (ARRAY(SELECT id FROM held))"
	" AND j.state::text = 'running'"
	" RETURNING j.id, j.queue, j.state, " CRASHES " AS crashes),"
	" suspects AS (INSERT INTO @weir_suspect (job, crashes)"
	" SELECT id, crashes FROM done"
	" ON CONFLICT (job) DO UPDATE SET crashes = excluded.crashes)"
	" SELECT count(*), " TELL_OF_6 " FROM done"};

/*
 * What it held and had not written is available again by itself; but it has
 * died with it.  That is so of jobs which are still as they were: who has it by
 * now has locked it, and then the note stays for the next time.
 */
#define WAS_SAME                                       \
	"SELECT 1 FROM @river_job j WHERE j.id = e.id" \
	" AND j.state::text = 'available' AND j.attempt = e.attempt"
#define OVER_NEXT "(" POISON " OR j.attempt + 1 >= j.max_attempts)"
#define NOTED_AT  "(SELECT min(s.at) FROM same s WHERE s.id = j.id)"

static const struct pg_sql noted_sql = {
	"rescue_noted",
	"WITH me AS MATERIALIZED (SELECT id, name FROM @weir_client"
	" WHERE id = $1 AND beat = $2),"
	" same AS MATERIALIZED (SELECT e.number, e.at, e.id, e.attempt FROM ("
	"SELECT h.number, h.at, u.id, coalesce(u.attempt, 0) AS attempt FROM me"
	" JOIN @weir_hold h ON h.client = me.id,"
	" unnest(h.ids, h.attempts) AS u(id, attempt)) e"
	" WHERE EXISTS (" WAS_SAME " OFFSET 0)),"
	" held AS MATERIALIZED (SELECT j.id FROM @river_job j"
	" WHERE j.id = ANY (ARRAY(SELECT id FROM same ORDER BY id LIMIT $3))"
	" AND j.state::text = 'available'"
	" ORDER BY j.id FOR UPDATE OF j SKIP LOCKED),"
	" done AS (UPDATE @river_job j SET"
	" state = CASE WHEN " OVER_NEXT " THEN 'discarded'"
	" ELSE 'available' END::@river_job_state,"
	" finalized_at = CASE WHEN " OVER_NEXT
	" THEN coalesce($5::timestamptz, now()) END,"
	" attempt = j.attempt + 1,"
	" attempted_at = " PG_NEXT_AT(
		"j", NOTED_AT) ","
			       " attempted_by = " PG_NEXT_BY(
				       "j", "(SELECT name || '#' || id FROM "
					    "me)") ","
						   " errors = "
						   "array_append(j.errors, "
						   "jsonb_build_object("
						   "'at', to_char(" NOTED_AT
						   " AT TIME ZONE 'UTC', "
						   "'YYYY-MM-DD\"T\"HH24:MI:SS."
						   "US\"Z\"'),"
						   " 'attempt', j.attempt + 1,"
						   " 'error', CASE WHEN " POISON
						   " THEN 'poison: ' "
						   "|| " CRASHES
						   " || ' workers have died "
						   "with it, the last of them '"
						   " ELSE 'the worker is gone: "
						   "' END || (SELECT name FROM "
						   "me),"
						   " 'trace', ''))"
						   " WHERE j.id = ANY "
						   "(ARRAY(SELECT id FROM "
						   "held))"
						   " AND j.state::text = "
						   "'available'"
						   " RETURNING j.id, j.queue, "
						   "j.state, " CRASHES
						   " AS crashes),"
						   " suspects AS (INSERT INTO "
						   "@weir_suspect (job, "
						   "crashes)"
						   " SELECT id, crashes FROM "
						   "done"
						   " ON CONFLICT (job) DO "
						   "UPDATE SET crashes = "
						   "excluded.crashes),"
						   " over AS (DELETE FROM "
						   "@weir_hold h WHERE"
						   " h.client = (SELECT id "
						   "FROM me) AND NOT EXISTS "
						   "(SELECT 1 FROM same"
						   " WHERE same.number = "
						   "h.number"
						   " AND same.id <> ALL "
						   "(ARRAY(SELECT id FROM "
						   "done))))"
						   " SELECT "
						   "count(*), " TELL_OF_6
						   " FROM done"};

static const struct pg_sql bury_sql = {
	"rescue_bury",
	"DELETE FROM @weir_client c WHERE c.id = $1 AND c.beat = $2 AND NOT"
	" EXISTS (SELECT 1 FROM @river_job j WHERE j.state = 'running' "
	"AND " LAST_BY " = c.name || '#' || c.id)"
	" AND NOT EXISTS (SELECT 1 FROM @weir_hold h WHERE h.client = c.id)"};

struct rescue {
	int64_t client, beat;
	uint32_t crashes_max, limit;
};

static void send_rescue(struct pg_link *conn, struct pg_params *p,
			const struct rescue *r) WEIR_REQUIRES(conn->mu);

static void
send_rescue(struct pg_link *conn, struct pg_params *p, const struct rescue *r)
{
	weir__pg_begin(p);
	weir__pg_int8(p, r->client);
	weir__pg_int8(p, r->beat);
	weir__pg_send(conn, &lock_sql, p);
	weir__pg_int8(p, r->limit);
	weir__pg_int8(p, r->crashes_max ? r->crashes_max : UINT32_MAX);
	weir__pg_now(p, conn->store);
	weir__pg_channel(p, conn->store);
	weir__pg_send(conn, &rescue_sql, p);
	weir__pg_send(conn, &noted_sql, p);
	weir__pg_begin(p);
	weir__pg_int8(p, r->client);
	weir__pg_int8(p, r->beat);
	weir__pg_send(conn, &bury_sql, p);
}

weir_status
weir__pg_rescue(weir_store *store, int64_t client, int64_t beat,
		uint32_t crashes_max, uint32_t limit, uint32_t *ret_count,
		weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(store)->upkeep;
	const struct rescue r = {client, beat, crashes_max, limit};
	PGresult *results[4] = {NULL};
	struct pg_params p = {0};
	weir_status status;

	weir_assert(limit > 0);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		send_rescue(conn, &p, &r);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK)
		*ret_count = (uint32_t)(weir__pg_get_int(results[1], 0, 0) +
					weir__pg_get_int(results[2], 0, 0));
	for (size_t i = 0; i < 4; i++)
		PQclear(results[i]);
	weir__pg_params_fini(&p);
	return status;
}

static const struct pg_sql clean_sql = {
	"clean",
	"WITH old AS MATERIALIZED (SELECT x.id FROM unnest($1::text[],"
	" $2::bigint[]) AS s (state, keep_ms), LATERAL ("
	"SELECT r.id FROM @river_job r"
	" WHERE r.state = s.state::@river_job_state"
	" AND r.finalized_at <= coalesce($3::timestamptz, now())"
	" - s.keep_ms * interval '1 millisecond'"
	" ORDER BY r.finalized_at LIMIT $4 FOR UPDATE OF r SKIP LOCKED) x"
	" LIMIT $4)"
	" DELETE FROM @river_job j WHERE j.id = ANY (ARRAY("
	"SELECT id FROM old)) AND j.finalized_at IS NOT NULL"};

static const struct pg_sql forget_sql = {
	"clean_suspects",
	"DELETE FROM @weir_suspect s WHERE NOT EXISTS (SELECT 1 FROM"
	" @river_job j WHERE j.id = s.job)"};

/* Those of the states of which anything is to be deleted. */
static void
put_retention(struct pg_params *p, const struct weir_retention *retention)
{
	static const weir_state over[] = {
		WEIR_JOB_CANCELLED, WEIR_JOB_COMPLETED, WEIR_JOB_DISCARDED};
	size_t count = 0;

	for (int i = 0; i < 3; i++)
		count += retention->keep_ms[over[i]] >= 0;
	weir__pg_array_begin(p, PG_TEXT, count);
	for (int i = 0; i < 3; i++) {
		const char *name = weir_job_state_name(over[i]);

		if (retention->keep_ms[over[i]] >= 0)
			weir__pg_text(p, name, strlen(name));
	}
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT8, count);
	for (int i = 0; i < 3; i++) {
		int64_t keep_ms = retention->keep_ms[over[i]];

		/* Times have a beginning; what is older is kept. */
		if (keep_ms > 2000 * CLEAN_YEAR)
			keep_ms = 2000 * CLEAN_YEAR;
		if (keep_ms >= 0)
			weir__pg_int8(p, keep_ms);
	}
	weir__pg_array_end(p);
}

weir_status
weir__pg_clean(weir_store *store, const struct weir_retention *retention,
	       uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(store)->upkeep;
	PGresult *results[2] = {NULL};
	struct pg_params p = {0}, none = {0};
	weir_status status;

	weir_assert(limit > 0);
	weir__pg_begin(&p);
	weir__pg_begin(&none);
	put_retention(&p, retention);
	weir__pg_now(&p, conn->store);
	weir__pg_int8(&p, limit);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		weir__pg_send(conn, &clean_sql, &p);
		weir__pg_send(conn, &forget_sql, &none);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK)
		*ret_count = (uint32_t)weir__pg_changed(results[0]);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&none);
	return status;
}
