/*
 * Whole pools in push form: jobs there and back, callers that help, callbacks,
 * retries and asynchronous jobs.
 */
#include "rig.h"

static int at_once, most_at_once;

/* One job, there and back. */

static void
one(void)
{
	rig_make();
	submit_0();
	collect_one();
	rig_end();
}

static void
one_apart(void)
{
	rig_make();
	crew_start(submit_0);
	collect_one();
	rig_end();
}

static void
two_apart(void)
{
	rig_make();
	crew_start(submit_0_1);
	collect_two();
	rig_end();
}

static void
submit_all(void)
{
	for (int i = 0; i < JOBS; i++)
		CHECK(submit(i, NULL) == WEIR_OK);
}

/* Around the inbox, and hardly ever waiting. */
static void
wrap(void)
{
	options.queue = 2;
	options.results = JOBS;
	rig_make();
	crew_start(submit_all);
	collect_three();
	collect_one();
	rig_end();
}

/* Queue and results of one: whoever submits has to wait for both. */
static void
narrow(void)
{
	options.results = 1;
	rig_make();
	crew_start(collect_three);
	submit_0_1();
	CHECK(submit(2, NULL) == WEIR_OK);
	rig_end();
}

static void
two_submitters(void)
{
	rig_make();
	crew_start(submit_0);
	crew_start(submit_1);
	collect_two();
	rig_end();
}

static void
two_collectors(void)
{
	rig_make();
	crew_start(collect_one);
	crew_start(collect_one);
	submit_0_1();
	rig_end();
}

static void
two_workers(void)
{
	options.workers = 2;
	rig_make();
	crew_start(collect_two);
	submit_0_1();
	rig_end();
}

static void
together(void)
{
	options.workers = 2;
	options.queue = 2;
	options.run = run_together;
	options.batch_max = 1;
	rig_make();
	submit_0_1();
	collect_two();
	rig_end();
}

/* Collectors of short jobs are patient; these turn out long. */
static void
stuck(void)
{
	options.workers = 2;
	options.queue = 2;
	options.run = run_together;
	rig_make();
	submit_0_1();
	collect_two();
	rig_end();
}

static void
batch(void)
{
	const int ins[] = {0, 1};
	size_t sent = 0;

	options.queue = 2;
	rig_make();
	fill(0);
	fill(1);
	crew_start(collect_two);
	CHECK(weir_pool_submit_many(pool, ins, 2, &sent, NULL) == WEIR_OK);
	CHECK(sent == 2);
	accepted[0]++;
	accepted[1]++;
	rig_end();
}

static void
batch_out(void)
{
	weir_result results[2];
	size_t count, seen = 0;
	int outs[2];

	options.queue = 2;
	rig_make();
	crew_start(submit_0_1);
	while (seen < 2) {
		CHECK(weir_pool_next_many(pool, results, outs, 2, &count,
					  NULL) == WEIR_OK);
		for (size_t i = 0; i < count; i++)
			take_result(&results[i], outs[i]);
		seen += count;
	}
	rig_end();
}

/* Callers that help. */

static void
help_alone(void)
{
	options.caller_helps = true;
	options.queue = 2;
	rig_make();
	submit_0_1();
	collect_two();
	rig_end();
}

static void
help_apart(void)
{
	options.caller_helps = true;
	rig_make();
	crew_start(submit_0_1);
	collect_two();
	rig_end();
}

static void
help_narrow(void)
{
	options.caller_helps = true;
	narrow();
}

static void
help_close(void)
{
	options.caller_helps = true;
	rig_make();
	crew_start(collect_all);
	submit_0_1();
	close_it();
	rig_end();
	CHECK(delivered[0] + delivered[1] == 2);
}

/* Callbacks, retries, keys, failures. */

static void
done(const weir_result *result, const void *in, void *out, void *user)
{
	(void)out;
	(void)user;
	take_result(result, *(const int *)in);
}

static void
done_callback(void)
{
	options.done = done;
	rig_make();
	submit_0_1();
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	CHECK(delivered[0] == 1 && delivered[1] == 1);
	rig_end();
}

