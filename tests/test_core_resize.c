/* Pools that change their width while they work. */
#include "core_util.h"

TEST(resize, refuses_widths_out_of_range)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 2);
	weir_pool *pool = pool_make(&o);

	CHECK_EQ_INT(weir_pool_resize(pool, 0), WEIR_INVAL);
	CHECK_EQ_INT(weir_pool_resize(pool, WEIR_POOL_WORKERS_MAX + 1),
		     WEIR_INVAL);
	CHECK_EQ_INT(stats_of(pool).workers, 2);
	weir_pool_close(pool);
	CHECK_EQ_INT(weir_pool_resize(pool, 3), WEIR_CLOSED);
	CHECK_EQ_INT(stats_of(pool).workers, 2);
	weir_pool_free(pool);
}

TEST(resize, more_slots_start_at_once)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 1, 16);
	struct task gated = {GATE, 0, 0, gate_make()};
	weir_pool *pool;

	o.results = 16;
	pool = pool_make(&o);
	for (int i = 0; i < 8; i++)
		submit(pool, gated, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 1);
	OK(weir_pool_resize(pool, 5));
	CHECK_EQ_INT(stats_of(pool).workers, 5);
	WAIT_FOR(atomic_load(&seen.running) == 5);
	OK(weir_pool_resize(pool, 8));
	WAIT_FOR(atomic_load(&seen.running) == 8);
	gate_open(gated.gate);
	OK(weir_pool_shutdown(pool, NULL));
	weir_ctx_unref(gated.gate);
	weir_pool_free(pool);
}

TEST(resize, fewer_slots_are_used_as_soon_as_jobs_end)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 6, 64);
	struct task first = {GATE, 0, 0, gate_make()};
	struct task second = {GATE, 0, 0, gate_make()};
	weir_pool *pool;

	o.results = 64;
	pool = pool_make(&o);
	for (int i = 0; i < 6; i++)
		submit(pool, first, NULL);
	WAIT_FOR(atomic_load(&seen.running) == 6);
	for (int i = 0; i < 30; i++)
		submit(pool, second, NULL);
	OK(weir_pool_resize(pool, 2));
	gate_open(first.gate);
	WAIT_FOR(stats_of(pool).results == 6);
	WAIT_FOR(atomic_load(&seen.running) == 2);
	atomic_store(&seen.most, 0);
	gate_open(second.gate);
	OK(weir_pool_shutdown(pool, NULL));
	CHECK(atomic_load(&seen.most) <= 2);
	CHECK_EQ_INT(stats_of(pool).results, 36);
	weir_ctx_unref(first.gate);
	weir_ctx_unref(second.gate);
	weir_pool_free(pool);
}

TEST(resize, all_slots_come_back_after_a_short_dip)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 4, 64);
	weir_pool *pool;

	o.results = 1 << 12;
	pool = pool_make(&o);
	for (int round = 0; round < SCALE(200); round++) {
		struct task gated = {GATE, 0, 0, gate_make()};

		OK(weir_pool_resize(pool, 1 + (uint32_t)round % 2));
		OK(weir_pool_resize(pool, 4));
		for (int i = 0; i < 4; i++)
			submit(pool, gated, NULL);
		WAIT_FOR(atomic_load(&seen.running) == 4);
		gate_open(gated.gate);
		for (int i = 0; i < 4; i++)
			(void)next_result(pool, NULL);
		weir_ctx_unref(gated.gate);
	}
	weir_pool_free(pool);
}

static void *
collect_main(void *arg)
{
	weir_result result;

	while (weir_pool_next(arg, &result, NULL, NULL) == WEIR_OK)
		;
	return NULL;
}

static void *
submit_main(void *arg)
{
	for (int i = 0; i < SCALE(40000); i++)
		submit(arg, (struct task){.number = i}, NULL);
	return NULL;
}

static void
resize_at_random(weir_pool *pool, uint64_t seed, int times)
{
	struct weir_rng rng;

	weir__rng_seed(&rng, seed);
	for (int i = 0; i < times; i++) {
		uint32_t width = 1 + (uint32_t)weir__rng_below(&rng, 8);
		weir_status status = weir_pool_resize(pool, width);

		CHECK(status == WEIR_OK || status == WEIR_CLOSED);
		(void)weir_ctx_sleep(
			NULL, (int64_t)weir__rng_below(&rng, 300 * WEIR_US));
	}
}

TEST_LIMIT(resize, loses_nothing_under_load, 60)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 4, 8);
	weir_pool *pool = pool_make(&o);
	pthread_t submitting = thread_run(submit_main, pool);
	pthread_t collecting = thread_run(collect_main, pool);

	resize_at_random(pool, test_seed(), SCALE(300));
	thread_join(submitting);
	OK(weir_pool_resize(pool, 1));
	OK(weir_pool_shutdown(pool, NULL));
	thread_join(collecting);
	CHECK_EQ_INT(atomic_load(&seen.runs), SCALE(40000));
	CHECK(atomic_load(&seen.most) <= 8);
	check_books_closed(pool);
	weir_pool_free(pool);
}

/* Pull form */
struct pull {
	struct seen seen;
	weir_pool *pool;
	int next, last;
	atomic_int sunk;
	weir_status status;
};

