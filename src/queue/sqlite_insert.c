/*
 * Inserting jobs.
 *
 * Design.  What an INSERT costs is mostly what is around it: a cursor for the
 * table and one for each index, opened and closed.  So plain jobs, which most
 * are, go in by fifties, which doubles the rate; the rest of them, and those
 * with a unique key or tags or metadata, one by one.
 *
 * Ids come from a counter, a whole batch's at once, and are never used again:
 * they are idempotency keys, and SQLite without AUTOINCREMENT would give the
 * id of a deleted last row to the next one.  AUTOINCREMENT itself writes its
 * counter for each statement.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define PLAIN_ROWS   50
#define PLAIN_VALUES 9

static int
take_ids(struct sqlite_conn *conn, size_t count, int64_t *ret_first)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_IDS,
		"UPDATE counter SET value = value + ?1 WHERE name = 'job'"
		" RETURNING value");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_int64(stmt, 1, (int64_t)count);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*ret_first = sqlite3_column_int64(stmt, 0) - (int64_t)count + 1;
	(void)sqlite3_reset(stmt);
	if (code == SQLITE_ROW)
		return *ret_first > 0 ? SQLITE_OK : SQLITE_CORRUPT;
	return code == SQLITE_DONE ? SQLITE_CORRUPT : code;
}

/* A queue that has a job has a row; the last few are remembered. */
static int
add_queue(struct sqlite_conn *conn, const struct weir_draft *draft)
{
	sqlite3_stmt *stmt;
	int code;

	for (unsigned i = 0; i < 8; i++)
		if (strcmp(conn->queues[i], draft->queue) == 0)
			return SQLITE_OK;
	stmt = weir__sql(conn, SQL_QUEUE_ADD,
			 "INSERT INTO queue (name, created_at) VALUES (?1, ?2)"
			 " ON CONFLICT DO NOTHING");
	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	weir__sql_bind_text(stmt, 1, draft->queue, draft->queue_len);
	(void)sqlite3_bind_int64(stmt, 2, draft->created_at_ms);
	code = weir__sql_done(stmt);
	if (code == SQLITE_OK)
		snprintf(conn->queues[conn->queue_next++ % 8],
			 sizeof(conn->queues[0]), "%s", draft->queue);
	return code;
}

static bool
is_plain(const struct weir_draft *draft)
{
	return !draft->unique_key && !draft->tags && !draft->metadata &&
	       draft->timeout_ns == 0;
}

static void
bind_plain(sqlite3_stmt *stmt, int at, int64_t id,
	   const struct weir_draft *draft)
{
	(void)sqlite3_bind_int64(stmt, at, id);
	(void)sqlite3_bind_int(stmt, at + 1, (int)draft->state);
	(void)sqlite3_bind_int64(stmt, at + 2, draft->priority);
	(void)sqlite3_bind_int64(stmt, at + 3, draft->scheduled_at_ms);
	(void)sqlite3_bind_int64(stmt, at + 4, draft->max_attempts);
	(void)sqlite3_bind_int64(stmt, at + 5, draft->created_at_ms);
	weir__sql_bind_text(stmt, at + 6, draft->queue, draft->queue_len);
	weir__sql_bind_text(stmt, at + 7, draft->kind, draft->kind_len);
	weir__sql_bind_text(stmt, at + 8, draft->args, draft->args_len);
}

#define INSERT_COLUMNS                                        \
	"INSERT INTO job (id, state, priority, scheduled_at," \
	" max_attempts, created_at, queue, kind, args"

static sqlite3_stmt *
many_statement(struct sqlite_conn *conn)
{
	struct weir_buf text = {0};
	sqlite3_stmt *stmt = conn->statements[SQL_INSERT_PLAIN];

	if (stmt)
		return stmt;
	weir__buf_puts(&text, INSERT_COLUMNS ") VALUES ");
	for (int i = 0; i < PLAIN_ROWS; i++)
		weir__buf_printf(&text, "%s(?,?,?,?,?,?,?,?,?)",
				 i > 0 ? "," : "");
	if (!text.failed)
		stmt = weir__sql(conn, SQL_INSERT_PLAIN, text.data);
	weir__buf_fini(&text);
	return stmt;
}

