/*
 * One wake-up, or one second look, at a time: each of these scenarios comes to
 * a standstill when a single one is missing, because it is as small as that
 * allows and nobody closes.
 *
 * Time tells where a net would catch the sleeper in the end.  It is asked only
 * in schedules in which it passes when nobody can run.
 */
#include "book.h"

#include "sync/data.h"

#include <weir/chan.h>

#include <string.h>

static weir_pool *pool;
static weir_ctx *gate;
static uint32_t here, all;
static int box[BOOK_JOBS];

static bool
begin(const weir_pool_options *o)
{
	book_open();
	gate = make_ctx(NULL, WEIR_FOREVER);
	here = 0;
	all = 0;
	if (weir_pool_new(&pool, o) == WEIR_OK)
		return true;
	gate = weir_ctx_unref(gate);
	return false;
}

static void
finish(void)
{
	book_compare(pool);
	pool = weir_pool_free(pool);
	gate = weir_ctx_unref(gate);
	book_close();
}

static void
wait_at_gate(void)
{
	(void)!weir_ctx_sleep(gate, WEIR_FOREVER);
}

static void
submit(uint32_t job)
{
	uint64_t id = 0;
	weir_status status = weir_pool_submit(pool, &job, &id, NULL);

	sim_check(status == WEIR_OK);
	book_accept(job, status, id);
}

/* All at once, with the ids that follow those there are. */
static void
submit_together(uint32_t first, uint32_t count)
{
	uint32_t ins[BOOK_JOBS];
	size_t accepted = 0;

	for (uint32_t i = 0; i < count; i++)
		ins[i] = first + i;
	sim_check(weir_pool_submit_many(pool, ins, count, &accepted, NULL) ==
		  WEIR_OK);
	sim_check(accepted == count);
	for (uint32_t i = 0; i < count; i++)
		book_accept(ins[i], WEIR_OK, first + i + 1);
}

/* A result: the job that it is of. */
static uint32_t
collect(void)
{
	uint64_t out = 0;
	uint32_t job;
	weir_result result;

	sim_check(weir_pool_next(pool, &result, &out, NULL) == WEIR_OK);
	sim_check(result.status == WEIR_OK);
	job = (uint32_t)((out - output_of(0)) / 7);
	book_result(&result, job);
	return job;
}

static void
collect_two(void *arg)
{
	(void)arg;
	(void)collect();
	(void)collect();
}

/* The first is nothing; the others wait until all of them are there. */
static weir_status
meeting_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)ctx;
	(void)user;
	book_run(job);
	*(uint64_t *)out = output_of(job);
	if (all > 0 && ++here == all)
		weir_ctx_cancel(gate);
	else if (all > 0)
		wait_at_gate();
	book_ran(job);
	return WEIR_OK;
}

static void
wake_next(void)
{
	weir_pool_options o;

	book_options(&o, 2, 2);
	o.run = meeting_job;
	if (!begin(&o))
		return;
	all = 2;
	submit_together(0, 2);
	collect_two(NULL);
	finish();
}

/* A pool that has found out that its jobs are short. */
static bool
begin_short(weir_pool_options *o)
{
	if (!begin(o))
		return false;
	submit(0);
	sim_check(collect() == 0);
	return true;
}

/* The only one awake is stuck with all of them; nobody collects. */
static void
wake_rescue(void)
{
	weir_pool_options o;
	uint32_t jobs = 2 + sim_choice(2);

	book_options(&o, jobs, 4);
	o.run = meeting_job;
	if (!begin_short(&o))
		return;
	all = jobs;
	submit_together(1, jobs);
	wait_at_gate();
	for (uint32_t i = 0; i < jobs; i++)
		(void)collect();
	finish();
}

