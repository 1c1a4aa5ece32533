/*
 * Shutting down: every way of it, at every moment, several at once.
 */
#include "book.h"

#include <string.h>

static weir_pool *pool;
static uint64_t last_unstarted;

static bool
begin(const weir_pool_options *o)
{
	book_open();
	last_unstarted = 0;
	return weir_pool_new(&pool, o) == WEIR_OK;
}

static void
finish(void)
{
	book_compare(pool);
	pool = weir_pool_free(pool);
	book_close();
}

static void
unstarted(uint64_t id, const void *in, void *user)
{
	/* In the order in which they would have started. */
	sim_check(id > last_unstarted);
	last_unstarted = id;
	sim_work(0);
	book_unstarted(id, in, user);
}

static weir_status
submit(uint32_t job, weir_ctx *with)
{
	uint64_t id = 0;
	weir_status status = weir_pool_submit(pool, &job, &id, with);

	book_accept(job, status, id);
	return status;
}

static void
submit_four(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = first; i < first + 4; i++)
		if (submit(i, NULL) != WEIR_OK)
			return;
}

static void
collect_all(void *arg)
{
	weir_result result;

	(void)arg;
	while (weir_pool_next(pool, &result, NULL, NULL) == WEIR_OK)
		book_result_by_id(&result);
}

/* Fails at first, waits under its context, then is fine. */
static weir_status
mixed_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in, attempt = weir_job_attempt(ctx);
	weir_status status = WEIR_OK;

	(void)user;
	book_run(job);
	if (job % 2 == 1)
		status = weir_ctx_sleep(ctx, WEIR_MS);
	if (job % 4 == 0 && attempt == 1)
		status = WEIR_FAILED;
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return status;
}

static void
stop_options(weir_pool_options *o, uint32_t workers, uint32_t queue)
{
	book_options(o, workers, queue);
	o->run = mixed_job;
	o->retry.attempts_max = 2;
	o->retry.delay_ns = WEIR_MS;
}

static weir_status
stop_somehow(weir_ctx *ctx)
{
	switch (sim_choice(5)) {
	case 0:
		return weir_pool_shutdown(pool, ctx);
	case 1:
		return weir_pool_shutdown_soon(pool, NULL, NULL, ctx);
	case 2:
		return weir_pool_shutdown_soon(pool, unstarted, NULL, ctx);
	case 3:
		return weir_pool_shutdown_now(pool, NULL, NULL, ctx);
	default:
		return weir_pool_shutdown_now(pool, unstarted, NULL, ctx);
	}
}

/* One thread does it all; the results are for free() to drop, or taken. */
static void
drop(const weir_result *result, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	book_result_by_id(result);
}

static void
stop_alone(void)
{
	weir_pool_options o;

	stop_options(&o, 1 + sim_choice(2), 3);
	o.drop = drop;
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	sim_check(stop_somehow(NULL) == WEIR_OK);
	/* It is drained, and stays so. */
	sim_check(book.running == 0);
	sim_check(submit(5, NULL) == WEIR_CLOSED);
	pool = weir_pool_free(pool);
	book_close();
}

static void
stop_free(void)
{
	weir_pool_options o;

	stop_options(&o, 2, 3);
	o.drop = drop;
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	pool = weir_pool_free(pool);
	sim_check(book.running == 0);
	book_close();
}

static void
stop_race(void)
{
	weir_pool_options o;
	int producer, collector;

	stop_options(&o, 1, 2);
	if (!begin(&o))
		return;
	producer = sim_spawn("producer", submit_four, NULL);
	collector = sim_spawn("collector", collect_all, NULL);
	sim_check(stop_somehow(NULL) == WEIR_OK);
	sim_join(producer);
	sim_join(collector);
	finish();
}

/* Two at once, one of them with a context that runs out. */
static void
stopper(void *arg)
{
	weir_ctx *ctx = NULL;
	weir_status status;

	if (arg)
		ctx = make_ctx(NULL, sim_choice(2) * WEIR_MS);
	while ((status = stop_somehow(ctx)) != WEIR_OK) {
		sim_check(ctx && status == WEIR_TIMEDOUT);
		ctx = weir_ctx_unref(ctx);
	}
	weir_ctx_unref(ctx);
}

