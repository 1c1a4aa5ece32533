/* Pools in pull form: run, poke and map. */
#include "core_util.h"

/* A source of numbers from 1, a job that gives its number back, a sum. */
struct pull {
	struct seen seen;
	weir_pool *pool;
	uint64_t next, last; /* the source's */
	weir_status end;     /* what the source says after the last */
	atomic_int in_source, in_sink;
	uint64_t sum, count, not_ok, attempts; /* the sink's */
	uint64_t close_at, soon_at;
	uint64_t keys;
	weir_ctx *gate;
	int64_t nap_ns;
	uint64_t capacity, over;
};

static weir_status
pull_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct pull *p = user;

	(void)ctx;
	CHECK_EQ_INT(atomic_fetch_add(&p->in_source, 1), 0);
	if (p->capacity && stats_of(p->pool).inside >= p->capacity)
		p->over++;
	atomic_fetch_sub(&p->in_source, 1);
	if (p->next == p->last)
		return p->end;
	*(uint64_t *)ret_in = ++p->next;
	if (p->keys)
		options->key = 1 + p->next % p->keys;
	return WEIR_OK;
}

static weir_status
pull_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct pull *p = user;

	seen_enter(&p->seen);
	*(uint64_t *)out = *(const uint64_t *)in;
	if (p->nap_ns)
		(void)weir_ctx_sleep(ctx, p->nap_ns);
	if (p->gate && *(const uint64_t *)in == 1)
		gate_wait(p->gate);
	atomic_fetch_sub(&p->seen.running, 1);
	return WEIR_OK;
}

static void
pull_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct pull *p = user;

	CHECK_EQ_INT(atomic_fetch_add(&p->in_sink, 1), 0);
	p->sum += *(const uint64_t *)in;
	p->count++;
	p->attempts += result->attempts;
	p->not_ok += result->status != WEIR_OK;
	if (result->status == WEIR_OK &&
	    *(uint64_t *)out != *(const uint64_t *)in)
		CHECK_MSG(false, "the output is of another job");
	if (p->count == p->close_at)
		weir_pool_close(p->pool);
	if (p->count == p->soon_at) {
		WAIT_FOR(stats_of(p->pool).backoff == 4);
		CHECK_EQ_INT(weir_pool_shutdown_soon(p->pool, NULL, NULL, NULL),
			     WEIR_DEADLOCK);
	}
	atomic_fetch_sub(&p->in_sink, 1);
}

static weir_pool_options
pull_options(struct pull *p, uint32_t workers, uint32_t queue, uint64_t last)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	p->last = last;
	p->end = WEIR_CLOSED;
	o.workers = workers;
	o.queue = queue;
	o.in_size = o.out_size = sizeof(uint64_t);
	o.run = pull_job;
	o.source = pull_source;
	o.sink = pull_sink;
	o.user = p;
	return o;
}

static weir_status
pull_run(struct pull *p, const weir_pool_options *o, weir_ctx *ctx)
{
	weir_status status;

	p->pool = pool_make(o);
	status = weir_pool_run(p->pool, ctx);
	check_books_closed(p->pool);
	CHECK_EQ_INT(stats_of(p->pool).accepted, p->count);
	CHECK_EQ_INT(atomic_load(&p->seen.running), 0);
	CHECK(atomic_load(&p->seen.most) <= (int)o->workers);
	weir_pool_free(p->pool);
	return status;
}

TEST_LIMIT(pull, sums_are_right_for_any_workers_and_capacity, 60)
{
	static const uint32_t workers[] = {1, 2, 3, 8, 16};
	static const uint32_t queues[] = {0, 1, 2, 7, 64, 1024};
	const uint64_t n = (uint64_t)SCALE(20000);

	for (unsigned i = 0; i < 5; i++) {
		for (unsigned j = 0; j < 6; j++) {
			struct pull p = {0};
			weir_pool_options o =
				pull_options(&p, workers[i], queues[j], n);

			CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
			CHECK_EQ_INT(p.count, n);
			CHECK_EQ_INT(p.sum, n * (n + 1) / 2);
			CHECK_EQ_INT(p.not_ok, 0);
			CHECK_EQ_INT(p.attempts, n);
		}
	}
}

