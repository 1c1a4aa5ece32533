/*
 * Pools in push form: submitters, workers, collectors.
 */
#include "book.h"

#include <string.h>

static weir_pool *pool;
static weir_ctx *ctx;

static bool
begin(const weir_pool_options *o)
{
	book_open();
	return weir_pool_new(&pool, o) == WEIR_OK;
}

static weir_status
submit(uint32_t job, weir_ctx *with)
{
	uint64_t id = 0;
	weir_status status = weir_pool_submit(pool, &job, &id, with);

	book_accept(job, status, id);
	return status;
}

/* Take one result; which job it is of, the output says. */
static weir_status
collect(weir_ctx *with)
{
	uint64_t out = 0;
	weir_result result;
	weir_status status = weir_pool_next(pool, &result, &out, with);

	if (status != WEIR_OK)
		return status;
	if (result.status == WEIR_OK)
		book_result(&result, (uint32_t)((out - output_of(0)) / 7));
	else
		book_result_by_id(&result);
	return WEIR_OK;
}

static void
collect_all(void *arg)
{
	(void)arg;
	while (collect(NULL) == WEIR_OK)
		;
}

static void
submit_two(void *arg)
{
	uint32_t first = (uint32_t)(uintptr_t)arg;

	if (submit(first, NULL) == WEIR_OK)
		(void)!submit(first + 1, NULL);
}

static void
finish(void)
{
	book_compare(pool);
	pool = weir_pool_free(pool);
	book_close();
}

/* The smallest: one job, nobody closes. */
static void
push_one(void)
{
	weir_pool_options o;

	book_options(&o, 1, 1);
	if (!begin(&o))
		return;
	sim_check(submit(0, NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	sim_check(book.lines[0].runs == 1 || sim_refused());
	finish();
}

static void
push_backpressure(void)
{
	weir_pool_options o;
	int collector;

	book_options(&o, 1, 1);
	o.results = 1;
	if (!begin(&o))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	for (uint32_t i = 0; i < 4; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	weir_pool_close(pool);
	sim_join(collector);
	sim_check(book.running_most <= 1);
	finish();
}

static void
push_two_workers(void)
{
	weir_pool_options o;

	book_options(&o, 2, 2);
	if (!begin(&o))
		return;
	submit_two((void *)(uintptr_t)0);
	sim_check(collect(NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	finish();
}

static void
push_two_producers(void)
{
	weir_pool_options o;
	int a, b, collector;

	book_options(&o, 2, 1);
	o.results = 2;
	if (!begin(&o))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	a = sim_spawn("producer a", submit_two, (void *)(uintptr_t)0);
	b = sim_spawn("producer b", submit_two, (void *)(uintptr_t)2);
	sim_join(a);
	sim_join(b);
	weir_pool_close(pool);
	sim_join(collector);
	finish();
}

static void
push_two_collectors(void)
{
	weir_pool_options o;
	int a, b;

	book_options(&o, 1, 2);
	if (!begin(&o))
		return;
	a = sim_spawn("collector a", collect_all, NULL);
	b = sim_spawn("collector b", collect_all, NULL);
	submit_two((void *)(uintptr_t)0);
	weir_pool_close(pool);
	sim_join(a);
	sim_join(b);
	finish();
}

/* One result each, nobody closes: no wake-up may be lost. */
static void
collect_one(void *arg)
{
	(void)arg;
	sim_check(collect(NULL) == WEIR_OK);
}

static void
push_each_collector(void)
{
	weir_pool_options o;
	int a, b;

	book_options(&o, 2, 2);
	if (!begin(&o))
		return;
	a = sim_spawn("collector a", collect_one, NULL);
	b = sim_spawn("collector b", collect_one, NULL);
	submit_two((void *)(uintptr_t)0);
	sim_join(a);
	sim_join(b);
	finish();
}

static void
push_close_race(void)
{
	weir_pool_options o;
	int producer;

	book_options(&o, 1, 1);
	if (!begin(&o))
		return;
	producer = sim_spawn("producer", submit_two, (void *)(uintptr_t)0);
	weir_pool_close(pool);
	collect_all(NULL);
	sim_join(producer);
	/* CLOSED is for good. */
	sim_check(collect(NULL) == WEIR_CLOSED);
	finish();
}

/* Everything through one thread, without waiting. */
static void
push_try(void)
{
	weir_pool_options o;
	uint32_t left = 0;
	uint64_t id;

	book_options(&o, 1, 1);
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++) {
		weir_status status =
			weir_pool_try_submit(pool, &i, NULL, &id, NULL);

		book_accept(i, status, id);
		sim_check(status == WEIR_OK || status == WEIR_BUSY);
		left += status == WEIR_OK;
	}
	sim_check(left > 0);
	for (; left > 0; left--)
		sim_check(collect(NULL) == WEIR_OK);
	finish();
}

/* The callback form: `done` instead of next. */
static void
done(const weir_result *result, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)user;
	if (result->status == WEIR_OK)
		sim_check(*(uint64_t *)out == output_of(job));
	book_result(result, job);
}

static void
push_done(void)
{
	weir_pool_options o;

	book_options(&o, 2, 1);
	o.done = done;
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	sim_check(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	finish();
}

/* A submitter whose context ends. */
static void
cancel_it(void *arg)
{
	(void)arg;
	weir_ctx_cancel(ctx);
}

static weir_status
patient_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	weir_status status;

	(void)user;
	book_run(job);
	status = weir_ctx_sleep(job_ctx, WEIR_S);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return status;
}

static void
push_cancel_submitter(void)
{
	weir_pool_options o;
	uint32_t accepted = 0;
	int other;

	book_options(&o, 1, 1);
	o.run = patient_job;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, sim_choice(2) ? WEIR_FOREVER : 10 * WEIR_MS);
	other = sim_spawn("canceller", cancel_it, NULL);
	for (uint32_t i = 0; i < 3; i++)
		accepted += submit(i, ctx) == WEIR_OK;
	for (; accepted > 0; accepted--)
		sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

/* Failures, tried again after a while of virtual time. */
static weir_status
failing_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	uint32_t attempt = weir_job_attempt(job_ctx);

	(void)user;
	book_run(job);
	sim_work(0);
	*(uint64_t *)out = output_of(job);
	book_ran(job);
	return attempt <= job ? WEIR_FAILED : WEIR_OK;
}

static void
retry_options(weir_pool_options *o, uint32_t workers, uint32_t queue)
{
	book_options(o, workers, queue);
	o->run = failing_job;
	o->retry.attempts_max = 3;
	o->retry.delay_ns = WEIR_MS;
}

static void
push_retry(void)
{
	weir_pool_options o;

	retry_options(&o, 2, 3);
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 3; i++)
		sim_check(collect(NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 3 && !sim_refused(); i++) {
		sim_check(book.lines[i].runs == i + 1);
		sim_check(book.lines[i].status == WEIR_OK);
	}
	finish();
}

/* Its submitter gives up while a job waits for its next attempt. */
static void
push_retry_cancel(void)
{
	weir_pool_options o;
	int other;

	retry_options(&o, 1, 2);
	o.retry.delay_ns = WEIR_S;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel_it, NULL);
	if (submit(2, ctx) == WEIR_OK)
		sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

/* The same when nothing else is ever going to end its back-off. */
static weir_status
hopeless_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)out;
	(void)user;
	book_run(job);
	weir_job_retry_after(job_ctx, WEIR_FOREVER);
	book_ran(job);
	return WEIR_FAILED;
}

