/*
 * Cancelling, retrying and deleting jobs.
 *
 * Design.  Each statement says itself in which states it applies; if it has
 * changed nothing, a look at the row says why.  That somebody wants a running
 * job cancelled is noted in it, and told in the table `cancel`, which works
 * read on: also of jobs that are available, because one that works alone may
 * be running them.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdlib.h>

struct change {
	weir_job_action action;
	const int64_t *ids;
	size_t count;
	weir_job_changed *rets;
	int64_t now_ms;
};

/* Step a statement that is bound by id and the time. */
static int
step(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text,
     int64_t id, int64_t now_ms, bool *ret_changed)
{
	sqlite3_stmt *stmt = weir__sql(conn, sql, text);
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, id);
	if (sqlite3_bind_parameter_count(stmt) > 1)
		(void)sqlite3_bind_int64(stmt, 2, now_ms);
	code = weir__sql_done(stmt);
	*ret_changed = code == SQLITE_OK && sqlite3_changes(conn->db) > 0;
	return code;
}

/* Its state, or -1 if there is no such job. */
static int
look(struct sqlite_conn *conn, int64_t id, int *ret)
{
	sqlite3_stmt *stmt = weir__sql(conn, SQL_JOB_STATE,
				       "SELECT state FROM job WHERE id = ?1");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, id);
	code = sqlite3_step(stmt);
	*ret = code == SQLITE_ROW ? sqlite3_column_int(stmt, 0) & 7 : -1;
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

#define CANCEL_WAITING_SET \
	"UPDATE job SET state = 1, finalized_at = ?2, cancel_at = ?2"
#define CANCEL_WAITING_WHERE " WHERE id = ?1 AND state IN (0, 4, 5, 7)"
#define CANCEL_WAITING       CANCEL_WAITING_SET CANCEL_WAITING_WHERE

static int
cancel(struct sqlite_conn *conn, const struct change *change, int64_t id,
       bool *ret_changed)
{
	bool waits = false, told;
	int code;

	code = step(conn, SQL_CANCEL_WAITING, CANCEL_WAITING, id,
		    change->now_ms, &waits);
	/* A key that another has taken meanwhile is given up. */
	if ((code & 0xff) == SQLITE_CONSTRAINT)
		code = step(conn, SQL_CANCEL_KEYLESS,
			    CANCEL_WAITING_SET
			    ", unique_key = NULL,"
			    " unique_states = NULL" CANCEL_WAITING_WHERE,
			    id, change->now_ms, &waits);
	if (code == SQLITE_OK && !waits)
		code = step(conn, SQL_CANCEL_RUNNING,
			    "UPDATE job SET cancel_at = ifnull(cancel_at, ?2)"
			    " WHERE id = ?1 AND state = 6",
			    id, change->now_ms, ret_changed);
	if (waits)
		*ret_changed = true;
	if (code == SQLITE_OK && *ret_changed)
		code = step(conn, SQL_CANCEL_TELL,
			    "INSERT INTO cancel (job, at) VALUES (?1, ?2)", id,
			    change->now_ms, &told);
	return code;
}

static int
retry(struct sqlite_conn *conn, const struct change *change, int64_t id,
      bool *ret_changed)
{
	return step(conn, SQL_RETRY,
		    "UPDATE job SET state = 0, scheduled_at = ?2,"
		    " finalized_at = NULL, cancel_at = NULL, crashes = 0,"
		    " max_attempts = max_attempts"
		    "  + (attempt >= max_attempts)"
		    " WHERE id = ?1 AND state <> 6"
		    " AND NOT (state = 0 AND scheduled_at <= ?2"
		    "  AND crashes = 0)",
		    id, change->now_ms, ret_changed);
}

static int
delete_one(struct sqlite_conn *conn, int64_t id, bool *ret_changed)
{
	return step(conn, SQL_DELETE,
		    "DELETE FROM job WHERE id = ?1 AND state <> 6", id, 0,
		    ret_changed);
}

/* Why nothing has happened to it. */
static weir_status
why_not(weir_job_action action, int state)
{
	if (state < 0)
		return WEIR_NOTFOUND;
	if (action != WEIR_JOB_CANCEL && state == WEIR_JOB_RUNNING)
		return WEIR_BUSY;
	return WEIR_CLOSED;
}

static int
change_one(struct sqlite_conn *conn, const struct change *change, size_t i)
{
	int64_t id = change->ids[i];
	bool changed = false, taken;
	int before = -1, after = -1;
	int code = look(conn, id, &before);

	if (code == SQLITE_OK)
		switch (change->action) {
		case WEIR_JOB_CANCEL:
			code = cancel(conn, change, id, &changed);
			break;
		case WEIR_JOB_RETRY:
			code = retry(conn, change, id, &changed);
			break;
		case WEIR_JOB_DELETE:
			code = delete_one(conn, id, &changed);
			break;
		}
	/* Its unique key is another's by now. */
	taken = (code & 0xff) == SQLITE_CONSTRAINT;
	if (code == SQLITE_OK || taken)
		code = look(conn, id, &after);
	if (code != SQLITE_OK || !change->rets)
		return code;
	change->rets[i].status = changed ? WEIR_OK
				 : taken ? WEIR_INVAL
					 : why_not(change->action, before);
	change->rets[i].state = (weir_state)(after >= 0    ? after
					     : before >= 0 ? before
							   : 0);
	return SQLITE_OK;
}

static weir_status
run_change(struct sqlite_request *request, struct sqlite_conn *conn)
{
	struct change *change = request->arg;
	int code = SQLITE_OK;

	change->now_ms = weir__store_now_ms(&request->store->base);
	for (size_t i = 0; i < change->count && code == SQLITE_OK; i++)
		code = change_one(conn, change, i);
	request->wakes = true;
	return code == SQLITE_OK
		       ? WEIR_OK
		       : weir__sqlite_failed(conn, code, "cannot change jobs",
					     &request->error);
}

weir_status
weir__sqlite_change(weir_store *store, weir_job_action action,
		    const int64_t *ids, size_t count, weir_job_changed *rets,
		    weir_ctx *ctx, weir_error *reterr)
{
	/* The caller's are not written unless it is committed. */
	weir_job_changed *done =
		rets && count > 0 ? calloc(count, sizeof(*done)) : NULL;
	struct change change = {
		.action = action, .ids = ids, .count = count, .rets = done};
	struct sqlite_request request = {
		.run = run_change, .arg = &change, .ctx = ctx, .durable = true};
	weir_status status;

	weir_assert(count == 0 || ids);
	if (rets && count > 0 && !done)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	status = weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
	if (status == WEIR_OK && done)
		memcpy(rets, done, count * sizeof(*done));
	free(done);
	return status;
}