TEST(pull, never_holds_more_than_its_capacity)
{
	struct pull p = {.nap_ns = 20 * WEIR_US};
	weir_pool_options o = pull_options(&p, 3, 2, 2000);

	p.capacity = 5;
	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK_EQ_INT(p.over, 0);
	CHECK_EQ_INT(p.count, 2000);
}

TEST(pull, all_slots_run_at_once)
{
	struct pull p = {.nap_ns = 5 * WEIR_MS};
	weir_pool_options o = pull_options(&p, 6, 0, 120);

	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK_EQ_INT(atomic_load(&p.seen.most), 6);
}

TEST(pull, an_empty_source_is_the_end)
{
	struct pull p = {0};
	weir_pool_options o = pull_options(&p, 4, 4, 0);

	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK_EQ_INT(p.count, 0);
}

TEST(pull, error_of_the_source_ends_intake_and_is_returned)
{
	struct pull p = {0};
	weir_pool_options o = pull_options(&p, 4, 4, 100);

	p.end = WEIR_SYSTEM;
	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_SYSTEM);
	CHECK_EQ_INT(p.count, 100);
}

TEST(pull, a_pool_runs_once)
{
	struct pull p = {0};
	weir_pool_options o = pull_options(&p, 2, 2, 3);
	weir_result result;
	uint64_t in = 1;

	p.pool = pool_make(&o);
	CHECK_EQ_INT(weir_pool_submit(p.pool, &in, NULL, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_next(p.pool, &result, NULL, NULL), WEIR_INVAL);
	OK(weir_pool_run(p.pool, NULL));
	CHECK_EQ_INT(weir_pool_run(p.pool, NULL), WEIR_INVAL);
	weir_pool_free(p.pool);
}

struct caller {
	pthread_t thread;
	int jobs;
};

static weir_status
caller_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct caller *c = user;

	(void)ctx;
	(void)in;
	(void)out;
	c->jobs += pthread_equal(c->thread, pthread_self()) != 0;
	return WEIR_OK;
}

TEST(pull, the_caller_is_one_of_the_workers)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct caller c = {pthread_self(), 0};

	o.workers = 1;
	o.run = caller_job;
	o.user = &c;
	OK(weir_pool_map(&o, NULL, NULL, NULL, 10, NULL));
	CHECK_EQ_INT(c.jobs, 10);
}

/* A source that has nothing until it is poked. */
struct poked {
	weir_pool *pool;
	atomic_int there, taken, sunk;
	atomic_bool closed;
};

static weir_status
poked_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct poked *p = user;
	bool closed = atomic_load(&p->closed);

	(void)ctx;
	(void)ret_in;
	(void)options;
	if (atomic_load(&p->taken) < atomic_load(&p->there)) {
		atomic_fetch_add(&p->taken, 1);
		return WEIR_OK;
	}
	return closed ? WEIR_CLOSED : WEIR_BUSY;
}

static weir_status
nothing_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)user;
	return WEIR_OK;
}

static void
poked_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct poked *p = user;

	(void)in;
	(void)out;
	CHECK_EQ_INT(result->status, WEIR_OK);
	atomic_fetch_add(&p->sunk, 1);
}

static void *
poker_main(void *arg)
{
	struct poked *p = arg;

	for (int i = 1; i <= SCALE(4000); i++) {
		atomic_fetch_add(&p->there, 1);
		weir_pool_poke(p->pool);
		if (i % 3 == 0)
			WAIT_FOR(atomic_load(&p->sunk) == i);
	}
	atomic_store(&p->closed, true);
	weir_pool_poke(p->pool);
	return NULL;
}

TEST_LIMIT(pull, no_poke_is_lost, 60)
{
	for (uint32_t workers = 1; workers <= 4; workers++) {
		weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
		struct poked p = {0};
		pthread_t thread;

		o.workers = workers;
		o.run = nothing_run;
		o.source = poked_source;
		o.sink = poked_sink;
		o.user = &p;
		p.pool = pool_make(&o);
		thread = thread_run(poker_main, &p);
		OK(weir_pool_run(p.pool, NULL));
		thread_join(thread);
		CHECK_EQ_INT(atomic_load(&p.sunk), SCALE(4000));
		weir_pool_free(p.pool);
	}
}

