/*
 * The connection is cut: jobs that are held.  See test_pg_cuts.c.
 *
 * A small loop does what queue/work.c would: it takes what there is, ends it,
 * tells again what is BUSY, and enlists anew when it was lost.  It is cut in
 * its first two turns; then it goes on until all are done.  What was said to
 * be completed is completed, and is never given out again; some fail when they
 * are first tried; and as nobody wants anything cancelled, nothing is.
 */
#include "pg_cuts.h"
#include "pg/hold.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

enum { JOBS = 20, TURNS_MAX = 4000, HOLD_MS = 510 };

/* What the loop has, and what it was told of each job. */
static struct loop {
	struct weir_finish finishes[JOBS];
	struct weir_finished finished[JOBS];
	size_t count;
	int64_t first_id;
	bool completed[JOBS];
} loop;

static void
take(struct weir_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct weir_claim *claim = &batch->claims[i];
		int64_t at = claim->row.id - loop.first_id;

		REQUIRE(at >= 0 && at < JOBS && loop.count < JOBS);
		CHECK_MSG(!loop.completed[at], "%s: job %" PRId64 " again",
			  cuts_where, at);
		loop.finishes[loop.count++] = (struct weir_finish){
			.claim = claim,
			.verdict = at % 5 == 0 && claim->row.attempt == 1
					   ? WEIR_VERDICT_RETRY
					   : WEIR_VERDICT_COMPLETE};
	}
}

/* Whoever is told to cancel one that runs does so. */
static void
heed(const struct weir_buf *cancels, size_t told)
{
	const int64_t *ids = (const void *)weir__buf_str(
		(struct weir_buf *)(uintptr_t)cancels);

	for (size_t i = 0; i < cancels->len / sizeof(*ids); i++)
		for (size_t j = told; j < loop.count; j++)
			if (loop.finishes[j].claim->row.id == ids[i])
				loop.finishes[j].verdict = WEIR_VERDICT_CANCEL;
}

/* What has been settled is ours no more; so many were told. */
static void
settle(size_t told)
{
	size_t left = 0;

	for (size_t i = 0; i < loop.count; i++) {
		const struct weir_claim *claim = loop.finishes[i].claim;

		if (i >= told || loop.finished[i].status == WEIR_BUSY) {
			loop.finishes[left++] = loop.finishes[i];
			continue;
		}
		if (loop.finished[i].status == WEIR_OK &&
		    loop.finished[i].state == WEIR_JOB_COMPLETED)
			loop.completed[claim->row.id - loop.first_id] = true;
		weir__claim_free(claim);
	}
	loop.count = left;
}

/* One that tells of no more than so many. */
static weir_status
turn(struct bench *b, bool wants, size_t most, weir_error *error)
{
	struct weir_want want = {.queue = "default", .count = JOBS};
	size_t told = loop.count < most ? loop.count : most;
	struct weir_buf cancels = {0};
	struct weir_turn t = {
		.owner = &b->owner,
		.cancels = &cancels,
		.finishes = loop.finishes,
		.finish_count = told,
		.finished = loop.finished,
		.wants = &want,
		.want_count = wants && loop.count == 0,
		.may_hold = true,
		.hold_until_ns = WEIR_FOREVER,
	};
	weir_status status = b->via->ops->turn(b->via, &t, error);

	heed(&cancels, told);
	weir__buf_fini(&cancels);
	/* With STALE all are lost, told or not; with others none was told. */
	for (size_t i = told; status == WEIR_STALE && i < loop.count; i++)
		loop.finished[i].status = WEIR_STALE;
	if (status == WEIR_OK)
		settle(told);
	else if (status == WEIR_STALE)
		settle(loop.count);
	if (t.batch)
		take(t.batch);
	return status;
}

/* Each try is to say the same, whatever was learnt from those before. */
static void
forget_all(struct pg_holds *holds)
{
	weir__mutex_lock(&holds->mu);
	holds->long_count = holds->place_count = 0;
	holds->again_at_ns = 0;
	holds->plenty = true;
	weir__mutex_unlock(&holds->mu);
}

static void
prepare_loop(struct bench *b)
{
	forget_all(weir__pg_of(b->via)->holds);
	for (size_t i = 0; i < loop.count; i++)
		weir__claim_free(loop.finishes[i].claim);
	loop = (struct loop){0};
	cuts_put(b, JOBS);
	loop.first_id = atoll(cuts_ask(b, "SELECT min(id) FROM river_job"));
	cuts_enlist(b, b->via, &b->owner);
}

static weir_status
act_loop(struct bench *b, weir_error *error)
{
	weir_status status = turn(b, true, JOBS, error);

	return status == WEIR_OK ? turn(b, false, JOBS, error) : status;
}

/* Half of them are not done in time. */
static weir_status
act_late(struct bench *b, weir_error *error)
{
	weir_status status = turn(b, true, JOBS, error);

	if (status != WEIR_OK)
		return status;
	(void)poll(NULL, 0, HOLD_MS);
	return turn(b, false, JOBS / 2, error);
}

/* Somebody in this process changes one that is held, which spills it. */
static weir_status
act_spill(struct bench *b, weir_error *error)
{
	weir_status status = turn(b, true, JOBS, error);

	if (status != WEIR_OK)
		return status;
	weir__pg_holds_spill(weir__pg_of(b->via), &loop.first_id, 1, false);
	return turn(b, false, JOBS, error);
}

static size_t
count_completed(void)
{
	size_t count = 0;

	for (size_t i = 0; i < JOBS; i++)
		count += loop.completed[i];
	return count;
}

static void
check_loop(struct bench *b)
{
	static const char done[] =
		"SELECT count(*) FROM river_job WHERE state = 'completed'";
	char all[16];
	int turns = 0;

	(void)snprintf(all, sizeof(all), "%d", JOBS);
	CHECK_MSG(atoll(cuts_ask(b, done)) >= (long long)count_completed(),
		  "%s: less is completed than was said", cuts_where);
	if (b->status == WEIR_STALE && !b->hasty)
		OK(b->via->ops->enlist(b->via, &b->owner, error));
	while ((strcmp(cuts_ask(b, done), all) != 0 || loop.count > 0) &&
	       turns++ < TURNS_MAX) {
		weir_error trouble = {WEIR_OK, 0, ""};

		if (turn(b, true, JOBS, &trouble) == WEIR_STALE)
			OK(b->via->ops->enlist(b->via, &b->owner, error));
		(void)poll(NULL, 0, 1);
	}
	cuts_is(b, done, "%d", JOBS);
	cuts_is(b, "SELECT count(*) FROM weir_hold", "0");
	CHECK_MSG(loop.count == 0, "%s: %zu are left", cuts_where, loop.count);
}

CUT(hold, "hold", prepare_loop, act_loop, check_loop)
CUT(hold_and_its_note, "work", prepare_loop, act_loop, check_loop)
CUT(hold_that_spills, "hold", prepare_loop, act_spill, check_loop)
CUT(hold_that_is_late, "hold", prepare_loop, act_late, check_loop)
