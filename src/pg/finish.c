/*
 * Finishing jobs, each behind its fence.
 *
 * Design.  Most jobs are simply completed.  These are one statement, which
 * knows by weir_queue what becomes of them: kept, or deleted, with a row in
 * the archive if that is wanted.  That table is nearly always empty, so that
 * asking it costs nothing; a copy of it in here would be one that is wrong
 * now and then.  The rest is another statement, which can do everything.
 *
 * Both take arrays in the order of ids, so that two turns that meet at the
 * same rows do not wait for each other in a circle.
 *
 * The state is compared as text: otherwise a planner that believes that few
 * jobs run may walk along all of them instead of looking each up by its id.
 */
#include "pg/turn.h"

#include "base/assert.h"
#include "base/json.h"
#include "base/json_text.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_NS  (250 * WEIR_MS) /* what is locked is tried again */
#define LOCKED_NS (5 * WEIR_S)    /* for so long it is asked about first */

static_assert(WEIR_FINISHED_KEEP == 0 && WEIR_FINISHED_ARCHIVE == 1,
	      "the numbers in the statements");

#define FENCED                                                 \
	"j.id = f.id AND j.state::text = 'running'"            \
	" AND j.attempt = f.attempt AND j.attempted_at = f.at" \
	" AND " LAST_BY " = $4"

/*
 * Queues whose completed jobs are not kept.  The name's condition is an excuse
 * for the index: our sessions may not scan tables.
 */
#define OFF                                           \
	" off AS MATERIALIZED (SELECT name, finished" \
	" FROM @weir_queue WHERE finished <> 0 AND name >= '')"
#define IS_OFF "EXISTS (SELECT 1 FROM off WHERE off.name = j.queue)"

/* Those that gone has deleted, if they are to be archived; and when. */
#define ARCHIVED                                                        \
	" archived AS (INSERT INTO @weir_archive SELECT j.id, j.queue," \
	" j.kind, j.attempt, j.created_at, j.attempted_at, "
#define ARCHIVED_END                                     \
	", regexp_replace(" LAST_BY ", '#[0-9]+$', '')," \
	" j.metadata -> 'output', j.args FROM gone j"    \
	" JOIN off ON off.name = j.queue WHERE off.finished = 1)"

static const struct pg_sql simple_sql = {
	"finish_simple",
	"WITH f AS MATERIALIZED (SELECT * FROM unnest($1::bigint[],"
	" $2::smallint[], $3::timestamptz[]) AS f(id, attempt, at))," OFF ","
	" gone AS (DELETE FROM @river_job j USING f"
	" WHERE EXISTS (SELECT 1 FROM off) AND " FENCED " AND " IS_OFF
	" RETURNING j.*)," ARCHIVED
	"coalesce($5::timestamptz, now())" ARCHIVED_END ","
	" kept AS (UPDATE @river_job j SET state = 'completed',"
	" finalized_at = coalesce($5::timestamptz, now()) FROM f"
	" WHERE " FENCED " AND NOT " IS_OFF " RETURNING j.id)"
	" SELECT id FROM kept UNION ALL SELECT id FROM gone"};

#define RUNS_AGAIN "f.state IN ('available', 'retryable', 'scheduled')"
#define CANCELLED  "(" RUNS_AGAIN " AND " IS_CANCELLED ")"
#define OBJECT                                          \
	"CASE WHEN jsonb_typeof(j.metadata) = 'object'" \
	" THEN j.metadata ELSE '{}'::jsonb END"

/* River counts them there, and so do handlers that limit them. */
#define SNOOZED                                                  \
	"jsonb_build_object('snoozes', CASE"                     \
	" WHEN jsonb_typeof(j.metadata -> 'snoozes') = 'number'" \
	" THEN (j.metadata ->> 'snoozes')::numeric ELSE 0 END + 1)"

#define TELL_OF_12 PG_TELL("done", "$12")