static weir_status
waiting_source(weir_ctx *ctx, void *ret_in, weir_job_options *options,
	       void *user)
{
	atomic_int *asked = user;

	(void)ret_in;
	(void)options;
	atomic_fetch_add(asked, 1);
	return weir_ctx_sleep(ctx, WEIR_FOREVER);
}

static void
nothing_sink(const weir_result *result, const void *in, void *out, void *user)
{
	(void)result;
	(void)in;
	(void)out;
	(void)user;
}

struct run {
	weir_pool *pool;
	weir_ctx *ctx;
	weir_status status;
};

static void *
run_main(void *arg)
{
	struct run *r = arg;

	r->status = weir_pool_run(r->pool, r->ctx);
	return NULL;
}

TEST(pull, a_source_that_waits_is_told_of_shutdown)
{
	for (int i = 0; i < 3; i++) {
		weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
		struct run r = {0};
		atomic_int asked = 0;
		pthread_t thread;

		o.workers = 3;
		o.run = nothing_run;
		o.source = waiting_source;
		o.sink = nothing_sink;
		o.user = &asked;
		r.pool = pool_make(&o);
		thread = thread_run(run_main, &r);
		WAIT_FOR(atomic_load(&asked) > 0);
		if (i == 0)
			weir_pool_close(r.pool);
		else if (i == 1)
			OK(weir_pool_shutdown(r.pool, NULL));
		else
			OK(weir_pool_shutdown_now(r.pool, NULL, NULL, NULL));
		thread_join(thread);
		CHECK_EQ_INT(r.status, WEIR_OK);
		CHECK_EQ_INT(atomic_load(&asked), 1);
		weir_pool_free(r.pool);
	}
}

TEST(pull, closing_from_the_sink_ends_the_run)
{
	struct pull p = {.close_at = 10};
	weir_pool_options o = pull_options(&p, 3, 4, UINT64_MAX);

	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK(p.count >= 10);
}

/* Jobs 1 to 4 wait for another attempt when the sink has got job 5. */
static weir_status
back_off_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)ctx;
	(void)user;
	*(uint64_t *)out = *(const uint64_t *)in;
	return *(const uint64_t *)in < 5 ? WEIR_FAILED : WEIR_OK;
}

TEST(pull, a_sink_may_shut_its_own_pool_down)
{
	struct pull p = {.soon_at = 1};
	weir_pool_options o = pull_options(&p, 2, 64, 5);

	p.end = WEIR_BUSY;
	o.run = back_off_job;
	o.retry = (weir_retry){.attempts_max = 2,
			       .delay_ns = 3600 * WEIR_S,
			       .delay_ns_max = 3600 * WEIR_S};
	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK_EQ_INT(p.count, 5);
	CHECK_EQ_INT(p.not_ok, 4);
}

TEST(pull, cancelling_the_run_ends_it)
{
	struct pull p = {.nap_ns = WEIR_FOREVER};
	weir_pool_options o = pull_options(&p, 3, 4, UINT64_MAX);
	struct run r = {.ctx = gate_make()};
	pthread_t thread;

	r.pool = p.pool = pool_make(&o);
	thread = thread_run(run_main, &r);
	WAIT_FOR(atomic_load(&p.seen.running) == 3);
	weir_ctx_cancel(r.ctx);
	thread_join(thread);
	CHECK_EQ_INT(r.status, WEIR_CANCELED);
	check_books_closed(r.pool);
	weir_pool_free(r.pool);
	weir_ctx_unref(r.ctx);
}

TEST(pull, deadline_of_the_run_ends_it)
{
	/* While all run, while the source is empty, and while jobs are short.
	 */
	for (int i = 0; i < 3; i++) {
		struct pull p = {.nap_ns = i == 0 ? WEIR_FOREVER : 0};
		weir_pool_options o =
			pull_options(&p, 3, 4, i == 1 ? 5 : UINT64_MAX);
		weir_ctx *ctx = ctx_make(NULL, 20 * WEIR_MS);

		p.end = WEIR_BUSY;
		CHECK_EQ_INT(pull_run(&p, &o, ctx), WEIR_TIMEDOUT);
		weir_ctx_unref(ctx);
	}
}

