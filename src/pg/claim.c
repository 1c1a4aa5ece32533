/*
 * Claiming jobs.
 *
 * Design.  One statement claims for all wants: for each of them, in their
 * order, it walks along River's own index (state, queue, priority,
 * scheduled_at, id), locks what nobody else has locked, and marks it.  Each
 * priority is a line of its own, so that each can begin at its cursor, if it
 * has one; see cursor.c.  What comes back has no order, and is sorted here.
 *
 * Statements of one transaction see what the ones before have done, but the
 * parts of one statement do not.  So a second want of a queue, which must not
 * claim what the first one has, is another statement; and so are wants of
 * suspects, which claim only if nothing else was claimed.  That a statement
 * tells to those behind it in a setting of this transaction.
 *
 * attempted_at is what a claim is fenced by, together with the attempt, which
 * a release gives back; so it always grows, even if the clock does not.
 */
#include "pg/claim.h"
#include "pg/cursor.h"
#include "pg/hold.h"
#include "pg/limit.h"

#include "base/assert.h"
#include "pg/row.h"

#include <stdlib.h>
#include <string.h>

/* Of PG_JOB_COLUMNS, and behind them. */
enum {
	COLUMN_ID = 0,
	COLUMN_PRIORITY = 2,
	COLUMN_SCHEDULED = 7,
	COLUMN_QUEUE = 12,
	COLUMN_SUSPECTS = 22, /* not of a hold: */
	COLUMN_LIMITS = 23,
	COLUMN_IS_LIMITED = 24, /* with a look at limits only */
	COLUMN_HOLD_AT = 22,
	COLUMN_HOLD_POLICY = 23,
	COLUMN_HOLD_SUSPECTS = 24,
	COLUMN_HOLD_LIMITS = 25,
};

static const struct pg_sql claim_sql = {
	"claim", WANTS_UNLESS
	"'suspect'" WANTS_END
	" picked AS MATERIALIZED (SELECT x.id FROM w, LATERAL (" PICK
	"j.id" PICK_END ") x)," CLAIMED " SELECT c.*, x.suspects, " HAS_LIMITS
	", " TELL "some" TELL_END " FROM " SUSPECTS IS_UNLIMITED SUSPECTS_END
	" LEFT JOIN claimed c ON true"};

/* The one job of its turn. */
static const struct pg_sql suspect_sql = {
	"claim_suspect", WANTS_UNLESS
	"'some', 'suspect'" WANTS_END
	" picked AS MATERIALIZED (" PICK_SUSPECT IS_UNLIMITED PICK_SUSPECT_END
	")," CLAIMED " SELECT c.*, false, " TELL "suspect" TELL_END
	" FROM claimed c"};

#define HOLD_COLUMNS \
	PG_JOB_COLUMNS_WITH("'available'::text", "NULL::integer", "NULL::text")
/* There are hardly ever any, and then that is known at once. */
#define IS_INNOCENT                                               \
	"(NOT (SELECT EXISTS (SELECT 1 FROM @weir_suspect WHERE"  \
	" job > 0)) OR NOT EXISTS (SELECT 1 FROM @weir_suspect s" \
	" WHERE s.job = j.id OFFSET 0))"

/*
 * What is held is only locked, so it is read as it was before, with what it is
 * for us: when we have attempted it, and what becomes of it once completed.
 * $8: kinds that may not be held; $13, $14: which part of the ids, so that two
 * of these can be at it at once and need not pass over each other's rows.
 */