static const struct pg_sql other_sql = {
	"finish_other",
	"WITH f AS MATERIALIZED (SELECT * FROM unnest($1::bigint[],"
	" $2::smallint[], $3::timestamptz[], $6::text[], $7::timestamptz[],"
	" $8::smallint[], $9::jsonb[], $10::jsonb[], $11::integer[])"
	" AS f(id, attempt, at, state, due, back, error, output, crashes)),"
	" done AS (UPDATE @river_job j SET"
	" state = CASE WHEN " CANCELLED " THEN 'cancelled'"
	" ELSE f.state::@river_job_state END,"
	" finalized_at = CASE WHEN " CANCELLED " OR NOT " RUNS_AGAIN
	" THEN coalesce($5::timestamptz, now()) END,"
	" scheduled_at = CASE WHEN f.due IS NULL OR " CANCELLED
	" THEN j.scheduled_at"
	" ELSE greatest(f.due, coalesce($5::timestamptz, now())) END,"
	" attempt = CASE WHEN f.back = 0 OR " CANCELLED " THEN j.attempt"
	" ELSE j.attempt - 1 END,"
	" errors = CASE WHEN f.error IS NULL THEN j.errors"
	" ELSE array_append(j.errors, f.error) END,"
	" metadata = CASE WHEN f.output IS NULL AND f.back < 2"
	" THEN j.metadata ELSE " OBJECT " ||"
	" CASE WHEN f.output IS NULL THEN '{}'::jsonb"
	" ELSE jsonb_build_object('output', f.output) END ||"
	" CASE WHEN f.back < 2 THEN '{}'::jsonb ELSE " SNOOZED " END END"
	" FROM f WHERE " FENCED " RETURNING j.id, j.queue, j.state, f.crashes),"
	" crashed AS (INSERT INTO @weir_suspect AS s (job, crashes)"
	" SELECT id, crashes FROM done WHERE crashes > 0"
	" ON CONFLICT (job) DO UPDATE SET crashes = excluded.crashes),"
	" innocent AS (DELETE FROM @weir_suspect s USING done"
	" WHERE s.job = done.id AND done.crashes = 0)"
	" SELECT id, state::text, " TELL_OF_12 " FROM done"};

/* Completed by the statement before, with an output or after crashes. */
static const struct pg_sql away_sql = {
	"finish_away",
	"WITH f AS MATERIALIZED (SELECT * FROM unnest($1::bigint[],"
	" $2::smallint[], $3::timestamptz[]) AS f(id, attempt, at))," OFF ","
	" gone AS (DELETE FROM @river_job j USING f"
	" WHERE EXISTS (SELECT 1 FROM off) AND j.id = f.id"
	" AND j.state::text = 'completed' AND j.attempt = f.attempt"
	" AND j.attempted_at = f.at AND " LAST_BY " = $4"
	" AND j.finalized_at = coalesce($5::timestamptz, now())"
	" AND " IS_OFF " RETURNING j.*)," ARCHIVED "j.finalized_at" ARCHIVED_END
	" SELECT count(*) FROM gone"};

/*
 * Whose states do not have "running" among them does not hold its key, so
 * another may.
 */
static const struct pg_sql keys_sql = {
	"finish_keys",
	"UPDATE @river_job SET unique_key = NULL, unique_states = NULL"
	" WHERE id = ANY($1::bigint[]) AND state::text = 'running' AND"
	" unique_key IS NOT NULL AND NOT"
	" coalesce(@river_job_state_in_bitmask(unique_states, 'running'),"
	" false)"};

bool
weir__pg_finish_is_simple(const struct weir_finish *finish)
{
	return finish->verdict == WEIR_VERDICT_COMPLETE && !finish->error &&
	       !finish->output && !finish->crashed &&
	       finish->claim->row.crashes == 0;
}