static weir_status
second_time_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	*(uint64_t *)out = *(const uint64_t *)in;
	(void)user;
	return weir_job_attempt(ctx) == 1
		       ? weir_job_fail(ctx, WEIR_FAILED, "once more")
		       : WEIR_OK;
}

TEST(pull, failed_attempts_are_tried_again)
{
	for (uint32_t workers = 1; workers <= 4; workers++) {
		struct pull p = {0};
		weir_pool_options o = pull_options(&p, workers, 16, 500);

		o.run = second_time_job;
		o.retry = (weir_retry){.attempts_max = 2,
				       .delay_ns = 20 * WEIR_US};
		CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
		CHECK_EQ_INT(p.count, 500);
		CHECK_EQ_INT(p.attempts, 1000);
		CHECK_EQ_INT(p.not_ok, 0);
	}
}

TEST(pull, keys_and_limits_lose_nothing)
{
	for (uint32_t workers = 1; workers <= 4; workers += 3) {
		struct pull p = {.keys = 3};
		weir_pool_options o = pull_options(&p, workers, 16, 3000);

		o.key_slots = 1;
		OK(weir_limit_new(&o.limit, 1e6, 1));
		CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
		CHECK_EQ_INT(p.count, 3000);
		weir_limit_free(o.limit);
	}
}

TEST(pull, starts_keep_to_the_limit)
{
	struct pull p = {0};
	weir_pool_options o = pull_options(&p, 3, 16, 41);
	int64_t began_ns = weir_now_ns();

	OK(weir_limit_new(&o.limit, 1000, 1));
	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK(weir_now_ns() - began_ns >= 40 * WEIR_MS);
	weir_limit_free(o.limit);
}

static void *
open_when_others_are_done(void *arg)
{
	struct pull *p = arg;

	/* All but the one that is stuck, and those of its batch. */
	WAIT_FOR(atomic_load(&p->seen.runs) >= (int)p->last - 40);
	gate_open(p->gate);
	return NULL;
}

TEST_LIMIT(pull, one_long_job_does_not_stall_the_short_ones, 60)
{
	struct pull p = {.gate = gate_make()};
	weir_pool_options o = pull_options(&p, 3, 256, (uint64_t)SCALE(200000));
	pthread_t thread = thread_run(open_when_others_are_done, &p);

	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	thread_join(thread);
	CHECK_EQ_INT(p.count, p.last);
	weir_ctx_unref(p.gate);
}

/* Job 5000 takes longer than the time-out; its neighbours have time. */
static weir_status
one_slow_job(weir_ctx *ctx, const void *in, void *out, void *user)
{
	*(uint64_t *)out = *(const uint64_t *)in;
	(void)user;
	if (*(const uint64_t *)in == 5000)
		(void)weir_ctx_sleep(NULL, 80 * WEIR_MS);
	return weir_ctx_status(ctx);
}

TEST(pull, each_job_of_a_batch_has_all_of_its_time)
{
	struct pull p = {0};
	weir_pool_options o = pull_options(&p, 1, 64, 5100);

	o.run = one_slow_job;
	o.timeout_ns = 60 * WEIR_MS;
	CHECK_EQ_INT(pull_run(&p, &o, NULL), WEIR_OK);
	CHECK_EQ_INT(p.count, 5100);
	CHECK_EQ_INT(p.not_ok, 1);
}

/* map */

static weir_status
square(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int x = *(const int *)in;

	(void)user;
	if (x % 100 == 99)
		return weir_job_fail(ctx, WEIR_PERMANENT, "no %d", x);
	*(int *)out = x * x;
	return WEIR_OK;
}

static weir_pool_options
map_options(weir_job_fn *run, uint32_t workers)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	o.workers = workers;
	o.in_size = o.out_size = sizeof(int);
	o.run = run;
	return o;
}

