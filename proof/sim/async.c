/*
 * Asynchronous jobs: begun by a worker, ended by whoever likes.
 */
#include "book.h"

#include "sync/park.h"

#include <string.h>

#define HELPERS 6

struct begun {
	weir_ctx *ctx;
	weir_job *job;
	uint32_t number;
	uint64_t *out;
	bool cancelled; /* the cancel callback has come */
};

static weir_pool *pool;
static weir_ctx *ctx;
static struct begun begun[HELPERS];
static int helpers[HELPERS];
static uint32_t begun_count, helper_count;

static bool
begin(weir_pool_options *o)
{
	book_open();
	begun_count = helper_count = 0;
	return weir_pool_new(&pool, o) == WEIR_OK;
}

static void
finish(void)
{
	for (uint32_t i = 0; i < helper_count; i++)
		sim_join(helpers[i]);
	book_compare(pool);
	pool = weir_pool_free(pool);
	book_close();
}

static struct begun *
note(weir_ctx *job_ctx, weir_job *job, const void *in, void *out)
{
	struct begun *b = &begun[begun_count++];

	sim_check(begun_count <= HELPERS);
	b->ctx = job_ctx;
	b->job = job;
	b->number = *(const uint32_t *)in;
	b->out = out;
	b->cancelled = false;
	weir_job_set_data(job, b);
	book_run(b->number);
	return b;
}

static void
end(struct begun *b, weir_status status)
{
	*b->out = output_of(b->number);
	book_ran(b->number);
	weir_job_done(b->job, status);
}

/* Ends the job from a thread of its own. */
static void
helper(void *arg)
{
	sim_work(0);
	end(arg, WEIR_OK);
}

/* The same, after a wait under the job's context. */
static void
slow_helper(void *arg)
{
	struct begun *b = arg;

	end(b, weir_ctx_sleep(b->ctx, 2 * WEIR_MS));
}

static weir_status
start_with(struct begun *b, void (*fn)(void *))
{
	helpers[helper_count++] = sim_spawn("helper", fn, b);
	return WEIR_OK;
}

static weir_status
start_helper(weir_ctx *job_ctx, weir_job *job, const void *in, void *out,
	     void *user)
{
	(void)user;
	return start_with(note(job_ctx, job, in, out), helper);
}

static weir_status
start_slow(weir_ctx *job_ctx, weir_job *job, const void *in, void *out,
	   void *user)
{
	(void)user;
	return start_with(note(job_ctx, job, in, out), slow_helper);
}

/* Ended at once, on the worker's own thread, or never begun. */
static weir_status
start_inline(weir_ctx *job_ctx, weir_job *job, const void *in, void *out,
	     void *user)
{
	struct begun *b = note(job_ctx, job, in, out);

	(void)user;
	if (sim_choice(2)) {
		end(b, WEIR_OK);
		return WEIR_OK;
	}
	book_ran(b->number);
	return WEIR_PERMANENT;
}

/* Nobody ends it but the cancel callback. */
static weir_status
start_endless(weir_ctx *job_ctx, weir_job *job, const void *in, void *out,
	      void *user)
{
	(void)user;
	note(job_ctx, job, in, out);
	return WEIR_OK;
}

static void
cancel(weir_ctx *job_ctx, weir_job *job, void *user)
{
	struct begun *b = weir_job_data(job);

	(void)user;
	sim_check(weir_ctx_status(job_ctx) != WEIR_OK);
	sim_check(!b->cancelled);
	b->cancelled = true;
	end(b, WEIR_CANCELED);
}

/* Only told; the helper sees it by itself. */
static void
cancel_told(weir_ctx *job_ctx, weir_job *job, void *user)
{
	(void)job;
	(void)user;
	sim_check(weir_ctx_status(job_ctx) != WEIR_OK);
}

static weir_status
submit(uint32_t job, weir_ctx *with)
{
	uint64_t id = 0;
	weir_status status = weir_pool_submit(pool, &job, &id, with);

	book_accept(job, status, id);
	return status;
}

static weir_status
collect(weir_ctx *with)
{
	weir_result result;
	weir_status status = weir_pool_next(pool, &result, NULL, with);

	if (status == WEIR_OK)
		book_result_by_id(&result);
	return status;
}

static void
async_options(weir_pool_options *o, uint32_t workers, uint32_t queue,
	      weir_job_start_fn *start)
{
	book_options(o, workers, queue);
	o->run = NULL;
	o->start = start;
}

static void
async_done(void)
{
	weir_pool_options o;

	async_options(&o, 1 + sim_choice(2), 2, start_helper);
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 3; i++)
		sim_check(collect(NULL) == WEIR_OK);
	sim_check(book.running_most <= o.workers);
	finish();
}

static void
async_inline(void)
{
	weir_pool_options o;

	async_options(&o, 2, 2, start_inline);
	o.threads = 1 + sim_choice(2);
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 3; i++)
		sim_check(collect(NULL) == WEIR_OK);
	finish();
}

static void
cancel_it(void *arg)
{
	(void)arg;
	weir_ctx_cancel(ctx);
}

static void
async_cancel(void)
{
	weir_pool_options o;
	uint32_t accepted = 0;
	int other;

	async_options(&o, 2, 2, start_endless);
	o.cancel = cancel;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, sim_choice(2) ? WEIR_FOREVER : 10 * WEIR_MS);
	other = sim_spawn("canceller", cancel_it, NULL);
	for (uint32_t i = 0; i < 2; i++)
		accepted += submit(i, ctx) == WEIR_OK;
	for (; accepted > 0; accepted--)
		sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

