/*
 * Claims that are kept in memory, by the one process that works the store.
 *
 * Design.  A claim only reads: the job stays available in the database, and
 * our table of leases says that it is taken.  If we die the lock on the
 * sidecar is gone, and so are the leases: the jobs are available, as the
 * database has said all along.  What is missing then is whose fault it was, so
 * each batch leaves a note (its ids, with the time of the claim), written in
 * the commit that is made anyway and deleted when all its jobs have ended;
 * whoever works the store next counts a crash for each job that a note still
 * names.
 *
 *      cursor, for each queue and priority
 *        v
 *      | done | leased leased leased | available ........ |   along job_claim
 *
 * A claim goes on behind the last one.  What comes in front of the cursor (a
 * retry, an insert with an older time) is found by a sweep from the start: when
 * a claim comes back short, and at least once a second.
 *
 * Memory changes only after the commit (weir__alone_committed), so a
 * transaction that is rolled back leaves nothing to undo here.
 */
#include "queue/sqlite.h"

#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

#define QUEUES_MAX    64
#define PRIORITIES    4
#define SWEEP_NS      WEIR_S
#define NOTES_AT_ONCE 256

/* Bytes of a job in a note. */
#define ENTRY 16

/* Of a batch: how many of its jobs are not over, and its row. */
struct note {
	int64_t row;
	uint32_t left;
};

/* A slot of the table; job 0: empty.  The time is what the claim has. */
struct lease {
	int64_t job, attempted_at_ms;
	uint32_t attempt;
	struct note *note;
	uint64_t ended_in; /* the turn that has finished it, if it commits */
};

struct place {
	int64_t scheduled_at, id;
};

struct cursor {
	char queue[65];
	struct place at[PRIORITIES];
	/* Where they will be if this transaction commits. */
	struct place next[PRIORITIES];
	bool touched;
	int64_t swept_ns;
};

struct sqlite_alone {
	struct lease *leases;
	size_t count, cap; /* cap is a power of two */
	uint64_t turn;     /* counts them */
	struct cursor cursors[QUEUES_MAX];
	unsigned cursor_count;
	/* Notes whose jobs have all ended: to be deleted in the next turn. */
	int64_t over[NOTES_AT_ONCE];
	unsigned over_count, deleted_count;
	struct note *note; /* of the batch of this transaction */
};

struct sqlite_alone *
weir__alone_new(void)
{
	struct sqlite_alone *alone = calloc(1, sizeof(*alone));

	if (!alone)
		return NULL;
	alone->cap = 1024;
	alone->leases = calloc(alone->cap, sizeof(*alone->leases));
	if (!alone->leases) {
		free(alone);
		return NULL;
	}
	return alone;
}

void
weir__alone_free(struct sqlite_alone *alone)
{
	if (!alone)
		return;
	/* Those that share a note are not next to each other. */
	for (size_t i = 0; i < alone->cap; i++)
		if (alone->leases[i].job && --alone->leases[i].note->left == 0)
			free(alone->leases[i].note);
	free(alone->leases);
	free(alone->note);
	free(alone);
}

static size_t
slot_of(const struct sqlite_alone *alone, int64_t job)
{
	uint64_t hash = (uint64_t)job * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(hash >> 32) & (alone->cap - 1);

	while (alone->leases[at].job && alone->leases[at].job != job)
		at = (at + 1) & (alone->cap - 1);
	return at;
}

bool
weir__alone_has(const struct sqlite_alone *alone, int64_t job)
{
	const struct lease *lease = &alone->leases[slot_of(alone, job)];

	return lease->job == job && lease->ended_in != alone->turn;
}

bool
weir__alone_end(struct sqlite_alone *alone, const weir_job_row *row)
{
	struct lease *lease = &alone->leases[slot_of(alone, row->id)];

	if (lease->job != row->id || lease->ended_in == alone->turn ||
	    lease->attempted_at_ms != row->attempted_at_ms ||
	    lease->attempt != row->attempt)
		return false;
	lease->ended_in = alone->turn;
	return true;
}

/* Make room for that many more, before anything depends on it. */
static bool
reserve(struct sqlite_alone *alone, size_t more)
{
	struct sqlite_alone larger = *alone;

	while (larger.cap < (alone->count + more) * 2)
		larger.cap *= 2;
	if (larger.cap == alone->cap)
		return true;
	larger.leases = calloc(larger.cap, sizeof(*larger.leases));
	if (!larger.leases)
		return false;
	for (size_t i = 0; i < alone->cap; i++)
		if (alone->leases[i].job)
			larger.leases[slot_of(&larger, alone->leases[i].job)] =
				alone->leases[i];
	free(alone->leases);
	alone->leases = larger.leases;
	alone->cap = larger.cap;
	return true;
}

