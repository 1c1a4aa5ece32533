/*
 * Pipelines: items go through all stages, fail where they fail, and wait
 * where there is no room; what options are taken.
 */
#include "pipeline_util.h"

#include <stdio.h>

static void *
feeder_main(void *arg)
{
	struct line *l = arg;

	for (int i = 0; i < 2000; i++)
		put(l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	weir_pipeline_close(l->p);
	return NULL;
}

TEST(pipeline, each_item_goes_through_all_stages_and_comes_out_once)
{
	static const uint32_t widths[STAGES] = {4, 1, 2};
	static unsigned char seen[2001], numbers[2000];
	weir_pipeline_result r;
	struct piece out;
	pthread_t feeder;
	struct line l;
	int count = 0;

	line_init(&l, 1, 3);
	for (int i = 0; i < STAGES; i++)
		l.stages[i].workers = widths[i];
	line_start(&l);
	feeder = thread_run(feeder_main, &l);
	while (weir_pipeline_next(l.p, &r, &out, NULL) == WEIR_OK) {
		REQUIRE(r.result.id >= 1 && r.result.id <= 2000);
		REQUIRE(out.number >= 0 && out.number < 2000);
		CHECK_EQ_INT(seen[r.result.id]++, 0);
		CHECK_EQ_INT(numbers[out.number]++, 0);
		CHECK_EQ_INT(out.trail, 123);
		CHECK_EQ_INT(r.result.status, WEIR_OK);
		CHECK_EQ_INT(r.result.attempts, STAGES);
		CHECK_STR(r.result.error, "");
		count++;
	}
	thread_join(feeder);
	CHECK_EQ_INT(count, 2000);
	OK(weir_pipeline_shutdown(l.p, NULL));
	check_stages_empty(&l);
	for (int i = 0; i < STAGES; i++) {
		CHECK_EQ_INT(atomic_load(&l.places[i].seen.runs), 2000);
		CHECK((uint32_t)atomic_load(&l.places[i].seen.most) <=
		      widths[i]);
	}
	line_end(&l);
}

TEST(pipeline, each_stage_has_its_own_width)
{
	static const uint32_t widths[STAGES] = {1, 4, 2};
	struct line l;

	line_init(&l, 1, 8);
	for (int i = 0; i < STAGES; i++)
		l.stages[i].workers = widths[i];
	line_start(&l);
	for (int i = 0; i < 6; i++)
		put(&l, PIECE(i, ECHO, GATE, ECHO), NULL);
	WAIT_FOR(atomic_load(&l.places[1].seen.running) == 4);
	WAIT_FOR(stage_stats(&l, 1).queued == 2);
	CHECK_EQ_INT(stage_stats(&l, 1).busy, 4);
	CHECK_EQ_INT(stage_stats(&l, 2).accepted, 0);
	gate_open(l.gate);
	for (int i = 0; i < 6; i++)
		CHECK_EQ_INT(take(&l, NULL).result.status, WEIR_OK);
	CHECK_EQ_INT(atomic_load(&l.places[1].seen.most), 4);
	CHECK(atomic_load(&l.places[0].seen.most) == 1);
	CHECK(atomic_load(&l.places[2].seen.most) <= 2);
	line_end(&l);
}

TEST(pipeline, a_failed_item_names_its_stage_and_skips_the_rest)
{
	struct piece piece = PIECE(7, ECHO, ECHO, ECHO);
	weir_pipeline_result r;
	char error[32];
	struct line l;

	line_init(&l, 1, 2);
	line_start(&l);
	piece.status = WEIR_PERMANENT;
	for (uint32_t i = 0; i < STAGES; i++) {
		struct piece out = {.trail = -1};

		memset(piece.what, 0, sizeof(piece.what));
		piece.what[i] = FAIL;
		CHECK_EQ_INT(put(&l, piece, NULL), i + 1);
		r = take(&l, &out);
		CHECK_EQ_INT(r.result.id, i + 1);
		CHECK_EQ_INT(r.result.status, WEIR_PERMANENT);
		CHECK_EQ_INT(r.stage, i);
		CHECK_EQ_INT(r.result.attempts, i + 1);
		snprintf(error, sizeof(error), "7 fails in %u", i);
		CHECK_STR(r.result.error, error);
		CHECK_EQ_INT(out.trail, -1);
	}
	OK(weir_pipeline_shutdown(l.p, NULL));
	for (uint32_t i = 0; i < STAGES; i++) {
		CHECK_EQ_INT(stage_stats(&l, i).accepted, STAGES - i);
		CHECK_EQ_INT(stage_stats(&l, i).failed, 1);
	}
	line_end(&l);
}

TEST(pipeline, times_are_those_of_the_item)
{
	struct piece piece = PIECE(1, ECHO, ECHO, ECHO);
	weir_pipeline_result first, second;
	struct line l;

	line_init(&l, 1, 2);
	line_start(&l);
	piece.nap_ns = 4 * WEIR_MS;
	put(&l, piece, NULL);
	put(&l, piece, NULL);
	first = take(&l, NULL);
	second = take(&l, NULL);
	CHECK(first.result.run_ns >= 12 * WEIR_MS);
	CHECK(first.result.total_ns >=
	      first.result.run_ns + first.result.wait_ns);
	CHECK(first.result.wait_ns >= 0);
	/* It came behind the first, which may have begun by then. */
	CHECK(second.result.wait_ns > 0);
	CHECK(second.result.run_ns >= 12 * WEIR_MS);
	CHECK(second.result.total_ns >=
	      second.result.run_ns + second.result.wait_ns);
	line_end(&l);
}

static weir_status
id_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct piece *piece = in;
	struct place *place = user;

	memcpy(out, in, sizeof(*piece));
	if (weir_job_id(ctx) != (uint64_t)piece->number)
		atomic_store(&place->ids_differ, true);
	return piece_act(ctx, piece, place->index);
}