static const struct pg_sql hold_sql = {
	"claim_hold",
	"WITH w AS MATERIALIZED (SELECT w.*, coalesce(f.finished, 0) AS"
	" finished FROM unnest($1::text[], $2::integer[],"
	" $9::timestamptz[], $10::timestamptz[], $11::timestamptz[],"
	" $12::timestamptz[]) AS w(queue, most, from1, from2, from3, from4)"
	" LEFT JOIN @weir_queue f ON f.name = w.queue"
	" WHERE EXISTS (SELECT 1 FROM @weir_client WHERE id = $3)"
	" AND NOT EXISTS (SELECT 1 FROM @river_queue q"
	" WHERE q.name = w.queue AND q.paused_at IS NOT NULL))"
	" SELECT held.*, x.suspects, " HAS_LIMITS
	" FROM " SUSPECTS IS_UNLIMITED SUSPECTS_END
	" LEFT JOIN LATERAL (SELECT z.*, w.finished FROM w, LATERAL ("
	"SELECT y.* FROM " LINES ", LATERAL ("
	"SELECT " HOLD_COLUMNS ", " CLAIM_AT " FROM @river_job j"
	" WHERE j.state = 'available' AND j.queue = w.queue"
	" AND j.priority = p.priority AND " IS_DUE
	" AND j.scheduled_at >= coalesce(p.first, '-infinity')"
	" AND " KIND_FITS " AND j.unique_key IS NULL"
	" AND j.kind <> ALL ($8::text[]) AND (j.id >> " PG_TEXT_OF(
		PG_PART_BITS) " & $13) = $14"
			      " AND " IS_UNLIMITED " AND " IS_INNOCENT
			      " ORDER BY j.scheduled_at, j.id"
			      " LIMIT w.most FOR UPDATE OF j SKIP LOCKED) y "
			      "LIMIT w.most) z) held"
			      " ON true"};

/*
 * What may not be held: kinds ($17) that take long, and what is unique; as far
 * as it comes before a place in its queue ($14 to $16).
 */
static const struct pg_sql rest_sql = {
	"claim_rest",
	"WITH w AS MATERIALIZED (SELECT * FROM unnest($1::text[],"
	" $2::integer[], $10::timestamptz[], $11::timestamptz[],"
	" $12::timestamptz[], $13::timestamptz[], $14::smallint[],"
	" $15::timestamptz[], $16::bigint[])"
	" AS w(queue, most, from1, from2, from3, from4, priority, due, id)"
	" WHERE EXISTS (SELECT 1 FROM @weir_client WHERE id = $3)"
	" AND NOT $8 AND NOT EXISTS (SELECT 1 FROM @river_queue q"
	" WHERE q.name = w.queue AND q.paused_at IS NOT NULL)),"
	" picked AS MATERIALIZED (SELECT x.id FROM w, LATERAL ("
	"SELECT y.id FROM " LINES ", LATERAL ("
	"SELECT j.id FROM @river_job j WHERE j.state = 'available'"
	" AND j.queue = w.queue AND j.priority = p.priority AND " IS_DUE
	" AND j.scheduled_at >= coalesce(p.first, '-infinity') AND " KIND_FITS
	" AND j.scheduled_at <= CASE WHEN p.priority < w.priority"
	"  THEN 'infinity' WHEN p.priority = w.priority THEN w.due"
	"  ELSE '-infinity' END"
	" AND (j.priority, j.scheduled_at, j.id) < (w.priority, w.due, w.id)"
	" AND (j.unique_key IS NOT NULL OR j.kind = ANY ($17::text[]))"
	" AND " IS_UNLIMITED " AND NOT EXISTS (SELECT 1 FROM @weir_suspect s"
	" WHERE s.job = j.id OFFSET 0) ORDER BY j.scheduled_at, j.id"
	" LIMIT w.most FOR UPDATE OF j SKIP LOCKED) y LIMIT w.most) x)," CLAIMED
	" SELECT c.*, false FROM claimed c"};

static bool
is_among(const struct pg_turn *t, const struct pg_claim_sent *sent,
	 const char *queue)
{
	for (size_t i = 0; i < sent->count; i++)
		if (strcmp(t->turn->wants[sent->first + i].queue, queue) == 0)
			return true;
	return false;
}