/* 1: the attempt is given back; 2: and that is counted as a snooze. */
static int
gives_back(const struct weir_finish *finish)
{
	if (finish->verdict == WEIR_VERDICT_SNOOZE)
		return 2;
	return finish->verdict == WEIR_VERDICT_RELEASE;
}

/* -1: as many as before, for that it was given back says nothing of it. */
static int32_t
crashes_of(const struct weir_finish *finish)
{
	if (finish->crashed)
		return (int32_t)finish->claim->row.crashes + 1;
	return finish->verdict == WEIR_VERDICT_RELEASE ? -1 : 0;
}

static int
compare(const void *a, const void *b)
{
	const struct pg_ending *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Is there an earlier outcome of this very claim? */
static bool
has_twin(const struct pg_turn *t, size_t at)
{
	const struct weir_finish *finishes = t->turn->finishes;
	const weir_job_row *row = &finishes[t->endings[at].at].claim->row;

	for (size_t i = at; i-- > 0 && t->endings[i].id == row->id;) {
		const weir_job_row *other =
			&finishes[t->endings[i].at].claim->row;

		if (other->attempt == row->attempt &&
		    other->attempted_at_ms == row->attempted_at_ms)
			return true;
	}
	return false;
}

static bool
is_sent(const struct pg_ending *e)
{
	return !e->is_twin && !e->is_locked;
}

static void
count_sent(struct pg_turn *t)
{
	const struct weir_turn *turn = t->turn;

	t->simple_count = t->other_count = 0;
	t->puts_away = false;
	for (size_t i = 0; i < turn->finish_count; i++) {
		const struct pg_ending *e = &t->endings[i];

		if (!is_sent(e))
			continue;
		t->simple_count += e->is_simple;
		t->other_count += !e->is_simple;
		t->puts_away |=
			!e->is_simple &&
			turn->finishes[e->at].verdict == WEIR_VERDICT_COMPLETE;
	}
}

bool
weir__pg_finish_begin(struct pg_turn *t)
{
	const struct weir_turn *turn = t->turn;
	bool mixed = false;

	if (turn->finish_count == 0)
		return true;
	t->endings = calloc(turn->finish_count, sizeof(*t->endings));
	if (!t->endings)
		return false;
	for (size_t i = 0; i < turn->finish_count; i++) {
		t->endings[i].id = turn->finishes[i].claim->row.id;
		t->endings[i].at = i;
		t->endings[i].is_simple =
			weir__pg_finish_is_simple(&turn->finishes[i]);
		mixed |= i > 0 && t->endings[i - 1].id >= t->endings[i].id;
	}
	if (mixed)
		qsort(t->endings, turn->finish_count, sizeof(*t->endings),
		      compare);
	for (size_t i = 0; mixed && i < turn->finish_count; i++)
		t->endings[i].is_twin = has_twin(t, i);
	count_sent(t);
	return true;
}

/* The endings of one of the two statements, one after the other. */
#define EACH_ENDING(t, simple, e)                                        \
	for (const struct pg_ending *e = (t)->endings,                   \
				    *end_ = e + (t)->turn->finish_count; \
	     e != end_; e++)                                             \
		if (is_sent(e) && e->is_simple == (simple))

static const struct weir_finish *
finish_of(const struct pg_turn *t, const struct pg_ending *e)
{
	return &t->turn->finishes[e->at];
}

/* $1 to $5: the fences, who, when. */
static void
put_fences(struct pg_turn *t, bool simple)
{
	size_t count = simple ? t->simple_count : t->other_count;
	struct pg_params *p = &t->p;

	weir__pg_begin(p);
	weir__pg_array_begin(p, PG_INT8, count);
	EACH_ENDING(t, simple, e)
	weir__pg_int8(p, e->id);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT2, count);
	EACH_ENDING(t, simple, e)
	weir__pg_int2(p, (int)finish_of(t, e)->claim->row.attempt);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_TIMESTAMPTZ, count);
	EACH_ENDING(t, simple, e)
	weir__pg_time(p, finish_of(t, e)->claim->row.attempted_at_ms);
	weir__pg_array_end(p);
	weir__pg_text(p, t->owner, strlen(t->owner));
	weir__pg_now(p, t->store);
}

