/* Keys and limits in push form: jobs that may not start just now. */
#include "core_util.h"

/* Jobs of a key, and how many of each run at once. */
struct keyed {
	atomic_int running[4], most;
	weir_ctx *gate;
};

static weir_status
keyed_run(weir_ctx *ctx, const void *in, void *out, void *user)
{
	struct keyed *k = user;
	int key = *(const int *)in, most = atomic_load(&k->most);
	int running = atomic_fetch_add(&k->running[key], 1) + 1;

	(void)out;
	while (key > 0 && running > most &&
	       !atomic_compare_exchange_weak(&k->most, &most, running))
		;
	if (k->gate)
		gate_wait(k->gate);
	else
		(void)weir_ctx_sleep(ctx, 50 * WEIR_US);
	atomic_fetch_sub(&k->running[key], 1);
	return weir_job_attempt(ctx) == 1 ? WEIR_FAILED : WEIR_OK;
}

static void
submit_keyed(weir_pool *pool, int key)
{
	weir_job_options job = WEIR_JOB_OPTIONS_INIT;

	job.key = (uint64_t)key;
	OK(weir_pool_submit_with(pool, &key, &job, NULL, NULL));
}

TEST(keys, jobs_of_one_key_run_a_few_at_a_time)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct keyed keyed = {0};
	weir_pool *pool;

	o.workers = 8;
	o.queue = 400;
	o.in_size = sizeof(int);
	o.run = keyed_run;
	o.user = &keyed;
	o.key_slots = 2;
	o.retry = (weir_retry){.attempts_max = 2, .delay_ns = 1000};
	pool = pool_make(&o);
	for (int i = 0; i < 400; i++)
		submit_keyed(pool, i % 4);
	for (int i = 0; i < 400; i++) {
		weir_result result = next_result(pool, NULL);

		CHECK_EQ_INT(result.status, WEIR_OK);
		CHECK_EQ_INT(result.attempts, 2);
	}
	CHECK_EQ_INT(atomic_load(&keyed.most), 2);
	check_books_closed(pool);
	weir_pool_free(pool);
}

struct late_submit {
	weir_pool *pool;
	weir_status status;
};

static void *
late_submit_main(void *arg)
{
	struct late_submit *l = arg;
	weir_ctx *ctx = ctx_make(NULL, 5 * WEIR_S);

	l->status = weir_pool_submit(l->pool, &(int){0}, NULL, ctx);
	weir_ctx_unref(ctx);
	return NULL;
}

TEST(keys, a_job_put_aside_for_its_key_makes_room_in_the_queue)
{
	weir_pool_options o = WEIR_POOL_OPTIONS_INIT;
	struct keyed keyed = {.gate = gate_make()};
	struct late_submit late = {0};
	pthread_t thread;

	o.workers = 2;
	o.queue = 1;
	o.results = 2;
	o.in_size = sizeof(int);
	o.run = keyed_run;
	o.user = &keyed;
	o.key_slots = 1;
	late.pool = pool_make(&o);
	submit_keyed(late.pool, 1);
	WAIT_FOR(stats_of(late.pool).busy == 1);
	/*
	 * One runs, one waits for its key: two of two places for results.
	 * The third stays in the queue, and the fourth waits for room.
	 */
	submit_keyed(late.pool, 1);
	WAIT_FOR(weir_pool_try_submit(late.pool, &(int){0}, NULL, NULL, NULL) ==
		 WEIR_OK);
	thread = thread_run(late_submit_main, &late);
	gate_open(keyed.gate);
	for (int i = 0; i < 4; i++)
		(void)next_result(late.pool, NULL);
	thread_join(thread);
	CHECK_EQ_INT(late.status, WEIR_OK);
	weir_ctx_unref(keyed.gate);
	weir_pool_free(late.pool);
}

TEST(keys, starts_keep_to_the_limit)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 4, 64);
	int64_t began_ns;
	weir_pool *pool;

	OK(weir_limit_new(&o.limit, 1000, 1));
	pool = pool_make(&o);
	began_ns = weir_now_ns();
	for (int i = 0; i < 31; i++)
		submit(pool, (struct task){0}, NULL);
	for (int i = 0; i < 31; i++)
		(void)next_result(pool, NULL);
	CHECK(weir_now_ns() - began_ns >= 30 * WEIR_MS);
	weir_pool_free(pool);
	weir_limit_free(o.limit);
}

TEST(keys, an_empty_bucket_does_not_hold_up_a_shutdown)
{
	struct seen seen = {0};
	weir_pool_options o = task_options(&seen, 2, 64);
	weir_pool *pool;

	OK(weir_limit_new(&o.limit, 1.0 / 3600, 1));
	pool = pool_make(&o);
	for (int i = 0; i < 10; i++)
		submit(pool, (struct task){0}, NULL);
	(void)next_result(pool, NULL);
	OK(weir_pool_shutdown_soon(pool, NULL, NULL, NULL));
	for (int i = 0; i < 9; i++)
		CHECK_EQ_INT(next_result(pool, NULL).attempts, 0);
	check_books_closed(pool);
	weir_pool_free(pool);
	weir_limit_free(o.limit);
}
