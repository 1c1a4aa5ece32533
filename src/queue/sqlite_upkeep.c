/*
 * What has to be done now and then: jobs that are due, jobs of the dead, jobs
 * that were kept long enough.
 *
 * Design.  Each looks first, with the reader, and writes only if there is
 * something to do: several processes do all of this, and mostly find nothing.
 * What is written looks again by itself, so whoever comes second does nothing.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

/* How long a wish to cancel is kept for those who have not looked. */
#define CANCEL_KEEP_MS (10 * 60 * 1000)

struct upkeep {
	int64_t client, beat, cutoff_ms;
	uint32_t limit, count, crashes_max;
	int state;
};

weir_status
weir__sqlite_read_number(struct weir_sqlite *store, enum sqlite_sql sql,
			 const char *text, int64_t parameter, int64_t *ret,
			 weir_error *reterr)
{
	struct sqlite_conn *conn = &store->reader;
	weir_status status = WEIR_OK;
	sqlite3_stmt *stmt;
	int code;

	weir__mutex_lock(&store->read_mu);
	stmt = weir__sql(conn, sql, text);
	if (stmt && sqlite3_bind_parameter_count(stmt) > 0)
		(void)sqlite3_bind_int64(stmt, 1, parameter);
	code = stmt ? sqlite3_step(stmt) : sqlite3_extended_errcode(conn->db);
	if (code == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
		*ret = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	/* Under the lock: the connection's last error is anybody's. */
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		status = weir__sqlite_failed(conn, code, "cannot read", reterr);
	weir__mutex_unlock(&store->read_mu);
	return status;
}

/* The smallest mark in that state; INT64_MAX: there is none. */
static weir_status
first_mark(struct weir_sqlite *store, int state, int64_t *ret,
	   weir_error *reterr)
{
	*ret = INT64_MAX;
	return weir__sqlite_read_number(
		store, SQL_PROMOTE_LOOK,
		"SELECT mark FROM job WHERE " SQLITE_IN_MARK
		" AND state = ?1 AND mark IS NOT NULL ORDER BY mark LIMIT 1",
		state, ret, reterr);
}

static int
run_limited(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text,
	    int64_t until_ms, struct upkeep *upkeep)
{
	sqlite3_stmt *stmt = weir__sql(conn, sql, text);
	int code;

	weir_assert(upkeep->count <= upkeep->limit);
	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, until_ms);
	(void)sqlite3_bind_int64(stmt, 2, upkeep->limit - upkeep->count);
	if (sqlite3_bind_parameter_count(stmt) > 2)
		(void)sqlite3_bind_int(stmt, 3, upkeep->state);
	code = weir__sql_done(stmt);
	if (code == SQLITE_OK)
		upkeep->count += (uint32_t)sqlite3_changes(conn->db);
	return code;
}

#define DUE                                                      \
	" WHERE id IN (SELECT id FROM job WHERE " SQLITE_IN_MARK \
	" AND state = ?3 AND mark <= ?1 ORDER BY mark LIMIT ?2)"

static weir_status
run_promote(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct upkeep *upkeep = request->arg;
	int64_t now_ms = weir__store_now_ms(&request->store->base);
	int code = SQLITE_OK;

	upkeep->count = 0;
	for (int i = 0; i < 2 && code == SQLITE_OK; i++) {
		upkeep->state =
			i == 0 ? WEIR_JOB_SCHEDULED : WEIR_JOB_RETRYABLE;
		code = run_limited(conn, SQL_PROMOTE,
				   "UPDATE OR IGNORE job SET state = 0" DUE,
				   now_ms, upkeep);
		/*
		 * Those that it has passed over have lost their keys.  They
		 * are as many as are left of the limit, or fewer, and due
		 * before all others.
		 */
		if (code == SQLITE_OK)
			code = run_limited(
				conn, SQL_PROMOTE_CLASH,
				"UPDATE job SET state = 3, finalized_at = ?1,"
				" unique_key = NULL, unique_states = NULL,"
				" metadata = json_set(ifnull(metadata, '{}'),"
				" '$.unique_key_conflict',"
				" 'scheduler_discarded')" DUE
				" AND unique_key IS NOT NULL",
				now_ms, upkeep);
	}
	request->wakes = upkeep->count > 0;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot promote jobs",
					     &request->error);
}

