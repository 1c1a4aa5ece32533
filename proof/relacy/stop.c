/*
 * Whole pools in push form that end: closed, shut down, cancelled; and ones
 * that change their width.
 */
#include "rig.h"

/* Closing. */

static void
close_drains(void)
{
	rig_make();
	crew_start(collect_all);
	submit_0();
	close_it();
	rig_end();
	CHECK(delivered[0] == 1);
}

static void
close_collectors(void)
{
	rig_make();
	crew_start(collect_nothing);
	crew_start(collect_nothing);
	close_it();
	rig_end();
}

static void
close_last(void)
{
	rig_make();
	crew_start(collect_or_find_closed);
	crew_start(collect_or_find_closed);
	submit_0();
	close_it();
	rig_end();
}

static void
close_crosses(void)
{
	rig_make();
	crew_start(submit_or_find_closed);
	crew_start(close_it);
	collect_all();
	rig_end();
}

/* Shutting down. */

static void
drain(void)
{
	rig_make();
	crew_start(collect_all);
	submit_0_1();
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	rig_end();
	CHECK(delivered[0] + delivered[1] == 2);
}

static void
soon(void)
{
	options.queue = 2;
	rig_make();
	submit_0_1();
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	collect_all();
	rig_end();
}

static void
soon_crosses(void)
{
	options.results = 1;
	rig_make();
	crew_start(submit_or_find_closed);
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	collect_all();
	rig_end();
}

static weir_status
run_till_cancelled(weir_ctx *under, const void *in, void *out, void *user)
{
	weir_status status = weir_ctx_sleep(under, WEIR_FOREVER);

	CHECK(status == WEIR_CANCELED);
	(void)run_plain(under, in, out, user);
	return status;
}

static void
now_wakes(void)
{
	options.run = run_till_cancelled;
	rig_make();
	submit_0();
	CHECK(weir_pool_shutdown_now(pool, unstarted, NULL, NULL) == WEIR_OK);
	while (collect(NULL) == WEIR_OK)
		;
	rig_end();
}

static void
shut_down_now(void)
{
	CHECK(weir_pool_shutdown_now(pool, unstarted, NULL, NULL) == WEIR_OK);
}

static void
shut_down(void)
{
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
}

static void
now_overtakes(void)
{
	options.run = run_till_cancelled;
	rig_make();
	submit_0();
	crew_start(shut_down);
	crew_start(shut_down_now);
	collect_all();
	rig_end();
}

static void
drop(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)out;
	(void)user;
	delivered[*(const int *)in]++;
}

static void
free_drops(void)
{
	options.drop = drop;
	options.queue = 2;
	rig_make();
	submit_0_1();
	rig_end();
}

/* Contexts of submitters and collectors. */

static void
cancel_queued(void)
{
	weir_status last = WEIR_OK;

	rig_make();
	crew_start(cancel);
	CHECK(submit(0, ctx) == WEIR_OK || accepted[0] == 0);
	close_it();
	crew_join();
	CHECK(collect_statuses(&last) == accepted[0]);
	CHECK(last == (ran[0] || !accepted[0] ? WEIR_OK : WEIR_CANCELED));
	delivered[0] = accepted[0];
	rig_end();
}

static void
collect_cancelled(void)
{
	CHECK(collect(ctx) == WEIR_CANCELED);
}

static void
cancel_collector(void)
{
	rig_make();
	crew_start(collect_cancelled);
	cancel();
	rig_end();
}

/* Resizing. */

static void
wider(void)
{
	options.queue = 2;
	options.run = run_together;
	options.batch_max = 1;
	rig_make();
	submit_0_1();
	CHECK(weir_pool_resize(pool, 2) == WEIR_OK);
	collect_two();
	rig_end();
}

static void
narrower_while(void)
{
	CHECK(weir_pool_resize(pool, 1) == WEIR_OK);
}

static void
narrower(void)
{
	options.workers = 2;
	options.queue = 2;
	rig_make();
	crew_start(narrower_while);
	submit_0_1();
	collect_two();
	rig_end();
}

const struct weir_scenario stop_scenarios[] = {
	POOL_SCENARIO("push_", close_drains, 2,
		      "what was accepted before the close is delivered after "
		      "it"),
	POOL_SCENARIO("push_", close_collectors, 3,
		      "close of an empty pool wakes every collector"),
	POOL_SCENARIO("push_", close_last, 3,
		      "after close, whoever takes the last result leaves no "
		      "collector asleep"),
	POOL_SCENARIO("push_", close_crosses, 3,
		      "a submit that crosses a close is refused, or delivered"),
	POOL_SCENARIO("push_", drain, 2,
		      "shutdown returns when the last result has been "
		      "delivered, and not before"),
	POOL_SCENARIO("push_", soon, 1,
		      "shutdown_soon: each job is handed back or delivered, "
		      "once"),
	POOL_SCENARIO("push_", soon_crosses, 2,
		      "a submit that crosses shutdown_soon is refused, handed "
		      "back or delivered"),
	POOL_SCENARIO("push_", now_wakes, 1,
		      "shutdown_now wakes a job that waits under its context"),
	POOL_SCENARIO("push_", now_overtakes, 3,
		      "of two shutdowns at once the stronger wins, and both "
		      "return"),
	POOL_SCENARIO("push_", free_drops, 1,
		      "free gives what nobody took, and what never ran, to "
		      "drop"),
	POOL_SCENARIO("push_", cancel_queued, 2,
		      "a job whose submitter gives up gives one result, run or "
		      "not"),
	POOL_SCENARIO("push_", cancel_collector, 2,
		      "a collector returns when its context is cancelled"),
	POOL_SCENARIO("push_", wider, 2,
		      "a pool made wider runs more jobs at once"),
	POOL_SCENARIO("push_", narrower, 3,
		      "a pool made narrower loses no job"),
	{.name = NULL},
};
