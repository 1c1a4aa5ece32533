/*
 * The loop between a store and a lane, with a lane that is run by hand.
 */
#include "queue_work_util.h"

#include <string.h>
#include <sys/resource.h>

TEST(work, hands_over_what_is_there_and_writes_what_has_become_of_it)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 4);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.id, id);
	CHECK_EQ_INT(claim->row.attempt, 1);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_RUNNING);
	CHECK_EQ_INT(lane_stats(&lane).running, 1);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(atomic_load(&lane.ended_state), WEIR_JOB_COMPLETED);
	CHECK_EQ_INT(lane_stats(&lane).completed, 1);
	CHECK_EQ_INT(lane_stats(&lane).running, 0);
	lane_fini(&lane);
	CHECK_EQ_INT(lane.status, WEIR_OK);
	bench_fini(&b);
}

TEST(work, a_job_that_is_inserted_wakes_it)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	lane_init(&lane, &b, NULL, 4);
	CHECK(lane_is_dry(&lane));
	CHECK(event_stays_unset(&lane.poked, 20));
	bench_put(&b, "a");
	claim = lane_take(&lane);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, urgent_jobs_go_first_even_if_they_were_claimed_later)
{
	struct weir_draft draft = bench_draft("a");
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	draft.priority = 4;
	for (int i = 0; i < 3; i++)
		bench_put_draft(&b, &draft);
	options.prefetch = 20;
	lane_init(&lane, &b, &options, 1);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.priority, 4);
	lane_wait_claimed(&lane, 2);
	draft.priority = 2;
	id = bench_put_draft(&b, &draft);
	lane_wait_claimed(&lane, 3);
	lane_give(&lane, claim, WEIR_OK);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.id, id);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, claims_no_more_than_the_width_before_it_knows_how_long_jobs_take)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 50);
	lane_init(&lane, &b, NULL, 4);
	claim = lane_take(&lane);
	lane_wait_claimed(&lane, 3);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_RUNNING), 4);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, claims_far_ahead_while_jobs_are_short)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 2000);
	lane_init(&lane, &b, NULL, 4);
	for (int i = 0; i < 2000; i++) {
		claim = lane_take(&lane);
		lane_give_later(&lane, claim, WEIR_OK);
	}
	lane_wait_ended(&lane, 2000);
	CHECK_EQ_INT(lane_stats(&lane).completed, 2000);
	CHECK(atomic_load(&b.claimed_most) > 100);
	CHECK_MSG(atomic_load(&b.turns) < 500, "%u turns for 2000 jobs",
		  atomic_load(&b.turns));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, claims_as_far_ahead_as_it_is_told)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 50);
	options.prefetch = 10;
	lane_init(&lane, &b, &options, 2);
	claim = lane_take(&lane);
	CHECK_EQ_INT(atomic_load(&b.claims), 12);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, goes_on_claiming_until_there_is_nothing_left)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int n = 0;

	bench_init(&b);
	bench_put_many(&b, "a", 100);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 3);
	for (; (claim = lane_take(&lane)); n++)
		lane_give_later(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(n, 100);
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 100);
	bench_fini(&b);
}

TEST(work, until_empty_leaves_what_is_due_later)
{
	struct weir_draft draft = bench_draft("a");
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct lane lane;
	struct bench b;
	int64_t later;

	bench_init(&b);
	draft.state = WEIR_JOB_SCHEDULED;
	draft.scheduled_at_ms = BENCH_T0 + 60 * 1000;
	later = bench_put_draft(&b, &draft);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 3);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	CHECK_EQ_INT(bench_state(&b, later), WEIR_JOB_SCHEDULED);
	bench_fini(&b);
}