static void
push_retry_never(void)
{
	weir_pool_options o;
	int other;

	retry_options(&o, 1 + sim_choice(2), 2);
	o.run = hopeless_job;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel_it, NULL);
	if (submit(0, ctx) == WEIR_OK)
		sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

/* A job is tried again although the worker it had is busy with another. */
static weir_status
waiting_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	uint32_t attempt = weir_job_attempt(job_ctx);

	(void)user;
	book_run(job);
	*(uint64_t *)out = output_of(job);
	if (job == 1)
		(void)!weir_ctx_sleep(ctx, WEIR_FOREVER);
	else if (attempt > 1)
		weir_ctx_cancel(ctx);
	book_ran(job);
	return job == 0 && attempt == 1 ? WEIR_FAILED : WEIR_OK;
}

static void
push_retry_elsewhere(void)
{
	weir_pool_options o;

	retry_options(&o, 2, 2);
	o.run = waiting_job;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	sim_check(submit(0, NULL) == WEIR_OK);
	sim_check(submit(1, NULL) == WEIR_OK);
	for (int i = 0; i < 2; i++) {
		sim_check(collect(NULL) == WEIR_OK);
		/* Refused memory, the first may have ended early. */
		if (sim_refused())
			weir_ctx_cancel(ctx);
	}
	ctx = weir_ctx_unref(ctx);
	finish();
}

