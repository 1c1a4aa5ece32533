/*
 * Cancelling, retrying and deleting jobs.
 *
 * Design.  Two statements in one transaction.  The first locks the jobs, in
 * the order of their ids, and says what they were; the second does it to all
 * those that it applies to, and says which.  From both follows why nothing has
 * happened to the others.  An id that is there twice is worked out here, as if
 * one had come after the other.
 *
 * A job may come back into river_job_unique_idx by this: one that is retried,
 * or one that is cancelled and has "cancelled" among its unique_states.  If
 * its key is taken by then, the one is not touched, and the other gives its
 * key up.  Somebody may take the key between our look and our write; then the
 * whole is tried again.
 *
 * River's clients are told of what is cancelled, whatever state it was in, as
 * they tell each other.  That somebody wants a running job cancelled is noted
 * in its metadata, where they look for it as well.
 */
#include "base/assert.h"
#include "pg/hold.h"
#include "pg/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1 ids, 2 now, 3 channel, 4 the state that they come to */
#define NOW "coalesce($2::timestamptz, now())"
#define IS_READY                                                  \
	"(j.state::text = 'available' AND j.scheduled_at <= " NOW \
	" AND NOT EXISTS"                                         \
	"  (SELECT FROM @weir_suspect s WHERE s.job = j.id))"

static const struct pg_sql look_at = {
	"change_look",
	"SELECT j.id, j.state::text, " IS_READY " FROM @river_job j"
	" WHERE j.id = ANY ($1::int8[]) ORDER BY j.id FOR UPDATE OF j"};

/*
 * Those that it applies to.  Will it be in the index, in the state $4, and is
 * it not by now?  Of several with the same key only one may enter.
 */
#define PICKED                                                             \
	"WITH picked AS (SELECT j.id, e.enters AND (" PG_ROW_KEY_IS_TAKEN  \
	" OR row_number() OVER (PARTITION BY e.enters, j.unique_key"       \
	"  ORDER BY j.id) > 1) AS clash FROM @river_job j"                 \
	" CROSS JOIN LATERAL (SELECT coalesce(j.unique_key IS NOT NULL"    \
	"  AND @river_job_state_in_bitmask(j.unique_states,"               \
	"   $4::text::@river_job_state)"                                   \
	"  AND NOT @river_job_state_in_bitmask(j.unique_states, j.state)," \
	"  false) AS enters) e WHERE j.id = ANY ($1::int8[]) AND "

#define RUNS "j.state::text = 'running'"

/* RFC 3339, with as many digits as it needs. */
#define TIME_TEXT                                         \
	"rtrim(rtrim(to_char(" NOW " AT TIME ZONE 'UTC'," \
	" 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z'"

static const struct pg_sql cancel_jobs = {
	"change_cancel", PICKED
	"j.state::text IN ('available', 'pending', 'retryable',"
	" 'running', 'scheduled')),"
	" done AS (UPDATE @river_job j SET"
	"  state = CASE WHEN " RUNS " THEN j.state ELSE 'cancelled' END,"
	"  finalized_at = CASE WHEN " RUNS " THEN j.finalized_at"
	"   ELSE " NOW " END,"
	"  metadata = " PG_ROW_OBJECT " || CASE WHEN " RUNS
	"   AND " PG_ROW_IS_CANCELLED " THEN '{}' ELSE jsonb_build_object"
	"   ('" PG_CANCEL_KEY "', " TIME_TEXT ") END,"
	"  unique_key = CASE WHEN p.clash AND NOT " RUNS
	"   THEN NULL ELSE j.unique_key END,"
	"  unique_states = CASE WHEN p.clash AND NOT " RUNS
	"   THEN NULL ELSE j.unique_states END"
	"  FROM picked p WHERE j.id = p.id RETURNING j.id, j.state, j.queue)"
	" SELECT id, state::text, pg_notify($3::text,"
	"  '{\"action\":\"cancel\",\"job_id\":' || id || ',\"queue\":'"
	"  || to_json(queue)::text || '}') FROM done"};

