/*
 * Pools in push form whose jobs are short: batches, callers that help, lazy
 * wake-ups, and what happens when a job is not short after all.
 */
#include "book.h"

#include <string.h>

static weir_pool *pool;
static weir_ctx *gate;
static uint32_t collected;
static bool mixed;

/* Costs nothing, unless it is the one behind the gate, or they are mixed. */
static weir_status
short_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)ctx;
	book_run(job);
	sim_check(book.running <= *(const uint32_t *)user);
	if (gate && job == 3)
		(void)!weir_ctx_sleep(gate, WEIR_FOREVER);
	if (mixed && (job > 8 || sim_choice(2)))
		sim_work(20 * WEIR_US);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return WEIR_OK;
}

static uint32_t width;

static bool
begin(uint32_t workers, uint32_t queue, bool helps)
{
	weir_pool_options o;

	book_open();
	collected = 0;
	gate = NULL;
	mixed = false;
	width = workers;
	book_options(&o, workers, queue);
	o.run = short_job;
	o.user = &width;
	o.caller_helps = helps;
	return weir_pool_new(&pool, &o) == WEIR_OK;
}

static void
finish(void)
{
	book_compare(pool);
	pool = weir_pool_free(pool);
	book_close();
}

static weir_status
submit(uint32_t job)
{
	uint64_t id = 0;
	weir_status status = weir_pool_submit(pool, &job, &id, NULL);

	book_accept(job, status, id);
	return status;
}

/* Up to two results at a time. */
static weir_status
collect(size_t max)
{
	weir_result results[2];
	size_t count = 0;
	weir_status status =
		weir_pool_next_many(pool, results, NULL, max, &count, NULL);

	if (status != WEIR_OK)
		return status;
	sim_check(count > 0 && count <= max);
	for (size_t i = 0; i < count; i++)
		book_result_by_id(&results[i]);
	collected += (uint32_t)count;
	return WEIR_OK;
}

static void
collect_all(void *arg)
{
	(void)arg;
	while (collect(1 + sim_choice(2)) == WEIR_OK)
		;
}

static void
submit_six(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < 6; i++)
		if (submit(i) != WEIR_OK)
			return;
}

static void
short_turns(bool helps)
{
	if (!begin(1 + sim_choice(2), 2, helps))
		return;
	for (uint32_t i = 0; i < 5; i++) {
		sim_check(submit(i) == WEIR_OK);
		sim_check(collect(1) == WEIR_OK);
	}
	finish();
}

static void
short_turn(void)
{
	short_turns(false);
}

static void
short_turn_help(void)
{
	short_turns(true);
}

static void
short_stream(bool helps)
{
	int collector;

	if (!begin(1 + sim_choice(2), 2, helps))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	submit_six(NULL);
	weir_pool_close(pool);
	sim_join(collector);
	sim_check(collected == 6);
	finish();
}

static void
short_flow(void)
{
	short_stream(false);
}

static void
short_flow_help(void)
{
	short_stream(true);
}

/* Nobody closes: the last wake-up must not be lost either. */
static void
short_open(void)
{
	int producer;

	if (!begin(2, 2, sim_choice(2)))
		return;
	producer = sim_spawn("producer", submit_six, NULL);
	while (collected < 6)
		sim_check(collect(1 + sim_choice(2)) == WEIR_OK);
	sim_join(producer);
	finish();
}

static void
short_many(void)
{
	static const uint32_t ins[5] = {0, 1, 2, 3, 4};
	size_t accepted = 0;
	weir_status status;
	int collector;

	if (!begin(1, 2, sim_choice(2)))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	status = weir_pool_submit_many(pool, ins, 5, &accepted, NULL);
	sim_check(status == WEIR_OK && accepted == 5);
	/* Nobody else submits: ids follow one another. */
	for (uint32_t i = 0; i < 5; i++)
		book_accept(i, WEIR_OK, i + 1);
	weir_pool_close(pool);
	sim_join(collector);
	finish();
}