/* A job whose context ends while it waits is not begun. */
static void
push_dead_submitter(void)
{
	weir_ctx *own;
	weir_pool_options o;

	retry_options(&o, 1, 2);
	o.run = waiting_job;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	own = make_ctx(NULL, WEIR_FOREVER);
	sim_check(submit(1, NULL) == WEIR_OK);
	sim_check(submit(2, own) == WEIR_OK);
	/* The only worker is in job 1 until ctx ends, or has refused it. */
	weir_ctx_cancel(own);
	weir_ctx_cancel(ctx);
	sim_check(collect(NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	if (!sim_refused()) {
		sim_check(book.lines[2].runs == 0);
		sim_check(book.lines[2].status == WEIR_CANCELED);
	}
	weir_ctx_unref(own);
	ctx = weir_ctx_unref(ctx);
	finish();
}

static void
push_timeout(void)
{
	weir_pool_options o;

	book_options(&o, 2, 2);
	o.run = patient_job;
	o.timeout_ns = WEIR_MS;
	o.retry.attempts_max = sim_choice(2) ? 2 : 1;
	if (!begin(&o))
		return;
	submit_two((void *)(uintptr_t)0);
	sim_check(collect(NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 2 && !sim_refused(); i++) {
		sim_check(book.lines[i].status == WEIR_TIMEDOUT);
		sim_check(book.lines[i].runs == o.retry.attempts_max);
	}
	finish();
}

/* Jobs of one key, one at a time. */
static weir_status
keyed_job(weir_ctx *job_ctx, const void *in, void *out, void *user)
{
	weir_status status = book_job(job_ctx, in, out, user);

	sim_check(book.running <= 1);
	return status;
}

static void
push_keys(void)
{
	weir_job_options j = WEIR_JOB_OPTIONS_INIT;
	weir_pool_options o;
	weir_status status;
	uint64_t id;

	book_options(&o, 2, 3);
	o.run = keyed_job;
	o.key_slots = 1;
	if (!begin(&o))
		return;
	j.key = 7;
	for (uint32_t i = 0; i < 3; i++) {
		j.priority = 1 + sim_choice(2);
		status = weir_pool_submit_with(pool, &i, &j, &id, NULL);
		sim_check(status == WEIR_OK);
		book_accept(i, status, id);
	}
	for (uint32_t i = 0; i < 3; i++)
		sim_check(collect(NULL) == WEIR_OK);
	sim_check(book.running_most <= 1);
	finish();
}

/* A pool that is limited: its jobs start as tokens come. */
static void
push_limit(void)
{
	weir_limit *limit = NULL;
	weir_pool_options o;

	if (weir_limit_new(&limit, 1000, 1) != WEIR_OK)
		return;
	book_options(&o, 2, 3);
	o.limit = limit;
	if (begin(&o)) {
		for (uint32_t i = 0; i < 3; i++)
			sim_check(submit(i, NULL) == WEIR_OK);
		for (uint32_t i = 0; i < 3; i++)
			sim_check(collect(NULL) == WEIR_OK);
		finish();
	}
	weir_limit_free(limit);
}

/* Narrower and wider while jobs come and go. */
static void
resize(void *arg)
{
	weir_status status;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		status = weir_pool_resize(pool, 1 + sim_choice(3));
		sim_check(status == WEIR_OK || status == WEIR_CLOSED ||
			  sim_refused());
	}
}

static void
push_resize(void)
{
	weir_pool_options o;
	int collector, resizer;
	bool wait = sim_choice(2);

	book_options(&o, 2, 2);
	if (!begin(&o))
		return;
	collector = sim_spawn("collector", collect_all, NULL);
	resizer = sim_spawn("resizer", resize, NULL);
	submit_two((void *)(uintptr_t)0);
	submit_two((void *)(uintptr_t)2);
	if (wait)
		sim_join(resizer);
	weir_pool_close(pool);
	sim_join(collector);
	if (!wait)
		sim_join(resizer);
	finish();
}

const struct scenario push_scenarios[] = {
	{"push_one", "a job that was accepted gives its result", push_one,
	 FAULTS_ALL, 20},
	{"push_backpressure",
	 "a full pool holds its submitter up, and lets it go",
	 push_backpressure, FAULTS_ALL, 8},
	{"push_two_workers", "two jobs give two results", push_two_workers,
	 FAULTS_ALL, 8},
	{"push_two_producers", "several may submit at once", push_two_producers,
	 FAULTS_ALL, 6},
	{"push_two_collectors", "several may collect, and all learn of the end",
	 push_two_collectors, FAULTS_ALL, 8},
	{"push_each_collector", "two results end the waits of two collectors",
	 push_each_collector, FAULTS_ALL, 8},
	{"push_close_race",
	 "a job is refused or gives a result, whenever "
	 "the pool is closed",
	 push_close_race, FAULTS_ALL, 8},
	{"push_try", "try_submit never waits and loses nothing", push_try,
	 FAULTS_ALL, 8},
	{"push_done", "each job is given to the callback once", push_done,
	 FAULTS_ALL, 8},
	{"push_cancel_submitter", "a submitter's context ends its jobs' waits",
	 push_cancel_submitter, FAULTS_ALL, 8},
	{"push_retry", "a failed job is tried again when its time has come",
	 push_retry, FAULTS_ALL, 6},
	{"push_retry_cancel", "a cancelled job does not wait for its next try",
	 push_retry_cancel, FAULTS_ALL, 8},
	{"push_retry_never",
	 "nor when nothing but the cancellation ends its wait",
	 push_retry_never, FAULTS_ALL, 6},
	{"push_retry_elsewhere",
	 "a job is tried again by whoever has time, when its time has come",
	 push_retry_elsewhere, FAULTS_ALL, 6},
	{"push_dead_submitter",
	 "a job whose context ends before its start has no attempt",
	 push_dead_submitter, FAULTS_ALL, 6},
	{"push_timeout", "an attempt ends when its time is up", push_timeout,
	 FAULTS_ALL, 6},
	{"push_keys", "jobs of one key run one at a time, and all of them",
	 push_keys, FAULTS_ALL, 6},
	{"push_limit", "jobs wait for the limit, not for ever", push_limit,
	 FAULTS_ALL, 6},
	{"push_resize", "a change of width loses no job", push_resize,
	 FAULTS_ALL, 4},
	SCENARIOS_END,
};
