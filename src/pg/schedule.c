/*
 * Periodic jobs, kept in the store.
 *
 * Design.  A schedule that is due is fired in one transaction: its row is
 * locked, its job is inserted, and it moves on to its next tick.  Who comes
 * second passes over what is locked, or finds it moved on, so a tick gives one
 * job whoever looks, and however many do.  Of ticks that were missed, because
 * nobody worked, only the latest is made up for: a week of hourly reports at
 * once is what nobody wants.
 *
 * When the next tick is, cron.h says, which the database does not know; so
 * firing takes two round trips and a commit.  The clock is the database's.
 *
 * What has ticks is told to those who wait, as what is inserted is: they have
 * to look when the next is due.
 */
#include "base/assert.h"
#include "pg/insert.h"
#include "queue/cron.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS                                                          \
	"name, spec, paused, next_at, last_at, queue, kind, priority,"   \
	" max_attempts, timeout_ns, unique_states, unique_key,"          \
	" CASE WHEN cardinality(tags) > 0 THEN to_json(tags)::text END," \
	" nullif(metadata, '{}'), args"

static void
put_name(struct pg_params *p, const char *text)
{
	weir__pg_text(p, text, strlen(text));
}

/* The tick after that time; it is NULL where there is none. */
static void
put_next(struct pg_params *p, const char *spec, int64_t after_ms)
{
	int64_t next_ms = weir__cron_next_of(spec, after_ms);

	weir__pg_time(p, next_ms == INT64_MAX ? PG_NO_TIME : next_ms);
}

/* One that is replaced keeps its next tick if it has the same spec. */
static const struct pg_sql put_schedule = {
	"schedule_put",
	"INSERT INTO @weir_schedule AS s (name, spec, paused, next_at, queue,"
	" kind, priority, max_attempts, timeout_ns, unique_states, unique_key,"
	" tags, metadata, args) VALUES ($1::text, $2::text, $3, $4, $5::text,"
	" $6::text, $7, $8, $9, $10, $11, CASE WHEN $12::jsonb IS NULL"
	" THEN '{}'::varchar[] ELSE ARRAY(SELECT"
	" jsonb_array_elements_text($12))::varchar[] END,"
	" coalesce($13::jsonb, '{}'), $14)"
	" ON CONFLICT (name) DO UPDATE SET"
	" next_at = CASE WHEN s.spec = excluded.spec AND NOT s.paused"
	"  THEN s.next_at ELSE excluded.next_at END,"
	" spec = excluded.spec, paused = excluded.paused,"
	" queue = excluded.queue, kind = excluded.kind,"
	" priority = excluded.priority, max_attempts = excluded.max_attempts,"
	" timeout_ns = excluded.timeout_ns,"
	" unique_states = excluded.unique_states,"
	" unique_key = excluded.unique_key, tags = excluded.tags,"
	" metadata = excluded.metadata, args = excluded.args"};

static void
put_draft(struct pg_params *p, const struct weir_draft *draft)
{
	weir__pg_text(p, draft->queue, draft->queue_len);
	weir__pg_text(p, draft->kind, draft->kind_len);
	weir__pg_int2(p, (int)draft->priority);
	weir__pg_int2(p, (int)draft->max_attempts);
	weir__pg_int8(p, draft->timeout_ns);
	weir__pg_bits(p, !draft->unique_key, draft->unique_states);
	weir__pg_bytes(p, draft->unique_key, 32);
	weir__pg_json(p, draft->tags, draft->tags_len);
	weir__pg_json(p, draft->metadata, draft->metadata_len);
	weir__pg_json(p, draft->args, draft->args_len);
}

/* A statement, and a notice for a queue of which there may be none. */
static weir_status
ask_and_tell(struct weir_pg *store, const struct pg_sql *sql,
	     const struct pg_params *p, const char *queue,
	     uint64_t *ret_changed, weir_error *reterr)
{
	struct pg_link *conn = &store->admin;
	PGresult *results[2] = {NULL, NULL};
	weir_status status;

	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK) {
		weir__pg_send(conn, sql, p);
		weir__pg_notify_insert(conn, queue);
		status = weir__pg_sync(conn, results, reterr);
	}
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK)
		*ret_changed = weir__pg_changed(results[0]);
	PQclear(results[0]);
	PQclear(results[1]);
	return status;
}