/* Does it differ from the first in nothing but its args? */
static bool
is_same(const struct weir_draft *first, const struct weir_draft *draft)
{
	return first->state == draft->state &&
	       first->priority == draft->priority &&
	       first->scheduled_at_ms == draft->scheduled_at_ms &&
	       first->max_attempts == draft->max_attempts &&
	       first->created_at_ms == draft->created_at_ms &&
	       first->queue_len == draft->queue_len &&
	       first->kind_len == draft->kind_len &&
	       memcmp(first->queue, draft->queue, draft->queue_len) == 0 &&
	       memcmp(first->kind, draft->kind, draft->kind_len) == 0;
}

static bool
are_same(const struct weir_draft *drafts)
{
	for (int i = 1; i < PLAIN_ROWS; i++)
		if (!is_same(&drafts[0], &drafts[i]))
			return false;
	return true;
}

/* The same for jobs that share all but id and args: a third of the values. */
static sqlite3_stmt *
same_statement(struct sqlite_conn *conn)
{
	struct weir_buf text = {0};
	sqlite3_stmt *stmt = conn->statements[SQL_INSERT_SAME];

	if (stmt)
		return stmt;
	weir__buf_puts(&text, INSERT_COLUMNS ") VALUES ");
	for (int i = 0; i < PLAIN_ROWS; i++)
		weir__buf_printf(&text, "%s(?%d,?2,?3,?4,?5,?6,?7,?8,?%d)",
				 i > 0 ? "," : "", i == 0 ? 1 : 8 + i * 2,
				 9 + i * 2);
	if (!text.failed)
		stmt = weir__sql(conn, SQL_INSERT_SAME, text.data);
	weir__buf_fini(&text);
	return stmt;
}

static int
insert_same(struct sqlite_conn *conn, int64_t id,
	    const struct weir_draft *drafts)
{
	sqlite3_stmt *stmt = same_statement(conn);

	if (!stmt)
		return SQLITE_NOMEM;
	bind_plain(stmt, 1, id, drafts);
	for (int i = 1; i < PLAIN_ROWS; i++) {
		(void)sqlite3_bind_int64(stmt, 8 + i * 2, id + i);
		weir__sql_bind_text(stmt, 9 + i * 2, drafts[i].args,
				    drafts[i].args_len);
	}
	return weir__sql_done(stmt);
}

static int
insert_many(struct sqlite_conn *conn, int64_t id,
	    const struct weir_draft *drafts)
{
	sqlite3_stmt *stmt = many_statement(conn);

	if (!stmt)
		return SQLITE_NOMEM;
	for (int i = 0; i < PLAIN_ROWS; i++)
		bind_plain(stmt, i * PLAIN_VALUES + 1, id + i, &drafts[i]);
	return weir__sql_done(stmt);
}

static int
insert_plain(struct sqlite_conn *conn, int64_t id,
	     const struct weir_draft *draft)
{
	sqlite3_stmt *stmt =
		weir__sql(conn, SQL_INSERT_ONE,
			  INSERT_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?)");

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	bind_plain(stmt, 1, id, draft);
	return weir__sql_done(stmt);
}

/* The job that has that key; it exists, for it has just been in our way. */
static int
find_duplicate(struct sqlite_conn *conn, const struct weir_draft *draft,
	       weir_inserted *ret)
{
	sqlite3_stmt *stmt =
		weir__sql(conn, SQL_INSERT_DUPLICATE,
			  "SELECT id, state FROM job"
			  " WHERE unique_key = ?1 AND unique_key IS NOT NULL"
			  " AND (unique_states >> state) & 1");
	int code;

	if (!ret)
		return SQLITE_OK;
	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	(void)sqlite3_bind_blob(stmt, 1, draft->unique_key, 32, SQLITE_STATIC);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		ret->id = sqlite3_column_int64(stmt, 0);
		ret->state = (weir_state)(sqlite3_column_int(stmt, 1) & 7);
		ret->duplicate = true;
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW    ? SQLITE_OK
	       : code == SQLITE_DONE ? SQLITE_CORRUPT
				     : code;
}

