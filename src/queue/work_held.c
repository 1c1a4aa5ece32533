/*
 * Held jobs: where they come from, and how they end.
 *
 * Design.  They are made a slab at a time and used again, the last one first,
 * so that a work in its stride takes no memory for a job.  What a job that
 * fails has to say is one block of its own.
 *
 * Locking.  The slabs are the loop's.  A held job is concluded by whoever has
 * it: the lane that gives it, or the loop.
 */
#include "queue/work_inside.h"

#include "base/assert.h"
#include "queue/verdict.h"

#include <stdlib.h>

#define SLAB 64

struct weir_slab {
	struct weir_slab *next;
	struct weir_held held[SLAB];
};

static bool
slab_add(weir_work *work)
{
	struct weir_slab *slab = calloc(1, sizeof(*slab));

	weir_assert(work->spare_len < WEIR_AHEAD_MAX * 16);

	if (!slab)
		return false;
	slab->next = work->slabs;
	work->slabs = slab;
	for (size_t i = 0; i < SLAB; i++) {
		slab->held[i].work = work;
		weir__list_init(&slab->held[i].all);
		weir__list_append(&work->spare, &slab->held[i].link);
	}
	return true;
}

bool
weir__held_reserve(weir_work *work, size_t count)
{
	while (work->spare_len < count) {
		if (!slab_add(work))
			return false;
		work->spare_len += SLAB;
	}
	return true;
}

struct weir_held *
weir__held_new(weir_work *work, struct weir_claim *claim)
{
	struct weir_list *link = weir__list_pop(&work->spare);
	struct weir_held *held;

	weir_assert(link && work->spare_len > 0);
	work->spare_len--;
	held = weir_container_of(link, struct weir_held, link);
	held->claim = claim;
	weir_assert(held->work == work && !held->texts && !held->kept);
	held->cancelled = held->lost = held->told = held->unbegun = false;
	held->snoozes = held->cancels = held->completed = false;
	held->owner_id = work->owner.id;
	held->snooze_ns = held->retry_in_ns = -1;
	memset(&held->finish, 0, sizeof(held->finish));
	held->finish.claim = claim;
	weir__u64_store(&held->ctx, 0, WEIR_RELAXED);
	claim->user = held;
	weir__list_append(&work->held, &held->all);
	work->held_len++;
	return held;
}

void
weir__held_free(struct weir_held *held)
{
	weir_work *work = held->work;

	weir_assert(work->held_len > 0 && !held->kept);
	work->held_len--;
	weir__list_remove(&held->all);
	free(held->texts);
	held->texts = NULL;
	held->place = WEIR_HELD_FREE;
	if (held->cancel_why.data)
		weir__buf_fini(&held->cancel_why);
	if (held->output.data)
		weir__buf_fini(&held->output);
	weir__claim_free(held->claim);
	held->claim = NULL;
	weir__list_prepend(&work->spare, &held->link);
	work->spare_len++;
}

void
weir__held_fini(weir_work *work)
{
	struct weir_slab *slab = work->slabs, *next;

	weir_assert(work->held_len == 0 && work->pending_len == 0);
	for (; slab; slab = next) {
		next = slab->next;
		free(slab);
	}
	work->slabs = NULL;
}

void
weir__held_pend(struct weir_held *held, int64_t now_ns)
{
	weir_work *work = held->work;

	weir_assert(held->queue->held > 0);
	held->queue->held--;
	if (held->lost) {
		static const struct weir_finished stale = {.status =
								   WEIR_STALE};

		weir__work_settle(held, &stale);
		return;
	}
	if (work->pending_len == 0)
		work->pending_since_ns = now_ns;
	held->place = WEIR_HELD_PENDING;
	weir__list_append(&work->pending, &held->link);
	work->pending_len++;
}

/*
 * The texts of a finish, as one block.  Without memory for it the error, and
 * even the output, is left out: the verdict counts more.
 */
static void
keep_texts(struct weir_held *held, const struct weir_buf *error,
	   const struct weir_outcome *outcome)
{
	size_t error_len = error->failed ? 0 : error->len;
	size_t output_len = outcome->output ? outcome->output_len : 0;

	if (error_len + output_len == 0)
		return;
	weir_assert(!held->texts);
	held->texts = malloc(error_len + output_len);
	if (!held->texts)
		return;
	/* First the one, then the other; the store is told both lengths. */
	if (error_len > 0) {
		memcpy(held->texts, error->data, error_len);
		held->finish.error = held->texts;
		held->finish.error_len = error_len;
	}
	if (output_len > 0) {
		memcpy(held->texts + error_len, outcome->output, output_len);
		held->finish.output = held->texts + error_len;
		held->finish.output_len = output_len;
	}
}

/* Those of an outcome that is not simply WEIR_OK. */
static void
conclude_at_length(struct weir_held *held, const struct weir_outcome *outcome)
{
	weir_work *work = held->work;
	struct weir_buf error = {0};
	struct weir_case c = {
		.row = &held->claim->row,
		.retry = held->kind ? held->kind->handler.retry : NULL,
		.now_ms = weir__store_now_ms(work->store),
	};

	weir__mutex_lock(&work->mu);
	c.stopping = work->level == WEIR_WORK_NOW;
	c.cancelled = held->cancelled;
	c.unit = weir__rng_unit(&work->rng);
	weir__mutex_unlock(&work->mu);
	weir__verdict(outcome, &c, &held->finish);
	weir__verdict_error(outcome, &c, held->finish.verdict, &error);
	keep_texts(held, &error, outcome);
	weir__buf_fini(&error);
}

void
weir__held_conclude(struct weir_held *held, const struct weir_outcome *outcome)
{
	weir_assert(held->finish.claim == held->claim);
	if (outcome->status == WEIR_OK && outcome->snooze_ns < 0 &&
	    !outcome->cancel && !outcome->output)
		held->finish.verdict = WEIR_VERDICT_COMPLETE;
	else
		conclude_at_length(held, outcome);
}