TEST(work, until_empty_runs_what_is_due_and_was_not_promoted_yet)
{
	struct weir_draft draft = bench_draft("a");
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	draft.state = WEIR_JOB_SCHEDULED;
	draft.scheduled_at_ms = BENCH_T0 - 1000;
	bench_put_draft(&b, &draft);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 3);
	claim = lane_take(&lane);
	REQUIRE(claim);
	lane_give(&lane, claim, WEIR_OK);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, until_empty_runs_what_failed_and_is_due_at_once)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	options.until_empty = true;
	lane_init(&lane, &b, &options, 3);
	outcome.status = WEIR_FAILED;
	outcome.error = "once";
	outcome.retry_in_ns = 0;
	lane_give_outcome(&lane, lane_take(&lane), &outcome);
	claim = lane_take(&lane);
	REQUIRE(claim);
	CHECK_EQ_INT(claim->row.attempt, 2);
	lane_give(&lane, claim, WEIR_OK);
	CHECK(!lane_take(&lane));
	CHECK_EQ_INT(lane_stats(&lane).retried, 1);
	CHECK(strstr(bench_errors(&b, id), "\"error\":\"once\""));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_retry_comes_back_when_it_is_due)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 3);
	outcome.status = WEIR_FAILED;
	outcome.retry_in_ns = 50 * WEIR_MS;
	lane_give_outcome(&lane, lane_take(&lane), &outcome);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_RETRYABLE);
	CHECK_EQ_INT(bench_scheduled_at(&b, id), BENCH_T0 + 50);
	atomic_store(&b.now_ms, BENCH_T0 + 50);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.attempt, 2);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_snooze_comes_back_and_its_attempt_does_not_count)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 3);
	outcome.snooze_ns = 50 * WEIR_MS;
	lane_give_outcome(&lane, lane_take(&lane), &outcome);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_SCHEDULED);
	CHECK_EQ_INT(lane_stats(&lane).snoozed, 1);
	atomic_store(&b.now_ms, BENCH_T0 + 50);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.attempt, 1);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_job_due_later_that_somebody_inserts_wakes_it_in_time)
{
	struct weir_draft draft = bench_draft("a");
	struct lane lane;
	struct bench b;

	bench_init(&b);
	lane_init(&lane, &b, NULL, 3);
	CHECK(lane_is_dry(&lane));
	draft.state = WEIR_JOB_SCHEDULED;
	draft.scheduled_at_ms = BENCH_T0 + 300;
	bench_put_draft(&b, &draft);
	CHECK(event_stays_unset(&lane.poked, 50));
	atomic_store(&b.now_ms, BENCH_T0 + 300);
	lane_give(&lane, lane_take(&lane), WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_stop_gives_back_what_has_not_begun_and_lets_the_rest_end)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 10);
	options.prefetch = 5;
	lane_init(&lane, &b, &options, 2);
	claim = lane_take(&lane);
	CHECK_EQ_INT(lane_stats(&lane).claimed, 6);
	weir_work_stop(lane.work, false);
	lane_wait_ended(&lane, 6);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_RUNNING), 1);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 9);
	CHECK(event_stays_unset(&lane.told, 0));
	CHECK(!lane_take(&lane));
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(lane_stats(&lane).released, 6);
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 1);
	CHECK_EQ_INT(bench_attempt(&b, 10), 0);
	bench_fini(&b);
}

TEST(work, a_stop_now_cancels_what_runs_and_its_attempt_does_not_count)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	weir_work_stop(lane.work, false);
	weir_work_stop(lane.work, true);
	event_wait(&lane.told);
	CHECK_EQ_INT(atomic_load(&lane.told_id), id);
	lane_give(&lane, claim, WEIR_CANCELED);
	lane_fini(&lane);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_AVAILABLE);
	CHECK_EQ_INT(bench_attempt(&b, id), 0);
	CHECK_STR(bench_errors(&b, id), "");
	bench_fini(&b);
}

TEST(work, a_running_job_that_somebody_cancels_is_told)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	bench_cancel(&b, id);
	event_wait(&lane.told);
	CHECK_EQ_INT(atomic_load(&lane.told_id), id);
	lane_give(&lane, claim, WEIR_CANCELED);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_CANCELLED);
	CHECK_EQ_INT(lane_stats(&lane).cancelled, 1);
	CHECK(event_stays_unset(&lane.told, 0));
	lane_give(&lane, lane_take(&lane), WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_job_that_was_cancelled_and_retried_runs)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	weir_job_changed changed;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	bench_cancel(&b, id);
	event_wait(&lane.told);
	lane_give(&lane, claim, WEIR_CANCELED);
	lane_fini(&lane);
	CHECK_EQ_INT(weir_store_change(b.store, WEIR_JOB_RETRY, &id, 1,
				       &changed, NULL, NULL),
		     WEIR_OK);
	CHECK_EQ_INT(changed.state, WEIR_JOB_AVAILABLE);
	/* Whoever comes then hears of the cancellation as well. */
	options.until_empty = true;
	lane_init(&lane, &b, &options, 2);
	claim = lane_take(&lane);
	REQUIRE(claim);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_COMPLETED);
	CHECK(event_stays_unset(&lane.told, 0));
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_cancelled_job_that_ends_well_all_the_same_is_completed)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	bench_cancel(&b, id);
	event_wait(&lane.told);
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_COMPLETED);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, a_job_that_is_cancelled_before_it_is_taken_never_runs)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t ids[3];

	bench_init(&b);
	for (int i = 0; i < 3; i++)
		ids[i] = bench_put(&b, "a");
	options.prefetch = 5;
	options.until_empty = true;
	lane_init(&lane, &b, &options, 1);
	claim = lane_take(&lane);
	bench_cancel(&b, ids[1]);
	lane_wait_ended(&lane, 1);
	CHECK_EQ_INT(bench_state(&b, ids[1]), WEIR_JOB_CANCELLED);
	CHECK(strstr(bench_errors(&b, ids[1]), "JobCancelError"));
	lane_give(&lane, claim, WEIR_OK);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.id, ids[2]);
	lane_give(&lane, claim, WEIR_OK);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, while_quiet_it_claims_nothing_and_gives_back_what_waits)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "a", 5);
	options.prefetch = 5;
	lane_init(&lane, &b, &options, 2);
	claim = lane_take(&lane);
	weir__work_quiet(lane.work, true);
	lane_wait_ended(&lane, 4);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 4);
	CHECK(lane_is_dry(&lane));
	lane_give(&lane, claim, WEIR_OK);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 4);
	weir__work_quiet(lane.work, false);
	for (int i = 0; i < 4; i++)
		lane_give(&lane, lane_take(&lane), WEIR_OK);
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 5);
	bench_fini(&b);
}

