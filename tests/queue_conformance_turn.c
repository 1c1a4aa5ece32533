/*
 * What every store must do: claims, and what proves them.
 */
#include "queue_conformance.h"

WORK_TEST(claims, come_in_the_order_of_priority_then_time_then_id)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");

	draft.priority = 2;
	queue_put_draft(store, &draft); /* 1 */
	draft.scheduled_at_ms = T0 - 5;
	queue_put_draft(store, &draft); /* 2 */
	draft.priority = 1;
	draft.scheduled_at_ms = T0;
	queue_put_draft(store, &draft); /* 3 */
	queue_put_draft(store, &draft); /* 4 */
	draft.priority = 4;
	draft.scheduled_at_ms = 1;
	queue_put_draft(store, &draft); /* 5 */
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 4)), "3 4 2 1");
	CHECK_STR(queue_batch_ids(queue_claim(store, me, 4)), "5");
	CHECK(!queue_claim(store, me, 4));
}

WORK_TEST(claims, come_want_by_want_from_several_queues)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const char *const queues[] = {"aa", "bb", "cc"};
	struct weir_want wants[] = {
		{.queue = "cc", .count = 1},   {.queue = "missing", .count = 9},
		{.queue = "aa", .count = 100}, {.queue = "bb", .count = 0},
		{.queue = "bb", .count = 2},
	};
	struct weir_turn turn = {
		.owner = me, .wants = wants, .want_count = queue_count(wants)};

	for (int i = 0; i < 9; i++) {
		struct weir_draft draft = queue_draft("work");

		queue_draft_queue(&draft, queues[i % 3]);
		queue_put_draft(store, &draft);
	}
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "3 1 4 7 2 5");
}

WORK_TEST(claims, say_whether_there_may_be_more)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_want want = {.queue = "default", .count = 2};
	struct weir_turn turn = {.owner = me, .wants = &want, .want_count = 1};

	for (int i = 0; i < 3; i++)
		queue_put(store, "work");
	turn.more = false;
	queue_turn(store, &turn);
	CHECK(turn.more);
	CHECK(!turn.suspects);
	queue_turn(store, &turn);
	CHECK_EQ_INT(turn.batch->count, 1);
	CHECK(!turn.more);
	queue_turn(store, &turn);
	CHECK(!turn.batch);
	CHECK(!turn.more);
}

WORK_TEST(claims, are_of_the_kinds_that_are_wanted)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const char *const kinds[] = {"red", "blue", "no such"};
	struct weir_want want = {.queue = "default", .count = 2};
	struct weir_turn turn = {.owner = me,
				 .wants = &want,
				 .want_count = 1,
				 .kinds = kinds,
				 .kind_count = 3};

	queue_put(store, "green");  /* 1 */
	queue_put(store, "redder"); /* 2 */
	queue_put(store, "red");    /* 3 */
	queue_put(store, "blue");   /* 4 */
	queue_put(store, "red");    /* 5 */
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "3 4");
	turn.kinds_left_out = true;
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "1 2");
	queue_turn(store, &turn);
	CHECK(!turn.batch);
	turn.kind_count = 0;
	queue_turn(store, &turn);
	CHECK_STR(queue_batch_ids(turn.batch), "5");
}

WORK_TEST(claims, of_no_kinds_are_none)
{
	struct weir_owner *me = queue_enlist(store, "me");
	static const char *const kinds[] = {"red"};
	struct weir_want want = {.queue = "default", .count = 2};
	struct weir_turn turn = {
		.owner = me, .wants = &want, .want_count = 1, .kinds = kinds};

	queue_put(store, "red");
	queue_turn(store, &turn);
	CHECK(!turn.batch);
}

WORK_TEST(claims, are_not_made_before_their_time)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	int64_t id;

	/* As a clock that was put back leaves it. */
	draft.scheduled_at_ms = T0 + 5000;
	id = queue_put_draft(store, &draft);
	CHECK(!queue_claim(store, me, 1));
	queue_now_ms = T0 + 4999;
	CHECK(!queue_claim(store, me, 1));
	queue_now_ms = T0 + 5000;
	queue_claim_one(store, me, id);
}

STORE_TEST(claims, are_of_nothing_but_available_jobs)
{
	struct weir_owner *me = queue_enlist(store, "me");

	for (int i = 0; i < 8; i++) {
		struct weir_draft draft = queue_draft("work");

		queue_put_in(store, me, &draft, (weir_state)i);
		if (i == WEIR_JOB_AVAILABLE)
			CHECK_STR(queue_batch_ids(queue_claim(store, me, 9)),
				  "1");
		CHECK(!queue_claim(store, me, 9));
	}
}

