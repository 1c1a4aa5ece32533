/*
 * Queues: how many jobs they have, whether they are paused, and what becomes
 * of their completed jobs.
 *
 * Design.  What waits is counted along job_claim, without a look at the jobs.
 * The rest has no index by queue, and SQLite would sort all of it in memory to
 * group it, which is a hundred bytes for each job that is kept; so these rows
 * are counted one by one here, in what is there for each queue.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdlib.h>

/* Queues by name, so that one can be looked for; names are ours. */
struct queues {
	weir_queue_row *all;
	size_t count, cap;
};

static const char queues_text[] =
	"SELECT name, created_at, paused_at, finished FROM queue ORDER BY name";
static const char counts_text[] =
	"SELECT queue, 0, count(*) FROM job"
	" WHERE state = 0 AND crashes = 0 GROUP BY queue"
	" UNION ALL SELECT queue, state, 1 FROM job WHERE " SQLITE_IN_MARK;

static void
queues_fini(struct queues *queues)
{
	for (size_t i = 0; i < queues->count; i++)
		free((char *)(uintptr_t)queues->all[i].name);
	free(queues->all);
}

static weir_queue_row *
add_row(struct queues *queues, const char *name)
{
	weir_queue_row *all = queues->all;

	if (queues->count == queues->cap) {
		queues->cap = queues->cap > 0 ? queues->cap * 2 : 16;
		all = realloc(all, queues->cap * sizeof(*all));
		if (!all)
			return NULL;
		queues->all = all;
	}
	all += queues->count;
	memset(all, 0, sizeof(*all));
	all->name = strdup(name ? name : "");
	if (!all->name)
		return NULL;
	queues->count++;
	return all;
}

static int
read_queues(struct sqlite_conn *conn, struct queues *queues)
{
	sqlite3_stmt *stmt = weir__sql(conn, SQL_QUEUES, queues_text);
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir_queue_row *queue = add_row(
			queues, (const char *)sqlite3_column_text(stmt, 0));

		if (!queue) {
			code = SQLITE_NOMEM;
			break;
		}
		queue->created_at_ms = sqlite3_column_int64(stmt, 1);
		queue->paused_at_ms = sqlite3_column_int64(stmt, 2);
		queue->finished =
			weir__sqlite_policy(sqlite3_column_int(stmt, 3));
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int
compare(const void *name, const void *queue)
{
	return strcmp(name, ((const weir_queue_row *)queue)->name);
}

/* NULL: jobs of a queue that has no row are nobody's. */
static weir_queue_row *
find(const struct queues *queues, weir_queue_row *last, const char *name)
{
	/* Mostly it is that of the job before. */
	if (last && strcmp(last->name, name) == 0)
		return last;
	return queues->count > 0 ? bsearch(name, queues->all, queues->count,
					   sizeof(queues->all[0]), compare)
				 : NULL;
}

static int
read_counts(struct sqlite_conn *conn, struct queues *queues)
{
	sqlite3_stmt *stmt = weir__sql(conn, SQL_QUEUE_COUNTS, counts_text);
	weir_queue_row *queue = NULL;
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);
		int64_t state = sqlite3_column_int64(stmt, 1);

		queue = find(queues, queue, name ? name : "");
		if (queue && state >= 0 && state < 8)
			queue->counts[state] +=
				(uint64_t)sqlite3_column_int64(stmt, 2);
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Both as of one moment. */
static int
read_all(struct sqlite_conn *conn, struct queues *queues)
{
	int code = sqlite3_exec(conn->db, "BEGIN", NULL, NULL, NULL);

	if (code != SQLITE_OK)
		return code;
	code = read_queues(conn, queues);
	if (code == SQLITE_OK)
		code = read_counts(conn, queues);
	/* Nothing was written, so it does not matter how it ends. */
	(void)sqlite3_exec(conn->db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

weir_status
weir__sqlite_queues(weir_store *store, weir_queue_row_fn *row, void *user,
		    weir_error *reterr)
{
	struct weir_sqlite *sqlite = weir__sqlite_of(store);
	struct queues queues = {NULL, 0, 0};
	weir_status status = WEIR_OK;
	int code;

	weir__mutex_lock(&sqlite->read_mu);
	code = read_all(&sqlite->reader, &queues);
	if (code != SQLITE_OK)
		status = weir__sqlite_failed(&sqlite->reader, code,
					     "cannot read", reterr);
	for (size_t i = 0; status == WEIR_OK && i < queues.count; i++)
		if (!row(&queues.all[i], user))
			break;
	weir__mutex_unlock(&sqlite->read_mu);
	queues_fini(&queues);
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
