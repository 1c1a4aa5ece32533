/*
 * How holds are ended and begun, on several connections at once.
 *
 * Design.  Each connection that ends a hold, or begins one, is sent all that it
 * has to do before any of them is waited for, so that the server works for
 * them side by side.  With much to do two begin, each for its part of the ids;
 * what they claim is one batch, in the order of all.
 *
 * Locking.  The mutexes of these connections at once, in the order of
 * holds.all; whoever else takes one of them has no other.
 */
#include "pg/hold_visit.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_NS (5 * WEIR_S)

/* What is done on one connection. */
struct exchange {
	struct pg_hold *hold;
	size_t at;   /* its place in mine, if it ends */
	size_t part; /* that it begins */
	struct weir_want wants[PG_PLACES_MAX]; /* of its part */
	struct weir_turn turn;
	struct pg_turn t;
	bool ends, begins;

	/* What has come of it. */
	bool was_open;
	weir_status status;
	weir_error error;
	int64_t client, number; /* whose note is to be forgotten; 0: none */
	struct weir_buf lost;   /* ids that were in it, and run on */
};

static void send_it(struct pg_visit *v, struct exchange *x)
	WEIR_REQUIRES(x->t.conn->mu);
static void take_it(struct pg_visit *v, struct exchange *x)
	WEIR_REQUIRES(x->t.conn->mu);

/* Its share of what is wanted; a trial is of a few, of that kind only. */
static void
put_wants(struct pg_visit *v, struct exchange *x)
{
	for (size_t i = 0; i < v->want_count; i++) {
		uint32_t count = v->wants[i].count;
		uint32_t parts = (uint32_t)v->part_count;

		x->wants[i] = v->wants[i];
		x->wants[i].count =
			count / parts + (x->part < count % parts ? 1 : 0);
		if (v->try_kind && count > PG_HOLD_LEAST)
			x->wants[i].count = PG_HOLD_LEAST;
	}
	x->turn.wants = x->wants;
	x->t.part = x->part;
	x->t.parts = v->part_count;
	if (!v->try_kind)
		return;
	x->turn.kinds = &v->try_kind;
	x->turn.kind_count = 1;
	x->turn.kinds_left_out = false;
	x->t.long_kind_count = 0;
}

static void
prepare(struct pg_visit *v, struct exchange *x)
{
	x->turn = weir__pg_visit_part(v);
	x->t = weir__pg_visit_turn(v, &x->turn, &x->hold->conn);
	x->t.way = PG_WAY_HOLD;
	x->t.others_look = v->t->looks;
	if (x->begins)
		put_wants(v, x);
}

/* There may be too many already: do without for a while. */
static void
note_no_connection(struct pg_holds *holds)
{
	weir__mutex_lock(&holds->mu);
	holds->again_at_ns = weir_now_ns() + AGAIN_NS;
	weir__mutex_unlock(&holds->mu);
}

static void
send_it(struct pg_visit *v, struct exchange *x)
{
	struct pg_hold *hold = x->hold;
	PGconn *pg = x->t.conn->pg;

	x->was_open = hold->open;
	/* Somebody may have spilled it since we looked. */
	if (x->ends && !x->was_open)
		x->status = WEIR_BUSY;
	/* Another connection does not have its locks. */
	else if (x->ends && (!pg || PQstatus(pg) != CONNECTION_OK))
		x->status = weir__queue_error(&x->error, WEIR_SYSTEM, 0,
					      "the connection was lost");
	else if (!x->ends &&
		 (x->status = weir__pg_ready(x->t.conn, &x->error)) != WEIR_OK)
		note_no_connection(v->holds);
	if (x->status != WEIR_OK)
		return;
	if (x->ends) {
		x->t.ended = hold->count;
		weir__pg_hold_send_end(hold, &x->t, v->turn->finishes);
	}
	if (x->begins) {
		weir__pg_hold_send_begin(&x->t);
		weir__pg_claim_send(&x->t);
	}
	weir__pg_push(x->t.conn);
}