WORK_TEST(claims, say_who_runs_what_and_since_when)
{
	struct weir_owner *me = queue_enlist(store, "host:4711");
	int64_t id = queue_put(store, "work");
	const struct weir_claim *claim;

	queue_now_ms = T0 + 3;
	claim = queue_claim_one(store, me, id);
	CHECK_EQ_INT(claim->row.state, WEIR_JOB_RUNNING);
	CHECK_EQ_INT(claim->row.attempt, 1);
	CHECK_EQ_INT(claim->row.attempted_at_ms, T0 + 3);
	CHECK_STR(claim->row.attempted_by, "host:4711");
	CHECK_STR(claim->row.kind, "work");
	CHECK_STR(claim->row.queue, "default");
	queue_end(store, me, claim, WEIR_VERDICT_COMPLETE);
	CHECK_EQ_INT(queue_look(store, id)->attempted_at_ms, T0 + 3);
	CHECK_STR(queue_look(store, id)->attempted_by, "host:4711");
	CHECK_EQ_INT(queue_look(store, id)->attempt, 1);
}

STORE_TEST(claims, show_in_lists)
{
	struct weir_owner *me = queue_enlist(store, "host:4711");
	int64_t id = queue_start(store, me, "work")->row.id;
	const weir_job_row *row = queue_look(store, id);

	CHECK_EQ_INT(row->state, WEIR_JOB_RUNNING);
	CHECK_EQ_INT(row->attempt, 1);
	CHECK_EQ_INT(row->attempted_at_ms, T0);
	CHECK_STR(row->attempted_by, "host:4711");
}

STORE_TEST(claims, of_two_owners_never_meet)
{
	struct weir_owner *one = queue_enlist(store, "one");
	weir_store *other = queue_join(store);
	struct weir_owner *two = queue_enlist(other, "two");

	for (int i = 0; i < 5; i++)
		queue_put(store, "work");
	CHECK_STR(queue_batch_ids(queue_claim(store, one, 2)), "1 2");
	CHECK_STR(queue_batch_ids(queue_claim(other, two, 2)), "3 4");
	CHECK_STR(queue_batch_ids(queue_claim(store, one, 2)), "5");
	CHECK(!queue_claim(other, two, 2));
}

/*
 * Fences.
 */
static const enum weir_verdict verdicts[] = {
	WEIR_VERDICT_COMPLETE, WEIR_VERDICT_RETRY,   WEIR_VERDICT_SNOOZE,
	WEIR_VERDICT_RELEASE,  WEIR_VERDICT_DISCARD, WEIR_VERDICT_CANCEL,
};

/* Nothing that this claim asks for is done. */
static void
check_stale(weir_store *store, struct weir_owner *owner,
	    const struct weir_claim *claim)
{
	const char *before = queue_dump(store, 0);

	for (size_t i = 0; i < queue_count(verdicts); i++) {
		struct weir_finish finish = {.claim = claim,
					     .verdict = verdicts[i],
					     .at_ms = i % 2 ? T0 : T0 + 60000,
					     .crashed = i % 3 == 0,
					     .error = "{\"stale\":1}",
					     .error_len = 11,
					     .output = "2",
					     .output_len = 1};

		CHECK_MSG(queue_finish(store, owner, &finish).status ==
				  WEIR_STALE,
			  "verdict %d", (int)verdicts[i]);
		CHECK_STR(queue_dump(store, 0), before);
	}
}