/* Which wants go together: neighbours of one sort, and of several queues. */
static void
divide(struct pg_turn *t)
{
	struct pg_claim_sent *last = NULL;

	t->claim_count = 0;
	t->wants_alone = false;
	for (size_t i = 0; i < t->turn->want_count; i++) {
		const struct weir_want *want = &t->turn->wants[i];

		t->wants_alone |= want->alone;
		if (last && last->alone == want->alone &&
		    !is_among(t, last, want->queue)) {
			last->count++;
			continue;
		}
		/* Whoever wants as much in one turn may ask again. */
		if (t->claim_count == PG_CLAIMS_MAX)
			break;
		last = &t->claims[t->claim_count++];
		*last = (struct pg_claim_sent){
			.first = i, .count = 1, .alone = want->alone};
	}
}

static void
put_wants(struct pg_turn *t, const struct pg_claim_sent *sent)
{
	const struct weir_want *wants = t->turn->wants + sent->first;
	struct pg_params *p = &t->p;

	weir__pg_array_begin(p, PG_TEXT, sent->count);
	for (size_t i = 0; i < sent->count; i++)
		weir__pg_text(p, wants[i].queue, strlen(wants[i].queue));
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT4, sent->count);
	for (size_t i = 0; i < sent->count; i++)
		weir__pg_int4(p, wants[i].count < INT32_MAX
					 ? (int32_t)wants[i].count
					 : INT32_MAX);
	weir__pg_array_end(p);
}

/* $10 to $13. */
static void
put_cursors(struct pg_turn *t, const struct pg_claim_sent *sent)
{
	const struct weir_want *wants = t->turn->wants + sent->first;

	for (int priority = 0; priority < PG_PRIORITIES; priority++) {
		weir__pg_array_begin(&t->p, PG_TIMESTAMPTZ, sent->count);
		for (size_t i = 0; i < sent->count; i++)
			weir__pg_time(&t->p,
				      weir__pg_cursor_since(t, wants[i].queue,
							    priority));
		weir__pg_array_end(&t->p);
	}
}

static void
put_kinds(struct pg_turn *t)
{
	const struct weir_turn *turn = t->turn;
	size_t count = turn->kinds ? turn->kind_count : 0;

	weir__pg_bool(&t->p, !turn->kinds);
	weir__pg_array_begin(&t->p, PG_TEXT, count);
	for (size_t i = 0; i < count; i++)
		weir__pg_text(&t->p, turn->kinds[i], strlen(turn->kinds[i]));
	weir__pg_array_end(&t->p);
	weir__pg_bool(&t->p, turn->kinds_left_out);
}

static void
put_long_kinds(struct pg_turn *t)
{
	weir__pg_array_begin(&t->p, PG_TEXT, t->long_kind_count);
	for (size_t i = 0; i < t->long_kind_count; i++)
		weir__pg_text(&t->p, t->long_kinds[i],
			      strlen(t->long_kinds[i]));
	weir__pg_array_end(&t->p);
}

/* The place before which each want is to be filled. */
static void
put_places(struct pg_turn *t, const struct pg_claim_sent *sent)
{
	const struct pg_place *before = t->before + sent->first;
	struct pg_params *p = &t->p;

	weir__pg_array_begin(p, PG_INT2, sent->count);
	for (size_t i = 0; i < sent->count; i++)
		weir__pg_int2(p, before[i].priority);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_TIMESTAMPTZ, sent->count);
	for (size_t i = 0; i < sent->count; i++)
		weir__pg_time(p, before[i].scheduled_at_ms);
	weir__pg_array_end(p);
	weir__pg_array_begin(p, PG_INT8, sent->count);
	for (size_t i = 0; i < sent->count; i++)
		weir__pg_int8(p, before[i].id);
	weir__pg_array_end(p);
}

