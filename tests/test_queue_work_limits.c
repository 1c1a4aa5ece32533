/*
 * Who runs beside whom: widths and rates of queues and kinds, and suspects.
 */
#include "queue_work_util.h"

#include "queue/work_inside.h"

#include <stdlib.h>
#include <string.h>

static int64_t
put_in(struct bench *b, const char *queue, const char *kind)
{
	struct weir_draft draft = bench_draft(kind);

	draft.queue = queue;
	draft.queue_len = strlen(queue);
	return bench_put_draft(b, &draft);
}

TEST(limits, a_queue_runs_no_more_at_once_than_its_width)
{
	static const weir_work_queue queues[] = {{"narrow", 2}, {"wide", 0}};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claims[6];
	unsigned narrow = 0;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	for (int i = 0; i < 8; i++)
		put_in(&b, "narrow", "a");
	for (int i = 0; i < 4; i++)
		put_in(&b, "wide", "a");
	options.queues = queues;
	options.queue_count = 2;
	options.prefetch = 8;
	lane_init(&lane, &b, &options, 6);
	for (int i = 0; i < 6; i++) {
		claims[i] = lane_take(&lane);
		narrow += strcmp(claims[i]->row.queue, "narrow") == 0;
	}
	CHECK_EQ_INT(narrow, 2);
	CHECK(lane_is_dry(&lane));
	for (int i = 0; i < 6; i++)
		lane_give(&lane, claims[i], WEIR_OK);
	for (int i = 0; i < 2; i++)
		claims[i] = lane_take(&lane);
	CHECK(lane_is_dry(&lane));
	lane_give(&lane, claims[1], WEIR_OK);
	claims[1] = lane_take(&lane);
	CHECK(lane_is_dry(&lane));
	for (int i = 0; i < 2; i++)
		lane_give(&lane, claims[i], WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(limits, a_queue_with_plenty_leaves_room_for_another)
{
	static const weir_work_queue queues[] = {{"much", 0}, {"little", 0}};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claims[4];
	unsigned little = 0;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	for (int i = 0; i < 100; i++)
		put_in(&b, "much", "a");
	for (int i = 0; i < 2; i++)
		put_in(&b, "little", "a");
	options.queues = queues;
	options.queue_count = 2;
	lane_init(&lane, &b, &options, 4);
	for (int i = 0; i < 4; i++) {
		claims[i] = lane_take(&lane);
		little += strcmp(claims[i]->row.queue, "little") == 0;
	}
	CHECK_EQ_INT(little, 2);
	for (int i = 0; i < 4; i++)
		lane_give_later(&lane, claims[i], WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

/* Options with limits for the kind "slow". */
static weir_work_options
limit_slow(uint32_t width, double rate)
{
	static weir_handler handler;
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;

	memset(&handler, 0, sizeof(handler));
	handler.size = sizeof(handler);
	handler.kind = "slow";
	handler.width = width;
	handler.rate = rate;
	options.handlers = &handler;
	options.handler_count = 1;
	return options;
}

TEST(limits, a_kind_at_its_width_does_not_hold_up_the_others)
{
	weir_work_options options = limit_slow(1, 0);
	struct weir_claim *claims[4];
	unsigned slow = 0;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "slow", 20);
	bench_put_many(&b, "fast", 20);
	lane_init(&lane, &b, &options, 4);
	for (int i = 0; i < 4; i++) {
		claims[i] = lane_take(&lane);
		slow += strcmp(claims[i]->row.kind, "slow") == 0;
	}
	CHECK_EQ_INT(slow, 1);
	/* Enough of them wait: what was claimed since are others. */
	CHECK(bench_count(&b, WEIR_JOB_RUNNING) <= 8);
	for (int i = 0; i < 4; i++)
		lane_give_later(&lane, claims[i], WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(limits, a_kind_at_its_width_is_run_one_after_the_other_to_the_end)
{
	weir_work_options options = limit_slow(1, 0);
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int n = 0;

	bench_init(&b);
	bench_put_many(&b, "slow", 20);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 4);
	for (; (claim = lane_take(&lane)); n++) {
		CHECK_EQ_INT(lane_stats(&lane).running, 1);
		lane_give_later(&lane, claim, WEIR_OK);
	}
	CHECK_EQ_INT(n, 20);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(limits, a_stop_gives_back_what_waits_at_a_gate)
{
	weir_work_options options = limit_slow(1, 0);
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "slow", 4);
	lane_init(&lane, &b, &options, 4);
	claim = lane_take(&lane);
	lane_wait_claimed(&lane, 3);
	weir_work_stop(lane.work, false);
	lane_wait_ended(&lane, 3);
	lane_give(&lane, claim, WEIR_OK);
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 3);
	bench_fini(&b);
}

TEST(limits, a_cancelled_job_leaves_its_gate)
{
	weir_work_options options = limit_slow(1, 0);
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "slow", 3);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 4);
	claim = lane_take(&lane);
	lane_wait_claimed(&lane, 2);
	bench_cancel(&b, 2);
	lane_wait_ended(&lane, 1);
	lane_give(&lane, claim, WEIR_OK);
	claim = lane_take(&lane);
	CHECK_EQ_INT(claim->row.id, 3);
	lane_give(&lane, claim, WEIR_OK);
	CHECK(!lane_take(&lane));
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(limits, what_a_gate_holds_up_for_long_goes_back_but_for_the_next)
{
	weir_work_options options = limit_slow(1, 0);
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "slow", 8);
	lane_init(&lane, &b, &options, 8);
	claim = lane_take(&lane);
	lane_wait_claimed(&lane, 7);
	lane_wait_ended(&lane, 6);
	CHECK_EQ_INT(lane_stats(&lane).claimed, 1);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 6);
	/* And is not claimed again before there is use for it. */
	CHECK(event_stays_unset(&lane.ended, 50));
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_AVAILABLE), 6);
	lane_give(&lane, claim, WEIR_OK);
	for (int i = 0; i < 7; i++)
		lane_give(&lane, lane_take(&lane), WEIR_OK);
	lane_fini(&lane);
	bench_fini(&b);
}

