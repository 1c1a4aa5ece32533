/*
 * Periodic jobs, kept in the store.
 *
 * Design.  A schedule that is due is fired in one transaction: its job is
 * inserted, and it moves on to its next tick.  Whoever comes second finds it
 * moved on, so a tick gives one job whoever looks, and however many do.  Of
 * ticks that were missed, because nobody worked, only the latest is made up
 * for: a week of hourly reports at once is what nobody wants.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "queue/cron.h"

#define COLUMNS                                                        \
	"name, spec, paused, next_at, last_at, queue, kind, priority," \
	" max_attempts, timeout, unique_states, unique_key, tags,"     \
	" metadata, args"

struct put {
	const weir_schedule *schedule;
	const struct weir_draft *draft;
};

static void
bind_draft(sqlite3_stmt *stmt, int at, const struct weir_draft *draft)
{
	weir__sql_bind_text(stmt, at, draft->queue, draft->queue_len);
	weir__sql_bind_text(stmt, at + 1, draft->kind, draft->kind_len);
	(void)sqlite3_bind_int64(stmt, at + 2, draft->priority);
	(void)sqlite3_bind_int64(stmt, at + 3, draft->max_attempts);
	weir__sql_bind_some(stmt, at + 4, draft->timeout_ns);
	weir__sql_bind_some(stmt, at + 5, draft->unique_states);
	if (draft->unique_key)
		(void)sqlite3_bind_blob(stmt, at + 6, draft->unique_key, 32,
					SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(stmt, at + 6);
	weir__sql_bind_text(stmt, at + 7, draft->tags, draft->tags_len);
	weir__sql_bind_text(stmt, at + 8, draft->metadata, draft->metadata_len);
	weir__sql_bind_text(stmt, at + 9, draft->args, draft->args_len);
}

/* One that is replaced keeps its next tick if it has the same spec. */
static weir_status
run_put(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct put *put = request->arg;
	const weir_schedule *schedule = put->schedule;
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_SCHEDULE_PUT,
		"INSERT INTO schedule (" COLUMNS ")"
		" VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
		" ?12, ?13, ?14) ON CONFLICT (name) DO UPDATE SET"
		" next_at = CASE WHEN spec = excluded.spec AND NOT paused"
		"  THEN next_at ELSE excluded.next_at END,"
		" spec = excluded.spec, paused = excluded.paused,"
		" queue = excluded.queue, kind = excluded.kind,"
		" priority = excluded.priority,"
		" max_attempts = excluded.max_attempts,"
		" timeout = excluded.timeout,"
		" unique_states = excluded.unique_states,"
		" unique_key = excluded.unique_key, tags = excluded.tags,"
		" metadata = excluded.metadata, args = excluded.args");
	int code = SQLITE_ERROR;

	if (stmt) {
		weir__sql_bind_text(stmt, 1, schedule->name,
				    strlen(schedule->name));
		weir__sql_bind_text(stmt, 2, schedule->spec,
				    strlen(schedule->spec));
		(void)sqlite3_bind_int(stmt, 3, schedule->paused);
		(void)sqlite3_bind_int64(
			stmt, 4,
			weir__cron_next_of(
				schedule->spec,
				weir__store_now_ms(&request->store->base)));
		bind_draft(stmt, 5, put->draft);
		code = weir__sql_done(stmt);
	}
	request->wakes = true;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot keep it",
					     &request->error);
}

weir_status
weir__sqlite_schedule_put(weir_store *store, const weir_schedule *schedule,
			  const struct weir_draft *draft, weir_error *reterr)
{
	struct put put = {schedule, draft};
	struct sqlite_request request = {
		.run = run_put, .arg = &put, .durable = true};

	weir_assert(schedule->name && schedule->spec && draft->args);
	return weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
}

static weir_status
run_delete(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const char *name = request->arg;
	sqlite3_stmt *stmt = weir__sql(conn, SQL_SCHEDULE_DELETE,
				       "DELETE FROM schedule WHERE name = ?1");
	int code = SQLITE_ERROR;

	if (stmt) {
		weir__sql_bind_text(stmt, 1, name, strlen(name));
		code = weir__sql_done(stmt);
	}
	if (code != SQLITE_OK)
		return weir__sqlite_failed(conn, code, "cannot delete it",
					   &request->error);
	if (sqlite3_changes(conn->db) > 0)
		return WEIR_OK;
	return weir__queue_error(&request->error, WEIR_NOTFOUND, 0,
				 "no schedule is called \"%s\"", name);
}

weir_status
weir__sqlite_schedule_delete(weir_store *store, const char *name,
			     weir_error *reterr)
{
	struct weir_buf copy = {0};
	struct sqlite_request request = {.run = run_delete, .durable = true};
	weir_status status;

	weir__buf_puts(&copy, name);
	if (copy.failed || copy.len == 0) {
		weir__buf_fini(&copy);
		return weir__queue_error(reterr, WEIR_NOTFOUND, 0,
					 "no schedule is called \"%s\"", name);
	}
	request.arg = copy.data;
	status = weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
	weir__buf_fini(&copy);
	return status;
}

