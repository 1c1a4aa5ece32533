/*
 * A visit of a work that lets us hold.
 *
 * Design.  In this order, each a transaction and a round trip of its own:
 *
 *      1. the rest     now and then: what may not be held and has its turn
 *      2. holds        those of which all has ended, or whose time is up, are
 *                      ended, and one or two begin, rather on connections that
 *                      end one; see hold_exchange.c
 *      3. a visit      the note of that; outcomes of what is not held, or has
 *                      just spilled; and if there was too little to hold, what
 *                      else there is
 *
 * Nearly always it is 2 and 3, and 3 writes one small row.  With little to do
 * (less than PG_HOLD_LEAST jobs a turn) nothing is held, and it is 3 alone, as
 * for a work that does not let us.
 *
 * The jobs of a hold are given away only when its note is there, so whoever
 * finds the note of somebody dead knows what he may have died with.
 *
 * What was committed in 2 stays, whatever becomes of 3: then its outcomes are
 * told, those of 3 are BUSY, and the trouble shows the next time.
 *
 * Order.  What may not be held is no more to wait than what may: it is claimed
 * first as far as it comes before the place that the holds of its queue have
 * come to.
 *
 * Locking.  The mutexes of the connections, one at a time.
 */
#include "pg/hold_visit.h"
#include "pg/limit.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define REST_EVERY_NS (250 * WEIR_MS)
#define REST_FOR_NS   (10 * WEIR_S)
#define AGAIN_NS      (20 * WEIR_MS)

static const struct pg_sql note_sql = {
	"hold_note",
	"INSERT INTO @weir_hold (client, number, at, ids, attempts)"
	" SELECT $1::bigint, $2::bigint, coalesce($3::timestamptz, now()),"
	" $4::bigint[], $5::smallint[]"
	/* With the machine it may go; so does what is held. */
	" FROM (SELECT CASE WHEN $6 THEN"
	" set_config('synchronous_commit', 'off', true) END) s"
	" WHERE EXISTS (SELECT 1 FROM @weir_client WHERE id = $1)"};

static void
put_note(struct pg_params *p, const struct pg_note *note, bool ids)
{
	weir__pg_array_begin(p, ids ? PG_INT8 : PG_INT2, note->count);
	for (size_t i = 0; i < note->row_count; i++) {
		const weir_job_row *row = &note->rows[i];

		if (!weir__pg_is_of_part(row->id, note->part, note->parts))
			continue;
		if (ids)
			weir__pg_int8(p, row->id);
		else
			weir__pg_int2(p, (int)row->attempt - 1);
	}
	weir__pg_array_end(p);
}

void
weir__pg_note_send(struct pg_turn *t, const struct pg_note *note)
{
	struct pg_params *p = &t->p;
	static const struct pg_note none;
	bool is_first = true; /* none of them was attempted before */

	for (size_t i = 0; i < note->row_count && is_first; i++)
		is_first = note->rows[i].attempt == 1;
	weir__pg_begin(p);
	weir__pg_int8(p, t->turn->owner->id);
	weir__pg_int8(p, note->number);
	weir__pg_now(p, t->store);
	put_note(p, note, true);
	put_note(p, is_first ? &none : note, false);
	weir__pg_bool(p,
		      t->turn->finish_count == 0 && t->turn->want_count == 0);
	(void)weir__pg_turn_send(t, &note_sql);
}

/*
 * Wants.
 */

/* Those that were not filled by what was gathered since. */
static void
subtract(struct pg_visit *v, size_t first)
{
	const struct weir_gather *gathered = v->t->gathered;
	size_t count = 0;

	for (size_t i = first; i < gathered->count; i++) {
		const char *queue = gathered->texts.data +
				    (uintptr_t)gathered->rows[i].queue - 1;

		for (size_t j = 0; j < v->want_count; j++)
			if (v->wants[j].count > 0 &&
			    strcmp(v->wants[j].queue, queue) == 0) {
				v->wants[j].count--;
				break;
			}
	}
	for (size_t i = 0; i < v->want_count; i++)
		if (v->wants[i].count > 0)
			v->wants[count++] = v->wants[i];
	v->want_count = count;
}

size_t
weir__pg_visit_wanted(const struct pg_visit *v)
{
	size_t sum = 0;

	for (size_t i = 0; i < v->want_count; i++)
		sum += v->wants[i].count;
	return sum;
}

/* One want for each queue, and none for a suspect? */
static bool
may_split(const struct weir_turn *turn)
{
	if (turn->want_count > PG_PLACES_MAX)
		return false;
	for (size_t i = 0; i < turn->want_count; i++) {
		if (turn->wants[i].alone)
			return false;
		for (size_t j = 0; j < i; j++)
			if (strcmp(turn->wants[i].queue,
				   turn->wants[j].queue) == 0)
				return false;
	}
	return true;
}