static weir_status
run_second_time(weir_ctx *under, const void *in, void *out, void *user)
{
	if (weir_job_attempt(under) == 1)
		return WEIR_FAILED;
	return run_plain(under, in, out, user);
}

static void
retry(void)
{
	options.run = run_second_time;
	options.retry.attempts_max = 2;
	options.retry.delay_ns = WEIR_MS;
	rig_make();
	submit_0();
	collect_one();
	rig_end();
}

static void
retry_soon(void)
{
	weir_status last = WEIR_OK;

	options.run = run_second_time;
	options.retry.attempts_max = 2;
	options.retry.delay_ns = WEIR_MS;
	rig_make();
	submit_0();
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	CHECK(collect_statuses(&last) + handed_back[0] == 1);
	delivered[0] = 1 - handed_back[0];
	rig_end();
}

static weir_status
run_counted(weir_ctx *under, const void *in, void *out, void *user)
{
	weir_status status;

	if (++at_once > most_at_once)
		most_at_once = at_once;
	status = weir_ctx_sleep(under, WEIR_US);
	at_once--;
	(void)run_plain(under, in, out, user);
	return status;
}

static void
keys(void)
{
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;

	options.workers = 2;
	options.queue = 2;
	options.key_slots = 1;
	options.run = run_counted;
	at_once = most_at_once = 0;
	rig_make();
	job.key = 7;
	for (int i = 0; i < 2; i++) {
		fill(i);
		CHECK(weir_pool_submit_with(pool, &i, &job, NULL, NULL) ==
		      WEIR_OK);
		accepted[i]++;
	}
	collect_two();
	CHECK(most_at_once == 1);
	rig_end();
}

static weir_status
init_one_fails(uint32_t worker, void **ret_state, void *user)
{
	(void)ret_state;
	(void)user;
	return worker == 1 ? WEIR_FAILED : WEIR_OK;
}

static void
init_fails(void)
{
	options.workers = 2;
	options.init = init_one_fails;
	CHECK(weir_pool_new(&pool, &options) == WEIR_FAILED);
}

static void
no_memory(void)
{
	weir__explore_fail_alloc(weir__explore_choice(16));
	if (weir_pool_new(&pool, &options) == WEIR_OK)
		rig_end();
}

/* Asynchronous jobs: begun by the worker, ended by somebody else. */

static weir_job *begun;

static weir_status
start(weir_ctx *under, weir_job *job, const void *in, void *out, void *user)
{
	(void)run_plain(under, in, out, user);
	begun = job;
	if (weir__park_signal(&met[0]))
		weir__park_kick(&met[0]);
	return WEIR_OK;
}

static void
end_what_has_begun(void)
{
	CHECK(weir__park_wait(&met[0], WEIR_FOREVER));
	weir_job_done(begun, WEIR_OK);
}

static void
async_done(void)
{
	options.run = NULL;
	options.start = start;
	rig_make();
	crew_start(end_what_has_begun);
	submit_0();
	collect_one();
	rig_end();
}

static void
job_cancelled(weir_ctx *under, weir_job *job, void *user)
{
	(void)user;
	CHECK(weir_ctx_status(under) != WEIR_OK);
	weir_job_done(job, WEIR_FAILED);
}

static weir_status
start_and_forget(weir_ctx *under, weir_job *job, const void *in, void *out,
		 void *user)
{
	(void)job;
	return run_plain(under, in, out, user);
}

/* Nobody ends the job but the cancel callback. */
static void
async_ends_with(weir_status status, weir_ctx *under)
{
	weir_status last = WEIR_OK;

	options.run = NULL;
	options.start = start_and_forget;
	options.cancel = job_cancelled;
	rig_make();
	if (under)
		crew_start(cancel);
	CHECK(submit(0, under) == WEIR_OK);
	close_it();
	CHECK(collect_statuses(&last) == 1);
	CHECK(last == status);
	delivered[0] = 1;
	rig_end();
}

static void
async_cancel(void)
{
	async_ends_with(WEIR_CANCELED, ctx);
}

static void
async_timeout(void)
{
	options.timeout_ns = WEIR_US;
	async_ends_with(WEIR_TIMEDOUT, NULL);
}

