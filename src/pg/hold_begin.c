/*
 * What is held from now on: the batch that a visit gives to its owner, and the
 * hold of those of it that were locked.
 *
 * Locking.  The mutex of the hold's connection, and holds.mu.
 */
#include "pg/hold_visit.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

static int
compare(const void *a, const void *b)
{
	const struct pg_hold_job *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Where in the kinds of a hold that of a row is; mostly that of the last one.
 */
static size_t
put_kind(struct pg_hold *hold, size_t last, const char *kind)
{
	size_t at = hold->kinds.len;

	if (last < at && strcmp(hold->kinds.data + last, kind) == 0)
		return last;
	weir__buf_append(&hold->kinds, kind, strlen(kind) + 1);
	return at;
}

static bool
make_room(struct pg_hold *hold, size_t count)
{
	struct pg_hold_job *jobs;

	if (hold->room >= count)
		return true;
	jobs = realloc(hold->jobs, count * sizeof(*jobs));
	if (!jobs)
		return false;
	hold->jobs = jobs;
	hold->room = count;
	return true;
}

/* Its part of the claims. */
static void
put_jobs(struct pg_visit *v, struct pg_hold *hold, size_t part)
{
	const struct weir_claim *claims = v->turn->batch->claims + v->first;
	size_t last = 0;

	hold->count = 0;
	weir__buf_reset(&hold->kinds);
	for (size_t i = 0; i < v->count; i++) {
		const weir_job_row *row = &claims[i].row;

		if (!weir__pg_is_of_part(row->id, part, v->part_count))
			continue;
		last = put_kind(hold, last, row->kind);
		hold->jobs[hold->count++] =
			(struct pg_hold_job){row->id, row->attempted_at_ms,
					     last, v->policies[i], PG_UNTOLD};
	}
	weir_assert(hold->count == v->counts[part]);
	qsort(hold->jobs, hold->count, sizeof(*hold->jobs), compare);
}

/* False: no memory. */
static bool
fill(struct pg_visit *v, struct pg_hold *hold, size_t part)
{
	if (!make_room(hold, v->counts[part]))
		return false;
	put_jobs(v, hold, part);
	hold->batch = v->turn->batch;
	hold->until_ns = v->begun_ns + PG_HOLD_NS;
	hold->number = v->numbers[part];
	hold->trial = v->try_kind != NULL;
	hold->client = v->turn->owner->id;
	memcpy(hold->owner_text, v->t->owner, sizeof(hold->owner_text));
	hold->open = !hold->kinds.failed;
	return hold->open;
}

static void
note_places(struct pg_visit *v)
{
	const struct weir_claim *claims = v->turn->batch->claims + v->first;
	struct pg_holds *holds = v->holds;

	weir__mutex_lock(&holds->mu);
	for (size_t i = 0; i < v->count; i++) {
		const weir_job_row *row = &claims[i].row;
		size_t j = 0;

		if (i + 1 < v->count && claims[i + 1].row.queue == row->queue)
			continue;
		while (j < holds->place_count &&
		       strcmp(holds->places[j].queue, row->queue) != 0)
			j++;
		if (strlen(row->queue) >= PG_NAME_MAX)
			continue;
		if (j == PG_PLACES_MAX)
			j = holds->place_at++ % PG_PLACES_MAX;
		else if (j == holds->place_count)
			holds->place_count++;
		memcpy(holds->places[j].queue, row->queue,
		       strlen(row->queue) + 1);
		holds->places[j].place = (struct pg_place){
			(int32_t)row->priority, row->scheduled_at_ms, row->id};
	}
	for (size_t i = 0; v->try_kind && i < holds->long_count; i++)
		if (strcmp(holds->longs[i].kind, v->try_kind) == 0)
			holds->longs[i].trying = true;
	weir__mutex_unlock(&holds->mu);
}

/* Make the batch, and the hold of its part.  False: no memory. */
bool
weir__pg_visit_hand_out(struct pg_visit *v)
{
	bool ok = true;

	if (v->t->gathered->count == 0)
		return true;
	v->turn->batch = weir__gather_batch(v->t->gathered);
	if (!v->turn->batch)
		return false;
	for (size_t i = 0; i < v->part_count; i++) {
		struct pg_hold *hold = v->next[i];

		if (v->counts[i] == 0)
			continue;
		weir__mutex_lock(&hold->conn.mu);
		ok &= fill(v, hold, i);
		weir__mutex_unlock(&hold->conn.mu);
	}
	if (ok && v->count > 0)
		note_places(v);
	return ok;
}
