/*
 * Queues: how many jobs they have, whether they are paused, and what becomes
 * of their completed jobs.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#define COUNT(state) ", ifnull(sum(n) FILTER (WHERE s = " #state "), 0)"

/*
 * What waits is counted along job_claim, without a look at the jobs; a join of
 * queues and jobs would read all jobs for each queue.
 */
static const char queues_text[] =
	"WITH counts AS (SELECT queue AS q, 0 AS s, count(*) AS n FROM job"
	"  WHERE state = 0 AND crashes = 0 GROUP BY queue"
	" UNION ALL SELECT queue, state, count(*) FROM job"
	"  WHERE " SQLITE_IN_MARK " GROUP BY queue, state)"
	" SELECT name, created_at, paused_at, finished" COUNT(0) COUNT(1)
		COUNT(2) COUNT(3) COUNT(4) COUNT(5) COUNT(6)
			COUNT(7) " FROM queue LEFT JOIN counts ON q = name"
				 " GROUP BY name ORDER BY name";

weir_status
weir__sqlite_queues(weir_store *store, weir_queue_row_fn *row, void *user,
		    weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct sqlite_conn *conn = &sqlite->reader;
	weir_status status = WEIR_OK;
	sqlite3_stmt *stmt;
	bool on = true;
	int code = SQLITE_DONE;

	weir__mutex_lock(&sqlite->read_mu);
	stmt = weir__sql(conn, SQL_QUEUES, queues_text);
	if (!stmt)
		code = sqlite3_extended_errcode(conn->db);
	while (stmt && on && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir_queue_row queue = {
			.name = (const char *)sqlite3_column_text(stmt, 0),
			.created_at_ms = sqlite3_column_int64(stmt, 1),
			.paused_at_ms = sqlite3_column_int64(stmt, 2),
			.finished = weir__sqlite_policy(
				sqlite3_column_int(stmt, 3)),
		};

		for (int i = 0; i < 8; i++)
			queue.counts[i] =
				(uint64_t)sqlite3_column_int64(stmt, 4 + i);
		on = row(&queue, user);
	}
	(void)sqlite3_reset(stmt);
	if (code != SQLITE_DONE && code != SQLITE_ROW)
		status = weir__sqlite_failed(conn, code, "cannot read", reterr);
	weir__mutex_unlock(&sqlite->read_mu);
	return status;
}

struct setting {
	const char *queue;
	int pause, finished;
};

static int
step(struct sqlite_conn *conn, enum sqlite_sql sql, const char *text,
     const char *queue, int64_t value)
{
	sqlite3_stmt *stmt = weir__sql(conn, sql, text);

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	if (queue)
		weir__sql_bind_text(stmt, 1, queue, strlen(queue));
	weir__sql_bind_some(stmt, 2, value);
	return weir__sql_done(stmt);
}

static weir_status
run_set(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct setting *set = request->arg;
	int64_t now_ms = weir__store_now_ms(&request->store->base);
	int64_t paused_at = set->pause > 0 ? now_ms : 0;
	bool all = strcmp(set->queue, "*") == 0;
	int code = SQLITE_OK;

	/* What is paused already stays paused since when it was. */
	if (set->pause >= 0 && all)
		code = step(conn, SQL_QUEUE_PAUSE_ALL,
			    "UPDATE queue SET paused_at = CASE WHEN ?2 IS NULL"
			    " THEN NULL ELSE ifnull(paused_at, ?2) END",
			    NULL, paused_at);
	else if (set->pause >= 0)
		code = step(conn, SQL_QUEUE_PAUSE,
			    "UPDATE queue SET paused_at = CASE WHEN ?2 IS NULL"
			    " THEN NULL ELSE ifnull(paused_at, ?2) END"
			    " WHERE name = ?1",
			    set->queue, paused_at);
	if (code == SQLITE_OK && set->pause >= 0 && !all &&
	    sqlite3_changes(conn->db) == 0)
		return weir__queue_error(&request->error, WEIR_NOTFOUND, 0,
					 "no queue is called \"%s\"",
					 set->queue);
	if (code == SQLITE_OK && set->finished >= 0)
		code = step(conn, SQL_QUEUE_FINISHED,
			    "INSERT INTO queue (name, finished, created_at)"
			    " VALUES (?1, ifnull(?2, 0),"
			    " unixepoch('now') * 1000) ON CONFLICT (name)"
			    " DO UPDATE SET finished = excluded.finished",
			    set->queue, set->finished);
	request->wakes = true;
	return code == SQLITE_OK ? WEIR_OK
				 : weir__sqlite_failed(conn, code,
						       "cannot change a queue",
						       &request->error);
}

weir_status
weir__sqlite_queue_set(weir_store *store, const char *queue, int pause,
		       int finished, weir_error *reterr)
{
	struct setting set = {queue, pause, finished};
	struct sqlite_request request = {
		.run = run_set, .arg = &set, .durable = true};

	weir_assert(queue);
	return weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
}
