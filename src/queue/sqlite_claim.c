/*
 * Claiming jobs for a process that is not alone.
 *
 * Design.  Two statements in one transaction: the jobs are read in order along
 * job_claim, which holds what is available and nothing else, so that it takes
 * as long with ten million jobs waiting as with ten; then they are marked as
 * ours by their ids, 64 at a time.  One UPDATE ... RETURNING was rejected: it
 * gives its rows in no order, after it has built a table of all of them.
 *
 * attempted_at is what a claim is fenced by, together with the attempt, which
 * a release gives back; so it always grows, even if the clock does not.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "base/json.h"

#include <stdio.h>

#define IDS 64

#define KIND_IN  " AND kind IN (SELECT value FROM json_each(?4))"
#define KIND_OUT " AND kind NOT IN (SELECT value FROM json_each(?4))"

#define SELECT_CLAIM(crashes, kinds)                              \
	"SELECT " SQLITE_JOB_COLUMNS " FROM job"                  \
	" WHERE state = 0 AND crashes " crashes " AND queue = ?1" \
	" AND scheduled_at <= ?2" kinds                           \
	" ORDER BY priority, scheduled_at, id LIMIT ?3"

static const char *const claim_texts[] = {
	SELECT_CLAIM("= 0", ""),
	SELECT_CLAIM("= 0", KIND_IN),
	SELECT_CLAIM("= 0", KIND_OUT),
};

static const char *const suspect_texts[] = {
	SELECT_CLAIM("<> 0", ""),
	SELECT_CLAIM("<> 0", KIND_IN),
	SELECT_CLAIM("<> 0", KIND_OUT),
};

int
weir__sqlite_queue_get(struct sqlite_conn *conn, const char *queue,
		       bool *ret_paused, weir_finished_policy *ret_finished)
{
	sqlite3_stmt *stmt = weir__sql(conn, SQL_QUEUE_GET,
				       "SELECT paused_at IS NOT NULL, finished"
				       " FROM queue WHERE name = ?1");
	int code;

	*ret_paused = false;
	*ret_finished = WEIR_FINISHED_KEEP;
	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	weir__sql_bind_text(stmt, 1, queue, strlen(queue));
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		*ret_paused = sqlite3_column_int(stmt, 0) != 0;
		*ret_finished =
			(weir_finished_policy)sqlite3_column_int(stmt, 1);
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Which of three texts, and the kinds as a JSON array for it. */
static unsigned
which_kinds(const struct weir_turn *turn)
{
	return !turn->kinds ? 0 : turn->kinds_left_out ? 2 : 1;
}

static bool
put_kinds(const struct weir_turn *turn, struct weir_buf *buf)
{
	struct weir_json json;

	weir__json_init(&json, buf);
	weir__json_begin_array(&json);
	for (size_t i = 0; i < turn->kind_count; i++)
		weir__json_puts(&json, turn->kinds[i]);
	weir__json_end_array(&json);
	return !buf->failed;
}

sqlite3_stmt *
weir__sqlite_claim_statement(struct sqlite_turn *t, enum sqlite_sql sql,
			     const char *const texts[3], const char *queue)
{
	unsigned which = which_kinds(t->turn);
	sqlite3_stmt *stmt =
		weir__sql(t->conn, sql + (enum sqlite_sql)which, texts[which]);
	struct weir_buf kinds = {0};

	if (!stmt)
		return NULL;
	weir__sql_bind_text(stmt, 1, queue, strlen(queue));
	(void)sqlite3_bind_int64(stmt, 2, t->now_ms);
	if (which > 0) {
		/* Without memory nothing is among these kinds. */
		if (!put_kinds(t->turn, &kinds))
			weir__buf_reset(&kinds);
		(void)sqlite3_bind_text(stmt, 4, weir__buf_str(&kinds),
					(int)kinds.len, SQLITE_TRANSIENT);
		weir__buf_fini(&kinds);
	}
	return stmt;
}

