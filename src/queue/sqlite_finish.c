/*
 * Finishing jobs, each behind its fence.
 *
 * Design.  Most jobs are simply completed, and those of one claim have the
 * same attempt and the same attempted_at: these are put off, sorted, and
 * completed by ranges of ids, which costs half of what single statements do,
 * or where there are gaps by lists.  The hook of the connection tells which
 * rows were changed, so that a job which is no longer ours is known by its
 * absence.  The rest goes one by one through a statement that can do
 * everything.
 *
 *                       fence                          not alone
 *      not alone        id, running, attempt, attempted_at, owner
 *      alone            id, available, attempt (of before), attempted_at (less)
 *
 * Alone needs no owner: nobody else can claim; whoever cancels or deletes the
 * job changes its state.  The time of the claim is in the row only when it is
 * finished, and later ones are greater: so a claim that was finished once
 * cannot be finished again.
 */
#include "queue/sqlite.h"

#include <stdlib.h>

/* Ids in a list, and in a range. */
#define LIST_MAX  50
#define RANGE_MAX SQLITE_CHANGES_MAX

/* From so many ids in a row on, a range is quicker than a list. */
#define RANGE_LEAST 4

/*
 * Jobs that one statement can complete: all of a list, or of a range.  placed:
 * they are next to each other in job_claim, too.
 */
struct run {
	const struct sqlite_ending *all[RANGE_MAX];
	size_t count;
	bool is_range, is_placed;
};

#define FENCE                                                     \
	" WHERE state = 6 AND attempt = ?2 AND attempted_at = ?3" \
	" AND owner = ?4 AND id "
#define FENCE_ALONE                             \
	" WHERE state = 0 AND attempt = ?2 - 1" \
	" AND ifnull(attempted_at, 0) < ?3 AND id "

/* By policy, then by whether we are alone. */
static const char *const run_texts[3][2] = {
	[WEIR_FINISHED_KEEP] =
		{
			"UPDATE job SET state = 2, finalized_at = ?1,"
			" crashes = 0, owner = NULL" FENCE,
			"UPDATE job SET state = 2, finalized_at = ?1,"
			" crashes = 0, attempt = ?2,"
			" attempted_at = ?3, attempted_by = ?5" FENCE_ALONE,
		},
	[WEIR_FINISHED_ARCHIVE] =
		{
			"INSERT INTO archive SELECT id, queue, kind, attempt,"
			" created_at, attempted_at, ?1, attempted_by, output,"
			" args FROM job" FENCE,
			"INSERT INTO archive SELECT id, queue, kind, ?2,"
			" created_at, ?3, ?1, ?5, output, args"
			" FROM job" FENCE_ALONE,
		},
	[WEIR_FINISHED_DROP] =
		{
			"DELETE FROM job" FENCE,
			"DELETE FROM job" FENCE_ALONE,
		},
};

/*
 * Alone, jobs are deleted that are still in job_claim.  Along that index their
 * entries need not be looked for, which is a third of the cost.
 */
static const char placed_text[] =
	"DELETE FROM job INDEXED BY job_claim" FENCE_ALONE
	" BETWEEN ?6 AND ?7 AND crashes = 0 AND queue = ?8"
	" AND priority = ?9 AND scheduled_at = ?10";

static sqlite3_stmt *
placed_statement(struct sqlite_conn *conn, const weir_job_row *row)
{
	sqlite3_stmt *stmt = weir__sql(conn, SQL_ALONE_PLACED, placed_text);

	if (!stmt)
		return NULL;
	weir__sql_bind_text(stmt, 8, row->queue, strlen(row->queue));
	(void)sqlite3_bind_int64(stmt, 9, row->priority);
	(void)sqlite3_bind_int64(stmt, 10, row->scheduled_at_ms);
	return stmt;
}

