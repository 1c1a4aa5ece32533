/*
 * The finishes of a visit that may hold: which of them are of a hold, and what
 * becomes of each.
 *
 * Design.  A finish is either of a hold that goes on, and BUSY; or of one that
 * is to be ended, and told by that; or of none, and then, like those that a
 * hold spills because they have not simply ended well, one of the rest, which
 * the visit on the work connection tells.
 *
 * Locking.  The mutexes of the holds' connections, one at a time.
 */
#include "pg/hold_visit.h"

/* Find out which finishes are of this hold.  False: it is no more. */
static bool
match(struct pg_visit *v, size_t at)
{
	struct pg_hold *hold = v->mine[at];
	bool is_open;

	weir__mutex_lock(&hold->conn.mu);
	is_open = hold->open;
	hold->told_count = 0;
	for (size_t i = 0; is_open && i < hold->count; i++)
		hold->jobs[i].told = PG_UNTOLD;
	for (size_t i = 0; is_open && i < v->turn->finish_count; i++) {
		const struct weir_claim *claim = v->turn->finishes[i].claim;
		struct pg_hold_job *job;

		if (claim->batch != hold->batch)
			continue;
		job = weir__pg_hold_find(hold, claim->row.id);
		if (!job || job->told != PG_UNTOLD ||
		    job->attempted_at_ms != claim->row.attempted_at_ms)
			continue;
		job->told = i;
		hold->told_count++;
		v->holder[i] = (unsigned char)(at + 1);
	}
	v->ends[at] = is_open && (hold->told_count == hold->count ||
				  v->begun_ns >= hold->until_ns);
	weir__mutex_unlock(&hold->conn.mu);
	return is_open;
}

void
weir__pg_visit_match(struct pg_visit *v)
{
	size_t count = weir__pg_holds_of(v->holds, v->turn->owner->id, v->mine);

	v->mine_count = 0;
	for (size_t i = 0; i < count; i++) {
		struct pg_hold *hold = v->mine[i];

		v->mine[v->mine_count] = hold;
		if (match(v, v->mine_count))
			v->mine_count++;
		else
			weir__pg_hold_give_back(v->holds, hold);
	}
}

/* One more for the visit. */
static void
put_rest(struct pg_visit *v, size_t at)
{
	v->rest[v->rest_count] = v->turn->finishes[at];
	v->rest_at[v->rest_count++] = at;
}

void
weir__pg_visit_sort(struct pg_visit *v)
{
	for (size_t i = 0; i < v->turn->finish_count; i++) {
		size_t holder = v->holder[i];

		if (holder == 0)
			put_rest(v, i);
		else if (!v->ends[holder - 1])
			v->turn->finished[i].status = WEIR_BUSY;
	}
}

/* All that was told of a hold that is no more has come to nothing. */
void
weir__pg_visit_lost(struct pg_visit *v, size_t at, weir_status status)
{
	for (size_t i = 0; i < v->turn->finish_count; i++)
		if (v->holder[i] == at + 1)
			v->turn->finished[i] = (struct weir_finished){
				status, v->turn->finishes[i].claim->row.state};
}

void
weir__pg_visit_ended(struct pg_visit *v, size_t at)
{
	for (size_t i = 0; i < v->turn->finish_count; i++) {
		const struct weir_finish *finish = &v->turn->finishes[i];

		if (v->holder[i] != at + 1)
			continue;
		if (weir__pg_hold_is_untouched(finish))
			v->turn->finished[i] = (struct weir_finished){
				WEIR_OK, WEIR_JOB_AVAILABLE};
		else if (weir__pg_finish_is_simple(finish))
			v->turn->finished[i] = (struct weir_finished){
				WEIR_OK, WEIR_JOB_COMPLETED};
		else
			put_rest(v, i);
	}
}

/* What the visit has said of its finishes, where they come from. */
void
weir__pg_visit_spread(struct pg_visit *v)
{
	for (size_t i = 0; i < v->rest_count; i++)
		v->turn->finished[v->rest_at[i]] = v->rest_done[i];
}