weir_status
weir__pg_schedule_put(weir_store *store, const weir_schedule *schedule,
		      const struct weir_draft *draft, weir_error *reterr)
{
	struct pg_params p = {0};
	weir_status status;
	uint64_t changed;

	weir_assert(schedule->name && schedule->spec && draft->args);
	weir__pg_begin(&p);
	put_name(&p, schedule->name);
	put_name(&p, schedule->spec);
	weir__pg_bool(&p, schedule->paused);
	put_next(&p, schedule->spec, weir__store_now_ms(store));
	put_draft(&p, draft);
	status = ask_and_tell(weir__pg_of(store), &put_schedule, &p,
			      draft->queue, &changed, reterr);
	weir__pg_params_fini(&p);
	return status;
}

static weir_status
not_found(const char *name, weir_error *reterr)
{
	return weir__queue_error(reterr, WEIR_NOTFOUND, 0,
				 "no schedule is called \"%s\"", name);
}

static const struct pg_sql delete_schedule = {
	"schedule_delete", "DELETE FROM @weir_schedule WHERE name = $1::text"};

weir_status
weir__pg_schedule_delete(weir_store *store, const char *name,
			 weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	put_name(&p, name);
	status = weir__pg_ask(&weir__pg_of(store)->admin, &delete_schedule, &p,
			      &result, reterr);
	if (status == WEIR_OK && weir__pg_changed(result) == 0)
		status = not_found(name, reterr);
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

static const struct pg_sql get_schedule = {
	"schedule_get",
	"SELECT spec, queue FROM @weir_schedule WHERE name = $1::text"};
/*
 * One that was paused goes on with the next tick, as if those in between had
 * fired; one that was not is left as it is.  The spec is that which the tick
 * was worked out from.
 */
static const struct pg_sql pause_schedule = {
	"schedule_pause",
	"UPDATE @weir_schedule SET paused = $3, next_at = CASE WHEN paused"
	" THEN $4::timestamptz ELSE next_at END"
	" WHERE name = $1::text AND spec = $2::text"};

static weir_status
pause_found(struct weir_pg *store, const char *name, const PGresult *found,
	    bool pause, uint64_t *ret_changed, weir_error *reterr)
{
	struct pg_params p = {0};
	weir_status status;
	size_t len;
	const char *spec = weir__pg_get_text(found, 0, 0, &len);

	weir__pg_begin(&p);
	put_name(&p, name);
	put_name(&p, spec);
	weir__pg_bool(&p, pause);
	put_next(&p, spec, weir__store_now_ms(&store->base));
	status = ask_and_tell(store, &pause_schedule, &p,
			      weir__pg_get_text(found, 0, 1, &len), ret_changed,
			      reterr);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_schedule_pause(weir_store *store, const char *name, bool pause,
			weir_error *reterr)
{
	struct weir_pg *pg = weir__pg_of(store);
	weir_status status = WEIR_OK;
	uint64_t changed = 0;

	/* Again if somebody has put another one of that name in between. */
	while (status == WEIR_OK && changed == 0) {
		struct pg_params p = {0};
		PGresult *result = NULL;

		weir__pg_begin(&p);
		put_name(&p, name);
		status = weir__pg_ask(&pg->admin, &get_schedule, &p, &result,
				      reterr);
		if (status == WEIR_OK && PQntuples(result) == 0)
			status = not_found(name, reterr);
		if (status == WEIR_OK)
			status = pause_found(pg, name, result, pause, &changed,
					     reterr);
		PQclear(result);
		weir__pg_params_fini(&p);
	}
	return status;
}

/* A text of a row, NULL if there is none. */
static const char *
text_at(const PGresult *result, int at, int column, size_t *ret_len)
{
	const char *text = weir__pg_get_text(result, at, column, ret_len);

	if (!weir__pg_is_null(result, at, column))
		return text;
	*ret_len = 0;
	return NULL;
}

static void
read_draft(const PGresult *result, int at, struct weir_draft *ret)
{
	const char *bits = PQgetvalue(result, at, 10);

	memset(ret, 0, sizeof(*ret));
	ret->queue = text_at(result, at, 5, &ret->queue_len);
	ret->kind = text_at(result, at, 6, &ret->kind_len);
	ret->priority = (uint32_t)weir__pg_get_int(result, at, 7);
	ret->max_attempts = (uint32_t)weir__pg_get_int(result, at, 8);
	ret->timeout_ns = weir__pg_get_int(result, at, 9);
	if (PQgetlength(result, at, 10) == 5)
		ret->unique_states = (unsigned char)bits[4];
	if (PQgetlength(result, at, 11) == 32)
		ret->unique_key =
			(const unsigned char *)PQgetvalue(result, at, 11);
	ret->tags = text_at(result, at, 12, &ret->tags_len);
	ret->metadata = text_at(result, at, 13, &ret->metadata_len);
	ret->args = text_at(result, at, 14, &ret->args_len);
}

static const struct pg_sql list_schedules = {
	"schedules", "SELECT " COLUMNS " FROM @weir_schedule ORDER BY name"};

/* 0: never. */
static int64_t
ms_at(const PGresult *result, int at, int column)
{
	int64_t ms = weir__pg_get_ms(result, at, column);

	return ms == PG_NO_TIME ? 0 : ms;
}

static bool
give_schedule(const PGresult *result, int at, weir_schedule_fn *row, void *user)
{
	weir_insert job = WEIR_INSERT_INIT;
	weir_schedule schedule = {.size = sizeof(schedule)};
	struct weir_draft draft;
	size_t len;

	read_draft(result, at, &draft);
	job.queue = draft.queue;
	job.kind = draft.kind;
	job.args = draft.args;
	job.args_len = draft.args_len;
	job.metadata = draft.metadata;
	job.metadata_len = draft.metadata_len;
	job.priority = draft.priority;
	job.max_attempts = draft.max_attempts;
	job.timeout_ns = draft.timeout_ns;
	schedule.name = text_at(result, at, 0, &len);
	schedule.spec = text_at(result, at, 1, &len);
	schedule.job = &job;
	schedule.paused = weir__pg_get_bool(result, at, 2);
	schedule.next_at_ms = ms_at(result, at, 3);
	schedule.last_at_ms = ms_at(result, at, 4);
	return row(&schedule, user);
}

weir_status
weir__pg_schedules(weir_store *store, weir_schedule_fn *row, void *user,
		   weir_error *reterr)
{
	struct pg_params none = {0};
	PGresult *result = NULL;
	weir_status status;

	status = weir__pg_ask(&weir__pg_of(store)->admin, &list_schedules,
			      &none, &result, reterr);
	for (int at = 0; status == WEIR_OK && at < PQntuples(result); at++)
		if (!give_schedule(result, at, row, user))
			break;
	PQclear(result);
	return status;
}

/*
 * Firing.
 */
static const struct pg_sql next_due = {
	"schedule_next", "SELECT min(next_at), coalesce($1::timestamptz, now())"
			 " FROM @weir_schedule WHERE NOT paused"};
static const struct pg_sql lock_due = {
	"schedule_due",
	"SELECT " COLUMNS ", coalesce($1::timestamptz, now())"
	" FROM @weir_schedule WHERE NOT paused"
	" AND next_at <= coalesce($1::timestamptz, now())"
	" ORDER BY @weir_schedule.next_at LIMIT $2 FOR UPDATE SKIP LOCKED"};
static const struct pg_sql move_on = {
	"schedule_move",
	"UPDATE @weir_schedule s SET last_at = u.last_at, next_at = u.next_at"
	" FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[])"
	"  AS u (name, last_at, next_at) WHERE s.name = u.name"};

#define NOW_COLUMN 15

struct fire {
	struct weir_pg *store;
	PGresult *due; /* rows of schedules, locked */
	size_t count;
	struct weir_draft *drafts;
	struct pg_params params;
};

/* The job of the latest tick that is due. */
static void
make_draft(const struct fire *fire, int at, struct weir_draft *ret)
{
	int64_t now_ms = weir__pg_get_ms(fire->due, at, NOW_COLUMN);
	size_t len;

	read_draft(fire->due, at, ret);
	ret->state = WEIR_JOB_AVAILABLE;
	ret->created_at_ms = now_ms;
	ret->scheduled_at_ms =
		weir__cron_due_of(text_at(fire->due, at, 1, &len),
				  weir__pg_get_ms(fire->due, at, 3), now_ms);
}

static void
put_moves(struct fire *fire)
{
	struct pg_params *p = &fire->params;
	size_t len;

	weir__pg_begin(p);
	weir__pg_array_begin(p, PG_TEXT, fire->count);
	for (size_t i = 0; i < fire->count; i++) {
		const char *name = text_at(fire->due, (int)i, 0, &len);

		weir__pg_text(p, name, len);
	}
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_TIMESTAMPTZ, fire->count);
	for (size_t i = 0; i < fire->count; i++)
		weir__pg_time(p, fire->drafts[i].scheduled_at_ms);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_TIMESTAMPTZ, fire->count);
	for (size_t i = 0; i < fire->count; i++)
		put_next(p, text_at(fire->due, (int)i, 1, &len),
			 fire->drafts[i].created_at_ms);
	weir__pg_array_end(p);
}