static weir_status
pull_source(weir_ctx *ctx, void *ret_in, weir_job_options *options, void *user)
{
	struct pull *p = user;

	(void)ctx;
	(void)options;
	if (p->next == p->last)
		return WEIR_CLOSED;
	*(struct task *)ret_in = (struct task){.number = p->next++};
	return WEIR_OK;
}

static void
pull_sink(const weir_result *result, const void *in, void *out, void *user)
{
	struct pull *p = user;

	(void)in;
	CHECK_EQ_INT(result->id, *(int *)out + 1);
	atomic_fetch_add(&p->sunk, 1);
}

static void *
run_main(void *arg)
{
	struct pull *p = arg;

	p->status = weir_pool_run(p->pool, NULL);
	return NULL;
}

TEST_LIMIT(resize, loses_nothing_in_pull_form, 60)
{
	for (uint64_t round = 0; round < 5; round++) {
		struct pull p = {.last = SCALE(60000)};
		weir_pool_options o = task_options(&p.seen, 4, 8);
		pthread_t thread;

		o.user = &p;
		o.source = pull_source;
		o.sink = pull_sink;
		p.pool = pool_make(&o);
		thread = thread_run(run_main, &p);
		resize_at_random(p.pool, test_seed() + round, SCALE(80));
		thread_join(thread);
		CHECK_EQ_INT(p.status, WEIR_OK);
		CHECK_EQ_INT(atomic_load(&p.sunk), p.last);
		CHECK(atomic_load(&p.seen.most) <= 8);
		check_books_closed(p.pool);
		weir_pool_free(p.pool);
	}
}

/* The end of a run and a resize at the same moment. */
TEST_LIMIT(resize, may_cross_with_the_end_of_a_run, 60)
{
	for (uint64_t round = 0; round < (uint64_t)SCALE(400); round++) {
		struct pull p = {.last = 50};
		weir_pool_options o = task_options(&p.seen, 2, 8);
		pthread_t thread;

		o.user = &p;
		o.source = pull_source;
		o.sink = pull_sink;
		p.pool = pool_make(&o);
		thread = thread_run(run_main, &p);
		for (uint32_t i = 0; i < 8; i++) {
			weir_status status =
				weir_pool_resize(p.pool, 1 + (i * 5) % 6);

			CHECK(status == WEIR_OK || status == WEIR_CLOSED);
		}
		thread_join(thread);
		CHECK_EQ_INT(atomic_load(&p.sunk), 50);
		weir_pool_free(p.pool);
	}
}

/* Asynchronous jobs, which all wait for one gate. */
struct gated {
	pthread_mutex_t mu;
	weir_job *jobs[64];
	int len;
	atomic_int started;
};

static weir_status
gated_start(weir_ctx *ctx, weir_job *job, const void *in, void *out, void *user)
{
	struct gated *g = user;

	(void)ctx;
	(void)in;
	(void)out;
	pthread_mutex_lock(&g->mu);
	g->jobs[g->len++] = job;
	pthread_mutex_unlock(&g->mu);
	atomic_fetch_add(&g->started, 1);
	return WEIR_OK;
}

static void
gated_end_all(struct gated *g)
{
	pthread_mutex_lock(&g->mu);
	while (g->len > 0)
		weir_job_done(g->jobs[--g->len], WEIR_OK);
	pthread_mutex_unlock(&g->mu);
}

static weir_pool *
gated_pool(struct gated *g, uint32_t workers, uint32_t threads)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;

	pthread_mutex_init(&g->mu, NULL);
	o.workers = workers;
	o.threads = threads;
	o.queue = 64;
	o.start = gated_start;
	o.user = g;
	return pool_make(&o);
}

TEST(resize, gives_asynchronous_jobs_more_slots_at_once)
{
	for (uint32_t threads = 1; threads <= 3; threads++) {
		struct gated g = {0};
		weir_pool *pool = gated_pool(&g, 3, threads);

		for (int i = 0; i < 20; i++)
			OK(weir_pool_submit(pool, NULL, NULL, NULL));
		WAIT_FOR(atomic_load(&g.started) == 3);
		OK(weir_pool_resize(pool, 9));
		WAIT_FOR(atomic_load(&g.started) == 9);
		OK(weir_pool_resize(pool, 1));
		gated_end_all(&g);
		WAIT_FOR(stats_of(pool).results == 9);
		WAIT_FOR(atomic_load(&g.started) == 10);
		CHECK_EQ_INT(stats_of(pool).busy, 1);
		OK(weir_pool_resize(pool, 10));
		WAIT_FOR(atomic_load(&g.started) == 19);
		gated_end_all(&g);
		WAIT_FOR(atomic_load(&g.started) == 20);
		gated_end_all(&g);
		OK(weir_pool_shutdown(pool, NULL));
		weir_pool_free(pool);
	}
}

TEST(resize, leaves_no_thread_behind_that_has_no_slot)
{
	struct gated g = {0};
	weir_pool *pool = gated_pool(&g, 4, 4);

	OK(weir_pool_resize(pool, 1));
	weir_pool_free(pool);
}