/* Take one out, and close the gap for those that were pushed on by it. */
static void
drop(struct sqlite_alone *alone, const weir_job_row *row)
{
	size_t gap = slot_of(alone, row->id), at = gap;
	struct note *note = alone->leases[gap].note;

	/* It may be leased once more by now, with a later time. */
	if (alone->leases[gap].job != row->id ||
	    alone->leases[gap].attempt != row->attempt ||
	    alone->leases[gap].attempted_at_ms != row->attempted_at_ms)
		return;
	alone->leases[gap].job = 0;
	alone->count--;
	for (;;) {
		struct lease moved;

		at = (at + 1) & (alone->cap - 1);
		moved = alone->leases[at];
		if (!moved.job)
			break;
		alone->leases[at].job = 0;
		alone->leases[slot_of(alone, moved.job)] = moved;
	}
	weir_assert(note->left > 0);
	if (--note->left > 0)
		return;
	/* A note that there is no room for is deleted by who comes next. */
	if (alone->over_count < NOTES_AT_ONCE)
		alone->over[alone->over_count++] = note->row;
	free(note);
}

static struct cursor *
cursor_of(struct sqlite_alone *alone, const char *queue)
{
	struct cursor *cursor;

	for (unsigned i = 0; i < alone->cursor_count; i++)
		if (strcmp(alone->cursors[i].queue, queue) == 0)
			return &alone->cursors[i];
	if (alone->cursor_count == QUEUES_MAX)
		return NULL;
	cursor = &alone->cursors[alone->cursor_count++];
	snprintf(cursor->queue, sizeof(cursor->queue), "%s", queue);
	return cursor;
}

/*
 * Behind a place, in two statements: what is due in the same millisecond as the
 * job there, and what is due later.  As one comparison, (scheduled_at, id) >
 * (?5, ?6), SQLite would look for the millisecond only and walk through all of
 * its jobs, which are a million if a million were inserted at once.
 */
#define ALONE_CLAIM(where, kinds)                          \
	"SELECT " SQLITE_CLAIM_COLUMNS " FROM job"         \
	" WHERE state = 0 AND crashes = 0 AND queue = ?1"  \
	" AND priority = ?3 AND scheduled_at " where kinds \
	" ORDER BY scheduled_at, id"
#define ALONE_CLAIMS(where)                                                  \
	{                                                                    \
		ALONE_CLAIM(where, ""),                                      \
			ALONE_CLAIM(where, " AND kind IN (SELECT value FROM" \
					   " json_each(?4))"),               \
			ALONE_CLAIM(where,                                   \
				    " AND kind NOT IN (SELECT value FROM"    \
				    " json_each(?4))"),                      \
	}

static const char *const same_texts[] = ALONE_CLAIMS("= ?5 AND id > ?6");
static const char *const later_texts[] =
	ALONE_CLAIMS("> ?5 AND scheduled_at <= ?2");

/* By another want of this turn? */
static bool
was_gathered(const struct weir_gather *gather, int64_t id)
{
	for (size_t i = 0; i < gather->count; i++)
		if (gather->rows[i].id == id)
			return true;
	return false;
}