static weir_status
next_due(struct weir_sqlite *store, int64_t *ret, weir_error *reterr)
{
	int64_t retryable = INT64_MAX;
	weir_status status = first_mark(store, WEIR_JOB_SCHEDULED, ret, reterr);

	if (status == WEIR_OK)
		status = first_mark(store, WEIR_JOB_RETRYABLE, &retryable,
				    reterr);
	if (status == WEIR_OK && retryable < *ret)
		*ret = retryable;
	return status;
}

weir_status
weir__sqlite_promote(weir_store *store, uint32_t limit, uint32_t *ret_count,
		     int64_t *ret_next_ms, weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct upkeep upkeep = {.limit = limit};
	struct sqlite_request request = {
		.run = run_promote, .arg = &upkeep, .durable = false};
	weir_status status = next_due(sqlite, ret_next_ms, reterr);

	weir_assert(limit > 0);
	if (status == WEIR_OK && *ret_next_ms <= weir__store_now_ms(store)) {
		status = weir__sqlite_ask(sqlite, &request, reterr);
		if (status == WEIR_OK)
			status = next_due(sqlite, ret_next_ms, reterr);
	}
	if (status == WEIR_OK)
		*ret_count = upkeep.count;
	return status;
}

static int
rescue_guard(struct sqlite_conn *conn, const struct upkeep *upkeep, bool *ret,
	     struct weir_buf *ret_name)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_RESCUE_GUARD,
		"SELECT name FROM client WHERE id = ?1 AND beat = ?2");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, upkeep->client);
	(void)sqlite3_bind_int64(stmt, 2, upkeep->beat);
	code = sqlite3_step(stmt);
	*ret = code == SQLITE_ROW;
	if (*ret)
		weir__buf_puts(ret_name, weir__sql_text(stmt, 0));
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

#define POISON "crashes + 1 >= ?4"
#define IS_OVER \
	"(cancel_at IS NOT NULL OR " POISON " OR attempt >= max_attempts)"

static int
rescue_jobs(struct sqlite_conn *conn, struct upkeep *upkeep, int64_t now_ms,
	    const struct weir_buf *name)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_RESCUE,
		"UPDATE job SET crashes = crashes + 1, owner = NULL,"
		" state = CASE WHEN cancel_at IS NOT NULL THEN 1"
		"  WHEN " IS_OVER " THEN 3 ELSE 0 END,"
		" finalized_at = CASE WHEN " IS_OVER " THEN ?1 END,"
		" errors = " SQLITE_ADD_ERROR(SQLITE_CRASH_ERROR(
			"ifnull(attempted_at, ?1)", "attempt", "?5",
			"(crashes + 1)",
			POISON)) " WHERE id IN (SELECT id FROM job WHERE state "
				 "<> 0"
				 "  AND state = 6 AND mark = ?3 LIMIT ?2)");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, now_ms);
	(void)sqlite3_bind_int64(stmt, 2, upkeep->limit);
	(void)sqlite3_bind_int64(stmt, 3, upkeep->client);
	(void)sqlite3_bind_int64(stmt, 4, upkeep->crashes_max);
	weir__sql_bind_text(stmt, 5, name->data, name->len);
	code = weir__sql_done(stmt);
	if (code == SQLITE_OK)
		upkeep->count = (uint32_t)sqlite3_changes(conn->db);
	return code;
}

static int
bury(struct sqlite_conn *conn, int64_t client)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_RESCUE_LEFT,
		"DELETE FROM client WHERE id = ?1 AND NOT EXISTS (SELECT 1"
		" FROM job WHERE " SQLITE_IN_MARK
		" AND state = 6 AND mark = ?1)");

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, client);
	return weir__sql_done(stmt);
}