/* Is that kind among those that the turn wants? */
static bool
wants_kind(const struct weir_turn *turn, const char *kind)
{
	bool is_named = false;

	for (size_t i = 0; turn->kinds && i < turn->kind_count; i++)
		is_named |= strcmp(turn->kinds[i], kind) == 0;
	return !turn->kinds || is_named != turn->kinds_left_out;
}

static void take_longs_locked(struct pg_visit *v, struct pg_holds *holds)
	WEIR_REQUIRES(holds->mu);

/* Which kinds may not be held, and which of them is to be tried again? */
static void
take_longs_locked(struct pg_visit *v, struct pg_holds *holds)
{
	for (size_t i = 0; i < holds->long_count; i++) {
		struct pg_long *entry = &holds->longs[i];

		memcpy(v->long_names[i], entry->kind, PG_NAME_MAX);
		if (!v->try_kind && !entry->trying &&
		    v->begun_ns >= entry->until_ns &&
		    wants_kind(v->turn, entry->kind))
			v->try_kind = v->long_names[i];
		v->long_kinds[v->long_count++] = v->long_names[i];
	}
}

/* Those that are to begin: rather such as are to end just before. */
static void
take_holds(struct pg_visit *v)
{
	struct pg_hold *hold;
	size_t parts = v->try_kind || weir__pg_visit_wanted(v) < PG_PARTS_FROM
			       ? 1
			       : PG_PARTS;

	for (size_t i = 0; i < v->mine_count && v->part_count < parts; i++)
		if (v->ends[i])
			v->next[v->part_count++] = v->mine[i];
	while (v->part_count < parts &&
	       (hold = weir__pg_hold_take(v->holds, v->turn->owner->id)))
		v->next[v->part_count++] = hold;
	weir__mutex_lock(&v->holds->mu);
	for (size_t i = 0; i < v->part_count; i++)
		v->numbers[i] = ++v->holds->number;
	weir__mutex_unlock(&v->holds->mu);
}

/*
 * Is this turn to hold something, and where?  *ret_rest: look for what may not
 * be held as well.
 */
static void
plan(struct pg_visit *v, bool *ret_rest)
{
	struct pg_holds *holds = v->holds;
	bool may;

	weir__mutex_lock(&holds->mu);
	may = holds->plenty && v->begun_ns >= holds->again_at_ns &&
	      weir__pg_visit_wanted(v) >= PG_HOLD_LEAST && may_split(v->turn);
	if (may)
		take_longs_locked(v, holds);
	*ret_rest =
		may && (v->long_count > 0 || v->begun_ns >= holds->rest_at_ns ||
			v->begun_ns < holds->rest_until_ns);
	if (*ret_rest)
		holds->rest_at_ns = v->begun_ns + REST_EVERY_NS;
	weir__mutex_unlock(&holds->mu);
	if (may)
		take_holds(v);
}

/* A turn of a part of what is wanted, and of nothing that was done. */
struct weir_turn
weir__pg_visit_part(const struct pg_visit *v)
{
	struct weir_turn part = *v->turn;

	part.finishes = NULL;
	part.finish_count = 0;
	part.finished = NULL;
	part.wants = v->wants;
	part.want_count = v->want_count;
	part.more = part.suspects = part.limited = false;
	part.limited_at_ns = WEIR_FOREVER;
	return part;
}

struct pg_turn
weir__pg_visit_turn(const struct pg_visit *v, struct weir_turn *part,
		    struct pg_link *conn)
{
	struct pg_turn t = {.store = v->t->store,
			    .turn = part,
			    .conn = conn,
			    .gathered = v->t->gathered};

	memcpy(t.owner, v->t->owner, sizeof(t.owner));
	t.long_kinds = v->long_kinds;
	t.long_kind_count = v->long_count;
	return t;
}

void
weir__pg_visit_take(struct pg_visit *v, const struct weir_turn *part)
{
	v->turn->more |= part->more;
	v->turn->suspects |= part->suspects;
	v->turn->limited |= part->limited;
	if (part->limited_at_ns < v->turn->limited_at_ns)
		v->turn->limited_at_ns = part->limited_at_ns;
	if (part->hold_until_ns < v->turn->hold_until_ns)
		v->turn->hold_until_ns = part->hold_until_ns;
}

/*
 * 1. The rest.
 */

