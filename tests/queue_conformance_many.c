/*
 * What every store must do: many jobs, and many who ask at once.
 */
#include "queue_conformance.h"

#include "sync/thread.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 1000

/* Insert that many; their ids begin at 1. */
static void
put_many(weir_store *store, unsigned count)
{
	struct weir_draft *drafts = calloc(BATCH, sizeof(*drafts));
	weir_inserted *rets = calloc(BATCH, sizeof(*rets));
	weir_error error = {0};

	REQUIRE(drafts && rets);
	for (unsigned done = 0; done < count; done += BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			drafts[i] = queue_draft("work");
		REQUIRE(store->ops->insert(store, drafts, BATCH, rets, NULL,
					   &error) == WEIR_OK);
		CHECK_EQ_INT(rets[BATCH - 1].id, done + BATCH);
	}
	free(drafts);
	free(rets);
}

/* Finish the batch and claim the next, in one turn. */
static struct weir_batch *
next(weir_store *store, struct weir_owner *owner, struct weir_batch *batch)
{
	size_t count = batch ? batch->count : 0;
	struct weir_finish *finishes = calloc(count + 1, sizeof(*finishes));
	struct weir_finished *finished = calloc(count + 1, sizeof(*finished));
	struct weir_want want = {.queue = "default", .count = BATCH};
	struct weir_turn turn = {.owner = owner,
				 .finishes = finishes,
				 .finish_count = count,
				 .finished = finished,
				 .wants = &want,
				 .want_count = 1};

	REQUIRE(finishes && finished);
	for (size_t i = 0; i < count; i++)
		finishes[i].claim = &batch->claims[i];
	queue_turn(store, &turn);
	for (size_t i = 0; i < count; i++) {
		CHECK_EQ_INT(finished[i].status, WEIR_OK);
		CHECK_EQ_INT(finished[i].state, WEIR_JOB_COMPLETED);
	}
	free(finishes);
	free(finished);
	return turn.batch;
}

static bool
count_completed(const weir_queue_row *row, void *user)
{
	for (int i = 0; i < 8; i++)
		CHECK(row->counts[i] == 0 || i == WEIR_JOB_COMPLETED);
	*(uint64_t *)user += row->counts[WEIR_JOB_COMPLETED];
	return true;
}

static void
work_many(weir_store *store, struct weir_owner *me)
{
	struct weir_batch *batch = NULL;
	weir_error error = {0};
	uint64_t completed = 0;
	int64_t last = 0;

	put_many(store, queue_stores.jobs);
	while ((batch = next(store, me, batch)) != NULL)
		for (size_t i = 0; i < batch->count; i++)
			CHECK_EQ_INT(batch->claims[i].row.id, ++last);
	CHECK_EQ_INT(last, queue_stores.jobs);
	REQUIRE(store->ops->queues(store, count_completed, &completed,
				   &error) == WEIR_OK);
	CHECK_EQ_INT(completed, queue_stores.jobs);
}

STORE_TEST_LIMIT(many_jobs, are_each_run_once, 60)
{
	work_many(store, queue_enlist(store, "me"));
}

static void
work_many_alone(weir_store *store)
{
	work_many(store, queue_enlist_alone(store, "me"));
}

ALONE_TEST_LIMIT(many_jobs, are_each_run_once_by_one_alone, 60)
{
	queue_run(work_many_alone);
}

/*
 * Threads.
 */
#define THREADS 4
#define EACH    50

struct hand {
	weir_store *store;
	struct weir_owner owner;
	int64_t ids[THREADS * EACH];
	size_t count;
	struct weir_thread thread;
};

static void
insert_some(void *arg)
{
	struct hand *hand = arg;
	weir_error error = {0};

	for (int i = 0; i < EACH; i++) {
		struct weir_draft draft = queue_draft("work");
		weir_inserted ret = {0};

		CHECK_EQ_INT(hand->store->ops->insert(hand->store, &draft, 1,
						      &ret, NULL, &error),
			     WEIR_OK);
		hand->ids[hand->count++] = ret.id;
	}
}

/* One turn; false: nothing is left. */
static bool
work_one(struct hand *hand)
{
	struct weir_want want = {.queue = "default", .count = 3};
	struct weir_turn turn = {
		.owner = &hand->owner, .wants = &want, .want_count = 1};
	struct weir_finish finishes[3];
	struct weir_finished finished[3];
	weir_error error = {0};
	struct weir_batch *batch;

	CHECK_EQ_INT(hand->store->ops->turn(hand->store, &turn, &error),
		     WEIR_OK);
	batch = turn.batch;
	if (!batch)
		return false;
	for (size_t i = 0; i < batch->count; i++) {
		hand->ids[hand->count++] = batch->claims[i].row.id;
		finishes[i] = (struct weir_finish){.claim = &batch->claims[i]};
	}
	turn = (struct weir_turn){.owner = &hand->owner,
				  .finishes = finishes,
				  .finish_count = batch->count,
				  .finished = finished};
	CHECK_EQ_INT(hand->store->ops->turn(hand->store, &turn, &error),
		     WEIR_OK);
	for (size_t i = 0; i < turn.finish_count; i++)
		CHECK_EQ_INT(finished[i].status, WEIR_OK);
	for (size_t i = batch->count; i-- > 0;)
		weir__claim_free(&batch->claims[i]);
	return true;
}

static void
work_some(void *arg)
{
	while (work_one(arg))
		;
}

/* Have all hands do it; then each id was had by exactly one. */
static void
all_hands(struct hand hands[THREADS], weir_thread_fn *fn)
{
	unsigned had[THREADS * EACH + 1] = {0};

	for (int i = 0; i < THREADS; i++) {
		hands[i].count = 0;
		REQUIRE(weir__thread_start(&hands[i].thread, "hand", 0, fn,
					   &hands[i]) == WEIR_OK);
	}
	for (int i = 0; i < THREADS; i++)
		weir__thread_join(&hands[i].thread);
	for (int i = 0; i < THREADS; i++)
		for (size_t j = 0; j < hands[i].count; j++) {
			REQUIRE(hands[i].ids[j] > 0 &&
				hands[i].ids[j] <= THREADS * EACH);
			had[hands[i].ids[j]]++;
		}
	for (int i = 1; i <= THREADS * EACH; i++)
		CHECK_EQ_INT(had[i], 1);
}

STORE_TEST_LIMIT(many_threads, insert_and_work_at_once, 60)
{
	struct hand *hands = calloc(THREADS, sizeof(*hands));
	weir_store *other = queue_join(store);
	weir_job_filter left = WEIR_JOB_FILTER_INIT;

	REQUIRE(hands);
	for (int i = 0; i < THREADS; i++) {
		hands[i].store = i % 2 == 0 ? store : other;
		snprintf(hands[i].owner.name, sizeof(hands[i].owner.name),
			 "hand %d", i);
		REQUIRE(queue_try_enlist(hands[i].store, &hands[i].owner) ==
			WEIR_OK);
	}
	all_hands(hands, insert_some);
	all_hands(hands, work_some);
	left.states =
		WEIR_JOB_STATES_ALL ^ WEIR_JOB_STATE_BIT(WEIR_JOB_COMPLETED);
	CHECK_STR(queue_ids(store, &left), "");
	free(hands);
}