static const struct pg_sql *
sql_of(const struct pg_turn *t, const struct pg_claim_sent *sent)
{
	switch (t->way) {
	case PG_WAY_CLAIM:
		if (t->looks)
			return weir__pg_limit_claim(sent->alone);
		return sent->alone ? &suspect_sql : &claim_sql;
	case PG_WAY_HOLD:
		return &hold_sql;
	case PG_WAY_REST:
		return &rest_sql;
	}
	weir_bug("no such way");
}

void
weir__pg_claim_send(struct pg_turn *t)
{
	divide(t);
	weir_assert(t->way == PG_WAY_CLAIM || !t->wants_alone);
	if (t->claim_count > 0)
		weir__pg_cursor_begin(t);
	t->looks = t->looks && t->way == PG_WAY_CLAIM && t->claim_count > 0;
	if (t->looks)
		weir__pg_limit_lock_send(t);
	for (size_t i = 0; i < t->claim_count; i++) {
		struct pg_claim_sent *sent = &t->claims[i];

		weir__pg_begin(&t->p);
		put_wants(t, sent);
		weir__pg_int8(&t->p, t->turn->owner->id);
		weir__pg_now(&t->p, t->store);
		put_kinds(t);
		if (t->way == PG_WAY_HOLD) {
			put_long_kinds(t);
		} else {
			weir__pg_bool(&t->p,
				      t->wants_alone && t->claim_count > 1);
			weir__pg_text(&t->p, t->owner, strlen(t->owner));
		}
		put_cursors(t, sent);
		if (t->way == PG_WAY_HOLD) {
			weir__pg_int8(&t->p, (int64_t)t->parts - 1);
			weir__pg_int8(&t->p, (int64_t)t->part);
		}
		if (t->way == PG_WAY_REST) {
			put_places(t, sent);
			put_long_kinds(t);
		}
		if (t->looks)
			weir__pg_limit_params(t);
		sent->result = weir__pg_turn_send(t, sql_of(t, sent));
	}
}

/* A row that was claimed, by what it is sorted by. */
struct place {
	size_t want; /* of its statement */
	int64_t priority, scheduled_us, id;
	int row;
};

static int
compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->want != y->want)
		return x->want < y->want ? -1 : 1;
	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x->scheduled_us != y->scheduled_us)
		return x->scheduled_us < y->scheduled_us ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/* Which of the wants of a statement is of that queue. */
static size_t
want_of(const struct pg_turn *t, const struct pg_claim_sent *sent,
	const char *queue)
{
	size_t i = 0;

	while (i < sent->count &&
	       strcmp(t->turn->wants[sent->first + i].queue, queue) != 0)
		i++;
	weir_assert(i < sent->count);
	return i;
}

static int
sort(const struct pg_turn *t, const struct pg_claim_sent *sent,
     struct place *places)
{
	const PGresult *result = t->results[sent->result];
	int count = 0;

	for (int i = 0; i < PQntuples(result); i++)
		if (!weir__pg_is_null(result, i, COLUMN_ID))
			places[count++] = (struct place){
				want_of(t, sent,
					PQgetvalue(result, i, COLUMN_QUEUE)),
				weir__pg_get_int(result, i, COLUMN_PRIORITY),
				weir__pg_get_int(result, i, COLUMN_SCHEDULED),
				weir__pg_get_int(result, i, COLUMN_ID), i};
	qsort(places, (size_t)count, sizeof(*places), compare);
	return count;
}

/* Was a want filled? */
static void
note_more(struct pg_turn *t, const struct pg_claim_sent *sent,
	  const struct place *places, int count)
{
	const struct weir_want *wants = t->turn->wants + sent->first;
	uint32_t got = 0;

	for (int i = 0; i < count; i++) {
		got = i > 0 && places[i - 1].want == places[i].want ? got + 1
								    : 1;
		if (got == wants[places[i].want].count)
			t->turn->more = true;
	}
}