TEST(work, what_was_taken_and_has_not_begun_can_be_given_back)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "a");
	lane_init(&lane, &b, NULL, 2);
	claim = lane_take(&lane);
	weir__work_give_back(lane.work, claim);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.id, id);
	CHECK_EQ_INT(claim->row.attempt, 1);
	lane_wait_ended(&lane, 1);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, kinds_that_the_lane_does_not_run_are_left_to_others)
{
	static const char *const kinds[] = {"mine", "mine-too"};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	weir_error error;
	int64_t id;

	bench_init(&b);
	id = bench_put(&b, "theirs");
	bench_put(&b, "mine");
	lane_make(&lane, &b, NULL, 2);
	weir_work_free(lane.work);
	lane.lane.kinds = kinds;
	lane.lane.kind_count = 2;
	options.until_empty = true;
	REQUIRE(weir__work_make(&lane.work, b.store, &options, &lane.lane,
				&error) == WEIR_OK);
	lane_begin(&lane);
	claim = lane_take(&lane);
	CHECK_STR(claim->row.kind, "mine");
	lane_give(&lane, claim, WEIR_OK);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	CHECK_EQ_INT(bench_state(&b, id), WEIR_JOB_AVAILABLE);
	bench_fini(&b);
}

TEST(work, an_idle_work_uses_no_processor)
{
	struct rusage before, after;
	struct lane lane;
	struct bench b;
	unsigned turns;

	bench_init(&b);
	lane_init(&lane, &b, NULL, 4);
	bench_put(&b, "a");
	lane_give(&lane, lane_take(&lane), WEIR_OK);
	CHECK(lane_is_dry(&lane));
	(void)event_stays_unset(&lane.poked, 50);
	turns = atomic_load(&b.turns);
	REQUIRE(getrusage(RUSAGE_SELF, &before) == 0);
	CHECK(event_stays_unset(&lane.poked, 1500));
	REQUIRE(getrusage(RUSAGE_SELF, &after) == 0);
	CHECK_EQ_INT(atomic_load(&b.turns), turns);
	/* Each time that it woke up it has slept before. */
	CHECK_MSG(after.ru_nvcsw - before.ru_nvcsw < 10 || UNDER_TSAN,
		  "woke up %ld times", after.ru_nvcsw - before.ru_nvcsw);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, what_was_claimed_ahead_goes_back_when_nothing_begins_for_long)
{
	struct weir_claim *claims[2];
	struct lane lane;
	struct bench b;

	bench_init(&b);
	lane_init(&lane, &b, NULL, 2);
	bench_put_many(&b, "a", 40);
	for (int i = 0; i < 40; i++)
		lane_give(&lane, lane_take(&lane), WEIR_OK);
	/* Jobs are known to be short by now. */
	bench_put_many(&b, "a", 20);
	claims[0] = lane_take(&lane);
	claims[1] = lane_take(&lane);
	/* They do not end, and the others are somebody else's chance. */
	lane_wait_ended(&lane, 1);
	CHECK_EQ_INT(atomic_load(&lane.ended_state), WEIR_JOB_AVAILABLE);
	while (bench_count(&b, WEIR_JOB_RUNNING) > 2)
		lane_wait_ended(&lane, 1);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 18);
	for (int i = 0; i < 2; i++)
		lane_give_later(&lane, claims[i], WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(work, two_works_share_what_there_is_and_run_each_job_once)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	static unsigned seen[201];
	struct weir_claim *claim;
	struct lane lanes[2];
	struct bench b;
	int left = 2;

	bench_init(&b);
	bench_put_many(&b, "a", 200);
	options.until_empty = true;
	for (int i = 0; i < 2; i++)
		lane_init(&lanes[i], &b, &options, 3);
	for (int i = 0; left > 0; i = !i) {
		if (!lanes[i].work)
			continue;
		claim = lane_take(&lanes[i]);
		if (claim) {
			seen[claim->row.id]++;
			lane_give_later(&lanes[i], claim, WEIR_OK);
		} else {
			lane_fini(&lanes[i]);
			left--;
		}
	}
	for (int i = 1; i <= 200; i++)
		CHECK_EQ_INT(seen[i], 1);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 200);
	bench_fini(&b);
}
