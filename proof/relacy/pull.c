/*
 * Whole pools in pull form.  The thread that calls run is one of the workers.
 */
#include "crew.h"
#include "scenario.h"

#include <string.h>

#define JOBS 3

static weir_pool *pool;
static weir_ctx *ctx;
static weir_pool_options options;
static int box[JOBS], ran[JOBS], sunk[JOBS];
static int given, jobs, in_source, in_sink;
static int available; /* how many the source would give by now */

static weir_status
source(weir_ctx *under, void *ret_in, weir_job_options *ret_options, void *user)
{
	(void)under;
	(void)ret_options;
	(void)user;
	CHECK(in_source++ == 0);
	if (given == jobs) {
		in_source--;
		return WEIR_CLOSED;
	}
	if (given == available) {
		in_source--;
		return WEIR_BUSY;
	}
	*(int *)ret_in = given;
	weir__data_write(&box[given]);
	box[given] = given + 1;
	given++;
	in_source--;
	return WEIR_OK;
}

static weir_status
run(weir_ctx *under, const void *in, void *out, void *user)
{
	int i = *(const int *)in;

	(void)under;
	(void)user;
	weir__data_read(&box[i]);
	CHECK(box[i] == i + 1);
	weir__data_write(&box[i]);
	box[i] = -i;
	ran[i]++;
	*(int *)out = i;
	return WEIR_OK;
}

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	int i = *(const int *)in;

	(void)out;
	(void)user;
	CHECK(in_sink++ == 0);
	if (result->status == WEIR_OK) {
		weir__data_read(&box[i]);
		CHECK(box[i] == -i);
	}
	sunk[i]++;
	in_sink--;
}

static void
setup(void)
{
	crew_reset();
	memset(box, 0, sizeof(box));
	memset(ran, 0, sizeof(ran));
	memset(sunk, 0, sizeof(sunk));
	given = in_source = in_sink = 0;
	jobs = available = 2;
	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.workers = 2;
	options.in_size = sizeof(int);
	options.out_size = sizeof(int);
	options.source = source;
	options.run = run;
	options.sink = sink;
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
	/* Its workers start when it runs. */
	CHECK(weir_pool_new(&pool, &options) == WEIR_OK);
}

static void
set_up_again(void)
{
	pool = weir_pool_free(pool);
	CHECK(weir_pool_new(&pool, &options) == WEIR_OK);
}

static void
tear_down(void)
{
	ctx = weir_ctx_unref(ctx);
}

/* Each job that was given came out once. */
static void
end(void)
{
	crew_join();
	pool = weir_pool_free(pool);
	for (int i = 0; i < given; i++)
		CHECK(sunk[i] == 1);
	for (int i = given; i < JOBS; i++)
		CHECK(sunk[i] == 0);
}

static void
two(void)
{
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	CHECK(given == 2);
	end();
}

static void
three_in_two(void)
{
	jobs = available = 3;
	options.batch_max = 1;
	set_up_again();
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	CHECK(given == 3);
	end();
}

static void
make_available(void)
{
	available = 2;
	weir_pool_poke(pool);
}

static void
poke(void)
{
	available = 1;
	crew_start(make_available);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	CHECK(given == 2);
	end();
}

static void
poke_alone(void)
{
	options.workers = 1;
	set_up_again();
	available = 1;
	crew_start(make_available);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	CHECK(given == 2);
	end();
}

static void
close_it(void)
{
	weir_pool_close(pool);
}

/* There will not be a second job: only the close ends it. */
static void
close_ends(void)
{
	available = 1;
	crew_start(close_it);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	end();
}

static weir_status
waiting_source(weir_ctx *under, void *ret_in, weir_job_options *ret_options,
	       void *user)
{
	(void)ret_in;
	(void)ret_options;
	(void)user;
	CHECK(weir_ctx_sleep(under, WEIR_FOREVER) == WEIR_CANCELED);
	return WEIR_CLOSED;
}

