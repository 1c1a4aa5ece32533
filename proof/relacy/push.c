/*
 * Whole pools in push form: their workers, and threads that submit, collect,
 * close and shut down.
 *
 * Jobs are numbers.  Each has a box, which the submitter fills, the job reads
 * and fills again, and the collector reads, so that a job or a result which
 * arrives without what was written before is a race.  What is counted here is
 * counted in plain variables: the threads are fibers of one.
 */
#include "crew.h"
#include "scenario.h"

#include "sync/park.h"

#include <string.h>

#define JOBS 4

static weir_pool *pool;
static weir_ctx *ctx;
static weir_pool_options options;
static int box[JOBS];
static int accepted[JOBS], ran[JOBS], delivered[JOBS], handed_back[JOBS];
static int at_once, most_at_once;
static struct weir_park met[2];

static weir_status
run_plain(weir_ctx *under, const void *in, void *out, void *user)
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
setup(void)
{
	crew_reset();
	pool = NULL;
	memset(box, 0, sizeof(box));
	memset(accepted, 0, sizeof(accepted));
	memset(ran, 0, sizeof(ran));
	memset(delivered, 0, sizeof(delivered));
	memset(handed_back, 0, sizeof(handed_back));
	at_once = most_at_once = 0;
	weir__park_init(&met[0]);
	weir__park_init(&met[1]);
	memset(&options, 0, sizeof(options));
	options.size = sizeof(options);
	options.workers = 1;
	options.queue = 1;
	options.in_size = sizeof(int);
	options.out_size = sizeof(int);
	options.run = run_plain;
	CHECK(weir_ctx_new(&ctx, NULL, WEIR_FOREVER) == WEIR_OK);
}

static void
tear_down(void)
{
	ctx = weir_ctx_unref(ctx);
}

static void
make(void)
{
	CHECK(weir_pool_new(&pool, &options) == WEIR_OK);
}

/* Every job that was accepted left by one door, once. */
static void
end(void)
{
	crew_join();
	pool = weir_pool_free(pool);
	for (int i = 0; i < JOBS; i++)
		CHECK(accepted[i] == delivered[i] + handed_back[i]);
}

static void
fill(int i)
{
	weir__data_write(&box[i]);
	box[i] = i + 1;
}

static weir_status
submit(int i, weir_ctx *under)
{
	weir_status status;

	fill(i);
	status = weir_pool_submit(pool, &i, NULL, under);
	if (status == WEIR_OK)
		accepted[i]++;
	return status;
}

static void
submit_0(void)
{
	CHECK(submit(0, NULL) == WEIR_OK);
}

static void
submit_1(void)
{
	CHECK(submit(1, NULL) == WEIR_OK);
}

static void
submit_0_1(void)
{
	submit_0();
	submit_1();
}