/* The rows of a new hold, behind what was gathered.  Without memory it is as if
 * there had been none. */
static void
take_held(struct pg_visit *v, struct exchange *x)
{
	struct weir_gather *gathered = v->t->gathered;
	size_t first = gathered->count;

	if (!v->policies)
		v->policies = calloc(weir__pg_visit_wanted(v) + 1,
				     sizeof(*v->policies));
	if (!v->policies ||
	    !weir__pg_claim_read(&x->t, v->policies + (first - v->first))) {
		gathered->count = first;
		return;
	}
	if (v->count == 0)
		v->half = gathered->count - first;
	v->counts[x->part] = gathered->count - first;
	v->count = gathered->count - v->first;
	weir__pg_visit_take(v, &x->turn);
}

/* What nobody has told an end of, for whoever runs it. */
static void
note_lost(struct exchange *x, const struct pg_hold *hold)
{
	for (size_t i = 0; i < hold->count; i++)
		if (hold->jobs[i].told == PG_UNTOLD)
			weir__buf_append(&x->lost, &hold->jobs[i].id,
					 sizeof(hold->jobs[i].id));
}

static void
take_it(struct pg_visit *v, struct exchange *x)
{
	struct pg_hold *hold = x->hold;
	bool was_sent = x->status == WEIR_OK;

	if (was_sent)
		x->status = weir__pg_sync(x->t.conn, x->t.results, &x->error);
	if (x->status == WEIR_OK) {
		hold->open = false;
		if (x->ends)
			weir__pg_hold_learn(v->holds, hold);
		if (x->begins)
			take_held(v, x);
		for (size_t i = 0; i < x->t.sent; i++)
			PQclear(x->t.results[i]);
	} else if (x->was_open) {
		x->client = hold->client;
		x->number = hold->number;
		weir__pg_trial_over(v->holds, hold);
		note_lost(x, hold);
	}
	if (x->status != WEIR_OK ? was_sent || x->was_open
				 : x->begins && v->counts[x->part] == 0)
		weir__pg_hold_abandon(hold, x->t.conn);
}

/* All are sent to on the way in, and waited for on the way out. */
static void
trade(struct pg_visit *v, struct exchange *xs, size_t count)
{
	if (count == 0)
		return;
	weir__mutex_lock(&xs->t.conn->mu);
	send_it(v, xs);
	trade(v, xs + 1, count - 1);
	take_it(v, xs);
	weir__mutex_unlock(&xs->t.conn->mu);
}

/*
 * What is known to be available again others may have by now, and whoever runs
 * it is to stop.  If it is not known, and so the owner doomed, all is lost to
 * it that it has, and nothing is anybody's to cancel.
 */
static void
settle_lost(struct pg_visit *v, struct exchange *x)
{
	weir__pg_hold_forget(v->t->store, x->client, x->number);
	if (weir__pg_is_doomed(v->holds, x->client))
		v->turn->hold_until_ns = v->begun_ns;
	else if (v->turn->cancels && x->lost.len > 0)
		weir__buf_append(v->turn->cancels, x->lost.data, x->lost.len);
	weir__buf_fini(&x->lost);
}

/* With no lock held: tell what has come of it. */
static void
settle(struct pg_visit *v, struct exchange *x)
{
	bool is_held =
		x->status == WEIR_OK && x->begins && v->counts[x->part] > 0;

	weir__pg_params_fini(&x->t.p);
	if (x->client)
		settle_lost(v, x);
	if (x->ends && x->status == WEIR_OK)
		weir__pg_visit_ended(v, x->at);
	else if (x->ends)
		weir__pg_visit_lost(v, x->at,
				    x->was_open ? WEIR_STALE : WEIR_BUSY);
	v->must_tell |= x->ends;
	if (x->ends && !x->was_open)
		v->turn->hold_until_ns = v->begun_ns;
	if (!is_held)
		weir__pg_hold_give_back(v->holds, x->hold);
}