/* Cancelled and ended by another thread at the same moment. */
static void
async_cross(void)
{
	weir_pool_options o;
	int other;

	async_options(&o, 1, 2, start_slow);
	o.cancel = cancel_told;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel_it, NULL);
	if (submit(0, ctx) == WEIR_OK)
		sim_check(collect(NULL) == WEIR_OK);
	if (submit(1, NULL) == WEIR_OK)
		sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

static void
async_timeout(void)
{
	weir_pool_options o;

	async_options(&o, 2, 2, start_endless);
	o.cancel = cancel;
	o.timeout_ns = WEIR_MS;
	o.retry.attempts_max = 1 + sim_choice(2);
	o.retry.delay_ns = WEIR_MS;
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 2; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 2; i++)
		sim_check(collect(NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 2 && !sim_refused(); i++) {
		sim_check(book.lines[i].status == WEIR_TIMEDOUT);
		sim_check(book.lines[i].runs == o.retry.attempts_max);
	}
	finish();
}

static void
async_stop(void)
{
	weir_pool_options o;
	weir_status status;

	async_options(&o, 1 + sim_choice(2), 2, start_endless);
	o.cancel = cancel;
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 3; i++) {
		uint64_t id = 0;

		status = weir_pool_try_submit(pool, &i, NULL, &id, NULL);
		book_accept(i, status, id);
	}
	status = weir_pool_shutdown_now(
		pool, sim_choice(2) ? book_unstarted : NULL, NULL, NULL);
	sim_check(status == WEIR_OK);
	while (collect(NULL) == WEIR_OK)
		;
	finish();
}

/* The host's own way to wait: an event loop, here a park. */
struct host {
	struct weir_park park;
	bool closed;
};

static struct host host;

static weir_status
host_init(uint32_t worker, void **ret_state, void *user)
{
	(void)worker;
	(void)user;
	weir__park_init(&host.park);
	host.closed = false;
	*ret_state = &host;
	return WEIR_OK;
}

static void
host_exit(uint32_t worker, void *state, void *user)
{
	(void)worker;
	(void)state;
	(void)user;
	host.closed = true;
}

static void
host_wait(void *state, int64_t deadline_ns, bool hungry, void *user)
{
	(void)state;
	(void)hungry;
	(void)user;
	weir__park_wait(&host.park, deadline_ns);
	weir__park_reset(&host.park);
}

static void
host_wake(void *state, void *user)
{
	(void)state;
	(void)user;
	sim_check(!host.closed);
	if (weir__park_signal(&host.park))
		weir__park_kick(&host.park);
}

static void
async_host(void)
{
	weir_pool_options o;
	int other;

	async_options(&o, 2, 1, start_slow);
	o.init = host_init;
	o.exit = host_exit;
	o.wait = host_wait;
	o.wake = host_wake;
	if (!begin(&o))
		return;
	ctx = make_ctx(NULL, WEIR_FOREVER);
	other = sim_spawn("canceller", cancel_it, NULL);
	if (submit(0, ctx) == WEIR_OK)
		sim_check(collect(NULL) == WEIR_OK);
	sim_check(submit(1, NULL) == WEIR_OK);
	sim_check(submit(2, NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	sim_check(collect(NULL) == WEIR_OK);
	sim_join(other);
	ctx = weir_ctx_unref(ctx);
	finish();
}

static void
async_resize(void)
{
	weir_pool_options o;
	weir_status status;

	async_options(&o, 2, 3, start_slow);
	if (!begin(&o))
		return;
	for (uint32_t i = 0; i < 2; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	status = weir_pool_resize(pool, 1 + sim_choice(3));
	sim_check(status == WEIR_OK || sim_refused());
	for (uint32_t i = 2; i < 4; i++)
		sim_check(submit(i, NULL) == WEIR_OK);
	for (uint32_t i = 0; i < 4; i++)
		sim_check(collect(NULL) == WEIR_OK);
	sim_check(book.running_most <= 3);
	finish();
}

/* Pull form: the source is asked for as many as there are slots. */
static uint32_t given;

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
async_pull(void)
{
	weir_pool_options o;
	weir_status status;

	async_options(&o, 2, 1, sim_choice(2) ? start_helper : start_inline);
	o.threads = 1 + sim_choice(2);
	o.source = source;
	o.sink = sink;
	given = 0;
	if (!begin(&o))
		return;
	status = weir_pool_run(pool, NULL);
	sim_check(status == WEIR_OK || sim_refused());
	if (status == WEIR_OK)
		sim_check(given == 3);
	finish();
}

const struct scenario async_scenarios[] = {
	{"async_done", "a job is over when another thread says so", async_done,
	 FAULTS_ALL, 6},
	{"async_inline", "or when its own worker does, or when it never began",
	 async_inline, FAULTS_ALL, 6},
	{"async_cancel", "a job whose context ends is told, once", async_cancel,
	 FAULTS_ALL, 8},
	{"async_cross", "cancelling may cross with the end", async_cross,
	 FAULTS_ALL, 6},
	{"async_timeout", "a job whose time is up is told", async_timeout,
	 FAULTS_ALL, 6},
	{"async_stop", "shutdown_now tells those that run", async_stop,
	 FAULTS_ALL, 6},
	{"async_host", "a worker waits and is woken in the host's own way",
	 async_host, FAULTS_ALL, 6},
	{"async_resize", "a change of width loses no job", async_resize,
	 FAULTS_ALL, 4},
	{"async_pull", "a source feeds asynchronous jobs, too", async_pull,
	 FAULTS_ALL, 6},
	SCENARIOS_END,
};