static sqlite3_stmt *
run_statement(struct sqlite_conn *conn, weir_finished_policy policy, bool alone,
	      bool is_range)
{
	static const enum sqlite_sql first[2][2] = {
		{SQL_FINISH_KEEP, SQL_RANGE_KEEP},
		{SQL_ALONE_KEEP, SQL_ALONE_RANGE_KEEP},
	};
	enum sqlite_sql sql = first[alone][is_range] + (enum sqlite_sql)policy;
	sqlite3_stmt *stmt = conn->statements[sql];
	struct weir_buf text = {0};

	if (stmt)
		return stmt;
	weir__buf_puts(&text, run_texts[policy][alone]);
	weir__buf_puts(&text, is_range ? "BETWEEN ?6 AND ?7" : "IN (");
	for (int i = 0; i < LIST_MAX && !is_range; i++)
		weir__buf_printf(&text, "?%d%s", i + 6,
				 i + 1 < LIST_MAX ? "," : ")");
	if (!text.failed)
		stmt = weir__sql(conn, sql, text.data);
	weir__buf_fini(&text);
	return stmt;
}

static void
bind_ids(sqlite3_stmt *stmt, const struct run *run)
{
	size_t last = run->count - 1;

	if (run->is_range) {
		(void)sqlite3_bind_int64(stmt, 6, run->all[0]->id);
		(void)sqlite3_bind_int64(stmt, 7, run->all[last]->id);
		return;
	}
	for (size_t i = 0; i < LIST_MAX; i++)
		weir__sql_bind_some(stmt, (int)i + 6,
				    i <= last ? run->all[i]->id : 0);
}

/* One statement for the whole of a run; what it changes is noted by conn. */
static int
step_run(struct sqlite_turn *t, const struct run *run,
	 weir_finished_policy policy)
{
	const struct weir_owner *owner = t->turn->owner;
	const weir_job_row *row =
		&t->turn->finishes[run->all[0]->at].claim->row;
	sqlite3_stmt *stmt =
		run->is_placed && policy == WEIR_FINISHED_DROP
			? placed_statement(t->conn, row)
			: run_statement(t->conn, policy, t->alone != NULL,
					run->is_range);

	if (!stmt)
		return SQLITE_NOMEM;
	/* Not every text has all of them. */
	(void)sqlite3_bind_int64(stmt, 1, t->now_ms);
	(void)sqlite3_bind_int64(stmt, 2, row->attempt);
	(void)sqlite3_bind_int64(stmt, 3, row->attempted_at_ms);
	(void)sqlite3_bind_int64(stmt, 4, owner->id);
	weir__sql_bind_text(stmt, 5, owner->name, strlen(owner->name));
	bind_ids(stmt, run);
	return weir__sql_done(stmt);
}

static bool
was_changed(const struct sqlite_conn *conn, int64_t id)
{
	for (size_t i = 0; i < conn->changed_count; i++)
		if (conn->changed[i] == id)
			return true;
	return false;
}

static int
end_run(struct sqlite_turn *t, struct run *run)
{
	weir_finished_policy policy;
	int code = SQLITE_OK;

	if (run->count == 0)
		return SQLITE_OK;
	policy = run->all[0]->policy;
	if (policy == WEIR_FINISHED_ARCHIVE) {
		code = step_run(t, run, policy);
		policy = WEIR_FINISHED_DROP;
	}
	if (!weir__sqlite_note_changes(t->conn, SQLITE_CHANGES_MAX))
		code = SQLITE_NOMEM;
	if (code == SQLITE_OK)
		code = step_run(t, run, policy);
	/* Who writes into the file by hand may have given one another place. */
	if (code == SQLITE_OK && run->is_placed &&
	    t->conn->changed_count < run->count) {
		run->is_placed = false;
		code = step_run(t, run, policy);
	}
	for (size_t i = 0; i < run->count; i++) {
		struct weir_finished *ret = &t->turn->finished[run->all[i]->at];
		bool ours = t->conn->changed_count == run->count ||
			    was_changed(t->conn, run->all[i]->id);

		ret->status = ours ? WEIR_OK : WEIR_STALE;
		ret->state = WEIR_JOB_COMPLETED;
	}
	weir__sqlite_note_end(t->conn);
	run->count = 0;
	return code;
}

#define IS_CANCELLED "(cancel_at IS NOT NULL AND ?5 IN (0, 5, 7))"