static int
insert_other(struct sqlite_conn *conn, int64_t id,
	     const struct weir_draft *draft, weir_inserted *ret)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_INSERT_OTHER,
		INSERT_COLUMNS
		", timeout, tags, metadata, unique_states, unique_key)"
		" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL"
		" AND (unique_states >> state) & 1 DO NOTHING");
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	bind_plain(stmt, 1, id, draft);
	weir__sql_bind_some(stmt, 10, draft->timeout_ns);
	weir__sql_bind_text(stmt, 11, draft->tags, draft->tags_len);
	weir__sql_bind_text(stmt, 12, draft->metadata, draft->metadata_len);
	weir__sql_bind_some(stmt, 13, draft->unique_states);
	if (draft->unique_key)
		(void)sqlite3_bind_blob(stmt, 14, draft->unique_key, 32,
					SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(stmt, 14);
	code = weir__sql_done(stmt);
	if (code == SQLITE_OK && sqlite3_changes(conn->db) == 0)
		return find_duplicate(conn, draft, ret);
	return code;
}

static void
put_result(weir_inserted *ret, int64_t id, const struct weir_draft *draft)
{
	ret->id = id;
	ret->state = draft->state;
	ret->duplicate = false;
}

/* As many plain ones as are next to each other and make a row of rows. */
static size_t
plain_run(const struct weir_draft *drafts, size_t count)
{
	size_t len = 0;

	while (len < count && len < PLAIN_ROWS && is_plain(&drafts[len]))
		len++;
	return len;
}

static int
insert_next(struct sqlite_conn *conn, int64_t id,
	    const struct weir_draft *drafts, size_t count, weir_inserted *rets,
	    size_t *ret_count)
{
	size_t run = plain_run(drafts, count);

	*ret_count = run == PLAIN_ROWS ? run : 1;
	for (size_t i = 0; rets && i < *ret_count; i++)
		put_result(&rets[i], id + (int64_t)i, &drafts[i]);
	if (run == PLAIN_ROWS)
		return are_same(drafts) ? insert_same(conn, id, drafts)
					: insert_many(conn, id, drafts);
	if (run > 0)
		return insert_plain(conn, id, drafts);
	return insert_other(conn, id, drafts, rets);
}

weir_status
weir__sqlite_insert_in(struct sqlite_conn *conn,
		       const struct weir_draft *drafts, size_t count,
		       weir_inserted *rets, bool *ret_wakes, weir_error *reterr)
{
	int64_t first = 0;
	size_t step;
	int code = take_ids(conn, count, &first);

	for (size_t i = 0; code == SQLITE_OK && i < count; i++)
		code = add_queue(conn, &drafts[i]);
	for (size_t i = 0; code == SQLITE_OK && i < count; i += step) {
		code = insert_next(conn, first + (int64_t)i, &drafts[i],
				   count - i, rets ? &rets[i] : NULL, &step);
		/* Who waits for a time has to learn of an earlier one. */
		if (drafts[i].state != WEIR_JOB_PENDING)
			*ret_wakes = true;
	}
	if (code != SQLITE_OK)
		return weir__sqlite_failed(conn, code, "cannot insert", reterr);
	return WEIR_OK;
}

struct insert {
	const struct weir_draft *drafts;
	size_t count;
	weir_inserted *rets;
};

static weir_status
run_insert(struct sqlite_request *request, struct sqlite_conn *conn)
{
	const struct insert *insert = request->arg;

	return weir__sqlite_insert_in(conn, insert->drafts, insert->count,
				      insert->rets, &request->wakes,
				      &request->error);
}

weir_status
weir__sqlite_insert(weir_store *store, const struct weir_draft *drafts,
		    size_t count, weir_inserted *rets, weir_ctx *ctx,
		    weir_error *reterr)
{
	/* The caller's are not written unless it is committed. */
	weir_inserted few[16],
		*made = count > 16 && rets ? calloc(count, sizeof(*made)) : few;
	struct insert insert = {drafts, count, rets ? made : NULL};
	struct sqlite_request request = {
		.run = run_insert,
		.arg = &insert,
		.ctx = ctx,
		.durable = true,
	};
	weir_status status;

	weir_assert(count > 0);
	if (!made)
		return weir__queue_error(reterr, WEIR_NOMEM, 0,
					 "out of memory");
	status = weir__sqlite_ask(weir__sqlite_of(store), &request, reterr);
	if (status == WEIR_OK && rets)
		memcpy(rets, made, count * sizeof(*made));
	if (made != few)
		free(made);
	return status;
}