static int
compare_holds(const void *a, const void *b)
{
	const struct exchange *x = a, *y = b;

	return (x->hold > y->hold) - (x->hold < y->hold);
}

/* Those that end, and those that begin; some do both. */
static size_t
list(struct pg_visit *v, struct exchange xs[PG_HOLDS])
{
	size_t count = 0;

	for (size_t i = 0; i < v->mine_count; i++)
		if (v->ends[i])
			xs[count++] = (struct exchange){
				.hold = v->mine[i], .at = i, .ends = true};
	for (size_t part = 0; part < v->part_count; part++) {
		size_t i = 0;

		while (i < count && xs[i].hold != v->next[part])
			i++;
		if (i == count)
			xs[count++] = (struct exchange){.hold = v->next[part]};
		xs[i].begins = true;
		xs[i].part = part;
	}
	qsort(xs, count, sizeof(*xs), compare_holds);
	return count;
}

/* The place of its queue among what was wanted. */
static size_t
want_of(const struct pg_visit *v, const weir_job_row *row)
{
	const char *queue =
		v->t->gathered->texts.data + (uintptr_t)row->queue - 1;
	size_t i = 0;

	while (i + 1 < v->want_count && strcmp(v->wants[i].queue, queue) != 0)
		i++;
	return i;
}

static bool
precedes(const struct pg_visit *v, const weir_job_row *x, const weir_job_row *y)
{
	size_t want_x = want_of(v, x), want_y = want_of(v, y);

	if (want_x != want_y)
		return want_x < want_y;
	if (x->priority != y->priority)
		return x->priority < y->priority;
	if (x->scheduled_at_ms != y->scheduled_at_ms)
		return x->scheduled_at_ms < y->scheduled_at_ms;
	return x->id < y->id;
}

struct held_row {
	weir_job_row row;
	int policy;
};

/*
 * Of two parts, each in its order, one batch in the order of all.  Without
 * memory they stay one behind the other.
 */
static void
merge(struct pg_visit *v)
{
	weir_job_row *rows = v->t->gathered->rows + v->first;
	struct held_row *copy;
	size_t a = 0, b = v->half;

	if (v->half == 0 || v->half == v->count)
		return;
	copy = calloc(v->count, sizeof(*copy));
	for (size_t i = 0; copy && i < v->count; i++)
		copy[i] = (struct held_row){rows[i], v->policies[i]};
	for (size_t i = 0; copy && i < v->count; i++) {
		bool is_a = b == v->count ||
			    (a < v->half &&
			     !precedes(v, &copy[b].row, &copy[a].row));
		const struct held_row *next = &copy[is_a ? a++ : b++];

		rows[i] = next->row;
		v->policies[i] = next->policy;
	}
	free(copy);
}

void
weir__pg_visit_exchange(struct pg_visit *v)
{
	struct exchange xs[PG_HOLDS];
	size_t count = list(v, xs);

	for (size_t i = 0; i < count; i++)
		prepare(v, &xs[i]);
	trade(v, xs, count);
	for (size_t i = 0; i < count; i++)
		settle(v, &xs[i]);
	merge(v);
}

void
weir__pg_visit_drop(struct pg_visit *v)
{
	for (size_t i = 0; i < v->part_count; i++) {
		struct pg_hold *hold = v->next[i];

		if (v->counts[i] == 0)
			continue;
		weir__mutex_lock(&hold->conn.mu);
		weir__pg_hold_abandon(hold, &hold->conn);
		weir__mutex_unlock(&hold->conn.mu);
		weir__pg_hold_give_back(v->holds, hold);
	}
	memset(v->counts, 0, sizeof(v->counts));
	v->count = 0;
	v->t->gathered->count = v->first;
}