/* $6 to $8: the state, when it is due (NULL: as it was), what is given back. */
static void
put_states(struct pg_turn *t)
{
	int64_t now_ms = weir__store_now_ms(&t->store->base);
	struct pg_params *p = &t->p;

	weir__pg_array_begin(p, PG_TEXT, t->other_count);
	EACH_ENDING(t, false, e)
	{
		const char *name = weir_job_state_name(
			weir__finish_state(finish_of(t, e), now_ms));

		weir__pg_text(p, name, strlen(name));
	}
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_TIMESTAMPTZ, t->other_count);
	EACH_ENDING(t, false, e)
	{
		const struct weir_finish *finish = finish_of(t, e);
		bool timed = finish->verdict == WEIR_VERDICT_RETRY ||
			     finish->verdict == WEIR_VERDICT_SNOOZE;
		bool later = finish->at_ms > now_ms;

		weir__pg_time(p, !timed  ? PG_NO_TIME
				 : later ? finish->at_ms
					 : 0);
	}
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT2, t->other_count);
	EACH_ENDING(t, false, e)
	weir__pg_int2(p, gives_back(finish_of(t, e)));
	weir__pg_array_end(p);
}

/*
 * How many bytes from there on are an escape that PostgreSQL's jsonb does not
 * take: \u0000, and half of a surrogate pair.  0: it is none of those.
 */
static size_t
bad_escape(const char *at, const char *end)
{
	int unit;

	if (end - at < 6 || at[1] != 'u')
		return 0;
	unit = weir__json_hex4(at + 2);
	if (unit == 0 || weir__json_is_low(unit))
		return 6;
	if (!weir__json_is_high(unit))
		return 0;
	if (end - at >= 12 && at[6] == '\\' && at[7] == 'u' &&
	    weir__json_is_low(weir__json_hex4(at + 8)))
		return 0;
	return 6;
}

/* A JSON text with what jsonb refuses replaced by U+FFFD, as elsewhere. */
static void
put_json(struct pg_params *p, struct weir_buf *buf, const char *json,
	 size_t len)
{
	const char *end, *at = json, *slash;

	if (!json || !memmem(json, len, "\\u", 2)) {
		weir__pg_json(p, json, len);
		return;
	}
	end = json + len;
	weir__buf_reset(buf);
	while ((slash = memchr(at, '\\', (size_t)(end - at))) != NULL) {
		size_t bad = bad_escape(slash, end);
		/* Both halves of a good pair, so that the second is no bad one.
		 */
		size_t good =
			end - slash >= 12 && slash[1] == 'u' &&
					weir__json_is_high(
						weir__json_hex4(slash + 2))
				? 12
				: 2;

		if (good > (size_t)(end - slash))
			good = (size_t)(end - slash);
		weir__buf_append(buf, at, (size_t)(slash - at));
		if (bad)
			weir__buf_puts(buf, "\\ufffd");
		else
			weir__buf_append(buf, slash, good);
		at = slash + (bad ? bad : good);
	}
	weir__buf_append(buf, at, (size_t)(end - at));
	weir__pg_json(p, weir__buf_str(buf), buf->len);
	p->bytes.failed |= buf->failed;
}

/* As a string, if that is what it has to be. */
static void
put_output(struct pg_turn *t, const struct pg_ending *e, struct weir_buf *buf)
{
	const struct weir_finish *finish = finish_of(t, e);
	struct weir_buf text = {0};
	struct weir_json json;

	if (!e->is_quoted) {
		put_json(&t->p, buf, finish->output, finish->output_len);
		return;
	}
	weir__json_init(&json, &text);
	weir__json_string(&json, finish->output, finish->output_len);
	put_json(&t->p, buf, weir__buf_str(&text), text.len);
	t->p.bytes.failed |= text.failed;
	weir__buf_fini(&text);
}

