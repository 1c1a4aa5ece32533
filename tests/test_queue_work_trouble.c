/*
 * When the store cannot be used, or takes us for dead.
 */
#include "queue_work_util.h"

#include <string.h>

TEST(trouble, a_busy_store_is_tried_again_and_told_of_once)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	atomic_store(&b.fail[BENCH_TURN], 3);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(atomic_load(&lane.troubles), 1);
	CHECK_EQ_INT(atomic_load(&b.fail[BENCH_TURN]), 0);
	bench_put(&b, "a");
	lane_give(&lane, lane_take(&lane), WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.over), 1);
	CHECK_EQ_INT(atomic_load(&lane.troubles), 1);
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_OK);
	bench_fini(&b);
}

TEST(trouble, no_outcome_is_lost_to_a_full_disk)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_claim *claims[3];
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 3);
	lane_init(&lane, &b, NULL, 3);
	for (int i = 0; i < 3; i++)
		claims[i] = lane_take(&lane);
	atomic_store(&b.fail_with, WEIR_SYSTEM);
	atomic_store(&b.fail[BENCH_TURN], 4);
	outcome.status = WEIR_FAILED;
	outcome.error = "as it was said before the trouble";
	outcome.retry_in_ns = 60 * WEIR_S;
	weir__work_give(lane.work, claims[0], &outcome);
	lane_give_later(&lane, claims[1], WEIR_PERMANENT);
	lane_give_later(&lane, claims[2], WEIR_OK);
	lane_wait_ended(&lane, 3);
	CHECK_EQ_INT(bench_state(&b, 1), WEIR_JOB_RETRYABLE);
	CHECK(strstr(bench_errors(&b, 1), outcome.error));
	CHECK_EQ_INT(bench_state(&b, 2), WEIR_JOB_DISCARDED);
	CHECK_EQ_INT(bench_state(&b, 3), WEIR_JOB_COMPLETED);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(trouble, a_stop_waits_for_the_store_to_come_back)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	atomic_store(&b.fail[BENCH_TURN], 3);
	lane_give_later(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_OK);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 1);
	bench_fini(&b);
}

TEST(trouble, a_stop_now_does_not_wait_for_ever)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	atomic_store(&b.fail[BENCH_TURN], 1000000);
	weir_work_stop(lane.work, true);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.ended_status), WEIR_BUSY);
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_BUSY);
	bench_fini(&b);
}

TEST(trouble, a_damaged_store_ends_the_work)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 2);
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	atomic_store(&b.fail_with, WEIR_CORRUPT);
	atomic_store(&b.fail[BENCH_TURN], 1000000);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.ended_status), WEIR_CORRUPT);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_CORRUPT);
	CHECK_EQ_INT(atomic_load(&lane.troubles), 1);
	bench_fini(&b);
}

TEST(trouble, upkeep_in_trouble_does_not_stop_jobs)
{
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	atomic_store(&b.fail[BENCH_PROMOTE], 1000000);
	lane_init(&lane, &b, NULL, 2);
	lane_give(&lane, lane_take(&lane), WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.troubles), 1);
	CHECK_EQ_INT(atomic_load(&lane.over), 0);
	lane_fini(&lane);
	bench_fini(&b);
}

/* A beat each 20 ms. */
static weir_work_options
quick_beats(void)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;

	options.beat_ns = 20 * WEIR_MS;
	options.dead_ns = 1 * WEIR_S;
	return options;
}