/* Three that are short, then one that waits until all others are collected. */
static void
short_then_long(void)
{
	int producer;

	/* A collector that helped might wait behind the gate itself. */
	if (!begin(2, 6, false))
		return;
	gate = make_ctx(NULL, WEIR_FOREVER);
	producer = sim_spawn("producer", submit_six, NULL);
	while (collected < 5)
		sim_check(collect(1) == WEIR_OK);
	weir_ctx_cancel(gate);
	sim_check(collect(1) == WEIR_OK);
	sim_join(producer);
	gate = weir_ctx_unref(gate);
	finish();
}

static void
short_stop(void)
{
	weir_unstarted_fn *fn = sim_choice(2) ? book_unstarted : NULL;
	weir_status status;
	int producer, collector;

	if (!begin(1 + sim_choice(2), 2, sim_choice(2)))
		return;
	producer = sim_spawn("producer", submit_six, NULL);
	collector = sim_spawn("collector", collect_all, NULL);
	if (sim_choice(2))
		status = weir_pool_shutdown(pool, NULL);
	else if (sim_choice(2))
		status = weir_pool_shutdown_soon(pool, fn, NULL, NULL);
	else
		status = weir_pool_shutdown_now(pool, fn, NULL, NULL);
	sim_check(status == WEIR_OK);
	sim_join(producer);
	sim_join(collector);
	finish();
}

static void
short_resize(void)
{
	weir_status status;
	int collector;

	if (!begin(2, 2, sim_choice(2)))
		return;
	width = 3;
	collector = sim_spawn("collector", collect_all, NULL);
	sim_check(submit(0) == WEIR_OK);
	sim_check(submit(1) == WEIR_OK);
	status = weir_pool_resize(pool, 1 + sim_choice(3));
	sim_check(status == WEIR_OK || sim_refused());
	for (uint32_t i = 2; i < 6; i++)
		sim_check(submit(i) == WEIR_OK);
	weir_pool_close(pool);
	sim_join(collector);
	sim_check(collected == 6);
	finish();
}

/* Two producers and two collectors, none of whom waits for ever. */
static uint32_t each;

static void
submit_each(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = first; i < first + each; i++)
		sim_check(submit(i) == WEIR_OK);
}

static void
crowd_gets_on(uint32_t jobs)
{
	int a, b, c;

	each = jobs / 2;
	a = sim_spawn("producer", submit_each, (void *)(uintptr_t)each);
	b = sim_spawn("collector a", collect_all, NULL);
	c = sim_spawn("collector b", collect_all, NULL);
	submit_each((void *)(uintptr_t)0);
	sim_join(a);
	weir_pool_close(pool);
	sim_join(b);
	sim_join(c);
	sim_check(collected == jobs);
	finish();
}

static void
short_crowd(void)
{
	if (begin(2, 1, sim_choice(2)))
		crowd_gets_on(6);
}

/*
 * Whether jobs are short changes all the time, and with it who looks after
 * those in the queue.
 */
static void
short_crowd_mixed(void)
{
	if (!begin(1, 1 + sim_choice(2), true))
		return;
	mixed = true;
	crowd_gets_on(16);
}

const struct scenario short_scenarios[] = {
	{"short_turn", "one thread may submit and collect in turn", short_turn,
	 FAULTS_ALL, 4},
	{"short_turn_help", "and run its jobs itself", short_turn_help,
	 FAULTS_ALL, 6},
	{"short_flow", "a stream of short jobs comes out whole", short_flow,
	 FAULTS_ALL, 4},
	{"short_flow_help", "also when callers help", short_flow_help,
	 FAULTS_ALL, 4},
	{"short_open", "the last results come without a close", short_open,
	 FAULTS_ALL, 4},
	{"short_many", "submit_many and next_many lose nothing", short_many,
	 FAULTS_ALL, 4},
	{"short_then_long",
	 "a job that turns out long holds up no other for good",
	 short_then_long, FAULTS_ALL, 4},
	{"short_stop", "each job is refused, gives a result or is handed back",
	 short_stop, FAULTS_ALL, 4},
	{"short_resize", "a change of width loses no job", short_resize,
	 FAULTS_ALL, 4},
	{"short_crowd", "several on both sides all get on", short_crowd,
	 FAULTS_ALL, 4},
	{"short_crowd_mixed", "also when jobs are now short, now long",
	 short_crowd_mixed, FAULTS_ALL, 8},
	SCENARIOS_END,
};