TEST(pipeline, jobs_of_all_stages_see_the_id_that_the_result_carries)
{
	struct line l;

	line_init(&l, 1, 4);
	for (int i = 0; i < STAGES; i++)
		l.stages[i].run = id_run;
	line_start(&l);
	/* The first item does not get to the second stage. */
	put(&l, PIECE(1, FAIL, ECHO, ECHO), NULL);
	put(&l, PIECE(2, ECHO, ECHO, ECHO), NULL);
	CHECK_EQ_INT(take(&l, NULL).result.id, 1);
	CHECK_EQ_INT(take(&l, NULL).result.id, 2);
	for (int i = 0; i < STAGES; i++)
		CHECK_MSG(!atomic_load(&l.places[i].ids_differ), "stage %d", i);
	line_end(&l);
}

/* Nothing more goes in, and trying changes nothing. */
static void
check_refuses(struct line *l)
{
	struct piece piece = PIECE(0, ECHO, ECHO, ECHO);
	weir_ctx *soon = ctx_make(NULL, 10 * WEIR_MS);
	uint64_t id = 99;

	CHECK_EQ_INT(weir_pipeline_try_submit(l->p, &piece, &id, NULL),
		     WEIR_BUSY);
	CHECK_EQ_INT(weir_pipeline_submit(l->p, &piece, &id, soon),
		     WEIR_TIMEDOUT);
	CHECK_EQ_INT(id, 99);
	CHECK(is_full(l));
	weir_ctx_unref(soon);
}

TEST(pipeline, a_stopped_stage_stops_the_first_one_after_exactly_the_places)
{
	struct line l;

	line_init(&l, 2, 3);
	line_start(&l);
	line_fill(&l, GATE);
	WAIT_FOR(is_full(&l));
	check_refuses(&l);
	CHECK_EQ_INT(stage_stats(&l, 0).accepted, PLACES);
	CHECK_EQ_INT(atomic_load(&l.places[2].seen.runs), 2);
	gate_open(l.gate);
	for (int i = 0; i < PLACES; i++)
		CHECK_EQ_INT(take(&l, NULL).result.status, WEIR_OK);
	OK(weir_pipeline_shutdown(l.p, NULL));
	CHECK_EQ_INT(stage_stats(&l, 0).accepted, PLACES);
	line_end(&l);
}