/* By one of the two statements; *place is where it came to. */
static int
claim_rows(struct sqlite_turn *t, const struct weir_want *want, bool same,
	   int priority, struct place *place, bool again, uint32_t *ret_count)
{
	sqlite3_stmt *stmt = NULL;
	weir_job_row row;
	int code = weir__sqlite_claim_statement(
		t, same ? SQL_ALONE_SAME : SQL_ALONE_CLAIM,
		same ? same_texts : later_texts, want->queue, &stmt);

	if (code != SQLITE_OK)
		return code;
	code = SQLITE_DONE;
	(void)sqlite3_bind_int(stmt, 3, priority);
	(void)sqlite3_bind_int64(stmt, 5, place->scheduled_at);
	if (same)
		(void)sqlite3_bind_int64(stmt, 6, place->id);
	while (*ret_count < want->count &&
	       (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		weir__sqlite_claim_row(stmt, want->queue, &row);
		place->scheduled_at = row.scheduled_at_ms;
		place->id = row.id;
		if (weir__alone_has(t->alone, row.id) ||
		    (again && was_gathered(t->gather, row.id)))
			continue;
		if (!weir__gather_add(t->gather, &row)) {
			code = SQLITE_NOMEM;
			break;
		}
		++*ret_count;
	}
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Of one priority, from its place on. */
static int
claim_priority(struct sqlite_turn *t, const struct weir_want *want,
	       int priority, struct place *place, bool again,
	       uint32_t *ret_count)
{
	int code = SQLITE_OK;

	/* The clock may have been put back since. */
	if (place->id > 0 && place->scheduled_at <= t->now_ms)
		code = claim_rows(t, want, true, priority, place, again,
				  ret_count);
	if (code == SQLITE_OK && *ret_count < want->count)
		code = claim_rows(t, want, false, priority, place, again,
				  ret_count);
	return code;
}

static int
claim_priorities(struct sqlite_turn *t, const struct weir_want *want,
		 struct place places[PRIORITIES], bool again,
		 uint32_t *ret_count)
{
	int code = SQLITE_OK;

	for (int i = 0;
	     i < PRIORITIES && code == SQLITE_OK && *ret_count < want->count;
	     i++)
		code = claim_priority(t, want, i + 1, &places[i], again,
				      ret_count);
	return code;
}

/*
 * From where the last claim ended; or, if that is due or not enough is there,
 * from the start.
 */
int
weir__alone_claim(struct sqlite_turn *t, const struct weir_want *want,
		  uint32_t *ret_count)
{
	struct cursor *cursor = cursor_of(t->alone, want->queue);
	struct place places[PRIORITIES];
	size_t before = t->gather->count;
	int64_t now_ns = weir_now_ns();
	bool again = before > 0 && (!cursor || cursor->touched);
	int code = SQLITE_OK;

	if (cursor && now_ns - cursor->swept_ns < SWEEP_NS) {
		memcpy(places, cursor->touched ? cursor->next : cursor->at,
		       sizeof(places));
		code = claim_priorities(t, want, places, again, ret_count);
	}
	if (code == SQLITE_OK && *ret_count < want->count) {
		t->gather->count = before;
		*ret_count = 0;
		for (int i = 0; i < PRIORITIES; i++)
			places[i] = (struct place){INT64_MIN, 0};
		code = claim_priorities(t, want, places, again, ret_count);
		if (cursor)
			cursor->swept_ns = now_ns;
	}
	if (cursor && code == SQLITE_OK) {
		memcpy(cursor->next, places, sizeof(places));
		cursor->touched = true;
	}
	return code;
}

void
weir__alone_begin(struct sqlite_alone *alone)
{
	for (unsigned i = 0; i < alone->cursor_count; i++)
		alone->cursors[i].touched = false;
	free(alone->note);
	alone->note = NULL;
	alone->deleted_count = 0;
	alone->turn++;
}

/* 16 bytes for each job: its id and the time of our claim. */
static bool
put_note(struct weir_buf *buf, const struct weir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const weir_job_row *row = &batch->claims[i].row;

		weir__buf_append(buf, &row->id, sizeof(row->id));
		weir__buf_append(buf, &row->attempted_at_ms,
				 sizeof(row->attempted_at_ms));
	}
	return !buf->failed;
}

static int
add_note(struct sqlite_turn *t, const struct weir_batch *batch)
{
	sqlite3_stmt *stmt =
		weir__sql(t->conn, SQL_NOTE_ADD,
			  "INSERT INTO note (owner, jobs) VALUES (?1, ?2)");
	struct weir_buf jobs = {0};
	int code = SQLITE_NOMEM;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	t->alone->note = calloc(1, sizeof(*t->alone->note));
	if (t->alone->note && put_note(&jobs, batch) &&
	    reserve(t->alone, batch->count)) {
		(void)sqlite3_bind_int64(stmt, 1, t->turn->owner->id);
		(void)sqlite3_bind_blob(stmt, 2, jobs.data, (int)jobs.len,
					SQLITE_STATIC);
		code = weir__sql_done(stmt);
		t->alone->note->row = sqlite3_last_insert_rowid(t->conn->db);
		t->alone->note->left = (uint32_t)batch->count;
	}
	weir__buf_fini(&jobs);
	return code;
}

int
weir__alone_write_notes(struct sqlite_turn *t)
{
	struct sqlite_alone *alone = t->alone;
	sqlite3_stmt *stmt = weir__sql(t->conn, SQL_NOTE_DELETE,
				       "DELETE FROM note WHERE id = ?1");
	int code = SQLITE_OK;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	for (unsigned i = 0; i < alone->over_count && code == SQLITE_OK; i++) {
		(void)sqlite3_bind_int64(stmt, 1, alone->over[i]);
		code = weir__sql_done(stmt);
	}
	alone->deleted_count = alone->over_count;
	if (code == SQLITE_OK && t->turn->batch)
		code = add_note(t, t->turn->batch);
	return code;
}

void
weir__alone_committed(struct sqlite_turn *t)
{
	struct sqlite_alone *alone = t->alone;
	const struct weir_batch *batch = t->turn->batch;

	memmove(alone->over, alone->over + alone->deleted_count,
		(alone->over_count - alone->deleted_count) *
			sizeof(alone->over[0]));
	alone->over_count -= alone->deleted_count;
	alone->deleted_count = 0;
	for (size_t i = 0; i < t->turn->finish_count; i++)
		drop(alone, &t->turn->finishes[i].claim->row);
	for (unsigned i = 0; i < alone->cursor_count; i++)
		if (alone->cursors[i].touched)
			memcpy(alone->cursors[i].at, alone->cursors[i].next,
			       sizeof(alone->cursors[i].at));
	for (size_t i = 0; batch && i < batch->count; i++) {
		size_t at = slot_of(alone, batch->claims[i].row.id);

		weir_assert(alone->leases[at].job == 0);
		alone->leases[at] = (struct lease){
			batch->claims[i].row.id,
			batch->claims[i].row.attempted_at_ms,
			batch->claims[i].row.attempt, alone->note, 0};
		alone->count++;
	}
	if (batch)
		alone->note = NULL; /* the leases' from now on */
}

#define POISON "crashes + 1 >= ?4"
#define WHOLE_NOTE \
	" WHERE id = ?1 AND state = 0 AND ifnull(attempted_at, 0) < ?2"
#define IS_OVER "(" POISON " OR attempt + 1 >= max_attempts)"

/* One more crash for a job that a note names, if nothing has become of it. */
static int
settle_job(struct sqlite_conn *conn, int64_t now_ms, uint32_t crashes_max,
	   const char *entry, const char *who)
{
	sqlite3_stmt *stmt = weir__sql(
		conn, SQL_NOTE_CRASH,
		"UPDATE job SET attempt = attempt + 1, crashes = crashes + 1,"
		" attempted_at = max(?3, ifnull(attempted_at, 0) + 1),"
		" attempted_by = ?5,"
		" state = CASE WHEN " IS_OVER " THEN 3 ELSE 0 END,"
		" finalized_at = CASE WHEN " IS_OVER " THEN ?3 END,"
		" errors = " SQLITE_ADD_ERROR(SQLITE_CRASH_ERROR(
			"?3", "attempt + 1", "?5", "(crashes + 1)", POISON))
			WHOLE_NOTE);
	int64_t job, attempted_at_ms;

	if (!stmt)
		return sqlite3_extended_errcode(conn->db);
	memcpy(&job, entry, sizeof(job));
	memcpy(&attempted_at_ms, entry + sizeof(job), sizeof(attempted_at_ms));
	(void)sqlite3_bind_int64(stmt, 1, job);
	(void)sqlite3_bind_int64(stmt, 2, attempted_at_ms);
	(void)sqlite3_bind_int64(stmt, 3, now_ms);
	(void)sqlite3_bind_int64(stmt, 4, crashes_max);
	weir__sql_bind_text(stmt, 5, who, strlen(who));
	return weir__sql_done(stmt);
}

int
weir__alone_settle(struct sqlite_conn *conn, int64_t now_ms,
		   uint32_t crashes_max)
{
	sqlite3_stmt *notes =
		weir__sql(conn, SQL_NOTES,
			  "SELECT jobs, ifnull((SELECT name FROM client"
			  " WHERE client.id = note.owner), 'unknown')"
			  " FROM note");
	int code = SQLITE_OK;

	if (!notes)
		return sqlite3_extended_errcode(conn->db);
	while (code == SQLITE_OK &&
	       (code = sqlite3_step(notes)) == SQLITE_ROW) {
		const char *jobs = sqlite3_column_blob(notes, 0);
		int len = sqlite3_column_bytes(notes, 0);
		const char *who = weir__sql_text(notes, 1);

		code = SQLITE_OK;
		for (int at = 0; code == SQLITE_OK && at + ENTRY <= len;
		     at += ENTRY)
			code = settle_job(conn, now_ms, crashes_max, jobs + at,
					  who);
	}
	(void)sqlite3_reset(notes);
	if (code != SQLITE_DONE)
		return code;
	return weir__sql_run(conn, SQL_NOTE_CLEAR, "DELETE FROM note");
}