#define FINISH_ONE(fence, more)                                   \
	"UPDATE job SET"                                          \
	" state = CASE WHEN " IS_CANCELLED " THEN 1 ELSE ?5 END," \
	" finalized_at = CASE WHEN " IS_CANCELLED                 \
	" OR ?5 IN (1, 2, 3) THEN ?6 END,"                        \
	" scheduled_at = ifnull(?7, scheduled_at), attempt = ?8," \
	" crashes = ?9, owner = NULL,"                            \
	" errors = " SQLITE_ADD_ERROR(                            \
		"?10") ","                                        \
		       " output = ifnull(?11, output)" more       \
		       " WHERE id = ?1 AND " fence " RETURNING state"

static const char one_text[] = FINISH_ONE(
	"state = 6 AND attempt = ?2 AND attempted_at = ?3 AND owner = ?4", "");
static const char one_alone_text[] = FINISH_ONE(
	"state = 0 AND attempt = ?2 - 1 AND ifnull(attempted_at, 0) < ?3",
	", attempted_at = ?3, attempted_by = ?12");

static bool
gives_attempt_back(const struct weir_finish *finish)
{
	return finish->verdict == WEIR_VERDICT_SNOOZE ||
	       finish->verdict == WEIR_VERDICT_RELEASE;
}

static uint32_t
crashes_of(const struct weir_finish *finish)
{
	if (finish->crashed)
		return finish->claim->row.crashes + 1;
	/* That it was given back says nothing of it. */
	return finish->verdict == WEIR_VERDICT_RELEASE
		       ? finish->claim->row.crashes
		       : 0;
}

static void
bind_one(sqlite3_stmt *stmt, const struct sqlite_turn *t,
	 const struct weir_finish *finish)
{
	const weir_job_row *row = &finish->claim->row;
	const struct weir_owner *owner = t->turn->owner;
	bool timed = finish->verdict == WEIR_VERDICT_RETRY ||
		     finish->verdict == WEIR_VERDICT_SNOOZE;
	int64_t at_ms = finish->at_ms > t->now_ms ? finish->at_ms : t->now_ms;

	(void)sqlite3_bind_int64(stmt, 1, row->id);
	(void)sqlite3_bind_int64(stmt, 2, row->attempt);
	(void)sqlite3_bind_int64(stmt, 3, row->attempted_at_ms);
	(void)sqlite3_bind_int64(stmt, 4, owner->id);
	(void)sqlite3_bind_int(stmt, 5,
			       (int)weir__finish_state(finish, t->now_ms));
	(void)sqlite3_bind_int64(stmt, 6, t->now_ms);
	weir__sql_bind_some(stmt, 7, timed ? at_ms : 0);
	(void)sqlite3_bind_int64(
		stmt, 8, row->attempt - (gives_attempt_back(finish) ? 1 : 0));
	(void)sqlite3_bind_int64(stmt, 9, crashes_of(finish));
	weir__sql_bind_text(stmt, 10, finish->error, finish->error_len);
	weir__sql_bind_text(stmt, 11, finish->output, finish->output_len);
	if (t->alone)
		weir__sql_bind_text(stmt, 12, owner->name, strlen(owner->name));
}

static int
finish_one(struct sqlite_turn *t, const struct weir_finish *finish,
	   struct weir_finished *ret)
{
	sqlite3_stmt *stmt =
		t->alone ? weir__sql(t->conn, SQL_ALONE_ONE, one_alone_text)
			 : weir__sql(t->conn, SQL_FINISH_ONE, one_text);
	int code;