/* Tries again soon, in vain until then; others open the gate. */
static weir_status
opening_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	bool fails = job == 1 && weir_job_attempt(ctx) == 1;

	(void)user;
	book_run(job);
	*(uint64_t *)out = output_of(job);
	if (fails)
		weir_job_retry_after(ctx, 50 * WEIR_US);
	if (job == 2)
		weir_ctx_cancel(gate);
	book_ran(job);
	return fails ? WEIR_FAILED : WEIR_OK;
}

static void
wake_disarmed(void)
{
	weir_pool_options o;

	book_options(&o, 1, 4);
	o.run = opening_job;
	o.retry.attempts_max = 2;
	o.caller_helps = true;
	if (!begin_short(&o))
		return;
	submit(1);
	sim_check(collect() == 1);
	/* The worker has nothing to mind any more: let it lie down. */
	(void)!weir_ctx_sleep(gate, sim_choice(2) ? 0 : 10 * WEIR_MS);
	submit(2);
	wait_at_gate();
	sim_check(collect() == 2);
	finish();
}

static void
wake_dozing(void)
{
	weir_pool_options o;

	book_options(&o, 1, 4);
	o.run = opening_job;
	if (!begin_short(&o))
		return;
	(void)!weir_ctx_sleep(gate, 10 * WEIR_MS);
	submit(2);
	wait_at_gate();
	sim_check(collect() == 2);
	finish();
}

/* Never short: then no timekeeper looks after what was missed. */
static weir_status
long_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	sim_work(10 * WEIR_US);
	return meeting_job(ctx, in, out, user);
}

/* The last look before it sleeps finds room that was made during it. */
static void
wake_room(void)
{
	weir_pool_options o;
	int collector;

	book_options(&o, 1, 1);
	o.results = 1;
	o.run = long_job;
	if (!begin(&o))
		return;
	collector = sim_spawn("collector", collect_two, NULL);
	submit(0);
	submit(1);
	sim_join(collector);
	finish();
}

/* Due one after the other; the first then waits for the second. */
static weir_status
twice_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	bool fails = weir_job_attempt(ctx) == 1;

	book_run(job);
	/* Long: short jobs have more to look after them. */
	sim_work(10 * WEIR_US);
	*(uint64_t *)out = output_of(job);
	if (fails)
		weir_job_retry_after(ctx, ((int64_t *)user)[job]);
	else if (job == 0)
		wait_at_gate();
	else
		weir_ctx_cancel(gate);
	book_ran(job);
	return fails ? WEIR_FAILED : WEIR_OK;
}

static void
wake_next_keeper(void)
{
	int64_t delays[2] = {WEIR_MS, 2 * WEIR_MS};
	weir_pool_options o;

	book_options(&o, 2, 2);
	o.run = twice_job;
	o.user = delays;
	o.retry.attempts_max = 2;
	o.retry.delay_ns_max = WEIR_S;
	if (!begin(&o))
		return;
	submit(0);
	submit(1);
	collect_two(NULL);
	finish();
}

/* One is due tomorrow, when another turns up that is due sooner. */
static void
wake_keeper(void)
{
	int64_t delays[2] = {86400 * WEIR_S, WEIR_MS};
	int64_t began_ns = weir_now_ns();
	weir_pool_options o;

	book_options(&o, 3, 2);
	o.run = twice_job;
	o.user = delays;
	o.retry.attempts_max = 2;
	o.retry.delay_ns_max = 86400 * WEIR_S;
	if (!begin(&o))
		return;
	submit(0);
	submit(1);
	wait_at_gate();
	sim_check(sim_is_hasty() || weir_now_ns() - began_ns < 3600 * WEIR_S);
	collect_two(NULL);
	finish();
}

/* A lone result, which the collector gets before its patience ends. */
static void
wake_patient(void)
{
	weir_pool_options o;
	int64_t began_ns;

	book_options(&o, 1, 8);
	o.results = 8;
	o.run = opening_job;
	if (!begin_short(&o))
		return;
	began_ns = weir_now_ns();
	submit(2);
	sim_check(collect() == 2);
	sim_check(sim_is_hasty() || weir_now_ns() == began_ns);
	finish();
}