static int
claim_from(struct sqlite_turn *t, bool suspects, const char *queue,
	   uint32_t count, uint32_t *ret_count)
{
	sqlite3_stmt *stmt = weir__sqlite_claim_statement(
		t, suspects ? SQL_CLAIM_SUSPECT : SQL_CLAIM,
		suspects ? suspect_texts : claim_texts, queue);
	weir_job_row row;
	int code = SQLITE_OK;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	/* Alone, those that we run are among them. */
	(void)sqlite3_bind_int64(stmt, 3, t->alone ? -1 : (int64_t)count);
	while (code == SQLITE_OK && *ret_count < count &&
	       (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir__sqlite_row(stmt, &row);
		code = SQLITE_OK;
		if (t->alone && weir__alone_has(t->alone, row.id))
			continue;
		code = weir__gather_add(t->gather, &row) ? SQLITE_OK
							 : SQLITE_NOMEM;
		++*ret_count;
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Is there a suspect that this claim has passed over? */
static int
look_for_suspects(struct sqlite_turn *t, const struct weir_want *want)
{
	size_t before = t->gather->count;
	uint32_t count = 0;
	int code = claim_from(t, true, want->queue, 1, &count);

	if (count > 0)
		t->turn->suspects = true;
	t->gather->count = before;
	return code;
}

static sqlite3_stmt *
mark_statement(struct sqlite_conn *conn)
{
	struct weir_buf text = {0};
	sqlite3_stmt *stmt = conn->statements[SQL_CLAIM_MARK];

	if (stmt)
		return stmt;
	weir__buf_puts(&text,
		       "UPDATE job SET state = 6, attempt = attempt + 1,"
		       " attempted_at = max(?1, ifnull(attempted_at, 0) + 1),"
		       " owner = ?2, attempted_by = ?3 WHERE id IN (");
	for (int i = 0; i < IDS; i++)
		weir__buf_puts(&text, i > 0 ? ",?" : "?");
	weir__buf_putc(&text, ')');
	if (!text.failed)
		stmt = weir__sql(conn, SQL_CLAIM_MARK, text.data);
	weir__buf_fini(&text);
	return stmt;
}

/* Rows from..from + IDS are ours from now on. */
static int
mark(struct sqlite_turn *t, size_t from)
{
	const struct weir_owner *owner = t->turn->owner;
	sqlite3_stmt *stmt = mark_statement(t->conn);
	size_t left = t->gather->count - from;
	int code;

	if (!stmt)
		return SQLITE_NOMEM;
	(void)sqlite3_bind_int64(stmt, 1, t->now_ms);
	(void)sqlite3_bind_int64(stmt, 2, owner->id);
	weir__sql_bind_text(stmt, 3, owner->name, strlen(owner->name));
	for (size_t i = 0; i < IDS; i++)
		weir__sql_bind_some(stmt, (int)i + 4,
				    i < left ? t->gather->rows[from + i].id
					     : 0);
	code = weir__sql_done(stmt);
	if (code == SQLITE_OK)
		weir_assert(sqlite3_changes(t->conn->db) ==
			    (int)(left < IDS ? left : IDS));
	return code;
}

/* Rows from there on are ours from now on; alone, memory says so. */
static int
mark_all(struct sqlite_turn *t, size_t from)
{
	int code = SQLITE_OK;

	for (; from < t->gather->count && code == SQLITE_OK && !t->alone;
	     from += IDS)
		code = mark(t, from);
	return code;
}

/* It is to be the only one of the turn. */
static int
claim_suspect(struct sqlite_turn *t, const struct weir_want *want)
{
	uint32_t count = 0;
	int code;

	if (t->gather->count > 0)
		return SQLITE_OK;
	code = claim_from(t, true, want->queue, 1, &count);
	t->has_suspect = count > 0;
	return code == SQLITE_OK ? mark_all(t, 0) : code;
}

static int
claim_want(struct sqlite_turn *t, const struct weir_want *want)
{
	weir_finished_policy finished;
	size_t before = t->gather->count;
	uint32_t count = 0;
	bool paused;
	int code;

	code = weir__sqlite_queue_get(t->conn, want->queue, &paused, &finished);
	if (code != SQLITE_OK || paused || want->count == 0)
		return code;
	if (want->alone)
		return claim_suspect(t, want);
	if (t->has_suspect)
		return SQLITE_OK;
	if (t->alone)
		code = weir__alone_claim(t, want, &count);
	else
		code = claim_from(t, false, want->queue, want->count, &count);
	/* Now, so that another want of this queue does not see them. */
	if (code == SQLITE_OK)
		code = mark_all(t, before);
	if (code == SQLITE_OK && count == want->count)
		t->turn->more = true;
	if (code == SQLITE_OK)
		code = look_for_suspects(t, want);
	return code;
}

/* As the row is now, without reading it again. */
static void
note_claimed(const struct sqlite_turn *t, struct weir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		weir_job_row *row = &batch->claims[i].row;

		row->state = WEIR_JOB_RUNNING;
		row->attempt++;
		row->attempted_at_ms = row->attempted_at_ms >= t->now_ms
					       ? row->attempted_at_ms + 1
					       : t->now_ms;
		row->attempted_by = t->turn->owner->name;
	}
}

int
weir__sqlite_claim_all(struct sqlite_turn *t)
{
	struct weir_turn *turn = t->turn;
	int code = SQLITE_OK;

	weir__gather_begin(t->gather);
	t->has_suspect = false;
	for (size_t i = 0; i < turn->want_count && code == SQLITE_OK; i++)
		code = claim_want(t, &turn->wants[i]);
	if (code != SQLITE_OK || t->gather->count == 0)
		return code;
	turn->batch = weir__gather_batch(t->gather);
	if (!turn->batch)
		return SQLITE_NOMEM;
	note_claimed(t, turn->batch);
	return SQLITE_OK;
}