/* A lane that runs its jobs in the poke, so that the loop never has a rest. */
struct eager {
	struct bench *bench;
	weir_work *work;
	int runs, idle_at; /* which one was that of the queue "idle"; 0: none */
};

static void
eager_poke(void *user)
{
	struct weir_outcome outcome = WEIR_OUTCOME_INIT;
	struct eager *e = user;
	struct weir_claim *claim;

	while (weir__work_take(e->work, &claim) == WEIR_OK) {
		if (++e->runs == 100)
			put_in(e->bench, "idle", "a");
		if (strcmp(claim->row.queue, "idle") == 0)
			e->idle_at = e->runs;
		weir__work_give(e->work, claim, &outcome);
	}
}

static void
eager_cancel(struct weir_claim *claim, void *user)
{
	(void)claim;
	(void)user;
}

TEST(limits, a_busy_queue_does_not_drown_the_bell_of_another)
{
	static const weir_work_queue queues[] = {{"busy", 0}, {"idle", 0}};
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_lane lane = {
		.poke = eager_poke, .cancel = eager_cancel, .width = 1};
	struct eager e = {0};
	struct bench b;
	weir_error error;

	bench_init(&b);
	for (int i = 0; i < 4000; i++)
		put_in(&b, "busy", "a");
	options.queues = queues;
	options.queue_count = 2;
	options.prefetch = 4;
	options.until_empty = true;
	lane.user = &e;
	e.bench = &b;
	REQUIRE(weir__work_make(&e.work, b.store, &options, &lane, &error) ==
		WEIR_OK);
	eager_poke(&e);
	REQUIRE(weir__work_begin(e.work, &error) == WEIR_OK);
	weir__thread_join(&e.work->thread);
	e.work->joined = true;
	weir_work_free(e.work);
	CHECK_EQ_INT(e.runs, 4001);
	CHECK_MSG(e.idle_at > 0 && e.idle_at < 3000, "ran as number %d",
		  e.idle_at);
	bench_fini(&b);
}

TEST(limits, a_kind_begins_no_more_often_than_its_rate)
{
	weir_work_options options = limit_slow(0, 20);
	int64_t began_ns = weir_now_ns(), took_ns;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	bench_put_many(&b, "slow", 6);
	bench_put(&b, "fast");
	options.until_empty = true;
	lane_init(&lane, &b, &options, 4);
	while ((claim = lane_take(&lane)))
		lane_give_later(&lane, claim, WEIR_OK);
	took_ns = weir_now_ns() - began_ns;
	/* One at once, and five more at 50 ms each. */
	CHECK_MSG(took_ns >= 245 * WEIR_MS, "%lld ms",
		  (long long)(took_ns / WEIR_MS));
	CHECK_MSG(took_ns < 2 * WEIR_S, "%lld ms",
		  (long long)(took_ns / WEIR_MS));
	lane_fini(&lane);
	CHECK_EQ_INT(bench_count(&b, WEIR_JOB_COMPLETED), 7);
	bench_fini(&b);
}

/* Jobs with which a worker has died, so many. */
static void
put_suspects(struct bench *b, size_t count)
{
	struct weir_owner owner = {.name = "elsewhere:1"};
	struct weir_want want = {.queue = "default", .count = 100};
	struct weir_turn turn = {
		.owner = &owner, .wants = &want, .want_count = 1};
	weir_store *other = bench_join(b);
	struct weir_buf cancels = {0};
	weir_error error;

	bench_put_many(b, "suspect", count);
	turn.cancels = &cancels;
	REQUIRE(other->ops->enlist(other, &owner, &error) == WEIR_OK);
	REQUIRE(other->ops->turn(other, &turn, &error) == WEIR_OK);
	REQUIRE(turn.batch && turn.batch->count == count);
	for (size_t i = 0; i < count; i++)
		weir__claim_free(&turn.batch->claims[i]);
	weir__buf_fini(&cancels);
	/* Without having left: it died. */
	other->ops->close(other);
}

