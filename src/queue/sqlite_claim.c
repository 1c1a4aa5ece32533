/*
 * Claiming jobs for a process that is not alone.
 *
 * Design.  Two statements in one transaction: the jobs are read in order along
 * job_claim, which holds what is available and nothing else, so that it takes
 * as long with ten million jobs waiting as with ten; then they are marked as
 * ours by their ids, a range or a list at a time.  One UPDATE ... RETURNING was
 * rejected: it gives its rows in no order, after it has built a table of all of
 * them.
 *
 * attempted_at is what a claim is fenced by, together with the attempt, which
 * a release gives back; so it always grows, even if the clock does not.
 */
#include "queue/sqlite.h"

#include "base/assert.h"
#include "base/json.h"

#include <stdio.h>

#define IDS 64

/* From so many ids in a row on, a range is quicker than a list. */
#define RANGE_LEAST 4

#define KIND_IN  " AND kind IN (SELECT value FROM json_each(?4))"
#define KIND_OUT " AND kind NOT IN (SELECT value FROM json_each(?4))"

#define SELECT_CLAIM(where, kinds)                              \
	"SELECT " SQLITE_CLAIM_COLUMNS " FROM job WHERE " where \
	" AND queue = ?1 AND scheduled_at <= ?2" kinds          \
	" ORDER BY priority, scheduled_at, id LIMIT ?3"
#define INNOCENT "state = 0 AND crashes = 0"
#define SUSPECT  SQLITE_IN_MARK " AND state = 0 AND mark > 0"

static const char *const claim_texts[] = {
	SELECT_CLAIM(INNOCENT, ""),
	SELECT_CLAIM(INNOCENT, KIND_IN),
	SELECT_CLAIM(INNOCENT, KIND_OUT),
};