TEST(pipeline, a_collector_that_does_not_come_stops_the_first_stage)
{
	weir_pipeline_result r;
	struct line l;

	line_init(&l, 2, 3);
	l.options.results = RESULTS;
	line_start(&l);
	for (int i = 0; i < RESULTS; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	line_fill(&l, ECHO);
	WAIT_FOR(is_full(&l));
	check_refuses(&l);
	/* One result taken lets one more in. */
	take(&l, NULL);
	put(&l, PIECE(99, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(is_full(&l));
	check_refuses(&l);
	weir_pipeline_close(l.p);
	for (int i = 0; i < RESULTS + PLACES; i++)
		CHECK_EQ_INT(take(&l, NULL).result.status, WEIR_OK);
	CHECK_EQ_INT(weir_pipeline_next(l.p, &r, NULL, NULL), WEIR_CLOSED);
	line_end(&l);
}

TEST(pipeline, results_are_raised_to_the_widths_of_all_stages)
{
	struct line l;

	line_init(&l, 2, 3);
	l.options.results = 1;
	line_start(&l);
	for (int i = 0; i < STAGES * 2; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 2).delivered == STAGES * 2);
	line_fill(&l, ECHO);
	WAIT_FOR(is_full(&l));
	check_refuses(&l);
	line_end(&l);
}

TEST(pipeline, a_stage_tries_again_by_its_own_policy)
{
	weir_pipeline_result r;
	struct piece out;
	struct line l;

	line_init(&l, 1, 2);
	l.stages[1].retry =
		(weir_retry){.attempts_max = 2, .delay_ns = WEIR_MS};
	line_start(&l);
	put(&l, PIECE(1, ECHO, FLAKY, ECHO), NULL);
	r = take(&l, &out);
	CHECK_EQ_INT(r.result.status, WEIR_OK);
	CHECK_EQ_INT(r.result.attempts, 4);
	CHECK_EQ_INT(out.trail, 123);
	CHECK_EQ_INT(stage_stats(&l, 1).retries, 1);
	put(&l, PIECE(2, FLAKY, ECHO, ECHO), NULL);
	r = take(&l, NULL);
	CHECK_EQ_INT(r.result.status, WEIR_FAILED);
	CHECK_EQ_INT(r.stage, 0);
	CHECK_EQ_INT(r.result.attempts, 1);
	line_end(&l);
}

TEST(pipeline, a_stage_has_its_own_time_out)
{
	weir_pipeline_result r;
	struct line l;

	line_init(&l, 1, 2);
	l.stages[1].timeout_ns = 5 * WEIR_MS;
	l.stages[1].retry =
		(weir_retry){.attempts_max = 3, .delay_ns = WEIR_MS};
	line_start(&l);
	put(&l, PIECE(1, ECHO, WATCH, ECHO), NULL);
	r = take(&l, NULL);
	CHECK_EQ_INT(r.result.status, WEIR_TIMEDOUT);
	CHECK_EQ_INT(r.stage, 1);
	CHECK_EQ_INT(r.result.attempts, 4);
	CHECK(r.result.run_ns >= 15 * WEIR_MS);
	line_end(&l);
}

TEST(pipeline, a_stage_may_be_asynchronous)
{
	weir_pipeline_result r;
	struct piece bad = PIECE(99, ECHO, FAIL, ECHO), out;
	static struct ender e;
	pthread_t feeder, thread;
	int failed = 0, count = 0;
	struct line l;

	line_init(&l, 2, 4);
	ender_take_stage(&e, &l, 1);
	l.stages[1].workers = 16;
	l.stages[1].threads = 2;
	line_start(&l);
	thread = thread_run(ender_main, &e);
	bad.status = WEIR_PERMANENT;
	put(&l, bad, NULL);
	feeder = thread_run(feeder_main, &l);
	while (weir_pipeline_next(l.p, &r, &out, NULL) == WEIR_OK) {
		count++;
		if (r.result.status == WEIR_OK) {
			CHECK_EQ_INT(out.trail, 123);
			continue;
		}
		failed++;
		CHECK_EQ_INT(r.stage, 1);
		CHECK_EQ_INT(r.result.status, WEIR_PERMANENT);
		CHECK_STR(r.result.error, "cannot start");
	}
	thread_join(feeder);
	ender_stop(&e, thread);
	CHECK_EQ_INT(count, 2001);
	CHECK_EQ_INT(failed, 1);
	CHECK(atomic_load(&e.place.seen.most) <= 16);
	line_end(&l);
}

/* Cancel an item's context; it ends in that stage after so many attempts. */
static void
check_cancelled(struct line *l, weir_ctx *ctx, uint32_t stage,
		uint32_t attempts)
{
	weir_pipeline_result r;

	weir_ctx_cancel(ctx);
	r = take(l, NULL);
	CHECK_EQ_INT(r.result.status, WEIR_CANCELED);
	CHECK_EQ_INT(r.stage, stage);
	CHECK_EQ_INT(r.result.attempts, attempts);
	for (uint32_t i = stage + 1; i < STAGES; i++)
		CHECK_EQ_INT(stage_stats(l, i).accepted, 0);
	weir_ctx_unref(ctx);
	line_end(l);
}

TEST(pipeline, an_item_is_cancelled_in_the_stage_it_is_in)
{
	static const struct piece pieces[] = {
		{.what = {WATCH, ECHO, ECHO}},
		{.what = {ECHO, WATCH, ECHO}},
		{.what = {ECHO, ECHO, WATCH}},
	};
	struct line l;

	for (uint32_t i = 0; i < STAGES; i++) {
		weir_ctx *ctx = gate_make();

		line_init(&l, 1, 2);
		line_start(&l);
		put(&l, pieces[i], ctx);
		WAIT_FOR(atomic_load(&l.places[i].seen.running) == 1);
		check_cancelled(&l, ctx, i, i + 1);
	}
}

TEST(pipeline, an_item_is_cancelled_between_attempts)
{
	weir_ctx *ctx = gate_make();
	struct line l;

	line_init(&l, 1, 2);
	l.stages[1].retry =
		(weir_retry){.attempts_max = 2, .delay_ns = 30 * WEIR_S};
	line_start(&l);
	put(&l, PIECE(1, ECHO, FLAKY, ECHO), ctx);
	WAIT_FOR(stage_stats(&l, 1).backoff == 1);
	check_cancelled(&l, ctx, 1, 2);
}

TEST(pipeline, an_item_is_cancelled_in_the_queue_between_two_stages)
{
	weir_ctx *ctx = gate_make();
	weir_pipeline_result r;
	struct line l;

	line_jam(&l, 2);
	put(&l, PIECE(2, ECHO, ECHO, ECHO), ctx);
	WAIT_FOR(stage_stats(&l, 1).queued == 1);
	weir_ctx_cancel(ctx);
	gate_open(l.gate);
	for (int i = 0; i < 2; i++) {
		r = take(&l, NULL);
		if (r.result.id == 1) {
			CHECK_EQ_INT(r.result.status, WEIR_OK);
			continue;
		}
		CHECK_EQ_INT(r.result.status, WEIR_CANCELED);
		CHECK_EQ_INT(r.stage, 1);
		CHECK_EQ_INT(r.result.attempts, 1);
	}
	CHECK_EQ_INT(atomic_load(&l.places[1].seen.runs), 1);
	weir_ctx_unref(ctx);
	line_end(&l);
}

TEST(pipeline, an_item_is_cancelled_while_it_waits_for_the_next_queue)
{
	weir_ctx *ctx = gate_make();
	struct line l;
	weir_pipeline_result r;

	line_jam(&l, 1);
	put(&l, PIECE(2, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 1).queued == 1);
	put(&l, PIECE(3, ECHO, ECHO, ECHO), ctx);
	WAIT_FOR(atomic_load(&l.places[0].seen.runs) == 3);
	weir_ctx_cancel_cause(ctx, "no longer wanted");
	r = take(&l, NULL);
	CHECK_EQ_INT(r.result.id, 3);
	CHECK_EQ_INT(r.result.status, WEIR_CANCELED);
	CHECK_EQ_INT(r.stage, 1);
	CHECK_EQ_INT(r.result.attempts, 1);
	gate_open(l.gate);
	weir_ctx_unref(ctx);
	line_end(&l);
}

TEST(pipeline, an_item_that_fails_in_any_stage_comes_back_as_submitted)
{
	struct line l;

	line_init(&l, 1, 2);
	l.options.keep_in = true;
	line_start(&l);
	for (uint32_t i = 0; i < STAGES; i++) {
		struct piece piece = PIECE((int)i + 7, ECHO, ECHO, ECHO);
		struct piece in = {.trail = -1}, out = {.trail = -1};
		weir_pipeline_result r;

		piece.status = WEIR_PERMANENT;
		piece.what[i] = FAIL;
		put(&l, piece, NULL);
		r = take_item(&l, &in, &out);
		CHECK_EQ_INT(r.result.status, WEIR_PERMANENT);
		CHECK_EQ_INT(r.stage, i);
		check_submitted(&in, (int)i + 7);
		CHECK_EQ_INT(in.what[i], FAIL);
		CHECK_EQ_INT(in.status, WEIR_PERMANENT);
		CHECK_EQ_INT(out.trail, -1);
	}
	line_end(&l);
}

TEST(pipeline, an_item_that_succeeds_comes_back_beside_its_output)
{
	struct piece in = {.trail = -1}, out;
	struct line l;

	line_init(&l, 1, 2);
	l.stages[1].retry =
		(weir_retry){.attempts_max = 2, .delay_ns = WEIR_MS};
	l.options.keep_in = true;
	line_start(&l);
	put(&l, PIECE(7, ECHO, FLAKY, ECHO), NULL);
	CHECK_EQ_INT(take_item(&l, &in, &out).result.status, WEIR_OK);
	check_submitted(&in, 7);
	CHECK_EQ_INT(out.number, 7);
	CHECK_EQ_INT(out.trail, 123);
	line_end(&l);
}

TEST(pipeline, items_that_are_kept_need_not_be_taken)
{
	weir_pipeline_result r;
	struct piece in, out;
	struct line l;

	line_init(&l, 1, 2);
	l.options.keep_in = true;
	line_start(&l);
	CHECK_EQ_INT(weir_pipeline_try_next_item(l.p, &r, &in, &out),
		     WEIR_BUSY);
	for (int i = 0; i < 4; i++)
		put(&l, PIECE(i, ECHO, ECHO, ECHO), NULL);
	CHECK_EQ_INT(take_item(&l, NULL, &out).result.id, 1);
	CHECK_EQ_INT(out.trail, 123);
	CHECK_EQ_INT(take_item(&l, NULL, NULL).result.id, 2);
	CHECK_EQ_INT(take(&l, &out).result.id, 3);
	CHECK_EQ_INT(out.number, 2);
	weir_pipeline_close(l.p);
	OK(weir_pipeline_shutdown(l.p, NULL));
	OK(weir_pipeline_try_next_item(l.p, &r, &in, NULL));
	check_submitted(&in, 3);
	CHECK_EQ_INT(weir_pipeline_try_next_item(l.p, &r, &in, NULL),
		     WEIR_CLOSED);
	CHECK_EQ_INT(weir_pipeline_next_item(l.p, &r, &in, NULL, NULL),
		     WEIR_CLOSED);
	line_end(&l);
}

TEST(pipeline, an_item_that_was_not_kept_is_refused_before_its_result_is_taken)
{
	struct piece in = {.trail = -1};
	weir_pipeline_result r;
	struct line l;

	line_init(&l, 1, 2);
	line_start(&l);
	put(&l, PIECE(1, ECHO, ECHO, ECHO), NULL);
	WAIT_FOR(stage_stats(&l, 2).delivered == 1);
	CHECK_EQ_INT(weir_pipeline_next_item(l.p, &r, &in, NULL, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(weir_pipeline_try_next_item(l.p, &r, &in, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(in.trail, -1);
	CHECK_EQ_INT(take_item(&l, NULL, NULL).result.id, 1);
	line_end(&l);
}

TEST(pipeline, an_item_that_is_cancelled_in_any_queue_comes_back)
{
	static const uint32_t stages[] = {0, 2, 1, 1, 0};
	static const uint32_t attempts[] = {0, 3, 1, 1, 0};
	weir_ctx *ctx = gate_make();
	struct line l;

	/*
	 * 1 holds the second stage's worker, 2 is in its queue, 3 holds the
	 * first stage's worker because that queue is full, 4 is in its queue.
	 */
	line_jam(&l, 1);
	put(&l, PIECE(2, ECHO, ECHO, ECHO), ctx);
	WAIT_FOR(stage_stats(&l, 1).queued == 1);
	put(&l, PIECE(3, ECHO, ECHO, ECHO), ctx);
	WAIT_FOR(atomic_load(&l.places[0].seen.runs) == 3);
	put(&l, PIECE(4, ECHO, ECHO, ECHO), ctx);
	weir_ctx_cancel(ctx);
	gate_open(l.gate);
	for (int i = 1; i <= 4; i++) {
		struct piece in = {.trail = -1};
		weir_pipeline_result r = take_item(&l, &in, NULL);

		REQUIRE(r.result.id >= 1 && r.result.id <= 4);
		check_submitted(&in, (int)r.result.id);
		CHECK_EQ_INT(r.stage, stages[r.result.id]);
		CHECK_EQ_INT(r.result.status,
			     r.result.id == 1 ? WEIR_OK : WEIR_CANCELED);
		CHECK_EQ_INT(r.result.attempts, attempts[r.result.id]);
	}
	weir_ctx_unref(ctx);
	line_end(&l);
}

/* Outputs must be aligned, whatever lies in front of them. */
enum { ODD = 13 };

static weir_status
odd_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	const struct place *place = user;

	(void)ctx;
	CHECK_EQ_INT((uintptr_t)in % _Alignof(max_align_t), 0);
	CHECK_EQ_INT((uintptr_t)out % _Alignof(max_align_t), 0);
	memset(out, 0xff, place->index == 2 ? ODD : sizeof(max_align_t));
	return WEIR_OK;
}

static void
check_kept_of_size(size_t size)
{
	static const char text[] = "as it was submitted";
	char in[] = "...................", out[ODD + 1] = "";
	weir_pipeline_result r;
	struct line l;

	line_init(&l, 1, 2);
	for (int i = 0; i < STAGES; i++) {
		l.stages[i].run = odd_run;
		l.stages[i].out_size = i == 2 ? ODD : sizeof(max_align_t);
	}
	l.options.in_size = size;
	l.options.keep_in = true;
	line_start(&l);
	OK(weir_pipeline_submit(l.p, size > 0 ? text : NULL, NULL, NULL));
	OK(weir_pipeline_next_item(l.p, &r, in, out, NULL));
	CHECK(memcmp(in, text, size) == 0 && in[size] == '.');
	CHECK_EQ_INT((unsigned char)out[ODD - 1], 0xff);
	CHECK_EQ_INT(out[ODD], 0);
	line_end(&l);
}

TEST(pipeline, items_of_all_sizes_are_kept_and_leave_the_outputs_aligned)
{
	for (size_t size = 0; size < 18; size++)
		check_kept_of_size(size);
}

static weir_status
place_init(uint32_t worker, void **ret_state, void *user)
{
	struct place *place = user;

	*ret_state = place;
	atomic_fetch_add(&place->inits, 1);
	return worker == 1 ? place->init_status : WEIR_OK;
}

static void
place_exit(uint32_t worker, void *state, void *user)
{
	struct place *place = user;

	(void)worker;
	CHECK(state == place);
	atomic_fetch_add(&place->exits, 1);
}

TEST(pipeline, an_init_that_fails_in_the_last_stage_ends_them_all)
{
	struct line l;

	line_init(&l, 2, 1);
	for (int i = 0; i < STAGES; i++) {
		l.stages[i].init = place_init;
		l.stages[i].exit = place_exit;
	}
	l.places[2].init_status = WEIR_PERMANENT;
	CHECK_EQ_INT(weir_pipeline_new(&l.p, &l.options), WEIR_PERMANENT);
	CHECK(!l.p);
	CHECK_EQ_INT(atomic_load(&l.places[0].inits), 2);
	CHECK_EQ_INT(atomic_load(&l.places[0].exits), 2);
	CHECK_EQ_INT(atomic_load(&l.places[1].exits), 2);
	CHECK_EQ_INT(atomic_load(&l.places[2].inits), 2);
	CHECK_EQ_INT(atomic_load(&l.places[2].exits), 1);
	l.places[2].init_status = WEIR_OK;
	line_start(&l);
	line_end(&l);
}

#define REFUSED(...)                                                           \
	do {                                                                   \
		line_init(&l, 1, 1);                                           \
		__VA_ARGS__;                                                   \
		CHECK_EQ_INT(weir_pipeline_new(&l.p, &l.options), WEIR_INVAL); \
		CHECK(!l.p);                                                   \
		weir_ctx_unref(l.gate);                                        \
	} while (0)

TEST(pipeline, options_that_make_no_sense_are_refused)
{
	struct line l;

	REFUSED(l.options.size = 0);
	REFUSED(l.options.size = 4);
	REFUSED(l.options.stages = NULL);
	REFUSED(l.options.stage_count = 0);
	REFUSED(l.options.stage_count = WEIR_PIPELINE_STAGES_MAX + 1);
	REFUSED(l.options.results = WEIR_POOL_QUEUE_MAX + 1);
	REFUSED(l.stages[0].workers = 0);
	REFUSED(l.stages[1].workers = WEIR_POOL_WORKERS_MAX + 1);
	REFUSED(l.stages[1].workers = UINT32_MAX);
	REFUSED(l.stages[2].queue = 0);
	REFUSED(l.stages[2].queue = UINT32_MAX);
	REFUSED(l.stages[2].run = NULL);
	REFUSED(l.stages[2].start = ender_start);
	REFUSED(l.stages[1].timeout_ns = -1);
	REFUSED(l.stages[1].retry.jitter = 2);
	REFUSED(l.options.stage_size = offsetof(weir_stage, queue));
	line_init(&l, 1, 1);
	CHECK_EQ_INT(weir_pipeline_new(NULL, &l.options), WEIR_INVAL);
	CHECK_EQ_INT(weir_pipeline_new(&l.p, NULL), WEIR_INVAL);
	CHECK(!l.p);
	weir_ctx_unref(l.gate);
}

TEST(pipeline, sizes_that_wrap_around_are_refused)
{
	struct line l;

	REFUSED(l.options.in_size = SIZE_MAX);
	REFUSED(l.options.in_size = SIZE_MAX - 64);
	REFUSED(l.stages[0].out_size = SIZE_MAX);
	REFUSED(l.stages[2].out_size = SIZE_MAX);
	REFUSED(l.stages[2].out_size = SIZE_MAX - 200);
	REFUSED(l.stages[2].out_size = SIZE_MAX / 2);
	/* Each by itself would do; together they would not. */
	REFUSED(l.options.keep_in = true; l.options.in_size = SIZE_MAX / 12;
		l.stages[0].out_size = SIZE_MAX / 12);
	REFUSED(l.options.keep_in = true; l.options.in_size = SIZE_MAX / 12;
		l.stages[2].out_size = SIZE_MAX / 12);
	REFUSED(l.options.keep_in = true; l.options.in_size = SIZE_MAX);
}

/* Callers with newer and with older headers. */
struct newer_stage {
	weir_stage known;
	uint64_t unknown;
};

TEST(pipeline, stages_of_a_newer_caller_are_taken_when_the_rest_is_zero)
{
	struct newer_stage newer[STAGES];
	struct piece out;
	struct line l;

	line_init(&l, 1, 2);
	memset(newer, 0, sizeof(newer));
	for (int i = 0; i < STAGES; i++)
		newer[i].known = l.stages[i];
	l.options.stages = &newer[0].known;
	l.options.stage_size = sizeof(newer[0]);
	line_start(&l);
	put(&l, PIECE(1, ECHO, ECHO, ECHO), NULL);
	take(&l, &out);
	CHECK_EQ_INT(out.trail, 123);
	l.p = weir_pipeline_free(l.p);
	newer[2].unknown = 1;
	CHECK_EQ_INT(weir_pipeline_new(&l.p, &l.options), WEIR_INVAL);
	CHECK(!l.p);
	weir_ctx_unref(l.gate);
}

TEST(pipeline, stages_of_an_older_caller_end_early)
{
	size_t size = offsetof(weir_stage, retry);
	unsigned char *older = malloc(STAGES * size);
	struct piece out;
	struct line l;

	REQUIRE(older);
	line_init(&l, 1, 2);
	for (int i = 0; i < STAGES; i++)
		memcpy(older + (size_t)i * size, &l.stages[i], size);
	l.options.stages = (const void *)older;
	l.options.stage_size = size;
	line_start(&l);
	/* They are copied. */
	free(older);
	put(&l, PIECE(1, ECHO, ECHO, ECHO), NULL);
	take(&l, &out);
	CHECK_EQ_INT(out.trail, 123);
	line_end(&l);
	line_init(&l, 1, 2);
	l.options.stage_size = 0;
	line_start(&l);
	line_end(&l);
	CHECK(!weir_pipeline_free(NULL));
}

TEST(pipeline, options_of_an_older_caller_keep_no_items)
{
	size_t size = offsetof(weir_pipeline_options, keep_in);
	weir_pipeline_options *older = malloc(size);
	weir_pipeline_result r;
	struct piece in;
	struct line l;

	/* Exactly as long as it says, for the address sanitizer. */
	REQUIRE(older);
	line_init(&l, 1, 2);
	l.options.size = size;
	memcpy(older, &l.options, size);
	OK(weir_pipeline_new(&l.p, older));
	free(older);
	put(&l, PIECE(1, ECHO, ECHO, ECHO), NULL);
	CHECK_EQ_INT(weir_pipeline_next_item(l.p, &r, &in, NULL, NULL),
		     WEIR_INVAL);
	CHECK_EQ_INT(take(&l, NULL).result.status, WEIR_OK);
	line_end(&l);
}

TEST(pipeline, statistics_of_a_stage_that_is_not_there_are_zero)
{
	weir_pool_stats s;
	struct line l;

	line_init(&l, 1, 2);
	line_start(&l);
	memset(&s, 0x55, sizeof(s));
	s.size = offsetof(weir_pool_stats, accepted);
	weir_pipeline_get_stats(l.p, STAGES, &s);
	CHECK_EQ_INT(s.size, offsetof(weir_pool_stats, accepted));
	CHECK_EQ_INT(s.workers + s.busy + s.queued, 0);
	CHECK(s.accepted == UINT64_C(0x5555555555555555));
	CHECK_EQ_INT(stage_stats(&l, 2).workers, 1);
	line_end(&l);
}