TEST(map, keeps_outputs_and_results_in_place)
{
	weir_pool_options o = map_options(square, 4);
	weir_result results[1000];
	int ins[1000], outs[1000];

	for (int i = 0; i < 1000; i++)
		ins[i] = i;
	OK(weir_pool_map(&o, ins, outs, NULL, 99, NULL));
	CHECK_EQ_INT(weir_pool_map(&o, ins, outs, results, 1000, NULL),
		     WEIR_FAILED);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ_INT(results[i].id, i + 1);
		CHECK_EQ_INT(results[i].attempts, 1);
		if (i % 100 == 99)
			CHECK_EQ_INT(results[i].status, WEIR_PERMANENT);
		else
			CHECK_EQ_INT(outs[i], i * i);
	}
	CHECK_STR(results[199].error, "no 199");
}

TEST(map, of_nothing_is_ok)
{
	weir_pool_options o = map_options(square, 4);

	CHECK_EQ_INT(weir_pool_map(&o, NULL, NULL, NULL, 0, NULL), WEIR_OK);
}

TEST(map, refuses_what_it_cannot_do)
{
	weir_pool_options o = map_options(square, 4);
	int x = 1;

	CHECK_EQ_INT(weir_pool_map(NULL, &x, &x, NULL, 1, NULL), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_map(&o, NULL, &x, NULL, 1, NULL), WEIR_INVAL);
	o.run = NULL;
	CHECK_EQ_INT(weir_pool_map(&o, &x, &x, NULL, 1, NULL), WEIR_INVAL);
	o.run = square;
	o.workers = 0;
	CHECK_EQ_INT(weir_pool_map(&o, &x, &x, NULL, 1, NULL), WEIR_INVAL);
}

static weir_status
cancelling(weir_ctx *ctx, const void *in, void *out, void *user)
{
	int x = *(const int *)in;

	if (x == 20)
		weir_ctx_cancel(user);
	*(int *)out = x;
	return x >= 20 ? weir_ctx_sleep(ctx, WEIR_FOREVER) : WEIR_OK;
}

TEST(map, jobs_that_never_started_say_so_when_it_is_cancelled)
{
	weir_pool_options o = map_options(cancelling, 2);
	weir_result results[200];
	int ins[200], outs[200], unstarted = 0;

	for (int i = 0; i < 200; i++)
		ins[i] = i;
	o.user = gate_make();
	CHECK_EQ_INT(weir_pool_map(&o, ins, outs, results, 200, o.user),
		     WEIR_CANCELED);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ_INT(results[i].id, i + 1);
		CHECK_EQ_INT(results[i].status,
			     i < 20 ? WEIR_OK : WEIR_CANCELED);
		unstarted += results[i].attempts == 0;
	}
	CHECK(unstarted > 100);
	weir_ctx_unref(o.user);
}

static weir_status
nested(weir_ctx *ctx, const void *in, void *out, void *user)
{
	weir_pool_options o = map_options(square, 3);
	int ins[20], outs[20], sum = 0;
	weir_status status;

	(void)user;
	for (int i = 0; i < 20; i++)
		ins[i] = *(const int *)in + i;
	status = weir_pool_map(&o, ins, outs, NULL, 20, ctx);
	for (int i = 0; i < 20; i++)
		sum += outs[i];
	*(int *)out = sum;
	CHECK(weir_job_id(ctx) > 0);
	return status;
}

TEST(map, works_inside_of_a_job)
{
	weir_pool_options o = map_options(nested, 4);
	int ins[40], outs[40];

	for (int i = 0; i < 40; i++)
		ins[i] = i;
	OK(weir_pool_map(&o, ins, outs, NULL, 40, NULL));
	for (int i = 0; i < 40; i++) {
		int sum = 0;

		for (int j = i; j < i + 20; j++)
			sum += j * j;
		CHECK_EQ_INT(outs[i], sum);
	}
}

static weir_status
bad_init(uint32_t worker, void **ret_state, void *user)
{
	(void)ret_state;
	(void)user;
	return worker == 1 ? WEIR_SYSTEM : WEIR_OK;
}

TEST(map, failing_init_is_returned_and_no_job_runs)
{
	weir_pool_options o = map_options(square, 3);
	int ins[10] = {0}, outs[10];
	weir_result results[10];

	o.init = bad_init;
	CHECK_EQ_INT(weir_pool_map(&o, ins, outs, results, 10, NULL),
		     WEIR_SYSTEM);
	for (int i = 0; i < 10; i++)
		CHECK_EQ_INT(results[i].attempts, 0);
}
