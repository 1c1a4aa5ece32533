/*
 * What every store must do: who works it alone; and what outlives everybody.
 */
#include "queue_conformance.h"

static weir_status
try_as(weir_store *store, bool alone)
{
	struct weir_owner owner = {.alone = alone, .name = "somebody"};
	weir_status status = queue_try_enlist(store, &owner);

	if (status == WEIR_OK)
		queue_leave(store, &owner);
	return status;
}

STORE_TEST(one_alone, keeps_all_others_out)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist_alone(store, "me");

	CHECK_EQ_INT(try_as(other, false), WEIR_BUSY);
	CHECK_EQ_INT(try_as(other, true), WEIR_BUSY);
	CHECK_EQ_INT(try_as(store, false), WEIR_BUSY);
	CHECK_EQ_INT(try_as(store, true), WEIR_BUSY);
	queue_leave(store, me);
	CHECK_EQ_INT(try_as(other, true), WEIR_OK);
	CHECK_EQ_INT(try_as(other, false), WEIR_OK);
}

STORE_TEST(one_alone, is_kept_out_by_any_other)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");

	CHECK_EQ_INT(try_as(other, true), WEIR_BUSY);
	CHECK_EQ_INT(try_as(store, true), WEIR_BUSY);
	CHECK_EQ_INT(try_as(other, false), WEIR_OK);
	CHECK_EQ_INT(try_as(store, false), WEIR_OK);
	queue_leave(store, me);
	CHECK_EQ_INT(try_as(other, true), WEIR_OK);
}

STORE_TEST(one_alone, lets_others_insert_look_and_change)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist_alone(store, "me");
	int64_t id = queue_put(other, "work");

	CHECK_EQ_INT(queue_look(other, id)->attempt, 0);
	queue_end(store, me, queue_claim_one(store, me, id),
		  WEIR_VERDICT_DISCARD);
	CHECK_STATE(other, id, "discarded");
	CHECK_EQ_INT(queue_change(other, WEIR_JOB_RETRY, id).status, WEIR_OK);
	queue_claim_one(store, me, id);
}

STORE_TEST(one_alone, does_not_claim_twice_what_it_runs)
{
	struct weir_owner *me = queue_enlist_alone(store, "me");
	struct weir_batch *batch;

	for (int i = 0; i < 5; i++)
		queue_put(store, "work");
	batch = queue_claim(store, me, 2);
	CHECK_STR(queue_batch_ids(batch), "1 2");
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 1)), "3");
	queue_end(store, me, &batch->claims[0], WEIR_VERDICT_COMPLETE);
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 9)), "4 5");
	CHECK(!queue_claim(store, me, 9));
}

/* Complete all of them in one turn; each has to be ours. */
static void
complete_all(weir_store *store, struct weir_owner *me,
	     const struct weir_batch *batch)
{
	struct weir_finish finishes[32] = {{0}};
	struct weir_finished finished[32];
	struct weir_turn turn = {.owner = me,
				 .finishes = finishes,
				 .finished = finished,
				 .finish_count = batch->count};

	REQUIRE(batch->count <= 32);
	for (size_t i = 0; i < batch->count; i++)
		finishes[i].claim = &batch->claims[i];
	queue_turn(store, &turn);
	for (size_t i = 0; i < batch->count; i++) {
		CHECK_EQ_INT(finished[i].status, WEIR_OK);
		CHECK_EQ_INT(finished[i].state, WEIR_JOB_COMPLETED);
	}
}

static void
drop_finished(weir_store *store)
{
	weir_error error = {WEIR_OK, 0, ""};

	CHECK_EQ_INT(store->ops->queue_set(store, "default", -1,
					   WEIR_FINISHED_DROP, &error),
		     WEIR_OK);
}

/* Three milliseconds, five jobs in each, claimed six at a time. */
STORE_TEST(one_alone, goes_on_in_the_middle_of_a_millisecond)
{
	struct weir_owner *me = queue_enlist_alone(store, "me");
	struct weir_batch *batch;
	int64_t next = 1;

	drop_finished(store);
	for (int i = 0; i < 15; i++) {
		queue_now_ms = T0 + i / 5;
		queue_put(store, "work");
	}
	while ((batch = queue_claim(store, me, 6))) {
		for (size_t i = 0; i < batch->count; i++)
			CHECK_EQ_INT(batch->claims[i].row.id, next++);
		complete_all(store, me, batch);
	}
	CHECK_EQ_INT(next, 16);
	for (int64_t id = 1; id < next; id++)
		CHECK(!queue_find(store, id));
}

STORE_TEST(one_alone, does_not_go_on_behind_a_clock_that_was_put_back)
{
	struct weir_owner *me = queue_enlist_alone(store, "me");

	for (int i = 0; i < 4; i++)
		queue_put(store, "work");
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 2)), "1 2");
	queue_now_ms = T0 - 1;
	CHECK(!queue_claim(store, me, 2));
	queue_now_ms = T0;
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 2)), "3 4");
}

STORE_TEST(one_alone, gives_back_what_it_has_when_it_leaves)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist_alone(store, "me");

	queue_start(store, me, "work");
	queue_start(store, me, "work");
	queue_leave(store, me);
	for (int64_t id = 1; id <= 2; id++) {
		CHECK_STATE(other, id, "available");
		CHECK_EQ_INT(queue_look(other, id)->attempt, 0);
		CHECK_EQ_INT(queue_look(other, id)->crashes, 0);
	}
	CHECK_STR(queue_batch_ids(
			  queue_claim(other, queue_enlist(other, "you"), 9)),
		  "1 2");
}