/* How far the holds of each queue have come; only wants of those are left. */
static size_t
places_of(struct pg_visit *v, struct weir_want *wants, struct pg_place *places)
{
	struct pg_holds *holds = v->holds;
	size_t count = 0;

	weir__mutex_lock(&holds->mu);
	for (size_t i = 0; i < v->want_count; i++)
		for (size_t j = 0; j < holds->place_count; j++)
			if (strcmp(holds->places[j].queue, v->wants[i].queue) ==
			    0) {
				wants[count] = v->wants[i];
				places[count++] = holds->places[j].place;
			}
	weir__mutex_unlock(&holds->mu);
	return count;
}

static weir_status
claim_rest(struct pg_visit *v, weir_error *reterr)
{
	struct weir_want wants[PG_PLACES_MAX];
	struct pg_place places[PG_PLACES_MAX];
	struct weir_turn part = weir__pg_visit_part(v);
	struct pg_turn t = weir__pg_visit_turn(v, &part, &v->t->store->work);
	size_t first = v->t->gathered->count;
	weir_status status;

	part.wants = wants;
	part.want_count = places_of(v, wants, places);
	if (part.want_count == 0)
		return WEIR_OK;
	t.way = PG_WAY_REST;
	t.before = places;
	status = weir__pg_visit(&t, reterr);
	if (status != WEIR_OK)
		return status;
	weir__pg_visit_take(v, &part);
	if (v->t->gathered->count == first)
		return WEIR_OK;
	subtract(v, first);
	v->must_tell = true;
	weir__mutex_lock(&v->holds->mu);
	v->holds->rest_until_ns = v->begun_ns + REST_FOR_NS;
	weir__mutex_unlock(&v->holds->mu);
	return WEIR_OK;
}

/*
 * 3. The visit.
 */

/* It has failed, and something was committed before. */
static weir_status
put_off(struct pg_visit *v, weir_status status)
{
	for (size_t i = 0; i < v->rest_count; i++)
		v->rest_done[i].status = WEIR_BUSY;
	weir__pg_visit_spread(v);
	v->turn->hold_until_ns = v->begun_ns + AGAIN_NS;
	if (status == WEIR_STALE)
		weir__pg_doom(v->holds, v->turn->owner->id);
	return WEIR_OK;
}

/* What is held is told before it is given away. */
static void
put_notes(struct pg_visit *v, struct pg_turn *t)
{
	t->notes = v->notes;
	for (size_t i = 0; i < v->part_count; i++)
		if (v->counts[i] > 0)
			v->notes[t->note_count++] = (struct pg_note){
				v->numbers[i], t->gathered->rows + v->first,
				v->count,      i,
				v->part_count, v->counts[i]};
}

static weir_status
visit_work(struct pg_visit *v, weir_error *reterr)
{
	struct weir_turn part = weir__pg_visit_part(v);
	struct pg_turn t = weir__pg_visit_turn(v, &part, &v->t->store->work);
	weir_status status;

	part.finishes = v->rest;
	part.finish_count = v->rest_count;
	part.finished = v->rest_done;
	t.missed = v->t->missed;
	t.looks = v->t->looks;
	/* The holds have taken all that was wanted. */
	if (t.looks && part.want_count == 0 && v->count > 0)
		weir__pg_limit_seen(v->t);
	put_notes(v, &t);
	if (v->must_tell && t.note_count == 0 && !t.missed &&
	    part.finish_count == 0 && part.want_count == 0)
		return WEIR_OK;
	status = weir__pg_visit(&t, reterr);
	if (status == WEIR_OK) {
		weir__pg_visit_take(v, &part);
		weir__pg_visit_spread(v);
		return WEIR_OK;
	}
	weir__pg_visit_drop(v);
	if (v->must_tell)
		return put_off(v, status);
	if (status == WEIR_STALE)
		return weir__pg_all_stale(v->turn, reterr, "taken for dead");
	return status;
}

static void
free_batch(struct weir_turn *turn)
{
	struct weir_batch *batch = turn->batch;
	size_t count = batch ? batch->count : 0;

	turn->batch = NULL;
	for (size_t i = 0; i < count; i++)
		weir__claim_free(&batch->claims[i]);
}

/* When does the loop have to come again? */
static void
note_until(struct pg_visit *v)
{
	struct pg_hold *mine[PG_HOLDS];
	size_t count = weir__pg_holds_of(v->holds, v->turn->owner->id, mine);

	for (size_t i = 0; i < count; i++) {
		int64_t until_ns;

		weir__mutex_lock(&mine[i]->conn.mu);
		/* Spilled meanwhile: what was BUSY is not any more. */
		until_ns = mine[i]->open ? mine[i]->until_ns : v->begun_ns;
		weir__mutex_unlock(&mine[i]->conn.mu);
		if (until_ns < v->turn->hold_until_ns)
			v->turn->hold_until_ns = until_ns;
	}
}