TEST(suspects, jobs_of_the_dead_run_again_and_alone)
{
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;

	bench_init(&b);
	put_suspects(&b, 2);
	lane_init(&lane, &b, NULL, 4);
	for (int i = 0; i < 2; i++) {
		claim = lane_take(&lane);
		CHECK_STR(claim->row.kind, "suspect");
		CHECK_EQ_INT(claim->row.crashes, 1);
		/* Others that come meanwhile wait until it has ended. */
		bench_put(&b, "innocent");
		CHECK(event_stays_unset(&lane.poked, 50) || lane_is_dry(&lane));
		CHECK_EQ_INT(bench_count(&b, WEIR_JOB_RUNNING), 1);
		lane_give(&lane, claim, WEIR_OK);
	}
	/* One suspect follows the other; then the others have their turn. */
	for (int i = 0; i < 2; i++) {
		claim = lane_take(&lane);
		CHECK_STR(claim->row.kind, "innocent");
		lane_give(&lane, claim, WEIR_OK);
	}
	CHECK_EQ_INT(lane_stats(&lane).rescued, 2);
	lane_fini(&lane);
	bench_fini(&b);
}

TEST(suspects, until_empty_waits_for_them)
{
	weir_work_options options = WEIR_WORK_OPTIONS_INIT;
	struct weir_claim *claim;
	struct lane lane;
	struct bench b;
	int n = 0;

	bench_init(&b);
	put_suspects(&b, 3);
	bench_put_many(&b, "innocent", 5);
	options.until_empty = true;
	lane_init(&lane, &b, &options, 4);
	for (; (claim = lane_take(&lane)); n++) {
		if (claim->row.crashes > 0)
			CHECK_EQ_INT(lane_stats(&lane).running, 1);
		lane_give_later(&lane, claim, WEIR_OK);
	}
	CHECK_EQ_INT(n, 8);
	lane_fini(&lane);
	bench_fini(&b);
}

/* A work that only has what suspects need, and a clock in hand. */
struct suspect_bench {
	weir_work work;
	struct weir_queue_state queue;
};

static void
suspect_init(struct suspect_bench *s)
{
	memset(s, 0, sizeof(*s));
	s->work.queues = &s->queue;
	s->work.queue_count = 1;
}

static bool
lets(struct suspect_bench *s, int64_t at_ms, bool *ret_alone)
{
	*ret_alone = false;
	return weir__suspects_let(&s->work, at_ms * WEIR_MS, ret_alone);
}

TEST(suspects, go_at_once_when_there_is_nothing_else)
{
	struct suspect_bench s;
	bool alone;

	suspect_init(&s);
	CHECK(lets(&s, 0, &alone) && !alone);
	weir__suspects_note(&s.work, true, false, false, 0);
	CHECK(lets(&s, 0, &alone) && alone);
}

TEST(suspects, wait_a_second_while_there_are_others)
{
	struct suspect_bench s;
	bool alone;

	suspect_init(&s);
	s.queue.may_have = true;
	s.work.held_len = 1;
	weir__suspects_note(&s.work, true, false, true, 0);
	CHECK(lets(&s, 999, &alone) && !alone);
	CHECK(!lets(&s, 1000, &alone));
	CHECK(!lets(&s, 1500, &alone));
	s.work.held_len = 0;
	CHECK(lets(&s, 1600, &alone) && alone);
	weir__suspects_note(&s.work, false, true, true, 1600 * WEIR_MS);
	s.work.held_len = 1;
	CHECK(!lets(&s, 1700, &alone));
	/* The next one, and so on for a second. */
	s.work.held_len = 0;
	CHECK(lets(&s, 1800, &alone) && alone);
	weir__suspects_note(&s.work, false, true, true, 1800 * WEIR_MS);
	s.work.held_len = 1;
	CHECK(!lets(&s, 2500, &alone));
	s.work.held_len = 0;
	CHECK(lets(&s, 2600, &alone) && !alone);
}

TEST(suspects, do_not_keep_others_waiting_behind_a_job_without_end)
{
	struct suspect_bench s;
	int64_t let_ms = 0, denied_ms = 0;
	bool alone;

	suspect_init(&s);
	s.queue.may_have = true;
	s.work.held_len = 1;
	weir__suspects_note(&s.work, true, false, true, 0);
	for (int64_t at_ms = 0; at_ms < 3600 * 1000; at_ms += 100) {
		if (lets(&s, at_ms, &alone))
			let_ms += 100;
		else
			denied_ms += 100;
		CHECK(!alone);
	}
	CHECK(denied_ms > 0);
	CHECK_MSG(let_ms + 10000 >= denied_ms, "let %lld, denied %lld",
		  (long long)let_ms, (long long)denied_ms);
}

TEST(suspects, of_which_none_is_left_are_forgotten)
{
	struct suspect_bench s;
	bool alone;

	suspect_init(&s);
	weir__suspects_note(&s.work, true, false, false, 0);
	CHECK(lets(&s, 0, &alone) && alone);
	weir__suspects_note(&s.work, false, true, false, 0);
	CHECK(lets(&s, 1, &alone) && !alone);
	CHECK_EQ_INT(weir__suspects_at_ns(&s.work), WEIR_FOREVER);
}