TEST(lease, beats_while_it_holds_jobs_and_not_else)
{
	weir_work_options options = quick_beats();
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	unsigned beats;

	bench_init(&b);
	lane_init(&lane, &b, &options, 2);
	CHECK(event_stays_unset(&lane.ended, 100));
	/* One before the first claim, perhaps. */
	CHECK(atomic_load(&b.extends) <= 1);
	bench_put(&b, "a");
	claim = lane_take(&lane);
	while (atomic_load(&b.extends) < 4)
		CHECK(event_stays_unset(&lane.ended, 5));
	lane_give(&lane, claim, WEIR_OK);
	(void)event_stays_unset(&lane.ended, 40);
	beats = atomic_load(&b.extends);
	CHECK(event_stays_unset(&lane.ended, 100));
	CHECK_EQ_INT(atomic_load(&b.extends), beats);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(lease, who_was_taken_for_dead_cancels_what_runs_and_goes_on)
{
	weir_work_options options = quick_beats();
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	lane_init(&lane, &b, &options, 2);
	claim = lane_take(&lane);
	CHECK_EQ_INT(atomic_load(&b.enlists), 1);
	bench_kill(&b);
	event_wait(&lane.told);
	CHECK_EQ_INT(atomic_load(&lane.told_id), claim->row.id);
	/* It is available by now, and taken by us in our new life. */
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.ended_status), WEIR_STALE);
	CHECK_EQ_INT(lane_stats(&lane).stale, 1);
	CHECK_EQ_INT(lane_stats(&lane).completed, 0);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.crashes, 1);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(lane_stats(&lane).completed, 1);
	CHECK_EQ_INT(atomic_load(&b.enlists), 2);
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_OK);
	bench_fini(&b);
}

TEST(lease, what_waits_is_lost_with_it_and_never_runs)
{
	weir_work_options options = quick_beats();
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 3);
	options.prefetch = 5;
	options.until_empty = true;
	lane_init(&lane, &b, &options, 1);
	claim = lane_take(&lane);
	lane_wait_claimed(&lane, 2);
	bench_kill(&b);
	event_wait(&lane.told);
	/* The two that nobody has taken, and then the third. */
	lane_wait_ended(&lane, 2);
	lane_give(&lane, claim, WEIR_FAILED);
	CHECK_EQ_INT(lane_stats(&lane).stale, 3);
	for (int i = 0; i < 3; i++)
		lane_give(&lane, lane_take(&lane), WEIR_OK);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 3);
	bench_fini(&b);
}

TEST(lease, it_notices_at_a_turn_as_well)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	bench_kill(&b);
	/* Long before the next beat. */
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&lane.ended_status), WEIR_STALE);
	claim = lane_take(&lane);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(lane_stats(&lane).stale, 1);
	CHECK_EQ_INT(lane_stats(&lane).completed, 1);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(lease, a_finish_that_comes_too_late_is_stale_and_changes_nothing)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	bench_cancel(&b, claim->row.id);
	event_wait(&lane.told);
	lane_give(&lane, claim, WEIR_FAILED);
	CHECK_EQ_INT(bench_state(&b, 1), WEIR_JOB_CANCELLED);
	lane_fini(&lane);
	bench_fini(&b);
}

static void
poke_nobody(void *user)
{
	(void)user;
}

static void
cancel_nobody(struct weir_claim *claim, void *user)
{
	(void)claim;
	(void)user;
}

TEST(options, what_cannot_be_is_refused_with_a_reason)
{
	static const weir_work_queue twice[] = {{"a", 0}, {"a", 0}};
	static const weir_work_queue bad[] = {{"not a name", 0}};
	static weir_handler handlers[2] = {
		{.size = sizeof(weir_handler), .kind = "same"},
		{.size = sizeof(weir_handler), .kind = "same"}};
	struct weir_lane lane = {.width = 1};
	weir_work_options options[8];
	struct bench b;
	weir_error error;
	weir_work *work;

	bench_init(&b);
	for (size_t i = 0; i < 8; i++)
		weir_work_options_init(&options[i]);
	options[0].size = 3;
	options[1].queues = twice;
	options[1].queue_count = 2;
	options[2].queues = bad;
	options[2].queue_count = 1;
	options[3].handlers = handlers;
	options[3].handler_count = 2;
	options[4].beat_ns = -1;
	options[5].beat_ns = 8 * WEIR_S;
	options[6].prefetch = 5000;
	options[7].queue_count = 1;
	lane.poke = poke_nobody;
	lane.cancel = cancel_nobody;
	for (size_t i = 0; i < 8; i++) {
		error.message[0] = '\0';
		CHECK_MSG(weir__work_make(&work, b.store, &options[i], &lane,
					  &error) == WEIR_INVAL,
			  "options %zu", i);
		CHECK(error.message[0] != '\0');
	}
	CHECK_EQ_INT(atomic_load(&b.enlists), 0);
	bench_fini(&b);
}