static weir_status
run_never_well(weir_ctx *under, const void *in, void *out, void *user)
{
	(void)under;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_FAILED;
}

/* The next attempt is a day away: only the cancel gets it out of there. */
static void
retry_cancel(void)
{
	weir_status last = WEIR_OK;
	int64_t began_ns = weir_now_ns();

	options.run = run_never_well;
	options.retry.attempts_max = 2;
	options.retry.delay_ns = 86400 * WEIR_S;
	options.retry.delay_ns_max = 86400 * WEIR_S;
	rig_make();
	CHECK(submit(0, ctx) == WEIR_OK);
	crew_start(cancel);
	close_it();
	CHECK(collect_statuses(&last) == 1);
	CHECK(last != WEIR_OK);
	CHECK(weir__explore_is_hasty() ||
	      weir_now_ns() - began_ns < 3600 * WEIR_S);
	delivered[0] = 1;
	rig_end();
}

const struct weir_scenario push_scenarios[] = {
	POOL_SCENARIO("push_", one, 1,
		      "a job that is submitted gives its one result, although "
		      "nobody closes"),
	POOL_SCENARIO("push_", one_apart, 2,
		      "a collector that waits gets the result of a job that is "
		      "submitted later"),
	POOL_SCENARIO("push_", two_apart, 2,
		      "a submitter that waits for room gets it, and both jobs "
		      "give a result"),
	POOL_SCENARIO("push_", wrap, 2,
		      "a place in the inbox is used again only after it was "
		      "read"),
	POOL_SCENARIO("push_", narrow, 2,
		      "room for one job and one result is enough for three"),
	POOL_SCENARIO("push_", two_submitters, 3,
		      "two submitters at once: each job runs once"),
	POOL_SCENARIO("push_", two_collectors, 3,
		      "two collectors that wait get a result each"),
	POOL_SCENARIO("push_", two_workers, 3,
		      "two workers share two jobs, each runs once"),
	POOL_SCENARIO("push_", together, 2,
		      "two workers run two jobs at the same time"),
	POOL_SCENARIO("push_", stuck, 2,
		      "a job that is stuck does not keep what its worker took "
		      "along"),
	POOL_SCENARIO("push_", batch, 2,
		      "a batch that is submitted runs, each job once"),
	POOL_SCENARIO("push_", batch_out, 2,
		      "results taken several at a time are whole"),
	POOL_SCENARIO("push_", help_alone, 1,
		      "a caller that helps and a worker run each job once"),
	POOL_SCENARIO("push_", help_apart, 2,
		      "two callers that help, and nobody is left asleep"),
	POOL_SCENARIO("push_", help_narrow, 2,
		      "callers that help get along with room for one job and "
		      "one result"),
	POOL_SCENARIO("push_", help_close, 2,
		      "the last job finished by a helping caller after the "
		      "close leaves nobody asleep"),
	POOL_SCENARIO("push_", done_callback, 1,
		      "done gets each result once, and shutdown waits for it"),
	POOL_SCENARIO("push_", retry, 1,
		      "a failed job is tried again when it is due"),
	POOL_SCENARIO("push_", retry_soon, 1,
		      "shutdown_soon ends a job between two attempts"),
	POOL_SCENARIO("push_", keys, 2,
		      "two jobs of one key do not run at once"),
	POOL_SCENARIO("push_", init_fails, 2,
		      "a pool that cannot start ends its workers and is gone"),
	POOL_SCENARIO("push_", no_memory, 1,
		      "a pool that there is no memory for leaves nothing "
		      "behind"),
	POOL_SCENARIO("push_", async_done, 2,
		      "a job that another thread ends wakes its worker"),
	POOL_SCENARIO("push_", async_cancel, 2,
		      "a job that nobody ends is told when its submitter gives "
		      "up"),
	POOL_SCENARIO("push_", async_timeout, 1,
		      "a job that nobody ends is told when its time is up"),
	POOL_SCENARIO("push_", retry_cancel, 2,
		      "a job in back-off whose submitter gives up ends at "
		      "once"),
	{.name = NULL},
};