/* It had three: one has ended, one runs, and one was given back. */
static void
die_alone(weir_store *store)
{
	struct weir_owner *me = queue_enlist_alone(store, "me:17");
	struct weir_batch *batch;

	for (int i = 0; i < 4; i++)
		queue_put(store, "work");
	batch = queue_claim(store, me, 3);
	queue_end(store, me, &batch->claims[0], WEIR_VERDICT_COMPLETE);
	queue_end(store, me, &batch->claims[2], WEIR_VERDICT_RELEASE);
	queue_close(store);
}

/* What it ran when it died is a suspect, and nothing else is. */
static void
check_after_death(weir_store *store, struct weir_owner *next)
{
	CHECK_STATE(store, 1, "completed");
	CHECK_EQ_INT(queue_look(store, 2)->crashes, 1);
	CHECK_EQ_INT(queue_look(store, 3)->crashes, 0);
	CHECK_EQ_INT(queue_look(store, 4)->crashes, 0);
	CHECK_STR(queue_batch_ids(queue_claim(store, next, 9)), "3 4");
	queue_claim_one(store, next, 2);
}

STORE_TEST(one_alone, that_died_leaves_suspects_to_the_next_one_alone)
{
	weir_store *other = queue_join(store);

	die_alone(store);
	check_after_death(other, queue_enlist_alone(other, "next"));
}

STORE_TEST(one_alone, that_died_leaves_suspects_to_the_next_of_several)
{
	weir_store *other = queue_join(store);

	die_alone(store);
	check_after_death(other, queue_enlist(other, "next"));
}

STORE_TEST(one_alone, that_died_leaves_no_poison)
{
	weir_store *other = queue_join(store);
	struct weir_owner next = {.alone = true, .crashes_max = 1, .name = "x"};

	die_alone(store);
	REQUIRE(queue_try_enlist(other, &next) == WEIR_OK);
	CHECK_STATE(other, 2, "discarded");
	CHECK_STATE(other, 3, "available");
}

STORE_TEST(one_alone, that_died_is_counted_once)
{
	weir_store *other = queue_join(store);
	struct weir_owner *next;

	die_alone(store);
	next = queue_enlist_alone(other, "next");
	queue_leave(other, next);
	next = queue_enlist_alone(other, "next");
	CHECK_EQ_INT(queue_look(other, 2)->crashes, 1);
	queue_leave(other, next);
}

STORE_TEST(one_alone, may_work_what_one_of_several_has_left)
{
	weir_store *other = queue_join(store);
	struct weir_owner *me = queue_enlist(store, "me");
	int64_t id = queue_start(store, me, "work")->row.id;
	struct weir_owner *next;

	queue_leave(store, me);
	next = queue_enlist_alone(other, "next");
	queue_end(other, next, queue_claim_one(other, next, id),
		  WEIR_VERDICT_COMPLETE);
	CHECK_STATE(store, id, "completed");
}

/*
 * What outlives all handles.
 */
STORE_TEST(reopened, it_has_every_job_as_it_was)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const char *before;
	int64_t last = 0;

	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		queue_draft_key(&draft, (unsigned char)i,
				WEIR_UNIQUE_STATES_DEFAULT);
		last = queue_put_in(store, me, &draft, (weir_state)i);
		if (i == WEIR_JOB_AVAILABLE)
			queue_bring(store, me, last, WEIR_JOB_RETRYABLE);
	}
	last = queue_put(store, "work");
	before = queue_dump(store, 0);
	store = queue_reopen();
	CHECK_STR(queue_dump(store, 0), before);
	CHECK(queue_put(store, "work") > last);
}

STORE_TEST(reopened, it_still_knows_a_client_that_did_not_leave)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	int64_t beat = queue_beat(store, me->id);

	store = queue_reopen();
	CHECK_EQ_INT(queue_beat(store, me->id), beat);
	CHECK_STATE(store, claim->row.id, "running");
	CHECK(queue_enlist(store, "you")->id > me->id);
	CHECK_EQ_INT(queue_rescue(store, me->id, beat), 1);
	CHECK_STATE(store, claim->row.id, "available");
}

STORE_TEST(reopened, it_has_its_queues_as_they_were)
{
	struct weir_owner *me;
	weir_error error = {0};
	int64_t id = queue_put(store, "work");

	REQUIRE(store->ops->queue_set(store, "default", 1, WEIR_FINISHED_DROP,
				      &error) == WEIR_OK);
	store = queue_reopen();
	me = queue_enlist(store, "me");
	CHECK(!queue_claim(store, me, 1));
	REQUIRE(store->ops->queue_set(store, "default", 0, -1, &error) ==
		WEIR_OK);
	queue_end(store, me, queue_claim_one(store, me, id),
		  WEIR_VERDICT_COMPLETE);
	CHECK(!queue_find(store, id));
}

STORE_TEST(reopened, it_gives_suspects_of_one_who_died_alone)
{
	die_alone(store);
	store = queue_reopen();
	check_after_death(store, queue_enlist_alone(store, "next"));
}