static void
stop_twice(void)
{
	weir_pool_options o;
	int a, b, collector;

	stop_options(&o, 2, 3);
	if (!begin(&o))
		return;
	a = sim_spawn("stopper a", stopper, &pool);
	b = sim_spawn("stopper b", stopper, NULL);
	collector = sim_spawn("collector", collect_all, NULL);
	submit_four(NULL);
	sim_join(a);
	sim_join(b);
	sim_join(collector);
	finish();
}

/* From inside: a job, or a callback, that shuts its own pool down. */
static void
stopping_done(const weir_result *result, const void *in, void *out, void *user)
{
	(void)out;
	(void)user;
	book_result(result, *(const uint32_t *)in);
	if (result->id == 2)
		sim_check(weir_pool_shutdown_now(pool, NULL, NULL, NULL) ==
			  WEIR_DEADLOCK);
}

static void
stop_inside(void)
{
	weir_pool_options o;

	stop_options(&o, 2, 3);
	o.done = stopping_done;
	if (!begin(&o))
		return;
	submit_four(NULL);
	sim_check(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	finish();
}

/* While jobs wait for their next attempt. */
static void
stop_backoff(void)
{
	weir_pool_options o;
	int collector;

	stop_options(&o, 1, 4);
	o.retry.delay_ns = sim_choice(2) ? WEIR_S : 1;
	if (!begin(&o))
		return;
	sim_check(submit(0, NULL) == WEIR_OK);
	sim_check(submit(4, NULL) == WEIR_OK);
	collector = sim_spawn("collector", collect_all, NULL);
	sim_check(stop_somehow(NULL) == WEIR_OK);
	sim_join(collector);
	finish();
}

/*
 * After shutdown_soon no attempt begins that was not due before: what fails
 * from then on is not put aside for later.
 */
static int64_t failed_ns[2], stopped_ns;

static weir_status
doomed_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)out;
	(void)user;
	book_run(job);
	if (weir_job_attempt(ctx) > 1 && stopped_ns > 0)
		sim_check(failed_ns[job] + WEIR_S <= stopped_ns);
	sim_work(WEIR_US);
	failed_ns[job] = weir_now_ns();
	book_ran(job);
	return WEIR_FAILED;
}

static void
stop_retry(void)
{
	weir_pool_options o;
	weir_ctx *ctx, *expired;
	weir_status status;

	stop_options(&o, 1 + sim_choice(2), 2);
	o.run = doomed_job;
	o.drop = drop;
	o.retry.delay_ns = WEIR_S;
	stopped_ns = 0;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	expired = make_ctx(NULL, 0);
	sim_check(submit(0, ctx) == WEIR_OK);
	sim_check(submit(1, ctx) == WEIR_OK);
	status = weir_pool_shutdown_soon(pool, unstarted, NULL, expired);
	sim_check(status == WEIR_OK || status == WEIR_TIMEDOUT);
	stopped_ns = weir_now_ns();
	sim_check(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	pool = weir_pool_free(pool);
	book_close();
	weir_ctx_unref(expired);
	weir_ctx_unref(ctx);
}

static void
stop_resize(void)
{
	weir_pool_options o;
	weir_status status;
	int other, collector;

	stop_options(&o, 1, 3);
	if (!begin(&o))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	other = sim_spawn("stopper", stopper, NULL);
	submit_four(NULL);
	status = weir_pool_resize(pool, 2);
	sim_check(status == WEIR_OK || status == WEIR_CLOSED || sim_refused());
	sim_join(other);
	sim_join(collector);
	finish();
}

const struct scenario stop_scenarios[] = {
	{"stop_alone", "after a shutdown nothing runs and nothing is accepted",
	 stop_alone, FAULTS_ALL, 8},
	{"stop_free", "free waits for what runs and drops the rest", stop_free,
	 FAULTS_ALL, 8},
	{"stop_race",
	 "each job is refused, gives a result or is handed back "
	 "in order, whenever the pool is shut down",
	 stop_race, FAULTS_ALL, 8},
	{"stop_twice", "shutdowns may meet, and give up, and be called again",
	 stop_twice, FAULTS_ALL, 6},
	{"stop_inside", "a callback that shuts its pool down does not wait",
	 stop_inside, FAULTS_ALL, 6},
	{"stop_backoff", "jobs between attempts are tried again or cancelled",
	 stop_backoff, FAULTS_ALL, 8},
	{"stop_retry", "after shutdown_soon no failed job is tried again",
	 stop_retry, FAULTS_ALL, 6},
	{"stop_resize", "a pool may be resized while it is shut down",
	 stop_resize, FAULTS_ALL, 6},
	SCENARIOS_END,
};