WORK_TEST(fences, refuse_a_claim_with_any_field_wrong)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim, *other;
	struct weir_claim wrong;

	claim = queue_start(store, me, "work");
	other = queue_start(store, me, "work");
	wrong = *claim;
	wrong.row.id = other->row.id + 100;
	check_stale(store, me, &wrong);
	wrong = *claim;
	wrong.row.attempt++;
	check_stale(store, me, &wrong);
	wrong.row.attempt -= 2;
	check_stale(store, me, &wrong);
	wrong = *claim;
	wrong.row.attempted_at_ms++;
	check_stale(store, me, &wrong);
	wrong.row.attempted_at_ms -= 2;
	check_stale(store, me, &wrong);
	/* And with all of them right. */
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
	CHECK_EQ_INT(queue_end(store, me, other, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
}

STORE_TEST(fences, refuse_the_claim_of_another_owner)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_owner *you = queue_enlist(store, "you");
	const struct weir_claim *claim = queue_start(store, me, "work");

	check_stale(store, you, claim);
	check_stale(queue_join(store), you, claim);
	CHECK_EQ_INT(queue_end(store, me, claim, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
}

WORK_TEST(fences, refuse_what_has_ended_in_whatever_way)
{
	struct weir_owner *me = queue_enlist(store, "me");

	for (size_t i = 0; i < queue_count(verdicts); i++) {
		const struct weir_claim *claim = queue_start(store, me, "work");

		queue_end_at(store, me, claim, verdicts[i], T0 + 60000);
		check_stale(store, me, claim);
		/* What was released is in the way of the next one. */
		queue_claim(store, me, 1);
	}
}

WORK_TEST(fences, tell_two_claims_of_one_attempt_apart)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *first, *second, *third;
	int64_t id = queue_put(store, "work");

	/* The clock stands still. */
	first = queue_claim_one(store, me, id);
	queue_end(store, me, first, WEIR_VERDICT_RELEASE);
	second = queue_claim_one(store, me, id);
	CHECK_EQ_INT(second->row.attempt, first->row.attempt);
	check_stale(store, me, first);
	queue_end(store, me, second, WEIR_VERDICT_SNOOZE);
	third = queue_claim_one(store, me, id);
	CHECK_EQ_INT(third->row.attempt, first->row.attempt);
	check_stale(store, me, first);
	check_stale(store, me, second);
	CHECK_EQ_INT(queue_end(store, me, third, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
}

WORK_TEST(fences, tell_claims_of_one_who_has_left_from_later_ones)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *before, *now;
	int64_t id = queue_put(store, "work");

	before = queue_claim_one(store, me, id);
	queue_leave(store, me);
	REQUIRE(queue_try_enlist(store, me) == WEIR_OK);
	now = queue_claim_one(store, me, id);
	CHECK_EQ_INT(now->row.attempt, before->row.attempt);
	check_stale(store, me, before);
	CHECK_EQ_INT(queue_end(store, me, now, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
}

WORK_TEST(fences, hold_when_the_clock_goes_back)
{
	struct weir_owner *me = queue_enlist(store, "me");
	struct weir_draft draft = queue_draft("work");
	const struct weir_claim *first, *second;
	int64_t id;

	draft.scheduled_at_ms = 1;
	id = queue_put_draft(store, &draft);
	first = queue_claim_one(store, me, id);
	queue_end(store, me, first, WEIR_VERDICT_RELEASE);
	queue_now_ms = T0 - 3600000;
	second = queue_claim_one(store, me, id);
	check_stale(store, me, first);
	queue_end(store, me, second, WEIR_VERDICT_RELEASE);
	queue_now_ms = T0;
	second = queue_claim_one(store, me, id);
	check_stale(store, me, first);
	CHECK_EQ_INT(queue_end(store, me, second, WEIR_VERDICT_COMPLETE).status,
		     WEIR_OK);
}

WORK_TEST(fences, let_one_of_two_outcomes_through)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_finish finishes[2] = {
		{.claim = claim, .verdict = WEIR_VERDICT_COMPLETE},
		{.claim = claim, .verdict = WEIR_VERDICT_DISCARD}};
	struct weir_finished finished[2];
	struct weir_turn turn = {.owner = me,
				 .finishes = finishes,
				 .finish_count = 2,
				 .finished = finished};

	queue_turn(store, &turn);
	CHECK_EQ_INT(finished[0].status, WEIR_OK);
	CHECK_EQ_INT(finished[1].status, WEIR_STALE);
	CHECK_STATE(store, claim->row.id, "completed");
}

STORE_TEST(fences, keep_out_who_was_taken_for_dead)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *claim = queue_start(store, me, "work");
	struct weir_finish finish = {.claim = claim};
	struct weir_finished finished;
	struct weir_want want = {.queue = "default", .count = 1};
	struct weir_turn turn = {.owner = me, .wants = &want, .want_count = 1};
	weir_error error = {0};
	const char *before;

	queue_put(store, "work");
	queue_kill(queue_join(store), me);
	before = queue_dump(store, 0);
	CHECK_EQ_INT(store->ops->extend(store, me, &error), WEIR_STALE);
	CHECK_EQ_INT(queue_try_turn(store, &turn), WEIR_STALE);
	turn.finishes = &finish;
	turn.finish_count = 1;
	turn.finished = &finished;
	CHECK_EQ_INT(queue_try_turn(store, &turn), WEIR_STALE);
	CHECK_STR(queue_dump(store, 0), before);
	/* It comes back, and is somebody else. */
	REQUIRE(queue_try_enlist(store, me) == WEIR_OK);
	check_stale(store, me, claim);
	CHECK(queue_claim(store, me, 1));
}

WORK_TEST(claims, come_after_the_outcomes_of_their_turn)
{
	struct weir_owner *me = queue_enlist(store, "me");
	const struct weir_claim *released = queue_start(store, me, "work");
	const struct weir_claim *completed = queue_start(store, me, "work");
	struct weir_finish finishes[2] = {
		{.claim = completed, .verdict = WEIR_VERDICT_COMPLETE},
		{.claim = released, .verdict = WEIR_VERDICT_RELEASE}};
	struct weir_finished finished[2];
	struct weir_want want = {.queue = "default", .count = 9};
	struct weir_turn turn = {.owner = me,
				 .finishes = finishes,
				 .finish_count = 2,
				 .finished = finished,
				 .wants = &want,
				 .want_count = 1};

	queue_put(store, "work");
	queue_turn(store, &turn);
	CHECK_EQ_INT(finished[0].state, WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(finished[1].state, WEIR_JOB_AVAILABLE);
	CHECK_STR(queue_batch_ids(turn.batch), "1 3");
	check_stale(store, me, released);
}