	if (!stmt)
		return sqlite3_extended_errcode(t->conn->db);
	bind_one(stmt, t, finish);
	ret->status = WEIR_STALE;
	ret->state = finish->claim->row.state;
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		ret->status = WEIR_OK;
		ret->state = (weir_state)(sqlite3_column_int(stmt, 0) & 7);
		code = sqlite3_step(stmt);
	}
	(void)sqlite3_reset(stmt);
	/* Others may wait for it, or for the time at which it is due. */
	if (ret->status == WEIR_OK &&
	    !(WEIR_JOB_STATE_BIT(ret->state) & WEIR_JOB_STATES_FINAL))
		t->wakes = true;
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* One that was completed with an output leaves the table with it. */
static int
put_away(struct sqlite_turn *t, int64_t id, weir_finished_policy policy)
{
	sqlite3_stmt *copy = weir__sql(
		t->conn, SQL_ARCHIVE_ONE,
		"INSERT INTO archive SELECT id, queue, kind, attempt,"
		" created_at, attempted_at, finalized_at, attempted_by,"
		" output, args FROM job WHERE id = ?1");
	sqlite3_stmt *drop = weir__sql(t->conn, SQL_DROP_ONE,
				       "DELETE FROM job WHERE id = ?1");
	int code = SQLITE_OK;

	if (!copy || !drop)
		return sqlite3_extended_errcode(t->conn->db);
	(void)sqlite3_bind_int64(copy, 1, id);
	(void)sqlite3_bind_int64(drop, 1, id);
	if (policy == WEIR_FINISHED_ARCHIVE)
		code = weir__sql_done(copy);
	return code == SQLITE_OK ? weir__sql_done(drop) : code;
}

static bool
is_simple(const struct weir_finish *finish)
{
	return finish->verdict == WEIR_VERDICT_COMPLETE && !finish->error &&
	       !finish->output && !finish->crashed;
}

/* What becomes of completed jobs of this one's queue. */
static int
policy_of(struct sqlite_turn *t, const struct weir_finish *finish,
	  const char **last, weir_finished_policy *policy)
{
	const char *queue = finish->claim->row.queue;
	bool paused;

	if (*last && strcmp(*last, queue) == 0)
		return SQLITE_OK;
	*last = queue;
	return weir__sqlite_queue_get(t->conn, queue, &paused, policy);
}

int
weir__sqlite_finish_single(struct sqlite_turn *t,
			   const struct weir_finish *finish,
			   struct weir_finished *ret)
{
	weir_finished_policy policy;
	const char *last = NULL;
	int code = policy_of(t, finish, &last, &policy);

	if (code == SQLITE_OK)
		code = finish_one(t, finish, ret);
	if (code == SQLITE_OK && ret->status == WEIR_OK &&
	    ret->state == WEIR_JOB_COMPLETED && policy != WEIR_FINISHED_KEEP)
		code = put_away(t, finish->claim->row.id, policy);
	return code;
}

/* Alone, what is not leased to us by this claim is not ours. */
static bool
is_stale(struct sqlite_turn *t, size_t at)
{
	const struct weir_claim *claim = t->turn->finishes[at].claim;

	if (!t->alone || weir__alone_end(t->alone, &claim->row))
		return false;
	t->turn->finished[at].status = WEIR_STALE;
	t->turn->finished[at].state = claim->row.state;
	return true;
}