/* $9 to $12: errors, outputs, crashes, and the channel. */
static void
put_texts(struct pg_turn *t)
{
	struct pg_params *p = &t->p;
	struct weir_buf buf = {0};

	weir__pg_array_begin(p, PG_JSONB, t->other_count);
	EACH_ENDING(t, false, e)
	{
		const struct weir_finish *finish = finish_of(t, e);

		put_json(p, &buf, finish->error, finish->error_len);
	}
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_JSONB, t->other_count);
	EACH_ENDING(t, false, e)
	put_output(t, e, &buf);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT4, t->other_count);
	EACH_ENDING(t, false, e)
	weir__pg_int4(p, crashes_of(finish_of(t, e)));
	weir__pg_array_end(p);
	weir__pg_channel(p, t->store);
	weir__buf_fini(&buf);
}

/* Helpers that need the lock; clang checks that whoever calls them has it. */
static void send_keys(struct pg_turn *t) WEIR_REQUIRES(t->conn->mu);
static bool is_taken(struct pg_turn *t, const struct pg_ending *e)
	WEIR_REQUIRES(t->conn->mu);

/* $1: the ids of those that are sent. */
static void
put_ids(struct pg_turn *t)
{
	weir__pg_begin(&t->p);
	weir__pg_array_begin(&t->p, PG_INT8, t->simple_count + t->other_count);
	for (size_t i = 0; i < t->turn->finish_count; i++)
		if (is_sent(&t->endings[i]))
			weir__pg_int8(&t->p, t->endings[i].id);
	weir__pg_array_end(&t->p);
}

static void
send_keys(struct pg_turn *t)
{
	put_ids(t);
	(void)weir__pg_turn_send(t, &keys_sql);
}

void
weir__pg_finish_send(struct pg_turn *t)
{
	if (t->gives_keys_up && t->turn->finish_count > 0)
		send_keys(t);
	if (t->simple_count > 0) {
		put_fences(t, true);
		t->simple_result = weir__pg_turn_send(t, &simple_sql);
	}
	if (t->other_count == 0)
		return;
	put_fences(t, false);
	put_states(t);
	put_texts(t);
	t->other_result = weir__pg_turn_send(t, &other_sql);
	if (!t->puts_away)
		return;
	put_fences(t, false);
	(void)weir__pg_turn_send(t, &away_sql);
}

static const struct pg_sql probe_sql = {"finish_probe",
					"SELECT $1::jsonb IS NULL"};

/* Does the database take it?  If we cannot ask, it is not to blame. */
static bool
is_taken(struct pg_turn *t, const struct pg_ending *e)
{
	struct weir_buf buf = {0};
	weir_error error = {0};
	weir_status status;

	if (weir__pg_ready(t->conn, &error) != WEIR_OK)
		return true;
	weir__pg_begin(&t->p);
	put_output(t, e, &buf);
	status = weir__pg_query(t->conn, &probe_sql, &t->p, NULL, &error);
	weir__buf_fini(&buf);
	return status != WEIR_SYSTEM || t->conn->lost;
}

/*
 * JSON may say more than jsonb can hold, as a number of a million digits does.
 * One such output must not keep all others from being written, so it is kept as
 * a string.
 */
bool
weir__pg_finish_mend(struct pg_turn *t)
{
	bool mended = false;

	for (size_t i = 0; i < t->turn->finish_count; i++) {
		struct pg_ending *e = &t->endings[i];

		if (!is_sent(e) || e->is_quoted || !finish_of(t, e)->output)
			continue;
		e->is_quoted = !is_taken(t, e);
		mended |= e->is_quoted;
	}
	return mended;
}

/*
 * The ending of that statement that a row is about.  Of several with one id at
 * most one can have had the right fence; which one, its claim says.
 */