struct pause {
	const char *name;
	bool pause;
};

static weir_status
not_found(const char *name, weir_error *reterr)
{
	return weir__queue_error(reterr, WEIR_NOTFOUND, 0,
				 "no schedule is called \"%s\"", name);
}

/* Its next tick from now on, in case that it goes on.  NOTFOUND: see name. */
static int
find_next(struct sqlite_request *request, struct sqlite_conn *conn,
	  const char *name, int64_t *ret_next_ms)
{
	sqlite3_stmt *stmt =
		weir__sql(conn, SQL_SCHEDULE_GET,
			  "SELECT spec FROM schedule WHERE name = ?1");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	weir__sql_bind_text(stmt, 1, name, strlen(name));
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret_next_ms = weir__cron_next_of(
			(const char *)sqlite3_column_text(stmt, 0),
			weir__store_now_ms(&request->store->base));
	(void)sqlite3_reset(stmt);
	return code;
}

/*
 * One that was paused goes on with the next tick, as if those in between had
 * fired; one that was not is left as it is.
 */
static weir_status
run_pause(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct pause *pause = request->arg;
	int64_t next_ms = 0;
	int code = find_next(request, conn, pause->name, &next_ms);
	sqlite3_stmt *stmt;

	if (code == SQLITE_DONE)
		return not_found(pause->name, &request->error);
	stmt = weir__sql(conn, SQL_SCHEDULE_PAUSE,
			 "UPDATE schedule SET paused = ?2, next_at = CASE"
			 " WHEN paused THEN ?3 ELSE next_at END"
			 " WHERE name = ?1");
	if (code == SQLITE_ROW && stmt) {
		weir__sql_bind_text(stmt, 1, pause->name, strlen(pause->name));
		(void)sqlite3_bind_int(stmt, 2, pause->pause);
		(void)sqlite3_bind_int64(stmt, 3, next_ms);
		code = weir__sql_done(stmt);
	} else if (code == SQLITE_ROW) {
		code = sqlite3_extended_errcode(conn->db);
	}
	request->wakes = true;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot pause it",
					     &request->error);
}

weir_status
weir__sqlite_schedule_pause(weir_store *store, const char *name, bool pause,
			    weir_error *reterr)
{
	struct pause args = {name, pause};
	struct sqlite_request request = {
		.run = run_pause, .arg = &args, .durable = true};

	weir_assert(name);
	return weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
}

/* A text of a row, NULL if there is none. */
static const char *
text_at(sqlite3_stmt *stmt, int at, size_t *ret_len)
{
	const char *text = (const char *)sqlite3_column_text(stmt, at);

	*ret_len = text ? (size_t)sqlite3_column_bytes(stmt, at) : 0;
	return text;
}

static void
read_draft(sqlite3_stmt *stmt, struct weir_draft *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->queue = text_at(stmt, 5, &ret->queue_len);
	ret->kind = text_at(stmt, 6, &ret->kind_len);
	ret->priority = (uint32_t)sqlite3_column_int64(stmt, 7);
	ret->max_attempts = (uint32_t)sqlite3_column_int64(stmt, 8);
	ret->timeout_ns = sqlite3_column_int64(stmt, 9);
	ret->unique_states = (uint32_t)sqlite3_column_int64(stmt, 10);
	if (sqlite3_column_bytes(stmt, 11) == 32)
		ret->unique_key = sqlite3_column_blob(stmt, 11);
	ret->tags = text_at(stmt, 12, &ret->tags_len);
	ret->metadata = text_at(stmt, 13, &ret->metadata_len);
	ret->args = text_at(stmt, 14, &ret->args_len);
}

weir_status
weir__sqlite_schedules(weir_store *store, weir_schedule_fn *row, void *user,
		       weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct sqlite_conn *conn = &sqlite->reader;
	weir_status status = WEIR_OK;
	sqlite3_stmt *stmt;
	bool on = true;
	int code = SQLITE_DONE;

	weir__mutex_lock(&sqlite->read_mu);
	stmt = weir__sql(conn, SQL_SCHEDULES,
			 "SELECT " COLUMNS " FROM schedule ORDER BY name");
	if (!stmt)
		code = sqlite3_extended_errcode(conn->db);
	while (stmt && on && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct weir_draft draft;
		weir_insert job = WEIR_INSERT_INIT;
		weir_schedule schedule = {.size = sizeof(schedule)};

		read_draft(stmt, &draft);
		job.queue = draft.queue;
		job.kind = draft.kind;
		job.args = draft.args;
		job.args_len = draft.args_len;
		job.metadata = draft.metadata;
		job.metadata_len = draft.metadata_len;
		job.priority = draft.priority;
		job.max_attempts = draft.max_attempts;
		job.timeout_ns = draft.timeout_ns;
		schedule.name = (const char *)sqlite3_column_text(stmt, 0);
		schedule.spec = (const char *)sqlite3_column_text(stmt, 1);
		schedule.job = &job;
		schedule.paused = sqlite3_column_int(stmt, 2) != 0;
		schedule.next_at_ms = sqlite3_column_int64(stmt, 3);
		schedule.last_at_ms = sqlite3_column_int64(stmt, 4);
		on = row(&schedule, user);
	}
	(void)sqlite3_reset(stmt);
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		status = weir__sqlite_failed(conn, code, "cannot read", reterr);
	weir__mutex_unlock(&sqlite->read_mu);
	return status;
}