static const struct pg_sql retry_jobs = {
	"change_retry",
	PICKED "NOT " RUNS " AND NOT " IS_READY "),"
	       " done AS (UPDATE @river_job j SET state = 'available',"
	       "  scheduled_at = " NOW ", finalized_at = NULL,"
	       "  metadata = CASE WHEN jsonb_typeof(j.metadata) = 'object'"
	       "   THEN j.metadata - '" PG_CANCEL_KEY "' ELSE j.metadata END,"
	       "  max_attempts = least(j.max_attempts::int"
	       "   + (j.attempt >= j.max_attempts)::int, 32767)"
	       "  FROM picked p WHERE j.id = p.id AND NOT p.clash"
	       "  RETURNING j.id, j.state, j.queue),"
	       " forgiven AS (DELETE FROM @weir_suspect s USING done"
	       "  WHERE s.job = done.id)"
	       " SELECT id, state::text, pg_notify($3::text,"
	       "  '{\"queue\":' || to_json(queue)::text || '}') FROM done"};

static const struct pg_sql delete_jobs = {
	"change_delete", "WITH done AS (DELETE FROM @river_job j"
			 "  WHERE j.id = ANY ($1::int8[]) AND NOT " RUNS
			 "  RETURNING j.id, j.state),"
			 " forgotten AS (DELETE FROM @weir_suspect s USING done"
			 "  WHERE s.job = done.id)"
			 " SELECT id, state::text FROM done"};

/* A job that was there. */
struct outcome {
	int64_t id;
	weir_state before, after;
	bool ready, changed;
	bool told; /* to an earlier place with this id */
};

struct change {
	struct weir_pg *store;
	weir_job_action action;
	const int64_t *ids;
	size_t count;
	struct outcome *outcomes; /* by id; room for count */
	size_t outcome_count;
};

static weir_state
state_at(const PGresult *result, int at, int column)
{
	weir_state state = WEIR_JOB_AVAILABLE;
	size_t len;

	(void)!weir_job_state_parse(weir__pg_get_text(result, at, column, &len),
				    &state);
	return state;
}

