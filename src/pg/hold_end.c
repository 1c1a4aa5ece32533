/*
 * How a hold ends.
 *
 * Design.  One transaction, which began with the claim, is brought to its end:
 *
 *      our own row      locked, so that whoever takes us for dead waits
 *      the note         deleted; if it is gone we were taken for dead, and all
 *                       of this fails
 *      completed        kept, deleted, or deleted and archived
 *      spilled          running, exactly as a claim leaves it
 *      COMMIT
 *
 * What has ended in another way than simply well spills too, and is finished by
 * the same turn as what was claimed is.  What was given back untouched needs no
 * writing at all.
 *
 * The rows are locked since they were claimed, so there is nothing to fence.
 *
 * now() is when the transaction began, so what is over by now has the time of
 * the statement.
 */
#include "pg/hold.h"

#include "base/assert.h"

#include <string.h>

static const struct pg_sql begin_sql = {"hold_begin", "BEGIN"};
static const struct pg_sql commit_sql = {"hold_commit", "COMMIT"};

/* It fails if there is no note: then others have our jobs by now. */
static const struct pg_sql own_sql = {
	"hold_own",
	"WITH me AS MATERIALIZED (SELECT id FROM @weir_client WHERE id = $1"
	" FOR KEY SHARE),"
	" mine AS (DELETE FROM @weir_hold WHERE client = $1 AND number = $2"
	" AND EXISTS (SELECT 1 FROM me) RETURNING 1)"
	" SELECT 1 / count(*) FROM mine"};

/* 1 ids, 2 attempted_at, 3 the owner, 4 now */
#define NOW "coalesce($4::timestamptz, statement_timestamp())"
#define HELD                                                         \
	" FROM unnest($1::bigint[], $2::timestamptz[]) AS f(id, at)" \
	" WHERE j.id = f.id AND j.state::text = 'available'"
#define ATTEMPTED                                        \
	" attempt = j.attempt + 1, attempted_at = f.at," \
	" attempted_by = " PG_NEXT_BY("j", "$3::text")

static const struct pg_sql keep_sql = {
	"hold_keep", "UPDATE @river_job j SET state = 'completed'," ATTEMPTED
		     ", finalized_at = " NOW HELD};

static const struct pg_sql spill_sql = {
	"hold_spill",
	"UPDATE @river_job j SET state = 'running'," ATTEMPTED HELD};

static const struct pg_sql drop_sql = {
	"hold_drop", "DELETE FROM @river_job j WHERE j.id = ANY ($1::bigint[])"
		     " AND j.state::text = 'available'"};

/* $5: the owner's shown name */
static const struct pg_sql archive_sql = {
	"hold_archive",
	"WITH f AS MATERIALIZED (SELECT * FROM unnest($1::bigint[],"
	" $2::timestamptz[]) AS f(id, at)),"
	" gone AS (DELETE FROM @river_job j USING f"
	" WHERE j.id = f.id AND j.state::text = 'available'"
	" RETURNING j.*, f.at)"
	" INSERT INTO @weir_archive (id, queue, kind, attempt, created_at,"
	" attempted_at, finalized_at, attempted_by, output, args)"
	" SELECT id, queue, kind, attempt + 1, created_at, at, " NOW
	", regexp_replace($3::text, '#[0-9]+$', ''), metadata -> 'output',"
	" args FROM gone"};

bool
weir__pg_hold_is_untouched(const struct weir_finish *finish)
{
	return finish->verdict == WEIR_VERDICT_RELEASE && !finish->crashed &&
	       !finish->error && !finish->output;
}

enum fate { KEPT, ARCHIVED, DROPPED, UNTOUCHED, SPILLED, FATES };

static enum fate
fate_of(const struct pg_hold_job *job, const struct weir_finish *finishes)
{
	static const enum fate fates[] = {
		[WEIR_FINISHED_KEEP] = KEPT,
		[WEIR_FINISHED_ARCHIVE] = ARCHIVED,
		[WEIR_FINISHED_DROP] = DROPPED,
	};
	const struct weir_finish *finish;

	if (job->told == PG_UNTOLD)
		return SPILLED;
	finish = &finishes[job->told];
	if (weir__pg_hold_is_untouched(finish))
		return UNTOUCHED;
	if (!weir__pg_finish_is_simple(finish))
		return SPILLED;
	return fates[job->policy];
}

static void send_fate(struct pg_hold *hold, struct pg_turn *t,
		      const struct weir_finish *finishes, enum fate fate,
		      size_t count) WEIR_REQUIRES(t->conn->mu);
static void send_bells(struct pg_hold *hold, struct pg_turn *t,
		       const struct weir_finish *finishes)
	WEIR_REQUIRES(t->conn->mu);