static void
submit_or_find_closed(void)
{
	weir_status status = submit(0, NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

static void
take_result(const weir_result *result, int i)
{
	if (result->status == WEIR_OK) {
		weir__data_read(&box[i]);
		CHECK(box[i] == -i);
		CHECK(ran[i] == 1);
	}
	delivered[i]++;
	CHECK(delivered[i] == 1);
}

/* The result of a job that was not run has no output: its id says which. */
static weir_status
collect(weir_ctx *under)
{
	weir_result result;
	int i = -1;
	weir_status status = weir_pool_next(pool, &result, &i, under);

	if (status == WEIR_OK)
		take_result(&result, i);
	return status;
}

static void
collect_one(void)
{
	CHECK(collect(NULL) == WEIR_OK);
}

static void
collect_two(void)
{
	collect_one();
	collect_one();
}

static void
collect_three(void)
{
	collect_two();
	collect_one();
}

static void
collect_all(void)
{
	while (collect(NULL) == WEIR_OK)
		;
}

static void
collect_nothing(void)
{
	CHECK(collect(NULL) == WEIR_CLOSED);
}

static void
collect_or_find_closed(void)
{
	weir_status status = collect(NULL);

	CHECK(status == WEIR_OK || status == WEIR_CLOSED);
}

static void
close_it(void)
{
	weir_pool_close(pool);
}

static void
cancel(void)
{
	weir_ctx_cancel(ctx);
}

/* One job, there and back. */

static void
one(void)
{
	make();
	submit_0();
	collect_one();
	end();
}

static void
one_apart(void)
{
	make();
	crew_start(submit_0);
	collect_one();
	end();
}

static void
two_apart(void)
{
	make();
	crew_start(submit_0_1);
	collect_two();
	end();
}

/* Queue and results of one: whoever submits has to wait for both. */
static void
narrow(void)
{
	options.results = 1;
	make();
	crew_start(collect_three);
	submit_0_1();
	CHECK(submit(2, NULL) == WEIR_OK);
	end();
}

static void
two_submitters(void)
{
	make();
	crew_start(submit_0);
	crew_start(submit_1);
	collect_two();
	end();
}

static void
two_collectors(void)
{
	make();
	crew_start(collect_one);
	crew_start(collect_one);
	submit_0_1();
	end();
}

static void
two_workers(void)
{
	options.workers = 2;
	make();
	crew_start(collect_two);
	submit_0_1();
	end();
}

/* Each of two jobs waits until the other one runs. */
static weir_status
run_together(weir_ctx *under, const void *in, void *out, void *user)
{
	int i = *(const int *)in;

	if (weir__park_signal(&met[1 - i]))
		weir__park_kick(&met[1 - i]);
	CHECK(weir__park_wait(&met[i], WEIR_FOREVER));
	return run_plain(under, in, out, user);
}

static void
together(void)
{
	options.workers = 2;
	options.queue = 2;
	options.run = run_together;
	options.batch_max = 1;
	make();
	submit_0_1();
	collect_two();
	end();
}

/* Collectors of short jobs are patient; these turn out long. */
static void
stuck(void)
{
	options.workers = 2;
	options.queue = 2;
	options.run = run_together;
	make();
	submit_0_1();
	collect_two();
	end();
}

static void
batch(void)
{
	const int ins[] = {0, 1};
	size_t sent = 0;

	options.queue = 2;
	make();
	fill(0);
	fill(1);
	crew_start(collect_two);
	CHECK(weir_pool_submit_many(pool, ins, 2, &sent, NULL) == WEIR_OK);
	CHECK(sent == 2);
	accepted[0]++;
	accepted[1]++;
	end();
}

static void
batch_out(void)
{
	weir_result results[2];
	size_t count, seen = 0;
	int outs[2];

	options.queue = 2;
	make();
	crew_start(submit_0_1);
	while (seen < 2) {
		CHECK(weir_pool_next_many(pool, results, outs, 2, &count,
					  NULL) == WEIR_OK);
		for (size_t i = 0; i < count; i++)
			take_result(&results[i], outs[i]);
		seen += count;
	}
	end();
}

/* Callers that help. */

static void
help_alone(void)
{
	options.caller_helps = true;
	options.queue = 2;
	make();
	submit_0_1();
	collect_two();
	end();
}

static void
help_apart(void)
{
	options.caller_helps = true;
	make();
	crew_start(submit_0_1);
	collect_two();
	end();
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
	make();
	crew_start(collect_all);
	submit_0_1();
	close_it();
	end();
	CHECK(delivered[0] + delivered[1] == 2);
}

/* Closing. */

static void
close_drains(void)
{
	make();
	crew_start(collect_all);
	submit_0();
	close_it();
	end();
	CHECK(delivered[0] == 1);
}

static void
close_collectors(void)
{
	make();
	crew_start(collect_nothing);
	crew_start(collect_nothing);
	close_it();
	end();
}

static void
close_last(void)
{
	make();
	crew_start(collect_or_find_closed);
	crew_start(collect_or_find_closed);
	submit_0();
	close_it();
	end();
}

static void
close_crosses(void)
{
	make();
	crew_start(submit_or_find_closed);
	crew_start(close_it);
	collect_all();
	end();
}

/* Shutting down. */

static void
unstarted(uint64_t id, const void *in, void *user)
{
	(void)id;
	(void)user;
	handed_back[*(const int *)in]++;
	CHECK(ran[*(const int *)in] == 0);
}

static void
drain(void)
{
	make();
	crew_start(collect_all);
	submit_0_1();
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	end();
	CHECK(delivered[0] + delivered[1] == 2);
}

static void
soon(void)
{
	options.queue = 2;
	make();
	submit_0_1();
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	collect_all();
	end();
}

static void
soon_crosses(void)
{
	options.results = 1;
	make();
	crew_start(submit_or_find_closed);
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	collect_all();
	end();
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
	make();
	submit_0();
	CHECK(weir_pool_shutdown_now(pool, unstarted, NULL, NULL) == WEIR_OK);
	while (collect(NULL) == WEIR_OK)
		;
	end();
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
	make();
	submit_0();
	crew_start(shut_down);
	crew_start(shut_down_now);
	collect_all();
	end();
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
	make();
	submit_0_1();
	end();
}

/* Contexts of submitters and collectors. */

/* How many results there are, whatever is in them. */
static int
collect_statuses(weir_status *ret_last)
{
	weir_result result;
	int count = 0;

	while (weir_pool_next(pool, &result, NULL, NULL) == WEIR_OK) {
		*ret_last = result.status;
		count++;
	}
	return count;
}

static void
cancel_queued(void)
{
	weir_status last = WEIR_OK;

	make();
	crew_start(cancel);
	CHECK(submit(0, ctx) == WEIR_OK || accepted[0] == 0);
	close_it();
	crew_join();
	CHECK(collect_statuses(&last) == accepted[0]);
	CHECK(last == (ran[0] || !accepted[0] ? WEIR_OK : WEIR_CANCELED));
	delivered[0] = accepted[0];
	end();
}

static void
collect_cancelled(void)
{
	CHECK(collect(ctx) == WEIR_CANCELED);
}

static void
cancel_collector(void)
{
	make();
	crew_start(collect_cancelled);
	cancel();
	end();
}

/* Resizing. */

static void
wider(void)
{
	options.queue = 2;
	options.run = run_together;
	options.batch_max = 1;
	make();
	submit_0_1();
	CHECK(weir_pool_resize(pool, 2) == WEIR_OK);
	collect_two();
	end();
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
	make();
	crew_start(narrower_while);
	submit_0_1();
	collect_two();
	end();
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
	make();
	submit_0_1();
	CHECK(weir_pool_shutdown(pool, NULL) == WEIR_OK);
	CHECK(delivered[0] == 1 && delivered[1] == 1);
	end();
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
	make();
	submit_0();
	collect_one();
	end();
}

static void
retry_soon(void)
{
	weir_status last = WEIR_OK;

	options.run = run_second_time;
	options.retry.attempts_max = 2;
	options.retry.delay_ns = WEIR_MS;
	make();
	submit_0();
	CHECK(weir_pool_shutdown_soon(pool, unstarted, NULL, NULL) == WEIR_OK);
	CHECK(collect_statuses(&last) + handed_back[0] == 1);
	delivered[0] = 1 - handed_back[0];
	end();
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
	make();
	job.key = 7;
	for (int i = 0; i < 2; i++) {
		fill(i);
		CHECK(weir_pool_submit_with(pool, &i, &job, NULL, NULL) ==
		      WEIR_OK);
		accepted[i]++;
	}
	collect_two();
	CHECK(most_at_once == 1);
	end();
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
		end();
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
	make();
	crew_start(end_what_has_begun);
	submit_0();
	collect_one();
	end();
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
	make();
	if (under)
		crew_start(cancel);
	CHECK(submit(0, under) == WEIR_OK);
	close_it();
	CHECK(collect_statuses(&last) == 1);
	CHECK(last == status);
	delivered[0] = 1;
	end();
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
	make();
	CHECK(submit(0, ctx) == WEIR_OK);
	crew_start(cancel);
	close_it();
	CHECK(collect_statuses(&last) == 1);
	CHECK(last != WEIR_OK);
	CHECK(weir__explore_is_hasty() ||
	      weir_now_ns() - began_ns < 3600 * WEIR_S);
	delivered[0] = 1;
	end();
}

#define POOL_SCENARIO(function, threads, text)                              \
	{                                                                   \
		.name = "push_" #function, .promise = text, .setup = setup, \
		.thread = {function}, .workers = (threads),                 \
		.finish = tear_down, .cost = 10                             \
	}

const struct weir_scenario push_scenarios[] = {
	POOL_SCENARIO(one, 1,
		      "a job that is submitted gives its one result, although "
		      "nobody closes"),
	POOL_SCENARIO(one_apart, 2,
		      "a collector that waits gets the result of a job that is "
		      "submitted later"),
	POOL_SCENARIO(two_apart, 2,
		      "a submitter that waits for room gets it, and both jobs "
		      "give a result"),
	POOL_SCENARIO(narrow, 2,
		      "room for one job and one result is enough for three"),
	POOL_SCENARIO(two_submitters, 3,
		      "two submitters at once: each job runs once"),
	POOL_SCENARIO(two_collectors, 3,
		      "two collectors that wait get a result each"),
	POOL_SCENARIO(two_workers, 3,
		      "two workers share two jobs, each runs once"),
	POOL_SCENARIO(together, 2, "two workers run two jobs at the same time"),
	POOL_SCENARIO(stuck, 2,
		      "a job that is stuck does not keep what its worker took "
		      "along"),
	POOL_SCENARIO(batch, 2,
		      "a batch that is submitted runs, each job once"),
	POOL_SCENARIO(batch_out, 2,
		      "results taken several at a time are whole"),
	POOL_SCENARIO(help_alone, 1,
		      "a caller that helps and a worker run each job once"),
	POOL_SCENARIO(help_apart, 2,
		      "two callers that help, and nobody is left asleep"),
	POOL_SCENARIO(help_narrow, 2,
		      "callers that help get along with room for one job and "
		      "one result"),
	POOL_SCENARIO(help_close, 2,
		      "the last job finished by a helping caller after the "
		      "close leaves nobody asleep"),
	POOL_SCENARIO(close_drains, 2,
		      "what was accepted before the close is delivered after "
		      "it"),
	POOL_SCENARIO(close_collectors, 3,
		      "close of an empty pool wakes every collector"),
	POOL_SCENARIO(close_last, 3,
		      "after close, whoever takes the last result leaves no "
		      "collector asleep"),
	POOL_SCENARIO(close_crosses, 3,
		      "a submit that crosses a close is refused, or delivered"),
	POOL_SCENARIO(drain, 2,
		      "shutdown returns when the last result has been "
		      "delivered, and not before"),
	POOL_SCENARIO(soon, 1,
		      "shutdown_soon: each job is handed back or delivered, "
		      "once"),
	POOL_SCENARIO(soon_crosses, 2,
		      "a submit that crosses shutdown_soon is refused, handed "
		      "back or delivered"),
	POOL_SCENARIO(now_wakes, 1,
		      "shutdown_now wakes a job that waits under its context"),
	POOL_SCENARIO(now_overtakes, 3,
		      "of two shutdowns at once the stronger wins, and both "
		      "return"),
	POOL_SCENARIO(free_drops, 1,
		      "free gives what nobody took, and what never ran, to "
		      "drop"),
	POOL_SCENARIO(cancel_queued, 2,
		      "a job whose submitter gives up gives one result, run or "
		      "not"),
	POOL_SCENARIO(cancel_collector, 2,
		      "a collector returns when its context is cancelled"),
	POOL_SCENARIO(wider, 2, "a pool made wider runs more jobs at once"),
	POOL_SCENARIO(narrower, 3, "a pool made narrower loses no job"),
	POOL_SCENARIO(done_callback, 1,
		      "done gets each result once, and shutdown waits for it"),
	POOL_SCENARIO(retry, 1, "a failed job is tried again when it is due"),
	POOL_SCENARIO(retry_soon, 1,
		      "shutdown_soon ends a job between two attempts"),
	POOL_SCENARIO(keys, 2, "two jobs of one key do not run at once"),
	POOL_SCENARIO(init_fails, 2,
		      "a pool that cannot start ends its workers and is gone"),
	POOL_SCENARIO(no_memory, 1,
		      "a pool that there is no memory for leaves nothing "
		      "behind"),
	POOL_SCENARIO(async_done, 2,
		      "a job that another thread ends wakes its worker"),
	POOL_SCENARIO(async_cancel, 2,
		      "a job that nobody ends is told when its submitter gives "
		      "up"),
	POOL_SCENARIO(async_timeout, 1,
		      "a job that nobody ends is told when its time is up"),
	POOL_SCENARIO(retry_cancel, 2,
		      "a job in back-off whose submitter gives up ends at "
		      "once"),
	{.name = NULL},
};