static int
compare(const void *a, const void *b)
{
	const struct sqlite_ending *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* One statement can have both. */
static bool
fits(const struct sqlite_turn *t, const struct sqlite_ending *a,
     const struct sqlite_ending *b)
{
	const weir_job_row *x = &t->turn->finishes[a->at].claim->row;
	const weir_job_row *y = &t->turn->finishes[b->at].claim->row;

	return a->policy == b->policy && x->attempt == y->attempt &&
	       x->attempted_at_ms == y->attempted_at_ms;
}

/* How many from there on are a range of ids; they are sorted. */
static size_t
range_len(const struct sqlite_turn *t, size_t from)
{
	const struct sqlite_endings *endings = t->endings;
	const struct sqlite_ending *first = &endings->all[from];
	size_t len = 1;

	while (from + len < endings->count && len < RANGE_MAX &&
	       first[len].id == first->id + (int64_t)len &&
	       fits(t, first, &first[len]))
		len++;
	return len;
}

/* How many of a range have one place in job_claim but for their ids. */
static size_t
placed_len(const struct sqlite_turn *t, size_t from, size_t range)
{
	const struct sqlite_ending *first = &t->endings->all[from];
	const weir_job_row *x = &t->turn->finishes[first->at].claim->row;
	size_t len = 0;

	if (!t->alone || first->policy == WEIR_FINISHED_KEEP)
		return 0;
	for (; len < range; len++) {
		const weir_job_row *y =
			&t->turn->finishes[first[len].at].claim->row;

		if (y->crashes > 0 || y->priority != x->priority ||
		    y->scheduled_at_ms != x->scheduled_at_ms ||
		    strcmp(y->queue, x->queue) != 0)
			break;
	}
	return len;
}

/* Add it to a list, which is ended first if it does not fit. */
static int
add_to_list(struct sqlite_turn *t, struct run *list,
	    const struct sqlite_ending *ending)
{
	int code = SQLITE_OK;

	/* Of two outcomes of one claim the first is let through. */
	if (list->count == LIST_MAX ||
	    (list->count > 0 && (!fits(t, list->all[0], ending) ||
				 list->all[list->count - 1]->id == ending->id)))
		code = end_run(t, list);
	list->all[list->count++] = ending;
	return code;
}

/* Complete all that were put off. */
static int
end_simple(struct sqlite_turn *t)
{
	struct sqlite_endings *endings = t->endings;
	struct run list = {.is_range = false}, range = {.is_range = true};
	size_t len, placed;
	int code = SQLITE_OK;

	if (endings->is_mixed)
		qsort(endings->all, endings->count, sizeof(endings->all[0]),
		      compare);
	for (size_t i = 0; i < endings->count && code == SQLITE_OK; i += len) {
		len = range_len(t, i);
		if (len < RANGE_LEAST) {
			len = 1;
			code = add_to_list(t, &list, &endings->all[i]);
			continue;
		}
		placed = placed_len(t, i, len);
		range.is_placed = placed >= RANGE_LEAST;
		if (range.is_placed)
			len = placed;
		for (; range.count < len; range.count++)
			range.all[range.count] = &endings->all[i + range.count];
		code = end_run(t, &range);
	}
	if (code == SQLITE_OK)
		code = end_run(t, &list);
	endings->count = 0;
	endings->is_mixed = false;
	return code;
}

static bool
put_off(struct sqlite_turn *t, size_t at, weir_finished_policy policy)
{
	struct sqlite_endings *endings = t->endings;
	int64_t id = t->turn->finishes[at].claim->row.id;

	if (endings->count == endings->cap) {
		size_t cap = endings->cap ? endings->cap * 2 : 64;
		struct sqlite_ending *all =
			realloc(endings->all, cap * sizeof(*all));

		if (!all)
			return false;
		endings->all = all;
		endings->cap = cap;
	}
	if (endings->count > 0 && endings->all[endings->count - 1].id >= id)
		endings->is_mixed = true;
	endings->all[endings->count++] = (struct sqlite_ending){id, at, policy};
	return true;
}

static bool
was_put_off(const struct sqlite_endings *endings, int64_t id)
{
	for (size_t i = 0; i < endings->count; i++)
		if (endings->all[i].id == id)
			return true;
	return false;
}

static int
finish_next(struct sqlite_turn *t, size_t at, const char **last,
	    weir_finished_policy *policy)
{
	const struct weir_finish *finish = &t->turn->finishes[at];
	int code;

	if (is_stale(t, at))
		return SQLITE_OK;
	if (!is_simple(finish)) {
		code = was_put_off(t->endings, finish->claim->row.id)
			       ? end_simple(t)
			       : SQLITE_OK;
		return code == SQLITE_OK
			       ? weir__sqlite_finish_single(
					 t, finish, &t->turn->finished[at])
			       : code;
	}
	code = policy_of(t, finish, last, policy);
	if (code == SQLITE_OK && !put_off(t, at, *policy))
		code = SQLITE_NOMEM;
	return code;
}

int
weir__sqlite_finish_all(struct sqlite_turn *t)
{
	weir_finished_policy policy = WEIR_FINISHED_KEEP;
	const char *last = NULL;
	int code = SQLITE_OK;

	t->endings->count = 0;
	t->endings->is_mixed = false;
	for (size_t i = 0; i < t->turn->finish_count && code == SQLITE_OK; i++)
		code = finish_next(t, i, &last, &policy);
	return code == SQLITE_OK ? end_simple(t) : code;
}