/* Was there so much that holding pays? */
static void
note_plenty(struct pg_visit *v)
{
	weir__mutex_lock(&v->holds->mu);
	if (v->turn->want_count > 0)
		v->holds->plenty = v->turn->batch &&
				   v->turn->batch->count >= PG_HOLD_LEAST;
	weir__mutex_unlock(&v->holds->mu);
}

static bool
is_mine(const struct pg_visit *v, const struct pg_hold *hold)
{
	for (size_t i = 0; i < v->mine_count; i++)
		if (v->mine[i] == hold)
			return true;
	return false;
}

/* Nothing is to be held; what it was to be in goes on, or is free again. */
static void
forgo_next(struct pg_visit *v)
{
	for (size_t i = 0; i < v->part_count; i++)
		if (!is_mine(v, v->next[i]))
			weir__pg_hold_give_back(v->holds, v->next[i]);
	v->part_count = 0;
}

/*
 * What has a limit is never held, and is claimed by the visit; so that there is
 * room for it the holds are not to take all that is wanted.
 */
static void
spare(struct pg_visit *v, uint32_t *spared)
{
	uint32_t slots = v->turn->slots > 0 ? v->turn->slots : PG_HOLD_LEAST;

	if (v->part_count == 0 || !v->t->looks ||
	    !weir__pg_limits_press(v->t->store))
		return;
	for (size_t i = 0; i < v->want_count; i++) {
		uint32_t half = v->wants[i].count / 2;

		spared[i] = slots < half ? slots : half;
		v->wants[i].count -= spared[i];
	}
}

static void
give_spared(struct pg_visit *v, const uint32_t *spared)
{
	for (size_t i = 0; i < v->want_count && i < PG_PLACES_MAX; i++)
		v->wants[i].count += spared[i];
}

static weir_status
run(struct pg_visit *v, weir_error *reterr)
{
	uint32_t spared[PG_PLACES_MAX] = {0};
	weir_status status = WEIR_OK;
	bool rest = false;

	weir__pg_visit_match(v);
	weir__pg_visit_sort(v);
	plan(v, &rest);
	if (v->part_count > 0 && rest)
		status = claim_rest(v, reterr);
	/* Whatever else is wrong with it shows again: holds are to end first.
	 */
	if (status == WEIR_STALE || weir__pg_visit_wanted(v) == 0)
		forgo_next(v);
	if (status == WEIR_STALE)
		return weir__pg_all_stale(v->turn, reterr, "taken for dead");
	v->first = v->t->gathered->count;
	spare(v, spared);
	weir__pg_visit_exchange(v);
	give_spared(v, spared);
	subtract(v, v->first);
	status = visit_work(v, reterr);
	if (status != WEIR_OK)
		return status;
	if (!weir__pg_visit_hand_out(v)) {
		free_batch(v->turn);
		return weir__pg_all_stale(v->turn, reterr, "out of memory");
	}
	note_plenty(v);
	note_until(v);
	return WEIR_OK;
}

static bool
make_room(struct pg_visit *v)
{
	size_t finishes = v->turn->finish_count + 1;
	size_t wants = v->turn->want_count + 1;

	v->holder = calloc(finishes, sizeof(*v->holder));
	v->rest = calloc(finishes, sizeof(*v->rest));
	v->rest_done = calloc(finishes, sizeof(*v->rest_done));
	v->rest_at = calloc(finishes, sizeof(*v->rest_at));
	v->wants = calloc(wants, sizeof(*v->wants));
	if (!v->holder || !v->rest || !v->rest_done || !v->rest_at || !v->wants)
		return false;
	for (size_t i = 0; i < v->turn->want_count; i++)
		v->wants[i] = v->turn->wants[i];
	v->want_count = v->turn->want_count;
	return true;
}

weir_status
weir__pg_hold_turn(struct pg_turn *t, weir_error *reterr)
{
	struct pg_visit v = {.t = t,
			     .turn = t->turn,
			     .holds = t->store->holds,
			     .begun_ns = weir_now_ns()};
	weir_status status;

	t->turn->hold_until_ns = WEIR_FOREVER;
	if (weir__pg_is_doomed(v.holds, t->turn->owner->id))
		return weir__pg_all_stale(t->turn, reterr, "taken for dead");
	if (make_room(&v))
		status = run(&v, reterr);
	else
		status = weir__queue_error(reterr, WEIR_NOMEM, 0,
					   "out of memory");
	free(v.holder);
	free(v.rest);
	free(v.rest_done);
	free(v.rest_at);
	free(v.wants);
	free(v.policies);
	return status;
}