struct fire {
	uint32_t limit, count;
};

/* Move it on from the tick that it was found with. */
static int
move_on(struct sqlite_conn *conn, const char *name, int64_t tick_ms,
	int64_t next_ms)
{
	sqlite3_stmt *stmt =
		weir__sql(conn, SQL_SCHEDULE_MOVE,
			  "UPDATE schedule SET last_at = ?2, next_at = ?3"
			  " WHERE name = ?1");

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	weir__sql_bind_text(stmt, 1, name, strlen(name));
	(void)sqlite3_bind_int64(stmt, 2, tick_ms);
	(void)sqlite3_bind_int64(stmt, 3, next_ms);
	return weir__sql_done(stmt);
}

/* Insert the job of one that is due; stmt is on its row. */
static weir_status
fire_one(struct sqlite_request *request, struct sqlite_conn *conn,
	 sqlite3_stmt *stmt, int64_t now_ms)
{
	const char *spec = weir__sql_text(stmt, 1);
	int64_t tick_ms =
		weir__cron_due_of(spec, sqlite3_column_int64(stmt, 3), now_ms);
	struct weir_draft draft;
	weir_inserted inserted;
	weir_status status;
	int code;

	read_draft(stmt, &draft);
	draft.state = WEIR_JOB_AVAILABLE;
	draft.created_at_ms = now_ms;
	draft.scheduled_at_ms = tick_ms;
	status = weir__sqlite_insert_in(conn, &draft, 1, &inserted,
					&request->wakes, &request->error);
	if (status != WEIR_OK)
		return status;
	code = move_on(conn, (const char *)sqlite3_column_text(stmt, 0),
		       tick_ms, weir__cron_next_of(spec, now_ms));
	return code == SQLITE_OK ? WEIR_OK
				 : weir__sqlite_failed(conn, code,
						       "cannot fire a schedule",
						       &request->error);
}

static weir_status
run_fire(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct fire *fire = request->arg;
	int64_t now_ms = weir__store_now_ms(&request->store->base);
	weir_status status = WEIR_OK;
	sqlite3_stmt *stmt;
	int code = SQLITE_DONE;

	fire->count = 0;
	/* One at a time: what is read must not move while it is read. */
	while (status == WEIR_OK && fire->count < fire->limit) {
		stmt = weir__sql(conn, SQL_SCHEDULE_DUE,
				 "SELECT " COLUMNS " FROM schedule"
				 " WHERE NOT paused AND next_at <= ?1"
				 " ORDER BY next_at LIMIT 1");
		if (!stmt) {
			code = sqlite3_extended_errcode(conn->db);
			break;
		}
		(void)sqlite3_bind_int64(stmt, 1, now_ms);
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			status = fire_one(request, conn, stmt, now_ms);
		(void)sqlite3_reset(stmt);
		if (code != SQLITE_ROW)
			break;
		fire->count++;
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return weir__sqlite_failed(conn, code, "cannot fire a schedule",
					   &request->error);
	return status;
}

/* When the next one is due; INT64_MAX: none. */
static weir_status
next_due(struct weir_sqlite *store, int64_t *ret, weir_error *reterr)
{
	*ret = INT64_MAX;
	return weir__sqlite_read_number(
		store, SQL_SCHEDULE_NEXT,
		"SELECT min(next_at) FROM schedule WHERE NOT paused", 0, ret,
		reterr);
}

weir_status
weir__sqlite_fire(weir_store *store, uint32_t limit, uint32_t *ret_count,
		  int64_t *ret_next_ms, weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct fire fire = {.limit = limit};
	struct sqlite_request request = {
		.run = run_fire, .arg = &fire, .durable = true};
	weir_status status = next_due(sqlite, ret_next_ms, reterr);

	weir_assert(limit > 0);
	if (status == WEIR_OK && *ret_next_ms <= weir__store_now_ms(store)) {
		status = weir__sqlite_ask(sqlite, &request, reterr);
		if (status == WEIR_OK)
			status = next_due(sqlite, ret_next_ms, reterr);
	}
	if (status == WEIR_OK)
		*ret_count = fire.count;
	return status;
}