static const char *const suspect_texts[] = {
	SELECT_CLAIM(SUSPECT, ""),
	SELECT_CLAIM(SUSPECT, KIND_IN),
	SELECT_CLAIM(SUSPECT, KIND_OUT),
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
			weir__sqlite_policy(sqlite3_column_int(stmt, 1));
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

/* The fourth parameter, if the text has one. */
static int
bind_kinds(sqlite3_stmt *stmt, const struct weir_turn *turn)
{
	struct weir_buf kinds = {0};
	int code = SQLITE_NOMEM;

	if (put_kinds(turn, &kinds))
		code = sqlite3_bind_text(stmt, 4, kinds.data, (int)kinds.len,
					 SQLITE_TRANSIENT);
	weir__buf_fini(&kinds);
	return code;
}

int
weir__sqlite_claim_statement(struct sqlite_turn *t, enum sqlite_sql sql,
			     const char *const texts[3], const char *queue,
			     sqlite3_stmt **ret)
{
	unsigned which = which_kinds(t->turn);
	sqlite3_stmt *stmt =
		weir__sql(t->conn, sql + (enum sqlite_sql)which, texts[which]);

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	*ret = stmt;
	weir__sql_bind_text(stmt, 1, queue, strlen(queue));
	(void)sqlite3_bind_int64(stmt, 2, t->now_ms);
	return which > 0 ? bind_kinds(stmt, t->turn) : SQLITE_OK;
}

static int
claim_from(struct sqlite_turn *t, bool suspects, const char *queue,
	   uint32_t count, uint32_t *ret_count)
{
	sqlite3_stmt *stmt = NULL;
	weir_job_row row;
	int code = weir__sqlite_claim_statement(
		t, suspects ? SQL_CLAIM_SUSPECT : SQL_CLAIM,
		suspects ? suspect_texts : claim_texts, queue, &stmt);

	if (code != SQLITE_OK)
		return code;
	/* Alone, those that we run are among them. */
	(void)sqlite3_bind_int64(stmt, 3, t->alone ? -1 : (int64_t)count);
	while (code == SQLITE_OK && *ret_count < count &&
	       (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir__sqlite_claim_row(stmt, queue, &row);
		/* Ids are counted from 1, and memory takes 0 for none. */
		if (row.id <= 0) {
			(void)sqlite3_reset(stmt);
			return SQLITE_CORRUPT;
		}
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

#define MARK                                                    \
	"UPDATE job SET state = 6, attempt = attempt + 1,"      \
	" attempted_at = max(?1, ifnull(attempted_at, 0) + 1)," \
	" owner = ?2, attempted_by = ?3 WHERE "

static sqlite3_stmt *
mark_statement(struct sqlite_conn *conn)
{
	struct weir_buf text = {0};
	sqlite3_stmt *stmt = conn->statements[SQL_CLAIM_MARK];

	if (stmt)
		return stmt;
	weir__buf_puts(&text, MARK "id IN (");
	for (int i = 0; i < IDS; i++)
		weir__buf_printf(&text, "%s?%d", i > 0 ? "," : "", i + 4);
	weir__buf_putc(&text, ')');
	if (!text.failed)
		stmt = weir__sql(conn, SQL_CLAIM_MARK, text.data);
	weir__buf_fini(&text);
	return stmt;
}

/* Those that stmt names are ours from now on. */
static int
mark(struct sqlite_turn *t, sqlite3_stmt *stmt, size_t count)
{
	const struct weir_owner *owner = t->turn->owner;
	int code;

	(void)sqlite3_bind_int64(stmt, 1, t->now_ms);
	(void)sqlite3_bind_int64(stmt, 2, owner->id);
	weir__sql_bind_text(stmt, 3, owner->name, strlen(owner->name));
	code = weir__sql_done(stmt);
	/* Less or more would be rows that nobody has claimed, or two have. */
	if (code == SQLITE_OK && sqlite3_changes(t->conn->db) != (int)count)
		return SQLITE_CORRUPT;
	return code;
}

/* As many as one statement takes, from there on. */
static int
mark_some(struct sqlite_turn *t, size_t from, size_t count)
{
	sqlite3_stmt *stmt = mark_statement(t->conn);

	if (!stmt)
		return SQLITE_NOMEM;
	for (size_t i = 0; i < IDS; i++)
		weir__sql_bind_some(stmt, (int)i + 4,
				    i < count ? t->gather->rows[from + i].id
					      : 0);
	return mark(t, stmt, count);
}

/* All ids of a range are those of rows of ours. */
static int
mark_range(struct sqlite_turn *t, size_t from, size_t count)
{
	const weir_job_row *rows = &t->gather->rows[from];
	sqlite3_stmt *stmt = weir__sql(t->conn, SQL_CLAIM_MARK_RANGE,
				       MARK "id BETWEEN ?4 AND ?5");

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	(void)sqlite3_bind_int64(stmt, 4, rows[0].id);
	(void)sqlite3_bind_int64(stmt, 5, rows[count - 1].id);
	return mark(t, stmt, count);
}

/* Rows whose ids follow each other. */
static size_t
range_len(const struct weir_gather *gather, size_t from)
{
	size_t len = 1;

	while (from + len < gather->count &&
	       gather->rows[from + len].id ==
		       gather->rows[from].id + (int64_t)len)
		len++;
	return len;
}

/* Rows from there on are ours from now on; alone, memory says so. */
static int
mark_all(struct sqlite_turn *t, size_t from)
{
	size_t len, left;
	int code = SQLITE_OK;

	for (; from < t->gather->count && code == SQLITE_OK && !t->alone;
	     from += len) {
		len = range_len(t->gather, from);
		left = t->gather->count - from;
		if (len >= RANGE_LEAST) {
			code = mark_range(t, from, len);
			continue;
		}
		len = left < IDS ? left : IDS;
		code = mark_some(t, from, len);
	}
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

/*
 * As the row is now, without reading it again.  Alone it does not know of the
 * claims of one who has left, which were in memory, so that time goes on from
 * there.
 */
static void
note_claimed(const struct sqlite_turn *t, struct weir_batch *batch)
{
	struct weir_sqlite *store = t->store;
	int64_t now_ms = t->now_ms;

	if (t->alone && now_ms < store->alone_first_ms)
		now_ms = store->alone_first_ms;
	for (size_t i = 0; i < batch->count; i++) {
		weir_job_row *row = &batch->claims[i].row;

		row->state = WEIR_JOB_RUNNING;
		row->attempt++;
		row->attempted_at_ms = row->attempted_at_ms >= now_ms
					       ? row->attempted_at_ms + 1
					       : now_ms;
		row->attempted_by = t->turn->owner->name;
		if (t->alone && row->attempted_at_ms > store->alone_last_ms)
			store->alone_last_ms = row->attempted_at_ms;
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