static weir_status insert_due(struct fire *fire, struct pg_link *conn,
			      weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
insert_due(struct fire *fire, struct pg_link *conn, weir_error *reterr)
{
	struct pg_rows rows;
	weir_status status = WEIR_NOMEM;

	fire->drafts = calloc(fire->count, sizeof(*fire->drafts));
	if (!fire->drafts)
		return weir__queue_error(reterr, status, 0, "out of memory");
	status = weir__pg_rows_init(&rows, fire->store, fire->count, reterr);
	if (status != WEIR_OK)
		return status;
	for (size_t i = 0; i < fire->count; i++) {
		make_draft(fire, (int)i, &fire->drafts[i]);
		weir__pg_rows_add(&rows, &fire->drafts[i]);
	}
	weir__pg_rows_plan(&rows);
	put_moves(fire);
	weir__pg_send(conn, &move_on, &fire->params);
	status = weir__pg_rows_send(conn, &rows, reterr);
	weir__pg_rows_fini(&rows);
	return status;
}

/* Lock what is due: the first round trip of a transaction. */
static weir_status lock_rows(struct fire *fire, struct pg_link *conn,
			     uint32_t limit, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

static weir_status
lock_rows(struct fire *fire, struct pg_link *conn, uint32_t limit,
	  weir_error *reterr)
{
	PGresult *results[2] = {NULL, NULL};
	struct pg_params none = {0};
	weir_status status;

	weir__pg_begin(&fire->params);
	weir__pg_now(&fire->params, fire->store);
	weir__pg_int8(&fire->params, limit);
	weir__pg_send(conn, &weir__pg_begin_sql, &none);
	weir__pg_send(conn, &lock_due, &fire->params);
	status = weir__pg_sync(conn, results, reterr);
	PQclear(results[0]);
	fire->due = results[1];
	if (status == WEIR_OK)
		fire->count = (size_t)PQntuples(fire->due);
	return status;
}

static weir_status fire_due(struct fire *fire, struct pg_link *conn,
			    uint32_t limit, weir_error *reterr)
	WEIR_REQUIRES(conn->mu);

static weir_status
fire_due(struct fire *fire, struct pg_link *conn, uint32_t limit,
	 weir_error *reterr)
{
	struct pg_params none = {0};
	weir_status status = lock_rows(fire, conn, limit, reterr);

	if (status == WEIR_OK && fire->count > 0)
		status = insert_due(fire, conn, reterr);
	/* Lost or not, the next one sees whether the schedules have moved. */
	if (status == WEIR_OK && fire->count > 0)
		status = weir__pg_query(conn, &weir__pg_commit_sql, &none, NULL,
					reterr);
	else
		weir__pg_rollback(conn);
	return status;
}

/* When the next one is due; INT64_MAX: none.  Is that now? */
static weir_status ask_next(struct weir_pg *store, struct pg_link *conn,
			    int64_t *ret_next_ms, bool *ret_due,
			    weir_error *reterr) WEIR_REQUIRES(conn->mu);

static weir_status
ask_next(struct weir_pg *store, struct pg_link *conn, int64_t *ret_next_ms,
	 bool *ret_due, weir_error *reterr)
{
	struct pg_params p = {0};
	PGresult *result = NULL;
	weir_status status;

	weir__pg_begin(&p);
	weir__pg_now(&p, store);
	status = weir__pg_query(conn, &next_due, &p, &result, reterr);
	if (status == WEIR_OK) {
		bool none = weir__pg_is_null(result, 0, 0);

		*ret_next_ms = none ? INT64_MAX : weir__pg_get_ms(result, 0, 0);
		*ret_due =
			!none && *ret_next_ms <= weir__pg_get_ms(result, 0, 1);
	}
	PQclear(result);
	weir__pg_params_fini(&p);
	return status;
}

weir_status
weir__pg_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
	      int64_t *ret_next_ms, weir_error *reterr)
{
	struct fire fire = {.store = weir__pg_of(store)};
	struct pg_link *conn = &fire.store->upkeep;
	bool due = false;
	weir_status status;

	weir_assert(limit > 0);
	weir__mutex_lock(&conn->mu);
	status = weir__pg_ready(conn, reterr);
	if (status == WEIR_OK)
		status = ask_next(fire.store, conn, ret_next_ms, &due, reterr);
	if (status == WEIR_OK && due) {
		status = fire_due(&fire, conn, limit, reterr);
		if (status == WEIR_OK)
			status = ask_next(fire.store, conn, ret_next_ms, &due,
					  reterr);
	}
	weir__mutex_unlock(&conn->mu);
	if (status == WEIR_OK)
		*ret_count = (uint32_t)fire.count;
	PQclear(fire.due);
	free(fire.drafts);
	weir__pg_params_fini(&fire.params);
	return status;
}