static struct pg_ending *
find(struct pg_turn *t, int64_t id)
{
	size_t low = 0, high = t->turn->finish_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->endings[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	weir_assert(low < t->turn->finish_count && t->endings[low].id == id);
	return &t->endings[low];
}

/* $1: ids in their order.  Those that are there and cannot be had. */
static const struct pg_sql locked_sql = {
	"finish_locked",
	"WITH free AS MATERIALIZED (SELECT id FROM @river_job"
	" WHERE id = ANY ($1::bigint[]) FOR NO KEY UPDATE SKIP LOCKED)"
	" SELECT id FROM @river_job WHERE id = ANY ($1::bigint[])"
	" AND id <> ALL (ARRAY(SELECT id FROM free))"};

/*
 * Somebody who has locked a job, and goes for lunch, must not keep all others
 * from ending, nor a beat from being told.
 */
bool
weir__pg_finish_leave_locked(struct pg_turn *t)
{
	weir_error error = {0};
	PGresult *result = NULL;
	int count = 0;

	if (t->turn->finish_count == 0 || !t->turn->may_hold ||
	    weir__pg_ready(t->conn, &error) != WEIR_OK)
		return false;
	put_ids(t);
	if (weir__pg_query(t->conn, &locked_sql, &t->p, &result, &error) ==
	    WEIR_OK)
		count = PQntuples(result);
	for (int i = 0; i < count; i++) {
		int64_t id = weir__pg_get_int(result, i, 0);
		struct pg_ending *e = find(t, id);

		for (; e != t->endings + t->turn->finish_count && e->id == id;
		     e++)
			e->is_locked = true;
	}
	PQclear(result);
	if (count > 0)
		t->conn->locked_until_ns = weir_now_ns() + LOCKED_NS;
	count_sent(t);
	return count > 0;
}

/* Of the outcomes of one job, the latest claim's is the one that counted. */
static struct weir_finished *
finished_of(struct pg_turn *t, int64_t id, bool simple)
{
	struct pg_ending *end = t->endings + t->turn->finish_count;
	const struct pg_ending *best = NULL;

	for (struct pg_ending *e = find(t, id); e != end && e->id == id; e++)
		if (is_sent(e) && e->is_simple == simple &&
		    (!best ||
		     finish_of(t, e)->claim->row.attempted_at_ms >
			     finish_of(t, best)->claim->row.attempted_at_ms))
			best = e;
	weir_assert(best);
	return &t->turn->finished[best->at];
}

/* What nothing comes back of. */
static void
note_unsaid(struct pg_turn *t)
{
	struct weir_turn *turn = t->turn;

	for (size_t i = 0; i < turn->finish_count; i++) {
		const struct pg_ending *e = &t->endings[i];

		turn->finished[e->at] = (struct weir_finished){
			e->is_locked ? WEIR_BUSY : WEIR_STALE,
			finish_of(t, e)->claim->row.state};
		if (e->is_locked)
			turn->hold_until_ns = weir_now_ns() + AGAIN_NS;
	}
}

void
weir__pg_finish_read(struct pg_turn *t)
{
	const PGresult *result;

	note_unsaid(t);
	result = t->simple_count > 0 ? t->results[t->simple_result] : NULL;
	for (int i = 0; result && i < PQntuples(result); i++)
		*finished_of(t, weir__pg_get_int(result, i, 0), true) =
			(struct weir_finished){WEIR_OK, WEIR_JOB_COMPLETED};
	result = t->other_count > 0 ? t->results[t->other_result] : NULL;
	for (int i = 0; result && i < PQntuples(result); i++) {
		struct weir_finished *ret =
			finished_of(t, weir__pg_get_int(result, i, 0), false);

		ret->status = WEIR_OK;
		(void)!weir_job_state_parse(PQgetvalue(result, i, 1),
					    &ret->state);
	}
}