static void
close_wakes_source(void)
{
	options.source = waiting_source;
	set_up_again();
	crew_start(close_it);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	end();
}

static void
shut_down_soon(void)
{
	CHECK(weir_pool_shutdown_soon(pool, NULL, NULL, NULL) == WEIR_OK);
}

static void
soon_wakes_source(void)
{
	options.source = waiting_source;
	set_up_again();
	crew_start(shut_down_soon);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	end();
}

static void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

static void
cancel_ends(void)
{
	available = 1;
	crew_start(cancel);
	CHECK(weir_pool_run(pool, ctx) == WEIR_CANCELED);
	end();
}

static weir_status
run_till_cancelled(weir_ctx *under, const void *in, void *out, void *user)
{
	weir_status status = weir_ctx_sleep(under, WEIR_FOREVER);

	CHECK(status == WEIR_CANCELED);
	(void)run(under, in, out, user);
	return status;
}

static void
shut_down_now(void)
{
	CHECK(weir_pool_shutdown_now(pool, NULL, NULL, NULL) == WEIR_OK);
}

static void
now_ends(void)
{
	options.run = run_till_cancelled;
	set_up_again();
	crew_start(shut_down_now);
	(void)!weir_pool_run(pool, NULL);
	end();
}

static void
shut_down(void)
{
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	for (int i = 0; i < given; i++)
		CHECK(sunk[i] == 1);
}

static void
drain(void)
{
	crew_start(shut_down);
	CHECK(weir_pool_run(pool, NULL) == WEIR_OK);
	end();
}

static weir_status
run_twice(weir_ctx *under, const void *in, void *out, void *user)
{
	(void)under;
	(void)user;
	*(int *)out = 2 * *(const int *)in;
	return WEIR_OK;
}

static void
map(void)
{
	const int ins[] = {1, 2, 3};
	int outs[3] = {0};

	pool = weir_pool_free(pool);
	options.source = NULL;
	options.sink = NULL;
	options.run = run_twice;
	CHECK(weir_pool_map(&options, ins, outs, NULL, 3, NULL) == WEIR_OK);
	for (int i = 0; i < 3; i++)
		CHECK(outs[i] == 2 * ins[i]);
}

#define POOL_SCENARIO(function, threads, text)                              \
	{                                                                   \
		.name = "pull_" #function, .promise = text, .setup = setup, \
		.thread = {function}, .workers = (threads),                 \
		.finish = tear_down, .cost = 10                             \
	}

const struct weir_scenario pull_scenarios[] = {
	POOL_SCENARIO(two, 1,
		      "run returns when each job of the source has reached the "
		      "sink, once"),
	POOL_SCENARIO(three_in_two, 1,
		      "source and sink are each called from one thread at a "
		      "time"),
	POOL_SCENARIO(poke_alone, 1,
		      "a poke wakes the worker that found the source busy"),
	POOL_SCENARIO(poke, 2,
		      "a poke that crosses workers falling asleep wakes one"),
	POOL_SCENARIO(close_ends, 2,
		      "close ends a run whose source has nothing just now"),
	POOL_SCENARIO(close_wakes_source, 2,
		      "close wakes a source that waits under its context"),
	POOL_SCENARIO(soon_wakes_source, 2,
		      "shutdown_soon wakes a source that waits under its "
		      "context"),
	POOL_SCENARIO(cancel_ends, 2,
		      "a run returns when its context is cancelled, its jobs "
		      "delivered"),
	POOL_SCENARIO(now_ends, 2,
		      "shutdown_now wakes the jobs of a run, and the run "
		      "returns"),
	POOL_SCENARIO(drain, 2,
		      "shutdown of a run returns when all that was accepted "
		      "was sunk"),
	POOL_SCENARIO(map, 1, "map puts each output in the place of its input"),
	{.name = NULL},
};