/* Those of one fate, which are so many. */
static void
send_fate(struct pg_hold *hold, struct pg_turn *t,
	  const struct weir_finish *finishes, enum fate fate, size_t count)
{
	static const struct pg_sql *const sqls[FATES] = {
		[KEPT] = &keep_sql,
		[ARCHIVED] = &archive_sql,
		[DROPPED] = &drop_sql,
		[SPILLED] = &spill_sql,
	};
	struct pg_params *p = &t->p;

	weir__pg_begin(p);
	weir__pg_array_begin(p, PG_INT8, count);
	for (size_t i = 0; i < hold->count; i++)
		if (fate_of(&hold->jobs[i], finishes) == fate)
			weir__pg_int8(p, hold->jobs[i].id);
	weir__pg_array_end(p);
	if (fate != DROPPED) {
		weir__pg_array_begin(p, PG_TIMESTAMPTZ, count);
		for (size_t i = 0; i < hold->count; i++)
			if (fate_of(&hold->jobs[i], finishes) == fate)
				weir__pg_time(p, hold->jobs[i].attempted_at_ms);
		weir__pg_array_end(p);
		weir__pg_text(p, hold->owner_text, strlen(hold->owner_text));
		if (fate != SPILLED)
			weir__pg_now(p, t->store);
	}
	(void)weir__pg_turn_send(t, sqls[fate]);
}

static const struct pg_sql bells_sql = {
	"hold_bells", "SELECT " PG_TELL("(SELECT q.queue, 'available' AS state"
					" FROM unnest($1::text[]) q(queue)) r",
					"$2")};

/* What goes back is somebody else's to find. */
static void
send_bells(struct pg_hold *hold, struct pg_turn *t,
	   const struct weir_finish *finishes)
{
	const char *last = NULL;
	size_t count = 0;

	for (int pass = 0; pass < 2; pass++) {
		if (pass == 1) {
			weir__pg_begin(&t->p);
			weir__pg_array_begin(&t->p, PG_TEXT, count);
		}
		last = NULL;
		for (size_t i = 0; i < hold->count; i++) {
			const struct pg_hold_job *job = &hold->jobs[i];
			const char *queue;

			if (fate_of(job, finishes) != UNTOUCHED)
				continue;
			queue = finishes[job->told].claim->row.queue;
			if (last && strcmp(last, queue) == 0)
				continue;
			last = queue;
			weir_assert(queue != NULL);
			if (pass == 0)
				count++;
			else
				weir__pg_text(&t->p, queue, strlen(queue));
		}
	}
	weir__pg_array_end(&t->p);
	weir__pg_channel(&t->p, t->store);
	(void)weir__pg_turn_send(t, &bells_sql);
}

void
weir__pg_hold_send_begin(struct pg_turn *t)
{
	weir__pg_begin(&t->p);
	(void)weir__pg_turn_send(t, &begin_sql);
}

void
weir__pg_hold_send_end(struct pg_hold *hold, struct pg_turn *t,
		       const struct weir_finish *finishes)
{
	size_t counts[FATES] = {0};

	weir_assert(hold->open && hold->count > 0);
	for (size_t i = 0; i < hold->count; i++)
		counts[fate_of(&hold->jobs[i], finishes)]++;
	weir__pg_begin(&t->p);
	weir__pg_int8(&t->p, hold->client);
	weir__pg_int8(&t->p, hold->number);
	(void)weir__pg_turn_send(t, &own_sql);
	for (int fate = 0; fate < FATES; fate++)
		if (fate != UNTOUCHED && counts[fate] > 0)
			send_fate(hold, t, finishes, (enum fate)fate,
				  counts[fate]);
	if (counts[UNTOUCHED] > 0)
		send_bells(hold, t, finishes);
	weir__pg_begin(&t->p);
	(void)weir__pg_turn_send(t, &commit_sql);
}

/* So many of a kind of a hold have ended, or have not. */
struct tally {
	const char *kind;
	size_t told, untold;
};

static size_t
count_kinds(const struct pg_hold *hold, struct tally tallies[PG_LONG_MAX])
{
	size_t count = 0, at = 0;

	for (size_t i = 0; i < hold->count; i++) {
		const char *kind = hold->kinds.data + hold->jobs[i].kind;

		if (at >= count || strcmp(tallies[at].kind, kind) != 0)
			for (at = 0; at < count; at++)
				if (strcmp(tallies[at].kind, kind) == 0)
					break;
		if (at == PG_LONG_MAX)
			continue;
		if (at == count)
			tallies[count++] = (struct tally){.kind = kind};
		if (hold->jobs[i].told == PG_UNTOLD)
			tallies[at].untold++;
		else
			tallies[at].told++;
	}
	return count;
}

/*
 * Whom to blame?  Short jobs stand in line behind long ones, so rather a kind
 * of which none has ended; if there is none such, all that were not done in
 * time.
 */
void
weir__pg_hold_learn(struct pg_holds *holds, const struct pg_hold *hold)
{
	struct tally tallies[PG_LONG_MAX];
	size_t count = count_kinds(hold, tallies);
	bool is_clear = false;

	for (size_t i = 0; i < count; i++)
		is_clear |= tallies[i].told == 0;
	for (size_t i = 0; i < count; i++) {
		bool spilled = tallies[i].untold > 0;

		if (hold->trial)
			weir__pg_long_tried(holds, tallies[i].kind, spilled);
		else if (spilled && (!is_clear || tallies[i].told == 0))
			weir__pg_long_note(holds, tallies[i].kind);
	}
}