static struct outcome *
find(const struct change *change, int64_t id)
{
	size_t low = 0, high = change->outcome_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (change->outcomes[middle].id == id)
			return &change->outcomes[middle];
		if (id < change->outcomes[middle].id)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void
take_results(struct change *change, PGresult *const results[2])
{
	for (int at = 0; at < PQntuples(results[0]); at++) {
		struct outcome *o = &change->outcomes[change->outcome_count++];

		weir_assert(change->outcome_count <= change->count);
		*o = (struct outcome){
			.id = weir__pg_get_int(results[0], at, 0),
			.before = state_at(results[0], at, 1),
			.ready = weir__pg_get_bool(results[0], at, 2),
		};
		o->after = o->before;
	}
	for (int at = 0; at < PQntuples(results[1]); at++) {
		struct outcome *o =
			find(change, weir__pg_get_int(results[1], at, 0));

		if (!o)
			continue;
		o->changed = true;
		o->after = state_at(results[1], at, 1);
	}
}

/* Why nothing has happened to it. */
static weir_status
why_not(weir_job_action action, const struct outcome *o)
{
	if (action != WEIR_JOB_CANCEL && o->before == WEIR_JOB_RUNNING)
		return WEIR_BUSY;
	return action == WEIR_JOB_RETRY && !o->ready ? WEIR_INVAL : WEIR_CLOSED;
}

static weir_job_changed
result_of(weir_job_action action, struct outcome *o)
{
	bool again = o && o->told;

	if (!o || (again && o->changed && action == WEIR_JOB_DELETE))
		return (weir_job_changed){.status = WEIR_NOTFOUND};
	o->told = true;
	if (!o->changed)
		return (weir_job_changed){why_not(action, o), o->after};
	/* The second time it is over already, if it does not run. */
	if (again && o->after != WEIR_JOB_RUNNING)
		return (weir_job_changed){WEIR_CLOSED, o->after};
	return (weir_job_changed){WEIR_OK, o->after};
}

static void
put_params(const struct change *change, struct pg_params *p, bool times)
{
	weir__pg_begin(p);
	weir__pg_array_begin(p, PG_INT8, change->count);
	for (size_t i = 0; i < change->count; i++)
		weir__pg_int8(p, change->ids[i]);
	weir__pg_array_end(p);
	if (times)
		weir__pg_now(p, change->store);
}

static void
put_channel(struct pg_params *p, const struct weir_pg *store, const char *topic)
{
	char channel[sizeof(store->channel_prefix) + 16];
	size_t len = strlen(store->channel_prefix);

	weir_assert(strlen(topic) < 16);
	snprintf(channel, sizeof(channel), "%s%s", store->channel_prefix,
		 topic);
	weir__pg_text(p, channel, len + strlen(topic));
}

static const struct pg_sql *
put_action(const struct change *change, struct pg_params *p)
{
	put_params(change, p, change->action != WEIR_JOB_DELETE);
	switch (change->action) {
	case WEIR_JOB_CANCEL:
		put_channel(p, change->store, "river_control");
		weir__pg_text(p, "cancelled", strlen("cancelled"));
		return &cancel_jobs;
	case WEIR_JOB_RETRY:
		put_channel(p, change->store, "river_insert");
		weir__pg_text(p, "available", strlen("available"));
		return &retry_jobs;
	case WEIR_JOB_DELETE:
		return &delete_jobs;
	}
	weir_bug("no such action");
}

static weir_status change_once(struct change *change, struct pg_link *conn,
			       weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
change_once(struct change *change, struct pg_link *conn, weir_error *reterr)
{
	PGresult *results[2] = {NULL, NULL};
	struct pg_params p = {0}, q = {0};
	weir_status status = weir__pg_ready(conn, reterr);
	const struct pg_sql *sql;

	if (status != WEIR_OK)
		return status;
	put_params(change, &p, true);
	sql = put_action(change, &q);
	weir__pg_send(conn, &look_at, &p);
	weir__pg_send(conn, sql, &q);
	status = weir__pg_sync(conn, results, reterr);
	if (status == WEIR_OK)
		take_results(change, results);
	PQclear(results[0]);
	PQclear(results[1]);
	weir__pg_params_fini(&p);
	weir__pg_params_fini(&q);
	return status;
}

static weir_status change_all(struct change *change, struct pg_link *conn,
			      weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
change_all(struct change *change, struct pg_link *conn, weir_error *reterr)
{
	weir_status status = WEIR_OK;

	for (int i = 0; i < 5; i++) {
		status = change_once(change, conn, reterr);
		if (status != WEIR_BUSY &&
		    !(status != WEIR_OK && weir__pg_is_clash(reterr)))
			break;
	}
	return status;
}

weir_status
weir__pg_change(weir_store *store, weir_job_action action, const int64_t *ids,
		size_t count, weir_job_changed *rets, weir_ctx *ctx,
		weir_error *reterr)
{
	struct pg_link *conn = &weir__pg_of(store)->admin;
	struct change change = {.store = weir__pg_of(store),
				.action = action,
				.ids = ids,
				.count = count,
				.outcomes =
					calloc(count, sizeof(struct outcome))};
	weir_status status;

	weir_assert(count > 0 && ids);
	if (!change.outcomes)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	/* We would wait for ourselves. */
	weir__pg_holds_spill(change.store, ids, count, false);
	weir__mutex_lock(&conn->mu);
	status = ctx ? weir_ctx_status(ctx) : WEIR_OK;
	if (status != WEIR_OK)
		(void)weir__queue_error(reterr, status, 0, "it was not begun");
	else
		status = change_all(&change, conn, reterr);
	weir__mutex_unlock(&conn->mu);
	for (size_t i = 0; status == WEIR_OK && rets && i < count; i++)
		rets[i] = result_of(action, find(&change, ids[i]));
	free(change.outcomes);
	return status;
}