/* Where the next claim may begin. */
static void
note_cursors(struct pg_turn *t, const struct pg_claim_sent *sent,
	     const struct place *places, int count)
{
	const PGresult *result = t->results[sent->result];
	int at = 0;

	for (size_t i = 0; i < sent->count; i++) {
		const struct weir_want *want = &t->turn->wants[sent->first + i];
		struct pg_got got = {.queue = want->queue, .most = want->count};

		if (t->way == PG_WAY_REST)
			got.before = &t->before[sent->first + i];
		for (; at < count && places[at].want == i; at++) {
			int64_t p = places[at].priority - 1;

			weir_assert(p >= 0 && p < PG_PRIORITIES);
			got.count++;
			/* What is limited has waited; others have not. */
			if (got.has[p] ||
			    (t->looks &&
			     weir__pg_get_bool(result, places[at].row,
					       COLUMN_IS_LIMITED)))
				continue;
			got.has[p] = true;
			got.first_ms[p] = weir__pg_get_ms(
				result, places[at].row, COLUMN_SCHEDULED);
		}
		weir__pg_cursor_note(t, &got);
	}
}

/* A row that is held becomes what a claim would have made of it. */
static void
hold_row(const PGresult *result, int at, weir_job_row *row)
{
	row->state = WEIR_JOB_RUNNING;
	row->attempt++;
	row->attempted_at_ms = weir__pg_get_ms(result, at, COLUMN_HOLD_AT);
}

/* What has kept jobs from being claimed. */
static void
note_passed_over(struct pg_turn *t, const struct pg_claim_sent *sent)
{
	const PGresult *result = t->results[sent->result];
	bool holds = t->way == PG_WAY_HOLD;

	if (sent->alone || t->way == PG_WAY_REST || PQntuples(result) == 0)
		return;
	if (weir__pg_get_bool(result, 0,
			      holds ? COLUMN_HOLD_SUSPECTS : COLUMN_SUSPECTS))
		t->turn->suspects = true;
	if (t->looks)
		weir__pg_limit_read(t, result);
	else if (!t->others_look &&
		 weir__pg_get_bool(result, 0,
				   holds ? COLUMN_HOLD_LIMITS : COLUMN_LIMITS))
		weir__pg_limit_seen(t);
}

/* The rows of one statement, behind those of the ones before. */
static bool
gather(struct pg_turn *t, const struct pg_claim_sent *sent, int *policies)
{
	const PGresult *result = t->results[sent->result];
	struct place *places =
		calloc((size_t)PQntuples(result) + 1, sizeof(*places));
	struct weir_buf buf = {0};
	bool ok = places != NULL, holds = t->way == PG_WAY_HOLD;
	int count = ok ? sort(t, sent, places) : 0;

	for (int i = 0; i < count && ok; i++) {
		int at = places[i].row;
		weir_job_row row;

		ok = weir__pg_row(result, at, &buf, &row);
		row.attempted_by = t->turn->owner->name;
		if (holds) {
			hold_row(result, at, &row);
			policies[i] = (int)weir__pg_get_int(result, at,
							    COLUMN_HOLD_POLICY);
		}
		ok = ok && weir__gather_add(t->gathered, &row);
	}
	if (ok && !sent->alone) {
		note_more(t, sent, places, count);
		if (!holds || t->turn->more)
			note_cursors(t, sent, places, count);
	}
	note_passed_over(t, sent);
	weir__buf_fini(&buf);
	free(places);
	return ok;
}

bool
weir__pg_claim_read(struct pg_turn *t, int *policies)
{
	size_t before = t->gathered->count;
	bool ok = true;

	weir_assert(t->way != PG_WAY_HOLD || t->claim_count <= 1);
	for (size_t i = 0; i < t->claim_count && ok; i++)
		ok = gather(t, &t->claims[i], policies);
	if (ok && t->claim_count > 0)
		weir__pg_cursor_end(t, t->gathered->count - before + t->ended);
	return ok;
}