/* The second fills its box; the third holds its result up. */
static weir_status
boxing_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;

	(void)ctx;
	(void)user;
	book_run(job);
	*(uint64_t *)out = output_of(job);
	weir__data_write(&box[job]);
	if (job == 2)
		wait_at_gate();
	book_ran(job);
	return WEIR_OK;
}

static void
wake_seized(void)
{
	weir_pool_options o;

	book_options(&o, 1, 4);
	o.run = boxing_job;
	if (!begin_short(&o))
		return;
	submit_together(1, 2);
	sim_check(collect() == 1);
	weir__data_read(&box[1]);
	weir_ctx_cancel(gate);
	sim_check(collect() == 2);
	weir__data_read(&box[2]);
	finish();
}

/* In pull form, where a job of the same batch waits for the other try. */
static uint32_t given;

static weir_status
batch_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	uint32_t job = *(const uint32_t *)in;
	bool again = weir_job_attempt(ctx) > 1;

	(void)user;
	book_run(job);
	*(uint64_t *)out = output_of(job);
	if (job == 1 && again)
		weir_ctx_cancel(gate);
	if (job == 2)
		wait_at_gate();
	book_ran(job);
	return job == 1 && !again ? WEIR_FAILED : WEIR_OK;
}

static weir_status
source(weir_ctx *intake, void *ret_in, weir_job_options *ret_options,
       void *user)
{
	(void)intake;
	(void)ret_options;
	(void)user;
	if (given == 3)
		return WEIR_CLOSED;
	book.lines[given].accepted = true;
	*(uint32_t *)ret_in = given++;
	return WEIR_OK;
}

static void
sink(const weir_result *result, const void *in, void *out, void *user)
{
	(void)out;
	(void)user;
	book_result(result, *(const uint32_t *)in);
}

static void
wake_batch_retry(void)
{
	weir_pool_options o;

	book_options(&o, 2, 6);
	o.run = batch_job;
	o.retry.attempts_max = 2;
	o.retry.delay_ns = WEIR_MS;
	o.source = source;
	o.sink = sink;
	given = 0;
	if (!begin(&o))
		return;
	sim_check(weir_pool_run(pool, NULL) == WEIR_OK || sim_refused());
	finish();
}

/* Jobs that wait for one another must not be refused memory: threads only. */
#define THREADS ((unsigned)SIM_FAIL_THREAD)

const struct scenario wake_scenarios[] = {
	{"wake_next",
	 "two jobs that wait for each other run at once, however "
	 "they were submitted",
	 wake_next, THREADS, 4},
	{"wake_rescue",
	 "short jobs that wait for each other all begin, "
	 "although nobody collects",
	 wake_rescue, THREADS, 4},
	{"wake_disarmed",
	 "a job begins without its submitter's help, after a "
	 "timekeeper has left",
	 wake_disarmed, THREADS, 4},
	{"wake_dozing", "a job begins although its worker was going to sleep",
	 wake_dozing, THREADS, 4},
	{"wake_room", "room that is made for a result is used", wake_room,
	 THREADS, 20},
	{"wake_next_keeper",
	 "a job is tried again when due, although the worker that minded the "
	 "time is busy",
	 wake_next_keeper, THREADS, 4},
	{"wake_keeper",
	 "a job is tried again when due, although another was due later",
	 wake_keeper, THREADS, 4},
	{"wake_patient", "a lone result is taken as soon as it is there",
	 wake_patient, THREADS, 4},
	{"wake_seized",
	 "a result that is taken over from a stuck worker comes whole",
	 wake_seized, THREADS, 4},
	{"wake_batch_retry",
	 "a job is tried again when due, although the rest of its batch waits",
	 wake_batch_retry, THREADS, 4},
	SCENARIOS_END,
};