static weir_status
run_rescue(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct upkeep *upkeep = request->arg;
	struct weir_buf name = {0};
	bool is_dead = false;
	int code = rescue_guard(conn, upkeep, &is_dead, &name);

	upkeep->count = 0;
	if (code == SQLITE_OK && name.failed)
		code = SQLITE_NOMEM;
	if (code == SQLITE_OK && is_dead)
		code = rescue_jobs(conn, upkeep,
				   weir__store_now_ms(&request->store->base),
				   &name);
	if (code == SQLITE_OK && is_dead)
		code = bury(conn, upkeep->client);
	weir__buf_fini(&name);
	request->wakes = upkeep->count > 0;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot rescue jobs",
					     &request->error);
}

weir_status
weir__sqlite_rescue(weir_store *store, int64_t client, int64_t beat,
		    uint32_t crashes_max, uint32_t limit, uint32_t *ret_count,
		    weir_error *reterr)
{
	struct upkeep upkeep = {
		.client = client,
		.beat = beat,
		.limit = limit,
		.crashes_max = crashes_max ? crashes_max : UINT32_MAX,
	};
	struct sqlite_request request = {
		.run = run_rescue, .arg = &upkeep, .durable = true};
	weir_status status;

	weir_assert(limit > 0);
	status = weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
	if (status == WEIR_OK)
		*ret_count = upkeep.count;
	return status;
}

static weir_status
run_clean(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct upkeep *upkeep = request->arg;
	int code;

	upkeep->count = 0;
	code = run_limited(conn, SQL_CLEAN, "DELETE FROM job" DUE,
			   upkeep->cutoff_ms, upkeep);
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot clean",
					     &request->error);
}

static weir_status
run_clean_cancels(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct upkeep *upkeep = request->arg;
	sqlite3_stmt *stmt = weir__sql(conn, SQL_CLEAN_CANCELS,
				       "DELETE FROM cancel WHERE at <= ?1");
	int code = sqlite3_extended_errcode(conn->db);

	if (stmt) {
		(void)sqlite3_bind_int64(stmt, 1, upkeep->cutoff_ms);
		code = weir__sql_done(stmt);
	}
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot clean",
					     &request->error);
}

/* Everybody who works has heard of these by now. */
static weir_status
clean_cancels(struct weir_sqlite *store, weir_error *reterr)
{
	struct upkeep upkeep = {.cutoff_ms = weir__store_now_ms(&store->base) -
					     CANCEL_KEEP_MS};
	struct sqlite_request request = {.run = run_clean_cancels,
					 .arg = &upkeep};
	int64_t first = INT64_MAX;
	weir_status status = weir__sqlite_read_number(
		store, SQL_CLEAN_CANCELS_LOOK,
		"SELECT at FROM cancel ORDER BY seq LIMIT 1", 0, &first,
		reterr);

	if (status == WEIR_OK && first <= upkeep.cutoff_ms)
		status = weir__sqlite_ask(store, &request, reterr);
	return status;
}

static weir_status
clean_state(struct weir_sqlite *store, int state, int64_t keep_ms,
	    uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	struct upkeep upkeep = {
		.limit = limit,
		.state = state,
		.cutoff_ms = weir__store_now_ms(&store->base) - keep_ms,
	};
	struct sqlite_request request = {.run = run_clean, .arg = &upkeep};
	int64_t first;
	weir_status status = first_mark(store, state, &first, reterr);

	if (status == WEIR_OK && first <= upkeep.cutoff_ms)
		status = weir__sqlite_ask(store, &request, reterr);
	*ret_count += upkeep.count;
	return status;
}

weir_status
weir__sqlite_clean(weir_store *store, const struct weir_retention *retention,
		   uint32_t limit, uint32_t *ret_count, weir_error *reterr)
{
	static const int states[] = {WEIR_JOB_CANCELLED, WEIR_JOB_COMPLETED,
				     WEIR_JOB_DISCARDED};
	weir_status status = WEIR_OK;
	uint32_t count = 0;

	weir_assert(limit > 0);
	for (int i = 0; i < 3 && status == WEIR_OK && count < limit; i++)
		if (retention->keep_ms[states[i]] >= 0)
			status = clean_state(weir__sqlite_of(store), states[i],
					     retention->keep_ms[states[i]],
					     limit - count, &count, reterr);
	if (status == WEIR_OK)
		status = clean_cancels(weir__sqlite_of(store), reterr);
	if (status == WEIR_OK)
		*ret_count = count;
	return status;
}
